//! How the screen is left, or why there is none.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// How the screen was left.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ending {
    /// For the process: 0 all measured (or nothing was begun, or it goes on in
    /// the background), 1 some cells failed, 3 stopped early and can be resumed.
    pub code: u8,
    /// For the normal screen; may be empty.
    pub summary: String,
}

/// Why there is no screen (any more).
#[derive(Debug, Error)]
pub enum RuntimeError {
    /// The terminal cannot be used.
    #[error("cannot use the terminal: {0}")]
    Terminal(#[from] io::Error),
    /// What the command line asked for could not be started.
    #[error("{0}")]
    Start(String),
    /// A bug; the message was printed, the log has more.
    #[error(
        "the screen failed and was closed; the log has more{}",
        .0.as_deref().map(|dir| format!("; what was measured is kept, {}", resume(dir)))
            .unwrap_or_default()
    )]
    Panicked(Option<PathBuf>),
}

impl RuntimeError {
    /// For the process.
    #[must_use]
    pub fn code(&self) -> u8 {
        match self {
            Self::Terminal(_) | Self::Start(_) => 2,
            Self::Panicked(_) => 3,
        }
    }
}

/// How to go on with the run in `dir`, for a shell.
pub(super) fn resume(dir: &Path) -> String {
    format!("go on with: alphascope sweep --resume --out {}", crate::config::quoted(dir))
}
