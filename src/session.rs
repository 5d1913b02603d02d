//! One running sweep as its watchers see it: updates come out, commands go in.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender};
use std::thread::JoinHandle;

use crate::sweep::command::Command;
use crate::sweep::event::{Event, Outcome, Progress};

/// Called after each update is sent, so that a watcher need not poll.
pub type Waker = Arc<dyn Fn() + Send + Sync>;

/// What a session tells.
#[derive(Clone, Debug)]
pub enum Update {
    /// Something measured or decided; it is in the journal already.
    Event(Box<Event>),
    /// What a worker does right now; latest wins.
    Progress(Progress),
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
    thread: Option<JoinHandle<()>>,
}

impl SessionHandle {
    /// Wraps the ends of a session's channels, and the thread to be waited for.
    #[must_use]
    pub fn new(
        updates: Receiver<Update>,
        commands: Sender<Command>,
        thread: Option<JoinHandle<()>>,
    ) -> Self {
        Self { updates, commands, thread }
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
