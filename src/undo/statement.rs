//! One step → one SQL statement.
//!
//! ```text
//! WITH recorded (…) AS (VALUES …),         the rows as they were recorded, typed by the first
//!      undone AS (INSERT | UPDATE | DELETE … WHERE guards RETURNING what came of it)
//! INSERT INTO pg_temp.pgvigil_undo …       how many rows it was about, how many it changed, and into what
//! ```
//!
//! What is compared is compared as text, in one session and by the types' own output functions: so `json`, `xml` or `point`, which have no
//! equality, need no other way than the rest. Only keys are compared by their own operators, so that their indexes are used.
//!
//! A step of several groups is one statement with a `recorded` and an `undone` each. It is done whole or not at all, and its parts wait for
//! each other by reading what the one before returned.

use std::fmt::Write;
use std::ops::Range;

use super::absent::Absent;
use super::order::{Link, Step};
use super::part::{Part, Side};
use super::plan::{Group, Kind};
use super::quoting::{comment, identifier};
use super::schema::{Action, ForeignKey, Key, Schema};
use crate::lsn::Oid;

/// Rows of a statement, unless they have to be together.
const CHUNK: usize = 1000;

/// Appends the statements of a step, which are numbered from `number` on; gives the next number.
pub(super) fn write<'p>(
    sql: &mut String,
    step: &Step<'p, '_>,
    schema: &'p Schema,
    absent: &'p Absent<'p>,
    mut number: usize,
) -> usize {
    match &*step.groups {
        // Equal rows are told apart by their number in the statement.
        [group] if !step.together && group.key.is_some() => {
            for rows in group.rows.chunks(CHUNK) {
                Statement::new(vec![group.with_rows(rows.to_vec())], schema, absent).write(sql, number);
                number += 1;
            }
        }
        groups => {
            Statement::new(groups.to_vec(), schema, absent).write(sql, number);
            number += 1;
        }
    }
    number
}

/// Appends what looks, when all is done, at the rows that the statements of a step wrote, which have these numbers.
pub(super) fn look_again(sql: &mut String, step: &Step<'_, '_>, schema: &Schema, numbers: &Range<usize>) {
    for (place, group) in step.groups.iter().enumerate() {
        let part = Part::new(group.with_rows(Vec::new()), String::new(), schema);
        sql.extend(part.changed_again(numbers, place));
    }
}

struct Statement<'p, 'a> {
    parts: Vec<Part<'p, 'a>>,
    schema: &'p Schema,
    absent: &'p Absent<'p>,
}

impl<'p, 'a> Statement<'p, 'a> {
    fn new(groups: Vec<Group<'p, 'a>>, schema: &'p Schema, absent: &'p Absent<'p>) -> Self {
        let several = groups.len() > 1;
        let suffix = |place: usize| if several { (place + 1).to_string() } else { String::new() };
        let parts = groups.into_iter().enumerate().map(|(place, group)| Part::new(group, suffix(place), schema)).collect();
        Statement { parts, schema, absent }
    }

    fn write(&self, sql: &mut String, number: usize) {
        for part in &self.parts {
            sql.push_str(&comment(&part.title()));
        }
        let mut expressions: Vec<String> = self.parts.iter().flat_map(|part| part.recorded()).collect();
        if self.parts.len() > 1 {
            expressions.push(self.ready());
        }
        expressions.extend(self.parts.iter().enumerate().map(|(place, part)| self.undone(place, part)));
        expressions.extend(self.parts.iter().flat_map(|part| self.absent.noted(part)));
        expressions.extend(self.parts.iter().enumerate().filter_map(|(place, part)| part.written(number, place)));
        let counts: Vec<String> = self.parts.iter().enumerate().map(|(place, part)| part.count(number, place)).collect();
        // Writing to a string cannot fail.
        let _ = writeln!(
            sql,
            "WITH {}\nINSERT INTO pg_temp.pgvigil_undo\n{};\n",
            expressions.join(",\n"),
            counts.join("\nUNION ALL\n")
        );
    }

