//! OpenAI's ResNet: a stem of three convolutions, bottleneck blocks that shrink by average pools,
//! and attention of the mean over the last grid.
//!
//! Activations are \[batch, channels, side, side\]. BatchNorm uses its running statistics, which are
//! weights like any other here; [`ResNet::collect`] makes them anew.

use tch::{TchError, Tensor};

use super::block::{Linear, Pass, Tokens, attend_all};
use crate::checkpoint::Architecture;
use crate::checkpoint::resnet::{STAGES, planes, reads};
use crate::torch::error::TorchError;
use crate::torch::weights::Lookup;

/// Of every BatchNorm.
const EPSILON: f64 = 1e-5;

/// How a BatchNorm is used.
#[derive(Clone, Copy)]
enum Mode {
    Use(Pass),
    /// Normalise by the batch, and take it into the running statistics with this weight.
    Collect(f64),
}

impl Mode {
    /// Whether activations that nobody else reads may be overwritten.
    fn in_place(self) -> bool {
        !matches!(self, Self::Use(Pass::Gradient | Pass::SecondOrder))
    }

    fn relu(self, mut x: Tensor) -> Result<Tensor, TchError> {
        if self.in_place() { x.f_relu_() } else { x.f_relu() }
    }
}

/// A convolution without a bias and the BatchNorm after it.
#[derive(Debug)]
struct Conv {
    kernel: Tensor,
    weight: Tensor,
    bias: Tensor,
    mean: Tensor,
    variance: Tensor,
    stride: i64,
    padding: i64,
}

impl Conv {
    /// `shape`: channels out, channels in, side of the kernel.
    fn new(
        weights: &impl Lookup,
        (conv, norm): (&str, &str),
        [out, from, side]: [usize; 3],
        stride: i64,
    ) -> Result<Self, TorchError> {
        let of_norm = |end: &str| weights.get(&format!("{norm}.{end}"), &[out]);
        Ok(Self {
            kernel: weights.get(&format!("{conv}.weight"), &[out, from, side, side])?,
            weight: of_norm("weight")?,
            bias: of_norm("bias")?,
            mean: of_norm("running_mean")?,
            variance: of_norm("running_var")?,
            stride,
            padding: side as i64 / 2,
        })
    }

    fn forward(&self, x: &Tensor, mode: Mode) -> Result<Tensor, TchError> {
        let (stride, padding) = ([self.stride; 2], [self.padding; 2]);
        // As `conv2d`, but never in TF32, which cuDNN would use for float32 where nobody forbids it.
        let (once, nothing) = ([1, 1], [0, 0]);
        let [transposed, benchmark, deterministic, cudnn, tf32] =
            [false, false, false, true, false];
        let x = x.f_internal_convolution(
            &self.kernel,
            None::<&Tensor>,
            stride,
            padding,
            once,
            transposed,
            nothing,
            1,
            benchmark,
            deterministic,
            cudnn,
            tf32,
        )?;
        let (training, momentum) = match mode {
            Mode::Use(_) => (false, 0.0),
            Mode::Collect(share) => (true, share),
        };
        x.f_batch_norm(
            Some(&self.weight),
            Some(&self.bias),
            Some(&self.mean),
            Some(&self.variance),
            training,
            momentum,
            EPSILON,
            x.device().is_cuda(),
        )
    }
}

/// x → relu(x + conv₃ pool conv₂ conv₁ x), with a pooled projection beside where the shape changes.
#[derive(Debug)]
struct Bottleneck {
    convs: [Conv; 3],
    downsample: Option<Conv>,
    /// Side of the average pools; 1: none.
    pool: i64,
}

impl Bottleneck {
    fn new(
        weights: &impl Lookup,
        width: usize,
        (stage, block): (usize, usize),
    ) -> Result<Self, TorchError> {
        let at = format!("visual.layer{stage}.{block}");
        let (from, inner) = (reads(width, stage, block), planes(width, stage));
        let conv = |i: usize, shape| {
            Conv::new(weights, (&format!("{at}.conv{i}"), &format!("{at}.bn{i}")), shape, 1)
        };
        let downsample = if block == 0 {
            let names = (format!("{at}.downsample.0"), format!("{at}.downsample.1"));
            Some(Conv::new(weights, (&names.0, &names.1), [4 * inner, from, 1], 1)?)
        } else {
            None
        };
        Ok(Self {
            convs: [
                conv(1, [inner, from, 1])?,
                conv(2, [inner, inner, 3])?,
                conv(3, [4 * inner, inner, 1])?,
            ],
            downsample,
            pool: if stage > 1 && block == 0 { 2 } else { 1 },
        })
    }

    fn forward(&self, x: &Tensor, mode: Mode) -> Result<Tensor, TchError> {
        let [first, second, third] = &self.convs;
        let inner = mode.relu(first.forward(x, mode)?)?;
        let inner = mode.relu(second.forward(&inner, mode)?)?;
        let mut out = third.forward(&shrunk(&inner, self.pool)?, mode)?;
        let beside = match &self.downsample {
            Some(conv) => conv.forward(&shrunk(x, self.pool)?, mode)?,
            None => x.shallow_clone(),
        };
        let sum = if mode.in_place() { out.f_add_(&beside)? } else { out.f_add(&beside)? };
        mode.relu(sum)
    }
}

/// Means of squares of `side` × `side`.
fn shrunk(x: &Tensor, side: i64) -> Result<Tensor, TchError> {
    if side == 1 {
        return Ok(x.shallow_clone());
    }
    x.f_avg_pool2d([side; 2], [side; 2], [0, 0], false, true, None)
}

