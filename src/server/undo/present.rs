//! The tables as they are now, the values that rows are named by, read as their types read them, and what is not good for either any more.
//!
//! In a session of its own, once the database proved to be the one that is watched.

use std::fmt::Display;

use rustc_hash::FxHashMap;
use tokio_postgres::Client;

use super::super::App;
use super::super::parameters;
use super::super::problem::{Kind, Problem};
use super::scope::Scope;
use crate::catalog::{self, Taken};
use crate::lsn::Oid;
use crate::undo::{Changes, Options, Schema, Subject, Wanted, doubt, table_name, where_needed};

/// The longest that the database may take to tell of its tables; nothing of anybody's is found unless it is named; and texts as events have
/// them.
const SETTINGS: &str = "SET search_path = ''; SET statement_timeout = '10s'; SET lock_timeout = '400ms'; SET datestyle = ISO; SET intervalstyle = postgres; \
                        SET extra_float_digits = 3; SET timezone = UTC; SET bytea_output = hex; \
                        SET default_transaction_read_only = on";

/// What the database says.
pub(super) struct Present {
    pub(super) schema: Schema,
    /// The values that are asked for.
    pub(super) options: Options,
    /// The tree that each table which was changed is a partition of, or itself. Those that are no more are left out.
    pub(super) trees: FxHashMap<Oid, Oid>,
    client: Client,
}

impl Present {
    /// Asks for the tables that are meant, and for values of columns that they have.
    pub(super) async fn look(app: &App, scope: &Scope, asked: &parameters::Undo) -> Result<Self, Problem> {
        let tables = &scope.tables;
        let watched = app.sources.status.borrow().database.clone();
        let (Some(target), Some(watched)) = (&app.sources.database, watched) else {
            return Err(Kind::DatabaseUnavailable.because("No database is watched yet. Ask again in a moment."));
        };
        let _turn = app.reading.acquire().await;
        let mut client = target.sql("pgvigil undo").await.map_err(|error| again(&error))?;
        client.batch_execute(SETTINGS).await.map_err(|error| again(&error))?;
        let here = catalog::identity(&client).await.map_err(|error| again(&error))?;
        if !watched.is(&here) {
            return Err(Kind::DatabaseRefused.because("Another database than the one that is watched answers."));
        }
        let schema = catalog::schema(&mut client, tables).await.map_err(|error| again(&error))?;
        let trees = catalog::trees(&client, &scope.changed()).await.map_err(|error| again(&error))?;
        let mut options = Options { partial: asked.partial, ..Options::default() };
        for (column, value) in &asked.rows {
            options.rows.push(read(&client, &schema, tables, column, value).await?);
        }
        Ok(Present { schema, options, trees, client })
    }

    /// Asks whether what was recorded is good for the tables as they are, and notes what is not.
    pub(super) async fn try_out(&mut self, changes: Changes<'_, '_>, subject: &mut Subject) -> Result<(), Problem> {
        for asked in doubt::texts(changes, &self.schema, &self.options) {
            let taken = catalog::texts_taken(&self.client, &self.schema, &asked).await.map_err(|error| again(&error))?;
            let Some(table) = self.schema.tables.get_mut(&asked.table) else { continue };
            let name = table_name(&table.schema, &table.name);
            let Some(column) = table.columns.get_mut(asked.column) else { continue };
            match taken {
                Taken::Known(read) => {
                    (column.refused, column.rewritten) = (read.refused, read.rewritten);
                    column.refused.extend(asked.ambiguous);
                }
                Taken::Unknown(reason) => subject.warnings.push(format!(
                    "{name}: whether column {} takes what was recorded could not be tried: {reason}.",
                    where_needed(&column.name)
                )),
            }
        }
        for asked in doubt::rows(changes, &self.schema, &self.options) {
            let taken = catalog::rows_taken(&self.client, &self.schema, &asked).await.map_err(|error| again(&error))?;
            let Some(table) = self.schema.tables.get_mut(&asked.table) else { continue };
            let name = table_name(&table.schema, &table.name);
            let Some(check) = table.checks.get_mut(asked.check) else { continue };
            match taken {
                Taken::Known(refused) => check.refused = refused,
                Taken::Unknown(reason) => subject.warnings.push(format!(
                    "{name}: whether rows fulfil the constraint {} could not be tried: {reason}.",
                    where_needed(&check.name)
                )),
            }
        }
        doubt::warn(changes, &self.schema, &self.options, subject);
        Ok(())
    }
}

/// A value, in all the ways in which the columns of this name write it.
async fn read(client: &Client, schema: &Schema, tables: &[Oid], column: &str, value: &str) -> Result<Wanted, Problem> {
    let mut meant: Vec<_> = tables.iter().filter_map(|oid| schema.table(*oid)).collect();
    meant.sort_by_key(|table| table.oid);
    meant.dedup_by_key(|table| table.oid);
    let columns = meant.iter().flat_map(|table| &table.columns).filter(|known| known.name == column);
    let mut types: Vec<(&str, bool)> = columns.map(|known| (known.type_name.as_str(), known.calls_application)).collect();
    types.sort_unstable();
    types.dedup();
    if types.is_empty() {
        let columns = meant.iter().map(|table| {
            let names: Vec<_> = table.columns.iter().map(|column| where_needed(&column.name)).collect();
            format!("{} has {}", table_name(&table.schema, &table.name), names.join(", "))
        });
        let columns = columns.collect::<Vec<_>>().join("; ");
        return Err(Kind::InvalidParameter.because(format!("key: there is no column {}. {columns}.", where_needed(column))));
    }
    let (mut values, mut refusal) = (Vec::new(), None);
    for (name, calls_application) in types {
        if calls_application {
            // Reading it would run what an ordinary user wrote; so it is taken as it stands.
            values.push(value.to_owned());
            continue;
        }
        match client.query_one(&format!("SELECT CAST(CAST($1::text AS {name}) AS text)"), &[&value]).await {
            Ok(row) => values.extend(row.get::<_, Option<String>>(0)),
            Err(error) => match error.as_db_error() {
                Some(server) => refusal = Some(format!("{} ({})", server.message(), server.code().code())),
                None => return Err(again(&error)),
            },
        }
    }
    match refusal.filter(|_| values.is_empty()) {
        Some(refusal) => Err(Kind::InvalidParameter.because(format!("key: {column} cannot be {value:?}: {refusal}."))),
        None => Ok(Wanted { column: column.to_owned(), values }),
    }
}

fn again(error: &dyn Display) -> Problem {
    Kind::DatabaseUnavailable.because(format!("{error}. Ask again in a moment."))
}
