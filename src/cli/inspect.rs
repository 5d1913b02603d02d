//! `alphascope inspect` of two files.

use std::io::{self, Write};
use std::path::Path;

use anyhow::Context;

use super::print;
use crate::checkpoint;
use crate::plain;

/// Prints the comparison; 2 where no sweep can be run between the two, so that
/// scripts need not read it.
pub(super) fn pair(zeroshot: &Path, finetuned: &Path, json: bool) -> anyhow::Result<u8> {
    let pair = checkpoint::describe_pair(zeroshot, finetuned)?;
    let code = print(&pair, json)?;
    if pair.matches {
        return Ok(code);
    }
    let problem = pair.problem.as_deref().unwrap_or("they do not match");
    let text = format!("error: no sweep can be run between these two: {problem}");
    writeln!(io::stderr(), "{}", plain::text(&text)).context("cannot write to stderr")?;
    Ok(2)
}
