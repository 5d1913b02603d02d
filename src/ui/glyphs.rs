//! Every sign the screen draws, each with an ASCII twin.

use crate::app::Charset;

/// The signs of one charset.
#[derive(Debug)]
pub struct Glyphs {
    /// A point of a curve, one for each series.
    pub markers: [&'static str; 8],
    /// The OOD mean's point.
    pub mean: &'static str,
    /// Heights of a sparkline, low to high. The full block is left out, so that
    /// rows under each other stay apart.
    pub spark: [&'static str; 7],
    /// A sparkline's missing value.
    pub absent: &'static str,
    /// Done part of a progress bar.
    pub bar_done: &'static str,
    /// The rest of it.
    pub bar_left: &'static str,
    /// Horizontal rule.
    pub rule: &'static str,
    /// Vertical axis.
    pub axis: &'static str,
    /// Vertical axis with a tick.
    pub tick: &'static str,
    /// Corner of the axes.
    pub corner: &'static str,
    /// Horizontal axis with a tick.
    pub tick_x: &'static str,
    /// Grid line of the chart.
    pub grid: &'static str,
    /// The cursor's line through the chart.
    pub cursor: &'static str,
    /// Points at what is focused.
    pub focus: &'static str,
    /// The cursor's place on the horizontal axis.
    pub here: &'static str,
    /// Between facts on a line.
    pub dot: &'static str,
    /// Cut text.
    pub more: &'static str,
    /// Running.
    pub run: &'static str,
    /// Paused.
    pub pause: &'static str,
    /// Done, success.
    pub ok: &'static str,
    /// Failed.
    pub fail: &'static str,
    /// Look at it.
    pub warn: &'static str,
    /// Not known yet.
    pub open: &'static str,
    /// Comes first.
    pub first: &'static str,
    /// Left out.
    pub skipped: &'static str,
    /// Best of its column.
    pub best: &'static str,
    /// A band where cells have no background colour.
    pub shade: &'static str,
    /// Corners of a box: top left, top right, bottom left, bottom right.
    pub corners: [&'static str; 4],
    /// Upright side of a box.
    pub side: &'static str,
    /// Cells of a heat map where there are no colours enough, low to high.
    pub heat: [&'static str; 5],
    /// A straggler.
    pub straggler: &'static str,
    /// Selected.
    pub picked: &'static str,
    /// In force.
    pub active: &'static str,
    /// Asked for, not in force yet.
    pub asked: &'static str,
    /// Sorted, largest first; smallest first.
    pub sorted: [&'static str; 2],
    /// Some weights are never perturbed.
    pub frozen: &'static str,
    /// An error bar's upright.
    pub upright: &'static str,
}

const UNICODE: Glyphs = Glyphs {
    markers: ["●", "■", "▲", "◆", "▼", "○", "□", "△"],
    mean: "◉",
    spark: ["▁", "▂", "▃", "▄", "▅", "▆", "▇"],
    absent: "·",
    bar_done: "━",
    bar_left: "─",
    rule: "─",
    axis: "│",
    tick: "┤",
    corner: "└",
    tick_x: "┴",
    grid: "┈",
    cursor: "┊",
    focus: "▸",
    here: "▲",
    dot: "·",
    more: "…",
    run: "▶",
    pause: "‖",
    ok: "✓",
    fail: "✗",
    warn: "!",
    open: "?",
    first: "»",
    skipped: "⊘",
    best: "★",
    shade: "░",
    corners: ["╭", "╮", "╰", "╯"],
    side: "│",
    heat: ["·", "░", "▒", "▓", "█"],
    straggler: "▲",
    picked: "✓",
    active: "●",
    asked: "◌",
    sorted: ["▼", "▲"],
    frozen: "*",
    upright: "│",
};

const ASCII: Glyphs = Glyphs {
    markers: ["o", "x", "^", "#", "v", "+", "%", "&"],
    mean: "@",
    spark: ["_", ".", ":", "-", "=", "*", "#"],
    absent: " ",
    bar_done: "#",
    bar_left: "-",
    rule: "-",
    axis: "|",
    tick: "+",
    corner: "+",
    tick_x: "+",
    grid: " ",
    cursor: "|",
    focus: ">",
    here: "^",
    dot: "-",
    more: "~",
    run: ">",
    pause: "=",
    ok: "+",
    fail: "x",
    warn: "!",
    open: "?",
    first: ">",
    skipped: "/",
    best: "*",
    shade: ":",
    corners: ["+", "+", "+", "+"],
    side: "|",
    heat: [".", ":", "+", "%", "#"],
    straggler: "^",
    picked: "x",
    active: "o",
    asked: "?",
    sorted: ["v", "^"],
    frozen: "*",
    upright: "|",
};

/// The signs of that charset.
#[must_use]
pub fn glyphs(charset: Charset) -> &'static Glyphs {
    match charset {
        Charset::Braille | Charset::Blocks => &UNICODE,
        Charset::Ascii => &ASCII,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ascii_twins_are_ascii() {
        let text = format!("{ASCII:?}");
        assert!(text.is_ascii());
        let width = |sign: &str| unicode_width::UnicodeWidthStr::width(sign);
        for sign in UNICODE.markers.iter().chain(&UNICODE.spark).chain(&ASCII.markers) {
            assert_eq!(width(sign), 1, "{sign}");
        }
    }
}
