//! What the stream told of one table, and what must be true if all of it was.
//!
//! Three things are told: what a transaction did, how many rows there are, and that this is not known any more. Two things follow:
//!
//! - From one number that was told to the next, the transactions in between must lead.
//! - Whoever counts the table in a snapshot of his own ([`Audit`]) must find every number that was told, less what transactions did that
//!   the snapshot does not see, and more what those did that came later and that it does.
//!
//! The second holds without stopping anyone, because an audit locks the table before it takes its snapshot, and reads a log position
//! after that: all that the snapshot sees was committed before that position, and nobody can have emptied the table unseen.

use std::fmt;

use anyhow::{Result, bail, ensure};
use pgvigil::lsn::Lsn;

use super::audit::Audit;

/// What a transaction did to a table's number of rows: perhaps emptied it, then added some.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Effect {
    pub(crate) emptied: bool,
    pub(crate) rows: i64,
}

impl Effect {
    /// One more row, or less.
    pub(crate) fn row(rows: i64) -> Self {
        Effect { emptied: false, rows }
    }

    /// None is left.
    pub(crate) const EMPTIED: Effect = Effect { emptied: true, rows: 0 };

    /// This, then `next`.
    pub(crate) fn then(self, next: Effect) -> Self {
        if next.emptied { next } else { Effect { emptied: self.emptied, rows: self.rows + next.rows } }
    }

    pub(crate) fn on(self, rows: i64) -> i64 {
        if self.emptied { self.rows } else { rows + self.rows }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Entry {
    /// A transaction, committed at `lsn`, did this.
    Did { xid: u32, lsn: u64, effect: Effect },
    /// As of `lsn`, there are so many rows after all that stands before this.
    Told { rows: i64, lsn: u64 },
    /// From `lsn` on it is not known how many there are.
    Doubt { lsn: u64 },
}

impl Entry {
    fn lsn(&self) -> u64 {
        match self {
            Entry::Did { lsn, .. } | Entry::Told { lsn, .. } | Entry::Doubt { lsn } => *lsn,
        }
    }
}

/// All that was told of one table, in order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Chronicle {
    /// Schema and name, as they were last told.
    pub(crate) name: String,
    entries: Vec<Entry>,
    /// What the entries add up to; nothing in doubt.
    rows: Option<i64>,
    /// The position that the last number was said to be true at.
    as_of: u64,
    /// When it was last counted.
    verified_at: Option<String>,
    /// The table was altered, and so many beats ago; what was told before may be taken back.
    altered: Option<u32>,
    /// What is told may have been so for a while: before it is told that a number still holds, none is claimed.
    late: bool,
}

/// In this many beats of the stream something that is not true any more has been taken back.
const BEATS: u32 = 2;

impl Chronicle {
    /// Nothing was told yet of the table of this name.
    pub(crate) fn new(name: &str) -> Self {
        Chronicle { name: name.to_owned(), ..Chronicle::default() }
    }

    /// How many rows there are by all that was told; `None` in doubt.
    pub(crate) fn rows(&self) -> Option<i64> {
        self.rows.filter(|_| self.altered.is_none())
    }

    /// It is said when the table was last counted; true if that is news.
    pub(crate) fn verified(&mut self, at: Option<&str>) -> bool {
        let news = self.verified_at.as_deref() != at;
        self.verified_at = at.map(str::to_owned);
        news
    }

    /// A transaction was committed at `lsn` and did this.
    pub(crate) fn did(&mut self, xid: u32, lsn: u64, effect: Effect) -> Result<()> {
        ensure!(lsn >= self.as_of, "{}: transaction {xid} at {lsn:X} comes after numbers as of {:X}", self.name, self.as_of);
        self.rows = self.rows.map(|rows| effect.on(rows));
        self.entries.push(Entry::Did { xid, lsn, effect });
        Ok(())
    }

    /// There are so many rows now.
    pub(crate) fn told(&mut self, rows: i64, as_of: u64) -> Result<()> {
        self.entries.push(Entry::Told { rows, lsn: as_of });
        self.as_of = as_of;
        let altered = self.altered.take().is_some();
        match self.rows.replace(rows) {
            Some(before) if before != rows && !altered => {
                bail!("it is said to have {rows} rows, but what was told adds up to {before}:\n{self}")
            }
            _ => Ok(()),
        }
    }

    /// As of a position that may have been passed, there are so many rows; if nothing is said, as many as were told, and what was done
    /// since.
    pub(crate) fn told_late(&mut self, rows: Option<i64>, as_of: u64) -> Result<()> {
        let at = self.place(as_of);
        let adds_up = last_told(&self.entries[..at]);
        let Some(told) = rows.or(adds_up) else { return Ok(()) };
        self.entries.insert(at, Entry::Told { rows: told, lsn: as_of });
        self.rows = last_told(&self.entries);
        self.late = true;
        match adds_up {
            Some(before) if before != told => {
                bail!("it is said to have {told} rows, but what was told adds up to {before}:\n{self}")
            }
            _ => Ok(()),
        }
    }

