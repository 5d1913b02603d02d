//! Whole datasets, opened from folders made on the spot.

use std::fs;
use std::path::Path;

use super::shards::tests::tar;
use super::*;
use crate::sweep::spec::{DatasetSpec, Role};

fn spec(path: &Path) -> DatasetSpec {
    DatasetSpec::new("test", Role::Id, path)
}

fn write(root: &Path, file: &str, data: &[u8]) {
    let path = root.join(file);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, data).unwrap();
}

fn web(root: &Path) {
    write(root, "classnames.txt", b"cat\ndog\n");
    write(root, "zeroshot_classification_templates.txt", b"a {c}.\nthe {c}\n");
    write(root, "dataset_type.txt", b"classification\n");
    write(root, "test/nshards.txt", b"2");
    write(root, "test/0.tar", &tar(&[("s1.png", b"one"), ("s1.cls", b"1")]));
    write(root, "test/1.tar", &tar(&[("s0.cls", b"0"), ("s0.jpg", b"zero")]));
}

#[test]
fn webdataset_from_root_split_and_tar() {
    let dir = tempfile::tempdir().unwrap();
    web(dir.path());
    for path in ["", "test"] {
        let data = Dataset::open(&spec(&dir.path().join(path))).unwrap();
        assert_eq!(
            (data.len(), data.layout(), data.split()),
            (2, Layout::WebDataset, Some("test"))
        );
        assert_eq!((data.key(0), data.label(0), data.bytes(0).unwrap()), ("s0", 0, b"zero".into()));
        assert_eq!((data.key(1), data.label(1), data.bytes(1).unwrap()), ("s1", 1, b"one".into()));
        assert_eq!(data.classes(), ["cat", "dog"]);
        assert_eq!(prompts("cat", data.templates()), ["a cat.", "the cat"]);
        assert!(data.problems().is_empty(), "{:?}", data.problems());
    }
    let one = Dataset::open(&spec(&dir.path().join("test/1.tar"))).unwrap();
    assert_eq!((one.len(), one.key(0)), (1, "s0"));
}

#[test]
fn equal_keys_in_two_shards_are_told_apart() {
    let dir = tempfile::tempdir().unwrap();
    web(dir.path());
    write(dir.path(), "test/1.tar", &tar(&[("s1.cls", b"0"), ("s1.jpg", b"zero")]));
    let data = Dataset::open(&spec(dir.path())).unwrap();
    assert_eq!((data.key(0), data.key(1)), ("0/s1", "1/s1"));
}

#[test]
fn what_does_not_fit_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    web(dir.path());
    let fails = |want: &str| {
        let message = Dataset::open(&spec(dir.path())).unwrap_err().to_string();
        assert!(message.contains(want), "{message}");
    };
    write(dir.path(), "test/1.tar", &tar(&[("s0.cls", b"2"), ("s0.jpg", b"x")]));
    fails("sample `s0`: expected a label under 2");
    write(dir.path(), "test/1.tar", &tar(&[]));
    write(dir.path(), "test/0.tar", &tar(&[]));
    fails("tar shards without any");
    write(dir.path(), "test/1.tar", &tar(&[("s0.input.png", b"x"), ("s0.cls", b"0")]));
    fails("got members that end in `.cls`, `.input.png`");
    write(dir.path(), "dataset_type.txt", b"retrieval");
    fails("got `retrieval`");
    fs::remove_file(dir.path().join("dataset_type.txt")).unwrap();
    fs::remove_file(dir.path().join("classnames.txt")).unwrap();
    fails("classnames.txt");
}

#[test]
fn the_spec_comes_before_the_layout() {
    let dir = tempfile::tempdir().unwrap();
    web(dir.path());
    write(dir.path(), "mine.txt", b"tabby\nhound\n");
    write(dir.path(), "prompts.txt", b"my {}");
    let mut spec = spec(dir.path());
    spec.classnames = Some(dir.path().join("mine.txt"));
    spec.templates = Some(dir.path().join("prompts.txt"));
    let data = Dataset::open(&spec).unwrap();
    assert_eq!(
        (data.classes()[0].as_str(), data.templates()),
        ("tabby", &["my {}".to_string()][..])
    );
}

