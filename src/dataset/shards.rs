//! WebDataset shards: tar files, indexed once by offset and read in place.
//! Nothing is ever extracted, so a path inside a shard is only a name.

use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::path::Path;

use super::error::DatasetError;
use super::{Entry, IMAGE_EXTENSIONS, Location, Problem};

/// A tar block; headers and data are padded to it.
const BLOCK: u64 = 512;
/// What may hold a sample's label, the surest first, and the bytes it may have.
const LABELS: [(&str, u64); 3] = [("cls", 64), ("json", 1 << 16), ("txt", 512)];
/// Fields of a `.json` that are labels, in this order.
const FIELDS: [&str; 6] = ["cls", "label", "class", "target", "class_name", "label_name"];

/// Class names to look labels up in.
pub(crate) type Names<'a> = HashMap<&'a str, u32>;

/// What one shard holds, in the order of the file.
#[derive(Debug, Default)]
pub(crate) struct Index {
    /// Images with labels.
    pub entries: Vec<Entry>,
    /// What is odd, but no error.
    pub problems: Vec<Problem>,
    /// The first few extensions of its members, whether they are of samples or not.
    pub extensions: BTreeSet<String>,
}

/// So many extensions of a shard are kept to tell of.
const EXTENSIONS: usize = 8;

/// One sample while its parts are gathered.
#[derive(Default)]
struct Sample {
    image: Option<(u64, u64, String)>,
    /// Offset and length by place in [`LABELS`].
    labels: [Option<(u64, u64)>; LABELS.len()],
}

/// Splits a path as the `webdataset` package does: the key goes to the first
/// dot of the file name, the rest is the extension. `None` for hidden files.
pub(crate) fn key_and_extension(path: &str) -> Option<(&str, String)> {
    let name = path.rfind('/').map_or(0, |slash| slash + 1);
    let dot = name + path.get(name..)?.find('.')?;
    (dot > name).then(|| (&path[..dot], path[dot + 1..].to_ascii_lowercase()))
}

/// Reads the headers of one shard. `shard` is its number in the dataset;
/// labels that are words are looked up in `names`.
///
/// # Errors
/// When the file is not a tar, is cut short, a member's name is absolute or
/// leads out by `..`, or a sample has no usable label, no image, or comes twice.
pub(crate) fn index(
    path: &Path,
    shard: u32,
    file: &File,
    names: &Names<'_>,
) -> Result<Index, DatasetError> {
    let length = file.metadata().map_err(DatasetError::read(path))?.len();
    let mut samples: Vec<(String, Sample)> = Vec::new();
    let mut known: HashMap<String, usize> = HashMap::new();
    let mut index = Index::default();
    let mut end = 0;
    let mut archive = tar::Archive::new(std::io::BufReader::new(file));
    let broken = |read: u64, error: std::io::Error| {
        // The crate's words for an end within a header.
        let message = if read > 0 && error.to_string() == "failed to read entire block" {
            format!("truncated: it ends at byte {length}, within the header of a member")
        } else {
            format!("expected a whole tar file, got: {error}")
        };
        DatasetError::shard(path, message)
    };
    for entry in archive.entries_with_seek().map_err(|error| broken(0, error))? {
        let entry = entry.map_err(|error| broken(end, error))?;
        let (offset, size) = (entry.raw_file_position(), entry.size());
        let stop = offset.checked_add(size).filter(|&stop| stop <= length).ok_or_else(|| {
            let message = format!(
                "cut short: `{}` ends at byte {}, the file has {length}",
                entry_name(&entry),
                offset.saturating_add(size)
            );
            DatasetError::shard(path, message)
        })?;
        end = stop.next_multiple_of(BLOCK);
        check_name(&entry).map_err(|message| DatasetError::layout(path, message))?;
        if !entry.header().entry_type().is_file() {
            continue;
        }
        let name = entry_name(&entry);
        let Some((key, extension)) = key_and_extension(&name) else { continue };
        if index.extensions.len() < EXTENSIONS && !index.extensions.contains(&extension) {
            index.extensions.insert(extension.clone());
        }
        let image = IMAGE_EXTENSIONS.contains(&extension.as_str());
        let label = LABELS.iter().position(|(name, _)| *name == extension);
        if !image && label.is_none() {
            continue;
        }
        let at = *known.entry(key.to_string()).or_insert_with(|| {
            samples.push((key.to_string(), Sample::default()));
            samples.len() - 1
        });
        let sample = &mut samples[at].1;
        if let Some(label) = label {
            if sample.labels[label].replace((offset, size)).is_some() {
                let message = format!(
                    "expected one `.{extension}`, got two; the sample is in the shard twice"
                );
                return Err(DatasetError::sample(path, key, message));
            }
        } else if let Some((.., other)) = &sample.image {
            let message = format!(
                "expected one image, got two (`.{other}` and `.{extension}`); keep one of them"
            );
            return Err(DatasetError::sample(path, key, message));
        } else {
            sample.image = Some((offset, size, extension));
        }
    }
    if end == 0 && length != 0 && samples.is_empty() && !ends_with_zeros(file, length) {
        return Err(DatasetError::shard(path, "expected a tar file, got something else"));
    }
    let whole = has_end_marker(file, end, length);
    if !whole {
        index.problems.push(Problem::new(format!(
            "{}: no end marker: the file may be cut short",
            path.display()
        )));
    }
    let cut = |key: &str, what: &str| {
        let message = format!(
            "truncated: it has no end marker, and its sample `{key}` {what}; the file has {length} bytes"
        );
        DatasetError::shard(path, message)
    };
    let last = samples.len().saturating_sub(1);
    for (number, (key, sample)) in samples.into_iter().enumerate() {
        let Some((offset, length, _)) = sample.image else {
            if !whole && number == last {
                return Err(cut(&key, "has a label but no image"));
            }
            // A lone `.json` or `.txt` is no sample: shards carry notes too.
            if sample.labels[0].is_some() {
                index.problems.push(Problem::new(format!(
                    "{}: sample `{key}` has a label but no image: left out",
                    path.display()
                )));
            }
            continue;
        };
        if !whole && sample.labels.iter().all(Option::is_none) {
            return Err(cut(&key, "has an image but no label"));
        }
        let label = read_label(file, &sample, names)
            .map_err(|message| DatasetError::sample(path, key.as_str(), message))?;
        index.entries.push(Entry { key, label, at: Location::Shard { shard, offset, length } });
    }
    Ok(index)
}

