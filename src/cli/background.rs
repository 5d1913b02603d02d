//! `sweep --background`: the same sweep, in a process of its own.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context;

use super::{Config, Sweep, io};
use crate::alert::Alerts;
use crate::background::BackgroundError;
use crate::sweep::journal;
use crate::sweep::plan::Shard;
use crate::sweep::spec::Spec;
use crate::{background, config};

/// Starts it, waits until it has the run, and says how to watch it.
pub fn sweep(
    sweep: &Sweep,
    spec: &Spec,
    spec_path: &Path,
    config: &Config,
    runs: Option<PathBuf>,
    alerts: &Alerts,
) -> anyhow::Result<u8> {
    let (dir, made) = folder(sweep, spec, runs)?;
    let mut args = sweep.device.measure(config).arguments();
    args.extend(alerts.typed.iter().cloned());
    let spec_path = std::path::absolute(spec_path)
        .with_context(|| format!("cannot use the spec {}", spec_path.display()))?;
    let mut add = |flag: &str, value: Option<String>| {
        args.push(flag.into());
        args.extend(value);
    };
    for (flag, wanted) in
        [("--resume", sweep.resume), ("--paused", sweep.paused), ("--doctor", sweep.doctor)]
    {
        if wanted {
            add(flag, None);
        }
    }
    if let Some(budget) = sweep.budget {
        add("--budget", Some(budget.to_string()));
    }
    if let Some((index, of)) = sweep.shard.and_then(|shard| shard.parts()) {
        add("--shard", Some(format!("{index}/{of}")));
    }
    args.push(spec_path.to_str().context("the spec's path is not UTF-8: rename it")?.into());
    let shard = sweep.shard.unwrap_or_else(Shard::whole);
    let mut started = background::start(&dir, shard, &args);
    if let Err(error) = &mut started
        && made
        && !journal::is_run(&dir)
    {
        // Only the log of a start that failed is in it, and it was told.
        let _ = std::fs::remove_file(dir.join(background::LOG));
        let _ = std::fs::remove_dir(&dir);
        if let BackgroundError::Ended { log, .. } = error {
            log.take_if(|log| !log.exists());
        }
    }
    let pid = started?;
    let shown = config::quoted(&dir);
    writeln!(
        io::stdout(),
        "the sweep goes on in the background (process {pid})\nwatch it with: alphascope watch \
         {shown}"
    )
    .context("cannot write to stdout")?;
    Ok(0)
}

/// The run folder, and whether it was made just now: the other process cannot
/// choose it, because this one has to say where it is.
fn folder(sweep: &Sweep, spec: &Spec, runs: Option<PathBuf>) -> anyhow::Result<(PathBuf, bool)> {
    if let Some(dir) = &sweep.out {
        let dir = std::path::absolute(dir)
            .with_context(|| format!("cannot use the run folder {}", dir.display()))?;
        let made = !dir.exists();
        std::fs::create_dir_all(&dir)
            .with_context(|| format!("cannot make the run folder {}", dir.display()))?;
        return Ok((dir, made));
    }
    let runs = runs.context("this system names no home folder: give --out")?;
    let stem = |path: &Path| path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let ends = [&spec.checkpoints.zeroshot, &spec.checkpoints.finetuned];
    let name = ends.map(|path| stem(path)).join("-");
    let dir = config::new_run_dir(&runs, &name)
        .with_context(|| format!("cannot make a run folder in {}", runs.display()))?;
    Ok((dir, true))
}
