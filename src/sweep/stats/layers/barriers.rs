//! Barriers of layer-wise paths: accuracy while one layer alone moves
//! (Adilova et al. 2024).

use super::super::chord::{below, deepest, drawn_below, highest};
use super::super::replicates::{Replicates, whole};
use super::super::weights::Weights;
use crate::sweep::event::Bits;
use crate::sweep::ids::{AlphaId, DatasetId, LayerId, ProbeCell, ProbeId, VariantId};
use crate::sweep::probe::{PathResult, Probe, ProbeResult};
use crate::sweep::state::{SweepState, layers_of};

/// B_ℓ = max over 0 ≤ α ≤ 1 of (1−α)·A_ℓ(0) + α·A_ℓ(1) − A_ℓ(α), in percentage
/// points; 0 where the curve never falls below its chord.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerBarrier {
    /// Which layer moves.
    pub layer: LayerId,
    /// Whose images.
    pub dataset: DatasetId,
    /// Height, percentage points.
    pub value: f64,
    /// Standard error by paired Poisson bootstrap over images (every draw
    /// chooses its own highest point), percentage points.
    pub stderr: f64,
    /// Where it is highest; `None` where there is none.
    pub alpha: Option<AlphaId>,
    /// Images compared.
    pub images: usize,
    /// True when every point of the path in the grid takes part.
    pub complete: bool,
}

impl LayerBarrier {
    /// Height in standard errors: without end where every image agrees on a
    /// barrier; 0 where there is none, or a single image, whose error cannot be
    /// known.
    #[must_use]
    pub fn in_errors(&self) -> f64 {
        if self.value > 0.0 && self.images > 1 { self.value / self.stderr } else { 0.0 }
    }
}

/// The layer's own path on one dataset: the result at each point, `None` where
/// it is not measured.
#[must_use]
pub fn layer_path(
    state: &SweepState,
    probe: ProbeId,
    variant: VariantId,
    layer: LayerId,
    dataset: DatasetId,
) -> Vec<Option<&PathResult>> {
    let at = |alpha| {
        let cell = ProbeCell { probe, variant, alpha, layer: Some(layer) };
        match state.probed(cell)? {
            ProbeResult::Path { on } => on.iter().find(|it| it.dataset == dataset),
            _ => None,
        }
    };
    (0..state.alphas().len()).map(AlphaId).map(at).collect()
}

/// Barrier of every layer on every dataset of a layer-wise path, in the order
/// of layers; those whose ends and some point between are measured.
#[must_use]
pub fn layer_barriers(state: &SweepState, probe: ProbeId, variant: VariantId) -> Vec<LayerBarrier> {
    let known = state.header().zip(state.probe(probe));
    let Some((header, Probe::Path { on, .. })) = known.map(|(h, it)| (h, &it.probe)) else {
        return Vec::new();
    };
    let Some(known) = state.probe(probe) else { return Vec::new() };
    layers_of(header, known.probe.layers())
        .flat_map(|layer| on.iter().map(move |&dataset| (layer, dataset)))
        .filter_map(|(layer, dataset)| layer_barrier(state, probe, variant, layer, dataset))
        .collect()
}

fn layer_barrier(
    state: &SweepState,
    probe: ProbeId,
    variant: VariantId,
    layer: LayerId,
    dataset: DatasetId,
) -> Option<LayerBarrier> {
    let path = layer_path(state, probe, variant, layer, dataset);
    let inside = |alpha: f64| (0.0..=1.0).contains(&alpha);
    let points: Vec<(AlphaId, f64, &PathResult)> = std::iter::zip(state.alphas(), path)
        .enumerate()
        .filter_map(|(i, (alpha, result))| Some((AlphaId(i), alpha.get(), result?)))
        .filter(|(_, alpha, _)| inside(*alpha))
        .collect();
    let (first, last) = (points.first()?, points.last()?);
    if points.len() < 3 || first.1 != 0.0 || last.1 != 1.0 {
        return None;
    }
    let key = (probe, variant, layer, dataset);
    let ids: Vec<AlphaId> = points.iter().map(|(id, ..)| *id).collect();
    let complete = ids.len() == state.alphas().iter().filter(|it| inside(it.get())).count();
    let seed = state.header()?.seed;
    // Results never change: it is made anew only where there are more.
    state.memo.barrier(key, &ids, || of_points(seed, (layer, dataset), &points, complete))
}

fn of_points(
    seed: u64,
    (layer, dataset): (LayerId, DatasetId),
    points: &[(AlphaId, f64, &PathResult)],
    complete: bool,
) -> Option<LayerBarrier> {
    let hits: Vec<&Bits> = points.iter().map(|(_, _, result)| &result.hits).collect();
    let mut sums = Replicates::new(points.len());
    sums.add(&mut Weights::new(seed, dataset.index() as u64), 0, &hits);
    if sums.images == 0 {
        return None;
    }
    let alphas: Vec<f64> = points.iter().map(|(_, alpha, _)| *alpha).collect();
    let deepest = deepest(&below(&alphas, &sums.accuracy()));
    let mut worst = highest(&drawn_below(&alphas, &whole(sums.draws())));
    worst.iter_mut().for_each(|draw| *draw = draw.max(0.0));
    let mean = worst.iter().sum::<f64>() / worst.len() as f64;
    let squares = worst.iter().map(|draw| (draw - mean).powi(2)).sum::<f64>();
    Some(LayerBarrier {
        layer,
        dataset,
        value: 100.0 * deepest.map_or(0.0, |(_, depth)| depth),
        stderr: 100.0 * (squares / (worst.len() as f64 - 1.0).max(1.0)).sqrt(),
        alpha: deepest.map(|(point, _)| points[point + 1].0),
        images: sums.images,
        complete,
    })
}
