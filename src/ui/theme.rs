//! Colours and signs: the one place where a look becomes styles.
//!
//! Series follow Okabe and Ito's palette, which people of every kind of colour
//! vision tell apart; beyond it every series has its own marker and a label at
//! its end, so that colour never carries a fact alone.

mod env;
mod heat;

use ratatui::style::{Color, Modifier, Style};

use crate::app::look::spell;
use crate::app::{Depth, Look, Palette};

use super::glyphs::{self, Glyphs};
pub use env::{Env, charset, depth};

/// Red, green, blue.
type Rgb = (u8, u8, u8);

/// Colours of one palette, in 24 bits.
struct Inks {
    ground: Rgb,
    raised: Rgb,
    text: Rgb,
    dim: Rgb,
    faint: Rgb,
    accent: Rgb,
    good: Rgb,
    warn: Rgb,
    bad: Rgb,
    series: [Rgb; 7],
}

const DARK: Inks = Inks {
    ground: (16, 18, 24),
    raised: (36, 40, 52),
    text: (222, 226, 234),
    dim: (146, 153, 168),
    faint: (72, 79, 94),
    accent: (122, 182, 255),
    good: (48, 190, 150),
    warn: (240, 190, 70),
    bad: (240, 120, 60),
    series: [
        (230, 159, 0),
        (86, 180, 233),
        (0, 176, 130),
        (219, 138, 182),
        (240, 228, 66),
        (226, 104, 30),
        (74, 132, 230),
    ],
};

const LIGHT: Inks = Inks {
    ground: (252, 252, 250),
    raised: (232, 235, 241),
    text: (28, 32, 40),
    dim: (94, 100, 114),
    faint: (190, 195, 205),
    accent: (0, 88, 180),
    good: (0, 122, 90),
    warn: (150, 98, 0),
    bad: (192, 72, 0),
    series: [
        (202, 130, 0),
        (24, 132, 196),
        (0, 136, 100),
        (184, 92, 146),
        (158, 144, 0),
        (196, 78, 0),
        (0, 94, 170),
    ],
};

/// Styles and signs of one look.
#[derive(Clone, Copy, Debug)]
pub struct Theme {
    look: Look,
    /// The charset's signs.
    pub glyphs: &'static Glyphs,
}

/// Which ink, without saying in how many colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ink {
    /// Plain text.
    Text,
    /// Less important text.
    Dim,
    /// Rules, grids.
    Faint,
    /// Names of keys, what is chosen.
    Accent,
    /// Success; never without a sign or a word.
    Good,
    /// Look at it.
    Warn,
    /// Failure; never without a sign or a word.
    Bad,
    /// The OOD mean.
    Mean,
    /// The n-th dataset.
    Series(usize),
}

impl Theme {
    /// The theme of a look.
    #[must_use]
    pub fn of(look: Look) -> Self {
        Self { look, glyphs: glyphs::glyphs(look.charset) }
    }

    /// The look it was made of.
    #[must_use]
    pub fn look(&self) -> Look {
        self.look
    }

