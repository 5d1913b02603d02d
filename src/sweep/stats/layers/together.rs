//! Does sharpness go with OOD accuracy over the points of several runs?
//!
//! Points of different runs differ by more than α: by their checkpoints, by how
//! these were trained. So the coefficient over all points is given beside the
//! mean of the coefficients within each run, and only runs that measured the
//! same thing are taken together.

use super::super::ood_datasets;
use super::claim::{goes, signed, written};
use super::correlation::{Coefficients, by_size, correlate, kendall, sharpness_and_ood};
use super::latest;
use crate::plural::counted;
use crate::sweep::ids::{DatasetId, LayerId, ProbeId, VariantId};
use crate::sweep::probe::Probe;
use crate::sweep::spec::{Norm, SharpnessKind, SharpnessSpec};
use crate::sweep::state::{SweepState, layers_of};

/// One of the runs.
#[derive(Clone, Copy, Debug)]
pub struct Member<'a> {
    /// For people.
    pub name: &'a str,
    /// The fold of its events.
    pub run: &'a SweepState,
}

/// One layer, or all at once, over the points of every run taken.
#[derive(Clone, Debug, PartialEq)]
pub struct Joint {
    /// Of the first run; `None`: every layer at once.
    pub layer: Option<LayerId>,
    /// Its name, the same in all; `overall` for every layer at once.
    pub name: String,
    /// Of each run taken: (α, S in nats, OOD accuracy as a fraction).
    pub points: Vec<Vec<(f64, f64, f64)>>,
    /// Over all points together, as if they were independent.
    pub coefficients: Coefficients,
    /// Mean over the runs of Kendall's τ-b within each; `None` where no run has
    /// one.
    pub within: Option<f64>,
}

/// What several runs say together.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Together {
    /// Which of the members are taken, the first among them.
    pub taken: Vec<usize>,
    /// Which are not, and why.
    pub left_out: Vec<(usize, String)>,
    /// By |τ|, the largest first. Empty where nothing but the first is taken.
    pub joints: Vec<Joint>,
}

/// Takes the points of the dense paths of several runs together: those of the
/// first member's `probe`, and of the measurement like it in each other run.
/// `None` where that is no measurement of sharpness.
#[must_use]
pub fn together(members: &[Member<'_>], probe: ProbeId) -> Option<Together> {
    let first = members.first()?.run;
    let Probe::Sharpness { spec, on } = &first.probe(probe)?.probe else { return None };
    let own = Question::of(first, spec, *on);
    let mut all = Together { taken: vec![0], ..Together::default() };
    let mut probes = vec![(first, probe)];
    for (index, member) in members.iter().enumerate().skip(1) {
        match own.asked_in(member.run) {
            Ok(id) => {
                all.taken.push(index);
                probes.push((member.run, id));
            }
            Err(why) => all.left_out.push((index, why)),
        }
    }
    if probes.len() > 1 {
        all.joints = joints(&probes);
        all.joints.sort_by(|a, b| by_size(&a.coefficients, &b.coefficients));
    }
    Some(all)
}

/// What must be the same for points to be comparable. How many batches and draws
/// were taken changes the error alone.
struct Question<'a> {
    spec: &'a SharpnessSpec,
    on: &'a str,
    ood: Vec<&'a str>,
}

impl<'a> Question<'a> {
    fn of(run: &'a SweepState, spec: &'a SharpnessSpec, on: DatasetId) -> Self {
        let name = |id: DatasetId| run.datasets().get(id.index()).map_or("", |it| &it.name);
        let mut ood: Vec<&str> = ood_datasets(run).into_iter().map(name).collect();
        ood.sort_unstable();
        Self { spec, on: name(on), ood }
    }