/// The entry's path as text, without a leading `./`; bytes that are not UTF-8 become �.
fn entry_name<R: std::io::Read>(entry: &tar::Entry<'_, R>) -> String {
    String::from_utf8_lossy(&entry.path_bytes()).trim_start_matches("./").to_string()
}

/// Refuses names that would lead out of the folder a tar is unpacked into. Nothing is unpacked
/// here, but whoever packs images has no use for them.
fn check_name<R: std::io::Read>(entry: &tar::Entry<'_, R>) -> Result<(), String> {
    let name = entry.path_bytes();
    let got = if name.starts_with(b"/") {
        "an absolute one"
    } else if name.split(|&byte| byte == b'/').any(|part| part == b"..") {
        "one with `..`"
    } else {
        return Ok(());
    };
    Err(format!(
        "cannot index its member `{}`: expected a name within the archive (relative, without `..`), \
         got {got}; take the shard from a source that you trust, or pack it again with plain names",
        String::from_utf8_lossy(&name)
    ))
}

/// The label by the surest part of a sample that has one.
fn read_label(file: &File, sample: &Sample, names: &Names<'_>) -> Result<u32, String> {
    let part = std::iter::zip(LABELS, sample.labels).find_map(|(kind, at)| Some((kind, at?)));
    let Some(((extension, most), (at, size))) = part else {
        return Err("expected a label in `.cls` (or `.json`, or `.txt`), got none".into());
    };
    if size > most {
        return Err(format!("expected a label in `.{extension}`, got {size} bytes"));
    }
    let bytes =
        read_at(file, at, size).map_err(|error| format!("cannot read `.{extension}`: {error}"))?;
    let text = String::from_utf8_lossy(&bytes);
    let text = match extension {
        "json" => field(&text)?,
        _ => text.trim().to_string(),
    };
    match text.parse() {
        Ok(number) => Ok(number),
        Err(_) => names.get(text.as_str()).copied().ok_or_else(|| {
            format!(
                "expected a class index (0, 1, …) or a class name in `.{extension}`, got `{}`",
                text.escape_debug()
            )
        }),
    }
}

