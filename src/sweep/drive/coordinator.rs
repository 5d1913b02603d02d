//! The one that turns what workers found, and what people ask, into events.

use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::keep::{Keeper, Kept};
use super::meter::Meter;
use super::queue::{Control, Queue};
use super::{DriveError, Sink, Told};
use crate::sweep::command::Command;
use crate::sweep::doctor::{self, Step};
use crate::sweep::event::{Event, Header, Level, Outcome, Progress, Task};
use crate::sweep::ids::{DatasetId, ProbeId, VariantId, WorkerId};
use crate::sweep::journal::JournalError;
use crate::sweep::plan::{Shard, Unit, owed};
use crate::sweep::probe::Probe;
use crate::sweep::spec::Variant;
use crate::sweep::state::SweepState;

/// How often commands are looked at while workers have nothing to tell.
const LOOK: Duration = Duration::from_millis(20);

pub(super) struct Coordinator<'a> {
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
    /// Asked before the engines were ready.
    early: Vec<Command>,
    /// Said by engines before all were ready.
    first_words: Vec<String>,
    pause_asked: bool,
    stop_asked: bool,
    /// Asked to be left out, and still in hand.
    leaving: Vec<Leaving>,
    /// All seems done: if nobody asks for more, it is.
    last_call: bool,
    /// All is done: workers were sent home.
    over: bool,
    failed: bool,
    meter: Meter,
    keeper: Keeper,
    broken: Option<JournalError>,
}

/// What comes into force once no worker measures it any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Leaving {
    Dataset(DatasetId),
    Variant(VariantId),
    Probe(ProbeId),
}

impl Leaving {
    fn is_of(self, unit: &Unit) -> bool {
        match (self, unit) {
            (Self::Variant(id), unit) => unit.variant() == id,
            (Self::Dataset(id), Unit::Accuracy { cell, .. }) => cell.dataset == id,
            (Self::Probe(id), Unit::Probe { cell, .. }) => cell.probe == id,
            _ => false,
        }
    }

    fn event(self) -> Event {
        match self {
            Self::Dataset(dataset) => Event::Skipped { dataset },
            Self::Variant(variant) => Event::VariantDropped { variant },
            Self::Probe(probe) => Event::ProbeCancelled { probe },
        }
    }
}

