//! Gain, barriers, and the verdict on a sweep.

use super::super::event::Outcome;
use super::super::ids::{AlphaId, DatasetId, VariantId};
use super::super::state::SweepState;
use super::bootstrap::{TAIL, basic, sure_maximum};
use super::chord::{below, deepest, drawn_below, highest};
use super::memo::Memo;
use super::paired::known_points;
use super::replicates::{Replicates, whole};
use super::{Interval, ood_datasets};
use crate::plural::counted;

/// Images of a dataset under which a partial result is too early to judge.
const FEW: usize = 30;

/// What interpolating wins: max over 0 < α < 1 of OOD(α) − max(OOD(0), OOD(1)),
/// in percentage points.
#[derive(Clone, Debug, PartialEq)]
pub struct Gain {
    /// With its paired 95 % interval.
    pub points: Interval,
    /// A lower bound that holds although the best of many points is looked at: below the gain of
    /// every interior point at once (studentised bootstrap maximum, at 2.5 %), where the interval's
    /// lower end is passed too often on a flat path.
    pub sure: f64,
    /// The best interior α: the point between the ends with the highest OOD accuracy.
    /// [`super::best_alpha`] looks at the ends too.
    pub best_interior: AlphaId,
    /// OOD accuracy there, at 0 and at 1, as fractions, on the images of the
    /// comparison.
    pub best: f64,
    /// See [`Gain::best`].
    pub zeroshot: f64,
    /// See [`Gain::best`].
    pub finetuned: f64,
    /// Images of the smallest and of all comparisons.
    pub images: (usize, usize),
    /// True when every image of every OOD dataset is in it.
    pub complete: bool,
    /// Points of the path that are in the grid but not in the comparison:
    /// failed, or not measured on every OOD dataset yet.
    pub left_out: Vec<AlphaId>,
}

/// How far the curve falls below the straight line between its ends: max over
/// 0 ≤ α ≤ 1 of (1−α)·A(0) + α·A(1) − A(α), in percentage points; 0 where it
/// never does.
#[derive(Clone, Debug, PartialEq)]
pub struct Barrier {
    /// With its paired 95 % interval; never below 0.
    pub points: Interval,
    /// A lower bound that holds although the worst of many points on many
    /// datasets is looked at: below at every point of the path at once
    /// (studentised bootstrap maximum), at 2.5 % over the number of barriers
    /// looked for (Bonferroni).
    pub sure: f64,
    /// Where it is highest; `None` where there is none.
    pub alpha: Option<AlphaId>,
    /// Images of the comparison (the smallest dataset's, of a mean).
    pub images: usize,
    /// True when every image is in it.
    pub complete: bool,
}

impl Barrier {
    /// True when it is above 0 even though it was looked for on every dataset, and as
    /// high as three images.
    #[must_use]
    pub fn is_certain(&self) -> bool {
        self.sure > 0.0 && self.points.value * self.images as f64 >= 100.0 * LEAST_IMAGES
    }

    fn counts(&self) -> bool {
        self.is_certain() && (self.complete || self.images >= FEW)
    }
}

/// Images that a barrier is high at least. Close to an end no prediction may change: the
/// curve lies under the chord by next to nothing then, and a bootstrap of what did not
/// happen is certain of it. Where none of n images changed, up to 3/n may have (95 %).
const LEAST_IMAGES: f64 = 3.0;

/// What a sweep shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The gain's interval lies above 0.
    Success,
    /// Not a success, and the gain's interval lies below 0 or a barrier (of a
    /// dataset or of the OOD mean) is certain.
    Failure,
    /// Neither: more images may tell, or there is nothing to tell.
    Undecided,
    /// Not enough is measured to say anything.
    TooEarly,
}

impl Verdict {
    /// As people read it.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failure => "failure mode",
            Self::Undecided => "undecided",
            Self::TooEarly => "too early to say",
        }
    }
}

/// Everything the verdict rests on, computed together.
#[derive(Clone, Debug, PartialEq)]
pub struct Judgement {
    /// See [`gain`].
    pub gain: Option<Gain>,
    /// Of each dataset that is not skipped and has a barrier to speak of: see
    /// [`barrier`].
    pub barriers: Vec<(DatasetId, Barrier)>,
    /// See [`ood_barrier`].
    pub ood_barrier: Option<Barrier>,
    /// Success, failure, or not yet.
    pub verdict: Verdict,
    /// Why, in one sentence without a full stop.
    pub reason: String,
}

