//! A run is its events: live, replayed, resumed and sharded runs are the same.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // helpers of tests

mod sweep_rig;

use alphascope::sim::{SimEngine, SimScript};
use alphascope::sweep::engine::Engine;
use alphascope::sweep::event::{Event, Header, Level, Outcome};
use alphascope::sweep::ids::{AlphaId, CellId, DatasetId, RoundId, VariantId};
use alphascope::sweep::journal::{self, Journal};
use alphascope::sweep::plan::Shard;
use alphascope::sweep::spec::Variant;
use alphascope::sweep::state::SweepState;
use proptest::prelude::*;
use sweep_rig::{header, plain, results, session};

#[test]
fn every_image_is_counted_once() {
    let header = header(&[530, 213, 41], 11, 32);
    let state = plain(&header, &[]);
    assert!(state.is_complete());
    for id in state.cell_ids() {
        let cell = state.cell(id).unwrap();
        assert_eq!(cell.done, cell.total);
    }
    // The same numbers, counted directly.
    let mut engine = SimEngine::new(header.clone(), SimScript::default());
    for (d, info) in header.datasets.iter().enumerate() {
        for (a, &alpha) in header.alphas.iter().enumerate() {
            engine.set_point(alpha, &Variant::dense()).unwrap();
            let all = engine.evaluate(DatasetId(d), 0..info.images).unwrap();
            let cell = state.dense(DatasetId(d), AlphaId(a)).unwrap();
            assert_eq!(cell.correct, all.hit.iter().filter(|&&hit| hit).count());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Resumed from any prefix of a journal, torn at any byte, with any number
    /// of workers, a run ends with the numbers of the uninterrupted one; and
    /// the replayed state is the live one.
    #[test]
    fn resumed_is_uninterrupted(
        sizes in prop::collection::vec(1_usize..90, 1..4),
        points in 1_usize..6,
        batch in 1_usize..40,
        cut in 0.0_f64..1.0,
        workers in 1_usize..4,
    ) {
        let header = header(&sizes, points, batch);
        let whole = plain(&header, &[]);
        let dir = tempfile::tempdir().unwrap();
        let _ = session(dir.path(), &header, Shard::whole(), vec![SimScript::default(); workers], |_, _| {});
        let path = dir.path().join("events.jsonl");
        let bytes = std::fs::read(&path).unwrap();
        let keep = (bytes.len() as f64 * cut) as usize;
        std::fs::write(&path, &bytes[..keep]).unwrap();
        let (outcome, state) =
            session(dir.path(), &header, Shard::whole(), vec![SimScript::default(); workers], |_, _| {});
        prop_assert_eq!(outcome.unwrap(), Outcome::Complete);
        prop_assert_eq!(results(&state), results(&whole));
        let replayed = SweepState::replay(&journal::read(dir.path()).unwrap());
        prop_assert_eq!(results(&replayed), results(&state));
        prop_assert_eq!(replayed, state);
    }

    /// Shards in one folder add up to the whole, whatever their number.
    #[test]
    fn shards_add_up(of in 1_usize..5, points in 1_usize..6) {
        let header = header(&[30, 17], points, 8);
        let dir = tempfile::tempdir().unwrap();
        for index in 1..=of {
            let shard = Shard::new(index, of).unwrap();
            let _ = session(dir.path(), &header, shard, vec![SimScript::default()], |_, _| {});
        }
        let state = SweepState::replay(&journal::read(dir.path()).unwrap());
        prop_assert_eq!(state.ignored, 0);
        prop_assert_eq!(results(&state), results(&plain(&header, &[])));
    }
}

/// Whether a cell's failure is read before or after another journal's success.
#[test]
fn a_failure_does_not_hide_a_result() {
    let header = header(&[20], 2, 8);
    let measured = {
        let dir = tempfile::tempdir().unwrap();
        let _ = session(dir.path(), &header, Shard::whole(), vec![SimScript::default()], |_, _| {});
        journal::read(dir.path()).unwrap()
    };
    let cell = CellId { variant: VariantId::DENSE, dataset: DatasetId(0), alpha: AlphaId(0) };
    let failure = Event::CellFailed { cell, round: RoundId(0), message: "no".into() };
    let after: Vec<Event> = measured.iter().cloned().chain([failure.clone()]).collect();
    let before: Vec<Event> =
        measured[..1].iter().cloned().chain([failure]).chain(measured[1..].to_vec()).collect();
    assert!(SweepState::replay(&after).is_complete());
    assert_eq!(results(&SweepState::replay(&after)), results(&SweepState::replay(&before)));
}

/// The journal of a small run with names and notices of many bytes a character.
fn wordy() -> (Header, Vec<u8>) {
    let mut header = header(&[20, 9], 2, 8);
    header.zeroshot = "größe 🦀 零样本".into();
    header.datasets[1].name = "наборデータ".into();
    header.layers.clear();
    let dir = tempfile::tempdir().unwrap();
    let script = SimScript { failing: vec![(DatasetId(1), AlphaId(1))], ..SimScript::default() };
    let _ = session(dir.path(), &header, Shard::whole(), vec![script], |_, _| {});
    let text = "Schlüssel → ключ 🔑".to_string();
    let mut journal = Journal::open(dir.path(), Shard::whole()).unwrap();
    journal.append(&Event::notice(Level::Warning, text)).unwrap();
    drop(journal);
    (header, std::fs::read(dir.path().join("events.jsonl")).unwrap())
}

/// Whatever byte it ends at, a journal says what its whole lines say: no error, no
/// damage, nothing that was not measured. What is written next comes after them.
#[test]
fn every_prefix_of_a_journal_is_its_whole_lines() {
    let (header, bytes) = wordy();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("events.jsonl");
    let mut whole = SweepState::default();
    let (mut lines, mut begin) = (0, 0);
    let mut within = 0;
    for cut in 0..=bytes.len() {
        if cut > 0 && bytes[cut - 1] == b'\n' {
            whole.apply(&serde_json::from_slice(&bytes[begin..cut]).unwrap());
            (lines, begin) = (lines + 1, cut);
        }
        std::fs::write(&path, &bytes[..cut]).unwrap();
        let (state, complaint) = journal::replay(dir.path()).unwrap();
        assert_eq!(complaint, None, "cut at {cut}");
        assert_eq!(state, whole, "cut at {cut}");
        let character = std::str::from_utf8(&bytes[..cut]).is_err();
        within += usize::from(character);
        // Opening takes a lock, so not at every byte; but within every character.
        if character || cut % 13 == 0 {
            let mut journal = Journal::open(dir.path(), Shard::whole()).unwrap();
            journal.append(&Event::Paused).unwrap();
            let after = std::fs::read(&path).unwrap();
            assert_eq!(after[..begin], bytes[..begin], "cut at {cut}");
            assert_eq!(after[begin..], *b"{\"event\":\"paused\"}\n", "cut at {cut}");
            assert_eq!(journal::read(dir.path()).unwrap().len(), lines + 1);
        }
    }
    assert!(within > 30 && lines > 10, "{within} cuts within a character, {lines} lines");
    // Measured on from the middle of a character it is the undisturbed run.
    let whole = results(&plain(&header, &[]));
    let middle = |cut: &usize| std::str::from_utf8(&bytes[..*cut]).is_err();
    let first = bytes.iter().position(|&byte| byte == b'\n').unwrap();
    let (early, late) = (10..first, first..bytes.len());
    for cut in [
        early.clone().find(middle),
        early.rev().find(middle),
        late.clone().find(middle),
        late.rev().find(middle),
    ] {
        let keep = cut.unwrap();
        std::fs::write(&path, &bytes[..keep]).unwrap();
        let (outcome, state) =
            session(dir.path(), &header, Shard::whole(), vec![SimScript::default()], |_, _| {});
        assert_eq!(outcome.unwrap(), Outcome::Complete);
        assert_eq!(results(&state), whole, "cut at {keep}");
        let (replayed, complaint) = journal::replay(dir.path()).unwrap();
        assert_eq!((replayed.ignored, complaint), (0, None));
        assert_eq!(replayed, state);
    }
}

/// The state is the same whether events come one by one or all at once, also of
/// shards whose journals are read in the order of their names.
#[test]
fn the_streamed_fold_is_the_fold_of_all_events() {
    let header = header(&[30, 17], 4, 8);
    let dir = tempfile::tempdir().unwrap();
    for index in 1..=3 {
        let shard = Shard::new(index, 3).unwrap();
        let _ = session(dir.path(), &header, shard, vec![SimScript::default()], |_, _| {});
    }
    // One whose header is lost comes first by name.
    let lost =
        "oops\n{\"event\":\"paused\"}\n{\"event\":\"notice\",\"level\":\"info\",\"text\":\"a\"}\n";
    std::fs::write(dir.path().join("events.0-of-3.jsonl"), lost).unwrap();
    let (state, complaint) = journal::replay(dir.path()).unwrap();
    assert!(complaint.unwrap().contains("1 line of the run's journal is damaged"));
    assert_eq!(state, SweepState::replay(&journal::read(dir.path()).unwrap()));
    assert_eq!(journal::header(dir.path()).unwrap(), Some(header));
}
