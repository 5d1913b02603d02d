//! Looking through the folder.

use std::fs::Metadata;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use thiserror::Error;

use super::cache::Cache;
use super::{Found, OnDataset, Run, State};
use crate::plural::{counted, either};
use crate::sweep::event::{Event, Outcome};
use crate::sweep::ids::{AlphaId, DatasetId, VariantId};
use crate::sweep::journal::{self, Reader};
use crate::sweep::lock;
use crate::sweep::state::SweepState;
use crate::sweep::stats;

/// Files of one folder that are counted for its size.
const MOST: usize = 20_000;

/// Why there is no list.
#[derive(Debug, Error)]
pub enum ScanError {
    /// The folder cannot be read. (One that is not there has no runs.)
    #[error("cannot list the runs in {path}: {source}; name another folder with --runs")]
    List {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

/// Tells every folder in `runs`, each as soon as it is known, the latest changed
/// first. What a journal says is kept in `cache` (a file), by the journal's size
/// and time, so that the next look is short. Ends early when `each` says false.
///
/// # Errors
/// When the folder cannot be read.
pub fn scan(
    runs: &Path,
    cache: Option<&Path>,
    mut each: impl FnMut(Run) -> bool,
) -> Result<(), ScanError> {
    let entries = match std::fs::read_dir(runs) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        other => other.map_err(|source| ScanError::List { path: runs.into(), source })?,
    };
    let mut folders: Vec<(PathBuf, Looked)> = entries
        .flatten()
        .filter(|entry| !entry.file_name().to_string_lossy().starts_with('.'))
        .map(|entry| (entry.path(), Looked::at(&entry.path())))
        .collect();
    folders.sort_by(|a, b| (b.1.changed, &a.0).cmp(&(a.1.changed, &b.0)));
    let mut known = Cache::read(cache);
    for (path, looked) in folders {
        if !each(run(path, looked, &mut known)) {
            break;
        }
    }
    known.write();
    Ok(())
}

/// What the folder's entries say, without reading one.
struct Looked {
    changed: u64,
    bytes: u64,
    /// Of the journals: names, sizes, times. Empty where there is none.
    stamp: String,
    wrong: Option<String>,
}

impl Looked {
    fn at(path: &Path) -> Self {
        let mut it = Self { changed: 0, bytes: 0, stamp: String::new(), wrong: None };
        match path.symlink_metadata() {
            Err(error) => it.wrong = Some(error.to_string()),
            // The link's own: it is not followed.
            Ok(meta) if !meta.is_dir() => {
                (it.changed, it.bytes) = (millis(&meta), meta.len());
                let what = if meta.is_symlink() { "a symbolic link" } else { "a file" };
                it.wrong = Some(what.into());
            }
            Ok(meta) => {
                it.changed = millis(&meta);
                let mut left = MOST;
                it.walk(path, true, &mut left);
            }
        }
        it
    }

    fn walk(&mut self, dir: &Path, top: bool, left: &mut usize) {
        let entries = match std::fs::read_dir(dir) {
            Ok(entries) => entries,
            Err(error) if top => return self.wrong = Some(error.to_string()),
            Err(_) => return,
        };
        let mut journals = Vec::new();
        for entry in entries.flatten() {
            let Some(now) = left.checked_sub(1) else { return };
            *left = now;
            // Of the entry itself: links are not followed.
            let Ok(meta) = entry.metadata() else { continue };
            if meta.is_dir() {
                self.walk(&entry.path(), false, left);
                continue;
            }
            self.bytes += meta.len();
            let name = entry.file_name().to_string_lossy().into_owned();
            if top && journal::stem_of(&name, journal::ENDING).is_some() {
                self.changed = self.changed.max(millis(&meta));
                let time = meta.modified().ok().and_then(|it| it.duration_since(UNIX_EPOCH).ok());
                let nanos = time.unwrap_or_default().as_nanos();
                journals.push(format!("{name}:{}:{nanos}", meta.len()));
            }
        }
        if top {
            journals.sort();
            self.stamp = journals.join(" ");
        }
    }
}

fn millis(meta: &Metadata) -> u64 {
    let time = meta.modified().unwrap_or(SystemTime::UNIX_EPOCH);
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

fn run(path: PathBuf, looked: Looked, cache: &mut Cache) -> Run {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let Looked { changed, bytes, stamp, wrong } = looked;
    let mut run =
        Run { name, path, state: State::Foreign, note: wrong, changed, bytes, found: None };
    if run.note.is_some() {
        return run;
    }
    if stamp.is_empty() {
        run.note = Some("no journal in it".into());
        return run;
    }
    let known = cache.get(&run.path, &stamp).map_or_else(
        || {
            let found = found(&run.path);
            if let Ok(found) = &found {
                cache.put(&run.path, &stamp, found);
            }
            found
        },
        Ok,
    );
    let holder = lock::holders(&run.path).into_iter().next();
    match known {
        Err(why) => (run.state, run.note) = (State::Damaged, Some(why)),
        Ok(found) => {
            run.state = match (&holder, found.ended) {
                (Some(_), _) => State::Running,
                (None, Some(Outcome::Complete)) => State::Complete,
                (None, Some(Outcome::Partial)) => State::Partial,
                (None, _) => State::Stopped,
            };
            run.note = match (&holder, found.damaged) {
                (Some(holder), _) => Some(holder.to_string()),
                (None, 0) => found.part.clone(),
                (None, lines) => Some(format!(
                    "{} of its journal {} damaged",
                    counted(lines, "line"),
                    either(&lines, "is", "are")
                )),
            };
            run.found = Some(found);
        }
    }
    run
}

/// What the journal in `dir` says.
fn found(dir: &Path) -> Result<Found, String> {
    let mut reader = Reader::open(dir).map_err(|error| error.to_string())?;
    let events = reader.poll().map_err(|error| error.to_string())?;
    let state = SweepState::replay(&events);
    let header = state.header().ok_or("its journal does not say what is measured")?;
    let gain = stats::gain(&state, VariantId::DENSE);
    let (done, total) = state.work();
    let top1 = |dataset: usize, alpha: usize| {
        let cell = state.dense(DatasetId(dataset), AlphaId(alpha)).filter(|it| it.done > 0)?;
        Some(100.0 * cell.correct as f64 / cell.done as f64)
    };
    let last = header.alphas.len().saturating_sub(1);
    let datasets = header.datasets.iter().enumerate().map(|(i, it)| OnDataset {
        name: it.name.clone(),
        role: it.role,
        ends: [top1(i, 0), top1(i, last)],
        best: gain.as_ref().and_then(|gain| top1(i, gain.best_interior.index())),
    });
    let began = events.iter().find_map(|event| match event {
        Event::Started { at, .. } => Some(*at),
        _ => None,
    });
    Ok(Found {
        zeroshot: header.zeroshot.clone(),
        finetuned: header.finetuned.clone(),
        label: header.label.clone(),
        datasets: datasets.collect(),
        done,
        total,
        best_alpha: gain
            .as_ref()
            .and_then(|gain| header.alphas.get(gain.best_interior.index()))
            .map(|alpha| alpha.get()),
        gain: gain.map(|gain| [gain.points.value, gain.points.lo, gain.points.hi]),
        began,
        ended: state.outcome,
        damaged: reader.damaged + state.misfits,
        part: state.parts_told(),
    })
}
