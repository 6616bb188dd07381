//! The cache against a model of a server: whatever is told of an old row is what the row was.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;

use super::{Cache, Change, Column, Contents, Former, Limits, Reading, Reason, Shape, Standing};
use crate::counts::Snapshot;
use crate::lsn::{Lsn, Oid, Xid};
use crate::pgoutput::encode::TupleBuf;
use crate::pgoutput::{Row, Value};

const TABLE: Oid = Oid(16_384);
const AMPLE: Limits = Limits { table: 1 << 20, total: 1 << 20 };

fn described() -> Arc<[Column]> {
    let column = |name: &str, in_identity| Column { name: name.to_owned(), type_oid: Oid(23), typmod: -1, in_identity };
    [column("name", false), column("id", true), column("text", false)].into()
}

fn shape() -> Shape {
    Shape::new(described(), vec![1]).unwrap()
}

/// A small value and a large one, by which an update may have been told `Unchanged`.
type Values = (u8, u16);

fn row(id: u8, (name, text): Values) -> Row {
    let [name, id, text] = [u64::from(name), u64::from(id), u64::from(text)].map(|number| number.to_string());
    [name, id, text].iter().map(|text| Value::Text(text.as_bytes())).collect::<TupleBuf>().into()
}

fn update(id: u8, (name, _): Values) -> Row {
    let [name, id] = [name, id].map(|number| number.to_string());
    [Value::Text(name.as_bytes()), Value::Text(id.as_bytes()), Value::Unchanged].into_iter().collect::<TupleBuf>().into()
}

fn key(id: u8) -> Row {
    [Value::Null, Value::Text(id.to_string().as_bytes()), Value::Null].into_iter().collect::<TupleBuf>().into()
}

fn contents(rows: &BTreeMap<u8, Values>) -> Contents {
    let mut contents = Contents::new(shape());
    for (id, values) in rows {
        assert!(contents.add(row(*id, *values)));
    }
    contents
}

/// What a transaction does to one row, or to all.
#[derive(Clone, Copy, Debug)]
enum Deed {
    /// The row is there then, whether it was or not; where it was, the large value may stay.
    Put {
        id: u8,
        values: Values,
        keep: bool,
    },
    Rename {
        from: u8,
        to: u8,
    },
    Delete(u8),
    Truncate,
}

impl Deed {
    fn touches(self) -> [Option<u8>; 2] {
        match self {
            Deed::Put { id, .. } | Deed::Delete(id) => [Some(id), None],
            Deed::Rename { from, to } => [Some(from), Some(to)],
            Deed::Truncate => [None, None],
        }
    }

    /// The change that the stream brings of it, and what was there before; `None` when it does nothing.
    fn on(self, rows: &mut BTreeMap<u8, Values>) -> Option<(Change<Row>, Former)> {
        match self {
            Deed::Put { id, values, keep } => match rows.get(&id).copied() {
                None => {
                    rows.insert(id, values);
                    Some((Change::Insert(row(id, values)), Former::Unknown))
                }
                Some(before) => {
                    let after = if keep { (values.0, before.1) } else { values };
                    rows.insert(id, after);
                    let new = if keep { update(id, after) } else { row(id, after) };
                    Some((Change::Update { old: None, new }, Former::Row(row(id, before))))
                }
            },
            Deed::Rename { from, to } if !rows.contains_key(&to) => {
                let before = rows.remove(&from)?;
                rows.insert(to, before);
                Some((Change::Update { old: Some(key(from)), new: update(to, before) }, Former::Row(row(from, before))))
            }
            Deed::Rename { .. } => None,
            Deed::Delete(id) => {
                let before = rows.remove(&id)?;
                Some((Change::Delete(key(id)), Former::Row(row(id, before))))
            }
            Deed::Truncate => {
                let all = std::mem::take(rows).into_iter().map(|(id, values)| row(id, values)).collect();
                Some((Change::Truncate, Former::All(all)))
            }
        }
    }
}

/// What happens next.
#[derive(Clone, Debug)]
enum Act {
    Begin,
    /// A running transaction commits: it is in the log from here on.
    Commit {
        which: usize,
        deeds: Vec<Deed>,
    },
    /// One that has committed becomes visible to others.
    Show {
        which: usize,
    },
    /// The stream brings the oldest transaction that it has not brought yet.
    Stream,
    /// Rows are asked for, their snapshot is taken, they are read.
    Ask,
    Snapshot,
    Read,
    /// Someone looks at what is visible, and says so: it is visible for ever.
    Look,
    Prune,
    /// The stream tells of DDL that left all as it is, and describes the table again.
    Altered,
    Described,
    Doubt,
}

