//! The doctor finds the layer that the pretend engine lets straggle, says so of
//! images it did not choose by, and can be interrupted anywhere.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // helpers of tests

mod sweep_rig;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::mpsc::Sender;

use alphascope::report::{Format, render, table};
use alphascope::sim::{SimScript, layers};
use alphascope::sweep::command::Command;
use alphascope::sweep::doctor::{Findings, Group, findings, obstacle, trials, tuning_rounds};
use alphascope::sweep::event::{Event, Header, Outcome};
use alphascope::sweep::journal;
use alphascope::sweep::plan::Shard;
use alphascope::sweep::spec::{DoctorSpec, Method, Role, Variant};
use alphascope::sweep::state::SweepState;
use proptest::prelude::*;

fn header(images: usize) -> Header {
    let mut header = sweep_rig::header(&[60, images, images], 5, 64);
    header.layers = layers(4);
    header
}

fn run(dir: &Path, header: &Header, spec: &DoctorSpec, workers: usize) -> SweepState {
    let mut asked = false;
    let ask = |_: &Event, commands: &Sender<Command>| {
        if !std::mem::replace(&mut asked, true) {
            let _ = commands.send(Command::Doctor { spec: spec.clone() });
        }
    };
    let scripts = vec![SimScript::default(); workers];
    let (outcome, state) = sweep_rig::session(dir, header, Shard::whole(), scripts, ask);
    assert_eq!(outcome.unwrap(), Outcome::Complete);
    state
}

fn found(state: &SweepState) -> Findings {
    findings(state).unwrap()
}

fn edits(state: &SweepState, id: alphascope::sweep::ids::VariantId) -> &Variant {
    &state.variants()[id.index()]
}

/// `sweep.seed` is the header's: it alone decides the draw.
#[test]
fn another_seed_draws_another_control() {
    let drawn = |seed: u64, images: usize| -> [BTreeSet<String>; 2] {
        let header = Header { seed, ..header(images) };
        let state = SweepState::replay([&Event::Header(header)]);
        let all = trials(&state, &DoctorSpec::default());
        [Group::Straggler, Group::Control].map(|group| {
            let edits =
                all.iter().filter(|it| it.group == group).flat_map(|it| &it.variant.sparsify);
            edits.map(|edit| edit.layer.clone()).collect()
        })
    };
    let [sick, control] = drawn(0, 700);
    assert!(!sick.is_empty() && !control.is_empty());
    assert_eq!(drawn(0, 300), [sick.clone(), control], "the images do not matter");
    let mut controls = BTreeSet::new();
    for seed in 0..20 {
        let [same, control] = drawn(seed, 700);
        assert_eq!(same, sick, "who straggles does not hang on the seed");
        assert!(control.is_disjoint(&sick) && control.len() == sick.len());
        controls.insert(control);
    }
    assert!(controls.len() >= 4, "{controls:?}");
}

#[test]
fn it_finds_the_straggler_and_repairs_the_path() {
    let dir = tempfile::tempdir().unwrap();
    let header = header(700);
    let state = run(dir.path(), &header, &DoctorSpec::default(), 2);
    let it = found(&state);
    assert_eq!(it.tried.0, it.tried.1);
    let best = it.best.as_ref().unwrap();
    assert!(edits(&state, best.variant).sparsify.iter().all(|edit| edit.layer == "block.2.mlp"));
    assert_eq!(it.helps(), Some(true), "{it:?}");
    assert_eq!(it.beats_control(), Some(true), "{it:?}");
    let control = it.control.as_ref().unwrap();
    assert!(edits(&state, control.variant).sparsify.iter().all(|edit| edit.layer != "block.2.mlp"));
    assert!(control.gain.unwrap().lo <= 0.0);
    assert!(table(&state).contains("it helps"), "{}", table(&state));
    let json: serde_json::Value =
        serde_json::from_slice(&render(&state, Format::Json).unwrap()).unwrap();
    assert_eq!(json["doctor"]["helps"], true);
    let told = json["doctor"]["trials"].as_array().unwrap();
    assert_eq!(told.len(), it.tried.1);
    let groups = |group: &str| told.iter().filter(|it| it["group"] == group).count();
    assert_eq!((groups("straggler"), groups("control")), (told.len() / 2, told.len() / 2));
    let judged: Vec<_> = told.iter().filter(|it| !it["gain"].is_null()).collect();
    assert_eq!(judged.len(), 2, "only what was chosen is measured on the rest");
    assert!(state.is_complete());
}

#[test]
fn nothing_is_proposed_where_nothing_helps() {
    let dir = tempfile::tempdir().unwrap();
    let spec = DoctorSpec {
        methods: vec![Method::Magnitude],
        amounts: vec![0.9],
        ..DoctorSpec::default()
    };
    let state = run(dir.path(), &header(300), &spec, 1);
    assert_eq!(found(&state).helps(), Some(false), "{:?}", found(&state));
    assert!(table(&state).contains("no help shown"));
}