    /// What the other one differs in; `None`: in nothing that matters.
    fn differs(&self, other: &Self) -> Option<String> {
        let (a, b) = (self.spec, other.spec);
        let kind = |it: &SharpnessSpec| match it.kind {
            SharpnessKind::Average => "average case",
            SharpnessKind::Worst => "worst case",
        };
        let norm = |it: &SharpnessSpec| match it.norm {
            Norm::L2 => "ℓ2",
            Norm::Linf => "ℓ∞",
        };
        let yes = |what: &str, is: bool| format!("{}{what}", if is { "" } else { "not " });
        let say = |there: String, here: String| Some(format!("{there} there, {here} here"));
        if a.kind != b.kind {
            return say(kind(b).into(), kind(a).into());
        }
        if a.norm != b.norm {
            return say(norm(b).into(), norm(a).into());
        }
        if a.rho != b.rho {
            return say(format!("ρ {}", b.rho), format!("ρ {}", a.rho));
        }
        if a.adaptive != b.adaptive {
            return say(yes("adaptive", b.adaptive), yes("adaptive", a.adaptive));
        }
        if a.adaptive && a.scale != b.scale {
            return Some("another scale of the perturbation".into());
        }
        if a.logit_normalization != b.logit_normalization {
            let of = |it: &SharpnessSpec| yes("with logit normalisation", it.logit_normalization);
            return say(of(b), of(a));
        }
        // A maximum depends on how it is searched, and over how many images at once.
        if a.kind == SharpnessKind::Worst && (a.steps, a.batch) != (b.steps, b.batch) {
            let of = |it: &SharpnessSpec| {
                format!("{} on batches of {}", counted(it.steps, "step"), it.batch)
            };
            return say(of(b), of(a));
        }
        if self.on != other.on {
            return say(format!("sharpness on {}", other.on), format!("on {}", self.on));
        }
        if self.ood != other.ood {
            let of = |it: &Self| match it.ood.as_slice() {
                [] => "no OOD dataset".to_string(),
                names => format!("OOD {}", names.join(", ")),
            };
            return say(of(other), of(self));
        }
        None
    }

    /// The measurement in that run that asks the same.
    ///
    /// # Errors
    /// What the latest one there differs in, or that there is none.
    fn asked_in(&self, run: &SweepState) -> Result<ProbeId, String> {
        let why = |probe: &Probe| match probe {
            Probe::Sharpness { spec, on } => self.differs(&Question::of(run, spec, *on)),
            _ => Some(String::new()),
        };
        if let Some(id) = latest(run, VariantId::DENSE, |probe| why(probe).is_none()) {
            return Ok(id);
        }
        let any = |probe: &Probe| matches!(probe, Probe::Sharpness { .. });
        let near = latest(run, VariantId::DENSE, any).and_then(|id| run.probe(id));
        Err(near.and_then(|it| why(&it.probe)).unwrap_or_else(|| "no sharpness there".into()))
    }
}

