//! A variant resolved against a pair of checkpoints: what is done to which tensor.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use thiserror::Error;

use super::mask::{Lines, Mask, differences, magnitude, n_of_m, random};
use super::path::interpolate;
use crate::checkpoint::arch::Dims;
use crate::checkpoint::layers::layers;
use crate::checkpoint::names::{HEAD_BIAS, HEAD_WEIGHT};
use crate::checkpoint::{Granularity, Pair};
use crate::sweep::ids::Alpha;
use crate::sweep::spec::{Edit, Method, Variant};
use crate::sweep::zeros::Zeros;

/// An edit that cannot be made. Each message names the layer, what was expected, what was got and
/// what to do.
#[derive(Debug, Error, PartialEq)]
pub enum SparsifyError {
    /// No layer of any granularity has this name.
    #[error("unknown layer `{layer}`{}; {hint}", suggest(.near))]
    Unknown {
        /// As asked for.
        layer: String,
        /// Names like it, best first.
        near: Vec<String>,
        /// What kinds of names there are.
        hint: String,
    },
    /// An amount outside \[0, 1\], or not a number.
    #[error("layer `{layer}`, {method}: expected an amount in [0, 1], got {got}")]
    Amount {
        /// Of which edit.
        layer: String,
        /// Of which edit.
        method: &'static str,
        /// The amount.
        got: f64,
    },
    /// N and M that make no groups.
    #[error(
        "layer `{layer}`, n:m: expected N of M with 0 ≤ N ≤ M and M ≥ 1, got {n}:{m}; 2:4 is usual"
    )]
    Groups {
        /// Of which edit.
        layer: String,
        /// N.
        n: usize,
        /// M.
        m: usize,
    },
    /// Nothing in the layer that the method acts on.
    #[error("layer `{layer}` has no matrix for {method} to act on: {why}")]
    NoMatrix {
        /// Of which edit.
        layer: String,
        /// Of which edit.
        method: &'static str,
        /// What it holds, and what to do.
        why: &'static str,
    },
}

fn suggest(names: &[String]) -> String {
    if names.is_empty() {
        return String::new();
    }
    let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    format!(": did you mean {}?", names.join(", "))
}

fn name_of(method: Method) -> &'static str {
    match method {
        Method::Magnitude => "magnitude",
        Method::Delta => "delta",
        Method::Dare => "dare",
        Method::NOfM => "n:m",
        Method::Reset => "reset",
    }
}

/// What is done to the difference θ₁ − θ₀.
#[derive(Clone, Copy, Debug, PartialEq)]
enum OnDifference {
    Delta(f64),
    Dare(f64),
    Reset,
}

/// What is done to θ(α).
#[derive(Clone, Copy, Debug, PartialEq)]
enum OnWeights {
    Magnitude(f64),
    NOfM(usize, usize),
}

/// What is done to one tensor.
#[derive(Clone, Debug, PartialEq)]
pub struct TensorPlan {
    name: String,
    seed: u64,
    lines: Lines,
    difference: Vec<OnDifference>,
    weights: Vec<OnWeights>,
}

impl TensorPlan {
    /// The tensor's canonical name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// True when the path leads to another fine-tuned end.
    #[must_use]
    pub fn on_difference(&self) -> bool {
        !self.difference.is_empty()
    }

    /// True when the tensor stays zero-shot along the whole path.
    #[must_use]
    pub fn stays(&self) -> bool {
        self.difference == [OnDifference::Reset]
    }

    /// True when weights of θ(α) become zero.
    #[must_use]
    pub fn on_weights(&self) -> bool {
        !self.weights.is_empty()
    }

    /// θ₁ as the edits of the difference leave it.
    #[must_use]
    pub fn end(&self, zero: &[f32], one: &[f32]) -> Vec<f32> {
        let mut end = one.to_vec();
        for edit in &self.difference {
            match *edit {
                OnDifference::Reset => end.copy_from_slice(zero),
                OnDifference::Delta(amount) => {
                    let mask = differences(zero, &end, amount);
                    let masked = |i: &usize| mask.get(*i);
                    (0..end.len()).filter(masked).for_each(|i| end[i] = zero[i]);
                }
                OnDifference::Dare(amount) => {
                    let mask = random(end.len(), amount, self.seed, &self.name);
                    let kept = (1.0 - amount) as f32;
                    for (i, (end, &zero)) in end.iter_mut().zip(zero).enumerate() {
                        *end = if mask.get(i) { zero } else { zero + (*end - zero) / kept };
                    }
                }
            }
        }
        end
    }

    /// Which of θ(α) become zero.
    #[must_use]
    pub fn zeros(&self, at: &[f32]) -> Mask {
        let mut all = Mask::none(at.len());
        let mut left = std::borrow::Cow::Borrowed(at);
        for (i, edit) in self.weights.iter().enumerate() {
            let mask = match *edit {
                OnWeights::Magnitude(amount) => magnitude(&left, amount),
                OnWeights::NOfM(n, m) => n_of_m(&left, n, m, self.lines),
            };
            all.add(&mask);
            if i + 1 < self.weights.len() {
                let left = left.to_mut();
                (0..left.len()).filter(|&i| mask.get(i)).for_each(|i| left[i] = 0.0);
            }
        }
        all
    }

