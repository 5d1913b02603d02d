//! Files that are cut, lie or attack: an error in bounded time, never a panic.

use std::path::{Path, PathBuf};

use alphascope::checkpoint::container::read;
use alphascope::checkpoint::{Checkpoint, describe, describe_values};
use proptest::prelude::*;
use rstest::rstest;
use tempfile::TempDir;

use crate::containers::saved;

/// Opens bytes and reads every tensor that is found.
fn whole(bytes: &[u8]) -> Result<usize, String> {
    let contents = read(Path::new("hostile.pt"), bytes).map_err(|error| error.to_string())?;
    let mut numbers = 0;
    for tensor in contents.tensors.values() {
        if let Some(view) = tensor.view(bytes) {
            assert_eq!(view.len(), tensor.shape.iter().product::<usize>());
            numbers += view.len();
        }
    }
    Ok(numbers)
}

#[rstest]
#[case("zip.pt")]
#[case("legacy.pt")]
#[case("views-legacy.pt")]
#[case("openai.pt")]
#[case("wise-ft.pt")]
#[case("task-vectors.pt")]
fn cut_anywhere_it_is_an_error(#[case] name: &str) {
    let bytes = std::fs::read(saved(name)).unwrap();
    whole(&bytes).unwrap();
    let n = bytes.len();
    let lengths = (0..300).chain((300..n).step_by(211)).chain(n - 300..n);
    for end in lengths {
        let error = whole(&bytes[..end]).expect_err("cut");
        assert!(error.contains("hostile.pt") && error.len() < 2000, "{end}: {error}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Any damage is an error or still sound tensors.
    #[test]
    fn changed_bytes_never_panic(
        name in prop::sample::select(vec![
            "zip.pt", "legacy.pt", "views.pt", "openai.pt", "wise-ft.pt", "training.pt", "head_Toy.pt",
        ]),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), any::<bool>()), 1..6),
    ) {
        let mut bytes = std::fs::read(saved(name)).unwrap();
        let early = bytes.len().min(6000);
        for (at, byte, anywhere) in changes {
            let at = at.index(if anywhere { bytes.len() } else { early });
            bytes[at] = byte;
        }
        let _ = whole(&bytes);
    }
}

/// A dictionary with the bytes `inner` as the value of `a`.
fn plain(inner: &[u8]) -> Vec<u8> {
    [b"\x80\x02}X\x01\x00\x00\x00a", inner, b"s."].concat()
}

/// A call that looks like a tensor's.
const TENSOR: &[u8] = b"ctorch._utils\n_rebuild_tensor_v2\n)R";

#[test]
fn deep_and_cyclic_values_are_bounded() {
    let deep = plain(&[TENSOR, &vec![0x85; 1_000_000]].concat());
    assert_eq!(whole(&deep), Ok(0), "deeper than any checkpoint: not entered");
    assert_eq!(whole(&plain(b"]q\x00h\x00a")), Ok(0), "a list in itself");
    let error = whole(&plain(&[b"]q\x00h\x00a", TENSOR, b"a"].concat())).unwrap_err();
    assert!(error.contains("tensor `a.1`: it lacks storage"), "{error}");
    // Forty levels of ten references to the level below: 10⁴⁰ ways to one tensor.
    let mut bomb = TENSOR.to_vec();
    for level in 0..40_u8 {
        bomb.extend([b'q', level, b'0', b']', b'(']);
        bomb.extend([b'h', level].repeat(10));
        bomb.push(b'e');
    }
    let error = whole(&plain(&bomb)).unwrap_err();
    assert!(error.contains("more often than in any checkpoint"), "{error}");
}

/// A legacy file of one tensor: its count in the pickle and in the data, shape, stride.
fn legacy(count: i32, stored: u64, shape: i32, stride: i32, offset: i32) -> Vec<u8> {
    let number = |n: i32| [&b"J"[..], &n.to_le_bytes()].concat();
    let mut file =
        b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.\x80\x02}.".to_vec();
    file.extend(b"\x80\x02}X\x01\x00\x00\x00actorch._utils\n_rebuild_tensor_v2\n(");
    file.extend(
        b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpu",
    );
    file.extend([&number(count)[..], b"NtQ", &number(offset), &number(shape), b"\x85"].concat());
    file.extend([&number(stride)[..], b"\x85tRs.\x80\x02](X\x01\x00\x00\x000e."].concat());
    file.extend(stored.to_le_bytes());
    file.extend([0; 16]);
    file
}

