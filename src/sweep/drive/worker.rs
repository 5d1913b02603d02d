//! One worker: an engine on a thread of its own.

use std::panic::AssertUnwindSafe;
use std::sync::mpsc::Sender;
use std::sync::{MutexGuard, PoisonError};
use std::time::Instant;

use super::queue::{Control, End, Job, Queue, QueueState};
use super::{EngineFactory, Told};
use crate::plural::counted;
use crate::sweep::engine::{BatchOutcome, Engine, EngineError, Steer};
use crate::sweep::event::{Bits, Event, Header, Level, Measured};
use crate::sweep::ids::{CellId, DatasetId, ProbeCell, RoundId, WorkerId};
use crate::sweep::plan::{Unit, positions};
use crate::sweep::probe::Probed;
use crate::sweep::state::is_whole;

pub(super) struct Worker<'a> {
    id: WorkerId,
    header: &'a Header,
    queue: &'a Queue,
    tell: &'a Sender<Told>,
}

impl<'a> Worker<'a> {
    pub(super) fn new(
        id: WorkerId,
        header: &'a Header,
        queue: &'a Queue,
        tell: &'a Sender<Told>,
    ) -> Self {
        Self { id, header, queue, tell }
    }

    fn tell(&self, told: Told) {
        // The coordinator outlives the workers; if it is gone, so is the sweep.
        let _ = self.tell.send(told);
    }

