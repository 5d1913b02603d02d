//! What the doctor found, on the images that it did not choose by.

use super::trials::{Group, Trial, trials, tuning_rounds};
use crate::sweep::ids::{AlphaId, CellId, DatasetId, RoundId, VariantId};
use crate::sweep::spec::Role;
use crate::sweep::state::SweepState;
use crate::sweep::stats::{DifferenceKey, Interval};

/// One variant against the dense path.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// Which.
    pub variant: VariantId,
    /// What it gained on the tuning part, as [`Finding::gain`]: chosen by, so
    /// too good to be believed.
    pub tuned: Interval,
    /// What it gained on the rest, in percentage points, with the paired
    /// interval: the OOD mean averaged over the interior α, minus the dense
    /// path's. `None` until it is measured there.
    pub gain: Option<Interval>,
}

/// All that the doctor found so far.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Findings {
    /// Variants measured on the tuning part, and all that are to be.
    pub tried: (usize, usize),
    /// Those measured on the tuning part, in the order they were tried. Of those
    /// that were not taken nothing is known of the rest.
    pub trials: Vec<(Group, Finding)>,
    /// Images, over the OOD datasets, of the tuning part and of the rest.
    pub images: (usize, usize),
    /// The best edit of stragglers.
    pub best: Option<Finding>,
    /// The best edit of other layers.
    pub control: Option<Finding>,
    /// The best minus the control on the rest, in percentage points.
    pub over_control: Option<Interval>,
}

impl Findings {
    /// True when the best edit's interval lies above 0: it is proposed.
    #[must_use]
    pub fn helps(&self) -> Option<bool> {
        Some(self.best.as_ref()?.gain?.lo > 0.0)
    }

    /// True when stragglers beat the control: that interval lies above 0.
    #[must_use]
    pub fn beats_control(&self) -> Option<bool> {
        Some(self.over_control?.lo > 0.0)
    }
}

/// What the events tell of the doctor's search; `None` when nobody asked.
#[must_use]
pub fn findings(state: &SweepState) -> Option<Findings> {
    let spec = state.doctor()?;
    let trials = trials(state, spec);
    let finding = |variant| {
        let rest = difference(state, variant, VariantId::DENSE, Part::Rest);
        let whole = !state.is_on_trial(variant);
        Some(Finding { variant, tuned: tuned(state, variant)?, gain: rest.filter(|_| whole) })
    };
    let told: Vec<(Group, Finding)> =
        trials.iter().filter_map(|it| Some((it.group, finding(it.id(state)?)?))).collect();
    let best_of = |group| best(state, &trials, group).and_then(finding);
    let (best, control) = (best_of(Group::Straggler), best_of(Group::Control));
    let both = best.as_ref().zip(control.as_ref());
    let both = both.filter(|(best, control)| best.gain.is_some() && control.gain.is_some());
    let over_control =
        both.and_then(|(best, it)| difference(state, best.variant, it.variant, Part::Rest));
    let mut images = (0, 0);
    for dataset in ood(state) {
        let ends = &state.datasets()[dataset.index()].rounds;
        let tuning = tuning_rounds(ends).checked_sub(1).map_or(0, |last| ends[last]);
        let all = ends.last().copied().unwrap_or(0);
        images = (images.0 + tuning, images.1 + all - tuning);
    }
    let tried = (told.len(), trials.len());
    Some(Findings { tried, trials: told, images, best, control, over_control })
}

/// The variant of a group that gained most clearly on the tuning part: by the
/// gain over its own uncertainty, not the gain alone. An edit that moves many
/// predictions either way has the largest gain by luck, and is confirmed least
/// often on other images.
pub(super) fn best(state: &SweepState, trials: &[Trial], group: Group) -> Option<VariantId> {
    let of = trials.iter().filter(|it| it.group == group).filter_map(|it| it.id(state));
    let clear = |it: Interval| it.value / it.half().max(f64::MIN_POSITIVE);
    let known = of.filter_map(|id| Some((id, clear(tuned(state, id)?))));
    // Of equals, the first.
    let best = known.reduce(|best, it| if it.1 > best.1 { it } else { best });
    best.map(|(id, _)| id)
}

