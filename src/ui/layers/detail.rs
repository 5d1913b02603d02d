//! One layer alone: its sharpness over α with errors, accuracy while it alone
//! moves, curvature, and what it is made of.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::Widget;

use crate::app::axis::{self, PERCENT, Range};
use crate::app::layers::Measure;
use crate::app::sheet::{Cell, Row};
use crate::app::{Model, format};
use crate::ui::chart::{Chart, Dot, Series};
use crate::ui::curves::identity;
use crate::ui::theme::{Ink, Theme};
use crate::ui::{log, paint};

pub(super) fn draw(model: &Model, theme: &Theme, row: &Row, area: Rect, buffer: &mut Buffer) {
    let facts = facts(model, theme, row, usize::from(area.width));
    let wanted = u16::try_from(facts.len()).unwrap_or(u16::MAX).saturating_add(1);
    let below = wanted.min(area.height / 3);
    let (charts, text) = paint::bottom(area, if area.height >= 10 { below } else { 0 });
    let moves = row.paths.iter().any(|path| path.top1.iter().any(Option::is_some));
    // One below the other where both stay readable.
    if moves && charts.height >= 18 {
        let (upper, lower) = paint::top(charts, charts.height / 2);
        sharpness(model, theme, row, upper, buffer);
        paths(model, theme, row, lower, buffer);
    } else if moves && charts.width >= 100 {
        let (left, right) = paint::side(charts, charts.width / 2);
        sharpness(model, theme, row, left, buffer);
        paths(model, theme, row, right, buffer);
    } else {
        sharpness(model, theme, row, charts, buffer);
    }
    for (i, line) in facts.iter().take(usize::from(text.height).saturating_sub(1)).enumerate() {
        paint::line(buffer, text, u16::try_from(i + 1).unwrap_or(u16::MAX), line);
    }
}

/// A power of ten by which small values are multiplied to be readable.
fn scale(most: f64) -> (f64, &'static str) {
    match most {
        v if v >= 0.1 || v <= 0.0 => (1.0, ""),
        v if v >= 1e-4 => (1e3, " × 1000"),
        _ => (1e6, " × 1e6"),
    }
}

fn sharpness(model: &Model, theme: &Theme, row: &Row, area: Rect, buffer: &mut Buffer) {
    let measure = model.layers.measure;
    let (head, body) = paint::top(area, 1);
    let known = |cell: &Cell| {
        let value = cell.value(measure)?;
        let half = cell.stderr(measure).unwrap_or(0.0);
        Some((value, value - half, value + half))
    };
    let most = row.points.iter().filter_map(known).map(|it| it.2.abs()).fold(0.0, f64::max);
    let (factor, times) = scale(most);
    let what = match measure {
        Measure::Rise => "sharpness S, nats",
        Measure::Relative => "S over the loss",
    };
    log::heading(theme, head, &format!("{}: {what}{times}, ± standard error", row.name), buffer);
    let dots: Vec<Dot> = row
        .points
        .iter()
        .zip(&model.board.alphas)
        .map(|(cell, alpha)| {
            let it = known(cell);
            Dot {
                alpha: *alpha,
                value: it.map(|it| factor * it.0),
                band: it.map(|it| (factor * it.1, factor * it.2)),
                failed: matches!(cell, Cell::Failed(_)),
            }
        })
        .collect();
    let ends = dots.iter().filter_map(|it| it.band).flat_map(|it| [it.0, it.1]);
    let least = (factor * most * 0.1).max(1e-9);
    let all = Range { lo: f64::MIN / 4.0, hi: f64::MAX / 4.0 };
    let Some(y) = axis::fit(ends, least, all) else {
        let text = match model.sheet.shown {
            None if model.can_ask() => "no sharpness is measured; a asks for it",
            None => "no sharpness is measured",
            Some(_) => "not measured yet",
        };
        let text = paint::cut(theme, text, usize::from(body.width).saturating_sub(2));
        paint::line(buffer, body, 1, &Line::styled(format!("  {text}"), theme.dim()));
        return;
    };
    let series = Series {
        ink: if row.by.is_empty() { Ink::Accent } else { Ink::Warn },
        marker: theme.glyphs.markers[0],
        name: measure.name().to_string(),
        heavy: true,
        muted: false,
        dots,
    };
    chart(model, theme, vec![series], y, if y.span() < 2.0 { 3 } else { 2 }).render(body, buffer);
}

fn chart<'a>(
    model: &'a Model,
    theme: &'a Theme,
    series: Vec<Series>,
    y: Range,
    decimals: usize,
) -> Chart<'a> {
    Chart {
        theme,
        series,
        alphas: &model.board.alphas,
        y,
        cursor: model.cursor().and_then(|i| model.board.alphas.get(i)).copied(),
        ends: (&model.board.zeroshot, &model.board.finetuned),
        decimals,
    }
}

/// Accuracy while the layer alone moves.
fn paths(model: &Model, theme: &Theme, row: &Row, area: Rect, buffer: &mut Buffer) {
    let (head, body) = paint::top(area, 1);
    log::heading(theme, head, "top-1, % while this layer alone moves", buffer);
    let series: Vec<Series> = row
        .paths
        .iter()
        .map(|path| {
            let target = crate::app::live::Target::Dataset(path.dataset);
            let (ink, marker) = identity(theme, target);
            let name = model.board.curves.get(path.dataset.index());
            let dots = path.top1.iter().zip(&model.board.alphas).map(|(it, alpha)| Dot {
                alpha: *alpha,
                value: it.map(|it| it.value),
                band: it.map(|it| (it.lo, it.hi)),
                failed: false,
            });
            Series {
                ink,
                marker,
                name: name.map_or_else(String::new, |it| it.name.clone()),
                heavy: true,
                muted: false,
                dots: dots.collect(),
            }
        })
        .collect();
    let bands = series.iter().flat_map(|it| &it.dots).filter_map(|it| it.band);
    let Some(y) = axis::fit(bands.flat_map(|it| [it.0, it.1]), 5.0, PERCENT) else { return };
    chart(model, theme, series, y, 1).render(body, buffer);
}

