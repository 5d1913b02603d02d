//! From a spec to an open dataset: the layout's parts, class names, templates,
//! and one entry for each image.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

use rayon::prelude::*;

use super::parquet::{Asked, Labels, Table};
use super::{
    DEFAULT_TEMPLATE, Dataset, DatasetError, Entry, Inner, Layout, Problem, few, folder, layout,
    read_classes, read_templates, shards,
};
use crate::sweep::spec::DatasetSpec;

impl Dataset {
    /// Opens what a spec names: recognises the layout, reads class names and
    /// templates, indexes every image, checks every label.
    ///
    /// # Errors
    /// When the path is none of the layouts, a shard is cut short, a label is
    /// missing or out of range, a sample comes twice, class names do not fit
    /// the folders, or there are no images.
    pub fn open(spec: &DatasetSpec) -> Result<Self, DatasetError> {
        let found = layout::find(&spec.path)?;
        let mut problems = found.problems;
        check_type(&found.roots)?;
        let named = match &spec.classnames {
            Some(path) => Some((path.clone(), read_classes(path)?)),
            None => match in_roots(&found.roots, "classnames.txt") {
                Some(path) => Some((path.clone(), read_classes(&path)?)),
                None => None,
            },
        };
        let Gathered { classes, mut entries, shards, tables } = match found.layout {
            Layout::WebDataset => shards_of(spec, &found.parts, named, &mut problems)?,
            Layout::Parquet => tables_of(spec, &found.parts, named, &mut problems)?,
            Layout::ImageFolder => {
                let mut folder = folder::list(&spec.path)?;
                problems.append(&mut folder.problems);
                let classes = folder_classes(&mut folder, named, &mut problems)?;
                Gathered { classes, entries: folder.entries, ..Gathered::default() }
            }
        };
        if entries.is_empty() {
            let message = format!("expected images, got an empty {}", found.layout);
            return Err(DatasetError::layout(&spec.path, message));
        }
        entries.sort_by(|a, b| a.key.cmp(&b.key));
        if let Some(pair) = entries.windows(2).find(|pair| pair[0].key == pair[1].key) {
            let message = "expected every sample once, got it twice; remove one of them";
            return Err(DatasetError::sample(&spec.path, &pair[0].key, message));
        }
        note_double_classes(&classes, &mut problems);
        let templates = match spec
            .templates
            .clone()
            .or_else(|| in_roots(&found.roots, "zeroshot_classification_templates.txt"))
        {
            Some(path) => read_templates(&path)?,
            None => {
                problems.push(Problem::new(format!(
                    "no prompt templates: `{DEFAULT_TEMPLATE}` is used"
                )));
                vec![DEFAULT_TEMPLATE.to_string()]
            }
        };
        if spec.limit == Some(0) {
            return Err(DatasetError::layout(
                &spec.path,
                "expected `limit` of at least 1, got 0; leave it out to use every image",
            ));
        }
        Ok(Self(Arc::new(Inner {
            name: spec.name.clone(),
            path: spec.path.clone(),
            layout: found.layout,
            split: found.split,
            classes,
            templates,
            limit: spec.limit,
            entries,
            shards,
            tables,
            problems,
        })))
    }
}

/// Class names, and the file they are from.
type Named = Option<(PathBuf, Vec<String>)>;

/// Labels without names go no further: a column of larger numbers is none of labels.
const MOST_UNNAMED: u32 = 1 << 16;

/// What a layout holds.
#[derive(Debug, Default)]
struct Gathered {
    classes: Vec<String>,
    entries: Vec<Entry>,
    shards: Vec<(PathBuf, File)>,
    tables: Vec<Table>,
}

/// Checks that every label has a class.
fn check_labels(
    spec: &DatasetSpec,
    entries: &[Entry],
    classes: usize,
    from: &str,
) -> Result<(), DatasetError> {
    let Some(entry) = entries.iter().find(|entry| entry.label as usize >= classes) else {
        return Ok(());
    };
    let message = format!(
        "expected a label under {classes}, the number of classes in {from}, got {}; labels count from 0",
        entry.label
    );
    Err(DatasetError::sample(&spec.path, &entry.key, message))
}

