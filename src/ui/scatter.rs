//! Points in a plane, some joined by lines: sharpness against accuracy, and
//! WiSE-FT's plot of ID against OOD accuracy with α along the line.
//!
//! ```text
//!  OOD mean, %
//!  46 ┤        ● 0.4
//!     │   ● 0.7     ● 0.1
//!  38 ┤ ● 1           ● 0
//!     └┴────────┴────────┴
//!     0.02     0.04     0.06   S, nats
//! ```

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Modifier;
use ratatui::text::Line;
use ratatui::widgets::Widget;

use crate::app::axis::{self, Range};
use crate::app::{Charset, format};

use super::chart::stroke;
use super::paint;
use super::raster::Raster;
use super::theme::{Ink, Theme};

/// One point.
#[derive(Clone, Debug, PartialEq)]
pub struct Mark {
    /// Across.
    pub x: f64,
    /// Up.
    pub y: f64,
    /// Stands beside it where there is room.
    pub label: String,
    /// The cursor is on it.
    pub here: bool,
}

/// Points of one kind.
#[derive(Clone, Debug, PartialEq)]
pub struct Cloud {
    /// Its colour.
    pub ink: Ink,
    /// Its sign.
    pub marker: &'static str,
    /// Lines from each point to the next.
    pub joined: bool,
    /// Steps back behind the others.
    pub muted: bool,
    /// In order.
    pub marks: Vec<Mark>,
}

/// The whole plot as data; later clouds lie over earlier ones.
#[derive(Clone, Debug)]
pub struct Scatter<'a> {
    /// Colours and signs.
    pub theme: &'a Theme,
    /// From the back to the front.
    pub clouds: Vec<Cloud>,
    /// Names of the axes.
    pub axes: (&'a str, &'a str),
}

/// Columns of the numbers left of the plot, with the axis.
const GUTTER: u16 = 7;

/// A snapped range around values that may all be equal.
fn around(values: impl Iterator<Item = f64> + Clone) -> Option<Range> {
    let size = values.clone().filter(|v| v.is_finite()).map(f64::abs).fold(0.0, f64::max);
    let least = if size > 0.0 { size * 0.02 } else { 1.0 };
    let all = Range { lo: f64::MIN / 4.0, hi: f64::MAX / 4.0 };
    axis::fit(values, least, all).filter(|it| it.span().is_finite() && it.span() > 0.0)
}

/// Numbers of an axis, few enough for `most`.
fn ticks(range: Range, most: usize) -> Vec<f64> {
    let mut step = axis::step(range.span());
    while range.span() / step > most.max(1) as f64 && step < range.span() {
        step *= 2.0;
    }
    let first = (range.lo / step).ceil();
    let at = |i: i32| {
        let value = (first + f64::from(i)) * step;
        // 3 × 0.1 is 0.3, and a zero is a zero.
        if value.abs() < step * 1e-6 { 0.0 } else { value }
    };
    (0..16).map(at).take_while(|v| *v <= range.hi + step * 1e-9).collect()
}

