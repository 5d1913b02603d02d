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
//!      ├─ setup            (another module's)
//!      ├─ help             from the keymap
//!      └─ question         over everything
//! ```

pub mod glyphs;
pub mod live;
pub mod paint;
pub mod theme;

use ratatui::Frame;

use crate::app::{Model, Screen};
pub use theme::Theme;

/// Draws the whole screen.
pub fn view(model: &Model, theme: &Theme, frame: &mut Frame<'_>) {
    let area = frame.area();
    let buffer = frame.buffer_mut();
    buffer.set_style(area, theme.ground());
    match model.screen {
        Screen::Live => live::draw(model, theme, area, buffer),
        Screen::Setup => {}
    }
}
