//! The record of who writes a run: made whole or not at all, and replaced only
//! under a claim.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::fs::{Timespec, Timestamps, UTIME_NOW, UTIME_OMIT};

use super::{Holder, LockError, Owner, PATIENCE, RECORD, io};
use crate::regular;

/// Where the record beside a journal lies.
pub(super) fn place(dir: &Path, stem: &str) -> PathBuf {
    dir.join(format!("{stem}{RECORD}"))
}

/// The record of this process in the run folder.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) path: PathBuf,
    pub(super) file: File,
    /// Whose record it replaced.
    pub(super) after: Option<Owner>,
}

impl Record {
    /// `alone`: the system's lock keeps others out meanwhile.
    pub(super) fn take(
        dir: &Path,
        stem: &str,
        owner: &Owner,
        alone: bool,
    ) -> Result<Self, LockError> {
        let path = place(dir, stem);
        let beside = dir.join(format!(".{stem}.{}{RECORD}", owner.token));
        let made = write(&beside, owner);
        let file = made.map_err(io("write", &beside))?;
        let taken = put(&beside, &path, &file, owner);
        let _ = std::fs::remove_file(&beside);
        let after = taken?;
        clear(dir, stem, owner, &file, alone);
        Ok(Self { path, file, after })
    }

    pub(super) fn check(&self) -> std::io::Result<()> {
        std::fs::symlink_metadata(&self.path)?;
        if is_same(&self.file, &self.path)? {
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
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            other => other.map_err(io("read", path))?,
        };
        let sign = age(time, file).map_err(io("write", beside))?;
        let lives = dead.as_ref().map_or(sign < PATIENCE, |it| it.lives(owner, sign));
        if lives {
            return Err(held(dead, sign, owner));
        }
        let claim = claim(path, dead.as_ref());
        if make_claim(&claim, beside, file, owner).map_err(io("make", &claim))? {
            let done = replace(beside, path, owner, dead.as_ref());
            let _ = std::fs::remove_file(&claim);
            return done.map(|()| dead);
        }
        // Who claims it may have died on the way.
        if !give_up(&claim, file, owner) {
            return Err(held(None, sign, owner));
        }
    }
    Err(held(None, Duration::ZERO, owner))
}

fn held(owner: Option<Owner>, sign: Duration, here: &Owner) -> LockError {
    let near = owner.as_ref().is_some_and(|it| it.is_near(here));
    LockError::Held(Box::new(Holder { owner, sign, near }))
}

/// The file whose maker alone may follow a dead owner.
fn claim(path: &Path, dead: Option<&Owner>) -> PathBuf {
    let token = dead.map_or("damaged", |it| it.token.as_str());
    let plain: String = token.chars().filter(char::is_ascii_alphanumeric).take(64).collect();
    path.with_extension(format!("{plain}.claim"))
}

/// False where somebody has it. Whole or not there, as the record is, wherever
/// there are hard links.
fn make_claim(claim: &Path, beside: &Path, file: &File, owner: &Owner) -> std::io::Result<bool> {
    let made = match std::fs::hard_link(beside, claim) {
        Err(error) if no_links(&error) => write(claim, owner).map(drop),
        other => other,
    };
    match made {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => is_same(file, claim),
        Err(error) => Err(error),
    }
}

/// Takes the claim of a process that died away; false where it may live. Two may
/// find the same dead one, and the first of them may have its own there by now:
/// what is taken away is looked at, and put back if it is not that.
fn give_up(claim: &Path, file: &File, owner: &Owner) -> bool {
    let seen = match read(claim) {
        Ok(seen) => seen,
        Err(error) => return error.kind() == ErrorKind::NotFound,
    };
    if may_live(&seen, file, owner) {
        return false;
    }
    let stem = claim.file_stem().unwrap_or_default().to_string_lossy();
    let aside = claim.with_file_name(format!("{stem}-{}.claim", owner.token));
    if let Err(error) = std::fs::rename(claim, &aside) {
        return error.kind() == ErrorKind::NotFound;
    }
    let same = read(&aside).is_ok_and(|it| it == seen);
    if !same {
        let _ = std::fs::hard_link(&aside, claim);
    }
    let _ = std::fs::remove_file(&aside);
    same
}

