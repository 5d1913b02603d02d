//! Replaced tensors: the towers built with them, where their effect begins, and gradients in them.

use tch::{TchError, Tensor};

use super::Runner;
use super::head::missing;
use super::place::{Place, place};
use crate::checkpoint::Architecture;
use crate::torch::clip::{ImageTower, Pass, TextTower};
use crate::torch::error::{TorchError, guarded};
use crate::torch::heads::Head;
use crate::torch::staged::Loss;
use crate::torch::weights::{Named, Replaced, Tensors};

/// A model with some tensors replaced.
#[derive(Debug)]
pub struct Overlay {
    tensors: Tensors,
    image: Option<(usize, ImageTower)>,
    text: Option<(usize, TextTower)>,
    stored: bool,
    /// Class weights with these tensors, without gradients; made when first asked for.
    pub(super) head: Option<Head>,
}

impl Overlay {
    pub(super) fn new(
        architecture: &Architecture,
        base: &Named,
        with_text: bool,
        tensors: Tensors,
    ) -> Result<Self, TorchError> {
        let blocks = architecture.text.as_ref().map_or(0, |text| text.layers);
        let (mut image, mut text, mut stored) = (None, None, false);
        for name in tensors.keys() {
            if !base.tensors().contains_key(name) {
                return Err(TorchError::Input(format!(
                    "replace `{name}`: the model that is measured has no such tensor"
                )));
            }
            let earlier = |known: Option<usize>, stage| Some(known.map_or(stage, |k| k.min(stage)));
            match place(name, &architecture.image, blocks) {
                Place::Image(stage) => image = earlier(image, stage),
                Place::Text(stage) => text = earlier(text, stage),
                Place::StoredHead => stored = true,
            }
        }
        let replaced = Replaced { base, over: &tensors };
        let image = match image {
            Some(from) => Some((from, ImageTower::new(&replaced, architecture)?)),
            None => None,
        };
        let text = match text.filter(|_| with_text) {
            Some(from) => Some((from, TextTower::new(&replaced, architecture)?)),
            None => None,
        };
        Ok(Self { tensors, image, text, stored, head: None })
    }

    /// The tensors that stand in for the model's own.
    #[must_use]
    pub fn tensors(&self) -> &Tensors {
        &self.tensors
    }

    /// The first stage of the image tower that reads one of them, and the tower with them.
    pub(super) fn image_from(&self) -> Option<(usize, &ImageTower)> {
        self.image.as_ref().map(|(from, tower)| (*from, tower))
    }

    /// The first stage of the text tower that reads one of them, and the tower with them.
    pub(super) fn text_from(&self) -> Option<(usize, &TextTower)> {
        self.text.as_ref().map(|(from, tower)| (*from, tower))
    }

    /// Whether the stored head has one of them.
    pub(super) fn stored_from(&self) -> Option<()> {
        self.stored.then_some(())
    }
}

