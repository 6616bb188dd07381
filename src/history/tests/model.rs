//! The history against a list of everything that ever happened.

use proptest::prelude::*;
use proptest::sample::Index;

use super::*;
use crate::lsn::TransactionId;

#[derive(Clone, Debug)]
enum Action {
    /// Transactions of so many changes each, in one block.
    Append {
        transactions: Vec<u64>,
        width: usize,
    },
    /// One transaction in several blocks, of so many events each.
    AppendLarge {
        blocks: usize,
        each: u64,
        width: usize,
    },
    NewEpoch,
    OpenLive,
    OpenOldest,
    /// After an event that once was there, or some place near it.
    OpenAfter {
        event: Index,
        ahead: bool,
    },
    Read {
        reader: Index,
        filter: usize,
        bytes: usize,
    },
    Query {
        filter: usize,
        before: Option<Index>,
        after: Option<Index>,
        limit: usize,
        oldest_first: bool,
    },
    Look {
        event: Index,
    },
}

/// One event that once was appended.
#[derive(Clone, Debug, PartialEq)]
struct Event {
    id: EventId,
    kind: Kind,
    table: Option<u64>,
}

struct Follower {
    reader: Reader,
    /// Index of the event it is given next.
    next: usize,
}

struct World {
    writer: Writer,
    history: History,
    epochs: u64,
    lsn: u64,
    all: Vec<Event>,
    followers: Vec<Follower>,
    filters: Vec<Arc<Filter>>,
}

fn passes(filter: usize, event: &Event) -> bool {
    match filter {
        0 => true,
        1 => event.kind != Kind::Change || event.table == Some(1),
        _ => event.kind == Kind::Gap || event.kind == Kind::Commit,
    }
}

impl World {
    fn new(limit: usize) -> Self {
        let (mut writer, history) = ring(limit);
        writer.begin_epoch(epoch(0), Lsn(0), None);
        let filters =
            [Filter::everything(), filter(&[("kinds", "change,commit"), ("table", "t1")]), filter(&[("kinds", "commit")])];
        let filters = filters.into_iter().map(|filter| history.intern(filter)).collect();
        World { writer, history, epochs: 0, lsn: 0, all: Vec::new(), followers: Vec::new(), filters }
    }

    fn kept_from(&self) -> usize {
        usize::try_from(self.history.usage().evicted_events).unwrap()
    }

