//! A million events through journal, model and screen: memory, the time a frame
//! takes early and late, and how long it takes to read the journal again.
//!
//! A pretended engine that takes no time measures on one thread; this one folds what
//! it is told as the program does and draws ten frames a second, 200x60, on a screen
//! in memory. Then processes of their own replay the journal, so that their memory
//! is theirs alone. `SOAK_EVENTS` says how many events.
#![allow(missing_docs)]

#[allow(dead_code, reason = "the tests use the rest")]
#[path = "../tests/sweep_rig/hooked.rs"]
mod hooked;

use std::error::Error;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use alphascope::app::{Key, Look, Message, Mode, Model, Screen, update};
use alphascope::session::{self, Setup, Update};
use alphascope::sim::{SimScript, layers};
use alphascope::sparsify;
use alphascope::sweep::engine::BatchOutcome;
use alphascope::sweep::event::{DatasetInfo, Header, SCHEMA};
use alphascope::sweep::ids::{Alpha, DatasetId, VariantId};
use alphascope::sweep::journal::{self, Journal};
use alphascope::sweep::plan::Shard;
use alphascope::sweep::probe::Probe;
use alphascope::sweep::spec::{Role, SharpnessSpec, Variant};
use alphascope::sweep::state::SweepState;
use alphascope::sweep::stats;
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
/// Between two frames, as the program draws data.
const FRAME: Duration = Duration::from_millis(100);
/// What is promised.
const REPLAY: Duration = Duration::from_secs(5);
/// Bytes that a result may cost from half of the events to all of them.
const PER_EVENT: f64 = 200.0;
/// A late frame may take so much longer than an early one, statistics and all.
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
        stragglers: Default::default(),
    })
}

/// Answers at once. How hard an image is does not depend on the point, as in real
/// models, unless hits are to be random.
fn answer(
    accuracy: f64,
    dataset: DatasetId,
    positions: Range<usize>,
    random: bool,
) -> BatchOutcome {
    let point = if random { accuracy.to_bits() } else { 0 };
    let hard = |position: usize| {
        let image = (position * DATASETS + dataset.index()) as u64 + 1;
        let mixed = (image ^ point.rotate_left(17)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
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
    let random = std::env::var("SOAK_HITS").is_ok_and(|hits| hits == "random");
    let script = SimScript::default();
    let engine = hooked(&header, script, move |engine, alpha, dataset, positions| {
        Ok(answer(engine.accuracy(dataset, alpha), dataset, positions, random))
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
    // (events so far, screen, time of statistics, time of a frame), and memory at each tenth.
    let (mut told, mut frames, mut tenths) = (0_usize, Vec::new(), Vec::new());
    let (mut last, mut tab) = (Instant::now(), 0);
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
            Update::Link(_) | Update::NotTaken(_) | Update::Stands(_) => {}
        }
        if last.elapsed() >= FRAME {
            last = Instant::now();
            tab = 1 - tab;
            update(&mut model, Message::Key(Key::Char(['1', '4'][tab])));
            model.settle();
            let statistics = last.elapsed();
            terminal.draw(|frame| ui::view(&model, &theme, frame))?;
            frames.push((told, tab, statistics, last.elapsed() - statistics));
        }
    }
    handle.join();
    let time = start.elapsed();
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
    println!(
        "  {} frames, ms (median), over {} images of each dataset at the end:",
        frames.len(),
        header.datasets[0].images
    );
    let mut flat = true;
    for (tab, name) in ["live", "compare"].into_iter().enumerate() {
        let part = |from: usize, to: usize| {
            let of = || frames.iter().filter(|it| it.1 == tab && (from..to).contains(&it.0));
            let ms = |mut times: Vec<Duration>| median(&mut times).as_secs_f64() * 1e3;
            let statistics = ms(of().map(|it| it.2).collect());
            let drawn = ms(of().map(|it| it.3).collect());
            (statistics, drawn, ms(of().map(|it| it.2 + it.3).collect()))
        };
        let (early, late) = (part(told / 10, told * 3 / 10), part(told * 8 / 10, told));
        let ratio = late.2 / early.2.max(1e-6);
        flat &= ratio <= SLOWER;
        println!(
            "  {name:>8}: statistics {:.2} early, {:.2} late; drawing {:.2}, {:.2}; together \
             {:.2}, {:.2}: ratio {ratio:.2}",
            early.0, late.0, early.1, late.1, early.2, late.2
        );
    }
    // A copy remembers nothing of what was added up.
    let (anew, start) = (model.run.clone(), Instant::now());
    let judged = stats::judge(&anew, VariantId::DENSE);
    let time = start.elapsed();
    let images = DATASETS * header.datasets[0].images;
    println!(
        "  the same from nothing, as a run that is opened: {:.0} ms, {:.1} µs an image",
        time.as_secs_f64() * 1e3,
        time.as_secs_f64() * 1e6 / images as f64
    );
    assert_eq!(stats::judge(&model.run, VariantId::DENSE), judged, "it is the very same");
    let complete = model.run.is_complete() && model.run.ignored == 0;
    let kept = complete && each <= PER_EVENT && flat;
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
