//! What happens to a table's rows.

use crate::pgoutput::{Row, Tuple};

/// One change, with rows that are borrowed from a message ([`Tuple`]) or kept ([`Row`]).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change<R> {
    /// A row came.
    Insert(R),
    /// A row is now `new`. `old` tells at least its key, where that changed.
    Update {
        /// As it was, or its key.
        old: Option<R>,
        /// As it is, but for large values that did not change.
        new: R,
    },
    /// A row went, of which this tells at least the key.
    Delete(R),
    /// All went.
    Truncate,
}

impl Change<Tuple<'_>> {
    pub(super) fn keep(self) -> Change<Row> {
        match self {
            Change::Insert(new) => Change::Insert(new.into()),
            Change::Update { old, new } => Change::Update { old: old.map(Row::from), new: new.into() },
            Change::Delete(old) => Change::Delete(old.into()),
            Change::Truncate => Change::Truncate,
        }
    }
}

impl Change<Row> {
    pub(super) fn view(&self) -> Change<Tuple<'_>> {
        match self {
            Change::Insert(new) => Change::Insert(new.as_tuple()),
            Change::Update { old, new } => Change::Update { old: old.as_ref().map(Row::as_tuple), new: new.as_tuple() },
            Change::Delete(old) => Change::Delete(old.as_tuple()),
            Change::Truncate => Change::Truncate,
        }
    }

    pub(super) fn size(&self) -> usize {
        match self {
            Change::Insert(row) | Change::Delete(row) | Change::Update { old: None, new: row } => row.size(),
            Change::Update { old: Some(old), new } => old.size() + new.size(),
            Change::Truncate => 0,
        }
    }
}

/// What a change replaced or took away.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Former {
    /// Nothing, or nothing that is known.
    #[default]
    Unknown,
    /// This row.
    Row(Row),
    /// These rows: all that there were, by their keys.
    All(Vec<Row>),
}

impl Former {
    /// The row.
    pub fn row(self) -> Option<Row> {
        match self {
            Former::Row(row) => Some(row),
            Former::Unknown | Former::All(_) => None,
        }
    }

    /// All rows.
    pub fn all(self) -> Option<Vec<Row>> {
        match self {
            Former::All(rows) => Some(rows),
            Former::Unknown | Former::Row(_) => None,
        }
    }
}
