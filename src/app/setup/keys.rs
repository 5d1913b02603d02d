//! Keys of the set-up screen. Which key does what stands in the keymap's table;
//! here is what it does.

use std::path::{Path, PathBuf};

use super::browser::{Browser, Chosen, Wanted};
use super::facts::{Demo, Effect};
use super::field::Field;
use super::{Known, Overlay, Row, Starting, State};
use crate::app::Key;
use crate::app::keymap::{self, Action, Context};
use crate::sweep::spec::{Layers, Norm, Precision, Role, SharpnessKind};

/// What a key of the set-up screen does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs)] // the keymap's table says what each one is
pub enum Do {
    Up,
    Down,
    First,
    Last,
    PageUp,
    PageDown,
    Choose,
    Less,
    More,
    Add,
    Role,
    Edit,
    Browse,
    Remove,
    Start,
    Demo,
    Cancel,
    Accept,
    Into,
    Parent,
    Complete,
    Hidden,
    Recent,
}

/// Rows a page key moves.
const PAGE: isize = 10;

/// Which table of the keymap holds.
#[must_use]
pub fn context(state: &State) -> Context {
    match &state.overlay {
        Overlay::None => Context::Setup,
        Overlay::Text(_) => Context::Text,
        Overlay::Browser(_) => Context::Browser,
        Overlay::Demo(_) => Context::Demos,
    }
}

/// A key on the set-up screen; `None`: not for it, so the global table decides.
pub fn key(state: &mut State, key: Key) -> Option<Vec<Effect>> {
    state.said = None;
    let found = keymap::action(context(state), key);
    if let Some(starting) = &state.starting {
        let (id, what) = (starting.id, starting.what.clone());
        return match found {
            Some(Action::Setup(Do::Cancel)) => {
                state.starting = None;
                state.said = Some(format!("{what} is not opened"));
                Some(vec![Effect::Abandon(id)])
            }
            Some(Action::Setup(_)) => Some(vec![]),
            _ => None,
        };
    }
    if let Some(Action::Setup(act)) = found {
        let mut effects = match &state.overlay {
            Overlay::None => on_form(state, act),
            Overlay::Text(_) => on_text(state, act),
            Overlay::Browser(_) => on_browser(state, act, key),
            Overlay::Demo(_) => on_demos(state, act),
        };
        // Another role or grid is another sweep: can it start?
        effects.extend(state.ask());
        return Some(effects);
    }
    if found.is_some() {
        return None;
    }
    match &mut state.overlay {
        Overlay::Text(field) => {
            field.key(key);
            Some(vec![])
        }
        Overlay::Browser(browser) => {
            if browser.typed.key(key) {
                return Some(typed(state));
            }
            Some(vec![])
        }
        // Nothing on the form: the letter may be a global key.
        Overlay::None => None,
        Overlay::Demo(_) => Some(vec![]),
    }
}

/// Pasted text: into the field, or a path for the highlighted row.
pub(super) fn paste(state: &mut State, text: &str) -> Vec<Effect> {
    let text = unquote(text);
    let like_path = text.contains('/') || text.starts_with('~');
    match &mut state.overlay {
        Overlay::Text(field) => {
            field.insert(&text);
            vec![]
        }
        Overlay::Browser(browser) => {
            if like_path {
                browser.typed = Field::default();
            }
            browser.typed.insert(&text);
            typed(state)
        }
        Overlay::None if like_path => {
            let wanted = match state.row {
                Row::ZeroShot => Wanted::ZeroShot,
                Row::FineTuned => Wanted::FineTuned,
                Row::Dataset(_) | Row::AddDataset => Wanted::Dataset,
                Row::Output => Wanted::Output,
                _ => return vec![],
            };
            let path = state.absolute(&text);
            state.take(wanted, path)
        }
        _ => vec![],
    }
}

