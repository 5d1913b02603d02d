//! A classifier written from its definition: every token through every block, nothing kept, nothing
//! in place, attention as softmax of products. In whatever type the weights have.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic)] // helpers of tests

use std::collections::BTreeMap;

use alphascope::checkpoint::Architecture;
use alphascope::sweep::spec::Activation;
use tch::{Kind, Tensor};

pub type Weights = BTreeMap<String, Tensor>;

/// Bytes \[images, size, size, 3\] as normalised values \[images, 3, size, size\].
pub fn normalized_pixels(architecture: &Architecture, pixels: &Tensor, kind: Kind) -> Tensor {
    let size = architecture.image.size as i64;
    let channels = |values: &[f32]| Tensor::from_slice(values).view([3, 1, 1]);
    let x = pixels.view([-1, size, size, 3]).permute([0, 3, 1, 2]).to_kind(Kind::Float) / 255.0;
    let x = (x - channels(&architecture.mean)) / channels(&architecture.std);
    x.to_kind(kind).contiguous()
}

fn norm(w: &Weights, name: &str, x: &Tensor) -> Tensor {
    let (weight, bias) = (&w[&format!("{name}.weight")], &w[&format!("{name}.bias")]);
    x.layer_norm(weight.size(), Some(weight), Some(bias), 1e-5, false)
}

fn block(w: &Weights, at: &str, x: &Tensor, heads: i64, activation: Activation) -> Tensor {
    let get = |name: &str| &w[&format!("{at}.{name}")];
    let (batch, length, width) = x.size3().unwrap();
    let qkv = norm(w, &format!("{at}.ln_1"), x)
        .linear(get("attn.in_proj_weight"), Some(get("attn.in_proj_bias")));
    let parts: Vec<Tensor> = qkv
        .chunk(3, -1)
        .iter()
        .map(|part| part.view([batch, length, heads, width / heads]).transpose(1, 2))
        .collect();
    let scores = parts[0].matmul(&parts[1].transpose(-2, -1)) / ((width / heads) as f64).sqrt();
    let mixed = scores.softmax(-1, None::<Kind>).matmul(&parts[2]);
    let mixed = mixed.transpose(1, 2).reshape([batch, length, width]);
    let x = x + mixed.linear(get("attn.out_proj.weight"), Some(get("attn.out_proj.bias")));
    let hidden = norm(w, &format!("{at}.ln_2"), &x)
        .linear(get("mlp.c_fc.weight"), Some(get("mlp.c_fc.bias")));
    let hidden = match activation {
        Activation::Gelu => hidden.gelu("none"),
        Activation::QuickGelu => &hidden * (&hidden * 1.702).sigmoid(),
    };
    &x + hidden.linear(get("mlp.c_proj.weight"), Some(get("mlp.c_proj.bias")))
}

/// Features \[images, embed\] of unit length.
pub fn features(w: &Weights, architecture: &Architecture, pixels: &Tensor) -> Tensor {
    let tower = &architecture.image;
    let patch = tower.patch as i64;
    let x =
        pixels.conv2d(&w["visual.conv1.weight"], None::<Tensor>, [patch, patch], [0, 0], [1, 1], 1);
    let x = x.flatten(2, -1).transpose(1, 2);
    let class = w["visual.class_embedding"].expand([x.size()[0], 1, -1], false);
    let x = Tensor::cat(&[class, x], 1) + &w["visual.positional_embedding"];
    let mut x = norm(w, "visual.ln_pre", &x);
    for i in 0..tower.layers {
        let at = format!("visual.transformer.resblocks.{i}");
        x = block(w, &at, &x, tower.heads as i64, architecture.activation);
    }
    let x = norm(w, "visual.ln_post", &x.select(1, 0)).matmul(&w["visual.proj"]);
    let length = x.norm_scalaropt_dim(2.0, [-1_i64].as_slice(), true).clamp_min(1e-12);
    x / length
}

/// Logits \[images, classes\] with the stored head.
pub fn logits(w: &Weights, architecture: &Architecture, pixels: &Tensor) -> Tensor {
    features(w, architecture, pixels)
        .linear(&w["classification_head.weight"], w.get("classification_head.bias"))
}

/// Mean cross-entropy, of logits centred and divided by their length where asked.
pub fn loss(logits: &Tensor, labels: &Tensor, normalize: bool) -> Tensor {
    let mut logits = logits.shallow_clone();
    if normalize {
        let centred = &logits - logits.mean_dim([-1_i64].as_slice(), true, None::<Kind>);
        let length = centred.norm_scalaropt_dim(2.0, [-1_i64].as_slice(), true);
        logits = centred / length.clamp_min(1e-10);
    }
    logits.cross_entropy_loss(labels, None::<Tensor>, tch::Reduction::Mean, -100, 0.0)
}
