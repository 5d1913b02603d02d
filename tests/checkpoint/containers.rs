//! One tiny CLIP in every container and dialect (`tests/fixtures/make/containers.py`).

use std::path::{Path, PathBuf};

use alphascope::checkpoint::{
    Checkpoint, Container, Dialect, Dtype, End, Overrides, Pair, describe, describe_pair,
};
use alphascope::merge::{Request, Twin, merge};
use alphascope::sweep::ids::Alpha;
use alphascope::sweep::spec::Variant;
use rstest::rstest;

use crate::files::Tensor;

pub fn saved(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/containers").join(name)
}

fn overrides() -> Overrides {
    let architecture = Some(saved("config.json").display().to_string());
    Overrides { architecture, ..Overrides::default() }
}

/// Every tensor of the file has the reference's values; how many there are is given.
fn same_as_reference(file: &Checkpoint, tensors: usize) {
    let reference = Checkpoint::open(&saved("reference.safetensors")).unwrap();
    let mut same = 0;
    for name in file.names() {
        let Some(expected) = reference.get(name) else {
            assert!(name.starts_with("classification_head."), "{name}");
            continue;
        };
        let got = file.get(name).unwrap();
        assert_eq!(got.shape(), expected.shape(), "{name}");
        assert_eq!(got.to_f32(), expected.to_f32(), "{name}");
        same += 1;
    }
    assert_eq!(same, tensors);
}

use Container::{Pickle, Safetensors, TorchLegacy, TorchScript, TorchZip};
use Dialect::{HuggingFace, OpenClip};

/// Image tower 8 + 2·12, text tower 5 + 12, logit scale.
const ALL: usize = 8 + 24 + 5 + 12 + 1;
/// Without a text tower.
const IMAGE: usize = 8 + 24 + 1;

#[rstest]
#[case("reference.safetensors", Safetensors, OpenClip, "", ALL)]
#[case("zip.pt", TorchZip, OpenClip, "", ALL)]
#[case("legacy.pt", TorchLegacy, OpenClip, "", ALL)]
#[case("half.pt", TorchZip, OpenClip, "", ALL)]
#[case("bfloat.pth", TorchLegacy, OpenClip, "", ALL)]
#[case("double.bin", TorchZip, OpenClip, "", ALL)]
#[case("views.pt", TorchZip, OpenClip, "", ALL)]
#[case("views-legacy.pt", TorchLegacy, OpenClip, "", ALL)]
#[case("module.pt", TorchZip, OpenClip, "", ALL)]
#[case("openai.pt", TorchScript, OpenClip, "", ALL)]
#[case("custom-text.pt", TorchZip, OpenClip, "", ALL)]
#[case("training.pt", TorchZip, OpenClip, "state_dict.module.", ALL)]
#[case("hf", Safetensors, HuggingFace, "", ALL)]
#[case("hf.bin", TorchZip, HuggingFace, "", ALL)]
#[case("hf-shards", Safetensors, HuggingFace, "", ALL)]
#[case("hf-shards/model.safetensors.index.json", Safetensors, HuggingFace, "", ALL)]
#[case("bin-shards", TorchZip, HuggingFace, "", ALL)]
#[case("wise-ft.pt", Pickle, OpenClip, "image_encoder.model.", IMAGE)]
#[case("wise-ft-3.pt", Pickle, OpenClip, "image_encoder.model.", IMAGE)]
#[case("soup.pt", TorchZip, OpenClip, "model.", IMAGE)]
#[case("task-vectors.pt", TorchZip, OpenClip, "model.", IMAGE)]
fn every_program_saves_the_same_model(
    #[case] name: &str,
    #[case] container: Container,
    #[case] dialect: Dialect,
    #[case] prefix: &str,
    #[case] tensors: usize,
) {
    let file = Checkpoint::open(&saved(name)).unwrap();
    assert_eq!((file.container(), file.dialect(), file.prefix()), (container, dialect, prefix));
    same_as_reference(&file, tensors);
    let description = describe(&saved(name)).unwrap();
    assert_eq!(description.container, container);
    let pair = Pair::open(&saved("reference.safetensors"), &saved(name), &overrides()).unwrap();
    assert!(pair.text_same);
    assert_eq!(pair.architecture.image.heads, 2);
    let both = describe_pair(&saved("reference.safetensors"), &saved(name)).unwrap();
    assert!(both.layers.iter().all(|layer| layer.relative.is_none_or(|moved| moved == 0.0)));
}

