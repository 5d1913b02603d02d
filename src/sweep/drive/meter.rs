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

    /// A worker's unit is so far, now.
    pub(super) fn step(&mut self, worker: WorkerId, done: u64, now: Instant) {
        self.partial[worker.index()] = done;
        if self.stood_still(now) {
            self.rest();
        }
        self.recent.push_back((now, self.done()));
        // Two are kept however long a step takes.
        let old = |at: Instant| now.saturating_duration_since(at) > WINDOW;
        while self.recent.len() > 2 && self.recent.front().is_some_and(|(at, _)| old(*at)) {
            self.recent.pop_front();
        }
    }

    /// The process did not run since the last step (it was stopped, or the machine
    /// slept), or the clock went back: the throughput would be nonsense. A step
    /// that is merely slow is like those before it.
    fn stood_still(&self, now: Instant) -> bool {
        let n = self.recent.len();
        let Some((last, _)) = self.recent.back() else { return false };
        let Some(gap) = now.checked_duration_since(*last) else { return true };
        let Some((first, _)) = self.recent.front().filter(|_| n > 1) else { return false };
        let usual = last.saturating_duration_since(*first) / (n - 1) as u32;
        gap > WINDOW && gap > 20 * usual
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
        let seconds = to.saturating_duration_since(*from).as_secs_f64();
        (seconds > 0.0).then(|| now.saturating_sub(*before) as f64 / seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: WorkerId = WorkerId(0);

    /// Steps of 10 images at these milliseconds.
    fn metered(times: &[u64]) -> Meter {
        // Far from the clock's own start, so that there is a before.
        let start = Instant::now() + Duration::from_secs(100_000);
        let mut meter = Meter::new(1);
        for (step, &ms) in times.iter().enumerate() {
            meter.step(ONE, 10 * (step as u64 + 1), start + Duration::from_millis(ms));
        }
        meter
    }

    #[test]
    fn an_hour_in_which_nothing_ran_is_not_counted() {
        let steady = metered(&[0, 100, 200, 300]);
        assert_eq!(steady.rate(), Some(100.0));
        let hour = 3_600_000;
        let stopped = metered(&[0, 100, 200, 300, 300 + hour]);
        assert_eq!(stopped.rate(), None, "no rate rather than a wrong one");
        let after = metered(&[0, 100, 200, 300, 300 + hour, 400 + hour, 500 + hour]);
        assert_eq!(after.rate(), Some(100.0));
    }

    #[test]
    fn a_clock_that_goes_back_gives_no_negative_rate() {
        let back = metered(&[5000, 5100, 5200, 1000]);
        assert_eq!(back.rate(), None);
        let after = metered(&[5000, 5100, 5200, 1000, 1100]);
        assert_eq!(after.rate(), Some(100.0));
        let same = metered(&[5000, 5000, 5000]);
        assert_eq!(same.rate(), None);
    }

    #[test]
    fn slow_steps_have_a_rate_too() {
        let slow = metered(&[0, 60_000, 125_000]);
        let rate = slow.rate().unwrap();
        assert!((rate - 10.0 / 65.0).abs() < 1e-9, "{rate}");
    }
}
