//! What is measured beside accuracy: `[sharpness]`, `[barriers]`, `[curvature]`.
//!
//! Each section is one *probe*: a number (with its error) for every layer at
//! every α. A probe can be in the spec, or be asked for while a sweep runs.

use serde::{Deserialize, Serialize};

use super::super::ids::Alpha;

/// Which layers a probe looks at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Layers {
    /// None: only the whole.
    None,
    /// Stem, transformer blocks, head.
    #[default]
    Block,
    /// Attention and MLP of each block apart.
    Module,
    /// Every tensor in its canonical packing.
    Tensor,
}

/// How a perturbation is chosen (Andriushchenko et al. 2023).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SharpnessKind {
    /// Mean over random perturbations, in antithetic pairs.
    #[default]
    Average,
    /// Maximum over a ball, by Auto-PGD.
    Worst,
}

/// The ball's norm.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Norm {
    /// Gaussian draws; ellipsoid.
    #[default]
    L2,
    /// Uniform draws; box.
    Linf,
}

/// Whose magnitudes scale an adaptive perturbation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scale {
    /// Of the model measured (the literature's): a weight that is zero is never
    /// perturbed.
    #[default]
    #[serde(rename = "self")]
    Own,
    /// Of the dense model at the same α: for comparing variants.
    Dense,
}

/// `[sharpness]`. The defaults are SCIENCE's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SharpnessSpec {
    /// Average- or worst-case.
    pub kind: SharpnessKind,
    /// Of the perturbation.
    pub norm: Norm,
    /// Elementwise scale c = |θ|, else 1.
    pub adaptive: bool,
    /// Whose |θ|.
    pub scale: Scale,
    /// Radius ρ, relative where adaptive.
    pub rho: f64,
    /// Average case: draws, an even number (antithetic pairs).
    pub draws: usize,
    /// Worst case: Auto-PGD steps.
    pub steps: usize,
    /// Worst case: how often it starts anew.
    pub restarts: usize,
    /// Worst case: start at a random point of the ball rather than its centre.
    pub random_start: bool,
    /// Images per batch: the loss whose rise is measured is a batch's mean.
    pub batch: usize,
    /// How many batches, from the start of the dataset's seeded order.
    pub batches: usize,
    /// Which dataset; absent: the first id dataset, else the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dataset: Option<String>,
    /// Measure every layer in play at once too.
    pub overall: bool,
    /// Which layers alone.
    pub layers: Layers,
    /// Centre the logits and divide by their norm, per image, before the loss.
    pub logit_normalization: bool,
}

impl Default for SharpnessSpec {
    fn default() -> Self {
        Self {
            kind: SharpnessKind::Average,
            norm: Norm::L2,
            adaptive: true,
            scale: Scale::Own,
            rho: 0.2,
            draws: 16,
            steps: 20,
            restarts: 1,
            random_start: false,
            batch: 128,
            batches: 4,
            dataset: None,
            overall: true,
            layers: Layers::Block,
            logit_normalization: false,
        }
    }
}

/// Where the layers that do not move stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Base {
    /// θ₁.
    #[default]
    Finetuned,
    /// θ₀.
    Zeroshot,
    /// θ(½).
    Midpoint,
}

/// `[barriers]`: the layer-wise path (Adilova et al. 2024). Only one layer
/// moves along α.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BarrierSpec {
    /// Where the others stand.
    pub base: Base,
    /// Which layers move.
    pub layers: Layers,
    /// What accuracy is taken on; absent: every id dataset, else the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub datasets: Option<Vec<String>>,
    /// Images of each, from the start of its seeded order.
    pub images: usize,
    /// Also move each layer as far in a random direction (the robustness
    /// control): what a barrier owes to distance alone.
    pub control: bool,
}

impl Default for BarrierSpec {
    fn default() -> Self {
        Self {
            base: Base::Finetuned,
            layers: Layers::Block,
            datasets: None,
            images: 512,
            control: false,
        }
    }
}

/// `[curvature]`: trace and largest eigenvalue of each layer's block of the
/// Hessian of the mean cross-entropy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CurvatureSpec {
    /// Which layers.
    pub layers: Layers,
    /// At which points of the grid; absent: both ends and the middle of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alphas: Option<Vec<Alpha>>,
    /// Rademacher probes of Hutchinson's estimator.
    pub probes: usize,
    /// Steps of the power iteration, at most.
    pub iterations: usize,
    /// Images per batch.
    pub batch: usize,
    /// How many batches.
    pub batches: usize,
    /// Which dataset; absent: the first id dataset, else the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dataset: Option<String>,
}

impl Default for CurvatureSpec {
    fn default() -> Self {
        Self {
            layers: Layers::Block,
            alphas: None,
            probes: 8,
            iterations: 20,
            batch: 128,
            batches: 1,
            dataset: None,
        }
    }
}
