//! Every probe on a dataset whose classes are several rows of the head each, beside rows that stand for
//! none of its classes, as ObjectNet's are among ImageNet's: against the definition in float64.
#![cfg(feature = "torch")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // helpers of tests

mod world;

use std::fs;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use alphascope::dataset::{ImageNetId, Tokenizer, prompts};
use alphascope::inputs::Inputs;
use alphascope::sweep::engine::Engine;
use alphascope::sweep::event::LayerInfo;
use alphascope::sweep::ids::DatasetId;
use alphascope::sweep::probe::{Direction, Probe, ProbeResult};
use alphascope::sweep::spec::{
    BarrierSpec, Base, CurvatureSpec, Norm, SharpnessKind, SharpnessSpec, Spec, Variant,
};
use alphascope::torch::engine::TorchEngine;
use alphascope::torch::hessian::signs;
use alphascope::torch::sharpness::{Draw, Law, number};
use rstest::rstest;
use tch::{Kind, Tensor};
use world::{
    CONFIG, Weights, World, engine, head, image_tower, images, plain, point, save, text_tower,
};

/// Where class weights come from.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Rows {
    /// Six rows stored at both ends, two of them of no class here.
    Stored,
    /// A text tower that both ends share.
    Fixed,
    /// One that moves.
    Moving,
}

/// ImageNet's classes by label, in the stored head's order: 0 and 1 are none of the dataset's.
const HEAD: [usize; 6] = [504, 0, 765, 954, 1, 559];
const FOLDERS: [&str; 3] = ["banana", "chair", "mug"];
/// Images of each class.
const EACH: usize = 4;
const IMAGES: usize = EACH * FOLDERS.len();

struct Ground {
    world: World,
    ends: [Weights; 2],
    rows: Rows,
}

