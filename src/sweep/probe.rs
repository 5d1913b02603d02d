//! Probes: a number, with its error, for every layer at every α. What is asked,
//! what an engine answers, and in which raw form it is kept, so that estimates
//! and their errors are computed by the fold and never by the engine.

use serde::{Deserialize, Serialize};

use super::event::Bits;
use super::ids::{DatasetId, ProbeCell, WorkerId};
use super::spec::{BarrierSpec, Base, CurvatureSpec, Layers, SharpnessSpec};

/// Something measured layer by layer. Datasets are resolved to ids.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Probe {
    /// How much the loss rises under a perturbation of the weights.
    Sharpness {
        /// How; its `dataset` is the one of `on`.
        spec: SharpnessSpec,
        /// Whose images.
        on: DatasetId,
    },
    /// Accuracy while one layer alone moves along its part of the path.
    Path {
        /// How.
        spec: BarrierSpec,
        /// Whose images.
        on: Vec<DatasetId>,
        /// Where the layer goes.
        direction: Direction,
    },
    /// Trace and largest eigenvalue of the layer's Hessian block.
    Curvature {
        /// How.
        spec: CurvatureSpec,
        /// Whose images.
        on: DatasetId,
    },
}

/// Where a layer goes on its own path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// From θ₀ to θ₁.
    #[default]
    Path,
    /// As far, in a seeded random direction: the robustness control.
    Random,
}

impl Probe {
    /// Which layers it looks at.
    #[must_use]
    pub fn layers(&self) -> Layers {
        match self {
            Self::Sharpness { spec, .. } => spec.layers,
            Self::Path { spec, .. } => spec.layers,
            Self::Curvature { spec, .. } => spec.layers,
        }
    }

    /// Whether it looks at every layer at once too.
    #[must_use]
    pub fn overall(&self) -> bool {
        matches!(self, Self::Sharpness { spec, .. } if spec.overall)
    }

    /// Where the layers that do not move stand, of a layer-wise path.
    #[must_use]
    pub fn base(&self) -> Option<Base> {
        match self {
            Self::Path { spec, .. } => Some(spec.base),
            _ => None,
        }
    }
}

/// One answer, as the journal keeps it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Probed {
    /// Of what.
    pub cell: ProbeCell,
    /// Who measured it.
    pub worker: WorkerId,
    /// Seconds it took.
    pub seconds: f64,
    /// What came out.
    pub result: ProbeResult,
}

/// What came out of one cell of a probe.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum ProbeResult {
    /// Of [`Probe::Sharpness`].
    Sharpness(SharpnessResult),
    /// Of [`Probe::Path`]: one entry per dataset asked for.
    Path {
        /// In the order of the probe's datasets.
        on: Vec<PathResult>,
    },
    /// Of [`Probe::Curvature`].
    Curvature(CurvatureResult),
}

/// Rises of the loss under perturbations.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SharpnessResult {
    /// Unperturbed mean cross-entropy of each batch, in nats.
    pub losses: Vec<f64>,
    /// \[batch\]\[draw\]: rise of the batch's loss, in nats. Average case: one
    /// entry per antithetic pair, the mean of its two rises, in the order of
    /// pairs; other draws in every batch, the same at every α. Worst case: one entry, the largest
    /// rise found (≥ 0).
    pub rises: Vec<Vec<f64>>,
    /// The logit scale that the losses depend on; `None` where a stored head
    /// has it in its weights.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logit_scale: Option<f64>,
    /// Numbers in play.
    pub parameters: u64,
    /// Of these, how many have the scale 0 and were never perturbed.
    pub frozen: u64,
}

/// Counts on the probe images of one dataset.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PathResult {
    /// Which dataset.
    pub dataset: DatasetId,
    /// Images counted.
    pub images: usize,
    /// Top-1 hits among them.
    pub correct: usize,
    /// Sum of cross-entropies, in nats.
    pub loss_sum: f64,
    /// One bit per image in the order of positions: was it a top-1 hit.
    pub hits: Bits,
}

/// Second derivatives of the mean cross-entropy in one layer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CurvatureResult {
    /// \[batch\]\[probe\]: vᵀHv of Rademacher v; their mean estimates tr H
    /// (Hutchinson). The same v in every batch.
    pub quadratic: Vec<Vec<f64>>,
    /// Largest eigenvalue (by magnitude) of each batch's H, by power iteration.
    pub eigenvalues: Vec<f64>,
    /// ‖Hv − λv‖ / |λ| at the last step, of each batch: how far the iteration
    /// got.
    pub residuals: Vec<f64>,
    /// Numbers in the layer.
    pub parameters: u64,
}
