//! Checkpoints end to end: files written by open_clip and transformers, files
//! of every known model's shape, and everything that can be wrong with a file.
#![allow(clippy::unwrap_used)]

mod containers;
mod errors;
mod files;
mod hostile;
mod write;

use std::collections::BTreeMap;

use alphascope::checkpoint::arch::{Dims, ImageDims, MEAN, STD, Source, TextDims};
use alphascope::checkpoint::{Architecture, Checkpoint, Dialect, End, describe, describe_pair};
use alphascope::sweep::spec::Activation;
use files::{fixture, open, sparse};
use tempfile::TempDir;

#[test]
fn open_clips_own_file_is_read_whole() {
    let pair = open("pair/zeroshot.safetensors", "pair/finetuned.safetensors");
    let a = &pair.architecture;
    assert_eq!((a.image.size, a.image.patch, a.image.grid), (20, 6, 3), "20 is no multiple of 6");
    assert_eq!((a.image.width, a.image.layers, a.image.heads, a.image.mlp_width), (16, 2, 2, 64));
    let text = a.text.as_ref().unwrap();
    assert_eq!((text.context, text.vocab, text.width), (9, 40, 8));
    assert_eq!((text.layers, text.heads, text.mlp_width), (1, 2, 32));
    assert_eq!((a.embed, a.activation), (12, Activation::Gelu));
    assert_eq!((a.mean, a.std), ([0.5, 0.25, 0.125], [0.5, 0.25, 0.75]));
    assert!(matches!(&a.sources.heads, Source::Config(p) if p.ends_with("open_clip_config.json")));
    assert_eq!(a.to_string(), "ViT 2×16, patch 6, image 20");
    assert!(!a.takes_clip_tokens());
    // open_clip's initial logit scale is ln(1 / 0.07).
    assert!((pair.logit_scale.zeroshot - 1.0 / 0.07).abs() < 1e-4 && !pair.logit_scale.moves());
    let head = pair.head.unwrap();
    assert_eq!((head.classes, head.bias, head.zeroshot, head.finetuned), (5, true, false, true));
    assert!(pair.text_same && pair.needs_text() && !pair.text_moves());
    assert!(pair.notices.iter().any(|n| n.contains("text tower of both ends taken from")));
    assert!(
        pair.notices
            .iter()
            .any(|n| n.contains("only the fine-tuned file stores a linear head (5 classes)"))
    );
    assert_eq!(pair.tensors().len(), 8 + 2 * 12);
    pair.check_finite().unwrap();
    for (name, shape) in pair.tensors() {
        for end in [End::ZeroShot, End::FineTuned] {
            assert_eq!(pair.end(end, &name).unwrap().shape(), shape, "{name}");
            assert_eq!(pair.values(end, &name).unwrap().len(), shape.iter().product::<usize>());
        }
    }
    assert!(pair.values(End::FineTuned, "token_embedding.weight").is_ok(), "from the other file");
    assert!(pair.end(End::ZeroShot, "classification_head.weight").is_none());
    assert_eq!(pair.end(End::FineTuned, "classification_head.weight").unwrap().shape(), [5, 12]);
}

#[test]
fn hugging_faces_names_give_the_same_tensors() {
    let ours = Checkpoint::open(&fixture("pair/zeroshot.safetensors")).unwrap();
    let theirs = Checkpoint::open(&fixture("hf/model.safetensors")).unwrap();
    assert_eq!(theirs.dialect(), Dialect::HuggingFace);
    assert!(ours.names().eq(theirs.names()));
    for name in ours.names() {
        assert_eq!(ours.get(name), theirs.get(name), "{name}");
    }
    let pair = open("pair/zeroshot.safetensors", "hf/model.safetensors");
    assert!(pair.text_same);
    assert_eq!(pair.architecture.activation, Activation::Gelu);
}

