//! The real program in a pseudo-terminal, on the pretend engine: keys in, a
//! screen out, and the terminal given back on every path.
//!
//! Nothing here waits for a time: it waits for what the screen shows.
#![cfg(feature = "tui")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // helpers of tests

mod pty_rig;

use std::path::Path;

use pty_rig::{Program, Rig};
use rustix::process::Signal;

const DOWN: &str = "\x1b[B";

/// A pretended demo sweep that goes on until it is stopped.
fn demo(rig: &Rig) -> Program {
    rig.start(&["--demo", "--sim", "--sim-ms", "40", "--out", rig.out()])
}

#[test]
fn a_live_sweep_is_shown_paused_stopped_and_summed_up() {
    let rig = Rig::new();
    let mut it = demo(&rig);
    it.until("the curves", |screen| screen.contains("zero-shot") && screen.contains("OOD mean"));
    assert!(it.screen().alternate_screen() && it.raw());
    it.press("?");
    it.until("the help page", |screen| screen.contains("Keys: esc closes"));
    it.press("\x1b");
    it.until("no help page", |screen| !screen.contains("Keys: esc closes"));
    it.press("p");
    it.until("paused", |screen| screen.contains("paused"));
    rig.until_journal("\"paused\"");
    it.press("p");
    rig.until_journal("\"resumed\"");
    it.press("q");
    it.until("the question", |screen| screen.contains("Stop the sweep?"));
    it.press("\r");
    let status = it.wait();
    assert_eq!(status, 3, "stopped early: {}", it.text());
    it.check_restored();
    let text = it.text();
    assert!(text.contains("alphascope:") && text.contains("RFT gain"), "{text}");
    assert!(text.contains("go on with: alphascope sweep --resume --out"), "{text}");
    rig.until_journal("\"finished\"");
}

#[test]
fn an_idle_screen_writes_nothing() {
    let rig = Rig::new();
    let mut it = demo(&rig);
    it.until("the curves", |screen| screen.contains("OOD mean"));
    it.press("p");
    rig.until_journal("\"paused\"");
    it.until("paused", |screen| screen.contains("paused"));
    it.until_quiet();
    let (bytes, busy) = (it.bytes(), it.cpu_ticks());
    // Not a wait for anything to happen: a span in which nothing may.
    std::thread::sleep(std::time::Duration::from_millis(1500));
    assert_eq!(it.bytes(), bytes, "an idle screen wrote: {}", it.text());
    if let (Some(before), Some(after)) = (busy, it.cpu_ticks()) {
        assert!(after <= before + 2, "an idle screen took {} ticks of a CPU", after - before);
    }
    it.signal(Signal::TERM);
    it.wait();
}

#[test]
fn sigterm_and_sighup_stop_the_sweep_and_restore_the_terminal() {
    for signal in [Signal::TERM, Signal::HUP, Signal::INT] {
        let rig = Rig::new();
        let mut it = demo(&rig);
        it.until("the curves", |screen| screen.contains("OOD mean"));
        it.signal(signal);
        assert_eq!(it.wait(), 3, "{signal:?}: {}", it.text());
        it.check_restored();
        rig.until_journal("\"finished\"");
    }
}

#[test]
fn a_panic_restores_the_terminal_before_its_message() {
    let rig = Rig::new();
    let rig = rig.env("ALPHASCOPE_TEST_PANIC", "1");
    let mut it = demo(&rig);
    it.until("the curves", |screen| screen.contains("OOD mean"));
    it.press("\x1b[24~"); // F12
    assert_eq!(it.wait(), 3);
    it.check_restored();
    let text = it.text();
    assert!(text.contains("ALPHASCOPE_TEST_PANIC is set") && text.contains("resume"), "{text}");
    rig.until_journal("\"finished\"");
}

#[test]
fn suspended_it_gives_the_terminal_back_and_takes_it_again() {
    let rig = Rig::new();
    let mut it = demo(&rig);
    it.until("the curves", |screen| screen.contains("OOD mean"));
    it.signal(Signal::TSTP);
    it.until_stopped();
    it.until("the normal screen", |screen| !screen.contains("OOD mean"));
    it.check_restored();
    it.signal(Signal::CONT);
    it.until("the curves again", |screen| screen.contains("OOD mean"));
    assert!(it.screen().alternate_screen() && it.raw());
    it.press("?");
    it.until("the help page", |screen| screen.contains("Keys: esc closes"));
    // Stopped from outside, without a chance to tidy up, while a shell took
    // the terminal: it is taken again.
    it.signal(Signal::STOP);
    it.until_stopped();
    it.scramble();
    it.signal(Signal::CONT);
    it.until("the help page again", |screen| screen.contains("Keys: esc closes"));
    assert!(it.screen().alternate_screen() && it.raw());
    it.signal(Signal::TERM);
    assert_eq!(it.wait(), 3);
    it.check_restored();
}

