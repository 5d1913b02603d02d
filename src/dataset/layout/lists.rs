//! Shards by name: a text file that lists them, and brace patterns as shells
//! and the `webdataset` package write them (`{00000..00012}.tar`).

use std::path::{Path, PathBuf};

use super::{Found, Layout, split_name};
use crate::dataset::DatasetError;
use crate::plural::{counted, either};

/// One dataset has no more shards than this.
const MOST: usize = 1 << 17;

/// The names a pattern stands for: `{0..3}` counts (as wide as its first
/// number), `{a,b}` lists; several braces multiply.
///
/// # Errors
/// In words, when a brace is neither, or there are too many names.
pub(super) fn expand(pattern: &str) -> Result<Vec<String>, String> {
    let mut done = vec![String::new()];
    let mut rest = pattern;
    while let Some((before, after)) = rest.split_once('{') {
        let (inside, after) = after
            .split_once('}')
            .ok_or_else(|| format!("expected a closing brace, got `{pattern}`"))?;
        let choices = choices(inside).ok_or_else(|| {
            format!("expected {{0..9}} (at most {MOST} long) or {{a,b}}, got `{{{inside}}}`")
        })?;
        if done.len().saturating_mul(choices.len()) > MOST {
            return Err(format!("expected at most {MOST} shards, got more by `{pattern}`"));
        }
        done = done
            .iter()
            .flat_map(|start| choices.iter().map(move |choice| format!("{start}{before}{choice}")))
            .collect();
        rest = after;
    }
    done.iter_mut().for_each(|name| name.push_str(rest));
    Ok(done)
}

fn choices(inside: &str) -> Option<Vec<String>> {
    let Some((from, to)) = inside.split_once("..") else {
        let list: Vec<String> = inside.split(',').map(str::to_string).collect();
        return (list.len() > 1).then_some(list);
    };
    let (first, last): (usize, usize) = (from.parse().ok()?, to.parse().ok()?);
    let width = from.len().min(20);
    (last.checked_sub(first)? < MOST)
        .then(|| (first..=last).map(|n| format!("{n:0width$}")).collect())
}

/// The shards of a pattern in place of a path.
pub(super) fn find_pattern(path: &Path) -> Result<Found, DatasetError> {
    let names =
        expand(&path.to_string_lossy()).map_err(|message| DatasetError::layout(path, message))?;
    found(path, names.into_iter().map(PathBuf::from).collect())
}

/// The shards that a text file lists, one path or pattern a line, relative to
/// the file. Empty lines and those from `#` on are passed over.
pub(super) fn find_list(path: &Path) -> Result<Found, DatasetError> {
    const MOST_BYTES: u64 = 64 << 20;
    let size = std::fs::metadata(path).map_err(DatasetError::read(path))?.len();
    if size > MOST_BYTES {
        let message = format!("expected a list of shards, got a text file of {size} bytes");
        return Err(DatasetError::layout(path, message));
    }
    let bytes = crate::regular::read(path, MOST_BYTES).map_err(DatasetError::read(path))?;
    let text = String::from_utf8_lossy(&bytes);
    let base = path.parent().unwrap_or(Path::new(""));
    let mut shards = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let wrong =
            |message: String| DatasetError::Line { path: path.into(), line: number + 1, message };
        if line.contains("://") || line.starts_with("pipe:") {
            return Err(wrong(format!(
                "expected a path on this machine, got `{line}`; fetch the shards first and list their paths"
            )));
        }
        let names = expand(line).map_err(wrong)?;
        if shards.len() + names.len() > MOST {
            return Err(wrong(format!("expected at most {MOST} shards, got more")));
        }
        if let Some(other) = names.iter().find(|name| !name.to_ascii_lowercase().ends_with(".tar"))
        {
            return Err(wrong(format!("expected the path of a .tar shard, got `{other}`")));
        }
        shards.extend(names.iter().map(|name| base.join(name)));
    }
    found(path, shards)
}

fn found(path: &Path, parts: Vec<PathBuf>) -> Result<Found, DatasetError> {
    let missing = parts.iter().filter(|part| !part.is_file()).count();
    if let Some(first) = parts.iter().find(|part| !part.is_file()) {
        let message = format!(
            "expected {}, of which {missing} {} not there, the first {}",
            counted(parts.len(), "shard"),
            either(&missing, "is", "are"),
            first.display()
        );
        return Err(DatasetError::layout(path, message));
    }
    let Some(first) = parts.first() else {
        return Err(DatasetError::layout(
            path,
            "expected the paths of shards, one a line, got none",
        ));
    };
    let split = first.parent().and_then(split_name);
    let near = [path, first.as_path()].map(|path| path.ancestors().skip(1).take(2));
    let roots = near.into_iter().flatten().map(Path::to_path_buf).collect();
    Ok(Found { layout: Layout::WebDataset, parts, split, roots, problems: Vec::new() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn braces_count_and_list() {
        assert_eq!(expand("a/{08..10}.tar").unwrap(), ["a/08.tar", "a/09.tar", "a/10.tar"]);
        assert_eq!(expand("{a,b}-{0..1}").unwrap(), ["a-0", "a-1", "b-0", "b-1"]);
        assert_eq!(expand("plain.tar").unwrap(), ["plain.tar"]);
        for wrong in ["{0..", "{3..1}", "{x}", "{0..999999999}", "{0..99999}{0..99999}", "{-1..2}"]
        {
            assert!(expand(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn lists_are_relative_to_themselves() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("part")).unwrap();
        for name in ["part/0.tar", "part/1.tar", "other.tar"] {
            std::fs::write(dir.path().join(name), "").unwrap();
        }
        let list = dir.path().join("shards.txt");
        let find = |text: &str| {
            std::fs::write(&list, text).unwrap();
            find_list(&list).map(|found| found.parts).map_err(|error| error.to_string())
        };
        let want = ["part/0.tar", "part/1.tar", "other.tar"].map(|name| dir.path().join(name));
        assert_eq!(find("# shards\npart/{0..1}.tar\n\nother.tar").unwrap(), want);
        assert!(find("part/{0..3}.tar").unwrap_err().contains("of which 2 are not there"));
        assert!(find("https://host/0.tar").unwrap_err().contains("fetch the shards first"));
        assert!(find("\nnotes.doc").unwrap_err().contains("line 2"));
        assert!(find("").unwrap_err().contains("got none"));
        let pattern = dir.path().join("part/{0..1}.tar");
        assert_eq!(find_pattern(&pattern).unwrap().parts, want[..2]);
    }
}
