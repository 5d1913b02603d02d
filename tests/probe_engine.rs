//! Sharpness asked of the engine: against loops in float64, with a text tower that moves, and
//! whatever was asked before.
#![cfg(feature = "torch")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // helpers of tests

mod world;

use std::sync::Arc;

use alphascope::sweep::engine::Engine;
use alphascope::sweep::event::LayerInfo;
use alphascope::sweep::ids::DatasetId;
use alphascope::sweep::probe::{Probe, ProbeResult, SharpnessResult};
use alphascope::sweep::spec::{
    Layers, Precision, Scale, SharpnessKind, SharpnessSpec, Spec, Variant,
};
use alphascope::torch::device::DeviceChoice;
use alphascope::torch::engine::TorchEngine;
use alphascope::torch::sharpness::{Draw, Law, number};
use world::{
    CLASSES, Weights, World, engine, head, image_tower, measure, plain, point, text_tower, world,
    zero_shot,
};

fn layers(world: &World, units: Layers) -> Vec<LayerInfo> {
    let all = world.inputs.header(String::new(), vec![point(0.0)], |n| vec![n]).layers;
    all.into_iter().filter(|layer| layer.units == units).collect()
}

fn sharpness(
    engine: &mut TorchEngine,
    spec: &SharpnessSpec,
    layer: Option<&LayerInfo>,
) -> SharpnessResult {
    let probe = Probe::Sharpness { spec: spec.clone(), on: DatasetId(0) };
    match engine.probe(&probe, layer, &mut ()).unwrap() {
        Some(ProbeResult::Sharpness(result)) => result,
        other => panic!("{other:?}"),
    }
}

/// Mean loss of some images by definition, float64.
fn loss(world: &World, images: std::ops::Range<usize>, w: &Weights, head: &plain::Rows) -> f64 {
    let loaded = &world.inputs.datasets[0];
    let order = &loaded.order[images];
    let pixels = world.inputs.cache.pixels(DatasetId(0), &loaded.dataset, order).unwrap();
    let each = order.iter().zip(&pixels).map(|(&image, pixels)| {
        let features = plain::image(w, pixels);
        let logits: Vec<f64> =
            head.iter().map(|row| row.iter().zip(&features).map(|(a, b)| a * b).sum()).collect();
        let own = logits[loaded.dataset.label(image)];
        logits.iter().map(|z| (z - own).exp()).sum::<f64>().ln()
    });
    each.sum::<f64>() / order.len() as f64
}

#[test]
fn every_layer_of_both_towers_is_what_the_definition_says() {
    let ends = [
        [image_tower(1), text_tower(3)].concat_weights(),
        [image_tower(2), text_tower(6)].concat_weights(),
    ];
    let world = world(&[ends[0].clone()], &[ends[1].clone()]);
    assert!(world.inputs.pair.text_moves());
    let mut engine = engine(&world);
    let alpha = 0.3;
    engine.set_point(point(alpha), &Variant::dense()).unwrap();
    let mut at = plain::mix(&ends[0], &ends[1], alpha);
    at.remove("logit_scale");
    let spec = SharpnessSpec { batch: 9, batches: 2, draws: 2, rho: 0.1, ..Default::default() };
    let blocks = layers(&world, Layers::Block);
    assert!(blocks.iter().any(|layer| layer.name == "text.block.1"));
    for layer in blocks.iter().map(Some).chain([None]) {
        let got = sharpness(&mut engine, &spec, layer);
        let name = layer.map_or("overall", |layer| layer.name.as_str());
        let seed = world.inputs.spec.sweep.seed;
        let moved = |batch: usize, sign: f32| -> Weights {
            let draw = Draw { seed, layer: name, k: number(batch, 0) };
            let one = |(tensor, (shape, values)): (&String, &(Vec<usize>, Vec<f32>))| {
                let mine = layer.is_none_or(|layer| layer.tensors.contains(tensor));
                let unit = draw.values(Law::Normal, tensor, values.len());
                let move_one = |(w, e): (&f32, &f32)| w + sign * 0.1 * w.abs() * e;
                let values = if mine {
                    values.iter().zip(&unit).map(move_one).collect()
                } else {
                    values.clone()
                };
                (tensor.clone(), (shape.clone(), values))
            };
            at.iter().map(one).collect()
        };
        assert_eq!(got.rises.len(), 2);
        assert_eq!(got.logit_scale, Some(f64::from(20.0_f32.ln()).exp()));
        if let Some(layer) = layer {
            assert_eq!(got.parameters, layer.parameters);
        }
        for (batch, images) in [0..9, 9..18].into_iter().enumerate() {
            let [up, down, first] = [1.0, -1.0, 0.0].map(|sign| {
                let w = moved(batch, sign);
                let head = zero_shot(&w, &CLASSES, 20.0);
                loss(&world, images.clone(), &w, &head)
            });
            let expected = (up + down) / 2.0 - first;
            let rise = got.rises[batch][0];
            assert!((got.losses[batch] - first).abs() < 2e-4, "{name}");
            assert!((rise - expected).abs() < 3e-4, "{name}: {rise} {expected}");
        }
    }
}

