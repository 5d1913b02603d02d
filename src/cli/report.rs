//! `alphascope report`: a run folder as a file for others.

use std::io::{self, IsTerminal, Write};
use std::path::Path;

use anyhow::Context;

use crate::launch::SPEC_FILE;
use crate::plain;
use crate::report::{self, Format};
use crate::sweep::journal;
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

pub(super) fn run(dir: &Path, format: Format, out: Option<&Path>) -> anyhow::Result<u8> {
    let (state, complaint) = journal::replay(dir)?;
    if let Some(text) = complaint {
        writeln!(io::stderr(), "warning: {}", plain::text(&text))
            .context("cannot write to stderr")?;
    }
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
    let bytes = report::render(&state, format)?;
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
