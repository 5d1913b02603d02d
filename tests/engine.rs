//! The engine on small random checkpoints and images made here: against plain arithmetic, in any
//! order, with stored and moving heads, and when something is wrong.
#![cfg(feature = "torch")]

mod world;

use std::sync::Arc;

use alphascope::checkpoint::End;
use alphascope::sweep::engine::{BatchOutcome, Engine, EngineError};
use alphascope::sweep::ids::{Alpha, DatasetId};
use alphascope::sweep::spec::{Precision, Variant};
use alphascope::torch::device::DeviceChoice;
use alphascope::torch::engine::TorchEngine;
use alphascope::torch::gpu_check;
use world::{
    CLASSES, EMBED, Weights, check, engine, head, image_tower, measure, plain, point, text_tower,
    world, zero_shot,
};

#[test]
fn every_point_and_dataset_is_what_the_definition_says() {
    let (zero, one, text) = (image_tower(1), image_tower(2), text_tower(3));
    let world = world(&[zero.clone(), text.clone()], std::slice::from_ref(&one));
    let mut engine = engine(&world);
    let heads = [zero_shot(&text, &CLASSES, 20.0), zero_shot(&text, &["bee", "dog", "fox"], 20.0)];
    let mut hits = 0;
    for alpha in [0.0, 0.3, 0.5, 1.0, 1.25] {
        let image = plain::mix(&zero, &one, alpha);
        for (dataset, head) in heads.iter().enumerate() {
            let got = measure(&mut engine, alpha, dataset);
            check(&world, dataset, &got, &image, head, &[0.0; 6]);
            assert_eq!(got.hit5.is_some(), dataset == 0);
            hits += got.hit.iter().filter(|&&hit| hit).count();
        }
    }
    assert!(hits > 5 && hits < 185, "{hits} hits prove nothing");
}

/// What is announced is in memory before it is asked for, and the same.
#[test]
fn images_are_decoded_ahead() {
    let make = || world(&[image_tower(1), text_tower(3)], &[image_tower(2)]);
    let expected = measure(&mut engine(&make()), 0.3, 0);
    let world = make();
    let mut engine = engine(&world);
    let cache = Arc::clone(&engine.inputs().cache);
    let wanted = 24 * cache.preprocess().bytes();
    assert_eq!(cache.bytes(), 0);
    engine.upcoming(DatasetId(0), 0..24);
    engine.upcoming(DatasetId(0), 20..30);
    while cache.bytes() < wanted {
        std::thread::yield_now();
    }
    assert_eq!(measure(&mut engine, 0.3, 0), expected);
    assert_eq!(cache.bytes(), wanted, "nothing twice, nothing beyond the order");
}

#[test]
fn order_and_batches_change_nothing() {
    let world = world(&[image_tower(1), text_tower(3)], &[image_tower(2)]);
    let mut engine = engine(&world);
    let alphas = [0.0, 0.2, 0.7, 1.0];
    let first: Vec<_> = alphas.iter().map(|&a| measure(&mut engine, a, 0)).collect();
    let back: Vec<_> = alphas.iter().rev().map(|&a| measure(&mut engine, a, 0)).collect();
    assert!(first.iter().eq(back.iter().rev()), "a point depends on where the weights came from");
    for (&alpha, whole) in alphas.iter().zip(&first) {
        engine.set_point(point(alpha), &Variant::dense()).unwrap();
        let mut parts = BatchOutcome { hit5: Some(Vec::new()), ..BatchOutcome::default() };
        for range in [0..1, 1..9, 9..24] {
            let part = engine.evaluate(DatasetId(0), range).unwrap();
            parts.hit.extend(part.hit);
            parts.loss.extend(part.loss);
            parts.near_ties += part.near_ties;
        }
        let flips = parts.hit.iter().zip(&whole.hit).filter(|(a, b)| a != b).count();
        assert!(flips <= parts.near_ties as usize);
        assert!(parts.loss.iter().zip(&whole.loss).all(|(a, b)| (a - b).abs() < 1e-4));
    }
}

