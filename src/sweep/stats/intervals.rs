//! Intervals in closed form.

use super::Interval;

/// Two-sided 95 % point of the normal law.
const Z: f64 = 1.959_963_984_540_054;

/// Wilson score interval at 95 % for `correct` of `total`, as fractions (Wilson
/// 1927). `None` without images, or when `correct` exceeds `total`.
#[must_use]
pub fn wilson(correct: usize, total: usize) -> Option<(f64, f64)> {
    if total == 0 || correct > total {
        return None;
    }
    let n = total as f64;
    let p = correct as f64 / n;
    let scale = 1.0 + Z * Z / n;
    let centre = (p + Z * Z / (2.0 * n)) / scale;
    let half = Z / scale * (p * (1.0 - p) / n + Z * Z / (4.0 * n * n)).sqrt();
    // At none and at all, the bound is the estimate itself; rounding must not
    // put it beside.
    let lo = if correct == 0 { 0.0 } else { (centre - half).clamp(0.0, p) };
    let hi = if correct == total { 1.0 } else { (centre + half).clamp(p, 1.0) };
    Some((lo, hi))
}

/// Exact two-sided p-value that gains and losses are equally likely, given
/// `gained` images right only in the second and `lost` right only in the first
/// (McNemar 1947, exact binomial form). 1 without any.
#[must_use]
pub fn mcnemar(gained: usize, lost: usize) -> f64 {
    let n = gained + lost;
    let k = gained.min(lost);
    // 2·P(X ≤ k), X ~ Binomial(n, ½): terms relative to the last, which is the
    // largest, so that nothing underflows early.
    let (mut term, mut sum) = (1.0_f64, 1.0_f64);
    for i in (1..=k).rev() {
        term *= i as f64 / (n - i + 1) as f64;
        sum += term;
        if term < sum * 1e-18 {
            break;
        }
    }
    let ln_last = (1..=k).map(|i| ((n - k + i) as f64 / i as f64).ln()).sum::<f64>()
        - n as f64 * std::f64::consts::LN_2;
    (2.0 * sum * ln_last.exp()).min(1.0)
}

/// Difference of two accuracies on the same `images`, second minus first, as a
/// fraction, with its paired 95 % interval: Wald's after half an image is added
/// to each cell of the 2 × 2 table (Agresti & Min 2005), so that few
/// differences do not make it vanish. `None` without images, or with more
/// differences than images.
#[must_use]
pub fn paired_interval(gained: usize, lost: usize, images: usize) -> Option<Interval> {
    if images == 0 || gained + lost > images {
        return None;
    }
    let value = (gained as f64 - lost as f64) / images as f64;
    let (b, c, n) = (gained as f64 + 0.5, lost as f64 + 0.5, images as f64 + 2.0);
    let centre = (b - c) / n;
    let half = Z * ((b + c - (b - c).powi(2) / n).max(0.0)).sqrt() / n;
    let (lo, hi) = ((centre - half).max(-1.0), (centre + half).min(1.0));
    Some(Interval { value, lo: lo.min(value), hi: hi.max(value) })
}
