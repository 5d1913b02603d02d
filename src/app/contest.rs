//! What the compare screen shows: the variants of a run side by side, each
//! against the dense sweep on the same images, and other runs beside them.

use std::collections::BTreeSet;
use std::path::PathBuf;

use crate::sweep::ids::{AlphaId, CellId, DatasetId, VariantId};
use crate::sweep::spec::{Role, Variant};
use crate::sweep::state::{Status, SweepState};
use crate::sweep::stats::{self, Interval, Place, versus};
use crate::sweep::zeros::Sum;

use super::layers::edit_name;
use super::sheet;

/// A variant of the present run, or of another one beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RivalId {
    /// Which of the other runs; `None`: the present one.
    pub guest: Option<usize>,
    /// Which of that run's variants.
    pub variant: VariantId,
}

impl RivalId {
    /// The present run's dense sweep: what all others are compared with.
    pub const DENSE: Self = Self { guest: None, variant: VariantId::DENSE };
}

impl From<VariantId> for RivalId {
    fn from(variant: VariantId) -> Self {
        Self { guest: None, variant }
    }
}

/// Another run, read from its folder.
#[derive(Clone, Debug, PartialEq)]
pub struct Guest {
    /// Its folder.
    pub dir: PathBuf,
    /// For people: the folder's name.
    pub name: String,
    /// The fold of its journal.
    pub run: SweepState,
    /// Names of the datasets that are, by the hash of their content, the present
    /// run's very own.
    pub same: BTreeSet<String>,
}

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
    pub id: RivalId,
    /// For its colour and sign: 0 for the dense one, then in the order they came.
    pub number: usize,
    /// Its name.
    pub name: String,
    /// What it does, in words; empty for a dense one.
    pub edits: String,
    /// The grid of its run.
    pub alphas: Vec<f64>,
    /// One per α of its grid.
    pub spots: Vec<Spot>,
    /// Index of the highest OOD mean (of the ID mean without OOD datasets).
    pub best: Option<usize>,
    /// Image by image on the very same images; else (of another run alone) the
    /// differences are of independent means.
    pub paired: bool,
    /// OOD mean at the cursor minus the dense one's there, percentage points, on
    /// the images measured for both. Of another run: at the same α; `None` where
    /// its grid has none, or its datasets are others.
    pub here: Option<Interval>,
    /// OOD mean at its own best α minus the dense one's at its own, likewise.
    pub peak: Option<Interval>,
    /// The same for the ID mean, at the cursor.
    pub id_here: Option<Interval>,
    /// How far it is.
    pub standing: Standing,
    /// Zeros of all that it edits, counted at each α of its grid; `None` of a dense
    /// one, and where they were not counted (yet).
    pub zeros: Vec<Option<Sum>>,
}

impl Rival {
    /// Zeros counted at that α.
    #[must_use]
    pub fn zeros_at(&self, alpha: f64) -> Option<Sum> {
        let at = self.alphas.iter().position(|own| *own == alpha)?;
        self.zeros.get(at).copied().flatten()
    }
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
    pub fn of(run: &SweepState, at: Option<usize>, guests: &[Guest]) -> Self {
        let dense_best = best(&spots(run, VariantId::DENSE));
        let alphas = grid(run);
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
                id: id.into(),
                number: i,
                name: variant.name.clone(),
                edits: describe(variant),
                alphas: alphas.clone(),
                best,
                paired: true,
                here: here(Role::Ood).filter(|_| !variant.is_dense()),
                peak: peak.filter(|_| !variant.is_dense()),
                id_here: here(Role::Id).filter(|_| !variant.is_dense()),
                standing: standing(run, id),
                zeros: sheet::zeros(run, |alpha| run.zeros_in_all(id, alpha)),
                spots,
            }
        };
        let mut rivals: Vec<Rival> = run.variants().iter().enumerate().map(rival).collect();
        for (index, guest) in guests.iter().enumerate() {
            let first = rivals.len();
            rivals.extend(invited(run, at, index, guest, first));
        }
        // Without a difference (the dense one, what is not measured) it is 0.
        let rank = |it: &Rival| it.here.map_or(0.0, |it| it.value);
        rivals.sort_by(|a, b| rank(b).total_cmp(&rank(a)));
        Self { rivals }
    }

    /// The variant of that id.
    #[must_use]
    pub fn rival(&self, id: RivalId) -> Option<&Rival> {
        self.rivals.iter().find(|it| it.id == id)
    }
}

fn grid(run: &SweepState) -> Vec<f64> {
    run.alphas().iter().map(|alpha| alpha.get()).collect()
}

/// Another run's variants, but those that a person dropped or the doctor only
/// tried; numbered from `first` on.
fn invited(
    run: &SweepState,
    at: Option<usize>,
    index: usize,
    guest: &Guest,
    first: usize,
) -> Vec<Rival> {
    let other = &guest.run;
    let same = |name: &str| guest.same.contains(name);
    let own_best = best(&spots(run, VariantId::DENSE));
    let shown = other.variants().iter().enumerate().filter(|(i, _)| {
        let id = VariantId(*i);
        !other.is_dropped(id) && !other.is_on_trial(id)
    });
    let rival = |(n, (i, variant)): (usize, (usize, &Variant))| {
        let id = VariantId(i);
        let spots = spots(other, id);
        let best = best(&spots);
        let own = |alpha| Place { run, variant: VariantId::DENSE, alpha: AlphaId(alpha) };
        let theirs = |alpha| Place { run: other, variant: id, alpha };
        let twin = at.and_then(|at| other.alpha_id(*run.alphas().get(at)?));
        let here = |role| versus(role, own(at?), theirs(twin?), &same);
        let peak = own_best.zip(best);
        let peak =
            peak.and_then(|(from, to)| versus(Role::Ood, own(from), theirs(AlphaId(to)), &same));
        let (ood, id_here) = (here(Role::Ood), here(Role::Id));
        Rival {
            id: RivalId { guest: Some(index), variant: id },
            number: first + n,
            name: format!("{}: {}", guest.name, variant.name),
            edits: describe(variant),
            alphas: grid(other),
            best,
            paired: [ood, id_here, peak].iter().flatten().all(|it| it.paired),
            here: ood.map(|it| it.points),
            peak: peak.map(|it| it.points),
            id_here: id_here.map(|it| it.points),
            standing: standing(other, id),
            zeros: sheet::zeros(other, |alpha| other.zeros_in_all(id, alpha)),
            spots,
        }
    };
    shown.enumerate().map(rival).collect()
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