/// The label among the fields of a `.json`.
fn field(text: &str) -> Result<String, String> {
    let json: serde_json::Value =
        serde_json::from_str(text).map_err(|error| format!("`.json`: {error}"))?;
    let found = FIELDS.iter().find_map(|name| match json.get(name)? {
        serde_json::Value::Number(number) => Some(number.to_string()),
        serde_json::Value::String(text) => Some(text.trim().to_string()),
        _ => None,
    });
    found.ok_or_else(|| {
        format!("expected a label in `.json`, in one of the fields {}, got none", FIELDS.join(", "))
    })
}

/// Reads `size` bytes at `offset`, without moving the file's position: many
/// threads share one open shard.
pub(crate) fn read_at(file: &File, offset: u64, size: u64) -> std::io::Result<Vec<u8>> {
    use std::os::unix::fs::FileExt as _;
    let size = usize::try_from(size).map_err(std::io::Error::other)?;
    let mut bytes = vec![0; size];
    file.read_exact_at(&mut bytes, offset)?;
    Ok(bytes)
}

/// A tar ends with two blocks of zeros.
fn has_end_marker(file: &File, end: u64, length: u64) -> bool {
    length >= end + 2 * BLOCK
        && read_at(file, end, 2 * BLOCK).is_ok_and(|bytes| bytes.iter().all(|&b| b == 0))
}