    /// Whether all of it can be done: the rows that it would delete or update are as they were left, and those that it would insert find
    /// their parents, and their place free.
    fn ready(&self) -> String {
        let found = self.parts.iter().map(|part| {
            let mut conditions = self.guards(part);
            let rows = part.group.rows.len();
            let from = match part.group.kind {
                Kind::Insert => {
                    conditions.extend(part.group.table.keys.iter().filter_map(|key| self.place_is_free(part, key)));
                    part.source()
                }
                Kind::Update | Kind::Delete => format!("{} t, {}", part.group.table.own_rows(), part.source()),
            };
            conditions.push("true".to_owned());
            format!("(SELECT count(*) FROM {from} WHERE {}) = {rows}", conditions.join(" AND "))
        });
        format!("ready (whole) AS (SELECT {})", found.collect::<Vec<_>>().join("\n  AND "))
    }

    fn undone(&self, place: usize, part: &Part<'p, 'a>) -> String {
        let Part { group, suffix, .. } = part;
        let mut guards = self.guards(part);
        guards.extend(part.is_not_back_yet());
        if self.parts.len() > 1 {
            guards.push("(SELECT whole FROM ready)".to_owned());
            // Reads all that the part before returned, which is when that is done.
            guards.extend(place.checked_sub(1).map(|before| format!("(SELECT count(*) FROM undone{}) >= 0", before + 1)));
        }
        let (table, from) = (group.table.own_rows(), part.source());
        let conditions = if guards.is_empty() { String::new() } else { format!("\n  WHERE {}", guards.join("\n    AND ")) };
        let returning = [vec![part.outcome()], self.absent.returned(part)].concat().join(", ");
        match group.kind {
            Kind::Delete => {
                format!("undone{suffix} AS (\n  DELETE FROM {table} AS t USING {from}{conditions}\n  RETURNING {returning})")
            }
            Kind::Update => {
                let set = part.fields.iter().filter(|field| field.side == Side::Old);
                let set: Vec<_> = set.map(|field| format!("{} = r.{}", part.name(field.column), field.name)).collect();
                format!(
                    "undone{suffix} AS (\n  UPDATE {table} AS t SET {} FROM {from}{conditions}\n  RETURNING {returning})",
                    set.join(", ")
                )
            }
            Kind::Insert => {
                let names: Vec<_> = group.columns.iter().map(|column| part.name(*column)).collect();
                let given: Vec<_> = part.fields.iter().map(|field| format!("r.{}", field.name)).collect();
                let target = group.table.sql_name();
                // Refused where one is deferrable; the guards look after these.
                let conflict = if group.table.has_deferrable_unique() { "" } else { "\n  ON CONFLICT DO NOTHING" };
                let (names, given) = (names.join(", "), given.join(", "));
                // Of a row without columns, or of which none is known, it is known that it was there.
                let names = if names.is_empty() { names } else { format!(" ({names}) OVERRIDING SYSTEM VALUE") };
                format!(
                    "undone{suffix} AS (\n  INSERT INTO {target} AS t{names}\n  SELECT {given} FROM {from}{conditions}{conflict}\n  RETURNING {returning})"
                )
            }
        }
    }

    /// All that must hold for a row, so that nothing is done to one that changed since, and no constraint is hurt.
    fn guards(&self, part: &Part<'p, 'a>) -> Vec<String> {
        let group = &part.group;
        let mut guards = part.place();
        if group.kind == Kind::Update && group.key.is_some() {
            guards.extend(group.columns.iter().map(|column| part.is_as_left(*column)));
        }
        for key in &self.schema.foreign_keys {
            if key.table == group.table.oid && group.kind != Kind::Delete && group.touches(&key.columns) {
                guards.extend(self.parent_is_there(part, key));
                guards.extend(self.absent.not_among(part, key));
            }
            let follows = group.kind == Kind::Update && key.on_update == Action::Cascade;
            if key.references == group.table.oid && group.kind != Kind::Insert && group.touches(&key.referenced) && !follows {
                guards.extend(self.no_child_is_left(part, key));
            }
        }
        // Within one statement what frees a value is not seen yet by what takes it; the index itself judges then.
        if self.parts.len() == 1 {
            guards.extend(group.table.keys.iter().filter_map(|key| part.value_is_free(key)));
        }
        guards
    }

