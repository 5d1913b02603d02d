//! From a spec to an open dataset: the layout's parts, class names, templates,
//! and one entry for each image.

mod folders;
mod tables;
mod web;

use std::collections::BTreeMap;
use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

use rayon::prelude::*;

use super::error;
use super::imagenet::{self, ImageNetId};
use super::parquet::Table;
use super::{
    DEFAULT_TEMPLATE, Dataset, DatasetError, Entry, Inner, Layout, Problem, Unreadable, decode,
    few, layout, read_classes, read_templates,
};
use crate::plural::{counted, either};
use crate::sweep::event::Benchmark;
use crate::sweep::spec::{Consent, DatasetSpec};

/// Class names, and the file they are from.
type Named = Option<(PathBuf, Vec<String>)>;

/// What a layout holds.
#[derive(Debug, Default)]
struct Gathered {
    classes: Vec<String>,
    /// Where they are others than the classes; see [`Dataset::rows`].
    rows: Option<Vec<String>>,
    groups: Option<Vec<Vec<usize>>>,
    imagenet: Option<Vec<ImageNetId>>,
    benchmark: Option<Benchmark>,
    frame: usize,
    /// Whether ImageNet's templates fit although the classes are others.
    builtin_templates: bool,
    entries: Vec<Entry>,
    shards: Vec<(PathBuf, File)>,
    tables: Vec<Table>,
}

impl Dataset {
    /// Opens what a spec names: recognises the layout and the benchmark, reads
    /// class names and templates, indexes every image, checks every label.
    /// Where the spec allows to leave out images that cannot be read, every
    /// image is decoded once to find them.
    ///
    /// # Errors
    /// When the path is none of the layouts, a shard is cut short, a label is
    /// missing or out of range, a sample comes twice, class names do not fit
    /// the folders, or there are no images.
    pub fn open(spec: &DatasetSpec) -> Result<Self, DatasetError> {
        if spec.limit == Some(0) {
            return Err(DatasetError::layout(
                &spec.path,
                "expected `limit` of at least 1, got 0; leave it out to use every image",
            ));
        }
        let found = layout::find(&spec.path)?;
        let mut problems = found.problems;
        check_type(&found.roots)?;
        check_columns(spec, found.layout)?;
        let names = spec.classnames.clone().or_else(|| in_roots(&found.roots, "classnames.txt"));
        let named = names.map(|path| Ok((path.clone(), read_classes(&path)?))).transpose()?;
        let mut gathered = match found.layout {
            Layout::WebDataset => web::open(spec, &found.parts, named, &mut problems)?,
            Layout::Parquet => tables::open(spec, &found.parts, named, &mut problems)?,
            Layout::ImageFolder => folders::open(spec, &found.parts, named, &mut problems)?,
        };
        if gathered.entries.is_empty() {
            let message = format!(
                "expected images, got {} without any; copy or download it again",
                match found.layout {
                    Layout::WebDataset => "tar shards",
                    Layout::Parquet => "parquet files",
                    Layout::ImageFolder => "class folders",
                }
            );
            return Err(DatasetError::layout(&spec.path, message));
        }
        gathered.entries.sort_by(|a, b| a.key.cmp(&b.key));
        let twice = gathered.entries.windows(2).find(|pair| pair[0].key == pair[1].key);
        if let Some(pair) = twice {
            let message = "expected every sample once, got it twice; remove one of them";
            return Err(DatasetError::sample(&spec.path, &pair[0].key, message));
        }
        // Two of ImageNet's names come twice, and everyone uses them so.
        if gathered.imagenet.is_none() {
            note_double_classes(&gathered.classes, &mut problems);
        }
        if let Some(benchmark) = &gathered.benchmark
            && benchmark.images != gathered.entries.len()
        {
            problems.push(Problem::new(format!(
                "{} has {} images, here {} {}: scores say so and do not compare with published ones",
                benchmark.name,
                benchmark.images,
                either(&gathered.entries.len(), "is", "are"),
                gathered.entries.len()
            )));
        }
        let file = in_roots(&found.roots, "zeroshot_classification_templates.txt");
        let templates = match spec.templates.clone().or(file) {
            Some(path) => read_templates(&path)?,
            None if gathered.imagenet.is_some() || gathered.builtin_templates => {
                imagenet::templates()
            }
            None => {
                problems.push(Problem::new(format!(
                    "no prompt templates: `{DEFAULT_TEMPLATE}` is used"
                )));
                vec![DEFAULT_TEMPLATE.to_string()]
            }
        };
        let dataset = Inner {
            name: spec.name.clone(),
            path: spec.path.clone(),
            layout: found.layout,
            split: found.split,
            classes: gathered.classes,
            rows: gathered.rows,
            groups: gathered.groups,
            imagenet: gathered.imagenet,
            benchmark: gathered.benchmark,
            frame: gathered.frame,
            templates,
            limit: spec.limit,
            entries: gathered.entries,
            shards: gathered.shards,
            tables: gathered.tables,
            skipped: Vec::new(),
            problems,
        };
        match spec.unreadable {
            Consent::Fail => Ok(Self(Arc::new(dataset))),
            Consent::Skip => Self::without_unreadable(dataset),
        }
    }

