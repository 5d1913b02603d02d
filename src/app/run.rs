//! The fold of a run's events, as far as the screen needs it.

use crate::sweep::event::{Event, Header, Level, Outcome};
use crate::sweep::ids::{AlphaId, CellId, DatasetId, VariantId};

/// One cell: what is measured so far.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CellState {
    /// Images done.
    pub done: usize,
    /// Images owed.
    pub total: usize,
    /// Top-1 hits.
    pub correct: usize,
    /// Top-5 hits, where there are more than five classes.
    pub correct5: Option<usize>,
    /// Sum of cross-entropies, nats.
    pub loss_sum: f64,
    /// Predictions that rounding may flip.
    pub near_ties: u64,
    /// Why it could not be measured on.
    pub failed: Option<String>,
}

/// Everything the events told so far.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SweepState {
    header: Option<Header>,
    cells: Vec<CellState>,
    /// Datasets left out.
    pub skipped: Vec<bool>,
    /// Said aloud.
    pub notices: Vec<(Level, String)>,
    /// No batch is being measured on a person's wish.
    pub paused: bool,
    /// Dataset measured first.
    pub focus: Option<DatasetId>,
    /// How the last session ended; `None` while it runs.
    pub outcome: Option<Outcome>,
    /// Device names of the last session.
    pub devices: Vec<String>,
}

impl SweepState {
    /// What is being measured; `None` before the first line.
    #[must_use]
    pub fn header(&self) -> Option<&Header> {
        self.header.as_ref()
    }

    fn at(&self, cell: CellId) -> Option<usize> {
        let header = self.header.as_ref()?;
        (cell.variant == VariantId::DENSE
            && cell.dataset.index() < header.datasets.len()
            && cell.alpha.index() < header.alphas.len())
        .then(|| cell.dataset.index() * header.alphas.len() + cell.alpha.index())
    }

    /// One cell; `None` outside of the plan.
    #[must_use]
    pub fn cell(&self, dataset: DatasetId, alpha: AlphaId) -> Option<&CellState> {
        self.cells.get(self.at(CellId { variant: VariantId::DENSE, dataset, alpha })?)
    }

    /// Folds one event in. Events outside of the plan change nothing.
    pub fn apply(&mut self, event: &Event) {
        match event {
            Event::Header(header) => {
                self.cells = header
                    .datasets
                    .iter()
                    .flat_map(|set| {
                        header
                            .alphas
                            .iter()
                            .map(|_| CellState { total: set.images, ..CellState::default() })
                    })
                    .collect();
                self.skipped = vec![false; header.datasets.len()];
                self.header = Some(header.clone());
            }
            Event::Started { devices, .. } => {
                self.devices = devices.clone();
                self.outcome = None;
                self.paused = false;
            }
            Event::Measured(it) => {
                if let Some(cell) = self.at(it.cell).and_then(|at| self.cells.get_mut(at)) {
                    cell.done += it.images;
                    cell.correct += it.correct;
                    if let Some(five) = it.correct5 {
                        *cell.correct5.get_or_insert(0) += five;
                    }
                    cell.loss_sum += it.loss_sum;
                    cell.near_ties += u64::from(it.near_ties);
                }
            }
            Event::CellFailed { cell, message, .. } => {
                if let Some(cell) = self.at(*cell).and_then(|at| self.cells.get_mut(at)) {
                    cell.failed = Some(message.clone());
                }
            }
            Event::Paused => self.paused = true,
            Event::Resumed => self.paused = false,
            Event::Skipped { dataset } => self.skip(*dataset, true),
            Event::Unskipped { dataset } => self.skip(*dataset, false),
            Event::Focused { dataset } => self.focus = *dataset,
            Event::Notice { level, text } => self.notices.push((*level, text.clone())),
            Event::Finished { outcome, .. } => {
                self.outcome = Some(*outcome);
                self.paused = false;
            }
            Event::Unknown => {}
        }
    }

    fn skip(&mut self, dataset: DatasetId, skip: bool) {
        if let Some(slot) = self.skipped.get_mut(dataset.index()) {
            *slot = skip;
        }
    }
}
