use proptest::prelude::*;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Deserialize;

use super::super::event::{Bits, DatasetInfo, Event, Header, Measured, SCHEMA};
use super::super::ids::{Alpha, RoundId, WorkerId};
use super::super::spec::Variant;
use super::*;

/// A state from hits `[dataset][α][image]`; rounds end where told.
fn measured(alphas: &[f64], roles: &[Role], hits: &[Vec<Vec<bool>>], ends: &[usize]) -> SweepState {
    let info = |(index, (set, &role)): (usize, (&Vec<Vec<bool>>, &Role))| {
        let images = set[0].len();
        let mut rounds: Vec<usize> = ends.iter().copied().filter(|&end| end < images).collect();
        rounds.push(images);
        DatasetInfo {
            name: format!("set{index}"),
            role,
            images,
            classes: 10,
            rounds,
            benchmark: None,
        }
    };
    let header = Header {
        schema: SCHEMA,
        spec_hash: "test".into(),
        zeroshot: "zs".into(),
        finetuned: "ft".into(),
        label: None,
        architecture: "none".into(),
        alphas: alphas.iter().map(|&a| Alpha::new(a).unwrap()).collect(),
        datasets: hits.iter().zip(roles).enumerate().map(info).collect(),
        variants: vec![Variant::dense()],
        layers: vec![],
        seed: 7,
        batch: 8,
        stragglers: Default::default(),
    };
    let mut state = SweepState::default();
    state.apply(&Event::Header(header.clone()));
    for (dataset, set) in hits.iter().enumerate() {
        for (alpha, hits) in set.iter().enumerate() {
            let mut start = 0;
            for (round, &end) in header.datasets[dataset].rounds.iter().enumerate() {
                let cell = cell(dataset, alpha);
                state.apply(&one(cell, round, start, &hits[start..end]));
                start = end;
            }
        }
    }
    assert_eq!(state.ignored, 0);
    state
}

fn cell(dataset: usize, alpha: usize) -> CellId {
    CellId { variant: VariantId::DENSE, dataset: DatasetId(dataset), alpha: AlphaId(alpha) }
}

fn one(cell: CellId, round: usize, start: usize, hits: &[bool]) -> Event {
    Event::Measured(Measured {
        cell,
        round: RoundId(round),
        worker: WorkerId(0),
        start,
        images: hits.len(),
        correct: hits.iter().filter(|&&hit| hit).count(),
        correct5: None,
        loss_sum: 1.0,
        near_ties: 0,
        hits: hits.iter().copied().collect::<Bits>(),
        seconds: 0.0,
    })
}

fn ood(alphas: &[f64], hits: &[Vec<Vec<bool>>]) -> SweepState {
    measured(alphas, &vec![Role::Ood; hits.len()], hits, &[3, 40])
}

#[derive(Deserialize)]
struct Fixture {
    wilson: Vec<Wilson>,
    paired: Vec<PairedCase>,
    sweeps: Vec<Sweep>,
}

#[derive(Deserialize)]
struct Wilson {
    correct: usize,
    total: usize,
    lo: f64,
    hi: f64,
}

#[derive(Deserialize)]
struct PairedCase {
    gained: usize,
    lost: usize,
    images: usize,
    p: f64,
    lo: f64,
    hi: f64,
}

#[derive(Deserialize)]
struct Expected {
    value: f64,
    lo: f64,
    hi: f64,
}

#[derive(Deserialize)]
struct Sweep {
    name: String,
    alphas: Vec<f64>,
    hits: Vec<Vec<String>>,
    gain: Expected,
    barriers: Vec<Expected>,
    ood_barrier: Expected,
}

fn fixture() -> Fixture {
    serde_json::from_str(include_str!("../../../tests/fixtures/stats.json")).unwrap()
}

fn near(value: f64, expected: f64, tolerance: f64) -> bool {
    (value - expected).abs() <= tolerance
}

