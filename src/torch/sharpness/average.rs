//! Average case: the mean rise over random perturbations, in antithetic pairs.

use tch::Tensor;

use super::Asked;
use crate::sweep::engine::Steer;
use crate::torch::error::{TorchError, guarded};
use crate::torch::staged::Runner;

/// \[batch\]\[pair\]: the mean rise of +δ and −δ.
///
/// Every batch has draws of its own: as many passes as with the same draws in all of them, and the
/// draws' share of the error falls by the root of the number of batches.
pub(super) fn rises(
    runner: &mut Runner,
    asked: &Asked<'_>,
    steer: &mut dyn Steer,
) -> Result<Option<Vec<Vec<f64>>>, TorchError> {
    let (pairs, batches) = (asked.spec.draws / 2, runner.batches());
    let steps = (2 * pairs * batches).max(1) as f64;
    let mut rises = Vec::with_capacity(batches);
    let mut done = 0.0;
    // As long as the layer and used for every draw: fresh memory costs as much as what is done in it.
    let (mut delta, moved) = (asked.layer.zeros()?, asked.layer.zeros()?);
    for batch in 0..batches {
        let mut of_batch = Vec::with_capacity(pairs);
        for pair in 0..pairs {
            asked.draw(number(batch, pair), &mut delta)?;
            guarded("scale a perturbation", || {
                asked.layer.scale_in_place(&mut delta)?;
                let _ = delta.f_mul_scalar_(asked.spec.rho)?;
                Ok(())
            })?;
            let mut sum = 0.0;
            for side in [Tensor::f_add_out, Tensor::f_sub_out] {
                if !steer.go_on(done / steps) {
                    return Ok(None);
                }
                let tensors = guarded("perturb a layer", || {
                    asked.layer.tensors(&side(&asked.layer.theta, &moved, &delta)?)
                })?;
                let mut over = runner.overlay(tensors)?;
                sum += asked.rise(runner.loss(batch, &mut over, asked.rule)?, batch)?;
                done += 1.0;
            }
            of_batch.push(sum / 2.0);
        }
        rises.push(of_batch);
    }
    Ok(Some(rises))
}

/// Number of a batch's draw: more batches or draws change none of the others.
#[must_use]
pub fn number(batch: usize, pair: usize) -> u64 {
    (batch as u64) << 32 | pair as u64
}
