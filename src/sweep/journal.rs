//! The journal: append-only JSON lines. Reading it back is resume, watch and
//! report.
//!
//! A run folder holds `events.jsonl`, or one `events.I-of-N.jsonl` for each
//! shard; the fold of all of them is the run. A line counts once its newline is
//! written: a torn last line is cut off when the run goes on, and left alone by
//! readers. Each journal has a [lock], so that two writers are
//! impossible.

mod files;
mod told;

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use thiserror::Error;

use files::stem;
pub use files::{ENDING, STEM, stem_of, stems};
pub use told::misfit;
use told::{damage, newer};

use super::event::{Event, Header};
use super::lock::{self, Holder, Lock, LockError, Owner};
use super::plan::Shard;
use super::state::SweepState;
use crate::regular;

/// Why a run folder cannot be written or read.
#[derive(Debug, Error)]
pub enum JournalError {
    /// The system said no.
    #[error("cannot {operation} {path}: {source}{}", advice(.source))]
    Io {
        /// `open`, `write`, …
        operation: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Another process writes this run.
    #[error("the run {path} is being written by {holder}: {}", .holder.advice())]
    Locked {
        /// The run folder.
        path: PathBuf,
        /// Who writes it.
        holder: Box<Holder>,
    },
    /// Another process measures cells that this one would measure too.
    #[error(
        "the run {path} is being measured {theirs} by {holder}, and would be measured {ours} \
         here too: the same cells twice; {}", .holder.advice()
    )]
    Overlap {
        /// The run folder.
        path: PathBuf,
        /// What that process measures, as `in 2 parts`.
        theirs: String,
        /// … and this one.
        ours: String,
        /// Who.
        holder: Box<Holder>,
    },
    /// The first line of a journal makes no sense.
    #[error(
        "cannot use {path}: what it says of the run makes no sense, {what}; if it is damaged, \
         take it from a copy"
    )]
    Header {
        /// The journal.
        path: PathBuf,
        /// Field, expected, got.
        what: String,
    },
    /// The lock is not ours any more.
    #[error(
        "cannot write {path}: {source}; nothing more is written here: watch the run, or go on \
         with it when nobody else does"
    )]
    Lost {
        /// The journal.
        path: PathBuf,
        /// What was found.
        source: std::io::Error,
    },
    /// The run folder is not there any more.
    #[error(
        "the run folder {path} is not there any more: what was written is where it went; put it \
         back, then go on with the run"
    )]
    Gone {
        /// Where it was.
        path: PathBuf,
    },
    /// There is no journal.
    #[error(
        "{path} is not a run folder: expected events.jsonl in it, found none; give the folder \
         that `sweep --out` made"
    )]
    NotARun {
        /// The folder.
        path: PathBuf,
    },
    /// A run is there already, and resuming was not asked for.
    #[error(
        "{path} holds a run already: add --resume to go on with it, or choose another folder \
         with --out"
    )]
    Exists {
        /// The run folder.
        path: PathBuf,
    },
}

impl JournalError {
    /// True when there is no room to write: a full disk, a quota, a limit on a
    /// file's size. The same write may succeed later.
    #[must_use]
    pub fn is_full(&self) -> bool {
        matches!(self, Self::Io { operation: "write", source, .. } if is_full(source))
    }
}

fn is_full(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge)
}

/// What to do next, after what the system said.
fn advice(error: &std::io::Error) -> &'static str {
    if is_full(error) { "; free some space" } else { "" }
}

fn io(operation: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> JournalError {
    let path = path.to_path_buf();
    move |source| JournalError::Io { operation, path, source }
}

/// The writing end. Nobody else can write the same journal while it lives.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
    /// Bytes of whole lines.
    length: u64,
    lock: Lock,
}

