use std::path::{Path, PathBuf};

use super::*;
use crate::app::Key;
use crate::sweep::spec::{Norm, SharpnessSpec};

/// A form in `/w`, home `/home/me`, fed by hand.
struct Form(State);

impl Form {
    fn new() -> Self {
        Self(State::new(Memory::default(), Some("/home/me".into()), "/w".into()))
    }

    fn press(&mut self, keys: &[Key]) -> Vec<Effect> {
        keys.iter().flat_map(|it| key(&mut self.0, *it).unwrap_or_default()).collect()
    }

    fn type_(&mut self, text: &str) -> Vec<Effect> {
        text.chars().flat_map(|c| self.press(&[Key::Char(c)])).collect()
    }

    /// Answers the last listing asked for.
    fn list(&mut self, effects: &[Effect], names: &[&str]) -> Vec<Effect> {
        let asked = effects.iter().rev().find_map(|effect| match effect {
            Effect::List(id, dir) => Some((*id, dir.clone())),
            _ => None,
        });
        let (id, dir) = asked.expect("a listing is asked for");
        let entries = names
            .iter()
            .map(|name| Entry {
                name: name.trim_end_matches('/').into(),
                path: dir.join(name.trim_end_matches('/')),
                folder: name.ends_with('/'),
                bytes: 7,
                stamp: 1,
            })
            .collect();
        update(&mut self.0, Message::Listed(id, Ok(entries)))
    }

    fn browser(&self) -> &Browser {
        let Overlay::Browser(browser) = &self.0.overlay else { panic!("no browser") };
        browser
    }

    fn names(&self) -> Vec<String> {
        let name = |item: &Item<'_>| match item {
            Item::Here => ".".into(),
            Item::Up => "..".into(),
            Item::Entry(entry) => entry.name.clone(),
        };
        self.browser().items().iter().map(name).collect()
    }

    /// Chooses both checkpoints and one dataset.
    fn filled() -> Self {
        let mut form = Self::new();
        for (row, name) in [(Row::ZeroShot, "zs.pt"), (Row::FineTuned, "ft.pt")] {
            form.0.row = row;
            let asked = form.press(&[Key::Enter]);
            form.list(&asked, &[name]);
            form.press(&[Key::Enter]);
        }
        form.0.row = Row::AddDataset;
        update(&mut form.0, Message::Paste("/d/sketch/val\n".into()));
        form
    }
}

fn files(effects: &[Effect]) -> Vec<(u64, PathBuf)> {
    effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::File(id, path) => Some((*id, path.clone())),
            _ => None,
        })
        .collect()
}

#[test]
fn the_browser_chooses_filters_and_follows_paths() {
    let mut form = Form::new();
    let asked = form.press(&[Key::Enter]);
    assert_eq!(asked.len(), 1);
    form.list(&asked, &["b.txt", "Zs.safetensors", "a.pt", ".hidden.pt", "models/"]);
    // Folders first; the highlight stands on the first checkpoint.
    assert_eq!(form.names(), ["..", "models", "a.pt", "b.txt", "Zs.safetensors"]);
    assert_eq!(form.browser().path(), Some("/w/a.pt".into()));
    form.press(&[Key::Alt('h')]);
    assert_eq!(form.names()[2], ".hidden.pt");
    form.press(&[Key::Alt('h')]);
    form.type_("zs");
    assert_eq!(form.names(), ["Zs.safetensors"]);
    // A typed path is followed, and stays relative to where typing began.
    form.press(&[Key::Ctrl('u')]);
    let asked = form.type_("models/");
    form.list(&asked, &["deep/", "ft.pt"]);
    assert_eq!(form.names().last().map(String::as_str), Some("ft.pt"));
    let asked = form.type_("deep/");
    assert_eq!(form.browser().dir, Path::new("/w/models/deep"));
    form.list(&asked, &["vit-a.pt", "vit-b.pt"]);
    form.type_("v");
    form.press(&[Key::Tab]);
    assert_eq!(form.browser().typed.text(), "models/deep/vit-");
    form.type_("b");
    form.press(&[Key::Enter]);
    assert_eq!(form.0.zeroshot, Some("/w/models/deep/vit-b.pt".into()));
    assert_eq!((form.0.row, &form.0.overlay), (Row::FineTuned, &Overlay::None));
    assert_eq!(form.0.recent, [Path::new("/w/models/deep")]);
}

