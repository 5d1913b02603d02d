//! Probes and variants of a sweep: their order, and that nothing of how a run
//! came about is in its results.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // helpers of tests

mod sweep_rig;

use alphascope::sim::{SimEngine, SimScript};
use alphascope::sweep::command::Command;
use alphascope::sweep::engine::Engine;
use alphascope::sweep::event::{Event, Header, Outcome};
use alphascope::sweep::ids::{AlphaId, DatasetId, ProbeCell, ProbeId, VariantId};
use alphascope::sweep::journal;
use alphascope::sweep::plan::{Shard, Unit, alpha_order, owed};
use alphascope::sweep::probe::{Direction, Probe, ProbeResult};
use alphascope::sweep::spec::{CurvatureSpec, Layers, Method, SharpnessSpec, Variant};
use alphascope::sweep::state::{SweepState, cells_at, layers_of};
use proptest::prelude::*;
use sweep_rig::probes::{edit, header, path, sharpness, three, variant};
use sweep_rig::{plain, probing, results};

fn scripts(workers: usize) -> Vec<SimScript> {
    vec![SimScript::default(); workers]
}

/// What the engine says when it is asked for nothing else.
fn directly(header: &Header, state: &SweepState, cell: ProbeCell) -> ProbeResult {
    let mut engine = SimEngine::new(header.clone(), SimScript::default());
    let variant = &state.variants()[cell.variant.index()];
    engine.set_point(header.alphas[cell.alpha.index()], variant).unwrap();
    let layer = cell.layer.map(|id| &header.layers[id.index()]);
    let probe = &state.probe(cell.probe).unwrap().probe;
    engine.probe(probe, layer, &mut ()).unwrap().unwrap()
}

#[test]
fn every_layer_is_probed_at_every_point_of_every_variant() {
    let header = header(5);
    let state = plain(&header, &three(&header));
    let units = |units| layers_of(&header, units).count();
    let (blocks, modules) = (units(Layers::Block), units(Layers::Module));
    assert_eq!((blocks, modules), (4, 6));
    let counts: Vec<usize> = state.probes().iter().map(|it| it.results().count()).collect();
    // Sharpness with the whole, of both variants; the path of the dense one;
    // curvature at three points.
    assert_eq!(counts, [2 * 5 * (blocks + 1), 5 * modules, 3 * blocks]);
    for (cell, result) in results(&state).probes {
        assert_eq!(result, directly(&header, &state, cell), "{cell:?}");
    }
    let (done, total) = state.work();
    assert!(done == total && state.probes_work().0 > 0);
}

#[test]
fn the_first_curve_comes_first_and_then_both_fill_in() {
    let mut header = sweep_rig::header(&[530, 530], 11, 128);
    header.variants.truncate(1);
    let spec = SharpnessSpec::default();
    let probe = Probe::Sharpness { spec, on: DatasetId(0) }.named(&header);
    let mut state = SweepState::default();
    state.apply(&Event::Header(header.clone()));
    state.apply(&Event::Probing { probe: probe.clone() });
    let units = owed(&header, Shard::whole(), &state);
    let all: u64 = units.iter().map(Unit::cost).sum();
    let first = units.iter().take_while(|unit| unit.group().is_none());
    let first: u64 = first.map(Unit::cost).sum();
    assert!(first * 20 <= all, "the first whole curve costs {first} of {all}");

    // Points in their order, layers in a row, the whole before the layers.
    let probed: Vec<ProbeCell> = units
        .iter()
        .filter_map(|unit| match unit {
            Unit::Probe { cell, .. } => Some(*cell),
            Unit::Accuracy { .. } => None,
        })
        .collect();
    let expected: Vec<ProbeCell> = alpha_order(11)
        .into_iter()
        .flat_map(|alpha| cells_at(&header, &probe, ProbeId(0), VariantId::DENSE, alpha))
        .collect();
    assert_eq!(probed, expected);
    assert_eq!(probed[0].layer, None);

    // Neither waits for the other's end.
    let half = |kind: bool| {
        let of = || units.iter().filter(|unit| unit.group().is_some() == kind);
        let total: u64 = of().map(Unit::cost).sum();
        let (mut seen, mut own) = (0, 0);
        for unit in &units {
            seen += unit.cost();
            own += if unit.group().is_some() == kind { unit.cost() } else { 0 };
            if own * 2 >= total {
                break;
            }
        }
        seen as f64 / all as f64
    };
    assert!(half(true) < 0.9 && half(false) < 0.5, "{} {}", half(true), half(false));
}

