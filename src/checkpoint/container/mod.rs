//! Containers: what a file is, and which tensors lie where in it.
//!
//! A container knows nothing of CLIP. To add one: recognise its first bytes in
//! [`kind`], return its tensors as [`RawTensor`]s.
//!
//! Files are mapped, never trusted: every range is checked against the file's
//! size before it is kept, sizes are multiplied with overflow in mind, nothing
//! is decompressed, and nothing of a pickle is run (see [`super::pickle`]).

mod layout;
mod safetensors;
pub mod shards;
mod torch;
mod walk;
mod zip;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

pub use layout::{Layout, RawTensor};

use super::error::CheckpointError;

/// A file format that holds tensors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Container {
    /// 8 bytes of header length, a JSON header, raw little-endian tensors.
    Safetensors,
    /// A zip archive of `torch.save`.
    TorchZip,
    /// `torch.save` before 1.6.
    TorchLegacy,
    /// A zip archive of `torch.jit.save`.
    TorchScript,
    /// `pickle.dump`, storages as byte strings within.
    Pickle,
}

impl std::fmt::Display for Container {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Safetensors => "safetensors",
            Self::TorchZip => "PyTorch zip",
            Self::TorchLegacy => "PyTorch legacy",
            Self::TorchScript => "TorchScript",
            Self::Pickle => "Python pickle",
        })
    }
}

/// Everything a container tells.
#[derive(Clone, Debug)]
pub struct Contents {
    /// Which format.
    pub container: Container,
    /// By the file's own names.
    pub tensors: BTreeMap<String, RawTensor>,
    /// Free text of the file.
    pub metadata: BTreeMap<String, String>,
    /// Python code that loading it in Python would import or run, beyond what
    /// tensors need. Nothing of it is run here.
    pub foreign: BTreeSet<String>,
}

impl Contents {
    fn empty(container: Container) -> Self {
        Self {
            container,
            tensors: BTreeMap::new(),
            metadata: BTreeMap::new(),
            foreign: BTreeSet::new(),
        }
    }
}

/// Reads the table of contents of a file; tensors' bytes are not touched.
///
/// # Errors
/// [`CheckpointError::Container`] for other formats, by name and with what to
/// do; [`CheckpointError::Damaged`] when the header, the pickle or a size is
/// wrong.
pub fn read(path: &Path, bytes: &[u8]) -> Result<Contents, CheckpointError> {
    let container = kind(bytes).map_err(|(found, hint)| CheckpointError::Container {
        path: path.into(),
        found,
        hint,
    })?;
    let contents = match container {
        Container::Safetensors => safetensors::read(bytes),
        Container::TorchZip | Container::TorchScript => torch::zip(bytes),
        Container::TorchLegacy => torch::legacy(bytes),
        Container::Pickle => torch::plain(bytes),
    };
    contents.map_err(|message| CheckpointError::Damaged { path: path.into(), container, message })
}

