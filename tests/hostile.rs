//! Datasets made to do harm: each is an error in words or harmless, soon and in
//! little memory.
#![allow(clippy::unwrap_used)] // helpers of tests

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use alphascope::dataset::{Dataset, DatasetError, Preprocess};
use alphascope::sweep::spec::{DatasetSpec, Role};

fn open(path: &Path) -> Result<Dataset, DatasetError> {
    Dataset::open(&DatasetSpec::new("test", Role::Id, path))
}

fn refused(path: &Path, want: &str) {
    let message = open(path).unwrap_err().to_string();
    assert!(message.contains(want), "{message}");
}

/// The bytes of one tar member; `claimed` is the size its header tells.
fn member(name: &str, kind: u8, claimed: u64, data: &[u8]) -> Vec<u8> {
    let mut header = tar::Header::new_ustar();
    header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
    header.set_entry_type(tar::EntryType::new(kind));
    header.set_size(claimed);
    header.set_mode(0o644);
    header.set_cksum();
    let mut bytes = header.as_bytes().to_vec();
    bytes.extend_from_slice(data);
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

fn shard(dir: &Path, members: &[Vec<u8>]) -> std::path::PathBuf {
    fs::write(dir.join("classnames.txt"), "cat\ndog\n").unwrap();
    let path = dir.join("0.tar");
    let mut bytes = members.concat();
    bytes.resize(bytes.len() + 1024, 0);
    fs::write(&path, bytes).unwrap();
    path
}

#[test]
fn names_in_a_tar_lead_nowhere() {
    let dir = tempfile::tempdir().unwrap();
    let inner = dir.path().join("inner");
    fs::create_dir(&inner).unwrap();
    let plain = || vec![member("./a.png", b'0', 3, b"one"), member("./a.cls", b'0', 1, b"0")];
    for name in ["../escaped.png", "/tmp/alphascope-absolute.png", "a/../../escaped.cls"] {
        let path = shard(&inner, &[plain(), vec![member(name, b'0', 1, b"0")]].concat());
        refused(&path, &format!("member `{name}`"));
        // A folder or a link of that name is no better.
        refused(&shard(&inner, &[member(name, b'2', 0, b"")]), &format!("member `{name}`"));
    }
    assert!(!dir.path().join("escaped.png").exists());
    assert!(!Path::new("/tmp/alphascope-absolute.png").exists());
    // A link in the place of an image is no image.
    let path = shard(&inner, &[plain(), vec![member("link.png", b'2', 0, b"")]].concat());
    let data = open(&path).unwrap();
    assert_eq!((data.len(), data.key(0), data.bytes(0).unwrap()), (1, "a", b"one".to_vec()));
}

#[test]
fn sizes_in_a_tar_are_not_believed() {
    let dir = tempfile::tempdir().unwrap();
    for claimed in [4096, 1 << 32, (1 << 33) - 1] {
        refused(&shard(dir.path(), &[member("a.png", b'0', claimed, b"x")]), "cut short");
    }
    // A long name of four gigabytes, and one that is never followed by its member.
    for claimed in [1 << 32, 10] {
        let path = shard(dir.path(), &[member("././@LongLink", b'L', claimed, b"x")]);
        assert!(open(&path).is_err());
    }
    // The same member a thousand times is one sample too many.
    let many = vec![member("a.cls", b'0', 1, b"0"); 1000];
    refused(&shard(dir.path(), &many), "twice");
}

/// A PNG that claims so many pixels and holds a line of them.
fn png(width: u32, height: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(png::ColorType::Rgba);
    encoder.set_depth(png::BitDepth::Sixteen);
    let mut writer = encoder.write_header().unwrap();
    writer.write_chunk(png::chunk::IDAT, &[0x78, 0x9C, 0x63, 0, 0, 0, 0, 0xFF, 0xFF]).unwrap();
    drop(writer);
    bytes
}

#[test]
fn images_that_claim_to_be_huge_are_refused() {
    let why = |bytes: &[u8]| Preprocess::clip(8).decode(bytes).unwrap_err().to_string();
    assert!(why(&png(100_000, 100_000)).contains("over the limit"));
    assert!(why(&png(13_000, 13_000)).contains("bytes can hold"));
    let mut bmp = vec![0; 54];
    bmp[..2].copy_from_slice(b"BM");
    for (at, value) in [(10, 54_i32), (14, 40), (18, i32::MAX), (22, i32::MIN)] {
        bmp[at..at + 4].copy_from_slice(&value.to_le_bytes());
    }
    bmp[28] = 8;
    assert!(why(&bmp).contains("limit"));
    let gif = b"GIF89a\xFF\xFF\xFF\xFF\0\0\0,\0\0\0\0\xFF\xFF\xFF\xFF\0\x08\x01\0\0";
    assert!(Preprocess::clip(8).decode(gif).is_err());
    let mut jpeg = vec![0xFF, 0xD8, 0xFF, 0xC0, 0, 17, 8, 0xFF, 0xDC, 0xFF, 0xDC, 3];
    jpeg.extend([1, 0x11, 0, 2, 0x11, 0, 3, 0x11, 0, 0xFF, 0xDA]);
    assert!(Preprocess::clip(8).decode(&jpeg).is_err());
}

/// A few kilobytes that inflate to a hundred megabytes, where a decoder might follow them.
#[test]
fn deflate_bombs_are_not_followed() {
    use std::io::Write as _;
    let mut bomb = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
    let block = vec![0; 1 << 20];
    (0..100).for_each(|_| bomb.write_all(&block).unwrap());
    let bomb = bomb.finish().unwrap();
    assert!(bomb.len() < 200_000);
    let with = |extra: Option<(png::chunk::ChunkType, Vec<u8>)>, data: &[u8]| {
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, 4, 4);
        encoder.set_color(png::ColorType::Rgb);
        let mut writer = encoder.write_header().unwrap();
        if let Some((kind, data)) = extra {
            writer.write_chunk(kind, &data).unwrap();
        }
        writer.write_chunk(png::chunk::IDAT, data).unwrap();
        drop(writer);
        Preprocess::clip(4).decode(&bytes)
    };
    // Pixels that go on after the last row: as many as the header says are read.
    assert_eq!(with(None, &bomb).unwrap(), [0; 48]);
    let mut whole = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
    whole.write_all(&[0; 4 * 13]).unwrap();
    let whole = whole.finish().unwrap();
    for (kind, before) in [(png::chunk::zTXt, &b"k\0\0"[..]), (png::chunk::iCCP, b"k\0\0")] {
        let chunk = [before, &bomb].concat();
        assert_eq!(with(Some((kind, chunk)), &whole).unwrap(), [0; 48]);
    }
}

