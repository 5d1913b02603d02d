//! One image, two images: what people read agrees with its number.

use std::borrow::Cow;
use std::fmt::Display;

/// `1 image`, `12 images`, `0 classes`: for nouns with a regular plural.
pub(crate) fn counted<N: Display + PartialEq + From<u8>>(n: N, one: &str) -> String {
    format!("{n} {}", noun(&n, one))
}

/// The noun alone, where the number is spelled otherwise.
pub(crate) fn noun<'a, N: PartialEq + From<u8>>(n: &N, one: &'a str) -> Cow<'a, str> {
    let hisses = ["s", "x", "ch", "sh"].iter().any(|end| one.ends_with(end));
    match *n == N::from(1) {
        true => one.into(),
        false if hisses => format!("{one}es").into(),
        false => format!("{one}s").into(),
    }
}

/// Words that differ in more than their end: verbs, mostly.
pub(crate) fn either<'a, N: PartialEq + From<u8>>(n: &N, one: &'a str, many: &'a str) -> &'a str {
    if *n == N::from(1) { one } else { many }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nouns_agree_with_their_number() {
        let all = [(0, "image"), (1, "image"), (2, "class"), (1, "class"), (3, "batch")];
        let all = all.map(|(n, one)| counted::<u32>(n, one));
        assert_eq!(all, ["0 images", "1 image", "2 classes", "1 class", "3 batches"]);
        assert_eq!((either(&1_usize, "is", "are"), either(&0_u64, "is", "are")), ("is", "are"));
    }
}
