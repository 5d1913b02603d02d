//! The screen's loop: keys, events of the session, signals and the frame timer
//! in one select on the main thread. Drain all that is ready, fold it into the
//! model, draw once. While nothing happens it sleeps without a timer.
//!
//! ```text
//! terminal::listen ─┐                        ┌─▶ terminal::Screen
//! signals ──────────┼─▶ update(model) ──▶ effects ─▶ session (commands)
//! session (waker) ──┤        │               └─▶ host, on threads of its own ─┐
//! answers ◀─────────┴────────┴─────────────────────────────────────────────────┘
//! ```

mod alerts;
mod attach;
mod effects;
mod ending;
mod follow;
mod gate;
mod guest;
mod hear;
mod host;
mod leave;
mod library;
mod remember;
mod signals;
mod work;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::Notify;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

pub use ending::{Ending, RuntimeError};
pub use follow::watch;
pub use host::{Host, list};

use crate::alert::{Alerts, Verdicts};
use crate::app::setup::{self, Demo, Job, Starting};
use crate::app::{Effect, Message, Mode, Model, Screen, update};
use crate::session::{SessionHandle, Waker};
use crate::sweep::command::Command;
use crate::terminal::{self, Guard, Input, Tty};
use crate::ui::{self, Theme};
use gate::Gate;
use host::Tell;
use remember::Remember;
use signals::Signals;

/// What the screen begins with.
#[derive(Clone, Debug)]
pub enum Begin {
    /// The set-up screen.
    Setup,
    /// One of the program's own sweeps, on this device.
    Demo(Demo, String),
    /// This sweep.
    Job(Box<Job>),
    /// Another program's run, by its folder, and others beside it. What measures
    /// when more is asked of it.
    Watch(PathBuf, Vec<PathBuf>, String),
    /// The runs in the library's folder; likewise.
    Library(String),
}

/// What reaches the loop from other threads.
enum Incoming {
    Input(Input),
    Setup(Box<setup::Message>),
    Library(Box<crate::app::library::Message>),
    Session(u64, Result<SessionHandle, String>),
    /// Another process could go on with the run, or could not.
    Ready(Result<(), String>),
    /// … and does, by its number; or did not begin.
    Handed(Result<u32, String>),
    /// The session that had ended goes on, or cannot.
    Again(Result<SessionHandle, String>),
    Told(Box<Message>),
}

/// Name of the variable that makes F12 panic, for the tests of the terminal's
/// restoration.
const PANIC: &str = "ALPHASCOPE_TEST_PANIC";

/// Runs the screen until it is left. The terminal is given back before this
/// returns; the summary is not printed yet.
///
/// # Errors
/// [`RuntimeError`].
pub fn run(
    model: Model,
    begin: Begin,
    host: Arc<dyn Host>,
    memory: Option<PathBuf>,
    alerts: Alerts,
) -> Result<Ending, RuntimeError> {
    let guard = Guard::enter()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (sender, incoming) = unbounded_channel();
    let tell: Tell = Arc::new(move |it| {
        let _ = sender.send(it);
    });
    let wake = Arc::new(Notify::new());
    let waker: Waker = {
        let wake = Arc::clone(&wake);
        Arc::new(move || wake.notify_one())
    };
    let mut screen = terminal::Screen::new(Tty::open()?, terminal::size()?)?;
    let mut state = Loop {
        theme: Theme::of(model.look),
        remember: Remember::new(memory, &model),
        panic: std::env::var_os(PANIC).is_some(),
        alerts,
        verdicts: Verdicts::default(),
        model,
        guard,
        host,
        tell,
        waker,
        session: None,
        waiting: Vec::new(),
        going: false,
        device: String::from("auto"),
        beside: Vec::new(),
        handing: Handing::No,
        kept: false,
        gate: Gate::default(),
        from_command_line: false,
        gone: false,
        resumed: false,
        done: None,
    };
    let looped = catch_unwind(AssertUnwindSafe(|| {
        runtime.block_on(state.main(begin, &mut screen, incoming, &wake))
    }));
    // The terminal first: what comes now may take as long as a batch.
    state.guard.leave();
    runtime.shutdown_background();
    let ending = match looped {
        Ok(ending) => ending,
        Err(_) => {
            state.wind_down();
            Err(RuntimeError::Panicked(state.session.as_ref().map(|it| it.handle.dir.clone())))
        }
    };
    if let Some(session) = state.session.take()
        && session.ended
    {
        session.handle.join();
    }
    state.remember.finish(&state.model);
    ending
}

struct Attached {
    handle: SessionHandle,
    /// The last update has come.
    ended: bool,
    /// Events so far.
    heard: usize,
}

/// A run on its way to another process.
enum Handing {
    /// It stays here.
    No,
    /// What a process will compare is compared here first, while the sweep goes on.
    Asked,
    /// The session ends; then a process is started that is told this besides.
    Stopping(Vec<String>),
    /// That process begins. It begins with a pause where one was in force.
    Begun {
        /// Paused.
        paused: bool,
    },
}

