//! The result table, plain and as Markdown.

use std::fmt::Write;

use super::layer_table::layer_tables;
use super::{doctor, variants};
use crate::plural::counted;
use crate::sweep::ids::{AlphaId, CellId, DatasetId, VariantId};
use crate::sweep::spec::Role;
use crate::sweep::state::{Status, SweepState};
use crate::sweep::stats::signed;
use crate::sweep::stats::{self, Interval, accuracy, best_alpha, ood_mean};

/// Datasets side by side: 6 + (6 + 1) × 10 columns stay within 80.
const ABREAST: usize = 6;
/// Columns of one dataset, the space before it included.
const WIDE: usize = 10;
/// Columns of α.
const FIRST: usize = 6;

/// What a column shows.
#[derive(Clone, Copy)]
enum Column {
    Dataset(DatasetId),
    Mean,
}

/// Results as plain text, at most 80 columns wide: accuracy in percent at each
/// α with its 95 % half-width, gain, verdict, barriers. Empty before the header.
#[must_use]
pub fn table(state: &SweepState) -> String {
    let mut text = String::new();
    let Some(header) = state.header() else { return text };
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{}", header.architecture);
    let _ = writeln!(text, "α = 0: zero-shot {}", header.zeroshot);
    let _ = writeln!(text, "α = 1: fine-tuned {}", header.finetuned);
    if let Some(label) = &header.label {
        let _ = writeln!(text, "{label}");
    }
    let mut short = Vec::new();
    let sets: Vec<DatasetId> = (0..header.datasets.len()).map(DatasetId).collect();
    let best = best_alpha(state, VariantId::DENSE);
    let mut blocks: Vec<Vec<Column>> = sets
        .chunks(ABREAST)
        .map(|ids| ids.iter().copied().map(Column::Dataset).collect())
        .collect();
    if let (Some(last), true) = (blocks.last_mut(), state.with_role(Role::Ood).count() > 0) {
        last.push(Column::Mean);
    }
    for columns in blocks {
        let names: Vec<String> = columns
            .iter()
            .map(|&column| {
                let name = name(state, column);
                let cut = shorten(&name, WIDE - 1);
                if cut != name {
                    short.push(format!("{cut} = {name}"));
                }
                cut
            })
            .collect();
        text.push('\n');
        line(&mut text, "α", names);
        line(&mut text, "", columns.iter().map(|&column| role(state, column)).collect());
        for (index, point) in state.alphas().iter().enumerate() {
            let id = AlphaId(index);
            let mark = if best == Some(id) { "*" } else { " " };
            let cells = columns.iter().map(|&column| cell(state, column, id)).collect();
            line(&mut text, &format!("{}{mark}", point.short()), cells);
        }
    }
    text.push('\n');
    for note in notes(state).into_iter().chain(short) {
        for line in wrapped(&note, 80) {
            let _ = writeln!(text, "{line}");
        }
    }
    for mut layers in layer_tables(state) {
        text.push('\n');
        layers.abbreviate();
        let widths: Vec<usize> = (0..layers.heads.len())
            .map(|column| {
                let of = |row: &Vec<String>| row.get(column).map_or(0, |it| it.chars().count());
                layers.rows.iter().map(of).chain([of(&layers.heads)]).max().unwrap_or(0)
            })
            .collect();
        for row in std::iter::once(&layers.heads).chain(&layers.rows) {
            text.push_str(&columns_of(row, &widths));
            text.push('\n');
        }
        text.push('\n');
        for line in layers.notes.iter().flat_map(|note| wrapped(note, 80)) {
            let _ = writeln!(text, "{line}");
        }
    }
    text
}

/// The first and the last column flush left, numbers flush right.
fn columns_of(row: &[String], widths: &[usize]) -> String {
    let mut line = String::new();
    for (index, (cell, &wide)) in row.iter().zip(widths).enumerate() {
        let _ = match index {
            0 => write!(line, "{cell:<wide$}"),
            last if last + 1 == row.len() => write!(line, "  {cell}"),
            _ => write!(line, " {cell:>wide$}"),
        };
    }
    line.trim_end().to_string()
}