/// Under a script as under `make demo`: the whole job stops and goes on.
#[test]
fn ctrl_z_goes_to_the_shell_and_fg_comes_back() {
    let rig = Rig::new();
    let mut it = rig.shell();
    let program = Rig::program();
    let out = rig.out();
    it.press(&format!(
        "sh -c '\"{program}\" --demo --sim --sim-ms 40 --out \"{out}\"; echo code $?'\r"
    ));
    for _ in 0..2 {
        it.until("the curves", |screen| screen.contains("OOD mean"));
        it.press("\x1a");
        it.until("the shell", |screen| screen.to_lowercase().contains("stopped"));
        it.press("printf '\\033[2J\\033[H'; echo $((6 * 7))\r");
        it.until("the shell's answer", |screen| screen.lines().any(|line| line.trim() == "42"));
        assert!(!it.screen().alternate_screen() && !it.screen().hide_cursor());
        it.press("fg\r");
    }
    it.until("the curves", |screen| screen.contains("OOD mean"));
    assert!(it.screen().alternate_screen() && it.raw());
    it.press("q\r");
    it.until("the end", |screen| screen.contains("code 3"));
    it.press("exit\r");
    it.wait();
    it.check_restored();
}

#[test]
fn without_a_shell_ctrl_z_says_so_and_stays() {
    let rig = Rig::new();
    let mut it = demo(&rig);
    it.until("the curves", |screen| screen.contains("OOD mean"));
    it.press("\x1a");
    it.until("a word about it", |screen| screen.contains("no shell to come back from"));
    it.signal(Signal::TERM);
    assert_eq!(it.wait(), 3);
}

#[test]
fn a_storm_of_sizes_ends_in_a_whole_screen() {
    let rig = Rig::new();
    let mut it = demo(&rig);
    it.until("the curves", |screen| screen.contains("OOD mean"));
    it.press("p");
    it.until("paused", |screen| screen.contains("paused"));
    for step in 0..40_u16 {
        let (width, height) = if step % 2 == 0 { (40, 12) } else { (200, 60) };
        it.resize(width - step % 3, height - step % 2);
    }
    it.resize(120, 40);
    it.until("all of it", |screen| screen.contains("OOD mean") && screen.contains("paused"));
    it.until_quiet();
    let after = it.text();
    // What a full redraw shows is what was there: the storm left nothing.
    it.press("\x0c");
    it.until_quiet();
    assert_eq!(it.text(), after);
    it.signal(Signal::TERM);
    assert_eq!(it.wait(), 3);
}

#[test]
fn a_hang_up_ends_the_program_and_keeps_the_journal() {
    let rig = Rig::new();
    let mut it = demo(&rig);
    it.until("the curves", |screen| screen.contains("OOD mean"));
    it.hang_up();
    it.wait_gone();
    rig.until_journal("\"finished\"");
}

#[test]
fn the_set_up_screen_chooses_two_files_and_tells_that_they_do_not_match() {
    let rig = Rig::new();
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/parity");
    for (name, fixture) in [("one", "gelu"), ("two", "many-heads")] {
        let to = rig.path(&format!("models/{name}.safetensors"));
        std::fs::copy(fixtures.join(format!("{fixture}.safetensors")), to).unwrap();
    }
    let mut it = rig.start_in("models", &[], 100, 30);
    it.until("the form", |screen| screen.contains("set up a sweep"));
    it.press("\r");
    it.until("the browser", |screen| screen.contains("one.safetensors"));
    it.press("one");
    it.until("only one", |screen| !screen.contains("two.safetensors"));
    it.press("\r");
    it.until("the file", |screen| {
        screen.contains("one.safetensors") && screen.contains("fine-tuned")
    });
    it.press("\r");
    it.until("the browser again", |screen| screen.contains("Choose the fine-tuned"));
    // A pasted path is followed.
    let two = rig.path("models/two.safetensors");
    it.press(&format!("\x1b[200~{}\x1b[201~", two.display()));
    it.until("the path", |screen| screen.contains("path "));
    it.until("only two", |screen| !screen.contains("one.safetensors"));
    it.press("\r");
    it.until("the warning", |screen| screen.contains("do not match"));
    it.until("a difference", |screen| screen.contains("expected"));
    it.press(DOWN);
    it.press("d");
    it.until("the demos", |screen| screen.contains("constructed"));
    it.press("\x1b");
    it.until("no demos", |screen| !screen.contains("constructed"));
    it.press("q");
    assert_eq!(it.wait(), 0);
    it.check_restored();
    // The next time the choices are there.
    let mut it = rig.start_in("models", &[], 100, 30);
    it.until("the choices", |screen| {
        screen.contains("one.safetensors") && screen.contains("two.safetensors")
    });
    it.press("\x03");
    assert_eq!(it.wait(), 0);
}

#[test]
fn watching_shows_a_run_and_follows_it() {
    let rig = Rig::new();
    let mut it = demo(&rig);
    it.until("the curves", |screen| screen.contains("OOD mean"));
    let mut watcher = rig.start(&["watch", rig.out()]);
    watcher.until("the same run", |screen| screen.contains("OOD mean"));
    it.press("p");
    watcher.until("the pause", |screen| screen.contains("paused"));
    watcher.press("p");
    watcher.until("that it only watches", |screen| screen.contains("only watching"));
    watcher.press("q");
    assert_eq!(watcher.wait(), 0);
    watcher.check_restored();
    it.signal(Signal::TERM);
    assert_eq!(it.wait(), 3);
}

#[test]
fn a_picture_is_not_written_to_a_terminal() {
    let rig = Rig::new();
    let mut sweep = rig.start(&["sweep", "--demo", "--sim", "--sim-ms", "0", "--out", rig.out()]);
    assert_eq!(sweep.wait(), 0, "{}", sweep.text());
    let mut it = rig.start(&["report", rig.out(), "--format", "png"]);
    assert_eq!(it.wait(), 2, "{}", it.text());
    let text = it.text();
    assert!(text.contains("give --out FIGURE.png") && !text.contains("IHDR"), "{text}");
}
