//! A checkpoint larger than one wants in memory: what looking at it takes.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // helpers of tests

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use alphascope::checkpoint;

/// Bytes.
const MB: u64 = 1_000_000;
/// What may be in memory at once.
const MOST: u64 = 100 * MB;

/// A ViT-L/14 of 1.7 GB, all of it zeros that take no place on the disk.
fn large(folder: &Path) -> PathBuf {
    let mut tensors: Vec<(String, Vec<usize>)> = vec![
        ("visual.class_embedding".into(), vec![1024]),
        ("visual.positional_embedding".into(), vec![257, 1024]),
        ("visual.proj".into(), vec![1024, 768]),
        ("visual.conv1.weight".into(), vec![1024, 3, 14, 14]),
        ("positional_embedding".into(), vec![77, 768]),
        ("text_projection".into(), vec![768, 768]),
        ("token_embedding.weight".into(), vec![49408, 768]),
        ("logit_scale".into(), vec![]),
    ];
    for (name, width) in [("visual.ln_pre", 1024), ("visual.ln_post", 1024), ("ln_final", 768)] {
        tensors.push((format!("{name}.weight"), vec![width]));
        tensors.push((format!("{name}.bias"), vec![width]));
    }
    for (tower, blocks, width) in [("visual.transformer", 24, 1024), ("transformer", 12, 768)] {
        for block in 0..blocks {
            for (name, shape) in [
                ("ln_1.weight", vec![width]),
                ("ln_1.bias", vec![width]),
                ("attn.in_proj_weight", vec![3 * width, width]),
                ("attn.in_proj_bias", vec![3 * width]),
                ("attn.out_proj.weight", vec![width, width]),
                ("attn.out_proj.bias", vec![width]),
                ("ln_2.weight", vec![width]),
                ("ln_2.bias", vec![width]),
                ("mlp.c_fc.weight", vec![4 * width, width]),
                ("mlp.c_fc.bias", vec![4 * width]),
                ("mlp.c_proj.weight", vec![width, 4 * width]),
                ("mlp.c_proj.bias", vec![width]),
            ] {
                tensors.push((format!("{tower}.resblocks.{block}.{name}"), shape));
            }
        }
    }
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
