//! Hugging Face's names, in both directions, from one set of tables.

use super::{HUGGING_FACE_ANCHOR, OPEN_CLIP_ANCHOR, is_head};

/// Whole tensors: theirs, ours.
const WHOLE: [(&str, &str); 6] = [
    ("vision_model.embeddings.class_embedding", "visual.class_embedding"),
    ("vision_model.embeddings.position_embedding.weight", "visual.positional_embedding"),
    (HUGGING_FACE_ANCHOR, OPEN_CLIP_ANCHOR),
    ("text_model.embeddings.token_embedding.weight", "token_embedding.weight"),
    ("text_model.embeddings.position_embedding.weight", "positional_embedding"),
    ("logit_scale", "logit_scale"),
];

/// Projections, with rows and columns swapped.
const TRANSPOSED: [(&str, &str); 2] =
    [("visual_projection.weight", "visual.proj"), ("text_projection.weight", "text_projection")];

/// Norms outside the blocks, by what stands before `weight` and `bias`.
const NORMS: [(&str, &str); 3] = [
    ("vision_model.pre_layrnorm.", "visual.ln_pre."),
    ("vision_model.post_layernorm.", "visual.ln_post."),
    ("text_model.final_layer_norm.", "ln_final."),
];

/// Blocks, by what stands before their number.
const TOWERS: [(&str, &str); 2] = [
    ("vision_model.encoder.layers.", "visual.transformer.resblocks."),
    ("text_model.encoder.layers.", "transformer.resblocks."),
];

/// Parts of a block that are one tensor in both.
const MODULES: [(&str, &str); 5] = [
    ("layer_norm1", "ln_1"),
    ("layer_norm2", "ln_2"),
    ("self_attn.out_proj", "attn.out_proj"),
    ("mlp.fc1", "mlp.c_fc"),
    ("mlp.fc2", "mlp.c_proj"),
];

/// q, k and v, stacked in this order in `attn.in_proj_…`.
const STACKED: [&str; 3] = ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"];

/// Where one of their tensors goes.
pub(super) enum Place {
    Whole(String),
    Transposed(String),
    /// Part 0, 1 or 2 of a stack.
    Part(String, usize),
}

/// What becomes of a canonical tensor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Theirs {
    /// It is this one.
    Whole(String),
    /// Rows and columns swapped.
    Transposed(String),
    /// Cut in three along the first dimension.
    Parts([String; 3]),
}

/// Where a tensor of theirs goes; `None` for names that are not theirs.
pub(super) fn to_canonical(name: &str) -> Option<Place> {
    if let Some((_, ours)) = WHOLE.iter().find(|(theirs, _)| *theirs == name) {
        return Some(Place::Whole((*ours).into()));
    }
    if let Some((_, ours)) = TRANSPOSED.iter().find(|(theirs, _)| *theirs == name) {
        return Some(Place::Transposed((*ours).into()));
    }
    for (theirs, ours) in NORMS {
        if let Some(end) = name.strip_prefix(theirs) {
            return Some(Place::Whole(format!("{ours}{end}")));
        }
    }
    let (tower, rest) =
        TOWERS.iter().find_map(|(theirs, ours)| Some((ours, name.strip_prefix(theirs)?)))?;
    let (index, inner) = rest.split_once('.')?;
    let (module, end) = inner.rsplit_once('.')?;
    if let Some((_, ours)) = MODULES.iter().find(|(theirs, _)| *theirs == module) {
        return Some(Place::Whole(format!("{tower}{index}.{ours}.{end}")));
    }
    let part = STACKED.iter().position(|theirs| *theirs == module)?;
    Some(Place::Part(format!("{tower}{index}.attn.in_proj_{end}"), part))
}

/// What Hugging Face calls a canonical tensor; `None` where its `CLIPModel` has
/// no such tensor. A stored head keeps its name.
#[must_use]
pub fn from_canonical(name: &str) -> Option<Theirs> {
    if is_head(name) {
        return Some(Theirs::Whole(name.into()));
    }
    if let Some((theirs, _)) = WHOLE.iter().find(|(_, ours)| *ours == name) {
        return Some(Theirs::Whole((*theirs).into()));
    }
    if let Some((theirs, _)) = TRANSPOSED.iter().find(|(_, ours)| *ours == name) {
        return Some(Theirs::Transposed((*theirs).into()));
    }
    for (theirs, ours) in NORMS {
        if let Some(end) = name.strip_prefix(ours) {
            return Some(Theirs::Whole(format!("{theirs}{end}")));
        }
    }
    let (tower, rest) =
        TOWERS.iter().find_map(|(theirs, ours)| Some((theirs, name.strip_prefix(ours)?)))?;
    let (index, inner) = rest.split_once('.')?;
    if let Some(end) = inner.strip_prefix("attn.in_proj_") {
        return Some(Theirs::Parts(STACKED.map(|part| format!("{tower}{index}.{part}.{end}"))));
    }
    let (module, end) = inner.rsplit_once('.')?;
    let (theirs, _) = MODULES.iter().find(|(_, ours)| *ours == module)?;
    Some(Theirs::Whole(format!("{tower}{index}.{theirs}.{end}")))
}
