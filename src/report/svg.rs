//! The curves as a figure: accuracy against α with confidence bands, a label at
//! the end of each curve, both ends of the axis named. Variants follow below, each
//! in a panel with the same axes, beside the dense model's OOD mean.

use std::fmt::Write;

use crate::sweep::ids::{AlphaId, CellId, DatasetId, VariantId};
use crate::sweep::spec::Role;
use crate::sweep::state::SweepState;
use crate::sweep::stats::signed;
use crate::sweep::stats::{self, Interval, accuracy, best_alpha, ood_mean};

const WIDTH: f64 = 860.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 650.0;
const TOP: f64 = 92.0;
const BOTTOM: f64 = 430.0;
/// With one panel.
const HEIGHT: f64 = 520.0;
/// From one panel to the next.
const PANEL: f64 = 410.0;
/// Distance of two labels, at least.
const APART: f64 = 16.0;

/// Okabe & Ito's colours without black (the mean's) and yellow (unreadable on
/// white).
const COLOURS: [&str; 6] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"];
/// Line patterns, so that colour is not alone; a new one after each six.
const DASHES: [&str; 3] = ["", "6 3", "2 3"];

struct Curve {
    name: String,
    colour: &'static str,
    dash: &'static str,
    width: f64,
    /// α and accuracy in percent.
    points: Vec<(f64, Interval)>,
}

/// The curves of one variant.
struct Panel<'a> {
    id: VariantId,
    name: &'a str,
    curves: Vec<Curve>,
}

/// From data to the page.
struct Axes {
    x: (f64, f64),
    y: (f64, f64),
    /// Distance of two grid lines.
    step: f64,
}

impl Axes {
    fn x(&self, value: f64) -> f64 {
        LEFT + (RIGHT - LEFT) * (value - self.x.0) / (self.x.1 - self.x.0)
    }

    fn y(&self, value: f64) -> f64 {
        BOTTOM - (BOTTOM - TOP) * (value - self.y.0) / (self.y.1 - self.y.0)
    }

    /// As a path has it.
    fn at(&self, alpha: f64, value: f64) -> String {
        format!("{:.1} {:.1}", self.x(alpha), self.y(value))
    }
}

/// The figure. Without any result: axes and words only.
pub(super) fn svg(state: &SweepState) -> String {
    let mut text = String::new();
    let Some(header) = state.header() else { return text };
    let panels = panels(state);
    let axes = axes(state, panels.iter().flat_map(|panel| &panel.curves));
    let height = HEIGHT + PANEL * (panels.len() - 1) as f64;
    // Writing to a string cannot fail.
    let _ = writeln!(
        text,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" \
         viewBox=\"0 0 {WIDTH} {height}\" font-family=\"Inter, Helvetica, Arial, 'DejaVu Sans', \
         sans-serif\" font-size=\"12\" fill=\"#222\">\n<title>{}</title>\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>",
        escape(&format!("{} → {}", header.zeroshot, header.finetuned))
    );
    words(&mut text, state);
    for (index, panel) in panels.iter().enumerate() {
        let _ = writeln!(text, "<g transform=\"translate(0 {})\">", PANEL * index as f64);
        if panels.len() > 1 {
            caption(&mut text, state, panel);
        }
        frame(&mut text, state, &axes);
        best(&mut text, state, panel.id, &axes);
        for curve in &panel.curves {
            band(&mut text, curve, &axes);
        }
        for curve in &panel.curves {
            line(&mut text, curve, &axes);
        }
        labels(&mut text, &panel.curves, &axes);
        if index + 1 == panels.len() {
            ends(&mut text, state, &axes);
        }
        text.push_str("</g>\n");
    }
    text.push_str("</svg>\n");
    text
}

/// The dense model first, then every variant of which something is known. The
/// doctor's trials are no variants to show: they see a part of the images.
fn panels(state: &SweepState) -> Vec<Panel<'_>> {
    let mut all = Vec::new();
    for (index, variant) in state.variants().iter().enumerate() {
        let id = VariantId(index);
        let mut curves = curves(state, id);
        if id != VariantId::DENSE {
            if curves.is_empty() || state.is_on_trial(id) {
                continue;
            }
            curves.extend(mean_of_dense(state));
        }
        all.push(Panel { id, name: &variant.name, curves });
    }
    if all.is_empty() {
        all.push(Panel { id: VariantId::DENSE, name: "dense", curves: Vec::new() });
    }
    all
}