impl Journal {
    /// Opens the journal of `shard` in `dir` for writing at its end, making
    /// both where they are missing. A torn last line is cut off.
    ///
    /// # Errors
    /// When another process writes it, or the system says no.
    pub fn open(dir: &Path, shard: Shard) -> Result<Self, JournalError> {
        std::fs::create_dir_all(dir).map_err(io("make the folder", dir))?;
        let stem = stem(shard);
        let lock = Lock::take(dir, &stem).map_err(|error| match error {
            LockError::Held(holder) => JournalError::Locked { path: dir.into(), holder },
            LockError::Io(operation, path, source) => JournalError::Io { operation, path, source },
        })?;
        // After the lock: of two that begin at once, one sees the other.
        for (other, holder) in lock::holders_by_stem(dir) {
            if files::overlap(&stem, &other) {
                let (theirs, ours) = (files::way(&other), files::way(&stem));
                let (path, holder) = (dir.into(), Box::new(holder));
                return Err(JournalError::Overlap { path, theirs, ours, holder });
            }
        }
        let path = files::path_of(dir, &stem);
        regular::check(&path).map_err(io("open", &path))?;
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&path)
            .map_err(io("open", &path))?;
        let mut whole = whole(&mut file).map_err(io("read", &path))?;
        if whole > 0 && is_blank(&mut file, whole).map_err(io("read", &path))? {
            whole = 0;
        }
        file.set_len(whole).map_err(io("cut", &path))?;
        file.seek(SeekFrom::Start(whole)).map_err(io("read", &path))?;
        Ok(Self { path, file, length: whole, lock })
    }

    /// Its name without the ending: `events`, or `events.1-of-2`.
    #[must_use]
    pub fn stem(&self) -> &str {
        self.path.file_stem().and_then(|stem| stem.to_str()).unwrap_or(STEM)
    }

    /// Who wrote it last, where that process ended without closing it.
    #[must_use]
    pub fn after(&self) -> Option<&Owner> {
        self.lock.after()
    }

    /// True before the first line.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// The events in this journal alone: of one shard, where there are several.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn events(&self) -> Result<Vec<Event>, JournalError> {
        let bytes = regular::read(&self.path, u64::MAX).map_err(io("read", &self.path))?;
        let lines = bytes.split(|&byte| byte == b'\n');
        Ok(lines.filter_map(|line| serde_json::from_slice(line).ok()).collect())
    }

    /// Writes one line; it is with the system when this returns. A line that
    /// could be written only in part is taken back.
    ///
    /// # Errors
    /// When the system says no (a full disk, a folder that is gone). The journal
    /// can be used again: what was written before stands. When another process
    /// has taken the run over.
    pub fn append(&mut self, event: &Event) -> Result<(), JournalError> {
        self.lock.check().map_err(|source| match self.path.parent() {
            Some(dir) if !dir.exists() => JournalError::Gone { path: dir.into() },
            _ => JournalError::Lost { path: self.path.clone(), source },
        })?;
        let mut line = serde_json::to_vec(event)
            .map_err(|error| io("write", &self.path)(std::io::Error::other(error)))?;
        line.push(b'\n');
        if let Err(error) = self.file.write_all(&line) {
            // Best effort: a reader takes a torn line for none anyway.
            let _ = self.file.set_len(self.length);
            let _ = self.file.seek(SeekFrom::Start(self.length));
            return Err(io("write", &self.path)(error));
        }
        self.length += line.len() as u64;
        Ok(())
    }

    /// Asks the system to put all lines on the disk.
    ///
    /// # Errors
    /// When it cannot.
    pub fn sync(&self) -> Result<(), JournalError> {
        self.file.sync_data().map_err(io("write", &self.path))
    }
}

/// The reading end: all journals of a run folder, now and as they grow.
#[derive(Debug)]
pub struct Reader {
    dir: PathBuf,
    read: BTreeMap<PathBuf, u64>,
    /// Whole lines that are no event: damaged ones.
    pub damaged: usize,
    /// Whole lines of kinds that this version does not know.
    pub unknown: usize,
}

impl Reader {
    /// For the run in `dir`.
    ///
    /// # Errors
    /// When there is no journal in it.
    pub fn open(dir: &Path) -> Result<Self, JournalError> {
        let mut reader = Self { dir: dir.into(), read: BTreeMap::new(), damaged: 0, unknown: 0 };
        reader.look()?;
        if reader.read.is_empty() {
            return Err(JournalError::NotARun { path: dir.into() });
        }
        Ok(reader)
    }

