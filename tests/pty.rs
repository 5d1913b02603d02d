//! The real program in a pseudo-terminal, on the pretend engine: keys in, a
//! screen out, and the terminal given back on every path.
//!
//! Nothing here waits for a time: it waits for what the screen shows.
#![cfg(feature = "tui")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // helpers of tests

#[allow(dead_code, reason = "each test uses its part")]
mod pty_rig;

use std::path::Path;

use alphascope::checkpoint::Checkpoint;

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
fn signals_stop_the_sweep_and_restore_the_terminal() {
    for signal in [Signal::TERM, Signal::USR1, Signal::QUIT] {
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

/// Every kind of checkpoint, files that are none, and a pipe that nobody writes
/// to, among so many files that a screen that read them would stand still.
#[test]
fn the_browser_tells_every_kind_among_five_thousand_files_and_a_pipe() {
    let rig = Rig::new();
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let from = |name: &str, to: &str| {
        std::fs::copy(fixtures.join(name), rig.path("models").join(to)).unwrap();
    };
    from("parity/gelu.safetensors", "run-0000.safetensors");
    for i in 1..5000 {
        let name = format!("run-{i:04}.safetensors");
        std::fs::hard_link(rig.path("models/run-0000.safetensors"), rig.path("models").join(name))
            .unwrap();
    }
    let kinds = ["zip.pt", "legacy.pt", "module.pt", "openai.pt", "bfloat.pth", "wise-ft.pt"];
    for name in kinds {
        from(&format!("containers/{name}"), &format!("kind-{name}"));
    }
    std::fs::write(rig.path("models/kind-empty.bin"), b"").unwrap();
    std::fs::write(rig.path("models/kind-text.ckpt"), b"no checkpoint at all").unwrap();
    // The first of all: highlighted when the folder opens, and read first.
    rig.pipe("models/a-pipe.safetensors");
    let mut it = rig.start_in("models", &[], 180, 30);
    it.until("the form", |screen| screen.contains("set up a sweep"));
    it.press("\r");
    let row = |screen: &str, name: &str, fact: &str| {
        screen.lines().any(|line| line.contains(name) && line.contains(fact))
    };
    it.until("the pipe's error", |screen| row(screen, "a-pipe", "not a regular file"));
    // The highlight goes over a page of files at a time, up and down again.
    it.press(&"\x1b[6~".repeat(40));
    it.press("\x1b[H");
    it.until("the top again", |screen| row(screen, "a-pipe", "not a regular file"));
    it.press("\x1b[F");
    it.until("the last file", |screen| row(screen, "run-4999", "62 tensors"));
    it.press("kind-");
    for (name, fact) in [
        ("kind-zip.pt", "PyTorch zip"),
        ("kind-legacy.pt", "PyTorch legacy"),
        ("kind-module.pt", "50 tensors"),
        ("kind-openai.pt", "TorchScript"),
        ("kind-bfloat.pth", "bf16"),
        ("kind-wise-ft.pt", "tensors"),
        ("kind-empty.bin", "✗"),
        ("kind-text.ckpt", "✗"),
    ] {
        it.until(name, |screen| row(screen, name, fact));
    }
    it.press("\x15run-2718");
    it.until("one of many", |screen| row(screen, "run-2718", "62 tensors"));
    it.press("\x15a-pipe\r");
    it.until("the pipe in the form", |screen| {
        !screen.contains("Choose the zero") && screen.contains("not a regular file")
    });
    // The same folder, and pipes in a folder of shards, as datasets.
    std::fs::create_dir(rig.path("models/shards")).unwrap();
    std::fs::write(rig.path("models/shards/classnames.txt"), "cat\ndog\n").unwrap();
    rig.pipe("models/shards/0.tar");
    rig.pipe("models/b-pipe.tar");
    it.press("\x1b[B\r");
    it.until("the browser for datasets", |screen| screen.contains("Choose a dataset"));
    it.press("b-pipe");
    it.until("the pipe's error", |screen| row(screen, "b-pipe", "pipe, socket or device"));
    it.press("\x15shards");
    it.until("the folder's error", |screen| row(screen, "shards/", "no dataset itself"));
    it.press("\x03");
    assert_eq!(it.wait(), 0);
    it.check_restored();
}

/// The list fills while keys are answered; runs are opened, left and deleted.
#[test]
fn a_library_of_five_hundred_runs() {
    let rig = Rig::new();
    let (code, _, error) =
        rig.output(&["sweep", "--demo", "--sim", "--sim-ms", "0", "--out", rig.out()]);
    assert_eq!(code, 0, "{error}");
    let runs = rig.path("runs");
    std::fs::create_dir(&runs).unwrap();
    for i in 0..500 {
        let dir = runs.join(format!("run-{i:03}"));
        std::fs::create_dir(&dir).unwrap();
        // The same files under many names.
        for file in ["events.jsonl", "spec.toml"] {
            std::fs::hard_link(rig.path("run").join(file), dir.join(file)).unwrap();
        }
    }
    let mut it = rig.start(&["runs", "--screen", "--runs", runs.to_str().unwrap()]);
    it.until("a first run", |screen| screen.contains("run-"));
    it.press("?");
    it.until("the help page", |screen| screen.contains("Keys: esc closes"));
    it.press("\x1b");
    it.until("all runs", |screen| screen.contains(" 500 runs") && !screen.contains("runs…"));
    it.press("/07");
    it.until("some of them", |screen| screen.contains(" of 500 runs"));
    it.press("\r");
    it.press(DOWN);
    it.press("\r");
    it.until("the run", |screen| screen.contains("OOD mean") && screen.contains("complete"));
    it.press("q");
    it.until("the list again", |screen| screen.contains(" of 500 runs"));
    it.press("x");
    it.until("the question", |screen| screen.contains("Delete run-"));
    it.press("\r");
    it.until("one less", |screen| screen.contains(" of 499 runs"));
    assert_eq!(std::fs::read_dir(&runs).unwrap().count(), 499);
    it.press("q");
    assert_eq!(it.wait(), 0);
    it.check_restored();
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

/// The journal's lines of one kind.
fn journal(rig: &Rig, kind: &str) -> Vec<serde_json::Value> {
    let path = Path::new(rig.out()).join("events.jsonl");
    let text = std::fs::read_to_string(path).unwrap();
    let lines = text.lines().filter_map(|line| serde_json::from_str(line).ok());
    lines.filter(|it: &serde_json::Value| it["event"] == kind).collect()
}

/// The first key after a pause, on a screen that rests, is drawn before anything
/// else can happen: requested is seen, however soon it is in force.
#[test]
fn a_toggled_layer_is_requested_then_in_force_then_a_curve() {
    let rig = Rig::new();
    let mut it = demo(&rig);
    it.until("the curves", |screen| screen.contains("OOD mean"));
    it.press("p");
    it.until("paused", |screen| screen.contains("paused"));
    it.press("2j");
    it.until("the layers", |screen| screen.contains("space: delta 50 %"));
    it.until_quiet();
    it.film();
    it.press(" ");
    it.until("in force", |screen| screen.contains("● delta 50 %"));
    let frames = it.frames();
    let first = |sign: &str| frames.iter().position(|frame| frame.contains(sign));
    let (asked, active) = (first("◌ delta 50 %").unwrap(), first("● delta 50 %").unwrap());
    assert!(asked < active, "requested in frame {asked}, in force in {active}");
    let added = journal(&rig, "variant_added");
    assert_eq!(added.len(), 1);
    let edit = &added[0]["variant"]["sparsify"][0];
    assert_eq!((&edit["method"], &edit["amount"]), (&"delta".into(), &0.5.into()));
    let layer = edit["layer"].as_str().unwrap().to_string();
    // Nothing of it is measured while the sweep rests; then its curve grows.
    let of_it = |it: &serde_json::Value| it["cell"]["variant"] == 1;
    assert!(!journal(&rig, "measured").iter().any(of_it));
    it.press("p1");
    it.until("its curve over the dense one", |screen| {
        screen.contains(&layer) && screen.contains("delta 50 %") && screen.contains("OOD mean")
    });
    rig.until_journal("\"cell\":{\"variant\":1");
    it.press("4");
    it.until("it on the compare screen", |screen| {
        screen.lines().any(|line| line.contains(&layer) && line.contains('%') && line.contains('['))
    });
    it.signal(Signal::TERM);
    assert_eq!(it.wait(), 3);
}

#[test]
fn a_sweep_that_has_ended_goes_on_for_a_toggle_and_for_the_doctor() {
    let rig = Rig::new();
    let mut it = rig.start(&["--demo", "--sim", "--sim-ms", "0", "--out", rig.out()]);
    it.until("the end", |screen| screen.contains("complete"));
    it.press("2j ");
    rig.until_journal("\"variant_added\"");
    it.until("in force", |screen| screen.contains("● delta 50 %"));
    rig.until_journal_times("\"finished\"", 2);
    assert_eq!(journal(&rig, "started").len(), 2);
    assert!(journal(&rig, "header").len() == 1 && journal(&rig, "probing").len() <= 1);
    it.press("D");
    it.until("the doctor's end", |screen| screen.contains("Doctor:") && screen.contains("done"));
    it.until("its budget", |screen| screen.contains("edits tried on"));
    it.press("\r");
    it.until("its choice", |screen| screen.contains("less dense") && screen.contains("doctor: "));
    assert_eq!(journal(&rig, "doctor").len(), 1);
    // Its last result is on the screen before its end is.
    rig.until_journal_times("\"finished\"", 3);
    it.until("the end of the doctor's session", |screen| screen.contains("q leave"));
    it.press("q");
    assert_eq!(it.wait(), 0, "{}", it.text());
    it.check_restored();
}

/// It belongs to nobody until more is asked of it.
#[test]
fn a_watched_run_that_is_over_goes_on_when_more_is_asked() {
    let rig = Rig::new();
    let sweep = ["sweep", "--demo", "--sim", "--sim-ms", "0", "--out", rig.out()];
    let (code, _, error) = rig.output(&sweep);
    assert_eq!(code, 0, "{error}");
    let mut it = rig.start(&["watch", "--sim", "--sim-ms", "0", rig.out()]);
    it.until("the end", |screen| screen.contains("complete"));
    assert_eq!(journal(&rig, "started").len(), 1);
    it.press("2");
    it.until("the key that asks", |screen| screen.contains("sparsify"));
    it.press("j ");
    rig.until_journal("\"variant_added\"");
    it.until("in force", |screen| screen.contains("● delta 50 %"));
    rig.until_journal_times("\"finished\"", 2);
    it.until("the end of it", |screen| screen.contains("complete") && screen.contains("q leave"));
    it.press("q");
    assert_eq!(it.wait(), 0, "{}", it.text());
    it.check_restored();
    assert_eq!((journal(&rig, "started").len(), journal(&rig, "header").len()), (2, 1));
}

#[test]
fn the_demo_begins_on_the_live_screen() {
    let rig = Rig::new();
    let mut it = demo(&rig);
    it.film();
    it.until("the curves", |screen| screen.contains("OOD mean"));
    let frames = it.frames();
    assert!(frames.iter().any(|it| it.contains("loading the demo (")), "{frames:#?}");
    assert!(!frames.iter().any(|it| it.contains("set up a sweep")), "{frames:#?}");
    it.signal(Signal::TERM);
    assert_eq!(it.wait(), 3);
}

#[test]
fn a_point_is_written_as_a_checkpoint_and_never_over_a_file_unasked() {
    let rig = Rig::new();
    let mut it = demo(&rig);
    it.until("the curves", |screen| screen.contains("OOD mean"));
    it.press("b0W");
    it.until("the form", |screen| screen.contains("Write a checkpoint"));
    it.press("\x15out.safetensors");
    it.until("the name", |screen| screen.contains("out.safetensors"));
    let file = rig.path("models/out.safetensors");
    std::fs::write(&file, b"mine").unwrap();
    it.press("\r");
    it.until("the question", |screen| screen.contains("replace it"));
    assert_eq!(std::fs::read(&file).unwrap(), b"mine");
    it.press("\r");
    it.until("that it is written", |screen| screen.contains("wrote out.safetensors"));
    // With the head that the run measures: only the fine-tuned file of the demo stores one, and
    // the other end's is made of the run's own classes and prompts.
    let written = Checkpoint::open(&file).unwrap();
    assert!(written.names().any(|name| name == "classification_head.weight"));
    // A folder that is not there is told, and the form stays.
    it.press("W\x15no/where.safetensors\r");
    it.until("why not", |screen| screen.contains("is no folder") && screen.contains("where"));
    it.press("\x1b");
    it.until("no form", |screen| !screen.contains("Write a checkpoint"));
    it.signal(Signal::TERM);
    assert_eq!(it.wait(), 3);
}

#[test]
fn another_run_is_shown_beside_the_watched_one() {
    let rig = Rig::new();
    let other = rig.path("other");
    let other = other.to_str().unwrap();
    for (demo, out) in [("hot", rig.out()), ("failed", other)] {
        let sweep = ["sweep", "--demo", demo, "--sim", "--sim-ms", "0", "--out", out];
        let mut sweep = rig.start(&sweep);
        assert_eq!(sweep.wait(), 0, "{}", sweep.text());
    }
    let mut it = rig.start_in("models", &["watch", rig.out(), other], 160, 40);
    it.until("both", |screen| screen.contains("other: dense") && screen.contains("less dense"));
    it.until("that they are paired", |screen| screen.contains("on the very same images"));
    // Taken away, and opened again by its path.
    it.press("x");
    it.until("one", |screen| !screen.contains("other: dense"));
    it.press(&format!("o{other}\r"));
    it.until("both again", |screen| screen.contains("other: dense"));
    it.press("o/no/such/run\r");
    it.until("that there is none", |screen| screen.contains("/no/such/run"));
    it.press("q");
    assert_eq!(it.wait(), 0);
    it.check_restored();
}
