//! One row or one card for each dataset and the OOD mean.

mod sharpness;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Span};

use crate::app::Model;
use crate::app::board::{Curve, Point, State};
use crate::app::format;
use crate::app::live::{Metric, Target};
use crate::sweep::spec::Role;

use super::columns::{self, Column, row};
use super::paint;
use super::theme::{Ink, Theme};

/// Ink and marker of a curve.
#[must_use]
pub fn identity(theme: &Theme, target: Target) -> (Ink, &'static str) {
    match target {
        Target::Mean => (Ink::Mean, theme.glyphs.mean),
        Target::Dataset(id) => {
            let markers = theme.glyphs.markers;
            (Ink::Series(id.index()), markers[id.index() % markers.len()])
        }
    }
}

/// The number of a metric with what stands behind ±.
#[must_use]
pub fn value(theme: &Theme, point: &Point, metric: Metric) -> String {
    match (metric, point.top1, point.loss) {
        _ if point.failed.is_some() && point.done == 0 => "failed".to_string(),
        (Metric::Accuracy, Some(it), _) => {
            theme.spell(&format!("{:.1} ±{:.1}", it.value, it.half())).into_owned()
        }
        (Metric::Loss, _, Some(loss)) => format!("{loss:.3}"),
        _ => theme.glyphs.absent.to_string(),
    }
}

/// The curves the lists show, in their order: all, or the one alone.
pub fn listed(model: &Model) -> Vec<&Curve> {
    let alone = model.live.focus.filter(|_| model.live.alone);
    model.board.targets().filter(|curve| alone.is_none_or(|it| it == curve.target)).collect()
}

/// A curve in single signs: its lowest value is the lowest sign, its highest
/// the highest; `columns` at most (then each sign is the mean of its share).
#[must_use]
pub fn spark(theme: &Theme, values: &[Option<f64>], columns: usize) -> String {
    let known = || values.iter().flatten().copied().filter(|v| v.is_finite());
    let (lo, hi) = (known().fold(f64::MAX, f64::min), known().fold(f64::MIN, f64::max));
    let n = values.len().min(columns);
    (0..n)
        .map(|i| {
            let share = &values[i * values.len() / n..((i + 1) * values.len() / n).max(1)];
            let some: Vec<f64> =
                share.iter().flatten().copied().filter(|v| v.is_finite()).collect();
            if some.is_empty() {
                return theme.glyphs.absent;
            }
            let mean = some.iter().sum::<f64>() / some.len() as f64;
            let place = if hi > lo { (mean - lo) / (hi - lo) } else { 0.5 };
            theme.glyphs.spark[((place * 6.0).round() as usize).min(6)]
        })
        .collect()
}

fn extent(theme: &Theme, curve: &Curve, metric: Metric) -> String {
    let values = || curve.points.iter().filter_map(|point| point.value(metric));
    let (lo, hi) = (values().fold(f64::MAX, f64::min), values().fold(f64::MIN, f64::max));
    match (lo <= hi, metric) {
        (false, _) => String::new(),
        (true, Metric::Accuracy) => theme.spell(&format!("{lo:.1}–{hi:.1}")).into_owned(),
        (true, Metric::Loss) => theme.spell(&format!("{lo:.2}–{hi:.2}")).into_owned(),
    }
}

fn role(curve: &Curve) -> &'static str {
    match (curve.target, curve.role) {
        (Target::Mean, _) => "",
        (_, Role::Id) => "id",
        (_, Role::Ood) => "ood",
    }
}

/// What a person must know about this row beyond numbers.
struct Remark {
    /// At most eight columns.
    short: String,
    long: String,
    ink: Ink,
}

fn remark(model: &Model, theme: &Theme, curve: &Curve) -> Option<Remark> {
    let glyphs = theme.glyphs;
    let Target::Dataset(id) = curve.target else { return None };
    let remark =
        |short: String, long: &str, ink| Some(Remark { short, long: long.to_string(), ink });
    let (skip, first) = (glyphs.skipped, glyphs.first);
    let requested = &model.live.requested;
    match (requested.skip_of(id), curve.state, requested.first) {
        (Some(true), ..) => remark(format!("{skip} asked"), "skip asked", Ink::Warn),
        (Some(false), ..) => remark(format!("{skip} asked"), "return asked", Ink::Warn),
        (None, State::Skipped, _) => remark("skipped".to_string(), "skipped", Ink::Warn),
        (None, State::Failed(n), _) => {
            let text = format!("{n} failed");
            remark(text.clone(), &format!("{} {text}", glyphs.fail), Ink::Bad)
        }
        (.., Some(Some(asked))) if asked == id => {
            remark(format!("{first} asked"), "first asked", Ink::Warn)
        }
        (.., None) if model.run.focus == Some(id) => {
            remark(format!("{first} first"), "measured first", Ink::Accent)
        }
        _ => None,
    }
}

