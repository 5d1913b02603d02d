//! The table of the correlation screen: of this run, or of all runs shown.

use crate::sweep::ids::{LayerId, VariantId};
use crate::sweep::state::SweepState;
use crate::sweep::stats::{self, Coefficients, Member};

use super::contest::Guest;
use super::sheet::Sheet;

/// What the present run is called beside others.
const OWN: &str = "this run";

/// Correlation of a layer's sharpness with OOD accuracy.
#[derive(Clone, Debug, PartialEq)]
pub struct Relation {
    /// `None`: every layer at once.
    pub layer: Option<LayerId>,
    /// Its name.
    pub name: String,
    /// τ, ρ and r.
    pub coefficients: Coefficients,
    /// Of several runs together: the mean τ within each. `None` of one alone.
    pub within: Option<f64>,
    /// Of several runs together: the points of each (α, S in nats, OOD accuracy
    /// in percent). Empty of one alone.
    pub runs: Vec<Vec<(f64, f64, f64)>>,
}

impl Sheet {
    /// Adds the correlation of every layer's sharpness with OOD accuracy.
    pub fn relate(&mut self, run: &SweepState, variant: VariantId) {
        let Some(probe) = self.shown else { return };
        let name = |layer: Option<LayerId>| match layer {
            None => "overall".to_string(),
            Some(id) => run.layer(id).map_or_else(String::new, |it| it.name.clone()),
        };
        let all = stats::correlations(run, probe, variant);
        self.claim = stats::claim(run, &all);
        let relation = |it: stats::Correlation| Relation {
            layer: it.layer,
            name: name(it.layer),
            coefficients: it.coefficients,
            within: None,
            runs: Vec::new(),
        };
        self.relations = all.into_iter().map(relation).collect();
    }

    /// The same over the points of this run and all others that measured the
    /// same; of this run alone, and why, where none did.
    pub fn relate_together(&mut self, run: &SweepState, guests: &[Guest]) {
        let Some(probe) = self.shown else { return };
        let own = Member { name: OWN, run };
        let others = guests.iter().map(|it| Member { name: &it.name, run: &it.run });
        let members: Vec<Member<'_>> = std::iter::once(own).chain(others).collect();
        let Some(all) = stats::together(&members, probe) else { return };
        if all.joints.is_empty() {
            self.relate(run, self.variant);
        } else {
            let named = |index: &usize| members.get(*index).map(|it| it.name.to_string());
            self.together = all.taken.iter().filter_map(named).collect();
        }
        self.claim = Some(all.claim(&members));
        if self.together.is_empty() {
            return;
        }
        let percent = |points: Vec<(f64, f64, f64)>| {
            points.into_iter().map(|(alpha, s, ood)| (alpha, s, 100.0 * ood)).collect()
        };
        let relation = |it: stats::Joint| Relation {
            layer: it.layer,
            name: it.name,
            coefficients: it.coefficients,
            within: it.within,
            runs: it.points.into_iter().map(percent).collect(),
        };
        self.relations = all.joints.into_iter().map(relation).collect();
    }
}
