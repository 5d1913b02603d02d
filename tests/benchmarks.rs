//! ImageNet and the datasets that test robustness with its classes, as folders
//! made on the spot: labels, rows of the head, counts.
#![allow(clippy::unwrap_used)] // helpers of tests

use std::fs;
use std::path::Path;

use alphascope::dataset::{Dataset, ImageNetId};
use alphascope::sweep::spec::{Consent, DatasetSpec, Protocol, Role};

/// A picture of one pixel.
const DOT: &[u8] = b"P6 1 1 255\nabc";

fn spec(path: &Path) -> DatasetSpec {
    DatasetSpec::new("test", Role::Ood, path)
}

fn open(path: &Path) -> Dataset {
    Dataset::open(&spec(path)).unwrap()
}

fn write(root: &Path, file: &str, data: &[u8]) {
    let path = root.join(file);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, data).unwrap();
}

/// WordNet number, shifts and name of every class, by the public list.
fn classes() -> Vec<(String, String, String)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/imagenet/classes.tsv");
    let text = fs::read_to_string(path).unwrap();
    let line = |line: &str| {
        let fields: Vec<String> = line.split('\t').map(str::to_string).collect();
        (fields[0].clone(), fields[1].clone(), fields[2].clone())
    };
    text.lines().map(line).collect()
}

fn label_of(data: &Dataset, key: &str) -> usize {
    data.label((0..data.len()).find(|&i| data.key(i) == key).unwrap())
}

fn benchmark(data: &Dataset) -> Option<(&str, usize)> {
    data.benchmark().map(|it| (it.name.as_str(), it.images))
}

#[test]
fn v2_folders_are_labels_not_ranks() {
    let dir = tempfile::tempdir().unwrap();
    for label in 0..1000 {
        write(dir.path(), &format!("{label}/a.jpeg"), DOT);
    }
    let data = open(dir.path());
    // Sorted as text, `10` is the third folder and `2` the 113th.
    for label in [0, 2, 10, 99, 100, 999] {
        assert_eq!(label_of(&data, &format!("{label}/a.jpeg")), label);
    }
    assert_eq!((data.classes().len(), data.classes()[0].as_str()), (1000, "tench"));
    assert_eq!(benchmark(&data), Some(("ImageNet-V2", 10_000)));
    assert_eq!(data.templates().len(), 80);
    let told = data.problems()[0].to_string();
    assert!(told.contains("10000 images, here are 1000"), "{told}");
}

#[test]
fn v2_with_folders_missing_goes_by_its_name() {
    let dir = tempfile::tempdir().unwrap();
    for label in [3, 10, 999] {
        write(dir.path(), &format!("imagenetv2-top-images/{label}/a.jpeg"), DOT);
        write(dir.path(), &format!("digits/{label}/a.jpeg"), DOT);
    }
    let data = open(&dir.path().join("imagenetv2-top-images"));
    assert_eq!((label_of(&data, "999/a.jpeg"), data.classes().len()), (999, 1000));
    let digits = open(&dir.path().join("digits"));
    assert_eq!((benchmark(&digits), digits.classes().len()), (None, 3));
}

#[test]
fn two_hundred_classes_are_rows_of_the_thousand() {
    for (shift, name, images) in [("r", "ImageNet-R", 30_000), ("a", "ImageNet-A", 7_500)] {
        let dir = tempfile::tempdir().unwrap();
        let all = classes();
        let chosen: Vec<_> =
            all.iter().enumerate().filter(|(_, class)| class.1.contains(shift)).collect();
        for (_, (wordnet, ..)) in &chosen {
            write(dir.path(), &format!("{wordnet}/1.jpg"), DOT);
        }
        let data = open(dir.path());
        assert_eq!((benchmark(&data), data.classes().len()), (Some((name, images)), 200));
        let rows: Vec<usize> = data.imagenet().unwrap().iter().map(|id| id.label()).collect();
        assert_eq!(rows, chosen.iter().map(|(label, _)| *label).collect::<Vec<_>>());
        let names: Vec<&str> = chosen.iter().map(|(_, class)| class.2.as_str()).collect();
        assert_eq!(data.classes(), names);
    }
}

#[test]
fn class_names_of_all_thousand_fit_a_part() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "n01443537/1.jpg", DOT);
    write(dir.path(), "n15075141/1.jpg", DOT);
    let names: String = (0..1000).map(|i| format!("own {i}\n")).collect();
    write(dir.path(), "classnames.txt", names.as_bytes());
    assert_eq!(open(dir.path()).classes(), ["own 1", "own 999"]);
    write(dir.path(), "classnames.txt", b"a\nb\nc\n");
    let message = Dataset::open(&spec(dir.path())).unwrap_err().to_string();
    assert!(message.contains("2 class folders, got 3"), "{message}");
}

