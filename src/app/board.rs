//! What the screen shows of a run: curves, best points, gain and verdict,
//! derived from the fold of events and nothing else.

use crate::sweep::ids::{AlphaId, CellId, DatasetId, VariantId};
use crate::sweep::spec::Role;
use crate::sweep::state::SweepState;
use crate::sweep::stats;

use super::format;
use super::live::{Metric, Shown, Target};

pub use crate::sweep::stats::{Barrier, Gain, Interval, Judgement, Verdict};

/// One curve at one α.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Point {
    /// Images measured (of a mean: over all its datasets).
    pub done: usize,
    /// Images owed.
    pub total: usize,
    /// Top-1 in percent; `None` before the first image.
    pub top1: Option<Interval>,
    /// Top-5 in percent; `None` where there are five classes or fewer.
    pub top5: Option<f64>,
    /// Mean cross-entropy, nats.
    pub loss: Option<f64>,
    /// Predictions that rounding may flip.
    pub near_ties: u64,
    /// Why it could not be measured on.
    pub failed: Option<String>,
}

impl Point {
    /// The value of that metric: percent or nats.
    #[must_use]
    pub fn value(&self, metric: Metric) -> Option<f64> {
        match metric {
            Metric::Accuracy => self.top1.map(|it| it.value),
            Metric::Loss => self.loss,
        }
    }

    /// The band of that metric; the loss has none.
    #[must_use]
    pub fn band(&self, metric: Metric) -> Option<(f64, f64)> {
        match metric {
            Metric::Accuracy => self.top1.map(|it| (it.lo, it.hi)),
            Metric::Loss => None,
        }
    }
}

/// What is going on with a curve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Nothing measured yet.
    Waiting,
    /// Some images measured.
    Measuring,
    /// Every image at every α.
    Complete,
    /// Left out on a person's wish.
    Skipped,
    /// So many cells could not be measured on.
    Failed(usize),
}

/// One line of the chart, one row of the list.
#[derive(Clone, Debug, PartialEq)]
pub struct Curve {
    /// Whose.
    pub target: Target,
    /// The dataset's name, or `OOD mean`.
    pub name: String,
    /// So many of the published dataset's images, as `9998/10000`; `None` where it is none, or
    /// whole.
    pub badge: Option<String>,
    /// ID or OOD.
    pub role: Role,
    /// Classes among the logits; 0 for a mean.
    pub classes: usize,
    /// One per α of the grid.
    pub points: Vec<Point>,
    /// Index of the highest top-1 (the smallest α of equals).
    pub best: Option<usize>,
    /// The best interior point's top-1 minus the better end's, percentage points; `None` until
    /// both ends and a point between are measured.
    pub gain: Option<f64>,
    /// Images × α done.
    pub done: usize,
    /// Images × α owed.
    pub total: usize,
    /// What is going on.
    pub state: State,
}

/// Everything the live screen shows of the run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Board {
    /// Name of the α = 0 end.
    pub zeroshot: String,
    /// Name of the α = 1 end.
    pub finetuned: String,
    /// Must be visible wherever results are.
    pub label: Option<String>,
    /// What model.
    pub architecture: String,
    /// The grid, ascending.
    pub alphas: Vec<f64>,
    /// Decimals that its points are told apart by.
    pub decimals: usize,
    /// The variant whose curves these are; `None`: the dense sweep.
    pub variant: Option<String>,
    /// The dense sweep's curves, to be seen behind a variant's; empty where the
    /// curves are the dense ones.
    pub dense: Vec<Curve>,
    /// Datasets in the spec's order.
    pub curves: Vec<Curve>,
    /// Over the OOD datasets; `None` without any.
    pub mean: Option<Curve>,
    /// Gain, barriers and verdict; `None` before the header.
    pub judgement: Option<Judgement>,
    /// Images × α done, of every variant, without what was left out.
    pub done: u64,
    /// Images × α owed, likewise.
    pub total: u64,
    /// Predictions that rounding may flip.
    pub near_ties: u64,
    /// Cells that could not be measured on.
    pub failed: usize,
}

