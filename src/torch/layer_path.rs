//! Layer-wise paths (Adilova et al. 2024): accuracy while one layer alone moves along α and the
//! others stand at a base.
//!
//! The base never changes during a run, so what each layer reads there is computed once and kept
//! for every α; only the suffix from the moving layer on runs again.

use std::ops::Range;

use tch::{Device, TchError, Tensor};

use super::engine::{Point, TorchEngine, sorted};
use super::error::guarded;
use super::hessian::dot;
use super::scores::score;
use super::sharpness::{Draw, Law};
use super::staged::Runner;
use super::weights::Tensors;
use crate::sweep::engine::{Engine, EngineError, Steer};
use crate::sweep::event::{Bits, LayerInfo};
use crate::sweep::ids::{Alpha, DatasetId};
use crate::sweep::probe::{Direction, PathResult, ProbeResult};
use crate::sweep::spec::{BarrierSpec, Base, Variant};

/// Runners at a base, one for each dataset, kept for the next layer and α.
#[derive(Debug)]
pub struct Standing {
    base: Base,
    variant: Variant,
    images: usize,
    runners: Vec<(DatasetId, Runner)>,
}

impl Standing {
    fn is(&self, spec: &BarrierSpec, variant: &Variant, on: &[DatasetId]) -> bool {
        self.base == spec.base
            && self.variant == *variant
            && self.images == spec.images
            && self.runners.iter().map(|(id, _)| *id).eq(on.iter().copied())
    }
}

impl TorchEngine {
    /// Hits and losses with one layer at the present point of its own path (or as far in a random
    /// direction) and the others at the base. `None` when `steer` says stop.
    ///
    /// # Errors
    /// When no layer is named, images cannot be read, logits are not finite, or the device fails.
    pub(super) fn layer_path(
        &mut self,
        spec: &BarrierSpec,
        on: &[DatasetId],
        direction: Direction,
        layer: Option<&LayerInfo>,
        steer: &mut dyn Steer,
    ) -> Result<Option<ProbeResult>, EngineError> {
        let doing = "move one layer along its path";
        let layer = layer
            .ok_or_else(|| EngineError::Cell(format!("{doing}: expected a layer, got none")))?;
        let at = self.here(doing)?;
        let tensors = match direction {
            Direction::Path => self.tensors_of(layer, on)?,
            Direction::Random => self.randomly_moved(layer, on, &at)?,
        };
        let kept = self.standing.take().filter(|kept| kept.is(spec, &at.variant, on));
        let mut standing = match kept {
            Some(kept) => kept,
            None => self.stand(spec, on, &at)?,
        };
        let mut results = Vec::new();
        let all: usize = standing.runners.iter().map(|(_, runner)| runner.batches()).sum();
        let mut done = 0;
        for (id, runner) in &mut standing.runners {
            let fail = |error| sorted(error, doing);
            let own = tensors.iter().map(|(name, x)| (name.clone(), x.shallow_clone())).collect();
            let mut over = runner.overlay(own).map_err(fail)?;
            let mut result = PathResult {
                dataset: *id,
                images: 0,
                correct: 0,
                loss_sum: 0.0,
                hits: Bits::default(),
            };
            for batch in 0..runner.batches() {
                if !steer.go_on(done as f64 / all as f64) {
                    self.standing = Some(standing);
                    return Ok(None);
                }
                let logits = runner.logits(batch, &mut over).map_err(fail)?;
                let labels = runner.labels(batch).map_err(fail)?;
                let (logits, classes, labels) =
                    guarded(doing, || on_host(&logits, labels)).map_err(fail)?;
                let outcome = score(&logits, classes, &labels).map_err(|bad| {
                    EngineError::Cell(format!(
                        "{doing} `{}` to α = {}: the logits of image {} of the dataset's order \
                         are not finite; leave this α out",
                        layer.name,
                        at.alpha,
                        result.images + bad
                    ))
                })?;
                result.images += outcome.hit.len();
                result.correct += outcome.hit.iter().filter(|&&hit| hit).count();
                result.loss_sum += outcome.loss.iter().sum::<f64>();
                outcome.hit.iter().for_each(|&hit| result.hits.push(hit));
                done += 1;
            }
            results.push(result);
        }
        self.standing = Some(standing);
        Ok(Some(ProbeResult::Path { on: results }))
    }

    /// Copies of a layer's tensors at the present point: heads and text towers move only when they
    /// are asked for, so what shares their storage may stand elsewhere later.
    fn tensors_of(&mut self, layer: &LayerInfo, on: &[DatasetId]) -> Result<Tensors, EngineError> {
        let first = on.first().copied().unwrap_or(DatasetId(0));
        let (mut all, _) = self.in_place(first)?;
        let take = |name: &String| {
            let found = all.remove(name).map(|tensor| (name.clone(), tensor));
            found.ok_or_else(|| {
                EngineError::Cell(format!(
                    "move layer `{}`: the model that is measured has no `{name}`",
                    layer.name
                ))
            })
        };
        let shared: Tensors = layer.tensors.iter().map(take).collect::<Result<_, _>>()?;
        let doing = "copy a layer";
        guarded(doing, || copies(&shared)).map_err(|error| sorted(error, doing))
    }

