//! `precision = "auto"` on a GPU: bfloat16, if it changes nothing that can be told.

use tch::Kind;

use super::engine::TorchEngine;
use crate::sweep::engine::{Engine, EngineError};
use crate::sweep::ids::{Alpha, DatasetId};

/// Images of each dataset that are compared: the first of its order, so of its first round.
const IMAGES: usize = 512;

/// Top-1 hits of one dataset at one point, in both precisions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Hits {
    fp32: usize,
    bf16: usize,
    images: usize,
}

impl Hits {
    /// True when the rates differ by no more than half the 95 % interval of the float32 one.
    fn agree(self) -> bool {
        let rate = |hits: usize| hits as f64 / self.images as f64;
        (rate(self.fp32) - rate(self.bf16)).abs() <= half_width(self.fp32, self.images)
    }
}

/// Half the width of Wilson's 95 % interval (Wilson 1927), a fraction.
fn half_width(hits: usize, images: usize) -> f64 {
    const Z: f64 = 1.959_963_984_540_054;
    let (n, p) = (images as f64, hits as f64 / images as f64);
    Z / (1.0 + Z * Z / n) * (p * (1.0 - p) / n + Z * Z / (4.0 * n * n)).sqrt()
}

/// Measures the first images of every dataset at the ends and the middle of the path in float32
/// and in bfloat16, before anything is counted, and leaves the engine in bfloat16 unless some
/// dataset's rate moves by more than its interval. Depends on nothing but the inputs, so every
/// worker and every resumption decides alike. Gives a sentence for people.
///
/// # Errors
/// When images cannot be read or the device fails.
pub(super) fn settle(engine: &mut TorchEngine) -> Result<String, EngineError> {
    let fp32 = count(engine, Kind::Float)?;
    let bf16 = count(engine, Kind::BFloat16)?;
    let mut checked = 0;
    let mut farthest: f64 = 0.0;
    for ((name, alpha, hits, images), (.., other, _)) in std::iter::zip(fp32, bf16) {
        let pair = Hits { fp32: hits, bf16: other, images };
        checked += images;
        farthest = farthest.max(hits.abs_diff(other) as f64 / images as f64);
        if !pair.agree() {
            engine.set_kind(Kind::Float)?;
            return Ok(format!(
                "precision: fp32, because bf16 changes top-1 of `{name}` at α = {alpha} from {hits} \
                 to {other} of {images} images, more than the 95 % interval"
            ));
        }
    }
    Ok(format!(
        "precision: bf16; on {checked} predictions no dataset's top-1 moved from fp32 by more than \
         {:.2} points, all within their 95 % intervals",
        100.0 * farthest
    ))
}

type Counted = (String, Alpha, usize, usize);

fn count(engine: &mut TorchEngine, kind: Kind) -> Result<Vec<Counted>, EngineError> {
    engine.set_kind(kind)?;
    let inputs = std::sync::Arc::clone(engine.inputs());
    let batch = inputs.spec.sweep.batch.max(1);
    let mut all = Vec::new();
    for alpha in [0.0, 0.5, 1.0].into_iter().filter_map(Alpha::new) {
        engine.set_point(alpha)?;
        for (index, loaded) in inputs.datasets.iter().enumerate() {
            let images = loaded.order.len().min(IMAGES);
            let mut hits = 0;
            for start in (0..images).step_by(batch) {
                let range = start..images.min(start + batch);
                let outcome = engine.evaluate(DatasetId(index), range)?;
                hits += outcome.hit.iter().filter(|&&hit| hit).count();
            }
            if images > 0 {
                all.push((loaded.dataset.name().to_string(), alpha, hits, images));
            }
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_is_wilsons() {
        // Wilson's interval of 8 of 10: 0.4902 to 0.9433 (Agresti and Coull 1998).
        assert!((half_width(8, 10) - (0.9433 - 0.4902) / 2.0).abs() < 5e-4);
    }

    #[test]
    fn small_moves_agree_and_large_ones_do_not() {
        let hits = |fp32, bf16| Hits { fp32, bf16, images: 512 };
        assert!(hits(300, 300).agree());
        assert!(hits(300, 290).agree());
        assert!(!hits(300, 250).agree());
        assert!(!hits(512, 480).agree());
    }
}
