//! Pillow's resampler, bit for bit: two passes, columns first, with weights of
//! 22 fractional bits for 8-bit samples and doubles for wider ones.
//!
//! Each output pixel is a weighted sum of the input pixels under a filter that
//! widens with the scale (antialiasing). Because output pixels do not depend
//! on each other, only the crop's rows and columns are computed, and only the
//! input rows they need.

/// Fractional bits of the integer weights: 32 less 8 for the sample and 2 for
/// sums beyond 1.
const PRECISION: u32 = 32 - 8 - 2;

/// One axis of a resize and crop.
pub(super) struct Axis {
    /// Samples before.
    pub from: usize,
    /// Samples after the resize.
    pub to: usize,
    /// First sample of the result that is kept …
    pub start: usize,
    /// … and how many.
    pub count: usize,
}

/// For each kept output sample, the first input sample and its weights.
pub(super) struct Weights {
    taps: Vec<(usize, Vec<f64>)>,
    /// Nothing to do along this axis but to cut from `start`.
    identity: bool,
    start: usize,
}

/// Keys' cubic with a = −½, of support 2.
fn cubic(x: f64) -> f64 {
    const A: f64 = -0.5;
    let x = x.abs();
    if x < 1.0 {
        ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        (((x - 5.0) * x + 8.0) * x - 4.0) * A
    } else {
        0.0
    }
}

/// The weights of bicubic resizing along one axis.
pub(super) fn bicubic(axis: &Axis) -> Weights {
    let scale = axis.from as f64 / axis.to as f64;
    let stretch = scale.max(1.0);
    let support = 2.0 * stretch;
    let inverse = 1.0 / stretch;
    let taps = (axis.start..axis.start + axis.count)
        .map(|out| {
            let center = (out as f64 + 0.5) * scale;
            // Truncation towards zero, then into the image.
            let first = ((center - support + 0.5) as i64).max(0);
            let end = ((center + support + 0.5) as i64).min(axis.from as i64);
            let mut weights: Vec<f64> = (0..(end - first).max(0))
                .map(|i| cubic(((i + first) as f64 - center + 0.5) * inverse))
                .collect();
            let sum: f64 = weights.iter().sum();
            if sum != 0.0 {
                weights.iter_mut().for_each(|w| *w /= sum);
            }
            (first as usize, weights)
        })
        .collect();
    Weights { taps, identity: axis.from == axis.to, start: axis.start }
}

impl Weights {
    /// Weights as integers, rounded half away from zero.
    fn fixed(&self) -> Vec<(usize, Vec<i32>)> {
        let one = f64::from(1 << PRECISION);
        let round = |w: &f64| (w * one + if *w < 0.0 { -0.5 } else { 0.5 }) as i32;
        self.taps.iter().map(|(first, w)| (*first, w.iter().map(round).collect())).collect()
    }

    /// The input samples that matter: first and one past the last.
    fn span(&self) -> (usize, usize) {
        if self.identity {
            return (self.start, self.start + self.taps.len());
        }
        let first = self.taps.iter().map(|(first, _)| *first).min().unwrap_or(0);
        let end = self.taps.iter().map(|(first, w)| first + w.len()).max().unwrap_or(0);
        (first, end)
    }
}

fn clip8(sum: i32) -> u8 {
    (sum >> PRECISION).clamp(0, 255) as u8
}

/// Resizes 8-bit samples of 1 to 4 interleaved channels.
pub(super) fn resample_u8(
    data: &[u8],
    width: usize,
    channels: usize,
    x: &Weights,
    y: &Weights,
) -> Vec<u8> {
    let (top, bottom) = y.span();
    let rows = &data[top * width * channels..bottom * width * channels];
    let narrow = match channels {
        1 => columns_u8::<1>(rows, width, x),
        2 => columns_u8::<2>(rows, width, x),
        3 => columns_u8::<3>(rows, width, x),
        _ => columns_u8::<4>(rows, width, x),
    };
    let stride = x.taps.len() * channels;
    if y.identity {
        return narrow;
    }
    let half = 1i32 << (PRECISION - 1);
    let mut out = Vec::with_capacity(y.taps.len() * stride);
    let mut sums = vec![half; stride];
    for (first, weights) in y.fixed() {
        sums.fill(half);
        for (row, &weight) in narrow[(first - top) * stride..].chunks_exact(stride).zip(&weights) {
            for (sum, &sample) in sums.iter_mut().zip(row) {
                *sum = sum.wrapping_add(i32::from(sample).wrapping_mul(weight));
            }
        }
        out.extend(sums.iter().map(|&sum| clip8(sum)));
    }
    out
}

