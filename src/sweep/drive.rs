//! The only loop that measures: workers take units from one queue, the
//! coordinator turns what they find into events.
//!
//! ```text
//!            ┌── worker 0 (engine) ──┐
//!  queue ────┼── worker 1 (engine) ──┼──► coordinator ──► sink (journal, then screen)
//!    ▲       └── …                   ┘         ▲
//!    └────────────── pause, skip, stop ────────┴── commands
//! ```
//!
//! Workers look at the queue's state between batches, so a command takes effect
//! within one batch. It is *in force*, and journalled, once no worker is doing
//! otherwise any more.

use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use thiserror::Error;

use super::command::Command;
use super::engine::{BatchOutcome, Engine, EngineError};
use super::event::{Bits, Event, Header, Level, Measured, Outcome, Progress};
use super::ids::{DatasetId, RoundId, WorkerId};
use super::journal::JournalError;
use super::plan::{Shard, Unit, owed, positions};
use super::state::SweepState;

/// Makes a worker's engine, on the worker's thread.
pub type EngineFactory = Box<dyn FnOnce() -> Result<Box<dyn Engine>, EngineError> + Send>;

/// Where events go.
pub trait Sink {
    /// Keeps the event, then shows it.
    ///
    /// # Errors
    /// When it cannot be kept: the sweep then stops.
    fn event(&mut self, event: Event) -> Result<(), JournalError>;

    /// Shows what a worker does right now. Latest wins.
    fn progress(&mut self, progress: Progress);
}

/// Why a sweep could not go on. What was journalled stands.
#[derive(Debug, Error)]
pub enum DriveError {
    /// No worker could start.
    #[error("no device can measure: {}", .0.join("; "))]
    NoEngine(Vec<String>),
    /// Results can no longer be kept.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

/// Measures what `state` still owes of `shard`, and ends when all is done, all
/// workers are lost, or a command says stop. `state` follows every event.
///
/// # Errors
/// When no engine starts, or results can no longer be kept.
pub fn drive(
    header: &Header,
    shard: Shard,
    state: &mut SweepState,
    factories: Vec<EngineFactory>,
    commands: Receiver<Command>,
    sink: &mut dyn Sink,
) -> Result<Outcome, DriveError> {
    let queue = Queue::new(owed(header, shard, state), header, state, factories.len());
    let (tell, told) = channel();
    let forward = tell.clone();
    // Ends when the last sender of commands is dropped.
    std::thread::spawn(move || {
        while let Ok(command) = commands.recv() {
            if forward.send(Told::Command(command)).is_err() {
                break;
            }
        }
    });
    std::thread::scope(|scope| {
        for (index, factory) in factories.into_iter().enumerate() {
            let (queue, tell) = (&queue, tell.clone());
            scope.spawn(move || {
                let worker = Worker { id: WorkerId(index), header, queue, tell: &tell };
                worker.run(factory);
            });
        }
        drop(tell);
        Coordinator::new(header, shard, &queue, state, sink).run(&told)
    })
}

/// What workers and people tell the coordinator.
enum Told {
    Command(Command),
    Ready(WorkerId, String),
    /// A worker waits: for work, or for the end of a pause.
    Waiting,
    Batch(WorkerId, Unit, usize),
    Measured(Box<Measured>),
    Abandoned(WorkerId),
    Failed(WorkerId, Unit, String),
    Lost(WorkerId, String),
    Ended(WorkerId),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Control {
    /// Engines are being loaded.
    Hold,
    Run,
    Pause,
    Stop,
}

struct Queue {
    state: Mutex<QueueState>,
    changed: Condvar,
}

struct QueueState {
    control: Control,
    units: VecDeque<Unit>,
    skipped: Vec<bool>,
    focus: Option<DatasetId>,
    /// What each worker measures.
    current: Vec<Option<Unit>>,
    waiting: Vec<bool>,
    /// Ends of units that were told, and not heard yet.
    unheard: usize,
    /// Units that a worker was lost in.
    fatal: Vec<Unit>,
}

impl QueueState {
    /// Takes the next unit: the first, or the focused dataset's in its round.
    fn take(&mut self, worker: WorkerId) -> Option<Unit> {
        let first = self.units.iter().position(|unit| !self.skipped[unit.cell.dataset.index()])?;
        let round = self.units[first].round;
        let focused = self.focus.filter(|focus| !self.skipped[focus.index()]).and_then(|focus| {
            self.units.iter().position(|unit| unit.round == round && unit.cell.dataset == focus)
        });
        let unit = self.units.remove(focused.unwrap_or(first))?;
        self.current[worker.index()] = Some(unit.clone());
        Some(unit)
    }

