//! One step → one SQL statement.
//!
//! ```text
//! WITH recorded (…) AS (VALUES …),         the rows as they were recorded, typed by the first
//!      undone AS (INSERT | UPDATE | DELETE … WHERE guards RETURNING 1)
//! INSERT INTO pg_temp.pgvigil_undo …       how many rows it was about, and how many it changed
//! ```
//!
//! What is compared is compared as text, in one session and by the types' own output functions: so `json`, `xml` or `point`, which have no
//! equality, need no other way than the rest. Only keys are compared by their own operators, so that their indexes are used.
//!
//! A step of several groups is one statement with a `recorded` and an `undone` each. It is done whole or not at all, and its parts wait for
//! each other by reading what the one before returned.

use std::fmt::Write;

use rustc_hash::FxHashMap;

use super::net::Effect;
use super::plan::{Group, Kind};
use super::quoting::{comment, identifier, literal};
use super::schema::{Action, Column, ForeignKey, Key, Schema};
use super::value::Value;

/// Rows of a statement, unless they have to be together.
const CHUNK: usize = 1000;

/// Appends the statements of a step, which are numbered from `number` on; gives the next number.
pub(super) fn write(sql: &mut String, step: &[Group<'_, '_>], schema: &Schema, mut number: usize) -> usize {
    if let [group] = step {
        let refers_to_itself = schema.foreign_keys.iter().any(|key| key.table == key.references && key.table == group.table.oid);
        let together = group.key.is_none() || group.kind == Kind::Insert && refers_to_itself;
        let most = if together { group.rows.len().max(1) } else { CHUNK };
        for rows in group.rows.chunks(most) {
            Statement::new(vec![group.with_rows(rows.to_vec())], schema).write(sql, number);
            number += 1;
        }
    } else {
        Statement::new(step.to_vec(), schema).write(sql, number);
        number += 1;
    }
    number
}

struct Statement<'p, 'a> {
    parts: Vec<Part<'p, 'a>>,
    schema: &'p Schema,
}

/// What is done to the rows of one group.
struct Part<'p, 'a> {
    group: Group<'p, 'a>,
    /// Behind the names of its parts of the statement.
    suffix: String,
    fields: Vec<Field>,
    /// Columns that follow a parent, each with its equality: they may have been set back with it already.
    followed: FxHashMap<usize, &'p str>,
}

/// A column of `recorded`.
struct Field {
    name: String,
    column: usize,
    side: Side,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Old,
    New,
}

impl<'p, 'a> Statement<'p, 'a> {
    fn new(groups: Vec<Group<'p, 'a>>, schema: &'p Schema) -> Self {
        let several = groups.len() > 1;
        let suffix = |place: usize| if several { (place + 1).to_string() } else { String::new() };
        let parts = groups.into_iter().enumerate().map(|(place, group)| Part::new(group, suffix(place), schema)).collect();
        Statement { parts, schema }
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
        let counts: Vec<String> = self.parts.iter().map(|part| part.count(number)).collect();
        // Writing to a string cannot fail.
        let _ = writeln!(
            sql,
            "WITH {}\nINSERT INTO pg_temp.pgvigil_undo\n{};\n",
            expressions.join(",\n"),
            counts.join("\nUNION ALL\n")
        );
    }

    /// Whether all rows that it would delete or update are as they were left.
    fn ready(&self) -> String {
        let found = self.parts.iter().filter(|part| part.group.kind != Kind::Insert).map(|part| {
            let (from, conditions) = (part.source(), self.guards(part).join(" AND "));
            let (table, rows) = (part.group.table.own_rows(), part.group.rows.len());
            format!("(SELECT count(*) FROM {table} t, {from} WHERE {conditions}) = {rows}")
        });
        let found: Vec<_> = found.chain(["true".to_owned()]).collect();
        format!("ready (whole) AS (SELECT {})", found.join("\n  AND "))
    }

