//! What the reversal brings back and what it cannot, said before anything runs.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use super::Subject;
use super::later::Standing;
use super::net::TableEffect;
use super::plan::Kind;
use super::quoting::{table_name, where_needed};

/// Transactions that are named as those that changed something later.
const NAMED: usize = 3;

/// Of a whole reversal.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Coverage {
    /// All that was recorded can be brought back, as long as nobody changed it since.
    pub complete: bool,
    /// Rows that are not as they were, as far as their number is known.
    pub rows: u64,
    /// Changes beside these that are not kept any more, each of a row at most; `null` if there are TRUNCATEs among them.
    #[serde(default)]
    pub lost: Option<u64>,
    /// Rows that the SQL brings back, unless somebody changes them before it runs.
    pub restorable: u64,
    /// Rows that are as they were already.
    #[serde(default)]
    pub already: u64,
    /// Each table in which something is not as it was, or was not for a time.
    pub tables: Vec<TableCoverage>,
    /// What else cannot be answered for, for a person: gaps, above all.
    pub warnings: Vec<String>,
    /// What else is to be known, of which nothing is missing.
    #[serde(default)]
    pub notes: Vec<String>,
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
    /// Rows that a TRUNCATE took and of which nothing else is known; `null` if not even their number is.
    #[serde(default)]
    pub truncated: Option<u64>,
    /// Of all of these, how many the SQL brings back.
    pub restorable: u64,
    /// And how many are as they were already.
    #[serde(default)]
    pub already: u64,
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
    /// The transactions that did it, where others did: the last ones.
    #[serde(default)]
    pub by: Vec<String>,
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
    /// A column was not told: added since, generated then, or not published. A row comes back without it, unless it must have a value.
    ColumnNotTold,
    /// Old rows are told by their key only: the table's replica identity is not FULL.
    OldRowIncomplete,
    /// The value has bytes that mean nothing in the server's encoding.
    InvalidText,
    /// The value is too long to be kept.
    ValueCut,
    /// The recorded text is not good for the column any more: a value of an enum was renamed, a length or another type was set, a domain got
    /// a `CHECK`.
    ValueNotTaken,
    /// The column takes the recorded text and makes another one of it: it rounds, or is of another type by now.
    ValueRewritten,
    /// It was NULL, and the column or its domain is `NOT NULL` by now.
    NullNotTaken,
    /// The row does not fulfil a `CHECK` that the table got since.
    CheckNotFulfilled,
    /// Nothing tells which row it is.
    RowNotNamed,
    /// `GENERATED ALWAYS AS IDENTITY`, and changed: SQL cannot set it back.
    IdentityAlways,
    /// The table has rules (`CREATE RULE`), with which PostgreSQL does not take SQL such as this.
    TableHasRules,
    /// Rows exchanged values that must be unique.
    UniqueInACircle,
    /// It may have been moved there from another partition, where the row that went does not come back.
    MayHaveMoved,
    /// Somebody changed the row later.
    ChangedLater,
    /// Somebody changed later what the row references.
    ReferenceChangedLater,
    /// What the row references went too, and does not come back.
    ReferenceStaysAway,
    /// Something that stays references the row.
    StillReferenced,
    /// A value that must be unique is another row's by now.
    UniqueTaken,
}