    /// θ(α) of the tensor with all edits, from its dense ends, and its zeros counted.
    #[must_use]
    pub fn apply(&self, zero: &[f32], one: &[f32], alpha: Alpha) -> (Vec<f32>, Zeros) {
        let moves = zero.iter().zip(one).any(|(a, b)| a.to_bits() != b.to_bits());
        let mut at = zero.to_vec();
        let mut differences = zero.len();
        if moves && !self.stays() {
            let end = if self.on_difference() { self.end(zero, one) } else { Vec::new() };
            let one = if self.on_difference() { &end } else { one };
            interpolate(zero, one, alpha, &mut at);
            differences = zero.iter().zip(one).filter(|(a, b)| a == b).count();
        }
        if self.on_weights() {
            let mask = self.zeros(&at);
            (0..at.len()).filter(|&i| mask.get(i)).for_each(|i| at[i] = 0.0);
        }
        let zeros = Zeros {
            tensor: self.name.clone(),
            total: zero.len() as u64,
            weights: at.iter().filter(|&&x| x == 0.0).count() as u64,
            differences: differences as u64,
        };
        (at, zeros)
    }

    /// The weights of [`Self::apply`].
    #[must_use]
    pub fn values(&self, zero: &[f32], one: &[f32], alpha: Alpha) -> Vec<f32> {
        self.apply(zero, one, alpha).0
    }

    /// The counts of [`Self::apply`].
    #[must_use]
    pub fn count(&self, zero: &[f32], one: &[f32], alpha: Alpha) -> Zeros {
        self.apply(zero, one, alpha).1
    }
}

/// A variant resolved: what is done to each tensor that it changes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    tensors: BTreeMap<String, Arc<TensorPlan>>,
}

impl Plan {
    /// Resolves a variant against the layers that are in play between two checkpoints.
    ///
    /// # Errors
    /// The first edit that cannot be made.
    pub fn of(pair: &Pair, variant: &Variant, seed: u64) -> Result<Self, SparsifyError> {
        let head = pair.head.map(|head| (head.classes, head.bias));
        let with_text = pair.text_moves() && pair.head.is_none();
        Self::resolve(&pair.architecture.dims(), head, with_text, variant, seed)
    }

    /// As [`Self::of`], of bare dimensions; `head` is a stored head's number of classes and
    /// whether it has a bias.
    ///
    /// # Errors
    /// As [`Self::of`].
    pub fn resolve(
        dims: &Dims,
        head: Option<(usize, bool)>,
        with_text: bool,
        variant: &Variant,
        seed: u64,
    ) -> Result<Self, SparsifyError> {
        if variant.is_dense() {
            return Ok(Self::default());
        }
        let mut shapes: BTreeMap<String, Vec<usize>> =
            dims.image_tensors().into_iter().chain(dims.text_tensors()).collect();
        if let Some((classes, bias)) = head {
            shapes.insert(HEAD_WEIGHT.into(), vec![classes, dims.embed]);
            if bias {
                shapes.insert(HEAD_BIAS.into(), vec![classes]);
            }
        }
        let groups: BTreeMap<String, Vec<String>> =
            [Granularity::Tensor, Granularity::Module, Granularity::Block]
                .into_iter()
                .flat_map(|granularity| layers(dims, granularity, head, with_text))
                .map(|layer| (layer.name, layer.tensors))
                .collect();
        let mut plans: BTreeMap<String, TensorPlan> = BTreeMap::new();
        for edit in &variant.sparsify {
            check(edit)?;
            let Some(tensors) = groups.get(&edit.layer) else {
                return Err(unknown(&edit.layer, &groups, dims, with_text));
            };
            let named = [edit.layer.clone()];
            let acted: Vec<&String> = tensors
                .iter()
                .filter(|name| {
                    let matrix = shapes.get(*name).is_some_and(|shape| shape.len() > 1);
                    edit.method == Method::Reset
                        || if is_embedding(name) {
                            edit.embeddings || named.contains(name)
                        } else {
                            matrix
                        }
                })
                .collect();
            if acted.is_empty() {
                let why = if tensors.iter().any(|name| is_embedding(name)) {
                    "it has embeddings only; add `embeddings = true` (`+embeddings` after the \
                     layer's name on the command line) or name the tensor"
                } else {
                    "it is a vector, which stays; name a matrix, or use `reset`"
                };
                let layer = edit.layer.clone();
                return Err(SparsifyError::NoMatrix { layer, method: name_of(edit.method), why });
            }
            for name in acted {
                let plan = plans.entry(name.clone()).or_insert_with(|| TensorPlan {
                    name: name.clone(),
                    seed,
                    lines: lines(name, shapes.get(name).map_or(&[], Vec::as_slice)),
                    difference: Vec::new(),
                    weights: Vec::new(),
                });
                plan.push(edit);
            }
        }
        plans.retain(|_, plan| plan.on_difference() || plan.on_weights());
        let tensors = plans.into_iter().map(|(name, plan)| (name, Arc::new(plan))).collect();
        Ok(Self { tensors })
    }

