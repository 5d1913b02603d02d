//! What the doctor found, for people and for programs.

use serde_json::{Value, json};

use super::json::edits;
use crate::plural::counted;
use crate::sweep::doctor::{Finding, Group, findings};
use crate::sweep::ids::VariantId;
use crate::sweep::state::SweepState;
use crate::sweep::stats::Interval;
use crate::sweep::stats::signed;

/// Sentences; none when nobody asked.
pub(super) fn sentences(state: &SweepState) -> Vec<String> {
    let Some(it) = findings(state) else { return Vec::new() };
    let (done, all) = it.tried;
    let mut lines = vec![format!(
        "doctor: {done} of {} tried on {}; judged on the other {}, by the \
         OOD mean over the interior α against the dense path",
        counted(all, "variant"),
        counted(it.images.0, "OOD image"),
        it.images.1
    )];
    let Some(best) = &it.best else {
        lines.push("doctor: no variant is measured yet".into());
        return lines;
    };
    let verdict = match it.helps() {
        None => "not judged yet",
        Some(true) => "it helps",
        Some(false) => "no help shown: nothing is proposed",
    };
    lines.push(format!("doctor: best edit of a straggler {}: {verdict}", told(state, best)));
    if let Some(control) = &it.control {
        lines.push(format!("doctor: best edit of another layer {}", told(state, control)));
    }
    if let Some(over) = &it.over_control {
        let word = match it.beats_control() {
            Some(true) => "stragglers beat the control",
            _ => "stragglers do not beat the control",
        };
        lines.push(format!("doctor: the first minus the second {}: {word}", points(over)));
    }
    lines
}

fn name(state: &SweepState, id: VariantId) -> &str {
    state.variants().get(id.index()).map_or("?", |it| &it.name)
}

fn told(state: &SweepState, it: &Finding) -> String {
    let gain = it.gain.as_ref().map_or("not measured".into(), points);
    // Not between backticks: Markdown shows these sentences letter by letter.
    format!("\"{}\" {gain}", name(state, it.variant))
}

fn points(it: &Interval) -> String {
    format!("{} points [{}, {}]", signed(it.value), signed(it.lo), signed(it.hi))
}

/// For programs: percentage points; `null` when nobody asked.
pub(super) fn json(state: &SweepState) -> Value {
    let Some(it) = findings(state) else { return Value::Null };
    let interval = |it: Interval| json!({"value": it.value, "lo": it.lo, "hi": it.hi});
    let finding = |it: &Finding| {
        let variant = state.variants().get(it.variant.index());
        json!({
            "variant": name(state, it.variant),
            "sparsify": variant.map(|it| edits(&it.sparsify)),
            "tuned": interval(it.tuned),
            "gain": it.gain.map(interval),
        })
    };
    let trials: Vec<Value> = it
        .trials
        .iter()
        .map(|(group, it)| {
            let mut told = finding(it);
            told["group"] = json!(match group {
                Group::Straggler => "straggler",
                Group::Control => "control",
            });
            told
        })
        .collect();
    json!({
        "tried": it.tried.0,
        "of": it.tried.1,
        "trials": trials,
        "tuning_images": it.images.0,
        "report_images": it.images.1,
        "best": it.best.as_ref().map(finding),
        "control": it.control.as_ref().map(finding),
        "over_control": it.over_control.map(interval),
        "helps": it.helps(),
        "beats_control": it.beats_control(),
    })
}
