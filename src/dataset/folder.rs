//! Image folders: one folder per class.

use std::collections::{BTreeSet, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

use super::error::DatasetError;
use super::{Entry, IMAGE_EXTENSIONS, Location, Problem, layout};
use crate::plural::{counted, either};

/// Class folders are searched so deep, which bounds loops of links.
const DEPTH: usize = 16;

/// What a folder of class folders holds.
#[derive(Debug, Default)]
pub(crate) struct Folder {
    /// Folder names, in label order.
    pub names: Vec<String>,
    /// Whether the names are numbers and thereby the labels themselves.
    pub numeric: bool,
    /// Labels count the folders, in the order of `names`.
    pub entries: Vec<Entry>,
    pub problems: Vec<Problem>,
    /// Names of folders without images.
    pub empty: Vec<String>,
    /// Those of them that look like datasets.
    pub datasets: Vec<String>,
}

impl Folder {
    /// What to do about folders without images.
    fn advice(&self) -> String {
        match &self.datasets[..] {
            [] => String::new(),
            [one] => format!("; `{one}` looks like a dataset of its own: give its path"),
            many => {
                let names = many.iter().take(12).map(|name| format!("`{name}`"));
                let names = names.collect::<Vec<_>>().join(", ");
                format!("; these look like datasets of their own, give the path of one: {names}")
            }
        }
    }

    /// That there are no images at all.
    pub(crate) fn refuse_empty(&self, path: &Path) -> Result<(), DatasetError> {
        if !self.entries.is_empty() {
            return Ok(());
        }
        let got = format!("{} without any", counted(self.empty.len(), "folder"));
        let advice = match self.advice() {
            none if none.is_empty() => {
                "; give the folder that holds the class folders, or the shards".into()
            }
            some => some,
        };
        let message = format!(
            "expected one folder per class with images ({}), tar shards (WebDataset) or parquet \
             files, got {got}: {}{advice}",
            IMAGE_EXTENSIONS.join(", "),
            super::few(&self.empty)
        );
        Err(DatasetError::layout(path, message))
    }

    /// The labels are the folders' numbers rather than their ranks: asked for
    /// where the class names are more than the folders.
    pub(crate) fn label_by_number(&mut self) {
        let numbers: Vec<u32> =
            self.names.iter().map(|name| name.parse().unwrap_or(u32::MAX)).collect();
        for entry in &mut self.entries {
            entry.label = numbers.get(entry.label as usize).copied().unwrap_or(u32::MAX);
        }
    }
}

/// Lists the images. Classes come in the order of torchvision's ImageFolder
/// (sorted names); when every name is a number, in numeric order, because
/// ImageNetV2's folders 0 … 999 are labels and `10` sorts before `2`.
///
/// Several `roots` with class folders of the same names are taken together
/// (ImageNet-C's severities); keys are paths below `base`.
///
/// # Errors
/// When a folder cannot be read or a file name is not UTF-8.
pub(crate) fn list(roots: &[PathBuf], base: &Path) -> Result<Folder, DatasetError> {
    let mut names = BTreeSet::new();
    let mut loose = 0;
    for root in roots {
        for entry in fs::read_dir(root).map_err(DatasetError::read(root))? {
            let entry = entry.map_err(DatasetError::read(root))?;
            let name = text(&entry.path(), entry.file_name())?;
            if name.starts_with('.') {
                continue;
            }
            if entry.path().is_dir() {
                names.insert(name);
            } else {
                loose += usize::from(is_image(&name));
            }
        }
    }
    let mut names: Vec<String> = names.into_iter().collect();
    let numbers: Option<Vec<u32>> = names
        .iter()
        .map(|name| name.bytes().all(|b| b.is_ascii_digit()).then(|| name.parse().ok()).flatten())
        .collect();
    let numeric = numbers.is_some();
    if let Some(numbers) = numbers {
        let mut both: Vec<(u32, String)> = numbers.into_iter().zip(names).collect();
        both.sort();
        names = both.into_iter().map(|(_, name)| name).collect();
    }
    let mut folder = Folder { numeric, ..Folder::default() };
    if loose > 0 {
        folder.problems.push(Problem::new(format!(
            "{}: {} {} outside class folders and {} left out",
            base.display(),
            counted(loose, "image"),
            either(&loose, "lies", "lie"),
            either(&loose, "is", "are")
        )));
    }
    // A link back to the dataset, or to a folder it lies in, is not followed.
    let above: HashSet<PathBuf> = roots
        .iter()
        .filter_map(|root| fs::canonicalize(root).ok())
        .flat_map(|root| root.ancestors().map(Path::to_path_buf).collect::<Vec<_>>())
        .collect();
    let mut empty = Vec::new();
    for (label, name) in names.iter().enumerate() {
        let mut files = Vec::new();
        let mut walk = Walk { files: &mut files, seen: above.clone(), root: base };
        for folder in roots.iter().map(|root| root.join(name)).filter(|path| path.is_dir()) {
            walk.folder(&folder, 0)?;
        }
        if files.is_empty() {
            empty.push(name.clone());
        }
        let label = u32::try_from(label).unwrap_or(u32::MAX);
        folder.entries.extend(files.into_iter().map(|(key, path)| Entry {
            key,
            label,
            at: Location::File(path),
        }));
    }
    if !empty.is_empty() {
        // Folders with a layout of their own are no classes.
        let at = |name: &str| roots.iter().map(|root| root.join(name)).find(|path| path.is_dir());
        let own = |name: &&String| at(name).is_some_and(|path| layout::holds_files_of_many(&path));
        folder.datasets = empty.iter().filter(own).cloned().collect();
        let have = either(&empty.len(), "has", "have");
        let what = format!("{} {have} no images", counted(empty.len(), "class folder"));
        let text = format!("{}: {what}: {}{}", base.display(), super::few(&empty), folder.advice());
        folder.problems.push(Problem::new(text));
    }
    folder.empty = empty;
    let deep = |entry: &Entry| entry.key.matches('/').count() > 1;
    let first = folder.entries.iter().map(|entry| entry.key.as_str()).min();
    if let Some(first) = first.filter(|_| roots == [base] && folder.entries.iter().all(deep)) {
        let first: Vec<&str> = first.split('/').take(2).collect();
        folder.problems.push(Problem::new(format!(
            "every image lies deeper than its class folder, as in `{}`: where `{}` is a class and \
             `{}` a dataset, give that dataset's path",
            first.join("/"),
            first[1],
            first[0]
        )));
    }
    folder.names = names;
    Ok(folder)
}

fn is_image(name: &str) -> bool {
    name.rsplit_once('.')
        .is_some_and(|(_, end)| IMAGE_EXTENSIONS.contains(&end.to_ascii_lowercase().as_str()))
}

fn text(path: &Path, name: std::ffi::OsString) -> Result<String, DatasetError> {
    name.into_string().map_err(|_| {
        DatasetError::layout(path, "expected a file name in UTF-8, got other bytes; rename it")
    })
}

/// Collects image files below a class folder.
struct Walk<'a> {
    /// Key (path below the root) and path of each image.
    files: &'a mut Vec<(String, PathBuf)>,
    /// Real paths of folders already walked: a link back is not followed.
    seen: HashSet<PathBuf>,
    root: &'a Path,
}

