//! Files read through the page cache, in place. The only mapping of the crate.

use std::fs::File;
use std::io;
use std::ops::Deref;
use std::path::Path;

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
}

impl Deref for Mapped {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.map.as_deref().unwrap_or_default()
    }
}
