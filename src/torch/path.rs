//! θ(α) = θ₀ + α·(θ₁ − θ₀): both ends as the files have them, and one scratch set of tensors that
//! moves between them in place.
//!
//! The towers hold the scratch tensors themselves, so moving the path moves the model: nothing is
//! copied or rebuilt per point. Tensors that are equal at both ends are stored once and set once.

use std::collections::BTreeMap;

use tch::{Device, Kind, TchError, Tensor};

use super::error::{TorchError, guarded};
use crate::checkpoint::{Dtype, End, TensorView};
use crate::sweep::ids::Alpha;

/// libtorch's name of a file's element type.
#[must_use]
pub fn kind_of(dtype: Dtype) -> Kind {
    match dtype {
        Dtype::F16 => Kind::Half,
        Dtype::Bf16 => Kind::BFloat16,
        Dtype::F32 => Kind::Float,
        Dtype::F64 => Kind::Double,
    }
}

/// A file's tensor on a device: its own type, except that float64 becomes float32 (the path is
/// defined in float32).
///
/// # Errors
/// When the device has no room.
pub fn upload(name: &str, view: &TensorView<'_>, device: Device) -> Result<Tensor, TorchError> {
    let shape: Vec<i64> = view.shape().iter().map(|&n| n as i64).collect();
    guarded(&format!("load `{name}`"), || {
        let host = Tensor::f_from_data_size(view.bytes(), &shape, kind_of(view.dtype()))?;
        let kind = if view.dtype() == Dtype::F64 { Kind::Float } else { host.f_kind()? };
        host.f_to_device(device)?.f_to_kind(kind)
    })
}

/// θ₀ + α·(θ₁ − θ₀) in float32, written to `scratch` in its own type. At α = 0 and α = 1 the ends
/// themselves, bit for bit where `scratch` can hold them.
///
/// The sum is libtorch's `lerp`, which from α = ½ on starts at θ₁, so that rounding shrinks
/// towards both ends; it differs from the formula by float32 rounding only.
///
/// # Errors
/// When shapes differ or the device fails.
pub fn interpolate(
    scratch: &mut Tensor,
    zero: &Tensor,
    one: &Tensor,
    alpha: Alpha,
) -> Result<(), TchError> {
    if alpha == Alpha::ZERO_SHOT {
        return scratch.f_copy_(zero);
    }
    if alpha == Alpha::FINE_TUNED {
        return scratch.f_copy_(one);
    }
    let (zero, one) = (zero.f_to_kind(Kind::Float)?, one.f_to_kind(Kind::Float)?);
    if scratch.f_kind()? == Kind::Float {
        let _ = zero.f_lerp_scalar_out(scratch, &one, alpha.get())?;
        Ok(())
    } else {
        scratch.f_copy_(&zero.f_lerp(&one, alpha.get())?)
    }
}

#[derive(Debug)]
struct Slot {
    /// Where the model reads.
    scratch: Tensor,
    /// θ₀, in the file's type; `scratch` itself where `one` is `None` and the types agree.
    zero: Tensor,
    /// θ₁; `None`: equal to θ₀, `scratch` never moves.
    one: Option<Tensor>,
}

impl Slot {
    fn new(zero: Tensor, one: Option<Tensor>, kind: Kind) -> Result<Self, TchError> {
        let scratch = match &one {
            // A copy of its own even where the type is the same: the ends never change.
            Some(_) => zero.f_to_kind(kind)?.f_empty_like()?,
            None => zero.f_to_kind(kind)?,
        };
        Ok(Self { scratch, zero, one })
    }
}

/// Named tensors on the path between two ends.
#[derive(Debug)]
pub struct PathWeights {
    slots: BTreeMap<String, Slot>,
    device: Device,
    kind: Kind,
    at: Option<Alpha>,
}

