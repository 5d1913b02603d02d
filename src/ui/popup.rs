//! Boxes over the screen: help and questions.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

pub use crate::app::format::wrap;
use crate::app::keymap::{self, Action, Context};
use crate::app::live::{Leave, Question};
use crate::app::update::answers;
use crate::app::{Key, Model, help};

use super::paint;
use super::theme::{Ink, Theme};

/// A key as the screen writes it: arrows as arrows where the charset has
/// them.
#[must_use]
pub fn key_sign(theme: &Theme, key: Key) -> String {
    let arrows = theme.spell("→").len() == "→".len();
    match key {
        Key::Left if arrows => "←".to_string(),
        Key::Right if arrows => "→".to_string(),
        Key::Up if arrows => "↑".to_string(),
        Key::Down if arrows => "↓".to_string(),
        key => key.to_string(),
    }
}

/// Clears a box in the middle of `area` and draws its border; answers the
/// inside.
pub(super) fn boxed(
    theme: &Theme,
    area: Rect,
    size: (u16, u16),
    title: &str,
    buffer: &mut Buffer,
) -> Rect {
    let (width, height) = (size.0.min(area.width), size.1.min(area.height));
    let outer = Rect {
        x: area.x + (area.width - width) / 2,
        y: area.y + (area.height - height) / 2,
        width,
        height,
    }
    .intersection(buffer.area);
    for position in outer.positions() {
        if let Some(cell) = buffer.cell_mut(position) {
            cell.reset();
        }
    }
    buffer.set_style(outer, theme.raised());
    if outer.width < 2 || outer.height < 2 {
        return outer;
    }
    let g = theme.glyphs;
    let (left, right) = (outer.left(), outer.right() - 1);
    let (top, bottom) = (outer.top(), outer.bottom() - 1);
    let style = theme.dim();
    for x in left..=right {
        paint::cell(buffer, outer, x, top, g.rule, style);
        paint::cell(buffer, outer, x, bottom, g.rule, style);
    }
    for y in top..=bottom {
        paint::cell(buffer, outer, left, y, g.side, style);
        paint::cell(buffer, outer, right, y, g.side, style);
    }
    for (i, (x, y)) in
        [(left, top), (right, top), (left, bottom), (right, bottom)].into_iter().enumerate()
    {
        paint::cell(buffer, outer, x, y, g.corners[i], style);
    }
    let heading = paint::inset(Rect { height: 1, ..outer }, 2);
    let title = paint::cut(theme, title, usize::from(heading.width).saturating_sub(2));
    paint::line(buffer, heading, 0, &Line::styled(format!(" {title} "), theme.strong()));
    paint::inset(Rect { y: outer.y + 1, height: outer.height - 2, ..outer }, 2)
}

/// The help page: the keymap's own words.
pub fn help(model: &Model, theme: &Theme, area: Rect, buffer: &mut Buffer) {
    let Some(scroll) = model.help else { return };
    let columns = help::columns(area.width);
    let lines = help_lines(model, theme, columns);
    let height = u16::try_from(lines.len() + 2).unwrap_or(u16::MAX);
    let title = "Keys: esc closes, up and down scroll";
    let inside = boxed(theme, area, (help::WIDTH, height), title, buffer);
    let most = lines.len().saturating_sub(usize::from(inside.height));
    for (i, line) in lines.iter().skip(scroll.min(most)).enumerate() {
        paint::line(buffer, inside, u16::try_from(i).unwrap_or(u16::MAX), line);
    }
}

fn help_lines(model: &Model, theme: &Theme, columns: usize) -> Vec<Line<'static>> {
    let beside = |left: String, text: String| {
        Line::from(vec![
            Span::styled(paint::left(theme, &left, help::KEYS), theme.key()),
            Span::raw(" "),
            Span::styled(text, theme.text()),
        ])
    };
    let line = |line| match line {
        help::Line::Blank => Line::default(),
        help::Line::Heading(text) => Line::styled(text, theme.strong()),
        help::Line::Keys(keys, text) => {
            let keys: Vec<String> = keys.iter().map(|key| key_sign(theme, *key)).collect();
            beside(keys.join("  "), text)
        }
        help::Line::Sign(sign, text) => beside(sign.to_string(), text),
    };
    help::page(model, columns).into_iter().map(line).collect()
}

