//! The program in a pseudo-terminal, and a terminal at its other end.

use std::fs::File;
use std::io::{Read, Write};
use std::num::NonZeroU16;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, SlavePty, native_pty_system};
use rustix::process::{Pid, Signal, kill_process};
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

/// Long past anything that works: machines that build at the same time are
/// slow.
const DEADLINE: Duration = Duration::from_secs(120);
/// No byte for so long: what was to be drawn is drawn.
const QUIET: Duration = Duration::from_millis(400);
/// Between two looks at what has no bell to ring.
const LOOK: Duration = Duration::from_millis(10);

/// A home of its own for the programs of one test.
pub struct Rig {
    folder: tempfile::TempDir,
    out: String,
    env: Vec<(String, String)>,
}

impl Rig {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("run").to_str().unwrap().to_string();
        for name in ["home", "models"] {
            std::fs::create_dir(folder.path().join(name)).unwrap();
        }
        Self { folder, out, env: vec![] }
    }

    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A pipe that nobody writes to: who opens it waits.
    pub fn pipe(&self, name: &str) {
        let made = std::process::Command::new("mkfifo").arg(self.path(name)).status().unwrap();
        assert!(made.success());
    }

    /// The run folder.
    pub fn out(&self) -> &str {
        &self.out
    }

    pub fn start(&self, args: &[&str]) -> Program {
        self.start_in("models", args, 100, 30)
    }

    pub fn start_in(&self, dir: &str, args: &[&str], width: u16, height: u16) -> Program {
        self.run(&Self::program(), dir, args, width, height)
    }

    /// An interactive shell in the pseudo-terminal.
    pub fn shell(&self) -> Program {
        self.run("sh", "models", &["-i"], 100, 30)
    }

    pub fn program() -> String {
        std::env::var("ALPHASCOPE_BIN").unwrap_or_else(|_| env!("CARGO_BIN_EXE_alphascope").into())
    }

    fn run(&self, program: &str, dir: &str, args: &[&str], width: u16, height: u16) -> Program {
        let mut command = CommandBuilder::new(program);
        command.args(args);
        command.cwd(self.path(dir));
        command.env_clear();
        for (name, value) in self.home() {
            command.env(name, value);
        }
        command.env("TERM", "xterm-256color");
        command.env("COLORTERM", "truecolor");
        command.env("LANG", "C.UTF-8");
        for (name, value) in &self.env {
            command.env(name, value);
        }
        Program::start(command, width, height)
    }

    fn home(&self) -> Vec<(&'static str, std::ffi::OsString)> {
        let home = self.path("home");
        let below = [
            ("HOME", ""),
            ("XDG_CONFIG_HOME", "config"),
            ("XDG_STATE_HOME", "state"),
            ("XDG_DATA_HOME", "data"),
            ("XDG_CACHE_HOME", "cache"),
        ];
        let path = ("PATH", std::env::var_os("PATH").unwrap_or_default());
        // As the program sets it itself, by starting anew.
        let waiting = ("GOMP_SPINCOUNT", "1000".into());
        below
            .map(|(name, below)| (name, home.join(below).into()))
            .into_iter()
            .chain([path, waiting])
            .collect()
    }

    /// The journal's lines; nobody writes it any more.
    pub fn journal(&self) -> Vec<serde_json::Value> {
        let text = std::fs::read_to_string(self.path("run/events.jsonl")).unwrap();
        assert!(text.ends_with('\n'), "the last line is whole");
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Waits until a line of the journal holds this.
    pub fn until_journal(&self, wanted: &str) {
        self.until_journal_times(wanted, 1);
    }

    /// … until so many lines do.
    pub fn until_journal_times(&self, wanted: &str, times: usize) {
        let path = Path::new(&self.out).join("events.jsonl");
        let end = Instant::now() + DEADLINE;
        loop {
            let text = std::fs::read_to_string(&path).unwrap_or_default();
            if text.lines().filter(|line| line.contains(wanted)).count() >= times {
                return;
            }
            assert!(Instant::now() < end, "{wanted} never came into the journal:\n{text}");
            std::thread::sleep(LOOK);
        }
    }
}

