//! One cell of a run, as its events have it.

use crate::sweep::event::Bits;
use crate::sweep::ids::RoundId;

/// How far a cell is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    /// Nothing measured yet.
    Pending,
    /// Some rounds are measured: an estimate.
    Partial,
    /// Every image was counted once: exact.
    Complete,
    /// Could not be measured on; the message says why. What was measured stays.
    Failed(String),
    /// Its dataset was left out before it was complete.
    Skipped,
}

/// One cell: what is measured so far.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CellState {
    /// Images counted.
    pub done: usize,
    /// Images owed in all.
    pub total: usize,
    /// Top-1 hits.
    pub correct: usize,
    /// Top-5 hits; `None` where there are five classes or fewer, or nothing is
    /// measured.
    pub correct5: Option<usize>,
    /// Sum of cross-entropies, in nats, added in the order of rounds.
    pub loss_sum: f64,
    /// Predictions that rounding may flip.
    pub near_ties: u64,
    /// Why it could not be measured on.
    pub failed: Option<String>,
    failed_round: Option<RoundId>,
    /// The round after the last one that is measured.
    after: usize,
    rounds: Vec<Option<Round>>,
}

/// What one round of a cell gave; see [`super::super::event::Measured`].
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Round {
    pub images: usize,
    pub correct: usize,
    pub correct5: Option<usize>,
    pub loss_sum: f64,
    pub near_ties: u32,
    pub hits: Bits,
}

impl CellState {
    /// Nothing measured yet of so many images and rounds.
    pub(super) fn owed(images: usize, rounds: usize) -> Self {
        Self { total: images, rounds: vec![None; rounds], ..Self::default() }
    }

    /// Top-1 accuracy as a fraction; `None` before the first round.
    #[must_use]
    pub fn top1(&self) -> Option<f64> {
        (self.done > 0).then(|| self.correct as f64 / self.done as f64)
    }

    /// Top-5 accuracy as a fraction; `None` where it is not measured.
    #[must_use]
    pub fn top5(&self) -> Option<f64> {
        let correct = self.correct5?;
        (self.done > 0).then(|| correct as f64 / self.done as f64)
    }

    /// Mean cross-entropy in nats; `None` before the first round.
    #[must_use]
    pub fn loss(&self) -> Option<f64> {
        (self.done > 0).then(|| self.loss_sum / self.done as f64)
    }

    /// Hits of one round, in the order of positions; `None` when it is not
    /// measured yet.
    #[must_use]
    pub fn hits(&self, round: RoundId) -> Option<&Bits> {
        self.rounds.get(round.index())?.as_ref().map(|round| &round.hits)
    }

    /// No round from this one on is measured.
    pub(in crate::sweep) fn rounds_end(&self) -> usize {
        self.after
    }

    pub(super) fn is_complete(&self) -> bool {
        self.total > 0 && self.done == self.total
    }

    pub(super) fn add(&mut self, round: RoundId, result: Round) {
        let next = round.index() + 1;
        // Sums are taken in the order of rounds, not of arrival, so that they
        // are equal bit for bit whoever measured first. Most come in order.
        if self.done > 0 && next > self.after {
            self.done += result.images;
            self.correct += result.correct;
            self.correct5 = self.correct5.zip(result.correct5).map(|(a, b)| a + b);
            self.loss_sum += result.loss_sum;
            self.near_ties += u64::from(result.near_ties);
            self.rounds[round.index()] = Some(result);
        } else {
            self.rounds[round.index()] = Some(result);
            self.sum();
        }
        self.after = self.after.max(next);
        if self.failed_round == Some(round) {
            self.failed = None;
        }
    }

    /// It could not be measured on, in this round.
    pub(super) fn fail(&mut self, round: RoundId, message: &str) {
        self.failed = Some(message.into());
        self.failed_round = Some(round);
    }

    fn sum(&mut self) {
        let known = self.rounds.iter().flatten();
        self.done = known.clone().map(|r| r.images).sum();
        self.correct = known.clone().map(|r| r.correct).sum();
        self.correct5 = known.clone().map(|r| r.correct5).sum();
        self.loss_sum = known.clone().map(|r| r.loss_sum).sum();
        self.near_ties = known.map(|r| u64::from(r.near_ties)).sum();
    }
}
