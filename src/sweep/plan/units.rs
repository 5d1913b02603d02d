//! Units of work, and their order.

use std::collections::VecDeque;
use std::ops::Range;

use super::{Shard, alpha_order, cost, positions};
use crate::sweep::event::Header;
use crate::sweep::ids::{AlphaId, CellId, DatasetId, ProbeCell, ProbeId, RoundId, Task, VariantId};
use crate::sweep::probe::Probe;
use crate::sweep::state::{SweepState, cells_at};

/// What a worker measures at a time. Of one variant: two are never mixed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Unit {
    /// One cell in one round.
    Accuracy {
        /// Which cell.
        cell: CellId,
        /// Which round of its dataset.
        round: RoundId,
        /// Positions in the dataset's seeded order.
        positions: Range<usize>,
    },
    /// One layer of a probe at one point.
    Probe {
        /// Which.
        cell: ProbeCell,
        /// See [`cost`](super::cost).
        cost: u64,
    },
}

/// Cells of a probe that share what an engine keeps of a point: one worker
/// measures them in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Group {
    /// Which probe.
    pub probe: ProbeId,
    /// Which sparsification.
    pub variant: VariantId,
    /// Which point.
    pub alpha: AlphaId,
}

impl Unit {
    /// Forward passes, in images.
    #[must_use]
    pub fn cost(&self) -> u64 {
        match self {
            Self::Accuracy { positions, .. } => positions.len() as u64,
            Self::Probe { cost, .. } => *cost,
        }
    }

    /// What it is a part of.
    #[must_use]
    pub fn task(&self) -> Task {
        match self {
            Self::Accuracy { cell, .. } => Task::Accuracy(*cell),
            Self::Probe { cell, .. } => Task::Probe(*cell),
        }
    }

    /// Which sparsification it measures.
    #[must_use]
    pub fn variant(&self) -> VariantId {
        self.task().variant()
    }

    /// The group of a probe's unit.
    #[must_use]
    pub fn group(&self) -> Option<Group> {
        match self {
            Self::Accuracy { .. } => None,
            Self::Probe { cell: ProbeCell { probe, variant, alpha, .. }, .. } => {
                Some(Group { probe: *probe, variant: *variant, alpha: *alpha })
            }
        }
    }
}

/// The points a probe looks at, in the order they are measured.
#[must_use]
pub fn alphas_of(header: &Header, probe: &Probe) -> Vec<AlphaId> {
    let all = alpha_order(header.alphas.len());
    let Probe::Curvature { spec, .. } = probe else { return all };
    match &spec.alphas {
        Some(points) => {
            let asked = |id: &AlphaId| points.contains(&header.alphas[id.index()]);
            all.into_iter().filter(asked).collect()
        }
        None => all.into_iter().take(3).collect(),
    }
}

/// The variants a probe looks at: sharpness at all that the spec names, for
/// comparing them; what tells of the path itself at the dense one alone.
#[must_use]
pub fn variants_of(header: &Header, probe: &Probe) -> Vec<VariantId> {
    match probe {
        Probe::Sharpness { .. } => (0..header.variants.len()).map(VariantId).collect(),
        Probe::Path { .. } | Probe::Curvature { .. } => vec![VariantId::DENSE],
    }
}

/// Everything `shard` still owes after `state`, in the order it is measured:
///
/// 1. the first round of every variant, and of a variant that joined late what
///    the dense one has already;
/// 2. then rounds and probes in turn, so that both take about as long.
#[must_use]
pub fn owed(header: &Header, shard: Shard, state: &SweepState) -> Vec<Unit> {
    let rounds = rounds(header, shard, state);
    let reached = rounds
        .iter()
        .flatten()
        .filter_map(|unit| match unit {
            Unit::Accuracy { cell, round, .. } => {
                (cell.variant == VariantId::DENSE && !state.is_left_out(*cell)).then_some(*round)
            }
            Unit::Probe { .. } => None,
        })
        .min()
        .unwrap_or(RoundId(usize::MAX));
    let (mut first, mut rest) = (Vec::new(), VecDeque::new());
    for (round, units) in rounds.into_iter().enumerate() {
        let late = |unit: &Unit| unit.variant() != VariantId::DENSE && RoundId(round) < reached;
        let (head, tail): (Vec<_>, Vec<_>) =
            units.into_iter().partition(|unit| round == 0 || late(unit));
        first.extend(head);
        rest.push_back(tail);
    }
    first.extend(in_turn(rest, groups(header, shard, state)));
    first
}

/// Units of accuracy, round by round.
fn rounds(header: &Header, shard: Shard, state: &SweepState) -> Vec<Vec<Unit>> {
    let alphas = alpha_order(header.alphas.len());
    let most = header.datasets.iter().map(|d| d.rounds.len()).max().unwrap_or(0);
    let of = |round: RoundId| {
        let mut units = Vec::new();
        for variant in (0..state.variants().len()).map(VariantId) {
            for &alpha in &alphas {
                for dataset in (0..header.datasets.len()).map(DatasetId) {
                    let cell = CellId { variant, dataset, alpha };
                    let Some(positions) = positions(header, dataset, round) else { continue };
                    let wanted = round.index() < state.rounds_owed(cell);
                    if wanted && shard.has(header, cell) && !state.has(cell, round) {
                        units.push(Unit::Accuracy { cell, round, positions });
                    }
                }
            }
        }
        units
    };
    (0..most).map(RoundId).map(of).collect()
}

/// Units of probes, group by group: every probe at one point before the next
/// point.
fn groups(header: &Header, shard: Shard, state: &SweepState) -> VecDeque<Vec<Unit>> {
    let mut groups = VecDeque::new();
    let probes = || state.probes().iter().enumerate().map(|(id, it)| (ProbeId(id), &it.probe));
    for variant in (0..header.variants.len()).map(VariantId) {
        for alpha in alpha_order(header.alphas.len()) {
            for (id, probe) in probes() {
                let group = Group { probe: id, variant, alpha };
                let asked = variants_of(header, probe).contains(&variant)
                    && alphas_of(header, probe).contains(&alpha)
                    && shard.has_group(header, group);
                if !asked {
                    continue;
                }
                let cells = cells_at(header, probe, id, variant, alpha);
                let owed = cells.filter(|&cell| state.probed(cell).is_none());
                let units: Vec<Unit> = owed
                    .map(|cell| Unit::Probe { cell, cost: cost(header, probe, cell.layer) })
                    .collect();
                if !units.is_empty() {
                    groups.push_back(units);
                }
            }
        }
    }
    groups
}

/// Whole rounds and whole groups, whichever took less so far.
fn in_turn(mut rounds: VecDeque<Vec<Unit>>, mut groups: VecDeque<Vec<Unit>>) -> Vec<Unit> {
    let (mut of_rounds, mut of_groups) = (0, 0);
    let mut units = Vec::new();
    loop {
        let rounds_next = groups.is_empty() || (of_rounds <= of_groups && !rounds.is_empty());
        let (from, spent) = match rounds_next {
            true => (&mut rounds, &mut of_rounds),
            false => (&mut groups, &mut of_groups),
        };
        let Some(next) = from.pop_front() else { return units };
        *spent += next.iter().map(Unit::cost).sum::<u64>();
        units.extend(next);
    }
}