    /// Notes how a worker's unit ended; what is to be told must then be told.
    fn end(&mut self, worker: WorkerId, unit: Unit, end: End) -> Told {
        self.current[worker.index()] = None;
        self.unheard += 1;
        let message = match end {
            End::Measured(measured) => return Told::Measured(measured),
            End::Failed(message) => message,
            // A unit that ends one worker after the other is not tried on all.
            End::Lost(message) if self.fatal.contains(&unit) => message,
            End::Abandoned | End::Lost(_) => {
                if matches!(end, End::Lost(_)) {
                    self.fatal.push(unit.clone());
                }
                self.units.push_front(unit);
                return Told::Abandoned(worker);
            }
        };
        self.units.retain(|other| other.cell != unit.cell);
        Told::Failed(worker, unit, message)
    }

    /// Images that will still be measured.
    fn images_left(&self) -> u64 {
        let queued = self.units.iter().filter(|unit| !self.skipped[unit.cell.dataset.index()]);
        let current = self.current.iter().flatten();
        queued.chain(current).map(|unit| unit.positions.len() as u64).sum()
    }
}

impl Queue {
    fn new(units: Vec<Unit>, header: &Header, state: &SweepState, workers: usize) -> Self {
        let datasets = (0..header.datasets.len()).map(DatasetId);
        let state = QueueState {
            control: Control::Hold,
            units: units.into(),
            skipped: datasets.map(|dataset| state.is_skipped(dataset)).collect(),
            focus: None,
            current: vec![None; workers],
            waiting: vec![false; workers],
            unheard: 0,
            fatal: Vec::new(),
        };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, QueueState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, control: Control) {
        let mut state = self.lock();
        // Nothing comes after a stop.
        if state.control != Control::Stop {
            state.control = control;
        }
        drop(state);
        self.changed.notify_all();
    }
}

struct Worker<'a> {
    id: WorkerId,
    header: &'a Header,
    queue: &'a Queue,
    tell: &'a Sender<Told>,
}

/// How a unit ended.
enum End {
    Measured(Box<Measured>),
    Abandoned,
    Failed(String),
    Lost(String),
}

impl Worker<'_> {
    fn tell(&self, told: Told) {
        // The coordinator outlives the workers; if it is gone, so is the sweep.
        let _ = self.tell.send(told);
    }

    fn run(&self, factory: EngineFactory) {
        let all = AssertUnwindSafe(|| match factory() {
            Ok(engine) => {
                self.tell(Told::Ready(self.id, engine.device()));
                self.measure_all(engine);
            }
            Err(error) => self.tell(Told::Lost(self.id, error.to_string())),
        });
        if let Err(panic) = std::panic::catch_unwind(all) {
            self.tell(Told::Lost(self.id, panic_text(&*panic)));
        }
        self.tell(Told::Ended(self.id));
    }

    fn measure_all(&self, mut engine: Box<dyn Engine>) {
        let mut announced = None;
        while let Some(unit) = self.next() {
            if announced != Some(unit.round) {
                announced = Some(unit.round);
                self.announce(&mut *engine, unit.round);
            }
            let measured = AssertUnwindSafe(|| self.measure(&mut *engine, &unit));
            let end = std::panic::catch_unwind(measured)
                .unwrap_or_else(|panic| End::Lost(panic_text(&*panic)));
            let lost = match &end {
                End::Lost(message) => Some(message.clone()),
                _ => None,
            };
            let mut state = self.queue.lock();
            let told = state.end(self.id, unit, end);
            drop(state);
            self.queue.changed.notify_all();
            self.tell(told);
            if let Some(message) = lost {
                self.tell(Told::Lost(self.id, message));
                break;
            }
        }
    }

    /// Lets the engine prepare what the round after this one will read.
    fn announce(&self, engine: &mut dyn Engine, round: RoundId) {
        for dataset in (0..self.header.datasets.len()).map(DatasetId) {
            if let Some(coming) = positions(self.header, dataset, RoundId(round.index() + 1)) {
                engine.upcoming(dataset, coming);
            }
        }
    }

