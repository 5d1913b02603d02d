//! `[stragglers]`: where the rule draws its lines.

use serde::{Deserialize, Serialize};

/// `[stragglers]`. From which number on a layer is called a straggler.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Thresholds {
    /// Robust deviations of log S, and of log(S(α)/S(0)).
    pub sharpness: f64,
    /// Standard errors of the layer barrier.
    pub barrier: f64,
    /// Robust deviations of the log relative distance.
    pub distance: f64,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self { sharpness: 3.0, barrier: 2.0, distance: 3.0 }
    }
}

impl Thresholds {
    /// True for the defaults: they are not written, so that old journals stay as they are.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}
