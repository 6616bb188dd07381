//! Files that are gone, cut off, or cannot be read, in the midst of a journal: what was in them is missing, not nothing.

use super::*;
use crate::event::time::unix_micros;
use crate::history::past::PastError;
use crate::history::query::{Bound, Query};
use crate::history::{self, History};
use crate::pgoutput::Timestamp;

/// Transactions commit a second after each other; the mark behind each says how many of table 9 there are.
const STEP: u64 = 100;

fn time(lsn: u64) -> Timestamp {
    Timestamp(i64::try_from(lsn).unwrap() * 1_000_000)
}

/// A journal of some files.
fn recorded() -> (TempDir, Vec<u64>) {
    let dir = TempDir::new().unwrap();
    let (mut journal, _) = open(&dir);
    let lsns: Vec<u64> = (1..=60).map(|nth| nth * STEP).collect();
    for lsn in &lsns {
        journal.append(&whole(&epoch(1), *lsn, 3, 400)).unwrap();
        journal.commit(mark(lsn + 50, unix_micros(time(*lsn)), vec![count(9, i64::try_from(*lsn).ok())])).unwrap();
    }
    assert!(segment::numbers(dir.path()).unwrap().len() > 4);
    (dir, lsns)
}

type Harm = fn(&Path);

fn remove(path: &Path) {
    fs::remove_file(path).unwrap();
}

fn cut_in_half(path: &Path) {
    let file = fs::OpenOptions::new().write(true).open(path).unwrap();
    file.set_len(file.metadata().unwrap().len() / 2).unwrap();
}

/// A byte of its first frame.
fn spoil_start(path: &Path) {
    change(path, 30);
}

/// What says that it is one of ours.
fn spoil_magic(path: &Path) {
    change(path, 0);
}

fn change(path: &Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 0x10;
    fs::write(path, bytes).unwrap();
}

const HARMS: [Harm; 4] = [remove, cut_in_half, spoil_start, spoil_magic];

/// Does it to a file, and opens what is left.
fn harmed(dir: &TempDir, nth: usize, harm: Harm) -> Archive {
    harm(&segment::path(dir.path(), segment::numbers(dir.path()).unwrap()[nth]));
    open(dir).0.archive()
}

/// Commits of the transactions that are shown, and between which some are said to be missing.
fn shown(archive: &Archive, range: (Option<&EventId>, Option<&EventId>), order: Order) -> (Vec<u64>, Option<(u64, u64)>) {
    let mut shown = Vec::new();
    let visited = archive.visit(
        range,
        order,
        |_| true,
        |block| {
            shown.push(block.heads()[0].place.commit_lsn.0);
            true
        },
    );
    let missing = visited.err().map(|error| match error {
        JournalError::Missing { from, to, .. } => (from.map_or(0, |from| from.place.commit_lsn.0), to.place.commit_lsn.0),
        error => panic!("{error}"),
    });
    (shown, missing)
}

fn last_of(lsn: u64) -> EventId {
    EventId { epoch: epoch(1), place: crate::lsn::Place { commit_lsn: Lsn(lsn), ordinal: 4 } }
}

#[test]
fn what_is_missing_is_said_and_what_is_on_both_sides_is_shown() {
    for harm in HARMS {
        let (dir, lsns) = recorded();
        let archive = harmed(&dir, 1, harm);
        let (there, missing) = shown(&archive, (None, None), Order::OldestFirst);
        let (from, to) = missing.expect("it is said");
        let is_there = |lsn: &u64| *lsn <= from || *lsn > to;
        assert!(from < to && to < 6_000);
        assert_eq!(there, lsns.iter().copied().filter(is_there).collect::<Vec<_>>());
        let backwards = there.iter().rev().copied().collect();
        assert_eq!(shown(&archive, (None, None), Order::NewestFirst), (backwards, missing));
        // Who asks for what is on one side of it has it all.
        let (before, behind) = (last_of(from), last_of(to));
        assert_eq!(shown(&archive, (None, Some(&before)), Order::NewestFirst).1, None);
        let (rest, said) = shown(&archive, (Some(&behind), None), Order::OldestFirst);
        assert_eq!((rest.first(), said), (Some(&(to + STEP)), None));
        let within = last_of(to - STEP);
        assert_eq!(shown(&archive, (Some(&within), Some(&behind)), Order::OldestFirst), (vec![], missing));
    }
}

