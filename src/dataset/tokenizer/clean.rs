//! open_clip's text cleaning: `ftfy.fix_text`, HTML unescaped twice, spaces
//! folded, lower case.

use std::borrow::Cow;
use std::sync::LazyLock;

use regex::{Captures, Regex};
use unicode_normalization::UnicodeNormalization as _;

use super::mojibake::{fix_c1_controls, fix_encoding};
use super::tables::Tables;

// Constant patterns: tests compile them.
static ENTITY: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new("&#?[0-9A-Za-z]{1,24};").ok());
static REFERENCE: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"&(#[0-9]+;?|#[xX][0-9a-fA-F]+;?|[^\t\n\x0c <&#;]{1,32};?)").ok());
static ESCAPE: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"\x1b\[(?:\d|;)*[a-zA-Z]").ok());

/// Fixing stops after so many rounds; real text needs two or three.
const ROUNDS: usize = 100;

/// All cleaning steps, as the tokenizer applies them.
pub(super) fn clean(text: &str) -> String {
    let fixed = match Tables::get() {
        Some(tables) => {
            let fixed = fix_text(text, tables);
            unescape(&unescape(&fixed, tables), tables)
        }
        None => text.to_string(),
    };
    let words: Vec<&str> = fixed.split(is_space).filter(|word| !word.is_empty()).collect();
    words.join(" ").to_lowercase()
}

/// White space as Python's `str.split` sees it.
fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

/// `ftfy.fix_text` with its default settings, a line at a time. (It cuts lines
/// of more than a million characters, which this does not.)
fn fix_text(text: &str, tables: &Tables) -> String {
    let mut html = true;
    let mut out = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        html = html && !line.contains('<');
        out.push_str(&fix_line(line, html, tables));
    }
    out
}

fn fix_line(line: &str, html: bool, tables: &Tables) -> String {
    let mut text = line.to_string();
    for _ in 0..ROUNDS {
        let before = text.clone();
        if html {
            text = unescape_entities(&text, tables).into_owned();
        }
        text = fix_encoding(&text, tables);
        text = fix_c1_controls(&text, tables);
        text = replace(&text, tables);
        if let Some(escape) = ESCAPE.as_ref() {
            text = escape.replace_all(&text, "").into_owned();
        }
        text.retain(|c| !tables.remove.contains(&c));
        text = text.nfc().collect();
        if text == before {
            break;
        }
    }
    text
}

/// Ligatures, character width, curly quotes, line breaks.
fn replace(text: &str, tables: &Tables) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match tables.replace.get(&c) {
            Some(other) => out.push_str(other),
            None => out.push(c),
        }
    }
    let straight = |c| match c {
        '\u{2bc}' | '\u{2018}'..='\u{201b}' => '\'',
        '\u{201c}'..='\u{201f}' => '"',
        '\r' | '\u{2028}' | '\u{2029}' | '\u{85}' => '\n',
        _ => c,
    };
    out.replace("\r\n", "\n").chars().map(straight).collect()
}

/// ftfy's cautious unescaping: only references that end in a semicolon.
fn unescape_entities<'a>(text: &'a str, tables: &Tables) -> Cow<'a, str> {
    let Some(entity) = ENTITY.as_ref() else { return text.into() };
    entity.replace_all(text, |found: &Captures<'_>| {
        let (whole, name) = (&found[0], &found[0][1..]);
        if let Some(text) = tables.html5.get(name).or_else(|| tables.html_upper.get(name)) {
            return text.clone();
        }
        if name.starts_with('#') {
            let text = unescape(whole, tables);
            if !text.contains(';') {
                return text;
            }
        }
        whole.to_string()
    })
}

/// Python's `html.unescape`.
fn unescape(text: &str, tables: &Tables) -> String {
    let Some(reference) = REFERENCE.as_ref() else { return text.to_string() };
    reference
        .replace_all(text, |found: &Captures<'_>| {
            let name = &found[1];
            match name.strip_prefix('#') {
                Some(number) => numeric(number.trim_end_matches(';'), tables),
                None => named(name, tables),
            }
        })
        .into_owned()
}

fn numeric(number: &str, tables: &Tables) -> String {
    let code = match number.strip_prefix(['x', 'X']) {
        Some(hex) => u32::from_str_radix(hex, 16),
        None => number.parse(),
    }
    .unwrap_or(u32::MAX);
    if let Some(other) = tables.invalid_references.get(&code) {
        return other.clone();
    }
    match char::from_u32(code) {
        None => char::REPLACEMENT_CHARACTER.to_string(),
        Some(_) if tables.invalid_codepoints.contains(&code) => String::new(),
        Some(c) => c.to_string(),
    }
}

/// The longest name that is known; what follows it stays.
fn named(name: &str, tables: &Tables) -> String {
    if let Some(text) = tables.html5.get(name) {
        return text.clone();
    }
    // At least two characters.
    let ends: Vec<usize> = name.char_indices().map(|(at, _)| at).skip(2).collect();
    for &end in ends.iter().rev() {
        if let Some(text) = tables.html5.get(&name[..end]) {
            return format!("{text}{}", &name[end..]);
        }
    }
    format!("&{name}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_compile() {
        assert!(ENTITY.is_some() && REFERENCE.is_some() && ESCAPE.is_some());
    }

    #[test]
    fn entities() {
        assert_eq!(clean("P&EACUTE;REZ &amp;amp; S&ntilde;"), "pérez & sñ");
        assert_eq!(clean("a &lt b &notit; &#x41;&#0;&#128;"), "a < b ¬it; a\u{fffd}€");
        assert_eq!(clean("this&not that &unknown; &#xD800;"), "this¬ that &unknown; \u{fffd}");
        // A `<` switches the cautious unescaping off, not the other.
        assert_eq!(clean("<b> &amp;lt;"), "<b> <");
    }

    #[test]
    fn width_quotes_ligatures_controls() {
        assert_eq!(clean("ＬＯＵＤ　ＮＯＩＳＥＳ"), "loud noises");
        assert_eq!(clean("“ﬂuﬃeﬆ” ‘x’"), "\"fluffiest\" 'x'");
        assert_eq!(clean("\u{1b}[36;44mblue\u{1b}[0m\u{feff} \u{7}sky"), "blue sky");
        assert_eq!(clean(" a\r\nb\u{2028}c\u{85}d \u{3000} "), "a b c…d");
        assert_eq!(clean("e\u{301}"), "é");
    }

    #[test]
    fn lower_case_is_unicode() {
        assert_eq!(clean("ΌΣΟΣ İ"), "όσος i\u{307}");
    }
}
