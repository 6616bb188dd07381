//! Counts as they were: at any position or time that a journal reaches back to.
//!
//! A mark of the journal says how many rows each table had where the stream stood; the commits behind it say what became of that. Times are
//! those of the commits, by the server's clock, in the order of the stream: a time stands just before the first commit that is later.

use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHashSet};
use serde::Deserialize;

use super::History;
use super::journal::{Archive, Glimpse, JournalError, Marked, TableState};
use super::query::{Bound, Order, Query};
use crate::event::filter::Filter;
use crate::event::time::{from_unix_micros, rfc3339_unix, unix_micros};
use crate::event::{Head, Kind};
use crate::lsn::{Epoch, EventId, Lsn, Oid, Place};
use crate::pgoutput::Timestamp;

/// How many rows each table had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Past {
    /// Where in the stream.
    pub lsn: Lsn,
    /// When that was: of its last commit, by the server's clock, or of the mark, by ours, whichever is known of last.
    pub time: Timestamp,
    /// In which epoch.
    pub epoch: Epoch,
    /// In the order of their names.
    pub tables: Vec<TableState>,
}

/// Why that cannot be told.
#[derive(Debug, thiserror::Error)]
pub enum PastError {
    /// There is no journal.
    #[error("counts over time are kept in a journal: start pgvigil serve with --data-dir")]
    NotRecorded,
    /// What is kept begins later.
    #[error("{}", not_kept(*.since))]
    NotKept {
        /// When, in microseconds since 1970; `None` if nothing is kept yet.
        since: Option<i64>,
    },
    /// The stream has not come so far.
    #[error("the stream has come to {position} so far. Ask again in a moment")]
    Ahead {
        /// How far it has.
        position: Lsn,
    },
    /// The stream was lost then.
    #[error("from {} ({}) to {} ({}) nobody watched, so it is not known", .from.0, rfc3339_unix(.from.1), .to.0, rfc3339_unix(.to.1))]
    Unseen {
        /// The last position before that was recorded, and when.
        from: (Lsn, i64),
        /// The first one behind.
        to: (Lsn, i64),
    },
    /// It cannot be read.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

fn not_kept(since: Option<i64>) -> String {
    let since = since
        .map_or_else(|| "nothing is recorded yet".to_owned(), |since| format!("what is kept begins {}", rfc3339_unix(since)));
    format!("{since}. --keep and --keep-for say how much is kept")
}

/// What a commit says of a table.
#[derive(Deserialize)]
struct Said {
    oid: u32,
    schema: String,
    name: String,
    count: Option<i64>,
}

impl History {
    /// What is on disk.
    ///
    /// # Errors
    /// Nothing is.
    pub fn archive(&self) -> Result<&Archive, PastError> {
        self.shared.archive.as_ref().ok_or(PastError::NotRecorded)
    }

    /// How many rows each table had behind the commit at a position, or at a time.
    ///
    /// # Errors
    /// That is not recorded, not kept any more, or not there yet.
    pub fn counts_at(&self, at: Bound) -> Result<Past, PastError> {
        let archive = self.archive()?;
        let (marked, before) = match at {
            Bound::Lsn(lsn) => (archive.marked(|position, _| position <= lsn)?, None),
            Bound::Time(time) => {
                let everything = Query::new(Arc::new(Filter::everything()), 1);
                let since = Some(Bound::Time(Timestamp(time.0.saturating_add(1))));
                let later = self.first(&Query { since, order: Order::OldestFirst, ..everything });
                let reached = |position: Lsn, marked| {
                    from_unix_micros(marked) <= time && later.as_ref().is_none_or(|later| position <= later.place.commit_lsn)
                };
                (archive.marked(reached)?, later)
            }
        };
        let Some(marked) = marked else { return Err(PastError::NotKept { since: archive.marks_begin()? }) };
        let goes_on = before.as_ref().is_some_and(|before| before.epoch == marked.epoch);
        let is_at_mark = matches!(at, Bound::Lsn(lsn) if lsn == marked.position);
        if let Some(to) = marked.ended_before.filter(|_| !goes_on && !is_at_mark) {
            return Err(PastError::Unseen { from: (marked.position, marked.time), to });
        }
        let before = match at {
            Bound::Lsn(lsn) => {
                let seen = self.newest().map_or(marked.position, |newest| newest.place.commit_lsn.max(marked.position));
                if marked.is_last && lsn > seen {
                    return Err(PastError::Ahead { position: seen });
                }
                Some(EventId { epoch: marked.epoch.clone(), place: Place { commit_lsn: lsn, ordinal: u64::MAX } })
            }
            Bound::Time(_) => before.filter(|_| goes_on),
        };
        self.replayed(marked, before)
    }

