//! Two checkpoints that make a path: the same tensors at both ends, checked
//! one by one.
//!
//! The fine-tuned file may lack the text tower (it then comes from the
//! zero-shot file) and either file may store a linear head.

use std::path::Path;

use rayon::prelude::*;

use super::arch::{Architecture, Dims, Expected, Overrides, compare};
use super::error::{CheckpointError, Mismatch};
use super::file::Checkpoint;
use super::known::VOCABULARY;
use super::logit_scale::LogitScale;
use super::names::{HEAD_BIAS, HEAD_WEIGHT, is_head, is_text};
use super::resolve::align;
use super::tensor::TensorView;
use crate::plural::counted;

/// One end of the path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// θ₀, α = 0.
    ZeroShot,
    /// θ₁, α = 1.
    FineTuned,
}

/// A linear head stored at one or both ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct HeadInfo {
    /// Rows.
    pub classes: usize,
    /// True when a stored head has a bias; an end without one counts as zeros.
    pub bias: bool,
    /// The zero-shot file stores one.
    pub zeroshot: bool,
    /// The fine-tuned file stores one.
    pub finetuned: bool,
}

/// Two files that make a path.
#[derive(Debug)]
pub struct Pair {
    /// θ₀.
    pub zeroshot: Checkpoint,
    /// θ₁.
    pub finetuned: Checkpoint,
    /// Of both.
    pub architecture: Architecture,
    /// `None`: both ends use zero-shot heads.
    pub head: Option<HeadInfo>,
    /// True when the text tower has the same values at both ends (or only one
    /// file has it, or none): a zero-shot head is then computed once.
    pub text_same: bool,
    /// The factor of zero-shot logits: exp(`logit_scale`) of the files, or the spec's.
    pub logit_scale: LogitScale,
    /// What a person should know before believing the results.
    pub notices: Vec<String>,
}

impl Pair {
    /// Opens both files and checks that they make a path. Reads headers and,
    /// where both files have a text tower, its bytes until they differ.
    ///
    /// # Errors
    /// When a file cannot be opened or understood, or the two do not match:
    /// the message lists what is missing, left over or of another shape.
    pub fn open(
        zeroshot: &Path,
        finetuned: &Path,
        overrides: &Overrides,
    ) -> Result<Self, CheckpointError> {
        Self::new(Checkpoint::open(zeroshot)?, Checkpoint::open(finetuned)?, overrides)
    }

