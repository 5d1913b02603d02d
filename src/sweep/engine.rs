//! What a measuring engine offers, in plain numbers. `torch` implements it on
//! libtorch, `sim` on a seeded formula; `drive` is the only caller.

use thiserror::Error;

use super::activation::ActivationProbe;
use super::event::LayerInfo;
use super::ids::{Alpha, DatasetId};
use super::probe::{Probe, ProbeResult};
use super::spec::Variant;
use super::zeros::Zeros;

/// What one batch of images gave at one point of the path.
///
/// The vectors have one entry per image, in the order the images were asked
/// for, so that differences between points can be paired.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BatchOutcome {
    /// Whether the largest logit was the label's (top-1).
    pub hit: Vec<bool>,
    /// Whether the label was among the five largest logits. `None` where the
    /// dataset has five classes or fewer.
    pub hit5: Option<Vec<bool>>,
    /// Cross-entropy of each image, in nats.
    pub loss: Vec<f64>,
    /// Images whose two largest logits differ by less than
    /// [`NEAR_TIE`] × the largest magnitude: another batch size, thread count
    /// or device may flip them.
    pub near_ties: u32,
}

/// Relative gap of the two largest logits under which a prediction may flip
/// with rounding.
pub const NEAR_TIE: f64 = 1e-4;

/// What to do after an error that leaves a GPU's context in an unknown state:
/// this process can ask nothing more of it.
pub const POISONED: &str = "nothing more can be asked of this GPU by this process; go on with the \
                            run in a new one, on another device (`--device`) if it fails again";
/// What to do when a device is not there any more.
pub const GONE: &str = "the device is not there any more; see `alphascope devices` and nvidia-smi \
                        (it may need a reset), then go on with the run there or with `--device cpu`";

/// What people are told when so many images a pass do not fit in memory.
#[must_use]
pub fn short_of_memory(many: usize, now: usize) -> String {
    format!(
        "out of memory with {many} images a pass: going on with {now}; results do not change, a \
         smaller `batch` avoids the retries"
    )
}

/// Why a batch could not be measured.
#[derive(Debug, Error)]
pub enum EngineError {
    /// This cell failed; others may still be measured.
    #[error("{0}")]
    Cell(String),
    /// Images could not be read; the message names them.
    #[error("{0}")]
    Data(String),
    /// The device cannot be used any more: the worker must end. What is
    /// measured is kept and the run can be resumed.
    #[error("{0}")]
    Fatal(String),
}

/// Asked by a long measurement between its steps.
pub trait Steer {
    /// `done` of the whole is done (0 to 1, for people). Waits while the sweep
    /// is paused; false when the measurement is to be left.
    fn go_on(&mut self, done: f64) -> bool;
}

/// Never stops.
impl Steer for () {
    fn go_on(&mut self, _: f64) -> bool {
        true
    }
}

/// One device's worth of measuring. Engines live on their worker's thread and
/// are built there (nothing of them crosses threads), so `Send` is not asked.
pub trait Engine {
    /// A short name for people: `CPU, 2 threads` or `cuda:0 NVIDIA H200`.
    fn device(&self) -> String;

    /// Brings the weights to a variant's θ(α), in place. Does nothing when they
    /// are there.
    ///
    /// # Errors
    /// When a layer is unknown or the device fails.
    fn set_point(&mut self, alpha: Alpha, variant: &Variant) -> Result<(), EngineError>;

    /// Measures some images at the current point: `positions` in the dataset's
    /// seeded visiting order (the engine's inputs know which image stands
    /// where), at most the spec's batch size at a time.
    ///
    /// # Errors
    /// When images cannot be read, logits are not finite, or the device fails.
    fn evaluate(
        &mut self,
        dataset: DatasetId,
        positions: std::ops::Range<usize>,
    ) -> Result<BatchOutcome, EngineError>;

    /// Probes one layer at the present point (`None`: every layer in play at
    /// once). The answer depends on the inputs, the run's seed and the
    /// arguments alone: not on what was asked before, nor on the device beyond
    /// rounding. `steer` is asked between forward passes; when it says stop the
    /// answer is `None`. Afterwards the weights stand where they stood.
    ///
    /// # Errors
    /// When images cannot be read, a loss is not finite, or the device fails.
    fn probe(
        &mut self,
        probe: &Probe,
        layer: Option<&LayerInfo>,
        steer: &mut dyn Steer,
    ) -> Result<Option<ProbeResult>, EngineError>;

    /// Counts the zeros at the present point, of each tensor that its variant
    /// edits, by name. `None`: this engine cannot. The weights stay where they are.
    ///
    /// # Errors
    /// When the device fails.
    fn count_zeros(&mut self) -> Result<Option<Vec<Zeros>>, EngineError> {
        Ok(None)
    }

    /// Measures a few images at the zero-shot end with the activation in force
    /// and with the other one. `steer` is asked between batches. `None`: there
    /// is nothing to compare, it is not wanted, or `steer` said stop. What is
    /// measured afterwards is what it would have been without.
    ///
    /// # Errors
    /// As [`Self::evaluate`]; nothing but this answer is lost by it.
    fn probe_activation(
        &mut self,
        steer: &mut dyn Steer,
    ) -> Result<Option<ActivationProbe>, EngineError> {
        let _ = steer;
        Ok(None)
    }

    /// What a person should know about how this engine measures, from the start
    /// on: it stands in reports. Mostly nothing.
    fn notices(&self) -> &[String] {
        &[]
    }

    /// What a person should know of what happened since the last call: that
    /// memory was short, say, and what was done about it. Mostly nothing.
    fn told(&mut self) -> Vec<String> {
        Vec::new()
    }

    /// Says which positions the next round will ask for, so that their images
    /// can be decoded meanwhile. A hint: doing nothing is right too.
    fn upcoming(&mut self, dataset: DatasetId, positions: std::ops::Range<usize>) {
        let _ = (dataset, positions);
    }
}
