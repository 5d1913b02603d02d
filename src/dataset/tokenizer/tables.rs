//! The tokenizer's data, unpacked at first use.

use std::collections::{HashMap, HashSet};
use std::io::Read as _;
use std::sync::OnceLock;

use regex::Regex;
use serde::Deserialize;

/// The merges of CLIP's byte-pair encoding, one a line, in rank order.
static MERGES: &[u8] = include_bytes!("../../../assets/tokenizer/merges.txt.gz");
/// What text cleaning looks up; `assets/tokenizer/make/tables.py` says where
/// each table is from.
static CLEAN: &[u8] = include_bytes!("../../../assets/tokenizer/clean.json.gz");

/// A single-byte encoding.
pub(super) struct Encoding {
    /// Undefined bytes stand for themselves, byte 1A for U+FFFD.
    pub sloppy: bool,
    /// `macroman`, which has an exception.
    pub macroman: bool,
    /// `latin-1`.
    pub latin1: bool,
    /// The byte of each character it has.
    pub bytes: HashMap<char, u8>,
}

/// Everything the cleaning steps look up.
pub(super) struct Tables {
    /// Matches text that is likely mojibake.
    pub badness: Regex,
    /// In the order in which they are tried.
    pub encodings: Vec<Encoding>,
    /// windows-1252 by byte; `None` where it is undefined.
    pub windows_1252: Vec<Option<char>>,
    /// Leading characters of UTF-8 sequences of 2, 3 and 4 bytes, read in a
    /// single-byte encoding.
    pub first: [HashSet<char>; 3],
    /// Characters that continue such a sequence …
    pub continuation: HashSet<char>,
    /// … and those that seldom stand for themselves.
    pub continuation_strict: HashSet<char>,
    /// Ligatures and forms of other width, with what replaces them.
    pub replace: HashMap<char, String>,
    /// Control characters that are dropped.
    pub remove: HashSet<char>,
    /// HTML's named references, most with their semicolon, without `&`.
    pub html5: HashMap<String, String>,
    /// Upper-case spellings that are read as well.
    pub html_upper: HashMap<String, String>,
    /// Numeric references that stand for another character.
    pub invalid_references: HashMap<u32, String>,
    /// Numeric references that stand for nothing.
    pub invalid_codepoints: HashSet<u32>,
}

#[derive(Deserialize)]
struct Stored {
    badness: String,
    encodings: Vec<StoredEncoding>,
    windows_1252: String,
    first_of_2: String,
    first_of_3: String,
    first_of_4: String,
    continuation: String,
    continuation_strict: String,
    replace: HashMap<char, String>,
    remove: String,
    html5: HashMap<String, String>,
    html_upper: HashMap<String, String>,
    invalid_references: HashMap<u32, String>,
    invalid_codepoints: HashSet<u32>,
}

#[derive(Deserialize)]
struct StoredEncoding {
    name: String,
    table: String,
}

fn unpack(data: &[u8]) -> String {
    let mut text = String::new();
    // The data is part of the program: it cannot be damaged without a test
    // having failed.
    let read = flate2::read::GzDecoder::new(data).read_to_string(&mut text);
    debug_assert!(read.is_ok(), "{read:?}");
    text
}

/// The merges, as lines of two parts.
pub(super) fn merges() -> String {
    unpack(MERGES)
}

impl Tables {
    /// The tables, unpacked once. `None` only if the program's own data were
    /// damaged; text is then tokenized uncleaned.
    pub fn get() -> Option<&'static Self> {
        static TABLES: OnceLock<Option<Tables>> = OnceLock::new();
        TABLES.get_or_init(|| Self::build(serde_json::from_str(&unpack(CLEAN)).ok()?)).as_ref()
    }

    fn build(stored: Stored) -> Option<Self> {
        let set = |text: &str| text.chars().collect::<HashSet<char>>();
        let encoding = |stored: StoredEncoding| Encoding {
            sloppy: stored.name.starts_with("sloppy"),
            macroman: stored.name == "macroman",
            latin1: stored.name == "latin-1",
            bytes: stored.table.chars().zip(0..=255).collect(),
        };
        Some(Self {
            badness: Regex::new(&stored.badness).ok()?,
            encodings: stored.encodings.into_iter().map(encoding).collect(),
            windows_1252: stored
                .windows_1252
                .chars()
                .map(|c| (c != char::REPLACEMENT_CHARACTER).then_some(c))
                .collect(),
            first: [set(&stored.first_of_2), set(&stored.first_of_3), set(&stored.first_of_4)],
            continuation: set(&stored.continuation),
            continuation_strict: set(&stored.continuation_strict),
            replace: stored.replace,
            remove: set(&stored.remove),
            html5: stored.html5,
            html_upper: stored.html_upper,
            invalid_references: stored.invalid_references,
            invalid_codepoints: stored.invalid_codepoints,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_data_is_whole() {
        let tables = Tables::get().unwrap();
        assert_eq!(tables.encodings.len(), 10);
        assert!(tables.encodings.iter().all(|e| e.bytes.len() == 256));
        assert_eq!(tables.windows_1252.iter().filter(|c| c.is_none()).count(), 5);
        assert_eq!(tables.html5.len(), 2231);
        assert_eq!(merges().lines().count(), 48_894);
    }
}
