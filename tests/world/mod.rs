//! Small random checkpoints and images made on the spot, and what CLIP is by definition, in float64.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // helpers of tests
#![allow(dead_code, reason = "each test uses its part")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use alphascope::dataset::{Tokenizer, prompts};
use alphascope::inputs::Inputs;
use alphascope::sparsify::parse;
use alphascope::sweep::engine::{BatchOutcome, Engine};
use alphascope::sweep::ids::{Alpha, DatasetId};
use alphascope::sweep::spec::{Spec, Variant};
use alphascope::torch::device::DeviceChoice;
use alphascope::torch::engine::TorchEngine;
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use safetensors::tensor::{Dtype, TensorView};
use tempfile::TempDir;

pub const EMBED: usize = 6;
pub const CONFIG: &str = r#"{"embed_dim": 6, "quick_gelu": true,
 "vision_cfg": {"image_size": 17, "layers": 3, "width": 8, "patch_size": 8, "head_width": 4, "mlp_ratio": 2.0},
 "text_cfg": {"context_length": 14, "vocab_size": 49408, "width": 8, "heads": 2, "layers": 2, "mlp_ratio": 2.0}}"#;

pub type Weights = BTreeMap<String, (Vec<usize>, Vec<f32>)>;

fn noise(random: &mut impl Rng) -> f32 {
    // Four uniforms: near enough to a normal.
    (0..4).map(|_| random.random_range(-1.0_f32..1.0)).sum()
}

fn block(weights: &mut Weights, at: &str, random: &mut impl Rng) {
    let shapes: [(&str, &[usize]); 12] = [
        ("ln_1.weight", &[8]),
        ("ln_1.bias", &[8]),
        ("attn.in_proj_weight", &[24, 8]),
        ("attn.in_proj_bias", &[24]),
        ("attn.out_proj.weight", &[8, 8]),
        ("attn.out_proj.bias", &[8]),
        ("ln_2.weight", &[8]),
        ("ln_2.bias", &[8]),
        ("mlp.c_fc.weight", &[16, 8]),
        ("mlp.c_fc.bias", &[16]),
        ("mlp.c_proj.weight", &[8, 16]),
        ("mlp.c_proj.bias", &[8]),
    ];
    for (name, shape) in shapes {
        put(weights, &format!("{at}.{name}"), shape, random);
    }
}

fn put(weights: &mut Weights, name: &str, shape: &[usize], random: &mut impl Rng) {
    let values = (0..shape.iter().product()).map(|_| 0.5 * noise(random)).collect();
    weights.insert(name.into(), (shape.to_vec(), values));
}

pub fn image_tower(seed: u64) -> Weights {
    let random = &mut ChaCha8Rng::seed_from_u64(seed);
    let mut weights = Weights::new();
    put(&mut weights, "visual.class_embedding", &[8], random);
    put(&mut weights, "visual.positional_embedding", &[5, 8], random);
    put(&mut weights, "visual.conv1.weight", &[8, 3, 8, 8], random);
    for name in ["visual.ln_pre", "visual.ln_post"] {
        put(&mut weights, &format!("{name}.weight"), &[8], random);
        put(&mut weights, &format!("{name}.bias"), &[8], random);
    }
    put(&mut weights, "visual.proj", &[8, EMBED], random);
    (0..3).for_each(|i| block(&mut weights, &format!("visual.transformer.resblocks.{i}"), random));
    weights
}

pub fn text_tower(seed: u64) -> Weights {
    let random = &mut ChaCha8Rng::seed_from_u64(seed);
    let mut weights = Weights::new();
    put(&mut weights, "positional_embedding", &[14, 8], random);
    put(&mut weights, "token_embedding.weight", &[49408, 8], random);
    put(&mut weights, "ln_final.weight", &[8], random);
    put(&mut weights, "ln_final.bias", &[8], random);
    put(&mut weights, "text_projection", &[8, EMBED], random);
    (0..2).for_each(|i| block(&mut weights, &format!("transformer.resblocks.{i}"), random));
    weights.insert("logit_scale".into(), (vec![], vec![20.0_f32.ln()]));
    weights
}

pub fn head(seed: u64, classes: usize, bias: bool) -> Weights {
    let random = &mut ChaCha8Rng::seed_from_u64(seed);
    let mut weights = Weights::new();
    put(&mut weights, "classification_head.weight", &[classes, EMBED], random);
    if bias {
        put(&mut weights, "classification_head.bias", &[classes], random);
    }
    weights
}

