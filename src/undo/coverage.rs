//! What the reversal brings back and what it cannot, said before anything runs.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::net::TableEffect;
use super::plan::Kind;

/// Of a whole reversal.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Coverage {
    /// All that was recorded can be brought back, as long as nobody changed it since.
    pub complete: bool,
    /// Rows that are not as they were, as far as their number is known.
    pub rows: u64,
    /// Rows that the SQL is about.
    pub restorable: u64,
    /// Each table that was changed.
    pub tables: Vec<TableCoverage>,
    /// What else cannot be answered for, for a person: gaps, above all.
    pub warnings: Vec<String>,
}

/// Of one table.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct TableCoverage {
    /// The table, or the whole tree if it is a partition.
    pub oid: u32,
    /// Its schema now, or when it was last heard of.
    pub schema: String,
    /// Its name likewise.
    pub name: String,
    /// Rows that were inserted and are to be deleted.
    pub inserted: u64,
    /// Rows that were updated and are to be set back.
    pub updated: u64,
    /// Rows that were deleted and are to be inserted again.
    pub deleted: u64,
    /// Of all of these, how many the SQL is about.
    pub restorable: u64,
    /// What cannot be brought back.
    pub missing: Vec<Missing>,
    /// Columns that were renamed since, with their names of now.
    pub renamed: BTreeMap<String, String>,
    /// Triggers of the application that fire when the SQL is run.
    pub triggers: Vec<String>,
}

/// Something that cannot be brought back.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Missing {
    /// Why, for a program.
    pub reason: Reason,
    /// Of how many rows; `null` if that is not known.
    pub rows: Option<u64>,
    /// Which columns of them; none for whole rows.
    pub columns: Vec<String>,
    /// The rows are brought back without these columns.
    pub partial: bool,
    /// Why, for a person.
    pub detail: String,
}

/// Why something cannot be brought back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// TRUNCATE tells no rows.
    Truncated,
    /// The table was dropped since.
    TableGone,
    /// A column was dropped or renamed since.
    ColumnGone,
    /// A column that every row must have a value for was not told: added since, or not published.
    ColumnNotTold,
    /// Old rows are told by their key only: the table's replica identity is not FULL.
    OldRowIncomplete,
    /// The value has bytes that mean nothing in the server's encoding.
    InvalidText,
    /// The value is too long to be kept.
    ValueCut,
    /// Nothing tells which row it is.
    RowNotNamed,
    /// `GENERATED ALWAYS AS IDENTITY`, and changed: SQL cannot set it back.
    IdentityAlways,
    /// Rows exchanged values that must be unique.
    UniqueInACircle,
}

impl Reason {
    fn explain(self) -> &'static str {
        match self {
            Self::Truncated => "TRUNCATE removes rows without telling them to the log",
            Self::TableGone => "the table is no more",
            Self::ColumnGone => "dropped or renamed since",
            Self::ColumnNotTold => "needs a value, and none is known: added since, or not published",
            Self::OldRowIncomplete => {
                "the log tells old rows by their key only; with REPLICA IDENTITY FULL it would tell them whole, from then on"
            }
            Self::InvalidText => "has bytes that mean nothing in the encoding of the database",
            Self::ValueCut => "too long to be kept; --max-value says how long a value may be",
            Self::RowNotNamed => "no key that is still there names the row, and not all of it is known",
            Self::IdentityAlways => "GENERATED ALWAYS AS IDENTITY: SQL cannot set it",
            Self::UniqueInACircle => "rows exchanged values that must be unique, which cannot be undone row by row",
        }
    }
}

/// Counts while the plan is made.
#[derive(Debug, Default)]
pub(super) struct Tally {
    rows: [u64; 3],
    restorable: u64,
    missing: BTreeMap<(Reason, bool, Vec<String>), Option<u64>>,
}

impl Tally {
    /// A row that is not as it was.
    pub(super) fn row(&mut self, kind: Kind) {
        let [delete, update, insert] = &mut self.rows;
        *match kind {
            Kind::Delete => delete,
            Kind::Update => update,
            Kind::Insert => insert,
        } += 1;
    }