#[test]
fn links_pipes_and_deep_folders_end() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("set");
    let class = root.join("cat");
    let deep: std::path::PathBuf = std::iter::repeat_n("d", 100).collect();
    fs::create_dir_all(class.join(deep)).unwrap();
    fs::write(class.join("1.png"), "x").unwrap();
    for (target, name) in [
        (root.clone(), "up"),
        (dir.path().into(), "above"),
        (class.clone(), "self"),
        (class.join("gone.png"), "dangling.png"),
        (class.join("round.png"), "round.png"),
    ] {
        symlink(target, class.join(name)).unwrap();
    }
    // Reading a pipe would wait for ever.
    rustix::fs::mknodat(
        rustix::fs::CWD,
        class.join("pipe.png"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from_raw_mode(0o600),
        0,
    )
    .unwrap();
    let data = open(&root).unwrap();
    let mut keys: Vec<&str> = (0..data.len()).map(|i| data.key(i)).collect();
    keys.sort_unstable();
    assert_eq!(keys, ["cat/1.png", "cat/dangling.png", "cat/pipe.png", "cat/round.png"]);
    // They are images that cannot be read: that is told, and nothing is waited for.
    let readable = (0..data.len()).filter(|&i| data.bytes(i).is_ok()).count();
    assert_eq!(readable, 1);
    let all: Vec<usize> = (0..data.len()).collect();
    assert_eq!(data.hash(&all).unwrap(), data.hash(&all).unwrap());
    refused(&class.join("pipe.png"), "got a pipe");
    let round = root.join("round");
    symlink(&round, &round).unwrap();
    assert!(open(&round).is_err());
}

