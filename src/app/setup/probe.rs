//! What is known about files, and what to ask next: the highlighted one first,
//! then the chosen ones, then the rest of the folder, a few at a time.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::browser::Item;
use super::facts::{DataFacts, Effect, FileFacts, Job, Known, PairFacts};
use super::{Overlay, State};

/// Files of a folder read ahead at once.
const AHEAD: usize = 2;
/// With the highlighted ones, when the highlight runs over slow files. What is
/// chosen is asked for in any case, so that one slow file holds up no other.
const BROWSED: usize = 6;
/// Rows read ahead on either side of the highlight.
const AROUND: usize = 40;

/// Files by path, each with the listing's stamp at the time of asking.
type Files<T> = HashMap<PathBuf, (Option<u128>, Known<T>)>;

/// Answers so far.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Probes {
    files: Files<FileFacts>,
    data: Files<DataFacts>,
    pair: Option<(PathBuf, PathBuf, Known<PairFacts>)>,
    /// The form that was checked as a whole, and whether it can start.
    check: Option<(Job, Known<()>)>,
}

impl Probes {
    /// What this checkpoint is.
    #[must_use]
    pub fn file(&self, path: &Path) -> Option<&Known<FileFacts>> {
        self.files.get(path).map(|(_, known)| known)
    }

    /// What this dataset is.
    #[must_use]
    pub fn data(&self, path: &Path) -> Option<&Known<DataFacts>> {
        self.data.get(path).map(|(_, known)| known)
    }

    /// How these two go together.
    #[must_use]
    pub fn pair(&self, zeroshot: &Path, finetuned: &Path) -> Option<&Known<PairFacts>> {
        let (a, b, known) = self.pair.as_ref()?;
        (a == zeroshot && b == finetuned).then_some(known)
    }

    /// Whether a sweep of just this could start.
    #[must_use]
    pub fn checked(&self, job: &Job) -> Option<&Known<()>> {
        self.check.as_ref().filter(|(it, _)| it == job).map(|(_, known)| known)
    }

    /// Check again: what it was checked against may have changed.
    pub(super) fn forget_check(&mut self) {
        self.check = None;
    }

    pub(super) fn check_answer(&mut self, id: u64, result: Result<(), String>) {
        if let Some((_, known)) = &mut self.check {
            known.answer(id, result);
        }
    }

    /// Each part of the form is known to be good: time to look at the whole.
    fn parts_are_known(&self, state: &State) -> bool {
        let file = |path: &Option<PathBuf>| {
            path.as_deref()
                .is_some_and(|path| self.file(path).is_some_and(|it| it.ready().is_some()))
        };
        let both = state.zeroshot.as_deref().zip(state.finetuned.as_deref());
        let pair = both.and_then(|(a, b)| self.pair(a, b)).and_then(Known::ready);
        let data = |path: &Path| self.data(path).is_some_and(|it| it.ready().is_some());
        file(&state.zeroshot)
            && file(&state.finetuned)
            && pair.is_some_and(PairFacts::matches)
            && state.datasets.iter().all(|set| data(&set.path))
    }

    /// Compare again: one of the files was chosen anew and may have changed.
    pub(super) fn forget_pair(&mut self) {
        self.pair = None;
    }

    pub(super) fn file_answer(&mut self, id: u64, path: &Path, result: Result<FileFacts, String>) {
        if let Some((_, known)) = self.files.get_mut(path) {
            known.answer(id, result);
        }
    }

    pub(super) fn data_answer(&mut self, id: u64, path: &Path, result: Result<DataFacts, String>) {
        if let Some((_, known)) = self.data.get_mut(path) {
            known.answer(id, result);
        }
    }

    pub(super) fn pair_answer(&mut self, id: u64, result: Result<PairFacts, String>) {
        if let Some((_, _, known)) = &mut self.pair {
            known.answer(id, result);
        }
    }

    /// What to ask now. Numbers go up from `first`.
    pub(super) fn ask(&mut self, state: &State, first: impl Fn() -> u64) -> Vec<Effect> {
        let mut effects = vec![];
        let number = |effects: &Vec<Effect>| first() + 1 + effects.len() as u64;

        if let Overlay::Browser(browser) = &state.overlay {
            let rows = browser.items();
            let at = browser.at.min(rows.len().saturating_sub(1));
            // From the highlight outwards.
            let mut near: Vec<usize> =
                (at.saturating_sub(AROUND)..(at + AROUND + 1).min(rows.len())).collect();
            near.sort_by_key(|row| row.abs_diff(at));
            for row in near {
                let ahead = row != at;
                let (path, stamp, folder) = match rows[row] {
                    Item::Here => (browser.dir.as_path(), None, true),
                    Item::Up => continue,
                    Item::Entry(entry) if !browser.wanted.fits(entry) => continue,
                    Item::Entry(entry) => (entry.path.as_path(), Some(entry.stamp), entry.folder),
                };
                let most = if ahead { AHEAD } else { BROWSED };
                let id = number(&effects);
                if browser.wanted.checkpoint() && !folder {
                    if fresh(&mut self.files, path, stamp, most, id) {
                        effects.push(Effect::File(id, path.to_path_buf()));
                    }
                } else if browser.wanted == super::Wanted::Dataset && !ahead {
                    // Counting a folder's images may read all of it: never ahead.
                    if fresh(&mut self.data, path, stamp, most, id) {
                        effects.push(Effect::Data(id, path.to_path_buf()));
                    }
                }
            }
        }
        for path in [&state.zeroshot, &state.finetuned].into_iter().flatten() {
            let id = number(&effects);
            if fresh(&mut self.files, path, None, usize::MAX, id) {
                effects.push(Effect::File(id, path.clone()));
            }
        }
        for set in &state.datasets {
            let id = number(&effects);
            if fresh(&mut self.data, &set.path, None, usize::MAX, id) {
                effects.push(Effect::Data(id, set.path.clone()));
            }
        }
        if let (Some(a), Some(b)) = (&state.zeroshot, &state.finetuned)
            && self.pair(a, b).is_none()
        {
            let id = number(&effects);
            self.pair = Some((a.clone(), b.clone(), Known::Reading(id)));
            effects.push(Effect::Pair(id, a.clone(), b.clone()));
        }
        if self.parts_are_known(state)
            && let Some(job) = state.order()
            && self.checked(&job).is_none()
        {
            let id = number(&effects);
            self.check = Some((job.clone(), Known::Reading(id)));
            effects.push(Effect::Check(id, Box::new(job)));
        }
        effects
    }
}

/// Notes that `path` is being read and says so, unless it is known already (and
/// unchanged since), or `most` are being read already.
fn fresh<T>(files: &mut Files<T>, path: &Path, stamp: Option<u128>, most: usize, id: u64) -> bool {
    if let Some((at, known)) = files.get_mut(path) {
        match (*at, stamp) {
            (Some(then), Some(now)) if then != now && !matches!(known, Known::Reading(_)) => {}
            (None, Some(_)) => {
                *at = stamp;
                return false;
            }
            _ => return false,
        }
    }
    let reading = files.values().filter(|(_, known)| matches!(known, Known::Reading(_))).count();
    if reading >= most {
        return false;
    }
    files.insert(path.to_path_buf(), (stamp, Known::Reading(id)));
    true
}