struct Loop {
    model: Model,
    theme: Theme,
    guard: Guard,
    host: Arc<dyn Host>,
    tell: Tell,
    waker: Waker,
    session: Option<Attached>,
    /// Asked of a session that has ended: told to the one that goes on.
    waiting: Vec<Command>,
    /// … which is being made.
    going: bool,
    /// What measures, when it goes on.
    device: String,
    /// Runs to be shown beside the first one, once it is there.
    beside: Vec<PathBuf>,
    /// How far the run is on its way to another process.
    handing: Handing,
    /// It could not be handed over with nobody at the screen: it stays here.
    kept: bool,
    gate: Gate,
    remember: Remember,
    /// A failure to start ends the program rather than showing the form.
    from_command_line: bool,
    /// Nobody is there to be shown anything.
    gone: bool,
    /// The next SIGCONT is the end of our own suspension.
    resumed: bool,
    panic: bool,
    alerts: Alerts,
    verdicts: Verdicts,
    done: Option<Result<Ending, RuntimeError>>,
}

impl Loop {
    async fn main(
        &mut self,
        begin: Begin,
        screen: &mut terminal::Screen<Tty>,
        mut incoming: UnboundedReceiver<Incoming>,
        wake: &Notify,
    ) -> Result<Ending, RuntimeError> {
        let mut signals = Signals::listen()?;
        let tell = Arc::clone(&self.tell);
        let open = move |input| {
            tell(Incoming::Input(input));
            true
        };
        terminal::listen(open)?;
        let size = screen.size();
        self.fold(Message::Resize(size.width, size.height), screen);
        self.begin(begin, screen);
        self.gate.key();

        loop {
            if let Some(done) = self.done.take() {
                return done;
            }
            let now = Instant::now();
            let due = if self.gone { None } else { self.gate.due(now) };
            if due.is_some_and(|due| due <= now) {
                self.draw(screen);
                continue;
            }
            tokio::select! {
                biased;
                asked = signals.next() => self.signal(asked, screen),
                Some(first) = incoming.recv() => {
                    self.take(first, screen);
                    while self.done.is_none() && let Ok(more) = incoming.try_recv() {
                        self.take(more, screen);
                    }
                }
                () = wake.notified() => self.drain(screen),
                () = until(due), if due.is_some() => {}
            }
        }
    }

    fn begin(&mut self, begin: Begin, screen: &mut terminal::Screen<Tty>) {
        let named = |what: String| Some(Starting { id: 0, what });
        self.from_command_line = !matches!(begin, Begin::Setup);
        match begin {
            Begin::Setup => {
                let effects = self.model.setup.begin();
                self.run_effects(effects.into_iter().map(Effect::Setup).collect(), screen);
            }
            Begin::Demo(demo, device) => {
                self.model.screen = Screen::Live;
                self.model.setup.starting = named(format!("the demo ({})", demo.name()));
                self.ask(setup::Effect::Demo(0, demo, device));
            }
            Begin::Job(job) => {
                self.model.screen = Screen::Live;
                self.model.setup.starting = named("the sweep".into());
                self.ask(setup::Effect::Start(0, job));
            }
            Begin::Library(device) => {
                self.device = device;
                self.from_command_line = false;
                let effects = self.model.library.look();
                self.run_effects(effects.into_iter().map(Effect::Library).collect(), screen);
            }
            Begin::Watch(dir, beside, device) => {
                self.device = device;
                self.beside = beside;
                self.model.setup.starting = named(dir.display().to_string());
                let waker = Arc::clone(&self.waker);
                let open = move || watch(&dir, waker).map_err(|error| error.to_string());
                host::aside(&self.tell, "watch", open, |result| Incoming::Session(0, result));
            }
        }
    }

    fn fold(&mut self, message: Message, screen: &mut terminal::Screen<Tty>) {
        let effects = update(&mut self.model, message);
        self.run_effects(effects, screen);
    }

    /// Another program's run is shown.
    fn watching(&self) -> bool {
        self.model.mode == Mode::Watch
    }

    /// A session of our own measures.
    fn measuring(&self) -> bool {
        let own = |session: &Attached| session.handle.measures() && !session.ended;
        !self.watching() && self.session.as_ref().is_some_and(own)
    }

    fn draw(&mut self, screen: &mut terminal::Screen<Tty>) {
        let data = self.gate.draw(Instant::now());
        if data || self.model.due() {
            let start = Instant::now();
            self.model.settle();
            self.verdict_seen(true);
            self.gate.took(start.elapsed());
        }
        if self.theme.look() != self.model.look {
            self.theme = Theme::of(self.model.look);
        }
        let (model, theme) = (&self.model, &self.theme);
        match screen.draw(|frame| ui::view(model, theme, frame)) {
            Ok(bytes) if data => self.gate.sent(bytes, screen.size().area()),
            Ok(_) => {}
            Err(error) => {
                tracing::error!("cannot draw: {error}");
                self.hung_up(screen);
            }
        }
    }
}

async fn until(due: Option<Instant>) {
    if let Some(due) = due {
        tokio::time::sleep_until(due.into()).await;
    }
}
