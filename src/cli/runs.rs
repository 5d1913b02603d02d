//! `alphascope runs`: the run library without the screen.

use std::io::{IsTerminal, Write};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context;
use clap::Subcommand;

use super::{config, io};
use crate::library::{self, Run, State};
use crate::plain;

/// What was typed after `runs`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    act: Option<Act>,
    /// Only runs whose name, state, checkpoints or datasets hold every word
    #[arg(long, value_name = "TEXT", default_value = "")]
    filter: String,
    /// As JSON
    #[arg(long)]
    json: bool,
    /// On the screen, where runs are opened, compared, renamed and deleted
    #[arg(long, conflicts_with = "json")]
    screen: bool,
}

#[derive(Debug, Subcommand)]
enum Act {
    /// Watch a run by its name
    Open {
        /// Its name
        name: String,
    },
    /// Two runs side by side
    Compare {
        /// One
        one: String,
        /// The other
        two: String,
    },
    /// Give a run another name
    Rename {
        /// Its name
        name: String,
        /// Its new name
        new: String,
    },
    /// Delete a run with all that was measured (asks first)
    Delete {
        /// Its name
        name: String,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
}

/// What is left to the screen.
pub enum Left {
    /// Nothing: done, with this exit code.
    Done(u8),
    /// Watch this run.
    Watch(std::path::PathBuf),
    /// Show the library.
    Screen(String),
}

/// The list for programs.
#[derive(serde::Serialize)]
struct Listed<'a> {
    schema: u32,
    folder: &'a str,
    runs: &'a [Run],
}

/// Milliseconds since the Unix epoch.
fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}

impl Args {
    /// Does it, in the folder `runs`, which a person `named`.
    pub fn run(&self, runs: &Path, named: bool) -> anyhow::Result<Left> {
        // Where nobody named one, none may have been made yet.
        if named && !runs.is_dir() {
            anyhow::bail!(
                "cannot list the runs in {}: expected a folder, found none; name another with \
                 --runs",
                runs.display()
            );
        }
        let mut out = io::stdout();
        let write = "cannot write to stdout";
        match &self.act {
            None if self.screen => return Ok(Left::Screen(self.filter.clone())),
            None => self.list(runs)?,
            Some(Act::Open { name }) => return Ok(Left::Watch(library::find(runs, name)?)),
            Some(Act::Compare { one, two }) => {
                let all = scan(runs, "")?;
                let of = |name: &str| -> anyhow::Result<&Run> {
                    library::find(runs, name)?;
                    all.iter().find(|run| run.name == name).context("the run has just vanished")
                };
                let text = library::compare([of(one)?, of(two)?]);
                write!(out, "{}", plain::text(&text)).context(write)?;
            }
            Some(Act::Rename { name, new }) => {
                let to = library::rename(runs, name, new)?;
                writeln!(out, "{}", plain::name(&to.to_string_lossy())).context(write)?;
            }
            Some(Act::Delete { name, yes }) => {
                let path = library::find(runs, name)?;
                if !yes && !sure(&path)? {
                    writeln!(out, "not deleted").context(write)?;
                    return Ok(Left::Done(0));
                }
                library::delete(runs, name)?;
                writeln!(out, "deleted {}", plain::name(&path.to_string_lossy())).context(write)?;
            }
        }
        Ok(Left::Done(0))
    }

    fn list(&self, runs: &Path) -> anyhow::Result<()> {
        let found = scan(runs, &self.filter)?;
        let text = if self.json {
            let folder = runs.to_string_lossy();
            let value = Listed { schema: 1, folder: &folder, runs: &found };
            format!("{}\n", serde_json::to_string_pretty(&value)?)
        } else if found.is_empty() {
            let what = if self.filter.is_empty() { "no runs" } else { "no such run" };
            format!("{what} in {}\n", runs.display())
        } else {
            library::table(&found, now())
        };
        write!(io::stdout(), "{}", plain::text(&text)).context("cannot write to stdout")
    }
}

fn scan(runs: &Path, filter: &str) -> anyhow::Result<Vec<Run>> {
    let cache = config::cache_dir().map(|dir| dir.join("runs.json"));
    let mut found = Vec::new();
    library::scan(runs, cache.as_deref(), |run| {
        if run.matches(filter) {
            found.push(run);
        }
        true
    })?;
    // What is no run comes last, whenever it changed.
    found.sort_by_key(|run| run.state == State::Foreign);
    Ok(found)
}

/// Asks a person; without one, no.
fn sure(path: &Path) -> anyhow::Result<bool> {
    if !io::stdin().is_terminal() {
        anyhow::bail!("{} is not deleted: add --yes to do it without a question", path.display());
    }
    let mut error = io::stderr();
    let text = "with all that was measured? [y/N] ";
    write!(error, "delete {} {text}", path.display()).context("cannot write to stderr")?;
    error.flush().context("cannot write to stderr")?;
    let mut answer = String::new();
    io::stdin().read_line(&mut answer).context("cannot read the answer")?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
