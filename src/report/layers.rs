//! What probes found, for programs: rows of the JSON report.

use serde_json::{Value, json};

use super::rows::role;
use crate::sweep::ids::{LayerId, ProbeId, VariantId};
use crate::sweep::probe::{Direction, Probe};
use crate::sweep::spec::{Base, Layers};
use crate::sweep::state::{ProbeState, SweepState};
use crate::sweep::stats::{self, Coefficients, Correlation, Interval, Joint, Member};

/// Name of a layer; `overall` for all at once.
pub(super) fn layer_name(state: &SweepState, layer: Option<LayerId>) -> &str {
    match layer {
        None => "overall",
        Some(id) => state.layer(id).map_or("?", |layer| layer.name.as_str()),
    }
}

/// Every probe with its id.
pub(super) fn probes(state: &SweepState) -> impl Iterator<Item = (ProbeId, &ProbeState)> {
    state.probes().iter().enumerate().map(|(index, probe)| (ProbeId(index), probe))
}

fn variants(state: &SweepState) -> impl Iterator<Item = (VariantId, &str)> {
    let named = state.variants().iter().enumerate();
    named.map(|(index, variant)| (VariantId(index), variant.name.as_str()))
}

fn variant_name(state: &SweepState, id: VariantId) -> &str {
    state.variants().get(id.index()).map_or("?", |variant| variant.name.as_str())
}

fn alpha(state: &SweepState, index: usize) -> Option<f64> {
    state.alphas().get(index).map(|alpha| alpha.get())
}

fn base(base: Base) -> &'static str {
    match base {
        Base::Finetuned => "finetuned",
        Base::Zeroshot => "zeroshot",
        Base::Midpoint => "midpoint",
    }
}

/// One row per sharpness measured, in nats. `probe` tells probes apart where a
/// run has several; what was asked stands under `probes`.
pub(super) fn sharpness(state: &SweepState) -> Vec<Value> {
    let of_probe = |(id, known): (ProbeId, &ProbeState)| {
        let Probe::Sharpness { spec, on } = &known.probe else { return Vec::new() };
        let row = |probed: &crate::sweep::probe::Probed| {
            let cell = probed.cell;
            let it = stats::sharpness(state, cell)?;
            let scale = match &probed.result {
                crate::sweep::probe::ProbeResult::Sharpness(result) => result.logit_scale,
                _ => None,
            };
            Some(json!({
                "variant": variant_name(state, cell.variant),
                "alpha": alpha(state, cell.alpha.index()),
                "layer": layer_name(state, cell.layer),
                "kind": spec.kind, "value": it.rise.value, "stderr": it.rise.stderr,
                "loss": it.loss, "relative": it.relative(),
                "norm": spec.norm, "adaptive": spec.adaptive, "scale": spec.scale,
                "rho": spec.rho, "logit_normalization": spec.logit_normalization,
                "logit_scale": scale, "parameters": it.parameters, "frozen": it.frozen,
                "dataset": state.datasets().get(on.index()).map(|set| &set.name),
                "probe": id.index(),
            }))
        };
        known.results().filter_map(row).collect()
    };
    probes(state).flat_map(of_probe).collect()
}

/// One row per layer barrier, percentage points. A `random` direction is the
/// robustness control.
pub(super) fn barriers(state: &SweepState) -> Vec<Value> {
    let mut rows = Vec::new();
    for (id, known) in probes(state) {
        let Probe::Path { spec, direction, .. } = &known.probe else { continue };
        for (variant, name) in variants(state) {
            rows.extend(stats::layer_barriers(state, id, variant).iter().map(|it| {
                let set = state.datasets().get(it.dataset.index());
                json!({
                    "variant": name, "layer": layer_name(state, Some(it.layer)),
                    "base": base(spec.base),
                    "direction": if *direction == Direction::Path { "path" } else { "random" },
                    "dataset": set.map(|set| &set.name),
                    "role": set.map(|set| role(set.role)),
                    "value": it.value, "stderr": it.stderr,
                    "alpha": it.alpha.and_then(|at| alpha(state, at.index())),
                    "images": it.images, "partial": !it.complete,
                })
            }));
        }
    }
    rows
}

/// One row per curvature measured.
pub(super) fn curvature(state: &SweepState) -> Vec<Value> {
    let of_probe = |(_, known): (ProbeId, &ProbeState)| {
        let row = |probed: &crate::sweep::probe::Probed| {
            let it = stats::curvature(state, probed.cell)?;
            Some(json!({
                "variant": variant_name(state, probed.cell.variant),
                "alpha": alpha(state, probed.cell.alpha.index()),
                "layer": layer_name(state, probed.cell.layer),
                "trace": it.trace.value, "trace_stderr": it.trace.stderr,
                "eigenvalue": it.eigenvalue.value, "eigenvalue_stderr": it.eigenvalue.stderr,
                "residual": it.residual, "parameters": it.parameters,
            }))
        };
        known.results().filter_map(row).collect::<Vec<_>>()
    };
    probes(state).flat_map(of_probe).collect()
}

/// Granularities that some probe looked at; blocks where none did.
pub(super) fn granularities(state: &SweepState) -> Vec<Layers> {
    let asked = state.probes().iter().map(|it| it.probe.layers());
    let mut all: Vec<Layers> = asked.filter(|&units| units != Layers::None).collect();
    if all.is_empty() {
        all.push(Layers::Block);
    }
    let order = |units: &Layers| *units as u8;
    all.sort_unstable_by_key(order);
    all.dedup();
    all
}