#[test]
fn a_stored_head_moves_like_a_layer_and_the_other_end_is_zero_shot() {
    let (zero, one, text) = (image_tower(1), image_tower(2), text_tower(3));
    let stored = head(4, 6, true);
    let world = world(&[zero.clone(), text.clone()], &[one.clone(), stored.clone()]);
    let mut engine = engine(&world);
    let start = zero_shot(&text, &CLASSES, 20.0);
    let end: Vec<f64> = stored["classification_head.weight"].1.iter().map(|&x| x.into()).collect();
    let bias = &stored["classification_head.bias"].1;
    for alpha in [1.0, 0.0, 0.4] {
        let image = plain::mix(&zero, &one, alpha);
        let row = |class: usize| -> Vec<f64> {
            let ends = start[class].iter().zip(&end[class * EMBED..]);
            ends.map(|(a, b)| a + alpha * (b - a)).collect()
        };
        let bias = |class: usize| alpha * f64::from(bias[class]);
        // `some` has bee, dog, fox: rows 1, 3, 5.
        for (dataset, rows) in [(0, &[0, 1, 2, 3, 4, 5][..]), (1, &[1, 3, 5][..])] {
            let got = measure(&mut engine, alpha, dataset);
            let head: plain::Rows = rows.iter().map(|&class| row(class)).collect();
            let bias: Vec<f64> = rows.iter().map(|&class| bias(class)).collect();
            check(&world, dataset, &got, &image, &head, &bias);
        }
    }
}

#[test]
fn two_stored_heads_need_no_text_tower() {
    let (zero, one) = (image_tower(1), image_tower(2));
    let heads = [head(4, 6, false), head(5, 6, true)];
    let world = world(&[zero.clone(), heads[0].clone()], &[one.clone(), heads[1].clone()]);
    let mut engine = engine(&world);
    let weight = |head: &Weights| head["classification_head.weight"].1.clone();
    let mixed: Vec<f64> = std::iter::zip(weight(&heads[0]), weight(&heads[1]))
        .map(|(a, b)| f64::from(a) + 0.25 * (f64::from(b) - f64::from(a)))
        .collect();
    let head: plain::Rows = mixed.chunks(EMBED).map(<[f64]>::to_vec).collect();
    let bias: Vec<f64> =
        heads[1]["classification_head.bias"].1.iter().map(|&b| 0.25 * f64::from(b)).collect();
    let got = measure(&mut engine, 0.25, 0);
    check(&world, 0, &got, &plain::mix(&zero, &one, 0.25), &head, &bias);
}

#[test]
fn a_text_tower_that_moves_moves_the_head() {
    let (zero, one) = (image_tower(1), image_tower(2));
    let texts = [text_tower(3), text_tower(6)];
    let world = world(&[zero.clone(), texts[0].clone()], &[one.clone(), texts[1].clone()]);
    assert!(world.inputs.pair.text_moves());
    let mut engine = engine(&world);
    for alpha in [0.5, 1.0, 0.0, 0.5] {
        let text = plain::mix(&texts[0], &texts[1], alpha);
        let head = zero_shot(&text, &CLASSES, 20.0);
        let got = measure(&mut engine, alpha, 0);
        check(&world, 0, &got, &plain::mix(&zero, &one, alpha), &head, &[0.0; 6]);
    }
}

