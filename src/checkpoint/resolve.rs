//! Decides what shapes do not tell: heads, activation, preprocessing.

use std::path::Path;

use super::arch::{
    Architecture, Dims, ImageTower, MEAN, Overrides, STD, Source, Sources, TextTower,
};
use super::config::{self, ModelConfig};
use super::container::Container;
use super::error::CheckpointError;
use super::file::Checkpoint;
use super::known;
use super::names::Dialect;
use crate::sweep::spec::{Activation, Checkpoints};

impl From<&Checkpoints> for Overrides {
    fn from(spec: &Checkpoints) -> Self {
        Self {
            architecture: spec.architecture.clone(),
            activation: spec.activation,
            logit_scale: spec.logit_scale,
            head: spec.head.clone(),
        }
    }
}

/// See [`Architecture::resolve`].
pub(super) fn resolve(
    files: &[&Checkpoint],
    dims: &Dims,
    overrides: &Overrides,
    notices: &mut Vec<String>,
) -> Result<Architecture, CheckpointError> {
    let asked = asked(files, dims, overrides)?;
    let mut found = Vec::new();
    if !matches!(asked, Some(Asked::Config(..))) {
        for file in files {
            found.extend(configured(file, dims, notices)?);
        }
    }
    agree(files, &found, overrides, asked.is_some())?;
    // One that knows of both towers comes first.
    found.sort_by_key(|(config, _)| config.image_alone);
    // The configuration that counts, and the one to take preprocessing from.
    let (config, source) = match (&asked, found.first()) {
        (Some(Asked::Config(config) | Asked::Name(config, _)), _) => (Some(config), Source::Spec),
        (None, Some((config, source))) => (Some(config), source.clone()),
        (None, None) => (None, Source::Spec),
    };

    let (heads, heads_source) = match config {
        Some(config) => (config.image.heads, source.clone()),
        None => image_heads(files, dims, notices)?,
    };
    let text = match &dims.text {
        None => None,
        Some(text) => {
            let (heads, source) = match config {
                Some(config) if !config.image_alone => (config.text.heads, source.clone()),
                _ => text_heads(files, dims, (text.width, text.layers), notices)?,
            };
            let tower = TextTower {
                context: text.context,
                vocab: text.vocab,
                width: text.width,
                layers: text.layers,
                heads,
                mlp_width: text.mlp_width,
            };
            Some((tower, source))
        }
    };
    let (text, text_heads_source) = text.unzip();

    let (activation, text_activation, activation_source) =
        activation(files, overrides, asked.as_ref(), found.first(), notices);
    let ((mean, std), preprocess) = match (&asked, found.first()) {
        (Some(Asked::Config(config)), _) if config.normalize.is_some() => {
            (config.normalize.unwrap_or((MEAN, STD)), Source::Spec)
        }
        (_, Some((ModelConfig { normalize: Some(both), .. }, source))) => (*both, source.clone()),
        _ => ((MEAN, STD), Source::Assumed("OpenAI CLIP's means, as open_clip does".into())),
    };
    let size = match config {
        Some(config) => config.image_size,
        None => dims.image.grid.saturating_mul(dims.image.patch),
    };
    Ok(Architecture {
        name: known::by_dims(dims).map(|known| known.name.to_string()),
        image: ImageTower {
            size,
            patch: dims.image.patch,
            grid: dims.image.grid,
            width: dims.image.width,
            layers: dims.image.layers,
            heads,
            mlp_width: dims.image.mlp_width,
            resnet: dims.image.resnet,
        },
        text,
        embed: dims.embed,
        activation,
        text_activation,
        mean,
        std,
        sources: Sources {
            heads: heads_source,
            text_heads: text_heads_source,
            activation: activation_source,
            preprocess,
        },
    })
}

/// What the spec's `architecture` means.
enum Asked {
    /// A configuration file.
    Config(ModelConfig),
    /// A known model, and whether its name asks for QuickGELU.
    Name(ModelConfig, bool),
}

/// The configuration that the spec's `architecture` names.
fn asked_config(overrides: &Overrides) -> Result<Option<Asked>, CheckpointError> {
    let Some(architecture) = &overrides.architecture else { return Ok(None) };
    let path = Path::new(architecture);
    if path.is_file() || architecture.ends_with(".json") {
        let config = ModelConfig::read(path)
            .map_err(|message| CheckpointError::Config { path: path.into(), message })?;
        Ok(Some(Asked::Config(config)))
    } else if let Some((known, quick)) = known::by_name(architecture) {
        Ok(Some(Asked::Name(ModelConfig::of(&known, quick), quick)))
    } else {
        let names: Vec<_> = known::all().map(|known| known.name).collect();
        Err(CheckpointError::Override {
            field: "architecture",
            message: format!(
                "expected a configuration file (.json) or one of {}, got `{architecture}`",
                names.join(", ")
            ),
        })
    }
}

