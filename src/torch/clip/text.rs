//! The text tower: token ids → one embedding per prompt.

use tch::{Device, Kind, TchError, Tensor};

use super::block::{Block, Norm, Pass, Tokens, mask_after};
use crate::checkpoint::Architecture;
use crate::torch::error::TorchError;
use crate::torch::weights::Lookup;

/// Prompts as token ids, ready for a batch.
#[derive(Debug)]
pub struct Prompts {
    /// \[prompts, tokens\], as long as the longest: later tokens cannot be seen from an end token.
    ids: Tensor,
    /// Position of each prompt's end token.
    ends: Tensor,
    length: i64,
}

impl Prompts {
    /// How many there are.
    #[must_use]
    pub fn count(&self) -> i64 {
        self.ends.size()[0]
    }

    /// Position of the end token: that of the largest id (the first, if it comes twice).
    #[must_use]
    pub fn end_of(ids: &[u32]) -> usize {
        let largest = ids.iter().max();
        ids.iter().position(|id| Some(id) == largest).unwrap_or(0)
    }

    /// Cuts after the last end token and stacks.
    ///
    /// # Errors
    /// When the device fails.
    pub fn new(prompts: &[&[u32]], device: Device) -> Result<Self, TchError> {
        let ends: Vec<i64> = prompts.iter().map(|ids| Self::end_of(ids) as i64).collect();
        let length = ends.iter().max().map_or(1, |end| end + 1);
        let ids: Vec<i64> = prompts
            .iter()
            .flat_map(|ids| {
                ids.iter()
                    .map(|&id| i64::from(id))
                    .chain(std::iter::repeat(0))
                    .take(length as usize)
            })
            .collect();
        Ok(Self {
            ids: Tensor::f_from_slice(&ids)?.f_to_device(device)?,
            ends: Tensor::f_from_slice(&ends)?.f_to_device(device)?,
            length,
        })
    }
}

/// CLIP's text transformer.
#[derive(Debug)]
pub struct TextTower {
    embedding: Tensor,
    positions: Tensor,
    blocks: Vec<Block>,
    ln_final: Norm,
    proj: Tensor,
    context: usize,
    vocab: usize,
    device: Device,
}

impl TextTower {
    /// Takes views of the tower's weights.
    ///
    /// # Errors
    /// When the architecture has no text tower, or a tensor is missing or of another shape.
    pub fn new(weights: &impl Lookup, architecture: &Architecture) -> Result<Self, TorchError> {
        let tower = architecture.text.as_ref().ok_or_else(|| {
            TorchError::Input(
                "build the text tower: no checkpoint has one; give a complete zero-shot checkpoint"
                    .into(),
            )
        })?;
        let shape = (tower.width, tower.heads, tower.mlp_width);
        Ok(Self {
            embedding: weights.get("token_embedding.weight", &[tower.vocab, tower.width])?,
            positions: weights.get("positional_embedding", &[tower.context, tower.width])?,
            blocks: (0..tower.layers)
                .map(|i| {
                    let at = format!("transformer.resblocks.{i}");
                    Block::new(weights, &at, shape, architecture.text_activation)
                })
                .collect::<Result<_, _>>()?,
            ln_final: Norm::new(weights, "ln_final", tower.width)?,
            proj: weights.get("text_projection", &[tower.width, architecture.embed])?,
            context: tower.context,
            vocab: tower.vocab,
            device: weights.device(),
        })
    }

    /// Checks that ids are of this vocabulary and prompts no longer than the context.
    ///
    /// # Errors
    /// Expected and got.
    pub fn check(&self, ids: &[u32]) -> Result<(), TorchError> {
        if ids.is_empty() || ids.len() > self.context {
            return Err(TorchError::Input(format!(
                "embed prompts: expected 1 to {} tokens, got {}; encode with the model's context",
                self.context,
                ids.len()
            )));
        }
        match ids.iter().find(|&&id| id as usize >= self.vocab) {
            Some(id) => Err(TorchError::Input(format!(
                "embed prompts: expected token ids under {}, got {id}; the text tower is not made \
                 for CLIP's tokenizer",
                self.vocab
            ))),
            None => Ok(()),
        }
    }

    /// How many stages there are between ids and embeddings: the stem, attention and MLP of each
    /// block, the head.
    #[must_use]
    pub fn stages(&self) -> usize {
        2 * self.blocks.len() + 2
    }

    /// One stage: what the next one reads. Stage 0 reads the prompts' ids alone (`tokens` is not
    /// looked at); the last gives embeddings \[prompts, embed\], not normalised. From the last
    /// block's attention on there is one token a prompt, its end token. Ids must have been checked.
    ///
    /// # Errors
    /// When the device fails.
    pub fn step(
        &self,
        stage: usize,
        prompts: &Prompts,
        mut tokens: Tokens,
        pass: Pass,
    ) -> Result<Tokens, TchError> {
        if stage == 0 {
            return self.stem(prompts);
        }
        let (index, is_mlp) = ((stage - 1) / 2, (stage - 1) % 2 == 1);
        let Some(block) = self.blocks.get(index) else { return self.head(prompts, &tokens) };
        if is_mlp {
            block.mlp(&mut tokens, pass)?;
        } else if index + 1 < self.blocks.len() {
            block.attention(&mut tokens, true, pass)?;
        } else {
            let mask = mask_after(&prompts.ends, prompts.length)?;
            tokens = block.attention_rows(&tokens, &self.ends(prompts)?, Some(&mask), pass)?;
        }
        Ok(tokens)
    }

    /// Token and position embeddings.
    fn stem(&self, prompts: &Prompts) -> Result<Tokens, TchError> {
        let (batch, length) = (prompts.count(), prompts.length);
        let width = self.positions.size()[1];
        let x = self.embedding.f_index_select(0, &prompts.ids)?.f_view([batch, length, width])?;
        let x = x.f_add(&self.positions.f_narrow(0, 0, length)?)?.f_view([-1, width])?;
        Ok(Tokens { x, batch, length, shared: false })
    }

    /// The rows of the end tokens.
    fn ends(&self, prompts: &Prompts) -> Result<Tensor, TchError> {
        let (batch, length) = (prompts.count(), prompts.length);
        Tensor::f_arange_start_step(0, batch * length, length, (Kind::Int64, self.device))?
            .f_add(&prompts.ends)
    }

    /// End tokens alone, normalised and projected.
    fn head(&self, prompts: &Prompts, tokens: &Tokens) -> Result<Tokens, TchError> {
        let ends = if tokens.length == prompts.length && self.blocks.is_empty() {
            tokens.x.f_index_select(0, &self.ends(prompts)?)?
        } else {
            tokens.x.shallow_clone()
        };
        let x = self.ln_final.forward(&ends)?.f_matmul(&self.proj)?;
        Ok(Tokens { x, batch: tokens.batch, length: 1, shared: false })
    }

    /// Prompts → embeddings \[prompts, embed\], not normalised. Ids must have been checked.
    ///
    /// # Errors
    /// When the device fails.
    pub fn forward(&self, prompts: &Prompts) -> Result<Tensor, TchError> {
        let _no_grad = tch::no_grad_guard();
        let mut tokens = self.step(0, prompts, Tokens::none(), Pass::Measure)?;
        for stage in 1..self.stages() {
            tokens = self.step(stage, prompts, tokens, Pass::Measure)?;
        }
        Ok(tokens.x)
    }
}
