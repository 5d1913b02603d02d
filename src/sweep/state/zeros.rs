//! Zeros of sparse variants, as they were counted.

use std::collections::BTreeMap;

use super::SweepState;
use crate::sweep::event::LayerInfo;
use crate::sweep::ids::{AlphaId, VariantId};
use crate::sweep::zeros::{Sum, Zeros};

/// By variant and α, of each tensor that the variant edits.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Counts(BTreeMap<(VariantId, AlphaId), Vec<Zeros>>);

impl SweepState {
    /// Zeros of each tensor that a variant edits, counted at one point; `None` where
    /// they were not counted: of the dense one, before its first result there, and
    /// in runs of versions that did not count.
    #[must_use]
    pub fn zeros(&self, variant: VariantId, alpha: AlphaId) -> Option<&[Zeros]> {
        self.zeros.0.get(&(variant, alpha)).map(Vec::as_slice)
    }

    /// … of all of them together.
    #[must_use]
    pub fn zeros_in_all(&self, variant: VariantId, alpha: AlphaId) -> Option<Sum> {
        Some(Sum::of(self.zeros(variant, alpha)?))
    }

    /// … of the tensors of one layer; `None` also where the variant edits none of them.
    #[must_use]
    pub fn zeros_of(&self, variant: VariantId, alpha: AlphaId, layer: &LayerInfo) -> Option<Sum> {
        let all = self.zeros(variant, alpha)?;
        let mut own = all.iter().filter(|it| layer.tensors.contains(&it.tensor)).peekable();
        own.peek().is_some().then(|| Sum::of(own))
    }

    /// Where zeros were counted.
    pub fn counted(&self) -> impl Iterator<Item = (VariantId, AlphaId)> + '_ {
        self.zeros.0.keys().copied()
    }

    /// Another part of the run may have counted the same.
    pub(super) fn count(&mut self, variant: VariantId, alpha: AlphaId, zeros: &[Zeros]) {
        let sparse = self.variants.get(variant.index()).is_some_and(|it| !it.is_dense());
        let inside = alpha.index() < self.alphas().len();
        if !sparse || !inside || !zeros.iter().all(Zeros::is_sound) {
            return self.misfit();
        }
        let known = self.zeros.0.entry((variant, alpha)).or_insert_with(|| zeros.to_vec());
        self.ignored += usize::from(known != zeros);
    }
}

#[cfg(test)]
mod tests;
