//! Barriers of layer-wise paths: accuracy while one layer alone moves
//! (Adilova et al. 2024).

use super::super::bootstrap::{DRAWS, resample};
use super::super::paired::Paired;
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
    /// Standard error by paired bootstrap over images (every draw chooses its
    /// own highest point), percentage points.
    pub stderr: f64,
    /// Where it is highest; `None` where there is none.
    pub alpha: Option<AlphaId>,
    /// Images compared.
    pub images: usize,
    /// True when every point of the path in the grid takes part.
    pub complete: bool,
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
    let hits: Vec<&Bits> = points.iter().map(|(_, _, result)| &result.hits).collect();
    let paired = Paired::from_hits(points.len(), [hits.as_slice()])?;
    let end = points.len() - 1;
    let below = |accuracy: &[f64], point: usize| {
        let alpha = points[point].1;
        (1.0 - alpha) * accuracy[0] + alpha * accuracy[end] - accuracy[point]
    };
    let barrier = |accuracy: &[f64]| (1..end).map(|p| below(accuracy, p)).fold(0.0, f64::max);
    let accuracy = paired.accuracy();
    let value = barrier(&accuracy);
    let seed = state.header()?.seed;
    // A stream of its own for each layer and dataset, apart from the sweep's.
    let stream = ((layer.index() as u64 + 1) << 32) | dataset.index() as u64;
    let draws: Vec<f64> =
        resample(&paired, seed, stream, DRAWS).chunks_exact(points.len()).map(barrier).collect();
    let mean = draws.iter().sum::<f64>() / draws.len() as f64;
    let variance = draws.iter().map(|draw| (draw - mean).powi(2)).sum::<f64>();
    let highest = (1..end)
        .reduce(|a, b| if below(&accuracy, b) > below(&accuracy, a) { b } else { a })
        .filter(|&point| below(&accuracy, point) > 0.0);
    Some(LayerBarrier {
        layer,
        dataset,
        value: 100.0 * value,
        stderr: 100.0 * (variance / (draws.len() - 1) as f64).sqrt(),
        alpha: highest.map(|point| points[point].0),
        images: paired.images,
        complete: points.len() == state.alphas().iter().filter(|a| inside(a.get())).count(),
    })
}
