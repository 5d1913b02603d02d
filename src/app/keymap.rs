//! The keys, as one table: behaviour, footer hints, help screen and docs all
//! come from it.

mod boxes;
mod everywhere;
mod library;
mod live;
mod run;

pub use boxes::{DoctorAct, OpenAct, SaveAct};
pub use run::{AskAct, CompareAct, LayersAct};

use super::key::Key;
use super::library as library_screen;
use super::live::Leave;
use super::setup::{self, Do};
use super::tab::Tab;

/// Where a binding holds. A narrower context is looked up before a wider one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Context {
    /// Every screen where no text is being typed.
    Global,
    /// The live screen.
    Live,
    /// The layers screen.
    Layers,
    /// The filter of the layers screen is being typed.
    Filter,
    /// The correlation screen.
    Correlation,
    /// The compare screen.
    Compare,
    /// Every screen of a run.
    Run,
    /// The form that asks for a measurement is open.
    Ask,
    /// The doctor's panel is open.
    Doctor,
    /// The form that writes a checkpoint is open.
    Save,
    /// The folder of another run is being typed.
    Open,
    /// A question is open.
    Dialog,
    /// The help page is open.
    Help,
    /// The log is open over a screen that has no room of its own for it.
    Log,
    /// The set-up screen's form.
    Setup,
    /// The file browser. Letters filter.
    Browser,
    /// A line of text is being typed.
    Text,
    /// The demo menu.
    Demos,
    /// The run library.
    Library,
    /// A line of text is being typed there.
    LibraryText,
}

impl Context {
    /// In the docs' order.
    pub const ALL: [Self; 20] = [
        Self::Live,
        Self::Layers,
        Self::Filter,
        Self::Correlation,
        Self::Compare,
        Self::Run,
        Self::Ask,
        Self::Doctor,
        Self::Save,
        Self::Open,
        Self::Setup,
        Self::Browser,
        Self::Text,
        Self::Demos,
        Self::Library,
        Self::LibraryText,
        Self::Global,
        Self::Dialog,
        Self::Help,
        Self::Log,
    ];

    /// Heading on the help screen.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::Global => "Everywhere",
            Self::Live => "Live sweep",
            Self::Layers => "Layers",
            Self::Filter => "Filter of the layers",
            Self::Correlation => "Correlation",
            Self::Compare => "Compare",
            Self::Run => "Every screen of a run",
            Self::Ask => "Asking for a measurement",
            Self::Doctor => "Doctor",
            Self::Save => "Writing a checkpoint",
            Self::Open => "Opening another run",
            Self::Dialog => "Questions",
            Self::Help => "Help page",
            Self::Log => "Notices and log",
            Self::Setup => "Set-up",
            Self::Browser => "File browser",
            Self::Text => "Typing",
            Self::Demos => "Demo menu",
            Self::Library => "Runs",
            Self::LibraryText => "Typing in the list of runs",
        }
    }
}

/// What a key does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs)] // the table below says what each one is
pub enum Action {
    Help,
    Theme,
    Charset,
    Mouse,
    Redraw,
    Suspend,
    Quit,
    Pause,
    Skip,
    First,
    CursorLeft,
    CursorRight,
    CursorStart,
    CursorEnd,
    CursorBest,
    FocusNext,
    FocusPrevious,
    Alone,
    Back,
    Zoom,
    ZoomIn,
    ZoomOut,
    Metric,
    Show,
    Table,
    Log,
    PageUp,
    PageDown,
    Yes,
    No,
    Stop,
    Leave(Leave),
    AnswerUp,
    AnswerDown,
    Close,
    ScrollUp,
    ScrollDown,
    Variant,
    Tab(Tab),
    Layers(LayersAct),
    Ask(AskAct),
    Compare(CompareAct),
    Doctor,
    OnDoctor(DoctorAct),
    Save,
    OnSave(SaveAct),
    OnOpen(OpenAct),
    Setup(Do),
    /// Open the run library.
    Runs,
    Library(library_screen::Do),
}

impl Context {
    /// One of a run's screens: [`Context::Run`] holds there too.
    #[must_use]
    pub fn in_run(self) -> bool {
        matches!(self, Self::Live | Self::Layers | Self::Correlation | Self::Compare)
    }
}

