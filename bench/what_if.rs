//! What-if on the demo: how long until a first whole curve of a new variant is there, with and
//! without kept activations, by the layer that is edited. The first curve is every dataset's first
//! round at every point of the grid, after the dense model went over it once. Zeros are counted as a
//! sweep does, once at each point; what that takes is part of both times, and told beside them.
//! `cargo bench --bench what_if`
#![allow(missing_docs)]

use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use alphascope::inputs::Inputs;
use alphascope::sparsify;
use alphascope::sweep::engine::Engine;
use alphascope::sweep::ids::{Alpha, DatasetId};
use alphascope::sweep::plan::rounds;
use alphascope::sweep::spec::{Spec, Variant};
use alphascope::torch::device::DeviceChoice;
use alphascope::torch::engine::TorchEngine;

/// The best of so many.
const TIMES: usize = 3;

type Losses = Vec<f64>;

/// Of a whole curve, and of counting alone.
type Times = (Duration, Duration);

/// Images of a dataset in the first round.
fn first_round(engine: &TorchEngine, dataset: usize) -> usize {
    let inputs = engine.inputs();
    let images = inputs.datasets[dataset].order.len();
    rounds(images, inputs.spec.sweep.batch).first().copied().unwrap_or(images)
}

/// One curve: losses in the order of α, datasets, images; and the time that counting took.
fn curve(
    engine: &mut TorchEngine,
    grid: &[Alpha],
    variant: &Variant,
) -> Result<(Losses, Duration), Box<dyn Error>> {
    let mut losses = Vec::new();
    let mut counting = Duration::ZERO;
    for &alpha in grid {
        engine.set_point(alpha, variant)?;
        for dataset in 0..engine.inputs().datasets.len() {
            let images = first_round(engine, dataset);
            losses.extend(engine.evaluate(DatasetId(dataset), 0..images)?.loss);
            if dataset == 0 && !variant.is_dense() {
                let start = Instant::now();
                engine.count_zeros()?;
                counting += start.elapsed();
            }
        }
    }
    Ok((losses, counting))
}

/// The best time (with what counting took of it) and the losses of a variant; each time with
/// another amount, so that what is timed includes choosing the weights, as a toggle does.
fn best(
    engine: &mut TorchEngine,
    grid: &[Alpha],
    layer: &str,
    method: &str,
) -> Result<(Times, Vec<Losses>), Box<dyn Error>> {
    let mut best = (Duration::MAX, Duration::MAX);
    let mut all = Vec::new();
    for time in 0..TIMES {
        let edit = sparsify::parse(&format!("{layer}={method}:0.{}", 5 + time % 5))?;
        let variant = Variant { name: "what-if".into(), sparsify: vec![edit] };
        let start = Instant::now();
        let (losses, counting) = curve(engine, grid, &variant)?;
        all.push(losses);
        best = best.min((start.elapsed(), counting));
    }
    Ok((best, all))
}

fn main() -> Result<(), Box<dyn Error>> {
    let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/demo/demo.toml");
    let spec = Spec::load(&demo)?;
    let grid = spec.grid();
    let inputs = Arc::new(Inputs::open(spec)?);
    let mut plain = TorchEngine::new(Arc::clone(&inputs), DeviceChoice::Cpu)?;
    plain.keep_activations(0);
    let mut kept = TorchEngine::new(inputs, DeviceChoice::Cpu)?;
    let dense = Variant::dense();
    let mut whole = Duration::MAX;
    for _ in 0..TIMES {
        let start = Instant::now();
        curve(&mut plain, &grid, &dense)?;
        whole = whole.min(start.elapsed());
    }
    let start = Instant::now();
    curve(&mut kept, &grid, &dense)?;
    let filling = start.elapsed();
    let images: usize = (0..plain.inputs().datasets.len()).map(|i| first_round(&plain, i)).sum();
    println!("what-if, demo: {images} images at {} points, best of {TIMES}", grid.len());
    println!("  dense, nothing kept        {:8.1} ms", 1e3 * whole.as_secs_f64());
    println!(
        "  dense, keeping             {:8.1} ms, {:.1} MB kept",
        1e3 * filling.as_secs_f64(),
        kept.kept_activations() as f64 / 1e6
    );
    println!("  layer     method        plain     kept   ratio   of it counting zeros");
    let last = plain.inputs().pair.architecture.image.layers - 1;
    let layer = |name: &str| name.to_string();
    let block = |index: usize| format!("block.{index}");
    for (layer, method) in [
        (layer("stem"), "delta"),
        (block(0), "delta"),
        (block(last / 2), "delta"),
        (block(last), "delta"),
        (block(last), "magnitude"),
        (layer("head"), "delta"),
    ] {
        let ((slow, _), expected) = best(&mut plain, &grid, &layer, method)?;
        let ((fast, counting), got) = best(&mut kept, &grid, &layer, method)?;
        if got != expected {
            return Err(format!("{layer}, {method}: kept activations change a number").into());
        }
        let (slow, fast) = (1e3 * slow.as_secs_f64(), 1e3 * fast.as_secs_f64());
        let counting = 1e3 * counting.as_secs_f64();
        println!(
            "  {layer:9} {method:9} {slow:7.1} ms {fast:7.1} ms {:6.2} {counting:7.2} ms",
            fast / slow
        );
    }
    println!("  every loss is the same, bit for bit");
    Ok(())
}
