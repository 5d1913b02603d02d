//! The layers screen, in four tiers:
//!
//! ```text
//! under 60×16      60×16 and more          140×40 and more
//! S at the cursor  tabs, progress, ends    tabs, progress, ends
//!                  what is measured        what is measured
//!                  table, or heat map,     table           │ the layer's
//!                  or one layer's detail   ── heat map ──  │ detail
//!                  reading at the cursor   reading
//!                  hints                   hints
//! ```

mod detail;
mod table;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::Widget;

use crate::app::layers::{edit_name, method_name};
use crate::app::message::Pick;
use crate::app::sheet::{Cell, Row};
use crate::app::update::context;
use crate::app::{Model, format};
use crate::sparsify;
use crate::sweep::ids::VariantId;
use crate::sweep::spec::Method;

use super::frame::Frame;
use super::heat::{Band, HeatMap};
use super::theme::{Ink, Theme};
use super::{header, log, paint, popup};

/// Where the parts stand. A part with no rows is not drawn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Layout {
    head: Rect,
    what: Rect,
    table: Rect,
    map: Rect,
    detail: Rect,
    reading: Rect,
    foot: Rect,
}

fn layout(model: &Model, area: Rect) -> Layout {
    let Frame { small, airy, area, head, body: rest, foot, .. } = Frame::of(model, area);
    let (what, rest) = paint::top(rest, u16::from(!small));
    let mut it = Layout { head, what, foot, ..Layout::default() };
    let reading = if small { u16::from(area.height >= 8) } else { 2 };
    let (rest, reading) = paint::bottom(rest, reading);
    it.reading = reading;
    let (rest, _) = paint::bottom(rest, u16::from(airy));
    if area.width >= 138 && area.height >= 40 {
        let (left, right) = paint::side(rest, (area.width * 2 / 5).clamp(56, 90));
        let (left, _) = paint::side(left, 3);
        it.detail = right;
        let rows = u16::try_from(model.sheet.rows.len()).unwrap_or(u16::MAX);
        let table = (rows.saturating_add(1)).min(left.height * 3 / 5);
        let (table, below) = paint::top(left, table);
        it.table = table;
        let (_, below) = paint::top(below, 1);
        // Names, two lines of legend and a heading.
        let (map, _) = paint::top(below, rows.saturating_add(4));
        it.map = map;
    } else if model.layers.detail {
        it.detail = rest;
    } else if model.layers.map {
        it.map = rest;
    } else {
        it.table = rest;
    }
    it
}

/// Draws the layers screen.
pub fn draw(model: &Model, theme: &Theme, area: Rect, buffer: &mut Buffer) {
    let place = layout(model, area);
    header::draw(model, theme, place.head, buffer);
    what(model, theme, place.what, buffer);
    let cursor = model.cursor();
    let listed = model.layers.listed(&model.sheet.rows, cursor);
    let at = model.layers.place(&listed);
    if listed.is_empty() {
        nothing(model, theme, if place.table.height > 0 { place.table } else { place.map }, buffer);
    } else {
        if place.table.height > 0 {
            table::draw(model, theme, &listed, at, place.table, buffer);
        }
        if place.map.height > 0 {
            let beside = place.table.height > 0;
            let (head, body) = paint::top(place.map, u16::from(beside));
            if beside {
                log::heading(theme, head, "layers by α", buffer);
            }
            map(model, theme, &listed, at).render(body, buffer);
        }
        if let Some(row) = listed.get(at) {
            if place.detail.height > 0 {
                detail::draw(model, theme, row, place.detail, buffer);
            }
            reading(model, theme, row, place.reading, buffer);
        }
    }
    let hints = popup::footer(model, theme, context(model), usize::from(place.foot.width));
    paint::line(buffer, place.foot, 0, &hints);
}