impl Board {
    /// Derives all of it, for one variant.
    #[must_use]
    pub fn of(run: &SweepState, variant: VariantId) -> Self {
        let Some(header) = run.header() else { return Self::default() };
        let alphas: Vec<f64> = header.alphas.iter().map(|alpha| alpha.get()).collect();
        let known = run.variants().get(variant.index()).filter(|it| !it.is_dense());
        let variant = if known.is_some() { variant } else { VariantId::DENSE };
        let all = |variant| -> (Vec<Curve>, Option<Curve>) {
            let curves: Vec<Curve> = (0..header.datasets.len())
                .filter_map(|i| dataset(run, variant, DatasetId(i), &alphas))
                .collect();
            let mean = mean(run, variant, &curves, &alphas);
            (curves, mean)
        };
        let (curves, mean) = all(variant);
        let dense = known.map_or_else(Vec::new, |_| {
            let (curves, mean) = all(VariantId::DENSE);
            mean.into_iter().chain(curves).collect()
        });
        let (done, total) = run.work();
        Self {
            zeroshot: header.zeroshot.clone(),
            finetuned: header.finetuned.clone(),
            label: header.label.clone(),
            architecture: header.architecture.clone(),
            done,
            total,
            near_ties: curves.iter().flat_map(|c| &c.points).map(|p| p.near_ties).sum(),
            failed: curves.iter().map(|c| if let State::Failed(n) = c.state { n } else { 0 }).sum(),
            decimals: format::decimals(&alphas),
            alphas,
            variant: known.map(|it| it.name.clone()),
            dense,
            curves,
            mean,
            judgement: Some(stats::judge(run, variant)),
        }
    }

    /// A point of the grid for people.
    #[must_use]
    pub fn alpha(&self, value: f64) -> String {
        format::alpha(value, self.decimals)
    }

    /// The gain over the better end, if it can be told.
    #[must_use]
    pub fn gain(&self) -> Option<&Gain> {
        self.judgement.as_ref()?.gain.as_ref()
    }

    /// The verdict; too early before anything is measured.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        self.judgement.as_ref().map_or(Verdict::TooEarly, |it| it.verdict)
    }

    /// The largest barrier above 0, of the OOD mean or of a dataset, and whose;
    /// one that is certain before one that is not.
    #[must_use]
    pub fn barrier(&self) -> Option<(&str, &Barrier)> {
        let judgement = self.judgement.as_ref()?;
        let named = judgement.barriers.iter().filter_map(|(id, barrier)| {
            self.curves.get(id.index()).map(|curve| (curve.name.as_str(), barrier))
        });
        let mean = judgement.ood_barrier.iter().map(|barrier| ("OOD mean", barrier));
        mean.chain(named).filter(|(_, it)| it.points.value > 0.0).max_by(|(_, a), (_, b)| {
            let by = (a.is_certain().cmp(&b.is_certain()), a.points.value, b.points.value);
            by.0.then(by.1.total_cmp(&by.2))
        })
    }

    /// Every curve a person can focus: the OOD mean first, then the datasets.
    pub fn targets(&self) -> impl Iterator<Item = &Curve> {
        self.mean.iter().chain(&self.curves)
    }

    /// The curve of that target.
    #[must_use]
    pub fn curve(&self, target: Target) -> Option<&Curve> {
        self.targets().find(|curve| curve.target == target)
    }

    /// Does `shown` keep this curve on the chart?
    #[must_use]
    pub fn shows(shown: Shown, curve: &Curve) -> bool {
        match shown {
            Shown::All => true,
            Shown::Id => curve.role == Role::Id,
            Shown::Ood => curve.role == Role::Ood,
            Shown::Mean => curve.target == Target::Mean,
        }
    }
}

fn percent(part: usize, of: usize) -> Option<f64> {
    (of > 0).then(|| 100.0 * part as f64 / of as f64)
}

