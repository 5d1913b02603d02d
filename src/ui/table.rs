//! Every exact number: α down, datasets across; or, for one curve alone, α
//! down and all its numbers across.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Span};

use crate::app::Model;
use crate::app::board::{Curve, Point};
use crate::app::live::Metric;

use super::curves::{self, identity};
use super::paint;
use super::theme::Theme;

/// Rows the whole table wants.
#[must_use]
pub fn rows_wanted(model: &Model) -> u16 {
    u16::try_from(model.board.alphas.len() + 1).unwrap_or(u16::MAX)
}

/// Draws it. The cursor's row and the focused column are always in view.
pub fn draw(model: &Model, theme: &Theme, area: Rect, buffer: &mut Buffer) {
    if area.height == 0 || model.board.alphas.is_empty() {
        return;
    }
    let one = model.live.focus.filter(|_| model.live.alone).and_then(|it| model.board.curve(it));
    let room = usize::from(area.height.saturating_sub(1));
    let shown = curves::window(model.board.alphas.len(), room, model.cursor());
    let first = labels(model);
    let lines = match one {
        Some(curve) => single(theme, curve, shown.clone()),
        None => {
            let room = usize::from(area.width).saturating_sub(first + 2);
            matrix(model, theme, room, shown.clone())
        }
    };
    for (i, (mut head, rest)) in lines.into_iter().enumerate() {
        let row = u16::try_from(i).unwrap_or(u16::MAX);
        let at = (i > 0).then(|| shown.start + i - 1);
        let here = at.is_some() && at == model.cursor();
        let alpha = at.and_then(|at| model.board.alphas.get(at)).copied();
        let label = alpha.map_or_else(|| theme.spell("α").into_owned(), |it| model.board.alpha(it));
        let sign = if here { theme.glyphs.focus } else { " " };
        let style = match (here, i) {
            (true, _) => theme.key(),
            (_, 0) => theme.dim(),
            _ => theme.text(),
        };
        head.push(Span::styled(format!("{sign}{}", paint::right(theme, &label, first)), style));
        head.extend(rest);
        paint::line(buffer, area, row, &Line::from(head));
        if here && theme.tints() && row < area.height {
            buffer.set_style(Rect { y: area.y + row, height: 1, ..area }, theme.chosen());
        }
    }
}

/// Columns of α.
fn labels(model: &Model) -> usize {
    let all = model.board.alphas.iter().map(|it| paint::width(&model.board.alpha(*it)));
    all.max().unwrap_or(0).max(5)
}

type Cells = (Vec<Span<'static>>, Vec<Span<'static>>);

/// α × datasets, one metric.
fn matrix(model: &Model, theme: &Theme, room: usize, shown: std::ops::Range<usize>) -> Vec<Cells> {
    let metric = model.live.metric;
    let all: Vec<&Curve> = model.board.targets().collect();
    let wide = match metric {
        Metric::Accuracy => paint::width(&theme.spell("*100.0 ±10.0")),
        Metric::Loss => 8,
    };
    // All with their intervals, else all without, else those around the focus.
    let tight = metric == Metric::Accuracy && all.len() * (wide + 1) > room;
    let cell = if tight { 7 } else { wide };
    let cell = (room / all.len().max(1)).saturating_sub(1).clamp(cell, 16);
    let fits = (room / (cell + 1)).max(1);
    let focus = all.iter().position(|curve| model.live.focus == Some(curve.target));
    let columns = curves::window(all.len(), fits, focus);
    let columns: Vec<&Curve> = all.get(columns).unwrap_or_default().to_vec();
    let bold = |curve: &Curve, style: Style| {
        if model.live.focus == Some(curve.target) {
            style.add_modifier(Modifier::BOLD | Modifier::UNDERLINED)
        } else {
            style
        }
    };
    let heading = columns
        .iter()
        .flat_map(|curve| {
            let (ink, marker) = identity(theme, curve.target);
            let name = paint::cut(theme, &curve.name, cell.saturating_sub(2));
            let text = paint::right(theme, &format!("{marker} {name}"), cell);
            [Span::raw(" "), Span::styled(text, bold(curve, theme.ink(ink)))]
        })
        .collect();
    let mut lines: Vec<Cells> = vec![(Vec::new(), heading)];
    for i in shown {
        let cells = columns.iter().flat_map(|curve| {
            let point = curve.points.get(i);
            let best = curve.best == Some(i);
            let text = point.map_or_else(String::new, |point| exact(theme, point, metric, tight));
            let text = if best { format!("{}{text}", theme.glyphs.best) } else { text };
            let partial = point.is_some_and(|point| point.done < point.total);
            let style = if best {
                theme.strong()
            } else if partial {
                theme.dim()
            } else {
                theme.text()
            };
            [Span::raw(" "), Span::styled(paint::right(theme, &text, cell), style)]
        });
        lines.push((Vec::new(), cells.collect()));
    }
    lines
}

fn exact(theme: &Theme, point: &Point, metric: Metric, tight: bool) -> String {
    match (metric, tight, point.top1) {
        (Metric::Accuracy, true, Some(top1)) => format!("{:.1}", top1.value),
        _ => curves::value(theme, point, metric),
    }
}

/// All numbers of one curve.
fn single(theme: &Theme, curve: &Curve, shown: std::ops::Range<usize>) -> Vec<Cells> {
    let heads = ["top-1 %", "low", "high", "loss", "top-5 %", "images", "near ties"];
    let heading =
        heads.iter().map(|head| Span::styled(format!(" {head:>10}"), theme.dim())).collect();
    let mut lines: Vec<Cells> = vec![(Vec::new(), heading)];
    for i in shown {
        let Some(point) = curve.points.get(i) else { continue };
        let best = curve.best == Some(i);
        let absent = || theme.glyphs.absent.to_string();
        let number = |value: Option<f64>, digits: usize| {
            value.map_or_else(absent, |value| format!("{value:.digits$}"))
        };
        let texts = [
            match &point.failed {
                Some(_) if point.done == 0 => "failed".to_string(),
                _ => number(point.top1.map(|it| it.value), 2),
            },
            number(point.top1.map(|it| it.lo), 2),
            number(point.top1.map(|it| it.hi), 2),
            number(point.loss, 4),
            number(point.top5, 2),
            format!("{}/{}", point.done, point.total),
            point.near_ties.to_string(),
        ];
        let style = if best { theme.strong() } else { theme.text() };
        let spans = texts.iter().enumerate().map(|(column, text)| {
            let sign = if best && column == 0 { theme.glyphs.best } else { "" };
            Span::styled(paint::right(theme, &format!("{sign}{text}"), 11), style)
        });
        lines.push((Vec::new(), spans.collect()));
    }
    lines
}