#[rstest]
#[case("wise-ft.pt")]
#[case("wise-ft-3.pt")]
#[case("soup.pt")]
fn stored_heads_come_along(#[case] name: &str) {
    let pair = Pair::open(&saved("reference.safetensors"), &saved(name), &overrides()).unwrap();
    let head = pair.head.unwrap();
    assert_eq!((head.classes, head.bias, head.finetuned), (5, true, true));
    let expected = std::fs::read(saved("expected.safetensors")).unwrap();
    let expected = safetensors::SafeTensors::deserialize(&expected).unwrap();
    for part in ["weight", "bias"] {
        let name = format!("classification_head.{part}");
        let got = pair.end(End::FineTuned, &name).unwrap();
        assert_eq!(got.bytes(), expected.tensor(&format!("head.{part}")).unwrap().data());
    }
}

/// task_vectors keeps the head apart, and no text tower.
#[test]
fn a_head_of_its_own_file_belongs_to_both_ends() {
    let file = saved("task-vectors.pt");
    let error = Pair::open(&file, &file, &overrides()).unwrap_err().to_string();
    assert!(error.contains("`checkpoints.head`"), "{error}");
    let with = |head: &str| Overrides { head: Some(saved(head)), ..overrides() };
    let pair = Pair::open(&file, &file, &with("head_Toy.pt")).unwrap();
    assert!(!pair.needs_text() && pair.head.is_some_and(|head| head.classes == 5 && head.bias));
    let soup = Checkpoint::open(&saved("soup.pt")).unwrap();
    for end in [End::ZeroShot, End::FineTuned] {
        for name in ["classification_head.weight", "classification_head.bias"] {
            assert_eq!(pair.end(end, name), soup.get(name), "{name}");
        }
    }
    assert_ne!(pair.zeroshot.hash().unwrap(), Checkpoint::open(&file).unwrap().hash().unwrap());
    let error = Pair::open(&file, &file, &with("zip.pt")).unwrap_err().to_string();
    assert!(error.contains("zip.pt") && error.contains("expected a linear head"), "{error}");
    let error = describe(&saved("head_Toy.pt")).unwrap_err().to_string();
    assert!(error.contains("a linear layer alone"), "{error}");
}

#[test]
fn averaged_weights_are_offered_beside_the_raw_ones() {
    let file = Checkpoint::open(&saved("training.pt")).unwrap();
    let said = file.notices().join("\n");
    assert!(said.contains("`state_dict_ema.module`") && said.contains("FILE#"), "{said}");
    assert!(said.contains("`optimizer`"), "the optimizer's state is left out, aloud: {said}");
    let path = |select: &str| PathBuf::from(format!("{}#{select}", saved("training.pt").display()));
    let averaged = Checkpoint::open(&path("state_dict_ema")).unwrap();
    assert_eq!(averaged.prefix(), "state_dict_ema.module.");
    for name in averaged.names() {
        let half: Vec<f32> = file.get(name).unwrap().to_f32().iter().map(|x| x * 0.5).collect();
        assert_eq!(averaged.get(name).unwrap().to_f32(), half, "{name}");
    }
    let error = Checkpoint::open(&path("student")).unwrap_err().to_string();
    assert!(error.contains("no model under `student`: there are `state_dict.module`"), "{error}");
    let plain = format!("{}#foo", saved("zip.pt").display());
    let error = Checkpoint::open(Path::new(&plain)).unwrap_err().to_string();
    assert!(
        error.contains("no model under `foo`") && error.contains("leave `#foo` out"),
        "{error}"
    );
}

#[test]
fn nothing_of_a_hostile_pickle_is_run() {
    let folder = tempfile::tempdir().unwrap();
    let trace = "ALPHASCOPE_WAS_HERE";
    for name in ["beside.pt", "beside-legacy.pt", "whole.pkl"] {
        let path = folder.path().join(name);
        std::fs::copy(saved("hostile").join(name), &path).unwrap();
        // In a process of its own, whose folder the command would write to.
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_alphascope"))
            .args(["inspect", "--json", name])
            .current_dir(folder.path())
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        if name == "whole.pkl" {
            assert_eq!(output.status.code(), Some(2));
            let error = String::from_utf8_lossy(&output.stderr);
            assert!(error.contains("no tensors at all"), "{error}");
        } else {
            assert_eq!(output.status.code(), Some(0), "{output:?}");
            assert!(text.contains("posix.system"), "the command is named: {text}");
            same_as_reference(&Checkpoint::open(&path).unwrap(), ALL);
        }
        assert!(!folder.path().join(trace).exists(), "{name} ran a command");
        assert!(!Path::new(trace).exists() && !saved("hostile").join(trace).exists());
    }
    // The command is really in the files, and would have been seen.
    let bytes = std::fs::read(saved("hostile/whole.pkl")).unwrap();
    assert!(bytes.windows(trace.len()).any(|part| part == trace.as_bytes()));
}

