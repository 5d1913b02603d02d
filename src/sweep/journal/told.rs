//! What people are told of lines of a journal that were left out.

/// What people are told of lines of a later version; nothing where there are none.
pub(super) fn newer(lines: usize) -> Option<String> {
    let these = match lines {
        0 => return None,
        1 => "1 line of the run's journal is of a kind".to_string(),
        n => format!("{n} lines of the run's journal are of kinds"),
    };
    Some(format!("{these} that this version does not know: kept, and left out here"))
}

/// What people are told of damaged lines; nothing where there are none.
pub(super) fn damage(lines: usize) -> Option<String> {
    let these = match lines {
        0 => return None,
        1 => "1 line of the run's journal is".to_string(),
        n => format!("{n} lines of the run's journal are"),
    };
    Some(format!("{these} damaged and left out; `sweep --resume` measures again what was in it"))
}

/// What people are told of results that the run has no place for; nothing where
/// there are none.
#[must_use]
pub fn misfit(lines: usize) -> Option<String> {
    let these = match lines {
        0 => return None,
        1 => "1 line of the run's journal is a result".to_string(),
        n => format!("{n} lines of the run's journal are results"),
    };
    Some(format!(
        "{these} of a point, dataset, variant, round or layer that the run does not have: \
         damaged, most likely, and left out"
    ))
}
