//! How fast encoded images become crops, one thread and all cores, on the
//! repository's photograph-like fixtures. `cargo bench --bench decode`, or
//! `-- DIR SIZE` for a folder of your own; `bench/decode.py` does the same with
//! Pillow.

use std::path::PathBuf;
use std::time::Instant;

use alphascope::dataset::Preprocess;
use rayon::prelude::*;

fn main() {
    let given: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with("--")).collect();
    let size = given.get(1).and_then(|text| text.parse().ok()).unwrap_or(224);
    let mut files: Vec<PathBuf> = match given.first() {
        Some(dir) => std::fs::read_dir(dir)
            .map(|all| all.filter_map(|entry| Some(entry.ok()?.path())).collect())
            .unwrap_or_default(),
        None => {
            let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/images");
            vec![PathBuf::from(dir).join("jpeg_big.jpg"); 400]
        }
    };
    files.sort();
    let images: Vec<Vec<u8>> = files.iter().filter_map(|f| std::fs::read(f).ok()).collect();
    let preprocess = Preprocess::clip(size);
    let report = |name: &str, start: Instant, good: usize| {
        let rate = images.len() as f64 / start.elapsed().as_secs_f64();
        println!("{name}: {rate:.0} images/s to {size} px ({good} of {} decoded)", images.len());
    };
    for name in ["warm-up   ", "one thread"] {
        let start = Instant::now();
        let good = images.iter().filter(|bytes| preprocess.decode(bytes).is_ok()).count();
        report(name, start, good);
    }
    let start = Instant::now();
    let good = images.par_iter().filter(|bytes| preprocess.decode(bytes).is_ok()).count();
    report("all cores ", start, good);
}
