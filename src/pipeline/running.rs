//! Large transactions that are still running, as far as the server streams them: what they have done so far, and what became of them.
//!
//! It is state, like the status, and no part of the history: nothing of it is committed. It is looked at once a second at most, and only
//! while there is something to see. A transaction that has ended is told for a few seconds more, so that whoever was told of it learns how.

use std::cmp::Reverse;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use rustc_hash::FxHashMap;
use serde::Serialize;
use tokio::time::Instant;

use super::unix_micros;
use crate::assembler::{Done, End, Running as Streamed};
use crate::event::Actor;
use crate::event::time::rfc3339_unix;
use crate::lsn::{Oid, Xid};

/// A transaction is told of from this many changes.
const LARGE: u64 = 1000;
/// The largest are told.
const MOST: usize = 20;
/// Between two looks.
const EVERY: Duration = Duration::from_secs(1);
/// How long it is told that a transaction has ended.
const AFTERWARDS: Duration = Duration::from_secs(5);

/// All that are told of, the largest first.
#[derive(Debug, Default)]
pub struct Running {
    /// Running, or ended a moment ago.
    pub transactions: Vec<Arc<RunningTransaction>>,
    /// The `running` event, made when first asked for (the server's).
    pub json: OnceLock<Bytes>,
}

/// One transaction. What it has done may be more by now, and may yet come to nothing.
#[derive(Clone, Debug, Serialize)]
pub struct RunningTransaction {
    /// The top-level transaction.
    pub xid: u32,
    /// What became of it, if it has ended.
    pub state: RunningState,
    /// When it was first told of, RFC 3339, by this machine's clock.
    pub since: String,
    /// Changes so far.
    pub changes: u64,
    /// Whether all that was rolled back in it is left out. Not once it has ended: then it is what was seen of it last.
    pub exact: bool,
    /// The same, by table, the most changed first.
    pub tables: Vec<RunningTable>,
    /// Who does it: as the stream tells, where it does so already (the triggers tell when a statement is through), else whose session it is.
    pub actor: Option<Actor>,
}

/// Whether a transaction still runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RunningState {
    /// Not committed yet.
    Running,
    /// Its events are in the stream.
    Committed,
    /// Nothing of it ever was.
    RolledBack,
}

/// What a transaction has done to one table so far.
#[derive(Clone, Debug, Serialize)]
pub struct RunningTable {
    /// Identity.
    pub oid: u32,
    /// Schema; `None` of a table that was made in the transaction itself.
    pub schema: Option<String>,
    /// Name.
    pub name: Option<String>,
    /// Rows inserted.
    pub inserts: u64,
    /// Rows updated.
    pub updates: u64,
    /// Rows deleted.
    pub deletes: u64,
    /// Times truncated.
    pub truncates: u64,
}

/// Keeps what is told.
#[derive(Debug, Default)]
pub(super) struct Announcements {
    told: Vec<Arc<RunningTransaction>>,
    /// Those told of that have ended, and when that came to be known.
    ended: Vec<(Xid, Instant)>,
    looked: Option<Instant>,
    /// Whose sessions those are that the stream does not tell; nobody's, until that was answered.
    sessions: FxHashMap<Xid, Option<Actor>>,
    /// Those of them that nobody was asked about yet.
    unknown: Vec<Xid>,
}

impl Announcements {
    /// When to look next, if there is anything to see.
    pub(super) fn due(&self, streams: bool) -> Option<Instant> {
        (streams || !self.told.is_empty()).then(|| self.looked.map_or_else(Instant::now, |looked| looked + EVERY))
    }

    /// Looks at what is streamed, and who does it. `None` if nothing is different.
    pub(super) fn look<'a>(
        &mut self,
        streamed: impl Iterator<Item = (Streamed<'a>, Option<Actor>)>,
        ended: &[(Xid, End)],
        name: impl Fn(Oid) -> Option<(String, String)>,
    ) -> Option<Running> {
        let now = Instant::now();
        self.looked = Some(now);
        self.ended.retain(|(_, at)| now < *at + AFTERWARDS);
        let before = std::mem::take(&mut self.told);
        for transaction in &before {
            let end = ended.iter().find(|(xid, _)| xid.0 == transaction.xid).map(|(_, end)| *end);
            if let Some(end) = end.filter(|_| transaction.state == RunningState::Running) {
                self.ended.push((Xid(transaction.xid), now));
                // What came after the last look is not in these numbers; the commit has them.
                let last = RunningTransaction::clone(transaction);
                self.told.push(Arc::new(RunningTransaction { state: end.into(), exact: false, ..last }));
            } else if self.ended.iter().any(|(xid, _)| xid.0 == transaction.xid) {
                self.told.push(Arc::clone(transaction));
            }
        }
        for (Streamed { xid, tally, .. }, actor) in streamed {
            let tables = tally.tables();
            let changes = tables.values().map(Done::changes).sum();
            if changes < LARGE {
                continue;
            }
            let mut tables: Vec<_> = tables.into_iter().map(|(oid, done)| RunningTable::new(oid, done, name(oid))).collect();
            tables.sort_by_key(|table| (Reverse(table.inserts + table.updates + table.deletes + table.truncates), table.oid));
            let told = before.iter().find(|told| told.xid == xid.0 && told.state == RunningState::Running);
            let since = told.map_or_else(|| rfc3339_unix(unix_micros()), |told| told.since.clone());
            let actor = actor.or_else(|| self.session(xid));
            let (xid, state, exact) = (xid.0, RunningState::Running, tally.is_exact());
            self.told.push(Arc::new(RunningTransaction { xid, state, since, changes, exact, tables, actor }));
        }
        self.told.sort_by_key(|transaction| (Reverse(transaction.changes), transaction.xid));
        self.told.truncate(MOST);
        let told = &self.told;
        self.sessions.retain(|xid, _| told.iter().any(|told| told.xid == xid.0));
        let seen = |told: &Arc<RunningTransaction>| (told.xid, told.state, told.changes, told.actor.is_some());
        let different = before.iter().map(seen).ne(self.told.iter().map(seen));
        different.then(|| Running { transactions: self.told.clone(), json: OnceLock::new() })
    }
}

impl Announcements {
    /// Whose session runs a transaction. It is asked about once.
    fn session(&mut self, xid: Xid) -> Option<Actor> {
        let unknown = &mut self.unknown;
        let known = self.sessions.entry(xid).or_insert_with(|| {
            unknown.push(xid);
            None
        });
        known.clone()
    }

    /// The transactions that are to be asked about.
    pub(super) fn unknown(&mut self) -> Vec<Xid> {
        std::mem::take(&mut self.unknown)
    }

    /// These sessions run those transactions. It is told at once.
    pub(super) fn seen(&mut self, sessions: Vec<(Xid, Actor)>) {
        for (xid, actor) in sessions {
            if let Some(known) = self.sessions.get_mut(&xid) {
                *known = Some(actor);
                self.looked = None;
            }
        }
    }
}

impl From<End> for RunningState {
    fn from(end: End) -> Self {
        match end {
            End::Committed => RunningState::Committed,
            End::RolledBack => RunningState::RolledBack,
        }
    }
}

impl RunningTable {
    fn new(oid: Oid, done: Done, name: Option<(String, String)>) -> Self {
        let (schema, name) = name.unzip();
        let Done { inserts, updates, deletes, truncates } = done;
        RunningTable { oid: oid.0, schema, name, inserts, updates, deletes, truncates }
    }
}
