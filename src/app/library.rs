//! The run library's screen: the runs of a folder, filtered; one is highlighted,
//! two may be marked. Pure: the disk is asked by [`Effect`]s.

use std::collections::HashSet;
use std::path::PathBuf;

use crate::library::{Run, State};

use super::live::Question;
use super::model::{Mode, Model, Screen};
use super::setup::Field;
use super::summary;

/// What a key of the library does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs)] // the keymap's table says what each one is
pub enum Do {
    Up,
    Down,
    PageUp,
    PageDown,
    First,
    Last,
    Open,
    GoOn,
    Mark,
    Compare,
    Rename,
    Delete,
    Filter,
    Again,
    Back,
    Accept,
    Clear,
}

/// A line of text being typed.
#[derive(Clone, Debug, PartialEq)]
pub enum Typing {
    /// The filter; every letter counts at once.
    Filter(Field),
    /// The highlighted run's new name.
    Rename(Field),
}

/// What the screen knows of the runs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Library {
    /// Where they are; `None`: this system names no folder.
    pub folder: Option<PathBuf>,
    /// As they come in; the latest changed first.
    pub runs: Vec<Run>,
    /// All of them are told, or why not; `None` while it is looked.
    pub done: Option<Result<(), String>>,
    /// When it was looked, in milliseconds since the Unix epoch: ages count to
    /// here, so that nothing ticks.
    pub now: u64,
    /// Name of the highlighted run.
    pub at: Option<String>,
    /// Names of at most two, for a comparison.
    pub marked: Vec<String>,
    /// These words must be in what is shown.
    pub filter: String,
    /// What is being typed.
    pub typing: Option<Typing>,
    /// Two runs are shown side by side.
    pub comparing: bool,
    /// A passing word, until the next key.
    pub said: Option<String>,
    /// It was opened from the set-up screen, which lies below.
    pub below: bool,
    /// Number of the listing that is awaited, and whom it told.
    number: u64,
    told: HashSet<String>,
}

/// Answers of the disk.
#[derive(Clone, Debug)]
pub enum Message {
    /// One run of listing n.
    Run(u64, Box<Run>),
    /// Listing n, begun then, is at its end, or could not be made.
    Listed(u64, u64, Result<(), String>),
    /// A run was renamed or deleted: its name, its new one.
    Changed(Result<(String, Option<String>), String>),
    /// A process goes on with a run: its number, or why none does.
    GoesOn(Result<u32, String>),
    /// Text was pasted.
    Paste(String),
}

/// What is asked of the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Tell every run of this folder, as listing n.
    List(u64, PathBuf),
    /// Watch this run.
    Open(PathBuf),
    /// Let a process in the background go on with this run.
    GoOn(PathBuf),
    /// In this folder: this run gets that name.
    Rename(PathBuf, String, String),
    /// In this folder: this run is deleted.
    Delete(PathBuf, String),
    /// Watch no more: back to the list.
    Close,
}

/// Rows a page key moves.
const PAGE: isize = 10;

impl Library {
    /// Asks for the runs.
    pub fn look(&mut self) -> Vec<Effect> {
        self.number += 1;
        self.done = None;
        self.told.clear();
        let Some(folder) = self.folder.clone() else {
            self.done =
                Some(Err("this system names no folder for runs: give one with --runs".into()));
            return Vec::new();
        };
        vec![Effect::List(self.number, folder)]
    }

    /// What the filter lets through.
    pub fn shown(&self) -> impl Iterator<Item = &Run> {
        let filter = match &self.typing {
            Some(Typing::Filter(field)) => field.text(),
            _ => &self.filter,
        };
        self.runs.iter().filter(move |run| run.matches(filter))
    }

    /// Row and run that are highlighted; the first where none is.
    #[must_use]
    pub fn highlighted(&self) -> Option<(usize, &Run)> {
        let at = |(_, run): &(usize, &Run)| self.at.as_ref() == Some(&run.name);
        self.shown().enumerate().find(at).or_else(|| self.shown().enumerate().next())
    }

