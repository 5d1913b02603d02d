//! One line of text being typed, and how typed text becomes numbers.

use tui_input::{Input, InputRequest};

use crate::app::Key;
use crate::plural;
use crate::sweep::ids::Alpha;
use crate::sweep::spec::{AlphaRange, Alphas};

/// The most points a grid may have: more is a typing error.
const MOST_POINTS: usize = 1001;

/// One line of text with a cursor.
#[derive(Clone, Debug, Default)]
pub struct Field(Input);

impl PartialEq for Field {
    fn eq(&self, other: &Self) -> bool {
        (self.text(), self.0.cursor()) == (other.text(), other.0.cursor())
    }
}

impl Field {
    /// This text, the cursor at its end.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(Input::new(text.into()))
    }

    /// What is typed.
    #[must_use]
    pub fn text(&self) -> &str {
        self.0.value()
    }

    /// Columns before the cursor.
    #[must_use]
    pub fn cursor(&self) -> usize {
        self.0.visual_cursor()
    }

    /// Columns to leave out on the left so that the cursor is within `width`.
    #[must_use]
    pub fn scroll(&self, width: usize) -> usize {
        self.0.visual_scroll(width)
    }

    /// Adds text at the cursor; line breaks and other controls are left out.
    pub fn insert(&mut self, text: &str) {
        for c in text.chars().filter(|c| !c.is_control()) {
            self.0.handle(InputRequest::InsertChar(c));
        }
    }

    /// True when the key was one of a text field's.
    pub fn key(&mut self, key: Key) -> bool {
        use InputRequest as R;
        let request = match key {
            Key::Char(c) => R::InsertChar(c),
            Key::Backspace | Key::Ctrl('h') => R::DeletePrevChar,
            Key::Delete | Key::Ctrl('d') => R::DeleteNextChar,
            Key::Left | Key::Ctrl('b') => R::GoToPrevChar,
            Key::Right | Key::Ctrl('f') => R::GoToNextChar,
            Key::Alt('b') => R::GoToPrevWord,
            Key::Alt('f') => R::GoToNextWord,
            Key::Home | Key::Ctrl('a') => R::GoToStart,
            Key::End | Key::Ctrl('e') => R::GoToEnd,
            Key::Ctrl('w') => R::DeletePrevWord,
            Key::Alt('d') => R::DeleteNextWord,
            Key::Ctrl('u') => R::DeleteFromStart,
            Key::Ctrl('k') => R::DeleteTillEnd,
            Key::Ctrl('y') => R::Yank,
            _ => return false,
        };
        self.0.handle(request);
        true
    }
}

/// `0:1:11` (from, to, so many points) or `0, 0.5, 1` (commas or spaces).
///
/// # Errors
/// Says what is wrong and what was expected.
pub fn parse_alphas(text: &str) -> Result<Alphas, String> {
    let number = |word: &str| {
        word.trim()
            .parse::<f64>()
            .ok()
            .and_then(Alpha::new)
            .ok_or_else(|| format!("`{}` is no number; write 0:1:11 or 0, 0.5, 1", word.trim()))
    };
    if text.contains(':') {
        let parts: Vec<&str> = text.split(':').collect();
        let [from, to, steps] = parts[..] else {
            return Err("a range is from:to:points, as 0:1:11".into());
        };
        let (from, to) = (number(from)?, number(to)?);
        let steps = steps
            .trim()
            .parse::<usize>()
            .map_err(|_| format!("`{}` is no number of points; write 0:1:11", steps.trim()))?;
        if !(2..=MOST_POINTS).contains(&steps) {
            return Err(format!("a range has 2 to {MOST_POINTS} points, not {steps}"));
        }
        if from.get() >= to.get() {
            return Err(format!("a range goes up, and {from} is not below {to}"));
        }
        return Ok(Alphas::Range(AlphaRange { from, to, steps }));
    }
    let mut points = text
        .split([',', ' ', ';'])
        .filter(|word| !word.trim().is_empty())
        .map(number)
        .collect::<Result<Vec<Alpha>, String>>()?;
    points.sort_by(|a, b| a.get().total_cmp(&b.get()));
    points.dedup();
    match points.len() {
        0 => Err("no points; write 0:1:11 or 0, 0.5, 1".into()),
        1..=MOST_POINTS => Ok(Alphas::List(points)),
        n => Err(format!("a grid has at most {MOST_POINTS} points, not {n}")),
    }
}

