//! One residual block, as both towers have it: x += attention(ln_1 x), x += MLP(ln_2 x).

use tch::{Kind, TchError, Tensor};

use crate::sweep::spec::Activation;
use crate::torch::error::TorchError;
use crate::torch::product::{self, Library};
use crate::torch::weights::Lookup;

/// Of every layer norm in CLIP.
const EPSILON: f64 = 1e-5;

/// A layer norm over the channels.
#[derive(Debug)]
pub struct Norm {
    weight: Tensor,
    bias: Tensor,
}

impl Norm {
    /// `name.weight` and `name.bias`, \[`width`\].
    ///
    /// # Errors
    /// When a tensor is missing or of another shape.
    pub fn new(weights: &impl Lookup, name: &str, width: usize) -> Result<Self, TorchError> {
        Ok(Self {
            weight: weights.get(&format!("{name}.weight"), &[width])?,
            bias: weights.get(&format!("{name}.bias"), &[width])?,
        })
    }

    /// Normalises the last dimension.
    ///
    /// # Errors
    /// When the device fails.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor, TchError> {
        let width = self.weight.size();
        x.f_layer_norm(&width, Some(&self.weight), Some(&self.bias), EPSILON, false)
    }
}

/// A matrix product with a bias: x·weightᵀ + bias.
#[derive(Debug)]
pub struct Linear {
    weight: Tensor,
    bias: Tensor,
}

impl Linear {
    /// A weight of \[`rows`, `columns`\] and its bias, by their full names.
    ///
    /// # Errors
    /// When a tensor is missing or of another shape.
    pub fn new(
        weights: &impl Lookup,
        weight: &str,
        bias: &str,
        [rows, columns]: [usize; 2],
    ) -> Result<Self, TorchError> {
        Ok(Self {
            weight: weights.get(weight, &[rows, columns])?,
            bias: weights.get(bias, &[rows])?,
        })
    }

    /// Output rows `start .. start + length` alone.
    fn rows(&self, start: i64, length: i64) -> Result<Self, TchError> {
        Ok(Self {
            weight: self.weight.f_narrow(0, start, length)?,
            bias: self.bias.f_narrow(0, start, length)?,
        })
    }

    /// x·weightᵀ + bias.
    ///
    /// # Errors
    /// When the device fails.
    pub fn forward(&self, x: &Tensor, pass: Pass) -> Result<Tensor, TchError> {
        product::linear(x, &self.weight, Some(&self.bias), pass)
    }

    /// `tokens += self(x)`; in place where the pass allows it.
    fn add_to(&self, tokens: &mut Tokens, x: &Tensor, pass: Pass) -> Result<(), TchError> {
        let in_place = pass == Pass::Measure && !tokens.shared;
        if product::library(x, pass)? == Library::OneDnn {
            let y = self.forward(x, pass)?;
            if in_place {
                let _ = tokens.x.f_add_(&y)?;
            } else {
                tokens.x = tokens.x.f_add(&y)?;
                tokens.shared = false;
            }
            return Ok(());
        }
        // Without a tensor in between.
        let weight = self.weight.f_tr()?;
        if in_place {
            let _ = tokens.x.f_addmm_(x, &weight)?;
        } else {
            tokens.x = tokens.x.f_addmm(x, &weight)?;
            tokens.shared = false;
        }
        // Nobody keeps the sum: adding the bias in place is right in every pass.
        let _ = tokens.x.f_add_(&self.bias)?;
        Ok(())
    }
}

/// What a pass through a tower is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pass {
    /// Values alone: activations are overwritten in place. Gradients must be off.
    Measure,
    /// A gradient follows: nothing that it needs is overwritten.
    Gradient,
    /// A second derivative follows: as `Gradient`, with attention written out, since libtorch's
    /// fused attention has no derivative of its derivative.
    SecondOrder,
}

/// The activations of a batch: \[images × tokens, width\], or \[images, channels, side, side\] in
/// a ResNet, whose cells are its tokens.
#[derive(Debug)]
pub struct Tokens {
    /// One row per token, image after image.
    pub x: Tensor,
    /// Images (or prompts).
    pub batch: i64,
    /// Tokens of each.
    pub length: i64,
    /// True when someone else reads `x` too, so that it must not be overwritten.
    pub shared: bool,
}

impl Tokens {
    /// No activations: what a stage takes that reads none.
    #[must_use]
    pub fn none() -> Self {
        Self { x: Tensor::new(), batch: 0, length: 0, shared: false }
    }

