//! What is read of the history, and what is said of that which cannot be read any more.

use super::super::changes as read_changes;
use super::super::reading::Reading;
use super::*;
use crate::event::{self, Block, BlockBuilder, GapReason, NewEvent};
use crate::history::{self, Writer};
use crate::lsn::{Epoch, Xid};
use crate::pgoutput::Timestamp;
use crate::undo::Schema;
use crate::undo::schema::{self, Column, Key};
use rustc_hash::FxHashMap;

const TABLE: Oid = Oid(7);

fn schema() -> Schema {
    let column = Column { name: "id".to_owned(), number: 1, type_name: "integer".to_owned(), ..Column::default() };
    let key = Key { columns: vec![0], operators: vec!["=".to_owned()], identifies: true, is_deferrable: false };
    let table = schema::Table { oid: TABLE, columns: vec![column], keys: vec![key], ..Default::default() };
    let mut schema = Schema::default();
    schema.tables.insert(TABLE, table);
    schema.roots.insert(TABLE, TABLE);
    schema
}

/// The transaction at `lsn` deletes the rows with these ids; so many first events of it are left out.
fn deletes(epoch: &Epoch, lsn: u64, ids: std::ops::RangeInclusive<u64>, left_out: usize) -> Block {
    told(epoch, lsn, ids, left_out, true)
}

