//! The image tower: bytes → normalised pixels → stages → one embedding.

use tch::{Device, Kind, TchError, Tensor};

use super::Visit;
use super::block::{Pass, Tokens};
use super::resnet::ResNet;
use super::vit::Vit;
use crate::checkpoint::Architecture;
use crate::torch::error::{TorchError, guarded};
use crate::torch::weights::Lookup;

/// CLIP's image tower.
#[derive(Debug)]
pub struct ImageTower {
    body: Body,
    size: i64,
    mean: Tensor,
    std: Tensor,
    device: Device,
    kind: Kind,
}

#[derive(Debug)]
enum Body {
    Vit(Box<Vit>),
    ResNet(Box<ResNet>),
}

impl ImageTower {
    /// Takes views of the tower's weights.
    ///
    /// # Errors
    /// When a tensor is missing or of another shape.
    pub fn new(weights: &impl Lookup, architecture: &Architecture) -> Result<Self, TorchError> {
        let (device, kind) = (weights.device(), weights.kind());
        let channels = |values: &[f32]| {
            guarded("build the image tower", || {
                Tensor::f_from_slice(values)?.f_view([3, 1, 1])?.f_to_device(device)
            })
        };
        let body = match architecture.image.resnet {
            None => Body::Vit(Box::new(Vit::new(weights, architecture)?)),
            Some(blocks) => Body::ResNet(Box::new(ResNet::new(weights, architecture, blocks)?)),
        };
        Ok(Self {
            body,
            size: architecture.image.size as i64,
            mean: channels(&architecture.mean)?,
            std: channels(&architecture.std)?,
            device,
            kind,
        })
    }

    /// Bytes of one image: size × size × RGB.
    #[must_use]
    pub fn image_bytes(&self) -> usize {
        (self.size * self.size * 3) as usize
    }

    /// Normalised values as the first stage takes them, of pixels as the loader has them
    /// (\[batch, size, size, 3\] of bytes): (byte / 255 − mean) / std in float32, then cast.
    ///
    /// # Errors
    /// When the sizes do not fit or the device fails.
    pub fn tokens(&self, pixels: &Tensor) -> Result<Tokens, TchError> {
        let pixels = pixels.f_to_device(self.device)?.f_view([-1, self.size, self.size, 3])?;
        // Channels before the pixels of a patch, so that one mean serves both.
        let cut = match &self.body {
            Body::Vit(vit) => vit.cut(&pixels)?,
            Body::ResNet(_) => pixels.f_permute([0, 3, 1, 2])?,
        };
        let values = cut
            .f_to_kind(Kind::Float)?
            .f_contiguous()?
            .f_div_scalar_(255.0)?
            .f_sub_(&self.mean)?
            .f_div_(&self.std)?
            .f_to_kind(self.kind)?;
        match &self.body {
            Body::Vit(vit) => vit.tokens(&values),
            Body::ResNet(_) => {
                let batch = values.size().first().copied().unwrap_or(0);
                Ok(Tokens { x: values, batch, length: self.size * self.size, shared: false })
            }
        }
    }

    /// How many stages there are between pixels and embeddings. Of a ViT the stem, attention and
    /// MLP of each block, the head; of a ResNet the stem, each block, the pool.
    #[must_use]
    pub fn stages(&self) -> usize {
        match &self.body {
            Body::Vit(vit) => vit.stages(),
            Body::ResNet(resnet) => resnet.stages(),
        }
    }

    /// The layer that ends with a stage; `None` where a stage ends within one.
    #[must_use]
    pub fn layer(&self, stage: usize) -> Option<String> {
        match &self.body {
            Body::Vit(vit) => vit.layer(stage),
            Body::ResNet(resnet) => resnet.layer(stage),
        }
    }

    /// One stage: what the next one reads. Stage 0 takes [`Self::tokens`]; the last gives
    /// embeddings \[batch, embed\], not normalised. From a ViT's last attention on there is one
    /// token an image, the class token.
    ///
    /// # Errors
    /// When there is no such stage or the device fails.
    pub fn step(&self, stage: usize, tokens: Tokens, pass: Pass) -> Result<Tokens, TchError> {
        match &self.body {
            Body::Vit(vit) => vit.step(stage, tokens, pass),
            Body::ResNet(resnet) => resnet.step(stage, tokens, pass),
        }
    }

    /// Adds a batch of pixels to BatchNorm's running statistics, in place in the weights that the
    /// tower was built from: `earlier` batches of the same size are in them already; with 0 they
    /// begin anew. Does nothing in a ViT.
    ///
    /// # Errors
    /// When the sizes do not fit or the device fails.
    pub fn collect_statistics(&self, pixels: &Tensor, earlier: usize) -> Result<(), TchError> {
        let Body::ResNet(resnet) = &self.body else { return Ok(()) };
        let _no_grad = tch::no_grad_guard();
        resnet.collect(self.tokens(pixels)?, earlier)
    }

    /// Pixels → embeddings \[batch, embed\], not normalised.
    ///
    /// # Errors
    /// When the sizes do not fit or the device fails.
    pub fn forward(&self, pixels: &Tensor, visit: &mut impl Visit) -> Result<Tensor, TchError> {
        let _no_grad = tch::no_grad_guard();
        let mut tokens = self.tokens(pixels)?;
        for stage in 0..self.stages() {
            tokens = self.step(stage, tokens, Pass::Measure)?;
            if let Some(name) = self.layer(stage) {
                visit.layer(&name, &tokens.x)?;
            }
        }
        Ok(tokens.x)
    }
}
