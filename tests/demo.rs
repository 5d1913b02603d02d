//! The embedded demo against open_clip, PyTorch and Pillow on the same files, image by image (see
//! `tests/fixtures/make/demo_predictions.py`), and the promise about its size.
#![cfg(feature = "torch")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // helpers of tests

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use alphascope::dataset::{Tokenizer, prompts};
use alphascope::inputs::Inputs;
use alphascope::sparsify::Plan;
use alphascope::sweep::engine::Engine;
use alphascope::sweep::event::Level;
use alphascope::sweep::ids::{Alpha, DatasetId};
use alphascope::sweep::spec::{Activation, Spec, Variant};
use alphascope::torch::device::DeviceChoice;
use alphascope::torch::engine::TorchEngine;
use alphascope::torch::heads::ClassPrompts;
use alphascope::torch::model::Model;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tch::{Device, Kind};

/// Two logits closer than this (of about 19) may change places with another order of summation.
const NEAR_TIE: f64 = 0.01;

#[derive(Deserialize)]
struct Predictions {
    datasets: Vec<Expected>,
}

#[derive(Deserialize)]
struct Expected {
    name: String,
    key: Vec<String>,
    label: Vec<usize>,
    zeroshot: End,
    finetuned: End,
}

#[derive(Deserialize)]
struct End {
    prediction: Vec<usize>,
    /// Between the two largest logits.
    margin: Vec<f64>,
}

#[derive(Deserialize)]
struct Sweeps {
    alphas: Vec<f64>,
    /// By pair and dataset.
    pairs: BTreeMap<String, BTreeMap<String, Curve>>,
}

#[derive(Deserialize)]
struct Curve {
    total: usize,
    correct: Vec<usize>,
    loss: Vec<f64>,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_path_buf()
}