/// A copy of the reference with changes, as a file of a folder.
fn changed(
    folder: &tempfile::TempDir,
    name: &str,
    change: impl Fn(&str, &mut Tensor) -> bool,
) -> PathBuf {
    let mut tensors = crate::files::tensors_of(&saved("reference.safetensors"));
    tensors.retain_mut(|tensor| {
        let name = tensor.0.clone();
        change(&name, tensor)
    });
    std::fs::copy(saved("config.json"), folder.path().join("open_clip_config.json")).unwrap();
    crate::files::write(folder, name, &tensors)
}

fn floats(tensor: &mut Tensor, change: impl Fn(usize, f32) -> f32) {
    for (i, four) in tensor.3.as_chunks_mut::<4>().0.iter_mut().enumerate() {
        *four = change(i, f32::from_le_bytes(*four)).to_le_bytes();
    }
}

/// Another image size: the embedding is resized to the larger grid, or to the asked one.
#[test]
fn other_image_sizes_are_met_by_resizing_positions_aloud() {
    let folder = tempfile::tempdir().unwrap();
    // 1 + 5² positions where the reference has 1 + 3².
    let larger = changed(&folder, "larger.safetensors", |name, tensor| {
        if name == "visual.positional_embedding" {
            tensor.2 = vec![26, 16];
            tensor.3 = (0..26 * 16).flat_map(|i| (i as f32 / 64.0).to_le_bytes()).collect();
        }
        true
    });
    std::fs::remove_file(folder.path().join("open_clip_config.json")).unwrap();
    let reference = saved("reference.safetensors");
    let config = std::fs::read_to_string(saved("config.json")).unwrap();
    let asked = |size: usize| {
        let path = folder.path().join(format!("{size}.json"));
        let text = config.replace("\"image_size\": 12", &format!("\"image_size\": {size}"));
        std::fs::write(&path, text).unwrap();
        let architecture = Some(path.display().to_string());
        Overrides { architecture, ..Overrides::default() }
    };
    let name = "visual.positional_embedding";
    let own = Checkpoint::open(&reference).unwrap().get(name).unwrap().to_f32();
    for (size, grid, zeroshot, finetuned) in
        [(20, 5, true, false), (12, 3, false, true), (8, 2, true, true)]
    {
        let pair = Pair::open(&reference, &larger, &asked(size)).unwrap();
        assert_eq!((pair.architecture.image.size, pair.architecture.image.grid), (size, grid));
        let said = pair.notices.join("\n");
        assert_eq!(said.contains("of the zero-shot file resized from 3×3"), zeroshot, "{said}");
        assert_eq!(said.contains("of the fine-tuned file resized from 5×5"), finetuned, "{said}");
        let got = pair.end(End::ZeroShot, name).unwrap();
        assert_eq!(got.shape(), [grid * grid + 1, 16]);
        let expected = alphascope::checkpoint::positions::resize(&own, 16, 3, grid).unwrap();
        assert_eq!(got.to_f32(), if zeroshot { expected } else { own.clone() });
    }
    // Nothing asked: the larger grid. The reference's configuration tells heads all the same.
    let beside = changed(&folder, "zs.safetensors", |_, _| true);
    let pair = Pair::open(&beside, &larger, &Overrides::default()).unwrap();
    assert_eq!((pair.architecture.image.size, pair.architecture.image.heads), (20, 2));
    let both = describe_pair(&beside, &larger).unwrap();
    assert!(both.matches, "{:?}", both.problem);
    assert_eq!(both.notices.iter().filter(|n| n.contains("resized from")).count(), 1);
    // A merge writes what a sweep measures there.
    let summary = merge(&Request {
        zeroshot: beside,
        finetuned: larger,
        overrides: Overrides::default(),
        alpha: Alpha::ZERO_SHOT,
        variant: Variant::dense(),
        seed: 0,
        out: folder.path().join("merged.safetensors"),
        replace: false,
        dialect: Dialect::OpenClip,
        dtype: Dtype::F32,
        twin: Twin::Unknown,
    });
    let summary = summary.unwrap();
    assert_eq!(summary.notices.iter().filter(|n| n.contains("resized from")).count(), 1);
    let merged = Checkpoint::open(&summary.out).unwrap().get(name).unwrap().to_f32();
    assert_eq!(merged, pair.end(End::ZeroShot, name).unwrap().to_f32());
}

