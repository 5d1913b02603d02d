//! One tiny CLIP in every container and dialect (`tests/fixtures/make/containers.py`).

use std::path::{Path, PathBuf};

use alphascope::checkpoint::{
    Checkpoint, Container, Dialect, End, Overrides, Pair, describe, describe_pair,
};
use rstest::rstest;

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
    assert!(error.contains("`student`") && error.contains("`state_dict.module.`"), "{error}");
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
