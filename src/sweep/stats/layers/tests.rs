use proptest::prelude::*;
use serde::Deserialize;

use super::*;
use crate::sweep::event::{DatasetInfo, Event, Header, LayerInfo, Measured, SCHEMA};
use crate::sweep::ids::{
    Alpha, AlphaId, CellId, DatasetId, LayerId, ProbeCell, ProbeId, RoundId, VariantId, WorkerId,
};
use crate::sweep::probe::{
    CurvatureResult, Direction, PathResult, Probe, ProbeResult, Probed, SharpnessResult,
};
use crate::sweep::spec::{
    BarrierSpec, CurvatureSpec, Layers, Role, SharpnessSpec, Thresholds, Variant,
};
use crate::sweep::state::SweepState;

mod stragglers;
mod together;

#[derive(Deserialize)]
struct Fixture {
    correlations: Vec<Series>,
    crossed: Vec<Table>,
    nested: Vec<Nested>,
    scores: Vec<Scores>,
    barrier: Vec<Hits>,
}

#[derive(Deserialize)]
struct Series {
    xs: Vec<f64>,
    ys: Vec<f64>,
    kendall: Option<f64>,
    spearman: Option<f64>,
    pearson: Option<f64>,
    lo: Option<f64>,
    hi: Option<f64>,
}

#[derive(Deserialize)]
struct Table {
    table: Vec<Vec<f64>>,
    value: f64,
    stderr: f64,
}

#[derive(Deserialize)]
struct Scores {
    values: Vec<f64>,
    scores: Vec<f64>,
}

#[derive(Deserialize)]
struct Hits {
    alphas: Vec<f64>,
    hits: Vec<String>,
    value: f64,
    stderr: f64,
}

fn fixture() -> Fixture {
    serde_json::from_str(include_str!("../../../../tests/fixtures/layer_stats.json")).unwrap()
}

fn near(a: f64, b: f64, tolerance: f64) -> bool {
    (a - b).abs() <= tolerance
}

/// Two towers: stem, three blocks and head, and a text block.
fn header(alphas: &[f64], moved: [f64; 6]) -> Header {
    let names = ["stem", "block.0", "block.1", "block.2", "head", "text.block.0"];
    let layer = |(name, moved): (&str, f64)| LayerInfo {
        name: name.into(),
        units: Layers::Block,
        parameters: 10,
        moved: Some(moved),
        tensors: vec![match name.strip_prefix("text.") {
            Some(_) => "transformer.resblocks.0.ln_1.weight".into(),
            None => format!("visual.{name}"),
        }],
    };
    Header {
        schema: SCHEMA,
        spec_hash: String::new(),
        zeroshot: "a".into(),
        finetuned: "b".into(),
        label: None,
        architecture: "ViT".into(),
        alphas: alphas.iter().map(|&alpha| Alpha::new(alpha).unwrap()).collect(),
        datasets: vec![DatasetInfo {
            name: "set".into(),
            role: Role::Ood,
            images: 100,
            classes: 10,
            rounds: vec![100],
            benchmark: None,
        }],
        variants: vec![Variant::dense()],
        layers: std::iter::zip(names, moved).map(layer).collect(),
        seed: 1,
        batch: 8,
        stragglers: Default::default(),
    }
}

fn state(header: Header, probe: Probe) -> SweepState {
    SweepState::replay([&Event::Header(header), &Event::Probing { probe }])
}

fn cell(alpha: usize, layer: Option<usize>) -> ProbeCell {
    ProbeCell {
        probe: ProbeId(0),
        variant: VariantId::DENSE,
        alpha: AlphaId(alpha),
        layer: layer.map(LayerId),
    }
}

fn answer(cell: ProbeCell, result: ProbeResult) -> Event {
    Event::Probed(Box::new(Probed { cell, worker: WorkerId(0), seconds: 0.1, result }))
}

fn rise(value: f64) -> ProbeResult {
    ProbeResult::Sharpness(SharpnessResult {
        losses: vec![1.0, 3.0],
        rises: vec![vec![value, value * 1.1], vec![value * 0.9, value]],
        logit_scale: Some(100.0),
        parameters: 10,
        frozen: 2,
    })
}

