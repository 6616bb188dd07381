//! A copy of the database, made of the stream and nothing else.

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::support::Database;

/// One object of the stream, values as they came.
#[derive(Deserialize)]
pub(crate) struct Event {
    pub(crate) r#type: String,
    pub(crate) id: Option<String>,
    op: Option<String>,
    schema: Option<String>,
    table: Option<String>,
    key: Option<Box<RawValue>>,
    old: Option<Box<RawValue>>,
    new: Option<Box<RawValue>>,
    prefix: Option<String>,
    content: Option<String>,
}

impl Event {
    /// The content, if it is a message of this prefix.
    pub(crate) fn message(&self, prefix: &str) -> Option<&str> {
        self.content.as_deref().filter(|_| self.prefix.as_deref() == Some(prefix))
    }
}

/// Applies whole transactions, in order.
pub(crate) struct Copy {
    database: Database,
    /// Changes of the transaction that has come in part.
    pending: Vec<Event>,
    pub(crate) applied: u64,
}

impl Copy {
    pub(crate) fn new(database: Database) -> Self {
        Copy { database, pending: Vec::new(), applied: 0 }
    }

    /// Takes the next event of the stream.
    pub(crate) async fn take(&mut self, event: Event) -> Result<()> {
        match &*event.r#type {
            "change" => self.pending.push(event),
            "commit" => {
                self.database.run("BEGIN").await?;
                for change in std::mem::take(&mut self.pending) {
                    self.apply(&change).await.with_context(|| format!("{:?}", change.id))?;
                    self.applied += 1;
                }
                self.database.run("COMMIT").await?;
            }
            "gap" | "error" => bail!("{} in a stream that was followed all the time", event.r#type),
            _ => {}
        }
        Ok(())
    }

    async fn apply(&mut self, change: &Event) -> Result<()> {
        let (schema, table) = (change.schema.as_deref().context("schema")?, change.table.as_deref().context("table")?);
        let table = format!("{}.{}", identifier(schema), identifier(table));
        let found = change.old.as_ref().or(change.key.as_ref());
        match change.op.as_deref() {
            Some("insert") => self.insert(&table, change.new.as_deref().context("new")?).await,
            Some("update") => {
                self.update(&table, found.context("nothing names the row")?, change.new.as_deref().context("new")?).await
            }
            Some("delete") => self.delete(&table, found.context("nothing names the row")?).await,
            Some("truncate") => self.database.run(&format!("TRUNCATE ONLY {table}")).await,
            other => bail!("what is {other:?}?"),
        }
    }

    async fn insert(&mut self, table: &str, new: &RawValue) -> Result<()> {
        let columns = list(&columns(new)?, "");
        let sql =
            format!("INSERT INTO {table} ({columns}) SELECT {columns} FROM json_populate_record(NULL::{table}, $1::text::json)");
        self.one_row(&sql, &[new.get()]).await
    }

    async fn update(&mut self, table: &str, found: &RawValue, new: &RawValue) -> Result<()> {
        let columns = columns(new)?;
        let sql = format!(
            "UPDATE {table} SET ({}) = (SELECT {} FROM json_populate_record(NULL::{table}, $2::text::json) n) WHERE ctid = ({})",
            list(&columns, ""),
            list(&columns, "n."),
            self.row(table, found)?,
        );
        self.one_row(&sql, &[found.get(), new.get()]).await
    }

    async fn delete(&mut self, table: &str, found: &RawValue) -> Result<()> {
        let sql = format!("DELETE FROM {table} WHERE ctid = ({})", self.row(table, found)?);
        self.one_row(&sql, &[found.get()]).await
    }

    /// The place of a row that has these values. Compared as text, since not every type has an equality.
    fn row(&self, table: &str, found: &RawValue) -> Result<String> {
        let same = columns(found)?
            .iter()
            .map(|column| format!("t.{column}::text IS NOT DISTINCT FROM f.{column}::text"))
            .collect::<Vec<_>>();
        let same = same.join(" AND ");
        Ok(format!(
            "SELECT t.ctid FROM ONLY {table} t, json_populate_record(NULL::{table}, $1::text::json) f WHERE {same} LIMIT 1"
        ))
    }

    async fn one_row(&mut self, sql: &str, parameters: &[&str]) -> Result<()> {
        let parameters: Vec<&(dyn tokio_postgres::types::ToSql + Sync)> = parameters.iter().map(|text| text as _).collect();
        match self.database.client().execute(sql, &parameters).await.with_context(|| sql.to_owned())? {
            1 => Ok(()),
            rows => bail!("{rows} rows in place of one: {sql}"),
        }
    }
}

/// The columns of a row, quoted.
fn columns(row: &RawValue) -> Result<Vec<String>> {
    let row: serde_json::Map<String, serde_json::Value> = serde_json::from_str(row.get())?;
    Ok(row.keys().map(|column| identifier(column)).collect())
}

fn list(columns: &[String], prefix: &str) -> String {
    columns.iter().map(|column| format!("{prefix}{column}")).collect::<Vec<_>>().join(", ")
}

fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
