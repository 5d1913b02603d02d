//! What the screen needs from the outside, and the threads it is asked on.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use super::Incoming;
use crate::app::contest::Guest;
use crate::app::save::{Order, Refused};
use crate::app::setup::{self, DataFacts, Demo, Effect, Entry, FileFacts, Job, Message, PairFacts};
use crate::session::{SessionHandle, Waker};
use crate::sweep::command::Command;

/// The outside: files, datasets, devices, sessions. Every call is made on a
/// thread of its own and may take its time; errors are sentences for people.
pub trait Host: Send + Sync + 'static {
    /// Opens the inputs and starts to measure.
    ///
    /// # Errors
    /// When the inputs cannot be used or no worker can be made.
    fn start(&self, job: Job, waker: Waker) -> Result<SessionHandle, String>;

    /// Starts one of the program's own sweeps.
    ///
    /// # Errors
    /// As [`Host::start`].
    fn demo(&self, demo: Demo, device: String, waker: Waker) -> Result<SessionHandle, String>;

    /// Goes on with the run in a folder, whose events are known to the one who
    /// asks: only what is new is told. `asked` comes before anything else.
    ///
    /// # Errors
    /// As [`Host::start`].
    fn again(
        &self,
        dir: &Path,
        device: String,
        asked: Vec<Command>,
        waker: Waker,
    ) -> Result<SessionHandle, String>;

    /// Writes a checkpoint from the ends of the run in a folder; answers what it
    /// is, in lines.
    ///
    /// # Errors
    /// When there is a file already, or it cannot be written.
    fn merge(&self, dir: &Path, order: Order) -> Result<String, Refused>;

    /// Reads another run, to be shown beside the one in the folder `own`.
    ///
    /// # Errors
    /// When it is no run, or cannot be read.
    fn guest(&self, dir: &Path, own: &Path) -> Result<Guest, String> {
        super::guest::read(dir, own)
    }

    /// Compares what the run in `dir` was begun with and what is there now, as a
    /// process that goes on with it will.
    ///
    /// # Errors
    /// When it would be refused.
    fn ready(&self, dir: &Path, device: String) -> Result<(), String>;

    /// Lets a process without a screen go on with the run in `dir`, which no
    /// session has any more, told `args` besides the folder; gives its number.
    ///
    /// # Errors
    /// When it cannot be started, or does not begin to measure.
    fn detach(&self, dir: &Path, args: &[String]) -> Result<u32, String>;

    /// Says what a checkpoint is.
    ///
    /// # Errors
    /// When it is none.
    fn checkpoint(&self, path: &Path) -> Result<FileFacts, String>;

    /// Compares two checkpoints.
    ///
    /// # Errors
    /// When one of them cannot be read.
    fn compare(&self, zeroshot: &Path, finetuned: &Path) -> Result<PairFacts, String>;

    /// Opens all that [`Host::start`] would open, and begins nothing.
    ///
    /// # Errors
    /// As [`Host::start`], but for what only a beginning shows.
    fn check(&self, job: Job) -> Result<(), String>;

    /// Says what a dataset is.
    ///
    /// # Errors
    /// When it is none.
    fn dataset(&self, path: &Path) -> Result<DataFacts, String>;

    /// Device names one may ask for; `auto` first.
    fn devices(&self) -> Vec<String>;

    /// What is in a folder.
    ///
    /// # Errors
    /// When it cannot be read.
    fn list(&self, dir: &Path) -> Result<Vec<Entry>, String> {
        list(dir)
    }
}

/// Reads a folder, links followed; what vanishes meanwhile is left out.
///
/// # Errors
/// When it cannot be read.
pub fn list(dir: &Path) -> Result<Vec<Entry>, String> {
    let entries = std::fs::read_dir(dir)
        .map_err(|error| format!("cannot read the folder {}: {error}", dir.display()))?;
    Ok(entries
        .flatten()
        .map(|entry| {
            let path = entry.path();
            let meta = std::fs::metadata(&path).ok();
            let stamp = meta.as_ref().and_then(|meta| meta.modified().ok());
            Entry {
                name: entry.file_name().to_string_lossy().into_owned(),
                folder: meta.as_ref().is_some_and(std::fs::Metadata::is_dir),
                bytes: meta.as_ref().map_or(0, std::fs::Metadata::len),
                stamp: stamp
                    .and_then(|at| at.duration_since(UNIX_EPOCH).ok())
                    .map_or(0, |since| since.as_nanos()),
                path,
            }
        })
        .collect())
}

/// Runs `work` on a thread of its own; a panic there becomes an error.
pub(super) fn aside<T: Send + 'static>(
    tell: &Tell,
    name: &str,
    work: impl FnOnce() -> Result<T, String> + Send + 'static,
    answer: impl FnOnce(Result<T, String>) -> Incoming + Send + 'static,
) {
    let sender = tell.clone();
    // Shared, so that the answer can still be given where no thread is made.
    let answer = Arc::new(std::sync::Mutex::new(Some(answer)));
    let give = {
        let answer = Arc::clone(&answer);
        move |result| {
            let taken = answer.lock().ok().and_then(|mut answer| answer.take());
            if let Some(answer) = taken {
                sender(answer(result));
            }
        }
    };
    let refuse = give.clone();
    let spawned = std::thread::Builder::new().name(name.into()).spawn(move || {
        // The screen comes first; so do all threads a session makes from here.
        crate::priority::step_back();
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
        give(result.unwrap_or_else(|_| Err("an internal error; the log has more".into())));
    });
    if let Err(error) = spawned {
        refuse(Err(format!("no thread can be made: {error}")));
    }
}

/// Hands something to the loop, from any thread.
pub(super) type Tell = Arc<dyn Fn(Incoming) + Send + Sync>;

/// Asks the outside what the set-up screen wants to know.
pub(super) fn ask(host: &Arc<dyn Host>, tell: &Tell, waker: &Waker, effect: Effect) {
    let host = Arc::clone(host);
    let say = |message: setup::Message| Incoming::Setup(Box::new(message));
    match effect {
        Effect::List(id, dir) => {
            aside(tell, "list", move || host.list(&dir), move |r| say(Message::Listed(id, r)));
        }
        Effect::File(id, path) => {
            let of = path.clone();
            let read = move || host.checkpoint(&path);
            aside(tell, "checkpoint", read, move |r| say(Message::File(id, of, r)));
        }
        Effect::Data(id, path) => {
            let of: PathBuf = path.clone();
            let read = move || host.dataset(&path);
            aside(tell, "dataset", read, move |r| say(Message::Data(id, of, r)));
        }
        Effect::Pair(id, a, b) => {
            let read = move || host.compare(&a, &b);
            aside(tell, "compare", read, move |r| say(Message::Pair(id, r)));
        }
        Effect::Check(id, job) => {
            let open = move || host.check(*job);
            aside(tell, "check", open, move |r| say(Message::Checked(id, r)));
        }
        Effect::Devices => {
            let read = move || Ok(host.devices());
            let answer =
                move |r: Result<Vec<String>, String>| say(Message::Devices(r.unwrap_or_default()));
            aside(tell, "devices", read, answer);
        }
        Effect::Start(id, job) => {
            let waker = Arc::clone(waker);
            let start = move || host.start(*job, waker);
            aside(tell, "start", start, move |r| Incoming::Session(id, r));
        }
        Effect::Demo(id, demo, device) => {
            let waker = Arc::clone(waker);
            let start = move || host.demo(demo, device, waker);
            aside(tell, "start", start, move |r| Incoming::Session(id, r));
        }
        Effect::Abandon(_) | Effect::Remember(_) => {}
    }
}
