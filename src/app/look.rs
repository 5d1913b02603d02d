//! How the screen is to look: choices a person makes, without any drawing.

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
        [Self::Dark, Self::Light].into_iter().find(|it| it.name() == name)
    }
}

impl Depth {
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
        [Self::None, Self::Sixteen, Self::Indexed, Self::True]
            .into_iter()
            .find(|it| it.name() == name)
    }
}

impl Charset {
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
        [Self::Braille, Self::Blocks, Self::Ascii].into_iter().find(|it| it.name() == name)
    }
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
}
