//! Undoing mojibake: text that was UTF-8 but was read in another encoding.
//!
//! The same decisions as `ftfy.fix_encoding` (ftfy 6.3 by Robyn Speer): text
//! is changed only where it contains combinations of characters that hardly
//! occur on purpose, and only when the bytes behind it are UTF-8.

use std::sync::LazyLock;

use regex::bytes::Regex;

use super::tables::{Encoding, Tables};

/// UTF-8 sequences in which byte A0 became a space.
const ALTERED: &str = concat!(
    r"(?-u)[\xC2\xC3\xC5\xCE\xD0\xD9] ",
    r"|[\xE2\xE3] [\x80-\x84\x86-\x9F\xA1-\xBF]",
    r"|[\xE0-\xE3][\x80-\x84\x86-\x9F\xA1-\xBF] ",
    r"|\xF0 [\x80-\xBF][\x80-\xBF]",
    r"|\xF0[\x80-\xBF] [\x80-\xBF]",
    r"|\xF0[\x80-\xBF][\x80-\xBF] ",
);

/// UTF-8 and CESU-8 sequences in which a byte was lost (1A) or became `?`.
const LOSSY: &str = concat!(
    r"(?-u)[\xC2-\xDF]\x1A",
    r"|[\xC2-\xC3]\?",
    r"|\xED[\xA0-\xAF][\x1A?]\xED[\xB0-\xBF][\x1A?\x80-\xBF]",
    r"|\xED[\xA0-\xAF][\x1A?\x80-\xBF]\xED[\xB0-\xBF][\x1A?]",
    r"|[\xE0-\xEF][\x1A?][\x1A\x80-\xBF]",
    r"|[\xE0-\xEF][\x1A\x80-\xBF][\x1A?]",
    r"|[\xF0-\xF4][\x1A?][\x1A\x80-\xBF][\x1A\x80-\xBF]",
    r"|[\xF0-\xF4][\x1A\x80-\xBF][\x1A?][\x1A\x80-\xBF]",
    r"|[\xF0-\xF4][\x1A\x80-\xBF][\x1A\x80-\xBF][\x1A?]",
    r"|\x1A",
);

// Constant patterns: a test compiles them.
static ALTERED_RE: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(ALTERED).ok());
static LOSSY_RE: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(LOSSY).ok());

/// Repeats [`one_step`] until nothing changes.
pub(super) fn fix_encoding(text: &str, tables: &Tables) -> String {
    let mut text = text.to_string();
    while let Some(fixed) = one_step(&text, tables) {
        if fixed == text {
            break;
        }
        text = fixed;
    }
    text
}

/// One layer of mojibake taken off; `None` where there is none.
fn one_step(text: &str, tables: &Tables) -> Option<String> {
    if text.is_ascii() || !tables.badness.is_match(text) {
        return None;
    }
    for encoding in &tables.encodings {
        let Some(bytes) = encode(text, encoding) else { continue };
        if let Some(fixed) = decode(restore(bytes, encoding)) {
            return Some(fixed);
        }
    }
    let fixed = fix_embedded(text, tables);
    if fixed != text {
        return Some(fixed);
    }
    let latin1 = tables.encodings.iter().any(|e| e.latin1 && encode(text, e).is_some());
    if latin1 {
        // Latin-1 that was meant to be windows-1252.
        let fixed: Option<String> =
            text.chars().map(|c| tables.windows_1252.get(c as usize).copied().flatten()).collect();
        if let Some(fixed) = fixed.filter(|fixed| fixed != text) {
            return Some(fixed);
        }
    }
    Some(fix_c1_controls(text, tables))
}

/// The bytes of a text in an encoding; `None` if it has another character.
fn encode(text: &str, encoding: &Encoding) -> Option<Vec<u8>> {
    text.chars().map(|c| encoding.bytes.get(&c).copied()).collect()
}

/// Puts back bytes that a careless program has changed.
fn restore(mut bytes: Vec<u8>, encoding: &Encoding) -> Vec<u8> {
    if let (false, Some(altered)) = (encoding.macroman, ALTERED_RE.as_ref())
        && altered.is_match(&bytes)
    {
        bytes = a_grave(&bytes);
        let spaced = |found: &regex::bytes::Captures<'_>| -> Vec<u8> {
            found[0].iter().map(|&b| if b == b' ' { 0xA0 } else { b }).collect()
        };
        bytes = altered.replace_all(&bytes, spaced).into_owned();
    }
    if let (true, Some(lossy)) = (encoding.sloppy, LOSSY_RE.as_ref()) {
        bytes = lossy.replace_all(&bytes, "\u{fffd}".as_bytes()).into_owned();
    }
    bytes
}

