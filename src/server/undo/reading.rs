//! What is read of the history, in one go from the first change that is to be undone on: these changes, and then those that others made
//! later to the same rows, or to rows that stand in their way. What has to go while it is read is said, like any other gap.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rustc_hash::FxHashMap;

use super::read;
use super::scope::Scope;
use crate::event;
use crate::event::filter::Filter;
use crate::event::received::{Change, Event};
use crate::history::{self, History, Read, Reader, Start};
use crate::lsn::Oid;
use crate::server::problem::{Kind, Problem};
use crate::undo::schema::Rename;
use crate::undo::{Move, Moves, Schema, Sieve, table_name};

/// Bytes of events that are looked at together.
const TOGETHER: usize = 1 << 20;

/// A statement is told up to so many characters (`sql/setup/ddl_messages.sql`).
const DDL_CUT: usize = 1000;

/// So long is waited for what is still being written,
const PATIENCE: Duration = Duration::from_secs(5);
/// with such pauses.
const PAUSE: Duration = Duration::from_millis(20);

/// Reads on from where the scope begins up to where the history ended then.
pub(super) struct Reading<'s> {
    scope: &'s Scope,
    reader: Reader,
    /// Something was read, if only that there is nothing.
    is_begun: bool,
    end: u64,
    /// For what was still being written.
    waited: Duration,
    filter: Arc<Filter>,
    /// What the tables that are meant reference, or are referenced by.
    beside: Vec<Oid>,
    /// What came later first, once that is reached.
    behind: Option<Vec<Bytes>>,
    /// What may have been done to columns on the way.
    altered: Vec<(Oid, Altered)>,
    /// What may have been moved.
    moves: Moves,
    /// The transaction that is read has changes, and has not ended.
    is_open: bool,
}

/// What a command may have done to columns of a table, as far as it matters to who reads older rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Altered {
    /// Renamed some.
    Renamed(Rename),
    /// Made ordinary ones of generated ones: `DROP EXPRESSION`.
    Ungenerated,
}

/// What is to be undone.
#[derive(Debug, Default)]
pub(super) struct Undone {
    /// The changes, oldest first.
    pub(super) changes: Vec<Bytes>,
    /// Those of other tables that these reference or are referenced by, and that are not to be undone.
    pub(super) beside: Vec<Bytes>,
    /// The commits between them.
    pub(super) commits: Vec<Bytes>,
    /// Where something is missing.
    pub(super) gaps: Vec<Bytes>,
    /// A transaction has no end.
    pub(super) is_torn: bool,
}

/// What came later.
#[derive(Debug, Default)]
pub(super) struct Later {
    /// The changes that matter, oldest first.
    pub(super) changes: Vec<Bytes>,
    /// Where something is missing.
    pub(super) gaps: Vec<Bytes>,
    /// What else of it is not known, for a person.
    pub(super) warnings: Vec<String>,
}

impl<'s> Reading<'s> {
    pub(super) fn begin(history: &History, scope: &'s Scope, schema: &Schema, partitions: FxHashMap<Oid, Oid>) -> Self {
        let start = scope.start.clone().map_or(Start::Live, Start::After);
        let meant: Vec<Oid> = scope.tables.iter().filter_map(|table| partitions.get(table).copied()).collect();
        let beside = schema.roots.iter().filter(|(_, tree)| !meant.contains(tree)).map(|(table, _)| *table).collect();
        let mut moves = Moves::new(partitions, scope.tables.clone());
        if scope.begins_within() {
            moves.torn();
        }
        let (reader, end) = (history.read_from(start), history.position());
        Reading {
            scope,
            reader,
            is_begun: false,
            end,
            waited: Duration::ZERO,
            filter: Arc::clone(&scope.range.filter),
            beside,
            behind: None,
            altered: Vec::new(),
            moves,
            is_open: false,
        }
    }

    /// All that is to be undone.
    pub(super) fn undone(&mut self) -> Result<Undone, Problem> {
        let mut undone = Undone::default();
        while self.behind.is_none()
            && let Some(read) = self.read()
        {
            match read {
                Read::Events(batch) => batch.iter().try_for_each(|event| self.sort(event, &mut undone))?,
                Read::Gap(gap) => {
                    self.moves.torn();
                    undone.is_torn |= std::mem::take(&mut self.is_open);
                    undone.gaps.push(gap.json());
                }
                Read::Nothing => self.wait()?,
            }
        }
        undone.is_torn |= self.is_open;
        Ok(undone)
    }

