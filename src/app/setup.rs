//! The set-up screen's state: two checkpoints, datasets, settings, and the
//! overlays in which they are chosen. Pure: everything from the disk is asked
//! for by [`Effect`]s and comes back as [`Message`]s, so that a slow disk never
//! holds the screen.

mod bindings;
mod browser;
mod facts;
mod field;
mod keys;
mod probe;
mod sharp;

use std::path::{Path, PathBuf};

pub use bindings::BINDINGS;
pub use browser::{Browser, Item, Wanted, plain};
pub use facts::{DataFacts, Demo, Effect, Entry, FileFacts, Job, Known, Message, PairFacts};
pub use field::{Field, describe_alphas, parse_alphas, parse_whole};
pub use keys::{Do, context, key};
pub use probe::Probes;
pub use sharp::{Sharp, norm_name, parse_draws, parse_radius, sharpness_name};

use crate::app::sheet::layers_name;
use crate::config::{ChosenDataset, Memory};
use crate::sweep::spec::{Alphas, Checkpoints, DatasetSpec, Layers, Precision, Role};
use crate::sweep::spec::{SharpnessKind, Spec, SweepSpec};

/// A line of the form that can be highlighted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // the names on the screen
pub enum Row {
    #[default]
    ZeroShot,
    FineTuned,
    Dataset(usize),
    AddDataset,
    Alphas,
    Batch,
    Device,
    Precision,
    Seed,
    Sharpness,
    Norm,
    Rho,
    /// Draws or steps.
    Count,
    Batches,
    Layers,
    Output,
    Start,
}

/// What lies over the form.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Overlay {
    /// Nothing.
    #[default]
    None,
    /// The highlighted row's text is being typed.
    Text(Field),
    /// The file browser.
    Browser(Box<Browser>),
    /// The demo menu, at this line.
    Demo(usize),
}

/// A session that was asked for and has not answered yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Starting {
    /// The request's number.
    pub id: u64,
    /// What starts.
    pub what: String,
}

/// Everything the set-up screen knows.
#[derive(Clone, Debug, PartialEq)]
pub struct State {
    /// θ₀.
    pub zeroshot: Option<PathBuf>,
    /// θ₁.
    pub finetuned: Option<PathBuf>,
    /// In order.
    pub datasets: Vec<ChosenDataset>,
    /// As typed; see [`parse_alphas`].
    pub alphas: String,
    /// As typed.
    pub batch: String,
    /// As typed.
    pub seed: String,
    /// As typed; empty: a new folder where runs go.
    pub output: String,
    /// One of [`State::devices`], or what was remembered.
    pub device: String,
    /// Device names one may ask for.
    pub devices: Vec<String>,
    /// Arithmetic.
    pub precision: Precision,
    /// Sharpness is measured too, in this case; `None`: not.
    pub sharpness: Option<SharpnessKind>,
    /// How it is measured.
    pub sharp: Sharp,
    /// Granularity of the layers.
    pub layers: Layers,
    /// Highlighted row.
    pub row: Row,
    /// What lies over the form.
    pub overlay: Overlay,
    /// A session is being opened.
    pub starting: Option<Starting>,
    /// Why the last thing did not work, or another word; until the next key.
    pub said: Option<String>,
    /// What files are.
    pub probes: Probes,
    /// `~`.
    pub home: Option<PathBuf>,
    /// Where the browser begins when nothing was chosen yet.
    pub cwd: PathBuf,
    /// Folders, the latest first.
    pub recent: Vec<PathBuf>,
    /// Shown in place of an empty [`State::output`].
    pub runs: Option<PathBuf>,
    next: u64,
}

impl Default for State {
    fn default() -> Self {
        Self::new(Memory::default(), None, PathBuf::from("/"))
    }
}

