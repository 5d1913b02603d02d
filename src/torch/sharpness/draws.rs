//! Random numbers that depend on what they are for alone: element i of tensor t in draw k of layer
//! ℓ is a function of (run seed, ℓ, k, t, i). Order, threads, devices, shards and resumption do not
//! matter. Each batch has draws of its own, and every α the same (common random numbers).
//!
//! The counter-based generator is ChaCha8, keyed by BLAKE3 of the tuple, with the element as its
//! counter. Normals are made of pairs of 32-bit words, without the system's mathematics.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use super::normal::{BLOCK, Normals, Words, normals};

/// What a draw's elements follow, independently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Law {
    /// N(0, 1).
    Normal,
    /// U(−1, 1), symmetric about 0.
    Uniform,
    /// −1 or 1 with equal chance.
    Sign,
}

/// Whose draw it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Draw<'a> {
    /// Of the run.
    pub seed: u64,
    /// Layer, or `overall`.
    pub layer: &'a str,
    /// Number of the draw.
    pub k: u64,
}

/// Elements that one task makes; whole blocks, so that pairs stay together.
const PIECE: usize = 1 << 15;

impl Draw<'_> {
    /// The first elements of a tensor's part of the draw, in row-major order.
    #[must_use]
    pub fn values(self, law: Law, tensor: &str, n: usize) -> Vec<f32> {
        let mut values = vec![0.0_f32; n];
        self.fill(law, tensor, &mut values);
        values
    }

    /// The same into a buffer.
    pub fn fill(self, law: Law, tensor: &str, values: &mut [f32]) {
        let key = self.key(law, tensor);
        values.par_chunks_mut(PIECE).enumerate().for_each(|(piece, values)| {
            let mut random = ChaCha8Rng::from_seed(key);
            random.set_word_pos((piece * PIECE) as u128);
            match law {
                Law::Normal => fill_normal(&mut random, values),
                Law::Uniform => values.fill_with(|| uniform(random.next_u32())),
                Law::Sign => values.fill_with(|| sign(random.next_u32())),
            }
        });
    }

    fn key(self, law: Law, tensor: &str) -> [u8; 32] {
        let mut hash = blake3::Hasher::new_derive_key("alphascope 2026 perturbation draws");
        hash.update(&self.seed.to_le_bytes()).update(&self.k.to_le_bytes());
        hash.update(&[law as u8]);
        for text in [self.layer, tensor] {
            hash.update(&(text.len() as u64).to_le_bytes()).update(text.as_bytes());
        }
        *hash.finalize().as_bytes()
    }
}

fn fill_normal(random: &mut ChaCha8Rng, values: &mut [f32]) {
    let make = vectorized();
    for values in values.chunks_mut(2 * BLOCK) {
        let mut words: Words = [[0; BLOCK]; 2];
        let [firsts, seconds] = &mut words;
        for (first, second) in firsts.iter_mut().zip(seconds) {
            *first = random.next_u32();
            *second = random.next_u32();
        }
        let pairs = make(&words);
        for (pair, values) in pairs.iter().zip(values.chunks_mut(2)) {
            values.copy_from_slice(&pair[..values.len()]);
        }
    }
}

/// [`normals`] for the widest vectors here. None fuses a product with a sum, so that all give the
/// same bits.
fn vectorized() -> fn(&Words) -> Normals {
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx512f,avx512dq,avx512vl")]
        fn by_eight(words: &Words) -> Normals {
            normals(words)
        }
        #[target_feature(enable = "avx2")]
        fn by_four(words: &Words) -> Normals {
            normals(words)
        }
        let wide = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl");
        if wide {
            // SAFETY: the processor was asked for these features.
            return |words| unsafe { by_eight(words) };
        }
        if is_x86_feature_detected!("avx2") {
            // SAFETY: the processor was asked for this feature.
            return |words| unsafe { by_four(words) };
        }
    }
    normals
}

/// The middles of 2³² equal parts of (−1, 1).
fn uniform(a: u32) -> f32 {
    ((f64::from(a) + 0.5) / 2_147_483_648.0 - 1.0) as f32
}

fn sign(a: u32) -> f32 {
    if a < 1 << 31 { -1.0 } else { 1.0 }
}

#[cfg(test)]
mod tests {
    use std::array;

    use super::*;

    const DRAW: Draw<'_> = Draw { seed: 7, layer: "block.3", k: 2 };