#[test]
fn a_late_variant_catches_up_before_the_rest() {
    let header = header(5);
    let mut state = SweepState::default();
    state.apply(&Event::Header(header.clone()));
    state.apply(&Event::Probing { probe: sharpness().named(&header) });
    let before = owed(&header, Shard::whole(), &state);
    // All of the dense path's accuracy is there.
    let whole = plain(&header, &[]);
    let dir = tempfile::tempdir().unwrap();
    let _ = probing(dir.path(), &header, &[], Shard::whole(), scripts(1), |_, _| {});
    for event in journal::read(dir.path()).unwrap() {
        if matches!(&event, Event::Measured(it) if it.cell.variant == VariantId::DENSE) {
            state.apply(&event);
        }
    }
    state.apply(&Event::VariantAdded {
        variant: variant("late", &[edit("stem", Method::Reset, 1.0)]),
    });
    let units = owed(&header, Shard::whole(), &state);
    let late = units.iter().filter(|unit| unit.variant() == VariantId(2));
    let rounds = header.datasets.iter().map(|it| it.rounds.len()).sum::<usize>();
    assert_eq!(late.clone().count(), rounds * 5, "accuracy, and no probe");
    let last = units.iter().rposition(|unit| unit.variant() == VariantId(2)).unwrap();
    let first_probe = units.iter().position(|unit| unit.group().is_some()).unwrap();
    assert!(last < first_probe);
    assert!(before.len() > units.len() - late.count());
    assert_eq!(whole.variants().len(), 2);
}

#[test]
fn a_probe_asked_for_while_it_runs_is_cancelled_alone() {
    let header = header(5);
    let dir = tempfile::tempdir().unwrap();
    let mut probed = 0;
    let (outcome, state) =
        probing(dir.path(), &header, &three(&header), Shard::whole(), scripts(2), |event, ask| {
            match event {
                Event::Started { .. } => {
                    let probe = Box::new(path(Direction::Random));
                    ask.send(Command::Probe { probe }).unwrap();
                    // Asked in the words of the spec, it is the probe that is there.
                    ask.send(Command::Probe { probe: Box::new(sharpness()) }).unwrap();
                }
                Event::Probed(it) if it.cell.probe == ProbeId(0) => {
                    probed += 1;
                    if probed == 3 {
                        ask.send(Command::CancelProbe { probe: ProbeId(0) }).unwrap();
                    }
                }
                _ => {}
            }
        });
    assert_eq!(outcome.unwrap(), Outcome::Complete);
    assert_eq!(state.probes().len(), 4);
    assert!(state.probes()[0].cancelled);
    let events = journal::read(dir.path()).unwrap();
    let cancelled = Event::ProbeCancelled { probe: ProbeId(0) };
    let at = events.iter().position(|event| *event == cancelled).unwrap();
    let of = |events: &[Event]| {
        let of = events
            .iter()
            .filter(|event| matches!(event, Event::Probed(it) if it.cell.probe == ProbeId(0)));
        of.count()
    };
    assert!(of(&events[..at]) >= 3 && of(&events[at..]) == 0);
    assert_eq!(state.probes()[0].results().count(), of(&events), "what it gave stays");
    let all =
        plain(&header, &[three(&header), vec![path(Direction::Random).named(&header)]].concat());
    for id in 1..4 {
        let cells = |state: &SweepState| -> Vec<ProbeResult> {
            state.probes()[id].results().map(|it| it.result.clone()).collect()
        };
        assert_eq!(cells(&state), cells(&all));
    }
    // Asked for again, it goes on.
    let mut sent = false;
    let (outcome, state) =
        probing(dir.path(), &header, &three(&header), Shard::whole(), scripts(1), |_, ask| {
            if !std::mem::replace(&mut sent, true) {
                ask.send(Command::Probe { probe: Box::new(sharpness()) }).unwrap();
            }
        });
    assert_eq!(outcome.unwrap(), Outcome::Complete);
    assert_eq!(results(&state), results(&all));
}

