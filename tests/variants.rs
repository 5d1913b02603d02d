//! Variants in the engine: against checkpoints whose tensors were edited by plain code, back to
//! dense bit for bit, in any order, with stored and moving heads.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // helpers of tests
#![cfg(feature = "torch")]

mod world;

use std::sync::Arc;

use alphascope::sweep::engine::{BatchOutcome, Engine, EngineError};
use alphascope::sweep::ids::{Alpha, DatasetId};
use alphascope::sweep::spec::{Precision, Variant};
use alphascope::torch::device::DeviceChoice;
use alphascope::torch::engine::TorchEngine;
use world::{
    CLASSES, EMBED, check, edit, engine, head, image_tower, measure, plain, point, smallest,
    text_tower, variant, world, zero_shot,
};

fn measured(engine: &mut TorchEngine, alpha: f64, variant: &Variant) -> BatchOutcome {
    engine.set_point(point(alpha), variant).unwrap();
    engine.evaluate(DatasetId(0), 0..24).unwrap()
}

#[test]
fn a_variant_is_the_checkpoint_edited_by_plain_code() {
    let (zero, one, text) = (image_tower(1), image_tower(2), text_tower(3));
    let world = world(&[zero.clone(), text.clone()], std::slice::from_ref(&one));
    let mut engine = engine(&world);
    let head = zero_shot(&text, &CLASSES, 20.0);
    for alpha in [0.0, 0.3, 0.75, 1.0] {
        for (method, amount, typed) in [
            ("magnitude", 0.5, "block.1=magnitude:0.5"),
            ("delta", 0.9, "block.1=delta:0.9"),
            ("2:4", 0.5, "block.1=2:4"),
            ("reset", 1.0, "block.1=reset"),
        ] {
            let mut weights = plain::mix(&zero, &one, alpha);
            edit(&mut weights, (&zero, &one), 1, method, amount);
            let got = measured(&mut engine, alpha, &variant("v", &[typed]));
            check(&world, 0, &got, &weights, &head, &[0.0; 6]);
        }
    }
    assert_ne!(
        measured(&mut engine, 0.3, &variant("v", &["block.1=delta:0.9"])).loss,
        measured(&mut engine, 0.3, &Variant::dense()).loss
    );
}

#[test]
fn back_to_dense_is_exact_from_every_variant() {
    let world = world(
        &[image_tower(1), text_tower(3), head(4, 6, true)],
        &[image_tower(2), head(5, 6, true)],
    );
    let dense = Variant::dense();
    let variants = [
        variant("a", &["block.0=magnitude:0.5", "head=2:4"]),
        variant("b", &["block.0.attn=delta:0.7", "block.2=dare:0.5"]),
        variant("c", &["stem+embeddings=magnitude:1", "block.1=reset", "head=dare:1"]),
        variant("d", &["block.0=dare:0.5", "block.0=magnitude:0.3", "stem=reset"]),
    ];
    let alphas = [0.0, 0.3, 0.6, 1.0];
    let fresh = |alpha: f64, variant: &Variant| measured(&mut engine(&world), alpha, variant);
    let mut used = engine(&world);
    // Every way from one to another, at the same and at other points.
    for &alpha in &alphas {
        assert_eq!(measured(&mut used, alpha, &dense), fresh(alpha, &dense));
        for variant in &variants {
            assert_eq!(measured(&mut used, alpha, variant), fresh(alpha, variant), "{variant:?}");
        }
        for variant in variants.iter().rev() {
            assert_eq!(measured(&mut used, alpha, variant), fresh(alpha, variant), "{variant:?}");
            assert_eq!(measured(&mut used, alpha, &dense), fresh(alpha, &dense));
        }
    }
    // Edits of nothing are the dense model, bit for bit.
    let nothing =
        variant("n", &["block.0=magnitude:0", "block.1=dare:0", "head=4:4", "stem=delta:0"]);
    for &alpha in &alphas {
        assert_eq!(measured(&mut used, alpha, &nothing), fresh(alpha, &dense));
    }
}

