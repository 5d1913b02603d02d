//! A run is its events: live, replayed, resumed and sharded runs are the same.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // helpers of tests

mod sweep_rig;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Condvar, Mutex};

use alphascope::sim::{SimEngine, SimScript};
use alphascope::sweep::command::Command;
use alphascope::sweep::drive::{DriveError, EngineFactory, drive};
use alphascope::sweep::engine::{BatchOutcome, Engine, EngineError, Steer};
use alphascope::sweep::event::{Event, Header, LayerInfo, Level, Measured, Outcome};
use alphascope::sweep::ids::{Alpha, AlphaId, CellId, DatasetId, RoundId, VariantId, WorkerId};
use alphascope::sweep::journal::{self, Journal};
use alphascope::sweep::plan::Shard;
use alphascope::sweep::probe::{Probe, ProbeResult};
use alphascope::sweep::spec::Variant;
use alphascope::sweep::state::{Status, SweepState};
use proptest::prelude::*;
use sweep_rig::{Kept, header, session};

/// Done, correct, correct in five, bits of the loss, near ties.
type CellResult = (usize, usize, Option<usize>, u64, u64, Option<Status>);

/// What must not depend on how the run came about.
fn results(state: &SweepState) -> Vec<CellResult> {
    let cell = |id| {
        let cell = state.cell(id).unwrap();
        let loss = cell.loss_sum.to_bits();
        (cell.done, cell.correct, cell.correct5, loss, cell.near_ties, state.status(id))
    };
    state.cell_ids().map(cell).collect()
}

fn plain(header: &Header) -> SweepState {
    let dir = tempfile::tempdir().unwrap();
    let (outcome, state) =
        session(dir.path(), header, Shard::whole(), vec![SimScript::default()], |_, _| {});
    assert_eq!(outcome.unwrap(), Outcome::Complete);
    state
}

#[test]
fn every_image_is_counted_once() {
    let header = header(&[530, 213, 41], 11, 32);
    let state = plain(&header);
    assert!(state.is_complete());
    for id in state.cell_ids() {
        let cell = state.cell(id).unwrap();
        assert_eq!(cell.done, cell.total);
    }
    // The same numbers, counted directly.
    let mut engine = SimEngine::new(header.clone(), SimScript::default());
    for (d, info) in header.datasets.iter().enumerate() {
        for (a, &alpha) in header.alphas.iter().enumerate() {
            engine.set_point(alpha, &Variant::dense()).unwrap();
            let all = engine.evaluate(DatasetId(d), 0..info.images).unwrap();
            let cell = state.dense(DatasetId(d), AlphaId(a)).unwrap();
            assert_eq!(cell.correct, all.hit.iter().filter(|&&hit| hit).count());
        }
    }
}

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

struct Gated(SimEngine, Arc<Gate>);

impl Engine for Gated {
    fn device(&self) -> String {
        self.0.device()
    }
    fn set_point(&mut self, alpha: Alpha, variant: &Variant) -> Result<(), EngineError> {
        self.0.set_point(alpha, variant)
    }
    fn probe(
        &mut self,
        probe: &Probe,
        layer: Option<&LayerInfo>,
        steer: &mut dyn Steer,
    ) -> Result<Option<ProbeResult>, EngineError> {
        self.0.probe(probe, layer, steer)
    }
    fn evaluate(
        &mut self,
        dataset: DatasetId,
        positions: std::ops::Range<usize>,
    ) -> Result<BatchOutcome, EngineError> {
        self.1.pass();
        self.0.evaluate(dataset, positions)
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
    let factory = |_| -> EngineFactory {
        let (header, gate) = (header.clone(), Arc::clone(&gate));
        Box::new(move || {
            let engine = SimEngine::new(header, SimScript::default());
            Ok(Box::new(Gated(engine, gate)))
        })
    };
    let dir = tempfile::tempdir().unwrap();
    let mut journal = Journal::open(dir.path(), Shard::whole()).unwrap();
    journal.append(&Event::Header(header.clone())).unwrap();
    let mut state = SweepState::replay(&journal::read(dir.path()).unwrap());
    let (ask, asked) = channel();
    let dataset = DatasetId(1);
    let (mut seen, held) = (0, 6);
    let react = |event: &Event| match event {
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
    let mut sink = Kept { journal, events: Vec::new(), react };
    let workers = (0..2).map(factory).collect();
    let outcome = drive(&header, Shard::whole(), &mut state, workers, asked, &mut sink);
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
    assert_eq!(results(&state), results(&plain(&header)));
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
        assert_eq!(results(&state), results(&plain(&header)));
    }
    // With no worker left the run stops, and can be resumed.
    let dir = tempfile::tempdir().unwrap();
    let (outcome, _) = session(dir.path(), &header, Shard::whole(), vec![lost], |_, _| {});
    assert_eq!(outcome.unwrap(), Outcome::Stopped);
    let (_, state) =
        session(dir.path(), &header, Shard::whole(), vec![SimScript::default()], |_, _| {});
    assert_eq!(results(&state), results(&plain(&header)));
}

/// Counts the images that it evaluates.
struct Counting {
    inner: SimEngine,
    images: Arc<AtomicUsize>,
}

impl Engine for Counting {
    fn device(&self) -> String {
        self.inner.device()
    }