/// How a grid reads in one short line.
#[must_use]
pub fn describe_alphas(alphas: &Alphas) -> String {
    let (from, to, points) = match alphas {
        Alphas::Range(range) => (range.from, range.to, range.steps),
        Alphas::List(list) => match (list.first(), list.last()) {
            (Some(first), Some(last)) => (*first, *last, list.len()),
            _ => return "no points".into(),
        },
    };
    let zero_shot = has(alphas, Alpha::ZERO_SHOT);
    let fine_tuned = has(alphas, Alpha::FINE_TUNED);
    let lacks = match (zero_shot, fine_tuned) {
        (true, true) => "",
        (false, true) => "; without 0 there is no gain to tell",
        (true, false) => "; without 1 there is no gain to tell",
        (false, false) => "; without 0 and 1 there is no gain to tell",
    };
    let points = plural::counted(points, "point");
    format!("{points} from {from} to {to}{lacks}")
}

fn has(alphas: &Alphas, wanted: Alpha) -> bool {
    match alphas {
        Alphas::List(list) => list.contains(&wanted),
        Alphas::Range(range) => {
            range.from == wanted || range.to == wanted || {
                let span = range.to.get() - range.from.get();
                let at = (wanted.get() - range.from.get()) / span * (range.steps - 1) as f64;
                (0.0..=(range.steps - 1) as f64).contains(&at) && (at - at.round()).abs() < 1e-9
            }
        }
    }
}

/// A whole number of at least `least`.
///
/// # Errors
/// Says what was expected.
pub fn parse_whole(text: &str, least: u64) -> Result<u64, String> {
    match text.trim().replace(['_', ' '], "").parse::<u64>() {
        Ok(n) if n >= least => Ok(n),
        _ => Err(format!("`{}` is no whole number from {least} on", text.trim())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grids() {
        let alphas = |text: &str| parse_alphas(text).map(|a| describe_alphas(&a));
        assert_eq!(alphas("0:1:11").unwrap(), "11 points from 0 to 1");
        assert_eq!(alphas(" 1, 0 .5 0.5").unwrap(), "3 points from 0 to 1");
        assert_eq!(alphas("-0.5:1.5:5").unwrap(), "5 points from -0.5 to 1.5");
        assert!(alphas("-0.5:1.4:5").unwrap().contains("without 0 and 1"));
        assert!(alphas("0.5").unwrap().contains("1 point from"));
        for wrong in ["", "0:1", "0:1:1", "1:0:3", "0:1:x", "a", "nan", "0:inf:3", "0:1:9999999999"]
        {
            assert!(alphas(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn whole_numbers() {
        assert_eq!(parse_whole(" 1_000 ", 1), Ok(1000));
        assert!(parse_whole("0", 1).is_err() && parse_whole("-1", 0).is_err());
    }

    #[test]
    fn a_field_edits_by_graphemes_and_drops_controls() {
        let mut field = Field::new("né");
        field.insert("e\u{301}\n\t!");
        assert_eq!(field.text(), "née\u{301}!");
        assert!(field.key(Key::Backspace) && field.key(Key::Backspace));
        assert_eq!(field.text(), "né");
        assert!(field.key(Key::Home) && field.key(Key::Char('>')));
        assert_eq!((field.text(), field.cursor()), (">né", 1));
        assert!(!field.key(Key::Enter));
    }
}
