//! [`TorchEngine`]: the measuring engine on libtorch.

use std::ops::Range;
use std::sync::Arc;

use tch::{Device, Kind};

use super::dataset_heads::Heads;
use super::device::DeviceChoice;
use super::error::{TorchError, guarded};
use super::layer_path::Standing;
use super::model::{Model, Spot};
use super::probing::Staging;
use super::scores::score;
use super::{memory, precision, runtime, statistics, threads};
use crate::checkpoint::names::is_head;
use crate::dataset::Crop;
use crate::inputs::{Inputs, LoadedDataset};
use crate::plural::counted;
use crate::sparsify::{Plan, Zeros};
use crate::sweep::activation::ActivationProbe;
use crate::sweep::engine::{BatchOutcome, Engine, EngineError, Steer};
use crate::sweep::event::LayerInfo;
use crate::sweep::ids::{Alpha, DatasetId};
use crate::sweep::probe::{Probe, ProbeResult};
use crate::sweep::spec::{BatchNorm, Precision, Role, Variant};

/// Measures on one device. What a batch gives depends only on θ(α) and the images; other batches,
/// threads or devices round differently and may flip near ties, nothing else.
#[derive(Debug)]
pub struct TorchEngine {
    pub(super) inputs: Arc<Inputs>,
    pub(super) model: Model,
    pub(super) heads: Heads,
    /// Where the weights stand; `None`: nowhere.
    pub(super) at: Option<Point>,
    /// Images of the last probe, staged for the next.
    pub(super) staging: Option<Staging>,
    /// Runners at the base of layer-wise paths.
    pub(super) standing: Option<Standing>,
    name: String,
    notices: Vec<String>,
}

/// A point of a variant's path.
#[derive(Clone, Debug)]
pub(super) struct Point {
    pub(super) alpha: Alpha,
    pub(super) variant: Variant,
    pub(super) plan: Arc<Plan>,
}

impl std::fmt::Display for Point {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "α = {}", self.alpha)?;
        if self.variant.is_dense() { Ok(()) } else { write!(f, " of `{}`", self.variant.name) }
    }
}

impl TorchEngine {
    /// Loads the pair onto a device, in the spec's precision. Must be called on the thread that
    /// will use the engine.
    ///
    /// # Errors
    /// [`EngineError::Fatal`] when the device is not there or has no room, or the model cannot be
    /// built.
    pub fn new(inputs: Arc<Inputs>, choice: DeviceChoice) -> Result<Self, EngineError> {
        let precision = inputs.spec.sweep.precision;
        Self::with_precision(inputs, choice, precision)
    }

