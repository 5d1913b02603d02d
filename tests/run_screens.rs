//! The run's screens beside the live one: symbols and styles at four sizes,
//! every size without a panic, plain characters where plain ones were asked for.

#![cfg(feature = "tui")]
#![allow(clippy::unwrap_used)] // helpers of tests, where a panic is the report

mod script;

use alphascope::app::contest::Guest;
use alphascope::app::save::Refused;
use alphascope::app::{Charset, Depth, Key, Look, Message, Model, update};
use alphascope::sweep::doctor::{self, Step};
use alphascope::sweep::event::Event;
use alphascope::sweep::ids::{
    AlphaId, CellId, DatasetId, LayerId, ProbeCell, ProbeId, RoundId, VariantId,
};
use alphascope::sweep::probe::{Probe, ProbeResult};
use alphascope::sweep::spec::{DoctorSpec, Edit, Layers, Method, SharpnessSpec};
use alphascope::sweep::state::SweepState;
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

/// The doctor's search on the scripted run: all it tries, and the chosen ones on
/// every image where `judged`.
fn doctored(script: &Script, events: &mut Vec<Event>, judged: bool) {
    let mut state = SweepState::replay(&*events);
    let mut told = |state: &mut SweepState, event: Event| {
        state.apply(&event);
        events.push(event);
    };
    told(&mut state, Event::Doctor { spec: DoctorSpec::default() });
    let Step::Try(variants) = doctor::next(&state) else { unreachable!() };
    let mut kept = Vec::new();
    for (variant, id) in variants.into_iter().zip(1..) {
        let mut all = script.variant(id, variant, 100).into_iter();
        told(&mut state, all.next().unwrap());
        told(&mut state, Event::VariantTried { variant: VariantId(id) });
        kept.push(all.collect::<Vec<Event>>());
    }
    let owed = |state: &SweepState, event: &Event| match event {
        Event::Measured(it) => it.round.index() < state.rounds_owed(it.cell),
        _ => true,
    };
    for event in kept.iter().flatten().filter(|it| owed(&state, it)).cloned().collect::<Vec<_>>() {
        told(&mut state, event);
    }
    if !judged {
        return;
    }
    let Step::Take(taken) = doctor::next(&state) else { unreachable!() };
    for variant in taken {
        told(&mut state, Event::VariantTaken { variant });
        for event in &kept[variant.index() - 1] {
            let Event::Measured(it) = event else { continue };
            if !state.has(it.cell, it.round) {
                told(&mut state, event.clone());
            }
        }
    }
    assert_eq!(doctor::next(&state), Step::Done);
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
    if name.starts_with("layers-zeros") {
        let mut both = trim("block.3.attn", 0.9);
        let pruned =
            Edit { method: Method::Magnitude, ..trim("block.3.mlp", 0.5).sparsify.remove(0) };
        both.sparsify.push(pruned);
        events.extend(script.variant(1, both, 20));
    }
    if name.starts_with("layers-doctor") {
        events.extend(script.measurements());
        doctored(&script, &mut events, name == "layers-doctor");
    }
    if name == "layers-broken" {
        events.extend(script.variant(1, trim("block.3", 0.5), 20));
        let cell = CellId { variant: VariantId(1), ..Script::cell(1, 4) };
        let message = "the loss is not finite at block.3".to_string();
        events.push(Event::CellFailed { cell, round: RoundId(1), message });
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
        "layers-broken" => {
            model.layers.edits = trim("block.3", 0.5).sparsify;
            press(&mut model, "jjjjj");
        }
        "layers-zeros" => press(&mut model, "1w2jjjjj"),
        "layers-zeros-detail" => press(&mut model, "1w2jjjjj\n"),
        "layers-doctor" | "layers-doctor-tries" => press(&mut model, "D"),
        "live-save" => press(&mut model, "W"),
        "live-save-exists" => {
            press(&mut model, "W\n");
            update(&mut model, Message::Merged(Err(Refused::Exists)));
        }
        "correlation-runs" => {
            let rho = SharpnessSpec { rho: 0.5, ..SharpnessSpec::default() };
            let wider = Probe::Sharpness { spec: rho, on: DatasetId(0) };
            let runs = [
                ("barrier", Script::barrier(), sharpness(Layers::Block)),
                ("modules", Script::good(), sharpness(Layers::Module)),
                ("wider", Script::good(), wider),
            ];
            for (dir, run, probe) in runs {
                let mut events = run.whole();
                events.extend(run.probe(0, &probe, 100));
                let state = SweepState::replay(&events);
                let same = Default::default();
                let guest = Guest { dir: dir.into(), name: dir.into(), run: state, same };
                update(&mut model, Message::Guest(Ok(Box::new(guest))));
            }
            model.live.word = None;
        }
        "compare-runs" => {
            for (dir, run, same) in [("a", Script::barrier(), true), ("b", Script::good(), false)] {
                let mut events = run.whole();
                events.extend(run.variant(1, trim("head", 0.9), 100));
                let state = SweepState::replay(&events);
                let names = state.datasets().iter().map(|it| it.name.clone());
                let same = names.filter(|_| same).collect();
                let guest = Guest { dir: dir.into(), name: dir.into(), run: state, same };
                update(&mut model, Message::Guest(Ok(Box::new(guest))));
            }
            model.live.word = None;
        }
        "compare" => press(&mut model, "j"),
        "live-variant" => press(&mut model, "w"),
        "layers-log" => press(&mut model, "l"),
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
        "layers-broken",
        "layers-zeros",
        "layers-zeros-detail",
        "layers-log",
        "layers-doctor-tries",
        "layers-doctor",
        "correlation-bare",
        "correlation-early",
        "correlation-full",
        "correlation-runs",
        "compare-bare",
        "compare",
        "compare-runs",
        "live-full",
        "live-variant",
        "live-save",
        "live-save-exists"
    )]
    name: &str,
) {
    for size in SIZES {
        let buffer = draw(&situation(name, TRUE, size));
        insta::assert_snapshot!(format!("{name}-{}x{}", size.0, size.1), symbols(&buffer));
    }
}

