//! A seeded pretend engine: accuracy from a formula instead of a model, with
//! scripted failures. For tests, screenshots, and trying the screen on a
//! machine without libtorch.

use std::ops::Range;
use std::time::Duration;

use crate::sweep::engine::{BatchOutcome, Engine, EngineError, Steer};
use crate::sweep::event::{Header, LayerInfo};
use crate::sweep::ids::{Alpha, AlphaId, DatasetId};
use crate::sweep::probe::{Probe, ProbeResult};
use crate::sweep::spec::{Role, Variant};

/// Shape of the pretended curves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SimShape {
    /// OOD accuracy rises to an inner α and falls again.
    #[default]
    Success,
    /// OOD accuracy falls below both ends.
    Failure,
}

/// What the pretend engine does.
#[derive(Clone, Debug, Default)]
pub struct SimScript {
    /// Shape of the curves.
    pub shape: SimShape,
    /// These cells fail.
    pub failing: Vec<(DatasetId, AlphaId)>,
    /// The device is lost after so many batches.
    pub fatal_after: Option<usize>,
    /// The engine panics after so many batches.
    pub panic_after: Option<usize>,
    /// Time a batch takes.
    pub pause: Duration,
}

/// The engine.
#[derive(Debug)]
pub struct SimEngine {
    header: Header,
    script: SimScript,
    alpha: Alpha,
    batches: usize,
}

impl SimEngine {
    /// For the datasets and the grid of `header`.
    #[must_use]
    pub fn new(header: Header, script: SimScript) -> Self {
        Self { header, script, alpha: Alpha::ZERO_SHOT, batches: 0 }
    }

    /// The accuracy that is pretended, as a fraction.
    #[must_use]
    pub fn accuracy(&self, dataset: DatasetId, alpha: Alpha) -> f64 {
        let a = alpha.get();
        let info = self.header.datasets.get(dataset.index());
        let role = info.map_or(Role::Ood, |info| info.role);
        let step = 0.06 * dataset.index() as f64;
        let bump = 4.0 * a * (1.0 - a);
        let accuracy = match (role, self.script.shape) {
            (Role::Id, SimShape::Success) => 0.55 + 0.25 * a + 0.08 * bump,
            (Role::Id, SimShape::Failure) => 0.55 + 0.20 * a - 0.22 * bump,
            (Role::Ood, SimShape::Success) => 0.60 - step - 0.12 * a + 0.10 * bump,
            (Role::Ood, SimShape::Failure) => 0.60 - step - 0.20 * a - 0.15 * bump,
        };
        accuracy.clamp(0.02, 0.98)
    }
}

/// A number in [0, 1) that depends on nothing but its arguments.
fn uniform(seed: u64, dataset: usize, position: usize) -> f64 {
    let mut hash = blake3::Hasher::new();
    for word in [seed, dataset as u64, position as u64] {
        hash.update(&word.to_le_bytes());
    }
    let mut word = [0; 8];
    word.copy_from_slice(&hash.finalize().as_bytes()[..8]);
    (u64::from_le_bytes(word) >> 11) as f64 / (1_u64 << 53) as f64
}

impl Engine for SimEngine {
    fn device(&self) -> String {
        "pretend engine (no model is run)".into()
    }

    fn set_point(&mut self, alpha: Alpha, _: &Variant) -> Result<(), EngineError> {
        self.alpha = alpha;
        Ok(())
    }

    fn probe(
        &mut self,
        _: &Probe,
        _: Option<&LayerInfo>,
        _: &mut dyn Steer,
    ) -> Result<Option<ProbeResult>, EngineError> {
        Err(EngineError::Cell("this version measures accuracy only".into()))
    }

    fn evaluate(
        &mut self,
        dataset: DatasetId,
        positions: Range<usize>,
    ) -> Result<BatchOutcome, EngineError> {
        self.batches += 1;
        if self.script.fatal_after.is_some_and(|after| self.batches > after) {
            return Err(EngineError::Fatal("the pretended device is gone".into()));
        }
        if self.script.panic_after.is_some_and(|after| self.batches > after) {
            #[allow(clippy::panic)] // it is what was asked for
            std::panic::panic_any("a pretended panic".to_string());
        }
        let here = self.header.alphas.iter().position(|&point| point == self.alpha).map(AlphaId);
        if here.is_some_and(|here| self.script.failing.contains(&(dataset, here))) {
            return Err(EngineError::Cell(format!("pretended failure at α = {}", self.alpha)));
        }
        if !self.script.pause.is_zero() {
            std::thread::sleep(self.script.pause);
        }
        let accuracy = self.accuracy(dataset, self.alpha);
        let many = self.header.datasets.get(dataset.index()).is_some_and(|d| d.classes > 5);
        let draw = |position| uniform(self.header.seed, dataset.index(), position);
        let top5 = accuracy + (1.0 - accuracy) * 0.6;
        Ok(BatchOutcome {
            hit: positions.clone().map(|p| draw(p) < accuracy).collect(),
            hit5: many.then(|| positions.clone().map(|p| draw(p) < top5).collect()),
            loss: positions.clone().map(|p| (draw(p) - accuracy + 1.0).max(0.01)).collect(),
            near_ties: positions.map(|p| u32::from((draw(p) - accuracy).abs() < 1e-4)).sum(),
        })
    }
}
