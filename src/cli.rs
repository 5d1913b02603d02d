//! What was typed, and what to do about it.

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};

use crate::alert::Alerts;
use crate::checkpoint;
use crate::config::{self, Config};
use crate::demo;
use crate::headless;
use crate::launch::{Launch, Measure, Request, SPEC_FILE};
use crate::plain;
use crate::report::Format;
use crate::sim::{Loss, SimScript, SimShape};
use crate::sweep::event::Outcome;
use crate::sweep::journal;
use crate::sweep::plan::Shard;
use crate::sweep::spec::{DoctorSpec, Spec};

mod alarm;
mod background;
mod data;
mod inspect;
mod merge;
mod report;
mod runs;
#[cfg(feature = "tui")]
mod screen;

use alarm::Alarm;

/// Exit code: bad usage or input.
const BAD: u8 = 2;

/// Watch robust fine-tuning: the α-sweep between two CLIP checkpoints, live.
///
/// θ(α) = θ₀ + α·(θ₁ − θ₀): α = 0 is the zero-shot end, α = 1 the fine-tuned
/// one. Without a command the screen opens, ready to choose checkpoints and
/// datasets.
#[derive(Debug, Parser)]
#[command(name = "alphascope", version, max_term_width = 100, after_help = AFTER)]
struct Cli {
    #[command(subcommand)]
    command: Option<Cmd>,
    /// Start on the embedded demo
    #[arg(long, value_name = "PAIR", num_args = 0..=1, default_missing_value = "success")]
    demo: Option<demo::Pair>,
    /// Run folder of the demo; a new one where runs go if absent
    #[arg(long, value_name = "DIR", requires = "demo")]
    out: Option<PathBuf>,
    /// Go on with the demo's run in --out
    #[arg(long, requires = "out")]
    resume: bool,
    #[command(flatten)]
    device: Device,
    /// Where runs go and are looked for
    #[arg(long, global = true, value_name = "DIR", env = "ALPHASCOPE_RUNS")]
    runs: Option<PathBuf>,
    #[command(flatten)]
    look: Look,
    #[command(flatten)]
    alarm: Alarm,
}

const AFTER: &str = "Exit codes: 0 all measured; 1 finished, some cells failed; 2 bad usage or \
                     input; 3 stopped early, can be resumed.\n\nTry it: alphascope --demo";

#[derive(Clone, Debug, Default, Args)]
struct Device {
    /// auto, cpu, cuda, or cuda:0,1
    #[arg(long, value_name = "DEVICE", env = "ALPHASCOPE_DEVICE")]
    device: Option<String>,
    /// Pretend to measure: for trying the screen without an engine
    #[arg(long, hide = true, value_name = "SHAPE", num_args = 0..=1, default_missing_value = "success")]
    sim: Option<Sim>,
    /// Milliseconds a pretended batch takes
    #[arg(long, hide = true, default_value_t = 20)]
    sim_ms: u64,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Sim {
    Success,
    Failure,
    /// One cell fails.
    Hole,
    /// The device is lost.
    Lost,
    /// The device's context is in an unknown state.
    Poisoned,
    /// Memory is short.
    Memory,
    /// The engine prints.
    Noisy,
}

impl Device {
    fn script(&self) -> Option<SimScript> {
        use crate::sweep::ids::{AlphaId, DatasetId};
        let pause = std::time::Duration::from_millis(self.sim_ms);
        let script = SimScript { pause, ..SimScript::default() };
        Some(match self.sim? {
            Sim::Success => script,
            Sim::Failure => SimScript { shape: SimShape::Failure, ..script },
            Sim::Hole => SimScript { failing: vec![(DatasetId(1), AlphaId(5))], ..script },
            Sim::Lost => SimScript { fatal_after: Some(100), ..script },
            Sim::Poisoned => SimScript { fatal_after: Some(100), loss: Loss::Poisoned, ..script },
            Sim::Noisy => SimScript { noise: true, ..script },
            Sim::Memory => SimScript { memory: Some(48), ..script },
        })
    }

