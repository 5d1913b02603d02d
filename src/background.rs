//! A sweep that goes on without a terminal: the headless sweep as a process in a
//! session of its own, which no closed window or dropped line reaches.

use std::fs::OpenOptions;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use thiserror::Error;

use crate::sweep::plan::Shard;
use crate::sweep::{journal, lock};
use crate::{control, regular};

/// In the run folder: what the process says, with the lines of the run's own log.
pub const LOG: &str = crate::log::OF_RUN;
/// Between two looks at whether it has begun.
const LOOK: Duration = Duration::from_millis(20);
/// Lines of its log that are shown where it ends at once.
const SHOWN: usize = 3;
/// Before what it says of its end, in its log.
const ERROR: &str = "error:";
/// So long its journal may say nothing, once it listens to commands.
const PATIENCE: Duration = Duration::from_secs(60);

/// Why nothing goes on in the background.
#[derive(Debug, Error)]
pub enum BackgroundError {
    /// The system said no.
    #[error("cannot {operation} {path}: {source}")]
    Io {
        /// `start`, `write`, …
        operation: &'static str,
        /// The program or its log.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// It ended before it began to measure.
    #[error("the process in the background ended before it measured ({how}): {said}{}", more(.log))]
    Ended {
        /// How, as the system tells it.
        how: String,
        /// Its last words.
        said: String,
        /// Its log; `None` where that was not kept.
        log: Option<PathBuf>,
    },
}

fn more(log: &Option<PathBuf>) -> String {
    log.as_ref().map_or_else(String::new, |log| format!("; {} has more", log.display()))
}

/// Starts `alphascope sweep ARGS` for `shard` of the run in `dir` in a session of
/// its own and waits until it begins to measure: having the run's lock is not
/// enough, because inputs are compared under it. It inherits no terminal: what it
/// says goes to [`LOG`]. Gives its process number.
///
/// # Errors
/// When it cannot be started, or ends before it measures.
pub fn start(dir: &Path, shard: Shard, args: &[String]) -> Result<u32, BackgroundError> {
    let path = dir.join(LOG);
    let begun = Begun::before(dir, shard);
    let io = |operation, path: &Path| {
        let path = path.to_path_buf();
        move |source| BackgroundError::Io { operation, path, source }
    };
    regular::check(&path).map_err(io("write", &path))?;
    let log = OpenOptions::new().create(true).append(true).open(&path);
    let log = log.map_err(io("write", &path))?;
    let before = log.metadata().map_or(0, |it| it.len());
    let second = log.try_clone().map_err(io("write", &path))?;
    let program = program().map_err(io("find", Path::new("this program")))?;
    let mut command = Command::new(&program);
    command.arg("sweep").args(args).arg("--out").arg(dir);
    command.stdin(Stdio::null()).stdout(log).stderr(second);
    // It must not hold a folder of a disk that someone wants to take away.
    command.current_dir("/");
    let session = || rustix::process::setsid().map(drop).map_err(Into::into);
    // SAFETY: between fork and exec only `setsid` is called, which is one system
    // call and neither allocates nor locks. Afterwards it would be too late: the
    // signal of a terminal that closes now would reach the new process.
    #[allow(unsafe_code)]
    unsafe {
        command.pre_exec(session);
    }
    let child = command.spawn().map_err(io("start", &program))?;
    up(&begun, child, &path, before)
}

/// Tells whether a session has begun since.
struct Begun<'a> {
    dir: &'a Path,
    shard: Shard,
    /// Bytes of its journal before.
    length: u64,
}

impl<'a> Begun<'a> {
    fn before(dir: &'a Path, shard: Shard) -> Self {
        Self { dir, shard, length: journal::length(dir, shard) }
    }

    /// A session says that it measures, whoever's it is.
    fn yet(&self) -> bool {
        journal::started_since(self.dir, self.shard, self.length)
    }

    /// This process has the run.
    fn has(&self, pid: u32) -> bool {
        let owners = lock::holders(self.dir).into_iter().filter_map(|it| it.owner);
        owners.into_iter().any(|owner| u32::try_from(owner.pid) == Ok(pid))
    }
}

/// This program's file; the very one that runs, where it was replaced since.
pub(crate) fn program() -> std::io::Result<PathBuf> {
    let path = std::env::current_exe()?;
    let itself = Path::new("/proc/self/exe");
    Ok(if path.exists() || !itself.exists() { path } else { itself.into() })
}

/// Waits until the child measures.
fn up(begun: &Begun, mut child: Child, log: &Path, before: u64) -> Result<u32, BackgroundError> {
    let pid = child.id();
    let mut since = None;
    loop {
        if begun.has(pid) {
            // On a full disk its journal cannot say so yet: who listens has begun.
            let since = since.get_or_insert_with(Instant::now).elapsed();
            if begun.yet() || since > PATIENCE && control::attach(begun.dir).is_ok() {
                return Ok(pid);
            }
        }
        let ended = child.try_wait();
        let ended = ended.map_err(|source| BackgroundError::Io {
            operation: "wait for",
            path: log.into(),
            source,
        })?;
        match ended {
            // A short rest of a run may be over before anyone looks: measured, with
            // or without cells that failed, or stopped by somebody.
            Some(status) if matches!(status.code(), Some(0 | 1)) => return Ok(pid),
            Some(status) if status.code() == Some(3) && begun.yet() => return Ok(pid),
            Some(status) => {
                let (how, said) = (status.to_string(), last_words(log, before));
                return Err(BackgroundError::Ended { how, said, log: Some(log.into()) });
            }
            None => std::thread::sleep(LOOK),
        }
    }
}

/// The error that it ended with, else its last lines.
fn last_words(log: &Path, before: u64) -> String {
    let bytes = regular::read(log, u64::MAX).unwrap_or_default();
    // A log that was begun anew meanwhile is all new.
    let from = usize::try_from(before).ok().filter(|&from| from <= bytes.len());
    let text = String::from_utf8_lossy(&bytes[from.unwrap_or(0)..]);
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    let error = lines.iter().rposition(|line| line.starts_with(ERROR));
    let from = error.unwrap_or(lines.len().saturating_sub(SHOWN));
    let last = lines[from..].join(" ");
    match last.strip_prefix(ERROR).unwrap_or(&last).trim() {
        "" => "it said nothing".into(),
        said => said.into(),
    }
}
