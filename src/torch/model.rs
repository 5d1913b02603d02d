//! One CLIP that stands anywhere on the path between two checkpoints, on one device.

use std::ops::Range;
use std::sync::Arc;

use tch::{Device, Kind, TchError, Tensor};

use super::clip::{FirstNotFinite, ImageTower, Pass, TextTower, normalized};
use super::error::{TorchError, guarded};
use super::heads::{ClassPrompts, Head, StoredHead, zero_shot};
use super::kept::{Kept, Part};
use super::memory;
use super::path::PathWeights;
use super::staged::{Place, place};
use super::statistics::Statistics;
use super::weights::Tensors;
use crate::checkpoint::resnet::is_statistic;
use crate::checkpoint::{Architecture, End, LogitScale, Pair};
use crate::plural::counted;
use crate::sparsify::{Plan, Zeros};
use crate::sweep::engine::short_of_memory;
use crate::sweep::ids::{Alpha, DatasetId};

/// The image tower on the path, and the text tower where a head needs it.
#[derive(Debug)]
pub struct Model {
    architecture: Architecture,
    image_weights: PathWeights,
    image: ImageTower,
    text: Option<(PathWeights, TextTower)>,
    text_moves: bool,
    scale: LogitScale,
    micro_batch: MicroBatch,
    /// The image tower's weights in float32 where it computes in another type; made when first
    /// asked for.
    exact: Option<PathWeights>,
    /// Activations of the dense model, for variants.
    kept: Kept,
    /// Where BatchNorm's statistics are recomputed.
    statistics: Option<Statistics>,
}

/// Images of a sweep at a point: what names their activations.
#[derive(Clone, Debug)]
pub struct Spot {
    /// Whose images.
    pub dataset: DatasetId,
    /// Their positions in its order.
    pub positions: Range<usize>,
    /// Where the model stands.
    pub alpha: Alpha,
    /// The variant that it stands at.
    pub plan: Arc<Plan>,
}

impl Spot {
    /// Some of the images.
    fn part(&self, range: &Range<usize>) -> Part {
        Part::new(self.dataset, self.positions.start + range.start, range.len(), self.alpha)
    }
}

impl Model {
    /// Loads both ends onto `device`; the image tower computes in `kind`, the text tower (whose
    /// work is small) always in float32. [`Self::set_point`] must come before anything else.
    ///
    /// # Errors
    /// When the files do not fit their architecture or the device has no room.
    pub fn load(pair: &Pair, device: Device, kind: Kind) -> Result<Self, TorchError> {
        let architecture = pair.architecture.clone();
        let names = |tensors: Vec<(String, Vec<usize>)>| tensors.into_iter().map(|(name, _)| name);
        let end = |at: End, name: &str| pair.end(at, name);
        let image_weights =
            PathWeights::load(names(architecture.image_tensors()), end, device, kind)?;
        let image = ImageTower::new(&image_weights, &architecture)?;
        let text = if pair.needs_text() {
            let weights =
                PathWeights::load(names(architecture.text_tensors()), end, device, Kind::Float)?;
            let tower = TextTower::new(&weights, &architecture)?;
            Some((weights, tower))
        } else {
            None
        };
        let text_moves = pair.text_moves() && pair.head.is_none();
        let scale = pair.logit_scale;
        let micro_batch = MicroBatch::new(device, &architecture);
        Ok(Self {
            architecture,
            image_weights,
            image,
            text,
            text_moves,
            scale,
            micro_batch,
            exact: None,
            kept: Kept::nothing(),
            statistics: None,
        })
    }

    /// From now on BatchNorm's statistics are made of these images at each point, instead of
    /// interpolated; nothing changes in a ViT. The model stands at no point afterwards.
    ///
    /// # Errors
    /// When there are too few images or their sizes differ.
    pub fn recompute_statistics<P: AsRef<[u8]>>(&mut self, images: &[P]) -> Result<(), TorchError> {
        if self.architecture.image.resnet.is_some() {
            self.statistics = Some(Statistics::new(&self.image, images)?);
            self.kept.clear();
        }
        Ok(())
    }

    /// Changes what the image tower computes in, at no point of the path afterwards.
    ///
    /// # Errors
    /// When the device has no room.
    pub fn set_kind(&mut self, kind: Kind) -> Result<(), TorchError> {
        self.image_weights.set_kind(kind)?;
        self.exact = None;
        self.kept.clear();
        self.statistics.iter_mut().for_each(Statistics::clear);
        self.image = ImageTower::new(&self.image_weights, &self.architecture)?;
        Ok(())
    }

