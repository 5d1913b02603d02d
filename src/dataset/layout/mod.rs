//! What lies at a path: which layout, and where its parts are.

mod lists;
mod tables;

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::Problem;
use super::error::DatasetError;
use super::imagenet::{self, ImageNetId};
use crate::plural;

/// Splits that hold test images come first.
const SPLITS: [&str; 4] = ["test", "val", "validation", "train"];

/// Group, corruption, severity: ImageNet-C's levels above its classes.
const LEVELS: usize = 3;

/// How a dataset is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Layout {
    /// Tar shards with `.cls` labels, as CLIP_benchmark writes them.
    WebDataset,
    /// One folder per class.
    ImageFolder,
    /// Parquet files with images and labels, as Hugging Face's hub has them.
    Parquet,
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::WebDataset => "WebDataset",
            Self::ImageFolder => "image folder",
            Self::Parquet => "parquet",
        })
    }
}

/// Where the parts are.
#[derive(Debug)]
pub(crate) struct Found {
    pub layout: Layout,
    /// The tar shards in order, or the one folder that holds class folders.
    pub parts: Vec<PathBuf>,
    /// The split's folder name, where there is one.
    pub split: Option<String>,
    /// Folders in which `classnames.txt` and the templates may lie, nearest
    /// first.
    pub roots: Vec<PathBuf>,
    pub problems: Vec<Problem>,
}

/// Recognises the layout at `path`.
///
/// # Errors
/// When nothing is there or it is none of the layouts.
pub(crate) fn find(path: &Path) -> Result<Found, DatasetError> {
    let kind = match fs::metadata(path) {
        Err(_) if path.to_string_lossy().contains('{') => return lists::find_pattern(path),
        kind => kind.map_err(DatasetError::read(path))?,
    };
    if !kind.is_dir() && !kind.is_file() {
        let message = "expected a folder or a file, got a pipe, socket or device";
        return Err(DatasetError::layout(path, message));
    }
    if !kind.is_dir() {
        return find_file(path);
    }
    let listing = Listing::of(path)?;
    if !listing.tars.is_empty() {
        return split_folder(path, listing.tars);
    }
    let splits: Vec<(&str, Vec<PathBuf>)> = SPLITS
        .iter()
        .filter(|split| listing.folders.iter().any(|name| name == *split))
        .map(|split| Ok((*split, Listing::of(&path.join(split))?.tars)))
        .collect::<Result<Vec<_>, DatasetError>>()?
        .into_iter()
        .filter(|(_, tars)| !tars.is_empty())
        .collect();
    if let Some((split, tars)) = splits.first() {
        let mut found = split_folder(&path.join(split), tars.clone())?;
        let others: Vec<_> = splits[1..].iter().map(|(name, _)| format!("`{name}`")).collect();
        if !others.is_empty() {
            found.problems.push(Problem::new(format!(
                "split `{split}` is used; also there: {}",
                others.join(", ")
            )));
        }
        return Ok(found);
    }
    if let Some(found) = tables::find_folder(path, &listing)? {
        return Ok(found);
    }
    if listing.folders.is_empty() {
        let message = format!(
            "expected tar shards (WebDataset), parquet files or one folder per class with images, got a folder with {}",
            if listing.files == 0 {
                "nothing in it".into()
            } else {
                plural::counted(listing.files, "other file")
            }
        );
        return Err(DatasetError::layout(path, message));
    }
    if listing.folders.iter().all(|name| SPLITS.contains(&name.as_str())) {
        let message = format!(
            "expected one folder per class, got the splits {}; give the path of one of them",
            listing.folders.join(", ")
        );
        return Err(DatasetError::layout(path, message));
    }
    let roots = [Some(path), path.parent()].into_iter().flatten().map(Path::to_path_buf).collect();
    Ok(Found {
        layout: Layout::ImageFolder,
        parts: class_roots(path, &listing.folders)?,
        split: None,
        roots,
        problems: Vec::new(),
    })
}

/// True for a folder of tar shards or parquet files, or with splits of them: it
/// cannot be a class of an image folder.
pub(crate) fn holds_files_of_many(path: &Path) -> bool {
    find(path).is_ok_and(|found| found.layout != Layout::ImageFolder)
}

