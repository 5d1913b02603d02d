//! The run library's screen: four sizes pictured, every size holds, and what its
//! keys ask for.
#![cfg(feature = "tui")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // helpers of tests

mod script;

use alphascope::app::library::{Effect as Asked, Message as Told};
use alphascope::app::live::Question;
use alphascope::app::{
    Charset, Depth, Effect, Key, Look, Message, Mode, Model, Screen, Tab, update,
};
use alphascope::library::{Found, OnDataset, Run, State};
use alphascope::sweep::event::Outcome;
use alphascope::sweep::spec::Role;
use script::Script;
use script::drawn::{SIZES, TRUE, draw, symbols};

const NOW: u64 = 1_764_000_000_000;

fn run(name: &str, state: State, minutes: u64, gain: Option<f64>) -> Run {
    let set = |name: &str, role| OnDataset {
        name: name.into(),
        role,
        ends: [Some(61.2), Some(58.4)],
        best: Some(64.0 + gain.unwrap_or(0.0)),
    };
    let found = Found {
        zeroshot: "ViT-B-32-laion".into(),
        finetuned: name.into(),
        label: (name == "hot").then(|| "constructed: one layer trained hot".into()),
        datasets: vec![set("imagenet", Role::Id), set("sketch", Role::Ood), set("r", Role::Ood)],
        done: if state == State::Complete { 1000 } else { 420 },
        total: 1000,
        best_alpha: gain.map(|_| 0.4),
        gain: gain.map(|it| [it, it - 1.1, it + 1.2]),
        began: Some(NOW - 7_200_000),
        ended: (state == State::Complete).then_some(Outcome::Complete),
        damaged: 0,
        part: None,
    };
    Run {
        name: name.into(),
        path: format!("/home/me/runs/{name}").into(),
        state,
        note: match state {
            State::Running => Some("alphascope 0.1.0 (process 4711 of me on box) for 2 h".into()),
            State::Damaged => Some("its journal does not say what is measured".into()),
            State::Foreign => Some("no journal in it".into()),
            _ => None,
        },
        changed: NOW - 60_000 * minutes,
        bytes: 48_213 * (minutes + 1),
        found: state.is_run().then_some(found),
    }
}

fn tell(model: &mut Model, told: Told) -> Vec<Asked> {
    asked(update(model, Message::Library(told)))
}

fn press(model: &mut Model, key: Key) -> Vec<Asked> {
    asked(update(model, Message::Key(key)))
}

fn asked(effects: Vec<Effect>) -> Vec<Asked> {
    effects
        .into_iter()
        .filter_map(|effect| match effect {
            Effect::Library(effect) => Some(effect),
            _ => None,
        })
        .collect()
}

/// The library over the set-up screen, with its first listing told.
fn model(look: Look, size: (u16, u16)) -> Model {
    let mut model = Model::new(Screen::Setup, Mode::Own, look);
    model.library.folder = Some("/home/me/runs".into());
    model.size = size;
    let effects = press(&mut model, Key::Char('o'));
    let [Asked::List(number, folder)] = &effects[..] else { panic!("{effects:?}") };
    assert_eq!(folder.to_str(), Some("/home/me/runs"));
    list(&mut model, *number);
    model
}

fn list(model: &mut Model, number: u64) {
    let runs = [
        run("flowers-ft-3", State::Running, 0, Some(2.31)),
        run("flowers-ft-2", State::Complete, 95, Some(3.0)),
        run("hot", State::Complete, 60 * 30, Some(-0.4)),
        run("flowers-ft-1", State::Stopped, 60 * 24 * 12, None),
        run("torn", State::Damaged, 60 * 24 * 40, None),
        run("notes", State::Foreign, 1, None),
    ];
    for run in runs {
        tell(model, Told::Run(number, Box::new(run)));
    }
    tell(model, Told::Listed(number, NOW, Ok(())));
}

#[test]
fn four_sizes() {
    let ascii = Look { depth: Depth::None, charset: Charset::Ascii, ..TRUE };
    for size in SIZES {
        let mut it = model(TRUE, size);
        let name = |what: &str| format!("{what}-{}x{}", size.0, size.1);
        insta::assert_snapshot!(name("list"), symbols(&draw(&it)));
        for key in [' ', ' ', 'v'] {
            press(&mut it, Key::Char(key));
        }
        insta::assert_snapshot!(name("side-by-side"), symbols(&draw(&it)));
        press(&mut it, Key::Esc);
        press(&mut it, Key::Home);
        press(&mut it, Key::Down);
        press(&mut it, Key::Char('x'));
        insta::assert_snapshot!(name("delete"), symbols(&draw(&it)));
        let plain = symbols(&draw(&model(ascii, size)));
        assert!(plain.is_ascii(), "{plain}");
    }
    insta::assert_snapshot!("list-80x24-ascii", symbols(&draw(&model(ascii, (80, 24)))));
}

#[test]
fn every_size_holds() {
    let open: [&[Key]; 6] = [
        &[],
        &[Key::Char(' '), Key::Char(' '), Key::Char('v')],
        &[Key::Char('/'), Key::Char('f')],
        &[Key::Char('r')],
        &[Key::Down, Key::Char('x')],
        &[Key::Char('?')],
    ];
    for keys in open {
        let mut it = model(TRUE, (0, 0));
        for key in keys {
            press(&mut it, *key);
        }
        for (width, height) in (0..=60).flat_map(|w| (0..=30).step_by(3).map(move |h| (w, h))) {
            it.size = (width, height);
            draw(&it);
        }
    }
}