    /// What the image tower computes in.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.image_weights.kind()
    }

    /// True when zero-shot heads differ from point to point by more than their scale.
    #[must_use]
    pub fn text_moves(&self) -> bool {
        self.text_moves
    }

    /// The factor of zero-shot logits.
    #[must_use]
    pub fn logit_scale(&self) -> LogitScale {
        self.scale
    }

    /// Where the model stands; `None` before the first [`Self::set_point`].
    #[must_use]
    pub fn point(&self) -> Option<Alpha> {
        self.image_weights.at()
    }

    /// Brings the image tower to θ(α) of a variant, in place.
    ///
    /// # Errors
    /// When the device fails.
    pub fn set_point(&mut self, alpha: Alpha, plan: &Plan) -> Result<(), TorchError> {
        self.image_weights.set(alpha, plan)?;
        match &mut self.statistics {
            Some(made) => made.bring(&self.image, &mut self.image_weights, alpha, plan),
            None => Ok(()),
        }
    }

    /// Every weight of the towers in play at the point of a variant where the image tower stands,
    /// in float32 whatever it computes in. They share storage with the model: calling this again after
    /// [`Self::set_point`] moves those that were given before.
    ///
    /// # Errors
    /// When the device has no room.
    pub fn exact_weights(&mut self, plan: &Plan) -> Result<Tensors, TorchError> {
        let alpha = self.point().ok_or_else(|| {
            TorchError::Input("read the weights: they stand at no point of the path".into())
        })?;
        let mut all = if self.kind() == Kind::Float {
            self.image_weights.all()
        } else {
            let exact = match self.exact.take() {
                Some(exact) => exact,
                None => self.image_weights.in_kind(Kind::Float)?,
            };
            let exact = self.exact.insert(exact);
            exact.set(alpha, plan)?;
            if self.statistics.is_some() {
                exact.set_apart(is_statistic)?;
                let made = self.image_weights.all();
                guarded("copy BatchNorm's statistics", || {
                    let _no_grad = tch::no_grad_guard();
                    let mut all = exact.all().into_iter().filter(|(name, _)| is_statistic(name));
                    all.try_for_each(|(name, mut to)| {
                        made.get(&name).map_or(Ok(()), |x| to.f_copy_(x))
                    })
                })?;
            }
            exact.all()
        };
        if let Some((weights, _)) = self.text.as_mut().filter(|_| self.text_moves) {
            weights.set(alpha, plan)?;
            all.extend(weights.all());
        }
        Ok(all)
    }

    /// A tensor of the dense θ(α) in float32, a copy; `None` for names of neither tower.
    ///
    /// # Errors
    /// When the device fails.
    pub fn dense(&self, name: &str, alpha: Alpha) -> Result<Option<Tensor>, TorchError> {
        match (self.image_weights.dense(name, alpha)?, &self.text) {
            (None, Some((weights, _))) => weights.dense(name, alpha),
            (found, _) => Ok(found),
        }
    }

    /// The text tower and the factor of its logits where the image tower stands; `None` where no
    /// head needs it.
    #[must_use]
    pub fn text(&self) -> Option<(&TextTower, f64)> {
        let alpha = self.point().unwrap_or(Alpha::ZERO_SHOT);
        self.text.as_ref().map(|(_, tower)| (tower, self.scale.at(alpha)))
    }

    /// Where the model computes.
    #[must_use]
    pub fn device(&self) -> Device {
        self.image_weights.device()
    }

    /// Counts the zeros of a variant at θ(α), of each tensor of the towers that it edits.
    ///
    /// # Errors
    /// When the device fails.
    pub fn zeros(&self, alpha: Alpha, plan: &Plan) -> Result<Vec<Zeros>, TorchError> {
        let mut zeros = self.image_weights.zeros(alpha, plan)?;
        if let Some((weights, _)) = &self.text {
            zeros.extend(weights.zeros(alpha, plan)?);
        }
        Ok(zeros)
    }

    /// The zero-shot head at θ(α) of a variant's text tower.
    ///
    /// # Errors
    /// When no text tower is in play, prompts do not fit it, or the device fails.
    pub fn zero_shot_head(
        &mut self,
        alpha: Alpha,
        plan: &Plan,
        list: &ClassPrompts,
    ) -> Result<Head, TorchError> {
        let (weights, tower) = self.text.as_mut().ok_or_else(|| {
            TorchError::Input(
                "make a zero-shot head: both ends store a head, so no text tower was loaded".into(),
            )
        })?;
        weights.set(alpha, plan)?;
        zero_shot(tower, list, self.scale.at(alpha), self.image_weights.device())
    }

    /// The pair's stored head; `list` is its class list, for the end that stores none.
    ///
    /// # Errors
    /// As [`Self::zero_shot_head`], or when shapes differ.
    pub fn stored_head(
        &mut self,
        pair: &Pair,
        list: &ClassPrompts,
    ) -> Result<Option<StoredHead>, TorchError> {
        let device = self.image_weights.device();
        StoredHead::load(pair, device, |end| {
            let alpha = match end {
                End::ZeroShot => Alpha::ZERO_SHOT,
                End::FineTuned => Alpha::FINE_TUNED,
            };
            let head = self.zero_shot_head(alpha, &Plan::default(), list)?;
            let expected = pair.head.map_or(0, |head| head.classes);
            if head.classes() == expected {
                Ok(head)
            } else {
                Err(TorchError::Input(format!(
                    "make the other end of the stored head: expected {}, got {}; correct \
                     `checkpoints.head_classes`",
                    counted(expected, "class"),
                    head.classes()
                )))
            }
        })
    }

    /// Keeps up to `budget` bytes of activations of the dense model in a sweep of so many datasets
    /// and points, so that a variant starts at the first layer that it edits. 0 keeps nothing.
    pub fn keep(&mut self, budget: usize, datasets: usize, points: usize) {
        let element = self.kind().elt_size_in_bytes();
        self.kept = Kept::new(&self.architecture.image, element, budget, datasets, points);
    }

    /// Bytes of activations that are kept now.
    #[must_use]
    pub fn kept(&self) -> usize {
        self.kept.held()
    }

    /// The last boundary of the image tower at which a variant's activations are the dense
    /// model's: the first stage that reads an edited tensor, or the features.
    fn same_until(&self, plan: &Plan) -> usize {
        let text = self.architecture.text.as_ref().map_or(0, |text| text.layers);
        let edited = plan.tensors().filter_map(|tensor| {
            match place(tensor.name(), &self.architecture.image, text) {
                Place::Image(stage) => Some(stage),
                Place::Text(_) | Place::StoredHead => None,
            }
        });
        edited.min().unwrap_or_else(|| self.image.stages())
    }

    /// Whether [`Self::features`] can do without the images.
    #[must_use]
    pub fn remembers(&self, spot: &Spot) -> bool {
        let limit = self.same_until(&spot.plan);
        self.micro_batch
            .pieces(spot.positions.len())
            .all(|range| self.kept.has(spot.part(&range), limit))
    }

    /// L2-normalised features \[images, embed\] in float32, of images as the loader has them (RGB
    /// bytes, size × size × 3).
    ///
    /// # Errors
    /// When an image is of another size or the device fails. Short memory gives up what is kept,
    /// then halves the images per pass, for good, before it is an error.
    pub fn features<P: AsRef<[u8]>>(&mut self, images: &[P]) -> Result<Tensor, TorchError> {
        self.embed(images, images.len(), None)
    }

    /// As [`Self::features`], of images that have a place in a sweep: where activations of `spot`
    /// are kept the pass starts from them, and `images` may be empty when [`Self::remembers`] says
    /// so. Values are those of the whole pass, bit for bit.
    ///
    /// # Errors
    /// As [`Self::features`].
    pub fn features_at<P: AsRef<[u8]>>(
        &mut self,
        images: &[P],
        spot: &Spot,
    ) -> Result<Tensor, TorchError> {
        let limit = self.same_until(&spot.plan);
        self.embed(images, spot.positions.len(), Some((spot, limit)))
    }

    fn embed<P: AsRef<[u8]>>(
        &mut self,
        images: &[P],
        count: usize,
        spot: Option<(&Spot, usize)>,
    ) -> Result<Tensor, TorchError> {
        let bytes = self.image.image_bytes();
        if let Some(other) = images.iter().find(|image| image.as_ref().len() != bytes) {
            return Err(TorchError::Input(format!(
                "embed images: expected {bytes} bytes each, got {}; preprocess for this model",
                other.as_ref().len()
            )));
        }
        let Self { image, micro_batch, kept, .. } = self;
        let parts = micro_batch.over(count, |range| {
            let spot = spot.map(|(spot, limit)| (spot.part(&range), limit));
            let images = images.get(range).unwrap_or_default();
            let doing = "embed images";
            match guarded(doing, || pass(image, images, spot, kept)) {
                Err(error) if error.is_memory() && kept.give_up() => {
                    guarded(doing, || pass(image, images, spot, kept))
                }
                done => done,
            }
        })?;
        guarded("embed images", || Tensor::f_cat(&parts, 0))
    }

    /// The first layer where one image's activations are not finite; `None` when all are.
    ///
    /// # Errors
    /// When the device fails.
    pub fn first_not_finite<P: AsRef<[u8]>>(
        &self,
        image: &P,
    ) -> Result<Option<String>, TorchError> {
        let mut first = FirstNotFinite::default();
        guarded("look for the layer that is not finite", || {
            let pixels = pixels(&self.image, std::slice::from_ref(image))?;
            self.image.forward(&pixels, &mut first).map(|_| ())
        })?;
        Ok(first.0)
    }
}

