//! Keys that arrive in pieces. A terminal sends an arrow as several bytes that
//! begin with the one of the key Esc, and on a jittery line they arrive apart.
//! crossterm calls the first one Esc as soon as nothing follows at once, and what
//! follows letters: a dialog would close, and `[B` be typed into the next one.

use std::time::{Duration, Instant};

use super::input::{Input, NOTCH};
use crate::app::Key;

/// How long Esc, and what may be the rest of a key, waits for what comes after
/// it. Long enough for the pieces of a key on a line that stutters (100 ms apart
/// were met), short enough that a person who presses Esc sees no delay. Only a
/// lone Esc waits at all: any other key after it shows what it was.
pub(super) const HOLD: Duration = Duration::from_millis(120);

/// The longest rest of a key: a click in the corner of a large screen.
const LONGEST: usize = 20;

/// What is held back: Esc, and the letters after it that may belong to it.
#[derive(Debug, Default)]
pub(super) struct Pieces {
    held: Option<String>,
    /// Until when.
    due: Option<Instant>,
}

impl Pieces {
    /// When [`Pieces::late`] wants to be called; `None`: nothing is held.
    #[must_use]
    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Something came: what can be acted on now, in its order.
    #[must_use]
    pub(super) fn take(&mut self, input: Input, now: Instant) -> Vec<Input> {
        let mut ready = Vec::new();
        if let Some(mut rest) = self.held.take() {
            if let Input::Key(Key::Char(letter)) = input {
                rest.push(letter);
                match whole(&rest) {
                    Piece::Part => self.hold(rest, now),
                    Piece::Whole(input) => {
                        self.due = None;
                        ready.extend(input);
                    }
                    Piece::None => ready.extend(self.apart(&rest)),
                }
                return ready;
            }
            ready.extend(self.apart(&rest));
        }
        if input == Input::Key(Key::Esc) {
            self.hold(String::new(), now);
        } else {
            ready.push(input);
        }
        ready
    }

    /// Nothing came: what waited long enough is what it looks like.
    #[must_use]
    pub(super) fn late(&mut self, now: Instant) -> Vec<Input> {
        match self.held.take_if(|_| self.due.is_some_and(|due| due <= now)) {
            Some(rest) => self.apart(&rest),
            None => Vec::new(),
        }
    }

    fn hold(&mut self, rest: String, now: Instant) {
        self.held = Some(rest);
        self.due = Some(now + HOLD);
    }

    /// They were keys of their own.
    fn apart(&mut self, rest: &str) -> Vec<Input> {
        self.due = None;
        let letters = rest.chars().map(Key::Char);
        std::iter::once(Key::Esc).chain(letters).map(Input::Key).collect()
    }
}

/// What letters after an Esc are.
#[derive(Debug, PartialEq, Eq)]
enum Piece {
    /// The beginning of something.
    Part,
    /// All of it; `None`: the screen has no use for it.
    Whole(Option<Input>),
    /// Nothing that a terminal sends.
    None,
}

fn whole(rest: &str) -> Piece {
    let key = |key| Piece::Whole(Some(Input::Key(key)));
    let mut letters = rest.chars();
    match (letters.next(), letters.as_str()) {
        _ if rest.len() > LONGEST => Piece::None,
        (Some('[' | 'O'), "") => Piece::Part,
        (Some('O'), one) => {
            let function = "PQRS".find(one).and_then(|at| u8::try_from(at + 1).ok());
            function.map(Key::F).or_else(|| named(one)).map_or(Piece::None, key)
        }
        (Some('['), text) => match text.strip_prefix('<') {
            Some(mouse) => self::mouse(mouse),
            None => sequence(text),
        },
        _ => Piece::None,
    }
}

/// After `ESC [`: numbers apart by `;`, then what ends it.
fn sequence(text: &str) -> Piece {
    let numbers = text.trim_end_matches(|letter: char| !letter.is_ascii_digit() && letter != ';');
    let end = &text[numbers.len()..];
    // Modifiers come second, one more than their bits: 2 is Shift alone.
    let mut parts = numbers.split(';');
    let first = parts.next().and_then(|it| it.parse().ok());
    let shift = parts.next() == Some("2");
    let known = match (end, first) {
        ("", _) => return Piece::Part,
        ("A", _) if shift => Some(Key::ShiftUp),
        ("B", _) if shift => Some(Key::ShiftDown),
        ("~", Some(number)) => numbered(number),
        (end, _) => named(end),
    };
    known.map_or(Piece::None, |key| Piece::Whole(Some(Input::Key(key))))
}

fn named(end: &str) -> Option<Key> {
    Some(match end {
        "A" => Key::Up,
        "B" => Key::Down,
        "C" => Key::Right,
        "D" => Key::Left,
        "H" => Key::Home,
        "F" => Key::End,
        "Z" => Key::BackTab,
        _ => return None,
    })
}

fn numbered(number: u8) -> Option<Key> {
    Some(match number {
        1 | 7 => Key::Home,
        2 => Key::Insert,
        3 => Key::Delete,
        4 | 8 => Key::End,
        5 => Key::PageUp,
        6 => Key::PageDown,
        // Two numbers were left out long ago.
        11..=15 => Key::F(number - 10),
        17..=21 => Key::F(number - 11),
        23 | 24 => Key::F(number - 12),
        _ => return None,
    })
}