#[test]
fn tensors_that_do_not_move_can_be_pruned() {
    let tower = image_tower(1);
    let mut moved = tower.clone();
    moved.get_mut("visual.ln_post.bias").unwrap().1[0] += 0.5;
    let world = world(&[tower.clone(), text_tower(3)], &[moved.clone()]);
    let mut engine = engine(&world);
    let dense = measured(&mut engine, 0.5, &Variant::dense());
    let pruned = variant("p", &["block.0=magnitude:0.5"]);
    let head = zero_shot(&text_tower(3), &CLASSES, 20.0);
    let mut weights = plain::mix(&tower, &moved, 0.5);
    edit(&mut weights, (&tower, &moved), 0, "magnitude", 0.5);
    check(&world, 0, &measured(&mut engine, 0.5, &pruned), &weights, &head, &[0.0; 6]);
    assert_eq!(measured(&mut engine, 0.5, &Variant::dense()), dense);
    // Of a difference that is zero everywhere nothing can be dropped.
    let trimmed = variant("t", &["block.0=delta:0.5", "block.1=dare:0.5", "block.2=reset"]);
    assert_eq!(measured(&mut engine, 0.5, &trimmed), dense);
}

#[test]
fn stored_heads_are_edited_like_a_layer() {
    let (zero, one) = (image_tower(1), image_tower(2));
    let heads = [head(4, 6, true), head(5, 6, true)];
    let world = world(&[zero.clone(), heads[0].clone()], &[one.clone(), heads[1].clone()]);
    let mut engine = engine(&world);
    let variant = variant("v", &["classification_head.weight=magnitude:0.5"]);
    let mixed = plain::mix(&heads[0], &heads[1], 0.25);
    let wide = |name: &str| mixed[name].1.iter().map(|&x| f64::from(x)).collect::<Vec<f64>>();
    let mut weight = wide("classification_head.weight");
    smallest(&weight.clone(), 18).into_iter().for_each(|i| weight[i] = 0.0);
    let rows: plain::Rows = weight.chunks(EMBED).map(<[f64]>::to_vec).collect();
    let got = measured(&mut engine, 0.25, &variant);
    let image = plain::mix(&zero, &one, 0.25);
    check(&world, 0, &got, &image, &rows, &wide("classification_head.bias"));
    let zeros = engine.zeros(point(0.25), &variant).unwrap();
    assert_eq!((zeros[0].weights, zeros[0].total), (18, 36));
}

#[test]
fn a_text_tower_that_moves_is_edited_too() {
    let (zero, one) = (image_tower(1), image_tower(2));
    let texts = [text_tower(3), text_tower(6)];
    let world = world(&[zero.clone(), texts[0].clone()], &[one.clone(), texts[1].clone()]);
    let mut engine = engine(&world);
    let reset: Vec<String> = ["text.stem", "text.block.0", "text.block.1", "text.head"]
        .map(|layer| format!("{layer}=reset"))
        .into();
    let reset = variant("r", &reset.iter().map(String::as_str).collect::<Vec<_>>());
    let dense = Variant::dense();
    for alpha in [0.5, 1.0, 0.5] {
        let image = plain::mix(&zero, &one, alpha);
        for (variant, text) in
            [(&reset, &texts[0]), (&dense, &plain::mix(&texts[0], &texts[1], alpha))]
        {
            let head = zero_shot(text, &CLASSES, 20.0);
            check(&world, 0, &measured(&mut engine, alpha, variant), &image, &head, &[0.0; 6]);
        }
    }
}

#[test]
fn zeros_are_counted_not_assumed() {
    let world = world(&[image_tower(1), text_tower(3)], &[image_tower(2)]);
    let mut engine = engine(&world);
    let before = measure(&mut engine, 0.3, 0);
    let edits = [
        "block.0.mlp=magnitude:0.5",
        "block.1.mlp=delta:0.25",
        "visual.proj=2:4",
        "visual.ln_pre.bias=reset",
    ];
    let zeros = engine.zeros(point(0.3), &variant("v", &edits)).unwrap();
    let counts: Vec<_> =
        zeros.iter().map(|z| (z.tensor.as_str(), z.weights, z.differences, z.total)).collect();
    let at = |i: usize, end: &str| format!("visual.transformer.resblocks.{i}.mlp.{end}.weight");
    let [a, b, c, d] = [at(0, "c_fc"), at(0, "c_proj"), at(1, "c_fc"), at(1, "c_proj")];
    assert_eq!(
        counts,
        [
            ("visual.ln_pre.bias", 0, 8, 8),
            ("visual.proj", 24, 0, 48),
            (a.as_str(), 64, 0, 128),
            (b.as_str(), 64, 0, 128),
            (c.as_str(), 0, 32, 128),
            (d.as_str(), 0, 32, 128),
        ]
    );
    assert_eq!(engine.evaluate(DatasetId(0), 0..24).unwrap(), before, "counting moves nothing");
    // … and the same where the weights stand, of them instead of from both ends.
    for alpha in [0.3, 0.0, 1.0] {
        let variant = variant("v", &edits);
        let elsewhere = engine.zeros(point(alpha), &variant).unwrap();
        measured(&mut engine, alpha, &variant);
        assert_eq!(engine.count_zeros().unwrap(), Some(elsewhere));
    }
}