    /// As [`Self::new`], in another precision than the spec's.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn with_precision(
        inputs: Arc<Inputs>,
        choice: DeviceChoice,
        precision: Precision,
    ) -> Result<Self, EngineError> {
        let runtime = runtime::init();
        let mut name = match choice {
            DeviceChoice::Cpu => {
                format!("CPU, {}", counted(threads::set(&runtime.cpu), "thread"))
            }
            DeviceChoice::Cuda(index) => {
                let gpu = runtime.cuda.devices().iter().find(|gpu| gpu.index == index);
                let gpu = gpu.ok_or_else(|| {
                    let why = runtime.cuda.missing().unwrap_or("there is no such GPU");
                    EngineError::Fatal(format!("open cuda:{index}: {why}"))
                })?;
                format!("cuda:{index} {}", gpu.name)
            }
        };
        let device = choice.torch();
        let kind = match (precision, choice) {
            (Precision::Fp32, _) | (Precision::Auto, DeviceChoice::Cpu) => Kind::Float,
            (Precision::Bf16, _) => Kind::BFloat16,
            // Measured in float32 first: see `precision::settle`.
            (Precision::Auto, DeviceChoice::Cuda(_)) => Kind::Float,
        };
        let fatal = |error: TorchError| EngineError::Fatal(error.to_string());
        let model = Model::load(&inputs.pair, device, kind).map_err(fatal)?;
        let heads = Heads::new(&inputs);
        let mut engine = Self {
            inputs,
            model,
            heads,
            at: None,
            staging: None,
            standing: None,
            name: String::new(),
            notices: Vec::new(),
        };
        if engine.inputs.spec.sweep.batchnorm == BatchNorm::Recompute {
            let notice = engine.recompute_statistics()?;
            engine.notices.push(notice);
        }
        if precision == Precision::Auto && device.is_cuda() {
            let notice = precision::settle(&mut engine)?;
            engine.notices.push(notice);
        }
        if engine.model.kind() == Kind::BFloat16 {
            name.push_str(", bf16");
        }
        engine.name = name;
        engine.keep_activations(activations_budget(device));
        Ok(engine)
    }

    /// Gives the model the first images of the first id dataset's order, for BatchNorm's statistics.
    /// Gives what people should hear of it.
    fn recompute_statistics(&mut self) -> Result<String, EngineError> {
        let inputs = Arc::clone(&self.inputs);
        let sets = inputs.spec.datasets.iter().zip(&inputs.datasets).enumerate();
        let (index, (_, LoadedDataset { dataset, order, .. })) =
            sets.into_iter().find(|(_, (spec, _))| spec.role == Role::Id).ok_or_else(|| {
                EngineError::Fatal(
                    "recompute BatchNorm's statistics: there is no id dataset".into(),
                )
            })?;
        let images = &order[..order.len().min(statistics::IMAGES)];
        let pixels = inputs.pixels(DatasetId(index as _), images).map_err(EngineError::Data)?;
        self.model
            .recompute_statistics(&pixels)
            .map_err(|error| EngineError::Fatal(error.to_string()))?;
        let batch = statistics::BATCH.min(images.len()).max(1);
        Ok(format!(
            "BatchNorm's statistics are recomputed at each α, of the first {} of `{}`",
            counted(images.len() / batch * batch, "image"),
            dataset.name()
        ))
    }

    /// Keeps up to so many bytes of the dense model's activations for the images measured first:
    /// a variant of them is then run only from the first layer that it edits. 0 keeps nothing.
    /// What is measured does not depend on it.
    pub fn keep_activations(&mut self, bytes: usize) {
        let points = self.inputs.spec.grid().len();
        self.model.keep(bytes, self.inputs.datasets.len(), points);
    }

    /// Bytes of activations that are kept now.
    #[must_use]
    pub fn kept_activations(&self) -> usize {
        self.model.kept()
    }

    /// What is measured.
    #[must_use]
    pub fn inputs(&self) -> &Arc<Inputs> {
        &self.inputs
    }

    /// Changes what the image tower computes in; [`Engine::set_point`] must follow.
    pub(super) fn set_kind(&mut self, kind: Kind) -> Result<(), EngineError> {
        self.at = None;
        self.staging = None;
        self.standing = None;
        self.model.set_kind(kind).map_err(|error| EngineError::Fatal(error.to_string()))
    }

    /// Logits of some images, \[images, classes\] row-major, and the classes.
    fn logits(
        &mut self,
        at: &Point,
        spot: &Spot,
        pixels: &[Crop],
    ) -> Result<(Vec<f32>, usize), TorchError> {
        let Self { inputs, model, heads, .. } = self;
        let features = model.features_at(pixels, spot)?;
        let head = heads.get(inputs, model, spot.dataset, at)?;
        let logits = guarded("compute logits", || {
            let logits = head.logits(&features)?.f_to_device(Device::Cpu)?.f_contiguous()?;
            Vec::<f32>::try_from(logits.f_view(-1)?)
        })?;
        Ok((logits, head.classes()))
    }

    /// What a variant does to each tensor.
    fn plan(&self, variant: &Variant) -> Result<Arc<Plan>, EngineError> {
        if let Some(at) = self.at.as_ref().filter(|at| at.variant.sparsify == variant.sparsify) {
            return Ok(Arc::clone(&at.plan));
        }
        let plan = Plan::of(&self.inputs.pair, variant, self.inputs.spec.sweep.seed);
        plan.map(Arc::new)
            .map_err(|error| EngineError::Cell(format!("variant `{}`: {error}", variant.name)))
    }

    /// Counts the zeros of a variant at θ(α), of each tensor that it edits, by name: of the
    /// weights and of their difference from zero-shot, as measured and not as asked for. The
    /// weights stay where they are.
    ///
    /// # Errors
    /// When a layer is unknown or the device fails.
    pub fn zeros(&mut self, alpha: Alpha, variant: &Variant) -> Result<Vec<Zeros>, EngineError> {
        let plan = self.plan(variant)?;
        let Self { inputs, model, heads, .. } = self;
        let mut count = || -> Result<Vec<Zeros>, TorchError> {
            let mut zeros = model.zeros(alpha, &plan)?;
            if plan.tensors().any(|tensor| is_head(tensor.name()))
                && let Some(head) = heads.stored(inputs, model)?
            {
                zeros.extend(head.zeros(alpha, &plan)?);
            }
            zeros.sort_by(|a, b| a.tensor.cmp(&b.tensor));
            Ok(zeros)
        };
        count().map_err(|error| {
            sorted(error, &format!("count the zeros of `{}` at α = {alpha}", variant.name))
        })
    }

    /// Where a logit stopped being finite, for people.
    fn explain(&self, pixels: &Crop) -> String {
        match self.model.first_not_finite(pixels) {
            Ok(Some(layer)) => format!("first in layer {layer}"),
            Ok(None) => "every layer's activations are, so the class weights are not".into(),
            Err(error) => format!("and the layer could not be found: {error}"),
        }
    }
}

/// Bytes of activations to keep: an eighth of what is free, at most a gigabyte beside other
/// programs, eight on a GPU.
fn activations_budget(device: Device) -> usize {
    let most = if device.is_cuda() { 8 << 30 } else { 1 << 30 };
    memory::free(device).map_or(most / 4, |free| (free / 8).min(most))
}

