//! The doctor's panel: budget, candidates, the best edit and its control.
//!
//! ```text
//! stage, in words
//! 7 of 16 edits tried on 676 OOD images, judged on 1641 others
//! edit                      tuning part            the rest
//! doctor: reset block.1.mlp +0.9 [−0.1, +1.9]      +0.7 [−0.4, +1.7]
//! verdict
//! ```

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};

use crate::app::format::{signed, wrap};
use crate::app::{Key, Model};
use crate::plural;
use crate::sweep::doctor::{Finding, Findings, Group};
use crate::sweep::stats::Interval;

use super::popup::{boxed, key_sign};
use super::theme::{Ink, Theme};
use super::{columns, paint};
use columns::Column;

/// Draws it over the screen, where it is open.
pub fn draw(model: &Model, theme: &Theme, area: Rect, buffer: &mut Buffer) {
    if !model.doctor {
        return;
    }
    let rows = model.findings.as_ref().map_or(5, |it| listed(it).len() + 12);
    let height = u16::try_from(rows).unwrap_or(u16::MAX);
    let title = "Doctor: does an edit of a straggler repair the path?";
    let inside = boxed(theme, area, (area.width.min(86), height.min(area.height)), title, buffer);
    let columns = usize::from(inside.width);
    let (body, foot) = paint::bottom(inside, 1);
    let mut y = 0;
    let mut say = |text: &str, style: Style, body: Rect, buffer: &mut Buffer| {
        for text in wrap(&theme.spell(text), columns.max(8)) {
            paint::line(buffer, body, y, &Line::styled(text, style));
            y = y.saturating_add(1);
        }
        y
    };
    let (text, ink) = stage(model);
    say(&text, theme.ink(ink), body, buffer);
    let Some(it) = &model.findings else {
        return answers(theme, false, foot, buffer);
    };
    let (done, all) = it.tried;
    let (tuning, rest) = it.images;
    let budget = format!(
        "{done} of {} tried on {}; the clearest of either group is judged \
         on the other {rest}",
        plural::counted(all, "edit"),
        plural::counted(tuning, "OOD image")
    );
    let y = say(&budget, theme.dim(), body, buffer);
    let (_, below) = paint::top(body, y + u16::from(body.height > y + 8));
    let said = verdict(model, it);
    let lines: Vec<String> =
        said.iter().flat_map(|(text, _)| wrap(&theme.spell(text), columns.max(8))).collect();
    let last = u16::try_from(lines.len()).unwrap_or(u16::MAX);
    let (list, end) = paint::bottom(below, last.min(below.height));
    table(model, theme, it, list, buffer);
    let mut y = 0;
    for (text, ink) in said {
        for text in wrap(&theme.spell(&text), columns.max(8)) {
            paint::line(buffer, end, y, &Line::styled(text, theme.ink(ink)));
            y += 1;
        }
    }
    answers(theme, it.best.is_some(), foot, buffer);
}

fn answers(theme: &Theme, any: bool, area: Rect, buffer: &mut Buffer) {
    let mut all = Vec::new();
    if any {
        all.push(vec![
            Span::styled(" enter ", theme.chip(Ink::Accent)),
            Span::styled(" compare", theme.text()),
        ]);
    }
    all.push(vec![
        Span::styled(key_sign(theme, Key::Esc), theme.key()),
        Span::styled(" go back, the search goes on", theme.text()),
    ]);
    paint::line(buffer, area, 0, &paint::parts(theme, all, usize::from(area.width)));
}

/// What it does now.
fn stage(model: &Model) -> (String, Ink) {
    let asked = model.live.requested.doctor;
    let over = !model.running();
    match &model.findings {
        None if asked => ("asked; not in force yet".into(), Ink::Warn),
        None => ("not asked for".into(), Ink::Dim),
        Some(it) if judged(it) => ("done".into(), Ink::Good),
        Some(_) if over => ("interrupted: it goes on when the run is resumed".into(), Ink::Warn),
        Some(it) if it.trials.is_empty() => (
            "first the dense path and its probes are measured: they tell the stragglers".into(),
            Ink::Text,
        ),
        Some(it) if it.tried.0 < it.tried.1 => ("tries edits".into(), Ink::Text),
        Some(_) => ("measures the chosen edits on every image".into(), Ink::Text),
    }
}

