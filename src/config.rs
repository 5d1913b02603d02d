//! Places on this machine, the configuration file, and what the set-up screen
//! remembers from last time.
//!
//! Everything here is optional: a file that is missing, damaged or of a later
//! version never keeps the program from starting. What could not be used is
//! said in one sentence.

use std::io::Write;
use std::path::{Path, PathBuf};

use directories::ProjectDirs;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::alert::Notify;
use crate::app::{Charset, Depth, Palette};
use crate::sweep::spec::Role;

/// Folders the set-up screen remembers.
const RECENT: usize = 12;

fn dirs() -> Option<ProjectDirs> {
    ProjectDirs::from("", "", "alphascope")
}

/// `$XDG_CONFIG_HOME/alphascope/config.toml` or this system's twin.
#[must_use]
pub fn config_file() -> Option<PathBuf> {
    Some(dirs()?.config_dir().join("config.toml"))
}

/// Where the program keeps what it remembers, and its log.
#[must_use]
pub fn state_dir() -> Option<PathBuf> {
    let dirs = dirs()?;
    Some(dirs.state_dir().unwrap_or(dirs.data_local_dir()).to_path_buf())
}

/// The set-up screen's memory.
#[must_use]
pub fn memory_file() -> Option<PathBuf> {
    Some(state_dir()?.join("setup.toml"))
}

/// Where the demo is unpacked.
#[must_use]
pub fn cache_dir() -> Option<PathBuf> {
    Some(dirs()?.cache_dir().to_path_buf())
}

/// Where runs go that were not told where to go: what was asked for (flag, then
/// environment), what the configuration says, else this system's folder for data.
#[must_use]
pub fn runs_dir(asked: Option<&Path>, config: &Config) -> Option<PathBuf> {
    let asked = asked.filter(|it| !it.as_os_str().is_empty());
    let folder = asked.map(Path::to_path_buf).or_else(|| {
        let text = config.runs.as_deref()?;
        Some(match text.strip_prefix("~/").zip(std::env::home_dir()) {
            Some((rest, home)) => home.join(rest),
            None => text.into(),
        })
    });
    let folder = folder.or_else(|| Some(dirs()?.data_local_dir().join("runs")))?;
    std::path::absolute(folder).ok()
}

/// A path as one types it in a shell.
#[must_use]
pub fn quoted(path: &Path) -> String {
    let path = path.display().to_string();
    let plain = |c: char| c.is_alphanumeric() || "/._-+@:,".contains(c);
    if path.chars().all(plain) { path } else { format!("'{}'", path.replace('\'', r"'\''")) }
}

/// Makes a new, empty run folder `<runs>/<stem>-<n>`, with the first n that is
/// free. Two programs at once get two folders.
///
/// # Errors
/// When no folder can be made there.
pub fn new_run_dir(runs: &Path, stem: &str) -> std::io::Result<PathBuf> {
    std::fs::create_dir_all(runs)?;
    let stem: String = stem
        .chars()
        .map(|c| if c.is_alphanumeric() || "-_.".contains(c) { c } else { '-' })
        .collect();
    let mut n: u64 = 1;
    loop {
        let dir = runs.join(format!("{stem}-{n}"));
        match std::fs::create_dir(&dir) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => n += 1,
            other => return other.map(|()| dir),
        }
    }
}

/// Writes a file beside its place and then renames it there: readers see the
/// old or the new one, never half of one.
///
/// # Errors
/// When the folder cannot be made or written to.
pub fn write_whole(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let parent = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(parent)?;
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".{}", std::process::id()));
    let beside = parent.join(name);
    let written = std::fs::File::create(&beside)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
        .and_then(|()| std::fs::rename(&beside, path));
    if written.is_err() {
        let _ = std::fs::remove_file(&beside);
    }
    written
}

