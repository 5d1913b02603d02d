//! Fixtures and files made on the spot.

use std::path::{Path, PathBuf};

use alphascope::checkpoint::arch::Dims;
use alphascope::checkpoint::{Checkpoint, Overrides, Pair};
use tempfile::TempDir;

pub fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/checkpoints").join(name)
}

pub fn open(zeroshot: &str, finetuned: &str) -> Pair {
    Pair::open(&fixture(zeroshot), &fixture(finetuned), &Overrides::default()).unwrap()
}

/// A tensor to write: name, type, shape, bytes.
pub type Tensor = (String, &'static str, Vec<usize>, Vec<u8>);

/// Everything in a fixture, under its canonical names, as fp32.
pub fn tensors(name: &str) -> Vec<Tensor> {
    tensors_of(&fixture(name))
}

/// As [`tensors`], of any file.
pub fn tensors_of(path: &Path) -> Vec<Tensor> {
    let file = Checkpoint::open(path).unwrap();
    file.names()
        .map(|name| {
            let tensor = file.get(name).unwrap();
            let bytes = tensor.to_f32().iter().flat_map(|x| x.to_le_bytes()).collect();
            (name.to_string(), "F32", tensor.shape().to_vec(), bytes)
        })
        .collect()
}

fn header(tensors: &[(String, &str, Vec<usize>, usize)], metadata: &str) -> Vec<u8> {
    let mut at = 0;
    let mut fields = vec![format!(r#""__metadata__":{{{metadata}}}"#)];
    for (name, dtype, shape, bytes) in tensors {
        let end = at + bytes;
        fields.push(format!(
            r#""{name}":{{"dtype":"{dtype}","shape":{shape:?},"data_offsets":[{at},{end}]}}"#
        ));
        at = end;
    }
    let json = format!("{{{}}}", fields.join(","));
    [&(json.len() as u64).to_le_bytes()[..], json.as_bytes()].concat()
}

pub fn write(folder: &TempDir, name: &str, tensors: &[Tensor]) -> PathBuf {
    let infos: Vec<_> =
        tensors.iter().map(|(n, d, s, b)| (n.clone(), *d, s.clone(), b.len())).collect();
    let mut bytes = header(&infos, "");
    tensors.iter().for_each(|(.., b)| bytes.extend_from_slice(b));
    let path = folder.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

/// A file of zeros of these dimensions that takes no room on the disk.
pub fn sparse(folder: &TempDir, name: &str, dims: &Dims) -> PathBuf {
    let mut all = dims.image_tensors();
    all.extend(dims.text_tensors());
    all.push(("logit_scale".into(), vec![]));
    let infos: Vec<_> = all
        .into_iter()
        .map(|(name, shape)| {
            let bytes = 4 * shape.iter().product::<usize>();
            (name, "F32", shape, bytes)
        })
        .collect();
    let head = header(&infos, "");
    let data: usize = infos.iter().map(|(.., bytes)| bytes).sum();
    let path = folder.path().join(name);
    std::fs::write(&path, &head).unwrap();
    let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.set_len((head.len() + data) as u64).unwrap();
    path
}
