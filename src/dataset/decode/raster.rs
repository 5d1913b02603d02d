//! A decoded image in the mode Pillow would give it, and its way to RGB.

use super::DecodeError;
use super::resample::{Axis, bicubic, nearest, resample_u8, resample_u16};

/// Samples, with the mode's meaning.
#[derive(Debug)]
pub(super) enum Pixels {
    /// `1` (0 or 255): nearest neighbour.
    Bilevel(Vec<u8>),
    /// `P`: indices and palette; nearest neighbour.
    Palette(Vec<u8>, Box<[[u8; 3]; 256]>),
    /// `L`.
    Grey(Vec<u8>),
    /// `LA`: resized premultiplied.
    GreyAlpha(Vec<u8>),
    /// `RGB`.
    Rgb(Vec<u8>),
    /// `RGBA`: resized premultiplied.
    Rgba(Vec<u8>),
    /// `CMYK`, 255 is full ink.
    Cmyk(Vec<u8>),
    /// `I;16`: values over 255 become white in RGB.
    Grey16(Vec<u16>),
}

/// A decoded image.
#[derive(Debug)]
pub(super) struct Raster {
    pub width: usize,
    pub height: usize,
    pub pixels: Pixels,
}

/// Which part of the resized image is kept along the longer side.
///
/// Gives the resized length of the longer side and the first pixel kept. The
/// reference computes `int(size * long / short)` and `int(round((length -
/// size) / 2))`, which rounds half to even.
fn window(long: usize, short: usize, size: usize) -> (usize, usize) {
    let length = ((size * long) as f64 / short as f64) as usize;
    let start = (length.saturating_sub(size) as f64 / 2.0).round_ties_even() as usize;
    (length, start)
}

impl Raster {
    /// Without `frame` pixels at every side.
    pub fn within(self, frame: usize) -> Result<Self, DecodeError> {
        if frame == 0 {
            return Ok(self);
        }
        let (w, h) = (self.width, self.height);
        let inner = |side: usize| side.checked_sub(2 * frame).filter(|&left| left > 0);
        let Some((width, height)) = inner(w).zip(inner(h)) else {
            return Err(DecodeError::new(format!(
                "the image is {w}×{h}: nothing is left within a frame of {frame} pixels"
            )));
        };
        let axis = |from: usize, count: usize| Axis { from, to: from, start: frame, count };
        let (x, y) = (axis(w, width), axis(h, height));
        let cut = |data: &[u8], channels: usize| window_of(data, w, channels, &x, &y);
        let pixels = match self.pixels {
            Pixels::Bilevel(data) => Pixels::Bilevel(cut(&data, 1)),
            Pixels::Palette(data, palette) => Pixels::Palette(cut(&data, 1), palette),
            Pixels::Grey(data) => Pixels::Grey(cut(&data, 1)),
            Pixels::GreyAlpha(data) => Pixels::GreyAlpha(cut(&data, 2)),
            Pixels::Rgb(data) => Pixels::Rgb(cut(&data, 3)),
            Pixels::Rgba(data) => Pixels::Rgba(cut(&data, 4)),
            Pixels::Cmyk(data) => Pixels::Cmyk(cut(&data, 4)),
            Pixels::Grey16(data) => Pixels::Grey16(window_of(&data, w, 1, &x, &y)),
        };
        Ok(Self { width, height, pixels })
    }

    /// Resizes the shortest side to `size`, crops the centre, converts to RGB.
    /// Only what the crop shows is computed.
    pub fn crop(self, size: usize) -> Vec<u8> {
        let (w, h) = (self.width, self.height);
        let ((out_w, left), (out_h, top)) =
            if w <= h { ((size, 0), window(h, w, size)) } else { (window(w, h, size), (size, 0)) };
        let same = (out_w, out_h) == (w, h);
        let x = Axis { from: w, to: out_w, start: left, count: size };
        let y = Axis { from: h, to: out_h, start: top, count: size };
        let cut = |data: &[u8], channels: usize| -> Vec<u8> {
            if same {
                return window_of(data, w, channels, &x, &y);
            }
            resample_u8(data, w, channels, &bicubic(&x), &bicubic(&y))
        };
        match self.pixels {
            Pixels::Bilevel(data) => grey_to_rgb(&nearest(&data, w, &x, &y)),
            Pixels::Palette(data, palette) => nearest(&data, w, &x, &y)
                .into_iter()
                .flat_map(|index| palette[usize::from(index)])
                .collect(),
            Pixels::Grey(data) => grey_to_rgb(&cut(&data, 1)),
            Pixels::Rgb(data) => cut(&data, 3),
            Pixels::Cmyk(data) => cmyk_to_rgb(&cut(&data, 4)),
            Pixels::GreyAlpha(mut data) => {
                if !same {
                    premultiply(&mut data, 2);
                }
                let mut data = cut(&data, 2);
                if !same {
                    divide_alpha(&mut data, 2);
                }
                data.chunks_exact(2).flat_map(|px| [px[0]; 3]).collect()
            }
            Pixels::Rgba(mut data) => {
                if !same {
                    premultiply(&mut data, 4);
                }
                let mut data = cut(&data, 4);
                if !same {
                    divide_alpha(&mut data, 4);
                }
                data.chunks_exact(4).flat_map(|px| [px[0], px[1], px[2]]).collect()
            }
            Pixels::Grey16(data) => {
                let data = if same {
                    window_of(&data, w, 1, &x, &y)
                } else {
                    resample_u16(&data, w, &bicubic(&x), &bicubic(&y))
                };
                data.into_iter().flat_map(|v| [u8::try_from(v).unwrap_or(255); 3]).collect()
            }
        }
    }
}