    /// Waits for a unit; `None` when there will be none.
    fn next(&self) -> Option<Unit> {
        let me = self.id.index();
        let mut state = self.queue.lock();
        loop {
            match state.control {
                Control::Stop => return None,
                Control::Run => {
                    if let Some(unit) = state.take(self.id) {
                        state.waiting[me] = false;
                        return Some(unit);
                    }
                    // Another worker may still be lost and give its unit back.
                    if state.current.iter().all(Option::is_none) {
                        self.queue.changed.notify_all();
                        return None;
                    }
                }
                Control::Hold | Control::Pause => {}
            }
            state = self.wait(state);
        }
    }

    /// Waits for a change of the queue, and says so.
    fn wait<'q>(&self, mut state: MutexGuard<'q, QueueState>) -> MutexGuard<'q, QueueState> {
        let me = self.id.index();
        if !std::mem::replace(&mut state.waiting[me], true) {
            self.tell(Told::Waiting);
        }
        self.queue.changed.wait(state).unwrap_or_else(PoisonError::into_inner)
    }

    /// Between batches: waits while paused; false when the unit is to be left.
    fn may_go_on(&self, unit: &Unit) -> bool {
        let mut state = self.queue.lock();
        loop {
            let skipped = state.skipped[unit.cell.dataset.index()];
            match state.control {
                Control::Stop => return false,
                _ if skipped => return false,
                Control::Run => {
                    state.waiting[self.id.index()] = false;
                    return true;
                }
                Control::Hold | Control::Pause => state = self.wait(state),
            }
        }
    }

    fn measure(&self, engine: &mut dyn Engine, unit: &Unit) -> End {
        let alpha = self.header.alphas[unit.cell.alpha.index()];
        let mut sum = Sum::default();
        let began = Instant::now();
        let mut start = unit.positions.start;
        while start < unit.positions.end {
            if !self.may_go_on(unit) {
                return End::Abandoned;
            }
            let end = (start + self.header.batch.max(1)).min(unit.positions.end);
            let batch = engine
                .set_point(alpha, &self.header.variants[unit.cell.variant.index()])
                .and_then(|()| engine.evaluate(unit.cell.dataset, start..end))
                .and_then(|outcome| sum.add(&outcome, end - start));
            match batch {
                Ok(()) => {}
                Err(EngineError::Cell(message) | EngineError::Data(message)) => {
                    return End::Failed(message);
                }
                Err(EngineError::Fatal(message)) => return End::Lost(message),
            }
            start = end;
            self.tell(Told::Batch(self.id, unit.clone(), start - unit.positions.start));
        }
        End::Measured(Box::new(Measured {
            cell: unit.cell,
            round: unit.round,
            worker: self.id,
            start: unit.positions.start,
            images: unit.positions.len(),
            correct: sum.correct,
            correct5: sum.correct5,
            loss_sum: sum.loss,
            near_ties: sum.near_ties,
            hits: sum.hits,
            seconds: began.elapsed().as_secs_f64(),
        }))
    }
}

/// Batches of one unit, added up in the order of positions.
#[derive(Default)]
struct Sum {
    correct: usize,
    correct5: Option<usize>,
    loss: f64,
    near_ties: u32,
    hits: Bits,
}

impl Sum {
    fn add(&mut self, batch: &BatchOutcome, images: usize) -> Result<(), EngineError> {
        let five = batch.hit5.as_ref().map_or(images, Vec::len);
        if batch.hit.len() != images || batch.loss.len() != images || five != images {
            return Err(EngineError::Fatal(format!(
                "the engine answered for {} of {images} images",
                batch.hit.len()
            )));
        }
        if let Some(bad) = batch.loss.iter().find(|loss| !loss.is_finite()) {
            return Err(EngineError::Cell(format!("a loss is {bad}, not a finite number")));
        }
        batch.hit.iter().for_each(|&hit| self.hits.push(hit));
        self.correct += batch.hit.iter().filter(|&&hit| hit).count();
        if let Some(hit5) = &batch.hit5 {
            *self.correct5.get_or_insert(0) += hit5.iter().filter(|&&hit| hit).count();
        }
        self.loss += batch.loss.iter().sum::<f64>();
        self.near_ties += batch.near_ties;
        Ok(())
    }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_string())
        .or_else(|| panic.downcast_ref::<String>().cloned());
    format!(
        "internal error in a worker: {}; please report it with the log",
        text.unwrap_or_else(|| "a panic without words".into())
    )
}

