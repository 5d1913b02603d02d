//! Everything a spec names, opened and checked together, before anything is
//! measured: the pair of checkpoints, the datasets, the seeded visiting orders,
//! and which row of a stored head stands for which class.

mod head;

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use thiserror::Error;

use crate::checkpoint::layers::{Distance, Layer, distance, layers};
use crate::checkpoint::{CheckpointError, End, Granularity, Overrides, Pair};
use crate::dataset::{Crop, Dataset, DatasetError, PixelCache, Preprocess};
use crate::plural::counted;
use crate::sparsify::{Plan, SparsifyError};
use crate::sweep::event::{DatasetInfo, Header, LayerInfo, SCHEMA};
use crate::sweep::ids::{Alpha, DatasetId};
use crate::sweep::plan::LARGEST_ROUND;
use crate::sweep::spec::{BatchNorm, Layers, Spec, Variant};

/// Why the inputs of a spec cannot be used together.
#[derive(Debug, Error)]
pub enum InputsError {
    /// A checkpoint, or the two of them together.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// A variant that cannot be made of this pair.
    #[error("variant `{name}`: {source}")]
    Variant {
        /// Its name in the spec.
        name: String,
        /// Which edit, and why.
        source: SparsifyError,
    },
    /// Statistics are asked for of a model that has none.
    #[error(
        "`sweep.batchnorm`: expected a ResNet to recompute the statistics of, got {architecture}, \
         which has no BatchNorm; leave the field out"
    )]
    BatchNorm {
        /// Of the pair.
        architecture: String,
    },
    /// A dataset.
    #[error("dataset `{name}`: {source}")]
    Dataset {
        /// Its name in the spec.
        name: String,
        /// What is wrong.
        source: DatasetError,
    },
    /// The rows of a stored head cannot be named.
    #[error(
        "cannot name the rows of the stored head of {path}: `classification_head.weight` has \
         {}, but {from} lists {}; set `checkpoints.head_classes` to a file with {}, one a line",
        counted(*rows, "row"), counted(*got, "class"), counted(*rows, "class name")
    )]
    HeadRows {
        /// The checkpoint that stores the head.
        path: PathBuf,
        /// Rows of the head.
        rows: usize,
        /// Where the class names came from.
        from: String,
        /// How many there are.
        got: usize,
    },
    /// The file of `head_classes` cannot be used.
    #[error("`checkpoints.head_classes`: {0}")]
    HeadClasses(DatasetError),
    /// Two rows of a head, or two classes of a dataset, with one name.
    #[error(
        "{what} names `{class}` twice; a stored head's rows are found by class name, so each \
         name must be unique: rename one"
    )]
    TwiceNamed {
        /// The head or the dataset.
        what: String,
        /// The name.
        class: String,
    },
    /// Classes of a dataset that a stored head does not have.
    #[error(
        "dataset `{name}` has {} that the stored head does not have: {}; its class names \
         must be among the head's {head} (of {from}): correct `classnames` or \
         `checkpoints.head_classes`",
        counted(missing.len(), "class"), list(missing)
    )]
    UnknownClasses {
        /// The dataset.
        name: String,
        /// The classes.
        missing: Vec<String>,
        /// Classes of the head.
        head: usize,
        /// Where the head's class names came from.
        from: String,
    },
    /// The pair stores a head, but no dataset or file names its rows.
    #[error(
        "{path} stores a head of {}, but nothing names them: set `checkpoints.head_classes`, or give \
         one dataset the role `id`",
        counted(*rows, "row")
    )]
    NoHeadClasses {
        /// The checkpoint that stores the head.
        path: PathBuf,
        /// Rows of the head.
        rows: usize,
    },
}

fn list(names: &[String]) -> String {
    const SHOWN: usize = 8;
    let mut text =
        names.iter().take(SHOWN).map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", ");
    if names.len() > SHOWN {
        text.push_str(&format!(" and {} more", names.len() - SHOWN));
    }
    text
}

/// The class list of a stored head, and the prompts of its zero-shot twin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeadClasses {
    /// One name per row of `classification_head.weight`.
    pub names: Vec<String>,
    /// Prompt templates of the end that stores no head.
    pub templates: Vec<String>,
}

/// A dataset with what a sweep needs to walk it.
#[derive(Debug)]
pub struct LoadedDataset {
    /// Images, labels, classes, templates.
    pub dataset: Dataset,
    /// Image index at each position of the seeded order (after `limit`).
    pub order: Vec<usize>,
    /// Row of the stored head for each of the dataset's rows; `None` without a stored head:
    /// the dataset then has a zero-shot head of its own.
    pub head_rows: Option<Vec<usize>>,
}

