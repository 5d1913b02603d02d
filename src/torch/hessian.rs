//! Products with a Hessian, exactly, by a derivative of the derivative; from them its trace
//! (Hutchinson 1989) and its eigenvalue of largest magnitude (power iteration).

use tch::{Kind, TchError, Tensor};

use super::error::{TorchError, guarded};
use super::sharpness::{Draw, Law};

/// Relative residual at which the power iteration has arrived.
const ARRIVED: f64 = 1e-3;

/// A function's gradient at one point, kept so that it can be differentiated again.
#[derive(Debug)]
pub struct Gradient {
    at: Vec<Tensor>,
    gradient: Vec<Tensor>,
}

impl Gradient {
    /// Of a scalar computed from the leaves `at`, which must require gradients. The computation
    /// must have a second derivative in libtorch: no fused attention, nothing overwritten in place.
    ///
    /// # Errors
    /// When the device fails.
    pub fn of(value: &Tensor, at: &[Tensor]) -> Result<Self, TchError> {
        let gradient = tch::with_grad(|| Tensor::f_run_backward(&[value], at, true, true))?;
        Ok(Self { at: at.iter().map(Tensor::shallow_clone).collect(), gradient })
    }

    /// Hv, shaped like the point.
    ///
    /// # Errors
    /// When the device fails.
    pub fn times(&self, v: &[Tensor]) -> Result<Vec<Tensor>, TchError> {
        // Where the gradient does not depend on the point there is nothing to differentiate.
        let along = tch::with_grad(|| {
            std::iter::zip(&self.gradient, v)
                .filter(|(gradient, _)| gradient.defined() && gradient.requires_grad())
                .map(|(gradient, v)| gradient.f_mul(v)?.f_sum(gradient.f_kind()?))
                .reduce(|a, b| a?.f_add(&b?))
                .transpose()
        })?;
        let zeros = |x: &Tensor| x.f_detach()?.f_zeros_like();
        let Some(along) = along else { return self.at.iter().map(zeros).collect() };
        let second = Tensor::f_run_backward(&[along], &self.at, true, false)?;
        std::iter::zip(second, &self.at)
            .map(|(h, at)| if h.defined() { Ok(h) } else { zeros(at) })
            .collect()
    }
}

/// A Rademacher vector: ±1 with equal chance for every element of some named tensors, shaped and
/// placed like `like`.
///
/// # Errors
/// When the device fails.
pub fn signs(draw: Draw<'_>, names: &[String], like: &[Tensor]) -> Result<Vec<Tensor>, TchError> {
    let one = |(name, like): (&String, &Tensor)| {
        Tensor::f_from_slice(&draw.values(Law::Sign, name, like.numel()))?
            .f_view(like.size().as_slice())?
            .f_to_device(like.device())?
            .f_to_kind(like.f_kind()?)
    };
    std::iter::zip(names, like).map(one).collect()
}

/// The inner product of two vectors in pieces, summed in float64.
///
/// # Errors
/// When the device fails.
pub fn dot(a: &[Tensor], b: &[Tensor]) -> Result<f64, TchError> {
    std::iter::zip(a, b).try_fold(0.0, |sum, (a, b)| {
        let product = a.f_to_kind(Kind::Double)?.f_mul(&b.f_to_kind(Kind::Double)?)?;
        Ok(sum + f64::try_from(product.f_sum(Kind::Double)?)?)
    })
}

/// An eigenvalue and how nearly it is one.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Eigenvalue {
    /// vᵀHv of the last unit v.
    pub value: f64,
    /// ‖Hv − λv‖ / |λ|; 0 where Hv is 0.
    pub residual: f64,
}

