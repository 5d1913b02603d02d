//! The architecture of a CLIP (a ViT or one of OpenAI's ResNets): dimensions from tensors, the
//! rest from configuration, names and known models, each with its source.
//!
//! Tensors tell widths, depths, patch, grid, embedding, context, vocabulary.
//! They do not tell heads, activation or preprocessing. Those come from, in
//! this order: the spec; a configuration in the file's metadata; one beside
//! the file ([`super::config`]); the file's name (activation); known models
//! ([`super::known`]; heads); and last an assumption that is said aloud.

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;

use super::error::{CheckpointError, Mismatch, ShapeMismatch};
use super::file::Checkpoint;
use super::known;
use super::resnet::{self, STAGES, STRIDE};
use crate::sweep::spec::Activation;

/// OpenAI CLIP's colour means, used when no configuration says otherwise.
pub const MEAN: [f32; 3] = [0.481_454_66, 0.457_827_5, 0.408_210_73];
/// OpenAI CLIP's colour standard deviations.
pub const STD: [f32; 3] = [0.268_629_54, 0.261_302_6, 0.275_777_1];

/// What a spec says instead of what would be inferred.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Overrides {
    /// An open_clip model name (`ViT-B-32`) or the path of a configuration.
    pub architecture: Option<String>,
    /// Of both towers.
    pub activation: Option<Activation>,
    /// The factor of the logits itself, not its logarithm.
    pub logit_scale: Option<f64>,
    /// A file with the linear head of ends that store none.
    pub head: Option<PathBuf>,
}

/// Image tower.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct ImageTower {
    /// Image side in pixels. Where no configuration tells it, grid × patch.
    pub size: usize,
    /// Patch side in pixels; of a ResNet, what one cell of its last grid spans.
    pub patch: usize,
    /// Patches along one side: ⌊size / patch⌋.
    pub grid: usize,
    /// Channels; of a ResNet, those that the stem gives.
    pub width: usize,
    /// Blocks.
    pub layers: usize,
    /// Attention heads; of a ResNet, those of the pool.
    pub heads: usize,
    /// Hidden channels of the MLPs; of a ResNet, those of the pool.
    pub mlp_width: usize,
    /// Blocks in each stage of a ResNet; `None` for a ViT.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resnet: Option<[usize; STAGES]>,
}

impl ImageTower {
    /// Numbers of the largest activation of one image.
    #[must_use]
    pub fn widest(&self) -> usize {
        match self.resnet {
            Some(_) => resnet::widest(self.size, self.width),
            None => self.mlp_width.max(3 * self.width) * (self.grid * self.grid + 1),
        }
    }

    /// Numbers that one image's pass keeps for its gradient, about: of a ViT's block twelve times
    /// the residual stream and three times the MLP's hidden layer.
    #[must_use]
    pub fn for_gradient(&self) -> usize {
        match self.resnet {
            Some(blocks) => resnet::for_gradient(self.size, self.width, blocks),
            None => {
                let token = self.layers * (12 * self.width + 3 * self.mlp_width);
                (self.grid * self.grid + 1) * token
            }
        }
    }
}

/// Text tower.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct TextTower {
    /// Tokens of a prompt.
    pub context: usize,
    /// Words of the tokenizer.
    pub vocab: usize,
    /// Channels.
    pub width: usize,
    /// Blocks.
    pub layers: usize,
    /// Attention heads.
    pub heads: usize,
    /// Hidden channels of the MLPs.
    pub mlp_width: usize,
}

/// Where a fact that tensors do not tell came from.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case", tag = "from", content = "what")]
pub enum Source {
    /// The spec says so.
    Spec,
    /// A configuration file.
    Config(PathBuf),
    /// A configuration in the checkpoint's metadata.
    Metadata(PathBuf),
    /// What the checkpoint is, or the code that it names.
    Inside(String),
    /// A word in the checkpoint's file name.
    FileName(String),
    /// A known model of these dimensions, by open_clip's name.
    Known(String),
    /// Assumed, for the reason given; a notice says so.
    Assumed(String),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Spec => write!(f, "spec"),
            Self::Config(path) => {
                write!(f, "{}", path.file_name().unwrap_or(path.as_os_str()).display())
            }
            Self::Metadata(_) => write!(f, "the file's metadata"),
            Self::Inside(what) => write!(f, "{what} in the file"),
            Self::FileName(word) => write!(f, "`{word}` in the file's name"),
            Self::Known(name) => write!(f, "known model {name}"),
            Self::Assumed(why) => write!(f, "assumed: {why}"),
        }
    }
}

