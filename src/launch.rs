//! From a spec to a running session: opens the inputs, the run folder and its
//! journal, and makes the engines. The screen and the headless sweep both start
//! here.

#[cfg(feature = "tui")]
mod host;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;
use thiserror::Error;

#[cfg(feature = "tui")]
pub use host::Outside;

use crate::inputs::{Inputs, InputsError};
use crate::session::{self, SessionHandle, Waker};
use crate::sim::{Loss, SimEngine, SimScript, SimShape};
use crate::sweep::command::Command;
use crate::sweep::doctor::obstacle;
use crate::sweep::drive::EngineFactory;
use crate::sweep::event::Header;
use crate::sweep::journal::{self, Journal, JournalError};
use crate::sweep::plan::{Shard, rounds};
use crate::sweep::spec::{Alphas, DoctorSpec, Spec, SpecError};

/// Name of the resolved spec in a run folder.
pub const SPEC_FILE: &str = "spec.toml";

/// Why a sweep does not start. Nothing was changed on the disk.
#[derive(Debug, Error)]
pub enum LaunchError {
    /// The spec.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// A checkpoint or dataset.
    #[error(transparent)]
    Inputs(#[from] InputsError),
    /// The run folder.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// No device to measure on.
    #[error("{0}")]
    Device(String),
    /// The run was begun with something else.
    #[error(
        "cannot resume {path}: it was begun with other settings or inputs ({}); use another \
         folder with --out, or put back what changed", .differences.join("; ")
    )]
    Changed {
        /// The run folder.
        path: PathBuf,
        /// Field: then, now.
        differences: Vec<String>,
    },
    /// What the journal says of the run is not what spec and inputs say.
    #[error(
        "cannot resume {path}: the first line of its journal is damaged, spec and inputs say \
         otherwise ({}{}); take the journal from a copy, or measure in another folder with --out",
        .differences.iter().take(SHOWN).cloned().collect::<Vec<_>>().join("; "),
        more(.differences.len())
    )]
    Damaged {
        /// The run folder.
        path: PathBuf,
        /// Field: in the journal, by spec and inputs.
        differences: Vec<String>,
    },
    /// Measurements without the line that says of what.
    #[error(
        "cannot resume {path}: its journal has lines, but none that can be read says what was \
         measured (the header, line 1 of events*.jsonl); bring that line back, or begin anew in \
         another folder with --out"
    )]
    Headless {
        /// The run folder.
        path: PathBuf,
    },
    /// The doctor is asked for, and could try nothing.
    #[error("the doctor cannot help: {0}, or leave the doctor out")]
    Doctor(&'static str),
    /// There is nowhere to put a run.
    #[error("cannot make a run folder{}: {source}; name one with --out", at(.path))]
    Folder {
        /// Where it was tried.
        path: Option<PathBuf>,
        /// Why.
        source: std::io::Error,
    },
    /// The resolved spec cannot be written.
    #[error("cannot write {path}: {source}")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// Damaged fields that are told one by one.
const SHOWN: usize = 4;

fn more(differences: usize) -> String {
    match differences.saturating_sub(SHOWN) {
        0 => String::new(),
        more => format!("; and {more} more"),
    }
}

fn at(path: &Option<PathBuf>) -> String {
    path.as_ref().map_or_else(String::new, |path| format!(" in {}", path.display()))
}

/// What measures.
#[derive(Clone, Debug)]
pub enum Measure {
    /// libtorch, on `auto`, `cpu`, `cuda` or `cuda:0,1`.
    Device(String),
    /// The pretend engine.
    Sim(SimScript),
}

impl Measure {
    /// For the command line of a process that goes on in the same way.
    #[must_use]
    pub fn arguments(&self) -> Vec<String> {
        let of = |it: [&str; 2]| it.map(String::from).to_vec();
        match self {
            Self::Device(name) => of(["--device", name]),
            Self::Sim(script) => {
                let shape = match script {
                    SimScript { fatal_after: Some(_), loss: Loss::Gone, .. } => "lost",
                    SimScript { fatal_after: Some(_), .. } => "poisoned",
                    SimScript { memory: Some(_), .. } => "memory",
                    SimScript { noise: true, .. } => "noisy",
                    SimScript { failing, .. } if !failing.is_empty() => "hole",
                    SimScript { shape: SimShape::Failure, .. } => "failure",
                    SimScript { shape: SimShape::Success, .. } => "success",
                };
                let ms = script.pause.as_millis().to_string();
                [of(["--sim", shape]), of(["--sim-ms", &ms])].concat()
            }
        }
    }
}

/// Decoded images kept in the cache folder for later runs, in bytes at most.
const PIXELS_ON_DISK: u64 = 10_000_000_000;

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Request {
    /// The sweep.
    pub spec: Spec,
    /// Names the spec in messages.
    pub spec_path: PathBuf,
    /// Run folder; `None`: a new one where runs go.
    pub out: Option<PathBuf>,
    /// Where runs go; `None`: this system names no folder.
    pub runs: Option<PathBuf>,
    /// Go on with the run that is there.
    pub resume: bool,
    /// Which part of the cells.
    pub shard: Shard,
    /// What measures.
    pub measure: Measure,
    /// Also look for an edit that repairs the path, whatever the spec says.
    pub doctor: Option<DoctorSpec>,
}

/// A session that is ready to start.
pub struct Launch {
    setup: session::Setup,
    again: Vec<String>,
}

impl Launch {
    /// Opens what [`Self::prepare`] opens, and lets it go again: whether a sweep
    /// could start, before anyone starts one. Makes nothing on the disk.
    ///
    /// # Errors
    /// Those of [`Self::prepare`], but for a file that is found damaged when it
    /// is read whole, and a run folder that cannot be made.
    pub fn check(request: Request) -> Result<(), LaunchError> {
        let Request { spec, spec_path, out, resume, measure, doctor, .. } = request;
        spec.check(&spec_path)?;
        if let Some(path) = out.filter(|dir| !resume && journal::is_run(dir)) {
            return Err(JournalError::Exists { path }.into());
        }
        let inputs = Arc::new(Inputs::open(spec)?);
        let grid = inputs.spec.grid();
        let batch = inputs.spec.sweep.batch;
        let header = inputs.header(String::new(), grid, |images| rounds(images, batch));
        check_doctor(&header, doctor.is_some() || inputs.spec.doctor.is_some())?;
        engines(&inputs, &header, &measure).map(drop)
    }

    /// Opens everything. The run folder is made last, when nothing else can go
    /// wrong.
    ///
    /// # Errors
    /// [`LaunchError`].
    pub fn prepare(request: Request) -> Result<Self, LaunchError> {
        let Request { spec, spec_path, out, runs, resume, shard, measure, doctor } = request;
        spec.check(&spec_path)?;
        // A run that is there belongs to one process from here on: who comes
        // second is told at once, not after all inputs were read.
        let taken = match &out {
            Some(dir) if resume && journal::is_run(dir) => Some(Journal::open(dir, shard)?),
            _ => None,
        };
        let inputs = Arc::new(Inputs::open(spec)?);
        if let Some(cache) = crate::config::cache_dir() {
            inputs.cache.keep_on_disk(cache.join("pixels"), PIXELS_ON_DISK);
        }
        let (resolved, header) = described(&inputs, &spec_path)?;
        // One that was begun so goes on so.
        let by_spec = resolved.doctor.is_some() && !resume;
        check_doctor(&header, by_spec || doctor.is_some())?;
        let engines = engines(&inputs, &header, &measure)?;
        let dir = match out {
            Some(dir) => std::path::absolute(&dir)
                .map_err(|source| LaunchError::Folder { path: Some(dir), source })?,
            None => new_dir(runs, &header)?,
        };
        let journal = open(&dir, shard, resume, taken, &resolved, &header)?;
        let notices = inputs.notices.clone();
        let probes = resolved.probes();
        // One asked for by the spec goes on as the run has it.
        let doctor = doctor.or_else(|| resolved.doctor.clone());
        let setup = session::Setup {
            dir,
            journal,
            header,
            probes,
            doctor,
            shard,
            engines,
            notices,
            quiet: false,
            asked: Vec::new(),
        };
        Ok(Self { setup, again: measure.arguments() })
    }

    /// What a process that goes on with the run in `dir` compares before it measures:
    /// for the one that measures now, and may be the last that can.
    ///
    /// # Errors
    /// [`LaunchError`]: that process would be refused with it.
    pub fn ready(dir: &Path, measure: &Measure) -> Result<(), LaunchError> {
        let spec_path = dir.join(SPEC_FILE);
        let spec = Spec::load(&spec_path)?;
        spec.check(&spec_path)?;
        let inputs = Arc::new(Inputs::open(spec)?);
        let (resolved, header) = described(&inputs, &spec_path)?;
        engines(&inputs, &header, measure)?;
        same_run(dir, &resolved, &header).map(drop)
    }

    /// For a watcher that has seen all of the run so far, and asks for more.
    #[must_use]
    pub fn going_on(mut self, asked: Vec<Command>) -> Self {
        self.setup.quiet = true;
        self.setup.asked = asked;
        self
    }

    /// The run folder.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.setup.dir
    }

    /// Starts to measure.
    ///
    /// # Errors
    /// When the journal cannot be read or written.
    pub fn start(self, waker: Waker) -> Result<SessionHandle, JournalError> {
        let mut handle = session::start(self.setup, waker)?;
        handle.again = self.again;
        Ok(handle)
    }
}

