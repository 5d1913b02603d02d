//! A ResNet CLIP through everything that a ViT goes through: inspection, the sweep's engine, probes
//! from the middle of the tower, variants, merged files. (Parity is in `parity.rs`.)
#![cfg(feature = "torch")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // helpers of tests

mod world;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use alphascope::checkpoint::arch::Source;
use alphascope::checkpoint::config::ModelConfig;
use alphascope::checkpoint::{Checkpoint, Overrides, Pair, describe, known};
use alphascope::inputs::Inputs;
use alphascope::sparsify::{Plan, parse};
use alphascope::sweep::engine::Engine;
use alphascope::sweep::ids::{Alpha, DatasetId};
use alphascope::sweep::spec::{BatchNorm, Spec, Variant};
use alphascope::torch::clip::{ImageTower, Pass, normalized};
use alphascope::torch::device::DeviceChoice;
use alphascope::torch::engine::TorchEngine;
use alphascope::torch::heads::Head;
use alphascope::torch::path::PathWeights;
use alphascope::torch::staged::{ClassWeights, Loss, Runner};
use alphascope::torch::weights::{Named, Tensors};
use tch::{Device, Kind, Tensor};
use tempfile::TempDir;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/parity").join(name)
}

fn pair() -> Pair {
    let overrides = Overrides {
        architecture: Some(fixture("resnet.json").display().to_string()),
        ..Overrides::default()
    };
    let file = |name: &str| fixture(&format!("{name}.safetensors"));
    Pair::open(&file("resnet"), &file("resnet.finetuned"), &overrides).unwrap()
}

/// A runner at α = ½ over six random images of three classes, and its weights.
fn runner(budget: usize) -> (Runner, PathWeights, Tensor, Pair) {
    let pair = pair();
    let names = pair.architecture.image_tensors().into_iter().map(|(name, _)| name);
    let mut weights =
        PathWeights::load(names, |at, name| pair.end(at, name), Device::Cpu, Kind::Float).unwrap();
    weights.set(Alpha::new(0.5).unwrap(), &Plan::default()).unwrap();
    tch::manual_seed(5);
    let head = Tensor::randn([3, pair.architecture.embed as i64], (Kind::Float, Device::Cpu)) * 3.0;
    let base = Named::new(weights.all(), Device::Cpu);
    let class_weights = ClassWeights::Fixed(Head::new(head.shallow_clone(), None));
    let mut runner =
        Runner::new(pair.architecture.clone(), base, class_weights, 4, budget).unwrap();
    let images: Vec<Vec<u8>> = (0..6_usize)
        .map(|i| (0..64 * 64 * 3).map(|at| ((at * (i + 3) * 7919) >> 5) as u8).collect())
        .collect();
    runner.add_batch(&images, &[0, 1, 2, 0, 1, 2]).unwrap();
    (runner, weights, head, pair)
}

#[test]
fn inspection_tells_what_it_is() {
    let told = describe(&fixture("resnet.safetensors")).unwrap().to_string();
    for words in ["ResNet 1-2-1-1, width 4", "image 64", "pool of 4 heads", "layer2.1", "attnpool"]
    {
        assert!(told.contains(words), "{words}: {told}");
    }
    let file = Checkpoint::open(&fixture("resnet.safetensors")).unwrap();
    assert!(file.ignored().iter().any(|name| name.ends_with("num_batches_tracked")));
}

/// Golden values are open_clip's own configurations, written by the fixture maker.
#[test]
fn every_resnet_of_openai_is_known() {
    let path = fixture("../checkpoints/resnets.json");
    let text = std::fs::read_to_string(path).unwrap();
    let configs: BTreeMap<String, serde_json::Value> = serde_json::from_str(&text).unwrap();
    assert_eq!(configs.len(), 10);
    for (name, config) in configs {
        let (known, quick) = known::by_name(&name).unwrap();
        let ours = ModelConfig { normalize: None, ..ModelConfig::of(&known, quick) };
        assert_eq!(ModelConfig::parse(&config).unwrap(), ours, "{name}");
        assert_eq!(ours.image.heads, known.width / 2, "{name}");
    }
}

