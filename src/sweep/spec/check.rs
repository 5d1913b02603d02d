//! What can be known wrong about a spec without opening an input, and about a
//! probe or a variant that is asked for while a sweep runs.

use std::collections::BTreeSet;
use std::path::Path;

use super::{
    AlphaRange, Alphas, BarrierSpec, CurvatureSpec, DoctorSpec, Edit, Layers, Method,
    SharpnessKind, SharpnessSpec, Spec, SpecError, Thresholds, Variant,
};
use crate::sweep::event::Header;
use crate::sweep::probe::Probe;

/// More points than any grid needs: a typing error, most likely. (Every point is a
/// column of tables and a cell of every dataset.)
const MOST_POINTS: usize = 1001;
/// How far along the line points may lie: what is beyond is a slip of the hand.
const FARTHEST: f64 = 100.0;

/// A field with a value that makes no sense.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    /// Its name, as `rho` or `sparsify[1].amount`.
    pub field: String,
    /// Expected, got, what to do.
    pub message: String,
}

fn wrong<T>(field: &str, message: impl Into<String>) -> Result<T, Wrong> {
    Err(Wrong { field: field.into(), message: message.into() })
}

impl Wrong {
    fn within(self, place: &str) -> Self {
        Self { field: format!("{place}.{}", self.field), message: self.message }
    }
}

/// A count that must be there.
fn some(field: &str, count: usize, what: &str) -> Result<(), Wrong> {
    if count == 0 { wrong(field, format!("expected at least 1 {what}, got 0")) } else { Ok(()) }
}

impl Spec {
    /// Everything that can be known wrong without opening an input. `path`
    /// names the spec in messages.
    ///
    /// # Errors
    /// The first field that cannot be used.
    pub fn check(&self, path: &Path) -> Result<(), SpecError> {
        let wrong = |field: &str, message: String| {
            Err(SpecError::Field { path: path.into(), field: field.into(), message })
        };
        if self.datasets.is_empty() {
            let message = "expected at least one dataset, got none; add a [[datasets]] section \
                           with name, role and path";
            return wrong("datasets", message.into());
        }
        let mut names = BTreeSet::new();
        for (index, dataset) in self.datasets.iter().enumerate() {
            let field = |name: &str| format!("datasets[{index}].{name}");
            if dataset.name.trim().is_empty() {
                return wrong(&field("name"), "expected a name, got an empty one".into());
            }
            if !names.insert(&dataset.name) {
                let message = format!("`{}` is the name of two datasets; rename one", dataset.name);
                return wrong(&field("name"), message);
            }
            if dataset.limit == Some(0) {
                let message = "expected at least 1 image, got 0; leave it out to use every image";
                return wrong(&field("limit"), message.into());
            }
        }
        if self.sweep.batch == 0 {
            return wrong("sweep.batch", "expected at least 1 image, got 0".into());
        }
        if let Some(scale) = self.checkpoints.logit_scale
            && !(scale.is_finite() && scale > 0.0)
        {
            let message = format!("expected a positive number, as 100.0, got {scale}");
            return wrong("checkpoints.logit_scale", message);
        }
        match &self.sweep.alphas {
            Alphas::List(points) if points.is_empty() => {
                wrong("sweep.alphas", "expected at least one α, got an empty list".into())
            }
            Alphas::List(points) if points.len() > MOST_POINTS => {
                let got = points.len();
                let message = format!(
                    "expected at most {MOST_POINTS} points, got {got}; leave some of them out"
                );
                wrong("sweep.alphas", message)
            }
            Alphas::Range(AlphaRange { steps, .. }) if !(2..=MOST_POINTS).contains(steps) => {
                let message = format!(
                    "expected 2 to {MOST_POINTS} points, got {steps}; `steps` counts both ends"
                );
                wrong("sweep.alphas.steps", message)
            }
            Alphas::Range(AlphaRange { from, to, .. }) if from >= to => {
                let message = format!("expected `from` below `to`, got {from} and {to}");
                wrong("sweep.alphas", message)
            }
            _ if let Some(far) = self.grid().into_iter().find(|it| it.get().abs() > FARTHEST) => {
                let message = format!(
                    "expected points between -{FARTHEST} and {FARTHEST} (0 is zero-shot, 1 is \
                     fine-tuned), got {far}"
                );
                wrong("sweep.alphas", message)
            }
            _ => self
                .check_probes()
                .and_then(|()| self.check_variants())
                .or_else(|it| wrong(&it.field, it.message)),
        }
    }

