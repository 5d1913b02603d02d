//! Plain files alone are read: to open a pipe is to wait for a writer, a device
//! may never end, and what is meant for people is small.

use std::fs::{File, OpenOptions};
use std::io::{Error, ErrorKind, Read, Result};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Bytes of a text at most that a person, or this program, writes by hand: specs,
/// choices, lists of names.
pub(crate) const TEXT: u64 = 64 << 20;

/// Says no to what is there and is no plain file, links followed.
///
/// # Errors
/// Where something else has the name, or the system says no.
pub(crate) fn check(path: &Path) -> Result<()> {
    match std::fs::metadata(path) {
        Ok(it) if it.is_file() => Ok(()),
        Ok(_) => Err(Error::new(
            ErrorKind::InvalidInput,
            "expected a file, got a pipe, socket, device or folder of that name; remove it or \
             give another path",
        )),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// Opens a plain file to be read; never waits.
///
/// # Errors
/// As [`check`], and where there is none.
pub(crate) fn open(path: &Path) -> Result<File> {
    check(path)?;
    // It may have become a pipe since.
    let flags = rustix::fs::OFlags::NONBLOCK.bits();
    OpenOptions::new().read(true).custom_flags(flags.cast_signed()).open(path)
}

/// The bytes of a plain file, `most` at most.
///
/// # Errors
/// As [`open`], and where it is larger.
pub(crate) fn read(path: &Path, most: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open(path)?.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        let text = format!("expected at most {most} bytes, got more");
        return Err(Error::new(ErrorKind::FileTooLarge, text));
    }
    Ok(bytes)
}

/// The same as text.
///
/// # Errors
/// As [`read`], and where it is not UTF-8.
pub(crate) fn text(path: &Path) -> Result<String> {
    let bytes = read(path, TEXT)?;
    String::from_utf8(bytes).map_err(|_| {
        Error::new(ErrorKind::InvalidData, "expected text in UTF-8, got bytes that are none")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_never_ends_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
        assert!(made.success());
        for path in [pipe.as_path(), Path::new("/dev/zero"), folder.path()] {
            let error = read(path, 10).unwrap_err().to_string();
            assert!(error.contains("expected a file"), "{}: {error}", path.display());
        }
        let file = folder.path().join("file");
        std::fs::write(&file, "0123456789").unwrap();
        assert_eq!(read(&file, 10).unwrap(), b"0123456789");
        assert!(read(&file, 9).unwrap_err().to_string().contains("at most 9 bytes"));
        let error = open(&folder.path().join("none")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
    }
}