#[test]
fn a_vit_and_a_resnet_make_no_path() {
    let overrides = Overrides::default();
    let (resnet, vit) = (fixture("resnet.safetensors"), fixture("gelu.safetensors"));
    for (a, b) in [(&resnet, &vit), (&vit, &resnet)] {
        let error = Pair::open(a, b, &overrides).unwrap_err().to_string();
        assert!(error.contains("missing"), "{error}");
    }
    let asked = Overrides { architecture: Some("RN50".into()), ..Overrides::default() };
    let error = Pair::open(&resnet, &resnet, &asked).unwrap_err().to_string();
    assert!(error.contains("blocks in stage 1 1 (configured 3)"), "{error}");
}

/// Only the suffix runs again, and it gives what the whole pass gives.
#[test]
fn a_replaced_layer_is_run_from_the_middle() {
    for budget in [0, 1 << 30] {
        let (mut runner, weights, head, pair) = runner(budget);
        for (name, before) in [
            ("visual.conv2.weight", 0),
            ("visual.layer2.0.downsample.1.bias", 2),
            ("visual.layer4.0.conv2.weight", 5),
            ("visual.attnpool.v_proj.weight", 6),
        ] {
            let own = weights.all().remove(name).unwrap();
            let other: Tensor = own.f_mul_scalar(1.25).unwrap() + 0.01;
            let mut over =
                runner.overlay(Tensors::from([(name.into(), other.shallow_clone())])).unwrap();
            let got = runner.logits(0, &mut over).unwrap();
            if budget > 0 {
                let had = runner.work().image.clone();
                let again = runner.logits(0, &mut over).unwrap();
                assert_eq!(got, again);
                let run: Vec<u64> =
                    runner.work().image.iter().zip(&had).map(|(now, had)| now - had).collect();
                let suffix = |stage| if stage < before { 0 } else { 6 };
                assert_eq!(run, (0..7).map(suffix).collect::<Vec<u64>>(), "{name}");
            }
            let mut all = weights.all();
            all.insert(name.into(), other);
            let whole = ImageTower::new(&Named::new(all, Device::Cpu), &pair.architecture).unwrap();
            let pixels = pixels();
            let features = whole.forward(&pixels, &mut ()).unwrap();
            let want = normalized(&features).unwrap().matmul(&head.tr());
            let difference = f64::try_from((got - &want).abs().max()).unwrap();
            assert!(difference < 1e-5, "{name}: {difference}");
            let base =
                runner.overlay(Tensors::new()).map(|mut o| runner.logits(0, &mut o).unwrap());
            let moved = f64::try_from((base.unwrap() - want).abs().max()).unwrap();
            assert!(moved > 1e-3, "{name} matters: {moved}");
        }
    }
}

fn pixels() -> Tensor {
    let bytes: Vec<u8> = (0..6_usize)
        .flat_map(|i| (0..64 * 64 * 3).map(move |at| ((at * (i + 3) * 7919) >> 5) as u8))
        .collect();
    Tensor::from_slice(&bytes).view([6, 64 * 64 * 3])
}

/// uᵀ·H·v and the loss, of a layer's second derivatives H.
fn second(runner: &mut Runner, name: &str, own: &Tensor, [u, v]: [&Tensor; 2]) -> (f64, f64) {
    let leaf = own.detach().set_requires_grad(true);
    let tensors = Tensors::from([(name.into(), leaf.shallow_clone())]);
    let mut over = runner.overlay(tensors).unwrap();
    let (mut loss, mut product) = (0.0, 0.0);
    let each = |share: &Tensor| {
        loss += f64::try_from(share)?;
        let first = Tensor::f_run_backward(&[share], &[&leaf], true, true)?;
        let along = first[0].f_mul(v)?.f_sum(Kind::Float)?;
        let of = Tensor::f_run_backward(&[along], &[&leaf], false, false)?;
        product += f64::try_from((&of[0] * u).sum(Kind::Double))?;
        Ok(())
    };
    runner.twice_differentiable(0, &mut over, Loss::Plain, each).unwrap();
    (product, loss)
}

