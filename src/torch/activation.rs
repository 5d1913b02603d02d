//! Which activation fits the weights: the zero-shot end with both, on a few images.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tch::Device;

use super::engine::{Point, TorchEngine, sorted};
use super::error::{TorchError, guarded};
use super::heads::{ClassPrompts, Head};
use super::model::Towers;
use super::scores::score;
use crate::checkpoint::arch::Source;
use crate::dataset::{Crop, Dataset};
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

/// Images between two looks at the clock and at what people ask: a large model is slow on a CPU.
const STEP: usize = 32;

/// No step begins later than this: a curve is waited for.
const PATIENCE: Duration = Duration::from_secs(20);

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
        let began = Instant::now();
        let inputs = Arc::clone(&self.inputs);
        let Some(used) = in_question(&inputs) else { return Ok(None) };
        let Some((id, loaded)) = first_dataset(&inputs) else { return Ok(None) };
        let LoadedDataset { dataset, order, .. } = loaded;
        if !steer.go_on(0.0) {
            return Ok(None);
        }
        // Where the engine stands is where its weights stand.
        self.set_point(Alpha::ZERO_SHOT, &Variant::dense())?;
        let wrong = |error| sorted(error, DOING);
        let mut ours = self.trial(used, id, loaded).map_err(wrong)?;
        let mut others = self.trial(used.other(), id, loaded).map_err(wrong)?;
        let (there, all) = (templates(dataset), dataset.templates().len());
        let mut probe = ActivationProbe {
            used,
            source: inputs.pair.architecture.sources.activation.to_string(),
            dataset: dataset.name().to_string(),
            templates: (has_zero_shot_head(&inputs) && there < all).then_some((there, all)),
            images: 0,
            correct: 0,
            gained: 0,
            lost: 0,
        };
        let images = &order[..order.len().min(IMAGES)];
        for batch in images.chunks(STEP) {
            if probe.images > 0 && began.elapsed() > PATIENCE {
                break;
            }
            if !steer.go_on(probe.images as f64 / images.len() as f64) {
                return Ok(None);
            }
            let pixels = inputs.pixels(id, batch).map_err(EngineError::Data)?;
            let labels: Vec<usize> = batch.iter().map(|&image| dataset.label(image)).collect();
            let hits = ours.hits(&pixels, &labels).map_err(wrong)?;
            let others = others.hits(&pixels, &labels).map_err(wrong)?;
            probe.add(std::iter::zip(hits, others));
        }
        Ok((probe.images > 0).then_some(probe))
    }

    /// Towers with this activation, and the class weights that go with them.
    fn trial(
        &mut self,
        activation: Activation,
        id: DatasetId,
        loaded: &LoadedDataset,
    ) -> Result<Trial, TorchError> {
        let towers = self.model.with_activation(activation, Alpha::ZERO_SHOT)?;
        let head = self.head_with(&towers, id, loaded)?;
        Ok(Trial { towers, head })
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

/// The zero-shot end with one activation.
struct Trial {
    towers: Towers,
    head: Head,
}

impl Trial {
    /// Which of the images are right.
    fn hits(&mut self, pixels: &[Crop], labels: &[usize]) -> Result<Vec<bool>, TorchError> {
        let classes = self.head.classes();
        if let Some(label) = labels.iter().find(|&&label| label >= classes) {
            let text = format!("{DOING}: expected labels under {classes}, got {label}");
            return Err(TorchError::Input(text));
        }
        let features = self.towers.features(pixels)?;
        let logits = guarded("compute logits", || {
            let logits = self.head.logits(&features)?.f_to_device(Device::Cpu)?.f_contiguous()?;
            Vec::<f32>::try_from(logits.f_view(-1)?)
        })?;
        let not_finite = |_| TorchError::Input(format!("{DOING}: a logit is not finite"));
        score(&logits, classes, labels).map(|it| it.hit).map_err(not_finite)
    }
}
