//! Weights of the bootstrap: how often each image counts in each draw.
//!
//! A draw of the plain bootstrap takes n images of n with replacement, so it
//! cannot be made before n is known, nor be carried on when images come. Here
//! every image has a weight of its own in every draw instead, independent of all
//! others and nearly Poisson of mean 1: the Poisson bootstrap (Hanley & MacGibbon
//! 2006; Chamandy et al. 2012, "Estimating uncertainty for massive data
//! streams"). A sum over images is then carried on by the images that are new.
//! Its draws differ from the plain one's by their number of images alone, which
//! a mean divides out: its standard error is larger by a factor of about
//! 1 + 1/2n.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Draws of the bootstrap.
pub(super) const DRAWS: usize = 2000;

/// Words that hold a byte for each draw.
pub(super) const WORDS: usize = DRAWS / 8;

/// The largest weight.
pub(super) const LARGEST: u8 = 5;

/// A byte below the first is weight 0, below the second 1, and so on: of 256, so
/// many as Poisson's law has (94.2, 94.2, 47.1, 15.7, 3.9, 0.8), rounded so that
/// mean and variance are 1 exactly and the third central moment is 0.98 (of 1).
/// No other moment matters to an interval (Præstgaard & Wellner 1993).
const LIMITS: [u8; LARGEST as usize] = [94, 189, 235, 251, 255];

/// Words of random bits between an image and the next: more than a weight's byte
/// for each draw, and whole blocks of the generator.
const STRIDE: u128 = 512;

/// The weights of one dataset's images. What an image weighs follows from the
/// seed, the dataset's stream and the image's place in the order, not from
/// what was asked before.
pub(super) struct Weights(ChaCha8Rng);

impl Weights {
    /// Those of a run's seed, and of one of its datasets.
    pub fn new(seed: u64, stream: u64) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        random.set_stream(stream);
        Self(random)
    }

    /// Of the image at `position` in the seeded order: its weight in each draw, a
    /// byte each, the first in the lowest byte of the first of the [`WORDS`].
    pub fn of(&mut self, position: usize, draws: &mut [u64; WORDS]) {
        #[cfg(test)]
        WEIGHED.set(WEIGHED.get() + 1);
        self.0.set_word_pos(position as u128 * STRIDE);
        for draws in draws {
            *draws = eight(self.0.next_u64());
        }
    }
}

#[cfg(test)]
thread_local! {
    /// Images that this thread asked the weights of.
    pub static WEIGHED: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// The weights that eight random bytes stand for.
fn eight(bytes: u64) -> u64 {
    const HIGH: u64 = 0x8080_8080_8080_8080;
    const ONES: u64 = 0x0101_0101_0101_0101;
    // The highest bit of each byte of `rest`: its other bits are at least the
    // limit's. The one that is set keeps each difference within its byte.
    let rest = |limit: u8| (bytes | HIGH) - u64::from(limit & 0x7f) * ONES;
    let below_half = ((bytes | rest(LIMITS[0])) & HIGH) >> 7;
    let over = |limit: u8| (bytes & rest(limit) & HIGH) >> 7;
    below_half + over(LIMITS[1]) + over(LIMITS[2]) + over(LIMITS[3]) + over(LIMITS[4])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weight(byte: u8) -> u8 {
        LIMITS.iter().filter(|&&limit| byte >= limit).count() as u8
    }

    #[test]
    fn eight_at_once_are_each_its_own() {
        for byte in 0..=255_u8 {
            let bytes = [byte, 0, 255, byte.wrapping_mul(37), 93, 94, !byte, byte ^ 0x80];
            let weights = eight(u64::from_le_bytes(bytes)).to_le_bytes();
            assert_eq!(weights, bytes.map(weight), "{bytes:?}");
        }
    }

    #[test]
    fn the_law_is_poisson_s_with_mean_and_variance_1() {
        let weights: Vec<u32> = (0..=255).map(|byte| u32::from(weight(byte))).collect();
        let moment = |power: u32| weights.iter().map(|w| w.pow(power)).sum::<u32>();
        assert_eq!(
            (moment(1), moment(2), moment(3)),
            (256, 2 * 256, 1276),
            "Poisson's third: 1280"
        );
        let mut expected = 256.0 * (-1.0_f64).exp();
        for k in 0..=u32::from(LARGEST) {
            let count = weights.iter().filter(|&&w| w == k).count() as f64;
            assert!((count - expected).abs() < 1.2, "{k}: {count} of 256 for {expected:.1}");
            expected /= f64::from(k + 1);
        }
        assert_eq!(weights.iter().max(), Some(&u32::from(LARGEST)));
    }

    #[test]
    fn a_weight_follows_from_the_place_alone() {
        let row = |weights: &mut Weights, position| {
            let mut row = [0; WORDS];
            weights.of(position, &mut row);
            row.into_iter().flat_map(u64::to_le_bytes).collect::<Vec<u8>>()
        };
        let mut one = Weights::new(7, 2);
        let rows: Vec<_> = (0..40).map(|position| row(&mut one, position)).collect();
        let mut other = Weights::new(7, 2);
        for position in (0..40).rev() {
            assert!(row(&mut other, position) == rows[position], "{position}");
        }
        assert!(rows.windows(2).all(|pair| pair[0] != pair[1]));
        assert!(row(&mut Weights::new(7, 3), 0) != rows[0], "another dataset");
        assert!(row(&mut Weights::new(8, 2), 0) != rows[0], "another seed");
        // Of 80 000 weights, the mean (standard error 0.0035) and the variance.
        let all: Vec<f64> = rows.iter().flatten().map(|&w| f64::from(w)).collect();
        let mean = all.iter().sum::<f64>() / all.len() as f64;
        let variance = all.iter().map(|w| (w - mean).powi(2)).sum::<f64>() / all.len() as f64;
        assert!((mean - 1.0).abs() < 0.015 && (variance - 1.0).abs() < 0.03, "{mean} {variance}");
    }

    #[test]
    fn an_image_s_bytes_end_before_the_next_one_s() {
        assert!(DRAWS as u128 <= 4 * STRIDE && WORDS * 8 == DRAWS);
    }
}
