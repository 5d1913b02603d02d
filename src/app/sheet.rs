//! What the layers and correlation screens show of a run: a row for each layer,
//! derived from the fold of events and its statistics and nothing else.

use crate::sweep::ids::{AlphaId, DatasetId, LayerId, ProbeCell, ProbeId, VariantId};
use crate::sweep::probe::{Direction, Probe};
use crate::sweep::spec::{BarrierSpec, Base, CurvatureSpec, Layers, Norm, Scale};
use crate::sweep::spec::{SharpnessKind, SharpnessSpec};
use crate::sweep::state::{Answer, ProbeState, SweepState, cells_at, layers_of};
use crate::sweep::stats;
use crate::sweep::zeros::Sum;

pub use crate::sweep::stats::{Coefficients, Criterion, Curvature, Estimate, LayerBarrier};
pub use crate::sweep::stats::{Interval, Sharpness};

use super::layers::Measure;
pub use super::relations::Relation;

/// One layer at one α.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Cell {
    /// Not measured (yet).
    #[default]
    Absent,
    /// Measured.
    Known(Sharpness),
    /// Could not be measured; why.
    Failed(String),
}

impl Cell {
    /// The numbers, where there are some.
    #[must_use]
    pub fn known(&self) -> Option<&Sharpness> {
        match self {
            Self::Known(it) => Some(it),
            _ => None,
        }
    }

    /// The number of that measure.
    #[must_use]
    pub fn value(&self, measure: Measure) -> Option<f64> {
        let it = self.known()?;
        match measure {
            Measure::Rise => Some(it.rise.value),
            Measure::Relative => it.relative(),
        }
    }

    /// The standard error of that measure (of S/L: of S, over L).
    #[must_use]
    pub fn stderr(&self, measure: Measure) -> Option<f64> {
        let it = self.known()?;
        match measure {
            Measure::Rise => it.rise.stderr,
            Measure::Relative => it.rise.stderr.filter(|_| it.loss > 0.0).map(|se| se / it.loss),
        }
    }

    /// True where more weights than chance would leave have the scale 0, so
    /// that adaptive sharpness is low for no other reason.
    #[must_use]
    pub fn frozen(&self) -> bool {
        self.known().is_some_and(|it| it.frozen.saturating_mul(100) > it.parameters)
    }
}

/// Accuracy while one layer alone moves, on one dataset.
#[derive(Clone, Debug, PartialEq)]
pub struct Path {
    /// Whose images.
    pub dataset: DatasetId,
    /// Top-1 in percent at each α; `None` where it is not measured.
    pub top1: Vec<Option<Interval>>,
}

/// One layer, or all at once.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// `None`: every layer at once.
    pub layer: Option<LayerId>,
    /// Its name.
    pub name: String,
    /// Numbers in it.
    pub parameters: u64,
    /// ‖θ₁ − θ₀‖ / ‖θ₀‖.
    pub moved: Option<f64>,
    /// Canonical names of its tensors.
    pub tensors: Vec<String>,
    /// One per α of the grid.
    pub points: Vec<Cell>,
    /// The barrier that is highest in standard errors.
    pub barrier: Option<LayerBarrier>,
    /// Robust score of log S (median over interior α).
    pub score: Option<f64>,
    /// Robust score of its growth since zero-shot.
    pub rise: Option<f64>,
    /// Robust score of the distance moved.
    pub distance: Option<f64>,
    /// Criteria that fired.
    pub by: Vec<Criterion>,
    /// Curvature at each α; `None` where it is not measured.
    pub curvature: Vec<Option<Curvature>>,
    /// Layer-wise path on each dataset asked for.
    pub paths: Vec<Path>,
    /// Zeros of its tensors that the variant shown on the live screen edits, counted
    /// at each α ([`Sheet::count`]); `None` where it edits none of them, or they were
    /// not counted (yet).
    pub zeros: Vec<Option<Sum>>,
}

impl Row {
    /// Values of a measure over α.
    #[must_use]
    pub fn values(&self, measure: Measure) -> Vec<Option<f64>> {
        self.points.iter().map(|point| point.value(measure)).collect()
    }
}

