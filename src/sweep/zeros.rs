//! Zeros of a sparse variant: counted, never taken from what was asked for.

use serde::{Deserialize, Serialize};

/// Zeros of one edited tensor, counted at one point.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Zeros {
    /// Canonical name.
    pub tensor: String,
    /// Numbers in it.
    pub total: u64,
    /// Of these, how many θ(α) are 0 in the variant.
    pub weights: u64,
    /// Of these, how many stay zero-shot along the variant's whole path.
    pub differences: u64,
}

impl Zeros {
    /// True when no part is larger than the whole.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.weights <= self.total && self.differences <= self.total
    }
}

/// Zeros of several tensors together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum {
    /// Numbers in all of them.
    pub total: u64,
    /// Of these, how many θ(α) are 0.
    pub weights: u64,
    /// Of these, how many stay zero-shot along the whole path.
    pub differences: u64,
}

impl Sum {
    /// Of these tensors.
    #[must_use]
    pub fn of<'a>(all: impl IntoIterator<Item = &'a Zeros>) -> Self {
        all.into_iter().fold(Self::default(), |sum, it| Self {
            total: sum.total.saturating_add(it.total),
            weights: sum.weights.saturating_add(it.weights),
            differences: sum.differences.saturating_add(it.differences),
        })
    }

    /// θ(α) that are 0, as a fraction of all numbers; `None` where there are none.
    #[must_use]
    pub fn fraction(&self) -> Option<f64> {
        (self.total > 0).then(|| self.weights as f64 / self.total as f64)
    }

    /// Numbers that stay zero-shot, likewise.
    #[must_use]
    pub fn difference_fraction(&self) -> Option<f64> {
        (self.total > 0).then(|| self.differences as f64 / self.total as f64)
    }
}
