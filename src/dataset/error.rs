//! What can be wrong with a dataset.

use std::fs::File;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// A dataset that cannot be used. The message names the file, what was
/// expected, what was got and what to do.
#[derive(Debug, Error)]
pub enum DatasetError {
    /// A file or folder cannot be read.
    #[error("cannot read {path}: {source}; check that it exists and may be read")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The path is none of the layouts.
    #[error("{path}: {message}")]
    Layout {
        /// The dataset's path.
        path: PathBuf,
        /// Expected, got, what to do.
        message: String,
    },
    /// A shard is not a whole tar file.
    #[error("shard {path}: {message}; copy or download it again")]
    Shard {
        /// The tar file.
        path: PathBuf,
        /// Expected and got.
        message: String,
    },
    /// A sample that has no usable label, or is there twice.
    #[error("{path}, sample `{key}`: {message}")]
    Sample {
        /// The shard or folder it is in.
        path: PathBuf,
        /// Its name, without extension.
        key: String,
        /// Expected, got, what to do.
        message: String,
    },
    /// Class names or templates that do not fit.
    #[error("{path}, line {line}: {message}")]
    Line {
        /// The text file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// Expected, got, what to do.
        message: String,
    },
    /// Images that cannot be decoded, by name.
    #[error(
        "dataset `{dataset}`: {} cannot be decoded: {}; repair or remove them, or leave them out by `unreadable = \"skip\"` in the dataset's section; either makes it another dataset, so measure it in a new run folder: a run with the old one cannot be resumed with it",
        counted(failed.len(), *tried, *images),
        first_few(failed)
    )]
    Unreadable {
        /// The dataset's name.
        dataset: String,
        /// Key and reason of each.
        failed: Vec<(String, String)>,
        /// Of so many that were tried.
        tried: usize,
        /// Of so many that there are.
        images: usize,
    },
}

/// `7 of the 20 images`; of a part also what finds the rest.
fn counted(failed: usize, tried: usize, images: usize) -> String {
    if tried < images {
        format!(
            "at least {failed} of the {images} images ({tried} were tried; `alphascope data --every` tries all)"
        )
    } else {
        format!("{failed} of the {images} images")
    }
}

/// The first ten failures, and how many more there are.
fn first_few(failed: &[(String, String)]) -> String {
    let each = failed.iter().map(|(key, why)| format!("`{key}` ({why})"));
    first(each, failed.len(), NAMED)
}

/// So many images that cannot be read are named in one message.
pub(crate) const NAMED: usize = 10;

/// The first `shown` of `all` texts, and how many more there are.
pub(crate) fn first(texts: impl Iterator<Item = String>, all: usize, shown: usize) -> String {
    let mut text = texts.take(shown).collect::<Vec<_>>().join(", ");
    if all > shown {
        text.push_str(&format!(", … and {} more", all - shown));
    }
    text
}

/// Opens a file of a dataset. A pipe is refused: to open it is to wait for a writer.
pub(crate) fn open_file(path: &Path) -> Result<File, DatasetError> {
    crate::regular::open(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::InvalidInput => DatasetError::layout(path, error.to_string()),
        _ => DatasetError::read(path)(error),
    })
}

impl DatasetError {
    /// For `map_err` on file operations.
    pub(crate) fn read(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Read { path, source }
    }

    pub(crate) fn layout(path: impl Into<PathBuf>, message: impl Into<String>) -> Self {
        Self::Layout { path: path.into(), message: message.into() }
    }

    pub(crate) fn shard(path: impl Into<PathBuf>, message: impl Into<String>) -> Self {
        Self::Shard { path: path.into(), message: message.into() }
    }

    pub(crate) fn sample(
        path: impl Into<PathBuf>,
        key: impl Into<String>,
        message: impl Into<String>,
    ) -> Self {
        Self::Sample { path: path.into(), key: key.into(), message: message.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_images_are_named_and_the_others_counted() {
        let said = |n: usize, tried: usize| {
            let failed = (0..n).map(|i| (format!("a/{i:02}.png"), "why".into())).collect();
            let dataset = "set".into();
            DatasetError::Unreadable { dataset, failed, tried, images: 40 }.to_string()
        };
        let two = said(2, 40);
        let want = "dataset `set`: 2 of the 40 images cannot be decoded: `a/00.png` (why), \
                    `a/01.png` (why); repair";
        assert!(two.starts_with(want), "{two}");
        let many = said(12, 40);
        assert!(many.contains("`a/09.png` (why), … and 2 more; repair"), "{many}");
        assert!(said(2, 30).contains("at least 2 of the 40 images (30 were tried;"));
    }
}
