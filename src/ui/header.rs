//! The top lines: the screens of the run and its state, progress, gain and
//! verdict.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};

use crate::app::board::Verdict;
use crate::app::live::Leave;
use crate::app::{Link, Mode, Model, Tab, format};
use crate::plural;
use crate::sweep::event::Outcome;
use crate::sweep::ids::{Task, VariantId};
use crate::sweep::probe::Probe;

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
            let text = format!("finished, {} failed", plural::counted(model.board.failed, "cell"));
            return state(glyphs.fail, &text, Ink::Bad, true);
        }
        // It goes on at once, in a process of its own.
        Some(Outcome::Stopped) if requested.stop == Some(Leave::Background) => {
            return state(glyphs.warn, "going to the background", Ink::Warn, true);
        }
        Some(Outcome::Stopped) => {
            return state(glyphs.warn, "stopped, can be resumed", Ink::Warn, true);
        }
        None => {}
    }
    if model.run.header().is_none() {
        return state(glyphs.open, "starting", Ink::Dim, false);
    }
    let watched = model.mode == Mode::Watch;
    match (requested.stop, model.run.paused, requested.pause) {
        (Some(Leave::Now), _, _) => {
            state(glyphs.warn, "stopping after this batch", Ink::Warn, true)
        }
        (Some(Leave::After), _, _) => {
            state(glyphs.warn, "stopping after this point", Ink::Warn, true)
        }
        (Some(Leave::Background), _, _) => {
            state(glyphs.warn, "going to the background", Ink::Warn, true)
        }
        _ if watched && model.link == Link::Nobody => {
            state(glyphs.warn, "interrupted, can be resumed", Ink::Warn, true)
        }
        _ if model.full => state(glyphs.pause, "disk full, waiting for room", Ink::Bad, true),
        (_, true, Some(false)) => state(glyphs.pause, "paused, resume asked", Ink::Warn, true),
        (_, true, _) => state(glyphs.pause, "paused", Ink::Warn, true),
        (_, _, Some(true)) => {
            state(glyphs.run, "pause asked, finishing the batch", Ink::Warn, false)
        }
        _ if watched && model.link != Link::Attached => {
            state(glyphs.run, "watching", Ink::Good, false)
        }
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

/// The screens of the run: each as its key and its name, and where it begins.
fn tabs(model: &Model, theme: &Theme, columns: usize) -> Vec<(Tab, usize, Vec<Span<'static>>)> {
    let long: usize = Tab::ALL.iter().map(|tab| tab.name().len() + 4).sum();
    let mut at = 0;
    let tab = |(i, tab): (usize, &Tab)| {
        let here = *tab == model.tab;
        // On a narrow screen only the one that is up says its name.
        let name = if here || long <= columns { tab.name() } else { "" };
        let gap = if name.is_empty() { "" } else { " " };
        let text = format!(" {}{gap}{name} ", i + 1);
        let start = at;
        at += text.len();
        let spans = if here {
            vec![Span::styled(text, theme.chip(Ink::Accent))]
        } else {
            vec![
                Span::styled(format!(" {}", i + 1), theme.key()),
                Span::styled(format!("{gap}{name} "), theme.dim()),
            ]
        };
        (*tab, start, spans)
    };
    Tab::ALL.iter().enumerate().map(tab).collect()
}

/// The screen of the run that a click on the first line means.
#[must_use]
pub fn hit(model: &Model, theme: &Theme, area: Rect, x: u16, y: u16) -> Option<Tab> {
    let at = usize::from(x.checked_sub(area.x)?);
    let columns = usize::from(area.width);
    let chip = Line::from(chip(model, theme)).width();
    let all = tabs(model, theme, columns.saturating_sub(chip + 2));
    let wide = |spans: &Vec<Span<'static>>| spans.iter().map(Span::width).sum::<usize>();
    let under = all.iter().find(|(_, start, spans)| (*start..start + wide(spans)).contains(&at));
    under.filter(|_| y == area.y).map(|it| it.0)
}

/// First line: the screens, then program, ends and architecture where they fit;
/// the state follows on the right.
#[must_use]
pub fn title(model: &Model, theme: &Theme, columns: usize) -> Line<'static> {
    let mut spans: Vec<Span<'static>> =
        tabs(model, theme, columns).into_iter().flat_map(|it| it.2).collect();
    let used: usize = spans.iter().map(Span::width).sum();
    let room = columns.saturating_sub(used + 3);
    let name = Span::styled("alphascope", theme.dim());
    let architecture = paint::cut(theme, &model.board.architecture, 40);
    let mut parts = Vec::new();
    if room >= 24 {
        parts.push(ends(model, theme, room.min(64)));
    }
    if !architecture.is_empty() {
        parts.push(vec![Span::styled(architecture, theme.dim())]);
    }
    parts.push(vec![name]);
    let rest = paint::parts(theme, parts, room);
    if rest.width() > 0 {
        spans.push(Span::raw("   "));
        spans.extend(rest.spans);
    }
    Line::from(spans)
}

