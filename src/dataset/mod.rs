//! Images, labels and prompts: layouts, the CLIP tokenizer, decoding and
//! resizing exactly as the reference (Pillow), and the cache of decoded pixels.
//!
//! ```text
//!  path ─ layout ─┬─ shards (tar) ─┐
//!                 ├─ parquet ──────┤
//!                 └─ folder ───────┴─ Dataset: classes, templates, entries
//!                                        │ bytes(i)
//!  visit_order(seed, …) ─ which i ──►  PixelCache ─ Preprocess ─► u8 RGB crop
//!  prompts(class, templates) ─ Tokenizer ─► token ids
//! ```

mod cache;
mod crop;
pub mod decode;
mod describe;
mod disk;
mod error;
mod fingerprint;
mod folder;
mod imagenet;
mod layout;
mod objectnet;
mod open;
pub mod order;
mod parquet;
mod prompts;
mod quiet;
mod shards;
mod tokenizer;

use std::fmt;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;

use crate::sweep::event::Benchmark;

pub use cache::PixelCache;
pub use crop::Crop;
pub use decode::{DecodeError, Preprocess};
pub use describe::{ClassCount, Depth, Description, Sizes, Unreadable, describe};
pub use error::DatasetError;
pub use imagenet::{ImageNetId, recognise_names};
pub use layout::Layout;
pub use prompts::{DEFAULT_TEMPLATE, prompts, read_classes, read_templates};

pub use tokenizer::Tokenizer;

/// File name endings that are images, in lower case.
pub(crate) const IMAGE_EXTENSIONS: [&str; 12] =
    ["jpg", "jpeg", "jpe", "png", "webp", "gif", "bmp", "tif", "tiff", "ppm", "pgm", "pnm"];

/// Something odd about a dataset that does not keep it from being used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Problem(String);

impl Problem {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// One image.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub key: String,
    pub label: u32,
    pub at: Location,
}

/// Where an image's bytes are.
#[derive(Clone, Debug)]
pub(crate) enum Location {
    Shard {
        shard: u32,
        offset: u64,
        length: u64,
    },
    /// A row of a page of images in a parquet file.
    Row {
        table: u32,
        page: u32,
        row: u32,
    },
    File(PathBuf),
}

/// The first three names, and how many more there are.
pub(crate) fn few(names: &[String]) -> String {
    let mut text = names.iter().take(3).map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", ");
    if names.len() > 3 {
        text.push_str(&format!(" and {} more", names.len() - 3));
    }
    text
}

/// An opened dataset: its classes, prompts, and one entry per image. Cheap to
/// clone; shards stay open.
///
/// Images are numbered in the order of their sorted keys, whatever order the
/// files have on disk.
#[derive(Clone, Debug)]
pub struct Dataset(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    name: String,
    path: PathBuf,
    layout: Layout,
    split: Option<String>,
    classes: Vec<String>,
    rows: Option<Vec<String>>,
    groups: Option<Vec<Vec<usize>>>,
    imagenet: Option<Vec<ImageNetId>>,
    benchmark: Option<Benchmark>,
    frame: usize,
    templates: Vec<String>,
    limit: Option<usize>,
    entries: Vec<Entry>,
    shards: Vec<(PathBuf, File)>,
    tables: Vec<parquet::Table>,
    skipped: Vec<Unreadable>,
    problems: Vec<Problem>,
}

impl Dataset {
    /// The name the spec gives it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// How it is stored.
    #[must_use]
    pub fn layout(&self) -> Layout {
        self.0.layout
    }

    /// The split's folder name, as `test`. `None` where the layout has none.
    #[must_use]
    pub fn split(&self) -> Option<&str> {
        self.0.split.as_deref()
    }