/// Something asked for beside accuracy, as a person reads it.
#[derive(Clone, Debug, PartialEq)]
pub struct Asked {
    /// Which.
    pub id: ProbeId,
    /// In words.
    pub title: String,
    /// Cells answered (measured or failed).
    pub done: usize,
    /// Cells owed.
    pub owed: usize,
    /// Cells that could not be measured.
    pub failed: usize,
    /// A person wants no more of it.
    pub cancelled: bool,
    /// Measures sharpness.
    pub sharpness: bool,
}

impl Asked {
    /// True while there is something left to measure.
    #[must_use]
    pub fn open(&self) -> bool {
        !self.cancelled && self.done < self.owed
    }
}

/// Everything the layers and correlation screens show.
#[derive(Clone, Debug, PartialEq)]
pub struct Sheet {
    /// Whose layers.
    pub variant: VariantId,
    /// Granularity of the rows.
    pub units: Layers,
    /// The sharpness measurement shown; `None`: none was asked for.
    pub shown: Option<ProbeId>,
    /// Overall first (where asked for), then in the order of the forward pass.
    pub rows: Vec<Row>,
    /// Everything asked for.
    pub asked: Vec<Asked>,
    /// OOD accuracy at each α in percent; `None` where it is not known.
    pub ood: Vec<Option<Interval>>,
    /// By |τ|, the largest first; those without τ last. Only made for the
    /// correlation screen: its intervals cost a bootstrap.
    pub relations: Vec<Relation>,
    /// Names of the runs whose points the relations are of; empty: this run's
    /// alone.
    pub together: Vec<String>,
    /// What the table says, and does not.
    pub claim: Option<String>,
}

impl Default for Sheet {
    fn default() -> Self {
        Self {
            variant: VariantId::DENSE,
            units: Layers::default(),
            shown: None,
            rows: Vec::new(),
            asked: Vec::new(),
            ood: Vec::new(),
            relations: Vec::new(),
            together: Vec::new(),
            claim: None,
        }
    }
}

impl Sheet {
    /// Derives all but the relations and the zeros. `chosen`: the sharpness measurement a
    /// person picked.
    #[must_use]
    pub fn of(run: &SweepState, variant: VariantId, chosen: Option<ProbeId>) -> Self {
        let Some(header) = run.header() else { return Self::default() };
        let asked: Vec<Asked> = run
            .probes()
            .iter()
            .enumerate()
            .map(|(i, it)| describe(run, ProbeId(i), it, variant))
            .collect();
        let of_kind = |id: &ProbeId| asked.get(id.index()).is_some_and(|it| it.sharpness);
        let is_sharpness = |probe: &Probe| matches!(probe, Probe::Sharpness { .. });
        let latest = || stats::latest(run, variant, is_sharpness);
        let shown = chosen.filter(of_kind).or_else(latest);
        let probe = shown.and_then(|id| run.probe(id)).map(|it| &it.probe);
        let units = match probe.map(Probe::layers) {
            None | Some(Layers::None) => some_units(run),
            Some(units) => units,
        };
        let verdicts = stats::stragglers(run, variant, units);
        let others = Others::of(run, variant, units);
        let mut rows = Vec::new();
        if let Some(id) = shown.filter(|_| probe.is_some_and(Probe::overall)) {
            rows.push(Row {
                layer: None,
                name: "overall".to_string(),
                parameters: layers_of(header, units)
                    .filter_map(|id| header.layers.get(id.index()))
                    .map(|layer| layer.parameters)
                    .sum(),
                moved: None,
                tensors: Vec::new(),
                points: points(run, id, variant, None),
                barrier: None,
                score: None,
                rise: None,
                distance: None,
                by: Vec::new(),
                curvature: Vec::new(),
                paths: Vec::new(),
                zeros: Vec::new(),
            });
        }
        for id in layers_of(header, units) {
            let Some(info) = header.layers.get(id.index()) else { continue };
            let verdict = verdicts.iter().find(|it| it.layer == id);
            let shown = shown.filter(|_| probe.is_some_and(|it| it.layers() == units));
            rows.push(Row {
                layer: Some(id),
                name: info.name.clone(),
                parameters: info.parameters,
                moved: info.moved,
                tensors: info.tensors.clone(),
                points: shown.map_or_else(
                    || vec![Cell::Absent; header.alphas.len()],
                    |probe| points(run, probe, variant, Some(id)),
                ),
                barrier: verdict.and_then(|it| it.barrier.clone()),
                score: verdict.and_then(|it| it.score),
                rise: verdict.and_then(|it| it.rise),
                distance: verdict.and_then(|it| it.distance),
                by: verdict.map_or_else(Vec::new, |it| it.by.clone()),
                curvature: others.curvature(run, variant, id),
                paths: others.paths(run, variant, id),
                zeros: Vec::new(),
            });
        }
        let alphas = (0..header.alphas.len()).map(AlphaId);
        let ood = alphas.map(|a| stats::ood_mean(run, variant, a).map(|it| it.scaled(100.0)));
        Self { variant, units, shown, rows, asked, ood: ood.collect(), ..Self::default() }
    }