pub fn save(path: &Path, parts: &[Weights]) {
    let bytes: BTreeMap<&String, (&[usize], Vec<u8>)> = parts
        .iter()
        .flatten()
        .map(|(name, (shape, values))| {
            (name, (shape.as_slice(), values.iter().flat_map(|x| x.to_le_bytes()).collect()))
        })
        .collect();
    let views = bytes.iter().map(|(name, (shape, bytes))| {
        (name.as_str(), TensorView::new(Dtype::F32, shape.to_vec(), bytes).unwrap())
    });
    fs::write(path, safetensors::serialize(views, None).unwrap()).unwrap();
}

/// An image folder of so many random images of each class.
pub fn images(folder: &Path, classes: &[&str], each: usize, seed: u64) {
    let random = &mut ChaCha8Rng::seed_from_u64(seed);
    for (label, class) in classes.iter().enumerate() {
        let folder = folder.join(class);
        fs::create_dir_all(&folder).unwrap();
        for i in 0..each {
            let mut ppm = b"P6 17 17 255\n".to_vec();
            let tint = random.random_range(0..120_u8) + 40 * (label as u8 % 3);
            ppm.extend((0..17 * 17 * 3).map(|_| tint + random.random_range(0..50_u8)));
            fs::write(folder.join(format!("{i}.ppm")), ppm).unwrap();
        }
    }
    fs::write(folder.join("zeroshot_classification_templates.txt"), "a {c}.\nthe {c} here\n")
        .unwrap();
}

pub struct World {
    pub folder: TempDir,
    pub inputs: Arc<Inputs>,
}

pub const CLASSES: [&str; 6] = ["ant", "bee", "cat", "dog", "eel", "fox"];

/// Two datasets: `all` has six classes, `some` three of them in another order.
pub fn world(zeroshot: &[Weights], finetuned: &[Weights]) -> World {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::write(at("model.json"), CONFIG).unwrap();
    save(&at("zs.safetensors"), zeroshot);
    save(&at("ft.safetensors"), finetuned);
    images(&at("all"), &CLASSES, 4, 11);
    images(&at("some"), &["bee", "dog", "fox"], 5, 12);
    let spec = format!(
        "[checkpoints]\nzeroshot = 'zs.safetensors'\nfinetuned = 'ft.safetensors'\n\
         architecture = '{}'\n[[datasets]]\nname = 'all'\nrole = 'id'\npath = 'all'\n\
         [[datasets]]\nname = 'some'\nrole = 'ood'\npath = 'some'\n",
        at("model.json").display()
    );
    fs::write(at("spec.toml"), spec).unwrap();
    let inputs = Inputs::open(Spec::load(&at("spec.toml")).unwrap()).unwrap();
    World { folder, inputs: Arc::new(inputs) }
}

pub fn engine(world: &World) -> TorchEngine {
    TorchEngine::new(Arc::clone(&world.inputs), DeviceChoice::Cpu).unwrap()
}

pub fn point(alpha: f64) -> Alpha {
    Alpha::new(alpha).unwrap()
}

pub fn measure(engine: &mut TorchEngine, alpha: f64, dataset: usize) -> BatchOutcome {
    engine.set_point(point(alpha), &Variant::dense()).unwrap();
    let n = engine.inputs().datasets[dataset].order.len();
    engine.evaluate(DatasetId(dataset), 0..n).unwrap()
}

/// A variant of edits as they are typed.
pub fn variant(name: &str, edits: &[&str]) -> Variant {
    let sparsify = edits.iter().map(|text| parse(text).unwrap()).collect();
    Variant { name: name.into(), sparsify }
}

/// Positions of the k smallest magnitudes, by sorting in float64.
pub fn smallest(values: &[f64], k: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[a].abs().total_cmp(&values[b].abs()).then(a.cmp(&b)));
    order.truncate(k);
    order
}

fn is_matrix(name: &str, shape: &[usize]) -> bool {
    shape.len() > 1 && !name.contains("embedding")
}

/// Edits by plain code, an image tower's block: what stands in `block.i` alone.
pub fn edit(
    at: &mut Weights,
    (zero, one): (&Weights, &Weights),
    block: usize,
    method: &str,
    amount: f64,
) {
    let inside = format!("visual.transformer.resblocks.{block}.");
    for (name, (shape, values)) in at.iter_mut().filter(|(name, _)| name.starts_with(&inside)) {
        if method == "reset" {
            values.clone_from(&zero[name].1);
        }
        if !is_matrix(name, shape) {
            continue;
        }
        let (zero, one) = (&zero[name].1, &one[name].1);
        let wide: Vec<f64> = values.iter().map(|&x| f64::from(x)).collect();
        let k = (amount * values.len() as f64).round() as usize;
        match method {
            "magnitude" => smallest(&wide, k).into_iter().for_each(|i| values[i] = 0.0),
            "delta" => {
                let moved: Vec<f64> = zero.iter().zip(one).map(|(a, b)| f64::from(b - a)).collect();
                smallest(&moved, k).into_iter().for_each(|i| values[i] = zero[i]);
            }
            "2:4" => {
                for start in (0..values.len()).step_by(4) {
                    let group = smallest(&wide[start..start + 4], 2);
                    group.into_iter().for_each(|i| values[start + i] = 0.0);
                }
            }
            _ => {}
        }
    }
}

