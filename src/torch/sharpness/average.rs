//! Average case: the mean rise over random perturbations, in antithetic pairs.

use super::Asked;
use crate::sweep::engine::Steer;
use crate::torch::error::{TorchError, guarded};
use crate::torch::staged::Runner;

/// \[batch\]\[pair\]: the mean rise of +δ and −δ. A pair's weights are made once for all batches.
pub(super) fn rises(
    runner: &mut Runner,
    asked: &Asked<'_>,
    steer: &mut dyn Steer,
) -> Result<Option<Vec<Vec<f64>>>, TorchError> {
    let (pairs, batches) = (asked.spec.draws / 2, runner.batches());
    let steps = (2 * pairs * batches).max(1) as f64;
    let mut rises = vec![Vec::with_capacity(pairs); batches];
    let mut done = 0.0;
    for pair in 0..pairs {
        let unit = asked.unit(pair as u64)?;
        let mut overlays = Vec::new();
        for sign in [1.0, -1.0] {
            let tensors = guarded("perturb a layer", || {
                let delta = asked.layer.scaled(&unit)?.f_mul_scalar(sign * asked.spec.rho)?;
                asked.layer.tensors(&asked.layer.theta.f_add(&delta)?)
            })?;
            overlays.push(runner.overlay(tensors)?);
        }
        for (batch, rises) in rises.iter_mut().enumerate() {
            let mut sum = 0.0;
            for over in &mut overlays {
                if !steer.go_on(done / steps) {
                    return Ok(None);
                }
                sum += asked.rise(runner.loss(batch, over, asked.rule)?, batch)?;
                done += 1.0;
            }
            rises.push(sum / 2.0);
        }
    }
    Ok(Some(rises))
}
