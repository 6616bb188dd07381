//! Which events a client wants to see: the query parameters of the stream, read once, asked of every event.
//!
//! Floor 2, pure. `table`, `op`, `where`, `actor`, `key` and `text` say which *changes*; a commit follows the changes of its transaction,
//! and a gap is never filtered away.
//!
//! | event | passes when its kind is wanted, and |
//! |---|---|
//! | change | its table, its operation, its row and its actor pass |
//! | commit | one of the transaction's tables passes with one of the operations done to it, and one of its actors (rows are not looked at) |
//! | ddl | its table and its actor pass |
//! | message | its actor passes (it is about no table) |
//! | gap | always, whatever is asked for |
//!
//! **Kinds** that nobody names are all but messages; and where certain operations or rows are asked for, all but messages and DDL, which is
//! neither an operation on rows nor about some of them. (What is told beside the history, such as counts and the status, comes.)
//!
//! **Tables** are named `schema.name`, or `name` alone for schema `public`, letter case as it is. A part that holds a dot, a comma or a
//! quote stands in double quotes, doubled inside, as in SQL.
//!
//! **Rows**: every condition of `where` must hold for the row as it is now (`new`), or every one for the row as it was (`old`, else as
//! much of it as `key` tells), so an update that moves a row out of what is asked for is still seen. A truncate took every row and
//! passes. How values compare is told in `condition.rs`.
//!
//! **Keys and texts**: every `key` must be in the row's key, now or before, and every `text` in a value of what is told: a row, a statement,
//! a message; of a commit who did it, and the statement. Only changes have a key. See `content.rs`.
//!
//! **Actors** are named by any of their names, whole: the role that logged in or that it took on, the application, the address, or a text
//! in what the application says of itself. What nobody is known to have done passes only when nobody is asked for.
//!
//! Cost is bounded: at most [`MAX_BYTES`] of parameters with [`MAX_CONDITIONS`] conditions, each linear in the value it looks at. The
//! JSON of an event is read only when there is a `where`, and only after table and operation passed.

mod condition;
mod content;
mod decimal;
mod error;
mod evaluate;
mod kinds;
mod pattern;
mod quoting;
mod registry;
mod row;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};

pub use content::grams;
pub use error::{FilterError, Problem};
pub use evaluate::Matches;
pub use kinds::{Kinds, StreamKind};
pub use registry::Filters;

use super::actor::Names;
use super::block::{Kind, Operation, Operations};
use super::gram::Gram;
use condition::Condition;
use content::{KeyValue, Text};
use quoting::QualifiedName;

/// The parameters that [`Filter::parse`] reads. Whoever takes parameters from a stranger refuses names that nobody reads.
pub const PARAMETERS: [&str; 7] = ["table", "op", "kinds", "where", "actor", "key", "text"];

/// Bytes of all values together.
pub const MAX_BYTES: usize = 4096;

/// Conditions of `where`, each value of an `in` list counted, and keys and texts.
pub const MAX_CONDITIONS: usize = 16;

/// What a client asked to see. Two filters are equal when they ask for the same; [`Filters`] makes equal ones one.
#[derive(Debug)]
pub struct Filter {
    id: FilterId,
    selection: Selection,
}

/// Names a filter for as long as the process runs, so that what was found out about it can be remembered under this.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FilterId(u64);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Selection {
    kinds: Kinds,
    /// Sorted; `None` for every table.
    tables: Option<Vec<QualifiedName>>,
    operations: Operations,
    /// Sorted; all must hold.
    conditions: Vec<Condition>,
    /// Sorted; `None` for whoever it was.
    actors: Option<Vec<String>>,
    /// Sorted; all must hold.
    keys: Vec<KeyValue>,
    /// Sorted; all must be found.
    texts: Vec<Text>,
}

impl PartialEq for Filter {
    fn eq(&self, other: &Self) -> bool {
        self.selection == other.selection
    }
}

impl Eq for Filter {}

impl Default for Filter {
    /// What a client sees that asks for nothing in particular: all but messages.
    fn default() -> Self {
        let (kinds, operations) = (Kinds::default(), Operations::ALL);
        let (conditions, keys, texts) = (Vec::new(), Vec::new(), Vec::new());
        Self::new(Selection { kinds, tables: None, operations, conditions, actors: None, keys, texts })
    }
}

