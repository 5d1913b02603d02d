//! OpenAI's ResNets as image towers: a stem of three convolutions, four stages of bottleneck blocks
//! with average pools where they shrink, attention over the last grid as the pool.
//!
//! | name | shape |
//! | --- | --- |
//! | `visual.conv1.weight` | \[W/2, 3, 3, 3\] |
//! | `visual.conv2.weight`, `visual.conv3.weight` | \[W/2, W/2, 3, 3\], \[W, W/2, 3, 3\] |
//! | `visual.bn1`, `bn2`, `bn3` | BatchNorm of W/2, W/2 and W channels |
//! | `visual.layerS.i.…` | a block of P = W·2^(S − 1) planes that reads C channels |
//! | `visual.attnpool.positional_embedding` | \[G² + 1, 32 W\] |
//! | `visual.attnpool.{q,k,v}_proj.{weight,bias}` | \[32 W, 32 W\], \[32 W\] |
//! | `visual.attnpool.c_proj.{weight,bias}` | \[E, 32 W\], \[E\] |
//!
//! A block has `conv1.weight` \[P, C, 1, 1\], `conv2.weight` \[P, P, 3, 3\], `conv3.weight`
//! \[4 P, P, 1, 1\], a BatchNorm `bn1` … `bn3` after each; the first of a stage also
//! `downsample.0.weight` \[4 P, C, 1, 1\] and the BatchNorm `downsample.1`. A BatchNorm has
//! `weight`, `bias`, `running_mean` and `running_var`; `num_batches_tracked` is left out.

use super::arch::{Expected, ImageDims};
use super::file::Checkpoint;

/// Stages of every ResNet.
pub const STAGES: usize = 4;
/// Pixels of an image along one cell of the last grid.
pub const STRIDE: usize = 32;

/// A tensor that only a ResNet has.
pub(super) const ANCHOR: &str = "visual.layer1.0.conv1.weight";
/// Its position embedding.
pub(super) const POSITIONS: &str = "visual.attnpool.positional_embedding";
/// The projection to the embedding.
pub(super) const PROJECTION: &str = "visual.attnpool.c_proj.weight";

/// Names of a BatchNorm's statistics: no parameters, but they move along the path.
#[must_use]
pub fn is_statistic(name: &str) -> bool {
    name.starts_with("visual.")
        && (name.ends_with(".running_mean") || name.ends_with(".running_var"))
}

/// Blocks that the file has in each stage.
pub(super) fn blocks(file: &Checkpoint) -> [usize; STAGES] {
    let count = |stage: usize| super::arch::count(file, &format!("visual.layer{stage}."));
    [1, 2, 3, 4].map(count)
}

/// The stage (from 1) and block of a tensor's name without `visual.`, and the rest of the name;
/// `None` outside the stages.
#[must_use]
pub fn block_of(inner: &str) -> Option<(usize, usize, &str)> {
    let (stage, rest) = inner.strip_prefix("layer")?.split_once('.')?;
    let (block, rest) = rest.split_once('.')?;
    let stage = stage.parse().ok().filter(|stage| (1..=STAGES).contains(stage))?;
    Some((stage, block.parse().ok()?, rest))
}

/// Planes of a stage (from 1): the channels of its blocks' inner convolutions.
#[must_use]
pub fn planes(width: usize, stage: usize) -> usize {
    width.saturating_mul(1 << stage.saturating_sub(1).min(STAGES))
}

/// Channels that a block reads.
#[must_use]
pub fn reads(width: usize, stage: usize, block: usize) -> usize {
    match (stage, block) {
        (1, 0) => width,
        (_, 0) => 4 * planes(width, stage - 1),
        _ => 4 * planes(width, stage),
    }
}

/// Every tensor of the tower, with its shape.
pub(super) fn tensors(image: &ImageDims, blocks: [usize; STAGES], embed: usize) -> Vec<Expected> {
    let ImageDims { grid, width, mlp_width: wide, .. } = *image;
    let half = width / 2;
    let mut all = Vec::new();
    for (i, (out, from)) in (1..).zip([(half, 3), (half, half), (width, half)]) {
        conv(&mut all, &format!("visual.conv{i}"), [out, from, 3]);
        norm(&mut all, &format!("visual.bn{i}"), out);
    }
    for (stage, count) in (1..).zip(blocks) {
        let inner = planes(width, stage);
        for block in 0..count {
            let (at, from) = (format!("visual.layer{stage}.{block}"), reads(width, stage, block));
            let convs = [[inner, from, 1], [inner, inner, 3], [4 * inner, inner, 1]];
            for (i, shape) in (1..).zip(convs) {
                conv(&mut all, &format!("{at}.conv{i}"), shape);
                norm(&mut all, &format!("{at}.bn{i}"), shape[0]);
            }
            if block == 0 {
                conv(&mut all, &format!("{at}.downsample.0"), [4 * inner, from, 1]);
                norm(&mut all, &format!("{at}.downsample.1"), 4 * inner);
            }
        }
    }
    all.push((POSITIONS.into(), vec![grid * grid + 1, wide]));
    for (part, rows) in [("q", wide), ("k", wide), ("v", wide), ("c", embed)] {
        let at = format!("visual.attnpool.{part}_proj");
        all.push((format!("{at}.weight"), vec![rows, wide]));
        all.push((format!("{at}.bias"), vec![rows]));
    }
    all
}

/// A square kernel without a bias: channels out, channels in, side.
fn conv(all: &mut Vec<Expected>, at: &str, [out, from, side]: [usize; 3]) {
    all.push((format!("{at}.weight"), vec![out, from, side, side]));
}

fn norm(all: &mut Vec<Expected>, at: &str, channels: usize) {
    let ends = ["weight", "bias", "running_mean", "running_var"];
    all.extend(ends.map(|end| (format!("{at}.{end}"), vec![channels])));
}

/// Numbers of the largest activation of one image of `size` pixels: the stem's and the first
/// stage's are as large.
pub(super) fn widest(size: usize, width: usize) -> usize {
    (size / 2).pow(2) * width
}

/// Numbers that one image's pass keeps for a gradient: what each convolution, norm and
/// rectification reads.
pub(super) fn for_gradient(size: usize, width: usize, blocks: [usize; STAGES]) -> usize {
    let stem = 6 * width * (size / 2).pow(2);
    let stages = (1..).zip(blocks).map(|(stage, count): (usize, usize)| {
        let side = size >> (stage + 1);
        // The first block works at the larger side until its pool.
        let first = if stage > 1 { 4 } else { 1 };
        18 * planes(width, stage) * side * side * (count + first)
    });
    stem + stages.sum::<usize>()
}

/// Numbers of what the last block of a stage gives, and the stem's (stage 0).
#[must_use]
pub fn given(size: usize, width: usize, stage: usize) -> usize {
    match stage {
        0 => (size / 4).pow(2) * width,
        _ => (size >> (stage + 1)).pow(2) * 4 * planes(width, stage),
    }
}
