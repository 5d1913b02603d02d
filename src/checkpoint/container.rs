//! Containers: what a file is, and which tensors lie where in it.
//!
//! A container knows nothing of CLIP. To add one: recognise its first bytes in
//! [`sniff`], return its tensors as [`RawTensor`]s.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use safetensors::tensor::{Dtype as RawDtype, Metadata};

use super::error::CheckpointError;
use super::tensor::Dtype;

/// A file format that holds tensors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Container {
    /// 8 bytes of header length, a JSON header, raw little-endian tensors.
    Safetensors,
}

impl std::fmt::Display for Container {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Safetensors => "safetensors",
        })
    }
}

/// A tensor as the file has it.
#[derive(Clone, Debug, PartialEq)]
pub struct RawTensor {
    /// `Err` with the file's own type name where it cannot be a weight.
    pub dtype: Result<Dtype, String>,
    /// Dimensions, outermost first.
    pub shape: Vec<usize>,
    /// Where its bytes are in the file.
    pub range: Range<usize>,
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
}

/// Reads the table of contents of a file; tensors' bytes are not touched.
///
/// # Errors
/// [`CheckpointError::Container`] for other formats, by name and with what to
/// do; [`CheckpointError::Damaged`] when the header or the size is wrong.
pub fn read(path: &Path, bytes: &[u8]) -> Result<Contents, CheckpointError> {
    if let Some((found, hint)) = sniff(bytes) {
        return Err(CheckpointError::Container { path: path.into(), found, hint });
    }
    safetensors(bytes).map_err(|message| CheckpointError::Damaged { path: path.into(), message })
}

/// Longest header accepted, as the format's own library has it.
const MAX_HEADER: u64 = 100_000_000;

fn safetensors(bytes: &[u8]) -> Result<Contents, String> {
    let Some((length, rest)) = bytes.split_first_chunk::<8>() else {
        return Err(format!("{} bytes are too few for the 8-byte header length", bytes.len()));
    };
    let length = u64::from_le_bytes(*length);
    if length > MAX_HEADER {
        return Err(format!(
            "it declares a header of {length} bytes, at most {MAX_HEADER} are allowed"
        ));
    }
    let header = usize::try_from(length).ok().and_then(|n| rest.get(..n)).ok_or_else(|| {
        format!("it declares a header of {length} bytes, but only {} follow: truncated", rest.len())
    })?;
    let parsed: Metadata =
        serde_json::from_slice(header).map_err(|error| format!("its header is wrong: {error}"))?;
    let start = 8 + header.len();
    let data = bytes.len() - start;
    let declared = parsed.data_len();
    if declared > data {
        return Err(format!(
            "its header declares {declared} bytes of tensors, but only {data} follow: truncated"
        ));
    }
    if declared < data {
        return Err(format!(
            "its header declares {declared} bytes of tensors, but {data} follow: {} too many",
            data - declared
        ));
    }
    let tensors = parsed
        .tensors()
        .into_iter()
        .map(|(name, info)| {
            let (from, to) = info.data_offsets;
            let dtype = match info.dtype {
                RawDtype::F16 => Ok(Dtype::F16),
                RawDtype::BF16 => Ok(Dtype::Bf16),
                RawDtype::F32 => Ok(Dtype::F32),
                RawDtype::F64 => Ok(Dtype::F64),
                other => Err(other.to_string()),
            };
            let range = start + from..start + to;
            (name, RawTensor { dtype, shape: info.shape.clone(), range })
        })
        .collect();
    let metadata = parsed.metadata().clone().unwrap_or_default().into_iter().collect();
    Ok(Contents { container: Container::Safetensors, tensors, metadata })
}

/// Says what a file is when it is plainly not safetensors: `(what, what to do)`.
#[must_use]
pub fn sniff(bytes: &[u8]) -> Option<(String, String)> {
    let torch = "convert it in Python, with `state` its dictionary of tensors: \
         `safetensors.torch.save_file({k: v.contiguous() for k, v in state.items()}, \
         \"model.safetensors\")`";
    let load = |how: &str| format!("{how}; {torch}");
    let found = |what: &str, hint: String| Some((what.to_string(), hint));
    let starts = |magic: &[u8]| bytes.starts_with(magic);
    if bytes.is_empty() {
        return found("an empty file", "copy or download it again".into());
    }
    // What looks like a header of a sane length wins over chance matches of its length.
    let length = bytes.first_chunk::<8>().map_or(u64::MAX, |n| u64::from_le_bytes(*n));
    if length <= MAX_HEADER && matches!(bytes.get(8), None | Some(b'{')) {
        return None;
    }
    if starts(b"version https://git-lfs") {
        return found(
            "a Git LFS pointer, not the weights themselves",
            "fetch them with `git lfs pull`".into(),
        );
    }
    if starts(b"PK\x03\x04") || starts(b"PK\x05\x06") {
        // TorchScript archives hold `constants.pkl` and `code/`; both are searched for
        // near the end, where a zip keeps its directory.
        let tail = &bytes[bytes.len().saturating_sub(1 << 20)..];
        let script = contains(tail, b"/constants.pkl") || contains(tail, b"/code/");
        return if script {
            found(
                "a TorchScript archive (as OpenAI's ViT-*.pt)",
                load("`state = torch.jit.load(FILE, map_location=\"cpu\").state_dict()`"),
            )
        } else if contains(tail, b"data.pkl") {
            found(
                "a PyTorch zip file (torch.save)",
                load("`state = torch.load(FILE, map_location=\"cpu\")`"),
            )
        } else {
            found("a zip archive", "unpack it and give the checkpoint inside".into())
        };
    }
    // A pickle's protocol byte, then the long integer that legacy torch.save begins with.
    if starts(b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19") {
        return found(
            "a legacy PyTorch file (torch.save before 1.6)",
            load("`state = torch.load(FILE, map_location=\"cpu\")`"),
        );
    }
    if let [0x80, 2..=5, ..] = bytes {
        return found(
            "a Python pickle",
            load("`state = pickle.load(open(FILE, \"rb\")).state_dict()`, only if you trust it"),
        );
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
        (b"{", "a JSON file", "give the .safetensors file beside it"),
    ];
    for (magic, what, hint) in plain {
        if starts(magic) {
            return found(what, hint.into());
        }
    }
    if bytes.get(257..262) == Some(b"ustar") {
        return found("a tar archive", "unpack it and give the checkpoint inside".into());
    }
    // The header of a safetensors file begins with a brace (spaces may only follow).
    match bytes.get(8) {
        Some(b'{') | None => None,
        Some(_) => found(
            "something else (no JSON header at byte 8)",
            "save the model as safetensors in open_clip naming".into(),
        ),
    }
}

fn contains(bytes: &[u8], what: &[u8]) -> bool {
    bytes.windows(what.len()).any(|window| window == what)
}

#[cfg(test)]
mod tests {
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
            RawTensor { dtype: Ok(Dtype::F32), shape: vec![2, 1], range: start..start + 8 }
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
            (b"PK\x03\x04 archive/data.pkl", "PyTorch zip"),
            (b"PK\x03\x04 archive/code/ archive/constants.pkl data.pkl", "TorchScript"),
            (b"PK\x03\x04 photos/cat.jpg", "a zip archive"),
            (b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.", "legacy PyTorch"),
            (b"\x80\x04\x95\x00\x00\x00\x00\x00\x00\x00\x00", "pickle"),
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
                    prop_assert!(bytes.get(tensor.range.clone()).is_some());
                }
            }
        }
    }
}