/// How far back the throughput looks.
const RATE_WINDOW: Duration = Duration::from_secs(10);

struct Coordinator<'a> {
    header: &'a Header,
    shard: Shard,
    queue: &'a Queue,
    state: &'a mut SweepState,
    sink: &'a mut dyn Sink,
    devices: Vec<Option<String>>,
    /// Workers that have not ended.
    live: usize,
    lost: Vec<String>,
    began: Instant,
    started: bool,
    pause_asked: bool,
    skips_asked: Vec<DatasetId>,
    stop_asked: bool,
    failed: bool,
    /// Images of whole units, and of the unit in hand of each worker.
    done: u64,
    partial: Vec<u64>,
    recent: VecDeque<(Instant, u64)>,
    broken: Option<JournalError>,
}

impl<'a> Coordinator<'a> {
    fn new(
        header: &'a Header,
        shard: Shard,
        queue: &'a Queue,
        state: &'a mut SweepState,
        sink: &'a mut dyn Sink,
    ) -> Self {
        let workers = queue.lock().current.len();
        Self {
            header,
            shard,
            queue,
            state,
            sink,
            devices: vec![None; workers],
            live: workers,
            lost: Vec::new(),
            began: Instant::now(),
            started: false,
            pause_asked: false,
            skips_asked: Vec::new(),
            stop_asked: false,
            failed: false,
            done: 0,
            partial: vec![0; workers],
            recent: VecDeque::new(),
            broken: None,
        }
    }

    fn run(mut self, told: &Receiver<Told>) -> Result<Outcome, DriveError> {
        while self.live > 0 {
            let Ok(told) = told.recv() else { break };
            self.hear(told);
            self.settle();
        }
        if !self.started && !self.stop_asked {
            return Err(self.broken.map_or(DriveError::NoEngine(self.lost), Into::into));
        }
        let left = self.queue.lock().images_left() > 0;
        let outcome = match (self.broken.is_some() || left, self.failed) {
            (true, _) => Outcome::Stopped,
            (false, true) => Outcome::Partial,
            (false, false) => Outcome::Complete,
        };
        self.emit(Event::Finished { outcome, seconds: self.began.elapsed().as_secs_f64() });
        self.broken.map_or(Ok(outcome), |error| Err(error.into()))
    }

    /// Keeps an event, and follows it. After the first that cannot be kept the
    /// sweep ends: nothing is shown that is not kept.
    fn emit(&mut self, event: Event) {
        if self.broken.is_some() {
            return;
        }
        self.state.apply(&event);
        if let Err(error) = self.sink.event(event) {
            self.broken = Some(error);
            self.queue.set(Control::Stop);
        }
    }

    fn hear(&mut self, told: Told) {
        match told {
            Told::Command(command) => self.obey(command),
            Told::Ready(worker, device) => self.devices[worker.index()] = Some(device),
            Told::Waiting => {}
            Told::Batch(worker, unit, done) => self.batch(worker, &unit, done),
            Told::Measured(measured) => {
                self.heard();
                self.partial[measured.worker.index()] = 0;
                self.done += measured.images as u64;
                self.emit(Event::Measured(*measured));
            }
            Told::Abandoned(worker) => {
                self.heard();
                self.partial[worker.index()] = 0;
            }
            Told::Failed(worker, unit, message) => {
                self.heard();
                self.partial[worker.index()] = 0;
                self.failed = true;
                self.emit(Event::CellFailed { cell: unit.cell, round: unit.round, message });
            }
            Told::Lost(worker, message) => {
                if self.started {
                    let text = format!("worker {} ended: {message}", worker.index());
                    self.emit(Event::Notice { level: Level::Error, text });
                }
                self.lost.push(message);
            }
            Told::Ended(worker) => {
                self.live -= 1;
                self.queue.lock().waiting[worker.index()] = true;
            }
        }
    }

