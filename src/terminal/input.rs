//! What comes from the terminal: keys, pasted text, the mouse, and its end.

use std::io;
use std::time::{Duration, Instant};

use crossterm::event::{
    Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers, MouseButton, MouseEvent, MouseEventKind,
};

use super::pieces::Pieces;
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
pub(super) const NOTCH: i16 = 3;

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
        if let Err(error) = pump(next, Instant::now, &sink) {
            tracing::error!("cannot read the terminal: {error}");
            sink(Input::Gone);
        }
    })?;
    Ok(())
}

/// The next event; `None` when `wait` is over. Without one it takes its time.
fn next(wait: Option<Duration>) -> io::Result<Option<Event>> {
    match wait {
        Some(wait) if !crossterm::event::poll(wait)? => Ok(None),
        _ => crossterm::event::read().map(Some),
    }
}

/// Hands on what comes, keys that arrive in pieces as one, until `sink` says
/// false.
fn pump(
    mut next: impl FnMut(Option<Duration>) -> io::Result<Option<Event>>,
    clock: impl Fn() -> Instant,
    sink: impl Fn(Input) -> bool,
) -> io::Result<()> {
    let mut pieces = Pieces::default();
    loop {
        let wait = pieces.due().map(|due| due.saturating_duration_since(clock()));
        let ready = match next(wait) {
            Ok(Some(event)) => translate(event).map(|input| pieces.take(input, clock())),
            Ok(None) => Some(pieces.late(clock())),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => None,
            Err(error) => return Err(error),
        };
        if ready.into_iter().flatten().any(|input| !sink(input)) {
            return Ok(());
        }
    }
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
        KeyCode::Up if with(KeyModifiers::SHIFT) => Key::ShiftUp,
        KeyCode::Down if with(KeyModifiers::SHIFT) => Key::ShiftDown,
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
    use std::cell::{Cell, RefCell};

    use super::super::pieces::HOLD;
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
        assert_eq!(press(KeyCode::Up, KeyModifiers::SHIFT), Some(Input::Key(Key::ShiftUp)));
        assert_eq!(press(KeyCode::F(1), none), Some(Input::Key(Key::F(1))));
        assert_eq!(press(KeyCode::CapsLock, none), None);
    }

    /// As the terminal's: virtual milliseconds, and what comes when.
    fn pumped(script: &[(u64, KeyCode)]) -> Vec<(u64, Key)> {
        let (now, acted) = (Cell::new(0), RefCell::new(Vec::new()));
        let mut left = script.iter();
        let mut coming = left.next();
        let next = |wait: Option<Duration>| {
            let until = wait.map(|wait| now.get() + wait.as_millis() as u64);
            match coming {
                Some(&(at, code)) if until.is_none_or(|until| at <= until) => {
                    now.set(at.max(now.get()));
                    coming = left.next();
                    Ok(Some(Event::Key(KeyEvent::new(code, KeyModifiers::NONE))))
                }
                None if until.is_none() => Err(io::Error::other("the script is over")),
                _ => {
                    now.set(until.unwrap_or_default());
                    Ok(None)
                }
            }
        };
        let start = Instant::now();
        let clock = || start + Duration::from_millis(now.get());
        let sink = |input| {
            let Input::Key(key) = input else { unreachable!("{input:?}") };
            acted.borrow_mut().push((now.get(), key));
            true
        };
        assert!(pump(next, clock, sink).is_err());
        acted.into_inner()
    }

    #[test]
    fn an_arrow_in_pieces_closes_no_dialog() {
        let letter = KeyCode::Char;
        let script =
            [(0, KeyCode::Esc), (100, letter('[')), (101, letter('B')), (300, letter('x'))];
        assert_eq!(pumped(&script), [(101, Key::Down), (300, Key::Char('x'))]);
        let hold = HOLD.as_millis() as u64;
        let script = [(5, KeyCode::Esc), (1000, letter('['))];
        assert_eq!(pumped(&script), [(5 + hold, Key::Esc), (1000, Key::Char('['))]);
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
