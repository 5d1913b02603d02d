//! The ball ‖δ ⊘ c‖ₚ ≤ ρ, and the nearest of its points.

use tch::{Kind, TchError, Tensor};

use super::Flat;
use super::vectors::{replace, sums, values, values_mut};

/// Relative accuracy of the projection's radius; the reference's is 1e-5 in absolute terms.
const ACCURACY: f64 = 1e-6;
/// Evaluations at most; halving the bracket alone would tell no more apart in float32.
const STEPS: usize = 60;
/// The bracket's width: weights differ by twelve orders of magnitude at most.
const SPAN: f64 = 1e24;

/// ‖δ ⊘ c‖₂ over elements with c > 0.
pub(super) fn length(layer: &Flat, delta: &Tensor) -> Result<f64, TchError> {
    let Some(scale) = &layer.scale else { return norm(delta) };
    match (values(delta), values(scale)) {
        (Some(delta), Some(scale)) => {
            let square = |delta: f32, c: f32| {
                let q = if c == 0.0 { 0.0 } else { delta / c };
                [q * q, 0.0]
            };
            Ok(sums(delta, scale, square)[0].sqrt())
        }
        _ => norm(&delta.f_div(scale)?.f_masked_fill(&scale.f_eq(0.0)?, 0.0)?),
    }
}

pub(super) fn norm(x: &Tensor) -> Result<f64, TchError> {
    match values(x) {
        Some(x) => Ok(sums(x, x, |x, _| [x * x, 0.0])[0].sqrt()),
        None => f64::try_from(x.f_square()?.f_sum(Kind::Double)?).map(f64::sqrt),
    }
}

/// The nearest point (in the Euclidean distance) of the ellipsoid ‖δ ⊘ c‖₂ ≤ ρ.
///
/// Outside it is w ⊙ δ with w = c² / (c² + 2λ), and λ > 0 such that it lies on the surface. With
/// q = δ ⊘ c its relative length N = ‖q ⊙ w‖ falls in λ, and d ln N² / d ln λ = −2 Σ(qw)²(1 − w) / N²:
/// Newton's method on these logarithms finds λ in a few evaluations, kept in a bracket that is
/// halved where a step would leave it. δ is overwritten.
pub(super) fn ellipsoid(layer: &Flat, mut delta: Tensor, rho: f64) -> Result<Tensor, TchError> {
    let length = length(layer, &delta)?;
    if length <= rho {
        return Ok(delta);
    }
    let Some(scale) = &layer.scale else { return delta.f_mul_scalar_(rho / length) };
    if rho == 0.0 {
        return delta.f_zeros_like();
    }
    // The relative length is at most ‖q‖ max c² / 2λ, so this λ is inside.
    let largest = f64::try_from(scale.f_max()?)?.powi(2);
    let mut high = largest * length / rho / 2.0;
    if !(high.is_finite() && high > 0.0) {
        return delta.f_zeros_like();
    }
    let mut low = high / SPAN;
    let mut lambda = high;
    for _ in 0..STEPS {
        let [total, weighted] = shrunk(scale, &delta, lambda)?;
        let now = total.sqrt();
        if (now - rho).abs() <= ACCURACY * rho {
            break;
        }
        if now > rho {
            low = lambda;
        } else {
            high = lambda;
        }
        let slope = -2.0 * (total - weighted) / total;
        let newton = lambda * (2.0 * (rho / now).ln() / slope).exp();
        // Also where `total` is 0 and the step is no number.
        lambda = if newton > low && newton < high { newton } else { (low * high).sqrt() };
    }
    shrink(scale, &mut delta, lambda)?;
    Ok(delta)
}

