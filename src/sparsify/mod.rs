//! Sparse variants of the path: which weights are edited, and what they become.
//!
//! Pure: slices of float32 in, slices and counts out. libtorch's engine and the merged checkpoint
//! both take their masks from here, so that a variant is the same numbers on every device.
//!
//! s: amount; n: numbers in one tensor; k = ⌊s·n + ½⌋, the exact count of zeros that an edit sets
//! in it. Each tensor is edited by itself. θ(α) is float32 throughout (see [`path`]).
//!
//! | method | definition |
//! | --- | --- |
//! | `magnitude` | the k smallest \|θ(α)\| become 0: the mask depends on α |
//! | `delta` | the k smallest \|θ₁ − θ₀\| become 0: those weights stay zero-shot along the whole path (TIES' trim, per tensor) |
//! | `dare` | k of θ₁ − θ₀, chosen at random, become 0, the rest is divided by 1 − s; at s = 1 all become 0 and nothing is divided |
//! | `n:m` | of every M consecutive weights along the input the N largest \|θ(α)\| stay; a shorter last group keeps up to N |
//! | `reset` | every tensor of the layer, vectors too, stays zero-shot |
//!
//! - **Ties** are broken by position: of equal magnitudes the earlier (row-major, canonical
//!   packing) becomes zero first.
//! - **dare** gives each position of a tensor a random 32-bit key, seeded by the run's seed and the
//!   tensor's name; the k smallest keys are dropped. What is dropped at one amount is so dropped at
//!   every larger one, and does not depend on α, on other layers, or on the granularity by which
//!   the tensor was named.
//! - **delta, dare, reset** change the difference, so they make another fine-tuned end; the path to
//!   it is the same straight line. Where several edits name one tensor those come first, in their
//!   order, then those that act on θ(α), in theirs.
//! - **What is acted on**: tensors of two or more dimensions. `conv1` is a matrix of \[width,
//!   3·patch²\] and is acted on; class, position and token embeddings only with `embeddings` or
//!   when the tensor itself is named; vectors never, but for `reset`.
//! - **The input** of a linear map \[out, in\] is its last dimension (of `conv1` all but the
//!   first); the projections `visual.proj` and `text_projection` are \[in, out\] in canonical
//!   packing, so their groups run down the columns, as along the rows of Hugging Face's transposed
//!   ones.
//! - **Amount 0** (and `n:m` with N = M) is no edit: the tensor is not touched.

mod edit;
mod mask;
pub mod path;
mod plan;
mod told;

pub use edit::{describe, parse};
pub use mask::{Lines, Mask, count, differences, magnitude, n_of_m, random};
pub use plan::{Plan, SparsifyError, TensorPlan};
pub use told::told;

pub use crate::sweep::zeros::Zeros;

#[cfg(test)]
mod tests;