#[test]
fn prefixes_buffers_and_half_precision() {
    let pair = open("pair/half.safetensors", "pair/bfloat.safetensors");
    assert_eq!(pair.zeroshot.ignored().len(), 4);
    assert_eq!(pair.finetuned.prefix(), "module.");
    assert!(pair.notices.iter().any(|n| n.contains("fp16") && n.contains("bf16")));
    assert!(!pair.text_same, "rounded otherwise");
    assert!(pair.text_moves());
    let full = Checkpoint::open(&fixture("pair/zeroshot.safetensors")).unwrap();
    for name in full.names() {
        let exact = full.get(name).unwrap().to_f32();
        for (end, bits) in [(End::ZeroShot, 11), (End::FineTuned, 8)] {
            for (x, y) in exact.iter().zip(pair.values(end, name).unwrap()) {
                // Half an ulp of the format, or fp16's smallest step.
                let bound = f32::max(x.abs() * 2f32.powi(-bits), 2f32.powi(-25));
                assert!((x - y).abs() <= bound, "{name}: {x} {y}");
            }
        }
    }
    let pair = open("pair/zeroshot.safetensors", "pair/wiseft.safetensors");
    assert_eq!(pair.finetuned.prefix(), "image_encoder.model.");
    assert!(pair.finetuned.has_leftover_text() && !pair.finetuned.has_text());
    assert_eq!(pair.head.unwrap().classes, 5);
}

#[test]
fn moving_text_towers_are_in_play() {
    let pair = open("pair/zeroshot.safetensors", "pair/finetuned-full.safetensors");
    assert!(!pair.text_same && pair.text_moves() && pair.head.is_none());
    assert_eq!(pair.tensors().len(), 8 + 24 + 5 + 12);
    assert!(pair.notices.iter().any(|n| n.contains("logit scales differ")), "{:?}", pair.notices);
    assert!((pair.logit_scale.zeroshot - 1.0 / 0.07).abs() < 1e-4 && pair.logit_scale.moves());
}

#[test]
fn configurations_in_the_file_or_under_its_name() {
    let a = describe(&fixture("lone/metadata.safetensors")).unwrap().architecture.unwrap();
    assert!(matches!(a.sources.heads, Source::Metadata(_)));
    assert_eq!((a.image.heads, a.mean), (2, [0.5, 0.25, 0.125]));
    let a = describe(&fixture("lone/tiny-quickgelu.safetensors")).unwrap().architecture.unwrap();
    assert!(matches!(&a.sources.heads, Source::Config(p) if p.ends_with("tiny-quickgelu.json")));
    assert_eq!((a.activation, a.mean, a.std), (Activation::QuickGelu, MEAN, STD));
    let a = describe(&fixture("hf/model.safetensors")).unwrap().architecture.unwrap();
    assert_eq!((a.image.heads, a.text.unwrap().heads, a.image.size), (2, 2, 20));
    assert_eq!(a.mean, [0.5, 0.25, 0.125], "of preprocessor_config.json");
}

#[derive(serde::Deserialize)]
struct Known {
    name: String,
    quick_gelu: bool,
    embed: usize,
    image: [usize; 4],
    heads: usize,
    mlp: usize,
    text: [usize; 5],
}

/// Golden values are open_clip's own configurations, written by the fixture
/// maker.
#[test]
fn every_plain_vit_of_open_clip_is_known() {
    let folder = TempDir::new().unwrap();
    let known: Vec<Known> =
        serde_json::from_str(&std::fs::read_to_string(fixture("known.json")).unwrap()).unwrap();
    assert!(known.len() > 20);
    for model in known {
        let [size, patch, width, layers] = model.image;
        let [context, vocab, text_width, text_layers, text_heads] = model.text;
        let dims = Dims {
            image: ImageDims {
                patch,
                grid: size / patch,
                width,
                layers,
                mlp_width: model.mlp,
                resnet: None,
            },
            text: Some(TextDims {
                context,
                vocab,
                width: text_width,
                layers: text_layers,
                mlp_width: 4 * text_width,
            }),
            embed: model.embed,
        };
        let path = sparse(&folder, &format!("{}.safetensors", model.name), &dims);
        let description = describe(&path).unwrap();
        assert_eq!(description.dims, dims);
        let a: Architecture = description.architecture.unwrap();
        assert_eq!(a.name.as_deref(), Some(model.name.trim_end_matches("-quickgelu")));
        assert_eq!((a.image.heads, a.text.as_ref().unwrap().heads), (model.heads, text_heads));
        assert_eq!(a.image.size, size);
        let known = Source::Known(model.name.trim_end_matches("-quickgelu").into());
        assert_eq!(a.sources.heads, known);
        let expected = if model.quick_gelu { Activation::QuickGelu } else { Activation::Gelu };
        assert_eq!(a.activation, expected);
        assert!(a.takes_clip_tokens());
        let said = description.notices.iter().any(|n| n.contains("gelu assumed"));
        assert_eq!(said, !model.quick_gelu, "an assumption is said aloud");
        std::fs::remove_file(path).unwrap();
    }
}

