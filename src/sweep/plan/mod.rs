//! A sweep in the order it is measured: rounds of cells, and probes between
//! them.
//!
//! Anytime: images are visited in one seeded order per dataset, in rounds, and
//! each round evaluates every α before the next begins. So the whole curve is
//! there after the first round, and its intervals shrink together. What probes
//! look at comes after the first round, α by α in the same order.

mod cost;
mod units;

use std::ops::Range;

use super::event::Header;
use super::ids::{AlphaId, CellId, DatasetId, RoundId};

pub use cost::cost;
pub use units::{Group, Unit, alphas_of, owed, variants_of};

/// Images of one dataset in one round, at most: the pixels of a round stay in
/// memory while every α looks at them.
pub const LARGEST_ROUND: usize = 2048;

/// Images of one dataset in the first round, at most: after it the first whole
/// curve is on the screen.
const FIRST_ROUND: usize = 64;

/// The first round is at most one part in this many of the images, so that the
/// first curve takes under 5 % of the sweep.
const FIRST_PART: usize = 25;

/// Where the rounds of a dataset of so many images end: ascending, the last is
/// `images`. Each round has about twice the images of the one before, whole
/// batches once it is larger than one.
#[must_use]
pub fn rounds(images: usize, batch: usize) -> Vec<usize> {
    let batch = batch.max(1);
    let mut ends = Vec::new();
    let (mut end, mut size) = (0, (images / FIRST_PART).clamp(1, FIRST_ROUND));
    while end < images {
        let whole = if size > batch { size - size % batch } else { size };
        let rest = images - end;
        // A small remainder goes along rather than making a round of its own.
        let with_rest = rest <= LARGEST_ROUND && rest < whole + whole / 2;
        end += if with_rest { rest } else { whole.min(rest) };
        ends.push(end);
        size = (size * 2).min(LARGEST_ROUND);
    }
    ends
}

/// Indices of a grid of `points`, ends first, then the middle, then halving
/// what is left, so that a curve is useful early.
#[must_use]
pub fn alpha_order(points: usize) -> Vec<AlphaId> {
    let mut order = Vec::with_capacity(points);
    if points == 0 {
        return order;
    }
    order.push(AlphaId(0));
    if points > 1 {
        order.push(AlphaId(points - 1));
    }
    let mut spans = std::collections::VecDeque::from([(0, points - 1)]);
    while let Some((from, to)) = spans.pop_front() {
        if to - from < 2 {
            continue;
        }
        let middle = from + (to - from) / 2;
        order.push(AlphaId(middle));
        spans.extend([(from, middle), (middle, to)]);
    }
    order
}

/// Part `index` (from 1) of `of`: the cells one process measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    index: usize,
    of: usize,
}

impl Shard {
    /// `None` unless 1 ≤ `index` ≤ `of`.
    #[must_use]
    pub fn new(index: usize, of: usize) -> Option<Self> {
        (index >= 1 && index <= of).then_some(Self { index, of })
    }

    /// The whole, as one shard.
    #[must_use]
    pub fn whole() -> Self {
        Self { index: 1, of: 1 }
    }

    /// `(index, of)`; `None` for the whole.
    #[must_use]
    pub fn parts(self) -> Option<(usize, usize)> {
        (self.of > 1).then_some((self.index, self.of))
    }

    fn has(self, header: &Header, cell: CellId) -> bool {
        let datasets = header.datasets.len();
        let per_variant = datasets * header.alphas.len();
        let number = cell.variant.index() * per_variant
            + cell.alpha.index() * datasets
            + cell.dataset.index();
        number % self.of == self.index - 1
    }

    /// What an engine keeps of one point is of use to all layers: they are not
    /// parted.
    fn has_group(self, header: &Header, group: Group) -> bool {
        let per_probe = header.variants.len() * header.alphas.len();
        let number = group.probe.index() * per_probe
            + group.variant.index() * header.alphas.len()
            + group.alpha.index();
        number % self.of == self.index - 1
    }
}

impl std::str::FromStr for Shard {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split_once('/');
        parts
            .and_then(|(i, n)| Shard::new(i.trim().parse().ok()?, n.trim().parse().ok()?))
            .ok_or_else(|| format!("expected I/N with 1 ≤ I ≤ N, as 2/3, got `{text}`"))
    }
}

/// Positions of round `round` of a dataset; `None` past its last round.
#[must_use]
pub fn positions(header: &Header, dataset: DatasetId, round: RoundId) -> Option<Range<usize>> {
    let rounds = &header.datasets.get(dataset.index())?.rounds;
    let end = *rounds.get(round.index())?;
    let start = round.index().checked_sub(1).map_or(Some(0), |before| rounds.get(before).copied());
    Some(start?..end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ends_middle_then_halves() {
        let order: Vec<usize> = alpha_order(11).into_iter().map(AlphaId::index).collect();
        assert_eq!(order, [0, 10, 5, 2, 7, 1, 3, 6, 8, 4, 9]);
        assert_eq!(alpha_order(0), []);
        assert_eq!(alpha_order(1), [AlphaId(0)]);
    }

    #[test]
    fn shards_by_text() {
        assert_eq!("2/3".parse(), Ok(Shard { index: 2, of: 3 }));
        for bad in ["0/3", "4/3", "3", "a/b", "1/0", ""] {
            assert!(bad.parse::<Shard>().is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn every_point_once(points in 0_usize..200) {
            let mut all: Vec<usize> = alpha_order(points).into_iter().map(AlphaId::index).collect();
            all.sort_unstable();
            prop_assert_eq!(all, (0..points).collect::<Vec<_>>());
        }

        #[test]
        fn rounds_cover_and_start_small(images in 1_usize..100_000, batch in 1_usize..600) {
            let ends = rounds(images, batch);
            prop_assert_eq!(ends.last().copied(), Some(images));
            prop_assert!(ends.is_sorted_by(|a, b| a < b));
            let mut start = 0;
            for &end in &ends {
                prop_assert!(end - start <= LARGEST_ROUND);
                start = end;
            }
            // The first curve is there within 5 % of the work.
            prop_assert!(ends[0] * 20 <= images.max(20));
        }
    }
}
