//! The tables as they are when undo is asked for: what the reversal's SQL names, and which constraints it has to respect.
//!
//! By oid, so a table that was renamed or moved to another schema since is found. A partition stands for the tree that it is in now:
//! rows that moved between partitions, or whose partition was attached elsewhere since, are found by their key in the whole tree.

use rustc_hash::{FxHashMap, FxHashSet};

use super::quoting::identifier;
use crate::lsn::Oid;

/// What undo has to know of the database.
#[derive(Clone, Debug, Default)]
pub struct Schema {
    /// The tables with the changed rows, and those that reference them or are referenced by them.
    pub tables: FxHashMap<Oid, Table>,
    /// The partitioned table at the top of the tree, by partition: those of each tree. A table that is none stands for itself.
    pub roots: FxHashMap<Oid, Oid>,
    /// So many transactions ago a partition was attached, or got a constraint that its tree does not have.
    pub partitions: FxHashMap<Oid, i64>,
    /// Every enforced foreign key from or to one of the changed tables.
    pub foreign_keys: Vec<ForeignKey>,
    /// Transactions from this id on began after this was read.
    pub next_xid: Option<u64>,
}

/// A table, or a tree of partitions.
#[derive(Clone, Debug, Default)]
pub struct Table {
    /// Itself.
    pub oid: Oid,
    /// Schema, not quoted.
    pub schema: String,
    /// Name, not quoted.
    pub name: String,
    /// Other tables inherit from it (partitions aside), and their rows are not its own.
    pub has_children: bool,
    /// In their order; dropped ones left out.
    pub columns: Vec<Column>,
    /// The numbers of those.
    pub dropped: Vec<i16>,
    /// A publication leaves some of its columns out.
    pub has_column_list: bool,
    /// What may have renamed columns since its changes were recorded, as far as that is known.
    pub renames: Vec<Rename>,
    /// Columns may have been generated once that are not any more, as far as that is known.
    pub was_generated: bool,
    /// What must be unique; a primary key first, then what identifies a row.
    pub keys: Vec<Key>,
    /// What must be unique, and is not told by columns alone.
    pub other_uniques: Vec<OtherUnique>,
    /// So many transactions ago something that must be unique was made or altered, for the last time.
    pub unique_altered: Option<i64>,
    /// What every row must fulfil.
    pub checks: Vec<Check>,
    /// What rules (`CREATE RULE`) have a say in, so that no SQL of ours can do it.
    pub ruled: Ruled,
    /// Of the application, enabled.
    pub triggers: Vec<Trigger>,
}

/// A command that may have renamed columns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rename {
    /// This one, which names them.
    Statement(String),
    /// Its text is not known whole.
    Unknown,
}

/// A column.
#[derive(Clone, Debug, Default)]
pub struct Column {
    /// Name, not quoted.
    pub name: String,
    /// It keeps this for as long as it lives, and no other gets it then.
    pub number: i16,
    /// Its type as SQL takes it, without a length.
    pub type_name: String,
    /// The same with its length.
    pub stored_as: String,
    /// It is `json` or `jsonb`, or a domain over one.
    pub is_document: bool,
    /// What is recorded of it is not the text that the server wrote, but means the same: it is an array or a boolean, or a domain over one.
    pub is_spelled_out: bool,
    /// Computed from others.
    pub is_generated: bool,
    /// Rows that are told may have it: a generated one is sent only if a publication says so.
    pub may_be_sent: bool,
    /// `GENERATED ALWAYS AS IDENTITY`: an `UPDATE` cannot set it.
    pub is_identity_always: bool,
    /// It must have a value, or its domain must.
    pub is_not_null: bool,
    /// A row may be inserted without a value for it: it may be NULL, or has a default.
    pub may_be_left_out: bool,
    /// So many transactions ago, or further back, it and its type were altered for the last time; `None` if any text is good for it.
    pub altered: Option<i64>,
    /// Whether a text is good for it is for a function of the application to say.
    pub calls_application: bool,
    /// Texts that are not good for it, as far as it was asked.
    pub refused: FxHashSet<String>,
    /// Texts that it takes and writes otherwise, likewise: it rounds them.
    pub rewritten: FxHashSet<String>,
}

/// A `CHECK` of a table.
#[derive(Clone, Debug, Default)]
pub struct Check {
    /// Name of the constraint.
    pub name: String,
    /// As SQL takes it, with the names of its columns.
    pub expression: String,
    /// Places in [`Table::columns`].
    pub columns: Vec<usize>,
    /// So many transactions ago it was made or altered.
    pub altered: i64,
    /// It is for a function of the application to say.
    pub calls_application: bool,
    /// Values of its columns that do not fulfil it, as far as it was asked.
    pub refused: FxHashSet<Vec<Option<String>>>,
}

