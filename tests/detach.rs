//! A sweep outlives its terminal: left in the background, hung up, watched and
//! commanded by others, and never written by two.
//!
//! As in `pty.rs` nothing waits for a time, but for what a screen or the journal
//! shows.
#![cfg(feature = "tui")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // helpers of tests

#[allow(dead_code, reason = "each test uses its part")]
mod pty_rig;

use pty_rig::{Program, Rig};
use rustix::process::{Pid, Signal, getsid, kill_process};

/// A pretended demo sweep that takes minutes.
fn slow(rig: &Rig) -> Program {
    rig.start(&["--demo", "--sim", "--sim-ms", "40", "--out", rig.out()])
}

/// One that is over soon, held by a pause at its start.
fn held(rig: &Rig) -> Program {
    let mut it = rig.start(&["--demo", "--sim", "--sim-ms", "1", "--out", rig.out()]);
    it.until("the curves", |screen| screen.contains("OOD mean"));
    it.press("p");
    rig.until_journal("\"paused\"");
    it
}

fn pid(rig: &Rig) -> Pid {
    Pid::from_raw(rig.holder().expect("nobody has the run")).unwrap()
}

/// The numbers of a run, without what tells of time.
fn numbers(rig: &Rig, dir: &str) -> serde_json::Value {
    let (code, text, error) = rig.output(&["report", dir, "--format", "json"]);
    assert_eq!(code, 0, "{error}");
    let mut value: serde_json::Value = serde_json::from_str(&text).unwrap();
    value["header"].as_object_mut().unwrap().remove("seconds").unwrap();
    value
}

/// The line drops: the sweep goes on without a screen, is found again by
/// `watch`, commanded over its socket, and ends as one that nothing happened to.
#[test]
fn a_hung_up_sweep_goes_on_and_ends_as_an_undisturbed_one() {
    let rig = Rig::new();
    let mut it = held(&rig);
    let before = pid(&rig);
    it.hang_up();
    it.wait_gone();
    // Another process has the run, in a session of its own, still paused.
    let after = pid(&rig);
    assert_ne!(before, after);
    assert_eq!(getsid(Some(after)).unwrap(), after);
    rig.until_journal_times("\"event\":\"started\"", 2);
    rig.until_journal_times("\"event\":\"paused\"", 2);
    let mut watcher = rig.start(&["watch", rig.out()]);
    watcher.until("the pause", |screen| screen.contains("paused"));
    watcher.until("the key that goes on", |screen| screen.contains("resume"));
    watcher.press("p");
    rig.until_journal("\"event\":\"resumed\"");
    watcher.until("the end", |screen| screen.contains("complete"));
    watcher.press("q");
    assert_eq!(watcher.wait(), 0);
    rig.until_free();
    let other = rig.path("undisturbed");
    let other = other.to_str().unwrap();
    let (code, _, error) =
        rig.output(&["sweep", "--demo", "--sim", "--sim-ms", "0", "--out", other]);
    assert_eq!(code, 0, "{error}");
    assert_eq!(numbers(&rig, rig.out()), numbers(&rig, other));
    // Nothing was measured twice.
    let journal = std::fs::read_to_string(rig.path("run/events.jsonl")).unwrap();
    let mut seen = std::collections::HashSet::new();
    for line in journal.lines() {
        let event: serde_json::Value = serde_json::from_str(line).unwrap();
        if event["event"] == "measured" || event["event"] == "probed" {
            let what = format!("{}{}{}", event["event"], event["cell"], event["round"]);
            assert!(seen.insert(what), "measured twice: {line}");
        }
    }
    // What the process said went to its log, not to a terminal that is gone.
    let log = std::fs::read_to_string(rig.path("run/run.log")).unwrap();
    assert!(log.contains("run folder:") && log.contains("complete in"), "{log}");
}

#[test]
fn sighup_leaves_the_sweep_in_the_background_and_the_terminal_clean() {
    let rig = Rig::new();
    let mut it = slow(&rig);
    it.until("the curves", |screen| screen.contains("OOD mean"));
    it.signal(Signal::HUP);
    assert_eq!(it.wait(), 0, "{}", it.text());
    it.check_restored();
    assert!(it.text().contains("goes on in the background"), "{}", it.text());
    rig.until_journal_times("\"event\":\"started\"", 2);
    // It stops in good order when it is told to.
    kill_process(pid(&rig), Signal::TERM).unwrap();
    rig.until_free();
    rig.until_journal_times("\"event\":\"finished\"", 2);
}

