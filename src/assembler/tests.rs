//! The assembler against a model: what comes out is what was committed, in commit order, whatever way it came in.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{Assembler, Error, Says, Step, Transaction};
use crate::lsn::{Lsn, Oid, Xid};
use crate::pgoutput::encode::{ColumnsBuf, TupleBuf, encode};
use crate::pgoutput::{
    Begin, Commit, CommitPrepared, Content, Insert, Logical, Message, Prepare, Relation, ReplicaIdentity, RollbackPrepared,
    StreamAbort, StreamCommit, StreamStart, Text, Timestamp, Value,
};

const GID: Text<'static> = Text(b"two phases");

fn assembler(limit: usize) -> Assembler {
    Assembler::new(limit, Box::new(tempfile::tempfile))
}

/// Says what came out of the messages.
fn feed(assembler: &mut Assembler, messages: &[Vec<u8>]) -> Result<Vec<(Xid, Vec<String>)>, Error> {
    let mut out = Vec::new();
    for message in messages {
        match assembler.push(Lsn::ZERO, message)? {
            Step::Transaction(transaction) => {
                let xid = transaction.xid;
                out.push((xid, read(assembler, transaction)?));
            }
            Step::Message(message) => out.push((Xid(0), vec![text(message.content.whole().unwrap())])),
            Step::Pending | Step::Reached(_) => {}
        }
    }
    Ok(out)
}

fn read(assembler: &mut Assembler, mut transaction: Transaction) -> Result<Vec<String>, Error> {
    let mut rows = Vec::new();
    while let Some((_, message)) = transaction.next()? {
        match message {
            Message::Insert(insert) => {
                let Some(Value::Text(value)) = insert.new.iter().next() else { panic!("a column") };
                rows.push(text(value));
            }
            Message::Relation(relation) => rows.push(format!("relation {}", text(relation.name.0))),
            other => panic!("{other:?}"),
        }
    }
    assembler.recycle(transaction);
    Ok(rows)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn insert(subxid: Option<u32>, value: &str) -> Vec<u8> {
    let tuple = TupleBuf::from_iter([Value::Text(value.as_bytes())]);
    encode(&Message::Insert(Insert { xid: subxid.map(Xid), oid: Oid(1), new: tuple.as_tuple() }))
}

fn relation(subxid: Option<u32>, name: &str) -> Vec<u8> {
    let (schema, columns) = (Text(b"public"), ColumnsBuf::from_iter([]));
    let (xid, name, identity) = (subxid.map(Xid), Text(name.as_bytes()), ReplicaIdentity::Default);
    encode(&Message::Relation(Relation { xid, oid: Oid(1), schema, name, identity, columns: columns.as_columns() }))
}

fn commit_at(lsn: u64) -> Commit {
    Commit { commit_lsn: Lsn(lsn), end_lsn: Lsn(lsn + 8), time: Timestamp(0) }
}

fn begin(xid: u32) -> Vec<u8> {
    encode(&Message::Begin(Begin { final_lsn: Lsn(8), time: Timestamp(0), xid: Xid(xid) }))
}

fn commit(lsn: u64) -> Vec<u8> {
    encode(&Message::Commit(commit_at(lsn)))
}

fn start(xid: u32, first: bool) -> Vec<u8> {
    encode(&Message::StreamStart(StreamStart { xid: Xid(xid), first }))
}

fn stop() -> Vec<u8> {
    encode(&Message::StreamStop)
}

fn stream_commit(xid: u32, lsn: u64) -> Vec<u8> {
    encode(&Message::StreamCommit(StreamCommit { xid: Xid(xid), commit: commit_at(lsn) }))
}

fn abort(xid: u32, subxid: u32) -> Vec<u8> {
    encode(&Message::StreamAbort(StreamAbort { xid: Xid(xid), subxid: Xid(subxid), at: None }))
}

fn prepare(xid: u32) -> Prepare<'static> {
    Prepare { prepare_lsn: Lsn(8), end_lsn: Lsn(16), time: Timestamp(0), xid: Xid(xid), gid: GID }
}

/// What one transaction of the model does, in order.
#[derive(Clone, Debug)]
enum Act {
    /// A row, by its n-th sub-transaction or (0) by itself.
    Row { subxid: u32, size: usize },
    /// Its n-th sub-transaction is rolled back, with all that it did so far.
    RollBack { subxid: u32 },
    /// The block ends here, others may have theirs.
    Pause,
}

#[derive(Clone, Debug)]
struct Model {
    acts: Vec<Act>,
    streamed: bool,
    committed: bool,
}