/// What a person may set once and for all in `config.toml`. Environment and
/// flags come after it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// `dark` or `light`.
    pub theme: Option<String>,
    /// `none`, `16`, `256` or `true`.
    pub color: Option<String>,
    /// `braille`, `blocks` or `ascii`.
    pub charset: Option<String>,
    /// `auto`, `cpu`, `cuda`, `cuda:0,1`.
    pub device: Option<String>,
    /// Where runs go; `~/` is the home folder.
    pub runs: Option<String>,
    /// Ring the bell as an alert.
    pub bell: Option<bool>,
    /// `off`, `osc9` or `osc777`.
    pub notify: Option<String>,
    /// Program and arguments, started as an alert.
    pub alert: Option<Vec<String>>,
}

/// The configuration file with every field there is, as documentation.
pub const EXAMPLE: &str = r#"# alphascope's configuration. Every field may be left out; flags and environment
# variables come after it.
theme = "dark"        # dark | light
color = "true"        # none | 16 | 256 | true; absent: what the terminal says
charset = "braille"   # braille | blocks | ascii
device = "auto"       # auto | cpu | cuda | cuda:0,1
runs = "~/runs"       # where runs go; absent: this system's folder for data
# Alerts: when a sweep ends, fails, or shows a success or failure.
bell = true           # ring the terminal's bell
notify = "osc9"       # osc9 | osc777 | off: a notification by the terminal
alert = ["logger", "-t", "alphascope"]   # a program and its arguments; no shell
"#;

impl Config {
    /// Reads [`config_file`]; what could not be used comes back as a sentence.
    #[must_use]
    pub fn load() -> (Self, Option<String>) {
        config_file().map_or_else(Default::default, |path| Self::read(&path))
    }

    /// Reads one file. A missing one is an empty one.
    #[must_use]
    pub fn read(path: &Path) -> (Self, Option<String>) {
        let mut fields = Fields::read(path);
        let config = Self {
            theme: fields.take_one_of("theme", &Palette::ALL.map(Palette::name)),
            color: fields.take_one_of("color", &Depth::ALL.map(Depth::name)),
            charset: fields.take_one_of("charset", &Charset::ALL.map(Charset::name)),
            device: fields.take("device"),
            runs: fields.take("runs"),
            bell: fields.take("bell"),
            notify: fields.take_one_of("notify", &Notify::ALL.map(Notify::name)),
            alert: fields.take("alert"),
        };
        fields.refuse_the_rest();
        (config, fields.complaint("see `alphascope --help` for what it may say"))
    }
}

/// A dataset as it was chosen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChosenDataset {
    /// Shown name.
    pub name: String,
    /// In- or out-of-distribution.
    pub role: Role,
    /// Where.
    pub path: PathBuf,
}

/// What was chosen last on the set-up screen. Texts are kept as typed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Memory {
    /// Zero-shot checkpoint.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zeroshot: Option<PathBuf>,
    /// Fine-tuned checkpoint.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finetuned: Option<PathBuf>,
    /// α grid.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alphas: Option<String>,
    /// Images per forward pass.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch: Option<String>,
    /// Device.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// Precision.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub precision: Option<String>,
    /// Seed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<String>,
    /// `off`, `average` or `worst`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sharpness: Option<String>,
    /// Granularity of the layers: `none`, `block`, `module` or `tensor`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub layers: Option<String>,
    /// `l2` or `linf`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub norm: Option<String>,
    /// Radius ρ of sharpness.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rho: Option<String>,
    /// Draws of average-case sharpness.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub draws: Option<String>,
    /// Steps of worst-case sharpness.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub steps: Option<String>,
    /// Batches of sharpness.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batches: Option<String>,
    /// Folder the browser was last in, and those before it.
    pub recent: Vec<PathBuf>,
    /// `dark` or `light`, where a person switched it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub theme: Option<String>,
    /// `braille`, `blocks` or `ascii`, where a person switched it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub charset: Option<String>,
    /// Datasets, in order (last: TOML wants tables at the end).
    pub datasets: Vec<ChosenDataset>,
}

