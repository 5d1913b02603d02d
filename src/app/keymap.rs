//! The keys, as one table: behaviour, footer hints, help screen and docs all
//! come from it.

use super::key::Key;
use super::setup::{self, Do};

/// Where a binding holds. A narrower context is looked up before a wider one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Context {
    /// Every screen where no text is being typed.
    Global,
    /// The live screen.
    Live,
    /// A question is open.
    Dialog,
    /// The help page is open.
    Help,
    /// The set-up screen's form.
    Setup,
    /// The file browser. Letters filter.
    Browser,
    /// A line of text is being typed.
    Text,
    /// The demo menu.
    Demos,
}

impl Context {
    /// In the docs' order.
    pub const ALL: [Self; 8] = [
        Self::Live,
        Self::Setup,
        Self::Browser,
        Self::Text,
        Self::Demos,
        Self::Global,
        Self::Dialog,
        Self::Help,
    ];

    /// Heading on the help screen.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::Global => "Everywhere",
            Self::Live => "Live sweep",
            Self::Dialog => "Questions",
            Self::Help => "Help page",
            Self::Setup => "Set-up",
            Self::Browser => "File browser",
            Self::Text => "Typing",
            Self::Demos => "Demo menu",
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
    Close,
    ScrollUp,
    ScrollDown,
    Setup(Do),
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
    BINDINGS.iter().chain(setup::BINDINGS)
}

