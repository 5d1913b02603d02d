//! The loop that measures: what comes first, commands, cells that fail, engines
//! that are lost.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // helpers of tests

mod sweep_rig;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Condvar, Mutex};

use alphascope::sim::SimScript;
use alphascope::sweep::command::Command;
use alphascope::sweep::drive::{DriveError, EngineFactory};
use alphascope::sweep::engine::{Engine, EngineError};
use alphascope::sweep::event::{Event, Outcome};
use alphascope::sweep::ids::{Alpha, AlphaId, CellId, DatasetId, VariantId};
use alphascope::sweep::journal;
use alphascope::sweep::plan::Shard;
use alphascope::sweep::state::{Status, SweepState};
use sweep_rig::hooked::hooked;
use sweep_rig::{driven, header, plain, results, session};

#[test]
fn the_first_curve_takes_under_a_twentieth_of_the_work() {
    let header = header(&[530, 530, 522, 213], 11, 128);
    let dir = tempfile::tempdir().unwrap();
    let mut folded = SweepState::default();
    folded.apply(&Event::Header(header.clone()));
    let mut whole_at = None;
    let _ = session(dir.path(), &header, Shard::whole(), vec![SimScript::default()], |event, _| {
        folded.apply(event);
        let (done, total) = folded.work();
        let all = folded.cell_ids().all(|id| folded.cell(id).unwrap().done > 0);
        if all && whole_at.is_none() {
            whole_at = Some(done as f64 / total as f64);
        }
    });
    assert!(whole_at.unwrap() <= 0.05, "{whole_at:?}");
}

/// Lets engines measure so many batches, and holds them until it allows more.
#[derive(Default)]
struct Gate {
    allowed: Mutex<usize>,
    changed: Condvar,
}

impl Gate {
    fn allow(&self, batches: usize) {
        *self.allowed.lock().unwrap() += batches;
        self.changed.notify_all();
    }

    fn pass(&self) {
        let allowed = self.allowed.lock().unwrap();
        *self.changed.wait_while(allowed, |allowed| *allowed == 0).unwrap() -= 1;
    }
}

/// Commands are obeyed in the order they were sent, and a change of focus is told
/// at once. Engines are held until it was: else they could end before the first
/// command is heard.
#[test]
fn commands_come_into_force_and_are_journalled() {
    let header = header(&[200, 200], 5, 8);
    assert_eq!(header.datasets[0].rounds[0], 8, "a unit of the first round is one batch");
    let gate = Arc::new(Gate::default());
    let engine = |_| {
        let gate = Arc::clone(&gate);
        hooked(&header, SimScript::default(), move |engine, _, dataset, positions| {
            gate.pass();
            engine.evaluate(dataset, positions)
        })
    };
    let dir = tempfile::tempdir().unwrap();
    let dataset = DatasetId(1);
    let (mut seen, held) = (0, 6);
    let react = |event: &Event, ask: &Sender<Command>| match event {
        Event::Started { .. } => gate.allow(held),
        Event::Measured(_) => {
            seen += 1;
            if seen == held {
                ask.send(Command::Pause).unwrap();
                ask.send(Command::Focus { dataset: Some(dataset) }).unwrap();
            }
        }
        Event::Focused { dataset: Some(_) } => gate.allow(2),
        Event::Paused => ask.send(Command::Resume).unwrap(),
        Event::Resumed => {
            ask.send(Command::Skip { dataset }).unwrap();
            ask.send(Command::Focus { dataset: None }).unwrap();
        }
        Event::Focused { dataset: None } => gate.allow(usize::MAX / 2),
        _ => {}
    };
    let engines = (0..2).map(engine).collect();
    let (outcome, state) = driven(dir.path(), &header, &[], Shard::whole(), engines, react);
    assert_eq!(outcome.unwrap(), Outcome::Complete);
    assert!(state.is_skipped(dataset));
    let events = journal::read(dir.path()).unwrap();
    let at = |wanted: &Event| events.iter().position(|event| event == wanted).unwrap();
    assert_eq!(at(&Event::Paused) + 1, at(&Event::Resumed), "a pause is still");
    let skipped = at(&Event::Skipped { dataset });
    assert!(at(&Event::Resumed) < skipped);
    let late = events[skipped..]
        .iter()
        .any(|event| matches!(event, Event::Measured(it) if it.cell.dataset == dataset));
    assert!(!late, "nothing of a skipped dataset is counted once the skip is in force");
    let other = state.dense(DatasetId(0), AlphaId(0)).unwrap();
    assert_eq!(other.done, other.total);
}

#[test]
fn a_failed_cell_leaves_the_others_and_is_tried_again() {
    let header = header(&[60, 60], 3, 16);
    let dir = tempfile::tempdir().unwrap();
    let bad = (DatasetId(1), AlphaId(2));
    let script = SimScript { failing: vec![bad], ..SimScript::default() };
    let (outcome, state) = session(dir.path(), &header, Shard::whole(), vec![script], |_, _| {});
    assert_eq!(outcome.unwrap(), Outcome::Partial);
    let failed = state
        .cell_ids()
        .filter(|&id| matches!(state.status(id), Some(Status::Failed(_))))
        .map(|id| (id.dataset, id.alpha));
    assert_eq!(failed.collect::<Vec<_>>(), [bad]);
    let (outcome, state) =
        session(dir.path(), &header, Shard::whole(), vec![SimScript::default()], |_, _| {});
    assert_eq!(outcome.unwrap(), Outcome::Complete);
    assert_eq!(results(&state), results(&plain(&header, &[])));
}