#[test]
fn unknown_layers_are_errors_that_end_nothing() {
    let world = world(&[image_tower(1), text_tower(3)], &[image_tower(2)]);
    let mut engine = engine(&world);
    let before = measure(&mut engine, 0.3, 0);
    let error = engine.set_point(point(0.3), &variant("odd", &["block.9=reset"])).unwrap_err();
    let EngineError::Cell(message) = error else { panic!("{error:?}") };
    for part in ["variant `odd`", "unknown layer `block.9`", "did you mean", "`block.0`"] {
        assert!(message.contains(part), "{message}");
    }
    assert_eq!(engine.evaluate(DatasetId(0), 0..24).unwrap(), before);
    engine.set_point(Alpha::FINE_TUNED, &variant("v", &["block.1=reset"])).unwrap();
}

#[test]
fn bfloat16_zeroes_the_same_weights() {
    let world::World { inputs, .. } = &world(&[image_tower(1), text_tower(3)], &[image_tower(2)]);
    let rough = TorchEngine::with_precision(Arc::clone(inputs), DeviceChoice::Cpu, Precision::Bf16);
    let mut rough = rough.unwrap();
    let mut exact = TorchEngine::new(Arc::clone(inputs), DeviceChoice::Cpu).unwrap();
    let variant = variant("v", &["block.0=magnitude:0.5", "block.1=dare:0.5"]);
    let (a, b) = (measured(&mut exact, 0.4, &variant), measured(&mut rough, 0.4, &variant));
    let mean = |outcome: &BatchOutcome| outcome.loss.iter().sum::<f64>() / 24.0;
    assert!((mean(&a) - mean(&b)).abs() < 0.1 * mean(&a), "{} {}", mean(&a), mean(&b));
    let counted = |engine: &mut TorchEngine| engine.zeros(point(0.4), &variant).unwrap();
    assert_eq!(counted(&mut exact), counted(&mut rough));
}

#[test]
fn kept_activations_change_nothing_but_the_time() {
    let texts = [text_tower(3), text_tower(6)];
    let world = world(&[image_tower(1), texts[0].clone()], &[image_tower(2), texts[1].clone()]);
    let keeping = |bytes: usize| {
        let mut engine = engine(&world);
        engine.keep_activations(bytes);
        engine
    };
    let mut plain = keeping(0);
    // Everything fits, some of it, hardly anything.
    let mut engines = [keeping(64 << 20), keeping(40_000), keeping(900)];
    let variants = [
        Variant::dense(),
        variant("last", &["block.2=delta:0.5"]),
        variant("mlp", &["block.1.mlp=magnitude:0.5"]),
        variant("stem", &["stem=magnitude:0.3", "block.2=reset"]),
        variant("head", &["head=2:4"]),
        variant("text", &["text.block.1=reset"]),
        variant("last", &["block.2=delta:0.9"]),
        Variant::dense(),
    ];
    for variant in &variants {
        for alpha in [0.0, 0.4, 1.0] {
            for range in [0..9, 9..24] {
                let ask = |engine: &mut TorchEngine| {
                    engine.set_point(point(alpha), variant).unwrap();
                    engine.evaluate(DatasetId(0), range.clone()).unwrap()
                };
                let expected = ask(&mut plain);
                for engine in &mut engines {
                    assert_eq!(ask(engine), expected, "{} at {alpha}", variant.name);
                }
            }
        }
    }
    assert_eq!(plain.kept_activations(), 0);
    let held = engines.each_ref().map(TorchEngine::kept_activations);
    assert!(held[0] > held[1] && held[1] > held[2] && held[2] > 0, "{held:?}");
    assert!(held[1] <= 40_000 && held[2] <= 900, "{held:?}");
}