/// Whether the doctor, where it is asked for, has something to try.
fn check_doctor(header: &Header, asked: bool) -> Result<(), LaunchError> {
    match obstacle(header).filter(|_| asked) {
        Some(why) => Err(LaunchError::Doctor(why)),
        None => Ok(()),
    }
}

/// The spec as it is kept in the run folder: every choice explicit, and the
/// hash of every input.
fn resolve(mut spec: Spec, hashes: std::collections::BTreeMap<String, String>) -> Spec {
    spec.sweep.alphas = Alphas::List(spec.grid());
    spec.inputs = hashes;
    spec
}

/// The spec and the header of what is there now.
fn described(inputs: &Inputs, spec_path: &Path) -> Result<(Spec, Header), LaunchError> {
    let resolved = resolve(inputs.spec.clone(), inputs.hashes()?);
    changed(spec_path, &inputs.spec, &resolved)?;
    let batch = resolved.sweep.batch;
    let header =
        inputs.header(fingerprint(&resolved)?, resolved.grid(), |images| rounds(images, batch));
    Ok((resolved, header))
}

/// Hash of all that decides the results.
fn fingerprint(resolved: &Spec) -> Result<String, SpecError> {
    Ok(blake3::hash(resolved.to_toml()?.as_bytes()).to_hex().to_string())
}

