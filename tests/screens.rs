//! Whole screens: symbols and styles at four sizes, every size without a
//! panic, plain characters where plain ones were asked for.

#![cfg(feature = "tui")]
#![allow(clippy::unwrap_used)] // helpers of tests, where a panic is the report

mod script;

use alphascope::app::live::Target;
use alphascope::app::{Charset, Depth, Key, Look, Message, Model, Palette, update};
use alphascope::sweep::event::{Benchmark, Event, Level, Outcome};
use alphascope::sweep::ids::{Alpha, DatasetId, RoundId};
use alphascope::ui::{self, Theme};
use ratatui::style::Color;
use rstest::rstest;
use script::drawn::{SIZES, TRUE, draw, styles, symbols};
use script::{Script, fold};

/// The situations a screen is looked at in.
fn situation(name: &str, look: Look, size: (u16, u16)) -> Model {
    let good = Script::good();
    let mut model = match name {
        "start" => fold(&[], look, size),
        "opened" => fold(&good.opening(), look, size),
        "success" => fold(&good.whole(), look, size),
        "failure" => fold(&Script::barrier().whole(), look, size),
        _ => fold(&good.until(60), look, size),
    };
    match name {
        "mid" | "plain" | "blocks" | "sixteen" | "light" => {
            update(&mut model, Message::Progress(good.progress()));
        }
        "paused" => {
            update(&mut model, Message::Event(Box::new(Event::Paused)));
            model.live.focus = Some(Target::Dataset(DatasetId(1)));
            update(&mut model, Message::Key(Key::Char('s')));
            update(&mut model, Message::Key(Key::Enter));
        }
        "failed" => {
            let events = [
                Event::CellFailed {
                    cell: Script::cell(2, 4),
                    round: RoundId(3),
                    message: "evaluate openmoji at α 0.4: 3 logits are not finite".to_string(),
                },
                Event::notice(Level::Warning, "12 near-ties: another batch size may flip them"),
                Event::Finished { outcome: Outcome::Partial, seconds: 9.0 },
            ];
            for event in events {
                update(&mut model, Message::Event(Box::new(event)));
            }
        }
        "question" => {
            update(&mut model, Message::Key(Key::Char('q')));
        }
        "help" => {
            update(&mut model, Message::Key(Key::Char('?')));
        }
        "alone" => {
            model.live.focus = Some(Target::Dataset(DatasetId(3)));
            update(&mut model, Message::Key(Key::Enter));
        }
        "table" => {
            update(&mut model, Message::Key(Key::Char('v')));
        }
        _ => {}
    }
    model.settle();
    model
}

#[rstest]
fn screens_look_as_they_did(
    #[values(
        "start", "opened", "mid", "success", "failure", "paused", "failed", "question", "help",
        "alone", "table"
    )]
    name: &str,
) {
    for size in SIZES {
        let buffer = draw(&situation(name, TRUE, size));
        insta::assert_snapshot!(format!("{name}-{}x{}", size.0, size.1), symbols(&buffer));
    }
}

/// From the smallest terminal of common size: both ends are in the table.
#[test]
fn a_table_shows_every_alpha_at_80x24() {
    let text = symbols(&draw(&situation("table", TRUE, (80, 24))));
    let table = text.lines().skip_while(|line| !line.trim_start().starts_with('α'));
    let rows: Vec<&str> = table
        .filter_map(|line| line.split_whitespace().find(|cell| *cell != "▸"))
        .take_while(|cell| *cell != "top-1,")
        .collect();
    let grid = ["α", "0", "0.1", "0.2", "0.3", "0.4", "0.5", "0.6", "0.7", "0.8", "0.9", "1"];
    assert_eq!(rows, grid, "{text}");
}

/// Whose verdict it is, and by how much: the name is cut before the gain goes.
#[test]
fn a_variants_verdict_carries_its_name_and_its_gain() {
    let script = Script::good();
    let mut variant = script::probes::trim("block.1", 0.5);
    variant.name = "block.1.mlp and block.3.attn delta 50 %".into();
    let mut events = script.until(100);
    events.extend(script.variant(1, variant, 100));
    for size in [(80, 24), (66, 20), (60, 16)] {
        let mut model = fold(&events, TRUE, size);
        update(&mut model, Message::Key(Key::Char('w')));
        model.settle();
        model.live.word = None;
        let word = alphascope::app::format::verdict(&model.board).0;
        let text = symbols(&draw(&model));
        let line = text.lines().find(|line| line.contains("RFT gain")).unwrap();
        assert!(line.contains(" block.1") && line.contains(": "), "{line}");
        assert!(line.find("block.1") < line.find(word), "{line}");
        let gain = alphascope::app::format::signed(model.board.gain().unwrap().points.value);
        assert!(line.contains(&format!("RFT gain {gain}")), "{line}");
    }
}

