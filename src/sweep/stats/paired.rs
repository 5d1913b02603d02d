//! Results on the same images at several points: the only fair comparison.

use super::super::event::Bits;
use super::super::ids::{AlphaId, CellId, DatasetId, RoundId, VariantId};
use super::super::state::{Status, SweepState};
use super::{Interval, mcnemar, paired_interval};

/// Two points compared on the images measured at both.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Difference {
    /// Accuracy at the second point minus at the first, as a fraction.
    pub difference: Interval,
    /// Right at the second point only.
    pub gained: usize,
    /// Right at the first point only.
    pub lost: usize,
    /// Images compared.
    pub images: usize,
    /// McNemar's exact two-sided p-value.
    pub p: f64,
}

/// Compares accuracy at `to` with accuracy at `from` on the images of one
/// dataset that both were measured on (whole rounds). `None` when there is no
/// such image.
#[must_use]
pub fn paired_difference(
    state: &SweepState,
    variant: VariantId,
    dataset: DatasetId,
    from: AlphaId,
    to: AlphaId,
) -> Option<Difference> {
    let (mut gained, mut lost, mut images) = (0, 0, 0);
    for hits in common_rounds(state, variant, dataset, &[from, to]) {
        for (before, after) in hits[0].iter().zip(hits[1].iter()) {
            gained += usize::from(after && !before);
            lost += usize::from(before && !after);
            images += 1;
        }
    }
    let difference = paired_interval(gained, lost, images)?;
    Some(Difference { difference, gained, lost, images, p: mcnemar(gained, lost) })
}

/// Points of the path, 0 ≤ α ≤ 1, that have a result on this dataset and have
/// not failed on it; ascending.
pub(super) fn known_points(
    state: &SweepState,
    variant: VariantId,
    dataset: DatasetId,
) -> Vec<AlphaId> {
    let inside = |alpha: &AlphaId| {
        let point = state.alphas()[alpha.index()];
        point.is_end() || point.is_interior()
    };
    let known = |&alpha: &AlphaId| {
        let id = CellId { variant, dataset, alpha };
        state.cell(id).is_some_and(|cell| cell.done > 0)
            && !matches!(state.status(id), Some(Status::Failed(_)))
    };
    (0..state.alphas().len()).map(AlphaId).filter(inside).filter(known).collect()
}

/// Of each round measured at all of `alphas`: the hits, in the order of
/// `alphas`.
fn common_rounds<'a>(
    state: &'a SweepState,
    variant: VariantId,
    dataset: DatasetId,
    alphas: &[AlphaId],
) -> Vec<Vec<&'a Bits>> {
    let rounds = state.datasets().get(dataset.index()).map_or(0, |info| info.rounds.len());
    let hits = |round| {
        let of = |&alpha| state.cell(CellId { variant, dataset, alpha })?.hits(round);
        alphas.iter().map(of).collect::<Option<Vec<_>>>()
    };
    (0..rounds).map(RoundId).filter_map(hits).filter(|hits| !hits.is_empty()).collect()
}

/// Hits of one dataset on the images measured at every point looked at.
#[derive(Clone, Debug)]
pub(super) struct Paired {
    /// Images.
    pub images: usize,
    /// Hits at each point.
    pub correct: Vec<usize>,
    /// Distinct rows of hits, one entry per point, 1 for a hit. Rows that are
    /// all hits or all misses are left out: they move every point alike.
    pub patterns: Vec<Vec<f64>>,
    /// Of each image whose row is not left out: its row.
    pub rows: Vec<u32>,
}

impl Paired {
    /// `None` when no image was measured at all of `alphas`.
    pub fn of(
        state: &SweepState,
        variant: VariantId,
        dataset: DatasetId,
        alphas: &[AlphaId],
    ) -> Option<Self> {
        let rounds = common_rounds(state, variant, dataset, alphas);
        Self::from_hits(alphas.len(), rounds.iter().map(Vec::as_slice))
    }

    /// From groups of images: of each, the hits at every one of `points` points.
    /// An image counts where every point of its group has it.
    pub fn from_hits<'a>(
        points: usize,
        groups: impl IntoIterator<Item = &'a [&'a Bits]>,
    ) -> Option<Self> {
        let words = points.div_ceil(64).max(1);
        let mut keys: Vec<u64> = Vec::new();
        for hits in groups {
            let start = keys.len();
            let images = hits.iter().map(|bits| bits.len()).min().unwrap_or(0);
            keys.resize(start + images * words, 0);
            for (point, bits) in hits.iter().enumerate() {
                for (image, hit) in bits.iter().take(images).enumerate() {
                    keys[start + image * words + point / 64] |= u64::from(hit) << (point % 64);
                }
            }
        }
        Self::from_keys(&keys, words, points)
    }

    /// From one string of `points` bits per image, `words` words each.
    pub fn from_keys(keys: &[u64], words: usize, points: usize) -> Option<Self> {
        let mut images: Vec<&[u64]> = keys.chunks_exact(words.max(1)).collect();
        if images.is_empty() || points == 0 {
            return None;
        }
        // Sorted, so that the draws depend on the results alone.
        images.sort_unstable();
        let mut it = Self {
            images: images.len(),
            correct: vec![0; points],
            patterns: Vec::new(),
            rows: Vec::new(),
        };
        for same in images.chunk_by(|a, b| a == b) {
            let hit = |point: usize| same[0][point / 64] >> (point % 64) & 1 == 1;
            let hits = (0..points).filter(|&point| hit(point)).count();
            for point in (0..points).filter(|&point| hit(point)) {
                it.correct[point] += same.len();
            }
            if hits > 0 && hits < points {
                let row = u32::try_from(it.patterns.len()).ok()?;
                it.patterns.push((0..points).map(|p| f64::from(u8::from(hit(p)))).collect());
                it.rows.extend(std::iter::repeat_n(row, same.len()));
            }
        }
        Some(it)
    }

    /// Accuracy at each point, as fractions.
    pub fn accuracy(&self) -> Vec<f64> {
        self.correct.iter().map(|&hits| hits as f64 / self.images as f64).collect()
    }
}
