//! Worst case: Auto-PGD (Croce and Hein 2020) on the weights, as tml-epfl/sharpness-vs-generalization
//! runs it.
//!
//! ```text
//!  z       = project(δ + η c g/‖g‖₂)   (ℓ2)    or    project(δ + η c sign g)   (ℓ∞)
//!  δ', δ   = δ, ¾ z + ¼ δ'
//! ```
//!
//! η = 2ρ at first. At the checkpoints it is halved when fewer than ¾ of the steps since the last
//! one found a new maximum, or when neither η nor the maximum has changed since; the search then
//! goes on from the best point, at rest.
//!
//! Intended differences from the reference: the best point is returned to whole (its δ and δ' stay
//! where they were, only the weights go back); weights with c = 0 are left out of ‖δ ⊘ c‖ (0/0 there,
//! which silently turns its projection off); and the forward pass that a gradient needs is also the
//! evaluation of its point, so that a step costs one pass forward and one back.

use tch::Tensor;

use super::{Asked, ball};
use crate::sweep::engine::Steer;
use crate::sweep::spec::Norm;
use crate::torch::error::{TorchError, guarded};
use crate::torch::staged::{Loss, Runner};
use crate::torch::weights::Tensors;

/// Numbers the draws of random starts, apart from those of the average case.
const STARTS: u64 = 1 << 63;

/// \[batch\]\[one\]: the largest rise found, ≥ 0. Each batch and each restart begins anew.
///
/// Without `random_start` the first search begins at δ = 0; further ones begin at random points
/// (the same again would find the same).
pub(super) fn rises(
    runner: &mut Runner,
    asked: &Asked<'_>,
    steer: &mut dyn Steer,
) -> Result<Option<Vec<Vec<f64>>>, TorchError> {
    let restarts = asked.spec.restarts.max(1);
    let searches = (runner.batches() * restarts) as f64;
    let mut rises = Vec::new();
    for batch in 0..runner.batches() {
        let mut best = 0.0_f64;
        for restart in 0..restarts {
            let random = asked.spec.random_start || restart > 0;
            let start = if random { Some(start(asked, restart as u64)?) } else { None };
            let before = (batch * restarts + restart) as f64;
            let go_on = |done: f64| steer.go_on((before + done) / searches);
            let mut search = Search { runner, asked, batch };
            match search.run(start, go_on)? {
                Some(found) => best = best.max(asked.rise(found, batch)?),
                None => return Ok(None),
            }
        }
        rises.push(vec![best]);
    }
    Ok(Some(rises))
}

/// A random point of the ball: ℓ∞ uniform in it; ℓ2 uniform in direction, at the surface, where
/// nearly all of so many dimensions' ball is.
fn start(asked: &Asked<'_>, restart: u64) -> Result<Tensor, TorchError> {
    let (layer, rho) = (asked.layer, asked.spec.rho);
    let mut delta = layer.zeros()?;
    asked.draw(STARTS + restart, &mut delta)?;
    guarded("choose a start", || {
        layer.scale_in_place(&mut delta)?;
        match asked.spec.norm {
            Norm::Linf => delta.f_mul_scalar(rho),
            Norm::L2 => match ball::length(layer, &delta)? {
                0.0 => Ok(delta),
                length => delta.f_mul_scalar(rho / length),
            },
        }
    })
}

/// Steps at which η may be halved: ⌈p·n⌉ of p = 0.22, and then by what is left of the last
/// interval less 0.03, at least 0.06. Of 20 steps: 5, 9, 12, 15, 16, 18, 19.
pub(super) fn checkpoints(steps: usize) -> Vec<usize> {
    let (mut before, mut p) = (0.0_f64, 0.22_f64);
    let mut all = Vec::new();
    while p < 1.0 {
        let at = (p * steps as f64).ceil() as usize;
        if at >= steps {
            break;
        }
        if all.last() != Some(&at) {
            all.push(at);
        }
        (before, p) = (p, p + (p - before - 0.03).max(0.06));
    }
    all
}

struct Search<'a, 'b> {
    runner: &'a mut Runner,
    asked: &'a Asked<'b>,
    batch: usize,
}

/// A point of the ball with its loss and gradient.
struct Point {
    delta: Tensor,
    loss: f64,
    gradient: Tensor,
}

impl Point {
    fn share(&self) -> Self {
        let (delta, gradient) = (self.delta.shallow_clone(), self.gradient.shallow_clone());
        Self { delta, loss: self.loss, gradient }
    }
}

