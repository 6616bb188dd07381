//! Questions for a text: they read few blocks, and never too few.

use std::ops::RangeInclusive;

use super::*;
use crate::event::filter::Matches;
use crate::event::{BlockBuilder, Kind, NewEvent};
use crate::history::journal::texts::Gathering;
use crate::lsn::Place;
use crate::pgoutput::Timestamp;

const LONG: Options = Options { segment: u64::MAX, ..SMALL };

/// The text that stands in the block of this transaction and in no other.
fn text(lsn: u64) -> String {
    let words = ["amber", "basil", "cedar", "delta", "ember", "fjord", "grove", "haste"];
    let nth = |by: u64| words[usize::try_from(lsn / by % 8).unwrap()];
    format!("{} {} \"{}\" no. {}", nth(1), nth(8), nth(64), lsn * 7_919_041)
}

/// A message with that text, and with eight kilobytes, compressed, of numbers that have no grams.
fn block(lsn: u64) -> Block {
    let (mut builder, mut random) = (BlockBuilder::new(epoch(1)), lsn.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let mut number = || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        (random % 1000).to_string()
    };
    let numbers: Vec<String> = (0..6_000).map(|_| number()).collect();
    let message = serde_json::json!({ "prefix": text(lsn), "content": numbers.join(",") });
    let place = Place { commit_lsn: Lsn(lsn), ordinal: 1 };
    let event = NewEvent { kind: Kind::Message, place, table: None, operation: None, actor: None, xid: None, time: Timestamp(0) };
    builder.push(event, |out| serde_json::to_writer(out, &message).unwrap());
    builder.finish()
}

fn append(journal: &mut Journal, lsns: RangeInclusive<u64>) {
    for lsn in lsns {
        journal.append(&block(lsn)).unwrap();
        if lsn % 10 == 0 {
            commit(journal, lsn);
        }
    }
}

/// Where a text stands, and how many blocks are read for that, by who asks as by who follows.
fn ask(archive: &Archive, text: &str) -> (Vec<u64>, usize) {
    let filter = Filter::parse([("text", text), ("kinds", "message")]).unwrap();
    let (mut found, mut read, mut followed) = (Vec::new(), 0, 0);
    let look = |block: Block| {
        read += 1;
        let lsns = block.heads().iter().map(|head| head.place.commit_lsn.0);
        found.extend(lsns.filter(|_| filter.matches(&block) == Matches::All));
        true
    };
    archive.visit((None, None), Order::NewestFirst, |glimpse| glimpse.may_pass(&filter), look).unwrap();
    let follow = |next: Next<'_>| {
        followed += usize::from(matches!(next, Next::Block(_)));
        true
    };
    let wanted = |glimpse: &Glimpse<'_>| glimpse.may_pass(&filter);
    assert_eq!(archive.follow((archive.floor().as_ref(), None), wanted, follow).unwrap(), None);
    assert_eq!(read, followed);
    (found, read)
}

/// Asks for some of the texts of these blocks.
fn are_found(archive: &Archive, lsns: RangeInclusive<u64>, at_most: usize) {
    for lsn in lsns.step_by(37) {
        for text in [text(lsn), text(lsn).to_uppercase(), (lsn * 7_919_041).to_string()] {
            let (found, read) = ask(archive, &text);
            assert!(found.contains(&lsn) && read <= at_most, "{text}: {found:?}, {read} blocks read");
        }
    }
}

/// Blocks of a group, and those that may stand behind the last slice.
const GROUP: usize = 8;
const BEHIND: usize = 8 * GROUP;

#[test]
fn a_question_for_a_text_reads_few_blocks() {
    let dir = TempDir::new().unwrap();
    let (mut journal, _) = open_with(dir.path(), &watched(), LONG).unwrap();
    append(&mut journal, 1..=200);
    are_found(&journal.archive(), 1..=200, BEHIND + 2 * GROUP);
    // Behind the last slice blocks are read.
    let behind = ask(&journal.archive(), "a needle in it").1;
    assert!(behind < BEHIND, "{behind}");
    assert_eq!(ask(&journal.archive(), "bas").1, 200, "of three letters nothing is known");
    let (found, read) = ask(&journal.archive(), "cedar");
    assert!(found.len() > 20 && read < 200, "{}, {read}", found.len());

    // Whoever goes on in the middle of a file gathers what is there.
    drop(journal);
    let (mut journal, _) = open_with(dir.path(), &watched(), LONG).unwrap();
    assert_eq!(ask(&journal.archive(), "a needle in it").1, behind);
    append(&mut journal, 201..=300);
    are_found(&journal.archive(), 1..=300, BEHIND + 2 * GROUP);
    let behind = ask(&journal.archive(), "a needle in it").1;
    drop(journal);

    // The same stands in the file once that is complete.
    let (mut journal, _) = open_with(dir.path(), &watched(), Options { segment: 1, ..LONG }).unwrap();
    commit(&mut journal, 400);
    assert_eq!(segment::numbers(dir.path()).unwrap().len(), 2);
    are_found(&journal.archive(), 1..=300, BEHIND + 2 * GROUP);
    assert_eq!(ask(&journal.archive(), "a needle in it").1, behind);
    are_found(&Found::open(dir.path()).unwrap().archive, 1..=300, BEHIND + 2 * GROUP);
    let report = verify(dir.path()).unwrap();
    assert!(report.faults.is_empty(), "{:?}", report.faults);
}

