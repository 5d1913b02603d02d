//! The correlation screen: does sharpness go with OOD accuracy along this path?
//!
//! ```text
//! tabs, progress, ends
//! the measurement, or the signs of the runs whose points are together
//! scatter of overall │ scatter of the layer     (one of them where narrow)
//! layer   τ [lo, hi]   ρ [lo, hi]   r [lo, hi]
//! what the table says, and does not say
//! ```

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::Widget;

use crate::app::layers::Measure;
use crate::app::message::Pick;
use crate::app::sheet::{Interval, Relation, Row};
use crate::app::update::context;
use crate::app::{Model, format};
use crate::sweep::spec::Role;

use super::columns::{self, Column};
use super::curves::window;
use super::frame::Frame;
use super::scatter::{Cloud, Mark, Scatter};
use super::theme::{Ink, Theme};
use super::{compare, header, log, paint, popup};

#[derive(Clone, Copy, Debug, Default)]
struct Layout {
    head: Rect,
    what: Rect,
    overall: Rect,
    layer: Rect,
    table: Rect,
    claim: Rect,
    foot: Rect,
}

fn layout(model: &Model, area: Rect) -> Layout {
    let Frame { small, airy, area, head, body: rest, foot, .. } = Frame::of(model, area);
    let (what, rest) = paint::top(rest, u16::from(!small));
    let lines = claim(model, usize::from(area.width)).len();
    let lines = u16::try_from(lines).unwrap_or(u16::MAX).min(rest.height / 3);
    let (rest, claim) = paint::bottom(rest, lines);
    let (rest, _) = paint::bottom(rest, u16::from(rest.height >= 14));
    let mut it = Layout { head, what, claim, foot, ..Layout::default() };
    if small {
        it.table = rest;
        return it;
    }
    let rows = u16::try_from(model.sheet.relations.len() + 1).unwrap_or(u16::MAX);
    let (charts, table) = paint::bottom(rest, rows.min(rest.height * 2 / 5));
    let (charts, _) = paint::bottom(charts, u16::from(airy));
    it.table = table;
    if area.width >= 100 {
        let (left, right) = paint::side(charts, charts.width / 2);
        let (left, _) = paint::side(left, 2);
        (it.overall, it.layer) = (left, right);
    } else {
        it.layer = charts;
    }
    it
}

fn claim(model: &Model, columns: usize) -> Vec<String> {
    let text = match (&model.sheet.claim, model.sheet.shown) {
        (Some(claim), _) => claim.clone(),
        (None, None) if model.can_ask() => {
            "No sharpness is measured in this run; a asks for it.".into()
        }
        (None, None) => {
            "No sharpness was measured in this run; [sharpness] in the spec measures it.".into()
        }
        (None, Some(_)) if model.run.with_role(Role::Ood).next().is_none() => {
            "This run has no dataset out of distribution for sharpness to go with.".into()
        }
        (None, Some(_)) => {
            "Not enough yet: three points with both sharpness and OOD accuracy are needed.".into()
        }
    };
    format::wrap(&text, columns.max(8))
}

/// The highlighted layer's relation; the one with the largest |τ| else, and
/// never the overall one while there are layers.
fn highlighted(model: &Model) -> Option<&Relation> {
    let all = &model.sheet.relations;
    let chosen = model.layers.at.and_then(|at| all.iter().find(|it| it.layer == at));
    chosen.or_else(|| all.iter().find(|it| it.layer.is_some())).or(all.first())
}

/// Draws the correlation screen.
pub fn draw(model: &Model, theme: &Theme, area: Rect, buffer: &mut Buffer) {
    let place = layout(model, area);
    header::draw(model, theme, place.head, buffer);
    what(model, theme, place.what, buffer);
    let here = highlighted(model);
    let row = here.and_then(|it| model.sheet.rows.iter().find(|row| row.layer == it.layer));
    if model.sheet.together.is_empty() {
        if let Some(overall) = model.sheet.overall() {
            scatter(model, theme, overall, Ink::Mean, place.overall, buffer);
        }
        if let Some(row) = row {
            scatter(model, theme, row, Ink::Accent, place.layer, buffer);
        }
    } else {
        let overall = model.sheet.relations.iter().find(|it| it.layer.is_none());
        for (it, area) in [(overall, place.overall), (here, place.layer)] {
            if let Some(it) = it {
                together(model, theme, it, area, buffer);
            }
        }
    }
    table(model, theme, here, place.table, buffer);
    // Spelled first: a letter may become a word.
    let said = claim(model, usize::from(area.width).saturating_sub(2));
    // Where no line is left for it, a folder is typed in the place of the claim.
    let typed = model.opening.is_some() && place.what.height == 0;
    if typed {
        compare::folder(model, theme, place.claim, buffer);
    }
    let text = if typed { String::new() } else { said.join(" ") };
    let lines = format::wrap(&theme.spell(&text), usize::from(place.claim.width).max(8));
    for (i, text) in lines.into_iter().enumerate() {
        let y = u16::try_from(i).unwrap_or(u16::MAX);
        paint::line(buffer, place.claim, y, &Line::styled(text, theme.text()));
    }
    let hints = popup::footer(model, theme, context(model), usize::from(place.foot.width));
    paint::line(buffer, place.foot, 0, &hints);
}

