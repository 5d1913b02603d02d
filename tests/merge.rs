//! Merged checkpoints: what the engine measures at a point of a variant, as a file.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // helpers of tests
#![cfg(feature = "torch")]

mod world;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use alphascope::checkpoint::{self, Checkpoint, Dialect, Dtype, Overrides};
use alphascope::inputs::Inputs;
use alphascope::merge::{MergeError, Request, Twin, merge};
use alphascope::sparsify::{Plan, parse};
use alphascope::sweep::engine::{BatchOutcome, Engine};
use alphascope::sweep::ids::{Alpha, DatasetId};
use alphascope::sweep::spec::{Spec, Variant};
use alphascope::torch::device::DeviceChoice;
use alphascope::torch::engine::TorchEngine;
use alphascope::torch::heads::{ClassPrompts, twin};
use alphascope::torch::model::Model;
use assert_cmd::Command;
use rstest::rstest;
use tch::{Device, Kind};
use world::{CLASSES, Weights, World, head, image_tower, point, text_tower, world};

fn variant(edits: &[&str]) -> Variant {
    let sparsify = edits.iter().map(|text| parse(text).unwrap()).collect();
    Variant { name: "v".into(), sparsify }
}

fn request(world: &World, alpha: f64, variant: &Variant, out: &str) -> Request {
    let at = |name: &str| world.folder.path().join(name);
    Request {
        zeroshot: at("zs.safetensors"),
        finetuned: at("ft.safetensors"),
        overrides: Overrides::default(),
        alpha: Alpha::new(alpha).unwrap(),
        variant: variant.clone(),
        seed: 0,
        out: at(out),
        replace: false,
        dialect: Dialect::OpenClip,
        dtype: Dtype::F32,
        twin: Twin::Unknown,
    }
}

/// The engine on a single file: both ends are it.
fn alone(world: &World, file: &Path) -> TorchEngine {
    let mut spec: Spec = Spec::load(&world.folder.path().join("spec.toml")).unwrap();
    spec.checkpoints.zeroshot = file.into();
    spec.checkpoints.finetuned = file.into();
    TorchEngine::new(Arc::new(Inputs::open(spec).unwrap()), DeviceChoice::Cpu).unwrap()
}

fn measure(engine: &mut TorchEngine, alpha: f64, variant: &Variant) -> BatchOutcome {
    engine.set_point(point(alpha), variant).unwrap();
    engine.evaluate(DatasetId(0), 0..24).unwrap()
}

/// Where libtorch's CPU kernels round a product and a sum once, as the merge does.
fn fused() -> bool {
    #[cfg(target_arch = "x86_64")]
    return is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
    #[cfg(not(target_arch = "x86_64"))]
    return cfg!(target_arch = "aarch64");
}

fn same(a: &BatchOutcome, b: &BatchOutcome) {
    if fused() {
        assert_eq!(a, b, "bit for bit");
    }
    assert!(a.loss.iter().zip(&b.loss).all(|(a, b)| (a - b).abs() < 1e-4));
}

#[rstest]
fn the_file_is_what_the_engine_measures(
    #[values(Dialect::OpenClip, Dialect::HuggingFace)] dialect: Dialect,
    #[values(-0.25, 0.3, 1.0)] alpha: f64,
    #[values(
        &[],
        &["block.0=magnitude:0.5", "head=2:4"],
        &["block.1=delta:0.9", "block.2=dare:0.5", "stem=reset"]
    )]
    edits: &[&str],
) {
    let world = world(&[image_tower(1), text_tower(3)], &[image_tower(2)]);
    let variant = variant(edits);
    let mut engine = world::engine(&world);
    let expected = measure(&mut engine, alpha, &variant);
    let asked = Request { dialect, ..request(&world, alpha, &variant, "out.safetensors") };
    let summary = merge(&asked).unwrap();
    let file = Checkpoint::open(&asked.out).unwrap();
    assert_eq!(file.dialect(), dialect);
    assert_eq!(summary.bytes, file.bytes());
    assert!(file.names().any(|name| name == "logit_scale"));
    same(&measure(&mut alone(&world, &asked.out), 0.0, &Variant::dense()), &expected);
    // The counts are the engine's.
    let mut zeros = summary.zeros;
    zeros.sort_by(|a, b| a.tensor.cmp(&b.tensor));
    assert_eq!(zeros, engine.zeros(point(alpha), &variant).unwrap());
}