    /// The same activations for a second reader; neither may overwrite them.
    pub fn share(&mut self) -> Self {
        self.shared = true;
        Self { x: self.x.shallow_clone(), batch: self.batch, length: self.length, shared: true }
    }
}

/// One residual block.
#[derive(Debug)]
pub struct Block {
    ln_1: Norm,
    qkv: Linear,
    /// The query rows of `qkv`, and its key and value rows.
    query: Linear,
    key_value: Linear,
    out: Linear,
    ln_2: Norm,
    fc: Linear,
    proj: Linear,
    heads: i64,
    activation: Activation,
}

impl Block {
    /// The block named `at` (as `visual.transformer.resblocks.3`).
    ///
    /// # Errors
    /// When a tensor is missing or of another shape, or `heads` does not divide `width`.
    pub fn new(
        weights: &impl Lookup,
        at: &str,
        (width, heads, mlp): (usize, usize, usize),
        activation: Activation,
    ) -> Result<Self, TorchError> {
        if heads == 0 || !width.is_multiple_of(heads) {
            return Err(TorchError::Input(format!(
                "build `{at}`: {heads} heads do not divide {width} channels; correct \
                 `checkpoints.architecture`"
            )));
        }
        let linear = |weight: &str, bias: &str, shape| {
            Linear::new(weights, &format!("{at}.{weight}"), &format!("{at}.{bias}"), shape)
        };
        let qkv = linear("attn.in_proj_weight", "attn.in_proj_bias", [3 * width, width])?;
        let rows = |start: usize, length: usize| {
            qkv.rows(start as i64, length as i64)
                .map_err(|e| TorchError::sort(&format!("build `{at}`"), &e.to_string()))
        };
        Ok(Self {
            ln_1: Norm::new(weights, &format!("{at}.ln_1"), width)?,
            query: rows(0, width)?,
            key_value: rows(width, 2 * width)?,
            qkv,
            out: linear("attn.out_proj.weight", "attn.out_proj.bias", [width, width])?,
            ln_2: Norm::new(weights, &format!("{at}.ln_2"), width)?,
            fc: linear("mlp.c_fc.weight", "mlp.c_fc.bias", [mlp, width])?,
            proj: linear("mlp.c_proj.weight", "mlp.c_proj.bias", [width, mlp])?,
            heads: heads as i64,
            activation,
        })
    }

    /// x += attention(ln_1 x) for all tokens. With `causal` a token sees only itself and those
    /// before it.
    ///
    /// # Errors
    /// When the device fails.
    pub fn attention(&self, tokens: &mut Tokens, causal: bool, pass: Pass) -> Result<(), TchError> {
        let qkv = self.qkv.forward(&self.ln_1.forward(&tokens.x)?, pass)?;
        let qkv = self.split(&qkv, tokens.batch, tokens.length, 3)?;
        let seen = if causal { Seen::Before } else { Seen::All };
        let mixed = attend(&qkv.f_get(0)?, &qkv.f_get(1)?, &qkv.f_get(2)?, seen, pass)?;
        self.out.add_to(tokens, &rows_of(&mixed)?, pass)
    }

    /// One token of each image: `rows` says which rows of the activations they are, `mask`
    /// \[batch, 1, 1, length\] which tokens each may see (`None`: all). Everything that only other
    /// tokens would read is left out: the result is what [`Self::attention`] gives for those rows.
    /// Gives \[batch, width\].
    ///
    /// # Errors
    /// When the device fails.
    pub fn attention_rows(
        &self,
        tokens: &Tokens,
        rows: &Tensor,
        mask: Option<&Tensor>,
        pass: Pass,
    ) -> Result<Tokens, TchError> {
        let Tokens { x, batch, length, .. } = tokens;
        let normed = self.ln_1.forward(x)?;
        let query = self.query.forward(&normed.f_index_select(0, rows)?, pass)?;
        let query = self.split(&query, *batch, 1, 1)?;
        let key_value = self.key_value.forward(&normed, pass)?;
        let key_value = self.split(&key_value, *batch, *length, 2)?;
        let (key, value) = (key_value.f_get(0)?, key_value.f_get(1)?);
        let seen = mask.map_or(Seen::All, Seen::Mask);
        let mixed = attend(&query.f_get(0)?, &key, &value, seen, pass)?;
        let x = x.f_index_select(0, rows)?;
        let mut tokens = Tokens { x, batch: *batch, length: 1, shared: false };
        self.out.add_to(&mut tokens, &rows_of(&mixed)?, pass)?;
        Ok(tokens)
    }

