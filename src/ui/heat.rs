//! A heat map: rows by α, one colour or shade a value, on a log scale.
//!
//! ```text
//! stem     ██████▓▓▓▓▓▓▒▒▒▒▒▒      a line a row where they fit, with numbers
//! block.0  ░░░░░░·····▒▒▒▒▒▒▒      where those fit; else two rows a line (▀)
//!          0    0.3   0.6   1
//!          ····░░░░▒▒▒▒▓▓▓▓████ 0.002–0.3
//! ```

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::Widget;

use crate::app::{Charset, Depth, format};

use super::paint;
use super::theme::Theme;

/// One row of the map.
#[derive(Clone, Debug, PartialEq)]
pub struct Band {
    /// Its name.
    pub name: String,
    /// One value a column; `None` where there is none (yet).
    pub values: Vec<Option<f64>>,
    /// Which of them failed.
    pub failed: Vec<bool>,
}

/// The whole map as data.
#[derive(Clone, Debug)]
pub struct HeatMap<'a> {
    /// Colours and signs.
    pub theme: &'a Theme,
    /// From the top.
    pub bands: Vec<Band>,
    /// One a column, ascending.
    pub alphas: &'a [f64],
    /// Row and column of the cursor.
    pub cursor: Option<(usize, usize)>,
    /// What the values are, for the legend.
    pub what: &'a str,
}

/// Where values lie between the smallest and the largest, by their logarithm;
/// values at or below 0 stand at the bottom.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LogScale {
    /// Smallest value above 0.
    pub lo: f64,
    /// Largest value.
    pub hi: f64,
}

impl LogScale {
    /// Of all values above 0; `None` without any.
    #[must_use]
    pub fn of(values: impl Iterator<Item = f64>) -> Option<Self> {
        values.filter(|v| v.is_finite() && *v > 0.0).fold(None, |scale: Option<Self>, v| {
            Some(
                scale.map_or(Self { lo: v, hi: v }, |it| Self {
                    lo: it.lo.min(v),
                    hi: it.hi.max(v),
                }),
            )
        })
    }

    /// 0 to 1; the middle where all are equal.
    #[must_use]
    pub fn place(&self, value: f64) -> f64 {
        if value <= 0.0 || !value.is_finite() {
            return 0.0;
        }
        let span = self.hi.ln() - self.lo.ln();
        if span <= 0.0 { 0.5 } else { ((value.ln() - self.lo.ln()) / span).clamp(0.0, 1.0) }
    }
}

/// Where the parts of a map stand.
#[derive(Clone, Copy, Debug)]
struct Frame {
    names: Rect,
    cells: Rect,
    /// Columns of the terminal a value takes.
    wide: u16,
    /// Rows of the map a line of the terminal holds: 1 or 2.
    per_line: usize,
    /// First row shown.
    first: usize,
}