#[test]
fn sizes_that_lie_are_refused() {
    assert_eq!(whole(&legacy(4, 4, 4, 1, 0)), Ok(4));
    assert_eq!(whole(&legacy(4, 4, 2, 3, 0)), Ok(2));
    for (file, words) in [
        (legacy(4, 5, 4, 1, 0), "declares 5 numbers of 4 bytes, but only 16"),
        (legacy(4, u64::MAX, 4, 1, 0), "truncated"),
        (legacy(4, u64::MAX / 4, 4, 1, 0), "truncated"),
        (legacy(5, 4, 4, 1, 0), "should hold 5 numbers"),
        (legacy(-1, 4, 4, 1, 0), "no tensor says what it is"),
        (legacy(4, 4, 5, 1, 0), "reach beyond"),
        (legacy(4, 4, i32::MAX, 0, 0), "more numbers than the whole file"),
        (legacy(4, 4, 4, -1, 0), "its stride is no size"),
        (legacy(4, 4, 2, i32::MAX, 0), "reach beyond"),
        (legacy(4, 4, 4, 1, 1), "reach beyond"),
    ] {
        let error = whole(&file).unwrap_err();
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn compressed_numbers_are_never_inflated() {
    let error = Checkpoint::open(&saved("hostile/bomb.pt")).unwrap_err().to_string();
    assert!(error.contains("bomb.pt") && error.contains("is compressed"), "{error}");
}

#[test]
fn a_wrong_number_in_a_torch_file_is_named() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("nan.pt");
    let mut bytes = std::fs::read(saved("zip.pt")).unwrap();
    let contents = read(&path, &bytes).unwrap();
    let alphascope::checkpoint::container::Layout::Whole(range) =
        contents.tensors["visual.proj"].layout.clone()
    else {
        panic!("strided");
    };
    bytes[range.start + 8..range.start + 12].copy_from_slice(&f32::NAN.to_le_bytes());
    std::fs::write(&path, bytes).unwrap();
    let error = Checkpoint::open(&path).unwrap().check_finite("visual.proj").unwrap_err();
    assert!(error.to_string().contains("NaN at element 2"), "{error}");
    std::fs::copy(saved("config.json"), folder.path().join("config.json")).unwrap();
    let description = describe_values(&path).unwrap();
    let problem = description.problem.unwrap();
    assert!(
        problem.contains("`visual.proj` holds NaN or infinity (as float32) at element 2;"),
        "{problem}"
    );
    assert_eq!(describe_values(&saved("zip.pt")).unwrap().not_finite, []);
}

/// A folder with files of these names.
fn folder(files: &[(&str, &[u8])]) -> (TempDir, PathBuf) {
    let folder = TempDir::new().unwrap();
    for (name, bytes) in files {
        std::fs::write(folder.path().join(name), bytes).unwrap();
    }
    let path = folder.path().to_path_buf();
    (folder, path)
}

fn message(path: &Path) -> String {
    Checkpoint::open(path).unwrap_err().to_string()
}

#[test]
fn folders_and_indices_that_cannot_be_opened() {
    let (_keep, path) = folder(&[(".metadata", b"x"), ("__0_0.distcp", b"x")]);
    assert!(message(&path).contains("distributed checkpoint"), "{}", message(&path));
    // One with a file beside its parts, and the folder around it.
    let (outer, _) = folder(&[]);
    std::fs::create_dir(outer.path().join("epoch_1")).unwrap();
    for name in ["__0_0.distcp", "extra.pt"] {
        std::fs::write(outer.path().join("epoch_1").join(name), b"x").unwrap();
    }
    let said = message(&outer.path().join("epoch_1"));
    assert!(said.contains("distributed checkpoint"), "{said}");
    let said = message(outer.path());
    assert!(said.contains("in it, epoch_1: it is a distributed checkpoint"), "{said}");
    let (_keep, path) = folder(&[("a.pt", b"x"), ("b.pt", b"x")]);
    assert!(message(&path).contains("several: a.pt, b.pt; give one"), "{}", message(&path));
    let (_keep, path) = folder(&[("only.pt", b"x")]);
    assert!(message(&path).contains("only.pt"), "{}", message(&path));
    for (map, words) in [
        (r#"{"weight_map": {"a": "../../etc/passwd"}}"#, "expected a plain file name"),
        (r#"{"weight_map": {"a": "/etc/passwd"}}"#, "expected a plain file name"),
        (r#"{"weight_map": {"a": "gone.safetensors"}}"#, "gone.safetensors"),
        (r#"{"weight_map": {}}"#, "names no shards"),
        (r#"{"embed_dim": 512}"#, "expected an index of shards"),
        (r#"{"weight_map": {"a": "b.saf"#, "download it again"),
    ] {
        let (_keep, path) = folder(&[("model.safetensors.index.json", map.as_bytes())]);
        assert!(message(&path).contains(words), "{}", message(&path));
    }
    // A shard that lacks what the index says.
    let shard = std::fs::read(saved("reference.safetensors")).unwrap();
    let map = br#"{"weight_map": {"visual.proj": "a.safetensors", "none": "a.safetensors"}}"#;
    let (_keep, path) = folder(&[("model.safetensors.index.json", map), ("a.safetensors", &shard)]);
    let said = message(&path);
    assert!(said.contains("the index says it is in a.safetensors, but no shard has it"), "{said}");
}

#[test]
fn an_index_that_names_the_wrong_shard() {
    let names: Vec<_> = (1..=6).map(|n| format!("model-0000{n}-of-00006.safetensors")).collect();
    let (first, second) = (names[0].as_str(), names[1].as_str());
    let read = |name: &str| std::fs::read(saved(&format!("hf-shards/{name}"))).unwrap();
    let index = String::from_utf8(read("model.safetensors.index.json")).unwrap();
    let shards: Vec<_> = names.iter().map(|name| read(name)).collect();
    let files = |index: &str| {
        let shards = names.iter().map(String::as_str).zip(shards.iter().map(Vec::as_slice));
        let index = ("model.safetensors.index.json", index.as_bytes());
        folder(&[index].into_iter().chain(shards).collect::<Vec<_>>())
    };
    let (_keep, path) = files(&index);
    assert!(describe(&path).is_ok());
    let at = index.find(first).unwrap();
    let wrong = [&index[..at], second, &index[at + first.len()..]].concat();
    let (_keep, path) = files(&wrong);
    let said = message(&path);
    assert!(said.contains(&format!("says it is in {second}, but {first} has it")), "{said}");
}

/// The library's own message names no tensor.
#[test]
fn a_header_that_is_wrong_names_the_tensor() {
    let file = |header: &str| {
        let length = (header.len() as u64).to_le_bytes();
        [&length[..], header.as_bytes(), &[0; 24]].concat()
    };
    for (header, words) in [
        (
            r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F16","shape":[2,4],"data_offsets":[8,20]}}"#,
            "tensor `b`: expected data_offsets of 16 bytes for [2, 4] of F16, got 8 to 20",
        ),
        (
            r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F16","shape":[4],"data_offsets":[4,12]}}"#,
            "tensor `b`: expected data_offsets from 8, where the tensor before ends, got 4",
        ),
        (
            r#"{"a":{"dtype":"F32","shape":[9223372036854775807,4],"data_offsets":[0,8]}}"#,
            "tensor `a`: expected data_offsets of more than can be counted bytes",
        ),
        (
            r#"{"a":{"dtype":"F31","shape":[2],"data_offsets":[0,8]}}"#,
            "tensor `a`: unknown variant",
        ),
        (r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}}"#, "tensor `a`"),
        (
            &format!(r#"{{"a":{{"dtype":"F32","shape":{:?},"data_offsets":[0,4]}}}}"#, [1; 17]),
            "tensor `a`: expected at most 16 dimensions, got 17",
        ),
        (r#"{"a""#, "its header is wrong: EOF"),
    ] {
        let (_keep, path) = folder(&[("a.safetensors", &file(header))]);
        let said = message(&path);
        assert!(said.contains(words), "{said}");
    }
}

#[test]
#[cfg(unix)]
fn links_that_lead_nowhere() {
    let folder = TempDir::new().unwrap();
    let (a, b) = (folder.path().join("a.pt"), folder.path().join("b.pt"));
    std::os::unix::fs::symlink(&a, &b).unwrap();
    std::os::unix::fs::symlink(&b, &a).unwrap();
    let error = describe(&a).unwrap_err().to_string();
    assert!(error.contains("a.pt") && error.contains("cannot read"), "{error}");
    std::os::unix::fs::symlink(folder.path(), folder.path().join("model.safetensors")).unwrap();
    let error = describe(folder.path()).unwrap_err().to_string();
    assert!(error.contains("is a folder"), "{error}");
}

/// What fuzzing ever found (see `fuzz/`).
#[test]
fn past_findings_stay_fixed() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/fuzz");
    let mut seen = 0;
    for file in std::fs::read_dir(path).unwrap() {
        let _ = whole(&std::fs::read(file.unwrap().path()).unwrap());
        seen += 1;
    }
    assert!(seen > 0);
}
