//! Killed at any moment, resumed, and equal to what nothing happened to: the sweep
//! of the demo's models with its journal, the pixel cache, and a merged file.
//!
//! `ALPHASCOPE_CRASHES=200` kills each of them so often; by default six times. The
//! moments come from a fixed seed: when the journal has so many bytes, or after so
//! many microseconds.
#![cfg(feature = "torch")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // helpers of tests

use std::collections::HashSet;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use alphascope::dataset::{Dataset, PixelCache, Preprocess};
use alphascope::sweep::event::Event;
use alphascope::sweep::ids::DatasetId;
use alphascope::sweep::journal::{self, Reader};
use alphascope::sweep::spec::{DatasetSpec, Role};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

fn crashes() -> usize {
    let wanted = std::env::var("ALPHASCOPE_CRASHES").ok();
    wanted.map_or(6, |text| text.parse().expect("ALPHASCOPE_CRASHES is no number"))
}

/// A folder with the spec of a small sweep of the demo's models.
struct Home(tempfile::TempDir);

impl Home {
    fn new() -> Self {
        let home = Self(tempfile::tempdir().unwrap());
        let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/demo");
        let demo = demo.display();
        let set = |name: &str, role: &str| {
            format!(
                "[[datasets]]\nname = '{name}'\nrole = '{role}'\npath = '{demo}/data/{name}/test'\n\
                 limit = 30\n"
            )
        };
        let spec = format!(
            "[checkpoints]\nzeroshot = '{demo}/zeroshot.safetensors'\n\
             finetuned = '{demo}/finetuned.safetensors'\n{}{}\
             [[variants]]\nname = 'spärlich'\n\
             sparsify = [{{ layer = 'head', method = 'delta', amount = 0.5 }}]\n\
             [sweep]\nalphas = [0.0, 0.5, 1.0]\nbatch = 16\n\
             [sharpness]\nlayers = 'none'\ndraws = 2\nbatch = 16\nbatches = 1\n",
            set("noto", "id"),
            set("fluent", "ood")
        );
        std::fs::write(home.path("spec.toml"), spec).unwrap();
        home
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn command(&self, args: &[&str]) -> Command {
        let program = std::env::var("ALPHASCOPE_BIN");
        let mut command =
            Command::new(program.unwrap_or_else(|_| env!("CARGO_BIN_EXE_alphascope").into()));
        command.args(args).current_dir(self.0.path()).env("HOME", self.0.path());
        // Two threads on cores that others use wait for each other most of the time.
        command.env("OMP_NUM_THREADS", "1");
        for name in ["XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME"] {
            command.env(name, self.path(name));
        }
        command
    }

    /// Runs it to its end; gives stdout.
    fn finish(&self, args: &[&str]) -> String {
        let out = self.command(args).output().unwrap();
        let said = String::from_utf8_lossy(&out.stderr).into_owned();
        assert_eq!(out.status.code(), Some(0), "{args:?}: {said}");
        String::from_utf8(out.stdout).unwrap()
    }

    fn start(&self, args: &[&str]) -> Child {
        let mut command = self.command(args);
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }

    /// The numbers of a run, without what tells of time.
    fn numbers(&self, run: &str) -> serde_json::Value {
        let text = self.finish(&["report", run, "--format", "json"]);
        let mut value: serde_json::Value = serde_json::from_str(&text).unwrap();
        value["header"].as_object_mut().unwrap().remove("seconds").unwrap();
        value
    }

    fn journal(&self, run: &str) -> PathBuf {
        self.path(run).join("events.jsonl")
    }
}

fn length(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |meta| meta.len())
}

/// True where it was killed, false where it had ended before.
fn kill(mut child: Child) -> bool {
    let ended = child.try_wait().unwrap().is_some();
    child.kill().unwrap();
    child.wait().unwrap();
    !ended
}

/// What was measured, each as often as the journal has it.
fn measured(run: &Path) -> Vec<String> {
    let what = |event: &Event| match event {
        Event::Measured(it) => Some(format!("{:?} {:?}", it.cell, it.round)),
        Event::Probed(it) => Some(format!("{:?}", it.cell)),
        _ => None,
    };
    let mut all: Vec<String> = journal::read(run).unwrap().iter().filter_map(what).collect();
    all.sort();
    all
}

