//! What stands in the frames, as `postcard` writes it: the fields in their order. Another order, or another field, is another format.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::event::{Block, Kind, Operations, TableName};
use crate::lsn::{Epoch, EventId, Lsn, Oid, Place};
use crate::pgoutput::Timestamp;

/// The format that is written. Older ones are read.
pub(super) const FORMAT: u32 = 1;

/// Which database a journal is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watched {
    /// Of the cluster, made by `initdb`.
    pub system_identifier: String,
    /// Of the database in it.
    pub database: Oid,
    /// Its name, for people.
    pub name: String,
}

impl Watched {
    /// Whether both are the same database, whatever it was called.
    pub fn is(&self, other: &Self) -> bool {
        (&self.system_identifier, self.database) == (&other.system_identifier, other.database)
    }
}

impl fmt::Display for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "database {:?} (oid {}) of system {}", self.name, self.database, self.system_identifier)
    }
}

/// What is known of a table at a position of the stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableState {
    /// Identity.
    pub oid: Oid,
    /// Schema.
    pub schema: String,
    /// Name, not quoted.
    pub name: String,
    /// Rows, if that is known.
    pub count: Option<i64>,
    /// Why it is not.
    pub reason: Option<String>,
    /// The file that holds its rows: of another, the count says nothing.
    pub relfilenode: Oid,
    /// How the publication came to carry it: covered otherwise, the count says nothing.
    pub published_as: u64,
}

/// The first record of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Start {
    pub(super) watched: Watched,
    /// The last event before.
    pub(super) before: Option<EventId>,
    pub(super) state: State,
}

/// Where the stream stands, and what is known there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct State {
    pub(super) epoch: Option<Epoch>,
    /// Everything committed before this is in the journal.
    pub(super) position: Lsn,
    /// Of the server's log.
    pub(super) timeline: u32,
    /// Microseconds since 1970.
    pub(super) time: i64,
    pub(super) tables: Vec<TableState>,
}

/// Makes everything before it durable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Commit {
    /// Of the tables those that changed.
    pub(super) state: State,
    pub(super) gone: Vec<Oid>,
}

/// What is known of a block without reading it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Summary {
    pub(super) epoch: Epoch,
    pub(super) first: Place,
    pub(super) last: Place,
    /// When the first and the last of its transactions were committed, by the server's clock, which may go back.
    pub(super) times: (Timestamp, Timestamp),
    pub(super) events: u32,
    /// The last transaction goes on in the next block.
    pub(super) open: bool,
    /// Bytes before compression.
    pub(super) size: u64,
    /// What its events are.
    pub(super) kinds: Vec<Kind>,
    /// Tables that they are about, by oid, and what was done to each.
    pub(super) tables: Vec<(TableName, Operations)>,
}

/// Where the blocks of a file are, and what is known of each: the place and the length of its frame's payload.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Index {
    pub(super) blocks: Vec<(u64, u32, Summary)>,
    /// Places of the commits, and where each says the stream stands.
    pub(super) commits: Vec<(u64, Lsn, i64)>,
}

impl Summary {
    /// The identity of its event at `place`.
    pub(super) fn id(&self, place: Place) -> EventId {
        EventId { epoch: self.epoch.clone(), place }
    }

    /// `None` of a block without events, which is not written.
    pub(super) fn of(block: &Block, size: usize) -> Option<Self> {
        let (first, last) = (block.heads().first()?, block.heads().last()?);
        let (mut kinds, mut tables) = (Vec::new(), vec![Operations::default(); block.tables().len()]);
        let mut note = |table: u32, done: Operations| {
            tables.get_mut(table as usize).into_iter().for_each(|operations| *operations = operations.union(done));
        };
        for (index, head) in block.heads().iter().enumerate() {
            if !kinds.contains(&head.kind) {
                kinds.push(head.kind);
            }
            head.table.into_iter().for_each(|table| note(table, head.operation.into_iter().collect()));
            // The commit of changes that stand in an earlier block is about their tables as well.
            block.touched(index).for_each(|touched| note(touched.table, touched.operations));
        }
        let tables = block.tables().iter().map(|table| TableName::clone(table)).zip(tables).collect();
        let times = block.heads().iter().filter(|head| head.kind != Kind::Gap).map(|head| head.time);
        let times = times.fold((first.time, last.time), |(earliest, latest), time| (earliest.min(time), latest.max(time)));
        Some(Self {
            epoch: block.epoch().clone(),
            first: first.place,
            last: last.place,
            times,
            events: u32::try_from(block.heads().len()).unwrap_or(u32::MAX),
            open: block.is_open(),
            size: size as u64,
            kinds,
            tables,
        })
    }
}
