//! Alerts of a sweep without a screen.

use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;

use crate::alert::{Alert, Alerts, Kind, Verdicts, in_tmux};
use crate::sweep::event::Outcome;
use crate::sweep::ids::VariantId;
use crate::sweep::state::SweepState;
use crate::sweep::stats::judge;

/// Looks at the verdict after each round, and at the end.
pub(super) struct Herald {
    alerts: Alerts,
    dir: PathBuf,
    verdicts: Verdicts,
}

impl Herald {
    pub(super) fn new(alerts: Alerts, dir: PathBuf) -> Self {
        Self { alerts, dir, verdicts: Verdicts::default() }
    }

    /// All that was measured before is in `state`.
    pub(super) fn known(&mut self, state: &SweepState) {
        if self.alerts.any() {
            self.verdicts.known(&judge(state, VariantId::DENSE));
        }
    }

    /// One more round is whole.
    pub(super) fn round(&mut self, state: &SweepState, gone: bool) {
        if !self.alerts.any() {
            return;
        }
        let judgement = judge(state, VariantId::DENSE);
        if let Some(kind) = self.verdicts.news(&judgement) {
            self.tell(&Alert::new(kind, &self.dir, state, &judgement, None), gone);
        }
    }

    /// The end; `asked` by a person.
    pub(super) fn ended(
        &self,
        ended: &Result<Outcome, String>,
        asked: bool,
        state: &SweepState,
        gone: bool,
    ) {
        if let Some(kind) = Kind::of_end(ended, asked).filter(|_| self.alerts.any()) {
            let judgement = judge(state, VariantId::DENSE);
            let why = ended.as_ref().err().map(String::as_str);
            self.tell(&Alert::new(kind, &self.dir, state, &judgement, why), gone);
        }
    }

    fn tell(&self, alert: &Alert, gone: bool) {
        if io::stderr().is_terminal() && !gone {
            // Nobody to tell is no reason to fail.
            let _ = io::stderr().write_all(&alert.bytes(&self.alerts, in_tmux()));
        }
        alert.run(&self.alerts);
    }
}
