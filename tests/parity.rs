//! The towers against open_clip, on small random models (see `tests/fixtures/make/parity.py`).
#![cfg(feature = "torch")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // helpers of tests

use std::path::{Path, PathBuf};

use alphascope::checkpoint::{Overrides, Pair};
use alphascope::sparsify::Plan;
use alphascope::sweep::ids::Alpha;
use alphascope::torch::clip::{ImageTower, Prompts, TextTower, normalized};
use alphascope::torch::path::PathWeights;
use rstest::rstest;
use safetensors::SafeTensors;
use tch::{Device, Kind, Tensor};

/// Largest allowed difference, relative to the largest magnitude of a row.
const TOLERANCE: f64 = 1e-4;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/parity").join(name)
}

/// Some tensor of `NAME.expected.safetensors`.
struct Expected(Vec<u8>);

impl Expected {
    fn read(model: &str) -> Self {
        Self(std::fs::read(fixture(&format!("{model}.expected.safetensors"))).unwrap())
    }

    fn tensor(&self, name: &str) -> Tensor {
        let file = SafeTensors::deserialize(&self.0).unwrap();
        let view = file.tensor(name).unwrap();
        let shape: Vec<i64> = view.shape().iter().map(|&n| n as i64).collect();
        let kind = match view.dtype() {
            safetensors::Dtype::F32 => Kind::Float,
            safetensors::Dtype::I32 => Kind::Int,
            safetensors::Dtype::U8 => Kind::Uint8,
            other => panic!("{other:?}"),
        };
        Tensor::f_from_data_size(view.data(), &shape, kind).unwrap()
    }

    fn prompts(&self) -> Vec<Vec<u32>> {
        let tokens = Vec::<Vec<i32>>::try_from(self.tensor("tokens")).unwrap();
        tokens.into_iter().map(|ids| ids.into_iter().map(|id| id as u32).collect()).collect()
    }
}

struct Towers {
    weights: PathWeights,
    image: ImageTower,
    text: TextTower,
    scale: f64,
}

fn towers(model: &str, finetuned: &str) -> Towers {
    let overrides = Overrides {
        architecture: Some(fixture(&format!("{model}.json")).display().to_string()),
        ..Overrides::default()
    };
    let file = |name: &str| fixture(&format!("{name}.safetensors"));
    load(&Pair::open(&file(model), &file(finetuned), &overrides).unwrap())
}

fn load(pair: &Pair) -> Towers {
    let names =
        pair.architecture.image_tensors().into_iter().chain(pair.architecture.text_tensors());
    let names = names.map(|(name, _)| name);
    let weights =
        PathWeights::load(names, |at, name| pair.end(at, name), Device::Cpu, Kind::Float).unwrap();
    let image = ImageTower::new(&weights, &pair.architecture).unwrap();
    let text = TextTower::new(&weights, &pair.architecture).unwrap();
    Towers { weights, image, text, scale: pair.logit_scale.zeroshot }
}

impl Towers {
    fn at(&mut self, alpha: f64) {
        self.weights.set(Alpha::new(alpha).unwrap(), &Plan::default()).unwrap();
    }

    /// Image features, text features, logits.
    fn outputs(&self, expected: &Expected) -> [Tensor; 3] {
        let image = self.image.forward(&expected.tensor("pixels"), &mut ()).unwrap();
        let prompts = expected.prompts();
        prompts.iter().for_each(|ids| self.text.check(ids).unwrap());
        let prompts: Vec<&[u32]> = prompts.iter().map(Vec::as_slice).collect();
        let prompts = Prompts::new(&prompts, Device::Cpu).unwrap();
        let text = self.text.forward(&prompts).unwrap();
        let logits = normalized(&image).unwrap().matmul(&normalized(&text).unwrap().tr());
        [image, text, logits * self.scale]
    }
}

/// Largest difference within a row, over the row's largest magnitude.
fn difference(got: &Tensor, expected: &Tensor) -> f64 {
    assert_eq!(got.size(), expected.size());
    let got = Vec::<Vec<f64>>::try_from(got.to_kind(Kind::Double)).unwrap();
    let expected = Vec::<Vec<f64>>::try_from(expected.to_kind(Kind::Double)).unwrap();
    let row = |(a, b): (&Vec<f64>, &Vec<f64>)| {
        let magnitude = b.iter().fold(0.0, |m: f64, x| m.max(x.abs()));
        a.iter().zip(b).fold(0.0, |d: f64, (a, b)| d.max((a - b).abs())) / magnitude
    };
    got.iter().zip(&expected).map(row).fold(0.0, f64::max)
}

fn compare(towers: &Towers, expected: &Expected, suffix: &str) {
    let outputs = towers.outputs(expected);
    for (name, got) in ["image_features", "text_features", "logits"].iter().zip(&outputs) {
        let difference = difference(got, &expected.tensor(&format!("{name}{suffix}")));
        println!("{name}{suffix}: {difference:.1e}");
        assert!(difference < TOLERANCE, "{name}{suffix} differs by {difference}");
    }
}

#[rstest]
#[case("gelu")]
#[case("quick-gelu")]
#[case("odd-size")]
#[case("one-block")]
#[case("many-heads")]
#[case("one-patch")]
#[case("path")]
#[case("resnet")]
#[case("resnet-deep")]
fn towers_are_open_clips(#[case] model: &str) {
    let mut towers = towers(model, model);
    towers.at(0.0);
    compare(&towers, &Expected::read(model), "");
}