#[test]
fn home_and_single_folders_complete() {
    let mut form = Form::new();
    let asked = form.press(&[Key::Enter]);
    form.list(&asked, &["x.pt"]);
    let asked = form.type_("~/");
    assert!(matches!(&asked[..], [Effect::List(_, dir)] if dir == Path::new("/home/me")));
    form.list(&asked, &["alpha/", "beta/"]);
    form.type_("be");
    let asked = form.press(&[Key::Tab]);
    assert_eq!(form.browser().typed.text(), "~/beta/");
    assert!(
        matches!(asked.last(), Some(Effect::List(_, dir)) if dir == Path::new("/home/me/beta"))
    );
}

#[test]
fn going_up_highlights_where_one_came_from() {
    let mut form = Form::new();
    let asked = form.press(&[Key::Enter]);
    form.list(&asked, &["x.pt"]);
    let asked = form.press(&[Key::Backspace]);
    form.list(&asked, &["a/", "w/", "z/"]);
    assert_eq!(form.browser().path(), Some("/w".into()));
    let asked = form.press(&[Key::Right]);
    form.list(&asked, &["x.pt"]);
    assert_eq!(form.browser().dir, Path::new("/w"));
}

#[test]
fn a_few_files_are_read_at_a_time_the_highlighted_one_first() {
    let mut form = Form::new();
    let asked = form.press(&[Key::Enter]);
    let asked = form.list(&asked, &["a.pt", "b.pt", "c.pt", "d.pt", "e.txt"]);
    let reading = files(&asked);
    assert_eq!(reading.len(), 2);
    assert_eq!(reading[0].1, Path::new("/w/a.pt"));
    // A slow one holds up no other: the highlight moves on and is asked for.
    let asked = form.press(&[Key::Down, Key::Down]);
    assert_eq!(files(&asked), [(files(&asked)[0].0, "/w/c.pt".into())]);
    // An answer makes room for the next.
    let (id, path) = reading[1].clone();
    let facts = FileFacts { architecture: "ViT-B-32".into(), ..FileFacts::default() };
    update(&mut form.0, Message::File(id + 100, path.clone(), Ok(facts.clone())));
    assert!(form.0.probes.file(&path).unwrap().ready().is_none(), "stale answers are dropped");
    update(&mut form.0, Message::File(id, path.clone(), Ok(facts)));
    assert!(form.0.probes.file(&path).unwrap().ready().is_some());
    assert!(form.0.probes.file(Path::new("/w/e.txt")).is_none());
}

#[test]
fn a_listing_that_comes_too_late_is_dropped() {
    let mut form = Form::new();
    let first = form.press(&[Key::Enter]);
    let second = form.press(&[Key::Left]);
    form.list(&first, &["late.pt"]);
    assert_eq!(form.names(), [".."; 0]);
    form.list(&second, &["w/"]);
    assert_eq!(form.names(), ["w"]);
}

#[test]
fn a_mismatch_is_told_at_once_and_keeps_the_sweep_from_starting() {
    let mut form = Form::filled();
    let asked = form.0.begin();
    assert!(!asked.iter().any(|effect| matches!(effect, Effect::Pair(..))), "asked for already");
    let Some(Known::Reading(id)) = form.0.pair().cloned() else { panic!("not compared") };
    let pair = PairFacts {
        differences: vec!["visual.proj: [768, 512] here, [1024, 768] there".into()],
        more: 3,
        notices: vec![],
    };
    update(&mut form.0, Message::Pair(id, Ok(pair)));
    assert_eq!(form.0.missing(), ["the two checkpoints do not match"]);
    assert!(form.press(&[Key::Char('s')]).is_empty());
    assert!(form.0.said.as_deref().is_some_and(|said| said.contains("do not match")));
}

#[test]
fn the_form_becomes_a_job() {
    let mut form = Form::filled();
    assert_eq!(form.0.missing(), Vec::<String>::new());
    assert_eq!(form.0.datasets[0].name, "sketch-val");
    assert_eq!(form.0.datasets[0].role, Role::Id);
    form.0.row = Row::AddDataset;
    update(&mut form.0, Message::Paste("'/e/sketch/val'".into()));
    assert_eq!(form.0.datasets[1].name, "sketch-val-2");
    assert_eq!(form.0.datasets[1].role, Role::Ood);
    form.0.row = Row::Dataset(1);
    form.press(&[Key::Char('r'), Key::Char('e'), Key::Ctrl('u')]);
    form.type_("q s");
    form.press(&[Key::Enter]);
    assert_eq!((form.0.datasets[1].name.as_str(), form.0.datasets[1].role), ("q s", Role::Id));
    form.0.row = Row::Alphas;
    form.press(&[Key::Enter, Key::Ctrl('u')]);
    form.type_("0 1 .5");
    form.press(&[Key::Enter]);
    form.0.row = Row::Output;
    form.press(&[Key::Enter]);
    form.type_("~/runs/../one");
    form.press(&[Key::Enter]);
    let effects = form.press(&[Key::Char('s')]);
    let Some(Effect::Start(id, job)) = effects.last() else { panic!("{effects:?}") };
    assert_eq!(job.output, Some("/home/me/one".into()));
    assert_eq!(job.spec.sweep.alphas, parse_alphas("0,0.5,1").unwrap());
    assert_eq!(job.spec.datasets.len(), 2);
    // While it opens, letters do nothing and escape takes it back.
    assert!(form.press(&[Key::Char('x')]).is_empty());
    assert_eq!(form.press(&[Key::Esc]), [Effect::Abandon(*id)]);
    assert_eq!(form.0.starting, None);
    assert_eq!(form.0.datasets.len(), 2);
}

