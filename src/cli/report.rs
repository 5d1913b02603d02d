//! `alphascope report`: a run folder as a file for others.

use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::launch::SPEC_FILE;
use crate::plain;
use crate::report::{self, Format};
use crate::sweep::journal;
use crate::sweep::state::SweepState;
use crate::sweep::stats::Member;
use crate::{background, control};

/// Whether a path is a file that the run in `dir` is made of.
fn is_of_run(dir: &Path, path: &Path) -> bool {
    let parent = match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => return false,
    };
    let same = matches!((parent.canonicalize(), dir.canonicalize()), (Ok(a), Ok(b)) if a == b);
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let own = [SPEC_FILE, background::LOG].contains(&name.as_ref());
    same && (own || journal::stem_of(&name, "").is_some() || control::is_socket(&name))
}

fn replay(dir: &Path) -> anyhow::Result<SweepState> {
    let (state, complaint) = journal::replay(dir)?;
    if let Some(text) = complaint {
        writeln!(io::stderr(), "warning: {}", plain::text(&text))
            .context("cannot write to stderr")?;
    }
    Ok(state)
}

/// A folder's own name, for people.
fn name(dir: &Path) -> String {
    let whole = std::path::absolute(dir).unwrap_or_else(|_| dir.into());
    let name = whole.file_name().unwrap_or(dir.as_os_str());
    name.to_string_lossy().into_owned()
}

pub(super) fn run(
    dir: &Path,
    others: &[PathBuf],
    format: Format,
    out: Option<&Path>,
) -> anyhow::Result<u8> {
    if !others.is_empty() && format != Format::Json {
        anyhow::bail!(
            "expected one run folder, got {}: several runs are taken together in JSON alone; leave \
             out --format, or the other folders",
            1 + others.len()
        );
    }
    let state = replay(dir)?;
    if format == Format::Png && out.is_none() && io::stdout().is_terminal() {
        anyhow::bail!(
            "cannot write a PNG to a terminal: it is bytes, not text; give --out FIGURE.png, or \
             send stdout to a file"
        );
    }
    if let Some(path) = out.filter(|path| is_of_run(dir, path)) {
        anyhow::bail!(
            "cannot write a report to {}: it is one of the run's own files; give --out another name",
            path.display()
        );
    }
    let bytes = if others.is_empty() {
        report::render(&state, format)?
    } else {
        let mut runs = vec![(name(dir), state)];
        for other in others {
            runs.push((name(other), replay(other)?));
        }
        let members: Vec<Member<'_>> =
            runs.iter().map(|(name, run)| Member { name, run }).collect();
        report::render_together(&members)?
    };
    match out {
        Some(path) => report::write(path, &bytes)?,
        // A terminal must not obey the names in it; a program gets them as they are.
        None if io::stdout().is_terminal() => {
            let text = String::from_utf8_lossy(&bytes);
            write!(io::stdout(), "{}", plain::text(&text)).context("cannot write to stdout")?;
        }
        None => io::stdout().write_all(&bytes).context("cannot write to stdout")?,
    }
    Ok(0)
}
