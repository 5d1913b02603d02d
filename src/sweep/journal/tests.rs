use super::*;
use crate::sweep::event::Level;
use crate::sweep::ids::{AlphaId, VariantId};
use crate::sweep::zeros::Zeros;

fn notice(text: &str) -> Event {
    Event::notice(Level::Info, text)
}

#[test]
fn what_is_written_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = Journal::open(dir.path(), Shard::whole()).unwrap();
    assert!(journal.is_empty());
    journal.append(&notice("a\nb")).unwrap();
    let mut reader = Reader::open(dir.path()).unwrap();
    assert_eq!(reader.poll().unwrap(), [notice("a\nb")]);
    assert_eq!(reader.poll().unwrap(), []);
    journal.append(&notice("größer")).unwrap();
    assert_eq!(reader.poll().unwrap(), [notice("größer")]);
}

#[test]
fn one_writer() {
    let dir = tempfile::tempdir().unwrap();
    let part = |index, of| Shard::new(index, of).unwrap();
    let first = Journal::open(dir.path(), part(1, 2)).unwrap();
    let second = Journal::open(dir.path(), part(1, 2));
    assert!(matches!(second, Err(JournalError::Locked { .. })), "{second:?}");
    for overlapping in [Shard::whole(), part(1, 3), part(2, 3)] {
        let second = Journal::open(dir.path(), overlapping);
        assert!(matches!(second, Err(JournalError::Overlap { .. })), "{second:?}");
    }
    assert!(Journal::open(dir.path(), part(2, 2)).is_ok(), "another shard is another journal");
    drop(first);
    assert!(Journal::open(dir.path(), Shard::whole()).is_ok());
}

#[test]
fn nothing_is_written_once_the_lock_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = Journal::open(dir.path(), Shard::whole()).unwrap();
    journal.append(&notice("ours")).unwrap();
    std::fs::remove_file(dir.path().join("events.owner")).unwrap();
    let error = journal.append(&notice("too late")).unwrap_err();
    assert!(matches!(error, JournalError::Lost { .. }), "{error}");
    assert_eq!(read(dir.path()).unwrap(), [notice("ours")]);
}

#[test]
fn a_folder_that_went_away_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let (run, moved) = (dir.path().join("run"), dir.path().join("moved"));
    let mut journal = Journal::open(&run, Shard::whole()).unwrap();
    journal.append(&notice("ours")).unwrap();
    std::fs::rename(&run, &moved).unwrap();
    let error = journal.append(&notice("too late")).unwrap_err();
    assert!(matches!(error, JournalError::Gone { .. }), "{error}");
    assert!(!run.exists(), "nothing was made anew");
    assert_eq!(read(&moved).unwrap(), [notice("ours")]);
}

#[test]
fn every_torn_end_is_cut_off() {
    let dir = tempfile::tempdir().unwrap();
    let lines: Vec<String> = ["one", "zwö", "three"]
        .map(|text| serde_json::to_string(&notice(text)).unwrap() + "\n")
        .to_vec();
    let bytes = lines.concat().into_bytes();
    let path = dir.path().join("events.jsonl");
    for cut in 0..=bytes.len() {
        std::fs::write(&path, &bytes[..cut]).unwrap();
        let whole = bytes[..cut].iter().filter(|&&b| b == b'\n').count();
        let mut reader = Reader::open(dir.path()).unwrap();
        assert_eq!(reader.poll().unwrap().len(), whole);
        assert_eq!(reader.damaged, 0);
        let mut journal = Journal::open(dir.path(), Shard::whole()).unwrap();
        journal.append(&notice("after")).unwrap();
        let events = read(dir.path()).unwrap();
        assert_eq!(events.len(), whole + 1);
        assert_eq!(events.last(), Some(&notice("after")));
    }
}

#[test]
fn unknown_and_damaged_lines_do_not_hide_the_rest() {
    let dir = tempfile::tempdir().unwrap();
    let known = serde_json::to_string(&notice("x")).unwrap();
    let text = format!("{{\"event\":\"teleported\",\"to\":3}}\n\u{0}\u{0}oops\n{known}\n");
    std::fs::write(dir.path().join("events.jsonl"), text).unwrap();
    let mut reader = Reader::open(dir.path()).unwrap();
    assert_eq!(reader.poll().unwrap(), [Event::Unknown, notice("x")]);
    assert_eq!(reader.damaged, 1);
    assert!(damage(1).unwrap().starts_with("1 line of the run's journal is damaged"));
    assert_eq!(damage(0), None);
    assert_eq!(reader.unknown, 1);
    let said = reader.complaint(0).unwrap();
    assert!(said.contains("damaged") && said.contains("1 line of the run's journal is of a"));
}

#[test]
fn counted_zeros_read_back() {
    let dir = tempfile::tempdir().unwrap();
    let zeros =
        vec![Zeros { tensor: "visual.proj".into(), total: 48, weights: 24, differences: 0 }];
    let event = Event::Sparsified { variant: VariantId(1), alpha: AlphaId(3), zeros };
    Journal::open(dir.path(), Shard::whole()).unwrap().append(&event).unwrap();
    let text = std::fs::read_to_string(dir.path().join("events.jsonl")).unwrap();
    assert_eq!(
        text.trim_end(),
        "{\"event\":\"sparsified\",\"variant\":1,\"alpha\":3,\"zeros\":[{\"tensor\":\"visual.proj\",\
         \"total\":48,\"weights\":24,\"differences\":0}]}"
    );
    assert_eq!(read(dir.path()).unwrap(), [event]);
}

#[test]
fn a_folder_without_a_journal_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let error = read(dir.path()).unwrap_err().to_string();
    assert!(error.contains("is not a run folder"), "{error}");
    assert!(!is_run(&dir.path().join("nowhere")));
}
