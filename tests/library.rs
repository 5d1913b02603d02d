//! The run library: what a folder of runs holds, renaming, deleting, and the
//! command that does it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // helpers of tests

mod sweep_rig;

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Output;

use alphascope::library::{self, ActError, Run, State};
use alphascope::sim::SimScript;
use alphascope::sweep::command::Command;
use alphascope::sweep::event::{Event, Outcome};
use alphascope::sweep::journal::Journal;
use alphascope::sweep::plan::Shard;
use serde_json::Value;
use sweep_rig::{header, session};
use tempfile::TempDir;

/// `done`, `half`, `torn`, `notes`, `link`, `file.txt` and `.hidden`; the folder
/// that `link` leads to.
struct World {
    runs: TempDir,
    outside: TempDir,
}

impl World {
    fn new() -> Self {
        let it = Self { runs: tempfile::tempdir().unwrap(), outside: tempfile::tempdir().unwrap() };
        it.measure("done", |_| None);
        it.measure("half", |event| matches!(event, Event::Measured(_)).then_some(Command::Stop));
        std::fs::create_dir(it.path("torn")).unwrap();
        std::fs::write(it.path("torn/events.jsonl"), "\u{0}oops\n{\"event\":\"st").unwrap();
        std::fs::create_dir(it.path("notes")).unwrap();
        std::fs::write(it.path("notes/todo.txt"), "mine").unwrap();
        std::fs::write(it.path("file.txt"), "mine").unwrap();
        std::fs::create_dir(it.path(".hidden")).unwrap();
        copy(&it.path("done"), &it.outside.path().join("real"));
        symlink(it.outside.path().join("real"), it.path("link")).unwrap();
        it
    }

    fn path(&self, name: &str) -> PathBuf {
        self.runs.path().join(name)
    }

    fn measure(&self, name: &str, react: fn(&Event) -> Option<Command>) {
        let dir = self.path(name);
        std::fs::create_dir(&dir).unwrap();
        let header = header(&[40, 30, 20], 5, 8);
        let answer = |event: &Event, sender: &std::sync::mpsc::Sender<Command>| {
            if let Some(command) = react(event) {
                sender.send(command).unwrap();
            }
        };
        // Slow enough that a command comes before the end.
        let pause = std::time::Duration::from_millis(2);
        let scripts = vec![SimScript { pause, ..SimScript::default() }];
        session(&dir, &header, Shard::whole(), scripts, answer).0.unwrap();
    }

    fn list(&self) -> Vec<Run> {
        self.list_with(None)
    }

    fn list_with(&self, cache: Option<&Path>) -> Vec<Run> {
        let mut found = Vec::new();
        library::scan(self.runs.path(), cache, |run| {
            found.push(run);
            true
        })
        .unwrap();
        found
    }

    fn run(&self, name: &str) -> Run {
        self.list().into_iter().find(|run| run.name == name).unwrap()
    }

    fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.list().into_iter().map(|run| run.name).collect();
        names.sort();
        names
    }

    fn cli(&self, args: &[&str]) -> Output {
        let home = self.outside.path();
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_alphascope"));
        command.args(args).env_clear().env("HOME", home).env("ALPHASCOPE_RUNS", self.runs.path());
        command.output().unwrap()
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().flatten() {
        std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn every_folder_is_listed_as_what_it_is() {
    let world = World::new();
    let states = ["done", "half", "torn", "notes", "link", "file.txt"];
    let states = states.map(|name| world.run(name).state);
    use State::{Complete, Damaged, Foreign, Stopped};
    assert_eq!(states, [Complete, Stopped, Damaged, Foreign, Foreign, Foreign]);
    assert_eq!(world.names().len(), 6, "what begins with a dot is not told");
    let done = world.run("done");
    assert_eq!((done.percent(), done.note.as_ref()), (Some(100), None));
    assert_eq!(done.bytes, sizes(&world.path("done")));
    let found = done.found.as_ref().unwrap();
    assert_eq!((found.zeroshot.as_str(), found.finetuned.as_str()), ("zs", "ft"));
    assert_eq!(found.ended, Some(Outcome::Complete));
    let names: Vec<&str> = found.datasets.iter().map(|it| it.name.as_str()).collect();
    assert_eq!(names, ["set0", "set1", "set2"]);
    let [value, lo, hi] = found.gain.unwrap();
    assert!(lo <= value && value <= hi && found.best_alpha.is_some());
    assert!(found.datasets.iter().all(|it| it.ends.iter().all(Option::is_some)));
    assert!(world.run("half").percent().unwrap() < 100);
    assert_eq!(world.run("link").note.as_deref(), Some("a symbolic link"));
    assert!(world.run("torn").note.unwrap().contains("does not say what is measured"));
    let journal = Journal::open(&world.path("half"), Shard::whole()).unwrap();
    let half = world.run("half");
    assert_eq!(half.state, State::Running);
    assert!(half.note.unwrap().contains(&format!("process {} of", std::process::id())));
    drop(journal);
    assert!(done.matches("ZS done SET1") && done.matches("") && !done.matches("zs other"));
}

fn sizes(dir: &Path) -> u64 {
    let entries = std::fs::read_dir(dir).unwrap().flatten();
    entries.map(|entry| entry.metadata().unwrap().len()).sum()
}

#[test]
fn what_a_journal_says_is_kept_until_it_changes() {
    let world = World::new();
    let cache = world.outside.path().join("runs.json");
    let first = world.list_with(Some(&cache));
    // The same size and time, and nothing in it: it is not read again.
    let path = world.path("done/events.jsonl");
    let meta = path.metadata().unwrap();
    std::fs::write(&path, vec![b' '; usize::try_from(meta.len()).unwrap()]).unwrap();
    let file = std::fs::File::options().write(true).open(&path).unwrap();
    file.set_modified(meta.modified().unwrap()).unwrap();
    let of = |runs: &[Run]| runs.iter().find(|run| run.name == "done").unwrap().found.clone();
    assert_eq!(of(&world.list_with(Some(&cache))), of(&first));
    file.set_len(5).unwrap();
    assert_eq!(of(&world.list_with(Some(&cache))), None);
    // A cache of no use is an empty one.
    std::fs::write(&cache, "{{{").unwrap();
    assert_eq!(world.list_with(Some(&cache)).len(), first.len());
    // One that nobody may write is slower, nothing else.
    assert_eq!(world.list_with(Some(Path::new("/proc/none/runs.json"))).len(), first.len());
    library::scan(&world.path("nowhere"), None, |_| true).unwrap();
    assert!(library::scan(&world.path("file.txt"), None, |_| true).is_err());
}

#[test]
fn a_run_is_renamed_and_nothing_else_is() {
    let world = World::new();
    let runs = world.runs.path();
    let to = library::rename(runs, "done", "final α").unwrap();
    assert_eq!(world.run("final α").state, State::Complete);
    assert!(!to.join("events.owner").exists(), "its lock was given back");
    for name in ["", "a/b", "..", ".x", "-x", "a\nb", "notes", "half"] {
        let error = library::rename(runs, "final α", name).unwrap_err();
        assert!(matches!(error, ActError::Name { .. }), "{name}: {error}");
    }
    for name in ["torn", "notes", "link", "file.txt"] {
        let error = library::rename(runs, name, "x").unwrap_err();
        assert!(matches!(error, ActError::NotARun { .. }), "{name}: {error}");
    }
    let error = library::rename(runs, "nobody", "x").unwrap_err();
    assert!(matches!(error, ActError::Unknown { .. }), "{error}");
    let journal = Journal::open(&world.path("half"), Shard::whole()).unwrap();
    let error = library::rename(runs, "half", "x").unwrap_err();
    assert!(matches!(error, ActError::Running { .. }), "{error}");
    drop(journal);
    assert_eq!(world.names(), ["file.txt", "final α", "half", "link", "notes", "torn"]);
}

#[test]
fn a_run_is_deleted_and_what_it_links_to_stays() {
    let world = World::new();
    let runs = world.runs.path();
    let precious = world.outside.path().join("precious");
    std::fs::create_dir(&precious).unwrap();
    std::fs::write(precious.join("weights.pt"), "years").unwrap();
    symlink(&precious, world.path("done/checkpoints")).unwrap();
    symlink(precious.join("weights.pt"), world.path("done/best.pt")).unwrap();
    let journal = Journal::open(&world.path("done"), Shard::whole()).unwrap();
    let error = library::delete(runs, "done").unwrap_err().to_string();
    assert!(error.contains("is being measured by") && error.contains("stop it first"), "{error}");
    drop(journal);
    // A shard that is measured counts too.
    let shard = Shard::new(1, 2).unwrap();
    let mut part = Journal::open(&world.path("done"), shard).unwrap();
    part.append(&Event::Paused).unwrap();
    let error = library::delete(runs, "done").unwrap_err();
    assert!(matches!(error, ActError::Running { .. }), "{error}");
    drop(part);
    library::delete(runs, "done").unwrap();
    assert_eq!(std::fs::read_to_string(precious.join("weights.pt")).unwrap(), "years");
    for name in ["torn", "notes", "link", "file.txt", "..", ""] {
        library::delete(runs, name).unwrap_err();
    }
    assert_eq!(world.names(), ["file.txt", "half", "link", "notes", "torn"]);
    assert!(world.outside.path().join("real/events.jsonl").is_file());
    let left = std::fs::read_dir(runs).unwrap().flatten().map(|it| it.file_name());
    assert!(!left.into_iter().any(|name| name.to_string_lossy().starts_with(".deleted")));
}

#[test]
fn the_command_lists_filters_compares_renames_and_deletes() {
    let world = World::new();
    let out = world.cli(&["runs", "--json"]);
    assert!(out.status.success(), "{out:?}");
    let value: Value = serde_json::from_slice(&out.stdout).unwrap();
    let runs = value["runs"].as_array().unwrap();
    assert_eq!((value["schema"].clone(), runs.len()), (1.into(), 6));
    let of = |name: &str| runs.iter().find(|run| run["name"] == name).unwrap();
    assert_eq!(of("done")["state"], "complete");
    assert_eq!(of("done")["datasets"][1]["role"], "ood");
    assert!(of("done")["gain"].is_array() && of("torn")["gain"].is_null());
    assert_eq!(of("torn")["state"], "damaged");
    let table = text(&world.cli(&["runs"]).stdout);
    assert!(table.starts_with("name") && table.contains("zs → ft on set0, set1, set2"), "{table}");
    let table = text(&world.cli(&["runs", "--filter", "complete ZS"]).stdout);
    assert!(table.contains("done") && !table.contains("half"), "{table}");
    let both = text(&world.cli(&["runs", "compare", "done", "half"]).stdout);
    assert!(both.contains("RFT gain") && both.contains("set2"), "{both}");
    let rest = |text: &str| text.contains("no differences: they are taken at the best interior α");
    assert_eq!(both.contains("  difference\n"), !rest(&both), "{both}");
    let alike = text(&world.cli(&["runs", "compare", "done", "done"]).stdout);
    assert!(alike.contains("  difference\n") && !rest(&alike), "{alike}");
    assert!(world.cli(&["runs", "rename", "half", "later"]).status.success());
    // Without a person to ask, nothing is deleted.
    let out = world.cli(&["runs", "delete", "later"]);
    assert_eq!(out.status.code(), Some(2), "{out:?}");
    assert!(text(&out.stderr).contains("add --yes"), "{out:?}");
    assert!(world.path("later").is_dir());
    let out = world.cli(&["runs", "delete", "later", "--yes"]);
    assert!(out.status.success() && !world.path("later").exists(), "{out:?}");
    let out = world.cli(&["runs", "delete", "notes", "--yes"]);
    assert_eq!(out.status.code(), Some(2), "{out:?}");
    assert!(text(&out.stderr).contains("is left alone"), "{out:?}");
    let out = world.cli(&["runs", "open", "nobody"]);
    assert!(text(&out.stderr).contains("there is no run `nobody`"), "{out:?}");
}

#[test]
fn where_runs_live_is_set_by_flag_environment_and_configuration() {
    let world = World::new();
    let (one, two) = (world.outside.path().join("one"), world.outside.path().join("two"));
    for dir in [&one, &two] {
        std::fs::create_dir(dir).unwrap();
    }
    copy(&world.path("done"), &one.join("by-flag"));
    copy(&world.path("done"), &two.join("by-configuration"));
    let shown = |args: &[&str], env: Option<&Path>| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_alphascope"));
        command.args(args).env_clear().env("HOME", world.outside.path());
        command.env("XDG_CONFIG_HOME", world.outside.path().join("config"));
        command.envs(env.map(|dir| ("ALPHASCOPE_RUNS", dir)));
        text(&command.output().unwrap().stdout)
    };
    let config = world.outside.path().join("config/alphascope");
    std::fs::create_dir_all(&config).unwrap();
    std::fs::write(config.join("config.toml"), format!("runs = '{}'\n", two.display())).unwrap();
    assert!(shown(&["runs"], None).contains("by-configuration"));
    assert!(shown(&["runs"], Some(world.runs.path())).contains("half"));
    let flag = one.to_str().unwrap();
    assert!(shown(&["runs", "--runs", flag], Some(world.runs.path())).contains("by-flag"));
    assert_eq!(shown(&["runs", "--runs", "/nowhere/at/all"], None), "", "an error: tests/refused");
    std::fs::write(config.join("config.toml"), "runs = '/nowhere/at/all'\n").unwrap();
    assert_eq!(shown(&["runs"], None), "no runs in /nowhere/at/all\n", "none was made yet");
}
