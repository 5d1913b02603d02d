//! What a checkpoint is, and how two compare: the content of `inspect`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::arch::{Architecture, Dims, Overrides};
use super::container::Container;
use super::error::CheckpointError;
use super::file::Checkpoint;
use super::layers::{Distance, Granularity, Layer, distance, layers};
use super::names::Dialect;
use super::pair::{HeadInfo, Pair, check_match, complete, own_logit_scale, stored_head};

/// What one file is. Made from its header: weights are not read.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Description {
    /// Where it is.
    pub path: PathBuf,
    /// Size of the file.
    pub bytes: u64,
    /// File format.
    pub container: Container,
    /// Who named the tensors.
    pub dialect: Dialect,
    /// What stands before every name; empty for nothing.
    pub prefix: String,
    /// `ViT-B-32`, or dimensions in words.
    pub label: String,
    /// What shapes tell.
    pub dims: Dims,
    /// All that is needed to run it; `None` where something cannot be told.
    pub architecture: Option<Architecture>,
    /// Why [`Self::architecture`] is `None`.
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
    pub files: Vec<PathBuf>,
    /// What a person should know.
    pub notices: Vec<String>,
}

/// A linear head stored in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct StoredHead {
    /// Rows.
    pub classes: usize,
    /// Whether it has a bias.
    pub bias: bool,
}

/// How two files compare.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct PairDescription {
    /// θ₀.
    pub zeroshot: Description,
    /// θ₁.
    pub finetuned: Description,
    /// True when a sweep can be run between them.
    pub matches: bool,
    /// Why not.
    pub problem: Option<String>,
    /// The stored heads; `None` when both ends use zero-shot heads.
    pub head: Option<HeadInfo>,
    /// True when the text tower is the same at both ends; `None` where the
    /// files do not match.
    pub text_same: Option<bool>,
    /// True when every tensor in play has the same values at both ends.
    pub identical: bool,
    /// Distance moved of all layers together.
    pub overall: Option<Distance>,
    /// Distance moved, layer by layer.
    pub layers: Vec<LayerMoved>,
    /// Tensors with values that are NaN or infinite.
    pub not_finite: Vec<NotFinite>,
    /// What a person should know.
    pub notices: Vec<String>,
}

/// How far a layer moved.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct LayerMoved {
    /// `stem`, `block.3`, …
    pub name: String,
    /// Numbers in it.
    pub parameters: u64,
    /// ‖θ₁ − θ₀‖₂ / ‖θ₀‖₂; `None` when θ₀ is zero, a value is not finite, or
    /// only one end has the layer.
    pub relative: Option<f64>,
    /// The norms; `None` when only one end has the layer.
    pub distance: Option<Distance>,
}

/// A tensor with a value that is NaN or infinite.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct NotFinite {
    /// In which file.
    pub path: PathBuf,
    /// Canonical name.
    pub tensor: String,
    /// The first such element.
    pub element: usize,
}

/// Describes a file from its header.
///
/// # Errors
/// When it cannot be opened, is no ViT CLIP, or lacks tensors.
pub fn describe(path: &Path) -> Result<Description, CheckpointError> {
    describe_file(&Checkpoint::open(path)?)
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
    let label = match &architecture {
        Some(architecture) => architecture.to_string(),
        None => format!(
            "ViT {}×{}, patch {}, heads unknown",
            dims.image.layers, dims.image.width, dims.image.patch
        ),
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
        label,
        dims,
        architecture,
        problem,
        logit_scale: own_logit_scale(file)?,
        head: head.map(|(classes, bias)| StoredHead { classes, bias }),
        tensors: file.names().count(),
        parameters: layers.iter().map(|layer| layer.parameters).sum(),
        dtypes,
        layers,
        ignored: file.ignored().to_vec(),
        metadata: file.metadata().clone(),
        foreign: file.foreign().iter().cloned().collect(),
        files: file.files().map(Path::to_path_buf).collect(),
        notices,
    })
}

/// Compares two files. Reads all weights of both.
///
/// # Errors
/// When a file by itself cannot be described. Files that do not match are no
/// error: [`PairDescription::problem`] says why.
pub fn describe_pair(
    zeroshot: &Path,
    finetuned: &Path,
) -> Result<PairDescription, CheckpointError> {
    let (a, b) = (Checkpoint::open(zeroshot)?, Checkpoint::open(finetuned)?);
    let mut description = PairDescription {
        zeroshot: describe_file(&a)?,
        finetuned: describe_file(&b)?,
        matches: false,
        problem: None,
        head: None,
        text_same: None,
        identical: false,
        overall: None,
        layers: Vec::new(),
        not_finite: [&a, &b].iter().flat_map(|file| not_finite(file)).collect(),
        notices: Vec::new(),
    };
    match check_match(&a, &b) {
        Ok(dims) => {
            let head = description.zeroshot.head.or(description.finetuned.head);
            let head = head.map(|head| (head.classes, head.bias));
            let with_text = a.has_text() && b.has_text();
            let layers = layers(&dims, Granularity::Block, head, with_text);
            let all: Vec<String> = layers.iter().flat_map(|l| l.tensors.clone()).collect();
            // Heads of different lengths cannot be subtracted; `Pair::new` says so below.
            let alike = |name: &str| a.shape(name) == b.shape(name);
            let from = |name: &str| alike(name).then(|| a.get(name)).flatten();
            let to = |name: &str| alike(name).then(|| b.get(name)).flatten();
            description.overall = distance(&all, from, to);
            description.identical =
                description.overall.is_some_and(|all| all.moved == 0.0 && all.not_finite == 0);
            description.layers = layers
                .into_iter()
                .map(|layer| {
                    let distance = distance(&layer.tensors, from, to);
                    LayerMoved {
                        name: layer.name,
                        parameters: layer.parameters,
                        relative: distance.and_then(|distance| distance.relative()),
                        distance,
                    }
                })
                .collect();
        }
        Err(error) => description.problem = Some(error.to_string()),
    }
    if description.problem.is_none() {
        match Pair::new(a, b, &Overrides::default()) {
            Ok(pair) => {
                description.matches = true;
                description.head = pair.head;
                description.text_same = Some(pair.text_same);
                description.notices = pair.notices;
            }
            Err(error) => description.problem = Some(error.to_string()),
        }
    }
    if !description.not_finite.is_empty() {
        description.matches = false;
        let first = description.not_finite.first().map(|bad| {
            format!("tensor `{}` of {} holds NaN or infinity", bad.tensor, bad.path.display())
        });
        description.problem = description.problem.or(first);
    }
    Ok(description)
}

fn not_finite(file: &Checkpoint) -> Vec<NotFinite> {
    let names: Vec<&str> = file.names().collect();
    names
        .par_iter()
        .filter_map(|name| {
            let (element, _) = file.get(name)?.first_not_finite()?;
            Some(NotFinite { path: file.path().into(), tensor: (*name).into(), element })
        })
        .collect()
}