#[test]
fn a_variant_that_is_superseded_at_once_is_not_measured_in_full() {
    let header = header(5);
    let dir = tempfile::tempdir().unwrap();
    let of = |layer| variant("late", &[edit(layer, Method::Delta, 0.7)]);
    let (first, second) = (of("block.0"), of("block.1.mlp"));
    let add = |it: &Variant| Command::AddVariant { variant: it.clone() };
    let instead = |it: &Variant| Command::Supersede { sparsify: it.sparsify.clone() };
    let asked = [
        add(&first),
        instead(&first),
        add(&second),
        instead(&second),
        add(&first),
        // Nothing that was measured whole, or that nobody knows, makes way.
        instead(&of("stem")),
        instead(&Variant::dense()),
    ];
    let mut sent = false;
    let (outcome, state) =
        probing(dir.path(), &header, &[], Shard::whole(), scripts(2), |_, ask| {
            if !std::mem::replace(&mut sent, true) {
                asked.iter().for_each(|it| ask.send(it.clone()).unwrap());
            }
        });
    assert_eq!(outcome.unwrap(), Outcome::Complete);
    let id = |it: &Variant| state.variant_that(&it.sparsify).unwrap();
    assert!(state.is_dropped(id(&second)) && !state.is_whole(id(&second)));
    assert!(!state.is_dropped(id(&first)) && state.is_whole(id(&first)));
    assert!(state.is_whole(VariantId::DENSE) && state.is_complete());
    // Whole, it stays as it is.
    let mut sent = false;
    let (_, state) = probing(dir.path(), &header, &[], Shard::whole(), scripts(1), |_, ask| {
        if !std::mem::replace(&mut sent, true) {
            ask.send(instead(&first)).unwrap();
        }
    });
    assert!(!state.is_dropped(id(&first)));
}

#[test]
fn what_cannot_join_is_said() {
    let header = header(3);
    let dir = tempfile::tempdir().unwrap();
    let bad = |edit| Command::AddVariant { variant: variant("bad", &[edit]) };
    let odd = SharpnessSpec { draws: 3, ..SharpnessSpec::default() };
    let asked = [
        bad(edit("blok.1", Method::Delta, 0.5)),
        bad(edit("block.1", Method::Delta, 1.5)),
        Command::Probe { probe: Box::new(Probe::Sharpness { spec: odd, on: DatasetId(0) }) },
        Command::Probe {
            probe: Box::new(Probe::Curvature { spec: CurvatureSpec::default(), on: DatasetId(9) }),
        },
    ];
    let mut sent = false;
    let (outcome, state) =
        probing(dir.path(), &header, &[], Shard::whole(), scripts(1), |_, ask| {
            if !std::mem::replace(&mut sent, true) {
                asked.iter().for_each(|it| ask.send(it.clone()).unwrap());
                ask.send(Command::DropVariant { variant: VariantId::DENSE }).unwrap();
                ask.send(Command::DropVariant { variant: VariantId(9) }).unwrap();
                ask.send(Command::CancelProbe { probe: ProbeId(9) }).unwrap();
                ask.send(Command::AddVariant { variant: Variant::dense() }).unwrap();
            }
        });
    assert_eq!(outcome.unwrap(), Outcome::Complete);
    let said: Vec<&str> = state.notices.iter().map(|(_, text)| text.as_str()).collect();
    assert_eq!(said.len(), 4, "{said:?}");
    for (text, word) in std::iter::zip(&said, ["blok.1", "amount", "draws", "dataset"]) {
        assert!(text.contains(word), "{text}");
    }
    // Each is journalled as it was asked, so that whoever asked can tell.
    let refused: Vec<Command> = journal::read(dir.path())
        .unwrap()
        .into_iter()
        .filter_map(|event| match event {
            Event::Refused { command, .. } => Some(*command),
            _ => None,
        })
        .collect();
    assert_eq!(refused, asked);
    assert_eq!((state.variants().len(), state.probes().len()), (2, 0));
    assert_eq!(results(&state), results(&plain(&header, &[])));
}

