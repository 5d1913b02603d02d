//! The sweep a user asked for, as they wrote it (`SPEC.toml`).
//!
//! Field names are part of the public interface: extend, never rename.
//! [`Spec::check`] turns what was written into what can be planned.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::ids::Alpha;

mod check;
mod dataset;
mod doctor;
mod explicit;
mod probes;
mod thresholds;
mod variants;

pub use check::Wrong;
pub use dataset::{Consent, DatasetSpec, Protocol, Role};
pub use doctor::DoctorSpec;
pub use probes::{
    BarrierSpec, Base, CurvatureSpec, Layers, Norm, Scale, SharpnessKind, SharpnessSpec,
};
pub use thresholds::Thresholds;
pub use variants::{Edit, Method, Variant};

/// A spec that cannot be used. The message names the file and the field, what
/// was expected, what was got and what to do.
#[derive(Debug, Error)]
pub enum SpecError {
    /// The file cannot be read.
    #[error("cannot read the spec {path}: {source}; give the path of a TOML file")]
    Read {
        /// The spec's path.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Not TOML, or a field that is unknown or of the wrong type.
    #[error("cannot parse the spec {path}: {message}")]
    Parse {
        /// The spec's path.
        path: PathBuf,
        /// Line, column and expectation, by the TOML parser.
        message: String,
    },
    /// A value that makes no sense.
    #[error("spec {path}, field `{field}`: {message}")]
    Field {
        /// The spec's path.
        path: PathBuf,
        /// Dotted name, as `datasets[1].role`.
        field: String,
        /// Expected, got, what to do.
        message: String,
    },
}

/// A whole spec.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// A sentence shown with every result, as `constructed: …`. Optional.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// The two ends of the path.
    pub checkpoints: Checkpoints,
    /// What accuracy is measured on.
    #[serde(default)]
    pub datasets: Vec<DatasetSpec>,
    /// How it is measured.
    #[serde(default)]
    pub sweep: SweepSpec,
    /// How sharp the loss is around θ(α), as a whole and layer by layer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sharpness: Option<SharpnessSpec>,
    /// Accuracy while one layer alone moves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub barriers: Option<BarrierSpec>,
    /// Second derivatives of the loss, layer by layer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub curvature: Option<CurvatureSpec>,
    /// From which number on a layer is called a straggler.
    #[serde(default, skip_serializing_if = "Thresholds::is_default")]
    pub stragglers: Thresholds,
    /// The same path with some layers made sparse; `dense` is always there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub variants: Vec<Variant>,
    /// A search for an edit that repairs the path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub doctor: Option<DoctorSpec>,
    /// Written by the program into a run's own spec: the hash of every input,
    /// by field. Present, it must agree with what is opened.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub inputs: BTreeMap<String, String>,
}

/// `[checkpoints]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Checkpoints {
    /// θ₀.
    pub zeroshot: PathBuf,
    /// θ₁.
    pub finetuned: PathBuf,
    /// An open_clip model name or a config file; absent: inferred.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub architecture: Option<String>,
    /// Absent: by configuration file, or by the table of known models.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub activation: Option<Activation>,
    /// Whether an activation that the spec does not give is compared with the
    /// other one before a sweep, on a few images at the zero-shot end.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub probe_activation: bool,
    /// Absent: exp(logit_scale) of the zero-shot checkpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logit_scale: Option<f64>,
    /// Rows of a stored head, one class a line; absent: the first id
    /// dataset's classes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head_classes: Option<PathBuf>,
    /// A file with the linear head of ends that store none (as task_vectors
    /// keeps it); absent: such ends have zero-shot heads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head: Option<PathBuf>,
}

/// The non-linearity of the MLPs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    /// x·σ(1.702 x), as OpenAI's weights were trained with.
    QuickGelu,
    /// x·Φ(x), exact.
    Gelu,
}

impl Activation {
    /// Both.
    pub const BOTH: [Self; 2] = [Self::QuickGelu, Self::Gelu];

    /// The one that this is not.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::QuickGelu => Self::Gelu,
            Self::Gelu => Self::QuickGelu,
        }
    }

    /// As a spec and Hugging Face's configurations have it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::QuickGelu => "quick_gelu",
            Self::Gelu => "gelu",
        }
    }

    /// As people write it.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::QuickGelu => "QuickGELU",
            Self::Gelu => "GELU",
        }
    }
}

fn yes() -> bool {
    true
}

#[allow(clippy::trivially_copy_pass_by_ref)] // as serde calls it
fn is_yes(it: &bool) -> bool {
    *it
}

/// `[sweep]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SweepSpec {
    /// The grid.
    pub alphas: Alphas,
    /// Seed of the image order (and of everything random).
    pub seed: u64,
    /// Images per forward pass.
    pub batch: usize,
    /// Of accuracy; sharpness is always measured in float32.
    pub precision: Precision,
    /// Where BatchNorm's running statistics come from, in a ResNet.
    #[serde(skip_serializing_if = "BatchNorm::is_default")]
    pub batchnorm: BatchNorm,
}

/// Where the running statistics of BatchNorm come from at a point of the path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BatchNorm {
    /// Interpolated like the weights.
    #[default]
    Interpolate,
    /// Made anew at each point from the first images of the first id dataset's order.
    Recompute,
}