    /// Finds journals that are new in the folder.
    fn look(&mut self) -> Result<(), JournalError> {
        use std::io::ErrorKind::{NotADirectory, NotFound};
        let stems = stems(&self.dir, ENDING).map_err(|error| match error.kind() {
            NotFound | NotADirectory => JournalError::NotARun { path: self.dir.clone() },
            _ => io("list", &self.dir)(error),
        })?;
        for stem in stems {
            self.read.entry(files::path_of(&self.dir, &stem)).or_insert(0);
        }
        Ok(())
    }

    /// How many journals the run has: one for each shard.
    #[must_use]
    pub fn journals(&self) -> usize {
        self.read.len()
    }

    /// Gives the events written since the last call one by one: at first, all.
    /// Those of one journal come in its order.
    fn each(&mut self, each: &mut dyn FnMut(Event)) -> Result<(), JournalError> {
        self.look()?;
        let (damaged, unknown) = (&mut self.damaged, &mut self.unknown);
        for (path, read) in &mut self.read {
            let mut file = regular::open(path).map_err(io("open", path))?;
            let length = file.metadata().map_err(io("read", path))?.len();
            if length <= *read {
                continue;
            }
            file.seek(SeekFrom::Start(*read)).map_err(io("read", path))?;
            let mut wrong = None;
            let mut take = |line| match line {
                Line::Event(event) => {
                    match &*event {
                        Event::Unknown => *unknown += 1,
                        Event::Header(header) if wrong.is_none() => wrong = header.wrong(),
                        _ => {}
                    }
                    each(*event);
                }
                Line::Blank => {}
                Line::Damaged => *damaged += 1,
            };
            *read += lines(file.take(length - *read), &mut take).map_err(io("read", path))?;
            if let Some(what) = wrong {
                return Err(JournalError::Header { path: path.clone(), what });
            }
        }
        Ok(())
    }

    /// The events written since the last call: at first, all.
    ///
    /// # Errors
    /// When a journal cannot be read.
    pub fn poll(&mut self) -> Result<Vec<Event>, JournalError> {
        let mut events = Vec::new();
        self.each(&mut |event| events.push(event))?;
        // A header must come before what it explains, whichever file has it.
        events.sort_by_key(|event| !matches!(event, Event::Header(_)));
        Ok(events)
    }

    /// What people are told of lines that were left out so far, `misfits` of them by
    /// the fold; nothing where there are none.
    #[must_use]
    pub fn complaint(&self, misfits: usize) -> Option<String> {
        let parts = [damage(self.damaged), newer(self.unknown), misfit(misfits)];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        (!parts.is_empty()).then(|| parts.join("; "))
    }
}

/// Bytes read at once.
const BLOCK: usize = 1 << 22;

/// A block that is worth more than one core.
const LARGE: usize = 1 << 18;

enum Line {
    Event(Box<Event>),
    Blank,
    Damaged,
}

fn parse(line: &[u8]) -> Line {
    match serde_json::from_slice(line) {
        Ok(event) => Line::Event(Box::new(event)),
        Err(_) if line.iter().all(u8::is_ascii_whitespace) => Line::Blank,
        Err(_) => Line::Damaged,
    }
}

/// Reads whole lines, a block of them in memory at a time; gives their bytes.
fn lines(mut file: impl Read, each: &mut dyn FnMut(Line)) -> std::io::Result<u64> {
    let (mut bytes, mut done) = (Vec::new(), 0);
    loop {
        let more = (&mut file).take(BLOCK as u64).read_to_end(&mut bytes)?;
        if more == 0 {
            return Ok(done);
        }
        let Some(last) = bytes.iter().rposition(|&byte| byte == b'\n') else { continue };
        let whole = &bytes[..last];
        if whole.len() < LARGE {
            whole.split(|&byte| byte == b'\n').map(parse).for_each(&mut *each);
        } else {
            let parsed: Vec<Line> = whole.par_split(|&byte| byte == b'\n').map(parse).collect();
            parsed.into_iter().for_each(&mut *each);
        }
        done += last as u64 + 1;
        bytes.drain(..=last);
    }
}

/// True when the first `length` bytes are nothing but line breaks and space; only
/// looked at where they are few.
fn is_blank(file: &mut File, length: u64) -> std::io::Result<bool> {
    if length > LARGE as u64 {
        return Ok(false);
    }
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(0))?;
    file.take(length).read_to_end(&mut bytes)?;
    Ok(bytes.iter().all(u8::is_ascii_whitespace))
}

