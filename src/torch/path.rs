//! θ(α) = θ₀ + α·(θ₁ − θ₀): both ends as the files have them, and one scratch set of tensors that
//! moves between them in place.
//!
//! The towers hold the scratch tensors themselves, so moving the path moves the model: nothing is
//! copied or rebuilt per point. Tensors that are equal at both ends are stored once and set once.
//! A variant's edits act on the same scratch tensors; each knows where it stands, so that going from
//! one variant to another touches what differs between them and nothing else.

use std::collections::BTreeMap;
use std::sync::Arc;

use tch::{Device, Kind, TchError, Tensor};

use super::error::{TorchError, guarded};
use crate::checkpoint::{Dtype, End, TensorView};
use crate::sparsify::{self, Mask, Plan, TensorPlan, Zeros};
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

/// Where one tensor stands.
#[derive(Debug, PartialEq)]
struct Stand {
    /// `None` where it does not move.
    alpha: Option<Alpha>,
    plan: Option<Arc<TensorPlan>>,
}

#[derive(Debug)]
struct Slot {
    /// Where the model reads.
    scratch: Tensor,
    /// θ₀, in the file's type; `scratch` itself where `one` is `None`, the types agree, and no
    /// edit came yet.
    zero: Tensor,
    /// θ₁; `None`: equal to θ₀.
    one: Option<Tensor>,
    /// The fine-tuned end of the last plan that changed the difference, in float32.
    edited: Option<(Arc<TensorPlan>, Tensor)>,
    /// `None`: nowhere.
    stands: Option<Stand>,
}

impl Slot {
    fn new(zero: Tensor, one: Option<Tensor>, kind: Kind) -> Result<Self, TchError> {
        let (scratch, stands) = match &one {
            // A copy of its own even where the type is the same: the ends never change.
            Some(_) => (zero.f_to_kind(kind)?.f_empty_like()?, None),
            None => (zero.f_to_kind(kind)?, Some(Stand { alpha: None, plan: None })),
        };
        Ok(Self { scratch, zero, one, edited: None, stands })
    }

    /// Gives θ₀ a storage of its own, if it is the scratch tensor's.
    fn set_apart(&mut self) -> Result<(), TchError> {
        if self.scratch.data_ptr() == self.zero.data_ptr() {
            let mut zero = self.zero.f_empty_like()?;
            zero.f_copy_(&self.scratch)?;
            self.zero = zero;
        }
        Ok(())
    }

    /// Where the tensor stands at θ(α) of a plan.
    fn stand(&self, alpha: Alpha, plan: Option<&Arc<TensorPlan>>) -> Stand {
        let moves = self.one.is_some();
        // Of a difference that is zero everywhere nothing is left to edit.
        let plan = plan.filter(|plan| moves || plan.on_weights());
        Stand { alpha: moves.then_some(alpha), plan: plan.cloned() }
    }

    /// Brings the tensor to θ(α) of a plan; does nothing when it is there.
    fn bring(
        &mut self,
        alpha: Alpha,
        plan: Option<&Arc<TensorPlan>>,
        masks: &mut Masks,
    ) -> Result<(), TchError> {
        let moves = self.one.is_some();
        let stand = self.stand(alpha, plan);
        let plan = stand.plan.clone();
        let plan = plan.as_ref();
        if self.stands.as_ref() == Some(&stand) {
            return Ok(());
        }
        self.stands = None;
        self.set_apart()?;
        if let Some(plan) = plan.filter(|plan| moves && plan.on_difference() && !plan.stays()) {
            self.edit_end(plan)?;
        }
        let Self { scratch, zero, one, edited, .. } = self;
        match (one, plan) {
            (None, _) => scratch.f_copy_(zero)?,
            (Some(_), Some(plan)) if plan.stays() => scratch.f_copy_(zero)?,
            (Some(one), Some(plan)) if plan.on_difference() => {
                let one = edited.as_ref().map_or(&*one, |(_, end)| end);
                interpolate(scratch, zero, one, alpha)?;
            }
            (Some(one), _) => interpolate(scratch, zero, one, alpha)?,
        }
        if let Some(plan) = plan.filter(|plan| plan.on_weights()) {
            let mask = match masks.get(plan, stand.alpha) {
                Some(mask) => mask,
                None => masks.keep(plan, stand.alpha, plan.zeros(&self.host(alpha, plan)?)),
            };
            let set = Tensor::f_from_data_size(&mask.bytes(), &self.scratch.size(), Kind::Bool)?
                .f_to_device(self.scratch.device())?;
            let _ = self.scratch.f_masked_fill_(&set, 0.0)?;
        }
        self.stands = Some(stand);
        Ok(())
    }

