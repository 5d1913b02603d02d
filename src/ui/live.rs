//! The live screen, in four tiers:
//!
//! ```text
//! under 60×16        60×16 and more      140×40 and more
//! numbers only       title               title
//!                    progress            progress
//!                    verdict             verdict
//!                    chart or table      chart            │ cards
//!                    rows                ── table ──      │
//!                    (log)               ── log ──        │
//!                    hints               hints
//! ```

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use crate::app::Model;
use crate::app::axis::{self, NATS, PERCENT, Range};
use crate::app::board::{Board, Curve};
use crate::app::live::{Metric, Target, Zoom};
use crate::app::message::Pick;
use crate::app::update::context;

use super::chart::{Chart, Dot, Series};
use super::frame::Frame;
use super::theme::{Ink, Theme};
use super::{curves, header, log, numbers, paint, popup, table};

/// Where the parts stand. A part with no rows is not drawn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Layout {
    /// Everything as numbers; all else is empty then.
    pub numbers: Rect,
    /// Title, progress, label, verdict.
    pub head: Rect,
    /// Heading of the chart, with the exact numbers at the cursor.
    pub reading: Rect,
    /// The chart, or the table in its place.
    pub main: Rect,
    /// The list of curves as rows.
    pub rows: Rect,
    /// The list of curves as cards.
    pub cards: Rect,
    /// The table beside the chart.
    pub table: Rect,
    /// Notices and log.
    pub log: Rect,
    /// Hints.
    pub foot: Rect,
}

/// Places the parts for the screen's size and what is open.
#[must_use]
pub fn layout(model: &Model, area: Rect) -> Layout {
    let Frame { small, area, above_foot, head, body: rest, foot, .. } = Frame::of(model, area);
    let mut it = Layout { foot, ..Layout::default() };
    if small {
        it.numbers = above_foot;
        return it;
    }
    let big = area.width >= 138 && area.height >= 40;
    it.head = head;
    let (rest, _) = paint::bottom(rest, u16::from(area.height >= 36));
    if big {
        place_big(model, rest, &mut it);
    } else {
        place_small(model, rest, &mut it);
    }
    it
}

fn place_big(model: &Model, area: Rect, it: &mut Layout) {
    let (left, right) = paint::side(area, (area.width / 3).clamp(58, 72));
    let (left, _) = paint::side(left, 3);
    // The log lies under the cards where they leave room, else under the chart.
    let cards = 4 * (curves::rows_wanted(model) - 1);
    let open = if model.live.log { 12 } else { 5 };
    let left = if right.height >= cards + 5 && !(model.live.log && right.height < cards + 12) {
        let (cards, log) = paint::top(right, cards + 1);
        (it.cards, it.log) = (cards, log);
        left
    } else {
        it.cards = right;
        let (left, log) = paint::bottom(left, open);
        it.log = log;
        let (left, _) = paint::bottom(left, 1);
        left
    };
    let main = if model.live.table {
        left
    } else {
        let wanted = table::rows_wanted(model).min(left.height / 2) + 1;
        let (main, table) = paint::bottom(left, wanted);
        it.table = table;
        let (main, _) = paint::bottom(main, 1);
        main
    };
    (it.reading, it.main) = paint::top(main, 1);
}

fn place_small(model: &Model, area: Rect, it: &mut Layout) {
    let roomy = area.height >= 26;
    let mut rest = area;
    if model.live.log || area.height >= 32 {
        let rows = if model.live.log { area.height / 4 } else { 4 };
        let (above, log) = paint::bottom(rest, rows.max(3));
        it.log = log;
        rest = above;
        if roomy {
            (rest, _) = paint::bottom(rest, 1);
        }
    }
    let chart = if roomy { 14 } else { 9 };
    // The table names every curve too: all its rows come before the list's last ones.
    let whole = table::rows_wanted(model) + 1 + u16::from(roomy);
    let main = if model.live.table && whole + 3 <= rest.height { whole.max(chart) } else { chart };
    let wanted = curves::rows_wanted(model).min(rest.height.saturating_sub(main)).max(3);
    let (above, rows) = paint::bottom(rest, wanted);
    it.rows = rows;
    let (above, _) = paint::bottom(above, u16::from(roomy));
    let (reading, main) = paint::top(above, 1);
    (it.reading, it.main) = (reading, main);
    // Both where both fit.
    let wanted = table::rows_wanted(model) + 1;
    if model.live.table && main.height >= wanted + 13 {
        (it.main, it.table) = paint::bottom(main, wanted);
        (it.main, _) = paint::bottom(it.main, 1);
    }
}

