//! One opened checkpoint.

mod attach;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::container::{self, Container, Contents, RawTensor};
use super::error::CheckpointError;
use super::locate::{Located, locate};
use super::names::{self, Dialect, Names, Recipe, Unfit};
use super::positions;
use super::tensor::{Dtype, TensorView, concatenate, transposed};
use crate::mapped::Mapped;
use crate::plural::counted;

/// One opened checkpoint: memory-mapped, its tensors under canonical names.
///
/// Opening reads headers only; tensors are read when they are asked for.
/// The files must not be changed while they are open: their pages are mapped,
/// and a file cut short under a mapping ends the program with SIGBUS.
pub struct Checkpoint {
    path: PathBuf,
    /// Name of the model folder that was given.
    folder: Option<String>,
    sources: Vec<Source>,
    container: Container,
    metadata: BTreeMap<String, String>,
    foreign: BTreeSet<String>,
    raw: BTreeMap<String, RawTensor>,
    names: Names,
    notices: Vec<String>,
    entries: BTreeMap<String, (Dtype, Vec<usize>)>,
    /// Tensors that are not the file's own (resized, or of the other end): little-endian, row-major.
    made: BTreeMap<String, Vec<u8>>,
    /// Patches along one side in the file, where its position embedding was resized.
    resized: Option<usize>,
}

/// Name of the image tower's position embedding.
const POSITIONS: &str = "visual.positional_embedding";

/// A file and its bytes.
struct Source {
    path: PathBuf,
    map: Mapped,
}

impl Source {
    fn open(path: &Path) -> Result<Self, CheckpointError> {
        let read = |source| CheckpointError::Read { path: path.into(), source };
        Ok(Self { path: path.into(), map: Mapped::open(path).map_err(read)? })
    }
}

impl Checkpoint {
    /// Opens a checkpoint and names its tensors. `path` is a file, an index of
    /// shards, a model folder (open_clip's order of file names decides), or
    /// `FILE#PREFIX` for one of several models in a file.
    ///
    /// # Errors
    /// When it cannot be read, is of another format, is damaged, holds no
    /// single ViT image tower, or has a weight of a type that is no float.
    pub fn open(path: &Path) -> Result<Self, CheckpointError> {
        let Located { path, files, index, folder, select, mut notices } = locate(path)?;
        let sources = files.iter().map(|file| Source::open(file)).collect::<Result<Vec<_>, _>>()?;
        let mut contents: Option<Contents> = None;
        for (at, source) in sources.iter().enumerate() {
            let mut part = container::read(&source.path, &source.map)?;
            part.tensors.values_mut().for_each(|tensor| tensor.file = at);
            match &mut contents {
                None => contents = Some(part),
                Some(whole) => {
                    for (name, tensor) in part.tensors {
                        if whole.tensors.insert(name.clone(), tensor).is_some() {
                            return Err(CheckpointError::Tensor {
                                path: source.path.clone(),
                                tensor: name,
                                message: "another shard has it too; remove one".into(),
                            });
                        }
                    }
                    whole.metadata.extend(part.metadata);
                    whole.foreign.extend(part.foreign);
                }
            }
        }
        let Contents { container, tensors: raw, metadata, foreign } =
            contents.ok_or_else(|| CheckpointError::NotClip {
                path: path.clone(),
                message: "it has no files".into(),
            })?;
        for (tensor, shard) in index.iter().flat_map(|index| &index.weight_map) {
            let holder = raw.get(tensor).and_then(|raw| sources.get(raw.file)?.path.file_name());
            if holder.is_none_or(|holder| holder != shard.as_str()) {
                let holder = holder.map_or("no shard has it".into(), |holder| {
                    format!("{} has it", holder.to_string_lossy())
                });
                return Err(CheckpointError::Tensor {
                    path,
                    tensor: tensor.clone(),
                    message: format!(
                        "the index says it is in {shard}, but {holder}; download the index and its \
                         shards again"
                    ),
                });
            }
        }
        let mut names = names::canonical(raw.keys().map(String::as_str), select.as_deref())
            .map_err(|unfit| match unfit {
                Unfit::NotClip(message) => CheckpointError::NotClip { path: path.clone(), message },
                Unfit::NotThere(message) => {
                    let prefix = select.unwrap_or_default();
                    CheckpointError::Prefix { path: path.clone(), prefix, message }
                }
            })?;
        names.ignore(|name| raw.get(name).is_none_or(|tensor| tensor.dtype.is_err()));
        notices.extend(names.notices());
        let mut checkpoint = Self {
            path,
            folder,
            sources,
            container,
            metadata,
            foreign,
            raw,
            names,
            notices,
            entries: BTreeMap::new(),
            made: BTreeMap::new(),
            resized: None,
        };
        checkpoint.entries = checkpoint
            .names
            .recipes
            .iter()
            .map(|(name, recipe)| Ok((name.clone(), checkpoint.entry(name, recipe)?)))
            .collect::<Result<_, CheckpointError>>()?;
        Ok(checkpoint)
    }

