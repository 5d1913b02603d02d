//! Watching a run folder: the journal so far, then what is added to it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::mpsc::channel;
use std::time::Duration;

use crate::session::{SessionHandle, Update, Waker};
use crate::sweep::event::Event;

/// Between two looks at the files' sizes.
const LOOK: Duration = Duration::from_millis(250);
/// Read at once.
const CHUNK: usize = 1 << 18;

/// Reads every `events*.jsonl` of a folder (one for each shard) as it grows.
#[derive(Debug)]
pub struct Follower {
    dir: PathBuf,
    files: BTreeMap<PathBuf, Tail>,
    header: bool,
}

#[derive(Debug, Default)]
struct Tail {
    /// Where the first line starts that was not whole yet. A resumed session
    /// cuts a torn last line away: nothing before it changes.
    whole: u64,
    /// The file's size at the last look.
    size: u64,
}

impl Follower {
    /// Nothing is read yet.
    #[must_use]
    pub fn new(dir: &Path) -> Self {
        Self { dir: dir.to_path_buf(), files: BTreeMap::new(), header: false }
    }

    /// Events added since the last call; the header once, whichever shard has
    /// it first. A line that is still being written waits for its end. Lines
    /// that are no events are left out.
    ///
    /// # Errors
    /// When the folder or a journal cannot be read.
    pub fn poll(&mut self) -> io::Result<Vec<Event>> {
        for entry in std::fs::read_dir(&self.dir)? {
            let path = entry?.path();
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
            if name.is_some_and(|name| name.starts_with("events") && name.ends_with(".jsonl")) {
                self.files.entry(path).or_default();
            }
        }
        let mut events = vec![];
        for (path, tail) in &mut self.files {
            tail.read(path, &mut events)?;
        }
        let seen = &mut self.header;
        events
            .retain(|event| !(matches!(event, Event::Header(_)) && std::mem::replace(seen, true)));
        Ok(events)
    }

    /// True once a header was seen.
    #[must_use]
    pub fn has_header(&self) -> bool {
        self.header
    }
}

impl Tail {
    fn read(&mut self, path: &Path, events: &mut Vec<Event>) -> io::Result<()> {
        let size = std::fs::metadata(path)?.len();
        if size == self.size {
            return Ok(());
        }
        self.size = size;
        let mut file = File::open(path)?;
        file.seek(SeekFrom::Start(self.whole))?;
        let mut lines = BufReader::with_capacity(CHUNK, file);
        let mut line = vec![];
        loop {
            line.clear();
            lines.read_until(b'\n', &mut line)?;
            if line.pop() != Some(b'\n') {
                return Ok(());
            }
            self.whole += line.len() as u64 + 1;
            match serde_json::from_slice(&line) {
                _ if line.is_empty() => {}
                Ok(event) => events.push(event),
                Err(error) => tracing::warn!("{}: no event: {error}", path.display()),
            }
        }
    }
}

/// Watches on a thread of its own. What is asked of the watched session goes
/// nowhere.
///
/// # Errors
/// When the folder has no journal.
pub fn watch(dir: &Path, waker: Waker) -> Result<SessionHandle, String> {
    let mut follower = Follower::new(dir);
    let cannot = |error: io::Error| {
        format!(
            "cannot watch {}: {error}; give the folder of a run, with its events.jsonl",
            dir.display()
        )
    };
    let first = follower.poll().map_err(cannot)?;
    if follower.files.is_empty() {
        return Err(cannot(io::Error::new(io::ErrorKind::NotFound, "no events.jsonl in it")));
    }
    let (updates, receiver) = channel();
    let (commands, _) = channel();
    let follow = move || {
        let mut events = first;
        loop {
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
            match follower.poll() {
                Ok(more) => events = more,
                Err(error) => {
                    let _ = updates.send(Update::Ended(Err(format!(
                        "the run folder cannot be read any more: {error}"
                    ))));
                    return waker();
                }
            }
        }
    };
    std::thread::Builder::new()
        .name("watch".into())
        .spawn(follow)
        .map_err(|error| format!("no thread can be made: {error}"))?;
    Ok(SessionHandle::new(receiver, commands, None))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::sweep::event::Level;

    fn notice(text: &str) -> Event {
        Event::Notice { level: Level::Info, text: text.into() }
    }

    #[test]
    fn lines_come_once_whole_and_in_order() {
        let dir = tempfile::tempdir().unwrap();
        let mut follower = Follower::new(dir.path());
        assert_eq!(follower.poll().unwrap(), []);
        let mut file = File::create(dir.path().join("events.jsonl")).unwrap();
        let line = |event: &Event| format!("{}\n", serde_json::to_string(event).unwrap());
        let (a, b, c) = (notice("a"), notice("ä\n"), notice("c"));
        file.write_all(line(&a).as_bytes()).unwrap();
        let torn = line(&b);
        let (head, tail) = torn.as_bytes().split_at(torn.len() / 2);
        file.write_all(head).unwrap();
        assert_eq!(follower.poll().unwrap(), [a]);
        assert_eq!(follower.poll().unwrap(), []);
        // A resumed session cuts the torn line away and goes on.
        file.set_len((line(&notice("a")).len()) as u64).unwrap();
        let mut file = File::options().append(true).open(dir.path().join("events.jsonl")).unwrap();
        file.write_all(head).unwrap();
        file.write_all(tail).unwrap();
        file.write_all(b"no event\n\n").unwrap();
        file.write_all(line(&c).as_bytes()).unwrap();
        assert_eq!(follower.poll().unwrap(), [b, c]);
    }

    #[test]
    fn a_folder_without_a_journal_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let error = watch(dir.path(), std::sync::Arc::new(|| {})).unwrap_err();
        assert!(error.contains("events.jsonl"), "{error}");
    }
}
