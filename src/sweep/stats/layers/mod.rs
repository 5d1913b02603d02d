//! What the probes say of layers: estimates with errors, barriers of
//! layer-wise paths, stragglers, and whether sharpness goes with OOD accuracy.

mod barriers;
mod claim;
mod correlation;
mod estimate;
mod stragglers;

pub use barriers::{LayerBarrier, layer_barriers, layer_path};
pub use claim::claim;
pub use correlation::{Coefficients, Correlation, correlate, correlations, sharpness_and_ood};
pub use estimate::{Curvature, Estimate, Sharpness, curvature, sharpness};
pub use stragglers::{Criterion, LayerVerdict, Thresholds, robust_scores, stragglers};

#[cfg(test)]
mod tests;
