//! The set-up screen on a test terminal: every size holds, four sizes are
//! pictured, a mismatch is in sight.
#![cfg(feature = "tui")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // helpers of tests

use std::path::Path;

use alphascope::app::setup::{
    DataFacts, Effect, Entry, FileFacts, Job, Message, PairFacts, Row, State, update,
};
use alphascope::app::{Charset, Depth, Key, Look, Mode, Model, Palette, Screen};
use alphascope::config::{ChosenDataset, Memory};
use alphascope::launch::Outside;
use alphascope::runtime::Host;
use alphascope::sim::SimScript;
use alphascope::sweep::spec::{Role, SharpnessKind, Spec};
use alphascope::ui::{Theme, view};
use ratatui::Terminal;
use ratatui::backend::TestBackend;

/// What to do about a head without names.
const WAY: &str = "set `checkpoints.head_classes`, or give one dataset the role `id`";

fn facts(architecture: &str) -> FileFacts {
    FileFacts {
        architecture: architecture.into(),
        dtype: "float16".into(),
        bytes: 302_000_000,
        tensors: 302,
        detail: "safetensors, open_clip names".into(),
    }
}

/// Answers every question, as the outside would.
fn answer(state: &mut State, effects: Vec<Effect>) {
    let mut open = effects;
    while let Some(effect) = open.pop() {
        let message = match effect {
            Effect::File(id, path) if path.ends_with("notes.pt") => {
                Message::File(id, path, Err("no checkpoint: the file is empty".into()))
            }
            Effect::File(id, path) => {
                let name = if path.ends_with("large.pt") { "ViT-L-14" } else { "ViT-B-32" };
                Message::File(id, path, Ok(facts(name)))
            }
            Effect::Data(id, path) => Message::Data(
                id,
                path,
                Ok(DataFacts {
                    layout: "WebDataset".into(),
                    images: 49_999,
                    badge: Some("49999/50000".into()),
                    benchmark: Some("ImageNet".into()),
                    classes: 1000,
                    each: (49, 50),
                    problems: vec![],
                }),
            ),
            Effect::Pair(id, _, b) if b.ends_with("large.pt") => Message::Pair(
                id,
                Ok(PairFacts {
                    differences: vec![
                        "visual.proj: [768, 512] here, [1024, 768] there".into(),
                        "visual.conv1.weight: [768, 3, 32, 32] here, [1024, 3, 14, 14] there"
                            .into(),
                    ],
                    more: 298,
                    notices: vec![],
                }),
            ),
            Effect::Pair(id, ..) => Message::Pair(id, Ok(PairFacts::default())),
            Effect::Check(id, job) => {
                let named = job.spec.datasets.iter().any(|set| set.role == Role::Id);
                let path = job.spec.checkpoints.finetuned.display();
                let why = format!("{path} stores a head of 22 rows, but nothing names them: {WAY}");
                Message::Checked(id, if named { Ok(()) } else { Err(why) })
            }
            Effect::List(id, dir) => Message::Listed(id, Ok(listing(&dir))),
            Effect::Devices => Message::Devices(vec!["auto".into(), "cpu".into(), "cuda:0".into()]),
            _ => continue,
        };
        open.extend(update(state, message));
    }
}

fn listing(dir: &Path) -> Vec<Entry> {
    ["runs/", "base.safetensors", "finetuned.pt", "large.pt", "notes.pt", "readme.md"]
        .iter()
        .map(|name| Entry {
            name: name.trim_end_matches('/').into(),
            path: dir.join(name.trim_end_matches('/')),
            folder: name.ends_with('/'),
            bytes: 302_000_000,
            stamp: 1,
        })
        .collect()
}

