//! A million events through journal, model and screen: memory, the time a frame
//! takes early and late, and how long it takes to read the journal again.
//!
//! A pretended engine that takes no time measures on one thread; this one folds what
//! it is told as the program does and draws ten frames a second, 200x60, on a screen
//! in memory. Then processes of their own replay the journal, so that their memory
//! is theirs alone. `SOAK_EVENTS` says how many events.
#![allow(missing_docs)]

#[path = "../tests/sweep_rig/hooked.rs"]
mod hooked;

use std::error::Error;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use alphascope::app::{Look, Message, Mode, Model, Screen, update};
use alphascope::session::{self, Setup, Update};
use alphascope::sim::{SimScript, layers};
use alphascope::sparsify;
use alphascope::sweep::engine::BatchOutcome;
use alphascope::sweep::event::{DatasetInfo, Header, SCHEMA};
use alphascope::sweep::ids::{Alpha, DatasetId};
use alphascope::sweep::journal::{self, Journal};
use alphascope::sweep::plan::Shard;
use alphascope::sweep::probe::Probe;
use alphascope::sweep::spec::{Role, SharpnessSpec, Variant};
use alphascope::sweep::state::SweepState;
use alphascope::ui::{self, Theme};
use hooked::hooked;
use ratatui::Terminal;
use ratatui::backend::TestBackend;

type Fallible<T> = Result<T, Box<dyn Error>>;

const DATASETS: usize = 6;
const POINTS: usize = 21;
const VARIANTS: usize = 20;
/// Images of a round: one batch, so that a round is one forward pass.
const IMAGES: usize = 8;
/// Between two frames, as the program draws data; longer where statistics took over
/// a fifth of it.
const FRAME: Duration = Duration::from_millis(100);
/// What is promised.
const REPLAY: Duration = Duration::from_secs(5);
/// Bytes that a result may cost from half of the events to all of them.
const PER_EVENT: f64 = 200.0;
/// A late frame may take so much longer than an early one.
const SLOWER: f64 = 1.5;

fn main() -> Fallible<()> {
    let args: Vec<String> = std::env::args().collect();
    if let [_, how, dir] = &args[..]
        && how.starts_with("replay")
    {
        let kept = replay(how, Path::new(dir))?;
        std::process::exit(i32::from(!kept));
    }
    let events: usize = std::env::var("SOAK_EVENTS").map_or(Ok(1_000_000), |text| text.parse())?;
    let folder = std::env::temp_dir().join(format!("alphascope-soak-{}", std::process::id()));
    let kept = stream(&folder, events).and_then(|kept| {
        let again = ["replay", "replay-all"].map(|how| {
            let program = std::env::current_exe()?;
            Ok(Command::new(program).arg(how).arg(&folder).status()?.success())
        });
        let again = again.into_iter().collect::<Fallible<Vec<bool>>>()?;
        Ok(kept && again.into_iter().all(|kept| kept))
    });
    std::fs::remove_dir_all(&folder)?;
    if !kept? {
        std::process::exit(1);
    }
    Ok(())
}

fn header(events: usize) -> Fallible<Header> {
    let rounds = events.div_ceil(DATASETS * POINTS * VARIANTS);
    let info = |index| DatasetInfo {
        name: format!("set{index}"),
        role: if index == 0 { Role::Id } else { Role::Ood },
        images: rounds * IMAGES,
        classes: 10,
        rounds: (1..=rounds).map(|round| round * IMAGES).collect(),
        benchmark: None,
    };
    let variant = |index: usize| -> Fallible<Variant> {
        let edit = format!("block.{}=delta:{}", index % 12, 0.02 * index as f64);
        Ok(Variant { name: format!("variant {index}"), sparsify: vec![sparsify::parse(&edit)?] })
    };
    let mut variants = vec![Variant::dense()];
    for index in 1..VARIANTS {
        variants.push(variant(index)?);
    }
    let alphas = (0..POINTS).map(|i| Alpha::new(i as f64 / (POINTS - 1) as f64));
    Ok(Header {
        schema: SCHEMA,
        spec_hash: "soak".into(),
        zeroshot: "zeroshot".into(),
        finetuned: "finetuned".into(),
        label: None,
        architecture: "none".into(),
        alphas: alphas.collect::<Option<_>>().ok_or("α")?,
        datasets: (0..DATASETS).map(info).collect(),
        variants,
        layers: layers(12),
        seed: 7,
        batch: IMAGES,
    })
}

/// Answers at once. How hard an image is does not depend on the point, as in real
/// models.
fn answer(accuracy: f64, dataset: DatasetId, positions: Range<usize>) -> BatchOutcome {
    let hard = |position: usize| {
        let mixed = ((position * DATASETS + dataset.index()) as u64 + 1)
            .wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (mixed ^ mixed >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9) as f64 / u64::MAX as f64
    };
    let draws: Vec<f64> = positions.map(hard).collect();
    BatchOutcome {
        hit: draws.iter().map(|&draw| draw < accuracy).collect(),
        hit5: Some(draws.iter().map(|&draw| draw < accuracy.max(0.95)).collect()),
        loss: draws.iter().map(|draw| draw + 1.0 - accuracy).collect(),
        near_ties: 0,
    }
}

