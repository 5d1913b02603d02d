//! One line a cell.

use std::fmt::Write;

use super::rows::{role, rows, status};
use crate::sweep::state::SweepState;
use crate::sweep::stats::accuracy;
use crate::sweep::zeros::Sum;

const COLUMNS: &str = "variant,dataset,role,alpha,status,correct,total,images,top1,lo,hi,top5,\
                       loss,near_ties,zeroshot,finetuned,label,benchmark,expected,edited,\
                       zero_weights,zero_differences";

/// CSV (RFC 4180, but lines end with a plain line break): every cell of the
/// plan, empty where nothing is known. Accuracies are fractions; the last three are
/// elements of the tensors that a variant edits: all, those that are 0, and those that
/// stay zero-shot.
pub(super) fn csv(state: &SweepState) -> String {
    let mut text = format!("{COLUMNS}\n");
    let Some(header) = state.header() else { return text };
    let label = header.label.as_deref().unwrap_or_default();
    for row in rows(state) {
        let interval = accuracy(state, row.id);
        let zeros = state.zeros_in_all(row.id.variant, row.id.alpha);
        let zeros = |of: fn(Sum) -> u64| zeros.map_or_else(String::new, |it| of(it).to_string());
        let benchmark = row.dataset.benchmark.as_ref();
        let fields = [
            row.variant.to_string(),
            row.dataset.name.clone(),
            role(row.dataset.role).to_string(),
            row.alpha.to_string(),
            status(&row.status).to_string(),
            row.cell.correct.to_string(),
            row.cell.done.to_string(),
            row.cell.total.to_string(),
            number(interval.map(|it| it.value)),
            number(interval.map(|it| it.lo)),
            number(interval.map(|it| it.hi)),
            number(row.cell.top5()),
            number(row.cell.loss()),
            row.cell.near_ties.to_string(),
            header.zeroshot.clone(),
            header.finetuned.clone(),
            label.to_string(),
            benchmark.map_or_else(String::new, |it| it.name.clone()),
            benchmark.map_or_else(String::new, |it| it.images.to_string()),
            zeros(|it| it.total),
            zeros(|it| it.weights),
            zeros(|it| it.differences),
        ];
        let line: Vec<String> = fields.iter().map(|field| quoted(field)).collect();
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{}", line.join(","));
    }
    text
}

fn number(value: Option<f64>) -> String {
    value.map_or_else(String::new, |value| format!("{value:.6}"))
}

fn quoted(field: &str) -> String {
    if field.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", field.replace('"', "\"\""))
    } else {
        field.to_string()
    }
}
