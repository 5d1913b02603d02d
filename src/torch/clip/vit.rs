//! CLIP's vision transformer: patches → tokens → one embedding.

use tch::{Device, Kind, TchError, Tensor};

use super::block::{Block, Norm, Pass, Tokens};
use crate::checkpoint::Architecture;
use crate::torch::error::{TorchError, guarded};
use crate::torch::product::linear;
use crate::torch::weights::Lookup;

/// The tower without its pixels.
#[derive(Debug)]
pub(super) struct Vit {
    /// \[width, 3·patch²\]: the convolution as a matrix, channel by channel.
    patch_weight: Tensor,
    class_embedding: Tensor,
    positions: Tensor,
    ln_pre: Norm,
    blocks: Vec<Block>,
    ln_post: Norm,
    proj: Tensor,
    patch: i64,
    grid: i64,
    device: Device,
    kind: Kind,
}

impl Vit {
    pub(super) fn new(
        weights: &impl Lookup,
        architecture: &Architecture,
    ) -> Result<Self, TorchError> {
        let tower = &architecture.image;
        let (width, patch) = (tower.width, tower.patch);
        let shape = (width, tower.heads, tower.mlp_width);
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
            patch: patch as i64,
            grid: tower.grid as i64,
            device: weights.device(),
            kind: weights.kind(),
        })
    }

    /// Bytes \[batch, size, size, 3\] as patches \[batch × grid², 3·patch²\], not yet normalised:
    /// pixels right of and below the last whole patch are not used, as in a strided convolution.
    pub(super) fn cut(&self, pixels: &Tensor) -> Result<Tensor, TchError> {
        let (patch, grid) = (self.patch, self.grid);
        let used = patch * grid;
        pixels
            .f_narrow(1, 0, used)?
            .f_narrow(2, 0, used)?
            .f_reshape([-1, grid, patch, grid, patch, 3])?
            .f_permute([0, 1, 3, 5, 2, 4])
    }

    /// Normalised patches as the first stage takes them.
    pub(super) fn tokens(&self, patches: &Tensor) -> Result<Tokens, TchError> {
        let x = patches.f_view([-1, 3 * self.patch * self.patch])?;
        let length = self.grid * self.grid;
        Ok(Tokens { batch: x.size()[0] / length.max(1), x, length, shared: false })
    }

    pub(super) fn stages(&self) -> usize {
        2 * self.blocks.len() + 2
    }

    /// The layer whose activations a stage gives whole; `None` within a block.
    pub(super) fn layer(&self, stage: usize) -> Option<String> {
        match stage {
            0 => Some("stem".into()),
            _ if stage + 1 == self.stages() => Some("head".into()),
            _ if stage.is_multiple_of(2) => Some(format!("block.{}", stage / 2 - 1)),
            _ => None,
        }
    }

    pub(super) fn step(
        &self,
        stage: usize,
        mut tokens: Tokens,
        pass: Pass,
    ) -> Result<Tokens, TchError> {
        if stage == 0 {
            return self.stem(&tokens, pass);
        }
        let (index, is_mlp) = ((stage - 1) / 2, (stage - 1) % 2 == 1);
        let Some(block) = self.blocks.get(index) else { return self.head(&tokens) };
        if is_mlp {
            block.mlp(&mut tokens, pass)?;
        } else if index + 1 < self.blocks.len() {
            block.attention(&mut tokens, false, pass)?;
        } else {
            let firsts = self.firsts(&tokens)?;
            tokens = block.attention_rows(&tokens, &firsts, None, pass)?;
        }
        Ok(tokens)
    }

    /// Patches, class token and positions, normalised: what the first block reads.
    fn stem(&self, patches: &Tokens, pass: Pass) -> Result<Tokens, TchError> {
        let Tokens { x, batch, length: count, .. } = patches;
        let (batch, count) = (*batch, *count);
        let width = self.class_embedding.size()[0];
        let embedded = linear(x, &self.patch_weight, None, pass)?.f_view([-1, count, width])?;
        let x = if pass == Pass::Measure {
            let x = Tensor::f_empty([batch, count + 1, width], (self.kind, self.device))?;
            let class = self.class_embedding.f_add(&self.positions.f_get(0)?)?;
            x.f_select(1, 0)?.f_copy_(&class)?;
            let positions = self.positions.f_narrow(0, 1, count)?;
            let _ = embedded.f_add_out(&x.f_narrow(1, 1, count)?, &positions)?;
            x
        } else {
            let class = self.class_embedding.f_view([1, 1, -1])?.f_expand([batch, 1, -1], false)?;
            Tensor::f_cat(&[class, embedded], 1)?.f_add(&self.positions)?
        };
        let x = self.ln_pre.forward(&x.f_view([-1, width])?)?;
        Ok(Tokens { x, batch, length: count + 1, shared: false })
    }

    /// The rows of the class tokens.
    fn firsts(&self, tokens: &Tokens) -> Result<Tensor, TchError> {
        let Tokens { batch, length, .. } = *tokens;
        Tensor::f_arange_start_step(0, batch * length, length, (Kind::Int64, self.device))
    }

    /// Class tokens alone, normalised and projected, \[batch, embed\].
    fn head(&self, tokens: &Tokens) -> Result<Tokens, TchError> {
        let class = if tokens.length == 1 {
            tokens.x.shallow_clone()
        } else {
            tokens.x.f_index_select(0, &self.firsts(tokens)?)?
        };
        let x = self.ln_post.forward(&class)?.f_matmul(&self.proj)?;
        Ok(Tokens { x, batch: tokens.batch, length: 1, shared: false })
    }
}