#[test]
fn stored_heads_go_along() {
    let world = world(
        &[image_tower(1), text_tower(3), head(4, 6, false)],
        &[image_tower(2), head(5, 6, true)],
    );
    let variant = variant(&["head=magnitude:0.3"]);
    let expected = measure(&mut world::engine(&world), 0.4, &variant);
    for dialect in [Dialect::OpenClip, Dialect::HuggingFace] {
        let out = format!("{dialect}.safetensors");
        let asked = Request { dialect, ..request(&world, 0.4, &variant, &out) };
        let summary = merge(&asked).unwrap();
        let file = Checkpoint::open(&asked.out).unwrap();
        for name in ["classification_head.weight", "classification_head.bias"] {
            assert!(file.has(name) && file.mapping()[name].sources() == [name]);
        }
        assert!(file.has_text(), "the text tower is the zero-shot file's");
        assert!(summary.notices.iter().any(|notice| notice.contains("no text tower")));
        same(&measure(&mut alone(&world, &asked.out), 0.0, &Variant::dense()), &expected);
    }
    let asked = Request {
        twin: Twin::LeaveOut,
        ..request(&world, 0.4, &Variant::dense(), "bare.safetensors")
    };
    merge(&asked).unwrap();
    assert!(!Checkpoint::open(&asked.out).unwrap().has("classification_head.weight"));
}

#[test]
fn a_head_at_one_end_needs_its_classes_elsewhere() {
    let world = world(&[image_tower(1), text_tower(3)], &[image_tower(2), head(5, 6, true)]);
    let dense = Variant::dense();
    // At the end that stores it nothing is missing.
    merge(&request(&world, 1.0, &dense, "one.safetensors")).unwrap();
    let between = request(&world, 0.4, &dense, "between.safetensors");
    let summary = merge(&between).unwrap();
    assert!(summary.notices.iter().any(|notice| notice.contains("--head-classes")));
    assert!(!Checkpoint::open(&between.out).unwrap().has("classification_head.weight"));
    fs::remove_file(&between.out).unwrap();
    let edited = Request { variant: variant(&["head=magnitude:0.5"]), ..between.clone() };
    let error = merge(&edited).unwrap_err();
    assert!(matches!(error, MergeError::Head { with: "fine-tuned", classes: 6, .. }));
    assert!(error.to_string().contains("--head-classes"), "{error}");
    let wrong = Request { twin: Twin::Weight(vec![0.0; 5]), ..between.clone() };
    assert!(matches!(merge(&wrong).unwrap_err(), MergeError::TwinSize { expected: 36, got: 5 }));
    assert!(!between.out.exists());

    let templates = ["a {c}.".to_string(), "the {c} here".to_string()];
    let weight = twin(&world.inputs.pair, &CLASSES.map(String::from), &templates).unwrap();
    merge(&Request { twin: Twin::Weight(weight), ..between.clone() }).unwrap();
    let expected = measure(&mut world::engine(&world), 0.4, &dense);
    same(&measure(&mut alone(&world, &between.out), 0.0, &dense), &expected);
}

#[test]
fn text_towers_that_move_are_merged_too() {
    let world = world(&[image_tower(1), text_tower(3)], &[image_tower(2), text_tower(6)]);
    for edits in [&[][..], &["text.block.1=delta:0.5", "text.head=magnitude:0.5"]] {
        let variant = variant(edits);
        let expected = measure(&mut world::engine(&world), 0.6, &variant);
        let asked = request(&world, 0.6, &variant, &format!("{}.safetensors", edits.len()));
        merge(&asked).unwrap();
        same(&measure(&mut alone(&world, &asked.out), 0.0, &Variant::dense()), &expected);
    }
}

