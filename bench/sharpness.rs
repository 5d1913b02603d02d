//! Sharpness from the middle against whole passes in the same program, in turns: FLOPs counted,
//! time, and FLOP/s beside this machine's matrix-product peak.
//!
//!     cargo bench --bench sharpness -- [--model demo|ViT-B-32] [--images 128] [--draws 2]
//!         [--steps 3] [--kind average|worst] [--layers overall|block|module|tensor]
//!         [--turns 3] [--json] [--no-whole] [--library blas|onednn]
//!
//! Without arguments every setting on both models, with few images and steps so that it ends in
//! minutes. Weights are random (what is computed does not depend on them). A pass whole is every
//! token through every block, nothing kept; the worst case whole is a full pass forward, a full
//! pass back, and one more forward to evaluate the step. Products of matrices are counted, a
//! multiply and an add as two; of a pass back, the gradient of activations and that of weights
//! each count as one pass forward. Times are medians over the turns. Whole passes multiply by
//! libtorch's own choice of library; `--library blas` has the suffixes do so too, for a comparison of
//! the ways alone.

use std::time::Instant;

use alphascope::checkpoint::arch::Architecture;
use alphascope::checkpoint::layers::{Granularity, layers};
use alphascope::sweep::spec::{SharpnessKind, SharpnessSpec};
use alphascope::torch::model::MicroBatch;
use alphascope::torch::product::Library;
use alphascope::torch::sharpness::{Perturbed, measure};
use alphascope::torch::staged::{ClassWeights, Loss, Runner};
use alphascope::torch::weights::{Named, Tensors};
use alphascope::torch::{cpu::Cpu, threads};
use tch::{Device, Kind, Tensor};

#[path = "../tests/plain/mod.rs"]
mod plain;
mod support;
use support::peak::{median, peak};
use support::shape::{Flops, architecture};
use support::words::words;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

const CLASSES: usize = 22;

/// What is perturbed at once: all layers, or each of a granularity by itself.
type Split = Option<Granularity>;

struct Options {
    models: Vec<String>,
    images: Option<usize>,
    draws: Option<usize>,
    steps: Option<usize>,
    kinds: Vec<SharpnessKind>,
    splits: Vec<Split>,
    turns: usize,
    json: bool,
    whole: bool,
    library: Option<Library>,
}

