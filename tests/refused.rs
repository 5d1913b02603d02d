//! What must be refused or told, and never believed: damaged first lines, parts
//! of a run, files that never end, names that are no text.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // helpers of tests

use std::ffi::{OsStr, OsString};
use std::io::{BufRead, BufReader};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

/// A home of its own for the programs of one test.
struct Home(TempDir);

impl Home {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn command<S: AsRef<OsStr>>(&self, args: &[S]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_alphascope"));
        command.args(args).current_dir(self.0.path()).env("HOME", self.0.path());
        for name in ["XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME"] {
            command.env(name, self.path(name));
        }
        command.stdin(Stdio::null());
        command
    }

    /// Exit code, stdout, stderr.
    fn run<S: AsRef<OsStr>>(&self, args: &[S]) -> (i32, String, String) {
        let out = self.command(args).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (out.status.code().unwrap_or(-1), text(&out.stdout), text(&out.stderr))
    }

    /// A demo sweep of the pretend engine.
    fn sweep(&self, more: &[&str]) -> (i32, String, String) {
        let head = ["sweep", "--sim", "--sim-ms", "0", "--out", "runs/run"];
        self.run(&[&head[..], more].concat())
    }

    fn measured(self) -> Self {
        let (code, _, said) = self.sweep(&["--demo"]);
        assert_eq!(code, 0, "{said}");
        self
    }

    fn journal(&self) -> String {
        std::fs::read_to_string(self.path("runs/run/events.jsonl")).unwrap()
    }

    fn write_journal(&self, text: &str) {
        std::fs::write(self.path("runs/run/events.jsonl"), text).unwrap();
    }

    /// What `runs` says of the run.
    fn listed(&self) -> Value {
        let (code, text, said) = self.run(&["runs", "--runs", "runs", "--json"]);
        assert_eq!(code, 0, "{said}");
        let value: Value = serde_json::from_str(&text).unwrap();
        value["runs"][0].clone()
    }

    fn report(&self) -> Value {
        let (code, text, said) = self.run(&["report", "runs/run"]);
        assert_eq!(code, 0, "{said}");
        serde_json::from_str(&text).unwrap()
    }
}

fn pipe(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

/// A field, and what is done to the header that has it.
type Damage<'a> = (&'a str, &'a dyn Fn(&mut Value));

/// The header still is JSON, and no more what the run is.
#[test]
fn a_damaged_header_is_never_believed() {
    let home = Home::new().measured();
    let whole = home.journal();
    let (first, rest) = whole.split_once('\n').unwrap();
    let header: Value = serde_json::from_str(first).unwrap();
    let with = |change: &dyn Fn(&mut Value)| {
        let mut header = header.clone();
        change(&mut header);
        home.write_journal(&format!("{header}\n{rest}"));
    };
    // What makes no sense by itself is told by who reads, and by who goes on.
    let senseless: [Damage; 6] = [
        ("`alphas`", &|it| it["alphas"] = json!([0, 0, 0])),
        ("`alphas`", &|it| it["alphas"] = json!([])),
        ("`datasets`", &|it| it["datasets"] = json!([])),
        ("`datasets[0].rounds`", &|it| it["datasets"][0]["rounds"] = json!([9, 8])),
        ("`datasets[1].rounds`", &|it| {
            it["datasets"][1]["images"] = json!(1_000_000_000_000_000_000_u64);
        }),
        ("later version", &|it| it["schema"] = json!(2)),
    ];
    for (field, change) in senseless {
        with(change);
        for (code, _, said) in [home.sweep(&["--resume"]), home.run(&["report", "runs/run"])] {
            assert_eq!(code, 2, "{field}: {said}");
            assert!(said.contains("makes no sense") && said.contains(field), "{field}: {said}");
        }
        let listed = home.listed();
        assert_eq!(listed["state"], "damaged", "{field}");
        assert!(listed["note"].as_str().unwrap().contains(field), "{listed}");
    }
    // What only the inputs can tell is told by who goes on.
    let untrue: [Damage; 6] = [
        ("`alphas`", &|it| it["alphas"] = json!([0.0, 0.5, 1.0])),
        ("`datasets[0].classes`", &|it| it["datasets"][0]["classes"] = json!(3)),
        ("`datasets[2].role`", &|it| it["datasets"][2]["role"] = json!("id")),
        ("`seed`", &|it| it["seed"] = json!(7)),
        ("`layers[0].name`", &|it| it["layers"][0]["name"] = json!("cellar")),
        ("`datasets[0].rounds`", &|it| {
            let images = it["datasets"][0]["images"].clone();
            it["datasets"][0]["rounds"] = json!([images]);
        }),
    ];
    for (field, change) in untrue {
        with(change);
        let before = home.journal();
        let (code, _, said) = home.sweep(&["--resume"]);
        assert_eq!(code, 2, "{field}: {said}");
        assert!(said.contains("the first line of its journal is damaged"), "{field}: {said}");
        assert!(said.contains(field) && said.contains("copy"), "{field}: {said}");
        assert_eq!(home.journal(), before, "nothing is written");
    }
    home.write_journal(&whole);
    assert_eq!(home.sweep(&["--resume"]).0, 0);
}

#[test]
fn a_part_of_a_run_is_not_called_complete() {
    let home = Home::new();
    let (code, _, said) = home.sweep(&["--demo", "--shard", "1/2"]);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("this part is complete"), "{said}");
    let listed = home.listed();
    assert_eq!((&listed["state"], &listed["ended"]), (&json!("stopped"), &Value::Null));
    assert!(listed["note"].as_str().unwrap().contains("2/2 is not there"), "{listed}");
    assert_eq!(home.report()["header"]["outcome"], Value::Null);
    let (_, _, told) = home.run(&["report", "runs/run"]);
    assert!(told.contains("only a part of the run is in this folder (1/2): 2/2"), "{told}");
    let (code, _, said) = home.sweep(&["--demo", "--shard", "2/2"]);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("\ncomplete in"), "{said}");
    let listed = home.listed();
    assert_eq!((&listed["state"], &listed["note"]), (&json!("complete"), &Value::Null));
    assert_eq!(home.report()["header"]["outcome"], "complete");
    // One after the other may part it otherwise, and is told.
    let (code, _, said) = home.sweep(&["--demo", "--shard", "1/3"]);
    assert_eq!(code, 0, "{said}");
    let (_, _, told) = home.run(&["report", "runs/run"]);
    assert!(told.contains("in parts that overlap (1/2, 1/3, 2/2)"), "{told}");
    assert_eq!(home.report()["header"]["outcome"], "complete");
}

