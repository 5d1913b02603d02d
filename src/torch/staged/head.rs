//! Class weights of a staged model: the same for good, rows of a stored head, or the text tower's.

use tch::Tensor;

use super::cache::Side;
use super::{Overlay, Runner};
use crate::checkpoint::names::{HEAD_BIAS, HEAD_WEIGHT};
use crate::torch::clip::{Pass, Tokens, normalized};
use crate::torch::error::{TorchError, guarded};
use crate::torch::heads::{Head, PromptSet};
use crate::torch::weights::Tensors;

/// Where class weights come from.
#[derive(Debug)]
pub enum ClassWeights {
    /// They are the same whatever is replaced.
    Fixed(Head),
    /// The stored head among the weights, all rows or these alone (int64).
    Stored(Option<Tensor>),
    /// The text tower among the weights, over these prompts.
    Text(PromptSet),
}

impl Runner {
    /// Class weights with an overlay's tensors, no gradient; computed once for each overlay.
    pub(super) fn head(&mut self, over: &mut Overlay) -> Result<Head, TorchError> {
        let _no_grad = tch::no_grad_guard();
        if over.text_from().is_some() || over.stored_from().is_some() {
            if over.head.is_none() {
                over.head = Some(match over.text_from() {
                    Some(_) => {
                        let features = self.all_prompts(over, Pass::Measure)?;
                        self.head_of(&features)?
                    }
                    None => self.stored(over.tensors())?,
                });
            }
            return over.head.as_ref().map(Head::share).ok_or_else(missing);
        }
        if self.head.is_none() {
            self.head = Some(match &self.class_weights {
                ClassWeights::Fixed(head) => head.share(),
                ClassWeights::Stored(_) => self.stored(&Tensors::new())?,
                ClassWeights::Text(_) => {
                    let none = self.overlay(Tensors::new())?;
                    let features = self.all_prompts(&none, Pass::Measure)?;
                    self.head_of(&features)?
                }
            });
        }
        self.head.as_ref().map(Head::share).ok_or_else(missing)
    }

    /// The stored head with some tensors replaced.
    pub(super) fn stored(&self, over: &Tensors) -> Result<Head, TorchError> {
        let find = |name| over.get(name).or_else(|| self.base.tensors().get(name));
        let weight = find(HEAD_WEIGHT).ok_or_else(missing)?.shallow_clone();
        let head = Head::new(weight, find(HEAD_BIAS).map(Tensor::shallow_clone));
        let head = match &self.class_weights {
            ClassWeights::Stored(Some(rows)) => guarded("take rows of the stored head", || {
                let bias = head.bias().map(|bias| bias.f_index_select(0, rows)).transpose()?;
                Ok(Head::new(head.weight().f_index_select(0, rows)?, bias))
            })?,
            _ => head,
        };
        head.grouped(&self.groups)
    }

    /// Class weights of all prompts' normalised embeddings.
    pub(super) fn head_of(&self, features: &Tensor) -> Result<Head, TorchError> {
        let ClassWeights::Text(set) = &self.class_weights else { return Err(missing()) };
        guarded("make the zero-shot head", || set.class_weights(features))
            .and_then(|weight| Head::new(weight, None).grouped(&self.groups))
    }

    /// Normalised embeddings of all prompts.
    pub(super) fn all_prompts(&mut self, over: &Overlay, pass: Pass) -> Result<Tensor, TorchError> {
        let passes = self.text_passes();
        let parts: Vec<Tensor> =
            (0..passes).map(|part| self.prompts(part, over, pass)).collect::<Result<_, _>>()?;
        guarded("embed prompts", || Tensor::f_cat(&parts, 0))
    }

    /// In how many passes the prompts go through the text tower.
    pub(super) fn text_passes(&self) -> usize {
        match &self.class_weights {
            ClassWeights::Text(set) => set.passes().len(),
            _ => 0,
        }
    }

    /// Normalised embeddings of one pass's prompts.
    pub(super) fn prompts(
        &mut self,
        part: usize,
        over: &Overlay,
        pass: Pass,
    ) -> Result<Tensor, TorchError> {
        let ClassWeights::Text(set) = &self.class_weights else { return Err(missing()) };
        let base = self.text.as_ref().ok_or_else(missing)?;
        let prompts = set.passes().get(part).ok_or_else(missing)?;
        let count = prompts.count() as usize;
        let stages = base.stages();
        let (first, tower) = over.text_from().unwrap_or((stages, base));
        let key = (Side::Text, part, 0);
        let mut tokens = {
            let _no_grad = tch::no_grad_guard();
            let (from, mut tokens) = self.cache.nearest(key, first).unwrap_or((0, Tokens::none()));
            self.work.text(from..first, count, Pass::Measure);
            for stage in from..first {
                tokens = guarded("run the text tower", || {
                    base.step(stage, prompts, tokens, Pass::Measure)
                })?;
                if stage.is_multiple_of(2) || stage + 1 == first {
                    self.cache.put(key, stage + 1, &mut tokens);
                }
            }
            tokens
        };
        self.work.text(first..stages, count, pass);
        guarded("run the text tower's suffix", || {
            for stage in first..stages {
                tokens = tower.step(stage, prompts, tokens, pass)?;
            }
            normalized(&tokens.x)
        })
    }
}

pub(super) fn missing() -> TorchError {
    TorchError::Input("run the model: it has no class weights".into())
}