impl Walk<'_> {
    fn folder(&mut self, path: &Path, depth: usize) -> Result<(), DatasetError> {
        let real = fs::canonicalize(path).map_err(DatasetError::read(path))?;
        if depth > DEPTH || !self.seen.insert(real) {
            return Ok(());
        }
        for entry in fs::read_dir(path).map_err(DatasetError::read(path))? {
            let entry = entry.map_err(DatasetError::read(path))?;
            let name = text(&entry.path(), entry.file_name())?;
            if name.starts_with('.') {
                continue;
            }
            let path = entry.path();
            // A link to nowhere or a pipe under an image's name is an image that cannot be read.
            if fs::metadata(&path).is_ok_and(|kind| kind.is_dir()) {
                self.folder(&path, depth + 1)?;
            } else if is_image(&name) {
                let key = path.strip_prefix(self.root).unwrap_or(&path);
                self.files.push((key.to_string_lossy().into_owned(), path));
            }
        }
        Ok(())
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

    #[test]
    fn sorted_names_are_the_labels() {
        let dir = tree(&["b/x/1.JPG", "a/2.png", "a/3.txt", "a/.hidden.png", "stray.png"]);
        let folder = list(&[dir.path().into()], dir.path()).unwrap();
        assert_eq!(folder.names, ["a", "b"]);
        let mut got: Vec<_> = folder.entries.iter().map(|e| (e.key.as_str(), e.label)).collect();
        got.sort();
        assert_eq!(got, [("a/2.png", 0), ("b/x/1.JPG", 1)]);
        assert!(
            folder.problems[0]
                .to_string()
                .contains("1 image lies outside class folders and is left")
        );
    }

    #[test]
    fn numbers_sort_as_numbers() {
        let dir = tree(&["10/a.png", "2/a.png", "0/a.png"]);
        let mut folder = list(&[dir.path().into()], dir.path()).unwrap();
        assert_eq!(
            (folder.numeric, folder.names.clone()),
            (true, vec!["0".into(), "2".into(), "10".into()])
        );
        let label = |f: &Folder, key: &str| f.entries.iter().find(|e| e.key == key).unwrap().label;
        assert_eq!(label(&folder, "10/a.png"), 2);
        folder.label_by_number();
        assert_eq!(label(&folder, "10/a.png"), 10);
    }

    #[test]
    fn links_to_nowhere_are_images_that_cannot_be_read() {
        let dir = tree(&["a/1.png", "b/1.png"]);
        for (to, name) in [("/nowhere/2.png", "b/2.png"), ("/nowhere/notes", "b/notes")] {
            std::os::unix::fs::symlink(to, dir.path().join(name)).unwrap();
        }
        let folder = list(&[dir.path().into()], dir.path()).unwrap();
        let mut keys: Vec<&str> = folder.entries.iter().map(|e| e.key.as_str()).collect();
        keys.sort_unstable();
        assert_eq!(keys, ["a/1.png", "b/1.png", "b/2.png"]);
    }

    #[test]
    fn loops_of_links_end() {
        let dir = tree(&["a/1.png"]);
        std::os::unix::fs::symlink(dir.path(), dir.path().join("a/loop")).unwrap();
        std::os::unix::fs::symlink(dir.path().join("a"), dir.path().join("a/self")).unwrap();
        let folder = list(&[dir.path().into()], dir.path()).unwrap();
        let keys: Vec<&str> = folder.entries.iter().map(|e| e.key.as_str()).collect();
        assert_eq!(keys, ["a/1.png"]);
    }
}