/// Σ(qw)² and Σ(qw)²w. With q w = δ c / (c² + 2λ) nothing is divided by c.
fn shrunk(scale: &Tensor, delta: &Tensor, lambda: f64) -> Result<[f64; 2], TchError> {
    if let (Some(delta), Some(scale)) = (values(delta), values(scale)) {
        let twice = (2.0 * lambda) as f32;
        let squares = |delta: f32, c: f32| {
            let inverse = inverse(c, twice);
            let qw = delta * (c * inverse);
            let square = qw * qw;
            [square, square * (c * c * inverse)]
        };
        return Ok(sums(delta, scale, squares));
    }
    let w = weights(scale, lambda)?;
    let q = delta.f_div(scale)?.f_masked_fill(&scale.f_eq(0.0)?, 0.0)?;
    let mut squared = q.f_mul(&w)?.f_square_()?;
    let total = f64::try_from(squared.f_sum(Kind::Double)?)?;
    let weighted = f64::try_from(squared.f_mul_(&w)?.f_sum(Kind::Double)?)?;
    Ok([total, weighted])
}

/// δ becomes w ⊙ δ; 0 where c = 0.
fn shrink(scale: &Tensor, delta: &mut Tensor, lambda: f64) -> Result<(), TchError> {
    if let (Some(delta), Some(scale)) = (values_mut(delta), values(scale)) {
        let twice = (2.0 * lambda) as f32;
        replace(delta, scale, |delta, c| delta * (c * c * inverse(c, twice)));
    } else {
        let _ = delta.f_mul_(&weights(scale, lambda)?)?;
    }
    Ok(())
}

/// 1 / (c² + 2λ); 0 where c = 0, whatever λ rounds to.
fn inverse(c: f32, twice: f32) -> f32 {
    if c == 0.0 { 0.0 } else { 1.0 / (c * c + twice) }
}

/// w = c² / (c² + 2λ), by libtorch.
fn weights(scale: &Tensor, lambda: f64) -> Result<Tensor, TchError> {
    let squares = scale.f_square()?;
    let w = squares.f_add_scalar(2.0 * lambda)?.f_reciprocal_()?.f_mul_(&squares)?;
    w.f_masked_fill(&scale.f_eq(0.0)?, 0.0)
}

