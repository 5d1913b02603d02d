//! Counted zeros, from the engine to the report: the journal, the JSON report, `merge` and the
//! merged file all say the same numbers.
#![cfg(feature = "torch")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // helpers of tests

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use alphascope::checkpoint::{Checkpoint, Dialect, Dtype, Overrides};
use alphascope::merge::{Request, Twin, merge};
use alphascope::sparsify::parse;
use alphascope::sweep::event::Event;
use alphascope::sweep::ids::{Alpha, AlphaId, VariantId};
use alphascope::sweep::journal;
use alphascope::sweep::spec::Variant;
use alphascope::sweep::state::SweepState;
use alphascope::sweep::zeros::{Sum, Zeros};
use serde_json::Value;
use tempfile::TempDir;

const ALPHAS: [&str; 3] = ["0", "0.4", "1"];

/// As `--sparsify` and as a spec has them.
const EDITS: [(&str, &str, &str); 3] = [
    ("prune", "block.2=magnitude:0.45", "layer = 'block.2', method = 'magnitude', amount = 0.45"),
    ("trim", "block.3.mlp=delta:0.3", "layer = 'block.3.mlp', method = 'delta', amount = 0.3"),
    ("proj", "visual.proj=2:4", "layer = 'visual.proj', method = 'n:m', n = 2, m = 4"),
];

fn demo() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/demo")
}

fn alphascope(home: &TempDir, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_alphascope"));
    command.args(args).current_dir(home.path()).env("HOME", home.path());
    for name in ["XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME"] {
        command.env(name, home.path().join(name));
    }
    let output = command.output().unwrap();
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    output
}

/// A few images of the demo's pair, with the variants of [`EDITS`].
fn spec() -> String {
    let demo = demo();
    let demo = demo.display();
    let mut text = format!(
        "[checkpoints]\nzeroshot = '{demo}/zeroshot.safetensors'\n\
         finetuned = '{demo}/finetuned.safetensors'\n\
         [sweep]\nalphas = [{}]\nbatch = 8\nprecision = 'fp32'\n",
        ALPHAS.join(", ")
    );
    for (name, role) in [("noto", "id"), ("fluent", "ood")] {
        text += &format!(
            "[[datasets]]\nname = '{name}'\nrole = '{role}'\npath = '{demo}/data/{name}/test'\n\
             limit = 12\n"
        );
    }
    for (name, _, edit) in EDITS {
        text += &format!("[[variants]]\nname = '{name}'\nsparsify = [{{ {edit} }}]\n");
    }
    text
}

fn swept() -> TempDir {
    let home = tempfile::tempdir().unwrap();
    std::fs::write(home.path().join("spec.toml"), spec()).unwrap();
    alphascope(&home, &["sweep", "spec.toml", "--out", "run", "--device", "cpu"]);
    home
}

/// What `merge` counts, and says; and a plain count of zeros in the file that it wrote.
fn merged(home: &TempDir, edit: &str, alpha: &str) -> Vec<Zeros> {
    let out = home.path().join("out.safetensors");
    let request = Request {
        zeroshot: demo().join("zeroshot.safetensors"),
        finetuned: demo().join("finetuned.safetensors"),
        overrides: Overrides::default(),
        alpha: Alpha::new(alpha.parse().unwrap()).unwrap(),
        variant: Variant { name: "merge".into(), sparsify: vec![parse(edit).unwrap()] },
        seed: 0,
        out: out.clone(),
        replace: true,
        dialect: Dialect::OpenClip,
        dtype: Dtype::F32,
        twin: Twin::LeaveOut,
    };
    let summary = merge(&request).unwrap();
    let mut zeros = summary.zeros.clone();
    zeros.sort_by(|a, b| a.tensor.cmp(&b.tensor));
    let file = Checkpoint::open(&out).unwrap();
    for it in &zeros {
        let values = file.get(&it.tensor).unwrap().to_f32();
        assert_eq!(it.total, values.len() as u64, "{}", it.tensor);
        let plain = values.iter().filter(|&&x| x == 0.0).count();
        assert_eq!(it.weights, plain as u64, "{edit} at {alpha}: {}", it.tensor);
    }
    zeros
}

