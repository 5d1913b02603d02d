//! Class weights: zero-shot heads made by the text tower, and linear heads stored in checkpoints.
//!
//! Always float32: they are small, and their products decide ties.

use std::borrow::Cow;

use tch::{Device, Kind, TchError, Tensor};

use super::clip::{Prompts, TextTower, normalized};
use super::error::{TorchError, guarded};
use super::model::Model;
use super::path::PathWeights;
use super::weights::Tensors;
use crate::checkpoint::names::{HEAD_BIAS, HEAD_WEIGHT};
use crate::checkpoint::{Architecture, Dtype, End, Pair, TensorView};
use crate::dataset::{Tokenizer, prompts};
use crate::plural::counted;
use crate::sparsify::{Plan, Zeros};
use crate::sweep::ids::Alpha;

/// The prompts of a class list, as token ids.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClassPrompts {
    /// Class after class.
    pub prompts: Vec<Vec<u32>>,
    /// Prompts of each class.
    pub per_class: usize,
}

impl ClassPrompts {
    /// Every template filled with every class, tokenized for a text tower.
    ///
    /// # Errors
    /// When there is no text tower, or it does not take CLIP's tokens.
    pub fn of(
        architecture: &Architecture,
        classes: &[String],
        templates: &[String],
    ) -> Result<Self, TorchError> {
        let context = architecture.text.as_ref().map_or(0, |text| text.context);
        if !architecture.takes_clip_tokens() {
            return Err(TorchError::Input(format!(
                "make the zero-shot head: expected a text tower for CLIP's tokenizer (49,408 \
                 tokens), got {}; give checkpoints that store a head",
                architecture.text.as_ref().map_or("none".into(), |text| format!("{}", text.vocab))
            )));
        }
        let tokenizer = Tokenizer::clip();
        let prompts = classes
            .iter()
            .flat_map(|class| prompts(class, templates))
            .map(|prompt| tokenizer.encode(&prompt, context))
            .collect();
        Ok(Self { prompts, per_class: templates.len() })
    }

    /// Number of classes.
    #[must_use]
    pub fn classes(&self) -> usize {
        self.prompts.len() / self.per_class.max(1)
    }
}

/// What normalised image features are multiplied with.
#[derive(Debug)]
pub struct Head {
    /// \[rows, embed\].
    weight: Tensor,
    /// \[rows\]; `None` counts as zeros.
    bias: Option<Tensor>,
    /// \[classes, widest\]: the rows of each class, filled up with its first;
    /// `None` where each row is a class.
    groups: Option<Tensor>,
}

impl Head {
    /// Number of classes.
    #[must_use]
    pub fn classes(&self) -> usize {
        let of = self.groups.as_ref().unwrap_or(&self.weight);
        of.size().first().map_or(0, |&n| n as usize)
    }

    /// One class for each group of rows: its logit is the largest of theirs. No
    /// groups leave the head as it is.
    ///
    /// # Errors
    /// When a group is empty, a row is not there, or the device fails.
    pub fn grouped(self, groups: &[Vec<usize>]) -> Result<Self, TorchError> {
        let doing = "group the rows of the head";
        let widest = groups.iter().map(Vec::len).max().unwrap_or(0);
        if widest == 0 {
            return Ok(self);
        }
        let rows = self.weight.size().first().map_or(0, |&n| n as usize);
        let mut index = Vec::with_capacity(groups.len() * widest);
        for group in groups {
            let Some(&first) = group.first().filter(|_| group.iter().all(|&row| row < rows)) else {
                return Err(TorchError::Input(format!(
                    "{doing}: expected rows under {rows} for each class, got {group:?}"
                )));
            };
            let filled = group.iter().copied().chain(std::iter::repeat(first)).take(widest);
            index.extend(filled.map(|row| row as i64));
        }
        let shape = [groups.len() as i64, widest as i64];
        let device = self.weight.device();
        let groups =
            guarded(doing, || Tensor::f_from_slice(&index)?.f_view(shape)?.f_to_device(device))?;
        Ok(Self { groups: Some(groups), ..self })
    }

    /// The weights, \[rows, embed\]: a row is a class, but in a grouped head.
    pub fn weight(&self) -> &Tensor {
        &self.weight
    }