    /// As [`Self::open`], of files already open.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn new(
        mut zeroshot: Checkpoint,
        mut finetuned: Checkpoint,
        overrides: &Overrides,
    ) -> Result<Self, CheckpointError> {
        let mut notices = Vec::new();
        bring_together(&mut zeroshot, &mut finetuned, overrides, &mut notices)?;
        if let Some(head) = &overrides.head {
            for (end, file) in [("zero-shot", &mut zeroshot), ("fine-tuned", &mut finetuned)] {
                if !file.has(HEAD_WEIGHT) {
                    file.attach_head(head)?;
                    notices.push(format!(
                        "linear head of the {end} end taken from {}",
                        head.display()
                    ));
                }
            }
        }
        notices.extend(of_files(&zeroshot, &finetuned));
        let Matched { dims, head, text_same } = matched(&zeroshot, &finetuned)?;
        let stored_at_both = head.is_some_and(|head| head.zeroshot && head.finetuned);
        let wrong = |message: String| CheckpointError::Pair {
            zeroshot: zeroshot.path().into(),
            finetuned: finetuned.path().into(),
            message,
        };
        if dims.text.is_none() && !stored_at_both {
            return Err(wrong(
                "a zero-shot head is needed at an end that stores no linear head, but no file has \
                 a text tower; give the full zero-shot CLIP, files that both store \
                 `classification_head.weight`, or the file of a head as `checkpoints.head`"
                    .into(),
            ));
        }
        let files: &[&Checkpoint] =
            if same_file(&zeroshot, &finetuned) { &[&zeroshot] } else { &[&zeroshot, &finetuned] };
        let architecture = Architecture::resolve(files, &dims, overrides, &mut notices)?;
        if files.len() == 1 {
            notices.push("both ends are the same file: every point of the path is it".into());
        }
        if !stored_at_both {
            match (zeroshot.has_text(), finetuned.has_text()) {
                (true, false) => notices.push(
                    "text tower of both ends taken from the zero-shot file: the fine-tuned one \
                     has none"
                        .into(),
                ),
                (false, true) => notices.push(
                    "text tower of both ends taken from the fine-tuned file: the zero-shot one \
                     has none"
                        .into(),
                ),
                _ => {}
            }
        }
        if let Some(head) = head.filter(|head| head.zeroshot != head.finetuned) {
            let ends = ["zero-shot", "fine-tuned"];
            let [with, without] = if head.zeroshot { ends } else { [ends[1], ends[0]] };
            notices.push(format!(
                "only the {with} file stores a linear head ({}): the {without} end's is \
                 its zero-shot head over the same classes",
                counted(head.classes, "class")
            ));
        }
        dtype_notice(&zeroshot, &finetuned, &mut notices);
        let logit_scale =
            LogitScale::of(&zeroshot, &finetuned, overrides, stored_at_both, &mut notices)?;
        if !stored_at_both && !text_same {
            notices.push("the text towers differ: they move along the path too".into());
        }
        Ok(Self { zeroshot, finetuned, architecture, head, text_same, logit_scale, notices })
    }

    /// The file at an end.
    #[must_use]
    pub fn file(&self, end: End) -> &Checkpoint {
        match end {
            End::ZeroShot => &self.zeroshot,
            End::FineTuned => &self.finetuned,
        }
    }

    /// A tensor at an end. A text tower that one file lacks comes from the
    /// other; a stored head never does. `None` for names that are no tensors
    /// of this pair.
    #[must_use]
    pub fn end(&self, end: End, name: &str) -> Option<TensorView<'_>> {
        let (own, other) = match end {
            End::ZeroShot => (&self.zeroshot, &self.finetuned),
            End::FineTuned => (&self.finetuned, &self.zeroshot),
        };
        own.get(name).or_else(|| is_text(name).then(|| other.get(name)).flatten())
    }

    /// As [`Self::end`], as float32, checked to be finite.
    ///
    /// # Errors
    /// When the tensor is not there or has a value that is NaN or infinite.
    pub fn values(&self, end: End, name: &str) -> Result<Vec<f32>, CheckpointError> {
        let own = self.file(end);
        let from = if own.has(name) || !is_text(name) {
            own
        } else {
            self.file(if end == End::ZeroShot { End::FineTuned } else { End::ZeroShot })
        };
        from.check_finite(name)?;
        from.get(name).map(|tensor| tensor.to_f32()).ok_or_else(|| CheckpointError::Tensor {
            path: own.path().into(),
            tensor: name.into(),
            message: "it is not in the file".into(),
        })
    }

    /// True when at least one end needs a zero-shot head, so a text tower.
    #[must_use]
    pub fn needs_text(&self) -> bool {
        !self.head.is_some_and(|head| head.zeroshot && head.finetuned)
    }

    /// True when the text tower moves along the path.
    #[must_use]
    pub fn text_moves(&self) -> bool {
        self.needs_text() && !self.text_same
    }

    /// Fails where a zero-shot head is needed and the text tower is not for CLIP's tokenizer.
    ///
    /// # Errors
    /// [`CheckpointError::Pair`].
    pub fn check_vocabulary(&self) -> Result<(), CheckpointError> {
        if !self.needs_text() || self.architecture.takes_clip_tokens() {
            return Ok(());
        }
        let vocabulary = self.architecture.text.as_ref().map_or(0, |text| text.vocab);
        Err(CheckpointError::Pair {
            zeroshot: self.zeroshot.path().into(),
            finetuned: self.finetuned.path().into(),
            message: format!(
                "a zero-shot head is needed at an end that stores no linear head, but the text \
                 tower has a vocabulary of {vocabulary} tokens, expected the {VOCABULARY} of CLIP's \
                 tokenizer; give files that both store `{HEAD_WEIGHT}`, or the file of a head as \
                 `checkpoints.head`"
            ),
        })
    }

    /// Tensors that move along the path, with their shapes: the image tower,
    /// and the text tower where it moves. Stored heads are not among them (an
    /// end may lack one): see [`Self::head`].
    #[must_use]
    pub fn tensors(&self) -> Vec<Expected> {
        let mut all = self.architecture.image_tensors();
        if self.text_moves() {
            all.extend(self.architecture.text_tensors());
        }
        all
    }

    /// Reads every tensor that will be used, on all cores, and fails on the
    /// first value that is NaN or infinite.
    ///
    /// # Errors
    /// [`CheckpointError::Tensor`] naming file and tensor.
    pub fn check_finite(&self) -> Result<(), CheckpointError> {
        let mut names: Vec<String> =
            self.architecture.image_tensors().into_iter().map(|(name, _)| name).collect();
        if self.needs_text() {
            names.extend(self.architecture.text_tensors().into_iter().map(|(name, _)| name));
        }
        names.extend([HEAD_WEIGHT.into(), HEAD_BIAS.into()]);
        names.par_iter().try_for_each(|name| {
            self.zeroshot.check_finite(name)?;
            self.finetuned.check_finite(name)
        })
    }
}