/// The derivative along a direction is the difference quotient. Its derivative is that of the
/// derivative only behind the last rectification, whose kinks a quotient would step over; before
/// it the Hessian is still symmetric.
#[test]
fn gradients_and_curvature_are_difference_quotients() {
    let (mut runner, weights, ..) = runner(1 << 30);
    for (name, smooth) in [
        ("visual.layer1.0.conv2.weight", false),
        ("visual.layer4.0.bn2.weight", false),
        ("visual.attnpool.q_proj.weight", true),
        ("visual.attnpool.v_proj.weight", true),
    ] {
        let own = weights.all().remove(name).unwrap();
        tch::manual_seed(11);
        let scale = own.norm() / (own.numel() as f64).sqrt();
        let [u, v] = [(); 2].map(|()| own.randn_like() * &scale);
        let at = |runner: &mut Runner, t: f64| {
            let leaf = (&own + &u * t).detach().set_requires_grad(true);
            let mut over = runner.overlay(Tensors::from([(name.into(), leaf)])).unwrap();
            let (loss, gradients) = runner.gradient(0, &mut over, Loss::Plain).unwrap();
            (loss, f64::try_from((&gradients[name] * &u).sum(Kind::Double)).unwrap())
        };
        let step = 2e-3;
        let ((up, slope_up), (down, slope_down)) = (at(&mut runner, step), at(&mut runner, -step));
        let (loss, slope) = at(&mut runner, 0.0);
        let quotient = (up - down) / (2.0 * step);
        let allowed = 0.03 * slope.abs().max(0.02);
        assert!((slope - quotient).abs() < allowed, "{name}: {slope} {quotient}");
        let (product, same) = second(&mut runner, name, &own, [&u, &v]);
        assert!((same - loss).abs() < 1e-5, "{name}: {same} {loss}");
        let (turned, _) = second(&mut runner, name, &own, [&v, &u]);
        let allowed = 1e-3 * product.abs().max(0.01);
        assert!((product - turned).abs() < allowed, "{name}: {product} {turned}");
        if smooth {
            let (along, _) = second(&mut runner, name, &own, [&u, &u]);
            let quotient = (slope_up - slope_down) / (2.0 * step);
            let allowed = 0.05 * along.abs().max(0.02);
            assert!((along - quotient).abs() < allowed, "{name}: {along} {quotient}");
        }
    }
}

/// Every stage in a pass for gradients gives what the pass in place gives.
#[test]
fn every_pass_has_the_same_values() {
    let (_, weights, _, pair) = runner(0);
    let tower = ImageTower::new(&weights, &pair.architecture).unwrap();
    let run = |pass| {
        let _no_grad = tch::no_grad_guard();
        let mut tokens = tower.tokens(&pixels()).unwrap();
        (0..tower.stages()).for_each(|stage| {
            let given = std::mem::replace(&mut tokens, alphascope::torch::clip::Tokens::none());
            tokens = tower.step(stage, given, pass).unwrap();
        });
        tokens.x
    };
    let want = run(Pass::Measure);
    for pass in [Pass::Gradient, Pass::SecondOrder] {
        let difference = f64::try_from((run(pass) - &want).abs().max()).unwrap();
        assert!(difference < 1e-4, "{difference}");
    }
}

/// A sweep's inputs: the fixture's ends with heads of three classes, and images.
fn inputs(folder: &TempDir, batchnorm: BatchNorm) -> Result<Inputs, String> {
    let head = folder.path().join("head.safetensors");
    let mut weights = world::Weights::new();
    let values = (0..3 * 20).map(|i| ((i * 37 % 19) as f32 - 9.0) / 3.0).collect();
    weights.insert("weight".into(), (vec![3, 20], values));
    weights.insert("bias".into(), (vec![3], vec![0.0; 3]));
    world::save(&head, &[weights]);
    let images = folder.path().join("images");
    world::images(&images, &["cat", "dog", "fox"], 6, 3);
    let [zeroshot, finetuned, config] =
        ["resnet.safetensors", "resnet.finetuned.safetensors", "resnet.json"].map(fixture);
    let text = format!(
        "[checkpoints]\nzeroshot = {zeroshot:?}\nfinetuned = {finetuned:?}\n\
         architecture = {config:?}\nhead = {head:?}\n\
         [[datasets]]\nname = \"set\"\nrole = \"id\"\npath = {images:?}\n"
    );
    let path = folder.path().join("spec.toml");
    std::fs::write(&path, text).unwrap();
    let mut spec = Spec::load(&path).unwrap();
    spec.sweep.batchnorm = batchnorm;
    Inputs::open(spec).map_err(|error| error.to_string())
}

