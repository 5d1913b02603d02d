//! Which positions of one tensor become zero.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// A set of positions of a tensor, one bit each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mask {
    words: Vec<u64>,
    len: usize,
}

impl Mask {
    /// No position of `len`.
    #[must_use]
    pub fn none(len: usize) -> Self {
        Self { words: vec![0; len.div_ceil(64)], len }
    }

    /// How many positions there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// True for a tensor without numbers.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Adds a position.
    fn set(&mut self, i: usize) {
        self.words[i / 64] |= 1 << (i % 64);
    }

    /// True for a position of the set; false beyond the end.
    #[must_use]
    pub fn get(&self, i: usize) -> bool {
        self.words.get(i / 64).is_some_and(|word| word >> (i % 64) & 1 == 1)
    }

    /// How many positions are in the set.
    #[must_use]
    pub fn count(&self) -> usize {
        self.words.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// Adds all of another set.
    pub fn add(&mut self, other: &Self) {
        self.words.iter_mut().zip(&other.words).for_each(|(a, b)| *a |= b);
    }

    /// One byte a position: 1 in the set, else 0.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        (0..self.len).map(|i| u8::from(self.get(i))).collect()
    }

    /// Bytes it takes in memory.
    #[must_use]
    pub fn size(&self) -> usize {
        8 * self.words.len()
    }
}

/// How many of `n` an amount is: ⌊s·n + ½⌋, at most `n`.
#[must_use]
pub fn count(amount: f64, n: usize) -> usize {
    ((amount * n as f64).round() as usize).min(n)
}

/// The `k` smallest keys; of equal keys the earlier positions.
fn smallest(keys: &[u32], k: usize) -> Mask {
    let mut mask = Mask::none(keys.len());
    let Some(last) = k.min(keys.len()).checked_sub(1) else { return mask };
    let mut order = keys.to_vec();
    let threshold = *order.select_nth_unstable(last).1;
    let mut ties = last + 1 - order[..=last].iter().filter(|&&key| key < threshold).count();
    for (i, &key) in keys.iter().enumerate() {
        let tie = key == threshold && ties > 0;
        ties -= usize::from(tie);
        if tie || key < threshold {
            mask.set(i);
        }
    }
    mask
}

/// Orders floats by magnitude: bits without the sign grow with |x| (−0 and 0 are equal, NaN is
/// largest).
fn key(x: f32) -> u32 {
    x.to_bits() & 0x7fff_ffff
}

/// The k smallest |x|.
#[must_use]
pub fn magnitude(values: &[f32], amount: f64) -> Mask {
    let keys: Vec<u32> = values.iter().map(|&x| key(x)).collect();
    smallest(&keys, count(amount, values.len()))
}

/// The k smallest |θ₁ − θ₀|, of the difference in float32.
#[must_use]
pub fn differences(zero: &[f32], one: &[f32], amount: f64) -> Mask {
    let keys: Vec<u32> = zero.iter().zip(one).map(|(a, b)| key(b - a)).collect();
    smallest(&keys, count(amount, keys.len()))
}

/// k of `n` positions, each set of k as likely as any other; seeded by `seed` and the tensor's
/// `name`. Those of a smaller amount are among those of a larger.
#[must_use]
pub fn random(n: usize, amount: f64, seed: u64, name: &str) -> Mask {
    let mut hash = blake3::Hasher::new_derive_key("alphascope 2025 dare: which differences drop");
    hash.update(&seed.to_le_bytes()).update(name.as_bytes());
    let mut random = ChaCha8Rng::from_seed(*hash.finalize().as_bytes());
    let keys: Vec<u32> = (0..n).map(|_| random.random()).collect();
    smallest(&keys, count(amount, n))
}

/// How the inputs of each output lie in a row-major tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lines {
    /// Outputs.
    pub lines: usize,
    /// Inputs of each.
    pub length: usize,
    /// Positions from one output's first input to the next one's.
    pub line_step: usize,
    /// Positions from one input to the next.
    pub step: usize,
}

impl Lines {
    /// Of a map \[out, in…\]: each output's inputs are consecutive. A vector is one line.
    #[must_use]
    pub fn rows(shape: &[usize]) -> Self {
        let (lines, length) = match shape {
            [] => (1, 1),
            &[length] => (1, length),
            [lines, rest @ ..] => (*lines, rest.iter().product()),
        };
        Self { lines, length, line_step: length, step: 1 }
    }

    /// Of a map \[in, out\].
    #[must_use]
    pub fn columns([inputs, outputs]: [usize; 2]) -> Self {
        Self { lines: outputs, length: inputs, line_step: 1, step: outputs }
    }
}

/// All but the `n` largest |x| of every `m` consecutive inputs; a shorter last group keeps up to
/// `n`.
#[must_use]
pub fn n_of_m(values: &[f32], n: usize, m: usize, lines: Lines) -> Mask {
    let mut mask = Mask::none(values.len());
    let mut group: Vec<(u32, usize)> = Vec::with_capacity(m.min(lines.length));
    for line in 0..lines.lines {
        for start in (0..lines.length).step_by(m.max(1)) {
            let end = lines.length.min(start.saturating_add(m));
            let at = |input| line * lines.line_step + input * lines.step;
            group.clear();
            group.extend((start..end).map(at).map(|i| (key(values[i]), i)));
            group.sort_unstable();
            let zeros = group.len().saturating_sub(n);
            group[..zeros].iter().for_each(|&(_, i)| mask.set(i));
        }
    }
    mask
}