/// Brings the position embeddings of both ends to one grid: that of the asked
/// architecture, else the larger of the two. What was done goes to `notices`.
///
/// # Errors
/// When the asked architecture is unknown.
pub(super) fn align(
    zeroshot: &mut Checkpoint,
    finetuned: &mut Checkpoint,
    overrides: &Overrides,
    notices: &mut Vec<String>,
) -> Result<(), CheckpointError> {
    let patch =
        |file: &Checkpoint| file.shape("visual.conv1.weight").and_then(|s| s.last().copied());
    let asked = match asked_config(overrides)? {
        Some(Asked::Config(config) | Asked::Name(config, _)) => {
            // Of another patch size it is another model: said elsewhere.
            let same = patch(zeroshot) == Some(config.patch);
            same.then(|| config.image_size / config.patch.max(1)).filter(|grid| *grid > 0)
        }
        None => None,
    };
    let (Some(a), Some(b)) = (zeroshot.grid(), finetuned.grid()) else { return Ok(()) };
    if patch(zeroshot) != patch(finetuned) {
        return Ok(());
    }
    let (grid, why) = match asked {
        Some(grid) => (grid, "as `architecture` asks"),
        None => (a.max(b), "the larger of the two ends'"),
    };
    for (end, file) in [("zero-shot", zeroshot), ("fine-tuned", finetuned)] {
        let from = file.grid().unwrap_or(grid);
        if grid <= MAX_GRID && file.resize_positions(grid) {
            notices.push(format!(
                "position embedding of the {end} file resized from {from}×{from} to {grid}×{grid} \
                 patches ({why}), as open_clip does: that end is no longer exactly the file"
            ));
        }
    }
    Ok(())
}

/// Largest grid that is resized to: 8192 pixels in patches of 16.
const MAX_GRID: usize = 512;

fn asked(
    files: &[&Checkpoint],
    dims: &Dims,
    overrides: &Overrides,
) -> Result<Option<Asked>, CheckpointError> {
    let Some(asked) = asked_config(overrides)? else { return Ok(None) };
    let (Asked::Config(config) | Asked::Name(config, _)) = &asked;
    let architecture = overrides.architecture.as_deref().unwrap_or_default();
    let differences = config.differences(dims);
    if !differences.is_empty() {
        return Err(CheckpointError::Architecture {
            path: first_path(files),
            message: format!(
                "the spec says {architecture}, but the file has {}; correct or remove \
                 `architecture`",
                differences.join(", ")
            ),
        });
    }
    Ok(Some(asked))
}

/// The configuration that travels in or beside a file, if it fits.
fn configured(
    file: &Checkpoint,
    dims: &Dims,
    notices: &mut Vec<String>,
) -> Result<Option<(ModelConfig, Source)>, CheckpointError> {
    // A configuration tells of the file as it is, before its positions are resized.
    let mut own = dims.clone();
    own.image.grid = file.grid().unwrap_or(dims.image.grid);
    let resized = |mut config: ModelConfig| {
        if own.image.grid != dims.image.grid {
            config.image_size = dims.image.grid.saturating_mul(dims.image.patch);
        }
        config
    };
    for key in config::KEYS {
        match ModelConfig::in_metadata(file.metadata(), key) {
            Ok(None) => {}
            Ok(Some(config)) if config.differences(&own).is_empty() => {
                return Ok(Some((resized(config), Source::Metadata(file.path().into()))));
            }
            Ok(Some(config)) => notices.push(format!(
                "the metadata of {} are not used: the file has {}",
                file.path().display(),
                config.differences(&own).join(", ")
            )),
            Err(message) => notices.push(format!(
                "`{key}` in the metadata of {} is not used: {message}",
                file.path().display()
            )),
        }
    }
    for path in config::beside(file.path()) {
        match ModelConfig::read(&path) {
            Ok(config) if config.differences(&own).is_empty() => {
                return Ok(Some((resized(config), Source::Config(path))));
            }
            Ok(config) => push_once(
                notices,
                format!(
                    "{} is not used: it is of another model; the file has {}",
                    path.display(),
                    config.differences(&own).join(", ")
                ),
            ),
            // A model that is plainly this one but asks for more than can be done must not be
            // measured as if it did not; an unrelated JSON file may lie anywhere.
            Err(message) if message.contains("not supported") => {
                return Err(CheckpointError::Config { path, message });
            }
            Err(message) => {
                push_once(notices, format!("{} is not used: {message}", path.display()))
            }
        }
    }
    Ok(None)
}

