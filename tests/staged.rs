//! The model run from the middle, against the same model run whole.
#![allow(clippy::single_range_in_vec_init)] // batches, of which there may be one
#![cfg(feature = "torch")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // helpers of tests

#[path = "plain/classifier.rs"]
mod classifier;
mod plain;

use alphascope::checkpoint::layers::{Granularity, layers};
use alphascope::torch::staged::Loss;
use classifier::{Classifier, NAMES};
use plain::Weights;
use tch::{Kind, Tensor};

/// Some of a classifier's tensors, each a little elsewhere.
fn moved(model: &Classifier, names: &[String], seed: i64) -> Weights {
    tch::manual_seed(seed);
    let moved = |name: &String| {
        let w = &model.weights[name];
        (name.clone(), w + 0.1 * w.randn_like())
    };
    names.iter().map(moved).collect()
}

fn leaves(tensors: &Weights) -> Weights {
    tensors.iter().map(|(n, t)| (n.clone(), t.detach().set_requires_grad(true))).collect()
}

fn with(model: &Classifier, over: &Weights) -> Weights {
    let all = model.weights.iter().chain(over);
    all.map(|(name, tensor)| (name.clone(), tensor.shallow_clone())).collect()
}

fn largest(x: &Tensor) -> f64 {
    f64::try_from(x.abs().max()).unwrap()
}

fn all_layers(model: &Classifier) -> Vec<Vec<String>> {
    let dims = model.architecture.dims();
    let mut all: Vec<Vec<String>> = [Granularity::Block, Granularity::Module, Granularity::Tensor]
        .into_iter()
        .flat_map(|g| layers(&dims, g, Some((6, true)), false))
        .map(|layer| layer.tensors)
        .collect();
    all.push(model.weights.keys().cloned().collect());
    all
}

#[test]
fn suffixes_give_what_the_whole_gives() {
    for name in NAMES {
        let model = Classifier::read(name);
        // Everything kept, a part kept, nothing kept; passes of 24, 7 and 1 images.
        for (micro, budget) in [(24, 1 << 30), (7, 100_000), (1, 0)] {
            let mut runner = model.runner(&[0..24], micro, budget);
            for (seed, names) in all_layers(&model).iter().enumerate() {
                let over = moved(&model, names, seed as i64);
                let mut overlay = runner.overlay(over.iter().map(pair).collect()).unwrap();
                let got = runner.logits(0, &mut overlay).unwrap();
                let pixels = model.pixels(0..24, Kind::Float);
                let expected = plain::logits(&with(&model, &over), &model.architecture, &pixels);
                let difference = largest(&(&got - &expected)) / largest(&expected);
                assert!(difference < 1e-5, "{name} {names:?} {micro}: {difference}");
            }
        }
    }
}

fn pair((name, tensor): (&String, &Tensor)) -> (String, Tensor) {
    (name.clone(), tensor.shallow_clone())
}

#[test]
fn gradients_of_suffixes_are_those_of_the_whole() {
    for (name, rule) in
        NAMES.into_iter().flat_map(|name| [(name, Loss::Plain), (name, Loss::Normalized)])
    {
        let model = Classifier::read(name);
        let mut runner = model.runner(&[0..24], 7, 1 << 20);
        for (seed, names) in all_layers(&model).iter().enumerate() {
            let over = leaves(&moved(&model, names, seed as i64));
            let mut overlay = runner.overlay(over.iter().map(pair).collect()).unwrap();
            let (value, got) = runner.gradient(0, &mut overlay, rule).unwrap();
            let whole = leaves(&with(&model, &over));
            let pixels = model.pixels(0..24, Kind::Float);
            let logits = plain::logits(&whole, &model.architecture, &pixels);
            let loss = plain::loss(&logits, &model.labels(0..24), rule == Loss::Normalized);
            let inputs: Vec<&Tensor> = over.keys().map(|name| &whole[name]).collect();
            let expected = Tensor::run_backward(&[&loss], &inputs, false, false);
            assert!((value - f64::try_from(&loss).unwrap()).abs() < 1e-5);
            assert!(got.keys().eq(over.keys()));
            let size = expected.iter().map(largest).fold(0.0, f64::max);
            for ((tensor, got), expected) in got.iter().zip(&expected) {
                let difference = largest(&(got - expected)) / size;
                assert!(difference < 1e-4, "{name} {tensor}: {difference}");
            }
        }
    }
}

