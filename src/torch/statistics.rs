//! BatchNorm's running statistics made anew at each point of the path.
//!
//! Between two ends the statistics of the activations are not those between the ends' statistics.
//! Here they are measured: the same images go through the tower at θ(α), each BatchNorm normalises
//! by the batch, and the means over all batches of batch means and (unbiased) variances become the
//! running ones, as PyTorch's `update_bn` does. They depend on θ(α) and the images alone.

use tch::Tensor;

use super::clip::ImageTower;
use super::error::{TorchError, guarded};
use super::path::PathWeights;
use super::weights::Tensors;
use crate::checkpoint::resnet::is_statistic;
use crate::sparsify::Plan;
use crate::sweep::ids::Alpha;

/// Images that statistics are made of, at most: the first of the dataset's order.
pub const IMAGES: usize = 512;
/// Images of one batch; it is never halved, since that would change the statistics.
pub const BATCH: usize = 64;
/// Points whose statistics are kept: a grid's of several variants.
const POINTS: usize = 256;

/// The images, and the statistics of the points that were visited.
#[derive(Debug)]
pub struct Statistics {
    /// Bytes, \[images, size × size × 3\].
    batches: Vec<Tensor>,
    made: Vec<(Alpha, Plan, Tensors)>,
}

impl Statistics {
    /// Of images as the loader has them; those after the last whole batch are left out.
    ///
    /// # Errors
    /// When there are fewer than two (one has no variance), or sizes differ.
    pub fn new<P: AsRef<[u8]>>(tower: &ImageTower, images: &[P]) -> Result<Self, TorchError> {
        let doing = "stage images for BatchNorm's statistics";
        if images.len() < 2 {
            return Err(TorchError::Input(format!(
                "{doing}: expected at least 2, got {}; set `sweep.batchnorm` to \"interpolate\"",
                images.len()
            )));
        }
        let batch = BATCH.min(images.len());
        let batches = images
            .chunks_exact(batch)
            .map(|part| guarded(doing, || super::model::pixels(tower, part)))
            .collect::<Result<_, _>>()?;
        Ok(Self { batches, made: Vec::new() })
    }

    /// Forgets every point: the weights have another type.
    pub fn clear(&mut self) {
        self.made.clear();
    }

    /// Overwrites the statistics among the weights, which stand at θ(α) of a plan otherwise.
    ///
    /// # Errors
    /// When the device fails or has no room for a batch.
    pub fn bring(
        &mut self,
        tower: &ImageTower,
        weights: &mut PathWeights,
        alpha: Alpha,
        plan: &Plan,
    ) -> Result<(), TorchError> {
        let doing = format!("recompute BatchNorm's statistics at α = {alpha}");
        let known = self.made.iter().find(|(at, of, _)| *at == alpha && of == plan);
        if let Some((.., statistics)) = known {
            return guarded(&doing, || {
                let _no_grad = tch::no_grad_guard();
                for (name, mut scratch) in weights.all() {
                    if let Some(value) = statistics.get(&name) {
                        scratch.f_copy_(value)?;
                    }
                }
                Ok(())
            });
        }
        weights.set_apart(is_statistic)?;
        let statistics = guarded(&doing, || {
            for (earlier, pixels) in self.batches.iter().enumerate() {
                tower.collect_statistics(pixels, earlier)?;
            }
            let all = weights.all().into_iter().filter(|(name, _)| is_statistic(name));
            all.map(|(name, value)| Ok((name, value.f_detach_copy()?)))
                .collect::<Result<Tensors, _>>()
        })?;
        if self.made.len() >= POINTS {
            self.made.clear();
        }
        self.made.push((alpha, plan.clone(), statistics));
        Ok(())
    }
}