fn any_act() -> impl Strategy<Value = Act> {
    let deed = prop_oneof![
        6 => (0..12_u8, any::<Values>(), any::<bool>()).prop_map(|(id, values, keep)| Deed::Put { id, values, keep }),
        2 => (0..12_u8, 0..12_u8).prop_map(|(from, to)| Deed::Rename { from, to }),
        4 => (0..12_u8).prop_map(Deed::Delete),
        1 => Just(Deed::Truncate),
    ];
    prop_oneof![
        8 => Just(Act::Begin),
        8 => (0_usize..8, prop::collection::vec(deed, 1..5)).prop_map(|(which, deeds)| Act::Commit { which, deeds }),
        6 => (0_usize..8).prop_map(|which| Act::Show { which }),
        10 => Just(Act::Stream),
        4 => Just(Act::Ask),
        5 => Just(Act::Snapshot),
        5 => Just(Act::Read),
        1 => Just(Act::Look),
        1 => Just(Act::Prune),
        1 => Just(Act::Altered),
        1 => Just(Act::Described),
        1 => Just(Act::Doubt),
    ]
}

/// A server with one table.
struct Server {
    next: u64,
    running: Vec<u64>,
    /// In the order of their commit records.
    committed: Vec<(u64, Vec<Deed>)>,
    hidden: Vec<u64>,
    start: BTreeMap<u8, Values>,
    streamed: usize,
    /// Where the stream is.
    rows: BTreeMap<u8, Values>,
}

impl Server {
    fn new(next: u64) -> Self {
        let start: BTreeMap<u8, Values> = (0..6).map(|id| (id, (id, u16::from(id) * 1000))).collect();
        let rows = start.clone();
        Server { next, running: vec![], committed: vec![], hidden: vec![], start, streamed: 0, rows }
    }

    fn snapshot(&self) -> Snapshot {
        let mut in_progress: Vec<u64> = self.running.iter().chain(&self.hidden).copied().collect();
        in_progress.sort_unstable();
        let list: Vec<_> = in_progress.iter().map(u64::to_string).collect();
        let xmin = in_progress.first().copied().unwrap_or(self.next);
        format!("{xmin}:{}:{}", self.next, list.join(",")).parse().unwrap()
    }

    fn reading(&self) -> (Snapshot, Lsn, BTreeMap<u8, Values>) {
        let mut rows = self.start.clone();
        for (_, deeds) in self.committed.iter().filter(|(xid, _)| !self.hidden.contains(xid)) {
            deeds.iter().for_each(|deed| drop(deed.on(&mut rows)));
        }
        (self.snapshot(), Lsn(self.committed.len() as u64 * 10), rows)
    }

    fn commit(&mut self, which: usize, deeds: Vec<Deed>) {
        let xid = self.running.remove(which % self.running.len());
        if deeds.iter().any(|deed| matches!(deed, Deed::Truncate)) {
            // TRUNCATE has the table to itself until it is visible, and came after everyone before was.
            self.hidden.clear();
        } else {
            // The rows of those who are not visible yet are still locked.
            let mut locked = self.committed.iter().filter(|(xid, _)| self.hidden.contains(xid)).flat_map(|(_, deeds)| deeds);
            let touched: Vec<u8> = deeds.iter().flat_map(|deed| deed.touches()).flatten().collect();
            if locked.any(|deed| deed.touches().iter().flatten().any(|id| touched.contains(id))) {
                return;
            }
            self.hidden.push(xid);
        }
        self.committed.push((xid, deeds));
    }

