//! What the screen asks of the outside, answered by the real thing.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::{Launch, LaunchError, Measure, Request, SPEC_FILE};
use crate::app::save::{Order, Refused};
use crate::app::setup::{DataFacts, Demo, FileFacts, Job, PairFacts};
use crate::checkpoint::{self, Checkpoint, Overrides};
use crate::dataset::Dataset;
use crate::demo;
use crate::merge::{self, MergeError};
use crate::plural::counted;
use crate::runtime::Host;
use crate::session::{SessionHandle, Waker};
use crate::sim::SimScript;
use crate::sweep::command::Command;
use crate::sweep::plan::Shard;
use crate::sweep::spec::{DatasetSpec, Role, Spec};

/// Differences shown of a pair that does not match.
const SHOWN: usize = 8;

/// Files, datasets, devices and sessions of this machine.
#[derive(Clone, Debug, Default)]
pub struct Outside {
    /// Where the demo is unpacked.
    pub cache: Option<PathBuf>,
    /// Pretend to measure.
    pub sim: Option<SimScript>,
    /// Run folder of the sweep the command line asked for.
    pub out: Option<PathBuf>,
    /// Go on with the run in it.
    pub resume: bool,
    /// Where runs go that were not told where to go.
    pub runs: Option<PathBuf>,
}

impl Outside {
    /// What the set-up form asks for.
    fn of_form(&self, job: Job) -> Request {
        let mut request = self.request(job.spec, PathBuf::from("(set-up)"), job.device);
        request.out = job.output.or(request.out);
        request
    }

    /// A whole sweep, with what the command line said of it.
    fn request(&self, spec: Spec, spec_path: PathBuf, device: String) -> Request {
        Request {
            spec,
            spec_path,
            out: self.out.clone(),
            runs: self.runs.clone(),
            resume: self.resume,
            shard: Shard::whole(),
            measure: self.sim.clone().map_or(Measure::Device(device), Measure::Sim),
            doctor: None,
        }
    }
}

impl Host for Outside {
    fn start(&self, job: Job, waker: Waker) -> Result<SessionHandle, String> {
        started(Launch::prepare(self.of_form(job)), waker)
    }

    fn demo(&self, demo: Demo, device: String, waker: Waker) -> Result<SessionHandle, String> {
        let cache = self.cache.as_deref().ok_or("this system names no cache folder")?;
        let pair = match demo {
            Demo::Success => demo::Pair::Success,
            Demo::Failed => demo::Pair::Failed,
            Demo::Hot => demo::Pair::Hot,
        };
        let dir = demo::unpack(cache)
            .map_err(|error| format!("cannot unpack the demo in {}: {error}", cache.display()))?;
        let spec_path = dir.join(pair.spec());
        let spec = Spec::load(&spec_path).map_err(|error| error.to_string())?;
        let request = self.request(spec, spec_path, device);
        started(Launch::prepare(request), waker)
    }

    fn again(
        &self,
        dir: &Path,
        device: String,
        asked: Vec<Command>,
        waker: Waker,
    ) -> Result<SessionHandle, String> {
        let spec_path = dir.join(SPEC_FILE);
        let spec = Spec::load(&spec_path).map_err(|error| error.to_string())?;
        let request = Request {
            out: Some(dir.into()),
            resume: true,
            ..self.request(spec, spec_path, device)
        };
        started(Launch::prepare(request).map(|launch| launch.going_on(asked)), waker)
    }

    fn merge(&self, dir: &Path, order: Order) -> Result<String, Refused> {
        let because = |error: &dyn std::error::Error| Refused::Because(error.to_string());
        let spec = Spec::load(&dir.join(SPEC_FILE)).map_err(|error| because(&error))?;
        let (ends, seed) = (spec.checkpoints.clone(), spec.sweep.seed);
        let head = ends.head.clone();
        // The run's own classes and prompts: what it measures is what is written.
        let twin =
            merge::twin::of_run(spec).map_err(|error| Refused::Because(format!("{error:#}")))?;
        let request = merge::Request {
            overrides: Overrides::from(&ends),
            zeroshot: ends.zeroshot,
            finetuned: ends.finetuned,
            alpha: order.alpha,
            variant: order.variant,
            seed,
            out: order.out,
            replace: order.replace,
            dialect: order.dialect,
            dtype: order.dtype,
            twin,
        };
        match merge::merge(&request) {
            Ok(summary) => {
                let mut text = summary.to_string();
                if let Some(head) = head {
                    let head = head.display();
                    text.push_str(&format!(
                        "  note: the linear head of {head} is not in it: give that file again\n"
                    ));
                }
                Ok(text)
            }
            Err(MergeError::Exists { .. }) if !request.replace => Err(Refused::Exists),
            Err(error) => Err(because(&error)),
        }
    }

