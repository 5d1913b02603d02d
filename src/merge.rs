//! A merged checkpoint: θ(α) of any variant as one safetensors file.
//!
//! What is written is what the engine measures on a CPU, bit for bit in float32 (see
//! [`sparsify::path`](crate::sparsify::path)), and rounded once to another type where asked. One
//! tensor at a time is in memory. The file appears under its name only when it is whole.
//!
//! - The image tower: θ(α), with the variant's edits.
//! - The text tower, where a file has one: θ(α); a file without one takes the other's.
//! - A linear head stored at both ends: θ(α), as `classification_head.*` in both namings. Stored at
//!   one end only, the other end's is its zero-shot head over the same classes ([`Twin`]); where
//!   that is not known, and needed, no head is written.
//! - `logit_scale`: θ(α); a file without one takes the other's.

mod error;
pub mod twin;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

pub use error::MergeError;

use crate::checkpoint::arch::{Architecture, Expected, Source};
use crate::checkpoint::config;
use crate::checkpoint::logit_scale;
use crate::checkpoint::names::{HEAD_BIAS, HEAD_WEIGHT, is_head, is_text};
use crate::checkpoint::pair::{Matched, matched, of_files, opened};
use crate::checkpoint::{
    self, Checkpoint, CheckpointError, Dialect, Dtype, End, Overrides, TensorView,
};
use crate::plural::{counted, either};
use crate::sparsify::path::interpolate;
use crate::sparsify::{Plan, Zeros, describe};
use crate::sweep::ids::Alpha;
use crate::sweep::spec::Variant;

/// What to write.
#[derive(Clone, Debug)]
pub struct Request {
    /// θ₀.
    pub zeroshot: PathBuf,
    /// θ₁.
    pub finetuned: PathBuf,
    /// What the spec says of heads and activation, which the file then tells.
    pub overrides: Overrides,
    /// Where on the path; outside \[0, 1\] it extrapolates.
    pub alpha: Alpha,
    /// Which edits; [`Variant::dense`] for none.
    pub variant: Variant,
    /// Of the run whose `dare` edits are meant.
    pub seed: u64,
    /// The file to make.
    pub out: PathBuf,
    /// A file that stands there is replaced, once the new one is whole; else it
    /// must not exist.
    pub replace: bool,
    /// Whose names.
    pub dialect: Dialect,
    /// Type of the numbers.
    pub dtype: Dtype,
    /// What becomes of a linear head that one end stores and the other does not.
    pub twin: Twin,
}

/// The counterpart of a linear head that only one end stores.
#[derive(Clone, Debug, PartialEq)]
pub enum Twin {
    /// Not known: where it is needed, no head is written, and a notice says so.
    Unknown,
    /// The zero-shot head of the end without one, \[classes, embed\] row-major; its bias is zero.
    Weight(Vec<f32>),
    /// No head is written, not even one that both ends store.
    LeaveOut,
}

/// What was written.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Summary {
    /// The file.
    #[serde(serialize_with = "crate::lossy::path")]
    pub out: PathBuf,
    /// Its size.
    pub bytes: u64,
    /// Canonical tensors in it.
    pub tensors: usize,
    /// Whose names.
    pub dialect: Dialect,
    /// Type of its numbers.
    pub dtype: Dtype,
    /// The point.
    pub alpha: f64,
    /// Edits as typed, in order.
    pub sparsify: Vec<String>,
    /// Of every edited tensor, counted in float32.
    pub zeros: Vec<Zeros>,
    /// What a person should know.
    pub notices: Vec<String>,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "wrote {}: θ({}), {}, {} naming, {}, {:.1} MB",
            self.out.display(),
            self.alpha,
            counted(self.tensors, "tensor"),
            self.dialect,
            self.dtype.name(),
            self.bytes as f64 / 1e6
        )?;
        for edit in &self.sparsify {
            writeln!(f, "  sparse  {edit}")?;
        }
        for Zeros { tensor, total, weights, differences } in &self.zeros {
            let (are, stay) = (either(weights, "is", "are"), either(differences, "stays", "stay"));
            writeln!(
                f,
                "  {tensor}: {weights} of {total} {are} 0, {differences} {stay} zero-shot"
            )?;
        }
        self.notices.iter().try_for_each(|notice| writeln!(f, "  note: {notice}"))
    }
}

