//! Position embeddings for another grid of patches, resized as open_clip does.

/// Resizes an embedding of 1 + `from`² positions of `width` numbers to
/// 1 + `to`² positions. The class token's row stays; the others are an image of
/// `from`×`from` pixels, resized by the antialiased bicubic filter (a = −0.5,
/// pixel centres at halves), as `torch.nn.functional.interpolate` does with
/// `mode="bicubic", antialias=True`. Sums are taken in float64.
///
/// `None` when `values` is of another length.
#[must_use]
pub fn resize(values: &[f32], width: usize, from: usize, to: usize) -> Option<Vec<f32>> {
    if values.len() != from.checked_mul(from)?.checked_add(1)?.checked_mul(width)? {
        return None;
    }
    let (class, grid) = values.split_at_checked(width)?;
    let taps = taps(from, to);
    // Columns first, then rows, as libtorch does.
    let mut across = vec![0.0_f64; from * to * width];
    for row in 0..from {
        for (column, (first, weights)) in taps.iter().enumerate() {
            let out = &mut across[(row * to + column) * width..][..width];
            for (i, weight) in weights.iter().enumerate() {
                let at = (row * from + first + i) * width;
                for (sum, x) in out.iter_mut().zip(&grid[at..at + width]) {
                    *sum += weight * f64::from(*x);
                }
            }
        }
    }
    let mut resized = class.to_vec();
    for (first, weights) in &taps {
        for column in 0..to {
            for channel in 0..width {
                let sum: f64 = weights
                    .iter()
                    .enumerate()
                    .map(|(i, w)| w * across[((first + i) * to + column) * width + channel])
                    .sum();
                resized.push(sum as f32);
            }
        }
    }
    Some(resized)
}

/// For each output position: the first input position that counts, and the
/// weights from there on, which sum to 1.
fn taps(from: usize, to: usize) -> Vec<(usize, Vec<f64>)> {
    let scale = from as f64 / to as f64;
    let stretch = scale.max(1.0);
    let support = 2.0 * stretch;
    (0..to)
        .map(|i| {
            let centre = scale * (i as f64 + 0.5);
            let first = (centre - support + 0.5).max(0.0) as usize;
            let last = ((centre + support + 0.5) as usize).min(from);
            let weights: Vec<f64> =
                (first..last).map(|j| cubic((j as f64 - centre + 0.5) / stretch)).collect();
            let total: f64 = weights.iter().sum();
            (first, weights.into_iter().map(|weight| weight / total).collect())
        })
        .collect()
}

/// Keys' cubic convolution with a = −0.5.
fn cubic(x: f64) -> f64 {
    const A: f64 = -0.5;
    let x = x.abs();
    if x < 1.0 {
        ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        ((x - 5.0) * x + 8.0) * x * A - 4.0 * A
    } else {
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// open_clip's own results (`tests/fixtures/make/containers.py`).
    #[test]
    fn grids_are_resized_as_open_clip_does() {
        let path = "tests/fixtures/containers/positions.safetensors";
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
        let bytes = std::fs::read(path).unwrap();
        let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        let read = |name: &str| -> Vec<f32> {
            let data = file.tensor(name).unwrap().data().to_vec();
            data.as_chunks::<4>().0.iter().map(|x| f32::from_le_bytes(*x)).collect()
        };
        for (from, to) in [(3, 5), (5, 3), (7, 7), (7, 16), (16, 7), (14, 24), (1, 2), (2, 1)] {
            let got = resize(&read(&format!("{from}")), 2, from, to).unwrap();
            let expected = read(&format!("{from}-{to}"));
            assert_eq!(got.len(), expected.len());
            for (a, b) in got.iter().zip(&expected) {
                assert!((a - b).abs() < 1e-5, "{from} to {to}: {a} {b}");
            }
        }
        assert_eq!(resize(&[0.0; 9], 2, 2, 3), None);
    }
}
