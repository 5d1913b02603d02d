//! No room to write: the sweep stands still, says so, goes on by itself once there
//! is room, and nothing is torn or lost. A disk is full here by a limit on the size
//! of files that a process may write, and for real on a small tmpfs where this
//! machine lets us mount one.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // helpers of tests

#[cfg(feature = "tui")]
#[allow(dead_code, reason = "each test uses its part")]
mod pty_rig;
mod sweep_rig;

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Sender, channel};

use alphascope::dataset::{Dataset, PixelCache, Preprocess};
use alphascope::sim::SimScript;
use alphascope::sweep::command;
use alphascope::sweep::drive::{DriveError, Sink, drive};
use alphascope::sweep::event::{Event, Outcome, Progress};
use alphascope::sweep::ids::DatasetId;
use alphascope::sweep::journal::{self, Journal, JournalError, Reader};
use alphascope::sweep::plan::Shard;
use alphascope::sweep::spec::{DatasetSpec, Role};
use alphascope::sweep::state::SweepState;
use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, prlimit};
use sweep_rig::{factories, header, session};

// ---------------------------------------------------------------- the program

struct Home(tempfile::TempDir);

impl Home {
    /// With a run that nothing happened to.
    fn new() -> Self {
        let home = Self(tempfile::tempdir().unwrap());
        home.finish(&["sweep", "--demo", "--sim", "--sim-ms", "0", "--out", "whole"]);
        home
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn command(&self, program: &str, args: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.args(args).current_dir(self.0.path()).env("HOME", self.0.path());
        for name in ["XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME"] {
            command.env(name, self.path(name));
        }
        command
    }

    fn output(&self, args: &[&str]) -> (Option<i32>, String, String) {
        let out = self.command(env!("CARGO_BIN_EXE_alphascope"), args).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (out.status.code(), text(out.stdout), text(out.stderr))
    }

    fn finish(&self, args: &[&str]) -> String {
        let (code, text, said) = self.output(args);
        assert_eq!(code, Some(0), "{args:?}: {said}");
        text
    }

    /// The pretended demo sweep in a folder, and what it says line by line.
    fn start(&self, out: &str) -> (Child, impl Iterator<Item = String> + use<>) {
        let args = ["sweep", "--demo", "--sim", "--sim-ms", "2", "--out", out];
        let mut command = self.command(env!("CARGO_BIN_EXE_alphascope"), &args);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        (child, lines.map_while(Result::ok))
    }

    /// The report of a run, without what tells of time.
    fn numbers(&self, run: &str) -> serde_json::Value {
        let text = self.finish(&["report", run, "--format", "json"]);
        let mut value: serde_json::Value = serde_json::from_str(&text).unwrap();
        value["header"].as_object_mut().unwrap().remove("seconds").unwrap();
        value
    }

    fn check(&self, run: &str) {
        assert_eq!(self.numbers(run), self.numbers("whole"));
        let path = self.path(run);
        let mut reader = Reader::open(&path).unwrap();
        let events = reader.poll().unwrap();
        assert_eq!(reader.damaged, 0);
        assert_eq!(SweepState::replay(&events).ignored, 0, "nothing is there twice");
    }
}

/// How large a file of the process may become; `None`: as large as it likes.
fn limit(pid: Pid, bytes: Option<u64>) {
    let limit = Rlimit { current: bytes, maximum: None };
    prlimit(Some(pid), Resource::Fsize, limit).unwrap();
}

fn pid(child: &Child) -> Pid {
    Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap()
}

fn until(lines: &mut impl Iterator<Item = String>, wanted: &str) -> String {
    let mut said = Vec::new();
    for line in lines {
        if line.contains(wanted) {
            return line;
        }
        said.push(line);
    }
    panic!("`{wanted}` was never said: {said:#?}");
}

fn length(path: &Path) -> u64 {
    std::fs::metadata(path).unwrap().len()
}

/// Whole lines only.
fn check_lines(journal: &Path) {
    let bytes = std::fs::read(journal).unwrap();
    assert_eq!(bytes.last(), Some(&b'\n'), "a torn line was left");
    let lines = std::str::from_utf8(&bytes).unwrap().lines();
    lines.for_each(|line| drop(serde_json::from_str::<Event>(line).unwrap()));
}

#[test]
fn a_full_disk_is_waited_for_and_told() {
    let home = Home::new();
    let (mut child, mut lines) = home.start("run");
    until(&mut lines, "measuring on");
    let journal = home.path("run/events.jsonl");
    // In the middle of some line soon.
    let bytes = length(&journal) + 4321;
    limit(pid(&child), Some(bytes));
    let told = until(&mut lines, "stands still");
    assert!(told.contains("cannot write") && told.contains("events.jsonl"), "{told}");
    assert!(told.contains("free some space"), "{told}");
    check_lines(&journal);
    assert!(length(&journal) <= bytes && child.try_wait().unwrap().is_none());
    limit(pid(&child), None);
    until(&mut lines, "there was no room to write for");
    until(&mut lines, "complete in");
    assert_eq!(child.wait().unwrap().code(), Some(0));
    home.check("run");
}

#[test]
fn a_sweep_that_is_stopped_on_a_full_disk_says_so_and_can_be_resumed() {
    let home = Home::new();
    let (mut child, mut lines) = home.start("run");
    until(&mut lines, "measuring on");
    let journal = home.path("run/events.jsonl");
    limit(pid(&child), Some(length(&journal) + 4321));
    until(&mut lines, "stands still");
    kill_process(pid(&child), Signal::TERM).unwrap();
    let error = until(&mut lines, "error: ");
    assert!(error.contains("cannot write") && error.contains("free some space"), "{error}");
    assert_eq!(child.wait().unwrap().code(), Some(3));
    check_lines(&journal);
    home.finish(&["sweep", "--resume", "--sim", "--sim-ms", "0", "--out", "run"]);
    home.check("run");
}

#[cfg(feature = "tui")]
#[test]
fn the_screen_tells_of_a_full_disk() {
    let rig = pty_rig::Rig::new();
    let mut it = rig.start(&["--demo", "--sim", "--sim-ms", "4", "--out", rig.out()]);
    it.until("the curves", |screen| screen.contains("OOD mean"));
    let pid = Pid::from_raw(rig.holder().unwrap()).unwrap();
    let journal = rig.path("run/events.jsonl");
    limit(pid, Some(length(&journal) + 2000));
    it.until("why it stands still", |screen| screen.contains("disk full, waiting for room"));
    // A wish is kept meanwhile, and comes into force.
    it.press("p");
    it.press("l");
    it.until("the reason", |screen| screen.contains("stands still"));
    it.press("l");
    limit(pid, None);
    rig.until_journal("\"event\":\"paused\"");
    it.until("the pause", |screen| screen.contains("paused") && !screen.contains("disk full"));
    it.press("p");
    it.until("the end", |screen| screen.contains("complete"));
    it.press("q");
    assert_eq!(it.wait(), 0);
    it.check_restored();
    check_lines(&journal);
}

/// A folder on a disk of so many bytes; `None` where mounting is not allowed.
struct Small(PathBuf);

impl Small {
    fn mount(path: PathBuf, size: &str) -> Option<Self> {
        std::fs::create_dir_all(&path).unwrap();
        let size = format!("size={size}");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &size, "none"]).arg(&path).stderr(Stdio::null());
        if mount.status().is_ok_and(|status| status.success()) {
            return Some(Self(path));
        }
        println!("skipped: this machine does not let us mount a tmpfs");
        None
    }

    fn grow(&self, size: &str) {
        let options = format!("remount,size={size}");
        let status = Command::new("mount").args(["-o", &options]).arg(&self.0).status();
        assert!(status.unwrap().success());
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_small_disk_is_waited_for() {
    let home = Home::new();
    let Some(disk) = Small::mount(home.path("disk"), "64k") else { return };
    let (mut child, mut lines) = home.start("disk/run");
    let told = until(&mut lines, "stands still");
    assert!(told.contains("No space left on device"), "{told}");
    check_lines(&home.path("disk/run/events.jsonl"));
    disk.grow("10m");
    until(&mut lines, "there was no room to write for");
    until(&mut lines, "complete in");
    assert_eq!(child.wait().unwrap().code(), Some(0));
    home.check("disk/run");
}

/// A merged file that does not fit: an error, and nothing is left of it.
#[test]
fn a_merged_file_without_room_leaves_nothing() {
    let home = Home::new();
    let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/demo");
    let [zeroshot, finetuned] = ["zeroshot", "finetuned"]
        .map(|name| demo.join(name).with_extension("safetensors").display().to_string());
    let args = ["merge", "--zeroshot", &zeroshot, "--finetuned", &finetuned, "--alpha", "0.4"];
    let folder = home.path("merged");
    std::fs::create_dir(&folder).unwrap();
    let out = folder.join("out.safetensors");
    let script = "ulimit -S -f 100; exec \"$0\" \"$@\"";
    let mut limited = home.command("sh", &["-c", script, env!("CARGO_BIN_EXE_alphascope")]);
    let failed = limited.args(args).arg("--out").arg(&out).output().unwrap();
    let said = String::from_utf8(failed.stderr).unwrap();
    assert_eq!(failed.status.code(), Some(2), "{said}");
    assert!(said.contains("out.safetensors") && said.contains("File too large"), "{said}");
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0, "nothing is left");
}