impl Reason {
    fn explain(self, partial: bool) -> &'static str {
        match self {
            Self::Truncated => "TRUNCATE removes rows without telling them to the log",
            Self::TableGone => "the table is no more",
            Self::ColumnGone => "dropped or renamed since",
            Self::ColumnNotTold if partial => {
                "what it held, if anything, is not known: added since, generated then, or not published; it gets what a new row gets, or \
                 stays as it is"
            }
            Self::ColumnNotTold => "needs a value, and none is known: added since, generated then, or not published",
            Self::OldRowIncomplete => {
                "the log tells old rows by their key only; with REPLICA IDENTITY FULL it would tell them whole, from then on"
            }
            Self::InvalidText => "has bytes that mean nothing in the encoding of the database",
            Self::ValueCut => "too long to be kept; --max-value says how long a value may be",
            Self::ValueNotTaken => {
                "what was recorded is no value of its type any more, which was altered since, such as by renaming a value of an enum; \
                 while that is altered back, it can be brought back"
            }
            Self::ValueRewritten => {
                "its type was altered since, and writes what was recorded in another way, such as rounded; --partial brings it back so"
            }
            Self::NullNotTaken => "was NULL, and is NOT NULL since",
            Self::CheckNotFulfilled => "does not fulfil a CHECK that the table got since",
            Self::RowNotNamed => "no key that is still there tells which row is meant, and not all columns are known",
            Self::IdentityAlways => "GENERATED ALWAYS AS IDENTITY: SQL cannot set it",
            Self::TableHasRules => {
                "the table has rules (CREATE RULE), and PostgreSQL takes no SQL such as this for one that has; without them, it can be brought back"
            }
            Self::UniqueInACircle => "rows exchanged values that must be unique, which cannot be undone row by row",
            Self::MayHaveMoved => {
                "a row that went from another partition is not brought back, and may be this one, moved; to delete it would lose it"
            }
            Self::ChangedLater => "changed later, and left alone",
            Self::ReferenceChangedLater => "a row that is referenced was changed later, and is left alone",
            Self::ReferenceStaysAway => "a row that is referenced went too, and is not brought back",
            Self::StillReferenced => "a row that stays references it",
            Self::UniqueTaken => "another row, which stays, has a value of it that must be unique",
        }
    }
}

/// Counts while the plan is made.
#[derive(Debug, Default)]
pub(super) struct Tally {
    rows: [u64; 3],
    truncated: Option<u64>,
    restorable: u64,
    already: u64,
    missing: BTreeMap<(Reason, bool, Vec<String>), Option<u64>>,
    /// The transactions that changed rows later, in the order of their ids.
    by: BTreeSet<String>,
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

    /// It is not as the changes left it.
    pub(super) fn later(&mut self, standing: Standing<'_>) {
        match standing {
            Standing::AsLeft => self.restorable(),
            Standing::Restored => self.already += 1,
            Standing::Bound(reason) => self.missing(reason, Some(1), Vec::new(), false),
            Standing::Changed(by) => {
                self.missing(Reason::ChangedLater, Some(1), Vec::new(), false);
                if !self.by.contains(by) {
                    self.by.insert(by.to_owned());
                }
            }
        }
    }

    /// Rows that are not known went by a TRUNCATE; `None` if not even their number is known.
    pub(super) fn truncated(&mut self, rows: Option<u64>) {
        self.truncated = rows;
        if rows != Some(0) {
            self.missing(Reason::Truncated, rows, Vec::new(), false);
        }
    }

    /// Something that cannot.
    pub(super) fn missing(&mut self, reason: Reason, rows: Option<u64>, columns: Vec<String>, partial: bool) {
        let before = self.missing.entry((reason, partial, columns)).or_insert(Some(0));
        *before = before.zip(rows).map(|(before, rows)| before + rows);
    }