/// A spec from a run folder says which inputs it was resolved with.
fn changed(path: &Path, asked: &Spec, resolved: &Spec) -> Result<(), LaunchError> {
    if asked.inputs.is_empty() {
        return Ok(());
    }
    let mut then = resolved.clone();
    then.inputs.clone_from(&asked.inputs);
    refuse_changes(path, &then, resolved)
}

fn refuse_changes(path: &Path, then: &Spec, now: &Spec) -> Result<(), LaunchError> {
    let differences = differences(&then.to_toml()?, &now.to_toml()?);
    if differences.is_empty() {
        return Ok(());
    }
    Err(LaunchError::Changed { path: path.into(), differences })
}

/// Leaves of two TOML texts that are not the same, as `field: then, now`.
fn differences(then: &str, now: &str) -> Vec<String> {
    let read = |text: &str| {
        let table = text.parse::<toml::Table>().ok();
        table.and_then(|table| serde_json::to_value(table).ok()).unwrap_or_default()
    };
    leaves_that_differ(&read(then), &read(now))
}

/// … of two values. Numbers that differ in their last digits alone are the same.
fn leaves_that_differ(then: &Value, now: &Value) -> Vec<String> {
    fn leaves(value: &Value, at: &str, into: &mut BTreeMap<String, Value>) {
        match value {
            Value::Object(table) => {
                for (key, value) in table {
                    let at = if at.is_empty() { key.clone() } else { format!("{at}.{key}") };
                    leaves(value, &at, into);
                }
            }
            Value::Array(items) if items.iter().any(Value::is_object) => {
                for (index, item) in items.iter().enumerate() {
                    leaves(item, &format!("{at}[{index}]"), into);
                }
            }
            leaf => {
                into.insert(at.into(), leaf.clone());
            }
        }
    }
    let read = |value| {
        let mut found = BTreeMap::new();
        leaves(value, "", &mut found);
        found
    };
    let (then, now) = (read(then), read(now));
    let keys: BTreeSet<&String> = then.keys().chain(now.keys()).collect();
    let of = |list: &BTreeMap<String, Value>, key: &String| {
        list.get(key).map_or("nothing".into(), ToString::to_string)
    };
    let same = |key: &String| match (then.get(key), now.get(key)) {
        (Some(Value::Number(a)), Some(Value::Number(b))) if a.is_f64() && b.is_f64() => {
            let (a, b) = (a.as_f64().unwrap_or(f64::NAN), b.as_f64().unwrap_or(f64::NAN));
            (a - b).abs() <= CLOSE * a.abs().max(b.abs())
        }
        (then, now) => then == now,
    };
    keys.into_iter()
        .filter(|key| !same(key))
        .map(|key| format!("`{key}` was {}, is {}", of(&then, key), of(&now, key)))
        .collect()
}

/// Numbers this close, as a part of the larger one, were only added in another order.
const CLOSE: f64 = 1e-9;

