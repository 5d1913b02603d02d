//! A sweep that goes on without a terminal: the headless sweep as a process in a
//! session of its own, which no closed window or dropped line reaches.

use std::fs::OpenOptions;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use thiserror::Error;

use crate::sweep::lock;

/// In the run folder: what the process says, with the lines of the run's own log.
pub const LOG: &str = crate::log::OF_RUN;
/// Between two looks at whether it has the run.
const LOOK: Duration = Duration::from_millis(20);
/// Lines of its log that are shown where it ends at once.
const SHOWN: usize = 3;

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
    /// It ended before it had the run.
    #[error("the process in the background ended at once ({how}): {said}; {log} has more")]
    Ended {
        /// How, as the system tells it.
        how: String,
        /// Its last words.
        said: String,
        /// Its log.
        log: PathBuf,
    },
}

/// Starts `alphascope sweep ARGS` for the run in `dir` in a session of its own
/// and waits until it has the run's lock. It inherits no terminal: what it says
/// goes to [`LOG`]. Gives its process number.
///
/// # Errors
/// When it cannot be started, or ends before it has the run.
pub fn start(dir: &Path, args: &[String]) -> Result<u32, BackgroundError> {
    let path = dir.join(LOG);
    let io = |operation, path: &Path| {
        let path = path.to_path_buf();
        move |source| BackgroundError::Io { operation, path, source }
    };
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
    up(dir, child, &path, before)
}

/// This program's file; the very one that runs, where it was replaced since.
fn program() -> std::io::Result<PathBuf> {
    let path = std::env::current_exe()?;
    let itself = Path::new("/proc/self/exe");
    Ok(if path.exists() || !itself.exists() { path } else { itself.into() })
}

/// Waits until the child has the run.
fn up(dir: &Path, mut child: Child, log: &Path, before: u64) -> Result<u32, BackgroundError> {
    let pid = child.id();
    let has = || {
        let owners = lock::holders(dir).into_iter().filter_map(|it| it.owner);
        owners.into_iter().any(|owner| u32::try_from(owner.pid) == Ok(pid))
    };
    loop {
        if has() {
            return Ok(pid);
        }
        let ended = child.try_wait();
        let ended = ended.map_err(|source| BackgroundError::Io {
            operation: "wait for",
            path: log.into(),
            source,
        })?;
        match ended {
            // A short rest of a run may be over before anyone looks.
            Some(status) if status.success() => return Ok(pid),
            Some(status) => {
                let (how, said) = (status.to_string(), last_words(log, before));
                return Err(BackgroundError::Ended { how, said, log: log.into() });
            }
            None => std::thread::sleep(LOOK),
        }
    }
}

fn last_words(log: &Path, before: u64) -> String {
    let bytes = std::fs::read(log).unwrap_or_default();
    let new = bytes.get(usize::try_from(before).unwrap_or(0)..).unwrap_or_default();
    let text = String::from_utf8_lossy(new);
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    let last = &lines[lines.len().saturating_sub(SHOWN)..];
    if last.is_empty() { "it said nothing".into() } else { last.join(" ") }
}
