//! Commands that only read files are done by a program without libtorch.
//!
//! libtorch's constructors take a fifth of a second and 100 MB before `main` begins. So the program
//! has a twin beside it, `alphascope-reader`, made of these same sources without libtorch.
//! `alphascope` hands such a command over before those constructors run (`src/early.rs`), and does
//! it itself where there is no twin. A twin of another build hands it back.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

/// Commands that need no libtorch and no screen.
const READS: [&[u8]; 9] = [
    b"inspect",
    b"data",
    b"report",
    b"completions",
    b"help",
    b"--help",
    b"-h",
    b"--version",
    b"-V",
];

/// What the twin's file name has after the program's own.
pub const SUFFIX: &[u8] = b"-reader";

/// The twin's first argument: which build hands over. Ends with a zero byte.
pub const BUILD: &str = concat!("--build=", env!("ALPHASCOPE_BUILD"), "\0");

/// In the environment of a program that was handed its command back.
pub const OFF: &str = "ALPHASCOPE_READER=off";

/// True for the name of a command that the twin can do.
#[must_use]
pub fn only_reads(command: &[u8]) -> bool {
    READS.contains(&command)
}

/// What was typed, of what a twin was started with, and whether the program of its own build handed
/// it over.
#[must_use]
pub fn received(arguments: impl IntoIterator<Item = OsString>) -> (bool, Vec<OsString>) {
    let mut typed: Vec<OsString> = arguments.into_iter().collect();
    let of_a_build = typed.get(1).is_some_and(|it| it.as_bytes().starts_with(b"--build="));
    let build = of_a_build.then(|| typed.remove(1));
    let own = BUILD.trim_end_matches('\0').as_bytes();
    (build.is_some_and(|build| build.as_bytes() == own), typed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_twin_takes_only_what_its_own_build_hands_over() {
        let words = |words: &[&str]| words.iter().map(OsString::from).collect::<Vec<_>>();
        let build = BUILD.trim_end_matches('\0');
        let received = |it: &[&str]| received(words(it));
        assert_eq!(received(&["a", build, "data", "x"]), (true, words(&["a", "data", "x"])));
        assert_eq!(received(&["a", "--build=0", "data", "x"]), (false, words(&["a", "data", "x"])));
        assert_eq!(received(&["a", "data", "x"]), (false, words(&["a", "data", "x"])));
        assert_eq!(received(&[]), (false, words(&[])));
        assert!(build.len() > "--build=".len() && !build.contains('\0'));
    }
}