    fn ready(&self, dir: &Path, device: String) -> Result<(), String> {
        let measure = self.sim.clone().map_or(Measure::Device(device), Measure::Sim);
        Launch::ready(dir, &measure).map_err(|error| error.to_string())
    }

    fn detach(&self, dir: &Path, args: &[String]) -> Result<u32, String> {
        crate::background::start(dir, Shard::whole(), args).map_err(|error| error.to_string())
    }

    fn checkpoint(&self, path: &Path) -> Result<FileFacts, String> {
        checkpoint::describe(path).map(|it| facts(&it)).or_else(|error| {
            // A fine-tuned end may be one; what else is wrong with it the pair says.
            let alone = Checkpoint::open(path).ok().filter(Checkpoint::lacks_projection);
            alone.map(|file| facts_alone(&file)).ok_or_else(|| error.to_string())
        })
    }

    fn compare(&self, zeroshot: &Path, finetuned: &Path) -> Result<PairFacts, String> {
        // A file that is no checkpoint is the file's trouble, not the pair's.
        for path in [zeroshot, finetuned] {
            Checkpoint::open(path).map_err(|error| error.to_string())?;
        }
        match checkpoint::Pair::open(zeroshot, finetuned, &Overrides::default()) {
            Ok(pair) => Ok(PairFacts { notices: pair.notices, ..PairFacts::default() }),
            Err(error) => {
                let text = error.to_string();
                let mut lines: Vec<String> =
                    text.lines().map(|line| line.trim().to_string()).collect();
                lines.retain(|line| !line.is_empty());
                let more = lines.len().saturating_sub(SHOWN);
                lines.truncate(SHOWN);
                Ok(PairFacts { differences: lines, more, notices: Vec::new() })
            }
        }
    }

    fn check(&self, job: Job) -> Result<(), String> {
        Launch::check(self.of_form(job)).map_err(|error| error.to_string())
    }

    fn dataset(&self, path: &Path) -> Result<DataFacts, String> {
        let spec = DatasetSpec::new("probe", Role::Ood, path);
        let dataset = Dataset::open(&spec).map_err(|error| error.to_string())?;
        Ok(DataFacts {
            layout: dataset.layout().to_string(),
            images: dataset.len(),
            badge: dataset.benchmark().and_then(|it| it.badge(dataset.len())),
            benchmark: dataset.benchmark().map(|it| it.name.clone()),
            each: dataset.images_per_class(),
            classes: dataset.classes().len(),
            problems: dataset.problems().iter().map(ToString::to_string).collect(),
        })
    }

    fn devices(&self) -> Vec<String> {
        let gpus = gpus();
        let all = (gpus > 1).then(|| "cuda".to_string());
        let each = (0..gpus).map(|index| format!("cuda:{index}"));
        ["auto".to_string(), "cpu".to_string()].into_iter().chain(all).chain(each).collect()
    }
}

fn started(launch: Result<Launch, LaunchError>, waker: Waker) -> Result<SessionHandle, String> {
    let launch = launch.map_err(|error| error.to_string())?;
    launch.start(waker).map_err(|error| error.to_string())
}

fn facts(it: &checkpoint::Description) -> FileFacts {
    let mut detail = format!("{}, {}", it.container, it.dialect);
    if let Some(head) = &it.head {
        detail.push_str(&format!(", head of {}", counted(head.classes, "class")));
    }
    let dtypes: Vec<&str> = it.dtypes.keys().copied().collect();
    FileFacts {
        architecture: it.label.clone(),
        dtype: dtypes.join(" + "),
        bytes: it.bytes,
        tensors: it.tensors,
        detail,
    }
}

/// Of an image tower without its projection.
fn facts_alone(file: &Checkpoint) -> FileFacts {
    let dtypes: BTreeSet<_> = file.names().filter_map(|name| file.dtype(name)).collect();
    let dtypes: Vec<&str> = dtypes.into_iter().map(checkpoint::Dtype::name).collect();
    FileFacts {
        architecture: "image tower alone".into(),
        dtype: dtypes.join(" + "),
        bytes: file.bytes(),
        tensors: file.names().count(),
        detail: format!("{}, {}, for a fine-tuned end", file.container(), file.dialect()),
    }
}

#[cfg(feature = "torch")]
fn gpus() -> usize {
    crate::torch::runtime::init().cuda.devices().len()
}

#[cfg(not(feature = "torch"))]
fn gpus() -> usize {
    0
}
