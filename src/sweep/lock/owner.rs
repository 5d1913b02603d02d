//! The process that writes a run: who it is, whether it lives, how it is told.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::PATIENCE;

/// The process that writes a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// `alphascope 0.1.0`.
    pub program: String,
    /// Its user's name.
    pub user: String,
    /// Its user's number.
    pub uid: u32,
    /// Its machine's name.
    pub host: String,
    /// Which start of the machine, and which process table there: a process
    /// number means something only in the same place. Empty where the system
    /// does not tell.
    pub place: String,
    /// Its process.
    pub pid: i32,
    /// When that process was born, in the system's ticks since the machine
    /// started; `None` where the system does not tell.
    pub born: Option<u64>,
    /// Milliseconds since the Unix epoch, by its own clock.
    pub since: u64,
    /// No two records have the same one.
    pub token: String,
}

impl Owner {
    /// This process, now.
    #[must_use]
    pub fn here() -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let pid = rustix::process::getpid().as_raw_nonzero().get();
        let mut owner = Self {
            program: concat!("alphascope ", env!("CARGO_PKG_VERSION")).into(),
            user: user(),
            uid: rustix::process::geteuid().as_raw(),
            host: rustix::system::uname().nodename().to_string_lossy().into_owned(),
            place: place(),
            pid,
            born: born(pid),
            since: u64::try_from(now.as_millis()).unwrap_or(u64::MAX),
            token: String::new(),
        };
        let count = COUNT.fetch_add(1, Ordering::SeqCst);
        let seed = format!("{owner:?} {} {count}", now.as_nanos());
        owner.token = blake3::hash(seed.as_bytes()).to_hex()[..32].to_string();
        owner
    }

    /// On this machine, in this start of it, in the same process table.
    pub(super) fn is_near(&self, here: &Self) -> bool {
        self.host == here.host && self.place == here.place && !here.place.is_empty()
    }

    /// Whether it lives: of one that is near its process tells, of others the
    /// age of the last sign.
    pub(super) fn lives(&self, here: &Self, age: Duration) -> bool {
        if self.is_near(here) { runs(self.pid, self.born) } else { age < PATIENCE }
    }
}

fn user() -> String {
    let named = ["USER", "LOGNAME"].iter().find_map(|name| std::env::var(name).ok());
    let uid = rustix::process::geteuid().as_raw();
    named.filter(|name| !name.is_empty()).unwrap_or_else(|| match uid {
        0 => "root".into(),
        uid => format!("user {uid}"),
    })
}

fn place() -> String {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let table = std::fs::read_link("/proc/self/ns/pid").unwrap_or_default();
    match boot.trim() {
        "" => String::new(),
        boot => format!("{boot} {}", table.display()),
    }
}

/// State and birth of a process, by Linux's process table.
fn process(pid: i32) -> Option<(String, Option<u64>)> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name before it may hold anything, brackets too.
    let (_, fields) = text.rsplit_once(") ")?;
    let fields: Vec<&str> = fields.split(' ').collect();
    Some(((*fields.first()?).to_string(), fields.get(19).and_then(|ticks| ticks.parse().ok())))
}

pub(super) fn born(pid: i32) -> Option<u64> {
    process(pid)?.1
}

/// True when the very process that was born then runs now.
fn runs(pid: i32, then: Option<u64>) -> bool {
    if let Some((state, now)) = process(pid) {
        let same = then.is_none() || now.is_none() || then == now;
        return same && state != "Z" && state != "X";
    }
    // Other people's processes may be hidden in the table: ask the kernel.
    let Some(pid) = rustix::process::Pid::from_raw(pid) else { return false };
    match rustix::process::test_kill_process(pid) {
        Ok(()) => true,
        Err(error) => error == rustix::io::Errno::PERM,
    }
}

/// Someone who holds a lock, as far as it is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Who; `None` where its record cannot be read (yet).
    pub owner: Option<Owner>,
    /// Since its last sign of life.
    pub sign: Duration,
    /// It is on this machine.
    pub near: bool,
}

impl std::fmt::Display for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Some(owner) = &self.owner else {
            return write!(f, "another process (it has not said who it is)");
        };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let since = Duration::from_millis(owner.since);
        let span = span(now.saturating_sub(since));
        let Owner { program, user, host, pid, .. } = owner;
        write!(f, "{program} (process {pid} of {user} on {host}) for {span}")?;
        if self.near { Ok(()) } else { write!(f, ", last sign {} ago", self::span(self.sign)) }
    }
}

impl Holder {
    /// What can be done about it.
    #[must_use]
    pub fn advice(&self) -> String {
        match &self.owner {
            Some(owner) if self.near => {
                format!("watch it (`alphascope watch`), or stop it (`kill {}`)", owner.pid)
            }
            Some(owner) => format!(
                "watch it (`alphascope watch`), or stop it on {}; if that machine is gone, try \
                 again when the last sign is {} old",
                owner.host,
                span(PATIENCE)
            ),
            None => "watch it (`alphascope watch`), or stop that process".into(),
        }
    }
}

/// `12 s`, `3 min`, `2 h`, `4 days`.
#[must_use]
pub fn span(span: Duration) -> String {
    match span.as_secs() {
        it @ 0..120 => format!("{it} s"),
        it @ 120..7200 => format!("{} min", it / 60),
        it @ 7200..172_800 => format!("{} h", it / 3600),
        it => format!("{} days", it / 86_400),
    }
}
