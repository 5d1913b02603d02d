//! Paths in what programs read: JSON is text, a path need not be. What of it is no
//! text is written as U+FFFD, as on the screen.

use std::path::{Path, PathBuf};

use serde::Serializer;

/// For `serialize_with`.
pub(crate) fn path<S: Serializer>(path: &Path, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&path.to_string_lossy())
}

/// The same of many.
pub(crate) fn paths<S: Serializer>(paths: &[PathBuf], to: S) -> Result<S::Ok, S::Error> {
    to.collect_seq(paths.iter().map(|path| path.to_string_lossy()))
}
