//! Which tables the publication names, and what is left out of it.
//!
//! A partitioned table that is named takes its later partitions along. So it is named only if they are bound to be safe: if it has a key,
//! since every later partition then has that key too, whatever the present ones have (`REPLICA IDENTITY FULL` of a partition does not
//! pass on). Else what is below it is named, as much at a time as can be, and it is said what that costs.

use std::collections::HashMap;
use std::fmt;

use super::candidates::{Candidate, Hazard};

/// What to do with tables whose rows nothing identifies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Remedy {
    /// Nobody has said yet. They are left out, and nothing is applied.
    Undecided,
    /// They are not watched.
    LeaveOut,
    /// They are given `REPLICA IDENTITY FULL`.
    Full,
}

/// Why a partitioned table is not named, so that what is made or attached below it later is not published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Apart {
    LeavesOut,
    NoKey,
    DeferrableKey,
    Unlogged,
    NotOwned,
}

impl fmt::Display for Apart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Apart::LeavesOut => "has partitions that are left out (above)",
            Apart::NoKey => "has no primary key, so neither would a later partition, and its UPDATE and DELETE would fail",
            Apart::DeferrableKey => {
                "has a deferrable primary key, and so would a later partition, whose UPDATE and DELETE would fail"
            }
            Apart::Unlogged => "is unlogged itself, and cannot be published, whatever its partitions are",
            Apart::NotOwned => "can be published only by its owner or a superuser",
        })
    }
}

/// Which tables to publish, and what that takes.
#[derive(Debug, Default)]
pub(super) struct Selection<'a> {
    /// All there is to choose from.
    pub(super) all: &'a [Candidate],
    /// To be named in the publication.
    pub(super) named: Vec<&'a Candidate>,
    /// To be read: what is named, and what comes with it.
    pub(super) read: Vec<&'a Candidate>,
    /// To be given `REPLICA IDENTITY FULL`.
    pub(super) full: Vec<&'a Candidate>,
    /// Left out, and why.
    pub(super) left_out: Vec<(&'a Candidate, Hazard)>,
    /// Left out, because only their owner can publish them.
    pub(super) not_owned: Vec<&'a Candidate>,
    /// Partitioned tables of which only what is below them is named, and why.
    pub(super) apart: Vec<(&'a Candidate, Apart)>,
}

/// There is no such table.
#[derive(Debug, thiserror::Error)]
#[error("there is no table {0:?} that could be published; name it as schema.table")]
pub struct NoSuchTable(String);

/// By what is chosen.
struct Terms<'a> {
    /// What is right below each partitioned table.
    partitions: HashMap<u32, Vec<&'a Candidate>>,
    remedy: Remedy,
    may_publish_all: bool,
}

impl Terms<'_> {
    fn may_publish(&self, table: &Candidate) -> bool {
        table.owned || self.may_publish_all
    }

    /// Why a table whose partitions are published, `wholly` or not, is not named itself.
    fn keep_apart(&self, table: &Candidate, wholly: bool) -> Option<Apart> {
        match table {
            Candidate { unlogged: true, .. } => Some(Apart::Unlogged),
            Candidate { key_deferrable: true, .. } => Some(Apart::DeferrableKey),
            Candidate { key_usable: false, .. } => Some(Apart::NoKey),
            _ if !wholly => Some(Apart::LeavesOut),
            _ if !self.may_publish(table) => Some(Apart::NotOwned),
            _ => None,
        }
    }
}

impl<'a> Selection<'a> {
    /// Chooses among `candidates`: those that `wanted` names, or all.
    pub(super) fn choose(
        candidates: &'a [Candidate],
        wanted: &[String],
        remedy: Remedy,
        may_publish_all: bool,
    ) -> Result<Self, NoSuchTable> {
        let mut partitions: HashMap<u32, Vec<&Candidate>> = HashMap::new();
        for candidate in candidates {
            if let Some(parent) = candidate.parent {
                partitions.entry(parent).or_default().push(candidate);
            }
        }
        let mut chosen = Vec::new();
        if wanted.is_empty() {
            chosen.extend(candidates.iter().filter(|candidate| candidate.parent.is_none()));
        }
        for text in wanted {
            let meant = candidates.iter().find(|candidate| candidate.is_meant_by(text));
            chosen.push(meant.ok_or_else(|| NoSuchTable(text.clone()))?);
        }
        let terms = Terms { partitions, remedy, may_publish_all };
        let mut selection = Selection { all: candidates, ..Selection::default() };
        for table in chosen {
            selection.add(table, &terms);
        }
        selection.each_once();
        Ok(selection)
    }

