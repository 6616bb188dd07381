//! Encoded events in blocks: each event's JSON is made once, and every reader sends slices of the same bytes.
//!
//! A block holds events of one transaction or of several small ones, in commit order, and never changes once built. What a filter
//! must look at on the way (kind, table, operation, xid, time) stands beside the JSON, so most filters never read it.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

use super::actor::{ActorIndex, Names};
use super::trace::Trace;
use crate::lsn::{Epoch, EventId, Lsn, Oid, Place, Xid};
use crate::pgoutput::Timestamp;

/// What an event is; the `type` of its JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
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

impl Operation {
    /// Its name, as in `op=` and in the `publish` of a publication.
    pub fn as_str(self) -> &'static str {
        match self {
            Operation::Insert => "insert",
            Operation::Update => "update",
            Operation::Delete => "delete",
            Operation::Truncate => "truncate",
        }
    }
}

/// A set of [`Operation`]s.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Operations(u8);

impl Operations {
    /// All four.
    pub const ALL: Operations = Operations(0b1111);

    /// Every operation, in the order of the names.
    pub const EACH: [Operation; 4] = [Operation::Insert, Operation::Update, Operation::Delete, Operation::Truncate];

    /// Adds one.
    pub fn insert(&mut self, operation: Operation) {
        self.0 |= 1 << operation as u8;
    }

    /// Whether `operation` is one of them.
    pub fn contains(self, operation: Operation) -> bool {
        self.0 & (1 << operation as u8) != 0
    }

    /// Whether both sets have one in common.
    pub fn intersects(self, other: Operations) -> bool {
        self.0 & other.0 != 0
    }

    /// Those that are in either.
    #[must_use]
    pub fn union(self, other: Operations) -> Operations {
        Operations(self.0 | other.0)
    }

    /// Whether there is none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl FromIterator<Operation> for Operations {
    fn from_iter<I: IntoIterator<Item = Operation>>(operations: I) -> Self {
        let mut set = Operations::default();
        operations.into_iter().for_each(|operation| set.insert(operation));
        set
    }
}

impl fmt::Debug for Operations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(Self::EACH.into_iter().filter(|operation| self.contains(*operation))).finish()
    }
}

/// A table that a transaction changed, beside its commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Touched {
    /// Which of the block's tables ([`Block::tables`]).
    pub table: u32,
    /// What was done to it.
    pub operations: Operations,
    /// Its rows behind the commit, if exact. Not written down with the block: the commit's JSON tells it.
    #[serde(skip)]
    pub count: Option<i64>,
}

/// A table as an event names it: as it was called at that place in the stream.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TableName {
    /// Stays the same through a rename.
    pub oid: Oid,
    /// Schema.
    pub schema: String,
    /// Name, not quoted.
    pub name: String,
}

/// What is known of an event without reading its JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// What it is.
    pub kind: Kind,
    /// Its place in the epoch.
    pub place: Place,
    /// Which of the block's tables it is about ([`Block::table`]).
    pub table: Option<u32>,
    /// For a change.
    pub operation: Option<Operation>,
    /// Which of the block's actors did it, if that is known ([`Block::actors`]).
    pub actor: Option<ActorIndex>,
    /// Its transaction; `None` for a gap or a message outside of any transaction.
    pub xid: Option<Xid>,
    /// When its transaction was committed.
    pub time: Timestamp,
    /// Where its JSON starts in the block.
    start: u32,
    /// Where its JSON ends.
    end: u32,
}

/// Events with their JSON, immutable. What is written down of it is its fields in their order: another order is another format.
#[derive(Serialize, Deserialize)]
pub struct Block {
    epoch: Epoch,
    heads: Box<[Head]>,
    tables: Box<[Arc<TableName>]>,
    actors: Box<[Arc<Names>]>,
    /// By the index of the commit's head, in order.
    touched: Box<[(u32, Touched)]>,
    json: Bytes,
    end_lsn: Lsn,
    open: bool,
    /// Not written down with the block: what is, is the set of them.
    #[serde(skip)]
    keys: Box<[Trace]>,
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

    /// The tables that the heads and [`Block::touched`] refer to.
    pub fn tables(&self) -> &[Arc<TableName>] {
        &self.tables
    }

