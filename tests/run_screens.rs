//! The run's screens beside the live one: symbols and styles at four sizes,
//! every size without a panic, plain characters where plain ones were asked for.

#![cfg(feature = "tui")]
#![allow(clippy::unwrap_used)] // helpers of tests, where a panic is the report

mod script;

use alphascope::app::{Charset, Depth, Key, Look, Message, Model, update};
use alphascope::sweep::event::Event;
use alphascope::sweep::ids::{AlphaId, LayerId, ProbeCell, ProbeId, VariantId};
use alphascope::sweep::spec::Layers;
use alphascope::ui::{self, Theme};
use ratatui::style::Color;
use rstest::rstest;
use script::drawn::{SIZES, TRUE, draw, styles, symbols};
use script::probes::{curvature, path, sharpness, trim};
use script::{Script, fold};

fn press(model: &mut Model, keys: &str) {
    for key in keys.chars() {
        let key = match key {
            '\n' => Key::Enter,
            '^' => Key::Esc,
            key => Key::Char(key),
        };
        update(model, Message::Key(key));
        model.settle();
    }
}

/// The situations a screen is looked at in.
fn situation(name: &str, look: Look, size: (u16, u16)) -> Model {
    let script = Script::good();
    let mut events = match name {
        "layers-start" => Vec::new(),
        _ => script.until(60),
    };
    let failed = Event::ProbeFailed {
        cell: ProbeCell {
            probe: ProbeId(0),
            variant: VariantId::DENSE,
            alpha: AlphaId(4),
            layer: Some(LayerId(2)),
        },
        message: "sharpness of block.1 at α 0.4: the loss is not finite".to_string(),
    };
    match name {
        "layers-start" | "layers-bare" | "layers-ask" | "correlation-bare" | "compare-bare" => {}
        "layers-early" | "correlation-early" => {
            events.extend(script.probe(0, &sharpness(Layers::Block), 40));
            events.push(failed);
        }
        "layers-modules" => events.extend(script.probe(0, &sharpness(Layers::Tensor), 100)),
        _ => {
            events.extend(script.probe(0, &sharpness(Layers::Block), 100));
            events.extend(script.probe(1, &path(), 100));
            events.extend(script.probe(2, &curvature(), 100));
        }
    }
    if matches!(name, "compare" | "live-variant" | "layers-edited") {
        events.extend(script.variant(1, trim("block.3", 0.5), 40));
        events.extend(script.variant(2, trim("head", 0.9), 20));
    }
    let mut model = fold(&events, look, size);
    if name.ends_with("early") {
        update(&mut model, Message::Progress(script.probing()));
    }
    press(
        &mut model,
        match name.split('-').next().unwrap_or_default() {
            "layers" => "2",
            "correlation" => "3",
            "compare" => "4",
            _ => "",
        },
    );
    match name {
        "layers-detail" => press(&mut model, "jjjjj\n"),
        "layers-map" | "layers-modules" => press(&mut model, "hjj"),
        "layers-sorted" => press(&mut model, "s/block\n"),
        "layers-typing" => press(&mut model, "/bl"),
        "layers-ask" => press(&mut model, "a"),
        "layers-cancel" => press(&mut model, "x"),
        "layers-toggled" => press(&mut model, "gjV "),
        "layers-edited" => {
            model.layers.edits = trim("block.3", 0.5).sparsify;
            press(&mut model, "jjjjj");
        }
        "compare" => press(&mut model, "j"),
        "live-variant" => press(&mut model, "w"),
        _ => {}
    }
    model.settle();
    model
}

#[rstest]
fn screens_look_as_they_did(
    #[values(
        "layers-bare",
        "layers-early",
        "layers-full",
        "layers-detail",
        "layers-map",
        "layers-modules",
        "layers-sorted",
        "layers-ask",
        "layers-cancel",
        "layers-toggled",
        "layers-edited",
        "correlation-bare",
        "correlation-early",
        "correlation-full",
        "compare-bare",
        "compare",
        "live-full",
        "live-variant"
    )]
    name: &str,
) {
    for size in SIZES {
        let buffer = draw(&situation(name, TRUE, size));
        insta::assert_snapshot!(format!("{name}-{}x{}", size.0, size.1), symbols(&buffer));
    }
}

