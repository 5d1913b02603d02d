//! Everything that can be wrong with a file or a pair, and what is said then.

use std::path::Path;

use alphascope::checkpoint::arch::Source;
use alphascope::checkpoint::config::ModelConfig;
use alphascope::checkpoint::{
    Checkpoint, End, LogitScale, Overrides, Pair, describe, describe_pair,
};
use alphascope::sweep::spec::Activation;
use proptest::prelude::*;
use tempfile::TempDir;

use crate::files::{Tensor, fixture, tensors, write};

#[test]
fn heads_that_nothing_tells_are_asked_for() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("zs.safetensors");
    std::fs::copy(fixture("pair/zeroshot.safetensors"), &path).unwrap();
    let error = Pair::open(&path, &path, &Overrides::default()).unwrap_err().to_string();
    assert!(error.contains("heads of its image tower (width 16)"), "{error}");
    assert!(error.contains("`architecture`"), "{error}");
    let description = describe(&path).unwrap();
    assert!(description.architecture.is_none() && description.problem.is_some());
    assert!(description.to_string().contains("? heads"));

    let config = fixture("pair/open_clip_config.json").to_string_lossy().into_owned();
    let mut overrides = Overrides { architecture: Some(config), ..Overrides::default() };
    let pair = Pair::open(&path, &path, &overrides).unwrap();
    assert_eq!(pair.architecture.sources.heads, Source::Spec);
    assert_eq!(pair.architecture.image.heads, 2);
    assert!(pair.notices.iter().any(|n| n.contains("same file")));
    overrides.activation = Some(Activation::QuickGelu);
    overrides.logit_scale = Some(50.0);
    let pair = Pair::open(&path, &path, &overrides).unwrap();
    assert_eq!(pair.architecture.activation, Activation::QuickGelu);
    assert_eq!(pair.architecture.sources.activation, Source::Spec);
    assert_eq!(pair.logit_scale, LogitScale::fixed(50.0));
    for (scale, words) in [(0.0, "got 0"), (f64::NAN, "got NaN")] {
        overrides.logit_scale = Some(scale);
        let error = Pair::open(&path, &path, &overrides).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
    for (architecture, words) in [
        ("ViT-B-32", "the file has image width 16 (configured 768)"),
        ("ViT-X-99", "one of ViT-S-32, "),
        ("/nowhere/config.json", "/nowhere/config.json"),
    ] {
        let overrides =
            Overrides { architecture: Some(architecture.into()), ..Overrides::default() };
        let error = Pair::open(&path, &path, &overrides).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn configurations_that_do_not_fit_or_ask_for_more() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("zs.safetensors");
    std::fs::copy(fixture("pair/zeroshot.safetensors"), &path).unwrap();
    let good = std::fs::read_to_string(fixture("pair/open_clip_config.json")).unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    // Of another model, or no JSON at all: said, not used.
    write("open_clip_config.json", r#"{"embed_dim": 512, "vision_cfg": {}, "text_cfg": {}}"#);
    write("config.json", "not json");
    let description = describe(&path).unwrap();
    assert!(description.problem.is_some());
    let notices = description.notices.join("\n");
    assert!(notices.contains("of another model") && notices.contains("expected JSON"), "{notices}");
    // One that fits but asks for what is not there must stop everything.
    for (field, place) in [
        (r#""no_ln_pre": true, "#, "vision_cfg.no_ln_pre"),
        (r#""pool_type": "avg", "#, "vision_cfg.pool_type"),
        (r#""timm_model_name": "vit", "#, "vision_cfg.timm_model_name"),
    ] {
        let at = good.find("\"image_size\"").unwrap();
        write("open_clip_config.json", &format!("{}{field}{}", &good[..at], &good[at..]));
        let problem = describe(&path).unwrap().problem.unwrap();
        assert!(problem.contains(place), "{problem}");
    }
    write(
        "open_clip_config.json",
        &good.replace(
            "\"preprocess_cfg\": {",
            "\"preprocess_cfg\": {\"interpolation\": \"bilinear\", ",
        ),
    );
    let problem = describe(&path).unwrap().problem.unwrap();
    assert!(problem.contains("interpolation"), "{problem}");
    // The two ends say different things.
    let other = TempDir::new().unwrap();
    write("open_clip_config.json", &good);
    let second = other.path().join("ft.safetensors");
    std::fs::copy(&path, &second).unwrap();
    let quick = good.replacen("\"embed_dim\"", "\"quick_gelu\": true, \"embed_dim\"", 1);
    std::fs::write(other.path().join("open_clip_config.json"), quick).unwrap();
    let error = Pair::open(&path, &second, &Overrides::default()).unwrap_err().to_string();
    assert!(error.contains("differ in the activation"), "{error}");
    let overrides = Overrides { activation: Some(Activation::Gelu), ..Overrides::default() };
    assert!(Pair::open(&path, &second, &overrides).is_ok());
}

#[test]
fn every_mismatch_is_listed() {
    let folder = TempDir::new().unwrap();
    std::fs::copy(
        fixture("pair/open_clip_config.json"),
        folder.path().join("open_clip_config.json"),
    )
    .unwrap();
    let all = tensors("pair/zeroshot.safetensors");
    let zeroshot = write(&folder, "zs.safetensors", &all);
    let refused = |name: &str, tensors: &[Tensor]| {
        let path = write(&folder, name, tensors);
        Pair::open(&zeroshot, &path, &Overrides::default()).unwrap_err().to_string()
    };
    let without = |what: &str| -> Vec<Tensor> {
        all.iter().filter(|(name, ..)| !name.contains(what)).cloned().collect()
    };

    let error = refused("missing.safetensors", &without("resblocks.1.attn"));
    assert!(error.contains("missing.safetensors does not fit"), "{error}");
    assert!(
        error.contains("4 tensors missing:\n    visual.transformer.resblocks.1.attn"),
        "{error}"
    );

    let error = refused("shallow.safetensors", &without("visual.transformer.resblocks.1."));
    assert!(error.contains("12 tensors missing") && error.contains("… and 2 more"), "{error}");
    assert!(error.contains("zs.safetensors (zero-shot)"), "{error}");

    let mut extra = all.clone();
    extra.push(("visual.transformer.resblocks.0.ls_1.gamma".into(), "F32", vec![1], vec![0; 4]));
    let error = refused("extra.safetensors", &extra);
    assert!(
        error.contains("1 tensor not expected:\n    visual.transformer.resblocks.0.ls_1.gamma"),
        "{error}"
    );

    let mut wide = all.clone();
    for (name, _, shape, bytes) in &mut wide {
        if name == "visual.proj" {
            *shape = vec![16, 7];
            bytes.truncate(4 * 16 * 7);
        }
    }
    let error = refused("wide.safetensors", &wide);
    assert!(error.contains("visual.proj expected [16, 12], got [16, 7]"), "{error}");
    let image_only: Vec<Tensor> =
        wide.iter().filter(|(name, ..)| name.starts_with("visual.")).cloned().collect();
    let error = refused("wide.safetensors", &image_only);
    assert!(error.contains("visual.proj expected [16, 12], got [16, 7]"), "{error}");

    let mut gap = all.clone();
    for (name, ..) in &mut gap {
        *name = name.replace(
            "visual.transformer.resblocks.1.",
            "visual.transformer.resblocks.99999999999999999999.",
        );
    }
    let error = refused("gap.safetensors", &gap);
    assert!(
        error.contains("12 tensors missing") && error.contains("12 tensors not expected"),
        "{error}"
    );

    let head = |rows: usize, columns: usize, bias: Option<usize>| {
        let mut all = all.clone();
        all.push(("head.weight".into(), "F32", vec![rows, columns], vec![0; 4 * rows * columns]));
        all.extend(bias.map(|n| ("head.bias".into(), "F32", vec![n], vec![0; 4 * n])));
        all
    };
    assert!(refused("h.safetensors", &head(3, 9, None)).contains("expected 12 columns"));
    assert!(
        refused("h.safetensors", &head(3, 12, Some(4))).contains("expected shape [3], got [4]")
    );
    assert!(refused("h.safetensors", &head(0, 12, None)).contains("got [0, 12]"));
    let a = write(&folder, "a.safetensors", &head(3, 12, None));
    let b = write(&folder, "b.safetensors", &head(4, 12, Some(4)));
    let error = Pair::open(&a, &b, &Overrides::default()).unwrap_err().to_string();
    assert!(error.contains("stored heads have 3 and 4 classes"), "{error}");

    // No text tower anywhere, and a head at one end only.
    let image = |with_head| -> Vec<Tensor> {
        head(3, 12, None)
            .into_iter()
            .filter(|(n, ..)| n.starts_with("visual.") || with_head && n.starts_with("head."))
            .collect()
    };
    let a = write(&folder, "a.safetensors", &image(false));
    let b = write(&folder, "b.safetensors", &image(true));
    let error = Pair::open(&a, &b, &Overrides::default()).unwrap_err().to_string();
    assert!(error.contains("no file has a text tower"), "{error}");
    let pair = Pair::open(&b, &b, &Overrides::default()).unwrap();
    assert!(!pair.needs_text() && pair.text_same && pair.architecture.text.is_none());
}

#[test]
fn numbers_that_are_none_are_named() {
    let folder = TempDir::new().unwrap();
    std::fs::copy(fixture("pair/open_clip_config.json"), folder.path().join("config.json"))
        .unwrap();
    let all = tensors("pair/zeroshot.safetensors");
    let zeroshot = write(&folder, "zs.safetensors", &all);
    let broken = |what: &str, at: usize, value: f32| {
        let mut all = all.clone();
        let (.., bytes) = all.iter_mut().find(|(name, ..)| name == what).unwrap();
        bytes[4 * at..4 * at + 4].copy_from_slice(&value.to_le_bytes());
        write(&folder, "nan.safetensors", &all)
    };
    let path = broken("visual.proj", 5, f32::NAN);
    let pair = Pair::open(&zeroshot, &path, &Overrides::default()).unwrap();
    let error = pair.check_finite().unwrap_err().to_string();
    assert!(error.contains("`visual.proj`") && error.contains("NaN at element 5"), "{error}");
    assert!(error.contains("nan.safetensors"), "{error}");
    assert!(pair.values(End::FineTuned, "visual.proj").is_err());
    assert!(pair.values(End::ZeroShot, "visual.proj").is_ok());
    let description = describe_pair(&zeroshot, &path).unwrap();
    assert!(!description.matches && description.not_finite.len() == 1);
    assert!(description.to_string().contains("not finite"));

    let path = broken("logit_scale", 0, f32::INFINITY);
    let error = Pair::open(&path, &zeroshot, &Overrides::default()).unwrap_err().to_string();
    assert!(error.contains("`logit_scale`") && error.contains("inf"), "{error}");

    let mut integers = all.clone();
    integers[3].1 = "I32";
    let path = write(&folder, "int.safetensors", &integers);
    let error = Checkpoint::open(&path).unwrap_err().to_string();
    assert!(error.contains("got I32") && error.contains(&integers[3].0), "{error}");
}

#[test]
fn files_that_are_no_checkpoints() {
    let folder = TempDir::new().unwrap();
    let message = |path: &Path| Checkpoint::open(path).unwrap_err().to_string();
    assert!(message(&folder.path().join("none.safetensors")).contains("none.safetensors"));
    assert!(message(folder.path()).contains("is a folder"));
    let empty = folder.path().join("empty.safetensors");
    std::fs::write(&empty, "").unwrap();
    assert!(message(&empty).contains("an empty file"));
    #[cfg(unix)]
    assert!(message(Path::new("/dev/null")).contains("not a regular file"));
    let language = message(&fixture("other/language.safetensors"));
    assert!(language.contains("`model.layers` (3), `lm_head.weight` (1)"), "{language}");
    let resnet = fixture("other/resnet.safetensors");
    let resnet = alphascope::checkpoint::describe(&resnet).unwrap_err().to_string();
    assert!(resnet.contains("`visual.conv3.weight`") && resnet.contains("width / 2"), "{resnet}");

    // Cut short at every byte of the header and at some of the data.
    let whole = std::fs::read(fixture("other/language.safetensors")).unwrap();
    let cut = folder.path().join("cut.safetensors");
    for end in 0..whole.len() {
        std::fs::write(&cut, &whole[..end]).unwrap();
        assert!(message(&cut).contains("cut.safetensors"));
    }
    let whole = std::fs::read(fixture("pair/zeroshot.safetensors")).unwrap();
    std::fs::write(&cut, &whole[..whole.len() - 1]).unwrap();
    assert!(message(&cut).contains("truncated"), "{}", message(&cut));
}

#[test]
fn hugging_face_configurations_that_cannot_be_run() {
    let text = std::fs::read_to_string(fixture("hf/config.json")).unwrap();
    let parse = |from: &str, to: &str| {
        ModelConfig::parse(&serde_json::from_str(&text.replacen(from, to, 1)).unwrap())
    };
    let config = parse("", "").unwrap();
    assert_eq!((config.image.heads, config.text.heads, config.embed), (2, 2, 12));
    for (from, to, words) in [
        (r#""gelu""#, r#""gelu_new""#, "vision_config.hidden_act"),
        ("1e-05", "1e-06", "vision_config.layer_norm_eps"),
        (r#""clip""#, r#""siglip""#, "expected `clip`, got `siglip`"),
        (r#""num_attention_heads": 2"#, r#""num_attention_heads": 3"#, "3 heads do not divide"),
        (r#""hidden_size": 16"#, r#""hidden_size": -1"#, "`hidden_size`"),
    ] {
        let error = parse(from, to).unwrap_err();
        assert!(error.contains(words), "{error}");
    }
    // Left-out fields have transformers' defaults (ViT-B/32, QuickGELU).
    let bare = serde_json::json!({"model_type": "clip", "vision_config": {}, "text_config": {}});
    let config = ModelConfig::parse(&bare).unwrap();
    assert_eq!((config.image.width, config.image.heads, config.patch), (768, 12, 32));
    assert_eq!(config.text.activation, Activation::QuickGelu);
}

/// The configuration of `CLIPVisionModel` tells of one tower; what it does not know it does not say.
#[test]
fn configurations_of_an_image_tower_alone() {
    let alone = serde_json::json!({
        "model_type": "clip_vision_model", "hidden_size": 128, "num_hidden_layers": 3,
        "num_attention_heads": 4, "intermediate_size": 512, "patch_size": 16, "image_size": 64,
        "hidden_act": "gelu"
    });
    let config = ModelConfig::parse(&alone).unwrap();
    assert!(config.image_alone);
    assert_eq!((config.image.heads, config.image.activation), (4, Activation::Gelu));
    assert_eq!(config.text.activation, Activation::Gelu);
    // Beside the fine-tuned file it gives its heads, and nothing of the text tower.
    let folder = TempDir::new().unwrap();
    let all = tensors("hf/model.safetensors");
    let zeroshot = write(&folder, "zs.safetensors", &all);
    let tower: Vec<_> = all.into_iter().filter(|it| it.0.starts_with("visual.")).collect();
    let finetuned = write(&folder, "ft.safetensors", &tower);
    let mut own: serde_json::Value =
        serde_json::from_slice(&std::fs::read(fixture("hf/config.json")).unwrap()).unwrap();
    let mut vision = own["vision_config"].take();
    vision["model_type"] = "clip_vision_model".into();
    std::fs::write(folder.path().join("ft.json"), vision.to_string()).unwrap();
    let both = Pair::open(&zeroshot, &finetuned, &Overrides::default());
    let said = both.unwrap_err().to_string();
    assert!(said.contains("the heads of its text tower"), "{said}");
    let tower = describe(&finetuned).unwrap().architecture.unwrap();
    assert_eq!((tower.image.heads, tower.activation), (2, Activation::Gelu));
    assert!(matches!(tower.sources.heads, Source::Config(_)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Any damage to a real header is an error or still a sound checkpoint.
    #[test]
    fn damaged_headers_never_panic(changes in proptest::collection::vec((8..4000_usize, any::<u8>()), 1..4)) {
        let mut bytes = std::fs::read(fixture("hf/model.safetensors")).unwrap();
        for (at, byte) in changes {
            // Mostly digits: shapes and offsets that disagree.
            bytes[at] = if byte < 200 { b'0' + byte % 10 } else { byte };
        }
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("model.safetensors");
        std::fs::write(&path, &bytes).unwrap();
        if let Ok(file) = Checkpoint::open(&path) {
            for name in file.names() {
                let tensor = file.get(name).unwrap();
                prop_assert_eq!(tensor.len(), tensor.shape().iter().product::<usize>());
            }
        }
        let _ = describe(&path);
        let _ = describe_pair(&path, &path);
    }
}