// ---------------------------------------------------------------- the pixel cache

const SIDE: usize = 80;
const CACHE: &str = "ALPHASCOPE_TEST_CACHE";

fn greys(dir: &Path) -> Dataset {
    std::fs::create_dir_all(dir.join("a")).unwrap();
    for i in 0..12_u8 {
        let mut file = format!("P5 {SIDE} {SIDE} 255\n").into_bytes();
        file.extend(std::iter::repeat_n(i * 10, SIDE * SIDE));
        std::fs::write(dir.join(format!("a/{i:03}.pgm")), file).unwrap();
    }
    Dataset::open(&DatasetSpec::new("greys", Role::Id, dir)).unwrap()
}

/// All images are right, the cache says once that it is full, and no part of a
/// file is left in it.
fn without_room(data: &Dataset, folder: &Path) {
    let cache = PixelCache::new(Preprocess::clip(SIDE), 1 << 24);
    cache.keep_on_disk(folder.into(), 1 << 30);
    let all: Vec<usize> = (0..12).collect();
    for (i, crop) in cache.pixels(DatasetId(0), data, &all).unwrap().iter().enumerate() {
        assert!(crop.iter().all(|&value| value == i as u8 * 10), "image {i}");
    }
    let told = cache.remark().expect("it says that it is full");
    assert!(told.contains("decoded images are not kept"), "{told}");
    assert_eq!(cache.remark(), None);
    let folders = std::fs::read_dir(folder).unwrap().map(|it| it.unwrap().path());
    for file in folders.flat_map(|it| std::fs::read_dir(it).unwrap()) {
        let name = file.unwrap().file_name();
        assert!(!name.to_string_lossy().starts_with('.'), "{name:?} is left");
    }
}

