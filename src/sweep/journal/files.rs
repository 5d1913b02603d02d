//! What a run's files are called. Each journal has a stem, `events` or
//! `events.I-of-N`; what stands beside it has the same stem and an ending of its
//! own.

use std::io;
use std::path::{Path, PathBuf};

use crate::sweep::plan::Shard;

/// Stem of the journal of a run that is not split into shards.
pub const STEM: &str = "events";

/// Ending of a journal.
pub const ENDING: &str = ".jsonl";

/// Stem of a shard's journal.
pub(super) fn stem(shard: Shard) -> String {
    match shard.parts() {
        None => STEM.into(),
        Some((index, of)) => format!("{STEM}.{index}-of-{of}"),
    }
}

/// Where a journal lies.
pub(super) fn path_of(dir: &Path, stem: &str) -> PathBuf {
    dir.join(format!("{stem}{ENDING}"))
}

/// Part and count in a journal's stem; `None` for the whole, and for other names.
fn parts(stem: &str) -> Option<(usize, usize)> {
    let (index, of) = stem.strip_prefix(STEM)?.strip_prefix('.')?.split_once("-of-")?;
    Some((index.parse().ok()?, of.parse().ok()?))
}

/// True when two journals are of sessions that would measure the same cells: the
/// whole and a part, or parts of different counts.
pub(super) fn overlap(one: &str, other: &str) -> bool {
    match (parts(one), parts(other)) {
        (None, None) => false,
        (Some((_, a)), Some((_, b))) => a != b,
        _ => true,
    }
}

/// How the journal's session measures, for people.
pub(super) fn way(stem: &str) -> String {
    match parts(stem) {
        None => "as a whole".into(),
        Some((index, of)) => format!("in {of} parts (its part is {index}/{of})"),
    }
}

/// The journal's stem in the name of a file that is, or stands beside, a journal;
/// `None` for other names, or another ending.
#[must_use]
pub fn stem_of<'a>(name: &'a str, ending: &str) -> Option<&'a str> {
    let stem = name.strip_suffix(ending)?;
    let shard = stem.strip_prefix(STEM)?;
    (shard.is_empty() || shard.starts_with('.')).then_some(stem)
}

/// Stems of all files in `dir` with this ending that are, or stand beside, a
/// journal; sorted.
///
/// # Errors
/// When the folder cannot be listed.
pub fn stems(dir: &Path, ending: &str) -> io::Result<Vec<String>> {
    let mut stems = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let name = entry?.file_name();
        stems.extend(name.to_str().and_then(|name| stem_of(name, ending)).map(String::from));
    }
    stems.sort_unstable();
    Ok(stems)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stem_is_that_of_a_run_or_of_a_shard() {
        assert_eq!(stem_of("events.jsonl", ENDING), Some("events"));
        assert_eq!(stem_of("events.1-of-2.owner", ".owner"), Some("events.1-of-2"));
        for other in ["events.owner", "events2.jsonl", "my-events.jsonl", ".events.x.jsonl"] {
            assert_eq!(stem_of(other, ENDING), None, "{other}");
        }
        for (one, other, same) in [
            ("events", "events", false),
            ("events", "events.1-of-2", true),
            ("events.1-of-3", "events.1-of-2", true),
            ("events.1-of-2", "events.2-of-2", false),
        ] {
            assert_eq!((overlap(one, other), overlap(other, one)), (same, same), "{one} {other}");
        }
        let shard = stem(Shard::new(1, 2).unwrap());
        assert_eq!(stem_of(&format!("{shard}{ENDING}"), ENDING), Some(shard.as_str()));
    }
}
