//! The rows of the keymap for the run library.

use super::{Action, Binding, Context, row};
use crate::app::Key;
use crate::app::library::Do;

const fn list(
    act: Do,
    keys: &'static [Key],
    rank: u8,
    short: &'static str,
    help: &'static str,
) -> Binding {
    row(Context::Library, Action::Library(act), keys, rank, short, help)
}

/// The list of runs, and its lines of text.
pub const BINDINGS: &[Binding] = &[
    list(Do::Open, &[Key::Enter], 2, "open", "Watch the highlighted run; q comes back"),
    list(
        Do::GoOn,
        &[Key::Char('g')],
        10,
        "go on",
        "Go on with the highlighted run, in the background; enter watches it",
    ),
    list(
        Do::Mark,
        &[Key::Char(' ')],
        5,
        "mark",
        "Mark the highlighted run for a comparison, or no longer",
    ),
    list(Do::Compare, &[Key::Char('v')], 6, "compare", "The two marked runs side by side"),
    list(Do::Filter, &[Key::Char('/')], 3, "filter", "Only runs that hold every word"),
    list(Do::Rename, &[Key::Char('r')], 7, "rename", "Give the highlighted run another name"),
    list(
        Do::Delete,
        &[Key::Char('x'), Key::Delete],
        8,
        "delete",
        "Delete the highlighted run with all that was measured (asks first)",
    ),
    list(Do::Again, &[Key::Char('u')], 9, "update", "Look at the folder again"),
    list(
        Do::Back,
        &[Key::Esc],
        4,
        "back",
        "One step back: from the comparison, the filter, to the set-up screen",
    ),
    list(Do::Up, &[Key::Up, Key::Char('k'), Key::BackTab], 20, "", "The run before"),
    list(Do::Down, &[Key::Down, Key::Char('j'), Key::Tab], 20, "", "The next run"),
    list(Do::PageUp, &[Key::PageUp], 20, "", "Ten runs up"),
    list(Do::PageDown, &[Key::PageDown], 20, "", "Ten runs down"),
    list(Do::First, &[Key::Home], 20, "", "The first run"),
    list(Do::Last, &[Key::End], 20, "", "The last run"),
    row(
        Context::Library,
        Action::Log,
        &[Key::Char('l')],
        20,
        "",
        "Show or hide the notices and the log",
    ),
    row(Context::Library, Action::Quit, &[Key::Char('q')], 1, "leave", "Leave"),
    row(
        Context::LibraryText,
        Action::Library(Do::Accept),
        &[Key::Enter],
        1,
        "accept",
        "Accept the text",
    ),
    row(
        Context::LibraryText,
        Action::Library(Do::Clear),
        &[Key::Esc],
        2,
        "back",
        "Every run again, or the name there was",
    ),
];
