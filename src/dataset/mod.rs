//! Images, labels and prompts: layouts, the CLIP tokenizer, decoding and
//! resizing exactly as the reference (Pillow), and the cache of decoded pixels.
//!
//! ```text
//!  path ─ layout ─┬─ shards (tar) ─┐
//!                 └─ folder ───────┴─ Dataset: classes, templates, entries
//!                                        │ bytes(i)
//!  visit_order(seed, …) ─ which i ──►  PixelCache ─ Preprocess ─► u8 RGB crop
//!  prompts(class, templates) ─ Tokenizer ─► token ids
//! ```

mod cache;
pub mod decode;
mod describe;
mod error;
mod folder;
mod layout;
pub mod order;
mod prompts;
mod shards;
mod tokenizer;

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;

pub use cache::PixelCache;
pub use decode::{DecodeError, Preprocess};
pub use describe::{ClassCount, Description, Sizes, Unreadable, describe};
pub use error::DatasetError;
pub use layout::Layout;
pub use prompts::{DEFAULT_TEMPLATE, prompts, read_classes, read_templates};

pub use tokenizer::Tokenizer;

use crate::sweep::spec::DatasetSpec;

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
    Shard { shard: u32, offset: u64, length: u64 },
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
    templates: Vec<String>,
    limit: Option<usize>,
    entries: Vec<Entry>,
    shards: Vec<(PathBuf, File)>,
    problems: Vec<Problem>,
}

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
        let (classes, mut entries, shards) = match found.layout {
            Layout::WebDataset => {
                let Some((path, classes)) = named else {
                    return Err(DatasetError::layout(
                        &spec.path,
                        "expected class names in classnames.txt beside the shards, got none; add it, or give `classnames` in the spec",
                    ));
                };
                let (entries, shards) = open_shards(&found.parts, &mut problems)?;
                if let Some(entry) = entries.iter().find(|e| e.label as usize >= classes.len()) {
                    let message = format!(
                        "expected a label under {}, the number of classes in {}, got {}; labels count from 0",
                        classes.len(),
                        path.display(),
                        entry.label
                    );
                    return Err(DatasetError::sample(&spec.path, &entry.key, message));
                }
                (classes, entries, shards)
            }
            Layout::ImageFolder => {
                let mut folder = folder::list(&spec.path)?;
                problems.append(&mut folder.problems);
                let classes = folder_classes(&mut folder, named, &mut problems)?;
                (classes, folder.entries, Vec::new())
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
            problems,
        })))
    }

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
            Location::File(path) => std::fs::read(path).map_err(DatasetError::read(path)),
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
            Location::File(path) => {
                let mut head = Vec::new();
                let read = File::open(path).and_then(|file| file.take(n).read_to_end(&mut head));
                read.map(|_| head).map_err(DatasetError::read(path))
            }
            Location::Shard { shard, offset, length } => {
                let (path, file) = &self.0.shards[*shard as usize];
                shards::read_at(file, *offset, n.min(*length)).map_err(DatasetError::read(path))
            }
        }
    }

    /// Encoded bytes of image `i`; 0 where the file is gone.
    pub(crate) fn encoded_len(&self, i: usize) -> u64 {
        match &self.0.entries[i].at {
            Location::File(path) => std::fs::metadata(path).map_or(0, |meta| meta.len()),
            Location::Shard { length, .. } => *length,
        }
    }

    /// A hash of the content, as hex: class names, templates, and every byte
    /// of every shard. Of an image folder the path, size and modification time
    /// of every image, since reading a million small files would take longer
    /// than it is worth.
    ///
    /// # Errors
    /// When a file cannot be read (any more).
    pub fn hash(&self) -> Result<String, DatasetError> {
        let mut whole = blake3::Hasher::new_derive_key("alphascope 2026-11 dataset v1");
        let mut field = |bytes: &[u8]| {
            whole.update(&(bytes.len() as u64).to_le_bytes()).update(bytes);
        };
        for text in self.classes().iter().chain(self.templates()) {
            field(text.as_bytes());
        }
        for (path, _) in &self.0.shards {
            let mut shard = blake3::Hasher::new();
            shard.update_mmap_rayon(path).map_err(DatasetError::read(path))?;
            field(shard.finalize().as_bytes());
        }
        for entry in &self.0.entries {
            field(entry.key.as_bytes());
            field(&entry.label.to_le_bytes());
            if let Location::File(path) = &entry.at {
                let meta = std::fs::metadata(path).map_err(DatasetError::read(path))?;
                let time = meta.modified().ok();
                let since = time.and_then(|t| t.duration_since(std::time::UNIX_EPOCH).ok());
                field(&meta.len().to_le_bytes());
                field(&since.unwrap_or_default().as_nanos().to_le_bytes());
            }
        }
        Ok(whole.finalize().to_hex().to_string())
    }
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
    use rayon::prelude::*;
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

#[cfg(test)]
mod tests;
