//! A small form: measure something layer by layer too, while the sweep runs.
//! It opens with the defaults, so that asking for them is one more key.

use crate::plural;
use crate::sweep::ids::DatasetId;
use crate::sweep::probe::{Direction, Probe};
use crate::sweep::spec::{BarrierSpec, Base, CurvatureSpec, Layers, Norm, Role};
use crate::sweep::spec::{SharpnessKind, SharpnessSpec};
use crate::sweep::state::SweepState;

use super::format;
use super::sheet::layers_name;

/// What can be asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum What {
    /// Sharpness, overall and layer by layer.
    #[default]
    Sharpness,
    /// Accuracy while one layer alone moves.
    Barriers,
    /// Trace and largest eigenvalue of each layer's Hessian block.
    Curvature,
}

/// A line of the form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // the names on the screen
pub enum Line {
    What,
    Kind,
    Norm,
    Adaptive,
    Rho,
    Draws,
    Steps,
    Batches,
    Base,
    Control,
    Images,
    Probes,
    Iterations,
    Layers,
}

/// The form.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ask {
    /// What is asked for.
    pub what: What,
    /// Of [`What::Sharpness`].
    pub sharpness: SharpnessSpec,
    /// Of [`What::Barriers`].
    pub barriers: BarrierSpec,
    /// Of [`What::Curvature`].
    pub curvature: CurvatureSpec,
    /// Highlighted line.
    pub at: usize,
}

/// Radii to choose from.
const RHOS: [f64; 8] = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0];
/// Draws, each of them with its opposite.
const DRAWS: [usize; 8] = [2, 4, 8, 16, 32, 64, 128, 256];
const STEPS: [usize; 7] = [1, 2, 5, 10, 20, 40, 80];
const BATCHES: [usize; 6] = [1, 2, 4, 8, 16, 32];
const IMAGES: [usize; 8] = [64, 128, 256, 512, 1024, 2048, 4096, 8192];
/// Vectors of Hutchinson's estimator.
const PROBES: [usize; 7] = [2, 4, 8, 16, 32, 64, 128];
/// Steps of the power iteration.
const ITERATIONS: [usize; 7] = [2, 5, 10, 20, 40, 80, 160];

/// The next value of a ladder that is not a ring: the ends are ends. From a value that is none of its
/// own, the nearest that way.
fn climb<T: Copy + PartialOrd>(ladder: &[T], now: T, by: isize) -> T {
    let found = if by > 0 {
        ladder.iter().find(|it| **it > now)
    } else {
        ladder.iter().rev().find(|it| **it < now)
    };
    found.copied().unwrap_or(now)
}

/// The value `by` places on in a ring; the first where it is not in it.
fn turn<T: Copy + PartialEq>(ring: &[T], now: T, by: isize) -> T {
    let n = isize::try_from(ring.len()).unwrap_or(1).max(1);
    let at = ring.iter().position(|it| *it == now).map_or(0, |at| at as isize + by);
    ring.get(at.rem_euclid(n) as usize).copied().unwrap_or(now)
}

