//! Curvature of the mean cross-entropy in one layer: the trace and the largest eigenvalue of the
//! layer's block of the Hessian.
//!
//! Products Hv are exact, by a derivative of the derivative of the suffix from the layer on, with
//! attention written out (libtorch's fused attention has no second derivative). One pass's graph
//! serves every product; where the graphs of all passes fit into memory together they serve the
//! power iteration too, else they are built anew in each of its steps.

use tch::{TchError, Tensor};

use super::error::{TorchError, guarded};
use super::hessian::{Eigenvalue, Gradient, dot, largest, signs};
use super::sharpness::Draw;
use super::staged::{Loss, Overlay, Runner};
use super::weights::Tensors;
use crate::checkpoint::Architecture;
use crate::sweep::engine::Steer;
use crate::sweep::event::LayerInfo;
use crate::sweep::probe::CurvatureResult;
use crate::sweep::spec::CurvatureSpec;

/// Number of the vector that the power iteration starts from; no estimate of the trace uses it.
const START: u64 = u64::MAX;

/// Bytes that one image's graph of first and second derivatives takes at most, about: what a
/// block keeps of every token (activations and attention's weights, twice for the derivative of
/// the derivative and as much again in passing).
#[must_use]
pub fn bytes_per_image(architecture: &Architecture) -> usize {
    let tower = &architecture.image;
    if tower.resnet.is_some() {
        // As much again for each of the two derivatives.
        return 4 * 3 * tower.for_gradient();
    }
    let tokens = tower.grid * tower.grid + 1;
    let values = 24 * tower.width + 9 * tower.mlp_width + 6 * tower.heads * tokens;
    4 * values * tokens * tower.layers.max(1)
}

/// How to go about it.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// The run's seed.
    pub seed: u64,
    /// Whether the graphs of a whole batch are held at once.
    pub keep: bool,
}

/// Measures every batch of a runner. `None` when `steer` says stop.
///
/// # Errors
/// When a tensor of the layer is none of the model's, a product is not finite, or the device
/// fails.
pub fn curvature(
    runner: &mut Runner,
    layer: &LayerInfo,
    spec: &CurvatureSpec,
    plan: Plan,
    steer: &mut dyn Steer,
) -> Result<Option<CurvatureResult>, TorchError> {
    let mut result = CurvatureResult { parameters: layer.parameters, ..Default::default() };
    let of = runner.batches() * (spec.probes + spec.iterations).max(1);
    let mut progress = Progress { steer, done: 0, of, stopped: false };
    for batch in 0..runner.batches() {
        progress.done = batch * (spec.probes + spec.iterations);
        let mut block = Block::new(runner, batch, layer, plan, &mut progress)?;
        let quadratic = block.quadratic(spec.probes)?;
        let found = if block.progress.stopped { None } else { block.largest(spec.iterations)? };
        let Some(Eigenvalue { value, residual }) = found else { return Ok(None) };
        if !quadratic.iter().chain([&value]).all(|x| x.is_finite()) {
            return Err(TorchError::Input(format!(
                "measure the curvature of `{}`: a product with its Hessian is not finite; leave \
                 this α out",
                layer.name
            )));
        }
        result.quadratic.push(quadratic);
        result.eigenvalues.push(value);
        result.residuals.push(residual);
    }
    Ok(Some(result))
}

/// How far the measurement is, and whether it is to be left.
struct Progress<'a> {
    steer: &'a mut dyn Steer,
    done: usize,
    of: usize,
    stopped: bool,
}

impl Progress<'_> {
    fn go_on(&mut self) -> bool {
        self.stopped |= !self.steer.go_on(self.done as f64 / self.of as f64);
        !self.stopped
    }
}

/// The Hessian block of one layer on one batch.
struct Block<'a, 'b> {
    runner: &'a mut Runner,
    batch: usize,
    layer: &'a LayerInfo,
    plan: Plan,
    leaves: Vec<Tensor>,
    over: Overlay,
    held: Vec<Gradient>,
    progress: &'a mut Progress<'b>,
}

