//! One tensor of a file: a view of its bytes, and its values as numbers.

use std::borrow::Cow;

use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};

/// Element types that weights may have. Everything else in a checkpoint is a
/// buffer or a mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Dtype {
    /// IEEE half.
    F16,
    /// bfloat16.
    Bf16,
    /// IEEE single.
    F32,
    /// IEEE double.
    F64,
}

impl Dtype {
    /// Bytes of one element.
    #[must_use]
    pub fn size(self) -> usize {
        match self {
            Self::F16 | Self::Bf16 => 2,
            Self::F32 => 4,
            Self::F64 => 8,
        }
    }

    /// `fp16`, `bf16`, `fp32`, `fp64`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::F16 => "fp16",
            Self::Bf16 => "bf16",
            Self::F32 => "fp32",
            Self::F64 => "fp64",
        }
    }
}

/// How many elements are converted at a time where the file's bytes are not
/// aligned.
const CHUNK: usize = 2048;

/// Bytes that are looked at before they may leave memory again: whole elements of every type.
const STRETCH: usize = 1 << 21;

/// True when every number is finite as float32. Looks at exponents alone, without a branch.
fn finite(dtype: Dtype, bytes: &[u8]) -> bool {
    fn none<const N: usize>(bytes: &[u8], wrong: impl Fn([u8; N]) -> bool) -> bool {
        !bytes.as_chunks::<N>().0.iter().fold(false, |any, &it| any | wrong(it))
    }
    match dtype {
        Dtype::F16 => none(bytes, |it| u16::from_le_bytes(it) & 0x7c00 == 0x7c00),
        Dtype::Bf16 => none(bytes, |it| u16::from_le_bytes(it) & 0x7f80 == 0x7f80),
        Dtype::F32 => none(bytes, |it| u32::from_le_bytes(it) & 0x7f80_0000 == 0x7f80_0000),
        Dtype::F64 => none(bytes, |it| !(f64::from_le_bytes(it) as f32).is_finite()),
    }
}

/// A tensor in canonical packing: row-major, little-endian.
#[derive(Clone, Debug, PartialEq)]
pub struct TensorView<'a> {
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Cow<'a, [u8]>,
}

impl<'a> TensorView<'a> {
    /// Wraps bytes; `None` when their length is not that of the shape.
    #[must_use]
    pub fn new(dtype: Dtype, shape: Vec<usize>, bytes: Cow<'a, [u8]>) -> Option<Self> {
        let elements = shape.iter().try_fold(1_usize, |n, &d| n.checked_mul(d))?;
        (elements.checked_mul(dtype.size())? == bytes.len()).then_some(Self { dtype, shape, bytes })
    }