/// The crop of an image that needs no resizing.
fn window_of<T: Copy>(data: &[T], width: usize, channels: usize, x: &Axis, y: &Axis) -> Vec<T> {
    let mut out = Vec::with_capacity(x.count * y.count * channels);
    for row in y.start..y.start + y.count {
        let start = (row * width + x.start) * channels;
        out.extend_from_slice(&data[start..start + x.count * channels]);
    }
    out
}

fn grey_to_rgb(data: &[u8]) -> Vec<u8> {
    data.iter().flat_map(|&v| [v; 3]).collect()
}

/// a·b/255, rounded as Pillow rounds it.
fn mul_div_255(a: u8, b: u8) -> u8 {
    let product = u32::from(a) * u32::from(b) + 128;
    (((product >> 8) + product) >> 8) as u8
}

fn cmyk_to_rgb(data: &[u8]) -> Vec<u8> {
    data.chunks_exact(4)
        .flat_map(|px| {
            let light = 255 - px[3];
            [0, 1, 2].map(|i| light - mul_div_255(px[i], light))
        })
        .collect()
}

/// Colour times alpha; the last channel is alpha.
fn premultiply(data: &mut [u8], channels: usize) {
    for px in data.chunks_exact_mut(channels) {
        let alpha = px[channels - 1];
        px[..channels - 1].iter_mut().for_each(|v| *v = mul_div_255(*v, alpha));
    }
}

/// The inverse, as exact as 8 bits are.
pub(super) fn divide_alpha(data: &mut [u8], channels: usize) {
    for px in data.chunks_exact_mut(channels) {
        let alpha = px[channels - 1];
        if alpha != 0 && alpha != 255 {
            for v in &mut px[..channels - 1] {
                *v = (255 * u32::from(*v) / u32::from(alpha)).min(255) as u8;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rgb(width: usize, height: usize) -> Raster {
        let data = (0..width * height * 3).map(|i| (i * 7) as u8).collect();
        Raster { width, height, pixels: Pixels::Rgb(data) }
    }

    #[test]
    fn every_shape_gives_a_square() {
        for (w, h) in [(1, 1), (1, 90), (90, 1), (7, 5), (224, 224), (225, 224), (3, 1000)] {
            for size in [1, 2, 5, 32] {
                assert_eq!(rgb(w, h).crop(size).len(), size * size * 3, "{w}x{h} to {size}");
            }
        }
    }

    #[test]
    fn a_frame_is_cut_off() {
        let inner = rgb(5, 6).within(2).unwrap();
        assert_eq!((inner.width, inner.height), (1, 2));
        let Pixels::Rgb(data) = inner.pixels else { panic!("still RGB") };
        // Rows 2 and 3, column 2, of rows of 15 values.
        assert_eq!(data, [36, 37, 38, 51, 52, 53].map(|i: u32| (i * 7) as u8));
        assert!(rgb(4, 9).within(2).unwrap_err().to_string().contains("4×9"));
    }

    #[test]
    fn the_same_size_is_only_cropped() {
        let out = rgb(4, 2).crop(2);
        let want: Vec<u8> =
            [3, 4, 5, 6, 7, 8, 15, 16, 17, 18, 19, 20].map(|i: u32| (i * 7) as u8).to_vec();
        assert_eq!(out, want);
    }

    #[test]
    fn sixteen_bits_clip_to_white() {
        let pixels = Pixels::Grey16(vec![0, 200, 256, 65535]);
        let out = Raster { width: 2, height: 2, pixels }.crop(2);
        assert_eq!(out, [0, 0, 0, 200, 200, 200, 255, 255, 255, 255, 255, 255]);
    }
}
