//! Sharpness against PyTorch, against the whole model run plainly, and against its own promises.
#![allow(clippy::single_range_in_vec_init)] // batches, of which there may be one
#![cfg(feature = "torch")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // helpers of tests

#[path = "plain/classifier.rs"]
mod classifier;
mod plain;

use std::path::Path;

use alphascope::checkpoint::layers::{Granularity, layers};
use alphascope::sweep::engine::Steer;
use alphascope::sweep::probe::SharpnessResult;
use alphascope::sweep::spec::{Norm, SharpnessKind, SharpnessSpec};
use alphascope::torch::sharpness::{Draw, Law, Perturbed, measure, number};
use alphascope::torch::staged::Runner;
use alphascope::torch::weights::Tensors;
use classifier::{Classifier, NAMES};
use plain::Weights;
use serde::Deserialize;
use tch::{Kind, Tensor};

/// A setting of tests/fixtures/sharpness.json.
#[derive(Debug, Deserialize)]
struct Setting {
    model: String,
    layer: Option<String>,
    norm: Norm,
    adaptive: bool,
    normalized: bool,
    rho: f64,
    #[serde(default)]
    steps: usize,
    #[serde(default)]
    batches: Vec<Vec<usize>>,
    #[serde(default)]
    corrected: Vec<f64>,
    #[serde(default)]
    zeros: u64,
    #[serde(default)]
    parameters: u64,
    loss: serde_json::Value,
    #[serde(default)]
    value: f64,
    #[serde(default)]
    stderr: f64,
}

#[derive(Deserialize)]
struct Fixture {
    worst: Vec<Setting>,
    average: Vec<Setting>,
}

