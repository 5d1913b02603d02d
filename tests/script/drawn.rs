//! Screens as text.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // helpers of tests

use std::fmt::Write;

use alphascope::app::{Charset, Depth, Look, Model, Palette};
use alphascope::ui::{self, Theme};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use ratatui::style::{Color, Modifier};

pub fn draw(model: &Model) -> Buffer {
    let theme = Theme::of(model.look);
    let mut terminal = Terminal::new(TestBackend::new(model.size.0, model.size.1)).unwrap();
    terminal.draw(|frame| ui::view(model, &theme, frame)).unwrap();
    terminal.backend().buffer().clone()
}

pub fn symbols(buffer: &Buffer) -> String {
    let area = buffer.area;
    let mut text = String::new();
    for y in 0..area.height {
        let row: String = (0..area.width).map(|x| buffer[(x, y)].symbol()).collect();
        text.push_str(row.trim_end());
        text.push('\n');
    }
    text
}

/// Runs of equal style, row by row: `x-x fg/bg modifiers`.
pub fn styles(buffer: &Buffer) -> String {
    let name = |color: Color| match color {
        Color::Reset => "-".to_string(),
        Color::Rgb(r, g, b) => format!("{r:02x}{g:02x}{b:02x}"),
        Color::Indexed(i) => format!("#{i}"),
        other => format!("{other}"),
    };
    let area = buffer.area;
    let mut text = String::new();
    for y in 0..area.height {
        let mut start = 0;
        write!(text, "{y:>2}:").unwrap();
        for x in 1..=area.width {
            let cell = &buffer[(start, y)];
            let same = x < area.width && {
                let next = &buffer[(x, y)];
                (next.fg, next.bg, next.modifier) == (cell.fg, cell.bg, cell.modifier)
            };
            if same {
                continue;
            }
            write!(text, " {start}-{} {}/{}", x - 1, name(cell.fg), name(cell.bg)).unwrap();
            for (modifier, sign) in [
                (Modifier::BOLD, 'b'),
                (Modifier::DIM, 'd'),
                (Modifier::UNDERLINED, 'u'),
                (Modifier::REVERSED, 'r'),
            ] {
                if cell.modifier.contains(modifier) {
                    text.push(sign);
                }
            }
            start = x;
        }
        text.push('\n');
    }
    text
}

pub const TRUE: Look =
    Look { palette: Palette::Dark, depth: Depth::True, charset: Charset::Braille };
pub const SIZES: [(u16, u16); 4] = [(40, 12), (80, 24), (120, 40), (200, 60)];
