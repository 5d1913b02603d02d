//! What statistics have added up of a fold's results is kept beside it, so that
//! they are carried on by what is new: what they cost does not grow with what was
//! measured before. Nothing is ever taken from a fold, so what is kept stays true;
//! and as sums are of whole numbers, what statistics say is the same with it
//! and without.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Mutex, MutexGuard};

use super::super::event::Bits;
use super::super::ids::{AlphaId, CellId, DatasetId, LayerId, ProbeId, RoundId, VariantId};
use super::super::state::SweepState;
use super::paired::Changes;
use super::replicates::Replicates;
use super::weights::Weights;
use super::{Interval, LayerBarrier};

/// Sums of one dataset that are kept at different points: at its own, and at
/// those that all OOD datasets know.
const LISTS: usize = 2;

/// Pairs of cells of which changes are kept: more than one looks at in turn.
const PAIRS: usize = 100_000;

/// The layer of a path and a dataset.
pub(super) type BarrierKey = (ProbeId, VariantId, LayerId, DatasetId);

/// Two variants, and of each of some datasets the rounds `start..end`.
pub(in crate::sweep) type DifferenceKey = (VariantId, VariantId, Vec<(DatasetId, usize, usize)>);

/// Kept with a [`SweepState`]. A copy of it remembers nothing, and it makes no
/// difference between two states.
#[derive(Default)]
pub(in crate::sweep) struct Memo(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    rounds: BTreeMap<(VariantId, DatasetId), Vec<Rounds>>,
    /// With the points that it was made of.
    barriers: BTreeMap<BarrierKey, (Vec<AlphaId>, Option<LayerBarrier>)>,
    differences: BTreeMap<DifferenceKey, Interval>,
    pairs: BTreeMap<(CellId, CellId), (Seen, Changes)>,
}

impl Memo {
    /// What the images measured at all of `points` gave, handed to `with`. Adds
    /// the rounds that are not in it yet. `None` when there is no such image.
    pub(super) fn replicates<T>(
        state: &SweepState,
        variant: VariantId,
        dataset: DatasetId,
        points: &[AlphaId],
        with: impl FnOnce(&Replicates) -> T,
    ) -> Option<T> {
        let seed = state.header()?.seed;
        let ends = &state.datasets().get(dataset.index())?.rounds;
        let mut kept = state.memo.kept();
        let lists = kept.rounds.entry((variant, dataset)).or_default();
        let mut it = Rounds::taken_from(lists, points);
        it.catch_up(state, (variant, dataset), seed, ends);
        let told = (it.sums.images > 0).then(|| with(&it.sums));
        lists.insert(0, it);
        lists.truncate(LISTS);
        told
    }

    /// The barrier of a layer that was made of the results at `points`, else what
    /// `make` says.
    pub(super) fn barrier(
        &self,
        key: BarrierKey,
        points: &[AlphaId],
        make: impl FnOnce() -> Option<LayerBarrier>,
    ) -> Option<LayerBarrier> {
        if let Some((of, barrier)) = self.kept().barriers.get(&key)
            && of == points
        {
            return barrier.clone();
        }
        let barrier = make();
        self.kept().barriers.insert(key, (points.to_vec(), barrier.clone()));
        barrier
    }

    /// A difference over results that are all there, else what `make` says.
    pub(in crate::sweep) fn difference(
        &self,
        key: DifferenceKey,
        make: impl FnOnce() -> Option<Interval>,
    ) -> Option<Interval> {
        if let Some(known) = self.kept().differences.get(&key) {
            return Some(*known);
        }
        let made = make()?;
        self.kept().differences.insert(key, made);
        Some(made)
    }

    /// What changes from one cell to another, over the rounds that both have.
    pub(super) fn changes(state: &SweepState, from: CellId, to: CellId) -> Option<Changes> {
        let (before, after) = (state.cell(from)?, state.cell(to)?);
        let mut kept = state.memo.kept();
        if kept.pairs.len() >= PAIRS {
            kept.pairs.clear();
        }
        let (seen, changes) = kept.pairs.entry((from, to)).or_default();
        let end = before.rounds_end().min(after.rounds_end());
        seen.each_new(end, |round| changes.add(before, after, round));
        Some(*changes)
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(|poisoned| {
            // Whoever held it may have stopped half-way.
            self.0.clear_poison();
            let mut kept = poisoned.into_inner();
            *kept = Kept::default();
            kept
        })
    }
}

impl Clone for Memo {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl PartialEq for Memo {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl fmt::Debug for Memo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Memo")
    }
}

/// Which rounds are in a sum: they come nearly in order.
#[derive(Clone, Debug, Default)]
struct Seen {
    /// All before this one.
    before: usize,
    /// … and these.
    after: BTreeSet<usize>,
}

impl Seen {
    /// Offers each round of `0..end` that is not in the sum to `add`, which says
    /// whether it is now.
    fn each_new(&mut self, end: usize, mut add: impl FnMut(RoundId) -> bool) {
        for round in self.before..end {
            if !self.after.contains(&round) && add(RoundId(round)) {
                self.after.insert(round);
            }
        }
        while self.after.remove(&self.before) {
            self.before += 1;
        }
    }
}

/// Sums over whole rounds of one variant on one dataset.
#[derive(Debug)]
struct Rounds {
    points: Vec<AlphaId>,
    seen: Seen,
    sums: Replicates,
}

impl Rounds {
    /// The sums at just these points; else those at more points, without the
    /// others: what was measured at all of them was at these. Else none yet.
    fn taken_from(lists: &mut Vec<Self>, points: &[AlphaId]) -> Self {
        if let Some(at) = lists.iter().position(|it| it.points == points) {
            return lists.remove(at);
        }
        let wider = |it: &&Self| points.iter().all(|point| it.points.contains(point));
        let (seen, sums) = match lists.iter().find(wider) {
            Some(wider) => {
                let kept: Vec<bool> = wider.points.iter().map(|it| points.contains(it)).collect();
                (wider.seen.clone(), wider.sums.only(&kept))
            }
            None => (Seen::default(), Replicates::new(points.len())),
        };
        Self { points: points.to_vec(), seen, sums }
    }

    /// Adds every round that all points know.
    fn catch_up(
        &mut self,
        state: &SweepState,
        (variant, dataset): (VariantId, DatasetId),
        seed: u64,
        ends: &[usize],
    ) {
        let cell = |&alpha: &AlphaId| state.cell(CellId { variant, dataset, alpha });
        let Some(cells) = self.points.iter().map(cell).collect::<Option<Vec<_>>>() else { return };
        let end = cells.iter().map(|cell| cell.rounds_end()).min().unwrap_or(0);
        let mut weights = Weights::new(seed, dataset.index() as u64);
        self.seen.each_new(end, |round| {
            let hits: Option<Vec<&Bits>> = cells.iter().map(|cell| cell.hits(round)).collect();
            let start = round.index().checked_sub(1).map_or(0, |last| ends[last]);
            hits.map(|hits| self.sums.add(&mut weights, start, &hits)).is_some()
        });
    }
}
