//! What the probes say of layers: estimates with errors, barriers of
//! layer-wise paths, stragglers, and whether sharpness goes with OOD accuracy.

mod barriers;
mod claim;
mod correlation;
mod estimate;
mod stragglers;
mod together;

pub use barriers::{LayerBarrier, layer_barriers, layer_path};
pub use claim::claim;
pub use correlation::{Coefficients, Correlation, correlate, correlations, sharpness_and_ood};
pub use estimate::{Curvature, Estimate, Sharpness, curvature, sharpness};
pub use stragglers::{Criterion, LayerVerdict, robust_scores, stragglers};
pub use together::{Joint, Member, Together, together};

use crate::sweep::ids::{ProbeId, VariantId};
use crate::sweep::probe::Probe;
use crate::sweep::state::{ProbeState, SweepState};

/// Which of several measurements of a kind counts: the last that nobody
/// cancelled and that has a result of this variant; else the last cancelled one
/// that has; else, while nothing is measured, the last that nobody cancelled,
/// then any. `None` where none was asked for.
#[must_use]
pub fn latest(
    state: &SweepState,
    variant: VariantId,
    wanted: impl Fn(&Probe) -> bool,
) -> Option<ProbeId> {
    let rank = |it: &ProbeState| {
        (it.results().any(|probed| probed.cell.variant == variant), !it.cancelled)
    };
    let all = state.probes().iter().enumerate().filter(|(_, it)| wanted(&it.probe));
    // Of equals the last.
    all.max_by_key(|(_, it)| rank(it)).map(|(i, _)| ProbeId(i))
}

#[cfg(test)]
mod tests;
