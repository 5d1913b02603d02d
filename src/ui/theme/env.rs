//! Colours and characters that a terminal can show, by what its environment says.

use crate::app::{Charset, Depth};

/// What the environment says about colour; see [`depth`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Env<'a> {
    /// `NO_COLOR`.
    pub no_color: Option<&'a str>,
    /// `COLORTERM`.
    pub colorterm: Option<&'a str>,
    /// `TERM`.
    pub term: Option<&'a str>,
}

/// Which colours to use: flag, then configuration, then a non-empty
/// `NO_COLOR`, then `COLORTERM`, then `TERM`.
#[must_use]
pub fn depth(flag: Option<Depth>, config: Option<Depth>, env: Env<'_>) -> Depth {
    if let Some(chosen) = flag.or(config) {
        return chosen;
    }
    let set = |value: Option<&str>| value.is_some_and(|text| !text.is_empty());
    if set(env.no_color) {
        return Depth::None;
    }
    let colorterm = env.colorterm.unwrap_or_default().to_ascii_lowercase();
    if matches!(colorterm.as_str(), "truecolor" | "24bit") {
        return Depth::True;
    }
    let term = env.term.unwrap_or_default();
    match term {
        "" | "dumb" => Depth::None,
        it if it.ends_with("-direct") => Depth::True,
        it if it.ends_with("-m") || it.contains("mono") => Depth::None,
        it if it.contains("256color") => Depth::Indexed,
        it if it.starts_with("vt1") || it.starts_with("vt2") => Depth::None,
        "linux" | "ansi" | "cygwin" => Depth::Sixteen,
        _ if set(env.colorterm) => Depth::Indexed,
        _ => Depth::Sixteen,
    }
}

/// The charset that fits a terminal when nobody chose one: ASCII where the
/// locale is not UTF-8 (of `LC_ALL`, `LC_CTYPE`, `LANG` the first that is set
/// decides) or the terminal is the Linux console or dumb, whose fonts have
/// neither dots nor blocks enough.
#[must_use]
pub fn charset(locale: [Option<&str>; 3], term: Option<&str>) -> Charset {
    let locale = locale.into_iter().flatten().find(|text| !text.is_empty()).unwrap_or("");
    let upper = locale.to_ascii_uppercase();
    let utf8 = upper.contains("UTF-8") || upper.contains("UTF8");
    match term.unwrap_or_default() {
        "linux" | "dumb" | "" => Charset::Ascii,
        _ if utf8 => Charset::Braille,
        _ => Charset::Ascii,
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(None, None, None, None, Some("xterm-256color"), Depth::Indexed)]
    #[case(None, None, None, Some("truecolor"), Some("xterm-256color"), Depth::True)]
    #[case(None, None, Some("1"), Some("truecolor"), Some("xterm"), Depth::None)]
    #[case(None, None, Some(""), Some("24bit"), Some("xterm"), Depth::True)]
    #[case(None, Some(Depth::Sixteen), Some("1"), None, None, Depth::Sixteen)]
    #[case(Some(Depth::True), Some(Depth::None), Some("1"), None, None, Depth::True)]
    #[case(None, None, None, None, Some("dumb"), Depth::None)]
    #[case(None, None, None, None, None, Depth::None)]
    #[case(None, None, None, None, Some("xterm"), Depth::Sixteen)]
    #[case(None, None, None, None, Some("vt100"), Depth::None)]
    #[case(None, None, None, Some("1"), Some("xterm"), Depth::Indexed)]
    #[case(None, None, None, None, Some("xterm-direct"), Depth::True)]
    fn depth_is_resolved_in_order(
        #[case] flag: Option<Depth>,
        #[case] config: Option<Depth>,
        #[case] no_color: Option<&str>,
        #[case] colorterm: Option<&str>,
        #[case] term: Option<&str>,
        #[case] expected: Depth,
    ) {
        assert_eq!(depth(flag, config, Env { no_color, colorterm, term }), expected);
    }

    #[test]
    fn charset_follows_the_locale() {
        let utf8 = [None, None, Some("en_US.UTF-8")];
        assert_eq!(charset(utf8, Some("xterm-256color")), Charset::Braille);
        assert_eq!(charset(utf8, Some("linux")), Charset::Ascii);
        assert_eq!(charset([Some("C"), None, Some("de_DE.utf8")], Some("xterm")), Charset::Ascii);
        assert_eq!(charset([None, None, None], Some("xterm")), Charset::Ascii);
    }
}
