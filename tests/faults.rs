//! What goes wrong before a sweep and while it runs: a terminal or a configuration
//! of no use, short memory, a device that is lost, a run folder that goes away.
//! Nothing that was measured is lost, the message says what to do, and one command
//! goes on.
#![cfg(feature = "tui")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // helpers of tests

#[allow(dead_code, reason = "each test uses its part")]
mod pty_rig;

use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use pty_rig::Rig;
use serde_json::Value;

/// The numbers of a run, without what tells of time.
fn numbers(rig: &Rig) -> Value {
    let (code, text, error) = rig.output(&["report", rig.out(), "--format", "json"]);
    assert_eq!(code, 0, "{error}");
    let mut value: Value = serde_json::from_str(&text).unwrap();
    value["header"].as_object_mut().unwrap().remove("seconds").unwrap();
    value
}

/// Of a sweep that nothing happened to.
fn undisturbed() -> Value {
    let rig = Rig::new();
    let (code, _, error) =
        rig.output(&["sweep", "--demo", "--sim", "--sim-ms", "0", "--out", rig.out()]);
    assert_eq!(code, 0, "{error}");
    numbers(&rig)
}

#[test]
fn short_memory_halves_the_pass_is_said_and_changes_no_number() {
    let rig = Rig::new();
    let (code, _, said) =
        rig.output(&["sweep", "--demo", "--sim", "memory", "--sim-ms", "0", "--out", rig.out()]);
    assert_eq!(code, 0, "{said}");
    // A batch of 84 is the first that does not fit; half of it always does.
    let times = said.matches("out of memory with 84 images a pass: going on with 42").count();
    assert_eq!(times, 1, "once, for good: {said}");
    let notices: Vec<Value> =
        rig.journal().into_iter().filter(|it| it["event"] == "notice").collect();
    assert!(notices.iter().any(|it| it["level"] == "warning"
        && it["text"].as_str().unwrap().starts_with("out of memory with 84")));
    let (short, plain) = (numbers(&rig), undisturbed());
    // What one session met is no caveat of the run's numbers.
    assert_eq!(plain["notices"].as_array().unwrap().len(), 2);
    for part in ["accuracy", "sharpness", "summary", "notices"] {
        assert_eq!(short[part], plain[part]);
    }
}

/// A run that is killed before it says all it should know is told it when it goes on.
#[test]
fn warnings_are_in_the_report_however_early_the_run_was_killed() {
    let rig = Rig::new();
    let sweep = ["sweep", "--demo", "--sim", "--sim-ms", "0", "--out", rig.out()];
    assert_eq!(rig.output(&sweep).0, 0);
    let whole = numbers(&rig);
    let journal = Path::new(rig.out()).join("events.jsonl");
    let text = std::fs::read_to_string(&journal).unwrap();
    for lines in [1, 2, 4] {
        let cut: String = text.split_inclusive('\n').take(lines).collect();
        std::fs::write(&journal, cut).unwrap();
        let (code, _, error) = rig.output(&[&sweep[..], &["--resume"]].concat());
        assert_eq!(code, 0, "{error}");
        assert_eq!(numbers(&rig), whole, "after {lines} lines");
    }
}

#[test]
fn short_memory_is_said_on_the_screen() {
    let rig = Rig::new();
    let mut it = rig.start(&["--demo", "--sim", "memory", "--sim-ms", "0", "--out", rig.out()]);
    it.until("the end", |screen| screen.contains("complete"));
    it.press("l");
    it.until("the note", |screen| screen.contains("out of memory with 84 images a pass"));
    it.press("q");
    assert_eq!(it.wait(), 0);
}

#[test]
fn a_lost_device_ends_the_worker_and_the_run_goes_on_elsewhere() {
    let plain = undisturbed();
    for (script, words) in [
        ("poisoned", ["illegal memory access", "go on with the run in a new one", "--device"]),
        ("lost", ["is not there any more", "alphascope devices", "--device cpu"]),
    ] {
        let rig = Rig::new();
        let args = ["sweep", "--demo", "--sim", script, "--sim-ms", "0", "--out", rig.out()];
        let (code, _, said) = rig.output(&args);
        assert_eq!(code, 3, "{said}");
        for word in words.into_iter().chain(["worker 0 ended", "alphascope sweep --resume --out"]) {
            assert!(said.contains(word), "{word}: {said}");
        }
        let events = rig.journal();
        let last = events.last().unwrap();
        assert_eq!((&last["event"], &last["outcome"]), (&"finished".into(), &"stopped".into()));
        assert!(events.iter().any(|it| it["event"] == "measured"));
        assert_eq!(rig.holder(), None);
        let (code, _, said) =
            rig.output(&["sweep", "--resume", "--sim", "--sim-ms", "0", "--out", rig.out()]);
        assert_eq!(code, 0, "{said}");
        let resumed = numbers(&rig);
        for part in ["accuracy", "summary"] {
            assert_eq!(resumed[part], plain[part]);
        }
    }
}

#[test]
fn a_lost_device_leaves_the_screen_up_with_what_was_measured() {
    let rig = Rig::new();
    let mut it = rig.start(&["--demo", "--sim", "poisoned", "--sim-ms", "0", "--out", rig.out()]);
    rig.until_journal("\"finished\"");
    it.until("the curves", |screen| screen.contains("OOD mean") && screen.contains("stopped"));
    it.press("l");
    it.until("why", |screen| screen.contains("worker 0 ended"));
    it.press("q");
    assert_eq!(it.wait(), 3);
    it.check_restored();
    let text = it.text();
    assert!(text.contains("alphascope sweep --resume --out"), "{text}");
}

