//! Which layers straggle: the documented rule, every number beside it.
//!
//! A layer is a straggler by
//! * *sharpness*, when the robust z-score of log S_ℓ among the layers of its
//!   tower exceeds 3 at the majority of all interior α of the grid, whether
//!   measured or not: nothing is said from a few of them;
//! * *barrier*, when its layer barrier exceeds twice its standard error on a
//!   dataset;
//! * *distance*, when log(‖θ₁−θ₀‖/‖θ₀‖) is more than 3 robust deviations above
//!   the median;
//! * *rise*, when S_ℓ grows from the zero-shot end to the interior of the path
//!   more than the other layers' does, by the same rule as sharpness, of
//!   log(S_ℓ(α)/S_ℓ(0)). An addition of ours: it compares a layer with itself
//!   before fine-tuning, where *sharpness* compares layers of different kinds.
//!   Where the other layers rise alike their spread is next to nothing and any
//!   difference would be many of it: it counts as [`LEAST_SPREAD`] at least.
//!
//! The numbers 3, 2 and 3 are the defaults of the spec's `[stragglers]`.

use super::barriers::{LayerBarrier, layer_barriers};
use super::estimate::sharpness;
use super::latest;
use crate::sweep::event::LayerInfo;
use crate::sweep::ids::{AlphaId, LayerId, ProbeCell, ProbeId, VariantId};
use crate::sweep::probe::{Direction, Probe};
use crate::sweep::spec::{Layers, Thresholds};
use crate::sweep::state::{SweepState, layers_of};

/// Why a layer is called a straggler.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Criterion {
    /// Much sharper than the other layers along the path.
    Sharpness,
    /// Moving it alone meets a barrier.
    Barrier,
    /// Fine-tuning moved it much further than the others.
    Distance,
    /// Its sharpness grew much more than the others' since zero-shot.
    Rise,
}

impl Criterion {
    /// Every criterion, in the order they are shown.
    pub const ALL: [Self; 4] = [Self::Sharpness, Self::Barrier, Self::Distance, Self::Rise];

    /// As reports and screens name it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Sharpness => "sharpness",
            Self::Barrier => "barrier",
            Self::Distance => "distance",
            Self::Rise => "rise",
        }
    }
}

/// One layer with all numbers of the rule. Absent where not measured, or where
/// the spread among the layers is 0.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerVerdict {
    /// Which.
    pub layer: LayerId,
    /// Median over the interior α of the z-score of log S.
    pub score: Option<f64>,
    /// Interior α where the z-score exceeds the threshold, and all interior α
    /// of the grid: one without a score (not measured, failed, S ≤ 0) is not
    /// over it.
    pub sharp_at: (usize, usize),
    /// Median over the interior α of the z-score of log(S(α)/S(0)).
    pub rise: Option<f64>,
    /// As `sharp_at`, of the rise.
    pub rose_at: (usize, usize),
    /// The z-score of the log relative distance.
    pub distance: Option<f64>,
    /// The barrier that is highest in standard errors.
    pub barrier: Option<LayerBarrier>,
    /// The criteria that fired; empty: not a straggler.
    pub by: Vec<Criterion>,
}

impl LayerVerdict {
    /// True when a criterion fired.
    #[must_use]
    pub fn is_straggler(&self) -> bool {
        !self.by.is_empty()
    }
}

/// Robust z-scores: (x − median) / (1.4826 · MAD), over the numbers that are
/// known. `None` where a number is absent, or where the MAD is 0.
#[must_use]
pub fn robust_scores(values: &[Option<f64>]) -> Vec<Option<f64>> {
    scores_over(values, 0.0)
}

/// The least spread among layers' rises that three of it are told from: 5 %.
const LEAST_SPREAD: f64 = 0.05;

/// As [`robust_scores`], with a robust deviation of at least `least`.
fn scores_over(values: &[Option<f64>], least: f64) -> Vec<Option<f64>> {
    let known = || values.iter().flatten().copied();
    let spread = median(known().collect()).and_then(|centre| {
        let mad = median(known().map(|value| (value - centre).abs()).collect())?;
        let spread = f64::max(1.4826 * mad, least);
        (spread > 0.0).then_some((centre, spread))
    });
    values.iter().map(|value| spread.zip(*value).map(|((c, s), value)| (value - c) / s)).collect()
}

/// `None` without numbers.
fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_unstable_by(f64::total_cmp);
    let middle = values.len() / 2;
    let upper = *values.get(middle)?;
    let lower = if values.len().is_multiple_of(2) { values[middle - 1] } else { upper };
    Some((lower + upper) / 2.0)
}