#[test]
fn the_journal_the_report_and_merged_files_agree() {
    let home = swept();
    let events = journal::read(&home.path().join("run")).unwrap();
    let state = SweepState::replay(&events);
    let report = alphascope(&home, &["report", "run"]).stdout;
    let report: Value = serde_json::from_slice(&report).unwrap();
    for (i, (name, edit, _)) in EDITS.iter().enumerate() {
        let variant = VariantId(i + 1);
        let told = &report["variants"][i];
        assert_eq!(told["variant"], *name);
        for (k, alpha) in ALPHAS.iter().enumerate() {
            let expected = merged(&home, edit, alpha);
            assert!(!expected.is_empty());
            assert_eq!(state.zeros(variant, AlphaId(k)).unwrap(), expected, "{name} at {alpha}");
            let at = &told["zeros"][k];
            let sum = Sum::of(&expected);
            assert_eq!(at["alpha"].as_f64(), alpha.parse().ok());
            assert_eq!(at["total"], sum.total);
            assert_eq!(at["weights"], sum.weights);
            assert_eq!(at["differences"], sum.differences);
            assert_eq!(at["fraction"].as_f64(), sum.fraction());
            let tensors: Vec<Zeros> = serde_json::from_value(at["tensors"].clone()).unwrap();
            assert_eq!(tensors, expected);
        }
        assert_eq!(told["zeros"].as_array().unwrap().len(), ALPHAS.len());
    }
}

/// Once for each variant and α, before its first result there; a run that goes on counts
/// nothing again, and one of an older version what it measures.
#[test]
fn zeros_are_counted_once_and_before_the_first_result() {
    let home = swept();
    let path = home.path().join("run/events.jsonl");
    let text = std::fs::read_to_string(&path).unwrap();
    let events = journal::read(&home.path().join("run")).unwrap();
    let (mut counted, mut measured) = (Vec::new(), Vec::new());
    for event in &events {
        match event {
            Event::Sparsified { variant, alpha, .. } => {
                assert!(!counted.contains(&(*variant, *alpha)), "twice");
                assert!(!measured.contains(&(*variant, *alpha)), "too late");
                counted.push((*variant, *alpha));
            }
            Event::Measured(it) => measured.push((it.cell.variant, it.cell.alpha)),
            _ => {}
        }
    }
    assert_eq!(counted.len(), EDITS.len() * ALPHAS.len());
    assert!(measured.iter().all(|it| it.0 == VariantId::DENSE || counted.contains(it)));

    let resumed = |lines: Vec<&str>| {
        std::fs::write(&path, lines.concat()).unwrap();
        alphascope(&home, &["sweep", "--resume", "--out", "run", "--device", "cpu"]);
        let events = journal::read(&home.path().join("run")).unwrap();
        let all = events.iter().filter(|it| matches!(it, Event::Sparsified { .. })).count();
        (SweepState::replay(&events), all)
    };
    let is_count = |line: &&str| line.contains("\"event\":\"sparsified\"");
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    // Stopped right after a count, before the result that it belongs to.
    let last = lines.iter().rposition(is_count).unwrap();
    let whole = SweepState::replay(&events);
    let (state, all) = resumed(lines[..=last].to_vec());
    assert_eq!(all, counted.len());
    let zeros = |state: &SweepState| {
        let of = |(variant, alpha)| state.zeros(variant, alpha).map(<[Zeros]>::to_vec);
        counted.iter().copied().map(of).collect::<Vec<_>>()
    };
    assert_eq!(zeros(&state), zeros(&whole));
    // A journal of a version that did not count, with all of its results: replays, and owes
    // nothing.
    let (state, all) = resumed(lines.iter().copied().filter(|line| !is_count(line)).collect());
    assert_eq!((all, state.counted().count(), state.ignored), (0, 0, 0));
    assert!(state.is_complete());
}
