//! Alerts as the terminal and a program of the user's own get them.
#![cfg(feature = "tui")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // helpers of tests

#[allow(dead_code, reason = "each test uses its part")]
mod pty_rig;

use std::os::unix::fs::PermissionsExt;

use pty_rig::Rig;
use rustix::process::Signal;

/// A program that writes down what it is told.
fn program(rig: &Rig) -> String {
    let path = rig.path("tell me");
    let text = "#!/bin/sh\n\
        printf '%s|%s|%s|%s|%s|%s\\n' \"$ALPHASCOPE_ALERT\" \"$ALPHASCOPE_RUN\" \"$ALPHASCOPE_GAIN\" \
        \"$ALPHASCOPE_BEST_ALPHA\" \"$ALPHASCOPE_TEXT\" \"$*\" >> \"$0.out\"\necho words >&1\n";
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path.to_str().unwrap().to_string()
}

/// A run whose name means harm to a shell and to a terminal.
const NAME: &str = "run $(touch hacked);`touch hacked`\x1b]0;x\x07";

#[test]
fn a_program_is_told_in_variables_and_no_shell_reads_them() {
    let rig = Rig::new();
    let (alert, out) = (program(&rig), rig.path(NAME));
    let out = out.to_str().unwrap();
    let sweep = ["sweep", "--demo", "--sim", "--sim-ms", "0", "--out", out, "--alert", &alert];
    let (code, text, error) = rig.output(&sweep);
    assert_eq!(code, 0, "{error}");
    assert!(!text.contains("words"), "its words are not among the results");
    rig.until_file("tell me.out", "success|");
    let told = rig.until_file("tell me.out", "complete|");
    for line in told.lines() {
        let fields: Vec<&str> = line.split('|').collect();
        assert_eq!(fields[1], out);
        assert!(fields[2].parse::<f64>().unwrap() > 0.0, "{line}");
        assert_eq!(fields[3], "0.3");
        assert!(fields[4].starts_with("success: OOD accuracy"), "{line}");
    }
    assert_eq!(told.lines().count(), 2, "each once: {told}");
    assert!(!rig.path("models/hacked").exists() && !rig.path("hacked").exists());
    // What is known is not told again; that it ended is.
    let resumed = ["sweep", "--resume", "--sim", "--sim-ms", "0", "--out", out, "--alert", &alert];
    assert_eq!(rig.output(&resumed).0, 0);
    let twice = |text: &str| text.matches("complete|").count() == 2;
    while !twice(&rig.until_file("tell me.out", "complete|")) {}
    assert_eq!(rig.until_file("tell me.out", "success|").lines().count(), 3);
}

/// Only what the program was loaded with counts; its children have it from there.
#[cfg(all(feature = "torch", target_os = "linux"))]
#[test]
fn threads_that_wait_go_to_sleep_soon_unless_told_how_to_wait() {
    for (told, expected) in [(None, "1000"), (Some("7"), "7")] {
        let rig = Rig::new();
        let alert = rig.path("tell me");
        let text = "#!/bin/sh\nprintf '%s\\n' \"$GOMP_SPINCOUNT\" > \"$0.out\"\n";
        std::fs::write(&alert, text).unwrap();
        std::fs::set_permissions(&alert, std::fs::Permissions::from_mode(0o755)).unwrap();
        let mut sweep = std::process::Command::new(Rig::program());
        sweep.args(["sweep", "--demo", "--sim", "--sim-ms", "0", "--out", rig.out(), "--alert"]);
        sweep.arg(&alert).env("HOME", rig.path("home")).env_remove("OMP_WAIT_POLICY");
        match told {
            Some(turns) => sweep.env("GOMP_SPINCOUNT", turns),
            None => sweep.env_remove("GOMP_SPINCOUNT"),
        };
        assert!(sweep.output().unwrap().status.success());
        rig.until_file("tell me.out", &format!("{expected}\n"));
    }
}