fn any_model() -> impl Strategy<Value = Model> {
    let act = prop_oneof![
        6 => (0_u32..4, 0_usize..600).prop_map(|(subxid, size)| Act::Row { subxid, size }),
        1 => (1_u32..4).prop_map(|subxid| Act::RollBack { subxid }),
        2 => Just(Act::Pause),
    ];
    (proptest::collection::vec(act, 0..40), any::<bool>(), prop::bool::weighted(0.8))
        .prop_map(|(acts, streamed, committed)| Model { acts, streamed, committed })
}

/// The messages of a transaction in groups that others may come between, and what should come out of them.
fn messages(number: u32, model: &Model) -> (Vec<Vec<Vec<u8>>>, Vec<String>) {
    let top = number * 100;
    let mut rows: Vec<(u32, String)> = Vec::new();
    let mut groups: Vec<Vec<Vec<u8>>> = vec![Vec::new()];
    let mut dead = vec![];
    for (place, act) in model.acts.iter().enumerate() {
        let group = groups.last_mut().unwrap();
        match act {
            Act::Row { subxid, size } => {
                // A sub-transaction writes nothing after its rollback.
                let subxid = if dead.contains(subxid) { &0 } else { subxid };
                let value = format!("{number}/{place}/{}", "x".repeat(*size));
                if model.streamed {
                    if group.is_empty() {
                        group.push(start(top, place == 0));
                    }
                    group.push(insert(Some(top + subxid), &value));
                }
                rows.push((*subxid, value));
            }
            Act::RollBack { subxid } => {
                rows.retain(|(by, _)| by != subxid);
                dead.push(*subxid);
                if model.streamed {
                    if !group.is_empty() {
                        group.push(stop());
                    }
                    groups.push(vec![abort(top, top + subxid)]);
                    groups.push(Vec::new());
                }
            }
            Act::Pause => {
                if model.streamed && !group.is_empty() {
                    group.push(stop());
                    groups.push(Vec::new());
                }
            }
        }
    }
    if model.streamed && groups.last().is_some_and(|group| !group.is_empty()) {
        groups.last_mut().unwrap().push(stop());
    }
    let rows: Vec<String> = rows.into_iter().map(|(_, value)| value).collect();
    (groups, rows)
}

proptest! {
    #[test]
    fn committed_transactions_come_out_whole_and_in_order(
        models in proptest::collection::vec(any_model(), 1..6),
        order in proptest::collection::vec(any::<prop::sample::Index>(), 200),
        limit in prop_oneof![Just(0_usize), Just(2000), Just(1 << 20)],
    ) {
        let mut open: BTreeMap<u32, _> = models
            .iter()
            .enumerate()
            .map(|(number, model)| {
                let number = u32::try_from(number).unwrap() + 1;
                let (groups, rows) = messages(number, model);
                (number, (model, groups.into_iter(), rows))
            })
            .collect();
        let mut assembler = assembler(limit);
        let (mut expected, mut actual) = (Vec::new(), Vec::new());
        let mut order = order.into_iter().cycle();
        let mut lsn = 100;
        while !open.is_empty() {
            let numbers: Vec<u32> = open.keys().copied().collect();
            let number = *order.next().unwrap().get(&numbers);
            let (model, groups, rows) = open.get_mut(&number).unwrap();
            let next = if model.streamed { groups.next() } else { None };
            if let Some(group) = next {
                actual.extend(feed(&mut assembler, &group).unwrap());
                continue;
            }
            lsn += 100;
            let end = match (model.streamed, model.committed) {
                (true, true) => vec![stream_commit(number * 100, lsn)],
                (true, false) => vec![abort(number * 100, number * 100)],
                // The server sends nothing at all of a plain transaction that was rolled back.
                (false, false) => vec![],
                (false, true) => {
                    let rows = rows.iter().map(|row| insert(None, row));
                    std::iter::once(begin(number * 100)).chain(rows).chain([commit(lsn)]).collect()
                }
            };
            actual.extend(feed(&mut assembler, &end).unwrap());
            if model.committed {
                expected.push((Xid(number * 100), std::mem::take(rows)));
            }
            open.remove(&number);
        }
        prop_assert_eq!(actual, expected);
        prop_assert_eq!(assembler.memory(), 0);
    }

    #[test]
    fn any_messages_are_taken_or_refused(messages in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 0..20)) {
        let mut assembler = assembler(100);
        for message in &messages {
            drop(assembler.push(Lsn::ZERO, message));
        }
    }
}

#[test]
fn a_relation_outlives_the_rollback_of_its_sub_transaction_but_not_of_its_transaction() {
    let mut assembler = assembler(1 << 20);
    let block = [start(7, true), relation(Some(8), "kept"), insert(Some(8), "gone"), stop(), abort(7, 8)];
    assert_eq!(feed(&mut assembler, &block).unwrap(), []);
    let rest = [start(7, false), insert(Some(7), "row"), stop(), stream_commit(7, 100)];
    assert_eq!(feed(&mut assembler, &rest).unwrap(), [(Xid(7), vec!["relation kept".to_owned(), "row".to_owned()])]);

    let aborted = [start(9, true), relation(Some(9), "gone"), insert(Some(9), "gone"), stop(), abort(9, 9)];
    assert_eq!(feed(&mut assembler, &aborted).unwrap(), []);
    assert_eq!(assembler.memory(), 0);
}

