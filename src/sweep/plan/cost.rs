//! What a probe costs, in forward passes of one image: an estimate, so that
//! time left and the order of work are sensible. A layer leaves everything
//! before it unchanged, so only what follows is run again.

use crate::sweep::event::Header;
use crate::sweep::ids::LayerId;
use crate::sweep::probe::Probe;
use crate::sweep::spec::SharpnessKind;

/// A backward pass beside the forward one, in forward passes.
const BACKWARD: f64 = 2.0;

/// A second derivative: forward and backward, twice.
const SECOND: f64 = 6.0;

/// Forward passes, in images, of one layer at one point (`None`: all at once);
/// at least 1.
#[must_use]
pub fn cost(header: &Header, probe: &Probe, layer: Option<LayerId>) -> u64 {
    let images = match probe {
        Probe::Sharpness { spec, .. } => {
            let passes = match spec.kind {
                SharpnessKind::Average => spec.draws as f64,
                SharpnessKind::Worst => {
                    (spec.steps * spec.restarts.max(1)) as f64 * (1.0 + BACKWARD)
                }
            };
            passes * spec.batch as f64 * spec.batches as f64
        }
        Probe::Path { spec, on, .. } => {
            let known = on.iter().filter_map(|id| header.datasets.get(id.index()));
            known.map(|info| info.images.min(spec.images) as f64).sum()
        }
        Probe::Curvature { spec, .. } => {
            let passes = (spec.probes + spec.iterations) as f64 * SECOND;
            passes * spec.batch as f64 * spec.batches as f64
        }
    };
    let part = layer.map_or(1.0, |id| suffix(header, id));
    // Rounding to a whole number of images loses nothing that matters.
    (images * part).clamp(1.0, 1e15) as u64
}

/// Part of the work that is run again from a layer on. Work follows parameters:
/// each matrix is used once per token.
fn suffix(header: &Header, id: LayerId) -> f64 {
    let Some(layer) = header.layers.get(id.index()) else { return 1.0 };
    let alike = header.layers.iter().enumerate();
    let alike = alike.filter(|(_, it)| it.units == layer.units && it.is_text() == layer.is_text());
    let (mut after, mut all) = (0.0, 0.0);
    for (index, it) in alike {
        all += it.parameters as f64;
        if index >= id.index() {
            after += it.parameters as f64;
        }
    }
    if all > 0.0 { after / all } else { 1.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sweep::event::{LayerInfo, SCHEMA};
    use crate::sweep::ids::DatasetId;
    use crate::sweep::spec::{Layers, SharpnessSpec};

    /// A layer's suffix is one of its own tower, also where layers are single tensors.
    #[test]
    fn a_suffix_ends_with_its_tower() {
        let layer = |name: &str, parameters| LayerInfo {
            name: name.into(),
            units: Layers::Tensor,
            parameters,
            moved: None,
            tensors: vec![name.into()],
        };
        let header = Header {
            schema: SCHEMA,
            spec_hash: String::new(),
            zeroshot: "zs".into(),
            finetuned: "ft".into(),
            label: None,
            architecture: "ViT".into(),
            alphas: Vec::new(),
            datasets: Vec::new(),
            variants: Vec::new(),
            layers: vec![
                layer("visual.conv1.weight", 300),
                layer("visual.proj", 100),
                layer("token_embedding.weight", 900),
                layer("text_projection", 100),
            ],
            seed: 0,
            batch: 1,
            stragglers: Default::default(),
        };
        let spec = SharpnessSpec { draws: 10, batch: 100, batches: 1, ..Default::default() };
        let probe = Probe::Sharpness { spec, on: DatasetId(0) };
        let costs = (0..4).map(|id| cost(&header, &probe, Some(LayerId(id))));
        assert_eq!(costs.collect::<Vec<_>>(), [1000, 250, 1000, 100]);
        assert_eq!(cost(&header, &probe, None), 1000);
    }
}