fn engine(folder: &TempDir, batchnorm: BatchNorm) -> TorchEngine {
    TorchEngine::new(Arc::new(inputs(folder, batchnorm).unwrap()), DeviceChoice::Cpu).unwrap()
}

#[test]
fn the_engine_sweeps_it_and_its_variants() {
    let folder = tempfile::tempdir().unwrap();
    let mut engine = engine(&folder, BatchNorm::Interpolate);
    let all = |engine: &mut TorchEngine, alpha: f64, variant: &Variant| {
        engine.set_point(Alpha::new(alpha).unwrap(), variant).unwrap();
        engine.evaluate(DatasetId(0), 0..18).unwrap()
    };
    let dense = Variant::dense();
    let before = all(&mut engine, 0.5, &dense);
    assert_eq!(before.hit.len(), 18);
    let pruned =
        Variant { name: "pruned".into(), sparsify: vec![parse("layer3.0=magnitude:0.6").unwrap()] };
    let from_middle = all(&mut engine, 0.5, &pruned);
    assert!(engine.kept_activations() > 0);
    engine.keep_activations(0);
    all(&mut engine, 0.0, &dense);
    assert_eq!(all(&mut engine, 0.5, &pruned), from_middle);
    assert_eq!(all(&mut engine, 0.5, &dense), before, "going back is exact");
}

#[test]
fn statistics_are_recomputed_at_each_point() {
    let folder = tempfile::tempdir().unwrap();
    let losses = |batchnorm| {
        let mut engine = engine(&folder, batchnorm);
        let dense = Variant::dense();
        [0.5, 0.0, 0.5].map(|alpha| {
            engine.set_point(Alpha::new(alpha).unwrap(), &dense).unwrap();
            engine.evaluate(DatasetId(0), 0..18).unwrap().loss
        })
    };
    let (interpolated, recomputed) = (losses(BatchNorm::Interpolate), losses(BatchNorm::Recompute));
    assert_eq!(recomputed[0], recomputed[2], "the same wherever one comes from");
    for (a, b) in interpolated.iter().flatten().zip(recomputed.iter().flatten()) {
        assert!((a - b).abs() > 1e-6, "{a} {b}");
    }
    let engine = engine(&folder, BatchNorm::Recompute);
    assert!(engine.notices().iter().any(|n| n.contains("first 18 images of `set`")));
}

/// Of GELU and QuickGELU a ResNet's image tower has neither: with a stored head there is nothing to
/// compare, wherever the activation came from.
#[test]
fn with_a_stored_head_no_activation_is_in_question() {
    let folder = tempfile::tempdir().unwrap();
    let mut inputs = inputs(&folder, BatchNorm::Interpolate).unwrap();
    inputs.pair.architecture.sources.activation = Source::Assumed("nothing says".into());
    let mut engine = TorchEngine::new(Arc::new(inputs), DeviceChoice::Cpu).unwrap();
    assert_eq!(engine.probe_activation(&mut ()).unwrap(), None);
}

#[test]
fn a_vit_has_no_statistics_to_recompute() {
    let folder = tempfile::tempdir().unwrap();
    let mut spec = inputs(&folder, BatchNorm::Interpolate).unwrap().spec;
    spec.sweep.batchnorm = BatchNorm::Recompute;
    for end in [&mut spec.checkpoints.zeroshot, &mut spec.checkpoints.finetuned] {
        *end = fixture("gelu.safetensors");
    }
    spec.checkpoints.architecture = Some(fixture("gelu.json").display().to_string());
    spec.checkpoints.head = None;
    let error = Inputs::open(spec).unwrap_err().to_string();
    assert!(error.contains("`sweep.batchnorm`") && error.contains("ViT"), "{error}");
}
