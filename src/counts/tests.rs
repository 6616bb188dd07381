//! The ledger against a model of a server: whatever is shown as exact is what `count(*)` would find.

use proptest::prelude::*;

use super::{Effect, Ledger, Snapshot, Standing};
use crate::lsn::{Lsn, Oid, Xid};

const TABLE: Oid = Oid(16_384);

/// What happens next.
#[derive(Clone, Debug)]
enum Act {
    /// A transaction begins.
    Begin,
    /// One of the running ones commits: it is in the log from here on. `effect`: what it did to the table.
    Commit {
        which: usize,
        effect: Effect,
    },
    /// One of those that committed becomes visible to others.
    Show {
        which: usize,
    },
    /// The stream brings the oldest transaction that it has not brought yet.
    Stream,
    /// A baseline is asked for, takes its snapshot, says so, ends.
    Ask,
    Snapshot,
    Began,
    Counted,
    /// Someone looks at what is visible, and says so: it is visible for ever.
    Look,
    Prune,
}

fn any_act() -> impl Strategy<Value = Act> {
    let effect = prop_oneof![8 => (-3_i64..20).prop_map(Effect::rows), 1 => (0_i64..5).prop_map(Effect::set)];
    prop_oneof![
        4 => Just(Act::Begin),
        4 => (0_usize..8, effect).prop_map(|(which, effect)| Act::Commit { which, effect }),
        4 => (0_usize..8).prop_map(|which| Act::Show { which }),
        4 => Just(Act::Stream),
        2 => Just(Act::Ask),
        2 => Just(Act::Snapshot),
        2 => Just(Act::Began),
        2 => Just(Act::Counted),
        1 => Just(Act::Look),
        1 => Just(Act::Prune),
    ]
}

/// A server with one table.
struct Server {
    next: u64,
    running: Vec<u64>,
    /// In the order of their commit records.
    committed: Vec<(u64, Effect)>,
    hidden: Vec<u64>,
    streamed: usize,
}

impl Server {
    fn snapshot(&self) -> Snapshot {
        let mut in_progress: Vec<u64> = self.running.iter().chain(&self.hidden).copied().collect();
        in_progress.sort_unstable();
        let list: Vec<_> = in_progress.iter().map(u64::to_string).collect();
        let xmin = in_progress.first().copied().unwrap_or(self.next);
        format!("{xmin}:{}:{}", self.next, list.join(",")).parse().unwrap()
    }

    fn visible(&self) -> i64 {
        self.committed.iter().filter(|(xid, _)| !self.hidden.contains(xid)).fold(1000, |count, (_, effect)| effect.on(count))
    }

