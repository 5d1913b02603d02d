//! What was typed, and what to do about it.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};

use crate::checkpoint;
use crate::config::{self, Config};
use crate::dataset;
use crate::demo;
use crate::headless;
use crate::launch::{Launch, Measure, Request, SPEC_FILE};
use crate::report::Format;
use crate::sim::{SimScript, SimShape};
use crate::sweep::event::Outcome;
use crate::sweep::journal;
use crate::sweep::plan::Shard;
use crate::sweep::spec::{DoctorSpec, Spec};

mod inspect;
mod merge;
mod report;

/// Exit code: bad usage or input.
const BAD: u8 = 2;

/// Watch robust fine-tuning: the α-sweep between two CLIP checkpoints, live.
///
/// θ(α) = θ₀ + α·(θ₁ − θ₀): α = 0 is the zero-shot end, α = 1 the fine-tuned
/// one. Without a command the screen opens, ready to choose checkpoints and
/// datasets.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100, after_help = AFTER)]
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
    #[command(flatten)]
    look: Look,
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
    },
    /// Write a run's results: numbers, tables or a figure
    Report {
        /// The run folder
        dir: PathBuf,
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
    Data {
        /// Image folder, WebDataset folder, tar or list of tars, parquet file or folder
        path: PathBuf,
        /// Decode every image in full, to find all that cannot be read
        #[arg(long)]
        every: bool,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
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
    /// Event lines on stdout
    #[arg(long)]
    json: bool,
    /// Measure part I of N of the cells; the parts may share a run folder
    #[arg(long, value_name = "I/N")]
    shard: Option<Shard>,
    #[command(flatten)]
    device: Device,
}

/// Parses what was typed, does it, and gives the process's exit code. Errors
/// are printed to stderr.
#[must_use]
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and versions go to stdout and are no errors. A reader that
            // went away is none either.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { BAD } else { 0 });
        }
    };
    config::start_log();
    match run(cli) {
        Ok(code) => ExitCode::from(code),
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            let text = sentence(&error);
            tracing::error!("{text}");
            let _ = writeln!(io::stderr(), "error: {text}");
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

fn run(cli: Cli) -> anyhow::Result<u8> {
    let (config, complaint) = Config::load();
    if let Some(text) = complaint {
        let _ = writeln!(io::stderr(), "note: {text}");
    }
    match cli.command {
        None => screen::open(&cli, &config),
        Some(Cmd::Sweep(sweep)) => run_sweep(sweep, &config),
        Some(Cmd::Watch { dir, beside }) => screen::watch(&dir, beside, &cli.look, &config),
        Some(Cmd::Report { dir, format, out }) => report::run(&dir, format, out.as_deref()),
        Some(Cmd::Inspect { checkpoint, other: None, headers, json }) => {
            let describe = if headers { checkpoint::describe } else { checkpoint::describe_values };
            print(&describe(&checkpoint)?, json)
        }
        Some(Cmd::Inspect { checkpoint, other: Some(other), json, .. }) => {
            inspect::pair(&checkpoint, &other, json)
        }
        Some(Cmd::Data { path, every, json }) => {
            let depth = if every { dataset::Depth::Every } else { dataset::Depth::Sample };
            print(&dataset::describe(&path, depth)?, json)
        }
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
    writeln!(io::stdout(), "{}", text.trim_end()).context("cannot write to stdout")?;
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

fn run_sweep(sweep: Sweep, config: &Config) -> anyhow::Result<u8> {
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
        resume: sweep.resume,
        shard: sweep.shard.unwrap_or_else(Shard::whole),
        measure: sweep.device.measure(config),
    })?;
    let output = if sweep.json { headless::Output::Json } else { headless::Output::Table };
    Ok(match headless::run(launch, output)? {
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
    use super::{Cli, Config, Look, Path, PathBuf};

    const NONE: &str = "this build has no screen (it was built without the feature `tui`): use \
                        `alphascope sweep`";

    pub fn open(_: &Cli, _: &Config) -> anyhow::Result<u8> {
        anyhow::bail!(NONE)
    }

    pub fn watch(_: &Path, _: Vec<PathBuf>, _: &Look, _: &Config) -> anyhow::Result<u8> {
        anyhow::bail!(NONE)
    }
}

#[cfg(feature = "tui")]
mod screen {
    use std::io::IsTerminal;
    use std::sync::Arc;

    use super::{Cli, Config, Context, Look, Path, PathBuf, Write, cache, config, demo, io};
    use crate::app::setup::{self, Demo};
    use crate::app::{self, Charset, Depth, Mode, Model, Palette, Screen};
    use crate::config::Memory;
    use crate::launch::Outside;
    use crate::runtime::{self, Begin};
    use crate::ui::theme;

    /// The set-up screen, or the demo.
    pub fn open(cli: &Cli, config: &Config) -> anyhow::Result<u8> {
        let device = cli.device.name(config);
        let begin = match cli.demo {
            None => Begin::Setup,
            Some(demo::Pair::Success) => Begin::Demo(Demo::Success, device),
            Some(demo::Pair::Failed) => Begin::Demo(Demo::Failed, device),
            Some(demo::Pair::Hot) => Begin::Demo(Demo::Hot, device),
        };
        let memory_file = config::memory_file();
        let (memory, complaint) =
            memory_file.as_deref().map_or_else(Default::default, Memory::read);
        let home = std::env::home_dir();
        let cwd = std::env::current_dir().unwrap_or_else(|_| "/".into());
        let mut model = Model::new(Screen::Setup, Mode::Own, look(&cli.look, config)?);
        model.setup = setup::State::new(memory, home, cwd);
        model.setup.said = complaint;
        model.setup.runs = config::runs_dir();
        if let Some(device) = &cli.device.device {
            model.setup.device.clone_from(device);
        }
        let outside = Outside {
            cache: cache().ok(),
            sim: cli.device.script(),
            out: cli.out.clone(),
            resume: cli.resume,
        };
        run(model, begin, outside, memory_file)
    }

    /// The live screen on a run folder, others beside it.
    pub fn watch(
        dir: &Path,
        beside: Vec<PathBuf>,
        asked: &Look,
        config: &Config,
    ) -> anyhow::Result<u8> {
        let mut model = Model::new(Screen::Live, Mode::Watch, look(asked, config)?);
        model.setup.home = std::env::home_dir();
        run(model, Begin::Watch(dir.into(), beside), Outside::default(), None)
    }

    fn run(
        model: Model,
        begin: Begin,
        outside: Outside,
        memory: Option<std::path::PathBuf>,
    ) -> anyhow::Result<u8> {
        if !io::stdin().is_terminal() || !io::stdout().is_terminal() {
            anyhow::bail!(
                "the screen needs a terminal on stdin and stdout; without one use `alphascope \
                 sweep`"
            );
        }
        let ending = runtime::run(model, begin, Arc::new(outside), memory);
        let ending = match ending {
            Ok(ending) => ending,
            Err(error) => {
                let code = error.code();
                writeln!(io::stderr(), "error: {error}").context("cannot write to stderr")?;
                return Ok(code);
            }
        };
        write!(io::stdout(), "{}", ending.summary).context("cannot write to stdout")?;
        Ok(ending.code)
    }

    /// Flags, then configuration, then what the terminal says of itself.
    fn look(asked: &Look, config: &Config) -> anyhow::Result<app::Look> {
        let var = |name: &str| std::env::var(name).ok();
        let (term, no_color, colorterm) = (var("TERM"), var("NO_COLOR"), var("COLORTERM"));
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"].map(var);
        let env = theme::Env {
            no_color: no_color.as_deref(),
            colorterm: colorterm.as_deref(),
            term: term.as_deref(),
        };
        let palette = choose("theme", &asked.theme, &config.theme, Palette::from_name)?;
        let depth = choose("color", &asked.color, &None, Depth::from_name)?;
        let depth_config = choose("color", &None, &config.color, Depth::from_name)?;
        let charset = choose("charset", &asked.charset, &config.charset, Charset::from_name)?;
        Ok(app::Look {
            palette: palette.unwrap_or_default(),
            depth: theme::depth(depth, depth_config, env),
            charset: charset.unwrap_or_else(|| {
                theme::charset(locale.each_ref().map(|it| it.as_deref()), term.as_deref())
            }),
        })
    }

    fn choose<T>(
        name: &str,
        flag: &Option<String>,
        config: &Option<String>,
        parse: impl Fn(&str) -> Option<T>,
    ) -> anyhow::Result<Option<T>> {
        let Some(text) = flag.as_ref().or(config.as_ref()) else { return Ok(None) };
        let parsed = parse(text).with_context(|| {
            format!("unknown {name} `{text}`; `alphascope --help` lists what there is")
        })?;
        Ok(Some(parsed))
    }
}
