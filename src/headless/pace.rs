//! How often something is said where there is no progress bar.

use std::cell::Cell;
use std::time::{Duration, Instant};

/// The longest silence: a log is read later too, and a line a minute is enough to see that it
/// goes on.
pub(super) const SILENCE: Duration = Duration::from_secs(60);

/// When something was said last.
#[derive(Debug)]
pub(super) struct Pace(Cell<Instant>);

impl Pace {
    pub(super) fn new(now: Instant) -> Self {
        Self(Cell::new(now))
    }

    /// Something is said.
    pub(super) fn said(&self, now: Instant) {
        self.0.set(now);
    }

    /// It has been silent for long.
    pub(super) fn due(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.0.get()) >= SILENCE
    }
}