impl Memory {
    /// Reads one file; every field that can be used is, the others are named
    /// in the sentence that comes back. A missing file is an empty one.
    #[must_use]
    pub fn read(path: &Path) -> (Self, Option<String>) {
        let mut fields = Fields::read(path);
        let memory = Self {
            zeroshot: fields.take("zeroshot"),
            finetuned: fields.take("finetuned"),
            alphas: fields.take("alphas"),
            batch: fields.take("batch"),
            device: fields.take("device"),
            precision: fields.take("precision"),
            seed: fields.take("seed"),
            sharpness: fields.take("sharpness"),
            layers: fields.take("layers"),
            norm: fields.take("norm"),
            rho: fields.take("rho"),
            draws: fields.take("draws"),
            steps: fields.take("steps"),
            batches: fields.take("batches"),
            recent: fields.take("recent").unwrap_or_default(),
            theme: fields.take("theme"),
            charset: fields.take("charset"),
            datasets: fields.take_each("datasets"),
        };
        (memory, fields.complaint("the rest of the last choices is used"))
    }

    /// Writes it, whole or not at all.
    ///
    /// # Errors
    /// When the folder cannot be written to.
    pub fn write(&self, path: &Path) -> std::io::Result<()> {
        let text = toml::to_string(self).map_err(std::io::Error::other)?;
        let head = "# The last choices on alphascope's set-up screen. Safe to delete.\n";
        write_whole(path, format!("{head}{text}").as_bytes())
    }

    /// Puts a folder first among the recent ones.
    pub fn visit(&mut self, dir: &Path) {
        self.recent.retain(|other| other != dir);
        self.recent.insert(0, dir.to_path_buf());
        self.recent.truncate(RECENT);
    }
}

/// A TOML file read field by field, so that one bad field costs one field.
struct Fields {
    path: PathBuf,
    table: toml::Table,
    problems: Vec<String>,
}

