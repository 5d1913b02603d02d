//! Link flags, so that the program finds libtorch by itself from any folder, and the facts about
//! the build that `alphascope devices` shows; and which build it is, for two programs to know.
//!
//! libtorch's folder comes from torch-sys (its `links` metadata), which has it from `LIBTORCH`,
//! which `make setup` writes into `.cargo/config.toml`. Only libtorch's CPU part is linked: rustc
//! passes `--as-needed`, and nothing in the program refers to the CUDA part, which is opened at
//! start where it is there. So one program serves machines with and without a GPU.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::{env, fs, io};

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed={}", path("build.rs").display());
    let mut build = DefaultHasher::new();
    hash(&path("src"), &mut build)?;
    println!("cargo::rustc-env=ALPHASCOPE_BUILD={:x}", build.finish());
    println!("cargo::rerun-if-changed={}", path("src").display());
    let target = env::var("TARGET").unwrap_or_default();
    println!("cargo::rustc-env=ALPHASCOPE_TARGET={target}");
    if env::var_os("CARGO_FEATURE_TORCH").is_none() {
        return Ok(());
    }
    // Absent when torch-sys builds for documentation only.
    let Ok(lib) = env::var("DEP_TCH_LIBTORCH_LIB") else {
        return Ok(());
    };
    println!("cargo::rustc-env=ALPHASCOPE_LIBTORCH_LIB={lib}");
    let version = headers_version(Path::new(&lib)).unwrap_or_default();
    println!("cargo::rustc-env=ALPHASCOPE_LIBTORCH_VERSION={version}");
    // -Xlinker rather than -Wl: the folder's name may hold a comma.
    if !target.contains("apple") {
        // RUNPATH, not RPATH: LD_LIBRARY_PATH can then name another libtorch on another machine.
        linker(&["--enable-new-dtags"]);
    }
    linker(&["-rpath", &lib]);
    Ok(())
}

/// Of a file of this repository, from the folder of whichever package is built: this one or its twin
/// in `src/reader`.
fn path(name: &str) -> PathBuf {
    let twin = env::var("CARGO_PKG_NAME").is_ok_and(|it| it == "alphascope-reader");
    Path::new(if twin { "../.." } else { "" }).join(name)
}

/// All files below a folder. Tells programs of one build from those of another.
fn hash(folder: &Path, into: &mut DefaultHasher) -> io::Result<()> {
    let mut entries = fs::read_dir(folder)?.collect::<io::Result<Vec<_>>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        entry.file_name().hash(into);
        if entry.file_type()?.is_dir() {
            hash(&entry.path(), into)?;
        } else {
            fs::read(entry.path())?.hash(into);
        }
    }
    Ok(())
}

/// Passes words to the linker of every target of this package.
fn linker(words: &[&str]) {
    for word in words {
        println!("cargo::rustc-link-arg=-Xlinker");
        println!("cargo::rustc-link-arg={word}");
    }
}

/// "2.11.0", from the headers beside the libraries.
fn headers_version(lib: &Path) -> Option<String> {
    let headers = lib.parent()?.join("include/torch/headeronly/version.h");
    println!("cargo::rerun-if-changed={}", headers.display());
    let text = fs::read_to_string(headers).ok()?;
    let part = |name: &str| {
        let at = text.split(&format!("define TORCH_VERSION_{name} ")).nth(1)?;
        Some(at.split_whitespace().next()?.to_owned())
    };
    Some(format!("{}.{}.{}", part("MAJOR")?, part("MINOR")?, part("PATCH")?))
}
