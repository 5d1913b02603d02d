//! Where in the forward pass a tensor is read first.

use crate::checkpoint::names::is_head;
use crate::checkpoint::{ImageTower, resnet};

/// The stage that reads a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A stage of the image tower ([`ImageTower::step`](crate::torch::clip::ImageTower::step)).
    Image(usize),
    /// A stage of the text tower ([`TextTower::step`](crate::torch::clip::TextTower::step)).
    Text(usize),
    /// Class weights stored in the checkpoint.
    StoredHead,
}

/// Finds it by the tensor's canonical name; `text` is the text tower's blocks.
#[must_use]
pub fn place(tensor: &str, image: &ImageTower, text: usize) -> Place {
    if is_head(tensor) {
        return Place::StoredHead;
    }
    let (inner, blocks) = match (tensor.strip_prefix("visual."), image.resnet) {
        (Some(inner), Some(stages)) => return Place::Image(in_resnet(inner, stages)),
        (Some(inner), None) => (inner, image.layers),
        (None, _) => (tensor, text),
    };
    let block = inner
        .strip_prefix("transformer.resblocks.")
        .and_then(|rest| rest.split_once('.'))
        .and_then(|(index, rest)| Some((index.parse::<usize>().ok()?, rest)));
    let last = matches!(inner, "proj" | "text_projection")
        || inner.starts_with("ln_post.")
        || inner.starts_with("ln_final.");
    let stage = match block {
        Some((index, rest)) => {
            let attention = rest.starts_with("ln_1.") || rest.starts_with("attn.");
            1 + 2 * index + usize::from(!attention)
        }
        None if last => 2 * blocks + 1,
        None => 0,
    };
    if tensor.starts_with("visual.") { Place::Image(stage) } else { Place::Text(stage) }
}

fn in_resnet(inner: &str, stages: [usize; resnet::STAGES]) -> usize {
    if inner.starts_with("attnpool.") {
        return 1 + stages.iter().sum::<usize>();
    }
    match resnet::block_of(inner) {
        Some((stage, block, _)) => 1 + stages.iter().take(stage - 1).sum::<usize>() + block,
        None => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tower(layers: usize, resnet: Option<[usize; 4]>) -> ImageTower {
        ImageTower {
            size: 64,
            patch: 32,
            grid: 2,
            width: 64,
            layers,
            heads: 1,
            mlp_width: 2048,
            resnet,
        }
    }

    #[test]
    fn a_resnets_blocks_are_stages() {
        let tower = tower(16, Some([3, 4, 6, 3]));
        let at = |name| place(name, &tower, 3);
        assert_eq!(at("visual.conv3.weight"), Place::Image(0));
        assert_eq!(at("visual.bn1.running_var"), Place::Image(0));
        assert_eq!(at("visual.layer1.0.conv1.weight"), Place::Image(1));
        assert_eq!(at("visual.layer2.0.downsample.1.bias"), Place::Image(4));
        assert_eq!(at("visual.layer4.2.bn3.weight"), Place::Image(16));
        assert_eq!(at("visual.attnpool.c_proj.bias"), Place::Image(17));
        assert_eq!(at("text_projection"), Place::Text(7));
    }

    #[test]
    fn stages_follow_the_forward_pass() {
        let tower = tower(12, None);
        let at = |name| place(name, &tower, 3);
        assert_eq!(at("visual.conv1.weight"), Place::Image(0));
        assert_eq!(at("visual.ln_pre.bias"), Place::Image(0));
        assert_eq!(at("visual.transformer.resblocks.0.ln_1.weight"), Place::Image(1));
        assert_eq!(at("visual.transformer.resblocks.11.attn.in_proj_weight"), Place::Image(23));
        assert_eq!(at("visual.transformer.resblocks.11.ln_2.bias"), Place::Image(24));
        assert_eq!(at("visual.transformer.resblocks.11.mlp.c_proj.bias"), Place::Image(24));
        assert_eq!(at("visual.proj"), Place::Image(25));
        assert_eq!(at("token_embedding.weight"), Place::Text(0));
        assert_eq!(at("positional_embedding"), Place::Text(0));
        assert_eq!(at("transformer.resblocks.2.mlp.c_fc.weight"), Place::Text(6));
        assert_eq!(at("ln_final.weight"), Place::Text(7));
        assert_eq!(at("text_projection"), Place::Text(7));
        assert_eq!(at("classification_head.bias"), Place::StoredHead);
    }
}
