//! What a reader is promised, case by case.

use futures_util::FutureExt;

use super::*;
use crate::event::Gap;
use crate::lsn::TransactionId;

#[test]
fn a_live_reader_gets_what_comes_and_nothing_older() {
    let (mut writer, history, epoch) = begun(1 << 20);
    writer.append(whole(&epoch, 1, 2, 10));
    let mut reader = history.read_from(Start::Live);
    assert!(reader.ready().now_or_never().is_none());
    assert!(matches!(reader.read(&everything(), 1000), Read::Nothing));
    assert_eq!(writer.append(whole(&epoch, 2, 1, 10)), 2);
    assert!(reader.ready().now_or_never().is_some());
    assert_eq!(drain(&mut reader), [Ok(id(&epoch, 2, 1)), Ok(id(&epoch, 2, 2))]);
    assert_eq!(reader.last(), Some(&id(&epoch, 2, 2)));
    assert_eq!((reader.position(), history.position()), (2, 2));
}

#[test]
fn a_live_reader_gets_a_transaction_whole_that_is_arriving() {
    let (mut writer, history, epoch) = begun(1 << 20);
    let mut builder = BlockBuilder::new(epoch.clone());
    transaction(&mut builder, 1, 1..=3, 2, 10);
    transaction(&mut builder, 2, 1..=2, 5, 10);
    writer.append(builder.finish_open());
    let mut early = history.read_from(Start::Live);
    writer.append(part(&epoch, 2, 3..=4, 5, 10));
    let mut late = history.read_from(Start::Live);
    assert_eq!(late.last(), Some(&id(&epoch, 1, 3)));
    assert_eq!(history.transaction(&"k3-0-2".parse().unwrap()), TransactionLookup::Unknown);
    let arriving = TransactionId { epoch: epoch.clone(), commit_lsn: Lsn(2) };
    assert_eq!(history.transaction(&arriving), TransactionLookup::Arriving);
    writer.append(part(&epoch, 2, 5..=6, 5, 10));
    let whole: Vec<_> = (1..=6).map(|ordinal| Ok(id(&epoch, 2, ordinal))).collect();
    assert_eq!(drain(&mut early), whole);
    assert_eq!(drain(&mut late), whole);
    let TransactionLookup::Whole(events) = history.transaction(&arriving) else { panic!() };
    assert_eq!(events.len(), 6);
    assert!(drain(&mut history.read_from(Start::Live)).is_empty(), "it is complete");
}

#[test]
fn reading_on_after_a_gap_or_its_end_loses_nothing_more() {
    let (mut writer, history, epoch) = begun(8 << 10);
    let mut reader = history.read_from(Start::Live);
    for lsn in 1..100 {
        writer.append(whole(&epoch, lsn, 1, 500));
    }
    let oldest = history.oldest().unwrap();
    let floor = id(&epoch, oldest.place.commit_lsn.0 - 1, 2);
    let got = drain(&mut reader);
    let gap = Gap { from: Some(id(&epoch, 0, 0)), to: floor.clone(), reason: GapReason::Evicted };
    assert_eq!(got[..2], [Err(gap), Ok(oldest.clone())]);
    assert_eq!(drain(&mut history.read_from(Start::After(floor.clone())))[..], got[1..]);
    assert_eq!(drain(&mut history.read_from(Start::Oldest))[..], got[1..]);
    let before = id(&epoch, floor.place.commit_lsn.0, 1);
    let again = drain(&mut history.read_from(Start::After(before.clone())));
    assert_eq!(again[0], Err(Gap { from: Some(before), to: floor, reason: GapReason::Evicted }));
}

