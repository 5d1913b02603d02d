//! The compare screen: variants side by side.
//!
//! ```text
//! tabs, progress, ends
//! OOD mean of each over α │ WiSE-FT's plot: ID against OOD, α along the line
//! variant   at α   best   difference from dense [lo, hi]   state
//! ```

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Modifier;
use ratatui::text::{Line, Span};
use ratatui::widgets::Widget;

use crate::app::axis::{self, PERCENT};
use crate::app::contest::{Rival, RivalId, Standing};
use crate::app::message::Pick;
use crate::app::sheet::Interval;
use crate::app::update::context;
use crate::app::{Model, format};
use crate::sparsify;
use crate::sweep::zeros::Sum;

use super::chart::{Chart, Dot, Series};
use super::columns::{self, Column};
use super::curves::window;
use super::frame::Frame;
use super::scatter::{Cloud, Mark, Scatter};
use super::theme::{Ink, Theme};
use super::{header, log, paint, popup};

#[derive(Clone, Copy, Debug, Default)]
struct Layout {
    head: Rect,
    chart: Rect,
    plane: Rect,
    table: Rect,
    reading: Rect,
    foot: Rect,
}

fn layout(model: &Model, area: Rect) -> Layout {
    let Frame { small, airy, head, body: rest, foot, .. } = Frame::of(model, area);
    let (rest, reading) = paint::bottom(rest, u16::from(rest.height >= 6));
    let mut it = Layout { head, reading, foot, ..Layout::default() };
    if small {
        it.table = rest;
        return it;
    }
    let rows = u16::try_from(model.contest.rivals.len() + 1).unwrap_or(u16::MAX);
    let (charts, table) = paint::bottom(rest, rows.min(rest.height / 2).max(3));
    let (charts, _) = paint::bottom(charts, u16::from(airy));
    it.table = table;
    let (left, right) = paint::side(charts, charts.width / 2);
    let (left, _) = paint::side(left, 2);
    (it.chart, it.plane) = (left, right);
    it
}

/// Colour and sign of a variant.
fn identity(theme: &Theme, it: &Rival) -> (Ink, &'static str) {
    let Some(i) = it.number.checked_sub(1) else {
        return (Ink::Mean, theme.glyphs.mean);
    };
    (Ink::Series(i), theme.glyphs.markers[i % theme.glyphs.markers.len()])
}

/// Draws the compare screen.
pub fn draw(model: &Model, theme: &Theme, area: Rect, buffer: &mut Buffer) {
    let place = layout(model, area);
    header::draw(model, theme, place.head, buffer);
    curves(model, theme, place.chart, buffer);
    plane(model, theme, place.plane, buffer);
    table(model, theme, place.table, buffer);
    reading(model, theme, place.reading, buffer);
    let hints = popup::footer(model, theme, context(model), usize::from(place.foot.width));
    paint::line(buffer, place.foot, 0, &hints);
}

/// The rivals from the back to the front: the highlighted one last.
fn layered(model: &Model) -> Vec<&Rival> {
    let mut all: Vec<&Rival> = model.contest.rivals.iter().rev().collect();
    all.sort_by_key(|it| it.id == model.rival);
    all
}

fn curves(model: &Model, theme: &Theme, area: Rect, buffer: &mut Buffer) {
    if area.height < 4 {
        return;
    }
    let (head, body) = paint::top(area, 1);
    log::heading(theme, head, "OOD mean over α, %", buffer);
    let alone = model.contest.rivals.len() < 2;
    let series: Vec<Series> = layered(model)
        .into_iter()
        .map(|it| {
            let (ink, marker) = identity(theme, it);
            let dots = it.spots.iter().zip(&it.alphas).map(|(spot, alpha)| Dot {
                alpha: *alpha,
                value: spot.ood.map(|it| it.value),
                band: spot.ood.map(|it| (it.lo, it.hi)),
                failed: false,
            });
            Series {
                ink,
                marker,
                name: it.name.clone(),
                heavy: it.id == model.rival,
                muted: !alone && it.id == RivalId::DENSE && model.rival != RivalId::DENSE,
                dots: dots.collect(),
            }
        })
        .collect();
    let values = series.iter().flat_map(|it| &it.dots).filter_map(|it| it.value);
    let Some(y) = axis::fit(values, 5.0, PERCENT) else {
        let text = paint::cut(theme, "no OOD mean yet", usize::from(body.width));
        paint::line(buffer, body, 1, &Line::styled(text, theme.dim()));
        return;
    };
    let chart = Chart {
        theme,
        series,
        alphas: &model.board.alphas,
        y,
        cursor: model.cursor().and_then(|i| model.board.alphas.get(i)).copied(),
        ends: (&model.board.zeroshot, &model.board.finetuned),
        decimals: 1,
    };
    chart.render(body, buffer);
}

