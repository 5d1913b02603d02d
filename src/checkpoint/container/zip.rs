//! Zip archives whose members are stored as they are: where each lies.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use rawzip::{CompressionMethod, ZipArchive};

/// Most members: thousands are usual.
const MAX_MEMBERS: usize = 200_000;

/// What an archive holds.
#[derive(Debug, Default)]
pub(super) struct Members {
    /// Stored members by name, with the bytes of the file that they are.
    pub(super) stored: BTreeMap<String, Range<usize>>,
    /// Names of compressed members: TorchScript's code, never tensors. They are
    /// not inflated, so none can be a bomb.
    pub(super) compressed: BTreeSet<String>,
}

/// Reads an archive's directory.
///
/// # Errors
/// When it is damaged, a member lies outside the file, or two have one name.
pub(super) fn members(bytes: &[u8]) -> Result<Members, String> {
    let wrong = |error: rawzip::Error| format!("its zip directory is wrong: {error}: truncated?");
    let archive = ZipArchive::from_slice(bytes).map_err(wrong)?;
    let mut members = Members::default();
    let mut entries = archive.entries();
    while let Some(entry) = entries.next_entry().map_err(wrong)? {
        if entry.is_dir() {
            continue;
        }
        let name = String::from_utf8_lossy(entry.file_path().as_bytes()).into_owned();
        if entry.compression_method() != CompressionMethod::STORE {
            members.compressed.insert(name);
            continue;
        }
        let member = archive.get_entry(entry.wayfinder()).map_err(|error| {
            format!("its member `{name}` is not where the directory says: {error}: truncated?")
        })?;
        let (start, end) = member.compressed_data_range();
        let range = usize::try_from(start).ok().zip(usize::try_from(end).ok());
        let Some((start, end)) = range.filter(|(_, end)| *end <= bytes.len()) else {
            return Err(format!("its member `{name}` lies beyond the end: truncated"));
        };
        if entry.uncompressed_size_hint() != entry.compressed_size_hint() {
            return Err(format!("its member `{name}` is stored, but has two sizes"));
        }
        if members.stored.insert(name.clone(), start..end).is_some() {
            return Err(format!("two of its members are named `{name}`"));
        }
        if members.stored.len() + members.compressed.len() > MAX_MEMBERS {
            return Err(format!("it has more than {MAX_MEMBERS} members"));
        }
    }
    Ok(members)
}