#[test]
fn prepared_transactions_wait_for_what_becomes_of_them() {
    let committed = CommitPrepared { commit: commit_at(100), xid: Xid(7), gid: GID };
    let undone = RollbackPrepared {
        prepare_end_lsn: Lsn(16),
        rollback_end_lsn: Lsn(32),
        prepare_time: Timestamp(0),
        rollback_time: Timestamp(0),
        xid: Xid(7),
        gid: GID,
    };
    let plain = [encode(&Message::BeginPrepare(prepare(7))), insert(None, "row"), encode(&Message::Prepare(prepare(7)))];
    let streamed = [start(7, true), insert(Some(7), "row"), stop(), encode(&Message::StreamPrepare(prepare(7)))];
    for way in [&plain[..], &streamed[..]] {
        let mut assembler = assembler(0);
        assert_eq!(feed(&mut assembler, way).unwrap(), []);
        assert_eq!(feed(&mut assembler, &[begin(8), commit(50)]).unwrap(), [(Xid(8), vec![])]);
        let end = [encode(&Message::CommitPrepared(committed))];
        assert_eq!(feed(&mut assembler, &end).unwrap(), [(Xid(7), vec!["row".to_owned()])]);
        // Prepared before the stream began: not ours to tell.
        assert_eq!(feed(&mut assembler, &end).unwrap(), []);

        assert_eq!(feed(&mut assembler, way).unwrap(), []);
        assert_eq!(feed(&mut assembler, &[encode(&Message::RollbackPrepared(undone))]).unwrap(), []);
        assert_eq!(assembler.memory(), 0);
    }
}

#[test]
fn a_message_outside_of_transactions_comes_at_once_even_within_a_block() {
    let lone = |xid| {
        let (lsn, prefix, content) = (Lsn(1), Text(b"p"), Content::Whole(b"now"));
        encode(&Message::Logical(Logical { xid, transactional: false, lsn, prefix, content }))
    };
    let mut assembler = assembler(1 << 20);
    let messages = [lone(None), start(7, true), insert(Some(7), "row"), lone(Some(Xid(0))), stop(), stream_commit(7, 100)];
    let now = || (Xid(0), vec!["now".to_owned()]);
    assert_eq!(feed(&mut assembler, &messages).unwrap(), [now(), now(), (Xid(7), vec!["row".to_owned()])]);
}

#[test]
fn memory_stays_under_the_limit_and_nothing_is_lost() {
    let limit = 1 << 20;
    let mut assembler = assembler(limit);
    let rows: Vec<String> = (0..40_000).map(|n| format!("{n:0100}")).collect();
    assembler.push(Lsn::ZERO, &start(7, true)).unwrap();
    for row in &rows {
        assembler.push(Lsn::ZERO, &insert(Some(7), row)).unwrap();
        assert!(assembler.memory() <= limit + (512 << 10), "{}", assembler.memory());
    }
    assert!(assembler.spilled() > 1);
    let end = [stop(), stream_commit(7, 100)];
    assert_eq!(feed(&mut assembler, &end).unwrap(), [(Xid(7), rows)]);
}

#[test]
fn messages_out_of_place_are_refused() {
    for messages in [
        vec![insert(None, "row")],
        vec![commit(1)],
        vec![begin(7), begin(8)],
        vec![begin(7), stop()],
        vec![start(7, true), start(8, true)],
        vec![start(7, true), commit(1)],
    ] {
        let error = feed(&mut assembler(1 << 20), &messages).unwrap_err();
        assert!(matches!(error, Error::OutOfPlace { .. }), "{error}");
    }
}

