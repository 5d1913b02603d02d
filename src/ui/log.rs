//! The log, as a pane or over the screen: notices and log lines, newest last.

use std::collections::VecDeque;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use crate::app::format::wrap;
use crate::app::model::{LOG_SIGN, LogLine};
use crate::app::{Model, help};
use crate::sweep::event::Level;

use super::theme::{Ink, Theme};
use super::{paint, popup};

/// Draws a heading and the last lines (or those scrolled to).
pub fn draw(model: &Model, theme: &Theme, area: Rect, buffer: &mut Buffer) {
    let (head, body) = paint::top(area, 1);
    heading(theme, head, "notices and log", buffer);
    if model.log.is_empty() {
        paint::line(buffer, body, 0, &Line::styled("  nothing to report", theme.dim()));
        return;
    }
    let skipped = if model.live.log { model.live.scroll } else { 0 };
    let lines = lines(model, theme, usize::from(body.width), usize::from(body.height), skipped);
    for (row, line) in (0u16..).zip(&lines) {
        paint::line(buffer, body, row, line);
    }
}

/// Over the screen, where it is open there.
pub fn page(model: &Model, theme: &Theme, area: Rect, buffer: &mut Buffer) {
    let Some(skipped) = model.log_page else { return };
    let columns = help::columns(area.width);
    let room = usize::from(area.height).saturating_sub(2);
    let mut lines = lines(model, theme, columns, room, skipped);
    if lines.is_empty() {
        lines.push(Line::styled("  nothing to report", theme.dim()));
    }
    let height = u16::try_from(lines.len() + 2).unwrap_or(u16::MAX);
    let title = "Notices and log: esc closes, up and down scroll";
    let inside = popup::boxed(theme, area, (help::WIDTH, height), title, buffer);
    for (row, line) in (0u16..).zip(&lines) {
        paint::line(buffer, inside, row, line);
    }
}

/// As many lines as there is room for, so many of the newest left out, but never more than to
/// the first one.
fn lines(
    model: &Model,
    theme: &Theme,
    columns: usize,
    room: usize,
    skipped: usize,
) -> Vec<Line<'static>> {
    let columns = columns.saturating_sub(LOG_SIGN);
    // From the newest line up, until there is no more room.
    let mut lines: VecDeque<Line<'static>> = VecDeque::new();
    for entry in model.log.iter().rev() {
        if lines.len() >= room + skipped {
            break;
        }
        for line in wrapped(theme, entry, columns).into_iter().rev() {
            lines.push_front(line);
        }
    }
    let end = lines.len().saturating_sub(skipped).max(room.min(lines.len()));
    lines.drain(end.saturating_sub(room)..end).collect()
}

/// A log line in as many rows as it takes, its sign before the first.
fn wrapped(theme: &Theme, entry: &LogLine, columns: usize) -> Vec<Line<'static>> {
    let (sign, ink) = match entry.level {
        Level::Info => (theme.glyphs.dot, Ink::Dim),
        Level::Warning => (theme.glyphs.warn, Ink::Warn),
        Level::Error => (theme.glyphs.fail, Ink::Bad),
    };
    let style = if entry.level == Level::Info { theme.dim() } else { theme.text() };
    let rows = wrap(&theme.spell(&entry.text), columns.max(1));
    let sign = |first: bool| if first { sign } else { " " };
    rows.into_iter()
        .enumerate()
        .map(|(i, text)| {
            Line::from(vec![
                Span::styled(format!("  {} ", sign(i == 0)), theme.ink(ink)),
                Span::styled(text, style),
            ])
        })
        .collect()
}

/// A thin rule with a title in it: what sets parts of the screen apart.
pub fn heading(theme: &Theme, area: Rect, title: &str, buffer: &mut Buffer) {
    let rule = theme.glyphs.rule;
    let title = theme.spell(title);
    let used = paint::width(&title) + 4;
    let rest = usize::from(area.width).saturating_sub(used);
    let spans = vec![
        Span::styled(rule.repeat(2), theme.faint()),
        Span::styled(format!(" {title} "), theme.dim()),
        Span::styled(rule.repeat(rest), theme.faint()),
    ];
    paint::line(buffer, area, 0, &Line::from(spans));
}
