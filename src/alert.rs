//! Alerts: a bell, a desktop notification or a command of the user's own when a
//! sweep ends, fails, or has found that it is a success or a failure.
//!
//! Values reach the command in environment variables and never through a shell:
//! a run's name can then do nothing but be read.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::sweep::event::Outcome;
use crate::sweep::state::SweepState;
use crate::sweep::stats::{Judgement, Verdict};

/// How a terminal is asked for a desktop notification.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Notify {
    /// Not at all.
    #[default]
    Off,
    /// `OSC 9`: iTerm2, WezTerm, Windows Terminal, ghostty, kitty.
    Osc9,
    /// `OSC 777`: foot, rxvt-unicode, GNOME's terminals, WezTerm.
    Osc777,
}

impl Notify {
    /// Every way.
    pub const ALL: [Self; 3] = [Self::Off, Self::Osc9, Self::Osc777];

    /// Its name in flags and configuration.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Osc9 => "osc9",
            Self::Osc777 => "osc777",
        }
    }

    /// The other way round.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.name() == name)
    }
}

/// How a person wants to be told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Alerts {
    /// Ring the terminal's bell.
    pub bell: bool,
    /// Ask the terminal for a notification.
    pub notify: Notify,
    /// Program and arguments; empty: none.
    pub command: Vec<String>,
    /// What was typed of it, for a process that goes on with the run. (The
    /// configuration it reads itself.)
    pub typed: Vec<String>,
}

/// What is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Everything is measured.
    Complete,
    /// All was tried, some cells failed.
    Partial,
    /// It ended early, and nobody asked for that.
    Failed,
    /// The verdict became a success.
    Success,
    /// The verdict became a failure mode.
    FailureMode,
}

impl Alerts {
    /// True where there is anything to do.
    #[must_use]
    pub fn any(&self) -> bool {
        self.bell || self.notify != Notify::Off || !self.command.is_empty()
    }
}

impl Kind {
    /// In `ALPHASCOPE_ALERT`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Partial => "partial",
            Self::Failed => "failed",
            Self::Success => "success",
            Self::FailureMode => "failure-mode",
        }
    }

    /// How a sweep ended. `None` where a person asked it to stop.
    #[must_use]
    pub fn of_end(ended: &Result<Outcome, String>, asked: bool) -> Option<Self> {
        match ended {
            Ok(Outcome::Complete) => Some(Self::Complete),
            Ok(Outcome::Partial) => Some(Self::Partial),
            Ok(Outcome::Stopped) if asked => None,
            Ok(Outcome::Stopped) | Err(_) => Some(Self::Failed),
        }
    }

    fn of_verdict(verdict: Verdict) -> Option<Self> {
        match verdict {
            Verdict::Success => Some(Self::Success),
            Verdict::Failure => Some(Self::FailureMode),
            Verdict::Undecided | Verdict::TooEarly => None,
        }
    }
}

/// Tells each verdict once, and none that was known before.
#[derive(Clone, Debug, Default)]
pub struct Verdicts(Vec<Kind>);

impl Verdicts {
    /// What was found before: not told.
    pub fn known(&mut self, judgement: &Judgement) {
        self.0.extend(Kind::of_verdict(judgement.verdict));
    }

    /// What to tell of this one, if anything.
    pub fn news(&mut self, judgement: &Judgement) -> Option<Kind> {
        let kind = Kind::of_verdict(judgement.verdict).filter(|kind| !self.0.contains(kind))?;
        self.0.push(kind);
        Some(kind)
    }
}

/// One alert.
#[derive(Clone, Debug, PartialEq)]
pub struct Alert {
    /// What happened.
    pub kind: Kind,
    /// The run folder.
    pub dir: PathBuf,
    /// One sentence: why, or what the sweep found.
    pub text: String,
    /// RFT gain in percentage points; `None` where it cannot be told.
    pub gain: Option<f64>,
    /// Where the gain is: the best interior α.
    pub best_alpha: Option<f64>,
}

impl Alert {
    /// From what is known of the run. `why` says why it failed.
    #[must_use]
    pub fn new(
        kind: Kind,
        dir: &Path,
        state: &SweepState,
        judgement: &Judgement,
        why: Option<&str>,
    ) -> Self {
        let best = judgement.gain.as_ref().map(|gain| gain.best_interior);
        let best_alpha = best.and_then(|id| state.alphas().get(id.index())).map(|it| it.get());
        let gain = judgement.gain.as_ref().map(|gain| gain.points.value);
        let found = format!("{}: {}", judgement.verdict.words(), judgement.reason);
        let text = why.map_or(found, str::to_string);
        Self { kind, dir: dir.into(), text, gain, best_alpha }
    }

    fn line(&self) -> String {
        let run = self.dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let line = format!("{run} {}: {}", self.kind.name(), self.text);
        // A name must not end the sequence, nor begin another.
        line.chars().filter(|c| !c.is_control()).collect()
    }