    /// Fills in the zeros of each row in a variant: the one shown, also where the
    /// sharpness is another's.
    pub fn count(&mut self, run: &SweepState, variant: VariantId) {
        for row in &mut self.rows {
            row.zeros = zeros(run, |alpha| match row.layer {
                Some(layer) => run.zeros_of(variant, alpha, run.layer(layer)?),
                None => run.zeros_in_all(variant, alpha),
            });
        }
    }

    /// The row of all layers at once.
    #[must_use]
    pub fn overall(&self) -> Option<&Row> {
        self.rows.first().filter(|row| row.layer.is_none())
    }

    /// The measurement shown.
    #[must_use]
    pub fn measured(&self) -> Option<&Asked> {
        self.asked.get(self.shown?.index())
    }

    /// Sharpness measurements there are, in the order they were asked for.
    #[must_use]
    pub fn sharpness(&self) -> Vec<ProbeId> {
        self.asked.iter().filter(|it| it.sharpness).map(|it| it.id).collect()
    }
}

/// The coarsest granularity of which the header has layers.
fn some_units(run: &SweepState) -> Layers {
    let has = |units: &Layers| run.header().is_some_and(|h| layers_of(h, *units).next().is_some());
    [Layers::Block, Layers::Module, Layers::Tensor].into_iter().find(has).unwrap_or_default()
}

fn points(
    run: &SweepState,
    probe: ProbeId,
    variant: VariantId,
    layer: Option<LayerId>,
) -> Vec<Cell> {
    let at = |alpha| {
        let cell = ProbeCell { probe, variant, alpha, layer };
        match run.probe(probe).and_then(|it| it.answer(cell)) {
            Some(Answer::Failed(why)) => Cell::Failed(why.clone()),
            Some(Answer::Known(_)) => stats::sharpness(run, cell).map_or(Cell::Absent, Cell::Known),
            None => Cell::Absent,
        }
    };
    (0..run.alphas().len()).map(AlphaId).map(at).collect()
}

/// Zeros at each point of the grid.
pub(super) fn zeros(run: &SweepState, at: impl Fn(AlphaId) -> Option<Sum>) -> Vec<Option<Sum>> {
    (0..run.alphas().len()).map(AlphaId).map(at).collect()
}

/// The latest layer-wise path and curvature over the same layers.
struct Others {
    path: Option<(ProbeId, Vec<DatasetId>)>,
    curvature: Option<ProbeId>,
}

impl Others {
    fn of(run: &SweepState, variant: VariantId, units: Layers) -> Self {
        let is_path = |probe: &Probe| matches!(probe, Probe::Path { spec, direction: Direction::Path, .. } if spec.layers == units);
        let path = stats::latest(run, variant, is_path);
        let path = path.and_then(|id| match &run.probe(id)?.probe {
            Probe::Path { on, .. } => Some((id, on.clone())),
            _ => None,
        });
        let is_curvature =
            |probe: &Probe| matches!(probe, Probe::Curvature { spec, .. } if spec.layers == units);
        Self { path, curvature: stats::latest(run, variant, is_curvature) }
    }

