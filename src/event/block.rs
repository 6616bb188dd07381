//! Encoded events in blocks: each event's JSON is made once, and every reader sends slices of the same bytes.
//!
//! A block holds events of one transaction or of several small ones, in commit order, and never changes once built. What a filter
//! must look at on the way (kind, table, operation, xid, time) stands beside the JSON, so most filters never read it.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use serde::Deserialize;

use crate::lsn::{Epoch, EventId, Lsn, Oid, Place, Xid};
use crate::pgoutput::Timestamp;

/// What an event is; the `type` of its JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A row changed, or a table was truncated.
    Change,
    /// A transaction's changes are complete.
    Commit,
    /// A table or the publication was altered (told by the DDL messages of `setup`).
    Ddl,
    /// `pg_logical_emit_message`, by anyone.
    Message,
    /// Continuity was lost: what lies between is not known.
    Gap,
}

/// What was done to a row or a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// `insert`
    Insert,
    /// `update`
    Update,
    /// `delete`
    Delete,
    /// `truncate`
    Truncate,
}

/// A table as an event names it: as it was called at that place in the stream.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TableName {
    /// Stays the same through a rename.
    pub oid: Oid,
    /// Schema.
    pub schema: String,
    /// Name, not quoted.
    pub name: String,
}

/// What is known of an event without reading its JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// What it is.
    pub kind: Kind,
    /// Its place in the epoch.
    pub place: Place,
    /// Which of the block's tables it is about ([`Block::table`]).
    pub table: Option<u32>,
    /// For a change.
    pub operation: Option<Operation>,
    /// Its transaction; `None` for a gap or a message outside of any transaction.
    pub xid: Option<Xid>,
    /// When its transaction was committed.
    pub time: Timestamp,
    /// Where its JSON starts in the block.
    start: u32,
    /// Where its JSON ends.
    end: u32,
}

/// Events with their JSON, immutable.
#[derive(Debug)]
pub struct Block {
    epoch: Epoch,
    heads: Box<[Head]>,
    tables: Box<[Arc<TableName>]>,
    json: Bytes,
    end_lsn: Lsn,
}

impl Block {
    /// The stretch of the stream that all its events belong to.
    pub fn epoch(&self) -> &Epoch {
        &self.epoch
    }

    /// What is known of each event, in order.
    pub fn heads(&self) -> &[Head] {
        &self.heads
    }

    /// The tables that the heads refer to. A commit refers to none: its tables are those of the changes before it.
    pub fn tables(&self) -> &[Arc<TableName>] {
        &self.tables
    }

    /// The table that `head` is about.
    pub fn table(&self, head: &Head) -> Option<&Arc<TableName>> {
        self.tables.get(head.table? as usize)
    }

    /// The JSON of one event: one object, without a line end. Shares the block's memory.
    pub fn json(&self, head: &Head) -> Bytes {
        self.json.slice(head.range())
    }

    /// The identity of one event.
    pub fn id(&self, head: &Head) -> EventId {
        EventId { epoch: self.epoch.clone(), place: head.place }
    }

    /// Bytes that the block holds in memory, its own bookkeeping included.
    pub fn size(&self) -> usize {
        self.json.len() + size_of_val(&*self.heads) + size_of_val(&*self.tables) + size_of::<Self>()
    }

    /// The end of the last commit in it: the stream stands here once the block is applied.
    pub fn end_lsn(&self) -> Lsn {
        self.end_lsn
    }
}

impl Head {
    fn range(&self) -> Range<usize> {
        self.start as usize..self.end as usize
    }
}

/// Collects events into a [`Block`]. Reused: [`BlockBuilder::finish`] leaves it empty.
#[derive(Debug)]
pub struct BlockBuilder {
    epoch: Epoch,
    heads: Vec<Head>,
    tables: Vec<Arc<TableName>>,
    json: Vec<u8>,
    end_lsn: Lsn,
}

impl BlockBuilder {
    /// An empty block of this epoch.
    pub fn new(epoch: Epoch) -> Self {
        Self { epoch, heads: Vec::new(), tables: Vec::new(), json: Vec::new(), end_lsn: Lsn::ZERO }
    }

    /// The epoch of the events.
    pub fn epoch(&self) -> &Epoch {
        &self.epoch
    }

    /// No event yet.
    pub fn is_empty(&self) -> bool {
        self.heads.is_empty()
    }

    /// Bytes of JSON so far. A block must be finished before this nears 4 GiB; the pipeline does so at 256 KiB.
    pub fn len(&self) -> usize {
        self.json.len()
    }

    /// The index of `table` in this block, entering it if need be.
    pub fn table(&mut self, table: &Arc<TableName>) -> u32 {
        // The last table is nearly always the one asked for.
        let known = self.tables.iter().rposition(|t| Arc::ptr_eq(t, table));
        let index = known.unwrap_or_else(|| {
            self.tables.push(Arc::clone(table));
            self.tables.len() - 1
        });
        u32::try_from(index).unwrap_or(u32::MAX)
    }

    /// Adds an event whose JSON `write` appends to the buffer it is given.
    pub fn push(&mut self, event: NewEvent, write: impl FnOnce(&mut Vec<u8>)) {
        let offset = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let start = offset(self.json.len());
        write(&mut self.json);
        let NewEvent { kind, place, table, operation, xid, time } = event;
        let end = offset(self.json.len());
        self.heads.push(Head { kind, place, table, operation, xid, time, start, end });
    }

    /// Notes that the stream stands at `end_lsn` with what was pushed so far.
    pub fn reached(&mut self, end_lsn: Lsn) {
        self.end_lsn = end_lsn;
    }

    /// The block, leaving this empty.
    pub fn finish(&mut self) -> Block {
        Block {
            epoch: self.epoch.clone(),
            heads: std::mem::take(&mut self.heads).into(),
            tables: std::mem::take(&mut self.tables).into(),
            json: std::mem::take(&mut self.json).into(),
            end_lsn: self.end_lsn,
        }
    }
}

/// The head of an event about to be pushed: [`Head`] without the place of its JSON.
#[derive(Clone, Copy, Debug)]
pub struct NewEvent {
    /// What it is.
    pub kind: Kind,
    /// Its place in the epoch.
    pub place: Place,
    /// From [`BlockBuilder::table`].
    pub table: Option<u32>,
    /// For a change.
    pub operation: Option<Operation>,
    /// Its transaction.
    pub xid: Option<Xid>,
    /// When its transaction was committed.
    pub time: Timestamp,
}
