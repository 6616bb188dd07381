//! Questions while things are on their way: from memory to the disk, and a transaction into memory.

use std::thread;
use std::time::Duration;

use super::*;
use crate::history::journal::{Journal, JournalError, Mark, Opened, Options, Watched};

/// A history that is recorded, and the end that writes, by hand.
fn recorded_in(dir: &tempfile::TempDir) -> (Journal, Writer, History) {
    let watched = Watched { system_identifier: "7300000000000000001".into(), database: Oid(16384), name: "app".into() };
    let journal = Opened::open(dir.path(), Options::default()).unwrap().0.begin(&watched).unwrap();
    let (mut writer, history) = recorded(8_000, journal.archive());
    writer.begin_epoch(epoch(0), Lsn(0), None);
    (journal, writer, history)
}

fn mark(position: u64) -> Mark {
    let (position, epoch) = (Lsn(position), epoch(0));
    let (tables, gone) = (Vec::new(), Vec::new());
    Mark { position, epoch, timeline: 1, time: 0, told_by: None, tables, gone, whole: false }
}

/// All that is answered, page by page, and what was said of the rest.
fn pages(history: &History, order: Order) -> (Vec<EventId>, Option<JournalError>) {
    let mut query = Query { order, ..Query::new(everything(), 3) };
    let mut all = Vec::new();
    loop {
        let page = history.query(&query);
        let id = |json: &bytes::Bytes| -> EventId {
            let event: serde_json::Value = serde_json::from_slice(json).unwrap();
            event["id"].as_str().unwrap().parse().unwrap()
        };
        all.extend(page.events.iter().map(id));
        let Some(next) = page.next else { return (all, page.unread) };
        match order {
            Order::NewestFirst => query.before = Some(next),
            Order::OldestFirst => query.after = Some(next),
        }
    }
}

#[test]
fn what_is_neither_in_memory_nor_on_disk_yet_is_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let (mut journal, mut writer, history) = recorded_in(&dir);
    let mut expected = Vec::new();
    for lsn in 1..=60 {
        let block = whole(&epoch(0), lsn, 2, 100);
        expected.extend(block.heads().iter().map(|head| block.id(head)));
        journal.append(&block).unwrap();
        if lsn == 20 {
            journal.commit(mark(21)).unwrap();
        }
        writer.append(block);
    }
    assert!(history.usage().evicted_blocks > 30, "{:?}", history.usage());
    for order in [Order::NewestFirst, Order::OldestFirst] {
        let (found, unread) = pages(&history, order);
        assert!(matches!(unread, Some(JournalError::Unwritten)), "{unread:?}");
        assert!(!found.is_empty() && found.len() < expected.len());
    }
    let writes = thread::spawn(move || {
        thread::sleep(Duration::from_millis(50));
        journal.commit(mark(61)).unwrap();
        journal
    });
    let (mut found, unread) = pages(&history, Order::NewestFirst);
    found.reverse();
    assert!(unread.is_none() && found == expected);
    let (found, unread) = pages(&history, Order::OldestFirst);
    assert!(unread.is_none() && found == expected);
    drop(writes.join().unwrap());
}

#[test]
fn a_transaction_is_seen_once_it_is_whole() {
    let dir = tempfile::tempdir().unwrap();
    let (mut journal, mut writer, history) = recorded_in(&dir);
    let mut come = |block: Block| {
        journal.append(&block).unwrap();
        if !block.is_open() {
            journal.commit(mark(block.heads().last().unwrap().place.commit_lsn.0 + 1)).unwrap();
        }
        writer.append(block);
    };
    come(whole(&epoch(0), 1, 2, 100));
    // More than memory holds.
    for part_of in 0..40 {
        let first = part_of * 3 + 1;
        come(part(&epoch(0), 2, first..=first + 2, 120, 100));
        for order in [Order::NewestFirst, Order::OldestFirst] {
            let (found, unread) = pages(&history, order);
            assert!(unread.is_none() && found.len() == 3 && found.iter().all(|id| id.place.commit_lsn == Lsn(1)), "{found:?}");
        }
    }
    assert!(history.usage().evicted_blocks > 10, "{:?}", history.usage());
    come(part(&epoch(0), 2, 121..=121, 120, 100));
    for order in [Order::NewestFirst, Order::OldestFirst] {
        assert_eq!(pages(&history, order).0.len(), 3 + 121);
    }
}