/// Draws the live screen.
pub fn draw(model: &Model, theme: &Theme, area: Rect, buffer: &mut Buffer) {
    let place = layout(model, area);
    if place.numbers.height > 0 {
        numbers::draw(model, theme, place.numbers, buffer);
    }
    header::draw(model, theme, place.head, buffer);
    if place.main.height > 0 {
        reading(model, theme, place.reading, buffer);
        if model.board.alphas.is_empty() {
            waiting(model, theme, place.main, buffer);
        } else if model.live.table && place.table.height == 0 {
            table::draw(model, theme, place.main, buffer);
        } else {
            draw_chart(model, theme, place.main, buffer);
        }
    }
    if place.rows.height > 0 {
        curves::rows(model, theme, place.rows, buffer);
    }
    if place.cards.height > 0 {
        curves::cards(model, theme, place.cards, buffer);
    }
    if place.table.height > 0 {
        let (heading, body) = paint::top(place.table, 1);
        let what = match model.live.metric {
            Metric::Accuracy => "top-1, % ± half the 95 % interval",
            Metric::Loss => "mean cross-entropy, nats",
        };
        log::heading(theme, heading, what, buffer);
        table::draw(model, theme, body, buffer);
    }
    if place.log.height > 0 {
        log::draw(model, theme, place.log, buffer);
    }
    let hints = popup::footer(model, theme, context(model), usize::from(place.foot.width));
    paint::line(buffer, place.foot, 0, &hints);
}

/// Heading of the chart: what is drawn, and the focused curve's numbers.
fn reading(model: &Model, theme: &Theme, area: Rect, buffer: &mut Buffer) {
    let live = &model.live;
    let columns = usize::from(area.width);
    let what = match live.metric {
        Metric::Accuracy => "top-1, %",
        Metric::Loss => "loss, nats",
    };
    let zoom = match live.zoom {
        Zoom::Fit => "",
        Zoom::Focused => "  fits the focus",
        Zoom::Full => "  full range",
    };
    let steps = match live.steps {
        0 => String::new(),
        steps => format!("  zoom {steps:+}"),
    };
    let shown = if live.shown == Default::default() {
        String::new()
    } else {
        format!("  {}", live.shown.name())
    };
    let mut spans = vec![
        Span::styled(what, theme.strong()),
        Span::styled(format!("{shown}{zoom}{steps}"), theme.dim()),
    ];
    let used: usize = spans.iter().map(Span::width).sum();
    let curve = live.focus.and_then(|it| model.board.curve(it)).or(model.board.targets().next());
    if let Some(curve) = curve {
        let numbers = curves::readout(model, theme, curve, columns.saturating_sub(used + 3));
        spans.push(Span::raw("   "));
        spans.extend(numbers.spans);
    }
    paint::line(buffer, area, 0, &Line::from(spans));
}

fn waiting(model: &Model, theme: &Theme, area: Rect, buffer: &mut Buffer) {
    let text = match &model.ended {
        Some(Err(message)) => message.lines().next().unwrap_or("").to_string(),
        _ => match &model.setup.starting {
            Some(starting) => format!("loading {}: checkpoints and data", starting.what),
            None => "waiting for the first event: opening checkpoints and data".to_string(),
        },
    };
    let text = paint::cut(theme, &text, usize::from(area.width));
    let wide = u16::try_from(paint::width(&text)).unwrap_or(0);
    let middle = Rect { x: area.x + area.width.saturating_sub(wide) / 2, width: wide, ..area };
    paint::line(buffer, middle, area.height / 2, &Line::styled(text, theme.dim()));
}

// ------------------------------------------------------------------ chart

/// The curves on the chart, from the back to the front.
fn visible(model: &Model) -> Vec<&Curve> {
    let live = &model.live;
    let mut curves: Vec<&Curve> = model
        .board
        .targets()
        .filter(|curve| match live.focus {
            Some(focus) if live.alone => curve.target == focus,
            focus => Board::shows(live.shown, curve) || focus == Some(curve.target),
        })
        .collect();
    // The first stands for the rest: the mean, over them the focused one.
    curves.reverse();
    curves.sort_by_key(|curve| live.focus == Some(curve.target));
    curves
}

