//! What a checkpoint is: the content of `inspect`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::arch::{Architecture, Dims, Overrides};
use super::container::Container;
use super::error::CheckpointError;
use super::file::Checkpoint;
use super::layers::{Granularity, Layer, layers};
use super::logit_scale;
use super::names::{Dialect, Recipe};
use super::pair::{complete, stored_head};

/// What one file is. Made from its header: weights are not read.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Description {
    /// Where it is.
    #[serde(serialize_with = "crate::lossy::path")]
    pub path: PathBuf,
    /// Size of the file.
    pub bytes: u64,
    /// File format.
    pub container: Container,
    /// Who named the tensors.
    pub dialect: Dialect,
    /// What stands before every name; empty for nothing.
    pub prefix: String,
    /// Which program wraps CLIP so; `None` for CLIP itself or an unknown one.
    pub wrapper: Option<&'static str>,
    /// How the file's names became canonical ones.
    pub mapping: Mapping,
    /// `ViT-B-32`, or dimensions in words.
    pub label: String,
    /// What shapes tell.
    pub dims: Dims,
    /// All that is needed to run it; `None` where something cannot be told.
    pub architecture: Option<Architecture>,
    /// Why [`Self::architecture`] is `None`, or which weights cannot be used.
    pub problem: Option<String>,
    /// exp(`logit_scale`); `None` where the file has none.
    pub logit_scale: Option<f64>,
    /// The stored linear head.
    pub head: Option<StoredHead>,
    /// How many canonical tensors there are.
    pub tensors: usize,
    /// Numbers in the towers and head.
    pub parameters: u64,
    /// Tensors of each element type.
    pub dtypes: BTreeMap<&'static str, usize>,
    /// Blocks of the image tower, head, text tower.
    pub layers: Vec<Layer>,
    /// The file's own names of buffers and leftovers.
    pub ignored: Vec<String>,
    /// Free text of the file.
    pub metadata: BTreeMap<String, String>,
    /// Python code that loading the file in Python would import or run; nothing
    /// of it was run.
    pub foreign: Vec<String>,
    /// The files it is made of: one, or shards.
    #[serde(serialize_with = "crate::lossy::paths")]
    pub files: Vec<PathBuf>,
    /// Tensors with values that are NaN or infinite; empty where values were not
    /// looked at (see [`describe_values`]).
    pub not_finite: Vec<NotFinite>,
    /// What a person should know.
    pub notices: Vec<String>,
}

/// A tensor with a value that is NaN or infinite.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct NotFinite {
    /// In which file.
    #[serde(serialize_with = "crate::lossy::path")]
    pub path: PathBuf,
    /// Canonical name.
    pub tensor: String,
    /// The first such element.
    pub element: usize,
}

/// How a file's names became canonical ones.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Mapping {
    /// Tensors taken as they are.
    pub whole: usize,
    /// Tensors with rows and columns swapped.
    pub transposed: usize,
    /// Tensors stacked of three (q, k, v).
    pub stacked: usize,
    /// Tensors outside the prefix (an optimizer's state), by the first part of
    /// their names.
    pub outside: BTreeMap<String, usize>,
    /// The file's own names, by canonical name.
    pub names: BTreeMap<String, Vec<String>>,
}

impl Mapping {
    fn of(file: &Checkpoint) -> Self {
        let mut mapping = Self { outside: file.outside().clone(), ..Self::default() };
        for (name, recipe) in file.mapping() {
            match recipe {
                Recipe::One(_) => mapping.whole += 1,
                Recipe::Transposed(_) => mapping.transposed += 1,
                Recipe::Stacked(_) => mapping.stacked += 1,
            }
            let sources = recipe.sources().into_iter().map(str::to_string).collect();
            mapping.names.insert(name.clone(), sources);
        }
        mapping
    }
}

/// A linear head stored in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct StoredHead {
    /// Rows.
    pub classes: usize,
    /// Whether it has a bias.
    pub bias: bool,
}

/// Threads that read weights at once: so many use a memory's whole bandwidth, and each holds a
/// stretch of the file in memory.
const READERS: usize = 4;

