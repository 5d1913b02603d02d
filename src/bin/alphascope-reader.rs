//! `alphascope` without libtorch, for commands that only read files. It is started by `alphascope`
//! (see `alphascope::handover`), never by hand.

use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use alphascope_reader::{cli, handover};

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().collect();
    match handover::typed(&arguments) {
        Some(typed) => cli::main(typed),
        None => back(&arguments),
    }
}

/// Hands the command back to the program beside this one: it is of another build.
fn back(arguments: &[std::ffi::OsString]) -> ExitCode {
    let handed = |word: &&std::ffi::OsString| !word.as_encoded_bytes().starts_with(b"--build=");
    let path = std::env::current_exe().unwrap_or_default();
    let path = path.to_string_lossy();
    let program = PathBuf::from(path.strip_suffix("-reader").unwrap_or("alphascope"));
    let (name, value) = handover::OFF.split_once('=').unwrap_or_default();
    let mut command = Command::new(&program);
    command.args(arguments.iter().skip(1).filter(handed)).env(name, value);
    if let Some(name) = arguments.first() {
        command.arg0(name);
    }
    let error = command.exec();
    eprintln!("error: cannot start {}: {error}; start `alphascope` itself", program.display());
    ExitCode::from(2)
}
