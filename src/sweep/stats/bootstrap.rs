//! Intervals from the draws of a bootstrap.

use super::Interval;

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
    let count = draws.iter().map(Vec::len).min().unwrap_or(0);
    let mut deviations = vec![f64::NEG_INFINITY; count];
    for ((value, draws), &error) in values.iter().zip(draws).zip(&errors) {
        if error > 0.0 {
            let each = deviations.iter_mut().zip(draws);
            each.for_each(|(most, draw)| *most = most.max((draw - value) / error));
        }
    }
    deviations.retain(|deviation| deviation.is_finite());
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
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

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
