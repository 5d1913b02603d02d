//! What a correlation table says, and does not say, in plain words.

use super::super::Interval;
use super::correlation::Correlation;
use crate::plural::counted;
use crate::sweep::state::SweepState;

/// A paragraph on whether sharpness went with OOD accuracy along this path, from
/// all that [`super::correlations`] gives, in its order. It claims no more than the intervals
/// hold. `None` before three points are known of anything.
#[must_use]
pub fn claim(state: &SweepState, all: &[Correlation]) -> Option<String> {
    let tau = |it: &Correlation| Some((it.coefficients.kendall?, it.coefficients.is_few()));
    let overall = all.iter().find(|it| it.layer.is_none()).and_then(tau);
    let named: Vec<(&str, (Interval, bool))> = all
        .iter()
        .filter_map(|it| Some((state.layer(it.layer?)?.name.as_str(), tau(it)?)))
        .collect();
    let points = all.iter().map(|it| it.coefficients.points).max().filter(|&n| n >= 3)?;
    let mut said = format!("Over the {points} points of this path, ");
    match overall {
        Some((tau, few)) => said.push_str(&format!(
            "overall sharpness {} OOD accuracy ({})",
            goes(tau),
            written(tau, few)
        )),
        None => said.push_str("overall sharpness is not measured or does not vary"),
    }
    if let Some(&(name, (tau, few))) = named.first() {
        said.push_str(&format!(
            "; of {} {name} has the largest |τ| and {} it ({})",
            counted(named.len(), "layer"),
            goes(tau),
            written(tau, few)
        ));
    }
    said.push_str(
        ". Points of one path are not independent, neighbours nearly agree, and the largest of \
         many coefficients is large by chance: this describes the path and predicts nothing \
         about another pair.",
    );
    Some(said)
}

/// With its sign, two decimals.
pub(super) fn signed(value: f64) -> String {
    format!("{value:+.2}").replace('-', "−")
}

pub(super) fn written(tau: Interval, few: bool) -> String {
    if few {
        return format!("τ {}, too few points for an interval", signed(tau.value));
    }
    format!("τ {}, 95 % interval {} to {}", signed(tau.value), signed(tau.lo), signed(tau.hi))
}

pub(super) fn goes(tau: Interval) -> &'static str {
    if tau.lo > 0.0 {
        "goes with"
    } else if tau.hi < 0.0 {
        "goes against"
    } else {
        "shows no clear relation to"
    }
}