    /// Values of one's own; `None` when their number is not that of the shape.
    #[must_use]
    pub fn from_f32(shape: Vec<usize>, values: &[f32]) -> Option<TensorView<'static>> {
        let bytes: Vec<u8> = values.iter().flat_map(|x| x.to_le_bytes()).collect();
        TensorView::new(Dtype::F32, shape, Cow::Owned(bytes))
    }

    /// The same numbers in another shape; `None` when it has another size.
    pub(super) fn reshaped(self, shape: Vec<usize>) -> Option<Self> {
        Self::new(self.dtype, shape, self.bytes)
    }

    /// Element type in the file.
    #[must_use]
    pub fn dtype(&self) -> Dtype {
        self.dtype
    }

    /// Dimensions, outermost first; empty for a scalar.
    #[must_use]
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Raw little-endian bytes, row-major. Not aligned.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Number of elements.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.len() / self.dtype.size()
    }

    /// True for a tensor with a dimension of 0.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// All values as float32 (fp64 is rounded to nearest).
    #[must_use]
    pub fn to_f32(&self) -> Vec<f32> {
        let mut values = vec![0.0; self.len()];
        self.copy_f32(&mut values);
        values
    }

    /// Writes all values as float32 into `out`, as many as fit.
    pub fn copy_f32(&self, out: &mut [f32]) {
        let bytes = &self.bytes;
        match self.dtype {
            Dtype::F32 => {
                for (to, from) in out.iter_mut().zip(bytes.as_chunks::<4>().0) {
                    *to = f32::from_le_bytes(*from);
                }
            }
            Dtype::F64 => {
                for (to, from) in out.iter_mut().zip(bytes.as_chunks::<8>().0) {
                    *to = f64::from_le_bytes(*from) as f32;
                }
            }
            Dtype::F16 => {
                let mut buffer = [f16::ZERO; CHUNK];
                for (to, from) in out.chunks_mut(CHUNK).zip(bytes.chunks(2 * CHUNK)) {
                    for (half, two) in buffer.iter_mut().zip(from.as_chunks::<2>().0) {
                        *half = f16::from_le_bytes(*two);
                    }
                    let n = to.len().min(from.len() / 2);
                    buffer[..n].convert_to_f32_slice(&mut to[..n]);
                }
            }
            Dtype::Bf16 => {
                for (to, from) in out.iter_mut().zip(bytes.as_chunks::<2>().0) {
                    *to = bf16::from_le_bytes(*from).to_f32();
                }
            }
        }
    }

    /// Calls `visit` with runs of values as float32, in order: whole tensors
    /// never have to be in memory. Stops when `visit` says false.
    pub fn runs_f32(&self, mut visit: impl FnMut(&[f32]) -> bool) {
        let mut buffer = [0.0_f32; CHUNK];
        let size = self.dtype.size();
        for run in self.bytes.chunks(CHUNK * size) {
            let n = run.len() / size;
            let part = TensorView { dtype: self.dtype, shape: vec![n], bytes: Cow::Borrowed(run) };
            part.copy_f32(&mut buffer[..n]);
            if !visit(&buffer[..n]) {
                return;
            }
        }
    }

    /// Index of the first value that is NaN or infinite as float32 (a double
    /// beyond float32's range counts), with the value; `None` when all are
    /// finite.
    #[must_use]
    pub fn first_not_finite(&self) -> Option<(usize, f32)> {
        let size = self.dtype.size();
        let (at, run) =
            (0..).zip(self.bytes.chunks(CHUNK * size)).find(|(_, run)| !finite(self.dtype, run))?;
        let mut values = [0.0_f32; CHUNK];
        let values = &mut values[..run.len() / size];
        let part =
            TensorView { dtype: self.dtype, shape: vec![values.len()], bytes: Cow::Borrowed(run) };
        part.copy_f32(values);
        let within = values.iter().position(|x| !x.is_finite())?;
        Some((at * CHUNK + within, values[within]))
    }

    /// True where [`Self::first_not_finite`] finds none. Calls `done` with each stretch of bytes
    /// that was looked at.
    pub(super) fn all_finite(&self, mut done: impl FnMut(&[u8])) -> bool {
        self.bytes.chunks(STRETCH).all(|stretch| {
            let fine = finite(self.dtype, stretch);
            done(stretch);
            fine
        })
    }

    /// True when both hold the same values: same bytes of the same type, or
    /// equal bits as float32.
    #[must_use]
    pub fn same_values(&self, other: &Self) -> bool {
        if self.shape != other.shape {
            return false;
        }
        if self.dtype == other.dtype {
            return self.bytes == other.bytes;
        }
        let mut same = true;
        self.zip_runs_f32(other, |ours, theirs| {
            same = ours.iter().zip(theirs).all(|(a, b)| a.to_bits() == b.to_bits());
            same
        });
        same
    }

    /// As [`Self::runs_f32`], of two tensors side by side, up to the shorter's
    /// end.
    pub fn zip_runs_f32(&self, other: &Self, mut visit: impl FnMut(&[f32], &[f32]) -> bool) {
        let mut buffer = [0.0_f32; CHUNK];
        let size = other.dtype.size();
        let mut rest: &[u8] = &other.bytes;
        self.runs_f32(|ours| {
            let n = ours.len().min(rest.len() / size);
            let (now, later) = rest.split_at(n * size);
            rest = later;
            let theirs =
                TensorView { dtype: other.dtype, shape: vec![n], bytes: Cow::Borrowed(now) };
            theirs.copy_f32(&mut buffer[..n]);
            n > 0 && visit(&ours[..n], &buffer[..n])
        });
    }
}

/// Three tensors stacked along the first dimension (q, k, v).
pub(super) fn concatenate<'a>(parts: &[TensorView<'a>]) -> Option<TensorView<'a>> {
    let first = parts.first()?;
    let mut shape = first.shape.clone();
    *shape.first_mut()? = parts.iter().map(|p| p.shape.first().copied().unwrap_or(0)).sum();
    if parts.iter().any(|p| p.dtype != first.dtype || p.shape[1..] != first.shape[1..]) {
        return None;
    }
    let bytes: Vec<u8> = parts.iter().flat_map(|p| p.bytes.iter().copied()).collect();
    TensorView::new(first.dtype, shape, Cow::Owned(bytes))
}

