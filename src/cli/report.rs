//! `alphascope report`: a run folder as a file for others.

use std::io::{self, IsTerminal, Write};
use std::path::Path;

use anyhow::Context;

use crate::report::{self, Format};
use crate::sweep::journal;
use crate::sweep::state::SweepState;

pub(super) fn run(dir: &Path, format: Format, out: Option<&Path>) -> anyhow::Result<u8> {
    let mut reader = journal::Reader::open(dir)?;
    let state = SweepState::replay(&reader.poll()?);
    if let Some(text) = reader.complaint() {
        writeln!(io::stderr(), "warning: {text}").context("cannot write to stderr")?;
    }
    if format == Format::Png && out.is_none() && io::stdout().is_terminal() {
        anyhow::bail!(
            "cannot write a PNG to a terminal: it is bytes, not text; give --out FIGURE.png, or \
             send stdout to a file"
        );
    }
    let bytes = report::render(&state, format)?;
    match out {
        Some(path) => report::write(path, &bytes)?,
        None => io::stdout().write_all(&bytes).context("cannot write to stdout")?,
    }
    Ok(0)
}
