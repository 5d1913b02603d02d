//! What the counts say: intervals, the gain of interpolating, barriers, and the
//! verdict. Pure functions of [`SweepState`]; absent is `None`, never NaN.
//!
//! Accuracies are fractions, differences of accuracies that a person reads
//! (gain, barrier) are percentage points; each item says which.

mod bootstrap;
mod chord;
mod intervals;
mod judge;
mod layers;
mod memo;
mod paired;
mod replicates;
mod versus;
mod weights;

pub use intervals::{mcnemar, paired_interval, wilson};
pub use judge::{Barrier, Gain, Judgement, Verdict, barrier, gain, judge, ood_barrier, signed};
pub use layers::{
    Coefficients, Correlation, Criterion, Curvature, Estimate, Joint, LayerBarrier, LayerVerdict,
    Member, Sharpness, Together, claim, correlate, correlations, curvature, latest, layer_barriers,
    layer_path, robust_scores, sharpness, sharpness_and_ood, stragglers, together,
};
pub(super) use memo::{DifferenceKey, Memo};
pub use paired::{Difference, paired_difference};
pub use versus::{Place, Versus, mean_difference, versus};

use super::ids::{AlphaId, CellId, DatasetId, VariantId};
use super::spec::Role;
use super::state::SweepState;

/// An estimate and where the truth lies with 95 % confidence.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// The estimate.
    pub value: f64,
    /// Lower bound; at most `value`.
    pub lo: f64,
    /// Upper bound; at least `value`.
    pub hi: f64,
}

impl Interval {
    /// Larger half of the interval: what stands after ±.
    #[must_use]
    pub fn half(&self) -> f64 {
        (self.value - self.lo).max(self.hi - self.value)
    }

    /// The same in another unit.
    #[must_use]
    pub fn scaled(&self, factor: f64) -> Self {
        Self { value: self.value * factor, lo: self.lo * factor, hi: self.hi * factor }
    }
}

/// Top-1 accuracy of a cell as a fraction, with its Wilson interval; `None`
/// before its first round.
#[must_use]
pub fn accuracy(state: &SweepState, cell: CellId) -> Option<Interval> {
    let cell = state.cell(cell)?;
    let (lo, hi) = wilson(cell.correct, cell.done)?;
    Some(Interval { value: cell.top1()?, lo, hi })
}

/// Ids of the OOD datasets that are not skipped: what the OOD mean is over.
#[must_use]
pub fn ood_datasets(state: &SweepState) -> Vec<DatasetId> {
    state.with_role(Role::Ood).filter(|&dataset| !state.is_skipped(dataset)).collect()
}

/// OOD accuracy: unweighted mean over the OOD datasets that are not skipped of
/// top-1, as a fraction. Partial cells take part as estimates. The interval
/// adds up each dataset's Wilson bounds in quadrature (MOVER, Zou & Donner
/// 2008): the datasets are independent. `None` when a dataset has no result at
/// this point, or there is no OOD dataset.
#[must_use]
pub fn ood_mean(state: &SweepState, variant: VariantId, alpha: AlphaId) -> Option<Interval> {
    let datasets = ood_datasets(state);
    let cells: Option<Vec<Interval>> = datasets
        .iter()
        .map(|&dataset| accuracy(state, CellId { variant, dataset, alpha }))
        .collect();
    let cells = cells.filter(|cells| !cells.is_empty())?;
    let n = cells.len() as f64;
    let value = cells.iter().map(|it| it.value).sum::<f64>() / n;
    let below = cells.iter().map(|it| (it.value - it.lo).powi(2)).sum::<f64>().sqrt() / n;
    let above = cells.iter().map(|it| (it.hi - it.value).powi(2)).sum::<f64>().sqrt() / n;
    Some(Interval { value, lo: value - below, hi: value + above })
}

/// The point of the grid with the highest OOD accuracy, ends and extrapolated
/// points included; the first of equals. `None` before any is known.
#[must_use]
pub fn best_alpha(state: &SweepState, variant: VariantId) -> Option<AlphaId> {
    let points = (0..state.alphas().len()).map(AlphaId);
    first_highest(points.filter_map(|id| Some((id, ood_mean(state, variant, id)?.value))))
}

/// The point with the highest top-1 on one dataset; the first of equals.
#[must_use]
pub fn best_on(state: &SweepState, variant: VariantId, dataset: DatasetId) -> Option<AlphaId> {
    let points = (0..state.alphas().len()).map(AlphaId);
    first_highest(
        points.filter_map(|alpha| {
            Some((alpha, state.cell(CellId { variant, dataset, alpha })?.top1()?))
        }),
    )
}

fn first_highest(values: impl Iterator<Item = (AlphaId, f64)>) -> Option<AlphaId> {
    let first = values.reduce(|best, it| if it.1 > best.1 { it } else { best });
    first.map(|(id, _)| id)
}

#[cfg(test)]
mod tests;