/// Features of some images; of a part of a sweep from the nearest kept boundary on, and what is
/// dense (up to the given boundary) is kept.
fn pass<P: AsRef<[u8]>>(
    image: &ImageTower,
    images: &[P],
    part: Option<(Part, usize)>,
    kept: &mut Kept,
) -> Result<Tensor, TchError> {
    let _no_grad = tch::no_grad_guard();
    let found = part.and_then(|(part, limit)| kept.nearest(part, limit));
    let (mut at, mut tokens) = match found {
        Some(found) => found,
        None => (0, image.tokens(&pixels(image, images)?)?),
    };
    while at < image.stages() {
        tokens = image.step(at, tokens, Pass::Measure)?;
        at += 1;
        if at == image.stages() {
            tokens.x = normalized(&tokens.x)?;
        }
        if let Some((part, _)) = part.filter(|(_, limit)| at <= *limit) {
            kept.put(part, at, &mut tokens);
        }
    }
    Ok(tokens.x)
}

/// Images as one tensor of bytes, \[images, size × size × 3\], on the host.
///
/// # Errors
/// When the sizes differ.
pub(super) fn pixels<P: AsRef<[u8]>>(tower: &ImageTower, images: &[P]) -> Result<Tensor, TchError> {
    let bytes: Vec<u8> = images.iter().flat_map(|image| image.as_ref()).copied().collect();
    let shape = [images.len() as i64, tower.image_bytes() as i64];
    Tensor::f_from_data_size(&bytes, &shape, Kind::Uint8)
}