/// The pass along rows: every row of `rows` becomes `x.taps.len()` pixels.
fn columns_u8<const C: usize>(rows: &[u8], width: usize, x: &Weights) -> Vec<u8> {
    let taps = x.fixed();
    let mut out = Vec::with_capacity(rows.len() / width.max(1) * taps.len());
    for row in rows.chunks_exact(width * C) {
        if x.identity {
            // Without a change of width the weights are exactly 1 at the
            // pixel itself; Pillow skips the pass.
            let start = x.start;
            out.extend_from_slice(&row[start * C..(start + taps.len()) * C]);
            continue;
        }
        for (first, weights) in &taps {
            let mut sums = [1i32 << (PRECISION - 1); C];
            let pixels = &row[first * C..(first + weights.len()) * C];
            for (pixel, &weight) in pixels.chunks_exact(C).zip(weights) {
                for (sum, &sample) in sums.iter_mut().zip(pixel) {
                    *sum = sum.wrapping_add(i32::from(sample).wrapping_mul(weight));
                }
            }
            out.extend(sums.map(clip8));
        }
    }
    out
}

/// Resizes 16-bit grey samples, in double precision.
pub(super) fn resample_u16(data: &[u16], width: usize, x: &Weights, y: &Weights) -> Vec<u16> {
    let (top, bottom) = y.span();
    let stride = x.taps.len();
    let mut narrow = Vec::with_capacity((bottom - top) * stride);
    for row in data[top * width..bottom * width].chunks_exact(width) {
        if x.identity {
            narrow.extend_from_slice(&row[x.start..x.start + stride]);
            continue;
        }
        narrow.extend(x.taps.iter().map(|(first, weights)| weigh(row[*first..].iter(), weights)));
    }
    if y.identity {
        return narrow;
    }
    let mut out = Vec::with_capacity(y.taps.len() * stride);
    for (first, weights) in &y.taps {
        out.extend((0..stride).map(|column| {
            weigh(narrow[(first - top) * stride + column..].iter().step_by(stride), weights)
        }));
    }
    out
}

/// One weighted sum. Pillow stores the two bytes of the rounded sum clipped
/// one by one, so 65 540 becomes 65 284 and a negative sum 0.
fn weigh<'a>(samples: impl Iterator<Item = &'a u16>, weights: &[f64]) -> u16 {
    let sum = samples.zip(weights).fold(0.0, |sum, (&v, w)| sum + f64::from(v) * w);
    let value = (sum + if sum >= 0.0 { 0.5 } else { -0.5 }) as i32;
    let low = (value % 256).clamp(0, 255) as u16;
    let high = (value >> 8).clamp(0, 255) as u16;
    high << 8 | low
}

/// Nearest neighbour, with Pillow's running sum of the position (its rounding
/// error is part of the result).
pub(super) fn nearest(data: &[u8], width: usize, x: &Axis, y: &Axis) -> Vec<u8> {
    let (columns, rows) = (positions(x), positions(y));
    rows.iter()
        .flat_map(|row| columns.iter().map(move |column| data[row * width + column]))
        .collect()
}

fn positions(axis: &Axis) -> Vec<usize> {
    let step = axis.from as f64 / axis.to as f64;
    let mut at = step * 0.5;
    let mut all = Vec::with_capacity(axis.count);
    for index in 0..axis.start + axis.count {
        if index >= axis.start {
            all.push((at as usize).min(axis.from - 1));
        }
        at += step;
    }
    all
}
