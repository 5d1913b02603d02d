//! The end that measures.

use std::fs::{Metadata, Permissions};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::Shutdown;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use serde_json::{Map, Value, json};

use super::{LINE, PROTOCOL, is_same, own, peer, place};
use crate::sweep::command::Command;

/// Watchers at once.
const MOST: usize = 32;
/// A watcher that does not read its replies is left after this long.
const PATIENCE: Duration = Duration::from_secs(5);

/// Listens while it lives.
#[derive(Debug)]
pub struct Server {
    path: PathBuf,
    socket: Metadata,
    /// Wakes the listening thread when it is closed.
    stop: Option<UnixStream>,
    thread: Option<JoinHandle<()>>,
    open: Open,
}

/// Both ends' connections that are open, by number.
type Open = Arc<Mutex<Vec<(u64, UnixStream)>>>;

impl Server {
    /// Listens for the run in `dir` whose journal is `stem` (as `events`), and
    /// hands what is asked to `commands`. To be called by who has the run's lock.
    ///
    /// # Errors
    /// When no socket can be made: the sweep goes on without.
    pub fn start(dir: &Path, stem: &str, commands: Sender<Command>) -> io::Result<Self> {
        let inside = place::in_run(dir, stem);
        let (path, listener) = match bind(&inside) {
            Ok(listener) => (inside, listener),
            Err(error) => {
                tracing::info!("no socket at {}: {error}", inside.display());
                let path = place::in_runtime(dir, stem)?;
                let listener = bind(&path)?;
                (path, listener)
            }
        };
        let socket = path.symlink_metadata()?;
        let (stop, stopped) = UnixStream::pair()?;
        let open = Open::default();
        let known = Arc::clone(&open);
        let listen = move || listen(&listener, &stopped, &known, &commands);
        let thread = std::thread::Builder::new().name("control".into()).spawn(listen)?;
        Ok(Self { path, socket, stop: Some(stop), thread: Some(thread), open })
    }

    /// Where it listens.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        for (_, stream) in lock(&self.open).drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
        let same = |it: &Metadata| (it.dev(), it.ino()) == (self.socket.dev(), self.socket.ino());
        if self.path.symlink_metadata().is_ok_and(|it| same(&it)) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

fn lock(open: &Open) -> std::sync::MutexGuard<'_, Vec<(u64, UnixStream)>> {
    open.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Made beside and renamed, so that nobody meets it with another mode; one that
/// a dead process left is replaced.
fn bind(path: &Path) -> io::Result<UnixListener> {
    let beside = path.with_file_name(format!(".c{}", std::process::id()));
    let _ = std::fs::remove_file(&beside);
    let listener = UnixListener::bind(&beside)?;
    let ready = std::fs::set_permissions(&beside, Permissions::from_mode(0o600))
        // The name must fit too, for those who connect.
        .and_then(|()| rustix::net::SocketAddrUnix::new(path).map(|_| ()).map_err(Into::into))
        .and_then(|()| std::fs::rename(&beside, path));
    if let Err(error) = ready {
        let _ = std::fs::remove_file(&beside);
        return Err(error);
    }
    Ok(listener)
}

fn listen(listener: &UnixListener, stopped: &UnixStream, open: &Open, commands: &Sender<Command>) {
    for number in 0.. {
        let mut fds =
            [PollFd::new(listener, PollFlags::IN), PollFd::new(stopped, PollFlags::empty())];
        match poll(&mut fds, None) {
            Err(rustix::io::Errno::INTR) => continue,
            Err(error) => return tracing::error!("the control socket is closed: {error}"),
            Ok(_) if !fds[1].revents().is_empty() => return,
            Ok(_) => {}
        }
        let stream = match listener.accept() {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!("a watcher could not connect: {error}");
                // As where no more files can be opened: not in a tight loop.
                std::thread::sleep(Duration::from_millis(100));
                continue;
            }
        };
        if let Err(error) = welcome(stream, number, open, commands) {
            tracing::warn!("a watcher was turned away: {error}");
        }
    }
}

/// Gives a watcher a thread of its own.
fn welcome(
    mut stream: UnixStream,
    number: u64,
    open: &Open,
    commands: &Sender<Command>,
) -> io::Result<()> {
    stream.set_write_timeout(Some(PATIENCE))?;
    let uid = peer(&stream)?;
    let refuse = |stream: &mut UnixStream, text: &str| {
        tell(stream, &json!({ "protocol": PROTOCOL, "ok": false, "error": text }))?;
        Err(io::Error::other(text.to_string()))
    };
    if !is_same(uid, own()) {
        return refuse(&mut stream, "only the user who runs this sweep may command it");
    }
    if lock(open).len() >= MOST {
        return refuse(&mut stream, "too many watchers: close one");
    }
    lock(open).push((number, stream.try_clone()?));
    let (open, commands) = (Arc::clone(open), commands.clone());
    let serve = move || {
        if let Err(error) = serve(stream, &commands) {
            tracing::info!("a watcher left: {error}");
        }
        lock(&open).retain(|(it, _)| *it != number);
    };
    std::thread::Builder::new().name("watcher".into()).spawn(serve)?;
    Ok(())
}

fn tell(stream: &mut UnixStream, value: &Value) -> io::Result<()> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    stream.write_all(&line)
}

fn serve(mut stream: UnixStream, commands: &Sender<Command>) -> io::Result<()> {
    tell(
        &mut stream,
        &json!({
            "protocol": PROTOCOL,
            "program": concat!("alphascope ", env!("CARGO_PKG_VERSION")),
            "process": std::process::id(),
        }),
    )?;
    let mut lines = BufReader::new(stream.try_clone()?);
    let mut line = Vec::new();
    loop {
        line.clear();
        let most = LINE as u64;
        if lines.by_ref().take(most).read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        let whole = line.ends_with(b"\n");
        if !whole && line.len() >= LINE {
            let text = format!("a line of more than {LINE} bytes is no request");
            return tell(&mut stream, &json!({ "protocol": PROTOCOL, "ok": false, "error": text }));
        }
        if whole {
            tell(&mut stream, &answer(&line, commands))?;
        }
    }
}

/// Hands a request on, and says so; whatever the line holds.
fn answer(line: &[u8], commands: &Sender<Command>) -> Value {
    let (mut reply, done) = match serde_json::from_slice::<Map<String, Value>>(line) {
        Err(error) => (Map::new(), Err(format!("expected a request as a JSON object: {error}"))),
        Ok(mut request) => {
            let done = obey(request.remove("protocol"), request.remove("ask"), commands);
            // `id`, and what a later version or a person put beside it.
            (request, done)
        }
    };
    reply.insert("protocol".into(), PROTOCOL.into());
    reply.insert("ok".into(), done.is_ok().into());
    reply.remove("error");
    if let Err(text) = done {
        reply.insert("error".into(), text.into());
    }
    Value::Object(reply)
}

fn obey(
    protocol: Option<Value>,
    ask: Option<Value>,
    commands: &Sender<Command>,
) -> Result<(), String> {
    match protocol.as_ref().map(Value::as_u64) {
        Some(Some(version)) if version == u64::from(PROTOCOL) => {}
        _ => {
            let got = protocol.map_or("none".into(), |it| it.to_string());
            return Err(format!(
                "expected `protocol` {PROTOCOL}, got {got}: use the program of the same version"
            ));
        }
    }
    let ask = ask.ok_or("expected `ask`, a command, found none")?;
    let command = serde_json::from_value(ask).map_err(|error| format!("`ask`: {error}"))?;
    commands.send(command).map_err(|_| "the sweep has just ended".into())
}
