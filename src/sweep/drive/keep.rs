//! Keeps events in their order, also while there is no room to write them.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::Sink;
use crate::sweep::event::Event;
use crate::sweep::journal::JournalError;

/// Between two tries to write on a disk that was full.
const AGAIN: Duration = Duration::from_secs(1);

/// What happened when something was to be kept.
pub(super) enum Kept {
    /// All is written.
    All,
    /// All is written that had to wait so many seconds.
    Again(u64),
    /// There is no room: what waits is tried again later.
    Full,
}

/// Events on their way to the sink.
#[derive(Default)]
pub(super) struct Keeper {
    waiting: VecDeque<Event>,
    /// Since when there is no room, and the last try.
    full: Option<(Instant, Instant)>,
}

impl Keeper {
    /// True while there is no room.
    pub(super) fn is_full(&self) -> bool {
        self.full.is_some()
    }

    /// True when it is time to try again.
    pub(super) fn is_due(&self) -> bool {
        self.full.is_some_and(|(_, tried)| tried.elapsed() >= AGAIN)
    }

    /// Keeps an event after those that wait.
    pub(super) fn keep(&mut self, event: Event, sink: &mut dyn Sink) -> Result<Kept, JournalError> {
        self.waiting.push_back(event);
        if self.is_full() { Ok(Kept::Full) } else { self.write(sink) }
    }

    /// Writes what waits.
    ///
    /// # Errors
    /// When it can never be written.
    pub(super) fn write(&mut self, sink: &mut dyn Sink) -> Result<Kept, JournalError> {
        while let Some(event) = self.waiting.front() {
            match sink.event(event.clone()) {
                Ok(()) => drop(self.waiting.pop_front()),
                Err(error) if error.is_full() => {
                    let now = Instant::now();
                    if self.full.is_none() {
                        sink.stands(Some(format!(
                            "{error}: the sweep stands still, and goes on by itself once there \
                             is room"
                        )));
                    }
                    self.full = Some((self.full.map_or(now, |(since, _)| since), now));
                    return Ok(Kept::Full);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(match self.full.take() {
            None => Kept::All,
            Some((since, _)) => {
                sink.stands(None);
                Kept::Again(since.elapsed().as_secs())
            }
        })
    }

    /// One last try: what does not fit now is lost, and this says why.
    pub(super) fn last(&mut self, sink: &mut dyn Sink) -> Result<(), JournalError> {
        while let Some(event) = self.waiting.pop_front() {
            sink.event(event)?;
        }
        self.full = None;
        Ok(())
    }
}
