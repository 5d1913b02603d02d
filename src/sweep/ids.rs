//! Newtypes for every number that has a unit or is an index.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A point on the path θ(α) = θ₀ + α·(θ₁ − θ₀): 0 is the zero-shot end, 1 the
/// fine-tuned one (Wortsman et al. 2022). Always finite; values outside
/// \[0, 1\] extrapolate.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Alpha(f64);

impl Alpha {
    /// θ₀, the zero-shot end.
    pub const ZERO_SHOT: Self = Self(0.0);
    /// θ₁, the fine-tuned end.
    pub const FINE_TUNED: Self = Self(1.0);
    /// Half-way between the ends.
    pub const MIDDLE: Self = Self(0.5);

    /// Wraps a finite number; `None` for NaN and infinities. −0 becomes 0, so
    /// that equal points print and compare alike.
    #[must_use]
    pub fn new(value: f64) -> Option<Self> {
        value.is_finite().then_some(Self(value + 0.0))
    }

    /// The plain number.
    #[must_use]
    pub fn get(self) -> f64 {
        self.0
    }

    /// For people: at most six decimals, with a true minus.
    #[must_use]
    pub fn short(self) -> String {
        spelled(self.0, 6)
    }

    /// True at either file's own weights, where nothing is interpolated.
    #[must_use]
    pub fn is_end(self) -> bool {
        self == Self::ZERO_SHOT || self == Self::FINE_TUNED
    }

    /// True strictly between the ends.
    #[must_use]
    pub fn is_interior(self) -> bool {
        self.0 > 0.0 && self.0 < 1.0
    }
}

impl TryFrom<f64> for Alpha {
    type Error = String;
    fn try_from(value: f64) -> Result<Self, String> {
        Self::new(value).ok_or_else(|| format!("α must be a finite number, got {value}"))
    }
}

impl From<Alpha> for f64 {
    fn from(alpha: Alpha) -> f64 {
        alpha.0
    }
}

impl fmt::Display for Alpha {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match f.precision() {
            Some(digits) => write!(f, "{:.*}", digits, self.0),
            None => write!(f, "{}", self.0),
        }
    }
}

macro_rules! index {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub usize);

        impl $name {
            /// The plain index.
            #[must_use]
            pub fn index(self) -> usize {
                self.0
            }
        }
    };
}

index! {
    /// Position of a dataset in the spec's list.
    DatasetId
}
index! {
    /// Position of a point in the sorted α grid.
    AlphaId
}
index! {
    /// Position of a variant; 0 is `dense`.
    VariantId
}
index! {
    /// Position of a round in the plan of one dataset.
    RoundId
}
index! {
    /// Position of a worker (one per device).
    WorkerId
}

index! {
    /// Position of a layer in the header's table, which holds every granularity.
    LayerId
}
index! {
    /// Position of a probe in the order they were asked for.
    ProbeId
}

impl VariantId {
    /// The sweep without sparsification: always there.
    pub const DENSE: Self = Self(0);
}

/// One number to be measured: accuracy of a variant on a dataset at a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct CellId {
    /// Which sparsification, 0 = dense.
    pub variant: VariantId,
    /// Which dataset.
    pub dataset: DatasetId,
    /// Which point of the grid.
    pub alpha: AlphaId,
}

/// One number per layer and point: what a probe gives for one layer of one
/// variant at one α.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ProbeCell {
    /// Which probe.
    pub probe: ProbeId,
    /// Which sparsification, 0 = dense.
    pub variant: VariantId,
    /// Which point of the grid.
    pub alpha: AlphaId,
    /// Which layer; `None`: every layer in play at once (overall).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layer: Option<LayerId>,
}

/// What a worker measures at a time: of accuracy a round of a cell, of a probe a
/// whole one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    /// Accuracy.
    Accuracy(CellId),
    /// A probe.
    Probe(ProbeCell),
    /// Both activations, before any of these.
    Activation,
}

impl Task {
    /// The point it is at, where that is one of the grid's.
    #[must_use]
    pub fn alpha(self) -> Option<AlphaId> {
        match self {
            Self::Accuracy(cell) => Some(cell.alpha),
            Self::Probe(cell) => Some(cell.alpha),
            Self::Activation => None,
        }
    }

    /// The variant it measures.
    #[must_use]
    pub fn variant(self) -> VariantId {
        match self {
            Self::Accuracy(cell) => cell.variant,
            Self::Probe(cell) => cell.variant,
            Self::Activation => VariantId::DENSE,
        }
    }
}

/// An α for people: at most so many decimals, with a true minus, and no minus before 0.
#[must_use]
pub fn spelled(alpha: f64, decimals: usize) -> String {
    let text = format!("{alpha:.decimals$}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0".into() } else { text.replace('-', "−") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alpha_is_as_short_as_it_tells_points_apart() {
        let short = |value| Alpha::new(value).unwrap().short();
        assert_eq!([0.0, 1.0, 0.1 + 0.2, 10.0].map(short), ["0", "1", "0.3", "10"]);
        assert_eq!([-0.25, 0.0001, -1e-9].map(short), ["−0.25", "0.0001", "0"]);
    }

    #[test]
    fn alpha_refuses_what_is_not_a_number() {
        assert_eq!(Alpha::new(f64::NAN), None);
        assert_eq!(Alpha::new(f64::INFINITY), None);
        assert_eq!(Alpha::new(-0.0).map(|a| a.to_string()), Some("0".into()));
        assert!(serde_json::from_str::<Alpha>("0.25").is_ok_and(|a| a.get() == 0.25));
    }

    #[test]
    fn ends_and_interior() {
        assert!(Alpha::ZERO_SHOT.is_end() && Alpha::FINE_TUNED.is_end());
        assert!(Alpha::new(0.5).is_some_and(|a| a.is_interior() && !a.is_end()));
        assert!(Alpha::new(1.5).is_some_and(|a| !a.is_interior() && !a.is_end()));
    }
}
