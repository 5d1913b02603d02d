//! Where in the forward pass a tensor is read first.

use crate::checkpoint::names::is_head;

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

/// Finds it by the tensor's canonical name; `image` and `text` are the towers' blocks.
#[must_use]
pub fn place(tensor: &str, image: usize, text: usize) -> Place {
    if is_head(tensor) {
        return Place::StoredHead;
    }
    let (inner, blocks) = match tensor.strip_prefix("visual.") {
        Some(inner) => (inner, image),
        None => (tensor, text),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_follow_the_forward_pass() {
        let at = |name| place(name, 12, 3);
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