    /// The bias, \[classes\]; `None` counts as zeros.
    #[must_use]
    pub fn bias(&self) -> Option<&Tensor> {
        self.bias.as_ref()
    }

    /// Every logit times a factor.
    ///
    /// # Errors
    /// When the device fails.
    pub fn scaled(&self, factor: f64) -> Result<Self, TorchError> {
        guarded("scale the head", || {
            let bias = self.bias.as_ref().map(|b| b.f_mul_scalar(factor)).transpose()?;
            Ok(Self { weight: self.weight.f_mul_scalar(factor)?, bias, ..self.share() })
        })
    }

    /// The same tensors for a second reader.
    #[must_use]
    pub fn share(&self) -> Self {
        let bias = self.bias.as_ref().map(Tensor::shallow_clone);
        let groups = self.groups.as_ref().map(Tensor::shallow_clone);
        Self { weight: self.weight.shallow_clone(), bias, groups }
    }

    /// Weights \[classes, embed\] and bias \[classes\] (`None`: zeros), in float32; each row is a
    /// class.
    #[must_use]
    pub fn new(weight: Tensor, bias: Option<Tensor>) -> Self {
        Self { weight, bias, groups: None }
    }

    /// These rows alone, in this order.
    ///
    /// # Errors
    /// When a row is not there or the device fails.
    pub fn rows(&self, rows: &[usize]) -> Result<Self, TorchError> {
        let index: Vec<i64> = rows.iter().map(|&row| row as i64).collect();
        guarded("take rows of the stored head", || {
            let index = Tensor::f_from_slice(&index)?.f_to_device(self.weight.device())?;
            let bias = self.bias.as_ref().map(|b| b.f_index_select(0, &index)).transpose()?;
            Ok(Self { weight: self.weight.f_index_select(0, &index)?, bias, groups: None })
        })
    }

    /// Logits \[images, classes\] of L2-normalised features \[images, embed\], in float32.
    ///
    /// # Errors
    /// When the device fails.
    pub fn logits(&self, features: &Tensor) -> Result<Tensor, TchError> {
        let rows = features.f_linear(&self.weight, self.bias.as_ref())?;
        let Some(groups) = &self.groups else { return Ok(rows) };
        let [classes, widest] = [0, 1].map(|axis| groups.size().get(axis).copied().unwrap_or(1));
        rows.f_index_select(-1, &groups.f_view(-1)?)?
            .f_view([-1, classes, widest])?
            .f_amax([-1].as_slice(), false)
    }
}

/// Tokens per pass through the text tower at first; halved when memory is short.
const TOKENS: usize = 8192;

/// The prompts of a class list in the passes in which they go through the text tower, and how
/// their embeddings become class weights.
///
/// Equal prompts are embedded once, and prompts of like length together, since a pass is as long
/// as its longest.
#[derive(Debug)]
pub struct PromptSet {
    passes: Vec<Prompts>,
    /// Which embedding each prompt of each class has.
    rows: Tensor,
    shape: [i64; 3],
    scale: f64,
}

impl PromptSet {
    /// Sorts prompts into passes of at most `tokens` tokens (or one prompt).
    ///
    /// # Errors
    /// When prompts do not fit the tower or the device fails.
    pub fn new(
        tower: &TextTower,
        list: &ClassPrompts,
        scale: f64,
        device: Device,
        tokens: usize,
    ) -> Result<Self, TorchError> {
        let doing = "make the zero-shot head";
        if list.per_class == 0
            || list.prompts.is_empty()
            || !list.prompts.len().is_multiple_of(list.per_class)
        {
            return Err(TorchError::Input(format!(
                "{doing}: expected {} for each class, got {} in all",
                counted(list.per_class, "prompt"),
                list.prompts.len()
            )));
        }
        list.prompts.iter().try_for_each(|ids| tower.check(ids))?;
        let mut distinct: Vec<&[u32]> = list.prompts.iter().map(Vec::as_slice).collect();
        distinct.sort_unstable_by_key(|ids| (Prompts::end_of(ids), *ids));
        distinct.dedup();
        let row_of: std::collections::HashMap<&[u32], i64> =
            distinct.iter().enumerate().map(|(row, &ids)| (ids, row as i64)).collect();
        let rows: Vec<i64> =
            list.prompts.iter().filter_map(|ids| row_of.get(ids.as_slice()).copied()).collect();
        let mut passes = Vec::new();
        let mut left = distinct.as_slice();
        while !left.is_empty() {
            let fit = |&(i, ids): &(usize, &&[u32])| (Prompts::end_of(ids) + 1) * (i + 1) <= tokens;
            let many = left.iter().enumerate().take_while(fit).count().max(1);
            passes.push(guarded(doing, || Prompts::new(&left[..many], device))?);
            left = &left[many..];
        }
        let rows = guarded(doing, || Tensor::f_from_slice(&rows)?.f_to_device(device))?;
        let shape = [list.classes() as i64, list.per_class as i64, -1];
        Ok(Self { passes, rows, shape, scale })
    }