/// That this is not the whole published dataset, in so many columns.
fn badge(theme: &Theme, curve: &Curve, columns: usize) -> Option<String> {
    let badge = curve.badge.as_ref()?;
    let sign = theme.glyphs.warn;
    // Half a number would be another number.
    let texts = [format!("{sign} {badge}"), format!("{sign} not whole")];
    texts.into_iter().find(|text| paint::width(text) <= columns)
}

fn images(curve: &Curve) -> (usize, usize) {
    let grid = curve.points.len().max(1);
    (curve.done / grid, curve.total / grid)
}

fn progress(theme: &Theme, curve: &Curve) -> (String, Ink) {
    let (done, total) = (curve.done as u64, curve.total as u64);
    match curve.state {
        State::Waiting => ("waiting".to_string(), Ink::Dim),
        State::Complete => (format!("{} all", theme.glyphs.ok), Ink::Dim),
        _ => (format!("{} %", format::whole_percent(done, total)), Ink::Text),
    }
}

// ---------------------------------------------------------------- rows

const NAME: usize = 1;
/// Columns of a remark in full.
const REMARK: usize = 14;

fn layout(model: &Model, theme: &Theme, curves: &[&Curve], room: usize) -> Vec<Option<Column>> {
    let column = |title: &str, width: usize, rank: u8, right: bool| {
        Column::new(theme, title, width, rank, right)
    };
    let longest = curves.iter().map(|curve| paint::width(&theme.spell(&curve.name))).max();
    let grid = model.board.alphas.len();
    let at = model.cursor().and_then(|i| model.board.alphas.get(i)).copied();
    let at = at.map_or_else(String::new, |alpha| format!("at α {}", model.board.alpha(alpha)));
    let ends = model.board.alphas.first().zip(model.board.alphas.last());
    let path = ends.map_or_else(String::new, |(first, last)| {
        format!("α {}→{}", model.board.alpha(*first), model.board.alpha(*last))
    });
    let what = match model.live.metric {
        Metric::Accuracy => "top-1, %",
        Metric::Loss => "loss, nats",
    };
    let other = match model.live.metric {
        Metric::Accuracy => "loss",
        Metric::Loss => "top-1",
    };
    let here = if theme.spell("±").len() > 2 { 12 } else { 10 };
    let alphas = model.board.alphas.iter().map(|alpha| model.board.alpha(*alpha).len());
    let wide = 8 + alphas.max().unwrap_or(1).min(8);
    let all = vec![
        column("", 3, 0, false),
        column(what, longest.unwrap_or(0).clamp(paint::width(what), 20), 0, false),
        column("", 3, 6, false),
        column(if grid >= 10 { &path } else { "" }, grid.clamp(3, 21), 3, false),
        column("range", 9, 7, true),
        column(&at, here.max(paint::width(&theme.spell(&at))), 1, true),
        column("best at α", wide, 4, true),
        column("gain", 6, 2, true),
        column(other, 6, 9, true),
        column("top-5", 6, 10, true),
        column("images", 11, 8, true),
        column("", 8, 5, true),
        column("", REMARK, 11, false),
    ];
    columns::fit(all, NAME, room)
}

