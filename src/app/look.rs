//! How the screen is to look: choices a person makes, without any drawing.

use std::borrow::Cow;

/// Background the colours are chosen for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Palette {
    /// Light text on a dark ground.
    #[default]
    Dark,
    /// Dark text on a light ground.
    Light,
}

/// How many colours the terminal shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Depth {
    /// No colour: bold, dim, underline and reverse only.
    None,
    /// The sixteen named colours, as the terminal's own theme has them.
    Sixteen,
    /// The xterm palette.
    #[default]
    Indexed,
    /// 24 bits.
    True,
}

/// Which characters curves and signs are made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Charset {
    /// Braille dots: eight to a cell.
    #[default]
    Braille,
    /// Quadrant blocks: four to a cell; for fonts without Braille.
    Blocks,
    /// Nothing but ASCII.
    Ascii,
}

/// All choices of look together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Look {
    /// Dark or light.
    pub palette: Palette,
    /// Colours.
    pub depth: Depth,
    /// Characters.
    pub charset: Charset,
}

impl Palette {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Dark, Self::Light];

    /// The other one.
    #[must_use]
    pub fn next(self) -> Self {
        match self {
            Self::Dark => Self::Light,
            Self::Light => Self::Dark,
        }
    }

    /// `dark` or `light`, as in the configuration file.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Dark => "dark",
            Self::Light => "light",
        }
    }

    /// The palette of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.name() == name)
    }
}

impl Depth {
    /// From the fewest.
    pub const ALL: [Self; 4] = [Self::None, Self::Sixteen, Self::Indexed, Self::True];

    /// `none`, `16`, `256` or `true`, as in flags and the configuration file.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Sixteen => "16",
            Self::Indexed => "256",
            Self::True => "true",
        }
    }

    /// The depth of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.name() == name)
    }
}

impl Charset {
    /// From the finest.
    pub const ALL: [Self; 3] = [Self::Braille, Self::Blocks, Self::Ascii];

    /// Braille → blocks → ASCII → Braille.
    #[must_use]
    pub fn next(self) -> Self {
        match self {
            Self::Braille => Self::Blocks,
            Self::Blocks => Self::Ascii,
            Self::Ascii => Self::Braille,
        }
    }

    /// `braille`, `blocks` or `ascii`, as in flags and the configuration file.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Braille => "braille",
            Self::Blocks => "blocks",
            Self::Ascii => "ascii",
        }
    }

    /// The charset of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.name() == name)
    }
}

/// Spells text in ASCII where the charset asks for it; control characters
/// never pass.
#[must_use]
pub fn spell(charset: Charset, text: &str) -> Cow<'_, str> {
    let clean = |c: char| !c.is_control() && (c.is_ascii() || charset != Charset::Ascii);
    if text.chars().all(clean) {
        return Cow::Borrowed(text);
    }
    let mut plain = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            c if clean(c) => plain.push(c),
            '\t' => plain.push(' '),
            c if c.is_control() => plain.push('?'),
            'α' => plain.push_str("alpha"),
            'ρ' => plain.push_str("rho"),
            'τ' => plain.push_str("tau"),
            'λ' => plain.push_str("lambda"),
            'θ' => plain.push_str("theta"),
            '₀' => plain.push('0'),
            '₁' => plain.push('1'),
            '‖' => plain.push_str("||"),
            '²' => plain.push('2'),
            '⌀' => plain.push_str("mean"),
            '±' => plain.push_str("+/-"),
            '×' => plain.push('x'),
            '−' | '–' | '·' | '—' => plain.push('-'),
            '→' => plain.push_str("->"),
            '←' => plain.push_str("<-"),
            '≤' => plain.push_str("<="),
            '≥' => plain.push_str(">="),
            '…' => plain.push_str("..."),
            '‘' | '’' => plain.push('\''),
            '“' | '”' => plain.push('"'),
            _ => plain.push('?'),
        }
    }
    Cow::Owned(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_back() {
        for depth in [Depth::None, Depth::Sixteen, Depth::Indexed, Depth::True] {
            assert_eq!(Depth::from_name(depth.name()), Some(depth));
        }
        for charset in [Charset::Braille, Charset::Blocks, Charset::Ascii] {
            assert_eq!(Charset::from_name(charset.name()), Some(charset));
            assert_eq!(charset.next().next().next(), charset);
        }
        assert_eq!(Palette::from_name("light").map(Palette::next), Some(Palette::Dark));
        assert_eq!(Palette::from_name("mauve"), None);
    }

    #[test]
    fn text_is_spelled_out() {
        assert_eq!(spell(Charset::Ascii, "α 0.3 ± 1 → 猫"), "alpha 0.3 +/- 1 -> ?");
        assert_eq!(spell(Charset::Braille, "α 0.3\u{1b}[2J"), "α 0.3?[2J");
        assert!(matches!(spell(Charset::Braille, "α"), Cow::Borrowed(_)));
    }
}
