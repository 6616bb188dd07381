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
        let time = 946_684_800_000_000 + i64::try_from(now).unwrap() * 1_000_000;
        journal.commit(mark(now, time, Vec::new())).unwrap();
        let oldest = journal.archive().first().map_or(now, |first| first.place.commit_lsn.0);
        assert!(now - oldest <= 18 * hour || is_quiet, "{oldest} is there at {now}");
    }
    let files = segment::numbers(dir.path()).unwrap().len();
    assert!((2..40).contains(&files), "{files} files");
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