    fn inks(&self) -> &'static Inks {
        match self.look.palette {
            Palette::Dark => &DARK,
            Palette::Light => &LIGHT,
        }
    }

    fn rgb(&self, ink: Ink) -> Rgb {
        let inks = self.inks();
        match ink {
            Ink::Text | Ink::Mean => inks.text,
            Ink::Dim => inks.dim,
            Ink::Faint => inks.faint,
            Ink::Accent => inks.accent,
            Ink::Good => inks.good,
            Ink::Warn => inks.warn,
            Ink::Bad => inks.bad,
            Ink::Series(i) => inks.series[i % inks.series.len()],
        }
    }

    fn named(&self, ink: Ink) -> Color {
        let dark = self.look.palette == Palette::Dark;
        match ink {
            Ink::Text | Ink::Mean => Color::Reset,
            Ink::Dim if dark => Color::Gray,
            Ink::Dim | Ink::Faint => Color::DarkGray,
            Ink::Accent if dark => Color::LightCyan,
            Ink::Accent => Color::Blue,
            Ink::Good => Color::Cyan,
            Ink::Warn => Color::Yellow,
            Ink::Bad => Color::Magenta,
            Ink::Series(i) => {
                let dark_set = [
                    Color::Yellow,
                    Color::LightCyan,
                    Color::Green,
                    Color::LightMagenta,
                    Color::LightYellow,
                    Color::LightRed,
                    Color::LightBlue,
                ];
                let light_set = [
                    Color::Yellow,
                    Color::Cyan,
                    Color::Green,
                    Color::Magenta,
                    Color::DarkGray,
                    Color::Red,
                    Color::Blue,
                ];
                if dark { dark_set[i % 7] } else { light_set[i % 7] }
            }
        }
    }

    fn color(&self, rgb: Rgb, named: Color) -> Color {
        match self.look.depth {
            Depth::True => Color::Rgb(rgb.0, rgb.1, rgb.2),
            Depth::Indexed => Color::Indexed(nearest(rgb)),
            Depth::Sixteen => named,
            Depth::None => Color::Reset,
        }
    }

    /// The whole screen's ground. Painted only where the theme's colours are
    /// the terminal's (256 and more), so that contrast holds on any terminal.
    #[must_use]
    pub fn ground(&self) -> Style {
        match self.look.depth {
            Depth::True | Depth::Indexed => {
                Style::new().bg(self.ground_color()).fg(self.color(self.inks().text, Color::Reset))
            }
            _ => Style::new(),
        }
    }

    fn ground_color(&self) -> Color {
        self.color(self.inks().ground, Color::Reset)
    }

    /// Ground of boxes that lie over the screen.
    #[must_use]
    pub fn raised(&self) -> Style {
        match self.look.depth {
            Depth::True | Depth::Indexed => {
                let inks = self.inks();
                Style::new()
                    .bg(self.color(inks.raised, Color::Reset))
                    .fg(self.color(inks.text, Color::Reset))
            }
            _ => Style::new(),
        }
    }

    /// Text in that ink.
    #[must_use]
    pub fn ink(&self, ink: Ink) -> Style {
        if self.look.depth == Depth::None {
            return match ink {
                Ink::Dim | Ink::Faint => Style::new().add_modifier(Modifier::DIM),
                Ink::Accent | Ink::Mean | Ink::Warn | Ink::Bad | Ink::Good => {
                    Style::new().add_modifier(Modifier::BOLD)
                }
                Ink::Text | Ink::Series(_) => Style::new(),
            };
        }
        let style = Style::new().fg(self.color(self.rgb(ink), self.named(ink)));
        if ink == Ink::Mean { style.add_modifier(Modifier::BOLD) } else { style }
    }

    /// Plain text.
    #[must_use]
    pub fn text(&self) -> Style {
        self.ink(Ink::Text)
    }

    /// Less important text.
    #[must_use]
    pub fn dim(&self) -> Style {
        self.ink(Ink::Dim)
    }

    /// Rules and grids.
    #[must_use]
    pub fn faint(&self) -> Style {
        self.ink(Ink::Faint)
    }

    /// Headings and the numbers that matter most.
    #[must_use]
    pub fn strong(&self) -> Style {
        self.ink(Ink::Text).add_modifier(Modifier::BOLD)
    }

    /// A key's name.
    #[must_use]
    pub fn key(&self) -> Style {
        self.ink(Ink::Accent).add_modifier(Modifier::BOLD)
    }

    /// A row or column that is chosen: a ground of its own, or reversed.
    #[must_use]
    pub fn chosen(&self) -> Style {
        match self.look.depth {
            Depth::True | Depth::Indexed => {
                Style::new().bg(self.color(self.inks().raised, Color::Reset))
            }
            _ => Style::new().add_modifier(Modifier::REVERSED),
        }
    }

    /// A sign on a coloured ground, as the state of the run.
    #[must_use]
    pub fn chip(&self, ink: Ink) -> Style {
        match self.look.depth {
            Depth::None => Style::new().add_modifier(Modifier::REVERSED | Modifier::BOLD),
            Depth::Sixteen => {
                Style::new().fg(self.named(ink)).add_modifier(Modifier::REVERSED | Modifier::BOLD)
            }
            _ => Style::new()
                .fg(self.ground_color())
                .bg(self.color(self.rgb(ink), self.named(ink)))
                .add_modifier(Modifier::BOLD),
        }
    }

    /// True where bands are grounds of cells; else they are shade signs.
    #[must_use]
    pub fn tints(&self) -> bool {
        self.look.depth >= Depth::Indexed
    }

    /// The ground where these bands lie over each other, weakest first:
    /// `(ink, strength 0…1)`.
    #[must_use]
    pub fn tint(&self, bands: &[(Ink, f64)]) -> Color {
        let start = self.inks().ground;
        let mixed = bands.iter().fold(start, |under, (ink, strength)| {
            let over = self.rgb(*ink);
            let mix = |a: u8, b: u8| {
                (f64::from(a) + (f64::from(b) - f64::from(a)) * strength.clamp(0.0, 1.0)).round()
                    as u8
            };
            (mix(under.0, over.0), mix(under.1, over.1), mix(under.2, over.2))
        });
        match self.look.depth {
            // The colour cube is too coarse for shades this dark or light:
            // greys of the same lightness say as much and lie.
            Depth::Indexed => {
                let grey =
                    |(r, g, b): Rgb| (u32::from(r) * 3 + u32::from(g) * 6 + u32::from(b)) / 10;
                let level = u8::try_from(grey(mixed)).unwrap_or(u8::MAX);
                Color::Indexed(nearest((level, level, level)))
            }
            _ => self.color(mixed, Color::Reset),
        }
    }

    /// The colour of a share (0 to 1) on a heat map: cividis, or the grey ramp at
    /// 256 colours.
    #[must_use]
    pub fn heat(&self, share: f64) -> Color {
        heat::color(self.look.depth, share)
    }

    /// Text on [`Self::heat`].
    #[must_use]
    pub fn over_heat(&self, share: f64) -> Color {
        heat::ink(self.look.depth, share)
    }

    /// Text spelled in the charset.
    #[must_use]
    pub fn spell<'a>(&self, text: &'a str) -> std::borrow::Cow<'a, str> {
        spell(self.look.charset, text)
    }
}

