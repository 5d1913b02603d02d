//! Decoded pixels on disk, for the next run: one file an image, named by a hash
//! of the encoded bytes and of everything that is done to them.
//!
//! A file is written beside and renamed, so that any number of runs may fill the
//! same folder at once; it ends with a checksum, so that one that was torn by a
//! power cut counts as absent. When the folder grows over its limit the oldest
//! files go. Nothing here is an error: without the folder images are decoded.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

/// Bytes of the checksum at a file's end.
const CHECK: usize = blake3::OUT_LEN;

/// What is kept of the limit when the folder is over it.
const KEPT_PERCENT: u64 = 80;

/// Names the files being written, within this process.
static WRITTEN: AtomicU64 = AtomicU64::new(0);

/// A folder of decoded images.
#[derive(Debug)]
pub(super) struct Disk {
    dir: PathBuf,
    limit: u64,
    /// Bytes in the folder as far as this process knows; `None` before it
    /// looked, or after it could not write.
    used: Mutex<Used>,
}

#[derive(Clone, Copy, Debug)]
enum Used {
    Unknown,
    Bytes(u64),
    /// The folder cannot be written: it is only read.
    Closed,
}

/// What a decoded image is found by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Key(blake3::Hash);

impl Key {
    /// Of an encoded image, and a name of what is done to it.
    pub(super) fn new(encoded: &[u8], doing: &str) -> Self {
        let mut hash = blake3::Hasher::new_derive_key("alphascope 2026-11 pixels v1");
        hash.update(&(doing.len() as u64).to_le_bytes()).update(doing.as_bytes()).update(encoded);
        Self(hash.finalize())
    }
}

impl Disk {
    /// Keeps images in `dir`, at most about `limit` bytes.
    pub(super) fn new(dir: PathBuf, limit: u64) -> Self {
        Self { dir, limit, used: Mutex::new(Used::Unknown) }
    }

    fn path(&self, key: Key) -> PathBuf {
        let hex = key.0.to_hex();
        self.dir.join(&hex[..2]).join(&hex[2..])
    }

    /// The pixels, when they are there whole: `bytes` of them.
    pub(super) fn get(&self, key: Key, bytes: usize) -> Option<Vec<u8>> {
        let mut file = fs::read(self.path(key)).ok()?;
        let check = (file.len() == bytes + CHECK).then(|| file.split_off(bytes))?;
        (blake3::hash(&file).as_bytes()[..] == check[..]).then_some(file)
    }

    /// Keeps pixels. After the first time that it cannot, nothing is written.
    pub(super) fn put(&self, key: Key, pixels: &[u8]) {
        let size = (pixels.len() + CHECK) as u64;
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes = match *used {
            Used::Closed => return,
            Used::Bytes(bytes) => bytes,
            Used::Unknown => files(&self.dir).iter().map(|file| file.bytes).sum(),
        };
        let bytes = if bytes + size > self.limit { self.forget_oldest() } else { bytes };
        // Counted before it is written: other threads write meanwhile.
        *used = if size > self.limit { Used::Closed } else { Used::Bytes(bytes + size) };
        drop(used);
        if size > self.limit {
            return;
        }
        if let Err(error) = self.write(key, pixels) {
            tracing::warn!("{}: decoded images are not kept: {error}", self.dir.display());
            *self.used.lock().unwrap_or_else(PoisonError::into_inner) = Used::Closed;
        }
    }

    fn write(&self, key: Key, pixels: &[u8]) -> io::Result<()> {
        let path = self.path(key);
        let folder = path.parent().unwrap_or(&self.dir);
        fs::create_dir_all(folder)?;
        let number = WRITTEN.fetch_add(1, Ordering::Relaxed);
        let beside = folder.join(format!(".{}-{number}", std::process::id()));
        let whole = [pixels, blake3::hash(pixels).as_bytes()].concat();
        let written = fs::write(&beside, whole).and_then(|()| fs::rename(&beside, &path));
        if written.is_err() {
            let _ = fs::remove_file(&beside);
        }
        written
    }

