//! Naming dialects: what a file calls its tensors → canonical names.
//!
//! The canonical names (see [`super`]) are open_clip's, without prefixes. Two
//! dialects are understood:
//!
//! | open_clip | Hugging Face `CLIPModel` |
//! | --- | --- |
//! | `visual.class_embedding` | `vision_model.embeddings.class_embedding` |
//! | `visual.positional_embedding` | `vision_model.embeddings.position_embedding.weight` |
//! | `visual.conv1.weight` | `vision_model.embeddings.patch_embedding.weight` |
//! | `visual.ln_pre.*` | `vision_model.pre_layrnorm.*` (spelt so) |
//! | `visual.ln_post.*` | `vision_model.post_layernorm.*` |
//! | `visual.proj` | `visual_projection.weight`, transposed |
//! | `visual.transformer.resblocks.i.` | `vision_model.encoder.layers.i.` |
//! | `…ln_1.*`, `…ln_2.*` | `…layer_norm1.*`, `…layer_norm2.*` |
//! | `…attn.in_proj_weight`, `…attn.in_proj_bias` | `…self_attn.{q,k,v}_proj.{weight,bias}`, stacked in this order |
//! | `…attn.out_proj.*` | `…self_attn.out_proj.*` |
//! | `…mlp.c_fc.*`, `…mlp.c_proj.*` | `…mlp.fc1.*`, `…mlp.fc2.*` |
//! | `token_embedding.weight` | `text_model.embeddings.token_embedding.weight` |
//! | `positional_embedding` | `text_model.embeddings.position_embedding.weight` |
//! | `transformer.resblocks.i.` | `text_model.encoder.layers.i.` |
//! | `ln_final.*` | `text_model.final_layer_norm.*` |
//! | `text_projection` | `text_projection.weight`, transposed |
//! | `logit_scale` | `logit_scale` |
//!
//! Wrappers put a prefix before every name (`state_dict.`, `module.`, `model.`,
//! `image_encoder.model.`): it is what stands before the patch embedding's
//! name, and is taken off; `_orig_mod.` is taken off anywhere. Where a file
//! holds several models the one with most tensors counts, raw weights before
//! their moving average. What is not under the prefix (an optimizer's state)
//! is left out; but a linear head may hang on any part of the prefix
//! and may be called `head.*` or `classification_head.*`. open_clip's custom
//! text towers put `text.` before the text tower's names.

mod bare;
mod choose;
pub mod hugging_face;

use crate::plural::{counted, either};
use std::collections::BTreeMap;

pub use choose::Unfit;
use choose::{Tower, choose, shorten};
use hugging_face::{Place, to_canonical};

/// Who named the tensors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Dialect {
    /// OpenAI's and open_clip's names.
    OpenClip,
    /// Hugging Face transformers' `CLIPModel`.
    HuggingFace,
}

impl std::fmt::Display for Dialect {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::OpenClip => "open_clip",
            Self::HuggingFace => "Hugging Face",
        })
    }
}

/// How a canonical tensor is made of the file's own (named as in the file).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recipe {
    /// It is this one.
    One(String),
    /// Rows and columns swapped.
    Transposed(String),
    /// These three, stacked along the first dimension.
    Stacked([String; 3]),
}

/// The result of naming a file's tensors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    /// Who named them.
    pub dialect: Dialect,
    /// What stood before every name, with its final dot; empty for nothing.
    pub prefix: String,
    /// By canonical name.
    pub recipes: BTreeMap<String, Recipe>,
    /// Buffers and leftovers that are no parameters of the towers.
    pub ignored: Vec<String>,
    /// Tensors that are not under the prefix: how many, by the first part of
    /// their names.
    pub outside: BTreeMap<String, usize>,
    /// Prefixes of other models in the file.
    pub others: Vec<String>,
    /// True where parts of a text tower lie there without its transformer.
    pub leftover_text: bool,
}