/// What a sweep reads.
#[derive(Debug)]
pub struct Inputs {
    /// What was asked.
    pub spec: Spec,
    /// The two ends of the path.
    pub pair: Pair,
    /// In the spec's order.
    pub datasets: Vec<LoadedDataset>,
    /// Present when at least one end stores a head.
    pub head: Option<HeadClasses>,
    /// Decoded images of the rounds in hand, shared by all workers.
    pub cache: Arc<PixelCache>,
    /// What a person should hear before the sweep starts.
    pub notices: Vec<String>,
}

/// Pixels of this many rounds are kept: the one in hand, and the next, which is
/// decoded in the background.
const ROUNDS_KEPT: usize = 2;

impl Inputs {
    /// Opens and checks everything `spec` names.
    ///
    /// # Errors
    /// [`InputsError`]: the first thing that is wrong, in the order checkpoints,
    /// variants, datasets, stored head.
    pub fn open(mut spec: Spec) -> Result<Self, InputsError> {
        let overrides = Overrides::from(&spec.checkpoints);
        let pair = Pair::open(&spec.checkpoints.zeroshot, &spec.checkpoints.finetuned, &overrides)?;
        if spec.sweep.batchnorm == BatchNorm::Recompute && pair.architecture.image.resnet.is_none()
        {
            let architecture = pair.architecture.to_string();
            return Err(InputsError::BatchNorm { architecture });
        }
        pair.check_vocabulary()?;
        for variant in &spec.variants {
            Plan::of(&pair, variant, spec.sweep.seed)
                .map_err(|source| InputsError::Variant { name: variant.name.clone(), source })?;
        }
        let mut notices = pair.notices.clone();
        let opened = spec
            .datasets
            .iter()
            .map(|dataset| {
                Dataset::open(dataset)
                    .map_err(|source| InputsError::Dataset { name: dataset.name.clone(), source })
            })
            .collect::<Result<Vec<_>, _>>()?;
        for dataset in &opened {
            notices.extend(dataset.problems().iter().map(|p| format!("{}: {p}", dataset.name())));
        }
        let named = head::stored_head(&spec, &pair, &opened)?;
        let datasets = opened
            .into_iter()
            .map(|dataset| {
                let head_rows = named.as_ref().map(|head| head.rows_of(&dataset)).transpose()?;
                let order = dataset.order(spec.sweep.seed);
                Ok(LoadedDataset { dataset, order, head_rows })
            })
            .collect::<Result<Vec<_>, InputsError>>()?;
        let sizes: Vec<usize> = datasets.iter().map(|it| it.order.len()).collect();
        notices.extend(spec.settle(&sizes));
        let preprocess = Preprocess::clip(pair.architecture.image.size);
        let cache = Arc::new(PixelCache::new(preprocess, pixel_budget(&pair, &datasets)));
        let head = named.map(|named| named.classes);
        Ok(Self { spec, pair, datasets, head, cache, notices })
    }

    /// What the journal's first line says of this sweep; `rounds` gives where
    /// the rounds of a dataset of so many images end.
    #[must_use]
    pub fn header(
        &self,
        spec_hash: String,
        alphas: Vec<Alpha>,
        rounds: impl Fn(usize) -> Vec<usize>,
    ) -> Header {
        Header {
            schema: SCHEMA,
            spec_hash,
            zeroshot: self.pair.zeroshot.stem(),
            finetuned: self.pair.finetuned.stem(),
            label: self.spec.label.clone(),
            architecture: self.pair.architecture.to_string(),
            alphas,
            datasets: self
                .spec
                .datasets
                .iter()
                .zip(&self.datasets)
                .map(|(spec, loaded)| DatasetInfo {
                    name: spec.name.clone(),
                    role: spec.role,
                    images: loaded.order.len(),
                    classes: loaded.dataset.classes().len(),
                    rounds: rounds(loaded.order.len()),
                    benchmark: loaded.dataset.benchmark().cloned(),
                })
                .collect(),
            variants: std::iter::once(Variant::dense())
                .chain(self.spec.variants.iter().cloned())
                .collect(),
            layers: layer_table(&self.pair),
            seed: self.spec.sweep.seed,
            batch: self.spec.sweep.batch,
            stragglers: self.spec.stragglers,
        }
    }