/// A forward pass in float64, written from the definition with loops: pre-norm blocks, every token
/// through every block, no shortcuts.
pub mod plain {
    use super::*;

    pub type Rows = Vec<Vec<f64>>;

    fn get(w: &Weights, name: &str) -> Vec<f64> {
        w[name].1.iter().map(|&x| f64::from(x)).collect()
    }

    /// x · matrix, the matrix row-major [inputs, outputs].
    fn times(x: &[f64], matrix: &[f64]) -> Vec<f64> {
        let columns = matrix.len() / x.len();
        (0..columns)
            .map(|j| x.iter().enumerate().map(|(i, x)| x * matrix[i * columns + j]).sum())
            .collect()
    }

    /// x · matrixᵀ + bias.
    fn linear(x: &[f64], matrix: &[f64], bias: &[f64]) -> Vec<f64> {
        let dot = |row: &[f64]| row.iter().zip(x).map(|(a, b)| a * b).sum::<f64>();
        matrix.chunks(x.len()).zip(bias).map(|(row, b)| dot(row) + b).collect()
    }

    fn norm(x: &[f64], w: &Weights, name: &str) -> Vec<f64> {
        let n = x.len() as f64;
        let mean = x.iter().sum::<f64>() / n;
        let variance = x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n;
        let (weight, bias) = (get(w, &format!("{name}.weight")), get(w, &format!("{name}.bias")));
        (0..x.len())
            .map(|i| (x[i] - mean) / (variance + 1e-5).sqrt() * weight[i] + bias[i])
            .collect()
    }

    fn block(x: &mut Rows, w: &Weights, at: &str, heads: usize, causal: bool) {
        let name = |end: &str| format!("{at}.{end}");
        let width = x[0].len();
        let d = width / heads;
        let (qkv, qkv_bias) =
            (get(w, &name("attn.in_proj_weight")), get(w, &name("attn.in_proj_bias")));
        let projected: Rows =
            x.iter().map(|x| linear(&norm(x, w, &name("ln_1")), &qkv, &qkv_bias)).collect();
        let mut mixed = vec![vec![0.0; width]; x.len()];
        for head in 0..heads {
            for i in 0..x.len() {
                let seen = if causal { i + 1 } else { x.len() };
                let score = |j: usize| {
                    (0..d)
                        .map(|c| projected[i][head * d + c] * projected[j][width + head * d + c])
                        .sum::<f64>()
                        / (d as f64).sqrt()
                };
                let scores: Vec<f64> = (0..seen).map(|j| score(j).exp()).collect();
                let total: f64 = scores.iter().sum();
                for c in 0..d {
                    mixed[i][head * d + c] = (0..seen)
                        .map(|j| scores[j] / total * projected[j][2 * width + head * d + c])
                        .sum();
                }
            }
        }
        let weight = |end: &str| {
            (get(w, &name(&format!("{end}.weight"))), get(w, &name(&format!("{end}.bias"))))
        };
        let ((out, out_bias), (fc, fc_bias), (proj, proj_bias)) =
            (weight("attn.out_proj"), weight("mlp.c_fc"), weight("mlp.c_proj"));
        for (x, mixed) in x.iter_mut().zip(&mixed) {
            x.iter_mut().zip(linear(mixed, &out, &out_bias)).for_each(|(x, y)| *x += y);
            let hidden: Vec<f64> = linear(&norm(x, w, &name("ln_2")), &fc, &fc_bias)
                .iter()
                .map(|h| h / (1.0 + (-1.702 * h).exp()))
                .collect();
            x.iter_mut().zip(linear(&hidden, &proj, &proj_bias)).for_each(|(x, y)| *x += y);
        }
    }

    pub fn unit(x: &[f64]) -> Vec<f64> {
        let length = x.iter().map(|x| x * x).sum::<f64>().sqrt();
        x.iter().map(|x| x / length).collect()
    }

