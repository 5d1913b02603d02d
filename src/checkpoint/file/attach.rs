//! A linear head that is a file of its own, as task_vectors keeps them.

use std::path::Path;

use super::{Checkpoint, Source};
use crate::checkpoint::container;
use crate::checkpoint::error::CheckpointError;
use crate::checkpoint::names::{HEAD_BIAS, HEAD_WEIGHT, Recipe};

/// What such files call weight and bias, by what stands before.
const PREFIXES: [&str; 3] = ["", "classification_head.", "head."];

impl Checkpoint {
    /// Takes the linear head of another file, as if it were stored in this one.
    /// The file counts in [`Self::hash`] then.
    ///
    /// # Errors
    /// When the file cannot be opened, or holds no linear head.
    pub(in crate::checkpoint) fn attach_head(
        &mut self,
        path: &Path,
    ) -> Result<(), CheckpointError> {
        let read = |source| CheckpointError::Read { path: path.into(), source };
        if !std::fs::metadata(path).map_err(read)?.is_file() {
            return Err(read(std::io::Error::other("not a regular file")));
        }
        let source = Source::open(path)?;
        let mut tensors = container::read(path, &source.map)?.tensors;
        let prefix = PREFIXES.into_iter().find(|prefix| {
            tensors.get(&format!("{prefix}weight")).is_some_and(|head| head.shape.len() == 2)
        });
        let Some(prefix) = prefix else {
            return Err(CheckpointError::Tensor {
                path: path.into(),
                tensor: "weight".into(),
                message: format!(
                    "expected a linear head, `weight` of shape [classes, embedding]; got {} other \
                     tensors",
                    tensors.len()
                ),
            });
        };
        let file = self.sources.len();
        self.sources.push(source);
        for (part, canonical) in [("weight", HEAD_WEIGHT), ("bias", HEAD_BIAS)] {
            let Some(mut tensor) = tensors.remove(&format!("{prefix}{part}")) else { continue };
            tensor.file = file;
            let source = format!("{}: {prefix}{part}", path.display());
            self.raw.insert(source.clone(), tensor);
            let recipe = Recipe::One(source);
            let entry = self.entry(canonical, &recipe)?;
            self.names.recipes.insert(canonical.into(), recipe);
            self.entries.insert(canonical.into(), entry);
        }
        Ok(())
    }
}
