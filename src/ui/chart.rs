//! Curves over α with their bands, labels at their ends and a cursor.
//!
//! ```text
//!  60 ┤            ┊                    ● noto      51.5
//!     │      ⣀⠤⠔⠒⠊⠉┊⠉⠒⠢⠤⣀               ◆ fluent    44.8
//!  40 ┤⠤⠔⠒⠉⠁       ┊     ⠉⠉⠒⠢⠤⣀⣀        ◉ OOD mean  29.8
//!     └┴────┴────┴────┴────┴────┴
//!      0   0.2  0.4  0.6  0.8   1
//!      zero-shot NAME     fine-tuned NAME
//! ```

mod pieces;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};
use ratatui::widgets::Widget;

use crate::app::Charset;
use crate::app::axis::{self, Range};
use crate::app::format;

use super::paint;
use super::raster::Raster;
use super::theme::{Ink, Theme};
pub(super) use pieces::stroke;
use pieces::{ground, spread};

/// One point of a curve.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dot {
    /// Where on the path.
    pub alpha: f64,
    /// The plotted value; `None`: not measured yet.
    pub value: Option<f64>,
    /// Its interval, if it has one.
    pub band: Option<(f64, f64)>,
    /// It could not be measured.
    pub failed: bool,
}

/// One curve as drawn.
#[derive(Clone, Debug)]
pub struct Series {
    /// Its colour.
    pub ink: Ink,
    /// Its sign.
    pub marker: &'static str,
    /// Its name, for the label at its end.
    pub name: String,
    /// Drawn twice as thick, with a stronger band.
    pub heavy: bool,
    /// Steps back behind the focused one: no colour, no band.
    pub muted: bool,
    /// By ascending α.
    pub dots: Vec<Dot>,
}

/// The whole chart as data; later series lie over earlier ones.
#[derive(Clone, Debug)]
pub struct Chart<'a> {
    /// Colours and signs.
    pub theme: &'a Theme,
    /// Curves, from the back to the front.
    pub series: Vec<Series>,
    /// The grid, ascending.
    pub alphas: &'a [f64],
    /// Vertical range.
    pub y: Range,
    /// The α of the cursor.
    pub cursor: Option<f64>,
    /// Names of the ends at α = 0 and α = 1.
    pub ends: (&'a str, &'a str),
    /// Decimals of the values.
    pub decimals: usize,
}

/// Where the parts of a chart stand.
#[derive(Clone, Copy, Debug)]
pub struct Frame {
    /// Curves.
    pub plot: Rect,
    /// Labels at the curves' ends, right of the plot.
    pub labels: Rect,
    /// First and last α drawn.
    pub x: (f64, f64),
}

impl Frame {
    /// The cell column of an α.
    #[must_use]
    pub fn column(&self, alpha: f64) -> u16 {
        let last = f64::from(self.plot.width.saturating_sub(1));
        self.plot.x + (self.place(alpha) * last).round().clamp(0.0, last) as u16
    }

    fn place(&self, alpha: f64) -> f64 {
        (alpha - self.x.0) / (self.x.1 - self.x.0)
    }
}

/// Columns of the numbers left of the plot, with the axis.
const GUTTER: u16 = 6;

