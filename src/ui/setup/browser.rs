//! The file browser.

use std::path::Path;

use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};
use ratatui::text::{Line, Span};

use crate::app::setup::{Browser, Item, Known, State, Wanted};
use crate::ui::curves::window;
use crate::ui::paint;
use crate::ui::theme::{Ink, Theme};

use super::{cut_front, data_facts, file_facts, known, near, size, typed};

/// Columns of a file's size.
const SIZE: usize = 8;
/// From this width on, what a file is stands beside its name.
const BESIDE: u16 = 70;

pub(super) fn draw(
    state: &State,
    browser: &Browser,
    theme: &Theme,
    area: Rect,
    buffer: &mut Buffer,
) -> Position {
    let (head, rest) = paint::top(area, 1);
    paint::line(
        buffer,
        head,
        0,
        &Line::styled(
            paint::cut(theme, browser.wanted.title(), usize::from(head.width)),
            theme.strong(),
        ),
    );
    let (place, rest) = paint::top(rest, 1);
    let folder =
        if browser.recent { "folders of late".to_string() } else { state.short(&browser.dir) };
    paint::line(
        buffer,
        place,
        0,
        &Line::styled(cut_front(theme, &folder, usize::from(place.width)), theme.dim()),
    );
    let (input, rest) = paint::top(rest, 1);
    let prompt = if browser.typing_path() { "path " } else { "find " };
    paint::line(buffer, input, 0, &Line::styled(prompt, theme.key()));
    let (_, field) = paint::side(input, input.width.saturating_sub(5));
    let cursor = typed(&browser.typed, theme, field, buffer);

    let about = about(state, browser, theme);
    let room = if rest.height >= 10 { 2 } else { 1 };
    let (list, foot) = paint::bottom(rest, room);
    let about = about.iter().rev().take(usize::from(room)).rev();
    for (i, (text, ink)) in about.enumerate() {
        let text = if i == 0 && room > 1 {
            cut_front(theme, text, usize::from(foot.width))
        } else {
            paint::cut(theme, text, usize::from(foot.width))
        };
        paint::line(
            buffer,
            foot,
            u16::try_from(i).unwrap_or(u16::MAX),
            &Line::styled(text, theme.ink(*ink)),
        );
    }
    rows(state, browser, theme, list, buffer);
    cursor
}

fn rows(state: &State, browser: &Browser, theme: &Theme, area: Rect, buffer: &mut Buffer) {
    let items = browser.items();
    let word = match &browser.listing {
        Known::Reading(_) => Some((format!("reading{}", theme.glyphs.more), Ink::Dim)),
        Known::Failed(why) => Some((format!("{} {why}", theme.glyphs.fail), Ink::Bad)),
        Known::Ready(entries) if items.is_empty() => Some((
            if entries.is_empty() {
                "nothing is in here".into()
            } else {
                "nothing fits what is typed".into()
            },
            Ink::Dim,
        )),
        Known::Ready(_) => None,
    };
    let at = browser.at.min(items.len().saturating_sub(1));
    let shown = window(items.len(), usize::from(area.height), Some(at));
    let mut y = 0;
    for i in shown {
        let place = Rect { y: area.y + y, height: 1, ..area };
        if let Some(item) = items.get(i) {
            row(state, browser, *item, i == at, theme, place, buffer);
        }
        y += 1;
    }
    if let Some((text, ink)) = word {
        let text = paint::cut(theme, &text, usize::from(area.width).saturating_sub(2));
        paint::line(buffer, paint::inset(area, 1), y, &Line::styled(text, theme.ink(ink)));
    }
}

/// What the highlighted thing is, as far as it is known.
fn facts(
    state: &State,
    browser: &Browser,
    path: &Path,
    folder: bool,
    theme: &Theme,
) -> (String, Ink) {
    if browser.wanted.checkpoint() {
        if folder {
            return (String::new(), Ink::Dim);
        }
        let (text, ink) = known(state.probes.file(path), theme, |it| file_facts(it, false, theme));
        (near(&text, path), ink)
    } else {
        // A folder that is no dataset is nothing to worry about: look inside.
        match state.probes.data(path) {
            Some(Known::Failed(_)) if folder => ("no dataset itself".into(), Ink::Dim),
            other => known(other, theme, |it| data_facts(it, theme)),
        }
    }
}

fn row(
    state: &State,
    browser: &Browser,
    item: Item<'_>,
    chosen: bool,
    theme: &Theme,
    area: Rect,
    buffer: &mut Buffer,
) {
    if chosen {
        buffer.set_style(area.intersection(buffer.area), theme.raised());
    }
    let (name, bytes, fits, folder, path) = match item {
        Item::Here => (".  use this folder".to_string(), None, true, true, browser.dir.as_path()),
        Item::Up => ("..".to_string(), None, true, true, Path::new("")),
        Item::Entry(entry) if entry.folder => {
            (format!("{}/", entry.name), None, true, true, entry.path.as_path())
        }
        Item::Entry(entry) => (
            entry.name.clone(),
            Some(entry.bytes),
            browser.wanted.fits(entry),
            false,
            entry.path.as_path(),
        ),
    };
    let sign = if chosen { theme.glyphs.focus } else { " " };
    let total = usize::from(area.width);
    let beside = area.width >= BESIDE;
    let room = total.saturating_sub(2 + SIZE + 2);
    let name_room = if beside { (room * 2 / 5).clamp(20, 48).min(room) } else { room };
    let style = match (chosen, fits, folder) {
        (true, _, _) => theme.strong(),
        (_, false, _) => theme.faint(),
        (_, _, true) => theme.key(),
        _ => theme.text(),
    };
    let bytes = bytes.map(size).unwrap_or_default();
    let mut spans = vec![
        Span::styled(format!("{sign} "), theme.key()),
        Span::styled(paint::left(theme, &name, name_room), style),
        Span::styled(paint::right(theme, &bytes, SIZE + 1), theme.dim()),
        Span::raw(" "),
    ];
    if beside {
        let (text, ink) = facts(state, browser, path, folder, theme);
        spans.push(Span::raw(" "));
        spans.push(Span::styled(
            paint::cut(theme, &text, room.saturating_sub(name_room + 1)),
            theme.ink(ink),
        ));
    }
    paint::line(buffer, area, 0, &Line::from(spans));
}

/// The highlighted row in full: its path, then what it is and what Enter does.
fn about(state: &State, browser: &Browser, theme: &Theme) -> Vec<(String, Ink)> {
    let Some(path) = browser.path() else { return vec![] };
    let folder = !matches!(browser.item(), Some(Item::Entry(entry)) if !entry.folder);
    let facts = match browser.item() {
        Some(Item::Up) => ("the folder above".into(), Ink::Dim),
        Some(Item::Entry(entry)) if !browser.wanted.fits(entry) => match browser.wanted {
            Wanted::Dataset => {
                ("no dataset by its name; folders, .tar and .parquet may be".into(), Ink::Dim)
            }
            Wanted::Output => ("a file: runs go into folders".into(), Ink::Dim),
            _ => ("no checkpoint by its name".into(), Ink::Dim),
        },
        _ => facts(state, browser, &path, folder, theme),
    };
    vec![(path.display().to_string(), Ink::Dim), facts]
}
