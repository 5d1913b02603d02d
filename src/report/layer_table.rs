//! The table of layers, plain and as Markdown.

use super::layers::{granularities, layer_name};
use crate::sweep::ids::{AlphaId, LayerId, ProbeCell, ProbeId, VariantId};
use crate::sweep::probe::Probe;
use crate::sweep::spec::Layers;
use crate::sweep::state::SweepState;
use crate::sweep::stats::{self, Correlation, Criterion, LayerVerdict};

/// Heads and rows of the table of layers: sharpness at both ends and the middle
/// of the grid, τ with OOD accuracy, distance moved, barrier, and the criteria
/// that fired.
pub(super) struct LayerTable {
    pub heads: Vec<String>,
    pub rows: Vec<Vec<String>>,
    /// Sentences under it.
    pub notes: Vec<String>,
}

impl LayerTable {
    /// Criteria as their initials, so that a row stays within 80 columns.
    pub(super) fn abbreviate(&mut self) {
        let initial = |word: &str| word.chars().take(1).collect::<String>().to_uppercase();
        for by in self.rows.iter_mut().filter_map(|row| row.last_mut()) {
            *by = by.split(' ').map(initial).collect::<Vec<_>>().join(" ").trim().into();
        }
        if let Some(head) = self.heads.last_mut() {
            *head = "by".into();
        }
        let names: Vec<_> = Criterion::ALL.iter().map(|it| it.name()).collect();
        let text = format!("by: straggler by {} (their initials)", names.join(", "));
        self.notes.insert(0, text);
    }
}

/// One table per granularity that a probe looked at; none where no probe has
/// any result.
pub(super) fn layer_tables(state: &SweepState) -> Vec<LayerTable> {
    let any = state.probes().iter().any(|it| it.results().next().is_some());
    let all = if any { granularities(state) } else { Vec::new() };
    all.into_iter().map(|units| layer_table(state, units)).collect()
}

fn layer_table(state: &SweepState, units: Layers) -> LayerTable {
    let of = |units| {
        stats::latest(state, VariantId::DENSE, |probe| {
            matches!(probe, Probe::Sharpness { .. }) && probe.layers() == units
        })
    };
    // Of all layers at once alone, where nothing else was asked.
    let sharp = of(units).or_else(|| of(Layers::None));
    let shown = shown(state);
    let mut heads = vec!["layer".to_string(), "moved".into()];
    heads.extend(
        shown
            .iter()
            .filter_map(|id| Some(format!("S({})", state.alphas().get(id.index())?.short()))),
    );
    heads.extend(["S/L", "τ", "barrier", "straggler by"].map(str::to_string));
    let taus = sharp.map_or_else(Vec::new, |id| stats::correlations(state, id, VariantId::DENSE));
    let row = |layer: Option<LayerId>, verdict: Option<&LayerVerdict>| {
        let mut row = vec![layer_name(state, layer).to_string()];
        let moved = layer.and_then(|id| state.layer(id)?.moved);
        row.push(moved.map_or("–".into(), |moved| format!("{moved:.2}")));
        let cell = |probe: ProbeId, alpha: AlphaId| ProbeCell {
            probe,
            variant: VariantId::DENSE,
            alpha,
            layer,
        };
        let at = |alpha: AlphaId| stats::sharpness(state, cell(sharp?, alpha));
        row.extend(shown.iter().map(|&id| at(id).map_or("–".into(), |it| rise(&it))));
        let middle = shown.get(shown.len() / 2).and_then(|&id| at(id));
        row.push(
            middle
                .and_then(|it| it.relative())
                .map_or("–".into(), |it| format!("{it:.3}").replace('-', "−")),
        );
        row.push(tau(&taus, layer));
        let barrier = verdict.and_then(|it| it.barrier.as_ref());
        row.push(barrier.map_or("–".into(), |it| format!("{:.1}±{:.1}", it.value, it.stderr)));
        let by = verdict.map_or_else(Vec::new, |it| it.by.iter().map(|by| by.name()).collect());
        row.push(by.join(" "));
        row
    };
    let verdicts = stats::stragglers(state, VariantId::DENSE, units);
    let overall = sharp.and_then(|id| state.probe(id)).is_some_and(|it| it.probe.overall());
    let rows = overall
        .then(|| row(None, None))
        .into_iter()
        .chain(verdicts.iter().map(|it| row(Some(it.layer), Some(it))));
    let mut notes = Vec::new();
    if sharp.is_some() {
        notes.push(
            "S: rise of the loss in nats ± standard error; S/L: of the loss itself, at the middle \
             α shown; τ: Kendall's with OOD accuracy over α"
                .to_string(),
        );
        notes.extend(ranking(state, &taus));
        notes.extend(stats::claim(state, &taus));
    }
    LayerTable { heads, rows: rows.collect(), notes }
}

/// The layers by |τ|, the largest first; `None` where none has one.
fn ranking(state: &SweepState, taus: &[Correlation]) -> Option<String> {
    const SHOWN: usize = 8;
    let known = |it: &Correlation| {
        let tau = it.coefficients.kendall?.value;
        let text = format!("{} {tau:+.2}", layer_name(state, Some(it.layer?)));
        Some(text.replace('-', "−"))
    };
    let all: Vec<String> = taus.iter().filter_map(known).collect();
    let more = match all.len().saturating_sub(SHOWN) {
        0 => String::new(),
        n => format!(" and {n} more"),
    };
    let first: Vec<&str> = all.iter().take(SHOWN).map(String::as_str).collect();
    (!first.is_empty()).then(|| format!("layers by |τ|: {}{more}", first.join(", ")))
}

/// Both ends of the grid and its middle, each once.
fn shown(state: &SweepState) -> Vec<AlphaId> {
    let Some(last) = state.alphas().len().checked_sub(1) else { return Vec::new() };
    let mut all = vec![0, last / 2, last];
    all.dedup();
    all.into_iter().map(AlphaId).collect()
}

/// `0.012±0.001`, with as many decimals as tell it from 0; under a thousandth of a nat
/// two digits and a power of ten.
fn rise(it: &stats::Sharpness) -> String {
    let value = it.rise.value;
    let number = |x: f64| match value.abs() {
        v if v >= 10.0 => format!("{x:.1}"),
        v if v >= 1.0 => format!("{x:.2}"),
        v if v >= 0.01 || v == 0.0 => format!("{x:.3}"),
        v if v >= 0.001 => format!("{x:.4}"),
        _ => format!("{x:.1e}"),
    };
    let stderr = it.rise.stderr.map_or_else(String::new, |stderr| format!("±{}", number(stderr)));
    let mark =
        if it.frozen > 0 && it.frozen.saturating_mul(100) > it.parameters { "°" } else { "" };
    format!("{}{stderr}{mark}", number(value)).replace('-', "−")
}

fn tau(all: &[Correlation], layer: Option<LayerId>) -> String {
    let tau = all.iter().find(|it| it.layer == layer).and_then(|it| it.coefficients.kendall);
    tau.map_or("–".into(), |it| format!("{:+.2}", it.value).replace('-', "−"))
}
