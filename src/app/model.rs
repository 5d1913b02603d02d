//! The whole state of the screen.

use std::collections::VecDeque;

pub use crate::control::Link;
use crate::sweep::event::{Level, Outcome, Progress};

use super::ask::Ask;
use super::axis::Axis;
use super::board::Board;
use super::contest::{Contest, Guest, RivalId};
use super::layers::Layers;
use super::library::Library;
use super::live::{Live, SMALLEST};
use super::look::Look;
use super::save::Save;
use super::setup;
use super::setup::Field;
use super::sheet::Sheet;
use super::tab::Tab;
use crate::sweep::doctor::{Findings, findings};
use crate::sweep::ids::VariantId;
use crate::sweep::state::SweepState;

/// Lines the log pane keeps.
pub const LOG_LINES: usize = 500;
/// Columns of the sign before each of them.
pub const LOG_SIGN: usize = 4;

/// Which screen is up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Screen {
    /// Choosing what to measure.
    Setup,
    /// A run, live or replayed.
    Live,
    /// The runs there are.
    Library,
}

/// What this program is to the run it shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// It measures: commands reach the worker.
    Own,
    /// It watches a run folder; see [`Link`].
    Watch,
}

/// One line of the log pane.
#[derive(Clone, Debug, PartialEq)]
pub struct LogLine {
    /// How much it matters.
    pub level: Level,
    /// One line of text.
    pub text: String,
}

/// How far what is derived ([`Model::settle`]) lags behind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Lag {
    /// It does not.
    #[default]
    None,
    /// The run went on; it is derived when data may be drawn again.
    Data,
    /// A person wants to see something else: derived for the next frame.
    Asked,
}

/// The whole state of the screen: a fold of [`super::Message`]s, nothing else.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    /// Which screen is up.
    pub screen: Screen,
    /// Commanding or watching.
    pub mode: Mode,
    /// Who measures what is watched.
    pub link: Link,
    /// The set-up screen.
    pub setup: setup::State,
    /// The run library.
    pub library: Library,
    /// The run that is watched was opened there: leaving it leads back.
    pub from_library: bool,
    /// The fold of the run's events.
    pub run: SweepState,
    /// What the screen shows of [`Model::run`]; see [`Model::settle`].
    pub board: Board,
    /// Vertical ranges, widened in steps as data arrive.
    pub axis: Axis,
    /// Cursor, focus, zoom, panes, questions of the live screen.
    pub live: Live,
    /// Which of the run's screens is up.
    pub tab: Tab,
    /// Rows, filter, selection and the edit in hand of the layers screen.
    pub layers: Layers,
    /// What the layers and correlation screens show of [`Model::run`].
    pub sheet: Sheet,
    /// The variant highlighted on the compare screen.
    pub rival: RivalId,
    /// Other runs shown beside this one.
    pub guests: Vec<Guest>,
    /// The folder of another run is being typed.
    pub opening: Option<Field>,
    /// What the compare screen shows of [`Model::run`].
    pub contest: Contest,
    /// The form that asks for a measurement is open.
    pub ask: Option<Ask>,
    /// The form that writes a checkpoint is open.
    pub save: Option<Save>,
    /// The doctor's panel is open.
    pub doctor: bool,
    /// What the panel shows; `None` while it is closed.
    pub findings: Option<Findings>,
    /// The sweep stands still: there is no room to write.
    pub full: bool,
    /// The latest from a worker, and of the run as a whole.
    pub progress: Option<Progress>,
    /// How the session ended, when it has.
    pub ended: Option<Result<Outcome, String>>,
    /// Newest last, at most [`LOG_LINES`].
    pub log: VecDeque<LogLine>,
    /// Colours and characters.
    pub look: Look,
    /// Mouse capture is wanted.
    pub mouse: bool,
    /// The help page is open, scrolled by so many lines.
    pub help: Option<usize>,
    /// The log is open over the screen, scrolled up by so many lines; [`super::live::Live::log`] is
    /// its pane on the live screen.
    pub log_page: Option<usize>,
    /// Columns and rows of the terminal.
    pub size: (u16, u16),
    /// How far what is derived lags behind what it is derived from.
    pub(super) lag: Lag,
}

impl Model {
    /// A screen without a run.
    #[must_use]
    pub fn new(screen: Screen, mode: Mode, look: Look) -> Self {
        Self {
            screen,
            mode,
            link: Link::default(),
            setup: setup::State::default(),
            library: Library::default(),
            from_library: false,
            run: SweepState::default(),
            board: Board::default(),
            axis: Axis::default(),
            live: Live::default(),
            tab: Tab::default(),
            layers: Layers::default(),
            sheet: Sheet::default(),
            rival: RivalId::DENSE,
            guests: Vec::new(),
            opening: None,
            contest: Contest::default(),
            ask: None,
            save: None,
            doctor: false,
            findings: None,
            full: false,
            progress: None,
            ended: None,
            log: VecDeque::new(),
            look,
            mouse: false,
            help: None,
            log_page: None,
            size: (80, 24),
            lag: Lag::None,
        }
    }