/// The other end of [`a_full_cache_costs_only_the_keeping`], in a process of its
/// own, since the limit is a process's.
#[test]
#[ignore = "started by another test"]
fn fill_the_cache_without_room() {
    let Some(dir) = std::env::var_os(CACHE).map(PathBuf::from) else { return };
    let data = greys(&dir.join("images"));
    let ignored = std::sync::Arc::default();
    signal_hook::flag::register(signal_hook::consts::SIGXFSZ, ignored).unwrap();
    limit(rustix::process::getpid(), Some(10_000));
    without_room(&data, &dir.join("pixels"));
    println!("all is well");
}

#[test]
fn a_full_cache_costs_only_the_keeping() {
    let dir = tempfile::tempdir().unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "fill_the_cache_without_room", "--ignored", "--nocapture"]);
    let mut child = child.env(CACHE, dir.path()).stdout(Stdio::piped()).spawn().unwrap();
    let mut said = String::new();
    child.stdout.take().unwrap().read_to_string(&mut said).unwrap();
    assert!(child.wait().unwrap().success() && said.contains("all is well"), "{said}");
    // And on a disk that is full for real.
    let Some(disk) = Small::mount(dir.path().join("disk"), "80k") else { return };
    without_room(&greys(&dir.path().join("images")), &disk.0.join("pixels"));
}