/// The end of a synchronized update: a whole frame is on the screen.
const FRAME: &[u8] = b"\x1b[?2026l";
impl Rig {
    /// What the program says on a pipe: exit code, stdout, stderr.
    pub fn output(&self, args: &[&str]) -> (i32, String, String) {
        let mut command = std::process::Command::new(Self::program());
        command.args(args).current_dir(self.path("models")).env_clear();
        command.envs(self.home());
        let out = command.output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (out.status.code().unwrap(), text(out.stdout), text(out.stderr))
    }

    /// The program on pipes, as a shell script has it.
    pub fn spawn(&self, args: &[&str]) -> std::process::Child {
        use std::process::Stdio;
        let mut command = std::process::Command::new(Self::program());
        command.args(args).current_dir(self.path("models")).env_clear();
        command.envs(self.home()).envs(self.env.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap()
    }

    /// Who has the run now.
    pub fn holder(&self) -> Option<i32> {
        let holders = alphascope::sweep::lock::holders(Path::new(&self.out));
        holders.first().and_then(|it| it.owner.as_ref()).map(|it| it.pid)
    }

    /// Waits until a file holds this; all of it.
    pub fn until_file(&self, name: &str, wanted: &str) -> String {
        let end = Instant::now() + DEADLINE;
        loop {
            let text = std::fs::read_to_string(self.path(name)).unwrap_or_default();
            if text.contains(wanted) {
                return text;
            }
            assert!(Instant::now() < end, "{wanted} never came into {name}:\n{text}");
            std::thread::sleep(LOOK);
        }
    }

    /// Waits until nobody has the run.
    pub fn until_free(&self) {
        let end = Instant::now() + DEADLINE;
        while let Some(pid) = self.holder() {
            assert!(Instant::now() < end, "process {pid} never gave the run back");
            std::thread::sleep(LOOK);
        }
    }
}

impl Drop for Rig {
    /// Nothing goes on in the background when a test is over.
    fn drop(&mut self) {
        let pid = self.holder().filter(|pid| u32::try_from(*pid) != Ok(std::process::id()));
        if let Some(pid) = pid.and_then(Pid::from_raw) {
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}

struct Seen {
    terminal: vt100::Parser,
    /// Every frame since [`Program::film`] was asked for, as text.
    film: Option<Vec<String>>,
    /// Every byte so far.
    raw: Vec<u8>,
    /// What came after the last whole frame's end.
    rest: Vec<u8>,
    bytes: u64,
    last: Instant,
}

impl Seen {
    fn take(&mut self, bytes: &[u8]) {
        self.raw.extend_from_slice(bytes);
        if self.film.is_none() {
            return self.terminal.process(bytes);
        }
        self.rest.extend_from_slice(bytes);
        while let Some(at) = self.rest.windows(FRAME.len()).position(|it| it == FRAME) {
            let frame: Vec<u8> = self.rest.drain(..at + FRAME.len()).collect();
            self.terminal.process(&frame);
            let text = self.terminal.screen().contents();
            if let Some(film) = &mut self.film {
                film.push(text);
            }
        }
    }
}

/// A running program and the terminal it draws on.
pub struct Program {
    child: Box<dyn Child + Send + Sync>,
    writer: Option<Box<dyn Write + Send>>,
    master: Option<Box<dyn MasterPty + Send>>,
    /// Kept, so that the terminal's modes outlive the program.
    slave: Option<Box<dyn SlavePty + Send>>,
    /// The same as a file: its modes, and bytes written past the program.
    tty: Option<File>,
    before: Termios,
    seen: Arc<(Mutex<Seen>, Condvar)>,
    closing: Arc<AtomicBool>,
    reader: Option<JoinHandle<()>>,
}

fn nz(n: u16) -> NonZeroU16 {
    NonZeroU16::new(n).unwrap()
}

fn pty_size(width: u16, height: u16) -> PtySize {
    PtySize { rows: height, cols: width, pixel_width: 0, pixel_height: 0 }
}

impl Program {
    fn start(command: CommandBuilder, width: u16, height: u16) -> Self {
        let pair = native_pty_system().openpty(pty_size(width, height)).unwrap();
        let name = pair.master.tty_name().unwrap();
        let tty = open_tty(&name);
        let before = tcgetattr(&tty).unwrap();
        let terminal = vt100::Parser::new(nz(height), nz(width), 0);
        let (film, rest) = (None, Vec::new());
        let raw = Vec::new();
        let seen = Seen { terminal, film, raw, rest, bytes: 0, last: Instant::now() };
        let seen = Arc::new((Mutex::new(seen), Condvar::new()));
        let closing = Arc::new(AtomicBool::new(false));
        let mut reader = pair.master.try_clone_reader().unwrap();
        let (into, stop) = (Arc::clone(&seen), Arc::clone(&closing));
        let reader = std::thread::spawn(move || {
            let mut bytes = [0; 65536];
            while let Ok(n @ 1..) = reader.read(&mut bytes) {
                let mut seen = into.0.lock().unwrap();
                seen.take(&bytes[..n]);
                seen.bytes += n as u64;
                seen.last = Instant::now();
                into.1.notify_all();
                if stop.load(Ordering::SeqCst) {
                    return;
                }
            }
        });
        let child = pair.slave.spawn_command(command).unwrap();
        Self {
            child,
            writer: Some(pair.master.take_writer().unwrap()),
            master: Some(pair.master),
            slave: Some(pair.slave),
            tty: Some(tty),
            before,
            seen,
            closing,
            reader: Some(reader),
        }
    }

    pub fn press(&mut self, keys: &str) {
        let writer = self.writer.as_mut().unwrap();
        writer.write_all(keys.as_bytes()).unwrap();
        writer.flush().unwrap();
    }

    pub fn screen(&self) -> vt100::Screen {
        self.seen.0.lock().unwrap().terminal.screen().clone()
    }

    pub fn text(&self) -> String {
        self.screen().contents()
    }

    /// From here on every frame is kept, however short it was shown.
    pub fn film(&self) {
        self.seen.0.lock().unwrap().film = Some(Vec::new());
    }

    /// The frames since; no more are kept.
    pub fn frames(&self) -> Vec<String> {
        let mut seen = self.seen.0.lock().unwrap();
        let film = seen.film.take().unwrap_or_default();
        let rest = std::mem::take(&mut seen.rest);
        seen.terminal.process(&rest);
        film
    }

    /// So often these bytes were written.
    pub fn written(&self, wanted: &str) -> usize {
        let seen = self.seen.0.lock().unwrap();
        seen.raw.windows(wanted.len()).filter(|it| *it == wanted.as_bytes()).count()
    }

    pub fn bytes(&self) -> u64 {
        self.seen.0.lock().unwrap().bytes
    }

    /// Waits until the screen shows what is wanted.
    pub fn until(&mut self, what: &str, wanted: impl Fn(&str) -> bool) {
        let end = Instant::now() + DEADLINE;
        let mut seen = self.seen.0.lock().unwrap();
        while !wanted(&seen.terminal.screen().contents()) {
            let left = end.saturating_duration_since(Instant::now());
            let text = seen.terminal.screen().contents();
            assert!(!left.is_zero(), "{what} never came:\n{text}");
            let ended = self.child.try_wait().unwrap();
            // Its last bytes may still be on their way.
            let quiet = seen.last.elapsed() > Duration::from_secs(5);
            assert!(ended.is_none() || !quiet, "{what} never came, it ended {ended:?}:\n{text}");
            seen = self.seen.1.wait_timeout(seen, left.min(Duration::from_secs(1))).unwrap().0;
        }
    }

    /// Waits until nothing is written any more.
    pub fn until_quiet(&self) {
        let end = Instant::now() + DEADLINE;
        loop {
            let since = self.seen.0.lock().unwrap().last.elapsed();
            if since >= QUIET {
                return;
            }
            assert!(Instant::now() < end, "it never stops to write");
            std::thread::sleep(QUIET - since);
        }
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.process_id().unwrap()).unwrap()).unwrap()
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    /// One field of Linux's process table, counted from the state on.
    fn stat(&self, field: usize) -> Option<String> {
        let path = format!("/proc/{}/stat", self.pid().as_raw_nonzero());
        let text = std::fs::read_to_string(path).ok()?;
        let (_, fields) = text.rsplit_once(") ")?;
        fields.split(' ').nth(field).map(str::to_string)
    }

    /// Waits until the process is stopped (as by ctrl-z).
    pub fn until_stopped(&self) {
        let end = Instant::now() + DEADLINE;
        let stopped = || match self.stat(0) {
            Some(state) => state == "T",
            None => {
                let pid = self.pid().as_raw_nonzero().to_string();
                let mut ps = std::process::Command::new("ps");
                let told = ps.args(["-o", "state=", "-p", &pid]).output().unwrap();
                String::from_utf8_lossy(&told.stdout).trim_start().starts_with('T')
            }
        };
        while !stopped() {
            assert!(Instant::now() < end, "it never stopped:\n{}", self.text());
            std::thread::sleep(LOOK);
        }
    }

    /// Ticks of a CPU (a hundredth of a second) all its threads took, where
    /// the system tells.
    pub fn cpu_ticks(&self) -> Option<u64> {
        Some(self.stat(11)?.parse::<u64>().ok()? + self.stat(12)?.parse::<u64>().ok()?)
    }

    pub fn resize(&self, width: u16, height: u16) {
        self.seen.0.lock().unwrap().terminal.screen_mut().set_size(nz(height), nz(width));
        self.master.as_ref().unwrap().resize(pty_size(width, height)).unwrap();
    }

    fn modes(&self) -> Termios {
        tcgetattr(self.tty.as_ref().unwrap()).unwrap()
    }

    /// The terminal hands every key on at once and echoes none.
    pub fn raw(&self) -> bool {
        !self.modes().local_modes.intersects(LocalModes::ICANON | LocalModes::ECHO)
    }

    /// What a shell does to the terminal while the program is stopped.
    pub fn scramble(&mut self) {
        let mut tty = self.tty.as_ref().unwrap();
        tcsetattr(tty, OptionalActions::Now, &self.before).unwrap();
        tty.write_all(b"\x1b[?1049l\x1b[?25h\x1b[0mshell $ ").unwrap();
        self.until("the shell", |screen| screen.contains("shell $"));
    }

    /// Normal screen, cursor shown, no mouse, no bracketed paste, the modes
    /// there were.
    pub fn check_restored(&self) {
        let screen = self.screen();
        let text = screen.contents();
        assert!(!screen.alternate_screen(), "still on the alternate screen:\n{text}");
        assert!(!screen.hide_cursor(), "the cursor is hidden:\n{text}");
        assert!(!screen.bracketed_paste(), "paste is still bracketed");
        assert_eq!(screen.mouse_protocol_mode(), vt100::MouseProtocolMode::None);
        let (now, before) = (self.modes(), &self.before);
        assert_eq!(now.local_modes, before.local_modes);
        assert_eq!(now.input_modes, before.input_modes);
        assert_eq!(now.output_modes, before.output_modes);
        assert_eq!(now.control_modes, before.control_modes);
    }

    /// Waits for the program's end and for its last byte; its exit code.
    pub fn wait(&mut self) -> u32 {
        let code = self.wait_gone();
        // Written after everything the program wrote, so read after it.
        let mut tty = self.tty.as_ref().unwrap();
        tty.write_all(b"\n<the end>").unwrap();
        self.until("the end", |screen| screen.contains("<the end>"));
        code
    }

    pub fn wait_gone(&mut self) -> u32 {
        let end = Instant::now() + DEADLINE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.exit_code();
            }
            assert!(Instant::now() < end, "it never ended:\n{}", self.text());
            std::thread::sleep(LOOK);
        }
    }

    /// The terminal's window is closed, or the line is cut.
    pub fn hang_up(&mut self) {
        self.closing.store(true, Ordering::SeqCst);
        // The reader looks up when it has read something.
        self.tty.as_ref().unwrap().write_all(b" ").unwrap();
        self.reader.take().unwrap().join().unwrap();
        (self.tty, self.slave, self.writer, self.master) = (None, None, None, None);
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|status| status.is_none()) {
            let _ = kill_process(self.pid(), Signal::KILL);
            let _ = self.child.wait();
        }
    }
}

/// Without making it this process's own terminal.
fn open_tty(name: &Path) -> File {
    use std::os::unix::fs::OpenOptionsExt;
    let flags = rustix::fs::OFlags::NOCTTY.bits();
    let flags = i32::try_from(flags).unwrap();
    File::options().read(true).write(true).custom_flags(flags).open(name).unwrap()
}
