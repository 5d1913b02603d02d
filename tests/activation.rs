//! When the activation is looked at in a run, and what it costs where that fails: with the pretend
//! engine and an answer of one's own.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // helpers of tests

mod sweep_rig;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::Sender;
use std::time::Duration;

use alphascope::sim::SimScript;
use alphascope::sweep::activation::ActivationProbe;
use alphascope::sweep::command::Command;
use alphascope::sweep::drive::EngineFactory;
use alphascope::sweep::engine::{EngineError, Steer};
use alphascope::sweep::event::{Event, Header, Level, Outcome};
use alphascope::sweep::journal;
use alphascope::sweep::plan::Shard;
use alphascope::sweep::spec::Activation;
use alphascope::sweep::state::SweepState;
use sweep_rig::hooked::comparing;
use sweep_rig::{driven, header, plain, results};

/// What an engine answers when it is asked for its activation.
#[derive(Clone, Copy)]
enum Answer {
    Wrong,
    /// Not before it is told to stop.
    Never,
    Fails,
    Panics,
}

impl Answer {
    fn give(self, steer: &mut dyn Steer) -> Result<Option<ActivationProbe>, EngineError> {
        if !steer.go_on(0.5) {
            return Ok(None);
        }
        match self {
            Self::Wrong => Ok(Some(ActivationProbe {
                used: Activation::Gelu,
                source: "open_clip_config.json".into(),
                dataset: "set0".into(),
                templates: None,
                images: 256,
                correct: 32,
                gained: 136,
                lost: 4,
            })),
            Self::Never => {
                while steer.go_on(0.5) {
                    std::thread::yield_now();
                }
                Ok(None)
            }
            Self::Fails => Err(EngineError::Fatal("the pretended memory is full".into())),
            Self::Panics => panic!("a pretended panic"),
        }
    }
}

fn engines(
    header: &Header,
    answer: Answer,
    workers: usize,
) -> (Vec<EngineFactory>, Arc<AtomicUsize>) {
    let times = Arc::new(AtomicUsize::new(0));
    let make = |_| {
        let times = Arc::clone(&times);
        let script = SimScript { pause: Duration::from_millis(2), ..SimScript::default() };
        comparing(header, script, move |steer| {
            times.fetch_add(1, Ordering::SeqCst);
            answer.give(steer)
        })
    };
    let engines = (0..workers).map(make).collect();
    (engines, times)
}

/// A session of so many workers: how it ended, what is known, how often an engine was asked.
fn session(
    dir: &Path,
    shard: Shard,
    (answer, workers): (Answer, usize),
    react: impl FnMut(&Event, &Sender<Command>) + Send,
) -> (Outcome, SweepState, usize) {
    let header = header(&[100, 90], 3, 16);
    let (engines, times) = engines(&header, answer, workers);
    let (outcome, state) = driven(dir, &header, &[], shard, engines, react);
    (outcome.unwrap(), state, times.load(Ordering::SeqCst))
}

fn notices(dir: &Path) -> Vec<(Level, String)> {
    SweepState::replay(&journal::read(dir).unwrap()).notices
}

#[test]
fn it_is_said_once_before_anything_is_measured_and_changes_no_number() {
    let dir = tempfile::tempdir().unwrap();
    let (outcome, state, times) =
        session(dir.path(), Shard::whole(), (Answer::Wrong, 1), |_, _| {});
    assert_eq!((outcome, times), (Outcome::Complete, 1));
    let events = journal::read(dir.path()).unwrap();
    let kinds = |event: &Event| matches!(event, Event::Notice { .. } | Event::Measured(_));
    assert!(matches!(events.iter().find(|it| kinds(it)), Some(Event::Notice { .. })));
    let [(Level::Warning, text)] = &notices(dir.path())[..] else { panic!() };
    assert!(text.contains("set `checkpoints.activation = \"quick_gelu\"`"), "{text}");
    assert_eq!(results(&state), results(&plain(&header(&[100, 90], 3, 16), &[])));
}

