//! ObjectNet and its two protocols.
//!
//! 113 of its 313 classes are also ImageNet's. Which, is told by the four files
//! that come with its images, in `mappings/`:
//!
//! ```text
//! folder ──folder_to_objectnet_label.json──► ObjectNet's name
//! name ────objectnet_to_imagenet_1k.json───► ImageNet's names, separated by `; `
//! name ────imagenet_to_label_2012_v2───────► its line, a number of 2012
//! number ──pytorch_to_imagenet_2012_id.json► the label, 0 … 999
//! ```

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

use super::DatasetError;
use super::imagenet::ImageNetId;
use crate::sweep::event::Benchmark;
use crate::sweep::spec::Protocol;

const FOLDERS: &str = "folder_to_objectnet_label.json";
const NAMES: &str = "objectnet_to_imagenet_1k.json";
const LINES: &str = "imagenet_to_label_2012_v2";
const LABELS: &str = "pytorch_to_imagenet_2012_id.json";

/// The folders of all 313 classes.
const ALL: &str = include_str!("../../assets/imagenet/objectnet.txt");
/// From so many of them on a dataset may be ObjectNet: the shared classes are 113.
const ENOUGH: usize = 100;

/// Images of the 113 classes.
const IMAGES: usize = 18_574;
/// Pixels of the red frame around every image.
const FRAME: usize = 2;

/// A class that ObjectNet and ImageNet share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Class {
    /// The folder of its images.
    pub folder: String,
    /// ObjectNet's name, in lower case.
    pub name: String,
    /// ImageNet's classes that mean the same; at least one.
    pub imagenet: Vec<ImageNetId>,
}

/// Where `mappings` lies, for a dataset's folder of images or the folder above
/// it; `None` where it is no ObjectNet.
pub(crate) fn mappings(path: &Path) -> Option<PathBuf> {
    let near = [Some(path), path.parent()].into_iter().flatten();
    near.map(|folder| folder.join("mappings")).find(|folder| folder.join(FOLDERS).is_file())
}

/// What to tell of class folders that are ObjectNet's, where `mappings` is nowhere; `None` where
/// they are not: where fewer than nine in ten of them are called so.
pub(crate) fn unmapped(folders: &[String]) -> Option<String> {
    let known: HashSet<&str> = ALL.lines().collect();
    let found = folders.iter().filter(|name| known.contains(name.as_str())).count();
    (found >= ENOUGH && found * 10 >= folders.len() * 9).then(|| {
        format!(
            "{found} of ObjectNet's {} class folders are here, but not the four files that match them \
             with ImageNet: measured as {} classes of their own, named by folder or by your class \
             names, on whole images with their red frame; that is neither of its protocols and \
             compares with no published number. Give `mappings`, the folder with {FOLDERS}, \
             {NAMES}, {LINES} and {LABELS} (`mappings` in ObjectNet's archive)",
            known.len(),
            folders.len()
        )
    })
}

/// The folder of images, for the dataset's own folder.
pub(crate) fn images(path: &Path) -> PathBuf {
    let below = path.join("images");
    if below.is_dir() { below } else { path.into() }
}

/// The shared classes, sorted by folder, as both protocols number them.
///
/// # Errors
/// When a file is missing, is not what it should be, or the files contradict
/// each other.
pub(crate) fn classes(mappings: &Path) -> Result<Vec<Class>, DatasetError> {
    let folders: BTreeMap<String, String> = json(&mappings.join(FOLDERS))?;
    let names: BTreeMap<String, String> = json(&mappings.join(NAMES))?;
    let labels: BTreeMap<String, usize> = json(&mappings.join(LABELS))?;
    let path = mappings.join(LINES);
    let lines = crate::regular::text(&path).map_err(DatasetError::read(&path))?;
    let line_of: HashMap<&str, usize> =
        lines.lines().enumerate().map(|(line, name)| (name.trim(), line)).collect();
    let mut label_of = HashMap::new();
    for (label, number) in &labels {
        let id = label.parse().ok().and_then(ImageNetId::new).ok_or_else(|| {
            let message = format!("expected labels from 0 to 999, got `{label}`");
            DatasetError::layout(mappings.join(LABELS), message)
        })?;
        label_of.insert(*number, id);
    }
    let mut folder_of: HashMap<&str, &str> = HashMap::new();
    for (folder, name) in &folders {
        folder_of.insert(name, folder);
    }
    let mut classes = Vec::new();
    for (name, wanted) in &names {
        let wrong = |message: String| DatasetError::layout(mappings.join(NAMES), message);
        let folder = folder_of.get(name.as_str()).ok_or_else(|| {
            wrong(format!("expected the class `{name}` to be in {FOLDERS}, got none"))
        })?;
        let imagenet = wanted
            .split("; ")
            .map(|wanted| {
                let line = line_of.get(wanted.trim());
                line.and_then(|line| label_of.get(line)).copied().ok_or_else(|| {
                    wrong(format!(
                        "class `{name}`: ImageNet's class `{wanted}` is not in {LINES} and {LABELS}"
                    ))
                })
            })
            .collect::<Result<Vec<_>, _>>()?;
        classes.push(Class { folder: (*folder).into(), name: name.to_lowercase(), imagenet });
    }
    if classes.is_empty() {
        return Err(DatasetError::layout(mappings.join(NAMES), "expected classes, got none"));
    }
    classes.sort_by(|a, b| a.folder.cmp(&b.folder));
    Ok(classes)
}

fn json<T: DeserializeOwned>(path: &Path) -> Result<T, DatasetError> {
    let text =
        crate::regular::read(path, crate::regular::TEXT).map_err(DatasetError::read(path))?;
    serde_json::from_slice(&text).map_err(|error| {
        DatasetError::layout(path, format!("{error}; take the file from ObjectNet's archive"))
    })
}

/// What the protocol makes of the images.
pub(crate) fn benchmark(protocol: Protocol) -> Benchmark {
    Benchmark::new(format!("ObjectNet, {protocol} protocol"), IMAGES)
}

/// Pixels cut from every side before anything else.
pub(crate) fn frame(protocol: Protocol) -> usize {
    match protocol {
        Protocol::WiseFt => FRAME,
        Protocol::ClipBenchmark => 0,
    }
}
