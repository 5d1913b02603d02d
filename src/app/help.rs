//! What the help page says: the keymap's own words, and the signs of the screen.

use super::format::wrap;
use super::key::Key;
use super::keymap::{self, Context};
use super::look::spell;
use super::model::{Model, Screen};
use super::tab::Tab;

/// Columns of its box at most.
pub const WIDTH: u16 = 92;

/// Columns of the keys, before their words.
pub const KEYS: usize = 16;

/// One line of the page. Words that go on have no keys or sign beside them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// Nothing.
    Blank,
    /// Of the keys that follow.
    Heading(&'static str),
    /// Keys, and what they do.
    Keys(&'static [Key], String),
    /// A sign, and what it means.
    Sign(&'static str, String),
}

/// Columns inside the box, on a screen so wide.
#[must_use]
pub fn columns(width: u16) -> usize {
    usize::from(width.min(WIDTH)).saturating_sub(4)
}

/// The page of the screen that is up, so wide.
#[must_use]
pub fn page(model: &Model, columns: usize) -> Vec<Line> {
    let room = columns.saturating_sub(KEYS + 1).max(8);
    let mut lines = Vec::new();
    let contexts: &[Context] = match model.screen {
        Screen::Live => match model.tab {
            Tab::Live => &[
                Context::Live,
                Context::Run,
                Context::Save,
                Context::Doctor,
                Context::Global,
                Context::Dialog,
            ],
            Tab::Layers => &[
                Context::Layers,
                Context::Run,
                Context::Filter,
                Context::Ask,
                Context::Doctor,
                Context::Global,
                Context::Dialog,
            ],
            Tab::Correlation => {
                &[Context::Correlation, Context::Run, Context::Ask, Context::Global]
            }
            Tab::Compare => &[
                Context::Compare,
                Context::Run,
                Context::Open,
                Context::Save,
                Context::Doctor,
                Context::Global,
                Context::Dialog,
            ],
        },
        Screen::Library => {
            &[Context::Library, Context::LibraryText, Context::Global, Context::Dialog]
        }
        Screen::Setup => &[
            Context::Setup,
            Context::Browser,
            Context::Text,
            Context::Demos,
            Context::Global,
            Context::Help,
        ],
    };
    for context in contexts {
        if !lines.is_empty() {
            lines.push(Line::Blank);
        }
        lines.push(Line::Heading(context.title()));
        for row in keymap::rows(*context) {
            for (i, part) in wrap(row.help, room).into_iter().enumerate() {
                lines.push(Line::Keys(if i == 0 { row.keys } else { &[] }, part));
            }
        }
    }
    if model.screen != Screen::Live {
        return lines;
    }
    lines.extend([Line::Blank, Line::Heading("Signs")]);
    for &(sign, text) in signs(model.tab) {
        let text = spell(model.look.charset, text);
        for (i, part) in wrap(&text, room).into_iter().enumerate() {
            lines.push(Line::Sign(if i == 0 { sign } else { "" }, part));
        }
    }
    lines
}

fn signs(tab: Tab) -> &'static [(&'static str, &'static str)] {
    match tab {
        Tab::Live => &[
            ("bands", "95 % intervals: they shrink as images stream in"),
            ("dotted", "points between are not measured yet"),
            ("gain", "best point between the ends minus the better end, in points"),
            ("barrier", "how far the path dips under the straight line between its ends"),
        ],
        Tab::Layers | Tab::Correlation => &[
            (
                "S, S/L",
                "sharpness: rise of the loss, and over the loss itself; ± is its standard error",
            ),
            ("straggler", "S sharpness, B barrier, D distance, R rise: which criterion fired"),
            ("*", "some weights are 0 and never perturbed: sharpness is low for no other reason"),
            ("z", "robust deviations above the median layer of the same tower"),
        ],
        Tab::Compare => &[
            ("less dense", "paired on the same images: the interval holds 0 or it does not"),
            ("~", "another run's other images, or another order: two means, not pairs"),
            ("dropped", "measured no more; what is measured stays, space takes it back"),
        ],
    }
}