    /// Adds a table, with what is below it. Whether nothing with rows was left out.
    fn add(&mut self, table: &'a Candidate, terms: &Terms<'a>) -> bool {
        if !table.partitioned {
            let admitted = self.admit(table, terms);
            if admitted {
                self.named.push(table);
                self.read.push(table);
            }
            return admitted;
        }
        let (named, apart) = (self.named.len(), self.apart.len());
        let mut wholly = true;
        for below in terms.partitions.get(&table.oid).into_iter().flatten() {
            wholly &= self.add(below, terms);
        }
        if let Some(reason) = terms.keep_apart(table, wholly) {
            self.apart.push((table, reason));
        } else {
            // It stands for all that is below it.
            self.named.truncate(named);
            self.apart.truncate(apart);
            self.named.push(table);
            self.read.push(table);
        }
        wholly
    }

    /// Whether a table with rows can be published, if need be with another replica identity.
    fn admit(&mut self, table: &'a Candidate, terms: &Terms<'a>) -> bool {
        if !terms.may_publish(table) {
            self.not_owned.push(table);
            return false;
        }
        match table.hazard() {
            None => true,
            Some(_) if terms.remedy == Remedy::Full && !table.virtual_columns => {
                self.full.push(table);
                true
            }
            Some(hazard) => {
                self.left_out.push((table, hazard));
                false
            }
        }
    }

    /// A table may have been asked for twice: by its name and with the tree it is in.
    fn each_once(&mut self) {
        for tables in [&mut self.named, &mut self.read, &mut self.full, &mut self.not_owned] {
            tables.sort_by_key(|table| (&table.schema, &table.name));
            tables.dedup_by_key(|table| table.oid);
        }
        self.left_out.sort_by_key(|(table, _)| (&table.schema, &table.name));
        self.left_out.dedup_by_key(|(table, _)| table.oid);
        self.apart.sort_by_key(|(table, _)| (&table.schema, &table.name));
        self.apart.dedup_by_key(|(table, _)| table.oid);
    }