impl Filter {
    fn new(selection: Selection) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self { id: FilterId(NEXT.fetch_add(1, Ordering::Relaxed)), selection }
    }

    /// Every event there is, messages too.
    pub fn everything() -> Self {
        Self::new(Selection { kinds: Kinds::ALL, ..Self::default().selection })
    }

    /// Reads the parameters of a request (decoded already), leaving alone those that are not in [`PARAMETERS`]. Each may be repeated,
    /// and lists its values with commas, but for `key` and `text`, where a comma is one.
    pub fn parse<'a>(parameters: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self, FilterError> {
        let mut bytes = 0usize;
        let mut kinds = None::<Kinds>;
        let mut tables = None::<Vec<QualifiedName>>;
        let mut operations = Operations::default();
        let mut conditions = Vec::new();
        let mut actors = None::<Vec<String>>;
        let (mut keys, mut texts) = (Vec::new(), Vec::new());
        for (name, value) in parameters {
            let Some(parameter) = PARAMETERS.into_iter().find(|known| *known == name) else { continue };
            let refuse = |problem| FilterError { parameter, problem };
            bytes = bytes.saturating_add(value.len());
            if bytes > MAX_BYTES {
                return Err(refuse(Problem::TooLong { limit: MAX_BYTES }));
            }
            match parameter {
                "table" => {
                    let tables = tables.get_or_insert_default();
                    for piece in quoting::split_list(value).map_err(refuse)? {
                        tables.push(QualifiedName::parse(piece).map_err(refuse)?);
                    }
                }
                "op" => {
                    for piece in value.split(',') {
                        operations.insert(operation(piece).map_err(refuse)?);
                    }
                }
                "kinds" => {
                    let kinds = kinds.get_or_insert(Kinds::NONE);
                    for piece in value.split(',') {
                        kinds.insert(StreamKind::parse(piece).map_err(refuse)?);
                    }
                }
                "where" => {
                    for piece in quoting::split_list(value).map_err(refuse)? {
                        conditions.push(Condition::parse(piece).map_err(refuse)?);
                    }
                }
                "key" => keys.push(KeyValue::parse(value).map_err(refuse)?),
                "text" => texts.push(Text::parse(value).map_err(refuse)?),
                _ => {
                    let actors = actors.get_or_insert_default();
                    for piece in quoting::split_list(value).map_err(refuse)? {
                        actors.push(quoting::unquoted(piece).map_err(refuse)?.into_owned());
                    }
                }
            }
        }
        if conditions.iter().map(Condition::terms).sum::<usize>() + keys.len() + texts.len() > MAX_CONDITIONS {
            return Err(FilterError { parameter: "where", problem: Problem::TooManyConditions { limit: MAX_CONDITIONS } });
        }
        if let Some(tables) = &mut tables {
            tables.sort_unstable();
            tables.dedup();
        }
        if let Some(actors) = &mut actors {
            actors.sort_unstable();
            actors.dedup();
        }
        conditions.sort_unstable();
        conditions.dedup();
        keys.sort_unstable();
        keys.dedup();
        texts.sort_unstable();
        texts.dedup();
        let is_about_rows = !operations.is_empty() || !conditions.is_empty();
        let usual = if is_about_rows { Kinds::default().without(StreamKind::Ddl) } else { Kinds::default() };
        let operations = if operations.is_empty() { Operations::ALL } else { operations };
        Ok(Self::new(Selection { kinds: kinds.unwrap_or(usual), tables, operations, conditions, actors, keys, texts }))
    }

    /// Its name within this process.
    pub fn id(&self) -> FilterId {
        self.id
    }

    /// Whether events of this kind are asked for.
    pub fn wants(&self, kind: StreamKind) -> bool {
        self.selection.kinds.contains(kind)
    }

    /// Whether changes of this table are asked for.
    pub fn passes_table(&self, schema: &str, name: &str) -> bool {
        let Some(tables) = &self.selection.tables else { return true };
        tables.binary_search_by(|table| table.parts().cmp(&(schema, name))).is_ok()
    }

    /// Whether what this actor did is asked for.
    fn passes_actor(&self, names: &Names) -> bool {
        let any =
            |actors: &Vec<String>| names.iter().any(|name| actors.binary_search_by(|asked| asked.as_str().cmp(name)).is_ok());
        self.selection.actors.as_ref().is_none_or(any)
    }

    /// The tables that are asked for by name; none when all are.
    pub fn tables(&self) -> impl Iterator<Item = (&str, &str)> {
        self.selection.tables.iter().flatten().map(QualifiedName::parts)
    }

    /// The grams that stand in every event that passes, but for gaps.
    pub fn grams(&self) -> BTreeSet<Gram> {
        let mut grams = BTreeSet::new();
        self.selection.texts.iter().for_each(|text| text.grams(|gram| grams.extend([gram])));
        grams
    }

    /// Whether every event of these kinds passes, whatever it is about.
    pub fn passes_all(&self, kinds: Kinds) -> bool {
        let Selection { kinds: wanted, tables, operations, conditions, actors, keys, texts } = &self.selection;
        let any_row = conditions.is_empty() && keys.is_empty() && texts.is_empty();
        let any_change = any_row && tables.is_none() && *operations == Operations::ALL && actors.is_none();
        any_change && wanted.contains_all(kinds)
    }
}

fn operation(text: &str) -> Result<Operation, Problem> {
    match text {
        "insert" => Ok(Operation::Insert),
        "update" => Ok(Operation::Update),
        "delete" => Ok(Operation::Delete),
        "truncate" => Ok(Operation::Truncate),
        _ => Err(Problem::UnknownOperation { given: error::shown(text) }),
    }
}

impl Kinds {
    /// The kinds of the stream that events of a block's `kind` are asked for by; a gap is asked for by none and always sent.
    pub fn of(kind: Kind) -> Kinds {
        match kind {
            Kind::Change => StreamKind::Change.into(),
            Kind::Commit => StreamKind::Commit.into(),
            Kind::Ddl => StreamKind::Ddl.into(),
            Kind::Message => StreamKind::Message.into(),
            Kind::Gap => Kinds::NONE,
        }
    }
}