impl Scatter<'_> {
    fn ranges(&self) -> Option<(Range, Range)> {
        let marks = || self.clouds.iter().flat_map(|it| &it.marks);
        Some((around(marks().map(|it| it.x))?, around(marks().map(|it| it.y))?))
    }

    fn axes(&self, area: Rect, plot: Rect, x: Range, y: Range, buffer: &mut Buffer) {
        let (theme, g) = (self.theme, self.theme.glyphs);
        let axis = plot.x.saturating_sub(1);
        for row in plot.top()..plot.bottom() {
            paint::cell(buffer, area, axis, row, g.axis, theme.faint());
        }
        for value in ticks(y, usize::from(plot.height / 3)) {
            let row = plot.y + place(y, value, plot.height, true);
            let text = paint::right(theme, &format::significant(value), usize::from(GUTTER - 1));
            let gutter = Rect { x: area.x, y: row, width: GUTTER - 1, height: 1 };
            paint::line(buffer, gutter.intersection(area), 0, &Line::styled(text, theme.dim()));
            paint::cell(buffer, area, axis, row, g.tick, theme.faint());
            for column in plot.left()..plot.right() {
                paint::cell(buffer, plot, column, row, g.grid, theme.faint());
            }
        }
        let foot = plot.bottom();
        paint::cell(buffer, area, axis, foot, g.corner, theme.faint());
        for column in plot.left()..plot.right() {
            paint::cell(buffer, area, column, foot, g.rule, theme.faint());
        }
        let mut free = area.x;
        for value in ticks(x, usize::from(plot.width / 10)) {
            let column = plot.x + place(x, value, plot.width, false);
            paint::cell(buffer, area, column, foot, g.tick_x, theme.faint());
            let text = theme.spell(&format::significant(value)).into_owned();
            let wide = u16::try_from(paint::width(&text)).unwrap_or(0);
            let start = column.saturating_sub(wide / 2).max(area.x);
            if start >= free && start + wide <= area.right() {
                let at = Rect { x: start, y: foot + 1, width: wide, height: 1 };
                paint::line(buffer, at.intersection(area), 0, &Line::styled(text, theme.dim()));
                free = start + wide + 2;
            }
        }
        let title = Rect { y: foot + 2, height: 1, ..area };
        let text = paint::cut(theme, self.axes.0, usize::from(title.width));
        if title.y < area.bottom() {
            paint::line_right(buffer, title, 0, &Line::styled(text, theme.text()));
        }
    }

    fn lines(&self, plot: Rect, x: Range, y: Range, buffer: &mut Buffer) {
        let mut raster = Raster::new(self.theme.look().charset, plot.width, plot.height);
        let (across, down) = raster.size();
        if across == 0 || down == 0 {
            return;
        }
        let at = |mark: &Mark| {
            let px = x.place(mark.x) * (across.saturating_sub(1)) as f64;
            (px, (1.0 - y.place(mark.y)) * down as f64)
        };
        for (owner, cloud) in self.clouds.iter().enumerate().filter(|(_, it)| it.joined) {
            for pair in cloud.marks.windows(2) {
                let (mut a, mut b) = (at(&pair[0]), at(&pair[1]));
                // Strokes go from left to right.
                if a.0 > b.0 {
                    std::mem::swap(&mut a, &mut b);
                }
                stroke(&mut raster, a, b, owner, false, false);
            }
        }
        for row in 0..plot.height {
            for column in 0..plot.width {
                let Some((sign, owner)) = raster.sign(column, row) else { continue };
                let style = self.clouds.get(owner).map_or(self.theme.faint(), |it| self.style(it));
                if let Some(cell) = buffer.cell_mut((plot.x + column, plot.y + row)) {
                    cell.set_char(sign).set_style(style);
                }
            }
        }
    }

    fn style(&self, cloud: &Cloud) -> ratatui::style::Style {
        if cloud.muted { self.theme.faint() } else { self.theme.ink(cloud.ink) }
    }

    fn marks(&self, plot: Rect, x: Range, y: Range, buffer: &mut Buffer) {
        let theme = self.theme;
        let mut taken: Vec<(u16, u16, u16)> = Vec::new();
        let spots: Vec<(u16, u16, &Cloud, &Mark)> = self
            .clouds
            .iter()
            .flat_map(|cloud| cloud.marks.iter().map(move |mark| (cloud, mark)))
            .filter(|(_, mark)| mark.x.is_finite() && mark.y.is_finite())
            .map(|(cloud, mark)| {
                let column = plot.x + place(x, mark.x, plot.width, false);
                (column, plot.y + place(y, mark.y, plot.height, true), cloud, mark)
            })
            .collect();
        taken.extend(spots.iter().map(|(column, row, ..)| (*row, *column, *column + 1)));
        // Labels under the marks; the cursor's and the front's come first.
        let mut order: Vec<_> = spots.iter().rev().collect();
        order.sort_by_key(|(.., mark)| !mark.here);
        for (column, row, cloud, mark) in order {
            let text = theme.spell(&mark.label).into_owned();
            let wide = u16::try_from(paint::width(&text)).unwrap_or(u16::MAX);
            if wide == 0 || (cloud.muted && !mark.here) {
                continue;
            }
            let right = column.saturating_add(2);
            let left = column.saturating_sub(wide + 1);
            let free = |start: u16| {
                start >= plot.x
                    && start.saturating_add(wide) <= plot.right()
                    && taken.iter().all(|(y, from, to)| {
                        y != row || start >= *to || start.saturating_add(wide) <= *from
                    })
            };
            let Some(start) = [right, left].into_iter().find(|start| free(*start)) else {
                continue;
            };
            taken.push((*row, start.saturating_sub(1), start + wide + 1));
            let style = if mark.here { theme.key() } else { theme.dim() };
            let at = Rect { x: start, y: *row, width: wide, height: 1 };
            paint::line(buffer, at.intersection(plot), 0, &Line::styled(text, style));
        }
        for (column, row, cloud, mark) in spots {
            let style = if mark.here {
                theme.key().add_modifier(Modifier::REVERSED)
            } else {
                self.style(cloud)
            };
            paint::cell(buffer, plot, column, row, cloud.marker, style);
        }
    }
}

