//! Everything, for programs. Names are fixed; more may be added.

use serde::Serialize;
use serde_json::{Value, json};

use super::rows::{role, rows, status};
use super::{ReportError, doctor, layers, variants};
use crate::sweep::event::{Outcome, SCHEMA};
use crate::sweep::ids::{AlphaId, VariantId};
use crate::sweep::spec::{Edit, Method};
use crate::sweep::state::{Status, SweepState};
use crate::sweep::stats::{self, Barrier, Judgement, Member, Verdict};

#[derive(Serialize)]
struct Report<'a> {
    schema: u32,
    alphas: Vec<f64>,
    accuracy: Vec<Accuracy<'a>>,
    sharpness: Vec<Value>,
    barriers: Vec<Value>,
    stragglers: Vec<Value>,
    correlation: Vec<Value>,
    summary: Value,
    path_barriers: Vec<Value>,
    curvature: Vec<Value>,
    layers: Vec<Value>,
    variants: Vec<Value>,
    #[serde(skip_serializing_if = "Value::is_null")]
    doctor: Value,
    claims: Vec<String>,
    #[serde(skip_serializing_if = "Value::is_null")]
    together: Value,
    probes: Vec<Value>,
    failed: Vec<Value>,
    /// What a person was warned of, each sentence once.
    notices: &'a [String],
    near_ties: u64,
    header: Value,
}

#[derive(Serialize)]
struct Accuracy<'a> {
    variant: &'a str,
    dataset: &'a str,
    role: &'static str,
    alpha: f64,
    correct: usize,
    /// Images counted: `correct` of these.
    total: usize,
    /// Images owed.
    images: usize,
    top1: f64,
    lo: f64,
    hi: f64,
    loss: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    top5: Option<f64>,
    near_ties: u64,
    /// Present, and true, while not every image is counted.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    partial: bool,
    status: &'static str,
    /// Which published dataset it is, and how many images that has.
    #[serde(skip_serializing_if = "Option::is_none")]
    benchmark: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expected: Option<usize>,
}

