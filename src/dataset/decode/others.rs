//! GIF, BMP with a palette, and what the `image` crate decodes alike: WebP,
//! other BMP, PNM.

use std::io::Cursor;

use gif::{ColorOutput, DecodeOptions, MemoryLimit};
use image::{DynamicImage, ImageDecoder as _, ImageFormat, ImageReader};

use super::png::{palette, unpack};
use super::raster::{Pixels, Raster};
use super::{DecodeError, check_size, turn};

/// The first frame of a GIF, on its canvas.
pub(super) fn gif(bytes: &[u8]) -> Result<Raster, DecodeError> {
    let failed = |error: gif::DecodingError| DecodeError::new(format!("GIF: {error}"));
    let mut options = DecodeOptions::new();
    options.set_color_output(ColorOutput::Indexed);
    options.set_memory_limit(MemoryLimit::Bytes(
        std::num::NonZeroU64::new(super::MAX_PIXELS).unwrap_or(std::num::NonZeroU64::MIN),
    ));
    let mut decoder = options.read_info(Cursor::new(bytes)).map_err(failed)?;
    let screen = (usize::from(decoder.width()), usize::from(decoder.height()));
    let global = decoder.global_palette().map(<[u8]>::to_vec);
    let frame = decoder
        .read_next_frame()
        .map_err(failed)?
        .ok_or_else(|| DecodeError::new("GIF: no frame"))?;
    let (left, top) = (usize::from(frame.left), usize::from(frame.top));
    let (w, h) = (usize::from(frame.width), usize::from(frame.height));
    // A frame may reach beyond the screen, which then grows.
    let (width, height) = (screen.0.max(left + w), screen.1.max(top + h));
    check_size(width as u64, height as u64)?;
    let _turn = turn(width, height);
    let mut data = vec![frame.transparent.unwrap_or(0); width * height];
    for (y, row) in frame.buffer.chunks_exact(w.max(1)).take(h).enumerate() {
        let start = (top + y) * width + left;
        data[start..start + w].copy_from_slice(row);
    }
    let table = frame.palette.clone().or(global).unwrap_or_default();
    // A palette that is a ramp of greys is no palette: the image is grey, and
    // resized smoothly.
    let ramp =
        table.chunks_exact(3).enumerate().all(|(i, c)| c.iter().all(|&v| usize::from(v) == i));
    let pixels = if ramp { Pixels::Grey(data) } else { Pixels::Palette(data, palette(&table)) };
    Ok(Raster { width, height, pixels })
}

/// BMP: with a palette here, the rest by the `image` crate.
pub(super) fn bmp(bytes: &[u8]) -> Result<Raster, DecodeError> {
    match palette_bmp(bytes) {
        Some(raster) => raster,
        None => by_image(bytes, ImageFormat::Bmp),
    }
}

/// An uncompressed BMP of 1, 4 or 8 bits with the usual header; `None` for
/// any other.
fn palette_bmp(bytes: &[u8]) -> Option<Result<Raster, DecodeError>> {
    let u16_at = |at: usize| Some(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?));
    let i32_at = |at: usize| Some(i32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
    let offset = usize::try_from(i32_at(10)?).ok()?;
    let header = usize::try_from(i32_at(14)?).ok()?;
    let depth = usize::from(u16_at(28)?);
    if header < 40 || i32_at(30)? != 0 || !matches!(depth, 1 | 4 | 8) {
        return None;
    }
    let (width, height) = (u64::try_from(i32_at(18)?).ok()?, i32_at(22)?);
    let size = check_size(width, u64::from(height.unsigned_abs()));
    let (width, rows) = match size {
        Ok(size) => size,
        Err(error) => return Some(Err(error)),
    };
    let stride = (width * depth).div_ceil(32) * 4;
    let Some(packed) = bytes.get(offset..offset + stride * rows) else {
        return Some(Err(DecodeError::new("BMP: the file is cut short")));
    };
    let mut packed: Vec<&[u8]> = packed.chunks_exact(stride).collect();
    if height > 0 {
        packed.reverse();
    }
    let data: Vec<u8> =
        packed.into_iter().flat_map(|row| unpack_row(row, width, stride, depth)).collect();
    let used = usize::try_from(i32_at(46)?).ok()?;
    let colours = if used == 0 { 1 << depth } else { used };
    let table: Vec<u8> = bytes
        .get(14 + header..)?
        .chunks_exact(4)
        .take(colours)
        .flat_map(|bgrx| [bgrx[2], bgrx[1], bgrx[0]])
        .collect();
    let grey = |i: usize| if colours == 2 { 255 * i } else { i };
    let ramp = table
        .chunks_exact(3)
        .enumerate()
        .all(|(i, c)| c.iter().all(|&v| usize::from(v) == grey(i)));
    let pixels = match (ramp, colours <= 2) {
        (true, true) => Pixels::Bilevel(data.into_iter().map(|v| v.min(1) * 255).collect()),
        (true, false) => Pixels::Grey(data),
        (false, _) => Pixels::Palette(data, palette(&table)),
    };
    Some(Ok(Raster { width, height: rows, pixels }))
}

fn unpack_row(row: &[u8], width: usize, stride: usize, depth: usize) -> Vec<u8> {
    if depth == 8 { row[..width].to_vec() } else { unpack(row, width, stride, depth) }
}

/// Formats in which the `image` crate and Pillow agree on the pixels.
pub(super) fn by_image(bytes: &[u8], format: ImageFormat) -> Result<Raster, DecodeError> {
    let failed = |error: image::ImageError| DecodeError::new(format!("{format:?}: {error}"));
    let decoder =
        ImageReader::with_format(Cursor::new(bytes), format).into_decoder().map_err(failed)?;
    let (width, height) = decoder.dimensions();
    let (width, height) = check_size(width.into(), height.into())?;
    let _turn = turn(width, height);
    let pixels = match DynamicImage::from_decoder(decoder).map_err(failed)? {
        DynamicImage::ImageLuma8(image) => Pixels::Grey(image.into_raw()),
        DynamicImage::ImageLumaA8(image) => Pixels::GreyAlpha(image.into_raw()),
        DynamicImage::ImageRgb8(image) => Pixels::Rgb(image.into_raw()),
        DynamicImage::ImageRgba8(image) => Pixels::Rgba(image.into_raw()),
        DynamicImage::ImageLuma16(image) => Pixels::Grey16(image.into_raw()),
        DynamicImage::ImageRgb16(image) => Pixels::Rgb(high(&image.into_raw())),
        DynamicImage::ImageRgba16(image) => Pixels::Rgba(high(&image.into_raw())),
        other => {
            return Err(DecodeError::new(format!(
                "{format:?}: samples of type {:?} are not supported",
                other.color()
            )));
        }
    };
    Ok(Raster { width, height, pixels })
}

fn high(data: &[u16]) -> Vec<u8> {
    data.iter().map(|v| (v >> 8) as u8).collect()
}
