//! Another run, read from its folder to be shown beside the present one.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::app::contest::Guest;
use crate::launch::SPEC_FILE;
use crate::sweep::journal;
use crate::sweep::spec::Spec;

/// Reads the run in `dir`; nothing is written there. Which datasets are the very
/// same as those of the run in `own` is told by the hashes of their content that
/// both folders keep: where one is missing, they are not the same.
///
/// # Errors
/// When `dir` holds no journal with a header, or it cannot be read.
pub fn read(dir: &Path, own: &Path) -> Result<Guest, String> {
    let dir = std::path::absolute(dir).unwrap_or_else(|_| dir.into());
    let (run, _) = journal::replay(&dir).map_err(|error| error.to_string())?;
    if run.header().is_none() {
        return Err(format!(
            "cannot show {}: expected a run with a header, its journal has none yet",
            dir.display()
        ));
    }
    let (ours, theirs) = (hashes(own), hashes(&dir));
    let names = run.datasets().iter().map(|info| info.name.clone());
    let same = names.filter(|name| {
        let of =
            |hashes: &BTreeMap<String, String>| hashes.get(&format!("datasets.{name}")).cloned();
        of(&ours).is_some_and(|hash| Some(hash) == of(&theirs))
    });
    let same: BTreeSet<String> = same.collect();
    let name = dir
        .file_name()
        .map_or_else(|| dir.display().to_string(), |name| name.to_string_lossy().into_owned());
    Ok(Guest { name, same, run, dir })
}

/// Of every input, by its field; empty where the folder keeps none.
fn hashes(dir: &Path) -> BTreeMap<String, String> {
    Spec::load(&dir.join(SPEC_FILE)).map_or_else(|_| BTreeMap::new(), |spec| spec.inputs)
}
