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
//!      ├─ layers ─ table, heat, detail
//!      ├─ correlation ─ scatter, coefficients, what they say
//!      ├─ compare ── curves, scatter, paired differences
//!      ├─ setup ── form, browser, demo menu
//!      ├─ library          the runs there are
//!      ├─ ask              the form that asks for a measurement
//!      ├─ doctor           budget, candidates, best edit and control
//!      ├─ save             the form that writes a checkpoint
//!      ├─ log              notices and log lines, where it is no pane
//!      ├─ help             from the keymap
//!      └─ question         over everything
//! ```

pub mod ask;
pub mod chart;
pub mod columns;
pub mod compare;
pub mod correlation;
pub mod curves;
pub mod doctor;
pub mod frame;
pub mod glyphs;
pub mod header;
pub mod heat;
pub mod layers;
pub mod library;
pub mod live;
pub mod log;
pub mod numbers;
pub mod paint;
pub mod popup;
pub mod raster;
pub mod save;
pub mod scatter;
pub mod setup;
pub mod table;
pub mod theme;

use ratatui::Frame;
use ratatui::layout::Rect;

use crate::app::{Model, Pick, Screen, Tab};
pub use theme::Theme;

/// Draws the whole screen.
pub fn view(model: &Model, theme: &Theme, frame: &mut Frame<'_>) {
    let area = frame.area();
    let buffer = frame.buffer_mut();
    buffer.set_style(area, theme.ground());
    let cursor = match model.screen {
        Screen::Live => {
            match model.tab {
                Tab::Live => live::draw(model, theme, area, buffer),
                Tab::Layers => layers::draw(model, theme, area, buffer),
                Tab::Correlation => correlation::draw(model, theme, area, buffer),
                Tab::Compare => compare::draw(model, theme, area, buffer),
            }
            ask::draw(model, theme, area, buffer);
            save::draw(model, theme, area, buffer);
            doctor::draw(model, theme, area, buffer);
            None
        }
        Screen::Setup => setup::draw(model, theme, area, buffer),
        Screen::Library => library::draw(model, theme, area, buffer),
    };
    log::page(model, theme, area, buffer);
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
        Screen::Live => match model.tab {
            Tab::Live => live::hit(model, theme, area, x, y),
            Tab::Layers => layers::hit(model, theme, area, x, y),
            Tab::Correlation => correlation::hit(model, theme, area, x, y),
            Tab::Compare => compare::hit(model, theme, area, x, y),
        },
        Screen::Setup | Screen::Library => None,
    }
}