impl Names {
    /// Leaves out tensors that are no part of a CLIP and of which `skip` says
    /// so, by the file's own name.
    pub fn ignore(&mut self, skip: impl Fn(&str) -> bool) {
        let ours =
            |name: &str| is_image(name) || is_text(name) || is_head(name) || name == "logit_scale";
        let ignored = &mut self.ignored;
        self.recipes.retain(|name, recipe| {
            let gone = !ours(name) && recipe.sources().iter().all(|source| skip(source));
            if gone {
                ignored.extend(recipe.sources().into_iter().map(str::to_string));
            }
            !gone
        });
    }

    /// What a person should know of the choice.
    #[must_use]
    pub fn notices(&self) -> Vec<String> {
        let mut notices = Vec::new();
        let quoted = |prefix: &str| match prefix.strip_suffix('.') {
            Some(bare) => format!("`{bare}`"),
            None => "no prefix".into(),
        };
        if let Some(other) = self.others.first() {
            notices.push(format!(
                "it holds {} models: the one under {} is used, not {}; for another write \
                 `FILE#{}`",
                self.others.len() + 1,
                quoted(&self.prefix),
                self.others.iter().map(|other| quoted(other)).collect::<Vec<_>>().join(", "),
                other.trim_end_matches('.')
            ));
        }
        let outside: BTreeMap<_, _> = self
            .outside
            .iter()
            .filter(|(name, _)| !self.others.iter().any(|p| p.split('.').next() == Some(name)))
            .collect();
        if !outside.is_empty() {
            let total: usize = outside.values().copied().sum();
            let list: Vec<_> = outside
                .iter()
                .take(6)
                .map(|(name, n)| format!("`{}` ({n})", shorten(name)))
                .collect();
            let more = if outside.len() > list.len() { ", …" } else { "" };
            notices.push(format!(
                "{} outside {} {} left out: {}{more}",
                counted(total, "tensor"),
                quoted(&self.prefix),
                either(&total, "is", "are"),
                list.join(", ")
            ));
        }
        notices
    }
}

/// Canonical name of a stored head's weight, \[C, E\].
pub const HEAD_WEIGHT: &str = "classification_head.weight";
/// Canonical name of a stored head's bias, \[C\].
pub const HEAD_BIAS: &str = "classification_head.bias";

const OPEN_CLIP_ANCHOR: &str = "visual.conv1.weight";
const HUGGING_FACE_ANCHOR: &str = "vision_model.embeddings.patch_embedding.weight";

/// Buffers and scalars that are derived or described elsewhere.
const BUFFERS: [&str; 6] = [
    "attn_mask",
    "position_ids",
    "input_resolution",
    "context_length",
    "vocab_size",
    "num_batches_tracked",
];

/// What torch's compiler and wrappers put into names, anywhere.
const WRAPPERS: [&str; 3] = ["_orig_mod.", "_fsdp_wrapped_module.", "_checkpoint_wrapped_module."];

