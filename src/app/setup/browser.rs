//! The file browser: a folder, a line of typing that filters it or names
//! another one, and a highlighted row.

use std::path::{Path, PathBuf};

use super::facts::{Entry, Known};
use super::field::Field;

/// What is being chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Wanted {
    /// The zero-shot checkpoint.
    ZeroShot,
    /// The fine-tuned checkpoint.
    FineTuned,
    /// A dataset to add.
    Dataset,
    /// The run folder.
    Output,
}

impl Wanted {
    /// Heading of the browser.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::ZeroShot => "Choose the zero-shot checkpoint",
            Self::FineTuned => "Choose the fine-tuned checkpoint",
            Self::Dataset => "Choose a dataset",
            Self::Output => "Choose where the run goes",
        }
    }

    /// Checkpoints are files; datasets are folders or tar files.
    #[must_use]
    pub fn checkpoint(self) -> bool {
        matches!(self, Self::ZeroShot | Self::FineTuned)
    }

    /// Files of this name may be what is wanted.
    #[must_use]
    pub fn fits(self, entry: &Entry) -> bool {
        let name = entry.name.to_ascii_lowercase();
        let ends = |list: &[&str]| list.iter().any(|end| name.ends_with(end));
        match self {
            _ if entry.folder => true,
            Self::ZeroShot | Self::FineTuned => {
                let shards = ".index.json";
                ends(&[".safetensors", ".pt", ".pth", ".bin", ".ckpt", ".pkl", shards])
            }
            Self::Dataset => ends(&[".tar", ".parquet"]),
            Self::Output => false,
        }
    }
}

/// A row of the browser.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Item<'a> {
    /// The folder itself, as a dataset or a place for runs.
    Here,
    /// The folder above.
    Up,
    /// What is in it.
    Entry(&'a Entry),
}

/// What choosing a row means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Chosen {
    /// Look into this folder.
    Open(PathBuf),
    /// This is it.
    Take(PathBuf),
    /// There is nothing to choose.
    Nothing,
}

/// State of an open browser.
#[derive(Clone, Debug, PartialEq)]
pub struct Browser {
    /// What for.
    pub wanted: Wanted,
    /// The folder shown.
    pub dir: PathBuf,
    /// What is in it: folders first, then files, each by name.
    pub listing: Known<Vec<Entry>>,
    /// Typed: a filter, or a path where it has a `/` or starts with `~`.
    pub typed: Field,
    /// Highlighted row.
    pub at: usize,
    /// Show what starts with a dot.
    pub hidden: bool,
    /// Recent folders are shown in place of one folder's content.
    pub recent: bool,
    /// Row to highlight once the listing is there.
    came_from: Option<PathBuf>,
    /// Where a typed relative path starts: the last folder gone to by a key.
    base: PathBuf,
}

impl Browser {
    /// A browser that waits for the listing asked for under `id`.
    #[must_use]
    pub fn new(wanted: Wanted, dir: PathBuf, came_from: Option<PathBuf>, id: u64) -> Self {
        Self {
            wanted,
            base: dir.clone(),
            dir,
            listing: Known::Reading(id),
            typed: Field::default(),
            at: 0,
            hidden: false,
            recent: false,
            came_from,
        }
    }

    /// Goes to another folder; its listing was asked for under `id`.
    pub fn go(&mut self, dir: PathBuf, id: u64) {
        self.came_from = dir_within(&dir, &self.dir);
        self.base.clone_from(&dir);
        self.typed = Field::default();
        self.follow(dir, id);
    }

    /// Shows the folder that the typed path is in.
    pub fn follow(&mut self, dir: PathBuf, id: u64) {
        self.dir = dir;
        self.listing = Known::Reading(id);
        self.at = 0;
        self.recent = false;
    }

    /// Takes a listing in; stale ones are dropped.
    pub fn listed(&mut self, id: u64, result: Result<Vec<Entry>, String>) {
        let sorted = result.map(|mut entries| {
            entries.sort_by_cached_key(|entry| {
                (!entry.folder, entry.name.to_lowercase(), entry.name.clone())
            });
            entries
        });
        let was = matches!(self.listing, Known::Reading(asked) if asked == id);
        self.listing.answer(id, sorted);
        if was {
            let from = self.came_from.take();
            let rows = self.items();
            let found = from.and_then(|path| {
                rows.iter().position(|item| matches!(item, Item::Entry(e) if e.path == path))
            });
            self.at = found.unwrap_or_else(|| self.first_useful());
        }
    }

    /// The first row that may be what is wanted, past `.` and `..`.
    fn first_useful(&self) -> usize {
        let rows = self.items();
        let here = rows
            .iter()
            .position(|item| matches!(item, Item::Entry(e) if !e.folder && self.wanted.fits(e)));
        here.or_else(|| rows.iter().position(|item| matches!(item, Item::Entry(_)))).unwrap_or(0)
    }

    /// The typed text is a path rather than a filter.
    #[must_use]
    pub fn typing_path(&self) -> bool {
        self.typed.text().contains('/') || self.typed.text().starts_with('~')
    }

