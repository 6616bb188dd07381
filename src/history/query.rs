//! Questions about what is kept: a page of events, one transaction.
//!
//! A query may look through the whole ring; with a `where` it reads the JSON of every change of the table. Ask from a thread that may
//! block (`spawn_blocking`).

use std::sync::Arc;

use bytes::Bytes;

use super::History;
use super::batch::Event;
use super::block::Kept;
use super::ring::{Cursor, Located};
use crate::event::filter::Filter;
use crate::event::{Head, Kind, TableName};
use crate::lsn::{EventId, Lsn, Oid, Place, TransactionId, Xid};
use crate::pgoutput::Timestamp;

/// Blocks that are taken out at a time, so that nobody waits long for the lock.
const CHUNK: u64 = 64;

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
}

/// What is known of one transaction.
#[derive(Debug, PartialEq, Eq)]
pub enum TransactionLookup {
    /// All its events, in order, its commit last.
    Whole(Vec<Bytes>),
    /// Its beginning is no longer kept.
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

    fn asks_for_table(&self, table: Option<&Arc<TableName>>) -> bool {
        self.oids.as_ref().zip(table).is_none_or(|(oids, table)| oids.contains(&table.oid))
    }
}

impl History {
    /// The tables that the changes between the bounds are about, by each name that they had there. Reads no JSON.
    pub fn changed_tables(&self, query: &Query) -> Vec<Arc<TableName>> {
        let Some((from, to)) = self.span(query) else { return Vec::new() };
        let mut tables = Vec::new();
        self.visit(from, to, Order::OldestFirst, |kept, indices| {
            for head in indices.filter_map(|index| kept.block.heads().get(index)) {
                if let Some(table) = kept.block.table(head).filter(|_| head.kind == Kind::Change && query.asks_for(head))
                    && !tables.contains(table)
                {
                    tables.push(Arc::clone(table));
                }
            }
            true
        });
        tables
    }

    /// The oldest event between the bounds that is kept, whatever it is about.
    pub fn first(&self, query: &Query) -> Option<EventId> {
        let (from, to) = self.span(query)?;
        let mut first = None;
        self.visit(from, to, Order::OldestFirst, |kept, mut indices| {
            let heads = kept.block.heads();
            first =
                indices.find_map(|index| heads.get(index).filter(|head| query.asks_for(head)).map(|head| kept.block.id(head)));
            first.is_none()
        });
        first
    }

    /// When what is kept begins: the time of the oldest event.
    pub fn begins(&self) -> Option<Timestamp> {
        self.shared.ring().begins()
    }

    /// Answers from what is kept.
    pub fn query(&self, query: &Query) -> Page {
        let Some((from, to)) = self.span(query) else { return Page::default() };
        let mut page = Page::default();
        let mut last = None;
        self.visit(from, to, query.order, |kept, indices| {
            let matches = query.filter.matches(&kept.block);
            let passes = |index: &usize| {
                let asked = |head: &Head| query.asks_for(head) && query.asks_for_table(kept.block.table(head));
                matches.contains(*index) && kept.block.heads().get(*index).is_some_and(asked)
            };
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
        });
        page
    }

    /// Whether all of a transaction is still kept.
    pub fn keeps(&self, id: &TransactionId) -> bool {
        let ring = self.shared.ring();
        let first = Place { commit_lsn: id.commit_lsn, ordinal: 1 };
        let Some(Cursor { sequence, index }) = ring.seek(&id.epoch, |place| place < first) else { return false };
        ring.get(sequence).and_then(|kept| kept.block.heads().get(index)).is_some_and(|head| head.place == first)
    }

    /// The events of one transaction.
    pub fn transaction(&self, id: &TransactionId) -> TransactionLookup {
        let TransactionId { epoch, commit_lsn } = id;
        let (from, to) = {
            let ring = self.shared.ring();
            if ring.is_arriving(epoch, *commit_lsn) {
                return TransactionLookup::Arriving;
            }
            let from = ring.seek(epoch, |place| place.commit_lsn < *commit_lsn);
            let to = ring.seek(epoch, |place| place.commit_lsn <= *commit_lsn);
            match from.zip(to) {
                Some((from, to)) if from < to => (from, to),
                _ => return ring.missing(id),
            }
        };
        let (mut events, mut first_ordinal) = (Vec::new(), None);
        self.visit(from, to, Order::OldestFirst, |kept, indices| {
            for head in indices.filter_map(|index| kept.block.heads().get(index)) {
                first_ordinal.get_or_insert(head.place.ordinal);
                events.push(kept.block.json(head));
            }
            true
        });
        match first_ordinal {
            // It went while it was being read.
            None => TransactionLookup::NoLongerKept,
            Some(1) => TransactionLookup::Whole(events),
            Some(first_ordinal) => TransactionLookup::PartlyKept { events, first_ordinal },
        }
    }

    /// The stretch of events that cursors and bounds leave; `None` when there is none.
    fn span(&self, query: &Query) -> Option<(Cursor, Cursor)> {
        let ring = self.shared.ring();
        let from = match query.after.as_ref().map(|after| ring.locate(after)) {
            // What is lost after it cannot be on the page; the rest can.
            None | Some(Located::Lost(_)) => Cursor::at(ring.first()),
            Some(Located::At(cursor)) => cursor,
            Some(Located::Ahead) => return None,
        };
        let to = match &query.before {
            None => Cursor::at(ring.end()),
            // Nothing is kept that came before an event of which nothing is known.
            Some(before) => ring.seek(&before.epoch, |place| place < before.place)?,
        };
        (from < to).then_some((from, to))
    }

    /// Shows `visit` each block from `from` to `to` that is still kept, in the given order, with the indices of the events between,
    /// until it has seen enough. Takes the lock only to fetch some blocks at a time.
    fn visit(&self, from: Cursor, to: Cursor, order: Order, mut visit: impl FnMut(&Kept, std::ops::Range<usize>) -> bool) {
        // A last block is looked at only if some of its events come before `to`.
        let (mut low, mut high) = (from.sequence, to.sequence + u64::from(to.index > 0));
        while low < high {
            let (start, end) = match order {
                Order::NewestFirst => (high.saturating_sub(CHUNK).max(low), high),
                Order::OldestFirst => (low, high.min(low + CHUNK)),
            };
            let mut chunk: Vec<(u64, Arc<Kept>)> = {
                let ring = self.shared.ring();
                (start..end).filter_map(|sequence| Some((sequence, Arc::clone(ring.get(sequence)?)))).collect()
            };
            match order {
                Order::NewestFirst => {
                    chunk.reverse();
                    high = start;
                }
                Order::OldestFirst => low = end,
            }
            for (sequence, kept) in chunk {
                let first = if sequence == from.sequence { from.index } else { 0 };
                let last = if sequence == to.sequence { to.index } else { kept.block.heads().len() };
                if !visit(&kept, first..last) {
                    return;
                }
            }
        }
    }
}