    fn check_probes(&self) -> Result<(), Wrong> {
        if let Some(spec) = &self.sharpness {
            let known = spec.check().and_then(|()| self.check_name("dataset", &spec.dataset));
            known.map_err(|it| it.within("sharpness"))?;
        }
        if let Some(spec) = &self.barriers {
            let names = spec.datasets.iter().flatten();
            let mut known = names.map(|name| self.check_name("datasets", &Some(name.clone())));
            let known = spec.check().and_then(|()| known.try_for_each(|it| it));
            known.map_err(|it| it.within("barriers"))?;
        }
        if let Some(spec) = &self.curvature {
            let grid = self.grid();
            let off = spec.alphas.iter().flatten().find(|alpha| !grid.contains(alpha));
            let on_grid = match off {
                Some(alpha) => wrong(
                    "alphas",
                    format!("expected points of `sweep.alphas`, got {alpha}, which is not there"),
                ),
                None => Ok(()),
            };
            let known = spec.check().and_then(|()| self.check_name("dataset", &spec.dataset));
            known.and(on_grid).map_err(|it| it.within("curvature"))?;
        }
        self.stragglers.check().map_err(|it| it.within("stragglers"))?;
        self.doctor.as_ref().map_or(Ok(()), |it| it.check().map_err(|it| it.within("doctor")))
    }

    fn check_name(&self, field: &str, name: &Option<String>) -> Result<(), Wrong> {
        let Some(name) = name else { return Ok(()) };
        let known: Vec<&str> = self.datasets.iter().map(|it| it.name.as_str()).collect();
        if known.contains(&name.as_str()) {
            return Ok(());
        }
        let list = known.join("`, `");
        wrong(field, format!("expected the name of a dataset (`{list}`), got `{name}`"))
    }

    fn check_variants(&self) -> Result<(), Wrong> {
        let mut names = BTreeSet::new();
        for (index, variant) in self.variants.iter().enumerate() {
            let place = format!("variants[{index}]");
            let at = |it: Wrong| it.within(&place);
            if variant.name.trim().is_empty() {
                return wrong("name", "expected a name, got an empty one").map_err(at);
            }
            if variant.name == Variant::dense().name {
                let text = "`dense` is the sweep without sparsification, which is always there: \
                            choose another name";
                return wrong("name", text).map_err(at);
            }
            if !names.insert(&variant.name) {
                let text = format!("`{}` is the name of two variants; rename one", variant.name);
                return wrong("name", text).map_err(at);
            }
            let before = &self.variants[..index];
            if let Some(same) = before.iter().find(|it| it.sparsify == variant.sparsify) {
                let text = format!("does the same as `{}`; remove one", same.name);
                return wrong("sparsify", text).map_err(at);
            }
            variant.check_numbers().map_err(at)?;
        }
        Ok(())
    }
}

impl SharpnessSpec {
    /// # Errors
    /// The first field that makes no sense.
    pub fn check(&self) -> Result<(), Wrong> {
        if !(self.rho.is_finite() && self.rho > 0.0) {
            let text = format!("expected a radius above 0, as 0.2, got {}", self.rho);
            return wrong("rho", text);
        }
        match self.kind {
            SharpnessKind::Average if self.draws == 0 || !self.draws.is_multiple_of(2) => {
                let text = format!(
                    "expected an even number of draws (each with its opposite), at least 2, got {}",
                    self.draws
                );
                return wrong("draws", text);
            }
            SharpnessKind::Average => {}
            SharpnessKind::Worst => {
                some("steps", self.steps, "step")?;
                some("restarts", self.restarts, "start")?;
            }
        }
        some("batch", self.batch, "image")?;
        some("batches", self.batches, "batch")?;
        if !self.overall && self.layers == Layers::None {
            let text = "expected `block`, `module` or `tensor`, or `overall = true`, got neither: \
                        nothing would be measured";
            return wrong("layers", text);
        }
        Ok(())
    }
}