/// `à` as a word of its own: its byte A0 is put back and the space kept.
fn a_grave(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len() + 4);
    let mut rest = bytes;
    while let Some((&first, tail)) = rest.split_first() {
        out.push(first);
        rest = tail;
        if let (0xC3, [b' ', after @ ..]) = (first, tail) {
            // The exceptions are Portuguese contractions and double spaces.
            let other: [&[u8]; 5] = [b" ", b"quele", b"quela", b"quilo", b"s "];
            if !other.iter().any(|word| after.starts_with(word)) {
                out.extend([0xA0, b' ']);
                rest = after;
            }
        }
    }
    out
}

/// UTF-8, also with CESU-8 surrogate pairs and Java's two-byte zero.
fn decode(bytes: Vec<u8>) -> Option<String> {
    if !bytes.iter().any(|b| matches!(b, 0xED | 0xC0)) {
        return String::from_utf8(bytes).ok();
    }
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = &bytes[..];
    loop {
        match rest {
            [0xC0, 0x80, tail @ ..] => {
                out.push(0);
                rest = tail;
            }
            [
                0xED,
                a @ 0xA0..=0xAF,
                b @ 0x80..=0xBF,
                0xED,
                c @ 0xB0..=0xBF,
                d @ 0x80..=0xBF,
                tail @ ..,
            ] => {
                let bits = |byte: &u8, mask: u8, shift: u32| u32::from(byte & mask) << shift;
                let code = bits(a, 0x0F, 16)
                    + bits(b, 0x3F, 10)
                    + bits(c, 0x0F, 6)
                    + bits(d, 0x3F, 0)
                    + 0x10000;
                let mut buffer = [0; 4];
                out.extend(char::from_u32(code)?.encode_utf8(&mut buffer).as_bytes());
                rest = tail;
            }
            [first, tail @ ..] => {
                out.push(*first);
                rest = tail;
            }
            [] => return String::from_utf8(out).ok(),
        }
    }
}

/// Fixes sequences that look like UTF-8 inside of other text.
fn fix_embedded(text: &str, tables: &Tables) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let after_strict = at > 0 && tables.continuation_strict.contains(&chars[at - 1]);
        let length = if after_strict { 0 } else { sequences(&chars[at..], tables) };
        if length == 0 {
            out.push(chars[at]);
            at += 1;
            continue;
        }
        let part: String = chars[at..at + length].iter().collect();
        if length < chars.len() && tables.badness.is_match(&part) {
            out.push_str(&fix_encoding(&part, tables));
        } else {
            out.push_str(&part);
        }
        at += length;
    }
    out
}

/// How many characters at the start look like UTF-8 sequences in a row.
fn sequences(chars: &[char], tables: &Tables) -> usize {
    let mut length = 0;
    'next: while let Some(lead) = chars.get(length) {
        for (first, more) in tables.first.iter().zip(1..) {
            let tail = chars.get(length + 1..length + 1 + more);
            if first.contains(lead)
                && tail.is_some_and(|tail| tail.iter().all(|c| tables.continuation.contains(c)))
            {
                length += 1 + more;
                continue 'next;
            }
        }
        break;
    }
    length
}

/// C1 control characters as what they are in windows-1252.
pub(super) fn fix_c1_controls(text: &str, tables: &Tables) -> String {
    text.chars()
        .map(|c| match c {
            '\u{80}'..='\u{9f}' => {
                tables.windows_1252.get(c as usize).copied().flatten().unwrap_or(c)
            }
            _ => c,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fix(text: &str) -> String {
        fix_encoding(text, Tables::get().unwrap())
    }

    #[test]
    fn patterns_compile() {
        assert!(ALTERED_RE.is_some() && LOSSY_RE.is_some());
    }

    #[test]
    fn one_and_two_layers() {
        assert_eq!(fix("sÃ³"), "só");
        assert_eq!(fix("âœ” No problems"), "✔ No problems");
        assert_eq!(fix("The Mona Lisa doesnÃƒÂ¢Ã¢â€šÂ¬Ã¢â€žÂ¢t"), "The Mona Lisa doesn’t");
    }

    #[test]
    fn spaces_that_were_bytes() {
        assert_eq!(fix("voilÃ le travail"), "voilà le travail");
        assert_eq!(fix("Ã\u{a0} perturber la rÃ©flexion"), "à perturber la réflexion");
    }

    #[test]
    fn lost_bytes_and_surrogates() {
        assert_eq!(fix("â€œ like this â€\u{fffd}"), "“ like this \u{fffd}");
        assert_eq!(fix("\u{ed}\u{a0}\u{bd}\u{ed}\u{b2}\u{a9}"), "💩");
    }

    #[test]
    fn proper_text_stays() {
        for text in ["só", "IL Y MARQUÉ…", "Ünïcødé", "日本語", "", "naïve café"] {
            assert_eq!(fix(text), text);
        }
    }
}
