//! Parse, run, exit code. Everything else is in the library.

#[cfg(all(feature = "torch", target_os = "linux", target_env = "gnu"))]
mod early;

fn main() -> std::process::ExitCode {
    alphascope::cli::main(std::env::args_os())
}
