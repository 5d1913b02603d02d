//! Logits → plain numbers, on the host, in float64: hits, losses, near ties.
//!
//! Pure: the same logits give the same numbers on every device.

use crate::sweep::engine::{BatchOutcome, NEAR_TIE};

/// Scores one batch of float32 logits.
///
/// - top-1: the largest logit is the label's; of equal logits the lowest class counts as largest.
/// - top-5: fewer than five classes come before the label by that same order.
/// - loss: cross-entropy in nats, log Σ exp(z − max z) − (z_label − max z).
/// - near tie: the two largest differ by less than [`NEAR_TIE`] × the largest magnitude.
///
/// `logits` is \[images, `classes`\], row-major; `labels` has one class per image.
///
/// # Errors
/// The position of the first image with a logit that is NaN or infinite.
pub fn score(logits: &[f32], classes: usize, labels: &[usize]) -> Result<BatchOutcome, usize> {
    let mut outcome = BatchOutcome { hit5: (classes > 5).then(Vec::new), ..Default::default() };
    for (image, (row, &label)) in logits.chunks_exact(classes.max(1)).zip(labels).enumerate() {
        if row.iter().any(|z| !z.is_finite()) {
            return Err(image);
        }
        let own = row[label];
        let before =
            row.iter().enumerate().filter(|&(i, &z)| z > own || z == own && i < label).count();
        outcome.hit.push(before == 0);
        if let Some(hit5) = &mut outcome.hit5 {
            hit5.push(before < 5);
        }
        let (mut first, mut second) = (f64::NEG_INFINITY, f64::NEG_INFINITY);
        let mut magnitude = 0.0_f64;
        for &z in row {
            let z = f64::from(z);
            magnitude = magnitude.max(z.abs());
            if z > first {
                (first, second) = (z, first);
            } else {
                second = second.max(z);
            }
        }
        let sum: f64 = row.iter().map(|&z| (f64::from(z) - first).exp()).sum();
        outcome.loss.push(sum.ln() - (f64::from(own) - first));
        let gap = first - second;
        outcome.near_ties += u32::from(gap == 0.0 || gap < NEAR_TIE * magnitude);
    }
    Ok(outcome)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_class_wins_a_tie() {
        let logits = [1.0, 3.0, 3.0, 0.0];
        assert_eq!(score(&logits, 4, &[1]).unwrap().hit, [true]);
        let second = score(&logits, 4, &[2]).unwrap();
        assert_eq!((second.hit, second.near_ties), (vec![false], 1));
        assert_eq!(second.hit5, None);
    }

    #[test]
    fn top5_counts_from_six_classes_on() {
        let logits = [6.0, 5.0, 4.0, 3.0, 2.0, 1.0];
        assert_eq!(score(&logits, 6, &[4]).unwrap().hit5, Some(vec![true]));
        assert_eq!(score(&logits, 6, &[5]).unwrap().hit5, Some(vec![false]));
        assert_eq!(score(&logits[..5], 5, &[4]).unwrap().hit5, None);
    }

    #[test]
    fn loss_is_cross_entropy_even_far_from_zero() {
        // −log softmax by its definition, in numbers small enough for it.
        let small = [0.5_f32, -1.25, 2.0];
        let naive = -(f64::from(small[1]).exp()
            / small.iter().map(|&z| f64::from(z).exp()).sum::<f64>())
        .ln();
        let got = score(&small, 3, &[1]).unwrap().loss[0];
        assert!((got - naive).abs() < 1e-12, "{got} {naive}");
        // Shifting all logits changes nothing, where the definition would overflow.
        let large = small.map(|z| z + 4096.0);
        let got = score(&large, 3, &[1]).unwrap().loss[0];
        assert!((got - naive).abs() < 1e-12, "{got} {naive}");
    }

    #[test]
    fn a_single_class_is_always_right_and_never_a_tie() {
        let one = score(&[7.0, -2.0], 1, &[0, 0]).unwrap();
        assert_eq!(one.hit, [true, true]);
        assert_eq!((one.loss, one.near_ties), (vec![0.0, 0.0], 0));
    }

    #[test]
    fn near_ties_are_relative() {
        let ties = |a: f32, b: f32| score(&[a, b], 2, &[0]).unwrap().near_ties;
        assert_eq!(ties(100.0, 99.995), 1);
        assert_eq!(ties(100.0, 99.9), 0);
        assert_eq!(ties(0.01, 0.009_999_5), 1);
        assert_eq!(ties(-50.0, -50.001), 1);
        assert_eq!(ties(0.0, 0.0), 1);
    }

    #[test]
    fn what_is_not_finite_is_named() {
        assert_eq!(score(&[1.0, 0.0, f32::NAN, 0.0], 2, &[0, 1]), Err(1));
        assert_eq!(score(&[f32::INFINITY, 0.0], 2, &[0]), Err(0));
    }
}
