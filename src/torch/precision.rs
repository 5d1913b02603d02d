//! `precision = "auto"` on a GPU: bfloat16, if it changes nothing that can be told.

use tch::Kind;

use super::engine::TorchEngine;
use crate::plural::counted;
use crate::sweep::engine::{Engine, EngineError};
use crate::sweep::ids::{Alpha, DatasetId};
use crate::sweep::spec::Variant;
use crate::sweep::stats::wilson;

/// Images of each dataset that are compared: the first of its order, so of its first round.
const IMAGES: usize = 512;

/// True when a rate of `other` hits differs from one of `hits` by no more than half the width of
/// the latter's 95 % interval.
pub(super) fn within_interval(hits: usize, other: usize, images: usize) -> bool {
    wilson(hits, images)
        .is_some_and(|(lo, hi)| hits.abs_diff(other) as f64 / images as f64 <= (hi - lo) / 2.0)
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
        checked += images;
        farthest = farthest.max(hits.abs_diff(other) as f64 / images as f64);
        if !within_interval(hits, other, images) {
            engine.set_kind(Kind::Float)?;
            return Ok(format!(
                "precision: fp32, because bf16 changes top-1 of `{name}` at α = {alpha} from {hits} \
                 to {other} of {}, more than the 95 % interval",
                counted(images, "image")
            ));
        }
    }
    Ok(format!(
        "precision: bf16; on {} no dataset's top-1 moved from fp32 by more than \
         {:.2} points, all within their 95 % intervals",
        counted(checked, "prediction"),
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
        engine.set_point(alpha, &Variant::dense())?;
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
    fn small_moves_agree_and_large_ones_do_not() {
        assert!(within_interval(300, 300, 512));
        assert!(within_interval(300, 290, 512));
        assert!(!within_interval(300, 250, 512));
        assert!(!within_interval(512, 480, 512));
        assert!(!within_interval(0, 0, 0));
    }
}