/// What a variant is compared with.
fn mean_of_dense(state: &SweepState) -> Option<Curve> {
    let points = points(state, |alpha| ood_mean(state, VariantId::DENSE, alpha));
    (!points.is_empty()).then(|| Curve {
        name: "OOD mean, dense".into(),
        colour: "#767676",
        dash: "1 4",
        width: 2.2,
        points,
    })
}

/// α and percent, where something is known.
fn points(state: &SweepState, value: impl Fn(AlphaId) -> Option<Interval>) -> Vec<(f64, Interval)> {
    let grid = state.alphas().iter().enumerate();
    grid.filter_map(|(i, point)| Some((point.get(), value(AlphaId(i))?.scaled(100.0)))).collect()
}

fn curves(state: &SweepState, variant: VariantId) -> Vec<Curve> {
    let mut all = Vec::new();
    for (index, info) in state.datasets().iter().enumerate() {
        let dataset = DatasetId(index);
        let role = match info.role {
            _ if state.is_skipped(dataset) => "skipped",
            Role::Id => "ID",
            Role::Ood => "OOD",
        };
        all.push(Curve {
            name: format!("{} ({role})", clipped(&info.name, 20)),
            colour: COLOURS[index % COLOURS.len()],
            dash: DASHES[index / COLOURS.len() % DASHES.len()],
            width: 1.8,
            points: points(state, |alpha| accuracy(state, CellId { variant, dataset, alpha })),
        });
    }
    if stats::ood_datasets(state).len() > 1 {
        all.push(Curve {
            name: "OOD mean".into(),
            colour: "#000000",
            dash: "",
            width: 3.4,
            points: points(state, |alpha| ood_mean(state, variant, alpha)),
        });
    }
    all.retain(|curve| !curve.points.is_empty());
    all
}

fn axes<'a>(state: &SweepState, curves: impl Iterator<Item = &'a Curve> + Clone) -> Axes {
    let known = curves.flat_map(|curve| &curve.points);
    let lo = known.clone().map(|(_, it)| it.lo).fold(f64::INFINITY, f64::min);
    let hi = known.map(|(_, it)| it.hi).fold(f64::NEG_INFINITY, f64::max);
    let y = if lo <= hi { (lo, hi) } else { (0.0, 100.0) };
    let step = step(y.1 - y.0);
    let y = ((y.0 / step).floor() * step, (y.1 / step).ceil() * step);
    let first = state.alphas().first().map_or(0.0, |alpha| alpha.get());
    let last = state.alphas().last().map_or(1.0, |alpha| alpha.get());
    let x = if first < last { (first, last) } else { (first - 0.5, first + 0.5) };
    Axes { x, y: if y.0 < y.1 { y } else { (y.0 - step, y.1 + step) }, step }
}

/// A round distance of about five lines over `span`.
fn step(span: f64) -> f64 {
    let steps = [0.5, 1.0, 2.0, 5.0, 10.0, 20.0];
    steps.into_iter().find(|step| span / step <= 6.0).unwrap_or(20.0)
}

/// What stands above the curves.
fn words(text: &mut String, state: &SweepState) {
    let Some(header) = state.header() else { return };
    let title = format!("Accuracy from {} to {}", header.zeroshot, header.finetuned);
    let _ = writeln!(
        text,
        "<text x=\"{LEFT}\" y=\"28\" font-size=\"17\" font-weight=\"bold\">{}</text>",
        escape(&clipped(&title, 84))
    );
    let (done, total) = state.work();
    let partial = match (100 * done).checked_div(total) {
        Some(percent) if done < total => format!(" · partial: {percent} % measured"),
        _ => String::new(),
    };
    let judged = judged(state, VariantId::DENSE);
    let second = format!("{judged} · {}{partial}", header.architecture);
    let mut y = 48;
    for line in [Some(second.as_str()), header.label.as_deref()].into_iter().flatten() {
        let style = if y == 48 { "" } else { " font-weight=\"bold\"" };
        let line = escape(&clipped(line, 125));
        let _ = writeln!(text, "<text x=\"{LEFT}\" y=\"{y}\"{style}>{line}</text>");
        y += 20;
    }
}

/// The gain and the verdict in one line.
fn judged(state: &SweepState, variant: VariantId) -> String {
    let judged = stats::judge(state, variant);
    let gain = judged.gain.as_ref().map_or(String::new(), |gain| {
        let Interval { value, lo, hi } = gain.points;
        let (value, lo, hi) = (signed(value), signed(lo), signed(hi));
        format!("RFT gain {value} points (95 %: {lo} to {hi}) · ")
    });
    format!("{gain}{}", judged.verdict.words())
}

