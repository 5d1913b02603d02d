//! The part of the fold that knows probes: what was asked, and what came out.

use std::collections::BTreeMap;

use crate::sweep::event::Header;
use crate::sweep::ids::{AlphaId, LayerId, ProbeCell, ProbeId, VariantId};
use crate::sweep::probe::{Probe, ProbeResult, Probed};
use crate::sweep::spec::Layers;

/// One probe: what was asked and what came out so far.
#[derive(Clone, Debug, PartialEq)]
pub struct ProbeState {
    /// What was asked.
    pub probe: Probe,
    /// A person wants no more of it.
    pub cancelled: bool,
    cells: BTreeMap<ProbeCell, Answer>,
}

/// How one cell of a probe came out.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// Measured.
    Known(Box<Probed>),
    /// Could not be measured; the message says why.
    Failed(String),
}

impl ProbeState {
    fn new(probe: Probe) -> Self {
        Self { probe, cancelled: false, cells: BTreeMap::new() }
    }

    /// How a cell came out; `None` before that.
    #[must_use]
    pub fn answer(&self, cell: ProbeCell) -> Option<&Answer> {
        self.cells.get(&cell)
    }

    /// The result of a cell; `None` where there is none.
    #[must_use]
    pub fn result(&self, cell: ProbeCell) -> Option<&ProbeResult> {
        match self.cells.get(&cell)? {
            Answer::Known(probed) => Some(&probed.result),
            Answer::Failed(_) => None,
        }
    }

    /// Every result, in the order of ids.
    pub fn results(&self) -> impl Iterator<Item = &Probed> {
        self.cells.values().filter_map(|answer| match answer {
            Answer::Known(probed) => Some(&**probed),
            Answer::Failed(_) => None,
        })
    }

    /// Every cell that could not be measured, and why.
    pub fn failures(&self) -> impl Iterator<Item = (ProbeCell, &str)> {
        self.cells.iter().filter_map(|(&cell, answer)| match answer {
            Answer::Failed(message) => Some((cell, message.as_str())),
            Answer::Known(_) => None,
        })
    }
}

/// All probes of a run, in the order they were asked for.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Probes {
    list: Vec<ProbeState>,
}

impl Probes {
    pub(super) fn list(&self) -> &[ProbeState] {
        &self.list
    }

    /// A probe joins, or is taken back when it was asked for before.
    pub(super) fn ask(&mut self, probe: &Probe) {
        match self.list.iter_mut().find(|known| known.probe == *probe) {
            Some(known) => known.cancelled = false,
            None => self.list.push(ProbeState::new(probe.clone())),
        }
    }

    /// False for an unknown probe.
    pub(super) fn cancel(&mut self, id: ProbeId) -> bool {
        let known = self.list.get_mut(id.index());
        known.map(|probe| probe.cancelled = true).is_some()
    }

    /// Keeps an answer; a result stands over a failure, and over what comes
    /// later. False when it is not news, `None` when it fits no probe.
    pub(super) fn answer(
        &mut self,
        header: &Header,
        cell: ProbeCell,
        mut answer: Answer,
    ) -> Option<bool> {
        let known = self.list.get_mut(cell.probe.index())?;
        let of_kind = match &mut answer {
            Answer::Known(probed) => {
                trim(&mut probed.result);
                is_whole(&known.probe, &probed.result)
            }
            Answer::Failed(_) => true,
        };
        if !of_kind || !has_layer(header, &known.probe, cell.layer) {
            return None;
        }
        if matches!(known.cells.get(&cell), Some(Answer::Known(_))) {
            return Some(false);
        }
        known.cells.insert(cell, answer);
        Some(true)
    }
}

/// A journal's bits come in whole bytes: as many are kept as there are images.
fn trim(result: &mut ProbeResult) {
    let ProbeResult::Path { on } = result else { return };
    for it in on {
        it.hits = std::mem::take(&mut it.hits).with_len(it.images).unwrap_or_default();
    }
}

/// True when the probe looks at that layer (`None`: at all at once).
fn has_layer(header: &Header, probe: &Probe, layer: Option<LayerId>) -> bool {
    match layer {
        None => probe.overall(),
        Some(id) => {
            header.layers.get(id.index()).is_some_and(|layer| layer.units == probe.layers())
        }
    }
}

/// True when a result is of the probe's kind, whole, and finite: only such are
/// kept.
#[must_use]
pub fn is_whole(probe: &Probe, result: &ProbeResult) -> bool {
    match (probe, result) {
        (Probe::Sharpness { .. }, ProbeResult::Sharpness(it)) => {
            let finite = it.rises.iter().flatten().chain(&it.losses).all(|x| x.is_finite());
            finite && !it.losses.is_empty() && it.losses.len() == it.rises.len()
        }
        (Probe::Path { on, .. }, ProbeResult::Path { on: results }) => {
            let of_set = std::iter::zip(on, results).all(|(&dataset, it)| {
                let correct = it.hits.iter().filter(|&hit| hit).count();
                it.dataset == dataset
                    && it.hits.len() == it.images
                    && correct == it.correct
                    && it.loss_sum.is_finite()
            });
            on.len() == results.len() && of_set
        }
        (Probe::Curvature { .. }, ProbeResult::Curvature(it)) => {
            let numbers = it.quadratic.iter().flatten().chain(&it.eigenvalues);
            numbers.chain(&it.residuals).all(|x| x.is_finite())
        }
        _ => false,
    }
}

/// Every layer of that granularity, in the order of the forward pass.
pub fn layers_of(header: &Header, units: Layers) -> impl Iterator<Item = LayerId> + '_ {
    let layers = header.layers.iter().enumerate();
    layers.filter(move |(_, layer)| layer.units == units).map(|(index, _)| LayerId(index))
}

/// Every cell that a probe asks for of one variant at one point: all layers at
/// once first, then each, in the order of the forward pass.
pub fn cells_at(
    header: &Header,
    probe: &Probe,
    id: ProbeId,
    variant: VariantId,
    alpha: AlphaId,
) -> impl Iterator<Item = ProbeCell> {
    let overall = probe.overall().then_some(None);
    let layers: Vec<_> = layers_of(header, probe.layers()).map(Some).collect();
    let all = overall.into_iter().chain(layers);
    all.map(move |layer| ProbeCell { probe: id, variant, alpha, layer })
}
