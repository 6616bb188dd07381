//! `pgvigil demo`: watches a private, throw-away PostgreSQL in which a small gaming community lives.
//!
//! [`schema`] makes the tables and fills them with invented data; [`play`] then lives in them for as long as it is let, with an incident
//! now and then that is worth watching. The SQL stands in `sql/demo`. The rest is what a user would do: start a server, `setup --apply`,
//! `serve`. When it ends, server and data are gone.

mod incidents;
mod play;
mod players;
mod scenes;
mod words;

pub use play::{Options, play};
pub use players::Players;

use std::path::PathBuf;

use clap::Args;
use tokio_postgres::{Client, Error};
use tokio_util::sync::CancellationToken;

use super::Failure;
use super::serve::{self, WatchArgs};
use super::setup::{SetupOptions, setup};
use crate::cluster::{self, Binaries, Cluster, Mode};
use crate::connection::Target;

/// What `demo` is told.
#[derive(Args, Clone, Debug)]
pub struct DemoArgs {
    #[command(flatten)]
    watch: WatchArgs,

    /// The folder of PostgreSQL's programs; else they are looked for in PATH and where packages put them
    #[arg(long, env = "PGVIGIL_PG_BIN", value_name = "DIR")]
    pg_bin: Option<PathBuf>,

    /// The same number leads to the same story
    #[arg(long, env = "PGVIGIL_SEED", default_value_t = 7, value_name = "N")]
    seed: u64,
}

/// The demo's database.
const DATABASE: &str = "arcade";

/// Plays and watches until cancelled.
pub async fn run(mut args: DemoArgs, cancel: CancellationToken) -> Result<(), Failure> {
    args.watch.usual_rules = Some(include_str!("alerts.toml"));
    let bound = args.watch.bind().await?;
    let binaries = Binaries::find(args.pg_bin.as_deref()).map_err(|error| no_programs(&error))?;
    let starting = Cluster::start(&binaries, cluster::Options::default());
    let Some(cluster) = cancel.run_until_cancelled(starting).await else { return Ok(()) };
    let mut cluster = cluster.map_err(Failure::other)?;
    let outcome = watched(&args, &cluster, bound, &cancel).await;
    let stopped = cluster.stop(Mode::Immediate).await.map_err(Failure::other);
    outcome.and(stopped)
}

async fn watched(
    args: &DemoArgs,
    cluster: &Cluster,
    bound: crate::server::Bound,
    cancel: &CancellationToken,
) -> Result<(), Failure> {
    let target = |database| Target::resolve(Some(&cluster.url(database)), |_| None).map_err(Failure::other);
    let sql = async |database| target(database)?.sql("arcade").await.map_err(|error| Failure::advised(1, &error.advice()));
    sql("postgres").await?.batch_execute(&format!("CREATE DATABASE {DATABASE}")).await.map_err(Failure::other)?;
    let mut client = sql(DATABASE).await?;
    schema(&client).await.map_err(Failure::other)?;
    let options = SetupOptions { apply: true, all_tables: true, ..SetupOptions::for_publication(&args.watch.publication) };
    setup(&mut client, &options, &mut std::io::sink()).await.map_err(Failure::other)?;

    drop(client);
    let players = Players::connect(&target(DATABASE)?).await.map_err(|error| Failure::advised(1, &error.advice()))?;
    let playing = cancel.child_token();
    let play = tokio::spawn(play(players, Options { seed: args.seed, ..Options::default() }, playing.clone()));
    let to_know = vec![
        format!("its database, for psql and for pgvigil undo --apply: DATABASE_URL={}", cluster.socket_url(DATABASE)),
        "Ctrl-C ends it; everything is gone then".to_owned(),
    ];
    let outcome = serve::watch(&args.watch, target(DATABASE)?, bound, to_know, cancel.clone()).await;
    playing.cancel();
    if let Ok(Err(error)) = play.await {
        tracing::warn!(%error, "a player of the demo has lost the connection");
    }
    outcome
}

fn no_programs(error: &cluster::Error) -> Failure {
    let advice = error.advice().map(|advice| format!(" {advice}")).unwrap_or_default();
    Failure::with_code(5, format!("{error}.{advice}"))
}

/// Makes the tables in an empty database, with a few hundred rows.
///
/// # Errors
/// Those of the database; above all, that a table is there already.
pub async fn schema(client: &Client) -> Result<(), Error> {
    client.batch_execute(include_str!("../../../sql/demo/schema.sql")).await?;
    rotate(client).await?;
    client.batch_execute(include_str!("../../../sql/demo/data.sql")).await
}

/// Gives the log its partitions for the hours around now, and drops those of the past.
async fn rotate(client: &Client) -> Result<(), Error> {
    client.batch_execute(include_str!("../../../sql/demo/rotate.sql")).await
}
