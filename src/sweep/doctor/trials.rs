//! Which edits are tried.

use crate::sweep::event::Header;
use crate::sweep::ids::{LayerId, VariantId};
use crate::sweep::spec::{DoctorSpec, Edit, Method, Thresholds, Variant};
use crate::sweep::state::SweepState;
use crate::sweep::stats::{LayerBarrier, LayerVerdict, stragglers};

/// Whose edits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Group {
    /// Layers that straggle by a criterion (or come closest to it).
    Straggler,
    /// As many others, drawn at random.
    Control,
}

/// One variant that is tried.
#[derive(Clone, Debug, PartialEq)]
pub struct Trial {
    /// What is done.
    pub variant: Variant,
    /// To whom.
    pub group: Group,
}

impl Trial {
    /// The run's variant with these edits.
    #[must_use]
    pub fn id(&self, state: &SweepState) -> Option<VariantId> {
        state.variant_that(&self.variant.sparsify)
    }
}

/// Of a dataset whose rounds end there: how many rounds are for tuning, so that
/// about a third of the images are; 0 when there is but one round, which cannot
/// be parted. Few edits are chosen among, one is judged: most images are for the
/// judgement.
#[must_use]
pub fn tuning_rounds(ends: &[usize]) -> usize {
    let images = ends.last().copied().unwrap_or(0);
    let inner = &ends[..ends.len().saturating_sub(1)];
    let nearest = (0..inner.len()).min_by_key(|&round| (inner[round] * 3).abs_diff(images));
    nearest.map_or(0, |round| round + 1)
}

/// Everything the doctor tries after `state`: treatments of each straggler and
/// of its control in turn, and of all together where there are several. Depends
/// on the numbers of the dense path alone.
#[must_use]
pub fn trials(state: &SweepState, spec: &DoctorSpec) -> Vec<Trial> {
    let Some(header) = state.header() else { return Vec::new() };
    let verdicts = stragglers(state, VariantId::DENSE, spec.layers);
    let treatments = treatments(spec);
    let pairs = spec.variants / 2;
    let most = (pairs / treatments.len().max(1)).max(1);
    let (sick, well) = chosen(header, &verdicts, most);
    let mut trials = Vec::new();
    for &(method, amount) in &treatments {
        let single = |layer: &LayerId| vec![*layer];
        let mut sick_sets: Vec<Vec<LayerId>> = sick.iter().map(single).collect();
        let mut well_sets: Vec<Vec<LayerId>> = well.iter().map(single).collect();
        if sick.len() > 1 && well.len() == sick.len() {
            sick_sets.push(sick.clone());
            well_sets.push(well.clone());
        }
        for (group, sets) in [(Group::Straggler, sick_sets), (Group::Control, well_sets)] {
            let of = |set: Vec<LayerId>| {
                let variant = variant(header, group, &set, method, amount);
                Trial { variant, group }
            };
            trials.extend(sets.into_iter().map(of));
        }
    }
    // Half of them are of either group, whatever the budget.
    let mut left = [pairs.max(1); 2];
    trials.retain(|trial| {
        let left = &mut left[usize::from(trial.group == Group::Control)];
        let fits = *left > 0;
        *left = left.saturating_sub(1);
        fits
    });
    trials
}

fn treatments(spec: &DoctorSpec) -> Vec<(Method, f64)> {
    let of = |&method: &Method| match method {
        Method::Reset | Method::NOfM => vec![(method, 1.0)],
        _ => spec.amounts.iter().map(|&amount| (method, amount)).collect(),
    };
    spec.methods.iter().flat_map(of).collect()
}

/// Stragglers, the clearest first (where no criterion fires: the one that comes
/// closest), and as many others at random.
fn chosen(header: &Header, verdicts: &[LayerVerdict], most: usize) -> (Vec<LayerId>, Vec<LayerId>) {
    let mut ranked: Vec<(&LayerVerdict, f64)> =
        verdicts.iter().filter_map(|it| Some((it, strength(it, &header.stragglers)?))).collect();
    ranked.sort_by(|a, b| b.0.is_straggler().cmp(&a.0.is_straggler()).then(b.1.total_cmp(&a.1)));
    let fired = ranked.iter().filter(|(it, _)| it.is_straggler()).count();
    let sick: Vec<LayerId> =
        ranked.iter().take(fired.clamp(1, most)).map(|(it, _)| it.layer).collect();
    let key = |id: LayerId| {
        let name = header.layers.get(id.index()).map_or("", |layer| &layer.name);
        let mut hash = blake3::Hasher::new();
        hash.update(b"doctor").update(&header.seed.to_le_bytes()).update(name.as_bytes());
        *hash.finalize().as_bytes()
    };
    let others = verdicts.iter().filter(|it| !it.is_straggler() && !sick.contains(&it.layer));
    let mut well: Vec<LayerId> = others.map(|it| it.layer).collect();
    well.sort_by_key(|&id| key(id));
    well.truncate(sick.len());
    (sick, well)
}

/// How far a layer is above the thresholds, at its clearest criterion: 1 at the
/// threshold. `None` where nothing is known of it.
fn strength(it: &LayerVerdict, limits: &Thresholds) -> Option<f64> {
    let barrier = it.barrier.as_ref().map(LayerBarrier::in_errors);
    let all = [
        it.score.map(|z| z / limits.sharpness),
        it.rise.map(|z| z / limits.sharpness),
        it.distance.map(|z| z / limits.distance),
        barrier.map(|errors| errors / limits.barrier),
    ];
    all.into_iter().flatten().reduce(f64::max)
}

fn variant(
    header: &Header,
    group: Group,
    layers: &[LayerId],
    method: Method,
    amount: f64,
) -> Variant {
    let names = || layers.iter().filter_map(|id| header.layers.get(id.index()));
    let edit = |layer: &crate::sweep::event::LayerInfo| Edit {
        layer: layer.name.clone(),
        method,
        amount,
        n: 2,
        m: 4,
        embeddings: false,
    };
    let how = match method {
        Method::Reset => "reset".to_string(),
        Method::NOfM => "2:4".to_string(),
        Method::Magnitude => format!("magnitude {amount}"),
        Method::Delta => format!("delta {amount}"),
        Method::Dare => format!("dare {amount}"),
    };
    let whom = match names().next() {
        Some(layer) if layers.len() == 1 => layer.name.clone(),
        _ => format!("{} layers", layers.len()),
    };
    let group = match group {
        Group::Straggler => "doctor",
        Group::Control => "control",
    };
    Variant { name: format!("{group}: {how} {whom}"), sparsify: names().map(edit).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sweep::plan::rounds;

    #[test]
    fn about_a_third_is_for_tuning_and_the_rest_is_never_empty() {
        for images in [2, 3, 30, 213, 530, 10_000, 50_000] {
            let ends = rounds(images, 128);
            let tuning = tuning_rounds(&ends);
            assert!(tuning >= 1 && tuning < ends.len(), "{images}: {ends:?}");
            let part = ends[tuning - 1] as f64 / images as f64;
            assert!(images < 30 || (0.2..0.55).contains(&part), "{images}: {part}");
        }
        assert_eq!(tuning_rounds(&[7]), 0);
        assert_eq!(tuning_rounds(&[]), 0);
    }
}
