//! What is printed to the normal screen when the live one is left.

use super::board::{Board, Curve, Interval, State};
use super::format;
use super::look::{Charset, spell};
use super::model::{Link, Mode, Model};
use crate::plural;
use crate::sweep::event::Outcome;
use crate::sweep::ids::{AlphaId, CellId, ProbeCell, VariantId};
use crate::sweep::spec::Role;
use crate::sweep::state::Status;

/// Errors that a summary tells of; of the rest, how many there are.
const ERRORS: usize = 5;

/// Columns a summary keeps to.
pub const WIDTH: usize = 80;

/// Plain text in the charset of the screen, at most [`WIDTH`] columns (names are cut to fit): the ends, one
/// line for each dataset, the OOD mean, the gain and its verdict. Empty before
/// a run began.
#[must_use]
pub fn summary(model: &Model) -> String {
    let board = Board::of(&model.run, VariantId::DENSE);
    if model.run.header().is_none() {
        return String::new();
    }
    let charset = model.look.charset;
    let [zero, one] = ["α 0", "α 1"].map(|it| spell(charset, it));
    let at = if charset == Charset::Ascii { "at" } else { "at α" };
    let mut lines = vec![format!("alphascope: {}", outcome(model, &board))];
    lines.extend(kept(model).map(String::from));
    lines.extend([format!(
        "zero-shot {} (α 0) → fine-tuned {} (α 1)",
        board.zeroshot, board.finetuned
    )]);
    lines.extend(board.label.clone());
    lines.push(String::new());
    lines.push(format!(
        "{:<22} {:>4} {zero:>7} {one:>7} {:>7} {at:>6} {:>7}  {}",
        "top-1, %", "", "best", "gain", "images"
    ));
    lines.extend(board.curves.iter().map(|curve| row(charset, &board, curve)));
    lines.extend(board.mean.iter().map(|curve| row(charset, &board, curve)));
    lines.push(String::new());
    let (word, why) = format::verdict(&board);
    if let Some(gain) = board.gain() {
        let Interval { value, lo, hi } = gain.points;
        let [value, lo, hi] = [value, lo, hi].map(format::signed);
        lines.push(format!("RFT gain {value} points [{lo}, {hi}]: {word}"));
    } else {
        lines.push(format!("RFT gain: {word}"));
    }
    let why = spell(charset, why);
    lines.extend(format::wrap(&why, WIDTH - 2).into_iter().map(|line| format!("  {line}")));
    if let Some((name, barrier)) = board.barrier() {
        let Interval { value, lo, hi } = barrier.points;
        lines.push(format!("largest barrier {value:.1} points [{lo:.1}, {hi:.1}], {name}"));
    }
    let errors = errors(model);
    lines.extend(errors.iter().take(ERRORS).map(|text| format!("error: {text}")));
    if let Some(more) = errors.len().checked_sub(ERRORS + 1) {
        lines.push(format!("and {} more of these", more + 1));
    }
    let mut text = String::new();
    for line in lines {
        text.push_str(&shorten(charset, line.trim_end(), WIDTH));
        text.push('\n');
    }
    text
}

