//! Files read through the page cache, in place. The only mapping of the crate.

use std::fs::File;
use std::io;
use std::ops::Deref;
use std::path::Path;

/// Bytes around one that is read which the system may map with it: `fault_around_bytes` of Linux is
/// 64 KiB, but where its cache holds larger pieces it maps more.
const AROUND: usize = 1 << 19;

/// A whole file, mapped: reading it costs no copy, and its pages are shared by
/// all programs that read it.
///
/// It keeps its bytes when the file is unlinked or another is renamed over it
/// (on a local file system). A file that is *cut short* while it is mapped ends
/// the program with SIGBUS: map only what is never written in place.
#[derive(Debug)]
pub(crate) struct Mapped {
    /// `None` where the file is empty: no length of zero can be mapped.
    map: Option<memmap2::Mmap>,
}

impl Mapped {
    /// Maps the file as it is now.
    ///
    /// # Errors
    /// What the system says when it cannot be opened or mapped.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let map = if file.metadata()?.len() == 0 {
            None
        } else {
            // SAFETY: the mapping is read-only, nothing here writes to a mapped file, and every
            // slice borrows from the mapping. What remains is another process that changes the
            // file meanwhile: then bytes change under us (plain bytes, any pattern is valid), or,
            // if it is cut short, the process gets SIGBUS, as the type's documentation says.
            Some(unsafe { memmap2::Mmap::map(&file) }?)
        };
        Ok(Self { map })
    }

    /// Lets bytes of this file leave the process's memory; they are read again when they are asked
    /// for. Does nothing with bytes from elsewhere.
    pub(crate) fn forget(&self, bytes: &[u8]) {
        let Some(map) = &self.map else { return };
        let start = bytes.as_ptr().addr().wrapping_sub(map.as_ptr().addr());
        let Some(end) = start.checked_add(bytes.len()).filter(|&end| end <= map.len()) else {
            return;
        };
        let start = start.saturating_sub(AROUND);
        let length = (end + AROUND).min(map.len()) - start;
        // SAFETY: nothing writes to the mapping, so each page is the file's again when it is read
        // next. A system that refuses keeps them.
        let _ = unsafe {
            map.unchecked_advise_range(memmap2::UncheckedAdvice::DontNeed, start, length)
        };
    }
}

impl Deref for Mapped {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.map.as_deref().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_forgotten_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let bytes: Vec<u8> = (0..50_000_u32).flat_map(u32::to_le_bytes).collect();
        std::fs::write(&path, &bytes).unwrap();
        let map = Mapped::open(&path).unwrap();
        assert_eq!(*map, *bytes);
        map.forget(&map[5_000..120_001]);
        map.forget(&bytes);
        map.forget(&map[200_000..]);
        assert_eq!(*map, *bytes);
    }
}
