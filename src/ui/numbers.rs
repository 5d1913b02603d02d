//! The smallest screens (under 60 × 16): numbers only.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Modifier;
use ratatui::text::{Line, Span};

use crate::app::Model;
use crate::app::format;
use crate::app::live::Target;

use super::curves::{self, identity};
use super::header;
use super::paint;
use super::theme::Theme;

/// Draws as much as fits, the most telling first.
pub fn draw(model: &Model, theme: &Theme, area: Rect, buffer: &mut Buffer) {
    let columns = usize::from(area.width);
    let mut rest = area;
    let mut put = |buffer: &mut Buffer, text: &Line<'_>| {
        let (row, below) = paint::top(rest, 1);
        paint::line(buffer, row, 0, text);
        rest = below;
    };
    let (done, total) = (model.board.done, model.board.total);
    let state = header::chip(model, theme);
    let share = Span::styled(format!("{} %", format::whole_percent(done, total)), theme.strong());
    let mut first = vec![vec![state], vec![share]];
    if let Some(rate) = model.progress.as_ref().filter(|_| model.running()).and_then(|it| it.rate) {
        first.push(vec![Span::styled(format!("{} img/s", format::rate(rate)), theme.dim())]);
        let latest = model.progress.as_ref();
        let owed = latest.map_or(0, |it| it.images_total.saturating_sub(it.images_done));
        if rate > 0.0 && owed > 0 && !model.resting() {
            let left = format::left(owed as f64 / rate);
            first.push(vec![Span::styled(format!("{left} left"), theme.dim())]);
        }
    }
    put(buffer, &paint::parts(theme, first, columns));
    put(buffer, &Line::from(header::ends(model, theme, columns)));
    if let Some(label) = header::label(model, theme, columns) {
        put(buffer, &label);
    }
    put(buffer, &header::verdict(model, theme, columns));
    list(model, theme, rest, buffer);
}

/// One row a curve: name, value at the cursor, best and gain.
fn list(model: &Model, theme: &Theme, area: Rect, buffer: &mut Buffer) {
    let columns = usize::from(area.width);
    let alpha = model.cursor().and_then(|i| model.board.alphas.get(i)).copied();
    let at = alpha.map_or_else(String::new, |alpha| format!("at α {}", model.board.alpha(alpha)));
    let value_width = if theme.spell("±").len() > 2 { 12 } else { 10 };
    let wide = columns >= 38;
    let name_width = columns.saturating_sub(4 + value_width + if wide { 13 } else { 0 }).min(24);
    let mut heading = vec![
        Span::raw(" ".repeat(4)),
        Span::styled(paint::left(theme, "top-1, %", name_width), theme.dim()),
        Span::styled(paint::right(theme, &at, value_width), theme.dim()),
    ];
    if wide {
        heading.push(Span::styled(paint::right(theme, "best", 6), theme.dim()));
        heading.push(Span::styled(paint::right(theme, "gain", 7), theme.dim()));
    }
    paint::line(buffer, area, 0, &Line::from(heading));
    let listed = curves::listed(model);
    let focus = listed.iter().position(|curve| Some(curve.target) == model.live.focus);
    let room = usize::from(area.height.saturating_sub(1));
    let shown = curves::window(listed.len(), room, focus);
    for (i, curve) in listed.get(shown).into_iter().flatten().enumerate() {
        let (ink, marker) = identity(theme, curve.target);
        let focused = model.live.focus == Some(curve.target);
        let bold = if focused || curve.target == Target::Mean {
            Modifier::BOLD
        } else {
            Modifier::empty()
        };
        let sign = if focused { theme.glyphs.focus } else { " " };
        let point = model.cursor().and_then(|i| curve.points.get(i));
        let value =
            point.map_or_else(String::new, |it| curves::value(theme, it, model.live.metric));
        let mut spans = vec![
            Span::styled(format!("{sign} {marker} "), theme.ink(ink).add_modifier(bold)),
            Span::styled(
                paint::left(theme, &curve.name, name_width),
                theme.text().add_modifier(bold),
            ),
            Span::styled(paint::right(theme, &value, value_width), theme.text().add_modifier(bold)),
        ];
        if wide {
            let best = curve.best.and_then(|i| curve.points.get(i)).and_then(|it| it.top1);
            let best = best.map_or_else(String::new, |it| format::percent(it.value));
            let gain = curve.gain.map_or_else(String::new, format::signed);
            spans.push(Span::styled(paint::right(theme, &best, 6), theme.dim()));
            spans
                .push(Span::styled(paint::right(theme, &gain, 7), theme.text().add_modifier(bold)));
        }
        let row = u16::try_from(i + 1).unwrap_or(u16::MAX);
        paint::line(buffer, area, row, &Line::from(spans));
    }
}
