//! The fold of a run's events: the only reader of them. Screen, report,
//! headless table, watch and resume all ask this.

mod cell;
mod parts;
mod probes;
mod zeros;

pub use cell::{CellState, Status};
pub use probes::{Answer, ProbeState, cells_at, is_whole, layers_of};

use std::collections::{BTreeMap, BTreeSet};

use cell::Round;
use probes::Probes;
use zeros::Counts;

use super::doctor::tuning_rounds;
use super::event::{DatasetInfo, Event, Header, LayerInfo, Level, Measured, Outcome};
use super::ids::{
    Alpha, AlphaId, CellId, DatasetId, LayerId, ProbeCell, ProbeId, RoundId, VariantId,
};
use super::plan::{alphas_of, cost, positions, variants_of};
use super::probe::ProbeResult;
use super::spec::{DoctorSpec, Edit, Role, Variant};
use super::stats::Memo;

/// Everything the events told so far.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SweepState {
    header: Option<Header>,
    /// By variant, dataset, α; the variants that joined later come last.
    cells: Vec<CellState>,
    /// The header's, then those that joined.
    variants: Vec<Variant>,
    dropped: Vec<bool>,
    on_trial: Vec<bool>,
    doctor: Option<DoctorSpec>,
    skipped: Vec<bool>,
    probes: Probes,
    zeros: Counts,
    /// Said aloud, in order.
    pub notices: Vec<(Level, String)>,
    /// The warnings of what is measured among them, each once.
    warnings: Vec<String>,
    /// No batch is being measured, on a person's wish.
    pub paused: bool,
    /// The dataset measured first in each round.
    pub focus: Option<DatasetId>,
    /// How the last session ended; `None` while one runs, and before the first.
    pub outcome: Option<Outcome>,
    /// Device names of the last session.
    pub devices: Vec<String>,
    /// Milliseconds since the Unix epoch at which the last session started.
    pub started: Option<u64>,
    /// Seconds measured by sessions that ended.
    pub seconds: f64,
    /// Events that did not fit the header, or were news no more, and were left out.
    pub ignored: usize,
    /// Of these, results that do not fit it: of a point, dataset, variant, round or
    /// layer that the run does not have, or of other images than it says.
    pub misfits: usize,
    /// The parts of the cells that sessions measured, as (i, n); empty where each
    /// measured the whole.
    parts: BTreeSet<(usize, usize)>,
    /// What statistics have added up of all this.
    pub(super) memo: Memo,
}

