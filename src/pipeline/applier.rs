//! From the stream's bytes to blocks of events: assembler → ledger and cache of rows → encoder, one transaction after the other.
//!
//! All that one epoch has learnt of the stream lives here and goes with it. A transaction is applied in one piece, once it is committed;
//! only one too large for a block reaches the history in several, and then its commit is already known.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::counting::{Job, Task};
use super::published::Passed;
use crate::assembler::{self, Assembler, End, Note, Running, Says, Step, Transaction};
use crate::catalog::Publication;
use crate::counts::{Ledger, Snapshot, Totals};
use crate::encoding::Encoding;
use crate::event::actor;
use crate::event::ddl::{Change, DdlMessage};
use crate::event::time::from_unix_micros;
use crate::event::{
    Actor, Attribution, Block, BlockBuilder, Ddl, Domains, Encoder, Operation, Relation, TableName, TableTotals, TransactionHead,
};
use crate::history::Writer;
use crate::lsn::{Epoch, Lsn, Oid, Xid};
use crate::pgoutput::{Delete, Logical, Message, Old, Row, Timestamp, Tuple, Update};
use crate::rows::{self, Cache, Former};

/// A block is handed to the history when it has this much JSON, even within a transaction.
const BLOCK: usize = 256 << 10;

/// With more effects than this remembered for baselines, those known to be visible are dropped.
const PRUNE: usize = 1 << 14;

/// Applies the stream of one epoch.
pub(super) struct Applier {
    assembler: Assembler,
    ledger: Ledger,
    /// Rows of small tables, if they are wanted.
    cache: Option<Cache>,
    encoding: Encoding,
    relations: FxHashMap<Oid, Relation>,
    domains: Domains,
    primary_keys: FxHashMap<Oid, Vec<String>>,
    /// As the catalog last had it.
    publication: Option<Publication>,
    encoder: Encoder,
    epoch: Epoch,
    block: BlockBuilder,
    /// A block that waits for room in the history.
    finished: Option<Block>,
    noticed: Noticed,
    /// A committed transaction is being applied.
    applying: bool,
    passed: Passed,
    /// Kept for its memory.
    totals: Vec<TableTotals>,
}

/// What the stream said about tables since [`Applier::take_noticed`] was last called.
#[derive(Debug, Default)]
pub(super) struct Noticed {
    /// Tables described by the stream, for the first time or again, and the transaction that did: something may have changed.
    pub(super) described: Vec<(Arc<TableName>, Xid)>,
    /// Tables whose rows changed, and when that was last committed; or whose count became known.
    pub(super) touched: FxHashMap<Oid, Option<Timestamp>>,
    /// Tables that were truncated, and the transaction that did it.
    pub(super) truncated: Vec<(Oid, Xid)>,
    /// What the DDL messages of `setup` say, and the transaction that sent each.
    pub(super) ddl: Vec<(DdlMessage, Xid)>,
    /// Transactions that may have changed what the publication covers. Counts are held back since.
    pub(super) regrouped: Vec<Xid>,
}

impl Applier {
    /// For a stream that holds everything committed after `start`.
    pub(super) fn new(epoch: Epoch, start: Lsn, assembler: Assembler, encoding: Encoding, cache: Option<Cache>) -> Self {
        let mut ledger = Ledger::default();
        // The server reads its log from further back, and says so while it does: that is no place of this stream.
        ledger.reached(start);
        Self {
            assembler,
            ledger,
            cache,
            encoder: Encoder::new(encoding),
            encoding,
            relations: FxHashMap::default(),
            domains: Domains::default(),
            primary_keys: FxHashMap::default(),
            publication: None,
            block: BlockBuilder::new(epoch.clone()),
            epoch,
            finished: None,
            noticed: Noticed::default(),
            applying: false,
            passed: Passed::default(),
            totals: Vec::new(),
        }
    }

    pub(super) fn ledger(&mut self) -> &mut Ledger {
        &mut self.ledger
    }