/// Index of the xterm palette's colour nearest to `rgb`, of the cube and the
/// grey ramp.
fn nearest((r, g, b): Rgb) -> u8 {
    const LEVELS: [u8; 6] = [0, 95, 135, 175, 215, 255];
    let level = |value: u8| {
        (0..6u8).min_by_key(|i| value.abs_diff(LEVELS[usize::from(*i)])).unwrap_or_default()
    };
    let far = |x: Rgb| {
        let d = |a: u8, b: u8| u32::from(a.abs_diff(b)).pow(2);
        d(x.0, r) + d(x.1, g) + d(x.2, b)
    };
    let (cr, cg, cb) = (level(r), level(g), level(b));
    let cube = [cr, cg, cb].map(|i| LEVELS[usize::from(i)]);
    let mean = (u32::from(r) + u32::from(g) + u32::from(b)) / 3;
    let step = u8::try_from(mean.saturating_sub(3) / 10).unwrap_or(23).min(23);
    let grey = 8 + 10 * step;
    if far((grey, grey, grey)) < far((cube[0], cube[1], cube[2])) {
        232 + step
    } else {
        16 + 36 * cr + 6 * cg + cb
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_colour_means_none_at_all() {
        let theme = Theme::of(Look { depth: Depth::None, ..Look::default() });
        for ink in [Ink::Text, Ink::Dim, Ink::Bad, Ink::Series(3), Ink::Mean] {
            let style = theme.ink(ink);
            assert_eq!((style.fg, style.bg), (None, None));
        }
        let chip = theme.chip(Ink::Good);
        assert_eq!((chip.fg, chip.bg), (None, None));
    }

    #[test]
    fn nearest_finds_exact_entries() {
        assert_eq!(nearest((255, 0, 0)), 196);
        assert_eq!(nearest((0, 0, 0)), 16);
        assert_eq!(nearest((128, 128, 128)), 244);
        assert_eq!(nearest((95, 135, 175)), 67);
    }

    /// Every ink stands out from its ground: WCAG's 3:1 for signs, 4.5:1 for
    /// text, computed in 24 bits.
    #[test]
    fn inks_contrast_with_their_ground() {
        fn luminance((r, g, b): Rgb) -> f64 {
            let part = |v: u8| {
                let v = f64::from(v) / 255.0;
                if v <= 0.040_45 { v / 12.92 } else { ((v + 0.055) / 1.055).powf(2.4) }
            };
            0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b)
        }
        let contrast = |a: Rgb, b: Rgb| {
            let (a, b) = (luminance(a), luminance(b));
            (a.max(b) + 0.05) / (a.min(b) + 0.05)
        };
        for palette in [Palette::Dark, Palette::Light] {
            let theme = Theme::of(Look { palette, ..Look::default() });
            let ground = theme.inks().ground;
            for ink in [Ink::Text, Ink::Dim, Ink::Accent, Ink::Good, Ink::Warn, Ink::Bad] {
                let ratio = contrast(theme.rgb(ink), ground);
                assert!(ratio >= 4.5, "{palette:?} {ink:?} {ratio:.1}");
            }
            for i in 0..7 {
                let ratio = contrast(theme.rgb(Ink::Series(i)), ground);
                assert!(ratio >= 3.0, "{palette:?} series {i} {ratio:.1}");
            }
        }
    }
}
