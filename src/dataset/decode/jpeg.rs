//! JPEG by libjpeg-turbo's decoder, as Pillow has it: accurate integer DCT,
//! smooth chroma upsampling, and an error where the data end too early.

use std::cell::Cell;
use std::io::{BufRead, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};

use mozjpeg::{ColorSpace, DctMethod, Decompress};

use super::raster::{Pixels, Raster};
use super::{DecodeError, check_size, turn};

/// Bytes in memory that remember whether the decoder asked for more.
struct Source<'a> {
    rest: &'a [u8],
    ran_out: &'a Cell<bool>,
}

impl Read for Source<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let n = self.rest.len().min(buffer.len());
        buffer[..n].copy_from_slice(&self.rest[..n]);
        self.consume(n);
        Ok(n)
    }
}

impl BufRead for Source<'_> {
    fn fill_buf(&mut self) -> std::io::Result<&[u8]> {
        self.ran_out.set(self.ran_out.get() || self.rest.is_empty());
        Ok(self.rest)
    }

    fn consume(&mut self, n: usize) {
        self.rest = self.rest.get(n..).unwrap_or_default();
    }
}

/// Decodes a JPEG: one component as grey, three as RGB, four as CMYK.
pub(super) fn read(bytes: &[u8]) -> Result<Raster, DecodeError> {
    // libjpeg reports errors by a callback that must not return; the wrapper
    // unwinds from it without calling the panic hook, so nothing is printed.
    catch_unwind(AssertUnwindSafe(|| decode(bytes))).unwrap_or_else(|why| {
        let why = why.downcast_ref::<String>().map_or("damaged data", String::as_str);
        Err(DecodeError::new(format!("JPEG: {}", why.trim_start_matches("libjpeg fatal error: "))))
    })
}

fn decode(bytes: &[u8]) -> Result<Raster, DecodeError> {
    let ran_out = Cell::new(false);
    let failed = |error: std::io::Error| DecodeError::new(format!("JPEG: {error}"));
    let source = Source { rest: bytes, ran_out: &ran_out };
    let mut header = Decompress::new_reader(source).map_err(failed)?;
    let (width, height) = check_size(header.width() as u64, header.height() as u64)?;
    let _turn = turn(width, height);
    header.dct_method(DctMethod::IntegerSlow);
    header.do_fancy_upsampling(true);
    let (space, channels) = match header.components().len() {
        1 => (ColorSpace::JCS_GRAYSCALE, 1),
        3 => (ColorSpace::JCS_RGB, 3),
        4 => (ColorSpace::JCS_CMYK, 4),
        n => return Err(DecodeError::new(format!("JPEG: {n} components; expected 1, 3 or 4"))),
    };
    let mut started = header.to_colorspace(space).map_err(failed)?;
    let mut data = started.read_scanlines::<u8>().map_err(failed)?;
    let complete = data.len() == width * height * channels;
    started.finish().map_err(failed)?;
    if ran_out.get() || !complete {
        return Err(DecodeError::new("JPEG: the file is cut short"));
    }
    let pixels = match channels {
        1 => Pixels::Grey(data),
        3 => Pixels::Rgb(data),
        _ => {
            // Adobe's convention, which Pillow assumes: ink is stored inverted.
            data.iter_mut().for_each(|v| *v = 255 - *v);
            Pixels::Cmyk(data)
        }
    };
    Ok(Raster { width, height, pixels })
}
