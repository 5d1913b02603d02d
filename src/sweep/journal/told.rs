//! What people are told of lines of a journal that were left out.

use crate::plural::{counted, either};

/// `2 lines of the run's journal are`; nothing where there are none.
fn of_the_journal(lines: usize) -> Option<String> {
    let are = either(&lines, "is", "are");
    (lines > 0).then(|| format!("{} of the run's journal {are}", counted(lines, "line")))
}

/// What people are told of lines of a later version; nothing where there are none.
pub(super) fn newer(lines: usize) -> Option<String> {
    let these = of_the_journal(lines)?;
    let kinds = either(&lines, "a kind", "kinds");
    Some(format!("{these} of {kinds} that this version does not know: kept, and left out here"))
}

/// What people are told of damaged lines; nothing where there are none.
pub(super) fn damage(lines: usize) -> Option<String> {
    let these = of_the_journal(lines)?;
    Some(format!("{these} damaged and left out; `sweep --resume` measures again what was in it"))
}

/// What people are told of results that the run has no place for; nothing where
/// there are none.
#[must_use]
pub fn misfit(lines: usize) -> Option<String> {
    let these = of_the_journal(lines)?;
    let results = either(&lines, "a result", "results");
    Some(format!(
        "{these} {results} of a point, dataset, variant, round or layer that the run does not \
         have: damaged, most likely, and left out"
    ))
}
