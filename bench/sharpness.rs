//! Sharpness from the middle against whole passes in the same program, in turns: FLOPs counted,
//! time, and FLOP/s beside this machine's matrix-product peak.
//!
//!     cargo bench --bench sharpness -- [--model demo|ViT-B-32] [--images 128] [--draws 2]
//!         [--steps 3] [--kind average|worst] [--profile]
//!
//! Without `--model` both, with few images so that it ends in minutes: all layers at block
//! granularity, weights random (what is computed does not depend on them). A pass whole is every
//! token through every block, nothing kept; the worst case whole is a full pass forward, a full
//! pass back, and one more forward to evaluate the step. Products of matrices are counted, a
//! multiply and an add as two; of a pass back, the gradient of activations and that of weights
//! each count as one pass forward.

use std::time::Instant;

use alphascope::checkpoint::arch::Architecture;
use alphascope::checkpoint::layers::{Granularity, Layer, layers};
use alphascope::sweep::spec::{SharpnessKind, SharpnessSpec};
use alphascope::torch::model::MicroBatch;
use alphascope::torch::sharpness::{Perturbed, measure};
use alphascope::torch::staged::{ClassWeights, Loss, Runner};
use alphascope::torch::weights::{Named, Tensors};
use alphascope::torch::{cpu::Cpu, threads};
use tch::{Device, Kind, Tensor};

#[path = "../tests/plain/mod.rs"]
mod plain;
#[path = "support/shape.rs"]
mod shape;
use shape::{Flops, architecture};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

const CLASSES: usize = 22;

#[derive(Clone)]
struct Options {
    models: Vec<String>,
    images: Option<usize>,
    draws: Option<usize>,
    steps: usize,
    kinds: Vec<SharpnessKind>,
}

fn options() -> Result<Options> {
    let mut options = Options {
        models: vec!["demo".into(), "ViT-B-32".into()],
        images: None,
        draws: None,
        steps: 2,
        kinds: vec![SharpnessKind::Average, SharpnessKind::Worst],
    };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or_else(|| format!("{word} needs a value"));
        match word.as_str() {
            "--model" => options.models = vec![value()?],
            "--images" => options.images = Some(value()?.parse()?),
            "--draws" => options.draws = Some(value()?.parse()?),
            "--steps" => options.steps = value()?.parse()?,
            "--kind" => {
                options.kinds = match value()?.as_str() {
                    "average" => vec![SharpnessKind::Average],
                    "worst" => vec![SharpnessKind::Worst],
                    other => return Err(format!("--kind average or worst, got {other}").into()),
                };
            }
            "--bench" => {}
            other => return Err(format!("unknown argument {other}").into()),
        }
    }
    Ok(options)
}

/// FLOP/s of the best of a few large matrix products.
fn peak() -> Result<f64> {
    let a = Tensor::f_randn([2048, 2048], (Kind::Float, Device::Cpu))?;
    let b = a.f_tr()?.f_contiguous()?;
    let mut best = f64::INFINITY;
    for _ in 0..3 {
        let start = Instant::now();
        let _ = a.f_matmul(&b)?;
        best = best.min(start.elapsed().as_secs_f64());
    }
    Ok(2.0 * 2048.0_f64.powi(3) / best)
}

/// A model of random weights and as many random images.
struct Subject {
    architecture: Architecture,
    weights: Tensors,
    pixels: Vec<Vec<u8>>,
    labels: Vec<usize>,
    layers: Vec<Layer>,
}

impl Subject {
    fn new(name: &str, images: usize) -> Result<Self> {
        tch::manual_seed(1);
        let architecture = architecture(name)?;
        let head = [
            ("classification_head.weight".to_string(), vec![CLASSES, architecture.embed]),
            ("classification_head.bias".to_string(), vec![CLASSES]),
        ];
        let mut weights = Tensors::new();
        for (name, shape) in architecture.image_tensors().into_iter().chain(head) {
            let shape: Vec<i64> = shape.iter().map(|&n| n as i64).collect();
            let noise = Tensor::f_randn(shape, (Kind::Float, Device::Cpu))?.f_mul_scalar(0.02)?;
            let norm = name.contains("ln_") && name.ends_with("weight");
            weights.insert(name, if norm { noise.f_add_scalar(1.0)? } else { noise });
        }
        let bytes = (3 * architecture.image.size * architecture.image.size) as i64;
        let pixels = (0..images).map(|_| -> Result<Vec<u8>> {
            let pixels = Tensor::f_randint(256, [bytes], (Kind::Uint8, Device::Cpu))?;
            Ok(Vec::try_from(pixels)?)
        });
        let pixels = pixels.collect::<Result<_>>()?;
        let labels = (0..images).map(|i| i % CLASSES).collect();
        let head = Some((CLASSES, true));
        let layers = layers(&architecture.dims(), Granularity::Block, head, false);
        Ok(Self { architecture, weights, pixels, labels, layers })
    }

    fn runner(&self) -> Result<Runner> {
        let weights = self.weights.iter().map(|(n, t)| (n.clone(), t.shallow_clone())).collect();
        let base = Named::new(weights, Device::Cpu);
        let micro = MicroBatch::new(Device::Cpu, &self.architecture).size();
        let architecture = self.architecture.clone();
        let mut runner =
            Runner::new(architecture, base, ClassWeights::Stored(None), micro, 2 << 30)?;
        runner.add_batch(&self.pixels, &self.labels)?;
        Ok(runner)
    }
}