#[test]
fn a_run_folder_that_goes_away_ends_a_headless_sweep_in_words() {
    let rig = Rig::new();
    let mut child =
        rig.spawn(&["sweep", "--demo", "--sim", "--sim-ms", "5", "--json", "--out", rig.out()]);
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    lines.find(|line| line.as_ref().unwrap().contains("\"measured\"")).unwrap().unwrap();
    std::fs::rename(rig.out(), rig.path("moved")).unwrap();
    // Whatever else it says must not fill the pipe.
    lines.for_each(|line| drop(line.unwrap()));
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(3), "{said}");
    assert!(said.contains("is not there any more") && said.contains("put it back"), "{said}");
    assert!(!rig.path("run").exists(), "nothing is made in its place");
    std::fs::rename(rig.path("moved"), rig.out()).unwrap();
    let (code, _, said) =
        rig.output(&["sweep", "--resume", "--sim", "--sim-ms", "0", "--out", rig.out()]);
    assert_eq!(code, 0, "{said}");
    assert_eq!(numbers(&rig)["accuracy"], undisturbed()["accuracy"]);
}

#[test]
fn a_run_folder_that_goes_away_is_told_on_the_screen_which_stays() {
    let rig = Rig::new();
    let mut it = rig.start(&["--demo", "--sim", "--sim-ms", "20", "--out", rig.out()]);
    it.until("the curves", |screen| screen.contains("OOD mean"));
    std::fs::rename(rig.out(), rig.path("moved")).unwrap();
    it.until("what happened", |screen| screen.contains("is not there any more"));
    it.press("?");
    it.until("the help page", |screen| screen.contains("Keys: esc closes"));
    it.press("\x1b");
    it.until("the curves", |screen| !screen.contains("Keys: esc closes"));
    it.press("q");
    assert_eq!(it.wait(), 3, "{}", it.text());
    it.check_restored();
}

#[test]
fn where_no_run_folder_can_be_made_nothing_starts() {
    let rig = Rig::new();
    let (code, text, said) =
        rig.output(&["sweep", "--demo", "--sim", "--out", "/proc/no-such-folder/run"]);
    assert_eq!((code, text.as_str()), (2, ""), "{said}");
    assert!(said.contains("cannot make the folder /proc/no-such-folder/run"), "{said}");
}

#[test]
fn events_of_a_later_version_are_kept_left_out_and_told() {
    let rig = Rig::new();
    let args = ["sweep", "--demo", "--sim", "--sim-ms", "0", "--out", rig.out()];
    let (code, _, error) = rig.output(&args);
    assert_eq!(code, 0, "{error}");
    let path = rig.path("run/events.jsonl");
    let whole = std::fs::read_to_string(&path).unwrap();
    let mut lines: Vec<&str> = whole.lines().collect();
    lines.truncate(lines.len() / 2);
    let later = "{\"event\":\"entangled\",\"with\":[1,{\"é\":null}]}";
    lines.insert(3, later);
    // … and half of a line, in the middle of a character.
    let mut bytes = (lines.join("\n") + "\n").into_bytes();
    bytes.extend(b"{\"event\":\"notice\",\"text\":\"gr\xc3");
    std::fs::write(&path, bytes).unwrap();
    let told = "1 line of the run's journal is of a kind that this version does not know";
    let (code, _, said) = rig.output(&["report", rig.out(), "--format", "csv"]);
    assert!(code == 0 && said.contains(told), "{said}");
    let (code, _, said) =
        rig.output(&["sweep", "--resume", "--sim", "--sim-ms", "0", "--out", rig.out()]);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains(told) && !said.contains("damaged"), "{said}");
    let text = std::fs::read_to_string(&path).unwrap();
    assert_eq!(text.lines().filter(|line| *line == later).count(), 1);
    assert_eq!(numbers(&rig)["accuracy"], undisturbed()["accuracy"]);
}

#[test]
fn a_terminal_that_cannot_place_text_is_told_what_to_use() {
    let rig = Rig::new().env("TERM", "dumb");
    let mut it = rig.start(&["--demo", "--sim", "--out", rig.out()]);
    assert_eq!(it.wait(), 2, "{}", it.text());
    let text = it.text();
    assert!(text.contains("TERM=dumb") && text.contains("alphascope sweep"), "{text}");
    assert!(!rig.path("run").exists(), "nothing was begun");
}

#[test]
fn what_the_configuration_cannot_say_is_a_notice() {
    let rig = Rig::new();
    let folder = rig.path("home/config/alphascope");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("config.toml"), "theme = \"pink\"\n").unwrap();
    let mut it = rig.start_in("models", &[], 160, 40);
    it.until("the notice", |screen| screen.contains("\"pink\", which is none of dark"));
    it.press("q");
    it.wait();
    // On the screens of a run it stands in the log.
    let args = ["--demo", "--sim", "--sim-ms", "40", "--out", rig.out()];
    let mut it = rig.start_in("models", &args, 200, 60);
    it.until("the curves", |screen| screen.contains("OOD mean"));
    it.press("l");
    it.until("the notice", |screen| screen.contains("\"pink\", which is none of dark"));
    it.press("\x03");
    it.until("the question", |screen| screen.contains("Stop the sweep?"));
    it.press("\r");
    it.wait();
}
