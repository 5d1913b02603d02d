//! The live screen.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::Line;

use crate::app::Model;

use super::paint;
use super::theme::Theme;

/// Draws the live screen.
pub fn draw(model: &Model, theme: &Theme, area: Rect, buffer: &mut Buffer) {
    let title =
        Line::styled(format!("{} {}", model.board.zeroshot, model.board.finetuned), theme.strong());
    paint::line(buffer, area, 0, &title);
}
