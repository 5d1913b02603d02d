//! What signals do: a headless sweep stops in good order, the screen asks, and
//! storms cost nothing.
//!
//! Nothing waits for a time, but for what is written, shown or journalled.
#![cfg(feature = "tui")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // helpers of tests

#[allow(dead_code, reason = "each test uses its part")]
mod pty_rig;

use std::collections::HashSet;
use std::io::{BufRead, BufReader};
use std::process::Child;
use std::time::Instant;

use pty_rig::Rig;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

fn signal(child: &Child, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    kill_process(pid, signal).unwrap();
}

/// Goes on with the run to its end; nothing is measured twice.
fn resume(rig: &Rig) {
    let (code, _, said) =
        rig.output(&["sweep", "--resume", "--sim", "--sim-ms", "0", "--out", rig.out()]);
    assert_eq!(code, 0, "{said}");
    let mut seen = HashSet::new();
    for event in rig.journal() {
        if event["event"] == "measured" || event["event"] == "probed" {
            let what = format!("{}{}{}", event["event"], event["cell"], event["round"]);
            assert!(seen.insert(what), "measured twice: {event}");
        }
    }
}

#[test]
fn one_signal_stops_a_headless_sweep_after_the_batch() {
    for asked in [Signal::INT, Signal::TERM, Signal::USR1] {
        let rig = Rig::new();
        let mut child =
            rig.spawn(&["sweep", "--demo", "--sim", "--sim-ms", "5", "--json", "--out", rig.out()]);
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        lines.find(|line| line.contains("\"measured\"")).unwrap();
        signal(&child, asked);
        let last: Value = serde_json::from_str(&lines.last().unwrap()).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(3), "{asked:?}");
        // Told to the end, closed, and free for the next.
        assert_eq!((&last["event"], &last["outcome"]), (&"finished".into(), &"stopped".into()));
        assert_eq!(rig.journal().last().unwrap(), &last);
        assert_eq!(rig.holder(), None);
        assert!(!rig.path("run/events.owner").exists());
        resume(&rig);
    }
}

#[test]
fn a_second_sigint_does_not_wait_for_the_batch() {
    let rig = Rig::new();
    // A batch takes ten hours.
    let args = ["sweep", "--demo", "--sim", "--sim-ms", "36000000", "--out", rig.out()];
    let mut child = rig.spawn(&args);
    let mut said = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    said.find(|line| line.contains("measuring on")).unwrap();
    signal(&child, Signal::INT);
    said.find(|line| line.contains("once more to stop at once")).unwrap();
    signal(&child, Signal::INT);
    said.find(|line| line.contains("go on with: alphascope sweep --resume --out")).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(3));
    resume(&rig);
}

#[test]
fn sigint_asks_in_the_screen() {
    let rig = Rig::new();
    let mut it = rig.start(&["--demo", "--sim", "--sim-ms", "20", "--out", rig.out()]);
    it.until("the curves", |screen| screen.contains("OOD mean"));
    it.signal(Signal::INT);
    it.until("the question", |screen| screen.contains("Stop the sweep?"));
    it.press("n");
    it.until("no question", |screen| !screen.contains("Stop the sweep?"));
    assert!(!rig.journal().iter().any(|it| it["event"] == "finished"), "it goes on");
    it.signal(Signal::INT);
    it.until("the question again", |screen| screen.contains("Stop the sweep?"));
    it.signal(Signal::INT);
    assert_eq!(it.wait(), 3, "{}", it.text());
    it.check_restored();
    assert_eq!(rig.journal().last().unwrap()["outcome"], "stopped");
    resume(&rig);
}

#[test]
fn storms_of_sizes_cost_nothing() {
    let rig = Rig::new();
    let mut it = rig.start(&["--demo", "--sim", "--sim-ms", "20", "--out", rig.out()]);
    it.until("the curves", |screen| screen.contains("OOD mean"));
    it.press("p");
    rig.until_journal("\"paused\"");
    it.until("paused", |screen| screen.contains("paused"));
    it.until_quiet();
    // The same size, told again and again: not one frame. The help page is the
    // only one.
    it.film();
    for _ in 0..2000 {
        it.signal(Signal::WINCH);
    }
    it.press("?");
    it.until("the help page", |screen| screen.contains("Keys: esc closes"));
    let frames = it.frames().len();
    assert!(frames <= 2, "{frames} frames");
    // Other sizes: no more frames than the rates of keys and data allow, however
    // long it took.
    it.film();
    let began = Instant::now();
    for step in 0..500_u16 {
        it.resize(100 + step % 50, 30 + step % 7);
    }
    it.resize(101, 30);
    it.press("\x1b");
    it.until("the curves", |screen| {
        !screen.contains("Keys: esc closes") && screen.contains("OOD mean")
    });
    let (seconds, frames) = (began.elapsed().as_secs_f64(), it.frames().len());
    assert!((frames as f64) <= 45.0 * seconds + 5.0, "{frames} frames in {seconds} s");
    it.signal(Signal::TERM);
    assert_eq!(it.wait(), 3);
    it.check_restored();
}
