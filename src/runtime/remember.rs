//! What the set-up screen remembers, on its way to the disk.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use crate::app::Model;
use crate::config::Memory;

/// Writes the set-up screen's memory on a thread of its own: a home folder may
/// be slow.
pub(super) struct Remember {
    sender: Option<Sender<Memory>>,
    written: Receiver<()>,
    last: Option<Memory>,
    look: (&'static str, &'static str),
}

/// How long the end of the program waits for the memory to be written.
const PATIENCE: Duration = Duration::from_secs(1);

impl Remember {
    pub(super) fn new(path: Option<PathBuf>, model: &Model) -> Self {
        let (sender, memories) = channel::<Memory>();
        let (done, written) = channel();
        let sender = path.map(|path| {
            let write = move || {
                while let Ok(mut memory) = memories.recv() {
                    while let Ok(newer) = memories.try_recv() {
                        memory = newer;
                    }
                    write(&memory, &path);
                }
                drop(done);
            };
            if let Err(error) = std::thread::Builder::new().name("memory".into()).spawn(write) {
                tracing::warn!("choices are not remembered: {error}");
            }
            sender
        });
        Self { sender, written, last: None, look: names(model) }
    }

    pub(super) fn keep(&mut self, memory: Memory) {
        self.last = Some(memory.clone());
        if let Some(sender) = &self.sender {
            let _ = sender.send(memory);
        }
    }

    /// Adds the looks where a person switched them, and waits a moment for the
    /// file.
    pub(super) fn finish(mut self, model: &Model) {
        let (theme, charset) = names(model);
        if (theme, charset) != self.look {
            let mut memory = self.last.take().unwrap_or_else(|| model.setup.memory());
            memory.theme = Some(theme.into());
            memory.charset = Some(charset.into());
            self.keep(memory);
        }
        if let Some(sender) = self.sender.take() {
            drop(sender);
            let _ = self.written.recv_timeout(PATIENCE);
        }
    }
}

fn names(model: &Model) -> (&'static str, &'static str) {
    (model.look.palette.name(), model.look.charset.name())
}

fn write(memory: &Memory, path: &Path) {
    if let Err(error) = memory.write(path) {
        tracing::warn!("cannot write {}: {error}; choices are not remembered", path.display());
    }
}
