//! Parquet: one file, or a folder of shards as the Hugging Face hub lays them
//! out (`data/test-00000-of-00002.parquet`, or a folder for each split).

use std::path::{Path, PathBuf};

use super::{Found, Layout, Listing, SPLITS, split_name};
use crate::dataset::{DatasetError, Problem};

/// Folders in which shards may lie, one or two levels down.
const WITHIN: [&str; 2] = ["data", "default"];

/// A file's split and, of a shard, its number and how many there are.
#[derive(Debug, PartialEq, Eq)]
struct Shard {
    split: Option<String>,
    number: Option<(usize, usize)>,
}

/// Reads `test-00000-of-00002.parquet`; `test.parquet` and `0000.parquet` too.
fn shard(path: &Path) -> Shard {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let cut = stem.rsplit_once("-of-").and_then(|(front, of)| {
        let (name, number) = front.rsplit_once('-').unwrap_or(("", front));
        // A hash of the content may follow: `…-of-00002-0f1e2d.parquet`.
        let of = of.split('-').next().unwrap_or(of);
        Some((name.to_string(), number.parse().ok()?, of.parse().ok()?))
    });
    let (name, number) = match cut {
        Some((name, number, of)) => (name, Some((number, of))),
        None => (stem, None),
    };
    let folder = path.parent().and_then(split_name);
    let split = SPLITS
        .iter()
        .find(|split| name == **split || name.ends_with(&format!("-{split}")))
        .map(ToString::to_string)
        .or(folder);
    Shard { split, number }
}

/// The parquet dataset in a folder; `None` when there is none.
pub(super) fn find_folder(path: &Path, listing: &Listing) -> Result<Option<Found>, DatasetError> {
    let mut folders = vec![path.to_path_buf()];
    let inner = |name: &&String| {
        let name = name.as_str();
        SPLITS.contains(&name) || WITHIN.contains(&name)
    };
    for name in listing.folders.iter().filter(inner) {
        folders.push(path.join(name));
        if WITHIN.contains(&name.as_str()) {
            let below = Listing::of(&path.join(name))?;
            folders.extend(below.folders.iter().filter(inner).map(|n| path.join(name).join(n)));
        }
    }
    let mut files = Vec::new();
    for folder in folders {
        files.extend(Listing::of(&folder)?.tables.into_iter().map(|file| (shard(&file), file)));
    }
    if files.is_empty() {
        return Ok(None);
    }
    let chosen: Option<String> = SPLITS
        .iter()
        .find(|split| files.iter().any(|(shard, _)| shard.split.as_deref() == Some(**split)))
        .map(ToString::to_string);
    let mut problems = Vec::new();
    let mut others: Vec<String> = files
        .iter()
        .filter(|(shard, _)| shard.split != chosen)
        .filter_map(|(shard, _)| shard.split.as_ref().map(|split| format!("`{split}`")))
        .collect();
    others.sort();
    others.dedup();
    if let (Some(chosen), false) = (&chosen, others.is_empty()) {
        let message = format!("split `{chosen}` is used; also there: {}", others.join(", "));
        problems.push(Problem::new(message));
    }
    files.retain(|(shard, _)| shard.split == chosen);
    complete(path, &files)?;
    let mut parts: Vec<PathBuf> = files.into_iter().map(|(_, file)| file).collect();
    parts.sort();
    let mut roots: Vec<PathBuf> = parts
        .first()
        .into_iter()
        .flat_map(|p| p.ancestors().skip(1).take(2))
        .map(Path::to_path_buf)
        .collect();
    roots.push(path.into());
    Ok(Some(Found { layout: Layout::Parquet, parts, split: chosen, roots, problems }))
}

/// One file alone.
pub(super) fn find_file(path: &Path) -> Found {
    let shard = shard(path);
    let problems = match shard.number {
        Some((number, of)) if of > 1 => vec![Problem::new(format!(
            "{}: shard {} of {of} alone; give the folder to use all",
            path.display(),
            number + 1
        ))],
        _ => Vec::new(),
    };
    let roots = path.ancestors().skip(1).take(2).map(Path::to_path_buf).collect();
    Found { layout: Layout::Parquet, parts: vec![path.into()], split: shard.split, roots, problems }
}

/// Shards that name their count must all be there.
fn complete(path: &Path, files: &[(Shard, PathBuf)]) -> Result<(), DatasetError> {
    let numbered: Vec<(usize, usize)> = files.iter().filter_map(|(s, _)| s.number).collect();
    let Some(&(_, of)) = numbered.first() else { return Ok(()) };
    if numbered.iter().any(|&(_, other)| other != of) || numbered.len() > of {
        let message = format!(
            "expected the shards of one dataset, got {} that disagree on their number; give the path of one split",
            numbered.len()
        );
        return Err(DatasetError::layout(path, message));
    }
    let missing = (0..of).find(|n| !numbered.iter().any(|(number, _)| number == n));
    match missing {
        None => Ok(()),
        Some(missing) => Err(DatasetError::layout(
            path,
            format!(
                "expected the {of} shards that their names tell of, got {} (shard {missing:05} is missing); download the dataset again, or give one file",
                numbered.len()
            ),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_split_and_number() {
        let of = |name: &str| {
            let shard = shard(Path::new(name));
            (shard.split, shard.number)
        };
        let test = || Some("test".to_string());
        assert_eq!(of("data/test-00001-of-00002.parquet"), (test(), Some((1, 2))));
        assert_eq!(of("a/test-00000-of-00001-0f1e2d3c.parquet"), (test(), Some((0, 1))));
        assert_eq!(of("default/test/0000.parquet"), (test(), None));
        assert_eq!(of("imagenet-test.parquet"), (test(), None));
        assert_eq!(of("x/pictures.parquet"), (None, None));
        assert_eq!(of("x/one-of-many.parquet"), (None, None));
    }
}