/// Where each fact that tensors do not tell came from.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Sources {
    /// Heads of the image tower.
    pub heads: Source,
    /// Heads of the text tower; `None` without one.
    pub text_heads: Option<Source>,
    /// Activation of both towers.
    pub activation: Source,
    /// Colour means and standard deviations.
    pub preprocess: Source,
}

/// Everything needed to run a CLIP's towers.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Architecture {
    /// open_clip's name of these dimensions, where it has one.
    pub name: Option<String>,
    /// The image tower.
    pub image: ImageTower,
    /// The text tower; `None` where no file has one.
    pub text: Option<TextTower>,
    /// Shared embedding.
    pub embed: usize,
    /// Of the image tower's MLPs.
    pub activation: Activation,
    /// Of the text tower's MLPs (Hugging Face lets them differ).
    pub text_activation: Activation,
    /// Colour means, of values in \[0, 1\].
    pub mean: [f32; 3],
    /// Colour standard deviations.
    pub std: [f32; 3],
    /// Where the facts came from.
    pub sources: Sources,
}

/// What shapes tell of the image tower.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct ImageDims {
    /// Patch side in pixels; as the other fields, see [`ImageTower`] for what a ResNet's are.
    pub patch: usize,
    /// Patches along one side.
    pub grid: usize,
    /// Channels.
    pub width: usize,
    /// Blocks.
    pub layers: usize,
    /// Hidden channels of the MLPs.
    pub mlp_width: usize,
    /// Blocks in each stage of a ResNet; `None` for a ViT.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resnet: Option<[usize; STAGES]>,
}

impl ImageDims {
    /// `ViT 6×96, patch 8`, `ResNet 3-4-6-3, width 64`.
    #[must_use]
    pub fn label(&self) -> String {
        match self.resnet {
            Some([a, b, c, d]) => format!("ResNet {a}-{b}-{c}-{d}, width {}", self.width),
            None => format!("ViT {}×{}, patch {}", self.layers, self.width, self.patch),
        }
    }
}

/// What shapes tell of the text tower.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct TextDims {
    /// Tokens of a prompt.
    pub context: usize,
    /// Words of the tokenizer.
    pub vocab: usize,
    /// Channels.
    pub width: usize,
    /// Blocks.
    pub layers: usize,
    /// Hidden channels of the MLPs.
    pub mlp_width: usize,
}

/// What shapes alone tell.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Dims {
    /// The image tower.
    pub image: ImageDims,
    /// The text tower, where the file has one.
    pub text: Option<TextDims>,
    /// Shared embedding.
    pub embed: usize,
}

/// A tensor that must be there, with its shape.
pub type Expected = (String, Vec<usize>);

impl Dims {
    /// Reads dimensions off the shapes.
    ///
    /// # Errors
    /// When a tensor that tells a dimension is missing or of the wrong rank.
    pub fn infer(file: &Checkpoint) -> Result<Self, CheckpointError> {
        let wrong = |name: &str, message: String| CheckpointError::Tensor {
            path: file.path().into(),
            tensor: name.into(),
            message,
        };
        let matrix = |name: &str, axes: &str| match file.shape(name) {
            Some(&[rows, columns]) if rows > 0 && columns > 0 => Ok((rows, columns)),
            Some(got) => Err(wrong(name, format!("expected shape {axes}, got {got:?}"))),
            None => Err(wrong(
                name,
                "expected it in a CLIP, it is not there; use a complete checkpoint".into(),
            )),
        };
        let (image, embed) = if file.has(resnet::ANCHOR) {
            Self::resnet(file, &wrong, &matrix)?
        } else {
            Self::vit(file, &wrong, &matrix)?
        };
        let text = if file.has_text() {
            let tower = "transformer.resblocks.";
            let (context, width) = matrix("positional_embedding", "[context, width]")?;
            let (vocab, _) = matrix("token_embedding.weight", "[vocabulary, width]")?;
            let (mlp_width, _) =
                matrix(&format!("{tower}0.mlp.c_fc.weight"), "[MLP width, width]")?;
            Some(TextDims { context, vocab, width, layers: count(file, tower), mlp_width })
        } else {
            None
        };
        Ok(Self { image, text, embed })
    }