    /// Makes θ₁ as a plan leaves it, unless it is the one at hand.
    fn edit_end(&mut self, plan: &Arc<TensorPlan>) -> Result<(), TchError> {
        if self.edited.as_ref().is_some_and(|(made, _)| made == plan) {
            return Ok(());
        }
        self.edited = None;
        let Some(one) = &self.one else { return Ok(()) };
        let end = plan.end(&on_host(&self.zero)?, &on_host(one)?);
        let end = Tensor::f_from_slice(&end)?
            .f_view(self.zero.size().as_slice())?
            .f_to_device(self.zero.device())?;
        self.edited = Some((Arc::clone(plan), end));
        Ok(())
    }

    /// Counts the zeros at θ(α) of a plan: on the device where the tensor stands there, else from
    /// its ends on the host.
    fn zeros(&self, alpha: Alpha, plan: &Arc<TensorPlan>) -> Result<Zeros, TchError> {
        if self.stands.as_ref() == Some(&self.stand(alpha, Some(plan)))
            && let Some(differences) = self.equal(plan)?
        {
            let total = self.zero.numel();
            let other = self.scratch.f_count_nonzero(None)?.f_int64_value(&[])?;
            return Ok(Zeros {
                tensor: plan.name().into(),
                total: total as u64,
                weights: (total as u64).saturating_sub(other.unsigned_abs()),
                differences,
            });
        }
        let zero = on_host(&self.zero)?;
        let one = self.one.as_ref().map(on_host).transpose()?;
        Ok(plan.count(&zero, one.as_ref().unwrap_or(&zero), alpha))
    }

    /// How many numbers of both ends of a plan's path are equal; `None` where its fine-tuned end
    /// is not at hand.
    fn equal(&self, plan: &TensorPlan) -> Result<Option<u64>, TchError> {
        let end = match (&self.one, &self.edited) {
            (None, _) => return Ok(Some(self.zero.numel() as u64)),
            _ if plan.stays() => return Ok(Some(self.zero.numel() as u64)),
            (Some(one), _) if !plan.on_difference() => one,
            (_, Some((made, end))) if **made == *plan => end,
            _ => return Ok(None),
        };
        let equal = self.zero.f_to_kind(Kind::Float)?.f_eq_tensor(&end.f_to_kind(Kind::Float)?)?;
        let equal = equal.f_count_nonzero(None)?.f_int64_value(&[])?;
        Ok(Some(equal.unsigned_abs()))
    }

    /// θ(α) before weights become zero, in float32 as the CPU computes it: masks are then the same
    /// on every device and in every type.
    fn host(&self, alpha: Alpha, plan: &TensorPlan) -> Result<Vec<f32>, TchError> {
        let zero = on_host(&self.zero)?;
        let Some(one) = &self.one else { return Ok(zero) };
        if plan.stays() {
            return Ok(zero);
        }
        let one = match &self.edited {
            Some((made, end)) if plan.on_difference() && **made == *plan => on_host(end)?,
            _ => on_host(one)?,
        };
        let mut at = vec![0.0; zero.len()];
        sparsify::path::interpolate(&zero, &one, alpha, &mut at);
        Ok(at)
    }
}

/// A tensor's values on the host, as float32.
fn on_host(tensor: &Tensor) -> Result<Vec<f32>, TchError> {
    let host = tensor.f_to_device(Device::Cpu)?.f_to_kind(Kind::Float)?;
    Vec::try_from(host.f_contiguous()?.f_view(-1)?)
}

/// Masks of θ(α) that were computed: choosing among millions of weights costs more than a pass
/// over them.
#[derive(Debug, Default)]
struct Masks {
    kept: Vec<(Arc<TensorPlan>, Option<Alpha>, Arc<Mask>)>,
    bytes: usize,
}

/// Bytes of masks that are kept, one bit a weight: every block of ViT-B/32 at twenty points.
const MASK_BYTES: usize = 256 << 20;

impl Masks {
    fn get(&self, plan: &TensorPlan, alpha: Option<Alpha>) -> Option<Arc<Mask>> {
        let found = self.kept.iter().find(|(of, at, _)| *at == alpha && **of == *plan)?;
        Some(Arc::clone(&found.2))
    }

