//! A journal that is looked at by somebody who does not write it.

use std::collections::BTreeMap;

use super::*;
use crate::event::{Gap, GapReason};

/// Everything that is told, and the gaps in their places.
fn read_through(found: &Found) -> (Vec<(EventId, Vec<u8>)>, Vec<Gap>) {
    let (mut events, mut gaps) = (Vec::<(EventId, Vec<u8>)>::new(), Vec::<Gap>::new());
    let tell = |passage| {
        match passage {
            Passage::Block(block) => events.extend(super::told(&block)),
            Passage::Lost(gap) => {
                assert_eq!(gap.from.as_ref().max(events.last().map(|(id, _)| id)), gap.from.as_ref(), "a gap in its place");
                gaps.push(gap);
            }
        }
        true
    };
    found.archive.read_through(|_| true, tell).unwrap();
    (events, gaps)
}

fn contents(dir: &Path) -> BTreeMap<std::path::PathBuf, Vec<u8>> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    entries.map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

#[test]
fn a_journal_is_looked_at_while_it_is_written() {
    let dir = TempDir::new().unwrap();
    let all = filled(&dir);
    let (mut journal, _) = open(&dir);
    // Something is being written, and a part of it is there.
    journal.append(&whole(&epoch(1), 50_000, 3, 300)).unwrap();
    let mut newest = fs::OpenOptions::new().append(true).open(last_file(dir.path())).unwrap();
    std::io::Write::write_all(&mut newest, &journal.pending()[..100]).unwrap();
    let before = contents(dir.path());

    let found = Found::open(dir.path()).unwrap();
    assert_eq!(read_through(&found), (all.clone(), Vec::new()));
    assert_eq!((found.watched, found.position), (watched(), Lsn(4_000)));
    assert_eq!(found.archive.size().1, all.len() as u64);
    assert!(found.faults.iter().all(|fault| fault.is_tail) && found.faults.len() == 1, "{:?}", found.faults);
    assert!(found.files.iter().rev().skip(1).all(|file| file.complete) && found.files.len() > 2);
    assert_eq!(contents(dir.path()), before, "nothing was changed");
}

#[test]
fn what_cannot_be_read_is_told_as_a_gap_wherever_a_byte_was_changed() {
    let dir = TempDir::new().unwrap();
    let all = filled_with(&dir, Options { segment: 800, ..SMALL }, 8);
    let numbers = segment::numbers(dir.path()).unwrap();
    for number in [numbers[0], numbers[1]] {
        let path = segment::path(dir.path(), number);
        let bytes = fs::read(&path).unwrap();
        let mut lost_some = 0;
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 0x10;
            fs::write(&path, &changed).unwrap();
            // Its first bytes say that it is one of ours.
            let Ok(found) = Found::open(dir.path()) else {
                assert!(at < segment::HEADER, "byte {at}");
                continue;
            };
            let (events, gaps) = read_through(&found);
            let floor = found.archive.floor();
            let is_told = |id: &EventId| events.iter().any(|(told, _)| told == id);
            let is_lost = |id: &EventId| {
                let in_gap = |gap: &Gap| gap.from.as_ref() < Some(id) && *id <= gap.to && gap.reason == GapReason::Damaged;
                gaps.iter().any(in_gap) || floor.as_ref().is_some_and(|floor| id <= floor)
            };
            assert!(all.iter().all(|(id, _)| is_told(id) != is_lost(id)), "byte {at}: {gaps:?}");
            assert!(events.is_sorted() && events.iter().all(|event| all.contains(event)));
            lost_some += usize::from(events.len() < all.len());
        }
        assert!(lost_some > bytes.len() / 3, "{lost_some} of {}", bytes.len());
        fs::write(&path, &bytes).unwrap();
    }
}

#[test]
fn files_that_are_missing_or_go_meanwhile_are_told() {
    let dir = TempDir::new().unwrap();
    let all = filled(&dir);
    let found = Found::open(dir.path()).unwrap();
    let numbers = segment::numbers(dir.path()).unwrap();
    fs::remove_file(segment::path(dir.path(), numbers[0])).unwrap();
    let kept = found.files[0].last.clone().unwrap();
    let after: Vec<_> = all.iter().filter(|(id, _)| *id > kept).cloned().collect();
    let gap = Gap { from: None, to: kept.clone(), reason: GapReason::Evicted };
    assert_eq!(read_through(&found), (after.clone(), vec![gap]));
    // Who comes later is told where it begins.
    let found = Found::open(dir.path()).unwrap();
    assert_eq!((found.archive.floor(), read_through(&found)), (Some(kept), (after.clone(), Vec::new())));
    // What is missing in the midst of it was not removed by us.
    fs::remove_file(segment::path(dir.path(), numbers[2])).unwrap();
    let (from, to) = (found.files[0].last.clone(), found.files[1].last.clone().unwrap());
    let found = Found::open(dir.path()).unwrap();
    let rest: Vec<_> = after.iter().filter(|(id, _)| Some(id) <= from.as_ref() || *id > to).cloned().collect();
    assert_eq!(read_through(&found), (rest, vec![Gap { from, to, reason: GapReason::Damaged }]));
}

#[test]
fn what_a_crash_leaves_is_told_from_damage() {
    let dir = TempDir::new().unwrap();
    filled_with(&dir, Options { segment: u64::MAX, ..SMALL }, 6);
    let path = last_file(dir.path());
    let bytes = fs::read(&path).unwrap();
    let faults = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        let faults = verify(dir.path()).unwrap().faults;
        assert!(faults.len() < 2, "{faults:?}");
        faults.first().map(|fault| fault.is_tail)
    };
    // Whatever of the end did not come to the disk: that is a tail, or the end of a commit.
    for length in segment::HEADER..bytes.len() {
        assert_ne!(faults(&bytes[..length]), Some(false), "of {} bytes {length}", bytes.len());
    }
    assert_eq!(faults(&bytes), None);
    // A hole before commits that were acknowledged is none.
    let commits = Found::open(dir.path()).unwrap().archive.segments().current().0.commits.clone();
    let [first, .., (before_last, _, _), (last, _, _)] = commits[..] else { panic!("{commits:?}") };
    let with_a_hole = |at: u64| {
        let mut bytes = bytes.clone();
        bytes[usize::try_from(at).unwrap()] ^= 0x10;
        bytes
    };
    assert_eq!(faults(&with_a_hole(first.0)), Some(false));
    assert_eq!(faults(&with_a_hole(before_last - 20)), Some(false));
    assert_eq!(faults(&with_a_hole(last - 20)), Some(true));
    assert_eq!(faults(&with_a_hole(last)), Some(true));
}

#[test]
fn where_there_is_no_journal_that_is_said() {
    let dir = TempDir::new().unwrap();
    let refused = |dir: &Path| (Found::open(dir).err().unwrap().to_string(), verify(dir).err().unwrap().to_string());
    let (found, verified) = refused(&dir.path().join("none"));
    assert!(found.starts_with("there is no folder") && verified == found, "{found}");
    let (found, verified) = refused(dir.path());
    assert!(found.starts_with("there is no journal in") && verified == found, "{found}");
}
