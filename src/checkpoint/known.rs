//! The plain ViT CLIPs and OpenAI's ResNets that open_clip has by name: what
//! their shapes do not tell. Facts as in open_clip 3.2's model configurations; all have a context
//! of 77 and a vocabulary of 49,408.

use super::arch::{Dims, ImageDims};
use super::resnet::{STAGES, STRIDE};

/// One known model.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Known {
    /// open_clip's name, without `-quickgelu`.
    pub name: &'static str,
    /// Shared embedding.
    pub embed: usize,
    /// Image side in pixels.
    pub image_size: usize,
    /// Patch side in pixels.
    pub patch: usize,
    /// Image width.
    pub width: usize,
    /// Image layers.
    pub layers: usize,
    /// Channels of one head of the image tower.
    pub head_width: usize,
    /// Hidden channels of the image tower's MLPs.
    pub mlp_width: usize,
    /// Blocks in each stage of a ResNet; `None` for a ViT.
    pub resnet: Option<[usize; STAGES]>,
    /// Text width.
    pub text_width: usize,
    /// Text layers.
    pub text_layers: usize,
    /// Heads of the text tower.
    pub text_heads: usize,
}

/// Tokens of a prompt in every known model.
pub const CONTEXT: usize = 77;
/// Words of CLIP's tokenizer.
pub const VOCABULARY: usize = 49_408;

