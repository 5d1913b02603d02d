//! How two checkpoints compare, and whether they look like a wrong pair.

use std::path::Path;

use rayon::prelude::*;

use super::arch::Overrides;
use super::describe::{Description, NotFinite, describe_file, not_finite};
use super::error::CheckpointError;
use super::file::Checkpoint;
use super::layers::{Distance, Granularity, distance, layers};
use super::names::{HEAD_BIAS, HEAD_WEIGHT, is_head, is_image};
use super::pair::{HeadInfo, Pair, check_match, complement};
use super::resolve::align;

/// How two files compare.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct PairDescription {
    /// θ₀.
    pub zeroshot: Description,
    /// θ₁.
    pub finetuned: Description,
    /// True when a sweep can be run between them.
    pub matches: bool,
    /// Why not.
    pub problem: Option<String>,
    /// The stored heads; `None` when both ends use zero-shot heads.
    pub head: Option<HeadInfo>,
    /// True when the text tower is the same at both ends; `None` where the
    /// files do not match.
    pub text_same: Option<bool>,
    /// True when every tensor in play has the same values at both ends.
    pub identical: bool,
    /// Distance moved of all layers together.
    pub overall: Option<Distance>,
    /// Distance moved, layer by layer.
    pub layers: Vec<LayerMoved>,
    /// Canonical names of tensors that both files have with the same values.
    pub unchanged: Vec<String>,
    /// Tensors with values that are NaN or infinite.
    pub not_finite: Vec<NotFinite>,
    /// What a person should know.
    pub notices: Vec<String>,
}

/// How far a layer moved.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct LayerMoved {
    /// `stem`, `block.3`, …
    pub name: String,
    /// Numbers in it.
    pub parameters: u64,
    /// ‖θ₁ − θ₀‖₂ / ‖θ₀‖₂; `None` when θ₀ is zero, a value is not finite, or
    /// only one end has the layer.
    pub relative: Option<f64>,
    /// The norms; `None` when only one end has the layer.
    pub distance: Option<Distance>,
}

/// Compares two files. Reads all weights of both.
///
/// # Errors
/// When a file by itself cannot be described. Files that do not match are no
/// error: [`PairDescription::problem`] says why.
pub fn describe_pair(
    zeroshot: &Path,
    finetuned: &Path,
) -> Result<PairDescription, CheckpointError> {
    let (mut a, mut b) = (Checkpoint::open(zeroshot)?, Checkpoint::open(finetuned)?);
    let mut notices = Vec::new();
    complement(&a, &mut b, &mut notices);
    let mut description = PairDescription {
        zeroshot: describe_file(&a)?,
        finetuned: describe_file(&b)?,
        matches: false,
        problem: None,
        head: None,
        text_same: None,
        identical: false,
        overall: None,
        layers: Vec::new(),
        unchanged: Vec::new(),
        not_finite: [&a, &b].iter().flat_map(|file| not_finite(file)).collect(),
        notices: Vec::new(),
    };
    align(&mut a, &mut b, &Overrides::default(), &mut notices)?;
    match check_match(&a, &b) {
        Ok(dims) => {
            let head = description.zeroshot.head.or(description.finetuned.head);
            let head = head.map(|head| (head.classes, head.bias));
            let with_text = a.has_text() && b.has_text();
            let layers = layers(&dims, Granularity::Block, head, with_text);
            // Heads of different lengths cannot be subtracted; `Pair::new` says so below.
            let alike = |name: &str| a.shape(name) == b.shape(name);
            let from = |name: &str| alike(name).then(|| a.get(name)).flatten();
            let to = |name: &str| alike(name).then(|| b.get(name)).flatten();
            let forget = |name: &str| [&a, &b].into_iter().for_each(|file| file.forget(name));
            description.unchanged = unchanged(&a, &b);
            description.layers = layers
                .into_iter()
                .map(|layer| {
                    let distance = distance(&layer.tensors, from, to);
                    layer.tensors.iter().for_each(|name| forget(name));
                    LayerMoved {
                        name: layer.name,
                        parameters: layer.parameters,
                        relative: distance.and_then(|distance| distance.relative()),
                        distance,
                    }
                })
                .collect();
            let moved = description.layers.iter().filter_map(|layer| layer.distance);
            description.overall = moved.reduce(Distance::together);
            description.identical =
                description.overall.is_some_and(|all| all.moved == 0.0 && all.not_finite == 0);
        }
        Err(error) => description.problem = Some(error.to_string()),
    }
    notices.extend(suspicions(&a, &b, &description));
    if description.problem.is_none() {
        match Pair::new(a, b, &Overrides::default()) {
            Ok(pair) => {
                description.matches = true;
                description.head = pair.head;
                description.text_same = Some(pair.text_same);
                notices.extend(pair.notices);
            }
            Err(error) => description.problem = Some(error.to_string()),
        }
    }
    description.notices = notices;
    if !description.not_finite.is_empty() {
        description.matches = false;
        let first = description.not_finite.first().map(|bad| {
            format!("tensor `{}` of {} holds NaN or infinity", bad.tensor, bad.path.display())
        });
        description.problem = description.problem.or(first);
    }
    Ok(description)
}