/// The vertical range in force.
fn range(model: &Model, curves: &[&Curve]) -> Range {
    let (live, metric) = (&model.live, model.live.metric);
    let (limits, least, all) = match metric {
        Metric::Accuracy => (PERCENT, 5.0, model.axis.accuracy.get()),
        Metric::Loss => (NATS, 0.1, model.axis.loss.get()),
    };
    let of = |curves: &[&Curve], bands: bool| {
        let points = curves.iter().flat_map(|curve| &curve.points);
        let values = points.flat_map(|point| {
            let band = point.band(metric).filter(|_| bands);
            [point.value(metric), band.map(|it| it.0), band.map(|it| it.1)]
        });
        axis::fit(values.flatten(), least, limits)
    };
    let followed = curves.last().copied();
    let whole = match metric {
        Metric::Accuracy => PERCENT,
        Metric::Loss => Range { lo: 0.0, hi: all.map_or(1.0, |range| range.hi) },
    };
    let base = match live.zoom {
        Zoom::Full => Some(whole),
        Zoom::Focused => followed.and_then(|curve| of(&[curve], true)),
        Zoom::Fit if live.alone => of(curves, true),
        Zoom::Fit if live.shown != Default::default() => of(curves, true),
        Zoom::Fit => all,
    };
    let base = base.unwrap_or(whole);
    let limits = match metric {
        Metric::Accuracy => PERCENT,
        Metric::Loss => Range { lo: 0.0, hi: (base.hi * 4.0).max(1.0) },
    };
    let centre = model
        .cursor()
        .and_then(|i| followed.and_then(|curve| curve.points.get(i)))
        .and_then(|point| point.value(metric))
        .unwrap_or((base.lo + base.hi) / 2.0);
    base.zoomed(live.steps, centre, limits)
}

/// The chart of the model, ready to draw.
#[must_use]
pub fn chart<'a>(model: &'a Model, theme: &'a Theme) -> Chart<'a> {
    let live = &model.live;
    let curves = visible(model);
    let y = range(model, &curves);
    let dots = |curve: &Curve| -> Vec<Dot> {
        let points = curve.points.iter().zip(&model.board.alphas);
        points
            .map(|(point, alpha)| Dot {
                alpha: *alpha,
                value: point.value(live.metric),
                band: point.band(live.metric),
                failed: point.failed.is_some(),
            })
            .collect()
    };
    // Behind a variant's curves the dense ones stay, dimmed: those that stand
    // for the rest, so that twice as many lines do not hide each other.
    let stands = |curve: &&Curve| match live.focus {
        Some(focus) => curve.target == focus,
        None => curve.target == Target::Mean || model.board.mean.is_none(),
    };
    let dense = model.board.dense.iter().filter(stands).map(|curve| Series {
        ink: Ink::Dim,
        marker: curves::identity(theme, curve.target).1,
        name: "dense".to_string(),
        heavy: false,
        muted: true,
        dots: dots(curve),
    });
    let series = dense
        .chain(curves.iter().map(|curve| {
            let (ink, marker) = curves::identity(theme, curve.target);
            let focused = live.focus == Some(curve.target);
            Series {
                ink,
                marker,
                name: curve.name.clone(),
                heavy: focused || (live.focus.is_none() && curve.target == Target::Mean),
                muted: live.focus.is_some() && !focused,
                dots: dots(curve),
            }
        }))
        .collect();
    Chart {
        theme,
        series,
        alphas: &model.board.alphas,
        y,
        cursor: model.cursor().and_then(|i| model.board.alphas.get(i)).copied(),
        ends: (&model.board.zeroshot, &model.board.finetuned),
        decimals: if live.metric == Metric::Accuracy { 1 } else { 3 },
    }
}

fn draw_chart(model: &Model, theme: &Theme, area: Rect, buffer: &mut Buffer) {
    ratatui::widgets::Widget::render(&chart(model, theme), area, buffer);
}

/// What stands at a place of the screen: a point of the grid, a curve.
#[must_use]
pub fn hit(model: &Model, theme: &Theme, area: Rect, x: u16, y: u16) -> Option<Pick> {
    let place = layout(model, area);
    let at = ratatui::layout::Position { x, y };
    if place.head.contains(at) {
        return header::hit(model, theme, place.head, x, y).map(Pick::Tab);
    }
    if place.rows.contains(at) {
        return curves::target_at(model, place.rows, y).map(Pick::Curve);
    }
    let frame = chart(model, theme).frame(place.main);
    if (model.live.table && place.table.height == 0)
        || !place.main.contains(at)
        || !frame.plot.contains((x, frame.plot.y).into())
    {
        return None;
    }
    let near = |alpha: &f64| frame.column(*alpha).abs_diff(x);
    let nearest = model.board.alphas.iter().enumerate().min_by_key(|(_, alpha)| near(alpha));
    nearest.map(|(i, _)| Pick::Alpha(i))
}
