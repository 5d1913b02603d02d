//! What is measured: one enum, the journal's lines and the screen's diet.
//!
//! A run is nothing but its events: live, resume, watch, report, demo and test
//! are the same fold of them ([`super::state::SweepState`]).

use serde::{Deserialize, Serialize};

use super::command::Command;
use super::ids::{
    Alpha, AlphaId, CellId, DatasetId, ProbeCell, ProbeId, RoundId, Task, VariantId, WorkerId,
};
use super::probe::{Probe, Probed};
use super::spec::{DoctorSpec, Layers, Role, Thresholds, Variant};
use super::zeros::Zeros;
use crate::plural::counted;

/// Version of the journal's lines and of the JSON report.
pub const SCHEMA: u32 = 1;

/// One line of `events.jsonl`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// First line of every journal: what will be measured.
    Header(Header),
    /// A session began to measure (the first, or a resumption).
    Started {
        /// Milliseconds since the Unix epoch.
        at: u64,
        /// `alphascope 0.1.0`.
        program: String,
        /// Of each worker, in order: the device's name.
        devices: Vec<String>,
        /// `(i, n)`: this session measures shard i of n (from 1); `None` = all.
        shard: Option<(usize, usize)>,
    },
    /// One cell advanced by one round. Journalled before anyone sees it.
    Measured(Measured),
    /// The zeros of a variant at one point were counted: once, before the first
    /// result there. Numbers of elements, not shares.
    Sparsified {
        /// Which; never the dense one.
        variant: VariantId,
        /// Where.
        alpha: AlphaId,
        /// Of each tensor that the variant edits, by name.
        zeros: Vec<Zeros>,
    },
    /// A cell could not be measured; the rest goes on.
    CellFailed {
        /// Which cell.
        cell: CellId,
        /// In which round.
        round: RoundId,
        /// Operation, thing, expected, got, what to do.
        message: String,
    },
    /// From here on this is measured too (in the spec, or asked for while the
    /// sweep runs). Ids follow the order of these events.
    Probing {
        /// What.
        probe: Probe,
    },
    /// A person wants no more of a probe; what it gave stays.
    ProbeCancelled {
        /// Which.
        probe: ProbeId,
    },
    /// One layer at one point was probed. Journalled before anyone sees it.
    Probed(Box<Probed>),
    /// One layer at one point could not be probed; the rest goes on.
    ProbeFailed {
        /// Which.
        cell: ProbeCell,
        /// Operation, thing, expected, got, what to do.
        message: String,
    },
    /// A variant joined the run while it was measured. Ids go on after the
    /// header's variants.
    VariantAdded {
        /// What it does.
        variant: Variant,
    },
    /// A person wants no more of a variant; what was measured stays.
    VariantDropped {
        /// Which.
        variant: VariantId,
    },
    /// A variant is wanted again, and on every image.
    VariantTaken {
        /// Which.
        variant: VariantId,
    },
    /// The doctor tries a variant: from here on only the tuning part of the OOD
    /// datasets is measured of it, until it is taken.
    VariantTried {
        /// Which.
        variant: VariantId,
    },
    /// From here on the doctor looks for an edit that repairs the path (in the
    /// spec, or asked for while the sweep runs). The last one counts.
    Doctor {
        /// How.
        spec: DoctorSpec,
    },
    /// A person paused the sweep.
    Paused,
    /// … and let it go on.
    Resumed,
    /// A dataset is left out from here on.
    Skipped {
        /// Which dataset.
        dataset: DatasetId,
    },
    /// A skipped dataset is taken back.
    Unskipped {
        /// Which dataset.
        dataset: DatasetId,
    },
    /// This dataset comes first in each round from here on.
    Focused {
        /// Which one; `None`: the spec's order again.
        dataset: Option<DatasetId>,
    },
    /// What a person asked for is not done.
    Refused {
        /// What was asked, as it came.
        command: Box<Command>,
        /// Why; one sentence.
        why: String,
    },
    /// Something a person should know.
    Notice {
        /// How much it matters.
        level: Level,
        /// One sentence.
        text: String,
        /// Of this session's course (short memory, a full disk), not of what is measured:
        /// reports leave it out, so that an interrupted run's are those of a whole one.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        passing: bool,
    },
    /// The session ended.
    Finished {
        /// How.
        outcome: Outcome,
        /// Seconds of this session from `Started`.
        seconds: f64,
    },
    /// An event of a later version: kept, not understood.
    #[serde(other)]
    Unknown,
}

impl Event {
    /// A notice of what is measured.
    #[must_use]
    pub fn notice(level: Level, text: impl Into<String>) -> Self {
        Self::Notice { level, text: text.into(), passing: false }
    }

    /// A notice of a session's course.
    #[must_use]
    pub fn passing(level: Level, text: impl Into<String>) -> Self {
        Self::Notice { level, text: text.into(), passing: true }
    }
}