#[test]
fn the_logit_scale_moves_with_the_point() {
    let scale = |x: f32| Weights::from([("logit_scale".to_string(), (vec![], vec![x.ln()]))]);
    let fast = [image_tower(2), scale(80.0)];
    // Once with the zero-shot file's text tower, once with one that moves.
    for ends in [fast.to_vec(), [&fast[..1], &[text_tower(6)], &fast[1..]].concat()] {
        let world = world(&[image_tower(1), text_tower(3)], &ends);
        let spec = SharpnessSpec { batch: 9, batches: 2, draws: 2, rho: 0.1, ..Default::default() };
        let layers = layers(&world, Layers::Block);
        let measure = |engine: &mut TorchEngine, alpha: f64| {
            engine.set_point(point(alpha), &Variant::dense()).unwrap();
            sharpness(engine, &spec, layers.first())
        };
        let mut once = engine(&world);
        let [zero, half, one] = [0.0, 0.5, 1.0].map(|alpha| measure(&mut once, alpha));
        for (got, expected) in [(&zero, 20.0), (&half, 40.0), (&one, 80.0)] {
            assert!((got.logit_scale.unwrap() - expected).abs() < 1e-3, "{got:?}");
        }
        // What was staged at one point is not used at another's scale.
        assert_eq!(measure(&mut engine(&world), 0.5), half);
        // Losses are those of images counted one by one.
        let outcome = once.evaluate(DatasetId(0), 0..9).unwrap();
        let mean = outcome.loss.iter().sum::<f64>() / 9.0;
        assert!((one.losses[0] - mean).abs() < 1e-4, "{} {mean}", one.losses[0]);
    }
}

trait Concat {
    fn concat_weights(self) -> Weights;
}

impl Concat for [Weights; 2] {
    fn concat_weights(self) -> Weights {
        self.into_iter().flatten().collect()
    }
}

#[test]
fn answers_depend_on_the_question_alone() {
    let world = world(
        &[image_tower(1), text_tower(3), head(4, 6, false)],
        &[image_tower(2), head(5, 6, true)],
    );
    let modules = layers(&world, Layers::Module);
    for kind in [SharpnessKind::Average, SharpnessKind::Worst] {
        let spec = SharpnessSpec {
            kind,
            batch: 12,
            steps: 4,
            rho: 0.05,
            restarts: 2,
            ..Default::default()
        };
        let mut one = engine(&world);
        let accuracy = measure(&mut one, 0.4, 0);
        let all = |order: &mut dyn Iterator<Item = Option<&LayerInfo>>, path: &[f64]| {
            let mut engine = engine(&world);
            for &alpha in path {
                measure(&mut engine, alpha, 1);
                sharpness(&mut engine, &spec, Some(&modules[1]));
            }
            engine.set_point(point(0.4), &Variant::dense()).unwrap();
            let results: Vec<_> = order.map(|layer| sharpness(&mut engine, &spec, layer)).collect();
            // Afterwards the weights stand where they stood.
            assert_eq!(engine.evaluate(DatasetId(0), 0..24).unwrap(), accuracy);
            results
        };
        let forward = all(&mut modules.iter().map(Some).chain([None]), &[]);
        let mut back =
            all(&mut [None].into_iter().chain(modules.iter().rev().map(Some)), &[1.0, 0.4, 0.0]);
        back.reverse();
        assert_eq!(forward, back);
        assert!(forward.iter().all(|result| result.logit_scale.is_none()));
        assert!(forward.iter().flat_map(|r| &r.rises).flatten().any(|rise| *rise > 0.0));
    }
}

#[test]
fn a_sparse_layer_is_perturbed_on_the_scale_asked_for() {
    let world = world(&[image_tower(1), text_tower(3)], &[image_tower(2)]);
    let spec: Spec = toml::from_str(
        "[checkpoints]\nzeroshot = 'a'\nfinetuned = 'b'\n[[datasets]]\nname = 'd'\nrole = 'id'\n\
         path = 'd'\n[[variants]]\nname = 'half'\n\
         sparsify = [{ layer = 'block.1', method = 'magnitude', amount = 0.5 }]\n",
    )
    .unwrap();
    let half = &spec.variants[0];
    let blocks = layers(&world, Layers::Block);
    let layer = blocks.iter().find(|layer| layer.name == "block.1").unwrap();
    let mut engine = engine(&world);
    let mut ask = |variant: &Variant, scale| {
        engine.set_point(point(0.5), variant).unwrap();
        let spec = SharpnessSpec { batch: 12, rho: 0.05, scale, ..Default::default() };
        sharpness(&mut engine, &spec, Some(layer))
    };
    let dense = ask(&Variant::dense(), Scale::Own);
    let (own, other) = (ask(half, Scale::Own), ask(half, Scale::Dense));
    assert_eq!((dense.frozen, other.frozen), (0, 0));
    // Half of the four matrices, 8 × (24 + 8 + 16 + 16) weights.
    assert_eq!(own.frozen, 8 * 64 / 2);
    assert_ne!(own.losses, dense.losses);
    assert_eq!(own.losses, other.losses);
    assert_ne!(own.rises, other.rises);
    assert_eq!(ask(&Variant::dense(), Scale::Dense), dense);
}

/// An engine that sweeps in bfloat16 measures sharpness in float32 all the same.
#[test]
fn sharpness_is_float32_whatever_the_sweep_is() {
    let world = world(&[image_tower(1), text_tower(3)], &[image_tower(2)]);
    let mut exact = engine(&world);
    let inputs = Arc::clone(&world.inputs);
    let mut rough =
        TorchEngine::with_precision(inputs, DeviceChoice::Cpu, Precision::Bf16).unwrap();
    let spec = SharpnessSpec { batch: 12, rho: 1e-3, ..Default::default() };
    for alpha in [0.0, 0.6] {
        exact.set_point(point(alpha), &Variant::dense()).unwrap();
        rough.set_point(point(alpha), &Variant::dense()).unwrap();
        let (a, b) = (sharpness(&mut exact, &spec, None), sharpness(&mut rough, &spec, None));
        assert_eq!(a, b);
    }
}