    fn heard(&mut self) {
        let mut state = self.queue.lock();
        state.unheard = state.unheard.saturating_sub(1);
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Pause => {
                self.pause_asked = true;
                if self.started {
                    self.queue.set(Control::Pause);
                }
            }
            Command::Resume => {
                self.pause_asked = false;
                if self.started {
                    self.queue.set(Control::Run);
                }
                self.recent.clear();
                if self.state.paused {
                    self.emit(Event::Resumed);
                }
            }
            Command::Skip { dataset } => {
                let known = self.mark(dataset, true);
                if known && !self.state.is_skipped(dataset) {
                    self.skips_asked.push(dataset);
                }
            }
            Command::Unskip { dataset } => {
                let known = self.mark(dataset, false);
                self.skips_asked.retain(|&asked| asked != dataset);
                if known && self.state.is_skipped(dataset) {
                    self.emit(Event::Unskipped { dataset });
                }
            }
            Command::Focus { dataset } => {
                if dataset.is_none_or(|d| d.index() < self.header.datasets.len()) {
                    self.queue.lock().focus = dataset;
                    self.emit(Event::Focused { dataset });
                }
            }
            Command::Probe { .. }
            | Command::CancelProbe { .. }
            | Command::AddVariant { .. }
            | Command::DropVariant { .. } => {
                let text = "this version measures accuracy of the dense path only";
                self.emit(Event::Notice { level: Level::Warning, text: text.into() });
            }
            Command::Stop => {
                self.stop_asked = true;
                self.queue.set(Control::Stop);
            }
        }
    }

    /// Marks a dataset as skipped or not; false when there is none such.
    fn mark(&mut self, dataset: DatasetId, skip: bool) -> bool {
        let mut state = self.queue.lock();
        let Some(slot) = state.skipped.get_mut(dataset.index()) else { return false };
        *slot = skip;
        drop(state);
        self.queue.changed.notify_all();
        true
    }

    /// What was asked comes into force once no worker does otherwise.
    fn settle(&mut self) {
        let known = self.devices.iter().flatten().count() + self.lost.len();
        if !self.started && known == self.devices.len() && self.lost.len() < known {
            self.start();
        }
        let state = self.queue.lock();
        // A result that was told before, but not heard yet, comes first.
        let all_heard = state.unheard == 0;
        let still = all_heard && state.waiting.iter().all(|&waiting| waiting);
        let busy = |dataset: DatasetId| {
            !all_heard || state.current.iter().flatten().any(|unit| unit.cell.dataset == dataset)
        };
        let (later, now): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.skips_asked).into_iter().partition(|&d| busy(d));
        drop(state);
        self.skips_asked = later;
        for dataset in now {
            self.emit(Event::Skipped { dataset });
        }
        if self.pause_asked && still && self.started && self.live > 0 {
            self.pause_asked = false;
            if !self.state.paused {
                self.emit(Event::Paused);
            }
        }
    }

    fn start(&mut self) {
        self.started = true;
        let at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.emit(Event::Started {
            at: u64::try_from(at.as_millis()).unwrap_or(u64::MAX),
            program: concat!("alphascope ", env!("CARGO_PKG_VERSION")).into(),
            devices: self.devices.iter().flatten().cloned().collect(),
            shard: self.shard.parts(),
        });
        for message in self.lost.clone() {
            let text = format!("a worker could not start: {message}");
            self.emit(Event::Notice { level: Level::Error, text });
        }
        self.queue.set(if self.pause_asked { Control::Pause } else { Control::Run });
    }

    fn batch(&mut self, worker: WorkerId, unit: &Unit, done: usize) {
        self.partial[worker.index()] = done as u64;
        let images_done = self.done + self.partial.iter().sum::<u64>();
        let now = Instant::now();
        self.recent.push_back((now, images_done));
        while self.recent.front().is_some_and(|(at, _)| now - *at > RATE_WINDOW) {
            self.recent.pop_front();
        }
        let rate = self.recent.front().and_then(|(at, before)| {
            let seconds = (now - *at).as_secs_f64();
            (seconds > 0.0).then(|| images_done.saturating_sub(*before) as f64 / seconds)
        });
        let images_total = self.done + self.queue.lock().images_left();
        self.sink.progress(Progress {
            worker,
            cell: unit.cell,
            round: unit.round,
            done,
            images_done,
            images_total: images_total.max(images_done),
            rate,
            alpha: unit.cell.alpha,
        });
    }
}
