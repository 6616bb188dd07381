//! The trees of partitions: of which tables a partitioned one is the sum, and whether that is certain where the stream stands.
//!
//! ATTACH and DETACH change a tree and leave nothing in the stream but, where `setup` has the database tell of DDL, a message. The catalog
//! tells what a tree is like, but it is read when the stream is elsewhere: often ahead of it. So a tree that has changed is certain again
//! only once the catalog was looked at by someone who sees the change, and the stream has passed the position of that look.

use rustc_hash::FxHashMap;

use crate::catalog;
use crate::counts::Snapshot;
use crate::lsn::{Lsn, Oid, Xid};

/// All trees.
#[derive(Debug, Default)]
pub(super) struct Tree {
    /// Of each partitioned table, in the order of their oids.
    children: FxHashMap<Oid, Vec<Oid>>,
    unsettled: FxHashMap<Oid, Unsettled>,
}

/// Whose partitions have changed, or may have.
#[derive(Debug, Default)]
struct Unsettled {
    /// The stream told of it by this transaction, which no look at the catalog has seen yet.
    told_by: Option<Xid>,
    /// The last look that found it different.
    looked_at: Lsn,
}

impl Tree {
    /// The partitions of `oid`; of these some may be partitioned themselves.
    pub(super) fn children(&self, oid: Oid) -> &[Oid] {
        self.children.get(&oid).map_or(&[], Vec::as_slice)
    }

    /// `oid` and all that is under it.
    pub(super) fn under(&self, oid: Oid) -> Vec<Oid> {
        let (mut all, mut next) = (vec![oid], 0);
        while let Some(oid) = all.get(next) {
            all.extend_from_slice(self.children(*oid));
            next += 1;
        }
        all
    }

    /// The stream tells that the partitions of `oid` may be others from here on.
    pub(super) fn altered(&mut self, oid: Oid, by: Xid) {
        self.unsettled.entry(oid).or_default().told_by = Some(by);
    }

    /// Takes up a look at the catalog that saw `snapshot` before the log reached `lsn`.
    pub(super) fn look<'t>(&mut self, tables: impl Iterator<Item = &'t catalog::Table>, snapshot: &Snapshot, lsn: Lsn) {
        let mut children: FxHashMap<Oid, Vec<Oid>> = FxHashMap::default();
        for table in tables {
            if let Some(parent) = table.parent {
                children.entry(parent).or_default().push(table.oid);
            }
        }
        children.values_mut().for_each(|partitions| partitions.sort_unstable());
        let before = std::mem::replace(&mut self.children, children);
        for oid in before.keys().chain(self.children.keys()) {
            if before.get(oid) != self.children.get(oid) {
                self.unsettled.entry(*oid).or_default().looked_at = lsn;
            }
        }
        for unsettled in self.unsettled.values_mut() {
            if unsettled.told_by.take_if(|xid| snapshot.sees(*xid)).is_some() {
                // Also where it finds nothing new: detached and attached again, what the stream tells in between is of no partition.
                unsettled.looked_at = lsn;
            }
        }
    }

    /// The stream goes on where these were the partitions, and tells of all that became of them since: what a look found to be as it was then is
    /// certain.
    pub(super) fn resume(&mut self, recorded: impl Iterator<Item = (Oid, Oid)>) {
        let mut then: FxHashMap<Oid, Vec<Oid>> = FxHashMap::default();
        recorded.for_each(|(child, parent)| then.entry(parent).or_default().push(child));
        then.values_mut().for_each(|partitions| partitions.sort_unstable());
        self.unsettled.retain(|oid, _| then.get(oid) != self.children.get(oid));
    }

    /// Whether the partitions of `oid` are certain.
    pub(super) fn is_settled(&self, oid: Oid) -> bool {
        !self.unsettled.contains_key(&oid)
    }

    /// The stream stands at `position`. Gives those whose partitions have become certain.
    pub(super) fn settle(&mut self, position: Lsn) -> Vec<Oid> {
        let settled = |unsettled: &Unsettled| unsettled.told_by.is_none() && unsettled.looked_at <= position;
        self.unsettled.extract_if(|_, unsettled| settled(unsettled)).map(|(oid, _)| oid).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::{Coverage, Kind, Persistence, ReplicaIdentity, Table};

    fn table(oid: u32, parent: Option<u32>) -> Table {
        Table {
            oid: Oid(oid),
            schema: "public".to_owned(),
            name: format!("t{oid}"),
            kind: Kind::Partition,
            persistence: Persistence::Permanent,
            parent: parent.map(Oid),
            attached_by: None,
            replica_identity: ReplicaIdentity::Default,
            has_rules: false,
            primary_key: Vec::new(),
            relfilenode: Oid(oid),
            pages: 0,
            coverage: Coverage::Covered,
            published_as: 0,
        }
    }

    fn look(tree: &mut Tree, tables: &[Table], snapshot: &str, lsn: u64) {
        tree.look(tables.iter(), &snapshot.parse().unwrap(), Lsn(lsn));
    }

    #[test]
    fn everything_under_a_table_is_found() {
        let mut tree = Tree::default();
        look(&mut tree, &[table(1, None), table(2, Some(1)), table(3, Some(2)), table(4, Some(2))], "9:9:", 10);
        assert_eq!(tree.under(Oid(1)), [Oid(1), Oid(2), Oid(3), Oid(4)]);
        assert_eq!(tree.under(Oid(4)), [Oid(4)]);
    }

    #[test]
    fn a_look_ahead_of_the_stream_is_not_certain_yet() {
        let mut tree = Tree::default();
        look(&mut tree, &[table(1, None), table(2, Some(1))], "9:9:", 10);
        assert!(!tree.is_settled(Oid(1)));
        assert_eq!(tree.settle(Lsn(9)), []);
        assert_eq!(tree.settle(Lsn(10)), [Oid(1)]);
        look(&mut tree, &[table(1, None), table(2, Some(1))], "9:9:", 20);
        assert!(tree.is_settled(Oid(1)), "nothing has changed");
        look(&mut tree, &[table(1, None), table(2, None)], "9:9:", 30);
        assert!(!tree.is_settled(Oid(1)), "it has lost its only partition");
    }

    #[test]
    fn what_the_stream_tells_is_certain_once_a_look_has_seen_it() {
        let mut tree = Tree::default();
        tree.altered(Oid(1), Xid(100));
        look(&mut tree, &[table(1, None)], "100:101:100", 10);
        assert_eq!(tree.settle(Lsn(50)), [], "the look does not see it");
        // Another change is seen too, which stands behind the stream's position.
        look(&mut tree, &[table(1, None), table(2, Some(1))], "103:103:", 60);
        assert_eq!(tree.settle(Lsn(50)), []);
        assert_eq!(tree.settle(Lsn(60)), [Oid(1)]);
    }

    #[test]
    fn what_is_as_it_was_may_have_been_otherwise_in_between() {
        let mut tree = Tree::default();
        let tables = [table(1, None), table(2, Some(1))];
        look(&mut tree, &tables, "100:100:", 10);
        assert_eq!(tree.settle(Lsn(10)), [Oid(1)]);
        // Detached here, and attached again further on.
        tree.altered(Oid(1), Xid(100));
        look(&mut tree, &tables, "102:102:", 60);
        assert_eq!(tree.settle(Lsn(50)), []);
        assert_eq!(tree.settle(Lsn(60)), [Oid(1)]);
    }
}