#[test]
fn corruptions_at_every_level() {
    let dir = tempfile::tempdir().unwrap();
    for (place, n) in [("noise/shot_noise/1", 1), ("noise/shot_noise/5", 2), ("weather/fog/1", 3)] {
        for wordnet in ["n01440764", "n15075141"] {
            write(dir.path(), &format!("{place}/{wordnet}/{n}.JPEG"), DOT);
        }
    }
    let at = |path: &str| {
        let data = open(&dir.path().join(path));
        let ids: Vec<usize> = data.imagenet().unwrap().iter().map(|id| id.label()).collect();
        assert_eq!(ids, [0, 999]);
        (data.len(), data.benchmark().map(|it| (it.name.clone(), it.images)))
    };
    let named = |name: &str, n| Some((name.to_string(), n));
    assert_eq!(at("weather/fog/1"), (2, named("ImageNet-C, fog 1", 50_000)));
    assert_eq!(
        at("noise/shot_noise"),
        (4, named("ImageNet-C, 2 corruptions × severities", 100_000))
    );
    assert_eq!(at("").0, 6);
    let data = open(dir.path());
    assert_eq!(label_of(&data, "noise/shot_noise/5/n15075141/2.JPEG"), 1);
}

/// Four classes of ObjectNet: `Chair` is two of ImageNet's, `Mug` one, and
/// `Banana` one of a later number; `Air freshener` is none.
fn objectnet(root: &Path) {
    write(
        root,
        "mappings/folder_to_objectnet_label.json",
        br#"{"air_freshener": "Air freshener", "banana": "Banana", "chair": "Chair", "mug": "Mug"}"#,
    );
    write(
        root,
        "mappings/objectnet_to_imagenet_1k.json",
        br#"{"Mug": "coffee mug", "Chair": "folding chair; rocking chair, rocker", "Banana": "banana"}"#,
    );
    write(
        root,
        "mappings/imagenet_to_label_2012_v2",
        b"banana\nrocking chair, rocker\nfolding chair\ncoffee mug\n",
    );
    write(
        root,
        "mappings/pytorch_to_imagenet_2012_id.json",
        br#"{"954": 0, "765": 1, "559": 2, "504": 3}"#,
    );
    for folder in ["air_freshener", "banana", "chair", "mug"] {
        write(root, &format!("images/{folder}/1.png"), b"P6 5 6 255\n012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789");
    }
}

#[test]
fn objectnet_has_two_protocols() {
    let dir = tempfile::tempdir().unwrap();
    objectnet(dir.path());
    for path in ["", "images"] {
        let mut spec = spec(&dir.path().join(path));
        spec.protocol = Some(Protocol::WiseFt);
        let data = Dataset::open(&spec).unwrap();
        assert_eq!(
            (data.len(), data.classes()),
            (3, &["banana", "chair", "mug"].map(String::from)[..])
        );
        let ids: Vec<usize> = data.imagenet().unwrap().iter().map(|id| id.label()).collect();
        assert_eq!(ids, [504, 559, 765, 954]);
        assert_eq!(data.rows()[1], ImageNetId::new(559).unwrap().name());
        // A chair is a folding chair or a rocking chair.
        let groups: Vec<Vec<usize>> = data
            .groups()
            .unwrap()
            .iter()
            .map(|group| {
                let mut group = group.clone();
                group.sort_unstable();
                group
            })
            .collect();
        assert_eq!(groups, [vec![3], vec![1, 2], vec![0]]);
        assert_eq!(
            (data.frame(), benchmark(&data)),
            (2, Some(("ObjectNet, wise-ft protocol", 18_574)))
        );

        spec.protocol = Some(Protocol::ClipBenchmark);
        let data = Dataset::open(&spec).unwrap();
        assert_eq!((data.rows(), data.groups(), data.frame()), (data.classes(), None, 0));
        assert_eq!(data.templates().len(), 80);
        assert_eq!(benchmark(&data).unwrap().0, "ObjectNet, clip-benchmark protocol");
    }
    let told: Vec<String> = open(dir.path()).problems().iter().map(ToString::to_string).collect();
    assert!(told[0].contains("WiSE-FT's protocol"), "{told:?}");
    assert!(told.iter().any(|it| it.contains("1 image of 1 class that")), "{told:?}");
}

