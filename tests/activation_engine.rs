//! Both activations compared by the engine, on small random checkpoints whose images are labelled
//! by what one of the two predicts.
#![cfg(feature = "torch")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // helpers of tests

mod sweep_rig;
mod world;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use alphascope::inputs::Inputs;
use alphascope::sparsify::Plan;
use alphascope::sweep::activation::ActivationProbe;
use alphascope::sweep::drive::EngineFactory;
use alphascope::sweep::engine::Engine;
use alphascope::sweep::event::{Header, Level, Outcome};
use alphascope::sweep::ids::{Alpha, DatasetId};
use alphascope::sweep::plan::{Shard, rounds};
use alphascope::sweep::spec::{Activation, Spec, Variant};
use alphascope::sweep::state::SweepState;
use alphascope::torch::device::DeviceChoice;
use alphascope::torch::engine::TorchEngine;
use alphascope::torch::model::Model;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use sweep_rig::{driven, results};
use tch::{Device, Kind, Tensor};
use world::{CONFIG, EMBED, Weights, head, image_tower, save, text_tower};

const WORDS: [&str; 24] = [
    "ant", "bee", "cat", "dog", "eel", "fox", "gnu", "hen", "ibis", "jay", "kiwi", "lynx", "mole",
    "newt", "owl", "pig", "quail", "rat", "seal", "toad", "urial", "vole", "wolf", "yak",
];
const IMAGES: usize = 300;

/// A pair with its configuration beside it, and images of one folder.
struct Rig(tempfile::TempDir);

/// The MLPs work far out where the two functions differ by factors (at −3 GELU is −0.004,
/// QuickGELU −0.018), and what is read decides, not biases.
fn loud(mut tower: Weights) -> Weights {
    for (name, (_, values)) in &mut tower {
        let (factor, shift) = match name.as_str() {
            _ if name.ends_with("mlp.c_fc.bias") => (1.0, -3.0),
            _ if name.ends_with("mlp.c_proj.weight") => (50.0, 0.0),
            _ if name.ends_with("bias") || name.contains("class_embedding") => (0.1, 0.0),
            _ if name.contains("attn.") => (3.0, 0.0),
            _ => (1.0, 0.0),
        };
        values.iter_mut().for_each(|x| *x = factor * *x + shift);
    }
    tower
}

impl Rig {
    /// Random towers of QuickGELU.
    fn new() -> Self {
        let rig = Self(tempfile::tempdir().unwrap());
        rig.save(&Weights::new());
        rig.write("open_clip_config.json", CONFIG);
        rig
    }

    /// Writes both ends; `more` goes into both.
    fn save(&self, more: &Weights) {
        let text = loud(text_tower(3));
        for (name, seed) in [("zs.safetensors", 1), ("ft.safetensors", 2)] {
            save(&self.path(name), &[loud(image_tower(seed)), text.clone(), more.clone()]);
        }
    }

