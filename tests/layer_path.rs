//! Layer-wise paths: what the engine says of one moving layer is what a checkpoint with that layer
//! copied into it gives, image by image.
#![cfg(feature = "torch")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // helpers of tests

mod world;

use std::collections::BTreeMap;

use alphascope::sweep::engine::{Engine, Steer};
use alphascope::sweep::event::LayerInfo;
use alphascope::sweep::ids::DatasetId;
use alphascope::sweep::probe::{Direction, PathResult, Probe, ProbeResult};
use alphascope::sweep::spec::{BarrierSpec, Base, Layers, Variant};
use alphascope::torch::engine::TorchEngine;
use alphascope::torch::layer_path::away;
use tch::{Kind, Tensor};
use world::{
    Weights, World, edit, engine, head, image_tower, measure, plain, point, text_tower, variant,
    world,
};

fn together(parts: [Weights; 3]) -> Weights {
    parts.into_iter().flatten().collect()
}

/// Ends that both store a head, so that the text tower is in no layer.
fn stored() -> (Weights, Weights) {
    let end = |image, heads| together([image_tower(image), text_tower(3), head(heads, 6, true)]);
    (end(1, 4), end(2, 5))
}

/// Ends whose heads are made by text towers that differ.
fn texts() -> (Weights, Weights) {
    let end = |image, text| together([image_tower(image), text_tower(text), Weights::new()]);
    (end(1, 3), end(2, 4))
}

fn layer(world: &World, name: &str) -> LayerInfo {
    let header = world.inputs.header(String::new(), Vec::new(), |n| vec![n]);
    header.layers.into_iter().find(|layer| layer.name == name).unwrap()
}

fn alpha_of(base: Base) -> f64 {
    match base {
        Base::Zeroshot => 0.0,
        Base::Midpoint => 0.5,
        Base::Finetuned => 1.0,
    }
}

const ON: [DatasetId; 2] = [DatasetId(1), DatasetId(0)];

fn probe(base: Base, direction: Direction) -> Probe {
    let spec = BarrierSpec { base, layers: Layers::Block, images: 20, ..BarrierSpec::default() };
    Probe::Path { spec, on: ON.to_vec(), direction }
}

fn probed(
    engine: &mut TorchEngine,
    probe: &Probe,
    layer: &LayerInfo,
    alpha: f64,
) -> Vec<PathResult> {
    sparsely_probed(engine, probe, layer, alpha, &Variant::dense())
}

fn sparsely_probed(
    engine: &mut TorchEngine,
    probe: &Probe,
    layer: &LayerInfo,
    alpha: f64,
    variant: &Variant,
) -> Vec<PathResult> {
    engine.set_point(point(alpha), variant).unwrap();
    match engine.probe(probe, Some(layer), &mut ()).unwrap().unwrap() {
        ProbeResult::Path { on } => on,
        other => panic!("{other:?}"),
    }
}

/// Compares with a checkpoint that holds the base's tensors, but the layer's of `moved`.
fn check(got: &[PathResult], base: &Weights, moved: &Weights, layer: &LayerInfo) {
    let mut mixed = base.clone();
    for name in &layer.tensors {
        mixed.insert(name.clone(), moved[name].clone());
    }
    let plain = world(&[mixed.clone()], &[mixed]);
    let mut engine = engine(&plain);
    assert_eq!(got.iter().map(|result| result.dataset).collect::<Vec<_>>(), ON);
    for result in got {
        let expected = measure(&mut engine, 0.0, result.dataset.index());
        let images = expected.hit.len().min(20);
        let hits: Vec<bool> = result.hits.iter().collect();
        assert_eq!(hits, expected.hit[..images], "{}", layer.name);
        assert_eq!(result.images, images);
        assert_eq!(result.correct, hits.iter().filter(|&&hit| hit).count());
        let loss: f64 = expected.loss[..images].iter().sum();
        let apart = (result.loss_sum - loss).abs();
        assert!(apart < 1e-5 * images as f64, "{}: {} {loss}", layer.name, result.loss_sum);
    }
}

