//! The rows of the keymap for the boxes over a run's screens.

use super::{Action, Binding, Context, row};
use crate::app::Key;

/// What a key of the doctor's panel does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs)] // the table below says what each one is
pub enum DoctorAct {
    Close,
    Show,
}

/// What a key of the form that writes a checkpoint does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs)] // the table below says what each one is
pub enum SaveAct {
    Send,
    Close,
    Up,
    Down,
}

/// What a key of the line that opens another run does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs)] // the table below says what each one is
pub enum OpenAct {
    Accept,
    Close,
}

/// Doctor, checkpoint, another run.
pub const BINDINGS: &[Binding] = &[
    row(
        Context::Run,
        Action::Doctor,
        &[Key::Char('D')],
        15,
        "doctor",
        "Doctor: look for an edit of a straggler that repairs the path, or show how far it is",
    ),
    row(
        Context::Run,
        Action::Save,
        &[Key::Char('W')],
        16,
        "write",
        "Write the variant at the cursor's alpha as a checkpoint (asks for name and format)",
    ),
    row(
        Context::Doctor,
        Action::OnDoctor(DoctorAct::Show),
        &[Key::Enter],
        1,
        "compare",
        "The best edit on the compare screen",
    ),
    row(
        Context::Doctor,
        Action::OnDoctor(DoctorAct::Close),
        &[Key::Esc, Key::Char('q'), Key::Char('D')],
        2,
        "go back",
        "Close the panel; the search goes on",
    ),
    row(
        Context::Save,
        Action::OnSave(SaveAct::Send),
        &[Key::Enter],
        1,
        "write",
        "Write the file; one that exists only when asked once more",
    ),
    row(
        Context::Save,
        Action::OnSave(SaveAct::Close),
        &[Key::Esc],
        2,
        "go back",
        "Go back; a file that is being written is finished",
    ),
    row(
        Context::Save,
        Action::OnSave(SaveAct::Down),
        &[Key::Down, Key::Tab],
        3,
        "line",
        "The next line; left and right change it",
    ),
    row(
        Context::Save,
        Action::OnSave(SaveAct::Up),
        &[Key::Up, Key::BackTab],
        20,
        "",
        "The line before",
    ),
    row(
        Context::Open,
        Action::OnOpen(OpenAct::Accept),
        &[Key::Enter],
        1,
        "open",
        "Read that run folder and show it beside this run",
    ),
    row(Context::Open, Action::OnOpen(OpenAct::Close), &[Key::Esc], 2, "go back", "Go back"),
];