#[test]
fn runs_are_opened_and_left_again() {
    let mut it = model(TRUE, (80, 24));
    press(&mut it, Key::Down);
    let effects = press(&mut it, Key::Enter);
    assert_eq!(effects, [Asked::Open("/home/me/runs/flowers-ft-2".into())]);
    // As the runtime does once the folder is open.
    alphascope::app::library::watch(&mut it);
    for event in Script::good().whole() {
        update(&mut it, Message::Event(Box::new(event)));
    }
    assert_eq!((it.screen, it.mode, it.tab), (Screen::Live, Mode::Watch, Tab::Live));
    assert!(symbols(&draw(&it)).contains("back"));
    let effects = press(&mut it, Key::Char('q'));
    assert!(matches!(effects[..], [Asked::Close, Asked::List(..)]), "{effects:?}");
    assert_eq!((it.screen, it.mode), (Screen::Library, Mode::Own));
    assert_eq!(it.library.at.as_deref(), Some("flowers-ft-2"));
    // Back to where it was opened from.
    press(&mut it, Key::Esc);
    assert_eq!(it.screen, Screen::Setup);
}

#[test]
fn what_is_no_run_or_runs_is_left_alone() {
    let mut it = model(TRUE, (80, 24));
    press(&mut it, Key::End);
    for key in [Key::Enter, Key::Char('x'), Key::Char('r'), Key::Char(' ')] {
        assert!(press(&mut it, key).is_empty());
        assert!(it.library.said.as_deref().unwrap().contains("notes is left alone"));
        assert!(it.live.question.is_none() && it.library.typing.is_none());
    }
    press(&mut it, Key::Home);
    assert!(press(&mut it, Key::Char('x')).is_empty());
    assert!(it.library.said.as_deref().unwrap().contains("is being measured"));
    assert!(it.live.question.is_none());
}

/// The set-up screen is not shown while a run is being opened: whose it is would
/// be forgotten.
#[test]
fn esc_takes_the_opening_of_a_run_back() {
    let mut it = model(TRUE, (80, 24));
    it.setup.expect("/home/me/runs/hot".into());
    press(&mut it, Key::Esc);
    assert_eq!((it.screen, it.setup.starting.as_ref()), (Screen::Library, None));
    assert!(it.library.said.as_deref().unwrap().contains("is not opened"));
    press(&mut it, Key::Esc);
    assert_eq!(it.screen, Screen::Setup);
}

#[test]
fn a_stopped_run_goes_on() {
    let mut it = model(TRUE, (80, 24));
    assert!(press(&mut it, Key::Char('g')).is_empty());
    assert!(it.library.said.as_deref().unwrap().contains("is running: nothing to go on with"));
    it.library.at = Some("flowers-ft-1".into());
    let effects = press(&mut it, Key::Char('g'));
    assert_eq!(effects, [Asked::GoOn("/home/me/runs/flowers-ft-1".into())]);
    let effects = tell(&mut it, Told::GoesOn(Ok(99)));
    assert!(matches!(effects[..], [Asked::List(..)]));
    assert!(it.library.said.as_deref().unwrap().contains("process 99"));
}

#[test]
fn deleting_asks_and_the_highlight_goes_on() {
    let mut it = model(TRUE, (80, 24));
    press(&mut it, Key::Down);
    press(&mut it, Key::Char('x'));
    assert_eq!(it.live.question, Some(Question::Delete));
    assert!(press(&mut it, Key::Esc).is_empty() && it.live.question.is_none());
    press(&mut it, Key::Char('x'));
    let effects = press(&mut it, Key::Enter);
    assert_eq!(effects, [Asked::Delete("/home/me/runs".into(), "flowers-ft-2".into())]);
    let effects = tell(&mut it, Told::Changed(Ok(("flowers-ft-2".into(), None))));
    assert!(matches!(effects[..], [Asked::List(..)]));
    assert_eq!(it.library.at.as_deref(), Some("hot"));
    assert!(it.library.runs.iter().all(|run| run.name != "flowers-ft-2"));
    tell(&mut it, Told::Changed(Err("cannot delete it: no".into())));
    assert_eq!(it.library.said.as_deref(), Some("cannot delete it: no"));
}

#[test]
fn renaming_filtering_and_stale_answers() {
    let mut it = model(TRUE, (80, 24));
    press(&mut it, Key::Char('/'));
    for c in "flow stop".chars() {
        press(&mut it, Key::Char(c));
    }
    // Every letter counts at once, and means nothing else.
    assert_eq!(it.library.shown().count(), 1);
    press(&mut it, Key::Enter);
    press(&mut it, Key::Char('r'));
    press(&mut it, Key::Ctrl('u'));
    tell(&mut it, Told::Paste("roses\n".into()));
    let effects = press(&mut it, Key::Enter);
    let wanted = Asked::Rename("/home/me/runs".into(), "flowers-ft-1".into(), "roses".into());
    assert_eq!(effects, [wanted]);
    let effects = tell(&mut it, Told::Changed(Ok(("flowers-ft-1".into(), Some("roses".into())))));
    let [Asked::List(number, _)] = effects[..] else { panic!("{effects:?}") };
    press(&mut it, Key::Esc);
    // An answer to an older question changes nothing.
    let before = it.library.clone();
    tell(&mut it, Told::Run(number - 1, Box::new(run("ghost", State::Complete, 1, None))));
    tell(&mut it, Told::Listed(number - 1, 0, Err("old".into())));
    assert_eq!(it.library, before);
    // What is gone is gone once all are told.
    tell(&mut it, Told::Run(number, Box::new(run("hot", State::Complete, 1, None))));
    assert!(it.library.runs.len() > 1);
    tell(&mut it, Told::Listed(number, NOW, Ok(())));
    assert_eq!(it.library.runs.len(), 1);
    tell(&mut it, Told::Listed(number, NOW, Err("cannot list".into())));
    assert_eq!(it.library.runs.len(), 1, "what was told stays");
}