    fn note(&mut self, lsn: u64, ordinals: std::ops::RangeInclusive<u64>, changes: u64) {
        let epoch = epoch(self.epochs);
        self.all.extend(ordinals.map(|ordinal| {
            let change = ordinal <= changes;
            let kind = if change { Kind::Change } else { Kind::Commit };
            Event { id: id(&epoch, lsn, ordinal), kind, table: change.then_some(ordinal % 3) }
        }));
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Append { transactions, width } => {
                let mut builder = BlockBuilder::new(epoch(self.epochs));
                for changes in transactions {
                    // A commit passes the filter by table t1 if t1 is among its tables: with three changes it surely is.
                    let changes = changes + 3;
                    self.lsn += 1;
                    transaction(&mut builder, self.lsn, 1..=changes + 1, changes, width);
                    self.note(self.lsn, 1..=changes + 1, changes);
                }
                self.writer.append(builder.finish());
            }
            Action::AppendLarge { blocks, each, width } => {
                self.lsn += 1;
                let events = blocks as u64 * each;
                for first in (1..=events).step_by(usize::try_from(each).unwrap()) {
                    let block = part(&epoch(self.epochs), self.lsn, first..=first + each - 1, events - 1, width);
                    self.writer.append(block);
                    self.note(self.lsn, first..=first + each - 1, events - 1);
                    let (mut late, from) =
                        (self.history.read_from(Start::Live), self.all.len() - usize::try_from(first + each - 1).unwrap());
                    let expected = if first + each > events { self.all.len() } else { from };
                    assert_follows(&self.all, self.kept_from(), expected, &mut late);
                }
            }
            Action::NewEpoch => {
                self.epochs += 1;
                self.lsn += 1;
                let from = self.history.newest();
                self.writer.begin_epoch(epoch(self.epochs), Lsn(self.lsn), Some(GapReason::SlotLost));
                let to = id(&epoch(self.epochs), self.lsn, 0);
                assert_eq!(self.history.newest().as_ref(), Some(&to));
                assert!(from.is_some());
                self.all.push(Event { id: to, kind: Kind::Gap, table: None });
            }
            Action::OpenLive => {
                let reader = self.history.read_from(Start::Live);
                self.followers.push(Follower { reader, next: self.all.len() });
            }
            Action::OpenOldest => {
                let reader = self.history.read_from(Start::Oldest);
                self.followers.push(Follower { reader, next: self.kept_from() });
            }
            Action::OpenAfter { event, ahead } => {
                let Some(after) = (!self.all.is_empty()).then(|| event.index(self.all.len())) else { return };
                let mut from = self.all[after].id.clone();
                // A place that no event has, behind that transaction's.
                let next = if ahead {
                    from.place.ordinal = u64::MAX;
                    let later = |event: &Event| event.id.epoch != from.epoch || event.id.place > from.place;
                    self.all[after..].iter().position(later).map_or(self.all.len(), |offset| after + offset)
                } else {
                    after + 1
                };
                let reader = self.history.read_from(Start::After(from.clone()));
                assert_eq!(reader.last(), Some(&from));
                self.followers.push(Follower { reader, next });
            }
            Action::Read { reader, filter, bytes } => {
                let Some(index) = (!self.followers.is_empty()).then(|| reader.index(self.followers.len())) else { return };
                self.read(index, filter, bytes);
            }
            Action::Query { filter, before, after, limit, oldest_first } => {
                self.query(filter, before, after, limit, oldest_first)
            }
            Action::Look { event } => self.look(event),
        }
        let usage = self.history.usage();
        assert!(usage.bytes <= usage.limit);
        assert_eq!(usage.events, self.all.len() - self.kept_from());
        assert_eq!(self.history.oldest(), self.all.get(self.kept_from()).map(|event| event.id.clone()));
    }

    fn read(&mut self, follower: usize, filter: usize, bytes: usize) {
        let kept_from = self.kept_from();
        let Follower { reader, next } = &mut self.followers[follower];
        let last = reader.last().cloned();
        match reader.read(&self.filters[filter], bytes) {
            Read::Gap(gap) => {
                assert_eq!(gap.from, last);
                assert!(*next < kept_from, "a gap where nothing is missing");
                assert_eq!(gap.to, self.all[kept_from - 1].id);
                assert_eq!(gap.reason, GapReason::Evicted);
                *next = kept_from;
            }
            Read::Events(batch) => {
                assert!(*next >= kept_from, "something is missing without a gap");
                let got: Vec<_> = batch.iter().map(|event| event.id()).collect();
                let past = 1 + self.all.iter().position(|event| Some(&event.id) == reader.last()).unwrap();
                let expected = self.all[*next..past].iter().filter(|event| passes(filter, event)).map(|event| event.id.clone());
                assert_eq!(got, expected.collect::<Vec<_>>());
                assert_eq!(batch.last().as_ref(), got.last());
                assert!(batch.bytes() <= bytes || batch.len() == 1);
                *next = past;
            }
            Read::Nothing => {
                assert!(*next >= kept_from);
                assert!(!self.all[*next..].iter().any(|event| passes(filter, event)));
                *next = self.all.len();
            }
        }
    }

    fn query(&self, filter: usize, before: Option<Index>, after: Option<Index>, limit: usize, oldest_first: bool) {
        let Some(length) = std::num::NonZero::new(self.all.len()) else { return };
        let (before, after) = (before.map(|at| at.index(length.get())), after.map(|at| at.index(length.get())));
        let id_of = |at: Option<usize>| at.map(|at| self.all[at].id.clone());
        let query = Query {
            before: id_of(before),
            after: id_of(after),
            order: if oldest_first { Order::OldestFirst } else { Order::NewestFirst },
            ..Query::new(Arc::clone(&self.filters[filter]), limit)
        };
        let page = self.history.query(&query);
        let from = after.map_or(0, |after| after + 1).max(self.kept_from());
        let to = before.unwrap_or(length.get()).max(from);
        let mut expected: Vec<_> = self.all[from..to].iter().filter(|event| passes(filter, event)).collect();
        if !oldest_first {
            expected.reverse();
        }
        let more = expected.len() > limit;
        expected.truncate(limit);
        assert_eq!(page.next.as_ref(), expected.last().filter(|_| more).map(|event| &event.id));
        assert_eq!(page.events.len(), expected.len());
        for (json, event) in page.events.iter().zip(expected) {
            let json = std::str::from_utf8(json).unwrap();
            assert!(json.contains(&format!("\"{}\"", event.id)), "{json} {event:?}");
        }
    }

    fn look(&self, event: Index) {
        let Some(at) = (!self.all.is_empty()).then(|| event.index(self.all.len())) else { return };
        let EventId { epoch, place } = &self.all[at].id;
        let of_it = |event: &&Event| event.id.epoch == *epoch && event.id.place.commit_lsn == place.commit_lsn;
        if self.all[at].kind == Kind::Gap {
            return;
        }
        let (lost, kept) = self.all.split_at(self.kept_from());
        let (lost, kept) = (lost.iter().filter(of_it).count(), kept.iter().filter(of_it).count());
        let id = TransactionId { epoch: epoch.clone(), commit_lsn: place.commit_lsn };
        assert_eq!(self.history.keeps(&id), lost == 0);
        match self.history.transaction(&id) {
            TransactionLookup::Whole(events) => assert_eq!((lost, events.len()), (0, kept)),
            TransactionLookup::PartlyKept { events, first_ordinal } => {
                assert_eq!((events.len(), first_ordinal), (kept, lost as u64 + 1));
            }
            TransactionLookup::NoLongerKept => assert_eq!(kept, 0),
            other => panic!("{other:?} of a transaction that was"),
        }
    }
}