#[rstest]
#[case("path")]
#[case("resnet")]
fn the_path_is_open_clips_at_every_point_both_ways(#[case] model: &str) {
    let mut towers = towers(model, &format!("{model}.finetuned"));
    let expected = Expected::read(model);
    for alpha in ["0.0", "0.25", "0.5", "1.0", "0.5", "0.0"] {
        towers.at(alpha.parse().unwrap());
        compare(&towers, &expected, &format!("@{alpha}"));
    }
}

/// BatchNorm's statistics as PyTorch's `update_bn` makes them, twice at one point.
#[test]
fn recomputed_statistics_are_pytorchs() {
    let mut towers = towers("resnet", "resnet.finetuned");
    let expected = Expected::read("resnet");
    let batches = expected.tensor("statistics").split(4, 0);
    for alpha in ["0.5", "0.0", "1.0", "0.5"] {
        towers.at(alpha.parse().unwrap());
        compare(&towers, &expected, &format!("@{alpha}"));
        for (earlier, pixels) in batches.iter().enumerate() {
            towers.image.collect_statistics(pixels, earlier).unwrap();
        }
        compare(&towers, &expected, &format!("@{alpha}:recomputed"));
        let name = "visual.layer4.0.bn3.running_var";
        let got = towers.weights.all().remove(name).unwrap().unsqueeze(0);
        let want = expected.tensor(&format!("variance@{alpha}")).unsqueeze(0);
        assert!(difference(&got, &want) < TOLERANCE);
        // Statistics that stand where they were brought are not brought there again.
        towers.at(0.25);
    }
}

/// One CLIP as every program saves it (`tests/fixtures/make/containers.py`): the same logits.
#[rstest]
#[case("reference.safetensors")]
#[case("zip.pt")]
#[case("legacy.pt")]
#[case("half.pt")]
#[case("bfloat.pth")]
#[case("double.bin")]
#[case("views.pt")]
#[case("views-legacy.pt")]
#[case("module.pt")]
#[case("openai.pt")]
#[case("custom-text.pt")]
#[case("training.pt")]
#[case("hf")]
#[case("hf.bin")]
#[case("hf-shards")]
#[case("bin-shards")]
#[case("wise-ft.pt")]
#[case("wise-ft-3.pt")]
#[case("soup.pt")]
#[case("task-vectors.pt")]
fn every_container_and_dialect_gives_the_same_logits(#[case] name: &str) {
    let folder = fixture("").parent().unwrap().join("containers");
    let overrides = Overrides {
        architecture: Some(folder.join("config.json").display().to_string()),
        ..Overrides::default()
    };
    // Text towers that a file lacks come from the other end, as in use.
    let (file, reference) = (folder.join(name), folder.join("reference.safetensors"));
    let pair = Pair::open(&reference, &file, &overrides).unwrap();
    let mut towers = load(&pair);
    towers.at(1.0);
    let expected = Expected(std::fs::read(folder.join("expected.safetensors")).unwrap());
    compare(&towers, &expected, "");
}

/// A model of a real size, made beforehand: `tests/fixtures/make/real_sizes.py` runs this.
#[test]
#[ignore = "needs a gigabyte of random weights"]
fn real_sizes() {
    let variable = |name: &str| std::env::var(name).expect("run by real_sizes.py");
    let (folder, model) =
        (PathBuf::from(variable("ALPHASCOPE_PARITY")), variable("ALPHASCOPE_MODEL"));
    let file = folder.join(format!("{model}.pt"));
    let overrides = Overrides { architecture: Some(model.clone()), ..Overrides::default() };
    let pair = Pair::open(&file, &file, &overrides).unwrap();
    assert_eq!(pair.architecture.name, Some(model.clone()));
    let mut towers = load(&pair);
    towers.at(0.0);
    let expected = folder.join(format!("{model}.expected.safetensors"));
    compare(&towers, &Expected(std::fs::read(expected).unwrap()), "");
}

/// The reference activations must differ between the models' two non-linearities by far more than
/// the tolerance, or parity would prove nothing about them.
#[test]
fn the_other_activation_would_be_noticed() {
    let path = fixture("gelu.json");
    let config = std::fs::read_to_string(path).unwrap().replace("false", "true");
    let folder = tempfile::tempdir().unwrap();
    let other = folder.path().join("other.json");
    std::fs::write(&other, config).unwrap();
    let overrides =
        Overrides { architecture: Some(other.display().to_string()), ..Overrides::default() };
    let file = fixture("gelu.safetensors");
    let pair = Pair::open(&file, &file, &overrides).unwrap();
    let names = pair.architecture.image_tensors().into_iter().map(|(name, _)| name);
    let mut weights =
        PathWeights::load(names, |at, name| pair.end(at, name), Device::Cpu, Kind::Float).unwrap();
    weights.set(Alpha::ZERO_SHOT, &Plan::default()).unwrap();
    let image = ImageTower::new(&weights, &pair.architecture).unwrap();
    let expected = Expected::read("gelu");
    let got = image.forward(&expected.tensor("pixels"), &mut ()).unwrap();
    assert!(difference(&got, &expected.tensor("image_features")) > 20.0 * TOLERANCE);
}
