//! The image tower: bytes → patches → tokens → one embedding.

use tch::{Device, Kind, TchError, Tensor};

use super::Visit;
use super::block::{Block, Norm, Tokens};
use crate::checkpoint::Architecture;
use crate::torch::error::{TorchError, guarded};
use crate::torch::path::PathWeights;

/// CLIP's vision transformer.
#[derive(Debug)]
pub struct ImageTower {
    /// \[width, 3·patch²\]: the convolution as a matrix, channel by channel.
    patch_weight: Tensor,
    class_embedding: Tensor,
    positions: Tensor,
    ln_pre: Norm,
    blocks: Vec<Block>,
    ln_post: Norm,
    proj: Tensor,
    size: i64,
    patch: i64,
    grid: i64,
    mean: Tensor,
    std: Tensor,
    device: Device,
    kind: Kind,
}

impl ImageTower {
    /// Takes views of the tower's weights.
    ///
    /// # Errors
    /// When a tensor is missing or of another shape.
    pub fn new(weights: &PathWeights, architecture: &Architecture) -> Result<Self, TorchError> {
        let tower = &architecture.image;
        let (width, patch) = (tower.width, tower.patch);
        let shape = (width, tower.heads, tower.mlp_width);
        let (device, kind) = (weights.device(), weights.kind());
        let channels = |values: &[f32; 3]| {
            guarded("build the image tower", || {
                Tensor::f_from_slice(values)?.f_view([3, 1, 1])?.f_to_device(device)
            })
        };
        let conv = weights.get("visual.conv1.weight", &[width, 3, patch, patch])?;
        let patch_weight = guarded("build the image tower", || {
            conv.f_view([width as i64, 3 * (patch * patch) as i64])
        })?;
        Ok(Self {
            patch_weight,
            class_embedding: weights.get("visual.class_embedding", &[width])?,
            positions: weights
                .get("visual.positional_embedding", &[tower.grid * tower.grid + 1, width])?,
            ln_pre: Norm::new(weights, "visual.ln_pre", width)?,
            blocks: (0..tower.layers)
                .map(|i| {
                    let at = format!("visual.transformer.resblocks.{i}");
                    Block::new(weights, &at, shape, architecture.activation)
                })
                .collect::<Result<_, _>>()?,
            ln_post: Norm::new(weights, "visual.ln_post", width)?,
            proj: weights.get("visual.proj", &[width, architecture.embed])?,
            size: tower.size as i64,
            patch: patch as i64,
            grid: tower.grid as i64,
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

    /// Pixels as the loader has them, \[batch, size, size, 3\] of bytes, as patches of normalised
    /// values \[batch × grid², 3·patch²\]: (byte / 255 − mean) / std in float32, then cast. Pixels
    /// right of and below the last whole patch are not used, as in a strided convolution.
    ///
    /// # Errors
    /// When the sizes do not fit or the device fails.
    pub fn patches(&self, pixels: &Tensor) -> Result<Tensor, TchError> {
        let (patch, grid) = (self.patch, self.grid);
        let used = patch * grid;
        pixels
            .f_to_device(self.device)?
            .f_view([-1, self.size, self.size, 3])?
            .f_narrow(1, 0, used)?
            .f_narrow(2, 0, used)?
            .f_reshape([-1, grid, patch, grid, patch, 3])?
            .f_permute([0, 1, 3, 5, 2, 4])?
            .f_to_kind(Kind::Float)?
            .f_contiguous()?
            .f_div_scalar_(255.0)?
            .f_sub_(&self.mean)?
            .f_div_(&self.std)?
            .f_to_kind(self.kind)?
            .f_view([-1, 3 * patch * patch])
    }

    /// Patches, class token and positions, normalised: what the first block reads.
    ///
    /// # Errors
    /// When the device fails.
    pub fn stem(&self, patches: &Tensor) -> Result<Tokens, TchError> {
        let count = self.grid * self.grid;
        let width = self.class_embedding.size()[0];
        let embedded = patches.f_matmul(&self.patch_weight.f_tr()?)?.f_view([-1, count, width])?;
        let batch = embedded.size()[0];
        let x = Tensor::f_empty([batch, count + 1, width], (self.kind, self.device))?;
        let class = self.class_embedding.f_add(&self.positions.f_get(0)?)?;
        x.f_select(1, 0)?.f_copy_(&class)?;
        let positions = self.positions.f_narrow(0, 1, count)?;
        let _ = embedded.f_add_out(&x.f_narrow(1, 1, count)?, &positions)?;
        let x = self.ln_pre.forward(&x.f_view([-1, width])?)?;
        Ok(Tokens { x, batch, length: count + 1 })
    }

    /// The last block onwards: class tokens alone, normalised and projected, \[batch, embed\].
    ///
    /// # Errors
    /// When the device fails.
    fn finish(&self, tokens: Tokens, visit: &mut impl Visit) -> Result<Tensor, TchError> {
        let Tokens { batch, length, .. } = tokens;
        let firsts =
            Tensor::f_arange_start_step(0, batch * length, length, (Kind::Int64, self.device))?;
        let class = match self.blocks.split_last() {
            Some((last, before)) => {
                let class = last.forward_rows(&tokens, &firsts, None)?;
                visit.layer(&format_args!("block.{}", before.len()), &class)?;
                class
            }
            None => tokens.x.f_index_select(0, &firsts)?,
        };
        self.ln_post.forward(&class)?.f_matmul(&self.proj)
    }

    /// Patches → embeddings \[batch, embed\], not normalised.
    ///
    /// # Errors
    /// When the device fails.
    pub fn forward(&self, patches: &Tensor, visit: &mut impl Visit) -> Result<Tensor, TchError> {
        let _no_grad = tch::no_grad_guard();
        let mut tokens = self.stem(patches)?;
        visit.layer(&"stem", &tokens.x)?;
        let before_last = self.blocks.len().saturating_sub(1);
        for (i, block) in self.blocks[..before_last].iter().enumerate() {
            block.forward(&mut tokens, false)?;
            visit.layer(&format_args!("block.{i}"), &tokens.x)?;
        }
        let features = self.finish(tokens, visit)?;
        visit.layer(&"head", &features)?;
        Ok(features)
    }
}