/// Writes θ(α) of a variant.
///
/// # Errors
/// [`MergeError`]; nothing is left at the place of the file then.
pub fn merge(request: &Request) -> Result<Summary, MergeError> {
    let Request { alpha, variant, out, dialect, dtype, .. } = request;
    room(out, request.replace)?;
    // An end is never replaced by what is made of it.
    let is_end = |end: &Path| std::fs::canonicalize(end).ok() == std::fs::canonicalize(out).ok();
    if out.exists() && (is_end(&request.zeroshot) || is_end(&request.finetuned)) {
        return Err(MergeError::Exists { path: out.clone() });
    }
    let ends = Ends::open(request)?;
    let plan = ends.plan(request)?;
    let tensors = ends.tensors(request);
    let needed = tensors.iter().map(|(_, shape)| shape.iter().product::<usize>()).sum::<usize>();
    space(out, (needed * dtype.size()) as u64)?;
    let mut metadata = ends.metadata(request)?;
    let (told, mut notices) = ends.told(request);
    metadata.extend(told);
    notices.extend(ends.notices(&tensors, &request.twin));
    let mut zeros = Vec::new();
    checkpoint::write(out, *dialect, *dtype, &tensors, &metadata, |name| {
        ends.at(name, *alpha, &plan, &request.twin, &mut zeros).and_then(|tensor| {
            finite(tensor, name, *alpha, || ends.not_finite(name).unwrap_or(out))
        })
    })?;
    let bytes = std::fs::metadata(out)
        .map_err(|source| CheckpointError::Read { path: out.clone(), source })?
        .len();
    Ok(Summary {
        out: out.clone(),
        bytes,
        tensors: tensors.len(),
        dialect: *dialect,
        dtype: *dtype,
        alpha: alpha.get(),
        sparsify: variant.sparsify.iter().map(describe).collect(),
        zeros,
        notices,
    })
}

/// Both files, and how they match.
struct Ends {
    zeroshot: Checkpoint,
    finetuned: Checkpoint,
    both: Matched,
    /// What was done to make them match, and chosen in opening them.
    notices: Vec<String>,
}

impl Ends {
    fn open(request: &Request) -> Result<Self, CheckpointError> {
        let Request { zeroshot, finetuned, overrides, .. } = request;
        let mut notices = Vec::new();
        let (zeroshot, finetuned) = opened(zeroshot, finetuned, overrides, &mut notices)?;
        notices.extend(of_files(&zeroshot, &finetuned));
        let both = matched(&zeroshot, &finetuned)?;
        Ok(Self { zeroshot, finetuned, both, notices })
    }

    /// The same plan as the engine's: a text tower is edited only where it makes the head.
    fn plan(&self, request: &Request) -> Result<Plan, MergeError> {
        let Matched { dims, head, text_same } = &self.both;
        let rows = head.map(|head| (head.classes, head.bias));
        let with_text = !text_same && head.is_none();
        let plan = Plan::resolve(dims, rows, with_text, &request.variant, request.seed)?;
        let Some(head) = head.filter(|head| head.zeroshot != head.finetuned) else {
            return Ok(plan);
        };
        if let Twin::Weight(weight) = &request.twin
            && weight.len() != head.classes * dims.embed
        {
            let expected = head.classes * dims.embed;
            return Err(MergeError::TwinSize { expected, got: weight.len() });
        }
        let edited = plan.tensors().find(|plan| is_head(plan.name()));
        if let Some(edited) = edited.filter(|_| !self.writes_head(request)) {
            return Err(MergeError::Head {
                tensor: edited.name().into(),
                with: self.head_end(),
                classes: head.classes,
                alpha: request.alpha,
            });
        }
        Ok(plan)
    }

    /// Whether a head is stored, wanted, and known at the point.
    fn writes_head(&self, request: &Request) -> bool {
        self.both.head.is_some_and(|head| match request.twin {
            Twin::LeaveOut => false,
            Twin::Weight(_) => true,
            Twin::Unknown => {
                head.zeroshot && request.alpha == Alpha::ZERO_SHOT
                    || head.finetuned && request.alpha == Alpha::FINE_TUNED
                    || head.zeroshot && head.finetuned
            }
        })
    }

