//! How much is done, and how fast.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::sweep::ids::WorkerId;

/// How far back the throughput looks.
const WINDOW: Duration = Duration::from_secs(10);

/// Counts forward passes, in images.
#[derive(Debug)]
pub(super) struct Meter {
    /// Of whole units, and of the unit in hand of each worker.
    whole: u64,
    partial: Vec<u64>,
    recent: VecDeque<(Instant, u64)>,
}

impl Meter {
    pub(super) fn new(workers: usize) -> Self {
        Self { whole: 0, partial: vec![0; workers], recent: VecDeque::new() }
    }

    /// Of whole units.
    pub(super) fn whole(&self) -> u64 {
        self.whole
    }

    /// All that was done.
    pub(super) fn done(&self) -> u64 {
        self.whole + self.partial.iter().sum::<u64>()
    }

    /// A worker's unit is so far.
    pub(super) fn step(&mut self, worker: WorkerId, done: u64) {
        self.partial[worker.index()] = done;
        let now = Instant::now();
        self.recent.push_back((now, self.done()));
        // Two are kept however long a step takes.
        while self.recent.len() > 2 && self.recent.front().is_some_and(|(at, _)| now - *at > WINDOW)
        {
            self.recent.pop_front();
        }
    }

    /// A worker's unit came to its end; `counts` of it were done.
    pub(super) fn end(&mut self, worker: WorkerId, counts: u64) {
        self.partial[worker.index()] = 0;
        self.whole += counts;
    }

    /// Forgets the throughput: time stood still.
    pub(super) fn rest(&mut self) {
        self.recent.clear();
    }

    /// Images a second over the last seconds; `None` at first.
    pub(super) fn rate(&self) -> Option<f64> {
        let ((from, before), (to, now)) = (self.recent.front()?, self.recent.back()?);
        let seconds = (*to - *from).as_secs_f64();
        (seconds > 0.0).then(|| now.saturating_sub(*before) as f64 / seconds)
    }
}
