//! Decoded pixels on disk, for the next run: one file an image, named by a hash
//! of the encoded bytes and of everything that is done to them.
//!
//! A file is written beside and renamed, so that any number of runs may fill the
//! same folder at once; it ends with a checksum, so that one that was torn by a
//! power cut counts as absent. Pixels are read in place, through a mapping: a
//! file is never changed after it has its name, only unlinked or replaced, and
//! what is mapped outlives that. When the folder grows over its limit the oldest
//! files go. Nothing here is an error: without the folder images are decoded.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::SystemTime;

use super::Crop;
use crate::mapped::Mapped;

/// Bytes of the checksum at a file's end.
const CHECK: usize = blake3::OUT_LEN;

/// What is kept of the limit when the folder is over it.
const KEPT_PERCENT: u64 = 80;

/// Files mapped at once; further ones are copied. Linux allows a program 65,530
/// mappings, and the memory of libtorch is made of them too.
const MOST_MAPPED: usize = 1 << 14;

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
    /// Why nothing more is written, until it was told.
    remark: Mutex<Option<String>>,
    /// Files mapped right now.
    mapped: Arc<AtomicUsize>,
    /// How many may be: none where a mapping would not outlive its file.
    most_mapped: OnceLock<usize>,
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
        Self {
            dir,
            limit,
            used: Mutex::new(Used::Unknown),
            remark: Mutex::default(),
            mapped: Arc::default(),
            most_mapped: OnceLock::new(),
        }
    }

    fn path(&self, key: Key) -> PathBuf {
        let hex = key.0.to_hex();
        self.dir.join(&hex[..2]).join(&hex[2..])
    }

    /// The pixels, when they are there whole: `bytes` of them.
    pub(super) fn get(&self, key: Key, bytes: usize) -> Option<Crop> {
        let map = Mapped::open(&self.path(key)).ok()?;
        // The length first: beyond the end of a torn file there is nothing to read.
        if map.len() != bytes + CHECK {
            return None;
        }
        let (pixels, check) = map.split_at(bytes);
        if blake3::hash(pixels).as_bytes()[..] != check[..] {
            return None;
        }
        let most = || if keeps_unlinked(&self.dir) { MOST_MAPPED } else { 0 };
        Some(Crop::kept(map, bytes, &self.mapped, *self.most_mapped.get_or_init(most)))
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
            let text = format!(
                "cannot write {}: {error}: decoded images are not kept there, and are decoded \
                 again when they are needed",
                self.dir.display()
            );
            tracing::warn!("{text}");
            *self.remark.lock().unwrap_or_else(PoisonError::into_inner) = Some(text);
            *self.used.lock().unwrap_or_else(PoisonError::into_inner) = Used::Closed;
        }
    }

    /// Why nothing more is written; told once.
    pub(super) fn remark(&self) -> Option<String> {
        self.remark.lock().unwrap_or_else(PoisonError::into_inner).take()
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

/// Whether a mapped file stays readable after any program on any machine has
/// unlinked it. A network's file system forgets it instead, and reading on would
/// be SIGBUS: cache folders often lie on one, in a home shared by many machines.
#[cfg(target_os = "linux")]
fn keeps_unlinked(dir: &Path) -> bool {
    /// ext2 to ext4, XFS, Btrfs, tmpfs, overlay, ZFS, F2FS, bcachefs: as `statfs` names them.
    const LOCAL: [u64; 8] = [
        0xef53,
        0x5846_5342,
        0x9123_683e,
        0x0102_1994,
        0x794c_7630,
        0x2fc1_2fc1,
        0xf2f5_2010,
        0xca45_1a4e,
    ];
    rustix::fs::statfs(dir).is_ok_and(|found| LOCAL.contains(&(found.f_type as u64)))
}

/// Not known here: nothing stays mapped.
#[cfg(not(target_os = "linux"))]
fn keeps_unlinked(_: &Path) -> bool {
    false
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

    fn found(disk: &Disk, key: Key, bytes: usize) -> Option<Vec<u8>> {
        disk.get(key, bytes).map(|crop| crop.to_vec())
    }

    #[test]
    fn what_is_kept_is_found_by_content_and_by_what_is_done() {
        let dir = tempfile::tempdir().unwrap();
        let disk = Disk::new(dir.path().join("pixels"), 1 << 20);
        let key = Key::new(b"jpeg", "clip 2");
        assert_eq!(found(&disk, key, 12), None);
        disk.put(key, &[7; 12]);
        let again = Disk::new(dir.path().join("pixels"), 1 << 20);
        assert_eq!(found(&again, key, 12), Some(vec![7; 12]));
        assert_eq!(found(&again, key, 27), None, "of another size");
        assert_eq!(found(&again, Key::new(b"jpeg", "clip 3"), 12), None);
        assert_eq!(found(&again, Key::new(b"jpeG", "clip 2"), 12), None);
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
            assert_eq!(found(&disk, key, 30), None);
        }
        let mut flipped = whole;
        flipped[3] ^= 1;
        fs::write(disk.path(key), flipped).unwrap();
        assert_eq!(found(&disk, key, 30), None);
        disk.put(key, &[1; 30]);
        assert_eq!(found(&disk, key, 30), Some(vec![1; 30]));
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
            assert_eq!(
                found(&disk, Key::new(&[run, 19], ""), 68),
                Some(vec![19; 68]),
                "the newest"
            );
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
                        assert_eq!(found(disk, key, 64), Some(vec![i % 10; 64]));
                    }
                });
            }
        });
        assert_eq!(files(dir.path()).len(), 10);
    }

    /// A disk that may keep files mapped, wherever the tests run.
    fn mapping(dir: &Path, limit: u64, most: usize) -> Disk {
        let disk = Disk::new(dir.into(), limit);
        disk.most_mapped.set(most).unwrap();
        disk
    }

    #[test]
    fn what_is_mapped_outlives_its_file() {
        let dir = tempfile::tempdir().unwrap();
        let disk = mapping(dir.path(), 100_000, 100);
        let key = |i: u8| Key::new(&[i], "");
        let pixels = |i: u8| vec![i; 20_000];
        (0..4).for_each(|i| disk.put(key(i), &pixels(i)));
        let held: Vec<Crop> = (0..4).map(|i| disk.get(key(i), 20_000).unwrap()).collect();
        assert!(held.iter().all(Crop::is_mapped));
        // Another run over the limit deletes them, a third one writes one anew.
        let other = mapping(dir.path(), 100_000, 100);
        (10..20).for_each(|i| other.put(key(i), &pixels(i)));
        assert!((0..4).all(|i| !disk.path(key(i)).exists()));
        other.put(key(2), &pixels(99));
        for (i, crop) in (0..).zip(&held) {
            assert_eq!(crop[..], pixels(i)[..]);
        }
        assert_eq!(found(&disk, key(2), 20_000), Some(pixels(99)), "the new one");
    }

    #[test]
    fn so_many_are_mapped_and_the_rest_copied() {
        let dir = tempfile::tempdir().unwrap();
        let disk = mapping(dir.path(), 1 << 20, 2);
        let key = Key::new(b"x", "y");
        disk.put(key, &[5; 300]);
        let get = || disk.get(key, 300).unwrap();
        let mut held = [get(), get(), get()];
        assert_eq!(held.each_ref().map(Crop::is_mapped), [true, true, false]);
        assert!(held.iter().all(|crop| crop[..] == [5; 300]));
        // One that is given back makes room; a clone counts once.
        let clone = held[0].clone();
        held[0] = Crop::from(vec![]);
        assert!(!get().is_mapped());
        drop(clone);
        assert!(get().is_mapped());
    }

    #[test]
    fn builders_at_once_leave_one_whole_file() {
        let dir = tempfile::tempdir().unwrap();
        let key = Key::new(b"same", "image");
        let start = std::sync::Barrier::new(4);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let disk = mapping(dir.path(), 1 << 20, 1000);
                    start.wait();
                    let mut held = Vec::new();
                    for _ in 0..20 {
                        disk.put(key, &[3; 16_000]);
                        // Never half of it, whoever is writing.
                        held.push(disk.get(key, 16_000).unwrap());
                    }
                    assert!(held.iter().all(|crop| crop[..] == [3; 16_000]));
                });
            }
        });
        let left = files(dir.path());
        assert_eq!(left.iter().map(|file| file.bytes).collect::<Vec<_>>(), [16_032]);
    }

    #[test]
    fn a_folder_that_cannot_be_written_only_costs_the_keeping() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "").unwrap();
        let disk = Disk::new(file, 1 << 20);
        let key = Key::new(b"x", "y");
        disk.put(key, &[1; 30]);
        assert_eq!(found(&disk, key, 30), None);
        assert!(matches!(*disk.used.lock().unwrap(), Used::Closed));
        let told = disk.remark().unwrap();
        assert!(told.contains("decoded images are not kept"), "{told}");
        assert_eq!(disk.remark(), None, "told once");
    }
}
