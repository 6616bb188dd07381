//! Reads what undo has to know of the tables that were changed, all in one snapshot.

use rustc_hash::{FxHashMap, FxHashSet};
use tokio_postgres::{Client, IsolationLevel, Row};

use crate::lsn::Oid;
use crate::undo::schema::{Action, Check, Column, ForeignKey, Key, OtherUnique, Ruled, Schema, Table, Trigger};

/// Reads the tables with these oids, the trees that they are partitions of, and whatever references them or is referenced by them. What
/// was dropped is left out. Waits for no lock.
pub async fn schema(client: &mut Client, tables: &[Oid]) -> Result<Schema, tokio_postgres::Error> {
    let transaction = client.build_transaction().isolation_level(IsolationLevel::RepeatableRead).read_only(true).start().await?;
    // Types outside of pg_catalog are to be named with their schema, whatever this role's path is.
    transaction.batch_execute("SET LOCAL search_path = ''").await?;
    let mut schema = Schema::default();
    let next = transaction.query_one("SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint", &[]).await?;
    schema.next_xid = Some(next.try_get::<_, i64>(0)?.unsigned_abs());

    let changed: Vec<u32> = tables.iter().map(|oid| oid.0).collect();
    let roots = transaction.query(include_str!("../../sql/undo/roots.sql"), &[&changed]).await?;
    let mut wanted = roots.iter().map(|row| row.try_get("root")).collect::<Result<Vec<u32>, _>>()?;
    let foreign_keys = transaction.query(include_str!("../../sql/undo/foreign_keys.sql"), &[&wanted]).await?;
    for row in &foreign_keys {
        wanted.extend([row.try_get::<_, u32>("table")?, row.try_get("references")?]);
    }
    wanted.sort_unstable();
    wanted.dedup();
    for row in transaction.query(include_str!("../../sql/undo/roots.sql"), &[&wanted]).await? {
        let oid = Oid(row.try_get("oid")?);
        schema.roots.insert(oid, Oid(row.try_get("root")?));
        schema.partitions.extend(row.try_get::<_, Option<i64>>("altered")?.map(|altered| (oid, altered)));
    }

    for row in transaction.query(include_str!("../../sql/undo/tables.sql"), &[&wanted]).await? {
        let oid = Oid(row.try_get("oid")?);
        let (name, has_children) = (row.try_get("name")?, row.try_get("has_children")?);
        let has_column_list = row.try_get("has_column_list")?;
        let (insert, update) = (row.try_get("ruled_insert")?, row.try_get("ruled_update")?);
        let ruled = Ruled { insert, update, delete: row.try_get("ruled_delete")? };
        let table = Table { oid, schema: row.try_get("schema")?, name, has_children, has_column_list, ruled, ..Table::default() };
        schema.tables.insert(oid, table);
    }
    for row in transaction.query(include_str!("../../sql/undo/columns.sql"), &[&wanted]).await? {
        let column = column(&row)?;
        if let Some(table) = table(&mut schema.tables, &row)? {
            table.columns.push(column);
        }
    }
    for row in transaction.query(include_str!("../../sql/undo/dropped_columns.sql"), &[&wanted]).await? {
        let number = row.try_get("number")?;
        if let Some(table) = table(&mut schema.tables, &row)? {
            table.dropped.push(number);
        }
    }
    for row in transaction.query(include_str!("../../sql/undo/keys.sql"), &[&wanted]).await? {
        let Some(table) = table(&mut schema.tables, &row)? else { continue };
        let altered: i64 = row.try_get("altered")?;
        table.unique_altered = Some(table.unique_altered.map_or(altered, |other| altered.min(other)));
        match key(&row, table)? {
            Some(key) => table.keys.push(key),
            None => table.other_uniques.push(other_unique(&row, table)?),
        }
    }
    for row in transaction.query(include_str!("../../sql/undo/checks.sql"), &[&wanted]).await? {
        let Some(table) = table(&mut schema.tables, &row)? else { continue };
        table.checks.extend(check(&row, table)?);
    }
    for row in transaction.query(include_str!("../../sql/undo/triggers.sql"), &[&wanted]).await? {
        let (on_insert, on_update, on_delete) = (row.try_get("on_insert")?, row.try_get("on_update")?, row.try_get("on_delete")?);
        let trigger = Trigger { name: row.try_get("name")?, on_insert, on_update, on_delete };
        if let Some(table) = table(&mut schema.tables, &row)? {
            table.triggers.push(trigger);
        }
    }
    for row in &foreign_keys {
        schema.foreign_keys.extend(foreign_key(row, &schema.tables)?);
    }
    transaction.commit().await?;
    Ok(schema)
}