    /// θ₀ + α·d of a layer, d as long as θ₁ − θ₀ in a random direction.
    fn randomly_moved(
        &mut self,
        layer: &LayerInfo,
        on: &[DatasetId],
        at: &Point,
    ) -> Result<Tensors, EngineError> {
        let doing = "move a layer in a random direction";
        let mut end = |alpha| {
            self.set_point(alpha, &at.variant)?;
            self.tensors_of(layer, on)
        };
        let (zero, one) = (end(Alpha::ZERO_SHOT)?, end(Alpha::FINE_TUNED)?);
        self.set_point(at.alpha, &at.variant)?;
        let moved = guarded(doing, || {
            let steps = away(self.inputs.spec.sweep.seed, &layer.name, &zero, &one)?;
            let step = |(name, d): (&String, &Tensor)| {
                let from = zero.get(name).map(Tensor::shallow_clone).unwrap_or_default();
                Ok((name.clone(), from.f_add(&d.f_mul_scalar(at.alpha.get())?)?))
            };
            steps.iter().map(step).collect()
        });
        moved.map_err(|error| sorted(error, doing))
    }

    /// Runners at the base of a variant. The engine's weights are back at `at` afterwards.
    fn stand(
        &mut self,
        spec: &BarrierSpec,
        on: &[DatasetId],
        at: &Point,
    ) -> Result<Standing, EngineError> {
        let doing = "stage the base of layer-wise paths";
        let base = alpha_of(spec.base);
        self.set_point(base, &at.variant)?;
        let built = on.iter().map(|&id| {
            let (weights, head) = self.in_place(id)?;
            let own = guarded(doing, || copies(&weights)).map_err(|error| sorted(error, doing))?;
            let images = self.inputs.dataset(id).map_or(0, |loaded| loaded.order.len());
            let batches = batches(images.min(spec.images), self.inputs.spec.sweep.batch);
            Ok((id, self.runner(id, &batches, own, head, on.len())?))
        });
        let runners = built.collect::<Result<Vec<_>, EngineError>>();
        self.set_point(at.alpha, &at.variant)?;
        let (variant, images) = (at.variant.clone(), spec.images);
        Ok(Standing { base: spec.base, variant, images, runners: runners? })
    }
}

/// Where the layers that do not move stand.
fn alpha_of(base: Base) -> Alpha {
    match base {
        Base::Finetuned => Alpha::FINE_TUNED,
        Base::Zeroshot => Alpha::ZERO_SHOT,
        Base::Midpoint => Alpha::MIDDLE,
    }
}

/// All of so many images, in batches.
fn batches(images: usize, batch: usize) -> Vec<Range<usize>> {
    let batch = batch.max(1);
    (0..images).step_by(batch).map(|start| start..images.min(start + batch)).collect()
}

/// A random direction as long as θ₁ − θ₀ (the Euclidean norm over all of a layer's tensors, here
/// by name): independent normal numbers, scaled. Depends on the run's seed, the layer's name and
/// the two ends alone.
///
/// # Errors
/// When the device fails.
pub fn away(seed: u64, layer: &str, zero: &Tensors, one: &Tensors) -> Result<Tensors, TchError> {
    // No perturbation has this number.
    let draw = Draw { seed, layer, k: u64::MAX };
    let drawn = |(name, like): (&String, &Tensor)| {
        let values = draw.values(Law::Normal, name, like.numel());
        let values = Tensor::f_from_slice(&values)?.f_view(like.size().as_slice())?;
        Ok((name.clone(), values.f_to_device(like.device())?))
    };
    let drawn: Tensors = zero.iter().map(drawn).collect::<Result<_, TchError>>()?;
    let path: Vec<Tensor> = std::iter::zip(zero.values(), one.values())
        .map(|(a, b)| b.f_sub(a))
        .collect::<Result<_, _>>()?;
    let own: Vec<Tensor> = drawn.values().map(Tensor::shallow_clone).collect();
    let (length, drawn_length) = (dot(&path, &path)?.sqrt(), dot(&own, &own)?.sqrt());
    let factor = if drawn_length > 0.0 { length / drawn_length } else { 0.0 };
    drawn.into_iter().map(|(name, x)| Ok((name, x.f_mul_scalar(factor)?))).collect()
}

/// Copies, in float32, that stay where they are.
fn copies(tensors: &Tensors) -> Result<Tensors, TchError> {
    let copy = |(name, x): (&String, &Tensor)| {
        let mut copy = x.f_empty_like()?;
        copy.f_copy_(x)?;
        Ok((name.clone(), copy))
    };
    tensors.iter().map(copy).collect()
}

/// Logits row by row, how many classes, and labels.
fn on_host(logits: &Tensor, labels: &Tensor) -> Result<(Vec<f32>, usize, Vec<usize>), TchError> {
    let classes = logits.size().last().map_or(0, |&n| n as usize);
    let logits = logits.f_to_device(Device::Cpu)?.f_contiguous()?.f_view(-1)?;
    let labels = Vec::<i64>::try_from(labels.f_to_device(Device::Cpu)?)?;
    Ok((Vec::try_from(logits)?, classes, labels.into_iter().map(|n| n as usize).collect()))
}
