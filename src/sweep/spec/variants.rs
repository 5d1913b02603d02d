//! `[[variants]]`: the same path with some layers made sparse.

use serde::{Deserialize, Serialize};

/// How weights of a layer are chosen to become zero (or zero-shot). Acts on its
/// matrices, each tensor by itself; vectors stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    /// The smallest |θ(α)| become 0.
    Magnitude,
    /// The smallest |θ₁ − θ₀| become 0: those weights stay zero-shot (TIES'
    /// trim).
    Delta,
    /// A random part of θ₁ − θ₀ becomes 0, the rest is divided by what is
    /// kept (DARE).
    Dare,
    /// Of M consecutive weights along the input the N largest |θ(α)| stay.
    #[serde(rename = "n:m")]
    NOfM,
    /// The whole layer stays zero-shot.
    Reset,
}

/// One edit of a variant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Edit {
    /// A layer's name at any granularity (`block.3`, `block.3.mlp`, or a
    /// tensor's canonical name).
    pub layer: String,
    /// What is done to it.
    pub method: Method,
    /// Fraction set to zero, in \[0, 1\]. For `n:m` it follows from N and M,
    /// for `reset` it is 1.
    #[serde(default = "whole")]
    pub amount: f64,
    /// Of `n:m`.
    #[serde(default = "two", skip_serializing_if = "is_two")]
    pub n: usize,
    /// Of `n:m`.
    #[serde(default = "four", skip_serializing_if = "is_four")]
    pub m: usize,
    /// Also the embeddings of the layer (only when it is asked for by name).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub embeddings: bool,
}

fn whole() -> f64 {
    1.0
}
fn two() -> usize {
    2
}
fn four() -> usize {
    4
}
fn is_two(n: &usize) -> bool {
    *n == 2
}
fn is_four(n: &usize) -> bool {
    *n == 4
}

/// One of `[[variants]]`: a name and what is done. `dense` is always there and
/// has no edits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Variant {
    /// Shown everywhere; unique.
    pub name: String,
    /// In this order.
    #[serde(default)]
    pub sparsify: Vec<Edit>,
}

impl Variant {
    /// The sweep without sparsification.
    #[must_use]
    pub fn dense() -> Self {
        Self { name: "dense".into(), sparsify: Vec::new() }
    }

    /// True without edits.
    #[must_use]
    pub fn is_dense(&self) -> bool {
        self.sparsify.is_empty()
    }
}
