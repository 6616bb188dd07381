//! Questions about what is kept: a page of events, one transaction.
//!
//! A query may look through the whole ring; with a `where` it reads the JSON of every change of the table. Ask from a thread that may
//! block (`spawn_blocking`).

use std::ops::Range;
use std::str::FromStr;
use std::sync::Arc;

use bytes::Bytes;

use super::History;
use super::batch::Event;
use super::block::Kept;
use super::journal::{Archive, Glimpse, Located as OnDisk};
use super::ring::{Cursor, Located};
use crate::event::filter::Filter;
use crate::event::time::from_unix_micros;
use crate::event::{Block, Head, Kind, TableName};
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
    fn may_ask_for(&self, glimpse: &Glimpse<'_>) -> bool {
        let ((earliest, latest), (first, last)) = (glimpse.times(), glimpse.places());
        let ends_before = |bound| match bound {
            Bound::Time(time) => latest < time,
            Bound::Lsn(lsn) => last.commit_lsn < lsn,
        };
        let begins_after = |bound| match bound {
            Bound::Time(time) => earliest >= time,
            Bound::Lsn(lsn) => first.commit_lsn >= lsn,
        };
        !self.since.is_some_and(ends_before) && !self.until.is_some_and(begins_after)
    }

    fn asks_for_table(&self, table: Option<&Arc<TableName>>) -> bool {
        self.oids.as_ref().zip(table).is_none_or(|(oids, table)| oids.contains(&table.oid))
    }
}

impl History {
    /// The tables that the changes between the bounds are about, by each name that they had there. Reads no JSON.
    pub fn changed_tables(&self, query: &Query) -> Vec<Arc<TableName>> {
        let mut tables = Vec::new();
        self.visit(
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
        tables
    }

    /// The first event between the bounds that is kept, whatever it is about, in the order of the query.
    pub fn first(&self, query: &Query) -> Option<EventId> {
        let mut first = None;
        self.visit(
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
        first
    }

    /// When what is kept begins: the time of the oldest event.
    pub fn begins(&self) -> Option<Timestamp> {
        let on_disk = self.shared.archive.as_ref().and_then(Archive::begins);
        on_disk.or_else(|| self.shared.ring().begins())
    }

    /// Answers from what is kept.
    pub fn query(&self, query: &Query) -> Page {
        let mut page = Page::default();
        let mut last = None;
        self.visit(
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
        let (mut events, mut first_ordinal, mut next) = (Vec::new(), None, None);
        self.visit(
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
                    events.push(kept.block.json(head));
                }
                true
            },
        );
        let is_cut = |archive: &Archive| query.after.as_ref().is_some_and(|id| matches!(archive.locate(id), OnDisk::Lost(_)));
        match first_ordinal {
            None if self.shared.archive.as_ref().is_some_and(is_cut) => TransactionLookup::NoLongerKept,
            None => self.shared.ring().missing(id),
            Some(1) => TransactionLookup::Whole(events),
            Some(first_ordinal) => TransactionLookup::PartlyKept { events, first_ordinal },
        }
    }

    /// Shows `visit` the blocks that may hold what is asked for, in the order that is asked for, each with the indices of the events between
    /// the cursors, until it has seen enough: what is in memory, and what is on disk beside it. Those on disk that are not `wanted` are not
    /// read.
    fn visit(
        &self,
        query: &Query,
        wanted: impl Fn(&Glimpse<'_>) -> bool,
        mut visit: impl FnMut(&Arc<Kept>, Range<usize>) -> bool,
    ) {
        let (after, before) = (query.after.as_ref(), query.before.as_ref());
        let from = match after.map(|after| self.shared.ring().locate(after)) {
            Some(Located::Ahead) => return,
            Some(Located::At(cursor)) => Some(cursor),
            // What is lost after it cannot be on the page; the rest can.
            None | Some(Located::Lost(_)) => None,
        };
        let in_memory = |from: Option<Cursor>, visit: &mut dyn FnMut(&Arc<Kept>, Range<usize>) -> bool| {
            let span = {
                let ring = self.shared.ring();
                let to = match before {
                    None => Some(Cursor::at(ring.end())),
                    Some(before) => ring.seek(&before.epoch, |place| place < before.place),
                };
                to.map(|to| (from.unwrap_or_else(|| Cursor::at(ring.first())), to)).filter(|(from, to)| from < to)
            };
            span.is_none_or(|(from, to)| self.visit_memory(from, to, query.order, visit))
        };
        let on_disk = |before: Option<&EventId>, visit: &mut dyn FnMut(&Arc<Kept>, Range<usize>) -> bool| {
            let Some(archive) = &self.shared.archive else { return true };
            let mut goes_on = true;
            let show = |block: Block| {
                let kept = Arc::new(Kept::new(block));
                let up_to = |id: Option<&EventId>, or: usize, is_in: fn(&EventId, &EventId) -> bool| {
                    id.map_or(or, |id| kept.block.heads().partition_point(|head| is_in(&kept.block.id(head), id)))
                };
                let indices = up_to(after, 0, |own, after| own <= after)
                    ..up_to(before, kept.block.heads().len(), |own, before| own < before);
                goes_on = indices.is_empty() || visit(&kept, indices);
                goes_on
            };
            let wants = |glimpse: Glimpse<'_>| query.may_ask_for(&glimpse) && wanted(&glimpse);
            if let Err(error) = archive.visit((after, before), query.order, wants, show) {
                tracing::error!(%error, "a part of the journal cannot be read, and nothing of it is answered");
            }
            goes_on
        };
        match query.order {
            Order::NewestFirst => {
                let mut oldest = None;
                let mut note = |kept: &Arc<Kept>, indices: Range<usize>| {
                    oldest = kept.block.heads().first().map(|head| kept.block.id(head));
                    visit(kept, indices)
                };
                if in_memory(from, &mut note) {
                    on_disk(oldest.as_ref().or(before), &mut visit);
                }
            }
            Order::OldestFirst if from.is_some() => {
                in_memory(from, &mut visit);
            }
            Order::OldestFirst => {
                let mut newest = None;
                let mut note = |kept: &Arc<Kept>, indices: Range<usize>| {
                    newest = kept.block.heads().last().map(|head| kept.block.id(head));
                    visit(kept, indices)
                };
                if on_disk(before, &mut note) {
                    // Blocks that were passed by on disk may be in memory as well, and are looked at again there.
                    let from = newest.and_then(|newest| match self.shared.ring().locate(&newest) {
                        Located::At(cursor) => Some(cursor),
                        Located::Ahead | Located::Lost(_) => None,
                    });
                    in_memory(from, &mut visit);
                }
            }
        }
    }

    /// The same of what is in memory, from `from` to `to`; false once enough has been seen. Takes the lock only to fetch some blocks at a
    /// time.
    fn visit_memory(
        &self,
        from: Cursor,
        to: Cursor,
        order: Order,
        visit: &mut dyn FnMut(&Arc<Kept>, Range<usize>) -> bool,
    ) -> bool {
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
                    return false;
                }
            }
        }
        true
    }
}