/// Sign and colour of one run of several.
fn identity(theme: &Theme, run: usize) -> (Ink, &'static str) {
    (Ink::Series(run), theme.glyphs.markers[run % theme.glyphs.markers.len()])
}

/// The measurement shown; of several runs together, which sign is whose.
fn what(model: &Model, theme: &Theme, area: Rect, buffer: &mut Buffer) {
    if model.opening.is_some() {
        compare::folder(model, theme, area, buffer);
        return;
    }
    let names = &model.sheet.together;
    if names.is_empty() {
        paint::line(buffer, area, 0, &Line::from(header::measured(model, theme)));
        return;
    }
    let mut spans = Vec::new();
    for (run, name) in names.iter().enumerate() {
        let (ink, marker) = identity(theme, run);
        spans.push(Span::styled(format!("{marker} "), theme.ink(ink)));
        spans.push(Span::styled(format!("{}   ", theme.spell(name)), theme.text()));
    }
    paint::line(buffer, area, 0, &Line::from(spans));
}

/// The points of several runs, one sign each, their paths behind them.
fn together(model: &Model, theme: &Theme, it: &Relation, area: Rect, buffer: &mut Buffer) {
    if area.height < 4 {
        return;
    }
    let (head, body) = paint::top(area, 1);
    log::heading(theme, head, &format!("{}: OOD accuracy over sharpness", it.name), buffer);
    if it.runs.iter().all(Vec::is_empty) {
        let text = paint::cut(theme, "no point with both yet", usize::from(body.width));
        paint::line(buffer, body, 1, &Line::styled(text, theme.dim()));
        return;
    }
    let cursor = model.cursor().and_then(|at| model.board.alphas.get(at));
    let clouds = it.runs.iter().enumerate().map(|(run, points)| {
        let (ink, marker) = identity(theme, run);
        let mark = |&(alpha, x, y): &(f64, f64, f64)| {
            let here = run == 0 && cursor == Some(&alpha);
            let label =
                if here { format!("α {}", model.board.alpha(alpha)) } else { String::new() };
            Mark { x, y, label, here }
        };
        Cloud { ink, marker, joined: true, muted: false, marks: points.iter().map(mark).collect() }
    });
    let axes = ("sharpness S, nats", "OOD mean, top-1 %");
    Scatter { theme, clouds: clouds.collect(), axes }.render(body, buffer);
}

fn scatter(model: &Model, theme: &Theme, row: &Row, ink: Ink, area: Rect, buffer: &mut Buffer) {
    if area.height < 4 {
        return;
    }
    let (head, body) = paint::top(area, 1);
    log::heading(theme, head, &format!("{}: OOD accuracy over sharpness", row.name), buffer);
    let values = row.values(Measure::Rise);
    let both = values.iter().zip(&model.sheet.ood).zip(&model.board.alphas).enumerate();
    let marks: Vec<Mark> = both
        .filter_map(|(i, ((s, ood), alpha))| {
            let here = model.cursor() == Some(i);
            let label = format!("{}{}", if here { "α " } else { "" }, model.board.alpha(*alpha));
            Some(Mark { x: (*s)?, y: ood.as_ref()?.value, label, here })
        })
        .collect();
    if marks.is_empty() {
        let text = paint::cut(theme, "no point with both yet", usize::from(body.width));
        paint::line(buffer, body, 1, &Line::styled(text, theme.dim()));
        return;
    }
    let marker = if ink == Ink::Mean { theme.glyphs.mean } else { theme.glyphs.markers[0] };
    let bare = |it: &Mark| Mark { label: String::new(), here: false, ..it.clone() };
    let line = marks.iter().map(bare).collect();
    let path = Cloud { ink: Ink::Faint, marker, joined: true, muted: true, marks: line };
    let points = Cloud { ink, marker, joined: false, muted: false, marks };
    let axes = ("sharpness S, nats", "OOD mean, top-1 %");
    Scatter { theme, clouds: vec![path, points], axes }.render(body, buffer);
}

