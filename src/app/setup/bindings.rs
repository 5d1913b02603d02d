//! The set-up screen's rows of the keymap.

use super::Do;
use crate::app::Key;
use crate::app::keymap::{Action, Binding, Context, row};

const fn form(
    act: Do,
    keys: &'static [Key],
    rank: u8,
    short: &'static str,
    help: &'static str,
) -> Binding {
    row(Context::Setup, Action::Setup(act), keys, rank, short, help)
}

const fn files(
    act: Do,
    keys: &'static [Key],
    rank: u8,
    short: &'static str,
    help: &'static str,
) -> Binding {
    row(Context::Browser, Action::Setup(act), keys, rank, short, help)
}

const fn text(
    act: Do,
    keys: &'static [Key],
    rank: u8,
    short: &'static str,
    help: &'static str,
) -> Binding {
    row(Context::Text, Action::Setup(act), keys, rank, short, help)
}

const fn demos(
    act: Do,
    keys: &'static [Key],
    rank: u8,
    short: &'static str,
    help: &'static str,
) -> Binding {
    row(Context::Demos, Action::Setup(act), keys, rank, short, help)
}

/// Form, file browser, text fields, demo menu.
pub const BINDINGS: &[Binding] = &[
    form(
        Do::Choose,
        &[Key::Enter],
        2,
        "choose",
        "Choose a file, edit a text, start: whatever the row is for",
    ),
    form(
        Do::Start,
        &[Key::Char('s')],
        3,
        "start",
        "Start the sweep; says what is missing where it cannot",
    ),
    form(Do::Demo, &[Key::Char('d')], 4, "demo", "The sweeps that come with the program"),
    form(Do::Add, &[Key::Char('a')], 5, "add data", "Add a dataset"),
    form(
        Do::Role,
        &[Key::Char('r'), Key::Char(' ')],
        6,
        "id/ood",
        "Role of the dataset: in or out of distribution; on other rows the next value",
    ),
    form(
        Do::Edit,
        &[Key::Char('e')],
        7,
        "edit",
        "Edit the row's text: a dataset's name, the grid, the device",
    ),
    form(
        Do::Remove,
        &[Key::Char('x'), Key::Delete],
        8,
        "remove",
        "Remove the dataset, or clear the row",
    ),
    form(Do::Browse, &[Key::Char('b')], 20, "", "Browse for the row's file or folder"),
    form(Do::Up, &[Key::Up, Key::Char('k'), Key::BackTab], 20, "", "Up a row"),
    form(Do::Down, &[Key::Down, Key::Char('j'), Key::Tab], 20, "", "Down a row"),
    form(
        Do::Less,
        &[Key::Left, Key::Char('h')],
        20,
        "",
        "Previous value of the row: role, device, precision",
    ),
    form(Do::More, &[Key::Right, Key::Char('l')], 20, "", "Next value of the row"),
    form(Do::First, &[Key::Home, Key::PageUp], 20, "", "First row"),
    form(Do::Last, &[Key::End, Key::PageDown], 20, "", "Last row"),
    form(Do::Cancel, &[Key::Esc], 20, "", "Do not open the sweep after all"),
    row(
        Context::Setup,
        Action::Runs,
        &[Key::Char('o')],
        6,
        "runs",
        "The runs there are: open, compare, rename, delete",
    ),
    row(Context::Setup, Action::Quit, &[Key::Char('q')], 1, "leave", "Leave"),
    files(Do::Choose, &[Key::Enter], 1, "choose", "Choose the file or dataset, or open the folder"),
    files(Do::Cancel, &[Key::Esc], 2, "back", "Clear what is typed, or go back to the form"),
    files(
        Do::Complete,
        &[Key::Tab],
        4,
        "complete",
        "Complete what is typed: letters filter, and a path (with / or ~) is followed",
    ),
    files(Do::Into, &[Key::Right], 3, "look in", "Look into the folder, even if it is a dataset"),
    files(
        Do::Parent,
        &[Key::Left, Key::Backspace],
        5,
        "up",
        "To the folder above (backspace: where nothing is typed)",
    ),
    files(Do::Recent, &[Key::Ctrl('r')], 6, "recent", "Folders of late, or back from them"),
    files(
        Do::Hidden,
        &[Key::F(2), Key::Alt('h')],
        7,
        "hidden",
        "Show or hide files that start with a dot",
    ),
    files(Do::Up, &[Key::Up, Key::Ctrl('p')], 20, "", "Up a row"),
    files(Do::Down, &[Key::Down, Key::Ctrl('n')], 20, "", "Down a row"),
    files(Do::PageUp, &[Key::PageUp], 20, "", "Up a page"),
    files(Do::PageDown, &[Key::PageDown], 20, "", "Down a page"),
    files(Do::First, &[Key::Home], 20, "", "First row"),
    files(Do::Last, &[Key::End], 20, "", "Last row"),
    row(Context::Browser, Action::Help, &[Key::F(1)], 20, "", "This page"),
    text(Do::Accept, &[Key::Enter], 1, "accept", "Accept the text"),
    text(Do::Cancel, &[Key::Esc], 2, "back", "Keep what was there before"),
    demos(Do::Choose, &[Key::Enter, Key::Char(' ')], 1, "start", "Start this one"),
    demos(Do::Demo, &[Key::Char('d')], 20, "", "Start this one, too: d twice is the first demo"),
    demos(Do::Cancel, &[Key::Esc, Key::Char('q')], 2, "back", "Back to the form"),
    demos(Do::Up, &[Key::Up, Key::Char('k')], 20, "", "Up a row"),
    demos(Do::Down, &[Key::Down, Key::Char('j')], 20, "", "Down a row"),
];
