//! How the screen is left, and what becomes of the sweep.

use std::sync::Arc;

use super::ending::resume;
use super::{Ending, Handing, Incoming, Loop, host};
use crate::app::live::Leave;
use crate::app::{Message, Screen, summary};
use crate::session::Update;
use crate::sweep::command::Command;
use crate::sweep::event::{Level, Outcome};
use crate::terminal::{self, Tty};

impl Loop {
    /// Ends after the batch in hand; asked a second time, at once.
    pub(super) fn stop(&mut self, screen: &mut terminal::Screen<Tty>) {
        if !self.measuring() || self.model.live.requested.stop == Some(Leave::Now) {
            return self.quit();
        }
        self.model.live.question = None;
        self.model.live.requested.stop = Some(Leave::Now);
        self.handing = Handing::No;
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
                self.detach();
                self.drain(screen);
            }
            // It is handed over as soon as it is there.
            _ if starting || self.going => {}
            _ => self.quit(),
        }
    }

    /// Hands the run over, where another process would not be refused; that is
    /// found out while the sweep goes on.
    pub(super) fn detach(&mut self) {
        let Some(session) = self.session.as_ref().filter(|_| !self.watching()) else { return };
        self.model.live.requested.stop = Some(Leave::Background);
        self.handing = Handing::Asked;
        let (dir, device) = (session.handle.dir.clone(), self.device.clone());
        let host = Arc::clone(&self.host);
        host::aside(&self.tell, "ready", move || host.ready(&dir, device), Incoming::Ready);
    }

    /// … it would not: ends after the batch in hand. A pause stays one.
    pub(super) fn readied(
        &mut self,
        result: Result<(), String>,
        screen: &mut terminal::Screen<Tty>,
    ) {
        let wanted = matches!(self.handing, Handing::Asked);
        let Some(session) = self.session.as_ref().filter(|_| wanted && self.measuring()) else {
            return;
        };
        if let Err(why) = result {
            self.keep(&why, screen);
            self.gate.key();
            return;
        }
        let mut args = vec!["--resume".to_string()];
        args.extend(session.handle.again.iter().cloned());
        args.extend(self.alerts.typed.iter().cloned());
        let live = &self.model.live;
        if live.requested.pause.unwrap_or(self.model.run.paused) {
            args.push("--paused".into());
        }
        self.handing = Handing::Stopping(args);
        self.command(Command::Stop);
    }

    /// The run stays in this process.
    fn keep(&mut self, why: &str, screen: &mut terminal::Screen<Tty>) {
        self.handing = Handing::No;
        self.kept = self.gone;
        self.model.live.requested.stop = None;
        let text = format!("not in the background: {why}; the sweep goes on in this process");
        tracing::error!("{text}");
        self.model.live.word = Some(text.clone());
        // All of its words.
        self.model.live.log = true;
        self.fold(Message::Log(Level::Error, text), screen);
    }

    /// Starts the process that goes on, where one is wanted and something is
    /// left to measure. True where one is on its way.
    fn hand_over(&mut self) -> bool {
        let args = match std::mem::replace(&mut self.handing, Handing::No) {
            Handing::Stopping(args) => args,
            begun @ Handing::Begun { .. } => {
                self.handing = begun;
                return true;
            }
            Handing::No | Handing::Asked => return false,
        };
        let Some(session) = &self.session else { return false };
        if self.model.ended != Some(Ok(Outcome::Stopped)) {
            return false;
        }
        let paused = args.iter().any(|it| it == "--paused");
        let (dir, host) = (session.handle.dir.clone(), Arc::clone(&self.host));
        let detach = move || host.detach(&dir, &args);
        self.model.live.requested.stop = Some(Leave::Background);
        self.handing = Handing::Begun { paused };
        host::aside(&self.tell, "detach", detach, Incoming::Handed);
        true
    }

    /// It measures: the screen is left. It does not: the sweep goes on here.
    pub(super) fn handed(
        &mut self,
        result: Result<u32, String>,
        screen: &mut terminal::Screen<Tty>,
    ) {
        let Handing::Begun { paused } = std::mem::replace(&mut self.handing, Handing::No) else {
            return;
        };
        let Some(session) = &self.session else { return };
        match result {
            Ok(pid) => {
                tracing::info!("process {pid} goes on with {}", session.handle.dir.display());
                let how = if paused { "is kept, paused," } else { "goes on" };
                let dir = crate::config::quoted(&session.handle.dir);
                self.leave(Some(format!(
                    "the sweep {how} in the background (process {pid})\n\
                     watch it with: alphascope watch {dir}\n"
                )));
            }
            Err(why) => {
                self.keep(&why, screen);
                if paused {
                    self.waiting.push(Command::Pause);
                }
                self.go_on();
                self.gate.key();
            }
        }
    }

    /// Leaves the screen, unless the run is on its way to another process.
    pub(super) fn quit(&mut self) {
        if !self.hand_over() {
            self.leave(None);
        }
    }

    /// `handed`: what is told of the process that goes on.
    fn leave(&mut self, handed: Option<String>) {
        // Its end may be journalled, and its last word still on the way.
        let outcome = self.model.run.outcome.filter(|_| self.model.ended.is_none());
        let ended = self.model.ended.clone().or(outcome.map(Ok));
        let code = match (&self.session, &ended) {
            (None, _) => 0,
            _ if handed.is_some() => 0,
            _ if self.watching() => 0,
            (Some(_), Some(Ok(Outcome::Complete))) => 0,
            (Some(_), Some(Ok(Outcome::Partial))) => 1,
            (Some(_), _) => 3,
        };
        if self.measuring() {
            self.command(Command::Stop);
        }
        let mut summary = summary(&self.model);
        summary.push_str(handed.as_deref().unwrap_or_default());
        if let Some(session) = &self.session {
            let dir = &session.handle.dir;
            summary.push_str(&match code {
                _ if handed.is_some() => String::new(),
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