#[test]
fn closed_forms_as_scipy_and_statsmodels_have_them() {
    let fixture = fixture();
    for it in fixture.wilson {
        let (lo, hi) = wilson(it.correct, it.total).unwrap();
        assert!(near(lo, it.lo, 1e-12) && near(hi, it.hi, 1e-12), "{}/{}", it.correct, it.total);
    }
    for it in fixture.paired {
        let p = mcnemar(it.gained, it.lost);
        assert!(near(p, it.p, 1e-10 * it.p.max(1e-3)), "{} {}: {p}", it.gained, it.lost);
        let interval = paired_interval(it.gained, it.lost, it.images).unwrap();
        // Ours is widened where it does not hold the estimate.
        assert!(near(interval.lo, it.lo.min(interval.value), 1e-12), "{interval:?}");
        assert!(near(interval.hi, it.hi.max(interval.value), 1e-12), "{interval:?}");
    }
    assert_eq!(wilson(0, 0), None);
    assert_eq!(wilson(2, 1), None);
    assert_eq!(paired_interval(1, 1, 1), None);
    assert!(near(mcnemar(5000, 5000), 1.0, 1e-12));
    assert!(mcnemar(0, 5000) >= 0.0);
}

/// Against a bootstrap of 200 000 draws in numpy that draws differently.
#[test]
fn gain_and_barriers_as_numpy_bootstraps_them() {
    for sweep in fixture().sweeps {
        let bits = |text: &String| text.bytes().map(|byte| byte == b'1').collect::<Vec<_>>();
        let hits: Vec<Vec<Vec<bool>>> =
            sweep.hits.iter().map(|set| set.iter().map(bits).collect()).collect();
        let state = ood(&sweep.alphas, &hits);
        let judged = judge(&state, VariantId::DENSE);
        let check = |what: &str, it: &Interval, expected: &Expected| {
            let name = &sweep.name;
            assert!(near(it.value, expected.value, 1e-9), "{name} {what}: {it:?}");
            let tolerance = 0.1 * (expected.hi - expected.lo);
            let lo = if what == "gain" { expected.lo } else { expected.lo.max(0.0) };
            assert!(near(it.lo, lo.min(it.value), tolerance), "{name} {what}: {it:?}, lo {lo}");
            let hi = expected.hi.max(it.value);
            assert!(near(it.hi, hi, tolerance), "{name} {what}: {it:?}, hi {hi}");
        };
        let gain = judged.gain.as_ref().unwrap();
        check("gain", &gain.points, &sweep.gain);
        check("mean", &judged.ood_barrier.as_ref().unwrap().points, &sweep.ood_barrier);
        for ((dataset, it), expected) in judged.barriers.iter().zip(&sweep.barriers) {
            check("barrier", &it.points, expected);
            assert_eq!(barrier(&state, VariantId::DENSE, *dataset).as_ref(), Some(it));
        }
        let verdict = match sweep.name.as_str() {
            "gain" => Verdict::Success,
            "failure" => Verdict::Failure,
            _ => Verdict::Undecided,
        };
        assert_eq!(judged.verdict, verdict, "{}: {}", sweep.name, judged.reason);
    }
}

/// Hits at every point for images that are easy or hard everywhere, with noise.
fn drawn(rng: &mut ChaCha8Rng, images: usize, accuracies: &[f64]) -> Vec<Vec<bool>> {
    let mut uniform = || (rng.next_u64() >> 11) as f64 / (1_u64 << 53) as f64;
    let mut all = vec![Vec::with_capacity(images); accuracies.len()];
    for _ in 0..images {
        let hard = uniform();
        for (hits, accuracy) in all.iter_mut().zip(accuracies) {
            // Half of the draws follow the image, half are the point's own.
            let draw = if uniform() < 0.5 { hard } else { uniform() };
            hits.push(draw < *accuracy);
        }
    }
    all
}

#[test]
fn intervals_hold_the_truth_as_often_as_they_say() {
    let mut rng = ChaCha8Rng::seed_from_u64(11);
    let alphas = [0.0, 0.2, 0.4, 0.6, 0.8, 1.0];
    let cases = [
        ("peak", [0.5, 0.56, 0.6, 0.57, 0.53, 0.48], 10.0, 0.0),
        ("plateau", [0.5, 0.6, 0.6, 0.6, 0.6, 0.5], 10.0, 0.0),
        ("line", [0.4, 0.44, 0.48, 0.52, 0.56, 0.6], -4.0, 0.0),
        ("valley", [0.6, 0.5, 0.45, 0.45, 0.5, 0.6], -10.0, 15.0),
    ];
    let runs = 40;
    for (name, accuracies, gain_truth, barrier_truth) in cases {
        let (mut held, mut barrier_held) = (0, 0);
        for _ in 0..runs {
            let state = ood(&alphas, &[drawn(&mut rng, 120, &accuracies)]);
            let judged = judge(&state, VariantId::DENSE);
            let it = judged.gain.unwrap().points;
            held += usize::from(it.lo <= gain_truth && gain_truth <= it.hi);
            let it = judged.ood_barrier.unwrap().points;
            barrier_held += usize::from(it.lo <= barrier_truth && barrier_truth <= it.hi);
        }
        println!("{name}: gain {held}/{runs}, barrier {barrier_held}/{runs}");
        // 95 % of 40 is 38; under 33 has a chance below one in 100.
        assert!(held >= 33, "{name}: gain {held}/{runs}");
        assert!(barrier_held >= 33, "{name}: barrier {barrier_held}/{runs}");
    }
}

