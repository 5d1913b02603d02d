//! The doctor: looks for an edit of a straggling layer that repairs the path,
//! and says whether it does on images it never looked at while choosing.
//!
//! What comes next is a pure function of the fold ([`next`]), so that a search
//! can be interrupted and resumed like everything else:
//!
//! 1. the dense path and its probes, as in any sweep: they tell the stragglers;
//! 2. edits of them, and the same edits of as many other layers drawn at random
//!    (the control), on the *tuning part* of every OOD dataset: the first
//!    rounds of its seeded order, about a third of the images, at the interior α;
//! 3. the clearest gain of either group on all images. Only the *rest*, which nothing was
//!    chosen on, is reported ([`findings`]).

mod findings;
mod trials;

pub use findings::{Finding, Findings, findings};
pub use trials::{Group, Trial, trials, tuning_rounds};

use super::event::Header;
use super::ids::VariantId;
use super::spec::{Role, Variant};
use super::state::SweepState;

/// Why the doctor could try nothing in such a run; `None` where it can.
#[must_use]
pub fn obstacle(header: &Header) -> Option<&'static str> {
    let mut ood = header.datasets.iter().filter(|it| it.role == Role::Ood).peekable();
    if ood.peek().is_none() {
        return Some(
            "it judges an edit by the OOD mean, and no dataset has the role `ood`: give one that \
             role",
        );
    }
    if !header.alphas.iter().any(|alpha| alpha.is_interior()) {
        return Some(
            "it judges an edit between the ends, and the grid has no point there: put one between \
             0 and 1 into `sweep.alphas`",
        );
    }
    // What is measured in one go cannot be parted into what is chosen by and what is reported.
    let parted = ood.any(|it| tuning_rounds(&it.rounds) > 0);
    (!parted).then_some(
        "it chooses on some OOD images and reports the others, and every OOD dataset has too few \
         to be parted: use more images, or a smaller `sweep.batch`",
    )
}

/// What the doctor wants once nothing else is owed.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Measure these on the tuning part.
    Try(Vec<Variant>),
    /// Measure these on every image.
    Take(Vec<VariantId>),
    /// There is nothing more to do, or nobody asked.
    Done,
}

/// The doctor's next step after `state`, of which nothing is owed any more.
#[must_use]
pub fn next(state: &SweepState) -> Step {
    let Some(spec) = state.doctor() else { return Step::Done };
    let trials = trials(state, spec);
    let unknown: Vec<Variant> =
        trials.iter().filter(|it| it.id(state).is_none()).map(|it| it.variant.clone()).collect();
    if !unknown.is_empty() {
        return Step::Try(unknown);
    }
    let best =
        [Group::Straggler, Group::Control].map(|group| findings::best(state, &trials, group));
    let on_trial: Vec<VariantId> =
        best.into_iter().flatten().filter(|&id| state.is_on_trial(id)).collect();
    if on_trial.is_empty() { Step::Done } else { Step::Take(on_trial) }
}