impl<'a> Coordinator<'a> {
    pub(super) fn new(
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
            early: Vec::new(),
            first_words: Vec::new(),
            pause_asked: false,
            stop_asked: false,
            leaving: Vec::new(),
            last_call: false,
            over: false,
            failed: false,
            meter: Meter::new(workers),
            keeper: Keeper::default(),
            broken: None,
        }
    }

    pub(super) fn run(
        mut self,
        told: &Receiver<Told>,
        commands: &Receiver<Command>,
    ) -> Result<Outcome, DriveError> {
        while self.live > 0 {
            match told.recv_timeout(LOOK) {
                Ok(told) => self.hear(told),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            // Before it is said that all is done: something may be asked still.
            commands.try_iter().for_each(|command| self.obey(command));
            self.settle();
            self.try_again();
        }
        self.wait_for_room(commands);
        if !self.started && !self.stop_asked {
            return Err(self.broken.map_or(DriveError::NoEngine(self.lost), Into::into));
        }
        let left = self.queue.lock().work_left() > 0;
        let outcome = match (self.broken.is_some() || left, self.failed) {
            (true, _) => Outcome::Stopped,
            (false, true) => Outcome::Partial,
            (false, false) => Outcome::Complete,
        };
        self.emit(Event::Finished { outcome, seconds: self.began.elapsed().as_secs_f64() });
        self.wait_for_room(commands);
        self.broken.map_or(Ok(outcome), |error| Err(error.into()))
    }

    /// Keeps an event, and follows it. After the first that cannot be kept the
    /// sweep ends: nothing is shown that is not kept. Where there only is no room,
    /// all workers wait for it.
    fn emit(&mut self, event: Event) {
        if self.broken.is_some() {
            return;
        }
        self.state.apply(&event);
        let kept = self.keeper.keep(event, self.sink);
        self.kept(kept);
    }

    fn kept(&mut self, kept: Result<Kept, JournalError>) {
        match kept {
            Ok(Kept::All) => {}
            Ok(Kept::Full) => self.queue.set(Control::Pause),
            Ok(Kept::Again(seconds)) => {
                self.meter.rest();
                self.say(
                    Level::Warning,
                    format!(
                        "there was no room to write for {seconds} s: the sweep stood still, and \
                         nothing is lost"
                    ),
                );
                if self.started {
                    self.queue.set(self.control());
                }
            }
            Err(error) => {
                self.broken = Some(error);
                self.queue.set(Control::Stop);
            }
        }
    }

    /// Once in a while, where there was no room to write.
    fn try_again(&mut self) {
        if self.broken.is_none() && self.keeper.is_due() {
            let kept = self.keeper.write(self.sink);
            self.kept(kept);
        }
    }

    /// No worker is left: what is not written yet waits for room, unless someone
    /// wants to stop.
    fn wait_for_room(&mut self, commands: &Receiver<Command>) {
        while self.keeper.is_full() && !self.stop_asked && self.broken.is_none() {
            std::thread::sleep(LOOK);
            commands.try_iter().for_each(|command| self.obey(command));
            self.try_again();
        }
        if self.keeper.is_full() && self.broken.is_none() {
            self.broken = self.keeper.last(self.sink).err();
        }
    }

    /// What workers should do, once they have started.
    fn control(&self) -> Control {
        let rest = self.pause_asked || self.state.paused || self.keeper.is_full();
        if rest { Control::Pause } else { Control::Run }
    }

    fn say(&mut self, level: Level, text: impl Into<String>) {
        self.emit(Event::Notice { level, text: text.into() });
    }

    fn hear(&mut self, told: Told) {
        match told {
            Told::Ready(worker, device) => self.devices[worker.index()] = Some(device),
            Told::Said(worker, text) => match self.devices.get(worker.index()) {
                _ if !self.started => self.first_words.push(text),
                Some(Some(device)) if self.devices.len() > 1 => {
                    self.say(Level::Warning, format!("{device}: {text}"));
                }
                _ => self.say(Level::Warning, text),
            },
            Told::Waiting => {}
            Told::Step(worker, unit, done) => self.step(worker, &unit, done),
            Told::Done(worker, unit, event) => {
                self.heard(worker, unit.cost());
                self.emit(*event);
                let known = match &unit {
                    Unit::Accuracy { cell, round, .. } => self.state.has(*cell, *round),
                    Unit::Probe { cell, .. } => self.state.probed(*cell).is_some(),
                };
                if known {
                    self.queue.lock().forget(&unit);
                }
            }
            Told::Abandoned(worker) => self.heard(worker, 0),
            Told::Failed(worker, unit, message) => {
                self.heard(worker, 0);
                self.failed = true;
                self.emit(match unit {
                    Unit::Accuracy { cell, round, .. } => {
                        Event::CellFailed { cell, round, message }
                    }
                    Unit::Probe { cell, .. } => Event::ProbeFailed { cell, message },
                });
            }
            Told::Lost(worker, message) => {
                if self.started {
                    self.say(Level::Error, format!("worker {} ended: {message}", worker.index()));
                }
                self.lost.push(message);
            }
            Told::Ended(worker) => {
                self.live -= 1;
                self.queue.lock().waiting[worker.index()] = true;
            }
        }
    }

    fn heard(&mut self, worker: WorkerId, done: u64) {
        self.meter.end(worker, done);
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
                self.meter.rest();
                if self.state.paused {
                    self.emit(Event::Resumed);
                }
                if self.started {
                    self.queue.set(self.control());
                }
            }
            Command::Stop => {
                self.stop_asked = true;
                self.queue.set(Control::Stop);
            }
            Command::StopAfter => {
                self.stop_asked = true;
                self.queue.set(Control::Last);
            }
            // What they name may be unknown until the engines are there, and
            // `Started` begins with the spec's order.
            command if !self.started => self.early.push(command),
            _ if self.over => {
                let text = "the sweep has just ended: go on with it (--resume) and ask again";
                self.say(Level::Warning, text);
            }
            Command::Skip { dataset } => {
                let known = self.mark(Leaving::Dataset(dataset), true);
                if known && !self.state.is_skipped(dataset) {
                    self.leaving.push(Leaving::Dataset(dataset));
                }
            }
            Command::Unskip { dataset } => {
                let known = self.mark(Leaving::Dataset(dataset), false);
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
            Command::Probe { probe } => self.ask(*probe),
            Command::CancelProbe { probe } => {
                let known = self.mark(Leaving::Probe(probe), true);
                if known && self.state.probe(probe).is_some_and(|it| !it.cancelled) {
                    self.leaving.push(Leaving::Probe(probe));
                }
            }
            Command::AddVariant { variant } => self.add(variant),
            Command::Doctor { spec } => match spec.check() {
                _ if !self.takes_more("the doctor") => {}
                Ok(()) => self.emit(Event::Doctor { spec }),
                Err(it) => {
                    self.say(Level::Error, format!("doctor, `{}`: {}", it.field, it.message));
                }
            },
            Command::DropVariant { variant } => {
                let known =
                    variant != VariantId::DENSE && self.mark(Leaving::Variant(variant), true);
                if known && !self.state.is_dropped(variant) {
                    self.leaving.push(Leaving::Variant(variant));
                }
            }
        }
    }

    /// Marks a thing as left out, or takes it back; false when there is none
    /// such.
    fn mark(&mut self, what: Leaving, leave: bool) -> bool {
        self.leaving.retain(|&it| it != what);
        self.queue.change(|state| {
            let slot = match what {
                Leaving::Dataset(id) => state.skipped.get_mut(id.index()),
                Leaving::Variant(id) => state.dropped.get_mut(id.index()),
                Leaving::Probe(id) => state.cancelled.get_mut(id.index()),
            };
            let known = slot.map(|slot| *slot = leave).is_some();
            state.count();
            known
        })
    }

    /// True when something new may join; says why otherwise.
    fn takes_more(&mut self, what: &str) -> bool {
        // The parts of a run would not agree on its number.
        let whole = self.shard.parts().is_none();
        if !whole {
            let text = format!("{what} cannot join one part of a run: put it in the spec");
            self.say(Level::Error, text);
        }
        whole
    }

    fn ask(&mut self, probe: Probe) {
        let probe = probe.named(self.header);
        let known = self.state.probes().iter().position(|it| it.probe == probe).map(ProbeId);
        if let Some(id) = known {
            self.mark(Leaving::Probe(id), false);
            if self.state.probe(id).is_some_and(|it| it.cancelled) {
                self.emit(Event::Probing { probe });
            }
            return;
        }
        if !self.takes_more("a probe") {
            return;
        }
        match probe.check(self.header) {
            Ok(()) => {
                self.emit(Event::Probing { probe });
                self.plan();
            }
            Err(text) => self.say(Level::Error, format!("cannot probe: {text}")),
        }
    }

    fn add(&mut self, mut variant: Variant) {
        let same = |it: &Variant| it.sparsify == variant.sparsify;
        if let Some(index) = self.state.variants().iter().position(same) {
            let id = VariantId(index);
            if id != VariantId::DENSE {
                self.mark(Leaving::Variant(id), false);
                // Told even when it was never dropped: it is in force.
                self.emit(Event::VariantTaken { variant: id });
                self.plan();
            }
            return;
        }
        if !self.takes_more("a variant") {
            return;
        }
        let names = self.header.layers.iter().map(|layer| layer.name.as_str());
        if let Err(wrong) = variant.check_numbers().and_then(|()| variant.check_layers(names)) {
            let (name, field, message) = (&variant.name, wrong.field, wrong.message);
            let text = format!("cannot add the variant `{name}`: `{field}`: {message}");
            self.say(Level::Error, text);
            return;
        }
        variant.name = self.free_name(&variant.name);
        self.emit(Event::VariantAdded { variant });
        self.plan();
    }

    /// The name, or the next like it that no variant has.
    fn free_name(&self, name: &str) -> String {
        let name = if name.trim().is_empty() { "variant" } else { name.trim() };
        let taken = |name: &str| self.state.variants().iter().any(|it| it.name == name);
        let numbered = (2..).map(|number| format!("{name} ({number})"));
        let mut names = std::iter::once(name.to_string()).chain(numbered);
        names.find(|name| !taken(name)).unwrap_or_default()
    }

    /// Something joined: what is owed now, in its order.
    fn plan(&mut self) {
        let units = owed(self.header, self.shard, self.state);
        self.queue.change(|queue| queue.plan(units, self.state));
    }

    /// What was asked comes into force once no worker does otherwise.
    fn settle(&mut self) {
        let known = self.devices.iter().flatten().count() + self.lost.len();
        if !self.started && known == self.devices.len() && self.lost.len() < known {
            self.start();
        }
        let queue = self.queue.lock();
        // A result that was told before, but not heard yet, comes first.
        let (later, now): (Vec<_>, Vec<_>) = std::mem::take(&mut self.leaving)
            .into_iter()
            .partition(|what| queue.is_busy(|unit| what.is_of(unit)));
        let still = queue.is_still();
        let over = queue.control == Control::Run && still && queue.work_left() == 0;
        drop(queue);
        self.leaving = later;
        for what in now {
            self.emit(what.event());
        }
        if self.pause_asked && still && self.started && self.live > 0 {
            self.pause_asked = false;
            if !self.state.paused {
                self.emit(Event::Paused);
            }
        }
        if !(over && self.leaving.is_empty()) {
            self.last_call = false;
        } else if !std::mem::replace(&mut self.last_call, true) {
            // Who was just told of something may answer: commands are looked at
            // once more before the sweep is over.
        } else if !self.doctor() {
            self.over = true;
            self.queue.set(Control::Stop);
        }
    }

    /// The doctor's next step, now that nothing is owed; false when there is
    /// none.
    fn doctor(&mut self) -> bool {
        if self.shard.parts().is_some() || self.broken.is_some() {
            return false;
        }
        match doctor::next(self.state) {
            Step::Done => return false,
            Step::Try(variants) => {
                for mut variant in variants {
                    variant.name = self.free_name(&variant.name);
                    self.emit(Event::VariantAdded { variant });
                    let id = VariantId(self.state.variants().len() - 1);
                    self.emit(Event::VariantTried { variant: id });
                }
            }
            Step::Take(variants) => {
                for variant in variants {
                    self.emit(Event::VariantTaken { variant });
                }
            }
        }
        self.plan();
        true
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
            self.say(Level::Error, format!("a worker could not start: {message}"));
        }
        for text in std::mem::take(&mut self.first_words) {
            self.say(Level::Warning, text);
        }
        for command in std::mem::take(&mut self.early) {
            self.obey(command);
        }
        self.queue.set(self.control());
    }

    fn step(&mut self, worker: WorkerId, unit: &Unit, done: f64) {
        self.meter.step(worker, (unit.cost() as f64 * done) as u64, Instant::now());
        let images_total = self.meter.whole() + self.queue.lock().work_left();
        let images_done = self.meter.done();
        self.sink.progress(Progress {
            worker,
            task: match unit {
                Unit::Accuracy { cell, round, positions } => {
                    let done = (positions.len() as f64 * done).round() as usize;
                    Task::Accuracy { cell: *cell, round: *round, done }
                }
                Unit::Probe { cell, .. } => Task::Probe { cell: *cell, done },
            },
            images_done,
            images_total: images_total.max(images_done),
            rate: self.meter.rate(),
        });
    }
}
