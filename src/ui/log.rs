//! The log pane: notices and log lines, newest last.

use std::collections::VecDeque;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use crate::app::Model;
use crate::app::format::wrap;
use crate::app::model::LogLine;
use crate::sweep::event::Level;

use super::paint;
use super::theme::{Ink, Theme};

/// Draws a heading and the last lines (or those scrolled to).
pub fn draw(model: &Model, theme: &Theme, area: Rect, buffer: &mut Buffer) {
    let (head, body) = paint::top(area, 1);
    heading(theme, head, "notices and log", buffer);
    if model.log.is_empty() {
        paint::line(buffer, body, 0, &Line::styled("  nothing to report", theme.dim()));
        return;
    }
    let room = usize::from(body.height);
    let skipped = if model.live.log { model.live.scroll } else { 0 };
    let columns = usize::from(body.width).saturating_sub(4);
    // From the newest line up, until the pane is full.
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
    let shown = lines.range(end.saturating_sub(room)..end);
    for (row, line) in (0u16..).zip(shown) {
        paint::line(buffer, body, row, line);
    }
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
