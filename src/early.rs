//! What is done before libtorch's constructors run.
//!
//! They take a fifth of a second and 100 MB, and libgomp reads then, once, how threads wait for
//! each other. What stands in an executable's `.preinit_array` runs before the constructors of all
//! libraries (System V ABI, "Initialization and Termination Functions"). So here
//! - a command that only reads files goes to the program beside this one that has no libtorch;
//! - any other starts this program anew, in the same process, with threads that go to sleep soon
//!   where they wait, unless the environment says how they wait already. By default they spin for
//!   milliseconds: on a machine with other work a thread that lost its core is waited for by threads
//!   that burn theirs, and a sweep took three times as long and more (see `bench/RESULTS.md`).
//!
//! Where the system refuses either, the program goes on as it is: it is complete.
//!
//! No constructor has run here, the C library's own neither: only system calls, and the allocator,
//! which needs none.

use std::ffi::{CStr, c_char, c_int};
use std::iter::once;
use std::ptr;

use alphascope::handover::{BUILD, OFF, SUFFIX, only_reads};

/// Turns of the loop in which a waiting thread spins before it sleeps. Some microseconds: shorter
/// than most operations, longer than their threads differ by where each has a core of its own.
const SPIN: &CStr = c"GOMP_SPINCOUNT=1000";
/// Settings that say how threads wait; who makes one is obeyed.
const WAITING: [&[u8]; 2] = [b"GOMP_SPINCOUNT=", b"OMP_WAIT_POLICY="];

#[used]
#[unsafe(link_section = ".preinit_array")]
static BEFORE_CONSTRUCTORS: unsafe extern "C" fn(c_int, Words, Words) = before_constructors;

/// A list of C strings that ends with null.
type Words = *const *const c_char;

/// # Safety
/// The dynamic loader calls it, with `main`'s arguments.
unsafe extern "C" fn before_constructors(_: c_int, arguments: Words, environment: Words) {
    // SAFETY: both are such lists, of strings that stay for as long as the program runs.
    let (arguments, environment) = unsafe { (words(arguments), words(environment)) };
    let set = |name: &[u8]| environment.iter().any(|word| word.to_bytes().starts_with(name));
    let Some(program) = program() else { return };
    if let [name, command, rest @ ..] = arguments.as_slice()
        && only_reads(command.to_bytes())
        && !set(OFF.as_bytes())
        && let Ok(build) = CStr::from_bytes_with_nul(BUILD.as_bytes())
    {
        let twin = [program.as_slice(), SUFFIX, b"\0"].concat();
        let arguments: Vec<_> =
            [name, build, command].into_iter().chain(rest.iter().copied()).collect();
        start(&twin, &arguments, &environment);
    }
    // A dynamic loader that was told this program by name cannot be started in its place.
    if WAITING.iter().any(|name| set(name)) || is_loader(&program) {
        return;
    }
    let environment: Vec<_> = environment.iter().copied().chain(once(SPIN)).collect();
    start(&[program.as_slice(), b"\0"].concat(), &arguments, &environment);
    // Where its file was replaced or deleted since.
    start(b"/proc/self/exe\0", &arguments, &environment);
}

/// # Safety
/// A list of C strings that ends with null; the strings stay.
unsafe fn words(list: Words) -> Vec<&'static CStr> {
    // SAFETY: no step goes beyond the null, and each word before it is a C string.
    (0..)
        .map(|at| unsafe { *list.add(at) })
        .take_while(|word| !word.is_null())
        .map(|word| unsafe { CStr::from_ptr(word) })
        .collect()
}

/// Path of this program's file; `None` where the system does not tell, or it is too long.
fn program() -> Option<Vec<u8>> {
    let mut path = vec![0_u8; libc::PATH_MAX as usize];
    let itself = c"/proc/self/exe".as_ptr();
    // SAFETY: as many bytes as there are may be written there.
    let length = unsafe { libc::readlink(itself, path.as_mut_ptr().cast(), path.len()) };
    path.truncate(usize::try_from(length).ok().filter(|&length| length < path.len())?);
    Some(path)
}

/// True for the names of dynamic loaders: `ld-linux-x86-64.so.2`, `ld-2.31.so`.
fn is_loader(program: &[u8]) -> bool {
    let name = program.rsplit(|&byte| byte == b'/').next().unwrap_or_default();
    name.starts_with(b"ld") && name.windows(3).any(|it| it == b".so")
}

/// Starts another program in this process. Comes back only where that fails.
fn start(path: &[u8], arguments: &[&CStr], environment: &[&CStr]) {
    let list = |words: &[&CStr]| -> Vec<_> {
        words.iter().map(|word| word.as_ptr()).chain(once(ptr::null())).collect()
    };
    let (arguments, environment) = (list(arguments), list(environment));
    if let Ok(path) = CStr::from_bytes_with_nul(path) {
        // SAFETY: a C string and two lists of such that end with null.
        unsafe { libc::execve(path.as_ptr(), arguments.as_ptr(), environment.as_ptr()) };
    }
}

#[cfg(test)]
mod tests {
    use super::is_loader;

    #[test]
    fn a_loader_is_not_this_program() {
        assert!(is_loader(b"/lib64/ld-linux-x86-64.so.2") && is_loader(b"/lib/ld-2.31.so"));
        assert!(!is_loader(b"/usr/bin/alphascope") && !is_loader(b"/opt/ld-tools.so/alphascope"));
    }
}