/// WebDataset: labels are numbers, class names lie beside the shards.
fn shards_of(
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
    let (entries, shards) = open_shards(parts, problems)?;
    check_labels(spec, &entries, classes.len(), &path.display().to_string())?;
    Ok(Gathered { classes, entries, shards, ..Gathered::default() })
}

/// Parquet: class names of the spec, else of the metadata, else of a file
/// beside it; labels that are words name themselves.
fn tables_of(
    spec: &DatasetSpec,
    parts: &[PathBuf],
    named: Named,
    problems: &mut Vec<Problem>,
) -> Result<Gathered, DatasetError> {
    let asked = Asked { image: spec.image_column.as_deref(), label: spec.label_column.as_deref() };
    let opened = parts
        .par_iter()
        .map(|path| Table::open(path, asked))
        .collect::<Result<Vec<_>, DatasetError>>()?;
    let own = opened.first().and_then(|(table, _)| table.names()).map(<[String]>::to_vec);
    if let Some((table, _)) = opened.iter().find(|(table, _)| table.names() != own.as_deref()) {
        let message = "its metadata has other class names than the first shard's; the shards are not of one dataset";
        return Err(DatasetError::layout(&table.path, message));
    }
    let words: BTreeSet<&String> = opened.iter().flat_map(|(_, labels)| labels.words()).collect();
    let words: Vec<String> = words.into_iter().cloned().collect();
    let (classes, from) = match (named, own) {
        (Some((path, classes)), _) if spec.classnames.is_some() => {
            (classes, path.display().to_string())
        }
        (_, Some(own)) => (own, "the metadata".into()),
        (Some((path, classes)), None) => (classes, path.display().to_string()),
        (None, None) if !words.is_empty() => (words.clone(), "the labels".into()),
        (None, None) => {
            let most = opened.iter().filter_map(|(_, labels)| labels.most()).max().unwrap_or(0);
            if most >= MOST_UNNAMED {
                let message = format!(
                    "the labels go up to {most} and there are no class names; add classnames.txt, or choose another column by `label_column`"
                );
                return Err(DatasetError::layout(&spec.path, message));
            }
            problems.push(Problem::new("the labels are numbers and there are no class names: prompts will say so; add classnames.txt"));
            ((0..=most).map(|n| n.to_string()).collect(), "the labels".into())
        }
    };
    if !words.is_empty() && words.len() != classes.len() {
        let message = format!(
            "expected one class name for each of the {} labels, got {} from {from}; give as many, in the order of the sorted labels",
            words.len(),
            classes.len()
        );
        return Err(DatasetError::layout(&spec.path, message));
    }
    let mut entries = Vec::new();
    let mut tables = Vec::new();
    for (number, (table, labels)) in opened.into_iter().enumerate() {
        let stem = table.path.file_stem().unwrap_or_default().to_string_lossy();
        let first = entries.len();
        entries.extend(table.entries(number as u32, &stem));
        let labels = match labels {
            Labels::Numbers(all) => all,
            Labels::Words(all) => all
                .iter()
                .map(|word| words.binary_search(word).unwrap_or(usize::MAX) as u32)
                .collect(),
        };
        std::iter::zip(&mut entries[first..], labels)
            .for_each(|(entry, label)| entry.label = label);
        tables.push(table);
    }
    check_labels(spec, &entries, classes.len(), &from)?;
    Ok(Gathered { classes, entries, tables, ..Gathered::default() })
}

/// The file `name` in the nearest of the folders that has it.
fn in_roots(roots: &[PathBuf], name: &str) -> Option<PathBuf> {
    roots.iter().map(|root| root.join(name)).find(|path| path.is_file())
}