/// Columns of which no two rows have the same values.
#[derive(Clone, Debug, Default)]
pub struct Key {
    /// Places in [`Table::columns`].
    pub columns: Vec<usize>,
    /// The equality of each column, as SQL takes it between two operands.
    pub operators: Vec<String>,
    /// None of its columns may be NULL, so it names a row.
    pub identifies: bool,
    /// Judged at the end of a statement, or later.
    pub is_deferrable: bool,
}

/// A partial or expression index, or an exclusion constraint.
#[derive(Clone, Debug, Default)]
pub struct OtherUnique {
    /// Places in [`Table::columns`] of what it compares, or makes of it what it compares.
    pub columns: Vec<usize>,
    /// Places of what says which rows it is about.
    pub condition: Vec<usize>,
    /// Rows in which its columns differ do not meet: it is partial, and no more.
    pub by_columns: bool,
    /// Judged at the end of a statement, or later.
    pub is_deferrable: bool,
}

/// `FOREIGN KEY (columns) REFERENCES references (referenced)`
#[derive(Clone, Debug, Default)]
pub struct ForeignKey {
    /// Name of the constraint.
    pub name: String,
    /// The table that has it; of a partition, the tree. So a key that only one partition has is kept in the whole tree.
    pub table: Oid,
    /// Places in its columns.
    pub columns: Vec<usize>,
    /// The table that is referenced.
    pub references: Oid,
    /// Places in the columns of that.
    pub referenced: Vec<usize>,
    /// The equality of each pair, referenced column on the left. Of a period, that both have something in common.
    pub operators: Vec<String>,
    /// The last pair are periods (`PERIOD`): several referenced rows together may cover one that references them.
    pub is_temporal: bool,
    /// What happens to the rows of a referenced row that is deleted.
    pub on_delete: Action,
    /// What happens to them when its key changes.
    pub on_update: Action,
}

/// What a foreign key does with rows whose referenced row goes or changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Action {
    /// Refuses (`NO ACTION`, `RESTRICT`).
    #[default]
    Refuse,
    /// They follow.
    Cascade,
    /// They lose the reference (`SET NULL`, `SET DEFAULT`).
    Release,
}

/// What rules of the application are about.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ruled {
    /// INSERT.
    pub insert: bool,
    /// UPDATE.
    pub update: bool,
    /// DELETE.
    pub delete: bool,
}

/// A trigger of the application.
#[derive(Clone, Debug, Default)]
pub struct Trigger {
    /// Its name.
    pub name: String,
    /// It fires at an INSERT.
    pub on_insert: bool,
    /// It fires at an UPDATE.
    pub on_update: bool,
    /// It fires at a DELETE.
    pub on_delete: bool,
}

impl Schema {
    /// The table, or the tree that it is a partition of.
    pub fn table(&self, oid: Oid) -> Option<&Table> {
        self.tables.get(self.roots.get(&oid).unwrap_or(&oid))
    }

    /// The same, to note something about it.
    pub fn table_mut(&mut self, oid: Oid) -> Option<&mut Table> {
        self.tables.get_mut(self.roots.get(&oid).unwrap_or(&oid))
    }
}

impl Table {
    /// As SQL names it.
    pub(super) fn sql_name(&self) -> String {
        format!("{}.{}", identifier(&self.schema), identifier(&self.name))
    }

    /// The rows of this table, and of no other.
    pub(super) fn own_rows(&self) -> String {
        format!("{}{}", if self.has_children { "ONLY " } else { "" }, self.sql_name())
    }

    /// The column that is called so may have been called otherwise.
    pub(super) fn may_have_been_renamed(&self, name: &str) -> bool {
        self.renames.iter().any(|rename| match rename {
            Rename::Statement(sql) => names(sql, name),
            Rename::Unknown => true,
        })
    }

    /// Something that must be unique is judged late, so that `ON CONFLICT` is refused.
    pub(super) fn has_deferrable_unique(&self) -> bool {
        self.has_other_deferrable() || self.keys.iter().any(|key| key.is_deferrable)
    }

    /// Some of what is not told by columns is judged at the end of a statement, or later.
    pub(super) fn has_other_deferrable(&self) -> bool {
        self.other_uniques.iter().any(|unique| unique.is_deferrable)
    }

    pub(super) fn column(&self, place: usize) -> Option<&Column> {
        self.columns.get(place)
    }

    /// The place of a column.
    pub(super) fn place(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column.name == name)
    }
}

/// Whether the name occurs in the statement, if it is one of which that can be said.
fn names(sql: &str, name: &str) -> bool {
    let is_part = |character: char| character.is_alphanumeric() || character == '_';
    let may_be_escaped = !name.chars().all(is_part) || sql.contains(['\\', '&']);
    may_be_escaped || sql.split(|character| !is_part(character)).any(|word| word.to_lowercase() == name.to_lowercase())
}

impl Key {
    /// Whether a change of these columns can make or break it.
    pub(super) fn touches(&self, columns: &[usize]) -> bool {
        self.columns.iter().any(|column| columns.contains(column))
    }
}
