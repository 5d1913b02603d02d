//! Where a run's socket is: in its folder, or, where the path is too long or the
//! file system has no sockets, in this user's folder for such things.

use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::own;
use crate::sweep::{journal, lock};

/// Prefix of a socket's name in a run folder.
const NAME: &str = "control";
/// Ending of a socket's name.
const ENDING: &str = ".sock";

/// Name of the socket of the journal `stem` (as `events`).
fn name(stem: &str) -> String {
    format!("{}{ENDING}", stem.replacen(journal::STEM, NAME, 1))
}

/// Whether a file of a run folder is a socket, by its name.
pub(crate) fn is_socket(name: &str) -> bool {
    name.starts_with(NAME) && name.ends_with(ENDING)
}

/// Where the socket of this journal should be.
pub(super) fn in_run(dir: &Path, stem: &str) -> PathBuf {
    dir.join(name(stem))
}

/// Where it is otherwise: the folder is made where it is missing.
///
/// # Errors
/// When there is none that is this user's alone.
pub(super) fn in_runtime(dir: &Path, stem: &str) -> io::Result<PathBuf> {
    let mut last = io::Error::other("this system names no folder for sockets");
    for folder in folders() {
        match make(&folder) {
            Ok(()) => return Ok(folder.join(hashed(dir, stem)?)),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Every place where a socket of the run in `dir` may be.
pub(super) fn all(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let sockets = entries.filter(|entry| is_socket(&entry.file_name().to_string_lossy()));
    let mut found: Vec<PathBuf> = sockets.map(|entry| entry.path()).collect();
    for stem in journal::stems(dir, lock::RECORD).unwrap_or_default() {
        let Ok(name) = hashed(dir, &stem) else { continue };
        found.extend(folders().into_iter().map(|folder| folder.join(&name)));
    }
    found.retain(|path| path.symlink_metadata().is_ok());
    found
}

/// By the run's path, so that whoever names the run finds it.
fn hashed(dir: &Path, stem: &str) -> io::Result<String> {
    use std::os::unix::ffi::OsStrExt;
    let dir = std::fs::canonicalize(dir)?;
    let hash = blake3::hash(dir.as_os_str().as_bytes()).to_hex();
    Ok(format!("{}.{}", &hash[..16], name(stem)))
}

/// Best first.
fn folders() -> Vec<PathBuf> {
    let session = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    let session = session.filter(|dir| dir.is_absolute() && is_ours(dir));
    let shared = std::env::temp_dir().join(format!("alphascope-{}", own()));
    session.map(|dir| dir.join("alphascope")).into_iter().chain([shared]).collect()
}

fn is_ours(dir: &Path) -> bool {
    dir.symlink_metadata().is_ok_and(|it| it.is_dir() && it.uid() == own())
}

/// Makes the folder; refuses one that others could change.
fn make(folder: &Path) -> io::Result<()> {
    match std::fs::DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    let it = folder.symlink_metadata()?;
    if it.is_dir() && it.uid() == own() && it.permissions().mode() & 0o077 == 0 {
        return Ok(());
    }
    let text = format!("{} is not a folder of this user alone (mode 0700)", folder.display());
    Err(io::Error::other(text))
}
