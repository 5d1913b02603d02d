//! What a dataset is, for people and scripts: `alphascope data PATH`.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use rayon::prelude::*;
use serde::Serialize;

use super::decode::{self, Format};
use super::{Dataset, DatasetError, Layout, Problem, prompts};
use crate::plain;
use crate::plural::{counted, noun};
use crate::sweep::event::Benchmark;
use crate::sweep::spec::DatasetSpec;

/// So many images are decoded in full; of all others the first bytes are read.
const DECODED: usize = 64;
/// So many unreadable images are named.
const NAMED: usize = 20;
/// Text is no wider.
const COLUMNS: usize = 80;

/// What a dataset is.
#[derive(Clone, Debug, Serialize)]
pub struct Description {
    /// Where it is.
    #[serde(serialize_with = "crate::lossy::path")]
    pub path: PathBuf,
    /// How it is stored.
    pub layout: Layout,
    /// The split's folder name, where the layout has splits.
    pub split: Option<String>,
    /// How many images.
    pub images: usize,
    /// Bytes of all encoded images.
    pub bytes: u64,
    /// Which published dataset it is, and how many images that has.
    pub benchmark: Option<Benchmark>,
    /// Every class with its number of images, in label order.
    pub classes: Vec<ClassCount>,
    /// Prompt templates.
    pub templates: Vec<String>,
    /// The first class's prompt by the first template.
    pub prompt: Option<String>,
    /// Images by format, as `JPEG`, of those looked at.
    pub formats: BTreeMap<String, usize>,
    /// At so many images was looked at all, if only at their first bytes: at all but in parquet.
    pub looked_at: usize,
    /// How many images were decoded in full to see whether they can be.
    pub decoded: usize,
    /// Smallest and largest width and height of those, in pixels.
    pub sizes: Option<Sizes>,
    /// How many images cannot be read, of those looked at.
    pub unreadable: usize,
    /// The first of them, with the reason.
    pub unreadable_names: Vec<Unreadable>,
    /// Whether every image was decoded, and all that cannot be are named.
    pub every: bool,
    /// What else is odd.
    pub problems: Vec<Problem>,
}

/// One class.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ClassCount {
    /// Its name.
    pub name: String,
    /// How many images have its label.
    pub images: usize,
}

/// Ranges of image sizes, in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Sizes {
    /// Smallest and largest width.
    pub width: (usize, usize),
    /// Smallest and largest height.
    pub height: (usize, usize),
}

/// An image that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Unreadable {
    /// Its name.
    pub key: String,
    /// Why.
    pub reason: String,
}

/// How closely the images are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// The first bytes of every image; some, chosen by a seed, are decoded in
    /// full. Of parquet files only these.
    Sample,
    /// Every image is decoded in full.
    Every,
}

/// Opens a dataset as a sweep would and says what it is.
///
/// # Errors
/// When the dataset cannot be opened, as [`Dataset::open`] says.
pub fn describe(spec: &DatasetSpec, depth: Depth) -> Result<Description, DatasetError> {
    Ok(Description::of(&Dataset::open(spec)?, depth))
}

/// What was seen of one image.
#[derive(Default)]
struct Seen {
    /// Whether there was a look at it.
    looked: bool,
    format: Option<Format>,
    size: Option<(usize, usize)>,
    error: Option<String>,
}

impl Seen {
    fn broken(error: &impl fmt::Display) -> Self {
        Self { looked: true, error: Some(error.to_string()), ..Self::default() }
    }
}

impl Description {
    /// Describes an open dataset.
    #[must_use]
    pub fn of(dataset: &Dataset, depth: Depth) -> Self {
        let mut full = dataset.order(0);
        full.truncate(if depth == Depth::Every { usize::MAX } else { DECODED });
        let chosen: std::collections::HashSet<usize> = full.iter().copied().collect();
        let seen: Vec<Seen> = (0..dataset.len())
            .into_par_iter()
            .map(|i| match dataset.layout() {
                _ if chosen.contains(&i) => decoded(dataset, i),
                // A glimpse would cost a whole page.
                Layout::Parquet => Seen::default(),
                _ => glimpsed(dataset, i),
            })
            .collect();
        let mut formats: BTreeMap<String, usize> = BTreeMap::new();
        for format in seen.iter().filter_map(|s| s.format) {
            *formats.entry(format.to_string()).or_default() += 1;
        }
        let range = |pick: fn(&(usize, usize)) -> usize| {
            let all = || seen.iter().filter_map(|s| s.size.as_ref()).map(pick);
            Some((all().min()?, all().max()?))
        };
        let sizes =
            range(|s| s.0).zip(range(|s| s.1)).map(|(width, height)| Sizes { width, height });
        let bad: Vec<Unreadable> = seen
            .iter()
            .enumerate()
            .filter_map(|(i, s)| {
                let reason = s.error.clone()?;
                Some(Unreadable { key: dataset.key(i).into(), reason })
            })
            .collect();
        let mut counts = vec![0; dataset.classes().len()];
        (0..dataset.len()).for_each(|i| counts[dataset.label(i)] += 1);
        let classes: Vec<ClassCount> = dataset
            .classes()
            .iter()
            .zip(counts)
            .map(|(name, images)| ClassCount { name: name.clone(), images })
            .collect();
        let first = dataset.rows().first().map(|name| prompts(name, dataset.templates()));
        Self {
            path: dataset.path().into(),
            layout: dataset.layout(),
            split: dataset.split().map(str::to_string),
            images: dataset.len(),
            benchmark: dataset.benchmark().cloned(),
            bytes: dataset.encoded_bytes(),
            classes,
            templates: dataset.templates().to_vec(),
            prompt: first.and_then(|all| all.into_iter().next()),
            formats,
            looked_at: seen.iter().filter(|s| s.looked).count(),
            decoded: full.len(),
            sizes,
            unreadable: bad.len(),
            unreadable_names: match depth {
                Depth::Every => bad,
                Depth::Sample => bad.into_iter().take(NAMED).collect(),
            },
            every: depth == Depth::Every,
            problems: dataset.problems().to_vec(),
        }
    }
}