    fn paths(&self, run: &SweepState, variant: VariantId, layer: LayerId) -> Vec<Path> {
        let Some((probe, on)) = &self.path else { return Vec::new() };
        let top1 = |dataset| {
            stats::layer_path(run, *probe, variant, layer, dataset)
                .into_iter()
                .map(|it| {
                    let it = it?;
                    let (lo, hi) = stats::wilson(it.correct, it.images)?;
                    let value = it.correct as f64 / it.images as f64;
                    Some(Interval { value, lo, hi }.scaled(100.0))
                })
                .collect()
        };
        on.iter().map(|&dataset| Path { dataset, top1: top1(dataset) }).collect()
    }

    fn curvature(
        &self,
        run: &SweepState,
        variant: VariantId,
        layer: LayerId,
    ) -> Vec<Option<Curvature>> {
        let Some(probe) = self.curvature else { return Vec::new() };
        let at =
            |alpha| stats::curvature(run, ProbeCell { probe, variant, alpha, layer: Some(layer) });
        (0..run.alphas().len()).map(AlphaId).map(at).collect()
    }
}

fn describe(run: &SweepState, id: ProbeId, it: &ProbeState, variant: VariantId) -> Asked {
    let header = run.header();
    let points = match &it.probe {
        Probe::Curvature { spec, .. } => curvature_points(run, spec),
        _ => (0..run.alphas().len()).map(AlphaId).collect(),
    };
    let cells = points.into_iter().flat_map(|alpha| {
        header.into_iter().flat_map(move |h| cells_at(h, &it.probe, id, variant, alpha))
    });
    let (mut owed, mut done, mut failed) = (0, 0, 0);
    for cell in cells {
        owed += 1;
        match it.answer(cell) {
            Some(Answer::Known(_)) => done += 1,
            Some(Answer::Failed(_)) => (done, failed) = (done + 1, failed + 1),
            None => {}
        }
    }
    Asked {
        id,
        title: title(&it.probe),
        done,
        owed,
        failed,
        cancelled: it.cancelled,
        sharpness: matches!(it.probe, Probe::Sharpness { .. }),
    }
}

fn curvature_points(run: &SweepState, spec: &CurvatureSpec) -> Vec<AlphaId> {
    match &spec.alphas {
        Some(alphas) => alphas.iter().filter_map(|&alpha| run.alpha_id(alpha)).collect(),
        None => {
            let n = run.alphas().len();
            let mut points = vec![0, n / 2, n.saturating_sub(1)];
            points.dedup();
            points.into_iter().filter(|&i| i < n).map(AlphaId).collect()
        }
    }
}

/// What a probe measures, in one line.
#[must_use]
pub fn title(probe: &Probe) -> String {
    match probe {
        Probe::Sharpness { spec, .. } => sharpness_title(spec),
        Probe::Path { spec, direction, .. } => path_title(spec, *direction),
        Probe::Curvature { spec, .. } => format!("curvature by {}", layers_name(spec.layers)),
    }
}

fn sharpness_title(spec: &SharpnessSpec) -> String {
    let kind = match spec.kind {
        SharpnessKind::Average => "average-case",
        SharpnessKind::Worst => "worst-case",
    };
    let norm = match spec.norm {
        Norm::L2 => "L2",
        Norm::Linf => "Linf",
    };
    let mut title = format!("{kind} {norm}");
    if spec.adaptive {
        title.push_str(" adaptive");
    }
    title.push_str(&format!(" ρ {}", super::format::significant(spec.rho)));
    if spec.scale == Scale::Dense {
        title.push_str(", dense scale");
    }
    if spec.logit_normalization {
        title.push_str(", normalised logits");
    }
    title
}

fn path_title(spec: &BarrierSpec, direction: Direction) -> String {
    let base = match spec.base {
        Base::Finetuned => "fine-tuned",
        Base::Zeroshot => "zero-shot",
        Base::Midpoint => "midpoint",
    };
    match direction {
        Direction::Path => format!("layer barriers, others {base}"),
        Direction::Random => format!("random directions, others {base}"),
    }
}

/// As in the spec.
#[must_use]
pub fn layers_name(units: Layers) -> &'static str {
    match units {
        Layers::None => "none",
        Layers::Block => "block",
        Layers::Module => "module",
        Layers::Tensor => "tensor",
    }
}
