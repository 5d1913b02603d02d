//! How many rounds a sweep is through with.

use crate::sweep::event::Event;
use crate::sweep::ids::RoundId;
use crate::sweep::state::SweepState;

/// Counts rounds that every cell of the run has finished (or whose dataset has
/// fewer, is skipped, or failed).
#[derive(Debug, Default)]
pub(super) struct Rounds(usize);

impl Rounds {
    /// After an event of this session: how many there are, where it finished one.
    pub(super) fn news(&mut self, event: &Event, state: &SweepState) -> Option<usize> {
        match event {
            Event::Started { .. } => self.known(state),
            Event::Measured(_) => {
                // Only from the first on that may not be whole: results are many.
                let whole = self.0 + whole_from(self.0, state);
                if whole > self.0 {
                    self.0 = whole;
                    return Some(whole);
                }
            }
            _ => {}
        }
        None
    }

    /// All that was measured before is in `state`.
    pub(super) fn known(&mut self, state: &SweepState) {
        self.0 = whole_from(0, state);
    }
}

/// Whole rounds in a row, from `first` on.
fn whole_from(first: usize, state: &SweepState) -> usize {
    let most = state.datasets().iter().map(|set| set.rounds.len()).max().unwrap_or(0);
    let measured = |round: usize| {
        state.cell_ids().all(|id| {
            let rounds = state.rounds_owed(id);
            let failed = state.cell(id).is_some_and(|cell| cell.failed.is_some());
            round >= rounds || state.has(id, RoundId(round)) || state.is_left_out(id) || failed
        })
    };
    (first..most).take_while(|&round| measured(round)).count()
}