    /// The end that alone stores a head, for people.
    fn head_end(&self) -> &'static str {
        if self.both.head.is_some_and(|head| head.zeroshot) { "zero-shot" } else { "fine-tuned" }
    }

    /// What is written, in the order of the forward pass.
    fn tensors(&self, request: &Request) -> Vec<Expected> {
        let Matched { dims, head, .. } = &self.both;
        let mut all = dims.image_tensors();
        if let Some(head) = head.filter(|_| self.writes_head(request)) {
            all.push((HEAD_WEIGHT.into(), vec![head.classes, dims.embed]));
            // model soups' and WiSE-FT's readers ask for one.
            all.push((HEAD_BIAS.into(), vec![head.classes]));
        }
        all.extend(dims.text_tensors());
        if dims.text.is_some() || self.has_logit_scale() {
            all.push(("logit_scale".into(), vec![]));
        }
        all
    }

    /// The file that holds a number of this tensor that is none; `None`: neither.
    fn not_finite(&self, name: &str) -> Option<&Path> {
        let wrong = |file: &&&Checkpoint| file.first_not_finite(name).is_some();
        [&self.zeroshot, &self.finetuned].iter().find(wrong).map(|file| file.path())
    }

    fn has_logit_scale(&self) -> bool {
        self.zeroshot.has("logit_scale") || self.finetuned.has("logit_scale")
    }

    /// A tensor of an end; a text tower or logit scale that one file lacks is the other's.
    fn end(&self, end: End, name: &str) -> Option<TensorView<'_>> {
        let (own, other) = match end {
            End::ZeroShot => (&self.zeroshot, &self.finetuned),
            End::FineTuned => (&self.finetuned, &self.zeroshot),
        };
        let shared = is_text(name) || name == "logit_scale";
        own.get(name).or_else(|| shared.then(|| other.get(name)).flatten())
    }

    /// A tensor at θ(α).
    fn at(
        &self,
        name: &str,
        alpha: Alpha,
        plan: &Plan,
        twin: &Twin,
        zeros: &mut Vec<Zeros>,
    ) -> Result<TensorView<'_>, CheckpointError> {
        let missing = || CheckpointError::Tensor {
            path: self.zeroshot.path().into(),
            tensor: name.into(),
            message: "it is in neither file".into(),
        };
        if name == "logit_scale" {
            logit_scale::own(&self.zeroshot)?;
            logit_scale::own(&self.finetuned)?;
        }
        let (zero, one) = (self.end(End::ZeroShot, name), self.end(End::FineTuned, name));
        let (zero, one) = match (zero, one) {
            (Some(zero), Some(one)) => (zero, one),
            (None, None) if name == HEAD_BIAS => {
                let classes = self.both.head.map_or(0, |head| head.classes);
                return single(vec![classes], &vec![0.0; classes]).ok_or_else(missing);
            }
            (None, None) if name == "logit_scale" => {
                return single(vec![], &[(logit_scale::DEFAULT as f32).ln()]).ok_or_else(missing);
            }
            (Some(zero), None) => {
                let one = self.other(name, &zero, twin).ok_or_else(missing)?;
                (zero, one)
            }
            (None, Some(one)) => {
                let zero = self.other(name, &one, twin).ok_or_else(missing)?;
                (zero, one)
            }
            (None, None) => return Err(missing()),
        };
        if let Some(plan) = plan.tensor(name) {
            let (values, counted) = plan.apply(&zero.to_f32(), &one.to_f32(), alpha);
            zeros.push(counted);
            return single(zero.shape().to_vec(), &values).ok_or_else(missing);
        }
        if alpha == Alpha::ZERO_SHOT || zero.same_values(&one) {
            return Ok(zero);
        }
        if alpha == Alpha::FINE_TUNED {
            return Ok(one);
        }
        let mut values = vec![0.0; zero.len()];
        interpolate(&zero.to_f32(), &one.to_f32(), alpha, &mut values);
        single(zero.shape().to_vec(), &values).ok_or_else(missing)
    }

    /// A head's tensor at the end that stores none. Unknown weights are given as the other end's:
    /// there the point is that end itself (see [`Self::writes_head`]).
    fn other(
        &self,
        name: &str,
        stored: &TensorView<'_>,
        twin: &Twin,
    ) -> Option<TensorView<'static>> {
        let shape = stored.shape().to_vec();
        match (name, twin) {
            (HEAD_BIAS, _) => single(shape, &vec![0.0; stored.len()]),
            (HEAD_WEIGHT, Twin::Weight(weight)) => single(shape, weight),
            (HEAD_WEIGHT, _) => single(shape, &stored.to_f32()),
            _ => None,
        }
    }

    fn metadata(&self, request: &Request) -> Result<BTreeMap<String, String>, CheckpointError> {
        let edits: Vec<String> = request.variant.sparsify.iter().map(describe).collect();
        let mut all = BTreeMap::from([
            ("format".to_string(), "pt".to_string()),
            ("alphascope".into(), env!("CARGO_PKG_VERSION").into()),
            ("alphascope.alpha".into(), request.alpha.to_string()),
            ("alphascope.sparsify".into(), edits.join(" ")),
            ("alphascope.dtype".into(), request.dtype.name().into()),
        ]);
        if !edits.is_empty() {
            all.insert("alphascope.variant".into(), request.variant.name.clone());
            all.insert("alphascope.seed".into(), request.seed.to_string());
        }
        for (end, file) in [("zeroshot", &self.zeroshot), ("finetuned", &self.finetuned)] {
            let name = file.path().file_name().unwrap_or_default().to_string_lossy();
            all.insert(format!("alphascope.{end}"), name.into_owned());
            all.insert(format!("alphascope.{end}.blake3"), file.hash()?);
        }
        Ok(all)
    }

    /// Metadata that tell what tensors do not, so that the file can be read where no
    /// configuration lies beside it; and what a person should know of it.
    fn told(&self, request: &Request) -> (Vec<(String, String)>, Vec<String>) {
        let mut notices = Vec::new();
        let files = [&self.zeroshot, &self.finetuned];
        let dims = &self.both.dims;
        match Architecture::resolve(&files, dims, &request.overrides, &mut notices) {
            Ok(it) => {
                let mut told = config::metadata(&it, request.dialect);
                let sources =
                    [("heads", &it.sources.heads), ("activation", &it.sources.activation)];
                let assumed = sources.iter().filter(|(_, it)| matches!(it, Source::Assumed(_)));
                let assumed: Vec<&str> = assumed.map(|(what, _)| *what).collect();
                if !assumed.is_empty() {
                    told.push(("alphascope.assumed".into(), assumed.join(" ")));
                }
                (told, notices)
            }
            Err(error) => {
                let text = format!("the file does not tell its heads and activation: {error}");
                (Vec::new(), vec![text])
            }
        }
    }

    fn notices(&self, tensors: &[Expected], twin: &Twin) -> Vec<String> {
        let mut notices = self.notices.clone();
        let has = |name: &str| tensors.iter().any(|(own, _)| own == name);
        for (end, file, other) in [
            ("fine-tuned", &self.finetuned, &self.zeroshot),
            ("zero-shot", &self.zeroshot, &self.finetuned),
        ] {
            if !file.has_text() && other.has_text() {
                notices.push(format!("the {end} file has no text tower: the other's is written"));
            }
        }
        if self.both.dims.text.is_none() {
            notices.push("no file has a text tower: none is written".into());
        }
        if self.both.head.is_some() && !has(HEAD_WEIGHT) {
            notices.push(if *twin == Twin::LeaveOut {
                "the stored linear head is left out, as asked".into()
            } else {
                format!(
                    "the linear head is left out: only the {} file stores one, and the other \
                     end's zero-shot head needs class names (`--head-classes FILE`)",
                    self.head_end()
                )
            });
        }
        match [&self.zeroshot, &self.finetuned].map(|file| file.has("logit_scale")) {
            _ if !has("logit_scale") => {}
            [true, true] => {}
            [false, false] => {
                let assumed = logit_scale::DEFAULT;
                notices.push(format!("no file has a logit scale: {assumed} is written"));
            }
            [zeroshot, _] => notices.push(format!(
                "the {} file has no logit scale: the other's is written",
                if zeroshot { "fine-tuned" } else { "zero-shot" }
            )),
        }
        notices
    }
}