    /// A job is about to take its snapshot: everything that this may not see is kept from here on.
    pub(super) fn ask(&mut self, job: &Job) {
        match (job.task, &mut self.cache) {
            (Task::Count, _) => self.ledger.ask(job.table.oid),
            (Task::ReadRows(_), Some(cache)) => cache.ask(job.table.oid),
            (Task::ReadRows(_), None) => {}
        }
    }

    /// Drops what was remembered of transactions that `snapshot`, and every snapshot from now on, sees.
    pub(super) fn prune(&mut self, snapshot: &Snapshot) {
        if self.ledger.recent() > PRUNE {
            self.ledger.prune(snapshot);
        }
        if let Some(cache) = &mut self.cache {
            cache.prune(snapshot);
        }
    }

    /// The rows of small tables, if they are wanted.
    pub(super) fn cache(&mut self) -> Option<&mut Cache> {
        self.cache.as_mut()
    }

    pub(super) fn passed(&self) -> Passed {
        self.passed
    }

    /// The primary key of a table, from the catalog: the stream does not tell it under REPLICA IDENTITY FULL.
    pub(super) fn set_primary_key(&mut self, oid: Oid, columns: &[String]) {
        if let Some(relation) = self.relations.get_mut(&oid) {
            relation.set_primary_key(columns);
        }
        self.primary_keys.insert(oid, columns.to_vec());
    }

    /// What is read, from the catalog.
    pub(super) fn set_publication(&mut self, publication: Publication) {
        self.publication = Some(publication);
    }

    pub(super) fn forget(&mut self, oid: Oid) {
        self.ledger.forget(oid);
        if let Some(cache) = &mut self.cache {
            cache.forget(oid);
        }
        self.primary_keys.remove(&oid);
    }

    pub(super) fn epoch(&self) -> &Epoch {
        &self.epoch
    }

    /// Whether all that was applied is whole transactions, and with the history.
    pub(super) fn is_flushed(&self) -> bool {
        !self.applying && self.block.is_empty() && self.finished.is_none()
    }

    /// Whether no transaction is being read.
    pub(super) fn is_between_transactions(&self) -> bool {
        self.assembler.is_between_transactions() && !self.applying
    }

    /// The transactions that are streamed while they run, and who does each, as far as it was told.
    pub(super) fn running(&self) -> impl Iterator<Item = (Running<'_>, Option<Actor>)> {
        self.assembler.running().map(|running| {
            let actor = attribution(running.xid, running.notes, &self.encoding).actor(None).cloned();
            (running, actor)
        })
    }

    /// Whether there are any, or were since [`Applier::take_ended`] was last called.
    pub(super) fn streams(&self) -> bool {
        self.assembler.streams()
    }

    /// Those of them that ended since this was last asked.
    pub(super) fn take_ended(&mut self) -> Vec<(Xid, End)> {
        self.assembler.take_ended()
    }

    pub(super) fn take_noticed(&mut self) -> Noticed {
        std::mem::take(&mut self.noticed)
    }

    /// Applies one message of the stream, which the server says to be from `lsn`. What it completes waits in the current block for [`Self::flush`].
    pub(super) async fn apply(&mut self, lsn: Lsn, payload: &[u8], history: &mut Writer) -> Result<(), assembler::Error> {
        let step = if self.assembler.spills_with(payload.len()) {
            tokio::task::block_in_place(|| self.assembler.push(lsn, payload))
        } else {
            self.assembler.push(lsn, payload)
        };
        match step? {
            Step::Pending => {}
            Step::Transaction(transaction) => self.transaction(transaction, history).await?,
            Step::Message(message) => {
                self.encoder.lone_message(
                    &mut self.block,
                    message.lsn,
                    from_unix_micros(super::unix_micros()),
                    message.prefix.0,
                    message.content,
                );
                self.reached(message.lsn);
            }
            Step::Reached(lsn) => self.reached(lsn),
        }
        Ok(())
    }

