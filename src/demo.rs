//! The embedded demo: tiny real checkpoints and datasets inside the program,
//! unpacked once into the user's cache folder and from there on ordinary files.

use std::io;
use std::path::{Path, PathBuf};

#[cfg(feature = "demo")]
use rust_embed::RustEmbed;

/// Everything under `assets/demo` but its maker.
#[cfg(feature = "demo")]
#[derive(RustEmbed)]
#[folder = "assets/demo"]
#[exclude = "make/*"]
#[exclude = ".*"]
struct Assets;

/// The sweeps that come with the program.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Pair {
    /// Interpolation beats both ends out of distribution.
    #[default]
    Success,
    /// Failure mode: a barrier, OOD accuracy below zero-shot all along.
    Failed,
    /// Constructed: one layer trained with a 20 times larger learning rate.
    Hot,
}

impl Pair {
    /// Its spec's file name.
    #[must_use]
    pub fn spec(self) -> &'static str {
        match self {
            Self::Success => "demo.toml",
            Self::Failed => "demo-failed.toml",
            Self::Hot => "demo-hot.toml",
        }
    }
}

/// Unpacks the demo under `cache`, unless this very version is there already,
/// and gives its folder. Two programs at once do not disturb each other.
///
/// # Errors
/// When the folder cannot be written.
#[cfg(feature = "demo")]
pub fn unpack(cache: &Path) -> io::Result<PathBuf> {
    let dir = cache.join(format!("demo-{}", version()));
    if dir.is_dir() {
        return Ok(dir);
    }
    let beside = cache.join(format!(".demo-{}-{}", version(), std::process::id()));
    for name in Assets::iter() {
        let Some(file) = Assets::get(&name) else { continue };
        let path = beside.join(&*name);
        std::fs::create_dir_all(path.parent().unwrap_or(&beside))?;
        std::fs::write(path, &file.data)?;
    }
    let renamed = std::fs::rename(&beside, &dir);
    if renamed.is_err() {
        let _ = std::fs::remove_dir_all(&beside);
        // Another program was first: its files are the same.
        if !dir.is_dir() {
            renamed?;
        }
    }
    Ok(dir)
}

/// This build carries none.
///
/// # Errors
/// Always.
#[cfg(not(feature = "demo"))]
pub fn unpack(_cache: &Path) -> io::Result<PathBuf> {
    Err(io::Error::other("this build has no demo (it was built without the feature `demo`)"))
}

/// Of the assets' content, so that another version unpacks beside.
#[cfg(feature = "demo")]
fn version() -> String {
    let mut names: Vec<_> = Assets::iter().collect();
    names.sort_unstable();
    let mut hash = blake3::Hasher::new();
    for name in names {
        hash.update(name.as_bytes());
        if let Some(file) = Assets::get(&name) {
            hash.update(&file.metadata.sha256_hash());
        }
    }
    hash.finalize().to_hex()[..12].to_string()
}

#[cfg(all(test, feature = "demo"))]
mod tests {
    use super::*;
    use crate::sweep::spec::Spec;

    #[test]
    fn unpacked_once_and_every_spec_is_whole() {
        let cache = tempfile::tempdir().unwrap();
        let dir = unpack(cache.path()).unwrap();
        assert_eq!(unpack(cache.path()).unwrap(), dir);
        assert!(!dir.join("make").exists(), "the maker stays out of the program");
        for pair in [Pair::Success, Pair::Failed, Pair::Hot] {
            let path = dir.join(pair.spec());
            let spec = Spec::load(&path).unwrap();
            spec.check(&path).unwrap();
            assert!(spec.checkpoints.finetuned.is_file());
            assert!(spec.datasets.iter().all(|dataset| dataset.path.is_dir()));
        }
    }
}