/// When a process is killed.
#[derive(Clone, Copy, Debug)]
enum Moment {
    /// Once the journal has so many bytes, and so long after.
    Bytes(u64, Duration),
    /// So long after its start.
    Time(Duration),
}

impl Moment {
    fn any(random: &mut ChaCha8Rng, bytes: u64, time: Duration) -> Self {
        if random.random_range(0..3) > 0 {
            let after = Duration::from_micros(random.random_range(0..20_000));
            Self::Bytes(random.random_range(0..bytes), after)
        } else {
            Self::Time(time.mul_f64(random.random_range(0.0..1.0)))
        }
    }

    fn wait(self, child: &mut Child, journal: &Path) {
        let start = Instant::now();
        match self {
            Self::Bytes(bytes, after) => {
                while length(journal) < bytes && child.try_wait().unwrap().is_none() {
                    std::thread::sleep(Duration::from_micros(100));
                }
                std::thread::sleep(after);
            }
            Self::Time(time) => std::thread::sleep(time.saturating_sub(start.elapsed())),
        }
    }
}

/// Every line that was whole when the process died is there at the end, nothing
/// is measured twice, and the numbers are those of the undisturbed run.
#[test]
fn a_killed_sweep_goes_on_as_if_nothing_had_happened() {
    let home = Home::new();
    let first = ["sweep", "spec.toml", "--device", "cpu", "--out"];
    let start = Instant::now();
    home.finish(&[&first[..], &["whole"]].concat());
    let (time, bytes) = (start.elapsed(), length(&home.journal("whole")));
    let wanted = (home.numbers("whole"), measured(&home.path("whole")));
    let mut random = ChaCha8Rng::seed_from_u64(6);
    let (mut killed, mut torn, mut run) = (0, 0, 0);
    while killed < crashes() {
        run += 1;
        assert!(run < 3 * crashes() + 10, "most end before they are killed");
        let name = format!("run{run}");
        let (path, journal) = (home.path(&name), home.journal(&name));
        let mut whole = Vec::new();
        // Most are killed again while they go on.
        let kills = random.random_range(1..5);
        for _ in 0..kills {
            let moment = Moment::any(&mut random, bytes, time);
            let mut child = match path.join("spec.toml").exists() {
                true => home.start(&["sweep", "--resume", "--device", "cpu", "--out", &name]),
                false => home.start(&[&first[..], &[&name, "--resume"]].concat()),
            };
            moment.wait(&mut child, &journal);
            killed += usize::from(kill(child));
            let now = std::fs::read(&journal).unwrap_or_default();
            assert!(now.starts_with(&whole), "{moment:?} of {name}: lines are lost");
            let end = now.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
            torn += usize::from(end < now.len());
            whole = now[..end].to_vec();
            if !whole.is_empty() {
                let mut reader = Reader::open(&path).unwrap();
                reader.poll().unwrap();
                assert_eq!(reader.damaged, 0, "{moment:?} of {name}");
            }
        }
        match path.join("spec.toml").exists() {
            true => home.finish(&["sweep", "--resume", "--device", "cpu", "--out", &name]),
            false => home.finish(&[&first[..], &[&name, "--resume"]].concat()),
        };
        let now = std::fs::read(&journal).unwrap();
        assert!(now.starts_with(&whole), "{name}: lines are lost");
        assert_eq!(home.numbers(&name), wanted.0, "{name}");
        assert_eq!(measured(&path), wanted.1, "{name}: each once");
        let left: HashSet<_> =
            std::fs::read_dir(&path).unwrap().map(|it| it.unwrap().file_name()).collect();
        assert!(left.iter().all(|it| !it.to_string_lossy().starts_with('.')), "{left:?}");
        std::fs::remove_dir_all(path).unwrap();
        println!("{name}: equal; killed {killed} times so far");
    }
    println!("all equal; killed within a line: {torn} times");
}

const SIDE: usize = 80;
const IMAGES: usize = 24;