#[test]
fn failures_of_the_path_and_of_the_sweep_are_told() {
    for (script, kind, code) in
        [("failure", "failure-mode|", 0), ("lost", "failed|", 3), ("hole", "partial|", 1)]
    {
        let rig = Rig::new();
        let alert = program(&rig);
        let sweep = [
            "sweep",
            "--demo",
            "--sim",
            script,
            "--sim-ms",
            "0",
            "--out",
            rig.out(),
            "--alert",
            &alert,
        ];
        assert_eq!(rig.output(&sweep).0, code);
        rig.until_file("tell me.out", kind);
    }
    // A program that is not there costs a line of the log, not the sweep.
    let rig = Rig::new();
    let sweep = [
        "sweep",
        "--demo",
        "--sim",
        "--sim-ms",
        "0",
        "--out",
        rig.out(),
        "--alert",
        "no-such-program",
    ];
    assert_eq!(rig.output(&sweep).0, 0);
    rig.until_file("home/state/alphascope/alphascope.log", "cannot start the alert");
    let (code, _, error) = rig.output(&["sweep", "--demo", "--notify", "smoke"]);
    assert!(code == 2 && error.contains("osc9, osc777 or off"), "{error}");
}

#[test]
fn the_screen_rings_and_notifies_between_frames() {
    for (tmux, osc) in
        [("", "\x1b]9;alphascope: run"), ("/tmp/tmux,1,0", "\x1bPtmux;\x1b\x1b]9;alphascope: run")]
    {
        let rig = Rig::new().env("TMUX", tmux);
        let alert = program(&rig);
        let mut it = rig.start(&[
            "--demo",
            "--sim",
            "--sim-ms",
            "0",
            "--out",
            rig.out(),
            "--bell",
            "--notify",
            "osc9",
            "--alert",
            &alert,
        ]);
        it.until("the end", |screen| screen.contains("complete"));
        rig.until_file("tell me.out", "complete|");
        rig.until_file("tell me.out", "success|");
        it.press("q");
        assert_eq!(it.wait(), 0);
        it.check_restored();
        for kind in ["success", "complete"] {
            assert_eq!(it.written(&format!("{osc} {kind}: success: OOD")), 1, "{kind}");
        }
        assert_eq!(it.written(&format!("\x07{osc}")), 2, "a bell before each");
        assert!(!it.text().contains("alphascope: run"), "{}", it.text());
    }
}

#[test]
fn the_configuration_says_it_once_and_for_all_and_an_asked_stop_is_no_alert() {
    let rig = Rig::new();
    let alert = program(&rig);
    let folder = rig.path("home/config/alphascope");
    std::fs::create_dir_all(&folder).unwrap();
    let config = format!("notify = 'osc777'\nalert = ['{alert}', 'a b', '$HOME']\n");
    std::fs::write(folder.join("config.toml"), config).unwrap();
    let mut it = rig.start(&["sweep", "--demo", "--sim", "--sim-ms", "0", "--out", rig.out()]);
    assert_eq!(it.wait(), 0, "{}", it.text());
    let told = rig.until_file("tell me.out", "complete|");
    assert!(told.contains("|a b $HOME\n"), "arguments as they are: {told}");
    assert_eq!(it.written("\x1b]777;notify;alphascope;run complete: success"), 1);
    // Flags come after it.
    let args = ["--demo", "--sim", "--sim-ms", "20", "--out", "other", "--notify", "off"];
    let mut it = rig.start(&args);
    it.until("the curves", |screen| screen.contains("OOD mean"));
    it.signal(Signal::TERM);
    assert_eq!(it.wait(), 3);
    assert_eq!(it.written("\x1b]777;"), 0);
    let told = rig.until_file("tell me.out", "complete|");
    assert!(!told.contains("failed|") && told.matches("complete|").count() == 1, "{told}");
}

/// The process that goes on in the background tells it.
#[test]
fn alerts_go_to_the_background_with_the_sweep() {
    let rig = Rig::new();
    program(&rig);
    let mut it = rig.start(&[
        "sweep",
        "--demo",
        "--sim",
        "--sim-ms",
        "0",
        "--background",
        "--out",
        rig.out(),
        "--alert",
        "../tell me",
    ]);
    assert_eq!(it.wait(), 0, "{}", it.text());
    rig.until_file("tell me.out", "complete|");
}