/// A path as other programs put it on the clipboard.
fn unquote(text: &str) -> String {
    let text = text.trim();
    let text = text.strip_prefix("file://").unwrap_or(text);
    for quote in ['"', '\''] {
        if let Some(inner) = text.strip_prefix(quote).and_then(|t| t.strip_suffix(quote)) {
            return inner.to_string();
        }
    }
    text.to_string()
}

// ------------------------------------------------------------------- form

fn on_form(state: &mut State, act: Do) -> Vec<Effect> {
    let rows = state.rows();
    let last = rows.len() - 1;
    let at = rows.iter().position(|row| *row == state.row).unwrap_or(0);
    let go = |to: usize| rows.get(to.min(last)).copied().unwrap_or_default();
    match act {
        Do::Up => state.row = go(at.checked_sub(1).unwrap_or(last)),
        Do::Down => state.row = go(if at == last { 0 } else { at + 1 }),
        Do::First | Do::PageUp => state.row = go(0),
        Do::Last | Do::PageDown => state.row = go(last),
        Do::Choose => return choose(state),
        Do::Less => return change(state, -1),
        Do::More | Do::Role => return change(state, 1),
        Do::Add => return browse(state, Wanted::Dataset),
        Do::Edit => edit(state),
        Do::Browse => {
            let wanted = match state.row {
                Row::ZeroShot => Wanted::ZeroShot,
                Row::FineTuned => Wanted::FineTuned,
                Row::Output => Wanted::Output,
                _ => Wanted::Dataset,
            };
            return browse(state, wanted);
        }
        Do::Remove => return remove(state),
        Do::Start => return start(state),
        Do::Demo => state.overlay = Overlay::Demo(0),
        _ => {}
    }
    vec![]
}

fn choose(state: &mut State) -> Vec<Effect> {
    match state.row {
        Row::ZeroShot => browse(state, Wanted::ZeroShot),
        Row::FineTuned => browse(state, Wanted::FineTuned),
        Row::AddDataset => browse(state, Wanted::Dataset),
        Row::Device | Row::Precision | Row::Sharpness | Row::Norm | Row::Layers => change(state, 1),
        Row::Start => start(state),
        Row::Dataset(_)
        | Row::Alphas
        | Row::Batch
        | Row::Seed
        | Row::Rho
        | Row::Count
        | Row::Batches
        | Row::Output => {
            edit(state);
            vec![]
        }
    }
}

/// Left and right on a row that has a few values.
fn change(state: &mut State, by: isize) -> Vec<Effect> {
    match state.row {
        Row::Dataset(i) => {
            if let Some(set) = state.datasets.get_mut(i) {
                set.role = if set.role == Role::Id { Role::Ood } else { Role::Id };
            }
        }
        Row::Device => {
            let n = state.devices.len() as isize;
            let at = state.devices.iter().position(|name| *name == state.device);
            let to = at.map_or(0, |at| (at as isize + by).rem_euclid(n.max(1)) as usize);
            if let Some(name) = state.devices.get(to) {
                state.device.clone_from(name);
            }
        }
        Row::Precision => {
            let ring = [Precision::Auto, Precision::Fp32, Precision::Bf16];
            let at = ring.iter().position(|it| *it == state.precision).unwrap_or(0) as isize;
            state.precision = ring[(at + by).rem_euclid(3) as usize];
        }
        Row::Sharpness => {
            let ring = [None, Some(SharpnessKind::Average), Some(SharpnessKind::Worst)];
            let at = ring.iter().position(|it| *it == state.sharpness).unwrap_or(0) as isize;
            state.sharpness = ring[(at + by).rem_euclid(3) as usize];
        }
        Row::Norm => {
            let other = if state.sharp.norm == Norm::L2 { Norm::Linf } else { Norm::L2 };
            state.sharp.norm = other;
        }
        Row::Layers => {
            let ring = [Layers::Block, Layers::Module, Layers::Tensor, Layers::None];
            let at = ring.iter().position(|it| *it == state.layers).unwrap_or(0) as isize;
            state.layers = ring[(at + by).rem_euclid(4) as usize];
        }
        _ => return vec![],
    }
    vec![Effect::Remember(Box::new(state.memory()))]
}