/// Grey squares, each of its own value.
fn images(dir: &Path) -> Dataset {
    std::fs::create_dir_all(dir.join("a")).unwrap();
    for i in 0..IMAGES {
        let mut file = format!("P5 {SIDE} {SIDE} 255\n").into_bytes();
        file.extend(std::iter::repeat_n(i as u8 * 10, SIDE * SIDE));
        std::fs::write(dir.join(format!("a/{i:03}.pgm")), file).unwrap();
    }
    Dataset::open(&DatasetSpec::new("greys", Role::Id, dir)).unwrap()
}

fn cached(data: &Dataset, folder: &Path) -> Vec<Vec<u8>> {
    // Too small for all of them: some are deleted while others are written.
    let limit = (SIDE * SIDE * 3 * IMAGES / 2) as u64;
    let cache = PixelCache::new(Preprocess::clip(SIDE), 1 << 24);
    cache.keep_on_disk(folder.into(), limit);
    let all: Vec<usize> = (0..IMAGES).collect();
    let crops = cache.pixels(DatasetId(0), data, &all).unwrap();
    crops.iter().map(|crop| crop.to_vec()).collect()
}

/// The other end of [`a_killed_cache_is_whole`], in a process of its own.
#[test]
#[ignore = "started by another test, and killed"]
fn fill_the_cache_until_killed() {
    let Some(dir) = std::env::var_os("ALPHASCOPE_TEST_CACHE").map(PathBuf::from) else { return };
    let data = images(&dir.join("images"));
    println!("filling");
    loop {
        cached(&data, &dir.join("pixels"));
    }
}

#[test]
fn a_killed_cache_is_whole() {
    let dir = tempfile::tempdir().unwrap();
    let data = images(&dir.path().join("images"));
    let mut random = ChaCha8Rng::seed_from_u64(7);
    for _ in 0..crashes() {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "fill_the_cache_until_killed", "--ignored", "--nocapture"]);
        command.env("ALPHASCOPE_TEST_CACHE", dir.path()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert!(lines.map_while(Result::ok).any(|line| line.contains("filling")));
        std::thread::sleep(Duration::from_micros(random.random_range(0..60_000)));
        assert!(kill(child));
        for (i, crop) in cached(&data, &dir.path().join("pixels")).iter().enumerate() {
            assert!(crop.iter().all(|&value| value == i as u8 * 10), "image {i}");
        }
    }
}

/// A merged file is whole or not there, and what a killed one left behind goes
/// with the next.
#[test]
fn a_killed_merge_leaves_no_half_file() {
    let home = Home::new();
    let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/demo");
    let [zeroshot, finetuned] = ["zeroshot", "finetuned"]
        .map(|name| demo.join(name).with_extension("safetensors").display().to_string());
    let ends = ["merge", "--zeroshot", &zeroshot, "--finetuned", &finetuned, "--alpha", "0.4"];
    let merge = |out: &'static str| home.finish(&[&ends[..], &["--out", out]].concat());
    let start = Instant::now();
    merge("whole.safetensors");
    let time = start.elapsed();
    let whole = std::fs::read(home.path("whole.safetensors")).unwrap();
    let out = home.path("out.safetensors");
    let parts = || {
        let names = std::fs::read_dir(home.path("")).unwrap().map(|it| it.unwrap().file_name());
        names.filter(|name| name.to_string_lossy().ends_with(".part")).count()
    };
    let mut random = ChaCha8Rng::seed_from_u64(8);
    let mut left = 0;
    for turn in 0..crashes() {
        let child = home.start(&[&ends[..], &["--out", "out.safetensors"]].concat());
        let start = Instant::now();
        let soon = time.mul_f64(random.random_range(0.0..1.2));
        // Every second one is killed while it writes.
        let writing = turn % 2 == 0;
        while start.elapsed() < soon.max(2 * time * u32::from(writing)) {
            if writing && (parts() > left || out.exists()) {
                std::thread::sleep(Duration::from_micros(random.random_range(0..3000)));
                break;
            }
            std::thread::sleep(Duration::from_micros(50));
        }
        kill(child);
        left = parts();
        assert!(left <= 1, "what the one before left is gone");
        if out.exists() {
            assert_eq!(std::fs::read(&out).unwrap(), whole);
            std::fs::remove_file(&out).unwrap();
        }
    }
    merge("out.safetensors");
    assert_eq!(std::fs::read(&out).unwrap(), whole);
    assert_eq!(parts(), 0);
}