/// Gain of interpolating over the better end. Compared on the images measured
/// at every point that takes part; interval by paired Poisson bootstrap (2000
/// draws, seeded by the header's seed; see `weights`), where every draw chooses
/// its own best point and better end, reflected (basic). `None` when an end or
/// every point between is missing, or no OOD dataset is there.
#[must_use]
pub fn gain(state: &SweepState, variant: VariantId) -> Option<Gain> {
    Sampled::ood(state, variant)?.gain(state)
}

/// Barrier of the path on one dataset; compared and bounded as [`gain`] is.
/// `None` when an end or every point between is missing.
#[must_use]
pub fn barrier(state: &SweepState, variant: VariantId, dataset: DatasetId) -> Option<Barrier> {
    let points = known_points(state, variant, dataset);
    Sampled::new(state, variant, &[dataset], points).map(|it| it.barrier(looks(state)))
}

/// Barrier of the path in the OOD mean; compared and bounded as [`gain`] is.
#[must_use]
pub fn ood_barrier(state: &SweepState, variant: VariantId) -> Option<Barrier> {
    Sampled::ood(state, variant).map(|it| it.barrier(looks(state)))
}

/// Gain, barriers and verdict of one variant.
///
/// * *success*: the gain's 95 % interval lies above 0, and so does [`Gain::sure`]; a barrier is
///   mentioned.
/// * *failure mode*: else, when the gain's interval lies below 0, or a barrier (a
///   dataset's, ID or OOD, or the OOD mean's) is certain: see [`Barrier::sure`].
/// * *too early*: nothing can be compared yet, or fewer than 30 images of some
///   OOD dataset are and that is not all of it.
/// * *undecided*: else.
#[must_use]
pub fn judge(state: &SweepState, variant: VariantId) -> Judgement {
    let ood = Sampled::ood(state, variant);
    let gain = ood.as_ref().and_then(|ood| ood.gain(state));
    let looks = looks(state);
    let ood_barrier = ood.as_ref().map(|ood| ood.barrier(looks));
    let barriers: Vec<_> = kept(state)
        .filter_map(|dataset| {
            let points = known_points(state, variant, dataset);
            let sampled = Sampled::new(state, variant, &[dataset], points)?;
            Some((dataset, sampled.barrier(looks)))
        })
        .collect();
    let (verdict, reason) = decide(state, gain.as_ref(), &barriers, ood_barrier.as_ref());
    Judgement { gain, barriers, ood_barrier, verdict, reason }
}

/// Datasets that are not skipped.
fn kept(state: &SweepState) -> impl Iterator<Item = DatasetId> + '_ {
    (0..state.datasets().len()).map(DatasetId).filter(|&dataset| !state.is_skipped(dataset))
}

/// Places where a barrier is looked for: each dataset, and the OOD mean.
fn looks(state: &SweepState) -> usize {
    kept(state).count() + usize::from(!ood_datasets(state).is_empty())
}