#[test]
fn image_folder_classes_and_default_template() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "dog/1.png", b"1");
    write(dir.path(), "cat/2.png", b"2");
    let data = Dataset::open(&spec(dir.path())).unwrap();
    assert_eq!(
        (data.classes(), data.key(0)),
        (&["cat".to_string(), "dog".into()][..], "cat/2.png")
    );
    assert_eq!((data.label(1), data.bytes(1).unwrap()), (1, b"1".to_vec()));
    assert_eq!(data.templates(), [DEFAULT_TEMPLATE]);
    assert!(data.problems()[0].to_string().contains(DEFAULT_TEMPLATE));
    write(dir.path(), "classnames.txt", b"one\ntwo\nthree\n");
    let message = Dataset::open(&spec(dir.path())).unwrap_err().to_string();
    assert!(message.contains("2 class folders, got 3"), "{message}");
}

#[test]
fn numeric_folders_are_labels() {
    let dir = tempfile::tempdir().unwrap();
    for folder in ["0", "2", "10"] {
        write(dir.path(), &format!("{folder}/a.jpeg"), b"x");
    }
    let names: String = (0..12).map(|i| format!("class {i}\n")).collect();
    write(dir.path(), "classnames.txt", names.as_bytes());
    let data = Dataset::open(&spec(dir.path())).unwrap();
    let by_key = |key: &str| (0..3).find(|&i| data.key(i) == key).map(|i| data.label(i));
    assert_eq!((by_key("10/a.jpeg"), by_key("2/a.jpeg")), (Some(10), Some(2)));
    assert_eq!(data.classes().len(), 12);
}

#[test]
fn limit_is_a_seeded_subset() {
    let dir = tempfile::tempdir().unwrap();
    for i in 0..20 {
        write(dir.path(), &format!("a/{i}.png"), b"x");
    }
    let mut spec = spec(dir.path());
    let all = Dataset::open(&spec).unwrap().order(5);
    spec.limit = Some(6);
    assert_eq!(Dataset::open(&spec).unwrap().order(5), all[..6]);
    spec.limit = Some(0);
    assert!(Dataset::open(&spec).is_err());
}

#[test]
fn the_hash_follows_the_content() {
    let dir = tempfile::tempdir().unwrap();
    web(dir.path());
    let hash = || Dataset::open(&spec(dir.path())).unwrap().hash(&[0, 1]).unwrap();
    let first = hash();
    assert_eq!((first.len(), &first), (64, &hash()));
    write(dir.path(), "test/0.tar", &tar(&[("s1.png", b"two"), ("s1.cls", b"1")]));
    assert_ne!(hash(), first);
    web(dir.path());
    assert_eq!(hash(), first);
    write(dir.path(), "classnames.txt", b"cat\nwolf\n");
    assert_ne!(hash(), first);
}

/// Copied, touched or moved it is the same; another byte, near either end or in the number of
/// them, is not; nor is another name. Images that a sweep leaves out are not read.
#[test]
fn the_hash_of_a_folder_is_of_its_images_not_of_their_times() {
    let (dir, copy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let long = vec![7; 100_000];
    let fill = |dir: &Path| {
        write(dir, "a/0.png", b"zero");
        write(dir, "a/1.png", &long);
        write(dir, "b/2.png", b"two");
    };
    fill(dir.path());
    let hash = |dir: &Path, used: &[usize]| Dataset::open(&spec(dir)).unwrap().hash(used).unwrap();
    let first = hash(dir.path(), &[2, 0, 1]);
    assert_eq!(hash(dir.path(), &[0, 1, 2]), first);
    fill(copy.path());
    let old = std::fs::File::options().write(true).open(copy.path().join("a/0.png")).unwrap();
    old.set_modified(std::time::UNIX_EPOCH).unwrap();
    assert_eq!(hash(copy.path(), &[0, 1, 2]), first);
    for at in [3, 99_990] {
        let mut other = long.clone();
        other[at] = 8;
        write(copy.path(), "a/1.png", &other);
        assert_ne!(hash(copy.path(), &[0, 1, 2]), first, "{at}");
        assert_eq!(hash(copy.path(), &[0, 2]), hash(dir.path(), &[0, 2]));
    }
    write(copy.path(), "a/1.png", &long[1..]);
    assert_ne!(hash(copy.path(), &[0, 1, 2]), first);
    fill(copy.path());
    std::fs::rename(copy.path().join("b/2.png"), copy.path().join("b/3.png")).unwrap();
    assert_ne!(hash(copy.path(), &[0, 1, 2]), first);
}
