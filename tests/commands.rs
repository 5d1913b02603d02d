//! Commands without a screen as scripts see them: exit codes, stdout, stderr.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // helpers of tests

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

/// Runs the program with a home of its own.
fn alphascope(home: &TempDir, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_alphascope"));
    command.args(args).current_dir(home.path()).env("HOME", home.path());
    for name in ["XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME"] {
        command.env(name, home.path().join(name));
    }
    command.output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A finished run of the pretend engine in `run`.
fn finished() -> (TempDir, Output) {
    let home = tempfile::tempdir().unwrap();
    let output = alphascope(&home, &["sweep", "--demo", "--sim", "--sim-ms", "0", "--out", "run"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    (home, output)
}

fn resume(home: &TempDir) -> Output {
    alphascope(home, &["sweep", "--resume", "--out", "run", "--sim", "--sim-ms", "0"])
}

#[test]
fn a_finished_run_says_so_and_prints_its_table_again() {
    let (home, first) = finished();
    assert!(text(&first.stderr).contains("round 1, "));
    let again = resume(&home);
    let said = text(&again.stderr);
    assert_eq!(again.status.code(), Some(0), "{said}");
    assert!(said.contains("all of this was measured before"), "{said}");
    assert!(said.contains("zero-shot") && said.contains("complete in"), "{said}");
    assert!(
        !said.contains("round ") && !said.contains("measuring on"),
        "nothing that was told before: {said}"
    );
    assert_eq!(text(&again.stdout), text(&first.stdout), "the table");
}

/// Said, with what there is, and all else goes on.
#[test]
fn an_unknown_word_in_the_configuration_is_said() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("XDG_CONFIG_HOME/alphascope");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("config.toml"), "theme = \"pink\"\n").unwrap();
    let run = alphascope(&home, &["sweep", "--demo", "--sim", "--sim-ms", "0", "--out", "run"]);
    let said = text(&run.stderr);
    assert_eq!(run.status.code(), Some(0), "{said}");
    assert!(said.contains("theme = \"pink\", which is none of dark, light"), "{said}");
}

/// What is no dataset, or none that can be read: what was looked for, and what to do.
#[test]
fn data_says_what_was_looked_for_and_what_to_do() {
    let home = tempfile::tempdir().unwrap();
    let data = concat!(env!("CARGO_MANIFEST_DIR"), "/assets/demo/data");
    let run = alphascope(&home, &["data", data]);
    let said = text(&run.stderr);
    assert_eq!(run.status.code(), Some(2), "{said}");
    assert!(said.contains("one folder per class with images (jpg, "), "{said}");
    assert!(said.contains("datasets of their own") && said.contains("`fxemoji`"), "{said}");
    let write = |path: &str, bytes: &[u8]| {
        let path = home.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    };
    for file in ["bad/cat/1.png", "bad/cat/2.jpg", "bad/dog/1.png"] {
        write(file, b"no picture");
    }
    let run = alphascope(&home, &["data", "bad"]);
    let (said, shown) = (text(&run.stderr), text(&run.stdout));
    assert_eq!(run.status.code(), Some(2), "{said}");
    assert!(said.contains("none among the 3 tried"), "{said}");
    assert!(shown.contains("MB: none of a format that is known\n"), "{shown}");
    // Datasets within, of class folders themselves: it may be meant, so it is only said.
    for file in ["sets/a/cat/1.ppm", "sets/a/dog/1.ppm", "sets/b/cat/1.ppm"] {
        write(file, b"P6 1 2 255\nabcdef");
    }
    std::fs::create_dir(home.path().join("sets/empty")).unwrap();
    let run = alphascope(&home, &["data", "sets"]);
    let shown = text(&run.stdout).split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(run.status.code(), Some(0), "{shown}");
    assert!(shown.contains("1 class folder has no images: `empty`"), "{shown}");
    assert!(shown.contains("as in `a/cat`: where `cat` is a class and `a` a dataset"), "{shown}");
}

#[test]
fn the_merged_demo_tells_its_heads_and_activation() {
    let home = tempfile::tempdir().unwrap();
    let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/demo");
    let [zeroshot, finetuned] = ["zeroshot", "finetuned"]
        .map(|end| demo.join(format!("{end}.safetensors")).display().to_string());
    let pair = ["merge", "--zeroshot", &zeroshot, "--finetuned", &finetuned, "--alpha", "0.5"];
    let run = alphascope(&home, &[&pair[..], &["--dialect", "hf", "-o", "m.safetensors"]].concat());
    assert_eq!(run.status.code(), Some(0), "{}", text(&run.stderr));
    let run = alphascope(&home, &["inspect", "m.safetensors"]);
    let shown = text(&run.stdout);
    assert!(shown.contains("3 heads") && shown.contains("heads by      the file's"), "{shown}");
    assert!(shown.contains("activation    gelu (the file's metadata)"), "{shown}");
    assert!(!shown.contains("problem") && !shown.contains("notice"), "{shown}");
    assert!(shown.contains("\n  alphascope.zeroshot         zeroshot.safetensors\n"), "{shown}");
    assert!(shown.contains("\n  alphascope.zeroshot.blake3\n                17487b01"), "{shown}");
    assert!(shown.lines().all(|line| line.chars().count() <= 80), "{shown}");
}

#[test]
fn a_doctor_that_could_try_nothing_is_refused() {
    let (home, _) = finished();
    let spec = std::fs::read_to_string(home.path().join("run/spec.toml")).unwrap();
    let mut all_id: toml::Table = spec.parse().unwrap();
    for set in all_id["datasets"].as_array_mut().unwrap() {
        set["role"] = "id".into();
    }
    let mut ends: toml::Table = spec.parse().unwrap();
    ends["sweep"]["alphas"] = toml::Value::Array(vec![0.0.into(), 1.0.into()]);
    for (spec, word) in [(all_id, "role `ood`"), (ends, "sweep.alphas")] {
        std::fs::write(home.path().join("spec.toml"), spec.to_string()).unwrap();
        let args = ["sweep", "spec.toml", "--sim", "--sim-ms", "0", "--out", "other"];
        let refused = alphascope(&home, &[&args[..], &["--doctor"]].concat());
        let said = text(&refused.stderr);
        assert_eq!(refused.status.code(), Some(2), "{said}");
        assert!(said.contains("the doctor cannot help") && said.contains(word), "{said}");
        assert!(!home.path().join("other").exists(), "nothing is begun");
    }
}

#[test]
fn a_resumed_run_tells_only_what_is_new() {
    let (home, first) = finished();
    let journal = home.path().join("run/events.jsonl");
    let whole = std::fs::read_to_string(&journal).unwrap();
    let lines: Vec<&str> = whole.lines().collect();
    std::fs::write(&journal, lines[..lines.len() / 2].join("\n") + "\n").unwrap();
    let rest = resume(&home);
    let said = text(&rest.stderr);
    assert_eq!(rest.status.code(), Some(0), "{said}");
    assert!(said.contains("going on: ") && said.contains(" % was measured before"), "{said}");
    let rounds = |said: &str| said.lines().filter(|line| line.starts_with("round ")).count();
    let (all, new) = (rounds(&text(&first.stderr)), rounds(&said));
    assert!(0 < new && new < all, "{new} of {all} rounds: {said}");
    assert!(!said.contains("round 1, "), "{said}");
    assert_eq!(text(&rest.stdout), text(&first.stdout), "the same numbers");
}

/// Class folders of one picture each.
fn folders(home: &TempDir, names: &[&str]) {
    for name in names {
        let folder = home.path().join("set").join(name);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("0.ppm"), b"P6 1 2 255\nabcdef").unwrap();
    }
}

