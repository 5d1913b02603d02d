//! Image folders: what the folders' names say about their classes, and which
//! of ImageNet's relatives they are.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use super::{Gathered, Named};
use crate::dataset::folder::{self, Folder};
use crate::dataset::imagenet::{self, ImageNetId};
use crate::dataset::{DatasetError, Problem, few, objectnet};
use crate::plural::{counted, either};
use crate::sweep::spec::{DatasetSpec, Protocol};

/// Opens class folders; `roots` are the folders that hold them.
pub(super) fn open(
    spec: &DatasetSpec,
    roots: &[PathBuf],
    named: Named,
    problems: &mut Vec<Problem>,
) -> Result<Gathered, DatasetError> {
    let mappings = spec.mappings.clone().or_else(|| objectnet::mappings(&spec.path));
    if let Some(mappings) = mappings {
        return objectnet(spec, &objectnet::classes(&mappings)?, problems);
    }
    if let Some(protocol) = spec.protocol {
        return Err(DatasetError::layout(
            &spec.path,
            format!(
                "protocol `{protocol}` is of ObjectNet, whose folder `mappings` is not here; give the folder that holds `images` and `mappings`, or `mappings` in the spec"
            ),
        ));
    }
    let mut folder = folder::list(roots, &spec.path)?;
    folder.refuse_empty(&spec.path)?;
    problems.append(&mut folder.problems);
    problems.extend(objectnet::unmapped(&folder.names).map(Problem::new));
    if folder.names == ["images"]
        && objectnet::unmapped(&below(&spec.path.join("images"))).is_some()
    {
        return Err(DatasetError::layout(
            &spec.path,
            "it is ObjectNet's archive without its mappings: give `mappings`, the folder of its four \
             files, or the path of `images` to measure 313 classes of their own",
        ));
    }
    let numbers = folder.numeric.then(|| v2(spec, &folder)).flatten();
    if let Some(imagenet) = numbers {
        folder.label_by_number();
        let classes = match named {
            Some((_, classes)) if classes.len() == ImageNetId::COUNT => classes,
            Some((path, classes)) => return Err(wrong_count(path, classes.len(), 1000)),
            None => imagenet::names(),
        };
        return Ok(Gathered {
            classes,
            imagenet: Some(imagenet),
            benchmark: Some(imagenet::v2()),
            entries: folder.entries,
            ..Gathered::default()
        });
    }
    let imagenet: Option<Vec<ImageNetId>> =
        folder.names.iter().map(|name| ImageNetId::of_wordnet(name)).collect();
    let Some(ids) = imagenet.filter(|ids| !ids.is_empty()) else {
        let classes = class_names(&mut folder, named, problems)?;
        return Ok(Gathered { classes, entries: folder.entries, ..Gathered::default() });
    };
    let classes = match named {
        Some((_, classes)) if classes.len() == ids.len() => classes,
        Some((_, classes)) if classes.len() == ImageNetId::COUNT => {
            ids.iter().map(|id| classes[id.label()].clone()).collect()
        }
        Some((path, classes)) => return Err(wrong_count(path, classes.len(), ids.len())),
        None => ids.iter().map(|id| id.name().to_string()).collect(),
    };
    let first = folder.entries.first().map_or("", |entry| entry.key.as_str());
    let benchmark = match roots {
        [root] => imagenet::recognise(root, &ids, first),
        many => Some(imagenet::corrupted(many.len())),
    };
    let entries = folder.entries;
    Ok(Gathered { classes, imagenet: Some(ids), benchmark, entries, ..Gathered::default() })
}

/// Names of the folders in a folder.
fn below(folder: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect()
}

/// The classes of ImageNetV2's numbered folders; `None` for other numbers.
fn v2(spec: &DatasetSpec, folder: &Folder) -> Option<Vec<ImageNetId>> {
    let all = |n: usize| (0..n).map(ImageNetId::new).collect::<Option<Vec<_>>>();
    let below = folder.names.iter().all(|n| n.parse().is_ok_and(|n| ImageNetId::new(n).is_some()));
    let called = spec.path.iter().any(|part| {
        let part = part.to_string_lossy().to_ascii_lowercase().replace(['-', '_'], "");
        part.starts_with("imagenetv2")
    });
    (below && (called || folder.names.len() == ImageNetId::COUNT))
        .then(|| all(ImageNetId::COUNT))
        .flatten()
}