fn decide(
    state: &SweepState,
    gain: Option<&Gain>,
    barriers: &[(DatasetId, Barrier)],
    ood_barrier: Option<&Barrier>,
) -> (Verdict, String) {
    let named = barriers.iter().map(|(dataset, it)| (dataset_name(state, *dataset), it));
    let all = ood_barrier.map(|it| ("the OOD mean", it)).into_iter().chain(named);
    let worst = all
        .filter(|(_, it)| it.counts())
        .reduce(|a, b| if b.1.points.value > a.1.points.value { b } else { a });
    let barrier = worst.map(|(name, it)| {
        let at = it.alpha.map_or(String::new(), |alpha| format!(" at α = {}", point(state, alpha)));
        let Interval { value, lo, hi } = it.points;
        format!("a barrier of {value:.1} points ({lo:.1} to {hi:.1}) on {name}{at}")
    });
    let Some(gain) = gain else {
        return match barrier {
            Some(barrier) => (Verdict::Failure, barrier),
            None => nothing(state),
        };
    };
    let Interval { value, lo, hi } = gain.points;
    // Not the images shown beside it: a round that is under way counts at some points only.
    let rounds = if gain.complete { "" } else { ", by whole rounds" };
    let said = format!(
        "{} points ({} to {}) at α = {} over the better end{rounds}",
        signed(value),
        signed(lo),
        signed(hi),
        point(state, gain.best_interior)
    );
    let early = !gain.complete && gain.images.0 < FEW;
    match barrier {
        None if early => {
            let images = counted(gain.images.0, "image");
            (
                Verdict::TooEarly,
                format!("whole rounds have {images} of a dataset: too few to judge by"),
            )
        }
        barrier if lo > 0.0 && gain.sure > 0.0 && !early => {
            let also = barrier.map_or(String::new(), |barrier| format!("; yet {barrier}"));
            (Verdict::Success, format!("OOD accuracy {said}{also}"))
        }
        None if hi < 0.0 => (Verdict::Failure, format!("OOD accuracy at best {said}")),
        Some(barrier) if hi < 0.0 && !early => {
            (Verdict::Failure, format!("OOD accuracy at best {said}; {barrier}"))
        }
        Some(barrier) => (Verdict::Failure, barrier),
        None if lo > 0.0 => {
            (Verdict::Undecided, format!("OOD accuracy {said}: may be the best of many by chance"))
        }
        None => (Verdict::Undecided, format!("OOD accuracy {said}: the interval holds 0")),
    }
}

/// Why there is no gain to speak of.
fn nothing(state: &SweepState) -> (Verdict, String) {
    let ends = state.alphas().iter().filter(|alpha| alpha.is_end()).count();
    let undecided = |why: &str| (Verdict::Undecided, why.to_string());
    if state.header().is_some() && ood_datasets(state).is_empty() {
        undecided("no OOD dataset is measured, so there is no gain to judge")
    } else if state.header().is_some() && ends < 2 {
        undecided("the grid lacks α = 0 or α = 1, so there is no gain to judge")
    } else if state.header().is_some() && !state.alphas().iter().any(|alpha| alpha.is_interior()) {
        undecided("the grid has no point between the ends, so there is no gain to judge")
    } else if matches!(state.outcome, Some(Outcome::Complete | Outcome::Partial)) {
        undecided("an end, or every point between, could not be measured on every OOD dataset")
    } else {
        (Verdict::TooEarly, "both ends and a point between are not measured yet".into())
    }
}

fn dataset_name(state: &SweepState, dataset: DatasetId) -> &str {
    state.datasets().get(dataset.index()).map_or("?", |info| info.name.as_str())
}

fn point(state: &SweepState, alpha: AlphaId) -> String {
    state.alphas().get(alpha.index()).map_or_else(String::new, |alpha| alpha.short())
}

/// One decimal with a sign and a true minus, `+3.9`, `−0.4`; zero has no sign: `0.0`.
#[must_use]
pub fn signed(value: f64) -> String {
    let text = format!("{:.1}", value.abs());
    match (text.as_str(), value < 0.0) {
        ("0.0", _) => text,
        (_, true) => format!("−{text}"),
        (_, false) => format!("+{text}"),
    }
}

fn add(sum: &mut [f64], values: &[f64]) {
    let mut i = 0;
    while i < sum.len().min(values.len()) {
        sum[i] += values[i];
        i += 1;
    }
}

/// The mean over datasets measured at the same points, with its bootstrap draws.
struct Sampled {
    points: Vec<AlphaId>,
    /// α of each point.
    alphas: Vec<f64>,
    /// Images of each dataset.
    images: Vec<usize>,
    /// True when those are all images of every dataset.
    complete: bool,
    /// Mean accuracy at each point, as a fraction.
    mean: Vec<f64>,
    /// `[point][draw]`: the same in every draw.
    draws: Vec<Vec<f64>>,
}

