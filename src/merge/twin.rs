//! The zero-shot head of the end that stores no linear head.

use super::Twin;
use crate::checkpoint::{Overrides, Pair};
use crate::inputs::{HeadClasses, Inputs};
use crate::sweep::spec::Spec;

/// The counterpart of the pair's stored head over these classes, as a sweep makes it.
///
/// # Errors
/// When not just one end stores a head, when there is no text tower for the other, or when this
/// build has no libtorch.
pub fn of(pair: &Pair, classes: &HeadClasses) -> anyhow::Result<Twin> {
    if !at_one_end(pair) {
        anyhow::bail!("expected a linear head at one end only");
    }
    weight(pair, classes).map(Twin::Weight)
}

/// The counterpart that a run measures with: its class names and prompts are the run's own.
/// [`Twin::Unknown`] where the run needs none.
///
/// # Errors
/// As [`of`], and when an input of the run is gone.
pub fn of_run(spec: Spec) -> anyhow::Result<Twin> {
    let ends = &spec.checkpoints;
    // Datasets are not opened, and may be gone, where nothing is asked of them.
    if !at_one_end(&Pair::open(&ends.zeroshot, &ends.finetuned, &Overrides::from(ends))?) {
        return Ok(Twin::Unknown);
    }
    let inputs = Inputs::open(spec)?;
    inputs.head.as_ref().map_or(Ok(Twin::Unknown), |classes| of(&inputs.pair, classes))
}

fn at_one_end(pair: &Pair) -> bool {
    pair.head.is_some_and(|head| head.zeroshot != head.finetuned)
}

#[cfg(feature = "torch")]
fn weight(pair: &Pair, classes: &HeadClasses) -> anyhow::Result<Vec<f32>> {
    crate::torch::threads::set(&crate::torch::runtime::init().cpu);
    Ok(crate::torch::heads::twin(pair, &classes.names, &classes.templates)?)
}

#[cfg(not(feature = "torch"))]
fn weight(_: &Pair, _: &HeadClasses) -> anyhow::Result<Vec<f32>> {
    anyhow::bail!("this build has no libtorch (it was built without the feature `torch`)")
}