/// That this reader is given everything from event `next` on, or told that it is not.
fn assert_follows(all: &[Event], kept_from: usize, next: usize, reader: &mut Reader) {
    let last = reader.last().cloned();
    let mut got = drain(reader).into_iter();
    if next < kept_from {
        let gap = got.next().and_then(Result::err).expect("a gap");
        assert_eq!(gap.from, last);
        assert_eq!(gap.to, all[kept_from - 1].id);
    }
    let got: Result<Vec<_>, _> = got.collect();
    let expected: Vec<_> = all[next.max(kept_from)..].iter().map(|event| event.id.clone()).collect();
    assert_eq!(got, Ok(expected));
}

fn action() -> impl Strategy<Value = Action> {
    let (width, filter) = (prop::sample::select(vec![0_usize, 100, 2000]), 0..3_usize);
    prop_oneof![
        6 => (prop::collection::vec(0..6_u64, 1..4), width.clone()).prop_map(|(transactions, width)| Action::Append { transactions, width }),
        1 => (1..8_usize, 4..9_u64, width).prop_map(|(blocks, each, width)| Action::AppendLarge { blocks, each, width }),
        1 => Just(Action::NewEpoch),
        1 => Just(Action::OpenLive),
        1 => Just(Action::OpenOldest),
        2 => (any::<Index>(), any::<bool>()).prop_map(|(event, ahead)| Action::OpenAfter { event, ahead }),
        8 => (any::<Index>(), filter.clone(), prop::sample::select(vec![0_usize, 300, 5000, 1 << 20]))
            .prop_map(|(reader, filter, bytes)| Action::Read { reader, filter, bytes }),
        1 => (filter, any::<Option<Index>>(), any::<Option<Index>>(), 0..20_usize, any::<bool>())
            .prop_map(|(filter, before, after, limit, oldest_first)| Action::Query { filter, before, after, limit, oldest_first }),
        1 => any::<Index>().prop_map(|event| Action::Look { event }),
    ]
}

proptest! {
    #[test]
    fn every_reader_is_given_everything_or_told_what_is_missing(
        limit in prop::sample::select(vec![2 << 10, 16 << 10, 64 << 10, 1 << 30]),
        actions in prop::collection::vec(action(), 1..60),
    ) {
        let mut world = World::new(limit);
        actions.into_iter().for_each(|action| world.act(action));
        // In the end, each is given all that is left for it.
        let kept_from = world.kept_from();
        for Follower { mut reader, next } in world.followers {
            assert_follows(&world.all, kept_from, next, &mut reader);
        }
    }
}
