//! The end that watches.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::Shutdown;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};
use thiserror::Error;

use super::{LINE, PROTOCOL, is_same, own, peer, place};
use crate::sweep::command::Command;

/// How long the other end may take to greet, and to take a line.
const PATIENCE: Duration = Duration::from_secs(5);

/// Why a run cannot be commanded.
#[derive(Debug, Error)]
pub enum AttachError {
    /// Nobody listens on this machine.
    #[error("no process on this machine measures it")]
    Nobody,
    /// It may be somebody's trap.
    #[error("{path} is not used: {why}")]
    Refused {
        /// The socket.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// It does not work.
    #[error("cannot {operation} {path}: {source}")]
    Io {
        /// `connect to`, …
        operation: &'static str,
        /// The socket.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// A line to the process that measures a run.
#[derive(Debug)]
pub struct Client {
    stream: UnixStream,
    sent: u64,
}

/// What it answers.
#[derive(Debug)]
pub struct Replies(BufReader<UnixStream>);

/// Connects to every process that measures a part of the run in `dir`.
///
/// # Errors
/// When there is none, or the first of them cannot be used.
pub fn attach(dir: &Path) -> Result<Vec<(Client, Replies)>, AttachError> {
    let mut clients = Vec::new();
    let mut wrong = None;
    for path in place::all(dir) {
        match connect(&path) {
            Ok(client) => clients.push(client),
            // What a dead process left.
            Err(AttachError::Io { source, .. })
                if source.kind() == io::ErrorKind::ConnectionRefused => {}
            Err(error) => wrong = wrong.or(Some(error)),
        }
    }
    if clients.is_empty() { Err(wrong.unwrap_or(AttachError::Nobody)) } else { Ok(clients) }
}

fn connect(path: &Path) -> Result<(Client, Replies), AttachError> {
    let refuse = |why: String| AttachError::Refused { path: path.into(), why };
    let failed = |operation| move |source| AttachError::Io { operation, path: path.into(), source };
    let it = path.symlink_metadata().map_err(failed("look at"))?;
    let mode = it.permissions().mode() & 0o777;
    if !it.file_type().is_socket() {
        return Err(refuse("it is not a socket".into()));
    }
    if it.uid() != own() {
        return Err(refuse(format!("it belongs to user {}, not to you", it.uid())));
    }
    if mode != 0o600 {
        return Err(refuse(format!("its mode is {mode:04o}, expected 0600")));
    }
    let stream = UnixStream::connect(path).map_err(failed("connect to"))?;
    if !is_same(peer(&stream).map_err(failed("ask who listens at"))?, own()) {
        return Err(refuse("another user listens at it".into()));
    }
    let set = stream.set_write_timeout(Some(PATIENCE));
    set.and_then(|()| stream.set_read_timeout(Some(PATIENCE))).map_err(failed("use"))?;
    let mut replies = Replies(BufReader::new(stream.try_clone().map_err(failed("use"))?));
    let hello = replies.read().map_err(failed("hear from"))?;
    if let Some(why) = hello.get("error").and_then(Value::as_str) {
        return Err(refuse(why.into()));
    }
    if hello.get("protocol").and_then(Value::as_u64) != Some(u64::from(PROTOCOL)) {
        let got = hello.get("program").and_then(Value::as_str).unwrap_or("another program");
        let why = format!("{got} speaks another version: watch with the program that measures");
        return Err(refuse(why));
    }
    stream.set_read_timeout(None).map_err(failed("use"))?;
    Ok((Client { stream, sent: 0 }, replies))
}

impl Client {
    /// Sends a command; the reply comes by [`Replies::read`].
    ///
    /// # Errors
    /// When the other end is gone.
    pub fn send(&mut self, command: &Command) -> io::Result<()> {
        self.sent += 1;
        let request = json!({ "protocol": PROTOCOL, "id": self.sent, "ask": command });
        let mut line = serde_json::to_vec(&request)?;
        line.push(b'\n');
        self.stream.write_all(&line)
    }
}

impl Drop for Client {
    /// Whoever waits for a reply waits no longer.
    fn drop(&mut self) {
        let _ = self.stream.shutdown(Shutdown::Both);
    }
}

impl Replies {
    /// The next line of the other end.
    ///
    /// # Errors
    /// When it is gone, or the line is none of ours.
    pub fn read(&mut self) -> io::Result<Value> {
        let mut line = Vec::new();
        // A reply may be a request that came back.
        let most = 2 * LINE as u64;
        self.0.by_ref().take(most).read_until(b'\n', &mut line)?;
        if !line.ends_with(b"\n") {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(serde_json::from_slice(&line)?)
    }
}
