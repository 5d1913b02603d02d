//! CLIP's tokenizer: byte-pair encoding over cleaned, lower-case text, as
//! open_clip's `SimpleTokenizer` does it.

mod clean;
mod mojibake;
mod tables;

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use regex::Regex;

/// Says where a text begins.
pub const START: u32 = 49_406;
/// Says where a text ends; the text tower reads its feature there.
pub const END: u32 = 49_407;
/// The first id of a merged token.
const MERGED: u32 = 512;

/// Words, single digits, runs of other signs, English contractions. The
/// reference ignores case throughout; with the Python package it uses that
/// changes no class but one: the mark U+0345, which folds to a letter without
/// being one, matches nothing and is dropped.
const WORDS: &str = concat!(
    r"(?i:<start_of_text>|<end_of_text>|'s|'t|'re|'ve|'m|'ll|'d)",
    r"|\p{L}+|\p{N}|[^\s\p{L}\p{N}\u{345}]+",
);

/// Turns text into token ids. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Tokenizer(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// Token ids of the 256 bytes inside a word.
    bytes: [u32; 256],
    /// Two neighbouring tokens → the token they merge to. A lower id merges
    /// first.
    merges: HashMap<(u32, u32), u32>,
    words: Option<Regex>,
}

impl Tokenizer {
    /// The tokenizer of every OpenAI and open_clip ViT: 49 408 tokens.
    #[must_use]
    pub fn clip() -> Self {
        static CLIP: OnceLock<Tokenizer> = OnceLock::new();
        CLIP.get_or_init(|| Self(Arc::new(Inner::build()))).clone()
    }

    /// Ids of one text, exactly `context` of them: start, tokens, end, zeros.
    /// A text that is too long is cut, its last id is the end's.
    #[must_use]
    pub fn encode(&self, text: &str, context: usize) -> Vec<u32> {
        let mut ids = vec![START];
        ids.extend(self.tokens(text));
        ids.push(END);
        if ids.len() > context {
            ids.truncate(context);
            ids.iter_mut().last().into_iter().for_each(|last| *last = END);
        }
        ids.resize(context, 0);
        ids
    }

    /// Ids of one text, without start and end, however many.
    #[must_use]
    pub fn tokens(&self, text: &str) -> Vec<u32> {
        let cleaned = clean::clean(text);
        let mut ids = Vec::new();
        for word in self.0.words.iter().flat_map(|words| words.find_iter(&cleaned)) {
            match word.as_str() {
                "<start_of_text>" => ids.push(START),
                "<end_of_text>" => ids.push(END),
                word => ids.extend(self.0.merge(word.as_bytes())),
            }
        }
        ids
    }
}

impl Inner {
    fn build() -> Self {
        let letters = byte_letters();
        let mut bytes = [0; 256];
        let mut ids: HashMap<String, u32> = HashMap::with_capacity(50_000);
        for ((byte, letter), id) in letters.into_iter().zip(0..) {
            bytes[usize::from(byte)] = id;
            ids.insert(letter.to_string(), id);
            // The same byte at the end of a word.
            ids.insert(format!("{letter}</w>"), id + 256);
        }
        let mut merges = HashMap::with_capacity(50_000);
        for (line, id) in tables::merges().lines().zip(MERGED..) {
            if let Some((a, b)) = line.split_once(' ')
                && let (Some(&left), Some(&right)) = (ids.get(a), ids.get(b))
            {
                merges.insert((left, right), id);
                ids.insert(format!("{a}{b}"), id);
            }
        }
        Self { bytes, merges, words: Regex::new(WORDS).ok() }
    }

    /// The tokens of one word: neighbours are merged, the earliest merge of
    /// the list first, until no pair is in the list.
    fn merge(&self, word: &[u8]) -> Vec<u32> {
        let mut ids: Vec<u32> = word.iter().map(|&b| self.bytes[usize::from(b)]).collect();
        if let Some(last) = ids.last_mut() {
            *last += 256;
        }
        loop {
            let first = ids.windows(2).filter_map(|two| self.merges.get(&(two[0], two[1]))).min();
            let Some(&merged) = first else { return ids };
            let mut out = Vec::with_capacity(ids.len());
            let mut rest = &ids[..];
            while let [a, tail @ ..] = rest {
                match tail {
                    [b, tail @ ..] if self.merges.get(&(*a, *b)) == Some(&merged) => {
                        out.push(merged);
                        rest = tail;
                    }
                    _ => {
                        out.push(*a);
                        rest = tail;
                    }
                }
            }
            ids = out;
        }
    }
}

/// The 256 bytes in the order of their ids, each with the letter that stands
/// for it in the merges: printable Latin-1 for itself, the others for letters
/// from U+0100 on.
fn byte_letters() -> Vec<(u8, char)> {
    let printable = |b: &u8| matches!(b, b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF);
    let others = (0..=255u8).filter(|b| !printable(b)).zip('\u{100}'..);
    (0..=255u8).filter(printable).map(|b| (b, char::from(b))).chain(others).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_merge_makes_a_token_of_its_own() {
        let clip = Tokenizer::clip();
        assert_eq!(clip.0.merges.len(), 48_894);
        assert!(clip.0.words.is_some());
        assert_eq!(byte_letters().len(), 256);
    }

    #[test]
    fn known_prompts() {
        // From open_clip.get_tokenizer("ViT-B-32").
        let clip = Tokenizer::clip();
        assert_eq!(clip.tokens("a photo of a cat."), [320, 1125, 539, 320, 2368, 269]);
        assert_eq!(clip.encode("", 4), [START, END, 0, 0]);
    }

    #[test]
    fn too_long_texts_still_end() {
        let ids = Tokenizer::clip().encode(&"dog ".repeat(100), 77);
        assert_eq!((ids.len(), ids[76], ids[75]), (77, END, 1929));
        assert_eq!(Tokenizer::clip().encode("a dog", 1), [END]);
        assert!(Tokenizer::clip().encode("a dog", 0).is_empty());
    }
}