    /// It can be brought back, at least in part.
    pub(super) fn restorable(&mut self) {
        self.restorable += 1;
    }

    /// After all, it cannot.
    pub(super) fn not_restorable(&mut self, reason: Reason) {
        self.restorable = self.restorable.saturating_sub(1);
        self.missing(reason, Some(1), Vec::new(), false);
    }

    /// Something that cannot.
    pub(super) fn missing(&mut self, reason: Reason, rows: Option<u64>, columns: Vec<String>, partial: bool) {
        let before = self.missing.entry((reason, partial, columns)).or_insert(Some(0));
        *before = before.zip(rows).map(|(before, rows)| before + rows);
    }

    pub(super) fn finish(self, effect: &TableEffect<'_, '_>) -> TableCoverage {
        let missing = self.missing.into_iter().map(|((reason, partial, columns), rows)| Missing {
            reason,
            rows,
            columns,
            partial,
            detail: reason.explain().to_owned(),
        });
        let [inserted, updated, deleted] = self.rows;
        let fires = effect.table.into_iter().flat_map(|table| &table.triggers).filter(|trigger| {
            trigger.on_delete && inserted > 0 || trigger.on_update && updated > 0 || trigger.on_insert && deleted > 0
        });
        let (schema, name) = effect.name.clone();
        TableCoverage {
            oid: effect.oid.0,
            schema,
            name,
            inserted,
            updated,
            deleted,
            restorable: self.restorable,
            missing: missing.collect(),
            renamed: effect.renamed.clone(),
            triggers: fires.map(|trigger| trigger.name.clone()).collect(),
        }
    }
}

impl Coverage {
    pub(super) fn new(tables: Vec<TableCoverage>, warnings: Vec<String>, lost: u64) -> Self {
        let truncated = |table: &TableCoverage| {
            let of_truncate = table.missing.iter().filter(|missing| missing.reason == Reason::Truncated);
            of_truncate.filter_map(|missing| missing.rows).sum::<u64>()
        };
        Coverage {
            complete: lost == 0 && warnings.is_empty() && tables.iter().all(|table| table.missing.is_empty()),
            rows: lost + tables.iter().map(|table| table.rows() + truncated(table)).sum::<u64>(),
            restorable: tables.iter().map(|table| table.restorable).sum(),
            tables,
            warnings,
        }
    }
}

impl TableCoverage {
    /// Rows that are not as they were, but for those that a TRUNCATE took.
    pub fn rows(&self) -> u64 {
        self.inserted + self.updated + self.deleted
    }
}

/// For a person, a line each.
impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} of {} rows can be brought back.", self.restorable, self.rows)?;
        for table in &self.tables {
            let done = [(table.deleted, "deleted"), (table.updated, "updated"), (table.inserted, "inserted")];
            let done: Vec<_> = done.iter().filter(|(rows, _)| *rows > 0).map(|(rows, what)| format!("{rows} {what}")).collect();
            let done = if done.is_empty() { String::new() } else { format!(" ({})", done.join(", ")) };
            writeln!(f, "  {}.{}: {} of {}{done}", table.schema, table.name, table.restorable, table.rows())?;
            for missing in &table.missing {
                writeln!(f, "    {missing}")?;
            }
            for (then, now) in &table.renamed {
                writeln!(f, "    column {then} is {now} now")?;
            }
            if !table.triggers.is_empty() {
                writeln!(f, "    its triggers fire: {}", table.triggers.join(", "))?;
            }
        }
        for warning in &self.warnings {
            writeln!(f, "{warning}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.rows {
            Some(1) => f.write_str("1 row")?,
            Some(rows) => write!(f, "{rows} rows")?,
            None => f.write_str("an unknown number of rows")?,
        }
        f.write_str(if self.partial { " only in part" } else { " not" })?;
        if !self.columns.is_empty() {
            write!(f, ", for want of {}", self.columns.join(", "))?;
        }
        write!(f, ": {}", self.detail)
    }
}
