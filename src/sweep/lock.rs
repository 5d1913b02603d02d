//! Who writes a run: one process, on one machine, and by name.
//!
//! Two things keep a second writer out, because neither is enough everywhere:
//!
//! - The *system's lock* on `events.lock`. The kernel releases it when its
//!   holder dies, however it dies. Some cluster file systems have none, and some
//!   NFS mounts keep it to one machine.
//! - The *record* `events.owner`: user, host, process and its start, made whole
//!   or not at all by a hard link, which every NFS server does atomically. Its
//!   time of change is a sign of life that the owner renews. On the same machine
//!   the process itself tells whether it lives; its start tells a number that was
//!   given to another process since. On another machine the sign must be old by
//!   the *file server's* clock: both times compared are the server's.
//!
//! A record is replaced only by who holds the claim to it (a file named after
//! its token, made by one alone), so two who find the same dead owner cannot both
//! follow it. An owner that was taken for dead and comes back (a laptop that
//! slept) sees that the record is not its own before it writes a line.

mod owner;
mod record;

use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

pub use owner::{Holder, Owner, span};
use record::{Record, place, read, touch};

use super::journal;
use crate::regular;

/// Between two signs of life.
const BEAT: Duration = Duration::from_secs(15);
/// How long the system's lock may be held by nobody who says so: by a process that
/// begins, or by a copy of one that starts another program just now.
const MOMENT: Duration = Duration::from_secs(2);
/// An owner on another machine counts as dead this long after its last sign.
/// Longer than the minute for which NFS may show an old time.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// Ending of a record, after the stem of its journal.
pub const RECORD: &str = ".owner";

/// Why a lock is not taken.
#[derive(Debug)]
pub enum LockError {
    /// Somebody has it.
    Held(Box<Holder>),
    /// The system said no to this, of this file.
    Io(&'static str, PathBuf, std::io::Error),
}

fn io(operation: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> LockError {
    let path = path.to_path_buf();
    move |source| LockError::Io(operation, path, source)
}

/// Held while it lives.
#[derive(Debug)]
pub struct Lock {
    record: Record,
    /// Ends when its sender is dropped.
    beat: Option<(Sender<()>, JoinHandle<()>)>,
    _system: Option<File>,
}

impl Lock {
    /// Takes the lock `stem` (as `events`) of the run in `dir`.
    ///
    /// # Errors
    /// When somebody else has it, or the system says no.
    pub fn take(dir: &Path, stem: &str) -> Result<Self, LockError> {
        let system = system(dir, stem)?;
        let record = Record::take(dir, stem, &Owner::here(), system.is_some())?;
        if let Some(dead) = &record.after {
            tracing::warn!("{}: took over from {dead:?}, which is gone", record.path.display());
        }
        let (sender, stop) = channel();
        let file = record.file.try_clone().map_err(io("open", &record.path))?;
        let beat = move || {
            while stop.recv_timeout(BEAT) == Err(RecvTimeoutError::Timeout) {
                if let Err(error) = touch(&file) {
                    tracing::warn!("no sign of life in the run's lock: {error}");
                }
            }
        };
        let thread = std::thread::Builder::new().name("beat".into()).spawn(beat);
        let thread = thread.map_err(io("make a thread for", &record.path))?;
        Ok(Self { record, beat: Some((sender, thread)), _system: system })
    }

    /// Still its owner? To be asked before each write.
    ///
    /// # Errors
    /// When the record is gone or another's.
    pub fn check(&self) -> std::io::Result<()> {
        self.record.check()
    }

    /// The folder was moved: gives the lock back where it is now.
    pub fn moved(mut self, dir: &Path) {
        if let Some(name) = self.record.path.file_name() {
            self.record.path = dir.join(name);
        }
    }

    /// Whose lock it was, where that one never gave it back.
    #[must_use]
    pub fn after(&self) -> Option<&Owner> {
        self.record.after.as_ref()
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        if let Some((stop, thread)) = self.beat.take() {
            drop(stop);
            // It has nothing to tell.
            let _ = thread.join();
        }
        if self.check().is_ok() {
            let _ = std::fs::remove_file(&self.record.path);
        }
    }
}

/// The system's lock; `None` where the file system knows none.
fn system(dir: &Path, stem: &str) -> Result<Option<File>, LockError> {
    let path = dir.join(format!("{stem}.lock"));
    regular::check(&path).map_err(io("open", &path))?;
    let mut options = OpenOptions::new();
    let file = options.create(true).truncate(false).write(true).open(&path);
    let file = file.map_err(io("open", &path))?;
    let record = place(dir, stem);
    let here = Owner::here();
    let until = Instant::now() + MOMENT;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(Some(file)),
            Err(TryLockError::WouldBlock) => {
                let known = read(&record).map(|(owner, time)| (owner, since(time)));
                let (owner, sign) = known.unwrap_or_default();
                // The kernel says that somebody has it: a record of a dead one is
                // not that one's.
                let owner = owner.filter(|it| it.lives(&here, sign));
                if owner.is_some() || Instant::now() >= until {
                    let near = owner.as_ref().is_none_or(|it| it.is_near(&here));
                    return Err(LockError::Held(Box::new(Holder { owner, sign, near })));
                }
                std::thread::sleep(MOMENT / 100);
            }
            // Some cluster file systems have none; the record stands.
            Err(TryLockError::Error(source)) if cannot_lock(&source) => return Ok(None),
            Err(TryLockError::Error(source)) => return Err(io("lock", &path)(source)),
        }
    }
}

/// True when it is the file system that knows no locks.
fn cannot_lock(error: &std::io::Error) -> bool {
    use rustix::io::Errno;
    let known = Errno::from_io_error(error);
    error.kind() == std::io::ErrorKind::Unsupported
        || matches!(known, Some(Errno::NOSYS | Errno::OPNOTSUPP | Errno::NOLCK))
}

/// By this machine's clock: to be shown, never to be judged by.
fn since(time: SystemTime) -> Duration {
    SystemTime::now().duration_since(time).unwrap_or_default()
}

/// Those who write the run in `dir` now, as far as a reader can tell.
#[must_use]
pub fn holders(dir: &Path) -> Vec<Holder> {
    holders_by_stem(dir).into_iter().map(|(_, holder)| holder).collect()
}

/// … each with its journal's stem.
#[must_use]
pub fn holders_by_stem(dir: &Path) -> Vec<(String, Holder)> {
    let here = Owner::here();
    let stems = journal::stems(dir, RECORD).unwrap_or_default();
    let known = stems.into_iter().filter_map(|stem| Some((read(&place(dir, &stem)).ok()?, stem)));
    known
        .map(|((owner, time), stem)| (stem, owner, since(time)))
        .filter(|(_, owner, sign)| match owner {
            Some(owner) => owner.lives(&here, *sign),
            None => *sign < PATIENCE,
        })
        .map(|(stem, owner, sign)| {
            let near = owner.as_ref().is_some_and(|it| it.is_near(&here));
            (stem, Holder { owner, sign, near })
        })
        .collect()
}

#[cfg(test)]
mod tests;