    /// Everything committed before `lsn` has been applied, or has nothing to apply.
    pub(super) fn keepalive(&mut self, lsn: Lsn) {
        // Within a transaction the server may already stand behind a commit that has come only in part.
        if self.assembler.is_between_transactions() {
            self.reached(lsn);
        }
    }

    fn reached(&mut self, lsn: Lsn) {
        for oid in self.ledger.reached(lsn) {
            self.noticed.touched.entry(oid).or_default();
        }
        if let Some(cache) = &mut self.cache {
            cache.reached(lsn);
        }
    }

    /// Hands what was applied to the readers. Cancel-safe: what waits for room is handed over the next time.
    pub(super) async fn flush(&mut self, history: &mut Writer) {
        if self.finished.is_none() && !self.block.is_empty() {
            self.block.reached(self.ledger.position());
            self.finished = Some(if self.applying { self.block.finish_open() } else { self.block.finish() });
        }
        if let Some(block) = &self.finished {
            history.make_room(block).await;
            if let Some(block) = self.finished.take() {
                history.append(block);
            }
            tokio::task::consume_budget().await;
        }
    }

    /// The same where the stream is left, of whole transactions only: nothing can be waited for then.
    pub(super) fn flush_whole(&mut self, history: &mut Writer) {
        if !self.applying {
            if let Some(block) = self.finished.take() {
                history.append(block);
            }
            if !self.block.is_empty() {
                self.block.reached(self.ledger.position());
                history.append(self.block.finish());
            }
        }
    }

    async fn transaction(&mut self, mut transaction: Transaction, history: &mut Writer) -> Result<(), assembler::Error> {
        let Transaction { xid, commit_lsn, end_lsn, time, .. } = transaction;
        self.encoder.begin(&TransactionHead { epoch: self.epoch.clone(), xid, commit_lsn, time });
        self.encoder.attribute(attribution(xid, transaction.notes(), &self.encoding));
        self.ledger.begin(xid);
        if let Some(cache) = &mut self.cache {
            cache.begin(xid);
            doubt_what_is_altered(cache, &transaction);
        }
        self.applying = true;
        let mut announced = false;
        while let Some((place, message)) = read(&mut transaction)? {
            self.encoder.reach(place);
            announced |= self.change(xid, message)?;
            if self.block.len() >= BLOCK {
                self.flush(history).await;
            }
        }
        self.passed.transactions += 1;
        self.commit(end_lsn, time, announced);
        self.applying = false;
        self.assembler.recycle(transaction);
        Ok(())
    }

