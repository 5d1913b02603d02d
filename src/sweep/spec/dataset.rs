//! `[[datasets]]`: what accuracy is measured on.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// One of `[[datasets]]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatasetSpec {
    /// Shown everywhere; unique.
    pub name: String,
    /// In- or out-of-distribution.
    pub role: Role,
    /// Image folder, WebDataset folder or tar, parquet file or folder.
    pub path: PathBuf,
    /// One class a line; absent: found in the layout.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub classnames: Option<PathBuf>,
    /// One prompt a line, the class goes where `{c}` or `{}` stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub templates: Option<PathBuf>,
    /// A seeded subset of so many images.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// The column of images in a parquet file; absent: by type and name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_column: Option<String>,
    /// The column of labels in a parquet file; absent: by type and name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label_column: Option<String>,
    /// Of ObjectNet: which protocol; absent: [`Protocol::WiseFt`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<Protocol>,
    /// Of ObjectNet: the folder of its four mapping files; absent: `mappings`
    /// beside or above the images.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mappings: Option<PathBuf>,
    /// What becomes of images that cannot be read.
    #[serde(default, skip_serializing_if = "Consent::is_fail")]
    pub unreadable: Consent,
}

/// How ObjectNet's images are made into a score. The two differ by a point or
/// two, so every result names its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Protocol {
    /// WiSE-FT's: a frame of 2 pixels is cut off, prompts and rows of a stored
    /// head are ImageNet's, a class's logit is the largest of its ImageNet
    /// classes'.
    WiseFt,
    /// CLIP_benchmark's: whole images, prompts name ObjectNet's 113 classes.
    ClipBenchmark,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::WiseFt => "wise-ft",
            Self::ClipBenchmark => "clip-benchmark",
        })
    }
}

/// Whether a dataset may be measured without the images that cannot be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Consent {
    /// No: its cells fail, naming the images.
    #[default]
    Fail,
    /// Yes: they are left out before anything is measured, and counted.
    Skip,
}

impl Consent {
    #[allow(clippy::trivially_copy_pass_by_ref)]
    fn is_fail(&self) -> bool {
        *self == Self::Fail
    }
}

impl DatasetSpec {
    /// A dataset of which all else is found in its layout.
    #[must_use]
    pub fn new(name: impl Into<String>, role: Role, path: impl Into<PathBuf>) -> Self {
        Self {
            name: name.into(),
            role,
            path: path.into(),
            classnames: None,
            templates: None,
            limit: None,
            image_column: None,
            label_column: None,
            protocol: None,
            mappings: None,
            unreadable: Consent::Fail,
        }
    }

    /// Makes every relative path start at `base`.
    pub(super) fn resolve(&mut self, base: &Path) {
        let join = |path: &mut PathBuf| *path = base.join(&*path);
        join(&mut self.path);
        self.classnames.iter_mut().for_each(join);
        self.templates.iter_mut().for_each(join);
        self.mappings.iter_mut().for_each(join);
    }
}

/// What a dataset is to the fine-tuned model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// In-distribution: what the model was fine-tuned on.
    Id,
    /// Out-of-distribution.
    Ood,
}
