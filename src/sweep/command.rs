//! What a person may ask of a running sweep. Commands are polled between
//! batches, so the delay is one batch.

use serde::{Deserialize, Serialize};

use super::ids::{DatasetId, ProbeId, VariantId};
use super::probe::Probe;
use super::spec::{DoctorSpec, Edit, Variant};

/// One request to the worker side.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case")]
pub enum Command {
    /// Stop measuring after the batch in hand; keep everything.
    Pause,
    /// Go on.
    Resume,
    /// Measure no more of this dataset; what is measured stays.
    Skip {
        /// Which dataset.
        dataset: DatasetId,
    },
    /// Take a skipped dataset back.
    Unskip {
        /// Which dataset.
        dataset: DatasetId,
    },
    /// Measure this dataset's cells before the others' in each round; `None`
    /// goes back to the spec's order.
    Focus {
        /// Which dataset first.
        dataset: Option<DatasetId>,
    },
    /// Measure this too. Asked twice in equal words, it is one probe (and taken
    /// back if it was cancelled).
    Probe {
        /// What.
        probe: Box<Probe>,
    },
    /// Measure no more of a probe; what is measured stays.
    CancelProbe {
        /// Which.
        probe: ProbeId,
    },
    /// Measure this variant too, before what is left of the others. One with
    /// the same edits is taken back rather than added.
    AddVariant {
        /// What it does.
        variant: Variant,
    },
    /// Measure no more of a variant; what is measured stays.
    DropVariant {
        /// Which; never the dense one.
        variant: VariantId,
    },
    /// Measure no more of the variant with these edits, unless it is complete:
    /// another what-if takes its place. By its edits, because one that was just
    /// asked for has no number yet.
    Supersede {
        /// What the variant does.
        sparsify: Vec<Edit>,
    },
    /// Look for an edit that repairs the path, once what is owed is measured.
    Doctor {
        /// How.
        spec: DoctorSpec,
    },
    /// End after the batch in hand; the run can be resumed.
    Stop,
    /// End when what each worker has in hand is measured whole; the run can be
    /// resumed, and nothing is measured twice.
    StopAfter,
}

impl Command {
    /// True for what gives a sweep more to do: one that has ended goes on for it.
    #[must_use]
    pub fn is_work(&self) -> bool {
        matches!(
            self,
            Self::Probe { .. }
                | Self::AddVariant { .. }
                | Self::Doctor { .. }
                | Self::Unskip { .. }
        )
    }
}
