//! The rows of one group within a statement: how they are written, found, compared and counted.

use std::ops::Range;

use rustc_hash::FxHashMap;

use super::plan::{Group, Kind};
use super::quoting::{identifier, literal, push_literal, table_name};
use super::rows::Effect;
use super::schema::{Action, Column, ForeignKey, Key, Schema};
use super::value::Value;

/// What is done to the rows of one group.
pub(super) struct Part<'p, 'a> {
    pub(super) group: Group<'p, 'a>,
    /// Behind the names of its parts of the statement.
    pub(super) suffix: String,
    pub(super) fields: Vec<Field>,
    /// Columns that follow a parent, each with its equality: they may have been set back with it already.
    followed: FxHashMap<usize, &'p str>,
    /// Where no key tells whether a row is back already: transactions from this id on came after the SQL was made.
    newer: Option<u64>,
}

/// A column of `recorded`.
pub(super) struct Field {
    pub(super) name: String,
    pub(super) column: usize,
    pub(super) side: Side,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Old,
    New,
}

impl<'p, 'a> Part<'p, 'a> {
    pub(super) fn new(group: Group<'p, 'a>, suffix: String, schema: &'p Schema) -> Self {
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
        let is_whole = group.columns.len() == stored.len() && !stored.is_empty();
        let newer = schema.next_xid.filter(|_| group.kind == Kind::Insert && group.key.is_none() && is_whole);
        Part { group, suffix, fields, followed, newer }
    }

    pub(super) fn title(&self) -> String {
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

    pub(super) fn column(&self, place: usize) -> Option<&'p Column> {
        self.group.table.column(place)
    }

    pub(super) fn name(&self, place: usize) -> String {
        self.column(place).map(|column| identifier(&column.name)).unwrap_or_default()
    }

    /// The column of `recorded` with this side of this column of the table.
    pub(super) fn field(&self, column: usize, side: Side) -> Option<&str> {
        let field = self.fields.iter().find(|field| field.column == column && field.side == side);
        field.map(|field| field.name.as_str())
    }

    /// The column of `recorded` with the value that this column of the table has when it is done.
    pub(super) fn field_after(&self, column: usize) -> Option<&str> {
        let kept = self.group.kind == Kind::Update && !self.group.columns.contains(&column);
        self.field(column, if kept { Side::New } else { Side::Old })
    }

    /// The value that a column has when it is done: given, or as it is.
    pub(super) fn after(&self, column: usize) -> Option<String> {
        match (self.field(column, Side::Old), self.group.kind) {
            (Some(field), _) => Some(format!("r.{field}")),
            (None, Kind::Update) => Some(format!("t.{}", self.name(column))),
            (None, _) => None,
        }
    }

    /// `recorded`, and where no key tells rows apart the numbering of equal ones.
    pub(super) fn recorded(&self) -> Vec<String> {
        let Part { group, suffix, fields, .. } = self;
        let mut rows = String::new();
        for (nth, row) in group.rows.iter().enumerate() {
            rows.push_str(if nth == 0 { "\n  (" } else { ",\n  (" });
            self.values(&mut rows, row, nth == 0);
            rows.push(')');
        }
        let names = fields.iter().map(|field| field.name.as_str()).collect::<Vec<_>>();
        let mut all = vec![if names.is_empty() {
            format!("recorded{suffix} AS (SELECT FROM generate_series(1, {}))", group.rows.len())
        } else {
            format!("recorded{suffix} ({}) AS (VALUES{rows})", names.join(", "))
        }];
        if !self.is_numbered() {
            return all;
        }
        let side = if group.kind == Kind::Insert { Side::Old } else { Side::New };
        let whole = fields.iter().filter(|field| field.side == side).take(self.stored()).collect::<Vec<_>>();
        let list = |part: &dyn Fn(&Field) -> String| whole.iter().map(|field| part(field)).collect::<Vec<_>>().join(", ");
        let (recorded, here) =
            (list(&|field| format!("r.{}", field.name)), list(&|field| format!("t.{}", self.name(field.column))));
        let table = group.table.own_rows();
        all.push(format!(
            "wanted{suffix} AS (\n  SELECT r.*, ROW({recorded})::text AS whole, row_number() OVER (PARTITION BY ROW({recorded})::text) AS nth\n  FROM recorded{suffix} r)"
        ));
        all.push(match self.newer {
            Some(xid) => format!(
                "came{suffix} AS (\n  SELECT ROW({here})::text AS whole, count(*) AS rows\n  FROM {table} t \
                 WHERE age(t.xmin) <> 0 AND age(t.xmin) <= pg_current_xact_id()::text::bigint - {xid} GROUP BY 1)"
            ),
            None => format!(
                "found{suffix} AS (\n  SELECT t.tableoid AS leaf, t.ctid AS place, ROW({here})::text AS whole,\n         row_number() OVER (PARTITION BY ROW({here})::text) AS nth\n  FROM {table} t WHERE ROW({here})::text IN (SELECT whole FROM wanted{suffix}))"
            ),
        });
        all
    }

