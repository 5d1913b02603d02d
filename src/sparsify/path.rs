//! θ(α) of plain numbers, bit for bit as libtorch's CPU kernels compute it.

use crate::sweep::ids::Alpha;

/// θ₀ + α·(θ₁ − θ₀) in float32: `out[i]` from `zero[i]` and `one[i]`, as many as all three have.
/// At α = 0 and α = 1 the ends themselves, bit for bit.
///
/// The sum starts at θ₁ from α = ½ on (and up to −½), and is fused: fl(c·fl(θ₁ − θ₀) + base) with
/// one rounding. That is libtorch's `lerp` on every CPU with fused multiply-add; on others, and on
/// GPUs, its results may differ from these in the last bit.
pub fn interpolate(zero: &[f32], one: &[f32], alpha: Alpha, out: &mut [f32]) {
    let n = out.len().min(zero.len()).min(one.len());
    let (zero, one, out) = (&zero[..n], &one[..n], &mut out[..n]);
    if alpha == Alpha::ZERO_SHOT {
        return out.copy_from_slice(zero);
    }
    if alpha == Alpha::FINE_TUNED {
        return out.copy_from_slice(one);
    }
    let weight = alpha.get() as f32;
    let small = weight.abs() < 0.5;
    let factor = if small { weight } else { weight - 1.0 };
    let base = if small { zero } else { one };
    for (i, out) in out.iter_mut().enumerate() {
        *out = factor.mul_add(one[i] - zero[i], base[i]);
    }
}