/// A panel's name and what came of it; of the dense one that stands above all.
fn caption(text: &mut String, state: &SweepState, panel: &Panel<'_>) {
    let said = match panel.id {
        VariantId::DENSE => String::new(),
        id => format!(" · {}", judged(state, id)),
    };
    let _ = writeln!(
        text,
        "<text x=\"{LEFT}\" y=\"{}\"><tspan font-weight=\"bold\" font-size=\"13\">{}</tspan>{}</text>",
        TOP - 8.0,
        escape(&clipped(panel.name, 40)),
        escape(&said)
    );
}

/// Where the OOD mean is highest.
fn best(text: &mut String, state: &SweepState, variant: VariantId, axes: &Axes) {
    let best = best_alpha(state, variant).and_then(|id| state.alphas().get(id.index()));
    if let Some(best) = best {
        let x = axes.x(best.get());
        let _ = writeln!(
            text,
            "<path d=\"M{x:.1} {TOP}V{BOTTOM}\" stroke=\"#888\" stroke-dasharray=\"2 3\"/>"
        );
    }
}

/// Axes and grid lines.
fn frame(text: &mut String, state: &SweepState, axes: &Axes) {
    let step = axes.step;
    let lines = ((axes.y.1 - axes.y.0) / step).round() as usize;
    for i in 0..=lines {
        let value = axes.y.0 + step * i as f64;
        let y = axes.y(value);
        let digits = usize::from(step < 1.0);
        let _ = writeln!(
            text,
            "<path d=\"M{LEFT} {y:.1}H{RIGHT}\" stroke=\"#ddd\"/>\n<text x=\"{:.1}\" y=\"{:.1}\" \
             text-anchor=\"end\">{value:.digits$}</text>",
            LEFT - 8.0,
            y + 4.0
        );
    }
    let _ = writeln!(
        text,
        "<text transform=\"translate(20 {:.1}) rotate(-90)\" text-anchor=\"middle\">top-1 accuracy, \
         %</text>\n<path d=\"M{LEFT} {BOTTOM}H{RIGHT}\" stroke=\"#444\"/>",
        (TOP + BOTTOM) / 2.0
    );
    let mut free = f64::NEG_INFINITY;
    for point in state.alphas() {
        let x = axes.x(point.get());
        let _ = writeln!(
            text,
            "<path d=\"M{x:.1} {BOTTOM}v{}\" stroke=\"#444\"/>",
            if point.is_end() { 8 } else { 5 }
        );
        // A dense grid has more points than room for numbers.
        if x >= free || point.is_end() {
            free = x + 32.0;
            let y = BOTTOM + 20.0;
            let number = point.short();
            let _ = writeln!(
                text,
                "<text x=\"{x:.1}\" y=\"{y}\" text-anchor=\"middle\">{number}</text>"
            );
        }
    }
}

/// What stands below the last panel: names of the ends, and what is drawn how.
fn ends(text: &mut String, state: &SweepState, axes: &Axes) {
    let Some(header) = state.header() else { return };
    let y = BOTTOM + 40.0;
    for (end, anchor, word, name) in [
        (0.0, "start", "zero-shot", &header.zeroshot),
        (1.0, "end", "fine-tuned", &header.finetuned),
    ] {
        if !(axes.x.0..=axes.x.1).contains(&end) {
            continue;
        }
        let x = axes.x(end);
        let name = escape(&clipped(name, 34));
        let _ = writeln!(
            text,
            "<text x=\"{x:.1}\" y=\"{y}\" text-anchor=\"{anchor}\" font-weight=\"bold\">{word}</text>\n\
             <text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\">{name}</text>",
            y + 16.0
        );
    }
    let _ = writeln!(
        text,
        "<text x=\"{:.1}\" y=\"{y}\" text-anchor=\"middle\">α</text>\n<text x=\"{LEFT}\" y=\"{:.1}\" \
         font-size=\"10.5\" fill=\"#666\">bands: 95 % intervals{}</text>",
        (LEFT + RIGHT) / 2.0,
        HEIGHT - 12.0,
        if stats::ood_datasets(state).is_empty() {
            ""
        } else {
            " · upright dots: the best of all α for OOD"
        }
    );
}

/// Behind every line, so that none is tinted.
fn band(text: &mut String, curve: &Curve, axes: &Axes) {
    let upper = curve.points.iter().map(|(alpha, it)| axes.at(*alpha, it.hi));
    let lower = curve.points.iter().rev().map(|(alpha, it)| axes.at(*alpha, it.lo));
    let band: Vec<String> = upper.chain(lower).collect();
    let _ = writeln!(
        text,
        "<path d=\"M{}Z\" fill=\"{}\" fill-opacity=\"0.13\"/>",
        band.join("L"),
        curve.colour
    );
}