/// The text of the highlighted row, where it has one.
fn text_of(state: &mut State) -> Option<&mut String> {
    match state.row {
        Row::Dataset(i) => state.datasets.get_mut(i).map(|set| &mut set.name),
        Row::Alphas => Some(&mut state.alphas),
        Row::Batch => Some(&mut state.batch),
        Row::Seed => Some(&mut state.seed),
        Row::Rho => Some(&mut state.sharp.rho),
        Row::Count => state.sharpness.map(|kind| state.sharp.count_mut(kind)),
        Row::Batches => Some(&mut state.sharp.batches),
        Row::Output => Some(&mut state.output),
        Row::Device => Some(&mut state.device),
        _ => None,
    }
}

fn edit(state: &mut State) {
    if let Some(text) = text_of(state).map(|text| text.clone()) {
        state.overlay = Overlay::Text(Field::new(text));
    }
}

fn remove(state: &mut State) -> Vec<Effect> {
    match state.row {
        Row::ZeroShot => state.zeroshot = None,
        Row::FineTuned => state.finetuned = None,
        Row::Output => state.output.clear(),
        Row::Dataset(i) if i < state.datasets.len() => {
            state.datasets.remove(i);
            if i >= state.datasets.len() {
                state.row = i.checked_sub(1).map_or(Row::AddDataset, Row::Dataset);
            }
        }
        _ => return vec![],
    }
    vec![Effect::Remember(Box::new(state.memory()))]
}

fn start(state: &mut State) -> Vec<Effect> {
    let Some(job) = state.job() else {
        let missing = state.missing();
        state.said = missing.first().map(|first| format!("not yet: {first}"));
        return vec![];
    };
    let id = state.number();
    state.starting = Some(Starting { id, what: "the sweep".into() });
    vec![Effect::Remember(Box::new(state.memory())), Effect::Start(id, Box::new(job))]
}

// ------------------------------------------------------------------- text

fn on_text(state: &mut State, act: Do) -> Vec<Effect> {
    let Overlay::Text(field) = std::mem::take(&mut state.overlay) else { return vec![] };
    match act {
        Do::Accept => {
            let text = field.text().trim().to_string();
            let named = !matches!(state.row, Row::Dataset(_) | Row::Device) || !text.is_empty();
            if let Some(slot) = text_of(state).filter(|_| named) {
                *slot = text;
            }
            vec![Effect::Remember(Box::new(state.memory()))]
        }
        Do::Cancel => vec![],
        _ => {
            state.overlay = Overlay::Text(field);
            vec![]
        }
    }
}

// ---------------------------------------------------------------- browser

fn browse(state: &mut State, wanted: Wanted) -> Vec<Effect> {
    let chosen = match wanted {
        Wanted::ZeroShot => state.zeroshot.clone(),
        // The two often lie side by side.
        Wanted::FineTuned => state.finetuned.clone().or_else(|| state.zeroshot.clone()),
        Wanted::Dataset => state.datasets.last().map(|set| set.path.clone()),
        Wanted::Output => state.runs.as_ref().map(|runs| runs.join("x")),
    };
    let dir = chosen.as_deref().and_then(Path::parent).map(Path::to_path_buf);
    let dir = dir.or_else(|| state.recent.first().cloned()).unwrap_or_else(|| state.cwd.clone());
    let id = state.number();
    state.overlay = Overlay::Browser(Box::new(Browser::new(wanted, dir.clone(), chosen, id)));
    vec![Effect::List(id, dir)]
}

