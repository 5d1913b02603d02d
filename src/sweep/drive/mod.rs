//! The only loop that measures: workers take units from one queue, the
//! coordinator turns what they find into events.
//!
//! ```text
//!            ┌── worker 0 (engine) ──┐
//!  queue ────┼── worker 1 (engine) ──┼──► coordinator ──► sink (journal, then screen)
//!    ▲       └── …                   ┘         ▲
//!    └─────── pause, skip, add, drop, stop ────┴── commands
//! ```
//!
//! Workers look at the queue's state between batches (of a probe: between its
//! steps), so a command takes effect within one of them. It is *in force*, and
//! journalled, once no worker is doing otherwise any more.

mod asked;
mod coordinator;
mod keep;
mod meter;
mod queue;
mod worker;

use std::sync::mpsc::{Receiver, channel};

use thiserror::Error;

use super::activation::ActivationProbe;
use super::command::Command;
use super::engine::{Engine, EngineError};
use super::event::{Event, Header, Level, Outcome, Progress};
use super::ids::{AlphaId, VariantId, WorkerId};
use super::journal::JournalError;
use super::plan::{Shard, Unit, owed};
use super::state::SweepState;
use super::zeros::Zeros;
use coordinator::Coordinator;
use queue::Queue;
use worker::Worker;

/// Makes a worker's engine, on the worker's thread.
pub type EngineFactory = Box<dyn FnOnce() -> Result<Box<dyn Engine>, EngineError> + Send>;

/// Where events go.
pub trait Sink {
    /// Keeps the event, then shows it.
    ///
    /// # Errors
    /// When it cannot be kept. Where there only is no room
    /// ([`JournalError::is_full`]) the sweep stands still and offers the same
    /// event again; else it stops.
    fn event(&mut self, event: Event) -> Result<(), JournalError>;

    /// Shows what a worker does right now. Latest wins.
    fn progress(&mut self, progress: Progress);

    /// Says that the sweep stands still, and why; `None`: it goes on. No part
    /// of the run, since the run cannot be written just then.
    fn stands(&mut self, why: Option<String>) {
        let _ = why;
    }
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
    let units = owed(header, shard, state);
    let unconfirmed = !units.is_empty() && ActivationProbe::is_owed(state);
    let queue = Queue::new(units, header, state, factories.len());
    queue.lock().unconfirmed = unconfirmed;
    let (tell, told) = channel();
    std::thread::scope(|scope| {
        for (index, factory) in factories.into_iter().enumerate() {
            let (queue, tell) = (&queue, tell.clone());
            scope.spawn(move || Worker::new(WorkerId(index), header, queue, &tell).run(factory));
        }
        drop(tell);
        Coordinator::new(header, shard, &queue, state, sink).run(&told, &commands)
    })
}

/// What workers tell the coordinator.
enum Told {
    /// Its device, and what people should know of how it measures there.
    Ready(WorkerId, String, Vec<String>),
    /// Something a person should know of what just happened.
    Said(WorkerId, String),
    /// Found out before anything is counted.
    Noticed(Level, String),
    /// A worker waits: for work, or for the end of a pause.
    Waiting,
    /// Both activations are compared.
    Comparing(WorkerId),
    /// So much of the unit in hand is done, from 0 to 1.
    Step(WorkerId, Unit, f64),
    /// Zeros of a variant at a point: some other worker may have told them too.
    Counted(VariantId, AlphaId, Vec<Zeros>),
    /// Measured: the event to be kept.
    Done(WorkerId, Unit, Box<Event>),
    Abandoned(WorkerId),
    Failed(WorkerId, Unit, String),
    Lost(WorkerId, String),
    Ended(WorkerId),
}
