//! The layers of a pretended model, and which of them straggles.

use super::noise::uniform;
use crate::checkpoint::arch::{Dims, ImageDims};
use crate::checkpoint::layers::{Granularity, layers as grouped};
use crate::sweep::event::{Header, LayerInfo};
use crate::sweep::spec::Layers;

/// The layer table of a pretended ViT-B/32 with so many blocks, at every
/// granularity, for a [`Header`]. The middle block straggles: its MLP moved
/// far, and is sharp.
#[must_use]
pub fn layers(blocks: usize) -> Vec<LayerInfo> {
    let image =
        ImageDims { patch: 32, grid: 7, width: 768, layers: blocks, mlp_width: 3072, resnet: None };
    let dims = Dims { image, text: None, embed: 512 };
    let granularities = [
        (Layers::Block, Granularity::Block),
        (Layers::Module, Granularity::Module),
        (Layers::Tensor, Granularity::Tensor),
    ];
    let of = |(units, granularity)| {
        grouped(&dims, granularity, None, false).into_iter().map(move |layer| {
            let far = straggles(&layer.name, blocks);
            let usual = 0.18 + 0.06 * uniform(0, &layer.name, &[]);
            LayerInfo {
                moved: Some(if far { 1.6 } else { usual }),
                name: layer.name,
                units,
                parameters: layer.parameters,
                tensors: layer.tensors,
            }
        })
    };
    granularities.into_iter().flat_map(of).collect()
}

/// Blocks of the image tower.
pub(super) fn blocks(header: &Header) -> usize {
    let is_block =
        |layer: &&LayerInfo| layer.units == Layers::Block && layer.name.starts_with("block.");
    header.layers.iter().filter(is_block).count()
}

/// True for the middle block, its MLP, and the matrices of that.
pub(super) fn straggles(layer: &str, blocks: usize) -> bool {
    let middle = blocks / 2;
    let tensor = format!("visual.transformer.resblocks.{middle}.mlp.");
    blocks > 0
        && (layer == format!("block.{middle}")
            || layer == format!("block.{middle}.mlp")
            || (layer.starts_with(&tensor) && layer.ends_with("weight")))
}

/// How much a layer matters, compared with the usual: the straggler most, stem
/// and head a little.
pub(super) fn weight(layer: &str, blocks: usize, seed: u64) -> f64 {
    let usual = 0.85 + 0.3 * uniform(seed, layer, &[]);
    let ends = matches!(layer, "stem" | "head" | "visual.proj" | "visual.conv1.weight");
    match (straggles(layer, blocks), ends) {
        (true, _) => 9.0 * usual,
        (false, true) => 1.2 * usual,
        (false, false) => usual,
    }
}