/// A barrier is looked for on every dataset: one in many looks bad by luck.
#[test]
fn straight_paths_on_many_datasets_are_seldom_called_barriers() {
    let mut rng = ChaCha8Rng::seed_from_u64(12);
    let alphas: Vec<f64> = (0..11).map(|i| f64::from(i) / 10.0).collect();
    let line: Vec<f64> = alphas.iter().map(|alpha| 0.4 + 0.2 * alpha).collect();
    let runs = 40;
    let (mut alone, mut shared) = (0, 0);
    for _ in 0..runs {
        let sets: Vec<_> = (0..6).map(|_| drawn(&mut rng, 100, &line)).collect();
        let judged = judge(&ood(&alphas, &sets), VariantId::DENSE);
        let all = || judged.barriers.iter().map(|(_, it)| it).chain(&judged.ood_barrier);
        alone += usize::from(all().any(|it| it.points.lo > 0.0));
        shared += usize::from(all().any(Barrier::is_certain));
    }
    println!("each at 95 %: {alone}/{runs}, together: {shared}/{runs}");
    // 5 % of 40 is 2; over 6 has a chance below one in 100.
    assert!(shared <= 6 && shared <= alone, "{shared} of {runs}, {alone} each at its own level");
}

#[test]
fn only_images_measured_at_every_point_are_compared() {
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    let alphas = [0.0, 0.5, 1.0];
    let hits = [drawn(&mut rng, 100, &[0.5, 0.6, 0.5])];
    let whole = ood(&alphas, &hits);
    let header = Event::Header(whole.header().unwrap().clone());
    let mut state = SweepState::replay([&header]);
    assert_eq!(gain(&state, VariantId::DENSE), None);
    assert_eq!(judge(&state, VariantId::DENSE).verdict, Verdict::TooEarly);
    // First round everywhere, second at the ends only.
    for (alpha, hits) in hits[0].iter().enumerate() {
        assert_eq!(gain(&state, VariantId::DENSE), None);
        state.apply(&one(cell(0, alpha), 0, 0, &hits[..3]));
    }
    for alpha in [0, 2] {
        state.apply(&one(cell(0, alpha), 1, 3, &hits[0][alpha][3..40]));
    }
    let partial = gain(&state, VariantId::DENSE).unwrap();
    assert_eq!((partial.images, partial.complete), ((3, 3), false));
    assert_eq!(judge(&state, VariantId::DENSE).verdict, Verdict::TooEarly);
    let ends =
        paired_difference(&state, VariantId::DENSE, DatasetId(0), AlphaId(0), AlphaId(2)).unwrap();
    assert_eq!(ends.images, 40);
    let complete = gain(&whole, VariantId::DENSE).unwrap();
    assert_eq!((complete.images, complete.complete), ((100, 100), true));
}