fn push_once(notices: &mut Vec<String>, notice: String) {
    if !notices.contains(&notice) {
        notices.push(notice);
    }
}

/// The ends' configurations must not contradict each other.
fn agree(
    files: &[&Checkpoint],
    found: &[(ModelConfig, Source)],
    overrides: &Overrides,
    asked: bool,
) -> Result<(), CheckpointError> {
    let [(a, from_a), (b, from_b), ..] = found else { return Ok(()) };
    let mut against = Vec::new();
    let both = !a.image_alone && !b.image_alone;
    if !asked {
        if a.image.heads != b.image.heads || both && a.text.heads != b.text.heads {
            against.push(("architecture", "heads"));
        }
        if a.image_size != b.image_size {
            against.push(("architecture", "the image size"));
        }
        if a.normalize.is_some() && b.normalize.is_some() && a.normalize != b.normalize {
            against.push(("architecture", "colour means"));
        }
    }
    if overrides.activation.is_none()
        && (a.image.activation != b.image.activation
            || both && a.text.activation != b.text.activation)
    {
        against.push(("activation", "the activation"));
    }
    let Some((field, what)) = against.first() else { return Ok(()) };
    Err(CheckpointError::Architecture {
        path: first_path(files),
        message: format!(
            "the ends' configurations differ in {what} ({} and {}): set `{field}` in the spec",
            place(from_a),
            place(from_b)
        ),
    })
}

fn place(source: &Source) -> String {
    match source {
        Source::Config(path) => path.display().to_string(),
        Source::Metadata(path) => format!("metadata of {}", path.display()),
        other => other.to_string(),
    }
}

fn image_heads(
    files: &[&Checkpoint],
    dims: &Dims,
    notices: &mut Vec<String>,
) -> Result<(usize, Source), CheckpointError> {
    let image = &dims.image;
    if let Some((heads, name)) = known::image_heads(image) {
        let name = known::by_dims(dims).map_or(name, |known| known.name);
        return Ok((heads, Source::Known(name.into())));
    }
    // A ResNet's heads are its pool's.
    let width = if image.resnet.is_some() { image.mlp_width } else { image.width };
    by_rule(files, "image", width, notices)
}

fn text_heads(
    files: &[&Checkpoint],
    dims: &Dims,
    (width, layers): (usize, usize),
    notices: &mut Vec<String>,
) -> Result<(usize, Source), CheckpointError> {
    match known::text_heads(width, layers) {
        Some((heads, name)) => {
            let name = known::by_dims(dims).map_or(name, |known| known.name);
            Ok((heads, Source::Known(name.into())))
        }
        None => by_rule(files, "text", width, notices),
    }
}

/// OpenAI's rule: heads of 64 channels. Only where it divides, and said aloud.
fn by_rule(
    files: &[&Checkpoint],
    tower: &str,
    width: usize,
    notices: &mut Vec<String>,
) -> Result<(usize, Source), CheckpointError> {
    if width > 0 && width.is_multiple_of(64) {
        let heads = width / 64;
        notices.push(format!(
            "heads of the {tower} tower: {heads} assumed (width {width} / 64), nothing says \
             otherwise; set `architecture` to a config.json if they are not"
        ));
        return Ok((heads, Source::Assumed("width / 64".into())));
    }
    Err(CheckpointError::Architecture {
        path: first_path(files),
        message: format!(
            "tensors do not tell the heads of its {tower} tower (width {width}), and there is no \
             configuration beside it; put its open_clip_config.json beside it or set \
             `architecture` in the spec to an open_clip model name or the path of a config.json"
        ),
    })
}

/// Words in file names that tell how the weights were trained, by open_clip's
/// list of pretrained tags.
const WORDS: [(&str, Activation); 9] = [
    ("quickgelu", Activation::QuickGelu),
    ("quick_gelu", Activation::QuickGelu),
    ("openai", Activation::QuickGelu),
    ("metaclip", Activation::QuickGelu),
    ("dfn2b", Activation::QuickGelu),
    ("dfn5b", Activation::QuickGelu),
    ("laion2b", Activation::Gelu),
    ("datacomp", Activation::Gelu),
    ("commonpool", Activation::Gelu),
];

