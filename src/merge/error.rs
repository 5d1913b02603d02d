//! Why a checkpoint is not written.

use std::path::PathBuf;

use thiserror::Error;

use crate::checkpoint::CheckpointError;
use crate::plural::counted;
use crate::sparsify::SparsifyError;
use crate::sweep::ids::Alpha;

/// Why nothing was written.
#[derive(Debug, Error)]
pub enum MergeError {
    /// An end cannot be used, or the file cannot be written.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// An edit cannot be made.
    #[error("cannot merge: {0}")]
    Sparsify(#[from] SparsifyError),
    /// There is something at the place of the file.
    #[error("cannot write {path}: it exists; choose another name or remove it first")]
    Exists {
        /// Which file.
        path: PathBuf,
    },
    /// The folder to write into is not there.
    #[error("cannot write {path}: {folder} is no folder; make it first")]
    Folder {
        /// Which file.
        path: PathBuf,
        /// Its folder.
        folder: PathBuf,
    },
    /// Another kind of file by its name.
    #[error(
        "cannot write {path}: expected a name that ends in .safetensors, the only kind of file \
         that is written"
    )]
    Extension {
        /// Which file.
        path: PathBuf,
    },
    /// Too little room.
    #[error(
        "cannot write {path}: expected {needed} bytes of free space, got {free}; free some, or \
         choose a smaller type"
    )]
    Space {
        /// Which file.
        path: PathBuf,
        /// Bytes of the file.
        needed: u64,
        /// Bytes that are free.
        free: u64,
    },
    /// A head that only one end stores is edited, and nothing says what the other's is.
    #[error(
        "cannot make `{tensor}` sparse: only the {with} file stores a linear head ({}), \
         and at α = {alpha} the other end's is needed: name its classes (`--head-classes FILE`, \
         one a line)",
        counted(*classes, "class")
    )]
    Head {
        /// Which tensor.
        tensor: String,
        /// The end that stores one.
        with: &'static str,
        /// Its rows.
        classes: usize,
        /// The point.
        alpha: Alpha,
    },
    /// The given zero-shot head is of another size.
    #[error(
        "cannot merge the linear heads: expected a zero-shot head of {expected} numbers (classes × \
         embedding), got {got}"
    )]
    TwinSize {
        /// Classes × embedding.
        expected: usize,
        /// What was given.
        got: usize,
    },
}
