//! Who is called a straggler, and by what.

use super::*;

#[test]
fn each_criterion_fires_on_its_own_layer() {
    let alphas = [0.0, 0.25, 0.5, 0.75, 1.0];
    let moved = [0.1, 0.12, 0.09, 3.0, 0.11, 9.0];
    let state = sharp(
        &alphas,
        [0.01, 0.012, 5.0, 0.011, 0.009, 100.0],
        [1.0, 50.0, 1.1, 0.9, 1.05, 1.0],
        moved,
    );
    let all = stragglers(&state, VariantId::DENSE, Layers::Block);
    let by: Vec<_> = all.iter().map(|it| it.by.clone()).collect();
    assert_eq!(by[2], [Criterion::Sharpness], "{:?}", all[2]);
    assert_eq!(by[3], [Criterion::Distance], "{:?}", all[3]);
    assert!(by[1].contains(&Criterion::Rise), "{:?}", all[1]);
    assert_eq!(by[5], [], "alone in its tower, nothing to compare with");
    assert!(!all[0].is_straggler() && !all[4].is_straggler());
    assert_eq!(all[2].sharp_at, (3, 3));
}

#[test]
fn a_minority_of_points_makes_no_straggler() {
    let alphas = [0.0, 0.25, 0.5, 0.75, 1.0];
    let mut state = state(header(&alphas, [0.1; 6]), sharpness_probe());
    for (i, _) in alphas.iter().enumerate() {
        for layer in 0..5 {
            let spread = 1.0 + 0.1 * layer as f64;
            // Layer 4 stands out at one interior point, and at both ends.
            let value = if layer == 4 && i != 2 && i != 3 { 9.0 } else { spread };
            state.apply(&answer(cell(i, Some(layer)), rise(0.01 * value)));
        }
    }
    let all = stragglers(&state, VariantId::DENSE, Layers::Block);
    assert_eq!((all[4].sharp_at, all[4].by.clone()), ((1, 3), vec![]));
    // No spread in the distances: no score, rather than an infinite one.
    assert!(all.iter().all(|it| it.distance.is_none()));
}

/// A sharpness that grows with the layer, and layer 4's: far above (true), or
/// without a logarithm.
fn ladder(layer: usize, stands_out: bool) -> ProbeResult {
    match (layer, stands_out) {
        (4, true) => rise(0.09),
        (4, false) => rise(-0.01),
        _ => rise(0.01 + 0.001 * layer as f64),
    }
}

#[test]
fn the_majority_is_of_all_interior_points_measured_or_not() {
    let alphas = [0.0, 0.25, 0.5, 0.75, 1.0];
    let mut state = state(header(&alphas, [0.1; 6]), sharpness_probe());
    let seen = |state: &SweepState| {
        let all = stragglers(state, VariantId::DENSE, Layers::Block);
        (all[4].sharp_at, all[4].is_straggler())
    };
    let mut measure = |alpha: usize, stands_out: bool| {
        for layer in 0..5 {
            state.apply(&answer(cell(alpha, Some(layer)), ladder(layer, stands_out)));
        }
        seen(&state)
    };
    assert_eq!(measure(2, true), ((1, 3), false), "the rest is not measured");
    assert_eq!(measure(1, false), ((1, 3), false), "a point without a logarithm is not over it");
    assert_eq!(measure(3, true), ((2, 3), true));
}

#[test]
fn a_failed_point_is_not_over_the_threshold() {
    let mut state = state(header(&[0.0, 0.25, 0.75, 1.0], [0.1; 6]), sharpness_probe());
    for layer in 0..5 {
        state.apply(&answer(cell(1, Some(layer)), ladder(layer, true)));
        let message = "not finite".to_string();
        state.apply(&Event::ProbeFailed { cell: cell(2, Some(layer)), message });
    }
    let all = stragglers(&state, VariantId::DENSE, Layers::Block);
    assert_eq!((all[4].sharp_at, all[4].is_straggler()), ((1, 2), false));
}

