//! `alphascope gpu-check`: a whole sweep on the CPU and on every GPU, compared image by image.
//!
//! float32 on a GPU must hit and miss the same images as the CPU, except near ties; bfloat16 must
//! keep every rate within float32's 95 % interval.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use thiserror::Error;

use super::cuda::CudaDevice;
use super::device::DeviceChoice;
use super::engine::TorchEngine;
use super::precision::within_interval;
use super::runtime;
use crate::inputs::Inputs;
use crate::sweep::engine::{Engine, EngineError};
use crate::sweep::ids::{Alpha, DatasetId};
use crate::sweep::plan::LARGEST_ROUND;
use crate::sweep::spec::{Precision, Variant};

/// Why the check could not be made (it says nothing about the numbers then).
#[derive(Debug, Error)]
pub enum GpuCheckError {
    /// An engine failed.
    #[error("gpu-check on {device}: {source}")]
    Engine {
        /// Where.
        device: String,
        /// Why.
        source: EngineError,
    },
    /// The result cannot be written.
    #[error("gpu-check: cannot write the result: {0}")]
    Write(#[from] io::Error),
}

/// Mean losses may differ by this much of their size between devices, in float32.
const LOSS_TOLERANCE: f64 = 1e-3;

/// What one engine measured for one dataset at one point.
#[derive(Clone, Debug, PartialEq)]
struct Cell {
    dataset: String,
    alpha: Alpha,
    hits: Vec<bool>,
    loss: f64,
    near_ties: usize,
}

impl Cell {
    fn correct(&self) -> usize {
        self.hits.iter().filter(|&&hit| hit).count()
    }
}

/// One engine's whole sweep.
#[derive(Debug)]
struct Leg {
    device: String,
    cells: Vec<Cell>,
    images: usize,
    seconds: f64,
    /// Most memory in use on the GPU, by every program; `None` where nothing tells.
    memory: Option<u64>,
}

/// The line where there is no GPU.
///
/// # Errors
/// When it cannot be written.
pub fn skipped(out: &mut impl Write, reason: &str) -> io::Result<()> {
    writeln!(out, "gpu-check: skipped: {reason}")
}

/// Runs the sweep of `inputs` on the CPU in float32 and on every GPU in float32 and bfloat16,
/// writes a table and a line per comparison, and says whether all agree. Without a GPU it writes
/// the line of [`skipped`] and agrees.
///
/// # Errors
/// When a device fails or the result cannot be written.
pub fn run(inputs: &Arc<Inputs>, out: &mut impl Write) -> Result<bool, GpuCheckError> {
    let cuda = &runtime::init().cuda;
    if let Some(reason) = cuda.missing() {
        skipped(out, reason)?;
        return Ok(true);
    }
    let gpus: Vec<_> =
        cuda.devices().iter().map(|gpu| (DeviceChoice::Cuda(gpu.index), Some(gpu))).collect();
    compare(inputs, &gpus, out)
}

/// The check itself, on the CPU and the devices given (each with what tells its memory).
///
/// # Errors
/// As [`run`].
pub fn compare(
    inputs: &Arc<Inputs>,
    devices: &[(DeviceChoice, Option<&CudaDevice>)],
    out: &mut impl Write,
) -> Result<bool, GpuCheckError> {
    let points = inputs.spec.grid();
    let images: usize = inputs.datasets.iter().map(|dataset| dataset.order.len()).sum();
    writeln!(
        out,
        "gpu-check: {}, {} datasets, {images} images at {} points of the path",
        inputs.pair.architecture,
        inputs.datasets.len(),
        points.len()
    )?;
    let mut leg = |choice: DeviceChoice, precision, gpu: Option<&CudaDevice>| {
        let failed = |source| GpuCheckError::Engine { device: choice.to_string(), source };
        let mut engine =
            TorchEngine::with_precision(Arc::clone(inputs), choice, precision).map_err(failed)?;
        let used = || gpu.and_then(|gpu| gpu.load()?.used);
        let leg = measure(&mut engine, inputs, &points, used).map_err(failed)?;
        writeln!(out, "{}", leg.line())?;
        Ok::<Leg, GpuCheckError>(leg)
    };
    let cpu = leg(DeviceChoice::Cpu, Precision::Fp32, None)?;
    let mut said = Vec::new();
    for &(choice, gpu) in devices {
        // Memory that libtorch keeps for later counts as in use: so told once, before it came.
        if let Some(used) = gpu.and_then(|gpu| gpu.load()?.used) {
            said.push((true, format!("{choice}: {} MiB were in use before", used >> 20)));
        }
        let fp32 = leg(choice, Precision::Fp32, gpu)?;
        let bf16 = leg(choice, Precision::Bf16, gpu)?;
        said.push(same_but_near_ties(&cpu, &fp32));
        said.push(within_intervals(&fp32, &bf16));
    }
    for (_, line) in &said {
        writeln!(out, "{line}")?;
    }
    let ok = said.iter().all(|(ok, _)| *ok);
    writeln!(out, "gpu-check: {}", if ok { "ok" } else { "FAILED" })?;
    Ok(ok)
}

/// A whole sweep, timing the engine alone: pixels are decoded before the clock starts.
fn measure(
    engine: &mut impl Engine,
    inputs: &Inputs,
    points: &[Alpha],
    used: impl Fn() -> Option<u64>,
) -> Result<Leg, EngineError> {
    let batch = inputs.spec.sweep.batch.max(1);
    let mut cells = Vec::new();
    let (mut images, mut time, mut peak) = (0, Duration::ZERO, used());
    let mut warm = false;
    for (index, loaded) in inputs.datasets.iter().enumerate() {
        let id = DatasetId(index);
        let cell = |&alpha: &Alpha| Cell {
            dataset: loaded.dataset.name().into(),
            alpha,
            hits: Vec::new(),
            loss: 0.0,
            near_ties: 0,
        };
        let mut here: Vec<Cell> = points.iter().map(cell).collect();
        let total = loaded.order.len();
        for start in (0..total).step_by(LARGEST_ROUND) {
            let end = total.min(start + LARGEST_ROUND);
            inputs.pixels(id, &loaded.order[start..end]).map_err(EngineError::Data)?;
            if let (false, Some(&alpha)) = (warm, points.first()) {
                engine.set_point(alpha, &Variant::dense())?;
                engine.evaluate(id, start..end.min(start + batch))?;
                warm = true;
            }
            for cell in &mut here {
                let clock = Instant::now();
                engine.set_point(cell.alpha, &Variant::dense())?;
                for from in (start..end).step_by(batch) {
                    let outcome = engine.evaluate(id, from..end.min(from + batch))?;
                    cell.hits.extend(outcome.hit);
                    cell.loss += outcome.loss.iter().sum::<f64>();
                    cell.near_ties += outcome.near_ties as usize;
                }
                time += clock.elapsed();
                images += end - start;
                peak = peak.max(used());
            }
        }
        cells.append(&mut here);
    }
    let seconds = time.as_secs_f64();
    Ok(Leg { device: engine.device(), cells, images, seconds, memory: peak })
}

impl Leg {
    fn line(&self) -> String {
        let rate = self.images as f64 / self.seconds;
        let mut line =
            format!("  {:<32} {:>8.2} s  {:>9.0} img/s", self.device, self.seconds, rate);
        if let Some(peak) = self.memory {
            let _ = write!(line, "  at most {} MiB of the GPU in use", peak >> 20);
        }
        line
    }
}

/// Whether each cell's hits are the same for all but as many images as are near ties, and losses
/// agree; and the sentence that says so.
fn same_but_near_ties(cpu: &Leg, gpu: &Leg) -> (bool, String) {
    let (mut differ, mut ties, mut loss) = (0, 0, 0.0_f64);
    let mut worse = None;
    for (a, b) in cpu.cells.iter().zip(&gpu.cells) {
        let here = a.hits.iter().zip(&b.hits).filter(|(a, b)| a != b).count();
        let allowed = a.near_ties.max(b.near_ties);
        differ += here;
        ties += allowed;
        loss = loss.max((a.loss - b.loss).abs() / a.loss.abs().max(f64::MIN_POSITIVE));
        if here > allowed && worse.is_none() {
            worse = Some(format!(
                "`{}` at α = {} differs on {here} images with {allowed} near ties",
                a.dataset, a.alpha
            ));
        }
    }
    let images = cpu.images;
    let mut line = format!(
        "{} against {}: {differ} of {images} predictions differ, {ties} are near ties; mean losses \
         within {loss:.1e}",
        gpu.device, cpu.device
    );
    let complete = cpu.cells.len() == gpu.cells.len() && cpu.images == gpu.images;
    let ok = complete && worse.is_none() && loss <= LOSS_TOLERANCE;
    match worse {
        Some(worse) => line.push_str(&format!(": FAILED: {worse}")),
        None if ok => line.push_str(": ok"),
        None => line.push_str(&format!(": FAILED: expected losses within {LOSS_TOLERANCE:.0e}")),
    }
    (ok, line)
}

/// Whether no cell's top-1 moved by more than half its float32 interval; and the sentence.
fn within_intervals(fp32: &Leg, bf16: &Leg) -> (bool, String) {
    let (mut farthest, mut at) = (0.0_f64, String::from("nowhere"));
    let mut outside = Vec::new();
    for (a, b) in fp32.cells.iter().zip(&bf16.cells) {
        let images = a.hits.len().max(1);
        let moved = a.correct().abs_diff(b.correct()) as f64 / images as f64;
        let place = format!("`{}` at α = {}", a.dataset, a.alpha);
        if !within_interval(a.correct(), b.correct(), a.hits.len()) {
            outside.push(place.clone());
        }
        if moved > farthest {
            (farthest, at) = (moved, place);
        }
    }
    let ok = outside.is_empty() && fp32.cells.len() == bf16.cells.len();
    let mut line = format!(
        "{} against fp32: top-1 moves by {:.2} points at most ({at})",
        bf16.device,
        100.0 * farthest
    );
    line.push_str(&match outside.first() {
        None if ok => ", within every 95 % interval: ok".to_string(),
        None => ": FAILED: not every cell was measured".into(),
        Some(first) => format!(
            ": FAILED: {} of {} cells leave their 95 % interval, the first {first}",
            outside.len(),
            fp32.cells.len()
        ),
    });
    (ok, line)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leg(device: &str, cells: &[(&[bool], f64, usize)]) -> Leg {
        let cell = |&(hits, loss, near_ties): &(&[bool], f64, usize)| Cell {
            dataset: "noto".into(),
            alpha: Alpha::ZERO_SHOT,
            hits: hits.to_vec(),
            loss,
            near_ties,
        };
        let images = cells.iter().map(|(hits, ..)| hits.len()).sum();
        let cells = cells.iter().map(cell).collect();
        Leg { device: device.into(), cells, images, seconds: 2.0, memory: None }
    }

    #[test]
    fn a_near_tie_may_flip_and_nothing_else() {
        let cpu = leg("CPU", &[(&[true, true, false], 3.0, 1), (&[true], 1.0, 0)]);
        let flipped = leg("cuda:0", &[(&[true, false, false], 3.0, 1), (&[true], 1.0, 0)]);
        let (ok, line) = same_but_near_ties(&cpu, &flipped);
        assert!(ok, "{line}");
        assert!(line.contains("1 of 4 predictions differ, 1 are near ties"), "{line}");
        // The near tie was in the other cell.
        let wrong = leg("cuda:0", &[(&[true, true, false], 3.0, 1), (&[false], 1.0, 0)]);
        let (ok, line) = same_but_near_ties(&cpu, &wrong);
        assert!(!ok && line.contains("FAILED: `noto` at α = 0 differs on 1 images"), "{line}");
        let lossy = leg("cuda:0", &[(&[true, true, false], 3.1, 1), (&[true], 1.0, 0)]);
        assert!(!same_but_near_ties(&cpu, &lossy).0);
        assert!(!same_but_near_ties(&cpu, &leg("cuda:0", &[])).0);
    }

    #[test]
    fn a_rate_may_move_within_its_interval() {
        let hits = |n: usize| (0..200).map(|i| i < n).collect::<Vec<_>>();
        let fp32 = leg("cuda:0", &[(&hits(120), 1.0, 0)]);
        let (ok, line) = within_intervals(&fp32, &leg("cuda:0, bf16", &[(&hits(117), 1.0, 0)]));
        assert!(ok && line.contains("1.50 points"), "{line}");
        let (ok, line) = within_intervals(&fp32, &leg("cuda:0, bf16", &[(&hits(90), 1.0, 0)]));
        assert!(!ok && line.contains("1 of 1 cells"), "{line}");
    }

    #[test]
    fn rates_and_memory_are_told() {
        let mut gpu = leg("cuda:0 NVIDIA H200", &[(&[true; 100], 1.0, 0)]);
        gpu.memory = Some(900 << 20);
        let line = gpu.line();
        for part in ["50 img/s", "900 MiB"] {
            assert!(line.contains(part), "{line}");
        }
        let mut out = Vec::new();
        skipped(&mut out, "no NVIDIA driver").unwrap();
        assert_eq!(out, b"gpu-check: skipped: no NVIDIA driver\n");
    }
}