    fn sort(&mut self, event: history::Event<'_>, undone: &mut Undone) -> Result<(), Problem> {
        self.altered.extend(altered(&event)?);
        let (head, json) = (event.head(), event.json());
        if self.behind.is_some() || self.scope.is_behind(head) {
            self.behind.get_or_insert_default().push(json);
            return Ok(());
        }
        match (head.kind, event.block().table(head)) {
            (event::Kind::Change, Some(table)) => {
                self.is_open = true;
                if head.operation.is_some_and(|operation| self.moves.asks_for(operation, table.oid))
                    && let Event::Change(change) = read(&json)?
                {
                    self.moves.tell(&change);
                }
                if self.scope.tables.contains(&table.oid) {
                    undone.changes.push(json);
                } else if self.beside.contains(&table.oid) {
                    undone.beside.push(json);
                }
            }
            (event::Kind::Commit, _) => {
                self.moves.ended();
                self.is_open = false;
                undone.commits.push(json);
            }
            (event::Kind::Gap, _) => {
                self.moves.torn();
                undone.is_torn |= std::mem::take(&mut self.is_open);
                undone.gaps.push(json);
            }
            (event::Kind::Change | event::Kind::Ddl | event::Kind::Message, _) => {}
        }
        Ok(())
    }

    /// Of all that came later, what matters to these changes.
    pub(super) fn later(&mut self, undone: &[Change<'_>], beside: &[Change<'_>], schema: &Schema) -> Result<Later, Problem> {
        let (mut later, mut sieve) = (Later::default(), Sieve::new(undone, beside, schema));
        for json in self.behind.take().into_iter().flatten() {
            sift(&json, &mut sieve, &mut later)?;
        }
        while let Some(read) = self.read() {
            match read {
                Read::Events(batch) => {
                    for event in batch.iter() {
                        self.altered.extend(altered(&event)?);
                        let table = event.block().table(event.head());
                        if table.map_or(event.head().kind == event::Kind::Gap, |table| sieve.follows(table.oid)) {
                            sift(event.bytes(), &mut sieve, &mut later)?;
                        }
                    }
                }
                Read::Gap(gap) => later.gaps.push(gap.json()),
                Read::Nothing => self.wait()?,
            }
        }
        later.warnings.extend(sieve.blind().map(|table| {
            format!(
                "Rows of {} went later of which the log told another key than the one that is referenced, so whether rows find what they \
                 reference is not known. The dry run of `pgvigil undo --apply` finds out.",
                table_name(&table.schema, &table.name)
            )
        }));
        later.warnings.sort_unstable();
        Ok(later)
    }

    /// What may have been done to columns of which tables, as far as that is told, and what may have been moved: once all is read.
    pub(super) fn found(self) -> (Vec<(Oid, Altered)>, Vec<Move>) {
        (self.altered, self.moves.found())
    }

    /// What is needed next may still be on its way to the disk.
    fn wait(&mut self) -> Result<(), Problem> {
        if !self.reader.is_ahead_of_disk() {
            return Ok(());
        }
        if self.waited >= PATIENCE {
            return Err(
                Kind::NotYetThere.because("what happened is still being written to the journal; see the state, and ask again")
            );
        }
        self.waited += PAUSE;
        std::thread::sleep(PAUSE);
        Ok(())
    }

    fn read(&mut self) -> Option<Read> {
        // Whoever lost all of it has come past the end before he is told.
        let is_done = std::mem::replace(&mut self.is_begun, true) && self.reader.position() >= self.end;
        (!is_done).then(|| self.reader.read_until(self.end, &self.filter, TOGETHER))
    }
}

/// What a command may have done to columns. Of a statement only the beginning may be known, or nothing.
fn altered(event: &history::Event<'_>) -> Result<Vec<(Oid, Altered)>, Problem> {
    let table = event.block().table(event.head()).filter(|_| event.head().kind == event::Kind::Ddl);
    let Some(table) = table else { return Ok(Vec::new()) };
    let Event::Ddl(ddl) = read(event.bytes())? else { return Ok(Vec::new()) };
    if ddl.command != "ALTER TABLE" {
        return Ok(Vec::new());
    }
    // What stands in a function that was called is not known, and neither is what was cut off.
    let is_whole = |sql: &String| sql.chars().count() < DDL_CUT && sql.to_ascii_lowercase().contains("alter table");
    let sql = ddl.sql.filter(is_whole);
    let says = |word: &str| sql.as_ref().map(|sql| sql.to_ascii_lowercase().contains(word));
    let ungenerated = (says("expression") == Some(true)).then_some(Altered::Ungenerated);
    let may_rename = says("rename") != Some(false);
    let renamed = may_rename.then(|| Altered::Renamed(sql.map_or(Rename::Unknown, Rename::Statement)));
    Ok(renamed.into_iter().chain(ungenerated).map(|altered| (table.oid, altered)).collect())
}

/// Keeps what matters, in memory of its own: a few changes are not to keep all of the history.
fn sift(json: &[u8], sieve: &mut Sieve<'_>, later: &mut Later) -> Result<(), Problem> {
    match read(json)? {
        Event::Change(change) if sieve.keeps(&change) => later.changes.push(Bytes::copy_from_slice(json)),
        Event::Gap(_) => later.gaps.push(Bytes::copy_from_slice(json)),
        _ => {}
    }
    Ok(())
}