impl Fields {
    fn read(path: &Path) -> Self {
        let mut problems = vec![];
        let table = match crate::regular::read(path, crate::regular::TEXT) {
            Ok(bytes) => toml::from_str(&String::from_utf8_lossy(&bytes)).unwrap_or_else(|error| {
                let message = error.to_string();
                let first = message.lines().next().unwrap_or_default();
                problems.push(format!("is not TOML ({})", first.trim()));
                toml::Table::new()
            }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => toml::Table::new(),
            Err(error) => {
                problems.push(format!("cannot be read ({error})"));
                toml::Table::new()
            }
        };
        Self { path: path.to_path_buf(), table, problems }
    }

    fn take<T: DeserializeOwned>(&mut self, name: &str) -> Option<T> {
        let value = self.table.remove(name)?;
        value.try_into().map_err(|_| self.problems.push(format!("has an unusable `{name}`"))).ok()
    }

    /// A word that is one of these.
    fn take_one_of(&mut self, name: &str, known: &[&str]) -> Option<String> {
        let word: String = self.take(name)?;
        if known.contains(&word.as_str()) {
            return Some(word);
        }
        let known = known.join(", ");
        self.problems.push(format!("has {name} = \"{word}\", which is none of {known}"));
        None
    }

    /// A list whose bad entries are left out one by one.
    fn take_each<T: DeserializeOwned>(&mut self, name: &str) -> Vec<T> {
        let values: Vec<toml::Value> = self.take(name).unwrap_or_default();
        let wanted = values.len();
        let usable: Vec<T> = values.into_iter().filter_map(|value| value.try_into().ok()).collect();
        if usable.len() < wanted {
            self.problems.push(format!("has unusable entries in `{name}`"));
        }
        usable
    }

    fn refuse_the_rest(&mut self) {
        for name in self.table.keys() {
            self.problems.push(format!("has an unknown `{name}`"));
        }
    }

    fn complaint(&self, advice: &str) -> Option<String> {
        (!self.problems.is_empty())
            .then(|| format!("{} {}; {advice}", self.path.display(), self.problems.join(" and ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn memory() -> Memory {
        let mut memory = Memory {
            zeroshot: Some("/m/zs.safetensors".into()),
            alphas: Some("0:1:11".into()),
            datasets: vec![ChosenDataset {
                name: "sketch".into(),
                role: Role::Ood,
                path: "/d/sketch".into(),
            }],
            ..Memory::default()
        };
        memory.visit(Path::new("/d"));
        memory.visit(Path::new("/m"));
        memory.visit(Path::new("/d"));
        memory
    }

    #[test]
    fn what_is_written_is_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deep/er/setup.toml");
        memory().write(&path).unwrap();
        memory().write(&path).unwrap();
        assert_eq!(Memory::read(&path), (memory(), None));
        assert_eq!(memory().recent, [Path::new("/d"), Path::new("/m")]);
        // Nothing is left beside it.
        assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn a_missing_file_is_an_empty_one() {
        let (memory, complaint) = Memory::read(Path::new("/nowhere/at/all.toml"));
        assert_eq!((memory, complaint), (Memory::default(), None));
    }

    #[test]
    fn damage_costs_only_what_is_damaged() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("setup.toml");
        std::fs::write(
            &path,
            "batch = 7\nalphas = '0:1:5'\nfuture = true\n[[datasets]]\nname = 'a'\nrole = 'id'\npath = '/a'\n\
             [[datasets]]\nname = 'b'\nrole = 'strange'\npath = '/b'\n",
        )
        .unwrap();
        let (memory, complaint) = Memory::read(&path);
        assert_eq!(memory.alphas.as_deref(), Some("0:1:5"));
        assert_eq!(memory.batch, None);
        assert_eq!(memory.datasets.len(), 1);
        let complaint = complaint.unwrap();
        assert!(complaint.contains("`batch`") && complaint.contains("`datasets`"), "{complaint}");
        for rubbish in [&b"\xff\xfe\x00["[..], b"batch = ", b"[[[["] {
            std::fs::write(&path, rubbish).unwrap();
            let (memory, complaint) = Memory::read(&path);
            assert_eq!(memory, Memory::default());
            assert!(complaint.is_some());
        }
    }

    #[test]
    fn the_example_configuration_is_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.toml");
        std::fs::write(&path, EXAMPLE).unwrap();
        let (config, complaint) = Config::read(&path);
        assert_eq!(complaint, None);
        assert_eq!(config.charset.as_deref(), Some("braille"));
        assert_eq!((config.bell, config.notify.as_deref()), (Some(true), Some("osc9")));
        assert_eq!(config.alert.as_ref().map(Vec::len), Some(3));
        let home = std::env::home_dir().unwrap();
        assert_eq!(runs_dir(None, &config), Some(home.join("runs")));
        assert_eq!(runs_dir(Some(Path::new("/r")), &config), Some("/r".into()));
        // An empty variable says nothing.
        assert_eq!(runs_dir(Some(Path::new("")), &config), Some(home.join("runs")));
        std::fs::write(&path, "theme = 'pink'\nnotify = 'loud'\ncharset = 'ascii'").unwrap();
        let (config, complaint) = Config::read(&path);
        assert_eq!((config.theme, config.charset.as_deref()), (None, Some("ascii")));
        let complaint = complaint.unwrap();
        assert!(
            complaint.contains("theme = \"pink\", which is none of dark, light"),
            "{complaint}"
        );
        assert!(complaint.contains("none of off, osc9, osc777"), "{complaint}");
        std::fs::write(&path, "colour = 'true'").unwrap();
        assert!(Config::read(&path).1.is_some_and(|text| text.contains("`colour`")));
    }

    #[test]
    fn run_folders_never_collide() {
        let dir = tempfile::tempdir().unwrap();
        let a = new_run_dir(dir.path(), "ft/α b").unwrap();
        let b = new_run_dir(dir.path(), "ft/α b").unwrap();
        assert_eq!(a.file_name().unwrap().to_str(), Some("ft-α-b-1"));
        assert_eq!(b.file_name().unwrap().to_str(), Some("ft-α-b-2"));
    }
}