impl State {
    /// With the last choices filled in.
    #[must_use]
    pub fn new(memory: Memory, home: Option<PathBuf>, cwd: PathBuf) -> Self {
        let or = |text: Option<String>, default: &str| text.unwrap_or_else(|| default.to_string());
        let precision = match memory.precision.as_deref() {
            Some("fp32") => Precision::Fp32,
            Some("bf16") => Precision::Bf16,
            _ => Precision::Auto,
        };
        let sharpness = match memory.sharpness.as_deref() {
            Some("average") => Some(SharpnessKind::Average),
            Some("worst") => Some(SharpnessKind::Worst),
            _ => None,
        };
        let known = [Layers::None, Layers::Block, Layers::Module, Layers::Tensor];
        let layers =
            known.into_iter().find(|it| memory.layers.as_deref() == Some(layers_name(*it)));
        Self {
            layers: layers.unwrap_or_default(),
            sharpness,
            sharp: Sharp::remembered(&memory),
            zeroshot: memory.zeroshot,
            finetuned: memory.finetuned,
            datasets: memory.datasets,
            alphas: or(memory.alphas, "0:1:11"),
            batch: or(memory.batch, "128"),
            seed: or(memory.seed, "0"),
            output: String::new(),
            device: or(memory.device, "auto"),
            devices: vec!["auto".into(), "cpu".into()],
            precision,
            row: Row::ZeroShot,
            overlay: Overlay::None,
            starting: None,
            said: None,
            probes: Probes::default(),
            home,
            cwd,
            recent: memory.recent,
            runs: None,
            next: 1,
        }
    }

    /// What to ask first: devices, and what the remembered files are.
    pub fn begin(&mut self) -> Vec<Effect> {
        let mut effects = vec![Effect::Devices];
        effects.extend(self.ask());
        effects
    }

    /// What is worth remembering. The caller adds the looks.
    #[must_use]
    pub fn memory(&self) -> Memory {
        Memory {
            zeroshot: self.zeroshot.clone(),
            finetuned: self.finetuned.clone(),
            alphas: Some(self.alphas.clone()),
            batch: Some(self.batch.clone()),
            device: Some(self.device.clone()),
            precision: Some(precision_name(self.precision).to_string()),
            seed: Some(self.seed.clone()),
            sharpness: Some(sharpness_name(self.sharpness).to_string()),
            layers: Some(layers_name(self.layers).to_string()),
            norm: Some(norm_name(self.sharp.norm).to_string()),
            rho: Some(self.sharp.rho.clone()),
            draws: Some(self.sharp.draws.clone()),
            steps: Some(self.sharp.steps.clone()),
            batches: Some(self.sharp.batches.clone()),
            recent: self.recent.clone(),
            theme: None,
            charset: None,
            datasets: self.datasets.clone(),
        }
    }