    /// Equal rows are told apart by their number.
    fn is_numbered(&self) -> bool {
        self.group.key.is_none() && (self.group.kind != Kind::Insert || self.newer.is_some())
    }

    pub(super) fn stored(&self) -> usize {
        self.group.table.columns.iter().filter(|column| !column.is_generated).count()
    }

    /// The first row gives the others their types.
    fn values(&self, sql: &mut String, row: &Effect<'_>, typed: bool) {
        for (nth, field) in self.fields.iter().enumerate() {
            if nth > 0 {
                sql.push_str(", ");
            }
            let side = match field.side {
                Side::Old => row.before(),
                Side::New => row.after(),
            };
            let column = self.column(field.column).filter(|_| typed);
            if column.is_some() {
                sql.push_str("CAST(");
            }
            match side.and_then(|row| row.get(field.column)) {
                Some(Value::Text(text)) => push_literal(sql, text),
                _ => sql.push_str("NULL"),
            }
            if let Some(column) = column {
                sql.extend([" AS ", &column.type_name, ")"]);
            }
        }
    }

    /// What stands behind FROM or USING.
    pub(super) fn source(&self) -> String {
        let suffix = &self.suffix;
        match (self.group.kind, self.group.key) {
            (Kind::Insert, _) if self.newer.is_some() => {
                format!("wanted{suffix} r LEFT JOIN came{suffix} c ON c.whole = r.whole")
            }
            (Kind::Insert, _) | (_, Some(_)) => format!("recorded{suffix} r"),
            (_, None) => format!("wanted{suffix} r JOIN found{suffix} f ON f.whole = r.whole AND f.nth = r.nth"),
        }
    }

    /// What finds the row in the table.
    pub(super) fn place(&self) -> Vec<String> {
        let group = &self.group;
        match (group.kind, group.key) {
            // As many as came since the SQL was made are back already.
            (Kind::Insert, _) if self.newer.is_some() => vec!["r.nth > coalesce(c.rows, 0)".to_owned()],
            (Kind::Insert, _) => Vec::new(),
            (_, None) => vec!["t.tableoid = f.leaf".to_owned(), "t.ctid = f.place".to_owned()],
            (kind, Some(key)) => {
                let mut conditions = self.found(key);
                if kind == Kind::Delete {
                    conditions.push(self.same_row(Side::New));
                }
                conditions
            }
        }
    }

    /// Its key follows a parent's.
    fn follows(&self, key: &Key) -> bool {
        key.columns.iter().any(|column| self.field(*column, Side::Old).is_some() && self.followed.contains_key(column))
    }

    /// It has the key that the change left, or where that follows a parent's already the one that it is set back to.
    fn found(&self, key: &Key) -> Vec<String> {
        let pairs = key.columns.iter().zip(&key.operators).zip(self.same_key(key, Side::New));
        let found = pairs.map(|((column, operator), same)| match self.field(*column, Side::Old) {
            Some(already) if self.followed.contains_key(column) => {
                format!("({same} OR t.{} {operator} r.{already})", self.name(*column))
            }
            _ => same,
        });
        found.collect()
    }