/// CLIP_benchmark also stores retrieval datasets in this layout.
fn check_type(roots: &[PathBuf]) -> Result<(), DatasetError> {
    let Some(path) = in_roots(roots, "dataset_type.txt") else { return Ok(()) };
    let text = std::fs::read_to_string(&path).map_err(DatasetError::read(&path))?;
    match text.trim() {
        "classification" | "" => Ok(()),
        other => Err(DatasetError::Line {
            path,
            line: 1,
            message: format!(
                "expected `classification`, got `{other}`; only class labels can be swept"
            ),
        }),
    }
}

/// Entries and open files of the shards, in order. Keys that come in more
/// than one shard get the shard's name in front.
#[allow(clippy::type_complexity)]
fn open_shards(
    paths: &[PathBuf],
    problems: &mut Vec<Problem>,
) -> Result<(Vec<Entry>, Vec<(PathBuf, File)>), DatasetError> {
    let opened: Vec<(shards::Index, File)> = paths
        .par_iter()
        .enumerate()
        .map(|(number, path)| {
            let file = File::open(path).map_err(DatasetError::read(path))?;
            let number = u32::try_from(number).unwrap_or(u32::MAX);
            Ok((shards::index(path, number, &file)?, file))
        })
        .collect::<Result<_, DatasetError>>()?;
    let mut keys = HashSet::new();
    let distinct =
        opened.iter().flat_map(|(index, _)| &index.entries).all(|entry| keys.insert(&entry.key));
    let (mut entries, mut files) = (Vec::new(), Vec::new());
    for ((mut index, file), path) in opened.into_iter().zip(paths) {
        problems.append(&mut index.problems);
        if !distinct {
            let stem = path.file_stem().unwrap_or_default().to_string_lossy();
            index.entries.iter_mut().for_each(|e| e.key = format!("{stem}/{}", e.key));
        }
        entries.append(&mut index.entries);
        files.push((path.clone(), file));
    }
    Ok((entries, files))
}

/// Class names of an image folder; see [`folder::list`] for their order.
fn folder_classes(
    folder: &mut folder::Folder,
    named: Option<(PathBuf, Vec<String>)>,
    problems: &mut Vec<Problem>,
) -> Result<Vec<String>, DatasetError> {
    let Some((path, classes)) = named else {
        if folder.numeric {
            problems.push(Problem::new(
                "the class folders are numbers and there are no class names: prompts will say so; add classnames.txt",
            ));
        } else if folder.names.iter().all(|name| is_wordnet(name)) {
            problems.push(Problem::new(
                "the class folders are WordNet numbers and there are no class names: prompts will say so; add classnames.txt, in the order of the sorted folders",
            ));
        }
        return Ok(folder.names.clone());
    };
    if classes.len() == folder.names.len() {
        return Ok(classes);
    }
    let last = folder.names.last().and_then(|name| name.parse::<usize>().ok());
    if folder.numeric && last.is_some_and(|last| last < classes.len()) {
        folder.label_by_number();
        return Ok(classes);
    }
    Err(DatasetError::Line {
        path,
        line: classes.len(),
        message: format!(
            "expected one class name for each of the {} class folders, got {}; give as many, in the order of the sorted folders",
            folder.names.len(),
            classes.len()
        ),
    })
}

/// True for names as `n01440764`.
fn is_wordnet(name: &str) -> bool {
    name.len() == 9 && name.starts_with('n') && name[1..].bytes().all(|b| b.is_ascii_digit())
}

/// Two classes with one name get one prompt: neither can win for sure.
fn note_double_classes(classes: &[String], problems: &mut Vec<Problem>) {
    let mut count: BTreeMap<&str, usize> = BTreeMap::new();
    for class in classes {
        *count.entry(class).or_default() += 1;
    }
    let double: Vec<String> =
        count.into_iter().filter(|(_, n)| *n > 1).map(|(name, _)| name.to_string()).collect();
    if !double.is_empty() {
        problems.push(Problem::new(format!(
            "{} class names stand for more than one label: {}",
            double.len(),
            few(&double)
        )));
    }
}
