//! State of the live screen that is not the run: cursor, focus, zoom, panes,
//! questions, and what was asked of the worker but is not in force yet.

use crate::sweep::ids::{DatasetId, ProbeId, VariantId};
use crate::sweep::probe::Probe;
use crate::sweep::spec::Edit;

/// A curve one can focus.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// The unweighted mean over the OOD datasets.
    Mean,
    /// One dataset.
    Dataset(DatasetId),
}

/// What is plotted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Metric {
    /// Top-1, percent.
    #[default]
    Accuracy,
    /// Mean cross-entropy, nats.
    Loss,
}

/// Vertical range of the chart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Zoom {
    /// Every visible curve.
    #[default]
    Fit,
    /// The focused curve (else the OOD mean) and its band.
    Focused,
    /// 0 to 100 % (0 to the largest loss).
    Full,
}

/// Which curves are shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Shown {
    /// All.
    #[default]
    All,
    /// In-distribution ones.
    Id,
    /// Out-of-distribution ones and their mean.
    Ood,
    /// The OOD mean alone.
    Mean,
}

/// How a running sweep is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Leave {
    /// It ends after the batch in hand.
    Now,
    /// It ends when what is in hand is measured.
    After,
    /// Another process goes on with it, without a screen.
    Background,
}

impl Leave {
    /// In the order they are shown.
    pub const ALL: [Self; 3] = [Self::Now, Self::After, Self::Background];

    /// For the list of answers.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Now => "stop now",
            Self::After => "stop after this point",
            Self::Background => "go on in the background",
        }
    }

    /// What it means.
    #[must_use]
    pub fn line(self) -> &'static str {
        match self {
            Self::Now => {
                "It ends after the batch in hand. Everything measured is kept, and the run can be \
                 resumed."
            }
            Self::After => {
                "What is in hand is measured to its end, so that nothing is measured twice. Then \
                 it ends, and the run can be resumed."
            }
            Self::Background => {
                "A process without a screen goes on with the run; this terminal may be closed. \
                 `alphascope watch` shows and commands it."
            }
        }
    }
}

/// A question that waits for an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Question {
    /// Stop the sweep? With the answer that is highlighted.
    Stop(Leave),
    /// Skip this dataset?
    Skip(DatasetId),
    /// Delete the highlighted run of the library?
    Delete,
}

/// Asked for, not yet confirmed by an event.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Requested {
    /// Paused (true) or going on (false).
    pub pause: Option<bool>,
    /// Datasets to be skipped (true) or taken back (false).
    pub skip: Vec<(DatasetId, bool)>,
    /// Dataset to come first (`Some(None)`: the spec's order).
    pub first: Option<Option<DatasetId>>,
    /// To be measured beside accuracy.
    pub probes: Vec<Probe>,
    /// To be measured no more.
    pub cancels: Vec<ProbeId>,
    /// Edits of variants to be measured.
    pub variants: Vec<Vec<Edit>>,
    /// Variants to be dropped (true) or taken back (false).
    pub drops: Vec<(VariantId, bool)>,
    /// The doctor is to look for a repair.
    pub doctor: bool,
    /// The sweep is to be left so.
    pub stop: Option<Leave>,
}

impl Requested {
    /// What is asked for this dataset, if anything: skip or take back.
    #[must_use]
    pub fn skip_of(&self, dataset: DatasetId) -> Option<bool> {
        self.skip.iter().find(|(it, _)| *it == dataset).map(|(_, skip)| *skip)
    }

    /// What is asked for this variant, if anything: drop or take back.
    #[must_use]
    pub fn drop_of(&self, variant: VariantId) -> Option<bool> {
        self.drops.iter().find(|(it, _)| *it == variant).map(|(_, drop)| *drop)
    }
}

/// The live screen's own state.
#[derive(Clone, Debug, PartialEq)]
pub struct Live {
    /// Whose curves: the dense sweep's, or a variant's over it.
    pub variant: VariantId,
    /// Index into the α grid; `None` until a person moves it (then numbers are
    /// shown at the best α).
    pub cursor: Option<usize>,
    /// Focused curve.
    pub focus: Option<Target>,
    /// The focused curve has the screen to itself.
    pub alone: bool,
    /// Vertical range.
    pub zoom: Zoom,
    /// Steps zoomed in (positive) or out (negative) from [`Live::zoom`].
    pub steps: i8,
    /// Accuracy or loss.
    pub metric: Metric,
    /// Which curves.
    pub shown: Shown,
    /// The table is up in place of the chart.
    pub table: bool,
    /// The log pane is up.
    pub log: bool,
    /// Lines scrolled up from the log's end, or down the table.
    pub scroll: usize,
    /// An open question.
    pub question: Option<Question>,
    /// Asked, not in force yet.
    pub requested: Requested,
    /// A passing word on the footer, until the next key.
    pub word: Option<String>,
}

impl Default for Live {
    fn default() -> Self {
        Self {
            variant: VariantId::DENSE,
            cursor: None,
            focus: None,
            alone: false,
            zoom: Zoom::default(),
            steps: 0,
            metric: Metric::default(),
            shown: Shown::default(),
            table: false,
            log: false,
            scroll: 0,
            question: None,
            requested: Requested::default(),
            word: None,
        }
    }
}

/// Columns and rows under which the screen has room for numbers only.
pub const SMALLEST: (u16, u16) = (60, 16);

/// The most zoom steps either way.
pub const ZOOM_STEPS: i8 = 6;

impl Metric {
    /// The other one.
    #[must_use]
    pub fn next(self) -> Self {
        match self {
            Self::Accuracy => Self::Loss,
            Self::Loss => Self::Accuracy,
        }
    }
}

impl Zoom {
    /// Fit → focused → full → fit.
    #[must_use]
    pub fn next(self) -> Self {
        match self {
            Self::Fit => Self::Focused,
            Self::Focused => Self::Full,
            Self::Full => Self::Fit,
        }
    }
}

impl Shown {
    /// All → ID → OOD → mean → all.
    #[must_use]
    pub fn next(self) -> Self {
        match self {
            Self::All => Self::Id,
            Self::Id => Self::Ood,
            Self::Ood => Self::Mean,
            Self::Mean => Self::All,
        }
    }

    /// For the chart's title.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::All => "all datasets",
            Self::Id => "ID only",
            Self::Ood => "OOD only",
            Self::Mean => "OOD mean only",
        }
    }
}