fn sharpness_probe() -> Probe {
    Probe::Sharpness { spec: SharpnessSpec::default(), on: DatasetId(0) }
}

fn accuracy(alpha: usize, correct: usize) -> Event {
    Event::Measured(Measured {
        cell: CellId { variant: VariantId::DENSE, dataset: DatasetId(0), alpha: AlphaId(alpha) },
        round: RoundId(0),
        worker: WorkerId(0),
        start: 0,
        images: 100,
        correct,
        correct5: None,
        loss_sum: 1.0,
        near_ties: 0,
        hits: (0..100).map(|i| i < correct).collect(),
        seconds: 0.1,
    })
}

#[test]
fn coefficients_as_scipy_has_them() {
    for it in fixture().correlations {
        let ours = correlate(&it.xs, &it.ys, 3);
        let pairs =
            [(ours.kendall, it.kendall), (ours.spearman, it.spearman), (ours.pearson, it.pearson)];
        for (ours, theirs) in pairs {
            match (ours, theirs) {
                (Some(ours), Some(theirs)) => {
                    assert!(near(ours.value, theirs, 1e-12), "{ours:?} {theirs}");
                }
                (ours, theirs) => assert_eq!(ours.map(|it| it.value), theirs),
            }
        }
        if let (false, Some(tau), Some(lo), Some(hi)) = (ours.is_few(), ours.kendall, it.lo, it.hi)
        {
            assert!(near(tau.lo, lo.min(tau.value), 0.06), "{tau:?} {lo}");
            assert!(near(tau.hi, hi.max(tau.value), 0.06), "{tau:?} {hi}");
        }
    }
}

#[test]
fn crossed_errors_as_the_analysis_of_variance_has_them() {
    for it in fixture().crossed {
        let ours = Estimate::crossed(&it.table).unwrap();
        assert!(near(ours.value, it.value, 1e-12));
        assert!(near(ours.stderr.unwrap(), it.stderr, 1e-10), "{ours:?} {}", it.stderr);
    }
}

#[derive(Deserialize)]
struct Nested {
    unseen: f64,
    #[serde(flatten)]
    table: Table,
}

#[test]
fn nested_errors_as_the_analysis_of_variance_has_them() {
    for Nested { unseen, table: it } in fixture().nested {
        let ours = Estimate::nested(&it.table, unseen).unwrap();
        assert!(near(ours.value, it.value, 1e-12));
        assert!(near(ours.stderr.unwrap(), it.stderr, 1e-10), "{ours:?} {}", it.stderr);
    }
    let row = vec![1.0, 2.0, 4.0];
    let column: Vec<Vec<f64>> = row.iter().map(|&x| vec![x]).collect();
    // One batch has its pairs alone; of one pair a batch nothing may be left out.
    for table in [vec![row.clone()], column] {
        let stderr = Estimate::nested(&table, 0.0).unwrap().stderr.unwrap();
        assert!(near(stderr, (7.0_f64 / 9.0).sqrt(), 1e-12), "{table:?} {stderr}");
    }
    assert_eq!(Estimate::nested(&[vec![3.0]], 1.0).unwrap().stderr, None);
    assert_eq!(Estimate::nested(&[vec![1.0], vec![]], 1.0), None);
}

/// Images of a finite dataset, batches drawn without replacement, draws anew: the mean of the
/// estimated variances is the variance of the estimates, and that is much less than for a dataset
/// without end.
#[test]
fn nested_errors_are_those_of_estimates_of_one_dataset() {
    use rand::seq::SliceRandom;
    use rand::{Rng, SeedableRng};
    let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(4);
    let mut noise =
        || (0..12).map(|_| f64::from(random.next_u32()) / 2.0_f64.powi(32)).sum::<f64>() - 6.0;
    let mut images: Vec<f64> = (0..60).map(|_| 1.0 + noise()).collect();
    let truth = images.iter().sum::<f64>() / 60.0;
    let mut shuffle = rand_chacha::ChaCha8Rng::seed_from_u64(5);
    let (mut error, mut estimated, mut unlimited) = (0.0, 0.0, 0.0);
    for _ in 0..4000 {
        images.shuffle(&mut shuffle);
        let batch = |batch: &[f64]| -> Vec<f64> {
            let mean = batch.iter().sum::<f64>() / 10.0;
            (0..3).map(|_| mean + 0.2 * noise()).collect()
        };
        let table: Vec<Vec<f64>> = images[..50].chunks(10).map(batch).collect();
        let it = Estimate::nested(&table, 10.0 / 60.0).unwrap();
        error += (it.value - truth).powi(2);
        estimated += it.stderr.unwrap().powi(2);
        unlimited += Estimate::nested(&table, 1.0).unwrap().stderr.unwrap().powi(2);
    }
    assert!((estimated / error - 1.0).abs() < 0.15, "{}", estimated / error);
    assert!(unlimited > 2.0 * error, "{}", unlimited / error);
}