#[rstest]
#[case("layers-full", TRUE, "")]
#[case("layers-map", TRUE, "")]
#[case("layers-map", Look { depth: Depth::Indexed, ..TRUE }, "-256")]
#[case("layers-map", Look { depth: Depth::Sixteen, ..TRUE }, "-16")]
#[case("correlation-full", TRUE, "")]
#[case("compare", TRUE, "")]
fn styles_are_as_they_were(#[case] name: &str, #[case] look: Look, #[case] depth: &str) {
    let buffer = draw(&situation(name, look, (80, 24)));
    insta::assert_snapshot!(format!("{name}-80x24{depth}-styles"), styles(&buffer));
}

const ALL: [&str; 12] = [
    "layers-start",
    "layers-bare",
    "layers-early",
    "layers-full",
    "layers-detail",
    "layers-map",
    "layers-ask",
    "layers-typing",
    "layers-edited",
    "correlation-full",
    "compare",
    "live-variant",
];

#[test]
fn ascii_is_ascii_and_no_colour_is_none() {
    for name in ALL {
        for size in SIZES {
            let look = Look { depth: Depth::None, charset: Charset::Ascii, ..TRUE };
            let mut model = situation(name, look, size);
            let buffer = draw(&model);
            let text = symbols(&buffer);
            let odd = text.chars().find(|c| !c.is_ascii());
            assert_eq!(odd, None, "{name} at {size:?}:\n{text}");
            for cell in buffer.content() {
                assert_eq!((cell.fg, cell.bg), (Color::Reset, Color::Reset), "{name}");
            }
            model.look.depth = Depth::True;
            let bright = symbols(&draw(&model));
            assert!(bright.is_ascii(), "{name} at {size:?}:\n{bright}");
        }
    }
}

#[test]
fn plain_screens_look_as_they_did() {
    let look = Look { depth: Depth::None, charset: Charset::Ascii, ..TRUE };
    for name in ["layers-full", "layers-map", "correlation-full", "compare"] {
        let buffer = draw(&situation(name, look, (80, 24)));
        insta::assert_snapshot!(format!("{name}-80x24-plain"), symbols(&buffer));
    }
}

/// Every size up to 60 × 30, and some beyond, in every situation.
#[test]
fn no_size_panics() {
    let beyond = [
        (60, 16),
        (61, 15),
        (79, 24),
        (100, 17),
        (139, 39),
        (140, 40),
        (300, 16),
        (60, 120),
        (255, 90),
    ];
    for (k, name) in ALL.into_iter().enumerate() {
        let mut model = situation(name, TRUE, (0, 0));
        let all = (0..=60).flat_map(|w| (0..=30).map(move |h| (w, h))).chain(beyond);
        for (i, size) in all.enumerate().skip(k % 3).step_by(3) {
            model.size = size;
            model.look.charset = [Charset::Braille, Charset::Blocks, Charset::Ascii][i % 3];
            model.look.depth = [Depth::True, Depth::Sixteen, Depth::None, Depth::Indexed][i % 4];
            draw(&model);
            let theme = Theme::of(model.look);
            for (x, y) in [(0, 0), (size.0 / 2, size.1 / 2), (3, 5), (size.0, size.1)] {
                let _ = ui::hit(&model, &theme, x, y);
            }
        }
    }
}

/// Both ends are named on every screen from 80 columns on.
#[test]
fn both_ends_are_always_named() {
    for name in ["layers-full", "correlation-full", "compare"] {
        for size in &SIZES[1..] {
            let text = symbols(&draw(&situation(name, TRUE, *size)));
            assert!(
                text.contains("zero-shot zeroshot") && text.contains("fine-tuned finetuned"),
                "{text}"
            );
        }
    }
}

/// A click means what it hits.
#[test]
fn clicks_find_screens_layers_and_points() {
    use alphascope::app::{Pick, Tab};
    let model = situation("layers-full", TRUE, (80, 24));
    let theme = Theme::of(model.look);
    let text = symbols(&draw(&model));
    let row = text.lines().position(|row| row.contains("block.2")).unwrap();
    let picked = ui::hit(&model, &theme, 10, u16::try_from(row).unwrap());
    let id = model.sheet.rows.iter().find(|it| it.name == "block.2").unwrap().layer;
    assert_eq!(picked, Some(Pick::Layer(id)));
    let x = text.lines().next().unwrap().chars().collect::<String>().find("Compare").unwrap();
    let picked = ui::hit(&model, &theme, u16::try_from(x).unwrap(), 0);
    assert_eq!(picked, Some(Pick::Tab(Tab::Compare)));
}