#[test]
fn a_sweep_is_left_in_the_background_by_a_key_and_stopped_from_a_watcher() {
    let rig = Rig::new();
    let mut it = slow(&rig);
    it.until("the curves", |screen| screen.contains("OOD mean"));
    it.press("q");
    it.until("the question", |screen| screen.contains("go on in the background"));
    it.press("b");
    assert_eq!(it.wait(), 0, "{}", it.text());
    it.check_restored();
    let text = it.text();
    assert!(text.contains("watch it with: alphascope watch"), "{text}");
    let mut watcher = rig.start(&["watch", rig.out()]);
    watcher.until("that it is attached", |screen| screen.contains("pause"));
    watcher.press("Q");
    watcher.until("the question", |screen| {
        screen.contains("Stop the sweep?") && !screen.contains("background")
    });
    watcher.press("a");
    rig.until_journal_times("\"event\":\"finished\"", 2);
    watcher.until("the end", |screen| screen.contains("can be resumed"));
    rig.until_free();
    watcher.press("q");
    assert_eq!(watcher.wait(), 0);
    watcher.check_restored();
}

#[test]
fn two_watch_and_command_a_sweep_that_has_a_screen() {
    let rig = Rig::new();
    let mut it = slow(&rig);
    it.until("the curves", |screen| screen.contains("OOD mean"));
    let mut one = rig.start(&["watch", rig.out()]);
    let mut two = rig.start(&["watch", rig.out()]);
    for watcher in [&mut one, &mut two] {
        watcher.until("the same run", |screen| screen.contains("OOD mean"));
        watcher.until("the key that pauses", |screen| screen.contains("pause"));
    }
    one.press("p");
    for program in [&mut it, &mut one, &mut two] {
        program.until("the pause", |screen| screen.contains("paused"));
    }
    two.press("p");
    rig.until_journal("\"resumed\"");
    for program in [&mut it, &mut one, &mut two] {
        program.until("no pause", |screen| !screen.contains("paused"));
    }
    // A watcher that leaves takes nothing with it.
    one.press("q");
    assert_eq!(one.wait(), 0);
    one.check_restored();
    two.press("p");
    rig.until_journal_times("\"paused\"", 2);
    // The one that measured is killed: who watches is told that nobody does.
    it.signal(Signal::KILL);
    it.wait_gone();
    two.until("the interruption", |screen| screen.contains("interrupted, can be resumed"));
    two.press("p");
    two.until("why not", |screen| screen.contains("nobody measures this run"));
    two.press("q");
    assert_eq!(two.wait(), 0);
}

#[test]
fn a_second_writer_is_refused_by_name_and_a_dead_one_is_followed() {
    let rig = Rig::new();
    let mut it = slow(&rig);
    it.until("the curves", |screen| screen.contains("OOD mean"));
    let holder = rig.holder().unwrap();
    for args in
        [&["sweep", "--resume", "--out"][..], &["sweep", "--background", "--resume", "--out"]]
    {
        let mut args = args.to_vec();
        args.push(rig.out());
        let (code, _, error) = rig.output(&args);
        assert_eq!(code, 2, "{error}");
        assert!(error.contains(&format!("process {holder} of ")), "{error}");
        assert!(error.contains("alphascope watch"), "{error}");
    }
    it.signal(Signal::KILL);
    it.wait_gone();
    assert_eq!(rig.holder(), None);
    let args = ["sweep", "--resume", "--background", "--sim", "--sim-ms", "40", "--out", rig.out()];
    let (code, text, error) = rig.output(&args);
    assert_eq!(code, 0, "{error}");
    assert!(text.contains("goes on in the background") && text.contains("watch it with"), "{text}");
    rig.until_journal(&format!("process {holder} of "));
    rig.until_journal("ended without closing the run");
}

#[test]
fn a_background_sweep_that_cannot_start_says_why() {
    let rig = Rig::new();
    let spec = rig.path("spec.toml");
    std::fs::write(&spec, "[checkpoints]\nzeroshot = 'no.pt'\nfinetuned = 'no.pt'\n").unwrap();
    let args = ["sweep", "--background", spec.to_str().unwrap(), "--out", rig.out()];
    let (code, text, error) = rig.output(&args);
    assert_eq!((code, text.as_str()), (2, ""), "{error}");
    assert!(error.contains("error:"), "{error}");
    assert!(!rig.path("run").exists(), "nothing is left behind");
    assert!(!error.contains("run.log"), "what is not there is not named: {error}");
}

