//! Points of several runs.

use super::*;

/// A run whose overall sharpness falls with α as `from − α`, and whose accuracy
/// rises by 10 points from `correct`.
fn falling(from: f64, correct: usize, probe: Probe) -> SweepState {
    let alphas = [0.0, 0.25, 0.5, 0.75, 1.0];
    let mut state = state(header(&alphas, [0.1; 6]), probe);
    for (i, alpha) in alphas.into_iter().enumerate() {
        state.apply(&accuracy(i, correct + i));
        for layer in [None, Some(0), Some(3)] {
            state.apply(&answer(cell(i, layer), rise(0.1 * (from - alpha))));
        }
    }
    state
}

#[test]
fn differences_between_runs_are_told_from_those_along_a_path() {
    // Within each run sharpness goes against accuracy; the sharper run is better.
    let (a, b) = (falling(2.0, 40, sharpness_probe()), falling(9.0, 80, sharpness_probe()));
    let members = [Member { name: "a", run: &a }, Member { name: "b", run: &b }];
    let all = together(&members, ProbeId(0)).unwrap();
    assert_eq!((&all.taken, all.left_out.len()), (&vec![0, 1], 0));
    assert_eq!(all.joints.len(), 7, "overall and six layers");
    let overall = all.joints.iter().find(|it| it.layer.is_none()).unwrap();
    assert_eq!((overall.name.as_str(), overall.coefficients.points), ("overall", 10));
    assert_eq!(overall.points.iter().map(Vec::len).collect::<Vec<_>>(), [5, 5]);
    assert_eq!(overall.within, Some(-1.0));
    // 25 pairs of points of two runs agree, 20 of one run disagree.
    let tau = overall.coefficients.kendall.unwrap();
    assert!(near(tau.value, 5.0 / 45.0, 1e-12), "{tau:?}");
    let said = all.claim(&members);
    assert!(said.contains("10 points of 2 runs together"), "{said}");
    assert!(said.contains("mean τ within runs −1.00"), "{said}");
    assert!(said.contains("mix differences between runs"), "{said}");
    let unmeasured = all.joints.last().unwrap();
    assert_eq!((unmeasured.coefficients.kendall, unmeasured.within), (None, None));
}

#[test]
fn only_what_measured_the_same_is_taken_together() {
    use crate::sweep::spec::{Norm, SharpnessKind};
    let own = falling(2.0, 40, sharpness_probe());
    let plain = SharpnessSpec::default();
    let other = |spec: SharpnessSpec| falling(3.0, 50, Probe::Sharpness { spec, on: DatasetId(0) });
    let why = |run: &SweepState| {
        let members = [Member { name: "own", run: &own }, Member { name: "other", run }];
        let all = together(&members, ProbeId(0)).unwrap();
        let said = all.claim(&members);
        match all.left_out.first() {
            Some((index, why)) => {
                assert_eq!((*index, &all.taken, all.joints.len()), (1, &vec![0], 0));
                assert!(said.contains(&format!("other ({why})")), "{said}");
                why.clone()
            }
            None => String::new(),
        }
    };
    // Other batches and draws have another error and estimate the same.
    assert_eq!(why(&other(SharpnessSpec { draws: 2, batches: 1, batch: 8, ..plain.clone() })), "");
    let cases = [
        (SharpnessSpec { rho: 0.5, ..plain.clone() }, "ρ 0.5 there, ρ 0.2 here"),
        (SharpnessSpec { adaptive: false, ..plain.clone() }, "not adaptive there, adaptive here"),
        (SharpnessSpec { norm: Norm::Linf, ..plain.clone() }, "ℓ∞ there, ℓ2 here"),
        (
            SharpnessSpec { kind: SharpnessKind::Worst, ..plain.clone() },
            "worst case there, average case here",
        ),
    ];
    for (spec, named) in cases {
        assert_eq!(why(&other(spec)), named);
    }
    let mut renamed = own.header().unwrap().clone();
    renamed.datasets[0].name = "elsewhere".into();
    let elsewhere = state(renamed, sharpness_probe());
    assert_eq!(why(&elsewhere), "sharpness on elsewhere there, on set here");
    let bare = SweepState::replay([&Event::Header(header(&[0.0, 1.0], [0.1; 6]))]);
    assert_eq!(why(&bare), "no sharpness there");
    assert_eq!(together(&[Member { name: "bare", run: &bare }], ProbeId(0)), None);
}

#[test]
fn only_layers_that_every_run_has_are_taken_together() {
    let own = falling(2.0, 40, sharpness_probe());
    let mut fewer = header(&[0.0, 0.25, 0.5, 0.75, 1.0], [0.1; 6]);
    fewer.layers.remove(1);
    let spec = SharpnessSpec { overall: false, ..SharpnessSpec::default() };
    let other = state(fewer, Probe::Sharpness { spec, on: DatasetId(0) });
    let members = [Member { name: "own", run: &own }, Member { name: "other", run: &other }];
    let all = together(&members, ProbeId(0)).unwrap();
    let names: std::collections::BTreeSet<&str> =
        all.joints.iter().map(|it| it.name.as_str()).collect();
    assert_eq!(
        names.into_iter().collect::<Vec<_>>(),
        ["block.1", "block.2", "head", "stem", "text.block.0"]
    );
}