/// Points that are named; of more their number is told.
const NAMED: usize = 4;

/// How exact S is over α, and where it cannot be told from 0.
fn errors(model: &Model, theme: &Theme, row: &Row, columns: usize) -> Option<Line<'static>> {
    let rises = || row.points.iter().map(|point| point.known().map(|it| it.rise));
    let mut shares: Vec<f64> = rises().flatten().filter_map(|it| it.relative_error()).collect();
    shares.sort_by(f64::total_cmp);
    let (least, most) = (shares.first()?, shares.last()?);
    let own = |text: String, style| Span::styled(theme.spell(&text).into_owned(), style);
    let range = match (super::share(*least), super::share(*most)) {
        (least, most) if least == most => least,
        (least, most) => format!("{least} to {most}"),
    };
    let mut parts =
        vec![vec![own("standard error over S ".into(), theme.dim()), own(range, theme.text())]];
    let lost: Vec<String> = rises()
        .zip(&model.board.alphas)
        .filter(|(it, _)| it.and_then(|it| it.resolved()) == Some(false))
        .map(|(_, alpha)| model.board.alpha(*alpha))
        .collect();
    let places = match lost.len() {
        0 => None,
        n if n == shares.len() => Some("any α".to_string()),
        n if n > NAMED => Some(format!("{n} of {} α", shares.len())),
        _ => Some(format!("α {}", lost.join(", "))),
    };
    if let Some(places) = places {
        let text = format!("not resolved (S under 2 errors) at {places}");
        parts.push(vec![own(text, theme.ink(Ink::Warn))]);
    }
    Some(paint::parts(theme, parts, columns))
}

/// How many of the layer's weights are zero at the cursor, and in which variant where
/// there is room to say so.
fn zeros(model: &Model, theme: &Theme, row: &Row, columns: usize) -> Vec<Line<'static>> {
    let alpha = model.cursor().and_then(|i| model.board.alphas.get(i)).copied();
    let (Some(text), Some(alpha)) = (super::zeros(model, row), alpha) else { return Vec::new() };
    let alpha = model.board.alpha(alpha);
    let name = model.board.variant.as_deref().unwrap_or_default();
    let whole = format!("{name} at α {alpha}: {text}");
    let parts = if paint::width(&theme.spell(&whole)) <= columns {
        vec![whole]
    } else {
        // Weights that are 0 and those that stay zero-shot under each other.
        let short = format!("edited, at α {alpha}: ");
        let mut parts = text.split(", ");
        let first = parts.next().map(|it| short + it);
        first.into_iter().chain(parts.map(|it| format!("  {it}"))).collect()
    };
    let line = |text: String| Line::styled(paint::cut(theme, &text, columns), theme.text());
    parts.into_iter().map(line).collect()
}

fn facts(model: &Model, theme: &Theme, row: &Row, columns: usize) -> Vec<Line<'static>> {
    let own = |text: String, style| Span::styled(theme.spell(&text).into_owned(), style);
    let fact = |name: &str, text: String| {
        vec![own(format!("{name} "), theme.dim()), own(text, theme.text())]
    };
    let mut lines = Vec::new();
    let mut first = vec![fact("parameters", format::count(row.parameters))];
    if let Some(moved) = row.moved {
        first.push(fact("moved ‖θ₁−θ₀‖/‖θ₀‖", format::significant(moved)));
    }
    if !row.by.is_empty() {
        let text = format!("straggler {}", super::table::criteria(theme, &row.by));
        first.push(vec![own(text, theme.ink(Ink::Warn))]);
    }
    lines.push(paint::parts(theme, first, columns));
    lines.extend(zeros(model, theme, row, columns));
    lines.extend(errors(model, theme, row, columns));
    let curvature = row.curvature.iter().zip(&model.board.alphas);
    for (it, alpha) in curvature.filter_map(|(it, alpha)| Some((it.as_ref()?, alpha))) {
        let mean = |it: &crate::app::sheet::Estimate| match it.stderr {
            Some(se) => {
                format!("{} ± {}", format::significant(it.value), format::significant(se))
            }
            None => format::significant(it.value),
        };
        let text = format!("curvature at α {}:", model.board.alpha(*alpha));
        let parts = vec![
            vec![own(text, theme.dim())],
            fact("trace", mean(&it.trace)),
            fact("largest eigenvalue λ", mean(&it.eigenvalue)),
            fact("residual", format::significant(it.residual)),
        ];
        lines.push(paint::parts(theme, parts, columns));
    }
    let names = row.tensors.join("  ");
    for (i, part) in format::wrap(&names, columns.saturating_sub(8).max(8)).into_iter().enumerate()
    {
        let head = if i == 0 { "tensors " } else { "        " };
        if !part.is_empty() {
            lines.push(Line::from(vec![
                Span::styled(head, theme.dim()),
                Span::styled(paint::cut(theme, &part, columns.saturating_sub(8)), theme.text()),
            ]));
        }
    }
    lines
}