fn activation(
    files: &[&Checkpoint],
    overrides: &Overrides,
    asked: Option<&Asked>,
    found: Option<&(ModelConfig, Source)>,
    notices: &mut Vec<String>,
) -> (Activation, Activation, Source) {
    if let Some(activation) = overrides.activation {
        return (activation, activation, Source::Spec);
    }
    match asked {
        Some(Asked::Config(config)) => {
            return (config.image.activation, config.text.activation, Source::Spec);
        }
        Some(Asked::Name(_, true)) => {
            return (Activation::QuickGelu, Activation::QuickGelu, Source::Spec);
        }
        _ => {}
    }
    if let Some((config, source)) = found {
        return (config.image.activation, config.text.activation, source.clone());
    }
    let told: Vec<(Activation, Source)> = files.iter().filter_map(|file| evidence(file)).collect();
    if let [(one, a), (other, b)] = told.as_slice()
        && one != other
    {
        notices.push(format!(
            "the files tell of different activations ({a}; {b}): do both ends come from the same \
             pretrained weights?"
        ));
    }
    if let Some((activation, source)) = told.into_iter().next() {
        return (activation, activation, source);
    }
    let fine_tuner = files.iter().find_map(|file| fine_tuner(file));
    let (activation, name, why) = match (fine_tuner, files.first().map(|file| file.dialect())) {
        (Some(program), _) => {
            let why = format!("{program} starts from OpenAI's weights");
            (Activation::QuickGelu, "quick_gelu", why)
        }
        (None, Some(Dialect::HuggingFace)) => {
            let why = "the default of Hugging Face's CLIP".to_string();
            (Activation::QuickGelu, "quick_gelu", why)
        }
        _ => {
            let why = "open_clip's default; OpenAI's weights need quick_gelu".to_string();
            (Activation::Gelu, "gelu", why)
        }
    };
    notices.push(format!(
        "activation: {name} assumed ({why}), nothing says otherwise; set `activation` if it is not"
    ));
    (activation, activation, Source::Assumed(why))
}

/// What a file itself tells: the code that its pickle names, what kind of archive it is, or its
/// name.
fn evidence(file: &Checkpoint) -> Option<(Activation, Source)> {
    let code = file.foreign().iter().find_map(|name| match name.rsplit('.').next() {
        Some("QuickGELU") => Some((Activation::QuickGelu, name)),
        Some("GELU") => Some((Activation::Gelu, name)),
        _ => None,
    });
    if let Some((activation, name)) = code {
        return Some((activation, Source::Inside(format!("`{name}`"))));
    }
    // open_clip gives what it loads from such an archive QuickGELU too.
    if file.container() == Container::TorchScript {
        return Some((Activation::QuickGelu, Source::Inside("OpenAI's archive".into())));
    }
    let stem = file.stem().to_lowercase();
    let (word, activation) = WORDS.iter().find(|(word, _)| stem.contains(word))?;
    Some((*activation, Source::FileName((*word).into())))
}

/// The program that made a file, of those that fine-tune OpenAI's weights.
fn fine_tuner(file: &Checkpoint) -> Option<&'static str> {
    let wrapper = file.wrapper()?;
    ["WiSE-FT", "model-soups", "task_vectors"].into_iter().find(|name| wrapper.starts_with(name))
}

fn first_path(files: &[&Checkpoint]) -> std::path::PathBuf {
    files.first().map(|file| file.path().to_path_buf()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn saved(name: &str) -> Checkpoint {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/containers");
        Checkpoint::open(&folder.join(name)).unwrap()
    }

    #[test]
    fn an_archive_and_the_code_in_a_file_tell_the_activation() {
        let told = |name| evidence(&saved(name)).map(|(it, source)| (it, source.to_string()));
        let quick = |what: &str| Some((Activation::QuickGelu, format!("{what} in the file")));
        assert_eq!(told("openai.pt"), quick("OpenAI's archive"));
        for name in ["module.pt", "wise-ft.pt", "wise-ft-3.pt", "task-vectors.pt"] {
            assert_eq!(told(name), quick("`open_clip.transformer.QuickGELU`"), "{name}");
        }
        assert_eq!(told("zip.pt"), None);
        // Tensors alone, in the wrapping of a program that starts from OpenAI's weights.
        assert_eq!((told("soup.pt"), fine_tuner(&saved("soup.pt"))), (None, Some("model-soups")));
        assert_eq!(fine_tuner(&saved("training.pt")), None);
    }
}