fn judged(it: &Findings) -> bool {
    let whole = |it: &Option<Finding>| it.as_ref().is_none_or(|it| it.gain.is_some());
    it.best.is_some() && it.tried.0 == it.tried.1 && whole(&it.best) && whole(&it.control)
}

/// Stragglers before controls, the clearest gain of the tuning part first.
fn listed(it: &Findings) -> Vec<&(Group, Finding)> {
    let mut all: Vec<_> = it.trials.iter().collect();
    let clear = |it: &Finding| it.tuned.value / it.tuned.half().max(f64::MIN_POSITIVE);
    all.sort_by(|a, b| {
        let control = |it: &(Group, Finding)| it.0 == Group::Control;
        control(a).cmp(&control(b)).then(clear(&b.1).total_cmp(&clear(&a.1)))
    });
    all
}

fn points(theme: &Theme, it: Option<Interval>) -> String {
    let Some(it) = it else { return theme.glyphs.absent.to_string() };
    let text = format!("{} [{}, {}]", signed(it.value), signed(it.lo), signed(it.hi));
    theme.spell(&text).into_owned()
}

fn table(model: &Model, theme: &Theme, it: &Findings, area: Rect, buffer: &mut Buffer) {
    if area.height < 2 {
        return;
    }
    let wide = usize::from(area.width.saturating_sub(42)).clamp(12, 40);
    let list = columns::fit(
        vec![
            Column::new(theme, "edit", wide, 0, false),
            Column::new(theme, "tuning part", 19, 2, true),
            Column::new(theme, "the rest", 19, 1, true),
        ],
        0,
        usize::from(area.width),
    );
    paint::line(buffer, area, 0, &columns::heading(theme, &list));
    for (y, (_, row)) in (1..area.height).zip(listed(it)) {
        let name = model.run.variants().get(row.variant.index());
        let name = name.map_or_else(String::new, |it| it.name.clone());
        let chosen = |it: &Option<Finding>| it.as_ref().is_some_and(|it| it.variant == row.variant);
        let style =
            if chosen(&it.best) || chosen(&it.control) { theme.strong() } else { theme.text() };
        let ink = match row.gain {
            Some(it) if it.lo > 0.0 => theme.ink(Ink::Good),
            Some(it) if it.hi < 0.0 => theme.ink(Ink::Bad),
            _ => theme.dim(),
        };
        let cells = vec![
            (theme.spell(&name).into_owned(), style),
            (points(theme, Some(row.tuned)), theme.dim()),
            (points(theme, row.gain), ink),
        ];
        paint::line(buffer, area, y, &columns::row(theme, &list, cells));
    }
}

/// What is found, once it is judged.
fn verdict(model: &Model, it: &Findings) -> Vec<(String, Ink)> {
    let name = |it: &Finding| {
        let known = model.run.variants().get(it.variant.index());
        known.map_or_else(String::new, |it| it.name.clone())
    };
    let mut said = Vec::new();
    match (&it.best, it.helps()) {
        (Some(best), Some(true)) => {
            said.push((format!("it helps: {} is proposed", name(best)), Ink::Good));
        }
        (Some(_), Some(false)) => {
            said.push(("no help shown: nothing is proposed".to_string(), Ink::Warn));
        }
        _ => return said,
    }
    if let Some(over) = it.over_control {
        let word = if over.lo > 0.0 { "beats" } else { "does not beat" };
        let text = format!(
            "it {word} the same edits of random other layers: {} points [{}, {}] between the best \
             of either",
            signed(over.value),
            signed(over.lo),
            signed(over.hi)
        );
        said.push((text, Ink::Text));
    }
    said
}
