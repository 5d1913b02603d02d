//! What a person may ask of a running sweep. Commands are polled between
//! batches, so the delay is one batch.

use serde::{Deserialize, Serialize};

use super::ids::DatasetId;

/// One request to the worker side.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
    /// End after the batch in hand; the run can be resumed.
    Stop,
}