/// All but the set-up screen's.
const BINDINGS: &[Binding] = &[
    row(
        Context::Live,
        Action::Pause,
        &[Key::Char('p'), Key::Char(' ')],
        2,
        "pause",
        "Pause after the batch in hand, or go on",
    ),
    row(
        Context::Live,
        Action::Skip,
        &[Key::Char('s')],
        6,
        "skip",
        "Skip the focused dataset (asks first), or take it back; what is measured stays",
    ),
    row(
        Context::Live,
        Action::First,
        &[Key::Char('f')],
        12,
        "first",
        "Measure the focused dataset first in each round, or go back to the spec's order",
    ),
    row(
        Context::Live,
        Action::FocusNext,
        &[Key::Tab, Key::Down, Key::Char('j')],
        4,
        "dataset",
        "Focus the next dataset",
    ),
    row(
        Context::Live,
        Action::FocusPrevious,
        &[Key::BackTab, Key::Up, Key::Char('k')],
        20,
        "",
        "Focus the previous dataset",
    ),
    row(
        Context::Live,
        Action::Alone,
        &[Key::Enter],
        7,
        "alone",
        "Show the focused dataset alone, large; again: all of them",
    ),
    row(
        Context::Live,
        Action::Back,
        &[Key::Esc],
        20,
        "",
        "One step back: from alone to focused, from focused to all",
    ),
    row(
        Context::Live,
        Action::CursorLeft,
        &[Key::Left],
        3,
        "alpha",
        "Move the cursor to the next smaller alpha; every exact number follows it",
    ),
    row(
        Context::Live,
        Action::CursorRight,
        &[Key::Right],
        20,
        "",
        "Move the cursor to the next larger alpha",
    ),
    row(
        Context::Live,
        Action::CursorStart,
        &[Key::Home, Key::Char('0')],
        20,
        "",
        "Cursor to the smallest alpha",
    ),
    row(
        Context::Live,
        Action::CursorEnd,
        &[Key::End, Key::Char('$')],
        20,
        "",
        "Cursor to the largest alpha",
    ),
    row(
        Context::Live,
        Action::CursorBest,
        &[Key::Char('b')],
        11,
        "best",
        "Cursor to the best alpha of what is focused (else of the OOD mean)",
    ),
    row(
        Context::Live,
        Action::Zoom,
        &[Key::Char('z')],
        8,
        "zoom",
        "Vertical axis: fit all, fit what is focused, full range",
    ),
    row(
        Context::Live,
        Action::ZoomIn,
        &[Key::Char('+'), Key::Char('=')],
        20,
        "",
        "Zoom in around what is focused at the cursor",
    ),
    row(Context::Live, Action::ZoomOut, &[Key::Char('-'), Key::Char('_')], 20, "", "Zoom out"),
    row(
        Context::Live,
        Action::Metric,
        &[Key::Char('a')],
        9,
        "loss",
        "Switch between accuracy (top-1) and loss (mean cross-entropy)",
    ),
    row(
        Context::Live,
        Action::Show,
        &[Key::Char('o')],
        10,
        "ood only",
        "Curves shown: all, ID only, OOD only, OOD mean only",
    ),
    row(
        Context::Live,
        Action::Table,
        &[Key::Char('v')],
        5,
        "table",
        "Table of every exact number, alpha by dataset, or the chart",
    ),
    row(
        Context::Live,
        Action::Log,
        &[Key::Char('l')],
        9,
        "log",
        "Show or hide the notices and the log",
    ),
    row(Context::Live, Action::PageUp, &[Key::PageUp], 20, "", "Scroll the table or the log up"),
    row(
        Context::Live,
        Action::PageDown,
        &[Key::PageDown],
        20,
        "",
        "Scroll the table or the log down",
    ),
    row(
        Context::Live,
        Action::Quit,
        &[Key::Char('q')],
        1,
        "stop",
        "Stop (asks first; what is measured is kept), or leave when the sweep has ended",
    ),
    row(Context::Global, Action::Help, &[Key::Char('?'), Key::F(1)], 0, "help", "This page"),
    row(Context::Global, Action::Theme, &[Key::Char('t')], 13, "theme", "Dark or light theme"),
    row(
        Context::Global,
        Action::Charset,
        &[Key::Char('c')],
        14,
        "chars",
        "Characters: Braille, blocks, ASCII",
    ),
    row(
        Context::Global,
        Action::Mouse,
        &[Key::Char('m')],
        20,
        "",
        "Mouse on or off (off: the terminal selects text as usual)",
    ),
    row(Context::Global, Action::Redraw, &[Key::Ctrl('l')], 20, "", "Draw the whole screen again"),
    row(
        Context::Global,
        Action::Suspend,
        &[Key::Ctrl('z')],
        20,
        "",
        "Suspend to the shell; `fg` comes back",
    ),
    row(Context::Global, Action::Quit, &[Key::Ctrl('c')], 20, "", "Stop or leave, as q"),
    row(Context::Dialog, Action::Yes, &[Key::Enter, Key::Char('y')], 1, "yes", "Do it"),
    row(
        Context::Dialog,
        Action::No,
        &[Key::Esc, Key::Char('n'), Key::Char('q')],
        2,
        "go back",
        "Go back, nothing changes",
    ),
    row(
        Context::Help,
        Action::Close,
        &[Key::Esc, Key::Char('q'), Key::Char('?'), Key::F(1), Key::Enter],
        1,
        "close",
        "Close the help page",
    ),
    row(
        Context::Help,
        Action::ScrollUp,
        &[Key::Up, Key::Char('k'), Key::PageUp],
        2,
        "scroll",
        "Scroll up",
    ),
    row(
        Context::Help,
        Action::ScrollDown,
        &[Key::Down, Key::Char('j'), Key::PageDown, Key::Char(' ')],
        20,
        "",
        "Scroll down",
    ),
];

/// What `key` does in `context`: its own table first, then
/// [`Context::Global`]. Questions, the help page and wherever letters are typed
/// shadow everything but the keys that redraw, suspend or leave.
#[must_use]
pub fn action(context: Context, key: Key) -> Option<Action> {
    let find =
        |wanted: Context| bindings().find(|row| row.context == wanted && row.keys.contains(&key));
    let own = find(context).map(|row| row.action);
    let shadowed = !matches!(context, Context::Global | Context::Live | Context::Setup);
    own.or_else(|| {
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
        for row in rows(Context::Live).chain(rows(Context::Setup)) {
            for key in row.keys {
                let global = rows(Context::Global).find(|other| other.keys.contains(key));
                assert!(global.is_none(), "{key} is both a screen's and global");
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
