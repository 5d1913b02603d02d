//! Drawing with ratatui, and nothing else: `view(&Model, &Theme, &mut Frame)`.
//! No state, no clock, no keys.
//!
//! ```text
//! view ── live ── header   names, state, progress, gain and verdict
//!      │       ├─ chart    curves with bands, end labels, cursor
//!      │       ├─ curves   a row or a card for each dataset
//!      │       ├─ table    α × dataset, every exact number
//!      │       ├─ numbers  the smallest screens
//!      │       └─ log      notices and log lines
//!      ├─ setup ── form, browser, demo menu
//!      ├─ help             from the keymap
//!      └─ question         over everything
//! ```

pub mod chart;
pub mod curves;
pub mod glyphs;
pub mod header;
pub mod live;
pub mod log;
pub mod numbers;
pub mod paint;
pub mod popup;
pub mod raster;
pub mod setup;
pub mod table;
pub mod theme;

use ratatui::Frame;
use ratatui::layout::Rect;

use crate::app::{Model, Pick, Screen};
pub use theme::Theme;

/// Draws the whole screen.
pub fn view(model: &Model, theme: &Theme, frame: &mut Frame<'_>) {
    let area = frame.area();
    let buffer = frame.buffer_mut();
    buffer.set_style(area, theme.ground());
    let cursor = match model.screen {
        Screen::Live => {
            live::draw(model, theme, area, buffer);
            None
        }
        Screen::Setup => setup::draw(model, theme, area, buffer),
    };
    popup::help(model, theme, area, buffer);
    popup::question(model, theme, area, buffer);
    if let Some(cursor) = cursor {
        frame.set_cursor_position(cursor);
    }
}

/// What a click at column `x`, row `y` means.
#[must_use]
pub fn hit(model: &Model, theme: &Theme, x: u16, y: u16) -> Option<Pick> {
    let area = Rect::new(0, 0, model.size.0, model.size.1);
    match model.screen {
        Screen::Live => live::hit(model, theme, area, x, y),
        Screen::Setup => None,
    }
}