impl BarrierSpec {
    /// # Errors
    /// The first field that makes no sense.
    pub fn check(&self) -> Result<(), Wrong> {
        if self.datasets.as_ref().is_some_and(Vec::is_empty) {
            let text = "expected at least one dataset, got none; leave it out to use every id one";
            return wrong("datasets", text);
        }
        some("images", self.images, "image")?;
        needs_layers(self.layers)
    }
}

impl CurvatureSpec {
    /// # Errors
    /// The first field that makes no sense.
    pub fn check(&self) -> Result<(), Wrong> {
        if self.alphas.as_ref().is_some_and(Vec::is_empty) {
            let text = "expected at least one α, got none; leave it out for both ends and the \
                        middle";
            return wrong("alphas", text);
        }
        some("probes", self.probes, "probe")?;
        some("iterations", self.iterations, "step")?;
        some("batch", self.batch, "image")?;
        some("batches", self.batches, "batch")?;
        needs_layers(self.layers)
    }
}

impl Thresholds {
    /// # Errors
    /// The first field that makes no sense.
    pub fn check(&self) -> Result<(), Wrong> {
        let Self { sharpness, barrier, distance } = *self;
        let all = [("sharpness", sharpness), ("barrier", barrier), ("distance", distance)];
        match all.into_iter().find(|(_, it)| !(it.is_finite() && *it > 0.0)) {
            Some((field, it)) => {
                wrong(field, format!("expected a finite number above 0, as 3.0, got {it}"))
            }
            None => Ok(()),
        }
    }
}

impl DoctorSpec {
    /// # Errors
    /// The first field that makes no sense.
    pub fn check(&self) -> Result<(), Wrong> {
        if self.variants < 2 {
            let text =
                format!("expected at least 2 (an edit and its control), got {}", self.variants);
            return wrong("variants", text);
        }
        some("methods", self.methods.len(), "method")?;
        some("amounts", self.amounts.len(), "amount")?;
        if let Some(amount) = self.amounts.iter().find(|it| !(0.0..=1.0).contains(*it)) {
            return wrong("amounts", format!("expected fractions from 0 to 1, got {amount}"));
        }
        needs_layers(self.layers)
    }
}

fn needs_layers(layers: Layers) -> Result<(), Wrong> {
    match layers {
        Layers::None => wrong("layers", "expected `block`, `module` or `tensor`, got `none`"),
        _ => Ok(()),
    }
}

impl Probe {
    /// Whether it can be measured in such a run.
    ///
    /// # Errors
    /// What was expected, what was got.
    pub fn check(&self, header: &Header) -> Result<(), String> {
        let (fields, sets) = match self {
            Self::Sharpness { spec, on } => (spec.check(), vec![*on]),
            Self::Path { spec, on, .. } => (spec.check(), on.clone()),
            Self::Curvature { spec, on } => (spec.check(), vec![*on]),
        };
        fields.map_err(|it| format!("`{}`: {}", it.field, it.message))?;
        let count = header.datasets.len();
        match sets.iter().find(|id| id.index() >= count) {
            Some(id) => Err(format!("expected a dataset under {count}, got {}", id.index())),
            None if sets.is_empty() => Err("expected a dataset, got none".into()),
            None => Ok(()),
        }
    }
}

impl Variant {
    /// Amounts, and N and M. Names are checked with [`Self::check_layers`].
    ///
    /// # Errors
    /// The first field that makes no sense.
    pub fn check_numbers(&self) -> Result<(), Wrong> {
        if self.sparsify.is_empty() {
            let text = "expected at least one edit, as { layer = \"block.3\", method = \"delta\", \
                        amount = 0.5 }, got none";
            return wrong("sparsify", text);
        }
        for (index, edit) in self.sparsify.iter().enumerate() {
            edit.check().map_err(|it| it.within(&format!("sparsify[{index}]")))?;
        }
        Ok(())
    }

