//! What probes stand on: the engine's model and some images, staged for running from the middle.

use std::ops::Range;
use std::sync::Arc;

use tch::Tensor;

use super::curvature::{Plan, bytes_per_image, curvature};
use super::engine::{Point, TorchEngine, sorted};
use super::error::guarded;
use super::heads::{Head, PromptSet};
use super::memory;
use super::model::MicroBatch;
use super::sharpness::{self, Perturbed};
use super::staged::{ClassWeights, Runner};
use super::weights::Named;
use super::weights::Tensors;
use crate::checkpoint::layers::{Granularity, layers};
use crate::checkpoint::{Architecture, Pair};
use crate::sweep::engine::{EngineError, Steer};
use crate::sweep::event::LayerInfo;
use crate::sweep::ids::DatasetId;
use crate::sweep::probe::ProbeResult;
use crate::sweep::spec::{CurvatureSpec, Scale, SharpnessSpec};

/// Part of the free memory that kept activations may take.
const KEPT: usize = 4;
/// Part of the free memory that one pass with gradients may take.
const GRADIENT: usize = 4;
/// Where the system does not tell how much memory is free.
const UNKNOWN: usize = 2 << 30;
/// Tokens per pass through the text tower.
const TOKENS: usize = 8192;

/// A runner over some images, and whether its weights stand where the engine's do.
#[derive(Debug)]
pub struct Staging {
    dataset: DatasetId,
    batches: Vec<Range<usize>>,
    runner: Runner,
    stale: bool,
}

impl Staging {
    /// The engine's weights move.
    pub fn moved(&mut self) {
        self.stale = true;
    }
}

impl TorchEngine {
    /// The model at its present point, and these positions of a dataset's order, batch by batch.
    /// Kept, activations and all, until the point, the dataset or the batches change.
    ///
    /// # Errors
    /// When the weights stand nowhere, images cannot be read, or the device has no room.
    pub fn staged(
        &mut self,
        id: DatasetId,
        batches: &[Range<usize>],
    ) -> Result<&mut Runner, EngineError> {
        // Class weights that are made once hold the scale of one point.
        let scale_moves = self.model.logit_scale().moves();
        let kept = self.staging.take().filter(|staging| {
            staging.dataset == id && staging.batches == batches && !(staging.stale && scale_moves)
        });
        let (weights, head) = self.in_place(id)?;
        if let Some(mut staging) = kept {
            if std::mem::take(&mut staging.stale) {
                staging.runner.moved();
            }
            return Ok(&mut self.staging.insert(staging).runner);
        }
        let runner = self.runner(id, batches, weights, head, 1)?;
        let batches = batches.to_vec();
        let staging = Staging { dataset: id, batches, runner, stale: false };
        Ok(&mut self.staging.insert(staging).runner)
    }

    /// Brings every weight in play to the present point in float32: towers, and the stored head
    /// where there is one. The tensors share storage with the engine's. Beside them a dataset's
    /// class weights, where they are made by a text tower that does not move.
    ///
    /// # Errors
    /// When the weights stand nowhere or the device fails.
    pub(super) fn in_place(
        &mut self,
        id: DatasetId,
    ) -> Result<(Tensors, Option<Head>), EngineError> {
        let doing = "read the weights";
        let fail = |error| sorted(error, doing);
        let at = self.here(doing)?;
        let mut weights = self.model.exact_weights(&at.plan).map_err(fail)?;
        let Self { inputs, model, heads, .. } = &mut *self;
        if model.text_moves() {
            return Ok((weights, None));
        }
        let head = heads.get(inputs, model, id, &at).map_err(fail)?.share();
        Ok(match heads.stored_tensors() {
            Some(stored) => {
                weights.extend(stored);
                (weights, None)
            }
            None => (weights, Some(head)),
        })
    }

    /// Where the weights stand.
    ///
    /// # Errors
    /// When they stand nowhere.
    pub(super) fn here(&self, doing: &str) -> Result<Point, EngineError> {
        self.at.clone().ok_or_else(|| {
            EngineError::Cell(format!("{doing}: the weights stand at no point of the path"))
        })
    }