    /// \[batch × length, parts × width\] → \[parts, batch, heads, length, width / heads\], a view.
    fn split(&self, x: &Tensor, batch: i64, length: i64, parts: i64) -> Result<Tensor, TchError> {
        x.f_view([batch, length, parts, self.heads, -1])?.f_permute([2, 0, 3, 1, 4])
    }

    /// x += MLP(ln_2 x).
    ///
    /// # Errors
    /// When the device fails.
    pub fn mlp(&self, tokens: &mut Tokens, pass: Pass) -> Result<(), TchError> {
        let mut hidden = self.fc.forward(&self.ln_2.forward(&tokens.x)?, pass)?;
        match (self.activation, pass) {
            (Activation::Gelu, Pass::Measure) => {
                let _ = hidden.f_gelu_("none")?;
            }
            (Activation::Gelu, _) => hidden = hidden.f_gelu("none")?,
            (Activation::QuickGelu, Pass::Measure) => {
                let mut gate = hidden.f_mul_scalar(1.702)?;
                let _ = hidden.f_mul_(&gate.f_sigmoid_()?)?;
            }
            (Activation::QuickGelu, _) => {
                hidden = hidden.f_mul(&hidden.f_mul_scalar(1.702)?.f_sigmoid()?)?;
            }
        }
        self.proj.add_to(tokens, &hidden, pass)
    }
}

/// Which tokens a query may look at.
#[derive(Clone, Copy)]
enum Seen<'a> {
    /// All.
    All,
    /// Itself and those before it.
    Before,
    /// Those where \[batch, 1, 1, tokens\] is 0; the others hold −∞.
    Mask(&'a Tensor),
}

/// softmax(q·kᵀ / √d)·v without a mask, all \[batch, heads, tokens, d\].
///
/// # Errors
/// When the device fails.
pub fn attend_all(
    query: &Tensor,
    key: &Tensor,
    value: &Tensor,
    pass: Pass,
) -> Result<Tensor, TchError> {
    attend(query, key, value, Seen::All, pass)
}

/// softmax(q·kᵀ / √d)·v, all \[batch, heads, tokens, d\].
fn attend(
    query: &Tensor,
    key: &Tensor,
    value: &Tensor,
    seen: Seen<'_>,
    pass: Pass,
) -> Result<Tensor, TchError> {
    let kind = query.f_kind()?;
    if pass != Pass::SecondOrder {
        let mask = match seen {
            Seen::Mask(mask) => Some(mask.f_to_kind(kind)?),
            _ => None,
        };
        let causal = matches!(seen, Seen::Before);
        return Tensor::f_scaled_dot_product_attention(
            query, key, value, mask, 0.0, causal, None, false,
        );
    }
    let d = query.size().last().copied().unwrap_or(1) as f64;
    let mut scores = query.f_matmul(&key.f_transpose(-2, -1)?)?.f_mul_scalar(d.sqrt().recip())?;
    match seen {
        Seen::All => {}
        Seen::Before => {
            let length = key.size().get(2).copied().unwrap_or(1);
            let shape = [length, length];
            let later = Tensor::f_ones(shape, (Kind::Bool, query.device()))?.f_triu(1)?;
            scores = scores.f_masked_fill(&later, f64::NEG_INFINITY)?;
        }
        Seen::Mask(mask) => scores = scores.f_add(&mask.f_to_kind(kind)?)?,
    }
    scores.f_softmax(-1, kind)?.f_matmul(value)
}

/// \[batch, heads, tokens, d\] → \[batch × tokens, heads × d\]; a view where attention wrote it so.
fn rows_of(mixed: &Tensor) -> Result<Tensor, TchError> {
    let (batch, heads, tokens, d) = mixed.size4()?;
    mixed.f_transpose(1, 2)?.f_reshape([batch * tokens, heads * d])
}

/// A mask for [`Block::attention_rows`]: 0 for tokens up to `last[i]` of prompt i, −∞ after.
///
/// # Errors
/// When the device fails.
pub fn mask_after(last: &Tensor, length: i64) -> Result<Tensor, TchError> {
    let device = last.device();
    let positions = Tensor::f_arange(length, (Kind::Int64, device))?;
    let later = positions.f_unsqueeze(0)?.f_gt_tensor(&last.f_unsqueeze(1)?)?;
    let zeros = Tensor::f_zeros([last.size()[0], length], (Kind::Float, device))?;
    zeros.f_masked_fill(&later, f64::NEG_INFINITY)?.f_view([-1, 1, 1, length])
}
