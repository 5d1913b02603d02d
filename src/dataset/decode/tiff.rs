//! TIFF, first image, in the modes that Pillow gives its pixels.

use std::borrow::Cow;
use std::io::Cursor;

use tiff::decoder::{Decoder, DecodingResult, Limits};
use tiff::tags::Tag;
use tiff::{ColorType, TiffError};

use super::png::{palette, scaled, unpack};
use super::raster::{Pixels, Raster, divide_alpha};
use super::{DecodeError, check_size, turn};

/// Values of the tag `PhotometricInterpretation` (262) and of `Compression` (259).
const BLACK_IS_ZERO: u16 = 1;
const PALETTE: u16 = 3;
const JPEGS: [u16; 2] = [6, 7];
/// Of `ExtraSamples` (338).
const ASSOCIATED_ALPHA: u16 = 1;
const UNASSOCIATED_ALPHA: u16 = 2;

fn failed(error: TiffError) -> DecodeError {
    DecodeError::new(format!("TIFF: {error}"))
}

/// Reads grey, RGB, CMYK (also with alpha, of 8 or 16 bits) and palettes.
pub(super) fn read(bytes: &[u8]) -> Result<Raster, DecodeError> {
    let (bytes, indexed) = without_palette(bytes);
    let mut decoder = Decoder::new(Cursor::new(&*bytes)).map_err(failed)?;
    let (width, height) = decoder.dimensions().map_err(failed)?;
    let (width, height) = check_size(width.into(), height.into())?;
    let compression: Option<u16> = decoder.find_tag_unsigned(Tag::Compression).map_err(failed)?;
    if compression.is_some_and(|it| JPEGS.contains(&it)) {
        return Err(DecodeError::new(
            "TIFF: pixels in JPEG compression are not read; save the image as JPEG or PNG",
        ));
    }
    let extra: Vec<u16> =
        decoder.find_tag_unsigned_vec(Tag::ExtraSamples).map_err(failed)?.unwrap_or_default();
    let colours = match indexed {
        true => Some(colours(&decoder.get_tag_u16_vec(Tag::ColorMap).map_err(failed)?)),
        false => None,
    };
    let kind = decoder.colortype().map_err(failed)?;
    let mut limits = Limits::default();
    limits.decoding_buffer_size = width.saturating_mul(height).saturating_mul(8);
    limits.intermediate_buffer_size = limits.decoding_buffer_size.max(1 << 20);
    let mut decoder = decoder.with_limits(limits);
    let _turn = turn(width, height);
    let mut samples = DecodingResult::U8(Vec::new());
    let layout = decoder.read_image_to_buffer(&mut samples).map_err(failed)?;
    let samples = match samples {
        DecodingResult::U8(it) => Samples::Bytes(interleaved(it, layout.planes)),
        DecodingResult::U16(it) => Samples::Words(interleaved(it, layout.planes)),
        _ => return Err(unsupported(kind)),
    };
    let pixels = match (kind, samples) {
        (ColorType::Gray(depth @ (1 | 2 | 4)), Samples::Bytes(packed)) => {
            let depth = usize::from(depth);
            let values = unpack(&packed, width, (width * depth).div_ceil(8), depth);
            match (colours, depth) {
                (Some(colours), _) => Pixels::Palette(values, colours),
                (None, 1) => Pixels::Bilevel(scaled(values, 255)),
                (None, 2) => Pixels::Grey(scaled(values, 85)),
                (None, _) => Pixels::Grey(scaled(values, 17)),
            }
        }
        (ColorType::Gray(8), Samples::Bytes(values)) => match colours {
            Some(colours) => Pixels::Palette(values, colours),
            None => Pixels::Grey(values),
        },
        (ColorType::Gray(16), Samples::Words(values)) if colours.is_none() => {
            Pixels::Grey16(values)
        }
        (ColorType::Multiband { bit_depth: 8, num_samples: 2 }, Samples::Bytes(values)) => {
            Pixels::GreyAlpha(values)
        }
        (ColorType::RGB(8 | 16), samples) => Pixels::Rgb(samples.bytes()),
        (ColorType::RGBA(8 | 16), samples) => rgba(samples.bytes(), extra.first().copied()),
        (ColorType::CMYK(8 | 16), samples) => Pixels::Cmyk(samples.bytes()),
        (kind, _) => return Err(unsupported(kind)),
    };
    Ok(Raster { width, height, pixels })
}