fn compare((zero, one): (Weights, Weights), layers: &[&str]) {
    let pair = world(std::slice::from_ref(&zero), std::slice::from_ref(&one));
    let mut engine = engine(&pair);
    for (base, alpha) in [
        (Base::Finetuned, 0.3),
        (Base::Zeroshot, 1.0),
        (Base::Midpoint, 0.0),
        (Base::Zeroshot, 0.3),
    ] {
        let at_base = plain::mix(&zero, &one, alpha_of(base));
        for name in layers {
            let layer = layer(&pair, name);
            let got = probed(&mut engine, &probe(base, Direction::Path), &layer, alpha);
            check(&got, &at_base, &plain::mix(&zero, &one, alpha), &layer);
        }
    }
}

#[test]
fn a_moving_layer_is_the_checkpoint_with_it_copied_in() {
    let layers = [
        "stem",
        "block.0",
        "block.2",
        "head",
        "block.1.attn",
        "block.2.mlp",
        "visual.positional_embedding",
        "classification_head.bias",
    ];
    compare(stored(), &layers);
}

#[test]
fn so_it_is_in_text_towers() {
    compare(texts(), &["text.stem", "text.block.1", "text.head", "block.1", "head"]);
}

/// Block 1 of a variant is edited at the base and where it moves; the others are as they were.
#[test]
fn under_a_sparse_variant_base_and_moving_layer_are_the_variants() {
    let (zero, one) = stored();
    let pair = world(std::slice::from_ref(&zero), std::slice::from_ref(&one));
    let mut engine = engine(&pair);
    for (method, amount, typed) in [
        ("magnitude", 0.5, "block.1=magnitude:0.5"),
        ("delta", 0.7, "block.1=delta:0.7"),
        ("2:4", 0.5, "block.1=2:4"),
        ("reset", 1.0, "block.1=reset"),
    ] {
        let variant = variant("sparse", &[typed]);
        let at = |alpha: f64| {
            let mut weights = plain::mix(&zero, &one, alpha);
            edit(&mut weights, (&zero, &one), 1, method, amount);
            weights
        };
        for (base, alpha) in [(Base::Finetuned, 0.3), (Base::Midpoint, 1.0), (Base::Zeroshot, 0.6)]
        {
            for name in ["block.0", "block.1", "block.1.mlp", "head"] {
                let layer = layer(&pair, name);
                let probe = probe(base, Direction::Path);
                let got = sparsely_probed(&mut engine, &probe, &layer, alpha, &variant);
                check(&got, &at(alpha_of(base)), &at(alpha), &layer);
            }
        }
        // The control goes as far as the variant's layer moves, from where that begins.
        let layer = layer(&pair, "block.1");
        let (from, to) = (tensors(&at(0.0), &layer), tensors(&at(1.0), &layer));
        let direction = away(pair.inputs.spec.sweep.seed, "block.1", &from, &to).unwrap();
        let mut moved = at(0.0);
        for name in &layer.tensors {
            let values = (&from[name] + &direction[name] * 0.7).flatten(0, -1);
            moved.get_mut(name).unwrap().1 = Vec::try_from(values).unwrap();
        }
        let probe = probe(Base::Finetuned, Direction::Random);
        let got = sparsely_probed(&mut engine, &probe, &layer, 0.7, &variant);
        check(&got, &at(1.0), &moved, &layer);
        // Back on the dense path nothing of the variant is left.
        let layer = self::layer(&pair, "block.0");
        let dense = probed(&mut engine, &self::probe(Base::Midpoint, Direction::Path), &layer, 0.3);
        check(&dense, &plain::mix(&zero, &one, 0.5), &plain::mix(&zero, &one, 0.3), &layer);
    }
}