/// Names of tensors with the same values in both files, `logit_scale` apart.
fn unchanged(a: &Checkpoint, b: &Checkpoint) -> Vec<String> {
    let names: Vec<&str> = a.names().filter(|name| *name != "logit_scale").collect();
    names
        .into_par_iter()
        .filter(|name| {
            let same = match (a.get(name), b.get(name)) {
                (Some(a), Some(b)) => a.same_values(&b),
                _ => false,
            };
            [a, b].into_iter().for_each(|file| file.forget(name));
            same
        })
        .map(str::to_string)
        .collect()
}

/// Further than this, relative to θ₀, no fine-tuning goes: other weights.
const FAR: f64 = 0.9;

/// Signs that the two are not a zero-shot model and what was fine-tuned from it.
fn suspicions(a: &Checkpoint, b: &Checkpoint, found: &PairDescription) -> Vec<String> {
    let mut all = Vec::new();
    match (a.has(HEAD_WEIGHT), b.has(HEAD_WEIGHT)) {
        (true, false) if b.has_text() => all.push(
            "only the zero-shot file stores a linear head: are the two files in the right order?"
                .to_string(),
        ),
        (true, _) => all.extend(trained_head(a)),
        _ => {}
    }
    if let Some(relative) = found.overall.and_then(|all| all.relative())
        && relative > FAR
    {
        all.push(format!(
            "the ends are {relative:.2} of θ₀'s own length apart, too far for fine-tuning: the \
             fine-tuned file seems to come from other pretrained weights"
        ));
    }
    let same = |of: fn(&str) -> bool| {
        let names: Vec<&str> = a.names().filter(|name| of(name)).collect();
        !names.is_empty() && names.iter().all(|name| found.unchanged.iter().any(|u| u == name))
    };
    let heads_alike =
        a.has(HEAD_WEIGHT) == b.has(HEAD_WEIGHT) && (!a.has(HEAD_WEIGHT) || same(is_head));
    if same(is_image) && !(found.identical && heads_alike) {
        all.push(if heads_alike {
            "the image towers have the same values: nothing of them moves along the path".into()
        } else {
            "the image towers have the same values, only heads differ: a linear probe, not a \
             fine-tuned model"
                .into()
        });
    }
    all
}

/// A zero-shot head has rows of one length and no bias; one that was trained
/// (a linear probe, from which some fine-tuning starts) does not.
fn trained_head(file: &Checkpoint) -> Option<String> {
    let weight = file.get(HEAD_WEIGHT)?;
    let &[_, columns @ (1..)] = weight.shape() else { return None };
    let values = weight.to_f32();
    let norms = values.chunks(columns).map(|row| row.iter().map(|x| x * x).sum::<f32>().sqrt());
    let (least, most) =
        norms.fold((f32::INFINITY, 0.0_f32), |(least, most), n| (least.min(n), most.max(n)));
    let bias = file.get(HEAD_BIAS).is_some_and(|bias| bias.to_f32().iter().any(|x| *x != 0.0));
    (most > 1.02 * least || bias).then(|| {
        format!(
            "the head stored in the zero-shot file was trained (its rows are {least:.3} to \
             {most:.3} long, {} bias; a zero-shot head's are all as long, without bias): this end \
             seems to be a linear probe or fine-tuned, not zero-shot",
            if bias { "with" } else { "no" }
        )
    })
}