    /// The actors that the heads refer to.
    pub fn actors(&self) -> &[Arc<Names>] {
        &self.actors
    }

    /// The table that `head` is about.
    pub fn table(&self, head: &Head) -> Option<&Arc<TableName>> {
        self.tables.get(head.table? as usize)
    }

    /// The tables that the transaction changed whose commit is the event at `index`; empty for any other event.
    pub fn touched(&self, index: usize) -> impl Iterator<Item = Touched> + '_ {
        let from = self.touched.partition_point(|(event, _)| (*event as usize) < index);
        let of_event = self.touched.iter().skip(from).take_while(move |(event, _)| *event as usize == index);
        of_event.map(|(_, touched)| *touched)
    }

    /// The keys of its changes; none where it was read from a file.
    pub fn keys(&self) -> &[Trace] {
        &self.keys
    }

    /// The JSON of one event: one object, without a line end. Shares the block's memory.
    pub fn json(&self, head: &Head) -> Bytes {
        self.json.slice(head.range())
    }

    /// The same JSON, borrowed.
    pub fn bytes(&self, head: &Head) -> &[u8] {
        self.json.get(head.range()).unwrap_or_default()
    }

    /// The identity of one event.
    pub fn id(&self, head: &Head) -> EventId {
        EventId { epoch: self.epoch.clone(), place: head.place }
    }

    /// Whether what its heads refer to is there. Always so, but for one that was read from a file.
    pub fn is_sound(&self) -> bool {
        let is_table = |table: u32| (table as usize) < self.tables.len();
        let (mut end, mut place) = (0, None);
        let heads = self.heads.iter().all(|head| {
            let follows = head.start as usize >= end && head.end >= head.start && Some(head.place) > place;
            (end, place) = (head.end as usize, Some(head.place));
            let is_actor = head.actor.is_none_or(|actor| usize::from(actor.get()) <= self.actors.len());
            follows && is_actor && head.table.is_none_or(is_table)
        });
        let is_touched = |(event, touched): &(u32, Touched)| (*event as usize) < self.heads.len() && is_table(touched.table);
        heads
            && end <= self.json.len()
            && self.touched.is_sorted_by_key(|(event, _)| *event)
            && self.touched.iter().all(is_touched)
    }

    /// Bytes that the block holds in memory, its own bookkeeping included.
    pub fn size(&self) -> usize {
        let actors = size_of_val(&*self.actors) + self.actors.iter().map(|names| names.size()).sum::<usize>();
        let beside = size_of_val(&*self.heads) + size_of_val(&*self.tables) + size_of_val(&*self.touched) + actors;
        let beside = beside + size_of_val(&*self.keys);
        self.json.len() + beside + size_of::<Self>()
    }

    /// The end of the last commit in it: the stream stands here once the block is applied.
    pub fn end_lsn(&self) -> Lsn {
        self.end_lsn
    }

    /// Whether the transaction of its last event goes on in the next block.
    pub fn is_open(&self) -> bool {
        self.open
    }
}

/// Says how much it holds, never what: rows must not reach a log.
impl fmt::Debug for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { epoch, heads, json, end_lsn, .. } = self;
        let mut block = f.debug_struct("Block");
        block.field("epoch", epoch).field("events", &heads.len()).field("bytes", &json.len()).field("end_lsn", end_lsn).finish()
    }
}

impl Head {
    /// Bytes of its JSON.
    pub fn len(&self) -> usize {
        self.range().len()
    }

    /// Whether it has no JSON, which no event of the pipeline's is like.
    pub fn is_empty(&self) -> bool {
        self.range().is_empty()
    }

    fn range(&self) -> Range<usize> {
        self.start as usize..self.end as usize
    }
}

/// Bytes that a [`BlockBuilder`] keeps for the next block.
const KEPT: usize = 1 << 20;

/// Collects events into a [`Block`]. Reused: [`BlockBuilder::finish`] leaves it empty.
pub struct BlockBuilder {
    epoch: Epoch,
    heads: Vec<Head>,
    tables: Vec<Arc<TableName>>,
    /// Where in `tables` a table stands, by its address: that of an `Arc` in the list belongs to nobody else.
    indices: FxHashMap<usize, u32>,
    actors: Vec<Arc<Names>>,
    touched: Vec<(u32, Touched)>,
    json: Vec<u8>,
    keys: Vec<Trace>,
    end_lsn: Lsn,
}

