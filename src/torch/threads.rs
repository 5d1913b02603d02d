//! How many threads one operation uses on the CPU, and how they wait for each other.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use super::cpu::Cpu;

/// As many as physical cores this process may use: matrix products gain nothing from a core's
/// second thread. `OMP_NUM_THREADS`, where it is set to a number, is taken instead.
#[must_use]
pub fn choose(omp: Option<&str>, cpu: &Cpu) -> usize {
    let asked = omp.and_then(|text| text.split(',').next()?.trim().parse().ok());
    asked
        .filter(|&n| n > 0)
        .unwrap_or_else(|| cpu.threads.min(cpu.cores.unwrap_or(cpu.threads)))
        .max(1)
}

/// Tells libtorch, for the thread that calls. Returns the number.
pub fn set(cpu: &Cpu) -> usize {
    let omp = std::env::var("OMP_NUM_THREADS").ok();
    let threads = choose(omp.as_deref(), cpu);
    tch::set_num_threads(i32::try_from(threads).unwrap_or(i32::MAX));
    threads
}

/// What libgomp reads, once, when the program is loaded: turns of its loop before a thread that
/// waits for the others goes to sleep.
const TURNS: &str = "GOMP_SPINCOUNT";
/// Some microseconds: shorter than most operations, longer than their threads differ by where each
/// has a core of its own.
const FEW: &str = "1000";
/// Settings that say how threads wait; who makes one is obeyed.
const WAITING: [&str; 2] = ["OMP_WAIT_POLICY", TURNS];

/// Starts this program anew, in the same process, with threads that go to sleep soon where they
/// wait for each other. Does nothing where the environment says how they wait already.
///
/// libtorch's threads meet after each operation and spin for milliseconds by default. On a machine
/// with other work a thread that lost its core is waited for by threads that burn theirs: a sweep
/// took three times as long and more (see `bench/RESULTS.md`). The choice is only read from the
/// environment, and before `main`. Where the program was handed to the dynamic loader by name, it
/// cannot be started by its own, and nothing is done.
///
/// # Errors
/// What went wrong in words, for the log; threads spin then.
pub fn sleep_soon() -> Result<(), String> {
    if cfg!(not(target_os = "linux")) || WAITING.iter().any(|it| std::env::var_os(it).is_some()) {
        return Ok(());
    }
    let mut arguments = std::env::args_os();
    let failed = |error| format!("cannot start anew with {TURNS}={FEW}: {error}");
    let program = crate::background::program().map_err(failed)?;
    if is_loader(&program) {
        return Ok(());
    }
    let name = arguments.next().unwrap_or_else(|| OsString::from("alphascope"));
    // It only comes back where it failed.
    Err(failed(Command::new(program).arg0(name).args(arguments).env(TURNS, FEW).exec()))
}

/// True for the names of dynamic loaders: `ld-linux-x86-64.so.2`, `ld-2.31.so`.
fn is_loader(program: &Path) -> bool {
    let name = program.file_name().unwrap_or_default().to_string_lossy();
    name.starts_with("ld") && name.contains(".so")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loader_is_not_this_program() {
        let is = |path| is_loader(Path::new(path));
        assert!(is("/lib64/ld-linux-x86-64.so.2") && is("/lib/ld-2.31.so"));
        assert!(!is("/usr/bin/alphascope") && !is("/opt/ld-tools/alphascope"));
    }

    #[test]
    fn cores_unless_told_or_confined() {
        let cpu = |threads, cores| Cpu { threads, cores, ..Cpu::default() };
        assert_eq!(choose(None, &cpu(16, Some(8))), 8);
        assert_eq!(choose(None, &cpu(2, Some(64))), 2);
        assert_eq!(choose(None, &cpu(4, None)), 4);
        assert_eq!(choose(Some("3"), &cpu(16, Some(8))), 3);
        assert_eq!(choose(Some("6,2"), &cpu(16, Some(8))), 6);
        assert_eq!(choose(Some("many"), &cpu(0, None)), 1);
        assert_eq!(choose(Some("0"), &cpu(5, None)), 5);
    }
}