    /// True when nothing is changed.
    #[must_use]
    pub fn is_dense(&self) -> bool {
        self.tensors.is_empty()
    }

    /// What is done to a tensor; `None`: nothing.
    #[must_use]
    pub fn tensor(&self, name: &str) -> Option<&Arc<TensorPlan>> {
        self.tensors.get(name)
    }

    /// The tensors that are changed, by name.
    pub fn tensors(&self) -> impl Iterator<Item = &Arc<TensorPlan>> {
        self.tensors.values()
    }

    /// The part of the plan whose tensors `keep` accepts.
    #[must_use]
    pub fn part(&self, keep: impl Fn(&str) -> bool) -> Self {
        let tensors = self.tensors.iter().filter(|(name, _)| keep(name));
        Self { tensors: tensors.map(|(name, plan)| (name.clone(), Arc::clone(plan))).collect() }
    }
}

impl TensorPlan {
    /// Adds an edit of the tensor; what changes nothing is left out.
    fn push(&mut self, edit: &Edit) {
        match edit.method {
            Method::Magnitude if edit.amount > 0.0 => {
                self.weights.push(OnWeights::Magnitude(edit.amount));
            }
            Method::NOfM if edit.n < edit.m => self.weights.push(OnWeights::NOfM(edit.n, edit.m)),
            // Nothing is left of a difference that was reset.
            Method::Delta | Method::Dare if edit.amount == 0.0 || self.stays() => {}
            Method::Delta if edit.amount < 1.0 => {
                self.difference.push(OnDifference::Delta(edit.amount));
            }
            Method::Dare if edit.amount < 1.0 => {
                self.difference.push(OnDifference::Dare(edit.amount));
            }
            Method::Delta | Method::Dare | Method::Reset => {
                self.difference = vec![OnDifference::Reset];
            }
            Method::Magnitude | Method::NOfM => {}
        }
    }
}

fn check(edit: &Edit) -> Result<(), SparsifyError> {
    let layer = || edit.layer.clone();
    match edit.method {
        Method::NOfM if edit.m == 0 || edit.n > edit.m => {
            Err(SparsifyError::Groups { layer: layer(), n: edit.n, m: edit.m })
        }
        Method::Magnitude | Method::Delta | Method::Dare | Method::Reset
            if !(0.0..=1.0).contains(&edit.amount) =>
        {
            let method = name_of(edit.method);
            Err(SparsifyError::Amount { layer: layer(), method, got: edit.amount })
        }
        _ => Ok(()),
    }
}

/// Class, position and token embeddings: looked up, not multiplied with.
fn is_embedding(name: &str) -> bool {
    name == "token_embedding.weight"
        || name.ends_with("positional_embedding")
        || name.ends_with("class_embedding")
}

fn lines(name: &str, shape: &[usize]) -> Lines {
    match (name, shape) {
        ("visual.proj" | "text_projection", &[inputs, outputs]) => {
            Lines::columns([inputs, outputs])
        }
        _ => Lines::rows(shape),
    }
}

/// How many names are suggested.
const SUGGESTED: usize = 3;

fn unknown(
    layer: &str,
    groups: &BTreeMap<String, Vec<String>>,
    dims: &Dims,
    with_text: bool,
) -> SparsifyError {
    let mut near: Vec<(f64, &String)> =
        groups.keys().map(|name| (strsim::jaro_winkler(layer, name), name)).collect();
    near.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(b.1)));
    let near: Vec<String> = near
        .into_iter()
        .take_while(|(likeness, _)| *likeness > 0.8)
        .take(SUGGESTED)
        .map(|(_, name)| name.clone())
        .collect();
    let text: BTreeSet<String> = dims.text_tensors().into_iter().map(|(name, _)| name).collect();
    let last = dims.image.layers.saturating_sub(1);
    let blocks = match dims.image.resnet {
        Some(_) => "`layer1.0` and so on, `attnpool`".to_string(),
        None => format!("`block.0` to `block.{last}` (and `.attn`, `.mlp` of each)"),
    };
    let hint = if !with_text && (layer.starts_with("text.") || text.contains(layer)) {
        "the text tower is the same at both ends, or not in use, so it has no layers here".into()
    } else {
        format!(
            "layers are `stem`, {blocks}, `head`, or a tensor's canonical \
             name; `alphascope inspect CKPT` lists them"
        )
    };
    SparsifyError::Unknown { layer: layer.into(), near, hint }
}