    /// A session that is opened elsewhere: its number.
    pub fn expect(&mut self, what: String) -> u64 {
        let id = self.number();
        self.starting = Some(Starting { id, what });
        id
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// Rows of the form, from the top.
    #[must_use]
    pub fn rows(&self) -> Vec<Row> {
        let mut rows = vec![Row::ZeroShot, Row::FineTuned];
        rows.extend((0..self.datasets.len()).map(Row::Dataset));
        rows.extend([
            Row::AddDataset,
            Row::Alphas,
            Row::Batch,
            Row::Device,
            Row::Precision,
            Row::Seed,
            Row::Sharpness,
        ]);
        // Of what is not measured there is nothing to choose.
        if self.sharpness.is_some() {
            rows.extend([Row::Norm, Row::Rho, Row::Count, Row::Batches, Row::Layers]);
        }
        rows.extend([Row::Output, Row::Start]);
        rows
    }

    /// How the two chosen checkpoints go together, once that is known.
    #[must_use]
    pub fn pair(&self) -> Option<&Known<PairFacts>> {
        self.probes.pair(self.zeroshot.as_deref()?, self.finetuned.as_deref()?)
    }

    /// What keeps the sweep from starting: of each part, and where the parts are
    /// good, of all together, by the check that the start makes.
    #[must_use]
    pub fn missing(&self) -> Vec<String> {
        let mut missing = self.faults();
        if let Some(Known::Failed(why)) = self.checked() {
            missing.push(why.clone());
        }
        missing
    }

    /// What the start's own check says of the form as it is now; `None` while
    /// something else is to be done first.
    #[must_use]
    pub fn checked(&self) -> Option<&Known<()>> {
        self.probes.checked(&self.order()?)
    }

    fn faults(&self) -> Vec<String> {
        let mut missing = vec![];
        for (what, path) in [("zero-shot", &self.zeroshot), ("fine-tuned", &self.finetuned)] {
            match path {
                None => missing.push(format!("choose the {what} checkpoint")),
                Some(path) => {
                    if let Some(Known::Failed(why)) = self.probes.file(path) {
                        missing.push(format!("the {what} checkpoint cannot be used: {why}"));
                    }
                }
            }
        }
        match self.pair() {
            Some(Known::Ready(pair)) if !pair.matches() => {
                missing.push("the two checkpoints do not match".into());
            }
            Some(Known::Failed(why)) if missing.is_empty() => missing.push(why.clone()),
            _ => {}
        }
        if self.datasets.is_empty() {
            missing.push("add a dataset".into());
        }
        for (i, set) in self.datasets.iter().enumerate() {
            if let Some(Known::Failed(why)) = self.probes.data(&set.path) {
                missing.push(format!("dataset {} cannot be used: {why}", set.name));
            }
            if self.datasets[..i].iter().any(|other| other.name == set.name) {
                missing.push(format!("two datasets are called {}: rename one", set.name));
            }
        }
        if let Err(why) = parse_alphas(&self.alphas) {
            missing.push(format!("alphas: {why}"));
        }
        if let Err(why) = parse_whole(&self.batch, 1) {
            missing.push(format!("batch: {why}"));
        }
        if let Err(why) = parse_whole(&self.seed, 0) {
            missing.push(format!("seed: {why}"));
        }
        if let Some(kind) = self.sharpness {
            missing.extend(self.sharp.spec(kind, self.layers).err().unwrap_or_default());
        }
        missing
    }

    /// The form as a session's order; `None` while something is
    /// [`State::missing`].
    #[must_use]
    pub fn job(&self) -> Option<Job> {
        self.order().filter(|_| self.missing().is_empty())
    }

    /// As [`State::job`], whatever its check says.
    fn order(&self) -> Option<Job> {
        if !self.faults().is_empty() {
            return None;
        }
        let alphas: Alphas = parse_alphas(&self.alphas).ok()?;
        let spec = Spec {
            label: None,
            checkpoints: Checkpoints {
                zeroshot: self.zeroshot.clone()?,
                finetuned: self.finetuned.clone()?,
                architecture: None,
                activation: None,
                probe_activation: true,
                logit_scale: None,
                head_classes: None,
                head: None,
            },
            datasets: self
                .datasets
                .iter()
                .map(|set| DatasetSpec::new(set.name.clone(), set.role, set.path.clone()))
                .collect(),
            sweep: SweepSpec {
                alphas,
                seed: parse_whole(&self.seed, 0).ok()?,
                batch: usize::try_from(parse_whole(&self.batch, 1).ok()?).ok()?,
                precision: self.precision,
                ..SweepSpec::default()
            },
            sharpness: self.sharpness.and_then(|kind| self.sharp.spec(kind, self.layers).ok()),
            barriers: None,
            curvature: None,
            stragglers: Default::default(),
            doctor: None,
            variants: vec![],
            inputs: std::collections::BTreeMap::new(),
        };
        let output = (!self.output.trim().is_empty()).then(|| self.absolute(self.output.trim()));
        Some(Job { spec, device: self.device.clone(), output })
    }

    /// A typed path, made absolute.
    #[must_use]
    pub fn absolute(&self, text: &str) -> PathBuf {
        let path = match (text.strip_prefix('~'), &self.home) {
            (Some(rest), Some(home)) if rest.is_empty() || rest.starts_with('/') => {
                home.join(rest.trim_start_matches('/'))
            }
            _ => self.cwd.join(text),
        };
        plain(&path)
    }

    /// A path for people: `~` for the home folder.
    #[must_use]
    pub fn short(&self, path: &Path) -> String {
        match self.home.as_deref().and_then(|home| path.strip_prefix(home).ok()) {
            Some(rest) if rest.as_os_str().is_empty() => "~".into(),
            Some(rest) => format!("~/{}", rest.display()),
            None => path.display().to_string(),
        }
    }

    /// A name for a dataset at `path`, not taken yet.
    fn new_name(&self, path: &Path) -> String {
        let stem = path.file_stem().or(path.file_name());
        let mut stem = stem.map_or_else(|| "data".into(), |s| s.to_string_lossy().into_owned());
        // A split's folder says less than the dataset's own.
        if ["val", "test", "train", "validation"].contains(&stem.to_lowercase().as_str())
            && let Some(parent) = path.parent().and_then(Path::file_name)
        {
            stem = format!("{}-{stem}", parent.to_string_lossy());
        }
        let taken = |name: &str| self.datasets.iter().any(|set| set.name == name);
        let mut name = stem.clone();
        let mut n = 2;
        while taken(&name) {
            name = format!("{stem}-{n}");
            n += 1;
        }
        name
    }

    fn visit(&mut self, path: &Path) {
        let mut memory = Memory { recent: std::mem::take(&mut self.recent), ..Memory::default() };
        if let Some(dir) = path.parent() {
            memory.visit(dir);
        }
        self.recent = memory.recent;
    }

    /// Takes what the browser chose into the form.
    fn take(&mut self, wanted: Wanted, path: PathBuf) -> Vec<Effect> {
        self.visit(&path);
        self.overlay = Overlay::None;
        if wanted.checkpoint() {
            self.probes.forget_pair();
        }
        match wanted {
            Wanted::ZeroShot => {
                self.zeroshot = Some(path);
                if self.finetuned.is_none() {
                    self.row = Row::FineTuned;
                }
            }
            Wanted::FineTuned => {
                self.finetuned = Some(path);
                if self.datasets.is_empty() {
                    self.row = Row::AddDataset;
                }
            }
            Wanted::Dataset => {
                // The first one is usually what the model was fine-tuned on.
                let role = if self.datasets.is_empty() { Role::Id } else { Role::Ood };
                let name = self.new_name(&path);
                self.datasets.push(ChosenDataset { name, role, path });
                self.row = Row::AddDataset;
            }
            Wanted::Output => self.output = self.short(&path),
        }
        let mut effects = self.ask();
        effects.push(Effect::Remember(Box::new(self.memory())));
        effects
    }

    /// Whatever should be known now and was not asked for yet.
    fn ask(&mut self) -> Vec<Effect> {
        let mut probes = std::mem::take(&mut self.probes);
        let effects = probes.ask(self, || self.next);
        self.next += effects.len() as u64;
        self.probes = probes;
        effects
    }
}

/// As in the spec.
#[must_use]
pub fn precision_name(precision: Precision) -> &'static str {
    match precision {
        Precision::Auto => "auto",
        Precision::Fp32 => "fp32",
        Precision::Bf16 => "bf16",
    }
}

