//! The runs of a folder: what each is, how far, and what it found; renaming and
//! deleting them. Whatever else lies in the folder is listed and left alone.

mod act;
mod cache;
mod scan;
mod text;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use act::{ActError, delete, find, rename};
pub use scan::{ScanError, scan};
pub use text::{bytes, compare, since, table};

/// What a folder among the runs is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// A process measures it now.
    Running,
    /// Ended early or interrupted: it can be resumed.
    Stopped,
    /// Everything owed is measured.
    Complete,
    /// All was tried, some cells failed.
    Partial,
    /// A journal that cannot be read.
    Damaged,
    /// Not a run.
    Foreign,
}

impl State {
    /// For people.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Stopped => "stopped",
            Self::Complete => "complete",
            Self::Partial => "partial",
            Self::Damaged => "damaged",
            Self::Foreign => "foreign",
        }
    }

    /// It can be opened, renamed and deleted.
    #[must_use]
    pub fn is_run(self) -> bool {
        !matches!(self, Self::Damaged | Self::Foreign)
    }
}

/// One folder among the runs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Run {
    /// Its folder's name.
    pub name: String,
    /// Its folder.
    #[serde(serialize_with = "crate::lossy::path")]
    pub path: PathBuf,
    /// What it is.
    pub state: State,
    /// Who measures it, what is damaged, or why it is no run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// When something of it changed last, in milliseconds since the Unix epoch.
    pub changed: u64,
    /// Of all its files; symbolic links count as themselves.
    pub bytes: u64,
    /// What its journal says; `None` of what is no run.
    #[serde(flatten)]
    pub found: Option<Found>,
}

/// What a run's journal says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Found {
    /// Name of the zero-shot end.
    pub zeroshot: String,
    /// Name of the fine-tuned end.
    pub finetuned: String,
    /// A label that must be shown with every result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// What it is measured on, in order.
    pub datasets: Vec<OnDataset>,
    /// Forward passes of images done, and owed in all.
    pub done: u64,
    /// … in all.
    pub total: u64,
    /// The best interior α, which is where `gain` is; under the name that reports have.
    pub best_alpha: Option<f64>,
    /// RFT gain in percentage points: value, lower and upper end of its 95 %
    /// interval.
    pub gain: Option<[f64; 3]>,
    /// When it was begun, in milliseconds since the Unix epoch.
    pub began: Option<u64>,
    /// How the last session ended: `complete`, `partial`, `stopped`; `None` where
    /// it did not.
    pub ended: Option<crate::sweep::event::Outcome>,
    /// Lines of its journal that are damaged.
    pub damaged: usize,
    /// What is told of parts that are missing, or that overlap.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<String>,
}

/// One dataset of a run, on the dense path.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OnDataset {
    /// Its name.
    pub name: String,
    /// In or out of distribution.
    pub role: crate::sweep::spec::Role,
    /// Top-1 in percent at the smallest and the largest α, and at the run's best
    /// interior α; `None` where nothing is measured.
    pub ends: [Option<f64>; 2],
    /// … at the run's best interior α.
    pub best: Option<f64>,
}

impl Run {
    /// True when every word of `filter` is somewhere in what is shown of it.
    #[must_use]
    pub fn matches(&self, filter: &str) -> bool {
        let mut text = format!("{} {}", self.name, self.state.name());
        if let Some(it) = &self.found {
            let names = it.datasets.iter().map(|it| it.name.as_str());
            for part in [it.zeroshot.as_str(), &it.finetuned].into_iter().chain(names) {
                text.push(' ');
                text.push_str(part);
            }
        }
        let text = text.to_lowercase();
        filter.to_lowercase().split_whitespace().all(|word| text.contains(word))
    }

    /// Share of the work that is done, in percent; `None` of what is no run.
    #[must_use]
    pub fn percent(&self) -> Option<u64> {
        let found = self.found.as_ref()?;
        let percent = 100 * found.done.min(found.total) / found.total.max(1);
        Some(percent)
    }
}