    /// Whether every layer it names is among `known`.
    ///
    /// # Errors
    /// The first that is not.
    pub fn check_layers<'a>(
        &self,
        known: impl Iterator<Item = &'a str> + Clone,
    ) -> Result<(), Wrong> {
        for (index, edit) in self.sparsify.iter().enumerate() {
            if known.clone().any(|name| name == edit.layer) {
                continue;
            }
            let text = format!(
                "there is no layer `{}` in play; `alphascope inspect` lists all",
                edit.layer
            );
            return wrong(&format!("sparsify[{index}].layer"), text);
        }
        Ok(())
    }
}

impl Edit {
    fn check(&self) -> Result<(), Wrong> {
        if !(0.0..=1.0).contains(&self.amount) {
            let text = format!("expected a fraction from 0 to 1, got {}", self.amount);
            return wrong("amount", text);
        }
        if self.amount != 1.0 {
            let instead = match self.method {
                Method::Reset => Some("`reset` takes the whole layer back"),
                Method::NOfM => Some("`n:m` goes by n and m, as n = 2, m = 4"),
                _ => None,
            };
            if let Some(why) = instead {
                return wrong("amount", format!("{why}: leave it out, got {}", self.amount));
            }
        }
        let groups = [("n", self.n, 2), ("m", self.m, 4)];
        let given = groups.into_iter().find(|(_, value, usual)| value != usual);
        if let Some((field, value, _)) = given.filter(|_| self.method != Method::NOfM) {
            let text = format!("only the method `n:m` has it: leave it out, got {value}");
            return wrong(field, text);
        }
        if self.method == Method::NOfM && (self.m == 0 || self.n > self.m) {
            let text = format!(
                "expected N of M with N ≤ M and M ≥ 1, as n = 2, m = 4, got n = {}, m = {}",
                self.n, self.m
            );
            return wrong("n", text);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Spec, String> {
        let spec: Spec = toml::from_str(text).map_err(|error| error.to_string())?;
        spec.check(Path::new("s.toml")).map_err(|error| error.to_string())?;
        Ok(spec)
    }

    const ENDS: &str = "[checkpoints]\nzeroshot = 'a'\nfinetuned = 'b'\n";
    const SET: &str = "[[datasets]]\nname = 'x'\nrole = 'id'\npath = 'x'\n";

    #[test]
    fn bad_fields_are_named() {
        const HALF: &str = "{ layer = 'stem', method = 'delta', amount = 0.5 }";
        let table = |name: &str, edits: &str| {
            format!("[[variants]]\nname = '{name}'\nsparsify = [{edits}]\n")
        };
        let variant = |name: &str, edits: &str| format!("{ENDS}{SET}{}", table(name, edits));
        let cases = [
            (ENDS.to_string(), "`datasets`"),
            (format!("{ENDS}{SET}{SET}"), "`datasets[1].name`"),
            (format!("{ENDS}{SET}limit = 0"), "`datasets[0].limit`"),
            (format!("{ENDS}{SET}[sweep]\nbatch = 0"), "`sweep.batch`"),
            (format!("{ENDS}{SET}[sweep]\nalphas = []"), "`sweep.alphas`"),
            (format!("{ENDS}{SET}[sweep]\nalphas = [nan]"), "finite"),
            (format!("{ENDS}{SET}[sweep]\nalphas = [0, 1e30]"), "between -100 and 100"),
            (format!("{ENDS}{SET}[sweep]\nalphas = 3"), "a list of numbers"),
            (format!("{ENDS}{SET}[sweep]\nalphas = {{ from = 0, stop = 1 }}"), "`stop`"),
            (
                format!("{ENDS}{SET}[sweep]\nalphas = {{ from = 0, to = 1, steps = 1 }}"),
                "`sweep.alphas.steps`",
            ),
            (format!("{ENDS}{SET}[sharpness]\nrho = 0"), "`sharpness.rho`"),
            (format!("{ENDS}{SET}[sharpness]\nrho = inf"), "`sharpness.rho`"),
            (format!("{ENDS}{SET}[sharpness]\ndraws = 7"), "`sharpness.draws`"),
            (format!("{ENDS}{SET}[sharpness]\ndraws = 0"), "`sharpness.draws`"),
            (format!("{ENDS}{SET}[sharpness]\nkind = 'worst'\nsteps = 0"), "`sharpness.steps`"),
            (format!("{ENDS}{SET}[sharpness]\nbatches = 0"), "`sharpness.batches`"),
            (format!("{ENDS}{SET}[sharpness]\ndataset = 'y'"), "`sharpness.dataset`"),
            (
                format!("{ENDS}{SET}[sharpness]\noverall = false\nlayers = 'none'"),
                "`sharpness.layers`",
            ),
            (format!("{ENDS}{SET}[sharpness]\nradius = 1"), "radius"),
            (format!("{ENDS}{SET}[barriers]\ndatasets = ['x', 'z']"), "`barriers.datasets`"),
            (format!("{ENDS}{SET}[barriers]\ndatasets = []"), "`barriers.datasets`"),
            (format!("{ENDS}{SET}[barriers]\nlayers = 'none'"), "`barriers.layers`"),
            (format!("{ENDS}{SET}[barriers]\nimages = 0"), "`barriers.images`"),
            (format!("{ENDS}{SET}[curvature]\nalphas = [0.33]"), "`curvature.alphas`"),
            (format!("{ENDS}{SET}[curvature]\nprobes = 0"), "`curvature.probes`"),
            (format!("{ENDS}{SET}[stragglers]\nsharpness = 0"), "`stragglers.sharpness`"),
            (format!("{ENDS}{SET}[stragglers]\nbarrier = inf"), "`stragglers.barrier`"),
            (format!("{ENDS}{SET}[stragglers]\ndistance = nan"), "`stragglers.distance`"),
            (format!("{ENDS}{SET}[stragglers]\nrise = 3"), "rise"),
            (format!("{ENDS}{SET}[doctor]\nvariants = 1"), "`doctor.variants`"),
            (format!("{ENDS}{SET}[doctor]\namounts = [2.0]"), "`doctor.amounts`"),
            (format!("{ENDS}{SET}[doctor]\nlayers = 'none'"), "`doctor.layers`"),
            (variant("dense", HALF), "`variants[0].name`"),
            (variant("v", ""), "`variants[0].sparsify`"),
            (variant("v", "{ layer = 'stem', method = 'delta', amount = 1.5 }"), "[0].amount`"),
            (variant("v", "{ layer = 'stem', method = 'delta', amount = nan }"), "[0].amount`"),
            (variant("v", "{ layer = 'stem', method = 'n:m', n = 5 }"), "[0].n`"),
            (variant("v", "{ layer = 'stem', method = 'reset', amount = 0.5 }"), "[0].amount`"),
            (variant("v", "{ layer = 'stem', method = 'n:m', amount = 0.5 }"), "[0].amount`"),
            (
                variant("v", "{ layer = 'stem', method = 'delta', amount = 0.5, n = 1 }"),
                "only the method `n:m`",
            ),
            (variant("v", "{ layer = 'stem', method = 'prune' }"), "prune"),
            (variant("v", HALF) + &table("v", "{ layer = 'stem', method = 'reset' }"), "rename"),
            (variant("v", HALF) + &table("w", HALF), "`variants[1].sparsify`"),
            (format!("{ENDS}logit_scale = -1.0\n{SET}"), "`checkpoints.logit_scale`"),
            (format!("{ENDS}{SET}colour = 1"), "colour"),
        ];
        for (text, named) in cases {
            let error = parse(&text).unwrap_err();
            assert!(error.contains(named), "{text}\n→ {error}");
        }
    }

    #[test]
    fn layers_are_known_by_name() {
        let edit = |layer: &str| Edit {
            layer: layer.into(),
            method: Method::Reset,
            amount: 1.0,
            n: 2,
            m: 4,
            embeddings: false,
        };
        let variant =
            |layer| Variant { name: "v".into(), sparsify: vec![edit("stem"), edit(layer)] };
        let known = ["stem", "block.0", "block.1", "block.1.mlp", "head"];
        assert_eq!(variant("block.1").check_layers(known.into_iter()), Ok(()));
        let error = variant("blok.1").check_layers(known.into_iter()).unwrap_err();
        assert_eq!(error.field, "sparsify[1].layer");
        assert!(error.message.contains("`blok.1`"), "{}", error.message);
        assert!(variant("x").check_layers(std::iter::empty()).is_err());
    }
}
