//! Sharpness: how much the loss rises under perturbations of one layer, or of all (Andriushchenko
//! et al. 2023).
//!
//! δ is elementwise in units of c: c = |θ| where adaptive, else 1. Elements with c = 0 are never
//! perturbed and left out of norms.

mod average;
mod ball;
mod draws;
mod normal;
mod vectors;
mod worst;

use tch::{Kind, TchError, Tensor};

pub use average::number;
pub use draws::{Draw, Law};

use super::error::{TorchError, guarded};
use super::staged::{Loss, Runner};
use super::weights::Tensors;
use crate::sweep::engine::Steer;
use crate::sweep::probe::SharpnessResult;
use crate::sweep::spec::{Norm, SharpnessKind, SharpnessSpec};

/// What is perturbed, and by which draws.
#[derive(Debug)]
pub struct Perturbed<'a> {
    /// Of the run.
    pub seed: u64,
    /// Name of the layer; `overall` for all at once.
    pub layer: &'a str,
    /// Canonical names of its tensors.
    pub tensors: &'a [String],
    /// Tensors of the dense model whose magnitudes are the scale; `None`: those measured.
    pub dense: Option<&'a Tensors>,
}

/// Measures every batch of a runner. `None` when `steer` says stop.
///
/// # Errors
/// When a tensor is not the model's, a loss is not finite, or the device fails.
pub fn measure(
    runner: &mut Runner,
    what: &Perturbed<'_>,
    spec: &SharpnessSpec,
    steer: &mut dyn Steer,
) -> Result<Option<SharpnessResult>, TorchError> {
    let layer = Flat::new(runner, what, spec.adaptive)?;
    let rule = if spec.logit_normalization { Loss::Normalized } else { Loss::Plain };
    let mut none = runner.overlay(Tensors::new())?;
    let mut losses = Vec::new();
    for batch in 0..runner.batches() {
        if !steer.go_on(0.0) {
            return Ok(None);
        }
        losses.push(finite(runner.loss(batch, &mut none, rule)?, what, batch)?);
    }
    let asked = Asked { what, spec, rule, layer: &layer, losses: &losses };
    let rises = match spec.kind {
        SharpnessKind::Average => average::rises(runner, &asked, steer)?,
        SharpnessKind::Worst => worst::rises(runner, &asked, steer)?,
    };
    let (parameters, frozen) = (layer.len() as u64, layer.frozen()?);
    Ok(rises.map(|rises| SharpnessResult { losses, rises, logit_scale: None, parameters, frozen }))
}

/// One measurement's question.
struct Asked<'a> {
    what: &'a Perturbed<'a>,
    spec: &'a SharpnessSpec,
    rule: Loss,
    layer: &'a Flat,
    /// Unperturbed, of each batch.
    losses: &'a [f64],
}

impl Asked<'_> {
    /// Unit draws of the layer into a vector like [`Flat::zeros`].
    fn draw(&self, k: u64, into: &mut Tensor) -> Result<(), TorchError> {
        let law = match self.spec.norm {
            Norm::L2 => Law::Normal,
            Norm::Linf => Law::Uniform,
        };
        let draw = Draw { seed: self.what.seed, layer: self.what.layer, k };
        if let Some(values) = vectors::values_mut(into) {
            self.fill(draw, law, values);
            return Ok(());
        }
        let mut values = vec![0.0; self.layer.len()];
        self.fill(draw, law, &mut values);
        guarded("draw a perturbation", || into.f_copy_(&Tensor::f_from_slice(&values)?))
    }

    fn fill(&self, draw: Draw<'_>, law: Law, mut values: &mut [f32]) {
        for (name, shape) in &self.layer.parts {
            let n = shape.iter().product::<i64>() as usize;
            let (own, rest) = values.split_at_mut(n);
            draw.fill(law, name, own);
            values = rest;
        }
    }

    /// Rise of a batch's loss over its unperturbed one.
    fn rise(&self, loss: f64, batch: usize) -> Result<f64, TorchError> {
        let first = self.losses.get(batch).copied().unwrap_or(f64::NAN);
        finite(loss - first, self.what, batch)
    }
}