fn cells(model: &Model, theme: &Theme, curve: &Curve, remarked: bool) -> Vec<(String, Style)> {
    let metric = model.live.metric;
    let (ink, marker) = identity(theme, curve.target);
    let focused = model.live.focus == Some(curve.target);
    let point = model.cursor().and_then(|i| curve.points.get(i));
    let values: Vec<Option<f64>> = curve.points.iter().map(|point| point.value(metric)).collect();
    let emphasis = |style: Style| {
        if focused || curve.target == Target::Mean {
            style.add_modifier(Modifier::BOLD)
        } else {
            style
        }
    };
    let best = curve.best.and_then(|i| curve.points.get(i).zip(model.board.alphas.get(i)));
    let best = best.and_then(|(point, alpha)| {
        point.top1.map(|it| format!("{:.1} at {}", it.value, model.board.alpha(*alpha)))
    });
    let gain = curve.gain.map(format::signed);
    let gain_ink = match curve.gain {
        Some(gain) if gain > 0.0 => Ink::Good,
        _ => Ink::Dim,
    };
    let absent = || theme.glyphs.absent.to_string();
    let spelled = |text: String| theme.spell(&text).into_owned();
    let (progress, progress_ink) = progress(theme, curve);
    let (done, total) = images(curve);
    let counted = if done < total { format!("{done}/{total}") } else { format!("{total}") };
    let note = remark(model, theme, curve);
    // Where the remark has no column of its own it takes the progress'.
    let state = match &note {
        Some(it) if !remarked => (it.short.clone(), it.ink),
        _ => (progress, progress_ink),
    };
    vec![
        (
            format!("{} {marker}", if focused { theme.glyphs.focus } else { " " }),
            emphasis(theme.ink(ink)),
        ),
        (curve.name.clone(), emphasis(theme.text())),
        (role(curve).to_string(), theme.dim()),
        (spark(theme, &values, 21), theme.ink(ink)),
        (extent(theme, curve, metric), theme.dim()),
        (point.map_or_else(absent, |it| value(theme, it, metric)), emphasis(theme.text())),
        (best.map_or_else(absent, spelled), theme.text()),
        (gain.map_or_else(absent, spelled), emphasis(theme.ink(gain_ink))),
        (
            match metric {
                Metric::Accuracy => point.and_then(|it| it.loss).map(|it| format!("{it:.3}")),
                Metric::Loss => point.and_then(|it| it.top1).map(|it| format::percent(it.value)),
            }
            .unwrap_or_else(absent),
            theme.dim(),
        ),
        (point.and_then(|it| it.top5).map_or_else(absent, format::percent), theme.dim()),
        (counted, theme.dim()),
        (state.0, theme.ink(state.1)),
        match note {
            Some(it) => (it.long, theme.ink(it.ink)),
            None => (badge(theme, curve, REMARK).unwrap_or_default(), theme.ink(Ink::Warn)),
        },
    ]
}

/// Rows a list of all curves wants: a heading and one each, and one for the
/// overall sharpness where it is asked for.
#[must_use]
pub fn rows_wanted(model: &Model) -> u16 {
    let sharpness = usize::from(model.sheet.overall().is_some());
    u16::try_from(listed(model).len() + 1 + sharpness).unwrap_or(u16::MAX)
}

/// Which slice of `n` items to show in `room` rows so that `at` is among them.
#[must_use]
pub fn window(n: usize, room: usize, at: Option<usize>) -> std::ops::Range<usize> {
    if n <= room {
        return 0..n;
    }
    let start = at.unwrap_or(0).saturating_sub(room / 2).min(n - room);
    start..start + room
}

/// The target on a row of the list drawn in `area`, heading included.
#[must_use]
pub fn target_at(model: &Model, area: Rect, y: u16) -> Option<Target> {
    let curves = listed(model);
    let focus = curves.iter().position(|curve| Some(curve.target) == model.live.focus);
    let below = model.sheet.overall().is_some() && area.height >= 5;
    let room = usize::from(area.height.saturating_sub(1 + u16::from(below)));
    let row = usize::from(y.checked_sub(area.y + 1)?);
    let shown = window(curves.len(), room, focus);
    (row < room).then(|| curves.get(shown)?.get(row).map(|curve| curve.target)).flatten()
}

/// Draws the list.
pub fn rows(model: &Model, theme: &Theme, area: Rect, buffer: &mut Buffer) {
    let curves = listed(model);
    let columns = layout(model, theme, &curves, usize::from(area.width));
    paint::line(buffer, area, 0, &columns::heading(theme, &columns));
    let focus = curves.iter().position(|curve| Some(curve.target) == model.live.focus);
    let below = model.sheet.overall().filter(|_| area.height >= 5);
    let (area, last) = paint::bottom(area, u16::from(below.is_some()));
    if let Some(row) = below {
        let cells = sharpness::cells(model, theme, row);
        paint::line(buffer, last, 0, &columns::row(theme, &columns, cells));
    }
    let room = usize::from(area.height.saturating_sub(1));
    let shown = window(curves.len(), room, focus);
    for (i, curve) in curves.get(shown).into_iter().flatten().enumerate() {
        let at = u16::try_from(i + 1).unwrap_or(u16::MAX);
        let remarked = columns.last().is_some_and(Option::is_some);
        let cells = cells(model, theme, curve, remarked);
        paint::line(buffer, area, at, &row(theme, &columns, cells));
        if model.live.focus == Some(curve.target) && theme.tints() {
            let line = Rect { y: area.y + at, height: 1, ..area };
            buffer.set_style(line.intersection(area), theme.chosen());
        }
    }
}

