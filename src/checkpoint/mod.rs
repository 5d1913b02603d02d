//! Checkpoints: containers, naming dialects, architecture, the pair of ends.
//!
//! Pure Rust: nothing here knows libtorch or the screen, and nothing of a file
//! is ever run. One file goes through four steps, each in its own module:
//!
//! 1. [`container`]: bytes on disk → raw tensors (name, dtype, shape, range).
//! 2. [`names`]: whatever the file calls its tensors → canonical (open_clip)
//!    names and packing.
//! 3. [`arch`]: shapes → dimensions; configuration, known models or the spec →
//!    what shapes cannot tell (heads, activation, preprocessing).
//! 4. [`pair`]: two files → one path, every tensor checked.
//!
//! [`write`](fn@write) is the way back. [`describe`](mod@describe) tells a person what a file is, [`layers`] groups parameters as
//! they are perturbed, moved and counted.
//!
//! # Canonical names
//!
//! W: image width, P: patch, N = G² + 1: positions, E: embedding, M: MLP width,
//! Wₜ, Mₜ: text width and MLP width, T: context length, V: vocabulary, C: classes.
//!
//! | name | shape |
//! | --- | --- |
//! | `visual.class_embedding` | \[W\] |
//! | `visual.positional_embedding` | \[N, W\] |
//! | `visual.conv1.weight` | \[W, 3, P, P\] |
//! | `visual.ln_pre.{weight,bias}`, `visual.ln_post.{weight,bias}` | \[W\] |
//! | `visual.proj` | \[W, E\] |
//! | `visual.transformer.resblocks.i.…` | a block of width W, MLP M |
//! | `positional_embedding` | \[T, Wₜ\] |
//! | `token_embedding.weight` | \[V, Wₜ\] |
//! | `ln_final.{weight,bias}` | \[Wₜ\] |
//! | `text_projection` | \[Wₜ, E\] |
//! | `transformer.resblocks.i.…` | a block of width Wₜ, MLP Mₜ |
//! | `logit_scale` | \[\] (natural logarithm) |
//! | `classification_head.weight`, `classification_head.bias` | \[C, E\], \[C\] |
//!
//! A block of width W and MLP width M has `ln_1.{weight,bias}`,
//! `ln_2.{weight,bias}` \[W\], `attn.in_proj_weight` \[3W, W\] (q, k, v stacked),
//! `attn.in_proj_bias` \[3W\], `attn.out_proj.{weight [W, W], bias [W]}`,
//! `mlp.c_fc.{weight [M, W], bias [M]}`, `mlp.c_proj.{weight [W, M], bias [W]}`.
//! The image tower of a ResNet has other names: see [`resnet`].

pub mod arch;
pub mod config;
pub mod container;
pub mod describe;
pub mod error;
pub mod known;
pub mod layers;
pub mod logit_scale;
pub mod names;
pub mod pair;
pub mod pickle;
pub mod positions;
pub mod resnet;
pub mod tensor;

mod describe_pair;
mod describe_text;
mod file;
mod locate;
mod resolve;
mod write;

pub use arch::{Architecture, ImageTower, Overrides, TextTower};
pub use container::Container;
pub use describe::{Description, describe, describe_values};
pub use describe_pair::{PairDescription, describe_pair};
pub use error::CheckpointError;
pub use file::Checkpoint;
pub use layers::{Granularity, Layer};
pub use logit_scale::LogitScale;
pub use names::Dialect;
pub use pair::{End, HeadInfo, Pair};
pub use tensor::{Dtype, TensorView};
pub use write::write;
