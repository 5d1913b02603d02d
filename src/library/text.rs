//! The list and the comparison as text.

use std::fmt::Write;

use super::{Found, Run};
use crate::app::format::{alpha, percent, signed};
use crate::plain;
use crate::sweep::lock::span;

/// Bytes for people, decimal units.
#[must_use]
pub fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "kB", "MB", "GB", "TB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    let digits = usize::from(unit > 0 && value < 9.95);
    format!("{value:.digits$} {}", UNITS[unit])
}

/// From `then` to `now`, both in milliseconds since the Unix epoch: `3 min`.
#[must_use]
pub fn since(then: u64, now: u64) -> String {
    span(std::time::Duration::from_millis(now.saturating_sub(then)))
}

/// Columns are as wide as what is in them; the path's ends are cut first.
#[must_use]
pub fn table(runs: &[Run], now: u64) -> String {
    let head = ["name", "state", "done", "gain", "at α", "age", "size", "pair, datasets"];
    let mut rows: Vec<[String; 8]> = vec![head.map(String::from)];
    for run in runs {
        let found = run.found.as_ref();
        let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".into());
        let about = match (found, &run.note) {
            (Some(it), _) => about(it),
            (None, Some(note)) => note.clone(),
            (None, None) => String::new(),
        };
        rows.push([
            plain::name(&run.name).into_owned(),
            run.state.name().into(),
            or_dash(run.percent().map(|it| format!("{it} %"))),
            or_dash(found.and_then(|it| it.gain).map(|[value, ..]| signed(value))),
            or_dash(found.and_then(|it| it.best_alpha).map(|it| alpha(it, 6))),
            or_dash((run.changed > 0).then(|| since(run.changed, now))),
            bytes(run.bytes),
            plain::name(&about).into_owned(),
        ]);
    }
    lines(&rows, &[2, 3, 4, 5, 6])
}

/// `zeroshot → finetuned on id, ood`.
fn about(it: &Found) -> String {
    let names: Vec<&str> = it.datasets.iter().map(|it| it.name.as_str()).collect();
    format!("{} → {} on {}", it.zeroshot, it.finetuned, names.join(", "))
}

/// Two runs side by side: gain, where it is, and every dataset that either has.
#[must_use]
pub fn compare(runs: [&Run; 2]) -> String {
    let both =
        |of: &dyn Fn(&Run) -> Option<String>| runs.map(|run| of(run).unwrap_or_else(|| "-".into()));
    let mut rows: Vec<[String; 4]> = Vec::new();
    let mut add = |what: &str, [one, two]: [String; 2], more: String| {
        rows.push([what.into(), one, two, more]);
    };
    add("", runs.map(|run| plain::name(&run.name).into_owned()), "difference".into());
    let found = |run: &Run| run.found.clone();
    add("zero-shot", both(&|run| Some(found(run)?.zeroshot)), String::new());
    add("fine-tuned", both(&|run| Some(found(run)?.finetuned)), String::new());
    add("state", both(&|run| Some(run.state.name().into())), String::new());
    add("done", both(&|run| Some(format!("{} %", run.percent()?))), String::new());
    let interval = |run: &Run| {
        let [value, lo, hi] = found(run)?.gain?.map(signed);
        Some(format!("{value} [{lo}, {hi}]"))
    };
    let values = runs.map(|run| run.found.as_ref().and_then(|it| it.gain).map(|it| it[0]));
    add("RFT gain", both(&interval), difference(values));
    add("at α", both(&|run| Some(alpha(found(run)?.best_alpha?, 6))), String::new());
    let mut names: Vec<&str> = Vec::new();
    for set in runs.iter().filter_map(|run| run.found.as_ref()).flat_map(|it| &it.datasets) {
        if !names.contains(&set.name.as_str()) {
            names.push(&set.name);
        }
    }
    for name in names {
        let at = |run: &Run| {
            let set = run.found.as_ref()?.datasets.iter().find(|it| it.name == name)?;
            Some(set.clone())
        };
        let shown = |run: &Run| {
            let set = at(run)?;
            let or_dash = |it: Option<f64>| it.map_or_else(|| "-".into(), percent);
            let [zero, one] = set.ends;
            Some(format!("{} → {} → {}", or_dash(zero), or_dash(set.best), or_dash(one)))
        };
        add(name, both(&shown), difference(runs.map(|run| at(run)?.best)));
    }
    let mut text = if rows[1..].iter().any(|row| !row[3].is_empty()) {
        let mut text = lines(&rows, &[]);
        text.push_str(
            "top-1 in % at α 0, best interior α, α 1; differences at the best interior α\n",
        );
        text
    } else {
        let rows: Vec<[String; 3]> = rows.into_iter().map(|[a, b, c, _]| [a, b, c]).collect();
        let mut text = lines(&rows, &[]);
        text.push_str(
            "top-1 in % at α 0, best interior α, α 1; no differences: they are taken at the best \
             interior α, which needs both ends and a point between, of both runs\n",
        );
        text
    };
    let labels = runs.iter().filter_map(|run| run.found.as_ref()?.label.as_ref());
    for label in labels {
        let _ = writeln!(text, "{label}");
    }
    text
}

fn difference([one, two]: [Option<f64>; 2]) -> String {
    one.zip(two).map_or_else(String::new, |(one, two)| signed(two - one))
}

fn lines<const N: usize>(rows: &[[String; N]], right: &[usize]) -> String {
    let wide = |text: &str| text.chars().count();
    let widths: Vec<usize> =
        (0..N).map(|i| rows.iter().map(|row| wide(&row[i])).max().unwrap_or(0)).collect();
    let mut text = String::new();
    for row in rows {
        let cells = row.iter().enumerate().map(|(i, cell)| {
            let room = " ".repeat(widths[i].saturating_sub(wide(cell)));
            if right.contains(&i) { format!("{room}{cell}") } else { format!("{cell}{room}") }
        });
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_well() {
        let texts: Vec<String> =
            [0, 999, 1000, 9_949, 577_000_000, 999_600_000, 3_300_000_000].map(bytes).to_vec();
        assert_eq!(texts, ["0 B", "999 B", "1.0 kB", "9.9 kB", "577 MB", "1.0 GB", "3.3 GB"]);
    }
}
