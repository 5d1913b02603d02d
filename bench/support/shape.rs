//! Models by name, and what one image costs.

use alphascope::checkpoint::ImageTower;
use alphascope::checkpoint::arch::{Architecture, MEAN, STD, Source, Sources};
use alphascope::sweep::spec::Activation;

/// An OpenAI model's image tower (QuickGELU), or one of the demo's shape.
pub fn architecture(name: &str) -> Result<Architecture, String> {
    let (size, width, layers, heads, patch, embed) = match name {
        "ViT-B-32" => (224, 768, 12, 12, 32, 512),
        "ViT-B-16" => (224, 768, 12, 12, 16, 512),
        "ViT-L-14" => (224, 1024, 24, 16, 14, 768),
        "demo" => (48, 96, 6, 3, 8, 96),
        other => return Err(format!("--model ViT-B-32, ViT-B-16, ViT-L-14 or demo, got {other}")),
    };
    let activation = if name == "demo" { Activation::Gelu } else { Activation::QuickGelu };
    let image = ImageTower {
        size,
        patch,
        grid: size / patch,
        width,
        layers,
        heads,
        mlp_width: 4 * width,
        resnet: None,
    };
    let sources = Sources {
        heads: Source::Spec,
        text_heads: None,
        activation: Source::Spec,
        preprocess: Source::Spec,
    };
    Ok(Architecture {
        name: Some(name.into()),
        image,
        text: None,
        embed,
        activation,
        text_activation: activation,
        mean: MEAN,
        std: STD,
        sources,
    })
}

/// Floating-point operations of matrix products per image (a multiply and an add are two).
#[allow(dead_code)] // each program that includes this file needs a part of it
pub struct Flops {
    /// Every token through every block.
    pub plain: f64,
    /// The last block for the class token alone.
    pub done: f64,
}

impl Flops {
    /// Counts them.
    pub fn of(architecture: &Architecture) -> Self {
        let tower = &architecture.image;
        let [w, m, layers, embed] =
            [tower.width, tower.mlp_width, tower.layers, architecture.embed].map(|n| n as f64);
        let n = (tower.grid * tower.grid + 1) as f64;
        let stem = (n - 1.0) * 3.0 * (tower.patch * tower.patch) as f64 * w;
        let block = |queries: f64| {
            2.0 * n * w * w + queries * (2.0 * w * w + 2.0 * w * m) + 2.0 * queries * n * w
        };
        let head = w * embed;
        let plain = 2.0 * (stem + layers * block(n) + head);
        let done = 2.0 * (stem + (layers - 1.0) * block(n) + block(1.0) + head);
        Self { plain, done }
    }

    /// What each stage really computes ([`alphascope::torch::clip::ImageTower::step`]): the stem,
    /// attention and MLP of each block, the head.
    #[allow(dead_code)]
    pub fn stages(architecture: &Architecture) -> Vec<f64> {
        let tower = &architecture.image;
        let [w, m, embed] = [tower.width, tower.mlp_width, architecture.embed].map(|n| n as f64);
        let n = (tower.grid * tower.grid + 1) as f64;
        let mut all = vec![2.0 * (n - 1.0) * 3.0 * (tower.patch * tower.patch) as f64 * w];
        for block in 0..tower.layers {
            let queries = if block + 1 < tower.layers { n } else { 1.0 };
            let products = 2.0 * n * w * w + 2.0 * queries * w * w + 2.0 * queries * n * w;
            all.extend([2.0 * products, 2.0 * queries * 2.0 * w * m]);
        }
        all.push(2.0 * w * embed);
        all
    }
}