    /// A runner over positions of a dataset's order, batch by batch, with the weights and class
    /// weights of [`Self::in_place`]. It may keep one `share`-th of what runners may keep together.
    ///
    /// # Errors
    /// When images cannot be read or the device has no room.
    pub(super) fn runner(
        &mut self,
        id: DatasetId,
        batches: &[Range<usize>],
        weights: Tensors,
        head: Option<Head>,
        share: usize,
    ) -> Result<Runner, EngineError> {
        let doing = "stage images for a probe";
        let fail = |error| sorted(error, doing);
        let Self { inputs, model, heads, .. } = &mut *self;
        let inputs = Arc::clone(inputs);
        let loaded = inputs
            .dataset(id)
            .ok_or_else(|| EngineError::Cell(format!("{doing}: no dataset {}", id.index())))?;
        let device = model.device();
        let class_weights = if heads.stored_tensors().is_some() {
            let rows = loaded.head_rows.as_ref().map(|rows| {
                let rows: Vec<i64> = rows.iter().map(|&row| row as i64).collect();
                guarded(doing, || Tensor::f_from_slice(&rows)?.f_to_device(device))
            });
            ClassWeights::Stored(rows.transpose().map_err(fail)?)
        } else if let Some(head) = head {
            ClassWeights::Fixed(head)
        } else {
            let list = heads.prompts(&inputs, id).map_err(fail)?;
            let (tower, scale) = model
                .text()
                .ok_or_else(|| EngineError::Cell(format!("{doing}: no text tower was loaded")))?;
            let set = PromptSet::new(tower, &list, scale, device, TOKENS).map_err(fail)?;
            ClassWeights::Text(set)
        };
        let architecture = inputs.pair.architecture.clone();
        let free = memory::free(device).unwrap_or(UNKNOWN);
        let micro = MicroBatch::new(device, &architecture).size();
        let fit = free / GRADIENT / gradient_bytes(&architecture).max(1);
        let weights = Named::new(weights, device);
        let (micro, budget) = (micro.min(fit.max(1)), free / KEPT / share.max(1));
        let mut runner = Runner::new(architecture, weights, class_weights, micro, budget)
            .map_err(fail)?
            .grouped(loaded.dataset.groups().unwrap_or_default().to_vec());
        for range in batches {
            let images = loaded.order.get(range.clone()).ok_or_else(|| {
                let end = loaded.order.len();
                EngineError::Cell(format!("{doing}: expected positions under {end}, got {range:?}"))
            })?;
            let pixels = inputs.pixels(id, images).map_err(EngineError::Data)?;
            let labels: Vec<usize> =
                images.iter().map(|&image| loaded.dataset.label(image)).collect();
            runner.add_batch(&pixels, &labels).map_err(fail)?;
        }
        Ok(runner)
    }
}