/// `CLIPVisionModel` keeps no projection, `model.visual.state_dict()` no `visual.`.
#[test]
fn image_towers_alone_are_completed_by_the_zero_shot_file() {
    let folder = tempfile::tempdir().unwrap();
    let own = |name: &str| name.starts_with("visual.");
    let zeroshot = changed(&folder, "zs.safetensors", |_, _| true);
    let finetuned = changed(&folder, "ft.safetensors", |name, tensor| {
        floats(tensor, |_, x| x + 0.5);
        own(name) && name != "visual.proj"
    });
    let bare = changed(&folder, "bare.safetensors", |name, tensor| {
        tensor.0 = name.trim_start_matches("visual.").to_string();
        floats(tensor, |_, x| x + 0.5);
        own(name)
    });
    let [base, tower, alone] = [&zeroshot, &finetuned, &bare].map(|path| {
        let pair = Pair::open(&zeroshot, path, &Overrides::default()).unwrap();
        let values = |name| pair.end(End::FineTuned, name).unwrap().to_f32();
        let borrowed = pair.notices.iter().any(|notice| notice.contains("`visual.proj` of the"));
        assert_eq!(borrowed, path == &finetuned, "{:?}", pair.notices);
        (values("visual.proj"), values("visual.conv1.weight"))
    });
    let moved = |values: &[f32]| values.iter().map(|x| x + 0.5).collect::<Vec<_>>();
    assert_eq!(tower, (base.0.clone(), moved(&base.1)));
    assert_eq!(alone, (moved(&base.0), moved(&base.1)));
    assert!(describe_pair(&zeroshot, &finetuned).unwrap().matches);
    // The zero-shot end is complete.
    let error = Pair::open(&finetuned, &zeroshot, &Overrides::default()).unwrap_err().to_string();
    assert!(error.contains("visual.proj") && error.contains("complete checkpoint"), "{error}");
}

/// open_clip's order of file names decides, and what was taken is said.
#[test]
fn of_a_model_folder_the_file_that_open_clip_takes() {
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("my-model");
    std::fs::create_dir(&model).unwrap();
    // Worst first: each new file is preferred to those before.
    for (name, from) in [
        ("model.pth", "legacy.pt"),
        ("pytorch_model.pth", "zip.pt"),
        ("pytorch_model.bin", "zip.pt"),
        ("model.safetensors", "reference.safetensors"),
        ("open_clip_pytorch_model.pth", "zip.pt"),
        ("open_clip_pytorch_model.bin", "zip.pt"),
        ("open_clip_pytorch_model.safetensors", "reference.safetensors"),
        ("open_clip_model.safetensors", "reference.safetensors"),
    ] {
        std::fs::copy(saved(from), model.join(name)).unwrap();
        let file = Checkpoint::open(&model).unwrap();
        assert_eq!(file.path(), model.join(name));
        assert!(file.notices().iter().any(|n| n.contains(&format!("its {name} is opened"))));
        assert_eq!(file.stem(), "my-model");
    }
    std::fs::copy(saved("config.json"), model.join("open_clip_config.json")).unwrap();
    let description = describe(&model).unwrap();
    assert_eq!(description.architecture.unwrap().image.heads, 2);
    // An index of shards is no configuration.
    let shards = describe(&saved("hf-shards/model.safetensors.index.json")).unwrap();
    assert!(!shards.notices.iter().any(|n| n.contains("index.json")), "{:?}", shards.notices);
}

