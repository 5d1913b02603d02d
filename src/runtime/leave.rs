//! How the screen is left, and what becomes of the sweep.

use super::ending::resume;
use super::{Ending, Loop};
use crate::app::live::Leave;
use crate::app::{Screen, summary};
use crate::session::Update;
use crate::sweep::command::Command;
use crate::sweep::event::Outcome;
use crate::terminal::{self, Tty};

impl Loop {
    /// Ends after the batch in hand; asked a second time, at once.
    pub(super) fn stop(&mut self, screen: &mut terminal::Screen<Tty>) {
        if !self.measuring() || self.model.live.requested.stop == Some(Leave::Now) {
            return self.quit();
        }
        self.model.live.question = None;
        self.model.live.requested.stop = Some(Leave::Now);
        self.detaching = None;
        self.command(Command::Stop);
        self.gate.key();
        self.drain(screen);
    }

    /// There is nobody to be shown anything: a sweep goes on without a screen.
    pub(super) fn hung_up(&mut self, screen: &mut terminal::Screen<Tty>) {
        if std::mem::replace(&mut self.gone, true) {
            return;
        }
        tracing::warn!("the terminal has gone away");
        let opening = self.watching() || self.model.screen == Screen::Library;
        let starting = self.model.setup.starting.is_some() && !opening;
        match self.model.live.requested.stop {
            // Somebody wanted an end, and gets it.
            Some(_) if self.measuring() => {}
            None if self.measuring() => {
                self.model.live.question = None;
                self.model.live.requested.stop = Some(Leave::Background);
                self.detach();
                self.drain(screen);
            }
            // It is handed over as soon as it is there.
            _ if starting || self.going => {}
            _ => self.quit(),
        }
    }

    /// Hands the run over after the batch in hand; a pause stays one.
    pub(super) fn detach(&mut self) {
        let Some(session) = self.session.as_ref().filter(|_| !self.watching()) else { return };
        let mut args = vec!["--resume".to_string()];
        args.extend(session.handle.again.iter().cloned());
        args.extend(self.alerts.typed.iter().cloned());
        let live = &self.model.live;
        if live.requested.pause.unwrap_or(self.model.run.paused) {
            args.push("--paused".into());
        }
        self.model.live.requested.stop = Some(Leave::Background);
        self.detaching = Some(args);
        self.command(Command::Stop);
    }

    /// Starts the process that goes on, where one is wanted and something is
    /// left to measure. What to tell a person about it.
    fn hand_over(&mut self) -> Option<Result<String, String>> {
        let args = self.detaching.take()?;
        let session = self.session.as_ref()?;
        if self.model.ended != Some(Ok(Outcome::Stopped)) {
            return None;
        }
        let dir = &session.handle.dir;
        Some(match self.host.detach(dir, &args) {
            Ok(pid) => {
                tracing::info!("process {pid} goes on with {}", dir.display());
                let paused = args.iter().any(|it| it == "--paused");
                let how = if paused { "is kept, paused," } else { "goes on" };
                let dir = crate::config::quoted(dir);
                Ok(format!(
                    "the sweep {how} in the background (process {pid})\n\
                     watch it with: alphascope watch {dir}\n"
                ))
            }
            Err(error) => {
                tracing::error!("nothing goes on in the background: {error}");
                Err(format!("nothing goes on in the background: {error}\n"))
            }
        })
    }

    pub(super) fn quit(&mut self) {
        let handed = self.hand_over();
        // Its end may be journalled, and its last word still on the way.
        let outcome = self.model.run.outcome.filter(|_| self.model.ended.is_none());
        let ended = self.model.ended.clone().or(outcome.map(Ok));
        let code = match (&self.session, &ended) {
            (None, _) => 0,
            _ if matches!(handed, Some(Ok(_))) => 0,
            _ if self.watching() => 0,
            (Some(_), Some(Ok(Outcome::Complete))) => 0,
            (Some(_), Some(Ok(Outcome::Partial))) => 1,
            (Some(_), _) => 3,
        };
        if self.measuring() {
            self.command(Command::Stop);
        }
        let mut summary = summary(&self.model);
        if let Some(Ok(words) | Err(words)) = &handed {
            summary.push_str(words);
        }
        if let Some(session) = &self.session {
            let dir = &session.handle.dir;
            summary.push_str(&match code {
                _ if matches!(handed, Some(Ok(_))) => String::new(),
                3 => resume(dir) + "\n",
                _ => format!("run folder: {}\n", dir.display()),
            });
        }
        self.done = Some(Ok(Ending { code, summary }));
    }

    /// After a panic of the screen: lets the session end in good order.
    pub(super) fn wind_down(&mut self) {
        if !self.measuring() {
            return;
        }
        self.command(Command::Stop);
        if let Some(session) = &mut self.session {
            while let Ok(update) = session.handle.updates.recv() {
                if matches!(update, Update::Ended(_)) {
                    break;
                }
            }
            session.ended = true;
        }
    }
}
