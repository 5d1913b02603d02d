//! What the screens of a run have around their own parts: the head above, hints
//! below, a margin and air where there is room.

use ratatui::layout::Rect;

use crate::app::Model;
use crate::app::live::SMALLEST;

use super::{header, paint};

/// Where these stand, and what they leave.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Frame {
    /// Too small for more than the numbers.
    pub small: bool,
    /// High enough for empty lines between parts.
    pub airy: bool,
    /// All of it, without the margin.
    pub area: Rect,
    /// … and without the hints.
    pub above_foot: Rect,
    /// Screens, progress, both ends; two lines of it where it is small.
    pub head: Rect,
    /// What is the screen's own.
    pub body: Rect,
    /// Hints.
    pub foot: Rect,
}

impl Frame {
    /// On a screen of this size.
    #[must_use]
    pub fn of(model: &Model, area: Rect) -> Self {
        let small = area.width < SMALLEST.0 || area.height < SMALLEST.1;
        let area = if small { area } else { paint::inset(area, 1) };
        let airy = area.height >= 28;
        let (above_foot, foot) = paint::bottom(area, u16::from(area.height >= 6));
        let head = if small { area.height.min(2) } else { header::rows(model) };
        let (head, body) = paint::top(above_foot, head);
        let (_, body) = paint::top(body, u16::from(airy));
        Self { small, airy, area, above_foot, head, body, foot }
    }
}
