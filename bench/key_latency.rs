//! From a key to the screen: the program in a pseudo-terminal, every core
//! busy, a key every tenth of a second, and how long until the terminal at the
//! other end shows what the key does. Also what a sweep costs over the line.
//!
//! With libtorch the demo sweep keeps the cores busy; without it the pretended
//! one measures while threads of this program, as far back in priority as a
//! worker's, keep every core busy.
#![allow(missing_docs)]

#[path = "../tests/pty_rig/mod.rs"]
#[allow(dead_code, clippy::unwrap_used)] // the tests' own
mod pty_rig;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use pty_rig::{Program, Rig};

/// The 99th percentile that is promised.
const PROMISE: Duration = Duration::from_millis(50);
/// Keys measured.
const KEYS: usize = 300;
/// How long the line is listened to without keys.
const LISTEN: Duration = Duration::from_secs(5);

fn main() {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let rig = Rig::new();
    let pretended = !cfg!(feature = "torch");
    let start = |out: &str| {
        let mut args = vec!["--demo", "--out", out];
        if pretended {
            args.extend(["--sim", "--sim-ms", "20"]);
        }
        let mut it = rig.start(&args);
        it.until("the curves", |screen| screen.contains("OOD mean"));
        it
    };
    let busy = pretended.then(|| Busy::start(cores));
    let mut it = start(rig.out());
    let before = it.bytes();
    std::thread::sleep(LISTEN);
    let rate = (it.bytes() - before) as f64 / LISTEN.as_secs_f64();

    let mut times = Vec::with_capacity(KEYS);
    let (mut open, mut random, mut swept) = (false, 1_u64, 0);
    for _ in 0..KEYS {
        times.push(press(&mut it, &mut open));
        // An uneven beat, so that keys do not fall in step with frames.
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        std::thread::sleep(Duration::from_millis(60 + (random >> 33) % 80));
        // The demo may be over before the keys are: then it starts anew.
        if !it.text().contains("complete") || open {
            continue;
        }
        it.press("q");
        it.wait();
        swept += 1;
        it = start(&format!("{}-{swept}", rig.out()));
    }
    drop(busy);
    report(times, cores, pretended, rate);
}

/// Opens or closes the help page; gives the time until the terminal shows it.
fn press(it: &mut Program, open: &mut bool) -> Duration {
    let wanted = !*open;
    let start = Instant::now();
    it.press("?");
    it.until("the help page", |screen| screen.contains("esc closes") == wanted);
    *open = wanted;
    start.elapsed()
}

fn report(mut times: Vec<Duration>, cores: usize, pretended: bool, rate: f64) {
    times.sort_unstable();
    let at = |part: f64| times[((times.len() - 1) as f64 * part).round() as usize];
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    let what = if pretended { "busy threads" } else { "the demo sweep on libtorch" };
    println!("key to screen, {} keys, 100x30, {cores} cores busy with {what}:", times.len());
    for (name, part) in [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("most", 1.0)] {
        println!("  {name:<5}{:7.2} ms", ms(at(part)));
    }
    println!("over the line while nobody types: {rate:.0} bytes a second");
    let kept = at(0.99) <= PROMISE;
    println!("p99 under {} ms: {}", PROMISE.as_millis(), if kept { "yes" } else { "NO" });
    if !kept {
        std::process::exit(1);
    }
}

/// Threads that do nothing but take every core, a worker's step back.
struct Busy(Arc<AtomicBool>);

impl Busy {
    fn start(threads: usize) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        for _ in 0..threads {
            let stop = Arc::clone(&stop);
            std::thread::spawn(move || {
                alphascope::priority::step_back();
                while !stop.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            });
        }
        Self(stop)
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
