//! Two points compared over all datasets of a role: of one run, or of two.

use super::super::ids::{AlphaId, CellId, DatasetId, VariantId};
use super::super::spec::Role;
use super::super::state::SweepState;
use super::memo::Memo;
use super::paired::Changes;
use super::{Interval, accuracy};

/// One variant at one point of a run's grid.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// Whose numbers.
    pub run: &'a SweepState,
    /// Which sparsification.
    pub variant: VariantId,
    /// Where on the path.
    pub alpha: AlphaId,
}

/// A difference of means over datasets.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Versus {
    /// In percentage points.
    pub points: Interval,
    /// True when it was taken image by image on every dataset; else the two
    /// means are taken as independent, and the interval is wider.
    pub paired: bool,
}

/// Mean over the datasets of a role of the accuracy at `to` minus that at
/// `from`. `same` says of a dataset's name that both runs have the very same
/// images of it; where all are, visited in the same order, the difference is
/// taken on the images measured at both. Intervals of the datasets, which are
/// independent, add up in quadrature (MOVER, Zou & Donner 2008).
///
/// `None` when a dataset has nothing to compare, or the two runs do not have
/// the same datasets by name.
#[must_use]
pub fn versus(
    role: Role,
    from: Place<'_>,
    to: Place<'_>,
    same: &dyn Fn(&str) -> bool,
) -> Option<Versus> {
    let pairs = matched(role, from.run, to.run)?;
    let alike = pairs.iter().all(|&pair| is_paired(from.run, to.run, pair, same));
    let of = if alike { paired } else { apart };
    let parts: Option<Vec<Interval>> = pairs.into_iter().map(|pair| of(from, to, pair)).collect();
    let parts = parts.filter(|it| !it.is_empty())?;
    let n = parts.len() as f64;
    let value = parts.iter().map(|it| it.value).sum::<f64>() / n;
    let below = parts.iter().map(|it| (it.value - it.lo).powi(2)).sum::<f64>().sqrt() / n;
    let above = parts.iter().map(|it| (it.hi - it.value).powi(2)).sum::<f64>().sqrt() / n;
    let points = Interval { value, lo: value - below, hi: value + above }.scaled(100.0);
    Some(Versus { points, paired: alike })
}

/// [`versus`] within one run: always paired.
#[must_use]
pub fn mean_difference(
    run: &SweepState,
    role: Role,
    from: (VariantId, AlphaId),
    to: (VariantId, AlphaId),
) -> Option<Interval> {
    let place = |(variant, alpha)| Place { run, variant, alpha };
    versus(role, place(from), place(to), &|_| true).map(|it| it.points)
}

type Pair = (DatasetId, DatasetId);

/// Datasets of a role that neither run skips, matched by name; `None` when one
/// has a dataset that the other has not.
fn matched(role: Role, from: &SweepState, to: &SweepState) -> Option<Vec<Pair>> {
    let kept = |run: &SweepState| -> Vec<DatasetId> {
        run.with_role(role).filter(|&id| !run.is_skipped(id)).collect()
    };
    let (ours, theirs) = (kept(from), kept(to));
    let twin = |id: &DatasetId| {
        let name = &from.datasets()[id.index()].name;
        let is_it = |other: &&DatasetId| to.datasets()[other.index()].name == *name;
        theirs.iter().find(is_it).map(|other| (*id, *other))
    };
    let pairs = ours.iter().map(twin).collect::<Option<Vec<Pair>>>()?;
    (pairs.len() == theirs.len()).then_some(pairs)
}

/// Position by position the same image in both runs.
fn is_paired(
    from: &SweepState,
    to: &SweepState,
    (a, b): Pair,
    same: &dyn Fn(&str) -> bool,
) -> bool {
    let (ours, theirs) = (&from.datasets()[a.index()], &to.datasets()[b.index()]);
    let seed = |run: &SweepState| run.header().map(|header| header.seed);
    // The order of visits follows from the seed, the name and the images.
    same(&ours.name) && ours.rounds == theirs.rounds && seed(from) == seed(to)
}

fn paired(from: Place<'_>, to: Place<'_>, (a, b): Pair) -> Option<Interval> {
    let cell = |it: Place<'_>, dataset| {
        let Place { variant, alpha, .. } = it;
        CellId { variant, dataset, alpha }
    };
    let (first, second) = (cell(from, a), cell(to, b));
    let changes = if std::ptr::eq(from.run, to.run) {
        Memo::changes(from.run, first, second)?
    } else {
        Changes::between(from.run.cell(first)?, to.run.cell(second)?)
    };
    changes.interval()
}

/// As if the images had nothing to do with each other (Newcombe 1998, from
/// Wilson's bounds).
fn apart(from: Place<'_>, to: Place<'_>, (a, b): Pair) -> Option<Interval> {
    let of = |it: Place<'_>, dataset| {
        accuracy(it.run, CellId { variant: it.variant, dataset, alpha: it.alpha })
    };
    let (before, after) = (of(from, a)?, of(to, b)?);
    let value = after.value - before.value;
    let below = ((after.value - after.lo).powi(2) + (before.hi - before.value).powi(2)).sqrt();
    let above = ((after.hi - after.value).powi(2) + (before.value - before.lo).powi(2)).sqrt();
    Some(Interval { value, lo: value - below, hi: value + above })
}