#[test]
fn shares_that_can_be_differentiated_twice_add_up_to_the_loss() {
    let model = Classifier::read("path");
    let mut runner = model.runner(&[0..24], 10, 1 << 20);
    let names = vec!["visual.transformer.resblocks.0.ln_1.bias".to_string()];
    let over = leaves(&moved(&model, &names, 3));
    let mut overlay = runner.overlay(over.iter().map(pair).collect()).unwrap();
    let (value, gradient) = runner.gradient(0, &mut overlay, Loss::Plain).unwrap();
    let x = &over[&names[0]];
    let (mut sum, mut first) = (0.0, x.zeros_like());
    let mut seconds = 0.0;
    runner
        .twice_differentiable(0, &mut overlay, Loss::Plain, |share| {
            sum += f64::try_from(share)?;
            let d = Tensor::f_run_backward(&[share], &[x], true, true)?;
            first += d[0].detach();
            let dd = Tensor::f_run_backward(&[d[0].f_sum(Kind::Float)?], &[x], false, false)?;
            seconds += largest(&dd[0]);
            Ok(())
        })
        .unwrap();
    assert!((sum - value).abs() < 1e-5, "{sum} {value}");
    assert!(largest(&(first - &gradient[&names[0]])) < 1e-5);
    assert!(seconds > 0.0);
}

#[test]
fn what_was_kept_is_forgotten_when_the_weights_move() {
    let model = Classifier::read("gelu");
    let mut runner = model.runner(&[0..24], 24, 1 << 30);
    let mut none = runner.overlay(Weights::new()).unwrap();
    let before = runner.logits(0, &mut none).unwrap();
    {
        let _no_grad = tch::no_grad_guard();
        let mut weight = runner.weights()["visual.ln_post.weight"].shallow_clone();
        let _ = weight.f_mul_scalar_(2.0).unwrap();
        let mut bias = runner.weights()["classification_head.bias"].shallow_clone();
        let _ = bias.f_add_scalar_(1.0).unwrap();
    }
    runner.moved();
    let pixels = model.pixels(0..24, Kind::Float);
    let expected = plain::logits(&model.weights, &model.architecture, &pixels);
    let after = runner.logits(0, &mut none).unwrap();
    assert!(largest(&(&after - &expected)) < 1e-4);
    assert!(largest(&(after - before)) > 0.5);
}

#[test]
fn only_the_suffix_runs() {
    let model = Classifier::read("one-patch");
    let mut runner = model.runner(&[0..12, 12..24], 12, 1 << 30);
    let stages = runner.work().image.len();
    let head = vec!["visual.proj".to_string()];
    let mut overlay = runner.overlay(moved(&model, &head, 1)).unwrap();
    for batch in [0, 1, 0, 1, 0] {
        runner.loss(batch, &mut overlay, Loss::Plain).unwrap();
    }
    let work = runner.work().image.clone();
    assert!(work[..stages - 1].iter().all(|&images| images == 24), "{work:?}");
    assert_eq!(work[stages - 1], 60);
}

#[test]
fn wrong_questions_are_errors() {
    let model = Classifier::read("path");
    let mut runner = model.runner(&[0..4], 4, 0);
    let text = |error: alphascope::torch::error::TorchError| error.to_string();
    let strange = Weights::from([("visual.nothing".to_string(), Tensor::zeros([1], OPTIONS))]);
    assert!(text(runner.overlay(strange).unwrap_err()).contains("visual.nothing"));
    let short = Weights::from([("visual.ln_pre.bias".to_string(), Tensor::zeros([1], OPTIONS))]);
    assert!(text(runner.overlay(short).unwrap_err()).contains("expected shape [24]"));
    let mut none = runner.overlay(Weights::new()).unwrap();
    assert!(text(runner.logits(1, &mut none).unwrap_err()).contains("under 1"));
    assert!(text(runner.add_batch::<Vec<u8>>(&[], &[]).unwrap_err()).contains("at least one"));
    assert!(text(runner.add_batch(&[vec![0_u8; 7]], &[0]).unwrap_err()).contains("bytes"));
}

const OPTIONS: (Kind, tch::Device) = (Kind::Float, tch::Device::Cpu);
