//! The top lines: names and state, progress, gain and verdict.

use ratatui::style::Style;
use ratatui::text::{Line, Span};

use crate::app::board::Verdict;
use crate::app::format;
use crate::app::{Mode, Model};
use crate::sweep::event::{Outcome, Task};

use super::paint;
use super::theme::{Ink, Theme};

/// The state of the run: a sign, words, how much it should stand out.
struct Status {
    sign: &'static str,
    text: String,
    ink: Ink,
    loud: bool,
}

fn status(model: &Model, theme: &Theme) -> Status {
    let glyphs = theme.glyphs;
    let state = |sign, text: &str, ink, loud| Status { sign, text: text.to_string(), ink, loud };
    let requested = &model.live.requested;
    if let Some(Err(_)) = &model.ended {
        return state(glyphs.fail, "ended by an error", Ink::Bad, true);
    }
    let outcome =
        model.run.outcome.or(model.ended.as_ref().and_then(|it| it.as_ref().ok()).copied());
    match outcome {
        Some(Outcome::Complete) => return state(glyphs.ok, "complete", Ink::Good, true),
        Some(Outcome::Partial) => {
            let text = format!("finished, {} cells failed", model.board.failed);
            return state(glyphs.fail, &text, Ink::Bad, true);
        }
        Some(Outcome::Stopped) => {
            return state(glyphs.warn, "stopped, can be resumed", Ink::Warn, true);
        }
        None => {}
    }
    if model.run.header().is_none() {
        return state(glyphs.open, "starting", Ink::Dim, false);
    }
    match (requested.stop, model.run.paused, requested.pause) {
        (true, _, _) => state(glyphs.warn, "stopping after this batch", Ink::Warn, true),
        (_, true, Some(false)) => state(glyphs.pause, "paused, resume asked", Ink::Warn, true),
        (_, true, _) => state(glyphs.pause, "paused", Ink::Warn, true),
        (_, _, Some(true)) => {
            state(glyphs.run, "pause asked, finishing the batch", Ink::Warn, false)
        }
        _ if model.mode == Mode::Watch => state(glyphs.run, "watching", Ink::Good, false),
        _ => state(glyphs.run, "running", Ink::Good, false),
    }
}

/// The state as a span, for any line.
#[must_use]
pub fn chip(model: &Model, theme: &Theme) -> Span<'static> {
    let Status { sign, text, ink, loud } = status(model, theme);
    if loud {
        Span::styled(format!(" {sign} {text} "), theme.chip(ink))
    } else {
        Span::styled(format!("{sign} {text}"), theme.ink(ink))
    }
}

/// `zero-shot → fine-tuned`, by name, in at most `columns`.
#[must_use]
pub fn ends(model: &Model, theme: &Theme, columns: usize) -> Vec<Span<'static>> {
    let board = &model.board;
    if board.alphas.is_empty() {
        return Vec::new();
    }
    let arrow = theme.spell(" → ").into_owned();
    let each = columns.saturating_sub(paint::width(&arrow)) / 2;
    vec![
        Span::styled(paint::cut(theme, &board.zeroshot, each), theme.text()),
        Span::styled(arrow, theme.dim()),
        Span::styled(paint::cut(theme, &board.finetuned, each), theme.text()),
    ]
}

/// First line: program, ends, architecture; the state follows on the right.
#[must_use]
pub fn title(model: &Model, theme: &Theme, columns: usize) -> Line<'static> {
    let name = Span::styled("alphascope", theme.key());
    let room = columns.saturating_sub(13);
    let architecture = paint::cut(theme, &model.board.architecture, 40);
    let mut parts = vec![vec![name], ends(model, theme, room.min(64))];
    if !architecture.is_empty() {
        parts.push(vec![Span::styled(architecture, theme.dim())]);
    }
    paint::parts(theme, parts, columns)
}

fn share(model: &Model) -> (u64, u64) {
    (model.board.done, model.board.total)
}

fn bar(theme: &Theme, done: u64, total: u64, columns: usize, ink: Ink) -> Vec<Span<'static>> {
    let full = if total == 0 { 0 } else { (done.min(total) as usize) * columns / total as usize };
    vec![
        Span::styled(theme.glyphs.bar_done.repeat(full), theme.ink(ink)),
        Span::styled(theme.glyphs.bar_left.repeat(columns - full), theme.faint()),
    ]
}

