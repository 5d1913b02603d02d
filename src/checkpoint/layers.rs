//! Layers: named groups of parameters, as they are moved, perturbed and shown.
//!
//! | granularity | groups |
//! | --- | --- |
//! | `block` | `stem` (patch, class and position embeddings, ln_pre), `block.i`, `head` (ln_post, projection, stored class weights) |
//! | `module` | each block is `block.i.attn` (ln_1, q k v, output) and `block.i.mlp` (ln_2, c_fc, c_proj) |
//! | `tensor` | every canonical tensor alone, by its own name |
//!
//! A ResNet has `stem` (its three convolutions), `layer1.0` …, `attnpool` and, where class weights
//! are stored, `head`; its modules are its blocks. BatchNorm's running statistics are no parameters
//! and in no layer, though they move along the path.
//!
//! The text tower has the same groups under `text.`: its stem is the token and
//! position embeddings, its head ln_final and the projection. `logit_scale` is
//! in no layer.

use rayon::prelude::*;

use super::arch::{Dims, Expected};
use super::names::{HEAD_BIAS, HEAD_WEIGHT, is_head};
use super::resnet;
use super::tensor::TensorView;

/// How finely parameters are grouped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Granularity {
    /// A transformer block is one layer.
    #[default]
    Block,
    /// Attention and MLP are layers of their own.
    Module,
    /// Every tensor is.
    Tensor,
}

/// One group of parameters.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Layer {
    /// `stem`, `block.3`, `text.block.0.attn`, …
    pub name: String,
    /// Canonical names of its tensors.
    pub tensors: Vec<String>,
    /// Numbers in them.
    pub parameters: u64,
}

/// Groups tensors, in the order of the forward pass: image tower, stored head,
/// then text tower when `with_text`. `head` is a stored head's number of
/// classes and whether it has a bias.
#[must_use]
pub fn layers(
    dims: &Dims,
    granularity: Granularity,
    head: Option<(usize, bool)>,
    with_text: bool,
) -> Vec<Layer> {
    let mut tensors = dims.image_tensors();
    tensors.retain(|(name, _)| !resnet::is_statistic(name));
    if let Some((classes, bias)) = head {
        tensors.push((HEAD_WEIGHT.into(), vec![classes, dims.embed]));
        if bias {
            tensors.push((HEAD_BIAS.into(), vec![classes]));
        }
    }
    let mut all = group(tensors, granularity);
    if with_text {
        all.extend(group(dims.text_tensors(), granularity));
    }
    all
}

/// Groups of one tower, stem first, head last.
fn group(tensors: Vec<Expected>, granularity: Granularity) -> Vec<Layer> {
    let mut placed: Vec<((usize, usize), Layer)> = Vec::new();
    for (name, shape) in tensors {
        let (order, layer) = place(&name, granularity);
        let parameters = shape.iter().map(|&d| d as u64).product::<u64>();
        match placed.iter_mut().find(|(_, known)| known.name == layer) {
            Some((_, known)) => {
                known.tensors.push(name);
                known.parameters += parameters;
            }
            None => {
                placed.push((order, Layer { name: layer, tensors: vec![name], parameters }));
            }
        }
    }
    placed.sort_by_key(|(order, _)| *order);
    placed.into_iter().map(|(_, layer)| layer).collect()
}

/// Order in the forward pass, and name, of the layer a tensor belongs to.
fn place(tensor: &str, granularity: Granularity) -> ((usize, usize), String) {
    let (text, inner) = match tensor.strip_prefix("visual.") {
        Some(inner) => ("", inner),
        None if is_head(tensor) => ("", tensor),
        None => ("text.", tensor),
    };
    if text.is_empty()
        && let Some(placed) = resnet_place(inner)
    {
        return match granularity {
            Granularity::Tensor => (placed.0, tensor.into()),
            _ => placed,
        };
    }
    let block = inner
        .strip_prefix("transformer.resblocks.")
        .and_then(|rest| rest.split_once('.'))
        .and_then(|(index, rest)| Some((index.parse::<usize>().ok()?, rest)));
    let (order, name) = match block {
        Some((index, rest)) => {
            let attention = rest.starts_with("ln_1.") || rest.starts_with("attn.");
            let module = if attention { "attn" } else { "mlp" };
            let order = (index.saturating_add(1), usize::from(!attention));
            match granularity {
                Granularity::Block => ((order.0, 0), format!("block.{index}")),
                _ => (order, format!("block.{index}.{module}")),
            }
        }
        None if is_head(tensor)
            || inner.starts_with("ln_post.")
            || inner.starts_with("ln_final.")
            || matches!(inner, "proj" | "text_projection") =>
        {
            ((usize::MAX, 0), "head".into())
        }
        None => ((0, 0), "stem".into()),
    };
    match granularity {
        Granularity::Tensor => (order, tensor.into()),
        _ => (order, format!("{text}{name}")),
    }
}