/// Where the texts stand in a complete file.
fn place(bytes: &[u8]) -> std::ops::Range<usize> {
    let (places, _) =
        bytes.strip_suffix(segment::END).unwrap().split_last_chunk::<24>().map(|(_, places)| places.as_chunks()).unwrap();
    let [texts, counts, _] = *places else { panic!("{places:?}") };
    let at = |place: [u8; 8]| usize::try_from(u64::from_le_bytes(place)).unwrap();
    at(texts)..at(counts)
}

#[test]
fn texts_that_are_damaged_are_not_believed() {
    let dir = TempDir::new().unwrap();
    let (mut journal, _) = open_with(dir.path(), &watched(), Options { segment: 1_300_000, ..SMALL }).unwrap();
    append(&mut journal, 1..=160);
    let numbers = segment::numbers(dir.path()).unwrap();
    assert_eq!(numbers.len(), 2);
    let path = segment::path(dir.path(), numbers[0]);
    let bytes = fs::read(&path).unwrap();
    let texts = place(&bytes);
    assert!(texts.len() > 64 << 10 && texts.len() < bytes.len() / 15, "{texts:?} of {}", bytes.len());
    let (archive, mut all) = (journal.archive(), 0);
    for at in texts.clone().take(frame::FRONT).chain(texts.step_by(997)) {
        let mut changed = bytes.clone();
        changed[at] = !changed[at];
        fs::write(&path, &changed).unwrap();
        let (found, read) = ask(&archive, &text(20));
        assert_eq!(found, [20], "byte {at}");
        all += usize::from(read == 160);
        if at % 10 == 0 {
            assert!(!verify(dir.path()).unwrap().faults.is_empty(), "byte {at}");
        }
    }
    assert!(all >= 5, "where something else is read in its place it was not noticed: {all}");
}

#[test]
fn files_of_older_formats_and_those_that_go_are_no_obstacle() {
    for format in 1..=record::FORMAT {
        let dir = recorded(format);
        let (mut journal, _) = open_with(dir.path(), &watched(), LONG).unwrap();
        let before = events(&journal.archive(), None, Order::OldestFirst).len();
        append(&mut journal, 301..=450);
        let older = if format < record::FORMAT { 2 } else { 0 };
        let read = ask(&journal.archive(), &text(310)).1;
        assert!((2..BEHIND + 2 * GROUP + older).contains(&read), "{format}: {read}");
        assert_eq!(events(&journal.archive(), None, Order::OldestFirst).len(), before + 150);
        drop(journal);
        are_found(&open_with(dir.path(), &watched(), LONG).unwrap().0.archive(), 301..=450, BEHIND + 2 * GROUP + older);
        assert!(verify(dir.path()).unwrap().faults.is_empty(), "{format}");
    }
    let dir = TempDir::new().unwrap();
    let (mut journal, _) = open_with(dir.path(), &watched(), Options { segment: 700_000, ..SMALL }).unwrap();
    append(&mut journal, 1..=200);
    let (archive, numbers) = (journal.archive(), segment::numbers(dir.path()).unwrap());
    fs::remove_file(segment::path(dir.path(), numbers[0])).unwrap();
    let filter = Filter::parse([("text", text(200).as_str()), ("kinds", "message")]).unwrap();
    let mut read = 0;
    let look = |_| {
        read += 1;
        true
    };
    archive.visit((None, None), Order::OldestFirst, |glimpse| glimpse.may_pass(&filter), look).unwrap();
    assert!(read > 0 && numbers.len() > 2, "{read} blocks in {numbers:?}");
}

/// What stands in files: other bytes are another format.
#[test]
fn the_bytes_are_those_that_stand_in_files() {
    let mut gathering = Gathering::default();
    for lsn in 1..=40 {
        gathering.add(30_000, Some(&block(lsn)));
    }
    // Three blocks are a group, eight groups a slice.
    let payload = gathering.texts().payload();
    assert_eq!((payload.len(), crc32fast::hash(&payload)), (2048 * (16 + 4), 2_354_122_525));
    gathering.add(u32::MAX, None);
    (0..2).for_each(|_| gathering.add(u32::MAX, Some(&block(41))));
    let texts = gathering.texts();
    let grams = Filter::parse([("text", text(41).as_str())]).unwrap().grams();
    // The group with the block that cannot be read, and those with what is asked for.
    assert_eq!(texts.groups_with(&grams)[1] & 0b1111_0000, 0b1110_0000);
    assert_eq!(texts.payload().len(), 2048 * (2 * 16 + 4));
}