#[test]
fn likely_wrong_pairs_are_warned_of() {
    let folder = tempfile::tempdir().unwrap();
    let zeroshot = changed(&folder, "zeroshot.safetensors", |_, _| true);
    let said = |a: &Path, b: &Path| describe_pair(a, b).unwrap().notices.join("\n");
    // A linear probe at the zero-shot end, as model-soups' first model.
    let soup = saved("soup.pt");
    assert!(said(&soup, &soup).contains("was trained (its rows are"), "{}", said(&soup, &soup));
    assert!(!said(&zeroshot, &soup).contains("was trained"), "only the zero-shot end is judged");
    assert!(said(&soup, &zeroshot).contains("in the right order?"));
    // Only the head moved.
    assert!(said(&zeroshot, &soup).contains("a linear probe, not a fine-tuned model"));
    // Other weights altogether.
    let other = changed(&folder, "other.safetensors", |name, tensor| {
        if name.starts_with("visual.") {
            floats(tensor, |i, x| if i % 2 == 0 { -x } else { 2.0 * x });
        }
        true
    });
    let description = describe_pair(&zeroshot, &other).unwrap();
    assert!(description.notices.join("\n").contains("other pretrained weights"));
    assert!(!description.unchanged.iter().any(|name| name == "visual.proj"));
    assert!(description.unchanged.iter().any(|name| name == "text_projection"));
    assert!(description.to_string().contains("unchanged"));
    // A plausible one is not warned of.
    let tuned = changed(&folder, "tuned.safetensors", |_, tensor| {
        floats(tensor, |i, x| x + 0.01 * (i % 3) as f32);
        true
    });
    let plain = said(&zeroshot, &tuned);
    for words in ["right order", "was trained", "pretrained weights", "linear probe"] {
        assert!(!plain.contains(words), "{plain}");
    }
}

/// A model that open_clip names, so that heads are known and activations are asked of file names.
#[test]
fn file_names_that_tell_of_different_activations() {
    let folder = tempfile::tempdir().unwrap();
    let dims = alphascope::checkpoint::arch::Dims {
        image: alphascope::checkpoint::arch::ImageDims {
            patch: 32,
            grid: 7,
            width: 384,
            layers: 12,
            mlp_width: 1536,
            resnet: None,
        },
        text: None,
        embed: 384,
    };
    let a = crate::files::sparse(&folder, "vit-openai.safetensors", &dims);
    let b = crate::files::sparse(&folder, "vit-laion2b.safetensors", &dims);
    let both = describe_pair(&a, &b).unwrap();
    // No text tower: no path. But the names are asked once there is one.
    assert!(both.problem.unwrap().contains("text tower"));
    let dims = alphascope::checkpoint::arch::Dims {
        text: Some(alphascope::checkpoint::arch::TextDims {
            context: 77,
            vocab: 64,
            width: 64,
            layers: 1,
            mlp_width: 256,
        }),
        ..dims
    };
    let a = crate::files::sparse(&folder, "vit-openai.safetensors", &dims);
    let b = crate::files::sparse(&folder, "vit-laion2b.safetensors", &dims);
    let pair = Pair::open(&a, &b, &Overrides::default()).unwrap();
    assert!(pair.notices.join("\n").contains(
        "different activations (`openai` in the file's name; `laion2b` in the file's name)"
    ));
}

#[test]
fn the_mapping_and_the_program_are_told() {
    let wise = describe(&saved("wise-ft.pt")).unwrap();
    assert_eq!(wise.wrapper, Some("WiSE-FT's classifier"));
    assert!(wise.foreign.iter().any(|name| name == "src.models.modeling.ImageClassifier"));
    let text = wise.to_string();
    assert!(text.contains("under `image_encoder.model.` (WiSE-FT's classifier)"), "{text}");
    let hf = describe(&saved("hf-shards")).unwrap();
    assert_eq!((hf.mapping.whole, hf.mapping.transposed, hf.mapping.stacked), (42, 2, 6));
    assert_eq!(hf.files.len(), 6);
    let names = &hf.mapping.names["visual.transformer.resblocks.1.attn.in_proj_bias"];
    assert_eq!(names[2], "vision_model.encoder.layers.1.self_attn.v_proj.bias");
    for (name, program) in [
        ("openai.pt", "OpenAI's archive"),
        ("soup.pt", "model-soups' classifier"),
        ("task-vectors.pt", "task_vectors' image encoder"),
        ("training.pt", "a training checkpoint"),
    ] {
        assert_eq!(describe(&saved(name)).unwrap().wrapper, Some(program), "{name}");
    }
    assert!(describe(&saved("training.pt")).unwrap().mapping.outside.contains_key("optimizer"));
}
