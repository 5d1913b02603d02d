//! What the pretend engine answers to a probe. Every number depends on the
//! question, the seed and the point alone.

use super::SimEngine;
use super::layers::{blocks, straggles, weight};
use super::noise::{normal, uniform};
use crate::sweep::event::LayerInfo;
use crate::sweep::ids::{Alpha, DatasetId};
use crate::sweep::probe::{CurvatureResult, Direction, PathResult, ProbeResult, SharpnessResult};
use crate::sweep::spec::{
    BarrierSpec, Base, CurvatureSpec, Edit, Method, Norm, Scale, SharpnessKind, SharpnessSpec,
};

/// Rise of the loss of a usual layer at the default radius, in nats.
const USUAL_RISE: f64 = 0.02;

/// Forward passes a question takes.
pub(super) fn sharpness_steps(spec: &SharpnessSpec) -> usize {
    let draws = match spec.kind {
        SharpnessKind::Average => spec.draws,
        SharpnessKind::Worst => (spec.steps + 1) * spec.restarts.max(1),
    };
    spec.batches * draws
}

impl SimEngine {
    pub(super) fn sharpness(
        &self,
        spec: &SharpnessSpec,
        on: DatasetId,
        layer: Option<&LayerInfo>,
    ) -> SharpnessResult {
        let seed = self.header.seed;
        let level = self.rise(spec, layer);
        let base = self.loss(on);
        let name = layer.map_or("overall", |layer| &layer.name);
        let batch_noise = |b| normal(seed, "batch", &[on.index(), b]);
        let rises = |b: usize| match spec.kind {
            // The draws are the same at every point.
            SharpnessKind::Average => (0..spec.draws / 2)
                .map(|k| level * (1.0 + 0.12 * normal(seed, name, &[b, k]) + 0.06 * batch_noise(b)))
                .collect(),
            SharpnessKind::Worst => vec![(level * 6.0 * (1.0 + 0.1 * batch_noise(b))).max(0.0)],
        };
        let zeros = self.zeros(layer);
        let parameters = self.parameters(layer);
        SharpnessResult {
            losses: (0..spec.batches).map(|b| (base + 0.05 * batch_noise(b)).max(0.01)).collect(),
            rises: (0..spec.batches).map(rises).collect(),
            logit_scale: Some(100.0),
            parameters,
            frozen: match spec.scale {
                Scale::Own if spec.adaptive => (zeros * parameters as f64) as u64,
                _ => 0,
            },
        }
    }

    /// Mean rise, in nats.
    fn rise(&self, spec: &SharpnessSpec, layer: Option<&LayerInfo>) -> f64 {
        let blocks = blocks(&self.header);
        let of = |layer: &LayerInfo| {
            let a = self.alpha.get();
            let bump = 4.0 * a * (1.0 - a);
            let inner = if straggles(&layer.name, blocks) { 0.3 + 0.7 * bump } else { 1.0 };
            weight(&layer.name, blocks, self.header.seed) * inner * (1.0 - 0.35 * a + 0.2 * bump)
        };
        let whole = || self.of_units(spec).map(of).sum::<f64>() * 1.2;
        let mut level = USUAL_RISE * layer.map_or_else(whole, of) * (spec.rho / 0.2).powi(2);
        if spec.norm == Norm::Linf {
            level *= 0.35;
        }
        if spec.logit_normalization {
            level *= 0.5;
        }
        // A weight that is zero is not perturbed.
        if spec.adaptive && spec.scale == Scale::Own {
            level *= 1.0 - 0.8 * self.zeros(layer);
        }
        level
    }

    /// The layers of the granularity asked for, else the blocks.
    fn of_units(&self, spec: &SharpnessSpec) -> impl Iterator<Item = &LayerInfo> {
        let known = self.header.layers.iter().any(|layer| layer.units == spec.layers);
        let units = if known { spec.layers } else { Default::default() };
        self.header.layers.iter().filter(move |layer| layer.units == units)
    }

    fn parameters(&self, layer: Option<&LayerInfo>) -> u64 {
        let blocks = || self.of_units(&SharpnessSpec::default()).map(|it| it.parameters).sum();
        layer.map_or_else(blocks, |layer| layer.parameters)
    }

    /// Mean cross-entropy at this point, in nats.
    fn loss(&self, dataset: DatasetId) -> f64 {
        2.2 - 1.8 * self.accuracy(dataset, self.alpha)
    }

    /// Part of a layer's weights that the variant sets to zero.
    fn zeros(&self, layer: Option<&LayerInfo>) -> f64 {
        let part = |edit: &Edit| match edit.method {
            Method::Magnitude => edit.amount,
            Method::NOfM => 1.0 - edit.n as f64 / edit.m.max(1) as f64,
            Method::Delta | Method::Dare | Method::Reset => 0.0,
        };
        let touches = |edit: &&Edit| match layer {
            Some(layer) => {
                let inside = self.header.layers.iter().find(|it| it.name == edit.layer);
                inside.is_some_and(|it| it.tensors.iter().any(|t| layer.tensors.contains(t)))
            }
            None => true,
        };
        let most = self.variant.sparsify.iter().filter(touches).map(part).fold(0.0, f64::max);
        let share =
            if layer.is_some() { 1.0 } else { 1.0 / self.header.layers.len().max(1) as f64 };
        (most * share).clamp(0.0, 1.0)
    }