impl Description {
    /// True when none of the images that were decoded could be.
    #[must_use]
    pub fn is_unreadable(&self) -> bool {
        self.decoded > 0 && self.sizes.is_none()
    }
}

fn decoded(dataset: &Dataset, i: usize) -> Seen {
    let bytes = match dataset.bytes(i) {
        Ok(bytes) => bytes,
        Err(error) => return Seen::broken(&error),
    };
    let format = Format::of(&bytes);
    match decode::size(&bytes) {
        Ok(size) => Seen { format, size: Some(size), looked: true, error: None },
        Err(error) => Seen { format, ..Seen::broken(&error) },
    }
}

/// Looks at the first bytes only.
fn glimpsed(dataset: &Dataset, i: usize) -> Seen {
    match dataset.head(i, 16) {
        Ok(head) => {
            let format = Format::of(&head);
            let error = format.is_none().then(|| decode::unknown(&head).to_string());
            Seen { format, size: None, error, looked: true }
        }
        Err(error) => Seen::broken(&error),
    }
}

/// Cuts text to the width of the page.
fn line(f: &mut fmt::Formatter<'_>, name: &str, value: &str) -> fmt::Result {
    let room = COLUMNS - 12;
    let value = value.replace(['\n', '\r', '\t'], " ");
    if value.chars().count() <= room {
        return writeln!(f, "{name:<12}{value}");
    }
    let cut: String = value.chars().take(room - 1).collect();
    writeln!(f, "{name:<12}{cut}…")
}

/// The same, over as many lines as it takes.
fn paragraph(f: &mut fmt::Formatter<'_>, name: &str, value: &str) -> fmt::Result {
    let room = COLUMNS - 12;
    let (mut name, mut row) = (name, String::new());
    for word in value.split_whitespace() {
        if !row.is_empty() && row.chars().count() + 1 + word.chars().count() > room {
            line(f, name, &row)?;
            (name, row) = ("", String::new());
        }
        if !row.is_empty() {
            row.push(' ');
        }
        row.push_str(word);
    }
    line(f, name, &row)
}