    fn keep(&mut self, plan: &Arc<TensorPlan>, alpha: Option<Alpha>, mask: Mask) -> Arc<Mask> {
        if self.bytes + mask.size() > MASK_BYTES {
            *self = Self::default();
        }
        self.bytes += mask.size();
        let mask = Arc::new(mask);
        self.kept.push((Arc::clone(plan), alpha, Arc::clone(&mask)));
        mask
    }
}

/// Named tensors on the path between two ends.
#[derive(Debug)]
pub struct PathWeights {
    slots: BTreeMap<String, Slot>,
    device: Device,
    kind: Kind,
    at: Option<Alpha>,
    masks: Masks,
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
        Ok(Self { slots, device, kind, at: None, masks: Masks::default() })
    }

    /// Moves every tensor to θ(α) of a variant, in place; those that stand there already are not
    /// touched. The dense variant has the empty plan: coming back to it is exact. Edits of tensors
    /// that are not among these are left out.
    ///
    /// # Errors
    /// When the device fails; the weights are then at no point of the path.
    pub fn set(&mut self, alpha: Alpha, plan: &Plan) -> Result<(), TorchError> {
        self.at = None;
        let _no_grad = tch::no_grad_guard();
        for (name, slot) in &mut self.slots {
            guarded(&format!("bring `{name}` to α = {alpha}"), || {
                slot.bring(alpha, plan.tensor(name), &mut self.masks)
            })?;
        }
        self.at = Some(alpha);
        Ok(())
    }

    /// Makes sure that overwriting the scratch tensors of these names changes no end.
    ///
    /// # Errors
    /// When the device has no room.
    pub fn set_apart(&mut self, names: impl Fn(&str) -> bool) -> Result<(), TorchError> {
        for (name, slot) in self.slots.iter_mut().filter(|(name, _)| names(name)) {
            guarded(&format!("copy `{name}`"), || slot.set_apart())?;
        }
        Ok(())
    }

    /// Counts the zeros of a variant at θ(α), of each tensor here that it edits: as they are
    /// measured where the weights stand there, else in float32. The weights stay where they are.
    ///
    /// # Errors
    /// When the device fails.
    pub fn zeros(&self, alpha: Alpha, plan: &Plan) -> Result<Vec<Zeros>, TorchError> {
        plan.tensors()
            .filter_map(|tensor| Some((tensor, self.slots.get(tensor.name())?)))
            .map(|(tensor, slot)| {
                guarded(&format!("count the zeros of `{}`", tensor.name()), || {
                    slot.zeros(alpha, tensor)
                })
            })
            .collect()
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

    /// The same ends with scratch tensors of their own, of another type, at no point of the path.
    ///
    /// # Errors
    /// When the device has no room.
    pub fn in_kind(&self, kind: Kind) -> Result<Self, TorchError> {
        let copy = |(name, slot): (&String, &Slot)| {
            let one = slot.one.as_ref().map(Tensor::shallow_clone);
            let slot = guarded(&format!("convert `{name}`"), || {
                Slot::new(slot.zero.shallow_clone(), one, kind)
            })?;
            Ok((name.clone(), slot))
        };
        let slots = self.slots.iter().map(copy).collect::<Result<_, TorchError>>()?;
        Ok(Self { slots, device: self.device, kind, at: None, masks: Masks::default() })
    }

    /// A tensor of the dense θ(α) in float32, a copy; `None` for names that are not here. The
    /// weights stay where they are.
    ///
    /// # Errors
    /// When the device fails.
    pub fn dense(&self, name: &str, alpha: Alpha) -> Result<Option<Tensor>, TorchError> {
        let Some(slot) = self.slots.get(name) else { return Ok(None) };
        guarded(&format!("bring `{name}` to α = {alpha}"), || {
            let _no_grad = tch::no_grad_guard();
            let mut at = slot.zero.f_to_kind(Kind::Float)?.f_empty_like()?;
            interpolate(&mut at, &slot.zero, slot.one.as_ref().unwrap_or(&slot.zero), alpha)?;
            Ok(Some(at))
        })
    }

    /// Every scratch tensor by name; they share storage, so they follow the path.
    #[must_use]
    pub fn all(&self) -> BTreeMap<String, Tensor> {
        self.slots.iter().map(|(name, slot)| (name.clone(), slot.scratch.shallow_clone())).collect()
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

#[cfg(test)]
mod tests;
