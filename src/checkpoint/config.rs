//! Model configuration files: open_clip's and Hugging Face's.
//!
//! They tell what tensors cannot: heads, activation, preprocessing. Three
//! shapes of JSON are understood: open_clip's hub file (`model_cfg`,
//! `preprocess_cfg`), its bare model file (`embed_dim`, `vision_cfg`,
//! `text_cfg`), and Hugging Face's `config.json` (`vision_config`,
//! `text_config`), with `preprocessor_config.json` beside it.

mod write;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::arch::Dims;
use super::known::{CONTEXT, Known, VOCABULARY};
use super::resnet::{STAGES, STRIDE};
use crate::sweep::spec::Activation;
pub use write::metadata;

/// What a configuration says.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelConfig {
    /// Shared embedding.
    pub embed: usize,
    /// Image side in pixels.
    pub image_size: usize,
    /// Patch side in pixels.
    pub patch: usize,
    /// The image tower.
    pub image: TowerConfig,
    /// Blocks in each stage of a ResNet; `None` for a ViT.
    pub resnet: Option<[usize; STAGES]>,
    /// The text tower.
    pub text: TowerConfig,
    /// True where it says nothing of a text tower, as that of `CLIPVisionModel`: `text` is then
    /// no more than the default, of the image tower's activation.
    pub image_alone: bool,
    /// Tokens of a prompt.
    pub context: usize,
    /// Words of the tokenizer.
    pub vocab: usize,
    /// Mean and standard deviation of each colour.
    pub normalize: Option<Normalization>,
}

/// What a configuration says of one tower.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TowerConfig {
    /// Channels.
    pub width: usize,
    /// Blocks.
    pub layers: usize,
    /// Attention heads.
    pub heads: usize,
    /// Hidden channels of the MLPs.
    pub mlp_width: usize,
    /// Non-linearity of the MLPs.
    pub activation: Activation,
}

/// Mean and standard deviation of red, green and blue, of values in \[0, 1\].
pub type Normalization = ([f32; 3], [f32; 3]);

type Object = Map<String, Value>;

/// Where a configuration may stand in a file's metadata, best first: open_clip's hub
/// file, Hugging Face's.
pub const KEYS: [&str; 2] = ["open_clip_config", "config"];

/// … and Hugging Face's colour means, which have a file of their own.
const PREPROCESSOR: &str = "preprocessor_config";

/// Largest configuration file read.
const MAX_BYTES: u64 = 1 << 20;

impl ModelConfig {
    /// Reads a configuration file.
    ///
    /// # Errors
    /// A message: unreadable, not JSON, not a ViT CLIP's, or asking for
    /// something that is not supported.
    pub fn read(path: &Path) -> Result<Self, String> {
        let value = json(path)?;
        let mut config = Self::parse(&value)?;
        if config.normalize.is_none()
            && let Some(beside) = path.parent().map(|p| p.join("preprocessor_config.json"))
            && beside.is_file()
        {
            config.normalize =
                json(&beside)?.as_object().map(hugging_face_normalize).transpose()?.flatten();
        }
        Ok(config)
    }

