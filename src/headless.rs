//! The sweep without a screen: the same session, as progress lines on stderr
//! and a table (or event lines) on stdout.

mod herald;
mod pace;
mod rounds;
mod words;

use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use herald::Herald;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use pace::Pace;
use rounds::Rounds;
use words::{at, place, role, time, variant, what};

use crate::alert::Alerts;
use crate::launch::Launch;
use crate::plain;
use crate::plural;
use crate::session::Update;
use crate::sweep::command::Command;
use crate::sweep::event::{Event, Level, Outcome, Progress};
use crate::sweep::ids::{ProbeCell, Task, VariantId};
use crate::sweep::state::{SweepState, cells_at};
use crate::{report, sweep};

/// How often signals are looked at while nothing happens.
const LOOK: Duration = Duration::from_millis(100);

/// The longest time left that is told, in seconds: a hundred days.
const LONGEST: f64 = 8_640_000.0;

/// What the sweep prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// Progress on stderr, the table on stdout.
    Table,
    /// Every event as a JSON line on stdout, nothing else there.
    Json,
}

/// Runs a sweep to its end, or until a signal: SIGINT, SIGTERM and SIGUSR1 stop
/// after the batch, a second SIGINT at once. A terminal that hangs up only ends
/// what is said on it. Begins with a pause where `paused`. Gives how it ended.
///
/// # Errors
/// When the sweep cannot go on, or stdout is gone.
pub fn run(
    launch: Launch,
    output: Output,
    paused: bool,
    alerts: Alerts,
) -> anyhow::Result<Outcome> {
    let signals = Signals::listen()?;
    let dir = launch.dir().to_path_buf();
    let mut show = Show::new(&dir, output);
    let handle = launch.start(Arc::new(|| {}))?;
    show.known = handle.known;
    let mut herald = Herald::new(alerts, dir.clone());
    if paused {
        let _ = handle.commands.send(Command::Pause);
    }
    let (mut state, mut rounds) = (SweepState::default(), Rounds::default());
    let mut stopping = false;
    // Of the events told first, so many are not of this session.
    let (mut old, mut began) = (handle.known, false);
    let ended = loop {
        let update = handle.updates.recv_timeout(LOOK);
        show.gone = signals.hung_up.load(Ordering::SeqCst);
        match update {
            Ok(Update::Event(event)) => {
                state.apply(&event);
                began |= old == 0 && matches!(*event, Event::Started { .. });
                let mut round = None;
                match old {
                    0 => round = rounds.news(&event, &state),
                    1 => {
                        rounds.known(&state);
                        herald.known(&state);
                    }
                    _ => {}
                }
                old = old.saturating_sub(1);
                if round.is_some() {
                    herald.round(&state, show.gone);
                }
                if !show.event(&event, round, &state)? && !stopping {
                    stopping = true;
                    stop(&handle.commands);
                }
            }
            Ok(Update::Progress(progress)) => show.progress(&progress, &state),
            Ok(Update::Stands(Some(why))) => show.say(&format!("error: {why}")),
            Ok(Update::Stands(None) | Update::Link(_) | Update::NotTaken(_)) => {}
            Ok(Update::Ended(ended)) => break ended,
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => {
                break Err("the measuring thread ended without a word; the log has more".into());
            }
        }
        show.tick(&state);
        match signals.heard() {
            0 => {}
            1 if !stopping => {
                stopping = true;
                show.say("stopping after this batch; once more to stop at once");
                stop(&handle.commands);
            }
            1 => {}
            // The journal holds only whole lines: leaving now loses one round
            // of one cell at most. Who goes on takes over what is left open.
            _ => {
                show.bar.finish_and_clear();
                show.say(&again(&dir));
                return Ok(Outcome::Stopped);
            }
        }
    };
    handle.join();
    show.bar.finish_and_clear();
    herald.ended(&ended, stopping, &state, show.gone);
    let outcome = match ended {
        Ok(outcome) => outcome,
        // What was measured before is kept: an early end, not a wrong start.
        Err(text) if began => {
            show.say(&format!("error: {text}"));
            Outcome::Stopped
        }
        Err(text) => return Err(anyhow::Error::msg(text)),
    };
    show.finish(&state, outcome, &dir)?;
    Ok(outcome)
}

