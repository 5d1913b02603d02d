//! Logs: one of the program and one of each run, of bounded size; and what a
//! library prints is in them and never on the screen.
#![cfg(feature = "tui")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // helpers of tests

#[allow(dead_code, reason = "each test uses its part")]
mod pty_rig;

use pty_rig::Rig;
use rustix::process::Signal;

const WORDS: &str = "pretended words of a library on";

fn read(rig: &Rig, name: &str) -> String {
    std::fs::read_to_string(rig.path(name)).unwrap_or_default()
}

const PROGRAM: &str = "home/state/alphascope/alphascope.log";

#[test]
fn what_a_library_prints_is_in_the_log_and_never_on_the_screen() {
    let rig = Rig::new();
    let mut it = rig.start(&["--demo", "--sim", "noisy", "--sim-ms", "2", "--out", rig.out()]);
    it.film();
    it.until("the curves", |screen| screen.contains("OOD mean"));
    rig.until_journal("\"measured\"");
    // Suspended, the terminal is the shell's; afterwards the words go away again.
    it.signal(Signal::TSTP);
    it.until_stopped();
    it.signal(Signal::CONT);
    it.until("the curves again", |screen| screen.contains("OOD mean"));
    rig.until_journal_times("\"measured\"", 20);
    it.signal(Signal::TERM);
    it.wait_gone();
    let frames = it.frames();
    assert_eq!(it.wait(), 3);
    it.check_restored();
    assert!(frames.len() > 3, "{} frames", frames.len());
    assert!(!frames.iter().any(|frame| frame.contains("pretended words")));
    // The last words are the program's own, on the terminal again.
    let text = it.text();
    assert!(text.contains("alphascope sweep --resume --out") && !text.contains(WORDS), "{text}");
    let log = read(&rig, PROGRAM);
    for stream in ["stdout", "stderr"] {
        assert!(log.matches(&format!("{WORDS} {stream}")).count() >= 20, "{stream}: {log}");
    }
}

#[test]
fn a_message_of_a_panic_is_on_the_terminal_although_others_print() {
    let rig = Rig::new().env("ALPHASCOPE_TEST_PANIC", "1");
    let mut it = rig.start(&["--demo", "--sim", "noisy", "--sim-ms", "20", "--out", rig.out()]);
    it.until("the curves", |screen| screen.contains("OOD mean"));
    it.press("\x1b[24~"); // F12
    assert_eq!(it.wait(), 3);
    it.check_restored();
    assert!(it.text().contains("ALPHASCOPE_TEST_PANIC is set"), "{}", it.text());
}

#[test]
fn each_run_has_a_log_of_its_own() {
    let rig = Rig::new();
    let (code, _, error) =
        rig.output(&["sweep", "--demo", "--sim", "hole", "--sim-ms", "0", "--out", rig.out()]);
    assert_eq!(code, 1, "{error}");
    let other = rig.path("other");
    let args = ["sweep", "--demo", "--sim", "--sim-ms", "0", "--out", other.to_str().unwrap()];
    assert_eq!(rig.output(&args).0, 0);
    let (run, second, program) =
        (read(&rig, "run/run.log"), read(&rig, "other/run.log"), read(&rig, PROGRAM));
    for words in ["measures on pretend engine", "pretended failure at α", "Partial"] {
        assert!(run.contains(words), "{words}: {run}");
        assert!(program.contains(words), "{words}: {program}");
    }
    assert!(second.contains("Complete") && !second.contains("pretended failure"), "{second}");
}

#[test]
fn logs_stay_small_whoever_writes_them() {
    const SIZE: u64 = 20_000;
    let rig = Rig::new().env("ALPHASCOPE_LOG_SIZE", &SIZE.to_string());
    let mut it = rig.start(&["--demo", "--sim", "noisy", "--sim-ms", "1", "--out", rig.out()]);
    it.until("the end", |screen| screen.contains("complete"));
    it.press("q");
    assert_eq!(it.wait(), 0);
    let folder = rig.path("home/state/alphascope");
    let sizes: Vec<u64> = ["alphascope.log", "alphascope.log.1"]
        .map(|name| std::fs::metadata(folder.join(name)).unwrap().len())
        .to_vec();
    // More than half a million bytes are printed. Between two looks at the size come those of
    // the batches measured meanwhile: how many, the machine's load decides.
    assert!(sizes.iter().all(|&size| size < 10 * SIZE), "{sizes:?}");
    let logs = std::fs::read_dir(&folder).unwrap().flatten();
    let logs = logs.filter(|it| it.file_name().to_string_lossy().contains(".log")).count();
    assert_eq!(logs, 2, "one earlier log is kept");
    // In the background they are the same file as standard output and error.
    let rig = Rig::new().env("ALPHASCOPE_LOG_SIZE", &SIZE.to_string());
    let mut it = rig.start(&[
        "sweep",
        "--demo",
        "--sim",
        "noisy",
        "--sim-ms",
        "0",
        "--background",
        "--out",
        rig.out(),
    ]);
    assert_eq!(it.wait(), 0, "{}", it.text());
    rig.until_journal("\"finished\"");
    rig.until_free();
    for name in ["run/run.log", "run/run.log.1"] {
        let size = std::fs::metadata(rig.path(name)).unwrap().len();
        assert!(0 < size && size < 10 * SIZE, "{name}: {size}");
    }
}