    fn undone(&self, place: usize, part: &Part<'p, 'a>) -> String {
        let Part { group, suffix, .. } = part;
        let mut guards = self.guards(part);
        if self.parts.len() > 1 {
            guards.push("(SELECT whole FROM ready)".to_owned());
            // Reads all that the part before returned, which is when that is done.
            guards.extend(place.checked_sub(1).map(|before| format!("(SELECT count(*) FROM undone{}) >= 0", before + 1)));
        }
        let (table, from) = (group.table.own_rows(), part.source());
        let conditions = if guards.is_empty() { String::new() } else { format!("\n  WHERE {}", guards.join("\n    AND ")) };
        match group.kind {
            Kind::Delete => format!("undone{suffix} AS (\n  DELETE FROM {table} AS t USING {from}{conditions}\n  RETURNING 1)"),
            Kind::Update => {
                let set = part.fields.iter().filter(|field| field.side == Side::Old);
                let set: Vec<_> = set.map(|field| format!("{} = r.{}", part.name(field.column), field.name)).collect();
                format!(
                    "undone{suffix} AS (\n  UPDATE {table} AS t SET {} FROM {from}{conditions}\n  RETURNING 1)",
                    set.join(", ")
                )
            }
            Kind::Insert => {
                let names: Vec<_> = group.columns.iter().map(|column| part.name(*column)).collect();
                let given: Vec<_> = part.fields.iter().map(|field| format!("r.{}", field.name)).collect();
                let target = group.table.sql_name();
                // Refused where one is deferrable; the guards look after these.
                let conflict = if part.has_deferrable_key() { "" } else { "\n  ON CONFLICT DO NOTHING" };
                if names.is_empty() {
                    return format!("undone{suffix} AS (\n  INSERT INTO {target} DEFAULT VALUES RETURNING 1)");
                }
                format!(
                    "undone{suffix} AS (\n  INSERT INTO {target} ({}) OVERRIDING SYSTEM VALUE\n  SELECT {} FROM {from}{conditions}{conflict}\n  RETURNING 1)",
                    names.join(", "),
                    given.join(", ")
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
        for other in self.parts.iter().filter(|other| other.group.table.oid == key.references) {
            if let Some(comes) = equal(&|column| Some(format!("q.{}", other.field_after(column)?))) {
                ways.push(format!("EXISTS (SELECT FROM recorded{} q WHERE {comes})", other.suffix));
            }
        }
        Some(format!("({})", ways.join(" OR ")))
    }

    /// Nothing references it but what this statement changes too.
    fn no_child_is_left(&self, part: &Part<'p, 'a>, key: &ForeignKey) -> Option<String> {
        let child = self.schema.tables.get(&key.table)?;
        let name = |column: usize| child.column(column).map(|column| identifier(&column.name));
        let pairs = key.referenced.iter().zip(&key.operators).zip(&key.columns);
        let pairs = pairs.map(|((referenced, operator), column)| {
            Some(format!("t.{} {operator} c.{}", part.name(*referenced), name(*column)?))
        });
        let mut conditions = pairs.collect::<Option<Vec<_>>>()?;
        if key.table == part.group.table.oid {
            conditions.push("(c.tableoid, c.ctid) <> (t.tableoid, t.ctid)".to_owned());
        }
        let changes_too = |other: &&Part<'p, 'a>| {
            let releases = other.group.kind != Kind::Insert && other.group.touches(&key.columns);
            self.parts.len() > 1 && other.group.table.oid == key.table && releases
        };
        for other in self.parts.iter().filter(changes_too) {
            let Some(child_key) = other.group.key else { continue };
            let pairs = child_key.columns.iter().zip(&child_key.operators).map(|(column, operator)| {
                let column = other.group.table.column(*column).map(|named| (*column, identifier(&named.name)));
                column.and_then(|(column, name)| Some(format!("c.{name} {operator} q.{}", other.field(column, Side::New)?)))
            });
            if let Some(pairs) = pairs.collect::<Option<Vec<_>>>() {
                conditions.push(format!("NOT EXISTS (SELECT FROM recorded{} q WHERE {})", other.suffix, pairs.join(" AND ")));
            }
        }
        Some(format!("NOT EXISTS (SELECT FROM {} c WHERE {})", child.own_rows(), conditions.join(" AND ")))
    }
}

impl<'p, 'a> Part<'p, 'a> {
    fn new(group: Group<'p, 'a>, suffix: String, schema: &'p Schema) -> Self {
        let named = |prefix: &str, side: Side, columns: &[usize]| {
            let fields = columns.iter().enumerate();
            fields.map(|(nth, column)| Field { name: format!("{prefix}{}", nth + 1), column: *column, side }).collect::<Vec<_>>()
        };
        let stored = group.table.columns.iter().enumerate().filter(|(_, column)| !column.is_generated);
        let stored: Vec<usize> = stored.map(|(place, _)| place).collect();
        let found_by = group.key.map_or(stored.as_slice(), |key| key.columns.as_slice());
        let fields = match group.kind {
            Kind::Insert => named("old", Side::Old, &group.columns),
            Kind::Delete if group.key.is_none() => named("new", Side::New, found_by),
            Kind::Delete => {
                let more = found_by.iter().filter(|column| !group.columns.contains(column));
                named("new", Side::New, &group.columns.iter().chain(more).copied().collect::<Vec<_>>())
            }
            Kind::Update => {
                let mut fields = named("at", Side::New, found_by);
                fields.extend(named("old", Side::Old, &group.columns));
                fields.extend(named("new", Side::New, &group.columns));
                fields
            }
        };
        let follow = |key: &&ForeignKey| key.table == group.table.oid && key.on_update == Action::Cascade;
        let followed = schema.foreign_keys.iter().filter(follow);
        let followed = followed.flat_map(|key| key.columns.iter().copied().zip(key.operators.iter().map(String::as_str)));
        let followed = followed.collect();
        Part { group, suffix, fields, followed }
    }

    fn title(&self) -> String {
        let rows = match self.group.rows.len() {
            1 => "1 row".to_owned(),
            rows => format!("{rows} rows"),
        };
        let what = match self.group.kind {
            Kind::Delete => "that came: deleted again",
            Kind::Update => "that changed: set back",
            Kind::Insert => "that went: inserted again",
        };
        let names: Vec<_> = self.group.columns.iter().map(|column| self.name(*column)).collect();
        format!("{}: {rows} {what}\n  ({})", self.group.table.sql_name(), names.join(", "))
    }

    fn column(&self, place: usize) -> Option<&'p Column> {
        self.group.table.column(place)
    }

    fn name(&self, place: usize) -> String {
        self.column(place).map(|column| identifier(&column.name)).unwrap_or_default()
    }

    /// The column of `recorded` with this side of this column of the table.
    fn field(&self, column: usize, side: Side) -> Option<&str> {
        let field = self.fields.iter().find(|field| field.column == column && field.side == side);
        field.map(|field| field.name.as_str())
    }

    /// The column of `recorded` with the value that this column of the table has when it is done.
    fn field_after(&self, column: usize) -> Option<&str> {
        let kept = self.group.kind == Kind::Update && !self.group.columns.contains(&column);
        self.field(column, if kept { Side::New } else { Side::Old })
    }

    /// The value that a column has when it is done: given, or as it is.
    fn after(&self, column: usize) -> Option<String> {
        match (self.field(column, Side::Old), self.group.kind) {
            (Some(field), _) => Some(format!("r.{field}")),
            (None, Kind::Update) => Some(format!("t.{}", self.name(column))),
            (None, _) => None,
        }
    }

    fn has_deferrable_key(&self) -> bool {
        self.group.table.keys.iter().any(|key| key.is_deferrable)
    }

    /// `recorded`, and where no key tells rows apart the numbering of equal ones.
    fn recorded(&self) -> Vec<String> {
        let Part { group, suffix, fields, .. } = self;
        let rows = group.rows.iter().enumerate().map(|(nth, row)| format!("\n  ({})", self.values(row, nth == 0)));
        let rows = rows.collect::<Vec<_>>().join(",");
        let names = fields.iter().map(|field| field.name.as_str()).collect::<Vec<_>>();
        let mut all = vec![if names.is_empty() {
            format!("recorded{suffix} AS (SELECT FROM generate_series(1, {}))", group.rows.len())
        } else {
            format!("recorded{suffix} ({}) AS (VALUES{rows})", names.join(", "))
        }];
        if group.key.is_none() && group.kind != Kind::Insert {
            let left: Vec<&Field> = fields.iter().filter(|field| field.side == Side::New && !field.name.is_empty()).collect();
            let whole = left.iter().take(self.stored()).map(|field| format!("r.{}", field.name)).collect::<Vec<_>>().join(", ");
            let here = left.iter().take(self.stored()).map(|field| format!("t.{}", self.name(field.column)));
            let here = here.collect::<Vec<_>>().join(", ");
            let table = group.table.own_rows();
            all.push(format!(
                "wanted{suffix} AS (\n  SELECT r.*, ROW({whole})::text AS whole, row_number() OVER (PARTITION BY ROW({whole})::text) AS nth\n  FROM recorded{suffix} r)"
            ));
            all.push(format!(
                "found{suffix} AS (\n  SELECT t.tableoid AS leaf, t.ctid AS place, ROW({here})::text AS whole,\n         row_number() OVER (PARTITION BY ROW({here})::text) AS nth\n  FROM {table} t WHERE ROW({here})::text IN (SELECT whole FROM wanted{suffix}))"
            ));
        }
        all
    }

    fn stored(&self) -> usize {
        self.group.table.columns.iter().filter(|column| !column.is_generated).count()
    }

    /// The first row gives the others their types.
    fn values(&self, row: &Effect<'_>, typed: bool) -> String {
        let values = self.fields.iter().map(|field| {
            let side = match field.side {
                Side::Old => row.before(),
                Side::New => row.after(),
            };
            let value = match side.and_then(|row| row.get(field.column)) {
                Some(Value::Text(text)) => literal(text),
                _ => "NULL".to_owned(),
            };
            match self.column(field.column).filter(|_| typed) {
                Some(column) => format!("CAST({value} AS {})", column.type_name),
                None => value,
            }
        });
        values.collect::<Vec<_>>().join(", ")
    }

    /// What stands behind FROM or USING.
    fn source(&self) -> String {
        let suffix = &self.suffix;
        match (self.group.kind, self.group.key) {
            (Kind::Insert, _) | (_, Some(_)) => format!("recorded{suffix} r"),
            (_, None) => format!("wanted{suffix} r JOIN found{suffix} f ON f.whole = r.whole AND f.nth = r.nth"),
        }
    }

    /// What finds the row in the table.
    fn place(&self) -> Vec<String> {
        let group = &self.group;
        match (group.kind, group.key) {
            (Kind::Insert, _) => Vec::new(),
            (_, None) => vec!["t.tableoid = f.leaf".to_owned(), "t.ctid = f.place".to_owned()],
            (kind, Some(key)) => {
                let mut conditions = self.same_key(key, Side::New);
                if kind == Kind::Delete {
                    conditions.push(self.same_row(Side::New));
                }
                conditions
            }
        }
    }

    fn same_key(&self, key: &Key, side: Side) -> Vec<String> {
        let pairs = key.columns.iter().zip(&key.operators);
        let equal = pairs.filter_map(|(column, operator)| {
            let field = self.field(*column, side).or_else(|| self.field(*column, Side::New))?;
            let name = self.name(*column);
            let already = self.field(*column, Side::Old).filter(|_| side == Side::New && self.followed.contains_key(column));
            Some(match already {
                Some(already) => format!("(t.{name} {operator} r.{field} OR t.{name} {operator} r.{already})"),
                None => format!("t.{name} {operator} r.{field}"),
            })
        });
        equal.collect()
    }

    /// The column has the value that the change left, or already the one that it is set back to.
    fn is_as_left(&self, column: usize) -> String {
        let (name, field) = (self.name(column), |side| self.field(column, side).unwrap_or_default());
        let (old, new) = (field(Side::Old), field(Side::New));
        let as_left = format!("ROW(t.{name})::text IN (ROW(r.{new})::text, ROW(r.{old})::text)");
        match self.followed.get(&column) {
            // What it got from its parent is equal to what it had, and may be written in another way.
            Some(operator) => format!("({as_left} OR t.{name} {operator} r.{old})"),
            None => as_left,
        }
    }

    /// All columns that this is about have the recorded values.
    fn same_row(&self, side: Side) -> String {
        let columns = self.group.columns.iter().filter_map(|column| Some((self.name(*column), self.field(*column, side)?)));
        let (here, recorded): (Vec<_>, Vec<_>) = columns.map(|(name, field)| (format!("t.{name}"), format!("r.{field}"))).unzip();
        format!("ROW({})::text = ROW({})::text", here.join(", "), recorded.join(", "))
    }

    /// Nobody else has the values that must be unique, where the statement would otherwise fail.
    fn value_is_free(&self, key: &Key) -> Option<String> {
        let group = &self.group;
        let judged = match group.kind {
            Kind::Delete => false,
            Kind::Update => !key.is_deferrable && group.touches(&key.columns),
            Kind::Insert => self.has_deferrable_key(),
        };
        let pairs = key.columns.iter().zip(&key.operators);
        let pairs = pairs.map(|(column, operator)| Some(format!("o.{} {operator} {}", self.name(*column), self.after(*column)?)));
        let mut conditions = pairs.collect::<Option<Vec<_>>>().filter(|_| judged)?;
        if group.kind == Kind::Update {
            conditions.push("(o.tableoid, o.ctid) <> (t.tableoid, t.ctid)".to_owned());
        }
        Some(format!("NOT EXISTS (SELECT FROM {} o WHERE {})", group.table.own_rows(), conditions.join(" AND ")))
    }

    /// The line in which the result is shown.
    fn count(&self, number: usize) -> String {
        let Part { group, suffix, .. } = self;
        let what = match group.kind {
            Kind::Delete => "delete",
            Kind::Update => "set back",
            Kind::Insert => "insert",
        };
        let name = literal(&format!("{}.{}", group.table.schema, group.table.name));
        let already = self.already().unwrap_or_else(|| "0".to_owned());
        format!("SELECT {number}, {name}, '{what}', {}, (SELECT count(*) FROM undone{suffix}), {already}", group.rows.len())
    }

    /// How many rows were as they should be before anything was done.
    fn already(&self) -> Option<String> {
        let Part { group, suffix, .. } = self;
        let table = group.table.own_rows();
        let named = |key: &&Key| key.identifies && key.columns.iter().all(|column| self.field(*column, Side::Old).is_some());
        match (group.kind, group.key) {
            (Kind::Insert, _) => {
                let key = group.table.keys.iter().find(named)?;
                let same = [self.same_key(key, Side::Old), vec![self.same_row(Side::Old)]].concat().join(" AND ");
                Some(format!("(SELECT count(*) FROM {table} t, recorded{suffix} r WHERE {same})"))
            }
            (Kind::Update, Some(key)) if key.touches(&group.columns) => {
                let same = [self.same_key(key, Side::Old), vec![self.same_row(Side::Old)]].concat().join(" AND ");
                let elsewhere = self.same_key(key, Side::New).join(" AND ");
                Some(format!(
                    "(SELECT count(*) FROM recorded{suffix} r WHERE EXISTS (SELECT FROM {table} t WHERE {same}) \
                     AND NOT EXISTS (SELECT FROM {table} t WHERE {elsewhere}))"
                ))
            }
            (Kind::Delete, Some(key)) => {
                let there = self.same_key(key, Side::New).join(" AND ");
                Some(format!("(SELECT count(*) FROM recorded{suffix} r WHERE NOT EXISTS (SELECT FROM {table} t WHERE {there}))"))
            }
            _ => None,
        }
    }
}