#[test]
fn a_headless_sweep_does_not_need_its_terminal() {
    let rig = Rig::new();
    let mut it = rig.start(&["sweep", "--demo", "--sim", "--sim-ms", "2", "--out", rig.out()]);
    it.until("the start", |screen| screen.contains("measuring on"));
    let before = rig.holder();
    it.hang_up();
    rig.until_journal("\"event\":\"finished\",\"outcome\":\"complete\"");
    assert_eq!(it.wait_gone(), 0);
    let journal = std::fs::read_to_string(rig.path("run/events.jsonl")).unwrap();
    assert_eq!(journal.matches("\"event\":\"started\"").count(), 1, "by the same process");
    assert!(before.is_some() && rig.holder().is_none());
}

/// One image of the run's first dataset becomes another one, by a byte at its end.
fn change_an_input(rig: &Rig) {
    let text = std::fs::read_to_string(rig.path("run/spec.toml")).unwrap();
    let spec: toml::Table = text.parse().unwrap();
    let mut path = std::path::PathBuf::from(spec["datasets"][0]["path"].as_str().unwrap());
    while path.is_dir() {
        let mut below: Vec<_> =
            std::fs::read_dir(&path).unwrap().map(|it| it.unwrap().path()).collect();
        below.sort();
        path = below.swap_remove(0);
    }
    let mut bytes = std::fs::read(&path).unwrap();
    bytes.push(0);
    std::fs::write(&path, bytes).unwrap();
}

fn started(rig: &Rig) -> usize {
    let journal = std::fs::read_to_string(rig.path("run/events.jsonl")).unwrap();
    journal.matches("\"event\":\"started\"").count()
}

/// To have the run is not to measure it: what is refused after that is told.
#[test]
fn a_background_start_that_is_refused_is_no_success() {
    let rig = Rig::new();
    let (code, _, error) =
        rig.output(&["sweep", "--demo", "--sim", "--sim-ms", "0", "--out", rig.out()]);
    assert_eq!(code, 0, "{error}");
    let again = ["sweep", "--resume", "--background", "--sim", "--sim-ms", "0", "--out", rig.out()];
    let (code, text, error) = rig.output(&again);
    assert_eq!(code, 0, "nothing is owed, and that is no failure: {error}");
    assert!(text.contains("goes on in the background"), "{text}");
    change_an_input(&rig);
    let before = started(&rig);
    let (code, text, error) = rig.output(&again);
    assert_eq!((code, text.as_str()), (2, ""), "{error}");
    for words in ["before it measured", "cannot resume", "`inputs.datasets.", "run.log has more"] {
        assert!(error.contains(words), "{words}: {error}");
    }
    assert_eq!((rig.holder(), started(&rig)), (None, before));
}

#[test]
fn a_screen_keeps_a_sweep_that_another_process_would_be_refused() {
    let rig = Rig::new();
    let mut it = held(&rig);
    let before = pid(&rig);
    change_an_input(&rig);
    it.press("q");
    it.until("the question", |screen| screen.contains("go on in the background"));
    it.press("b");
    it.until("why not", |screen| {
        screen.contains("not in the background") && screen.contains("cannot resume")
    });
    assert_eq!(pid(&rig), before);
    it.press("p");
    it.until("the end", |screen| screen.contains("complete"));
    it.press("q");
    assert_eq!(it.wait(), 0, "{}", it.text());
    assert_eq!(started(&rig), 1, "by one process, in one go");
}

#[test]
fn a_hung_up_sweep_that_cannot_be_handed_over_goes_on_where_it_is() {
    let rig = Rig::new();
    let mut it = held(&rig);
    let before = pid(&rig);
    change_an_input(&rig);
    it.hang_up();
    rig.until_file("run/run.log", "not in the background: cannot resume");
    assert_eq!(pid(&rig), before);
    let mut watcher = rig.start(&["watch", rig.out()]);
    watcher.until("the key that goes on", |screen| screen.contains("resume"));
    watcher.press("p");
    rig.until_journal("\"event\":\"finished\",\"outcome\":\"complete\"");
    assert_eq!(it.wait_gone(), 0);
    assert_eq!(started(&rig), 1, "by one process, in one go");
    watcher.press("q");
    assert_eq!(watcher.wait(), 0);
}