/// What is reported was never chosen by: before a variant is taken, nothing of
/// the rest is measured of it, and nothing in distribution.
#[test]
fn it_never_tunes_on_what_it_reports() {
    let dir = tempfile::tempdir().unwrap();
    let header = header(300);
    let spec = DoctorSpec { variants: 6, ..DoctorSpec::default() };
    let state = run(dir.path(), &header, &spec, 2);
    assert!(state.variants().len() <= 1 + spec.variants);
    let mut folded = SweepState::default();
    let mut tried = 0;
    for event in journal::read(dir.path()).unwrap() {
        if let Event::Measured(it) = &event
            && folded.is_on_trial(it.cell.variant)
        {
            tried += 1;
            let info = &header.datasets[it.cell.dataset.index()];
            assert_eq!(info.role, Role::Ood);
            assert!(it.round.index() < tuning_rounds(&info.rounds));
            assert!(header.alphas[it.cell.alpha.index()].is_interior(), "the ends tell nothing");
        }
        folded.apply(&event);
    }
    assert!(tried > 0);
    let taken = (1..state.variants().len())
        .filter(|&id| !state.is_on_trial(alphascope::sweep::ids::VariantId(id)));
    assert_eq!(taken.count(), 2, "the best of stragglers and the best of others");
}

#[test]
fn too_few_images_are_no_reason_to_panic() {
    let dir = tempfile::tempdir().unwrap();
    let mut state = run(dir.path(), &header(1), &DoctorSpec::default(), 1);
    assert!(findings(&state).is_none(), "it is refused");
    assert!(state.notices.iter().any(|(_, text)| text.contains("too few")), "{:?}", state.notices);
    // As an older run may have it.
    state.apply(&Event::Doctor { spec: DoctorSpec::default() });
    assert_eq!(found(&state).best, None);
    assert!(table(&state).contains("no variant is measured yet"));
}

#[test]
fn where_nothing_can_be_tried_it_is_refused_with_the_reason() {
    let header = header(700);
    assert_eq!(obstacle(&header), None);
    let mut home = header.clone();
    home.datasets.iter_mut().for_each(|it| it.role = Role::Id);
    let mut ends = header.clone();
    ends.alphas.retain(|alpha| alpha.is_end());
    for (header, word) in [(home, "role `ood`"), (ends, "sweep.alphas")] {
        assert!(obstacle(&header).unwrap().contains(word));
        let dir = tempfile::tempdir().unwrap();
        let state = run(dir.path(), &header, &DoctorSpec::default(), 1);
        assert!(state.doctor().is_none());
        let said: Vec<&str> = state.notices.iter().map(|(_, text)| text.as_str()).collect();
        assert!(said.iter().any(|text| text.contains(word)), "{said:?}");
    }
}

/// What is measured beside, in full, changes nothing of the search.
#[test]
fn variants_of_the_spec_do_not_sway_it() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let header = header(300);
    let spec = DoctorSpec { variants: 8, ..DoctorSpec::default() };
    let alone = run(dir.path(), &header, &spec, 1);
    let mut beside = header.clone();
    let trial = |id: usize| Variant { name: format!("own {id}"), ..alone.variants()[id].clone() };
    beside.variants.extend([trial(1), trial(3)]);
    let with = run(other.path(), &beside, &spec, 1);
    let chosen = |state: &SweepState| {
        let it = found(state);
        let edits = |it: Option<alphascope::sweep::doctor::Finding>| {
            it.map(|it| (edits(state, it.variant).sparsify.clone(), it.tuned, it.gain))
        };
        (edits(it.best), edits(it.control), it.over_control)
    };
    assert_eq!(chosen(&with), chosen(&alone));
    assert!(found(&with).trials.iter().filter(|(_, it)| it.gain.is_some()).count() >= 2);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    /// Interrupted anywhere and resumed, it finds the same.
    #[test]
    fn resumed_is_uninterrupted(cut in 0.0_f64..1.0, workers in 1_usize..3) {
        let header = header(90);
        let spec = DoctorSpec { variants: 8, ..DoctorSpec::default() };
        let dir = tempfile::tempdir().unwrap();
        let whole = run(dir.path(), &header, &spec, workers);
        let path = dir.path().join("events.jsonl");
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, &bytes[..(bytes.len() as f64 * cut) as usize]).unwrap();
        let state = run(dir.path(), &header, &spec, workers);
        prop_assert_eq!(found(&state), found(&whole));
        prop_assert_eq!(state.variants(), whole.variants());
        let replayed = SweepState::replay(&journal::read(dir.path()).unwrap());
        prop_assert_eq!(replayed, state);
    }
}