#[test]
fn a_lost_worker_gives_its_unit_back() {
    let header = header(&[120], 5, 8);
    let lost = SimScript { fatal_after: Some(3), ..SimScript::default() };
    let panics = SimScript { panic_after: Some(2), ..SimScript::default() };
    // One at a time: a unit that two workers were lost in counts as failed.
    for script in [lost.clone(), panics] {
        let dir = tempfile::tempdir().unwrap();
        let scripts = vec![script, SimScript::default()];
        let (outcome, state) = session(dir.path(), &header, Shard::whole(), scripts, |_, _| {});
        assert_eq!(outcome.unwrap(), Outcome::Complete);
        assert_eq!(results(&state), results(&plain(&header, &[])));
    }
    // With no worker left the run stops, and can be resumed.
    let dir = tempfile::tempdir().unwrap();
    let (outcome, _) = session(dir.path(), &header, Shard::whole(), vec![lost], |_, _| {});
    assert_eq!(outcome.unwrap(), Outcome::Stopped);
    let (_, state) =
        session(dir.path(), &header, Shard::whole(), vec![SimScript::default()], |_, _| {});
    assert_eq!(results(&state), results(&plain(&header, &[])));
}

/// Stopped after what is in hand, however often, also out of a pause: no image
/// is measured twice, and the numbers are those of an undisturbed run.
#[test]
fn stopped_after_the_point_in_hand_nothing_is_measured_twice() {
    let header = header(&[120, 40], 5, 8);
    let dir = tempfile::tempdir().unwrap();
    let images = Arc::new(AtomicUsize::new(0));
    let mut outcomes = Vec::new();
    let state = loop {
        let mut heard = 0;
        let pauses = outcomes.len() % 2 == 1;
        let react = |event: &Event, ask: &Sender<Command>| match event {
            Event::Measured(_) => {
                heard += 1;
                let command = if pauses { Command::Pause } else { Command::StopAfter };
                if heard == 3 {
                    ask.send(command).unwrap();
                }
            }
            Event::Paused => ask.send(Command::StopAfter).unwrap(),
            _ => {}
        };
        let engine = |_| {
            // Slow enough that a command comes before the end.
            let pause = std::time::Duration::from_millis(2);
            let images = Arc::clone(&images);
            let script = SimScript { pause, ..SimScript::default() };
            hooked(&header, script, move |engine, _, dataset, positions| {
                images.fetch_add(positions.len(), Ordering::SeqCst);
                engine.evaluate(dataset, positions)
            })
        };
        let engines = (0..2).map(engine).collect();
        let (outcome, state) = driven(dir.path(), &header, &[], Shard::whole(), engines, react);
        let outcome = outcome.unwrap();
        outcomes.push(outcome);
        if outcome == Outcome::Complete {
            break state;
        }
        assert!(outcomes.len() < 200, "it comes to an end");
    };
    assert!(outcomes.len() > 3, "{outcomes:?}");
    assert_eq!(images.load(Ordering::SeqCst), 5 * 160);
    assert_eq!(results(&state), results(&plain(&header, &[])));
}

#[test]
fn no_engine_is_an_error() {
    let header = header(&[10], 2, 8);
    let dir = tempfile::tempdir().unwrap();
    let engine: EngineFactory = Box::new(|| Err(EngineError::Fatal("no such device".into())));
    let (result, _) = driven(dir.path(), &header, &[], Shard::whole(), vec![engine], |_, _| {});
    assert!(matches!(result, Err(DriveError::NoEngine(_))), "{result:?}");
}

/// A unit that ends every worker that takes it is given up after two.
#[test]
fn a_unit_that_ends_workers_costs_its_cell_not_the_run() {
    let header = header(&[40], 3, 8);
    let engine = |_| {
        hooked(&header, SimScript::default(), |engine, alpha, dataset, positions| {
            match alpha == Alpha::FINE_TUNED && positions.contains(&7) {
                true => Err(EngineError::Fatal("the device is gone".into())),
                false => engine.evaluate(dataset, positions),
            }
        })
    };
    let dir = tempfile::tempdir().unwrap();
    let engines = (0..3).map(engine).collect();
    let (outcome, state) = driven(dir.path(), &header, &[], Shard::whole(), engines, |_, _| {});
    assert_eq!(outcome.unwrap(), Outcome::Partial);
    let failed = |point| {
        let cell =
            CellId { variant: VariantId::DENSE, dataset: DatasetId(0), alpha: AlphaId(point) };
        matches!(state.status(cell), Some(Status::Failed(_)))
    };
    assert_eq!([failed(0), failed(1), failed(2)], [false, false, true]);
}
