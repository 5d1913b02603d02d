//! What tells one dataset from another: the hash that a run is begun with, and refused to go on
//! without.

use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::Path;

use rayon::prelude::*;

use super::{Dataset, DatasetError, Location};

/// Bytes that are read at either end of an image file.
const END: u64 = 16 << 10;

impl Dataset {
    /// A hash of the content, as hex, for a sweep over the images `used`: class names, templates,
    /// every image's name and label, and every byte of every shard. Of an image folder the size
    /// and up to 16 KiB at either end of each used file: copies are the same wherever they lie and
    /// whenever they were made, and a folder of large images is not read twice. A file that cannot
    /// be opened counts as that: it is the spec's to say whether it may be left out.
    ///
    /// # Errors
    /// When a shard or an opened file cannot be read (any more).
    pub fn hash(&self, used: &[usize]) -> Result<String, DatasetError> {
        let mut whole = blake3::Hasher::new_derive_key("alphascope 2026-11 dataset v2");
        let mut field = |bytes: &[u8]| {
            whole.update(&(bytes.len() as u64).to_le_bytes()).update(bytes);
        };
        for text in self.classes().iter().chain(self.templates()) {
            field(text.as_bytes());
        }
        for (row, class) in self.0.groups.iter().flatten().zip(self.rows()) {
            field(class.as_bytes());
            row.iter().for_each(|n| field(&n.to_le_bytes()));
        }
        if self.frame() > 0 {
            field(&self.frame().to_le_bytes());
        }
        let tables = self.0.tables.iter().map(|table| &table.path);
        for path in self.0.shards.iter().map(|(path, _)| path).chain(tables) {
            let mut shard = blake3::Hasher::new();
            shard.update_mmap_rayon(path).map_err(DatasetError::read(path))?;
            field(shard.finalize().as_bytes());
        }
        for entry in &self.0.entries {
            field(entry.key.as_bytes());
            field(&entry.label.to_le_bytes());
        }
        let mut used = used.to_vec();
        used.sort_unstable();
        let file = |&at: &usize| match &self.0.entries.get(at)?.at {
            Location::File(path) => Some(path.as_path()),
            Location::Shard { .. } | Location::Row { .. } => None,
        };
        let files: Vec<&Path> = used.iter().filter_map(file).collect();
        let prints = files
            .into_par_iter()
            .map(|path| print(path).map_err(DatasetError::read(path)))
            .collect::<Result<Vec<_>, _>>()?;
        prints.iter().for_each(|print| field(print.as_bytes()));
        Ok(whole.finalize().to_hex().to_string())
    }
}

/// Size and both ends of a file.
fn print(path: &Path) -> std::io::Result<blake3::Hash> {
    let Ok(mut file) = crate::regular::open(path) else {
        return Ok(blake3::hash(b"cannot be opened"));
    };
    let length = file.metadata()?.len();
    let mut bytes = Vec::new();
    if length <= 2 * END {
        file.read_to_end(&mut bytes)?;
    } else {
        (&mut file).take(END).read_to_end(&mut bytes)?;
        file.seek(SeekFrom::End(-(END as i64)))?;
        file.take(END).read_to_end(&mut bytes)?;
    }
    let mut hash = blake3::Hasher::new();
    Ok(hash.update(&length.to_le_bytes()).update(&bytes).finalize())
}