#[test]
fn one_row_or_column_has_the_error_of_the_mean() {
    let row = vec![1.0, 2.0, 4.0];
    let expected = Estimate { value: 7.0 / 3.0, stderr: Some((7.0_f64 / 3.0 / 3.0).sqrt()) };
    let column: Vec<Vec<f64>> = row.iter().map(|&x| vec![x]).collect();
    for table in [vec![row], column] {
        let ours = Estimate::crossed(&table).unwrap();
        assert!(near(ours.value, expected.value, 1e-12));
        assert!(near(ours.stderr.unwrap(), expected.stderr.unwrap(), 1e-12));
    }
    assert_eq!(Estimate::of(&[5.0]), Some(Estimate { value: 5.0, stderr: None }));
    assert_eq!(Estimate::of(&[]), None);
    assert_eq!(Estimate::crossed(&[vec![1.0], vec![]]), None);
}

#[test]
fn robust_scores_as_scipy_has_them() {
    for it in fixture().scores {
        let values: Vec<_> = it.values.iter().map(|&value| Some(value)).collect();
        for (ours, theirs) in std::iter::zip(robust_scores(&values), it.scores) {
            assert!(near(ours.unwrap(), theirs, 1e-9), "{ours:?} {theirs}");
        }
    }
    assert_eq!(robust_scores(&[Some(1.0), Some(1.0), Some(5.0)]), [None; 3], "no spread");
    assert_eq!(robust_scores(&[None, None]), [None; 2]);
    let with_gap = robust_scores(&[Some(1.0), None, Some(2.0), Some(3.0)]);
    assert_eq!((with_gap[1], with_gap[2]), (None, Some(0.0)));
}

#[test]
fn layer_barriers_as_numpy_bootstraps_them() {
    for it in fixture().barrier {
        let spec = BarrierSpec { images: 1000, ..BarrierSpec::default() };
        let on = vec![DatasetId(0)];
        let probe = Probe::Path { spec, on, direction: Direction::Path };
        let mut state = state(header(&it.alphas, [0.1; 6]), probe);
        for (alpha, text) in it.hits.iter().enumerate() {
            assert_eq!(layer_barriers(&state, ProbeId(0), VariantId::DENSE), []);
            let hits: crate::sweep::event::Bits = text.bytes().map(|byte| byte == b'1').collect();
            let correct = hits.iter().filter(|&hit| hit).count();
            let images = text.len();
            let on =
                vec![PathResult { dataset: DatasetId(0), images, correct, loss_sum: 1.0, hits }];
            state.apply(&answer(cell(alpha, Some(1)), ProbeResult::Path { on }));
        }
        let [ours] = &layer_barriers(&state, ProbeId(0), VariantId::DENSE)[..] else { panic!() };
        assert_eq!((ours.layer, ours.complete), (LayerId(1), true));
        assert!(near(ours.value, it.value, 1e-9), "{ours:?} {}", it.value);
        assert!(near(ours.stderr, it.stderr, 0.1 * it.stderr + 0.02), "{ours:?} {}", it.stderr);
    }
}

/// Sharpness `[layer]` at every α is `values[layer]`, times `growth[layer]^α`.
fn sharp(alphas: &[f64], values: [f64; 6], growth: [f64; 6], moved: [f64; 6]) -> SweepState {
    let mut state = state(header(alphas, moved), sharpness_probe());
    for (i, alpha) in alphas.iter().enumerate() {
        for layer in 0..6 {
            let value = values[layer] * growth[layer].powf(*alpha);
            state.apply(&answer(cell(i, Some(layer)), rise(value)));
        }
    }
    state
}

