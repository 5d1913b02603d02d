//! Image towers saved alone, without what stands before their names in a CLIP:
//! `model.visual.state_dict()`, transformers' `CLIPVisionModel`.

use std::collections::BTreeMap;

use super::choose::MAX_TOWERS;

/// The same tensors under the names that they have in a CLIP: by name, the file's own.
pub(super) fn completed(mut files: BTreeMap<String, &str>) -> BTreeMap<String, &str> {
    for (prefix, tower) in bare_towers(&files) {
        files = files
            .into_iter()
            .map(|(plain, name)| match plain.strip_prefix(&prefix) {
                Some(rest) if in_tower(rest) => (format!("{prefix}{tower}{rest}"), name),
                _ => (plain, name),
            })
            .collect();
    }
    files
}

/// What stands before such towers in the file, and what is missing.
fn bare_towers(files: &BTreeMap<String, &str>) -> Vec<(String, &'static str)> {
    const TOWERS: [(&str, &[&str], &str); 2] = [
        ("conv1.weight", &["class_embedding", "attnpool.positional_embedding"], "visual."),
        ("embeddings.patch_embedding.weight", &["embeddings.class_embedding"], "vision_model."),
    ];
    let known = |name: &String| name.contains("visual.") || name.contains("vision_model.");
    if files.keys().any(known) {
        return Vec::new();
    }
    let mut found = Vec::new();
    for name in files.keys() {
        for (anchor, beside, tower) in TOWERS {
            if let Some(prefix) = name.strip_suffix(anchor)
                && (prefix.is_empty() || prefix.ends_with('.'))
                && beside.iter().any(|it| files.contains_key(&format!("{prefix}{it}")))
            {
                found.push((prefix.to_string(), tower));
            }
        }
    }
    // One more than are weighed against each other: refused there.
    found.truncate(MAX_TOWERS + 1);
    found
}

/// A name of an image tower alone: what lies beside it in a classifier is no part of it.
fn in_tower(rest: &str) -> bool {
    const OPEN_CLIP: [&str; 9] = [
        "conv",
        "bn",
        "layer",
        "attnpool.",
        "class_embedding",
        "positional_embedding",
        "ln_p",
        "transformer.",
        "proj",
    ];
    const HUGGING_FACE: [&str; 4] =
        ["embeddings.", "encoder.layers.", "pre_layrnorm.", "post_layernorm."];
    OPEN_CLIP.iter().chain(&HUGGING_FACE).any(|part| rest.starts_with(part))
}

#[cfg(test)]
mod tests {
    use super::super::{Dialect, HEAD_WEIGHT, canonical, is_image};

    #[test]
    fn an_image_tower_alone_may_lack_its_prefix() {
        for (prefix, beside) in
            [("", "class_embedding"), ("module.", "attnpool.positional_embedding")]
        {
            let names = ["conv1.weight", beside, "transformer.resblocks.0.ln_1.bias", "proj"];
            let names = names.map(|name| format!("{prefix}{name}"));
            let found = canonical(names.iter().map(String::as_str), None).unwrap();
            assert_eq!(found.prefix, prefix);
            assert!(found.recipes.keys().all(|name| is_image(name)), "{:?}", found.recipes);
            assert_eq!(found.recipes["visual.proj"].sources(), [names[3].as_str()]);
        }
        // A ResNet of torchvision has no attention pool.
        assert!(canonical(["conv1.weight", "fc.weight"], None).is_err());
        // transformers' own, a head beside it, and two in one file.
        let names = [
            "embeddings.patch_embedding.weight",
            "embeddings.class_embedding",
            "encoder.layers.0.mlp.fc1.bias",
            "pre_layrnorm.weight",
        ];
        let found = canonical(names, None).unwrap();
        assert_eq!(found.dialect, Dialect::HuggingFace);
        assert!(found.recipes.contains_key("visual.transformer.resblocks.0.mlp.c_fc.bias"));
        assert!(found.recipes.contains_key("visual.ln_pre.weight"));
        let names = ["conv1.weight", "class_embedding", "classification_head.weight"];
        let found = canonical(names, None).unwrap();
        assert!(found.recipes.contains_key(HEAD_WEIGHT) && found.recipes.len() == 3);
        let names = ["conv1.weight", "class_embedding"];
        let names = ["raw.", "ema."].map(|prefix| names.map(|name| format!("{prefix}{name}")));
        let names = || names.iter().flatten().map(String::as_str);
        let found = canonical(names(), None).unwrap();
        assert_eq!((found.prefix.as_str(), &found.others[..]), ("raw.", &["ema.".to_string()][..]));
        assert_eq!(canonical(names(), Some("ema")).unwrap().prefix, "ema.");
    }
}
