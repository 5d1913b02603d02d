//! What an update asked for is done.

use std::io;

use super::{Loop, host, library};
use crate::app::library::Effect as OfLibrary;
use crate::app::{Effect, setup};
use crate::terminal::{self, Tty};

impl Loop {
    pub(super) fn run_effects(&mut self, effects: Vec<Effect>, screen: &mut terminal::Screen<Tty>) {
        for effect in effects {
            match effect {
                Effect::Command(command) => self.command(command),
                Effect::Detach => self.detach(),
                Effect::Setup(effect) => self.ask(effect),
                Effect::Merge(order) => self.merge(*order),
                Effect::Guest(dir) => self.guest(dir),
                Effect::Library(effect) => self.library(effect),
                Effect::Mouse(on) => {
                    if self.guard.mouse(on).is_err() {
                        self.hung_up(screen);
                    }
                }
                Effect::Redraw => {
                    if screen.forget().is_err() {
                        self.hung_up(screen);
                    }
                }
                Effect::Suspend => match terminal::has_shell() {
                    Ok(true) => self.suspend(terminal::stop_job, screen),
                    Ok(false) => self.say("there is no shell to come back from: not suspended"),
                    Err(error) => self.say(&format!("cannot suspend: {error}")),
                },
                Effect::Quit => self.quit(),
            }
        }
    }

    fn say(&mut self, text: &str) {
        self.model.live.word = Some(text.into());
        self.model.setup.said = Some(text.into());
    }

    pub(super) fn ask(&mut self, effect: setup::Effect) {
        match effect {
            setup::Effect::Remember(memory) => self.remember.keep(*memory),
            effect => {
                match &effect {
                    setup::Effect::Start(_, job) => self.device.clone_from(&job.device),
                    setup::Effect::Demo(_, _, device) => self.device.clone_from(device),
                    _ => {}
                }
                host::ask(&self.host, &self.tell, &self.waker, effect);
            }
        }
    }

    fn library(&mut self, effect: OfLibrary) {
        let mut id = 0;
        match &effect {
            OfLibrary::Open(path) => {
                id = self.model.setup.expect(path.display().to_string());
            }
            // Its threads end when nobody hears them.
            OfLibrary::Close => self.session = None,
            _ => {}
        }
        library::ask(&self.tell, &self.waker, id, effect);
    }

    pub(super) fn suspend(
        &mut self,
        stop: fn() -> io::Result<()>,
        screen: &mut terminal::Screen<Tty>,
    ) {
        self.guard.leave();
        self.resumed = true;
        if let Err(error) = stop() {
            tracing::error!("cannot stop: {error}");
        }
        // … continued.
        self.enter_again(screen);
    }

    pub(super) fn enter_again(&mut self, screen: &mut terminal::Screen<Tty>) {
        if self.guard.enter_again().and_then(|()| screen.forget()).is_err() {
            return self.hung_up(screen);
        }
        self.gate.key();
        self.resize(screen);
    }
}