#[test]
fn objectnet_without_its_mappings_is_told() {
    let list = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/imagenet/objectnet.txt");
    let text = fs::read_to_string(list).unwrap();
    let folders: Vec<&str> = text.lines().collect();
    assert_eq!((folders.len(), folders[0]), (313, "air_freshener"));
    let told = |folders: &[&str]| {
        let dir = tempfile::tempdir().unwrap();
        folders.iter().for_each(|name| write(dir.path(), &format!("{name}/1.png"), DOT));
        let data = open(dir.path());
        assert_eq!((data.classes().len(), benchmark(&data)), (folders.len(), None));
        let told: Vec<String> = data.problems().iter().map(ToString::to_string).collect();
        told.into_iter().find(|it| it.contains("ObjectNet"))
    };
    let whole = told(&folders).unwrap();
    for part in [
        "313 of ObjectNet's 313 class folders",
        "measured as 313 classes of their own",
        "Give `mappings`, the folder with folder_to_objectnet_label.json",
    ] {
        assert!(whole.contains(part), "{whole}");
    }
    assert!(told(&folders[..120]).unwrap().contains("120 of ObjectNet's 313"));
    // The archive's own folder would be one class, `images`.
    let archive = tempfile::tempdir().unwrap();
    folders.iter().for_each(|name| write(archive.path(), &format!("images/{name}/1.png"), DOT));
    let refused = Dataset::open(&spec(archive.path())).unwrap_err().to_string();
    assert!(refused.contains("ObjectNet's archive without its mappings"), "{refused}");
    // Things of a house are in other datasets too.
    assert_eq!(told(&folders[..40]), None);
    let others: Vec<String> = (0..100).map(|i| format!("thing {i}")).collect();
    let mixed: Vec<&str> =
        folders[..200].iter().copied().chain(others.iter().map(String::as_str)).collect();
    assert_eq!(told(&mixed), None);
}

#[test]
fn objectnet_files_that_do_not_fit_are_named() {
    let dir = tempfile::tempdir().unwrap();
    objectnet(dir.path());
    let fails = |file: &str, text: &str, want: &str| {
        let path = dir.path().join("mappings").join(file);
        let before = fs::read(&path).unwrap();
        fs::write(&path, text).unwrap();
        let message = Dataset::open(&spec(dir.path())).unwrap_err().to_string();
        assert!(message.contains(want) && message.contains("mappings"), "{message}");
        fs::write(&path, before).unwrap();
    };
    fails("objectnet_to_imagenet_1k.json", "{\"Mug\": \"cup\"}", "`cup`");
    fails("objectnet_to_imagenet_1k.json", "{\"Pen\": \"banana\"}", "`Pen`");
    fails("pytorch_to_imagenet_2012_id.json", "{\"1000\": 0}", "`1000`");
    fails("folder_to_objectnet_label.json", "[", "ObjectNet's archive");
    let mut other = spec(dir.path());
    other.path = dir.path().join("mappings");
    fs::create_dir_all(other.path.join("cat")).unwrap();
    let plain = tempfile::tempdir().unwrap();
    write(plain.path(), "cat/1.png", DOT);
    let mut spec = spec(plain.path());
    spec.protocol = Some(Protocol::WiseFt);
    let message = Dataset::open(&spec).unwrap_err().to_string();
    assert!(message.contains("`mappings`"), "{message}");
}

#[test]
fn unreadable_images_are_left_out_only_with_consent() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "a/1.png", DOT);
    write(dir.path(), "a/2.png", b"not a picture");
    write(dir.path(), "b/3.png", &DOT[..12]);
    write(dir.path(), "b/4.png", DOT);
    let mut spec = spec(dir.path());
    assert_eq!(Dataset::open(&spec).unwrap().len(), 4);
    spec.unreadable = Consent::Skip;
    let data = Dataset::open(&spec).unwrap();
    let keys: Vec<&str> = (0..data.len()).map(|i| data.key(i)).collect();
    assert_eq!(keys, ["a/1.png", "b/4.png"]);
    let skipped: Vec<&str> = data.skipped().iter().map(|image| image.key.as_str()).collect();
    assert_eq!(skipped, ["a/2.png", "b/3.png"]);
    let told = data.problems().last().unwrap().to_string();
    assert!(told.starts_with("2 images cannot be read and are left out"), "{told}");
    fs::remove_dir_all(dir.path().join("a")).unwrap();
    fs::remove_file(dir.path().join("b/4.png")).unwrap();
    assert!(
        Dataset::open(&spec).unwrap_err().to_string().contains("its only image cannot be read")
    );
}
