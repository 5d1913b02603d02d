//! When to draw: at once where nothing was drawn lately, else coalesced.

use std::time::{Duration, Instant};

/// Shortest time between two frames that show keys (30 a second).
pub const KEYS: Duration = Duration::from_millis(33);
/// Shortest time between two frames that show new data (10 a second).
pub const DATA: Duration = Duration::from_millis(100);

/// Bytes a second that new data may take at 80x24, and as many for each cell of
/// other sizes: with what SSH adds, a slow line stays under 5 kB/s.
const BYTES: f64 = 4000.0;
/// Cells that [`BYTES`] is for.
const CELLS: f64 = 80.0 * 24.0;
/// However much was written, new data waits no longer than this for the line.
const LINE: Duration = Duration::from_secs(1);

/// What waits to be drawn, and when the last frames were.
#[derive(Clone, Copy, Debug, Default)]
pub struct Gate {
    keys: bool,
    data: bool,
    last_keys: Option<Instant>,
    last_data: Option<Instant>,
    /// Taking new data in took so long the last time.
    took: Duration,
    /// The line needs so long for the last frame with new data.
    sent: Duration,
}

impl Gate {
    /// A person did something.
    pub fn key(&mut self) {
        self.keys = true;
    }

    /// Something was measured.
    pub fn data(&mut self) {
        self.data = true;
    }

    /// Taking new data in took so long. Intervals of accuracy are carried on from the
    /// last time, but those of correlations, one for each layer, are drawn anew.
    pub fn took(&mut self, time: Duration) {
        self.took = time;
    }

    /// A frame with new data took so many bytes, on a screen of so many cells.
    pub fn sent(&mut self, bytes: u64, cells: u32) {
        let rate = BYTES * f64::from(cells.max(1)) / CELLS;
        self.sent = Duration::from_secs_f64(bytes as f64 / rate).min(LINE);
    }

    /// Until new data may be taken in again: it has a fifth of the time at most,
    /// the rest is for keys; and no more of the line than a slow one has.
    fn gap(&self) -> Duration {
        DATA.max(4 * self.took).max(self.sent)
    }

    /// When the next frame is due; `None`: nothing waits, so nothing wakes.
    #[must_use]
    pub fn due(&self, now: Instant) -> Option<Instant> {
        let after = |last: Option<Instant>, gap| last.map_or(now, |last| last + gap);
        let keys = self.keys.then(|| after(self.last_keys, KEYS));
        let data = self.data.then(|| after(self.last_data, self.gap()));
        [keys, data].into_iter().flatten().min()
    }

    /// A frame is being drawn. True where it may take new data in: what a
    /// person does is shown without waiting for statistics.
    pub fn draw(&mut self, now: Instant) -> bool {
        let open = self.last_data.is_none_or(|last| now >= last + self.gap());
        if self.keys {
            self.last_keys = Some(now);
            self.keys = false;
        }
        if self.data && open {
            self.last_data = Some(now);
            self.data = false;
            return true;
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_waits_nothing_wakes() {
        let now = Instant::now();
        let mut gate = Gate::default();
        assert_eq!(gate.due(now), None);
        gate.key();
        assert_eq!(gate.due(now), Some(now));
        gate.draw(now);
        assert_eq!(gate.due(now), None);
    }

    #[test]
    fn a_key_is_shown_at_once_even_right_after_data() {
        let now = Instant::now();
        let mut gate = Gate::default();
        gate.data();
        assert!(gate.draw(now));
        let soon = now + Duration::from_millis(1);
        gate.data();
        gate.key();
        assert_eq!(gate.due(soon), Some(soon));
        // … without the new data, whose turn has not come.
        assert!(!gate.draw(soon));
        assert_eq!(gate.due(soon), Some(now + DATA));
        assert!(gate.draw(now + DATA));
    }

    #[test]
    fn what_takes_long_is_done_less_often() {
        let now = Instant::now();
        let mut gate = Gate::default();
        gate.data();
        assert!(gate.draw(now));
        gate.took(Duration::from_millis(200));
        gate.data();
        let later = now + Duration::from_millis(800);
        assert_eq!(gate.due(now + DATA), Some(later));
        // A key in between is shown, without the data.
        gate.key();
        assert_eq!(gate.due(now + DATA), Some(now + DATA));
        assert!(!gate.draw(now + DATA));
        assert!(gate.draw(later));
        gate.took(Duration::from_millis(1));
        gate.data();
        assert_eq!(gate.due(later), Some(later + DATA));
    }

    #[test]
    fn a_slow_line_is_not_filled() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        for (columns, rows, bytes, gap) in
            [(80, 24, 1200, 300), (160, 48, 1200, 100), (80, 24, 100_000, 1000)]
        {
            let mut gate = Gate::default();
            gate.data();
            assert!(gate.draw(at(0)));
            gate.sent(bytes, columns * rows);
            gate.data();
            assert_eq!(gate.due(at(1)), Some(at(gap)), "{columns}x{rows}, {bytes} bytes");
            // A key does not wait for the line.
            gate.key();
            assert_eq!(gate.due(at(1)), Some(at(1)));
        }
    }

    #[test]
    fn rates_are_bounded() {
        let start = Instant::now();
        let (mut gate, mut frames, mut fresh) = (Gate::default(), 0, 0);
        for ms in 0..1000 {
            let now = start + Duration::from_millis(ms);
            gate.key();
            gate.data();
            if gate.due(now).is_some_and(|due| due <= now) {
                frames += 1;
                fresh += usize::from(gate.draw(now));
            }
        }
        assert!(frames <= 31 + 10, "{frames} frames");
        assert!((9..=10).contains(&fresh), "{fresh} with new data");
    }
}