// ---------------------------------------------------------------- the loop

/// Has no room for event number `at` until it has said so; then for the rest.
struct Tight {
    at: usize,
    tries: usize,
    journal: Journal,
    said: Vec<bool>,
    room: bool,
    never: bool,
    /// Asked for once it stands still.
    then: Option<(Sender<command::Command>, command::Command)>,
}

impl Sink for Tight {
    fn event(&mut self, event: Event) -> Result<(), JournalError> {
        if self.tries >= self.at && !self.room {
            let source = std::io::ErrorKind::StorageFull.into();
            return Err(JournalError::Io { operation: "write", path: "journal".into(), source });
        }
        self.tries += 1;
        self.journal.append(&event)
    }

    fn progress(&mut self, _: Progress) {}

    fn stands(&mut self, why: Option<String>) {
        self.said.push(why.is_some());
        self.room = !self.never;
        if let Some((sender, command)) = self.then.take() {
            sender.send(command).unwrap();
        }
    }
}

fn tight(
    at: usize,
    never: bool,
    then: Option<command::Command>,
) -> (Result<Outcome, DriveError>, Vec<bool>, Vec<Event>) {
    let header = header(&[60, 40], 3, 8);
    let dir = tempfile::tempdir().unwrap();
    let mut journal = Journal::open(dir.path(), Shard::whole()).unwrap();
    journal.append(&Event::Header(header.clone())).unwrap();
    let mut state = SweepState::replay(&journal::read(dir.path()).unwrap());
    let (sender, asked) = channel();
    let then = then.map(|command| (sender.clone(), command));
    let mut sink = Tight { at, tries: 0, journal, said: Vec::new(), room: false, never, then };
    let workers = factories(&header, vec![SimScript::default(); 2]);
    let outcome = drive(&header, Shard::whole(), &mut state, workers, asked, &mut sink);
    drop(sender);
    (outcome, sink.said, journal::read(dir.path()).unwrap())
}

fn undisturbed() -> SweepState {
    let dir = tempfile::tempdir().unwrap();
    let header = header(&[60, 40], 3, 8);
    session(dir.path(), &header, Shard::whole(), vec![SimScript::default()], |_, _| {}).1
}

/// Wherever it happens, also at the first and at the last event.
#[test]
fn no_room_for_any_event_loses_none() {
    let whole = undisturbed();
    let all = whole.cell_ids().map(|id| whole.cell(id).cloned()).collect::<Vec<_>>();
    let last = tight(usize::MAX, false, None).2.len() - 2;
    for at in [0, 1, 7, last - 1, last] {
        let (outcome, said, events) = tight(at, false, None);
        assert_eq!(outcome.unwrap(), Outcome::Complete, "event {at}");
        assert_eq!(said, [true, false], "event {at}");
        let state = SweepState::replay(&events);
        assert_eq!(state.ignored, 0);
        assert_eq!(state.outcome, Some(Outcome::Complete));
        assert_eq!(state.cell_ids().map(|id| state.cell(id).cloned()).collect::<Vec<_>>(), all);
        assert_eq!(state.notices.len(), 1, "{:?}", state.notices);
        assert!(state.notices[0].1.contains("no room to write"));
    }
}

#[test]
fn a_stop_without_room_ends_with_the_reason() {
    let (outcome, said, events) = tight(7, true, Some(command::Command::Stop));
    let error = outcome.unwrap_err().to_string();
    assert!(error.contains("cannot write journal") && error.contains("free some space"), "{error}");
    assert_eq!(said, [true]);
    assert_eq!(SweepState::replay(&events).outcome, None);
}
