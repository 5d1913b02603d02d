//! The box in which a measurement is asked for while the sweep runs.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use crate::app::ask::Ask;
use crate::app::format::wrap;
use crate::app::{Key, Model};

use super::paint;
use super::popup::{boxed, key_sign};
use super::theme::{Ink, Theme};

/// Columns of the lines' names.
const LABEL: usize = 12;

/// Draws it over the screen, where it is open.
pub fn draw(model: &Model, theme: &Theme, area: Rect, buffer: &mut Buffer) {
    let Some(ask) = &model.ask else { return };
    let lines = u16::try_from(ask.lines().len()).unwrap_or(u16::MAX);
    let size = (area.width.min(58), lines.saturating_add(8));
    let inside = boxed(theme, area, size, "Measure too", buffer);
    let columns = usize::from(inside.width);
    let roomy = inside.height >= lines + 5;
    let (_, body) = paint::top(inside, u16::from(roomy));
    for (y, line) in (0u16..).zip(ask.lines()) {
        let (name, value) = ask.text(*line);
        let here = *line == ask.line();
        let arrows = |key| if here { key_sign(theme, key) } else { String::new() };
        let (left, right) = match theme.spell("→").len() == "→".len() {
            true => (arrows(Key::Left), arrows(Key::Right)),
            false if here => ("<".to_string(), ">".to_string()),
            false => (String::new(), String::new()),
        };
        let spans = vec![
            Span::styled(format!("{} ", if here { theme.glyphs.focus } else { " " }), theme.key()),
            Span::styled(
                paint::left(theme, name, LABEL),
                if here { theme.key() } else { theme.dim() },
            ),
            Span::styled(paint::left(theme, &left, 2), theme.key()),
            Span::styled(
                paint::cut(theme, &value, columns.saturating_sub(LABEL + 8)),
                if here { theme.strong() } else { theme.text() },
            ),
            Span::styled(format!(" {right}"), theme.key()),
        ];
        paint::line(buffer, body, y, &Line::from(spans));
    }
    let (_, below) = paint::top(body, lines.saturating_add(u16::from(roomy)));
    let (below, foot) = paint::bottom(below, 1);
    for (y, text) in (0u16..).zip(wrap(&hint(theme, ask), columns.max(8))) {
        paint::line(buffer, below, y, &Line::styled(text, theme.dim()));
    }
    let answers = vec![
        vec![
            Span::styled(" enter ", theme.chip(Ink::Accent)),
            Span::styled(" measure", theme.text()),
        ],
        vec![Span::styled("d", theme.key()), Span::styled(" defaults", theme.text())],
        vec![Span::styled("esc", theme.key()), Span::styled(" go back", theme.text())],
    ];
    paint::line(buffer, foot, 0, &paint::parts(theme, answers, columns));
}

fn hint(theme: &Theme, ask: &Ask) -> String {
    theme.spell(ask.hint()).into_owned()
}
