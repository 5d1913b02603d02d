//! The run library: a table of runs, two lines about the highlighted one, or two
//! runs side by side.
//!
//! ```text
//! runs in FOLDER                                       12 of 30 runs
//! name   state   gain   at α   done   age   size
//! what the highlighted one is
//! a text being typed, or a word
//! hints
//! ```

use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};
use ratatui::text::{Line, Span};

use crate::app::library::{Library, Typing};
use crate::app::update::context;
use crate::app::{Model, format};
use crate::library::{self, Run, State};
use crate::plural;

use super::theme::{Ink, Theme};
use super::{paint, popup, setup};

/// Columns beside the name, from the right: least needed first to go.
const COLUMNS: [(&str, usize); 6] =
    [("state", 10), ("gain", 5), ("at α", 6), ("done", 5), ("age", 7), ("size", 7)];
/// Columns of a name where the pair and the datasets have room beside it.
const NAME: usize = 36;
/// … and the least room they need.
const ABOUT: usize = 30;

/// Draws the library; answers where the text cursor stands, if text is typed.
pub fn draw(model: &Model, theme: &Theme, area: Rect, buffer: &mut Buffer) -> Option<Position> {
    let it = &model.library;
    let (rest, foot) = paint::bottom(area, u16::from(area.height >= 6));
    let hints =
        popup::footer(model, theme, context(model), usize::from(foot.width).saturating_sub(2));
    paint::line(buffer, paint::inset(foot, 1), 0, &hints);
    let (rest, word) = paint::bottom(paint::inset(rest, 1), u16::from(area.height >= 5));
    let (head, rest) = paint::top(rest, 1);
    title(it, theme, head, buffer);
    let about = if rest.height >= 8 { 3 } else { 0 };
    let (list, about) = paint::bottom(rest, about);
    table(it, theme, list, buffer);
    if let Some((_, run)) = it.highlighted() {
        detail(run, theme, about, buffer);
    }
    if it.comparing
        && let Some(pair) = it.pair()
    {
        comparison(pair, theme, area, buffer);
    }
    below(it, theme, word, buffer).filter(|_| model.help.is_none())
}

fn title(it: &Library, theme: &Theme, area: Rect, buffer: &mut Buffer) {
    let folder = it.folder.as_ref().map_or_else(String::new, |it| it.display().to_string());
    let (shown, all) = (it.shown().count(), it.runs.len());
    let many = if shown == all { all.to_string() } else { format!("{shown} of {all}") };
    let state = if it.done.is_none() { theme.glyphs.more } else { "" };
    let right = Line::styled(format!("{many} {}{state}", plural::noun(&all, "run")), theme.dim());
    let room = usize::from(area.width).saturating_sub(right.width() + 2);
    let mut spans = vec![Span::styled("Runs", theme.strong())];
    if room > 12 {
        let folder = setup::cut_front(theme, &folder, room - 5);
        spans.push(Span::styled(format!(" {folder}"), theme.dim()));
    }
    paint::line(buffer, area, 0, &Line::from(spans));
    paint::line_right(buffer, area, 0, &right);
}

/// How many of [`COLUMNS`] there is room for.
fn columns(width: usize) -> usize {
    let mut used = 18;
    COLUMNS
        .iter()
        .take_while(|(_, wide)| {
            used += wide + 2;
            used <= width
        })
        .count()
}

fn ink(state: State) -> Ink {
    match state {
        State::Running => Ink::Accent,
        State::Complete => Ink::Good,
        State::Stopped | State::Partial => Ink::Warn,
        State::Damaged => Ink::Bad,
        State::Foreign => Ink::Dim,
    }
}

fn sign(state: State, theme: &Theme) -> &'static str {
    let glyphs = theme.glyphs;
    match state {
        State::Running => glyphs.run,
        State::Complete => glyphs.ok,
        State::Stopped | State::Partial => glyphs.warn,
        State::Damaged => glyphs.fail,
        State::Foreign => glyphs.open,
    }
}

fn table(it: &Library, theme: &Theme, area: Rect, buffer: &mut Buffer) {
    let width = usize::from(area.width);
    let many = columns(width);
    let name = width.saturating_sub(COLUMNS[..many].iter().map(|(_, it)| it + 2).sum::<usize>());
    let about = name.saturating_sub(NAME + 2);
    let (name, about) = if about >= ABOUT { (NAME, about) } else { (name, 0) };
    let mut head = paint::left(theme, "    name", name);
    for (title, wide) in &COLUMNS[..many] {
        let spelled = theme.spell(title);
        // `at alpha` is too long in ASCII, and `at` beside the gain says enough.
        let text = match spelled.split_once(' ') {
            Some((first, _)) if paint::width(&spelled) > *wide => first,
            _ => &spelled,
        };
        head.push_str("  ");
        // States are words, the rest are numbers.
        let left = *title == "state";
        let cell =
            if left { paint::left(theme, text, *wide) } else { paint::right(theme, text, *wide) };
        head.push_str(&cell);
    }
    if about > 0 {
        head.push_str("  pair, datasets");
    }
    paint::line(buffer, area, 0, &Line::styled(head, theme.dim()));
    let (_, body) = paint::top(area, 1);
    let here = it.highlighted().map(|(at, _)| at);
    let rows = usize::from(body.height);
    let skip =
        here.unwrap_or(0).saturating_sub(rows / 2).min(it.shown().count().saturating_sub(rows));
    for (row, (at, run)) in it.shown().enumerate().skip(skip).take(rows).enumerate() {
        let mut line = line(it, run, here == Some(at), (name, many), theme);
        if about > 0 {
            let text = paint::cut(theme, &pair(run), about);
            line.push_span(Span::styled(format!("  {text}"), theme.dim()));
        }
        paint::line(buffer, body, u16::try_from(row).unwrap_or(u16::MAX), &line);
    }
    if it.shown().next().is_none() {
        let text = match &it.done {
            None => "looking".to_string(),
            Some(Err(why)) => why.clone(),
            Some(Ok(())) if it.runs.is_empty() => "no runs yet: every sweep makes one".into(),
            Some(Ok(())) => "no such run: esc shows all".into(),
        };
        let text = paint::cut(theme, &text, width.saturating_sub(4));
        paint::line(buffer, body, 0, &Line::styled(format!("    {text}"), theme.dim()));
    }
}