/// The same, with or without its end.
fn told(epoch: &Epoch, lsn: u64, ids: std::ops::RangeInclusive<u64>, left_out: usize, ends: bool) -> Block {
    let mut builder = BlockBuilder::new(epoch.clone());
    let named = Arc::new(TableName { oid: TABLE, schema: "public".into(), name: "t".into() });
    let (count, tx) = (ids.clone().count() as u64, format!(r#""id":"{epoch}-0-{lsn:X}","xid":1,"lsn":"0/{lsn:X}","time":"""#));
    let event = |kind, ordinal| NewEvent {
        kind,
        place: Place { commit_lsn: Lsn(lsn), ordinal },
        table: None,
        operation: None,
        actor: None,
        xid: Some(Xid(1)),
        time: Timestamp(0),
    };
    for (ordinal, id) in (1..).zip(ids).skip(left_out) {
        let table = builder.table(&named);
        let delete = NewEvent { table: Some(table), operation: Some(Operation::Delete), ..event(event::Kind::Change, ordinal) };
        let fill = " ".repeat(1000);
        builder.push(delete, |out| {
            let text = format!(r#"{{"type":"change","id":"{epoch}.0-{lsn:X}.{ordinal}","op":"delete","schema":"public","table":"t","oid":7,"tx":{{{tx},"ordinal":{ordinal}}},"key":null,"old":{{"id":{id}}},"new":null,"old_complete":true,"unchanged":[],"count":null{fill}}}"#);
            out.extend_from_slice(text.as_bytes());
        });
    }
    if !ends {
        return builder.finish_open();
    }
    builder.push(event(event::Kind::Commit, count + 1), |out| {
        let text = format!(r#"{{"type":"commit","id":"{epoch}.0-{lsn:X}.{}","tx":{{{tx},"ordinal":{}}},"tables":[{{"oid":7,"schema":"public","name":"t","inserts":0,"updates":0,"deletes":{count},"truncates":0}}]}}"#, count + 1, count + 1);
        out.extend_from_slice(text.as_bytes());
    });
    builder.finish()
}

fn begun(limit: usize) -> (Writer, History, Epoch) {
    let (mut writer, history) = history::ring(limit);
    let epoch = Epoch::at_millis(1_700_000_000_000);
    writer.begin_epoch(epoch.clone(), Lsn(0), None);
    (writer, history, epoch)
}

fn scope(history: &History, lsn: u64) -> Scope {
    let filter = history.intern(Filter::parse([("kinds", "change,commit,ddl")]).unwrap());
    let (since, until) = (Some(Bound::Lsn(Lsn(lsn))), Some(behind(Lsn(lsn))));
    let range = Query { since, until, order: Order::OldestFirst, ..Query::new(filter, usize::MAX) };
    let first = history.first(&range);
    let begins_within = first.as_ref().filter(|first| !history.keeps(&transaction(first))).map(transaction);
    let (subject, reach) = (Subject::default(), String::new());
    Scope { subject, start: first.map(before), range, begins_within, tables: vec![TABLE], changed: Vec::new(), reach }
}

#[test]
fn what_goes_while_it_is_read_is_said() {
    let (mut writer, history, epoch) = begun(64 << 10);
    let schema = schema();
    writer.append(deletes(&epoch, 1, 1..=9, 0));
    writer.append(deletes(&epoch, 2, 100..=109, 0));
    writer.append(deletes(&epoch, 3, 9..=9, 0));
    let scope = scope(&history, 1);
    // All of it is there.
    let mut reading = Reading::begin(&history, &scope, &schema, FxHashMap::default());
    let undone = reading.undone().unwrap();
    let changes = read_changes(&undone.changes).unwrap();
    let later = reading.later(&changes, &[], &schema).unwrap();
    assert_eq!((changes.len(), later.changes.len(), later.gaps.len()), (9, 1, 0));
    assert_eq!(scope.subject(&undone, &changes).unwrap().warnings, Vec::<String>::new());
    // It is there when it is found, and gone when it is read.
    let mut reading = Reading::begin(&history, &scope, &schema, FxHashMap::default());
    for lsn in 4..20 {
        writer.append(deletes(&epoch, lsn, 1000..=1010, 0));
    }
    let undone = reading.undone().unwrap();
    assert_eq!((undone.changes.len(), undone.gaps.len()), (0, 1));
    assert_eq!(scope.subject(&undone, &[]).unwrap().warnings.len(), 1);
    // It is gone before anybody began, and nothing else is there.
    writer.append(deletes(&epoch, 20, 1..=100, 0));
    let undone = Reading::begin(&history, &scope, &schema, FxHashMap::default()).undone().unwrap();
    assert_eq!((history.usage().blocks, undone.changes.len(), undone.gaps.len()), (0, 0, 1));
}

#[test]
fn what_goes_of_what_came_later_is_said() {
    let (mut writer, history, epoch) = begun(4 << 20);
    let schema = schema();
    let others = |writer: &mut Writer, transactions: std::ops::Range<u64>| {
        transactions.for_each(|lsn| _ = writer.append(deletes(&epoch, lsn, 1000..=1010, 0)));
    };
    writer.append(deletes(&epoch, 1, 1..=9, 0));
    // More than is looked at together.
    others(&mut writer, 2..250);
    let scope = scope(&history, 1);
    let mut reading = Reading::begin(&history, &scope, &schema, FxHashMap::default());
    let undone = reading.undone().unwrap();
    let changes = read_changes(&undone.changes).unwrap();
    assert_eq!((undone.changes.len(), undone.gaps.len()), (9, 0));
    others(&mut writer, 250..700);
    assert_eq!(reading.later(&changes, &[], &schema).unwrap().gaps.len(), 1);
}

#[test]
fn of_a_transaction_whose_beginning_is_gone_the_commit_tells_how_much_is_lost() {
    let (mut writer, history, epoch) = begun(64 << 10);
    // Of nine changes, seven are kept.
    writer.append(deletes(&epoch, 1, 1..=9, 2));
    let scope = scope(&history, 1);
    let schema = schema();
    let undone = Reading::begin(&history, &scope, &schema, FxHashMap::default()).undone().unwrap();
    let changes = read_changes(&undone.changes).unwrap();
    let subject = scope.subject(&undone, &changes).unwrap();
    assert_eq!((changes.len(), subject.lost, subject.warnings.len()), (7, Some(2), 1));
}

#[test]
fn of_a_transaction_without_an_end_it_is_said_that_more_may_have_been_changed() {
    let (mut writer, history, epoch) = begun(1 << 20);
    writer.append(told(&epoch, 1, 1..=3, 0, false));
    writer.begin_epoch(Epoch::at_millis(1_800_000_000_000), Lsn(9), Some(GapReason::WalBudget));
    let scope = scope(&history, 1);
    let undone = Reading::begin(&history, &scope, &schema(), FxHashMap::default()).undone().unwrap();
    let changes = read_changes(&undone.changes).unwrap();
    let subject = scope.subject(&undone, &changes).unwrap();
    assert_eq!((changes.len(), subject.lost, subject.warnings.len()), (3, None, 1));
}