#[test]
fn logit_scales_that_move_are_merged_too() {
    let faster = Weights::from([("logit_scale".to_string(), (vec![], vec![80.0_f32.ln()]))]);
    let world = world(&[image_tower(1), text_tower(3)], &[image_tower(2), faster]);
    for alpha in [0.25, 1.0] {
        let expected = measure(&mut world::engine(&world), alpha, &Variant::dense());
        let asked = request(&world, alpha, &Variant::dense(), &format!("{alpha}.safetensors"));
        merge(&asked).unwrap();
        let scale = Checkpoint::open(&asked.out).unwrap().get("logit_scale").unwrap().to_f32();
        let moved = 20.0_f32.ln() + alpha as f32 * 4.0_f32.ln();
        assert!((scale[0] - moved).abs() < 1e-5, "{scale:?} {moved}");
        let got = measure(&mut alone(&world, &asked.out), 0.0, &Variant::dense());
        assert_eq!(got.hit, expected.hit);
        assert!(got.loss.iter().zip(&expected.loss).all(|(a, b)| (a - b).abs() < 1e-4));
    }
}

#[test]
fn logit_scales_that_a_sweep_refuses_are_refused() {
    for (shape, values) in [(vec![], vec![60000.0_f32]), (vec![2], vec![1.0, 2.0])] {
        let odd = Weights::from([("logit_scale".to_string(), (shape, values))]);
        let world = world(&[image_tower(1), text_tower(3)], &[image_tower(2)]);
        world::save(&world.folder.path().join("ft.safetensors"), &[image_tower(2), odd]);
        let asked = request(&world, 0.5, &Variant::dense(), "out.safetensors");
        let error = merge(&asked).unwrap_err().to_string();
        assert!(error.contains("ft.safetensors") && error.contains("logit_scale"), "{error}");
        assert!(!asked.out.exists());
    }
}

#[test]
fn other_types_are_rounded_once() {
    let world = world(&[image_tower(1), text_tower(3)], &[image_tower(2)]);
    let dense = Variant::dense();
    let exact = request(&world, 0.3, &dense, "f32.safetensors");
    merge(&exact).unwrap();
    let exact = Checkpoint::open(&exact.out).unwrap();
    for dtype in [Dtype::F16, Dtype::Bf16] {
        let out = format!("{}.safetensors", dtype.name());
        let asked = Request { dtype, ..request(&world, 0.3, &dense, &out) };
        merge(&asked).unwrap();
        let file = Checkpoint::open(&asked.out).unwrap();
        for name in exact.names() {
            let (a, b) = (exact.get(name).unwrap().to_f32(), file.get(name).unwrap().to_f32());
            let rounded = |x: f32| match dtype {
                Dtype::F16 => half::f16::from_f32(x).to_f32(),
                _ => half::bf16::from_f32(x).to_f32(),
            };
            assert_eq!(a.into_iter().map(rounded).collect::<Vec<_>>(), b, "{name}");
        }
    }
}

#[test]
fn the_file_says_where_it_is_from() {
    let world = world(&[image_tower(1), text_tower(3)], &[image_tower(2)]);
    let edits = variant(&["block.1=dare:0.5", "visual.proj=2:4"]);
    let asked = Request { seed: 9, ..request(&world, 0.35, &edits, "out.safetensors") };
    merge(&asked).unwrap();
    let file = Checkpoint::open(&asked.out).unwrap();
    let said = file.metadata();
    let blake = |path: &Path| blake3::hash(&fs::read(path).unwrap()).to_hex().to_string();
    for (key, value) in [
        ("format", "pt"),
        ("alphascope", env!("CARGO_PKG_VERSION")),
        ("alphascope.alpha", "0.35"),
        ("alphascope.sparsify", "block.1=dare:0.5 visual.proj=2:4"),
        ("alphascope.seed", "9"),
        ("alphascope.zeroshot", "zs.safetensors"),
        ("alphascope.zeroshot.blake3", &blake(&asked.zeroshot)),
        ("alphascope.finetuned.blake3", &blake(&asked.finetuned)),
    ] {
        assert_eq!(said[key], value, "{key}");
    }
}