fn model(finetuned: &str) -> Model {
    let set = |name: &str, role| ChosenDataset {
        name: name.into(),
        role,
        path: format!("/home/me/data/{name}/val").into(),
    };
    let memory = Memory {
        zeroshot: Some("/home/me/models/base.safetensors".into()),
        finetuned: Some(format!("/home/me/models/{finetuned}").into()),
        datasets: vec![set("imagenet", Role::Id), set("sketch", Role::Ood)],
        ..Memory::default()
    };
    let look = Look { palette: Palette::Dark, depth: Depth::True, charset: Charset::Braille };
    let mut model = Model::new(Screen::Setup, Mode::Own, look);
    model.setup = State::new(memory, Some("/home/me".into()), "/home/me".into());
    model.setup.runs = Some("/home/me/.local/share/alphascope/runs".into());
    let effects = model.setup.begin();
    answer(&mut model.setup, effects);
    model
}

/// As a key does that changes the form.
fn check(model: &mut Model) {
    let effects = model.setup.begin();
    answer(&mut model.setup, effects);
}

fn press(model: &mut Model, keys: &[Key]) {
    for key in keys {
        let effects = alphascope::app::update(model, alphascope::app::Message::Key(*key));
        let asked = effects.into_iter().filter_map(|effect| match effect {
            alphascope::app::Effect::Setup(effect) => Some(effect),
            _ => None,
        });
        answer(&mut model.setup, asked.collect());
    }
}

fn picture(model: &mut Model, width: u16, height: u16) -> String {
    model.size = (width, height);
    let theme = Theme::of(model.look);
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| view(model, &theme, frame)).unwrap();
    if width == 0 { String::new() } else { terminal.backend().to_string() }
}

const SIZES: [(u16, u16); 4] = [(40, 12), (80, 24), (120, 40), (200, 60)];

#[test]
fn the_form_at_four_sizes() {
    let mut model = model("finetuned.pt");
    for (width, height) in SIZES {
        insta::assert_snapshot!(
            format!("form_{width}x{height}"),
            picture(&mut model, width, height)
        );
    }
}

#[test]
fn sharpness_has_its_numbers_and_says_which_is_wrong() {
    let mut model = model("finetuned.pt");
    model.setup.sharpness = Some(SharpnessKind::Average);
    model.setup.row = Row::Count;
    check(&mut model);
    for (width, height) in SIZES {
        insta::assert_snapshot!(
            format!("sharpness_{width}x{height}"),
            picture(&mut model, width, height)
        );
    }
    model.setup.sharp.draws = "7".into();
    let text = picture(&mut model, 120, 40);
    assert!(text.contains("7 is odd") && text.contains("not yet: draws"), "{text}");
    model.setup.sharpness = Some(SharpnessKind::Worst);
    assert!(picture(&mut model, 120, 40).contains("checking"));
    check(&mut model);
    let text = picture(&mut model, 120, 40);
    assert!(text.contains("steps") && text.contains("ready"), "{text}");
    model.look.charset = Charset::Ascii;
    assert!(picture(&mut model, 80, 40).is_ascii());
}

#[test]
fn a_mismatch_lists_its_first_differences() {
    let mut model = model("large.pt");
    let text = picture(&mut model, 100, 30);
    assert!(text.contains("the two do not match"), "{text}");
    assert!(text.contains("[1024, 768] there") && text.contains("and 298 more"), "{text}");
    insta::assert_snapshot!("mismatch_80x24", picture(&mut model, 80, 24));
}

