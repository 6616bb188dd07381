//! Changes and notices → JSON, once, into a [`BlockBuilder`].
//!
//! Everything that is the same for all events of a transaction, or of a table, is made beforehand; what is left for a change is to copy
//! a few pieces and the values. It allocates nothing as long as the text is UTF-8 and holds no array with escapes.
//!
//! Ordinals: every event of a transaction takes the next one from 1, its `commit` the last.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::actor::{ActorIndex, Attribution};
use super::block::{BlockBuilder, Kind, NewEvent, Operation, Operations, TableName, Touched};
use super::json;
use super::relation::Relation;
use super::rows::Rows;
use super::time::rfc3339;
use super::value;
use crate::encoding::Encoding;
use crate::lsn::{Epoch, EventId, Lsn, Place, TransactionId, Xid};
use crate::pgoutput::{Content, Old, Row, Timestamp, Tuple};

/// The transaction that the next events belong to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransactionHead {
    /// The unbroken stretch of stream.
    pub epoch: Epoch,
    /// Top-level transaction id.
    pub xid: Xid,
    /// Where the commit record stands.
    pub commit_lsn: Lsn,
    /// When it was committed.
    pub time: Timestamp,
}

/// What a transaction did to one table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableTotals {
    /// The table.
    pub table: Arc<TableName>,
    /// Rows inserted.
    pub inserts: u64,
    /// Rows updated.
    pub updates: u64,
    /// Rows deleted, not counting those lost by a truncate.
    pub deletes: u64,
    /// Times truncated.
    pub truncates: u64,
    /// Rows after the transaction; `None` unless exact.
    pub count: Option<i64>,
}

impl TableTotals {
    fn operations(&self) -> Operations {
        let Self { inserts, updates, deletes, truncates, .. } = *self;
        let done = [inserts, updates, deletes, truncates];
        Operations::EACH.into_iter().zip(done).filter(|(_, times)| *times > 0).map(|(operation, _)| operation).collect()
    }
}

/// A table or the publication was altered.
#[derive(Clone, Copy, Debug)]
pub struct Ddl<'a> {
    /// The command's tag, as in `ALTER TABLE`.
    pub command: &'a str,
    /// What it altered, quoted as SQL wants it.
    pub object: Option<&'a str>,
    /// The statement, if it is known.
    pub sql: Option<&'a str>,
    /// The table, if it is one.
    pub table: Option<&'a Arc<TableName>>,
}

/// Writes events; one for a stream, used again and again.
#[derive(Debug)]
pub struct Encoder {
    encoding: Encoding,
    transaction: Transaction,
    rows: Rows,
}

/// The pieces of JSON that all events of a transaction share.
#[derive(Debug, Default)]
struct Transaction {
    xid: Xid,
    time: Timestamp,
    place: Place,
    changes: u64,
    /// `"id":"` and the id up to its ordinal.
    id: Vec<u8>,
    /// `"tx":{` up to the ordinal.
    tx: Vec<u8>,
    /// Who does it.
    attribution: Attribution,
    /// Which of its stretches the next events belong to.
    stretch: usize,
    /// Which of them did something first. A message that nothing belongs to, as a forged one would be, is not who did it.
    first: Option<usize>,
}

impl Encoder {
    /// An encoder for a database of this encoding.
    pub fn new(encoding: Encoding) -> Self {
        Self { encoding, transaction: Transaction::default(), rows: Rows::new(encoding) }
    }