    /// Flag, then environment (both by clap), then configuration.
    fn name(&self, config: &Config) -> String {
        self.device.clone().or_else(|| config.device.clone()).unwrap_or_else(|| "auto".into())
    }

    fn measure(&self, config: &Config) -> Measure {
        self.script().map_or_else(|| Measure::Device(self.name(config)), Measure::Sim)
    }
}

#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Look")]
struct Look {
    /// dark or light
    #[arg(long, global = true, value_name = "THEME")]
    theme: Option<String>,
    /// none, 16, 256 or true
    #[arg(long, global = true, value_name = "DEPTH")]
    color: Option<String>,
    /// braille, blocks or ascii
    #[arg(long, global = true, value_name = "CHARSET")]
    charset: Option<String>,
}

#[derive(Debug, Subcommand)]
enum Cmd {
    /// Measure a sweep without the screen
    Sweep(Sweep),
    /// Open the screen on a run in progress or finished
    Watch {
        /// The run folder
        dir: PathBuf,
        /// Other runs, shown beside it on the compare screen
        #[arg(value_name = "OTHER")]
        beside: Vec<PathBuf>,
        /// What measures when more is asked of a run that is over
        #[command(flatten)]
        device: Device,
    },
    /// The runs there are: list, open, compare, rename, delete
    Runs(runs::Args),
    /// Write a run's results: numbers, tables or a figure
    Report {
        /// The run folder
        dir: PathBuf,
        /// Other runs, whose points are taken together with its own: does sharpness go with
        /// OOD accuracy over all of them? (JSON only)
        #[arg(value_name = "OTHER")]
        others: Vec<PathBuf>,
        /// As what
        #[arg(long, value_enum, default_value_t)]
        format: Format,
        /// Where to, in place of stdout
        #[arg(long, value_name = "PATH")]
        out: Option<PathBuf>,
    },
    /// Say what a checkpoint is; of two, how they compare (exit code 2 if no sweep can be run
    /// between them)
    Inspect {
        /// A checkpoint (the zero-shot one of two)
        checkpoint: PathBuf,
        /// The fine-tuned one
        other: Option<PathBuf>,
        /// List the tensors without reading their numbers (of one checkpoint)
        #[arg(long, conflicts_with = "other")]
        headers: bool,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Say what a dataset is: layout, images, classes, prompts, problems
    Data(data::Args),
    /// CPUs and GPUs seen, libtorch in use, and why CUDA is not there
    Devices {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Write the weights of one point of the path as a safetensors file
    Merge(merge::Args),
    /// Print shell completions
    Completions {
        /// For which shell
        shell: clap_complete::Shell,
    },
    /// Compare CUDA with the CPU on the demo; says so where there is no GPU
    #[command(hide = true)]
    GpuCheck,
}

#[derive(Debug, Args)]
struct Sweep {
    /// The sweep to measure (TOML); with --resume it may be left out
    #[arg(required_unless_present_any = ["demo", "resume"], conflicts_with = "demo")]
    spec: Option<PathBuf>,
    /// The embedded demo in place of SPEC
    #[arg(long, value_name = "PAIR", num_args = 0..=1, default_missing_value = "success")]
    demo: Option<demo::Pair>,
    /// Run folder; a new one where runs go if absent
    #[arg(long, value_name = "DIR", required_if_eq("resume", "true"))]
    out: Option<PathBuf>,
    /// Go on with the run in --out
    #[arg(long)]
    resume: bool,
    /// Then look for an edit of straggling layers that repairs the path
    #[arg(long, conflicts_with = "shard")]
    doctor: bool,
    /// Variants the doctor tries at most, half of them controls
    #[arg(long, value_name = "N", requires = "doctor", value_parser = clap::value_parser!(u16).range(2..))]
    budget: Option<u16>,
    /// Go on without this terminal: a process of its own measures, `watch` shows it
    #[arg(long, conflicts_with = "json")]
    background: bool,
    /// Begin with a pause
    #[arg(long)]
    paused: bool,
    /// Event lines on stdout
    #[arg(long)]
    json: bool,
    /// Measure part I of N of the cells; the parts may share a run folder
    #[arg(long, value_name = "I/N")]
    shard: Option<Shard>,
    #[command(flatten)]
    device: Device,
}

/// Parses what was typed (the program's name first), does it, and gives the
/// process's exit code. Errors are printed to stderr.
#[must_use]
pub fn main(typed: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(typed) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and versions go to stdout and are no errors. A reader that
            // went away is none either.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { BAD } else { 0 });
        }
    };
    if let Some(folder) = config::state_dir() {
        crate::log::start(&folder);
    }
    // A file that may not grow further is an error that can be waited for, not
    // the end of the program.
    let _ = signal_hook::flag::register(signal_hook::consts::SIGXFSZ, Arc::default());
    match run(cli) {
        Ok(code) => ExitCode::from(code),
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            let text = sentence(&error);
            tracing::error!("{text}");
            let _ = writeln!(io::stderr(), "error: {}", plain::text(&text));
            ExitCode::from(BAD)
        }
    }
}