impl<'a, 'b> Block<'a, 'b> {
    fn new(
        runner: &'a mut Runner,
        batch: usize,
        layer: &'a LayerInfo,
        plan: Plan,
        progress: &'a mut Progress<'b>,
    ) -> Result<Self, TorchError> {
        let mut leaves = Vec::new();
        let mut tensors = Tensors::new();
        for name in &layer.tensors {
            let base = runner.weights().get(name).ok_or_else(|| {
                TorchError::Input(format!(
                    "differentiate in `{name}`: the model has no such tensor"
                ))
            })?;
            let leaf = guarded("copy a layer", || {
                let mut leaf = base.f_detach()?.f_empty_like()?;
                leaf.f_copy_(base)?;
                leaf.f_set_requires_grad(true)
            })?;
            tensors.insert(name.clone(), leaf.shallow_clone());
            leaves.push(leaf);
        }
        let over = runner.overlay(tensors)?;
        Ok(Self { runner, batch, layer, plan, leaves, over, held: Vec::new(), progress })
    }

    /// Hands out the gradient of every pass's share of the loss, until the measurement is to be
    /// left.
    fn each(
        &mut self,
        mut hand: impl FnMut(&Gradient, &mut Progress<'_>) -> Result<(), TchError>,
    ) -> Result<(), TorchError> {
        let Self { runner, over, leaves, held, progress, plan, .. } = self;
        if !held.is_empty() {
            return guarded("multiply with the Hessian", || {
                held.iter().try_for_each(|gradient| hand(gradient, progress))
            });
        }
        runner.twice_differentiable(self.batch, over, Loss::Plain, |share| {
            if progress.stopped {
                return Ok(());
            }
            let gradient = Gradient::of(share, leaves)?;
            hand(&gradient, progress)?;
            if plan.keep {
                held.push(gradient);
            }
            Ok(())
        })
    }

    /// The k-th Rademacher vector of this layer, the same in every batch.
    fn signs(&self, k: u64) -> Result<Vec<Tensor>, TchError> {
        let draw = Draw { seed: self.plan.seed, layer: &self.layer.name, k };
        signs(draw, &self.layer.tensors, &self.leaves)
    }

    /// vᵀHv of so many Rademacher vectors.
    fn quadratic(&mut self, probes: usize) -> Result<Vec<f64>, TorchError> {
        let vectors = guarded("draw Rademacher vectors", || {
            (0..probes as u64).map(|k| self.signs(k)).collect::<Result<Vec<_>, _>>()
        })?;
        let mut sums = vec![0.0; probes];
        let start = self.progress.done;
        self.each(|gradient, progress| {
            for (k, (sum, v)) in sums.iter_mut().zip(&vectors).enumerate() {
                progress.done = start + k;
                if !progress.go_on() {
                    break;
                }
                *sum += dot(v, &gradient.times(v)?)?;
            }
            Ok(())
        })?;
        self.progress.done = start + probes;
        Ok(sums)
    }

    /// The eigenvalue of largest magnitude. `None` when the measurement is to be left.
    fn largest(&mut self, steps: usize) -> Result<Option<Eigenvalue>, TorchError> {
        let start = guarded("draw a vector", || self.signs(START))?;
        largest(start, steps, |v| {
            let mut product = guarded("multiply with the Hessian", || {
                v.iter().map(Tensor::f_zeros_like).collect::<Result<Vec<_>, _>>()
            })?;
            self.each(|gradient, progress| {
                if progress.go_on() {
                    for (sum, share) in product.iter_mut().zip(gradient.times(v)?) {
                        let _ = sum.f_add_(&share)?;
                    }
                }
                Ok(())
            })?;
            self.progress.done += 1;
            Ok((!self.progress.stopped).then_some(product))
        })
    }
}