/// Mean loss of a batch and its gradient in every replaced tensor; the loss is that of the same
/// forward pass.
///
/// Passes over images are independent given the class weights. Prompts' embeddings are a leaf of
/// each of them, so that the text tower runs (and is differentiated) once for all images: with
/// several passes over prompts once more forward, since only one pass's graph is held at a time.
pub(super) fn gradient(
    runner: &mut Runner,
    batch: usize,
    over: &mut Overlay,
    rule: Loss,
) -> Result<(f64, Tensors), TorchError> {
    let doing = "differentiate the loss";
    let count = runner.images(batch) as f64;
    let mut sums = Sums::default();
    let graph = match over.text_from() {
        Some(_) if runner.text_passes() == 1 => Some(runner.prompts(0, over, Pass::Gradient)?),
        _ => None,
    };
    let embedded = match (&graph, over.text_from()) {
        (Some(graph), _) => Some(graph.f_detach().map_err(|e| sorted(doing, &e))?),
        (None, Some(_)) => {
            let _no_grad = tch::no_grad_guard();
            Some(runner.all_prompts(over, Pass::Measure)?)
        }
        (None, None) => None,
    };
    let embedded = embedded.map(|x| x.set_requires_grad(true));
    let (image_side, text_side): (Vec<_>, Vec<_>) = {
        let blocks = runner.architecture.text.as_ref().map_or(0, |text| text.layers);
        let tower = &runner.architecture.image;
        let is_image = |name: &&String| !matches!(place(name, tower, blocks), Place::Text(_));
        over.tensors().keys().cloned().partition(|name| is_image(&name))
    };
    let pick = |over: &Overlay, names: &[String]| -> Result<Vec<Tensor>, TorchError> {
        let get = |name: &String| over.tensors().get(name).map(Tensor::shallow_clone);
        names.iter().map(|name| get(name).ok_or_else(missing)).collect()
    };
    let mut inputs = pick(over, &image_side)?;
    inputs.extend(embedded.as_ref().map(Tensor::shallow_clone));

    let mut total = 0.0;
    let mut of_embedded: Option<Tensor> = None;
    for (start, length) in runner.parts(batch)? {
        let head = match &embedded {
            Some(embedded) => runner.head_of(embedded)?,
            None if over.stored_from().is_some() => runner.stored(over.tensors())?,
            None => runner.head(over)?,
        };
        let features = runner.features(batch, start, length, over, Pass::Gradient)?;
        let labels = &runner.batch(batch)?.labels;
        let gradients = guarded(doing, || {
            let labels = labels.f_narrow(0, start as i64, length as i64)?;
            let sum = rule.sum(&head.logits(&features)?, &labels)?;
            total += f64::try_from(&sum)?;
            Tensor::f_run_backward(&[sum.f_div_scalar(count)?], &inputs, false, false)
        })?;
        let mut gradients = gradients.into_iter();
        for (name, gradient) in image_side.iter().zip(gradients.by_ref()) {
            guarded(doing, || sums.add(name, gradient))?;
        }
        if let Some(gradient) = gradients.next().filter(Tensor::defined) {
            of_embedded = Some(match of_embedded {
                Some(sum) => guarded(doing, || sum.f_add(&gradient))?,
                None => gradient,
            });
        }
    }
    if let Some(of_embedded) = of_embedded {
        let inputs = pick(over, &text_side)?;
        let mut start = 0;
        for part in 0..runner.text_passes() {
            let features = match &graph {
                Some(graph) => graph.shallow_clone(),
                None => runner.prompts(part, over, Pass::Gradient)?,
            };
            let many = features.size().first().copied().unwrap_or(0);
            let gradients = guarded(doing, || {
                let product = features.f_mul(&of_embedded.f_narrow(0, start, many)?)?;
                let sum = product.f_sum(tch::Kind::Float)?;
                Tensor::f_run_backward(&[sum], &inputs, false, false)
            })?;
            start += many;
            for (name, gradient) in text_side.iter().zip(gradients) {
                guarded(doing, || sums.add(name, gradient))?;
            }
        }
    }
    // What the loss does not depend on.
    for (name, tensor) in over.tensors() {
        if !sums.0.contains_key(name) {
            let zeros = guarded(doing, || tensor.f_detach()?.f_zeros_like())?;
            sums.0.insert(name.clone(), zeros);
        }
    }
    Ok((total / count, sums.0))
}

#[derive(Default)]
struct Sums(Tensors);

impl Sums {
    fn add(&mut self, name: &str, gradient: Tensor) -> Result<(), TchError> {
        if !gradient.defined() {
            return Ok(());
        }
        match self.0.get_mut(name) {
            Some(sum) => {
                let _ = sum.f_add_(&gradient)?;
            }
            None => {
                self.0.insert(name.into(), gradient);
            }
        }
        Ok(())
    }
}

fn sorted(doing: &str, error: &TchError) -> TorchError {
    TorchError::sort(doing, &error.to_string())
}