impl PathWeights {
    /// Loads both ends of every name; the scratch tensors are of type `kind` and stand at no point
    /// of the path until [`Self::set`]. `end` gives a tensor of a file, `None` where it has none.
    ///
    /// # Errors
    /// When a tensor is missing, shapes differ, or the device has no room.
    pub fn load<'a>(
        names: impl IntoIterator<Item = String>,
        end: impl Fn(End, &str) -> Option<TensorView<'a>>,
        device: Device,
        kind: Kind,
    ) -> Result<Self, TorchError> {
        let mut slots = BTreeMap::new();
        for name in names {
            let get = |at: End| {
                end(at, &name).ok_or_else(|| {
                    TorchError::Input(format!(
                        "load the path: `{name}` is missing at the {} end; use a complete checkpoint",
                        if at == End::ZeroShot { "zero-shot" } else { "fine-tuned" },
                    ))
                })
            };
            let (zero, one) = (get(End::ZeroShot)?, get(End::FineTuned)?);
            if zero.shape() != one.shape() {
                return Err(TorchError::Input(format!(
                    "load the path: `{name}` is {:?} at the zero-shot end and {:?} at the \
                     fine-tuned one; both checkpoints must be of one architecture",
                    zero.shape(),
                    one.shape()
                )));
            }
            let same = zero.same_values(&one);
            let zero = upload(&name, &zero, device)?;
            let one = if same { None } else { Some(upload(&name, &one, device)?) };
            let slot = guarded(&format!("load `{name}`"), || Slot::new(zero, one, kind))?;
            slots.insert(name, slot);
        }
        Ok(Self { slots, device, kind, at: None })
    }

    /// Moves every tensor to θ(α). False when they were there already.
    ///
    /// # Errors
    /// When the device fails; the weights are then at no point of the path.
    pub fn set(&mut self, alpha: Alpha) -> Result<bool, TorchError> {
        if self.at == Some(alpha) {
            return Ok(false);
        }
        self.at = None;
        let _no_grad = tch::no_grad_guard();
        for (name, slot) in &mut self.slots {
            if let Some(one) = &slot.one {
                guarded(&format!("bring `{name}` to α = {alpha}"), || {
                    interpolate(&mut slot.scratch, &slot.zero, one, alpha)
                })?;
            }
        }
        self.at = Some(alpha);
        Ok(true)
    }

    /// Changes the type of the scratch tensors. Towers built before hold the old ones: build them
    /// anew.
    ///
    /// # Errors
    /// When the device has no room; the weights cannot be used then.
    pub fn set_kind(&mut self, kind: Kind) -> Result<(), TorchError> {
        if kind == self.kind {
            return Ok(());
        }
        for (name, slot) in std::mem::take(&mut self.slots) {
            let doing = format!("convert `{name}`");
            let slot = guarded(&doing, || Slot::new(slot.zero, slot.one, kind))?;
            self.slots.insert(name, slot);
        }
        self.kind = kind;
        self.at = None;
        Ok(())
    }

    /// The point of the path where the weights stand.
    #[must_use]
    pub fn at(&self) -> Option<Alpha> {
        self.at
    }

    /// Where the tensors are.
    #[must_use]
    pub fn device(&self) -> Device {
        self.device
    }

    /// Type of the tensors the model computes with.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// How many tensors differ between the ends.
    #[must_use]
    pub fn moving(&self) -> usize {
        self.slots.values().filter(|slot| slot.one.is_some()).count()
    }

    /// The scratch tensor of a name: shares storage, so it follows the path.
    ///
    /// # Errors
    /// When there is none, or its shape is not the one given.
    pub fn get(&self, name: &str, shape: &[usize]) -> Result<Tensor, TorchError> {
        let slot = self.slots.get(name).ok_or_else(|| {
            TorchError::Input(format!("build the model: `{name}` was not loaded"))
        })?;
        let got = slot.scratch.size();
        if !got.iter().copied().eq(shape.iter().map(|&n| n as i64)) {
            return Err(TorchError::Input(format!(
                "build the model: expected `{name}` of shape {shape:?}, got {got:?}; the checkpoint \
                 does not fit its architecture"
            )));
        }
        Ok(slot.scratch.shallow_clone())
    }
}
