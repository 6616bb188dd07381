//! Questions about what is kept: a page of events, one transaction.
//!
//! A query may look through the whole ring; with a `where` it reads the JSON of every change of the table. Ask from a thread that may
//! block (`spawn_blocking`).

use std::str::FromStr;
use std::sync::Arc;

use bytes::Bytes;

use super::History;
use super::batch::Event;
use super::journal::{Archive, Glimpse, JournalError, Located as OnDisk};
use super::ring::Cursor;
use crate::event::filter::Filter;
use crate::event::time::from_unix_micros;
use crate::event::{Block, Head, Kind, TableName};
use crate::lsn::{EventId, Lsn, Oid, Place, TransactionId, Xid};
use crate::pgoutput::Timestamp;

/// Which events are asked for. Between bounds and cursors, all must hold.
#[derive(Clone, Debug)]
pub struct Query {
    /// What must pass.
    pub filter: Arc<Filter>,
    /// Only what is about one of these tables, whatever each was called, or about none; `None` for all.
    pub oids: Option<Vec<Oid>>,
    /// From here on, inclusive.
    pub since: Option<Bound>,
    /// Up to here, exclusive.
    pub until: Option<Bound>,
    /// Of this transaction. Ids are used again after 2³² transactions.
    pub xid: Option<Xid>,
    /// Only what came before this event.
    pub before: Option<EventId>,
    /// Only what came after this event.
    pub after: Option<EventId>,
    /// At which end to begin.
    pub order: Order,
    /// How many at most.
    pub limit: usize,
}

/// A point in the history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// When a transaction was committed.
    Time(Timestamp),
    /// Where its commit record stands.
    Lsn(Lsn),
}

/// A text that is neither a time nor a position.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is neither a time such as 2026-11-22T14:02:11Z nor an LSN such as 0/1A2B3F0")]
pub struct ParseBoundError {
    text: String,
}

impl FromStr for Bound {
    type Err = ParseBoundError;

    fn from_str(text: &str) -> Result<Self, ParseBoundError> {
        if let Ok(lsn) = text.parse::<Lsn>() {
            return Ok(Bound::Lsn(lsn));
        }
        let time: jiff::Timestamp = text.parse().map_err(|_| ParseBoundError { text: text.to_owned() })?;
        Ok(Bound::Time(from_unix_micros(time.as_microsecond())))
    }
}

/// At which end a page begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// The newest event first.
    #[default]
    NewestFirst,
    /// The oldest event first.
    OldestFirst,
}

/// Events that answer a [`Query`], in its order.
#[derive(Debug, Default)]
pub struct Page {
    /// The JSON of each. It keeps their blocks alive.
    pub events: Vec<Bytes>,
    /// The last event of the page, if more may follow: `before` (or `after`, oldest first) for the next page.
    pub next: Option<EventId>,
    /// Why that is not all: a part of the journal cannot be read.
    pub unread: Option<JournalError>,
}

/// Where what is kept begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Beginning {
    /// The first event that is kept, if there is any.
    pub id: Option<EventId>,
    /// When that was committed; or when the history began, if nothing that was in it is gone; or since when nothing is in it.
    pub time: Option<Timestamp>,
    /// The last event that is no longer kept, if any is.
    pub lost: Option<EventId>,
}

/// What is known of one transaction.
#[derive(Debug, PartialEq, Eq)]
pub enum TransactionLookup {
    /// All its events, in order, its commit last.
    Whole(Vec<Bytes>),
    /// Its beginning is no longer kept, or its end never came.
    PartlyKept {
        /// The events that are.
        events: Vec<Bytes>,
        /// The ordinal of the first of them.
        first_ordinal: u64,
    },
    /// It is being appended: ask again.
    Arriving,
    /// It is older than what is kept.
    NoLongerKept,
    /// There was no such transaction.
    Unknown,
}

impl Query {
    /// Every event that passes `filter`, newest first.
    pub fn new(filter: Arc<Filter>, limit: usize) -> Self {
        let order = Order::default();
        Self { filter, oids: None, since: None, until: None, xid: None, before: None, after: None, order, limit }
    }

