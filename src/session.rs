//! One running sweep as its watchers see it: updates come out, commands go in.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use crate::control::{Link, Server};
use crate::sweep::command::Command;
use crate::sweep::drive::{EngineFactory, Sink, drive};
use crate::sweep::event::{Event, Header, Level, Outcome, Progress};
use crate::sweep::journal::{self, Journal, JournalError};
use crate::sweep::plan::Shard;
use crate::sweep::probe::Probe;
use crate::sweep::spec::DoctorSpec;
use crate::sweep::state::SweepState;

/// Called after each update is sent, so that a watcher need not poll.
pub type Waker = Arc<dyn Fn() + Send + Sync>;

/// What a session tells.
#[derive(Clone, Debug)]
pub enum Update {
    /// Something measured or decided; it is in the journal already.
    Event(Box<Event>),
    /// What a worker does right now; latest wins.
    Progress(Progress),
    /// Of a run that is only watched: who measures it, now.
    Link(Link),
    /// Of a run that is only watched: what was asked did not reach whoever measures
    /// it, and why.
    NotTaken(String),
    /// The sweep stands still, and why; `None`: it goes on. Not in the journal,
    /// since there is no room in it just then.
    Stands(Option<String>),
    /// The last update: how the session ended, or why it could not go on.
    Ended(Result<Outcome, String>),
}

/// A running sweep.
#[derive(Debug)]
pub struct SessionHandle {
    /// What it tells, in order. Never bounded: the worker does not wait.
    pub updates: Receiver<Update>,
    /// What may be asked of it; never blocks.
    pub commands: Sender<Command>,
    /// The run folder.
    pub dir: PathBuf,
    /// So many of the first events told were in the journal before the session
    /// began.
    pub known: usize,
    /// What `alphascope sweep --resume` is told besides the folder, to go on as
    /// this session does.
    pub again: Vec<String>,
    thread: Option<JoinHandle<()>>,
}

impl SessionHandle {
    /// Wraps the ends of a session's channels, its run folder, and the thread
    /// to be waited for.
    #[must_use]
    pub fn new(
        updates: Receiver<Update>,
        commands: Sender<Command>,
        dir: PathBuf,
        thread: Option<JoinHandle<()>>,
    ) -> Self {
        Self { updates, commands, dir, known: 0, again: Vec::new(), thread }
    }

    /// True for a session of this process, false for one that it watches.
    #[must_use]
    pub fn measures(&self) -> bool {
        self.thread.is_some()
    }

    /// Waits for the session's thread; it ends soon after [`Update::Ended`].
    pub fn join(self) {
        drop(self.updates);
        if let Some(thread) = self.thread {
            // A panic there was logged and is told by the missing last update.
            let _ = thread.join();
        }
    }
}

/// What a session needs to start.
pub struct Setup {
    /// The run folder.
    pub dir: PathBuf,
    /// Its journal, open for writing.
    pub journal: Journal,
    /// What is measured.
    pub header: Header,
    /// What the spec measures beside accuracy.
    pub probes: Vec<Probe>,
    /// The doctor's orders, where one is asked for.
    pub doctor: Option<DoctorSpec>,
    /// Which part of it.
    pub shard: Shard,
    /// One per worker.
    pub engines: Vec<EngineFactory>,
    /// Said aloud at the start, and journalled the first time.
    pub notices: Vec<String>,
    /// The watcher has seen what the journal holds: only what is new is told.
    pub quiet: bool,
    /// Asked of it before it starts: one that owes nothing ends at once.
    pub asked: Vec<Command>,
}

