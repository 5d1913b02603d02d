//! What happened, as lines in files of bounded size: one for the program, and one
//! in the folder of each run that is measured. Also what others print (libtorch,
//! drivers) while the screen is up: onto the screen it must not go.
//!
//! A file that has grown past its limit becomes the earlier one (`.log.1`), of
//! which there is one. Several processes may share a file: each looks before it
//! writes whether the file is still the one at its path.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::stdio::{dup2_stderr, dup2_stdout};

/// In a run folder: the log of that run.
pub const OF_RUN: &str = "run.log";
/// Environment: the size in bytes at which a log becomes the earlier one.
const SIZE: &str = "ALPHASCOPE_LOG_SIZE";
/// … where it says nothing.
const LIMIT: u64 = 4 << 20;

static PROGRAM: Mutex<Option<Rotated>> = Mutex::new(None);
static RUN: Mutex<Option<Rotated>> = Mutex::new(None);

fn limit() -> u64 {
    let asked = std::env::var(SIZE).ok().and_then(|text| text.trim().parse().ok());
    asked.unwrap_or(LIMIT).max(1000)
}

fn lock(log: &'static Mutex<Option<Rotated>>) -> MutexGuard<'static, Option<Rotated>> {
    log.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Starts the program's log in `folder`. Levels by `ALPHASCOPE_LOG` (as `debug` or
/// `alphascope::session=trace`), `info` if unset. Gives the file's path, or `None`
/// where none can be written or a log runs already.
pub fn start(folder: &Path) -> Option<PathBuf> {
    std::fs::create_dir_all(folder).ok()?;
    let path = folder.join("alphascope.log");
    let mut log = Rotated::new(path.clone(), limit());
    log.settle().ok()?;
    *lock(&PROGRAM) = Some(log);
    let levels = tracing_subscriber::EnvFilter::try_from_env("ALPHASCOPE_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(levels)
        .with_ansi(false)
        .with_writer(|| Both)
        .try_init()
        .ok()?;
    Some(path)
}

/// A line goes to the program's log and to that of the run in hand.
struct Both;

impl Write for Both {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // A log that cannot be written is no reason to fail.
        for log in [&PROGRAM, &RUN] {
            if let Some(log) = lock(log).as_mut() {
                let _ = log.write(bytes);
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// While this lives, lines go to the log of a run too.
#[derive(Debug)]
pub struct OfRun(PathBuf);

/// Begins the log of the run in `dir`; the file is made with its first line.
#[must_use]
pub fn of_run(dir: &Path) -> OfRun {
    let path = dir.join(OF_RUN);
    *lock(&RUN) = Some(Rotated::new(path.clone(), limit()));
    OfRun(path)
}

impl Drop for OfRun {
    fn drop(&mut self) {
        let mut run = lock(&RUN);
        // The next run's may have begun.
        if run.as_ref().is_some_and(|it| it.path == self.0) {
            *run = None;
        }
    }
}

/// Looks at the sizes now: what others print grows the files without a line of ours.
pub fn keep_small() {
    for log in [&PROGRAM, &RUN] {
        // The run's is made with its first line.
        if let Some(log) = lock(log).as_mut().filter(|it| it.file.is_some()) {
            let _ = log.settle();
        }
    }
}

/// A file of lines that never grows far past its limit.
#[derive(Debug)]
struct Rotated {
    path: PathBuf,
    file: Option<File>,
    limit: u64,
}

fn same(a: &Metadata, b: &Metadata) -> bool {
    (a.dev(), a.ino()) == (b.dev(), b.ino())
}

impl Rotated {
    fn new(path: PathBuf, limit: u64) -> Self {
        Self { path, file: None, limit }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let settled = self.settle();
        match &mut self.file {
            Some(file) => file.write_all(bytes),
            None => settled,
        }
    }

    /// Makes the file at the path the one that is written, and a new one where it
    /// has become too large.
    fn settle(&mut self) -> io::Result<()> {
        if let Some(file) = &self.file {
            let ours = file.metadata()?;
            let there = std::fs::metadata(&self.path).is_ok_and(|there| same(&ours, &there));
            if there && ours.len() < self.limit {
                return Ok(());
            }
        }
        // Also a large one of an earlier process.
        if std::fs::metadata(&self.path).is_ok_and(|it| it.len() >= self.limit) {
            std::fs::rename(&self.path, self.path.with_extension("log.1"))?;
        }
        crate::regular::check(&self.path)?;
        let file = OpenOptions::new().create(true).append(true).open(&self.path)?;
        if let Some(before) = self.file.replace(file) {
            self.follow(&before)?;
        }
        Ok(())
    }

    /// Standard output and error go on where they went: to the log of this name.
    fn follow(&self, before: &File) -> io::Result<()> {
        let (Some(file), before) = (&self.file, before.metadata()?) else { return Ok(()) };
        let leads = |fd| File::from(fd).metadata().is_ok_and(|it| same(&it, &before));
        if leads(io::stdout().as_fd().try_clone_to_owned()?) {
            dup2_stdout(file)?;
        }
        if leads(io::stderr().as_fd().try_clone_to_owned()?) {
            dup2_stderr(file)?;
        }
        Ok(())
    }
}

/// Where standard output and error lead when nothing is in the way.
#[derive(Debug)]
pub struct Real {
    out: File,
    err: File,
}

impl Real {
    /// Standard output, as it was.
    #[must_use]
    pub fn out(&self) -> &File {
        &self.out
    }
}

/// From here on what is printed on standard output and error goes to the program's
/// log (to nowhere, without one). Gives where they led.
///
/// # Errors
/// When the system refuses.
pub fn divert() -> io::Result<Real> {
    let own = |fd: std::os::fd::BorrowedFd<'_>| fd.try_clone_to_owned().map(File::from);
    let real = Real { out: own(io::stdout().as_fd())?, err: own(io::stderr().as_fd())? };
    let log = match lock(&PROGRAM).as_ref().and_then(|log| log.file.as_ref()) {
        Some(file) => file.try_clone(),
        None => OpenOptions::new().write(true).open("/dev/null"),
    }?;
    dup2_stdout(&log)?;
    dup2_stderr(&log)?;
    Ok(real)
}

/// The end of [`divert`].
///
/// # Errors
/// When the system refuses.
pub fn give_back(real: Real) -> io::Result<()> {
    unbuffer();
    dup2_stdout(&real.out)?;
    dup2_stderr(&real.err)?;
    Ok(())
}

/// Writes out what C code has printed and not yet written: at the program's end it
/// would come onto the terminal.
fn unbuffer() {
    // SAFETY: it is C's own declaration; with no stream it means all of them, which
    // is defined at any time and from any thread.
    #[allow(unsafe_code)]
    unsafe {
        unsafe extern "C" {
            fn fflush(stream: *mut std::ffi::c_void) -> std::ffi::c_int;
        }
        fflush(std::ptr::null_mut());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(path: &Path) -> String {
        std::fs::read_to_string(path).unwrap()
    }

    #[test]
    fn a_log_stays_small_and_one_earlier_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run.log");
        let earlier = dir.path().join("run.log.1");
        let mut log = Rotated::new(path.clone(), 1000);
        assert!(!path.exists(), "made with the first line");
        for line in 0..500 {
            log.write(format!("line {line:05}\n").as_bytes()).unwrap();
            assert!(std::fs::metadata(&path).unwrap().len() < 1000 + 11);
        }
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2);
        let text = read(&earlier) + &read(&path);
        assert!(text.len() > 1000 && text.ends_with("line 00499\n"), "{text}");
        let numbers: Vec<usize> = text.lines().map(|line| line[5..].parse().unwrap()).collect();
        assert!(numbers.windows(2).all(|it| it[0] + 1 == it[1]), "no line is lost between them");
    }

    #[test]
    fn two_writers_agree_on_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.log");
        let mut one = Rotated::new(path.clone(), 1000);
        let mut two = Rotated::new(path.clone(), 1000);
        two.write(b"two\n").unwrap();
        for _ in 0..100 {
            one.write(b"0123456789\n").unwrap();
        }
        // The first has begun a new file meanwhile; the second finds it.
        two.write(b"again\n").unwrap();
        assert!(read(&path).contains("again"));
        std::fs::remove_file(&path).unwrap();
        two.write(b"anew\n").unwrap();
        assert_eq!(read(&path), "anew\n");
        std::fs::remove_dir_all(dir.path()).unwrap();
        assert!(one.write(b"nowhere\n").is_ok(), "it writes where it wrote, and makes no folder");
        assert!(!dir.path().exists());
    }
}
