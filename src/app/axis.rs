//! Vertical ranges that move in steps, so that a slow line is not asked to
//! repaint the chart for every new number.

/// A closed range of the plotted metric.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Range {
    /// Lower end.
    pub lo: f64,
    /// Upper end, above [`Range::lo`].
    pub hi: f64,
}

impl Range {
    /// Top minus bottom.
    #[must_use]
    pub fn span(&self) -> f64 {
        self.hi - self.lo
    }

    /// Where a value stands: 0 at the bottom, 1 at the top, outside beyond.
    #[must_use]
    pub fn place(&self, value: f64) -> f64 {
        (value - self.lo) / self.span()
    }

    /// Narrower (positive) or wider (negative) around `centre`, by a third of
    /// the span a step, moved to lie within `limits`.
    #[must_use]
    pub fn zoomed(&self, steps: i8, centre: f64, limits: Self) -> Self {
        if steps == 0 {
            return *self;
        }
        let span = (self.span() * 1.5f64.powi(-i32::from(steps))).min(limits.span());
        let middle = if steps > 0 { centre } else { (self.lo + self.hi) / 2.0 };
        let lo = (middle - span / 2.0).clamp(limits.lo, (limits.hi - span).max(limits.lo));
        Self { lo, hi: lo + span }
    }
}

/// The step ends of a range snap to: 1, 2 or 5 times a power of ten, about a
/// fifth of the span.
#[must_use]
pub fn step(span: f64) -> f64 {
    if !(span.is_finite() && span > 0.0) {
        return 1.0;
    }
    let rough = span / 5.0;
    let power = 10f64.powf(rough.log10().floor());
    let unit = rough / power;
    power
        * if unit <= 1.0 {
            1.0
        } else if unit <= 2.0 {
            2.0
        } else if unit <= 5.0 {
            5.0
        } else {
            10.0
        }
}

/// The smallest snapped range around `values`, within `limits` and at least
/// `least` wide; `None` without finite values.
#[must_use]
pub fn fit(values: impl Iterator<Item = f64>, least: f64, limits: Range) -> Option<Range> {
    let (mut lo, mut hi) = values.filter(|value| value.is_finite()).fold(
        None,
        |range: Option<(f64, f64)>, value| {
            Some(range.map_or((value, value), |(lo, hi)| (lo.min(value), hi.max(value))))
        },
    )?;
    if hi - lo < least {
        let middle = (lo + hi) / 2.0;
        (lo, hi) = (middle - least / 2.0, middle + least / 2.0);
    }
    let step = step(hi - lo);
    let snapped = Range { lo: (lo / step).floor() * step, hi: (hi / step).ceil() * step };
    let held = Range { lo: snapped.lo.max(limits.lo), hi: snapped.hi.min(limits.hi) };
    Some(if held.span() > 0.0 { held } else { limits })
}

/// One range that follows data with some inertia: it widens at once, in
/// steps, and narrows only when the data need less than three quarters of it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Slow(Option<Range>);

/// Share of the range under which data narrow it.
const NARROW: f64 = 0.75;

impl Slow {
    /// The range now; `None` before data.
    #[must_use]
    pub fn get(&self) -> Option<Range> {
        self.0
    }

    /// Moves to exactly `need`: for data that will not change any more.
    pub fn settle(&mut self, need: Option<Range>) {
        self.0 = need.or(self.0);
    }

    /// Moves, if it must, so that `need` fits.
    pub fn follow(&mut self, need: Option<Range>) {
        let Some(need) = need else { return };
        self.0 = Some(match self.0 {
            Some(now) if now.lo <= need.lo && now.hi >= need.hi => {
                if need.span() < NARROW * now.span() { need } else { now }
            }
            Some(now) => {
                let both = Range { lo: now.lo.min(need.lo), hi: now.hi.max(need.hi) };
                if need.span() < NARROW * both.span() { need } else { both }
            }
            None => need,
        });
    }
}

/// The ranges of both metrics over all curves.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Axis {
    /// Top-1, percent.
    pub accuracy: Slow,
    /// Mean cross-entropy, nats.
    pub loss: Slow,
}

/// 0 to 100 %.
pub const PERCENT: Range = Range { lo: 0.0, hi: 100.0 };

/// Losses have no ceiling.
pub const NATS: Range = Range { lo: 0.0, hi: f64::MAX };

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fitted_ranges_are_round_and_hold_the_data() {
        let range = fit([22.3, 51.5].into_iter(), 5.0, PERCENT).unwrap();
        assert_eq!((range.lo, range.hi), (20.0, 60.0));
        let range = fit([99.0, 99.2].into_iter(), 5.0, PERCENT).unwrap();
        assert!(range.lo <= 96.6 && range.hi == 100.0);
        assert_eq!(fit([f64::NAN].into_iter(), 5.0, PERCENT), None);
        let range = fit([1e300, -1e300].into_iter(), 5.0, PERCENT).unwrap();
        assert_eq!(range, PERCENT);
    }

    #[test]
    fn ranges_widen_in_steps_and_narrow_rarely() {
        let mut axis = Slow::default();
        let need = |lo, hi| Some(Range { lo, hi });
        axis.follow(need(20.0, 60.0));
        axis.follow(need(25.0, 60.0));
        assert_eq!(axis.get(), need(20.0, 60.0));
        axis.follow(need(25.0, 70.0));
        assert_eq!(axis.get(), need(20.0, 70.0));
        axis.follow(need(40.0, 60.0));
        assert_eq!(axis.get(), need(40.0, 60.0));
        axis.follow(None);
        assert_eq!(axis.get(), need(40.0, 60.0));
    }

    #[test]
    fn zoom_stays_within_limits() {
        let range = Range { lo: 20.0, hi: 60.0 };
        assert_eq!(range.zoomed(0, 30.0, PERCENT), range);
        let near = range.zoomed(2, 22.0, PERCENT);
        assert!(near.span() < range.span() && near.lo >= 0.0 && near.place(22.0) <= 1.0);
        let far = range.zoomed(-6, 22.0, PERCENT);
        assert_eq!(far, PERCENT);
    }
}