fn line(
    it: &Library,
    run: &Run,
    here: bool,
    (name, many): (usize, usize),
    theme: &Theme,
) -> Line<'static> {
    let focus = if here { theme.glyphs.focus } else { " " };
    let mark = if it.marked.contains(&run.name) { theme.glyphs.active } else { " " };
    let style = if here { theme.strong() } else { theme.text() };
    let shown = paint::left(theme, &run.name, name.saturating_sub(4));
    let mut spans =
        vec![Span::styled(format!("{focus} {mark} "), theme.key()), Span::styled(shown, style)];
    let found = run.found.as_ref();
    let gain = found.and_then(|it| it.gain).map(|[value, ..]| format::signed(value));
    let texts = [
        None,
        gain,
        found.and_then(|it| it.best_alpha).map(|it| format::alpha(it, 4)),
        run.percent().map(|it| format!("{it} %")),
        Some(library::since(run.changed, it.now.max(run.changed))),
        Some(library::bytes(run.bytes)),
    ];
    for ((title, wide), text) in COLUMNS.iter().zip(texts).take(many) {
        spans.push(Span::raw("  "));
        if *title == "state" {
            let text = format!("{} {}", sign(run.state, theme), run.state.name());
            spans.push(Span::styled(paint::left(theme, &text, *wide), theme.ink(ink(run.state))));
        } else {
            let text = text.unwrap_or_else(|| theme.glyphs.absent.into());
            spans.push(Span::styled(paint::right(theme, &text, *wide), style));
        }
    }
    Line::from(spans)
}

/// `zeroshot → finetuned on id, ood`; of what is no run, why.
fn pair(run: &Run) -> String {
    let Some(it) = &run.found else { return run.note.clone().unwrap_or_default() };
    let names: Vec<&str> = it.datasets.iter().map(|it| it.name.as_str()).collect();
    format!("{} → {} on {}", it.zeroshot, it.finetuned, names.join(", "))
}

/// What the highlighted run is: its ends, its datasets, its gain or what is wrong.
fn detail(run: &Run, theme: &Theme, area: Rect, buffer: &mut Buffer) {
    let width = usize::from(area.width);
    let mut lines = Vec::new();
    if let Some(it) = &run.found {
        lines.push(Line::styled(paint::cut(theme, &pair(run), width), theme.text()));
        let gain = it.gain.map_or_else(
            || "RFT gain not yet".to_string(),
            |gain| {
                let [value, lo, hi] = gain.map(format::signed);
                let at = it.best_alpha.map(|it| format::alpha(it, 6)).unwrap_or_default();
                format!("RFT gain {value} [{lo}, {hi}] points at α {at}")
            },
        );
        let text =
            it.label.as_ref().map_or_else(|| gain.clone(), |label| format!("{gain}; {label}"));
        lines.push(Line::styled(paint::cut(theme, &text, width), theme.text()));
    }
    if let Some(note) = &run.note {
        lines.push(Line::styled(paint::cut(theme, note, width), theme.ink(ink(run.state))));
    }
    for (row, line) in lines.iter().enumerate() {
        paint::line(buffer, area, u16::try_from(row).unwrap_or(u16::MAX), line);
    }
}

fn comparison(pair: [&Run; 2], theme: &Theme, area: Rect, buffer: &mut Buffer) {
    let text = library::compare(pair);
    let lines: Vec<&str> = text.lines().collect();
    let wide = lines.iter().map(|line| paint::width(line)).max().unwrap_or(0) + 4;
    let size = (
        u16::try_from(wide).unwrap_or(u16::MAX).max(30),
        u16::try_from(lines.len() + 2).unwrap_or(u16::MAX),
    );
    let inside = popup::boxed(theme, area, size, "Side by side: esc closes", buffer);
    for (row, line) in lines.iter().enumerate() {
        let line = paint::cut(theme, line, usize::from(inside.width));
        let style = if row == 0 { theme.strong() } else { theme.text() };
        paint::line(
            buffer,
            inside,
            u16::try_from(row).unwrap_or(u16::MAX),
            &Line::styled(line, style),
        );
    }
}

/// What is typed, or a word.
fn below(it: &Library, theme: &Theme, area: Rect, buffer: &mut Buffer) -> Option<Position> {
    let (label, field) = match &it.typing {
        Some(Typing::Filter(field)) => ("filter ", field),
        Some(Typing::Rename(field)) => ("new name ", field),
        None => {
            let (text, ink) = match (&it.said, it.filter.as_str()) {
                (Some(said), _) => (said.clone(), Ink::Warn),
                (None, "") => return None,
                (None, filter) => (format!("only runs with: {filter}"), Ink::Dim),
            };
            let text = paint::cut(theme, &text, usize::from(area.width));
            paint::line(buffer, area, 0, &Line::styled(text, theme.ink(ink)));
            return None;
        }
    };
    paint::line(buffer, area, 0, &Line::styled(label, theme.key()));
    let used = u16::try_from(label.len()).unwrap_or(0).min(area.width);
    let field_area = Rect { x: area.x + used, width: area.width - used, ..area };
    Some(setup::typed(field, theme, field_area, buffer))
}