/// A number of `/proc/self/status`, in bytes.
fn memory(field: &str) -> Fallible<u64> {
    let text = std::fs::read_to_string("/proc/self/status")?;
    let line = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    let kilobytes = line.and_then(|line| line.split_whitespace().next()).ok_or("no such field")?;
    Ok(kilobytes.parse::<u64>()? * 1024)
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

fn stream(folder: &Path, events: usize) -> Fallible<bool> {
    let header = header(events)?;
    let journal = Journal::open(folder, Shard::whole())?;
    let script = SimScript::default();
    let engine = hooked(&header, script, |engine, alpha, dataset, positions| {
        Ok(answer(engine.accuracy(dataset, alpha), dataset, positions))
    });
    let probe = Probe::Sharpness { spec: SharpnessSpec::default(), on: DatasetId(0) };
    let setup = Setup {
        dir: PathBuf::from(folder),
        journal,
        header: header.clone(),
        probes: vec![probe.named(&header)],
        doctor: None,
        shard: Shard::whole(),
        engines: vec![engine],
        notices: Vec::new(),
        quiet: false,
        asked: Vec::new(),
    };
    let look = Look::default();
    let theme = Theme::of(look);
    let mut terminal = Terminal::new(TestBackend::new(200, 60))?;
    let mut model = Model::new(Screen::Live, Mode::Own, look);
    update(&mut model, Message::Resize(200, 60));
    let start = Instant::now();
    let handle = session::start(setup, Arc::new(|| {}))?;
    // (events so far, time of statistics, time of a frame), and memory at each tenth.
    let (mut told, mut frames, mut tenths) = (0_usize, Vec::new(), Vec::new());
    let (mut last, mut gap) = (Instant::now(), FRAME);
    loop {
        match handle.updates.recv()? {
            Update::Event(event) => {
                told += 1;
                update(&mut model, Message::Event(event));
                if told % (events / 10) == 0 {
                    tenths.push((told, memory("VmRSS")?));
                }
            }
            Update::Progress(progress) => drop(update(&mut model, Message::Progress(progress))),
            Update::Ended(ended) => {
                update(&mut model, Message::Ended(ended));
                break;
            }
            Update::Link(_) | Update::Said(..) | Update::Stands(_) => {}
        }
        if last.elapsed() >= gap {
            last = Instant::now();
            model.settle();
            let statistics = last.elapsed();
            terminal.draw(|frame| ui::view(&model, &theme, frame))?;
            frames.push((told, statistics, last.elapsed() - statistics));
            gap = FRAME.max(4 * statistics);
        }
    }
    handle.join();
    let time = start.elapsed();
    let part = |from: usize, to: usize| {
        let within = || frames.iter().filter(|(at, ..)| (from..to).contains(at));
        let mut statistics: Vec<Duration> = within().map(|(_, time, _)| *time).collect();
        let mut drawn: Vec<Duration> = within().map(|(.., time)| *time).collect();
        (median(&mut statistics), median(&mut drawn))
    };
    let (early, late) = (part(told / 10, told * 3 / 10), part(told * 8 / 10, told));
    let ratio = late.1.as_secs_f64() / early.1.as_secs_f64().max(1e-9);
    let bytes = std::fs::metadata(folder.join("events.jsonl"))?.len();
    let mb = |bytes: u64| bytes as f64 / 1e6;
    println!("{told} events in {:.1} s, {:.0} MB of journal", time.as_secs_f64(), mb(bytes));
    for (at, rss) in &tenths {
        println!("  after {at:>8} events {:7.1} MB", mb(*rss));
    }
    let peak = memory("VmHWM")?;
    let half = tenths.iter().find(|(at, _)| *at >= told / 2).map_or(0, |(_, rss)| *rss);
    let each = peak.saturating_sub(half) as f64 / (told - told / 2) as f64;
    println!("  peak {:.1} MB: {each:.0} bytes an event in the second half", mb(peak));
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    println!(
        "{} frames: median {:.2} ms early, {:.2} ms late, ratio {ratio:.2}",
        frames.len(),
        ms(early.1),
        ms(late.1)
    );
    println!(
        "statistics before a frame, over {} images of each dataset at the end: median {:.1} ms \
         early, {:.1} ms late; at most a fifth of the time",
        header.datasets[0].images,
        ms(early.0),
        ms(late.0)
    );
    let complete = model.run.is_complete() && model.run.ignored == 0;
    let kept = complete && each <= PER_EVENT && ratio <= SLOWER;
    println!("memory bounded, frame time flat, all kept: {}", if kept { "yes" } else { "NO" });
    Ok(kept)
}

fn replay(how: &str, dir: &Path) -> Fallible<bool> {
    let start = Instant::now();
    let (state, what) = match how {
        "replay" => (journal::replay(dir)?.0, "as the report reads it"),
        _ => (SweepState::replay(&journal::read(dir)?), "all events in memory"),
    };
    let time = start.elapsed();
    let peak = memory("VmHWM")?;
    let kept = state.is_complete() && time <= REPLAY;
    println!(
        "replay, {what}: {:.2} s, peak {:.1} MB; under {} s: {}",
        time.as_secs_f64(),
        peak as f64 / 1e6,
        REPLAY.as_secs(),
        if kept { "yes" } else { "NO" }
    );
    Ok(kept)
}
