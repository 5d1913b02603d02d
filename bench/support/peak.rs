//! What this machine can do at most, and how measurements are summed up.

use std::time::{Duration, Instant};

use alphascope::torch::clip::Pass;
use alphascope::torch::product::linear;
use tch::{Device, Kind, TchError, Tensor};

/// FLOP/s of the best of a few products of 2048 × 2048 matrices, by the library that passes use.
///
/// # Errors
/// When libtorch has none of this kind.
pub fn peak(kind: Kind) -> Result<f64, TchError> {
    let a = Tensor::f_randn([2048, 2048], (Kind::Float, Device::Cpu))?.f_to_kind(kind)?;
    let b = a.f_tr()?.f_contiguous()?;
    let mut best = Duration::MAX;
    for _ in 0..3 {
        let start = Instant::now();
        let _ = linear(&a, &b, None, Pass::Measure)?;
        best = best.min(start.elapsed());
    }
    Ok(2.0 * 2048.0_f64.powi(3) / best.as_secs_f64())
}

/// The middle one; NaN of none.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