impl Ask {
    /// Its lines, from the top.
    #[must_use]
    pub fn lines(&self) -> &'static [Line] {
        match self.what {
            What::Sharpness => match self.sharpness.kind {
                SharpnessKind::Average => &[
                    Line::What,
                    Line::Kind,
                    Line::Norm,
                    Line::Adaptive,
                    Line::Rho,
                    Line::Draws,
                    Line::Batches,
                    Line::Layers,
                ],
                SharpnessKind::Worst => &[
                    Line::What,
                    Line::Kind,
                    Line::Norm,
                    Line::Adaptive,
                    Line::Rho,
                    Line::Steps,
                    Line::Batches,
                    Line::Layers,
                ],
            },
            What::Barriers => &[Line::What, Line::Base, Line::Control, Line::Images, Line::Layers],
            What::Curvature => {
                &[Line::What, Line::Probes, Line::Iterations, Line::Batches, Line::Layers]
            }
        }
    }

    /// The highlighted line.
    #[must_use]
    pub fn line(&self) -> Line {
        let lines = self.lines();
        lines[self.at.min(lines.len() - 1)]
    }

    /// One line on (or back), around the ends.
    pub fn step(&mut self, by: isize) {
        let n = self.lines().len() as isize;
        self.at = (self.at as isize + by).rem_euclid(n) as usize;
    }

    /// The defaults again, of what is asked for now.
    pub fn reset(&mut self) {
        *self = Self { what: self.what, at: self.at, ..Self::default() };
    }

    /// Another value on the highlighted line.
    pub fn change(&mut self, by: isize) {
        match self.line() {
            Line::What => {
                self.what =
                    turn(&[What::Sharpness, What::Barriers, What::Curvature], self.what, by);
            }
            Line::Kind => {
                let ring = [SharpnessKind::Average, SharpnessKind::Worst];
                self.sharpness.kind = turn(&ring, self.sharpness.kind, by);
            }
            Line::Norm => {
                self.sharpness.norm = turn(&[Norm::L2, Norm::Linf], self.sharpness.norm, by);
            }
            Line::Adaptive => self.sharpness.adaptive = !self.sharpness.adaptive,
            Line::Rho => self.sharpness.rho = climb(&RHOS, self.sharpness.rho, by),
            Line::Draws => self.sharpness.draws = climb(&DRAWS, self.sharpness.draws, by),
            Line::Steps => self.sharpness.steps = climb(&STEPS, self.sharpness.steps, by),
            Line::Batches => {
                let batches = self.batches_mut();
                *batches = climb(&BATCHES, *batches, by);
            }
            Line::Images => self.barriers.images = climb(&IMAGES, self.barriers.images, by),
            Line::Probes => self.curvature.probes = climb(&PROBES, self.curvature.probes, by),
            Line::Iterations => {
                self.curvature.iterations = climb(&ITERATIONS, self.curvature.iterations, by);
            }
            Line::Base => {
                let ring = [Base::Finetuned, Base::Zeroshot, Base::Midpoint];
                self.barriers.base = turn(&ring, self.barriers.base, by);
            }
            Line::Control => self.barriers.control = !self.barriers.control,
            Line::Layers => {
                let ring = [Layers::Block, Layers::Module, Layers::Tensor];
                let with_none = [Layers::Block, Layers::Module, Layers::Tensor, Layers::None];
                match self.what {
                    What::Sharpness => {
                        self.sharpness.layers = turn(&with_none, self.sharpness.layers, by);
                    }
                    What::Barriers => self.barriers.layers = turn(&ring, self.barriers.layers, by),
                    What::Curvature => {
                        self.curvature.layers = turn(&ring, self.curvature.layers, by);
                    }
                }
            }
        }
    }

    fn batches_mut(&mut self) -> &mut usize {
        match self.what {
            What::Curvature => &mut self.curvature.batches,
            _ => &mut self.sharpness.batches,
        }
    }

    /// Name and value of a line.
    #[must_use]
    pub fn text(&self, line: Line) -> (&'static str, String) {
        let yes = |it: bool| if it { "yes" } else { "no" }.to_string();
        match line {
            Line::What => (
                "measure",
                match self.what {
                    What::Sharpness => "sharpness",
                    What::Barriers => "layer barriers",
                    What::Curvature => "curvature",
                }
                .to_string(),
            ),
            Line::Kind => (
                "kind",
                match self.sharpness.kind {
                    SharpnessKind::Average => "average",
                    SharpnessKind::Worst => "worst",
                }
                .to_string(),
            ),
            Line::Norm => (
                "norm",
                match self.sharpness.norm {
                    Norm::L2 => "L2",
                    Norm::Linf => "Linf",
                }
                .to_string(),
            ),
            Line::Adaptive => ("adaptive", yes(self.sharpness.adaptive)),
            Line::Rho => ("radius ρ", format::significant(self.sharpness.rho)),
            Line::Draws => ("draws", self.sharpness.draws.to_string()),
            Line::Steps => ("steps", self.sharpness.steps.to_string()),
            Line::Batches => {
                let (batches, images) = match self.what {
                    What::Curvature => (self.curvature.batches, self.curvature.batch),
                    _ => (self.sharpness.batches, self.sharpness.batch),
                };
                ("batches", format!("{batches} of {}", plural::counted(images, "image")))
            }
            Line::Images => ("images", self.barriers.images.to_string()),
            Line::Probes => ("probes", self.curvature.probes.to_string()),
            Line::Iterations => ("iterations", self.curvature.iterations.to_string()),
            Line::Base => (
                "others at",
                match self.barriers.base {
                    Base::Finetuned => "fine-tuned",
                    Base::Zeroshot => "zero-shot",
                    Base::Midpoint => "midpoint",
                }
                .to_string(),
            ),
            Line::Control => ("control", yes(self.barriers.control)),
            Line::Layers => {
                let units = match self.what {
                    What::Sharpness => self.sharpness.layers,
                    What::Barriers => self.barriers.layers,
                    What::Curvature => self.curvature.layers,
                };
                let text = if units == Layers::None { "overall only" } else { layers_name(units) };
                ("layers by", text.to_string())
            }
        }
    }

    /// One sentence on the highlighted line.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self.line() {
            Line::What => "what is measured beside accuracy, layer by layer, at every α",
            Line::Kind => "mean over random perturbations, or the worst found by Auto-PGD",
            Line::Norm => "Gaussian draws in a ball, or uniform ones in a box",
            Line::Adaptive => "perturb each weight in proportion to its size",
            Line::Rho => "size of the perturbation; relative where adaptive",
            Line::Draws => "in pairs of opposites; four times as many halve the error",
            Line::Steps => "steps of the search, for each batch",
            Line::Batches => "from the start of the ID dataset's order; fewer where it has fewer",
            Line::Images => "of each ID dataset, from the start of its order",
            Line::Probes => "random vectors for the trace; four times as many halve its error",
            Line::Iterations => "steps towards the largest eigenvalue, at most",
            Line::Base => "where the layers that do not move stand",
            Line::Control => "also move each layer as far in a random direction",
            Line::Layers => "blocks; attention and MLP apart; every tensor",
        }
    }

    /// As the worker is asked, in a run's own words; nothing where the run has
    /// no dataset. A control is a second probe of its own.
    #[must_use]
    pub fn probes(&self, run: &SweepState) -> Vec<Probe> {
        let Some(header) = run.header() else { return Vec::new() };
        self.asked(run).into_iter().map(|probe| probe.named(header)).collect()
    }

    fn asked(&self, run: &SweepState) -> Vec<Probe> {
        let kept = |id: &DatasetId| !run.is_skipped(*id);
        let ids: Vec<DatasetId> = run.with_role(Role::Id).filter(kept).collect();
        let all = || (0..run.datasets().len()).map(DatasetId);
        let Some(first) = ids.first().copied().or_else(|| all().next()) else {
            return Vec::new();
        };
        match self.what {
            What::Sharpness => {
                vec![Probe::Sharpness { spec: self.sharpness.clone(), on: first }]
            }
            What::Curvature => {
                vec![Probe::Curvature { spec: self.curvature.clone(), on: first }]
            }
            What::Barriers => {
                let on = if ids.is_empty() { vec![first] } else { ids };
                let along = |direction| Probe::Path {
                    spec: self.barriers.clone(),
                    on: on.clone(),
                    direction,
                };
                let control = self.barriers.control.then(|| along(Direction::Random));
                std::iter::once(along(Direction::Path)).chain(control).collect()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_turns_and_comes_back() {
        let mut ask = Ask::default();
        for _ in 0..3 {
            for _ in 0..ask.lines().len() {
                let before = ask.text(ask.line());
                ask.change(1);
                assert_ne!(ask.text(ask.line()), before, "{:?}", ask.line());
                ask.change(-1);
                assert_eq!(ask.text(ask.line()), before, "{:?}", ask.line());
                ask.step(1);
            }
            ask.change(1);
        }
        ask.step(-1);
        assert_eq!(ask.at, ask.lines().len() - 1);
    }

    #[test]
    fn a_radius_stops_at_its_ends_and_defaults_come_back() {
        let mut ask = Ask { at: 4, ..Ask::default() };
        assert_eq!(ask.line(), Line::Rho);
        for _ in 0..20 {
            ask.change(1);
        }
        assert_eq!(ask.sharpness.rho, 2.0);
        ask.reset();
        assert_eq!(ask.sharpness, SharpnessSpec::default());
    }

    #[test]
    fn without_a_dataset_there_is_nothing_to_ask() {
        assert!(Ask::default().probes(&SweepState::default()).is_empty());
    }
}