/// What holds now: why it ended, and what could not be measured. What went wrong
/// and was mended since is history, and in the log.
fn errors(model: &Model) -> Vec<String> {
    let run = &model.run;
    let first = |text: &str| text.lines().next().unwrap_or("").to_string();
    let end = match &model.ended {
        Some(Err(why)) => Some(first(why)),
        _ => None,
    };
    let alpha = |id: AlphaId| run.alphas().get(id.index()).map(|it| it.short());
    let of = |variant: VariantId| match run.variants().get(variant.index()) {
        Some(it) if variant != VariantId::DENSE => format!(" of {}", it.name),
        _ => String::new(),
    };
    let cell = |id: CellId| {
        let Some(Status::Failed(why)) = run.status(id) else { return None };
        let name = &run.datasets().get(id.dataset.index())?.name;
        Some(format!("{name}{} at α {}: {}", of(id.variant), alpha(id.alpha)?, first(&why)))
    };
    let probe = |(id, why): (ProbeCell, &str)| {
        let title = super::sheet::title(&run.probe(id.probe)?.probe);
        let layer = id.layer.and_then(|layer| run.layer(layer));
        let layer = layer.map_or("overall", |layer| layer.name.as_str());
        let variant = of(id.variant);
        Some(format!("{title} of {layer}{variant} at α {}: {}", alpha(id.alpha)?, first(why)))
    };
    let wanted = run.probes().iter().filter(|it| !it.cancelled);
    let probes = wanted.flat_map(|it| it.failures()).filter_map(probe);
    end.into_iter().chain(run.cell_ids().filter_map(cell)).chain(probes).collect()
}

/// What is watched and paused has a process that waits: it is told to whoever
/// leaves, and may think that it is over.
#[must_use]
pub fn kept(model: &Model) -> Option<&'static str> {
    let heard = model.mode == Mode::Watch && model.link == Link::Attached && model.running();
    let paused = model.live.requested.pause.unwrap_or(model.run.paused);
    (heard && paused).then_some(
        "It is paused, and its process waits in the background: watch it, and p goes on.",
    )
}

fn outcome(model: &Model, board: &Board) -> String {
    let done = format!("{} of {} measured", format::count(board.done), format::count(board.total));
    match (&model.ended, &model.run.outcome) {
        (Some(Err(_)), _) => format!("ended by an error, {done}; the run can be resumed"),
        (Some(Ok(outcome)), _) | (None, Some(outcome)) => match outcome {
            Outcome::Complete => format!("complete, {done}"),
            Outcome::Partial => {
                format!("finished, {} failed, {done}", plural::counted(board.failed, "cell"))
            }
            Outcome::Stopped => format!("stopped early, {done}; the run can be resumed"),
        },
        (None, None) => format!("left while measuring, {done}"),
    }
}

fn row(charset: Charset, board: &Board, curve: &Curve) -> String {
    let at = |alpha: f64| {
        let point = board.alphas.iter().position(|it| *it == alpha);
        let top1 = point.and_then(|i| curve.points.get(i)).and_then(|p| p.top1);
        top1.map_or_else(|| "-".to_string(), |it| format::percent(it.value))
    };
    let best = curve.best.and_then(|i| curve.points.get(i).zip(board.alphas.get(i)));
    let (best, alpha) = best.map_or(("-".to_string(), "-".to_string()), |(point, alpha)| {
        (point.top1.map_or_else(String::new, |it| format::percent(it.value)), board.alpha(*alpha))
    });
    let note = match curve.state {
        State::Skipped => " skipped".to_string(),
        State::Failed(n) => format!(" {n} failed"),
        _ if curve.done < curve.total => {
            format!(" ({} %)", format::whole_percent(curve.done as u64, curve.total as u64))
        }
        _ => String::new(),
    };
    let images: usize = curve.points.iter().map(|p| p.done).max().unwrap_or(0);
    let role = match curve.role {
        _ if curve.classes == 0 => "",
        Role::Id => "id",
        Role::Ood => "ood",
    };
    format!(
        "{:<22} {role:>4} {:>7} {:>7} {best:>7} {alpha:>6} {:>7}  {images}{note}",
        shorten(charset, &curve.name, 22),
        at(0.0),
        at(1.0),
        curve.gain.map_or_else(|| "-".to_string(), format::signed),
    )
}

/// Spelled, and cut where it is longer.
fn shorten(charset: Charset, text: &str, width: usize) -> String {
    let text = spell(charset, text);
    let dots = spell(charset, "…");
    match text.chars().count() {
        n if n <= width => text.into_owned(),
        _ => text
            .chars()
            .take(width.saturating_sub(dots.chars().count()))
            .chain(dots.chars())
            .collect(),
    }
}