    /// How many images there are (the spec's `limit` does not change this).
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.entries.len()
    }

    /// Never true: an empty dataset does not open.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.entries.is_empty()
    }

    /// Class names, in the order of the labels.
    #[must_use]
    pub fn classes(&self) -> &[String] {
        &self.0.classes
    }

    /// What a head has a row for, in the order of its rows: the classes, but of
    /// ObjectNet by WiSE-FT's protocol the ImageNet classes they stand for.
    #[must_use]
    pub fn rows(&self) -> &[String] {
        self.0.rows.as_deref().unwrap_or(&self.0.classes)
    }

    /// The rows whose largest logit is a class's own, for each class; `None`
    /// where each row is a class.
    #[must_use]
    pub fn groups(&self) -> Option<&[Vec<usize>]> {
        self.0.groups.as_deref()
    }

    /// The ImageNet class of each of [`Self::rows`]; `None` where they are
    /// others, or not known to be.
    #[must_use]
    pub fn imagenet(&self) -> Option<&[ImageNetId]> {
        self.0.imagenet.as_deref()
    }

    /// Which published dataset it is, and how many images that has; `None`
    /// for all that are not recognised.
    #[must_use]
    pub fn benchmark(&self) -> Option<&Benchmark> {
        self.0.benchmark.as_ref()
    }

    /// Pixels to cut from each side of an image before anything else.
    #[must_use]
    pub fn frame(&self) -> usize {
        self.0.frame
    }

    /// Images left out because they cannot be read, as the spec allows.
    #[must_use]
    pub fn skipped(&self) -> &[Unreadable] {
        &self.0.skipped
    }

    /// Prompt templates, at least one.
    #[must_use]
    pub fn templates(&self) -> &[String] {
        &self.0.templates
    }

    /// The class of image `i`, under `classes().len()`.
    ///
    /// # Panics
    /// When `i` is not under [`Self::len`].
    #[must_use]
    pub fn label(&self, i: usize) -> usize {
        self.0.entries[i].label as usize
    }

    /// Images of the smallest and of the largest class.
    #[must_use]
    pub fn images_per_class(&self) -> (usize, usize) {
        let mut counts = vec![0; self.classes().len()];
        for entry in &self.0.entries {
            counts[entry.label as usize] += 1;
        }
        let fewest = counts.iter().min().copied().unwrap_or(0);
        (fewest, counts.iter().max().copied().unwrap_or(0))
    }

    /// The name of image `i`: its key in the shard, or its path below the
    /// folder.
    ///
    /// # Panics
    /// When `i` is not under [`Self::len`].
    #[must_use]
    pub fn key(&self, i: usize) -> &str {
        &self.0.entries[i].key
    }

    /// What is odd about it, for people to read.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        &self.0.problems
    }

    /// The images to visit, in the seed's order; the spec's `limit` keeps the
    /// first so many.
    #[must_use]
    pub fn order(&self, seed: u64) -> Vec<usize> {
        let keys = self.0.entries.iter().map(|entry| entry.key.as_str());
        let mut order = order::visit_order(seed, self.name(), keys);
        order.truncate(self.0.limit.unwrap_or(usize::MAX));
        order
    }

    /// The encoded bytes of image `i`.
    ///
    /// # Errors
    /// When the file cannot be read (any more).
    ///
    /// # Panics
    /// When `i` is not under [`Self::len`].
    pub fn bytes(&self, i: usize) -> Result<Vec<u8>, DatasetError> {
        match &self.0.entries[i].at {
            Location::Row { table, page, row } => self.0.tables[*table as usize].image(*page, *row),
            Location::File(path) => {
                crate::regular::read(path, u64::MAX).map_err(DatasetError::read(path))
            }
            Location::Shard { shard, offset, length } => {
                let (path, file) = &self.0.shards[*shard as usize];
                shards::read_at(file, *offset, *length).map_err(DatasetError::read(path))
            }
        }
    }

    /// At most the first `n` encoded bytes of image `i`.
    pub(crate) fn head(&self, i: usize, n: u64) -> Result<Vec<u8>, DatasetError> {
        use std::io::Read as _;
        match &self.0.entries[i].at {
            Location::Row { .. } => self.bytes(i).map(|mut bytes| {
                bytes.truncate(usize::try_from(n).unwrap_or(usize::MAX));
                bytes
            }),
            Location::File(path) => {
                let mut head = Vec::new();
                let read =
                    crate::regular::open(path).and_then(|file| file.take(n).read_to_end(&mut head));
                read.map(|_| head).map_err(DatasetError::read(path))
            }
            Location::Shard { shard, offset, length } => {
                let (path, file) = &self.0.shards[*shard as usize];
                shards::read_at(file, *offset, n.min(*length)).map_err(DatasetError::read(path))
            }
        }
    }

    /// Bytes of all encoded images; of parquet files, of the files.
    pub(crate) fn encoded_bytes(&self) -> u64 {
        let tables: u64 = self.0.tables.iter().map(parquet::Table::bytes).sum();
        let size = |entry: &Entry| match &entry.at {
            Location::File(path) => std::fs::metadata(path).map_or(0, |meta| meta.len()),
            Location::Shard { length, .. } => *length,
            Location::Row { .. } => 0,
        };
        tables + self.0.entries.iter().map(size).sum::<u64>()
    }
}

#[cfg(test)]
mod tests;