    pub(super) fn run(&self, factory: EngineFactory) {
        let all = AssertUnwindSafe(|| match factory() {
            Ok(engine) => {
                self.tell(Told::Ready(self.id, engine.device(), engine.notices().to_vec()));
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
        self.pass_on(&mut *engine);
        self.confirm(&mut *engine);
        let mut announced = None;
        while let Some(job) = self.next() {
            if let Unit::Accuracy { round, .. } = job.unit
                && announced != Some(round)
            {
                announced = Some(round);
                self.announce(&mut *engine, round);
            }
            let measured = AssertUnwindSafe(|| self.measure(&mut *engine, &job));
            let end = std::panic::catch_unwind(measured)
                .unwrap_or_else(|panic| End::Lost(panic_text(&*panic)));
            let lost = match &end {
                End::Lost(message) => Some(message.clone()),
                _ => None,
            };
            if lost.is_none() {
                self.pass_on(&mut *engine);
            }
            // Whoever waits may take what is given back.
            let told = self.queue.change(|state| state.end(self.id, job.unit, end));
            self.tell(told);
            if let Some(message) = lost {
                self.tell(Told::Lost(self.id, message));
                // Not even freed: on a device in an unknown state that may fail
                // too, and there is nobody left to catch it.
                std::mem::forget(engine);
                return;
            }
        }
    }

    /// Has the activation probed, by the first worker of a new run. Whatever goes wrong costs this
    /// answer alone: a device that is lost is found by the first unit.
    fn confirm(&self, engine: &mut dyn Engine) {
        // Nobody waits for this flag.
        let mine = std::mem::take(&mut self.queue.lock().unconfirmed);
        if !mine || !self.may_begin() {
            return;
        }
        let probe = AssertUnwindSafe(|| engine.probe_activation(&mut Before(self)));
        let why = match std::panic::catch_unwind(probe) {
            Ok(Ok(probed)) => {
                if let Some((level, text)) = probed.map(|it| it.notice()) {
                    self.tell(Told::Noticed(level, text));
                }
                return;
            }
            Ok(Err(error)) => error.to_string(),
            Err(panic) => panic_text(&*panic),
        };
        let text = format!("the activation was not compared with the other one: {why}");
        self.tell(Told::Noticed(Level::Info, text));
    }

    /// What happened in the engine.
    fn pass_on(&self, engine: &mut dyn Engine) {
        engine.told().into_iter().for_each(|text| self.tell(Told::Said(self.id, text)));
    }

    /// Lets the engine prepare what the round after this one will read.
    fn announce(&self, engine: &mut dyn Engine, round: RoundId) {
        for dataset in (0..self.header.datasets.len()).map(DatasetId) {
            if let Some(coming) = positions(self.header, dataset, RoundId(round.index() + 1)) {
                engine.upcoming(dataset, coming);
            }
        }
    }

    /// Waits for a unit; `None` when the sweep is over.
    fn next(&self) -> Option<Job> {
        let mut state = self.queue.lock();
        loop {
            match state.control {
                Control::Stop | Control::Last => return None,
                Control::Run => {
                    if let Some(job) = state.take(self.id) {
                        state.waiting[self.id.index()] = false;
                        return Some(job);
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
            match state.control {
                Control::Stop => return false,
                _ if state.is_left_out(unit) => return false,
                Control::Run | Control::Last => {
                    state.waiting[self.id.index()] = false;
                    return true;
                }
                Control::Hold | Control::Pause => state = self.wait(state),
            }
        }
    }

    /// Before any unit: waits for the start, and while paused; false when the sweep is to end.
    fn may_begin(&self) -> bool {
        let mut state = self.queue.lock();
        loop {
            match state.control {
                Control::Stop | Control::Last => return false,
                Control::Run => {
                    state.waiting[self.id.index()] = false;
                    return true;
                }
                Control::Hold | Control::Pause => state = self.wait(state),
            }
        }
    }

    fn measure(&self, engine: &mut dyn Engine, job: &Job) -> End {
        let measured = match (&job.unit, &job.probe) {
            (Unit::Accuracy { cell, round, positions }, _) => {
                self.accuracy(engine, job, *cell, *round, positions.clone()).and_then(|event| {
                    event.map(|event| self.count(engine, job, *cell).map(|()| event)).transpose()
                })
            }
            (Unit::Probe { cell, .. }, Some(_)) => self.probe(engine, job, *cell),
            (Unit::Probe { .. }, None) => Ok(None),
        };
        match measured {
            Ok(Some(event)) => End::Done(Box::new(event)),
            Ok(None) => End::Abandoned,
            Err(EngineError::Cell(message) | EngineError::Data(message)) => End::Failed(message),
            Err(EngineError::Fatal(message)) => End::Lost(message),
        }
    }

    /// `None` when it was left.
    fn accuracy(
        &self,
        engine: &mut dyn Engine,
        job: &Job,
        cell: CellId,
        round: RoundId,
        positions: std::ops::Range<usize>,
    ) -> Result<Option<Event>, EngineError> {
        let alpha = self.header.alphas[cell.alpha.index()];
        let began = Instant::now();
        let mut sum = Sum::default();
        let mut start = positions.start;
        while start < positions.end {
            if !self.may_go_on(&job.unit) {
                return Ok(None);
            }
            let end = (start + self.header.batch.max(1)).min(positions.end);
            engine.set_point(alpha, &job.variant)?;
            let batch = engine.evaluate(cell.dataset, start..end)?;
            self.pass_on(engine);
            sum.add(&batch, end - start)?;
            start = end;
            let done = (start - positions.start) as f64 / positions.len() as f64;
            self.tell(Told::Step(self.id, job.unit.clone(), done));
        }
        Ok(Some(Event::Measured(Measured {
            cell,
            round,
            worker: self.id,
            start: positions.start,
            images: positions.len(),
            correct: sum.correct,
            correct5: sum.correct5,
            loss_sum: sum.loss,
            near_ties: sum.near_ties,
            hits: sum.hits,
            seconds: began.elapsed().as_secs_f64(),
        })))
    }

    /// Counts the zeros of the variant that was just measured, once at each α. It is
    /// told before the result, so that it comes before it in the journal.
    fn count(&self, engine: &mut dyn Engine, job: &Job, cell: CellId) -> Result<(), EngineError> {
        let place = (cell.variant, cell.alpha);
        if job.variant.is_dense() || self.queue.lock().counted.contains(&place) {
            return Ok(());
        }
        match engine.count_zeros() {
            Ok(Some(zeros)) => self.tell(Told::Counted(cell.variant, cell.alpha, zeros)),
            Ok(None) => {}
            Err(error @ EngineError::Fatal(_)) => return Err(error),
            // What was measured stands without it.
            Err(error) => self.tell(Told::Said(self.id, error.to_string())),
        }
        // After it was told: who sees this tells its own result later.
        self.queue.lock().counted.insert(place);
        Ok(())
    }

    /// `None` when it was left.
    fn probe(
        &self,
        engine: &mut dyn Engine,
        job: &Job,
        cell: ProbeCell,
    ) -> Result<Option<Event>, EngineError> {
        let Some(probe) = &job.probe else { return Ok(None) };
        let mut steps = Steps { worker: self, unit: &job.unit };
        if !steps.go_on(0.0) {
            return Ok(None);
        }
        let layer = cell.layer.and_then(|id| self.header.layers.get(id.index()));
        let began = Instant::now();
        engine.set_point(self.header.alphas[cell.alpha.index()], &job.variant)?;
        let Some(result) = engine.probe(probe, layer, &mut steps)? else { return Ok(None) };
        if !is_whole(probe, &result) {
            let name = layer.map_or("all layers at once", |layer| &layer.name);
            return Err(EngineError::Cell(format!(
                "probe {name}: a number of the answer is not finite, or it is not whole"
            )));
        }
        Ok(Some(Event::Probed(Box::new(Probed {
            cell,
            worker: self.id,
            seconds: began.elapsed().as_secs_f64(),
            result,
        }))))
    }
}

/// Asks the queue between the steps of a probe, and tells how far it is.
struct Steps<'a> {
    worker: &'a Worker<'a>,
    unit: &'a Unit,
}

impl Steer for Steps<'_> {
    fn go_on(&mut self, done: f64) -> bool {
        let done = if done.is_finite() { done.clamp(0.0, 1.0) } else { 0.0 };
        self.worker.tell(Told::Step(self.worker.id, self.unit.clone(), done));
        self.worker.may_go_on(self.unit)
    }
}

/// Asks the queue between the batches of what comes before any unit.
struct Before<'a>(&'a Worker<'a>);

impl Steer for Before<'_> {
    fn go_on(&mut self, _: f64) -> bool {
        let on = self.0.may_begin();
        if on {
            self.0.tell(Told::Comparing(self.0.id));
        }
        on
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
                "the engine answered for {} of {}",
                batch.hit.len(),
                counted(images, "image")
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