    /// Reads the configuration under `key` of a file's metadata; `None` where there
    /// is none.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn in_metadata(
        metadata: &BTreeMap<String, String>,
        key: &str,
    ) -> Result<Option<Self>, String> {
        let json = |text: &String| -> Result<Value, String> {
            serde_json::from_str(text).map_err(|error| format!("expected JSON: {error}"))
        };
        let Some(text) = metadata.get(key) else { return Ok(None) };
        let mut config = Self::parse(&json(text)?)?;
        if let (None, Some(text)) = (config.normalize, metadata.get(PREPROCESSOR)) {
            config.normalize =
                json(text)?.as_object().map(hugging_face_normalize).transpose()?.flatten();
        }
        Ok(Some(config))
    }

    /// Understands a configuration.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn parse(value: &Value) -> Result<Self, String> {
        let top = value.as_object().ok_or("expected a JSON object")?;
        if is_image_alone(top)
            || top.contains_key("vision_config")
            || top.contains_key("vision_config_dict")
        {
            return hugging_face(top);
        }
        let model = match top.get("model_cfg") {
            Some(model) => model.as_object().ok_or("field `model_cfg`: expected an object")?,
            None => top,
        };
        let mut config = open_clip(model)?;
        if let Some(preprocess) = object(top, "preprocess_cfg")? {
            supported(
                preprocess,
                "preprocess_cfg",
                &[
                    ("interpolation", &["bicubic"]),
                    ("resize_mode", &["shortest"]),
                    ("mode", &["RGB"]),
                ],
            )?;
            config.normalize = normalize(preprocess, "mean", "std")?;
        }
        Ok(config)
    }

    /// The configuration of a known model.
    #[must_use]
    pub fn of(known: &Known, quick: bool) -> Self {
        let activation = if quick { Activation::QuickGelu } else { Activation::Gelu };
        Self {
            embed: known.embed,
            image_size: known.image_size,
            patch: known.patch,
            image: TowerConfig {
                width: known.width,
                layers: known.layers,
                heads: known.heads(),
                mlp_width: known.mlp_width,
                activation,
            },
            resnet: known.resnet,
            text: TowerConfig {
                width: known.text_width,
                layers: known.text_layers,
                heads: known.text_heads,
                mlp_width: 4 * known.text_width,
                activation,
            },
            context: CONTEXT,
            image_alone: false,
            vocab: VOCABULARY,
            normalize: None,
        }
    }

    /// What in the file's tensors is not as configured: `width 96 (configured
    /// 768)`; empty when all fits.
    #[must_use]
    pub fn differences(&self, dims: &Dims) -> Vec<String> {
        let mut differences = Vec::new();
        let mut check = |what: &str, got: usize, configured: usize| {
            if got != configured {
                differences.push(format!("{what} {got} (configured {configured})"));
            }
        };
        let image = &dims.image;
        if image.resnet.is_some() != self.resnet.is_some() {
            let kind = |resnet: bool| if resnet { "a ResNet" } else { "a ViT" };
            let (got, configured) = (image.resnet.is_some(), self.resnet.is_some());
            return vec![format!("{} (configured {})", kind(got), kind(configured))];
        }
        for (stage, (got, configured)) in
            image.resnet.iter().flatten().zip(self.resnet.iter().flatten()).enumerate()
        {
            check(&format!("blocks in stage {}", stage + 1), *got, *configured);
        }
        check("image width", image.width, self.image.width);
        check("image layers", image.layers, self.image.layers);
        check("patch", image.patch, self.patch);
        check("image grid", image.grid, self.image_size / self.patch.max(1));
        check("image MLP width", image.mlp_width, self.image.mlp_width);
        if !self.image_alone {
            check("embedding", dims.embed, self.embed);
        }
        if let Some(text) = dims.text.as_ref().filter(|_| !self.image_alone) {
            check("text width", text.width, self.text.width);
            check("text layers", text.layers, self.text.layers);
            check("context", text.context, self.context);
            check("vocabulary", text.vocab, self.vocab);
            check("text MLP width", text.mlp_width, self.text.mlp_width);
        }
        differences
    }
}

/// Files beside a checkpoint that may configure it, best first: its own name
/// with `.json`, then the hub's names.
#[must_use]
pub fn beside(checkpoint: &Path) -> Vec<PathBuf> {
    let folder = match checkpoint.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    [
        checkpoint.with_extension("json"),
        folder.join("open_clip_config.json"),
        folder.join("config.json"),
    ]
    .into_iter()
    .filter(|path| path.is_file() && path != checkpoint)
    .collect()
}

fn json(path: &Path) -> Result<Value, String> {
    let text = crate::regular::read(path, MAX_BYTES).map_err(|error| error.to_string())?;
    serde_json::from_slice(&text).map_err(|error| format!("expected JSON: {error}"))
}

fn open_clip(model: &Object) -> Result<ModelConfig, String> {
    let vision = object(model, "vision_cfg")?
        .ok_or("expected `vision_cfg` (open_clip) or `vision_config` (Hugging Face)")?;
    let empty = Object::new();
    let text = object(model, "text_cfg")?.unwrap_or(&empty);
    if model.contains_key("multimodal_cfg") {
        return Err("`multimodal_cfg` (CoCa) is not supported, only plain CLIP".into());
    }
    for (tower, place) in [(vision, "vision_cfg"), (text, "text_cfg")] {
        supported(tower, place, &OPEN_CLIP_EXTRAS)?;
    }
    supported(vision, "vision_cfg", &[("pool_type", &["tok"])])?;
    supported(text, "text_cfg", &[("pool_type", &["argmax"])])?;
    let quick = model.get("quick_gelu").and_then(Value::as_bool).unwrap_or(false);
    let activation = if quick { Activation::QuickGelu } else { Activation::Gelu };
    let resnet = stages(vision)?;
    let width = number(vision, "width", if resnet.is_some() { 64 } else { 768 })?;
    let head_width = number(vision, "head_width", 64)?;
    // A ResNet's heads and widest layer are those of its pool.
    let pool = width.saturating_mul(32);
    let of_heads = if resnet.is_some() { pool } else { width };
    let text_width = number(text, "width", 512)?;
    Ok(ModelConfig {
        embed: number(model, "embed_dim", 0)?,
        image_size: number(vision, "image_size", 224)?,
        patch: if resnet.is_some() { STRIDE } else { number(vision, "patch_size", 16)? },
        image: TowerConfig {
            width,
            layers: match &resnet {
                Some(blocks) => blocks.iter().sum(),
                None => number(vision, "layers", 12)?,
            },
            heads: heads(of_heads, of_heads / head_width.max(1), "vision_cfg")?,
            mlp_width: if resnet.is_some() { pool } else { mlp_width(vision, width)? },
            activation,
        },
        resnet,
        text: TowerConfig {
            width: text_width,
            layers: number(text, "layers", 12)?,
            heads: heads(text_width, number(text, "heads", 8)?, "text_cfg")?,
            mlp_width: mlp_width(text, text_width)?,
            activation,
        },
        image_alone: false,
        context: number(text, "context_length", 77)?,
        vocab: number(text, "vocab_size", VOCABULARY)?,
        normalize: None,
    })
}