/// One row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Binding {
    /// What happens.
    pub action: Action,
    /// Any of these.
    pub keys: &'static [Key],
    /// Where.
    pub context: Context,
    /// One or two words for the footer; empty: not hinted there.
    pub short: &'static str,
    /// Footer hints are dropped from the highest number on when space is short.
    pub rank: u8,
    /// A sentence for the help screen and the docs.
    pub help: &'static str,
}

pub(super) const fn row(
    context: Context,
    action: Action,
    keys: &'static [Key],
    rank: u8,
    short: &'static str,
    help: &'static str,
) -> Binding {
    Binding { action, keys, context, short, rank, help }
}

/// Every binding there is.
pub fn bindings() -> impl Iterator<Item = &'static Binding> {
    let run = live::BINDINGS.iter().chain(run::BINDINGS).chain(boxes::BINDINGS);
    run.chain(setup::BINDINGS).chain(library::BINDINGS).chain(everywhere::BINDINGS)
}

/// What `key` does in `context`: its own table first, on a run's screens then
/// [`Context::Run`], then [`Context::Global`]. Questions, the help page and wherever letters are typed
/// shadow everything but the keys that redraw, suspend or leave.
#[must_use]
pub fn action(context: Context, key: Key) -> Option<Action> {
    let shifted = || bound(context, key.without_shift()?);
    bound(context, key).or_else(shifted)
}

fn bound(context: Context, key: Key) -> Option<Action> {
    let find =
        |wanted: Context| bindings().find(|row| row.context == wanted && row.keys.contains(&key));
    let own = find(context).map(|row| row.action);
    let open = matches!(context, Context::Global | Context::Setup | Context::Library);
    let shadowed = !(context.in_run() || open);
    let shared = || find(Context::Run).map(|row| row.action).filter(|_| context.in_run());
    own.or_else(shared).or_else(|| {
        find(Context::Global).map(|row| row.action).filter(|action| {
            !shadowed || matches!(action, Action::Redraw | Action::Suspend | Action::Quit)
        })
    })
}

/// Rows of one context, in the table's order.
pub fn rows(context: Context) -> impl Iterator<Item = &'static Binding> {
    bindings().filter(move |row| row.context == context)
}

/// The keys as a Markdown table: the docs' keys page is checked against it.
#[must_use]
pub fn markdown() -> String {
    let mut text = String::new();
    for context in Context::ALL {
        text.push_str(&format!("## {}\n\n| key | does |\n| --- | --- |\n", context.title()));
        for row in rows(context) {
            let keys: Vec<String> = row.keys.iter().map(|key| format!("`{key}`")).collect();
            text.push_str(&format!("| {} | {} |\n", keys.join(" "), row.help));
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_key_means_two_things_in_one_context() {
        let mut seen = HashSet::new();
        for row in bindings() {
            assert!(!row.keys.is_empty() && !row.help.is_empty(), "{row:?}");
            for key in row.keys {
                assert!(seen.insert((row.context, *key)), "{key} twice in {:?}", row.context);
            }
        }
    }

    #[test]
    fn live_keys_do_not_hide_global_ones() {
        use Context::{Compare, Correlation, Layers, Library, Live, Run, Setup};
        for row in
            [Live, Layers, Correlation, Compare, Run, Setup, Library].into_iter().flat_map(rows)
        {
            for key in row.keys {
                let global = rows(Context::Global).find(|other| other.keys.contains(key));
                assert!(global.is_none(), "{key} is both a screen's and global");
                let shared = rows(Run).any(|other| other.keys.contains(key));
                assert!(
                    !shared || matches!(row.context, Run | Setup | Library),
                    "{key} hides a run's key"
                );
            }
        }
    }

    #[test]
    fn texts_are_plain_ascii_and_short() {
        for row in bindings() {
            assert!(row.help.is_ascii() && row.short.is_ascii() && row.short.len() <= 9);
        }
    }

    #[test]
    fn questions_shadow_the_rest() {
        assert_eq!(action(Context::Dialog, Key::Char('t')), None);
        assert_eq!(action(Context::Dialog, Key::Ctrl('c')), Some(Action::Quit));
        assert_eq!(action(Context::Dialog, Key::Char('q')), Some(Action::No));
        assert_eq!(action(Context::Live, Key::Char('?')), Some(Action::Help));
        assert_eq!(action(Context::Help, Key::Char('?')), Some(Action::Close));
    }

    #[test]
    fn markdown_lists_every_binding() {
        let text = markdown();
        for row in bindings() {
            assert!(text.contains(row.help));
        }
    }
}