impl BlockBuilder {
    /// An empty block of this epoch.
    pub fn new(epoch: Epoch) -> Self {
        Self {
            epoch,
            heads: Vec::new(),
            tables: Vec::new(),
            indices: FxHashMap::default(),
            actors: Vec::new(),
            touched: Vec::new(),
            json: Vec::new(),
            keys: Vec::new(),
            end_lsn: Lsn::ZERO,
        }
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
        *self.indices.entry(Arc::as_ptr(table).addr()).or_insert_with(|| {
            let index = u32::try_from(self.tables.len()).unwrap_or(u32::MAX);
            self.tables.push(Arc::clone(table));
            index
        })
    }

    /// The index of the actor with these names in this block, entering it if need be. Events of one actor follow each other.
    pub fn actor(&mut self, names: &Arc<Names>) -> Option<ActorIndex> {
        if !self.actors.last().is_some_and(|last| Arc::ptr_eq(last, names)) {
            self.actors.push(Arc::clone(names));
        }
        ActorIndex::new(u16::try_from(self.actors.len()).ok()?)
    }

    /// Adds an event whose JSON `write` appends to the buffer it is given.
    pub fn push(&mut self, event: NewEvent, write: impl FnOnce(&mut Vec<u8>)) {
        let offset = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let start = offset(self.json.len());
        write(&mut self.json);
        let NewEvent { kind, place, table, operation, actor, xid, time } = event;
        let end = offset(self.json.len());
        self.heads.push(Head { kind, place, table, operation, actor, xid, time, start, end });
    }

    /// Adds a commit, and which tables its transaction changed: a filter by table or operation lets it pass by these.
    pub fn push_commit(&mut self, event: NewEvent, touched: impl IntoIterator<Item = Touched>, write: impl FnOnce(&mut Vec<u8>)) {
        let index = u32::try_from(self.heads.len()).unwrap_or(u32::MAX);
        self.touched.extend(touched.into_iter().map(|touched| (index, touched)));
        self.push(event, write);
    }

    /// Notes keys of the change that was pushed last.
    pub fn trace(&mut self, keys: impl IntoIterator<Item = Trace>) {
        self.keys.extend(keys);
    }

    /// Notes that the stream stands at `end_lsn` with what was pushed so far.
    pub fn reached(&mut self, end_lsn: Lsn) {
        self.end_lsn = end_lsn;
    }

    /// The block, leaving this empty. What was gathered is copied, so that the block holds no spare capacity, which nobody would
    /// account for, and this keeps its buffers for the next.
    pub fn finish(&mut self) -> Block {
        self.take(false)
    }

    /// The same, within a transaction: more of its events follow in the next block.
    pub fn finish_open(&mut self) -> Block {
        self.take(true)
    }

    fn take(&mut self, open: bool) -> Block {
        let block = Block {
            epoch: self.epoch.clone(),
            heads: self.heads.as_slice().into(),
            tables: self.tables.as_slice().into(),
            actors: self.actors.as_slice().into(),
            touched: self.touched.as_slice().into(),
            json: Bytes::copy_from_slice(&self.json),
            end_lsn: self.end_lsn,
            open,
            keys: self.keys.as_slice().into(),
        };
        self.heads.clear();
        self.tables.clear();
        self.indices.clear();
        self.actors.clear();
        self.touched.clear();
        self.json.clear();
        self.keys.clear();
        // One huge value shall not hold its memory for good.
        self.json.shrink_to(KEPT);
        block
    }
}

/// Says how much it holds, never what.
impl fmt::Debug for BlockBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { epoch, heads, json, .. } = self;
        let mut builder = f.debug_struct("BlockBuilder");
        builder.field("epoch", epoch).field("events", &heads.len()).field("bytes", &json.len()).finish_non_exhaustive()
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
    /// From [`BlockBuilder::actor`].
    pub actor: Option<ActorIndex>,
    /// Its transaction.
    pub xid: Option<Xid>,
    /// When its transaction was committed.
    pub time: Timestamp,
}