/// Values of open_clip's tower options under which the tower is the plain one;
/// `null`, `false`, `0`, `{}` and absence always are.
const OPEN_CLIP_EXTRAS: [(&str, &[&str]); 21] = [
    ("timm_model_name", &[]),
    ("hf_model_name", &[]),
    ("hf_tokenizer_name", &[]),
    ("tokenizer_kwargs", &[]),
    ("tokenizer_mode", &[]),
    ("ls_init_value", &[]),
    ("attentional_pool", &[]),
    ("no_ln_pre", &[]),
    ("final_ln_after_pool", &[]),
    ("pos_embed_type", &["learnable"]),
    ("act_kwargs", &[]),
    ("norm_kwargs", &[]),
    ("block_type", &["default"]),
    ("qk_norm", &[]),
    ("scaled_cosine_attn", &[]),
    ("scale_heads", &[]),
    ("scale_attn_inner", &[]),
    ("no_causal_mask", &[]),
    ("embed_cls", &[]),
    ("proj_type", &["linear"]),
    ("proj_bias", &[]),
];

fn supported(tower: &Object, place: &str, extras: &[(&str, &[&str])]) -> Result<(), String> {
    for (field, plain) in extras {
        let asked = match tower.get(*field) {
            None | Some(Value::Null | Value::Bool(false)) => continue,
            Some(Value::String(text)) if plain.contains(&text.as_str()) => continue,
            Some(Value::Object(map)) if map.is_empty() => continue,
            Some(Value::Number(n)) if n.as_f64() == Some(0.0) => continue,
            Some(asked) => asked,
        };
        let expected = if plain.is_empty() {
            "it left out".into()
        } else {
            format!("`{}`", plain.join("`, `"))
        };
        return Err(format!(
            "field `{place}.{field}`: {asked} is not supported, expected {expected}; only plain \
             ViT CLIPs can be measured"
        ));
    }
    Ok(())
}

/// Blocks of each stage, where `layers` is a ResNet's list.
fn stages(vision: &Object) -> Result<Option<[usize; STAGES]>, String> {
    let Some(Value::Array(list)) = vision.get("layers") else { return Ok(None) };
    let numbers: Option<Vec<usize>> = list
        .iter()
        .map(|n| n.as_u64().and_then(|n| usize::try_from(n).ok()).filter(|n| (1..1000).contains(n)))
        .collect();
    numbers.and_then(|numbers| numbers.try_into().ok()).map(Some).ok_or_else(|| {
        let got = Value::Array(list.clone());
        format!("field `vision_cfg.layers`: expected a number, or {STAGES} of a ResNet, got {got}")
    })
}

fn mlp_width(tower: &Object, width: usize) -> Result<usize, String> {
    let ratio = match tower.get("mlp_ratio") {
        None | Some(Value::Null) => 4.0,
        Some(value) => value
            .as_f64()
            .filter(|ratio| (0.0..1e6).contains(ratio))
            .ok_or_else(|| format!("field `mlp_ratio`: expected a positive number, got {value}"))?,
    };
    Ok((width as f64 * ratio) as usize)
}

fn heads(width: usize, heads: usize, place: &str) -> Result<usize, String> {
    if heads == 0 || !width.is_multiple_of(heads) {
        return Err(format!("`{place}`: {heads} heads do not divide the width {width}"));
    }
    Ok(heads)
}