/// A matrix with rows and columns swapped.
pub(super) fn transposed<'a>(matrix: &TensorView<'_>) -> Option<TensorView<'a>> {
    let &[rows, columns] = matrix.shape.as_slice() else { return None };
    let size = matrix.dtype.size();
    let mut bytes = Vec::with_capacity(matrix.bytes.len());
    for column in 0..columns {
        for row in 0..rows {
            let at = (row * columns + column) * size;
            bytes.extend_from_slice(&matrix.bytes[at..at + size]);
        }
    }
    TensorView::new(matrix.dtype, vec![columns, rows], Cow::Owned(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(dtype: Dtype, bytes: Vec<u8>) -> TensorView<'static> {
        let n = bytes.len() / dtype.size();
        TensorView::new(dtype, vec![n], Cow::Owned(bytes)).unwrap()
    }

    #[test]
    fn every_half_becomes_the_float_it_names() {
        let all: Vec<u8> = (0..=u16::MAX).flat_map(u16::to_le_bytes).collect();
        let halves = view(Dtype::F16, all.clone()).to_f32();
        let brains = view(Dtype::Bf16, all).to_f32();
        for bits in 0..=u16::MAX {
            // By the definition of IEEE half: (-1)^s 2^(e-15) (1 + m/1024), written out.
            let (s, e, m) = (bits >> 15, i32::from(bits >> 10 & 31), f64::from(bits & 1023));
            let magnitude = match e {
                0 => m / 1024.0 * 2f64.powi(-14),
                31 if m == 0.0 => f64::INFINITY,
                31 => f64::NAN,
                _ => (1.0 + m / 1024.0) * 2f64.powi(e - 15),
            };
            let expected = (if s == 1 { -magnitude } else { magnitude }) as f32;
            let got = halves[usize::from(bits)];
            assert!(got.to_bits() == expected.to_bits() || got.is_nan() && expected.is_nan());
            let brain = f32::from_bits(u32::from(bits) << 16);
            let got = brains[usize::from(bits)];
            assert!(got.to_bits() == brain.to_bits() || got.is_nan() && brain.is_nan());
        }
    }

    #[test]
    fn doubles_round_and_overflow_is_not_finite() {
        let bytes: Vec<u8> = [0.1_f64, 1e300, -2.5].iter().flat_map(|x| x.to_le_bytes()).collect();
        let doubles = view(Dtype::F64, bytes);
        assert_eq!(doubles.to_f32(), [0.1_f32, f32::INFINITY, -2.5]);
        assert_eq!(doubles.first_not_finite(), Some((1, f32::INFINITY)));
    }

    #[test]
    fn first_not_finite_finds_the_one_in_many() {
        for at in [0, 1, CHUNK - 1, CHUNK, 3 * CHUNK + 5] {
            let mut values = vec![f32::MAX; 3 * CHUNK + 6];
            assert_eq!(f32_view(&values).first_not_finite(), None);
            values[at] = f32::NAN;
            assert_eq!(f32_view(&values).first_not_finite().map(|(i, _)| i), Some(at));
            values[at] = f32::NEG_INFINITY;
            assert_eq!(f32_view(&values).first_not_finite(), Some((at, f32::NEG_INFINITY)));
        }
    }

    fn f32_view(values: &[f32]) -> TensorView<'static> {
        view(Dtype::F32, values.iter().flat_map(|x| x.to_le_bytes()).collect())
    }

    #[test]
    fn same_values_across_types() {
        let values: Vec<f32> = (0..5000).map(|i| i as f32 / 8.0).collect();
        let halves = view(
            Dtype::F16,
            values.iter().flat_map(|&x| f16::from_f32(x % 256.0).to_le_bytes()).collect(),
        );
        let singles: Vec<f32> = values.iter().map(|x| x % 256.0).collect();
        assert!(halves.same_values(&f32_view(&singles)));
        assert!(f32_view(&singles).same_values(&halves));
        let mut other = singles.clone();
        other[4999] += 1.0;
        assert!(!halves.same_values(&f32_view(&other)));
    }

    #[test]
    fn stacks_and_transposes() {
        let a = TensorView::new(Dtype::F32, vec![1, 2], f32_view(&[1., 2.]).bytes).unwrap();
        let b = TensorView::new(Dtype::F32, vec![2, 2], f32_view(&[3., 4., 5., 6.]).bytes).unwrap();
        let ab = concatenate(&[a, b]).unwrap();
        assert_eq!((ab.shape(), ab.to_f32()), (&[3, 2][..], vec![1., 2., 3., 4., 5., 6.]));
        let t = transposed(&ab).unwrap();
        assert_eq!((t.shape(), t.to_f32()), (&[2, 3][..], vec![1., 3., 5., 2., 4., 6.]));
        assert_eq!(transposed(&t).unwrap(), ab);
    }
}
