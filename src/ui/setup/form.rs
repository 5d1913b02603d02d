//! The form.

use std::path::Path;

use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};
use ratatui::text::{Line, Span};

use crate::app::Model;
use crate::app::setup::{
    Known, Overlay, Row, State, describe_alphas, norm_name, parse_alphas, parse_draws,
    parse_radius, parse_whole, precision_name, role_name, sharpness_name,
};
use crate::app::sheet::layers_name;
use crate::sweep::spec::{Layers, Norm, SharpnessKind};
use crate::ui::theme::{Ink, Theme};
use crate::ui::{log, paint, popup};

use super::{cut_front, data_facts, file_facts, known, near, typed};

/// Columns of the rows' names.
const LABEL: usize = 13;
/// From this width on, what a file is stands beside its path.
const BESIDE: u16 = 78;
/// Differences listed.
const DIFFERENCES: usize = 6;

/// A line of the form.
enum FormLine {
    Heading(&'static str),
    Row(Row),
    Text(String, Ink),
}

pub(super) fn draw(
    model: &Model,
    theme: &Theme,
    area: Rect,
    buffer: &mut Buffer,
) -> Option<Position> {
    let state = &model.setup;
    let (head, rest) = paint::top(area, 1);
    title(theme, head, buffer);
    let below = bottom_lines(state, theme, usize::from(area.width));
    // On a small screen the form comes first, one line of words stays: but for why the sweep
    // does not start, which can be read nowhere else. Two rows of the form stay then.
    let room = match rest.height {
        height if refusal(state) => height.saturating_sub(2).max(5),
        height @ 16.. => height.min(5),
        height => (height / 4).max(1),
    };
    let wanted = u16::try_from(below.len()).unwrap_or(u16::MAX);
    let (body, foot) = paint::bottom(rest, wanted.min(room));
    for (i, (text, ink)) in below.iter().enumerate() {
        let text = paint::cut(theme, text, usize::from(foot.width));
        paint::line(
            buffer,
            foot,
            u16::try_from(i).unwrap_or(u16::MAX),
            &Line::styled(text, theme.ink(*ink)),
        );
    }

    let lines = lines(state, theme, body);
    let at = lines
        .iter()
        .position(|line| matches!(line, FormLine::Row(row) if *row == state.row))
        .unwrap_or(0);
    let height = usize::from(body.height);
    // Scrolls no further than it must; a line of context above.
    let most = lines.len().saturating_sub(height);
    let skip = (at + 2).saturating_sub(height).min(most);
    let mut cursor = None;
    for (i, line) in lines.iter().enumerate().skip(skip).take(height) {
        let y = u16::try_from(i - skip).unwrap_or(u16::MAX);
        let place = Rect { y: body.y + y, height: 1, ..body };
        match line {
            FormLine::Heading(text) => log::heading(theme, place, text, buffer),
            FormLine::Text(text, ink) => {
                let text = paint::cut(theme, text, usize::from(place.width));
                paint::line(buffer, place, 0, &Line::styled(text, theme.ink(*ink)));
            }
            FormLine::Row(row) => {
                if let Some(at) = draw_row(state, *row, theme, place, buffer) {
                    cursor = Some(at);
                }
            }
        }
    }
    cursor
}

fn title(theme: &Theme, area: Rect, buffer: &mut Buffer) {
    let line = Line::from(vec![
        Span::styled("alphascope", theme.strong()),
        Span::styled("  set up a sweep", theme.dim()),
    ]);
    paint::line(buffer, area, 0, &line);
}

/// Headings and air only where there is room for them.
fn lines(state: &State, theme: &Theme, area: Rect) -> Vec<FormLine> {
    let rows = state.rows().len();
    let roomy = usize::from(area.height) >= rows + 3;
    let airy = usize::from(area.height) >= rows + 3 + 8;
    let mut lines = vec![];
    let heading = |lines: &mut Vec<FormLine>, text| {
        if airy {
            lines.push(FormLine::Text(String::new(), Ink::Dim));
        }
        if roomy {
            lines.push(FormLine::Heading(text));
        }
    };
    heading(&mut lines, "checkpoints");
    for row in state.rows() {
        match row {
            Row::AddDataset if state.datasets.is_empty() => {
                pair_lines(state, theme, &mut lines);
                heading(&mut lines, "datasets");
            }
            Row::Dataset(0) => {
                pair_lines(state, theme, &mut lines);
                heading(&mut lines, "datasets");
            }
            Row::Alphas => heading(&mut lines, "sweep"),
            _ => {}
        }
        lines.push(FormLine::Row(row));
    }
    lines
}

/// Whether the two checkpoints match, and where not, why.
fn pair_lines(state: &State, theme: &Theme, lines: &mut Vec<FormLine>) {
    let indent = "  ";
    let mut say = |text: String, ink| lines.push(FormLine::Text(format!("{indent}{text}"), ink));
    let g = theme.glyphs;
    match state.pair() {
        None => {}
        Some(Known::Reading(_)) => say(format!("{} comparing the two{}", g.dot, g.more), Ink::Dim),
        // Each file's own line says why.
        Some(Known::Failed(_)) => {}
        Some(Known::Ready(pair)) if pair.matches() => {
            say(format!("{} the two match", g.ok), Ink::Good);
            for notice in &pair.notices {
                say(format!("{} {notice}", g.dot), Ink::Dim);
            }
        }
        Some(Known::Ready(pair)) => {
            say(format!("{} the two do not match:", g.fail), Ink::Bad);
            for difference in pair.differences.iter().take(DIFFERENCES) {
                let ends = [&state.zeroshot, &state.finetuned].into_iter().flatten();
                let text = ends.fold(difference.clone(), |text, path| near(&text, path));
                say(format!("    {text}"), Ink::Warn);
            }
            let more = pair.more + pair.differences.len().saturating_sub(DIFFERENCES);
            if more > 0 {
                say(format!("    and {more} more"), Ink::Warn);
            }
        }
    }
}

fn name(path: Option<&Path>, state: &State) -> Option<String> {
    path.map(|path| state.short(path))
}

/// `(label, value, beside)`; no value: nothing was chosen yet.
fn texts(state: &State, row: Row, theme: &Theme) -> (String, Option<String>, (String, Ink)) {
    let none = (String::new(), Ink::Dim);
    let plain =
        |label: &str, value: &str| (label.to_string(), Some(value.to_string()), none.clone());
    let file = |label: &str, path: Option<&Path>| {
        let facts = known(path.and_then(|path| state.probes.file(path)), theme, |it| {
            file_facts(it, true, theme)
        });
        let (text, ink) = facts;
        let text = path.map_or_else(String::new, |path| near(&text, path));
        (label.to_string(), name(path, state), (text, ink))
    };
    match row {
        Row::ZeroShot => file("zero-shot", state.zeroshot.as_deref()),
        Row::FineTuned => file("fine-tuned", state.finetuned.as_deref()),
        Row::Dataset(i) => match state.datasets.get(i) {
            None => plain("", ""),
            Some(set) => {
                let facts = known(state.probes.data(&set.path), theme, |it| data_facts(it, theme));
                (format!("  {}", role_name(set.role)), Some(set.name.clone()), facts)
            }
        },
        Row::AddDataset => ("  +".into(), Some("add a dataset".into()), none),
        Row::Alphas => {
            let beside = match parse_alphas(&state.alphas) {
                Ok(alphas) => {
                    let text = describe_alphas(&alphas);
                    (format!("{text}; α 0 is zero-shot, 1 fine-tuned"), Ink::Dim)
                }
                Err(why) => (format!("{} {why}", theme.glyphs.warn), Ink::Warn),
            };
            ("alphas".into(), Some(state.alphas.clone()), beside)
        }
        Row::Batch => (
            "batch".into(),
            Some(state.batch.clone()),
            ("images per forward pass".into(), Ink::Dim),
        ),
        Row::Device => {
            let others: Vec<&str> = state
                .devices
                .iter()
                .filter(|it| **it != state.device)
                .map(String::as_str)
                .collect();
            (
                "device".into(),
                Some(state.device.clone()),
                (format!("or {}", others.join(", ")), Ink::Dim),
            )
        }
        Row::Precision => {
            let what = "auto: bfloat16 on CUDA after a check, else float32";
            (
                "precision".into(),
                Some(precision_name(state.precision).into()),
                (what.into(), Ink::Dim),
            )
        }
        Row::Seed => {
            ("seed".into(), Some(state.seed.clone()), ("of the image order".into(), Ink::Dim))
        }
        Row::Sharpness => {
            let what = match state.sharpness {
                None => "or average, worst: how sharp the loss is, overall and by layer",
                Some(SharpnessKind::Average) => "mean rise of the loss under random perturbations",
                Some(SharpnessKind::Worst) => "largest rise that Auto-PGD finds; the slower one",
            };
            (
                "sharpness".into(),
                Some(sharpness_name(state.sharpness).into()),
                (what.into(), Ink::Dim),
            )
        }
        Row::Norm => {
            let what = match state.sharp.norm {
                Norm::L2 => "Gaussian draws; the ball is an ellipsoid",
                Norm::Linf => "uniform draws; the ball is a box",
            };
            ("  norm".into(), Some(norm_name(state.sharp.norm).into()), (what.into(), Ink::Dim))
        }
        Row::Rho => {
            let wrong = parse_radius(&state.sharp.rho).err();
            let what = "how far weights are moved, in units of their size";
            ("  radius ρ".into(), Some(state.sharp.rho.clone()), or_wrong(wrong, what, theme))
        }
        Row::Count => {
            let kind = state.sharpness.unwrap_or_default();
            let count = state.sharp.count(kind);
            let (label, wrong, what) = match kind {
                SharpnessKind::Average => (
                    "  draws",
                    parse_draws(count).err(),
                    "even; four times as many halve the error",
                ),
                SharpnessKind::Worst => {
                    ("  steps", parse_whole(count, 1).err(), "of the search, for each batch")
                }
            };
            (label.into(), Some(count.into()), or_wrong(wrong, what, theme))
        }
        Row::Batches => {
            let wrong = parse_whole(&state.sharp.batches, 1).err();
            let what = "of 128 images of the first ID dataset; fewer where it has fewer";
            ("  batches".into(), Some(state.sharp.batches.clone()), or_wrong(wrong, what, theme))
        }
        Row::Layers => {
            let what = match state.layers {
                Layers::None => "overall only",
                Layers::Block => "stem, each block, head",
                Layers::Module => "attention and MLP of each block apart",
                Layers::Tensor => "every tensor alone: many, and slow",
            };
            ("  layers".into(), Some(layers_name(state.layers).into()), (what.into(), Ink::Dim))
        }
        Row::Output => {
            let runs = state.runs.as_deref().map(|runs| state.short(runs));
            let place =
                runs.map_or("a new folder".into(), |runs| format!("a new folder in {runs}"));
            let value = if state.output.is_empty() { place } else { state.output.clone() };
            ("output".into(), Some(value), none)
        }
        Row::Start => ("start".into(), Some(String::new()), start_text(state, theme)),
    }
}

/// What is wrong with a row's text, else what it is.
fn or_wrong(wrong: Option<String>, what: &str, theme: &Theme) -> (String, Ink) {
    match wrong {
        Some(why) => (format!("{} {why}", theme.glyphs.warn), Ink::Warn),
        None => (what.into(), Ink::Dim),
    }
}

fn start_text(state: &State, theme: &Theme) -> (String, Ink) {
    if let Some(starting) = &state.starting {
        return (
            format!("opening {}{} esc: not after all", starting.what, theme.glyphs.more),
            Ink::Accent,
        );
    }
    match state.missing().split_first() {
        None => match state.checked() {
            Some(Known::Ready(())) => (format!("{} ready", theme.glyphs.ok), Ink::Good),
            // Nothing is known to be wrong: it may be started all the same.
            _ => (format!("{} checking{}", theme.glyphs.dot, theme.glyphs.more), Ink::Dim),
        },
        Some((first, rest)) => {
            let more =
                if rest.is_empty() { String::new() } else { format!(" (and {} more)", rest.len()) };
            (format!("not yet: {first}{more}"), Ink::Dim)
        }
    }
}

fn draw_row(
    state: &State,
    row: Row,
    theme: &Theme,
    area: Rect,
    buffer: &mut Buffer,
) -> Option<Position> {
    let chosen = row == state.row;
    if chosen {
        buffer.set_style(area.intersection(buffer.area), theme.raised());
    }
    let (label, value, (beside, ink)) = texts(state, row, theme);
    let sign = if chosen { theme.glyphs.focus } else { " " };
    let total = usize::from(area.width);
    let label_room = LABEL.min(total / 3);
    let left = total.saturating_sub(label_room + 2);
    let has_beside = area.width >= BESIDE && !beside.is_empty();
    let value_room = match row {
        _ if !has_beside => left,
        Row::Start => 0,
        Row::ZeroShot | Row::FineTuned => left * 2 / 5,
        _ => (left * 2 / 5).min(30),
    };
    let value_style = match (&value, row) {
        (None, _) => theme.ink(Ink::Warn),
        (_, Row::AddDataset) => theme.dim(),
        (_, Row::Output) if state.output.is_empty() => theme.dim(),
        _ if chosen => theme.strong(),
        _ => theme.text(),
    };
    let label_style = if chosen { theme.key() } else { theme.dim() };
    let value = value.unwrap_or_else(|| "choose a file".into());
    let mut spans = vec![
        Span::styled(format!("{sign} "), theme.key()),
        Span::styled(paint::left(theme, &label, label_room), label_style),
    ];
    // The small screen has no place beside: "start" says itself.
    if row == Row::Start && !has_beside {
        spans.push(Span::styled(paint::cut(theme, &beside, left), theme.ink(ink)));
    } else {
        let shown = cut_front(theme, &value, value_room.saturating_sub(1));
        let pad = value_room.saturating_sub(paint::width(&shown));
        spans.push(Span::styled(shown, value_style));
        if has_beside {
            spans.push(Span::raw(" ".repeat(pad)));
            spans.push(Span::styled(paint::cut(theme, &beside, left - value_room), theme.ink(ink)));
        }
    }
    paint::line(buffer, area, 0, &Line::from(spans));
    let Overlay::Text(field) = &state.overlay else { return None };
    if !chosen {
        return None;
    }
    let at = u16::try_from(label_room + 2).unwrap_or(0).min(area.width);
    let width = u16::try_from(value_room.max(12)).unwrap_or(0).min(area.width - at);
    Some(typed(field, theme, Rect { x: area.x + at, width, ..area }, buffer))
}

/// A message without the folders of what stands in the form anyway.
fn plainly(state: &State, text: &str) -> String {
    let ends = [&state.zeroshot, &state.finetuned].into_iter().flatten();
    let paths = ends.chain(state.datasets.iter().map(|set| &set.path));
    paths.fold(text.to_string(), |text, path| near(&text, path))
}

/// Why the sweep does not start is told below the form.
fn refusal(state: &State) -> bool {
    let asked = state.row == Row::Start && state.starting.is_none();
    state.said.is_some() || (asked && !state.missing().is_empty())
}

/// About the highlighted row, and the last word: what does not fit beside.
fn bottom_lines(state: &State, theme: &Theme, columns: usize) -> Vec<(String, Ink)> {
    let mut lines = vec![];
    if let Some(said) = &state.said {
        let said = plainly(state, said);
        for part in popup::wrap(&theme.spell(&said), columns.max(8)) {
            lines.push((part, Ink::Warn));
        }
    } else if let Some(starting) = &state.starting {
        let text = format!("opening {}{} esc: not after all", starting.what, theme.glyphs.more);
        lines.push((text, Ink::Accent));
    } else {
        lines.extend(detail(state, theme, columns));
    }
    lines
}

/// What is known of the highlighted row in full.
fn detail(state: &State, theme: &Theme, columns: usize) -> Vec<(String, Ink)> {
    let full = |path: &Path, facts: (String, Ink)| {
        vec![(theme.spell(&path.display().to_string()).into_owned(), Ink::Dim), facts]
    };
    let (_, _, beside) = texts(state, state.row, theme);
    match state.row {
        Row::ZeroShot => state.zeroshot.as_deref().map(|path| full(path, beside)),
        Row::FineTuned => state.finetuned.as_deref().map(|path| full(path, beside)),
        Row::Dataset(i) => state.datasets.get(i).map(|set| full(&set.path, beside)),
        Row::Start => {
            let all = state.missing().into_iter().take(5);
            let wrapped = all.flat_map(|line| {
                let line = plainly(state, &line);
                let text = theme.spell(&format!("{} {line}", theme.glyphs.dot)).into_owned();
                popup::wrap(&text, columns.max(8))
            });
            Some(wrapped.map(|part| (part, Ink::Warn)).collect())
        }
        _ => Some(vec![beside]),
    }
    .unwrap_or_default()
}
