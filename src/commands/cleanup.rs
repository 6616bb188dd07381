//! `pgvigil cleanup`: the SQL that removes what [`super::setup`] made, printed, and run when asked to.
//!
//! Only what bears the mark of setup is removed. What someone else put beside it stays, and is named.

use std::io::{self, Write};

use clap::Args;
use postgres_protocol::escape::escape_identifier;
use tokio_postgres::Client;

use super::Failure;
use super::connection::ConnectionArgs;
use super::script::{self, Script, ScriptError};
use crate::catalog::sql_name;

/// What `cleanup` is told.
#[derive(Args, Clone, Debug)]
pub struct CleanupArgs {
    #[command(flatten)]
    connection: ConnectionArgs,
    #[command(flatten)]
    options: CleanupOptions,
}

/// What to remove.
#[derive(Args, Clone, Debug)]
pub struct CleanupOptions {
    /// Run the SQL, all or nothing. Without this it is only printed
    #[arg(long)]
    pub apply: bool,

    /// The publication that setup made
    #[arg(long, env = "PGVIGIL_PUBLICATION", default_value = "pgvigil", value_name = "NAME")]
    pub publication: String,

    /// The role that setup made
    #[arg(long, env = "PGVIGIL_ROLE", default_value = "pgvigil", value_name = "NAME")]
    pub role: String,
}