    /// From a position on that may have been passed, it is not known how many there are.
    pub(crate) fn doubt_late(&mut self, lsn: u64) {
        let at = self.place(lsn);
        self.entries.insert(at, Entry::Doubt { lsn });
        (self.rows, self.late) = (None, true);
    }

    /// Where what is told as of `lsn` belongs: before a transaction that was committed there, and behind what was told of it before.
    fn place(&self, lsn: u64) -> usize {
        let is_before = |entry: &Entry| entry.lsn() < lsn || (entry.lsn() == lsn && !matches!(entry, Entry::Did { .. }));
        self.entries.partition_point(is_before)
    }

    /// It was altered at `lsn`: whether the number that was told still holds, what comes next will show.
    pub(crate) fn altered(&mut self, lsn: u64) {
        self.entries.push(Entry::Doubt { lsn });
        self.altered = Some(0);
    }

    /// A second has passed in the stream.
    pub(crate) fn beat(&mut self) {
        self.altered = self.altered.map(|beats| beats + 1).filter(|beats| *beats < BEATS);
    }

    /// From `lsn` on it is not known how many there are.
    pub(crate) fn doubt(&mut self, lsn: u64) {
        self.altered = None;
        if self.rows.take().is_some() {
            self.entries.push(Entry::Doubt { lsn });
        }
    }

    /// Compares an audit with the numbers told last before its position and first after it. Gives how many of these there were.
    pub(crate) fn check(&self, audit: &Audit) -> Result<usize> {
        let end = self.entries.iter().position(|entry| entry.lsn() >= audit.lsn).unwrap_or(self.entries.len());
        let (before, after) = self.entries.split_at(end);
        let unseen = unseen(before, audit)?;
        // In doubt there may be rows that the stream does not bring: those of a table that is not logged for a while.
        let known = |entry: &&Entry| !matches!(entry, Entry::Did { .. });
        let in_doubt = before.iter().rev().find(known).is_some_and(|entry| matches!(entry, Entry::Doubt { .. }));
        let is_certain = !self.late || matches!(after.iter().find(known), Some(Entry::Told { .. }));
        let told = [last_told(before).filter(|_| is_certain), first_told(after).filter(|_| !in_doubt && !self.late)];
        for at_position in told.iter().flatten() {
            let expected = at_position - unseen;
            ensure!(
                audit.rows == expected,
                "{audit}\nfound {} rows, but by what pgvigil told there are {expected} ({at_position} at that position, of them \
                 {unseen} not visible). Around it:\n{}",
                audit.rows,
                Chronicle {
                    entries: self.entries[end.saturating_sub(30)..(end + 10).min(self.entries.len())].to_vec(),
                    ..self.clone()
                },
            );
        }
        Ok(told.iter().flatten().count())
    }
}

/// Rows that transactions of `before` added and the audit could not see.
fn unseen(before: &[Entry], audit: &Audit) -> Result<i64> {
    let mut rows = 0;
    for entry in before.iter().rev() {
        let Entry::Did { xid, effect, .. } = entry else { continue };
        match (audit.snapshot.sees(*xid), effect.emptied) {
            (true, true) => break,
            (true, false) => {}
            (false, false) => rows += effect.rows,
            (false, true) => {
                bail!("{audit}\ntransaction {xid} emptied the table before the audit's position, and yet is not visible")
            }
        }
    }
    Ok(rows)
}

/// How many rows there were after all of `before`, by the last number told in it.
fn last_told(before: &[Entry]) -> Option<i64> {
    let mut since = Effect::default();
    for entry in before.iter().rev() {
        match entry {
            Entry::Did { effect, .. } => since = effect.then(since),
            Entry::Told { rows, .. } => return Some(since.on(*rows)),
            Entry::Doubt { .. } => return None,
        }
    }
    None
}

/// How many rows there were before all of `after`, by the first number told in it.
fn first_told(after: &[Entry]) -> Option<i64> {
    let mut until = Effect::default();
    for entry in after {
        match entry {
            Entry::Did { effect, .. } => until = until.then(*effect),
            Entry::Told { rows, .. } if !until.emptied => return Some(rows - until.rows),
            Entry::Told { .. } | Entry::Doubt { .. } => return None,
        }
    }
    None
}

/// The end of it, a line an entry.
impl fmt::Display for Chronicle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "  {}", self.name)?;
        for entry in &self.entries[self.entries.len().saturating_sub(40)..] {
            write!(f, "    {} ", Lsn(entry.lsn()))?;
            match entry {
                Entry::Did { xid, effect: Effect { emptied, rows }, .. } => {
                    writeln!(f, "xid {xid}: {}{rows:+}", if *emptied { "emptied, then " } else { "" })?;
                }
                Entry::Told { rows, .. } => writeln!(f, "told: {rows}")?,
                Entry::Doubt { .. } => writeln!(f, "told: not known")?,
            }
        }
        Ok(())
    }
}
