//! What goes over the line: every frame is one synchronized write of what
//! changed, an unchanged one is nothing at all, and a terminal that obeys the
//! bytes shows exactly what was drawn.
#![cfg(feature = "tui")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // helpers of tests

mod script;

use std::cell::RefCell;
use std::io::{self, Write};
use std::rc::Rc;

use alphascope::app::{Charset, Depth, Key, Look, Message, Model, Palette, update};
use alphascope::terminal::{self, Screen};
use alphascope::ui::{Theme, view};
use ratatui::buffer::Buffer;
use ratatui::layout::Size;
use ratatui::style::{Color, Modifier};
use script::{Script, fold};

const BEGIN: &str = "\x1b[?2026h";
const END: &str = "\x1b[?2026l";

/// Remembers each write on its own.
#[derive(Clone, Default)]
struct Line(Rc<RefCell<Vec<Vec<u8>>>>);

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().push(bytes.to_vec());
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A screen, the line, and a terminal at its other end.
struct Rig {
    screen: Screen<Line>,
    line: Line,
    terminal: vt100::Parser,
    shown: Buffer,
}

impl Rig {
    fn new(width: u16, height: u16) -> Self {
        let line = Line::default();
        let size = Size { width, height };
        let screen = Screen::new(line.clone(), size).unwrap();
        Self {
            screen,
            line,
            terminal: vt100::Parser::new(nz(height), nz(width), 0),
            shown: Buffer::empty(ratatui::layout::Rect::new(0, 0, width, height)),
        }
    }

    /// Draws; gives the writes that took.
    fn draw(&mut self, model: &mut Model) -> Vec<String> {
        let size = self.screen.size();
        update(model, Message::Resize(size.width, size.height));
        model.settle();
        let theme = Theme::of(model.look);
        let shown = &mut self.shown;
        let counted = self
            .screen
            .draw(|frame| {
                view(model, &theme, frame);
                *shown = frame.buffer_mut().clone();
            })
            .unwrap();
        let writes: Vec<Vec<u8>> = std::mem::take(&mut *self.line.0.borrow_mut());
        assert_eq!(counted, writes.iter().map(|w| w.len() as u64).sum::<u64>());
        for write in &writes {
            self.terminal.process(write);
        }
        writes.into_iter().map(|write| String::from_utf8(write).unwrap()).collect()
    }

    fn resize(&mut self, width: u16, height: u16) {
        self.screen.resize(Size { width, height });
        self.terminal.screen_mut().set_size(nz(height), nz(width));
    }

    /// The terminal shows what was drawn: symbols, and the modifiers and
    /// colours of each.
    fn check(&self, what: &str) {
        let area = self.shown.area;
        for y in 0..area.height {
            for x in 0..area.width {
                let want = &self.shown[(x, y)];
                let got = self.terminal.screen().cell(y, x).unwrap();
                let symbol = if got.has_contents() { got.contents() } else { " " };
                if got.is_wide_continuation() {
                    continue;
                }
                assert_eq!(symbol, want.symbol(), "{what}: symbol at {x},{y}");
                let has = |modifier| want.modifier.contains(modifier);
                if let Color::Rgb(r, g, b) = want.bg {
                    assert_eq!(got.bgcolor(), vt100::Color::Rgb(r, g, b), "{what}: {x},{y}");
                }
                assert_eq!(got.inverse(), has(Modifier::REVERSED), "{what}: reverse at {x},{y}");
                // Of a blank only the ground is seen.
                if want.symbol() == " " {
                    continue;
                }
                // This terminal keeps one of the two only.
                if !has(Modifier::DIM) {
                    assert_eq!(got.bold(), has(Modifier::BOLD), "{what}: bold at {x},{y}");
                }
                if let Color::Rgb(r, g, b) = want.fg {
                    assert_eq!(got.fgcolor(), vt100::Color::Rgb(r, g, b), "{what}: {x},{y}");
                }
            }
        }
    }
}

fn nz(n: u16) -> std::num::NonZeroU16 {
    std::num::NonZeroU16::new(n).unwrap()
}

fn look(depth: Depth) -> Look {
    Look { palette: Palette::Dark, depth, charset: Charset::Braille }
}

/// A sweep, measured to so many percent.
fn live(look: Look, percent: usize) -> Model {
    fold(&Script::good().until(percent), look, (80, 24))
}

fn press(model: &mut Model, key: char) {
    update(model, Message::Key(Key::Char(key)));
}

#[test]
fn a_frame_is_one_synchronized_write_and_the_terminal_shows_it() {
    for (width, height) in [(40, 12), (80, 24), (120, 40), (200, 60)] {
        for depth in [Depth::None, Depth::Sixteen, Depth::Indexed, Depth::True] {
            let mut rig = Rig::new(width, height);
            let mut model = live(look(depth), 50);
            let writes = rig.draw(&mut model);
            assert_eq!(writes.len(), 1, "{width}x{height}");
            let frame = &writes[0];
            assert!(frame.starts_with(BEGIN) && frame.ends_with(END));
            assert_eq!(frame.matches(BEGIN).count() + frame.matches(END).count(), 2);
            rig.check("first frame");
            println!("{width}x{height} {depth:?}: first frame {} bytes", frame.len());
            assert!(frame.len() < 64 * 1024, "{} bytes", frame.len());
        }
    }
}

