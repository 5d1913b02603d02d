//! From what a person gives to the files that are opened: a file, a model
//! folder, an index of shards, or one of several models in a file.

use std::path::{Path, PathBuf};

use super::container::shards::Index;
use super::error::CheckpointError;

/// The files of one checkpoint.
#[derive(Debug)]
pub(super) struct Located {
    /// The checkpoint file, or the index of its shards.
    pub(super) path: PathBuf,
    /// The files that hold tensors.
    pub(super) files: Vec<PathBuf>,
    /// Of a sharded checkpoint.
    pub(super) index: Option<Index>,
    /// Name of the model folder, where one was given.
    pub(super) folder: Option<String>,
    /// The prefix asked for (`FILE#state_dict_ema`).
    pub(super) select: Option<String>,
    /// What was chosen.
    pub(super) notices: Vec<String>,
}

/// Weights in a model folder, best first: open_clip's order, then shards.
const IN_FOLDERS: [&str; 8] = [
    "open_clip_model.safetensors",
    "open_clip_pytorch_model.safetensors",
    "open_clip_pytorch_model.bin",
    "open_clip_pytorch_model.pth",
    "model.safetensors",
    "pytorch_model.bin",
    "pytorch_model.pth",
    "model.pth",
];

/// Indices of shards in a model folder, best first.
const INDICES: [&str; 4] = [
    "open_clip_model.safetensors.index.json",
    "model.safetensors.index.json",
    "open_clip_pytorch_model.bin.index.json",
    "pytorch_model.bin.index.json",
];

/// Finds the files.
pub(super) fn locate(given: &Path) -> Result<Located, CheckpointError> {
    let (path, select) = selected(given);
    let read = |path: &Path, source| CheckpointError::Read { path: path.into(), source };
    let mut notices = Vec::new();
    let kind = std::fs::metadata(&path).map_err(|error| read(&path, error))?;
    let mut folder = None;
    let path = if kind.is_dir() {
        // `.` has a name only when it is written out.
        let whole = path.canonicalize().unwrap_or_else(|_| path.clone());
        folder = whole.file_name().map(|name| name.to_string_lossy().into_owned());
        let (path, notice) = in_folder(&path)?;
        notices.push(notice);
        path
    } else {
        path
    };
    let index = match path.extension() {
        Some(extension) if extension == "json" => Index::read(&path)
            .map_err(|message| CheckpointError::Config { path: path.clone(), message })?,
        _ => None,
    };
    let files = match &index {
        None => vec![path.clone()],
        Some(index) => {
            let folder = path.parent().unwrap_or(Path::new(""));
            index.shards().into_iter().map(|shard| folder.join(shard)).collect()
        }
    };
    for file in &files {
        // A pipe or device would block or never end.
        if !std::fs::metadata(file).map_err(|error| read(file, error))?.is_file() {
            return Err(read(file, std::io::Error::other("not a regular file")));
        }
    }
    Ok(Located { path, files, index, folder, select, notices })
}

/// `FILE#PREFIX`, where there is no file of the whole name.
fn selected(given: &Path) -> (PathBuf, Option<String>) {
    if !given.exists()
        && let Some(text) = given.to_str()
        && let Some((file, prefix)) = text.rsplit_once('#')
        && !prefix.is_empty()
        && !prefix.contains('/')
    {
        return (file.into(), Some(prefix.into()));
    }
    (given.into(), None)
}

fn in_folder(folder: &Path) -> Result<(PathBuf, String), CheckpointError> {
    let known = IN_FOLDERS.iter().chain(&INDICES).map(|name| folder.join(name));
    let mut there: Vec<PathBuf> = known.filter(|path| path.is_file()).collect();
    if there.is_empty() && is_distributed(folder) {
        return Err(CheckpointError::Folder { path: folder.into(), hint: DISTRIBUTED.into() });
    }
    if there.is_empty() {
        there = others(folder);
        // Among several a person must choose.
        if there.len() > 1 {
            let names: Vec<String> = there.iter().take(LISTED).map(|it| name(it)).collect();
            let more = match there.len() - names.len() {
                0 => String::new(),
                n => format!(" and {n} more"),
            };
            let hint = format!("it holds several: {}{more}; give one of them", names.join(", "));
            return Err(CheckpointError::Folder { path: folder.into(), hint });
        }
    }
    let Some(first) = there.first().cloned() else {
        return Err(CheckpointError::Folder { path: folder.into(), hint: hint(folder) });
    };
    let notice = match there.len() {
        1 => format!("{} is a folder: its {} is opened", folder.display(), name(&first)),
        _ => format!(
            "{} is a folder: its {} is opened, not {}",
            folder.display(),
            name(&first),
            there[1..].iter().map(|path| name(path)).collect::<Vec<_>>().join(", ")
        ),
    };
    Ok((first, notice))
}

/// Of a folder with several checkpoints so many are named.
const LISTED: usize = 12;

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// The weights of a folder with other names, sorted.
fn others(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let kinds = ["safetensors", "bin", "pth", "pt"];
    let mut found: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|end| kinds.iter().any(|kind| end == *kind)))
        .filter(|path| path.is_file())
        .collect();
    found.sort();
    found
}

/// What to do with a folder of torch.distributed.checkpoint.
const DISTRIBUTED: &str = "it is a distributed checkpoint (torch.distributed.checkpoint), which is \
                           not read: join it with `python -m \
                           torch.distributed.checkpoint.format_utils dcp_to_torch FOLDER model.pt`";

/// Entries of a folder that are looked at to tell what it is.
const LOOKED_AT: usize = 1000;

fn is_distributed(folder: &Path) -> bool {
    let part = |path: &Path| path.extension().is_some_and(|end| end == "distcp");
    folder.join(".metadata").is_file() || entries(folder).iter().any(|path| part(path))
}

fn hint(folder: &Path) -> String {
    match entries(folder).iter().find(|path| path.is_dir() && is_distributed(path)) {
        Some(inner) => format!("in it, {}: {DISTRIBUTED}", name(inner)),
        None => "no checkpoint lies in it: give the file itself".into(),
    }
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    entries.filter_map(|entry| Some(entry.ok()?.path())).take(LOOKED_AT).collect()
}