/// After `ESC [ <`: button, column and row from 1, then `M` (or `m`: let go).
fn mouse(text: &str) -> Piece {
    let numbers = text.trim_end_matches(['M', 'm']);
    let values: Vec<Option<u16>> = numbers.split(';').map(|it| it.parse().ok()).collect();
    match (&text[numbers.len()..], &values[..]) {
        ("", _) if numbers.chars().all(|it| it.is_ascii_digit() || it == ';') => Piece::Part,
        ("M", [Some(0), Some(x), Some(y)]) => {
            Piece::Whole(Some(Input::Click(x.saturating_sub(1), y.saturating_sub(1))))
        }
        ("M", [Some(64), ..]) => Piece::Whole(Some(Input::Wheel(-NOTCH))),
        ("M", [Some(65), ..]) => Piece::Whole(Some(Input::Wheel(NOTCH))),
        ("M" | "m", [Some(_), Some(_), Some(_)]) => Piece::Whole(None),
        _ => Piece::None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is acted on, and when, in milliseconds: keys come at these times.
    fn acted(script: &[(u64, Key)]) -> Vec<(u64, Input)> {
        let start = Instant::now();
        let since = |at: Instant| u64::try_from((at - start).as_millis()).unwrap();
        let (mut pieces, mut acted) = (Pieces::default(), Vec::new());
        let late = |pieces: &mut Pieces, until: Option<Instant>| {
            let mut found = Vec::new();
            while let Some(due) = pieces.due().filter(|due| until.is_none_or(|it| *due <= it)) {
                found.extend(pieces.late(due).into_iter().map(|it| (since(due), it)));
            }
            found
        };
        for &(at, key) in script {
            let now = start + Duration::from_millis(at);
            acted.extend(late(&mut pieces, Some(now)));
            acted.extend(pieces.take(Input::Key(key), now).into_iter().map(|it| (at, it)));
        }
        acted.extend(late(&mut pieces, None));
        acted
    }

    /// Esc, then these letters so many milliseconds apart.
    fn apart(ms: u64, letters: &str) -> Vec<(u64, Input)> {
        let letters = letters.chars().map(Key::Char);
        let keys = std::iter::once(Key::Esc).chain(letters);
        let script: Vec<(u64, Key)> = (0..).map(|n| n * ms).zip(keys).collect();
        acted(&script)
    }

    const HELD: u64 = HOLD.as_millis() as u64;

    #[test]
    fn a_key_in_pieces_is_one_key() {
        let keys = [
            ("[A", Key::Up),
            ("[B", Key::Down),
            ("[1;2A", Key::ShiftUp),
            ("[1;2B", Key::ShiftDown),
            ("[1;5B", Key::Down),
            ("[C", Key::Right),
            ("[D", Key::Left),
            ("[H", Key::Home),
            ("[F", Key::End),
            ("[Z", Key::BackTab),
            ("OA", Key::Up),
            ("OD", Key::Left),
            ("OH", Key::Home),
            ("OP", Key::F(1)),
            ("[5~", Key::PageUp),
            ("[6~", Key::PageDown),
            ("[3~", Key::Delete),
            ("[15~", Key::F(5)),
            ("[24~", Key::F(12)),
            ("[1;5C", Key::Right),
        ];
        for (letters, key) in keys {
            for ms in [0, 10, 100] {
                let at = ms * letters.len() as u64;
                assert_eq!(apart(ms, letters), [(at, Input::Key(key))], "{letters:?}, {ms} ms");
            }
        }
        assert_eq!(apart(20, "[<0;80;24M"), [(200, Input::Click(79, 23))]);
        assert_eq!(apart(0, "[<65;1;1M"), [(0, Input::Wheel(NOTCH))]);
        assert_eq!(apart(0, "[<0;1;1m"), [], "a button that is let go");
    }

    #[test]
    fn an_esc_by_itself_acts_after_its_time() {
        assert_eq!(acted(&[(7, Key::Esc)]), [(7 + HELD, Input::Key(Key::Esc))]);
        // Another key shows at once that it was one.
        let keys = [Key::Esc, Key::Char('q')].map(|key| (5, Input::Key(key)));
        assert_eq!(acted(&[(0, Key::Esc), (5, Key::Char('q'))]), keys);
        let twice = acted(&[(0, Key::Esc), (30, Key::Esc), (31, Key::Enter)]);
        let keys = [(30, Key::Esc), (31, Key::Esc), (31, Key::Enter)];
        assert_eq!(twice, keys.map(|(at, key)| (at, Input::Key(key))));
    }

    #[test]
    fn letters_that_come_too_late_are_letters() {
        let late = acted(&[(0, Key::Esc), (HELD, Key::Char('[')), (HELD + 1, Key::Char('B'))]);
        let keys = [(HELD, Key::Esc), (HELD, Key::Char('[')), (HELD + 1, Key::Char('B'))];
        assert_eq!(late, keys.map(|(at, key)| (at, Input::Key(key))));
        // Begun, and never ended: nothing is lost.
        let keys = [Key::Esc, Key::Char('['), Key::Char('1')];
        assert_eq!(apart(1, "[1"), keys.map(|key| (2 + HELD, Input::Key(key))));
        let keys = [Key::Esc, Key::Char('O'), Key::Char('x')];
        assert_eq!(apart(0, "Ox"), keys.map(|key| (0, Input::Key(key))));
        let digits = format!("[{}", "1".repeat(40));
        assert_eq!(apart(0, &digits).len(), 42, "as many keys as came");
    }

    #[test]
    fn what_is_no_key_ends_the_wait() {
        let (mut pieces, now) = (Pieces::default(), Instant::now());
        assert_eq!(pieces.take(Input::Key(Key::Esc), now), []);
        let paste = Input::Paste("x".into());
        assert_eq!(pieces.take(paste.clone(), now), [Input::Key(Key::Esc), paste]);
        assert_eq!(pieces.due(), None);
    }
}
