//! What comes from the terminal: keys, pasted text, the mouse, and its end.

use std::io;

use crossterm::event::{
    Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers, MouseButton, MouseEvent, MouseEventKind,
};

use crate::app::Key;

/// One thing a person did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// A key was pressed.
    Key(Key),
    /// Text was pasted.
    Paste(String),
    /// A left click at column, row.
    Click(u16, u16),
    /// The wheel turned: lines, down is positive.
    Wheel(i16),
    /// The terminal has gone away.
    Gone,
}

/// Lines one notch of the wheel moves.
const NOTCH: i16 = 3;

/// Reads the terminal on threads of its own until `sink` says false.
///
/// Own threads, because crossterm's reader waits inside an unfinished escape
/// sequence and never comes back from a terminal that has hung up: neither may
/// hold the screen. A second thread waits for nothing but the hang-up. Neither
/// wakes while nothing happens.
///
/// # Errors
/// When no thread can be made.
pub fn listen(sink: impl Fn(Input) -> bool + Clone + Send + 'static) -> io::Result<()> {
    let gone = sink.clone();
    std::thread::Builder::new().name("hang-up".into()).spawn(move || {
        use rustix::event::{PollFd, PollFlags, poll};
        let stdin = io::stdin();
        loop {
            let mut fds = [PollFd::new(&stdin, PollFlags::empty())];
            match poll(&mut fds, None) {
                Err(rustix::io::Errno::INTR) => {}
                Ok(_) if fds[0].revents().is_empty() => {}
                _ => break,
            }
        }
        gone(Input::Gone);
    })?;
    std::thread::Builder::new().name("keys".into()).spawn(move || {
        loop {
            match crossterm::event::read() {
                Ok(event) => {
                    if translate(event).is_some_and(|input| !sink(input)) {
                        return;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    tracing::error!("cannot read the terminal: {error}");
                    sink(Input::Gone);
                    return;
                }
            }
        }
    })?;
    Ok(())
}

/// Into our own words; `None` for what the screen has no use for (key releases,
/// mouse motion; sizes come from SIGWINCH).
fn translate(event: Event) -> Option<Input> {
    match event {
        Event::Key(key) => self::key(key).map(Input::Key),
        Event::Paste(text) => Some(Input::Paste(text)),
        Event::Mouse(MouseEvent { kind, column, row, .. }) => match kind {
            MouseEventKind::Down(MouseButton::Left) => Some(Input::Click(column, row)),
            MouseEventKind::ScrollUp => Some(Input::Wheel(-NOTCH)),
            MouseEventKind::ScrollDown => Some(Input::Wheel(NOTCH)),
            _ => None,
        },
        Event::Resize(..) | Event::FocusGained | Event::FocusLost => None,
    }
}

fn key(event: KeyEvent) -> Option<Key> {
    if event.kind == KeyEventKind::Release {
        return None;
    }
    let with = |modifier| event.modifiers.contains(modifier);
    Some(match event.code {
        KeyCode::Char(c) if with(KeyModifiers::CONTROL) => Key::Ctrl(c.to_ascii_lowercase()),
        KeyCode::Char(c) if with(KeyModifiers::ALT) => Key::Alt(c),
        KeyCode::Char(c) => Key::Char(c),
        KeyCode::Enter => Key::Enter,
        KeyCode::Esc => Key::Esc,
        KeyCode::Tab if with(KeyModifiers::SHIFT) => Key::BackTab,
        KeyCode::Tab => Key::Tab,
        KeyCode::BackTab => Key::BackTab,
        KeyCode::Backspace => Key::Backspace,
        KeyCode::Delete => Key::Delete,
        KeyCode::Insert => Key::Insert,
        KeyCode::Up => Key::Up,
        KeyCode::Down => Key::Down,
        KeyCode::Left => Key::Left,
        KeyCode::Right => Key::Right,
        KeyCode::Home => Key::Home,
        KeyCode::End => Key::End,
        KeyCode::PageUp => Key::PageUp,
        KeyCode::PageDown => Key::PageDown,
        KeyCode::F(n) => Key::F(n),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn press(code: KeyCode, modifiers: KeyModifiers) -> Option<Input> {
        translate(Event::Key(KeyEvent::new(code, modifiers)))
    }

    #[test]
    fn modifiers_fold_into_the_key() {
        let none = KeyModifiers::NONE;
        assert_eq!(
            press(KeyCode::Char('S'), KeyModifiers::SHIFT),
            Some(Input::Key(Key::Char('S')))
        );
        assert_eq!(
            press(KeyCode::Char('C'), KeyModifiers::CONTROL),
            Some(Input::Key(Key::Ctrl('c')))
        );
        assert_eq!(press(KeyCode::Char('b'), KeyModifiers::ALT), Some(Input::Key(Key::Alt('b'))));
        assert_eq!(press(KeyCode::Tab, KeyModifiers::SHIFT), Some(Input::Key(Key::BackTab)));
        assert_eq!(press(KeyCode::F(1), none), Some(Input::Key(Key::F(1))));
        assert_eq!(press(KeyCode::CapsLock, none), None);
    }

    #[test]
    fn releases_motion_and_sizes_are_no_input() {
        let mut release = KeyEvent::new(KeyCode::Enter, KeyModifiers::NONE);
        release.kind = KeyEventKind::Release;
        assert_eq!(translate(Event::Key(release)), None);
        assert_eq!(translate(Event::Resize(80, 24)), None);
        let mouse = |kind| {
            translate(Event::Mouse(MouseEvent {
                kind,
                column: 3,
                row: 4,
                modifiers: KeyModifiers::NONE,
            }))
        };
        assert_eq!(mouse(MouseEventKind::Moved), None);
        assert_eq!(mouse(MouseEventKind::Down(MouseButton::Left)), Some(Input::Click(3, 4)));
        assert_eq!(mouse(MouseEventKind::ScrollUp), Some(Input::Wheel(-3)));
    }
}
