//! What journals said, kept for the next look.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Found;

/// Of what a journal says: another one is another file.
const VERSION: u32 = 2;
/// Runs remembered at most.
const MOST: usize = 5000;

#[derive(Default, Serialize, Deserialize)]
struct Kept {
    version: u32,
    runs: BTreeMap<PathBuf, (String, Found)>,
}

/// By run folder; a journal that has changed is read again.
pub(super) struct Cache {
    file: Option<PathBuf>,
    kept: Kept,
    changed: bool,
}

impl Cache {
    /// A file that is missing or of no use is an empty one.
    pub(super) fn read(file: Option<&Path>) -> Self {
        let text = file
            .and_then(|file| crate::regular::read(file, crate::regular::TEXT).ok())
            .unwrap_or_default();
        let kept: Kept = serde_json::from_slice(&text).unwrap_or_default();
        let kept = if kept.version == VERSION { kept } else { Kept::default() };
        Self { file: file.map(Into::into), kept, changed: false }
    }

    pub(super) fn get(&self, run: &Path, stamp: &str) -> Option<Found> {
        self.kept.runs.get(run).filter(|(then, _)| then == stamp).map(|(_, it)| it.clone())
    }

    pub(super) fn put(&mut self, run: &Path, stamp: &str, found: &Found) {
        // A path that is no text cannot be kept, and must not keep others from it.
        if run.to_str().is_none() {
            return;
        }
        self.kept.runs.insert(run.into(), (stamp.into(), found.clone()));
        self.changed = true;
    }

    /// For the next look; one that cannot be kept is only slower.
    pub(super) fn write(mut self) {
        let Some(file) = self.file.take().filter(|_| self.changed) else { return };
        self.kept.version = VERSION;
        self.kept.runs.retain(|run, _| run.is_dir());
        while self.kept.runs.len() > MOST {
            self.kept.runs.pop_first();
        }
        let written = serde_json::to_vec(&self.kept)
            .map_err(std::io::Error::other)
            .and_then(|bytes| crate::config::write_whole(&file, &bytes));
        if let Err(error) = written {
            tracing::warn!("what runs found is not kept in {}: {error}", file.display());
        }
    }
}