#[test]
fn an_unknown_width_is_assumed_aloud_or_refused() {
    let folder = TempDir::new().unwrap();
    let dims = |width| Dims {
        image: ImageDims {
            patch: 8,
            grid: 4,
            width,
            layers: 3,
            mlp_width: 4 * width,
            resnet: None,
        },
        text: None,
        embed: 32,
    };
    let description = describe(&sparse(&folder, "a.safetensors", &dims(192))).unwrap();
    let a = description.architecture.unwrap();
    assert_eq!((a.image.heads, a.image.size), (3, 32));
    assert!(matches!(a.sources.heads, Source::Assumed(_)));
    assert!(description.notices.iter().any(|n| n.contains("3 assumed (width 192 / 64)")));
    assert!(describe(&sparse(&folder, "b.safetensors", &dims(96))).unwrap().problem.is_some());
}

#[test]
fn opening_a_huge_file_reads_its_header_only() {
    let folder = TempDir::new().unwrap();
    let dims = Dims {
        image: ImageDims {
            patch: 14,
            grid: 16,
            width: 1664,
            layers: 48,
            mlp_width: 8192,
            resnet: None,
        },
        text: None,
        embed: 1280,
    };
    let path = sparse(&folder, "big.safetensors", &dims);
    let file = Checkpoint::open(&path).unwrap();
    assert!(file.bytes() > 7_000_000_000, "{}", file.bytes());
    assert_eq!(file.names().count(), 8 + 48 * 12 + 1);
    // Sparse files have no blocks but those written: were the data read into memory, this
    // would take seconds and gigabytes.
    let (layers, total) = {
        let description = describe(&path).unwrap();
        (description.layers.len(), description.parameters)
    };
    assert_eq!((layers, total), (50, 1_844_907_264));
}

#[test]
fn the_hash_is_of_the_file() {
    let path = fixture("pair/zeroshot.safetensors");
    let file = Checkpoint::open(&path).unwrap();
    let expected = blake3::hash(&std::fs::read(&path).unwrap()).to_hex().to_string();
    assert_eq!(file.hash().unwrap(), expected);
}

#[test]
fn descriptions_read_well() {
    let plain = |text: String| text.replace(&fixture("").to_string_lossy().into_owned(), "");
    let one = describe(&fixture("pair/finetuned.safetensors")).unwrap();
    insta::assert_snapshot!("one", plain(one.to_string()));
    let pair = describe_pair(
        &fixture("pair/zeroshot.safetensors"),
        &fixture("pair/finetuned.safetensors"),
    );
    let pair = pair.unwrap();
    insta::assert_snapshot!("pair", plain(pair.to_string()));
    assert!(pair.matches && pair.text_same == Some(true) && !pair.identical);
    let folder = TempDir::new().unwrap();
    let dims = Dims { embed: 13, text: None, ..one.dims.clone() };
    let other = sparse(&folder, "other.safetensors", &dims);
    let mismatch = describe_pair(&fixture("pair/zeroshot.safetensors"), &other).unwrap();
    assert!(!mismatch.matches && mismatch.layers.is_empty());
    assert!(mismatch.to_string().contains("do NOT make a path"));
    for text in [one.to_string(), pair.to_string(), mismatch.to_string()] {
        for line in text.lines().filter(|line| !line.contains('/')) {
            assert!(line.chars().count() <= 80, "{line}");
        }
    }
    let json: BTreeMap<String, serde_json::Value> =
        serde_json::from_str(&serde_json::to_string(&one).unwrap()).unwrap();
    assert_eq!(json["container"], "safetensors");
    assert_eq!(json["dialect"], "open_clip");
    assert_eq!(json["architecture"]["activation"], "gelu");
    assert_eq!(json["head"]["classes"], 5);
}

#[test]
fn distances_are_those_of_the_tensors() {
    let pair = describe_pair(
        &fixture("pair/zeroshot.safetensors"),
        &fixture("pair/finetuned-full.safetensors"),
    )
    .unwrap();
    // The fine-tuned file is the zero-shot one plus 0.1 × standard normal noise, so every
    // layer of n numbers moved by about 0.1·√n.
    for layer in pair.layers {
        let moved = layer.distance.unwrap().moved;
        let expected = 0.1 * (layer.parameters as f64).sqrt();
        assert!((moved / expected - 1.0).abs() < 0.15, "{}: {moved} {expected}", layer.name);
    }
}
