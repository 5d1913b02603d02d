//! Overall sharpness among the curves.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Span};

use crate::app::layers::Measure;
use crate::app::sheet::Row;
use crate::app::{Model, format};
use crate::ui::paint;
use crate::ui::theme::{Ink, Theme};

use super::spark;

/// Overall sharpness, to be seen beside accuracy.
pub(super) fn cells(model: &Model, theme: &Theme, row: &Row) -> Vec<(String, Style)> {
    let at = model.cursor().and_then(|i| row.points.get(i));
    let values = row.values(Measure::Rise);
    let known = || values.iter().flatten().copied().filter(|v| v.is_finite());
    let (lo, hi) = (known().fold(f64::MAX, f64::min), known().fold(f64::MIN, f64::max));
    let spelled = |text: String| theme.spell(&text).into_owned();
    let short = |value: f64| format!("{value:.2}").trim_start_matches('0').to_string();
    let range = if lo <= hi { format!("{}–{}", short(lo), short(hi)) } else { String::new() };
    let here = at.and_then(|it| it.known()).map(|it| match it.rise.stderr {
        Some(se) => format!("{} ±{}", short(it.rise.value), short(se)),
        None => short(it.rise.value),
    });
    let state = model.sheet.measured().map_or((String::new(), Ink::Dim), |it| {
        if it.cancelled {
            ("cancelled".to_string(), Ink::Warn)
        } else if it.done >= it.owed {
            (format!("{} all", theme.glyphs.ok), Ink::Dim)
        } else {
            let share = format::whole_percent(it.done as u64, it.owed as u64);
            (format!("{share} %"), Ink::Text)
        }
    });
    let loss =
        at.and_then(|it| it.known()).map_or_else(String::new, |it| format!("{:.3}", it.loss));
    let none = || (String::new(), theme.dim());
    vec![
        ("  S".to_string(), theme.ink(Ink::Accent)),
        ("sharpness".to_string(), theme.text()),
        none(),
        (spark(theme, &values, 21), theme.ink(Ink::Accent)),
        (spelled(range), theme.dim()),
        (here.map_or_else(|| theme.glyphs.absent.to_string(), spelled), theme.text()),
        none(),
        none(),
        (loss, theme.dim()),
        none(),
        none(),
        (state.0, theme.ink(state.1)),
        none(),
    ]
}

/// Overall sharpness in one line, after the cards.
pub(super) fn card(model: &Model, theme: &Theme, row: &Row, area: Rect, buffer: &mut Buffer) {
    let cells = cells(model, theme, row);
    let pick = |i: usize| cells.get(i).cloned().unwrap_or_default();
    let [(sign, ink), (name, text), (spark, _), (range, dim), (here, bold), (state, state_ink)] =
        [0, 1, 3, 4, 5, 11].map(pick);
    let head = vec![
        Span::styled(format!("{sign} "), ink),
        Span::styled(paint::left(theme, &name, 11), text),
        Span::styled(format!("{spark} "), ink),
        Span::styled(format!("{range}  "), dim),
        Span::styled(here, bold.add_modifier(Modifier::BOLD)),
        Span::styled("  nats  ", dim),
        Span::styled(state, state_ink),
    ];
    paint::line(buffer, area, 0, &Line::from(head));
}
