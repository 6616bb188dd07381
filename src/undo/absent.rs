//! Rows that others need and that did not come back, since somebody else has their place.
//!
//! A child must not come under another parent than its own, only because that has the same key by now. So every row that is needed and
//! was neither brought back nor found as it was is noted, while the SQL runs, in a temporary table of its foreign key; and nothing comes
//! that references a row noted there. (Of a period it is not known which rows cover it, so it is the constraint itself that judges.)

use std::fmt::Write;

use super::order::{Link, Step};
use super::part::Part;
use super::plan::{Group, Kind};
use super::quoting::identifier;
use super::schema::{ForeignKey, Schema};

/// The foreign keys by which something that comes may need something else that does.
pub(super) struct Absent<'p> {
    keys: Vec<&'p ForeignKey>,
}

impl<'p> Absent<'p> {
    pub(super) fn new(steps: &[Step<'_, '_>], schema: &'p Schema) -> Self {
        let any = |is: &dyn Fn(&Group<'_, '_>) -> bool| steps.iter().flat_map(|step| &step.groups).any(is);
        let needed = |key: &&ForeignKey| {
            !key.is_temporal && any(&|group| Link(key).provides(group)) && any(&|group| Link(key).needs(group))
        };
        Absent { keys: schema.foreign_keys.iter().filter(needed).collect() }
    }

    /// Makes the tables: the referenced columns each, as `key1` and so on.
    pub(super) fn tables(&self, schema: &Schema) -> String {
        let mut sql = String::new();
        for (nth, key) in self.keys.iter().enumerate() {
            let Some(table) = schema.tables.get(&key.references) else { continue };
            let columns = key.referenced.iter().filter_map(|column| table.column(*column)).enumerate();
            let columns = columns.map(|(nth, column)| format!("{} AS key{}", identifier(&column.name), nth + 1));
            // Writing to a string cannot fail.
            let _ = writeln!(
                sql,
                "CREATE TEMPORARY TABLE {} ON COMMIT DROP AS SELECT {} FROM {} WITH NO DATA;",
                name(nth),
                columns.collect::<Vec<_>>().join(", "),
                table.sql_name()
            );
        }
        sql
    }

    /// What a part returns of each row that it brought back: its keys, as text.
    pub(super) fn returned(&self, part: &Part<'_, '_>) -> Vec<String> {
        let keys = self.provided(part).map(|(nth, key)| {
            let columns = key.referenced.iter().map(|column| format!("t.{}", part.name(*column)));
            format!("ROW({})::text AS key{}", columns.collect::<Vec<_>>().join(", "), nth + 1)
        });
        keys.collect()
    }

    /// Notes the rows of a part that did not come and are not there as they were.
    pub(super) fn noted(&self, part: &Part<'_, '_>) -> Vec<String> {
        let suffix = &part.suffix;
        let note = |(nth, key): (usize, &ForeignKey)| {
            let fields = key.referenced.iter().map(|column| Some(format!("r.{}", part.field_after(*column)?)));
            let fields = fields.collect::<Option<Vec<_>>>()?.join(", ");
            let number = nth + 1;
            let back = part
                .is_back()
                .map(|same| format!("\n    AND NOT EXISTS (SELECT FROM {} t WHERE {same})", part.group.table.own_rows()));
            Some(format!(
                "absent{number}{suffix} AS (\n  INSERT INTO pg_temp.{} SELECT {fields} FROM recorded{suffix} r\n  \
                 WHERE NOT EXISTS (SELECT FROM undone{suffix} u WHERE u.key{number} = ROW({fields})::text){})",
                name(nth),
                back.unwrap_or_default()
            ))
        };
        self.provided(part).filter_map(note).collect()
    }

    /// What this part's rows reference by the key is none of those.
    pub(super) fn not_among(&self, part: &Part<'_, '_>, key: &ForeignKey) -> Option<String> {
        let nth = self.keys.iter().position(|needed| std::ptr::eq(*needed, key))?;
        let pairs = key.operators.iter().zip(&key.columns).enumerate();
        let pairs = pairs.map(|(nth, (operator, column))| Some(format!("a.key{} {operator} {}", nth + 1, part.after(*column)?)));
        let pairs = pairs.collect::<Option<Vec<_>>>()?.join(" AND ");
        Some(format!("NOT EXISTS (SELECT FROM pg_temp.{} a WHERE {pairs})", name(nth)))
    }

    /// The keys by which rows of this part are needed.
    fn provided(&self, part: &Part<'_, '_>) -> impl Iterator<Item = (usize, &'p ForeignKey)> {
        let keys = self.keys.iter().copied().enumerate();
        keys.filter(|(_, key)| part.group.kind != Kind::Delete && Link(key).provides(&part.group))
    }
}

fn name(nth: usize) -> String {
    format!("pgvigil_absent_{}", nth + 1)
}
