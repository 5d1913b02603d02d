//! What targets share.

use std::path::Path;

use alphascope::checkpoint::Container;
use alphascope::checkpoint::container::{kind, read};
use alphascope::checkpoint::names::canonical;

/// Opens bytes as a checkpoint of one of `containers`: an error or tensors that
/// can be read, never a panic. False for bytes of another container.
pub fn open(bytes: &[u8], containers: &[Container]) -> bool {
    if !kind(bytes).is_ok_and(|container| containers.contains(&container)) {
        return false;
    }
    if let Ok(contents) = read(Path::new("fuzzed"), bytes) {
        let mut left = 4 * bytes.len();
        for tensor in contents.tensors.values() {
            // A file may show the same numbers many times over; once is enough here.
            let Some(view) = tensor.view(bytes) else { continue };
            assert_eq!(view.len(), tensor.shape.iter().product::<usize>());
            let _ = view.first_not_finite();
            left = left.saturating_sub(view.bytes().len());
            if left == 0 {
                break;
            }
        }
        let _ = canonical(contents.tensors.keys().map(String::as_str), None);
    }
    true
}

/// A folder for files that are read by path; in memory where the system has such a place.
///
/// # Panics
/// When none can be made.
#[must_use]
pub fn folder() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    let made = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    made.expect("a folder for the file")
}