    /// What goes through the tower at once.
    #[must_use]
    pub fn passes(&self) -> &[Prompts] {
        &self.passes
    }

    /// Class weights \[classes, embed\] of the passes' normalised embeddings, one after the other:
    /// for each class the mean over its prompts, normalised, × scale.
    ///
    /// # Errors
    /// When the device fails.
    pub fn class_weights(&self, features: &Tensor) -> Result<Tensor, TchError> {
        let each = features.f_index_select(0, &self.rows)?.f_view(self.shape)?;
        let mean = each.f_mean_dim([1_i64].as_slice(), false, Kind::Float)?;
        normalized(&mean)?.f_mul_scalar(self.scale)
    }
}

/// The zero-shot head at the point where the text tower stands: for each class the prompts'
/// embeddings, normalised, averaged, normalised, × `scale`.
///
/// # Errors
/// When prompts do not fit the tower or the device fails. Short memory halves the tokens per pass
/// before it is an error.
pub fn zero_shot(
    tower: &TextTower,
    list: &ClassPrompts,
    scale: f64,
    device: Device,
) -> Result<Head, TorchError> {
    let mut tokens = TOKENS;
    loop {
        let set = PromptSet::new(tower, list, scale, device, tokens)?;
        let head = guarded("make the zero-shot head", || {
            let embed = |pass| normalized(&tower.forward(pass)?);
            let features: Vec<Tensor> = set.passes().iter().map(embed).collect::<Result<_, _>>()?;
            Ok(Head::new(set.class_weights(&Tensor::f_cat(&features, 0)?)?, None))
        });
        match head {
            Err(error) if error.is_memory() && tokens > 1 => tokens /= 2,
            head => return head,
        }
    }
}

/// The zero-shot head of the end that stores no linear head, made on the CPU: \[classes, embed\]
/// row-major, the bits that [`StoredHead`] interpolates from there.
///
/// # Errors
/// When no text tower is there, prompts do not fit it, or the number of classes is not the stored
/// head's.
pub fn twin(pair: &Pair, classes: &[String], templates: &[String]) -> Result<Vec<f32>, TorchError> {
    let list = ClassPrompts::of(&pair.architecture, classes, templates)?;
    let mut model = Model::load(pair, Device::Cpu, Kind::Float)?;
    let bare = match pair.head {
        Some(head) if head.zeroshot => Alpha::FINE_TUNED,
        _ => Alpha::ZERO_SHOT,
    };
    let head = model.zero_shot_head(bare, &Plan::default(), &list)?;
    let expected = pair.head.map_or(head.classes(), |head| head.classes);
    if head.classes() != expected {
        return Err(TorchError::Input(format!(
            "make the other end of the stored head: expected {}, one for each of its \
             rows, got {}",
            counted(expected, "class"),
            head.classes()
        )));
    }
    guarded("read the zero-shot head", || {
        Vec::<f32>::try_from(head.weight.f_contiguous()?.f_view(-1)?)
    })
}

/// A linear head that moves along the path like any other layer.
#[derive(Debug)]
pub struct StoredHead {
    weights: PathWeights,
    classes: usize,
    embed: usize,
}