    pub(super) fn path(
        &self,
        spec: &BarrierSpec,
        on: &[DatasetId],
        direction: Direction,
        layer: &LayerInfo,
    ) -> Vec<PathResult> {
        let base = match spec.base {
            Base::Finetuned => Alpha::FINE_TUNED,
            Base::Zeroshot => Alpha::ZERO_SHOT,
            Base::Midpoint => Alpha::new(0.5).unwrap_or(Alpha::ZERO_SHOT),
        };
        let a = self.alpha.get();
        let bump = (4.0 * a * (1.0 - a)).max(0.0);
        let depth = match direction {
            Direction::Path if straggles(&layer.name, blocks(&self.header)) => 0.25,
            Direction::Path => 0.012 * uniform(self.header.seed, &layer.name, &[1]),
            Direction::Random => 0.01,
        };
        let of = |&dataset: &DatasetId| {
            let (there, here) = (self.accuracy(dataset, base), self.accuracy(dataset, self.alpha));
            let top1 = (there + 0.08 * (here - there) - depth * bump).clamp(0.01, 0.99);
            let known = self.header.datasets.get(dataset.index()).map_or(0, |info| info.images);
            let images = spec.images.min(known);
            let hits = (0..images).map(|position| self.draw(dataset, position) < top1);
            PathResult {
                dataset,
                images,
                correct: hits.clone().filter(|&hit| hit).count(),
                loss_sum: images as f64 * (2.2 - 1.8 * top1),
                hits: hits.collect(),
            }
        };
        on.iter().map(of).collect()
    }

    pub(super) fn curvature(&self, spec: &CurvatureSpec, layer: &LayerInfo) -> CurvatureResult {
        let seed = self.header.seed;
        let level =
            weight(&layer.name, blocks(&self.header), seed) * (1.3 - 0.6 * self.alpha.get());
        let trace = 20.0 * level;
        let quadratic = |b: usize| {
            let one =
                |k| trace * (1.0 + 0.2 * normal(seed, &layer.name, &[k, 2]) + 0.02 * b as f64);
            (0..spec.probes).map(one).collect()
        };
        let eigenvalue = |b: usize| 3.0 * level * (1.0 + 0.05 * normal(seed, &layer.name, &[b, 3]));
        CurvatureResult {
            quadratic: (0..spec.batches).map(quadratic).collect(),
            eigenvalues: (0..spec.batches).map(eigenvalue).collect(),
            residuals: vec![
                0.8_f64.powi(i32::try_from(spec.iterations).unwrap_or(99));
                spec.batches
            ],
            parameters: layer.parameters,
        }
    }

    /// The question's answer without its steps.
    pub(super) fn answer(
        &self,
        probe: &crate::sweep::probe::Probe,
        layer: Option<&LayerInfo>,
    ) -> Option<ProbeResult> {
        use crate::sweep::probe::Probe;
        Some(match probe {
            Probe::Sharpness { spec, on } => {
                ProbeResult::Sharpness(self.sharpness(spec, *on, layer))
            }
            Probe::Path { spec, on, direction } => {
                ProbeResult::Path { on: self.path(spec, on, *direction, layer?) }
            }
            Probe::Curvature { spec, .. } => ProbeResult::Curvature(self.curvature(spec, layer?)),
        })
    }
}

/// What a variant's edits do to accuracy at a point, as a fraction. Editing the
/// straggler's change repairs the middle of the path; any other edit costs a
/// little. Amount 0 does nothing, and what acts on θ₁ − θ₀ does nothing at θ₀.
pub(super) fn shift(edits: &[Edit], blocks: usize, seed: u64, alpha: Alpha) -> f64 {
    let a = alpha.get();
    let bump = 4.0 * a * (1.0 - a);
    let of = |edit: &Edit| {
        let harm = 0.01 + 0.03 * uniform(seed, &edit.layer, &[4]);
        let on_path = |amount: f64| match straggles(&edit.layer, blocks) {
            true => amount * (0.08 * bump - 0.02 * a),
            false => -amount * harm * a,
        };
        match edit.method {
            Method::Reset => on_path(1.0),
            Method::Delta => on_path(edit.amount),
            Method::Dare => on_path(edit.amount) * 0.5,
            Method::Magnitude => -0.3 * edit.amount.powi(3) * (0.5 + harm),
            Method::NOfM => -0.05 * (1.0 - edit.n as f64 / edit.m.max(1) as f64),
        }
    };
    edits.iter().map(of).sum()
}
