//! The zero-shot head of the end that stores no linear head.

use super::Twin;
use crate::checkpoint::Pair;
use crate::inputs::{HeadClasses, Inputs};
use crate::sweep::spec::Spec;

/// The counterpart of the pair's stored head over these classes, as a sweep makes it.
///
/// # Errors
/// When not just one end stores a head, when there is no text tower for the other, or when this
/// build has no libtorch.
pub fn of(pair: &Pair, classes: &HeadClasses) -> anyhow::Result<Twin> {
    if pair.head.is_none_or(|head| head.zeroshot == head.finetuned) {
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
    let inputs = Inputs::open(spec)?;
    match (&inputs.pair.head, &inputs.head) {
        (Some(head), Some(classes)) if head.zeroshot != head.finetuned => of(&inputs.pair, classes),
        _ => Ok(Twin::Unknown),
    }
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