/// Whole files of each kind to start from.
fn seeds(kind: &str) -> Vec<Vec<u8>> {
    if kind == "tar" {
        let parts = [
            member("a.cls", b'0', 1, b"1"),
            member("a.png", b'0', 3, b"one"),
            member("b.json", b'0', 12, b"{\"label\": 0}"),
            member("b.jpg", b'0', 3, b"two"),
            member("c.txt", b'0', 7, b"red fox"),
            member("c.webp", b'0', 5, b"three"),
        ];
        let mut long = tar::Builder::new(Vec::new());
        for end in ["png", "cls"] {
            let mut header = tar::Header::new_gnu();
            header.set_size(1);
            header.set_cksum();
            let name = format!("{}/s.{end}", "d".repeat(180));
            long.append_data(&mut header, name, &b"1"[..]).unwrap();
        }
        return vec![parts.concat(), long.into_inner().unwrap()];
    }
    let folder = if kind == "image" { "images" } else { kind };
    let base = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(folder);
    let mut files: Vec<_> =
        fs::read_dir(base).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| {
        path.is_file() && path.extension().is_some_and(|end| end != "json" && end != "gz")
    });
    files.sort();
    files.iter().map(|path| fs::read(path).unwrap()).collect()
}

/// A few random damages: bits, whole numbers, cuts, repetitions, parts of
/// another file.
fn damage(random: &mut impl rand::Rng, bytes: &mut Vec<u8>, other: &[u8]) {
    use rand::RngExt as _;
    for _ in 0..random.random_range(1..6) {
        if bytes.is_empty() {
            return;
        }
        let at = random.random_range(0..bytes.len());
        let to = (at + random.random_range(1..64)).min(bytes.len());
        match random.random_range(0..7) {
            0 => bytes[at] ^= 1 << random.random_range(0..8),
            1 => bytes[at] = random.random(),
            2 => bytes[at..to].fill([0, 0xFF, 0x7F, 0x80][random.random_range(0..4)]),
            3 => bytes.truncate(at),
            4 => {
                let part = bytes[at..to].to_vec();
                bytes.splice(at..at, part);
            }
            5 => drop(bytes.drain(at..to)),
            _ if !other.is_empty() => {
                let from = random.random_range(0..other.len());
                let end = (from + to - at).min(other.len());
                bytes.splice(at..to, other[from..end].to_vec());
            }
            _ => {}
        }
    }
}

/// Damaged files of every kind: `ALPHASCOPE_DAMAGES` says how many of each. The
/// coverage-guided twin of this test is in `fuzz/`.
#[test]
fn damaged_files_do_no_harm() {
    use rand::{RngExt as _, SeedableRng as _};
    let many = std::env::var("ALPHASCOPE_DAMAGES").ok().and_then(|n| n.parse().ok()).unwrap_or(200);
    let seed = std::env::var("ALPHASCOPE_SEED").ok().and_then(|n| n.parse().ok()).unwrap_or(0);
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("classnames.txt"), "cat\nred fox\n").unwrap();
    for kind in ["image", "tar", "parquet"] {
        let seeds = seeds(kind);
        assert!(!seeds.is_empty());
        let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
        let path = dir.path().join(format!("0.{kind}"));
        let mut opened = 0;
        for _ in 0..many {
            let mut bytes = seeds[random.random_range(0..seeds.len())].clone();
            let other = &seeds[random.random_range(0..seeds.len())];
            damage(&mut random, &mut bytes, other);
            // Kept where a crash would leave it.
            fs::write(&path, &bytes).unwrap();
            if kind == "image" {
                opened += usize::from(Preprocess::clip(16).decode(&bytes).is_ok());
            } else if let Ok(data) = open(&path) {
                opened += 1;
                (0..data.len()).for_each(|i| drop(data.bytes(i)));
            }
        }
        println!("{kind}: {many} damaged files, {opened} of them still open");
        assert!(opened < many);
    }
}

/// What fuzzing found once stays mended (see `fuzz/`), and inputs that led it furthest.
#[test]
fn past_findings() {
    let base = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let files = |kind: &str| {
        let list = fs::read_dir(base.join(format!("fuzz-{kind}"))).unwrap();
        let files: Vec<_> = list.map(|entry| entry.unwrap().path()).collect();
        assert!(!files.is_empty(), "{kind}");
        files
    };
    for path in files("image") {
        if let Ok(pixels) = Preprocess::clip(16).decode(&fs::read(path).unwrap()) {
            assert_eq!(pixels.len(), 16 * 16 * 3);
        }
    }
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("classnames.txt"), "cat\nred fox\n").unwrap();
    for kind in ["tar", "parquet"] {
        for finding in files(kind) {
            let path = dir.path().join(format!("0.{kind}"));
            fs::copy(finding, &path).unwrap();
            if let Ok(data) = open(&path) {
                for i in 0..data.len() {
                    assert!(data.label(i) < data.classes().len());
                    let _ = data.bytes(i);
                }
            }
        }
    }
}