#[test]
fn how_sharpness_is_measured_is_typed_checked_and_remembered() {
    let mut form = Form::filled();
    assert!(!form.0.rows().contains(&Row::Count), "of what is not measured nothing is asked");
    form.0.row = Row::Sharpness;
    form.press(&[Key::Right]);
    let type_at = |form: &mut Form, row: Row, text: &str| {
        form.0.row = row;
        form.press(&[Key::Enter, Key::Ctrl('u')]);
        form.type_(text);
        form.press(&[Key::Enter])
    };
    type_at(&mut form, Row::Count, "7");
    assert!(form.0.missing()[0].starts_with("draws: 7 is odd"), "{:?}", form.0.missing());
    type_at(&mut form, Row::Rho, "-1");
    assert_eq!(form.0.missing().len(), 2);
    assert!(form.press(&[Key::Char('s')]).is_empty());
    assert!(form.0.said.as_deref().is_some_and(|said| said.contains("radius")));
    type_at(&mut form, Row::Rho, "0.05");
    type_at(&mut form, Row::Count, "32");
    type_at(&mut form, Row::Batches, "2");
    form.0.row = Row::Norm;
    let effects = form.press(&[Key::Enter]);
    let Some(Effect::Remember(memory)) = effects.last() else { panic!("{effects:?}") };
    let spec = form.0.job().unwrap().spec.sharpness.unwrap();
    let expected = SharpnessSpec {
        norm: Norm::Linf,
        rho: 0.05,
        draws: 32,
        batches: 2,
        ..SharpnessSpec::default()
    };
    assert_eq!(spec, expected);
    let again = State::new((**memory).clone(), None, "/w".into());
    assert_eq!((again.sharp, again.sharpness), (form.0.sharp.clone(), form.0.sharpness));
    // Another kind has a number of its own.
    form.0.row = Row::Sharpness;
    form.press(&[Key::Right]);
    type_at(&mut form, Row::Count, "5");
    let spec = form.0.job().unwrap().spec.sharpness.unwrap();
    assert_eq!((spec.kind, spec.steps, spec.draws), (SharpnessKind::Worst, 5, 16));
}

#[test]
fn what_is_wrong_is_listed() {
    let mut form = Form::new();
    form.0.alphas = "x".into();
    form.0.batch = "0".into();
    let missing = form.0.missing();
    assert_eq!(missing.len(), 5, "{missing:?}");
    assert_eq!(form.0.job(), None);
}

#[test]
fn the_demo_is_one_key_away() {
    let mut form = Form::new();
    let effects = form.press(&[Key::Char('d'), Key::Char('d')]);
    assert!(matches!(effects[..], [Effect::Demo(_, Demo::Success, _)]), "{effects:?}");
    let mut form = Form::new();
    let effects = form.press(&[Key::Char('d'), Key::Up, Key::Enter]);
    assert!(matches!(effects[..], [Effect::Demo(_, Demo::Hot, _)]), "{effects:?}");
    assert!(Demo::Hot.line().contains("constructed"));
}

#[test]
fn a_folder_known_as_a_dataset_is_chosen_by_enter() {
    let mut form = Form::new();
    form.0.row = Row::AddDataset;
    let asked = form.press(&[Key::Enter]);
    let asked = form.list(&asked, &["val/"]);
    let Some(Effect::Data(id, path)) = asked.last().cloned() else { panic!("{asked:?}") };
    update(&mut form.0, Message::Data(id, path.clone(), Ok(DataFacts::default())));
    form.press(&[Key::Enter]);
    assert_eq!(form.0.datasets[0].path, path);
}

#[test]
fn choices_come_back() {
    let form = Form::filled();
    let again = State::new(form.0.memory(), None, "/".into());
    assert_eq!(again.zeroshot, form.0.zeroshot);
    assert_eq!(again.datasets, form.0.datasets);
    assert_eq!(again.recent, form.0.recent);
}