    /// Whether stored generated columns have to be published, because they are part of what identifies the rows of a table. Only 18 and
    /// later can, and only they mind.
    pub(super) fn needs_generated_columns(&self) -> bool {
        self.read.iter().any(|table| table.identity_generated) || self.full.iter().any(|table| table.stored_columns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(oid: u32, name: &str) -> Candidate {
        Candidate {
            oid,
            schema: "public".into(),
            name: name.into(),
            identity: 'd',
            key_usable: true,
            owned: true,
            ..Candidate::default()
        }
    }

    fn names(tables: &[&Candidate]) -> Vec<String> {
        tables.iter().map(|table| table.name.clone()).collect()
    }

    #[test]
    fn what_is_unsafe_is_left_out_or_given_an_identity() {
        let candidates = [
            table(1, "good"),
            Candidate { key_usable: false, ..table(2, "bad") },
            Candidate { owned: false, ..table(3, "other") },
        ];
        for remedy in [Remedy::Undecided, Remedy::LeaveOut] {
            let selection = Selection::choose(&candidates, &[], remedy, false).unwrap();
            assert_eq!(names(&selection.named), ["good"]);
            assert_eq!(selection.left_out.len(), 1);
            assert_eq!(names(&selection.not_owned), ["other"]);
        }
        let selection = Selection::choose(&candidates, &[], Remedy::Full, true).unwrap();
        assert_eq!(names(&selection.named), ["bad", "good", "other"]);
        assert_eq!(names(&selection.full), ["bad"]);
    }

    /// The named tables, and those that are kept apart.
    fn trees(candidates: &[Candidate], remedy: Remedy) -> (Vec<String>, Vec<(String, Apart)>) {
        let selection = Selection::choose(candidates, &[], remedy, false).unwrap();
        let apart = selection.apart.iter().map(|(table, reason)| (table.name.clone(), *reason)).collect();
        (names(&selection.named), apart)
    }

    #[test]
    fn a_tree_is_named_as_such_only_if_its_later_partitions_are_safe() {
        let root = Candidate { partitioned: true, ..table(1, "root") };
        let leaf = |oid, name| Candidate { parent: Some(1), ..table(oid, name) };
        let inner = Candidate { partitioned: true, ..leaf(4, "inner") };
        let deep = Candidate { parent: Some(4), ..table(5, "deep") };
        let below = [leaf(2, "a"), inner.clone(), deep.clone()];
        let tree = |root: Candidate| [vec![root], below.to_vec()].concat();

        let whole = tree(root.clone());
        assert_eq!(trees(&whole, Remedy::LeaveOut), (vec!["root".to_owned()], vec![]));
        let selection = Selection::choose(&whole, &[], Remedy::LeaveOut, false).unwrap();
        assert_eq!(names(&selection.read), ["a", "deep", "inner", "root"]);

        // Its own replica identity is of no table with rows, and not that of later partitions.
        for identity in ['f', 'i', 'n'] {
            assert_eq!(trees(&tree(Candidate { identity, ..root.clone() }), Remedy::LeaveOut).0, ["root"], "{identity}");
        }
        for (root, why) in [
            (Candidate { key_usable: false, ..root.clone() }, Apart::NoKey),
            (Candidate { key_usable: false, key_deferrable: true, ..root.clone() }, Apart::DeferrableKey),
            (Candidate { unlogged: true, ..root.clone() }, Apart::Unlogged),
            (Candidate { owned: false, ..root.clone() }, Apart::NotOwned),
        ] {
            // What is safe below it is named as a whole.
            let expected = (vec!["a".to_owned(), "inner".to_owned()], vec![("root".to_owned(), why)]);
            assert_eq!(trees(&tree(root), Remedy::LeaveOut), expected);
        }
    }

    #[test]
    fn what_a_partition_has_of_its_own_keeps_the_tree_together_if_it_identifies_rows() {
        let root = Candidate { partitioned: true, ..table(1, "root") };
        let of_root = |oid, name| Candidate { parent: Some(1), ..table(oid, name) };
        let inner = Candidate { partitioned: true, ..of_root(4, "inner") };
        let deep = Candidate { parent: Some(4), ..table(5, "deep") };
        let with = |leaf: Candidate| [root.clone(), leaf, of_root(3, "b"), inner.clone(), deep.clone()];

        let full = Candidate { identity: 'f', ..of_root(2, "a") };
        let by_index = Candidate { identity: 'i', index_usable: true, ..of_root(2, "a") };
        for leaf in [full, by_index] {
            assert_eq!(trees(&with(leaf), Remedy::LeaveOut), (vec!["root".to_owned()], vec![]));
        }
        let nothing = with(Candidate { identity: 'n', ..of_root(2, "a") });
        let expected = (vec!["b".to_owned(), "inner".to_owned()], vec![("root".to_owned(), Apart::LeavesOut)]);
        assert_eq!(trees(&nothing, Remedy::LeaveOut), expected);
        assert_eq!(trees(&nothing, Remedy::Full), (vec!["root".to_owned()], vec![]));
        let other = with(Candidate { owned: false, ..of_root(2, "a") });
        assert_eq!(trees(&other, Remedy::Full), expected);
        // Without partitions there is nothing to name, which is said all the same.
        let empty = [Candidate { key_usable: false, ..root.clone() }];
        assert_eq!(trees(&empty, Remedy::Full), (vec![], vec![("root".to_owned(), Apart::NoKey)]));
    }

    #[test]
    fn tables_are_asked_for_by_name() {
        let candidates = [table(1, "User"), Candidate { schema: "shop".into(), ..table(2, "orders") }];
        let choose = |wanted: &[&str]| {
            let wanted: Vec<String> = wanted.iter().map(|name| (*name).to_owned()).collect();
            Selection::choose(&candidates, &wanted, Remedy::LeaveOut, false).map(|selection| names(&selection.named))
        };
        for wanted in ["User", "\"User\"", "public.User", "public.\"User\"", "\"public\".\"User\""] {
            assert_eq!(choose(&[wanted, "public.User"]).unwrap(), ["User"], "{wanted}");
        }
        assert_eq!(choose(&["shop.orders"]).unwrap(), ["orders"]);
        assert!(choose(&["orders"]).is_err() && choose(&["public.user"]).is_err());
    }
}