/// A batch's largest rise is no mean over images: that nearly all of them were
/// seen makes the worst case no surer. (The demo, 4 batches of 53 of 213
/// images: the deviation between 7 seeds is 0.0134; with a correction for the
/// finite dataset ± 0.0014 was said.)
#[test]
fn the_worst_case_has_the_error_over_batches() {
    let worst = |rises: &[f64]| SharpnessResult {
        losses: vec![1.0; rises.len()],
        rises: rises.iter().map(|&rise| vec![rise]).collect(),
        logit_scale: None,
        parameters: 10,
        frozen: 0,
    };
    let spec = SharpnessSpec {
        kind: crate::sweep::spec::SharpnessKind::Worst,
        batch: 53,
        restarts: 3,
        ..SharpnessSpec::default()
    };
    let of = |rises: &[f64], images| Sharpness::of(&worst(rises), &spec, images).unwrap().rise;
    let rises = [0.5, 0.55, 0.6, 0.75];
    let deviation = (rises.map(|it| (it - 0.6_f64).powi(2)).iter().sum::<f64>() / 3.0).sqrt();
    for images in [212, 213, 100_000] {
        let it = of(&rises, images);
        assert!(near(it.value, 0.6, 1e-12) && near(it.stderr.unwrap(), deviation / 2.0, 1e-12));
    }
    assert_eq!(of(&[0.5], 213).stderr, None, "one batch tells no spread");
}

#[test]
fn estimates_read_the_cells() {
    let mut state = state(header(&[0.0, 1.0], [0.1; 6]), sharpness_probe());
    state.apply(&answer(cell(0, None), rise(0.2)));
    let it = sharpness(&state, cell(0, None)).unwrap();
    assert!(near(it.rise.value, 0.2, 1e-12) && it.rise.stderr.unwrap() > 0.0);
    assert!(near(it.relative().unwrap(), 0.1, 1e-12));
    assert_eq!((it.parameters, it.frozen), (10, 2));
    assert_eq!(sharpness(&state, cell(1, None)), None);
    assert_eq!(curvature(&state, cell(0, None)), None);

    let probe = Probe::Curvature { spec: CurvatureSpec::default(), on: DatasetId(0) };
    state.apply(&Event::Probing { probe });
    let at = ProbeCell { probe: ProbeId(1), ..cell(0, Some(2)) };
    let result = CurvatureResult {
        quadratic: vec![vec![1.0, 3.0]],
        eigenvalues: vec![0.5],
        residuals: vec![0.01],
        parameters: 10,
    };
    state.apply(&answer(at, ProbeResult::Curvature(result)));
    let it = curvature(&state, at).unwrap();
    assert_eq!((it.trace.value, it.trace.stderr), (2.0, Some(1.0)));
    assert_eq!((it.eigenvalue.value, it.residual), (0.5, 0.01));
}

#[test]
fn sharpness_goes_with_accuracy_where_it_does() {
    let alphas = [0.0, 0.25, 0.5, 0.75, 1.0];
    let mut state = sharp(&alphas, [0.01; 6], [1.0, 9.0, 0.2, 1.0, 1.0, 1.0], [0.1; 6]);
    let early = correlations(&state, ProbeId(0), VariantId::DENSE);
    assert_eq!(claim(&state, &early), None, "no accuracy yet");
    for (alpha, correct) in [40, 45, 50, 60, 70].into_iter().enumerate() {
        state.apply(&accuracy(alpha, correct));
        state.apply(&answer(cell(alpha, None), rise(0.1)));
    }
    let all = correlations(&state, ProbeId(0), VariantId::DENSE);
    let of = |layer: Option<usize>| {
        let it = all.iter().find(|it| it.layer == layer.map(LayerId)).unwrap();
        (it.coefficients.kendall.map(|it| it.value), it.coefficients.points)
    };
    assert_eq!(of(None), (None, 5), "a constant series has no coefficient");
    assert_eq!((of(Some(1)), of(Some(2))), ((Some(1.0), 5), (Some(-1.0), 5)));
    assert_eq!(all[0].layer, Some(LayerId(1)), "the largest |τ| first");
    assert_eq!(all[1].layer, Some(LayerId(2)), "whatever its sign");
    assert_eq!(all.last().unwrap().coefficients.kendall, None, "those without τ last");
    let said = claim(&state, &all).unwrap();
    assert!(said.contains("5 points") && said.contains("not independent"), "{said}");
    assert!(said.contains("block.0") && said.contains("goes with"), "{said}");
}

