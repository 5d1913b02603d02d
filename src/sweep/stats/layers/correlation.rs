//! Does sharpness go with OOD accuracy? Rank and linear correlation over the
//! points of a path.

use std::cmp::Ordering;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::super::bootstrap::quantile;
use super::super::weights::DRAWS;
use super::super::{Interval, ood_mean};
use super::estimate::sharpness;
use crate::sweep::ids::{AlphaId, LayerId, ProbeCell, ProbeId, VariantId};
use crate::sweep::state::{SweepState, layers_of};

/// How two series go together. Each coefficient has a 95 % percentile bootstrap
/// interval over the points; it is `None` where a series is constant, or fewer
/// than three points are known.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Coefficients {
    /// Points of both series.
    pub points: usize,
    /// Kendall's τ-b: ties are allowed for (Kendall 1945).
    pub kendall: Option<Interval>,
    /// Spearman's ρ, equal values at their mean rank.
    pub spearman: Option<Interval>,
    /// Pearson's r.
    pub pearson: Option<Interval>,
}

/// Points under which an interval holds everything: of four points in a row even
/// perfect order comes by chance once in twelve, and the bootstrap, which knows
/// only these, would call it certain.
const ENOUGH: usize = 5;

impl Coefficients {
    /// True where the points are too few for an interval.
    #[must_use]
    pub fn is_few(&self) -> bool {
        self.points < ENOUGH
    }
}

/// Correlation of one layer's sharpness with OOD accuracy.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Correlation {
    /// `None`: every layer at once (overall).
    pub layer: Option<LayerId>,
    /// Over the points of the grid where both are known.
    pub coefficients: Coefficients,
}

/// Points of the grid where a layer's sharpness and the OOD accuracy are known:
/// (α, S in nats, OOD accuracy as a fraction).
#[must_use]
pub fn sharpness_and_ood(
    state: &SweepState,
    probe: ProbeId,
    variant: VariantId,
    layer: Option<LayerId>,
) -> Vec<(AlphaId, f64, f64)> {
    let at = |alpha| {
        let cell = ProbeCell { probe, variant, alpha, layer };
        let rise = sharpness(state, cell)?.rise.value;
        Some((alpha, rise, ood_mean(state, variant, alpha)?.value))
    };
    (0..state.alphas().len()).map(AlphaId).filter_map(at).collect()
}

/// Correlation over the points of the path, of all layers at once (where
/// measured) and of each layer: by |τ|, the largest first, those without τ last.
#[must_use]
pub fn correlations(state: &SweepState, probe: ProbeId, variant: VariantId) -> Vec<Correlation> {
    let Some((header, known)) = state.header().zip(state.probe(probe)) else { return Vec::new() };
    let overall = known.probe.overall().then_some(None);
    let layers = layers_of(header, known.probe.layers()).map(Some);
    let mut all: Vec<Correlation> = overall
        .into_iter()
        .chain(layers)
        .map(|layer| {
            let points = sharpness_and_ood(state, probe, variant, layer);
            let (xs, ys): (Vec<f64>, Vec<f64>) = points.iter().map(|&(_, x, y)| (x, y)).unzip();
            Correlation { layer, coefficients: correlate(&xs, &ys, header.seed) }
        })
        .collect();
    all.sort_by(|a, b| by_size(&a.coefficients, &b.coefficients));
    all
}

/// By |τ|, the largest first; those without τ last.
pub(super) fn by_size(a: &Coefficients, b: &Coefficients) -> Ordering {
    let size = |it: &Coefficients| it.kendall.map_or(-1.0, |tau| tau.value.abs());
    size(b).total_cmp(&size(a))
}

