//! Pieces of the chart that know nothing of it: grounds, strokes, label places.

use ratatui::style::Color;

use crate::ui::raster::Raster;

/// The cell's ground under a sign, or half blocks where the band's edge cuts
/// the cell.
pub(super) fn ground(
    cell: &mut ratatui::buffer::Cell,
    upper: Option<Color>,
    lower: Option<Color>,
    busy: bool,
    drawn: (bool, bool),
    half_blocks: bool,
) {
    match (upper, lower) {
        (None, None) => {}
        (Some(a), Some(b)) if a == b => {
            cell.set_bg(a);
        }
        (upper, lower) if busy => {
            // A sign has one ground: that of the half it stands in.
            let pick = if drawn.1 && !drawn.0 { lower.or(upper) } else { upper.or(lower) };
            let both = upper.is_some() && lower.is_some();
            let inside = (drawn.0 && upper.is_some()) || (drawn.1 && lower.is_some());
            if let Some(color) = pick.filter(|_| both || inside) {
                cell.set_bg(color);
            }
        }
        (upper, lower) if !half_blocks => {
            if let Some(color) = upper.and(lower) {
                cell.set_bg(color);
            }
        }
        (Some(a), None) => {
            cell.set_symbol("▀").set_fg(a);
        }
        (None, Some(b)) => {
            cell.set_symbol("▄").set_fg(b);
        }
        (Some(a), Some(b)) => {
            cell.set_symbol("▀").set_fg(a).set_bg(b);
        }
    }
}

/// A straight line of dots; every dot column keeps its lowest and highest.
pub(in crate::ui) fn stroke(
    raster: &mut Raster,
    from: (f64, f64),
    to: (f64, f64),
    owner: usize,
    heavy: bool,
    dotted: bool,
) {
    let (_, down) = raster.size();
    let (first, last) = (from.0.round() as isize, to.0.round() as isize);
    let (limit, last_row) = (down as f64, down as isize - 1);
    let at = |x: f64| {
        let t = if to.0 > from.0 { ((x - from.0) / (to.0 - from.0)).clamp(0.0, 1.0) } else { 1.0 };
        (from.1 + t * (to.1 - from.1)).clamp(-2.0, limit + 2.0)
    };
    for x in first..=last {
        if dotted && (x - first) % 4 >= 2 {
            continue;
        }
        let (a, b) = (at(x as f64 - 0.5), at(x as f64 + 0.5));
        let row = |value: f64| {
            // The very bottom of the range belongs to the last row.
            if value > limit + 1e-9 { last_row + 2 } else { (value.floor() as isize).min(last_row) }
        };
        let (a, b) = (row(a.min(b)), row(a.max(b)));
        let thick = isize::from(heavy);
        for y in a..=b.max(a + thick) {
            raster.dot(x, y, owner);
        }
    }
}

/// Moves sorted places apart to whole rows, at least one row each, all within
/// `height`.
pub(super) fn spread(wanted: &[f64], height: u16) -> Vec<u16> {
    let mut rows: Vec<i32> = Vec::with_capacity(wanted.len());
    for place in wanted {
        let row = place.floor() as i32;
        rows.push(rows.last().map_or(row, |before| row.max(before + 1)));
    }
    let mut limit = i32::from(height);
    for row in rows.iter_mut().rev() {
        *row = (*row).min(limit - 1);
        limit = *row;
    }
    rows.into_iter().map(|row| u16::try_from(row.max(0)).unwrap_or(0)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_move_apart_and_stay_inside() {
        assert_eq!(spread(&[1.0, 1.2, 1.3], 10), vec![1, 2, 3]);
        assert_eq!(spread(&[9.0, 9.0, 9.0], 10), vec![7, 8, 9]);
        assert_eq!(spread(&[0.0, 0.0, 9.0], 3), vec![0, 1, 2]);
        assert!(spread(&[], 3).is_empty());
    }
}
