//! Faults of the real engine in whole sweeps: a weight that is no number, image
//! files that vanish while they are wanted.
#![cfg(feature = "torch")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // helpers of tests

mod world;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use alphascope::launch::{Launch, Measure, Request};
use alphascope::session::Update;
use alphascope::sweep::event::{Event, Outcome};
use alphascope::sweep::ids::{AlphaId, CellId, DatasetId, VariantId};
use alphascope::sweep::plan::Shard;
use alphascope::sweep::spec::Spec;
use alphascope::sweep::state::{CellState, Status, SweepState};
use world::{World, image_tower, text_tower, world};

fn prepare(world: &World, out: &Path, resume: bool) -> Launch {
    let spec_path: PathBuf = world.folder.path().join("spec.toml");
    Launch::prepare(Request {
        spec: Spec::load(&spec_path).unwrap(),
        spec_path,
        out: Some(out.into()),
        runs: None,
        resume,
        shard: Shard::whole(),
        measure: Measure::Device("cpu".into()),
        doctor: None,
    })
    .unwrap()
}

fn run(launch: Launch) -> (Outcome, SweepState) {
    let handle = launch.start(Arc::new(|| {})).unwrap();
    let mut state = SweepState::default();
    let outcome = loop {
        match handle.updates.recv().unwrap() {
            Update::Event(event) => state.apply(&event),
            Update::Ended(ended) => break ended.unwrap(),
            _ => {}
        }
    };
    handle.join();
    (outcome, state)
}

fn at(dataset: usize, alpha: usize) -> CellId {
    let (dataset, alpha) = (DatasetId(dataset), AlphaId(alpha));
    CellId { variant: VariantId::DENSE, dataset, alpha }
}

fn counts(state: &SweepState) -> Vec<(usize, usize, u64)> {
    let of = |cell: &CellState| (cell.done, cell.correct, cell.loss_sum.to_bits());
    state.cell_ids().map(|id| of(state.cell(id).unwrap())).collect()
}

#[test]
fn a_weight_that_is_no_number_costs_its_points_and_is_found() {
    for bad in [f32::NAN, f32::INFINITY] {
        let mut broken = image_tower(2);
        broken.get_mut("visual.transformer.resblocks.1.mlp.c_fc.weight").unwrap().1[3] = bad;
        let world = world(&[image_tower(1), text_tower(3)], &[broken]);
        let out = world.folder.path().join("run");
        let (outcome, state) = run(prepare(&world, &out, false));
        assert_eq!(outcome, Outcome::Partial);
        for dataset in 0..2 {
            assert_eq!(state.status(at(dataset, 0)), Some(Status::Complete), "zero-shot is sound");
            for alpha in 1..state.alphas().len() {
                let Some(Status::Failed(message)) = state.status(at(dataset, alpha)) else {
                    panic!("{:?}", state.status(at(dataset, alpha)))
                };
                let point = format!("α = {}", state.alphas()[alpha]);
                for part in [&point, "not finite", "layer block.1", "check both checkpoints"] {
                    assert!(message.contains(part), "{part}: {message}");
                }
                assert_eq!(state.cell(at(dataset, alpha)).unwrap().done, 0, "no number of it");
            }
        }
    }
}

#[test]
fn image_files_that_vanish_cost_their_cells_until_they_are_back() {
    let pair = || world(&[image_tower(1), text_tower(3)], &[image_tower(2)]);
    let (world, other) = (pair(), pair());
    let (_, plain) = run(prepare(&other, &other.folder.path().join("run"), false));
    let out = world.folder.path().join("run");
    let (image, away) =
        (world.folder.path().join("all/cat/2.ppm"), world.folder.path().join("away.ppm"));
    // All inputs are open, and nothing is measured yet.
    let launch = prepare(&world, &out, false);
    std::fs::rename(&image, &away).unwrap();
    let (outcome, state) = run(launch);
    assert_eq!(outcome, Outcome::Partial);
    for alpha in 0..state.alphas().len() {
        let Some(Status::Failed(message)) = state.status(at(0, alpha)) else {
            panic!("{:?}", state.status(at(0, alpha)))
        };
        assert!(message.contains("cat/2.ppm"), "{message}");
        assert_eq!(state.status(at(1, alpha)), Some(Status::Complete), "the others go on");
    }
    std::fs::rename(&away, &image).unwrap();
    let (outcome, state) = run(prepare(&world, &out, true));
    assert_eq!(outcome, Outcome::Complete);
    assert_eq!(counts(&state), counts(&plain));
    let events = alphascope::sweep::journal::read(&out).unwrap();
    let measured = events.iter().filter(|it| matches!(it, Event::Measured(_))).count();
    let again = alphascope::sweep::journal::read(&other.folder.path().join("run")).unwrap();
    let once = again.iter().filter(|it| matches!(it, Event::Measured(_))).count();
    assert_eq!(measured, once, "nothing is measured twice");
}

/// A batch stops at the first image that fails: what is told are all of the dataset.
#[test]
fn a_cell_fails_with_the_list_of_images_that_cannot_be_decoded() {
    for (probe, skip) in [(true, false), (false, false), (true, true)] {
        let world = world(&[image_tower(1), text_tower(3)], &[image_tower(2)]);
        let file = |name: &str| world.folder.path().join(name);
        let bad = ["ant", "bee", "cat", "dog"];
        for (class, i) in bad.iter().flat_map(|class| (0..3).map(move |i| (class, i))) {
            std::fs::write(file(&format!("all/{class}/{i}.ppm")), b"no picture").unwrap();
        }
        let mut spec = std::fs::read_to_string(file("spec.toml")).unwrap();
        if skip {
            spec = spec.replace("path = 'all'\n", "path = 'all'\nunreadable = 'skip'\n");
        }
        spec = spec.replace(
            "[[datasets]]\nname = 'all'",
            &format!("probe_activation = {probe}\n[[datasets]]\nname = 'all'"),
        );
        std::fs::write(file("spec.toml"), format!("{spec}[sweep]\nbatch = 1\n")).unwrap();
        let (outcome, state) = run(prepare(&world, &file("run"), false));
        let names = "`ant/0.ppm`, `ant/1.ppm`, `ant/2.ppm`, `bee/0.ppm`";
        if skip {
            assert_eq!(outcome, Outcome::Complete);
            let told = |text: &str| {
                text.contains("12 images cannot be read and are left out")
                    && text.contains(names)
                    && text.ends_with("`dog/0.ppm`, … and 2 more")
            };
            assert!(state.notices.iter().any(|(_, text)| told(text)), "{:?}", state.notices);
            continue;
        }
        assert_eq!(outcome, Outcome::Partial);
        for alpha in 0..state.alphas().len() {
            let Some(Status::Failed(message)) = state.status(at(0, alpha)) else {
                panic!("{:?}", state.status(at(0, alpha)))
            };
            let message = message.replace(
                " (not a JPEG, PNG, WebP, GIF, BMP, TIFF or PNM image, by its first bytes)",
                "",
            );
            assert!(message.contains("12 of the 24 images cannot be decoded"), "{message}");
            assert!(message.contains(names) && message.contains(", … and 2 more; "), "{message}");
        }
    }
}