/// As [`place`], of what only ResNets have; the stem is named as a ViT's.
fn resnet_place(inner: &str) -> Option<((usize, usize), String)> {
    if inner.starts_with("attnpool.") {
        return Some(((usize::MAX - 1, 0), "attnpool".into()));
    }
    let (stage, block, _) = resnet::block_of(inner)?;
    Some(((stage, block), format!("layer{stage}.{block}")))
}

/// How far a group of parameters moved.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize)]
pub struct Distance {
    /// ‖θ₁ − θ₀‖₂.
    pub moved: f64,
    /// ‖θ₀‖₂.
    pub norm: f64,
    /// Values that are NaN or infinite at either end; they are left out.
    pub not_finite: u64,
}

impl Distance {
    /// ‖θ₁ − θ₀‖₂ / ‖θ₀‖₂; `None` when θ₀ is all zeros or a value is not finite.
    #[must_use]
    pub fn relative(self) -> Option<f64> {
        (self.norm > 0.0 && self.not_finite == 0).then(|| self.moved / self.norm)
    }

    /// Of two disjoint groups as one.
    #[must_use]
    pub fn together(self, other: Self) -> Self {
        Self {
            moved: self.moved.hypot(other.moved),
            norm: self.norm.hypot(other.norm),
            not_finite: self.not_finite + other.not_finite,
        }
    }
}

/// How far the tensors moved between two ends, together; accumulated in
/// float64. Tensors that an end lacks are left out; `None` when all are.
pub fn distance<'a>(
    tensors: &[String],
    from: impl Fn(&str) -> Option<TensorView<'a>> + Sync,
    to: impl Fn(&str) -> Option<TensorView<'a>> + Sync,
) -> Option<Distance> {
    let sums = tensors
        .par_iter()
        .filter_map(|name| Some(squares(&from(name)?, &to(name)?)))
        .reduce_with(|a, b| (a.0 + b.0, a.1 + b.1, a.2 + b.2))?;
    Some(Distance { moved: sums.0.sqrt(), norm: sums.1.sqrt(), not_finite: sums.2 })
}

