//! The way back: what tensors do not tell, as metadata of a file that is written.

use serde_json::{Value, json};

use super::super::arch::{Architecture, TextTower};
use super::super::names::Dialect;
use super::{KEYS, PREPROCESSOR};
use crate::sweep::spec::Activation;

/// Keys and values that tell heads, activation and preprocessing to whoever reads
/// the file: open_clip's hub file or Hugging Face's two, by whose names its tensors
/// have.
#[must_use]
pub fn metadata(architecture: &Architecture, dialect: Dialect) -> Vec<(String, String)> {
    let [open_clip_key, hugging_face_key] = KEYS.map(String::from);
    let [mean, std] = [architecture.mean, architecture.std].map(|it| it.map(plain));
    let both = architecture.activation == architecture.text_activation;
    // open_clip knows one activation, Hugging Face no ResNets.
    if architecture.image.resnet.is_some() || (dialect == Dialect::OpenClip && both) {
        let hub = json!({
            "model_cfg": open_clip(architecture),
            "preprocess_cfg": { "mean": mean, "std": std },
        });
        return vec![(open_clip_key, hub.to_string())];
    }
    let preprocessor = json!({ "image_mean": mean, "image_std": std });
    vec![
        (hugging_face_key, hugging_face(architecture).to_string()),
        (PREPROCESSOR.into(), preprocessor.to_string()),
    ]
}

/// With as many digits as the number has.
fn plain(value: f32) -> f64 {
    value.to_string().parse().unwrap_or_else(|_| f64::from(value))
}

/// One that gives `mlp` back when it is multiplied by the width and cut.
fn ratio(mlp: usize, width: usize) -> f64 {
    let exact = mlp as f64 / width as f64;
    if (width as f64 * exact) as usize == mlp { exact } else { (mlp as f64 + 0.5) / width as f64 }
}

fn open_clip(it: &Architecture) -> Value {
    let image = &it.image;
    let mut vision = json!({ "image_size": image.size, "width": image.width });
    match image.resnet {
        Some(blocks) => {
            vision["layers"] = json!(blocks);
            vision["head_width"] = json!(image.mlp_width / image.heads.max(1));
        }
        None => {
            vision["layers"] = json!(image.layers);
            vision["patch_size"] = json!(image.patch);
            vision["head_width"] = json!(image.width / image.heads.max(1));
            vision["mlp_ratio"] = json!(ratio(image.mlp_width, image.width));
        }
    }
    let mut model = json!({ "embed_dim": it.embed, "vision_cfg": vision });
    if it.activation == Activation::QuickGelu {
        model["quick_gelu"] = json!(true);
    }
    if let Some(TextTower { context, vocab, width, layers, heads, mlp_width }) = it.text {
        model["text_cfg"] = json!({
            "context_length": context, "vocab_size": vocab, "width": width, "heads": heads,
            "layers": layers, "mlp_ratio": ratio(mlp_width, width),
        });
    }
    model
}

fn hugging_face(it: &Architecture) -> Value {
    let tower = |width: usize, layers: usize, heads: usize, mlp: usize, activation: Activation| {
        json!({
            "hidden_size": width, "num_hidden_layers": layers, "num_attention_heads": heads,
            "intermediate_size": mlp, "hidden_act": activation.name(),
        })
    };
    let image = &it.image;
    let mut vision = tower(image.width, image.layers, image.heads, image.mlp_width, it.activation);
    vision["image_size"] = json!(image.size);
    vision["patch_size"] = json!(image.patch);
    let mut config =
        json!({ "model_type": "clip", "projection_dim": it.embed, "vision_config": vision });
    if let Some(TextTower { context, vocab, width, layers, heads, mlp_width }) = it.text {
        let mut text = tower(width, layers, heads, mlp_width, it.text_activation);
        text["max_position_embeddings"] = json!(context);
        text["vocab_size"] = json!(vocab);
        config["text_config"] = text;
    }
    config
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::super::arch::{ImageTower, MEAN, STD, Source, Sources};
    use super::super::super::known;
    use super::super::ModelConfig;
    use super::*;

    /// As the configuration of a known model has it.
    fn of(config: &ModelConfig, normalize: ([f32; 3], [f32; 3])) -> Architecture {
        let (image, text) = (config.image, config.text);
        Architecture {
            name: None,
            image: ImageTower {
                size: config.image_size,
                patch: config.patch,
                grid: config.image_size / config.patch,
                width: image.width,
                layers: image.layers,
                heads: image.heads,
                mlp_width: image.mlp_width,
                resnet: config.resnet,
            },
            text: Some(TextTower {
                context: config.context,
                vocab: config.vocab,
                width: text.width,
                layers: text.layers,
                heads: text.heads,
                mlp_width: text.mlp_width,
            }),
            embed: config.embed,
            activation: image.activation,
            text_activation: text.activation,
            mean: normalize.0,
            std: normalize.1,
            sources: Sources {
                heads: Source::Spec,
                text_heads: None,
                activation: Source::Spec,
                preprocess: Source::Spec,
            },
        }
    }

    fn read(written: Vec<(String, String)>) -> ModelConfig {
        let metadata: BTreeMap<String, String> = written.into_iter().collect();
        let key = KEYS.into_iter().find(|key| metadata.contains_key(*key)).unwrap();
        ModelConfig::in_metadata(&metadata, key).unwrap().unwrap()
    }

    #[test]
    fn what_is_written_is_read() {
        let odd = ([0.5, 0.25, 0.123_456_7], [0.1, 0.2, 0.3]);
        let mut seen = 0;
        for (known, quick) in known::all().flat_map(|it| [(it, false), (it, true)]) {
            for (dialect, normalize) in
                [(Dialect::OpenClip, (MEAN, STD)), (Dialect::HuggingFace, odd)]
            {
                let mut config = ModelConfig::of(&known, quick);
                config.normalize = Some(normalize);
                assert_eq!(read(metadata(&of(&config, normalize), dialect)), config);
                seen += 1;
            }
        }
        assert!(seen > 20, "{seen}");
    }

    #[test]
    fn towers_of_different_activations_and_odd_mlps_are_kept() {
        let known = known::all().find(|it| it.resnet.is_none()).unwrap();
        let mut config = ModelConfig::of(&known, true);
        config.normalize = Some((MEAN, STD));
        config.text.activation = Activation::Gelu;
        let written = metadata(&of(&config, (MEAN, STD)), Dialect::OpenClip);
        assert_eq!(read(written), config);
        config.text.activation = config.image.activation;
        for mlp in 1..4000 {
            config.image.mlp_width = mlp;
            config.text.mlp_width = 4000 - mlp;
            let written = metadata(&of(&config, (MEAN, STD)), Dialect::OpenClip);
            assert_eq!(read(written), config, "{mlp}");
        }
    }
}