/// A chair is two of ImageNet's classes.
fn mappings(root: &Path) {
    let write = |name: &str, text: &str| fs::write(root.join("mappings").join(name), text).unwrap();
    fs::create_dir_all(root.join("mappings")).unwrap();
    write(
        "folder_to_objectnet_label.json",
        r#"{"banana": "Banana", "chair": "Chair", "mug": "Mug"}"#,
    );
    write(
        "objectnet_to_imagenet_1k.json",
        r#"{"Mug": "cup", "Chair": "folding; rocking", "Banana": "fruit"}"#,
    );
    write("imagenet_to_label_2012_v2", "fruit\nrocking\nfolding\ncup\n");
    write("pytorch_to_imagenet_2012_id.json", r#"{"954": 0, "765": 1, "559": 2, "504": 3}"#);
}

fn ground(rows: Rows) -> Ground {
    let end = |image, text, heads: Option<u64>| -> Weights {
        let head = heads.map_or_else(Weights::new, |seed| head(seed, HEAD.len(), true));
        [image_tower(image), text_tower(text), head].into_iter().flatten().collect()
    };
    let ends = match rows {
        Rows::Stored => [end(1, 3, Some(4)), end(2, 3, Some(5))],
        Rows::Fixed => [end(1, 3, None), end(2, 3, None)],
        Rows::Moving => [end(1, 3, None), end(2, 6, None)],
    };
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::write(at("model.json"), CONFIG).unwrap();
    save(&at("zs.safetensors"), &ends[..1]);
    save(&at("ft.safetensors"), &ends[1..]);
    images(&at("objects"), &FOLDERS, EACH, 11);
    mappings(&at("objects"));
    let names: Vec<&str> = HEAD.iter().map(|&id| ImageNetId::new(id).unwrap().name()).collect();
    fs::write(at("head.txt"), names.join("\n")).unwrap();
    let named = if rows == Rows::Stored { "head_classes = 'head.txt'\n" } else { "" };
    let spec = format!(
        "[checkpoints]\nzeroshot = 'zs.safetensors'\nfinetuned = 'ft.safetensors'\n{named}\
         architecture = '{}'\n[[datasets]]\nname = 'objects'\nrole = 'id'\npath = 'objects'\n",
        at("model.json").display()
    );
    fs::write(at("spec.toml"), spec).unwrap();
    let inputs = Inputs::open(Spec::load(&at("spec.toml")).unwrap()).unwrap();
    let loaded = &inputs.datasets[0];
    assert_eq!((loaded.order.len(), loaded.dataset.classes().len()), (IMAGES, FOLDERS.len()));
    assert_eq!(loaded.dataset.groups().unwrap().iter().map(Vec::len).max(), Some(2));
    assert_eq!(loaded.head_rows.is_some(), rows == Rows::Stored);
    assert_eq!(inputs.pair.text_moves(), rows == Rows::Moving);
    Ground { world: World { folder, inputs: Arc::new(inputs) }, ends, rows }
}

impl Ground {
    fn layer(&self, name: &str) -> LayerInfo {
        let header = self.world.inputs.header(String::new(), Vec::new(), |n| vec![n]);
        header.layers.into_iter().find(|layer| layer.name == name).unwrap()
    }

    /// Layers of every kind, those whose weights become rows among them.
    fn layers(&self) -> Vec<LayerInfo> {
        let own: &[&str] = match self.rows {
            Rows::Stored => &["classification_head.weight", "classification_head.bias"],
            Rows::Fixed => &[],
            Rows::Moving => &["text.block.1", "text.head"],
        };
        ["block.1", "head"].iter().chain(own).map(|name| self.layer(name)).collect()
    }

    fn at(&self, alpha: f64) -> Weights {
        plain::mix(&self.ends[0], &self.ends[1], alpha)
    }

    /// The rows of the dataset's classes, with their bias, by definition.
    fn head(&self, w: &Weights) -> (plain::Rows, Vec<f64>) {
        let dataset = &self.world.inputs.datasets[0].dataset;
        if self.rows == Rows::Stored {
            let wide = |name: &str| w[name].1.iter().map(|&x| f64::from(x)).collect::<Vec<_>>();
            let (weight, bias) =
                (wide("classification_head.weight"), wide("classification_head.bias"));
            let place = |id: &ImageNetId| HEAD.iter().position(|&it| it == id.label()).unwrap();
            let places: Vec<usize> = dataset.imagenet().unwrap().iter().map(place).collect();
            let row = |&at: &usize| weight.chunks(world::EMBED).nth(at).unwrap().to_vec();
            return (places.iter().map(row).collect(), places.iter().map(|&at| bias[at]).collect());
        }
        let tokenizer = Tokenizer::clip();
        let row = |name: &String| -> Vec<f64> {
            let all = prompts(name, dataset.templates());
            let mut sum = vec![0.0; world::EMBED];
            for prompt in &all {
                let features = plain::text(w, &tokenizer.encode(prompt, 14));
                sum.iter_mut().zip(features).for_each(|(s, f)| *s += f);
            }
            plain::unit(&sum).iter().map(|x| 20.0 * x).collect()
        };
        let rows: plain::Rows = dataset.rows().iter().map(row).collect();
        let none = vec![0.0; rows.len()];
        (rows, none)
    }

    /// (right, loss) of some images by definition: a class's logit is the largest of its rows'.
    fn each(&self, images: Range<usize>, w: &Weights) -> Vec<(bool, f64)> {
        let loaded = &self.world.inputs.datasets[0];
        let order = &loaded.order[images];
        let pixels = self.world.inputs.cache.pixels(DatasetId(0), &loaded.dataset, order).unwrap();
        let (head, bias) = self.head(w);
        let one = |(&image, pixels): (&usize, &alphascope::dataset::Crop)| {
            let features = plain::image(w, pixels);
            let row = |at: usize| {
                head[at].iter().zip(&features).map(|(a, b)| a * b).sum::<f64>() + bias[at]
            };
            let largest = |group: &Vec<usize>| {
                group.iter().map(|&at| row(at)).fold(f64::NEG_INFINITY, f64::max)
            };
            let logits: Vec<f64> = loaded.dataset.groups().unwrap().iter().map(largest).collect();
            let label = loaded.dataset.label(image);
            let own = logits[label];
            let loss = logits.iter().map(|z| (z - own).exp()).sum::<f64>().ln();
            (logits.iter().all(|&z| z <= own), loss)
        };
        order.iter().zip(&pixels).map(one).collect()
    }

    fn loss(&self, images: Range<usize>, w: &Weights) -> f64 {
        let each = self.each(images, w);
        each.iter().map(|(_, loss)| loss).sum::<f64>() / each.len() as f64
    }

    fn probe(&self, alpha: f64, probe: &Probe, layer: &LayerInfo) -> ProbeResult {
        let mut engine: TorchEngine = engine(&self.world);
        engine.set_point(point(alpha), &Variant::dense()).unwrap();
        engine.probe(probe, Some(layer), &mut ()).unwrap().unwrap()
    }

    fn seed(&self) -> u64 {
        self.world.inputs.spec.sweep.seed
    }
}

/// θ + f(tensor, θ) on a layer's tensors, elementwise.
fn moved(w: &Weights, layer: &LayerInfo, step: impl Fn(&str, &[f32]) -> Vec<f64>) -> Weights {
    let mut moved = w.clone();
    for name in &layer.tensors {
        let step = step(name, &w[name].1);
        let values = &mut moved.get_mut(name).unwrap().1;
        values.iter_mut().zip(step).for_each(|(x, d)| *x = (f64::from(*x) + d) as f32);
    }
    moved
}

#[rstest]
fn the_average_case_is_by_definition(
    #[values(Rows::Stored, Rows::Fixed, Rows::Moving)] rows: Rows,
) {
    let ground = ground(rows);
    let (alpha, rho) = (0.3, 0.1);
    let w = ground.at(alpha);
    let spec = SharpnessSpec { batch: 6, batches: 2, draws: 2, rho, ..Default::default() };
    for layer in ground.layers() {
        let probe = Probe::Sharpness { spec: spec.clone(), on: DatasetId(0) };
        let ProbeResult::Sharpness(got) = ground.probe(alpha, &probe, &layer) else { panic!() };
        for (batch, images) in [0..6, 6..12].into_iter().enumerate() {
            let draw = Draw { seed: ground.seed(), layer: &layer.name, k: number(batch, 0) };
            let side = |sign: f64| {
                let w = moved(&w, &layer, |name, values| {
                    let unit = draw.values(Law::Normal, name, values.len());
                    let one = |(e, x): (f32, &f32)| sign * rho * f64::from(x.abs() * e);
                    unit.into_iter().zip(values).map(one).collect()
                });
                ground.loss(images.clone(), &w)
            };
            let first = ground.loss(images.clone(), &w);
            let expected = (side(1.0) + side(-1.0)) / 2.0 - first;
            let rise = got.rises[batch][0];
            let name = &layer.name;
            assert!((got.losses[batch] - first).abs() < 2e-4, "{name}: {first}");
            assert!((rise - expected).abs() < 3e-4, "{name}: {rise} {expected}");
        }
    }
}

/// Two steps of the search, written from its definition: gradients by differences, the projection by
/// bisection.
#[rstest]
#[case(Rows::Stored, "classification_head.weight")]
#[case(Rows::Stored, "classification_head.bias")]
#[case(Rows::Stored, "visual.proj")]
#[case(Rows::Fixed, "visual.proj")]
#[case(Rows::Moving, "ln_final.weight")]
fn the_worst_case_is_by_definition(#[case] rows: Rows, #[case] tensor: &str) {
    let ground = ground(rows);
    let (alpha, rho) = (0.6, 0.3);
    let w = ground.at(alpha);
    let layer = ground.layer(tensor);
    let name = &layer.tensors[0];
    let theta: Vec<f64> = w[name].1.iter().map(|&x| f64::from(x)).collect();
    let loss = |delta: &[f64]| ground.loss(0..IMAGES, &moved(&w, &layer, |_, _| delta.to_vec()));
    let gradient = |delta: &[f64]| -> Vec<f64> {
        let step = 1e-3;
        let side = |i: usize, sign: f64| {
            let mut delta = delta.to_vec();
            delta[i] += sign * step;
            loss(&delta)
        };
        (0..delta.len()).map(|i| (side(i, 1.0) - side(i, -1.0)) / (2.0 * step)).collect()
    };
    let project = |z: &[f64]| -> Vec<f64> {
        let shrunk = |lambda: f64| -> Vec<f64> {
            z.iter().zip(&theta).map(|(z, c)| z * c * c / (c * c + 2.0 * lambda)).collect()
        };
        let length =
            |z: &[f64]| z.iter().zip(&theta).map(|(z, c)| (z / c).powi(2)).sum::<f64>().sqrt();
        if length(z) <= rho {
            return z.to_vec();
        }
        let (mut low, mut high) = (0.0, 1e6);
        for _ in 0..200 {
            let middle = (low + high) / 2.0;
            if length(&shrunk(middle)) > rho { low = middle } else { high = middle }
        }
        shrunk(high)
    };
    let step = |delta: &[f64], before: &[f64]| -> Vec<f64> {
        let g = gradient(delta);
        let size = g.iter().map(|g| g * g).sum::<f64>().sqrt();
        let along = |((d, g), c): ((&f64, &f64), &f64)| d + 2.0 * rho * c.abs() * g / size;
        let z: Vec<f64> = delta.iter().zip(&g).zip(&theta).map(along).collect();
        project(&z).iter().zip(before).map(|(z, b)| 0.75 * z + 0.25 * b).collect()
    };
    let start = vec![0.0; theta.len()];
    let one = step(&start, &start);
    let two = step(&one, &start);
    let losses = [&start, &one, &two].map(|delta| loss(delta));
    let expected = losses.iter().copied().fold(f64::NEG_INFINITY, f64::max) - losses[0];
    let spec = SharpnessSpec {
        kind: SharpnessKind::Worst,
        norm: Norm::L2,
        steps: 2,
        batch: IMAGES,
        batches: 1,
        rho,
        ..Default::default()
    };
    let probe = Probe::Sharpness { spec, on: DatasetId(0) };
    let ProbeResult::Sharpness(got) = ground.probe(alpha, &probe, &layer) else { panic!() };
    let rise = got.rises[0][0];
    assert!(expected > 1e-3, "{expected}");
    assert!((rise - expected).abs() < 0.01 * expected + 3e-4, "{tensor}: {rise} {expected}");
}

#[rstest]
fn layer_wise_paths_are_by_definition(
    #[values(Rows::Stored, Rows::Fixed, Rows::Moving)] rows: Rows,
) {
    let ground = ground(rows);
    let spec = BarrierSpec { base: Base::Finetuned, images: IMAGES, ..Default::default() };
    let probe = Probe::Path { spec, on: vec![DatasetId(0)], direction: Direction::Path };
    for layer in ground.layers() {
        let ProbeResult::Path { on } = ground.probe(0.4, &probe, &layer) else { panic!() };
        let (mut w, inside) = (ground.at(1.0), ground.at(0.4));
        for name in &layer.tensors {
            w.insert(name.clone(), inside[name].clone());
        }
        let expected = ground.each(0..IMAGES, &w);
        let hits: Vec<bool> = on[0].hits.iter().collect();
        assert_eq!(hits, expected.iter().map(|(hit, _)| *hit).collect::<Vec<_>>());
        let loss: f64 = expected.iter().map(|(_, loss)| loss).sum();
        assert!((on[0].loss_sum - loss).abs() < 2e-4 * IMAGES as f64, "{} {loss}", on[0].loss_sum);
        assert_eq!((on[0].images, on[0].correct), (IMAGES, hits.iter().filter(|&&h| h).count()));
    }
}

/// vᵀHv by second differences of the loss.
#[rstest]
#[case(Rows::Stored, "classification_head.weight")]
#[case(Rows::Stored, "head")]
#[case(Rows::Fixed, "visual.proj")]
#[case(Rows::Moving, "ln_final.weight")]
fn curvature_is_by_definition(#[case] rows: Rows, #[case] name: &str) {
    let ground = ground(rows);
    let alpha = 0.6;
    let (w, layer) = (ground.at(alpha), ground.layer(name));
    let spec =
        CurvatureSpec { probes: 3, iterations: 2, batch: IMAGES, batches: 1, ..Default::default() };
    let probe = Probe::Curvature { spec, on: DatasetId(0) };
    let ProbeResult::Curvature(got) = ground.probe(alpha, &probe, &layer) else { panic!() };
    let like: Vec<Tensor> =
        layer.tensors.iter().map(|name| Tensor::from_slice(&w[name].1)).collect();
    for (k, &exact) in got.quadratic[0].iter().enumerate() {
        let draw = Draw { seed: ground.seed(), layer: name, k: k as u64 };
        let v = signs(draw, &layer.tensors, &like).unwrap();
        let side = |size: f64| {
            let w = moved(&w, &layer, |tensor, _| {
                let at = layer.tensors.iter().position(|name| name == tensor).unwrap();
                let v = Vec::<f64>::try_from(v[at].to_kind(Kind::Double)).unwrap();
                v.iter().map(|v| size * v).collect()
            });
            ground.loss(0..IMAGES, &w)
        };
        // Small enough that no class changes the row that speaks for it.
        let step = 2e-3;
        let about = (side(step) + side(-step) - 2.0 * side(0.0)) / (step * step);
        assert!((about - exact).abs() < 0.05 * exact.abs().max(1.0), "{name}: {about} {exact}");
    }
}