// ---------------------------------------------------------------- cards

/// Draws a card for each curve: as many lines each as fit, three at most.
pub fn cards(model: &Model, theme: &Theme, area: Rect, buffer: &mut Buffer) {
    let curves = listed(model);
    let below = model.sheet.overall().filter(|_| area.height >= 8);
    let (area, last) = paint::bottom(area, 2 * u16::from(below.is_some()));
    if let Some(row) = below {
        sharpness::card(model, theme, row, last, buffer);
    }
    let n = u16::try_from(curves.len()).unwrap_or(u16::MAX).max(1);
    let (lines, gap) = match area.height / n {
        4.. => (3, 1),
        3 => (3, 0),
        2 => (2, 0),
        _ => (1, 0),
    };
    let focus = curves.iter().position(|curve| Some(curve.target) == model.live.focus);
    let fits = usize::from((area.height + gap) / (lines + gap)).max(1);
    let shown = window(curves.len(), fits, focus);
    let mut rest = area;
    for curve in curves.get(shown).into_iter().flatten() {
        let (place, below) = paint::top(rest, lines + gap);
        if model.live.focus == Some(curve.target) && theme.tints() {
            buffer.set_style(Rect { height: lines.min(place.height), ..place }, theme.chosen());
        }
        let card = card(model, theme, curve, usize::from(area.width));
        for (i, text) in card.iter().take(usize::from(lines)).enumerate() {
            paint::line(buffer, place, u16::try_from(i).unwrap_or(0), text);
        }
        rest = below;
    }
}

/// The lines of a card, the most telling first.
#[must_use]
pub fn card(model: &Model, theme: &Theme, curve: &Curve, columns: usize) -> Vec<Line<'static>> {
    let metric = model.live.metric;
    let (ink, marker) = identity(theme, curve.target);
    let focused = model.live.focus == Some(curve.target);
    let bold = |style: Style| {
        if focused || curve.target == Target::Mean {
            style.add_modifier(Modifier::BOLD)
        } else {
            style
        }
    };
    let text = |text: String, style: Style| Span::styled(theme.spell(&text).into_owned(), style);
    let point = model.cursor().and_then(|i| curve.points.get(i));
    let alpha = model.cursor().and_then(|i| model.board.alphas.get(i)).copied();

    // marker, name, role … value at the cursor, progress or remark
    let name = paint::left(theme, &curve.name, 18);
    let (state, state_ink) =
        remark(model, theme, curve).map_or_else(|| progress(theme, curve), |it| (it.long, it.ink));
    let here = point.map_or_else(String::new, |it| value(theme, it, metric));
    let mut first = vec![
        Span::styled(
            format!("{} {marker} ", if focused { theme.glyphs.focus } else { " " }),
            bold(theme.ink(ink)),
        ),
        Span::styled(name, bold(theme.text())),
        Span::styled(format!(" {:<4}", role(curve)), theme.dim()),
        Span::styled(paint::right(theme, &here, 11), bold(theme.ink(ink))),
    ];
    let room = columns.saturating_sub(first.iter().map(Span::width).sum::<usize>() + 2);
    let room = room.saturating_sub(paint::width(&state) + 2);
    if let Some(badge) = badge(theme, curve, room) {
        first.push(Span::styled(format!("  {badge}"), theme.ink(Ink::Warn)));
    }
    let used: usize = first.iter().map(Span::width).sum();
    let room = columns.saturating_sub(used + 2);
    first.push(Span::raw("  "));
    first.push(Span::styled(paint::right(theme, &state, room), theme.ink(state_ink)));

    // sparkline, its range, best α and gain
    let values: Vec<Option<f64>> = curve.points.iter().map(|point| point.value(metric)).collect();
    let mut second = vec![
        Span::raw("    "),
        Span::styled(spark(theme, &values, 21), theme.ink(ink)),
        Span::styled(format!(" {}", extent(theme, curve, metric)), theme.dim()),
    ];
    let best = curve.best.and_then(|i| curve.points.get(i).zip(model.board.alphas.get(i)));
    if let Some((Some(top1), alpha)) = best.map(|(point, alpha)| (point.top1, alpha)) {
        second.push(text("  best ".to_string(), theme.dim()));
        second.push(text(format!("{:.1}", top1.value), theme.text()));
        second.push(text(format!(" at α {}", model.board.alpha(*alpha)), theme.dim()));
    }
    if let Some(gain) = curve.gain {
        let ink = if gain > 0.0 { Ink::Good } else { Ink::Dim };
        second.push(text(format!("  {}", format::signed(gain)), bold(theme.ink(ink))));
    }

    // every exact number at the cursor
    let mut third = vec![Span::raw("    ")];
    let mut fact = |name: &str, number: String| {
        third.push(text(format!("{name} "), theme.faint()));
        third.push(text(format!("{number}  "), theme.dim()));
    };
    if let (Some(point), Some(_)) = (point, alpha) {
        if let Some(top1) = point.top1 {
            fact("95 %", format!("[{:.1}, {:.1}]", top1.lo, top1.hi));
        }
        fact("n", format!("{}/{}", point.done, point.total));
        if let Some(loss) = point.loss {
            fact("loss", format!("{loss:.3}"));
        }
        if let Some(top5) = point.top5 {
            fact("top-5", format::percent(top5));
        }
    }
    vec![Line::from(first), Line::from(second), Line::from(third)]
}