fn plane(model: &Model, theme: &Theme, area: Rect, buffer: &mut Buffer) {
    if area.height < 4 {
        return;
    }
    let (head, body) = paint::top(area, 1);
    log::heading(theme, head, "ID against OOD, α along the line", buffer);
    let clouds: Vec<Cloud> = layered(model)
        .into_iter()
        .map(|it| {
            let (ink, marker) = identity(theme, it);
            let front = it.id == model.rival;
            let cursor = model.cursor().and_then(|i| model.board.alphas.get(i));
            let both = it.spots.iter().zip(&it.alphas);
            let decimals = format::decimals(&it.alphas);
            let marks = both.filter_map(|(spot, alpha)| {
                let here = front && cursor == Some(alpha);
                let label =
                    format!("{}{}", if here { "α " } else { "" }, format::alpha(*alpha, decimals));
                let label = if front { label } else { String::new() };
                Some(Mark { x: spot.id?, y: spot.ood?.value, label, here })
            });
            let marks = marks.collect();
            Cloud { ink, marker, joined: true, muted: !front && it.id == RivalId::DENSE, marks }
        })
        .collect();
    let axes = ("ID mean, top-1 %", "OOD mean, top-1 %");
    Scatter { theme, clouds, axes }.render(body, buffer);
}

fn interval(theme: &Theme, it: Option<Interval>) -> String {
    let Some(it) = it else { return theme.glyphs.absent.to_string() };
    let text = format!(
        "{} [{}, {}]",
        format::signed(it.value),
        format::signed(it.lo),
        format::signed(it.hi)
    );
    theme.spell(&text).into_owned()
}

/// … marked where it is not paired.
fn difference(theme: &Theme, it: &Rival, value: Option<Interval>) -> String {
    let apart = if it.paired || value.is_none() { "" } else { "~" };
    format!("{apart}{}", interval(theme, value))
}

fn standing(model: &Model, theme: &Theme, it: &Rival) -> (String, Ink) {
    let g = theme.glyphs;
    let own = it.id.guest.is_none();
    match model.live.requested.drop_of(it.id.variant).filter(|_| own) {
        Some(true) => return (format!("{} drop asked", g.asked), Ink::Warn),
        Some(false) => return (format!("{} asked again", g.asked), Ink::Warn),
        None => {}
    }
    match &it.standing {
        Standing::Waiting => ("waiting".to_string(), Ink::Dim),
        Standing::Measuring(share) => (format!("{share} %"), Ink::Text),
        Standing::Complete => (format!("{} all", g.ok), Ink::Good),
        Standing::Dropped => (format!("{} dropped", g.skipped), Ink::Dim),
        Standing::Failed(n, _) => (format!("{} {n} failed", g.fail), Ink::Bad),
    }
}

