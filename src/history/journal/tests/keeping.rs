//! How long files are written to, and when they go.

use std::time::Duration;

use super::*;

#[test]
fn what_is_old_goes_however_little_there_is() {
    let (dir, hour) = (TempDir::new().unwrap(), 3_600);
    let options = Options { keep_for: Some(Duration::from_secs(16 * hour)), segment: u64::MAX, ..SMALL };
    let (mut journal, _) = open_with(dir.path(), &watched(), options).unwrap();
    for now in (1..=200).map(|hours| hours * hour) {
        // Each was committed as many seconds after 2000. For two days nothing happens, but that the stream goes on.
        let is_quiet = (50 * hour..98 * hour).contains(&now);
        if !is_quiet {
            journal.append(&whole(&epoch(1), now, 1, 10)).unwrap();
        }
        journal.commit(mark(now, seconds(now), Vec::new())).unwrap();
        let oldest = journal.archive().first().map_or(now, |first| first.place.commit_lsn.0);
        assert!(now - oldest <= 18 * hour || is_quiet, "{oldest} is there at {now}");
    }
    let files = segment::numbers(dir.path()).unwrap().len();
    assert!((2..40).contains(&files), "{files} files");
}

/// Microseconds since 1970 of so many seconds after 2000, which the tests' events are of.
fn seconds(after: u64) -> i64 {
    946_684_800_000_000 + i64::try_from(after).unwrap() * 1_000_000
}

#[test]
fn what_is_old_goes_though_nothing_is_committed_and_what_is_needed_to_go_on_stays() {
    let dir = TempDir::new().unwrap();
    let options = Options { keep_for: Some(Duration::from_secs(160)), segment: u64::MAX, ..SMALL };
    let (mut journal, _) = open_with(dir.path(), &watched(), options).unwrap();
    journal.append(&whole(&epoch(1), 100, 3, 10)).unwrap();
    journal.commit(mark(100, seconds(100), vec![count(9, Some(3))])).unwrap();
    let (archive, last) = (journal.archive(), journal.last().cloned());
    // All that is there is too old now, but something is on its way that belongs behind it.
    journal.append(&part(&epoch(1), 400, 1..=2, 3, 10)).unwrap();
    journal.tend(seconds(500)).unwrap();
    assert_eq!((archive.floor(), segment::numbers(dir.path()).unwrap()), (None, vec![1]));
    journal.append(&part(&epoch(1), 400, 3..=4, 3, 10)).unwrap();
    journal.commit(mark(400, seconds(401), vec![count(9, Some(6))])).unwrap();
    let newest = journal.last().cloned();
    // It goes when the last of it is too old, and not before.
    journal.tend(seconds(559)).unwrap();
    assert_eq!((archive.floor(), archive.size().1), (None, 8));
    journal.tend(seconds(561)).unwrap();
    assert_eq!((archive.floor(), archive.last(), archive.size().1), (newest.clone(), newest.clone(), 0));
    assert_eq!(last.map(|last| archive.locate(&last)), newest.clone().map(Located::Lost));
    assert_eq!(archive.begins().map(crate::event::time::unix_micros), Some(seconds(401)));
    // Where nothing is, nothing more is made.
    (600..700).for_each(|now| journal.tend(seconds(now * 1_000)).unwrap());
    assert_eq!(segment::numbers(dir.path()).unwrap().len(), 1);
    drop(journal);

    let (opened, cut) = Opened::open(dir.path(), options).unwrap();
    assert_eq!((cut, opened.left()), (None, Some((&epoch(1), Lsn(400), 1))));
    let mut journal = opened.begin(&watched()).unwrap();
    assert_eq!(journal.tables().map(|table| table.count).collect::<Vec<_>>(), [Some(6)]);
    journal.append(&whole(&epoch(1), 800_000, 1, 10)).unwrap();
    commit(&mut journal, 800_000);
    assert_eq!(events(&journal.archive(), None, Order::OldestFirst).len(), 2);
    assert!(verify(dir.path()).unwrap().faults.is_empty());
}

#[test]
fn a_file_has_no_more_commits_than_a_question_can_read() {
    let dir = TempDir::new().unwrap();
    let (mut journal, _) = open_with(dir.path(), &watched(), Options { segment: u64::MAX, commits: 4, ..SMALL }).unwrap();
    (1..=10).for_each(|lsn| commit(&mut journal, lsn));
    assert_eq!(segment::numbers(dir.path()).unwrap().len(), 3);
    for lsn in 1..=10 {
        let marked = journal.archive().marked(|position, _| position <= Lsn(lsn)).unwrap().unwrap();
        assert_eq!(marked.tables[&Oid(9)].count, i64::try_from(lsn).ok());
    }
}