    fn vit(
        file: &Checkpoint,
        wrong: &dyn Fn(&str, String) -> CheckpointError,
        matrix: &Matrix<'_>,
    ) -> Result<(ImageDims, usize), CheckpointError> {
        let conv = "visual.conv1.weight";
        let (width, patch) = match file.shape(conv) {
            Some(&[w, 3, p, q]) if p == q && w > 0 && p > 0 => (w, p),
            got => {
                return Err(wrong(
                    conv,
                    format!(
                        "expected shape [width, 3, patch, patch], got {:?}",
                        got.unwrap_or(&[])
                    ),
                ));
            }
        };
        let name = "visual.positional_embedding";
        let (positions, _) = matrix(name, "[1 + grid², width]")?;
        let grid = square(positions).map_err(|message| wrong(name, message))?;
        if file.lacks_projection() {
            return Err(wrong(
                "visual.proj",
                "expected it in a CLIP, it is not there: as the fine-tuned end of a pair this file has \
                 the zero-shot file's; else use a complete checkpoint"
                    .into(),
            ));
        }
        let (_, embed) = matrix("visual.proj", "[width, embedding]")?;
        let tower = "visual.transformer.resblocks.";
        let (mlp_width, _) = matrix(&format!("{tower}0.mlp.c_fc.weight"), "[MLP width, width]")?;
        let layers = count(file, tower);
        Ok((ImageDims { patch, grid, width, layers, mlp_width, resnet: None }, embed))
    }

    fn resnet(
        file: &Checkpoint,
        wrong: &dyn Fn(&str, String) -> CheckpointError,
        matrix: &Matrix<'_>,
    ) -> Result<(ImageDims, usize), CheckpointError> {
        let name = "visual.conv3.weight";
        let width = match file.shape(name) {
            Some(&[width, ..]) if width > 1 && width.is_multiple_of(2) && width < 1 << 20 => width,
            got => {
                let got = got.unwrap_or(&[]);
                let message = format!("expected shape [width, width / 2, 3, 3], got {got:?}");
                return Err(wrong(name, message));
            }
        };
        let (positions, mlp_width) = matrix(resnet::POSITIONS, "[1 + grid², 32 × width]")?;
        let grid = square(positions).map_err(|message| wrong(resnet::POSITIONS, message))?;
        let (embed, _) = matrix(resnet::PROJECTION, "[embedding, 32 × width]")?;
        let blocks = resnet::blocks(file);
        let layers = blocks.iter().sum();
        let resnet = Some(blocks);
        Ok((ImageDims { patch: STRIDE, grid, width, layers, mlp_width, resnet }, embed))
    }

    /// Every tensor of the image tower, with its shape.
    #[must_use]
    pub fn image_tensors(&self) -> Vec<Expected> {
        let ImageDims { patch, grid, width, layers, mlp_width, resnet } = self.image;
        if let Some(blocks) = resnet {
            return resnet::tensors(&self.image, blocks, self.embed);
        }
        let mut all = vec![
            ("visual.class_embedding".into(), vec![width]),
            ("visual.positional_embedding".into(), vec![grid * grid + 1, width]),
            ("visual.conv1.weight".into(), vec![width, 3, patch, patch]),
        ];
        for norm in ["visual.ln_pre", "visual.ln_post"] {
            all.extend(["weight", "bias"].map(|end| (format!("{norm}.{end}"), vec![width])));
        }
        all.push(("visual.proj".into(), vec![width, self.embed]));
        for i in 0..layers {
            all.extend(block(&format!("visual.transformer.resblocks.{i}"), width, mlp_width));
        }
        all
    }

    /// Every tensor of the text tower, with its shape; empty without one.
    /// `logit_scale` belongs to no tower.
    #[must_use]
    pub fn text_tensors(&self) -> Vec<Expected> {
        let Some(TextDims { context, vocab, width, layers, mlp_width }) = self.text else {
            return Vec::new();
        };
        let mut all = vec![
            ("positional_embedding".into(), vec![context, width]),
            ("token_embedding.weight".into(), vec![vocab, width]),
            ("ln_final.weight".into(), vec![width]),
            ("ln_final.bias".into(), vec![width]),
            ("text_projection".into(), vec![width, self.embed]),
        ];
        for i in 0..layers {
            all.extend(block(&format!("transformer.resblocks.{i}"), width, mlp_width));
        }
        all
    }
}

/// Rows and columns of a tensor that must be a matrix, by its name and what its axes are.
type Matrix<'a> = dyn Fn(&str, &str) -> Result<(usize, usize), CheckpointError> + 'a;