/// How many images go through the tower at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MicroBatch(usize);

/// Bytes of the largest activation on the CPU. Larger ones leave the caches, and from 32 MiB on
/// glibc gives the memory back to the system each time, so that every pass faults it in again
/// (measured on ViT-B/32: 20 % of the time of the MLPs).
const CPU_BYTES: usize = 24 << 20;
/// More images only lengthen what a command has to wait for.
const CPU_IMAGES: usize = 128;
/// A GPU is full with this many; more only costs memory.
const CUDA_IMAGES: usize = 512;

impl MicroBatch {
    /// Where a device starts.
    #[must_use]
    pub fn new(device: Device, architecture: &Architecture) -> Self {
        if device.is_cuda() {
            return Self(CUDA_IMAGES);
        }
        let bytes = 4 * architecture.image.widest();
        let fit = (CPU_BYTES / bytes.max(1)).clamp(1, CPU_IMAGES);
        // Powers of two divide the batches people ask for.
        Self(1 << fit.ilog2())
    }

    /// The present size.
    #[must_use]
    pub fn size(self) -> usize {
        self.0
    }

    /// The pieces that [`Self::over`] would take, if memory is never short.
    pub fn pieces(self, n: usize) -> impl Iterator<Item = Range<usize>> {
        let size = self.0.max(1);
        (0..n).step_by(size).map(move |start| start..n.min(start + size))
    }

    /// Runs `step` over `0..n` in pieces. When a piece does not fit in memory the size is halved,
    /// for all later calls too, and the piece tried again.
    ///
    /// # Errors
    /// The step's own error; out of memory only when a single item does not fit.
    pub fn over<T>(
        &mut self,
        n: usize,
        mut step: impl FnMut(Range<usize>) -> Result<T, TorchError>,
    ) -> Result<Vec<T>, TorchError> {
        let mut results = Vec::new();
        let mut done = 0;
        while done < n {
            let many = self.0.min(n - done);
            match step(done..done + many) {
                Ok(result) => {
                    results.push(result);
                    done += many;
                }
                Err(error) if error.is_memory() && many > 1 => {
                    self.0 = many / 2;
                    memory::note(short_of_memory(many, self.0), &error);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(results)
    }
}

mod towers;

pub(super) use towers::Towers;

#[cfg(test)]
mod tests;
