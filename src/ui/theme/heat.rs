//! Colours of a heat map: a ramp that people of every kind of colour vision see
//! as one, dark to light.

use ratatui::style::Color;

use crate::app::Depth;

/// Stops of cividis (Nuñez, Anderton & Renslow 2018), evenly apart.
const CIVIDIS: [(u8, u8, u8); 9] = [
    (0, 34, 78),
    (26, 56, 111),
    (62, 78, 108),
    (91, 101, 110),
    (122, 124, 121),
    (154, 148, 119),
    (188, 174, 108),
    (222, 202, 88),
    (254, 232, 56),
];

/// First and last of the xterm palette's greys in use: the very dark ones cannot
/// be told from a dark ground.
const GREYS: (u8, u8) = (235, 255);

pub(super) fn color(depth: Depth, share: f64) -> Color {
    let share = if share.is_finite() { share.clamp(0.0, 1.0) } else { 0.0 };
    match depth {
        Depth::True => {
            let at = share * (CIVIDIS.len() - 1) as f64;
            let i = (at as usize).min(CIVIDIS.len() - 2);
            let part = at - i as f64;
            let mix =
                |a: u8, b: u8| (f64::from(a) + (f64::from(b) - f64::from(a)) * part).round() as u8;
            let (a, b) = (CIVIDIS[i], CIVIDIS[i + 1]);
            Color::Rgb(mix(a.0, b.0), mix(a.1, b.1), mix(a.2, b.2))
        }
        Depth::Indexed => {
            let span = f64::from(GREYS.1 - GREYS.0);
            Color::Indexed(GREYS.0 + (share * span).round() as u8)
        }
        _ => Color::Reset,
    }
}

/// Black or white, whichever is read better there.
pub(super) fn ink(depth: Depth, share: f64) -> Color {
    let light = share > 0.45;
    match depth {
        Depth::True if light => Color::Rgb(16, 18, 24),
        Depth::True => Color::Rgb(240, 242, 246),
        Depth::Indexed => Color::Indexed(if light { 232 } else { 255 }),
        _ => Color::Reset,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ramp_rises_and_its_text_stands_out() {
        let light = |color: Color| match color {
            Color::Rgb(r, g, b) => {
                let part = |v: u8| {
                    let v = f64::from(v) / 255.0;
                    if v <= 0.040_45 { v / 12.92 } else { ((v + 0.055) / 1.055).powf(2.4) }
                };
                0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b)
            }
            _ => f64::NAN,
        };
        let mut before = -1.0;
        for i in 0..=40 {
            let share = f64::from(i) / 40.0;
            let (ground, text) = (light(color(Depth::True, share)), light(ink(Depth::True, share)));
            assert!(ground > before, "{share}");
            before = ground;
            let ratio = (ground.max(text) + 0.05) / (ground.min(text) + 0.05);
            assert!(ratio > 3.9, "{share} {ratio}");
        }
        assert_eq!(color(Depth::Indexed, 7.0), Color::Indexed(255));
        assert_eq!(color(Depth::Indexed, f64::NAN), Color::Indexed(235));
        assert_eq!(color(Depth::None, 0.5), Color::Reset);
    }
}
