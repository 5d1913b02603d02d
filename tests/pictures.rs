//! Not a check: writes screens as terminal bytes, to be looked at.
//! `SCREENS_OUT=dir cargo test --test pictures -- --ignored`

#![cfg(feature = "tui")]
#![allow(clippy::unwrap_used)] // helpers of tests, where a panic is the report
#![allow(dead_code)]

mod script;

use std::fmt::Write;

use alphascope::app::live::Target;
use alphascope::app::{Charset, Depth, Key, Look, Message, Model, Palette, update};
use alphascope::sweep::ids::DatasetId;
use alphascope::ui::{self, Theme};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::style::{Color, Modifier};
use script::{Script, fold};

fn ansi(model: &Model) -> String {
    let (w, h) = model.size;
    let theme = Theme::of(model.look);
    let mut terminal = Terminal::new(TestBackend::new(w, h)).unwrap();
    terminal.draw(|frame| ui::view(model, &theme, frame)).unwrap();
    let buffer = terminal.backend().buffer();
    let mut out = String::from("\x1b[?25l\x1b[2J");
    let color = |out: &mut String, color: Color, ground: bool| {
        let base = if ground { 48 } else { 38 };
        let named = |i: u8| if ground { i + 10 } else { i };
        match color {
            Color::Rgb(r, g, b) => write!(out, "\x1b[{base};2;{r};{g};{b}m"),
            Color::Indexed(i) => write!(out, "\x1b[{base};5;{i}m"),
            Color::Yellow => write!(out, "\x1b[{}m", named(33)),
            Color::Green => write!(out, "\x1b[{}m", named(32)),
            Color::Cyan => write!(out, "\x1b[{}m", named(36)),
            Color::Magenta => write!(out, "\x1b[{}m", named(35)),
            Color::Gray => write!(out, "\x1b[{}m", named(37)),
            Color::DarkGray => write!(out, "\x1b[{}m", named(90)),
            Color::LightCyan => write!(out, "\x1b[{}m", named(96)),
            Color::LightMagenta => write!(out, "\x1b[{}m", named(95)),
            Color::LightYellow => write!(out, "\x1b[{}m", named(93)),
            Color::LightRed => write!(out, "\x1b[{}m", named(91)),
            Color::LightBlue => write!(out, "\x1b[{}m", named(94)),
            _ => Ok(()),
        }
        .unwrap();
    };
    for y in 0..h {
        write!(out, "\x1b[{};1H", y + 1).unwrap();
        for x in 0..w {
            let cell = &buffer[(x, y)];
            out.push_str("\x1b[0m");
            color(&mut out, cell.fg, false);
            color(&mut out, cell.bg, true);
            for (modifier, code) in [
                (Modifier::BOLD, 1),
                (Modifier::DIM, 2),
                (Modifier::UNDERLINED, 4),
                (Modifier::REVERSED, 7),
            ] {
                if cell.modifier.contains(modifier) {
                    write!(out, "\x1b[{code}m").unwrap();
                }
            }
            out.push_str(cell.symbol());
        }
    }
    out
}