    /// Brings [`Model::board`] up to date. The runtime calls it once after it
    /// has drained all that is ready and before it draws: intervals of the
    /// gain cost a bootstrap, so they are not computed for every event.
    pub fn settle(&mut self) {
        if std::mem::take(&mut self.lag) == Lag::None {
            return;
        }
        self.board = Board::of(&self.run, self.live.variant);
        self.sheet = Sheet::of(&self.run, self.probed_variant(), self.layers.probe);
        self.sheet.count(&self.run, self.live.variant);
        self.findings = self.doctor.then(|| findings(&self.run)).flatten();
        match self.tab {
            Tab::Correlation if self.layers.together && !self.guests.is_empty() => {
                self.sheet.relate_together(&self.run, &self.guests);
            }
            Tab::Correlation => self.sheet.relate(&self.run, self.sheet.variant),
            Tab::Compare => {
                self.contest = Contest::of(&self.run, self.cursor(), &self.guests);
            }
            Tab::Live | Tab::Layers => {}
        }
    }

    /// A person asked for what is not derived yet: the next frame must not wait
    /// for the run's next event.
    #[must_use]
    pub fn due(&self) -> bool {
        self.lag == Lag::Asked
    }

    /// What is derived no longer holds.
    pub(super) fn behind(&mut self, lag: Lag) {
        self.lag = self.lag.max(lag);
    }

    /// The variant whose layers are shown: the live screen's, where something
    /// of it was probed.
    fn probed_variant(&self) -> VariantId {
        let variant = self.live.variant;
        let probed = |id: VariantId| {
            self.run.probes().iter().flat_map(|it| it.results()).any(|it| it.cell.variant == id)
        };
        if variant != VariantId::DENSE && probed(variant) { variant } else { VariantId::DENSE }
    }

    /// True where the screen has room for numbers only.
    #[must_use]
    pub fn is_small(&self) -> bool {
        self.size.0 < SMALLEST.0 || self.size.1 < SMALLEST.1
    }

    /// True while a session measures or is paused.
    #[must_use]
    pub fn running(&self) -> bool {
        self.ended.is_none() && self.run.outcome.is_none() && self.run.header().is_some()
    }

    /// True while nothing is measured: on a person's wish, or for want of room.
    #[must_use]
    pub fn resting(&self) -> bool {
        self.run.paused || self.full
    }

    /// True while what a person asks for can still be measured: by a sweep of our
    /// own or one that is free, which go on where they have ended, or by one that
    /// hears us. Keys that ask are offered only then.
    #[must_use]
    pub fn can_ask(&self) -> bool {
        let heard = self.link == Link::Attached && self.running();
        self.run.header().is_some() && (self.mode == Mode::Own || heard || self.is_free())
    }

    /// True for a watched run that is over and that nobody measures: it becomes our
    /// own where more is asked of it.
    #[must_use]
    pub fn is_free(&self) -> bool {
        let over = matches!(self.run.outcome, Some(Outcome::Complete | Outcome::Partial));
        over && self.mode == Mode::Watch && self.link == Link::Nobody && self.ended.is_none()
    }

    /// True while a sweep measures that takes commands from here.
    #[must_use]
    pub fn can_command(&self) -> bool {
        self.running() && self.can_ask()
    }

    /// Index into the grid at which exact numbers are shown: the cursor where a
    /// person put it, else the best α of what is focused, else of the OOD mean
    /// (of the first dataset without one). `None` before the header.
    #[must_use]
    pub fn cursor(&self) -> Option<usize> {
        let last = self.board.alphas.len().checked_sub(1)?;
        let followed = self.live.focus.and_then(|target| self.board.curve(target));
        let best = followed.or_else(|| self.board.targets().next()).and_then(|curve| curve.best);
        Some(self.live.cursor.or(best).unwrap_or(0).min(last))
    }

    /// Notices of warning level and above, with the log's.
    #[must_use]
    pub fn warnings(&self) -> usize {
        self.log.iter().filter(|line| line.level >= Level::Warning).count()
    }

    pub(super) fn say(&mut self, level: Level, text: impl Into<String>) {
        let text: String = text.into();
        for line in text.lines() {
            if self.log.len() >= LOG_LINES {
                self.log.pop_front();
            }
            self.log.push_back(LogLine { level, text: line.to_string() });
        }
    }
}
