//! Watching a run folder: the journal so far, then what is added to it.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::time::Duration;

use super::attach::attach;
use crate::session::{SessionHandle, Update, Waker};
use crate::sweep::event::{Event, Level};
use crate::sweep::journal::{JournalError, Reader};

/// Between two looks at the files' sizes.
const LOOK: Duration = Duration::from_millis(250);

/// Watches the run in `dir` on threads of its own. What is asked goes to the
/// process that measures it, where one listens.
///
/// # Errors
/// When the folder has no journal, or it cannot be read.
pub fn watch(dir: &Path, waker: Waker) -> Result<SessionHandle, JournalError> {
    let mut reader = Reader::open(dir)?;
    let mut events = reader.poll()?;
    // Old news, whoever measures it: no alert is made of it.
    let known = events.len();
    let (updates, receiver) = channel();
    let (commands, asked) = channel();
    let (asking, wake, of) = (updates.clone(), Arc::clone(&waker), dir.to_path_buf());
    let left = Arc::new(AtomicBool::new(false));
    let over = Arc::clone(&left);
    let attach = move || {
        attach(&of, &asked, &asking, &wake);
        over.store(true, Ordering::SeqCst);
    };
    let follow = move || {
        // Every shard's journal begins with the same header: one is enough.
        let mut header = false;
        let mut told = (0, 0);
        loop {
            let left_out = (reader.damaged, reader.unknown);
            if let Some(text) = reader.complaint(0).filter(|_| left_out != told) {
                told = left_out;
                events.push(Event::passing(Level::Warning, text));
            }
            events.retain(|event| {
                !(matches!(event, Event::Header(_)) && std::mem::replace(&mut header, true))
            });
            let any = !events.is_empty();
            for event in events.drain(..) {
                if updates.send(Update::Event(Box::new(event))).is_err() {
                    return;
                }
            }
            if any {
                waker();
            }
            std::thread::sleep(LOOK);
            if left.load(Ordering::SeqCst) {
                return;
            }
            match reader.poll() {
                Ok(more) => events = more,
                Err(error) => {
                    let _ = updates.send(Update::Ended(Err(error.to_string())));
                    return waker();
                }
            }
        }
    };
    let thread = |name: &str| std::thread::Builder::new().name(name.into());
    let made = thread("watch").spawn(follow).and_then(|_| thread("attach").spawn(attach));
    made.map_err(|source| JournalError::Io {
        operation: "make a thread for",
        path: dir.into(),
        source,
    })?;
    let mut handle = SessionHandle::new(receiver, commands, dir.into(), None);
    handle.known = known;
    Ok(handle)
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, mpsc};

    use super::*;
    use crate::sweep::journal::Journal;
    use crate::sweep::plan::Shard;

    fn notice(text: &str) -> Event {
        Event::notice(Level::Info, text)
    }

    #[test]
    fn what_is_there_comes_at_once_and_what_is_added_follows() {
        let dir = tempfile::tempdir().unwrap();
        let mut journal = Journal::open(dir.path(), Shard::whole()).unwrap();
        journal.append(&notice("a")).unwrap();
        let (wake, woken) = mpsc::channel();
        let wake = std::sync::Mutex::new(wake);
        let waker: Waker = Arc::new(move || wake.lock().unwrap().send(()).unwrap_or(()));
        let handle = watch(dir.path(), waker).unwrap();
        let patience = Duration::from_secs(60);
        let next = || loop {
            match handle.updates.recv_timeout(patience).unwrap() {
                Update::Event(event) => break *event,
                Update::Link(_) => {}
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(next(), notice("a"));
        woken.recv_timeout(patience).unwrap();
        journal.append(&notice("b")).unwrap();
        assert_eq!(next(), notice("b"));
        woken.recv_timeout(patience).unwrap();
        let damaged = dir.path().join("events.1-of-2.jsonl");
        std::fs::write(damaged, "oops\n").unwrap();
        assert!(matches!(next(), Event::Notice { level: Level::Warning, .. }));
        std::fs::remove_dir_all(dir.path()).unwrap();
        let mut left = std::iter::from_fn(|| handle.updates.recv_timeout(patience).ok());
        assert!(left.any(|update| matches!(update, Update::Ended(Err(_)))));
    }

    #[test]
    fn a_folder_without_a_journal_is_told() {
        let dir = tempfile::tempdir().unwrap();
        assert!(watch(dir.path(), Arc::new(|| {})).is_err());
    }
}