#[test]
#[ignore = "writes files to look at"]
fn write_pictures() {
    let Ok(dir) = std::env::var("SCREENS_OUT") else { return };
    std::fs::create_dir_all(&dir).unwrap();
    let good = Script::good();
    let look = Look { depth: Depth::True, ..Look::default() };
    let save = |name: &str, model: &Model| {
        std::fs::write(format!("{dir}/{name}.ans"), ansi(model)).unwrap();
    };
    let mid = |look: Look, size: (u16, u16), percent: usize| {
        let mut model = fold(&good.until(percent), look, size);
        update(&mut model, Message::Progress(good.progress()));
        model
    };
    for size in [(80, 24), (120, 40), (200, 60), (40, 12)] {
        let name = format!("{}x{}", size.0, size.1);
        save(&format!("mid-{name}"), &mid(look, size, 45));
        save(&format!("early-{name}"), &mid(look, size, 12));
        save(&format!("done-{name}"), &fold(&good.whole(), look, size));
    }
    let bad = Script::barrier();
    save("bad-120x40", &fold(&bad.whole(), look, (120, 40)));
    let light = Look { palette: Palette::Light, ..look };
    save("light-120x40", &mid(light, (120, 40), 60));
    save("indexed-120x40", &mid(Look { depth: Depth::Indexed, ..look }, (120, 40), 60));
    save("sixteen-120x40", &mid(Look { depth: Depth::Sixteen, ..look }, (120, 40), 60));
    let ascii = Look { depth: Depth::None, charset: Charset::Ascii, ..look };
    save("ascii-80x24", &mid(ascii, (80, 24), 60));
    let blocks = Look { charset: Charset::Blocks, ..look };
    save("blocks-120x40", &mid(blocks, (120, 40), 60));
    let mut model = mid(look, (120, 40), 60);
    model.live.focus = Some(Target::Dataset(DatasetId(3)));
    save("focus-120x40", &model);
    model.live.alone = true;
    model.live.cursor = Some(2);
    save("alone-120x40", &model);
    update(&mut model, Message::Key(Key::Char('v')));
    save("alone-table-120x40", &model);
    let mut model = mid(look, (120, 40), 60);
    update(&mut model, Message::Key(Key::Char('v')));
    save("table-120x40", &model);
    let mut model = mid(look, (120, 40), 60);
    update(&mut model, Message::Key(Key::Char('a')));
    update(
        &mut model,
        Message::Event(Box::new(alphascope::sweep::event::Event::CellFailed {
            cell: Script::cell(2, 4),
            round: alphascope::sweep::ids::RoundId(3),
            message: "evaluate openmoji at α 0.4: 3 of 128 logits are not finite; try fp32"
                .to_string(),
        })),
    );
    update(
        &mut model,
        Message::Event(Box::new(alphascope::sweep::event::Event::Skipped {
            dataset: DatasetId(4),
        })),
    );
    update(&mut model, Message::Event(Box::new(alphascope::sweep::event::Event::Paused)));
    model.settle();
    save("loss-120x40", &model);
    update(&mut model, Message::Key(Key::Char('a')));
    save("paused-120x40", &model);
    let mut model = fold(&good.whole(), look, (80, 24));
    save("verdict-80x24", &model);
    model.size = (120, 40);
    save("verdict-120x40", &model);
    let mut model = mid(look, (80, 24), 60);
    update(&mut model, Message::Key(Key::Char('?')));
    save("help-80x24", &model);
    let mut model = mid(look, (80, 24), 60);
    update(&mut model, Message::Key(Key::Char('q')));
    save("stop-80x24", &model);
}

/// Bytes a frame takes after one more measurement, at four sizes: median and
/// largest. `cargo test --test pictures -- --ignored --nocapture bytes`
#[test]
#[ignore = "prints a measurement"]
fn bytes_a_new_value_takes() {
    use ratatui::backend::{Backend, CrosstermBackend};
    for depth in [Depth::True, Depth::Indexed, Depth::Sixteen] {
        for size in [(80, 24), (120, 40), (200, 60)] {
            let script = Script::good();
            let look = Look { depth, ..Look::default() };
            let mut model = fold(&script.opening(), look, size);
            let theme = Theme::of(look);
            let mut before =
                ratatui::buffer::Buffer::empty(ratatui::layout::Rect::new(0, 0, size.0, size.1));
            let mut sizes = Vec::new();
            for event in script.measurements() {
                update(&mut model, Message::Event(Box::new(event)));
                model.settle();
                let mut terminal = Terminal::new(TestBackend::new(size.0, size.1)).unwrap();
                terminal.draw(|frame| ui::view(&model, &theme, frame)).unwrap();
                let after = terminal.backend().buffer().clone();
                let mut bytes = Vec::new();
                CrosstermBackend::new(&mut bytes).draw(before.diff(&after).into_iter()).unwrap();
                sizes.push(bytes.len());
                before = after;
            }
            let first = sizes.remove(0);
            sizes.sort_unstable();
            let n = sizes.len();
            println!(
                "{:>4} {:>3}x{:<2} whole {first:>6}  median {:>5}  90 % {:>5}  largest {:>6}",
                depth.name(),
                size.0,
                size.1,
                sizes[n / 2],
                sizes[n * 9 / 10],
                sizes[n - 1]
            );
        }
    }
}

/// Milliseconds of bringing the board up to date, as the run fills.
/// `cargo test --release --test pictures -- --ignored --nocapture settle`
#[test]
#[ignore = "prints a measurement"]
fn settle_takes() {
    let script = Script::good();
    for percent in [5, 20, 50, 100] {
        let mut took: Vec<f64> = (0..20)
            .map(|_| {
                let mut events = script.until(percent);
                let last = events.pop().unwrap();
                let mut model = fold(&events, Look::default(), (120, 40));
                update(&mut model, Message::Event(Box::new(last)));
                let start = std::time::Instant::now();
                model.settle();
                start.elapsed().as_secs_f64() * 1e3
            })
            .collect();
        took.sort_by(f64::total_cmp);
        println!("{percent:>3} %: median {:.1} ms, largest {:.1} ms", took[10], took[19]);
    }
}