#[test]
fn what_is_not_measured_does_not_hide_what_is() {
    let alphas = [0.0, 0.5, 1.0];
    let mut state = sharp(&alphas, [0.01, 0.012, 5.0, 0.011, 0.009, 1.0], [1.0; 6], [0.1; 6]);
    let on = vec![DatasetId(0)];
    let path = |images| {
        let spec = BarrierSpec { images, ..BarrierSpec::default() };
        Probe::Path { spec, on: on.clone(), direction: Direction::Path }
    };
    state.apply(&Event::Probing { probe: path(100) });
    for (alpha, correct) in [80, 20, 80].into_iter().enumerate() {
        let hits = (0..100).map(|i| i < correct).collect();
        let (dataset, images) = (DatasetId(0), 100);
        let on = vec![PathResult { dataset, images, correct, loss_sum: 1.0, hits }];
        let at = ProbeCell { probe: ProbeId(1), ..cell(alpha, Some(1)) };
        state.apply(&answer(at, ProbeResult::Path { on }));
    }
    let by = |state: &SweepState| -> Vec<Vec<Criterion>> {
        stragglers(state, VariantId::DENSE, Layers::Block).into_iter().map(|it| it.by).collect()
    };
    let before = by(&state);
    assert_eq!((&before[1], &before[2]), (&vec![Criterion::Barrier], &vec![Criterion::Sharpness]));
    let again = SharpnessSpec { rho: 0.5, ..SharpnessSpec::default() };
    state.apply(&Event::Probing { probe: Probe::Sharpness { spec: again, on: DatasetId(0) } });
    state.apply(&Event::Probing { probe: path(50) });
    assert_eq!(by(&state), before, "asked for, nothing measured yet");
    state.apply(&Event::ProbeCancelled { probe: ProbeId(2) });
    state.apply(&Event::ProbeCancelled { probe: ProbeId(3) });
    assert_eq!(by(&state), before, "cancelled without a result");
    // A cancelled one that was measured gives way to one that was not cancelled.
    let at = ProbeCell { probe: ProbeId(2), ..cell(1, Some(0)) };
    state.apply(&answer(at, rise(0.01)));
    assert_eq!(by(&state), before);
    let sharpness = |probe: &Probe| matches!(probe, Probe::Sharpness { .. });
    assert_eq!(latest(&state, VariantId::DENSE, sharpness), Some(ProbeId(0)));
    state.apply(&Event::ProbeCancelled { probe: ProbeId(0) });
    assert_eq!(latest(&state, VariantId::DENSE, sharpness), Some(ProbeId(2)), "both cancelled");
    assert_eq!(latest(&state, VariantId(1), sharpness), Some(ProbeId(2)), "none measured");
    assert_eq!(latest(&state, VariantId::DENSE, |_| false), None);
}

#[test]
fn a_barrier_that_every_image_agrees_on_counts() {
    for (images, counts) in [(40, true), (1, false)] {
        let probe = Probe::Path {
            spec: BarrierSpec::default(),
            on: vec![DatasetId(0)],
            direction: Direction::Path,
        };
        let mut state = state(header(&[0.0, 0.5, 1.0], [0.1; 6]), probe);
        for layer in [1, 2] {
            for (alpha, correct) in [images, 0, images].into_iter().enumerate() {
                // Layer 2 is right everywhere: no barrier, and no error either.
                let correct = if layer == 2 { images } else { correct };
                let hits = (0..images).map(|i| i < correct).collect();
                let dataset = DatasetId(0);
                let on = vec![PathResult { dataset, images, correct, loss_sum: 1.0, hits }];
                state.apply(&answer(cell(alpha, Some(layer)), ProbeResult::Path { on }));
            }
        }
        let all = stragglers(&state, VariantId::DENSE, Layers::Block);
        let barrier = all[1].barrier.as_ref().unwrap();
        assert_eq!((barrier.value, barrier.stderr), (100.0, 0.0));
        assert_eq!(all[1].by.contains(&Criterion::Barrier), counts, "{images} images");
        assert_eq!(all[2].by, []);
    }
}

#[test]
fn the_run_has_its_own_thresholds() {
    let alphas = [0.0, 0.5, 1.0];
    let of = |limits: Thresholds| {
        let mut header = header(&alphas, [0.1, 0.12, 0.09, 3.0, 0.11, 9.0]);
        header.stragglers = limits;
        let mut state = state(header, sharpness_probe());
        for (i, _) in alphas.iter().enumerate() {
            for (layer, value) in [0.01, 0.012, 5.0, 0.011, 0.009].into_iter().enumerate() {
                state.apply(&answer(cell(i, Some(layer)), rise(value)));
            }
        }
        let all = stragglers(&state, VariantId::DENSE, Layers::Block);
        all.iter().flat_map(|it| it.by.clone()).collect::<Vec<_>>()
    };
    use Criterion::{Distance, Sharpness};
    let plain = Thresholds::default();
    assert_eq!(of(plain), [Sharpness, Distance]);
    assert_eq!(of(Thresholds { sharpness: 1e6, ..plain }), [Distance]);
    assert_eq!(of(Thresholds { distance: 1e6, ..plain }), [Sharpness]);
}

#[test]
fn a_barrier_counts_from_two_standard_errors_on() {
    let alphas = [0.0, 0.5, 1.0];
    let spec = BarrierSpec::default();
    let probe = Probe::Path { spec, on: vec![DatasetId(0)], direction: Direction::Path };
    let mut state = state(header(&alphas, [0.1; 6]), probe);
    for layer in 0..3 {
        for (alpha, correct) in [80, [80, 20, 79][layer], 80].into_iter().enumerate() {
            let hits = (0..100).map(|i| i < correct).collect();
            let on = vec![PathResult {
                dataset: DatasetId(0),
                images: 100,
                correct,
                loss_sum: 1.0,
                hits,
            }];
            state.apply(&answer(cell(alpha, Some(layer)), ProbeResult::Path { on }));
        }
    }
    let all = stragglers(&state, VariantId::DENSE, Layers::Block);
    let fired: Vec<_> = all.iter().map(|it| it.by.contains(&Criterion::Barrier)).collect();
    assert_eq!(fired, [false, true, false, false, false, false]);
    assert!(all[2].barrier.as_ref().is_some_and(|it| near(it.value, 1.0, 1e-9)));
}
