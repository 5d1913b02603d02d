//! Sums over images in every draw of the bootstrap, carried on image by image.

use super::super::event::Bits;
use super::weights::{LARGEST, WORDS, Weights};

/// Images whose weights add up within a byte.
const CHUNK: usize = (u8::MAX / LARGEST) as usize;

/// A sum for each draw, two in a word: of the draws whose bytes are the first and
/// the fifth of each word of weights, then the second and the sixth, and so on. In
/// which order draws come makes no difference.
type Totals = [[u64; WORDS]; 4];

/// What the images of one dataset gave at several points of a path, in every
/// draw. The sums are of whole numbers, so that they do not depend on the order
/// in which images were added.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Replicates {
    /// Images added.
    pub images: usize,
    /// Hits among them at each point.
    correct: Vec<usize>,
    /// In each draw: weight of all images.
    all: Totals,
    /// At each point: weight of the hits.
    hits: Vec<Totals>,
}

impl Replicates {
    /// No image yet, at so many points.
    pub fn new(points: usize) -> Self {
        Self {
            images: 0,
            correct: vec![0; points],
            all: [[0; WORDS]; 4],
            hits: vec![[[0; WORDS]; 4]; points],
        }
    }

    /// Adds the images from `start` on, whose hits at each point are `hits` (of
    /// equal length).
    pub fn add(&mut self, weights: &mut Weights, start: usize, hits: &[&Bits]) {
        let images = hits.iter().map(|bits| bits.len()).min().unwrap_or(0);
        let mut rows = vec![[0; WORDS]; CHUNK.min(images)];
        for first in (0..images).step_by(CHUNK) {
            let count = CHUNK.min(images - first);
            let rows = &mut rows[..count];
            for (image, row) in rows.iter_mut().enumerate() {
                weights.of(start + first + image, row);
            }
            self.chunk(first, rows, hits);
        }
        self.images += images;
    }

    /// The images of `rows`, the first of which is bit `first` of `hits`.
    fn chunk(&mut self, first: usize, rows: &[[u64; WORDS]], hits: &[&Bits]) {
        // Eight draws a word: as each sum stays within its byte, none reaches the next.
        let mut sum = [0_u64; WORDS];
        rows.iter().for_each(|row| add(&mut sum, row));
        carry(&mut self.all, &sum);
        // From point to point only the images that change are added or taken off:
        // neighbours on a path agree on most.
        sum.fill(0);
        let mut counted = [false; CHUNK];
        let of_points = self.hits.iter_mut().zip(&mut self.correct).zip(hits);
        for ((total, correct), bits) in of_points {
            for (image, row) in rows.iter().enumerate() {
                let hit = bits.get(first + image) == Some(true);
                match (counted[image], hit) {
                    (false, true) => add(&mut sum, row),
                    (true, false) => take_off(&mut sum, row),
                    _ => {}
                }
                counted[image] = hit;
                *correct += usize::from(hit);
            }
            carry(total, &sum);
        }
    }

    /// The same without the points that are not `kept`.
    pub fn only(&self, kept: &[bool]) -> Self {
        let points = || kept.iter().enumerate().filter(|(_, kept)| **kept).map(|(point, _)| point);
        Self {
            images: self.images,
            correct: points().map(|point| self.correct[point]).collect(),
            all: self.all,
            hits: points().map(|point| self.hits[point]).collect(),
        }
    }

    /// Accuracy at each point, as fractions.
    pub fn accuracy(&self) -> Vec<f64> {
        self.correct.iter().map(|&hits| hits as f64 / self.images as f64).collect()
    }

    /// `[point][draw]`: accuracy in each draw, as fractions. NaN in a draw that
    /// has no image.
    pub fn draws(&self) -> Vec<Vec<f64>> {
        let all = sums(&self.all);
        let point = |hits: &Totals| {
            let mut hits = sums(hits);
            let mut i = 0;
            while i < hits.len() {
                hits[i] /= all[i];
                i += 1;
            }
            hits
        };
        self.hits.iter().map(point).collect()
    }
}

// Counted loops: they are as fast as they can be where the compiler optimises, and
// many times faster than iterators where it does not, as in the tests.

fn add(sum: &mut [u64; WORDS], row: &[u64; WORDS]) {
    let mut i = 0;
    while i < WORDS {
        sum[i] += row[i];
        i += 1;
    }
}

fn take_off(sum: &mut [u64; WORDS], row: &[u64; WORDS]) {
    let mut i = 0;
    while i < WORDS {
        sum[i] -= row[i];
        i += 1;
    }
}

/// Adds the bytes of `sum`, draw by draw.
fn carry(totals: &mut Totals, sum: &[u64; WORDS]) {
    const TWO: u64 = 0x0000_00ff_0000_00ff;
    for (byte, total) in totals.iter_mut().enumerate() {
        let mut i = 0;
        while i < WORDS {
            total[i] += (sum[i] >> (8 * byte)) & TWO;
            i += 1;
        }
    }
}

/// Each draw's sum.
fn sums(totals: &Totals) -> Vec<f64> {
    let mut sums = vec![0.0; 8 * WORDS];
    for (total, sums) in totals.iter().zip(sums.chunks_exact_mut(2 * WORDS)) {
        let mut i = 0;
        while i < WORDS {
            sums[2 * i] = f64::from(total[i] as u32);
            sums[2 * i + 1] = f64::from((total[i] >> 32) as u32);
            i += 1;
        }
    }
    sums
}

