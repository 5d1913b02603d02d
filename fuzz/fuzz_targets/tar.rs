//! WebDataset shards.
#![no_main]

use std::sync::LazyLock;

use alphascope::dataset::Dataset;
use alphascope::sweep::spec::{DatasetSpec, Role};
use libfuzzer_sys::fuzz_target;

static FOLDER: LazyLock<tempfile::TempDir> = LazyLock::new(|| {
    let folder = alphascope_fuzz::folder();
    std::fs::write(folder.path().join("classnames.txt"), "cat\nred fox\n").expect("class names");
    folder
});

fuzz_target!(|bytes: &[u8]| {
    let path = FOLDER.path().join("0.tar");
    std::fs::write(&path, bytes).expect("room for the shard");
    if let Ok(data) = Dataset::open(&DatasetSpec::new("fuzz", Role::Id, &path)) {
        for i in 0..data.len() {
            assert!(data.label(i) < 2);
            assert!(data.key(i).split('/').all(|part| part != ".."));
            let _ = data.bytes(i);
        }
    }
});
