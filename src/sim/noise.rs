//! Numbers that look random and depend on nothing but their arguments.

/// In \[0, 1).
pub(super) fn uniform(seed: u64, what: &str, indices: &[usize]) -> f64 {
    let mut hash = blake3::Hasher::new();
    hash.update(&seed.to_le_bytes()).update(what.as_bytes());
    for &index in indices {
        hash.update(&(index as u64).to_le_bytes());
    }
    let mut word = [0; 8];
    word.copy_from_slice(&hash.finalize().as_bytes()[..8]);
    (u64::from_le_bytes(word) >> 11) as f64 / (1_u64 << 53) as f64
}

/// Nearly normal with mean 0 and variance 1: twelve uniform ones, added.
pub(super) fn normal(seed: u64, what: &str, indices: &[usize]) -> f64 {
    let one = |part: usize| {
        let all: Vec<usize> = indices.iter().copied().chain([part]).collect();
        uniform(seed, what, &all)
    };
    (0..12).map(one).sum::<f64>() - 6.0
}
