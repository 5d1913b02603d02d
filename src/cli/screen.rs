//! What was typed, for the screen.

use std::io::IsTerminal;
use std::sync::Arc;

use super::{Cli, Config, Context, Look, Path, PathBuf, With, Write, cache, config, demo, io};
use crate::alert::Alerts;
use crate::app::setup::{self, Demo};
use crate::app::{self, Charset, Depth, Message, Mode, Model, Palette, Screen, update};
use crate::config::Memory;
use crate::launch::Outside;
use crate::plain;
use crate::runtime::{self, Begin};
use crate::sweep::event::Level;
use crate::ui::theme;

impl With<'_> {
    fn model(&self, screen: Screen, mode: Mode) -> anyhow::Result<Model> {
        let mut model = Model::new(screen, mode, look(self.look, self.config)?);
        if let Some(text) = &self.complaint {
            update(&mut model, Message::Log(Level::Warning, text.clone()));
        }
        Ok(model)
    }
}

/// The set-up screen, or the demo.
pub fn open(cli: &Cli, runs: Option<PathBuf>, with: With<'_>) -> anyhow::Result<u8> {
    let device = cli.device.name(with.config);
    let begin = match cli.demo {
        None => Begin::Setup,
        Some(demo::Pair::Success) => Begin::Demo(Demo::Success, device),
        Some(demo::Pair::Failed) => Begin::Demo(Demo::Failed, device),
        Some(demo::Pair::Hot) => Begin::Demo(Demo::Hot, device),
    };
    let memory_file = config::memory_file();
    let (memory, complaint) = memory_file.as_deref().map_or_else(Default::default, Memory::read);
    let home = std::env::home_dir();
    let cwd = std::env::current_dir().unwrap_or_else(|_| "/".into());
    let mut model = with.model(Screen::Setup, Mode::Own)?;
    model.setup = setup::State::new(memory, home, cwd);
    model.setup.said = with.complaint.or(complaint);
    model.setup.runs.clone_from(&runs);
    model.library.folder.clone_from(&runs);
    if let Some(device) = &cli.device.device {
        model.setup.device.clone_from(device);
    }
    let outside = Outside {
        cache: cache().ok(),
        sim: cli.device.script(),
        out: cli.out.clone(),
        resume: cli.resume,
        runs,
    };
    run(model, begin, outside, memory_file, with.alerts)
}

/// The live screen on a run folder, others beside it.
pub fn watch(
    dir: &Path,
    beside: Vec<PathBuf>,
    device: &super::Device,
    with: With<'_>,
) -> anyhow::Result<u8> {
    let mut model = with.model(Screen::Live, Mode::Watch)?;
    model.setup.home = std::env::home_dir();
    let outside = Outside { sim: device.script(), ..Outside::default() };
    let begin = Begin::Watch(dir.into(), beside, device.name(with.config));
    run(model, begin, outside, None, with.alerts)
}

/// The run library.
pub fn library(runs: PathBuf, filter: String, with: With<'_>) -> anyhow::Result<u8> {
    let mut model = with.model(Screen::Library, Mode::Own)?;
    model.library.said = with.complaint;
    (model.library.folder, model.library.filter) = (Some(runs), filter);
    let device = super::Device::default().name(with.config);
    run(model, Begin::Library(device), Outside::default(), None, with.alerts)
}

fn run(
    model: Model,
    begin: Begin,
    outside: Outside,
    memory: Option<std::path::PathBuf>,
    alerts: Alerts,
) -> anyhow::Result<u8> {
    if !io::stdin().is_terminal() || !io::stdout().is_terminal() {
        anyhow::bail!(
            "the screen needs a terminal on stdin and stdout; without one use `alphascope \
             sweep`"
        );
    }
    if std::env::var_os("TERM").is_some_and(|term| term == "dumb") {
        anyhow::bail!(
            "the screen needs a terminal that can place text, and this one says that it cannot \
             (TERM=dumb): use `alphascope sweep` to measure and `alphascope report DIR` to see a \
             run without a screen, or set TERM to what the terminal is"
        );
    }
    let ending = runtime::run(model, begin, Arc::new(outside), memory, alerts);
    let ending = match ending {
        Ok(ending) => ending,
        Err(error) => {
            let code = error.code();
            writeln!(io::stderr(), "error: {}", plain::text(&error.to_string()))
                .context("cannot write to stderr")?;
            return Ok(code);
        }
    };
    // A terminal that has gone hears nothing, which is no failure of the sweep.
    let _ = write!(io::stdout(), "{}", plain::text(&ending.summary));
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