/// As in the spec.
#[must_use]
pub fn role_name(role: Role) -> &'static str {
    match role {
        Role::Id => "ID",
        Role::Ood => "OOD",
    }
}

/// Anything but a key.
pub fn update(state: &mut State, message: Message) -> Vec<Effect> {
    match message {
        Message::Paste(text) => return keys::paste(state, &text),
        Message::Listed(id, result) => {
            if let Overlay::Browser(browser) = &mut state.overlay {
                browser.listed(id, result);
            }
        }
        Message::File(id, path, result) => state.probes.file_answer(id, &path, result),
        Message::Data(id, path, result) => state.probes.data_answer(id, &path, result),
        Message::Pair(id, result) => state.probes.pair_answer(id, result),
        Message::Checked(id, result) => state.probes.check_answer(id, result),
        Message::Devices(devices) => {
            if !devices.is_empty() {
                state.devices = devices;
            }
        }
        Message::StartFailed(id, why) => {
            if state.starting.as_ref().is_some_and(|it| it.id == id) {
                state.starting = None;
                state.said = Some(why);
                state.probes.forget_check();
            }
        }
        Message::Started(id) => {
            if state.starting.as_ref().is_some_and(|it| it.id == id) {
                state.starting = None;
            }
        }
        Message::Said(text) => state.said = Some(text),
    }
    state.ask()
}

#[cfg(test)]
mod tests;