/// Why a database could not be cleaned up. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum CleanupError {
    /// The system catalogs.
    #[error("the database cannot be looked at: {0}")]
    Query(#[from] tokio_postgres::Error),
    /// The server refused a part.
    #[error(transparent)]
    Refused(#[from] ScriptError),
    /// The text could not be written.
    #[error("the SQL could not be printed: {0}")]
    Output(#[from] io::Error),
}

/// Connects, then does what [`cleanup`] does.
pub async fn run(args: CleanupArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let target = args.connection.target()?;
    let mut client = target.sql("pgvigil cleanup").await.map_err(|error| Failure::advised(1, &error.advice()))?;
    cleanup(&mut client, &args.options, out).await.map_err(|error| Failure::other(format_args!("nothing was changed: {error}")))
}

/// Prints the SQL to `out` and, if the options say so, runs it.
pub async fn cleanup(client: &mut Client, options: &CleanupOptions, out: &mut dyn Write) -> Result<(), CleanupError> {
    let looking = script::look(client).await?;
    let script = plan(looking.client(), options).await?;
    looking.rollback().await?;
    write!(out, "{script}")?;
    if options.apply && !script.is_empty() {
        script.run(client).await?;
        writeln!(out, "-- Done.")?;
    }
    Ok(())
}

async fn plan(client: &Client, options: &CleanupOptions) -> Result<Script, CleanupError> {
    let CleanupOptions { publication, role, .. } = options;
    let made = client.query_one(include_str!("../../sql/cleanup/made.sql"), &[publication, role]).await?;
    let (me, database): (String, String) = (made.try_get("me")?, made.try_get("database")?);
    let mut script = Script::default();
    script.remark(format!("pgvigil cleanup, for database {database:?}, as role {me:?}."));

    if made.try_get("triggers")? || made.try_get("functions")? {
        script.sql(include_str!("../../sql/cleanup/ddl_messages.sql"), &[]);
    }
    if made.try_get("attribution")? {
        end_attribution(&mut script, client).await?;
    }
    let publication_ours: Option<bool> = made.try_get("publication_ours")?;
    match publication_ours {
        Some(true) => {
            let publication = escape_identifier(publication);
            script.sql(include_str!("../../sql/cleanup/publication.sql"), &[("publication", &publication)]);
        }
        Some(false) => script.remark(format!("Publication {publication:?} was not made by setup, so it stays.")),
        None => {}
    }
    // After the publication: a table that has no key must not be published without FULL.
    if made.try_get("identities")? {
        let goes = if publication_ours == Some(true) { publication } else { "" };
        restore_identities(&mut script, client, goes).await?;
    }
    match made.try_get("schema_ours")? {
        Some(true) => script.sql(include_str!("../../sql/cleanup/schema.sql"), &[]),
        Some(false) => script.remark("Schema pgvigil was not made by setup, so it stays."),
        None => {}
    }
    match made.try_get("role_ours")? {
        Some(true) => remove_role(&mut script, client, role, &me).await?,
        Some(false) => script.remark(format!("Role {role:?} was not made by setup, so it stays.")),
        None => {}
    }

    if script.is_empty() {
        script.remark("Nothing that setup made is here.");
    } else if !options.apply {
        script.remark("Nothing was run. To run it, all or nothing: pgvigil cleanup --apply, with the same options.");
    }
    Ok(script)
}

async fn end_attribution(script: &mut Script, client: &Client) -> Result<(), tokio_postgres::Error> {
    let mut triggers = Vec::new();
    for row in client.query(include_str!("../../sql/cleanup/attributed.sql"), &[]).await? {
        let (schema, name, trigger) = (row.try_get("schema")?, row.try_get("name")?, row.try_get("trigger")?);
        triggers.push(format!("DROP TRIGGER {} ON {};", escape_identifier(trigger), sql_name(schema, name)));
    }
    script.sql(include_str!("../../sql/cleanup/attribution.sql"), &[("triggers", &triggers.join("\n"))]);
    Ok(())
}

/// Gives tables the replica identity that they had, unless a publication of somebody else, but for the one that goes, needs what they have.
async fn restore_identities(script: &mut Script, client: &Client, goes: &str) -> Result<(), tokio_postgres::Error> {
    let mut alter = Vec::new();
    for row in client.query(include_str!("../../sql/cleanup/identities.sql"), &[&goes]).await? {
        let identity = match char::from(row.try_get::<_, i8>("identity")?.cast_unsigned()) {
            'n' => "NOTHING",
            // An index that served once was gone or unusable, or FULL would not have been needed. What the table has without it, is this.
            _ => "DEFAULT",
        };
        let name = sql_name(row.try_get("schema")?, row.try_get("name")?);
        let restore = format!("ALTER TABLE {name} REPLICA IDENTITY {identity};");
        let published: Vec<String> = row.try_get("published")?;
        if published.is_empty() {
            alter.push(restore);
        } else {
            script.remark(format!(
                "Table {name} keeps REPLICA IDENTITY FULL, since publication {} carries it, and its UPDATE and DELETE would fail. What it had \
                 before:\n  {restore}",
                published.iter().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", ")
            ));
        }
    }
    script.sql(include_str!("../../sql/cleanup/identity.sql"), &[("alter", &alter.join("\n"))]);
    Ok(())
}

/// Takes back what the role was granted here, and drops it if nothing else depends on it.
async fn remove_role(script: &mut Script, client: &Client, role: &str, me: &str) -> Result<(), tokio_postgres::Error> {
    let name = escape_identifier(role);
    let mut revoke = Vec::new();
    for row in client.query(include_str!("../../sql/cleanup/granted.sql"), &[&name]).await? {
        let (kind, schema, object): (&str, Option<&str>, &str) =
            (row.try_get("kind")?, row.try_get("schema")?, row.try_get("name")?);
        let object = schema.map_or_else(|| escape_identifier(object), |schema| sql_name(schema, object));
        revoke.push(format!("REVOKE ALL ON {kind} {object} FROM {name};"));
    }
    if !revoke.is_empty() {
        script.sql("{revoke}", &[("revoke", &revoke.join("\n"))]);
    }
    let bound = client.query_one(include_str!("../../sql/cleanup/bound.sql"), &[&name]).await?;
    let elsewhere: Vec<String> = bound.try_get("elsewhere")?;
    let stays = if role == me {
        "it is the one that is connected: run cleanup as another".to_owned()
    } else if bound.try_get("owns")? {
        "it owns something in this database that setup did not make".to_owned()
    } else if !elsewhere.is_empty() {
        format!("it is known in other databases too: run cleanup there ({})", elsewhere.join(", "))
    } else {
        script.sql(include_str!("../../sql/cleanup/role.sql"), &[("role", &name)]);
        return Ok(());
    };
    script.remark(format!("Role {role:?} stays, since {stays}."));
    Ok(())
}