/// All layers of a subject, from the middle. Gives seconds and FLOPs.
fn ours(subject: &Subject, spec: &SharpnessSpec) -> Result<(f64, f64)> {
    let mut runner = subject.runner()?;
    let start = Instant::now();
    for layer in &subject.layers {
        let (tensors, layer) = (layer.tensors.as_slice(), layer.name.as_str());
        let what = Perturbed { seed: 1, layer, tensors, dense: None };
        let _ = measure(&mut runner, &what, spec, &mut ())?;
    }
    let seconds = start.elapsed().as_secs_f64();
    let (work, flops) = (runner.work(), Flops::stages(&subject.architecture));
    let of = |counts: &[u64]| -> f64 {
        counts.iter().zip(&flops).map(|(&images, flops)| images as f64 * flops).sum()
    };
    // Back through the activations of each suffix, and once more for its first layer's weights.
    let own: f64 = {
        let searches = spec.steps as f64 * subject.labels.len() as f64;
        Flops::of(&subject.architecture).done * searches
    };
    let back = of(&work.image_gradient);
    let back = if back > 0.0 { back + own } else { 0.0 };
    Ok((seconds, of(&work.image) + back))
}

/// The same by whole passes. Gives seconds and FLOPs.
fn whole(subject: &Subject, spec: &SharpnessSpec) -> Result<(f64, f64)> {
    let bytes: Vec<u8> = subject.pixels.iter().flatten().copied().collect();
    let size = subject.architecture.image.size as i64;
    let n = subject.labels.len();
    let bytes = Tensor::from_data_size(&bytes, &[n as i64, size, size, 3], Kind::Uint8);
    let labels: Vec<i64> = subject.labels.iter().map(|&label| label as i64).collect();
    let labels = Tensor::from_slice(&labels);
    let pixels = plain::normalized_pixels(&subject.architecture, &bytes, Kind::Float);
    let micro = MicroBatch::new(Device::Cpu, &subject.architecture).size() as i64;
    let parts: Vec<(Tensor, Tensor)> =
        std::iter::zip(pixels.split(micro, 0), labels.split(micro, 0)).collect();
    let loss = |w: &Tensors| -> Result<f64> {
        let _no_grad = tch::no_grad_guard();
        let mut sum = 0.0;
        for (pixels, labels) in &parts {
            let logits = plain::logits(w, &subject.architecture, pixels);
            sum += f64::try_from(Loss::Plain.sum(&logits, labels)?)?;
        }
        Ok(sum / n as f64)
    };
    let step = |w: &Tensors| -> Result<()> {
        let leaves: Tensors =
            w.iter().map(|(n, t)| (n.clone(), t.detach().set_requires_grad(true))).collect();
        for (pixels, labels) in &parts {
            let logits = plain::logits(&leaves, &subject.architecture, pixels);
            (Loss::Plain.sum(&logits, labels)? / n as f64).f_backward()?;
        }
        Ok(())
    };
    let flops = Flops::of(&subject.architecture).plain * n as f64;
    let mut done = 0.0;
    let start = Instant::now();
    for layer in &subject.layers {
        let perturbed = || -> Tensors {
            let noisy = |(name, w): (&String, &Tensor)| {
                let mine = layer.tensors.contains(name);
                (
                    name.clone(),
                    if mine { w + w.abs() * w.randn_like() * spec.rho } else { w.shallow_clone() },
                )
            };
            subject.weights.iter().map(noisy).collect()
        };
        loss(&subject.weights)?;
        done += flops;
        if spec.kind == SharpnessKind::Average {
            for _ in 0..spec.draws {
                loss(&perturbed())?;
                done += flops;
            }
        } else {
            for _ in 0..spec.steps {
                step(&perturbed())?;
                loss(&perturbed())?;
                done += 4.0 * flops;
            }
        }
    }
    Ok((start.elapsed().as_secs_f64(), done))
}

fn main() -> Result<()> {
    alphascope::torch::runtime::init();
    let options = options()?;
    let threads = threads::set(&Cpu::detect());
    for name in &options.models {
        let small = name == "demo";
        let images = options.images.unwrap_or(if small { 128 } else { 32 });
        let subject = Subject::new(name, images)?;
        for &kind in &options.kinds {
            let draws = options.draws.unwrap_or(if small { 8 } else { 2 });
            let spec =
                SharpnessSpec { kind, draws, steps: options.steps, ..SharpnessSpec::default() };
            let asked = match kind {
                SharpnessKind::Average => format!("average case, {draws} draws"),
                SharpnessKind::Worst => format!("worst case, {} steps", spec.steps),
            };
            println!(
                "{name}, {} layers, {asked}, {images} images, {threads} threads",
                subject.layers.len()
            );
            let before = peak()?;
            let (our_seconds, our_flops) = ours(&subject, &spec)?;
            let between = peak()?;
            let (whole_seconds, whole_flops) = whole(&subject, &spec)?;
            let after = peak()?;
            let row = |what: &str, seconds: f64, flops: f64, peak: f64| {
                println!(
                    "  {what:<16} {seconds:8.2} s  {:9.1} GFLOP  {:7.1} GFLOP/s  {:5.1} % of peak",
                    flops / 1e9,
                    flops / seconds / 1e9,
                    100.0 * flops / seconds / peak
                );
            };
            row("from the middle", our_seconds, our_flops, before.max(between));
            row("whole passes", whole_seconds, whole_flops, between.max(after));
            let (work, time) = (whole_flops / our_flops, whole_seconds / our_seconds);
            println!(
                "  {work:.2} x fewer FLOPs, {time:.2} x less time ({:.0} % of it)\n",
                100.0 * time / work
            );
        }
    }
    Ok(())
}