/// Whole and part at once, or parts of two counts, would measure cells twice.
#[test]
fn parts_that_overlap_do_not_write_at_once() {
    for (first, second, words) in [
        (&[][..], &["--shard", "1/2", "--resume"][..], ["as a whole", "in 2 parts"]),
        (&["--shard", "1/2"][..], &["--resume"][..], ["in 2 parts", "as a whole"]),
        (&["--shard", "1/2"][..], &["--shard", "1/3"][..], ["in 2 parts", "in 3 parts"]),
    ] {
        let home = Home::new();
        let args = ["sweep", "--demo", "--sim", "--sim-ms", "50", "--json", "--out", "runs/run"];
        let mut child =
            home.command(&[&args[..], first].concat()).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        lines.find(|line| line.as_ref().unwrap().contains("\"started\"")).unwrap().unwrap();
        let demo = if second.contains(&"--resume") { &[][..] } else { &["--demo"][..] };
        let (code, _, said) = home.sweep(&[second, demo].concat());
        assert_eq!(code, 2, "{said}");
        assert!(words.iter().all(|it| said.contains(it)), "{said}");
        assert!(said.contains("the same cells twice"), "{said}");
        child.kill().unwrap();
        child.wait().unwrap();
        // The dead are in nobody's way.
        let (code, _, said) = home.sweep(&[second, demo].concat());
        assert_eq!(code, 0, "{said}");
    }
}

#[test]
fn results_that_the_run_has_no_place_for_are_counted_and_told() {
    let home = Home::new().measured();
    let whole = home.journal();
    let line = whole.lines().find(|it| it.contains("\"measured\"")).unwrap();
    let mut odd: Value = serde_json::from_str(line).unwrap();
    odd["cell"]["alpha"] = json!(77);
    home.write_journal(&format!("{whole}{odd}\n"));
    let told = "1 line of the run's journal is a result of a point, dataset";
    let (_, _, said) = home.run(&["report", "runs/run"]);
    assert!(said.contains(told), "{said}");
    let (code, _, said) = home.sweep(&["--resume"]);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains(told), "{said}");
    assert!(
        home.listed()["note"].as_str().unwrap().contains("1 line of its journal is damaged"),
        "{}",
        home.listed()
    );
}

#[test]
fn a_journal_of_line_breaks_is_none() {
    let home = Home::new().measured();
    home.write_journal("\n\n");
    let (code, _, said) = home.sweep(&["--resume"]);
    assert_eq!(code, 0, "{said}");
    assert!(home.journal().starts_with("{\"event\":\"header\""));
    assert_eq!(home.listed()["state"], "complete");
}

/// Each of these would wait for ever, or read until no memory is left.
#[test]
fn what_never_ends_is_not_read() {
    for name in ["events.jsonl", "events.owner", "events.lock", "spec.toml", "run.log"] {
        let home = Home::new().measured();
        let path = home.path("runs/run").join(name);
        std::fs::remove_file(&path).unwrap_or(());
        pipe(&path);
        home.run(&["runs", "--runs", "runs"]);
        home.run(&["report", "runs/run"]);
        let (code, _, said) = home.sweep(&["--resume"]);
        if name == "run.log" {
            assert_eq!(code, 0, "a log is no reason to fail: {said}");
        } else {
            assert_eq!(code, 2, "{name}: {said}");
            assert!(said.contains("a pipe") && said.contains(name), "{name}: {said}");
        }
    }
    let home = Home::new();
    pipe(&home.path("spec.toml"));
    let (code, _, said) = home.run(&["sweep", "spec.toml"]);
    assert!(code == 2 && said.contains("a pipe"), "{said}");
    let config = home.path("XDG_CONFIG_HOME/alphascope");
    std::fs::create_dir_all(&config).unwrap();
    std::os::unix::fs::symlink("/dev/zero", config.join("config.toml")).unwrap();
    let (code, _, said) = home.run(&["devices"]);
    assert!(code == 0 && said.contains("device"), "{said}");
    std::fs::remove_file(config.join("config.toml")).unwrap();
    pipe(&config.join("config.toml"));
    let (code, _, said) = home.run(&["devices"]);
    assert!(code == 0 && said.contains("a pipe"), "{said}");
}

