//! The box in which a point of the path is written as a checkpoint.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line as Text, Span};

use crate::app::format::wrap;
use crate::app::save::{Line, Save, Stage};
use crate::app::{Key, Model};

use super::paint;
use super::popup::{boxed, key_sign};
use super::theme::{Ink, Theme};

/// Columns of the lines' names.
const LABEL: usize = 9;

/// Draws it over the screen, where it is open.
pub fn draw(model: &Model, theme: &Theme, area: Rect, buffer: &mut Buffer) {
    let Some(save) = &model.save else { return };
    let width = area.width.min(76);
    let (text, ink) = below(save);
    let text = wrap(&theme.spell(&text), usize::from(width).saturating_sub(4).max(8));
    let height = u16::try_from(text.len() + 9).unwrap_or(u16::MAX);
    let inside = boxed(theme, area, (width, height), "Write a checkpoint", buffer);
    let columns = usize::from(inside.width);
    let what = if save.variant.is_dense() { "dense" } else { save.variant.name.as_str() };
    let what = format!("θ({}), {what}", save.alpha.short());
    let what = paint::cut(theme, &theme.spell(&what), columns);
    paint::line(buffer, inside, 0, &Text::styled(what, theme.strong()));
    let roomy = inside.height >= 8;
    let (_, body) = paint::top(inside, 1 + u16::from(roomy));
    let (body, foot) = paint::bottom(body, 1);
    let room = columns.saturating_sub(LABEL + 6);
    for (y, line) in (0u16..).zip(Line::ALL) {
        let here = line == save.at;
        let value = match line {
            Line::File => {
                let typed = save.file.text().chars().skip(save.file.scroll(room));
                let cursor = if here { theme.glyphs.cursor } else { "" };
                format!("{}{cursor}", typed.collect::<String>())
            }
            _ if here => {
                let arrows = [Key::Left, Key::Right].map(|key| key_sign(theme, key));
                format!("{} {} {}", arrows[0], save.text(line), arrows[1])
            }
            _ => save.text(line),
        };
        let spans = vec![
            Span::styled(format!("{} ", if here { theme.glyphs.focus } else { " " }), theme.key()),
            Span::styled(
                paint::left(theme, line.name(), LABEL),
                if here { theme.key() } else { theme.dim() },
            ),
            Span::styled(
                paint::cut(theme, &value, room + 2),
                if here { theme.strong() } else { theme.text() },
            ),
        ];
        paint::line(buffer, body, y, &Text::from(spans));
    }
    let (_, end) = paint::top(body, 3 + u16::from(roomy));
    for (y, line) in (0u16..).zip(text) {
        paint::line(buffer, end, y, &Text::styled(line, theme.ink(ink)));
    }
    let yes = if save.stage == Stage::Exists { " replace it" } else { " write" };
    let answers = vec![
        vec![Span::styled(" enter ", theme.chip(Ink::Accent)), Span::styled(yes, theme.text())],
        vec![Span::styled("esc", theme.key()), Span::styled(" go back", theme.text())],
    ];
    paint::line(buffer, foot, 0, &paint::parts(theme, answers, columns));
}

fn below(save: &Save) -> (String, Ink) {
    match &save.stage {
        Stage::Open => (
            "Relative to the folder the program was started in. What a sweep measures on a CPU, bit \
             for bit in f32."
                .to_string(),
            Ink::Dim,
        ),
        Stage::Writing => ("it is being written".to_string(), Ink::Text),
        Stage::Exists => {
            ("The file exists. Enter once more replaces it.".to_string(), Ink::Warn)
        }
        Stage::Failed(why) => (why.clone(), Ink::Bad),
    }
}