/// Three points in a row are no certainty.
#[test]
fn few_points_have_no_interval_and_claim_nothing() {
    let few = correlate(&[1.0, 2.0, 3.0], &[1.0, 4.0, 9.0], 0);
    let tau = few.kendall.unwrap();
    assert_eq!((few.points, tau.value, tau.lo, tau.hi), (3, 1.0, -1.0, 1.0));
    assert!(few.is_few() && few.pearson.unwrap().lo == -1.0);
    let five = correlate(&[1.0, 2.0, 3.0, 4.0, 5.0], &[1.0, 4.0, 9.0, 16.0, 25.0], 0);
    assert!(!five.is_few() && five.kendall.unwrap().lo > 0.0);

    let mut state = sharp(&[0.0, 0.5, 1.0], [0.01; 6], [1.0, 9.0, 0.2, 1.0, 1.0, 1.0], [0.1; 6]);
    for (alpha, correct) in [40, 50, 70].into_iter().enumerate() {
        state.apply(&accuracy(alpha, correct));
    }
    let all = correlations(&state, ProbeId(0), VariantId::DENSE);
    let said = claim(&state, &all).unwrap();
    assert!(said.contains("too few points") && said.contains("no clear relation"), "{said}");
    assert!(!said.contains("goes with it") && !said.contains("interval +1.00"), "{said}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn coefficients_stay_within_bounds_and_turn_with_the_sign(
        points in prop::collection::vec((-5_i32..5, -5_i32..5), 0..20),
        seed in any::<u64>(),
    ) {
        let (xs, ys): (Vec<f64>, Vec<f64>) =
            points.iter().map(|&(x, y)| (f64::from(x), f64::from(y))).unzip();
        let ours = correlate(&xs, &ys, seed);
        let turned = correlate(&xs.iter().map(|x| -x).collect::<Vec<_>>(), &ys, seed);
        let pairs = [
            (ours.kendall, turned.kendall),
            (ours.spearman, turned.spearman),
            (ours.pearson, turned.pearson),
        ];
        for (it, turned) in pairs {
            prop_assert_eq!(it.is_some(), turned.is_some());
            if let (Some(it), Some(turned)) = (it, turned) {
                prop_assert!(-1.0 <= it.lo && it.lo <= it.value);
                prop_assert!(it.value <= it.hi && it.hi <= 1.0);
                prop_assert!((it.value + turned.value).abs() < 1e-12);
            }
        }
    }

    #[test]
    fn crossed_errors_are_finite_and_scale(
        table in (1_usize..6, 1_usize..6).prop_flat_map(|(b, k)| {
            prop::collection::vec(prop::collection::vec(-1e3_f64..1e3, k), b)
        }),
        scale in 0.1_f64..10.0,
    ) {
        let it = Estimate::crossed(&table).unwrap();
        let scaled: Vec<Vec<f64>> =
            table.iter().map(|row| row.iter().map(|x| x * scale).collect()).collect();
        let larger = Estimate::crossed(&scaled).unwrap();
        prop_assert!((larger.value - scale * it.value).abs() < 1e-8);
        if let (Some(a), Some(b)) = (it.stderr, larger.stderr) {
            prop_assert!(a.is_finite() && a >= 0.0);
            prop_assert!((b - scale * a).abs() < 1e-6);
        }
    }
}

#[test]
fn a_number_under_two_errors_is_not_resolved() {
    let of = |value, stderr| Estimate { value, stderr };
    assert_eq!(of(0.4, Some(0.1)).resolved(), Some(true));
    assert_eq!(of(0.2, Some(0.1)).resolved(), Some(true));
    assert_eq!(of(0.19, Some(0.1)).resolved(), Some(false));
    assert_eq!(of(-0.4, Some(0.1)).resolved(), Some(false), "S is a rise");
    assert_eq!(of(0.4, None).resolved(), None);
    assert_eq!(of(-0.4, Some(0.1)).relative_error(), Some(0.25));
    assert_eq!(of(0.0, Some(0.1)).relative_error(), None);
}
