//! WebDataset shards, all of them together.

use std::collections::{BTreeSet, HashSet};
use std::fs::File;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::{Gathered, Named, check_labels};
use crate::dataset::error::open_file;
use crate::dataset::{DatasetError, Entry, IMAGE_EXTENSIONS, Problem, few, imagenet, shards};
use crate::sweep::spec::DatasetSpec;

/// WebDataset: labels are numbers, class names lie beside the shards.
pub(super) fn open(
    spec: &DatasetSpec,
    parts: &[PathBuf],
    named: Named,
    problems: &mut Vec<Problem>,
) -> Result<Gathered, DatasetError> {
    let Some((path, classes)) = named else {
        return Err(DatasetError::layout(
            &spec.path,
            "expected class names in classnames.txt beside the shards, got none; add it, or give `classnames` in the spec",
        ));
    };
    let names = classes.iter().enumerate().map(|(i, name)| (name.as_str(), i as u32)).collect();
    let (entries, shards) = open_shards(parts, &names, problems)?;
    check_labels(spec, &entries, classes.len(), &path.display().to_string())?;
    let imagenet = imagenet::recognise_names(&classes);
    Ok(Gathered { classes, imagenet, entries, shards, ..Gathered::default() })
}

/// Entries and open files of the shards, in order. Keys that come in more
/// than one shard get the shard's name in front.
#[allow(clippy::type_complexity)]
fn open_shards(
    paths: &[PathBuf],
    names: &shards::Names<'_>,
    problems: &mut Vec<Problem>,
) -> Result<(Vec<Entry>, Vec<(PathBuf, File)>), DatasetError> {
    let opened: Vec<(shards::Index, File)> = paths
        .par_iter()
        .enumerate()
        .map(|(number, path)| {
            let file = open_file(path)?;
            let number = u32::try_from(number).unwrap_or(u32::MAX);
            Ok((shards::index(path, number, &file, names)?, file))
        })
        .collect::<Result<_, DatasetError>>()?;
    let mut keys = HashSet::new();
    let distinct =
        opened.iter().flat_map(|(index, _)| &index.entries).all(|entry| keys.insert(&entry.key));
    let (mut entries, mut files) = (Vec::new(), Vec::new());
    let mut extensions = BTreeSet::new();
    for ((mut index, file), path) in opened.into_iter().zip(paths) {
        problems.append(&mut index.problems);
        if !distinct {
            let stem = path.file_stem().unwrap_or_default().to_string_lossy();
            index.entries.iter_mut().for_each(|e| e.key = format!("{stem}/{}", e.key));
        }
        entries.append(&mut index.entries);
        extensions.append(&mut index.extensions);
        files.push((path.clone(), file));
    }
    match paths.first() {
        Some(first) if entries.is_empty() && !extensions.is_empty() => {
            Err(no_samples(first, extensions))
        }
        _ => Ok((entries, files)),
    }
}

/// Members, but no sample among them.
fn no_samples(first: &Path, extensions: BTreeSet<String>) -> DatasetError {
    let found: Vec<String> = extensions.into_iter().map(|it| format!(".{it}")).collect();
    let message = format!(
        "expected samples of an image (.{}) and a label (.cls, .json or .txt) under one name, got members that end in {}: an ending begins at the first dot of a name; rename them in the shards",
        IMAGE_EXTENSIONS.join(", ."),
        few(&found)
    );
    DatasetError::layout(first, message)
}
