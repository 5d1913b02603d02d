//! `alphascope` without libtorch, for commands that only read files. It is started by `alphascope`
//! (see `alphascope::handover`), never by hand.

use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitCode};

use alphascope_reader::{cli, handover};

fn main() -> ExitCode {
    match handover::received(std::env::args_os()) {
        (true, typed) => cli::main(typed),
        (false, typed) => back(&typed),
    }
}

/// Hands the command back to the program beside this one: it is of another build.
fn back(typed: &[OsString]) -> ExitCode {
    let own = std::env::current_exe().unwrap_or_default();
    let program =
        own.as_os_str().as_bytes().strip_suffix(handover::SUFFIX).unwrap_or(b"alphascope");
    let program = Path::new(OsStr::from_bytes(program));
    let (variable, value) = handover::OFF.split_once('=').unwrap_or_default();
    let mut command = Command::new(program);
    command.env(variable, value);
    if let [name, typed @ ..] = typed {
        command.arg0(name).args(typed);
    }
    let error = command.exec();
    let _ = writeln!(
        std::io::stderr(),
        "error: cannot start {}: {error}; start `alphascope` itself",
        program.display()
    );
    ExitCode::from(2)
}
