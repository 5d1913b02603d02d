//! The model run from the middle: a layer that is replaced leaves everything before it as it was,
//! so what it reads is computed once and only the suffix from it on runs again.
//!
//! ```text
//!  pixels ─ stem ─┬─ attn.0 ─┬─ mlp.0 ─┬─ … ─┬─ head ─► features ┐
//!                 ▼          ▼         ▼     ▼                   ├─► logits ─► loss
//!               kept       kept      kept  kept     class weights┘
//! ```
//!
//! The text tower is cut likewise where the class weights come from it and it moves. A ResNet is
//! such a chain too: stem, blocks, pool. Boundaries are kept as far as the memory budget goes and
//! computed again, from the nearest one kept, where they are not. Values do not depend on the
//! budget.

mod cache;
mod head;
mod loss;
mod overlay;
mod place;
mod work;

use tch::{Device, TchError, Tensor};

pub use cache::Cache;
use cache::Side;
pub use head::ClassWeights;
pub use loss::Loss;
pub use overlay::Overlay;
pub use place::{Place, place};
pub use work::Work;

use super::clip::{ImageTower, Pass, TextTower, Tokens, normalized};
use super::error::{TorchError, guarded};
use super::heads::Head;
use super::memory;
use super::weights::{Named, Tensors};
use crate::checkpoint::Architecture;
use crate::sweep::engine::short_of_memory;

/// Images whose mean loss is one number.
#[derive(Debug)]
struct Batch {
    /// Bytes, \[images, size × size × 3\].
    pixels: Tensor,
    /// int64, \[images\].
    labels: Tensor,
}

impl Batch {
    fn len(&self) -> usize {
        self.labels.size().first().map_or(0, |&n| n as usize)
    }
}

/// A model at one point of the path and the images it is measured on.
///
/// The weights it was built with may move (they share storage with a path); then
/// [`Self::moved`] must be called.
#[derive(Debug)]
pub struct Runner {
    architecture: Architecture,
    base: Named,
    image: ImageTower,
    text: Option<TextTower>,
    class_weights: ClassWeights,
    /// As [`Head::grouped`] takes them; of class weights that are not fixed.
    groups: Vec<Vec<usize>>,
    /// The unreplaced class weights, once asked for.
    head: Option<Head>,
    batches: Vec<Batch>,
    /// Images per pass.
    micro: usize,
    cache: Cache,
    work: Work,
}

impl Runner {
    /// `base`: every weight of the towers in play, float32. `micro`: images per pass.
    /// `budget`: bytes for kept activations.
    ///
    /// # Errors
    /// When weights are missing or of another shape.
    pub fn new(
        architecture: Architecture,
        base: Named,
        class_weights: ClassWeights,
        micro: usize,
        budget: usize,
    ) -> Result<Self, TorchError> {
        let image = ImageTower::new(&base, &architecture)?;
        let text = match &class_weights {
            ClassWeights::Text(_) => Some(TextTower::new(&base, &architecture)?),
            _ => None,
        };
        let work = Work::new(image.stages(), text.as_ref().map_or(0, TextTower::stages));
        Ok(Self {
            architecture,
            base,
            image,
            text,
            class_weights,
            groups: Vec::new(),
            head: None,
            batches: Vec::new(),
            micro: micro.max(1),
            cache: Cache::new(budget),
            work,
        })
    }

    /// One class for each group of rows of class weights that are not fixed.
    #[must_use]
    pub fn grouped(self, groups: Vec<Vec<usize>>) -> Self {
        Self { groups, ..self }
    }

    /// Adds a batch of images as the loader has them, with their classes. Gives its number.
    ///
    /// # Errors
    /// When there is none, an image is of another size, a label is no class, or the device has no
    /// room.
    pub fn add_batch<P: AsRef<[u8]>>(
        &mut self,
        images: &[P],
        labels: &[usize],
    ) -> Result<usize, TorchError> {
        let bytes = self.image.image_bytes();
        if images.is_empty() || images.len() != labels.len() {
            return Err(TorchError::Input(format!(
                "stage a batch: expected as many images as labels and at least one, got {} and {}",
                images.len(),
                labels.len()
            )));
        }
        if let Some(other) = images.iter().find(|image| image.as_ref().len() != bytes) {
            return Err(TorchError::Input(format!(
                "stage a batch: expected images of {bytes} bytes, got {}; preprocess for this model",
                other.as_ref().len()
            )));
        }
        let device = self.device();
        let labels: Vec<i64> = labels.iter().map(|&label| label as i64).collect();
        let batch = guarded("stage a batch", || {
            let pixels = super::model::pixels(&self.image, images)?.f_to_device(device)?;
            Ok(Batch { pixels, labels: Tensor::f_from_slice(&labels)?.f_to_device(device)? })
        })?;
        self.batches.push(batch);
        Ok(self.batches.len() - 1)
    }

