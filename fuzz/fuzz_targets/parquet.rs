//! Parquet files.
#![no_main]

use std::sync::LazyLock;

use alphascope::dataset::Dataset;
use alphascope::sweep::spec::{DatasetSpec, Role};
use libfuzzer_sys::fuzz_target;

static FOLDER: LazyLock<tempfile::TempDir> = LazyLock::new(alphascope_fuzz::folder);

fuzz_target!(|bytes: &[u8]| {
    let path = FOLDER.path().join("0.parquet");
    std::fs::write(&path, bytes).expect("room for the file");
    if let Ok(data) = Dataset::open(&DatasetSpec::new("fuzz", Role::Id, &path)) {
        for i in 0..data.len() {
            assert!(data.label(i) < data.classes().len());
            let _ = data.bytes(i);
        }
    }
});
