//! Keys as the screen's logic knows them: no terminal library in sight.

use std::fmt;

/// One key press, with the modifiers that matter folded in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Key {
    /// A character as typed (shift already applied: `Char('S')`).
    Char(char),
    /// Ctrl and a letter, lower case: `Ctrl('c')`.
    Ctrl(char),
    /// Alt and a character.
    Alt(char),
    /// Return.
    Enter,
    /// Escape.
    Esc,
    /// Tabulator.
    Tab,
    /// Shift and tabulator.
    BackTab,
    /// Backspace.
    Backspace,
    /// Delete.
    Delete,
    /// Insert.
    Insert,
    /// Cursor up.
    Up,
    /// Cursor down.
    Down,
    /// Shift and cursor up.
    ShiftUp,
    /// Shift and cursor down.
    ShiftDown,
    /// Cursor left.
    Left,
    /// Cursor right.
    Right,
    /// Start of the line.
    Home,
    /// End of the line.
    End,
    /// A page up.
    PageUp,
    /// A page down.
    PageDown,
    /// F1 … F12.
    F(u8),
}

impl Key {
    /// The same key without Shift; `None` where Shift makes another character of it, or
    /// was not held.
    #[must_use]
    pub fn without_shift(self) -> Option<Self> {
        match self {
            Self::ShiftUp => Some(Self::Up),
            Self::ShiftDown => Some(Self::Down),
            _ => None,
        }
    }
}

impl fmt::Display for Key {
    /// The name used in the help screen, the hints and the docs. Plain ASCII,
    /// so that it reads alike in every charset.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::Char(' ') => "space",
            Self::Char(c) => return write!(f, "{c}"),
            Self::Ctrl(c) => return write!(f, "ctrl-{c}"),
            Self::Alt(c) => return write!(f, "alt-{c}"),
            Self::F(n) => return write!(f, "f{n}"),
            Self::Enter => "enter",
            Self::Esc => "esc",
            Self::Tab => "tab",
            Self::BackTab => "shift-tab",
            Self::Backspace => "backspace",
            Self::Delete => "delete",
            Self::Insert => "insert",
            Self::Up => "up",
            Self::Down => "down",
            Self::ShiftUp => "shift-up",
            Self::ShiftDown => "shift-down",
            Self::Left => "left",
            Self::Right => "right",
            Self::Home => "home",
            Self::End => "end",
            Self::PageUp => "page-up",
            Self::PageDown => "page-down",
        };
        f.write_str(name)
    }
}