/// The error and its causes. Our own errors name their cause themselves: a
/// cause that was said already is not said again.
fn sentence(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if text.is_empty() {
            text = cause;
        } else if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
        .any(|cause| cause.kind() == io::ErrorKind::BrokenPipe)
}

/// What every screen begins with.
#[cfg_attr(not(feature = "tui"), allow(dead_code, reason = "for the screen"))]
struct With<'a> {
    /// What was typed of its look.
    look: &'a Look,
    /// The configuration.
    config: &'a Config,
    /// What of it could not be used.
    complaint: Option<String>,
    /// What is told beside the screen.
    alerts: Alerts,
}

fn run(cli: Cli) -> anyhow::Result<u8> {
    let (config, complaint) = Config::load();
    if let Some(text) = &complaint {
        let _ = writeln!(io::stderr(), "note: {}", plain::text(text));
    }
    let runs = config::runs_dir(cli.runs.as_deref(), &config);
    let alerts = cli.alarm.alerts(&config)?;
    let screen = |alerts| With { look: &cli.look, config: &config, complaint, alerts };
    match cli.command {
        None => screen::open(&cli, runs, screen(alerts)),
        Some(Cmd::Sweep(sweep)) => run_sweep(sweep, &config, runs, alerts),
        Some(Cmd::Watch { dir, beside, device }) => {
            screen::watch(&dir, beside, &device, screen(alerts))
        }
        Some(Cmd::Runs(args)) => {
            let named = cli.runs.is_some();
            let runs =
                runs.context("this system names no folder for runs: give one with --runs")?;
            match args.run(&runs, named)? {
                runs::Left::Done(code) => Ok(code),
                runs::Left::Watch(dir) => {
                    screen::watch(&dir, Vec::new(), &Device::default(), screen(alerts))
                }
                runs::Left::Screen(filter) => screen::library(runs, filter, screen(alerts)),
            }
        }
        Some(Cmd::Report { dir, others, format, out }) => {
            report::run(&dir, &others, format, out.as_deref())
        }
        Some(Cmd::Inspect { checkpoint, other: None, headers, json }) => {
            let describe = if headers { checkpoint::describe } else { checkpoint::describe_values };
            print(&describe(&checkpoint)?, json)
        }
        Some(Cmd::Inspect { checkpoint, other: Some(other), json, .. }) => {
            inspect::pair(&checkpoint, &other, json)
        }
        Some(Cmd::Data(args)) => args.run(),
        Some(Cmd::Devices { json }) => devices(json),
        Some(Cmd::Merge(args)) => print(&args.run()?, false),
        Some(Cmd::Completions { shell }) => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "alphascope", &mut script);
            io::stdout().write_all(&script).context("cannot write to stdout")?;
            Ok(0)
        }
        Some(Cmd::GpuCheck) => gpu_check(),
    }
}

/// For people, or as JSON.
fn print<T: serde::Serialize + std::fmt::Display>(it: &T, json: bool) -> anyhow::Result<u8> {
    let text = if json { serde_json::to_string_pretty(it)? } else { it.to_string() };
    writeln!(io::stdout(), "{}", plain::text(text.trim_end())).context("cannot write to stdout")?;
    Ok(0)
}

