//! A scripted run: the events a sweep of known curves would send, from a fixed
//! seed. No engine, no clock.

#![allow(dead_code)] // each test file uses its own part

#[cfg(feature = "tui")]
pub mod drawn;
pub mod probes;

use alphascope::app::{Look, Message, Mode, Model, Screen, update};
use alphascope::sweep::event::{
    Bits, DatasetInfo, Event, Header, Level, Measured, Outcome, Progress, SCHEMA,
};
use alphascope::sweep::ids::{
    Alpha, AlphaId, CellId, DatasetId, RoundId, Task, VariantId, WorkerId,
};
use alphascope::sweep::spec::{Role, Variant};

/// A dataset with its true accuracy at each α.
pub struct Truth {
    pub name: &'static str,
    pub role: Role,
    pub images: usize,
    pub top1: [f64; 11],
}

/// A whole scripted run.
pub struct Script {
    pub header: Header,
    truths: Vec<Truth>,
}

const ROUNDS: [usize; 4] = [16, 64, 192, 448];

/// α in the order a round visits them: ends, middle, halving.
const ORDER: [usize; 11] = [0, 10, 5, 2, 7, 1, 3, 6, 8, 4, 9];

fn truth(name: &'static str, role: Role, images: usize, top1: [f64; 11]) -> Truth {
    Truth { name, role, images, top1 }
}

impl Script {
    /// Interpolation beats both ends out of distribution.
    pub fn good() -> Self {
        Self::new(
            "finetuned",
            None,
            vec![
                truth(
                    "noto",
                    Role::Id,
                    530,
                    [0.426, 0.447, 0.464, 0.485, 0.487, 0.500, 0.489, 0.500, 0.511, 0.509, 0.515],
                ),
                truth(
                    "twemoji",
                    Role::Ood,
                    530,
                    [0.421, 0.440, 0.449, 0.458, 0.460, 0.457, 0.445, 0.428, 0.419, 0.402, 0.377],
                ),
                truth(
                    "openmoji",
                    Role::Ood,
                    530,
                    [0.262, 0.281, 0.281, 0.274, 0.277, 0.268, 0.262, 0.258, 0.245, 0.240, 0.223],
                ),
                truth(
                    "fluent",
                    Role::Ood,
                    522,
                    [0.412, 0.423, 0.450, 0.471, 0.475, 0.481, 0.483, 0.469, 0.466, 0.448, 0.439],
                ),
                truth(
                    "fluent-hc",
                    Role::Ood,
                    522,
                    [0.241, 0.257, 0.255, 0.241, 0.220, 0.176, 0.149, 0.136, 0.123, 0.102, 0.092],
                ),
                truth(
                    "fxemoji",
                    Role::Ood,
                    213,
                    [0.296, 0.324, 0.333, 0.338, 0.347, 0.343, 0.357, 0.362, 0.366, 0.357, 0.362],
                ),
            ],
        )
    }

    /// A barrier on the path: failure mode.
    pub fn barrier() -> Self {
        Self::new(
            "finetuned-failed",
            Some("constructed: fine-tuned with a far too large learning rate"),
            vec![
                truth(
                    "noto",
                    Role::Id,
                    530,
                    [0.426, 0.381, 0.374, 0.387, 0.385, 0.375, 0.383, 0.396, 0.417, 0.423, 0.420],
                ),
                truth(
                    "twemoji",
                    Role::Ood,
                    530,
                    [0.421, 0.338, 0.340, 0.338, 0.336, 0.317, 0.315, 0.306, 0.291, 0.275, 0.260],
                ),
                truth(
                    "openmoji",
                    Role::Ood,
                    530,
                    [0.262, 0.211, 0.175, 0.162, 0.175, 0.179, 0.198, 0.208, 0.204, 0.196, 0.190],
                ),
                truth(
                    "fluent",
                    Role::Ood,
                    522,
                    [0.412, 0.393, 0.339, 0.328, 0.328, 0.320, 0.326, 0.314, 0.316, 0.320, 0.322],
                ),
                truth(
                    "fluent-hc",
                    Role::Ood,
                    522,
                    [0.241, 0.140, 0.079, 0.073, 0.065, 0.071, 0.075, 0.077, 0.086, 0.090, 0.090],
                ),
                truth(
                    "fxemoji",
                    Role::Ood,
                    213,
                    [0.296, 0.225, 0.216, 0.207, 0.225, 0.225, 0.221, 0.249, 0.254, 0.239, 0.235],
                ),
            ],
        )
    }

