//! The cache against a model of a server: whatever is told of an old row is what the row was.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{AMPLE, ENUM, Label, TABLE, Values, contents, described, key, labelled, update};
use crate::counts::Snapshot;
use crate::lsn::{Lsn, Xid};
use crate::pgoutput::Row;
use crate::rows::{Cache, Change, Former, Limits, Reading, Standing};

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

    /// The change that the stream brings of it, as it was `written`, and what was there before, as it is `now`; `None` when it does nothing.
    fn on(self, rows: &mut BTreeMap<u8, Values>, written: Label, now: Label) -> Option<(Change<Row>, Former)> {
        let before_was = |id, before| Former::Row(labelled(id, before, now));
        match self {
            Deed::Put { id, values, keep } => match rows.get(&id).copied() {
                None => {
                    rows.insert(id, values);
                    Some((Change::Insert(labelled(id, values, written)), Former::Unknown))
                }
                Some(before) => {
                    let after = if keep { (values.0, before.1) } else { values };
                    rows.insert(id, after);
                    let new = if keep { update(id, after, written) } else { labelled(id, after, written) };
                    Some((Change::Update { old: None, new }, before_was(id, before)))
                }
            },
            Deed::Rename { from, to } if !rows.contains_key(&to) => {
                let before = rows.remove(&from)?;
                rows.insert(to, before);
                Some((Change::Update { old: Some(key(from)), new: update(to, before, written) }, before_was(from, before)))
            }
            Deed::Rename { .. } => None,
            Deed::Delete(id) => {
                let before = rows.remove(&id)?;
                Some((Change::Delete(key(id)), before_was(id, before)))
            }
            Deed::Truncate => {
                let all = std::mem::take(rows).into_iter().map(|(id, values)| labelled(id, values, now)).collect();
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
    /// A running transaction renames the values of the enum, and commits.
    Relabel {
        which: usize,
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
    Read {
        /// The text of the enum is as it is now, not as it was when the snapshot was taken.
        late: bool,
    },
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
        5 => any::<bool>().prop_map(|late| Act::Read { late }),
        1 => (0_usize..8).prop_map(|which| Act::Relabel { which }),
        1 => Just(Act::Look),
        1 => Just(Act::Prune),
        1 => Just(Act::Altered),
        1 => Just(Act::Described),
        1 => Just(Act::Doubt),
    ]
}

/// What a transaction did.
enum Work {
    /// It wrote this, under this label: from when it began, so that others may have been renamed since.
    Deeds(Label, Vec<Deed>),
    Relabel,
}

impl Work {
    fn deeds(&self) -> &[Deed] {
        match self {
            Work::Deeds(_, deeds) => deeds,
            Work::Relabel => &[],
        }
    }
}

/// A server with one table.
struct Server {
    next: u64,
    /// With the label when it began.
    running: Vec<(u64, Label)>,
    /// In the order of their commit records.
    committed: Vec<(u64, Work)>,
    hidden: Vec<u64>,
    start: BTreeMap<u8, Values>,
    streamed: usize,
    /// Where the stream is.
    rows: BTreeMap<u8, Values>,
    label: Label,
}

impl Server {
    fn new(next: u64) -> Self {
        let start: BTreeMap<u8, Values> = (0..6).map(|id| (id, (id, u16::from(id) * 1000))).collect();
        let rows = start.clone();
        Server { next, running: vec![], committed: vec![], hidden: vec![], start, streamed: 0, rows, label: 0 }
    }

    fn begin(&mut self) {
        let label = self.committed.iter().filter(|(_, work)| matches!(work, Work::Relabel)).count() as Label;
        self.running.push((self.next, label));
        self.next += 1;
    }

    fn snapshot(&self) -> Snapshot {
        let mut in_progress: Vec<u64> = self.running.iter().map(|(xid, _)| xid).chain(&self.hidden).copied().collect();
        in_progress.sort_unstable();
        let list: Vec<_> = in_progress.iter().map(u64::to_string).collect();
        let xmin = in_progress.first().copied().unwrap_or(self.next);
        format!("{xmin}:{}:{}", self.next, list.join(",")).parse().unwrap()
    }

    fn visible(&self) -> impl Iterator<Item = &Work> {
        self.committed.iter().filter(|(xid, _)| !self.hidden.contains(xid)).map(|(_, work)| work)
    }

    /// That of the catalog, for who reads now.
    fn visible_label(&self) -> Label {
        self.visible().filter(|work| matches!(work, Work::Relabel)).count() as Label
    }

    fn seen(&self) -> (Snapshot, BTreeMap<u8, Values>, Label) {
        let mut rows = self.start.clone();
        self.visible().flat_map(Work::deeds).for_each(|deed| drop(deed.on(&mut rows, 0, 0)));
        (self.snapshot(), rows, self.visible_label())
    }

    fn reading(&self, (snapshot, rows, label): (Snapshot, BTreeMap<u8, Values>, Label)) -> Reading {
        let lsn = Lsn(self.committed.len() as u64 * 10);
        Reading { snapshot, lsn, hangs_on: vec![ENUM], contents: contents(&rows, label) }
    }

    fn relabel(&mut self, which: usize) {
        let (xid, _) = self.running.remove(which % self.running.len());
        // Another one would have held the lock on the type until it was visible.
        let relabels = |xid: &u64| self.committed.iter().any(|(each, work)| each == xid && matches!(work, Work::Relabel));
        self.hidden.retain(|xid| !relabels(xid));
        self.hidden.push(xid);
        self.committed.push((xid, Work::Relabel));
    }

    fn commit(&mut self, which: usize, deeds: Vec<Deed>) {
        let (xid, label) = self.running.remove(which % self.running.len());
        if deeds.iter().any(|deed| matches!(deed, Deed::Truncate)) {
            // TRUNCATE has the table to itself until it is visible, and came after everyone before was.
            let writes = |xid: &u64| self.committed.iter().any(|(each, work)| each == xid && !work.deeds().is_empty());
            self.hidden.retain(|xid| !writes(xid));
        } else {
            // The rows of those who are not visible yet are still locked.
            let hidden = self.committed.iter().filter(|(xid, _)| self.hidden.contains(xid));
            let mut locked = hidden.flat_map(|(_, work)| work.deeds());
            let touched: Vec<u8> = deeds.iter().flat_map(|deed| deed.touches()).flatten().collect();
            if locked.any(|deed| deed.touches().iter().flatten().any(|id| touched.contains(id))) {
                return;
            }
            self.hidden.push(xid);
        }
        self.committed.push((xid, Work::Deeds(label, deeds)));
    }

    /// Streams one transaction. What is told of old rows has to be true; gives how much was told.
    fn stream(&mut self, cache: &mut Cache) -> Result<usize, TestCaseError> {
        let (xid, work) = &self.committed[self.streamed];
        self.streamed += 1;
        cache.begin(Xid(*xid as u32));
        let mut told = 0;
        match work {
            Work::Relabel => {
                self.label += 1;
                cache.altered(ENUM, &[]);
            }
            Work::Deeds(written, deeds) => {
                for deed in deeds {
                    if let Some((change, before)) = deed.on(&mut self.rows, *written, self.label) {
                        let former = cache.apply(TABLE, change.view());
                        if former != Former::Unknown {
                            prop_assert_eq!(&former, &before, "{:?}", deed);
                            told += 1;
                        }
                    }
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
        let (mut seen, mut looked) = (None, None);
        for act in acts {
            match act {
                Act::Begin => server.begin(),
                Act::Relabel { which } if !server.running.is_empty() => server.relabel(which),
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
                    seen = None;
                }
                Act::Snapshot => seen = Some(server.seen()),
                Act::Read { late } => {
                    if let Some((snapshot, rows, label)) = seen.take() {
                        let label = if late { server.visible_label() } else { label };
                        let _ = cache.read(TABLE, server.reading((snapshot, rows, label)));
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
                    seen = None;
                }
                Act::Commit { .. } | Act::Relabel { .. } | Act::Show { .. } | Act::Stream => {}
            }
            prop_assert_eq!(cache.usage().bytes, cache.weigh());
            prop_assert!(cache.usage().bytes <= limit.total + 200, "but for the ids of transactions");
        }

        // Once all is quiet the rows are known, and told.
        server.hidden.clear();
        server.running.clear();
        while server.streamed < server.committed.len() {
            server.stream(&mut cache)?;
        }
        cache.ask(TABLE);
        let reading = server.reading(server.seen());
        let lsn = reading.lsn;
        prop_assert_eq!(cache.read(TABLE, reading), Ok(()));
        cache.reached(lsn);
        prop_assert_eq!(cache.standing(TABLE), Some(Standing::Full));
        let id = server.rows.keys().next().copied().unwrap_or(0);
        server.begin();
        server.commit(0, vec![Deed::Put { id, values: (1, 1), keep: false }, Deed::Delete(id), Deed::Truncate]);
        prop_assert!(server.stream(&mut cache)? >= 2);
    }
}