#[test]
fn a_failed_point_leaves_the_comparison_and_skipped_datasets_the_mean() {
    let mut rng = ChaCha8Rng::seed_from_u64(6);
    let alphas = [0.0, 0.3, 0.7, 1.0, 1.5];
    let sets: Vec<_> = (0..2).map(|_| drawn(&mut rng, 50, &[0.5, 0.7, 0.6, 0.5, 0.9])).collect();
    let whole = ood(&alphas, &sets);
    let all = gain(&whole, VariantId::DENSE).unwrap();
    assert_eq!(all.left_out, []);
    assert_eq!(best_alpha(&whole, VariantId::DENSE), Some(AlphaId(4)), "extrapolation counts");
    assert_ne!(all.best_interior, AlphaId(4), "but is no interpolation");

    let header = Event::Header(whole.header().unwrap().clone());
    let mut state = SweepState::replay([&header]);
    for (dataset, set) in sets.iter().enumerate() {
        for (alpha, hits) in set.iter().enumerate() {
            if (dataset, alpha) == (1, 1) {
                let message = "no".to_string();
                let round = RoundId(0);
                state.apply(&Event::CellFailed { cell: cell(1, 1), round, message });
                continue;
            }
            for (round, range) in [0..3, 3..40, 40..50].into_iter().enumerate() {
                state.apply(&one(cell(dataset, alpha), round, range.start, &hits[range]));
            }
        }
    }
    let without = gain(&state, VariantId::DENSE).unwrap();
    assert_eq!(without.left_out, [AlphaId(1)]);
    assert_eq!(without.best_interior, AlphaId(2));
    assert_eq!(ood_mean(&state, VariantId::DENSE, AlphaId(1)), None);
    state.apply(&Event::Skipped { dataset: DatasetId(1) });
    assert_eq!(gain(&state, VariantId::DENSE).unwrap().left_out, []);
    assert!(ood_mean(&state, VariantId::DENSE, AlphaId(1)).is_some());
    state.apply(&Event::Skipped { dataset: DatasetId(0) });
    assert_eq!(gain(&state, VariantId::DENSE), None);
    assert_eq!(ood_mean(&state, VariantId::DENSE, AlphaId(1)), None);
    assert_eq!(judge(&state, VariantId::DENSE).verdict, Verdict::Undecided);
}

#[test]
fn a_barrier_in_distribution_is_a_failure_unless_the_gain_is_a_success() {
    let flat = |images: usize, right: [usize; 3]| -> Vec<Vec<bool>> {
        right.iter().map(|&n| (0..images).map(|i| i < n).collect()).collect()
    };
    let alphas = [0.0, 0.5, 1.0];
    let roles = [Role::Id, Role::Ood];
    let valley = flat(200, [160, 60, 160]);
    let flat_ood = measured(&alphas, &roles, &[valley.clone(), flat(200, [100; 3])], &[]);
    let judged = judge(&flat_ood, VariantId::DENSE);
    assert_eq!(judged.verdict, Verdict::Failure);
    assert!(judged.reason.contains("barrier of 50.0 points"), "{}", judged.reason);
    assert!(judged.reason.contains("on set0 at α = 0.5"), "{}", judged.reason);
    let peak_ood = measured(&alphas, &roles, &[valley, flat(200, [100, 140, 100])], &[]);
    let judged = judge(&peak_ood, VariantId::DENSE);
    assert_eq!(judged.verdict, Verdict::Success);
    assert!(judged.reason.contains("+20.0 points"), "{}", judged.reason);
    assert!(judged.reason.contains("; yet a barrier"), "{}", judged.reason);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn wilson_holds_the_estimate_within_bounds(total in 1_usize..100_000, part in 0.0_f64..=1.0) {
        let correct = (part * total as f64) as usize;
        let (lo, hi) = wilson(correct, total).unwrap();
        let p = correct as f64 / total as f64;
        prop_assert!(0.0 <= lo && lo <= p && p <= hi && hi <= 1.0 && lo < hi);
    }

    #[test]
    fn everything_is_finite_ordered_and_repeatable(
        seed in any::<u64>(),
        images in 1_usize..60,
        points in 3_usize..80,
        flat in any::<bool>(),
    ) {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let alphas: Vec<f64> = (0..points).map(|i| i as f64 / (points - 1) as f64).collect();
        let accuracies: Vec<f64> =
            alphas.iter().map(|a| if flat { 1.0 } else { 0.3 + 0.4 * a * (1.0 - a) }).collect();
        let state = ood(&alphas, &[drawn(&mut rng, images, &accuracies)]);
        let judged = judge(&state, VariantId::DENSE);
        prop_assert_eq!(&judged, &judge(&state, VariantId::DENSE));
        let gain = judged.gain.unwrap();
        let barrier = judged.ood_barrier.unwrap();
        for it in [gain.points, barrier.points] {
            prop_assert!(it.lo.is_finite() && it.hi.is_finite());
            prop_assert!(it.lo <= it.value && it.value <= it.hi);
        }
        prop_assert!(barrier.points.lo >= 0.0);
        let best = 100.0 * (gain.best - gain.zeroshot.max(gain.finetuned));
        prop_assert!((gain.points.value - best).abs() < 1e-9);
        let accuracy = state.dense(DatasetId(0), gain.best_interior).unwrap().top1().unwrap();
        prop_assert!((accuracy - gain.best).abs() < 1e-12);
    }
}