    fn new(finetuned: &str, label: Option<&str>, truths: Vec<Truth>) -> Self {
        let datasets = truths.iter().map(|it| {
            let mut rounds: Vec<usize> =
                ROUNDS.iter().copied().filter(|n| *n < it.images).collect();
            rounds.push(it.images);
            DatasetInfo {
                name: it.name.to_string(),
                role: it.role,
                images: it.images,
                classes: 22,
                rounds,
                benchmark: None,
            }
        });
        let header = Header {
            schema: SCHEMA,
            spec_hash: "0".repeat(64),
            zeroshot: "zeroshot".to_string(),
            finetuned: finetuned.to_string(),
            label: label.map(str::to_string),
            architecture: "ViT 6×96, patch 8, image 48".to_string(),
            alphas: (0..=10).filter_map(|i| Alpha::new(f64::from(i) / 10.0)).collect(),
            datasets: datasets.collect(),
            variants: vec![Variant::dense()],
            layers: alphascope::sim::layers(6),
            seed: 0,
            batch: 128,
            stragglers: Default::default(),
        };
        Self { header, truths }
    }

    /// Header and start.
    pub fn opening(&self) -> Vec<Event> {
        vec![
            Event::Header(self.header.clone()),
            Event::Started {
                at: 1_790_000_000_000,
                program: "alphascope 0.1.0".to_string(),
                devices: vec!["CPU, 2 threads".to_string()],
                shard: None,
            },
            Event::notice(
                Level::Info,
                "the fine-tuned file has no text tower: the zero-shot one's is used",
            ),
        ]
    }

    /// Every measurement, in the plan's order.
    pub fn measurements(&self) -> Vec<Event> {
        let most = self.header.datasets.iter().map(|set| set.rounds.len()).max().unwrap_or(0);
        let mut events = Vec::new();
        for round in 0..most {
            for alpha in ORDER {
                for (set, info) in self.header.datasets.iter().enumerate() {
                    if round < info.rounds.len() {
                        events.push(self.measured(set, alpha, round));
                    }
                }
            }
        }
        events
    }

    /// The opening and so many of each hundred measurements.
    pub fn until(&self, percent: usize) -> Vec<Event> {
        let mut events = self.opening();
        let all = self.measurements();
        let n = all.len() * percent / 100;
        events.extend(all.into_iter().take(n));
        events
    }

    /// All of it, with its end.
    pub fn whole(&self) -> Vec<Event> {
        let mut events = self.until(100);
        events.push(Event::Finished { outcome: Outcome::Complete, seconds: 93.0 });
        events
    }

    pub fn cell(set: usize, alpha: usize) -> CellId {
        CellId { variant: VariantId::DENSE, dataset: DatasetId(set), alpha: AlphaId(alpha) }
    }

    fn measured(&self, set: usize, alpha: usize, round: usize) -> Event {
        let info = &self.header.datasets[set];
        let start = if round == 0 { 0 } else { info.rounds[round - 1] };
        let end = info.rounds[round];
        let p = self.truths[set].top1[alpha];
        let hits: Bits = (start..end).map(|i| noise(set, i, 99, alpha) < p).collect();
        let five = (start..end).filter(|i| noise(set, *i, 99, alpha) < p + 0.35).count();
        let correct = hits.iter().filter(|hit| *hit).count();
        Event::Measured(Measured {
            cell: Self::cell(set, alpha),
            round: RoundId(round),
            worker: WorkerId(0),
            start,
            images: end - start,
            correct,
            correct5: Some(five),
            loss_sum: (end - start) as f64 * (2.9 - 1.9 * p),
            near_ties: u32::from(alpha == 3),
            hits,
            seconds: 0.5,
        })
    }

    /// What the worker would say half-way.
    pub fn progress(&self) -> Progress {
        Progress {
            worker: WorkerId(0),
            task: Task::Accuracy(Self::cell(3, 7)),
            images_done: 9_000,
            images_total: 31_000,
            rate: Some(412.3),
        }
    }
}

/// The same image is hard at every α, with a little noise of its own: between
/// 0 and 1, uniform, from the indices alone.
fn noise(set: usize, image: usize, salt: usize, alpha: usize) -> f64 {
    let unit = |seed: usize| {
        let mut x = (seed as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5851_f42d_4c95_7f2d;
        for _ in 0..3 {
            x ^= x >> 30;
            x = x.wrapping_mul(0xbf58_476d_1ce4_e5b9);
            x ^= x >> 27;
        }
        (x >> 11) as f64 / (1u64 << 53) as f64
    };
    let own = unit(set * 1_000_003 + image * 131 + salt);
    if unit(set * 7_919 + image * 31 + alpha * 17 + 5) < 0.12 {
        unit(set * 104_729 + image * 71 + alpha * 13 + 11)
    } else {
        own
    }
}

/// The live screen after these events.
pub fn fold(events: &[Event], look: Look, size: (u16, u16)) -> Model {
    let mut model = Model::new(Screen::Live, Mode::Own, look);
    update(&mut model, Message::Resize(size.0, size.1));
    for event in events {
        update(&mut model, Message::Event(Box::new(event.clone())));
    }
    model.settle();
    model
}