    /// Whether an event lies between the bounds, and in the transaction if one is asked for.
    pub fn asks_for(&self, head: &Head) -> bool {
        let reached = |bound: Bound| match bound {
            Bound::Time(time) => head.time >= time,
            Bound::Lsn(lsn) => head.place.commit_lsn >= lsn,
        };
        self.xid.is_none_or(|xid| head.xid == Some(xid)) && self.since.is_none_or(reached) && !self.until.is_some_and(reached)
    }

    /// Whether something that is asked for may be in a block.
    pub fn may_be_in(&self, glimpse: &Glimpse<'_>) -> bool {
        self.may_ask_for(glimpse) && glimpse.may_pass(&self.filter)
    }

    /// Which events of a block are asked for, cursors aside, by their index there.
    pub fn found_in<'a>(&'a self, block: &'a Block) -> impl Fn(&usize) -> bool + 'a {
        let matches = self.filter.matches(block);
        let asked = |head: &Head| self.asks_for(head) && self.asks_for_table(block.table(head));
        move |index| matches.contains(*index) && block.heads().get(*index).is_some_and(asked)
    }

    /// Whether a block may hold an event between the bounds.
    pub(super) fn may_ask_for(&self, glimpse: &Glimpse<'_>) -> bool {
        let ((earliest, latest), (first, last)) = (glimpse.times(), glimpse.places());
        let ends_before = |bound| match bound {
            Bound::Time(time) => latest < time,
            Bound::Lsn(lsn) => last.commit_lsn < lsn,
        };
        let begins_after = |bound| match bound {
            Bound::Time(time) => earliest >= time,
            Bound::Lsn(lsn) => first.commit_lsn >= lsn,
        };
        !self.since.is_some_and(ends_before)
            && !self.until.is_some_and(begins_after)
            && self.xid.is_none_or(|xid| glimpse.may_be_of(xid))
    }

    fn asks_for_table(&self, table: Option<&Arc<TableName>>) -> bool {
        self.oids.as_ref().zip(table).is_none_or(|(oids, table)| oids.contains(&table.oid))
    }
}

impl History {
    /// The tables that the changes between the bounds are about, by each name that they had there. Reads no JSON.
    pub fn changed_tables(&self, query: &Query) -> Vec<Arc<TableName>> {
        let mut tables = Vec::new();
        let visited = self.visit(
            query,
            |_| true,
            |kept, indices| {
                for head in indices.filter_map(|index| kept.block.heads().get(index)) {
                    if let Some(table) = kept.block.table(head).filter(|_| head.kind == Kind::Change && query.asks_for(head))
                        && !tables.contains(table)
                    {
                        tables.push(Arc::clone(table));
                    }
                }
                true
            },
        );
        complain(visited);
        tables
    }

    /// The first event between the bounds that is kept, whatever it is about, in the order of the query.
    pub fn first(&self, query: &Query) -> Option<EventId> {
        let mut first = None;
        let visited = self.visit(
            query,
            |_| true,
            |kept, mut indices| {
                let asked = |index| kept.block.heads().get(index).filter(|head| query.asks_for(head));
                let head = match query.order {
                    Order::NewestFirst => indices.rev().find_map(asked),
                    Order::OldestFirst => indices.find_map(asked),
                };
                first = head.map(|head| kept.block.id(head));
                first.is_none()
            },
        );
        complain(visited);
        first
    }

    /// When what is kept begins: the time of the oldest event, or since when there is none.
    pub fn begins(&self) -> Option<Timestamp> {
        let on_disk = self.shared.archive.as_ref().and_then(Archive::begins);
        on_disk.or_else(|| self.shared.ring().begins())
    }

    /// Where what is kept begins: of what came before, no question can be answered.
    pub fn beginning(&self) -> Beginning {
        let (lost, began) = match &self.shared.archive {
            Some(archive) => (archive.floor(), archive.marks_begin().ok().flatten().map(from_unix_micros)),
            None => {
                let ring = self.shared.ring();
                (ring.floor().filter(|_| !ring.is_whole()).cloned(), Some(self.shared.began))
            }
        };
        let time = if lost.is_some() { self.begins() } else { began.or_else(|| self.begins()) };
        Beginning { id: self.oldest(), time, lost }
    }