    fn set_point(&mut self, alpha: Alpha, variant: &Variant) -> Result<(), EngineError> {
        self.inner.set_point(alpha, variant)
    }

    fn evaluate(
        &mut self,
        dataset: DatasetId,
        positions: std::ops::Range<usize>,
    ) -> Result<BatchOutcome, EngineError> {
        self.images.fetch_add(positions.len(), Ordering::SeqCst);
        self.inner.evaluate(dataset, positions)
    }

    fn probe(
        &mut self,
        probe: &Probe,
        layer: Option<&LayerInfo>,
        steer: &mut dyn Steer,
    ) -> Result<Option<ProbeResult>, EngineError> {
        self.inner.probe(probe, layer, steer)
    }
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
        let mut journal = Journal::open(dir.path(), Shard::whole()).unwrap();
        if journal.is_empty() {
            journal.append(&Event::Header(header.clone())).unwrap();
        }
        let mut state = SweepState::replay(&journal::read(dir.path()).unwrap());
        let (sender, commands) = channel();
        let mut heard = 0;
        let pauses = outcomes.len() % 2 == 1;
        let react = |event: &Event| match event {
            Event::Measured(_) => {
                heard += 1;
                let ask = if pauses { Command::Pause } else { Command::StopAfter };
                if heard == 3 {
                    sender.send(ask).unwrap();
                }
            }
            Event::Paused => sender.send(Command::StopAfter).unwrap(),
            _ => {}
        };
        let mut sink = Kept { journal, events: Vec::new(), react };
        let factory = |_| -> EngineFactory {
            let (header, images) = (header.clone(), Arc::clone(&images));
            Box::new(move || {
                // Slow enough that a command comes before the end.
                let pause = std::time::Duration::from_millis(2);
                let inner = SimEngine::new(header, SimScript { pause, ..SimScript::default() });
                Ok(Box::new(Counting { inner, images }))
            })
        };
        let factories = (0..2).map(factory).collect();
        let outcome =
            drive(&header, Shard::whole(), &mut state, factories, commands, &mut sink).unwrap();
        outcomes.push(outcome);
        if outcome == Outcome::Complete {
            break state;
        }
        assert!(outcomes.len() < 200, "it comes to an end");
    };
    assert!(outcomes.len() > 3, "{outcomes:?}");
    assert_eq!(images.load(Ordering::SeqCst), 5 * 160);
    assert_eq!(results(&state), results(&plain(&header)));
}