/// Gives every tensor of a file its canonical name. Names under the prefix
/// that belong to neither dialect are kept as they are: who checks the
/// architecture reports them. `select` asks for the model under that prefix.
///
/// # Errors
/// Where the file holds no image tower, several that nothing distinguishes, none
/// under that prefix, or two tensors of the same canonical name.
pub fn canonical<'a>(
    names: impl IntoIterator<Item = &'a str>,
    select: Option<&str>,
) -> Result<Names, Unfit> {
    // By the name without wrappers: the file's own.
    let mut files: BTreeMap<String, &'a str> = BTreeMap::new();
    for name in names {
        let plain = WRAPPERS.iter().fold(name.to_string(), |n, wrapper| n.replace(wrapper, ""));
        if let Some(first) = files.insert(plain, name) {
            let text = format!("`{first}` and `{name}` differ in wrappers only; remove one");
            return Err(text.into());
        }
    }
    let files = bare::completed(files);
    let names: Vec<&str> = files.keys().map(String::as_str).collect();
    let Tower { dialect, prefix, others } = choose(&names, select)?;
    let mut found = Names {
        dialect,
        prefix: prefix.to_string(),
        recipes: BTreeMap::new(),
        ignored: Vec::new(),
        outside: BTreeMap::new(),
        others,
        leftover_text: false,
    };
    // After the prefix; a head also after each of its beginnings, longest first.
    let beginnings: Vec<&str> =
        std::iter::successors((!prefix.is_empty()).then_some(prefix), |p| {
            let inner = p.strip_suffix('.')?;
            inner.rfind('.').map(|dot| &p[..=dot])
        })
        .chain([""])
        .collect();
    let mut stacks: BTreeMap<String, [Option<String>; 3]> = BTreeMap::new();
    for (plain, &name) in &files {
        let head = || {
            let mut ends = beginnings.iter().filter_map(|start| plain.strip_prefix(start));
            ends.find(|end| stored_head(end).is_some())
        };
        let Some(own) = plain.strip_prefix(prefix).or_else(head) else {
            let first = plain.split('.').next().unwrap_or_default();
            *found.outside.entry(first.to_string()).or_default() += 1;
            continue;
        };
        if own.rsplit('.').next().is_some_and(|last| BUFFERS.contains(&last)) {
            found.ignored.push(name.to_string());
            continue;
        }
        let place = match dialect {
            Dialect::OpenClip => Place::Whole(open_clip(own)),
            Dialect::HuggingFace => match stored_head(own) {
                Some(head) => Place::Whole(head.into()),
                None => to_canonical(own).unwrap_or_else(|| Place::Whole(own.into())),
            },
        };
        let (canonical, recipe) = match place {
            Place::Whole(canonical) => (canonical, Recipe::One(name.to_string())),
            Place::Transposed(canonical) => (canonical, Recipe::Transposed(name.to_string())),
            Place::Part(canonical, part) => {
                stacks.entry(canonical).or_default()[part] = Some(name.to_string());
                continue;
            }
        };
        if let Some(first) = found.recipes.insert(canonical.clone(), recipe) {
            let text = format!(
                "two of its tensors are both `{canonical}`: {} and {name}; remove one",
                first.sources().join(", ")
            );
            return Err(text.into());
        }
    }
    for (canonical, parts) in stacks {
        match parts {
            [Some(q), Some(k), Some(v)] => {
                found.recipes.insert(canonical, Recipe::Stacked([q, k, v]));
            }
            // A part is missing: the others stay under their own names, so that they are
            // listed beside the missing whole.
            parts => {
                for name in parts.into_iter().flatten() {
                    found.recipes.insert(name.clone(), Recipe::One(name));
                }
            }
        }
    }
    drop_leftover_text(&mut found);
    Ok(found)
}

impl Recipe {
    /// The file's own names it is made of.
    #[must_use]
    pub fn sources(&self) -> Vec<&str> {
        match self {
            Self::One(name) | Self::Transposed(name) => vec![name],
            Self::Stacked(names) => names.iter().map(String::as_str).collect(),
        }
    }
}

/// A stored head's canonical name, of what wrappers call it.
fn stored_head(name: &str) -> Option<&'static str> {
    match name {
        "head.weight" | "classification_head.weight" => Some(HEAD_WEIGHT),
        "head.bias" | "classification_head.bias" => Some(HEAD_BIAS),
        _ => None,
    }
}

fn open_clip(name: &str) -> String {
    if let Some(head) = stored_head(name) {
        return head.into();
    }
    match name.strip_prefix("text.") {
        Some(text) if is_text(text) => text.into(),
        _ => name.into(),
    }
}

/// A canonical name of the text tower.
#[must_use]
pub fn is_text(name: &str) -> bool {
    name.starts_with("transformer.")
        || name.starts_with("ln_final.")
        || matches!(name, "positional_embedding" | "text_projection" | "token_embedding.weight")
}

/// A canonical name of the image tower.
#[must_use]
pub fn is_image(name: &str) -> bool {
    name.starts_with("visual.")
}

/// A canonical name of a stored head.
#[must_use]
pub fn is_head(name: &str) -> bool {
    name == HEAD_WEIGHT || name == HEAD_BIAS
}

