//! The line to whoever measures a run that is watched: found, held, found again.

use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, atomic::AtomicBool, atomic::Ordering};
use std::time::Duration;

use serde_json::Value;

use crate::control::{self, AttachError, Client, Link, Replies};
use crate::session::{Update, Waker};
use crate::sweep::command::Command;
use crate::sweep::lock;

/// Between two looks for somebody who listens.
const LOOK: Duration = Duration::from_secs(1);

/// Hands `commands` to whoever measures the run in `dir`, until nobody hears the
/// updates any more. What the run does comes from its journal alone.
pub(super) fn attach(
    dir: &Path,
    commands: &Receiver<Command>,
    updates: &Sender<Update>,
    waker: &Waker,
) {
    let tell = |update| {
        let told = updates.send(update).is_ok();
        waker();
        told
    };
    let mut last = Link::Unknown;
    loop {
        let (link, lines) = match control::attach(dir) {
            Ok(lines) => (Link::Attached, lines),
            Err(error) => (apart(dir, &error), Vec::new()),
        };
        if link != last && !tell(Update::Link(link.clone())) {
            return;
        }
        last = link;
        if lines.is_empty() {
            match commands.recv_timeout(LOOK) {
                // Nobody heard it; the screen asks for nothing while it knows.
                Ok(_) | Err(RecvTimeoutError::Timeout) => continue,
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
        if !hold(lines, commands, updates, waker) {
            return;
        }
        last = Link::Unknown;
    }
}

/// Why it only watches.
fn apart(dir: &Path, error: &AttachError) -> Link {
    let holder = lock::holders(dir).into_iter().next();
    match (error, holder) {
        (AttachError::Nobody, None) => Link::Nobody,
        (AttachError::Nobody, Some(it)) if it.near => {
            Link::Apart(format!("{it} takes no commands"))
        }
        (AttachError::Nobody, Some(it)) => Link::Apart(format!("it is commanded there: {it}")),
        (error, _) => Link::Apart(error.to_string()),
    }
}

/// Until the other end closes the line: true; false when nobody watches any more.
fn hold(
    lines: Vec<(Client, Replies)>,
    commands: &Receiver<Command>,
    updates: &Sender<Update>,
    waker: &Waker,
) -> bool {
    let closed = Arc::new(AtomicBool::new(false));
    let mut clients = Vec::new();
    for (client, replies) in lines {
        let (closed, updates, waker) = (Arc::clone(&closed), updates.clone(), Arc::clone(waker));
        let read = move || {
            hear(replies, &updates, &waker);
            closed.store(true, Ordering::SeqCst);
        };
        match std::thread::Builder::new().name("replies".into()).spawn(read) {
            Ok(_) => clients.push(client),
            Err(error) => tracing::warn!("cannot hear what is replied: {error}"),
        }
    }
    loop {
        match commands.recv_timeout(LOOK) {
            Ok(command) => {
                for client in &mut clients {
                    if let Err(error) = client.send(&command) {
                        let text = format!("not asked: {error}");
                        let _ = updates.send(Update::NotTaken(text));
                        waker();
                    }
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return false,
        }
        if closed.load(Ordering::SeqCst) {
            return true;
        }
    }
}

/// What was not accepted is said; the rest shows when it is in force.
fn hear(mut replies: Replies, updates: &Sender<Update>, waker: &Waker) {
    while let Ok(reply) = replies.read() {
        if reply.get("ok") == Some(&Value::Bool(false)) {
            let why = reply.get("error").and_then(Value::as_str).unwrap_or("no reason was given");
            let text = format!("the sweep did not take what was asked: {why}");
            let _ = updates.send(Update::NotTaken(text));
            waker();
        }
    }
}