/// What a run will measure: everything a reader needs to show it without the
/// inputs at hand.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Header {
    /// [`SCHEMA`].
    pub schema: u32,
    /// Hash of the resolved spec (hex): a resumed run must match.
    pub spec_hash: String,
    /// Short name of the zero-shot end (its file's stem).
    pub zeroshot: String,
    /// Short name of the fine-tuned end.
    pub finetuned: String,
    /// A label that must be shown with every result (as `constructed: …`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// `ViT-B-32`, or a description such as `ViT 6×96, patch 8, image 48`.
    pub architecture: String,
    /// The grid, ascending.
    pub alphas: Vec<Alpha>,
    /// What is measured on.
    pub datasets: Vec<DatasetInfo>,
    /// The spec's variants; the first is `dense`.
    pub variants: Vec<Variant>,
    /// Every layer, at every granularity, in the order of the forward pass.
    #[serde(default)]
    pub layers: Vec<LayerInfo>,
    /// Seed of the image order.
    pub seed: u64,
    /// Images per forward pass.
    pub batch: usize,
    /// From which number on a layer is called a straggler.
    #[serde(default, skip_serializing_if = "Thresholds::is_default")]
    pub stragglers: Thresholds,
}

impl Header {
    /// What of it makes no sense, whatever was measured: the field, what was expected
    /// and got. `None` where all of it does.
    #[must_use]
    pub fn wrong(&self) -> Option<String> {
        if self.schema > SCHEMA {
            return Some(format!(
                "`schema`: expected {SCHEMA}, got {}: a later version of alphascope wrote it; \
                 use that version",
                self.schema
            ));
        }
        if self.schema != SCHEMA {
            return Some(format!("`schema`: expected {SCHEMA}, got {}", self.schema));
        }
        if self.alphas.is_empty() || !self.alphas.is_sorted_by(|a, b| a < b) {
            let got: Vec<String> = self.alphas.iter().take(4).map(ToString::to_string).collect();
            return Some(format!(
                "`alphas`: expected points that ascend, got {} of them ({})",
                self.alphas.len(),
                got.join(", ")
            ));
        }
        if self.datasets.is_empty() {
            return Some("`datasets`: expected one at least, got none".into());
        }
        for (index, it) in self.datasets.iter().enumerate() {
            let ends = std::iter::once(&0).chain(&it.rounds);
            if !ends.clone().is_sorted_by(|a, b| a < b) || ends.last() != Some(&it.images) {
                return Some(format!(
                    "`datasets[{index}].rounds`: expected ends that ascend to the {}, got {} \
                     of them, the last {}",
                    counted(it.images, "image"),
                    it.rounds.len(),
                    it.rounds.last().copied().unwrap_or(0)
                ));
            }
        }
        if self.variants.first().is_none_or(|it| !it.is_dense()) {
            return Some("`variants[0]`: expected the dense one, got another or none".into());
        }
        None
    }
}

/// A dataset as the header tells it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DatasetInfo {
    /// Name in the spec.
    pub name: String,
    /// In- or out-of-distribution.
    pub role: Role,
    /// Images that will be visited (after `limit`).
    pub images: usize,
    /// Classes among the logits.
    pub classes: usize,
    /// Where each round ends: images visited after rounds 0, 1, …; ascending,
    /// the last equals `images`.
    pub rounds: Vec<usize>,
    /// Which published dataset it is; `None` for all that are not recognised.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub benchmark: Option<Benchmark>,
}

impl DatasetInfo {
    /// How many of the images that the published dataset has are measured, as
    /// `9998/10000`; `None` where it is none, or whole.
    #[must_use]
    pub fn badge(&self) -> Option<String> {
        self.benchmark.as_ref()?.badge(self.images)
    }
}

/// A published dataset, and how its images are made into the numbers that
/// papers report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Benchmark {
    /// As `ImageNet-V2`, or `ObjectNet, wise-ft protocol`.
    pub name: String,
    /// How many images it has when it is whole.
    pub images: usize,
}

impl Benchmark {
    /// A dataset of this name and size.
    #[must_use]
    pub fn new(name: impl Into<String>, images: usize) -> Self {
        Self { name: name.into(), images }
    }

    /// So many images of all that it has, as `9998/10000`; `None` where they are all.
    #[must_use]
    pub fn badge(&self, images: usize) -> Option<String> {
        (self.images != images).then(|| format!("{images}/{}", self.images))
    }
}

/// A layer as the header tells it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LayerInfo {
    /// `block.3`, `text.block.0.mlp`, or a tensor's canonical name.
    pub name: String,
    /// At which granularity it is a layer (never `none`).
    pub units: Layers,
    /// Numbers in it.
    pub parameters: u64,
    /// ‖θ₁ − θ₀‖₂ / ‖θ₀‖₂; `None` where θ₀ is zero or not finite.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moved: Option<f64>,
    /// Canonical names of its tensors.
    pub tensors: Vec<String>,
}

impl LayerInfo {
    /// Of the text tower, whatever the granularity: told by its tensors.
    #[must_use]
    pub fn is_text(&self) -> bool {
        let image =
            |name: &String| name.starts_with("visual.") || name.starts_with("classification_head.");
        self.tensors.first().is_some_and(|name| !image(name))
    }
}