#[test]
fn no_engine_is_an_error() {
    let header = header(&[10], 2, 8);
    let (_sender, commands) = channel();
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::open(dir.path(), Shard::whole()).unwrap();
    let mut sink = Kept { journal, events: Vec::new(), react: |_: &Event| {} };
    let mut state = SweepState::default();
    state.apply(&Event::Header(header.clone()));
    let factory: EngineFactory = Box::new(|| Err(EngineError::Fatal("no such device".into())));
    let result = drive(&header, Shard::whole(), &mut state, vec![factory], commands, &mut sink);
    assert!(matches!(result, Err(DriveError::NoEngine(_))), "{result:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Resumed from any prefix of a journal, torn at any byte, with any number
    /// of workers, a run ends with the numbers of the uninterrupted one; and
    /// the replayed state is the live one.
    #[test]
    fn resumed_is_uninterrupted(
        sizes in prop::collection::vec(1_usize..90, 1..4),
        points in 1_usize..6,
        batch in 1_usize..40,
        cut in 0.0_f64..1.0,
        workers in 1_usize..4,
    ) {
        let header = header(&sizes, points, batch);
        let whole = plain(&header);
        let dir = tempfile::tempdir().unwrap();
        let _ = session(dir.path(), &header, Shard::whole(), vec![SimScript::default(); workers], |_, _| {});
        let path = dir.path().join("events.jsonl");
        let bytes = std::fs::read(&path).unwrap();
        let keep = (bytes.len() as f64 * cut) as usize;
        std::fs::write(&path, &bytes[..keep]).unwrap();
        let (outcome, state) =
            session(dir.path(), &header, Shard::whole(), vec![SimScript::default(); workers], |_, _| {});
        prop_assert_eq!(outcome.unwrap(), Outcome::Complete);
        prop_assert_eq!(results(&state), results(&whole));
        let replayed = SweepState::replay(&journal::read(dir.path()).unwrap());
        prop_assert_eq!(results(&replayed), results(&state));
        prop_assert_eq!(replayed, state);
    }

    /// Shards in one folder add up to the whole, whatever their number.
    #[test]
    fn shards_add_up(of in 1_usize..5, points in 1_usize..6) {
        let header = header(&[30, 17], points, 8);
        let dir = tempfile::tempdir().unwrap();
        for index in 1..=of {
            let shard = Shard::new(index, of).unwrap();
            let _ = session(dir.path(), &header, shard, vec![SimScript::default()], |_, _| {});
        }
        let state = SweepState::replay(&journal::read(dir.path()).unwrap());
        prop_assert_eq!(state.ignored, 0);
        prop_assert_eq!(results(&state), results(&plain(&header)));
    }
}

/// A unit that ends every worker that takes it is given up after two.
#[test]
fn a_unit_that_ends_workers_costs_its_cell_not_the_run() {
    struct Poisoned(SimEngine, bool);
    impl Engine for Poisoned {
        fn device(&self) -> String {
            "poisoned".into()
        }
        fn set_point(&mut self, alpha: Alpha, variant: &Variant) -> Result<(), EngineError> {
            self.1 = alpha == Alpha::FINE_TUNED;
            self.0.set_point(alpha, variant)
        }
        fn probe(
            &mut self,
            probe: &Probe,
            layer: Option<&LayerInfo>,
            steer: &mut dyn Steer,
        ) -> Result<Option<ProbeResult>, EngineError> {
            self.0.probe(probe, layer, steer)
        }
        fn evaluate(
            &mut self,
            dataset: DatasetId,
            positions: std::ops::Range<usize>,
        ) -> Result<BatchOutcome, EngineError> {
            match self.1 && positions.contains(&7) {
                true => Err(EngineError::Fatal("the device is gone".into())),
                false => self.0.evaluate(dataset, positions),
            }
        }
    }
    let header = header(&[40], 3, 8);
    let dir = tempfile::tempdir().unwrap();
    let mut journal = Journal::open(dir.path(), Shard::whole()).unwrap();
    journal.append(&Event::Header(header.clone())).unwrap();
    let mut state = SweepState::replay(&journal::read(dir.path()).unwrap());
    let make = |_| -> EngineFactory {
        let header = header.clone();
        Box::new(move || {
            Ok(Box::new(Poisoned(SimEngine::new(header, SimScript::default()), false)))
        })
    };
    let (_commands, asked) = channel();
    let mut sink = Kept { journal, events: Vec::new(), react: |_: &Event| {} };
    let factories = (0..3).map(make).collect();
    let outcome = drive(&header, Shard::whole(), &mut state, factories, asked, &mut sink).unwrap();
    assert_eq!(outcome, Outcome::Partial);
    let failed = |point| {
        let cell =
            CellId { variant: VariantId::DENSE, dataset: DatasetId(0), alpha: AlphaId(point) };
        matches!(state.status(cell), Some(Status::Failed(_)))
    };
    assert_eq!([failed(0), failed(1), failed(2)], [false, false, true]);
}

/// Whether a cell's failure is read before or after another journal's success.
#[test]
fn a_failure_does_not_hide_a_result() {
    let header = header(&[20], 2, 8);
    let measured = {
        let dir = tempfile::tempdir().unwrap();
        let _ = session(dir.path(), &header, Shard::whole(), vec![SimScript::default()], |_, _| {});
        journal::read(dir.path()).unwrap()
    };
    let cell = CellId { variant: VariantId::DENSE, dataset: DatasetId(0), alpha: AlphaId(0) };
    let failure = Event::CellFailed { cell, round: RoundId(0), message: "no".into() };
    let after: Vec<Event> = measured.iter().cloned().chain([failure.clone()]).collect();
    let before: Vec<Event> =
        measured[..1].iter().cloned().chain([failure]).chain(measured[1..].to_vec()).collect();
    assert!(SweepState::replay(&after).is_complete());
    assert_eq!(results(&SweepState::replay(&after)), results(&SweepState::replay(&before)));
}

/// The journal of a small run with names and notices of many bytes a character.
fn wordy() -> (Header, Vec<u8>) {
    let mut header = header(&[20, 9], 2, 8);
    header.zeroshot = "größe 🦀 零样本".into();
    header.datasets[1].name = "наборデータ".into();
    header.layers.clear();
    let dir = tempfile::tempdir().unwrap();
    let script = SimScript { failing: vec![(DatasetId(1), AlphaId(1))], ..SimScript::default() };
    let _ = session(dir.path(), &header, Shard::whole(), vec![script], |_, _| {});
    let text = "Schlüssel → ключ 🔑".to_string();
    let mut journal = Journal::open(dir.path(), Shard::whole()).unwrap();
    journal.append(&Event::Notice { level: Level::Warning, text }).unwrap();
    drop(journal);
    (header, std::fs::read(dir.path().join("events.jsonl")).unwrap())
}

/// Whatever byte it ends at, a journal says what its whole lines say: no error, no
/// damage, nothing that was not measured. What is written next comes after them.
#[test]
fn every_prefix_of_a_journal_is_its_whole_lines() {
    let (header, bytes) = wordy();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("events.jsonl");
    let mut whole = SweepState::default();
    let (mut lines, mut begin) = (0, 0);
    let mut within = 0;
    for cut in 0..=bytes.len() {
        if cut > 0 && bytes[cut - 1] == b'\n' {
            whole.apply(&serde_json::from_slice(&bytes[begin..cut]).unwrap());
            (lines, begin) = (lines + 1, cut);
        }
        std::fs::write(&path, &bytes[..cut]).unwrap();
        let (state, complaint) = journal::replay(dir.path()).unwrap();
        assert_eq!(complaint, None, "cut at {cut}");
        assert_eq!(state, whole, "cut at {cut}");
        let character = std::str::from_utf8(&bytes[..cut]).is_err();
        within += usize::from(character);
        // Opening takes a lock, so not at every byte; but within every character.
        if character || cut % 13 == 0 {
            let mut journal = Journal::open(dir.path(), Shard::whole()).unwrap();
            journal.append(&Event::Paused).unwrap();
            let after = std::fs::read(&path).unwrap();
            assert_eq!(after[..begin], bytes[..begin], "cut at {cut}");
            assert_eq!(after[begin..], *b"{\"event\":\"paused\"}\n", "cut at {cut}");
            assert_eq!(journal::read(dir.path()).unwrap().len(), lines + 1);
        }
    }
    assert!(within > 30 && lines > 10, "{within} cuts within a character, {lines} lines");
    // Measured on from the middle of a character it is the undisturbed run.
    let whole = results(&plain(&header));
    let middle = |cut: &usize| std::str::from_utf8(&bytes[..*cut]).is_err();
    let first = bytes.iter().position(|&byte| byte == b'\n').unwrap();
    let (early, late) = (10..first, first..bytes.len());
    for cut in [
        early.clone().find(middle),
        early.rev().find(middle),
        late.clone().find(middle),
        late.rev().find(middle),
    ] {
        let keep = cut.unwrap();
        std::fs::write(&path, &bytes[..keep]).unwrap();
        let (outcome, state) =
            session(dir.path(), &header, Shard::whole(), vec![SimScript::default()], |_, _| {});
        assert_eq!(outcome.unwrap(), Outcome::Complete);
        assert_eq!(results(&state), whole, "cut at {keep}");
        let (replayed, complaint) = journal::replay(dir.path()).unwrap();
        assert_eq!((replayed.ignored, complaint), (0, None));
        assert_eq!(replayed, state);
    }
}

/// The state is the same whether events come one by one or all at once, also of
/// shards whose journals are read in the order of their names.
#[test]
fn the_streamed_fold_is_the_fold_of_all_events() {
    let header = header(&[30, 17], 4, 8);
    let dir = tempfile::tempdir().unwrap();
    for index in 1..=3 {
        let shard = Shard::new(index, 3).unwrap();
        let _ = session(dir.path(), &header, shard, vec![SimScript::default()], |_, _| {});
    }
    // One whose header is lost comes first by name.
    let lost =
        "oops\n{\"event\":\"paused\"}\n{\"event\":\"notice\",\"level\":\"info\",\"text\":\"a\"}\n";
    std::fs::write(dir.path().join("events.0-of-3.jsonl"), lost).unwrap();
    let (state, complaint) = journal::replay(dir.path()).unwrap();
    assert!(complaint.unwrap().contains("1 line of the run's journal is damaged"));
    assert_eq!(state, SweepState::replay(&journal::read(dir.path()).unwrap()));
    assert_eq!(journal::header(dir.path()).unwrap(), Some(header));
}

prop_compose! {
    fn any_measured()(
        ids in (0_usize..3, 0_usize..4, 0_usize..4, 0_usize..6),
        numbers in (0_usize..40, 0_usize..40, 0_usize..40),
        correct5 in prop::option::of(0_usize..40),
        loss_sum in prop::num::f64::ANY,
        near_ties in 0_u32..50,
        bits in prop::collection::vec(any::<bool>(), 0..48),
    ) -> Measured {
        let (variant, dataset, alpha, round) = ids;
        let (start, images, correct) = numbers;
        Measured {
            cell: CellId {
                variant: VariantId(variant),
                dataset: DatasetId(dataset),
                alpha: AlphaId(alpha),
            },
            round: RoundId(round),
            worker: WorkerId(0),
            start,
            images,
            correct,
            correct5,
            loss_sum,
            near_ties,
            hits: bits.into_iter().collect(),
            seconds: -1.0,
        }
    }
}

proptest! {
    /// Whatever a journal says, nothing panics, nothing is counted twice, and
    /// no count exceeds its total.
    #[test]
    fn ill_formed_events_change_nothing(
        wrong in prop::collection::vec(any_measured(), 0..30),
        doubled in any::<prop::sample::Index>(),
    ) {
        let header = header(&[30, 17], 3, 8);
        let dir = tempfile::tempdir().unwrap();
        let _ = session(dir.path(), &header, Shard::whole(), vec![SimScript::default()], |_, _| {});
        let good = journal::read(dir.path()).unwrap();
        let alone = SweepState::replay(wrong.iter().cloned().map(Event::Measured).collect::<Vec<_>>().iter());
        prop_assert_eq!(alone.ignored, wrong.len());
        let again = good[doubled.index(good.len())].clone();
        let bad = || wrong.iter().cloned().map(Event::Measured);
        let after = SweepState::replay(&good.iter().cloned().chain(bad()).chain([again]).collect::<Vec<_>>());
        prop_assert_eq!(results(&after), results(&plain(&header)));
        let before = SweepState::replay(&good[..1].iter().cloned().chain(bad()).chain(good[1..].to_vec()).collect::<Vec<_>>());
        for id in before.cell_ids() {
            let cell = before.cell(id).unwrap();
            prop_assert_eq!(cell.done, cell.total);
            prop_assert!(cell.correct <= cell.done && cell.near_ties <= cell.done as u64);
            prop_assert!(cell.loss_sum.is_finite());
        }
    }

    /// A header that does not add up is left out, whatever it says.
    #[test]
    fn unsound_headers_are_left_out(rounds in prop::collection::vec(0_usize..40, 0..5)) {
        let mut header = header(&[30], 3, 8);
        let sound = rounds.last() == Some(&30) && rounds[0] > 0 && rounds.is_sorted_by(|a, b| a < b);
        header.datasets[0].rounds = rounds;
        let state = SweepState::replay(&[Event::Header(header)]);
        prop_assert_eq!(state.header().is_some(), sound);
    }
}
