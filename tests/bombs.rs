//! Parquet pages that swell when they are unpacked: refused in words, in memory
//! that the file's own size bounds. One test, because it counts the memory of
//! the whole process.
#![allow(clippy::unwrap_used)] // helpers of tests

use std::alloc::{GlobalAlloc, Layout, System};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use alphascope::dataset::Dataset;
use alphascope::sweep::spec::{DatasetSpec, Role};
use parquet::basic::{Compression, GzipLevel, ZstdLevel};
use parquet::data_type::{ByteArray, ByteArrayType, Int64Type};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;

/// Bytes given and not given back, and the most there ever were.
struct Counted;

static NOW: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

// SAFETY: the system's allocator does all of it.
unsafe impl GlobalAlloc for Counted {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let now = NOW.fetch_add(layout.size(), Ordering::SeqCst) + layout.size();
        MOST.fetch_max(now, Ordering::SeqCst);
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        NOW.fetch_sub(layout.size(), Ordering::SeqCst);
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static COUNTED: Counted = Counted;

/// Bytes of the swollen page.
const SWOLLEN: usize = 64 << 20;
/// What a liar claims instead.
const CLAIMED: i64 = 2 << 20;
/// Opening and reading may take so many bytes at once.
const ALLOWED: usize = 16 << 20;

/// One row of an image that is nothing but zeros.
fn bomb(compression: Compression) -> Vec<u8> {
    let schema = "message m { required binary image; required int64 label; }";
    let schema = Arc::new(parse_message_type(schema).unwrap());
    let properties = WriterProperties::builder()
        .set_compression(compression)
        .set_dictionary_enabled(false)
        .set_statistics_enabled(EnabledStatistics::None)
        .build();
    let mut bytes = Vec::new();
    let mut file = SerializedFileWriter::new(&mut bytes, schema, Arc::new(properties)).unwrap();
    let mut group = file.next_row_group().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    let zeros = ByteArray::from(vec![0; SWOLLEN]);
    column.typed::<ByteArrayType>().write_batch(&[zeros], None, None).unwrap();
    column.close().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    column.typed::<Int64Type>().write_batch(&[0], None, None).unwrap();
    column.close().unwrap();
    group.close().unwrap();
    file.close().unwrap();
    bytes
}

/// A size as a page's header has it.
fn written(size: i64) -> Vec<u8> {
    let mut left = (size << 1) as u64;
    let mut bytes = Vec::new();
    while left >= 0x80 {
        bytes.push(left as u8 | 0x80);
        left >>= 7;
    }
    bytes.push(left as u8);
    bytes
}

/// The same file, whose page claims less than it is.
fn lying(honest: &[u8]) -> Vec<u8> {
    // An image has its length in front, in four bytes.
    let (truth, lie) = (written(SWOLLEN as i64 + 4), written(CLAIMED));
    assert_eq!(truth.len(), lie.len());
    let at = honest.windows(truth.len()).position(|it| it == truth).unwrap();
    let mut bytes = honest.to_vec();
    bytes[at..at + lie.len()].copy_from_slice(&lie);
    bytes
}

/// What opening and reading the image says, and the most bytes it took.
fn read(path: &Path) -> (String, usize) {
    let before = NOW.load(Ordering::SeqCst);
    MOST.store(before, Ordering::SeqCst);
    let opened = Dataset::open(&DatasetSpec::new("test", Role::Id, path));
    let error = opened.and_then(|data| data.bytes(0)).unwrap_err();
    (error.to_string(), MOST.load(Ordering::SeqCst) - before)
}

#[test]
fn pages_that_swell_are_refused_in_little_memory() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bomb.parquet");
    let kinds = [
        (Compression::ZSTD(ZstdLevel::default()), "too small"),
        (Compression::SNAPPY, "smaller than required"),
        (Compression::GZIP(GzipLevel::default()), "more than the 2097152 bytes it claims"),
    ];
    for (compression, lie) in kinds {
        let honest = bomb(compression);
        // Snappy cannot swell that much: an honest page of it is what the file pays for.
        if compression != Compression::SNAPPY {
            std::fs::write(&path, &honest).unwrap();
            let (said, most) = read(&path);
            assert!(said.contains("no images are packed so"), "{compression}: {said}");
            assert!(most < ALLOWED, "{compression}: {most} bytes");
        }
        std::fs::write(&path, lying(&honest)).unwrap();
        let (said, most) = read(&path);
        assert!(said.contains(lie) && said.contains("bomb.parquet"), "{compression}: {said}");
        assert!(most < ALLOWED, "{compression}: {most} bytes");
    }
}
