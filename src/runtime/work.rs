//! What the screen asks of its session and of the outside, and how a session
//! that has ended goes on when there is more to do: in place, in the same run.

use std::path::PathBuf;
use std::sync::Arc;

use super::{Attached, Handing, Incoming, Loop, host};
use crate::app::save::{Order, Refused};
use crate::app::{Message, Mode};
use crate::session::SessionHandle;
use crate::sweep::command::Command;
use crate::terminal::{self, Tty};

impl Loop {
    /// The session that had ended goes on with what waits for it.
    pub(super) fn gone_on(
        &mut self,
        result: Result<SessionHandle, String>,
        screen: &mut terminal::Screen<Tty>,
    ) {
        self.going = false;
        let waiting = std::mem::take(&mut self.waiting);
        match result {
            Ok(handle) => {
                let before = self.session.replace(Attached { handle, ended: false, heard: 0 });
                if let Some(before) = before {
                    before.handle.join();
                }
                // What was asked meanwhile; it may have ended again by now.
                for command in waiting {
                    self.command(command);
                }
                if self.gone && !self.kept {
                    self.detach();
                }
                self.drain(screen);
            }
            Err(why) => {
                self.watch_again();
                self.fold(Message::NotResumed(why), screen);
                if self.gone {
                    self.quit();
                }
            }
        }
        self.gate.key();
    }

    /// Asks it of the session, or of the one that goes on after it.
    pub(super) fn command(&mut self, command: Command) {
        if self.model.is_free() && command.is_work() {
            self.take_over();
        }
        let Some(session) = &self.session else { return };
        if session.ended && !session.handle.measures() {
            // It is being taken over.
            self.waiting.push(command);
            return self.go_on();
        }
        let ended = session.ended;
        let unheard = match session.handle.commands.send(command) {
            Ok(()) => return,
            Err(unheard) => unheard.0,
        };
        // What is asked to make way may be on its way to the session that goes on.
        let expected = self.going || !self.waiting.is_empty();
        let makes_way = matches!(unheard, Command::Supersede { .. }) && expected;
        // It goes on when there is more to do; to stop what has ended is nothing.
        if self.watching() || !(unheard.is_work() || makes_way) {
            return;
        }
        self.waiting.push(unheard);
        // One that is just ending still holds the journal.
        if ended {
            self.go_on();
        }
    }

    /// A run that was watched, and that nobody measures, becomes our own: what its
    /// watcher tells from here on is not heard.
    fn take_over(&mut self) {
        if let Some(session) = self.session.as_mut().filter(|it| !it.handle.measures()) {
            session.ended = true;
            self.model.mode = Mode::Own;
        }
    }

    /// It could not be taken over: it is watched as before.
    fn watch_again(&mut self) {
        if let Some(session) = self.session.as_mut().filter(|it| !it.handle.measures()) {
            session.ended = false;
            self.model.mode = Mode::Watch;
        }
    }

    /// Goes on with the session that has ended, in the same run.
    pub(super) fn go_on(&mut self) {
        let Some(session) = &self.session else { return };
        // Another process may have it soon, or gives it back.
        if matches!(self.handing, Handing::Begun { .. }) {
            return;
        }
        if std::mem::replace(&mut self.going, true) {
            return;
        }
        let (dir, device) = (session.handle.dir.clone(), self.device.clone());
        let asked = std::mem::take(&mut self.waiting);
        let (host, waker) = (Arc::clone(&self.host), Arc::clone(&self.waker));
        let again = move || host.again(&dir, device, asked, waker);
        host::aside(&self.tell, "again", again, Incoming::Again);
    }

    /// Writes a checkpoint, aside.
    pub(super) fn merge(&mut self, order: Order) {
        let Some(session) = &self.session else { return };
        let (dir, host) = (session.handle.dir.clone(), Arc::clone(&self.host));
        let told = |it| Incoming::Told(Box::new(Message::Merged(it)));
        let write = move || Ok(host.merge(&dir, order));
        let answer = move |result: Result<Result<String, Refused>, String>| {
            told(result.unwrap_or_else(|why| Err(Refused::Because(why))))
        };
        host::aside(&self.tell, "merge", write, answer);
    }

    /// Reads another run, aside.
    pub(super) fn guest(&mut self, dir: PathBuf) {
        let Some(session) = &self.session else { return };
        let (own, host) = (session.handle.dir.clone(), Arc::clone(&self.host));
        let read = move || host.guest(&dir, &own).map(Box::new);
        let told = |it| Incoming::Told(Box::new(Message::Guest(it)));
        host::aside(&self.tell, "guest", read, told);
    }
}