/// An open question.
pub fn question(model: &Model, theme: &Theme, area: Rect, buffer: &mut Buffer) {
    let Some(question) = model.live.question else { return };
    let width = area.width.min(64);
    let columns = usize::from(width).saturating_sub(4);
    let (title, text, yes, answers) = match question {
        Question::Stop(leave) => {
            ("Stop the sweep?".to_string(), leave.line(), leave.name(), answers(model))
        }
        Question::Delete => {
            let run = model.library.highlighted().map_or("", |(_, run)| run.name.as_str());
            (
                format!("Delete {run}?"),
                "Its folder is deleted with all that was measured. Checkpoints and datasets are elsewhere and stay.",
                "delete",
                &[][..],
            )
        }
        Question::Skip(id) => {
            let name = model.board.curves.get(id.index()).map_or("", |it| it.name.as_str());
            (
                format!("Skip {name}?"),
                "No more of it is measured and the OOD mean goes on without it. What is measured stays; s takes it back.",
                "skip",
                &[][..],
            )
        }
    };
    // Every answer's words have the same room: the box does not move.
    let words = |leave: &Leave| wrap(leave.line(), columns).len();
    let most = answers.iter().map(words).max().unwrap_or(0);
    let mut lines: Vec<Line<'_>> = answers
        .iter()
        .map(|answer| {
            let here = question == Question::Stop(*answer);
            let sign = if here { theme.glyphs.focus } else { " " };
            let keys = keymap::rows(Context::Dialog);
            let row = keys.into_iter().find(|row| row.action == Action::Leave(*answer));
            let key = row.and_then(|row| row.keys.first()).map(|key| key_sign(theme, *key));
            let style = if here { theme.strong() } else { theme.text() };
            Line::from(vec![
                Span::styled(format!("{sign} "), theme.key()),
                Span::styled(format!("{} ", key.unwrap_or_default()), theme.key()),
                Span::styled(answer.name(), style),
            ])
        })
        .collect();
    let text = wrap(text, columns);
    let rest = most.saturating_sub(text.len());
    lines.extend(text.into_iter().map(|line| Line::styled(line, theme.text())));
    lines.extend(std::iter::repeat_n(Line::default(), rest));
    let height = u16::try_from(lines.len() + 5).unwrap_or(u16::MAX);
    let inside = boxed(theme, area, (width, height), &title, buffer);
    let air = u16::from(usize::from(inside.height) > lines.len() + 2);
    for (row, line) in (air..).zip(&lines) {
        paint::line(buffer, inside, row, line);
    }
    let last = inside.height.saturating_sub(1);
    let answers = Line::from(vec![
        Span::styled(" enter ", theme.chip(Ink::Accent)),
        Span::styled(format!(" {yes}    "), theme.text()),
        Span::styled("esc", theme.key()),
        Span::styled(" go back", theme.text()),
    ]);
    paint::line(buffer, inside, last, &answers);
}

