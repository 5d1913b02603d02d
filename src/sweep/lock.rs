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

use std::fs::{File, OpenOptions, TryLockError};
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

pub use owner::{Holder, Owner, span};
use rustix::fs::{Timespec, Timestamps, UTIME_NOW, UTIME_OMIT};

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
        let record = Record::take(dir, stem, &Owner::here())?;
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

/// A sign of life, at the file server's time.
fn touch(file: &File) -> std::io::Result<()> {
    let at = |nanos| Timespec { tv_sec: 0, tv_nsec: nanos };
    let times = Timestamps { last_access: at(UTIME_OMIT), last_modification: at(UTIME_NOW) };
    Ok(rustix::fs::futimens(file, &times)?)
}

/// The system's lock; `None` where the file system knows none.
fn system(dir: &Path, stem: &str) -> Result<Option<File>, LockError> {
    let path = dir.join(format!("{stem}.lock"));
    regular::check(&path).map_err(io("open", &path))?;
    let mut options = OpenOptions::new();
    let file = options.create(true).truncate(false).write(true).open(&path);
    let file = file.map_err(io("open", &path))?;
    let record = record(dir, stem);
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

/// A record (`None` in it: damaged) and its time; an error where there is none.
fn read(path: &Path) -> std::io::Result<(Option<Owner>, SystemTime)> {
    // Opened rather than looked at: NFS asks the server then.
    let file = regular::open(path)?;
    let time = file.metadata()?.modified()?;
    let mut text = String::new();
    let read = std::io::Read::read_to_string(&mut std::io::Read::take(file, 65_536), &mut text);
    let owner = read.ok().and_then(|_| serde_json::from_str(&text).ok());
    Ok((owner, time))
}

/// By this machine's clock: to be shown, never to be judged by.
fn since(time: SystemTime) -> Duration {
    SystemTime::now().duration_since(time).unwrap_or_default()
}

fn record(dir: &Path, stem: &str) -> PathBuf {
    dir.join(format!("{stem}{RECORD}"))
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
    let known = stems.into_iter().filter_map(|stem| Some((read(&record(dir, &stem)).ok()?, stem)));
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

/// The record of this process in the run folder.
#[derive(Debug)]
struct Record {
    path: PathBuf,
    file: File,
    after: Option<Owner>,
}

impl Record {
    fn take(dir: &Path, stem: &str, owner: &Owner) -> Result<Self, LockError> {
        let path = record(dir, stem);
        let beside = dir.join(format!(".{stem}.{}{RECORD}", owner.token));
        let made = write(&beside, owner);
        let file = made.map_err(io("write", &beside))?;
        let taken = put(&beside, &path, &file, owner);
        let _ = std::fs::remove_file(&beside);
        Ok(Self { path, file, after: taken? })
    }

    fn check(&self) -> std::io::Result<()> {
        let (ours, there) = (self.file.metadata()?, std::fs::symlink_metadata(&self.path)?);
        if (ours.dev(), ours.ino()) == (there.dev(), there.ino()) {
            return Ok(());
        }
        Err(std::io::Error::other("another process has taken the run over"))
    }
}

fn write(path: &Path, owner: &Owner) -> std::io::Result<File> {
    let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
    file.write_all(serde_json::to_string(owner)?.as_bytes())?;
    file.write_all(b"\n")?;
    file.sync_all()?;
    Ok(file)
}

/// Makes `beside` the record at `path`; gives the dead owner it came after.
fn put(beside: &Path, path: &Path, file: &File, owner: &Owner) -> Result<Option<Owner>, LockError> {
    // A record may vanish between two looks: its owner gave it back.
    for _ in 0..8 {
        if link(beside, path, file).map_err(io("make", path))? {
            return Ok(None);
        }
        let (dead, time) = match read(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            other => other.map_err(io("read", path))?,
        };
        // Both times are the file server's.
        touch(file).map_err(io("write", beside))?;
        let now = file.metadata().and_then(|it| it.modified()).map_err(io("read", beside))?;
        let sign = now.duration_since(time).unwrap_or_default();
        let lives = dead.as_ref().map_or(sign < PATIENCE, |it| it.lives(owner, sign));
        if lives {
            return Err(held(dead, sign, owner));
        }
        return replace(beside, path, file, owner, dead, sign);
    }
    Err(held(None, Duration::ZERO, owner))
}

fn held(owner: Option<Owner>, sign: Duration, here: &Owner) -> LockError {
    let near = owner.as_ref().is_some_and(|it| it.is_near(here));
    LockError::Held(Box::new(Holder { owner, sign, near }))
}

/// Follows a dead owner: only who holds the claim to its record may.
fn replace(
    beside: &Path,
    path: &Path,
    file: &File,
    owner: &Owner,
    dead: Option<Owner>,
    sign: Duration,
) -> Result<Option<Owner>, LockError> {
    let token = dead.as_ref().map_or("damaged", |it| it.token.as_str());
    let plain: String = token.chars().filter(char::is_ascii_alphanumeric).take(64).collect();
    let claim = path.with_extension(format!("{plain}.claim"));
    if let Err(error) = write(&claim, owner) {
        if error.kind() != std::io::ErrorKind::AlreadyExists {
            return Err(io("make", &claim)(error));
        }
        // Who claims it may have died on the way.
        let old = read(&claim).ok().filter(|(by, time)| {
            let now = file.metadata().and_then(|it| it.modified());
            let age = now.ok().and_then(|now| now.duration_since(*time).ok()).unwrap_or_default();
            by.as_ref().map_or(age >= PATIENCE, |by| !by.lives(owner, age))
        });
        if old.is_some() {
            let _ = std::fs::remove_file(&claim);
        }
        return Err(held(None, sign, owner));
    }
    let still = read(path).map(|(now, _)| now);
    let done = match still {
        Ok(now) if now == dead => std::fs::rename(beside, path).map_err(io("make", path)),
        Ok(now) => Err(held(now, Duration::ZERO, owner)),
        Err(error) => Err(io("read", path)(error)),
    };
    let _ = std::fs::remove_file(&claim);
    done.map(|()| dead)
}

/// A second name for `from`; false where the name is taken. NFS may lose the
/// answer of a link that was made: the number of names tells.
fn link(from: &Path, to: &Path, file: &File) -> std::io::Result<bool> {
    use rustix::io::Errno;
    let Err(error) = std::fs::hard_link(from, to) else { return Ok(true) };
    match Errno::from_io_error(&error) {
        // File systems without hard links: a whole file by its exclusive name.
        Some(Errno::PERM | Errno::OPNOTSUPP | Errno::NOSYS | Errno::MLINK) => {
            match OpenOptions::new().write(true).create_new(true).open(to) {
                Ok(_) => std::fs::rename(from, to).map(|()| true),
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(false),
                Err(error) => Err(error),
            }
        }
        Some(Errno::EXIST) => {
            let (ours, there) = (file.metadata()?, std::fs::symlink_metadata(to));
            Ok(there.is_ok_and(|it| (it.dev(), it.ino()) == (ours.dev(), ours.ino())))
        }
        _ => Err(error),
    }
}

#[cfg(test)]
mod tests;