/// Every layer with all numbers of the rule, at every granularity looked at.
pub(super) fn layers(state: &SweepState) -> Vec<Value> {
    let rows = granularities(state).into_iter().flat_map(|units| {
        stats::stragglers(state, VariantId::DENSE, units).into_iter().map(move |it| {
            let info = state.layer(it.layer);
            json!({
                "layer": layer_name(state, Some(it.layer)), "granularity": units,
                "parameters": info.map(|info| info.parameters),
                "moved": info.and_then(|info| info.moved),
                "score": it.score, "sharp_at": it.sharp_at,
                "rise_score": it.rise, "rose_at": it.rose_at,
                "distance_score": it.distance,
                "barrier": it.barrier.as_ref().map(|it| it.value),
                "barrier_stderr": it.barrier.as_ref().map(|it| it.stderr),
                "by": it.by.iter().map(|by| by.name()).collect::<Vec<_>>(),
            })
        })
    });
    rows.collect()
}

/// The layers for which a criterion fired.
pub(super) fn stragglers(layers: &[Value]) -> Vec<Value> {
    let fired = |row: &&Value| row["by"].as_array().is_some_and(|by| !by.is_empty());
    let short = |row: &Value| {
        json!({
            "layer": row["layer"], "score": row["score"], "by": row["by"],
            "granularity": row["granularity"],
        })
    };
    layers.iter().filter(fired).map(short).collect()
}

/// Of each sharpness probe: how every layer's sharpness goes with OOD accuracy.
pub(super) fn relations(state: &SweepState) -> Vec<(ProbeId, Vec<Correlation>)> {
    probes(state)
        .filter(|(_, known)| matches!(known.probe, Probe::Sharpness { .. }))
        .map(|(id, _)| (id, stats::correlations(state, id, VariantId::DENSE)))
        .collect()
}

/// The same as rows, of each probe by |τ|, the largest first. `lo` and `hi` are of Kendall's τ-b; the others' intervals
/// have names of their own.
pub(super) fn correlation(
    state: &SweepState,
    relations: &[(ProbeId, Vec<Correlation>)],
) -> Vec<Value> {
    let all = relations.iter().flat_map(|(id, all)| all.iter().map(move |it| (id, it)));
    let row = |(id, it): (&ProbeId, &Correlation)| {
        let mut row = coefficients(layer_name(state, it.layer), &it.coefficients);
        row["probe"] = json!(id.index());
        row
    };
    all.map(row).collect()
}

fn coefficients(layer: &str, it: &Coefficients) -> Value {
    let Coefficients { points, kendall, spearman, pearson } = *it;
    let value = |it: Option<Interval>| it.map(|it| it.value);
    let bounds = |it: Option<Interval>| it.map(|it| [it.lo, it.hi]);
    json!({
        "layer": layer, "points": points,
        "kendall": value(kendall), "spearman": value(spearman), "pearson": value(pearson),
        "lo": kendall.map(|it| it.lo), "hi": kendall.map(|it| it.hi),
        "spearman_interval": bounds(spearman), "pearson_interval": bounds(pearson),
    })
}

/// The points of several runs together, by the measurement of sharpness that the
/// screen would show; null where the first run has none.
pub(super) fn together(members: &[Member<'_>]) -> Value {
    let probe = members.first().and_then(|it| {
        stats::latest(it.run, VariantId::DENSE, |probe| matches!(probe, Probe::Sharpness { .. }))
    });
    let Some((id, all)) = probe.and_then(|id| Some((id, stats::together(members, id)?))) else {
        return json!({ "runs": [], "left_out": [], "correlation": [],
            "claim": "No sharpness was measured in the first run." });
    };
    let name = |index: usize| members.get(index).map(|it| it.name);
    let row = |it: &Joint| {
        let mut row = coefficients(&it.name, &it.coefficients);
        row["mean_kendall_within_runs"] = json!(it.within);
        row
    };
    json!({
        "probe": id.index(),
        "runs": all.taken.iter().filter_map(|&index| name(index)).collect::<Vec<_>>(),
        "left_out": all.left_out.iter()
            .map(|(index, why)| json!({ "run": name(*index), "why": why })).collect::<Vec<_>>(),
        "correlation": all.joints.iter().map(row).collect::<Vec<_>>(),
        "claim": all.claim(members),
    })
}

/// What was asked beside accuracy, and how far it is.
pub(super) fn asked(state: &SweepState) -> Vec<Value> {
    let row = |(_, known): (ProbeId, &ProbeState)| {
        let failed: Vec<Value> = known
            .failures()
            .map(|(cell, message)| {
                json!({
                    "variant": variant_name(state, cell.variant),
                    "alpha": alpha(state, cell.alpha.index()),
                    "layer": layer_name(state, cell.layer), "message": message,
                })
            })
            .collect();
        json!({
            "asked": known.probe, "cancelled": known.cancelled,
            "measured": known.results().count(), "failed": failed,
        })
    };
    probes(state).map(row).collect()
}

/// The same in words, for each sharpness probe.
pub(super) fn claims(state: &SweepState, relations: &[(ProbeId, Vec<Correlation>)]) -> Vec<String> {
    relations.iter().filter_map(|(_, all)| stats::claim(state, all)).collect()
}