/// The columns that fit; zeros only where some were counted.
fn list(theme: &Theme, all: &[Rival], at: &str, room: u16) -> Vec<Option<Column>> {
    let longest = all.iter().map(|it| paint::width(&theme.spell(&it.name))).max().unwrap_or(0);
    let longest = longest.clamp(8, usize::from(room / 3).max(8)).min(34);
    let wide = |of: fn(&Rival) -> Option<Interval>| {
        let each = all.iter().map(|it| paint::width(&difference(theme, it, of(it))));
        each.max().unwrap_or(0).clamp(19, 23)
    };
    let longest_alpha = |it: &Rival| {
        let decimals = format::decimals(&it.alphas);
        it.alphas.iter().map(|alpha| format::alpha(*alpha, decimals).len()).max()
    };
    let longest_alpha = all.iter().filter_map(longest_alpha).max().unwrap_or(0);
    let mut columns = vec![
        Column::new(theme, "", 3, 0, false),
        Column::new(theme, "variant", longest, 0, false),
        Column::new(theme, "OOD mean", 9, 2, true),
        Column::new(theme, &format!("less dense {at}"), wide(|it| it.here), 1, true),
        Column::new(theme, "ID, less dense", wide(|it| it.id_here), 5, true),
        Column::new(theme, "best at α", 8 + longest_alpha.clamp(4, 8), 4, true),
        Column::new(theme, "best, less dense's", wide(|it| it.peak), 6, true),
        Column::new(theme, "", 13, 3, true),
    ];
    if all.iter().any(|it| it.zeros.iter().any(Option::is_some)) {
        columns.push(Column::new(theme, "weights 0", 10, 7, true));
        columns.push(Column::new(theme, "stay zero-shot", 10, 8, true));
    }
    columns::fit(columns, 1, usize::from(room))
}

fn table(model: &Model, theme: &Theme, area: Rect, buffer: &mut Buffer) {
    if area.height == 0 {
        return;
    }
    let all = &model.contest.rivals;
    let alpha = model.cursor().and_then(|i| model.board.alphas.get(i)).copied();
    let at = alpha.map_or_else(String::new, |it| format!("at α {}", model.board.alpha(it)));
    let list = list(theme, all, &at, area.width);
    paint::line(buffer, area, 0, &columns::heading(theme, &list));
    let here = all.iter().position(|it| it.id == model.rival);
    let room = usize::from(area.height.saturating_sub(1));
    for (y, it) in (1u16..).zip(all.get(window(all.len(), room, here)).into_iter().flatten()) {
        let chosen = it.id == model.rival;
        let (ink, marker) = identity(theme, it);
        let here = alpha.and_then(|alpha| it.alphas.iter().position(|own| *own == alpha));
        let spot = here.and_then(|i| it.spots.get(i));
        let ood = spot.and_then(|it| it.ood).map(|it| format::percent(it.value));
        let best = it.best.and_then(|i| it.spots.get(i).zip(it.alphas.get(i)));
        let decimals = format::decimals(&it.alphas);
        let best = best.and_then(|(spot, alpha)| {
            Some(format!("{:.1} at {}", spot.ood?.value, format::alpha(*alpha, decimals)))
        });
        let absent = || theme.glyphs.absent.to_string();
        let dense = it.id == RivalId::DENSE;
        let clear = |value: Option<Interval>| match value {
            Some(it) if it.lo > 0.0 => theme.ink(Ink::Good),
            Some(it) if it.hi < 0.0 => theme.ink(Ink::Bad),
            _ => theme.dim(),
        };
        let less = |value: Option<Interval>| {
            if dense {
                ("0".to_string(), theme.dim())
            } else {
                (difference(theme, it, value), clear(value))
            }
        };
        let zeros = alpha.and_then(|alpha| it.zeros_at(alpha));
        let counted = |of: fn(Sum) -> u64| match zeros {
            Some(zeros) => (format::count(of(zeros)), theme.text()),
            None => (absent(), theme.dim()),
        };
        let shown = if it.id == model.live.variant.into() { theme.glyphs.active } else { " " };
        let (state, state_ink) = standing(model, theme, it);
        let name = theme.text();
        let cells = vec![
            (
                format!("{}{marker}", if chosen { theme.glyphs.focus } else { shown }),
                theme.ink(ink),
            ),
            (it.name.clone(), if chosen { name.add_modifier(Modifier::BOLD) } else { name }),
            (ood.unwrap_or_else(absent), theme.text()),
            less(it.here),
            less(it.id_here),
            (best.map_or_else(absent, |it| theme.spell(&it).into_owned()), theme.text()),
            less(it.peak),
            (state, theme.ink(state_ink)),
            counted(|it| it.weights),
            counted(|it| it.differences),
        ];
        paint::line(buffer, area, y, &columns::row(theme, &list, cells));
        if chosen && theme.tints() {
            let line = Rect { y: area.y.saturating_add(y), height: 1, ..area };
            buffer.set_style(line.intersection(area), theme.chosen());
        }
    }
}