/// The nearest point of the box |δ| ≤ ρ c.
pub(super) fn clamp(layer: &Flat, delta: &Tensor, rho: f64) -> Result<Tensor, TchError> {
    match &layer.scale {
        None => delta.f_clamp(-rho, rho),
        Some(scale) => {
            let bound = scale.f_mul_scalar(rho)?;
            delta.f_minimum(&bound)?.f_maximum(&bound.f_neg()?)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer(scale: Option<&[f32]>, n: usize) -> Flat {
        let scale = scale.map(Tensor::from_slice);
        let theta = Tensor::zeros([n as i64], (Kind::Float, tch::Device::Cpu));
        Flat { parts: vec![("w".into(), vec![n as i64])], theta, scale }
    }

    fn values(x: &Tensor) -> Vec<f64> {
        Vec::try_from(x.to_kind(Kind::Double)).unwrap()
    }

    #[test]
    fn inside_nothing_changes_and_a_sphere_is_scaled() {
        let ball = layer(None, 2);
        let inside = ellipsoid(&ball, Tensor::from_slice(&[0.3_f32, 0.4]), 0.6).unwrap();
        assert_eq!(inside, Tensor::from_slice(&[0.3_f32, 0.4]));
        let got = values(&ellipsoid(&ball, Tensor::from_slice(&[3.0_f32, -4.0]), 1.0).unwrap());
        assert!((got[0] - 0.6).abs() < 1e-6 && (got[1] + 0.8).abs() < 1e-6);
    }

    /// On the surface, and the way there is along the surface's normal: (δ₀ − δ)ᵢ = 2λ δᵢ / cᵢ².
    #[test]
    fn the_projection_is_the_nearest_point_of_the_ellipsoid() {
        let scale = [1.0_f32, 0.01, 3.0, 0.0, 1e-4];
        let outside = [2.0_f32, 0.5, -7.0, 4.0, 1e-3];
        let ball = layer(Some(&scale), 5);
        for rho in [1e-3, 0.2, 1.5] {
            let got = ellipsoid(&ball, Tensor::from_slice(&outside), rho).unwrap();
            assert!((length(&ball, &got).unwrap() / rho - 1.0).abs() < 1e-4);
            let got = values(&got);
            assert_eq!(got[3], 0.0, "no scale, no perturbation");
            let lambda = |i: usize| {
                (f64::from(outside[i]) - got[i]) * f64::from(scale[i]).powi(2) / (2.0 * got[i])
            };
            for i in [1, 2, 4] {
                assert!((lambda(i) / lambda(0) - 1.0).abs() < 1e-2, "{i} {}", lambda(i));
            }
        }
    }

    /// Weights of a trained layer spread over orders of magnitude; so does what they are moved by.
    #[test]
    fn a_layers_spread_of_scales_ends_on_the_surface() {
        let n = 20_000;
        tch::manual_seed(3);
        let normal = || Tensor::randn([n], (Kind::Float, tch::Device::Cpu));
        for spread in [0.5, 3.0, 8.0] {
            let scale = (normal() * spread).exp() * 0.02;
            let delta = (normal() * 2.0).exp() * normal() * &scale;
            let ball = Flat {
                parts: vec![("w".into(), vec![n])],
                theta: scale.zeros_like(),
                scale: Some(scale),
            };
            for rho in [1e-4, 0.2, 50.0] {
                let got = ellipsoid(&ball, delta.copy(), rho).unwrap();
                let reached = length(&ball, &got).unwrap() / rho;
                assert!((reached - 1.0).abs() < 1e-5, "spread {spread}, rho {rho}: {reached}");
            }
        }
    }

    /// What is done here on slices and what libtorch does where there are none (on a GPU).
    #[test]
    fn slices_and_tensors_agree() {
        tch::manual_seed(4);
        let options = (Kind::Float, tch::Device::Cpu);
        let scale =
            (Tensor::randn([5_000], options) * 3.0).exp() * Tensor::randint(3, [5_000], options);
        let delta = Tensor::randn([5_000], options) * 0.1;
        // Every second element of a longer vector is no slice.
        let apart = |x: &Tensor| {
            let wide = Tensor::stack(&[x, x], 1).select(1, 0);
            assert!(super::values(&wide).is_none());
            wide
        };
        let flat = |scale: Tensor| Flat {
            parts: Vec::new(),
            theta: delta.zeros_like(),
            scale: Some(scale),
        };
        let (own, other) = (flat(scale.shallow_clone()), flat(apart(&scale)));
        let near = |a: f64, b: f64| (a / b - 1.0).abs() < 1e-5;
        assert!(near(length(&own, &delta).unwrap(), length(&other, &apart(&delta)).unwrap()));
        assert!(near(norm(&delta).unwrap(), norm(&apart(&delta)).unwrap()));
        for lambda in [1e-6, 1e-2, 1.0, 1e3] {
            let a = shrunk(&scale, &delta, lambda).unwrap();
            let b = shrunk(&apart(&scale), &apart(&delta), lambda).unwrap();
            assert!(near(a[0], b[0]) && near(a[1], b[1]), "{a:?} {b:?}");
        }
        for rho in [1e-3, 0.5] {
            let a = ellipsoid(&own, delta.copy(), rho).unwrap();
            let b = ellipsoid(&other, apart(&delta), rho).unwrap();
            let difference = f64::try_from((&a - &b).abs().max()).unwrap();
            assert!(difference < 1e-5 * f64::try_from(a.abs().max()).unwrap(), "{difference}");
        }
    }

    #[test]
    fn scales_that_are_all_zero_leave_nothing_and_no_nan() {
        let ball = layer(Some(&[0.0, 0.0]), 2);
        assert_eq!(length(&ball, &Tensor::from_slice(&[1.0_f32, 2.0])).unwrap(), 0.0);
        let one = layer(Some(&[0.0, 1.0]), 2);
        let got = ellipsoid(&one, Tensor::from_slice(&[1.0_f32, 2.0]), 0.0).unwrap();
        assert_eq!(values(&got), [0.0, 0.0]);
    }

    #[test]
    fn the_box_is_exact() {
        let scale = [0.3_f32, 0.0, 2.0];
        let ball = layer(Some(&scale), 3);
        let got = clamp(&ball, &Tensor::from_slice(&[9.0_f32, 9.0, -0.1]), 0.1).unwrap();
        assert_eq!(Vec::<f32>::try_from(got).unwrap(), [0.3 * 0.1_f32, 0.0, -0.1]);
    }
}