#[test]
fn the_first_layer_that_is_not_finite_is_named() {
    let mut broken = image_tower(2);
    broken.get_mut("visual.transformer.resblocks.1.mlp.c_fc.bias").unwrap().1[3] = f32::MAX;
    let proj = broken.get_mut("visual.transformer.resblocks.1.mlp.c_proj.weight").unwrap();
    proj.1.iter_mut().for_each(|x| *x = 100.0);
    let world = world(&[image_tower(1), text_tower(3)], &[broken]);
    let mut engine = engine(&world);
    engine.set_point(Alpha::ZERO_SHOT, &Variant::dense()).unwrap();
    assert!(engine.evaluate(DatasetId(0), 0..4).is_ok());
    engine.set_point(Alpha::FINE_TUNED, &Variant::dense()).unwrap();
    let Err(EngineError::Cell(message)) = engine.evaluate(DatasetId(0), 0..4) else { panic!() };
    for part in ["`all`", "α = 1", "layer block.1", "not finite"] {
        assert!(message.contains(part), "{message}");
    }
    // The engine goes on.
    engine.set_point(Alpha::ZERO_SHOT, &Variant::dense()).unwrap();
    assert!(engine.evaluate(DatasetId(0), 0..4).is_ok());
}

#[test]
fn wrong_questions_are_errors() {
    let world = world(&[image_tower(1), text_tower(3)], &[image_tower(2)]);
    let mut engine = engine(&world);
    let cell = |result: Result<BatchOutcome, EngineError>| match result {
        Err(EngineError::Cell(message)) => message,
        other => panic!("{other:?}"),
    };
    assert!(cell(engine.evaluate(DatasetId(0), 0..4)).contains("no point"));
    engine.set_point(Alpha::ZERO_SHOT, &Variant::dense()).unwrap();
    assert!(cell(engine.evaluate(DatasetId(0), 20..25)).contains("under 24"));
    assert!(cell(engine.evaluate(DatasetId(9), 0..1)).contains("there is none"));
    assert_eq!(engine.evaluate(DatasetId(0), 3..3).unwrap(), BatchOutcome::default());
    assert!(engine.device().starts_with("CPU, "));
    let gpu = TorchEngine::new(Arc::clone(&world.inputs), DeviceChoice::Cuda(99));
    assert!(matches!(gpu, Err(EngineError::Fatal(message)) if message.contains("cuda:99")));
}

#[test]
fn bfloat16_is_close_and_says_so() {
    let world = world(&[image_tower(1), text_tower(3)], &[image_tower(2)]);
    let mut exact = engine(&world);
    let choice = DeviceChoice::Cpu;
    let mut rough =
        TorchEngine::with_precision(Arc::clone(&world.inputs), choice, Precision::Bf16).unwrap();
    assert!(rough.device().ends_with(", bf16"));
    for alpha in [0.0, 0.4] {
        let (a, b) = (measure(&mut exact, alpha, 0), measure(&mut rough, alpha, 0));
        assert_ne!(a.loss, b.loss);
        let mean = |outcome: &BatchOutcome| outcome.loss.iter().sum::<f64>() / 24.0;
        assert!((mean(&a) - mean(&b)).abs() < 0.1 * mean(&a), "{} {}", mean(&a), mean(&b));
    }
}

/// The check for GPUs, with the CPU in the GPU's place.
#[test]
fn the_gpu_check_compares_whole_sweeps() {
    let world = world(&[image_tower(1), text_tower(3)], &[image_tower(2)]);
    let mut out = Vec::new();
    let agree = gpu_check::compare(&world.inputs, &[(DeviceChoice::Cpu, None)], &mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    assert!(agree, "{text}");
    for part in ["39 images at 11 points", ", bf16", "0 of 429 predictions differ", "gpu-check: ok"]
    {
        assert!(text.contains(part), "{part}: {text}");
    }
    let mut out = Vec::new();
    assert!(
        gpu_check::compare(&world.inputs, &[(DeviceChoice::Cuda(99), None)], &mut out).is_err()
    );
}

#[test]
fn ends_of_the_pair_are_used_not_copies_of_one() {
    let world = world(&[image_tower(1), text_tower(3)], &[image_tower(2)]);
    let name = "visual.proj";
    let end = |at| world.inputs.pair.end(at, name).unwrap().to_f32();
    assert_ne!(end(End::ZeroShot), end(End::FineTuned));
    let mut engine = engine(&world);
    assert_ne!(measure(&mut engine, 0.0, 0).loss, measure(&mut engine, 1.0, 0).loss);
}
