//! Which of a file's models is taken: by what stands before the names of
//! image towers.

use std::collections::{BTreeMap, BTreeSet};

use super::{Dialect, HUGGING_FACE_ANCHOR, OPEN_CLIP_ANCHOR, is_text};

/// The image tower whose CLIP is taken.
pub(super) struct Tower<'a> {
    pub(super) dialect: Dialect,
    pub(super) prefix: &'a str,
    /// Prefixes of the towers that are not.
    pub(super) others: Vec<String>,
}

/// Most CLIPs that are weighed against each other.
pub(super) const MAX_TOWERS: usize = 64;

/// Why no model of a file is taken.
#[derive(Debug)]
pub enum Unfit {
    /// It holds no CLIP, or several that nothing distinguishes; the message says what.
    NotClip(String),
    /// It holds CLIPs, but none under the prefix asked for; the message says where
    /// they are, and what to write.
    NotThere(String),
}

impl From<String> for Unfit {
    fn from(message: String) -> Self {
        Self::NotClip(message)
    }
}

/// Chooses among the CLIPs of a file, by what stands before the patch
/// embedding's name.
pub(super) fn choose<'a>(names: &[&'a str], select: Option<&str>) -> Result<Tower<'a>, Unfit> {
    let mut towers: BTreeSet<(&'a str, bool)> = BTreeSet::new();
    for name in names {
        for (anchor, hugging_face) in [(OPEN_CLIP_ANCHOR, false), (HUGGING_FACE_ANCHOR, true)] {
            if let Some(prefix) = name.strip_suffix(anchor)
                && (prefix.is_empty() || prefix.ends_with('.'))
            {
                towers.insert((prefix, hugging_face));
            }
        }
    }
    if let Some(pool) = siglips_pool(names) {
        let text = format!(
            "it is a SigLIP model (its image tower has the pool `{}`): the sigmoid head and that \
             pool are not supported, only CLIPs can be measured",
            shorten(pool)
        );
        return Err(text.into());
    }
    if towers.is_empty() {
        return Err(no_tower(names).into());
    }
    if towers.len() > MAX_TOWERS {
        let text = format!("it holds {} image towers, more than {MAX_TOWERS}", towers.len());
        return Err(text.into());
    }
    // Most tensors first, then raw weights before their moving average.
    let mut ranked: Vec<_> = towers
        .into_iter()
        .map(|(prefix, hugging_face)| {
            let parts = names.iter().filter_map(|name| name.strip_prefix(prefix));
            let size = parts.filter(|part| clip_shaped(part)).count();
            (std::cmp::Reverse(size), averaged(prefix), prefix, hugging_face)
        })
        .collect();
    ranked.sort();
    if let Some(select) = select {
        let asked = |prefix: &str| {
            prefix.strip_prefix(select).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        let there: Vec<&str> = ranked.iter().map(|tower| tower.2.trim_end_matches('.')).collect();
        ranked.retain(|tower| asked(tower.2));
        if ranked.is_empty() {
            return Err(Unfit::NotThere(match there[..] {
                [""] => format!("its one model has no prefix: leave `#{select}` out"),
                _ => format!(
                    "there are {}: write `FILE#PREFIX` with one of them",
                    there.iter().map(|prefix| format!("`{prefix}`")).collect::<Vec<_>>().join(", ")
                ),
            }));
        }
    } else if let [first, second, ..] = ranked.as_slice()
        && (first.0, first.1) == (second.0, second.1)
    {
        let prefixes: Vec<_> = ranked.iter().map(|(.., p, _)| format!("`{p}`")).collect();
        let text = format!(
            "it holds {} image towers, under the prefixes {}; write `FILE#PREFIX` for the one to \
             be measured",
            ranked.len(),
            prefixes.join(", ")
        );
        return Err(text.into());
    }
    let Some(&(.., prefix, hugging_face)) = ranked.first() else {
        return Err(no_tower(names).into());
    };
    let dialect = if hugging_face { Dialect::HuggingFace } else { Dialect::OpenClip };
    let others = match select {
        Some(_) => Vec::new(),
        None => ranked.iter().skip(1).map(|(.., prefix, _)| prefix.to_string()).collect(),
    };
    Ok(Tower { dialect, prefix, others })
}

/// A name that a CLIP's tensor has, in either dialect.
fn clip_shaped(name: &str) -> bool {
    let beginnings =
        ["visual.", "text.", "vision_model.", "text_model.", "visual_projection.", "logit_"];
    is_text(name) || beginnings.iter().any(|beginning| name.starts_with(beginning))
}

/// A prefix of exponential-moving-average weights.
fn averaged(prefix: &str) -> bool {
    prefix.split(['.', '_']).any(|word| matches!(word, "ema" | "averaged" | "swa"))
}

/// A tensor of the attention pool that SigLIP's image towers have, in either naming.
fn siglips_pool<'a>(names: &[&'a str]) -> Option<&'a str> {
    let pool = |name: &&&str| {
        name.contains("visual.trunk.attn_pool.") || name.contains("vision_model.head.attention.")
    };
    names.iter().find(pool).copied()
}

fn no_tower(names: &[&str]) -> String {
    let expected = format!(
        "there is no `{OPEN_CLIP_ANCHOR}` (open_clip naming) and no `{HUGGING_FACE_ANCHOR}` \
         (Hugging Face naming)"
    );
    if names.iter().any(|n| n.contains("visual.trunk.")) {
        return format!(
            "{expected}; its image tower is a timm model (`visual.trunk.…`), only open_clip's own \
             ViT can be measured"
        );
    }
    if let ["weight"] | ["bias", "weight"] = names {
        return "it is a linear layer alone: a head, as task_vectors keeps them? Give the image \
                encoder here and this file as `checkpoints.head`"
            .into();
    }
    let mut beginnings: BTreeMap<String, usize> = BTreeMap::new();
    for name in names {
        let two: Vec<&str> = name.split('.').take(2).collect();
        *beginnings.entry(two.join(".")).or_default() += 1;
    }
    let mut beginnings: Vec<_> = beginnings.into_iter().collect();
    beginnings.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    let shown: Vec<String> = beginnings
        .iter()
        .take(8)
        .map(|(name, count)| format!("`{}` ({count})", shorten(name)))
        .collect();
    let more = if beginnings.len() > shown.len() { ", …" } else { "" };
    match names.len() {
        0 => format!("{expected}; it holds no tensors at all"),
        1 => format!("{expected}; its one tensor begins with {}", shown.join(", ")),
        n => format!("{expected}; its {n} tensors begin with {}{more}", shown.join(", ")),
    }
}

pub(super) fn shorten(name: &str) -> String {
    match name.char_indices().nth(60) {
        Some((cut, _)) => format!("{}…", &name[..cut]),
        None => name.to_string(),
    }
}