impl StoredHead {
    /// Loads the head of each end that stores one; `missing` makes the other end's zero-shot head
    /// over the same classes (its bias is zero). `None` when the pair stores no head.
    ///
    /// # Errors
    /// When `missing` fails, shapes differ, or the device has no room.
    pub fn load(
        pair: &Pair,
        device: Device,
        mut missing: impl FnMut(End) -> Result<Head, TorchError>,
    ) -> Result<Option<Self>, TorchError> {
        let Some(info) = &pair.head else { return Ok(None) };
        let (classes, embed) = (info.classes, pair.architecture.embed);
        let zeros = || TensorView::new(Dtype::F32, vec![classes], Cow::Owned(vec![0; 4 * classes]));
        let mut made: Vec<(End, Vec<u8>)> = Vec::new();
        for (end, stored) in [(End::ZeroShot, info.zeroshot), (End::FineTuned, info.finetuned)] {
            if !stored {
                let weight = missing(end)?.weight;
                let values = guarded("read the zero-shot head", || {
                    Vec::<f32>::try_from(weight.f_contiguous()?.f_view(-1)?)
                })?;
                made.push((end, values.iter().flat_map(|x| x.to_le_bytes()).collect()));
            }
        }
        let shape = [classes, embed];
        let get = |end: End, name: &str| {
            let own = made.iter().find(|(at, _)| *at == end);
            match own {
                Some((_, bytes)) if name == HEAD_WEIGHT => {
                    TensorView::new(Dtype::F32, shape.to_vec(), Cow::Borrowed(bytes))
                }
                Some(_) => zeros(),
                None if name == HEAD_BIAS => pair.end(end, name).or_else(zeros),
                None => pair.end(end, name),
            }
        };
        let names = [HEAD_WEIGHT, HEAD_BIAS].map(str::to_string);
        let weights = PathWeights::load(names, get, device, Kind::Float)?;
        Ok(Some(Self { weights, classes, embed }))
    }

    /// A tensor of the dense head at θ(α), a copy; `None` for other names.
    ///
    /// # Errors
    /// When the device fails.
    pub fn dense(&self, name: &str, alpha: Alpha) -> Result<Option<Tensor>, TorchError> {
        self.weights.dense(name, alpha)
    }

    /// Its tensors by canonical name; they share storage, so they follow [`Self::at`].
    #[must_use]
    pub fn tensors(&self) -> Tensors {
        self.weights.all()
    }

    /// The head at θ(α) of a variant, all rows.
    ///
    /// # Errors
    /// When the device fails.
    pub fn at(&mut self, alpha: Alpha, plan: &Plan) -> Result<Head, TorchError> {
        self.weights.set(alpha, plan)?;
        Ok(Head {
            weight: self.weights.get(HEAD_WEIGHT, &[self.classes, self.embed])?,
            bias: Some(self.weights.get(HEAD_BIAS, &[self.classes])?),
            groups: None,
        })
    }

    /// Counts the zeros of a variant at θ(α), of the head's tensors that it edits.
    ///
    /// # Errors
    /// When the device fails.
    pub fn zeros(&self, alpha: Alpha, plan: &Plan) -> Result<Vec<Zeros>, TorchError> {
        self.weights.zeros(alpha, plan)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_has_its_largest_logit() {
        let weight = Tensor::from_slice(&[1.0f32, 0.0, 0.0, 1.0, 2.0, 2.0, -1.0, 0.0]).view([4, 2]);
        let bias = Some(Tensor::from_slice(&[0.0f32, 0.0, -1.0, 0.0]));
        let head = Head { weight, bias, groups: None };
        let features = Tensor::from_slice(&[0.6f32, 0.8, -1.0, 0.0]).view([2, 2]);
        // Logits of the rows: 0.6, 0.8, 1.8, −0.6 and −1, 0, −3, 1.
        let head = head.grouped(&[vec![3], vec![0, 1, 2]]).unwrap();
        assert_eq!(head.classes(), 2);
        let got = Vec::<f32>::try_from(head.logits(&features).unwrap().view(-1)).unwrap();
        let want = [-0.6, 1.8, 1.0, 0.0];
        assert!(std::iter::zip(&got, want).all(|(a, b)| (a - b).abs() < 1e-6), "{got:?}");
    }

    #[test]
    fn groups_that_do_not_fit_are_refused() {
        let head = || Head {
            weight: Tensor::zeros([3, 2], tch::kind::FLOAT_CPU),
            bias: None,
            groups: None,
        };
        assert!(head().grouped(&[vec![0], vec![]]).unwrap_err().to_string().contains("under 3"));
        assert!(head().grouped(&[vec![3]]).is_err());
        assert_eq!(head().grouped(&[]).unwrap().classes(), 3);
    }
}