/// The folder of another run, while it is typed.
pub(super) fn folder(model: &Model, theme: &Theme, area: Rect, buffer: &mut Buffer) {
    let Some(field) = &model.opening else { return };
    let label = "run folder: ";
    let room = usize::from(area.width).saturating_sub(label.len() + 1);
    let typed: String = field.text().chars().skip(field.scroll(room)).collect();
    let text = format!("{typed}{}", theme.glyphs.cursor);
    let spans = vec![Span::styled(label, theme.dim()), Span::styled(text, theme.key())];
    paint::line(buffer, area, 0, &Line::from(spans));
}

/// How many of a variant's edited weights are zero at the cursor, after what it does.
fn zeros(model: &Model, it: &Rival) -> String {
    let alpha = model.cursor().and_then(|i| model.board.alphas.get(i)).copied();
    let zeros = alpha.and_then(|alpha| it.zeros_at(alpha));
    zeros.map_or_else(String::new, |it| format!("; {}", sparsify::told(&it, format::count)))
}

/// What the highlighted variant does, or why it failed.
fn reading(model: &Model, theme: &Theme, area: Rect, buffer: &mut Buffer) {
    if model.opening.is_some() {
        folder(model, theme, area, buffer);
        return;
    }
    let columns = usize::from(area.width);
    let (text, ink) = match model.contest.rival(model.rival) {
        Some(Rival { standing: Standing::Failed(_, why), .. }) => {
            (format!("{} {why}", theme.glyphs.fail), Ink::Bad)
        }
        Some(it) if it.id.guest.is_some() => {
            let how = match (it.here.or(it.id_here).or(it.peak), it.paired) {
                (None, _) => "no common datasets at this alpha: not compared",
                (Some(_), true) => "compared image by image, on the very same images",
                (Some(_), false) => {
                    "~ other images or another order: two means compared, not pairs"
                }
            };
            let what = if it.edits.is_empty() { "dense" } else { it.edits.as_str() };
            (format!("another run, {what}; {how}"), Ink::Text)
        }
        Some(it) if it.edits.is_empty() && model.contest.rivals.len() < 2 => (
            "only the dense model: on the layers screen (2) space makes a layer sparse".to_string(),
            Ink::Dim,
        ),
        Some(it) if it.edits.is_empty() => (
            "the dense model: the others are compared with it, image by image".to_string(),
            Ink::Dim,
        ),
        Some(it) => (it.edits.clone() + &zeros(model, it), Ink::Text),
        None => (String::new(), Ink::Dim),
    };
    let text = paint::cut(theme, &text, columns);
    paint::line(buffer, area, 0, &Line::styled(text, theme.ink(ink)));
}

/// What stands at a place of the screen.
#[must_use]
pub fn hit(model: &Model, theme: &Theme, area: Rect, x: u16, y: u16) -> Option<Pick> {
    let place = layout(model, area);
    if place.head.contains((x, y).into()) {
        return header::hit(model, theme, place.head, x, y).map(Pick::Tab);
    }
    if !place.table.contains((x, y).into()) {
        return None;
    }
    let all = &model.contest.rivals;
    let here = all.iter().position(|it| it.id == model.rival);
    let room = usize::from(place.table.height.saturating_sub(1));
    let row = usize::from(y.checked_sub(place.table.y + 1)?);
    all.get(window(all.len(), room, here))?.get(row).map(|it| Pick::Variant(it.id))
}
