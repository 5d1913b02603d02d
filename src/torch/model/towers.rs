//! The model's weights seen through towers with another activation.

use tch::{Device, Tensor};

use super::{MicroBatch, Model, pixels};
use crate::checkpoint::Architecture;
use crate::sparsify::Plan;
use crate::sweep::ids::Alpha;
use crate::sweep::spec::Activation;
use crate::torch::clip::{ImageTower, Pass, TextTower, normalized};
use crate::torch::error::{TorchError, guarded};
use crate::torch::heads::{ClassPrompts, Head, zero_shot};

/// Both towers with one activation, where the model's weights stand. They share its storage, so no
/// memory is needed for them; nothing of the model changes by their use.
#[derive(Debug)]
pub(in crate::torch) struct Towers {
    image: ImageTower,
    text: Option<TextTower>,
    scale: f64,
    device: Device,
    /// A copy: what is short of memory here halves nothing there.
    micro_batch: MicroBatch,
}

impl Model {
    /// Brings both towers to the dense θ(α) and gives them with this activation.
    ///
    /// # Errors
    /// When the device fails.
    pub(in crate::torch) fn with_activation(
        &mut self,
        activation: Activation,
        alpha: Alpha,
    ) -> Result<Towers, TorchError> {
        let dense = Plan::default();
        self.set_point(alpha, &dense)?;
        let architecture =
            Architecture { activation, text_activation: activation, ..self.architecture.clone() };
        let text = match &mut self.text {
            Some((weights, _)) => {
                weights.set(alpha, &dense)?;
                Some(TextTower::new(weights, &architecture)?)
            }
            None => None,
        };
        Ok(Towers {
            image: ImageTower::new(&self.image_weights, &architecture)?,
            text,
            scale: self.scale.at(alpha),
            device: self.image_weights.device(),
            micro_batch: self.micro_batch,
        })
    }
}

impl Towers {
    /// The zero-shot head of these prompts.
    ///
    /// # Errors
    /// When no text tower is in play, prompts do not fit it, or the device fails.
    pub(in crate::torch) fn head(&self, list: &ClassPrompts) -> Result<Head, TorchError> {
        let text = self.text.as_ref().ok_or_else(|| {
            TorchError::Input("make a zero-shot head: no text tower was loaded".into())
        })?;
        zero_shot(text, list, self.scale, self.device)
    }

    /// As [`Model::features`].
    ///
    /// # Errors
    /// As there.
    pub(in crate::torch) fn features<P: AsRef<[u8]>>(
        &mut self,
        images: &[P],
    ) -> Result<Tensor, TorchError> {
        let Self { image, micro_batch, .. } = self;
        let parts = micro_batch.over(images.len(), |range| {
            guarded("embed images", || {
                let _no_grad = tch::no_grad_guard();
                let pixels = pixels(image, images.get(range).unwrap_or_default())?;
                let mut tokens = image.tokens(&pixels)?;
                for stage in 0..image.stages() {
                    tokens = image.step(stage, tokens, Pass::Measure)?;
                }
                normalized(&tokens.x)
            })
        })?;
        guarded("embed images", || Tensor::f_cat(&parts, 0))
    }
}