fn fixture<T: DeserializeOwned>(name: &str) -> T {
    let text = std::fs::read_to_string(root().join("tests/fixtures").join(name)).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn spec(name: &str) -> Spec {
    Spec::load(&root().join("assets/demo").join(name)).unwrap()
}

fn inputs(name: &str) -> Arc<Inputs> {
    Arc::new(Inputs::open(spec(name)).unwrap())
}

#[test]
fn both_ends_predict_what_open_clip_predicts() {
    let expected: Predictions = fixture("demo_predictions.json");
    let inputs = inputs("demo.toml");
    let mut model = Model::load(&inputs.pair, Device::Cpu, Kind::Float).unwrap();
    let names = inputs.head.as_ref().unwrap();
    let context = inputs.pair.architecture.text.as_ref().unwrap().context;
    let list = ClassPrompts {
        prompts: names
            .names
            .iter()
            .flat_map(|class| prompts(class, &names.templates))
            .map(|prompt| Tokenizer::clip().encode(&prompt, context))
            .collect(),
        per_class: names.templates.len(),
    };
    let mut stored = model.stored_head(&inputs.pair, &list).unwrap().unwrap();
    let (mut images, mut other) = (0, Vec::new());
    for (alpha, name) in [(Alpha::ZERO_SHOT, "zero-shot"), (Alpha::FINE_TUNED, "fine-tuned")] {
        model.set_point(alpha, &Plan::default()).unwrap();
        let head = stored.at(alpha, &Plan::default()).unwrap();
        for (index, (loaded, expected)) in
            inputs.datasets.iter().zip(&expected.datasets).enumerate()
        {
            let dataset = &loaded.dataset;
            assert_eq!(dataset.name(), expected.name);
            assert_eq!(dataset.len(), expected.key.len());
            let end =
                if alpha == Alpha::ZERO_SHOT { &expected.zeroshot } else { &expected.finetuned };
            let all: Vec<usize> = (0..dataset.len()).collect();
            for batch in all.chunks(128) {
                let pixels = inputs.cache.pixels(DatasetId(index), dataset, batch).unwrap();
                let logits = head.logits(&model.features(&pixels).unwrap()).unwrap();
                let got = Vec::<i64>::try_from(logits.argmax(1, false)).unwrap();
                for (&image, got) in batch.iter().zip(got) {
                    assert_eq!(dataset.key(image), expected.key[image]);
                    assert_eq!(dataset.label(image), expected.label[image]);
                    images += 1;
                    if got as usize != end.prediction[image] {
                        let (key, margin) = (dataset.key(image), end.margin[image]);
                        assert!(
                            margin < NEAR_TIE,
                            "{name} on {key} of {}: expected class {}, got {got}, and no near tie: {margin}",
                            expected.name,
                            end.prediction[image]
                        );
                        other.push(key.to_string());
                    }
                }
            }
        }
    }
    println!("{} of {images} predictions differ: {other:?}", other.len());
    assert!(other.len() * 1000 <= images, "{} of {images} differ: {other:?}", other.len());
}

/// The engine's counts and losses, ends and between, on the smallest dataset of every pair.
#[test]
fn every_pair_measures_what_open_clip_measures() {
    let expected: Sweeps = fixture("demo_sweep.json");
    for (spec, pair) in [
        ("demo.toml", "finetuned"),
        ("demo-failed.toml", "finetuned-failed"),
        ("demo-hot.toml", "finetuned-hot"),
    ] {
        let curve = &expected.pairs[pair]["data/fxemoji/test"];
        let inputs = inputs(spec);
        let dataset = inputs.datasets.iter().position(|it| it.dataset.name() == "fxemoji").unwrap();
        let mut engine = TorchEngine::new(Arc::clone(&inputs), DeviceChoice::Cpu).unwrap();
        for point in [0, 3, 7, 10] {
            let alpha = expected.alphas[point];
            engine.set_point(Alpha::new(alpha).unwrap(), &Variant::dense()).unwrap();
            let got = engine.evaluate(DatasetId(dataset), 0..curve.total).unwrap();
            let correct = got.hit.iter().filter(|&&hit| hit).count();
            let off = correct.abs_diff(curve.correct[point]);
            assert!(
                off <= got.near_ties as usize,
                "{pair} at α = {alpha}: expected {}, got {correct} with {} near ties",
                curve.correct[point],
                got.near_ties
            );
            let loss = got.loss.iter().sum::<f64>() / curve.total as f64;
            assert!(
                (loss - curve.loss[point]).abs() < 1e-4,
                "{pair} at α = {alpha}: expected a loss of {}, got {loss}",
                curve.loss[point]
            );
        }
    }
}

/// It is too small a model to tell the two apart, and its own activation is not contradicted.
#[test]
fn its_activation_stands() {
    let mut spec = spec("demo.toml");
    spec.checkpoints.probe_activation = true;
    let inputs = Arc::new(Inputs::open(spec).unwrap());
    let mut engine = TorchEngine::new(Arc::clone(&inputs), DeviceChoice::Cpu).unwrap();
    let probe = engine.probe_activation(&mut ()).unwrap().unwrap();
    assert_eq!((probe.used, probe.images, probe.templates), (Activation::Gelu, 256, None));
    assert_eq!(probe.notice().0, Level::Info, "{probe:?}");
    engine.set_point(Alpha::ZERO_SHOT, &Variant::dense()).unwrap();
    let counted = engine.evaluate(DatasetId(0), 0..256).unwrap();
    assert_eq!(probe.correct, counted.hit.iter().filter(|&&hit| hit).count());
}

#[test]
fn the_demo_is_small() {
    fn bytes(dir: &Path) -> u64 {
        let entries = std::fs::read_dir(dir).unwrap().map(Result::unwrap);
        let size = |entry: std::fs::DirEntry| match entry.file_type().unwrap().is_dir() {
            true => bytes(&entry.path()),
            false => entry.metadata().unwrap().len(),
        };
        entries.map(size).sum()
    }
    let size = bytes(&root().join("assets/demo"));
    assert!(size <= 25_000_000, "assets/demo takes {size} bytes, at most 25 MB are promised");
}
