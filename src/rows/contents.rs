//! All rows of one table.

use std::collections::HashMap;

use super::{Change, Former, Shape};
use crate::pgoutput::encode::TupleBuf;
use crate::pgoutput::{Row, Tuple, Value};

/// What an allocation costs beside the bytes that were asked for, as most allocators have it.
const ALLOCATION: usize = 16;
/// A place in the hash table, taken or free, with the byte that says so.
const SLOT: usize = size_of::<(Box<[u8]>, Row)>() + 1;

/// Rows by their keys.
#[derive(Clone, Debug)]
pub struct Contents {
    shape: Shape,
    /// Keys are anybody's text, so they are hashed in a way that nobody can foresee.
    rows: HashMap<Box<[u8]>, Row>,
    /// Of keys and rows.
    bytes: usize,
    /// Kept for its memory.
    key: Vec<u8>,
}

/// The rows and a change cannot both be true: a row that changed is not there, one that came is there already, or the change does not
/// tell which row it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Contradiction;

impl Contents {
    /// No row yet.
    pub fn new(shape: Shape) -> Self {
        Contents { shape, rows: HashMap::new(), bytes: 0, key: Vec::new() }
    }

    /// Adds a row that was read. False when there is one of that name, or it has none: then the table is not what it seemed.
    pub fn add(&mut self, row: Row) -> bool {
        self.insert(row).is_ok()
    }

    /// What the rows are like.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The memory that all this takes.
    pub fn size(&self) -> usize {
        let slots = match self.rows.capacity() {
            0 => 0,
            few @ 1..8 => (few + 1).next_power_of_two(),
            // Seven eighths are used at most.
            many => many / 7 * 8,
        };
        self.bytes + slots * SLOT
    }

    /// Applies a change, and gives what was there before.
    pub(super) fn apply(&mut self, change: Change<Tuple<'_>>) -> Result<Former, Contradiction> {
        match change {
            Change::Insert(new) => self.insert(new.into()).map(|()| Former::Unknown),
            Change::Update { old, new } => {
                let former = self.remove(old.unwrap_or(new))?;
                self.insert(filled(new, &former))?;
                Ok(Former::Row(former))
            }
            Change::Delete(old) => self.remove(old).map(Former::Row),
            Change::Truncate => Ok(Former::All(self.clear())),
        }
    }

    fn insert(&mut self, row: Row) -> Result<(), Contradiction> {
        if !self.shape.key(row.as_tuple(), &mut self.key) {
            return Err(Contradiction);
        }
        self.bytes += cost(&self.key, &row);
        match self.rows.insert(self.key.as_slice().into(), row) {
            None => Ok(()),
            Some(_) => Err(Contradiction),
        }
    }

    fn remove(&mut self, named: Tuple<'_>) -> Result<Row, Contradiction> {
        if !self.shape.key(named, &mut self.key) {
            return Err(Contradiction);
        }
        let row = self.rows.remove(self.key.as_slice()).ok_or(Contradiction)?;
        self.bytes -= cost(&self.key, &row);
        Ok(row)
    }

    fn clear(&mut self) -> Vec<Row> {
        let mut rows: Vec<_> = std::mem::take(&mut self.rows).into_iter().collect();
        self.bytes = 0;
        rows.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        rows.into_iter().map(|(_, row)| row).collect()
    }
}

fn cost(key: &[u8], row: &Row) -> usize {
    key.len() + row.size() + 2 * ALLOCATION
}

/// `new`, with the large values that did not change as they are in `former`.
fn filled(new: Tuple<'_>, former: &Row) -> Row {
    if !new.iter().any(|value| value == Value::Unchanged) {
        return new.into();
    }
    let both = new.iter().zip(former.as_tuple().iter());
    both.map(|(new, former)| if new == Value::Unchanged { former } else { new }).collect::<TupleBuf>().into()
}