impl Chart<'_> {
    /// Where the parts stand in `area`.
    #[must_use]
    pub fn frame(&self, area: Rect) -> Frame {
        let widest = self.series.iter().map(|it| paint::width(&self.theme.spell(&it.name))).max();
        let wanted = widest.map_or(0, |wide| wide + 9);
        let wanted = u16::try_from(wanted).unwrap_or(u16::MAX);
        let labels = if area.width < 44 { 0 } else { wanted.min(area.width / 4).max(14) };
        let foot = match area.height {
            0..6 => 0,
            6..9 => 2,
            _ => 3,
        };
        let (upper, _) = paint::bottom(area, foot);
        let (left, right) = paint::side(upper, labels);
        let (_, plot) = paint::side(left, left.width.saturating_sub(GUTTER));
        let ends = self.alphas.first().zip(self.alphas.last());
        let (first, last) = ends.map_or((0.0, 1.0), |(a, b)| (a.min(0.0), b.max(1.0)));
        Frame { plot, labels: right, x: (first, last) }
    }

    fn row(&self, plot: Rect, value: f64) -> Option<u16> {
        let place = self.y.place(value);
        (-1e-9..=1.0 + 1e-9).contains(&place).then(|| {
            let row = ((1.0 - place) * f64::from(plot.height)).max(0.0) as u16;
            plot.y + row.min(plot.height.saturating_sub(1))
        })
    }

    fn style(&self, series: &Series) -> Style {
        if series.muted { self.theme.faint() } else { self.theme.ink(series.ink) }
    }

    fn ticks(&self, rows: u16) -> Vec<f64> {
        let mut step = axis::step(self.y.span());
        while self.y.span() / step > f64::from(rows) / 2.0 && step < self.y.span() {
            step *= 2.0;
        }
        let first = (self.y.lo / step).ceil();
        (0..24)
            .map(|i| (first + f64::from(i)) * step)
            .take_while(|v| *v <= self.y.hi + step * 1e-9)
            .collect()
    }

    // ------------------------------------------------------------- parts

    fn axes(&self, area: Rect, frame: &Frame, buffer: &mut Buffer) {
        let (theme, plot) = (self.theme, frame.plot);
        let glyphs = theme.glyphs;
        let axis = plot.x.saturating_sub(1);
        for y in plot.top()..plot.bottom() {
            paint::cell(buffer, area, axis, y, glyphs.axis, theme.faint());
        }
        let ticks = self.ticks(plot.height);
        let fine = ticks.windows(2).any(|pair| pair[1] - pair[0] < 1.0 - 1e-9);
        let digits = usize::from(fine).max(self.decimals.saturating_sub(1));
        for value in ticks {
            let Some(y) = self.row(plot, value) else { continue };
            let text = format!("{value:>4.digits$}");
            let gutter = Rect { x: area.x, y, width: GUTTER - 1, height: 1 };
            paint::line(
                buffer,
                gutter.intersection(area),
                0,
                &ratatui::text::Line::styled(text, theme.dim()),
            );
            paint::cell(buffer, area, axis, y, glyphs.tick, theme.faint());
            for x in plot.left()..plot.right() {
                paint::cell(buffer, plot, x, y, glyphs.grid, theme.faint());
            }
        }
        if area.bottom() <= plot.bottom() {
            return;
        }
        let y = plot.bottom();
        paint::cell(buffer, area, axis, y, glyphs.corner, theme.faint());
        for x in plot.left()..plot.right() {
            paint::cell(buffer, area, x, y, glyphs.rule, theme.faint());
        }
        if self.alphas.len() <= usize::from(plot.width / 2) {
            for alpha in self.alphas {
                paint::cell(buffer, area, frame.column(*alpha), y, glyphs.tick_x, theme.faint());
            }
        }
        for (alpha, edge) in [(0.0, frame.x.0), (1.0, frame.x.1)] {
            if alpha != edge {
                for y in plot.top()..plot.bottom() {
                    paint::cell(buffer, plot, frame.column(alpha), y, glyphs.grid, theme.dim());
                }
            }
        }
        self.numbers(area, frame, y + 1, buffer);
        self.names(area, frame, y + 2, buffer);
    }

    /// α under the axis: the cursor's always, the ends', then as many as fit.
    fn numbers(&self, area: Rect, frame: &Frame, y: u16, buffer: &mut Buffer) {
        if y >= area.bottom() {
            return;
        }
        let theme = self.theme;
        let mut taken: Vec<(u16, u16)> = Vec::new();
        let mut put = |alpha: f64, style: Style, text: String| {
            let text = theme.spell(&text).into_owned();
            let wide = u16::try_from(paint::width(&text)).unwrap_or(0);
            let middle = frame.column(alpha);
            let start = middle.saturating_sub(wide / 2).max(area.x);
            let start = start.min(frame.plot.right().saturating_sub(wide).max(area.x));
            let end = start + wide;
            if end <= area.right() && taken.iter().all(|(a, b)| end < *a || start > *b) {
                taken.push((start, end));
                let place = Rect { x: start, y, width: wide, height: 1 };
                paint::line(
                    buffer,
                    place.intersection(area),
                    0,
                    &ratatui::text::Line::styled(text, style),
                );
            }
        };
        let decimals = format::decimals(self.alphas);
        if let Some(cursor) = self.cursor {
            put(cursor, theme.key(), format!("α {}", format::alpha(cursor, decimals)));
        }
        put(0.0, theme.dim(), "0".to_string());
        put(1.0, theme.dim(), "1".to_string());
        let room = usize::from(frame.plot.width / 6).max(1);
        let every = self.alphas.len().div_ceil(room).max(1);
        let every = if every == 3 { 4 } else { every };
        for alpha in self.alphas.iter().step_by(every) {
            put(*alpha, theme.dim(), format::alpha(*alpha, decimals));
        }
    }

    /// Both ends by name, under α = 0 and α = 1.
    fn names(&self, area: Rect, frame: &Frame, y: u16, buffer: &mut Buffer) {
        let theme = self.theme;
        let (zero, one) = (frame.column(0.0), frame.column(1.0));
        let room = usize::from((one - zero).div_ceil(2)).saturating_sub(1);
        let left = format!("zero-shot {}", self.ends.0);
        let left = paint::cut(theme, &left, room.max(9));
        let place = Rect { x: zero, y, width: area.right().saturating_sub(zero), height: 1 };
        paint::line(
            buffer,
            place.intersection(area),
            0,
            &ratatui::text::Line::styled(left, theme.text()),
        );
        let right = format!("fine-tuned {}", self.ends.1);
        let right = paint::cut(theme, &right, room.max(10));
        let wide = u16::try_from(paint::width(&right)).unwrap_or(0);
        let place =
            Rect { x: (one + 1).saturating_sub(wide).max(area.x), y, width: wide, height: 1 };
        paint::line(
            buffer,
            place.intersection(area),
            0,
            &ratatui::text::Line::styled(right, theme.text()),
        );
    }

    /// Which bands cover the upper and the lower half of each cell.
    fn bands(&self, frame: &Frame) -> Vec<[Vec<(Ink, f64)>; 2]> {
        let plot = frame.plot;
        let (width, height) = (usize::from(plot.width), usize::from(plot.height));
        let mut cells = vec![[Vec::new(), Vec::new()]; width * height];
        // Shade signs cannot lie over each other: only the emphasised band then.
        let drawn = |series: &&Series| !series.muted && (series.heavy || self.theme.tints());
        for series in self.series.iter().filter(drawn) {
            let strength = if series.heavy { 0.22 } else { 0.08 };
            for column in 0..width {
                let Some((lo, hi)) = self.band_at(series, frame, column) else { continue };
                for half in 0..2 * height {
                    let centre = (half as f64 + 0.5) / (2 * height) as f64;
                    let value = self.y.hi - centre * self.y.span();
                    if (lo..=hi).contains(&value) {
                        cells[half / 2 * width + column][half % 2].push((series.ink, strength));
                    }
                }
            }
        }
        cells
    }

    /// The band in a cell column: between two measured neighbours of the grid,
    /// or at a single measured point.
    fn band_at(&self, series: &Series, frame: &Frame, column: usize) -> Option<(f64, f64)> {
        let last = f64::from(frame.plot.width.saturating_sub(1)).max(1.0);
        let alpha = frame.x.0 + (frame.x.1 - frame.x.0) * column as f64 / last;
        let here = frame.plot.x + u16::try_from(column).unwrap_or(0);
        let after = series.dots.partition_point(|dot| dot.alpha < alpha);
        let (a, b) =
            (after.checked_sub(1).and_then(|i| series.dots.get(i)), series.dots.get(after));
        if let (Some(a), Some(b)) = (a, b)
            && let (Some(low), Some(high)) = (a.band, b.band)
        {
            let t = (alpha - a.alpha) / (b.alpha - a.alpha);
            return Some((low.0 + t * (high.0 - low.0), low.1 + t * (high.1 - low.1)));
        }
        [a, b].into_iter().flatten().find(|dot| frame.column(dot.alpha) == here)?.band
    }

    fn lines(&self, frame: &Frame) -> Raster {
        let look = self.theme.look();
        let mut raster = Raster::new(look.charset, frame.plot.width, frame.plot.height);
        let (across, down) = raster.size();
        if across == 0 || down == 0 {
            return raster;
        }
        // The same rounding as `Frame::column` and `row`, so that markers stand
        // on their curves.
        let wide = across / usize::from(frame.plot.width).max(1);
        let cells = f64::from(frame.plot.width.saturating_sub(1));
        let x = |alpha: f64| (frame.place(alpha) * cells * wide as f64 + wide as f64 / 2.0).floor();
        let y = |value: f64| (1.0 - self.y.place(value)) * down as f64;
        for (owner, series) in self.series.iter().enumerate() {
            // A second row of dots is thick in Braille; elsewhere it is a wall.
            let heavy = series.heavy && look.charset == Charset::Braille;
            let mut before: Option<(usize, f64, f64)> = None;
            for (i, dot) in series.dots.iter().enumerate() {
                let Some(value) = dot.value.filter(|value| value.is_finite()) else {
                    if dot.failed {
                        before = None;
                    }
                    continue;
                };
                let (px, py) = (x(dot.alpha), y(value));
                if let Some((j, qx, qy)) = before {
                    let dotted = i > j + 1;
                    stroke(&mut raster, (qx, qy), (px, py), owner, heavy, dotted);
                } else {
                    raster.dot(px as isize, (py as isize).min(down as isize - 1), owner);
                }
                before = Some((i, px, py));
            }
        }
        raster
    }

    fn curves(&self, frame: &Frame, buffer: &mut Buffer) {
        let (theme, plot) = (self.theme, frame.plot);
        let raster = self.lines(frame);
        let bands = self.bands(frame);
        let cursor = self.cursor.map(|alpha| frame.column(alpha));
        for row in 0..plot.height {
            for column in 0..plot.width {
                let (x, y) = (plot.x + column, plot.y + row);
                let at = usize::from(row) * usize::from(plot.width) + usize::from(column);
                let [upper, lower] = &bands[at];
                let on_cursor = cursor == Some(x);
                let Some(cell) = buffer.cell_mut((x, y)) else { continue };
                if on_cursor {
                    cell.set_symbol(theme.glyphs.cursor).set_style(theme.ink(Ink::Accent));
                }
                let sign = raster.sign(column, row);
                if theme.tints() {
                    let tint =
                        |bands: &Vec<(Ink, f64)>| (!bands.is_empty()).then(|| theme.tint(bands));
                    ground(
                        cell,
                        tint(upper),
                        tint(lower),
                        sign.is_some() || on_cursor,
                        raster.halves(column, row),
                        theme.look().charset != Charset::Ascii,
                    );
                } else if sign.is_none() && !on_cursor && !(upper.is_empty() && lower.is_empty()) {
                    cell.set_symbol(theme.glyphs.shade).set_style(theme.faint());
                }
                if let Some((sign, owner)) = sign {
                    let style = self.series.get(owner).map_or(theme.text(), |it| self.style(it));
                    cell.set_char(sign).set_style(style);
                }
            }
        }
    }

    fn markers(&self, frame: &Frame, buffer: &mut Buffer) {
        let plot = frame.plot;
        let room = usize::from(plot.width) / self.alphas.len().max(1) >= 3;
        for series in &self.series {
            for dot in &series.dots {
                let x = frame.column(dot.alpha);
                let at_cursor = self.cursor == Some(dot.alpha);
                let mut style = self.style(series);
                if at_cursor && !series.muted {
                    style = style.add_modifier(Modifier::BOLD);
                }
                if dot.failed {
                    let y = plot.bottom().saturating_sub(1);
                    paint::cell(
                        buffer,
                        plot,
                        x,
                        y,
                        self.theme.glyphs.fail,
                        self.theme.ink(Ink::Bad),
                    );
                } else if (at_cursor || (room && !series.muted))
                    && let Some(y) = dot.value.and_then(|value| self.row(plot, value))
                {
                    paint::cell(buffer, plot, x, y, series.marker, style);
                }
            }
        }
    }

    /// Names and values at the right ends, moved apart where they collide.
    fn labels(&self, frame: &Frame, buffer: &mut Buffer) {
        let area = frame.labels;
        if area.width < 6 {
            return;
        }
        let mut rows: Vec<(f64, usize, f64)> = Vec::new();
        for (i, series) in self.series.iter().enumerate() {
            let last = series.dots.iter().rev().find_map(|dot| dot.value.map(|v| (dot.alpha, v)));
            if let Some((_, value)) = last {
                let place = (1.0 - self.y.place(value)).clamp(0.0, 1.0);
                rows.push((place * f64::from(area.height), i, value));
            }
        }
        // Too many for the height: those at the back go first.
        while rows.len() > usize::from(area.height) {
            let Some(back) = rows.iter().enumerate().min_by_key(|(_, row)| row.1) else { return };
            rows.remove(back.0);
        }
        rows.sort_by(|a, b| a.0.total_cmp(&b.0));
        let wanted: Vec<f64> = rows.iter().map(|row| row.0).collect();
        let places = spread(&wanted, area.height);
        for ((_, i, value), place) in rows.iter().zip(places) {
            let series = &self.series[*i];
            let mut style = self.style(series);
            if series.muted {
                style = self.theme.dim();
            } else if series.heavy {
                style = style.add_modifier(Modifier::BOLD);
            }
            let number = format!("{value:.*}", self.decimals);
            let room = usize::from(area.width).saturating_sub(number.len() + 4);
            let name = paint::left(self.theme, &series.name, room);
            let text = format!(" {} {name} {number}", series.marker);
            paint::line(buffer, area, place, &ratatui::text::Line::styled(text, style));
        }
    }
}

impl Widget for &Chart<'_> {
    fn render(self, area: Rect, buffer: &mut Buffer) {
        let area = area.intersection(buffer.area);
        let frame = self.frame(area);
        if frame.plot.width < 2 || frame.plot.height < 2 || self.y.span() <= 0.0 {
            return;
        }
        self.axes(area, &frame, buffer);
        self.curves(&frame, buffer);
        self.markers(&frame, buffer);
        self.labels(&frame, buffer);
    }
}