#[test]
fn a_dataset_is_told_by_the_keys_of_a_spec() {
    let home = tempfile::tempdir().unwrap();
    folders(&home, &["a", "b"]);
    std::fs::write(home.path().join("names.txt"), "ant\nbee\n").unwrap();
    std::fs::write(home.path().join("prompts.txt"), "a drawing of {c}.\n").unwrap();
    let keys = ["--classnames", "names.txt", "--templates", "prompts.txt"];
    let told = alphascope(&home, &[&["data", "set", "--json"], &keys[..]].concat());
    assert_eq!(told.status.code(), Some(0), "{}", text(&told.stderr));
    let told: serde_json::Value = serde_json::from_slice(&told.stdout).unwrap();
    assert_eq!(told["classes"][1]["name"], "bee");
    assert_eq!(told["prompt"], "a drawing of ant.");
    // A column is chosen by name, where there are two of equal right.
    let table = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/parquet");
    let table = table.join("two_labels.parquet");
    let table = table.to_str().unwrap();
    let columns = ["--label-column", "coarse_label", "--image-column", "img"];
    let told = alphascope(&home, &[&["data", table, "--json"], &columns[..]].concat());
    assert_eq!(told.status.code(), Some(0), "{}", text(&told.stderr));
    let told: serde_json::Value = serde_json::from_slice(&told.stdout).unwrap();
    assert_eq!(told["classes"].as_array().unwrap().len(), 2);
}