    /// Leaves out the images that cannot be decoded, and says so.
    fn without_unreadable(inner: Inner) -> Result<Self, DatasetError> {
        let whole = Self(Arc::new(inner));
        let reasons: Vec<Option<String>> =
            (0..whole.len()).into_par_iter().map(|i| whole.unreadable(i)).collect();
        let Ok(mut inner) = Arc::try_unwrap(whole.0) else {
            return Err(DatasetError::layout("", "the dataset is in use while it is opened"));
        };
        let mut reasons = reasons.into_iter();
        let skipped = &mut inner.skipped;
        inner.entries.retain(|entry| match reasons.next().flatten() {
            Some(reason) => {
                skipped.push(Unreadable { key: entry.key.clone(), reason });
                false
            }
            None => true,
        });
        if inner.entries.is_empty() {
            let message = match skipped.len() {
                1 => "its only image cannot be read".into(),
                n => format!("none of the {n} images can be read"),
            };
            return Err(DatasetError::layout(inner.path, message));
        }
        if !skipped.is_empty() {
            let names = skipped.iter().map(|image| format!("`{}`", image.key));
            inner.problems.push(Problem::new(format!(
                "{} cannot be read and {} left out, as the spec allows: {}",
                counted(skipped.len(), "image"),
                either(&skipped.len(), "is", "are"),
                error::first(names, skipped.len(), error::NAMED)
            )));
        }
        Ok(Self(Arc::new(inner)))
    }

    /// Why image `i` cannot be decoded; `None` where it can.
    pub(crate) fn unreadable(&self, i: usize) -> Option<String> {
        let bytes = match self.bytes(i) {
            Ok(bytes) => bytes,
            Err(error) => return Some(error.to_string()),
        };
        decode::size(&bytes).err().map(|error| error.to_string())
    }
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

/// The file `name` in the nearest of the folders that has it.
fn in_roots(roots: &[PathBuf], name: &str) -> Option<PathBuf> {
    roots.iter().map(|root| root.join(name)).find(|path| path.is_file())
}

/// Settings that only one layout or benchmark has are no settings of another.
fn check_columns(spec: &DatasetSpec, layout: Layout) -> Result<(), DatasetError> {
    let columns = [("image_column", &spec.image_column), ("label_column", &spec.label_column)];
    if layout != Layout::Parquet
        && let Some((field, Some(name))) = columns.into_iter().find(|(_, name)| name.is_some())
    {
        return Err(DatasetError::layout(
            &spec.path,
            format!(
                "`{field}` names the column `{name}`, only parquet has columns, and here is {layout}: leave it out"
            ),
        ));
    }
    let folder = [("protocol", spec.protocol.is_some()), ("mappings", spec.mappings.is_some())];
    if layout != Layout::ImageFolder
        && let Some((field, _)) = folder.into_iter().find(|(_, given)| *given)
    {
        return Err(DatasetError::layout(
            &spec.path,
            format!(
                "`{field}` is of ObjectNet, which comes as an image folder, and here is {layout}: leave it out"
            ),
        ));
    }
    Ok(())
}

/// CLIP_benchmark also stores retrieval datasets in this layout.
fn check_type(roots: &[PathBuf]) -> Result<(), DatasetError> {
    let Some(path) = in_roots(roots, "dataset_type.txt") else { return Ok(()) };
    let text = crate::regular::text(&path).map_err(DatasetError::read(&path))?;
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
            "{} {} for more than one label: {}",
            counted(double.len(), "class name"),
            either(&double.len(), "stands", "stand"),
            few(&double)
        )));
    }
}
