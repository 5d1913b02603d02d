//! Sharded checkpoints: an index file names the file of every tensor.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::Deserialize;

/// `model.safetensors.index.json` or `pytorch_model.bin.index.json`.
#[derive(Debug, Deserialize)]
pub struct Index {
    /// File name by tensor name.
    pub weight_map: BTreeMap<String, String>,
}

/// Largest index read; a CLIP's has some hundred lines.
const MAX_BYTES: u64 = 16 << 20;
/// Most shards.
const MAX_SHARDS: usize = 1000;

impl Index {
    /// Reads an index; `None` for a JSON file that is something else.
    ///
    /// # Errors
    /// A message: unreadable, or a shard that is not beside the index.
    pub fn read(path: &Path) -> Result<Option<Self>, String> {
        let size = std::fs::metadata(path).map_err(|error| error.to_string())?.len();
        if size > MAX_BYTES {
            return Ok(None);
        }
        let text = crate::regular::read(path, MAX_BYTES).map_err(|error| error.to_string())?;
        let index = match serde_json::from_slice::<Self>(&text) {
            Ok(index) => index,
            Err(error) if path.to_string_lossy().ends_with(".index.json") => {
                return Err(format!(
                    "expected an index of shards, with the file of each tensor in `weight_map`: \
                     {error}; download it again"
                ));
            }
            Err(_) => return Ok(None),
        };
        for shard in index.weight_map.values() {
            let plain = Path::new(shard).file_name().is_some_and(|name| name == shard.as_str());
            if !plain {
                return Err(format!("it names the shard `{shard}`, expected a plain file name"));
            }
        }
        match index.shards().len() {
            0 => Err("its `weight_map` names no shards".into()),
            n if n > MAX_SHARDS => Err(format!("it names {n} shards, at most {MAX_SHARDS}")),
            _ => Ok(Some(index)),
        }
    }

    /// The shards' file names.
    #[must_use]
    pub fn shards(&self) -> BTreeSet<&str> {
        self.weight_map.values().map(String::as_str).collect()
    }
}