#[test]
fn ready_is_what_the_start_would_say() {
    let mut model = model("finetuned.pt");
    model.setup.row = alphascope::app::setup::Row::Start;
    assert!(picture(&mut model, 80, 24).contains("ready"));
    // Both out of distribution: each part is good, the whole is not.
    model.setup.row = alphascope::app::setup::Row::Dataset(0);
    press(&mut model, &[Key::Char('r')]);
    assert_eq!(model.setup.missing().len(), 1, "{:?}", model.setup.missing());
    assert!(model.setup.job().is_none());
    model.setup.row = alphascope::app::setup::Row::Start;
    let text = picture(&mut model, 80, 24);
    assert!(text.contains("not yet: ") && !text.contains("ready"), "{text}");
    // All of it can be read, also on the smallest screen.
    let flat = |text: &str| {
        let lines = text.lines().map(|line| line.trim_matches(['"', ' ']));
        lines.collect::<Vec<_>>().join(" ")
    };
    assert!(flat(&picture(&mut model, 40, 12)).contains(WAY));
    press(&mut model, &[Key::Char('s')]);
    assert!(model.setup.starting.is_none());
    let text = flat(&picture(&mut model, 40, 12));
    assert!(text.contains("finetuned.pt stores a head of 22 rows") && text.contains(WAY), "{text}");
    press(&mut model, &[Key::Up]);
    model.setup.row = alphascope::app::setup::Row::Dataset(0);
    press(&mut model, &[Key::Char('r')]);
    assert!(model.setup.missing().is_empty() && model.setup.job().is_some());
}

/// The real check, of files that are good each by itself: it says what the start says.
#[test]
fn the_check_is_the_one_that_the_start_makes() {
    let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/demo");
    let runs = tempfile::tempdir().unwrap();
    let host = Outside {
        sim: Some(SimScript::default()),
        runs: Some(runs.path().into()),
        ..Outside::default()
    };
    let mut spec = Spec::load(&demo.join("demo-hot.toml")).unwrap();
    let order = |spec: &Spec| Job { spec: spec.clone(), device: "cpu".into(), output: None };
    assert_eq!(host.check(order(&spec)), Ok(()));
    assert_eq!(std::fs::read_dir(runs.path()).unwrap().count(), 0, "nothing is begun");
    spec.datasets.iter_mut().for_each(|set| set.role = Role::Ood);
    let why = host.check(order(&spec)).unwrap_err();
    assert!(why.contains("nothing names them") && why.contains(WAY), "{why}");
    let waker: alphascope::session::Waker = std::sync::Arc::new(|| {});
    assert_eq!(host.start(order(&spec), waker).err(), Some(why));
}

#[test]
fn the_browser_tells_what_files_are() {
    let mut model = model("finetuned.pt");
    press(&mut model, &[Key::Enter]);
    let text = picture(&mut model, 120, 40);
    assert!(
        text.contains("ViT-L-14") && text.contains("no checkpoint: the file is empty"),
        "{text}"
    );
    for (width, height) in SIZES {
        insta::assert_snapshot!(
            format!("browser_{width}x{height}"),
            picture(&mut model, width, height)
        );
    }
}

#[test]
fn the_demo_menu_and_text_fields_in_ascii() {
    let mut model = model("finetuned.pt");
    model.look.charset = Charset::Ascii;
    model.look.depth = Depth::None;
    press(&mut model, &[Key::Char('d')]);
    let menu = picture(&mut model, 80, 24);
    assert!(menu.contains("constructed"), "{menu}");
    insta::assert_snapshot!("demos_80x24_ascii", menu);
    press(&mut model, &[Key::Esc, Key::End, Key::Up, Key::Up, Key::Enter, Key::Char('7')]);
    let text = picture(&mut model, 80, 24);
    assert!(text.is_ascii(), "{text}");
}

/// Nothing panics, whatever the size and whatever is open.
#[test]
fn every_size_holds() {
    let keys: [&[Key]; 6] = [
        &[],
        &[Key::Enter],
        &[Key::Enter, Key::Char('f'), Key::Char('/')],
        &[Key::Char('d'), Key::Down],
        &[Key::End, Key::Up, Key::Enter],
        &[Key::Char('?')],
    ];
    for keys in keys {
        for charset in [Charset::Braille, Charset::Ascii] {
            let mut model = model("large.pt");
            model.look.charset = charset;
            press(&mut model, keys);
            for width in 0..=60 {
                for height in (0..=30).filter(|height| width % 5 == 0 || height % 5 == 0) {
                    picture(&mut model, width, height);
                }
            }
        }
    }
}