/// Says what a file is by its first bytes; for what is no checkpoint, what it
/// is and what to do.
///
/// # Errors
/// `(what, what to do)`.
pub fn kind(bytes: &[u8]) -> Result<Container, (String, String)> {
    let other = |what: &str, hint: &str| Err((what.to_string(), hint.to_string()));
    let starts = |magic: &[u8]| bytes.starts_with(magic);
    if bytes.is_empty() {
        return other("an empty file", "copy or download it again");
    }
    // What looks like a header of a sane length wins over chance matches of its length.
    let length = bytes.first_chunk::<8>().map_or(u64::MAX, |n| u64::from_le_bytes(*n));
    if length <= safetensors::MAX_HEADER && matches!(bytes.get(8), None | Some(b'{')) {
        return Ok(Container::Safetensors);
    }
    if starts(b"version https://git-lfs") {
        return other(
            "a Git LFS pointer, not the weights themselves",
            "fetch them with `git lfs pull`",
        );
    }
    if starts(b"PK\x03\x04") || starts(b"PK\x05\x06") {
        return Ok(Container::TorchZip);
    }
    if starts(torch::LEGACY_MAGIC) {
        return Ok(Container::TorchLegacy);
    }
    if let [0x80, 2..=5, ..] = bytes {
        return Ok(Container::Pickle);
    }
    let plain = [
        (&b"\x1f\x8b"[..], "a gzip file", "unpack it first"),
        (b"\x89HDF\r\n\x1a\n", "an HDF5 file", "save the model as safetensors"),
        (b"GGUF", "a GGUF file", "use the original checkpoint, as safetensors"),
        (b"\x93NUMPY", "a NumPy file", "save the whole model as safetensors"),
        (b"\x89PNG", "a PNG image", "give a checkpoint"),
        (b"\xff\xd8\xff", "a JPEG image", "give a checkpoint"),
        (b"<!DOCTYPE", "a web page", "download the file itself, not its page"),
        (b"<html", "a web page", "download the file itself, not its page"),
        (b"{", "a JSON file", "give the checkpoint beside it"),
    ];
    for (magic, what, hint) in plain {
        if starts(magic) {
            return other(what, hint);
        }
    }
    if bytes.get(257..262) == Some(b"ustar") {
        return other(
            "a tar archive (as torch before 0.1.10 wrote, or a WebDataset)",
            "unpack it and give the checkpoint inside, or save it again with a newer torch",
        );
    }
    match bytes.get(8) {
        Some(b'{') | None => Ok(Container::Safetensors),
        Some(_) => other(
            "something else (no JSON header at byte 8, no zip, no pickle)",
            "save the model as safetensors, or with torch.save",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tensor::Dtype;
    use super::safetensors::MAX_HEADER;
    use super::*;
    use proptest::prelude::*;

    fn file(header: &str, data: usize) -> Vec<u8> {
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend_from_slice(header.as_bytes());
        bytes.resize(bytes.len() + data, 7);
        bytes
    }

    const GOOD: &str = r#"{"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[2,1],"data_offsets":[0,8]},"n":{"dtype":"I64","shape":[],"data_offsets":[8,16]}}"#;

    #[test]
    fn reads_names_types_shapes_and_ranges() {
        let bytes = file(GOOD, 16);
        let contents = read(Path::new("x"), &bytes).unwrap();
        let start = bytes.len() - 16;
        assert_eq!(
            contents.tensors["a"],
            RawTensor {
                dtype: Ok(Dtype::F32),
                shape: vec![2, 1],
                file: 0,
                layout: Layout::Whole(start..start + 8)
            }
        );
        assert_eq!(contents.tensors["n"].dtype, Err("I64".into()));
        assert_eq!(contents.metadata["format"], "pt");
    }

    #[test]
    fn cut_anywhere_it_is_an_error_and_never_a_panic() {
        let bytes = file(GOOD, 16);
        for end in 0..bytes.len() {
            let error = read(Path::new("cut.safetensors"), &bytes[..end]).unwrap_err().to_string();
            assert!(error.contains("cut.safetensors"), "{end}: {error}");
        }
        let mut long = bytes;
        long.push(0);
        let error = read(Path::new("x"), &long).unwrap_err().to_string();
        assert!(error.contains("1 too many"), "{error}");
    }

    #[test]
    fn lies_are_caught_without_allocating() {
        let mut bytes = file(GOOD, 16);
        for length in [u64::MAX, MAX_HEADER + 1, MAX_HEADER, 1 << 40, 0, 1, 300] {
            bytes[..8].copy_from_slice(&length.to_le_bytes());
            assert!(read(Path::new("x"), &bytes).is_err(), "{length}");
        }
        let eight = (0..8)
            .map(|i: u64| {
                let (from, to) = (i << 61, ((i + 1) << 61).wrapping_sub(u64::from(i == 7)));
                format!(
                    r#""{i}":{{"dtype":"U8","shape":[{}],"data_offsets":[{from},{to}]}}"#,
                    to.wrapping_sub(from)
                )
            })
            .collect::<Vec<_>>()
            .join(",");
        let half = u64::MAX / 2;
        for header in [
            r#"{"a":{"dtype":"F32","shape":[1099511627776],"data_offsets":[0,4398046511104]}}"#.into(),
            format!(r#"{{"a":{{"dtype":"U8","shape":[{half}],"data_offsets":[0,{half}]}}}}"#),
            r#"{"a":{"dtype":"F32","shape":[4294967296,4294967296,4294967296],"data_offsets":[0,8]}}"#.into(),
            r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[8,16]}}"#.into(),
            r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}}"#.into(),
            r#"{"a":{"dtype":"F99","shape":[2],"data_offsets":[0,8]}}"#.into(),
            r#"{"a":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}}"#.into(),
            format!("{{{eight}}}"),
            "[".repeat(100_000),
            "{".repeat(100_000),
        ] {
            let bytes = file(&header, 8);
            let error = read(Path::new("x"), &bytes).unwrap_err().to_string();
            assert!(error.len() < 600, "{error}");
        }
    }

    #[test]
    fn other_files_are_named() {
        for (bytes, words) in [
            (&b""[..], "an empty file"),
            (b"PK\x03\x04 archive/data.pkl", "PyTorch zip file: its zip directory is wrong"),
            (b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.", "PyTorch legacy file"),
            (b"\x80\x04\x95\x00\x00\x00\x00\x00\x00\x00\x00", "Python pickle file"),
            (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
            (b"<!DOCTYPE html>", "web page"),
            (b"{\"weight_map\": {}}", "JSON"),
            (b"GGUF\x03\0\0\0\0\0\0\0", "GGUF"),
            (b"hello, this is plain text", "no JSON header"),
        ] {
            let error = read(Path::new("f.bin"), bytes).unwrap_err().to_string();
            assert!(error.contains(words) && error.contains("f.bin"), "{error}");
        }
    }

    proptest! {
        #[test]
        fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = read(Path::new("x"), &bytes);
        }

        #[test]
        fn a_header_with_one_byte_changed_never_panics(at in 0..GOOD.len(), byte: u8) {
            let mut bytes = file(GOOD, 16);
            bytes[8 + at] = byte;
            if let Ok(contents) = read(Path::new("x"), &bytes) {
                for tensor in contents.tensors.values() {
                    let Layout::Whole(range) = tensor.layout.clone() else { panic!("strided") };
                    prop_assert!(bytes.get(range).is_some());
                }
            }
        }
    }
}