/// The same as Markdown.
pub(super) fn markdown(state: &SweepState) -> String {
    let mut text = String::new();
    let Some(header) = state.header() else { return text };
    let _ = writeln!(text, "# {} → {}\n", plain(&header.zeroshot), plain(&header.finetuned));
    if let Some(label) = &header.label {
        let _ = writeln!(text, "**{}**\n", plain(label));
    }
    let _ = writeln!(text, "- architecture: {}", plain(&header.architecture));
    let _ = writeln!(text, "- α = 0: zero-shot, `{}`", header.zeroshot);
    let _ = writeln!(text, "- α = 1: fine-tuned, `{}`\n", header.finetuned);
    let mut columns: Vec<Column> =
        (0..header.datasets.len()).map(|id| Column::Dataset(DatasetId(id))).collect();
    if state.with_role(Role::Ood).count() > 0 {
        columns.push(Column::Mean);
    }
    let heads = columns.iter().map(|&column| match role(state, column) {
        role if role.is_empty() => format!(" {} |", plain(&name(state, column))),
        role => format!(" {} ({role}) |", plain(&name(state, column))),
    });
    let _ = writeln!(text, "| α |{}", heads.collect::<String>());
    let _ = writeln!(text, "| ---: |{}", " ---: |".repeat(columns.len()));
    let best = best_alpha(state, VariantId::DENSE);
    for (index, point) in state.alphas().iter().enumerate() {
        let id = AlphaId(index);
        let bold = if best == Some(id) { "**" } else { "" };
        let cells = columns.iter().map(|&column| format!(" {} |", cell(state, column, id)));
        let cells = cells.collect::<String>();
        let _ = writeln!(text, "| {bold}{}{bold} |{cells}", point.short());
    }
    text.push('\n');
    for note in notes(state) {
        let note = note.strip_prefix("* ").map_or(note.clone(), |rest| format!("bold α: {rest}"));
        let _ = writeln!(text, "- {}", plain(&note));
    }
    for layers in layer_tables(state) {
        let cells = |row: &[String]| row.iter().map(|it| format!(" {} |", plain(it))).collect();
        let line = |row: &[String]| -> String { cells(row) };
        let _ = writeln!(text, "\n|{}", line(&layers.heads));
        let _ = writeln!(text, "| --- |{}", " ---: |".repeat(layers.heads.len() - 1));
        for row in &layers.rows {
            let _ = writeln!(text, "|{}", line(row));
        }
        text.push('\n');
        for note in &layers.notes {
            let _ = writeln!(text, "- {}", plain(note));
        }
    }
    if !state.warnings().is_empty() {
        text.push_str("\n## Notes\n\n");
    }
    for note in state.warnings() {
        let _ = writeln!(text, "- {}", plain(note));
    }
    text
}

/// Sentences under the table.
fn notes(state: &SweepState) -> Vec<String> {
    let judged = stats::judge(state, VariantId::DENSE);
    let mut notes = Vec::new();
    if let Some(best) = best_alpha(state, VariantId::DENSE) {
        let mean = ood_mean(state, VariantId::DENSE, best).map_or(0.0, |it| 100.0 * it.value);
        let point = state.alphas().get(best.index()).map_or_else(String::new, |it| it.short());
        notes.push(format!("* best OOD accuracy: {mean:.1} % at α = {point}"));
    }
    if let Some(gain) = &judged.gain {
        let Interval { value, lo, hi } = gain.points;
        let (value, lo, hi) = (signed(value), signed(lo), signed(hi));
        let images = counted(gain.images.1, "OOD image");
        let rounds = if gain.complete { "" } else { " of whole rounds" };
        notes.push(format!(
            "RFT gain: {value} points, 95 % interval {lo} to {hi}, on {images}{rounds}"
        ));
    }
    notes.push(format!("verdict: {}: {}", judged.verdict.words(), judged.reason));
    let named = judged.barriers.iter().map(|(id, it)| (name(state, Column::Dataset(*id)), it));
    for (name, it) in named.filter(|(_, it)| it.is_certain()) {
        let Interval { value, lo, hi } = it.points;
        notes.push(format!(
            "barrier on {name}: {value:.1} points, 95 % interval {lo:.1} to {hi:.1}"
        ));
    }
    for info in state.datasets() {
        if let Some(benchmark) = &info.benchmark {
            notes.push(format!(
                "{}: {}, {}/{} images",
                info.name, benchmark.name, info.images, benchmark.images
            ));
        }
    }
    let ties: u64 = state.cell_ids().filter_map(|id| state.cell(id)).map(|c| c.near_ties).sum();
    if ties > 0 {
        notes.push(format!(
            "near-ties (another batch size or device may flip them): {}",
            counted(ties, "prediction")
        ));
    }
    notes.extend(variants::sentences(state));
    notes.extend(doctor::sentences(state));
    // What the doctor only tries is not owed in full.
    let owed = state.cell_ids().filter(|id| !state.is_on_trial(id.variant));
    let statuses: Vec<Status> = owed.filter_map(|id| state.status(id)).collect();
    let any = |wanted: fn(&Status) -> bool| statuses.iter().any(wanted);
    if any(|status| matches!(status, Status::Partial | Status::Pending)) {
        notes.push("~ not every image is counted yet".into());
    }
    if any(|status| matches!(status, Status::Failed(_))) {
        notes.push("! could not be measured to the end; the log says why".into());
    }
    notes.push("accuracy in percent; ± is the larger half of the 95 % interval".into());
    notes
}