/// Rows of the head: screens, progress, a line that the screen fills, label.
#[must_use]
pub fn rows(model: &Model) -> u16 {
    3 + u16::from(model.board.label.is_some())
}

/// Draws the head. Its third line is the verdict on the live screen; on the
/// others both ends by name.
pub fn draw(model: &Model, theme: &Theme, area: Rect, buffer: &mut Buffer) {
    if area.height == 0 {
        return;
    }
    let columns = usize::from(area.width);
    let chip = Line::from(chip(model, theme));
    let room = columns.saturating_sub(chip.width() + 2);
    paint::line(buffer, area, 0, &title(model, theme, room));
    paint::line_right(buffer, area, 0, &chip);
    paint::line(buffer, area, 1, &progress(model, theme, columns));
    let third = match model.tab {
        Tab::Live => verdict(model, theme, columns),
        _ => path(model, theme, columns),
    };
    paint::line(buffer, area, 2, &third);
    if let Some(label) = label(model, theme, columns) {
        paint::line(buffer, area, 3, &label);
    }
}

/// Both ends by name and α, then the gain.
fn path(model: &Model, theme: &Theme, columns: usize) -> Line<'static> {
    let board = &model.board;
    if board.alphas.is_empty() {
        return Line::default();
    }
    let end = |alpha: &str, what: &str, name: &str| {
        vec![
            Span::styled(theme.spell(&format!("α {alpha} ")).into_owned(), theme.key()),
            Span::styled(format!("{what} "), theme.dim()),
            Span::styled(paint::cut(theme, name, 20), theme.text()),
        ]
    };
    let mut parts =
        vec![end("0", "zero-shot", &board.zeroshot), end("1", "fine-tuned", &board.finetuned)];
    if let Some(name) = &board.variant {
        parts.push(vec![
            Span::styled("shown ", theme.dim()),
            Span::styled(paint::cut(theme, name, 30), theme.key()),
        ]);
    }
    parts.push(gain(model, theme, false));
    paint::parts(theme, parts, columns)
}

/// What is shown of the probes: the measurement in words and how far it is,
/// asked, running, cancelled or done.
#[must_use]
pub fn measured(model: &Model, theme: &Theme) -> Vec<Span<'static>> {
    let own = |text: &str, style| Span::styled(theme.spell(text).into_owned(), style);
    let requested = &model.live.requested;
    let asked = requested.probes.len();
    let Some(it) = model.sheet.measured() else {
        return if asked > 0 {
            vec![own(&format!("{} sharpness asked for", theme.glyphs.asked), theme.ink(Ink::Warn))]
        } else {
            let asks = if model.can_ask() { ": a asks for it" } else { "" };
            vec![own(&format!("sharpness is not measured{asks}"), theme.dim())]
        };
    };
    let mut spans = vec![own(&it.title, theme.strong())];
    let state = if requested.cancels.contains(&it.id) {
        (" cancel asked".to_string(), Ink::Warn)
    } else if it.cancelled {
        (format!(" cancelled at {} of {}", it.done, it.owed), Ink::Warn)
    } else if it.failed > 0 && it.done >= it.owed {
        (format!(" {} {} failed", theme.glyphs.fail, it.failed), Ink::Bad)
    } else if it.done >= it.owed {
        (format!(" {}", theme.glyphs.ok), Ink::Good)
    } else {
        (format!(" {} of {}", it.done, it.owed), Ink::Accent)
    };
    spans.push(own(&state.0, theme.ink(state.1)));
    if asked > 0 {
        let text = format!(" {} {asked} more asked", theme.glyphs.asked);
        spans.push(own(&text, theme.ink(Ink::Warn)));
    }
    spans
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

/// Time left is told once one part in so many is done.
const SETTLED: u64 = 200;

/// Second line: bar, share, throughput, time left, cell in hand.
#[must_use]
pub fn progress(model: &Model, theme: &Theme, columns: usize) -> Line<'static> {
    let (done, total) = share(model);
    let number = |text: String| Span::styled(text, theme.text());
    let unit = |text: &'static str| Span::styled(text, theme.dim());
    let length = (columns / 4).clamp(8, 40);
    let ink = if model.resting() { Ink::Warn } else { Ink::Accent };
    let mut first = bar(theme, done, total, length, ink);
    first.push(Span::styled(
        format!(" {:>3} %", format::whole_percent(done, total)),
        theme.strong(),
    ));
    let mut parts = vec![first];
    let latest = model.progress.as_ref().filter(|_| model.running());
    if let Some(rate) = latest.and_then(|it| it.rate).filter(|_| !model.resting()) {
        parts.push(vec![number(format::rate(rate)), unit(" img/s")]);
        // What the worker owes: accuracy and probes.
        let owed = latest.map_or(0, |it| it.images_total.saturating_sub(it.images_done));
        // The first steps are slow: what they promise would only frighten.
        let settled = latest.is_some_and(|it| it.images_done >= it.images_total / SETTLED);
        if rate > 0.0 && owed > 0 && settled {
            parts.push(vec![number(format::left(owed as f64 / rate)), unit(" left")]);
        }
    }
    let warnings = model.warnings();
    if warnings > 0 {
        let text = format!("{} {}", theme.glyphs.warn, plural::counted(warnings, "notice"));
        parts.push(vec![Span::styled(text, theme.ink(Ink::Warn))]);
    }
    parts.push(vec![
        number(format!("{} / {}", format::count(done), format::count(total))),
        unit(" forward passes"),
    ]);
    if let Some(text) = latest.filter(|_| !model.resting()).and_then(|it| now(model, it.task)) {
        // Others say more here than the counts, which are of accuracy alone.
        let counted = matches!(latest.map(|it| it.task), Some(Task::Accuracy(_)));
        let at = if counted { 9 } else { 1 };
        let part = vec![unit("now "), number(paint::cut(theme, &text, 44))];
        parts.insert(at.min(parts.len()), part);
    }
    paint::parts(theme, parts, columns)
}

