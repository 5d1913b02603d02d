//! A seeded pretend engine: accuracy and probes from formulas instead of a
//! model, with scripted failures. For tests, screenshots, and trying the screen
//! on a machine without libtorch.

mod layers;
mod noise;
mod probes;
#[cfg(test)]
mod tests;
mod zeros;

pub use layers::layers;

use std::ops::Range;
use std::time::Duration;

use crate::sweep::engine::{BatchOutcome, Engine, EngineError, GONE, POISONED, Steer};
use crate::sweep::event::{Header, LayerInfo};
use crate::sweep::ids::{Alpha, AlphaId, DatasetId};
use crate::sweep::probe::{Probe, ProbeResult};
use crate::sweep::spec::{Role, Variant};
use crate::sweep::zeros::Zeros;

/// Shape of the pretended curves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SimShape {
    /// OOD accuracy rises to an inner α and falls again.
    #[default]
    Success,
    /// OOD accuracy falls below both ends.
    Failure,
}

/// How the pretended device is lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Loss {
    /// It is not there any more.
    #[default]
    Gone,
    /// Its context is in an unknown state.
    Poisoned,
}

impl Loss {
    fn message(self) -> String {
        match self {
            Self::Gone => format!("the pretended device failed: {GONE}"),
            Self::Poisoned => format!(
                "compute logits: the GPU failed: CUDA error: an illegal memory access was \
                 encountered (pretended); {POISONED}"
            ),
        }
    }
}

/// What the pretend engine does.
#[derive(Clone, Debug, Default)]
pub struct SimScript {
    /// Shape of the curves.
    pub shape: SimShape,
    /// These cells fail.
    pub failing: Vec<(DatasetId, AlphaId)>,
    /// Probes of these layers fail at these points; every layer at once is
    /// `overall`.
    pub failing_layers: Vec<(String, AlphaId)>,
    /// The device is lost after so many batches.
    pub fatal_after: Option<usize>,
    /// How it is lost.
    pub loss: Loss,
    /// So many images fit into memory at once, at most.
    pub memory: Option<usize>,
    /// The engine panics after so many batches.
    pub panic_after: Option<usize>,
    /// Each batch prints a line on standard output and one on standard error.
    pub noise: bool,
    /// Time a batch takes, or a whole forward pass of a probe.
    pub pause: Duration,
}

/// The engine.
#[derive(Debug)]
pub struct SimEngine {
    header: Header,
    script: SimScript,
    alpha: Alpha,
    variant: Variant,
    batches: usize,
    /// Images per pass; halved where memory is short.
    micro: usize,
    told: Vec<String>,
}

impl SimEngine {
    /// For the datasets and the grid of `header`.
    #[must_use]
    pub fn new(header: Header, script: SimScript) -> Self {
        let micro = header.batch.max(1);
        Self {
            header,
            script,
            alpha: Alpha::ZERO_SHOT,
            variant: Variant::dense(),
            batches: 0,
            micro,
            told: Vec::new(),
        }
    }

