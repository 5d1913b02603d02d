//! Paired bootstrap over images, made cheap.
//!
//! A draw takes n images with replacement and counts the hits at every point
//! of the path. Gain and barrier do not change when every point's accuracy
//! moves by the same amount, so an image that is right everywhere, or wrong
//! everywhere, counts for nothing: only how many of the *others* are drawn
//! (binomial), and which of them (uniform), must be drawn.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::Interval;
use super::paired::Paired;

/// Draws of the bootstrap.
pub(super) const DRAWS: usize = 2000;

/// `draws` bootstrap draws of one dataset, one after the other: the accuracy at
/// each point as a fraction, up to a number common to the draw's points. The
/// same `seed` and `stream` give the same draws.
pub(super) fn resample(paired: &Paired, seed: u64, stream: u64, draws: usize) -> Vec<f64> {
    let points = paired.correct.len();
    let mut out = vec![0.0; draws * points];
    let others = paired.rows.len() as u64;
    if others == 0 {
        return out;
    }
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(stream);
    let binomial = Binomial::new(paired.images, others as f64 / paired.images as f64);
    let scale = 1.0 / paired.images as f64;
    let mut counts = vec![0_u32; paired.patterns.len()];
    for draw in out.chunks_exact_mut(points) {
        counts.fill(0);
        // Two images from each 64 random bits, by multiplying into the range:
        // the bias is under 2⁻³² × images.
        let mut wanted = binomial.draw(&mut rng);
        while wanted > 0 {
            let word = rng.next_u64();
            for half in [word & 0xffff_ffff, word >> 32] {
                if wanted > 0 {
                    counts[paired.rows[((half * others) >> 32) as usize] as usize] += 1;
                    wanted -= 1;
                }
            }
        }
        for (&count, pattern) in counts.iter().zip(&paired.patterns) {
            if count > 0 {
                let weight = f64::from(count) * scale;
                draw.iter_mut().zip(pattern).for_each(|(sum, hit)| *sum += weight * hit);
            }
        }
    }
    out
}

/// The binomial law of n trials as a table of its distribution function.
struct Binomial {
    cumulative: Vec<f64>,
}

impl Binomial {
    /// 0 < p ≤ 1.
    fn new(n: usize, p: f64) -> Self {
        let mut cumulative = vec![0.0; n + 1];
        if p >= 1.0 {
            cumulative[n] = 1.0;
            return Self { cumulative };
        }
        // Outwards from the mode, relative to it, so that nothing overflows.
        let odds = p / (1.0 - p);
        let mode = (((n + 1) as f64 * p) as usize).min(n);
        cumulative[mode] = 1.0;
        for k in mode..n {
            cumulative[k + 1] = cumulative[k] * odds * (n - k) as f64 / (k + 1) as f64;
        }
        for k in (0..mode).rev() {
            cumulative[k] = cumulative[k + 1] * (k + 1) as f64 / (odds * (n - k) as f64);
        }
        let mut sum = 0.0;
        for value in &mut cumulative {
            sum += *value;
            *value = sum;
        }
        Self { cumulative }
    }

    fn draw(&self, rng: &mut impl Rng) -> usize {
        let uniform = (rng.next_u64() >> 11) as f64 / (1_u64 << 53) as f64;
        let total = self.cumulative.last().copied().unwrap_or(1.0);
        let at = self.cumulative.partition_point(|&below| below <= uniform * total);
        at.min(self.cumulative.len() - 1)
    }
}

/// What a 95 % interval leaves out at each side.
pub(super) const TAIL: f64 = 0.025;

/// Basic (reflected) 95 % bootstrap interval of an estimate from the same
/// statistic on each draw: (2θ̂ − q97.5, 2θ̂ − q2.5) (Davison & Hinkley 1997).
/// What the statistic gains by choosing the best point is the same in the draws
/// as in the estimate, and is taken off. Widened where it does not hold the
/// estimate.
pub(super) fn basic(value: f64, mut draws: Vec<f64>) -> Interval {
    draws.sort_unstable_by(f64::total_cmp);
    let lo = quantile(&draws, 1.0 - TAIL).map_or(value, |high| 2.0 * value - high);
    let hi = quantile(&draws, TAIL).map_or(value, |low| 2.0 * value - low);
    Interval { value, lo: lo.min(value), hi: hi.max(value) }
}

/// Lower bound, at level `tail`, of the largest of several quantities: the
/// highest of their lower bounds, which hold all at once. With the deviations
/// of the draws from the estimate, each over its own standard error s, let c be
/// the 1 − tail quantile of their maximum: the bound is max (θ̂ − c·s) (the
/// studentised maximum of Romano & Wolf 2005, one step). `draws[i]` are the
/// draws of `values[i]`.
pub(super) fn sure_maximum(values: &[f64], draws: &[Vec<f64>], tail: f64) -> f64 {
    let error = |(value, draws): (&f64, &Vec<f64>)| {
        let squares = draws.iter().map(|draw| (draw - value).powi(2)).sum::<f64>();
        (squares / draws.len().max(1) as f64).sqrt()
    };
    let errors: Vec<f64> = values.iter().zip(draws).map(error).collect();
    let deviation = |draw: usize| {
        let each = values.iter().zip(draws).zip(&errors);
        each.filter(|(_, error)| **error > 0.0)
            .map(|((value, draws), error)| (draws[draw] - value) / error)
            .fold(f64::NEG_INFINITY, f64::max)
    };
    let count = draws.iter().map(Vec::len).min().unwrap_or(0);
    let mut deviations: Vec<f64> = (0..count).map(deviation).filter(|d| d.is_finite()).collect();
    deviations.sort_unstable_by(f64::total_cmp);
    let c = quantile(&deviations, 1.0 - tail).unwrap_or(0.0);
    let bounds = values.iter().zip(&errors).map(|(value, error)| value - c * error);
    bounds.fold(f64::NEG_INFINITY, f64::max)
}