/// The JSON report, indented. Accuracies are fractions, `summary` and
/// `path_barriers` percentage points. Cells without any result are in no row.
/// Of the first member; of others only what they say together with it.
pub(super) fn json(members: &[Member<'_>]) -> Result<Vec<u8>, ReportError> {
    let state = members.first().ok_or(ReportError::NoHeader)?.run;
    let header = state.header().ok_or(ReportError::NoHeader)?;
    let rows = rows(state);
    let accuracy = rows.iter().filter_map(|row| {
        let interval = stats::accuracy(state, row.id)?;
        Some(Accuracy {
            variant: row.variant,
            dataset: &row.dataset.name,
            role: role(row.dataset.role),
            alpha: row.alpha.get(),
            correct: row.cell.correct,
            total: row.cell.done,
            images: row.cell.total,
            top1: interval.value,
            lo: interval.lo,
            hi: interval.hi,
            loss: row.cell.loss()?,
            top5: row.cell.top5(),
            near_ties: row.cell.near_ties,
            partial: row.status != Status::Complete,
            status: status(&row.status),
            benchmark: row.dataset.benchmark.as_ref().map(|it| it.name.as_str()),
            expected: row.dataset.benchmark.as_ref().map(|it| it.images),
        })
    });
    let failed = rows.iter().filter_map(|row| {
        let Status::Failed(message) = &row.status else { return None };
        Some(json!({
            "variant": row.variant, "dataset": row.dataset.name,
            "alpha": row.alpha.get(), "message": message,
        }))
    });
    let judged = stats::judge(state, VariantId::DENSE);
    let of_layers = layers::layers(state);
    let relations = layers::relations(state);
    let report = Report {
        schema: SCHEMA,
        alphas: state.alphas().iter().map(|alpha| alpha.get()).collect(),
        accuracy: accuracy.collect(),
        sharpness: layers::sharpness(state),
        barriers: layers::barriers(state),
        stragglers: layers::stragglers(&of_layers),
        correlation: layers::correlation(state, &relations),
        summary: summary(state, &judged),
        path_barriers: path_barriers(state, &judged),
        curvature: layers::curvature(state),
        layers: of_layers,
        variants: variants::json(state),
        doctor: doctor::json(state),
        claims: layers::claims(state, &relations),
        together: if members.len() > 1 { layers::together(members) } else { Value::Null },
        probes: layers::asked(state),
        failed: failed.collect(),
        notices: state.warnings(),
        near_ties: rows.iter().map(|row| row.cell.near_ties).sum(),
        header: json!({
            "zeroshot": header.zeroshot, "finetuned": header.finetuned,
            "label": header.label, "architecture": header.architecture,
            "seed": header.seed, "batch": header.batch, "spec_hash": header.spec_hash,
            "stragglers": header.stragglers,
            "variants": named(state), "devices": state.devices,
            "seconds": state.seconds, "outcome": state.outcome.map(outcome),
        }),
    };
    let mut bytes = serde_json::to_vec_pretty(&report)?;
    bytes.push(b'\n');
    Ok(bytes)
}

fn named(state: &SweepState) -> Vec<Value> {
    let all = state.variants().iter();
    all.map(|it| json!({ "name": it.name, "sparsify": edits(&it.sparsify) })).collect()
}

/// What a variant does. Unlike in a spec, `n:m` says its n and m, also the usual.
pub(super) fn edits(all: &[Edit]) -> Vec<Value> {
    let told = |it: &Edit| {
        let mut told = json!(it);
        if it.method == Method::NOfM {
            (told["n"], told["m"]) = (json!(it.n), json!(it.m));
        }
        told
    };
    all.iter().map(told).collect()
}

fn at(state: &SweepState, alpha: Option<AlphaId>) -> Option<f64> {
    Some(state.alphas().get(alpha?.index())?.get())
}

fn summary(state: &SweepState, judged: &Judgement) -> Value {
    let gain = judged.gain.as_ref();
    json!({
        "rft_gain": gain.map(|it| it.points.value),
        "lo": gain.map(|it| it.points.lo),
        "hi": gain.map(|it| it.points.hi),
        "sure": gain.map(|it| it.sure),
        // Where the gain is; the one of all points is what the tables mark.
        "best_alpha": at(state, gain.map(|it| it.best_interior)),
        "best_alpha_of_all": at(state, stats::best_alpha(state, VariantId::DENSE)),
        "failure_mode": judged.verdict == Verdict::Failure,
        "verdict": match judged.verdict {
            Verdict::Success => "success",
            Verdict::Failure => "failure_mode",
            Verdict::Undecided => "undecided",
            Verdict::TooEarly => "too_early",
        },
        "reason": judged.reason,
        "partial": gain.is_none_or(|it| !it.complete),
    })
}

fn path_barriers(state: &SweepState, judged: &Judgement) -> Vec<Value> {
    let value = |dataset: Option<&str>, it: &Barrier| {
        json!({
            "variant": "dense", "dataset": dataset,
            "value": it.points.value, "lo": it.points.lo, "hi": it.points.hi,
            // A lower bound over every point and dataset looked at: above 0, it is certain.
            "sure": it.sure, "certain": it.is_certain(),
            "alpha": at(state, it.alpha), "images": it.images, "partial": !it.complete,
        })
    };
    let name = |index: usize| state.datasets().get(index).map(|info| info.name.as_str());
    let of_sets = judged.barriers.iter().map(|(id, it)| value(name(id.index()), it));
    // The OOD mean's has no dataset.
    of_sets.chain(judged.ood_barrier.iter().map(|it| value(None, it))).collect()
}

fn outcome(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Complete => "complete",
        Outcome::Partial => "partial",
        Outcome::Stopped => "stopped",
    }
}