    /// Answers from what is kept.
    pub fn query(&self, query: &Query) -> Page {
        let mut page = Page::default();
        let mut last = None;
        let visited = self.visit(
            query,
            |glimpse| glimpse.may_pass(&query.filter),
            |kept, indices| {
                let passes = query.found_in(&kept.block);
                let mut take = |index: usize| {
                    if page.events.len() == query.limit {
                        page.next = last.take();
                        return false;
                    }
                    let event = kept.block.heads().get(index).map(|head| Event::new(&kept.block, head));
                    last = event.map(|event| event.id());
                    page.events.extend(event.map(|event| event.json()));
                    true
                };
                match query.order {
                    Order::NewestFirst => indices.rev().filter(passes).all(&mut take),
                    Order::OldestFirst => indices.filter(passes).all(&mut take),
                }
            },
        );
        page.unread = visited.err();
        page
    }

    /// Whether all of a transaction is still kept.
    pub fn keeps(&self, id: &TransactionId) -> bool {
        let first = Place { commit_lsn: id.commit_lsn, ordinal: 1 };
        let in_memory = {
            let ring = self.shared.ring();
            let cursor = ring.seek(&id.epoch, |place| place < first);
            let head = cursor.and_then(|Cursor { sequence, index }| ring.get(sequence)?.block.heads().get(index).copied());
            head.is_some_and(|head| head.place == first)
        };
        let before = EventId { epoch: id.epoch.clone(), place: Place { ordinal: 0, ..first } };
        let on_disk = |archive: &Archive| archive.locate(&before) == OnDisk::Kept && archive.holds(&before);
        in_memory || self.shared.archive.as_ref().is_some_and(on_disk)
    }

    /// The events of one transaction.
    pub fn transaction(&self, id: &TransactionId) -> TransactionLookup {
        let TransactionId { epoch, commit_lsn } = id;
        if self.shared.ring().is_arriving(epoch, *commit_lsn) {
            return TransactionLookup::Arriving;
        }
        // All ordinals of this commit, and nothing of another.
        let at = |ordinal| Some(EventId { epoch: epoch.clone(), place: Place { commit_lsn: *commit_lsn, ordinal } });
        let everything = Query::new(Arc::new(Filter::everything()), usize::MAX);
        let query = Query { after: at(0), before: at(u64::MAX), order: Order::OldestFirst, ..everything };
        let (mut events, mut first_ordinal, mut next, mut is_open) = (Vec::new(), None, None, false);
        let visited = self.visit(
            &query,
            |_| true,
            |kept, indices| {
                for head in indices.filter_map(|index| kept.block.heads().get(index)) {
                    if next.is_some_and(|next: u64| next != head.place.ordinal) {
                        // Something between could not be read: what is known is what came behind that.
                        (first_ordinal, events) = (None, Vec::new());
                    }
                    next = Some(head.place.ordinal + 1);
                    first_ordinal.get_or_insert(head.place.ordinal);
                    // What holds messages alone has no commit.
                    is_open = head.kind == Kind::Change || is_open && head.kind != Kind::Commit;
                    events.push(kept.block.json(head));
                }
                true
            },
        );
        // It may be what is missing.
        let is_missing = matches!(visited, Err(JournalError::Missing { .. }));
        complain(visited);
        let is_cut = |archive: &Archive| query.after.as_ref().is_some_and(|id| matches!(archive.locate(id), OnDisk::Lost(_)));
        match first_ordinal {
            None if is_missing || self.shared.archive.as_ref().is_some_and(is_cut) => TransactionLookup::NoLongerKept,
            None => self.shared.ring().missing(id),
            // One that was given up on its way has no end.
            Some(1) if !is_open => TransactionLookup::Whole(events),
            Some(first_ordinal) => TransactionLookup::PartlyKept { events, first_ordinal },
        }
    }
}

/// Says in the log what a question could not be answered from.
pub(super) fn complain(visited: Result<(), JournalError>) {
    if let Err(error) = visited {
        tracing::error!(%error, "a part of the journal cannot be read, and nothing of it is answered");
    }
}