#[test]
fn all_layers_at_the_base_are_the_base_and_the_weights_stay_where_they_were() {
    let (zero, one) = stored();
    let pair = world(&[zero], &[one]);
    let mut engine = engine(&pair);
    let plain = measure(&mut engine, 1.0, 1);
    let before = measure(&mut engine, 0.4, 0);
    for name in ["stem", "block.1", "head"] {
        let layer = layer(&pair, name);
        let at_base = probed(&mut engine, &probe(Base::Finetuned, Direction::Path), &layer, 1.0);
        assert_eq!(at_base[0].hits.iter().collect::<Vec<_>>(), plain.hit[..15]);
        let inside = probed(&mut engine, &probe(Base::Zeroshot, Direction::Path), &layer, 0.4);
        assert_eq!(engine.evaluate(DatasetId(0), 0..24).unwrap(), before, "{name}");
        let again = probed(&mut engine, &probe(Base::Zeroshot, Direction::Path), &layer, 0.4);
        assert_eq!(inside, again);
    }
}

/// Tensors of a layer by name.
fn tensors(weights: &Weights, layer: &LayerInfo) -> BTreeMap<String, Tensor> {
    let one = |name: &String| {
        let (shape, values) = &weights[name];
        let shape: Vec<i64> = shape.iter().map(|&n| n as i64).collect();
        (name.clone(), Tensor::from_slice(values).view(shape.as_slice()))
    };
    layer.tensors.iter().map(one).collect()
}

fn minus(a: &BTreeMap<String, Tensor>, b: &BTreeMap<String, Tensor>) -> BTreeMap<String, Tensor> {
    a.iter().map(|(name, x)| (name.clone(), x - &b[name])).collect()
}

fn size(tensors: &BTreeMap<String, Tensor>) -> f64 {
    let square = |x: &Tensor| f64::try_from(x.to_kind(Kind::Double).square().sum(Kind::Double));
    tensors.values().map(|x| square(x).unwrap()).sum::<f64>().sqrt()
}

#[test]
fn the_control_goes_as_far_in_a_seeded_random_direction() {
    let (zero, one) = stored();
    let pair = world(std::slice::from_ref(&zero), std::slice::from_ref(&one));
    let mut engine = engine(&pair);
    let seed = pair.inputs.spec.sweep.seed;
    for name in ["block.1", "head", "visual.proj"] {
        let layer = layer(&pair, name);
        let (from, to) = (tensors(&zero, &layer), tensors(&one, &layer));
        let direction = away(seed, name, &from, &to).unwrap();
        let path = minus(&to, &from);
        assert!((size(&direction) / size(&path) - 1.0).abs() < 1e-5, "{name}");
        let other = away(seed + 1, name, &from, &to).unwrap();
        assert!(
            size(&minus(&direction, &other)) > 0.5 * size(&path),
            "another seed is another direction"
        );
        for alpha in [0.0, 0.7] {
            let mut moved = zero.clone();
            for name in &layer.tensors {
                let values = (&from[name] + &direction[name] * alpha).flatten(0, -1);
                moved.get_mut(name).unwrap().1 = Vec::try_from(values).unwrap();
            }
            let got =
                probed(&mut engine, &probe(Base::Finetuned, Direction::Random), &layer, alpha);
            check(&got, &one, &moved, &layer);
        }
    }
}

#[test]
fn it_can_be_left_and_asks_for_a_layer() {
    struct Stop;
    impl Steer for Stop {
        fn go_on(&mut self, _: f64) -> bool {
            false
        }
    }
    let (zero, one) = stored();
    let pair = world(&[zero], &[one]);
    let mut engine = engine(&pair);
    let layer = layer(&pair, "block.0");
    let probe = probe(Base::Finetuned, Direction::Path);
    let error = engine.probe(&probe, Some(&layer), &mut ()).unwrap_err().to_string();
    assert!(error.contains("no point"), "{error}");
    engine.set_point(point(0.5), &Variant::dense()).unwrap();
    assert_eq!(engine.probe(&probe, Some(&layer), &mut Stop).unwrap(), None);
    let error = engine.probe(&probe, None, &mut ()).unwrap_err().to_string();
    assert!(error.contains("expected a layer"), "{error}");
    assert!(engine.probe(&probe, Some(&layer), &mut ()).unwrap().is_some());
}
