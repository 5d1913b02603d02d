//! Curvature against exact Hessians by PyTorch (see `tests/fixtures/make/curvature.py`), and
//! against finite differences of the gradients that sharpness uses.
#![cfg(feature = "torch")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // helpers of tests

#[path = "plain/classifier.rs"]
mod classifier;
mod plain;
mod world;

use std::path::Path;

use alphascope::sweep::engine::{Engine, Steer};
use alphascope::sweep::event::LayerInfo;
use alphascope::sweep::ids::DatasetId;
use alphascope::sweep::probe::{CurvatureResult, Probe, ProbeResult};
use alphascope::sweep::spec::{CurvatureSpec, Layers, Variant};
use alphascope::torch::curvature::{Plan, curvature};
use alphascope::torch::hessian::signs;
use alphascope::torch::sharpness::Draw;
use alphascope::torch::staged::{Loss, Runner};
use classifier::Classifier;
use rstest::rstest;
use serde_json::Value;
use tch::{Kind, Tensor};

/// A classifier of `tests/fixtures/sharpness` and its images, so many at a time.
fn runner(model: &str, micro: usize) -> Runner {
    let all = 0..24;
    Classifier::read(model).runner(std::slice::from_ref(&all), micro, 1 << 20)
}

/// A layer named as in the fixture: a tensor, or the head.
fn layer(runner: &Runner, name: &str) -> LayerInfo {
    const HEAD: [&str; 3] = ["visual.ln_post.", "visual.proj", "classification_head."];
    let is_in = |tensor: &str| match name {
        "head" => HEAD.iter().any(|start| tensor.starts_with(start)),
        _ => tensor == name,
    };
    let tensors: Vec<String> = runner.weights().keys().filter(|t| is_in(t)).cloned().collect();
    let parameters = tensors.iter().map(|t| runner.weights()[t].numel() as u64).sum();
    LayerInfo { name: name.into(), units: Layers::Tensor, parameters, moved: None, tensors }
}

const PROBES: usize = 48;

fn measure(model: &str, name: &str, micro: usize, keep: bool) -> CurvatureResult {
    let mut runner = runner(model, micro);
    let layer = layer(&runner, name);
    let spec = CurvatureSpec { probes: PROBES, iterations: 200, ..CurvatureSpec::default() };
    let plan = Plan { seed: 7, keep };
    curvature(&mut runner, &layer, &spec, plan, &mut ()).unwrap().unwrap()
}

#[rstest]
#[case("path")]
#[case("one-patch")]
#[case("gelu")]
fn trace_and_eigenvalue_are_those_of_the_exact_hessian(#[case] model: &str) {
    let text = std::fs::read_to_string(
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/curvature.json"),
    )
    .unwrap();
    let entries: Vec<Value> = serde_json::from_str(&text).unwrap();
    let mut seen = 0;
    for entry in entries.iter().filter(|entry| entry["model"] == model) {
        let name = entry["layer"].as_str().unwrap();
        let number = |key: &str| entry[key].as_f64().unwrap();
        let result = measure(model, name, 64, true);
        assert_eq!(result.parameters as f64, number("parameters"));
        assert_eq!((result.quadratic.len(), result.quadratic[0].len()), (1, PROBES));
        let mean = result.quadratic[0].iter().sum::<f64>() / PROBES as f64;
        let allowed = 4.0 * number("spread") / (PROBES as f64).sqrt();
        assert!((mean - number("trace")).abs() < allowed, "{name}: {mean} {}", number("trace"));
        let (value, residual) = (result.eigenvalues[0], result.residuals[0]);
        println!("{model} {name}: trace {mean}, {value} ± {residual}");
        // Of a symmetric matrix: within ‖Hv − λv‖ of an eigenvalue, here of the largest.
        let allowed = residual * value.abs() + 1e-4 * number("top").abs();
        assert!(residual < 0.1, "{name}: {residual}");
        assert!((value - number("top")).abs() < allowed, "{name}: {value} {}", number("top"));
        seen += 1;
    }
    assert!(seen >= 3);
}

/// Few images at a time, with and without holding their graphs, give what all at once give.
#[test]
fn passes_and_memory_change_nothing() {
    let name = "visual.transformer.resblocks.1.attn.out_proj.weight";
    let whole = measure("path", name, 64, true);
    for (micro, keep) in [(7, true), (7, false), (64, false)] {
        let parts = measure("path", name, micro, keep);
        for (a, b) in parts.quadratic[0].iter().zip(&whole.quadratic[0]) {
            assert!((a - b).abs() < 1e-4 * b.abs().max(1.0), "{a} {b}");
        }
        let (a, b) = (parts.eigenvalues[0], whole.eigenvalues[0]);
        assert!((a - b).abs() < 1e-3 * b.abs(), "{a} {b}");
    }
}