/// A layer that is flat but for noise: its number is not to be read as one.
#[test]
fn what_is_lost_in_its_error_is_said_not_to_be_resolved() {
    let script = Script::good();
    let mut events = script.until(60);
    events.extend(script.probe(0, &sharpness(Layers::Block), 100));
    let mut model = fold(&events, TRUE, (80, 24));
    model.settle();
    let [flat, other] = [2, 4].map(|row: usize| model.sheet.rows[row].layer);
    for event in &mut events {
        if let Event::Probed(probed) = event
            && probed.cell.layer == flat
            && let ProbeResult::Sharpness(result) = &mut probed.result
        {
            let noise = |(i, rise): (usize, &mut f64)| {
                *rise = if i % 2 == 0 { 0.011 } else { -0.01 };
            };
            result.rises.iter_mut().for_each(|rises| rises.iter_mut().enumerate().for_each(noise));
        }
    }
    for size in [(80, 24), (200, 60)] {
        let mut model = fold(&events, TRUE, size);
        model.settle();
        press(&mut model, "2");
        model.layers.at = Some(flat);
        let listed = symbols(&draw(&model));
        assert!(listed.contains("not resolved: S < 2 se"), "{listed}");
        model.layers.detail = true;
        let alone = symbols(&draw(&model));
        assert!(alone.contains("not resolved (S under 2 errors) at any α"), "{alone}");
        model.layers.at = Some(other);
        let clear = symbols(&draw(&model));
        assert!(clear.contains("standard error over S") && !clear.contains("not resolved"));
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

const ALL: [&str; 17] = [
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
    "correlation-runs",
    "compare",
    "compare-runs",
    "layers-broken",
    "layers-doctor",
    "live-save",
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

/// What a toggle is stands beside its layer: requested, in force, failed.
#[test]
fn pending_active_and_failed_toggles_are_told_apart() {
    for size in &SIZES[1..] {
        let row = |name: &str| {
            let text = symbols(&draw(&situation(name, TRUE, *size)));
            let found = text.lines().find(|row| row.contains("block.3 ")).unwrap().to_string();
            (found, text)
        };
        let (asked, _) = row("layers-toggled");
        let (active, _) = row("layers-edited");
        let (failed, _) = row("layers-broken");
        for (row, sign) in
            [(&asked, "◌ delta 50 %"), (&active, "● delta 50 %"), (&failed, "✗ delta 50 %")]
        {
            assert!(row.contains(sign), "{sign} at {size:?}: {row}");
        }
    }
}

/// The panel says what it does, and what it found only when it is judged.
#[test]
fn the_doctors_panel_tells_budget_candidates_and_verdict() {
    let text = |name: &str| symbols(&draw(&situation(name, TRUE, (120, 40))));
    let (early, late) = (text("layers-doctor-tries"), text("layers-doctor"));
    assert!(early.contains("10 of 10 edits tried") && early.contains("measures the chosen edits"));
    assert!(!early.contains("it helps") && !early.contains("no help shown"));
    assert!(late.contains("done") && (late.contains("it helps") || late.contains("no help shown")));
    for group in ["doctor: ", "control: "] {
        assert!(early.contains(group) && late.contains(group), "{late}");
    }
}

/// Runs of the same images are paired; of others it is said that they are not.
#[test]
fn other_runs_say_whether_they_are_paired() {
    let text = symbols(&draw(&situation("compare-runs", TRUE, (200, 60))));
    let is = |row: &&str, name: &str| row.contains(name) && row.contains('[');
    let row = |name: &str| text.lines().find(|row| is(row, name)).unwrap();
    assert!(!row("a: dense").contains('~'), "{text}");
    assert!(row("b: dense").contains('~'), "{text}");
    assert!(text.contains("two means compared, not pairs"), "{text}");
}
