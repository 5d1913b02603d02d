//! Forward throughput of the image tower against this machine's matrix-product peak, measured in
//! the same run, in turns with it.
//!
//!     cargo bench --bench forward -- [--model ViT-B-32] [--images 64] [--seconds 20]
//!         [--micro N] [--precision fp32|bf16] [--json]
//!
//! The weights are random. FLOP/s count what a plain forward pass of the model needs (every token
//! through every block), as for other programs; `done` counts what is really computed: the last
//! block reads one token only.

use std::time::Instant;

use alphascope::checkpoint::{Dtype, End, TensorView};
use alphascope::sparsify::Plan;
use alphascope::sweep::ids::Alpha;
use alphascope::torch::clip::{ImageTower, normalized};
use alphascope::torch::model::MicroBatch;
use alphascope::torch::path::PathWeights;
use alphascope::torch::{cpu::Cpu, threads};
use tch::{Device, Kind, Tensor};

mod support;
use support::peak::{median, peak};
use support::shape::{Flops, architecture};
use support::words::words;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

struct Options {
    model: String,
    images: usize,
    micro: Option<usize>,
    seconds: f64,
    kind: Kind,
    json: bool,
}

fn options() -> Result<Options> {
    let mut options = Options {
        model: "ViT-B-32".into(),
        images: 64,
        micro: None,
        seconds: 20.0,
        kind: Kind::Float,
        json: false,
    };
    words(|word, value| {
        match word {
            "--model" => options.model = value()?,
            "--images" => options.images = value()?.parse()?,
            "--micro" => options.micro = Some(value()?.parse()?),
            "--seconds" => options.seconds = value()?.parse()?,
            "--precision" => {
                options.kind = match value()?.as_str() {
                    "fp32" => Kind::Float,
                    "bf16" => Kind::BFloat16,
                    other => return Err(format!("--precision fp32 or bf16, got {other}").into()),
                };
            }
            "--json" => options.json = true,
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    Ok(options)
}

fn main() -> Result<()> {
    alphascope::torch::runtime::init();
    let options = options()?;
    let threads = threads::set(&Cpu::detect());
    let architecture = architecture(&options.model)?;
    let flops = Flops::of(&architecture);

    // Two ends that differ everywhere, as between real checkpoints.
    let random = |seed: i64, shape: &[usize]| -> Result<Vec<u8>> {
        tch::manual_seed(seed);
        let n: usize = shape.iter().product();
        let values = Tensor::f_randn([n as i64], (Kind::Float, Device::Cpu))?.f_mul_scalar(0.02)?;
        Ok(Vec::<f32>::try_from(values)?.iter().flat_map(|x| x.to_le_bytes()).collect())
    };
    let mut ends = std::collections::BTreeMap::new();
    for (i, (name, shape)) in architecture.image_tensors().into_iter().enumerate() {
        let i = i as i64;
        ends.insert(name, (random(i, &shape)?, random(i + 100_000, &shape)?, shape));
    }
    let end = |at: End, name: &str| {
        let (zero, one, shape) = ends.get(name)?;
        let bytes = if at == End::ZeroShot { zero } else { one };
        TensorView::new(Dtype::F32, shape.clone(), bytes.as_slice().into())
    };
    let mut weights = PathWeights::load(ends.keys().cloned(), end, Device::Cpu, options.kind)?;
    let tower = ImageTower::new(&weights, &architecture)?;
    weights.set(Alpha::new(0.3).ok_or("alpha")?, &Plan::default())?;

    let bytes = tower.image_bytes() as i64;
    let pixels =
        Tensor::f_randint(256, [options.images as i64, bytes], (Kind::Uint8, Device::Cpu))?;
    let micro = options.micro.unwrap_or(MicroBatch::new(Device::Cpu, &architecture).size());
    let micro = micro.clamp(1, options.images) as i64;
    let pass = || -> Result<f64> {
        let start = Instant::now();
        let mut done = 0;
        while done < options.images as i64 {
            let part = pixels.f_narrow(0, done, micro.min(options.images as i64 - done))?;
            let _ = normalized(&tower.forward(&part, &mut ())?)?;
            done += micro;
        }
        Ok(start.elapsed().as_secs_f64())
    };
    pass()?;
    let (mut rates, mut peaks, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    let start = Instant::now();
    while rates.len() < 3 || start.elapsed().as_secs_f64() < options.seconds {
        let before = peak(options.kind)?;
        let rate = options.images as f64 / pass()?;
        let around = before.max(peak(options.kind)?);
        rates.push(rate);
        peaks.push(around);
        ratios.push(rate * flops.plain / around);
    }
    let mut moves = Vec::new();
    for i in 0..6 {
        let start = Instant::now();
        weights.set(Alpha::new(0.1 + 0.1 * f64::from(i)).ok_or("alpha")?, &Plan::default())?;
        moves.push(start.elapsed().as_secs_f64());
    }
    let (rate, peak, ratio) = (median(rates), median(peaks), median(ratios));
    let moving = median(moves);
    let done = flops.done / flops.plain;
    if options.json {
        println!(
            "{}",
            serde_json::json!({
                "images_per_second": rate, "flops": rate * flops.plain, "peak_flops": peak,
                "of_peak": ratio, "of_peak_done": ratio * done, "threads": threads,
                "move_seconds": moving, "images": options.images, "micro_batch": micro,
            })
        );
        return Ok(());
    }
    let precision = if options.kind == Kind::Float { "fp32" } else { "bf16" };
    println!(
        "{}, {precision}, {} images in passes of {micro}, {threads} threads (medians, in turns)",
        options.model, options.images
    );
    println!(
        "  matrix-product peak  {:8.1} GFLOP/s  (2048 x 2048, before and after each)",
        peak / 1e9
    );
    println!("  forward              {:8.2} img/s", rate);
    println!(
        "  forward              {:8.1} GFLOP/s  {:.1} % of peak, as a plain pass ({:.2} GFLOP an image)",
        rate * flops.plain / 1e9,
        100.0 * ratio,
        flops.plain / 1e9
    );
    println!(
        "  really computed      {:8.1} GFLOP/s  {:.1} % of peak ({:.2} GFLOP an image)",
        rate * flops.done / 1e9,
        100.0 * ratio * done,
        flops.done / 1e9
    );
    println!(
        "  one step along α     {:8.1} ms  = {:.2} images' forward",
        1e3 * moving,
        moving * rate
    );
    Ok(())
}
