//! Checkpoints end to end: files written by open_clip and transformers, files
//! of every known model's shape, and everything that can be wrong with a file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use alphascope::checkpoint::arch::{Dims, ImageDims, MEAN, STD, Source, TextDims};
use alphascope::checkpoint::{
    Architecture, Checkpoint, Dialect, End, Overrides, Pair, describe, describe_pair,
};
use alphascope::sweep::spec::Activation;
use tempfile::TempDir;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/checkpoints").join(name)
}

fn open(zeroshot: &str, finetuned: &str) -> Pair {
    Pair::open(&fixture(zeroshot), &fixture(finetuned), &Overrides::default()).unwrap()
}

/// A tensor to write: name, type, shape, bytes.
type Tensor = (String, &'static str, Vec<usize>, Vec<u8>);

/// Everything in a fixture, under its canonical names, as fp32.
fn tensors(name: &str) -> Vec<Tensor> {
    let file = Checkpoint::open(&fixture(name)).unwrap();
    file.names()
        .map(|name| {
            let tensor = file.get(name).unwrap();
            let bytes = tensor.to_f32().iter().flat_map(|x| x.to_le_bytes()).collect();
            (name.to_string(), "F32", tensor.shape().to_vec(), bytes)
        })
        .collect()
}

fn header(tensors: &[(String, &str, Vec<usize>, usize)], metadata: &str) -> Vec<u8> {
    let mut at = 0;
    let mut fields = vec![format!(r#""__metadata__":{{{metadata}}}"#)];
    for (name, dtype, shape, bytes) in tensors {
        let end = at + bytes;
        fields.push(format!(
            r#""{name}":{{"dtype":"{dtype}","shape":{shape:?},"data_offsets":[{at},{end}]}}"#
        ));
        at = end;
    }
    let json = format!("{{{}}}", fields.join(","));
    [&(json.len() as u64).to_le_bytes()[..], json.as_bytes()].concat()
}

fn write(folder: &TempDir, name: &str, tensors: &[Tensor]) -> PathBuf {
    let infos: Vec<_> =
        tensors.iter().map(|(n, d, s, b)| (n.clone(), *d, s.clone(), b.len())).collect();
    let mut bytes = header(&infos, "");
    tensors.iter().for_each(|(.., b)| bytes.extend_from_slice(b));
    let path = folder.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

/// A file of zeros of these dimensions that takes no room on the disk.
fn sparse(folder: &TempDir, name: &str, dims: &Dims) -> PathBuf {
    let mut all = dims.image_tensors();
    all.extend(dims.text_tensors());
    all.push(("logit_scale".into(), vec![]));
    let infos: Vec<_> = all
        .into_iter()
        .map(|(name, shape)| {
            let bytes = 4 * shape.iter().product::<usize>();
            (name, "F32", shape, bytes)
        })
        .collect();
    let head = header(&infos, "");
    let data: usize = infos.iter().map(|(.., bytes)| bytes).sum();
    let path = folder.path().join(name);
    std::fs::write(&path, &head).unwrap();
    let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.set_len((head.len() + data) as u64).unwrap();
    path
}

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
    assert!((pair.logit_scale - 1.0 / 0.07).abs() < 1e-4);
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
    assert!((pair.logit_scale - 1.0 / 0.07).abs() < 1e-4, "the zero-shot file's counts");
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
    assert_eq!(pair.logit_scale, 50.0);
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
            image: ImageDims { patch, grid: size / patch, width, layers, mlp_width: model.mlp },
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
        image: ImageDims { patch: 8, grid: 4, width, layers: 3, mlp_width: 4 * width },
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
    std::fs::copy(fixture("pair/zeroshot.safetensors"), folder.path().join("model.safetensors"))
        .unwrap();
    assert!(message(folder.path()).contains("model.safetensors"));
    let empty = folder.path().join("empty.safetensors");
    std::fs::write(&empty, "").unwrap();
    assert!(message(&empty).contains("an empty file"));
    #[cfg(unix)]
    assert!(message(Path::new("/dev/null")).contains("not a regular file"));
    let language = message(&fixture("other/language.safetensors"));
    assert!(language.contains("`model.layers` (3), `lm_head.weight` (1)"), "{language}");
    assert!(message(&fixture("other/resnet.safetensors")).contains("ResNet"));

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
fn opening_a_huge_file_reads_its_header_only() {
    let folder = TempDir::new().unwrap();
    let dims = Dims {
        image: ImageDims { patch: 14, grid: 16, width: 1664, layers: 48, mlp_width: 8192 },
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