/// True for a tar with nothing in it.
fn ends_with_zeros(file: &File, length: u64) -> bool {
    has_end_marker(file, 0, length)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::io::Write as _;

    /// A tar file of the given members.
    pub(crate) fn tar(members: &[(&str, &[u8])]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (name, data) in members {
            let mut header = tar::Header::new_gnu();
            header.set_size(data.len() as u64);
            header.set_mode(0o644);
            builder.append_data(&mut header, name, *data).unwrap();
        }
        builder.into_inner().unwrap()
    }

    fn indexed(bytes: &[u8]) -> Result<Index, DatasetError> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(bytes).unwrap();
        let names = HashMap::from([("cat", 0), ("red fox", 7)]);
        index(file.path(), 3, &file.reopen().unwrap(), &names)
    }

    fn error(bytes: &[u8]) -> String {
        indexed(bytes).unwrap_err().to_string()
    }

    #[test]
    fn keys_go_to_the_first_dot() {
        assert_eq!(key_and_extension("a/b.c/s1.seg.PNG"), Some(("a/b.c/s1", "seg.png".into())));
        assert_eq!(key_and_extension("s1.jpg"), Some(("s1", "jpg".into())));
        assert_eq!(key_and_extension("a/._s1.jpg"), None);
        assert_eq!(key_and_extension("a/readme"), None);
        assert_eq!(key_and_extension("é.é/ü.png"), Some(("é.é/ü", "png".into())));
    }

    #[test]
    fn samples_are_found_where_they_are() {
        let long = format!("{}/s2", "d".repeat(180));
        let bytes = tar(&[
            ("s1.png", b"image one"),
            ("s1.cls", b"4\n"),
            ("s1.json", b"{}"),
            (&format!("{long}.cls"), b"0"),
            (&format!("{long}.jpg"), b"image two"),
            ("s3.cls", b"1"),
        ]);
        let index = indexed(&bytes).unwrap();
        let got: Vec<_> = index
            .entries
            .iter()
            .map(|entry| {
                let Location::Shard { shard: 3, offset, length } = entry.at else { panic!() };
                let data = &bytes[offset as usize..(offset + length) as usize];
                (entry.key.as_str(), entry.label, data)
            })
            .collect();
        let want: [(&str, u32, &[u8]); 2] = [("s1", 4, b"image one"), (&long, 0, b"image two")];
        assert_eq!(got, want);
        assert_eq!(index.problems.len(), 1);
        assert!(index.problems[0].to_string().contains("`s3`"));
    }

    #[test]
    fn what_is_wrong_is_named() {
        assert!(error(&tar(&[("s1.png", b"x")])).contains("`s1`: expected a label"));
        assert!(error(&tar(&[("s1.png", b"x"), ("s1.cls", b"cow")])).contains("got `cow`"));
        assert!(error(&tar(&[("s1.png", b"x"), ("s1.cls", b"-1")])).contains("got `-1`"));
        assert!(error(&tar(&[("s.png", b"x"), ("s.jpg", b"x"), ("s.cls", b"1")])).contains("two"));
        assert!(
            error(&tar(&[("s.png", b"x"), ("s.cls", b"1"), ("s.cls", b"1")])).contains("twice")
        );
        assert!(error(b"this is not a tar file at all").contains("expected a"));
        assert!(error(&[7; 4096]).contains("expected a"));
    }

    #[test]
    fn labels_are_read_from_the_surest_part() {
        let label = |parts: &[(&str, &[u8])]| {
            let mut members: Vec<(&str, &[u8])> = vec![("s1.png", b"x")];
            members.extend_from_slice(parts);
            indexed(&tar(&members)).map(|index| index.entries[0].label).map_err(|e| e.to_string())
        };
        assert_eq!(label(&[("s1.txt", b"red fox\n")]), Ok(7));
        assert_eq!(label(&[("s1.json", br#"{"width": 3, "label": 5}"#)]), Ok(5));
        assert_eq!(label(&[("s1.json", br#"{"class_name": "cat"}"#)]), Ok(0));
        assert_eq!(label(&[("s1.txt", b"a caption"), ("s1.json", b"{}"), ("s1.cls", b"2")]), Ok(2));
        assert!(label(&[("s1.txt", b"a caption")]).unwrap_err().contains("`a caption`"));
        assert!(label(&[("s1.json", b"{}")]).unwrap_err().contains("class_name"));
        assert!(label(&[("s1.json", b"{")]).unwrap_err().contains("`.json`"));
    }

    /// Names as no writer of this crate's would let them pass.
    fn tar_of_raw_names(names: &[&str]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for name in names {
            let mut header = tar::Header::new_gnu();
            header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
            header.set_size(1);
            header.set_cksum();
            builder.append(&header, &b"1"[..]).unwrap();
        }
        builder.into_inner().unwrap()
    }

    #[test]
    fn names_that_lead_out_of_the_archive_are_refused() {
        for (name, got) in [
            ("/abs/s1.png", "an absolute one"),
            ("../../s1.png", "one with `..`"),
            ("a/../s1.cls", "one with `..`"),
            ("../notes", "one with `..`"),
        ] {
            let said = error(&tar_of_raw_names(&["s0.png", "s0.cls", name]));
            assert!(said.contains(&format!("member `{name}`")) && said.contains(got), "{said}");
        }
        let plain =
            ["./", "./a../s1.png", "./a../s1.cls", "..s2.png", "...", "a..b/s3.png", "a..b/s3.cls"];
        let index = indexed(&tar_of_raw_names(&plain)).unwrap();
        let keys: Vec<&str> = index.entries.iter().map(|entry| entry.key.as_str()).collect();
        assert_eq!(keys, ["a../s1", "a..b/s3"]);
    }

    #[test]
    fn a_file_cut_within_a_sample_is_truncated() {
        let whole = tar(&[("s1.png", b"x"), ("s1.cls", b"1"), ("s2.png", b"x"), ("s2.cls", b"1")]);
        // Within the padding of the image, after it, within the label's header.
        for cut in [2560 + 512 + 1, 3072, 3073, 3500] {
            let said = error(&whole[..cut]);
            assert!(said.contains("truncated") && !said.contains("expected"), "{cut}: {said}");
        }
        assert!(error(&whole[..3072]).contains("`s2` has an image but no label"));
        let label_first = tar(&[("s1.cls", b"1"), ("s1.png", b"x"), ("s2.cls", b"1")]);
        let n = label_first.len() - 1024;
        assert!(error(&label_first[..n]).contains("`s2` has a label but no image"));
    }

    #[test]
    fn a_cut_file_is_noticed() {
        let whole = tar(&[("s1.cls", b"1"), ("s1.png", &[1; 3000])]);
        assert!(error(&whole[..2500]).contains("cut short"));
        let no_marker = &whole[..whole.len() - 1024];
        assert!(indexed(no_marker).unwrap().problems[0].to_string().contains("no end marker"));
        assert!(indexed(&tar(&[])).unwrap().entries.is_empty());
    }

    proptest::proptest! {
        #[test]
        fn random_bytes_never_panic(bytes in proptest::collection::vec(0u8.., 0..3000)) {
            let _ = indexed(&bytes);
        }

        #[test]
        fn damaged_tars_never_panic(at in 0usize..4096, value in 0u8.., cut in 0usize..4096) {
            let mut bytes = tar(&[("s1.png", b"image"), ("s1.cls", b"1"), ("s2.cls", b"1")]);
            let n = bytes.len();
            bytes[at % n] = value;
            bytes.truncate(n.saturating_sub(cut));
            let _ = indexed(&bytes);
        }
    }
}