fn new_dir(runs: Option<PathBuf>, header: &Header) -> Result<PathBuf, LaunchError> {
    let Some(runs) = runs else {
        let source = std::io::Error::other("this system names no home folder");
        return Err(LaunchError::Folder { path: None, source });
    };
    let stem = format!("{}-{}", header.zeroshot, header.finetuned);
    crate::config::new_run_dir(&runs, &stem)
        .map_err(|source| LaunchError::Folder { path: Some(runs), source })
}

/// Opens the journal; refuses a folder with another run in it.
fn open(
    dir: &Path,
    shard: Shard,
    resume: bool,
    taken: Option<Journal>,
    resolved: &Spec,
    header: &Header,
) -> Result<Journal, LaunchError> {
    let spec_path = dir.join(SPEC_FILE);
    let journal = match taken {
        Some(journal) => journal,
        None => Journal::open(dir, shard)?,
    };
    if !journal.is_empty() && !resume {
        return Err(JournalError::Exists { path: dir.into() }.into());
    }
    // Other shards of the same run may have been first.
    if !spec_path.exists() {
        let text = format!(
            "# The sweep in this folder, every choice explicit, with the hash of every input.\n\
             # Go on with it: alphascope sweep --resume --out DIR\n\n{}",
            resolved.to_toml()?
        );
        crate::config::write_whole(&spec_path, text.as_bytes())
            .map_err(|source| LaunchError::Write { path: spec_path, source })?;
    }
    let said = same_run(dir, resolved, header)?;
    if !said && !journal.is_empty() {
        return Err(LaunchError::Headless { path: dir.into() });
    }
    Ok(journal)
}

/// Refuses to go on in `dir` with anything but what was begun there: by its spec,
/// and by what its journals say that is measured. False where none says so.
fn same_run(dir: &Path, resolved: &Spec, header: &Header) -> Result<bool, LaunchError> {
    let spec_path = dir.join(SPEC_FILE);
    refuse_changes(dir, &Spec::load(&spec_path)?, resolved)?;
    let headers = journal::headers(dir)?;
    for then in &headers {
        if then.spec_hash != header.spec_hash {
            return Err(LaunchError::Changed {
                path: dir.into(),
                differences: vec![format!(
                    "the journal's spec has the hash {}, this one {}",
                    then.spec_hash, header.spec_hash
                )],
            });
        }
        // The same spec and inputs: whatever else differs is damage.
        let value = |header: &Header| serde_json::to_value(header).unwrap_or_default();
        let differences = leaves_that_differ(&value(then), &value(header));
        if !differences.is_empty() {
            return Err(LaunchError::Damaged { path: dir.into(), differences });
        }
    }
    Ok(!headers.is_empty())
}

/// One engine for each worker. They are made on the workers' threads.
fn engines(
    inputs: &Arc<Inputs>,
    header: &Header,
    measure: &Measure,
) -> Result<Vec<EngineFactory>, LaunchError> {
    match measure {
        Measure::Sim(script) => {
            let (header, script) = (header.clone(), script.clone());
            Ok(vec![Box::new(move || Ok(Box::new(SimEngine::new(header, script))))])
        }
        Measure::Device(device) => on_device(inputs, device),
    }
}

#[cfg(feature = "torch")]
fn on_device(inputs: &Arc<Inputs>, device: &str) -> Result<Vec<EngineFactory>, LaunchError> {
    use crate::torch::{device::DeviceChoice, engine::TorchEngine, runtime};
    let devices = DeviceChoice::parse(device, runtime::init()).map_err(LaunchError::Device)?;
    let make = |device| -> EngineFactory {
        let inputs = Arc::clone(inputs);
        Box::new(move || Ok(Box::new(TorchEngine::new(inputs, device)?)))
    };
    Ok(devices.into_iter().map(make).collect())
}

#[cfg(not(feature = "torch"))]
fn on_device(_: &Arc<Inputs>, _: &str) -> Result<Vec<EngineFactory>, LaunchError> {
    Err(LaunchError::Device(
        "this build has no measuring engine (it was built without the feature `torch`): build \
         with `cargo build --release`"
            .into(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_name_the_field_then_and_now() {
        let then = "a = 1\n[b]\nc = 'x'\n[[d]]\ne = 2\n";
        let now = "a = 1\n[b]\nc = 'y'\n[[d]]\ne = 2\nf = true\n";
        assert_eq!(
            differences(then, now),
            ["`b.c` was \"x\", is \"y\"", "`d[0].f` was nothing, is true"]
        );
    }
}
