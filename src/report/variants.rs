//! Sparse variants against the dense path, for people and for programs.

use serde_json::{Value, json};

use super::json::edits;
use crate::sparsify;
use crate::sweep::ids::{Alpha, AlphaId, VariantId};
use crate::sweep::spec::{Role, Variant};
use crate::sweep::state::SweepState;
use crate::sweep::stats::{self, Interval, best_alpha, mean_difference, ood_mean, signed};
use crate::sweep::zeros::Sum;

/// The variants that somebody asked for and kept: not those that only the doctor tried.
fn kept(state: &SweepState) -> impl Iterator<Item = (VariantId, &Variant)> {
    let all = state.variants().iter().enumerate().map(|(i, variant)| (VariantId(i), variant));
    all.filter(|(id, variant)| {
        !variant.is_dense() && !state.is_dropped(*id) && !state.is_on_trial(*id)
    })
}

/// Its best OOD mean minus the dense path's, each at its own best α: percentage points, image by
/// image.
fn peak(state: &SweepState, variant: VariantId, at: AlphaId) -> Option<Interval> {
    let dense = best_alpha(state, VariantId::DENSE)?;
    mean_difference(state, Role::Ood, (VariantId::DENSE, dense), (variant, at))
}

fn told(zeros: &Sum) -> String {
    sparsify::told(zeros, |n| n.to_string())
}

/// Zeros at each α where they were counted: in all edited tensors, and in each.
fn zeros(state: &SweepState, variant: VariantId) -> Vec<Value> {
    let at = |(i, alpha): (usize, &Alpha)| {
        let tensors = state.zeros(variant, AlphaId(i))?;
        let sum = Sum::of(tensors);
        let Sum { total, weights, differences } = sum;
        Some(json!({
            "alpha": alpha.get(),
            "total": total, "weights": weights, "differences": differences,
            "fraction": sum.fraction(), "difference_fraction": sum.difference_fraction(),
            "tensors": tensors,
        }))
    };
    state.alphas().iter().enumerate().filter_map(at).collect()
}

/// A sentence for each; none where there is none.
pub(super) fn sentences(state: &SweepState) -> Vec<String> {
    let sentence = |(id, variant): (VariantId, &Variant)| {
        let edits: Vec<String> = variant.sparsify.iter().map(sparsify::describe).collect();
        let name = format!("variant {} ({})", variant.name, edits.join(", "));
        let best = best_alpha(state, id);
        let Some((at, mean)) = best.and_then(|at| Some((at, ood_mean(state, id, at)?))) else {
            return format!("{name}: no OOD accuracy yet");
        };
        let point = state.alphas().get(at.index()).map_or_else(String::new, |it| it.short());
        let over = peak(state, id, at).map_or_else(String::new, |it| {
            let (value, lo, hi) = (signed(it.value), signed(it.lo), signed(it.hi));
            format!(", {value} points [{lo}, {hi}] over the dense path at its best, paired")
        });
        let zeros = state.zeros_in_all(id, at);
        let zeros = zeros.map_or_else(String::new, |it| format!("; {} there", told(&it)));
        format!("{name}: best OOD accuracy {:.1} % at α = {point}{over}{zeros}", 100.0 * mean.value)
    };
    kept(state).map(sentence).collect()
}

/// For programs: differences from the dense path at the same α, of the mean over the datasets of a
/// role, and at both paths' own best α of all points; percentage points, paired. And its zeros: numbers of
/// elements, and fractions of all elements of the edited tensors.
pub(super) fn json(state: &SweepState) -> Vec<Value> {
    let points = |it: Interval| json!({"value": it.value, "lo": it.lo, "hi": it.hi});
    let value = |(id, variant): (VariantId, &Variant)| {
        let at = |(i, alpha): (usize, &Alpha)| {
            let here = |role| {
                let at = AlphaId(i);
                mean_difference(state, role, (VariantId::DENSE, at), (id, at)).map(points)
            };
            json!({"alpha": alpha.get(), "id": here(Role::Id), "ood": here(Role::Ood)})
        };
        let alpha = |at: AlphaId| Some(state.alphas().get(at.index())?.get());
        let best = best_alpha(state, id);
        let peak = best.and_then(|at| peak(state, id, at)).map(points);
        json!({
            "variant": variant.name,
            "sparsify": edits(&variant.sparsify),
            "best_alpha": stats::gain(state, id).and_then(|it| alpha(it.best_interior)),
            "best_alpha_of_all": best.and_then(alpha),
            "peak_over_dense": peak,
            "zeros": zeros(state, id),
            "over_dense": state.alphas().iter().enumerate().map(at).collect::<Vec<_>>(),
        })
    };
    kept(state).map(value).collect()
}