    #[test]
    fn an_element_does_not_depend_on_how_many_are_asked_for() {
        for law in [Law::Normal, Law::Uniform, Law::Sign] {
            let all = DRAW.values(law, "w", 3 * PIECE + 5);
            for n in [1, 2, 7, PIECE - 1, PIECE, PIECE + 1, 2 * PIECE + 3] {
                assert_eq!(DRAW.values(law, "w", n), all[..n]);
            }
        }
    }

    #[test]
    fn every_part_of_the_name_matters() {
        let one = DRAW.values(Law::Normal, "w", 8);
        let others = [
            Draw { seed: 8, ..DRAW }.values(Law::Normal, "w", 8),
            Draw { layer: "block.30", ..DRAW }.values(Law::Normal, "w", 8),
            Draw { k: 3, ..DRAW }.values(Law::Normal, "w", 8),
            DRAW.values(Law::Normal, "v", 8),
            // Where one name ends and the next begins matters.
            Draw { layer: "block.3w", ..DRAW }.values(Law::Normal, "", 8),
        ];
        assert!(others.iter().all(|other| *other != one));
        assert_eq!(one, DRAW.values(Law::Normal, "w", 8));
    }

    /// Moments up to the fourth, and tails, within five standard errors.
    #[test]
    fn the_laws_are_what_they_are_called() {
        let n = 400_000;
        let moments = |law| {
            let x = DRAW.values(law, "w", n);
            let mean = |p: i32| x.iter().map(|&x| f64::from(x).powi(p)).sum::<f64>() / n as f64;
            ([mean(1), mean(2), mean(3), mean(4)], x)
        };
        let error = 5.0 / (n as f64).sqrt();
        let ([m1, m2, m3, m4], x) = moments(Law::Normal);
        assert!(m1.abs() < error && (m2 - 1.0).abs() < error * 2.0_f64.sqrt());
        assert!(m3.abs() < error * 15.0_f64.sqrt() && (m4 - 3.0).abs() < error * 96.0_f64.sqrt());
        let beyond = x.iter().filter(|x| x.abs() > 1.959_964).count() as f64 / n as f64;
        assert!((beyond - 0.05).abs() < error * 0.22);
        let neighbours: f64 = x.chunks_exact(2).map(|p| f64::from(p[0] * p[1])).sum();
        assert!(neighbours.abs() < 5.0 * (n as f64 / 2.0).sqrt());
        let ([m1, m2, m3, m4], x) = moments(Law::Uniform);
        assert!(m1.abs() < error && (m2 - 1.0 / 3.0).abs() < error);
        assert!(m3.abs() < error && (m4 - 0.2).abs() < error);
        assert!(x.iter().all(|x| x.abs() <= 1.0));
        let ([m1, ..], x) = moments(Law::Sign);
        assert!(m1.abs() < error && x.iter().all(|x| x.abs() == 1.0));
    }

    /// Fixed for good: a resumed run must draw what it drew before.
    #[test]
    fn the_first_words_are_chacha8s() {
        let key = DRAW.key(Law::Uniform, "w");
        let mut random = ChaCha8Rng::from_seed(key);
        let expected: Vec<f32> = (0..5).map(|_| uniform(random.next_u32())).collect();
        assert_eq!(DRAW.values(Law::Uniform, "w", 5), expected);
        assert_eq!(uniform(0), -uniform(u32::MAX));
        let words =
            [array::from_fn(|i| if i == 0 { 0 } else { u32::MAX }), array::from_fn(|i| i as u32)];
        let pairs = normals(&words);
        assert!(pairs[0][0] < 6.67 && pairs[0][1] == 0.0 && pairs[1] == [0.0, 0.0]);
    }

    /// What a run drew before is drawn again, on this system and any other.
    #[test]
    fn normal_numbers_stay_what_they_are_however_wide_the_vectors() {
        let first = DRAW.values(Law::Normal, "w", 4);
        assert_eq!(first.iter().map(|x| x.to_bits()).collect::<Vec<_>>(), FIRST);
        let mut random = ChaCha8Rng::from_seed(DRAW.key(Law::Normal, "w"));
        for values in DRAW.values(Law::Normal, "w", 100 * BLOCK).chunks_exact(2 * BLOCK) {
            let mut words: Words = [[0; BLOCK]; 2];
            (0..2 * BLOCK).for_each(|i| words[i % 2][i / 2] = random.next_u32());
            assert_eq!(normals(&words).as_flattened(), values);
        }
    }

    const FIRST: [u32; 4] = [0xbf1c_5b8d, 0x3f6a_b1f7, 0x3f2f_f3c1, 0x3eb3_9977];
}