/// Quantile of sorted numbers, linear between neighbours; `None` without any.
pub(super) fn quantile(sorted: &[f64], q: f64) -> Option<f64> {
    let at = q * (sorted.len().checked_sub(1)?) as f64;
    let (below, above) = (sorted[at.floor() as usize], sorted[at.ceil() as usize]);
    Some(below + (above - below) * at.fract())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn binomial_table_is_the_law() {
        // P(X ≤ k) for n = 5, p = 0.3, by hand.
        let expected = [0.16807, 0.52822, 0.83692, 0.96922, 0.99757, 1.0];
        let it = Binomial::new(5, 0.3);
        for (value, expected) in it.cumulative.iter().zip(expected) {
            assert!((value / it.cumulative[5] - expected).abs() < 1e-12);
        }
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let all = Binomial::new(7, 1.0);
        assert!((0..100).all(|_| all.draw(&mut rng) == 7));
        let large = Binomial::new(50_000, 0.2);
        let mean = (0..1000).map(|_| large.draw(&mut rng) as f64).sum::<f64>() / 1000.0;
        // Standard error: √(50 000 × 0.2 × 0.8 / 1000) = 2.8.
        assert!((mean - 10_000.0).abs() < 12.0, "{mean}");
    }

    /// All nⁿ draws of three images against the drawn frequencies.
    #[test]
    fn draws_follow_the_exhaustive_law() {
        // Points 0, ½, 1; images: only ½ right, only 0 right, right everywhere.
        let keys = [0b010, 0b001, 0b111];
        let paired = Paired::from_keys(&keys, 1, 3).unwrap();
        assert_eq!(paired.correct, [2, 2, 1]);
        let gain = |acc: &[f64]| ((acc[1] - acc[0].max(acc[2])) * 3.0).round() as i64;
        let mut exact = std::collections::BTreeMap::<i64, f64>::new();
        for draw in 0..27 {
            let images = [draw % 3, draw / 3 % 3, draw / 9];
            let acc = [0, 1, 2].map(|point| {
                images.iter().filter(|&&i: &&usize| keys[i] >> point & 1 == 1).count() as f64 / 3.0
            });
            *exact.entry(gain(&acc)).or_default() += 1.0 / 27.0;
        }
        let draws = 40_000;
        let mut seen = std::collections::BTreeMap::<i64, f64>::new();
        for draw in resample(&paired, 3, 0, draws).chunks_exact(3) {
            *seen.entry(gain(draw)).or_default() += 1.0 / draws as f64;
        }
        assert_eq!(exact.keys().collect::<Vec<_>>(), seen.keys().collect::<Vec<_>>());
        for (value, p) in exact {
            let tolerance = 5.0 * (p * (1.0 - p) / draws as f64).sqrt();
            assert!((seen[&value] - p).abs() < tolerance, "{value}: {} for {p}", seen[&value]);
        }
    }

    /// Against the normal law: of one quantity the 97.5 % point, of four
    /// independent ones Šidák's.
    #[test]
    fn a_sure_maximum_is_the_normal_law_s() {
        let mut rng = ChaCha8Rng::seed_from_u64(4);
        let mut uniform = || (rng.next_u64() >> 11) as f64 / (1_u64 << 53) as f64;
        let mut normals = |mean: f64, sd: f64| -> Vec<f64> {
            let normal = |_| (0..12).map(|_| uniform()).sum::<f64>() - 6.0;
            (0..40_000).map(normal).map(|z| mean + sd * z).collect()
        };
        let one = sure_maximum(&[5.0], &[normals(5.0, 2.0)], TAIL);
        assert!((one - (5.0 - 1.96 * 2.0)).abs() < 0.15, "{one}");
        let draws = [1.0, 1.0, 3.0, 0.5].map(|sd| normals(0.0, sd));
        let four = sure_maximum(&[0.0; 4], &draws, TAIL);
        // Φ⁻¹(0.975^¼) = 2.494, times the smallest error.
        assert!((four + 2.494 * 0.5).abs() < 0.06, "{four}");
        assert_eq!(sure_maximum(&[3.0, 1.0], &[vec![3.0; 9], vec![1.0; 9]], TAIL), 3.0);
        assert_eq!(sure_maximum(&[], &[], TAIL), f64::NEG_INFINITY);
    }

    #[test]
    fn quantiles_as_numpy_has_them() {
        let sorted = [1.0, 2.0, 4.0, 8.0];
        assert_eq!(quantile(&sorted, 0.5), Some(3.0));
        assert_eq!(quantile(&sorted, 0.25), Some(1.75));
        assert_eq!(quantile(&sorted, 1.0), Some(8.0));
        assert_eq!(quantile(&[], 0.5), None);
    }
}