#[test]
fn a_time_at_which_something_is_missing_is_no_empty_page_and_no_count() {
    for harm in HARMS {
        let (dir, lsns) = recorded();
        let archive = harmed(&dir, 1, harm);
        let (from, to) = shown(&archive, (None, None), Order::OldestFirst).1.unwrap();
        let (_writer, history) = history::recorded(1 << 20, archive);
        let known = |history: &History, at: Bound| match history.counts_at(at) {
            Ok(past) => past.tables[0].count,
            Err(PastError::Journal(JournalError::Missing { .. })) => None,
            Err(error) => panic!("{error}"),
        };
        for lsn in lsns {
            let bounds = [(Bound::Lsn(Lsn(lsn)), Bound::Lsn(Lsn(lsn + 1))), (Bound::Time(time(lsn)), Bound::Time(time(lsn + 1)))];
            for (since, until) in bounds {
                let query = Query::new(std::sync::Arc::new(Filter::everything()), 100);
                let page = history.query(&Query { since: Some(since), until: Some(until), ..query });
                let is_missing = (from + 1..=to).contains(&lsn);
                assert_eq!(page.events.is_empty(), is_missing, "{lsn}");
                // At the very times between which it is there may have been more.
                let at_edge = matches!(since, Bound::Time(_)) && (lsn == from || lsn == to + STEP);
                assert_eq!(page.unread.is_some(), is_missing || at_edge, "{lsn} of {from} to {to}");
                // Marks stand behind the commits, and commits say nothing here.
                let count = if matches!(since, Bound::Lsn(_)) { lsn - STEP } else { lsn };
                // The next file says what was there where it begins, and when that was written.
                let is_told = matches!(since, Bound::Time(_)) && lsn == to;
                let expected = i64::try_from(count).ok().filter(|_| is_told || !(is_missing || at_edge && lsn == from));
                if count > 0 {
                    assert_eq!(known(&history, since), expected, "{since:?} of {from} to {to}");
                }
            }
        }
    }
}

#[test]
fn minutes_of_which_something_is_missing_have_no_count() {
    let counts = |archive: &Archive| {
        let course = archive.course(Oid(9), Minute(0), Minute(100)).unwrap();
        let mut changes = course.changes.into_iter().peekable();
        let mut count = course.before;
        let minute = |minute: i64| {
            while let Some((_, now)) = changes.next_if(|(at, _)| at.0 <= minute) {
                count = now;
            }
            count
        };
        (0..=100).map(minute).collect::<Vec<_>>()
    };
    for harm in HARMS {
        let (dir, _) = recorded();
        let whole = counts(&open(&dir).0.archive());
        let archive = harmed(&dir, 1, harm);
        let (from, to) = shown(&archive, (None, None), Order::OldestFirst).1.unwrap();
        // From the last that is known on, to where the next file begins: at the mark behind the last that is missing.
        let (lost, found) = (usize::try_from(from / 60).unwrap(), usize::try_from(to / 60).unwrap());
        assert!(found - lost > 3);
        for (minute, (now, before)) in counts(&archive).into_iter().zip(whole).enumerate() {
            let expected = before.filter(|_| !(lost..found).contains(&minute));
            assert_eq!(now, expected, "{minute} of {lost} to {found}");
        }
    }
}

#[test]
fn behind_an_oldest_file_that_cannot_be_read_is_where_what_is_kept_begins() {
    for harm in [remove, spoil_start, spoil_magic] {
        let (dir, lsns) = recorded();
        let archive = harmed(&dir, 0, harm);
        let (there, missing) = shown(&archive, (None, None), Order::OldestFirst);
        assert!(lsns.ends_with(&there) && missing.is_none());
        let floor = archive.floor().expect("something was before it");
        assert_eq!(floor.place.commit_lsn.0 + STEP, there[0]);
    }
}

#[test]
fn a_file_that_goes_meanwhile_is_missing_unless_it_is_the_oldest() {
    let (dir, lsns) = recorded();
    let numbers = segment::numbers(dir.path()).unwrap();
    let (journal, _) = open(&dir);
    let archive = journal.archive();
    remove(&segment::path(dir.path(), numbers[0]));
    let (there, missing) = shown(&archive, (None, None), Order::OldestFirst);
    assert!(lsns.ends_with(&there) && missing.is_none());
    cut_in_half(&segment::path(dir.path(), numbers[3]));
    let cut = archive.visit((None, None), Order::OldestFirst, |_| true, |_| true);
    assert!(matches!(cut, Err(JournalError::Damaged { .. })), "{cut:?}");
    remove(&segment::path(dir.path(), numbers[3]));
    let (rest, missing) = shown(&archive, (None, None), Order::OldestFirst);
    let (from, to) = missing.expect("it is said");
    assert_eq!(rest, there.into_iter().filter(|lsn| *lsn <= from || *lsn > to).collect::<Vec<_>>());
}