fn stop(commands: &Sender<Command>) {
    // A session that is over needs no stopping.
    let _ = commands.send(Command::Stop);
}

/// Counts the signals that ask to stop, and notes whether the terminal hung up.
struct Signals {
    asked: Arc<AtomicUsize>,
    hung_up: Arc<AtomicBool>,
}

impl Signals {
    fn listen() -> io::Result<Self> {
        use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};
        let count = Arc::new(AtomicUsize::new(0));
        let mut signals = signal_hook::iterator::Signals::new([SIGINT, SIGTERM, SIGUSR1])?;
        let heard = Arc::clone(&count);
        let hung_up = Arc::new(AtomicBool::new(false));
        // From here on it has no other effect.
        signal_hook::flag::register(SIGHUP, Arc::clone(&hung_up))?;
        std::thread::Builder::new().name("signals".into()).spawn(move || {
            for signal in signals.forever() {
                // Only a person's second ^C means at once.
                if signal == SIGINT || heard.load(Ordering::SeqCst) == 0 {
                    heard.fetch_add(1, Ordering::SeqCst);
                }
            }
        })?;
        Ok(Self { asked: count, hung_up })
    }

    fn heard(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

/// What a person, or a program, sees.
struct Show {
    output: Output,
    bar: ProgressBar,
    /// Events still to come that were in the journal before.
    known: usize,
    /// When something was said last.
    pace: Pace,
    /// What is measured now, for a line when nothing else was said for long.
    latest: Option<String>,
    /// The terminal has hung up: nothing more is said on it.
    gone: bool,
    /// Stdout and stderr are terminals. (One that is gone does not say so.)
    terminals: [bool; 2],
}

impl Show {
    fn new(dir: &Path, output: Output) -> Self {
        let terminals = [io::stdout().is_terminal(), io::stderr().is_terminal()];
        let terminal = terminals[1];
        let bar = match (output, terminal) {
            (Output::Table, true) => {
                let target = ProgressDrawTarget::stderr_with_hz(5);
                ProgressBar::with_draw_target(Some(0), target)
            }
            _ => ProgressBar::hidden(),
        };
        if let Ok(style) = ProgressStyle::with_template("{wide_bar} {percent:>3} %  {msg}") {
            bar.set_style(style.progress_chars("━━╌"));
        }
        let pace = Pace::new(Instant::now());
        let show = Self { output, bar, known: 0, pace, latest: None, gone: false, terminals };
        show.say(&format!("run folder: {}", dir.display()));
        show
    }

    /// A line for people; never on stdout.
    fn say(&self, text: &str) {
        let text = &plain::text(text);
        if self.gone && self.terminals[1] {
            return;
        }
        if self.bar.is_hidden() {
            self.pace.said(Instant::now());
            // Nobody to tell is no reason to stop measuring.
            let _ = writeln!(io::stderr(), "{text}");
        } else {
            self.bar.println(text);
        }
    }

    /// `round`: so many are whole by this event. False when nobody reads stdout
    /// any more.
    fn event(
        &mut self,
        event: &Event,
        round: Option<usize>,
        state: &SweepState,
    ) -> anyhow::Result<bool> {
        if self.output == Output::Json {
            if self.gone && self.terminals[0] {
                return Ok(true);
            }
            let line = serde_json::to_string(event)?;
            return written(writeln!(io::stdout(), "{line}"));
        }
        let known = self.known > 0;
        self.known = self.known.saturating_sub(1);
        match event {
            // Told when it was measured; what was planned is told again.
            _ if known && is_past(event) => {}
            Event::Header(header) => {
                let (ends, sets) = (
                    format!(
                        "zero-shot {} (α 0) → fine-tuned {} (α 1)",
                        header.zeroshot, header.finetuned
                    ),
                    header
                        .datasets
                        .iter()
                        .map(|d| format!("{} {} ({})", role(d.role), d.name, d.images)),
                );
                self.say(&format!("{ends}, {}", header.architecture));
                if let Some(label) = &header.label {
                    self.say(label);
                }
                self.say(&format!(
                    "{} on {}",
                    plural::counted(header.alphas.len(), "point"),
                    sets.collect::<Vec<_>>().join(", ")
                ));
            }
            Event::Started { devices, .. } => {
                let (done, total) = state.work();
                if done < total {
                    self.say(&format!("measuring on {}", devices.join(", ")));
                }
            }
            Event::Measured(_) => {
                if let Some(round) = round {
                    self.round(round, state);
                }
            }
            Event::Refused { why, .. } => self.say(&format!("refused: {why}")),
            Event::Notice { level, text, .. } => {
                let word = if *level == Level::Error { "error" } else { "note" };
                self.say(&format!("{word}: {text}"));
            }
            Event::Probing { probe } => {
                self.say(&format!("also measured: {}", what(probe, state)));
            }
            Event::Probed(probed) => self.probed(probed.cell, state),
            Event::ProbeFailed { cell, message } => {
                self.say(&format!("error: {}: {message}", place(*cell, state)));
            }
            Event::VariantAdded { variant } => {
                self.say(&format!("variant added: {}", variant.name));
            }
            Event::Doctor { spec } => self.say(&format!(
                "doctor: tries up to {}, half of them controls",
                plural::counted(spec.variants, "edit")
            )),
            Event::CellFailed { cell, message, .. } => {
                let name = state.datasets().get(cell.dataset.index()).map_or("?", |d| &d.name);
                let (at, variant) = (at(cell.alpha, state), variant(cell.variant, state));
                self.say(&format!("error: {name}{at}{variant}: {message}"));
            }
            _ => {}
        }
        if known && self.known == 0 {
            let (done, total) = state.work();
            self.say(&match (100 * done).checked_div(total) {
                Some(percent) if done < total => {
                    format!("going on: {percent} % was measured before")
                }
                _ => "all of this was measured before".to_string(),
            });
        }
        Ok(true)
    }

    fn round(&self, rounds: usize, state: &SweepState) {
        let (done, total) = state.work();
        let percent = 100 * done / total.max(1);
        let it = sweep::stats::judge(state, VariantId::DENSE);
        let (verdict, reason) = (it.verdict.words(), it.reason);
        self.say(&format!("round {rounds}, {percent} % of the work: {verdict}: {reason}"));
    }

    /// A line each time a probe is through with a point.
    fn probed(&self, cell: ProbeCell, state: &SweepState) {
        let (Some(header), Some(it)) = (state.header(), state.probe(cell.probe)) else { return };
        let mut cells = cells_at(header, &it.probe, cell.probe, cell.variant, cell.alpha);
        if cells.all(|cell| it.answer(cell).is_some()) {
            let (done, total) = state.work();
            let percent = 100 * done / total.max(1);
            let whole = ProbeCell { layer: None, ..cell };
            self.say(&format!("{}, {percent} % of the work", place(whole, state)));
        }
    }

    /// A word while nothing else is said: where there is no bar, a person would
    /// see nothing for minutes, as sharpness takes them.
    fn tick(&self, state: &SweepState) {
        if let Some(text) = self.overdue(Instant::now(), state) {
            self.say(text);
        }
    }

    fn overdue(&self, now: Instant, state: &SweepState) -> Option<&str> {
        let quiet = self.output == Output::Table && self.bar.is_hidden() && !state.paused;
        self.latest.as_deref().filter(|_| quiet && self.pace.due(now))
    }

    fn progress(&mut self, progress: &Progress, state: &SweepState) {
        if self.gone {
            return;
        }
        self.bar.set_length(progress.images_total);
        self.bar.set_position(progress.images_done);
        let now = match progress.task {
            Task::Accuracy(cell) => {
                let name = state.datasets().get(cell.dataset.index()).map_or("", |d| &d.name);
                let variant = variant(cell.variant, state);
                format!("{name}{}{variant}", at(cell.alpha, state))
            }
            Task::Probe(cell) => place(cell, state),
            Task::Activation => "both activations at the zero-shot end".into(),
        };
        let rate = progress.rate.map_or_else(String::new, |rate| {
            let left = progress.images_total.saturating_sub(progress.images_done) as f64;
            let left = left / rate;
            // Sooner nothing than nonsense.
            let left =
                if left < LONGEST { format!(" · {} left", time(left)) } else { String::new() };
            format!(" · {rate:.0} img/s{left}")
        });
        let message = format!("{now}{rate}");
        let share = 100.0 * progress.images_done as f64 / progress.images_total.max(1) as f64;
        self.latest = Some(format!("{share:.0} % of the work: {message}"));
        self.bar.set_message(plain::name(&message).into_owned());
    }

    fn finish(&self, state: &SweepState, outcome: Outcome, dir: &Path) -> anyhow::Result<()> {
        let heard = !(self.gone && self.terminals[0]);
        if self.output == Output::Table && heard {
            written(write!(io::stdout(), "{}", plain::text(&report::table(state))))?;
        }
        let shown = dir.display();
        self.say(&match outcome {
            // A part says nothing of the others.
            Outcome::Complete if state.outcome != Some(outcome) => {
                format!("this part is complete, in {}: {shown}", time(state.seconds))
            }
            Outcome::Complete => format!("complete in {}: {shown}", time(state.seconds)),
            Outcome::Partial => format!("some cells failed; the rest is in {shown}"),
            Outcome::Stopped => again(dir),
        });
        Ok(())
    }
}

/// How to go on, for a shell.
fn again(dir: &Path) -> String {
    let shown = crate::config::quoted(dir);
    format!("stopped early; go on with: alphascope sweep --resume --out {shown}")
}

/// True for what happened, false for what was decided.
fn is_past(event: &Event) -> bool {
    matches!(
        event,
        Event::Started { .. }
            | Event::Measured(_)
            | Event::CellFailed { .. }
            | Event::Probed(_)
            | Event::ProbeFailed { .. }
    )
}

/// False for a reader that went away, which is no error.
fn written(result: io::Result<()>) -> anyhow::Result<bool> {
    match result {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(anyhow::Error::new(error).context("cannot write to stdout")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_bar_something_is_said_each_minute_and_no_more() {
        let mut show = Show {
            output: Output::Table,
            bar: ProgressBar::hidden(),
            known: 0,
            pace: Pace::new(Instant::now()),
            latest: None,
            gone: false,
            terminals: [false; 2],
        };
        let mut state = SweepState::default();
        let begun = Instant::now();
        let at = |seconds| begun + Duration::from_secs(seconds);
        assert_eq!(show.overdue(at(600), &state), None, "nothing is known yet");
        let cell = ProbeCell {
            probe: crate::sweep::ids::ProbeId(0),
            variant: VariantId::DENSE,
            alpha: crate::sweep::ids::AlphaId(0),
            layer: None,
        };
        show.progress(
            &Progress {
                worker: crate::sweep::ids::WorkerId(0),
                task: Task::Probe(cell),
                images_done: 25,
                images_total: 100,
                rate: Some(5.0),
            },
            &state,
        );
        show.pace.said(begun);
        assert_eq!(show.overdue(at(59), &state), None);
        let text = show.overdue(at(60), &state).unwrap();
        assert_eq!(text, "25 % of the work: probe · 5 img/s · 15 s left");
        show.pace.said(at(60));
        assert_eq!(show.overdue(at(119), &state), None);
        assert!(show.overdue(at(120), &state).is_some());
        state.paused = true;
        assert_eq!(show.overdue(at(999), &state), None, "a pause is said once");
        (state.paused, show.output) = (false, Output::Json);
        assert_eq!(show.overdue(at(999), &state), None, "programs read events");
    }
}
