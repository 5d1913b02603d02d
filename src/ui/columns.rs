//! Lists in columns: what is dropped when space is short, and rows of it.

use ratatui::style::Style;
use ratatui::text::{Line, Span};

use super::paint;
use super::theme::Theme;

/// One column of a list.
#[derive(Clone, Debug)]
pub struct Column {
    /// Heading, spelled.
    pub title: String,
    /// Columns of the terminal.
    pub width: usize,
    /// Dropped from the highest number on when space is short; 0 stays.
    pub rank: u8,
    /// Numbers end at the right.
    pub right: bool,
}

impl Column {
    /// A column, at least as wide as its title, which is spelled by the theme.
    #[must_use]
    pub fn new(theme: &Theme, title: &str, width: usize, rank: u8, right: bool) -> Self {
        let title = theme.spell(title).into_owned();
        Self { width: width.max(paint::width(&title)), title, rank, right }
    }
}

/// The columns that fit into `room`, one apart; `None` where one is dropped.
/// What is still too wide after that comes off the column `name`.
#[must_use]
pub fn fit(columns: Vec<Column>, name: usize, room: usize) -> Vec<Option<Column>> {
    let mut all: Vec<Option<Column>> = columns.into_iter().map(Some).collect();
    let used = |all: &[Option<Column>]| all.iter().flatten().map(|it| it.width + 1).sum::<usize>();
    while used(&all) > room + 1 {
        let ranked = all.iter().enumerate().filter_map(|(i, it)| Some((it.as_ref()?.rank, i)));
        match ranked.max().filter(|(rank, _)| *rank > 0) {
            Some((_, i)) => all[i] = None,
            None => break,
        }
    }
    let over = used(&all).saturating_sub(room + 1);
    if let Some(Some(name)) = all.get_mut(name) {
        name.width = name.width.saturating_sub(over);
    }
    all
}

/// One row: a text for each column, dropped ones included.
#[must_use]
pub fn row(
    theme: &Theme,
    columns: &[Option<Column>],
    cells: Vec<(String, Style)>,
) -> Line<'static> {
    let mut spans = Vec::new();
    for (column, (text, style)) in columns.iter().zip(cells) {
        let Some(column) = column else { continue };
        let text = if column.right {
            paint::right(theme, &text, column.width)
        } else {
            paint::left(theme, &text, column.width)
        };
        spans.push(Span::styled(text, style));
        spans.push(Span::raw(" "));
    }
    spans.pop();
    Line::from(spans)
}

/// The row of headings.
#[must_use]
pub fn heading(theme: &Theme, columns: &[Option<Column>]) -> Line<'static> {
    let title = |it: &Option<Column>| it.as_ref().map_or(String::new(), |it| it.title.clone());
    row(theme, columns, columns.iter().map(|it| (title(it), theme.dim())).collect())
}