/// Notes are known before the transaction is read, with their places, wherever it was kept meanwhile.
#[test]
fn what_is_noted_is_known_beforehand() {
    let say = |lsn, prefix: &'static str, content: &'static str| {
        let (xid, prefix, content) = (Some(Xid(100)), Text(prefix.as_bytes()), Content::Whole(content.as_bytes()));
        encode(&Message::Logical(Logical { xid, transactional: true, lsn: Lsn(lsn), prefix, content }))
    };
    for limit in [0, 1 << 20] {
        let mut assembler = assembler(limit).noting(&[b"who"], Box::new(|_, _, _| Says::Something));
        let messages = [
            start(100, true),
            relation(Some(100), "t"),
            say(20, "who", "first"),
            say(30, "else", "not noted"),
            insert(Some(101), "rolled back"),
            say(35, "who", "rolled back"),
            stop(),
            abort(100, 101),
            start(100, false),
            insert(Some(100), "row"),
            say(40, "who", "second"),
            stop(),
        ];
        assert_eq!(feed(&mut assembler, &messages).unwrap(), []);
        assert_eq!(assembler.running().map(|running| (running.xid, running.notes.len())).collect::<Vec<_>>(), [(Xid(100), 2)]);
        let commit = stream_commit(100, 8);
        let Ok(Step::Transaction(mut transaction)) = assembler.push(Lsn::ZERO, &commit) else { panic!("a transaction") };
        let notes: Vec<_> = transaction.notes().iter().map(|note| (note.at, text(note.content.as_deref().unwrap()))).collect();
        assert_eq!(notes, [(19, "first".to_owned()), (39, "second".to_owned())]);
        let mut read = Vec::new();
        while let Some((place, message)) = transaction.next().unwrap() {
            let content = if let Message::Logical(message) = message { text(message.content.whole().unwrap()) } else { continue };
            read.push((place, content));
        }
        assert_eq!(read, [(19, "first".to_owned()), (29, "not noted".to_owned()), (39, "second".to_owned())]);
        assert_eq!(assembler.take_ended(), [(Xid(100), super::End::Committed)]);
        assert!(!assembler.streams());
    }
}

/// The server merges sub-transactions by position, and that of a message is where its record ends.
#[test]
fn what_directly_follows_a_message_is_not_what_it_is_about_though_it_came_before() {
    let said = |lsn| {
        let (prefix, content) = (Text(b"who"), Content::Whole(b"x"));
        encode(&Message::Logical(Logical { xid: None, transactional: true, lsn: Lsn(lsn), prefix, content }))
    };
    let mut assembler = assembler(1 << 20).noting(&[b"who"], Box::new(|_, _, _| Says::Something));
    let mut take = |lsn, message: &[u8]| match assembler.push(Lsn(lsn), message).unwrap() {
        Step::Transaction(transaction) => Some(transaction),
        _ => None,
    };
    take(5, &begin(7));
    take(0, &relation(None, "t"));
    // Several rows of one record.
    for lsn in [10, 29, 30, 30, 30] {
        take(lsn, &insert(None, "row"));
    }
    take(30, &said(30));
    take(40, &insert(None, "row"));
    let mut transaction = take(50, &commit(50)).unwrap();
    let about = transaction.notes().iter().map(|note| note.at).collect::<Vec<_>>();
    let mut places = Vec::new();
    while let Some((place, message)) = transaction.next().unwrap() {
        places.extend(matches!(message, Message::Insert(_)).then_some(place));
    }
    assert_eq!((about, places), (vec![29], vec![10, 29, 30, 30, 30, 40]));
}

/// Of a message in a stream the server says only the top-level transaction.
#[test]
fn a_message_is_rolled_back_with_what_it_is_about() {
    let reads = |_, _: &[u8], content: &[u8]| if content == b"of 103" { Says::Within(Xid(103)) } else { Says::Something };
    let mut assembler = assembler(1 << 20).noting(&[b"who"], Box::new(reads));
    let said = |lsn, content: &'static str| {
        let (xid, prefix, content) = (Some(Xid(100)), Text(b"who"), Content::Whole(content.as_bytes()));
        (lsn, encode(&Message::Logical(Logical { xid, transactional: true, lsn: Lsn(lsn), prefix, content })))
    };
    let row = |lsn, subxid| (lsn, insert(Some(subxid), "row"));
    let messages = [
        (0, start(100, true)),
        (0, relation(Some(100), "t")),
        row(10, 100),
        said(20, "of 100"),
        row(21, 101),
        // This one is sent first, though the message was written before it.
        row(30, 102),
        said(30, "of 101"),
        said(40, "of 102"),
        said(50, "of 103"),
        (0, stop()),
        (0, abort(100, 101)),
        (0, abort(100, 103)),
        (0, start(100, false)),
        said(60, "of 102 or 100"),
        row(61, 104),
        (0, stop()),
        (0, abort(100, 104)),
        (0, start(100, false)),
        said(70, "of nobody knows what"),
        (0, stop()),
    ];
    for (lsn, message) in &messages {
        assembler.push(Lsn(*lsn), message).unwrap();
    }
    let Ok(Step::Transaction(mut transaction)) = assembler.push(Lsn::ZERO, &stream_commit(100, 80)) else {
        panic!("a transaction")
    };
    let noted: Vec<_> = transaction.notes().iter().map(|note| text(note.content.as_deref().unwrap())).collect();
    assert_eq!(noted, ["of 100", "of 102", "of 102 or 100", "of nobody knows what"]);
    let mut read = Vec::new();
    while let Some((_, message)) = transaction.next().unwrap() {
        read.extend(if let Message::Logical(message) = message { message.content.whole().map(text) } else { None });
    }
    assert_eq!(read, noted);
}
