//! One decoded image.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::mapped::Mapped;

/// A decoded image as a model takes it: RGB, 8 bits, shape \[size, size, 3\].
/// Derefs to its bytes; a clone shares them.
#[derive(Clone)]
pub struct Crop(Pixels);

#[derive(Clone)]
enum Pixels {
    /// Decoded by this program.
    Here(Arc<[u8]>),
    /// In a file of the cache folder.
    Kept(Arc<Kept>),
}

/// The first bytes of a mapped file.
struct Kept {
    map: Mapped,
    bytes: usize,
    /// Counts what is mapped; this one gives itself back.
    mapped: Arc<AtomicUsize>,
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.mapped.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Crop {
    /// The first `bytes` of a mapped file, read in place while no more than
    /// `most` are mapped (counted in `mapped`), else copied.
    pub(super) fn kept(map: Mapped, bytes: usize, mapped: &Arc<AtomicUsize>, most: usize) -> Self {
        let one_more = |now: usize| (now < most).then_some(now + 1);
        if mapped.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).is_err() {
            return Self(Pixels::Here(map.iter().copied().take(bytes).collect()));
        }
        Self(Pixels::Kept(Arc::new(Kept { map, bytes, mapped: Arc::clone(mapped) })))
    }

    #[cfg(test)]
    pub(super) fn is_mapped(&self) -> bool {
        matches!(self.0, Pixels::Kept(_))
    }
}

impl From<Vec<u8>> for Crop {
    fn from(pixels: Vec<u8>) -> Self {
        Self(Pixels::Here(pixels.into()))
    }
}

impl Deref for Crop {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            Pixels::Here(pixels) => pixels,
            Pixels::Kept(kept) => kept.map.get(..kept.bytes).unwrap_or_default(),
        }
    }
}

impl AsRef<[u8]> for Crop {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl fmt::Debug for Crop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Crop({} bytes)", self.len())
    }
}