fn single(shape: Vec<usize>, values: &[f32]) -> Option<TensorView<'static>> {
    let bytes = values.iter().flat_map(|x| x.to_le_bytes()).collect();
    TensorView::new(Dtype::F32, shape, Cow::Owned(bytes))
}

/// A tensor without NaN or infinities, else an error that names the `culprit`, which is looked for
/// only then.
fn finite<'a, 'b>(
    tensor: TensorView<'a>,
    name: &str,
    alpha: Alpha,
    culprit: impl FnOnce() -> &'b Path,
) -> Result<TensorView<'a>, CheckpointError> {
    match tensor.first_not_finite() {
        None => Ok(tensor),
        Some((at, value)) => Err(CheckpointError::Tensor {
            path: culprit().into(),
            tensor: name.into(),
            message: format!(
                "expected finite numbers, got {value} at element {at} for α = {alpha}; check both \
                 ends with `alphascope inspect`"
            ),
        }),
    }
}

/// Nothing (or a file that may be replaced) stands at the file's place, and its
/// folder is there.
fn room(out: &Path, replace: bool) -> Result<(), MergeError> {
    if out.extension().is_none_or(|end| !end.eq_ignore_ascii_case("safetensors")) {
        return Err(MergeError::Extension { path: out.into() });
    }
    let there = std::fs::symlink_metadata(out);
    if there.is_ok_and(|it| !(replace && it.is_file())) {
        return Err(MergeError::Exists { path: out.into() });
    }
    let folder = folder(out);
    if folder.is_dir() {
        Ok(())
    } else {
        Err(MergeError::Folder { path: out.into(), folder: folder.into() })
    }
}

fn folder(out: &Path) -> &Path {
    match out.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    }
}

/// The file fits; passes where the system does not say how much is free.
fn space(out: &Path, needed: u64) -> Result<(), MergeError> {
    match rustix::fs::statvfs(folder(out)) {
        Ok(system) => {
            let free = system.f_bavail.saturating_mul(system.f_frsize);
            if free < needed {
                return Err(MergeError::Space { path: out.into(), needed, free });
            }
            Ok(())
        }
        Err(_) => Ok(()),
    }
}
