use std::sync::Barrier;

use super::owner::born;
use super::*;

const STEM: &str = "events";

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

fn record(dir: &Path) -> PathBuf {
    dir.join("events.owner")
}

fn put_record(dir: &Path, owner: &Owner) {
    std::fs::write(record(dir), serde_json::to_string(owner).unwrap()).unwrap();
}

fn sign_was(dir: &Path, ago: Duration) {
    let file = OpenOptions::new().write(true).open(record(dir)).unwrap();
    file.set_modified(SystemTime::now() - ago).unwrap();
}

fn refused(dir: &Path) -> Holder {
    match Lock::take(dir, STEM) {
        Err(LockError::Held(holder)) => *holder,
        other => panic!("{other:?}"),
    }
}

/// A process that has ended, as it was while it ran.
fn dead() -> Owner {
    let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
    let pid = i32::try_from(child.id()).unwrap();
    let owner = Owner { pid, born: born(pid), ..Owner::here() };
    assert!(owner.lives(&Owner::here(), Duration::MAX));
    child.kill().unwrap();
    child.wait().unwrap();
    owner
}

fn elsewhere() -> Owner {
    Owner { host: "node-7".into(), place: "another start".into(), pid: 77, ..Owner::here() }
}

#[test]
fn the_second_is_refused_and_told_who_has_it() {
    let dir = folder();
    let lock = Lock::take(dir.path(), STEM).unwrap();
    lock.check().unwrap();
    let holder = refused(dir.path());
    let owner = holder.owner.clone().unwrap();
    assert_eq!(owner.pid, i32::try_from(std::process::id()).unwrap());
    assert!(holder.near && owner.born.is_some() && !owner.host.is_empty());
    let text = holder.to_string();
    assert!(text.contains(&format!("process {} of ", owner.pid)), "{text}");
    assert!(text.contains(&owner.host), "{text}");
    assert!(holder.advice().contains("kill"), "{}", holder.advice());
    assert_eq!(holders(dir.path()).len(), 1);
    drop(lock);
    assert!(!record(dir.path()).exists());
    assert_eq!(holders(dir.path()), []);
    Lock::take(dir.path(), STEM).unwrap();
}

#[test]
fn a_dead_process_is_followed_and_named() {
    let dir = folder();
    let gone = dead();
    put_record(dir.path(), &gone);
    assert_eq!(holders(dir.path()), []);
    let lock = Lock::take(dir.path(), STEM).unwrap();
    assert_eq!(lock.after(), Some(&gone));
    drop(lock);
    let left = std::fs::read_dir(dir.path()).unwrap().flatten();
    let left: Vec<_> = left.map(|entry| entry.file_name()).collect();
    assert_eq!(left, ["events.lock"], "nothing else is left behind");
}

#[test]
fn a_number_given_to_another_process_is_not_its_owner() {
    let dir = folder();
    let here = Owner::here();
    let reused = Owner { born: here.born.map(|ticks| ticks - 1), ..here.clone() };
    put_record(dir.path(), &reused);
    assert_eq!(Lock::take(dir.path(), STEM).unwrap().after(), Some(&reused));
    // The very same process lives: never taken over, whatever the kernel's lock says.
    put_record(dir.path(), &here);
    sign_was(dir.path(), 10 * PATIENCE);
    assert_eq!(refused(dir.path()).owner, Some(here));
}

#[test]
fn another_machine_is_judged_by_its_last_sign() {
    let dir = folder();
    let far = elsewhere();
    put_record(dir.path(), &far);
    // A file's time is of a coarser clock: the seconds told may be one less.
    sign_was(dir.path(), PATIENCE / 2 + Duration::from_secs(5));
    let holder = refused(dir.path());
    assert!(!holder.near);
    let (text, advice) = (holder.to_string(), holder.advice());
    assert!(text.contains("process 77") && text.contains("node-7"), "{text}");
    assert!(text.contains("last sign 6"), "{text}");
    assert!(advice.contains("120 s") || advice.contains("2 min"), "{advice}");
    sign_was(dir.path(), PATIENCE + BEAT);
    assert_eq!(Lock::take(dir.path(), STEM).unwrap().after(), Some(&far));
}