#[test]
fn of_many_workers_one_is_asked_and_a_resumed_run_asks_none() {
    let dir = tempfile::tempdir().unwrap();
    let mut measured = 0;
    let stop = |event: &Event, ask: &Sender<Command>| {
        measured += usize::from(matches!(event, Event::Measured(_)));
        if measured == 5 {
            ask.send(Command::Stop).unwrap();
        }
    };
    let (outcome, _, times) = session(dir.path(), Shard::whole(), (Answer::Wrong, 3), stop);
    assert_eq!((outcome, times), (Outcome::Stopped, 1));
    let (outcome, state, times) =
        session(dir.path(), Shard::whole(), (Answer::Wrong, 3), |_, _| {});
    assert_eq!((outcome, times), (Outcome::Complete, 0));
    assert_eq!((state.notices.len(), state.warnings().len()), (1, 1));
}

/// Said, and stopped before anything was measured: not said again.
#[test]
fn stopped_right_after_it_is_not_asked_again() {
    let dir = tempfile::tempdir().unwrap();
    // The pretend engine may be quick, but a command is looked at before the next result is kept.
    let stop = |event: &Event, ask: &Sender<Command>| {
        if matches!(event, Event::Notice { .. }) {
            ask.send(Command::Stop).unwrap();
        }
    };
    session(dir.path(), Shard::whole(), (Answer::Wrong, 1), stop);
    let (_, state, times) = session(dir.path(), Shard::whole(), (Answer::Wrong, 1), |_, _| {});
    assert_eq!((state.notices.len(), times), (1, 0));
}

#[test]
fn stopped_within_it_is_asked_again() {
    let dir = tempfile::tempdir().unwrap();
    let stop = |event: &Event, ask: &Sender<Command>| {
        if matches!(event, Event::Started { .. }) {
            ask.send(Command::Stop).unwrap();
        }
    };
    let (outcome, state, _) = session(dir.path(), Shard::whole(), (Answer::Never, 1), stop);
    assert_eq!((outcome, state.notices.len()), (Outcome::Stopped, 0));
    let (outcome, state, times) =
        session(dir.path(), Shard::whole(), (Answer::Wrong, 1), |_, _| {});
    assert_eq!((outcome, state.notices.len(), times), (Outcome::Complete, 1, 1));
}

#[test]
fn a_pause_holds_it_and_the_sweep_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let react = |event: &Event, ask: &Sender<Command>| match event {
        Event::Started { .. } => ask.send(Command::Pause).unwrap(),
        Event::Paused => ask.send(Command::Resume).unwrap(),
        _ => {}
    };
    let (outcome, state, times) = session(dir.path(), Shard::whole(), (Answer::Wrong, 2), react);
    assert_eq!((outcome, times, state.notices.len()), (Outcome::Complete, 1, 1));
}

#[test]
fn what_fails_in_it_costs_nothing_else() {
    for (answer, why) in [(Answer::Fails, "memory is full"), (Answer::Panics, "a pretended panic")]
    {
        let dir = tempfile::tempdir().unwrap();
        let (outcome, state, _) = session(dir.path(), Shard::whole(), (answer, 1), |_, _| {});
        assert_eq!(outcome, Outcome::Complete);
        let [(Level::Info, text)] = &state.notices[..] else { panic!("{:?}", state.notices) };
        assert!(text.contains("not compared") && text.contains(why), "{text}");
        assert_eq!(results(&state), results(&plain(&header(&[100, 90], 3, 16), &[])));
    }
}

#[test]
fn shards_of_one_run_need_it_once() {
    let dir = tempfile::tempdir().unwrap();
    for part in 1..=2 {
        let shard = Shard::new(part, 2).unwrap();
        let (_, _, times) = session(dir.path(), shard, (Answer::Wrong, 1), |_, _| {});
        assert_eq!(times, usize::from(part == 1));
    }
    assert_eq!(notices(dir.path()).len(), 1);
}
