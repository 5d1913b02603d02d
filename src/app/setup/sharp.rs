//! The form's lines on how sharpness is measured: as typed, and as the spec has them.

use super::field::parse_whole;
use crate::config::Memory;
use crate::sweep::spec::{Layers, Norm, SharpnessKind, SharpnessSpec};

/// How sharpness is measured. Numbers are kept as they were typed, so that what is wrong can be told
/// and mended.
#[derive(Clone, Debug, PartialEq)]
pub struct Sharp {
    /// The ball's.
    pub norm: Norm,
    /// Radius ρ.
    pub rho: String,
    /// Average case: draws.
    pub draws: String,
    /// Worst case: steps of Auto-PGD.
    pub steps: String,
    /// Batches.
    pub batches: String,
}

impl Default for Sharp {
    fn default() -> Self {
        let SharpnessSpec { norm, rho, draws, steps, batches, .. } = SharpnessSpec::default();
        let text = |n: usize| n.to_string();
        Self {
            norm,
            rho: rho.to_string(),
            draws: text(draws),
            steps: text(steps),
            batches: text(batches),
        }
    }
}

impl Sharp {
    /// With the last choices filled in.
    #[must_use]
    pub(super) fn remembered(memory: &Memory) -> Self {
        let first = Self::default();
        let or = |text: &Option<String>, default: String| text.clone().unwrap_or(default);
        let linf = memory.norm.as_deref() == Some(norm_name(Norm::Linf));
        Self {
            norm: if linf { Norm::Linf } else { first.norm },
            rho: or(&memory.rho, first.rho),
            draws: or(&memory.draws, first.draws),
            steps: or(&memory.steps, first.steps),
            batches: or(&memory.batches, first.batches),
        }
    }

    /// The number that says how long a measurement of this kind goes on: draws, or steps.
    #[must_use]
    pub fn count(&self, kind: SharpnessKind) -> &str {
        match kind {
            SharpnessKind::Average => &self.draws,
            SharpnessKind::Worst => &self.steps,
        }
    }

    pub(super) fn count_mut(&mut self, kind: SharpnessKind) -> &mut String {
        match kind {
            SharpnessKind::Average => &mut self.draws,
            SharpnessKind::Worst => &mut self.steps,
        }
    }

    /// As the spec has it; every number that is wrong, in one line each. What another kind asks for is
    /// not looked at.
    ///
    /// # Errors
    /// Says of each number what is wrong and what was expected.
    pub fn spec(&self, kind: SharpnessKind, layers: Layers) -> Result<SharpnessSpec, Vec<String>> {
        let mut wrong = vec![];
        let mut take = |name: &str, number: Result<u64, String>| {
            let number = number.and_then(|n| usize::try_from(n).map_err(|e| e.to_string()));
            number.map_err(|why| wrong.push(format!("{name}: {why}"))).unwrap_or_default()
        };
        let mut spec = SharpnessSpec { kind, layers, norm: self.norm, ..SharpnessSpec::default() };
        match kind {
            SharpnessKind::Average => spec.draws = take("draws", parse_draws(&self.draws)),
            SharpnessKind::Worst => spec.steps = take("steps", parse_whole(&self.steps, 1)),
        }
        spec.batches = take("batches", parse_whole(&self.batches, 1));
        match parse_radius(&self.rho) {
            Ok(rho) => spec.rho = rho,
            Err(why) => wrong.insert(0, format!("radius: {why}")),
        }
        if wrong.is_empty() { Ok(spec) } else { Err(wrong) }
    }
}

/// A radius above 0.
///
/// # Errors
/// Says what was expected.
pub fn parse_radius(text: &str) -> Result<f64, String> {
    let text = text.trim();
    match text.parse::<f64>() {
        Ok(rho) if rho.is_finite() && rho > 0.0 => Ok(rho),
        _ => Err(format!("`{text}` is no number above 0; write 0.2")),
    }
}

/// An even number of draws.
///
/// # Errors
/// Says what was expected.
pub fn parse_draws(text: &str) -> Result<u64, String> {
    match parse_whole(text, 2) {
        Ok(n) if n.is_multiple_of(2) => Ok(n),
        Ok(n) => Err(format!("{n} is odd, and each draw comes with its opposite; write {}", n + 1)),
        Err(why) => Err(why),
    }
}

/// As in the spec.
#[must_use]
pub fn norm_name(norm: Norm) -> &'static str {
    match norm {
        Norm::L2 => "l2",
        Norm::Linf => "linf",
    }
}

/// As in the spec, or `off`.
#[must_use]
pub fn sharpness_name(kind: Option<SharpnessKind>) -> &'static str {
    match kind {
        None => "off",
        Some(SharpnessKind::Average) => "average",
        Some(SharpnessKind::Worst) => "worst",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_there_first_is_the_default() {
        for kind in [SharpnessKind::Average, SharpnessKind::Worst] {
            let spec = Sharp::default().spec(kind, Layers::Block).unwrap();
            assert_eq!(spec, SharpnessSpec { kind, ..SharpnessSpec::default() });
        }
    }

    #[test]
    fn every_wrong_number_is_told_and_only_of_the_kind_asked_for() {
        let wrong = Sharp {
            rho: "0".into(),
            draws: "7".into(),
            steps: "x".into(),
            batches: String::new(),
            ..Sharp::default()
        };
        let average = wrong.spec(SharpnessKind::Average, Layers::Block).unwrap_err();
        assert_eq!(average.len(), 3, "{average:?}");
        assert!(average[0].contains("radius: `0`") && average[1].contains("write 8"));
        assert!(average[2].starts_with("batches: "));
        let worst = wrong.spec(SharpnessKind::Worst, Layers::Block).unwrap_err();
        assert!(worst[1].starts_with("steps: `x`"), "{worst:?}");
        let right = Sharp { draws: "7".into(), ..Sharp::default() };
        assert!(right.spec(SharpnessKind::Worst, Layers::Block).is_ok(), "draws are not asked for");
        for radius in ["", "nan", "inf", "-1", "0.2.1"] {
            assert!(parse_radius(radius).is_err(), "{radius}");
        }
        assert_eq!(parse_radius(" 5e-2 "), Ok(0.05));
    }
}
