//! Estimates with standard errors, from the raw numbers that the journal keeps.

use crate::sweep::ids::ProbeCell;
use crate::sweep::probe::{CurvatureResult, Probe, ProbeResult, SharpnessResult};
use crate::sweep::spec::{SharpnessKind, SharpnessSpec};
use crate::sweep::state::SweepState;

/// A mean and its standard error.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// The mean.
    pub value: f64,
    /// Its standard error; `None` where a single number gives none.
    pub stderr: Option<f64>,
}

/// Standard errors above zero from which on a number is told apart from it.
const RESOLVED: f64 = 2.0;

impl Estimate {
    /// The standard error over the size of the mean. `None` without an error, or of 0.
    #[must_use]
    pub fn relative_error(&self) -> Option<f64> {
        let error = self.stderr.filter(|_| self.value != 0.0)?;
        Some(error / self.value.abs())
    }

    /// False where the mean is under twice its standard error: it may as well be 0. `None` without an
    /// error.
    #[must_use]
    pub fn resolved(&self) -> Option<bool> {
        Some(self.value >= RESOLVED * self.stderr?)
    }

    /// Mean over a table \[batch\]\[draw\] whose rows share their draws (common
    /// random numbers): batch and draw are crossed random effects, so the
    /// error has a part for each and one for their interaction. Variance
    /// components are the analysis of variance's, those below zero taken as
    /// zero (Searle, Casella & McCulloch 1992, §4.5). With a single row (or
    /// column) the error is over the other alone. `None` for an empty or
    /// ragged table.
    #[must_use]
    pub fn crossed(table: &[Vec<f64>]) -> Option<Self> {
        let (rows, columns) = (table.len(), table.first()?.len());
        if columns == 0 || table.iter().any(|row| row.len() != columns) {
            return None;
        }
        let (b, k) = (rows as f64, columns as f64);
        let value = table.iter().flatten().sum::<f64>() / (b * k);
        let row_means: Vec<f64> = table.iter().map(|row| row.iter().sum::<f64>() / k).collect();
        let column_means: Vec<f64> =
            (0..columns).map(|c| table.iter().map(|row| row[c]).sum::<f64>() / b).collect();
        let squares = |means: &[f64]| means.iter().map(|mean| (mean - value).powi(2)).sum::<f64>();
        let variance = match (rows, columns) {
            (1, 1) => return Some(Self { value, stderr: None }),
            (1, _) => squares(&column_means) / (k - 1.0) / k,
            (_, 1) => squares(&row_means) / (b - 1.0) / b,
            _ => {
                let of_rows = k * squares(&row_means) / (b - 1.0);
                let of_columns = b * squares(&column_means) / (k - 1.0);
                let rest: f64 = std::iter::zip(table, &row_means)
                    .flat_map(|(row, row_mean)| {
                        std::iter::zip(row, &column_means).map(move |(x, column_mean)| {
                            (x - row_mean - column_mean + value).powi(2)
                        })
                    })
                    .sum();
                let rest = rest / ((b - 1.0) * (k - 1.0));
                // Each mean square is a part of its own and the rest's.
                let own = |mean_square: f64| (mean_square - rest).max(0.0);
                (own(of_rows) + own(of_columns) + rest) / (b * k)
            }
        };
        Some(Self { value, stderr: Some(variance.sqrt()) })
    }

    /// Mean over a table \[batch\]\[pair\] whose draws are all independent: pairs
    /// are nested in batches. `unseen` is the part of the dataset's images
    /// that no batch has.
    ///
    /// The batches are drawn without replacement, so their own share of the
    /// error shrinks with what is left unseen (Cochran 1977, §2.5 and §10.4,
    /// two-stage sampling): with s² the variance of batch means and w² the mean variance
    /// within batches, both unbiased, over b batches of k pairs it is
    /// unseen · max(0, s² − w²/k)/b + w²/(bk). One pair a batch tells the two
    /// shares not apart, and then s²/b stands whole; a single batch has w²/k
    /// alone. `None` for an empty or ragged table.
    #[must_use]
    pub fn nested(table: &[Vec<f64>], unseen: f64) -> Option<Self> {
        let (rows, columns) = (table.len(), table.first()?.len());
        if columns == 0 || table.iter().any(|row| row.len() != columns) {
            return None;
        }
        let (b, k) = (rows as f64, columns as f64);
        let of_rows: Vec<(f64, f64)> = table.iter().map(|row| moments(row)).collect();
        let (value, between) = moments(&of_rows.iter().map(|row| row.0).collect::<Vec<_>>());
        let within = of_rows.iter().map(|row| row.1).sum::<f64>() / b;
        let variance = match (rows, columns) {
            (1, 1) => None,
            (1, _) => Some(within / k),
            (_, 1) => Some(between / b),
            _ => Some((unseen * (between - within / k).max(0.0) + within / k) / b),
        };
        Some(Self { value, stderr: variance.map(f64::sqrt) })
    }

