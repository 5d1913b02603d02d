//! Cells as bytes, as few as it takes: only the colours and modifiers that
//! change, all in one sequence, and the shortest way to the next cell. About
//! half of what crossterm's own backend writes for a frame in 24-bit colours,
//! which names both colours whenever one changes.

use std::io::Write;

use ratatui::buffer::Cell;
use ratatui::style::{Color, Modifier};

/// What the terminal draws with.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Pen {
    fg: Color,
    bg: Color,
    modifier: Modifier,
}

const PLAIN: Pen = Pen { fg: Color::Reset, bg: Color::Reset, modifier: Modifier::empty() };

/// Modifiers, the number that sets each and the one that takes it back.
const MODIFIERS: [(Modifier, u8, u8); 8] = [
    (Modifier::BOLD, 1, 22),
    (Modifier::DIM, 2, 22),
    (Modifier::ITALIC, 3, 23),
    (Modifier::UNDERLINED, 4, 24),
    (Modifier::SLOW_BLINK, 5, 25),
    (Modifier::RAPID_BLINK, 6, 25),
    (Modifier::REVERSED, 7, 27),
    (Modifier::CROSSED_OUT, 9, 29),
];

/// Modifiers that a blank shows too.
const SEEN_ON_BLANKS: Modifier =
    Modifier::UNDERLINED.union(Modifier::REVERSED).union(Modifier::CROSSED_OUT);

/// Appends what draws these cells on a terminal of so many columns. The pen is
/// plain before and after.
pub(super) fn cells<'a>(
    content: impl Iterator<Item = (u16, u16, &'a Cell)>,
    width: u16,
    out: &mut Vec<u8>,
) {
    let mut pen = PLAIN;
    // Where the terminal's cursor is, if that is known.
    let mut at: Option<(u16, u16)> = None;
    for (x, y, cell) in content {
        if at != Some((x, y)) {
            go(at, (x, y), out);
        }
        let mut wanted = Pen { fg: cell.fg, bg: cell.bg, modifier: cell.modifier };
        // Of a blank only the ground is seen.
        if cell.symbol() == " " && !(wanted.modifier | pen.modifier).intersects(SEEN_ON_BLANKS) {
            wanted = Pen { bg: cell.bg, ..pen };
        }
        if wanted != pen {
            change(pen, wanted, out);
            pen = wanted;
        }
        out.extend_from_slice(cell.symbol().as_bytes());
        // After other than plain ASCII terminals may disagree on the column;
        // after the last one the cursor waits in between.
        let one = matches!(cell.symbol().as_bytes(), [b' '..=b'~']);
        at = (one && x + 1 < width).then_some((x + 1, y));
        if !one && x + 1 < width && single(cell.symbol()) {
            at = Some((x + 1, y));
        }
    }
    if pen != PLAIN {
        out.extend_from_slice(b"\x1b[m");
    }
}

/// One character that takes one column wherever it is drawn: line drawing,
/// blocks, Braille, Latin and Greek.
fn single(symbol: &str) -> bool {
    let mut chars = symbol.chars();
    let first = chars.next();
    chars.next().is_none()
        && first.is_some_and(|c| {
            matches!(c, '\u{a1}'..='\u{2ff}' | '\u{370}'..='\u{3ff}' | '\u{2500}'..='\u{259f}' | '\u{2800}'..='\u{28ff}')
        })
}

fn go(from: Option<(u16, u16)>, (x, y): (u16, u16), out: &mut Vec<u8>) {
    // Writing to a Vec cannot fail.
    let _ = match from {
        Some((column, row)) if row == y && column < x => match x - column {
            1 => write!(out, "\x1b[C"),
            by => write!(out, "\x1b[{by}C"),
        },
        _ if x == 0 => write!(out, "\x1b[{}H", y + 1),
        _ => write!(out, "\x1b[{};{}H", y + 1, x + 1),
    };
}