    /// The two that are compared.
    #[must_use]
    pub fn pair(&self) -> Option<[&Run; 2]> {
        let of = |name: &String| self.runs.iter().find(|run| run.name == *name);
        let mut marked = self.marked.iter().filter_map(of);
        Some([marked.next()?, marked.next()?])
    }

    fn step(&mut self, by: isize) {
        let names: Vec<String> = self.shown().map(|run| run.name.clone()).collect();
        let at = self.highlighted().map_or(0, |(at, _)| at).saturating_add_signed(by);
        self.at = names.get(at.min(names.len().saturating_sub(1))).cloned();
    }

    /// The highlighted run, where it is one; says why otherwise.
    fn run(&mut self) -> Option<Run> {
        let run = self.highlighted().map(|(_, run)| run.clone());
        let why = match &run {
            None => "no run is highlighted".to_string(),
            Some(run) if run.state.is_run() => return Some(run.clone()),
            Some(run) => {
                let note = run.note.as_deref().unwrap_or_default();
                format!("{} is left alone: {} ({note})", run.name, run.state.name())
            }
        };
        self.said = Some(why);
        None
    }
}

/// Opens the library over the set-up screen.
pub fn open(model: &mut Model) -> Vec<Effect> {
    model.screen = Screen::Library;
    model.library.below = true;
    model.library.look()
}

/// A key of the library.
pub fn act(model: &mut Model, act: Do) -> Vec<Effect> {
    let it = &mut model.library;
    it.said = None;
    match act {
        Do::Up => it.step(-1),
        Do::Down => it.step(1),
        Do::PageUp => it.step(-PAGE),
        Do::PageDown => it.step(PAGE),
        Do::First => it.step(isize::MIN / 2),
        Do::Last => it.step(isize::MAX / 2),
        Do::Again => return it.look(),
        Do::Open => {
            let Some(run) = it.run() else { return Vec::new() };
            it.said = Some(format!("opening {}", run.name));
            return vec![Effect::Open(run.path)];
        }
        Do::GoOn => match it.run() {
            Some(run) if matches!(run.state, State::Stopped | State::Partial) => {
                it.said = Some(format!("{} is opened", run.name));
                return vec![Effect::GoOn(run.path)];
            }
            Some(run) => {
                it.said =
                    Some(format!("{} is {}: nothing to go on with", run.name, run.state.name()));
            }
            None => {}
        },
        Do::Mark => mark(it),
        Do::Compare => {
            it.comparing = !it.comparing && it.pair().is_some();
            if !it.comparing && it.pair().is_none() {
                it.said = Some("mark two runs with space first".into());
            }
        }
        Do::Rename => {
            if let Some(run) = it.run() {
                it.typing = Some(Typing::Rename(Field::new(run.name)));
            }
        }
        Do::Delete => match it.run() {
            Some(run) if run.state == State::Running => {
                it.said = Some(format!("{} is being measured: stop it first", run.name));
            }
            Some(run) => {
                it.at = Some(run.name);
                model.live.question = Some(Question::Delete);
            }
            None => {}
        },
        Do::Filter => it.typing = Some(Typing::Filter(Field::new(it.filter.clone()))),
        Do::Accept => return accept(it),
        Do::Clear => {
            if let Some(Typing::Filter(_)) = it.typing.take() {
                it.filter.clear();
            }
        }
        Do::Back => back(model),
    }
    Vec::new()
}

fn mark(it: &mut Library) {
    let Some(run) = it.run() else { return };
    if it.marked.contains(&run.name) {
        it.marked.retain(|name| *name != run.name);
    } else {
        it.marked.push(run.name);
        // The first of three makes room.
        if it.marked.len() > 2 {
            it.marked.remove(0);
        }
    }
    it.step(1);
}

fn accept(it: &mut Library) -> Vec<Effect> {
    match it.typing.take() {
        Some(Typing::Filter(field)) => it.filter = field.text().trim().to_string(),
        Some(Typing::Rename(field)) => {
            let new = field.text().trim().to_string();
            let run = it.run();
            if let Some((run, folder)) =
                run.zip(it.folder.clone()).filter(|(run, _)| run.name != new)
            {
                return vec![Effect::Rename(folder, run.name, new)];
            }
        }
        None => {}
    }
    Vec::new()
}

