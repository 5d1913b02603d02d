//! Whatever a journal says, it does no harm: nothing panics, nothing is counted
//! twice, what was measured stands.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // helpers of tests

mod sweep_rig;

use alphascope::sim::SimScript;
use alphascope::sweep::event::{Event, Measured};
use alphascope::sweep::ids::{
    AlphaId, CellId, DatasetId, LayerId, ProbeCell, ProbeId, RoundId, VariantId, WorkerId,
};
use alphascope::sweep::journal;
use alphascope::sweep::plan::{Shard, owed};
use alphascope::sweep::probe::{CurvatureResult, PathResult, ProbeResult, Probed, SharpnessResult};
use alphascope::sweep::state::SweepState;
use proptest::prelude::*;
use sweep_rig::probes::three;
use sweep_rig::{header, plain, probing, results, session};

prop_compose! {
    fn any_measured()(
        ids in (0_usize..3, 0_usize..4, 0_usize..4, 0_usize..6),
        numbers in (0_usize..40, 0_usize..40, 0_usize..40),
        correct5 in prop::option::of(0_usize..40),
        loss_sum in prop::num::f64::ANY,
        near_ties in 0_u32..50,
        bits in prop::collection::vec(any::<bool>(), 0..48),
    ) -> Measured {
        let (variant, dataset, alpha, round) = ids;
        let (start, images, correct) = numbers;
        Measured {
            cell: CellId {
                variant: VariantId(variant),
                dataset: DatasetId(dataset),
                alpha: AlphaId(alpha),
            },
            round: RoundId(round),
            worker: WorkerId(0),
            start,
            images,
            correct,
            correct5,
            loss_sum,
            near_ties,
            hits: bits.into_iter().collect(),
            seconds: -1.0,
        }
    }
}

prop_compose! {
    fn any_probed()(
        ids in (0_usize..4, 0_usize..4, 0_usize..5),
        layer in prop::option::of(0_usize..60),
        kind in 0_usize..3,
        numbers in prop::collection::vec(prop::num::f64::ANY, 0..4),
        counts in (0_usize..40, 0_usize..40, 0_usize..3),
        bits in prop::collection::vec(any::<bool>(), 0..40),
    ) -> Event {
        let (probe, variant, alpha) = ids;
        let cell = ProbeCell {
            probe: ProbeId(probe),
            variant: VariantId(variant),
            alpha: AlphaId(alpha),
            layer: layer.map(LayerId),
        };
        let result = match kind {
            0 => ProbeResult::Sharpness(SharpnessResult {
                losses: numbers.clone(),
                rises: vec![numbers; counts.2],
                ..SharpnessResult::default()
            }),
            1 => ProbeResult::Path {
                on: vec![
                    PathResult {
                        dataset: DatasetId(counts.2),
                        images: counts.0,
                        correct: counts.1,
                        loss_sum: numbers.first().copied().unwrap_or(0.0),
                        hits: bits.into_iter().collect(),
                    };
                    counts.2
                ],
            },
            _ => ProbeResult::Curvature(CurvatureResult {
                quadratic: vec![numbers.clone()],
                eigenvalues: numbers,
                ..CurvatureResult::default()
            }),
        };
        match counts.1 % 4 {
            0 => Event::ProbeFailed { cell, message: "no".into() },
            1 => Event::VariantDropped { variant: VariantId(variant) },
            _ => Event::Probed(Box::new(Probed {
                cell,
                worker: WorkerId(0),
                seconds: f64::NAN,
                result,
            })),
        }
    }
}

proptest! {
    /// Whatever a journal says, nothing panics, nothing is counted twice, and
    /// no count exceeds its total.
    #[test]
    fn ill_formed_events_change_nothing(
        wrong in prop::collection::vec(any_measured(), 0..30),
        doubled in any::<prop::sample::Index>(),
    ) {
        let header = header(&[30, 17], 3, 8);
        let dir = tempfile::tempdir().unwrap();
        let _ = session(dir.path(), &header, Shard::whole(), vec![SimScript::default()], |_, _| {});
        let good = journal::read(dir.path()).unwrap();
        let alone = SweepState::replay(wrong.iter().cloned().map(Event::Measured).collect::<Vec<_>>().iter());
        prop_assert_eq!(alone.ignored, wrong.len());
        let again = good[doubled.index(good.len())].clone();
        let bad = || wrong.iter().cloned().map(Event::Measured);
        let after = SweepState::replay(&good.iter().cloned().chain(bad()).chain([again]).collect::<Vec<_>>());
        prop_assert_eq!(results(&after), results(&plain(&header, &[])));
        let before = SweepState::replay(&good[..1].iter().cloned().chain(bad()).chain(good[1..].to_vec()).collect::<Vec<_>>());
        for id in before.cell_ids() {
            let cell = before.cell(id).unwrap();
            prop_assert_eq!(cell.done, cell.total);
            prop_assert!(cell.correct <= cell.done && cell.near_ties <= cell.done as u64);
            prop_assert!(cell.loss_sum.is_finite());
        }
    }

    /// A header that does not add up is left out, whatever it says.
    #[test]
    fn unsound_headers_are_left_out(rounds in prop::collection::vec(0_usize..40, 0..5)) {
        let mut header = header(&[30], 3, 8);
        let sound = rounds.last() == Some(&30) && rounds[0] > 0 && rounds.is_sorted_by(|a, b| a < b);
        header.datasets[0].rounds = rounds;
        let state = SweepState::replay(&[Event::Header(header)]);
        prop_assert_eq!(state.header().is_some(), sound);
    }

    /// Whatever a journal says, nothing panics, and what was measured stands.
    #[test]
    fn ill_formed_answers_change_nothing(wrong in prop::collection::vec(any_probed(), 0..30)) {
        let header = sweep_rig::probes::header(3);
        let probes = three(&header);
        let dir = tempfile::tempdir().unwrap();
        let _ = probing(dir.path(), &header, &probes, Shard::whole(), vec![SimScript::default()], |_, _| {});
        let good = journal::read(dir.path()).unwrap();
        let whole = results(&plain(&header, &probes));
        prop_assert_eq!(SweepState::replay(&wrong).probes().len(), 0);
        let after: Vec<Event> = good.iter().chain(&wrong).cloned().collect();
        let state = SweepState::replay(&after);
        let after = results(&state);
        prop_assert_eq!(&after.accuracy, &whole.accuracy);
        for (cell, result) in &whole.probes {
            prop_assert_eq!(after.probes.get(cell), Some(result));
        }
        let first = good.iter().take(4);
        let before: Vec<Event> = first.chain(&wrong).chain(&good[4..]).cloned().collect();
        let state = SweepState::replay(&before);
        let (done, total) = state.work();
        prop_assert!(done <= total);
        let answers = state.probes().iter().flat_map(|it| it.results());
        for it in answers {
            let numbers = match &it.result {
                ProbeResult::Sharpness(it) => it.losses.clone(),
                ProbeResult::Path { on } => on.iter().map(|it| it.loss_sum).collect(),
                ProbeResult::Curvature(it) => it.eigenvalues.clone(),
            };
            prop_assert!(numbers.iter().all(|x| x.is_finite()));
        }
        // What is owed after it can be planned and measured.
        prop_assert!(owed(&header, Shard::whole(), &state).len() < 400);
    }
}