/// Sums of squares of the difference and of the first, and how many values
/// were not finite.
fn squares(a: &TensorView<'_>, b: &TensorView<'_>) -> (f64, f64, u64) {
    // Many sums side by side, so that a processor adds several at once.
    const SIDE_BY_SIDE: usize = 8;
    let (mut moved, mut norm) = ([0.0_f64; SIDE_BY_SIDE], [0.0_f64; SIDE_BY_SIDE]);
    let mut bad = 0;
    a.zip_runs_f32(b, |xs, ys| {
        for (xs, ys) in xs.chunks(SIDE_BY_SIDE).zip(ys.chunks(SIDE_BY_SIDE)) {
            for (at, (x, y)) in xs.iter().zip(ys).enumerate() {
                // What is not finite is counted, and adds nothing.
                let fine = x.is_finite() & y.is_finite();
                let (x, y) = if fine { (f64::from(*x), f64::from(*y)) } else { (0.0, 0.0) };
                moved[at] += (y - x) * (y - x);
                norm[at] += x * x;
                bad += u64::from(!fine);
            }
        }
        true
    });
    (moved.iter().sum(), norm.iter().sum(), bad)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::arch::{ImageDims, TextDims};
    use std::borrow::Cow;

    fn dims() -> Dims {
        Dims {
            image: ImageDims {
                patch: 4,
                grid: 2,
                width: 6,
                layers: 11,
                mlp_width: 24,
                resnet: None,
            },
            text: Some(TextDims { context: 7, vocab: 30, width: 4, layers: 2, mlp_width: 16 }),
            embed: 5,
        }
    }

    #[test]
    fn blocks_follow_the_forward_pass_by_number_not_by_letter() {
        let all = layers(&dims(), Granularity::Block, Some((3, true)), true);
        let names: Vec<_> = all.iter().map(|layer| layer.name.as_str()).collect();
        assert_eq!(names[..4], ["stem", "block.0", "block.1", "block.2"]);
        assert_eq!(names[11..14], ["block.10", "head", "text.stem"]);
        assert_eq!(names[14..], ["text.block.0", "text.block.1", "text.head"]);
        // ln_post 2·6, projection 6·5, head 3·5 + 3.
        assert_eq!(all[12].parameters, 12 + 30 + 18);
        // Positions 5·6, class 6, convolution 6·3·4·4, ln_pre 2·6.
        assert_eq!(all[0].parameters, 30 + 6 + 288 + 12);
        // 12 W² + 13 W for an MLP of 4 W.
        assert_eq!(all[1].parameters, 12 * 36 + 13 * 6);
    }

    #[test]
    fn every_granularity_covers_every_tensor_once() {
        let dims = dims();
        let mut expected: Vec<String> =
            dims.image_tensors().into_iter().chain(dims.text_tensors()).map(|(n, _)| n).collect();
        expected.sort();
        for granularity in [Granularity::Block, Granularity::Module, Granularity::Tensor] {
            let all = layers(&dims, granularity, None, true);
            let mut got: Vec<String> = all.iter().flat_map(|l| l.tensors.clone()).collect();
            got.sort();
            assert_eq!(got, expected);
            let parameters: u64 = all.iter().map(|l| l.parameters).sum();
            let direct: usize = dims
                .image_tensors()
                .iter()
                .chain(&dims.text_tensors())
                .map(|(_, shape)| shape.iter().product::<usize>())
                .sum();
            assert_eq!(parameters, direct as u64);
        }
        let modules = layers(&dims, Granularity::Module, None, false);
        assert_eq!(modules[1].name, "block.0.attn");
        assert_eq!(modules[2].name, "block.0.mlp");
    }

    #[test]
    fn a_resnets_blocks_are_its_layers_and_statistics_are_in_none() {
        let image = ImageDims {
            patch: 32,
            grid: 2,
            width: 8,
            layers: 14,
            mlp_width: 256,
            resnet: Some([1, 11, 1, 1]),
        };
        let dims = Dims { image, text: None, embed: 5 };
        let all = layers(&dims, Granularity::Block, Some((3, false)), false);
        let names: Vec<_> = all.iter().map(|layer| layer.name.as_str()).collect();
        assert_eq!(names[..4], ["stem", "layer1.0", "layer2.0", "layer2.1"]);
        assert_eq!(names[12..], ["layer2.10", "layer3.0", "layer4.0", "attnpool", "head"]);
        // Three convolutions and their norms' weights and biases.
        assert_eq!(all[0].parameters, 9 * (4 * 3 + 4 * 4 + 8 * 4) + 2 * (4 + 4 + 8));
        // 8 planes of 8 channels, 4·8 of them out; a downsample beside.
        assert_eq!(all[1].parameters, 64 + 9 * 64 + 256 + 256 + 2 * (8 + 8 + 32 + 32));
        let tensors: Vec<&String> = all.iter().flat_map(|layer| &layer.tensors).collect();
        let statistics = dims.image_tensors().iter().filter(|t| resnet::is_statistic(&t.0)).count();
        assert_eq!(statistics, 2 * (3 + 3 * 14 + 4));
        assert_eq!(tensors.len(), dims.image_tensors().len() - statistics + 1);
        assert_eq!(layers(&dims, Granularity::Module, None, false)[1].name, "layer1.0");
    }

    #[test]
    fn distance_is_the_norm_of_all_tensors_together() {
        let view = |values: &[f32]| {
            let bytes: Vec<u8> = values.iter().flat_map(|x| x.to_le_bytes()).collect();
            TensorView::new(crate::checkpoint::Dtype::F32, vec![values.len()], Cow::Owned(bytes))
        };
        let from = |name: &str| view(if name == "a" { &[3.0, 0.0] } else { &[4.0] });
        let to = |name: &str| view(if name == "a" { &[3.0, 6.0] } else { &[12.0] });
        let both = distance(&["a".into(), "b".into()], from, to).unwrap();
        assert_eq!((both.moved, both.norm, both.relative()), (10.0, 5.0, Some(2.0)));
        let nothing = distance(&["a".into()], |_| None, to);
        assert_eq!(nothing, None);
        let zero = distance(&["b".into()], |_| view(&[0.0]), to).unwrap();
        assert_eq!(zero.relative(), None, "no base to compare with");
        let broken = distance(&["b".into()], |_| view(&[f32::NAN]), to).unwrap();
        assert_eq!((broken.relative(), broken.not_finite), (None, 1));
    }
}
