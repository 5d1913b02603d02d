//! Alerts of a sweep that is on the screen.

use std::io::Write;

use super::Loop;
use crate::alert::{Alert, Kind, in_tmux};
use crate::sweep::event::Outcome;
use crate::sweep::ids::VariantId;
use crate::sweep::stats::{Judgement, judge};
use crate::terminal::Tty;

impl Loop {
    /// What is shown was `settled` just now, or is too old.
    fn judged(&self, settled: bool) -> Judgement {
        let shown = &self.model.board.judgement;
        let dense = self.model.live.variant == VariantId::DENSE && settled;
        match shown {
            Some(judgement) if dense => judgement.clone(),
            _ => judge(&self.model.run, VariantId::DENSE),
        }
    }

    /// What was found before is not told.
    pub(super) fn verdict_known(&mut self) {
        if self.alerts.any() {
            self.verdicts.known(&judge(&self.model.run, VariantId::DENSE));
        }
    }

    /// The screen has taken new data in.
    pub(super) fn verdict_seen(&mut self, settled: bool) {
        let fresh = self.session.as_ref().is_some_and(|it| it.heard >= it.handle.known);
        if !self.alerts.any() || !fresh {
            return;
        }
        let judgement = self.judged(settled);
        if let Some(kind) = self.verdicts.news(&judgement) {
            self.alert(kind, &judgement, None);
        }
    }

    /// The session has ended; `asked` by a person.
    pub(super) fn end_seen(&mut self, ended: &Result<Outcome, String>, asked: bool) {
        // A watcher's ends where the journal can be read no more: no news of the sweep.
        if !self.alerts.any() || self.watching() {
            return;
        }
        if let Some(kind) = Kind::of_end(ended, asked) {
            let judgement = judge(&self.model.run, VariantId::DENSE);
            self.alert(kind, &judgement, ended.as_ref().err().map(String::as_str));
        }
    }

    fn alert(&self, kind: Kind, judgement: &Judgement, why: Option<&str>) {
        let Some(session) = &self.session else { return };
        let alert = Alert::new(kind, &session.handle.dir, &self.model.run, judgement, why);
        if !self.gone {
            let bytes = alert.bytes(&self.alerts, in_tmux());
            // Between two frames. A terminal that has gone is told elsewhere.
            let _ = Tty::open().and_then(|mut tty| tty.write_all(&bytes));
        }
        // Who measures runs the command; those who watch would run it again.
        if session.handle.measures() {
            alert.run(&self.alerts);
        }
    }
}