    /// The folder a typed path is in, and the start of a name in it.
    #[must_use]
    pub fn typed_path(&self, home: Option<&Path>) -> Option<(PathBuf, String)> {
        if !self.typing_path() {
            return None;
        }
        let text = self.typed.text();
        if text == "~" {
            return home.map(|home| (home.to_path_buf(), String::new()));
        }
        let (dir, name) = text.rsplit_once('/').unwrap_or((text, ""));
        let dir = match dir.strip_prefix('~') {
            Some("") => home?.to_path_buf(),
            Some(rest) if rest.starts_with('/') => home?.join(rest.trim_start_matches('/')),
            _ if dir.is_empty() => PathBuf::from("/"),
            _ => self.base.join(dir),
        };
        Some((plain(&dir), name.to_string()))
    }

    /// Rows after filtering.
    #[must_use]
    pub fn items(&self) -> Vec<Item<'_>> {
        let entries = self.listing.ready().map_or(&[][..], Vec::as_slice);
        let typed = self.typed.text();
        let path = self.typing_path();
        let needle = if path { typed.rsplit('/').next().unwrap_or("") } else { typed };
        let needle = if needle == "~" { "" } else { needle };
        let low = needle.to_lowercase();
        let dots = self.hidden || needle.starts_with('.');
        let mut rows = vec![];
        if low.is_empty() && !self.recent {
            if !self.wanted.checkpoint() {
                rows.push(Item::Here);
            }
            if self.dir.parent().is_some() {
                rows.push(Item::Up);
            }
        }
        rows.extend(
            entries
                .iter()
                .filter(|entry| dots || self.recent || !entry.hidden())
                .filter(|entry| {
                    let name = entry.name.to_lowercase();
                    if path { name.starts_with(&low) } else { name.contains(&low) }
                })
                .map(Item::Entry),
        );
        rows
    }

    /// The highlighted row.
    #[must_use]
    pub fn item(&self) -> Option<Item<'_>> {
        let rows = self.items();
        rows.get(self.at.min(rows.len().saturating_sub(1))).copied()
    }

    /// Path of the highlighted row.
    #[must_use]
    pub fn path(&self) -> Option<PathBuf> {
        match self.item()? {
            Item::Here => Some(self.dir.clone()),
            Item::Up => self.dir.parent().map(Path::to_path_buf),
            Item::Entry(entry) => Some(entry.path.clone()),
        }
    }

    /// Moves the highlight; stays within the rows.
    pub fn step(&mut self, by: isize) {
        let last = self.items().len().saturating_sub(1);
        self.at = self.at.min(last).saturating_add_signed(by).min(last);
    }

    /// After typing: the first row that fits.
    pub fn typed_changed(&mut self) {
        self.at = if self.typed.text().is_empty() { self.first_useful() } else { 0 };
    }

    /// What Enter means on the highlighted row. `known` says whether a folder
    /// is itself what is wanted (a dataset).
    #[must_use]
    pub fn choose(&self, known: impl Fn(&Path) -> bool) -> Chosen {
        match self.item() {
            None => Chosen::Nothing,
            Some(Item::Here) => Chosen::Take(self.dir.clone()),
            Some(Item::Up) => {
                self.dir.parent().map_or(Chosen::Nothing, |dir| Chosen::Open(dir.to_path_buf()))
            }
            Some(Item::Entry(entry)) if entry.folder => {
                if self.wanted == Wanted::Dataset && known(&entry.path) {
                    Chosen::Take(entry.path.clone())
                } else {
                    Chosen::Open(entry.path.clone())
                }
            }
            Some(Item::Entry(_)) if self.wanted == Wanted::Output => Chosen::Nothing,
            Some(Item::Entry(entry)) => Chosen::Take(entry.path.clone()),
        }
    }

    /// Completes what is typed as far as every fitting name agrees; a single
    /// folder gets its `/`. True when that changed it.
    pub fn complete(&mut self) -> bool {
        let names: Vec<(String, bool)> = self
            .items()
            .iter()
            .filter_map(|item| match item {
                Item::Entry(entry) => Some((entry.name.clone(), entry.folder)),
                _ => None,
            })
            .collect();
        let Some(((first, folder), rest)) = names.split_first() else { return false };
        let mut common = first.as_str();
        for (name, _) in rest {
            let same = common.char_indices().zip(name.chars()).find(|((_, a), b)| a != b);
            let end = same.map_or(common.len().min(name.len()), |((at, _), _)| at);
            common = common.get(..end).unwrap_or("");
        }
        let text = self.typed.text();
        let (head, tail) = if self.typing_path() {
            text.rsplit_once('/')
                .map_or((format!("{text}/"), ""), |(dir, name)| (format!("{dir}/"), name))
        } else {
            (String::new(), text)
        };
        // A filter finds names by their middle: only a longer start replaces it.
        if common.chars().count() < tail.chars().count() {
            return false;
        }
        let slash = if rest.is_empty() && *folder { "/" } else { "" };
        let completed = format!("{head}{common}{slash}");
        let changed = completed != text;
        if changed {
            self.typed = Field::new(completed);
        }
        changed
    }
}

/// Without `.` and `..`, by text alone (links are not followed: nothing here
/// touches the disk).
#[must_use]
pub fn plain(path: &Path) -> PathBuf {
    use std::path::Component;
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                out.pop();
            }
            other => out.push(other),
        }
    }
    out
}

/// The child of `dir` that leads to `inner`, to highlight it on the way up.
fn dir_within(dir: &Path, inner: &Path) -> Option<PathBuf> {
    let first = inner.strip_prefix(dir).ok()?.components().next()?;
    Some(dir.join(first))
}
