//! The records of format 1, as far as they differ from those of now. They are read; nothing is written in this format, but the index that
//! completes a file of it.

use serde::{Deserialize, Serialize};

use crate::event::Traces;
use crate::event::{Kind, Operations, TableName};
use crate::lsn::{Epoch, EventId, Lsn, Oid, Place};
use crate::pgoutput::Timestamp;

#[derive(Serialize, Deserialize)]
pub(in crate::history::journal) struct TableState {
    oid: Oid,
    schema: String,
    name: String,
    count: Option<i64>,
    reason: Option<String>,
    relfilenode: Oid,
    published_as: u64,
}

#[derive(Serialize, Deserialize)]
pub(in crate::history::journal) struct State {
    epoch: Option<Epoch>,
    position: Lsn,
    timeline: u32,
    time: i64,
    tables: Vec<TableState>,
}

#[derive(Serialize, Deserialize)]
pub(in crate::history::journal) struct Start {
    watched: super::Watched,
    before: Option<EventId>,
    state: State,
}

#[derive(Serialize, Deserialize)]
pub(in crate::history::journal) struct Commit {
    state: State,
    gone: Vec<Oid>,
}

#[derive(Serialize, Deserialize)]
pub(in crate::history::journal) struct Summary {
    epoch: Epoch,
    first: Place,
    last: Place,
    times: (Timestamp, Timestamp),
    events: u32,
    open: bool,
    size: u64,
    kinds: Vec<Kind>,
    tables: Vec<(TableName, Operations)>,
}

#[derive(Serialize, Deserialize)]
pub(in crate::history::journal) struct Index {
    blocks: Vec<(u64, u32, Summary)>,
    commits: Vec<(u64, Lsn, i64)>,
}

impl TableState {
    /// What told of DDL was not written, nor of what a table is a partition.
    fn now(self, as_of: Lsn) -> super::TableState {
        let Self { oid, schema, name, count, reason, published_as, .. } = self;
        let covered = reason.is_none();
        let (file, parent, verified_at) = (Oid(0), None, None);
        super::TableState { oid, schema, name, count, as_of, reason, published_as, file, parent, covered, verified_at }
    }
}

impl From<State> for super::State {
    fn from(State { epoch, position, timeline, time, tables }: State) -> Self {
        let tables = tables.into_iter().map(|table| table.now(position)).collect();
        Self { epoch, position, timeline, time, told_by: None, tables }
    }
}

impl From<Start> for super::Start {
    fn from(Start { watched, before, state }: Start) -> Self {
        Self { watched, before, state: state.into() }
    }
}

impl From<Commit> for super::Commit {
    fn from(Commit { state, gone }: Commit) -> Self {
        Self { state: state.into(), gone }
    }
}

impl From<Summary> for super::Summary {
    fn from(Summary { epoch, first, last, times, events, open, size, kinds, tables }: Summary) -> Self {
        let (traces, counts) = (Traces::default(), Vec::new());
        Self { epoch, first, last, times, events, open, size, kinds, tables, traces, counts }
    }
}

impl From<Index> for super::Index {
    fn from(Index { blocks, commits }: Index) -> Self {
        Self { blocks: blocks.into_iter().map(|(place, length, summary)| (place, length, summary.into())).collect(), commits }
    }
}

/// To complete a file of this format.
impl From<&super::Index> for Index {
    fn from(index: &super::Index) -> Self {
        let summary = |summary: &super::Summary| {
            let super::Summary { epoch, first, last, times, events, open, size, kinds, tables, .. } = summary.clone();
            Summary { epoch, first, last, times, events, open, size, kinds, tables }
        };
        let blocks = index.blocks.iter().map(|(place, length, of)| (*place, *length, summary(of))).collect();
        Self { blocks, commits: index.commits.clone() }
    }
}