    /// What is written to the terminal; through tmux where that stands between.
    #[must_use]
    pub fn bytes(&self, alerts: &Alerts, tmux: bool) -> Vec<u8> {
        let line = self.line();
        let osc = match alerts.notify {
            Notify::Off => String::new(),
            Notify::Osc9 => format!("\x1b]9;alphascope: {line}\x07"),
            Notify::Osc777 => {
                format!("\x1b]777;notify;alphascope;{}\x07", line.replace(';', ","))
            }
        };
        let osc = match osc.as_str() {
            "" => osc,
            osc if tmux => format!("\x1bPtmux;{}\x1b\\", osc.replace('\x1b', "\x1b\x1b")),
            osc => osc.to_string(),
        };
        let bell = if alerts.bell { "\x07" } else { "" };
        (bell.to_string() + &osc).into_bytes()
    }

    /// Starts the command, where there is one, and does not wait for it. What it
    /// prints goes to standard error.
    pub fn run(&self, alerts: &Alerts) {
        let Some((program, args)) = alerts.command.split_first() else { return };
        let number = |value: Option<f64>| value.map_or_else(String::new, |it| it.to_string());
        let mut command = Command::new(program);
        command
            .args(args)
            .env("ALPHASCOPE_ALERT", self.kind.name())
            .env("ALPHASCOPE_TEXT", &self.text)
            .env("ALPHASCOPE_RUN", &self.dir)
            .env("ALPHASCOPE_GAIN", number(self.gain))
            .env("ALPHASCOPE_BEST_ALPHA", number(self.best_alpha))
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        let wait = |mut child: std::process::Child, program: String| {
            let end = move || match child.wait() {
                Ok(status) if status.success() => {}
                Ok(status) => tracing::warn!("the alert `{program}` ended with {status}"),
                Err(error) => tracing::warn!("cannot wait for the alert `{program}`: {error}"),
            };
            // Without a thread it is nobody's child for a while, no more.
            let _ = std::thread::Builder::new().name("alert".into()).spawn(end);
        };
        match command.spawn() {
            Ok(child) => wait(child, program.clone()),
            Err(error) => tracing::error!("cannot start the alert `{program}`: {error}"),
        }
    }
}

/// True where tmux stands between the program and the terminal.
#[must_use]
pub fn in_tmux() -> bool {
    std::env::var_os("TMUX").is_some_and(|it| !it.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alert(dir: &str, text: &str) -> Alert {
        let (gain, best_alpha) = (Some(1.5), Some(0.4));
        Alert { kind: Kind::Success, dir: dir.into(), text: text.into(), gain, best_alpha }
    }

    fn judged(verdict: Verdict) -> Judgement {
        let (gain, barriers, ood_barrier) = (None, Vec::new(), None);
        Judgement { gain, barriers, ood_barrier, verdict, reason: "so it is".into() }
    }

    #[test]
    fn terminals_are_asked_in_their_own_words() {
        let it = alert("/runs/zs-ft-1", "a; b");
        let of = |bell, notify, tmux| {
            let alerts = Alerts { bell, notify, ..Alerts::default() };
            String::from_utf8(it.bytes(&alerts, tmux)).unwrap()
        };
        assert_eq!(of(false, Notify::Off, true), "");
        assert_eq!(of(true, Notify::Off, false), "\x07");
        assert_eq!(
            of(true, Notify::Osc9, false),
            "\x07\x1b]9;alphascope: zs-ft-1 success: a; b\x07"
        );
        assert_eq!(
            of(false, Notify::Osc777, false),
            "\x1b]777;notify;alphascope;zs-ft-1 success: a, b\x07"
        );
        assert_eq!(
            of(false, Notify::Osc9, true),
            "\x1bPtmux;\x1b\x1b]9;alphascope: zs-ft-1 success: a; b\x07\x1b\\"
        );
    }

    #[test]
    fn a_name_cannot_speak_to_the_terminal() {
        let it = alert("/runs/x\x07\x1b]0;mine\x1b\\", "\u{9b}2J\n");
        let alerts = Alerts { notify: Notify::Osc9, ..Alerts::default() };
        let text = String::from_utf8(it.bytes(&alerts, false)).unwrap();
        assert_eq!(text, "\x1b]9;alphascope: x]0;mine\\ success: 2J\x07");
    }

    #[test]
    fn each_verdict_is_told_once_and_none_that_was_known() {
        let mut verdicts = Verdicts::default();
        let (good, bad) = (judged(Verdict::Success), judged(Verdict::Failure));
        assert_eq!(verdicts.news(&judged(Verdict::TooEarly)), None);
        assert_eq!(verdicts.news(&good), Some(Kind::Success));
        assert_eq!(verdicts.news(&judged(Verdict::Undecided)), None);
        assert_eq!(verdicts.news(&good), None);
        assert_eq!(verdicts.news(&bad), Some(Kind::FailureMode));
        let mut resumed = Verdicts::default();
        resumed.known(&good);
        assert_eq!(resumed.news(&good), None);
    }

    #[test]
    fn an_end_that_was_asked_for_is_no_alert() {
        assert_eq!(Kind::of_end(&Ok(Outcome::Stopped), true), None);
        assert_eq!(Kind::of_end(&Ok(Outcome::Stopped), false), Some(Kind::Failed));
        assert_eq!(Kind::of_end(&Ok(Outcome::Complete), true), Some(Kind::Complete));
        assert_eq!(Kind::of_end(&Err("disk".into()), false), Some(Kind::Failed));
    }
}