    /// Type and shape of a canonical tensor.
    fn entry(&self, name: &str, recipe: &Recipe) -> Result<(Dtype, Vec<usize>), CheckpointError> {
        let wrong = |message| CheckpointError::Tensor {
            path: self.path.clone(),
            tensor: name.into(),
            message,
        };
        let mut whole: Option<(Dtype, Vec<usize>)> = None;
        for source in recipe.sources() {
            let Some(raw) = self.raw.get(source) else {
                return Err(wrong(format!("`{source}` is not in the file")));
            };
            let dtype = *raw.dtype.as_ref().map_err(|got| {
                wrong(format!(
                    "expected F16, BF16, F32 or F64 numbers, got {got}; save the weights in one \
                     of these types"
                ))
            })?;
            whole = match whole {
                None => Some((dtype, raw.shape.clone())),
                Some((first, mut shape)) => {
                    let fits = first == dtype && shape.get(1..) == raw.shape.get(1..);
                    match (shape.first_mut(), raw.shape.first()) {
                        (Some(rows), Some(&more)) if fits => *rows = rows.saturating_add(more),
                        _ => {
                            return Err(wrong(format!(
                                "its parts {} do not stack: {} {shape:?} and {} {:?}; save all \
                                 three alike",
                                recipe.sources().join(", "),
                                first.name(),
                                dtype.name(),
                                raw.shape
                            )));
                        }
                    }
                    Some((first, shape))
                }
            };
        }
        let Some((dtype, mut shape)) = whole else {
            return Err(wrong("it has no source in the file".into()));
        };
        if matches!(recipe, Recipe::Transposed(_)) {
            let &[rows, columns] = shape.as_slice() else {
                return Err(wrong(format!("expected a matrix, got shape {shape:?}")));
            };
            shape = vec![columns, rows];
        }
        if name == "logit_scale" && shape == [1] {
            shape.clear();
        }
        Ok((dtype, shape))
    }

    /// Where the file is, as given.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file's name without folder and extension, as shown to people; of a
    /// model folder its name, since the files in all of them are called alike.
    #[must_use]
    pub fn stem(&self) -> String {
        let stem = || self.path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
        self.folder.clone().or_else(stem).unwrap_or_default()
    }

    /// File format.
    #[must_use]
    pub fn container(&self) -> Container {
        self.container
    }

    /// Who named the tensors.
    #[must_use]
    pub fn dialect(&self) -> Dialect {
        self.names.dialect
    }