/// Describes a file from its header.
///
/// # Errors
/// When it cannot be opened, is no ViT CLIP, or lacks tensors.
pub fn describe(path: &Path) -> Result<Description, CheckpointError> {
    describe_file(&Checkpoint::open(path)?)
}

/// As [`describe`], and reads all weights: which are no finite numbers.
///
/// # Errors
/// As [`describe`].
pub fn describe_values(path: &Path) -> Result<Description, CheckpointError> {
    let file = Checkpoint::open(path)?;
    let mut description = describe_file(&file)?;
    let not_finite = not_finite(&file);
    if let Some(first) = not_finite.first() {
        let more = not_finite.len() - 1;
        let problem = format!(
            "tensor `{}` holds NaN or infinity (as float32) at element {}{}; the training that made it diverged \
             or the file is damaged: use another checkpoint",
            first.tensor,
            first.element,
            match more {
                0 => String::new(),
                1 => ", and one more tensor does".into(),
                more => format!(", and {more} more tensors do"),
            }
        );
        description.problem = description.problem.or(Some(problem));
    }
    Ok(Description { not_finite, ..description })
}

/// As [`describe`], of a file already open.
///
/// # Errors
/// As [`describe`].
pub fn describe_file(file: &Checkpoint) -> Result<Description, CheckpointError> {
    let dims = Dims::infer(file)?;
    complete(file, &dims)?;
    let head = stored_head(file, dims.embed)?;
    let mut notices = file.notices().to_vec();
    let resolved = Architecture::resolve(&[file], &dims, &Overrides::default(), &mut notices);
    let (architecture, problem) = match resolved {
        Ok(architecture) => (Some(architecture), None),
        Err(error) => (None, Some(error.to_string())),
    };
    if file.has_leftover_text() {
        notices.push("parts of a text tower without its transformer are ignored".into());
    }
    let known = architecture.as_ref().is_none_or(|it| it.text.is_none() || it.takes_clip_tokens());
    if !known {
        notices.push(
            "its vocabulary is not that of CLIP's tokenizer: only a linear head that is stored can be \
             measured, no zero-shot head"
                .into(),
        );
    }
    let label = match &architecture {
        Some(architecture) => architecture.to_string(),
        None => format!("{}, heads unknown", dims.image.label()),
    };
    let mut dtypes = BTreeMap::new();
    for dtype in file.names().filter_map(|name| file.dtype(name)) {
        *dtypes.entry(dtype.name()).or_default() += 1;
    }
    let layers = layers(&dims, Granularity::Block, head, true);
    Ok(Description {
        path: file.path().into(),
        bytes: file.bytes(),
        container: file.container(),
        dialect: file.dialect(),
        prefix: file.prefix().into(),
        wrapper: file.wrapper(),
        mapping: Mapping::of(file),
        label,
        dims,
        architecture,
        problem,
        logit_scale: logit_scale::own(file)?,
        head: head.map(|(classes, bias)| StoredHead { classes, bias }),
        tensors: file.names().count(),
        parameters: layers.iter().map(|layer| layer.parameters).sum(),
        dtypes,
        layers,
        ignored: file.ignored().to_vec(),
        metadata: file.metadata().clone(),
        foreign: file.foreign().iter().cloned().collect(),
        files: file.files().map(Path::to_path_buf).collect(),
        not_finite: Vec::new(),
        notices,
    })
}

/// Tensors of a file with values that are NaN or infinite. Reads all weights.
pub(super) fn not_finite(file: &Checkpoint) -> Vec<NotFinite> {
    let names: Vec<&str> = file.names().collect();
    let look = || {
        let wrong = names.par_iter().filter_map(|name| {
            let (element, _) = file.first_not_finite(name)?;
            Some(NotFinite { path: file.path().into(), tensor: (*name).into(), element })
        });
        wrong.collect()
    };
    match rayon::ThreadPoolBuilder::new().num_threads(READERS).build() {
        Ok(few) => few.install(look),
        Err(_) => look(),
    }
}