fn coefficient(it: Option<Interval>, few: bool, short: bool) -> String {
    let Some(it) = it else { return String::new() };
    let value = format::coefficient(it.value);
    if short {
        return value;
    }
    if few {
        return format!("{value} too few points");
    }
    let (lo, hi) = (format::coefficient(it.lo), format::coefficient(it.hi));
    format!("{value} [{lo}, {hi}]")
}

/// Its interval does not hold 0.
fn clear(it: Option<Interval>) -> bool {
    it.is_some_and(|it| it.lo > 0.0 || it.hi < 0.0)
}

fn table(model: &Model, theme: &Theme, here: Option<&Relation>, area: Rect, buffer: &mut Buffer) {
    if area.height == 0 || model.sheet.relations.is_empty() {
        return;
    }
    let all = &model.sheet.relations;
    let longest = all.iter().map(|it| paint::width(&theme.spell(&it.name))).max().unwrap_or(0);
    let narrow = area.width < 74;
    let wide = if narrow { 6 } else { 21 };
    let mut list = vec![
        Column::new(theme, "", 2, 0, false),
        Column::new(theme, "by |τ|", longest.clamp(7, 30), 0, false),
        Column::new(theme, if narrow { "τ" } else { "Kendall τ" }, wide, 1, true),
        Column::new(theme, if narrow { "ρ" } else { "Spearman ρ" }, wide, 3, true),
        Column::new(theme, if narrow { "r" } else { "Pearson r" }, wide, 4, true),
        Column::new(theme, "points", 6, 5, true),
    ];
    let several = !model.sheet.together.is_empty();
    if several {
        list.insert(
            3,
            Column::new(theme, if narrow { "in runs" } else { "mean τ in runs" }, 7, 2, true),
        );
    }
    let list = columns::fit(list, 1, usize::from(area.width));
    paint::line(buffer, area, 0, &columns::heading(theme, &list));
    let at = here.and_then(|it| all.iter().position(|other| other.layer == it.layer));
    let room = usize::from(area.height.saturating_sub(1));
    for (y, it) in (1u16..).zip(all.get(window(all.len(), room, at)).into_iter().flatten()) {
        let chosen = here.is_some_and(|here| here.layer == it.layer);
        let bold = |style: Style| {
            if it.layer.is_none() { style.add_modifier(Modifier::BOLD) } else { style }
        };
        let number = |value: Option<Interval>| {
            let text = coefficient(value, it.coefficients.is_few(), narrow);
            let text = if text.is_empty() { theme.glyphs.absent.to_string() } else { text };
            let style = if clear(value) { theme.strong() } else { theme.dim() };
            (theme.spell(&text).into_owned(), style)
        };
        let mut cells = vec![
            (if chosen { theme.glyphs.focus } else { " " }.to_string(), theme.key()),
            (it.name.clone(), bold(theme.text())),
            number(it.coefficients.kendall),
            number(it.coefficients.spearman),
            number(it.coefficients.pearson),
            (it.coefficients.points.to_string(), theme.dim()),
        ];
        if several {
            let text = it.within.map_or(theme.glyphs.absent.to_string(), format::coefficient);
            cells.insert(3, (theme.spell(&text).into_owned(), theme.text()));
        }
        paint::line(buffer, area, y, &columns::row(theme, &list, cells));
        if chosen && theme.tints() {
            let line = Rect { y: area.y.saturating_add(y), height: 1, ..area };
            buffer.set_style(line.intersection(area), theme.chosen());
        }
    }
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
    let all = &model.sheet.relations;
    let at = highlighted(model).and_then(|it| all.iter().position(|o| o.layer == it.layer));
    let room = usize::from(place.table.height.saturating_sub(1));
    let row = usize::from(y.checked_sub(place.table.y + 1)?);
    all.get(window(all.len(), room, at))?.get(row).map(|it| Pick::Layer(it.layer))
}
