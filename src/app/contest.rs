//! What the compare screen shows of a run: its variants side by side, each
//! against the dense sweep on the same images.

use crate::sweep::ids::{AlphaId, CellId, DatasetId, VariantId};
use crate::sweep::spec::{Role, Variant};
use crate::sweep::state::{Status, SweepState};
use crate::sweep::stats::{self, Interval};

use super::layers::edit_name;

/// One point of a variant's path: ID and OOD accuracy together.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Spot {
    /// Unweighted mean over the ID datasets, percent.
    pub id: Option<f64>,
    /// OOD mean, percent.
    pub ood: Option<Interval>,
}

/// How far a variant is.
#[derive(Clone, Debug, PartialEq)]
pub enum Standing {
    /// Nothing measured yet.
    Waiting,
    /// So much of its work is done, in percent.
    Measuring(u64),
    /// Every image at every α.
    Complete,
    /// A person wants no more of it.
    Dropped,
    /// So many cells could not be measured on; why the first could not.
    Failed(usize, String),
}

/// One variant.
#[derive(Clone, Debug, PartialEq)]
pub struct Rival {
    /// Which.
    pub id: VariantId,
    /// Its name.
    pub name: String,
    /// What it does, in words; empty for the dense one.
    pub edits: String,
    /// One per α of the grid.
    pub spots: Vec<Spot>,
    /// Index of the highest OOD mean (of the ID mean without OOD datasets).
    pub best: Option<usize>,
    /// OOD mean at the cursor minus the dense one's there, percentage points;
    /// paired on the images measured for both.
    pub here: Option<Interval>,
    /// OOD mean at its own best α minus the dense one's at its own, likewise.
    pub peak: Option<Interval>,
    /// The same for the ID mean, at the cursor.
    pub id_here: Option<Interval>,
    /// How far it is.
    pub standing: Standing,
}

/// Everything the compare screen shows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Contest {
    /// Ranked by the difference at the cursor; the dense one among them, at 0.
    pub rivals: Vec<Rival>,
}

impl Contest {
    /// Derives all of it; differences are taken at point `at` of the grid.
    #[must_use]
    pub fn of(run: &SweepState, at: Option<usize>) -> Self {
        let dense_best = best(&spots(run, VariantId::DENSE));
        let rival = |(i, variant): (usize, &Variant)| {
            let id = VariantId(i);
            let spots = spots(run, id);
            let best = best(&spots);
            let here = |role| {
                let at = AlphaId(at?);
                stats::mean_difference(run, role, (VariantId::DENSE, at), (id, at))
            };
            let peak = dense_best.zip(best).and_then(|(from, to)| {
                let (from, to) = (AlphaId(from), AlphaId(to));
                stats::mean_difference(run, Role::Ood, (VariantId::DENSE, from), (id, to))
            });
            Rival {
                id,
                name: variant.name.clone(),
                edits: describe(variant),
                best,
                here: here(Role::Ood).filter(|_| !variant.is_dense()),
                peak: peak.filter(|_| !variant.is_dense()),
                id_here: here(Role::Id).filter(|_| !variant.is_dense()),
                standing: standing(run, id),
                spots,
            }
        };
        let mut rivals: Vec<Rival> = run.variants().iter().enumerate().map(rival).collect();
        // Without a difference (the dense one, what is not measured) it is 0.
        let rank = |it: &Rival| it.here.map_or(0.0, |it| it.value);
        rivals.sort_by(|a, b| rank(b).total_cmp(&rank(a)));
        Self { rivals }
    }

    /// The variant of that id.
    #[must_use]
    pub fn rival(&self, id: VariantId) -> Option<&Rival> {
        self.rivals.iter().find(|it| it.id == id)
    }
}

/// What a variant does: `block.3 delta 50 %, head reset`.
#[must_use]
pub fn describe(variant: &Variant) -> String {
    let words = |edit| edit_name(edit);
    let mut edits = variant.sparsify.iter();
    // Many layers edited alike are one phrase.
    if let Some(first) = variant.sparsify.first().filter(|_| variant.sparsify.len() > 1)
        && edits.all(|it| words(it) == words(first))
    {
        let names: Vec<&str> = variant.sparsify.iter().map(|it| it.layer.as_str()).collect();
        return format!("{}: {}", words(first), names.join(", "));
    }
    let parts = variant.sparsify.iter().map(|it| format!("{} {}", it.layer, words(it)));
    parts.collect::<Vec<String>>().join(", ")
}

/// Datasets of a role that are not skipped.
fn kept(run: &SweepState, role: Role) -> Vec<DatasetId> {
    run.with_role(role).filter(|&id| !run.is_skipped(id)).collect()
}

fn spots(run: &SweepState, variant: VariantId) -> Vec<Spot> {
    let sets = kept(run, Role::Id);
    let id = |alpha| {
        let top1 = |&dataset| run.cell(CellId { variant, dataset, alpha })?.top1();
        let values: Option<Vec<f64>> = sets.iter().map(top1).collect();
        let values = values.filter(|it| !it.is_empty())?;
        Some(100.0 * values.iter().sum::<f64>() / values.len() as f64)
    };
    (0..run.alphas().len())
        .map(AlphaId)
        .map(|alpha| Spot {
            id: id(alpha),
            ood: stats::ood_mean(run, variant, alpha).map(|it| it.scaled(100.0)),
        })
        .collect()
}

/// The first of the highest.
fn best(spots: &[Spot]) -> Option<usize> {
    let any_ood = spots.iter().any(|it| it.ood.is_some());
    let value = |it: &Spot| if any_ood { it.ood.map(|it| it.value) } else { it.id };
    let known = spots.iter().enumerate().filter_map(|(i, it)| Some((i, value(it)?)));
    known.reduce(|best, it| if it.1 > best.1 { it } else { best }).map(|(i, _)| i)
}

fn standing(run: &SweepState, variant: VariantId) -> Standing {
    let (mut done, mut owed, mut failed, mut why) = (0_u64, 0_u64, 0, None);
    for id in run.cell_ids().filter(|id| id.variant == variant) {
        let Some(cell) = run.cell(id).filter(|_| !run.is_skipped(id.dataset)) else { continue };
        done += cell.done as u64;
        owed += cell.total as u64;
        if let Some(Status::Failed(message)) = run.status(id) {
            failed += 1;
            why.get_or_insert(message);
        }
    }
    match why {
        Some(why) => Standing::Failed(failed, why),
        None if done >= owed && owed > 0 => Standing::Complete,
        None if run.is_dropped(variant) => Standing::Dropped,
        None if done == 0 => Standing::Waiting,
        None => Standing::Measuring(super::format::whole_percent(done, owed)),
    }
}