    /// Mean of independent numbers; `None` without any.
    #[must_use]
    pub fn of(values: &[f64]) -> Option<Self> {
        Self::crossed(&[values.to_vec()])
    }
}

/// Mean, and variance over the number less one (0 for a single number).
fn moments(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let squares = values.iter().map(|x| (x - mean).powi(2)).sum::<f64>();
    (mean, if values.len() > 1 { squares / (n - 1.0) } else { 0.0 })
}

/// Sharpness of one layer (or of all at once) at one point.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sharpness {
    /// S: mean rise of the loss, in nats. In the average case the standard error
    /// is of S on all images of this dataset: it shrinks to that of the draws as
    /// the batches come to hold every image. In the worst case it is over batches
    /// of that size, and `None` for a single one.
    pub rise: Estimate,
    /// L: the unperturbed loss, in nats.
    pub loss: f64,
    /// Numbers in play.
    pub parameters: u64,
    /// Of these, never perturbed because their scale is 0: adaptive sharpness
    /// falls mechanically with them.
    pub frozen: u64,
}

impl Sharpness {
    /// From the raw rises, when a dataset has so many images; `None` when there
    /// are none, or they are ragged.
    ///
    /// A batch's largest rise is no mean over its images: another cut of the same
    /// images into batches has other maxima. So a sample that holds nearly every
    /// image leaves the worst case as uncertain as any, and only the average case
    /// has the correction for a finite dataset.
    #[must_use]
    pub fn of(result: &SharpnessResult, spec: &SharpnessSpec, images: usize) -> Option<Self> {
        let batches = result.losses.len();
        let seen = (batches * spec.batch) as f64 / images.max(1) as f64;
        let unseen = (1.0 - seen).clamp(0.0, 1.0);
        let rise = match spec.kind {
            SharpnessKind::Average => Estimate::nested(&result.rises, unseen)?,
            SharpnessKind::Worst => Estimate::of(&result.rises.concat())?,
        };
        Some(Self {
            rise,
            loss: (batches > 0).then(|| result.losses.iter().sum::<f64>() / batches as f64)?,
            parameters: result.parameters,
            frozen: result.frozen,
        })
    }

    /// S/L: how much of the loss the rise is. Sharpness on data that the model
    /// has fitted falls with the loss itself. `None` where L is 0.
    #[must_use]
    pub fn relative(&self) -> Option<f64> {
        (self.loss > 0.0).then(|| self.rise.value / self.loss)
    }
}

/// Sharpness in one cell of a probe; `None` before it is measured, and for
/// other probes.
#[must_use]
pub fn sharpness(state: &SweepState, cell: ProbeCell) -> Option<Sharpness> {
    let Probe::Sharpness { spec, on } = &state.probe(cell.probe)?.probe else { return None };
    let images = state.datasets().get(on.index())?.images;
    match state.probed(cell)? {
        ProbeResult::Sharpness(result) => Sharpness::of(result, spec, images),
        _ => None,
    }
}

/// Second derivatives of the loss in one layer at one point.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Curvature {
    /// tr H, in nats (Hutchinson).
    pub trace: Estimate,
    /// Largest eigenvalue of H by magnitude, in nats.
    pub eigenvalue: Estimate,
    /// The largest ‖Hv − λv‖ / |λ| of a batch: how far the iteration got.
    pub residual: f64,
    /// Numbers in the layer.
    pub parameters: u64,
}

impl Curvature {
    /// From the raw numbers; `None` where one kind is missing.
    #[must_use]
    pub fn of(result: &CurvatureResult) -> Option<Self> {
        Some(Self {
            trace: Estimate::crossed(&result.quadratic)?,
            eigenvalue: Estimate::of(&result.eigenvalues)?,
            residual: result.residuals.iter().copied().reduce(f64::max)?,
            parameters: result.parameters,
        })
    }
}

/// Curvature in one cell of a probe; `None` before it is measured, and for
/// other probes.
#[must_use]
pub fn curvature(state: &SweepState, cell: ProbeCell) -> Option<Curvature> {
    match state.probed(cell)? {
        ProbeResult::Curvature(result) => Curvature::of(result),
        _ => None,
    }
}