fn dataset(run: &SweepState, variant: VariantId, id: DatasetId, alphas: &[f64]) -> Option<Curve> {
    let info = run.header()?.datasets.get(id.index())?;
    let mut points = Vec::with_capacity(alphas.len());
    for i in 0..alphas.len() {
        let at = CellId { variant, dataset: id, alpha: AlphaId(i) };
        let cell = run.cell(at)?;
        points.push(Point {
            done: cell.done,
            total: cell.total,
            top1: stats::accuracy(run, at).map(|it| it.scaled(100.0)),
            top5: cell.correct5.and_then(|five| percent(five, cell.done)),
            loss: (cell.done > 0).then(|| cell.loss_sum / cell.done as f64),
            near_ties: cell.near_ties,
            failed: cell.failed.clone(),
        });
    }
    let failed = points.iter().filter(|point| point.failed.is_some()).count();
    let skipped = run.is_skipped(id);
    let mut curve = Curve {
        target: Target::Dataset(id),
        name: info.name.clone(),
        badge: info.badge(),
        role: info.role,
        classes: info.classes,
        best: None,
        gain: None,
        done: points.iter().map(|p| p.done).sum(),
        total: points.iter().map(|p| p.total).sum(),
        state: State::Waiting,
        points,
    };
    curve.state = match curve.done {
        _ if skipped => State::Skipped,
        _ if failed > 0 => State::Failed(failed),
        0 if curve.total > 0 => State::Waiting,
        n if n >= curve.total => State::Complete,
        _ => State::Measuring,
    };
    judge(&mut curve, alphas);
    Some(curve)
}

/// Best point and gain of a curve.
fn judge(curve: &mut Curve, alphas: &[f64]) {
    let top1: Vec<Option<f64>> =
        curve.points.iter().map(|point| point.value(Metric::Accuracy)).collect();
    curve.best = top1
        .iter()
        .enumerate()
        .filter_map(|(i, value)| value.map(|value| (i, value)))
        .fold(None, |best: Option<(usize, f64)>, (i, value)| match best {
            Some((_, high)) if high >= value => best,
            _ => Some((i, value)),
        })
        .map(|(i, _)| i);
    let at = |alpha: f64| {
        alphas.iter().position(|it| *it == alpha).and_then(|i| top1.get(i).copied().flatten())
    };
    let (Some(zero), Some(one)) = (at(0.0), at(1.0)) else { return };
    // As the RFT gain: of the points between alone, so that a path that fails loses.
    let inside = std::iter::zip(alphas, &top1).filter(|(alpha, _)| 0.0 < **alpha && **alpha < 1.0);
    let best = inside.filter_map(|(_, value)| *value).reduce(f64::max);
    curve.gain = best.map(|best| best - zero.max(one));
}

/// Unweighted mean over the OOD datasets that are not skipped; at each α only
/// when all of them are measured there.
fn mean(run: &SweepState, variant: VariantId, curves: &[Curve], alphas: &[f64]) -> Option<Curve> {
    let all: Vec<&Curve> = curves.iter().filter(|c| c.role == Role::Ood).collect();
    let kept: Vec<&Curve> = all.iter().copied().filter(|c| c.state != State::Skipped).collect();
    all.first()?;
    let n = kept.len() as f64;
    let points = (0..alphas.len()).map(|i| {
        let of = || kept.iter().filter_map(|curve| curve.points.get(i));
        let average = |value: &dyn Fn(&Point) -> Option<f64>| -> Option<f64> {
            let values: Option<Vec<f64>> = of().map(value).collect();
            values.filter(|it| !it.is_empty()).map(|it| it.iter().sum::<f64>() / n)
        };
        Point {
            done: of().map(|p| p.done).sum(),
            total: of().map(|p| p.total).sum(),
            top1: stats::ood_mean(run, variant, AlphaId(i)).map(|it| it.scaled(100.0)),
            top5: average(&|p| p.top5),
            loss: average(&|p| p.loss),
            near_ties: of().map(|p| p.near_ties).sum(),
            failed: None,
        }
    });
    let mut curve = Curve {
        target: Target::Mean,
        name: "OOD mean".to_string(),
        badge: None,
        role: Role::Ood,
        classes: 0,
        points: points.collect(),
        best: None,
        gain: None,
        done: kept.iter().map(|c| c.done).sum(),
        total: kept.iter().map(|c| c.total).sum(),
        state: State::Waiting,
    };
    curve.state = match curve.done {
        _ if kept.is_empty() => State::Skipped,
        0 => State::Waiting,
        n if n >= curve.total => State::Complete,
        _ => State::Measuring,
    };
    judge(&mut curve, alphas);
    Some(curve)
}