/// Name of the projection of image features.
const PROJECTION: &str = "visual.proj";

/// A fine-tuned image tower without its projection (`CLIPVisionModel`) has the zero-shot end's.
pub(super) fn complement(
    zeroshot: &Checkpoint,
    finetuned: &mut Checkpoint,
    notices: &mut Vec<String>,
) {
    let width = |file: &Checkpoint| file.shape("visual.class_embedding").map(<[usize]>::to_vec);
    if finetuned.has(PROJECTION)
        || width(finetuned).is_none()
        || width(finetuned) != width(zeroshot)
    {
        return;
    }
    if let Some(projection) = zeroshot.get(PROJECTION) {
        finetuned.borrow(PROJECTION, &projection);
        notices.push(format!(
            "`{PROJECTION}` of the fine-tuned end taken from the zero-shot file: the fine-tuned one \
             has none"
        ));
    }
}

/// What two files have in common, as far as tensors tell.
#[derive(Clone, Debug)]
pub struct Matched {
    /// Of both together.
    pub dims: Dims,
    /// `None`: neither stores a head.
    pub head: Option<HeadInfo>,
    /// See [`Pair::text_same`].
    pub text_same: bool,
}

/// Opens two files as they stand on a path: what the fine-tuned one lacks is the other's, and the
/// position embeddings of both are of one grid. What was done goes to `notices`.
///
/// # Errors
/// When a file cannot be opened, or the architecture that is asked for is unknown.
pub fn opened(
    zeroshot: &Path,
    finetuned: &Path,
    overrides: &Overrides,
    notices: &mut Vec<String>,
) -> Result<(Checkpoint, Checkpoint), CheckpointError> {
    let (mut zeroshot, mut finetuned) = (Checkpoint::open(zeroshot)?, Checkpoint::open(finetuned)?);
    bring_together(&mut zeroshot, &mut finetuned, overrides, notices)?;
    Ok((zeroshot, finetuned))
}

/// [`complement`], then [`align`].
fn bring_together(
    zeroshot: &mut Checkpoint,
    finetuned: &mut Checkpoint,
    overrides: &Overrides,
    notices: &mut Vec<String>,
) -> Result<(), CheckpointError> {
    complement(zeroshot, finetuned, notices);
    align(zeroshot, finetuned, overrides, notices)
}

/// What opening each file has to say, with its end.
pub(crate) fn of_files(zeroshot: &Checkpoint, finetuned: &Checkpoint) -> Vec<String> {
    let mut notices = Vec::new();
    for (end, file) in [("zero-shot", zeroshot), ("fine-tuned", finetuned)] {
        notices.extend(file.notices().iter().map(|notice| format!("{end} file: {notice}")));
    }
    notices
}

/// Checks that two files have the same tensors and heads of the same size. Asks nothing that
/// tensors do not tell, so that it serves where nothing is computed.
///
/// # Errors
/// As [`check_match`], or when two stored heads differ in size.
pub fn matched(zeroshot: &Checkpoint, finetuned: &Checkpoint) -> Result<Matched, CheckpointError> {
    let dims = check_match(zeroshot, finetuned)?;
    let head = head(zeroshot, finetuned, &dims)?;
    let text_same = text_same(zeroshot, finetuned, &dims);
    Ok(Matched { dims, head, text_same })
}

/// Checks that two files have the same tensors, as far as a path needs them:
/// image towers alike, text towers alike or in one file only. Reads no
/// weights. Gives the dimensions of both together.
///
/// # Errors
/// Lists of what is missing, left over or of another shape.
pub fn check_match(zeroshot: &Checkpoint, finetuned: &Checkpoint) -> Result<Dims, CheckpointError> {
    let mut dims = Dims::infer(zeroshot)?;
    complete(zeroshot, &dims)?;
    let other = Dims::infer(finetuned)?;
    // A tower that lacks blocks is compared with the zero-shot one, not with itself.
    if other.image == dims.image && (other.text.is_none() || dims.text.is_none()) {
        complete(finetuned, &other)?;
    }
    if dims.text.is_none() {
        dims.text = other.text;
    }
    let mut expected = dims.image_tensors();
    if finetuned.has_text() {
        expected.extend(dims.text_tensors());
    }
    let mismatch = compare(finetuned, &expected, |name| is_head(name) || name == "logit_scale");
    refuse(finetuned, format!("{} (zero-shot)", zeroshot.path().display()), mismatch)?;
    Ok(dims)
}