impl BatchNorm {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl Default for SweepSpec {
    fn default() -> Self {
        Self {
            alphas: Alphas::default(),
            seed: 0,
            batch: 128,
            precision: Precision::Auto,
            batchnorm: BatchNorm::default(),
        }
    }
}

/// `alphas = [..]` or `{ from, to, steps }` (so many points, ends included).
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Alphas {
    /// Every point named.
    List(Vec<Alpha>),
    /// Evenly spaced points.
    Range(AlphaRange),
}

/// By shape, not by trial: a wrong entry is then told in its own words.
impl<'de> Deserialize<'de> for Alphas {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ByShape;
        impl<'de> serde::de::Visitor<'de> for ByShape {
            type Value = Alphas;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a list of numbers, or { from = 0.0, to = 1.0, steps = 11 }")
            }
            fn visit_seq<A: serde::de::SeqAccess<'de>>(self, list: A) -> Result<Alphas, A::Error> {
                Vec::deserialize(serde::de::value::SeqAccessDeserializer::new(list))
                    .map(Alphas::List)
            }
            fn visit_map<A: serde::de::MapAccess<'de>>(self, map: A) -> Result<Alphas, A::Error> {
                AlphaRange::deserialize(serde::de::value::MapAccessDeserializer::new(map))
                    .map(Alphas::Range)
            }
        }
        deserializer.deserialize_any(ByShape)
    }
}

/// Evenly spaced points.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AlphaRange {
    /// First point.
    pub from: Alpha,
    /// Last point.
    pub to: Alpha,
    /// How many points, at least 2.
    pub steps: usize,
}

impl Default for Alphas {
    /// 0, 0.1 … 1.
    fn default() -> Self {
        Self::Range(AlphaRange { from: Alpha::ZERO_SHOT, to: Alpha::FINE_TUNED, steps: 11 })
    }
}

/// Arithmetic of the accuracy sweep.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// bfloat16 on CUDA after a check on the first round, else float32.
    #[default]
    Auto,
    /// float32 (TF32 off).
    Fp32,
    /// bfloat16.
    Bf16,
}

impl Spec {
    /// Reads a spec and makes its paths absolute (they are relative to the
    /// file).
    ///
    /// # Errors
    /// [`SpecError`] when it cannot be read or parsed.
    pub fn load(path: &Path) -> Result<Self, SpecError> {
        let text = crate::regular::text(path)
            .map_err(|source| SpecError::Read { path: path.into(), source })?;
        let mut spec: Self = toml::from_str(&text).map_err(|error| SpecError::Parse {
            path: path.into(),
            message: error.to_string().trim_end().to_string(),
        })?;
        let absolute = std::path::absolute(path)
            .map_err(|source| SpecError::Read { path: path.into(), source })?;
        spec.resolve(absolute.parent().unwrap_or(Path::new("/")));
        Ok(spec)
    }

    /// Makes every relative path start at `base`.
    pub fn resolve(&mut self, base: &Path) {
        let join = |path: &mut PathBuf| *path = base.join(&*path);
        join(&mut self.checkpoints.zeroshot);
        join(&mut self.checkpoints.finetuned);
        self.checkpoints.head_classes.iter_mut().for_each(join);
        self.checkpoints.head.iter_mut().for_each(join);
        self.datasets.iter_mut().for_each(|dataset| dataset.resolve(base));
    }

    /// The grid: ascending, each point once.
    #[must_use]
    pub fn grid(&self) -> Vec<Alpha> {
        let mut points = match &self.sweep.alphas {
            Alphas::List(points) => points.clone(),
            Alphas::Range(AlphaRange { from, to, steps }) => {
                let last = steps.saturating_sub(1).max(1);
                // Weighted ends rather than added steps: 0.3 is 0.3, not
                // 0.30000000000000004, and both ends are exact.
                let point =
                    |i: usize| ((last - i) as f64 * from.get() + i as f64 * to.get()) / last as f64;
                (0..*steps).filter_map(|i| Alpha::new(point(i))).collect()
            }
        };
        points.sort_by(|a, b| a.get().total_cmp(&b.get()));
        points.dedup();
        points
    }

    /// The spec as TOML.
    ///
    /// # Errors
    /// When a path is not UTF-8.
    pub fn to_toml(&self) -> Result<String, SpecError> {
        toml::to_string_pretty(self).map_err(|error| SpecError::Parse {
            path: PathBuf::from("(resolved)"),
            message: format!(
                "{error}: a spec is text, and so must be every path in it; rename what is not"
            ),
        })
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
    fn the_default_grid_has_eleven_exact_points() {
        let spec = parse(&format!("{ENDS}{SET}")).unwrap();
        let points: Vec<f64> = spec.grid().into_iter().map(Alpha::get).collect();
        assert_eq!(points, [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]);
    }

    #[test]
    fn a_list_is_sorted_and_each_point_counts_once() {
        let spec =
            parse(&format!("{ENDS}{SET}[sweep]\nalphas = [1.0, 0.0, -0.5, 1, 0.25]")).unwrap();
        let points: Vec<f64> = spec.grid().into_iter().map(Alpha::get).collect();
        assert_eq!(points, [-0.5, 0.0, 0.25, 1.0]);
    }

    #[test]
    fn a_written_spec_reads_back() {
        let mut spec = parse(&format!("label = 'l'\n{ENDS}{SET}")).unwrap();
        spec.inputs.insert("datasets.x".into(), "00".into());
        assert_eq!(toml::from_str::<Spec>(&spec.to_toml().unwrap()).unwrap(), spec);
    }
}