/// One step back: the comparison, the filter, the set-up screen.
fn back(model: &mut Model) {
    let it = &mut model.library;
    if let Some(starting) = model.setup.starting.take() {
        it.said = Some(format!("{} is not opened", starting.what));
    } else if it.comparing {
        it.comparing = false;
    } else if !it.filter.is_empty() {
        it.filter.clear();
    } else if it.below {
        model.screen = Screen::Setup;
    } else {
        it.said = Some("q leaves".into());
    }
}

/// The question was answered with yes.
pub fn delete(model: &mut Model) -> Vec<Effect> {
    let it = &model.library;
    let run = it.highlighted().map(|(_, run)| run.name.clone());
    run.zip(it.folder.clone())
        .map(|(name, folder)| vec![Effect::Delete(folder, name)])
        .unwrap_or_default()
}

/// A letter that is typed.
pub fn typed(it: &mut Library, key: super::Key) {
    if let Some(Typing::Filter(field) | Typing::Rename(field)) = &mut it.typing {
        field.key(key);
    }
}

/// A watched run takes the screen.
pub fn watch(model: &mut Model) {
    model.mode = Mode::Watch;
    model.link = Default::default();
    model.from_library = true;
    model.library.said = None;
    model.log.clear();
}

/// Back from a run that was watched.
pub fn returned(model: &mut Model) -> Vec<Effect> {
    let kept = summary::kept(model);
    model.mode = Mode::Own;
    model.from_library = false;
    model.screen = Screen::Library;
    model.run = Default::default();
    let mut effects = vec![Effect::Close];
    effects.extend(model.library.look());
    if let Some(kept) = kept {
        model.library.said = Some(kept.into());
    }
    effects
}

/// Folds an answer in; what is not awaited any more changes nothing.
pub fn answer(it: &mut Library, message: Message) -> Vec<Effect> {
    match message {
        Message::Run(number, run) if number == it.number => {
            it.told.insert(run.name.clone());
            // Until all are told the old ones stay: nothing flickers.
            match it.runs.iter_mut().find(|known| known.name == run.name) {
                Some(known) => *known = *run,
                None => it.runs.push(*run),
            }
        }
        Message::Listed(number, now, result) if number == it.number => {
            it.now = now;
            if result.is_ok() {
                let told = &it.told;
                it.runs.retain(|run| told.contains(&run.name));
            }
            it.runs.sort_by_key(|run| {
                (run.state == State::Foreign, std::cmp::Reverse(run.changed), run.name.clone())
            });
            it.done = Some(result);
        }
        Message::Changed(Ok((name, new))) => {
            let to = |known: &mut String| {
                if let Some(new) = new.as_ref().filter(|_| *known == name) {
                    known.clone_from(new);
                }
            };
            it.said = Some(match &new {
                Some(new) => format!("{name} is now {new}"),
                None => format!("{name} is deleted"),
            });
            // The highlight goes to the next one.
            if new.is_none() && it.at.as_ref() == Some(&name) {
                let here = it.highlighted().map_or(0, |(at, _)| at);
                let next = it.shown().nth(here + 1).map(|run| run.name.clone());
                it.at = next;
            }
            it.at.iter_mut().chain(&mut it.marked).for_each(to);
            it.runs.retain(|run| run.name != name);
            it.marked.retain(|known| *known != name);
            return it.look();
        }
        Message::GoesOn(Ok(pid)) => {
            it.said = Some(format!("it goes on in the background (process {pid})"));
            return it.look();
        }
        Message::Changed(Err(why)) | Message::GoesOn(Err(why)) => it.said = Some(why),
        Message::Paste(text) => {
            if let Some(Typing::Filter(field) | Typing::Rename(field)) = &mut it.typing {
                field.insert(&text);
            }
        }
        Message::Run(..) | Message::Listed(..) => {}
    }
    Vec::new()
}
