//! A row for each layer.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};

use crate::app::layers::{Measure, Sort, edit_name};
use crate::app::sheet::{Cell, Criterion, Row};
use crate::app::{Model, format};
use crate::sweep::ids::VariantId;
use crate::ui::columns::{self, Column};
use crate::ui::curves::{spark, window};
use crate::ui::paint;
use crate::ui::theme::{Ink, Theme};

/// Place of the name among the columns.
const NAME: usize = 1;

fn layout(model: &Model, theme: &Theme, listed: &[&Row], room: usize) -> Vec<Option<Column>> {
    let layers = &model.layers;
    let sorted = |sort: Sort, title: &str| {
        let sign = theme.glyphs.sorted[usize::from(sort.descends() == layers.reversed)];
        if layers.sort == sort { format!("{title}{sign}") } else { title.to_string() }
    };
    let longest = listed.iter().map(|row| paint::width(&theme.spell(&row.name))).max();
    let grid = model.board.alphas.len();
    let alpha = model.cursor().and_then(|i| model.board.alphas.get(i)).copied();
    let at = alpha.map_or_else(String::new, |it| format!(" at α {}", model.board.alpha(it)));
    let name = layers.measure.name();
    let here = match layers.measure {
        Measure::Rise => sorted(Sort::Sharpness, &format!("S{at}")),
        Measure::Relative => sorted(Sort::Relative, &format!("S/L{at}")),
    };
    let other = match layers.measure {
        Measure::Rise => sorted(Sort::Relative, "S/L"),
        Measure::Relative => sorted(Sort::Sharpness, "S"),
    };
    let edits = if edited(model) { 0 } else { 11 };
    let wide = here_width(theme, &here);
    let all = vec![
        Column::new(theme, "", 3, 0, false),
        Column::new(
            theme,
            &sorted(Sort::Name, "layer"),
            longest.unwrap_or(0).clamp(6, 30),
            0,
            false,
        ),
        Column::new(theme, &sorted(Sort::Parameters, "size"), 6, 8, true),
        Column::new(theme, &sorted(Sort::Moved, "moved"), 7, 4, true),
        Column::new(theme, &format!("{name} over α"), grid.clamp(9, 21), 2, false),
        Column::new(theme, "range", 14, 3, false),
        Column::new(theme, &here, wide, 1, true),
        Column::new(theme, &other, 7, 9, true),
        Column::new(theme, &sorted(Sort::Barrier, "barrier"), 10, 5, true),
        Column::new(theme, &sorted(Sort::Straggler, "straggler"), 11, 1, false),
        Column::new(theme, "", 14, edits, false),
    ];
    columns::fit(all, NAME, room)
}

fn here_width(theme: &Theme, title: &str) -> usize {
    paint::width(&theme.spell(title)).max(paint::width(&theme.spell("0.0321 ±0.0005")))
}

/// Something is sparsified, or about to be.
fn edited(model: &Model) -> bool {
    !model.layers.edits.is_empty() || !model.layers.picked.is_empty()
}

/// Smallest and largest of the known values.
fn extent(theme: &Theme, row: &Row, measure: Measure) -> String {
    let values = || row.values(measure).into_iter().flatten().filter(|v| v.is_finite());
    let (lo, hi) = (values().fold(f64::MAX, f64::min), values().fold(f64::MIN, f64::max));
    if lo > hi {
        return String::new();
    }
    let text = format!("{}–{}", format::aligned(lo), format::aligned(hi));
    theme.spell(&text).into_owned()
}

/// Letters of the criteria that fired, for narrow columns.
pub(super) fn criteria(theme: &Theme, by: &[Criterion]) -> String {
    if by.is_empty() {
        return String::new();
    }
    let letter = |it: &Criterion| match it {
        Criterion::Sharpness => "S",
        Criterion::Barrier => "B",
        Criterion::Distance => "D",
        Criterion::Rise => "R",
    };
    match by {
        [one] => format!("{} {}", theme.glyphs.straggler, one.name()),
        many => {
            let letters: Vec<&str> = many.iter().map(letter).collect();
            format!("{} {}", theme.glyphs.straggler, letters.join(" "))
        }
    }
}