/// Bytes up to the last newline, looked for from the end.
fn whole(file: &mut File) -> std::io::Result<u64> {
    let mut end = file.metadata()?.len();
    let mut block = vec![0; 1 << 16];
    while end > 0 {
        let size = end.min(block.len() as u64);
        let part = &mut block[..usize::try_from(size).unwrap_or(0)];
        file.seek(SeekFrom::Start(end - size))?;
        file.read_exact(part)?;
        if let Some(at) = part.iter().rposition(|&byte| byte == b'\n') {
            return Ok(end - size + at as u64 + 1);
        }
        end -= size;
    }
    Ok(0)
}

/// The fold of the run in `dir`, without all its events in memory at once; and
/// what people are told of lines that were left out.
///
/// # Errors
/// When it holds no journal, or one cannot be read.
pub fn replay(dir: &Path) -> Result<(SweepState, Option<String>), JournalError> {
    let (mut state, mut early) = (SweepState::default(), Vec::new());
    let mut reader = Reader::open(dir)?;
    reader.each(&mut |event| {
        // A header must come before what it explains, whichever file has it.
        if state.header().is_none() && !matches!(event, Event::Header(_)) {
            return early.push(event);
        }
        state.apply(&event);
        if state.header().is_some() {
            early.drain(..).for_each(|event| state.apply(&event));
        }
    })?;
    early.iter().for_each(|event| state.apply(event));
    let told: Vec<String> =
        reader.complaint(state.misfits).into_iter().chain(state.parts_told()).collect();
    Ok((state, (!told.is_empty()).then(|| told.join("; "))))
}

/// What is measured by the run in `dir`, as the first header of each of its
/// journals has it, without reading on from there; empty where none says so.
///
/// # Errors
/// When it holds no journal, or one cannot be read or makes no sense.
pub fn headers(dir: &Path) -> Result<Vec<Header>, JournalError> {
    let mut headers = Vec::new();
    for path in Reader::open(dir)?.read.keys() {
        let file = regular::open(path).map_err(io("open", path))?;
        for line in BufReader::new(file).split(b'\n') {
            let line = line.map_err(io("read", path))?;
            if let Ok(Event::Header(header)) = serde_json::from_slice::<Event>(&line) {
                if let Some(what) = header.wrong() {
                    return Err(JournalError::Header { path: path.clone(), what });
                }
                headers.push(header);
                break;
            }
        }
    }
    Ok(headers)
}

/// The first of [`headers`]; `None` where no journal says what is measured.
///
/// # Errors
/// When it holds no journal, or one cannot be read.
pub fn header(dir: &Path) -> Result<Option<Header>, JournalError> {
    Ok(headers(dir)?.into_iter().next())
}

/// All events of the run in `dir`.
///
/// # Errors
/// When it holds no journal, or one cannot be read.
pub fn read(dir: &Path) -> Result<Vec<Event>, JournalError> {
    Reader::open(dir)?.poll()
}

/// Bytes of the whole lines in the journal of `shard` in `dir`; 0 where there is
/// none that can be read.
#[must_use]
pub fn length(dir: &Path, shard: Shard) -> u64 {
    let path = files::path_of(dir, &stem(shard));
    regular::open(&path).and_then(|mut file| whole(&mut file)).unwrap_or(0)
}

/// True when a session has begun to measure `shard` in `dir` after the first
/// `from` bytes of its journal were written.
#[must_use]
pub fn started_since(dir: &Path, shard: Shard, from: u64) -> bool {
    let path = files::path_of(dir, &stem(shard));
    let mut begun = false;
    let mut look = |line| {
        begun |= matches!(line, Line::Event(event) if matches!(*event, Event::Started { .. }));
    };
    let read = regular::open(&path).and_then(|mut file| {
        file.seek(SeekFrom::Start(from))?;
        lines(file, &mut look)
    });
    read.is_ok() && begun
}

/// True when `dir` holds a journal.
#[must_use]
pub fn is_run(dir: &Path) -> bool {
    Reader::open(dir).is_ok()
}

#[cfg(test)]
mod tests;
