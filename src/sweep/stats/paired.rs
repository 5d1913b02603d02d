//! Results on the same images at several points: the only fair comparison.

use super::super::ids::{AlphaId, CellId, DatasetId, RoundId, VariantId};
use super::super::state::{CellState, Status, SweepState};
use super::memo::Memo;
use super::{Interval, mcnemar, paired_interval};

/// Two points compared on the images measured at both.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Difference {
    /// Accuracy at the second point minus at the first, as a fraction.
    pub difference: Interval,
    /// Right at the second point only.
    pub gained: usize,
    /// Right at the first point only.
    pub lost: usize,
    /// Images compared.
    pub images: usize,
    /// McNemar's exact two-sided p-value.
    pub p: f64,
}

/// Compares accuracy at `to` with accuracy at `from` on the images of one
/// dataset that both were measured on (whole rounds). `None` when there is no
/// such image.
#[must_use]
pub fn paired_difference(
    state: &SweepState,
    variant: VariantId,
    dataset: DatasetId,
    from: AlphaId,
    to: AlphaId,
) -> Option<Difference> {
    let cell = |alpha| CellId { variant, dataset, alpha };
    let it = Memo::changes(state, cell(from), cell(to))?;
    let Changes { gained, lost, images } = it;
    let difference = it.interval()?;
    Some(Difference { difference, gained, lost, images, p: mcnemar(gained, lost) })
}

/// Points of the path, 0 ≤ α ≤ 1, that have a result on this dataset and have
/// not failed on it; ascending.
pub(super) fn known_points(
    state: &SweepState,
    variant: VariantId,
    dataset: DatasetId,
) -> Vec<AlphaId> {
    let inside = |alpha: &AlphaId| {
        let point = state.alphas()[alpha.index()];
        point.is_end() || point.is_interior()
    };
    let known = |&alpha: &AlphaId| {
        let id = CellId { variant, dataset, alpha };
        state.cell(id).is_some_and(|cell| cell.done > 0)
            && !matches!(state.status(id), Some(Status::Failed(_)))
    };
    (0..state.alphas().len()).map(AlphaId).filter(inside).filter(known).collect()
}

/// From one cell to another, over rounds that both have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Changes {
    /// Images right at the second only.
    pub gained: usize,
    /// Images right at the first only.
    pub lost: usize,
    /// Images compared.
    pub images: usize,
}

impl Changes {
    /// Over all rounds.
    pub fn between(before: &CellState, after: &CellState) -> Self {
        let mut all = Self::default();
        for round in 0..before.rounds_end().min(after.rounds_end()) {
            all.add(before, after, RoundId(round));
        }
        all
    }

    /// Adds a round; false where it is not measured in both.
    pub fn add(&mut self, before: &CellState, after: &CellState, round: RoundId) -> bool {
        let (Some(a), Some(b)) = (before.hits(round), after.hits(round)) else { return false };
        let (gained, lost) = a.changes(b);
        self.gained += gained;
        self.lost += lost;
        self.images += a.len().min(b.len());
        true
    }

    /// As [`paired_interval`] has it.
    pub fn interval(&self) -> Option<Interval> {
        paired_interval(self.gained, self.lost, self.images)
    }
}