impl Search<'_, '_> {
    /// The largest loss found; `None` when told to stop.
    fn run(
        &mut self,
        start: Option<Tensor>,
        mut go_on: impl FnMut(f64) -> bool,
    ) -> Result<Option<f64>, TorchError> {
        let Asked { spec, layer, .. } = *self.asked;
        let steps = spec.steps;
        let marks = checkpoints(steps);
        if !go_on(0.0) {
            return Ok(None);
        }
        let start = match start {
            Some(start) => start,
            None => layer.zeros()?,
        };
        let mut now = self.point(start)?;
        let mut before = now.delta.shallow_clone();
        let mut best = now.share();
        let mut eta = 2.0 * spec.rho;
        let (mut last_eta, mut last_best) = (eta, best.loss);
        let (mut improved, mut last) = (0, 0);
        for step in 0..steps {
            let delta = self.step(&now, &before, eta)?;
            before = now.delta;
            if step + 1 == steps {
                // Nobody needs the last point's gradient.
                let loss = self.loss(&delta)?;
                return Ok(Some(best.loss.max(loss)));
            }
            if !go_on((step + 1) as f64 / steps as f64) {
                return Ok(None);
            }
            now = self.point(delta)?;
            if now.loss > best.loss {
                best = now.share();
                improved += 1;
            }
            if marks.contains(&step) {
                let few = (improved as f64) < 0.75 * (step - last) as f64;
                let stuck = last_eta == eta && last_best == best.loss;
                (last_eta, last_best) = (eta, best.loss);
                (last, improved) = (step, 0);
                if few || stuck {
                    eta /= 2.0;
                    now = best.share();
                    before = now.delta.shallow_clone();
                }
            }
        }
        Ok(Some(best.loss))
    }

    /// From one point to the next: a step along the gradient, back into the ball, momentum.
    fn step(&self, now: &Point, before: &Tensor, eta: f64) -> Result<Tensor, TorchError> {
        let Asked { spec, layer, .. } = *self.asked;
        guarded("step along the gradient", || {
            let (mut step, size) = match spec.norm {
                Norm::L2 => {
                    let size = ball::norm(&now.gradient)? + 1e-12;
                    (layer.scaled(&now.gradient)?, eta / size)
                }
                Norm::Linf => {
                    let mut step = now.gradient.f_sign()?;
                    layer.scale_in_place(&mut step)?;
                    (step, eta)
                }
            };
            let z = step.f_mul_scalar_(size)?.f_add_(&now.delta)?;
            let mut z = match spec.norm {
                Norm::L2 => ball::ellipsoid(layer, z, spec.rho)?,
                Norm::Linf => ball::clamp(layer, &z, spec.rho)?,
            };
            let delta = z.f_lerp_(before, 0.25)?;
            match spec.norm {
                Norm::L2 => Ok(delta),
                // A mean of two points of the box may round out of it.
                Norm::Linf => ball::clamp(layer, &delta, spec.rho),
            }
        })
    }

    fn tensors(&self, delta: &Tensor) -> Result<Tensors, TorchError> {
        let layer = self.asked.layer;
        guarded("perturb a layer", || layer.tensors(&layer.theta.f_add(delta)?))
    }

    fn point(&mut self, delta: Tensor) -> Result<Point, TorchError> {
        let leaf = |x: Tensor| x.f_detach()?.f_set_requires_grad(true);
        let tensors = self
            .tensors(&delta)?
            .into_iter()
            .map(|(name, x)| guarded("perturb a layer", || leaf(x)).map(|x| (name, x)));
        let tensors: Tensors = tensors.collect::<Result<_, _>>()?;
        let mut over = self.runner.overlay(tensors)?;
        let rule: Loss = self.asked.rule;
        let (loss, gradient) = self.runner.gradient(self.batch, &mut over, rule)?;
        self.asked.rise(loss, self.batch)?;
        let layer = self.asked.layer;
        let gradient = guarded("gather the gradient", || layer.join(&gradient))?;
        Ok(Point { delta, loss, gradient })
    }

    fn loss(&mut self, delta: &Tensor) -> Result<f64, TorchError> {
        let mut over = self.runner.overlay(self.tensors(delta)?)?;
        let loss = self.runner.loss(self.batch, &mut over, self.asked.rule)?;
        self.asked.rise(loss, self.batch)?;
        Ok(loss)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checkpoints_of_twenty_steps_are_the_references() {
        assert_eq!(checkpoints(20), [5, 9, 12, 15, 16, 18, 19]);
        assert_eq!(checkpoints(1), Vec::<usize>::new());
        assert!(checkpoints(200).windows(2).all(|pair| pair[0] < pair[1]));
    }
}