/// The footer: a passing word, else as many hints as fit.
#[must_use]
pub fn footer(model: &Model, theme: &Theme, context: Context, columns: usize) -> Line<'static> {
    if let Some(word) = &model.live.word {
        let text = format!("{} {word}", theme.glyphs.warn);
        return Line::styled(paint::cut(theme, &text, columns), theme.ink(Ink::Warn));
    }
    // Where letters are typed they mean nothing else.
    let open = matches!(context, Context::Setup | Context::Library | Context::Global);
    let typing = !(context.in_run() || open);
    let mut rows: Vec<_> = keymap::rows(context)
        .chain(keymap::rows(Context::Run).filter(|_| context.in_run()))
        .chain(keymap::rows(Context::Global).filter(|_| !typing))
        .filter(|row| !row.short.is_empty())
        .collect();
    rows.sort_by_key(|row| row.rank);
    let hints = rows.into_iter().filter_map(|row| {
        let (key, word) = hint(model, theme, row)?;
        Some((format!("{key} "), word))
    });
    let mut spans = Vec::new();
    let mut used = 0;
    for (key, word) in hints {
        let wide = paint::width(&key) + paint::width(&word);
        let apart = if used > 0 { 3 } else { 0 };
        if used + apart + wide > columns {
            break;
        }
        spans.push(Span::raw(" ".repeat(apart)));
        spans.push(Span::styled(key, theme.key()));
        spans.push(Span::styled(word, theme.dim()));
        used += apart + wide;
    }
    Line::from(spans)
}

/// Key and word of a hint as the state has it; `None` where it does nothing.
fn hint(model: &Model, theme: &Theme, row: &keymap::Binding) -> Option<(String, String)> {
    use crate::app::keymap::{CompareAct, LayersAct};
    let key = row.keys.first().map(|key| key_sign(theme, *key))?;
    let commands = model.can_command();
    let asks = model.can_ask();
    let word = match row.action {
        Action::Pause | Action::Skip | Action::First if !commands => return None,
        Action::Layers(LayersAct::Cancel) if !commands => return None,
        Action::Layers(LayersAct::Ask | LayersAct::Toggle) | Action::Doctor if !asks => {
            return None;
        }
        Action::Layers(LayersAct::Cancel) if model.sheet.shown.is_none() => return None,
        Action::Layers(LayersAct::Cancel)
            if model.sheet.measured().is_some_and(|it| it.cancelled) =>
        {
            "go on"
        }
        Action::Layers(LayersAct::Cancel)
            if model.sheet.measured().is_some_and(|it| !it.open()) =>
        {
            return None;
        }
        Action::Layers(LayersAct::Earlier) if model.sheet.sharpness().len() < 2 => return None,
        Action::Layers(LayersAct::Map) if model.layers.map => "table",
        Action::Layers(LayersAct::Open) if model.layers.detail => "all layers",
        Action::Compare(CompareAct::Drop) if model.rival.guest.is_some() => "take away",
        Action::Compare(CompareAct::Drop) if model.run.is_dropped(model.rival.variant) && asks => {
            "go on"
        }
        Action::Compare(CompareAct::Drop) if !commands => return None,
        Action::Variant if model.run.variants().len() < 2 => return None,
        Action::Pause if model.run.paused => "resume",
        Action::Quit if model.from_library => "back",
        Action::Quit if model.mode == crate::app::Mode::Watch || !commands => "leave",
        Action::Alone if model.live.alone => "all",
        Action::Table if model.live.table => "chart",
        Action::Metric if model.live.metric == crate::app::live::Metric::Loss => "accuracy",
        _ => row.short,
    };
    let key = match row.action {
        Action::CursorLeft => both(theme, Key::Left, Key::Right),
        Action::Layers(LayersAct::Down) | Action::Compare(CompareAct::Down) => {
            both(theme, Key::Up, Key::Down)
        }
        _ => key,
    };
    let word = if word == "alpha" { theme.spell("α").into_owned() } else { word.to_string() };
    Some((key, word))
}

/// Two keys that belong together.
fn both(theme: &Theme, one: Key, other: Key) -> String {
    let (one, other) = (key_sign(theme, one), key_sign(theme, other));
    // Arrows stand side by side, words do not.
    if one.is_ascii() { format!("{one}/{other}") } else { format!("{one}{other}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_wrap() {
        assert_eq!(wrap("one two three", 7), vec!["one two", "three"]);
        assert_eq!(wrap("abcdefgh", 3), vec!["abc"]);
        assert_eq!(wrap("", 3), vec![""]);
    }
}