/// JSON is text: what of a path is none is replaced, and nothing fails.
#[test]
fn names_that_are_no_text_are_told_in_json() {
    let home = Home::new().measured();
    let odd = OsStr::from_bytes(b"b\xffd");
    std::fs::rename(home.path("runs"), home.0.path().join(odd)).unwrap();
    std::fs::rename(home.0.path().join(odd).join("run"), home.0.path().join(odd).join(odd))
        .unwrap();
    let args: Vec<OsString> =
        [b"runs".to_vec(), b"--runs".to_vec(), b"b\xffd".to_vec(), b"--json".to_vec()]
            .map(OsString::from_vec)
            .into();
    let (code, text, said) = home.run(&args);
    assert_eq!(code, 0, "{said}");
    let value: Value = serde_json::from_str(&text).unwrap();
    let name = "b\u{fffd}d";
    assert_eq!(value["runs"][0]["name"], name);
    assert!(value["folder"].as_str().unwrap().ends_with(name), "{value}");
    assert!(value["runs"][0]["path"].as_str().unwrap().ends_with(name), "{value}");
    let assets = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/demo");
    let set = home.0.path().join(OsStr::from_bytes(b"s\xfft"));
    std::os::unix::fs::symlink(assets.join("data/noto"), &set).unwrap();
    let set = set.join("test");
    let file = home.0.path().join(OsStr::from_bytes(b"w\xff.safetensors"));
    std::fs::copy(assets.join("zeroshot.safetensors"), &file).unwrap();
    for (command, path) in [("data", &set), ("inspect", &file)] {
        let (code, text, said) =
            home.run(&[OsStr::new(command), path.as_os_str(), OsStr::new("--json")]);
        assert_eq!(code, 0, "{command}: {said}");
        let value: Value = serde_json::from_str(&text).unwrap();
        assert!(value["path"].as_str().unwrap().contains('\u{fffd}'), "{command}");
    }
}

#[test]
fn a_folder_of_runs_that_is_named_must_be_there() {
    let home = Home::new();
    let (code, text, said) = home.run(&["runs", "--runs", "nowhere"]);
    assert_eq!((code, text.as_str()), (2, ""));
    assert!(said.contains("nowhere") && said.contains("--runs"), "{said}");
    // Where nobody named one, none may have been made yet.
    let (code, text, _) = home.run(&["runs"]);
    assert!(code == 0 && text.starts_with("no runs in"), "{text}");
}

#[test]
fn a_link_among_the_runs_is_as_old_as_it_is() {
    let home = Home::new();
    std::fs::create_dir(home.path("runs")).unwrap();
    std::os::unix::fs::symlink("/nowhere", home.path("runs/link")).unwrap();
    let (_, text, _) = home.run(&["runs", "--runs", "runs"]);
    assert!(text.contains("a symbolic link") && !text.contains("days"), "{text}");
}

#[test]
fn too_many_points_are_a_slip_of_the_hand() {
    let home = Home::new();
    let list: Vec<String> = (0..1002).map(|i| format!("{}", f64::from(i) / 1001.0)).collect();
    for (alphas, field) in [
        (format!("[{}]", list.join(", ")), "`sweep.alphas`"),
        ("{ from = 0.0, to = 1.0, steps = 1002 }".into(), "`sweep.alphas.steps`"),
    ] {
        let spec = format!(
            "[checkpoints]\nzeroshot = 'a.pt'\nfinetuned = 'b.pt'\n[[datasets]]\nname = 'x'\n\
             role = 'id'\npath = 'x'\n[sweep]\nalphas = {alphas}\n"
        );
        std::fs::write(home.path("spec.toml"), spec).unwrap();
        let (code, _, said) = home.run(&["sweep", "spec.toml", "--out", "runs/run"]);
        assert_eq!(code, 2, "{said}");
        assert!(said.contains(field) && said.contains("1001") && said.contains("1002"), "{said}");
    }
}

#[test]
fn a_bad_way_to_notify_is_a_note() {
    let home = Home::new();
    let config = home.path("XDG_CONFIG_HOME/alphascope");
    std::fs::create_dir_all(&config).unwrap();
    for text in ["notify = \"osc8\"\n", "notify = 8\n", "bell = \"loud\"\nalert = 3\n"] {
        std::fs::write(config.join("config.toml"), text).unwrap();
        let (code, _, said) = home.run(&["runs"]);
        assert_eq!(code, 0, "{text}: {said}");
        assert!(said.starts_with("note:"), "{text}: {said}");
    }
}
