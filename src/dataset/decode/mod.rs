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

use thiserror::Error;

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
        let work = || read(bytes).map(|raster| raster.crop(self.size));
        std::panic::catch_unwind(work)
            .unwrap_or_else(|_| Err(DecodeError::new("the decoder failed on damaged data")))
    }
}

/// Decodes an image in its own mode, by the format its first bytes tell.
fn read(bytes: &[u8]) -> Result<Raster, DecodeError> {
    match bytes {
        [0xFF, 0xD8, 0xFF, ..] => jpeg::read(bytes),
        [0x89, b'P', b'N', b'G', ..] => png::read(bytes),
        [b'G', b'I', b'F', b'8', ..] => others::gif(bytes),
        [b'B', b'M', ..] => others::bmp(bytes),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => {
            others::by_image(bytes, image::ImageFormat::WebP)
        }
        [b'I', b'I', 42, 0, ..] | [b'M', b'M', 0, 42, ..] => {
            others::by_image(bytes, image::ImageFormat::Tiff)
        }
        [b'P', b'1'..=b'6', ..] => others::by_image(bytes, image::ImageFormat::Pnm),
        [] => Err(DecodeError::new("the file is empty")),
        _ => Err(DecodeError::new(
            "not a JPEG, PNG, WebP, GIF, BMP, TIFF or PNM image, by its first bytes",
        )),
    }
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