impl TorchEngine {
    /// Sharpness of a layer at the present point (`None`: of all in play at once).
    ///
    /// # Errors
    /// As [`Self::staged`], or when a loss is not finite.
    pub(super) fn sharpness(
        &mut self,
        spec: &SharpnessSpec,
        on: DatasetId,
        layer: Option<&LayerInfo>,
        steer: &mut dyn Steer,
    ) -> Result<Option<ProbeResult>, EngineError> {
        let inputs = Arc::clone(&self.inputs);
        let name = layer.map_or("overall", |layer| layer.name.as_str());
        let images = inputs.dataset(on).map_or(0, |loaded| loaded.order.len());
        let batches = batches(images, spec.batch, spec.batches);
        let all;
        let tensors = match layer {
            Some(layer) => &layer.tensors,
            None => {
                all = in_play(&inputs.pair);
                &all
            }
        };
        // The stored head is loaded with the stage.
        self.staged(on, &batches)?;
        let at = self.at.clone();
        let doing = || match &at {
            Some(at) => format!("measure the sharpness of layer `{name}` at {at}"),
            None => format!("measure the sharpness of layer `{name}`"),
        };
        let mut dense = None;
        if let Some(at) = &at
            && spec.scale == Scale::Dense
            && spec.adaptive
            && !at.variant.is_dense()
        {
            let mut all = Tensors::new();
            for tensor in tensors {
                let found = match self.heads.dense(tensor, at.alpha) {
                    Ok(None) => self.model.dense(tensor, at.alpha),
                    found => found,
                };
                let found = found.map_err(|error| sorted(error, &doing()))?;
                all.extend(found.map(|found| (tensor.clone(), found)));
            }
            dense = Some(all);
        }
        let seed = inputs.spec.sweep.seed;
        let what = Perturbed { seed, layer: name, tensors, dense: dense.as_ref() };
        let runner = self.staged(on, &batches)?;
        let result = sharpness::measure(runner, &what, spec, steer)
            .map_err(|error| sorted(error, &doing()))?;
        Ok(result.map(|mut result| {
            let scale = at.map(|at| inputs.pair.logit_scale.at(at.alpha));
            result.logit_scale = scale.filter(|_| inputs.pair.head.is_none());
            ProbeResult::Sharpness(result)
        }))
    }
}

impl TorchEngine {
    /// Curvature of the loss in a layer at the present point.
    ///
    /// # Errors
    /// When no layer is named, as [`Self::staged`], or when a product is not finite.
    pub(super) fn curvature(
        &mut self,
        spec: &CurvatureSpec,
        on: DatasetId,
        layer: Option<&LayerInfo>,
        steer: &mut dyn Steer,
    ) -> Result<Option<ProbeResult>, EngineError> {
        let doing = "measure curvature";
        let layer = layer
            .ok_or_else(|| EngineError::Cell(format!("{doing}: expected a layer, got none")))?;
        let at = self.here(doing)?;
        let inputs = Arc::clone(&self.inputs);
        let images = inputs.dataset(on).map_or(0, |loaded| loaded.order.len());
        let batches = batches(images, spec.batch, spec.batches);
        let free = memory::free(self.model.device()).unwrap_or(UNKNOWN);
        let fit = free / GRADIENT / bytes_per_image(&inputs.pair.architecture).max(1);
        let keep = batches.iter().all(|range| range.len() <= fit);
        let runner = self.staged(on, &batches)?;
        runner.at_most(fit);
        let plan = Plan { seed: inputs.spec.sweep.seed, keep };
        let result = curvature(runner, layer, spec, plan, steer)
            .map_err(|error| sorted(error, &format!("{doing} of `{}` at {at}", layer.name)))?;
        Ok(result.map(ProbeResult::Curvature))
    }
}

/// Whole batches from the start of an order; where there is not one, all images as one batch.
fn batches(images: usize, batch: usize, most: usize) -> Vec<Range<usize>> {
    let whole = images.checked_div(batch).unwrap_or(0).min(most);
    if whole == 0 {
        return std::iter::once(0..images).collect();
    }
    (0..whole).map(|i| i * batch..(i + 1) * batch).collect()
}

/// Canonical names of every tensor in play.
fn in_play(pair: &Pair) -> Vec<String> {
    let head = pair.head.map(|head| (head.classes, head.bias));
    let with_text = pair.text_moves() && pair.head.is_none();
    let all = layers(&pair.architecture.dims(), Granularity::Tensor, head, with_text);
    all.into_iter().flat_map(|layer| layer.tensors).collect()
}

/// Bytes that one image's pass through the tower keeps for its gradient.
fn gradient_bytes(architecture: &Architecture) -> usize {
    4 * architecture.image.for_gradient()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_are_whole_unless_there_is_only_one() {
        assert_eq!(batches(600, 128, 4), [0..128, 128..256, 256..384, 384..512]);
        assert_eq!(batches(300, 128, 4), [0..128, 128..256]);
        assert_eq!(batches(50, 128, 4), vec![0..50; 1]);
    }
}