    /// How many batches there are.
    #[must_use]
    pub fn batches(&self) -> usize {
        self.batches.len()
    }

    /// Images in a batch; 0 where there is none.
    #[must_use]
    pub fn images(&self, batch: usize) -> usize {
        self.batches.get(batch).map_or(0, Batch::len)
    }

    /// Where everything is.
    #[must_use]
    pub fn device(&self) -> Device {
        super::weights::Lookup::device(&self.base)
    }

    /// The weights that nothing replaces.
    #[must_use]
    pub fn weights(&self) -> &Tensors {
        self.base.tensors()
    }

    /// Forgets what was computed with the weights: they stand elsewhere now.
    pub fn moved(&mut self) {
        self.cache.clear();
        self.head = None;
    }

    /// From now on no more images per pass than these.
    pub fn at_most(&mut self, images: usize) {
        if images.max(1) < self.micro {
            self.micro = images.max(1);
            self.cache.clear();
        }
    }

    /// What has been computed since the start.
    #[must_use]
    pub fn work(&self) -> &Work {
        &self.work
    }

    /// The model with some tensors replaced: float32, on the device, by canonical name. Where a
    /// gradient will be asked for they must be leaves that require it.
    ///
    /// # Errors
    /// When a name is no tensor of the model, or a shape differs.
    pub fn overlay(&self, tensors: Tensors) -> Result<Overlay, TorchError> {
        Overlay::new(&self.architecture, &self.base, self.text.is_some(), tensors)
    }

    /// Logits \[images, classes\] of a batch, float32.
    ///
    /// # Errors
    /// When there is no such batch or the device fails.
    pub fn logits(&mut self, batch: usize, over: &mut Overlay) -> Result<Tensor, TorchError> {
        self.with_room(|runner| {
            let _no_grad = tch::no_grad_guard();
            let head = runner.head(over)?;
            let parts = runner.parts(batch)?.into_iter().map(|(start, length)| {
                let features = runner.features(batch, start, length, over, Pass::Measure)?;
                guarded("compute logits", || head.logits(&features))
            });
            let parts: Vec<Tensor> = parts.collect::<Result<_, _>>()?;
            guarded("compute logits", || Tensor::f_cat(&parts, 0))
        })
    }

    /// Labels of a batch, int64 \[images\].
    ///
    /// # Errors
    /// When there is no such batch.
    pub fn labels(&self, batch: usize) -> Result<&Tensor, TorchError> {
        self.batch(batch).map(|batch| &batch.labels)
    }

    /// Mean loss of a batch; it may be not finite.
    ///
    /// # Errors
    /// As [`Self::logits`].
    pub fn loss(
        &mut self,
        batch: usize,
        over: &mut Overlay,
        rule: Loss,
    ) -> Result<f64, TorchError> {
        let logits = self.logits(batch, over)?;
        let labels = self.labels(batch)?;
        guarded("compute the loss", || {
            let _no_grad = tch::no_grad_guard();
            Ok(f64::try_from(rule.sum(&logits, labels)?)? / labels.numel() as f64)
        })
    }

    /// Mean loss of a batch and its gradient in every replaced tensor.
    ///
    /// # Errors
    /// As [`Self::logits`].
    pub fn gradient(
        &mut self,
        batch: usize,
        over: &mut Overlay,
        rule: Loss,
    ) -> Result<(f64, Tensors), TorchError> {
        self.with_room(|runner| overlay::gradient(runner, batch, over, rule))
    }