/// Cell or device: what a failure means for the rest.
pub(super) fn sorted(error: TorchError, doing: &str) -> EngineError {
    let text = format!("{doing}: {error}");
    if error.is_device() { EngineError::Fatal(text) } else { EngineError::Cell(text) }
}

impl Engine for TorchEngine {
    fn device(&self) -> String {
        self.name.clone()
    }

    fn notices(&self) -> &[String] {
        &self.notices
    }

    fn told(&mut self) -> Vec<String> {
        memory::notes().into_iter().chain(self.inputs.cache.remark()).collect()
    }

    fn upcoming(&mut self, dataset: DatasetId, positions: Range<usize>) {
        // Beside a GPU the processor has little else to do; else it takes what measuring leaves.
        let threads = match self.model.device() {
            device if device.is_cuda() => {
                std::thread::available_parallelism().map_or(1, usize::from)
            }
            _ => 1,
        };
        self.inputs.look_ahead(dataset, positions, threads);
    }

    fn set_point(&mut self, alpha: Alpha, variant: &Variant) -> Result<(), EngineError> {
        if self.at.as_ref().is_some_and(|at| at.alpha == alpha && at.variant == *variant) {
            return Ok(());
        }
        let plan = self.plan(variant)?;
        self.at = None;
        self.staging.iter_mut().for_each(Staging::moved);
        let point = Point { alpha, variant: variant.clone(), plan };
        self.model
            .set_point(alpha, &point.plan)
            .map_err(|error| sorted(error, &format!("bring the weights to {point}")))?;
        self.at = Some(point);
        Ok(())
    }

    fn count_zeros(&mut self) -> Result<Option<Vec<Zeros>>, EngineError> {
        let Some(at) = self.at.clone() else { return Ok(None) };
        self.zeros(at.alpha, &at.variant).map(Some)
    }

    fn probe(
        &mut self,
        probe: &Probe,
        layer: Option<&LayerInfo>,
        steer: &mut dyn Steer,
    ) -> Result<Option<ProbeResult>, EngineError> {
        match probe {
            Probe::Sharpness { spec, on } => self.sharpness(spec, *on, layer, steer),
            Probe::Path { spec, on, direction } => {
                self.layer_path(spec, on, *direction, layer, steer)
            }
            Probe::Curvature { spec, on } => self.curvature(spec, *on, layer, steer),
        }
    }

    fn probe_activation(
        &mut self,
        steer: &mut dyn Steer,
    ) -> Result<Option<ActivationProbe>, EngineError> {
        self.compare_activations(steer)
    }

    fn evaluate(
        &mut self,
        id: DatasetId,
        positions: Range<usize>,
    ) -> Result<BatchOutcome, EngineError> {
        let inputs = Arc::clone(&self.inputs);
        let LoadedDataset { dataset, order, .. } = inputs.dataset(id).ok_or_else(|| {
            EngineError::Cell(format!("evaluate dataset {}: there is none", id.index()))
        })?;
        let name = dataset.name();
        let at = self.at.clone().ok_or_else(|| {
            EngineError::Cell(format!(
                "evaluate `{name}`: the weights stand at no point of the path"
            ))
        })?;
        let images = order.get(positions.clone()).ok_or_else(|| {
            EngineError::Cell(format!(
                "evaluate `{name}`: expected positions under {}, got {positions:?}",
                order.len()
            ))
        })?;
        if images.is_empty() {
            return Ok(BatchOutcome::default());
        }
        let fetch = |images: &[usize]| inputs.pixels(id, images).map_err(EngineError::Data);
        let spot = Spot {
            dataset: id,
            positions: positions.clone(),
            alpha: at.alpha,
            plan: Arc::clone(&at.plan),
        };
        let pixels = if self.model.remembers(&spot) { Vec::new() } else { fetch(images)? };
        let doing = || {
            let Range { start, end } = positions;
            format!("evaluate `{name}`, images {start}..{end} of its order, at {at}")
        };
        let (logits, classes) =
            self.logits(&at, &spot, &pixels).map_err(|error| sorted(error, &doing()))?;
        let labels: Vec<usize> = images.iter().map(|&image| dataset.label(image)).collect();
        if let Some(label) = labels.iter().find(|&&label| label >= classes) {
            return Err(EngineError::Cell(format!(
                "{}: expected labels under {classes}, got {label}",
                doing()
            )));
        }
        score(&logits, classes, &labels).or_else(|bad| {
            let key = dataset.key(images[bad]);
            let place = fetch(&images[bad..=bad])?.first().map(|pixels| self.explain(pixels));
            let place = place.unwrap_or_default();
            Err(EngineError::Cell(format!(
                "{}: the logits of image `{key}` are not finite, {place}; check both checkpoints, \
                 or leave this α out",
                doing()
            )))
        })
    }
}