fn wrong_count(path: PathBuf, got: usize, folders: usize) -> DatasetError {
    DatasetError::Line {
        path,
        line: got,
        message: format!(
            "expected one class name for each of the {}, got {got}; give as many, in the order of the sorted folders",
            counted(folders, "class folder")
        ),
    }
}

/// Class names of any other image folder; see [`folder::list`] for their order.
fn class_names(
    folder: &mut Folder,
    named: Named,
    problems: &mut Vec<Problem>,
) -> Result<Vec<String>, DatasetError> {
    let Some((path, classes)) = named else {
        if folder.numeric {
            problems.push(Problem::new(
                "the class folders are numbers and there are no class names: prompts will say so; add classnames.txt",
            ));
        } else if folder.names.iter().all(|name| is_wordnet(name)) {
            problems.push(Problem::new(
                "the class folders are WordNet numbers outside ImageNet's 1000 and there are no class names: prompts will say so; add classnames.txt, in the order of the sorted folders",
            ));
        }
        return Ok(folder.names.clone());
    };
    if classes.len() == folder.names.len() {
        return Ok(classes);
    }
    let last = folder.names.last().and_then(|name| name.parse::<usize>().ok());
    if folder.numeric && last.is_some_and(|last| last < classes.len()) {
        folder.label_by_number();
        return Ok(classes);
    }
    Err(wrong_count(path, classes.len(), folder.names.len()))
}

/// True for names as `n01440764`.
fn is_wordnet(name: &str) -> bool {
    name.len() == 9 && name.starts_with('n') && name[1..].bytes().all(|b| b.is_ascii_digit())
}

/// ObjectNet: the folders of the classes it shares with ImageNet.
fn objectnet(
    spec: &DatasetSpec,
    shared: &[objectnet::Class],
    problems: &mut Vec<Problem>,
) -> Result<Gathered, DatasetError> {
    let protocol = spec.protocol.unwrap_or_else(|| {
        problems.push(Problem::new(
            "ObjectNet by WiSE-FT's protocol; set `protocol` to \"clip-benchmark\" for the other, whose numbers differ",
        ));
        Protocol::WiseFt
    });
    let root = objectnet::images(&spec.path);
    let mut folder = folder::list(&[root], &spec.path)?;
    problems.append(&mut folder.problems);
    let label_of: HashMap<&str, u32> =
        shared.iter().enumerate().map(|(i, class)| (class.folder.as_str(), i as u32)).collect();
    let labels: Vec<Option<u32>> =
        folder.names.iter().map(|name| label_of.get(name.as_str()).copied()).collect();
    let before = folder.entries.len();
    let entries: Vec<_> = folder
        .entries
        .into_iter()
        .filter_map(|mut entry| {
            entry.label = labels.get(entry.label as usize).copied().flatten()?;
            Some(entry)
        })
        .collect();
    let left_out = before - entries.len();
    if left_out > 0 {
        problems.push(Problem::new(format!(
            "{} of {} that ImageNet does not have {} left out",
            counted(left_out, "image"),
            counted(labels.iter().filter(|label| label.is_none()).count(), "class"),
            either(&left_out, "is", "are")
        )));
    }
    let there: BTreeSet<&str> = folder.names.iter().map(String::as_str).collect();
    let missing: Vec<String> = shared
        .iter()
        .filter(|class| !there.contains(class.folder.as_str()))
        .map(|class| class.folder.clone())
        .collect();
    if !missing.is_empty() {
        problems.push(Problem::new(format!(
            "{} of {} class folders {} missing: {}",
            missing.len(),
            shared.len(),
            either(&missing.len(), "is", "are"),
            few(&missing)
        )));
    }
    let gathered = Gathered {
        classes: shared.iter().map(|class| class.name.clone()).collect(),
        entries,
        benchmark: Some(objectnet::benchmark(protocol)),
        frame: objectnet::frame(protocol),
        builtin_templates: true,
        ..Gathered::default()
    };
    if protocol == Protocol::ClipBenchmark {
        return Ok(gathered);
    }
    let ids: BTreeSet<ImageNetId> =
        shared.iter().flat_map(|class| class.imagenet.clone()).collect();
    let ids: Vec<ImageNetId> = ids.into_iter().collect();
    let group = |class: &objectnet::Class| {
        class.imagenet.iter().filter_map(|id| ids.binary_search(id).ok()).collect()
    };
    Ok(Gathered {
        rows: Some(ids.iter().map(|id| id.name().to_string()).collect()),
        groups: Some(shared.iter().map(group).collect()),
        imagenet: Some(ids),
        ..gathered
    })
}