/// vᵀHv by (g(θ + εv) − g(θ − εv))·v / 2ε, the gradients by the fused kernels.
#[test]
fn products_agree_with_differences_of_the_gradients_of_sharpness() {
    let mut runner = runner("gelu", 64);
    let name = "visual.transformer.resblocks.1.ln_1.bias";
    let base = runner.weights()[name].copy();
    let (mut along, step) = (0.0, 1e-2);
    let draw = Draw { seed: 7, layer: name, k: 0 };
    let v = signs(draw, &[name.to_string()], &[base.shallow_clone()]).unwrap();
    for sign in [1.0, -1.0] {
        let moved = (&base + &v[0] * (sign * step)).set_requires_grad(true);
        let mut over = runner.overlay([(name.to_string(), moved)].into()).unwrap();
        let (_, gradient) = runner.gradient(0, &mut over, Loss::Plain).unwrap();
        along += sign * f64::try_from((&gradient[name] * &v[0]).sum(Kind::Double)).unwrap();
    }
    let about = along / (2.0 * step);
    let exact = measure("gelu", name, 64, true).quadratic[0][0];
    assert!((about - exact).abs() < 1e-3 * exact.abs().max(1.0), "{about} {exact}");
}

#[test]
fn it_can_be_left_and_knows_its_tensors() {
    struct After(usize);
    impl Steer for After {
        fn go_on(&mut self, done: f64) -> bool {
            assert!((0.0..=1.0).contains(&done), "{done}");
            self.0 = self.0.saturating_sub(1);
            self.0 > 0
        }
    }
    let mut runner = runner("gelu", 64);
    let mut layer = layer(&runner, "visual.ln_pre.weight");
    let spec = CurvatureSpec { probes: 4, iterations: 8, ..CurvatureSpec::default() };
    let plan = Plan { seed: 0, keep: false };
    for steps in [1, 3, 7] {
        let left = curvature(&mut runner, &layer, &spec, plan, &mut After(steps)).unwrap();
        assert_eq!(left, None);
    }
    assert!(curvature(&mut runner, &layer, &spec, plan, &mut After(100)).unwrap().is_some());
    layer.tensors.push("visual.nothing".into());
    let error = curvature(&mut runner, &layer, &spec, plan, &mut ()).unwrap_err().to_string();
    assert!(error.contains("`visual.nothing`"), "{error}");
}

/// The same through the engine, in both towers, where class weights are made by a text tower.
#[test]
fn the_engine_measures_it_in_both_towers() {
    let end = |image, text| [world::image_tower(image), world::text_tower(text)];
    let pair = world::world(&end(1, 3), &end(2, 4));
    let mut engine = world::engine(&pair);
    let spec = CurvatureSpec { probes: 2, iterations: 4, batch: 24, ..CurvatureSpec::default() };
    let probe = Probe::Curvature { spec, on: DatasetId(0) };
    let header = pair.inputs.header(String::new(), Vec::new(), |n| vec![n]);
    assert!(engine.probe(&probe, header.layers.first(), &mut ()).is_err(), "at no point");
    engine.set_point(world::point(0.3), &Variant::dense()).unwrap();
    assert!(engine.probe(&probe, None, &mut ()).is_err(), "no layer");
    for name in ["block.1", "head", "text.block.0.mlp", "text.head"] {
        let layer = header.layers.iter().find(|layer| layer.name == name).unwrap();
        let result = engine.probe(&probe, Some(layer), &mut ()).unwrap();
        let Some(ProbeResult::Curvature(result)) = result else { panic!("{result:?}") };
        assert_eq!((result.quadratic.len(), result.eigenvalues.len()), (1, 1));
        let exact = result.quadratic[0][0];

        let all = 0..24;
        let runner = engine.staged(DatasetId(0), std::slice::from_ref(&all)).unwrap();
        let base: Vec<Tensor> = layer.tensors.iter().map(|t| runner.weights()[t].copy()).collect();
        let seed = pair.inputs.spec.sweep.seed;
        let v = signs(Draw { seed, layer: name, k: 0 }, &layer.tensors, &base).unwrap();
        let (mut along, step) = (0.0, 1e-3);
        for sign in [1.0, -1.0] {
            let moved = base.iter().zip(&v).map(|(x, v)| x + v * (sign * step));
            let moved = moved.map(|x| x.set_requires_grad(true));
            let moved = layer.tensors.iter().cloned().zip(moved).collect();
            let mut over = runner.overlay(moved).unwrap();
            let (_, gradient) = runner.gradient(0, &mut over, Loss::Plain).unwrap();
            for (name, v) in layer.tensors.iter().zip(&v) {
                along += sign * f64::try_from((&gradient[name] * v).sum(Kind::Double)).unwrap();
            }
        }
        let about = along / (2.0 * step);
        println!("{name}: {exact}, by differences {about}");
        assert!((about - exact).abs() < 0.05 * exact.abs().max(2.0), "{name}: {about} {exact}");
    }
}