/// Leaves out the draws that are not finite at every point: with few images, some
/// have none.
pub(super) fn whole(mut draws: Vec<Vec<f64>>) -> Vec<Vec<f64>> {
    let count = draws.iter().map(Vec::len).min().unwrap_or(0);
    let kept: Vec<bool> =
        (0..count).map(|draw| draws.iter().all(|point| point[draw].is_finite())).collect();
    if kept.contains(&false) {
        for point in &mut draws {
            let mut kept = kept.iter();
            point.retain(|_| kept.next() == Some(&true));
        }
    }
    draws
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::weights::DRAWS;
    use super::*;

    fn bits(of: impl IntoIterator<Item = bool>) -> Bits {
        of.into_iter().collect()
    }

    /// Image by image, without any of the shortcuts.
    fn plain(seed: u64, start: usize, hits: &[Vec<bool>]) -> Replicates {
        let mut it = Replicates::new(hits.len());
        let mut weights = Weights::new(seed, 1);
        let mut row = [0; WORDS];
        let place = |totals: &mut Totals, draw: usize, weight: u8| {
            let byte = draw % 8;
            totals[byte % 4][draw / 8] += u64::from(weight) << (32 * (byte / 4));
        };
        for image in 0..hits[0].len() {
            weights.of(start + image, &mut row);
            for (draw, weight) in row.iter().flat_map(|it| it.to_le_bytes()).enumerate() {
                place(&mut it.all, draw, weight);
                for (totals, hits) in it.hits.iter_mut().zip(hits) {
                    place(totals, draw, weight * u8::from(hits[image]));
                }
            }
            it.images += 1;
            hits.iter().enumerate().for_each(|(i, hits)| it.correct[i] += usize::from(hits[image]));
        }
        it
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(12))]

        #[test]
        fn sums_are_those_of_image_by_image_in_any_order(
            hits in (1_usize..6, 1_usize..120).prop_flat_map(|(points, images)| {
                proptest::collection::vec(proptest::collection::vec(any::<bool>(), images), points)
            }),
            cut in 0.0_f64..1.0,
            seed in any::<u64>(),
            later in any::<bool>(),
        ) {
            let images = hits[0].len();
            let cut = (cut * images as f64) as usize;
            let expected = plain(seed, 10, &hits);
            let mut weights = Weights::new(seed, 1);
            let mut it = Replicates::new(hits.len());
            let mut parts = [0..cut, cut..images];
            if later {
                parts.reverse();
            }
            for part in parts {
                let cut: Vec<Bits> =
                    hits.iter().map(|hits| bits(hits[part.clone()].iter().copied())).collect();
                it.add(&mut weights, 10 + part.start, &cut.iter().collect::<Vec<_>>());
            }
            prop_assert!(it == expected);
            // Without one of the points: as if it had never been there.
            let mut fewer = hits;
            fewer.remove(0);
            if !fewer.is_empty() {
                let kept: Vec<bool> = (0..=fewer.len()).map(|point| point > 0).collect();
                prop_assert!(expected.only(&kept) == plain(seed, 10, &fewer));
            }
        }
    }

    /// Every weight that three images can have, against the drawn frequencies.
    #[test]
    fn draws_follow_the_exhaustive_law() {
        // Images: only the middle right, only the first point right, right everywhere.
        let points = [[false, true, true], [true, false, true], [false, false, true]];
        let law = [94.0, 95.0, 46.0, 16.0, 4.0, 1.0].map(|count| count / 256.0);
        let gain = |hits: [f64; 3], all: f64| {
            let gain = (hits[1] - hits[0].max(hits[2])) / all;
            (gain * 1e6).round() as i64
        };
        let mut exact = std::collections::BTreeMap::<i64, f64>::new();
        let mut empty = 0.0;
        for which in 0..6 * 6 * 6 {
            let weights = [which % 6, which / 6 % 6, which / 36];
            let p: f64 = weights.iter().map(|&w| law[w]).product();
            let hits = points.map(|right| {
                std::iter::zip(right, weights).map(|(hit, w)| f64::from(hit) * w as f64).sum()
            });
            match weights.iter().sum::<usize>() {
                0 => empty += p,
                all => *exact.entry(gain(hits, all as f64)).or_default() += p,
            }
        }
        let streams = 20;
        let (mut seen, mut drawn) = (std::collections::BTreeMap::<i64, f64>::new(), 0.0);
        for stream in 0..streams {
            let mut it = Replicates::new(3);
            let hits = points.map(bits);
            it.add(&mut Weights::new(3, stream), 0, &hits.iter().collect::<Vec<_>>());
            assert_eq!(it.accuracy(), [2.0 / 3.0, 2.0 / 3.0, 1.0 / 3.0]);
            let draws = whole(it.draws());
            let [a, b, c] = [0, 1, 2].map(|point| draws[point].iter());
            for hits in a.zip(b).zip(c).map(|((&a, &b), &c)| [a, b, c]) {
                *seen.entry(gain(hits, 1.0)).or_default() += 1.0;
                drawn += 1.0;
            }
        }
        let total = (streams as usize * DRAWS) as f64;
        let tolerance = |p: f64, n: f64| 5.0 * (p * (1.0 - p) / n).sqrt() + 1.0 / n;
        assert!((1.0 - drawn / total - empty).abs() < tolerance(empty, total), "{drawn}");
        assert!(seen.keys().all(|gain| exact.contains_key(gain)));
        for (value, p) in exact {
            let p = p / (1.0 - empty);
            let share = seen.get(&value).copied().unwrap_or(0.0) / drawn;
            assert!((share - p).abs() < tolerance(p, drawn), "{value}: {share} for {p}");
        }
    }
}