/// Result of one cell in one round, for images
/// `start .. start + images` of the dataset's seeded order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// Which cell.
    pub cell: CellId,
    /// Which round of its dataset.
    pub round: RoundId,
    /// Who measured it.
    pub worker: WorkerId,
    /// First position in the seeded order.
    pub start: usize,
    /// How many images.
    pub images: usize,
    /// Top-1 hits among them.
    pub correct: usize,
    /// Top-5 hits; absent where there are five classes or fewer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correct5: Option<usize>,
    /// Sum of cross-entropies, in nats.
    pub loss_sum: f64,
    /// Predictions that rounding may flip (see [`super::engine::NEAR_TIE`]).
    pub near_ties: u32,
    /// One bit per image, position `start` first: was it a top-1 hit.
    pub hits: Bits,
    /// Seconds it took.
    pub seconds: f64,
}

/// How much a notice matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Good to know.
    Info,
    /// Results stand, but look at it.
    Warning,
    /// Something was not measured.
    Error,
}

/// How a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Every cell owed was measured (or skipped on request).
    Complete,
    /// All was tried; some cells failed.
    Partial,
    /// Ended early; the run can be resumed.
    Stopped,
}

/// What the worker is doing right now: never journalled, latest wins.
#[derive(Clone, Debug, PartialEq)]
pub struct Progress {
    /// Who.
    pub worker: WorkerId,
    /// What it has in hand.
    pub task: Task,
    /// Forward passes done since `Started`, in images (all workers). Of probes
    /// it is an estimate ([`super::plan::cost`]).
    pub images_done: u64,
    /// Forward passes owed in all since `Started`, in images.
    pub images_total: u64,
    /// Images a second over the last seconds, all workers; `None` at first.
    pub rate: Option<f64>,
}

/// A string of bits, written as base64 (bit i = byte i/8, least significant
/// first).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bits {
    bytes: Vec<u8>,
    len: usize,
}

impl Bits {
    /// Number of bits. After reading from a journal it is a multiple of 8: the
    /// event's `images` says how many count.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// True without bits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Adds one bit at the end.
    pub fn push(&mut self, bit: bool) {
        if self.len.is_multiple_of(8) {
            self.bytes.push(0);
        }
        if bit && let Some(last) = self.bytes.last_mut() {
            *last |= 1 << (self.len % 8);
        }
        self.len += 1;
    }

    /// Bit `i`; `None` past the end.
    #[must_use]
    pub fn get(&self, i: usize) -> Option<bool> {
        (i < self.len).then(|| self.bytes[i / 8] >> (i % 8) & 1 == 1)
    }

    /// All bits in order.
    pub fn iter(&self) -> impl Iterator<Item = bool> + '_ {
        (0..self.len).map(|i| self.bytes[i / 8] >> (i % 8) & 1 == 1)
    }

    /// From this to `other`, over the bits that both have: how many come on, and
    /// how many go off.
    #[must_use]
    pub fn changes(&self, other: &Self) -> (usize, usize) {
        let len = self.len.min(other.len);
        let count = |byte: u8| byte.count_ones() as usize;
        let mut changes = (0, 0);
        for (a, b) in self.bytes.iter().zip(&other.bytes).take(len / 8) {
            changes.0 += count(!a & b);
            changes.1 += count(a & !b);
        }
        for i in len / 8 * 8..len {
            let bits = (self.get(i), other.get(i));
            changes.0 += usize::from(bits == (Some(false), Some(true)));
            changes.1 += usize::from(bits == (Some(true), Some(false)));
        }
        changes
    }

    /// Cuts or refuses: exactly `len` bits, `None` when there are fewer.
    #[must_use]
    pub fn with_len(mut self, len: usize) -> Option<Self> {
        if self.len < len {
            return None;
        }
        self.bytes.truncate(len.div_ceil(8));
        // Bits past the end are zero, so that equal strings are equal bytes.
        if let Some(last) = self.bytes.last_mut()
            && !len.is_multiple_of(8)
        {
            *last &= (1 << (len % 8)) - 1;
        }
        self.len = len;
        Some(self)
    }
}

impl FromIterator<bool> for Bits {
    fn from_iter<I: IntoIterator<Item = bool>>(bits: I) -> Self {
        let mut all = Self::default();
        bits.into_iter().for_each(|bit| all.push(bit));
        all
    }
}

impl Serialize for Bits {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use base64::Engine as _;
        serializer.serialize_str(&base64::engine::general_purpose::STANDARD.encode(&self.bytes))
    }
}

impl<'de> Deserialize<'de> for Bits {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use base64::Engine as _;
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        let bytes = base64::engine::general_purpose::STANDARD
            .decode(text.as_bytes())
            .map_err(serde::de::Error::custom)?;
        let len = bytes.len() * 8;
        Ok(Self { bytes, len })
    }
}