/// Of all layers at once, where every run has that, and of each layer that every
/// run has.
fn joints(probes: &[(&SweepState, ProbeId)]) -> Vec<Joint> {
    let Some((&(first, probe), others)) = probes.split_first() else { return Vec::new() };
    let Some((header, known)) = first.header().zip(first.probe(probe)) else { return Vec::new() };
    let asks =
        |&(run, id): &(&SweepState, ProbeId)| run.probe(id).is_some_and(|it| it.probe.overall());
    let overall = probes.iter().all(asks).then(|| vec![None; probes.len()]);
    let shared = layers_of(header, known.probe.layers()).filter_map(|layer| {
        let name = &header.layers.get(layer.index())?.name;
        let twin = |&(run, id): &(&SweepState, ProbeId)| {
            let header = run.header()?;
            let named =
                |it: &LayerId| header.layers.get(it.index()).is_some_and(|l| l.name == *name);
            layers_of(header, run.probe(id)?.probe.layers()).find(named)
        };
        let twins: Option<Vec<LayerId>> = others.iter().map(twin).collect();
        Some(std::iter::once(layer).chain(twins?).map(Some).collect::<Vec<_>>())
    });
    let joint = |layers: Vec<Option<LayerId>>| {
        let points: Vec<Vec<(f64, f64, f64)>> = std::iter::zip(probes, &layers)
            .map(|(&(run, id), &layer)| {
                let found = sharpness_and_ood(run, id, VariantId::DENSE, layer);
                let alpha = |(at, x, y): (crate::sweep::ids::AlphaId, f64, f64)| {
                    Some((run.alphas().get(at.index())?.get(), x, y))
                };
                found.into_iter().filter_map(alpha).collect()
            })
            .collect();
        let series = |points: &[(f64, f64, f64)]| -> (Vec<f64>, Vec<f64>) {
            points.iter().map(|&(_, x, y)| (x, y)).unzip()
        };
        let within: Vec<f64> = points
            .iter()
            .filter(|points| points.len() >= 3)
            .filter_map(|points| {
                let (xs, ys) = series(points);
                kendall(&xs, &ys)
            })
            .collect();
        let (xs, ys) = series(&points.concat());
        let layer = layers.first().copied().flatten();
        let name = layer.and_then(|id| first.layer(id)).map_or("overall", |it| &it.name);
        Joint {
            layer,
            name: name.to_string(),
            coefficients: correlate(&xs, &ys, header.seed),
            within: (!within.is_empty()).then(|| within.iter().sum::<f64>() / within.len() as f64),
            points,
        }
    };
    overall.into_iter().chain(shared).map(joint).collect()
}

impl Together {
    /// A paragraph on what the table says and does not say. `members` are those
    /// that it was made of.
    #[must_use]
    pub fn claim(&self, members: &[Member<'_>]) -> String {
        let left_out =
            |(index, why): &(usize, String)| Some(format!("{} ({why})", members.get(*index)?.name));
        let out: Vec<String> = self.left_out.iter().filter_map(left_out).collect();
        let mut said = self.relation();
        if !out.is_empty() {
            said.push_str(&format!(" Left out: {}.", out.join("; ")));
        }
        said
    }

    fn relation(&self) -> String {
        let runs = self.taken.len();
        if runs < 2 {
            return "No other run measured the same, so there is nothing to take together.".into();
        }
        let known = self.joints.iter().map(|it| it.coefficients.points).max().unwrap_or(0);
        let tau =
            |it: &Joint| Some((it.coefficients.kendall?, it.coefficients.is_few(), it.within));
        let overall = self.joints.iter().find(|it| it.layer.is_none()).and_then(tau);
        let layers = || self.joints.iter().filter(|it| it.layer.is_some());
        let strongest = layers().find_map(|it| Some((it.name.as_str(), tau(it)?)));
        if overall.is_none() && strongest.is_none() {
            return format!(
                "{runs} runs have {} together: not enough yet, or a series that does \
                 not vary.",
                counted(known, "point")
            );
        }
        let inside = |within: Option<f64>| {
            within.map_or(String::new(), |tau| format!("; mean τ within runs {}", signed(tau)))
        };
        let mut said = format!("Over {} of {runs} runs together, ", counted(known, "point"));
        match overall {
            Some((tau, few, within)) => said.push_str(&format!(
                "overall sharpness {} OOD accuracy ({}{})",
                goes(tau),
                written(tau, few),
                inside(within)
            )),
            None => said.push_str("overall sharpness is not measured in all, or does not vary"),
        }
        if let Some((name, (tau, few, within))) = strongest {
            said.push_str(&format!(
                "; of {} {name} has the largest |τ| and {} it ({}{})",
                counted(layers().count(), "layer"),
                goes(tau),
                written(tau, few),
                inside(within)
            ));
        }
        said.push_str(
            ". Pooled points mix differences between runs with those along a path, and the points \
             of one path are not independent: where the two τ disagree, it is the runs that differ.",
        );
        said
    }
}
