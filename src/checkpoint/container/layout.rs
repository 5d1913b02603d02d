//! Where the numbers of one tensor lie in a file.

use std::borrow::Cow;
use std::ops::Range;

use crate::checkpoint::tensor::{Dtype, TensorView};
use crate::plural::counted;

/// A tensor as the file has it.
#[derive(Clone, Debug, PartialEq)]
pub struct RawTensor {
    /// `Err` with the file's own type name where it cannot be a weight.
    pub dtype: Result<Dtype, String>,
    /// Dimensions, outermost first.
    pub shape: Vec<usize>,
    /// In which of the checkpoint's files.
    pub file: usize,
    /// Where its numbers are in it.
    pub layout: Layout,
}

impl RawTensor {
    /// The values, of the bytes of its file; `None` where it cannot be a weight.
    #[must_use]
    pub fn view<'a>(&self, bytes: &'a [u8]) -> Option<TensorView<'a>> {
        self.layout.view(bytes, *self.dtype.as_ref().ok()?, &self.shape)
    }
}

/// How numbers lie in a file. Every byte named is within the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Layout {
    /// One after the other, row-major.
    Whole(Range<usize>),
    /// Some of a storage's, in steps.
    Strided {
        /// Bytes of the storage.
        storage: Range<usize>,
        /// Elements before the first.
        offset: usize,
        /// Elements from one index to the next, of each dimension.
        strides: Vec<usize>,
    },
}

impl Layout {
    /// Checks a tensor of a storage.
    ///
    /// # Errors
    /// When it reaches beyond its storage, or has more numbers than a file of
    /// `file` bytes can hold (a stride of 0 repeats one number for ever).
    pub(super) fn of(
        dtype: Dtype,
        shape: &[usize],
        strides: &[usize],
        offset: usize,
        storage: Range<usize>,
        file: usize,
    ) -> Result<Self, String> {
        if shape.len() != strides.len() {
            return Err(format!("its shape {shape:?} and strides {strides:?} differ in length"));
        }
        let size = dtype.size();
        let elements = shape.iter().try_fold(1_usize, |n, d| n.checked_mul(*d));
        let bytes = elements.and_then(|n| n.checked_mul(size)).filter(|bytes| *bytes <= file);
        let (Some(elements), Some(bytes)) = (elements, bytes) else {
            return Err(format!("its shape {shape:?} holds more numbers than the whole file"));
        };
        if elements == 0 {
            return Ok(Self::Whole(storage.start..storage.start));
        }
        let last = shape
            .iter()
            .zip(strides)
            .try_fold(offset, |at, (d, stride)| at.checked_add((d - 1).checked_mul(*stride)?));
        let held = storage.len() / size;
        if last.is_none_or(|last| last >= held) {
            return Err(format!(
                "its shape {shape:?}, strides {strides:?} and offset {offset} reach beyond its \
                 storage of {}: truncated",
                counted(held, "number")
            ));
        }
        let mut expected = 1;
        let mut row_major = true;
        for (d, stride) in shape.iter().zip(strides).rev() {
            row_major &= *d == 1 || *stride == expected;
            expected *= d;
        }
        if row_major {
            let start = storage.start + offset * size;
            return Ok(Self::Whole(start..start + bytes));
        }
        // A dimension of one index is never stepped over, whatever its stride says.
        let strides = shape.iter().zip(strides).map(|(d, s)| if *d == 1 { 0 } else { *s });
        Ok(Self::Strided { storage, offset, strides: strides.collect() })
    }

    /// The tensor's values: borrowed where they lie in order, else gathered.
    fn view<'a>(&self, bytes: &'a [u8], dtype: Dtype, shape: &[usize]) -> Option<TensorView<'a>> {
        match self {
            Self::Whole(range) => {
                TensorView::new(dtype, shape.into(), Cow::Borrowed(bytes.get(range.clone())?))
            }
            Self::Strided { storage, offset, strides } => {
                let from = bytes.get(storage.clone())?;
                let gathered = gather(from, dtype.size(), shape, strides, *offset)?;
                TensorView::new(dtype, shape.into(), Cow::Owned(gathered))
            }
        }
    }
}

/// Copies elements in row-major order.
fn gather(
    from: &[u8],
    size: usize,
    shape: &[usize],
    strides: &[usize],
    offset: usize,
) -> Option<Vec<u8>> {
    let elements: usize = shape.iter().product();
    let mut out = Vec::with_capacity(elements * size);
    let mut index = vec![0_usize; shape.len()];
    let mut at = offset;
    for _ in 0..elements {
        out.extend_from_slice(from.get(at * size..(at + 1) * size)?);
        // The next index, as an odometer: the last digit first.
        for axis in (0..shape.len()).rev() {
            index[axis] += 1;
            at += strides[axis];
            if index[axis] < shape[axis] {
                break;
            }
            at -= strides[axis] * shape[axis];
            index[axis] = 0;
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(n: u8) -> Vec<u8> {
        (0..n).flat_map(|i| f32::from(i).to_le_bytes()).collect()
    }

    fn read(shape: &[usize], strides: &[usize], offset: usize) -> Result<(bool, Vec<f32>), String> {
        let bytes = bytes(24);
        let layout = Layout::of(Dtype::F32, shape, strides, offset, 0..96, 96)?;
        let view = layout.view(&bytes, Dtype::F32, shape).unwrap();
        Ok((matches!(layout, Layout::Whole(_)), view.to_f32()))
    }

    #[test]
    fn row_major_tensors_are_borrowed_and_others_gathered() {
        assert_eq!(read(&[2, 3], &[3, 1], 4), Ok((true, vec![4., 5., 6., 7., 8., 9.])));
        assert_eq!(read(&[3, 2], &[1, 3], 0), Ok((false, vec![0., 3., 1., 4., 2., 5.])));
        assert_eq!(read(&[2, 2], &[12, 5], 1), Ok((false, vec![1., 6., 13., 18.])));
        assert_eq!(read(&[3], &[0], 7), Ok((false, vec![7., 7., 7.])));
        assert_eq!(read(&[1, 3, 1], &[99, 1, 7], 2), Ok((true, vec![2., 3., 4.])));
        assert_eq!(read(&[], &[], 23), Ok((true, vec![23.])));
        assert_eq!(read(&[0, 5], &[5, 1], 1000), Ok((true, vec![])));
        let (whole, all) = read(&[2, 3, 4], &[1, 8, 2], 0).unwrap();
        assert!(!whole && all[..4] == [0., 2., 4., 6.] && all[12..16] == [1., 3., 5., 7.]);
    }

    #[test]
    fn what_reaches_beyond_is_refused() {
        for (shape, strides, offset) in [
            (&[5, 5][..], &[5, 1][..], 0),
            (&[24], &[1], 1),
            (&[2], &[usize::MAX], 0),
            (&[1], &[1], usize::MAX),
            (&[1 << 40], &[0], 0),
            (&[1 << 40, 1 << 40], &[0, 0], 0),
            (&[2, 3], &[1], 0),
        ] {
            assert!(read(shape, strides, offset).is_err(), "{shape:?} {strides:?} {offset}");
        }
    }
}
