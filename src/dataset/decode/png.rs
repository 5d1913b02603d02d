//! PNG, in the modes Pillow opens it in.

use std::io::Cursor;

use png::{BitDepth, ColorType, Decoder, Transformations};

use super::raster::{Pixels, Raster};
use super::{DecodeError, check_size, turn};

/// Deflate packs no tighter than 1 to 1032.
const MOST_PACKED: usize = 1032;

/// Decodes a PNG (of an animated one, the default image).
pub(super) fn read(bytes: &[u8]) -> Result<Raster, DecodeError> {
    let failed = |error: png::DecodingError| DecodeError::new(format!("PNG: {error}"));
    let mut decoder = Decoder::new(Cursor::new(bytes));
    decoder.set_transformations(Transformations::IDENTITY);
    decoder.set_ignore_text_chunk(true);
    decoder.set_ignore_iccp_chunk(true);
    let (width, height) = {
        let info = decoder.read_header_info().map_err(failed)?;
        check_size(info.width.into(), info.height.into())?
    };
    let mut reader = decoder.read_info().map_err(failed)?;
    let length = reader.output_buffer_size().ok_or_else(|| DecodeError::new("PNG: too large"))?;
    if length / MOST_PACKED > bytes.len() {
        return Err(DecodeError::new(format!(
            "PNG: it claims {width}×{height} pixels, more than {} bytes can hold",
            bytes.len()
        )));
    }
    let _turn = turn(width, height);
    let mut data = vec![0; length];
    let frame = reader.next_frame(&mut data).map_err(failed)?;
    let depth = frame.bit_depth as usize;
    let whole = frame.bit_depth == BitDepth::Sixteen;
    let samples = frame.color_type.samples();
    if depth < 8 {
        data = unpack(&data, width * samples, frame.line_size, depth);
    }
    data.truncate(width * height * samples * if whole { 2 } else { 1 });
    let pixels = match (frame.color_type, frame.bit_depth) {
        (ColorType::Grayscale, BitDepth::One) => Pixels::Bilevel(scaled(data, 255)),
        (ColorType::Grayscale, BitDepth::Two) => Pixels::Grey(scaled(data, 0x55)),
        (ColorType::Grayscale, BitDepth::Four) => Pixels::Grey(scaled(data, 0x11)),
        (ColorType::Grayscale, BitDepth::Eight) => Pixels::Grey(data),
        (ColorType::Grayscale, BitDepth::Sixteen) => Pixels::Grey16(
            data.chunks_exact(2).map(|two| u16::from_be_bytes([two[0], two[1]])).collect(),
        ),
        (ColorType::Rgb, BitDepth::Sixteen) => Pixels::Rgb(high_bytes(&data)),
        (ColorType::Rgb, _) => Pixels::Rgb(data),
        (ColorType::Indexed, _) => {
            let table = reader.info().palette.as_deref().unwrap_or_default();
            Pixels::Palette(data, palette(table))
        }
        // Pillow has no 16-bit grey with alpha: it opens as RGBA.
        (ColorType::GrayscaleAlpha, BitDepth::Sixteen) => {
            Pixels::Rgba(data.chunks_exact(4).flat_map(|px| [px[0], px[0], px[0], px[2]]).collect())
        }
        (ColorType::GrayscaleAlpha, _) => Pixels::GreyAlpha(data),
        (ColorType::Rgba, BitDepth::Sixteen) => Pixels::Rgba(high_bytes(&data)),
        (ColorType::Rgba, _) => Pixels::Rgba(data),
    };
    Ok(Raster { width, height, pixels })
}

/// A palette of 256 colours; those that are missing are black.
pub(super) fn palette(table: &[u8]) -> Box<[[u8; 3]; 256]> {
    let mut colours = Box::new([[0; 3]; 256]);
    for (colour, rgb) in colours.iter_mut().zip(table.chunks_exact(3)) {
        colour.copy_from_slice(rgb);
    }
    colours
}

/// One byte per sample, from rows of samples of 1, 2 or 4 bits.
pub(super) fn unpack(data: &[u8], samples: usize, stride: usize, depth: usize) -> Vec<u8> {
    let mask = (1u8 << depth) - 1;
    let per_byte = 8 / depth;
    data.chunks_exact(stride.max(1))
        .flat_map(|row| {
            (0..samples).map(move |i| {
                let shift = 8 - depth * (i % per_byte + 1);
                row.get(i / per_byte).map_or(0, |byte| byte >> shift & mask)
            })
        })
        .collect()
}

pub(super) fn scaled(mut data: Vec<u8>, by: u8) -> Vec<u8> {
    data.iter_mut().for_each(|v| *v *= by);
    data
}

fn high_bytes(data: &[u8]) -> Vec<u8> {
    data.chunks_exact(2).map(|two| two[0]).collect()
}