/// The tower without its pixels.
#[derive(Debug)]
pub(super) struct ResNet {
    stem: [Conv; 3],
    blocks: Vec<Bottleneck>,
    /// Names of the blocks.
    names: Vec<String>,
    /// \[grid² + 1, channels\].
    positions: Tensor,
    query: Linear,
    key: Linear,
    value: Linear,
    out: Linear,
    heads: i64,
}

impl ResNet {
    pub(super) fn new(
        weights: &impl Lookup,
        architecture: &Architecture,
        blocks: [usize; STAGES],
    ) -> Result<Self, TorchError> {
        let tower = &architecture.image;
        let (width, wide, heads) = (tower.width, tower.mlp_width, tower.heads);
        if heads == 0 || !wide.is_multiple_of(heads) {
            return Err(TorchError::Input(format!(
                "build `visual.attnpool`: {heads} heads do not divide {wide} channels; correct \
                 `checkpoints.architecture`"
            )));
        }
        let stem = |i: usize, shape, stride| {
            Conv::new(
                weights,
                (&format!("visual.conv{i}"), &format!("visual.bn{i}")),
                shape,
                stride,
            )
        };
        let half = width / 2;
        let places = (1..).zip(blocks).flat_map(|(stage, n)| (0..n).map(move |i| (stage, i)));
        let places: Vec<(usize, usize)> = places.collect();
        let linear = |part: &str, rows| {
            let at = format!("visual.attnpool.{part}_proj");
            Linear::new(weights, &format!("{at}.weight"), &format!("{at}.bias"), [rows, wide])
        };
        Ok(Self {
            stem: [
                stem(1, [half, 3, 3], 2)?,
                stem(2, [half, half, 3], 1)?,
                stem(3, [width, half, 3], 1)?,
            ],
            blocks: places
                .iter()
                .map(|&place| Bottleneck::new(weights, width, place))
                .collect::<Result<_, _>>()?,
            names: places.iter().map(|(stage, i)| format!("layer{stage}.{i}")).collect(),
            positions: weights.get(
                "visual.attnpool.positional_embedding",
                &[tower.grid * tower.grid + 1, wide],
            )?,
            query: linear("q", wide)?,
            key: linear("k", wide)?,
            value: linear("v", wide)?,
            out: linear("c", architecture.embed)?,
            heads: heads as i64,
        })
    }

    pub(super) fn stages(&self) -> usize {
        self.blocks.len() + 2
    }

    pub(super) fn layer(&self, stage: usize) -> Option<String> {
        match stage.checked_sub(1) {
            None => Some("stem".into()),
            Some(block) => Some(self.names.get(block).map_or("attnpool".into(), String::clone)),
        }
    }

    pub(super) fn step(
        &self,
        stage: usize,
        tokens: Tokens,
        pass: Pass,
    ) -> Result<Tokens, TchError> {
        self.run(stage, &tokens, Mode::Use(pass))
    }

    /// Runs one batch through every BatchNorm's own statistics and takes these into the running
    /// ones as the mean over `earlier` batches and this.
    pub(super) fn collect(&self, tokens: Tokens, earlier: usize) -> Result<(), TchError> {
        let mode = Mode::Collect((earlier as f64 + 1.0).recip());
        // The pool has no BatchNorm.
        (0..=self.blocks.len()).try_fold(tokens, |tokens, stage| self.run(stage, &tokens, mode))?;
        Ok(())
    }

    fn run(&self, stage: usize, tokens: &Tokens, mode: Mode) -> Result<Tokens, TchError> {
        let x = match stage.checked_sub(1).map(|block| self.blocks.get(block)) {
            None => self.stem(&tokens.x, mode)?,
            Some(Some(block)) => block.forward(&tokens.x, mode)?,
            Some(None) => {
                let pass = if let Mode::Use(pass) = mode { pass } else { Pass::Measure };
                self.pool(&tokens.x, pass)?
            }
        };
        // Cells of the grid; embeddings are one token an image.
        let length = x.size().get(2..).unwrap_or_default().iter().product();
        Ok(Tokens { x, batch: tokens.batch, length, shared: false })
    }

    fn stem(&self, x: &Tensor, mode: Mode) -> Result<Tensor, TchError> {
        let mut x = x.shallow_clone();
        for conv in &self.stem {
            x = mode.relu(conv.forward(&x, mode)?)?;
        }
        shrunk(&x, 2)
    }

    /// Attention of the mean of all cells over the mean and the cells, \[batch, embed\].
    fn pool(&self, x: &Tensor, pass: Pass) -> Result<Tensor, TchError> {
        let cells = x.f_flatten(2, -1)?.f_transpose(1, 2)?;
        let kind = cells.f_kind()?;
        let mean = cells.f_mean_dim([1_i64].as_slice(), true, kind)?;
        let all = Tensor::f_cat(&[mean, cells], 1)?.f_add(&self.positions)?;
        let (batch, length, _) = all.size3()?;
        let split =
            |x: Tensor, length| x.f_view([batch, length, self.heads, -1])?.f_transpose(1, 2);
        let query = split(self.query.forward(&all.f_select(1, 0)?, pass)?, 1)?;
        let rows = all.f_flatten(0, 1)?;
        let key = split(self.key.forward(&rows, pass)?, length)?;
        let value = split(self.value.forward(&rows, pass)?, length)?;
        let mixed = attend_all(&query, &key, &value, pass)?;
        self.out.forward(&mixed.f_transpose(1, 2)?.f_reshape([batch, -1])?, pass)
    }
}
