//! What stands in the frames, as `postcard` writes it: the fields in their order. Another order, or another field, is another format.
//!
//! | format | has | since |
//! |---|---|---|
//! | 1 | blocks, commits, and an index of them | the first |
//! | 2 | also: traces of a block's values, counts minute by minute, of which table a table is a partition | counts over time |
//! | 3 | also: texts; all else as in 2 | questions for a text that pass by blocks |

mod v1;

use std::fmt;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::minutes::{Minute, Minutes};
use crate::event::{Block, Kind, Operations, TableName, Trace, Traces};
use crate::lsn::{Epoch, EventId, Lsn, Oid, Place};
use crate::pgoutput::Timestamp;

/// The format that is written. Older ones are read.
pub(super) const FORMAT: u32 = 3;

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
    /// Where in the stream it had so many.
    pub as_of: Lsn,
    /// Why it is not.
    pub reason: Option<String>,
    /// How the publication came to carry it: covered otherwise, the count says nothing.
    pub published_as: u64,
    /// The file that held its rows.
    pub file: Oid,
    /// Of which table it is a partition.
    pub parent: Option<Oid>,
    /// Whether the stream brings its changes.
    pub covered: bool,
    /// When it was counted last, by our clock, in microseconds since 1970.
    pub verified_at: Option<i64>,
}

impl TableState {
    /// A table that is watched, and of which nothing is known but its name.
    pub fn named(oid: Oid, schema: String, name: String, as_of: Lsn) -> Self {
        let (count, reason, parent, verified_at) = (None, None, None, None);
        Self { oid, schema, name, count, as_of, reason, published_as: 0, file: Oid(0), parent, covered: true, verified_at }
    }
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
    /// What tells of DDL in the stream; where nothing does, counts wait for a look at the catalog, and commits tell none.
    pub(super) told_by: Option<i64>,
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
    /// What values are in its events.
    pub(super) traces: Traces,
    /// What its commits say of counts, minute by minute.
    pub(super) counts: Vec<(Oid, Minute, Option<i64>)>,
}

/// Where the blocks of a file are, and what is known of each: the place and the length of its frame's payload.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Index {
    pub(super) blocks: Vec<(u64, u32, Summary)>,
    /// Places of the commits, and where each says the stream stands.
    pub(super) commits: Vec<(u64, Lsn, i64)>,
}

impl Index {
    /// As the first format has it.
    pub(super) fn in_first_format(&self) -> impl Serialize + use<> {
        v1::Index::from(self)
    }
}

/// What is read of a frame, of whatever format it is.
pub(super) trait Record: DeserializeOwned {
    /// The same as the first format had it.
    type Old: DeserializeOwned + Into<Self>;

    /// Reads it, and gives what stands behind it.
    fn take(format: u32, payload: &[u8]) -> Result<(Self, &[u8]), &'static str> {
        let taken = match format {
            1 => postcard::take_from_bytes::<Self::Old>(payload).map(|(old, rest)| (old.into(), rest)),
            _ => postcard::take_from_bytes(payload),
        };
        taken.map_err(|_| "a frame does not hold what it says")
    }

    /// Reads it, and nothing may stand behind it.
    fn read(format: u32, payload: &[u8]) -> Result<Self, &'static str> {
        match Self::take(format, payload)? {
            (record, []) => Ok(record),
            _ => Err("there is more in a frame than belongs there"),
        }
    }
}

impl Record for Start {
    type Old = v1::Start;
}

impl Record for Commit {
    type Old = v1::Commit;
}

impl Record for Summary {
    type Old = v1::Summary;
}

impl Record for Index {
    type Old = v1::Index;
}

/// Unknown to the first format.
impl Record for Minutes {
    type Old = Minutes;
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
        let (mut traces, mut counts) = (block.keys().to_vec(), Minutes::default());
        traces.extend(block.actors().iter().flat_map(|names| names.iter()).map(Trace::actor));
        let mut xid = None;
        for (index, head) in block.heads().iter().enumerate() {
            if !kinds.contains(&head.kind) {
                kinds.push(head.kind);
            }
            if head.xid != xid {
                xid = head.xid;
                traces.extend(xid.map(Trace::xid));
            }
            head.table.into_iter().for_each(|table| note(table, head.operation.into_iter().collect()));
            // The commit of changes that stand in an earlier block is about their tables as well.
            for touched in block.touched(index) {
                note(touched.table, touched.operations);
                let oid = block.tables().get(touched.table as usize).map(|table| table.oid);
                oid.into_iter().for_each(|oid| counts.told(oid, Minute::of(head.time), touched.count));
            }
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
            traces: Traces::of(traces),
            counts: counts.all().collect(),
        })
    }
}
