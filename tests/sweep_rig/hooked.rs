//! The pretend engine with a hand in what one evaluates.

use std::ops::Range;

use alphascope::sim::{SimEngine, SimScript};
use alphascope::sweep::activation::ActivationProbe;
use alphascope::sweep::drive::EngineFactory;
use alphascope::sweep::engine::{BatchOutcome, Engine, EngineError, Steer};
use alphascope::sweep::event::{Header, LayerInfo};
use alphascope::sweep::ids::{Alpha, DatasetId};
use alphascope::sweep::probe::{Probe, ProbeResult};
use alphascope::sweep::spec::Variant;
use alphascope::sweep::zeros::Zeros;

/// Answers for the comparison of activations.
type Compare =
    Box<dyn FnMut(&mut dyn Steer) -> Result<Option<ActivationProbe>, EngineError> + Send>;

/// Calls `evaluate` where it is asked to measure images, `compare` where it is asked for
/// its activation, and else does what the pretend engine does.
struct Hooked<F> {
    inner: SimEngine,
    alpha: Alpha,
    evaluate: F,
    compare: Compare,
}

/// Makes an engine that asks `evaluate`, with the pretend engine and the point it
/// stands at, to measure images.
pub fn hooked<F>(header: &Header, script: SimScript, evaluate: F) -> EngineFactory
where
    F: FnMut(&mut SimEngine, Alpha, DatasetId, Range<usize>) -> Result<BatchOutcome, EngineError>
        + Send
        + 'static,
{
    both(header, script, evaluate, Box::new(|_| Ok(None)))
}

/// Makes the pretend engine with an answer for the comparison of activations.
pub fn comparing(
    header: &Header,
    script: SimScript,
    compare: impl FnMut(&mut dyn Steer) -> Result<Option<ActivationProbe>, EngineError> + Send + 'static,
) -> EngineFactory {
    let plain = |inner: &mut SimEngine, _, dataset, positions| inner.evaluate(dataset, positions);
    both(header, script, plain, Box::new(compare))
}

fn both<F>(header: &Header, script: SimScript, evaluate: F, compare: Compare) -> EngineFactory
where
    F: FnMut(&mut SimEngine, Alpha, DatasetId, Range<usize>) -> Result<BatchOutcome, EngineError>
        + Send
        + 'static,
{
    let header = header.clone();
    Box::new(move || {
        let inner = SimEngine::new(header, script);
        Ok(Box::new(Hooked { inner, alpha: Alpha::ZERO_SHOT, evaluate, compare }))
    })
}

impl<F> Engine for Hooked<F>
where
    F: FnMut(&mut SimEngine, Alpha, DatasetId, Range<usize>) -> Result<BatchOutcome, EngineError>,
{
    fn device(&self) -> String {
        self.inner.device()
    }

    fn set_point(&mut self, alpha: Alpha, variant: &Variant) -> Result<(), EngineError> {
        self.alpha = alpha;
        self.inner.set_point(alpha, variant)
    }

    fn evaluate(
        &mut self,
        dataset: DatasetId,
        positions: Range<usize>,
    ) -> Result<BatchOutcome, EngineError> {
        (self.evaluate)(&mut self.inner, self.alpha, dataset, positions)
    }

    fn count_zeros(&mut self) -> Result<Option<Vec<Zeros>>, EngineError> {
        self.inner.count_zeros()
    }

    fn probe(
        &mut self,
        probe: &Probe,
        layer: Option<&LayerInfo>,
        steer: &mut dyn Steer,
    ) -> Result<Option<ProbeResult>, EngineError> {
        self.inner.probe(probe, layer, steer)
    }

    fn probe_activation(
        &mut self,
        steer: &mut dyn Steer,
    ) -> Result<Option<ActivationProbe>, EngineError> {
        (self.compare)(steer)
    }
}