/// Whichever names it has, the file needs no configuration beside it; and what was
/// only assumed is not made certain.
#[rstest]
fn the_file_tells_what_tensors_do_not(
    #[values(Dialect::OpenClip, Dialect::HuggingFace)] dialect: Dialect,
) {
    let world = world(&[image_tower(1), text_tower(3)], &[image_tower(2)]);
    let config = world.folder.path().join("model.json").display().to_string();
    let overrides = Overrides { architecture: Some(config), ..Overrides::default() };
    let dense = Variant::dense();
    let asked = Request { dialect, overrides, ..request(&world, 0.5, &dense, "out.safetensors") };
    assert_eq!(merge(&asked).unwrap().notices.len(), 2, "text tower and logit scale, nothing else");
    let elsewhere = tempfile::tempdir().unwrap();
    let moved = elsewhere.path().join("moved.safetensors");
    fs::rename(&asked.out, &moved).unwrap();
    let it = checkpoint::describe(&moved).unwrap();
    assert_eq!((it.problem, it.notices), (None, vec![]));
    let (own, expected) = (it.architecture.unwrap(), &world.inputs.pair.architecture);
    assert_eq!((&own.image, &own.text), (&expected.image, &expected.text));
    assert_eq!(own.activation, expected.activation);
    assert_eq!((own.mean, own.std), (expected.mean, expected.std));
    // Nobody knows: said, and the file does not pretend.
    let asked = Request { dialect, ..request(&world, 0.5, &dense, "unknown.safetensors") };
    let said = merge(&asked).unwrap().notices.join("\n");
    assert!(said.contains("does not tell its heads"), "{said}");
    let file = Checkpoint::open(&asked.out).unwrap();
    assert!(checkpoint::config::KEYS.iter().all(|key| !file.metadata().contains_key(*key)));
}

fn alphascope(world: &World) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_alphascope"));
    command.current_dir(world.folder.path());
    command.args(["merge", "--zeroshot", "zs.safetensors", "--finetuned", "ft.safetensors"]);
    command
}

#[test]
fn the_command_writes_and_refuses() {
    let world = world(&[image_tower(1), text_tower(3)], &[image_tower(2)]);
    let listed = || -> BTreeSet<_> {
        fs::read_dir(world.folder.path()).unwrap().map(|it| it.unwrap().file_name()).collect()
    };
    let before = listed();
    fs::write(world.folder.path().join("taken.safetensors"), "mine").unwrap();
    let cases: [(&[&str], &str); 13] = [
        (&["--alpha", "0.5", "-o", "m.txt"], "ends in .safetensors"),
        (&["--alpha", "0.5", "-o", "m"], "ends in .safetensors"),
        (&["--alpha", "nan", "-o", "x.safetensors"], "finite"),
        (&["--alpha", "half", "-o", "x.safetensors"], "expected a number"),
        (&["--alpha", "0.5", "-o", "taken.safetensors"], "it exists"),
        (&["--alpha", "0.5", "-o", "no/x.safetensors"], "no folder"),
        (&["--alpha", "0.5", "-o", "x.safetensors", "--sparsify", "blok.1=reset"], "`block.1`"),
        (
            &["--alpha", "0.5", "-o", "x.safetensors", "--sparsify", "block.1=delta:2"],
            "[0, 1], got 2",
        ),
        (&["--alpha", "0.5", "-o", "x.safetensors", "--sparsify", "block.1=delta"], "an amount"),
        (&["--alpha", "0.5", "-o", "x.safetensors", "--sparsify", "block.1=trim:1"], "magnitude"),
        (&["--alpha", "0.5", "-o", "x.safetensors", "--dtype", "f8"], "f8"),
        (&["--alpha", "0.5", "-o", "x.safetensors", "--dialect", "jax"], "jax"),
        (&["--alpha", "1e30", "-o", "x.safetensors", "--dtype", "f16"], "no finite number"),
    ];
    for (arguments, words) in cases {
        let run = alphascope(&world).args(arguments).assert().code(2);
        let said = String::from_utf8(run.get_output().stderr.clone()).unwrap();
        assert!(said.contains(words), "{arguments:?}: {said}");
    }
    assert_eq!(fs::read(world.folder.path().join("taken.safetensors")).unwrap(), b"mine");
    fs::remove_file(world.folder.path().join("taken.safetensors")).unwrap();
    assert_eq!(listed(), before, "nothing is left behind");

    let run = alphascope(&world)
        .args(["--alpha", "-0.5", "-o", "x.safetensors", "--dialect", "hf", "--dtype", "bf16"])
        .args(["--sparsify", "block.1=delta:0.5", "--sparsify", "head=magnitude:0.25"])
        .assert()
        .code(0);
    let said = String::from_utf8(run.get_output().stdout.clone()).unwrap();
    for part in [
        "wrote x.safetensors: θ(-0.5)",
        "Hugging Face naming, bf16",
        "sparse  block.1=delta:0.5",
        "visual.proj: 12 of 48 are 0",
    ] {
        assert!(said.contains(part), "{said}");
    }
    let file = Checkpoint::open(&world.folder.path().join("x.safetensors")).unwrap();
    assert_eq!(file.dtype("visual.proj"), Some(Dtype::Bf16));
}