fn cache() -> anyhow::Result<PathBuf> {
    config::cache_dir().context("cannot unpack the demo: this system names no cache folder")
}

fn demo_spec(pair: demo::Pair) -> anyhow::Result<PathBuf> {
    let cache = cache()?;
    let dir = demo::unpack(&cache)
        .with_context(|| format!("cannot unpack the demo in {}", cache.display()))?;
    Ok(dir.join(pair.spec()))
}

fn run_sweep(
    sweep: Sweep,
    config: &Config,
    runs: Option<PathBuf>,
    alerts: Alerts,
) -> anyhow::Result<u8> {
    let spec_path = match (&sweep.spec, sweep.demo, &sweep.out) {
        (Some(path), ..) => path.clone(),
        (None, Some(pair), _) => demo_spec(pair)?,
        (None, None, Some(dir)) if !journal::is_run(dir) => {
            return Err(journal::JournalError::NotARun { path: dir.clone() }.into());
        }
        (None, None, Some(dir)) => dir.join(SPEC_FILE),
        (None, None, None) => anyhow::bail!("give a spec, --demo, or --resume with --out"),
    };
    let spec = Spec::load(&spec_path)?;
    if sweep.background {
        return background::sweep(&sweep, &spec, &spec_path, config, runs, &alerts);
    }
    let doctor = sweep.doctor.then(|| {
        let asked = spec.doctor.clone().unwrap_or_default();
        let variants = sweep.budget.map_or(asked.variants, usize::from);
        DoctorSpec { variants, ..asked }
    });
    let launch = Launch::prepare(Request {
        spec,
        spec_path,
        doctor,
        out: sweep.out,
        runs,
        resume: sweep.resume,
        shard: sweep.shard.unwrap_or_else(Shard::whole),
        measure: sweep.device.measure(config),
    })?;
    let output = if sweep.json { headless::Output::Json } else { headless::Output::Table };
    Ok(match headless::run(launch, output, sweep.paused, alerts)? {
        Outcome::Complete => 0,
        Outcome::Partial => 1,
        Outcome::Stopped => 3,
    })
}

#[cfg(feature = "torch")]
fn devices(json: bool) -> anyhow::Result<u8> {
    print(crate::torch::runtime::init(), json)
}

#[cfg(feature = "torch")]
fn gpu_check() -> anyhow::Result<u8> {
    use crate::torch::{gpu_check, runtime};
    let out = &mut io::stdout();
    if let Some(reason) = runtime::init().cuda.missing() {
        gpu_check::skipped(out, reason).context("cannot write to stdout")?;
        return Ok(0);
    }
    let spec = Spec::load(&demo_spec(demo::Pair::default())?)?;
    let inputs = std::sync::Arc::new(crate::inputs::Inputs::open(spec)?);
    Ok(if gpu_check::run(&inputs, out)? { 0 } else { 1 })
}

#[cfg(not(feature = "torch"))]
fn devices(_json: bool) -> anyhow::Result<u8> {
    anyhow::bail!("this build has no libtorch (it was built without the feature `torch`)")
}

#[cfg(not(feature = "torch"))]
fn gpu_check() -> anyhow::Result<u8> {
    devices(false)
}

#[cfg(not(feature = "tui"))]
mod screen {
    use super::{Cli, Device, Path, PathBuf, With};

    const NONE: &str = "this build has no screen (it was built without the feature `tui`): use \
                        `alphascope sweep`";

    pub fn open(_: &Cli, _: Option<PathBuf>, _: With<'_>) -> anyhow::Result<u8> {
        anyhow::bail!(NONE)
    }

    pub fn watch(_: &Path, _: Vec<PathBuf>, _: &Device, _: With<'_>) -> anyhow::Result<u8> {
        anyhow::bail!(NONE)
    }

    pub fn library(_: PathBuf, _: String, _: With<'_>) -> anyhow::Result<u8> {
        anyhow::bail!(NONE)
    }
}