    /// Streams one transaction. What is told of old rows has to be true; gives how much was told.
    fn stream(&mut self, cache: &mut Cache) -> Result<usize, TestCaseError> {
        let (xid, deeds) = &self.committed[self.streamed];
        self.streamed += 1;
        cache.begin(Xid(*xid as u32));
        let mut told = 0;
        for deed in deeds {
            if let Some((change, before)) = deed.on(&mut self.rows) {
                let former = cache.apply(TABLE, change.view());
                if former != Former::Unknown {
                    prop_assert_eq!(&former, &before, "{:?}", deed);
                    told += 1;
                }
            }
        }
        prop_assert!(cache.agrees(TABLE, self.rows.len() as i64));
        cache.reached(Lsn(self.streamed as u64 * 10));
        Ok(told)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn what_is_told_is_true(
        start in prop_oneof![Just(100_u64), Just((7 << 32) - 10)],
        limit in prop_oneof![Just(AMPLE), Just(Limits { table: 1500, total: 2000 })],
        acts in prop::collection::vec(any_act(), 1..150),
    ) {
        let (mut server, mut cache) = (Server::new(start), Cache::new(limit));
        cache.described(TABLE, described());
        let (mut reading, mut looked) = (None, None);
        for act in acts {
            match act {
                Act::Begin => {
                    server.running.push(server.next);
                    server.next += 1;
                }
                Act::Commit { which, deeds } if !server.running.is_empty() => server.commit(which, deeds),
                Act::Show { which } if !server.hidden.is_empty() => {
                    server.hidden.remove(which % server.hidden.len());
                }
                Act::Stream if server.streamed < server.committed.len() => {
                    server.stream(&mut cache)?;
                }
                // One job at a time: its snapshot is taken after the asking.
                Act::Ask => {
                    cache.ask(TABLE);
                    reading = None;
                }
                Act::Snapshot => reading = Some(server.reading()),
                Act::Read => {
                    if let Some((snapshot, lsn, rows)) = reading.take() {
                        let _ = cache.read(TABLE, Reading { snapshot, lsn, ancestors: vec![], contents: contents(&rows) });
                    }
                }
                Act::Look => looked = Some(server.snapshot()),
                Act::Prune => {
                    if let Some(snapshot) = looked.take() {
                        cache.prune(&snapshot);
                    }
                }
                Act::Altered => cache.altered(TABLE, &[]),
                Act::Described => cache.described(TABLE, described()),
                Act::Doubt => {
                    cache.waits(TABLE);
                    reading = None;
                }
                Act::Commit { .. } | Act::Show { .. } | Act::Stream => {}
            }
            prop_assert_eq!(cache.usage().bytes, cache.weigh());
            prop_assert!(cache.usage().bytes <= limit.total + 200, "but for the ids of transactions");
        }

        // Once all is quiet the rows are known, and told.
        server.hidden.clear();
        while server.streamed < server.committed.len() {
            server.stream(&mut cache)?;
        }
        cache.ask(TABLE);
        let (snapshot, lsn, rows) = server.reading();
        prop_assert_eq!(cache.read(TABLE, Reading { snapshot, lsn, ancestors: vec![], contents: contents(&rows) }), Ok(()));
        cache.reached(lsn);
        prop_assert_eq!(cache.standing(TABLE), Some(Standing::Full));
        let id = rows.keys().next().copied().unwrap_or(0);
        server.running.push(server.next);
        server.next += 1;
        server.commit(0, vec![Deed::Put { id, values: (1, 1), keep: false }, Deed::Delete(id), Deed::Truncate]);
        prop_assert!(server.stream(&mut cache)? >= 2);
    }
}

/// A cache that knows these rows.
fn knowing(limits: Limits, rows: &[(u8, Values)]) -> Cache {
    let mut cache = Cache::new(limits);
    cache.described(TABLE, described());
    read(&mut cache, TABLE, rows);
    cache
}

fn read(cache: &mut Cache, oid: Oid, rows: &[(u8, Values)]) {
    cache.ask(oid);
    let contents = contents(&rows.iter().copied().collect());
    let reading = Reading { snapshot: "10:10:".parse().unwrap(), lsn: Lsn(5), ancestors: vec![Oid(7), Oid(8)], contents };
    cache.read(oid, reading).unwrap();
    cache.reached(Lsn(5));
    cache.begin(Xid(20));
}

#[test]
fn a_row_of_other_columns_brings_all_into_doubt() {
    let mut cache = knowing(AMPLE, &[(1, (1, 1)), (2, (2, 2))]);
    let mut columns = described().to_vec();
    columns[0].typmod = 44;
    cache.described(TABLE, columns.into());
    assert_eq!(cache.standing(TABLE), Some(Standing::Full), "no row of them has come");
    assert_eq!(cache.apply(TABLE, Change::Delete(key(1).as_tuple())), Former::Unknown);
    assert_eq!((cache.standing(TABLE), cache.take_doubtful()), (Some(Standing::Loading), vec![TABLE]));
}

#[test]
fn what_cannot_be_brings_all_into_doubt() {
    let nameless: Row = [Value::Text(b"1"), Value::Cut(7), Value::Null].into_iter().collect::<TupleBuf>().into();
    for change in [Change::Delete(key(9)), Change::Insert(row(1, (3, 3))), Change::Insert(nameless)] {
        let mut cache = knowing(AMPLE, &[(1, (1, 1))]);
        assert_eq!(cache.apply(TABLE, change.view()), Former::Unknown);
        assert_eq!((cache.standing(TABLE), cache.take_doubtful()), (Some(Standing::Loading), vec![TABLE]), "{change:?}");
    }
    let mut cache = knowing(AMPLE, &[(1, (1, 1))]);
    assert!(cache.agrees(TABLE, 1) && !cache.agrees(TABLE, 2));
    assert_eq!(cache.take_doubtful(), [TABLE]);
}

#[test]
fn what_is_altered_is_in_doubt_with_all_that_is_under_it() {
    for (altered, partitions, stays) in [
        (TABLE, vec![], false),
        (Oid(8), vec![], false),
        // Attached, or what it is a partition of.
        (Oid(9), vec![Oid(1), TABLE], false),
        (Oid(9), vec![Oid(7)], false),
        (Oid(9), vec![Oid(10)], true),
    ] {
        let mut cache = knowing(AMPLE, &[(1, (1, 1))]);
        cache.described(TABLE, described());
        cache.altered(altered, &partitions);
        let standing = if stays { Standing::Full } else { Standing::Loading };
        assert_eq!(cache.standing(TABLE), Some(standing), "{altered}, of {partitions:?}");
        assert_eq!(cache.take_doubtful().is_empty(), stays);
    }
    let mut cache = knowing(AMPLE, &[(1, (1, 1))]);
    cache.ask(TABLE);
    cache.altered(Oid(9), &[]);
    let old = Reading {
        snapshot: "10:10:".parse().unwrap(),
        lsn: Lsn(5),
        ancestors: vec![Oid(9)],
        contents: contents(&BTreeMap::new()),
    };
    assert!(cache.read(TABLE, old).is_err(), "it may be under that");
}

#[test]
fn what_could_not_be_kept_may_be_once_it_is_altered() {
    let mut cache = knowing(AMPLE, &[]);
    cache.refuse(TABLE, Reason::NoKey);
    cache.altered(TABLE, &[]);
    assert_eq!((cache.standing(TABLE), cache.take_doubtful()), (Some(Standing::Loading), vec![TABLE]));
}

#[test]
fn who_grows_too_large_is_dropped() {
    let grow = |limits: Limits| {
        let mut cache = knowing(limits, &[(1, (1, 1))]);
        read(&mut cache, Oid(2), &[(1, (1, 1))]);
        let dropped = (2..200).find(|id| {
            cache.apply(TABLE, Change::Insert(row(*id, (0, 0)).as_tuple()));
            cache.standing(TABLE) != Some(Standing::Full)
        });
        assert!(dropped.is_some());
        assert_eq!((cache.usage().dropped, cache.usage().full, cache.usage().bytes), (1, 1, cache.weigh()));
        let Some(Standing::Off(reason)) = cache.standing(TABLE) else { panic!("{:?}", cache.standing(TABLE)) };
        reason
    };
    assert!(matches!(grow(Limits { table: 3000, total: 100_000 }), Reason::Table { .. }));
    assert!(matches!(grow(Limits { table: 100_000, total: 3000 }), Reason::Total { .. }));
}

#[test]
fn more_transactions_than_can_be_told_apart_are_no_mistake() {
    let mut cache = Cache::new(AMPLE);
    cache.described(TABLE, described());
    for xid in 100..10_000 {
        cache.begin(Xid(xid));
        cache.apply(TABLE, Change::Truncate);
    }
    let reading = |snapshot: &str| Reading {
        snapshot: snapshot.parse().unwrap(),
        lsn: Lsn(1),
        ancestors: vec![],
        contents: contents(&BTreeMap::new()),
    };
    cache.ask(TABLE);
    assert!(cache.read(TABLE, reading("500:10000:500")).is_err());
    assert!(cache.read(TABLE, reading("10000:10000:")).is_ok());
}