fn unsupported(kind: ColorType) -> DecodeError {
    DecodeError::new(format!(
        "TIFF: samples of kind {kind:?} are not read; save the image as RGB or as PNG"
    ))
}

enum Samples {
    Bytes(Vec<u8>),
    Words(Vec<u16>),
}

impl Samples {
    /// The high byte of each.
    fn bytes(self) -> Vec<u8> {
        match self {
            Self::Bytes(values) => values,
            Self::Words(values) => values.into_iter().map(|value| (value >> 8) as u8).collect(),
        }
    }
}

/// Sample after sample, where each colour had a plane of its own.
fn interleaved<T: Copy>(samples: Vec<T>, planes: usize) -> Vec<T> {
    if planes < 2 {
        return samples;
    }
    let each = samples.len() / planes;
    (0..each * planes).map(|i| samples[i % planes * each + i / planes]).collect()
}

/// Four samples, of which the fourth is alpha, alpha already multiplied in, or nothing.
fn rgba(mut data: Vec<u8>, fourth: Option<u16>) -> Pixels {
    match fourth {
        None | Some(UNASSOCIATED_ALPHA) => Pixels::Rgba(data),
        Some(ASSOCIATED_ALPHA) => {
            divide_alpha(&mut data, 4);
            data.chunks_exact_mut(4).filter(|px| px[3] == 0).for_each(|px| px.fill(0));
            Pixels::Rgba(data)
        }
        Some(_) => Pixels::Rgb(data.chunks_exact(4).flat_map(|px| [px[0], px[1], px[2]]).collect()),
    }
}

/// A colour map: all reds, all greens, all blues, 16 bits each.
fn colours(map: &[u16]) -> Box<[[u8; 3]; 256]> {
    let each = map.len() / 3;
    let table: Vec<u8> = (0..each * 3).map(|i| (map[i % 3 * each + i / 3] >> 8) as u8).collect();
    palette(&table)
}

/// The `tiff` crate knows no palettes: told that they are greys, it gives the indices.
fn without_palette(bytes: &[u8]) -> (Cow<'_, [u8]>, bool) {
    match photometric(bytes) {
        Some((at, PALETTE)) => {
            let mut copy = bytes.to_vec();
            let grey = BLACK_IS_ZERO;
            copy[at..at + 2].copy_from_slice(&match bytes.starts_with(b"II") {
                true => grey.to_le_bytes(),
                false => grey.to_be_bytes(),
            });
            (Cow::Owned(copy), true)
        }
        _ => (Cow::Borrowed(bytes), false),
    }
}

/// How the first image means its samples, and where the file says so.
fn photometric(bytes: &[u8]) -> Option<(usize, u16)> {
    let little = bytes.starts_with(b"II");
    let short = |at: usize| -> Option<u16> {
        let two = bytes.get(at..at.checked_add(2)?)?.try_into().ok()?;
        Some(if little { u16::from_le_bytes(two) } else { u16::from_be_bytes(two) })
    };
    let four: [u8; 4] = bytes.get(4..8)?.try_into().ok()?;
    let start = if little { u32::from_le_bytes(four) } else { u32::from_be_bytes(four) } as usize;
    let mut entries = (0..usize::from(short(start)?)).map(|i| start + 2 + 12 * i);
    let tag = entries.find(|&at| short(at) == Some(Tag::PhotometricInterpretation.to_u16()))?;
    Some((tag + 8, short(tag + 8)?))
}