#[test]
fn an_unchanged_frame_writes_nothing() {
    let mut rig = Rig::new(200, 60);
    let mut model = live(look(Depth::True), 100);
    rig.draw(&mut model);
    for _ in 0..3 {
        assert_eq!(rig.draw(&mut model), Vec::<String>::new());
    }
}

#[test]
fn a_new_value_costs_about_a_kilobyte() {
    let script = Script::good();
    let mut rig = Rig::new(80, 24);
    let mut model = fold(&script.opening(), look(Depth::Indexed), (80, 24));
    rig.draw(&mut model);
    let (mut bytes, mut frames, mut most) = (0, 0, 0);
    for event in script.measurements() {
        update(&mut model, Message::Event(Box::new(event)));
        let cost: usize = rig.draw(&mut model).iter().map(String::len).sum();
        bytes += cost;
        most = most.max(cost);
        frames += 1;
    }
    rig.check("after all events");
    println!("80x24: {frames} frames, {} bytes each on average, at most {most}", bytes / frames);
    assert!(bytes / frames < 1500, "{} bytes a frame", bytes / frames);
}

#[test]
fn no_colour_means_no_colour_sequence_but_bold_stays() {
    let mut rig = Rig::new(80, 24);
    let mut model = live(look(Depth::None), 50);
    let frame = rig.draw(&mut model).concat();
    // The end of a frame resets both colours; nothing else may name one.
    let rest = frame.replace("\x1b[39m", "").replace("\x1b[49m", "");
    for sequence in rest.split("\x1b[").skip(1) {
        let Some((numbers, _)) = sequence.split_once('m') else { continue };
        for number in numbers.split(';').filter_map(|number| number.parse::<u8>().ok()) {
            // 59 takes an underline's colour back.
            assert!(number < 30 || number == 59, "a colour, {number}, in a frame without colours");
        }
    }
    assert!(frame.contains("\x1b[1m"));
}

#[test]
fn forgetting_draws_all_of_it_again() {
    let mut rig = Rig::new(80, 24);
    let mut model = live(look(Depth::Indexed), 50);
    rig.draw(&mut model);
    rig.terminal.process(b"\x1b[5;5Hgarbage\x1b[?25h");
    rig.screen.forget().unwrap();
    let writes = rig.draw(&mut model);
    assert_eq!(writes.len(), 1);
    rig.check("after ctrl-l");
    assert!(rig.terminal.screen().hide_cursor());
}

#[test]
fn a_storm_of_sizes_leaves_nothing_behind() {
    let mut rig = Rig::new(80, 24);
    let mut model = live(look(Depth::True), 70);
    let sizes = [(40, 12), (200, 60), (41, 13), (120, 40), (1, 1), (60, 16), (200, 12), (40, 60)];
    for (width, height) in sizes {
        rig.resize(width, height);
        let writes = rig.draw(&mut model);
        assert!(writes.len() <= 1);
        rig.check(&format!("at {width}x{height}"));
    }
}

#[test]
fn the_text_cursor_shows_only_where_text_is_typed() {
    use alphascope::app::{Mode, Screen as Which};
    let mut rig = Rig::new(80, 24);
    let mut model = Model::new(Which::Setup, Mode::Own, look(Depth::Indexed));
    rig.draw(&mut model);
    assert!(!rig.terminal.screen().hide_cursor(), "hidden by entering, not by a frame");
    press(&mut model, 'k'); // start
    press(&mut model, 'k'); // output
    press(&mut model, 'e');
    press(&mut model, 'x');
    rig.draw(&mut model);
    let (row, column) = rig.terminal.screen().cursor_position();
    let before = rig.terminal.screen().cell(row, column - 1).unwrap().contents().to_string();
    assert_eq!(before, "x");
    // Nothing typed, nothing written: not even the cursor.
    assert_eq!(rig.draw(&mut model), Vec::<String>::new());
    update(&mut model, Message::Key(Key::Esc));
    let frame = rig.draw(&mut model).concat();
    assert!(frame.contains("\x1b[?25l"));
}

#[test]
fn leaving_undoes_entering() {
    let mut terminal = vt100::Parser::new(nz(24), nz(80), 0);
    terminal.process(b"shell $ ");
    terminal.process(terminal::enter_bytes().as_bytes());
    assert!(terminal.screen().alternate_screen() && terminal.screen().hide_cursor());
    assert!(terminal.screen().bracketed_paste());
    // In the middle of a frame, with colours on and the mouse captured.
    terminal
        .process(b"\x1b[?2026h\x1b[1;31mhalf a fra\x1b[?1000h\x1b[?1002h\x1b[?1003h\x1b[?1006h");
    let leave = terminal::leave_bytes(true);
    // Nothing is left on it that a terminal which has grown meanwhile could show again.
    let (before, after) = leave.split_at(leave.find("\x1b[?1049l").unwrap());
    terminal.process(before.as_bytes());
    assert!(terminal.screen().alternate_screen());
    assert_eq!(terminal.screen().contents().trim(), "");
    terminal.process(after.as_bytes());
    let screen = terminal.screen();
    assert!(!screen.alternate_screen() && !screen.hide_cursor() && !screen.bracketed_paste());
    assert_eq!(screen.mouse_protocol_mode(), vt100::MouseProtocolMode::None);
    assert_eq!(screen.contents().trim_end(), "shell $");
    assert_eq!(screen.fgcolor(), vt100::Color::Default);
    assert!(!screen.bold());
    assert!(terminal::leave_bytes(false).contains(END));
}