fn line(text: &mut String, curve: &Curve, axes: &Axes) {
    let line = curve.points.iter().map(|(alpha, it)| axes.at(*alpha, it.value));
    let line = line.collect::<Vec<_>>().join("L");
    let Curve { colour, dash, width, .. } = curve;
    let dash =
        if dash.is_empty() { String::new() } else { format!(" stroke-dasharray=\"{dash}\"") };
    let _ = writeln!(
        text,
        "<path d=\"M{line}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"{width}\" \
         stroke-linejoin=\"round\"{dash}/>"
    );
    for (alpha, it) in &curve.points {
        let (x, y) = (axes.x(*alpha), axes.y(it.value));
        let radius = width * 0.6 + 1.2;
        let _ = writeln!(
            text,
            "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{radius:.1}\" fill=\"{colour}\"/>"
        );
    }
}

/// Names at the curves' right ends, pushed apart, each tied to its end.
fn labels(text: &mut String, curves: &[Curve], axes: &Axes) {
    let mut ends: Vec<(f64, f64, &Curve)> = curves
        .iter()
        .filter_map(|curve| {
            let (alpha, it) = curve.points.last()?;
            Some((axes.x(*alpha), axes.y(it.value), curve))
        })
        .collect();
    ends.sort_by(|a, b| a.1.total_cmp(&b.1));
    let places = apart(&ends.iter().map(|end| end.1).collect::<Vec<_>>());
    for ((x, y, curve), place) in ends.into_iter().zip(places) {
        let value = curve.points.last().map_or(0.0, |(_, it)| it.value);
        let colour = curve.colour;
        let weight = if curve.width > 3.0 { " font-weight=\"bold\"" } else { "" };
        let _ = writeln!(
            text,
            "<path d=\"M{:.1} {y:.1}L{:.1} {place:.1}h6\" fill=\"none\" stroke=\"{colour}\" \
             stroke-width=\"0.8\"/>\n<text x=\"{:.1}\" y=\"{:.1}\"{weight}>{} {value:.1}</text>",
            x + 5.0,
            RIGHT + 14.0,
            RIGHT + 24.0,
            place + 4.0,
            escape(&curve.name)
        );
    }
}

/// Ascending places at least [`APART`] apart and near where they are wanted
/// (also ascending): groups that touch are spread about their middle.
fn apart(wanted: &[f64]) -> Vec<f64> {
    // A group: its members' number, and the sum of where each wants the group's
    // first to be.
    let mut groups: Vec<(usize, f64)> = Vec::new();
    let start = |group: &(usize, f64)| group.1 / group.0 as f64;
    for &place in wanted {
        let mut group = (1, place);
        while let Some(before) = groups.last() {
            let end = start(before) + APART * before.0 as f64;
            if end <= start(&group) {
                break;
            }
            let shift = APART * before.0 as f64 * group.0 as f64;
            group = (before.0 + group.0, before.1 + group.1 - shift);
            groups.pop();
        }
        groups.push(group);
    }
    let spread = |group: &(usize, f64)| {
        let first = start(group);
        (0..group.0).map(move |i| first + APART * i as f64)
    };
    groups.iter().flat_map(spread).collect()
}

fn clipped(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.into();
    }
    text.chars().take(most.saturating_sub(1)).chain(['…']).collect()
}

/// Text that XML holds; characters that XML 1.0 has no place for are left out.
fn escape(text: &str) -> String {
    let mut out = String::new();
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' | '\t' => out.push(' '),
            other if other.is_control() || matches!(other, '\u{fffe}' | '\u{ffff}') => {}
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_keep_their_order_and_distance() {
        assert_eq!(apart(&[10.0, 100.0]), [10.0, 100.0]);
        let places = apart(&[50.0, 50.0, 51.0, 200.0]);
        assert!(places.windows(2).all(|pair| pair[1] - pair[0] >= APART - 1e-9), "{places:?}");
        let middle = (places[0] + places[2]) / 2.0;
        assert!((middle - 151.0 / 3.0).abs() < 1e-9, "{places:?}");
        assert!(apart(&[]).is_empty());
    }

    #[test]
    fn xml_is_escaped() {
        assert_eq!(escape("a<b & \"c\"\u{0}\n"), "a&lt;b &amp; &quot;c&quot; ");
    }
}