impl SweepState {
    /// The fold of `events`.
    #[must_use]
    pub fn replay<'a>(events: impl IntoIterator<Item = &'a Event>) -> Self {
        let mut state = Self::default();
        events.into_iter().for_each(|event| state.apply(event));
        state
    }

    /// What is being measured; `None` before the first line.
    #[must_use]
    pub fn header(&self) -> Option<&Header> {
        self.header.as_ref()
    }

    /// The grid, ascending; empty before the header.
    #[must_use]
    pub fn alphas(&self) -> &[Alpha] {
        self.header.as_ref().map_or(&[], |header| &header.alphas)
    }

    /// What is measured on; empty before the header.
    #[must_use]
    pub fn datasets(&self) -> &[DatasetInfo] {
        self.header.as_ref().map_or(&[], |header| &header.datasets)
    }

    /// Ids of the datasets with this role.
    pub fn with_role(&self, role: Role) -> impl Iterator<Item = DatasetId> + '_ {
        let datasets = self.datasets().iter().enumerate();
        datasets.filter(move |(_, info)| info.role == role).map(|(index, _)| DatasetId(index))
    }

    /// The warnings of what is measured (a wrong activation, a file that is only a part), in
    /// order, each once however many sessions said it: reports have them. What only one
    /// session met is not among them.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Every variant: the header's, then those that joined. The first is dense.
    #[must_use]
    pub fn variants(&self) -> &[Variant] {
        &self.variants
    }

    /// True when a person wants no more of the variant.
    #[must_use]
    pub fn is_dropped(&self, variant: VariantId) -> bool {
        self.dropped.get(variant.index()).copied().unwrap_or(false)
    }

    /// The variant that does this; `None` while there is none.
    #[must_use]
    pub fn variant_that(&self, does: &[Edit]) -> Option<VariantId> {
        self.variants.iter().position(|it| it.sparsify == does).map(VariantId)
    }

    /// True when every image of the variant is counted at every α.
    #[must_use]
    pub fn is_whole(&self, variant: VariantId) -> bool {
        let mut cells = self.cell_ids().filter(|id| id.variant == variant);
        cells.all(|id| self.cell(id).is_some_and(|it| it.done == it.total))
    }

    /// True when only the doctor's tuning part is measured of the variant.
    #[must_use]
    pub fn is_on_trial(&self, variant: VariantId) -> bool {
        self.on_trial.get(variant.index()).copied().unwrap_or(false)
    }

    /// The doctor's orders; `None` when nobody asked.
    #[must_use]
    pub fn doctor(&self) -> Option<&DoctorSpec> {
        self.doctor.as_ref()
    }

    /// Rounds that are owed of a cell, by the wish of people and the doctor.
    #[must_use]
    pub fn rounds_owed(&self, cell: CellId) -> usize {
        let Some(info) = self.datasets().get(cell.dataset.index()) else { return 0 };
        match (self.is_on_trial(cell.variant), info.role) {
            (false, _) => info.rounds.len(),
            // The doctor judges by the interior alone.
            (true, Role::Ood) if self.is_interior(cell.alpha) => tuning_rounds(&info.rounds),
            (true, _) => 0,
        }
    }

    fn is_interior(&self, alpha: AlphaId) -> bool {
        self.alphas().get(alpha.index()).is_some_and(|alpha| alpha.is_interior())
    }

    /// Everything asked for beside accuracy, in the order it was asked for.
    #[must_use]
    pub fn probes(&self) -> &[ProbeState] {
        self.probes.list()
    }

    /// One probe; `None` for an unknown id.
    #[must_use]
    pub fn probe(&self, id: ProbeId) -> Option<&ProbeState> {
        self.probes.list().get(id.index())
    }

    /// The result of one cell of a probe; `None` where there is none.
    #[must_use]
    pub fn probed(&self, cell: ProbeCell) -> Option<&ProbeResult> {
        self.probe(cell.probe)?.result(cell)
    }

    /// A layer of the header's table.
    #[must_use]
    pub fn layer(&self, id: LayerId) -> Option<&LayerInfo> {
        self.header.as_ref()?.layers.get(id.index())
    }

    /// The point of the grid at `alpha`.
    #[must_use]
    pub fn alpha_id(&self, alpha: Alpha) -> Option<AlphaId> {
        self.alphas().iter().position(|&point| point == alpha).map(AlphaId)
    }

    /// One cell; `None` outside of the plan.
    #[must_use]
    pub fn cell(&self, cell: CellId) -> Option<&CellState> {
        self.cells.get(self.at(cell)?)
    }

    /// One cell of the dense sweep; `None` outside of the plan.
    #[must_use]
    pub fn dense(&self, dataset: DatasetId, alpha: AlphaId) -> Option<&CellState> {
        self.cell(CellId { variant: VariantId::DENSE, dataset, alpha })
    }

    /// How far a cell is; `None` outside of the plan.
    #[must_use]
    pub fn status(&self, id: CellId) -> Option<Status> {
        let cell = self.cell(id)?;
        Some(match &cell.failed {
            _ if cell.is_complete() => Status::Complete,
            Some(message) => Status::Failed(message.clone()),
            None if self.is_left_out(id) => Status::Skipped,
            None if cell.done == 0 => Status::Pending,
            None => Status::Partial,
        })
    }

    /// Every cell of the plan.
    pub fn cell_ids(&self) -> impl Iterator<Item = CellId> + '_ {
        let (variants, alphas) = (self.variants.len(), self.alphas().len());
        (0..variants).flat_map(move |variant| {
            (0..self.datasets().len()).flat_map(move |dataset| {
                (0..alphas).map(move |alpha| CellId {
                    variant: VariantId(variant),
                    dataset: DatasetId(dataset),
                    alpha: AlphaId(alpha),
                })
            })
        })
    }

    /// True when this round of this cell is measured.
    #[must_use]
    pub fn has(&self, cell: CellId, round: RoundId) -> bool {
        self.cell(cell).is_some_and(|cell| cell.hits(round).is_some())
    }

    /// True when the dataset is left out.
    #[must_use]
    pub fn is_skipped(&self, dataset: DatasetId) -> bool {
        self.skipped.get(dataset.index()).copied().unwrap_or(false)
    }

    /// True when the cell's dataset or variant is left out.
    #[must_use]
    pub fn is_left_out(&self, cell: CellId) -> bool {
        self.is_skipped(cell.dataset) || self.is_dropped(cell.variant)
    }

    /// Forward passes counted and owed, in images, without what was left out.
    /// Of probes it is an estimate ([`super::plan::cost`]).
    #[must_use]
    pub fn work(&self) -> (u64, u64) {
        let mut work = (0, 0);
        for id in self.cell_ids() {
            let Some(cell) = self.cell(id) else { continue };
            let wanted = match self.rounds_owed(id).checked_sub(1) {
                Some(last) => self.datasets()[id.dataset.index()].rounds[last],
                None => 0,
            };
            let owed = if self.is_left_out(id) { cell.done } else { cell.done.max(wanted) };
            work = (work.0 + cell.done as u64, work.1 + owed as u64);
        }
        let probes = self.probes_work();
        (work.0 + probes.0, work.1 + probes.1)
    }

    /// As [`Self::work`], of probes alone.
    #[must_use]
    pub fn probes_work(&self) -> (u64, u64) {
        let Some(header) = &self.header else { return (0, 0) };
        let mut work = (0, 0);
        for (index, state) in self.probes().iter().enumerate() {
            let (id, probe) = (ProbeId(index), &state.probe);
            let mut costs = BTreeMap::new();
            for variant in variants_of(header, probe) {
                let left_out = state.cancelled || self.is_dropped(variant);
                for alpha in alphas_of(header, probe) {
                    for cell in cells_at(header, probe, id, variant, alpha) {
                        let cost = *costs
                            .entry(cell.layer)
                            .or_insert_with(|| cost(header, probe, cell.layer));
                        let known = state.result(cell).is_some();
                        work.0 += if known { cost } else { 0 };
                        work.1 += if known || !left_out { cost } else { 0 };
                    }
                }
            }
        }
        work
    }

    /// True when every cell of accuracy is complete, left out, or as far as the
    /// doctor wants it.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        let enough = |id| (0..self.rounds_owed(id)).all(|round| self.has(id, RoundId(round)));
        self.header.is_some() && self.cell_ids().all(|id| self.is_left_out(id) || enough(id))
    }

    /// Folds one event in. What does not fit the header, or was counted
    /// already, changes nothing but [`Self::ignored`].
    pub fn apply(&mut self, event: &Event) {
        match event {
            Event::Header(header) => self.begin(header),
            Event::Started { at, devices, shard, .. } => {
                self.parts.extend(*shard);
                self.devices.clone_from(devices);
                self.started = Some(*at);
                self.outcome = None;
                self.paused = false;
                self.focus = None;
            }
            Event::Measured(measured) => self.measured(measured),
            Event::Sparsified { variant, alpha, zeros } => self.count(*variant, *alpha, zeros),
            Event::CellFailed { cell, round, message } => match self.at(*cell) {
                // Another journal of the folder may hold the second, better try.
                Some(at) if self.cells[at].hits(*round).is_none() => {
                    self.cells[at].fail(*round, message);
                }
                Some(_) => self.ignored += 1,
                None => self.misfit(),
            },
            Event::Probing { probe } => {
                // Every shard's journal names the spec's probes.
                match self.header {
                    Some(_) => self.probes.ask(probe),
                    None => self.ignored += 1,
                }
            }
            Event::ProbeCancelled { probe } => {
                let known = self.probes.cancel(*probe);
                self.ignored += usize::from(!known);
            }
            Event::Probed(probed) => {
                self.answer(probed.cell, Answer::Known(probed.clone()));
            }
            Event::ProbeFailed { cell, message } => {
                self.answer(*cell, Answer::Failed(message.clone()));
            }
            Event::VariantAdded { variant } => self.add_variant(variant),
            Event::VariantDropped { variant } => self.drop_variant(*variant, true),
            Event::VariantTaken { variant } => {
                self.drop_variant(*variant, false);
                if let Some(slot) = self.on_trial.get_mut(variant.index()) {
                    *slot = false;
                }
            }
            Event::VariantTried { variant } => match self.on_trial.get_mut(variant.index()) {
                Some(slot) if *variant != VariantId::DENSE => *slot = true,
                _ => self.ignored += 1,
            },
            Event::Doctor { spec } => self.doctor = Some(spec.clone()),
            Event::Paused => self.paused = true,
            Event::Resumed => self.paused = false,
            Event::Skipped { dataset } => self.skip(*dataset, true),
            Event::Unskipped { dataset } => self.skip(*dataset, false),
            Event::Focused { dataset } => self.focus = *dataset,
            Event::Notice { level, text, passing } => {
                self.notices.push((*level, text.clone()));
                if *level == Level::Warning && !passing && !self.warnings.contains(text) {
                    self.warnings.push(text.clone());
                }
            }
            Event::Refused { why, .. } => self.notices.push((Level::Error, why.clone())),
            Event::Finished { outcome, seconds } => {
                self.outcome = self.ended(*outcome);
                self.paused = false;
                self.seconds += if seconds.is_finite() { seconds.max(0.0) } else { 0.0 };
            }
            Event::Unknown => self.ignored += 1,
        }
    }

    fn begin(&mut self, header: &Header) {
        if let Some(known) = &self.header {
            // Every shard's journal begins with the same header.
            self.ignored += usize::from(known != header);
            return;
        }
        if header.wrong().is_some() {
            self.ignored += 1;
            return;
        }
        self.header = Some(header.clone());
        self.skipped = vec![false; header.datasets.len()];
        for variant in &header.variants {
            self.join(header, variant);
        }
    }

    /// A variant and its cells, nothing of them measured yet.
    fn join(&mut self, header: &Header, variant: &Variant) {
        self.variants.push(variant.clone());
        self.dropped.push(false);
        self.on_trial.push(false);
        for info in &header.datasets {
            let cell = CellState::owed(info.images, info.rounds.len());
            self.cells.extend(std::iter::repeat_n(cell, header.alphas.len()));
        }
    }

    fn add_variant(&mut self, variant: &Variant) {
        let known = self.variants.iter().any(|it| it.sparsify == variant.sparsify);
        match self.header.clone() {
            Some(header) if !known => self.join(&header, variant),
            _ => self.ignored += 1,
        }
    }

    fn drop_variant(&mut self, variant: VariantId, drop: bool) {
        match self.dropped.get_mut(variant.index()) {
            Some(slot) if variant != VariantId::DENSE => *slot = drop,
            _ => self.ignored += 1,
        }
    }

    fn answer(&mut self, cell: ProbeCell, answer: Answer) {
        let fits = self.header.as_ref().and_then(|header| {
            let inside = cell.alpha.index() < header.alphas.len()
                && cell.variant.index() < self.variants.len();
            inside.then(|| self.probes.answer(header, cell, answer))?
        });
        match fits {
            Some(news) => self.ignored += usize::from(!news),
            None => self.misfit(),
        }
    }

    fn misfit(&mut self) {
        self.ignored += 1;
        self.misfits += 1;
    }

    fn measured(&mut self, it: &Measured) {
        let round = self.fitting(it);
        match (self.at(it.cell), round) {
            (Some(at), Some(round)) if self.cells[at].hits(it.round).is_none() => {
                self.cells[at].add(it.round, round);
            }
            (Some(_), Some(_)) => self.ignored += 1,
            _ => self.misfit(),
        }
    }

    /// The result as this header expects it; `None` when it does not fit.
    fn fitting(&self, it: &Measured) -> Option<Round> {
        let expected = positions(self.header.as_ref()?, it.cell.dataset, it.round)?;
        let hits = it.hits.clone().with_len(it.images)?;
        let fits = it.start == expected.start
            && it.images == expected.len()
            && it.correct == hits.iter().filter(|&hit| hit).count()
            && it.correct5.is_none_or(|five| five >= it.correct && five <= it.images)
            && it.near_ties as usize <= it.images
            && it.loss_sum.is_finite();
        fits.then_some(Round {
            images: it.images,
            correct: it.correct,
            correct5: it.correct5,
            loss_sum: it.loss_sum,
            near_ties: it.near_ties,
            hits,
        })
    }

    fn skip(&mut self, dataset: DatasetId, skip: bool) {
        match self.skipped.get_mut(dataset.index()) {
            Some(slot) => *slot = skip,
            None => self.ignored += 1,
        }
    }

    fn at(&self, cell: CellId) -> Option<usize> {
        let (datasets, alphas) = (self.datasets().len(), self.alphas().len());
        let inside = cell.variant.index() < self.variants.len()
            && cell.dataset.index() < datasets
            && cell.alpha.index() < alphas;
        inside.then(|| {
            (cell.variant.index() * datasets + cell.dataset.index()) * alphas + cell.alpha.index()
        })
    }
}
