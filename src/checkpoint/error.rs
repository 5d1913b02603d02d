//! What can be wrong with a checkpoint.

use std::fmt;
use std::path::PathBuf;

use thiserror::Error;

use super::container::Container;
use crate::plural::counted;

/// A checkpoint that cannot be used. Each message names the file, what was
/// expected, what was found and what to do.
#[derive(Debug, Error)]
pub enum CheckpointError {
    /// The file cannot be opened or read.
    #[error("cannot read the checkpoint {path}: {source}; check the path and its permissions")]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file cannot be written.
    #[error("cannot write the checkpoint {path}: {source}; check the folder and its free space")]
    Write {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A folder where a file was expected.
    #[error("{path} is a folder, expected a checkpoint file; {hint}")]
    Folder {
        /// Which folder.
        path: PathBuf,
        /// What to give instead.
        hint: String,
    },
    /// A file of another kind than those understood.
    #[error(
        "cannot open {path}: expected a checkpoint (safetensors, or of PyTorch), found {found}; {hint}"
    )]
    Container {
        /// Which file.
        path: PathBuf,
        /// What it is.
        found: String,
        /// What to do.
        hint: String,
    },
    /// A file whose header, pickle or size is wrong.
    #[error(
        "{path} cannot be read as a {container} file: {message}; copy or download it again, or \
         save it as safetensors"
    )]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// What it looks like.
        container: Container,
        /// What is wrong, with numbers.
        message: String,
    },
    /// Tensors, but not those of a ViT CLIP.
    #[error("{path} is not a ViT CLIP checkpoint: {message}")]
    NotClip {
        /// Which file.
        path: PathBuf,
        /// What was expected and what the file holds.
        message: String,
    },
    /// `FILE#PREFIX`, and there is no model under the prefix.
    #[error("{path} holds no model under `{prefix}`: {message}")]
    Prefix {
        /// Which file.
        path: PathBuf,
        /// What was asked for.
        prefix: String,
        /// Where its models are and what to write.
        message: String,
    },
    /// A tensor has a type or shape that cannot be right.
    #[error("{path}, tensor `{tensor}`: {message}")]
    Tensor {
        /// Which file.
        path: PathBuf,
        /// Canonical name.
        tensor: String,
        /// Expected, got, what to do.
        message: String,
    },
    /// Tensors are missing, left over or of the wrong shape.
    #[error("{path} does not fit {against}:{mismatch}")]
    Mismatch {
        /// The file that does not fit.
        path: PathBuf,
        /// What it was compared with.
        against: String,
        /// The lists.
        mismatch: Box<Mismatch>,
    },
    /// Tensors do not tell something and nothing else does.
    #[error("cannot tell the architecture of {path}: {message}")]
    Architecture {
        /// Which file.
        path: PathBuf,
        /// What is unknown or contradictory, and what to write in the spec.
        message: String,
    },
    /// A configuration file that cannot be used.
    #[error("model configuration {path}: {message}")]
    Config {
        /// Which file.
        path: PathBuf,
        /// What is wrong and what to do.
        message: String,
    },
    /// Two files that do not make a path.
    #[error("{zeroshot} (zero-shot) and {finetuned} (fine-tuned) make no path: {message}")]
    Pair {
        /// θ₀.
        zeroshot: PathBuf,
        /// θ₁.
        finetuned: PathBuf,
        /// What is wrong and what to do.
        message: String,
    },
    /// A value in the spec that cannot be used.
    #[error("spec field `checkpoints.{field}`: {message}")]
    Override {
        /// Which field.
        field: &'static str,
        /// Expected, got, what to do.
        message: String,
    },
}

/// How many names a message lists before it only counts.
pub const LISTED: usize = 10;

/// Tensors that do not match, by kind.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Mismatch {
    /// Expected, not there.
    pub missing: Vec<String>,
    /// There, not expected.
    pub extra: Vec<String>,
    /// There, with another shape.
    pub shapes: Vec<ShapeMismatch>,
}

/// One tensor of the wrong shape.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct ShapeMismatch {
    /// Canonical name.
    pub name: String,
    /// What the other side asks for.
    pub expected: Vec<usize>,
    /// What is there.
    pub got: Vec<usize>,
}

impl Mismatch {
    /// True when everything matches.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.missing.is_empty() && self.extra.is_empty() && self.shapes.is_empty()
    }
}

impl fmt::Display for Mismatch {
    /// One heading with its count a kind, then one line a tensor.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        list(f, "missing", &self.missing)?;
        list(f, "not expected", &self.extra)?;
        let shapes: Vec<_> = self
            .shapes
            .iter()
            .map(|s| format!("{} expected {:?}, got {:?}", s.name, s.expected, s.got))
            .collect();
        list(f, "of another shape", &shapes)
    }
}

fn list(f: &mut fmt::Formatter<'_>, what: &str, names: &[String]) -> fmt::Result {
    if names.is_empty() {
        return Ok(());
    }
    write!(f, "\n  {} {what}:", counted(names.len(), "tensor"))?;
    for name in names.iter().take(LISTED) {
        write!(f, "\n    {name}")?;
    }
    if names.len() > LISTED {
        write!(f, "\n    … and {} more", names.len() - LISTED)?;
    }
    Ok(())
}