/// The sequence from one pen to the other.
fn change(from: Pen, to: Pen, out: &mut Vec<u8>) {
    if to == PLAIN {
        return out.extend_from_slice(b"\x1b[m");
    }
    let mut numbers: Vec<u8> = Vec::with_capacity(48);
    let add = |numbers: &mut Vec<u8>, n: u8| {
        let _ = write!(numbers, "{}{n}", if numbers.is_empty() { "" } else { ";" });
    };
    let gone = from.modifier - to.modifier;
    let mut new = to.modifier - from.modifier;
    for (modifier, _, off) in MODIFIERS {
        if gone.contains(modifier) {
            add(&mut numbers, off);
            // Two share a number: what it took along is set again.
            for (other, _, shared) in MODIFIERS {
                if shared == off && to.modifier.contains(other) {
                    new |= other;
                }
            }
        }
    }
    for (modifier, on, _) in MODIFIERS {
        if new.contains(modifier) {
            add(&mut numbers, on);
        }
    }
    if from.fg != to.fg {
        colour(to.fg, 30, &mut numbers);
    }
    if from.bg != to.bg {
        colour(to.bg, 40, &mut numbers);
    }
    if !numbers.is_empty() {
        out.extend_from_slice(b"\x1b[");
        out.extend_from_slice(&numbers);
        out.push(b'm');
    }
}

/// The numbers of a colour: `base` 30 for the ink, 40 for the ground.
fn colour(colour: Color, base: u8, numbers: &mut Vec<u8>) {
    let named = |n: u8| if n < 8 { base + n } else { base + 60 + n - 8 };
    let separator = if numbers.is_empty() { "" } else { ";" };
    let extended = base + 8;
    let _ = match colour {
        Color::Rgb(r, g, b) => write!(numbers, "{separator}{extended};2;{r};{g};{b}"),
        Color::Indexed(n) => write!(numbers, "{separator}{extended};5;{n}"),
        Color::Reset => write!(numbers, "{separator}{}", base + 9),
        other => {
            const NAMES: [Color; 16] = [
                Color::Black,
                Color::Red,
                Color::Green,
                Color::Yellow,
                Color::Blue,
                Color::Magenta,
                Color::Cyan,
                Color::Gray,
                Color::DarkGray,
                Color::LightRed,
                Color::LightGreen,
                Color::LightYellow,
                Color::LightBlue,
                Color::LightMagenta,
                Color::LightCyan,
                Color::White,
            ];
            let at = NAMES.iter().position(|name| *name == other).unwrap_or(7);
            write!(numbers, "{separator}{}", named(u8::try_from(at).unwrap_or(7)))
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(cells: &[(u16, u16, Cell)], width: u16) -> String {
        let mut out = vec![];
        super::cells(cells.iter().map(|(x, y, cell)| (*x, *y, cell)), width, &mut out);
        String::from_utf8(out).unwrap()
    }

    fn cell(symbol: &'static str, fg: Color, modifier: Modifier) -> Cell {
        let mut cell = Cell::new(symbol);
        cell.fg = fg;
        cell.modifier = modifier;
        cell
    }

    #[test]
    fn only_what_changes_is_said() {
        let none = Modifier::empty();
        let red = |symbol| cell(symbol, Color::Rgb(255, 0, 0), none);
        let text =
            bytes(&[(0, 0, red("a")), (1, 0, red("b")), (4, 0, cell("c", Color::Reset, none))], 80);
        assert_eq!(text, "\x1b[1H\x1b[38;2;255;0;0mab\x1b[2C\x1b[mc");
        let text = bytes(&[(79, 0, red("a")), (0, 1, red("b")), (1, 1, red("x"))], 80);
        assert_eq!(text, "\x1b[1;80H\x1b[38;2;255;0;0ma\x1b[2Hbx\x1b[m");
    }

    #[test]
    fn bold_survives_the_end_of_dim() {
        let both = Modifier::BOLD | Modifier::DIM;
        let cells = [
            (0, 0, cell("a", Color::Cyan, both)),
            (1, 0, cell("b", Color::Cyan, Modifier::BOLD)),
            (2, 0, cell("c", Color::LightCyan, Modifier::empty())),
        ];
        assert_eq!(bytes(&cells, 80), "\x1b[1H\x1b[1;2;36ma\x1b[22;1mb\x1b[22;96mc\x1b[m");
    }

    #[test]
    fn after_wide_signs_the_cursor_is_placed_anew() {
        let plain = |symbol| cell(symbol, Color::Reset, Modifier::empty());
        let text = bytes(
            &[(0, 0, plain("語")), (2, 0, plain("x")), (3, 0, plain("─")), (4, 0, plain("y"))],
            80,
        );
        assert_eq!(text, "\x1b[1H語\x1b[1;3Hx─y");
    }
}