/// What is done to the layer, and whether it is in force.
fn edit(model: &Model, theme: &Theme, row: &Row) -> (String, Style) {
    let g = theme.glyphs;
    let Some(edit) = model.layers.edits.iter().find(|it| it.layer == row.name) else {
        return (String::new(), theme.dim());
    };
    let words = edit_name(edit);
    let asked = model.live.requested.variants.contains(&model.layers.edits);
    let id = model.run.variants().iter().position(|it| it.sparsify == model.layers.edits);
    let failed = |id: VariantId| {
        let cells = || model.run.cell_ids().filter(|cell| cell.variant == id);
        cells().any(|cell| model.run.cell(cell).is_some_and(|it| it.failed.is_some()))
    };
    match id.map(VariantId) {
        _ if asked => (format!("{} {words}", g.asked), theme.ink(Ink::Warn)),
        Some(id) if failed(id) => (format!("{} {words}", g.fail), theme.ink(Ink::Bad)),
        Some(_) => (format!("{} {words}", g.active), theme.ink(Ink::Good)),
        None => (format!("{} {words}", g.asked), theme.ink(Ink::Warn)),
    }
}

fn value(theme: &Theme, cell: Option<&Cell>, measure: Measure) -> (String, Style) {
    let absent = (theme.glyphs.absent.to_string(), theme.faint());
    let Some(cell) = cell else { return absent };
    if let Cell::Failed(_) = cell {
        return ("failed".to_string(), theme.ink(Ink::Bad));
    }
    let Some(value) = cell.value(measure) else { return absent };
    let frozen = if cell.frozen() { theme.glyphs.frozen } else { "" };
    let text = format::with_error(value, cell.stderr(measure));
    (theme.spell(&format!("{text}{frozen}")).into_owned(), theme.text())
}

fn cells(model: &Model, theme: &Theme, row: &Row, here: bool) -> Vec<(String, Style)> {
    let (g, measure) = (theme.glyphs, model.layers.measure);
    let at = model.cursor().and_then(|i| row.points.get(i));
    let other = match measure {
        Measure::Rise => at.and_then(|it| it.value(Measure::Relative)),
        Measure::Relative => at.and_then(|it| it.value(Measure::Rise)),
    };
    let absent = || g.absent.to_string();
    let number = |it: Option<f64>| {
        it.map_or_else(absent, |it| theme.spell(&format::aligned(it)).into_owned())
    };
    let bold = |style: Style| {
        if here || row.layer.is_none() { style.add_modifier(Modifier::BOLD) } else { style }
    };
    let warn = |fired: Criterion, style: Style| {
        if row.by.contains(&fired) { theme.ink(Ink::Warn) } else { style }
    };
    let picked = row.layer.is_some_and(|id| model.layers.picked.contains(&id));
    let (text, style) = value(theme, at, measure);
    let overall = row.layer.is_none();
    vec![
        (
            format!("{}{}", if here { g.focus } else { " " }, if picked { g.picked } else { " " }),
            theme.key(),
        ),
        (
            row.name.clone(),
            bold(if row.by.is_empty() { theme.text() } else { theme.ink(Ink::Warn) }),
        ),
        (format::amount(row.parameters), theme.dim()),
        (
            if overall { String::new() } else { number(row.moved) },
            warn(Criterion::Distance, theme.dim()),
        ),
        (
            spark(theme, &row.values(measure), 21),
            warn(Criterion::Sharpness, theme.ink(Ink::Accent)),
        ),
        (extent(theme, row, measure), theme.dim()),
        (text, bold(style)),
        (number(other), theme.dim()),
        (
            match &row.barrier {
                Some(it) => theme.spell(&format!("{:.1} ±{:.1}", it.value, it.stderr)).into_owned(),
                None if overall => String::new(),
                None => absent(),
            },
            warn(Criterion::Barrier, theme.dim()),
        ),
        (criteria(theme, &row.by), theme.ink(Ink::Warn)),
        edit(model, theme, row),
    ]
}

pub(super) fn draw(
    model: &Model,
    theme: &Theme,
    listed: &[&Row],
    at: usize,
    area: Rect,
    buffer: &mut Buffer,
) {
    let columns = layout(model, theme, listed, usize::from(area.width));
    paint::line(buffer, area, 0, &columns::heading(theme, &columns));
    let room = usize::from(area.height.saturating_sub(1));
    let shown = window(listed.len(), room, Some(at));
    let first = shown.start;
    for (i, row) in listed.get(shown).into_iter().flatten().enumerate() {
        let y = u16::try_from(i + 1).unwrap_or(u16::MAX);
        let here = first + i == at;
        let cells = cells(model, theme, row, here);
        paint::line(buffer, area, y, &columns::row(theme, &columns, cells));
        if here && theme.tints() {
            let line = Rect { y: area.y.saturating_add(y), height: 1, ..area };
            buffer.set_style(line.intersection(area), theme.chosen());
        }
    }
}