type Row = (&'static str, usize, [usize; 6], [usize; 3]);

/// Name, embedding, image (size, patch, width, layers, head width, MLP width),
/// text (width, layers, heads).
const TABLE: [Row; 23] = [
    ("ViT-S-32", 384, [224, 32, 384, 12, 64, 1536], [384, 12, 6]),
    ("ViT-S-16", 384, [224, 16, 384, 12, 64, 1536], [384, 12, 6]),
    ("ViT-S-32-alt", 256, [224, 32, 384, 12, 64, 1536], [256, 10, 4]),
    ("ViT-S-16-alt", 256, [224, 16, 384, 12, 64, 1536], [256, 10, 4]),
    ("ViT-M-32", 512, [224, 32, 512, 12, 64, 2048], [512, 12, 8]),
    ("ViT-M-16", 512, [224, 16, 512, 12, 64, 2048], [512, 12, 8]),
    ("ViT-M-32-alt", 384, [224, 32, 512, 12, 64, 2048], [384, 12, 6]),
    ("ViT-B-32", 512, [224, 32, 768, 12, 64, 3072], [512, 12, 8]),
    ("ViT-B-32-256", 512, [256, 32, 768, 12, 64, 3072], [512, 12, 8]),
    ("ViT-B-16", 512, [224, 16, 768, 12, 64, 3072], [512, 12, 8]),
    ("ViT-B-32-plus-256", 640, [256, 32, 896, 12, 64, 3584], [640, 12, 10]),
    ("ViT-B-16-plus", 640, [224, 16, 896, 12, 64, 3584], [640, 12, 10]),
    ("ViT-B-16-plus-240", 640, [240, 16, 896, 12, 64, 3584], [640, 12, 10]),
    ("ViT-L-16", 768, [224, 16, 1024, 24, 64, 4096], [768, 12, 12]),
    ("ViT-L-16-320", 768, [320, 16, 1024, 24, 64, 4096], [768, 12, 12]),
    ("ViT-L-14", 768, [224, 14, 1024, 24, 64, 4096], [768, 12, 12]),
    ("ViT-L-14-280", 768, [280, 14, 1024, 24, 64, 4096], [768, 12, 12]),
    ("ViT-L-14-336", 768, [336, 14, 1024, 24, 64, 4096], [768, 12, 12]),
    ("ViT-H-16", 1024, [224, 16, 1280, 32, 80, 5120], [1024, 24, 16]),
    ("ViT-H-14", 1024, [224, 14, 1280, 32, 80, 5120], [1024, 24, 16]),
    ("ViT-H-14-378", 1024, [378, 14, 1280, 32, 80, 5120], [1024, 24, 16]),
    ("ViT-g-14", 1024, [224, 14, 1408, 40, 88, 6144], [1024, 24, 16]),
    ("ViT-bigG-14", 1280, [224, 14, 1664, 48, 104, 8192], [1280, 32, 20]),
];

type ResNetRow = (&'static str, usize, [usize; 2], [usize; STAGES], [usize; 3]);

/// Name, embedding, image (size, width), blocks of each stage, text (width, layers, heads).
const RESNETS: [ResNetRow; 5] = [
    ("RN50", 1024, [224, 64], [3, 4, 6, 3], [512, 12, 8]),
    ("RN101", 512, [224, 64], [3, 4, 23, 3], [512, 12, 8]),
    ("RN50x4", 640, [288, 80], [4, 6, 10, 6], [640, 12, 10]),
    ("RN50x16", 768, [384, 96], [6, 8, 18, 8], [768, 12, 12]),
    ("RN50x64", 1024, [448, 128], [3, 15, 36, 10], [1024, 12, 16]),
];

impl Known {
    /// Attention heads of the image tower; of a ResNet, those of its pool.
    #[must_use]
    pub fn heads(&self) -> usize {
        let width = if self.resnet.is_some() { self.mlp_width } else { self.width };
        width / self.head_width.max(1)
    }
}

/// Every known model.
pub fn all() -> impl Iterator<Item = Known> {
    let resnets = RESNETS.iter().map(|&(name, embed, [image_size, width], blocks, text)| {
        let [text_width, text_layers, text_heads] = text;
        Known {
            name,
            embed,
            image_size,
            patch: STRIDE,
            width,
            layers: blocks.iter().sum(),
            head_width: 64,
            mlp_width: 32 * width,
            resnet: Some(blocks),
            text_width,
            text_layers,
            text_heads,
        }
    });
    let vits = TABLE.iter().map(|&(name, embed, image, text)| {
        let [image_size, patch, width, layers, head_width, mlp_width] = image;
        let [text_width, text_layers, text_heads] = text;
        Known {
            name,
            embed,
            image_size,
            patch,
            width,
            layers,
            head_width,
            mlp_width,
            resnet: None,
            text_width,
            text_layers,
            text_heads,
        }
    });
    vits.chain(resnets)
}

/// A model by open_clip's name (`ViT-B-32`, `ViT-B/32`, `ViT-B-32-quickgelu`;
/// case does not matter), and whether the name asks for QuickGELU.
#[must_use]
pub fn by_name(name: &str) -> Option<(Known, bool)> {
    let plain = name.replace('/', "-").to_lowercase();
    let (plain, quick) = match plain.strip_suffix("-quickgelu") {
        Some(base) => (base.to_string(), true),
        None => (plain, false),
    };
    all().find(|known| known.name.to_lowercase() == plain).map(|known| (known, quick))
}

/// The model whose dimensions these are, all of them.
#[must_use]
pub fn by_dims(dims: &Dims) -> Option<Known> {
    all().find(|known| {
        let image = &dims.image;
        known.embed == dims.embed
            && (known.patch, known.width, known.layers, known.mlp_width)
                == (image.patch, image.width, image.layers, image.mlp_width)
            && known.resnet == image.resnet
            && known.image_size / known.patch == image.grid
            && dims.text.as_ref().is_none_or(|text| {
                (known.text_width, known.text_layers) == (text.width, text.layers)
                    && (text.context, text.vocab) == (CONTEXT, VOCABULARY)
            })
    })
}

/// Heads of a known image tower of these dimensions (patch and image size do not
/// matter).
#[must_use]
pub fn image_heads(image: &ImageDims) -> Option<(usize, &'static str)> {
    let dims = (image.width, image.layers, image.mlp_width, image.resnet);
    all().find(|k| (k.width, k.layers, k.mlp_width, k.resnet) == dims).map(|k| (k.heads(), k.name))
}

/// Heads of a known text tower of this width and depth.
#[must_use]
pub fn text_heads(width: usize, layers: usize) -> Option<(usize, &'static str)> {
    all().find(|k| (k.text_width, k.text_layers) == (width, layers)).map(|k| (k.text_heads, k.name))
}