#[test]
fn the_command_makes_the_missing_head() {
    let world = world(&[image_tower(1), text_tower(3)], &[image_tower(2), head(5, 6, true)]);
    fs::write(world.folder.path().join("classes.txt"), CLASSES.join("\n")).unwrap();
    // The towers' dimensions have no known name: heads and activation are said beside the file.
    fs::rename(
        world.folder.path().join("model.json"),
        world.folder.path().join("open_clip_config.json"),
    )
    .unwrap();
    let args = ["--alpha", "0.5", "-o", "x.safetensors", "--head-classes", "classes.txt"];
    alphascope(&world).args(args).assert().code(0);
    let file = Checkpoint::open(&world.folder.path().join("x.safetensors")).unwrap();
    assert_eq!(file.shape("classification_head.weight"), Some(&[6, 6][..]));
}

#[derive(serde::Deserialize)]
struct Reference {
    template: String,
    cases: Vec<Case>,
}

#[derive(serde::Deserialize)]
struct Case {
    alpha: f64,
    sparsify: Vec<String>,
    logits: Vec<Vec<f64>>,
}

/// open_clip's logits of the demo's θ(α), edited there by plain code; its maker holds merged files
/// to the same numbers in open_clip and in transformers.
#[test]
fn the_demos_variants_give_open_clips_logits() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(root.join("tests/fixtures/merge.json")).unwrap();
    let reference: Reference = serde_json::from_str(&text).unwrap();
    let spec = Spec::load(&root.join("assets/demo/demo.toml")).unwrap();
    let inputs = Inputs::open(spec).unwrap();
    let dataset = &inputs.datasets[0].dataset;
    let mut model = Model::load(&inputs.pair, Device::Cpu, Kind::Float).unwrap();
    let list = ClassPrompts::of(
        &inputs.pair.architecture,
        dataset.classes(),
        std::slice::from_ref(&reference.template),
    )
    .unwrap();
    assert!(reference.cases.len() >= 5);
    for Case { alpha, sparsify, logits } in &reference.cases {
        let edits: Vec<&str> = sparsify.iter().map(String::as_str).collect();
        let plan = Plan::of(&inputs.pair, &variant(&edits), 0).unwrap();
        model.set_point(point(*alpha), &plan).unwrap();
        let first: Vec<usize> = (0..logits.len()).collect();
        let pixels = inputs.cache.pixels(DatasetId(0), dataset, &first).unwrap();
        let features = model.features(&pixels).unwrap();
        let head = model.zero_shot_head(point(*alpha), &plan, &list).unwrap();
        let got = head.logits(&features).unwrap();
        let got = Vec::<f32>::try_from(got.contiguous().view(-1)).unwrap();
        let expected: Vec<f64> = logits.concat();
        assert_eq!(got.len(), expected.len());
        for (got, expected) in got.iter().zip(&expected) {
            assert!((f64::from(*got) - expected).abs() < 2e-3, "{got} {expected} {edits:?}");
        }
    }
}