impl fmt::Display for Description {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        paragraph(f, "path", &self.path.display().to_string())?;
        let split = self.split.as_ref().map_or(String::new(), |name| format!(", split `{name}`"));
        line(f, "layout", &format!("{}{split}", self.layout))?;
        let formats: Vec<String> = self.formats.iter().map(|(k, n)| format!("{n} {k}")).collect();
        let megabytes = self.bytes as f64 / 1e6;
        let formats = match formats.len() {
            0 => "none of a format that is known".into(),
            _ => formats.join(", "),
        };
        let part = self.looked_at < self.images;
        let of = if part { format!("; of {} looked at", self.looked_at) } else { String::new() };
        let text = format!("{}, {megabytes:.1} MB{of}: {formats}", self.images);
        paragraph(f, "images", &text)?;
        if let Some(benchmark) = &self.benchmark {
            let whole = if benchmark.images == self.images { "whole" } else { "NOT whole" };
            let text =
                format!("{}, {whole}: {}/{} images", benchmark.name, self.images, benchmark.images);
            line(f, "benchmark", &text)?;
        }
        if let Some(Sizes { width, height }) = self.sizes {
            let span = |(low, high): (usize, usize)| {
                if low == high { low.to_string() } else { format!("{low}–{high}") }
            };
            let text = format!(
                "{} × {} pixels, of {} decoded in full",
                span(width),
                span(height),
                self.decoded
            );
            line(f, "sizes", &text)?;
        }
        let fewest = self.classes.iter().map(|c| c.images).min().unwrap_or(0);
        let most = self.classes.iter().map(|c| c.images).max().unwrap_or(0);
        let each = if fewest == most { fewest.to_string() } else { format!("{fewest}–{most}") };
        line(
            f,
            "classes",
            &format!("{}, of {each} {} each", self.classes.len(), noun(&most, "image")),
        )?;
        let show = |f: &mut fmt::Formatter<'_>, label: usize| {
            let class = &self.classes[label];
            line(f, "", &format!("{label:>5}  {:>6}  {}", class.images, plain::name(&class.name)))
        };
        let n = self.classes.len();
        if n <= 12 {
            (0..n).try_for_each(|label| show(f, label))?;
        } else {
            (0..5).try_for_each(|label| show(f, label))?;
            line(f, "", &format!("    …  ({} more)", n - 8))?;
            (n - 3..n).try_for_each(|label| show(f, label))?;
        }
        line(f, "prompts", &format!("{} per class", self.templates.len()))?;
        line(f, "", &self.prompt.as_ref().map_or(String::new(), |text| format!("`{text}`")))?;
        if self.unreadable == 0 && self.problems.is_empty() {
            return line(f, "problems", "none found");
        }
        if self.unreadable > 0 {
            let of = match self.looked_at {
                all if all == self.images => String::new(),
                n => format!(" of the {n} looked at; `--every` looks at all"),
            };
            line(f, "unreadable", &format!("{}{of}", counted(self.unreadable, "image")))?;
            let shown = if self.every { self.unreadable } else { 3 };
            for image in self.unreadable_names.iter().take(shown) {
                paragraph(f, "", &format!("{}: {}", image.key, image.reason))?;
            }
            if self.unreadable > shown {
                let more = self.unreadable - shown;
                line(f, "", &format!("… and {more} more; `--every` names all"))?;
            }
        }
        let mut name = "problems";
        for problem in &self.problems {
            paragraph(f, name, &problem.to_string())?;
            name = "";
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::sweep::spec::Role;

    fn told(path: &Path, depth: Depth) -> Description {
        describe(&DatasetSpec::new("told", Role::Id, path), depth).unwrap()
    }

    fn folder(classes: usize) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for class in 0..classes {
            let path = dir.path().join(format!("class {class:02}"));
            std::fs::create_dir(&path).unwrap();
            for i in 0..=class % 3 {
                std::fs::write(path.join(format!("{i}.ppm")), b"P6 1 2 255\nabcdef").unwrap();
            }
        }
        dir
    }

    #[test]
    fn text_and_json() {
        let dir = folder(2);
        std::fs::write(dir.path().join("class 00/bad.png"), b"not a picture").unwrap();
        let described = told(dir.path(), Depth::Sample);
        assert_eq!((described.images, described.unreadable, described.decoded), (4, 1, 4));
        assert_eq!(described.sizes, Some(Sizes { width: (1, 1), height: (2, 2) }));
        assert_eq!(described.formats, BTreeMap::from([("PNM".into(), 3)]));
        let json = serde_json::to_value(&described).unwrap();
        assert_eq!(json["layout"], "image_folder");
        assert_eq!(json["classes"][1]["images"], 2);
        assert_eq!(json["prompt"], "a photo of a class 00.");
        assert!(json["unreadable_names"][0]["key"].as_str().unwrap().ends_with("bad.png"));
        let text = described.to_string();
        assert!(
            text.contains("unreadable  1 image\n") && text.contains("no prompt templates"),
            "{text}"
        );
    }

    #[test]
    fn many_classes_are_cut_and_lines_are_short() {
        let dir = folder(30);
        let long = format!("{}\n", "word ".repeat(60));
        std::fs::write(dir.path().join("classnames.txt"), long.repeat(30)).unwrap();
        let text = told(dir.path(), Depth::Sample).to_string();
        assert!(text.contains("(22 more)"), "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= COLUMNS), "{text}");
    }

    #[test]
    fn most_images_are_only_glimpsed() {
        let dir = folder(60);
        let path = dir.path().join("class 00/zzz.png");
        std::fs::write(path, b"\x89PNG\r\n\x1a\n but then nothing").unwrap();
        let described = told(dir.path(), Depth::Sample);
        assert_eq!((described.images, described.decoded), (121, 64));
        assert_eq!(described.formats["PNG"], 1);
        let all = told(dir.path(), Depth::Every);
        assert_eq!((all.decoded, all.unreadable), (121, 1));
    }

    #[test]
    fn all_that_cannot_be_read_are_named_where_every_image_is_decoded() {
        let dir = folder(1);
        for i in 0..30 {
            std::fs::write(dir.path().join(format!("class 00/bad {i:02}.png")), b"no").unwrap();
        }
        let some = told(dir.path(), Depth::Sample);
        assert_eq!((some.unreadable, some.unreadable_names.len()), (30, NAMED));
        assert!(some.to_string().contains("… and 27 more; `--every` names all"), "{some}");
        let all = told(dir.path(), Depth::Every);
        assert_eq!(all.unreadable_names.len(), 30);
        assert!(all.to_string().contains("bad 29.png") && !all.to_string().contains(" more;"));
    }
}