/// Checks that a file has all tensors of its own dimensions and no others.
pub(super) fn complete(file: &Checkpoint, dims: &Dims) -> Result<(), CheckpointError> {
    let mut expected = dims.image_tensors();
    expected.extend(dims.text_tensors());
    let mismatch = compare(file, &expected, |name| is_head(name) || name == "logit_scale");
    refuse(file, format!("a plain CLIP, {}", dims.image.label()), mismatch)
}

fn refuse(file: &Checkpoint, against: String, mismatch: Mismatch) -> Result<(), CheckpointError> {
    if mismatch.is_empty() {
        return Ok(());
    }
    let path = file.path().into();
    Err(CheckpointError::Mismatch { path, against, mismatch: Box::new(mismatch) })
}

fn same_file(a: &Checkpoint, b: &Checkpoint) -> bool {
    match (a.path().canonicalize(), b.path().canonicalize()) {
        (Ok(a), Ok(b)) => a == b,
        _ => a.path() == b.path(),
    }
}

/// Shape of a file's stored head: classes, and whether it has a bias.
pub(super) fn stored_head(
    file: &Checkpoint,
    embed: usize,
) -> Result<Option<(usize, bool)>, CheckpointError> {
    let wrong = |tensor: &str, message: String| CheckpointError::Tensor {
        path: file.path().into(),
        tensor: tensor.into(),
        message,
    };
    let Some(shape) = file.shape(HEAD_WEIGHT) else {
        return match file.shape(HEAD_BIAS) {
            Some(_) => Err(wrong(HEAD_BIAS, format!("a bias without `{HEAD_WEIGHT}`"))),
            None => Ok(None),
        };
    };
    let &[classes @ (1..), width] = shape else {
        return Err(wrong(
            HEAD_WEIGHT,
            format!("expected shape [classes, {embed}], got {shape:?}"),
        ));
    };
    if width != embed {
        return Err(wrong(
            HEAD_WEIGHT,
            format!("expected {embed} columns (the embedding), got shape {shape:?}"),
        ));
    }
    match file.shape(HEAD_BIAS) {
        Some(bias) if bias != [classes] => {
            Err(wrong(HEAD_BIAS, format!("expected shape [{classes}], got {bias:?}")))
        }
        bias => Ok(Some((classes, bias.is_some()))),
    }
}

fn head(
    zeroshot: &Checkpoint,
    finetuned: &Checkpoint,
    dims: &Dims,
) -> Result<Option<HeadInfo>, CheckpointError> {
    let (a, b) = (stored_head(zeroshot, dims.embed)?, stored_head(finetuned, dims.embed)?);
    if let (Some((a, _)), Some((b, _))) = (a, b)
        && a != b
    {
        return Err(CheckpointError::Pair {
            zeroshot: zeroshot.path().into(),
            finetuned: finetuned.path().into(),
            message: format!(
                "their stored heads have {a} and {b} classes; use heads over the same class list"
            ),
        });
    }
    Ok(a.or(b).map(|(classes, _)| HeadInfo {
        classes,
        bias: [a, b].iter().flatten().any(|(_, bias)| *bias),
        zeroshot: a.is_some(),
        finetuned: b.is_some(),
    }))
}

fn text_same(zeroshot: &Checkpoint, finetuned: &Checkpoint, dims: &Dims) -> bool {
    if !zeroshot.has_text() || !finetuned.has_text() || same_file(zeroshot, finetuned) {
        return true;
    }
    // Smallest first: towers that differ mostly differ there already.
    let mut tensors = dims.text_tensors();
    tensors.sort_by_key(|(_, shape)| shape.iter().product::<usize>());
    tensors.par_iter().all(|(name, _)| match (zeroshot.get(name), finetuned.get(name)) {
        (Some(a), Some(b)) => a.same_values(&b),
        _ => false,
    })
}

fn dtype_notice(zeroshot: &Checkpoint, finetuned: &Checkpoint, notices: &mut Vec<String>) {
    let name = "visual.conv1.weight";
    if let (Some(a), Some(b)) = (zeroshot.dtype(name), finetuned.dtype(name))
        && a != b
    {
        notices.push(format!(
            "the zero-shot file is {}, the fine-tuned one {}: all is interpolated in fp32",
            a.name(),
            b.name()
        ));
    }
}
