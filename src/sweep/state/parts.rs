//! Runs that are measured in parts: how they ended, and what is missing of them.

use std::collections::BTreeSet;

use super::probes::cells_at;
use super::{CellState, Status, SweepState};
use crate::sweep::event::Outcome;
use crate::sweep::ids::{ProbeId, RoundId, VariantId};
use crate::sweep::plan::{alphas_of, variants_of};

impl SweepState {
    /// How the run ended when a session has: one that measured a part says nothing of
    /// the others, which may be missing, or measured just now.
    pub(super) fn ended(&self, outcome: Outcome) -> Option<Outcome> {
        if self.parts.is_empty() {
            return Some(outcome);
        }
        let cells = self.cell_ids().all(|id| {
            let tried = |cell: &CellState| cell.failed.is_some();
            let enough = || (0..self.rounds_owed(id)).all(|round| self.has(id, RoundId(round)));
            self.is_left_out(id) || self.cell(id).is_some_and(tried) || enough()
        });
        if !cells || !self.probes_tried() {
            return None;
        }
        let failed = |id| self.status(id).is_some_and(|it| matches!(it, Status::Failed(_)));
        let probes = self.probes().iter().any(|it| it.failures().next().is_some());
        let failed = probes || self.cell_ids().any(failed);
        Some(if failed { Outcome::Partial } else { Outcome::Complete })
    }

    /// True when every cell of every probe that is wanted was tried.
    fn probes_tried(&self) -> bool {
        let Some(header) = &self.header else { return true };
        self.probes().iter().enumerate().filter(|(_, it)| !it.cancelled).all(|(index, it)| {
            let (id, probe) = (ProbeId(index), &it.probe);
            let wanted = |variant: &VariantId| !self.is_dropped(*variant);
            variants_of(header, probe).into_iter().filter(wanted).all(|variant| {
                alphas_of(header, probe).into_iter().all(|alpha| {
                    cells_at(header, probe, id, variant, alpha)
                        .all(|cell| it.answer(cell).is_some())
                })
            })
        })
    }

    /// What people are told of parts that are missing, or that overlap; nothing of a
    /// run that was measured as a whole, or is.
    #[must_use]
    pub fn parts_told(&self) -> Option<String> {
        let counts: BTreeSet<usize> = self.parts.iter().map(|part| part.1).collect();
        let list = |parts: &mut dyn Iterator<Item = (usize, usize)>| {
            parts.map(|(index, of)| format!("{index}/{of}")).collect::<Vec<_>>().join(", ")
        };
        let there = list(&mut self.parts.iter().copied());
        match counts.len() {
            0 => None,
            1 if self.outcome.is_some() => None,
            1 => {
                let of = counts.first().copied().unwrap_or(1);
                let all = (1..=of).map(|index| (index, of));
                let missing = list(&mut all.filter(|part| !self.parts.contains(part)));
                (!missing.is_empty()).then(|| {
                    format!(
                        "only a part of the run is in this folder ({there}): {missing} is not \
                         there (yet)"
                    )
                })
            }
            _ => Some(format!(
                "the run was measured in parts that overlap ({there}): what was measured twice \
                 counts once; go on with it in one way, as with `sweep --resume`"
            )),
        }
    }
}
