//! The one that turns what workers found, and what people ask, into events.

use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::asked::Leaving;
use super::keep::{Keeper, Kept};
use super::meter::Meter;
use super::queue::{Control, Queue};
use super::{DriveError, Sink, Told};
use crate::sweep::command::Command;
use crate::sweep::doctor::{self, Step};
use crate::sweep::event::{Event, Header, Level, Outcome, Progress};
use crate::sweep::ids::{Task, VariantId, WorkerId};
use crate::sweep::journal::JournalError;
use crate::sweep::plan::{Shard, Unit, owed};
use crate::sweep::state::SweepState;

/// How often commands are looked at while workers have nothing to tell.
const LOOK: Duration = Duration::from_millis(20);

pub(super) struct Coordinator<'a> {
    pub(super) header: &'a Header,
    pub(super) shard: Shard,
    pub(super) queue: &'a Queue,
    pub(super) state: &'a mut SweepState,
    sink: &'a mut dyn Sink,
    devices: Vec<Option<String>>,
    /// Workers that have not ended.
    live: usize,
    lost: Vec<String>,
    began: Instant,
    pub(super) started: bool,
    /// Asked before the engines were ready.
    pub(super) early: Vec<Command>,
    /// What engines said before all were ready: how they measure, each sentence once.
    first_words: Vec<String>,
    pub(super) pause_asked: bool,
    pub(super) stop_asked: bool,
    /// Asked to be left out, and still in hand.
    pub(super) leaving: Vec<Leaving>,
    /// All seems done: if nobody asks for more, it is.
    last_call: bool,
    /// All is done: workers were sent home.
    pub(super) over: bool,
    failed: bool,
    pub(super) meter: Meter,
    keeper: Keeper,
    broken: Option<JournalError>,
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
    pub(super) fn emit(&mut self, event: Event) {
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
    pub(super) fn control(&self) -> Control {
        let rest = self.pause_asked || self.state.paused || self.keeper.is_full();
        if rest { Control::Pause } else { Control::Run }
    }

    pub(super) fn say(&mut self, level: Level, text: impl Into<String>) {
        self.emit(Event::passing(level, text));
    }

    fn hear(&mut self, told: Told) {
        match told {
            Told::Ready(worker, device, notices) => {
                self.devices[worker.index()] = Some(device);
                for text in notices {
                    if !self.first_words.contains(&text) {
                        self.first_words.push(text);
                    }
                }
            }
            Told::Said(worker, text) => match self.devices.get(worker.index()) {
                Some(Some(device)) if self.devices.len() > 1 => {
                    self.say(Level::Warning, format!("{device}: {text}"));
                }
                _ => self.say(Level::Warning, text),
            },
            Told::Noticed(level, text) => self.emit(Event::notice(level, text)),
            Told::Waiting => {}
            Told::Step(worker, unit, done) => self.step(worker, &unit, done),
            Told::Comparing(worker) if self.started => {
                self.advance(worker, Task::Activation, None);
            }
            Told::Comparing(_) => {}
            Told::Counted(variant, alpha, zeros) => {
                if self.state.zeros(variant, alpha).is_none() {
                    self.emit(Event::Sparsified { variant, alpha, zeros });
                }
            }
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

    /// Something joined: what is owed now, in its order.
    pub(super) fn plan(&mut self) {
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
            self.emit(Event::notice(Level::Warning, text));
        }
        for command in std::mem::take(&mut self.early) {
            self.obey(command);
        }
        self.queue.set(self.control());
    }

    fn step(&mut self, worker: WorkerId, unit: &Unit, done: f64) {
        self.meter.step(worker, (unit.cost() as f64 * done) as u64, Instant::now());
        self.advance(worker, unit.task(), self.meter.rate());
    }

    /// Tells what a worker has in hand.
    fn advance(&mut self, worker: WorkerId, task: Task, rate: Option<f64>) {
        let images_total = self.meter.whole() + self.queue.lock().work_left();
        let images_done = self.meter.done();
        self.sink.progress(Progress {
            worker,
            task,
            images_done,
            images_total: images_total.max(images_done),
            rate,
        });
    }
}
