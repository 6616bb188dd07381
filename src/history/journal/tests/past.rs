//! What was known of the tables, at any mark and minute by minute.

use super::*;

const MINUTE: i64 = 60_000_000;

/// What the tables had at a position: where the mark stands that says it, and the count of table 9.
fn at(archive: &Archive, lsn: u64) -> Option<(u64, Option<i64>)> {
    let marked = archive.marked(|position, _| position <= Lsn(lsn)).unwrap()?;
    Some((marked.position.0, marked.tables.get(&Oid(9)).and_then(|table| table.count)))
}

#[test]
fn what_was_known_is_found_in_whichever_file_it_stands() {
    let dir = TempDir::new().unwrap();
    let (mut journal, _) = open(&dir);
    for lsn in (100..=9_000).step_by(100) {
        journal.append(&whole(&epoch(1), lsn, 3, 200)).unwrap();
        commit(&mut journal, lsn);
    }
    assert!(segment::numbers(dir.path()).unwrap().len() > 3);
    drop(journal);
    let looked_at = Found::open(dir.path()).unwrap().archive;
    for archive in [open(&dir).0.archive(), looked_at] {
        assert_eq!(at(&archive, 99), None, "nothing was recorded yet");
        for lsn in 100..=9_050 {
            let mark = lsn / 100 * 100;
            assert_eq!(at(&archive, lsn), Some((mark, i64::try_from(mark).ok())), "{lsn}");
        }
        assert_eq!(archive.marks_begin().unwrap(), Some(100));
    }
}

#[test]
fn what_is_no_longer_kept_is_not_known() {
    let dir = TempDir::new().unwrap();
    let (mut journal, _) = open_with(dir.path(), &watched(), Options { keep: 10_000, ..SMALL }).unwrap();
    for lsn in (100..=3_000).step_by(100) {
        journal.append(&whole(&epoch(1), lsn, 3, 200)).unwrap();
        commit(&mut journal, lsn);
    }
    let archive = journal.archive();
    let floor = archive.floor().unwrap().place.commit_lsn.0;
    assert_eq!(at(&archive, floor - 1), None);
    assert_eq!(at(&archive, floor), Some((floor, i64::try_from(floor).ok())), "where a file begins, it says what was there");
    assert_eq!(archive.marks_begin().unwrap(), i64::try_from(floor).ok());
}

#[test]
fn counts_are_told_minute_by_minute_over_all_files() {
    let dir = TempDir::new().unwrap();
    let (mut journal, _) = open(&dir);
    let begins = Minute::of_unix(0);
    for minute in 1..=40_u32 {
        journal.append(&whole(&epoch(1), u64::from(minute) * 100, 3, 200)).unwrap();
        // Twice within a minute: the last is what counts. Every tenth is not known.
        for count in [0, minute] {
            let known = Some(i64::from(count)).filter(|_| minute % 10 != 0);
            let (lsn, time) = (u64::from(minute) * 100 + u64::from(count > 0), i64::from(minute) * MINUTE);
            journal.commit(mark(lsn, time, vec![self::count(9, known)])).unwrap();
        }
    }
    assert!(segment::numbers(dir.path()).unwrap().len() > 3);
    let course = |archive: &Archive, since: i64, until: i64| {
        let course = archive.course(Oid(9), Minute(begins.0 + since), Minute(begins.0 + until)).unwrap();
        let changes = course.changes.iter().map(|(minute, count)| (minute.0 - begins.0, *count)).collect::<Vec<_>>();
        (course.before, changes, course.begins.unwrap().0 - begins.0)
    };
    let archive = journal.archive();
    let (before, changes, first) = course(&archive, 1, 40);
    assert_eq!((before, first, changes.len()), (None, 1, 36));
    // What is not known any more is not known since it was said last, the minute before.
    for (minute, count) in &changes {
        assert_eq!(*count, Some(*minute).filter(|minute| minute % 10 != 9), "{minute}");
    }
    assert_eq!(course(&archive, 15, 17), (Some(14), vec![(15, Some(15)), (16, Some(16)), (17, Some(17))], 1));
    assert_eq!(course(&archive, 50, 60), (None, vec![], 1));
    drop((archive, journal));
    assert_eq!(course(&Found::open(dir.path()).unwrap().archive, 1, 40), (before, changes, first));
}
