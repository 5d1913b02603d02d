//! One opened checkpoint file.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use super::container::{self, Container, RawTensor};
use super::error::CheckpointError;
use super::names::{self, Dialect, Names, Recipe};
use super::tensor::{Dtype, TensorView, concatenate, transposed};

/// One opened checkpoint: memory-mapped, its tensors under canonical names.
///
/// Opening reads the header only; tensors are read when they are asked for.
/// The file must not be changed while it is open: its pages are mapped, and a
/// file cut short under a mapping ends the program with SIGBUS.
pub struct Checkpoint {
    path: PathBuf,
    map: Option<memmap2::Mmap>,
    container: Container,
    metadata: BTreeMap<String, String>,
    raw: BTreeMap<String, RawTensor>,
    names: Names,
    entries: BTreeMap<String, (Dtype, Vec<usize>)>,
}

impl Checkpoint {
    /// Opens a file and names its tensors.
    ///
    /// # Errors
    /// When it cannot be read, is no safetensors file, is damaged, holds no
    /// single ViT image tower, or has a weight of a type that is no float.
    pub fn open(path: &Path) -> Result<Self, CheckpointError> {
        let read = |source| CheckpointError::Read { path: path.into(), source };
        let kind = std::fs::metadata(path).map_err(read)?;
        if kind.is_dir() {
            return Err(CheckpointError::Folder { path: path.into(), hint: folder_hint(path) });
        }
        if !kind.is_file() {
            let source = std::io::Error::other("not a regular file");
            return Err(CheckpointError::Read { path: path.into(), source });
        }
        let file = File::open(path).map_err(read)?;
        let map = if kind.len() == 0 {
            None
        } else {
            // SAFETY: the mapping is private and read-only, and views borrow it from `self`.
            // What remains is another process changing the file meanwhile: values would
            // change under us (they are plain bytes, any pattern is valid) or, if it is cut
            // short, the process gets SIGBUS, as the type's documentation says.
            Some(unsafe { memmap2::Mmap::map(&file) }.map_err(read)?)
        };
        let contents = container::read(path, map.as_deref().unwrap_or_default())?;
        let names = names::canonical(contents.tensors.keys().map(String::as_str))
            .map_err(|message| CheckpointError::NotClip { path: path.into(), message })?;
        let mut checkpoint = Self {
            path: path.into(),
            map,
            container: contents.container,
            metadata: contents.metadata,
            raw: contents.tensors,
            names,
            entries: BTreeMap::new(),
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

    /// The file's name without folder and extension, as shown to people.
    #[must_use]
    pub fn stem(&self) -> String {
        self.path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default()
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

    /// Size of the file.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.data().len() as u64
    }

    fn data(&self) -> &[u8] {
        self.map.as_deref().unwrap_or_default()
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
        let recipe = self.names.recipes.get(name)?;
        let part = |source: &str, shape: Vec<usize>| {
            let raw = self.raw.get(source)?;
            TensorView::new(*dtype, shape, Cow::Borrowed(self.data().get(raw.range.clone())?))
        };
        let own = |source: &str| part(source, self.raw.get(source)?.shape.clone());
        match recipe {
            Recipe::One(source) => part(source, shape.clone()),
            Recipe::Transposed(source) => transposed(&own(source)?),
            Recipe::Stacked([q, k, v]) => concatenate(&[own(q)?, own(k)?, own(v)?]),
        }
    }

    /// Fails when a tensor has a value that is NaN or infinite in float32,
    /// naming it. Reads the whole tensor; absent tensors pass.
    ///
    /// # Errors
    /// [`CheckpointError::Tensor`].
    pub fn check_finite(&self, name: &str) -> Result<(), CheckpointError> {
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

    /// BLAKE3 of the whole file, in hex. Reads all of it, on every core.
    ///
    /// # Errors
    /// When the file has become unreadable or has another size than when it
    /// was opened.
    pub fn hash(&self) -> Result<String, CheckpointError> {
        let read = |source| CheckpointError::Read { path: self.path.clone(), source };
        let now = std::fs::metadata(&self.path).map_err(read)?.len();
        if now != self.bytes() {
            let message = format!("it had {} bytes when opened and has {now} now", self.bytes());
            return Err(CheckpointError::Damaged { path: self.path.clone(), message });
        }
        let mut hasher = blake3::Hasher::new();
        hasher.update_rayon(self.data());
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

/// File names that hold a model's weights in a model folder, best first.
const IN_FOLDERS: [&str; 3] =
    ["open_clip_model.safetensors", "open_clip_pytorch_model.safetensors", "model.safetensors"];

fn folder_hint(folder: &Path) -> String {
    for name in IN_FOLDERS {
        let file = folder.join(name);
        if file.is_file() {
            return format!("give {}", file.display());
        }
    }
    if folder.join("model.safetensors.index.json").is_file() {
        return "its weights are sharded: save them as one safetensors file".into();
    }
    "give the safetensors file itself".into()
}