#[test]
fn a_layer_that_fails_leaves_the_others_and_is_tried_again() {
    let header = header(3);
    let probes = three(&header);
    let dir = tempfile::tempdir().unwrap();
    let failing_layers = vec![("block.1".into(), AlphaId(2)), ("overall".into(), AlphaId(0))];
    let script = SimScript { failing_layers, ..SimScript::default() };
    let run = |scripts| probing(dir.path(), &header, &probes, Shard::whole(), scripts, |_, _| {});
    let (outcome, state) = run(vec![script]);
    assert_eq!(outcome.unwrap(), Outcome::Partial);
    // Both variants' sharpness, and the curvature.
    let failed: usize = state.probes().iter().map(|it| it.failures().count()).sum();
    assert_eq!(failed, 2 + 2 + 1);
    let whole = plain(&header, &probes);
    assert_eq!(results(&state).probes.len() + failed, results(&whole).probes.len());
    let (outcome, state) = run(scripts(1));
    assert_eq!(outcome.unwrap(), Outcome::Complete);
    assert_eq!(results(&state), results(&whole));
}

#[test]
fn a_lost_worker_gives_its_layer_back() {
    let header = header(3);
    let probes = three(&header);
    let dir = tempfile::tempdir().unwrap();
    let lost = SimScript { fatal_after: Some(60), ..SimScript::default() };
    let scripts = vec![lost, SimScript::default()];
    let (outcome, state) =
        probing(dir.path(), &header, &probes, Shard::whole(), scripts, |_, _| {});
    assert_eq!(outcome.unwrap(), Outcome::Complete);
    assert_eq!(results(&state), results(&plain(&header, &probes)));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Resumed from any prefix of a journal, torn at any byte, with any number
    /// of workers, a run ends with the numbers of the uninterrupted one; and
    /// the replayed state is the live one.
    #[test]
    fn resumed_is_uninterrupted(points in 1_usize..5, cut in 0.0_f64..1.0, workers in 1_usize..4) {
        let header = header(points);
        let probes = three(&header);
        let late = variant("late", &[edit("head", Method::Dare, 0.5)]);
        let add = |event: &Event, ask: &std::sync::mpsc::Sender<Command>| {
            if matches!(event, Event::Started { .. }) {
                ask.send(Command::AddVariant { variant: late.clone() }).unwrap();
            }
        };
        let dir = tempfile::tempdir().unwrap();
        let (_, whole) = probing(dir.path(), &header, &probes, Shard::whole(), scripts(workers), add);
        let path = dir.path().join("events.jsonl");
        let bytes = std::fs::read(&path).unwrap();
        let keep = (bytes.len() as f64 * cut) as usize;
        std::fs::write(&path, &bytes[..keep]).unwrap();
        let (outcome, state) =
            probing(dir.path(), &header, &probes, Shard::whole(), scripts(workers), add);
        prop_assert_eq!(outcome.unwrap(), Outcome::Complete);
        prop_assert_eq!(results(&state), results(&whole));
        prop_assert_eq!(state.variants(), whole.variants());
        let replayed = SweepState::replay(&journal::read(dir.path()).unwrap());
        prop_assert_eq!(replayed, state);
    }

    /// Shards in one folder add up to the whole, whatever their number.
    #[test]
    fn shards_add_up(of in 1_usize..5, points in 1_usize..5) {
        let header = header(points);
        let probes = three(&header);
        let dir = tempfile::tempdir().unwrap();
        for index in 1..=of {
            let shard = Shard::new(index, of).unwrap();
            let _ = probing(dir.path(), &header, &probes, shard, scripts(1), |_, _| {});
        }
        let state = SweepState::replay(&journal::read(dir.path()).unwrap());
        prop_assert_eq!(state.ignored, 0);
        prop_assert_eq!(results(&state), results(&plain(&header, &probes)));
    }

    /// Whatever is asked at whatever moment, every number is of one variant, a
    /// finished answer is kept, and nothing comes of what was left out.
    #[test]
    fn commands_at_any_moment(
        asked in prop::collection::vec((0_usize..120, 0_usize..10), 0..12),
        workers in 1_usize..4,
    ) {
        let header = header(3);
        let late = |layer| Command::AddVariant { variant: variant("late", &[edit(layer, Method::Delta, 0.7)]) };
        let command = |which| match which {
            0 => Command::Probe { probe: Box::new(path(Direction::Random)) },
            1 => Command::CancelProbe { probe: ProbeId(0) },
            2 => Command::Probe { probe: Box::new(sharpness()) },
            3 => late("block.0"),
            4 => late("block.1.mlp"),
            5 => Command::DropVariant { variant: VariantId(1) },
            6 => Command::DropVariant { variant: VariantId(2) },
            7 => Command::Skip { dataset: DatasetId(1) },
            8 => Command::Supersede { sparsify: vec![edit("block.0", Method::Delta, 0.7)] },
            _ => Command::Focus { dataset: Some(DatasetId(1)) },
        };
        let dir = tempfile::tempdir().unwrap();
        let mut seen = 0;
        let (outcome, state) =
            probing(dir.path(), &header, &three(&header), Shard::whole(), scripts(workers), |_, ask| {
                for (_, which) in asked.iter().filter(|(at, _)| *at == seen) {
                    // The session may be over: then nobody listens.
                    let _ = ask.send(command(*which));
                }
                seen += 1;
            });
        prop_assert_eq!(outcome.unwrap(), Outcome::Complete);
        let events = journal::read(dir.path()).unwrap();
        let mut folded = SweepState::default();
        let mut kept = 0;
        for event in &events {
            match event {
                Event::Measured(it) => {
                    prop_assert!(!folded.is_left_out(it.cell));
                    prop_assert!(it.cell.variant.index() < folded.variants().len());
                    let mut engine = SimEngine::new(header.clone(), SimScript::default());
                    let variant = &folded.variants()[it.cell.variant.index()];
                    engine.set_point(header.alphas[it.cell.alpha.index()], variant).unwrap();
                    let all = engine.evaluate(it.cell.dataset, it.start..it.start + it.images).unwrap();
                    prop_assert_eq!(all.hit.iter().filter(|&&hit| hit).count(), it.correct);
                }
                Event::Probed(it) => {
                    kept += 1;
                    prop_assert!(!folded.probe(it.cell.probe).unwrap().cancelled);
                    prop_assert!(!folded.is_dropped(it.cell.variant));
                }
                _ => {}
            }
            folded.apply(event);
            if let Event::Probed(it) = event {
                let expected = directly(&header, &folded, it.cell);
                prop_assert_eq!(folded.probed(it.cell), Some(&expected));
            }
        }
        prop_assert_eq!(folded.ignored, 0);
        prop_assert_eq!(results(&folded).probes.len(), kept);
        prop_assert_eq!(&folded, &state);
        let names: std::collections::BTreeSet<_> = state.variants().iter().map(|it| &it.name).collect();
        prop_assert_eq!(names.len(), state.variants().len());
    }
}