    fn position(&self) -> Lsn {
        Lsn(self.committed.len() as u64 * 10)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn what_is_exact_is_true(start in prop_oneof![Just(100_u64), Just((7 << 32) - 10)], acts in proptest::collection::vec(any_act(), 1..120), limit in prop_oneof![Just(3_usize), Just(1000)]) {
        let mut server = Server { next: start, running: vec![], committed: vec![], hidden: vec![], streamed: 0 };
        let mut ledger = Ledger::remembering(limit);
        // What was seen, and has not been said yet.
        let (mut asked, mut taken, mut baseline, mut looked) = (false, None, None, None);
        for act in acts {
            match act {
                Act::Begin => {
                    server.running.push(server.next);
                    server.next += 1;
                }
                Act::Commit { which, effect } if !server.running.is_empty() => {
                    let xid = server.running.remove(which % server.running.len());
                    let locks = effect.on(0) == effect.on(1);
                    if locks {
                        // TRUNCATE has the table to itself until it is visible, and came after everyone before was.
                        server.hidden.clear();
                        server.committed.push((xid, effect));
                    } else {
                        server.hidden.push(xid);
                        server.committed.push((xid, effect));
                    }
                }
                Act::Show { which } if !server.hidden.is_empty() => {
                    server.hidden.remove(which % server.hidden.len());
                }
                Act::Stream if server.streamed < server.committed.len() => {
                    let (xid, effect) = server.committed[server.streamed];
                    server.streamed += 1;
                    ledger.begin(Xid(xid as u32));
                    if effect != Effect::default() {
                        ledger.apply(TABLE, effect, |_| ());
                    }
                    ledger.commit();
                    ledger.reached(Lsn(server.streamed as u64 * 10));
                    prop_assert!(ledger.take_impossible().is_empty() || server.committed.iter().any(|(_, e)| e.on(0) < 0));
                }
                Act::Ask => {
                    ledger.ask(TABLE);
                    (asked, taken, baseline) = (true, None, None);
                }
                Act::Snapshot if asked => {
                    taken = Some((server.visible(), server.snapshot(), server.position()));
                    asked = false;
                }
                Act::Began => {
                    if let Some((rows, snapshot, lsn)) = taken.take() {
                        match ledger.began(TABLE, snapshot, lsn) {
                            Ok(()) => baseline = Some(rows),
                            Err(_) => {
                                ledger.ask(TABLE);
                                asked = true;
                            }
                        }
                    }
                }
                Act::Counted => {
                    if let Some(rows) = baseline.take() {
                        prop_assert!(ledger.counted(TABLE, rows));
                        ledger.reached(ledger.position());
                    }
                }
                Act::Look => looked = Some(server.snapshot()),
                Act::Prune => looked.take().iter().for_each(|snapshot| ledger.prune(snapshot)),
                _ => {}
            }
            if let Standing::Exact(rows) = ledger.standing(TABLE) {
                let truth = server.committed[..server.streamed].iter().fold(1000, |count, (_, effect)| effect.on(count));
                prop_assert_eq!(rows, truth);
            }
        }
    }
}

#[test]
fn a_baseline_becomes_exact_once_the_stream_has_passed_it() {
    let mut ledger = Ledger::default();
    assert_eq!(ledger.standing(TABLE), Standing::Unknown);
    ledger.ask(TABLE);
    // 100 is streamed while the snapshot cannot see it yet; 101 is seen but not streamed; 102 is neither.
    for xid in [100, 101, 102] {
        if xid == 101 {
            ledger.began(TABLE, "100:102:100".parse().unwrap(), Lsn(50)).unwrap();
            assert!(ledger.counted(TABLE, 7));
        }
        ledger.begin(Xid(xid));
        assert_eq!(ledger.insert(TABLE), None);
        ledger.commit();
        ledger.reached(Lsn(u64::from(xid - 99) * 20));
        assert_eq!(ledger.standing(TABLE), if xid == 102 { Standing::Exact(9) } else { Standing::Counting });
    }
}

#[test]
fn below_zero_is_doubt() {
    let mut ledger = Ledger::default();
    ledger.ask(TABLE);
    ledger.began(TABLE, "100:100:".parse().unwrap(), Lsn(1)).unwrap();
    ledger.counted(TABLE, 0);
    assert_eq!(ledger.reached(Lsn(1)), [TABLE]);
    ledger.begin(Xid(100));
    assert_eq!(ledger.delete(TABLE), None);
    ledger.commit();
    assert_eq!(ledger.take_impossible(), [TABLE]);
    assert_eq!(ledger.standing(TABLE), Standing::Unknown);
}

#[test]
fn truncate_tells_what_was_lost_and_counts_go_on_from_there() {
    let mut ledger = Ledger::default();
    ledger.ask(TABLE);
    ledger.began(TABLE, "100:100:".parse().unwrap(), Lsn(0)).unwrap();
    ledger.counted(TABLE, 22);
    ledger.reached(Lsn(0));
    ledger.begin(Xid(100));
    assert_eq!(ledger.insert(TABLE), Some(23));
    assert_eq!(ledger.truncate(TABLE), Some(23));
    assert_eq!(ledger.insert(TABLE), Some(1));
    let touched = ledger.commit();
    assert_eq!((touched[0].totals.inserts, touched[0].totals.truncates, touched[0].count), (2, 1, Some(1)));
}
