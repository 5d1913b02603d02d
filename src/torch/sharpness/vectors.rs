//! A layer's vectors as plain slices, where they lie in this machine's memory: what would take libtorch
//! several passes over them, each into fresh memory, is one pass here, on every core.

use std::slice;

use rayon::prelude::*;
use tch::{Device, Kind, Tensor};

/// Elements that one task goes through; sums do not depend on how many tasks run at once.
const PIECE: usize = 1 << 15;
/// Sums that are kept apart so that elements can be taken several at once.
const LANES: usize = 8;

/// The elements of a contiguous float32 tensor in this machine's memory; `None` of another.
///
/// Nothing may write into the tensor's storage meanwhile.
pub(super) fn values(tensor: &Tensor) -> Option<&[f32]> {
    let here = tensor.device() == Device::Cpu && tensor.kind() == Kind::Float;
    match (here && tensor.is_contiguous(), tensor.numel()) {
        (false, _) => None,
        (true, 0) => Some(&[]),
        // SAFETY: so many float32 lie there, for as long as the tensor is borrowed.
        (true, n) => Some(unsafe { slice::from_raw_parts(tensor.data_ptr().cast(), n) }),
    }
}

/// The same, to be written.
///
/// Nothing else may use the tensor's storage meanwhile.
pub(super) fn values_mut(tensor: &mut Tensor) -> Option<&mut [f32]> {
    let n = values(tensor)?.len();
    if n == 0 {
        return Some(&mut []);
    }
    // SAFETY: as in `values`; the tensor is borrowed for writing.
    Some(unsafe { slice::from_raw_parts_mut(tensor.data_ptr().cast(), n) })
}

/// Two sums over the elements of two vectors of one length, in float64.
pub(super) fn sums(a: &[f32], b: &[f32], of: impl Fn(f32, f32) -> [f32; 2] + Sync) -> [f64; 2] {
    let pieces = a.par_chunks(PIECE).zip(b.par_chunks(PIECE)).map(|(a, b)| {
        let mut lanes = [[0.0_f64; LANES]; 2];
        for (a, b) in a.chunks(LANES).zip(b.chunks(LANES)) {
            for (lane, (&a, &b)) in a.iter().zip(b).enumerate() {
                let [first, second] = of(a, b);
                lanes[0][lane] += f64::from(first);
                lanes[1][lane] += f64::from(second);
            }
        }
        lanes.map(|lanes| lanes.iter().sum::<f64>())
    });
    let pieces: Vec<[f64; 2]> = pieces.collect();
    pieces.iter().fold([0.0; 2], |sum, piece| [sum[0] + piece[0], sum[1] + piece[1]])
}

/// Replaces each element of a vector by a function of it and of another vector's.
pub(super) fn replace(a: &mut [f32], b: &[f32], with: impl Fn(f32, f32) -> f32 + Sync) {
    a.par_chunks_mut(PIECE).zip(b.par_chunks(PIECE)).for_each(|(a, b)| {
        a.iter_mut().zip(b).for_each(|(a, &b)| *a = with(*a, b));
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_over_every_element_once() {
        for n in [0, 1, LANES + 3, PIECE, 3 * PIECE + 5] {
            let a: Vec<f32> = (0..n).map(|i| (i % 7) as f32).collect();
            let b: Vec<f32> = (0..n).map(|i| (i % 5) as f32).collect();
            let expected: (usize, usize) =
                (0..n).fold((0, 0), |(s, p), i| (s + i % 7, p + (i % 7) * (i % 5)));
            let got = sums(&a, &b, |a, b| [a, a * b]);
            assert_eq!(got, [expected.0 as f64, expected.1 as f64]);
            let mut replaced = a.clone();
            replace(&mut replaced, &b, |a, b| a - b);
            assert!((0..n).all(|i| replaced[i] == a[i] - b[i]));
        }
    }

    #[test]
    fn only_plain_float32_here_is_a_slice() {
        let mut x = Tensor::from_slice(&[1.0_f32, 2.0, 3.0, 4.0]);
        assert_eq!(values(&x).unwrap(), [1.0, 2.0, 3.0, 4.0]);
        values_mut(&mut x).unwrap()[2] = 7.0;
        assert_eq!(x, Tensor::from_slice(&[1.0_f32, 2.0, 7.0, 4.0]));
        assert!(values(&x.view([2, 2]).tr()).is_none());
        assert!(values(&x.to_kind(Kind::Double)).is_none());
        let mut none = Tensor::zeros([0], (Kind::Float, Device::Cpu));
        assert!(values_mut(&mut none).unwrap().is_empty());
    }
}