/// Starts to measure on threads of their own. What the journal holds already is
/// told first, so that a watcher sees the whole run (unless it is
/// [`Setup::quiet`]).
///
/// # Errors
/// When the journal cannot be read or written.
pub fn start(setup: Setup, waker: Waker) -> Result<SessionHandle, JournalError> {
    let Setup {
        dir,
        mut journal,
        header,
        probes,
        doctor,
        shard,
        engines,
        notices,
        quiet,
        asked: first_of_all,
    } = setup;
    let first = journal.is_empty();
    if first {
        journal.append(&Event::Header(header.clone()))?;
    }
    let mut reader = journal::Reader::open(&dir)?;
    let mut known = reader.poll()?;
    let mut state = SweepState::replay(&known);
    let seen = if quiet { known.len() } else { 0 };
    let before = if first { 0 } else { known.len() - seen };
    if let Some(text) = reader.complaint(state.misfits).filter(|_| !quiet) {
        known.push(Event::passing(Level::Warning, text));
    }
    // Right after the header; again if a session ended before it wrote them.
    // Each shard's journal stands by itself: readers may see it first.
    let own = match reader.journals() {
        1 => state.clone(),
        _ => SweepState::replay(&journal.events()?),
    };
    let unknown = probes.into_iter().filter(|it| own.probes().iter().all(|p| p.probe != *it));
    let mut news: Vec<Event> = unknown.map(|probe| Event::Probing { probe }).collect();
    let doctor = doctor.filter(|spec| !quiet && own.doctor() != Some(spec));
    news.extend(doctor.map(|spec| Event::Doctor { spec }));
    // Once a session has begun they are all there.
    if own.started.is_none() {
        let unsaid = notices.into_iter().filter(|text| !own.warnings().contains(text));
        news.extend(unsaid.map(|text| Event::notice(Level::Warning, text)));
    }
    if let Some(owner) = journal.after() {
        let text = format!(
            "process {} of {} on {} ended without closing the run: this one goes on with it",
            owner.pid, owner.user, owner.host
        );
        news.push(Event::passing(Level::Info, text));
    }
    for event in news {
        journal.append(&event)?;
        state.apply(&event);
        known.push(event);
    }
    let (updates, receiver) = channel();
    for event in known.into_iter().skip(seen) {
        // The receiver is in this function.
        let _ = updates.send(Update::Event(Box::new(event)));
    }
    let (commands, asked) = channel();
    for command in first_of_all {
        // The receiver is in this function.
        let _ = commands.send(command);
    }
    // Whoever has the run's lock listens.
    let server = match Server::start(&dir, journal.stem(), commands.clone()) {
        Ok(server) => Some(server),
        Err(error) => {
            tracing::warn!("{}: no socket: {error}; watchers cannot command it", dir.display());
            None
        }
    };
    let log = crate::log::of_run(&dir);
    let measure = move || {
        crate::priority::step_back();
        let mut tell = Tell { journal, updates, waker };
        let ended = drive(&header, shard, &mut state, engines, asked, &mut tell);
        // Power may fail now: what was measured should be on the disk.
        let synced = tell.journal.sync();
        let ended = ended.map_err(|error| error.to_string());
        let ended = ended.and_then(|how| synced.map(|()| how).map_err(|error| error.to_string()));
        let Tell { journal, updates, waker } = tell;
        if let Err(text) = &ended {
            tracing::error!("{text}");
        }
        // Unlocked before anyone hears of the end, and may want to resume.
        drop(server);
        drop(journal);
        drop(log);
        let _ = updates.send(Update::Ended(ended));
        waker();
    };
    let thread = std::thread::Builder::new().name("sweep".into()).spawn(measure);
    let thread = thread.map_err(|source| JournalError::Io {
        operation: "start the measuring thread for",
        path: dir.clone(),
        source,
    })?;
    let handle = SessionHandle::new(receiver, commands, dir, Some(thread));
    Ok(SessionHandle { known: before, ..handle })
}

/// Journal first, watcher second.
struct Tell {
    journal: Journal,
    updates: Sender<Update>,
    waker: Waker,
}

impl Tell {
    fn send(&self, update: Update) {
        // A watcher that went away does not stop the measuring.
        let _ = self.updates.send(update);
        (self.waker)();
    }
}

/// Into the log of the program and of the run: what a person would ask for later.
/// Numbers are in the journal.
fn record(event: &Event) {
    match event {
        Event::Started { program, devices, .. } => {
            tracing::info!("{program} measures on {}", devices.join(", "));
        }
        Event::Finished { outcome, seconds } => {
            tracing::info!("ended after {seconds:.1} s: {outcome:?}");
        }
        Event::Notice { level: Level::Info, text, .. } => tracing::info!("{text}"),
        Event::Notice { level: Level::Warning, text, .. } => tracing::warn!("{text}"),
        Event::Notice { level: Level::Error, text, .. } => tracing::error!("{text}"),
        Event::Refused { why, .. } => tracing::error!("refused: {why}"),
        Event::CellFailed { cell, round, message } => {
            tracing::error!("not measured: {cell:?} {round:?}: {message}");
        }
        Event::ProbeFailed { cell, message } => {
            tracing::error!("not measured: {cell:?}: {message}");
        }
        Event::Measured(_) | Event::Probed(_) => crate::log::keep_small(),
        _ => {}
    }
}

impl Sink for Tell {
    fn event(&mut self, event: Event) -> Result<(), JournalError> {
        self.journal.append(&event)?;
        record(&event);
        self.send(Update::Event(Box::new(event)));
        Ok(())
    }

    fn progress(&mut self, progress: Progress) {
        self.send(Update::Progress(progress));
    }

    fn stands(&mut self, why: Option<String>) {
        if let Some(why) = &why {
            tracing::warn!("{why}");
        }
        self.send(Update::Stands(why));
    }
}