    /// Applies one change; true when it belongs to what a commit should sum up.
    fn change(&mut self, xid: Xid, message: Message<'_>) -> Result<bool, assembler::Error> {
        let Self { ledger, cache, encoder, block, relations, passed, .. } = self;
        match message {
            Message::Insert(insert) => {
                passed.inserts += 1;
                let count = ledger.insert(insert.oid);
                former(cache, insert.oid, rows::Change::Insert(insert.new));
                encoder.change(block, described(relations, insert.oid)?, Operation::Insert, None, Some(&insert.new), count);
            }
            Message::Update(Update { oid, old, new, .. }) => {
                passed.updates += 1;
                let count = ledger.update(oid);
                let former = former(cache, oid, rows::Change::Update { old: old.map(Old::tuple), new });
                let row = former.row().filter(|_| count.is_some());
                let old = completed(old, row.as_ref());
                encoder.change(block, described(relations, oid)?, Operation::Update, old.as_ref(), Some(&new), count);
            }
            Message::Delete(Delete { oid, old, .. }) => {
                passed.deletes += 1;
                let count = ledger.delete(oid);
                let row = former(cache, oid, rows::Change::Delete(old.tuple())).row().filter(|_| count.is_some());
                let old = completed(Some(old), row.as_ref());
                encoder.change(block, described(relations, oid)?, Operation::Delete, old.as_ref(), None, count);
            }
            Message::Truncate(truncate) => {
                // One message for all the tables that the statement reached.
                for oid in truncate.oids.iter() {
                    passed.truncates += 1;
                    let rows_lost = ledger.truncate(oid);
                    let rows = former(cache, oid, rows::Change::Truncate).all();
                    let rows = rows.filter(|rows| i64::try_from(rows.len()).ok() == rows_lost && rows.iter().all(Row::is_whole));
                    self.noticed.truncated.push((oid, xid));
                    encoder.truncate(block, described(relations, oid)?, rows_lost, rows.as_deref(), ledger.exact(oid));
                }
            }
            Message::Relation(relation) => {
                let mut described = Relation::new(&relation, &self.encoding).with_domains(&self.domains);
                if let Some(columns) = self.primary_keys.get(&relation.oid) {
                    described.set_primary_key(columns);
                }
                if let Some(cache) = cache {
                    cache.described(relation.oid, rows::columns(&relation, &self.encoding));
                }
                self.noticed.described.push((Arc::clone(described.table()), xid));
                self.relations.insert(relation.oid, described);
                return Ok(false);
            }
            Message::Type(named) => {
                self.domains.learn(&named);
                return Ok(false);
            }
            Message::Logical(message) => return Ok(self.logical(xid, &message)),
            // An origin says nothing that a reader is told; the rest never reaches a transaction's log.
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn logical(&mut self, xid: Xid, message: &Logical<'_>) -> bool {
        let content = message.content.whole().filter(|_| message.prefix.0 == DdlMessage::PREFIX);
        match content.and_then(DdlMessage::parse) {
            Some(ddl) => {
                if let Some(oid) = ddl.becomes_unlogged() {
                    // From here on, not only from when the pipeline comes to look at it: rows may follow in this very transaction.
                    self.ledger.doubt(oid);
                }
                if self.may_change_coverage(&ddl) {
                    self.ledger.hold();
                    self.noticed.regrouped.push(xid);
                }
                let object = ddl.object();
                let (command, object, sql) = (ddl.command.as_str(), Some(object.as_str()), ddl.sql.as_deref());
                let table = ddl.table().and_then(|oid| Some(self.relations.get(&oid)?.table()));
                self.encoder.ddl(&mut self.block, &Ddl { command, object, sql, table });
                self.noticed.ddl.push((ddl, xid));
                true
            }
            None => {
                if message.prefix.0 == DdlMessage::PREFIX && message.content.whole().is_none() {
                    // What it said is not known: it may have been anything.
                    self.ledger.hold();
                    self.noticed.regrouped.push(xid);
                }
                self.encoder.message(&mut self.block, message.prefix.0, message.content);
                false
            }
        }
    }

    /// Whether the publication may carry other tables, or less of them, from here on.
    fn may_change_coverage(&self, ddl: &DdlMessage) -> bool {
        let Some(publication) = &self.publication else { return true };
        match &ddl.change {
            Change::Publication(name) => **name == *publication.name,
            // It may have come to another schema, or to another place in a tree of partitions.
            Change::Altered(table) if !publication.all_tables || publication.via_root => {
                let schema = self.relations.get(&table.oid).map(|relation| relation.table().schema.as_str());
                table.kind == 'p' || schema != Some(table.schema.as_str())
            }
            Change::Created(_) | Change::Altered(_) | Change::Dropped { .. } | Change::Type(_) | Change::Schema(_) => false,
        }
    }

    fn commit(&mut self, end_lsn: Lsn, time: Timestamp, announced: bool) {
        let Self { ledger, cache, relations, noticed, totals, .. } = self;
        totals.clear();
        for touched in ledger.commit() {
            if let (Some(cache), Some(count)) = (cache.as_mut(), touched.count)
                && !cache.agrees(touched.oid, count)
            {
                tracing::error!(oid = %touched.oid, count, "the rows kept of a table are not as many as it has; reading them again");
            }
            noticed.touched.insert(touched.oid, Some(time));
            if let Some(relation) = relations.get(&touched.oid) {
                let Totals { inserts, updates, deletes, truncates } = touched.totals;
                let (table, count) = (Arc::clone(relation.table()), touched.count);
                totals.push(TableTotals { table, inserts, updates, deletes, truncates, count });
            }
        }
        if announced {
            self.encoder.commit(&mut self.block, &self.totals);
        }
        self.reached(end_lsn);
    }
}

/// Who did a transaction.
fn attribution(xid: Xid, notes: &[Note], encoding: &Encoding) -> Attribution {
    let messages = notes.iter().map(|note| (note.at..=note.until, note.prefix, note.content.as_deref()));
    Attribution::read(xid, messages, encoding)
}

/// What the assembler is to know of a message that is noted.
pub(super) fn says(xid: Xid, prefix: &[u8], content: &[u8], encoding: &Encoding) -> Says {
    let ddl = (prefix == DdlMessage::PREFIX).then(|| DdlMessage::parse(content)).flatten();
    match ddl.and_then(|ddl| ddl.subxid) {
        Some(subxid) => Says::Within(subxid),
        None if actor::is_said(xid, prefix, content, encoding) => Says::Something,
        None => Says::Nothing,
    }
}

/// What the stream said of a table. It always does before it sends a row of it.
fn described(relations: &FxHashMap<Oid, Relation>, oid: Oid) -> Result<&Relation, assembler::Error> {
    relations.get(&oid).ok_or(assembler::Error::Undescribed { oid })
}

/// Of a table that `transaction` alters, or a type of whose columns, no row is known any more, also not before that: the server gives a message the position behind it,
/// and so may send the change that comes next, if another sub-transaction made it, before the message.
fn doubt_what_is_altered(cache: &mut Cache, transaction: &Transaction) {
    if !transaction.has_all_notes(DdlMessage::PREFIX) {
        cache.doubt_all();
    }
    for note in transaction.notes().iter().filter(|note| note.prefix == DdlMessage::PREFIX) {
        match note.content.as_deref().and_then(DdlMessage::parse).map(|ddl| ddl.change) {
            Some(Change::Altered(table)) => cache.altered(table.oid, &table.partitions),
            Some(Change::Type(altered)) => cache.altered(altered.oid, &[]),
            _ => {}
        }
    }
}

/// What a change of `oid` replaces or takes away, as far as its rows are kept.
fn former(cache: &mut Option<Cache>, oid: Oid, change: rows::Change<Tuple<'_>>) -> Former {
    cache.as_mut().map_or_else(Former::default, |cache| cache.apply(oid, change))
}

/// What is known of an old row: all, if the stream tells it or `row` is it.
fn completed<'a>(told: Option<Old<'a>>, row: Option<&'a Row>) -> Option<Old<'a>> {
    match (told, row) {
        (Some(Old::Key(_)) | None, Some(row)) => Some(Old::Full(row.as_tuple())),
        (told, _) => told,
    }
}

/// The next message of `transaction`, with its place; where that may block on a file, other tasks of this thread are moved away first.
fn read(transaction: &mut Transaction) -> Result<Option<(u64, Message<'_>)>, assembler::Error> {
    if transaction.reads_file_next() { tokio::task::block_in_place(|| transaction.next()) } else { transaction.next() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_server_reads_from_before_the_stream_is_no_position() {
        let assembler = Assembler::new(1 << 20, Box::new(tempfile::tempfile));
        let mut applier = Applier::new("k3".parse().unwrap(), Lsn(100), assembler, Encoding::from_name("UTF8").unwrap(), None);
        applier.keepalive(Lsn(50));
        assert_eq!(applier.ledger().position(), Lsn(100));
        applier.keepalive(Lsn(150));
        assert_eq!(applier.ledger().position(), Lsn(150));
    }
}