/// The folders that hold class folders: the path itself, but of ImageNet-C all
/// severities of all corruptions below it.
fn class_roots(path: &Path, folders: &[String]) -> Result<Vec<PathBuf>, DatasetError> {
    if folders.is_empty() || !folders.iter().all(|name| imagenet::is_corruption_level(name)) {
        return Ok(vec![path.into()]);
    }
    let mut roots = Vec::new();
    let mut open: Vec<(PathBuf, usize)> = vec![(path.into(), 0)];
    while let Some((folder, depth)) = open.pop() {
        let below = Listing::of(&folder)?.folders;
        if below.iter().any(|name| ImageNetId::of_wordnet(name).is_some()) {
            roots.push(folder);
        } else if depth < LEVELS && below.iter().all(|name| imagenet::is_corruption_level(name)) {
            open.extend(below.iter().map(|name| (folder.join(name), depth + 1)));
        }
    }
    roots.sort();
    // Folders that are only called so: numbers, or classes named `fog`.
    Ok(if roots.is_empty() { vec![path.into()] } else { roots })
}

fn find_file(path: &Path) -> Result<Found, DatasetError> {
    let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
    match extension.to_ascii_lowercase().as_str() {
        "tar" => {
            let roots = path.ancestors().skip(1).take(2).map(Path::to_path_buf).collect();
            Ok(Found {
                layout: Layout::WebDataset,
                parts: vec![path.into()],
                split: path.parent().and_then(split_name),
                roots,
                problems: Vec::new(),
            })
        }
        "parquet" => Ok(tables::find_file(path)),
        "txt" | "list" | "lst" => lists::find_list(path),
        _ => Err(DatasetError::layout(
            path,
            "expected a folder, a .tar shard, a .txt list of shards or a .parquet file, got another file; give the dataset's folder",
        )),
    }
}

fn split_name(folder: &Path) -> Option<String> {
    let name = folder.file_name()?.to_str()?;
    SPLITS.contains(&name).then(|| name.to_string())
}

/// A folder with tars in it. `nshards.txt`, where there is one, says which of
/// them count, as CLIP_benchmark reads them.
fn split_folder(path: &Path, tars: Vec<PathBuf>) -> Result<Found, DatasetError> {
    let mut problems = Vec::new();
    let roots = path.ancestors().take(2).map(Path::to_path_buf).collect();
    let count_file = path.join("nshards.txt");
    let parts = if count_file.is_file() {
        let text = crate::regular::text(&count_file).map_err(DatasetError::read(&count_file))?;
        let count: usize = text.trim().parse().map_err(|_| DatasetError::Line {
            path: count_file.clone(),
            line: 1,
            message: format!("expected the number of shards, got `{}`", text.trim()),
        })?;
        let named: Vec<PathBuf> =
            (0..count.min(1 << 20)).map(|i| path.join(format!("{i}.tar"))).collect();
        if let Some(missing) = named.iter().find(|shard| !shard.is_file()) {
            let message = format!(
                "expected the {} that nshards.txt names, got {} of them",
                plural::counted(count, "shard"),
                named.iter().filter(|shard| shard.is_file()).count()
            );
            return Err(DatasetError::shard(missing, message));
        }
        let more = tars.len().saturating_sub(named.len());
        if more > 0 {
            let are = plural::either(&more, "is", "are");
            problems.push(Problem::new(format!(
                "{}: {} {are} not counted in nshards.txt and {are} left out",
                path.display(),
                plural::counted(more, "tar file")
            )));
        }
        named
    } else {
        tars
    };
    Ok(Found { layout: Layout::WebDataset, parts, split: split_name(path), roots, problems })
}

/// One folder, read once.
struct Listing {
    /// In numeric, then alphabetic order.
    tars: Vec<PathBuf>,
    /// Names, sorted; hidden ones left out.
    folders: Vec<String>,
    /// Parquet files, sorted.
    tables: Vec<PathBuf>,
    files: usize,
}