    /// Hands out a batch's mean loss in shares (their sum is the mean), each as a graph that can
    /// be differentiated twice in the replaced tensors.
    ///
    /// # Errors
    /// As [`Self::logits`], or what `each` says.
    pub fn twice_differentiable(
        &mut self,
        batch: usize,
        over: &mut Overlay,
        rule: Loss,
        mut each: impl FnMut(&Tensor) -> Result<(), TchError>,
    ) -> Result<(), TorchError> {
        let count = self.images(batch) as f64;
        for (start, length) in self.parts(batch)? {
            let pass = Pass::SecondOrder;
            let head = match over.text_from() {
                Some(_) => {
                    let features = self.all_prompts(over, pass)?;
                    self.head_of(&features)?
                }
                None if over.stored_from().is_some() => self.stored(over.tensors())?,
                None => self.head(over)?,
            };
            let features = self.features(batch, start, length, over, pass)?;
            let labels = &self.batch(batch)?.labels;
            guarded("differentiate the loss twice", || {
                let labels = labels.f_narrow(0, start as i64, length as i64)?;
                let share = rule.sum(&head.logits(&features)?, &labels)?.f_div_scalar(count)?;
                each(&share)
            })?;
        }
        Ok(())
    }

    fn batch(&self, batch: usize) -> Result<&Batch, TorchError> {
        self.batches.get(batch).ok_or_else(|| {
            TorchError::Input(format!(
                "run a batch: expected a number under {}, got {batch}",
                self.batches.len()
            ))
        })
    }

    /// (first image, images) of the passes over a batch.
    fn parts(&self, batch: usize) -> Result<Vec<(usize, usize)>, TorchError> {
        let (n, micro) = (self.batch(batch)?.len(), self.micro);
        Ok((0..n).step_by(micro).map(|start| (start, micro.min(n - start))).collect())
    }

    /// Runs a step again with less memory when it was short: first with half the kept
    /// activations, then with half the images per pass.
    fn with_room<T>(
        &mut self,
        mut step: impl FnMut(&mut Self) -> Result<T, TorchError>,
    ) -> Result<T, TorchError> {
        loop {
            match step(self) {
                Err(error) if error.is_memory() => {
                    if !self.cache.shrink() {
                        if self.micro == 1 {
                            return Err(error);
                        }
                        let many = self.micro;
                        self.micro /= 2;
                        memory::note(short_of_memory(many, self.micro), &error);
                        continue;
                    }
                    tracing::warn!("{error}; going on with fewer kept activations");
                }
                done => return done,
            }
        }
    }

    /// L2-normalised features of some images of a batch; kept ones where nothing before them is
    /// replaced.
    fn features(
        &mut self,
        batch: usize,
        start: usize,
        length: usize,
        over: &Overlay,
        pass: Pass,
    ) -> Result<Tensor, TorchError> {
        let stages = self.image.stages();
        let Some((from, tower)) = over.image_from() else {
            return self.kept_image(batch, start, length, stages).map(|tokens| tokens.x);
        };
        let mut tokens = self.kept_image(batch, start, length, from)?;
        self.work.image(from..stages, length, pass);
        guarded("run the image tower's suffix", || {
            for stage in from..stages {
                tokens = tower.step(stage, tokens, pass)?;
            }
            normalized(&tokens.x)
        })
    }

    /// What a stage of the image tower reads with nothing replaced; after the last stage
    /// normalised features.
    fn kept_image(
        &mut self,
        batch: usize,
        start: usize,
        length: usize,
        boundary: usize,
    ) -> Result<Tokens, TorchError> {
        let part = (Side::Image, batch, start);
        let _no_grad = tch::no_grad_guard();
        let (from, mut tokens) = match self.cache.nearest(part, boundary) {
            Some((at, tokens)) if at == boundary => return Ok(tokens),
            Some(found) => found,
            None => {
                let pixels = &self.batch(batch)?.pixels;
                let tokens = guarded("cut images into patches", || {
                    self.image.tokens(&pixels.f_narrow(0, start as i64, length as i64)?)
                })?;
                (0, tokens)
            }
        };
        self.work.image(from..boundary, length, Pass::Measure);
        let stages = self.image.stages();
        for stage in from..boundary {
            tokens = guarded("run the image tower", || {
                let mut tokens = self.image.step(stage, tokens, Pass::Measure)?;
                if stage + 1 == stages {
                    tokens.x = normalized(&tokens.x)?;
                }
                Ok(tokens)
            })?;
            // What blocks read is kept in passing, what lies within one where it is asked for.
            if self.image.layer(stage).is_some() || stage + 1 == boundary {
                self.cache.put(part, stage + 1, &mut tokens);
            }
        }
        if boundary == 0 {
            self.cache.put(part, 0, &mut tokens);
        }
        Ok(tokens)
    }
}