/// In the middle of a round two numbers differ, and the reason is in sight.
#[test]
fn the_verdict_says_that_it_goes_by_whole_rounds() {
    for (events, partial) in [(Script::good().until(60), true), (Script::good().whole(), false)] {
        let model = fold(&events, TRUE, (120, 40));
        let text = symbols(&draw(&model));
        let line = text.lines().find(|line| line.contains("RFT gain")).unwrap();
        assert_eq!(line.contains("by whole rounds"), partial, "{line}");
        assert_eq!(alphascope::app::summary(&model).contains("whole rounds"), partial);
        let report = alphascope::report::table(&model.run);
        assert_eq!(report.contains("whole rounds"), partial, "{report}");
    }
}

/// Beside its numbers, and where there is no room for that, in the line of the
/// dataset in focus.
#[test]
fn a_part_of_a_published_dataset_carries_both_numbers() {
    let mut part = Script::good();
    let info = &mut part.header.datasets[1];
    info.benchmark = Some(Benchmark::new("ImageNet-R", info.images + 2));
    let badge = format!("{}/{}", info.images, info.images + 2);
    for size in [(200, 60), (120, 40), (80, 24)] {
        let mut model = fold(&part.whole(), TRUE, size);
        let wide = symbols(&draw(&model));
        assert_eq!(wide.matches(&badge).count(), usize::from(size.0 == 200), "{wide}");
        model.live.focus = Some(Target::Dataset(DatasetId(1)));
        let focused = symbols(&draw(&model));
        assert!(focused.contains(&badge), "{focused}");
    }
}

#[rstest]
#[case("mid", TRUE)]
#[case("failure", TRUE)]
#[case("paused", TRUE)]
#[case("light", Look { palette: Palette::Light, ..TRUE })]
#[case("indexed", Look { depth: Depth::Indexed, ..TRUE })]
#[case("sixteen", Look { depth: Depth::Sixteen, ..TRUE })]
fn styles_are_as_they_were(#[case] name: &str, #[case] look: Look) {
    let buffer = draw(&situation(name, look, (80, 24)));
    insta::assert_snapshot!(format!("{name}-80x24-styles"), styles(&buffer));
}

#[rstest]
#[case("plain", Look { depth: Depth::None, charset: Charset::Ascii, ..TRUE })]
#[case("blocks", Look { charset: Charset::Blocks, ..TRUE })]
fn other_charsets_look_as_they_did(#[case] name: &str, #[case] look: Look) {
    for size in SIZES {
        let buffer = draw(&situation(name, look, size));
        insta::assert_snapshot!(format!("{name}-{}x{}", size.0, size.1), symbols(&buffer));
    }
}

const ALL: [&str; 12] = [
    "start", "opened", "mid", "success", "failure", "paused", "failed", "question", "help",
    "alone", "table", "plain",
];

#[test]
fn ascii_is_ascii_and_no_colour_is_none() {
    let look = Look { depth: Depth::None, charset: Charset::Ascii, ..TRUE };
    for name in ALL {
        for size in SIZES {
            let coloured = Look { depth: Depth::True, ..look };
            let mut model = situation(name, coloured, size);
            let bright = symbols(&draw(&model));
            model.look = look;
            let buffer = draw(&model);
            let text = symbols(&buffer);
            assert!(bright.is_ascii(), "{name} at {size:?}:\n{bright}");
            let odd = text.chars().find(|c| !c.is_ascii());
            assert_eq!(odd, None, "{name} at {size:?}:\n{text}");
            for cell in buffer.content() {
                assert_eq!((cell.fg, cell.bg), (Color::Reset, Color::Reset), "{name}");
            }
        }
    }
}

