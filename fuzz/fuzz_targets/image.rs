//! Encoded images of every format.
#![no_main]

use alphascope::dataset::Preprocess;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(pixels) = Preprocess::clip(16).decode(bytes) {
        assert_eq!(pixels.len(), 16 * 16 * 3);
    }
});