fn fixture() -> Fixture {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/sharpness.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// Canonical names of a layer's tensors, whatever its granularity.
fn tensors(model: &Classifier, layer: Option<&str>) -> Vec<String> {
    let Some(layer) = layer else { return model.weights.keys().cloned().collect() };
    [Granularity::Block, Granularity::Module, Granularity::Tensor]
        .into_iter()
        .flat_map(|g| layers(&model.architecture.dims(), g, Some((6, true)), false))
        .find(|known| known.name == layer)
        .unwrap()
        .tensors
}

fn ask(
    runner: &mut Runner,
    model: &Classifier,
    layer: Option<&str>,
    spec: &SharpnessSpec,
) -> SharpnessResult {
    let tensors = tensors(model, layer);
    let layer = layer.unwrap_or("overall");
    let what = Perturbed { seed: 5, layer, tensors: &tensors, dense: None };
    measure(runner, &what, spec, &mut ()).unwrap().unwrap()
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// SharpnessSpec of a fixture's setting.
fn spec(setting: &Setting, kind: SharpnessKind) -> SharpnessSpec {
    SharpnessSpec {
        kind,
        norm: setting.norm,
        adaptive: setting.adaptive,
        rho: setting.rho,
        steps: setting.steps,
        draws: 400,
        logit_normalization: setting.normalized,
        ..SharpnessSpec::default()
    }
}

/// Here the search comes to a checkpoint with two maxima that agree to 1e-5 and goes either way: the
/// reference too finds this rise when it projects to within 3e-6 instead of 1e-5.
const TIE: (&str, &str, f64) = ("path", "block.0.attn", 4.015_371_8);

#[test]
fn the_worst_case_is_the_references_with_its_faults_corrected() {
    let fixture = fixture();
    assert!(fixture.worst.len() >= 80);
    for name in NAMES {
        let model = Classifier::read(name);
        for setting in fixture.worst.iter().filter(|setting| setting.model == name) {
            let ranges: Vec<_> =
                setting.batches.iter().map(|images| images[0]..images[0] + images.len()).collect();
            let mut runner = model.runner(&ranges, 24, 1 << 26);
            let spec = spec(setting, SharpnessKind::Worst);
            let got = ask(&mut runner, &model, setting.layer.as_deref(), &spec);
            assert_eq!((got.parameters, got.frozen), {
                (setting.parameters, if setting.adaptive { setting.zeros } else { 0 })
            });
            let losses: Vec<f64> = serde_json::from_value(setting.loss.clone()).unwrap();
            for (batch, expected) in setting.corrected.iter().enumerate() {
                let rise = got.rises[batch][0];
                assert_eq!(got.rises[batch].len(), 1);
                assert!((got.losses[batch] - losses[batch]).abs() < 1e-5, "{setting:?}");
                let tie = (setting.model.as_str(), setting.layer.as_deref())
                    == (TIE.0, Some(TIE.1))
                    && (setting.norm, setting.adaptive) == (Norm::L2, true);
                let near = |expected: f64| (rise / expected - 1.0).abs() < 0.01;
                assert!(near(*expected) || tie && near(TIE.2), "{rise} {expected} {setting:?}");
            }
        }
    }
}

#[test]
fn the_average_case_agrees_with_pytorchs_estimate() {
    let fixture = fixture();
    assert_eq!(fixture.average.len(), 20);
    for name in NAMES {
        let model = Classifier::read(name);
        let mut runner = model.runner(&[0..24], 24, 1 << 26);
        for setting in fixture.average.iter().filter(|setting| setting.model == name) {
            let spec = spec(setting, SharpnessKind::Average);
            let got = ask(&mut runner, &model, setting.layer.as_deref(), &spec);
            let rises = &got.rises[0];
            assert_eq!(rises.len(), 200);
            let value = mean(rises);
            let variance = rises.iter().map(|r| (r - value).powi(2)).sum::<f64>() / 199.0;
            let error = (variance / 200.0).sqrt().hypot(setting.stderr);
            let apart = (value - setting.value).abs();
            // Twenty settings: three errors is what one of them reaches in twenty tries.
            assert!(apart < 3.0 * error, "{value} ± {error} {setting:?}");
            let loss: f64 = serde_json::from_value(setting.loss.clone()).unwrap();
            assert!((got.losses[0] - loss).abs() < 1e-5);
        }
    }
}

/// L(θ + δ) of a batch, the whole model run plainly.
fn whole(model: &Classifier, images: std::ops::Range<usize>, w: &Weights, normalize: bool) -> f64 {
    let pixels = model.pixels(images.clone(), Kind::Float);
    let logits = plain::logits(w, &model.architecture, &pixels).to_kind(Kind::Double);
    f64::try_from(plain::loss(&logits, &model.labels(images), normalize)).unwrap()
}

/// θ with `sign`·ρ·c·ε on a layer's tensors.
fn perturbed(
    model: &Classifier,
    names: &[String],
    spec: &SharpnessSpec,
    (draw, sign): (Draw<'_>, f64),
    scale: &Weights,
) -> Weights {
    let law = if spec.norm == Norm::L2 { Law::Normal } else { Law::Uniform };
    let perturbed = |(name, w): (&String, &Tensor)| {
        if !names.contains(name) {
            return (name.clone(), w.shallow_clone());
        }
        let unit = Tensor::from_slice(&draw.values(law, name, w.numel())).view_as(w);
        let c = if spec.adaptive { scale[name].abs() } else { w.ones_like() };
        (name.clone(), w + unit * c * (sign * spec.rho))
    };
    model.weights.iter().map(perturbed).collect()
}

/// Average-case rises by the definition, every pass a whole one.
fn plainly(
    model: &Classifier,
    ranges: &[std::ops::Range<usize>],
    layer: Option<&str>,
    spec: &SharpnessSpec,
    scale: &Weights,
) -> Vec<Vec<f64>> {
    let names = tensors(model, layer);
    let normalize = spec.logit_normalization;
    let rise = |range: &std::ops::Range<usize>, k: u64, sign: f64| {
        let draw = Draw { seed: 5, layer: layer.unwrap_or("overall"), k };
        let w = perturbed(model, &names, spec, (draw, sign), scale);
        whole(model, range.clone(), &w, normalize)
            - whole(model, range.clone(), &model.weights, normalize)
    };
    ranges
        .iter()
        .enumerate()
        .map(|(batch, range)| {
            let pair = |pair| {
                let k = number(batch, pair);
                (rise(range, k, 1.0) + rise(range, k, -1.0)) / 2.0
            };
            (0..spec.draws / 2).map(pair).collect()
        })
        .collect()
}

fn close(got: &[Vec<f64>], expected: &[Vec<f64>], what: &str) {
    assert_eq!(got.len(), expected.len());
    for (got, expected) in got.iter().flatten().zip(expected.iter().flatten()) {
        assert!((got - expected).abs() < 2e-5 * (1.0 + expected.abs()), "{got} {expected} {what}");
    }
}

#[test]
fn suffixes_give_the_values_of_whole_passes_for_every_definition() {
    let model = Classifier::read("path");
    let ranges = [0..10, 10..20];
    let mut runner = model.runner(&ranges, 7, 200_000);
    let layers = [
        None,
        Some("stem"),
        Some("block.1"),
        Some("head"),
        Some("block.0.attn"),
        Some("block.1.mlp"),
        Some("visual.positional_embedding"),
        Some("visual.transformer.resblocks.1.attn.in_proj_weight"),
        Some("classification_head.bias"),
    ];
    for norm in [Norm::L2, Norm::Linf] {
        for (adaptive, logit_normalization) in
            [(true, false), (true, true), (false, false), (false, true)]
        {
            let rho = if adaptive { 0.2 } else { 0.03 };
            let spec = SharpnessSpec {
                norm,
                adaptive,
                logit_normalization,
                rho,
                draws: 4,
                ..Default::default()
            };
            for layer in layers {
                let got = ask(&mut runner, &model, layer, &spec);
                let expected = plainly(&model, &ranges, layer, &spec, &model.weights);
                close(&got.rises, &expected, &format!("{layer:?} {spec:?}"));
            }
        }
    }
}

#[test]
fn another_scale_perturbs_what_is_zero_in_the_model_measured() {
    let model = Classifier::read("path");
    let layer = "visual.transformer.resblocks.1.mlp.c_fc.weight";
    let names = [layer.to_string()];
    let dense = Tensors::from([(layer.to_string(), model.weights[layer].abs() + 0.01)]);
    let spec = SharpnessSpec { draws: 4, ..Default::default() };
    let mut runner = model.runner(&[0..24], 24, 1 << 20);
    let mut with = |dense: Option<&Tensors>| {
        let what = Perturbed { seed: 5, layer, tensors: &names, dense };
        measure(&mut runner, &what, &spec, &mut ()).unwrap().unwrap()
    };
    let (own, other) = (with(None), with(Some(&dense)));
    let all_images = 0..24;
    let ranges = std::slice::from_ref(&all_images);
    close(&other.rises, &plainly(&model, ranges, Some(layer), &spec, &dense), "dense");
    close(&own.rises, &plainly(&model, ranges, Some(layer), &spec, &model.weights), "own");
    let zeros = i64::try_from(model.weights[layer].eq(0.0).sum(Kind::Int64)).unwrap() as u64;
    assert!(zeros > 0);
    assert_eq!((own.frozen, other.frozen), (zeros, 0));
}

/// In the head alone logits are linear in δ: the loss is a softmax's of z + Δz, its rise under a
/// bias's shift is known without any model.
#[test]
fn a_linear_layer_has_a_closed_form() {
    let model = Classifier::read("gelu");
    let layer = "classification_head.bias";
    let rho = 0.01;
    let mut runner = model.runner(&[0..24], 24, 1 << 20);
    let pixels = model.pixels(0..24, Kind::Double);
    let double = |(name, w): (&String, &Tensor)| (name.clone(), w.to_kind(Kind::Double));
    let w: Weights = model.weights.iter().map(double).collect();
    let p = plain::logits(&w, &model.architecture, &pixels).softmax(-1, None::<Kind>);
    let labels = model.labels(0..24).one_hot(6).to_kind(Kind::Double);
    // Mean over images: gradient p − y, Hessian diag(p) − p pᵀ.
    let gradient = (&p - labels).mean_dim([0_i64].as_slice(), false, None::<Kind>);
    let hessian =
        p.mean_dim([0_i64].as_slice(), false, None::<Kind>).diag(0) - p.tr().matmul(&p) / 24.0;
    let trace = f64::try_from(hessian.trace()).unwrap();
    let norm = |x: &Tensor| f64::try_from(x.norm()).unwrap();

    // E of δᵀHδ/2 = ρ² tr H / 2 for N(0, ρ²), a third of it for U(−ρ, ρ).
    for (which, factor) in [(Norm::L2, 1.0), (Norm::Linf, 1.0 / 3.0)] {
        let spec =
            SharpnessSpec { norm: which, adaptive: false, rho, draws: 4000, ..Default::default() };
        let rises = ask(&mut runner, &model, Some(layer), &spec).rises.remove(0);
        let value = mean(&rises);
        let spread = rises.iter().map(|r| (r - value).powi(2)).sum::<f64>() / 1999.0;
        let error = (spread / 2000.0).sqrt();
        let expected = factor * rho * rho * trace / 2.0;
        assert!((value - expected).abs() < 4.0 * error + 0.01 * expected, "{value} {expected}");
        assert!(error < 0.05 * expected);
    }
    // To first order the worst rise is ρ‖g‖₂ in the sphere and ρ‖g‖₁ in the box.
    for (which, first) in [
        (Norm::L2, rho * norm(&gradient)),
        (Norm::Linf, rho * f64::try_from(gradient.abs().sum(None::<Kind>)).unwrap()),
    ] {
        let spec = SharpnessSpec {
            kind: SharpnessKind::Worst,
            norm: which,
            adaptive: false,
            rho,
            ..Default::default()
        };
        let rise = ask(&mut runner, &model, Some(layer), &spec).rises[0][0];
        assert!(rise > first && rise < first + rho * rho * trace * 3.0, "{rise} {first}");
    }
}

#[test]
fn worst_cases_are_never_negative_nor_less_with_more_restarts_and_finite_with_zero_weights() {
    // Half of block.1's c_fc and the head's bias are zero.
    let model = Classifier::read("path");
    let mut runner = model.runner(&[0..12, 12..24], 24, 1 << 24);
    for norm in [Norm::L2, Norm::Linf] {
        for layer in [None, Some("block.1.mlp"), Some("classification_head.bias")] {
            let spec = |restarts, random_start, rho| SharpnessSpec {
                kind: SharpnessKind::Worst,
                norm,
                steps: 5,
                restarts,
                random_start,
                rho,
                ..Default::default()
            };
            let mut values = |restarts, random_start, rho| -> Vec<f64> {
                let spec = spec(restarts, random_start, rho);
                let got = ask(&mut runner, &model, layer, &spec);
                got.rises.into_iter().map(|rises| rises[0]).collect()
            };
            let one = values(1, false, 0.05);
            let three = values(3, false, 0.05);
            let random = values(1, true, 0.05);
            for (i, one) in one.iter().enumerate() {
                assert!(*one >= 0.0 && three[i] >= *one && random[i] >= 0.0);
                assert!(three[i].is_finite() && random[i].is_finite());
            }
            assert!(values(2, true, 0.0).iter().all(|rise| rise.abs() < 1e-6));
            // Huge balls, where a search can only go wrong: still no NaN.
            assert!(values(1, false, 100.0).iter().all(|rise| rise.is_finite()));
        }
    }
}

#[test]
fn nothing_perturbed_is_nothing_risen() {
    let model = Classifier::read("one-patch");
    let mut runner = model.runner(&[0..24], 10, 1 << 24);
    for layer in [None, Some("stem"), Some("block.2"), Some("head")] {
        for norm in [Norm::L2, Norm::Linf] {
            let spec = SharpnessSpec { norm, rho: 0.0, ..Default::default() };
            let got = ask(&mut runner, &model, layer, &spec);
            assert!(got.rises.iter().flatten().all(|rise| rise.abs() < 1e-6), "{:?}", got.rises);
        }
    }
}

/// Common random numbers: who asks, in which order, with how much memory, changes nothing.
#[test]
fn values_do_not_depend_on_order_memory_or_runner() {
    let model = Classifier::read("path");
    let ranges = [0..12, 12..24];
    let layers = [Some("stem"), None, Some("block.0"), Some("block.1"), Some("head")];
    for kind in [SharpnessKind::Average, SharpnessKind::Worst] {
        let spec = SharpnessSpec { kind, steps: 6, restarts: 2, rho: 0.05, ..Default::default() };
        let mut first = model.runner(&ranges, 12, 1 << 30);
        let forward: Vec<_> = layers.iter().map(|l| ask(&mut first, &model, *l, &spec)).collect();
        let mut second = model.runner(&ranges, 12, 0);
        let mut backward: Vec<_> =
            layers.iter().rev().map(|l| ask(&mut second, &model, *l, &spec)).collect();
        backward.reverse();
        assert_eq!(forward, backward);
    }
}

/// Stops at the n-th question.
struct StopAt(usize, Vec<f64>);

impl Steer for StopAt {
    fn go_on(&mut self, done: f64) -> bool {
        self.1.push(done);
        self.1.len() <= self.0
    }
}

#[test]
fn a_stop_is_heard_between_passes_and_leaves_the_weights() {
    let model = Classifier::read("gelu");
    let mut runner = model.runner(&[0..12, 12..24], 24, 1 << 24);
    let bits = |runner: &Runner| -> Vec<Vec<f32>> {
        let values = |t: &Tensor| Vec::try_from(t.contiguous().view(-1)).unwrap();
        runner.weights().values().map(values).collect()
    };
    let before = bits(&runner);
    let names = tensors(&model, Some("block.0"));
    let what = Perturbed { seed: 5, layer: "block.0", tensors: &names, dense: None };
    for kind in [SharpnessKind::Average, SharpnessKind::Worst] {
        let spec = SharpnessSpec { kind, steps: 4, draws: 4, rho: 0.02, ..Default::default() };
        for n in 0..8 {
            let mut steer = StopAt(n, Vec::new());
            assert_eq!(measure(&mut runner, &what, &spec, &mut steer).unwrap(), None);
            assert_eq!(steer.1.len(), n + 1);
        }
        let mut steer = StopAt(usize::MAX, Vec::new());
        assert!(measure(&mut runner, &what, &spec, &mut steer).unwrap().is_some());
        assert!(steer.1.windows(2).all(|pair| pair[0] <= pair[1]), "{:?}", steer.1);
        assert!(steer.1.iter().all(|done| (0.0..=1.0).contains(done)));
        assert_eq!(bits(&runner), before);
    }
}

#[test]
fn a_loss_that_is_not_finite_names_the_layer() {
    let model = Classifier::read("gelu");
    let mut runner = model.runner(&[0..12], 24, 1 << 24);
    let names = tensors(&model, Some("block.0"));
    let what = Perturbed { seed: 5, layer: "block.0", tensors: &names, dense: None };
    let spec = SharpnessSpec { rho: 1e38, ..Default::default() };
    let error = measure(&mut runner, &what, &spec, &mut ()).unwrap_err().to_string();
    assert!(error.contains("`block.0`") && error.contains("smaller"), "{error}");
}