fn hugging_face(top: &Object) -> Result<ModelConfig, String> {
    // Old configurations repeat a tower under `…_dict`, which then counts.
    let tower = |name: &str, old: &str| -> Result<Object, String> {
        let mut tower = object(top, name)?.cloned().unwrap_or_default();
        if let Some(old) = object(top, old)? {
            tower.extend(old.iter().map(|(key, value)| (key.clone(), value.clone())));
        }
        Ok(tower)
    };
    if let Some(kind) = top.get("model_type").and_then(Value::as_str)
        && !kind.starts_with("clip")
    {
        return Err(format!("field `model_type`: expected `clip`, got `{kind}`"));
    }
    let image_alone = is_image_alone(top);
    let vision = match image_alone {
        true => top.clone(),
        false => tower("vision_config", "vision_config_dict")?,
    };
    let text = tower("text_config", "text_config_dict")?;
    let read =
        |tower: &Object, place: &str, hidden, mlp, heads_default| -> Result<TowerConfig, String> {
            let epsilon = tower.get("layer_norm_eps").and_then(Value::as_f64).unwrap_or(1e-5);
            if epsilon != 1e-5 {
                return Err(format!(
                    "field `{place}.layer_norm_eps`: expected 1e-5, got {epsilon}"
                ));
            }
            let activation = match tower.get("hidden_act").and_then(Value::as_str) {
                None | Some("quick_gelu") => Activation::QuickGelu,
                Some("gelu") => Activation::Gelu,
                Some(other) => {
                    return Err(format!(
                        "field `{place}.hidden_act`: expected `quick_gelu` or `gelu`, got `{other}`"
                    ));
                }
            };
            let width = number(tower, "hidden_size", hidden)?;
            Ok(TowerConfig {
                width,
                layers: number(tower, "num_hidden_layers", 12)?,
                heads: heads(width, number(tower, "num_attention_heads", heads_default)?, place)?,
                mlp_width: number(tower, "intermediate_size", mlp)?,
                activation,
            })
        };
    let image = read(&vision, "vision_config", 768, 3072, 12)?;
    let text_tower = read(&text, "text_config", 512, 2048, 8)?;
    Ok(ModelConfig {
        embed: number(top, "projection_dim", 512)?,
        image_size: number(&vision, "image_size", 224)?,
        patch: number(&vision, "patch_size", 32)?,
        image,
        resnet: None,
        text: match image_alone {
            true => TowerConfig { activation: image.activation, ..text_tower },
            false => text_tower,
        },
        image_alone,
        context: number(&text, "max_position_embeddings", 77)?,
        vocab: number(&text, "vocab_size", VOCABULARY)?,
        normalize: None,
    })
}

/// A configuration of `CLIPVisionModel`, with the image tower's fields at the top.
fn is_image_alone(top: &Object) -> bool {
    let kind = top.get("model_type").and_then(Value::as_str);
    kind == Some("clip_vision_model") && !top.contains_key("vision_config")
}

fn hugging_face_normalize(preprocessor: &Object) -> Result<Option<Normalization>, String> {
    normalize(preprocessor, "image_mean", "image_std")
}

fn normalize(from: &Object, mean: &str, std: &str) -> Result<Option<Normalization>, String> {
    let three = |field: &str| -> Result<Option<[f32; 3]>, String> {
        let Some(value) = from.get(field).filter(|value| !value.is_null()) else { return Ok(None) };
        let numbers: Option<Vec<f32>> = value
            .as_array()
            .and_then(|list| list.iter().map(|x| x.as_f64().map(|x| x as f32)).collect());
        match numbers.as_deref() {
            Some(&[r, g, b]) if [r, g, b].iter().all(|x| x.is_finite()) => Ok(Some([r, g, b])),
            _ => Err(format!("field `{field}`: expected three numbers, got {value}")),
        }
    };
    let both = three(mean)?.zip(three(std)?);
    if let Some((_, std_values)) = both
        && std_values.iter().any(|x| *x <= 0.0)
    {
        return Err(format!("field `{std}`: expected positive numbers, got {std_values:?}"));
    }
    Ok(both)
}

fn object<'a>(from: &'a Object, field: &str) -> Result<Option<&'a Object>, String> {
    match from.get(field) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Object(object)) => Ok(Some(object)),
        Some(other) => Err(format!("field `{field}`: expected an object, got {other}")),
    }
}

fn number(from: &Object, field: &str, default: usize) -> Result<usize, String> {
    let value = match from.get(field) {
        None | Some(Value::Null) if default > 0 => return Ok(default),
        None | Some(Value::Null) => return Err(format!("field `{field}` is missing")),
        // A square given as both sides.
        Some(Value::Array(sides)) if sides.len() == 2 && sides[0] == sides[1] => &sides[0],
        Some(value) => value,
    };
    value
        .as_u64()
        .and_then(|n| usize::try_from(n).ok())
        .filter(|n| (1..1 << 24).contains(n))
        .ok_or_else(|| format!("field `{field}`: expected a positive whole number, got {value}"))
}