impl Listing {
    fn of(path: &Path) -> Result<Self, DatasetError> {
        let mut listing =
            Self { tars: Vec::new(), folders: Vec::new(), tables: Vec::new(), files: 0 };
        for entry in fs::read_dir(path).map_err(DatasetError::read(path))? {
            let entry = entry.map_err(DatasetError::read(path))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with('.') {
                continue;
            }
            if entry.path().is_dir() {
                listing.folders.push(name);
                continue;
            }
            listing.files += 1;
            let lower = name.to_ascii_lowercase();
            if lower.ends_with(".parquet") {
                listing.tables.push(entry.path());
            }
            if lower.ends_with(".tar") {
                listing.tars.push(entry.path());
            }
        }
        listing.folders.sort();
        listing.tables.sort();
        listing.tars.sort_by_cached_key(|tar| {
            let stem = tar.file_stem().map(|s| s.to_string_lossy().into_owned());
            let number = stem.as_deref().and_then(|s| s.parse::<u64>().ok());
            (number.is_none(), number, stem)
        });
        Ok(listing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(files: &[&str]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for file in files {
            let path = dir.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        dir
    }

    fn names(found: &Found) -> Vec<String> {
        let name = |p: &PathBuf| p.file_name().unwrap().to_string_lossy().into_owned();
        found.parts.iter().map(name).collect()
    }

    #[test]
    fn the_test_split_comes_first() {
        let dir = tree(&["train/0.tar", "test/10.tar", "test/9.tar", "classnames.txt"]);
        let found = find(dir.path()).unwrap();
        assert_eq!((found.layout, found.split.as_deref()), (Layout::WebDataset, Some("test")));
        assert_eq!(names(&found), ["9.tar", "10.tar"]);
        assert!(found.roots.iter().any(|root| root == dir.path()));
        assert!(found.problems[0].to_string().contains("`train`"));
    }

    #[test]
    fn split_folder_and_single_tar() {
        let dir = tree(&["val/0.tar", "val/1.tar"]);
        assert_eq!(names(&find(&dir.path().join("val")).unwrap()), ["0.tar", "1.tar"]);
        let found = find(&dir.path().join("val/1.tar")).unwrap();
        assert_eq!(names(&found), ["1.tar"]);
        assert!(found.roots.iter().any(|root| root == dir.path()));
    }

    #[test]
    fn the_shard_count_is_kept() {
        let dir = tree(&["test/0.tar", "test/1.tar", "test/2.tar"]);
        fs::write(dir.path().join("test/nshards.txt"), "2\n").unwrap();
        let found = find(dir.path()).unwrap();
        assert_eq!(names(&found), ["0.tar", "1.tar"]);
        assert_eq!(found.problems.len(), 1);
        fs::write(dir.path().join("test/nshards.txt"), "4").unwrap();
        let said = find(dir.path()).unwrap_err().to_string();
        assert!(said.ends_with("names, got 3 of them; copy or download it again"), "{said}");
        fs::write(dir.path().join("test/nshards.txt"), "many").unwrap();
        assert!(find(dir.path()).unwrap_err().to_string().contains("`many`"));
    }

    #[test]
    fn what_cannot_be_read_is_refused_in_plain_words() {
        let splits = tree(&["train/a/1.png", "val/a/1.png"]);
        assert!(find(splits.path()).unwrap_err().to_string().contains("train, val"));
        let empty = tree(&[]);
        assert!(find(empty.path()).unwrap_err().to_string().contains("nothing in it"));
        let other = tree(&["x.zip"]);
        assert!(find(&other.path().join("x.zip")).unwrap_err().to_string().contains("another"));
        assert!(find(&other.path().join("none")).unwrap_err().to_string().contains("none"));
    }

    #[test]
    fn parquet_shards_by_split() {
        let dir = tree(&[
            "data/train-00000-of-00001.parquet",
            "data/test-00001-of-00002.parquet",
            "data/test-00000-of-00002.parquet",
        ]);
        let found = find(dir.path()).unwrap();
        assert_eq!((found.layout, found.split.as_deref()), (Layout::Parquet, Some("test")));
        assert_eq!(names(&found), ["test-00000-of-00002.parquet", "test-00001-of-00002.parquet"]);
        assert!(found.problems[0].to_string().contains("`train`"));
        fs::remove_file(dir.path().join("data/test-00000-of-00002.parquet")).unwrap();
        let message = find(&dir.path().join("data")).unwrap_err().to_string();
        assert!(message.contains("shard 00000 is missing"), "{message}");
        let one = find(&dir.path().join("data/test-00001-of-00002.parquet")).unwrap();
        assert!(one.problems[0].to_string().contains("shard 2 of 2 alone"));
        let hub = tree(&["default/validation/0000.parquet", "default/train/0000.parquet"]);
        assert_eq!(find(hub.path()).unwrap().split.as_deref(), Some("validation"));
    }

    #[test]
    fn folders_of_classes() {
        let dir = tree(&["cat/1.png", "dog/1.png"]);
        assert_eq!(find(dir.path()).unwrap().layout, Layout::ImageFolder);
    }
}