#[test]
fn a_damaged_record_is_judged_by_its_age() {
    let dir = folder();
    std::fs::write(record(dir.path()), "{\"user\":").unwrap();
    assert_eq!(refused(dir.path()).owner, None);
    sign_was(dir.path(), 2 * PATIENCE);
    let lock = Lock::take(dir.path(), STEM).unwrap();
    assert_eq!(lock.after(), None);
    lock.check().unwrap();
}

#[test]
fn who_was_taken_for_dead_sees_it_and_leaves_the_other_alone() {
    let dir = folder();
    let lock = Lock::take(dir.path(), STEM).unwrap();
    std::fs::remove_file(record(dir.path())).unwrap();
    assert!(lock.check().is_err());
    let other = elsewhere();
    put_record(dir.path(), &other);
    assert!(lock.check().is_err());
    drop(lock);
    assert_eq!(read(&record(dir.path())).unwrap().0, Some(other));
}

#[test]
fn a_sign_of_life_renews_the_time() {
    let dir = folder();
    let lock = Lock::take(dir.path(), STEM).unwrap();
    sign_was(dir.path(), 10 * PATIENCE);
    assert!(since(read(&record(dir.path())).unwrap().1) > PATIENCE);
    touch(&lock.record.file).unwrap();
    assert!(since(read(&record(dir.path())).unwrap().1) < PATIENCE);
}

/// Without the kernel's lock, as where a file system has none: many find the
/// same dead owner at once, and one follows it.
#[test]
fn of_many_who_find_a_dead_owner_one_follows_it() {
    let gone = dead();
    for _ in 0..30 {
        let dir = folder();
        put_record(dir.path(), &gone);
        let start = Barrier::new(8);
        let taken: Vec<_> = std::thread::scope(|scope| {
            let take = || {
                let owner = Owner::here();
                start.wait();
                Record::take(dir.path(), STEM, &owner, false).ok()
            };
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(take)).collect();
            threads.into_iter().filter_map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(taken.len(), 1);
        taken[0].check().unwrap();
    }
}

#[test]
fn a_claim_whose_holder_died_does_not_last() {
    let dir = folder();
    let gone = dead();
    put_record(dir.path(), &gone);
    let claim = record(dir.path()).with_extension(format!("{}.claim", gone.token));
    std::fs::write(&claim, serde_json::to_string(&Owner::here()).unwrap()).unwrap();
    refused(dir.path());
    assert!(claim.exists());
    std::fs::write(&claim, serde_json::to_string(&dead()).unwrap()).unwrap();
    assert_eq!(Lock::take(dir.path(), STEM).unwrap().after(), Some(&gone));
    assert!(!claim.exists());
}

/// Killed before its record had a name, while it wrote it, or before it gave its
/// claim up: the next owner clears up, and leaves alone what may be in use.
#[test]
fn what_the_killed_left_goes_with_the_next_owner() {
    let dir = folder();
    let put = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
    let text = |owner: &Owner| serde_json::to_string(owner).unwrap();
    put(".events.0123456789abcdef.owner", &text(&dead()));
    put(".events.123456789abcdef0.owner", "{\"prog");
    put("events.23456789abcdef01.claim", &text(&dead()));
    let kept = [
        (".events.3456789abcdef012.owner", text(&elsewhere())),
        ("events.456789abcdef0123.claim", text(&Owner::here())),
        (".events.1of2.56789abcdef01234.owner", text(&dead())),
        ("events.jsonl", String::new()),
    ];
    kept.iter().for_each(|(name, text)| put(name, text));
    let _lock = Lock::take(dir.path(), STEM).unwrap();
    let entries = std::fs::read_dir(dir.path()).unwrap();
    let mut left: Vec<String> =
        entries.map(|it| it.unwrap().file_name().into_string().unwrap()).collect();
    left.sort();
    let mut wanted: Vec<&str> = kept.iter().map(|it| it.0).collect();
    wanted.extend(["events.lock", "events.owner"]);
    wanted.sort_unstable();
    assert_eq!(left, wanted);
}
