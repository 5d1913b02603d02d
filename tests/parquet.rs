//! Parquet datasets written by `datasets` and `pyarrow`
//! (`tests/fixtures/make/parquet.py`): image i is one colour, (10·i, 7·i, 200).
#![allow(clippy::unwrap_used)] // helpers of tests

use std::path::{Path, PathBuf};

use alphascope::dataset::{Dataset, DatasetError, Depth, Layout, Preprocess, describe};
use alphascope::sweep::spec::{DatasetSpec, Role};
use rstest::rstest;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/parquet").join(name)
}

fn open(path: &Path) -> Result<Dataset, DatasetError> {
    Dataset::open(&DatasetSpec::new("test", Role::Id, path))
}

fn labels(data: &Dataset) -> Vec<usize> {
    (0..data.len()).map(|i| data.label(i)).collect()
}

/// Which image it is, by its colour.
fn colours_tell(data: &Dataset) {
    for i in 0..data.len() {
        let pixels = Preprocess::clip(4).decode(&data.bytes(i).unwrap()).unwrap();
        assert_eq!(pixels[..3], [(10 * i) as u8, (7 * i) as u8, 200], "image {i}");
    }
}

#[derive(serde::Deserialize)]
struct Expected {
    hub: Hub,
}

#[derive(serde::Deserialize)]
struct Hub {
    labels: Vec<usize>,
    names: Vec<String>,
}

#[test]
fn a_split_of_the_hub() {
    let expected: Expected =
        serde_json::from_slice(&std::fs::read(fixture("expected.json")).unwrap()).unwrap();
    for path in ["hub", "hub/data"] {
        let data = open(&fixture(path)).unwrap();
        assert_eq!((data.layout(), data.split()), (Layout::Parquet, Some("test")));
        assert_eq!(
            (labels(&data), data.classes()),
            (expected.hub.labels.clone(), &expected.hub.names[..])
        );
        assert_eq!(data.key(6), "test-00001-of-00002/0000000");
        colours_tell(&data);
    }
}

#[rstest]
#[case("pages.parquet", &[2, 0, 1, 1, 0, 2, 2], &["0", "1", "2"])]
#[case("zstd.parquet", &[2, 0, 1, 1, 0, 2, 2], &["0", "1", "2"])]
#[case("binary.parquet", &[2, 0, 1, 1, 0, 2, 2], &["0", "1", "2"])]
#[case("gzip.parquet", &[2, 0, 1, 1, 0, 2, 2], &["0", "1", "2"])]
#[case("gzip_pages.parquet", &[2, 0, 1, 1, 0, 2, 2], &["0", "1", "2"])]
#[case("delta_labels.parquet", &[2, 0, 1, 1, 0, 2, 2], &["0", "1", "2"])]
#[case("words.parquet", &[0, 1, 0, 2], &["cat", "red fox", "umbrella"])]
fn pages_of_every_kind(#[case] name: &str, #[case] want: &[usize], #[case] classes: &[&str]) {
    let data = open(&fixture(name)).unwrap();
    assert_eq!(
        (labels(&data), data.classes()),
        (want.to_vec(), &classes.iter().map(ToString::to_string).collect::<Vec<_>>()[..])
    );
    colours_tell(&data);
}

#[test]
fn the_spec_chooses_columns_and_names() {
    let dir = tempfile::tempdir().unwrap();
    let mut spec = DatasetSpec::new("test", Role::Id, fixture("two_labels.parquet"));
    let message = Dataset::open(&spec).unwrap_err().to_string();
    assert!(
        message.contains("`fine_label` and `coarse_label`") && message.contains("label_column"),
        "{message}"
    );
    spec.label_column = Some("coarse_label".into());
    let data = Dataset::open(&spec).unwrap();
    assert_eq!((labels(&data), data.classes().len()), (vec![1, 0, 0], 2));
    let names = dir.path().join("names.txt");
    std::fs::write(&names, "beast\nobject\n").unwrap();
    spec.classnames = Some(names);
    assert_eq!(Dataset::open(&spec).unwrap().classes(), ["beast", "object"]);
    spec.label_column = Some("fine_label".into());
    let message = Dataset::open(&spec).unwrap_err().to_string();
    assert!(message.contains("under 2"), "{message}");
    spec.image_column = Some("picture".into());
    let message = Dataset::open(&spec).unwrap_err().to_string();
    assert!(message.contains("`picture`") && message.contains("`img`"), "{message}");
}

#[rstest]
#[case(
    "null_label.parquet",
    "row 1 of the column `label`: expected a class number from 0 as label, got null, which marks \
     a split without labels; choose another split, or another column by `label_column`"
)]
#[case(
    "no_label.parquet",
    "row 0 of the column `label`: expected a class number from 0 as label, got -1, which marks \
     a split without labels; choose another split, or another column by `label_column`"
)]
#[case(
    "lz4.parquet",
    "compressed by LZ4_RAW, which is not read: write it with snappy, zstd or gzip"
)]
#[case("delta.parquet", "column `image` is encoded as DELTA_LENGTH_BYTE_ARRAY, which is not read")]
#[case("text.parquet", "expected a column of images")]
fn what_cannot_be_swept_is_told(#[case] name: &str, #[case] want: &str) {
    let message = open(&fixture(name)).unwrap_err().to_string();
    assert!(message.contains(want) && message.contains(name), "{message}");
}

/// What is told of formats is of the images that were looked at, and says so.
#[test]
fn a_sample_is_called_a_sample() {
    let dir = tempfile::tempdir().unwrap();
    for shard in 0..10 {
        let name = format!("test-{shard:05}-of-00010.parquet");
        std::fs::copy(fixture("pages.parquet"), dir.path().join(name)).unwrap();
    }
    let spec = DatasetSpec::new("test", Role::Id, dir.path());
    let part = describe(&spec, Depth::Sample).unwrap();
    assert_eq!((part.images, part.looked_at, part.formats.values().sum()), (70, 64, 64));
    let text = part.to_string();
    assert!(text.contains("images      70, 0.0 MB; of 64 looked at: 64 PNG\n"), "{text}");
    assert_eq!(serde_json::to_value(&part).unwrap()["looked_at"], 64);
    let all = describe(&spec, Depth::Every).unwrap();
    assert_eq!((all.looked_at, all.formats.values().sum()), (70, 70));
    assert!(all.to_string().contains("images      70, 0.0 MB: 70 PNG\n"));
}

#[test]
fn an_image_elsewhere_is_an_error_of_its_own() {
    let data = open(&fixture("elsewhere.parquet")).unwrap();
    assert!(data.bytes(0).unwrap_err().to_string().contains("only a path"));
    assert!(data.bytes(1).is_ok());
}

/// A file cut anywhere is an error; with any byte flipped it is one or does no
/// harm. None ends the program or asks for more memory than there is.
#[test]
fn damaged_files_are_errors() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("damaged.parquet");
    for (name, step) in [
        ("zstd.parquet", 41),
        ("words.parquet", 17),
        ("gzip_pages.parquet", 43),
        ("delta_labels.parquet", 19),
    ] {
        let whole = std::fs::read(fixture(name)).unwrap();
        let read = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            let data = open(&path)?;
            (0..data.len()).try_for_each(|i| data.bytes(i).map(drop))
        };
        for cut in (0..whole.len()).step_by(7) {
            assert!(read(&whole[..cut]).is_err(), "{name} cut to {cut}");
        }
        for at in (0..whole.len()).step_by(step) {
            for flip in [0xFF, 0x10] {
                let mut bytes = whole.clone();
                bytes[at] ^= flip;
                let _ = read(&bytes);
            }
        }
    }
}