    /// Deletes the oldest files until there is room again; the bytes left.
    fn forget_oldest(&self) -> u64 {
        let mut all = files(&self.dir);
        all.sort_by_key(|file| file.written);
        let mut left: u64 = all.iter().map(|file| file.bytes).sum();
        for file in all {
            if left <= self.limit / 100 * KEPT_PERCENT {
                break;
            }
            // Another run may have been first.
            let _ = fs::remove_file(&file.path);
            left = left.saturating_sub(file.bytes);
        }
        left
    }
}

struct Kept {
    path: PathBuf,
    bytes: u64,
    written: SystemTime,
}

/// Every file of the folder; none where it cannot be read.
fn files(dir: &Path) -> Vec<Kept> {
    let list = |dir: &Path| fs::read_dir(dir).into_iter().flatten().flatten();
    list(dir)
        .flat_map(|folder| list(&folder.path()).collect::<Vec<_>>())
        .filter_map(|entry| {
            let meta = entry.metadata().ok()?;
            let written = meta.modified().unwrap_or(SystemTime::UNIX_EPOCH);
            Some(Kept { path: entry.path(), bytes: meta.len(), written })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_found_by_content_and_by_what_is_done() {
        let dir = tempfile::tempdir().unwrap();
        let disk = Disk::new(dir.path().join("pixels"), 1 << 20);
        let key = Key::new(b"jpeg", "clip 2");
        assert_eq!(disk.get(key, 12), None);
        disk.put(key, &[7; 12]);
        let again = Disk::new(dir.path().join("pixels"), 1 << 20);
        assert_eq!(again.get(key, 12), Some(vec![7; 12]));
        assert_eq!(again.get(key, 27), None, "of another size");
        assert_eq!(again.get(Key::new(b"jpeg", "clip 3"), 12), None);
        assert_eq!(again.get(Key::new(b"jpeG", "clip 2"), 12), None);
    }

    #[test]
    fn a_damaged_file_counts_as_absent_and_is_written_again() {
        let dir = tempfile::tempdir().unwrap();
        let disk = Disk::new(dir.path().into(), 1 << 20);
        let key = Key::new(b"x", "y");
        disk.put(key, &[1; 30]);
        let whole = fs::read(disk.path(key)).unwrap();
        for cut in 0..whole.len() {
            fs::write(disk.path(key), &whole[..cut]).unwrap();
            assert_eq!(disk.get(key, 30), None);
        }
        let mut flipped = whole;
        flipped[3] ^= 1;
        fs::write(disk.path(key), flipped).unwrap();
        assert_eq!(disk.get(key, 30), None);
        disk.put(key, &[1; 30]);
        assert_eq!(disk.get(key, 30), Some(vec![1; 30]));
    }

    #[test]
    fn the_limit_holds_whoever_wrote() {
        let dir = tempfile::tempdir().unwrap();
        let total = || files(dir.path()).iter().map(|file| file.bytes).sum::<u64>();
        for run in 0..3_u8 {
            let disk = Disk::new(dir.path().into(), 1000);
            for i in 0..20_u8 {
                disk.put(Key::new(&[run, i], ""), &[i; 68]);
                assert!(total() <= 1000);
            }
            assert_eq!(disk.get(Key::new(&[run, 19], ""), 68), Some(vec![19; 68]), "the newest");
        }
        assert!(total() >= 700);
    }

    #[test]
    fn threads_and_runs_fill_one_folder_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let disks = [0, 1].map(|_| Disk::new(dir.path().into(), 1 << 20));
        std::thread::scope(|scope| {
            for turn in 0..4_usize {
                let disk = &disks[turn % 2];
                scope.spawn(move || {
                    for i in 0..50_u8 {
                        let key = Key::new(&[i % 10], "");
                        disk.put(key, &[i % 10; 64]);
                        assert_eq!(disk.get(key, 64), Some(vec![i % 10; 64]));
                    }
                });
            }
        });
        assert_eq!(files(dir.path()).len(), 10);
    }

    #[test]
    fn a_folder_that_cannot_be_written_only_costs_the_keeping() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "").unwrap();
        let disk = Disk::new(file, 1 << 20);
        let key = Key::new(b"x", "y");
        disk.put(key, &[1; 30]);
        assert_eq!(disk.get(key, 30), None);
        assert!(matches!(*disk.used.lock().unwrap(), Used::Closed));
    }
}
