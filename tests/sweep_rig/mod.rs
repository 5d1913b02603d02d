//! Whole sweeps on the pretend engine, journalled in a folder.

#![allow(dead_code, clippy::unwrap_used)] // each test file uses its own part; helpers of tests

pub mod hooked;
pub mod probes;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::mpsc::{Sender, channel};

use alphascope::sim::{SimEngine, SimScript, layers};
use alphascope::sweep::command::Command;
use alphascope::sweep::drive::{DriveError, EngineFactory, Sink, drive};
use alphascope::sweep::event::{DatasetInfo, Event, Header, Outcome, Progress, SCHEMA};
use alphascope::sweep::ids::{Alpha, CellId, ProbeCell};
use alphascope::sweep::journal::{self, Journal, JournalError};
use alphascope::sweep::plan::{Shard, rounds};
use alphascope::sweep::probe::{Probe, ProbeResult};
use alphascope::sweep::spec::{Role, Variant};
use alphascope::sweep::state::{Status, SweepState};

pub fn header(sizes: &[usize], points: usize, batch: usize) -> Header {
    let info = |(index, &images): (usize, &usize)| DatasetInfo {
        name: format!("set{index}"),
        role: if index == 0 { Role::Id } else { Role::Ood },
        images,
        classes: 10,
        rounds: rounds(images, batch),
        benchmark: None,
    };
    Header {
        schema: SCHEMA,
        spec_hash: "test".into(),
        zeroshot: "zs".into(),
        finetuned: "ft".into(),
        label: None,
        architecture: "none".into(),
        alphas: (0..points)
            .map(|i| Alpha::new(i as f64 / (points - 1).max(1) as f64).unwrap())
            .collect(),
        datasets: sizes.iter().enumerate().map(info).collect(),
        variants: vec![Variant::dense()],
        layers: layers(2),
        seed: 7,
        batch,
        stragglers: Default::default(),
    }
}

/// Journals, and asks `react` after each event.
pub struct Kept<F> {
    pub journal: Journal,
    pub events: Vec<Event>,
    pub react: F,
}

impl<F: FnMut(&Event) + Send> Sink for Kept<F> {
    fn event(&mut self, event: Event) -> Result<(), JournalError> {
        self.journal.append(&event)?;
        (self.react)(&event);
        self.events.push(event);
        Ok(())
    }

    fn progress(&mut self, progress: Progress) {
        assert!(progress.images_done <= progress.images_total);
    }
}

pub fn factories(header: &Header, scripts: Vec<SimScript>) -> Vec<EngineFactory> {
    let make = |script: SimScript| -> EngineFactory {
        let header = header.clone();
        Box::new(move || Ok(Box::new(SimEngine::new(header, script))))
    };
    scripts.into_iter().map(make).collect()
}

/// One session in `dir`: replays what is there, measures what is owed.
pub fn session(
    dir: &Path,
    header: &Header,
    shard: Shard,
    scripts: Vec<SimScript>,
    react: impl FnMut(&Event, &Sender<Command>) + Send,
) -> (Result<Outcome, DriveError>, SweepState) {
    probing(dir, header, &[], shard, scripts, react)
}

/// The same with probes of the spec.
pub fn probing(
    dir: &Path,
    header: &Header,
    probes: &[Probe],
    shard: Shard,
    scripts: Vec<SimScript>,
    react: impl FnMut(&Event, &Sender<Command>) + Send,
) -> (Result<Outcome, DriveError>, SweepState) {
    driven(dir, header, probes, shard, factories(header, scripts), react)
}

/// The same with engines of one's own.
pub fn driven(
    dir: &Path,
    header: &Header,
    probes: &[Probe],
    shard: Shard,
    engines: Vec<EngineFactory>,
    mut react: impl FnMut(&Event, &Sender<Command>) + Send,
) -> (Result<Outcome, DriveError>, SweepState) {
    let mut journal = Journal::open(dir, shard).unwrap();
    let first = journal.is_empty();
    if first {
        journal.append(&Event::Header(header.clone())).unwrap();
    }
    let mut state = SweepState::replay(&journal::read(dir).unwrap());
    for probe in probes {
        if first || state.probes().iter().all(|it| it.probe != *probe) {
            let event = Event::Probing { probe: probe.clone() };
            journal.append(&event).unwrap();
            state.apply(&event);
        }
    }
    let before = state.clone();
    let (commands, receiver) = channel();
    let mut sink =
        Kept { journal, events: Vec::new(), react: |event: &Event| react(event, &commands) };
    let outcome = drive(header, shard, &mut state, engines, receiver, &mut sink);
    let mut live = before;
    sink.events.iter().for_each(|event| live.apply(event));
    assert_eq!(live, state, "the sink saw what the state followed");
    (outcome, state)
}

/// Done, correct, correct in five, bits of the loss, near ties.
type CellResult = (usize, usize, Option<usize>, u64, u64, Option<Status>);

/// Every number of a run, by its place: what must not depend on how the run came
/// about.
#[derive(Debug, PartialEq)]
pub struct Results {
    pub accuracy: BTreeMap<CellId, CellResult>,
    pub probes: BTreeMap<ProbeCell, ProbeResult>,
}

pub fn results(state: &SweepState) -> Results {
    let accuracy = state.cell_ids().map(|id| {
        let cell = state.cell(id).unwrap();
        let loss = cell.loss_sum.to_bits();
        let status = state.status(id);
        (id, (cell.done, cell.correct, cell.correct5, loss, cell.near_ties, status))
    });
    let probed = state.probes().iter().flat_map(|it| it.results());
    Results {
        accuracy: accuracy.collect(),
        probes: probed.map(|it| (it.cell, it.result.clone())).collect(),
    }
}

/// An undisturbed run on one worker.
pub fn plain(header: &Header, probes: &[Probe]) -> SweepState {
    let dir = tempfile::tempdir().unwrap();
    let scripts = vec![SimScript::default()];
    let (outcome, state) = probing(dir.path(), header, probes, Shard::whole(), scripts, |_, _| {});
    assert_eq!(outcome.unwrap(), Outcome::Complete);
    state
}
