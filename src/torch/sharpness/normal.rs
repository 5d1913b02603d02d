//! Pairs of normal numbers from pairs of 32-bit words (Box and Muller 1958).
//!
//! (√(−2 ln u) cos 2πv, √(−2 ln u) sin 2πv), u in (0, 1], v in \[0, 1), in float64 and then rounded.
//! Logarithm, sine and cosine are computed here, by FreeBSD's polynomials (within one unit in the
//! last place), from additions, products, one quotient and one root that IEEE 754 fixes: the same bits
//! on every system, and loops over blocks that become vector code.

use std::array;

/// Pairs that are made together.
pub(super) const BLOCK: usize = 16;

/// Words of the generator, first of every pair and second of every pair.
pub(super) type Words = [[u32; BLOCK]; 2];

/// The two numbers of every pair, one pair after the other.
pub(super) type Normals = [[f32; 2]; BLOCK];

/// 2⁻³²
const WORD: f64 = 1.0 / 4_294_967_296.0;

/// Turns words into normals.
#[inline(always)]
pub(super) fn normals(words: &Words) -> Normals {
    let radius: [f64; BLOCK] = array::from_fn(|i| {
        let u = (f64::from(words[0][i]) + 1.0) * WORD;
        (-2.0 * ln(u)).sqrt()
    });
    array::from_fn(|i| {
        let (cos, sin) = turn(words[1][i]);
        [(radius[i] * cos) as f32, (radius[i] * sin) as f32]
    })
}

/// High words of 1 and of √½, as FreeBSD's `e_log.c` rounds it.
const ONE: u64 = 0x3ff0_0000;
const HALF_ROOT: u64 = 0x3fe6_a09e;
/// 2⁵², and its bits: whole numbers below it are its last bits.
const WHOLE: f64 = 4_503_599_627_370_496.0;
const WHOLE_BITS: u64 = 0x4330_0000_0000_0000;

/// ln u of a normal number in (0, 1]: u = 2ᵏ m, m in \[√½, √2), ln m by its series in
/// (m − 1) / (m + 1).
#[inline(always)]
fn ln(u: f64) -> f64 {
    let raised = u.to_bits() + ((ONE - HALF_ROOT) << 32);
    let k = f64::from_bits(WHOLE_BITS | raised >> 52) - (WHOLE + 1023.0);
    let m = f64::from_bits((raised & 0x000f_ffff_ffff_ffff) + (HALF_ROOT << 32));
    let f = m - 1.0;
    let half_square = 0.5 * f * f;
    let s = f / (2.0 + f);
    let z = s * s;
    let w = z * z;
    let even = w
        * (3.999_999_999_940_942e-1
            + w * (2.222_219_843_214_978_4e-1 + w * 1.531_383_769_920_937_3e-1));
    let odd = z
        * (6.666_666_666_666_735e-1
            + w * (2.857_142_874_366_239e-1
                + w * (1.818_357_216_161_805e-1 + w * 1.479_819_860_511_658_6e-1)));
    let low = s * (half_square + (odd + even)) + k * 1.908_214_929_270_587_7e-10;
    low - half_square + f + k * 6.931_471_803_691_238e-1
}

/// Cosine and sine of `word`/2³² of a full turn: the nearest quarter turn, and at most half of one
/// from there.
#[inline(always)]
fn turn(word: u32) -> (f64, f64) {
    let quarters = word.wrapping_add(1 << 29) >> 30;
    let rest = word.wrapping_sub(quarters << 30).cast_signed();
    let x = f64::from(rest) * (std::f64::consts::TAU * WORD);
    let z = x * x;
    let w = z * z;
    let sin = {
        let r = 8.333_333_333_322_49e-3
            + z * (-1.984_126_982_985_795e-4 + z * 2.755_731_370_707_006_8e-6)
            + z * w * (-2.505_076_025_340_686_3e-8 + z * 1.589_690_995_211_55e-10);
        x + z * x * (-1.666_666_666_666_663_2e-1 + z * r)
    };
    let cos = {
        let r = z
            * (4.166_666_666_666_66e-2
                + z * (-1.388_888_888_887_411e-3 + z * 2.480_158_728_947_673e-5))
            + w * w
                * (-2.755_731_435_139_066_3e-7
                    + z * (2.087_572_321_298_175e-9 + z * -1.135_964_755_778_819_5e-11));
        let half = 0.5 * z;
        let most = 1.0 - half;
        most + (((1.0 - most) - half) + z * r)
    };
    let swapped = quarters & 1 == 1;
    let (a, b) = if swapped { (sin, cos) } else { (cos, sin) };
    let minus = |x: f64, yes: u32| f64::from_bits(x.to_bits() ^ u64::from(yes & 2) << 62);
    (minus(a, quarters + 1), minus(b, quarters))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Distance in units in the last place of float64.
    fn ulps(a: f64, b: f64) -> f64 {
        (a - b).abs() / (f64::EPSILON * b.abs().max(f64::MIN_POSITIVE))
    }

    /// Words at the ends, about powers of two, and many without pattern.
    fn words() -> impl Iterator<Item = u32> {
        let powers = (0..32).flat_map(|bit| {
            (0..5_u32).map(move |off| (1_u32 << bit).wrapping_add(off).wrapping_sub(2))
        });
        powers.chain((0..200_000_u32).map(|i| i.wrapping_mul(2_654_435_761)))
    }

    #[test]
    fn logarithms_are_the_systems() {
        for word in words() {
            let u = (f64::from(word) + 1.0) * WORD;
            assert!(ulps(ln(u), u.ln()) <= 2.0, "{u}: {} {}", ln(u), u.ln());
        }
        assert_eq!(ln(1.0), 0.0);
    }

    #[test]
    fn turns_are_the_systems() {
        for word in words() {
            let (sin, cos) = (std::f64::consts::TAU * f64::from(word) * WORD).sin_cos();
            let (own_cos, own_sin) = turn(word);
            // The system's argument is rounded: by up to half a unit of 2π.
            assert!((own_cos - cos).abs() < 1e-15 && (own_sin - sin).abs() < 1e-15, "{word}");
        }
        let quarters = [0, 1 << 30, 1 << 31, 3 << 30].map(turn);
        assert_eq!(quarters, [(1.0, 0.0), (0.0, 1.0), (-1.0, 0.0), (0.0, -1.0)]);
    }

    /// Rounded to float32 hardly a number differs from the system's functions, and then by one unit.
    #[test]
    fn numbers_are_those_of_the_systems_functions() {
        let (mut all, mut other) = (0, 0);
        let words: Vec<u32> = words().collect();
        for block in words.chunks_exact(2 * BLOCK) {
            let block: Words = array::from_fn(|half| array::from_fn(|i| block[2 * i + half]));
            for (i, pair) in normals(&block).into_iter().enumerate() {
                let (a, b) = (f64::from(block[0][i]), f64::from(block[1][i]));
                let radius = (-2.0 * ((a + 1.0) * WORD).ln()).sqrt();
                let (sin, cos) = (std::f64::consts::TAU * b * WORD).sin_cos();
                for (own, system) in pair.into_iter().zip([radius * cos, radius * sin]) {
                    all += 1;
                    if own != system as f32 {
                        other += 1;
                        let apart = (f64::from(own) - system).abs();
                        let unit = f64::from(f32::EPSILON) * system.abs();
                        assert!(apart <= unit.max(1e-15), "{own} {system}");
                    }
                }
            }
        }
        assert!(all > 100_000 && other < 5, "{other} of {all}");
    }
}