fn tuned(state: &SweepState, variant: VariantId) -> Option<Interval> {
    difference(state, variant, VariantId::DENSE, Part::Tuning)
}

/// Which images are looked at.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Tuning,
    Rest,
}

/// OOD datasets that count and can be parted.
fn ood(state: &SweepState) -> impl Iterator<Item = DatasetId> + '_ {
    let counted = state.with_role(Role::Ood).filter(|&id| !state.is_skipped(id));
    counted.filter(|id| tuning_rounds(&state.datasets()[id.index()].rounds) > 0)
}

/// OOD mean of one variant minus another's, averaged over the interior α, in
/// percentage points. Paired: each image's own difference is taken, and the
/// interval is 1.96 standard errors of their mean over images within each
/// dataset and over datasets. `None` while a dataset or a round of the part is
/// missing.
fn difference(
    state: &SweepState,
    variant: VariantId,
    other: VariantId,
    part: Part,
) -> Option<Interval> {
    let points: Vec<AlphaId> = (0..state.alphas().len())
        .map(AlphaId)
        .filter(|id| state.alphas()[id.index()].is_interior())
        .collect();
    let sets: Vec<DatasetId> = ood(state).collect();
    if points.is_empty() || sets.is_empty() {
        return None;
    }
    let rounds = |dataset: DatasetId| {
        let ends = &state.datasets()[dataset.index()].rounds;
        let tuning = tuning_rounds(ends);
        match part {
            Part::Tuning => (dataset, 0, tuning),
            Part::Rest => (dataset, tuning, ends.len()),
        }
    };
    let key = (variant, other, sets.into_iter().map(rounds).collect::<Vec<_>>());
    // It is known only when every round is there: then it never changes.
    state.memo.difference(key.clone(), || over(state, &points, &key))
}

/// [`difference`] over these rounds; `None` before all are measured.
fn over(
    state: &SweepState,
    points: &[AlphaId],
    (variant, other, sets): &DifferenceKey,
) -> Option<Interval> {
    let all = sets.iter().all(|&(dataset, start, end)| {
        let has = |variant, alpha, round| state.has(CellId { variant, dataset, alpha }, round);
        (start..end).map(RoundId).all(|round| {
            points.iter().all(|&alpha| has(*variant, alpha, round) && has(*other, alpha, round))
        })
    });
    if !all {
        return None;
    }
    let (mut mean, mut variance) = (0.0, 0.0);
    for &(dataset, start, end) in sets {
        let mut images: Vec<f64> = Vec::new();
        for round in (start..end).map(RoundId) {
            let start = images.len();
            for &alpha in points {
                let hits = |variant| state.cell(CellId { variant, dataset, alpha })?.hits(round);
                let (ours, theirs) = (hits(*variant)?, hits(*other)?);
                images.resize(start + ours.len(), 0.0);
                for (image, (a, b)) in std::iter::zip(ours.iter(), theirs.iter()).enumerate() {
                    images[start + image] += f64::from(i8::from(a) - i8::from(b));
                }
            }
        }
        let count = images.len() as f64;
        let each = |sum: f64| sum / points.len() as f64;
        let average = images.iter().map(|&sum| each(sum)).sum::<f64>() / count;
        let squares = images.iter().map(|&sum| (each(sum) - average).powi(2)).sum::<f64>();
        mean += average / sets.len() as f64;
        let freedom = (count - 1.0).max(1.0);
        variance += squares / freedom / count / (sets.len() as f64).powi(2);
    }
    let half = 1.96 * variance.sqrt();
    let it = Interval { value: mean, lo: mean - half, hi: mean + half };
    it.value.is_finite().then(|| it.scaled(100.0))
}