/// What the numbers are: the measurement, how far it is, sorting, filter, edit.
fn what(model: &Model, theme: &Theme, area: Rect, buffer: &mut Buffer) {
    if area.height == 0 {
        return;
    }
    let columns = usize::from(area.width);
    let layers = &model.layers;
    let own = |text: &str, style| Span::styled(theme.spell(text).into_owned(), style);
    let mut parts = vec![header::measured(model, theme)];
    if let Some(field) = &layers.typing {
        let text = format!("/{}{}", field.text(), theme.glyphs.cursor);
        parts.insert(0, vec![own("filter ", theme.dim()), Span::styled(text, theme.key())]);
    } else if !layers.filter.is_empty() {
        let text = paint::cut(theme, &layers.filter, 16);
        parts.push(vec![own("filter ", theme.dim()), Span::styled(text, theme.key())]);
    }
    let n = layers.picked.len();
    if n > 0 {
        parts.push(vec![Span::styled(format!("{n} selected"), theme.key())]);
    }
    if let Some(name) = &model.board.variant
        && model.sheet.variant != VariantId::DENSE
    {
        parts.push(vec![own("of ", theme.dim()), own(name, theme.key())]);
    }
    let edit = match layers.method {
        Method::NOfM | Method::Reset => edit_name(&layers.edit("")),
        method => format!("{} {} %", method_name(method), layers.percent),
    };
    parts.push(vec![own("space: ", theme.dim()), own(&edit, theme.text())]);
    let sign = theme.glyphs.sorted[usize::from(layers.sort.descends() == layers.reversed)];
    parts.push(vec![
        own("by ", theme.dim()),
        own(&format!("{} {sign}", layers.sort.name()), theme.text()),
    ]);
    paint::line(buffer, area, 0, &paint::parts(theme, parts, columns));
}

fn nothing(model: &Model, theme: &Theme, area: Rect, buffer: &mut Buffer) {
    let text = if model.run.header().is_none() {
        "waiting for the first event: opening checkpoints and data"
    } else if model.sheet.rows.is_empty() {
        "this run does not tell its layers"
    } else {
        "no layer's name holds that text; esc shows all"
    };
    let text = paint::cut(theme, text, usize::from(area.width));
    let wide = u16::try_from(paint::width(&text)).unwrap_or(0);
    let middle = Rect { x: area.x + area.width.saturating_sub(wide) / 2, width: wide, ..area };
    paint::line(buffer, middle, area.height / 2, &Line::styled(text, theme.dim()));
}

/// The heat map of the listed rows.
fn map<'a>(model: &'a Model, theme: &'a Theme, listed: &[&Row], at: usize) -> HeatMap<'a> {
    let measure = model.layers.measure;
    // All layers at once are another size: on the scale they would hide the rest.
    let layers: Vec<&&Row> = listed.iter().filter(|row| row.layer.is_some()).collect();
    let above = listed.len() - layers.len();
    let band = |row: &&Row| Band {
        name: row.name.clone(),
        values: row.values(measure),
        failed: row.points.iter().map(|it| matches!(it, Cell::Failed(_))).collect(),
    };
    HeatMap {
        theme,
        bands: layers.into_iter().map(band).collect(),
        alphas: &model.board.alphas,
        cursor: at.checked_sub(above).zip(model.cursor()),
        what: measure.name(),
    }
}

/// A share of 1 in percent, as short as it is: `3 %`, `0.4 %`.
fn share(of: f64) -> String {
    match 100.0 * of {
        percent if percent >= 999.5 => "over 999 %".into(),
        percent if percent >= 0.95 => format!("{percent:.0} %"),
        percent => format!("{percent:.1} %"),
    }
}

/// In words, how many of the layer's weights that the variant shown edits are zero at
/// the cursor; `None` where it edits none of them.
fn zeros(model: &Model, row: &Row) -> Option<String> {
    let zeros = row.zeros.get(model.cursor()?).copied().flatten()?;
    Some(sparsify::told(&zeros, format::count))
}