    pub(super) fn finish(self, effect: &TableEffect<'_, '_>) -> TableCoverage {
        let by = &self.by;
        let missing = self.missing.into_iter().map(|((reason, partial, columns), rows)| Missing {
            reason,
            rows,
            columns,
            partial,
            by: if reason == Reason::ChangedLater { by.iter().rev().take(NAMED).cloned().collect() } else { Vec::new() },
            detail: reason.explain(partial).to_owned(),
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
            truncated: self.truncated,
            restorable: self.restorable,
            already: self.already,
            missing: missing.collect(),
            renamed: effect.renamed.clone(),
            triggers: fires.map(|trigger| trigger.name.clone()).collect(),
        }
    }
}

impl Coverage {
    pub(super) fn new(tables: Vec<TableCoverage>, subject: &Subject) -> Self {
        let Subject { warnings, notes, lost, .. } = subject;
        let tables: Vec<_> = tables.into_iter().filter(TableCoverage::says_something).collect();
        Coverage {
            complete: *lost == Some(0) && warnings.is_empty() && tables.iter().all(|table| table.missing.is_empty()),
            rows: tables.iter().map(TableCoverage::rows).sum(),
            lost: *lost,
            restorable: tables.iter().map(|table| table.restorable).sum(),
            already: tables.iter().map(|table| table.already).sum(),
            tables,
            warnings: warnings.clone(),
            notes: notes.clone(),
        }
    }
}

impl TableCoverage {
    /// Rows that are not as they were, as far as their number is known.
    pub fn rows(&self) -> u64 {
        self.inserted + self.updated + self.deleted + self.truncated.unwrap_or_default()
    }

    /// There is something to be said of it.
    fn says_something(&self) -> bool {
        self.rows() > 0 || self.truncated.is_none() || !self.missing.is_empty()
    }

    /// Its line: how many rows, and what became of them.
    fn line(&self) -> String {
        let name = table_name(&self.schema, &self.name);
        let done = [
            (self.deleted, "deleted"),
            (self.updated, "updated"),
            (self.inserted, "inserted"),
            (self.truncated.unwrap_or_default(), "gone by TRUNCATE"),
        ];
        let done = done.iter().filter(|(rows, _)| *rows > 0).map(|(rows, what)| format!("{rows} {what}"));
        let unknown = self.truncated.is_none().then(|| "an unknown number gone by TRUNCATE".to_owned());
        let done: Vec<_> = done.chain(unknown).collect();
        if done.is_empty() {
            return name;
        }
        let total = if self.truncated.is_none() { "an unknown number".to_owned() } else { self.rows().to_string() };
        let already = if self.already > 0 { format!("; {} as before already", self.already) } else { String::new() };
        format!("{name}: {} of {total} ({}){already}", self.restorable, done.join(", "))
    }
}

/// For a person, a line each.
impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_known = self.tables.iter().all(|table| table.truncated.is_some());
        let Coverage { restorable, rows, already, .. } = self;
        match self.lost.filter(|_| is_known).map(|lost| (*rows, rows + lost)) {
            None => write!(f, "{restorable} of an unknown number of rows can be brought back")?,
            Some((1, 1)) => write!(f, "{restorable} of 1 row can be brought back")?,
            Some((rows, most)) if rows == most => write!(f, "{restorable} of {rows} rows can be brought back")?,
            Some((_, most)) => write!(f, "{restorable} of up to {most} rows can be brought back")?,
        }
        match already {
            0 => writeln!(f, ".")?,
            1 => writeln!(f, "; 1 is as it was already.")?,
            already => writeln!(f, "; {already} are as they were already.")?,
        }
        for table in &self.tables {
            writeln!(f, "  {}", table.line())?;
            for missing in &table.missing {
                writeln!(f, "    {missing}")?;
            }
            for (then, now) in &table.renamed {
                writeln!(f, "    column {} is {} now", where_needed(then), where_needed(now))?;
            }
            if !table.triggers.is_empty() {
                let triggers = table.triggers.iter().map(|trigger| where_needed(trigger)).collect::<Vec<_>>();
                writeln!(f, "    its triggers fire: {}", triggers.join(", "))?;
            }
        }
        for warning in self.warnings.iter().chain(&self.notes) {
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
            let columns = self.columns.iter().map(|column| where_needed(column)).collect::<Vec<_>>();
            write!(f, ", for want of {}", columns.join(", "))?;
        }
        write!(f, ": {}", self.detail)?;
        if self.by.is_empty() { Ok(()) } else { write!(f, " (by {})", self.by.join(", ")) }
    }
}
