//! `pgvigil slots`: the replication slots that pgvigil may have made, what each makes the server keep, and their end.

use std::io::Write;

use bytesize::ByteSize;
use clap::Args;
use serde::Serialize;
use tokio_postgres::Client;

use super::Failure;
use super::connection::ConnectionArgs;

/// What `slots` is told.
#[derive(Args, Clone, Debug)]
pub struct SlotsArgs {
    #[command(flatten)]
    connection: ConnectionArgs,

    /// Drop this one, that nobody uses. What the server kept for it can never be streamed any more
    #[arg(long, value_name = "NAME")]
    drop: Option<String>,

    /// As JSON
    #[arg(long)]
    json: bool,
}

/// A slot, as the server tells of it.
#[derive(Debug, Serialize)]
struct Slot {
    name: String,
    /// Whose changes it is for.
    database: String,
    temporary: bool,
    /// The server's process that uses it.
    active_pid: Option<i32>,
    /// How that calls itself.
    application_name: Option<String>,
    /// Log that the server keeps for it.
    retained_bytes: i64,
    confirmed_lsn: Option<String>,
    /// Why it is of no use any more.
    invalidated: Option<String>,
    /// From 17 on.
    inactive_since: Option<String>,
}

/// Lists them, or drops one.
///
/// # Errors
/// The server cannot be asked, or refuses.
pub async fn run(args: SlotsArgs, out: &mut impl Write) -> Result<(), Failure> {
    let target = args.connection.target()?;
    let client = target.sql("pgvigil slots").await.map_err(|error| Failure::advised(1, &error.advice()))?;
    let slots = read(&client).await.map_err(|error| Failure::other(format!("the slots cannot be read: {error}")))?;
    match (&args.drop, args.json) {
        (Some(name), _) => drop_slot(&client, &slots, name, out).await,
        (None, true) => {
            let json = serde_json::to_string_pretty(&slots).map_err(Failure::other)?;
            writeln!(out, "{json}").map_err(Failure::other)
        }
        (None, false) => list(&slots, out).map_err(Failure::other),
    }
}

async fn read(client: &Client) -> Result<Vec<Slot>, tokio_postgres::Error> {
    let rows = client.query(include_str!("../../sql/slots.sql"), &[]).await?;
    let slot = |row: &tokio_postgres::Row| {
        Ok(Slot {
            name: row.try_get("name")?,
            database: row.try_get("database")?,
            temporary: row.try_get("temporary")?,
            active_pid: row.try_get("active_pid")?,
            application_name: row.try_get("application_name")?,
            retained_bytes: row.try_get("retained_bytes")?,
            confirmed_lsn: row.try_get("confirmed_lsn")?,
            invalidated: row.try_get("invalidated")?,
            inactive_since: row.try_get("inactive_since")?,
        })
    };
    rows.iter().map(slot).collect()
}

fn list(slots: &[Slot], out: &mut impl Write) -> std::io::Result<()> {
    if slots.is_empty() {
        return writeln!(out, "No slot of this server that pgvigil could have made.");
    }
    let widest =
        |title: &str, of: fn(&Slot) -> &str| slots.iter().map(|slot| of(slot).chars().count()).fold(title.len(), usize::max);
    let (width, wide) = (widest("slot", |slot| &slot.name), widest("database", |slot| &slot.database));
    writeln!(out, "{:width$}  {:wide$}  {:>10}  used by", "slot", "database", "holds back")?;
    for slot in slots {
        let Slot { name, database, temporary, active_pid, application_name, retained_bytes, invalidated, inactive_since, .. } =
            slot;
        let held = ByteSize::b(u64::try_from(*retained_bytes).unwrap_or(0)).display().iec().to_string();
        let user = match (active_pid, invalidated, inactive_since) {
            (_, Some(reason), _) => format!("nobody any more: invalidated ({reason})"),
            (Some(pid), None, _) => {
                format!("{} (process {pid})", application_name.as_deref().unwrap_or("another role's session"))
            }
            (None, None, Some(since)) => format!("nobody since {since}"),
            (None, None, None) => "nobody".to_owned(),
        };
        let kind = if *temporary { ", goes with its connection" } else { "" };
        writeln!(out, "{name:width$}  {database:wide$}  {held:>10}  {user}{kind}")?;
    }
    writeln!(out, "\nOne that nobody uses holds back the server's log for good: pgvigil slots --drop NAME")
}

async fn drop_slot(client: &Client, slots: &[Slot], name: &str, out: &mut impl Write) -> Result<(), Failure> {
    let Some(slot) = slots.iter().find(|slot| slot.name == name) else {
        return Err(Failure::other(format!(
            "this server has no slot {name:?} that pgvigil could have made; pgvigil slots lists those that it has"
        )));
    };
    if let Some(pid) = slot.active_pid {
        return Err(Failure::other(format!(
            "the slot {name:?} is in use by the server's process {pid}: end that pgvigil first; nothing was dropped"
        )));
    }
    let dropped = client.execute("SELECT pg_drop_replication_slot($1)", &[&name]).await;
    dropped.map_err(|error| Failure::other(format!("the slot {name:?} was not dropped: {error}")))?;
    let held = ByteSize::b(u64::try_from(slot.retained_bytes).unwrap_or(0)).display().iec();
    writeln!(out, "Dropped {name} of {}, which held back {held} of log.", slot.database).map_err(Failure::other)
}