/// Second line: bar, share, throughput, time left, cell in hand.
#[must_use]
pub fn progress(model: &Model, theme: &Theme, columns: usize) -> Line<'static> {
    let (done, total) = share(model);
    let number = |text: String| Span::styled(text, theme.text());
    let unit = |text: &'static str| Span::styled(text, theme.dim());
    let length = (columns / 4).clamp(8, 40);
    let ink = if model.run.paused { Ink::Warn } else { Ink::Accent };
    let mut first = bar(theme, done, total, length, ink);
    first.push(Span::styled(
        format!(" {:>3} %", format::whole_percent(done, total)),
        theme.strong(),
    ));
    let mut parts = vec![first];
    let latest = model.progress.as_ref().filter(|_| model.running());
    if let Some(rate) = latest.and_then(|it| it.rate).filter(|_| !model.run.paused) {
        parts.push(vec![number(format::rate(rate)), unit(" img/s")]);
        if rate > 0.0 && total > done {
            parts.push(vec![number(format::left((total - done) as f64 / rate)), unit(" left")]);
        }
    }
    let warnings = model.warnings();
    if warnings > 0 {
        let word = if warnings == 1 { "notice" } else { "notices" };
        let text = format!("{} {warnings} {word}", theme.glyphs.warn);
        parts.push(vec![Span::styled(text, theme.ink(Ink::Warn))]);
    }
    parts.push(vec![
        number(format!("{} / {}", format::count(done), format::count(total))),
        unit(" forward passes"),
    ]);
    if let Some(task) = latest.filter(|_| !model.run.paused).map(|it| it.task) {
        let name = match task {
            Task::Accuracy { cell, .. } => {
                model.board.curves.get(cell.dataset.index()).map(|curve| curve.name.as_str())
            }
            Task::Probe { cell, .. } => {
                let layers = model.run.header().map_or(&[][..], |header| &header.layers);
                let layer = cell.layer.and_then(|id| layers.get(id.index()));
                Some(layer.map_or("all layers", |layer| layer.name.as_str()))
            }
        };
        let alpha = model.board.alphas.get(task.alpha().index()).copied();
        if let Some((name, alpha)) = name.zip(alpha) {
            let text = format!("{name} at α {}", format::alpha(alpha));
            parts.push(vec![unit("now "), number(paint::cut(theme, &text, 32))]);
        }
    }
    paint::parts(theme, parts, columns)
}

/// The label that goes with every result, if the run has one.
#[must_use]
pub fn label(model: &Model, theme: &Theme, columns: usize) -> Option<Line<'static>> {
    let label = model.board.label.as_ref()?;
    let text = format!("{} {label}", theme.glyphs.warn);
    Some(Line::styled(paint::cut(theme, &text, columns), theme.ink(Ink::Warn)))
}

/// Ink and sign of the verdict.
#[must_use]
pub fn verdict_ink(model: &Model, theme: &Theme) -> (Ink, &'static str) {
    match model.board.verdict() {
        Verdict::Success => (Ink::Good, theme.glyphs.ok),
        Verdict::Failure => (Ink::Bad, theme.glyphs.fail),
        Verdict::Undecided | Verdict::TooEarly => (Ink::Dim, theme.glyphs.open),
    }
}

/// `RFT gain +3.0 [+1.6, +4.4] points at α 0.3`.
#[must_use]
pub fn gain(model: &Model, theme: &Theme) -> Vec<Span<'static>> {
    let Some(gain) = model.board.gain() else {
        return vec![Span::styled("RFT gain ", theme.dim()), Span::styled("not yet", theme.text())];
    };
    let it = gain.points;
    let interval = format!(" [{}, {}]", format::signed(it.lo), format::signed(it.hi));
    let alpha = model.board.alphas.get(gain.best_alpha.index()).copied();
    let at = alpha.map_or_else(String::new, |alpha| format!(" at α {}", format::alpha(alpha)));
    vec![
        Span::styled("RFT gain ", theme.dim()),
        Span::styled(theme.spell(&format::signed(it.value)).into_owned(), theme.strong()),
        Span::styled(theme.spell(&interval).into_owned(), theme.text()),
        Span::styled(theme.spell(&format!(" points{at}")).into_owned(), theme.dim()),
    ]
}

/// Third line: verdict in words, gain, barrier; the reason where it fits.
#[must_use]
pub fn verdict(model: &Model, theme: &Theme, columns: usize) -> Line<'static> {
    let (ink, sign) = verdict_ink(model, theme);
    let (word, why) = format::verdict(&model.board);
    let (style, pad): (Style, &str) = match ink {
        Ink::Dim => (theme.text(), ""),
        ink => (theme.chip(ink), " "),
    };
    let mut parts =
        vec![vec![Span::styled(format!("{pad}{sign} {word}{pad}"), style)], gain(model, theme)];
    // With a gain its number says why; without one only words can.
    if model.board.gain().is_none() {
        parts.push(vec![Span::styled(theme.spell(why).into_owned(), theme.dim())]);
    }
    if let Some((name, barrier)) = model.board.barrier() {
        let it = barrier.points;
        let interval = format!(" [{}, {}]", format::percent(it.lo), format::percent(it.hi));
        parts.push(vec![
            Span::styled("barrier ", theme.dim()),
            Span::styled(format::percent(it.value), theme.text()),
            Span::styled(interval, theme.text()),
            Span::styled(format!(" {}", paint::cut(theme, name, 16)), theme.dim()),
        ]);
    }
    paint::parts(theme, parts, columns)
}