impl HeatMap<'_> {
    fn frame(&self, area: Rect) -> Frame {
        let longest = self.bands.iter().map(|it| paint::width(&self.theme.spell(&it.name))).max();
        let names = u16::try_from(longest.unwrap_or(0) + 3).unwrap_or(u16::MAX);
        let names = names.min(area.width / 3).min(24);
        let foot = match area.height {
            0..4 => 0,
            4..7 => 1,
            _ => 2,
        };
        let (body, _) = paint::bottom(area, foot);
        let (left, right) = paint::side(body, body.width.saturating_sub(names));
        let n = u16::try_from(self.alphas.len()).unwrap_or(u16::MAX).max(1);
        let wide = (right.width / n).clamp(1, 8);
        let rows = usize::from(body.height);
        let halves = self.theme.look().charset != Charset::Ascii
            && self.theme.look().depth >= Depth::Indexed;
        let per_line = if self.bands.len() > rows && halves { 2 } else { 1 };
        let fits = (rows * per_line).max(1);
        let at = self.cursor.map_or(0, |it| it.0);
        let first = super::curves::window(self.bands.len(), fits, Some(at)).start;
        let width = right.width.min(wide.saturating_mul(n));
        Frame { names: left, cells: Rect { width, ..right }, wide, per_line, first }
    }

    /// Row and column of the map at a place of the screen.
    #[must_use]
    pub fn hit(&self, area: Rect, x: u16, y: u16) -> Option<(usize, usize)> {
        let frame = self.frame(area);
        let line = usize::from(y.checked_sub(frame.cells.y).filter(|y| *y < frame.cells.height)?);
        let row = frame.first + line * frame.per_line;
        let column = usize::from(x.saturating_sub(frame.cells.x) / frame.wide.max(1));
        (row < self.bands.len()).then(|| (row, column.min(self.alphas.len().saturating_sub(1))))
    }

    fn scale(&self) -> Option<LogScale> {
        LogScale::of(self.bands.iter().flat_map(|it| &it.values).flatten().copied())
    }

    fn place(&self, scale: Option<LogScale>, row: usize, column: usize) -> Option<f64> {
        let value = (*self.bands.get(row)?.values.get(column)?)?;
        value.is_finite().then(|| scale.map_or(0.0, |it| it.place(value)))
    }

    fn failed(&self, row: usize, column: usize) -> bool {
        self.bands.get(row).and_then(|it| it.failed.get(column)).copied().unwrap_or(false)
    }

    /// A cell of the map as one line of the terminal, `wide` columns.
    fn whole(
        &self,
        frame: &Frame,
        scale: Option<LogScale>,
        at: (usize, usize),
        buffer: &mut Buffer,
    ) {
        let theme = self.theme;
        let (row, column) = at;
        let y = frame.cells.y + u16::try_from(row - frame.first).unwrap_or(u16::MAX);
        let x = frame.cells.x + frame.wide * u16::try_from(column).unwrap_or(0);
        let place = Rect { x, y, width: frame.wide, height: 1 }.intersection(frame.cells);
        let under = self.cursor == Some(at);
        let wide = usize::from(place.width);
        let failed = self.failed(row, column);
        let Some(share) = self.place(scale, row, column) else {
            let (sign, style) = if failed {
                (theme.glyphs.fail, theme.ink(super::theme::Ink::Bad))
            } else {
                (theme.glyphs.absent, theme.faint())
            };
            let style = if under { theme.key().add_modifier(Modifier::REVERSED) } else { style };
            let text = center(if under && sign == " " { theme.glyphs.open } else { sign }, wide);
            paint::line(buffer, place, 0, &Line::styled(text, style));
            return;
        };
        let value = self.bands.get(row).and_then(|it| it.values.get(column)).copied().flatten();
        let number = value.map(|it| theme.spell(&format::aligned(it)).into_owned());
        let text = number.filter(|it| frame.wide >= 7 && paint::width(it) < wide);
        if theme.tints() {
            let ground = theme.heat(share);
            let ink = theme.over_heat(share);
            let style = Style::new().bg(ground).fg(ink);
            let style = if under { style.add_modifier(Modifier::BOLD) } else { style };
            let text = match text {
                Some(text) => center(&text, wide),
                None => " ".repeat(wide),
            };
            paint::line(buffer, place, 0, &Line::styled(text, style));
        } else {
            let sign = theme.glyphs.heat[((share * 4.0).round() as usize).min(4)];
            let style = if under { theme.key() } else { theme.text() };
            paint::line(buffer, place, 0, &Line::styled(sign.repeat(wide), style));
        }
        if under {
            self.mark(place, buffer);
        }
    }

    /// The cursor: brackets at the cell's ends, or all of a narrow one.
    fn mark(&self, place: Rect, buffer: &mut Buffer) {
        if place.width >= 3 {
            for (x, sign) in [(place.left(), "["), (place.right() - 1, "]")] {
                if let Some(cell) = buffer.cell_mut((x, place.y)) {
                    cell.set_symbol(sign).modifier |= Modifier::BOLD;
                }
            }
        } else {
            for x in place.left()..place.right() {
                if let Some(cell) = buffer.cell_mut((x, place.y)) {
                    cell.set_symbol(self.theme.glyphs.here).modifier |= Modifier::BOLD;
                }
            }
        }
    }

    /// Two rows of the map in one line of half blocks.
    fn halves(&self, frame: &Frame, scale: Option<LogScale>, line: usize, buffer: &mut Buffer) {
        let theme = self.theme;
        let upper = frame.first + 2 * line;
        let y = frame.cells.y + u16::try_from(line).unwrap_or(u16::MAX);
        for x in frame.cells.left()..frame.cells.right() {
            let column = usize::from((x - frame.cells.x) / frame.wide.max(1));
            let color = |row| self.place(scale, row, column).map(|share| theme.heat(share));
            let (sign, style) = match (color(upper), color(upper + 1)) {
                (Some(a), Some(b)) => ("▀", Style::new().fg(a).bg(b)),
                (Some(a), None) => ("▀", Style::new().fg(a)),
                (None, Some(b)) => ("▄", Style::new().fg(b)),
                (None, None) => (theme.glyphs.absent, theme.faint()),
            };
            paint::cell(buffer, frame.cells, x, y, sign, style);
            if self.cursor.is_some_and(|(r, c)| c == column && r / 2 == upper / 2 && r >= upper) {
                paint::cell(buffer, frame.cells, x, y, theme.glyphs.here, theme.key());
            }
        }
    }

    fn names(&self, frame: &Frame, buffer: &mut Buffer) {
        let theme = self.theme;
        let lines = usize::from(frame.cells.height);
        for line in 0..lines {
            let row = frame.first + line * frame.per_line;
            // The cursor's own name, where two share a line.
            let at =
                self.cursor.map(|it| it.0).filter(|at| (row..row + frame.per_line).contains(at));
            let Some(band) = self.bands.get(at.unwrap_or(row)) else { break };
            let here = at.is_some();
            let sign = if here { theme.glyphs.focus } else { " " };
            let more = if frame.per_line == 2 && !here && row + 1 < self.bands.len() {
                theme.glyphs.more
            } else {
                ""
            };
            let room = usize::from(frame.names.width).saturating_sub(3);
            let text =
                format!("{sign} {}", paint::cut(theme, &format!("{}{more}", band.name), room));
            let style = if here { theme.key() } else { theme.text() };
            paint::line(
                buffer,
                frame.names,
                u16::try_from(line).unwrap_or(u16::MAX),
                &Line::styled(text, style),
            );
        }
    }

    fn foot(&self, area: Rect, frame: &Frame, scale: Option<LogScale>, buffer: &mut Buffer) {
        let theme = self.theme;
        let y = frame.cells.bottom();
        if y >= area.bottom() {
            return;
        }
        let mut free = frame.cells.x;
        let decimals = format::decimals(self.alphas);
        for (i, alpha) in self.alphas.iter().enumerate() {
            let x = frame.cells.x + frame.wide * u16::try_from(i).unwrap_or(0);
            let under = self.cursor.is_some_and(|it| it.1 == i);
            let text =
                center(&theme.spell(&format::alpha(*alpha, decimals)), usize::from(frame.wide));
            let wide = u16::try_from(paint::width(&text)).unwrap_or(0);
            if x >= free && x + wide <= area.right() {
                let style = if under { theme.key() } else { theme.dim() };
                let place = Rect { x, y, width: wide, height: 1 }.intersection(area);
                paint::line(buffer, place, 0, &Line::styled(text.clone(), style));
                free = x + wide + u16::from(!text.starts_with(' '));
            }
        }
        let label = Rect { y, height: 1, ..frame.names };
        paint::line(
            buffer,
            label.intersection(area),
            0,
            &Line::styled(theme.spell("  α"), theme.dim()),
        );
        let (Some(scale), true) = (scale, y + 1 < area.bottom()) else { return };
        let dim = |text: String| Span::styled(theme.spell(&text).into_owned(), theme.dim());
        let mut spans = vec![dim(format!("  {} {} ", self.what, format::significant(scale.lo)))];
        let steps = 20;
        for i in 0..steps {
            let share = f64::from(i) / f64::from(steps - 1);
            spans.push(if theme.tints() {
                Span::styled(" ", Style::new().bg(theme.heat(share)))
            } else {
                let sign = theme.glyphs.heat[((share * 4.0).round() as usize).min(4)];
                Span::styled(sign, theme.text())
            });
        }
        spans.push(dim(format!(" {}  log scale", format::significant(scale.hi))));
        let place = Rect { y: y + 1, height: 1, ..area };
        paint::line(buffer, place.intersection(area), 0, &Line::from(spans));
    }
}

