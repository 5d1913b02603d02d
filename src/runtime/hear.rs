//! What reaches the loop: from the terminal, from threads aside, from the
//! session, from the system.

use std::sync::mpsc::TryRecvError;

use super::signals::Asked;
use super::{Attached, Incoming, Loop, PANIC, RuntimeError};
use crate::alert::Verdicts;
use crate::app::{Key, Message, Screen, library, setup};
use crate::session::{SessionHandle, Update};
use crate::sweep::command::Command;
use crate::terminal::{self, Input, Tty};
use crate::ui;

impl Loop {
    pub(super) fn take(&mut self, it: Incoming, screen: &mut terminal::Screen<Tty>) {
        match it {
            Incoming::Input(input) => self.input(input, screen),
            Incoming::Setup(message) => {
                self.fold(Message::Setup(*message), screen);
                self.gate.data();
            }
            Incoming::Library(message) => {
                self.fold(Message::Library(*message), screen);
                self.gate.data();
            }
            Incoming::Session(id, result) => self.started(id, result, screen),
            Incoming::Ready(result) => self.readied(result, screen),
            Incoming::Handed(result) => self.handed(result, screen),
            Incoming::Again(result) => self.gone_on(result, screen),
            Incoming::Told(message) => {
                self.fold(*message, screen);
                self.gate.key();
            }
        }
    }

    fn input(&mut self, input: Input, screen: &mut terminal::Screen<Tty>) {
        self.gate.key();
        match input {
            Input::Key(key) => {
                #[allow(clippy::panic)] // asked for by name, by the tests
                if self.panic && key == Key::F(12) {
                    panic!("{PANIC} is set and F12 was pressed");
                }
                self.fold(Message::Key(key), screen);
            }
            Input::Paste(text) if self.model.screen == Screen::Library => {
                let message = library::Message::Paste(text);
                self.fold(Message::Library(message), screen);
            }
            Input::Paste(text) => self.fold(Message::Setup(setup::Message::Paste(text)), screen),
            Input::Click(x, y) => {
                if let Some(pick) = ui::hit(&self.model, &self.theme, x, y) {
                    self.fold(Message::Pick(pick), screen);
                }
            }
            Input::Wheel(lines) => self.fold(Message::Wheel(lines), screen),
            Input::Gone => self.hung_up(screen),
        }
    }

    fn started(
        &mut self,
        id: u64,
        result: Result<SessionHandle, String>,
        screen: &mut terminal::Screen<Tty>,
    ) {
        let wanted = self.model.setup.starting.as_ref().is_some_and(|it| it.id == id);
        match result {
            Ok(handle) if wanted && self.session.is_none() => {
                self.from_command_line = false;
                self.fold(Message::Setup(setup::Message::Started(id)), screen);
                if self.model.screen == Screen::Library {
                    library::watch(&mut self.model);
                }
                self.session = Some(Attached { handle, ended: false, heard: 0 });
                self.verdicts = Verdicts::default();
                if self.gone {
                    self.detach();
                }
                self.drain(screen);
            }
            // Not wanted any more: it ends after its first batch. Another
            // program's goes on, of course.
            Ok(handle) => {
                if handle.measures() {
                    let _ = handle.commands.send(Command::Stop);
                }
            }
            Err(why) if self.gone || wanted && self.from_command_line => {
                self.done = Some(Err(RuntimeError::Start(why)));
            }
            Err(why) => {
                self.model.library.said = Some(why.clone());
                self.fold(Message::Setup(setup::Message::StartFailed(id, why)), screen);
            }
        }
        self.gate.key();
    }

    /// Takes in all that the session has told.
    pub(super) fn drain(&mut self, screen: &mut terminal::Screen<Tty>) {
        while let Some(session) = self.session.as_mut().filter(|session| !session.ended) {
            let update = match session.handle.updates.try_recv() {
                Ok(update) => update,
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => Update::Ended(Err(
                    "the measuring thread ended without a word; the log has more".into(),
                )),
            };
            let mut known = false;
            let asked = self.model.live.requested.stop.is_some();
            let end = match &update {
                Update::Ended(ended) => Some(ended.clone()),
                _ => None,
            };
            let message = match update {
                Update::Event(event) => {
                    session.heard += 1;
                    known = session.heard == session.handle.known;
                    Message::Event(event)
                }
                Update::Progress(progress) => Message::Progress(progress),
                Update::Link(link) => Message::Link(link),
                Update::NotTaken(why) => Message::NotTaken(why),
                Update::Stands(why) => Message::Stands(why),
                Update::Ended(result) => {
                    session.ended = true;
                    Message::Ended(result)
                }
            };
            self.fold(message, screen);
            self.gate.data();
            if known {
                self.verdict_known();
            }
            if let Some(ended) = end {
                self.verdict_seen(false);
                self.end_seen(&ended, asked);
            }
        }
        // A new run clears the screen: others come after it.
        if self.model.run.header().is_some() {
            for dir in std::mem::take(&mut self.beside) {
                self.guest(dir);
            }
        }
        let over = self.session.as_ref().is_some_and(|it| it.ended);
        if over && !self.waiting.is_empty() {
            // Asked of it while it was ending.
            self.go_on();
        }
        // It was kept without a screen, and there is nothing left to stay for.
        if over && self.gone && !self.going {
            self.quit();
        }
    }

    pub(super) fn signal(&mut self, asked: Asked, screen: &mut terminal::Screen<Tty>) {
        match asked {
            Asked::Ask if self.gone => self.stop(screen),
            Asked::Ask => self.input(Input::Key(Key::Ctrl('c')), screen),
            Asked::Stop => self.stop(screen),
            Asked::Gone => self.hung_up(screen),
            Asked::Suspend => self.suspend(terminal::stop_self, screen),
            Asked::Continue => {
                if !std::mem::take(&mut self.resumed) {
                    self.enter_again(screen);
                }
            }
            Asked::Resize => self.resize(screen),
        }
    }

    pub(super) fn resize(&mut self, screen: &mut terminal::Screen<Tty>) {
        match terminal::size() {
            // Many signals of a storm tell nothing new.
            Ok(size) if size == screen.size() => {}
            Ok(size) => {
                screen.resize(size);
                self.fold(Message::Resize(size.width, size.height), screen);
                self.gate.key();
            }
            Err(_) => self.hung_up(screen),
        }
    }
}