#[test]
fn keys_that_do_not_fit_the_dataset_are_told_in_words() {
    let home = tempfile::tempdir().unwrap();
    folders(&home, &["a", "b"]);
    std::fs::write(home.path().join("three.txt"), "ant\nbee\ncat\n").unwrap();
    for (keys, want) in [
        (["--label-column", "label"], "only parquet has columns, and here is image folder"),
        (["--image-column", "image"], "`image_column` names the column `image`"),
        (["--protocol", "wise-ft"], "is of ObjectNet, whose folder `mappings` is not here"),
        (["--mappings", "nowhere"], "nowhere"),
        (["--classnames", "three.txt"], "expected one class name for each of the 2 class folders"),
        (["--templates", "three.txt"], "expected a prompt with {c} or {}"),
        (["--templates", "none.txt"], "cannot read none.txt"),
        (["--protocol", "mine"], "[possible values: wise-ft, clip-benchmark]"),
    ] {
        let told = alphascope(&home, &["data", "set", keys[0], keys[1]]);
        let said = text(&told.stderr);
        assert_eq!(told.status.code(), Some(2), "{keys:?}: {said}");
        assert!(said.contains(want) && told.stdout.is_empty(), "{keys:?}: {said}");
    }
    let table = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/parquet/words.parquet");
    let told = alphascope(&home, &["data", table.to_str().unwrap(), "--protocol", "wise-ft"]);
    let said = text(&told.stderr);
    assert!(said.contains("`protocol` is of ObjectNet") && said.contains("parquet"), "{said}");
}

/// Whoever opens a pipe waits for a writer: pipes in place of shards, tables,
/// class names and checkpoints are errors at once.
#[test]
fn pipes_are_refused_and_never_waited_for() {
    let home = tempfile::tempdir().unwrap();
    let set = home.path().join("set");
    for name in ["0.tar", "0.parquet"] {
        let folder = set.join(name.replace('.', "-"));
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("classnames.txt"), "cat\n").unwrap();
        assert!(Command::new("mkfifo").arg(folder.join(name)).status().unwrap().success());
        for path in [folder.clone(), folder.join(name)] {
            let told = alphascope(&home, &["data", path.to_str().unwrap()]);
            let said = text(&told.stderr);
            assert_eq!(told.status.code(), Some(2), "{said}");
            assert!(said.contains(name) && said.contains("a pipe"), "{said}");
        }
        let told = alphascope(&home, &["inspect", folder.join(name).to_str().unwrap()]);
        assert!(text(&told.stderr).contains("not a regular file"), "{}", text(&told.stderr));
    }
}

#[test]
fn a_figure_goes_to_a_file_or_down_a_pipe() {
    let (home, _) = finished();
    let piped = alphascope(&home, &["report", "run", "--format", "png"]);
    assert_eq!(piped.status.code(), Some(0), "{}", text(&piped.stderr));
    assert!(piped.stdout.starts_with(b"\x89PNG\r\n"));
    let to_file = ["report", "run", "--format", "png", "--out", "new/figure.png"];
    let refused = alphascope(&home, &to_file);
    assert_eq!(refused.status.code(), Some(2));
    assert!(text(&refused.stderr).contains("new is no folder; make it first"));
    assert!(!home.path().join("new").exists(), "as `merge`, it makes none");
    std::fs::create_dir(home.path().join("new")).unwrap();
    let filed = alphascope(&home, &to_file);
    assert_eq!((filed.status.code(), filed.stdout.len()), (Some(0), 0));
    assert_eq!(std::fs::read(home.path().join("new/figure.png")).unwrap(), piped.stdout);
}

#[test]
fn runs_are_taken_together_in_json_alone() {
    let (home, _) = finished();
    let told = alphascope(&home, &["report", "run", "run", "--format", "md"]);
    assert_eq!(told.status.code(), Some(2));
    assert!(text(&told.stderr).contains("in JSON alone"), "{}", text(&told.stderr));
    let told = alphascope(&home, &["report", "run", "./run/"]);
    assert_eq!(told.status.code(), Some(0), "{}", text(&told.stderr));
    let report: serde_json::Value = serde_json::from_slice(&told.stdout).unwrap();
    assert_eq!(report["together"]["runs"], serde_json::json!(["run", "run"]));
    let missing = alphascope(&home, &["report", "run", "nowhere"]);
    assert_eq!(missing.status.code(), Some(2));
    assert!(text(&missing.stderr).contains("nowhere"), "{}", text(&missing.stderr));
}