impl Sampled {
    /// `None` when an end or every point between is missing, or no image was
    /// measured at all points.
    fn new(
        state: &SweepState,
        variant: VariantId,
        datasets: &[DatasetId],
        points: Vec<AlphaId>,
    ) -> Option<Self> {
        let alphas: Vec<f64> = points.iter().map(|id| state.alphas()[id.index()].get()).collect();
        let ends = alphas.first() == Some(&0.0) && alphas.last() == Some(&1.0);
        if !ends || alphas.len() < 3 || datasets.is_empty() {
            return None;
        }
        let n = datasets.len() as f64;
        let mut it = Self {
            images: Vec::with_capacity(datasets.len()),
            complete: true,
            mean: vec![0.0; points.len()],
            draws: Vec::new(),
            points,
            alphas,
        };
        for &dataset in datasets {
            let of = |sums: &Replicates| (sums.images, sums.accuracy(), sums.draws());
            let (images, accuracy, draws) =
                Memo::replicates(state, variant, dataset, &it.points, of)?;
            it.images.push(images);
            it.complete &= images == state.datasets()[dataset.index()].images;
            it.mean.iter_mut().zip(accuracy).for_each(|(sum, value)| *sum += value);
            if it.draws.is_empty() {
                it.draws = draws;
            } else {
                let points = it.draws.iter_mut().zip(draws);
                points.for_each(|(sum, draws)| add(sum, &draws));
            }
        }
        it.mean.iter_mut().for_each(|sum| *sum /= n);
        for draws in &mut it.draws {
            draws.iter_mut().for_each(|sum| *sum /= n);
        }
        it.draws = whole(it.draws);
        Some(it)
    }

    /// The OOD datasets at the points all of them know.
    fn ood(state: &SweepState, variant: VariantId) -> Option<Self> {
        let datasets = ood_datasets(state);
        let known = datasets.iter().map(|&dataset| known_points(state, variant, dataset));
        let points = known.reduce(|mut all, other| {
            all.retain(|point| other.contains(point));
            all
        })?;
        Self::new(state, variant, &datasets, points)
    }

    fn fewest(&self) -> usize {
        self.images.iter().copied().min().unwrap_or(0)
    }

    fn gain(&self, state: &SweepState) -> Option<Gain> {
        let last = self.mean.len() - 1;
        let (zeroshot, finetuned) = (self.mean[0], self.mean[last]);
        let inner = self.mean[1..last].iter().enumerate();
        let best = inner.reduce(|best, it| if it.1 > best.1 { it } else { best })?;
        let ends = self.draws[0].iter().zip(&self.draws[last]);
        let ends: Vec<f64> = ends.map(|(zeroshot, finetuned)| zeroshot.max(*finetuned)).collect();
        let over = |draws: &Vec<f64>| -> Vec<f64> {
            draws.iter().zip(&ends).map(|(draw, end)| 100.0 * (draw - end)).collect()
        };
        let drawn: Vec<Vec<f64>> = self.draws[1..last].iter().map(over).collect();
        let over: Vec<f64> =
            self.mean[1..last].iter().map(|it| 100.0 * (it - zeroshot.max(finetuned))).collect();
        let path = |alpha: &AlphaId| {
            let it = state.alphas()[alpha.index()];
            it.is_end() || it.is_interior()
        };
        let grid = (0..state.alphas().len()).map(AlphaId).filter(path);
        Some(Gain {
            points: basic(over[best.0], highest(&drawn)),
            sure: sure_maximum(&over, &drawn, TAIL),
            best_interior: self.points[best.0 + 1],
            best: *best.1,
            zeroshot,
            finetuned,
            images: (self.fewest(), self.images.iter().sum()),
            complete: self.complete,
            left_out: grid.filter(|id| !self.points.contains(id)).collect(),
        })
    }

    fn barrier(&self, looks: usize) -> Barrier {
        let percent = |depths: Vec<f64>| depths.into_iter().map(|it| 100.0 * it).collect();
        let depths: Vec<f64> = percent(below(&self.alphas, &self.mean));
        let drawn = drawn_below(&self.alphas, &self.draws);
        let drawn: Vec<Vec<f64>> = drawn.into_iter().map(percent).collect();
        let mut worst = highest(&drawn);
        worst.iter_mut().for_each(|draw| *draw = draw.max(0.0));
        let deepest = deepest(&depths);
        let Interval { value, lo, hi } = basic(deepest.map_or(0.0, |(_, depth)| depth), worst);
        Barrier {
            points: Interval { value, lo: lo.max(0.0), hi },
            sure: sure_maximum(&depths, &drawn, TAIL / looks.max(1) as f64).max(0.0),
            alpha: deepest.map(|(point, _)| self.points[point + 1]),
            images: self.fewest(),
            complete: self.complete,
        }
    }
}