    /// The events from here on belong to this transaction.
    pub fn begin(&mut self, head: &TransactionHead) {
        let TransactionHead { epoch, xid, commit_lsn, time } = head;
        let transaction = &mut self.transaction;
        transaction.xid = *xid;
        transaction.time = *time;
        transaction.place = Place { commit_lsn: *commit_lsn, ordinal: 0 };
        transaction.changes = 0;
        transaction.attribution = Attribution::default();
        transaction.stretch = 0;
        transaction.first = None;
        let any = EventId { epoch: epoch.clone(), place: transaction.place }.to_string();
        let id = TransactionId { epoch: epoch.clone(), commit_lsn: *commit_lsn };
        transaction.id.clear();
        transaction.id.extend_from_slice(b"\"id\":\"");
        transaction.id.extend_from_slice(any.trim_end_matches('0').as_bytes());
        transaction.tx.clear();
        let tx = format!(r#""tx":{{"id":"{id}","xid":{xid},"lsn":"{commit_lsn}","time":"{}","ordinal":"#, rfc3339(*time));
        transaction.tx.extend_from_slice(tx.as_bytes());
    }

    /// Says who does this transaction.
    pub fn attribute(&mut self, attribution: Attribution) {
        self.transaction.attribution = attribution;
    }

    /// The events from here on come of the message at this place in the log.
    #[inline]
    pub fn reach(&mut self, place: u64) {
        let Transaction { attribution, stretch, .. } = &mut self.transaction;
        *stretch = attribution.stretch_at(place);
    }

    /// A row was inserted, updated or deleted. `count` is the table's count after it, if exact.
    pub fn change(
        &mut self,
        block: &mut BlockBuilder,
        relation: &Relation,
        operation: Operation,
        old: Option<&Old<'_>>,
        new: Option<&Tuple<'_>>,
        count: Option<i64>,
    ) {
        let event = self.next_change(block, relation, operation);
        block.push(event, |out| {
            self.change_start(out, relation, operation);
            self.rows.write(out, relation, operation, old, new);
            out.extend_from_slice(b",\"count\":");
            json::maybe_integer(out, count);
            out.push(b'}');
        });
        block.trace(self.rows.keys());
    }

    /// A table was emptied of `rows_lost` rows, if that is known, and has `count` rows after it. `old_rows`: all of those, whole, if they
    /// are known.
    pub fn truncate(
        &mut self,
        block: &mut BlockBuilder,
        relation: &Relation,
        rows_lost: Option<i64>,
        old_rows: Option<&[Row]>,
        count: Option<i64>,
    ) {
        let event = self.next_change(block, relation, Operation::Truncate);
        block.push(event, |out| {
            self.change_start(out, relation, Operation::Truncate);
            out.extend_from_slice(br#","key":null,"old":null,"new":null,"old_complete":false,"unchanged":[],"count":"#);
            json::maybe_integer(out, count);
            out.extend_from_slice(b",\"rows_lost\":");
            json::maybe_integer(out, rows_lost);
            if let Some(rows) = old_rows {
                self.rows.removed(out, relation, rows);
            }
            out.push(b'}');
        });
    }

    /// The transaction is complete.
    pub fn commit(&mut self, block: &mut BlockBuilder, totals: &[TableTotals]) {
        let actor = self.transaction.attribution.names().and_then(|names| block.actor(names));
        let event = NewEvent { actor, ..self.transaction.next(Kind::Commit, None) };
        let transaction = &self.transaction;
        let touched = |totals: &TableTotals| {
            let (table, operations, count) = (block.table(&totals.table), totals.operations(), totals.count);
            Touched { table, operations, count }
        };
        let touched: Vec<Touched> = totals.iter().map(touched).collect();
        block.push_commit(event, touched, |out| {
            out.extend_from_slice(b"{\"type\":\"commit\",");
            transaction.id(out);
            out.push(b',');
            transaction.tx(out);
            out.extend_from_slice(b",\"changes\":");
            json::integer(out, transaction.changes);
            out.extend_from_slice(b",\"actor\":");
            // Writing text and numbers to memory does not fail.
            out.extend(serde_json::to_vec(&transaction.attribution.actor(transaction.first)).unwrap_or_default());
            out.extend_from_slice(b"},\"tables\":[");
            for (index, totals) in totals.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                table_totals(out, totals);
            }
            out.extend_from_slice(b"]}");
        });
    }

    /// Something was altered.
    pub fn ddl(&mut self, block: &mut BlockBuilder, ddl: &Ddl<'_>) {
        let table = ddl.table.map(|table| block.table(table));
        let event = NewEvent { actor: self.actor(block), ..self.transaction.next(Kind::Ddl, table) };
        let transaction = &self.transaction;
        block.push(event, |out| {
            out.extend_from_slice(b"{\"type\":\"ddl\",");
            transaction.id(out);
            out.push(b',');
            transaction.tx(out);
            transaction.actor(out, None);
            out.extend_from_slice(b"},\"command\":");
            json::string(out, ddl.command);
            out.extend_from_slice(b",\"object\":");
            json::maybe_string(out, ddl.object);
            out.extend_from_slice(b",\"sql\":");
            json::maybe_string(out, ddl.sql);
            out.push(b'}');
        });
    }

    /// A logical message of the transaction.
    pub fn message(&mut self, block: &mut BlockBuilder, prefix: &[u8], content: Content<'_>) {
        let event = NewEvent { actor: self.actor(block), ..self.transaction.next(Kind::Message, None) };
        let (transaction, encoding) = (&self.transaction, &self.encoding);
        block.push(event, |out| {
            out.extend_from_slice(b"{\"type\":\"message\",");
            transaction.id(out);
            out.push(b',');
            transaction.tx(out);
            out.push(b'}');
            message_body(out, prefix, content, encoding);
        });
    }

    /// A logical message outside of any transaction, that came at `time`. `lsn` is the position behind its record, where the record of a
    /// commit may begin: so it stands before all that has a place in that transaction.
    pub fn lone_message(&mut self, block: &mut BlockBuilder, lsn: Lsn, time: Timestamp, prefix: &[u8], content: Content<'_>) {
        let place = Place { commit_lsn: lsn, ordinal: 0 };
        let id = EventId { epoch: block.epoch().clone(), place };
        let event = NewEvent { kind: Kind::Message, place, table: None, operation: None, actor: None, xid: None, time };
        block.push(event, |out| {
            out.extend_from_slice(format!(r#"{{"type":"message","id":"{id}","tx":null"#).as_bytes());
            message_body(out, prefix, content, &self.encoding);
        });
    }

    /// Who does what happens at this place, in the block.
    fn actor(&self, block: &mut BlockBuilder) -> Option<ActorIndex> {
        let Transaction { attribution, stretch, .. } = &self.transaction;
        attribution.stretch(*stretch).and_then(|stretch| block.actor(stretch.names()))
    }

    fn next_change(&mut self, block: &mut BlockBuilder, relation: &Relation, operation: Operation) -> NewEvent {
        self.transaction.changes += 1;
        self.transaction.first.get_or_insert(self.transaction.stretch);
        let (table, actor) = (block.table(relation.table()), self.actor(block));
        NewEvent { operation: Some(operation), actor, ..self.transaction.next(Kind::Change, Some(table)) }
    }

    /// All that stands before the rows.
    fn change_start(&self, out: &mut Vec<u8>, relation: &Relation, operation: Operation) {
        out.extend_from_slice(b"{\"type\":\"change\",");
        self.transaction.id(out);
        out.extend_from_slice(match operation {
            Operation::Insert => b",\"op\":\"insert\"",
            Operation::Update => b",\"op\":\"update\"",
            Operation::Delete => b",\"op\":\"delete\"",
            Operation::Truncate => b",\"op\":\"truncate\"",
        });
        out.extend_from_slice(&relation.naming);
        out.push(b',');
        self.transaction.tx(out);
        self.transaction.actor(out, Some(operation));
        out.push(b'}');
    }
}

impl Transaction {
    fn next(&mut self, kind: Kind, table: Option<u32>) -> NewEvent {
        self.place.ordinal += 1;
        NewEvent { kind, place: self.place, table, operation: None, actor: None, xid: Some(self.xid), time: self.time }
    }

    fn id(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.id);
        json::integer(out, self.place.ordinal);
        out.push(b'"');
    }

    /// Who did it, as a member of that object, if it is known.
    fn actor(&self, out: &mut Vec<u8>, operation: Option<Operation>) {
        if let Some(stretch) = self.attribution.stretch(self.stretch) {
            out.extend_from_slice(stretch.json(operation));
        }
    }

    /// Leaves the object open.
    fn tx(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.tx);
        json::integer(out, self.place.ordinal);
    }
}

fn table_totals(out: &mut Vec<u8>, totals: &TableTotals) {
    out.extend_from_slice(b"{\"oid\":");
    json::integer(out, totals.table.oid.0);
    out.extend_from_slice(b",\"schema\":");
    json::string(out, &totals.table.schema);
    out.extend_from_slice(b",\"name\":");
    json::string(out, &totals.table.name);
    let numbers = [
        (&b",\"inserts\":"[..], totals.inserts),
        (b",\"updates\":", totals.updates),
        (b",\"deletes\":", totals.deletes),
        (b",\"truncates\":", totals.truncates),
    ];
    for (member, number) in numbers {
        out.extend_from_slice(member);
        json::integer(out, number);
    }
    out.extend_from_slice(b",\"count\":");
    json::maybe_integer(out, totals.count);
    out.push(b'}');
}

/// The content as text if it can be; else in base64, and said so. A NUL means that it never was text to PostgreSQL. Null if it was cut.
fn message_body(out: &mut Vec<u8>, prefix: &[u8], content: Content<'_>, encoding: &Encoding) {
    out.extend_from_slice(b",\"prefix\":");
    value::text(out, prefix, encoding);
    out.extend_from_slice(b",\"content\":");
    match content {
        Content::Cut { prefix: length, content } => {
            out.extend_from_slice(b"null,\"cut\":{");
            if length > prefix.len() {
                out.extend_from_slice(b"\"prefix\":");
                json::integer(out, length);
                out.push(b',');
            }
            out.extend_from_slice(b"\"content\":");
            json::integer(out, content);
            out.push(b'}');
        }
        Content::Whole(content) => match encoding.decode(content) {
            (text, true) if !content.contains(&0) => json::string(out, &text),
            _ => {
                json::string(out, &BASE64.encode(content));
                out.extend_from_slice(b",\"content_encoding\":\"base64\"");
            }
        },
    }
    out.push(b'}');
}