/// The grid of so many positions.
fn square(positions: usize) -> Result<usize, String> {
    let grid = positions.saturating_sub(1).isqrt();
    if grid == 0 || grid.checked_mul(grid) != Some(positions - 1) {
        return Err(format!(
            "expected 1 + grid² positions (a class token or a mean, and square images), got \
             {positions}; only square images can be measured"
        ));
    }
    Ok(grid)
}

/// Blocks that the file has. Counted, not the highest index: a gap is then a
/// missing tensor, and a huge index no huge loop.
pub(super) fn count(file: &Checkpoint, tower: &str) -> usize {
    let indices: BTreeSet<&str> = file
        .names()
        .filter_map(|name| name.strip_prefix(tower)?.split_once('.').map(|(index, _)| index))
        .collect();
    indices.len()
}

fn block(at: &str, width: usize, mlp: usize) -> Vec<Expected> {
    [
        ("ln_1.weight", vec![width]),
        ("ln_1.bias", vec![width]),
        ("attn.in_proj_weight", vec![3 * width, width]),
        ("attn.in_proj_bias", vec![3 * width]),
        ("attn.out_proj.weight", vec![width, width]),
        ("attn.out_proj.bias", vec![width]),
        ("ln_2.weight", vec![width]),
        ("ln_2.bias", vec![width]),
        ("mlp.c_fc.weight", vec![mlp, width]),
        ("mlp.c_fc.bias", vec![mlp]),
        ("mlp.c_proj.weight", vec![width, mlp]),
        ("mlp.c_proj.bias", vec![width]),
    ]
    .map(|(name, shape)| (format!("{at}.{name}"), shape))
    .into()
}

/// Compares a file with the tensors it should have. `optional` names may be
/// there or not.
#[must_use]
pub fn compare(
    file: &Checkpoint,
    expected: &[Expected],
    optional: impl Fn(&str) -> bool,
) -> Mismatch {
    let mut mismatch = Mismatch::default();
    let mut known = BTreeSet::new();
    for (name, shape) in expected {
        known.insert(name.as_str());
        match file.shape(name) {
            None => mismatch.missing.push(name.clone()),
            Some(got) if got != shape.as_slice() => mismatch.shapes.push(ShapeMismatch {
                name: name.clone(),
                expected: shape.clone(),
                got: got.to_vec(),
            }),
            Some(_) => {}
        }
    }
    mismatch.extra = file
        .names()
        .filter(|name| !known.contains(name) && !optional(name))
        .map(str::to_string)
        .collect();
    mismatch
}

impl Architecture {
    /// Decides what shapes do not tell. `files` are asked in order, the
    /// zero-shot one first; `dims` are theirs together. What was assumed, or
    /// looked at and not used, goes to `notices`.
    ///
    /// # Errors
    /// When the spec's architecture is unknown or does not fit, configurations
    /// contradict each other, or heads cannot be told.
    pub fn resolve(
        files: &[&Checkpoint],
        dims: &Dims,
        overrides: &Overrides,
        notices: &mut Vec<String>,
    ) -> Result<Self, CheckpointError> {
        super::resolve::resolve(files, dims, overrides, notices)
    }

    /// The dimensions again.
    #[must_use]
    pub fn dims(&self) -> Dims {
        let ImageTower { patch, grid, width, layers, mlp_width, resnet, .. } = self.image;
        Dims {
            image: ImageDims { patch, grid, width, layers, mlp_width, resnet },
            text: self.text.as_ref().map(|t| TextDims {
                context: t.context,
                vocab: t.vocab,
                width: t.width,
                layers: t.layers,
                mlp_width: t.mlp_width,
            }),
            embed: self.embed,
        }
    }

    /// Every tensor of the image tower, with its shape.
    #[must_use]
    pub fn image_tensors(&self) -> Vec<Expected> {
        self.dims().image_tensors()
    }

    /// Every tensor of the text tower, with its shape; empty without one.
    #[must_use]
    pub fn text_tensors(&self) -> Vec<Expected> {
        self.dims().text_tensors()
    }

    /// True when the text tower takes the tokens of CLIP's tokenizer: a
    /// zero-shot head can then be made.
    #[must_use]
    pub fn takes_clip_tokens(&self) -> bool {
        self.text.as_ref().is_some_and(|text| text.vocab == known::VOCABULARY)
    }
}

impl fmt::Display for Architecture {
    /// `ViT-B-32`, else `ViT 6×96, patch 8, image 48` or `ResNet 1-2-1-1, width 16, image 64`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => f.write_str(name),
            None => write!(f, "{}, image {}", self.dims().image.label(), self.image.size),
        }
    }
}
