//! Class weights of every dataset at a point of the path, made when first needed.

use tch::Tensor;

use super::engine::Point;
use super::error::TorchError;
use super::heads::{ClassPrompts, Head, StoredHead};
use super::model::Model;
use super::weights::Tensors;
use crate::checkpoint::Architecture;
use crate::checkpoint::names::is_text;
use crate::inputs::{Inputs, LoadedDataset};
use crate::sparsify::Plan;
use crate::sweep::ids::{Alpha, DatasetId};

/// Zero-shot heads that are kept at most: a grid's of several class lists and variants.
const HEADS_KEPT: usize = 256;

/// Class weights of every dataset.
#[derive(Debug, Default)]
pub(super) struct Heads {
    stored: Option<StoredHead>,
    /// Distinct class lists with their prompts; `None` until first needed.
    lists: Vec<List>,
    /// Which list each dataset has; unused with a stored head.
    list_of: Vec<usize>,
    /// Zero-shot heads, with where the text tower stood (`None`: the same everywhere, but for the
    /// scale, which is the zero-shot end's).
    made: Vec<MadeHead>,
    /// What was asked for last, where it is part of another head or scaled.
    last: Option<Head>,
}

/// Class list, where the text tower stood, and the head.
type MadeHead = (usize, Option<(Alpha, Plan)>, Head);

#[derive(Debug, PartialEq)]
struct List {
    classes: Vec<String>,
    templates: Vec<String>,
    /// Rows whose largest logit is a class's; empty where each row is a class.
    groups: Vec<Vec<usize>>,
}

impl List {
    fn prompts(&self, architecture: &Architecture) -> Result<ClassPrompts, TorchError> {
        ClassPrompts::of(architecture, &self.classes, &self.templates)
    }
}

fn unknown(id: DatasetId) -> TorchError {
    TorchError::Input(format!("find the head of dataset {}: there is none", id.index()))
}

impl Heads {
    pub(super) fn new(inputs: &Inputs) -> Self {
        let mut heads = Self::default();
        for LoadedDataset { dataset, .. } in &inputs.datasets {
            let list = List {
                classes: dataset.rows().to_vec(),
                templates: dataset.templates().to_vec(),
                groups: dataset.groups().unwrap_or_default().to_vec(),
            };
            let index = heads.lists.iter().position(|other| *other == list).unwrap_or_else(|| {
                heads.lists.push(list);
                heads.lists.len() - 1
            });
            heads.list_of.push(index);
        }
        heads
    }

    /// The stored head; `None` where the pair has none.
    pub(super) fn stored(
        &mut self,
        inputs: &Inputs,
        model: &mut Model,
    ) -> Result<Option<&mut StoredHead>, TorchError> {
        let Some(classes) = &inputs.head else { return Ok(None) };
        if self.stored.is_none() {
            let both = inputs.pair.head.is_some_and(|head| head.zeroshot && head.finetuned);
            let list = List {
                classes: classes.names.clone(),
                templates: classes.templates.clone(),
                groups: Vec::new(),
            };
            let prompts = if both {
                ClassPrompts::default()
            } else {
                list.prompts(&inputs.pair.architecture)?
            };
            self.stored = model.stored_head(&inputs.pair, &prompts)?;
        }
        Ok(self.stored.as_mut())
    }

    /// A tensor of the dense stored head at θ(α); `None` for other names or without one.
    pub(super) fn dense(&self, name: &str, alpha: Alpha) -> Result<Option<Tensor>, TorchError> {
        self.stored.as_ref().map_or(Ok(None), |stored| stored.dense(name, alpha))
    }

    /// The stored head's tensors, at θ(α) since the last [`Self::get`]; `None` without one.
    pub(super) fn stored_tensors(&self) -> Option<Tensors> {
        self.stored.as_ref().map(StoredHead::tensors)
    }

    /// The prompts of a dataset's classes.
    pub(super) fn prompts(
        &self,
        inputs: &Inputs,
        id: DatasetId,
    ) -> Result<ClassPrompts, TorchError> {
        let list = self.list_of.get(id.index()).and_then(|&list| self.lists.get(list));
        list.ok_or_else(|| unknown(id))?.prompts(&inputs.pair.architecture)
    }

    /// The head of a dataset at a point.
    pub(super) fn get(
        &mut self,
        inputs: &Inputs,
        model: &mut Model,
        id: DatasetId,
        at: &Point,
    ) -> Result<&Head, TorchError> {
        let unknown = || unknown(id);
        if let Some(stored) = self.stored(inputs, model)? {
            let loaded = inputs.dataset(id).ok_or_else(unknown)?;
            let head = stored.at(at.alpha, &at.plan)?;
            let head = match &loaded.head_rows {
                Some(rows) if !rows.iter().copied().eq(0..head.classes()) => head.rows(rows)?,
                _ => head,
            };
            let head = head.grouped(loaded.dataset.groups().unwrap_or_default())?;
            return Ok(self.last.insert(head));
        }
        let list = *self.list_of.get(id.index()).ok_or_else(unknown)?;
        let point = model.text_moves().then(|| (at.alpha, at.plan.part(is_text)));
        let made_at = if point.is_some() { at.alpha } else { Alpha::ZERO_SHOT };
        let known = |(of, there, _): &MadeHead| *of == list && *there == point;
        let index = match self.made.iter().position(known) {
            Some(index) => index,
            None => {
                let asked = self.lists.get(list).ok_or_else(unknown)?;
                let prompts = asked.prompts(&inputs.pair.architecture)?;
                let head = model.zero_shot_head(made_at, &at.plan, &prompts)?;
                let head = head.grouped(&asked.groups)?;
                if self.made.len() >= HEADS_KEPT {
                    self.made.clear();
                }
                self.made.push((list, point, head));
                self.made.len() - 1
            }
        };
        let head = self.made.get(index).map(|(.., head)| head).ok_or_else(unknown)?;
        let scale = model.logit_scale();
        if made_at == at.alpha || !scale.moves() {
            return Ok(head);
        }
        let factor = scale.at(at.alpha) / scale.at(made_at);
        Ok(self.last.insert(head.scaled(factor)?))
    }
}