    /// What it references exists, or comes with this statement.
    fn parent_is_there(&self, part: &Part<'p, 'a>, key: &ForeignKey) -> Option<String> {
        let parent = self.schema.tables.get(&key.references)?;
        let ours: Vec<String> = key.columns.iter().map(|column| part.after(*column)).collect::<Option<_>>()?;
        let equal = |name: &dyn Fn(usize) -> Option<String>| -> Option<String> {
            let pairs = key.referenced.iter().zip(&key.operators).zip(&ours);
            let pairs = pairs.map(|((column, operator), ours)| Some(format!("{} {operator} {ours}", name(*column)?)));
            Some(pairs.collect::<Option<Vec<_>>>()?.join(" AND "))
        };
        let mut ways: Vec<String> = ours.iter().map(|ours| format!("{ours} IS NULL")).collect();
        let there = equal(&|column| Some(format!("p.{}", identifier(&parent.column(column)?.name))))?;
        ways.push(format!("EXISTS (SELECT FROM {} p WHERE {there})", parent.own_rows()));
        for other in self.parts.iter().filter(|other| Link(key).provides(&other.group)) {
            if let Some(comes) = equal(&|column| Some(format!("q.{}", other.field_after(column)?))) {
                ways.push(format!("EXISTS (SELECT FROM recorded{} q WHERE {comes})", other.suffix));
            }
        }
        Some(format!("({})", ways.join(" OR ")))
    }

    /// Nothing references it but what this statement changes too, or what references as well what it becomes: 1.0 for 1.00.
    fn no_child_is_left(&self, part: &Part<'p, 'a>, key: &ForeignKey) -> Option<String> {
        let child = self.schema.tables.get(&key.table)?;
        let name = |column: usize| child.column(column).map(|column| identifier(&column.name));
        let equal = |parent: &dyn Fn(usize) -> Option<String>| {
            let pairs = key.referenced.iter().zip(&key.operators).zip(&key.columns);
            let pairs = pairs.map(|((referenced, operator), column)| {
                Some(format!("{} {operator} c.{}", parent(*referenced)?, name(*column)?))
            });
            pairs.collect::<Option<Vec<_>>>()
        };
        let mut conditions = equal(&|column| Some(format!("t.{}", part.name(column))))?;
        // Whether another period covers as much is not told by what it has in common.
        if part.group.kind == Kind::Update && !key.is_temporal {
            conditions.push(format!("NOT ({})", equal(&|column| part.after(column))?.join(" AND ")));
        }
        if key.table == part.group.table.oid {
            conditions.push("(c.tableoid, c.ctid) <> (t.tableoid, t.ctid)".to_owned());
        }
        conditions.extend(self.not_released(child.oid, &key.columns, "c"));
        Some(format!("NOT EXISTS (SELECT FROM {} c WHERE {})", child.own_rows(), conditions.join(" AND ")))
    }
    /// Nobody has the values that must be unique, or whoever has them gives them away in this statement.
    fn place_is_free(&self, part: &Part<'p, 'a>, key: &Key) -> Option<String> {
        let pairs = key.columns.iter().zip(&key.operators);
        let pairs = pairs.map(|(column, operator)| Some(format!("o.{} {operator} {}", part.name(*column), part.after(*column)?)));
        let mut conditions = pairs.collect::<Option<Vec<_>>>()?;
        conditions.extend(self.not_released(part.group.table.oid, &key.columns, "o"));
        Some(format!("NOT EXISTS (SELECT FROM {} o WHERE {})", part.group.table.own_rows(), conditions.join(" AND ")))
    }

    /// That the row `alias` is none that this statement deletes, or changes in these columns.
    fn not_released(&self, table: Oid, columns: &[usize], alias: &str) -> Vec<String> {
        let releases = |part: &&Part<'p, 'a>| {
            self.parts.len() > 1
                && part.group.table.oid == table
                && part.group.kind != Kind::Insert
                && part.group.touches(columns)
        };
        let same = |part: &Part<'p, 'a>| {
            let key = part.group.key?;
            let pairs = key.columns.iter().zip(&key.operators).map(|(column, operator)| {
                Some(format!("{alias}.{} {operator} q.{}", part.name(*column), part.field(*column, Side::New)?))
            });
            let pairs = pairs.collect::<Option<Vec<_>>>()?;
            Some(format!("NOT EXISTS (SELECT FROM recorded{} q WHERE {})", part.suffix, pairs.join(" AND ")))
        };
        self.parts.iter().filter(releases).filter_map(same).collect()
    }
}