/// A threshold in the spec reaches the journal, and from there the report.
#[test]
fn thresholds_of_stragglers_are_settings_of_the_run() {
    let (home, _) = finished();
    let spec = std::fs::read_to_string(home.path().join("run/spec.toml")).unwrap();
    let stragglers = |name: &str, more: &str| -> serde_json::Value {
        std::fs::write(home.path().join("spec.toml"), format!("{spec}\n{more}")).unwrap();
        let args = ["sweep", "spec.toml", "--sim", "--sim-ms", "0", "--out", name];
        let told = alphascope(&home, &args);
        assert_eq!(told.status.code(), Some(0), "{}", text(&told.stderr));
        let told = alphascope(&home, &["report", name, "--format", "json"]);
        serde_json::from_slice(&told.stdout).unwrap()
    };
    let distance = |report: &serde_json::Value| {
        report["stragglers"].as_array().unwrap().iter().any(|it| it["by"][0] == "distance")
    };
    let loose = stragglers("loose", "[stragglers]\ndistance = 0.5\n");
    assert_eq!(loose["header"]["stragglers"]["distance"], 0.5);
    assert_eq!(loose["header"]["stragglers"]["sharpness"], 3.0);
    assert!(distance(&loose), "{}", loose["stragglers"]);
    let strict = stragglers("strict", "[stragglers]\ndistance = 1000.0\n");
    assert!(!distance(&strict), "{}", strict["stragglers"]);
}

#[test]
fn a_journal_without_its_header_is_not_resumed() {
    let (home, _) = finished();
    let path = home.path().join("run/events.jsonl");
    let whole = std::fs::read_to_string(&path).unwrap();
    let (header, rest) = whole.split_once('\n').unwrap();
    for damaged in [rest.to_string(), format!("X{whole}")] {
        std::fs::write(&path, &damaged).unwrap();
        let told = resume(&home);
        assert_eq!(told.status.code(), Some(2), "{}", text(&told.stderr));
        assert!(text(&told.stderr).contains("the header"), "{}", text(&told.stderr));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), damaged);
    }
    std::fs::write(&path, format!("{header}\n{rest}")).unwrap();
    assert_eq!(resume(&home).status.code(), Some(0));
}

#[test]
fn a_report_never_replaces_what_the_run_is_made_of() {
    let (home, _) = finished();
    let journal = || std::fs::read(home.path().join("run/events.jsonl")).unwrap();
    let before = journal();
    for out in ["run/events.jsonl", "./run/../run/spec.toml", "run/run.log"] {
        let told = alphascope(&home, &["report", "run", "--format", "md", "--out", out]);
        assert_eq!(told.status.code(), Some(2), "{out}");
        assert!(text(&told.stderr).contains("the run's own files"), "{}", text(&told.stderr));
    }
    assert_eq!(journal(), before);
    let beside = alphascope(&home, &["report", "run", "--format", "md", "--out", "run/report.md"]);
    assert_eq!(beside.status.code(), Some(0), "{}", text(&beside.stderr));
}

#[test]
fn files_that_are_no_pair_are_compared_and_cost_the_exit_code() {
    let home = tempfile::tempdir().unwrap();
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let name = |path: PathBuf| path.to_str().unwrap().to_string();
    let pair = |file: &str| name(here.join("tests/fixtures/checkpoints/pair").join(file));
    let (zeroshot, finetuned) = (pair("zeroshot.safetensors"), pair("finetuned.safetensors"));
    let good = alphascope(&home, &["inspect", &zeroshot, &finetuned]);
    assert_eq!((good.status.code(), text(&good.stderr).as_str()), (Some(0), ""));
    let other = name(here.join("assets/demo/finetuned.safetensors"));
    let bad = alphascope(&home, &["inspect", &zeroshot, &other]);
    let said = text(&bad.stderr);
    assert_eq!(bad.status.code(), Some(2), "{said}");
    assert!(said.starts_with("error: no sweep can be run between these two: "), "{said}");
    assert!(text(&bad.stdout).contains("do NOT make a path"), "the comparison is printed");
    let json = alphascope(&home, &["inspect", "--json", &zeroshot, &other]);
    assert_eq!(json.status.code(), Some(2));
    let told: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(told["matches"], false);
    assert!(said.contains(told["problem"].as_str().unwrap()), "{said}");
}

/// A terminal obeys control characters: names from files and folders do not reach it raw.
#[test]
fn names_that_would_command_a_terminal_are_shown_as_text() {
    let home = tempfile::tempdir().unwrap();
    let evil = "esc\u{1b}[31mx\ny\u{9b}z";
    let class = home.path().join("set").join(evil);
    std::fs::create_dir_all(&class).unwrap();
    let image = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/images/png_rgb.png");
    std::fs::copy(image, class.join("0.png")).unwrap();
    std::fs::create_dir_all(home.path().join("runs").join(evil)).unwrap();
    let no_file = class.join("model.pt");
    for args in
        [&["data", "set"][..], &["inspect", no_file.to_str().unwrap()], &["runs", "--runs", "runs"]]
    {
        let output = alphascope(&home, args);
        let said = text(&output.stdout) + &text(&output.stderr);
        assert!(said.contains("esc\\u{1b}[31mx"), "{args:?}: {said}");
        assert!(!said.contains(|c: char| c.is_control() && c != '\n'), "{args:?}: {said:?}");
    }
}