/// One line with every exact number of a curve at the cursor.
#[must_use]
pub fn readout(model: &Model, theme: &Theme, curve: &Curve, columns: usize) -> Line<'static> {
    let (ink, marker) = identity(theme, curve.target);
    let Some(i) = model.cursor() else { return Line::default() };
    let (Some(point), Some(alpha)) = (curve.points.get(i), model.board.alphas.get(i)) else {
        return Line::default();
    };
    let dim = |text: &str| Span::styled(theme.spell(text).into_owned(), theme.dim());
    let plain = |text: String| Span::styled(theme.spell(&text).into_owned(), theme.text());
    let mut parts = vec![vec![
        Span::styled(format!("{marker} "), theme.ink(ink)),
        Span::styled(paint::cut(theme, &curve.name, 16), theme.ink(ink)),
        Span::styled(
            theme.spell(&format!(" α {}", model.board.alpha(*alpha))).into_owned(),
            theme.key(),
        ),
    ]];
    if let Some(top1) = point.top1 {
        parts.push(vec![
            Span::styled(format::percent(top1.value), theme.strong()),
            plain(format!(" % [{:.1}, {:.1}]", top1.lo, top1.hi)),
        ]);
        parts.push(vec![dim("n "), plain(point.done.to_string())]);
        if let Some(badge) = badge(theme, curve, usize::MAX) {
            let text = format!("{badge} images");
            parts.push(vec![Span::styled(text, theme.ink(Ink::Warn))]);
        }
    } else {
        parts.push(vec![dim("not measured yet")]);
    }
    if let Some(loss) = point.loss {
        parts.push(vec![dim("loss "), plain(format!("{loss:.3}"))]);
    }
    if let Some(top5) = point.top5 {
        parts.push(vec![dim("top-5 "), plain(format::percent(top5))]);
    }
    if let Some(failed) = &point.failed {
        let text = paint::cut(theme, failed, 60);
        parts
            .push(vec![Span::styled(format!("{} {text}", theme.glyphs.fail), theme.ink(Ink::Bad))]);
    }
    paint::parts(theme, parts, columns)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::{Charset, Look};

    #[test]
    fn sparklines_tell_missing_from_low() {
        let theme = Theme::of(Look::default());
        let values = [Some(0.0), None, Some(3.5), Some(7.0)];
        assert_eq!(spark(&theme, &values, 21), "▁·▄▇");
        assert_eq!(spark(&theme, &[Some(3.0), Some(3.0)], 21), "▄▄");
        assert_eq!(spark(&theme, &[None, None], 21), "··");
        assert_eq!(spark(&theme, &[], 21), "");
        let ascii = Theme::of(Look { charset: Charset::Ascii, ..Look::default() });
        assert!(spark(&ascii, &values, 21).is_ascii());
        let many: Vec<Option<f64>> = (0..100).map(|i| Some(f64::from(i))).collect();
        assert_eq!(spark(&theme, &many, 10).chars().count(), 10);
    }

    #[test]
    fn windows_hold_the_focus() {
        assert_eq!(window(5, 9, None), 0..5);
        assert_eq!(window(10, 4, Some(9)), 6..10);
        assert_eq!(window(10, 4, Some(0)), 0..4);
        assert_eq!(window(10, 0, Some(3)), 3..3);
    }
}
