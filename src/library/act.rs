//! Renaming and deleting. Only what is surely a run is touched, only by who has
//! its lock, and symbolic links are never followed.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::sweep::journal;
use crate::sweep::lock::{Holder, Lock, LockError, Owner};

/// Why a run is left as it was.
#[derive(Debug, Error)]
pub enum ActError {
    /// There is none of this name.
    #[error("there is no run `{name}` in {runs}: `alphascope runs` lists them")]
    Unknown {
        /// What was asked for.
        name: String,
        /// Where it was looked for.
        runs: PathBuf,
    },
    /// Something else has this name.
    #[error("{path} is left alone: {why}")]
    NotARun {
        /// What it is.
        path: PathBuf,
        /// Why it is none.
        why: &'static str,
    },
    /// It is being measured.
    #[error("{path} is being measured by {holder}: stop it first")]
    Running {
        /// The run.
        path: PathBuf,
        /// Who measures it.
        holder: Box<Holder>,
    },
    /// The new name will not do.
    #[error("`{name}` cannot be a run's name: {why}")]
    Name {
        /// What was asked for.
        name: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The system said no.
    #[error("cannot {operation} {path}: {source}")]
    Io {
        /// `rename`, `delete`.
        operation: &'static str,
        /// The run.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// The run of this name: one that can be acted on.
///
/// # Errors
/// When there is none, or it is something else.
pub fn find(runs: &Path, name: &str) -> Result<PathBuf, ActError> {
    check(name)?;
    let path = runs.join(name);
    let refuse = |why| ActError::NotARun { path: path.clone(), why };
    let meta = match path.symlink_metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(ActError::Unknown { name: name.into(), runs: runs.into() });
        }
        other => other.map_err(|source| ActError::Io {
            operation: "look at",
            path: path.clone(),
            source,
        })?,
    };
    if meta.is_symlink() {
        return Err(refuse("it is a symbolic link, which is not followed"));
    }
    if !meta.is_dir() {
        return Err(refuse("it is a file"));
    }
    if !matches!(journal::header(&path), Ok(Some(_))) {
        return Err(refuse("it holds no run that can be read"));
    }
    Ok(path)
}

fn check(name: &str) -> Result<(), ActError> {
    let refuse = |why| Err(ActError::Name { name: name.into(), why });
    match name {
        "" => refuse("it is empty"),
        _ if name.contains('/') => refuse("it holds a slash"),
        _ if name.starts_with('.') => refuse("it begins with a dot"),
        _ if name.chars().any(char::is_control) => refuse("it holds a control character"),
        _ if name.len() > 200 => refuse("it has more than 200 bytes"),
        _ => Ok(()),
    }
}

/// Takes every lock of the run, as who writes it would.
fn take(path: &Path) -> Result<Vec<Lock>, ActError> {
    let io = |source| ActError::Io { operation: "lock", path: path.into(), source };
    let stems = journal::stems(path, journal::ENDING).map_err(io)?;
    stems
        .iter()
        .map(|stem| match Lock::take(path, stem) {
            Ok(lock) => Ok(lock),
            Err(LockError::Held(holder)) => Err(ActError::Running { path: path.into(), holder }),
            Err(LockError::Io(_, path, source)) => {
                Err(ActError::Io { operation: "lock", path, source })
            }
        })
        .collect()
}

/// Gives a run another name; gives its new folder.
///
/// # Errors
/// When it is no run or is being measured, or the name is taken or of no use.
pub fn rename(runs: &Path, name: &str, new: &str) -> Result<PathBuf, ActError> {
    let path = find(runs, name)?;
    check(new)?;
    if new.starts_with('-') {
        let why = "it begins with a dash, and commands would take it for an option";
        return Err(ActError::Name { name: new.into(), why });
    }
    let to = runs.join(new);
    let locks = take(&path)?;
    move_to(&path, &to).map_err(|source| match source.kind() {
        io::ErrorKind::AlreadyExists => {
            ActError::Name { name: new.into(), why: "there is one of this name" }
        }
        _ => ActError::Io { operation: "rename", path: path.clone(), source },
    })?;
    // Their records went with the folder.
    for lock in locks {
        lock.moved(&to);
    }
    Ok(to)
}

/// Never onto something that is there.
fn move_to(from: &Path, to: &Path) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    {
        use rustix::fs::{CWD, RenameFlags, renameat_with};
        use rustix::io::Errno;
        match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
            // File systems that do not know how.
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {}
            other => return other.map_err(Into::into),
        }
    }
    if to.symlink_metadata().is_ok() {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    std::fs::rename(from, to)
}

/// Deletes a run with all that is in its folder. Links in it are removed, not
/// what they point to.
///
/// # Errors
/// When it is no run or is being measured, or the system says no: then it is as
/// it was, or (where only a part could be removed) beside its place under a name
/// that begins with a dot.
pub fn delete(runs: &Path, name: &str) -> Result<(), ActError> {
    let path = find(runs, name)?;
    let locks = take(&path)?;
    let failed = |source| ActError::Io { operation: "delete", path: path.clone(), source };
    // Out of everybody's sight at once: nobody opens half a run.
    let aside = runs.join(format!(".deleted-{}", Owner::here().token));
    move_to(&path, &aside).map_err(failed)?;
    for lock in locks {
        lock.moved(&aside);
    }
    std::fs::remove_dir_all(&aside).map_err(failed)
}
