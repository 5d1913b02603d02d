//! Models by name, and what one image costs.

use alphascope::checkpoint::ImageTower;
use alphascope::checkpoint::arch::{Architecture, MEAN, STD, Source, Sources};
use alphascope::sweep::spec::Activation;

/// An OpenAI model's image tower (QuickGELU).
pub fn architecture(name: &str) -> Result<Architecture, String> {
    let (width, layers, heads, patch, embed) = match name {
        "ViT-B-32" => (768, 12, 12, 32, 512),
        "ViT-B-16" => (768, 12, 12, 16, 512),
        "ViT-L-14" => (1024, 24, 16, 14, 768),
        other => return Err(format!("--model ViT-B-32, ViT-B-16 or ViT-L-14, got {other}")),
    };
    let image = ImageTower {
        size: 224,
        patch,
        grid: 224 / patch,
        width,
        layers,
        heads,
        mlp_width: 4 * width,
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
        activation: Activation::QuickGelu,
        text_activation: Activation::QuickGelu,
        mean: MEAN,
        std: STD,
        sources,
    })
}

/// Floating-point operations of matrix products per image (a multiply and an add are two).
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
}