#[test]
fn a_new_epoch_is_a_gap_for_everybody_even_if_only_commits_are_asked_for() {
    let (mut writer, history, first) = begun(1 << 20);
    writer.append(whole(&first, 5, 1, 10));
    let mut reader = history.read_from(Start::Live);
    let second = epoch(1);
    writer.begin_epoch(second.clone(), Lsn(3), Some(GapReason::SlotLost));
    writer.append(whole(&second, 4, 1, 10));
    let commits = Arc::new(filter(&[("kinds", "commit")]));
    let Read::Events(batch) = reader.read(&commits, 1000) else { panic!() };
    let events: Vec<_> = batch.iter().collect();
    let gap = format!(r#"{{"type":"gap","from":"{first}.0-5.2","to":"{second}.0-3.0","reason":"slot_lost"}}"#);
    assert_eq!(std::str::from_utf8(events[0].bytes()), Ok(gap.as_str()));
    assert_eq!(events[0].id(), id(&second, 3, 0));
    assert_eq!(events[1].id(), id(&second, 4, 2));
    assert_eq!(events.len(), 2);
    assert_eq!(batch.last(), Some(id(&second, 4, 2)));
    // Whoever comes back with what it last saw of the first epoch is told the same.
    let resumed = drain(&mut history.read_from(Start::After(id(&first, 5, 2))));
    assert_eq!(resumed[0], Ok(id(&second, 3, 0)));
    // And whoever saw the gap is not told again.
    assert_eq!(drain(&mut history.read_from(Start::After(id(&second, 3, 0))))[0], Ok(id(&second, 4, 1)));
}

#[test]
fn an_id_of_another_process_is_a_gap_as_soon_as_the_stream_is_held() {
    let (mut writer, history) = ring(1 << 20);
    let old = id(&"0old".parse().unwrap(), 77, 3);
    let mut reader = history.read_from(Start::After(old.clone()));
    assert!(matches!(reader.read(&everything(), 1000), Read::Nothing));
    assert!(reader.ready().now_or_never().is_none());
    writer.begin_epoch(epoch(0), Lsn(9), None);
    assert!(reader.ready().now_or_never().is_some(), "nothing has come yet, but the gap is known");
    let gap = Gap { from: Some(old.clone()), to: id(&epoch(0), 9, 0), reason: GapReason::Restart };
    assert_eq!(drain(&mut reader), [Err(gap.clone())]);
    assert_eq!(drain(&mut history.read_from(Start::After(old))), [Err(gap)]);
}

#[test]
fn a_reader_of_an_evicted_epoch_is_told_what_happened() {
    let (mut writer, history, first) = begun(8 << 10);
    writer.append(whole(&first, 1, 1, 100));
    writer.begin_epoch(epoch(1), Lsn(2), Some(GapReason::SlotLost));
    for lsn in 3..100 {
        writer.append(whole(&epoch(1), lsn, 1, 500));
    }
    let told = drain(&mut history.read_from(Start::After(id(&first, 1, 1))));
    assert!(matches!(&told[0], Err(Gap { reason: GapReason::Evicted, to, .. }) if to.epoch == epoch(1)), "{:?}", told[0]);
    let gone = TransactionId { epoch: first, commit_lsn: Lsn(1) };
    assert_eq!(history.transaction(&gone), TransactionLookup::NoLongerKept);
}

#[test]
fn a_block_larger_than_the_ring_is_a_gap_and_not_more_memory() {
    let (mut writer, history, epoch) = begun(4 << 10);
    let mut reader = history.read_from(Start::Live);
    writer.append(whole(&epoch, 1, 1, 10));
    writer.append(whole(&epoch, 2, 1, 100_000));
    assert_eq!((history.usage().bytes, history.usage().blocks), (0, 0));
    let gap = Gap { from: Some(id(&epoch, 0, 0)), to: id(&epoch, 2, 2), reason: GapReason::Evicted };
    assert_eq!(drain(&mut reader), [Err(gap)]);
    writer.append(whole(&epoch, 3, 1, 10));
    assert_eq!(drain(&mut reader), [Ok(id(&epoch, 3, 1)), Ok(id(&epoch, 3, 2))]);
    assert_eq!(history.transaction(&TransactionId { epoch, commit_lsn: Lsn(2) }), TransactionLookup::NoLongerKept);
}

#[test]
fn of_a_transaction_whose_beginning_is_gone_the_rest_is_given_as_such() {
    let (mut writer, history, epoch) = begun(8 << 10);
    for first in (1..=40).step_by(2) {
        writer.append(part(&epoch, 1, first..=first + 1, 39, 300));
    }
    let TransactionLookup::PartlyKept { events, first_ordinal } =
        history.transaction(&TransactionId { epoch: epoch.clone(), commit_lsn: Lsn(1) })
    else {
        panic!()
    };
    assert!(first_ordinal > 1 && events.len() as u64 == 41 - first_ordinal);
    assert_eq!(history.oldest(), Some(id(&epoch, 1, first_ordinal)));
    assert_eq!(history.transaction(&TransactionId { epoch, commit_lsn: Lsn(7) }), TransactionLookup::Unknown);
}

#[test]
fn a_transaction_that_was_given_up_on_its_way_is_not_whole() {
    let (mut writer, history, first) = begun(1 << 20);
    writer.append(part(&first, 1, 1..=3, 9, 10));
    let id = TransactionId { epoch: first, commit_lsn: Lsn(1) };
    assert_eq!(history.transaction(&id), TransactionLookup::Arriving);
    writer.begin_epoch(epoch(1), Lsn(5), Some(GapReason::WalBudget));
    let TransactionLookup::PartlyKept { events, first_ordinal } = history.transaction(&id) else { panic!() };
    assert_eq!((events.len(), first_ordinal), (3, 1));
}

#[test]
fn one_read_is_bounded_in_bytes_but_gives_at_least_one_event() {
    let (mut writer, history, epoch) = begun(1 << 20);
    writer.append(whole(&epoch, 1, 9, 1000));
    writer.append(whole(&epoch, 2, 9, 1000));
    let mut reader = history.read_from(Start::Oldest);
    let (mut sizes, filter) = (Vec::new(), everything());
    while let Read::Events(batch) = reader.read(&filter, 3500) {
        assert_eq!(batch.bytes(), batch.iter().map(|event| event.json().len()).sum::<usize>());
        sizes.push(batch.len());
    }
    assert_eq!(sizes, [3, 3, 3, 3, 3, 3, 2]);
    let mut reader = history.read_from(Start::Oldest);
    let Read::Events(batch) = reader.read(&filter, 0) else { panic!() };
    assert_eq!(batch.len(), 1);
}

#[tokio::test]
async fn a_filter_that_nothing_passes_does_not_keep_others_from_running() {
    let (mut writer, history, epoch) = begun(16 << 20);
    for lsn in 1..80 {
        writer.append(whole(&epoch, lsn, 100, 1000));
    }
    let other = tokio::spawn(async {});
    let (mut reader, nothing) = (history.read_from(Start::Oldest), Arc::new(filter(&[("table", "none"), ("kinds", "change")])));
    let mut reads = 0;
    while !other.is_finished() {
        reader.ready().await;
        assert!(matches!(reader.read(&nothing, 1000), Read::Nothing));
        reads += 1;
    }
    assert!(reader.position() < history.position(), "it has not looked through everything at once, but {reads} times");
}

#[test]
fn reading_up_to_a_block_leaves_the_rest() {
    let (mut writer, history, epoch) = begun(1 << 20);
    for lsn in 1..=3 {
        writer.append(whole(&epoch, lsn, 0, 10));
    }
    let mut reader = history.read_from(Start::Oldest);
    let Read::Events(batch) = reader.read_until(2, &everything(), 1 << 20) else { panic!() };
    assert_eq!((batch.last(), reader.position()), (Some(id(&epoch, 2, 1)), 2));
    assert!(matches!(reader.read_until(2, &everything(), 1 << 20), Read::Nothing));
    assert_eq!(drain(&mut reader), [Ok(id(&epoch, 3, 1))]);
}

#[tokio::test]
async fn waiting_may_be_given_up_and_taken_up_again() {
    let (mut writer, history, epoch) = begun(1 << 20);
    let mut reader = history.read_from(Start::Live);
    for lsn in 1..100 {
        assert!(reader.ready().now_or_never().is_none());
        writer.append(whole(&epoch, lsn, 0, 10));
        reader.ready().await;
        assert_eq!(drain(&mut reader).len(), 1);
    }
}

#[test]
fn nothing_that_is_shown_shows_a_value() {
    let (mut writer, history, epoch) = begun(1 << 20);
    let block = whole(&epoch, 1, 1, 10);
    let shown = format!("{block:?}");
    writer.append(block);
    let Read::Events(batch) = history.read_from(Start::Oldest).read(&everything(), 1000) else { panic!() };
    let shown = format!("{shown}{batch:?}{:?}", batch.iter().next());
    assert!(!shown.contains("xxx") && !shown.contains("new"), "{shown}");
}
