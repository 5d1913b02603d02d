//! From encoded bytes to the square of pixels a model sees, exactly as
//! open_clip's evaluation transform has it before `ToTensor`: resize the
//! shortest side (bicubic, by Pillow, in the image's own mode), crop the
//! centre, then convert to RGB.
//!
//! The order matters: a palette image is resized by nearest neighbour, one
//! with alpha is resized premultiplied, and CMYK is resized as CMYK. EXIF
//! orientation is not applied, because the reference does not apply it.

mod jpeg;
mod others;
mod png;
mod raster;
mod resample;
mod tiff;

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use thiserror::Error;

use super::quiet::quiet;
use raster::Raster;

/// Why an image could not be decoded.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct DecodeError(String);

impl DecodeError {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

/// Images of more pixels are refused, as the reference refuses them.
const MAX_PIXELS: u64 = 178_956_970;

/// What is done to every image before the model sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Preprocess {
    size: usize,
}

impl Preprocess {
    /// CLIP's own: the shortest side becomes `size` pixels (bicubic), the
    /// centre square is kept.
    #[must_use]
    pub fn clip(size: usize) -> Self {
        Self { size: size.max(1) }
    }

    /// Pixels along one side of the result.
    #[must_use]
    pub fn size(&self) -> usize {
        self.size
    }

    /// Bytes of one result: size × size × 3.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.size * self.size * 3
    }

    /// A name for everything that changes the result, for cache keys.
    #[must_use]
    pub fn key(&self) -> String {
        format!("shortest-bicubic-centre-{}-v1", self.size)
    }

    /// Decodes and crops one image: RGB, 8 bits, rows from the top, shape
    /// \[size, size, 3\].
    ///
    /// # Errors
    /// When the bytes are no image of a known format, are damaged or cut
    /// short, or the image is too large. Never panics, prints nothing.
    pub fn decode(&self, bytes: &[u8]) -> Result<Vec<u8>, DecodeError> {
        self.decode_within(bytes, 0)
    }

    /// The same, after `frame` pixels are cut off at every side.
    ///
    /// # Errors
    /// As [`Self::decode`], and when nothing is left within the frame.
    pub fn decode_within(&self, bytes: &[u8], frame: usize) -> Result<Vec<u8>, DecodeError> {
        caught(|| Ok(read(bytes)?.within(frame)?.crop(self.size)))
    }
}

/// A format, as the first bytes of a file tell it (its name may lie).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Jpeg,
    Png,
    Gif,
    Bmp,
    WebP,
    Tiff,
    Pnm,
}

impl Format {
    /// `None` for what is none of them.
    pub fn of(bytes: &[u8]) -> Option<Self> {
        Some(match bytes {
            [0xFF, 0xD8, 0xFF, ..] => Self::Jpeg,
            [0x89, b'P', b'N', b'G', ..] => Self::Png,
            [b'G', b'I', b'F', b'8', ..] => Self::Gif,
            [b'B', b'M', ..] => Self::Bmp,
            [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Self::WebP,
            [b'I', b'I', 42, 0, ..] | [b'M', b'M', 0, 42, ..] => Self::Tiff,
            [b'P', b'1'..=b'6', ..] => Self::Pnm,
            _ => return None,
        })
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Jpeg => "JPEG",
            Self::Png => "PNG",
            Self::Gif => "GIF",
            Self::Bmp => "BMP",
            Self::WebP => "WebP",
            Self::Tiff => "TIFF",
            Self::Pnm => "PNM",
        })
    }
}

/// Decodes an image in its own mode.
fn read(bytes: &[u8]) -> Result<Raster, DecodeError> {
    match Format::of(bytes).ok_or_else(|| unknown(bytes))? {
        Format::Jpeg => jpeg::read(bytes),
        Format::Png => png::read(bytes),
        Format::Gif => others::gif(bytes),
        Format::Bmp => others::bmp(bytes),
        Format::WebP => others::by_image(bytes, image::ImageFormat::WebP),
        Format::Tiff => tiff::read(bytes),
        Format::Pnm => others::by_image(bytes, image::ImageFormat::Pnm),
    }
}

/// The error for bytes that are no known format.
pub(crate) fn unknown(bytes: &[u8]) -> DecodeError {
    DecodeError::new(if bytes.is_empty() {
        "the file is empty"
    } else {
        "not a JPEG, PNG, WebP, GIF, BMP, TIFF or PNM image, by its first bytes"
    })
}

/// Decodes an image in full and says its width and height.
pub(crate) fn size(bytes: &[u8]) -> Result<(usize, usize), DecodeError> {
    caught(|| read(bytes).map(|raster| (raster.width, raster.height)))
}

/// A decoder that panics on damaged data is an error like any other.
fn caught<T>(work: impl FnOnce() -> Result<T, DecodeError>) -> Result<T, DecodeError> {
    quiet(work).unwrap_or_else(|| Err(DecodeError::new("the decoder failed on damaged data")))
}

/// Checks the size before anything is allocated for it.
fn check_size(width: u64, height: u64) -> Result<(usize, usize), DecodeError> {
    if width == 0 || height == 0 {
        return Err(DecodeError::new(format!("the image is {width}×{height}: it has no pixels")));
    }
    if width.saturating_mul(height) > MAX_PIXELS {
        return Err(DecodeError::new(format!(
            "the image is {width}×{height}, over the limit of {MAX_PIXELS} pixels"
        )));
    }
    let narrow = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
    Ok((narrow(width), narrow(height)))
}

/// From so many pixels on images are decoded one after the other: one may need
/// a gigabyte, and there are as many threads as cores.
const LARGE: usize = 1 << 25;

/// The right to decode a large image; small ones need none.
fn turn(width: usize, height: usize) -> Option<MutexGuard<'static, ()>> {
    static ONE: Mutex<()> = Mutex::new(());
    (width.saturating_mul(height) >= LARGE)
        .then(|| ONE.lock().unwrap_or_else(PoisonError::into_inner))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damaged_and_unknown_files_are_errors() {
        let preprocess = Preprocess::clip(8);
        assert!(preprocess.decode(b"").unwrap_err().to_string().contains("empty"));
        assert!(preprocess.decode(b"hello world").unwrap_err().to_string().contains("first bytes"));
        for start in [
            &[0xFF, 0xD8, 0xFF, 0xE0, 0, 16][..],
            b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
            b"GIF89a",
            b"BM",
            b"RIFF\0\0\0\0WEBPVP8 ",
            b"II*\0",
            b"P6\n",
        ] {
            assert!(preprocess.decode(start).is_err());
        }
    }

    proptest::proptest! {
        #[test]
        fn random_bytes_never_panic(
            start in 0usize..7,
            mut bytes in proptest::collection::vec(0u8.., 0..600),
        ) {
            let starts: [&[u8]; 7] = [
                &[0xFF, 0xD8, 0xFF],
                b"\x89PNG\r\n\x1a\n",
                b"GIF89a",
                b"BM",
                b"RIFF\0\0\0\0WEBP",
                b"II*\0",
                b"P6\n",
            ];
            let mut all = starts[start].to_vec();
            all.append(&mut bytes);
            let _ = Preprocess::clip(16).decode(&all);
        }
    }
}