    /// The content of every input, for the resolved spec and for refusing to
    /// resume on changed files: (field, blake3 in hex).
    ///
    /// # Errors
    /// When a file cannot be read any more.
    pub fn hashes(&self) -> Result<BTreeMap<String, String>, InputsError> {
        let mut hashes = BTreeMap::from([
            ("checkpoints.zeroshot".to_string(), self.pair.zeroshot.hash()?),
            ("checkpoints.finetuned".to_string(), self.pair.finetuned.hash()?),
        ]);
        for LoadedDataset { dataset, order, .. } in &self.datasets {
            let name = dataset.name().to_string();
            let hash = dataset
                .hash(order)
                .map_err(|source| InputsError::Dataset { name: name.clone(), source })?;
            hashes.insert(format!("datasets.{name}"), hash);
        }
        if let Some(head) = &self.head {
            let mut names = blake3::Hasher::new();
            for name in head.names.iter().chain(&head.templates) {
                names.update(name.as_bytes()).update(b"\n");
            }
            hashes.insert("checkpoints.head_classes".into(), names.finalize().to_hex().to_string());
        }
        Ok(hashes)
    }

    /// The crops of some images of a dataset, as [`PixelCache::pixels`] gives them.
    ///
    /// # Errors
    /// In words. Where an image cannot be decoded, all of the dataset's that cannot are named: who
    /// repairs them should hear of them at once, whatever was asked for first.
    pub fn pixels(&self, id: DatasetId, images: &[usize]) -> Result<Vec<Crop>, String> {
        let LoadedDataset { dataset, order, .. } =
            self.dataset(id).ok_or_else(|| format!("dataset {}: there is none", id.index()))?;
        self.cache.pixels(id, dataset, images).map_err(|error| match error {
            DatasetError::Unreadable { failed, .. } => {
                self.cache.survey(id, dataset, order, failed).to_string()
            }
            other => other.to_string(),
        })
    }

    /// Decodes images at these places of a dataset's order in the background, on as many threads.
    pub fn look_ahead(&self, id: DatasetId, positions: Range<usize>, threads: usize) {
        if let Some(LoadedDataset { dataset, order, .. }) = self.dataset(id)
            && let Some(images) = order.get(positions)
        {
            self.cache.prefetch(id, dataset, images, threads);
        }
    }

    /// The dataset with this id; ids come from the spec's order.
    #[must_use]
    pub fn dataset(&self, id: DatasetId) -> Option<&LoadedDataset> {
        self.datasets.get(id.index())
    }
}

/// Every layer in play, at every granularity, in the order of the forward pass.
fn grouped(pair: &Pair) -> impl Iterator<Item = (Layers, Layer)> {
    let head = pair.head.map(|head| (head.classes, head.bias));
    let dims = pair.architecture.dims();
    let with_text = pair.text_moves() && pair.head.is_none();
    let granularities = [
        (Layers::Block, Granularity::Block),
        (Layers::Module, Granularity::Module),
        (Layers::Tensor, Granularity::Tensor),
    ];
    granularities.into_iter().flat_map(move |(units, granularity)| {
        layers(&dims, granularity, head, with_text).into_iter().map(move |layer| (units, layer))
    })
}

/// Every layer with how far it moves. Each tensor is read once.
fn layer_table(pair: &Pair) -> Vec<LayerInfo> {
    let single: BTreeMap<String, Option<Distance>> = grouped(pair)
        .filter(|(units, _)| *units == Layers::Tensor)
        .map(|(_, layer)| {
            let from = |name: &str| pair.end(End::ZeroShot, name);
            let to = |name: &str| pair.end(End::FineTuned, name);
            (layer.name, distance(&layer.tensors, from, to))
        })
        .collect();
    grouped(pair)
        .map(|(units, layer)| {
            let known = layer.tensors.iter().filter_map(|name| *single.get(name)?);
            LayerInfo {
                units,
                parameters: layer.parameters,
                moved: known.reduce(Distance::together).and_then(Distance::relative),
                name: layer.name,
                tensors: layer.tensors,
            }
        })
        .collect()
}

/// Bytes for decoded pixels: what the largest rounds need, at most a third of
/// the memory that is free now.
fn pixel_budget(pair: &Pair, datasets: &[LoadedDataset]) -> usize {
    let image = pair.architecture.image.size.pow(2) * 3;
    let needed: usize =
        datasets.iter().map(|d| d.order.len().min(ROUNDS_KEPT * LARGEST_ROUND) * image).sum();
    let free = available_memory().unwrap_or(4 << 30);
    needed.min(free / 3).max(64 << 20)
}

/// Bytes that a new program may use without swapping; `None` where the system
/// does not say.
fn available_memory() -> Option<usize> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: usize = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib.saturating_mul(1024))
}