fn options() -> Result<Options> {
    let mut options = Options {
        models: vec!["demo".into(), "ViT-B-32".into()],
        images: None,
        draws: None,
        steps: None,
        kinds: vec![SharpnessKind::Average, SharpnessKind::Worst],
        splits: vec![
            Some(Granularity::Block),
            Some(Granularity::Module),
            Some(Granularity::Tensor),
            None,
        ],
        turns: 1,
        json: false,
        whole: true,
        library: None,
    };
    words(|word, value| {
        match word {
            "--model" => options.models = vec![value()?],
            "--images" => options.images = Some(value()?.parse()?),
            "--draws" => options.draws = Some(value()?.parse()?),
            "--steps" => options.steps = Some(value()?.parse()?),
            "--turns" => options.turns = value()?.parse::<usize>()?.max(1),
            "--kind" => {
                options.kinds = match value()?.as_str() {
                    "average" => vec![SharpnessKind::Average],
                    "worst" => vec![SharpnessKind::Worst],
                    other => return Err(format!("--kind average or worst, got {other}").into()),
                };
            }
            "--layers" => {
                options.splits = match value()?.as_str() {
                    "overall" => vec![None],
                    "block" => vec![Some(Granularity::Block)],
                    "module" => vec![Some(Granularity::Module)],
                    "tensor" => vec![Some(Granularity::Tensor)],
                    other => {
                        let message =
                            format!("--layers overall, block, module or tensor, got {other}");
                        return Err(message.into());
                    }
                };
            }
            "--library" => {
                options.library = Some(match value()?.as_str() {
                    "blas" => Library::Blas,
                    "onednn" => Library::OneDnn,
                    other => return Err(format!("--library blas or onednn, got {other}").into()),
                });
            }
            "--json" => options.json = true,
            "--no-whole" => options.whole = false,
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    Ok(options)
}

/// A model of random weights and as many random images.
struct Subject {
    architecture: Architecture,
    weights: Tensors,
    pixels: Vec<Vec<u8>>,
    labels: Vec<usize>,
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
        Ok(Self { architecture, weights, pixels, labels })
    }

    /// Names and tensors of what is perturbed, one after the other.
    fn layers(&self, split: Split) -> Vec<(String, Vec<String>)> {
        let head = Some((CLASSES, true));
        let of = |granularity| layers(&self.architecture.dims(), granularity, head, false);
        match split {
            Some(granularity) => {
                of(granularity).into_iter().map(|layer| (layer.name, layer.tensors)).collect()
            }
            None => {
                let all = of(Granularity::Block).into_iter().flat_map(|layer| layer.tensors);
                vec![("overall".into(), all.collect())]
            }
        }
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
fn ours(subject: &Subject, split: Split, spec: &SharpnessSpec) -> Result<(f64, f64)> {
    let mut runner = subject.runner()?;
    let start = Instant::now();
    for (layer, tensors) in &subject.layers(split) {
        let what = Perturbed { seed: 1, layer, tensors, dense: None };
        let _ = measure(&mut runner, &what, spec, &mut ())?;
    }
    let seconds = start.elapsed().as_secs_f64();
    let (work, flops) = (runner.work(), Flops::stages(&subject.architecture));
    let of = |counts: &[u64]| -> f64 {
        counts.iter().zip(&flops).map(|(&images, flops)| images as f64 * flops).sum()
    };
    // Back through the activations of each suffix, and once more for the perturbed weights: over
    // all layers together these are the model's.
    let own: f64 = {
        let searches = spec.steps as f64 * subject.labels.len() as f64;
        Flops::of(&subject.architecture).done * searches
    };
    let back = of(&work.image_gradient);
    let back = if back > 0.0 { back + own } else { 0.0 };
    Ok((seconds, of(&work.image) + back))
}

/// The same by whole passes. Gives seconds and FLOPs.
fn whole(subject: &Subject, split: Split, spec: &SharpnessSpec) -> Result<(f64, f64)> {
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
    for (_, tensors) in &subject.layers(split) {
        let perturbed = || -> Tensors {
            let noisy = |(name, w): (&String, &Tensor)| {
                let mine = tensors.contains(name);
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

/// Both ways in turns.
fn compare(
    subject: &Subject,
    split: Split,
    spec: &SharpnessSpec,
    options: &Options,
) -> Result<Both> {
    let (mut own, mut other, mut peaks) = (Vec::new(), Vec::new(), Vec::new());
    let mut flops = (0.0, 0.0);
    for _ in 0..options.turns {
        peaks.push(peak(Kind::Float)?);
        let (seconds, done) = ours(subject, split, spec)?;
        own.push(seconds);
        flops.0 = done;
        peaks.push(peak(Kind::Float)?);
        if !options.whole {
            other.push(f64::NAN);
            continue;
        }
        let (seconds, done) = whole(subject, split, spec)?;
        other.push(seconds);
        flops.1 = done;
    }
    let ratios = std::iter::zip(&other, &own).map(|(whole, ours)| whole / ours).collect();
    Ok(Both {
        ours: (median(own), flops.0),
        whole: (median(other), flops.1),
        time: median(ratios),
        peak: median(peaks),
    })
}

/// Seconds and FLOPs of each way, the ratio of times, FLOP/s of the peak.
struct Both {
    ours: (f64, f64),
    whole: (f64, f64),
    time: f64,
    peak: f64,
}

fn main() -> Result<()> {
    alphascope::torch::runtime::init();
    let options = options()?;
    let library = options.library.unwrap_or_else(Library::chosen);
    library.choose();
    let threads = threads::set(&Cpu::detect());
    for name in &options.models {
        let small = name == "demo";
        let images = options.images.unwrap_or(if small { 128 } else { 16 });
        let subject = Subject::new(name, images)?;
        // Single tensors of a large model take long and say nothing new.
        let asked =
            |split| small || split != Some(Granularity::Tensor) || options.splits.len() == 1;
        let splits = options.splits.iter().copied().filter(|&split| asked(split));
        let pairs = splits.flat_map(|split| options.kinds.iter().map(move |&kind| (split, kind)));
        for (split, kind) in pairs {
            let block = split == Some(Granularity::Block);
            let draws = options.draws.unwrap_or(if small && block { 8 } else { 2 });
            let steps = options.steps.unwrap_or(if small && block { 5 } else { 2 });
            let spec = SharpnessSpec { kind, draws, steps, ..SharpnessSpec::default() };
            let (kind, count) = match kind {
                SharpnessKind::Average => ("average", format!("{draws} draws")),
                SharpnessKind::Worst => ("worst", format!("{steps} steps")),
            };
            let split_name = split.map_or("overall".into(), |split| format!("{split:?}"));
            let split_name = split_name.to_lowercase();
            let Both { ours, whole, time, peak } = compare(&subject, split, &spec, &options)?;
            if options.json {
                let told = serde_json::json!({
                    "model": name, "layers": split_name, "kind": kind, "images": images,
                    "draws": draws, "steps": steps, "threads": threads, "peak": peak,
                    "seconds": ours.0, "flops": ours.1,
                    "whole_seconds": whole.0, "whole_flops": whole.1,
                });
                println!("{told}");
                continue;
            }
            println!(
                "{name}, {split_name}, {kind}, {count}, {images} images, {threads} threads, \
                 {library:?}"
            );
            for (what, (seconds, flops)) in [("from the middle", ours), ("whole passes", whole)] {
                println!(
                    "  {what:<16} {seconds:8.2} s  {:9.1} GFLOP  {:7.1} GFLOP/s  {:5.1} % of peak",
                    flops / 1e9,
                    flops / seconds / 1e9,
                    100.0 * flops / seconds / peak
                );
            }
            let work = whole.1 / ours.1;
            println!(
                "  {work:.2} x fewer FLOPs, {time:.2} x less time ({:.0} % of it)\n",
                100.0 * time / work
            );
        }
    }
    Ok(())
}