/// `text` in the middle of `columns`; cut where it is longer.
fn center(text: &str, columns: usize) -> String {
    let wide = paint::width(text);
    if wide >= columns {
        return text.to_string();
    }
    let left = (columns - wide) / 2;
    format!("{}{text}{}", " ".repeat(left), " ".repeat(columns - wide - left))
}

impl Widget for &HeatMap<'_> {
    fn render(self, area: Rect, buffer: &mut Buffer) {
        let area = area.intersection(buffer.area);
        if area.is_empty() || self.bands.is_empty() || self.alphas.is_empty() {
            return;
        }
        let frame = self.frame(area);
        let scale = self.scale();
        let lines = usize::from(frame.cells.height);
        for line in 0..lines {
            if frame.per_line == 2 {
                if frame.first + 2 * line < self.bands.len() {
                    self.halves(&frame, scale, line, buffer);
                }
            } else if frame.first + line < self.bands.len() {
                for column in 0..self.alphas.len() {
                    self.whole(&frame, scale, (frame.first + line, column), buffer);
                }
            }
        }
        self.names(&frame, buffer);
        self.foot(area, &frame, scale, buffer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::Look;

    fn map<'a>(theme: &'a Theme, alphas: &'a [f64], rows: usize) -> HeatMap<'a> {
        let band = |i: usize| Band {
            name: format!("block.{i}"),
            values: (0..alphas.len())
                .map(|j| (i + j) % 4 != 3)
                .enumerate()
                .map(|(j, known)| known.then(|| 0.001 * 3_f64.powi((i + j) as i32)))
                .collect(),
            failed: vec![false; alphas.len()],
        };
        let bands = (0..rows).map(band).collect();
        HeatMap { theme, bands, alphas, cursor: Some((1, 2)), what: "S" }
    }

    fn text(map: &HeatMap<'_>, width: u16, height: u16) -> String {
        let mut buffer = Buffer::empty(Rect::new(0, 0, width, height));
        map.render(buffer.area, &mut buffer);
        let row = |y| (0..width).map(|x| buffer[(x, y)].symbol()).collect::<String>();
        (0..height).map(|y| row(y).trim_end().to_string() + "\n").collect()
    }

    #[test]
    fn a_scale_is_robust_to_equal_and_odd_values() {
        assert_eq!(LogScale::of([0.0, -1.0, f64::NAN].into_iter()), None);
        let equal = LogScale::of([2.0, 2.0].into_iter()).unwrap();
        assert_eq!(equal.place(2.0), 0.5);
        let scale = LogScale::of([0.01, 1.0, -3.0].into_iter()).unwrap();
        assert_eq!((scale.place(0.01), scale.place(1.0), scale.place(-3.0)), (0.0, 1.0, 0.0));
        assert!((scale.place(0.1) - 0.5).abs() < 1e-12);
    }

    #[test]
    fn shades_and_their_ascii_twins() {
        let alphas = [0.0, 0.5, 1.0];
        let look = Look { depth: Depth::None, ..Look::default() };
        let theme = Theme::of(look);
        insta::assert_snapshot!(text(&map(&theme, &alphas, 4), 40, 7), @r#"
          block.0 ········░░░░░░░░▒▒▒▒▒▒▒▒
        ▸ block.1 ░░░░░░░░▒▒▒▒▒▒▒▒   ·
          block.2 ▒▒▒▒▒▒▒▒   ·    ▓▓▓▓▓▓▓▓
          block.3    ·    ▓▓▓▓▓▓▓▓████████

          α          0      0.5      1
          S 0.001 ···░░░░░▒▒▒▒▓▓▓▓▓███ 0.243  lo
        "#);
        let theme = Theme::of(Look { charset: Charset::Ascii, ..look });
        let plain = text(&map(&theme, &alphas, 4), 40, 7);
        assert!(plain.is_ascii(), "{plain}");
    }

    #[test]
    fn two_rows_share_a_line_where_they_must_and_clicks_find_cells() {
        let theme = Theme::of(Look { depth: Depth::True, ..Look::default() });
        let alphas = [0.0, 0.5, 1.0];
        let tall = map(&theme, &alphas, 20);
        assert!(text(&tall, 40, 8).contains('▀'));
        let low = map(&theme, &alphas, 3);
        assert!(!text(&low, 40, 8).contains('▀'));
        assert_eq!(low.hit(Rect::new(0, 0, 40, 8), 12, 1), Some((1, 0)));
        assert_eq!(low.hit(Rect::new(0, 0, 40, 8), 39, 0), Some((0, 2)));
        assert_eq!(low.hit(Rect::new(0, 0, 40, 8), 12, 7), None);
    }

    #[test]
    fn no_size_panics() {
        let theme = Theme::of(Look { depth: Depth::True, ..Look::default() });
        let alphas: Vec<f64> = (0..11).map(|i| f64::from(i) / 10.0).collect();
        for rows in [0, 1, 13] {
            let map = map(&theme, &alphas, rows);
            for (width, height) in (0..40).flat_map(|w| (0..16).map(move |h| (w, h))) {
                text(&map, width, height);
                let _ = map.hit(Rect::new(0, 0, width, height), width / 2, height / 2);
            }
        }
    }
}
