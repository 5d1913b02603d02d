#![no_main]

use alphascope::checkpoint::Container;
use libfuzzer_sys::{Corpus, fuzz_target};

fuzz_target!(|bytes: &[u8]| -> Corpus {
    if alphascope_fuzz::open(bytes, &[Container::TorchLegacy]) { Corpus::Keep } else { Corpus::Reject }
});
