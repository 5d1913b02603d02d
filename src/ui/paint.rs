//! Small helpers over ratatui's buffer that never leave their area.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::theme::Theme;

/// Columns a text takes.
#[must_use]
pub fn width(text: &str) -> usize {
    UnicodeWidthStr::width(text)
}

/// Writes a line at row `row` of `area` (from its top), cut at the right edge.
/// Does nothing outside.
pub fn line(buffer: &mut Buffer, area: Rect, row: u16, line: &Line<'_>) {
    let area = area.intersection(buffer.area);
    if row < area.height {
        buffer.set_line(area.x, area.y + row, line, area.width);
    }
}

/// The same, ending at the right edge; nothing when it does not fit.
pub fn line_right(buffer: &mut Buffer, area: Rect, row: u16, text: &Line<'_>) {
    let wide = u16::try_from(text.width()).unwrap_or(u16::MAX);
    if wide <= area.width {
        let shifted = Rect { x: area.x + (area.width - wide), width: wide, ..area };
        line(buffer, shifted, row, text);
    }
}

/// Sets one cell; nothing outside of `area`.
pub fn cell(buffer: &mut Buffer, area: Rect, x: u16, y: u16, sign: &str, style: Style) {
    if area.contains((x, y).into())
        && let Some(cell) = buffer.cell_mut((x, y))
    {
        cell.set_symbol(sign).set_style(style);
    }
}

/// `text` in exactly `columns`, cut with the theme's sign or padded on the
/// right.
#[must_use]
pub fn left(theme: &Theme, text: &str, columns: usize) -> String {
    let cut = cut(theme, text, columns);
    let pad = columns.saturating_sub(width(&cut));
    cut + &" ".repeat(pad)
}

/// `text` in exactly `columns`, cut or padded on the left.
#[must_use]
pub fn right(theme: &Theme, text: &str, columns: usize) -> String {
    let cut = cut(theme, text, columns);
    " ".repeat(columns.saturating_sub(width(&cut))) + &cut
}

/// `text`, spelled in the charset, in at most `columns`.
#[must_use]
pub fn cut(theme: &Theme, text: &str, columns: usize) -> String {
    let text = theme.spell(text);
    if width(&text) <= columns {
        return text.into_owned();
    }
    let room = columns.saturating_sub(width(theme.glyphs.more));
    let mut kept = String::new();
    let mut used = 0;
    for c in text.chars() {
        used += UnicodeWidthChar::width(c).unwrap_or(0);
        if used > room {
            break;
        }
        kept.push(c);
    }
    if columns > 0 {
        kept.push_str(theme.glyphs.more);
    }
    kept
}

/// A span of spelled text.
#[must_use]
pub fn span<'a>(theme: &Theme, text: &'a str, style: Style) -> Span<'a> {
    Span::styled(theme.spell(text), style)
}

/// As many of the parts as fit in `columns`, apart from each other by the
/// theme's dot; parts come most important first and keep their order.
#[must_use]
pub fn parts(theme: &Theme, parts: Vec<Vec<Span<'static>>>, columns: usize) -> Line<'static> {
    let gap = format!(" {} ", theme.glyphs.dot);
    let mut spans: Vec<Span<'static>> = Vec::new();
    let mut used = 0;
    for part in parts {
        let wide: usize = part.iter().map(Span::width).sum();
        let apart = if spans.is_empty() { 0 } else { width(&gap) };
        if wide == 0 || used + apart + wide > columns {
            continue;
        }
        if apart > 0 {
            spans.push(Span::styled(gap.clone(), theme.faint()));
        }
        spans.extend(part);
        used += apart + wide;
    }
    Line::from(spans)
}

/// Splits `rows` off the top: `(top, rest)`.
#[must_use]
pub fn top(area: Rect, rows: u16) -> (Rect, Rect) {
    let rows = rows.min(area.height);
    (Rect { height: rows, ..area }, Rect { y: area.y + rows, height: area.height - rows, ..area })
}

/// Splits `rows` off the bottom: `(rest, bottom)`.
#[must_use]
pub fn bottom(area: Rect, rows: u16) -> (Rect, Rect) {
    let (rest, bottom) = top(area, area.height.saturating_sub(rows));
    (rest, bottom)
}

/// Splits `columns` off the right: `(rest, right)`.
#[must_use]
pub fn side(area: Rect, columns: u16) -> (Rect, Rect) {
    let columns = columns.min(area.width);
    let rest = area.width - columns;
    (Rect { width: rest, ..area }, Rect { x: area.x + rest, width: columns, ..area })
}

/// `columns` fewer on both sides.
#[must_use]
pub fn inset(area: Rect, columns: u16) -> Rect {
    let columns = columns.min(area.width / 2);
    Rect { x: area.x + columns, width: area.width - 2 * columns, ..area }
}