/// Every size up to 60 × 30, and some beyond, in every situation.
#[rstest]
fn no_size_panics(
    #[values(
        "start", "opened", "mid", "failure", "paused", "failed", "question", "help", "alone",
        "table", "plain"
    )]
    name: &str,
) {
    let mut model = situation(name, TRUE, (0, 0));
    let beyond = [
        (60, 16),
        (61, 15),
        (79, 24),
        (81, 25),
        (100, 17),
        (139, 39),
        (140, 40),
        (138, 60),
        (300, 16),
        (60, 120),
        (255, 90),
    ];
    let all = (0..=60).flat_map(|w| (0..=30).map(move |h| (w, h))).chain(beyond);
    // Every size where most can go wrong, a fifth of them elsewhere.
    let step = if matches!(name, "mid" | "question") { 1 } else { 5 };
    for (i, size) in all.enumerate().step_by(step) {
        model.size = size;
        model.look.charset = [Charset::Braille, Charset::Blocks, Charset::Ascii][i % 3];
        model.look.depth = [Depth::True, Depth::Sixteen, Depth::None, Depth::Indexed][i % 4];
        draw(&model);
        let theme = Theme::of(model.look);
        let _ = ui::hit(&model, &theme, size.0 / 2, size.1 / 2);
    }
}

/// What must be on the screen wherever there is room for a line.
#[test]
fn the_label_is_always_visible() {
    for size in SIZES {
        for key in [None, Some('v'), Some('l'), Some('a')] {
            let mut model = situation("failure", TRUE, size);
            if let Some(key) = key {
                update(&mut model, Message::Key(Key::Char(key)));
            }
            let text = symbols(&draw(&model));
            assert!(text.contains("constructed: fine-tuned with"), "{size:?} {key:?}\n{text}");
        }
    }
}

#[test]
fn both_ends_are_named_on_their_sides() {
    for size in &SIZES[1..] {
        let text = symbols(&draw(&situation("mid", TRUE, *size)));
        let row = text.lines().find(|row| row.contains("zero-shot zeroshot")).unwrap();
        let (zero, one) = (row.find("zero-shot").unwrap(), row.find("fine-tuned").unwrap());
        assert!(zero < one, "{row}");
    }
}

/// Points that differ in the fourth decimal have as many, in each place, and whole.
#[test]
fn points_close_together_are_told_apart() {
    let mut script = Script::good();
    let mut alphas: Vec<f64> = (0..11).map(|i| f64::from(i) / 10.0).collect();
    (alphas[4], alphas[5]) = (0.3001, 0.3002);
    script.header.alphas = alphas.into_iter().filter_map(Alpha::new).collect();
    let events = script.whole();
    for size in &SIZES[1..] {
        let mut model = fold(&events, TRUE, *size);
        update(&mut model, Message::Key(Key::Char('v')));
        let text = symbols(&draw(&model));
        let rows = text.lines().filter(|line| line.contains("0.300"));
        assert!(rows.count() >= 2 && !text.contains("0.30…"), "{size:?}\n{text}");
        for at in [4, 5] {
            model.live.cursor = Some(at);
            for key in ['1', '2', '4'] {
                update(&mut model, Message::Key(Key::Char(key)));
                let text = symbols(&draw(&model));
                assert!(text.contains(&format!("0.300{}", at - 3)), "{size:?} {key}\n{text}");
            }
        }
    }
}

#[test]
fn what_is_asked_shows_until_it_is_in_force() {
    let mut model = situation("mid", TRUE, (120, 40));
    update(&mut model, Message::Key(Key::Char('p')));
    assert!(symbols(&draw(&model)).contains("pause asked"));
    update(&mut model, Message::Event(Box::new(Event::Paused)));
    let text = symbols(&draw(&model));
    assert!(text.contains("paused") && !text.contains("pause asked"));
    let text = symbols(&draw(&situation("paused", TRUE, (80, 24))));
    assert!(text.contains("⊘ asked"), "{text}");
}

/// The same model twice is the same screen: nothing ticks.
#[test]
fn an_idle_screen_does_not_change() {
    let mut model = situation("mid", TRUE, (120, 40));
    let before = draw(&model);
    update(&mut model, Message::Tick);
    model.settle();
    assert_eq!(before, draw(&model));
}

/// A click means what it hits.
#[test]
fn clicks_find_points_and_curves() {
    let model = situation("mid", TRUE, (80, 24));
    let theme = Theme::of(model.look);
    let buffer = draw(&model);
    let text = symbols(&buffer);
    let row = text.lines().position(|row| row.contains("fluent-hc") && row.contains('±')).unwrap();
    let picked = ui::hit(&model, &theme, 10, u16::try_from(row).unwrap());
    let expected = alphascope::app::Pick::Curve(Target::Dataset(DatasetId(4)));
    assert_eq!(picked, Some(expected));
    let point = ui::hit(&model, &theme, 9, 6);
    assert_eq!(point, Some(alphascope::app::Pick::Alpha(0)));
}