/// The row or column of a value among `cells`.
fn place(range: Range, value: f64, cells: u16, down: bool) -> u16 {
    let share = range.place(value).clamp(0.0, 1.0);
    let share = if down { 1.0 - share } else { share };
    (share * f64::from(cells.saturating_sub(1))).round() as u16
}

impl Widget for &Scatter<'_> {
    fn render(self, area: Rect, buffer: &mut Buffer) {
        let area = area.intersection(buffer.area);
        let (head, body) = paint::top(area, u16::from(area.height >= 8));
        let foot = match body.height {
            0..5 => 1,
            5..8 => 2,
            _ => 3,
        };
        let (upper, _) = paint::bottom(body, foot);
        let (_, plot) = paint::side(upper, upper.width.saturating_sub(GUTTER));
        let plot = Rect { width: plot.width.saturating_sub(1), ..plot };
        let Some((x, y)) = self.ranges().filter(|_| plot.width >= 4 && plot.height >= 2) else {
            return;
        };
        let title = paint::cut(self.theme, self.axes.1, usize::from(head.width));
        paint::line(buffer, head, 0, &Line::styled(title, self.theme.text()));
        self.axes(body, plot, x, y, buffer);
        if self.theme.look().charset != Charset::Ascii || plot.width >= 20 {
            self.lines(plot, x, y, buffer);
        }
        self.marks(plot, x, y, buffer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::{Depth, Look};

    fn cloud(points: &[(f64, f64)], joined: bool) -> Cloud {
        let marks = points.iter().enumerate().map(|(i, (x, y))| Mark {
            x: *x,
            y: *y,
            label: i.to_string(),
            here: i == 1,
        });
        let marks = marks.collect();
        Cloud { ink: Ink::Accent, marker: "o", joined, muted: false, marks }
    }

    fn text(plot: &Scatter<'_>, width: u16, height: u16) -> String {
        let mut buffer = Buffer::empty(Rect::new(0, 0, width, height));
        plot.render(buffer.area, &mut buffer);
        let row = |y| (0..width).map(|x| buffer[(x, y)].symbol()).collect::<String>();
        (0..height).map(|y| row(y).trim_end().to_string() + "\n").collect()
    }

    #[test]
    fn points_stand_where_their_numbers_are() {
        let theme =
            Theme::of(Look { charset: Charset::Ascii, depth: Depth::None, ..Look::default() });
        let clouds = vec![cloud(&[(0.0, 10.0), (0.5, 30.0), (1.0, 20.0)], false)];
        let plot = Scatter { theme: &theme, clouds, axes: ("S, nats", "OOD mean, %") };
        insta::assert_snapshot!(text(&plot, 40, 12), @r#"
        OOD mean, %
            30+                o 1
              |
              |
              |
            20+                             2 o
              |
              |
            10+o 0
              ++-----------+------------+------
               0          0.4          0.8
                                         S, nats
        "#);
    }

    #[test]
    fn no_size_and_no_numbers_panic() {
        let theme = Theme::of(Look::default());
        let odd: [&[(f64, f64)]; 5] = [
            &[],
            &[(1.0, 1.0)],
            &[(2.0, 2.0), (2.0, 2.0)],
            &[(f64::NAN, 1.0), (0.0, f64::INFINITY), (1e300, -1e300)],
            &[(-1e-12, 0.0), (1e-12, 1e9)],
        ];
        for points in odd {
            let clouds = vec![cloud(points, true), cloud(points, false)];
            let plot = Scatter { theme: &theme, clouds, axes: ("x", "y") };
            for (width, height) in (0..50).flat_map(|w| (0..16).map(move |h| (w, h))) {
                text(&plot, width, height);
            }
        }
    }

    #[test]
    fn ticks_are_few_and_inside() {
        let range = Range { lo: 0.1, hi: 0.7 };
        let all = ticks(range, 3);
        assert!((1..=4).contains(&all.len()), "{all:?}");
        assert!(all.iter().all(|v| (0.1..=0.7 + 1e-9).contains(v)));
    }
}