fn name(state: &SweepState, column: Column) -> String {
    match column {
        Column::Mean => "OOD mean".into(),
        Column::Dataset(id) => {
            state.datasets().get(id.index()).map_or_else(String::new, |info| info.name.clone())
        }
    }
}

fn role(state: &SweepState, column: Column) -> String {
    let Column::Dataset(id) = column else { return String::new() };
    match state.datasets().get(id.index()).map(|info| info.role) {
        _ if state.is_skipped(id) => "skipped".into(),
        Some(Role::Id) => "ID".into(),
        _ => "OOD".into(),
    }
}

fn cell(state: &SweepState, column: Column, alpha: AlphaId) -> String {
    let variant = VariantId::DENSE;
    match column {
        Column::Mean => {
            let whole = stats::ood_datasets(state).iter().all(|&dataset| {
                state.status(CellId { variant, dataset, alpha }) == Some(Status::Complete)
            });
            let mark = if whole { "" } else { "~" };
            ood_mean(state, variant, alpha).map_or("–".into(), |it| number(mark, it))
        }
        Column::Dataset(dataset) => {
            let id = CellId { variant, dataset, alpha };
            let (mark, absent) = match state.status(id) {
                Some(Status::Complete) => ("", "–"),
                Some(Status::Failed(_)) => ("!", "failed"),
                _ => ("~", "–"),
            };
            accuracy(state, id).map_or(absent.into(), |it| number(mark, it))
        }
    }
}

/// `45.8±2.1`, at most nine columns.
fn number(mark: &str, it: Interval) -> String {
    let (value, half) = (100.0 * it.value, 100.0 * it.half());
    let value = if value >= 99.95 { "100".into() } else { format!("{value:.1}") };
    let half = if half >= 9.95 { format!("{half:.0}") } else { format!("{half:.1}") };
    format!("{mark}{value}±{half}")
}

fn line(text: &mut String, first: &str, cells: Vec<String>) {
    let mut line = format!("{first:>FIRST$}");
    for cell in cells {
        let _ = write!(line, "{cell:>WIDE$}");
    }
    text.push_str(line.trim_end());
    text.push('\n');
}

/// The name, its middle left out where it is longer than `wide`.
fn shorten(name: &str, wide: usize) -> String {
    let letters: Vec<char> = name.chars().collect();
    if letters.len() <= wide {
        return name.into();
    }
    let head = (wide - 1).div_ceil(2);
    let tail = wide - 1 - head;
    let (head, tail) = (&letters[..head], &letters[letters.len() - tail..]);
    head.iter().chain(&['…']).chain(tail).collect()
}

/// Lines of at most `wide` letters, broken at spaces.
fn wrapped(text: &str, wide: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= wide => {
                line.push(' ');
                line.push_str(word);
            }
            Some(_) => lines.push(format!("  {word}")),
            None => lines.push(word.into()),
        }
    }
    lines
}

/// Text that Markdown shows as it is.
fn plain(text: &str) -> String {
    let mut out = String::new();
    for letter in text.chars() {
        if matches!(letter, '|' | '*' | '_' | '`' | '<' | '[' | '\\') {
            out.push('\\');
        }
        out.push(if letter == '\n' { ' ' } else { letter });
    }
    out
}
