//! The log pane: notices and log lines, newest last.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use crate::app::Model;
use crate::sweep::event::Level;

use super::paint;
use super::theme::{Ink, Theme};

/// Draws a heading and the last lines (or those scrolled to).
pub fn draw(model: &Model, theme: &Theme, area: Rect, buffer: &mut Buffer) {
    let (head, body) = paint::top(area, 1);
    heading(theme, head, "notices and log", buffer);
    let room = usize::from(body.height);
    let end = model.log.len().saturating_sub(if model.live.log { model.live.scroll } else { 0 });
    let end = end.max(room.min(model.log.len()));
    let start = end.saturating_sub(room);
    if model.log.is_empty() {
        paint::line(buffer, body, 0, &Line::styled("  nothing to report", theme.dim()));
    }
    for (i, line) in model.log.range(start..end).enumerate() {
        let (sign, ink) = match line.level {
            Level::Info => (theme.glyphs.dot, Ink::Dim),
            Level::Warning => (theme.glyphs.warn, Ink::Warn),
            Level::Error => (theme.glyphs.fail, Ink::Bad),
        };
        let text = paint::cut(theme, &line.text, usize::from(body.width).saturating_sub(4));
        let style = if line.level == Level::Info { theme.dim() } else { theme.text() };
        let spans =
            vec![Span::styled(format!("  {sign} "), theme.ink(ink)), Span::styled(text, style)];
        paint::line(buffer, body, u16::try_from(i).unwrap_or(u16::MAX), &Line::from(spans));
    }
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
