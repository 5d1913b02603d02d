//! Which commands go to the program without libtorch, and what becomes of them where it is not there
//! or of another build.
#![cfg(all(feature = "torch", target_os = "linux", target_env = "gnu"))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // helpers of tests

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use alphascope::handover::BUILD;

const PROGRAM: &str = env!("CARGO_BIN_EXE_alphascope");
const READER: &str = env!("CARGO_BIN_EXE_alphascope-reader");
const CHECKPOINT: &str = "tests/fixtures/checkpoints/pair/bfloat.safetensors";

/// The program in a folder of its own, with a twin that tells how it was started.
fn beside_a_teller(folder: &Path) -> PathBuf {
    let program = folder.join("alphascope");
    fs::copy(PROGRAM, &program).unwrap();
    let twin = folder.join("alphascope-reader");
    fs::write(&twin, "#!/bin/sh\nprintf 'twin: %s\\n' \"$@\"\n").unwrap();
    fs::set_permissions(&twin, fs::Permissions::from_mode(0o755)).unwrap();
    program
}

fn run(program: &Path, words: &[&str]) -> (Output, String) {
    let home = tempfile::tempdir().unwrap();
    let mut command = Command::new(program);
    command.args(words).env("HOME", home.path()).env_remove("ALPHASCOPE_READER");
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    (output, text)
}

#[test]
fn commands_that_read_are_handed_over_as_they_were_typed() {
    let folder = tempfile::tempdir().unwrap();
    let program = beside_a_teller(folder.path());
    let build = BUILD.trim_end_matches('\0');
    for words in
        [&["inspect", "a b", "--json"][..], &["data", ""], &["report", "x"], &["--version"]]
    {
        let expected: String =
            [build].iter().chain(words).map(|word| format!("twin: {word}\n")).collect();
        assert_eq!(run(&program, words).1, expected);
    }
    for words in [&["devices"][..], &["--theme", "dark", "inspect", CHECKPOINT], &["runs", "list"]]
    {
        assert!(!run(&program, words).1.contains("twin:"), "{words:?}");
    }
}

#[test]
fn without_a_twin_the_program_does_it_itself() {
    let folder = tempfile::tempdir().unwrap();
    let alone = folder.path().join("scope");
    fs::copy(PROGRAM, &alone).unwrap();
    let (output, text) = run(&alone, &["inspect", CHECKPOINT]);
    assert!(output.status.success());
    assert_eq!(text, run(Path::new(PROGRAM), &["inspect", CHECKPOINT]).1);
    assert_eq!(
        run(&alone, &["--version"]).1,
        format!("alphascope {}\n", env!("CARGO_PKG_VERSION"))
    );
}

#[test]
fn a_twin_of_another_build_hands_the_command_back() {
    let (output, text) = run(Path::new(READER), &["--build=another", "inspect", CHECKPOINT]);
    assert!(output.status.success());
    assert_eq!(text, run(Path::new(PROGRAM), &["inspect", CHECKPOINT]).1);
    // Nobody is there to take it.
    let folder = tempfile::tempdir().unwrap();
    let alone = folder.path().join("alphascope-reader");
    fs::copy(READER, &alone).unwrap();
    let (output, _) = run(&alone, &["inspect", CHECKPOINT]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("start `alphascope` itself"));
}

#[test]
fn both_say_the_same() {
    for words in [&["--help"][..], &["inspect", "--help"], &["inspect"], &["data", "no such place"]]
    {
        let own =
            Command::new(PROGRAM).args(words).env("ALPHASCOPE_READER", "off").output().unwrap();
        let twins =
            Command::new(PROGRAM).args(words).env_remove("ALPHASCOPE_READER").output().unwrap();
        assert_eq!(own, twins, "{words:?}");
    }
}