    /// What became of the counts behind a mark, by what commits say, up to an event.
    fn replayed(&self, marked: Marked, before: Option<EventId>) -> Result<Past, PastError> {
        let Marked { epoch, position, time, late, mut tables, .. } = marked;
        let (mut lsn, mut time) = (position, from_unix_micros(time));
        let after = Some(EventId { epoch: epoch.clone(), place: Place { commit_lsn: position, ordinal: 0 } });
        let everything = Query::new(Arc::new(Filter::everything()), usize::MAX);
        let query = Query { after, before, order: Order::OldestFirst, ..everything };
        let mut commit = |head: &Head, json: &[u8]| {
            match head.kind {
                Kind::Gap => return false,
                Kind::Commit => said(json).into_iter().for_each(|said| told(&mut tables, said, head.place.commit_lsn)),
                Kind::Ddl => doubt(&mut tables, json),
                Kind::Change | Kind::Message => return true,
            }
            (lsn, time) = (head.place.commit_lsn, head.time);
            true
        };
        // Where counts are late, commits tell none: what is known is what the mark says, unless the next one is missing.
        let tells = |glimpse: &Glimpse<'_>| {
            let of_counts = || [Kind::Commit, Kind::Ddl, Kind::Gap].into_iter().any(|kind| glimpse.holds(kind));
            glimpse.is_missing() || !late && *glimpse.epoch() == epoch && of_counts()
        };
        self.visit(&query, tells, |kept, mut indices| {
            let heads = kept.block.heads();
            !late
                && *kept.block.epoch() == epoch
                && indices.all(|index| heads.get(index).is_none_or(|head| commit(head, kept.block.bytes(head))))
        })?;
        let mut tables: Vec<TableState> = tables.into_values().collect();
        tables.sort_unstable_by(|one, other| (&one.schema, &one.name).cmp(&(&other.schema, &other.name)));
        Ok(Past { lsn, time, epoch, tables })
    }
}

fn said(commit: &[u8]) -> Vec<Said> {
    #[derive(Deserialize)]
    struct Commit {
        tables: Vec<Said>,
    }
    serde_json::from_slice(commit).map_or_else(|_| Vec::new(), |commit: Commit| commit.tables)
}

/// A commit tells this of a table; the tables that it is a partition of have as many rows more.
fn told(tables: &mut FxHashMap<Oid, TableState>, said: Said, lsn: Lsn) {
    let Said { oid, schema, name, count } = said;
    let oid = Oid(oid);
    // Made since the mark.
    let table = tables.entry(oid).or_insert_with(|| TableState::named(oid, schema, name, lsn));
    let change = count.zip(table.count).map(|(now, before)| now - before);
    (table.count, table.as_of) = (count, lsn);
    if count.is_some() {
        table.reason = None;
    }
    let mut next = table.parent;
    // Parents do not go round in circles, but what is read from a file may say so.
    for _ in 0..64 {
        let Some(parent) = next.and_then(|parent| tables.get_mut(&parent)) else { break };
        parent.count = parent.count.zip(change).map(|(count, change)| count + change);
        parent.as_of = lsn;
        next = parent.parent;
    }
}

/// What became of the tables by this, only the next mark tells: what is a partition of what, whether a table left the log or the publication, if
/// only for a moment.
fn doubt(tables: &mut FxHashMap<Oid, TableState>, ddl: &[u8]) {
    const WHY: &str = "it was altered just before; what came of that was recorded a moment later";
    #[derive(Deserialize)]
    struct Ddl {
        command: String,
        object: Option<String>,
    }
    let Ddl { command, object } = serde_json::from_slice(ddl).unwrap_or_else(|_| Ddl { command: String::new(), object: None });
    let is_sum: FxHashSet<Oid> = tables.values().filter_map(|table| table.parent).collect();
    let is_named =
        |table: &TableState| object.as_deref().is_some_and(|object| object == format!("{}.{}", table.schema, table.name));
    let adds = command.starts_with("CREATE ") && command != "CREATE PUBLICATION";
    let names_none = !tables.values().any(is_named);
    let is_doubtful = |table: &TableState| is_sum.contains(&table.oid) || !adds && (names_none || is_named(table));
    for table in tables.values_mut().filter(|table| is_doubtful(table)) {
        (table.count, table.reason) = (None, Some(WHY.to_owned()));
    }
}

impl Past {
    /// When that was, in microseconds since 1970.
    pub fn unix_time(&self) -> i64 {
        unix_micros(self.time)
    }
}