    /// What stood before every name (`image_encoder.model.`); empty for nothing.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.names.prefix
    }

    /// The file's own names of what is no parameter of the towers or head.
    #[must_use]
    pub fn ignored(&self) -> &[String] {
        &self.names.ignored
    }

    /// True where parts of a text tower lie there without its transformer
    /// (they are among [`Self::ignored`]).
    #[must_use]
    pub fn has_leftover_text(&self) -> bool {
        self.names.leftover_text
    }

    /// Free text of the file.
    #[must_use]
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.metadata
    }

    /// Python code that loading the file in Python would import or run, beyond
    /// what tensors need. Nothing of it was run here.
    #[must_use]
    pub fn foreign(&self) -> &BTreeSet<String> {
        &self.foreign
    }

    /// What was chosen in opening it, and left out.
    #[must_use]
    pub fn notices(&self) -> &[String] {
        &self.notices
    }

    /// How each canonical tensor is made of the file's own, by canonical name.
    #[must_use]
    pub fn mapping(&self) -> &BTreeMap<String, Recipe> {
        &self.names.recipes
    }

    /// Tensors outside the prefix, by the first part of their names.
    #[must_use]
    pub fn outside(&self) -> &BTreeMap<String, usize> {
        &self.names.outside
    }

    /// Which program wraps CLIP as this file has it; `None` for CLIP itself or
    /// an unknown one.
    #[must_use]
    pub fn wrapper(&self) -> Option<&'static str> {
        let prefix = self.prefix();
        let head = self.has(names::HEAD_WEIGHT);
        if self.container == Container::TorchScript {
            Some("OpenAI's archive")
        } else if prefix.ends_with("image_encoder.model.") {
            Some("WiSE-FT's classifier")
        } else if prefix.starts_with("state_dict") {
            Some("a training checkpoint")
        } else if prefix == "model." && head {
            Some("model-soups' classifier")
        } else if prefix == "model." && self.has_leftover_text() {
            Some("task_vectors' image encoder")
        } else {
            None
        }
    }

    /// The files that hold its tensors: one, or shards.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.sources.iter().map(|source| source.path.as_path())
    }

    /// Size of its files together.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.sources.iter().map(|source| source.map.len() as u64).sum()
    }

    /// Canonical names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    /// True when the file has this canonical tensor.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.entries.contains_key(name)
    }

    /// True with a text transformer.
    #[must_use]
    pub fn has_text(&self) -> bool {
        self.names().any(|name| name.starts_with("transformer."))
    }

    /// True for an image tower that was saved without the projection of its features: a
    /// fine-tuned end may be one.
    #[must_use]
    pub fn lacks_projection(&self) -> bool {
        self.has("visual.class_embedding") && !self.has("visual.proj")
    }

    /// Shape in canonical packing, without touching the tensor's bytes.
    #[must_use]
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        self.entries.get(name).map(|(_, shape)| shape.as_slice())
    }

    /// Type in the file, without touching the tensor's bytes.
    #[must_use]
    pub fn dtype(&self, name: &str) -> Option<Dtype> {
        self.entries.get(name).map(|(dtype, _)| *dtype)
    }

    /// A tensor by canonical name, in canonical packing. Borrowed from the
    /// mapped file where the packing is the same, else put together (q, k, v;
    /// transposed projections of Hugging Face files).
    #[must_use]
    pub fn get(&self, name: &str) -> Option<TensorView<'_>> {
        let (dtype, shape) = self.entries.get(name)?;
        if let Some(made) = self.made.get(name) {
            return TensorView::new(*dtype, shape.clone(), Cow::Borrowed(made));
        }
        let own = |source: &str| self.own(source).map(|(tensor, _)| tensor);
        match self.names.recipes.get(name)? {
            Recipe::One(source) => own(source)?.reshaped(shape.clone()),
            Recipe::Transposed(source) => transposed(&own(source)?),
            Recipe::Stacked([q, k, v]) => concatenate(&[own(q)?, own(k)?, own(v)?]),
        }
    }

    /// A tensor by the file's own name, and the file that holds it.
    fn own(&self, source: &str) -> Option<(TensorView<'_>, &Mapped)> {
        let raw = self.raw.get(source)?;
        let map = &self.sources.get(raw.file)?.map;
        Some((raw.view(map)?, map))
    }

    /// [`TensorView::first_not_finite`] of a tensor by canonical name. What was read leaves memory
    /// again: a file may be larger.
    #[must_use]
    pub fn first_not_finite(&self, name: &str) -> Option<(usize, f32)> {
        let finite = |source: &str| {
            self.own(source).is_some_and(|(tensor, map)| tensor.all_finite(|read| map.forget(read)))
        };
        let own = self.names.recipes.get(name).filter(|_| !self.made.contains_key(name));
        if own.is_some_and(|recipe| recipe.sources().into_iter().all(finite)) {
            return None;
        }
        self.get(name)?.first_not_finite()
    }

    /// Lets a tensor's bytes leave memory until they are read again.
    pub(super) fn forget(&self, name: &str) {
        let recipe = self.names.recipes.get(name);
        for (tensor, map) in
            recipe.into_iter().flat_map(Recipe::sources).filter_map(|s| self.own(s))
        {
            map.forget(tensor.bytes());
        }
    }

    /// Patches along one side of the image in the file, whatever it was resized
    /// to; `None` where positions are no square with a class token.
    #[must_use]
    pub fn grid(&self) -> Option<usize> {
        if self.resized.is_some() {
            return self.resized;
        }
        let patches = self.shape(POSITIONS)?.first()?.checked_sub(1)?;
        let grid = patches.isqrt();
        (grid > 0 && grid * grid == patches).then_some(grid)
    }

    /// Resizes the position embedding to another grid of patches, as open_clip
    /// does; from now on it is float32. False where nothing was to be done.
    pub(super) fn resize_positions(&mut self, grid: usize) -> bool {
        let Some(from) = self.grid().filter(|from| *from != grid && self.resized.is_none()) else {
            return false;
        };
        let Some(tensor) = self.get(POSITIONS) else { return false };
        let &[_, width] = tensor.shape() else { return false };
        let Some(values) = positions::resize(&tensor.to_f32(), width, from, grid) else {
            return false;
        };
        let bytes = values.iter().flat_map(|x| x.to_le_bytes()).collect();
        let shape = vec![grid * grid + 1, width];
        self.entries.insert(POSITIONS.into(), (Dtype::F32, shape));
        self.made.insert(POSITIONS.into(), bytes);
        self.resized = Some(from);
        true
    }

    /// Takes a tensor of another file, as if it were stored in this one.
    pub(super) fn borrow(&mut self, name: &str, from: &TensorView<'_>) {
        self.entries.insert(name.into(), (from.dtype(), from.shape().to_vec()));
        self.made.insert(name.into(), from.bytes().to_vec());
    }

    /// Fails when a tensor has a value that is NaN or infinite in float32,
    /// naming it. Reads the whole tensor; absent tensors pass.
    ///
    /// # Errors
    /// [`CheckpointError::Tensor`].
    pub fn check_finite(&self, name: &str) -> Result<(), CheckpointError> {
        // Whoever asks reads it next: it stays in memory.
        let Some((at, value)) = self.get(name).and_then(|tensor| tensor.first_not_finite()) else {
            return Ok(());
        };
        Err(CheckpointError::Tensor {
            path: self.path.clone(),
            tensor: name.into(),
            message: format!(
                "expected finite numbers, got {value} at element {at}; the training that made it \
                 diverged or the file is damaged: use another checkpoint"
            ),
        })
    }

    /// BLAKE3 of the whole file, in hex; of all shards in order, where there are
    /// several. Reads all of it, on every core.
    ///
    /// # Errors
    /// When a file has become unreadable or has another size than when it was
    /// opened.
    pub fn hash(&self) -> Result<String, CheckpointError> {
        let mut hasher = blake3::Hasher::new();
        for Source { path, map } in &self.sources {
            let read = |source| CheckpointError::Read { path: path.clone(), source };
            let now = std::fs::metadata(path).map_err(read)?.len();
            let then = map.len() as u64;
            if now != then {
                return Err(CheckpointError::Damaged {
                    path: path.clone(),
                    container: self.container,
                    message: format!(
                        "it had {} when opened and has {now} now",
                        counted(then, "byte")
                    ),
                });
            }
            hasher.update_rayon(map);
        }
        Ok(hasher.finalize().to_hex().to_string())
    }
}

impl std::fmt::Debug for Checkpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Checkpoint")
            .field("path", &self.path)
            .field("dialect", &self.names.dialect)
            .field("tensors", &self.entries.len())
            .finish_non_exhaustive()
    }
}