/// All three coefficients of two series of equal length (the shorter counts).
/// Draws are seeded, so that equal data gives equal intervals; draws in which a
/// series is constant say nothing and are left out.
#[must_use]
pub fn correlate(xs: &[f64], ys: &[f64], seed: u64) -> Coefficients {
    let points: Vec<(f64, f64)> = std::iter::zip(xs.iter().copied(), ys.iter().copied()).collect();
    let n = points.len();
    if n < 3 || points.iter().any(|(x, y)| !x.is_finite() || !y.is_finite()) {
        return Coefficients { points: n, ..Coefficients::default() };
    }
    let [kendall, spearman, pearson] = all_three(&points);
    if n < ENOUGH {
        return Coefficients {
            points: n,
            kendall: kendall.map(anything),
            spearman: spearman.map(anything),
            pearson: pearson.map(anything),
        };
    }
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut drawn = [Vec::new(), Vec::new(), Vec::new()];
    let mut draw = Vec::with_capacity(n);
    for _ in 0..DRAWS {
        draw.clear();
        draw.extend((0..n).map(|_| points[(((rng.next_u64() >> 32) * n as u64) >> 32) as usize]));
        for (all, value) in drawn.iter_mut().zip(all_three(&draw)) {
            all.extend(value);
        }
    }
    let [of_kendall, of_spearman, of_pearson] = drawn;
    Coefficients {
        points: n,
        kendall: kendall.map(|value| percentile(value, of_kendall)),
        spearman: spearman.map(|value| percentile(value, of_spearman)),
        pearson: pearson.map(|value| percentile(value, of_pearson)),
    }
}

fn all_three(points: &[(f64, f64)]) -> [Option<f64>; 3] {
    let (xs, ys): (Vec<f64>, Vec<f64>) = points.iter().copied().unzip();
    [kendall(&xs, &ys), pearson(&ranks(&xs), &ranks(&ys)), pearson(&xs, &ys)]
}

/// Nothing is left out.
fn anything(value: f64) -> Interval {
    Interval { value, lo: -1.0, hi: 1.0 }
}

/// Percentile interval, widened where it does not hold the estimate.
fn percentile(value: f64, mut draws: Vec<f64>) -> Interval {
    draws.sort_unstable_by(f64::total_cmp);
    let at = |q| quantile(&draws, q).unwrap_or(value);
    Interval { value, lo: at(0.025).min(value), hi: at(0.975).max(value) }
}

/// τ-b: concordant less discordant pairs, over the geometric mean of the pairs
/// that are not tied in x and not tied in y. `None` for a constant series.
pub(super) fn kendall(xs: &[f64], ys: &[f64]) -> Option<f64> {
    let (mut score, mut in_x, mut in_y) = (0_i64, 0_u64, 0_u64);
    for i in 0..xs.len() {
        for j in 0..i {
            let (x, y) = (order(xs[i], xs[j]), order(ys[i], ys[j]));
            score += x * y;
            in_x += x.unsigned_abs();
            in_y += y.unsigned_abs();
        }
    }
    let pairs = (in_x as f64 * in_y as f64).sqrt();
    (pairs > 0.0).then(|| (score as f64 / pairs).clamp(-1.0, 1.0))
}

fn order(a: f64, b: f64) -> i64 {
    i64::from(a > b) - i64::from(a < b)
}

/// Ranks from 1; equal values share the mean of theirs.
fn ranks(values: &[f64]) -> Vec<f64> {
    let mut sorted: Vec<usize> = (0..values.len()).collect();
    sorted.sort_by(|&a, &b| values[a].total_cmp(&values[b]));
    let mut ranks = vec![0.0; values.len()];
    let mut before = 0;
    for same in sorted.chunk_by(|&a, &b| values[a] == values[b]) {
        let rank = before as f64 + (same.len() as f64 + 1.0) / 2.0;
        same.iter().for_each(|&i| ranks[i] = rank);
        before += same.len();
    }
    ranks
}

/// r; `None` for a constant series, up to rounding.
fn pearson(xs: &[f64], ys: &[f64]) -> Option<f64> {
    let n = xs.len() as f64;
    let (mx, my) = (xs.iter().sum::<f64>() / n, ys.iter().sum::<f64>() / n);
    let (mut xy, mut xx, mut yy) = (0.0, 0.0, 0.0);
    for (x, y) in std::iter::zip(xs, ys) {
        xy += (x - mx) * (y - my);
        xx += (x - mx) * (x - mx);
        yy += (y - my) * (y - my);
    }
    let varies = |values: &[f64]| values.iter().any(|&v| v != values[0]);
    let scale = (xx * yy).sqrt();
    (varies(xs) && varies(ys) && scale > 0.0).then(|| (xy / scale).clamp(-1.0, 1.0))
}