/// The eigenvalue of largest magnitude, by power iteration from `start`: at most `steps` products,
/// fewer when the residual is below 10⁻³. `times` gives Hv, or `None` to leave off.
///
/// # Errors
/// The products' own errors, or the device fails.
pub fn largest(
    start: Vec<Tensor>,
    steps: usize,
    mut times: impl FnMut(&[Tensor]) -> Result<Option<Vec<Tensor>>, TorchError>,
) -> Result<Option<Eigenvalue>, TorchError> {
    let mut v = start;
    let mut found = Eigenvalue::default();
    for step in 0..steps {
        let length = guarded("normalise a vector", || dot(&v, &v))?.sqrt();
        if length == 0.0 {
            return Ok(Some(Eigenvalue::default()));
        }
        let unit = |x: &Tensor| x.f_div_scalar(length);
        v = guarded("normalise a vector", || v.iter().map(unit).collect())?;
        let Some(product) = times(&v)? else { return Ok(None) };
        let (value, size) =
            guarded("compare Hv with v", || Ok((dot(&v, &product)?, dot(&product, &product)?)))?;
        // ‖Hv − λv‖² = ‖Hv‖² − λ² for a unit v and λ = vᵀHv.
        let residual = (size - value * value).max(0.0).sqrt();
        let relative = if residual > 0.0 { (residual / value.abs()).min(f64::MAX) } else { 0.0 };
        found = Eigenvalue { value, residual: relative };
        tracing::trace!(step, value, residual = found.residual);
        if found.residual < ARRIVED {
            break;
        }
        v = product;
    }
    Ok(Some(found))
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    type Function = fn(&[Tensor]) -> Tensor;

    fn gradient(at: &[Tensor], function: Function) -> Gradient {
        let at: Vec<Tensor> = at.iter().map(|x| x.detach().set_requires_grad(true)).collect();
        Gradient::of(&function(&at), &at).unwrap()
    }

    fn doubles(values: &[f64], shape: &[i64]) -> Tensor {
        Tensor::from_slice(values).view(shape)
    }

    /// Numbers without pattern, −1 to 1.
    fn noise(count: usize, seed: u64) -> Vec<f64> {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        (0..count).map(|_| random.next_u32() as f64 / f64::from(u32::MAX) * 2.0 - 1.0).collect()
    }

    fn values(tensors: &[Tensor]) -> Vec<f64> {
        let flat: Vec<Tensor> = tensors.iter().map(|x| x.flatten(0, -1)).collect();
        Vec::try_from(Tensor::cat(&flat, 0).to_kind(Kind::Double)).unwrap()
    }

    fn rademacher(k: u64, like: &[Tensor]) -> Vec<Tensor> {
        let names: Vec<String> = (0..like.len()).map(|i| format!("tensor {i}")).collect();
        signs(Draw { seed: 3, layer: "layer", k }, &names, like).unwrap()
    }

    fn products(gradient: &Gradient, v: &[Tensor]) -> Result<Option<Vec<Tensor>>, TorchError> {
        Ok(Some(gradient.times(v).unwrap()))
    }

    /// Eigenvalues 2, −3 and 0.5, in a turned basis, over two tensors.
    fn quadratic(at: &[Tensor]) -> Tensor {
        let z = Tensor::cat(&[at[0].flatten(0, -1), at[1].flatten(0, -1)], 0);
        z.dot(&matrix().mv(&z)) * 0.5
    }

    fn matrix() -> Tensor {
        let (s, c) = (0.6_f64, 0.8);
        let turn = doubles(&[c, -s, 0.0, s, c, 0.0, 0.0, 0.0, 1.0], &[3, 3])
            .matmul(&doubles(&[1.0, 0.0, 0.0, 0.0, c, -s, 0.0, s, c], &[3, 3]));
        let values = Tensor::from_slice(&[2.0, -3.0, 0.5]).diag(0);
        turn.matmul(&values).matmul(&turn.tr())
    }

    #[test]
    fn a_quadratic_has_its_own_matrix_trace_and_eigenvalue() {
        let at = [doubles(&[0.3, -1.0], &[2]), doubles(&[4.0], &[1, 1])];
        let gradient = gradient(&at, quadratic);
        let z = values(&at);
        let product = values(&gradient.times(&at).unwrap());
        let plain: Vec<f64> = Vec::try_from(matrix().mv(&Tensor::from_slice(&z))).unwrap();
        assert!(product.iter().zip(&plain).all(|(a, b)| (a - b).abs() < 1e-12), "{product:?}");
        // All eight sign vectors are equally likely: the mean over them is the trace, 2 − 3 + 0.5.
        let mean = (0..8)
            .map(|bits| {
                let v: Vec<f64> =
                    (0..3).map(|i| if bits >> i & 1 == 1 { 1.0 } else { -1.0 }).collect();
                let v = [doubles(&v[..2], &[2]), doubles(&v[2..], &[1, 1])];
                dot(&v, &gradient.times(&v).unwrap()).unwrap() / 8.0
            })
            .sum::<f64>();
        assert!((mean + 0.5).abs() < 1e-12, "{mean}");
        let start = rademacher(0, &at);
        let found = largest(start, 100, |v| products(&gradient, v)).unwrap().unwrap();
        assert!((found.value + 3.0).abs() < 1e-4 && found.residual < ARRIVED, "{found:?}");
    }

    #[test]
    fn what_is_flat_has_no_curvature() {
        let at = [doubles(&[1.0, 2.0], &[2]), doubles(&[3.0], &[1])];
        let linear = gradient(&at, |at| at[0].sum(Kind::Double) * 2.0);
        assert_eq!(values(&linear.times(&at).unwrap()), [0.0; 3]);
        let found = largest(vec![at[0].copy(), at[1].copy()], 9, |v| products(&linear, v));
        assert_eq!(found.unwrap(), Some(Eigenvalue::default()));
        let gradient = gradient(&at, |at| at[0].square().sum(Kind::Double));
        assert_eq!(values(&gradient.times(&at).unwrap()), [2.0, 4.0, 0.0], "the second is unused");
    }

    const ROWS: usize = 7;
    const INPUTS: usize = 4;
    const CLASSES: usize = 3;

    fn cross_entropy(logits: &Tensor, labels: &Tensor) -> Tensor {
        logits.log_softmax(-1, logits.kind()).nll_loss(labels)
    }

    /// Mean cross-entropy of softmax regression.
    fn regression(at: &[Tensor]) -> Tensor {
        let x = doubles(&noise(ROWS * INPUTS, 5), &[ROWS as i64, INPUTS as i64]);
        let labels = Tensor::from_slice(&[0_i64, 1, 2, 0, 1, 2, 0]);
        cross_entropy(&x.matmul(&at[0].tr()), &labels)
    }

    /// H = 1/n Σ (diag(p) − ppᵀ) ⊗ xxᵀ, written out.
    #[test]
    fn softmax_regression_has_the_hessian_of_the_books() {
        let w = noise(CLASSES * INPUTS, 6);
        let x = noise(ROWS * INPUTS, 5);
        let at = [doubles(&w, &[CLASSES as i64, INPUTS as i64])];
        let gradient = gradient(&at, regression);
        let v = noise(CLASSES * INPUTS, 7);
        let got = gradient.times(&[doubles(&v, &[CLASSES as i64, INPUTS as i64])]).unwrap();
        let mut expected = [0.0; CLASSES * INPUTS];
        let mut trace = 0.0;
        for row in x.chunks(INPUTS) {
            let along = |w: &[f64]| -> Vec<f64> {
                w.chunks(INPUTS).map(|w| w.iter().zip(row).map(|(a, b)| a * b).sum()).collect()
            };
            let exps: Vec<f64> = along(&w).iter().map(|z| z.exp()).collect();
            let p: Vec<f64> = exps.iter().map(|e| e / exps.iter().sum::<f64>()).collect();
            let u = along(&v);
            let mean: f64 = p.iter().zip(&u).map(|(p, u)| p * u).sum();
            for c in 0..CLASSES {
                for i in 0..INPUTS {
                    expected[c * INPUTS + i] += p[c] * (u[c] - mean) * row[i] / ROWS as f64;
                }
            }
            let size: f64 = row.iter().map(|x| x * x).sum();
            trace += (1.0 - p.iter().map(|p| p * p).sum::<f64>()) * size / ROWS as f64;
        }
        for (got, expected) in values(&got).iter().zip(&expected) {
            assert!((got - expected).abs() < 1e-12, "{got} {expected}");
        }
        let estimates: Vec<f64> = (0..400)
            .map(|k| {
                let v = rademacher(k, &at);
                dot(&v, &gradient.times(&v).unwrap()).unwrap()
            })
            .collect();
        let n = estimates.len() as f64;
        let mean = estimates.iter().sum::<f64>() / n;
        let variance = estimates.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (n - 1.0);
        assert!((mean - trace).abs() < 4.0 * (variance / n).sqrt(), "{mean} {trace}");
    }

    /// A layer norm, attention written out, GELU, a normalised output: what a block is made of.
    fn block(at: &[Tensor]) -> Tensor {
        let kind = at[0].kind();
        let x = doubles(&noise(5 * 6, 8), &[5, 6]).to_kind(kind);
        let x = x.layer_norm([6], Some(&at[0]), None::<&Tensor>, 1e-5, false);
        let mixed = (x.matmul(&at[1]).matmul(&x.tr()) * 0.4).softmax(-1, kind).matmul(&x);
        let hidden = mixed.matmul(&at[1].tr()).gelu("none");
        let length = hidden.norm_scalaropt_dim(2.0, [-1_i64].as_slice(), true);
        let labels = Tensor::from_slice(&[0_i64, 1, 2, 3, 4]);
        cross_entropy(&(hidden / length * 5.0), &labels)
    }

    /// (g(θ + εv) − g(θ − εv)) / 2ε.
    fn differences(at: &[Tensor], v: &[Tensor], step: f64) -> Vec<f64> {
        let side = |sign: f64| {
            let moved: Vec<Tensor> = at.iter().zip(v).map(|(x, v)| x + v * (sign * step)).collect();
            values(&gradient(&moved, block).gradient)
        };
        let (after, before) = (side(1.0), side(-1.0));
        after.iter().zip(&before).map(|(a, b)| (a - b) / (2.0 * step)).collect()
    }

    #[test]
    fn exact_products_are_those_of_finite_differences() {
        for (kind, step, allowed) in [(Kind::Double, 1e-5, 1e-7), (Kind::Float, 5e-3, 1e-3)] {
            let at = [doubles(&noise(6, 1), &[6]) + 2.0, doubles(&noise(36, 2), &[6, 6])];
            let v = [doubles(&noise(6, 3), &[6]), doubles(&noise(36, 4), &[6, 6])];
            let [at, v] = [at, v].map(|x| x.map(|x| x.to_kind(kind)));
            let exact = values(&gradient(&at, block).times(&v).unwrap());
            let about = differences(&at, &v, step);
            let norm = |x: &[f64]| x.iter().map(|x| x * x).sum::<f64>().sqrt();
            let apart: Vec<f64> = exact.iter().zip(&about).map(|(a, b)| a - b).collect();
            let relative = norm(&apart) / norm(&exact);
            assert!(norm(&exact) > 0.01 && relative < allowed, "{kind:?}: {relative}");
        }
    }
}