mod bootstrap;

mod two_runs {
    use super::*;

    fn place(run: &SweepState, alpha: usize) -> Place<'_> {
        Place { run, variant: VariantId::DENSE, alpha: AlphaId(alpha) }
    }

    fn random(seed: u64, sets: usize) -> Vec<Vec<Vec<bool>>> {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut bits = || (0..50).map(|_| random.next_u32() % 3 > 0).collect::<Vec<bool>>();
        (0..sets).map(|_| (0..2).map(|_| bits()).collect()).collect()
    }

    #[test]
    fn the_same_images_are_paired_and_others_are_not() {
        let (one, other) = (random(1, 2), random(2, 2));
        let (a, b) = (ood(&[0.0, 1.0], &one), ood(&[0.0, 1.0], &other));
        let mean = |hits: &[Vec<Vec<bool>>]| {
            let of = |set: &Vec<Vec<bool>>| set[1].iter().filter(|&&hit| hit).count() as f64 / 0.5;
            hits.iter().map(of).sum::<f64>() / hits.len() as f64
        };
        let expected = mean(&other) - mean(&one);
        let all = versus(Role::Ood, place(&a, 1), place(&b, 1), &|_| true).unwrap();
        let none = versus(Role::Ood, place(&a, 1), place(&b, 1), &|_| false).unwrap();
        // One dataset of other images makes the whole difference unpaired.
        let some = versus(Role::Ood, place(&a, 1), place(&b, 1), &|name| name == "set0").unwrap();
        assert!(all.paired && !none.paired && some == none);
        for it in [all, none] {
            assert!((it.points.value - expected).abs() < 1e-9);
            assert!(it.points.lo < it.points.value && it.points.value < it.points.hi);
        }
        // A run against itself: nothing differs, and only pairing knows it.
        let same = versus(Role::Ood, place(&a, 1), place(&a, 1), &|_| true).unwrap();
        let apart = versus(Role::Ood, place(&a, 1), place(&a, 1), &|_| false).unwrap();
        assert_eq!((same.points.value, apart.points.value), (0.0, 0.0));
        assert!(same.points.half() < apart.points.half() / 3.0);
        assert_eq!(Some(all.points.scaled(-1.0).value), {
            versus(Role::Ood, place(&b, 1), place(&a, 1), &|_| true).map(|it| it.points.value)
        });
    }

    #[test]
    fn another_order_is_unpaired_and_other_datasets_are_not_compared() {
        let a = ood(&[0.0, 1.0], &random(1, 2));
        let mut reader = a.header().unwrap().clone();
        reader.seed += 1;
        let mut b = SweepState::default();
        b.apply(&Event::Header(reader));
        let mut start = 0;
        for (round, &end) in a.datasets()[0].rounds.iter().enumerate() {
            for dataset in 0..2 {
                let bits: Vec<bool> = a
                    .cell(cell(dataset, 0))
                    .unwrap()
                    .hits(RoundId(round))
                    .unwrap()
                    .iter()
                    .collect();
                b.apply(&one(cell(dataset, 0), round, start, &bits));
            }
            start = end;
        }
        let it = versus(Role::Ood, place(&a, 0), place(&b, 0), &|_| true).unwrap();
        assert!(!it.paired);
        let fewer = ood(&[0.0, 1.0], &random(1, 1));
        assert_eq!(versus(Role::Ood, place(&a, 0), place(&fewer, 0), &|_| true), None);
        assert_eq!(versus(Role::Ood, place(&fewer, 0), place(&a, 0), &|_| true), None);
        assert_eq!(versus(Role::Id, place(&a, 0), place(&b, 0), &|_| true), None, "there is none");
    }

    #[test]
    fn within_a_run_it_is_the_paired_difference() {
        let run = ood(&[0.0, 1.0], &random(3, 1));
        let (from, to) = ((VariantId::DENSE, AlphaId(0)), (VariantId::DENSE, AlphaId(1)));
        let it = mean_difference(&run, Role::Ood, from, to).unwrap();
        let plain = paired_difference(&run, VariantId::DENSE, DatasetId(0), from.1, to.1).unwrap();
        assert!((it.value - 100.0 * plain.difference.value).abs() < 1e-9);
        assert!((it.lo - 100.0 * plain.difference.lo).abs() < 1e-9);
    }
}