/// Every exact number of the highlighted layer at the cursor.
fn reading(model: &Model, theme: &Theme, row: &Row, area: Rect, buffer: &mut Buffer) {
    let columns = usize::from(area.width);
    let Some(i) = model.cursor() else { return };
    let own = |text: String, style| Span::styled(theme.spell(&text).into_owned(), style);
    let dim = |text: &str| own(text.to_string(), theme.dim());
    let plain = |text: String| own(text, theme.text());
    let alpha = model.board.alphas.get(i).copied().unwrap_or_default();
    let mut first = vec![vec![
        Span::styled(paint::cut(theme, &row.name, 28), theme.key()),
        own(format!(" α {}", model.board.alpha(alpha)), theme.key()),
    ]];
    match row.points.get(i) {
        Some(Cell::Known(it)) => {
            let rise = format::with_error(it.rise.value, it.rise.stderr);
            let mut s = vec![dim("S "), own(rise, theme.strong())];
            s.extend(it.rise.relative_error().map(|error| dim(&format!(" ({})", share(error)))));
            first.push(s);
            if it.rise.resolved() == Some(false) {
                first.push(vec![own("not resolved: S < 2 se".into(), theme.ink(Ink::Warn))]);
            }
            first.push(vec![dim("loss "), plain(format!("{:.3}", it.loss))]);
            if let Some(relative) = it.relative() {
                first.push(vec![dim("S/L "), plain(format::significant(relative))]);
            }
            if row.points.get(i).is_some_and(Cell::frozen) {
                let share = 100.0 * it.frozen as f64 / it.parameters.max(1) as f64;
                let text = format!("{} {share:.0} % never perturbed", theme.glyphs.frozen);
                first.push(vec![own(text, theme.ink(Ink::Warn))]);
            }
        }
        Some(Cell::Failed(why)) => {
            let text = format!("{} {why}", theme.glyphs.fail);
            let text = paint::cut(theme, &text, columns.saturating_sub(24));
            first.push(vec![Span::styled(text, theme.ink(Ink::Bad))]);
        }
        _ if model.sheet.shown.is_none() && model.can_ask() => {
            first.push(vec![dim("a measures its sharpness")]);
        }
        _ => first.push(vec![dim("not measured yet")]),
    }
    paint::line(buffer, area, 0, &paint::parts(theme, first, columns));
    let mut second: Vec<Vec<Span<'static>>> = Vec::new();
    second.extend(zeros(model, row).map(|text| vec![dim("edited "), plain(text)]));
    if !row.by.is_empty() {
        let names: Vec<&str> = row.by.iter().map(|it| it.name()).collect();
        let text = format!("{} straggler by {}", theme.glyphs.straggler, names.join(", "));
        second.push(vec![own(text, theme.ink(Ink::Warn))]);
    }
    let scores =
        [("z of S ", row.score), ("z of its rise ", row.rise), ("z of distance ", row.distance)];
    for (name, score) in scores {
        if let Some(score) = score {
            second.push(vec![dim(name), plain(format::signed(score))]);
        }
    }
    if let Some(it) = &row.barrier {
        let text = format!("{:.1} ± {:.1} points", it.value, it.stderr);
        let name = model.board.curves.get(it.dataset.index()).map_or("", |it| it.name.as_str());
        second.push(vec![dim("barrier "), plain(text), dim(&format!(" on {name}"))]);
    }
    paint::line(buffer, area, 1, &paint::parts(theme, second, columns));
}

/// What stands at a place of the screen.
#[must_use]
pub fn hit(model: &Model, theme: &Theme, area: Rect, x: u16, y: u16) -> Option<Pick> {
    let place = layout(model, area);
    let at = ratatui::layout::Position { x, y };
    if place.head.contains(at) {
        return header::hit(model, theme, place.head, x, y).map(Pick::Tab);
    }
    let listed = model.layers.listed(&model.sheet.rows, model.cursor());
    let here = model.layers.place(&listed);
    if place.table.contains(at) {
        let room = usize::from(place.table.height.saturating_sub(1));
        let row = usize::from(y.checked_sub(place.table.y + 1)?);
        let shown = super::curves::window(listed.len(), room, Some(here));
        return listed.get(shown)?.get(row).map(|row| Pick::Layer(row.layer));
    }
    if place.map.contains(at) {
        let (_, body) = paint::top(place.map, u16::from(place.table.height > 0));
        let (_, column) = map(model, theme, &listed, here).hit(body, x, y)?;
        return Some(Pick::Alpha(column));
    }
    None
}