/// A near owner by its process, others by the age of their sign.
fn may_live((by, time): &(Option<Owner>, SystemTime), file: &File, here: &Owner) -> bool {
    let age = age(*time, file).unwrap_or_default();
    by.as_ref().map_or(age < PATIENCE, |by| by.lives(here, age))
}

/// How long before now it was; both times are the file server's.
fn age(time: SystemTime, file: &File) -> std::io::Result<Duration> {
    touch(file)?;
    Ok(file.metadata()?.modified()?.duration_since(time).unwrap_or_default())
}

/// Follows a dead owner, under the claim to its record.
fn replace(
    beside: &Path,
    path: &Path,
    owner: &Owner,
    dead: Option<&Owner>,
) -> Result<(), LockError> {
    match read(path).map(|(now, _)| now) {
        Ok(now) if now.as_ref() == dead => std::fs::rename(beside, path).map_err(io("make", path)),
        Ok(now) => Err(held(now, Duration::ZERO, owner)),
        Err(error) => Err(io("read", path)(error)),
    }
}

/// Deletes what processes that were killed on their way to the lock left here.
fn clear(dir: &Path, stem: &str, owner: &Owner, file: &File, alone: bool) {
    let Ok(entries) = std::fs::read_dir(dir) else { return };
    for path in entries.flatten().map(|entry| entry.path()) {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let beside = name.strip_prefix('.').and_then(|it| it.strip_suffix(RECORD));
        let token = beside.or_else(|| name.strip_suffix(".claim"));
        let token = token.and_then(|it| it.strip_prefix(stem)?.strip_prefix('.'));
        if token.is_none_or(|it| it.contains('.')) {
            continue;
        }
        let gone =
            read(&path).is_ok_and(|it| (alone && it.0.is_none()) || !may_live(&it, file, owner));
        if gone {
            let _ = std::fs::remove_file(&path);
        }
    }
}

/// A second name for `from`; false where the name is taken. NFS may lose the
/// answer of a link that was made: the number of names tells.
fn link(from: &Path, to: &Path, file: &File) -> std::io::Result<bool> {
    match std::fs::hard_link(from, to) {
        Ok(()) => Ok(true),
        // A whole file by its exclusive name.
        Err(error) if no_links(&error) => {
            match OpenOptions::new().write(true).create_new(true).open(to) {
                Ok(_) => std::fs::rename(from, to).map(|()| true),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
                Err(error) => Err(error),
            }
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists => is_same(file, to),
        Err(error) => Err(error),
    }
}

/// True when it is the file system that knows no hard links.
fn no_links(error: &std::io::Error) -> bool {
    use rustix::io::Errno;
    let known = Errno::from_io_error(error);
    matches!(known, Some(Errno::PERM | Errno::OPNOTSUPP | Errno::NOSYS | Errno::MLINK))
}

/// True when `path` is a name of `file`; false also where there is none now.
fn is_same(file: &File, path: &Path) -> std::io::Result<bool> {
    let (ours, there) = (file.metadata()?, std::fs::symlink_metadata(path));
    Ok(there.is_ok_and(|it| (it.dev(), it.ino()) == (ours.dev(), ours.ino())))
}

/// A record (`None` in it: damaged) and its time; an error where there is none.
pub(super) fn read(path: &Path) -> std::io::Result<(Option<Owner>, SystemTime)> {
    // Opened rather than looked at: NFS asks the server then.
    let file = regular::open(path)?;
    let time = file.metadata()?.modified()?;
    let mut text = String::new();
    let read = std::io::Read::read_to_string(&mut std::io::Read::take(file, 65_536), &mut text);
    let owner = read.ok().and_then(|_| serde_json::from_str(&text).ok());
    Ok((owner, time))
}

/// A sign of life, at the file server's time.
pub(super) fn touch(file: &File) -> std::io::Result<()> {
    let at = |nanos| Timespec { tv_sec: 0, tv_nsec: nanos };
    let times = Timestamps { last_access: at(UTIME_OMIT), last_modification: at(UTIME_NOW) };
    Ok(rustix::fs::futimens(file, &times)?)
}
