//! Text that holds names from files, made safe to print: a terminal obeys control characters.

use std::borrow::Cow;

/// Control characters as escapes (`\u{1b}`), but for line ends and tabs.
#[must_use]
pub fn text(text: &str) -> Cow<'_, str> {
    escaped(text, |c| c.is_control() && c != '\n' && c != '\t')
}

/// The same of a name that must stay in its line: line ends and tabs too.
#[must_use]
pub fn name(name: &str) -> Cow<'_, str> {
    escaped(name, char::is_control)
}

fn escaped(text: &str, bad: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.contains(&bad) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        if bad(c) { safe.extend(c.escape_default()) } else { safe.push(c) }
    }
    Cow::Owned(safe)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_is_told_nothing() {
        assert!(matches!(text("θ(α) = 0,\n\tnoto ✓"), Cow::Borrowed(_)));
        assert_eq!(text("\x1b[31mred\x07\u{9b}\n"), "\\u{1b}[31mred\\u{7}\\u{9b}\n");
        assert_eq!(name("a\nb\tc\r"), "a\\nb\\tc\\r");
    }
}
