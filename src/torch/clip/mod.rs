//! CLIP's two towers (an image tower of either kind) on libtorch, in stages, computed for measuring: activations are overwritten in
//! place where nobody needs them any more, and in the last block only the one token is computed
//! that is read.
//!
//! ```text
//!  pixels ─ patches ─ stem ─ block.0 … block.L−2 ─ block.L−1 (token 0 only) ─ ln_post ─ proj ─► [B, E]
//!  tokens ─ embed ── text.stem ─ text.block.0 …… ─ last (end token only) ── ln_final ─ proj ─► [B, E]
//! ```
//!
//! Weights are fetched by name from a [`Lookup`](super::weights::Lookup). Those of a
//! [`PathWeights`](super::path::PathWeights) are views: moving the path moves the towers.

mod block;
mod image;
mod resnet;
mod text;
mod vit;

use tch::{TchError, Tensor};

pub use block::{Block, Linear, Norm, Pass, Tokens};
pub use image::ImageTower;
pub use text::{Prompts, TextTower};

/// Looks at the image tower's activations after each layer (`stem`, `block.0` …, `head`; of a
/// ResNet `stem`, `layer1.0` …, `attnpool`).
pub trait Visit {
    /// Called after each layer.
    ///
    /// # Errors
    /// Whatever libtorch says; the pass ends with it.
    fn layer(&mut self, name: &dyn std::fmt::Display, activations: &Tensor)
    -> Result<(), TchError>;
}

/// Looks at nothing.
impl Visit for () {
    fn layer(&mut self, _: &dyn std::fmt::Display, _: &Tensor) -> Result<(), TchError> {
        Ok(())
    }
}

/// Finds the first layer whose activations hold a NaN or an infinity.
#[derive(Debug, Default)]
pub struct FirstNotFinite(pub Option<String>);

impl Visit for FirstNotFinite {
    fn layer(&mut self, name: &dyn std::fmt::Display, x: &Tensor) -> Result<(), TchError> {
        if self.0.is_none() && !bool::try_from(x.f_isfinite()?.f_all()?)? {
            self.0 = Some(name.to_string());
        }
        Ok(())
    }
}

/// Each row divided by its Euclidean length (at least 1e-12), in float32.
///
/// # Errors
/// When the device fails.
pub fn normalized(features: &Tensor) -> Result<Tensor, TchError> {
    let features = features.f_to_kind(tch::Kind::Float)?;
    let length = features.f_norm_scalaropt_dim(2.0, [-1_i64].as_slice(), true)?;
    features.f_div(&length.f_clamp_min(1e-12)?)
}