fn finite(loss: f64, what: &Perturbed<'_>, batch: usize) -> Result<f64, TorchError> {
    if loss.is_finite() {
        return Ok(loss);
    }
    Err(TorchError::Input(format!(
        "the loss of batch {batch} is not finite with layer `{}` perturbed; ask for a smaller \
         `sharpness.rho`",
        what.layer
    )))
}

/// A layer's tensors as one vector.
#[derive(Debug)]
struct Flat {
    /// Name and shape of each tensor, in order.
    parts: Vec<(String, Vec<i64>)>,
    /// θ(α), a copy.
    theta: Tensor,
    /// c; `None`: 1 everywhere.
    scale: Option<Tensor>,
}

impl Flat {
    fn new(runner: &Runner, what: &Perturbed<'_>, adaptive: bool) -> Result<Self, TorchError> {
        let find = |from: &Tensors, name: &String| {
            from.get(name).map(Tensor::shallow_clone).ok_or_else(|| {
                TorchError::Input(format!(
                    "perturb `{name}`: the model that is measured has no such tensor"
                ))
            })
        };
        let of = |from: &Tensors| -> Result<Vec<Tensor>, TorchError> {
            what.tensors.iter().map(|name| find(from, name)).collect()
        };
        let tensors = of(runner.weights())?;
        let parts = what.tensors.iter().cloned().zip(tensors.iter().map(Tensor::size)).collect();
        let dense = what.dense.filter(|_| adaptive).map(of).transpose()?;
        guarded("gather a layer's weights", || {
            let theta = flat(&tensors)?;
            let scale = match (adaptive, dense) {
                (false, _) => None,
                (true, Some(dense)) => Some(flat(&dense)?.f_abs()?),
                (true, None) => Some(theta.f_abs()?),
            };
            Ok(Self { parts, theta, scale })
        })
    }

    fn len(&self) -> usize {
        self.theta.numel()
    }

    /// How many elements have c = 0.
    fn frozen(&self) -> Result<u64, TorchError> {
        let Some(scale) = &self.scale else { return Ok(0) };
        guarded("count weights that are zero", || {
            Ok(i64::try_from(scale.f_eq(0.0)?.f_sum(Kind::Int64)?)?.unsigned_abs())
        })
    }

    /// A vector of the layer's length.
    fn zeros(&self) -> Result<Tensor, TorchError> {
        guarded("make room for a perturbation", || self.theta.f_zeros_like())
    }

    /// x becomes x ⊙ c.
    fn scale_in_place(&self, x: &mut Tensor) -> Result<(), TchError> {
        if let Some(scale) = &self.scale {
            let _ = x.f_mul_(scale)?;
        }
        Ok(())
    }

    /// x ⊙ c, a copy.
    fn scaled(&self, x: &Tensor) -> Result<Tensor, TchError> {
        match &self.scale {
            Some(scale) => x.f_mul(scale),
            None => x.f_mul_scalar(1.0),
        }
    }

    /// A vector as the layer's tensors: views of it.
    fn tensors(&self, vector: &Tensor) -> Result<Tensors, TchError> {
        let mut start = 0;
        let part = |(name, shape): &(String, Vec<i64>)| {
            let n = shape.iter().product();
            let view = vector.f_narrow(0, start, n)?.f_view(shape.as_slice())?;
            start += n;
            Ok((name.clone(), view))
        };
        self.parts.iter().map(part).collect()
    }

    /// The layer's tensors as one vector, in its order.
    fn join(&self, tensors: &Tensors) -> Result<Tensor, TchError> {
        let parts: Vec<Tensor> = self
            .parts
            .iter()
            .filter_map(|(name, _)| tensors.get(name).map(Tensor::shallow_clone))
            .collect();
        flat(&parts)
    }
}

/// Tensors one after the other, a copy without gradients.
fn flat(tensors: &[Tensor]) -> Result<Tensor, TchError> {
    let parts: Vec<Tensor> =
        tensors.iter().map(|x| x.f_detach()?.f_reshape(-1)).collect::<Result<_, _>>()?;
    Tensor::f_cat(&parts, 0)
}