/// The logarithm of what is above 0.
fn log(value: Option<f64>) -> Option<f64> {
    value.filter(|&value| value > 0.0).map(f64::ln)
}

/// Judges every layer of a granularity by what is measured of it ([`latest`]
/// sharpness and layer-wise path that look at these layers), by the run's own
/// thresholds. In the order of layers; empty before the header.
#[must_use]
pub fn stragglers(state: &SweepState, variant: VariantId, units: Layers) -> Vec<LayerVerdict> {
    let Some(header) = state.header() else { return Vec::new() };
    let layers: Vec<LayerId> = layers_of(header, units).collect();
    let in_text = |layer: LayerId| {
        let info = header.layers.get(layer.index());
        info.is_some_and(LayerInfo::is_text)
    };
    let (text, image): (Vec<_>, Vec<_>) = layers.into_iter().partition(|&layer| in_text(layer));
    let limits = &header.stragglers;
    let of_units = |probe: &Probe| probe.layers() == units;
    let sharp =
        latest(state, variant, |probe| matches!(probe, Probe::Sharpness { .. }) && of_units(probe));
    let path = latest(state, variant, |probe| {
        matches!(probe, Probe::Path { direction: Direction::Path, .. }) && of_units(probe)
    });
    let barriers = path.map_or_else(Vec::new, |probe| layer_barriers(state, probe, variant));
    let tower = |layers: &[LayerId]| judge(state, variant, layers, sharp, &barriers, limits);
    let mut all = tower(&image);
    all.extend(tower(&text));
    all
}

/// The layers of one tower.
fn judge(
    state: &SweepState,
    variant: VariantId,
    layers: &[LayerId],
    sharp: Option<ProbeId>,
    barriers: &[LayerBarrier],
    limits: &Thresholds,
) -> Vec<LayerVerdict> {
    let at = |alpha: AlphaId| -> Vec<Option<f64>> {
        let of = |&layer: &LayerId| {
            let cell = ProbeCell { probe: sharp?, variant, alpha, layer: Some(layer) };
            log(sharpness(state, cell).map(|it| it.rise.value))
        };
        layers.iter().map(of).collect()
    };
    let interior = || {
        let points = state.alphas().iter().enumerate();
        points.filter(|(_, alpha)| alpha.is_interior()).map(|(i, _)| AlphaId(i))
    };
    let start = state.alphas().iter().position(|alpha| alpha.get() == 0.0).map(AlphaId);
    let start = start.map_or_else(|| vec![None; layers.len()], at);
    let scores: Vec<_> = interior().map(|alpha| robust_scores(&at(alpha))).collect();
    let grown = |alpha| {
        let now = at(alpha);
        std::iter::zip(now, &start).map(|(now, start)| Some(now? - (*start)?)).collect::<Vec<_>>()
    };
    let rises: Vec<_> = interior().map(|alpha| scores_over(&grown(alpha), LEAST_SPREAD)).collect();
    let moved: Vec<_> =
        layers.iter().map(|&layer| log(state.layer(layer).and_then(|info| info.moved))).collect();
    let distances = robust_scores(&moved);
    let over = |all: &[Vec<Option<f64>>], i: usize| {
        let known: Vec<f64> = all.iter().filter_map(|scores| scores[i]).collect();
        let above = known.iter().filter(|&&z| z > limits.sharpness).count();
        ((above, all.len()), median(known))
    };
    let verdict = |(i, &layer): (usize, &LayerId)| {
        let (sharp_at, score) = over(&scores, i);
        let (rose_at, rise) = over(&rises, i);
        let own = barriers.iter().filter(|it| it.layer == layer);
        let height = |it: &LayerBarrier| (it.in_errors(), it.value);
        let barrier = own.max_by(|a, b| {
            let ((a, higher), (b, lower)) = (height(a), height(b));
            a.total_cmp(&b).then(higher.total_cmp(&lower))
        });
        let fired = |criterion: &Criterion| match criterion {
            Criterion::Sharpness => 2 * sharp_at.0 > sharp_at.1,
            Criterion::Barrier => barrier.is_some_and(|it| it.in_errors() > limits.barrier),
            Criterion::Distance => distances[i].is_some_and(|z| z > limits.distance),
            Criterion::Rise => 2 * rose_at.0 > rose_at.1,
        };
        LayerVerdict {
            layer,
            score,
            sharp_at,
            rise,
            rose_at,
            distance: distances[i],
            barrier: barrier.cloned(),
            by: Criterion::ALL.into_iter().filter(fired).collect(),
        }
    };
    layers.iter().enumerate().map(verdict).collect()
}
