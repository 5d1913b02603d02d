//! What the set-up screen is told about the world, and what it asks of it.

use std::path::PathBuf;

use crate::config::Memory;
use crate::sweep::spec::Spec;

/// One line of a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Name within the folder.
    pub name: String,
    /// Whole path.
    pub path: PathBuf,
    /// A folder (also through a link).
    pub folder: bool,
    /// Size of a file, bytes.
    pub bytes: u64,
    /// Changes when the file does: modification time in nanoseconds.
    pub stamp: u128,
}

impl Entry {
    /// Hidden by the leading dot.
    #[must_use]
    pub fn hidden(&self) -> bool {
        self.name.starts_with('.')
    }
}

/// What a checkpoint file is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileFacts {
    /// `ViT-B-32` or a description of the towers.
    pub architecture: String,
    /// `float16`, or several.
    pub dtype: String,
    /// Size on disk, bytes.
    pub bytes: u64,
    /// Number of tensors.
    pub tensors: usize,
    /// Container, dialect, stored head: whatever else one line has room for.
    pub detail: String,
}

/// How two checkpoints go together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PairFacts {
    /// The first differences that keep them from being interpolated; empty:
    /// they match.
    pub differences: Vec<String>,
    /// How many more there are.
    pub more: usize,
    /// To be said aloud, but no obstacle.
    pub notices: Vec<String>,
}

impl PairFacts {
    /// A path can be drawn between the two.
    #[must_use]
    pub fn matches(&self) -> bool {
        self.differences.is_empty()
    }
}

/// What a dataset is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DataFacts {
    /// `WebDataset`, `image folder`.
    pub layout: String,
    /// Number of images.
    pub images: usize,
    /// So many of the published dataset's images, as `9998/10000`; `None` where it is none, or
    /// whole.
    pub badge: Option<String>,
    /// The published dataset's name, as `ImageNet-V2`.
    pub benchmark: Option<String>,
    /// Number of classes.
    pub classes: usize,
    /// Images of the smallest and of the largest class.
    pub each: (usize, usize),
    /// What is wrong with it, in sentences.
    pub problems: Vec<String>,
}

/// Something that is read in the background.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Known<T> {
    /// Asked for under this number; an answer with another one is stale.
    Reading(u64),
    /// Read.
    Ready(T),
    /// Could not be read: why.
    Failed(String),
}

impl<T> Known<T> {
    /// Takes an answer in, unless it is stale.
    pub fn answer(&mut self, id: u64, result: Result<T, String>) {
        if matches!(self, Self::Reading(asked) if *asked == id) {
            *self = result.map_or_else(Self::Failed, Self::Ready);
        }
    }

    /// What was read, if it was.
    #[must_use]
    pub fn ready(&self) -> Option<&T> {
        if let Self::Ready(it) = self { Some(it) } else { None }
    }
}

/// The sweeps that come with the program.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Demo {
    /// Interpolation beats both ends out of distribution.
    #[default]
    Success,
    /// A barrier.
    Failed,
    /// One layer trained hot; constructed.
    Hot,
}

impl Demo {
    /// In the menu's order.
    pub const ALL: [Self; 3] = [Self::Success, Self::Failed, Self::Hot];

    /// One word.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failed => "failed",
            Self::Hot => "hot",
        }
    }

    /// One line.
    #[must_use]
    pub fn line(self) -> &'static str {
        match self {
            Self::Success => "the path between the ends beats both of them out of distribution",
            Self::Failed => "failure mode: a barrier, below zero-shot all along the path",
            Self::Hot => "constructed: one layer was trained with a 20 times larger learning rate",
        }
    }
}

/// Everything a session needs to start.
#[derive(Clone, Debug, PartialEq)]
pub struct Job {
    /// What is measured; every path absolute.
    pub spec: Spec,
    /// `auto`, `cpu`, `cuda`, `cuda:0,1`.
    pub device: String,
    /// Run folder; `None`: a new one where runs go.
    pub output: Option<PathBuf>,
}

/// What reaches the set-up screen besides keys.
#[derive(Clone, Debug)]
pub enum Message {
    /// Text was pasted.
    Paste(String),
    /// A folder was read.
    Listed(u64, Result<Vec<Entry>, String>),
    /// A checkpoint was read.
    File(u64, PathBuf, Result<FileFacts, String>),
    /// A dataset was read.
    Data(u64, PathBuf, Result<DataFacts, String>),
    /// Two checkpoints were compared.
    Pair(u64, Result<PairFacts, String>),
    /// Everything the form names was opened together.
    Checked(u64, Result<(), String>),
    /// Device names one may ask for.
    Devices(Vec<String>),
    /// A session could not start.
    StartFailed(u64, String),
    /// It could: the live screen takes over.
    Started(u64),
    /// A word for the bottom of the screen.
    Said(String),
}

/// What the set-up screen asks of the world. Every question carries a number
/// that its answer brings back.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Read a folder.
    List(u64, PathBuf),
    /// Say what this file is.
    File(u64, PathBuf),
    /// Say what this dataset is.
    Data(u64, PathBuf),
    /// Compare zero-shot and fine-tuned.
    Pair(u64, PathBuf, PathBuf),
    /// Open everything a start would open, and begin nothing.
    Check(u64, Box<Job>),
    /// Say which devices there are.
    Devices,
    /// Start a session.
    Start(u64, Box<Job>),
    /// Start one of the program's own sweeps on this device.
    Demo(u64, Demo, String),
    /// The start asked for under this number is not wanted any more.
    Abandon(u64),
    /// Keep these choices for next time.
    Remember(Box<Memory>),
}