    fn same_key(&self, key: &Key, side: Side) -> Vec<String> {
        let pairs = key.columns.iter().zip(&key.operators);
        let equal = pairs.map(|(column, operator)| {
            let field = self.field(*column, side).or_else(|| self.field(*column, Side::New)).unwrap_or_default();
            format!("t.{} {operator} r.{field}", self.name(*column))
        });
        equal.collect()
    }

    /// The column has the value that the change left, or already the one that it is set back to.
    pub(super) fn is_as_left(&self, column: usize) -> String {
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
    pub(super) fn same_row(&self, side: Side) -> String {
        self.compared("=", side)
    }

    fn compared(&self, operator: &str, side: Side) -> String {
        let columns = self.group.columns.iter().filter_map(|column| Some((self.name(*column), self.field(*column, side)?)));
        let (here, recorded): (Vec<_>, Vec<_>) = columns.map(|(name, field)| (format!("t.{name}"), format!("r.{field}"))).unzip();
        format!("ROW({})::text {operator} ROW({})::text", here.join(", "), recorded.join(", "))
    }

    /// Nobody else has the values that must be unique, where the statement would otherwise fail.
    pub(super) fn value_is_free(&self, key: &Key) -> Option<String> {
        let group = &self.group;
        let judged = match group.kind {
            Kind::Delete => false,
            Kind::Update => !key.is_deferrable && group.touches(&key.columns),
            Kind::Insert => group.table.has_deferrable_unique(),
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
    pub(super) fn count(&self, number: usize, place: usize) -> String {
        let Part { group, suffix, .. } = self;
        let what = match group.kind {
            Kind::Delete => "delete",
            Kind::Update => "set back",
            Kind::Insert => "insert",
        };
        let name = literal(&table_name(&group.table.schema, &group.table.name));
        let already = self.already().unwrap_or_else(|| "0".to_owned());
        let done = |is: &str| format!("(SELECT count(*) FROM undone{suffix} WHERE {is})");
        let (done, altered) = match group.kind {
            Kind::Delete => (done("gone"), "0".to_owned()),
            Kind::Update => (done("as_recorded"), done("NOT as_recorded")),
            Kind::Insert => {
                let recorded = self.recorded_texts();
                (done(&format!("outcome IN {recorded}")), done(&format!("outcome NOT IN {recorded}")))
            }
        };
        format!("SELECT {number}, {place}, {name}, '{what}', {}, {done}, {already}, {altered}", group.rows.len())
    }

    /// What a statement returns of each row that it changed, to see whether the row is as it was recorded: a trigger may have other ideas, or
    /// a type that rounds.
    pub(super) fn outcome(&self) -> String {
        let written = format!("t.tableoid AS leaf, t.ctid AS place, {} AS content", self.content());
        match self.group.kind {
            Kind::Delete => "true AS gone".to_owned(),
            Kind::Update => format!("{} AS as_recorded, {written}", self.same_row(Side::Old)),
            Kind::Insert => {
                let columns = self.group.columns.iter().map(|column| format!("t.{}", self.name(*column)));
                format!("ROW({})::text AS outcome, {written}", columns.collect::<Vec<_>>().join(", "))
            }
        }
    }

    /// What a row of the table is, as far as this is about it: a hash of that.
    fn content(&self) -> String {
        let found_by = self.group.key.into_iter().flat_map(|key| &key.columns).filter(|_| self.group.kind == Kind::Update);
        let columns = found_by.chain(&self.group.columns).map(|column| format!("t.{}", self.name(*column)));
        format!("pg_catalog.hashtextextended(ROW({})::text, 0::bigint)", columns.collect::<Vec<_>>().join(", "))
    }

    /// Notes the rows that are as recorded: something that they set off may change them again.
    pub(super) fn written(&self, number: usize, place: usize) -> Option<String> {
        let suffix = &self.suffix;
        let as_recorded = match self.group.kind {
            Kind::Delete => return None,
            Kind::Update => "as_recorded".to_owned(),
            Kind::Insert => format!("outcome IN {}", self.recorded_texts()),
        };
        Some(format!(
            "written{suffix} AS (\n  INSERT INTO pg_temp.pgvigil_written SELECT {number}, {place}, leaf, place, content FROM undone{suffix} \
             WHERE {as_recorded})"
        ))
    }

    /// At the end of it all: which of the rows that these steps wrote are not there any more, nor others like them.
    pub(super) fn changed_again(&self, numbers: &Range<usize>, place: usize) -> Option<String> {
        let (table, content) = (self.group.table.own_rows(), self.content());
        let Range { start, end } = numbers;
        (self.group.kind != Kind::Delete).then(|| {
            format!(
                "WITH gone AS MATERIALIZED (
  SELECT w.step, w.content FROM pg_temp.pgvigil_written w WHERE w.part = {place} AND w.step >= {start} AND w.step < {end}
    AND NOT EXISTS (SELECT FROM {table} t WHERE t.tableoid = w.leaf AND t.ctid = w.place)),
changed AS (
  SELECT step, count(*) AS rows FROM gone WHERE NOT EXISTS (SELECT FROM {table} t WHERE {content} = gone.content) GROUP BY step)
UPDATE pg_temp.pgvigil_undo u SET done = u.done - changed.rows, altered = u.altered + changed.rows
FROM changed WHERE u.step = changed.step AND u.part = {place};
"
            )
        })
    }

    fn recorded_texts(&self) -> String {
        let fields = self.fields.iter().map(|field| field.name.as_str()).collect::<Vec<_>>().join(", ");
        format!("(SELECT ROW({fields})::text FROM recorded{})", self.suffix)
    }

    /// How many rows were as they should be before anything was done.
    fn already(&self) -> Option<String> {
        let Part { group, suffix, .. } = self;
        let table = group.table.own_rows();
        match (group.kind, group.key) {
            (Kind::Insert, _) if self.newer.is_some() => {
                Some(format!("(SELECT count(*) FROM {} WHERE r.nth <= c.rows)", self.source()))
            }
            // Where it was may be another one's by now; but what follows a parent is not left where it was.
            (Kind::Update, Some(key)) if key.touches(&group.columns) && !self.follows(key) => {
                let (same, elsewhere) = (self.is_back()?, self.same_key(key, Side::New).join(" AND "));
                Some(format!(
                    "(SELECT count(*) FROM recorded{suffix} r WHERE EXISTS (SELECT FROM {table} t WHERE {same}) \
                     AND NOT EXISTS (SELECT FROM {table} t WHERE {elsewhere}))"
                ))
            }
            (Kind::Delete, Some(key)) => {
                let there = self.same_key(key, Side::New).join(" AND ");
                Some(format!("(SELECT count(*) FROM recorded{suffix} r WHERE NOT EXISTS (SELECT FROM {table} t WHERE {there}))"))
            }
            (Kind::Insert, _) | (Kind::Update, Some(_)) => {
                let same = self.is_back()?;
                Some(format!("(SELECT count(*) FROM {table} t, recorded{suffix} r WHERE {same})"))
            }
            (Kind::Update | Kind::Delete, None) => None,
        }
    }

    /// Something of a row that is to be set back is not as it was yet.
    pub(super) fn is_not_back_yet(&self) -> Option<String> {
        let is_found = self.group.kind == Kind::Update && self.group.key.is_some();
        is_found.then(|| self.compared("<>", Side::Old))
    }

    /// The row of the table is as the recorded one was before; `None` if no key can tell which one that is.
    pub(super) fn is_back(&self) -> Option<String> {
        let key = match (self.group.kind, self.group.key) {
            (Kind::Insert, _) => self.group.table.keys.iter().find(|key| self.names(key))?,
            (_, key) => key?,
        };
        Some([self.same_key(key, Side::Old), vec![self.same_row(Side::Old)]].concat().join(" AND "))
    }

    fn names(&self, key: &Key) -> bool {
        key.identifies && key.columns.iter().all(|column| self.field(*column, Side::Old).is_some())
    }
}