    /// The accuracy that is pretended of the present variant, as a fraction.
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
        let edits = &self.variant.sparsify;
        let shift = probes::shift(edits, layers::blocks(&self.header), self.header.seed, alpha);
        (accuracy + shift).clamp(0.02, 0.98)
    }

    /// How hard an image is, in \[0, 1): the same at every point, so that
    /// differences are paired.
    fn draw(&self, dataset: DatasetId, position: usize) -> f64 {
        noise::uniform(self.header.seed, "", &[dataset.index(), position])
    }

    /// Counts a forward pass that takes so much of a whole one.
    fn step(&mut self, part: f64) -> Result<(), EngineError> {
        self.batches += 1;
        if self.script.fatal_after.is_some_and(|after| self.batches > after) {
            return Err(EngineError::Fatal(self.script.loss.message()));
        }
        if self.script.panic_after.is_some_and(|after| self.batches > after) {
            #[allow(clippy::panic)] // it is what was asked for
            std::panic::panic_any("a pretended panic".to_string());
        }
        if self.script.noise {
            use std::io::Write;
            // As a library does that knows nothing of a screen.
            let _ = writeln!(std::io::stdout(), "pretended words of a library on stdout");
            let _ = writeln!(std::io::stderr(), "pretended words of a library on stderr");
        }
        if !self.script.pause.is_zero() {
            std::thread::sleep(self.script.pause.mul_f64(part));
        }
        Ok(())
    }

    /// Halves the images per pass until they fit, as the real engine does.
    fn fit(&mut self, images: usize) -> Result<(), EngineError> {
        let Some(room) = self.script.memory else { return Ok(()) };
        while self.micro.min(images) > room {
            if self.micro.min(images) == 1 {
                let text = "embed images: out of memory: not even one image fits (pretended)";
                return Err(EngineError::Cell(text.into()));
            }
            let many = self.micro.min(images);
            self.micro = many / 2;
            self.told.push(crate::sweep::engine::short_of_memory(many, self.micro));
        }
        Ok(())
    }

    /// The point of the grid where the weights stand.
    fn here(&self) -> Option<AlphaId> {
        self.header.alphas.iter().position(|&point| point == self.alpha).map(AlphaId)
    }

    /// Part of a whole forward pass that is run again from a layer on.
    fn suffix(&self, layer: Option<&LayerInfo>) -> f64 {
        let Some(layer) = layer else { return 1.0 };
        let all = self.header.layers.iter().filter(|it| it.units == layer.units);
        let names: Vec<&str> = all.map(|it| it.name.as_str()).collect();
        let before = names.iter().position(|&name| name == layer.name).unwrap_or(0);
        1.0 - before as f64 / names.len().max(1) as f64
    }
}

impl Engine for SimEngine {
    fn device(&self) -> String {
        "pretend engine (no model is run)".into()
    }

    fn told(&mut self) -> Vec<String> {
        std::mem::take(&mut self.told)
    }

    fn set_point(&mut self, alpha: Alpha, variant: &Variant) -> Result<(), EngineError> {
        self.alpha = alpha;
        if self.variant != *variant {
            self.variant.clone_from(variant);
        }
        Ok(())
    }

    fn count_zeros(&mut self) -> Result<Option<Vec<Zeros>>, EngineError> {
        Ok(Some(zeros::zeros(&self.header, &self.variant.sparsify)))
    }

    fn probe(
        &mut self,
        probe: &Probe,
        layer: Option<&LayerInfo>,
        steer: &mut dyn Steer,
    ) -> Result<Option<ProbeResult>, EngineError> {
        let name = layer.map_or("overall", |layer| &layer.name);
        let failing = &self.script.failing_layers;
        let here = self.here();
        if failing.iter().any(|(layer, point)| layer == name && Some(*point) == here) {
            let text = format!("pretended failure of {name} at α = {}", self.alpha);
            return Err(EngineError::Cell(text));
        }
        let steps = match probe {
            Probe::Sharpness { spec, .. } => probes::sharpness_steps(spec),
            Probe::Path { on, .. } => on.len(),
            Probe::Curvature { spec, .. } => spec.batches * (spec.probes + spec.iterations),
        };
        let part = self.suffix(layer);
        for step in 0..steps {
            if !steer.go_on(step as f64 / steps as f64) {
                return Ok(None);
            }
            self.step(part)?;
        }
        let unasked = || EngineError::Cell("only sharpness is taken of all layers at once".into());
        self.answer(probe, layer).map(Some).ok_or_else(unasked)
    }

    fn evaluate(
        &mut self,
        dataset: DatasetId,
        positions: Range<usize>,
    ) -> Result<BatchOutcome, EngineError> {
        self.step(1.0)?;
        self.fit(positions.len())?;
        if self.here().is_some_and(|here| self.script.failing.contains(&(dataset, here))) {
            return Err(EngineError::Cell(format!("pretended failure at α = {}", self.alpha)));
        }
        let accuracy = self.accuracy(dataset, self.alpha);
        let many = self.header.datasets.get(dataset.index()).is_some_and(|d| d.classes > 5);
        let draw = |position| self.draw(dataset, position);
        let top5 = accuracy + (1.0 - accuracy) * 0.6;
        Ok(BatchOutcome {
            hit: positions.clone().map(|p| draw(p) < accuracy).collect(),
            hit5: many.then(|| positions.clone().map(|p| draw(p) < top5).collect()),
            loss: positions.clone().map(|p| (draw(p) - accuracy + 1.0).max(0.01)).collect(),
            near_ties: positions.map(|p| u32::from((draw(p) - accuracy).abs() < 1e-4)).sum(),
        })
    }
}