    /// Normalised embedding of 17 × 17 RGB bytes; patches of 8, so the last row and column are unused.
    pub fn image(w: &Weights, pixels: &[u8]) -> Vec<f64> {
        let mean = [0.481_454_66, 0.457_827_5, 0.408_210_73];
        let std = [0.268_629_54, 0.261_302_58, 0.275_777_11];
        let conv = get(w, "visual.conv1.weight");
        let positions = get(w, "visual.positional_embedding");
        let mut x = vec![get(w, "visual.class_embedding")];
        for (py, px) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
            let mut patch = Vec::new();
            for c in 0..3 {
                for y in 0..8 {
                    for column in 0..8 {
                        let byte = pixels[((py * 8 + y) * 17 + px * 8 + column) * 3 + c];
                        patch.push((f64::from(byte) / 255.0 - mean[c]) / std[c]);
                    }
                }
            }
            x.push(linear(&patch, &conv, &[0.0; 8]));
        }
        for (i, x) in x.iter_mut().enumerate() {
            x.iter_mut().zip(&positions[8 * i..]).for_each(|(x, p)| *x += p);
            *x = norm(x, w, "visual.ln_pre");
        }
        (0..3)
            .for_each(|i| block(&mut x, w, &format!("visual.transformer.resblocks.{i}"), 2, false));
        unit(&times(&norm(&x[0], w, "visual.ln_post"), &get(w, "visual.proj")))
    }

    pub fn text(w: &Weights, ids: &[u32]) -> Vec<f64> {
        let (table, positions) = (get(w, "token_embedding.weight"), get(w, "positional_embedding"));
        let mut x: Rows = ids
            .iter()
            .enumerate()
            .map(|(i, &id)| {
                (0..8).map(|c| table[8 * id as usize + c] + positions[8 * i + c]).collect()
            })
            .collect();
        (0..2).for_each(|i| block(&mut x, w, &format!("transformer.resblocks.{i}"), 2, true));
        let end = ids.iter().position(|&id| id == 49407).unwrap();
        unit(&times(&norm(&x[end], w, "ln_final"), &get(w, "text_projection")))
    }

    /// θ₀ + α (θ₁ − θ₀).
    pub fn mix(zero: &Weights, one: &Weights, alpha: f64) -> Weights {
        zero.iter()
            .map(|(name, (shape, values))| {
                let mixed = values
                    .iter()
                    .zip(&one[name].1)
                    .map(|(&a, &b)| (f64::from(a) + alpha * (f64::from(b) - f64::from(a))) as f32);
                (name.clone(), (shape.clone(), mixed.collect()))
            })
            .collect()
    }
}

/// Class weights by definition: the mean of each class's prompts, of length `scale`.
pub fn zero_shot(text: &Weights, classes: &[&str], scale: f64) -> plain::Rows {
    let templates = ["a {c}.".to_string(), "the {c} here".to_string()];
    let tokenizer = Tokenizer::clip();
    let row = |class: &&str| {
        let mut sum = vec![0.0; EMBED];
        for prompt in prompts(class, &templates) {
            let features = plain::text(text, &tokenizer.encode(&prompt, 14));
            sum.iter_mut().zip(features).for_each(|(s, f)| *s += f / 2.0);
        }
        plain::unit(&sum).iter().map(|x| scale * x).collect()
    };
    classes.iter().map(row).collect()
}

/// Compares an outcome with what logits by definition give.
pub fn check(
    world: &World,
    dataset: usize,
    got: &BatchOutcome,
    image: &Weights,
    head: &plain::Rows,
    bias: &[f64],
) {
    let loaded = &world.inputs.datasets[dataset];
    let pixels =
        world.inputs.cache.pixels(DatasetId(dataset), &loaded.dataset, &loaded.order).unwrap();
    assert_eq!(got.loss.len(), loaded.order.len());
    for (position, pixels) in pixels.iter().enumerate() {
        let features = plain::image(image, pixels);
        let logits: Vec<f64> = head
            .iter()
            .zip(bias)
            .map(|(row, bias)| row.iter().zip(&features).map(|(a, b)| a * b).sum::<f64>() + bias)
            .collect();
        let label = loaded.dataset.label(loaded.order[position]);
        let loss = logits.iter().map(|z| (z - logits[label]).exp()).sum::<f64>().ln();
        assert!((got.loss[position] - loss).abs() < 2e-4, "{} {loss}", got.loss[position]);
        let best = (0..logits.len()).max_by(|&a, &b| logits[a].total_cmp(&logits[b])).unwrap();
        assert_eq!(got.hit[position], best == label);
        if let Some(hit5) = &got.hit5 {
            let before = logits.iter().filter(|&&z| z > logits[label]).count();
            assert_eq!(hit5[position], before < 5);
        }
    }
}
