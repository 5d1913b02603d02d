//! A checkpoint larger than one wants in memory: what looking at it takes.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // helpers of tests

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use alphascope::checkpoint;
use alphascope::checkpoint::arch::{Dims, ImageDims, TextDims};

/// Bytes.
const MB: u64 = 1_000_000;
/// What may be in memory at once.
const MOST: u64 = 100 * MB;

/// A ViT-L/14 of 1.7 GB, all of it zeros that take no place on the disk.
fn large(folder: &Path) -> PathBuf {
    let image =
        ImageDims { patch: 14, grid: 16, width: 1024, layers: 24, mlp_width: 4096, resnet: None };
    let text = TextDims { context: 77, vocab: 49408, width: 768, layers: 12, mlp_width: 3072 };
    let dims = Dims { image, text: Some(text), embed: 768 };
    let scale = ("logit_scale".to_string(), vec![]);
    let tensors = dims.image_tensors().into_iter().chain(dims.text_tensors()).chain([scale]);
    let mut end = 0;
    let mut header = serde_json::Map::new();
    for (name, shape) in tensors {
        let start = end;
        end += 4 * shape.iter().product::<usize>();
        let entry =
            serde_json::json!({"dtype": "F32", "shape": shape, "data_offsets": [start, end]});
        header.insert(name, entry);
    }
    let header = serde_json::to_vec(&header).unwrap();
    let path = folder.join("large.safetensors");
    let mut file = File::create(&path).unwrap();
    file.write_all(&(header.len() as u64).to_le_bytes()).unwrap();
    file.write_all(&header).unwrap();
    file.set_len((8 + header.len() + end) as u64).unwrap();
    path
}

/// The most that this process had in memory so far, in bytes.
fn peak() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    1024 * line.trim_end_matches("kB").trim().parse::<u64>().unwrap()
}

#[test]
fn every_number_of_a_large_file_is_read_in_little_memory() {
    let folder = tempfile::tempdir().unwrap();
    let path = large(folder.path());
    assert!(fs::metadata(&path).unwrap().len() > 1_700 * MB);
    let before = peak();
    let described = checkpoint::describe_values(&path).unwrap();
    assert!(described.label.contains("ViT-L-14"), "{}", described.label);
    assert!(described.not_finite.is_empty());
    let taken = peak() - before;
    assert!(taken < MOST / 2, "{taken} bytes");
}

/// The program that lists it has a whole address space of the file and 100 MB.
#[cfg(feature = "torch")]
#[test]
fn a_large_file_is_listed_in_little_memory() {
    use std::process::Command;

    use alphascope::handover::BUILD;
    let folder = tempfile::tempdir().unwrap();
    let path = large(folder.path());
    let most = (fs::metadata(&path).unwrap().len() + MOST) / 1024;
    let script = format!("ulimit -v {most}; exec \"$0\" \"$@\"");
    let mut command = Command::new("sh");
    command.args(["-c", &script, env!("CARGO_BIN_EXE_alphascope-reader")]);
    command.args([BUILD.trim_end_matches('\0'), "inspect", "--headers"]).arg(&path);
    let output = command.env("HOME", folder.path()).output().unwrap();
    let (text, errors) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{text}{errors}");
    assert!(text.contains("446 tensors") && text.contains("ViT-L-14"), "{text}");
}