/// What a worker has in hand, in words.
fn now(model: &Model, task: Task) -> Option<String> {
    let what = match task {
        Task::Accuracy(cell) => model.board.curves.get(cell.dataset.index())?.name.clone(),
        Task::Probe(cell) => {
            let layer = cell.layer.and_then(|id| model.run.layer(id));
            let layer = layer.map_or("all layers", |it| it.name.as_str());
            let kind = match model.run.probe(cell.probe).map(|it| &it.probe) {
                Some(Probe::Sharpness { .. }) | None => "sharpness of",
                Some(Probe::Path { .. }) => "path of",
                Some(Probe::Curvature { .. }) => "curvature of",
            };
            format!("{kind} {layer}")
        }
        Task::Activation => return Some("both activations at the zero-shot end".into()),
    };
    let alpha = model.board.alphas.get(task.alpha()?.index()).copied()?;
    let variant = model.run.variants().get(task.variant().index());
    let variant = variant.filter(|_| task.variant() != VariantId::DENSE);
    let of = variant.map_or_else(String::new, |it| format!(", {}", it.name));
    Some(format!("{what} at α {}{of}", model.board.alpha(alpha)))
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

/// `RFT gain +3.0 [+1.6, +4.4] points at α 0.3`; where `rounds`, also that what is
/// measured of a round under way is not in it. The number first, so that it can be
/// cut from its end.
fn gain(model: &Model, theme: &Theme, rounds: bool) -> Vec<Span<'static>> {
    let Some(gain) = model.board.gain() else {
        return vec![Span::styled("RFT gain ", theme.dim()), Span::styled("not yet", theme.text())];
    };
    let it = gain.points;
    let interval = format!(" [{}, {}]", format::signed(it.lo), format::signed(it.hi));
    let alpha = model.board.alphas.get(gain.best_interior.index()).copied();
    let at = alpha.map_or_else(String::new, |alpha| format!(" at α {}", model.board.alpha(alpha)));
    let mut spans = vec![
        Span::styled("RFT gain ", theme.dim()),
        Span::styled(theme.spell(&format::signed(it.value)).into_owned(), theme.strong()),
        Span::styled(theme.spell(&interval).into_owned(), theme.text()),
        Span::styled(theme.spell(&format!(" points{at}")).into_owned(), theme.dim()),
    ];
    if rounds && !gain.complete {
        spans.push(Span::styled(" by whole rounds", theme.dim()));
    }
    spans
}

/// Spans of the gain that are never cut: its name and its number.
const NUMBER: usize = 2;
/// Columns of a variant's name, where there are so many.
const NAME: (usize, usize) = (8, 28);

/// Third line: verdict in words, gain, barrier; the reason where it fits.
#[must_use]
pub fn verdict(model: &Model, theme: &Theme, columns: usize) -> Line<'static> {
    let (ink, sign) = verdict_ink(model, theme);
    let (word, why) = format::verdict(&model.board);
    let (style, pad): (Style, &str) = match ink {
        Ink::Dim => (theme.text(), ""),
        ink => (theme.chip(ink), " "),
    };
    let wide = |spans: &[Span<'static>]| spans.iter().map(Span::width).sum::<usize>();
    let mut first = vec![Span::styled(format!("{pad}{sign} {word}{pad}"), style)];
    let mut gain = gain(model, theme, true);
    let apart = paint::width(theme.glyphs.dot) + 2;
    // Never are a variant's numbers taken for the dense model's: its name is one with its verdict,
    // and is cut before the gain is.
    let name = model.board.variant.as_ref().map(|name| {
        let signs = paint::width(theme.glyphs.active) + ": ".len() + 1;
        let fixed = wide(&first) + apart + signs;
        while gain.len() > NUMBER && fixed + NAME.0 + wide(&gain) > columns {
            gain.pop();
        }
        let room = columns.saturating_sub(fixed + wide(&gain));
        paint::cut(theme, name, room.clamp(NAME.0, NAME.1))
    });
    if let Some(name) = name {
        first.insert(0, Span::styled(format!("{} {name}: ", theme.glyphs.active), theme.key()));
    }
    while gain.len() > NUMBER && wide(&first) + apart + wide(&gain) > columns {
        gain.pop();
    }
    let mut parts = vec![first, gain];
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
