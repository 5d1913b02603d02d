//! The set-up screen: a form of rows, and over it the file browser or the demo
//! menu.
//!
//! ```text
//! title
//! ── checkpoints ──   label  value            what it is
//! ── datasets ──
//! ── sweep ──
//! two lines about the highlighted row
//! what is missing, or a word
//! hints
//! ```

mod browser;
mod form;

use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};
use ratatui::text::{Line, Span};

use crate::app::Model;
use crate::app::format;
use crate::app::setup::{DataFacts, Demo, Field, FileFacts, Known, Overlay};
use crate::app::update::context;
use crate::plural::noun;

use crate::library::bytes as size;

use super::theme::{Ink, Theme};
use super::{paint, popup};

/// Draws the set-up screen; answers where the text cursor stands, if text is
/// being typed.
pub fn draw(model: &Model, theme: &Theme, area: Rect, buffer: &mut Buffer) -> Option<Position> {
    let state = &model.setup;
    let (rest, foot) = paint::bottom(area, u16::from(area.height >= 6));
    let hints =
        popup::footer(model, theme, context(model), usize::from(foot.width).saturating_sub(2));
    paint::line(buffer, paint::inset(foot, 1), 0, &hints);
    let area = paint::inset(rest, 1);
    let cursor = match &state.overlay {
        Overlay::Browser(it) => Some(browser::draw(state, it, theme, area, buffer)),
        _ => form::draw(model, theme, area, buffer),
    };
    if let Overlay::Demo(at) = state.overlay {
        demos(theme, at, rest, buffer);
    }
    cursor.filter(|_| model.help.is_none())
}

fn demos(theme: &Theme, at: usize, area: Rect, buffer: &mut Buffer) {
    let width = area.width.min(76);
    let room = usize::from(width).saturating_sub(6);
    let mut lines = vec![];
    for (i, demo) in Demo::ALL.into_iter().enumerate() {
        let (sign, style) =
            if i == at { (theme.glyphs.focus, theme.strong()) } else { (" ", theme.text()) };
        lines.push(Line::from(vec![
            Span::styled(format!("{sign} "), theme.key()),
            Span::styled(demo.name(), style),
        ]));
        for part in popup::wrap(demo.line(), room) {
            lines.push(Line::styled(format!("    {part}"), theme.dim()));
        }
    }
    let height = u16::try_from(lines.len() + 2).unwrap_or(u16::MAX);
    let inside = popup::boxed(theme, area, (width, height), "Demo sweeps", buffer);
    // Where not all fit, the highlighted one does.
    let skip = (at * 2).min(lines.len().saturating_sub(usize::from(inside.height)));
    for (row, line) in lines.iter().skip(skip).enumerate() {
        paint::line(buffer, inside, u16::try_from(row).unwrap_or(u16::MAX), line);
    }
}

/// What a checkpoint is, most important first; its size where nothing else
/// tells it.
fn file_facts(facts: &FileFacts, sized: bool, theme: &Theme) -> String {
    let dot = theme.glyphs.dot;
    let tensors = format::count(facts.tensors as u64);
    let mut text = format!("{} {dot} {}", facts.architecture, facts.dtype);
    if sized {
        text.push_str(&format!(" {dot} {}", size(facts.bytes)));
    }
    text.push_str(&format!(" {dot} {tensors} {}", noun(&facts.tensors, "tensor")));
    if !facts.detail.is_empty() {
        text.push_str(&format!(" {dot} {}", facts.detail));
    }
    text
}

fn data_facts(facts: &DataFacts, theme: &Theme) -> String {
    let dot = theme.glyphs.dot;
    let count = |n: usize| format::count(n as u64);
    let images = facts.badge.clone().unwrap_or_else(|| count(facts.images));
    let each = match facts.each {
        (fewest, most) if fewest == most => count(most),
        (fewest, most) => theme.spell(&format!("{}–{}", count(fewest), count(most))).into_owned(),
    };
    let mut text = format!(
        "{images} {} {dot} {} {} of {each} {dot} {}",
        if facts.badge.is_some() { "images".into() } else { noun(&facts.images, "image") },
        count(facts.classes),
        noun(&facts.classes, "class"),
        facts.layout
    );
    if let Some(name) = &facts.benchmark {
        text.push_str(&format!(" {dot} {name}"));
    }
    if let Some(problem) = facts.problems.first() {
        let more = facts.problems.len() - 1;
        text.push_str(&format!(" {dot} {} {problem}", theme.glyphs.warn));
        if more > 0 {
            text.push_str(&format!(" and {more} more"));
        }
    }
    text
}

/// Facts in whatever state they are, with a colour that is never alone.
fn known<T>(it: Option<&Known<T>>, theme: &Theme, ready: impl Fn(&T) -> String) -> (String, Ink) {
    match it {
        None => (String::new(), Ink::Dim),
        Some(Known::Reading(_)) => (format!("reading{}", theme.glyphs.more), Ink::Dim),
        Some(Known::Ready(facts)) => (ready(facts), Ink::Dim),
        Some(Known::Failed(why)) => (format!("{} {why}", theme.glyphs.fail), Ink::Bad),
    }
}

/// A message without the folders of a path that stands beside it anyway.
fn near(text: &str, path: &std::path::Path) -> String {
    let name = path.file_name().map(|name| name.to_string_lossy());
    name.map_or_else(|| text.into(), |name| text.replace(&*path.display().to_string(), &name))
}

/// The end of a text, in at most `columns`: of a path it says the most.
pub(super) fn cut_front(theme: &Theme, text: &str, columns: usize) -> String {
    let text = theme.spell(text);
    if paint::width(&text) <= columns {
        return text.into_owned();
    }
    // The ASCII sign for cut text would read as a home folder here.
    let more = if theme.glyphs.more == "~" { ".." } else { theme.glyphs.more };
    let room = columns.saturating_sub(paint::width(more));
    let mut start = text.len();
    let mut used = 0;
    for (at, c) in text.char_indices().rev() {
        used += unicode_width::UnicodeWidthChar::width(c).unwrap_or(0);
        if used > room {
            break;
        }
        start = at;
    }
    if columns == 0 { String::new() } else { format!("{more}{}", &text[start..]) }
}

/// A field being typed, scrolled so that the cursor is in it; answers where
/// that is.
pub(super) fn typed(field: &Field, theme: &Theme, area: Rect, buffer: &mut Buffer) -> Position {
    let width = usize::from(area.width).saturating_sub(1);
    let skip = field.scroll(width.max(1));
    let mut used = 0;
    let mut shown = String::new();
    for c in field.text().chars() {
        let wide = unicode_width::UnicodeWidthChar::width(c).unwrap_or(0);
        if used >= skip {
            shown.push(c);
        }
        used += wide;
    }
    buffer.set_style(area.intersection(buffer.area), theme.raised());
    let shown = theme.spell(&shown).into_owned();
    paint::line(buffer, area, 0, &Line::styled(shown, theme.strong()));
    let column = field.cursor().saturating_sub(skip).min(width);
    Position { x: area.x + u16::try_from(column).unwrap_or(0), y: area.y }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::Look;

    #[test]
    fn paths_keep_their_end() {
        let theme = Theme::of(Look::default());
        assert_eq!(cut_front(&theme, "/a/bc/def", 5), "…/def");
        assert_eq!(cut_front(&theme, "/a", 5), "/a");
        assert_eq!(cut_front(&theme, "/a", 0), "");
    }
}