/// WiSE-FT and model soups delete the text transformer but keep its
/// embeddings: without the transformer they are nothing.
fn drop_leftover_text(found: &mut Names) {
    if found.recipes.keys().any(|name| name.starts_with("transformer.")) {
        return;
    }
    let leftover: Vec<String> =
        found.recipes.keys().filter(|name| is_text(name)).cloned().collect();
    for name in leftover {
        if let Some(recipe) = found.recipes.remove(&name) {
            found.ignored.extend(recipe.sources().into_iter().map(str::to_string));
            found.leftover_text = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_come_off_and_heads_hang_anywhere() {
        for (prefix, head) in [
            ("", "head."),
            ("", "classification_head."),
            ("module.", "module.classification_head."),
            ("image_encoder.model.", "classification_head."),
            ("module.image_encoder.model.", "module.classification_head."),
            ("model.", "classification_head."),
        ] {
            let names = [
                format!("{prefix}visual.conv1.weight"),
                format!("{prefix}visual.proj"),
                format!("{prefix}logit_scale"),
                format!("{prefix}attn_mask"),
                format!("{head}weight"),
            ];
            let found = canonical(names.iter().map(String::as_str), None).unwrap();
            assert_eq!(found.prefix, prefix);
            let keys: Vec<_> = found.recipes.keys().map(String::as_str).collect();
            assert_eq!(keys, [HEAD_WEIGHT, "logit_scale", "visual.conv1.weight", "visual.proj"]);
            assert_eq!(found.ignored, [format!("{prefix}attn_mask")]);
        }
    }

    #[test]
    fn text_embeddings_without_a_transformer_are_left_over() {
        let names =
            ["model.visual.conv1.weight", "model.token_embedding.weight", "model.ln_final.bias"];
        let found = canonical(names, None).unwrap();
        assert!(found.leftover_text && found.recipes.len() == 1 && found.ignored.len() == 2);
    }

    #[test]
    fn custom_text_towers_lose_their_prefix() {
        let names = [
            "visual.conv1.weight",
            "text.transformer.resblocks.0.ln_1.weight",
            "text.token_embedding.weight",
            "text.text_projection",
        ];
        let found = canonical(names, None).unwrap();
        assert!(found.recipes.contains_key("transformer.resblocks.0.ln_1.weight"));
        assert!(found.recipes.contains_key("text_projection"));
    }

    #[test]
    fn what_is_no_clip_is_told_what_it_is() {
        for (names, words) in [
            (&["visual.trunk.blocks.0.attn.qkv.weight"][..], "timm"),
            (&["visual.trunk.attn_pool.latent", "logit_bias"], "SigLIP"),
            (&[HUGGING_FACE_ANCHOR, "vision_model.head.attention.in_proj_bias"], "SigLIP"),
            (&["a.visual.conv1.weight", "b.visual.conv1.weight"], "`a.`, `b.`"),
            (
                &["model.layers.0.a", "model.layers.1.b", "lm_head.weight"],
                "`model.layers` (2), `lm_head.weight` (1)",
            ),
            (
                &["head.weight", "classification_head.weight", "visual.conv1.weight"],
                "two of its tensors",
            ),
            (&[], "no tensors at all"),
        ] {
            match canonical(names.iter().copied(), None).unwrap_err() {
                Unfit::NotClip(error) => assert!(error.contains(words), "{error}"),
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn hugging_face_parts_are_stacked_in_order() {
        let names = [
            HUGGING_FACE_ANCHOR,
            "vision_model.encoder.layers.3.self_attn.v_proj.bias",
            "vision_model.encoder.layers.3.self_attn.q_proj.bias",
            "vision_model.encoder.layers.3.self_attn.k_proj.bias",
            "vision_model.encoder.layers.4.self_attn.k_proj.bias",
            "vision_model.embeddings.position_ids",
        ];
        let found = canonical(names, None).unwrap();
        assert_eq!(found.dialect, Dialect::HuggingFace);
        let stacked = &found.recipes["visual.transformer.resblocks.3.attn.in_proj_bias"];
        assert_eq!(stacked.sources(), [names[2], names[3], names[1]]);
        assert!(found.recipes.contains_key(names[4]), "a lone part keeps its name");
        assert_eq!(found.ignored, [names[5]]);
    }
}