fn on_browser(state: &mut State, act: Do, key: Key) -> Vec<Effect> {
    let Overlay::Browser(browser) = &mut state.overlay else { return vec![] };
    match act {
        Do::Up => browser.step(-1),
        Do::Down => browser.step(1),
        Do::PageUp => browser.step(-PAGE),
        Do::PageDown => browser.step(PAGE),
        Do::First => browser.at = 0,
        Do::Last => browser.step(isize::MAX),
        Do::Cancel if browser.typed.text().is_empty() && !browser.recent => {
            state.overlay = Overlay::None;
        }
        Do::Cancel => {
            let dir = browser.dir.clone();
            return open(state, dir);
        }
        Do::Parent if key == Key::Backspace && !browser.typed.text().is_empty() => {
            browser.typed.key(key);
            return typed(state);
        }
        Do::Parent => {
            if let Some(dir) = browser.dir.parent().map(Path::to_path_buf) {
                return open(state, dir);
            }
        }
        Do::Into => {
            if let Some(path) = browser.path()
                && !matches!(browser.item(), Some(super::Item::Entry(entry)) if !entry.folder)
                && path != browser.dir
            {
                return open(state, path);
            }
        }
        Do::Complete if browser.complete() => return typed(state),
        Do::Hidden => {
            browser.hidden = !browser.hidden;
            browser.step(0);
        }
        Do::Recent => return recent(state),
        Do::Choose => {
            let (wanted, probes) = (browser.wanted, &state.probes);
            let is_dataset = |path: &Path| matches!(probes.data(path), Some(Known::Ready(_)));
            return match browser.choose(is_dataset) {
                Chosen::Open(dir) => open(state, dir),
                Chosen::Take(path) => state.take(wanted, path),
                Chosen::Nothing => vec![],
            };
        }
        _ => {}
    }
    state.ask()
}

fn open(state: &mut State, dir: PathBuf) -> Vec<Effect> {
    let id = state.number();
    if let Overlay::Browser(browser) = &mut state.overlay {
        browser.go(dir.clone(), id);
    }
    vec![Effect::List(id, dir)]
}

/// After typing: a path that leads elsewhere is followed.
fn typed(state: &mut State) -> Vec<Effect> {
    let home = state.home.clone();
    let id = state.number();
    let Overlay::Browser(browser) = &mut state.overlay else { return vec![] };
    browser.typed_changed();
    match browser.typed_path(home.as_deref()) {
        Some((dir, _)) if dir != browser.dir => {
            browser.follow(dir.clone(), id);
            vec![Effect::List(id, dir)]
        }
        _ => state.ask(),
    }
}

/// Recent folders in place of the listing; again: back.
fn recent(state: &mut State) -> Vec<Effect> {
    let folders = state.recent.clone();
    let names: Vec<String> = folders.iter().map(|dir| state.short(dir)).collect();
    let Overlay::Browser(browser) = &mut state.overlay else { return vec![] };
    if browser.recent || folders.is_empty() {
        let dir = browser.dir.clone();
        return open(state, dir);
    }
    let entry = |(name, path): (String, PathBuf)| super::Entry {
        name,
        path,
        folder: true,
        bytes: 0,
        stamp: 0,
    };
    browser.recent = true;
    browser.typed = Field::default();
    browser.at = 0;
    // The latest first: not sorted by name.
    browser.listing = Known::Ready(names.into_iter().zip(folders).map(entry).collect());
    vec![]
}

// ------------------------------------------------------------------ demos

fn on_demos(state: &mut State, act: Do) -> Vec<Effect> {
    let Overlay::Demo(at) = &mut state.overlay else { return vec![] };
    let n = Demo::ALL.len();
    match act {
        Do::Up => *at = (*at + n - 1) % n,
        Do::Down => *at = (*at + 1) % n,
        Do::Cancel => state.overlay = Overlay::None,
        Do::Choose | Do::Demo => {
            let demo = Demo::ALL.get(*at).copied().unwrap_or_default();
            state.overlay = Overlay::None;
            let id = state.number();
            state.starting = Some(Starting { id, what: format!("the demo ({})", demo.name()) });
            return vec![Effect::Demo(id, demo, state.device.clone())];
        }
        _ => {}
    }
    vec![]
}
