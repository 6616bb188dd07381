//! The columns that rows are of, and which of them name a row.

use std::sync::Arc;

use crate::encoding::Encoding;
use crate::lsn::Oid;
use crate::pgoutput::{Relation, Tuple, Value};

/// A published column. Rows of columns that are equal can stand side by side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Name.
    pub name: String,
    /// Type.
    pub type_oid: Oid,
    /// Type modifier, -1 for none.
    pub typmod: i32,
    /// An old row carries it.
    pub in_identity: bool,
}

/// The columns of a table as the stream describes it, with names in the server's `encoding`.
pub fn columns(relation: &Relation<'_>, encoding: &Encoding) -> Arc<[Column]> {
    let column = |column: crate::pgoutput::Column<'_>| Column {
        name: encoding.decode(column.name.0).0.into_owned(),
        type_oid: column.type_oid,
        typmod: column.typmod,
        in_identity: column.key,
    };
    relation.columns.iter().map(column).collect()
}

/// What rows of a table are like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    columns: Arc<[Column]>,
    /// Places of the columns that name a row, ascending.
    key: Box<[usize]>,
}

impl Shape {
    /// Rows of `columns`, of which those at the places `key` name a row: at least one, and all of them in the identity.
    pub fn new(columns: Arc<[Column]>, mut key: Vec<usize>) -> Option<Self> {
        key.sort_unstable();
        let named = |place: &usize| columns.get(*place).is_some_and(|column| column.in_identity);
        (!key.is_empty() && key.iter().all(named)).then(|| Shape { columns, key: key.into() })
    }

    /// All columns, in order.
    pub fn columns(&self) -> &Arc<[Column]> {
        &self.columns
    }

    /// Writes what names `row` into `key`. False when `row` does not tell, for lack of a value.
    pub(super) fn key(&self, row: Tuple<'_>, key: &mut Vec<u8>) -> bool {
        key.clear();
        let mut wanted = self.key.iter().peekable();
        for (place, value) in row.iter().enumerate() {
            match (wanted.peek(), value) {
                (None, _) => break,
                (Some(next), _) if **next != place => continue,
                (Some(_), Value::Text(bytes) | Value::Binary(bytes)) => {
                    // The length comes first, so that no two keys can look alike, and numbers stand in their order.
                    key.extend_from_slice(&bytes.len().to_be_bytes());
                    key.extend_from_slice(bytes);
                    wanted.next();
                }
                (Some(_), Value::Null | Value::Unchanged | Value::Cut(_)) => return false,
            }
        }
        wanted.peek().is_none()
    }
}