    /// From now on the configuration tells of GELU.
    fn mislead(&self) {
        let other = CONFIG.replace("\"quick_gelu\": true", "\"quick_gelu\": false");
        self.write("open_clip_config.json", &other);
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    /// Images of many kinds, the `i`-th in the folder that `class` says.
    fn images(&self, class: impl Fn(usize) -> &'static str) {
        let random = &mut ChaCha8Rng::seed_from_u64(5);
        let _ = fs::remove_dir_all(self.path("images"));
        for i in 0..IMAGES {
            let folder = self.path("images").join(class(i));
            fs::create_dir_all(&folder).unwrap();
            // A colour for each of the four patches.
            let colours: [[u8; 3]; 4] = random.random();
            let mut ppm = b"P6 17 17 255\n".to_vec();
            let pixels = (0..17 * 17).map(|at| (at / 17 / 8, at % 17 / 8));
            ppm.extend(pixels.flat_map(|(y, x)| colours[2 * y.min(1) + x.min(1)]));
            fs::write(folder.join(format!("{i}.ppm")), ppm).unwrap();
        }
        let templates = self.path("images/zeroshot_classification_templates.txt");
        fs::write(templates, "a {c}.\nthe {c} here\n").unwrap();
    }

    /// With `more` under `[checkpoints]`.
    fn inputs(&self, more: &str) -> Arc<Inputs> {
        let text = format!(
            "[checkpoints]\nzeroshot = 'zs.safetensors'\nfinetuned = 'ft.safetensors'\n{more}\n\
             [[datasets]]\nname = 'pets'\nrole = 'id'\npath = 'images'\n\
             [sweep]\nalphas = [0.0, 0.5, 1.0]\nbatch = 64\n"
        );
        self.write("spec.toml", &text);
        Arc::new(Inputs::open(Spec::load(&self.path("spec.toml")).unwrap()).unwrap())
    }

    /// A stored head that tells apart what differs from the mean image's features, and labels
    /// that are what the zero-shot end predicts with it: its activation is right.
    fn label_by_prediction(&self) {
        self.images(|_| WORDS[0]);
        let inputs = self.inputs("");
        let dataset = &inputs.datasets[0].dataset;
        let mut model = Model::load(&inputs.pair, Device::Cpu, Kind::Float).unwrap();
        model.set_point(Alpha::ZERO_SHOT, &Plan::default()).unwrap();
        let all: Vec<usize> = (0..dataset.len()).collect();
        let pixels = inputs.cache.pixels(DatasetId(0), dataset, &all).unwrap();
        let features = model.features(&pixels).unwrap();
        let mean = features.mean_dim(0, false, Kind::Float);
        let mut stored = head(4, WORDS.len(), true);
        let weight = Tensor::from_slice(&stored["classification_head.weight"].1);
        let weight = weight.view([WORDS.len() as i64, EMBED as i64]);
        let bias = -weight.matmul(&mean);
        let logits = features.matmul(&weight.tr()) + &bias;
        let bias = Vec::try_from(&bias).unwrap();
        stored.get_mut("classification_head.bias").unwrap().1 = bias;
        let best = Vec::<i64>::try_from(logits.argmax(1, false)).unwrap();
        let mut classes = [WORDS[0]; IMAGES];
        for (&image, best) in all.iter().zip(best) {
            let stem = Path::new(dataset.key(image)).file_stem().unwrap().to_str().unwrap();
            classes[stem.parse::<usize>().unwrap()] = WORDS[best as usize];
        }
        self.images(|i| classes[i]);
        self.write("words.txt", &WORDS.join("\n"));
        self.save(&stored);
    }
}

fn engine(inputs: &Arc<Inputs>) -> TorchEngine {
    TorchEngine::new(Arc::clone(inputs), DeviceChoice::Cpu).unwrap()
}

fn probe(inputs: &Arc<Inputs>) -> ActivationProbe {
    engine(inputs).probe_activation(&mut ()).unwrap().unwrap()
}

/// Hits at the zero-shot end, as a sweep counts them.
fn counted(inputs: &Arc<Inputs>, images: usize) -> usize {
    let mut engine = engine(inputs);
    engine.set_point(Alpha::ZERO_SHOT, &Variant::dense()).unwrap();
    let outcome = engine.evaluate(DatasetId(0), 0..images).unwrap();
    outcome.hit.iter().filter(|&&hit| hit).count()
}

fn labelled() -> Rig {
    let rig = Rig::new();
    rig.label_by_prediction();
    rig
}

const NAMED: &str = "head_classes = 'words.txt'";

#[test]
fn the_right_activation_is_confirmed_and_the_wrong_one_warned_of() {
    let rig = labelled();
    let right = probe(&rig.inputs(NAMED));
    assert_eq!((right.used, right.images), (Activation::QuickGelu, 256));
    assert!(right.correct >= 255 && right.gained <= 1 && right.lost > 15, "{right:?}");
    let (level, text) = right.notice();
    assert_eq!(level, Level::Info);
    assert!(text.starts_with("activation QuickGELU (open_clip_config.json): "), "{text}");
    assert!(!text.contains("undecided"), "{text}");

    rig.mislead();
    let wrong = probe(&rig.inputs(NAMED));
    assert_eq!(wrong.used, Activation::Gelu);
    assert_eq!((wrong.gained, wrong.lost), (right.lost, right.gained), "the same two, exchanged");
    assert_eq!(wrong.correct, counted(&rig.inputs(NAMED), 256), "as a sweep counts");
    let (level, text) = wrong.notice();
    assert_eq!(level, Level::Warning);
    assert!(text.contains("set `checkpoints.activation = \"quick_gelu\"`"), "{text}");
}

#[test]
fn the_spec_is_not_questioned() {
    let rig = labelled();
    let architecture = rig.path("open_clip_config.json").display().to_string();
    for more in [
        "activation = 'gelu'".into(),
        "activation = 'quick_gelu'".into(),
        "probe_activation = false".into(),
        format!("architecture = '{architecture}'"),
    ] {
        assert_eq!(
            engine(&rig.inputs(&format!("{NAMED}\n{more}"))).probe_activation(&mut ()).unwrap(),
            None,
            "{more}"
        );
    }
}

/// Zero-shot heads too are those of the other activation, and random weights know nothing.
#[test]
fn weights_that_know_nothing_decide_nothing() {
    let rig = Rig::new();
    rig.images(|i| WORDS[i % WORDS.len()]);
    let ours = probe(&rig.inputs(""));
    assert_eq!(ours.correct, counted(&rig.inputs(""), 256));
    rig.mislead();
    let others = probe(&rig.inputs(""));
    assert_eq!(others.correct, counted(&rig.inputs(""), 256));
    assert_eq!((ours.gained, ours.lost), (others.lost, others.gained));
    assert_eq!(ours.correct + ours.gained - ours.lost, others.correct);
    assert!(ours.gained + ours.lost > 0, "{ours:?} proves nothing");
    for (level, text) in [ours.notice(), others.notice()] {
        assert_eq!(level, Level::Info, "{text}");
        assert!(text.ends_with("undecided"), "{text}");
    }
}

#[test]
fn it_ends_between_batches() {
    struct After(usize);
    impl alphascope::sweep::engine::Steer for After {
        fn go_on(&mut self, done: f64) -> bool {
            assert!((0.0..=1.0).contains(&done));
            self.0 -= 1;
            self.0 > 0
        }
    }
    let rig = labelled();
    let inputs = rig.inputs(NAMED);
    // It asks at the beginning, and before each of eight steps.
    for after in 1..=9 {
        assert_eq!(engine(&inputs).probe_activation(&mut After(after)).unwrap(), None, "{after}");
    }
    assert!(engine(&inputs).probe_activation(&mut After(10)).unwrap().is_some());
}

#[test]
fn images_that_cannot_be_read_are_an_error_of_it_alone() {
    let rig = labelled();
    let inputs = rig.inputs(NAMED);
    let loaded = &inputs.datasets[0];
    let key = loaded.dataset.key(loaded.order[70]).to_string();
    fs::write(rig.path("images").join(&key), b"no picture").unwrap();
    let mut engine = engine(&inputs);
    let error = engine.probe_activation(&mut ()).unwrap_err().to_string();
    assert!(error.contains(&key), "{error}");
    engine.set_point(Alpha::ZERO_SHOT, &Variant::dense()).unwrap();
    assert!(engine.evaluate(DatasetId(0), 0..64).is_ok());
}

/// A run in a folder of its own.
fn run(inputs: &Arc<Inputs>, dir: &Path) -> SweepState {
    let alphas = inputs.spec.grid();
    let header: Header = inputs.header("test".into(), alphas, |n| rounds(n, 64));
    let own = Arc::clone(inputs);
    let make: EngineFactory =
        Box::new(move || Ok(Box::new(TorchEngine::new(own, DeviceChoice::Cpu)?)));
    let (outcome, state) = driven(dir, &header, &[], Shard::whole(), vec![make], |_, _| {});
    assert_eq!(outcome.unwrap(), Outcome::Complete);
    state
}

/// Counts and losses to the last bit; and a run that goes on says it no more.
#[test]
fn a_run_counts_the_same_with_and_without_it() {
    let rig = labelled();
    let [with, without] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let probed = run(&rig.inputs(NAMED), with.path());
    let plain = run(&rig.inputs(&format!("{NAMED}\nprobe_activation = false")), without.path());
    assert_eq!((probed.notices.len(), plain.notices.len()), (1, 0));
    assert_eq!(results(&probed), results(&plain));
    assert_eq!(run(&rig.inputs(NAMED), with.path()).notices.len(), 1);
}
