//! Which activation fits the weights: the zero-shot end with both, on a few images.

use std::sync::Arc;

use tch::Device;

use super::engine::{Point, TorchEngine, sorted};
use super::error::{TorchError, guarded};
use super::heads::{ClassPrompts, Head};
use super::model::Towers;
use super::scores::score;
use crate::checkpoint::arch::Source;
use crate::dataset::Dataset;
use crate::inputs::{Inputs, LoadedDataset};
use crate::sweep::activation::ActivationProbe;
use crate::sweep::engine::{Engine, EngineError, Steer};
use crate::sweep::ids::{Alpha, DatasetId};
use crate::sweep::spec::{Activation, Role, Variant};

/// Images measured at most: the first of the dataset's order, which the first rounds read too.
const IMAGES: usize = 256;

/// Prompts of each head at most, but one a class at least: a thousand classes with eighty
/// templates would take longer than all the images.
const PROMPTS: usize = 1024;

const DOING: &str = "compare the activations at the zero-shot end";

/// The activation in force, where it is worth a question: the spec does not give it, something
/// that is measured depends on it, and no configuration tells of different ones in the two towers.
fn in_question(inputs: &Inputs) -> Option<Activation> {
    let it = &inputs.pair.architecture;
    if it.sources.activation == Source::Spec || !inputs.spec.checkpoints.probe_activation {
        return None;
    }
    // A ResNet's image tower has none of the two.
    let image = it.image.resnet.is_none().then_some(it.activation);
    let text = has_zero_shot_head(inputs).then_some(it.text_activation);
    match (image, text) {
        (Some(image), Some(text)) if image != text => None,
        (image, text) => image.or(text),
    }
}

/// True where the text tower makes the class weights at α = 0.
fn has_zero_shot_head(inputs: &Inputs) -> bool {
    !inputs.pair.head.is_some_and(|head| head.zeroshot)
}

/// The first id dataset, else the first of all.
fn first_dataset(inputs: &Inputs) -> Option<(DatasetId, &LoadedDataset)> {
    let id = inputs.spec.datasets.iter().position(|it| it.role == Role::Id).unwrap_or(0);
    inputs.datasets.get(id).map(|loaded| (DatasetId(id), loaded))
}

/// How many of a dataset's templates are used.
fn templates(dataset: &Dataset) -> usize {
    (PROMPTS / dataset.rows().len().max(1)).clamp(1, dataset.templates().len().max(1))
}

impl TorchEngine {
    /// See [`Engine::probe_activation`]. The model stands at the dense zero-shot end afterwards.
    pub(super) fn compare_activations(
        &mut self,
        steer: &mut dyn Steer,
    ) -> Result<Option<ActivationProbe>, EngineError> {
        let inputs = Arc::clone(&self.inputs);
        let Some(used) = in_question(&inputs) else { return Ok(None) };
        let Some((id, loaded)) = first_dataset(&inputs) else { return Ok(None) };
        let images = loaded.order.len().min(IMAGES);
        let Some(ours) = self.hits_with(used, id, loaded, 0.0, steer)? else { return Ok(None) };
        let Some(others) = self.hits_with(used.other(), id, loaded, 0.5, steer)? else {
            return Ok(None);
        };
        let count = |wanted: (bool, bool)| {
            std::iter::zip(&ours, &others).filter(|&(&a, &b)| (a, b) == wanted).count()
        };
        let (there, all) = (templates(&loaded.dataset), loaded.dataset.templates().len());
        Ok((images > 0).then(|| ActivationProbe {
            used,
            source: inputs.pair.architecture.sources.activation.to_string(),
            dataset: loaded.dataset.name().to_string(),
            templates: (has_zero_shot_head(&inputs) && there < all).then_some((there, all)),
            images,
            correct: ours.iter().filter(|&&hit| hit).count(),
            gained: count((false, true)),
            lost: count((true, false)),
        }))
    }

    /// Which of the first images of a dataset's order are right; `None` when it was left. `begun`:
    /// what is done when it begins, of two halves.
    fn hits_with(
        &mut self,
        activation: Activation,
        id: DatasetId,
        loaded: &LoadedDataset,
        begun: f64,
        steer: &mut dyn Steer,
    ) -> Result<Option<Vec<bool>>, EngineError> {
        let inputs = Arc::clone(&self.inputs);
        if !steer.go_on(begun) {
            return Ok(None);
        }
        // Where the engine stands is where its weights stand.
        self.set_point(Alpha::ZERO_SHOT, &Variant::dense())?;
        let wrong = |error| sorted(error, DOING);
        let mut towers = self.model.with_activation(activation, Alpha::ZERO_SHOT).map_err(wrong)?;
        let head = self.head_with(&towers, id, loaded).map_err(wrong)?;
        let images = &loaded.order[..loaded.order.len().min(IMAGES)];
        let mut hits = Vec::with_capacity(images.len());
        for batch in images.chunks(inputs.spec.sweep.batch.max(1)) {
            if !steer.go_on(begun + 0.5 * hits.len() as f64 / images.len() as f64) {
                return Ok(None);
            }
            let pixels = inputs.cache.pixels(id, &loaded.dataset, batch);
            let pixels = pixels.map_err(|error| EngineError::Data(error.to_string()))?;
            let labels: Vec<usize> = batch.iter().map(|&it| loaded.dataset.label(it)).collect();
            let features = towers.features(&pixels).map_err(wrong)?;
            hits.extend(hits_of(&head, &features, &labels).map_err(wrong)?);
        }
        Ok(Some(hits))
    }

    /// The class weights at the zero-shot end that go with these towers.
    fn head_with(
        &mut self,
        towers: &Towers,
        id: DatasetId,
        loaded: &LoadedDataset,
    ) -> Result<Head, TorchError> {
        let Self { inputs, model, heads, at, .. } = self;
        if !has_zero_shot_head(inputs) {
            let nowhere = || TorchError::Input(format!("{DOING}: the weights stand nowhere"));
            let at: &Point = at.as_ref().ok_or_else(nowhere)?;
            return Ok(heads.get(inputs, model, id, at)?.share());
        }
        let dataset = &loaded.dataset;
        let used = &dataset.templates()[..templates(dataset).min(dataset.templates().len())];
        let list = ClassPrompts::of(&inputs.pair.architecture, dataset.rows(), used)?;
        towers.head(&list)?.grouped(dataset.groups().unwrap_or_default())
    }
}

fn hits_of(head: &Head, features: &tch::Tensor, labels: &[usize]) -> Result<Vec<bool>, TorchError> {
    let classes = head.classes();
    if let Some(label) = labels.iter().find(|&&label| label >= classes) {
        let text = format!("{DOING}: expected labels under {classes}, got {label}");
        return Err(TorchError::Input(text));
    }
    let logits = guarded("compute logits", || {
        let logits = head.logits(features)?.f_to_device(Device::Cpu)?.f_contiguous()?;
        Vec::<f32>::try_from(logits.f_view(-1)?)
    })?;
    let scored = score(&logits, classes, labels);
    scored
        .map(|it| it.hit)
        .map_err(|_| TorchError::Input(format!("{DOING}: a logit is not finite")))
}