/// The tree that each of these tables is a partition of, or itself, and the same of what else is in these trees. What was dropped is left out.
pub async fn trees(client: &Client, tables: &[Oid]) -> Result<FxHashMap<Oid, Oid>, tokio_postgres::Error> {
    let tables: Vec<u32> = tables.iter().map(|oid| oid.0).collect();
    let rows = client.query(include_str!("../../sql/undo/roots.sql"), &[&tables]).await?;
    rows.iter().map(|row| Ok((Oid(row.try_get("oid")?), Oid(row.try_get("root")?)))).collect()
}

fn table<'t>(tables: &'t mut FxHashMap<Oid, Table>, row: &Row) -> Result<Option<&'t mut Table>, tokio_postgres::Error> {
    Ok(tables.get_mut(&Oid(row.try_get("table")?)))
}

fn column(row: &Row) -> Result<Column, tokio_postgres::Error> {
    Ok(Column {
        name: row.try_get("name")?,
        number: row.try_get("number")?,
        type_name: row.try_get("type_name")?,
        stored_as: row.try_get("stored_as")?,
        is_document: row.try_get("is_document")?,
        is_spelled_out: row.try_get("is_spelled_out")?,
        is_generated: row.try_get("is_generated")?,
        may_be_sent: row.try_get("may_be_sent")?,
        is_identity_always: row.try_get("is_identity_always")?,
        is_not_null: row.try_get("is_not_null")?,
        may_be_left_out: row.try_get("may_be_left_out")?,
        altered: row.try_get("altered")?,
        calls_application: row.try_get("calls_application")?,
        refused: FxHashSet::default(),
        rewritten: FxHashSet::default(),
    })
}

fn check(row: &Row, table: &Table) -> Result<Option<Check>, tokio_postgres::Error> {
    let columns = places(table, &row.try_get::<_, Vec<String>>("columns")?);
    let (name, expression) = (row.try_get("name")?, row.try_get("expression")?);
    let (altered, calls_application) = (row.try_get("altered")?, row.try_get("calls_application")?);
    Ok(columns.map(|columns| Check { name, expression, columns, altered, calls_application, refused: FxHashSet::default() }))
}

/// `None` if columns alone do not tell what must be unique.
fn key(row: &Row, table: &Table) -> Result<Option<Key>, tokio_postgres::Error> {
    if !row.try_get::<_, bool>("by_columns")? {
        return Ok(None);
    }
    let columns = places(table, &row.try_get::<_, Vec<String>>("columns")?);
    let (operators, identifies): (Vec<String>, bool) = (row.try_get("operators")?, row.try_get("identifies")?);
    let is_deferrable = row.try_get("is_deferrable")?;
    Ok(columns.map(|columns| Key { columns, operators, identifies, is_deferrable }))
}

fn other_unique(row: &Row, table: &Table) -> Result<OtherUnique, tokio_postgres::Error> {
    let columns = |name| Ok(places(table, &row.try_get::<_, Vec<String>>(name)?).unwrap_or_default());
    Ok(OtherUnique {
        columns: columns("compared")?,
        condition: columns("condition")?,
        by_columns: row.try_get("is_partial_only")?,
        is_deferrable: row.try_get("is_deferrable")?,
    })
}

fn foreign_key(row: &Row, tables: &FxHashMap<Oid, Table>) -> Result<Option<ForeignKey>, tokio_postgres::Error> {
    let action = |column: &str| {
        row.try_get::<_, i8>(column).map(|code| match code.cast_unsigned() {
            b'c' => Action::Cascade,
            b'n' | b'd' => Action::Release,
            _ => Action::Refuse,
        })
    };
    let (table, references) = (Oid(row.try_get("table")?), Oid(row.try_get("references")?));
    let (columns, referenced): (Vec<String>, Vec<String>) = (row.try_get("columns")?, row.try_get("referenced")?);
    let columns = tables.get(&table).and_then(|table| places(table, &columns));
    let referenced = tables.get(&references).and_then(|table| places(table, &referenced));
    let Some((columns, referenced)) = columns.zip(referenced) else { return Ok(None) };
    Ok(Some(ForeignKey {
        name: row.try_get("name")?,
        table,
        columns,
        references,
        referenced,
        operators: row.try_get("operators")?,
        is_temporal: row.try_get("is_temporal")?,
        on_delete: action("on_delete")?,
        on_update: action("on_update")?,
    }))
}

fn places(table: &Table, names: &[String]) -> Option<Vec<usize>> {
    names.iter().map(|name| table.columns.iter().position(|column| column.name == *name)).collect()
}
