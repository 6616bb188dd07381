//! What attribution costs the application: pgbench without it, with what `setup` makes by default, and with all of it, in turn.
//!
//! The server waits for no disk, so that a transaction is as cheap as it can be and the cost is as high as it can be. Nobody reads the
//! log meanwhile.

use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use super::BenchError;
use super::process::cpu_of_ended_children;
use super::workload::connect;
use crate::cluster::{Cluster, SUPERUSER};
use crate::commands::setup::{Attribute, SetupOptions, setup};

const DATABASE: &str = "bench_attribution";
/// Clients at a time.
const CLIENTS: &str = "2";

/// What one workload costs, round by round.
#[derive(Debug)]
pub(super) struct Cost {
    /// What each transaction does.
    pub(super) workload: &'static str,
    /// Without attribution, with DELETE and TRUNCATE attributed, with every operation attributed.
    pub(super) rounds: Vec<[Run; 3]>,
}

/// One run of pgbench.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Run {
    /// Transactions a second.
    pub(super) tps: f64,
    /// Microseconds that the server's processes for the clients were on a CPU, for each transaction: what neighbours on the machine
    /// change little.
    pub(super) cpu_us: Option<f64>,
}

/// What each transaction does, and as pgbench takes it.
const WORKLOADS: [(&str, &str); 3] = [
    (
        "an insert, an update, no delete",
        "\\set id random(1, 10000)\n\
         BEGIN;\n\
         UPDATE bench_item SET amount = amount + 1 WHERE id = :id;\n\
         INSERT INTO bench_note (item) VALUES (:id);\n\
         COMMIT;\n",
    ),
    (
        "an insert, then its delete",
        "\\set id random(1, 10000)\n\
         BEGIN;\n\
         INSERT INTO bench_note (item) VALUES (:id);\n\
         DELETE FROM bench_note WHERE id = currval('bench_note_id_seq');\n\
         COMMIT;\n",
    ),
    (
        "20 inserts, then 20 deletes",
        "BEGIN;\n\
         INSERT INTO bench_note (item) SELECT generate_series(1, 20);\n\
         DO $$ BEGIN FOR n IN 0..19 LOOP DELETE FROM bench_note WHERE id = currval('bench_note_id_seq') - n; END LOOP; END $$;\n\
         COMMIT;\n",
    ),
];

/// What `setup` is told for each of [`Cost::rounds`].
const WAYS: [&[Attribute]; 3] = [
    &[Attribute::None],
    &[Attribute::Delete, Attribute::Truncate],
    &[Attribute::Insert, Attribute::Update, Attribute::Delete, Attribute::Truncate],
];

/// Measures each workload so often, each time for so many seconds.
pub(super) async fn measure(cluster: &Cluster, rounds: u32, seconds: u32) -> Result<Vec<Cost>, BenchError> {
    connect(cluster, "postgres").await?.batch_execute(&format!("CREATE DATABASE {DATABASE}")).await?;
    let mut sql = connect(cluster, DATABASE).await?;
    sql.batch_execute(
        "CREATE TABLE bench_item (id int8 PRIMARY KEY, amount int4 NOT NULL); CREATE TABLE bench_note (id bigserial PRIMARY KEY, item int8); \
         INSERT INTO bench_item SELECT n, 0 FROM generate_series(1, 10000) n",
    )
    .await?;
    let mut costs = WORKLOADS.map(|(workload, _)| Cost { workload, rounds: Vec::new() });
    for nth in 0..rounds as usize {
        for (cost, (_, script)) in costs.iter_mut().zip(WORKLOADS) {
            let mut round = [Run::default(); 3];
            // Each way comes first once in three rounds.
            for way in (nth..nth + 3).map(|way| way % 3) {
                let options =
                    SetupOptions { apply: true, attribute: WAYS[way].to_vec(), ..SetupOptions::for_publication("pgvigil") };
                setup(&mut sql, &options, &mut std::io::sink()).await.map_err(|error| BenchError::Setup(error.to_string()))?;
                for tidy in ["TRUNCATE bench_note", "VACUUM ANALYZE bench_item", "CHECKPOINT"] {
                    sql.batch_execute(tidy).await?;
                }
                round[way] = pgbench(cluster, script, seconds).await?;
            }
            cost.rounds.push(round);
        }
    }
    Ok(costs.into())
}

async fn pgbench(cluster: &Cluster, script: &str, seconds: u32) -> Result<Run, BenchError> {
    let file = tempfile::NamedTempFile::new()?;
    std::fs::write(file.path(), script)?;
    let program = cluster.binaries().program("pgbench");
    let mut command = Command::new(&program);
    command.args(["--host".as_ref(), cluster.socket_dir().as_os_str(), "--file".as_ref(), file.path().as_os_str()]);
    command.args(["--port", &cluster.port().to_string(), "--username", SUPERUSER, "--no-vacuum", "--protocol", "prepared"]);
    command.args(["--client", CLIENTS, "--time", &seconds.to_string(), DATABASE]);
    let failed = |said: String| BenchError::Pgbench(format!("{}: {said}", program.display()));
    let before = settled(cluster).await;
    let output = command.stdin(Stdio::null()).kill_on_drop(true).output().await.map_err(|error| failed(error.to_string()))?;
    let said = String::from_utf8_lossy(&output.stdout);
    let number = |name: &str| said.lines().find_map(|line| line.strip_prefix(name)?.split(' ').next()?.parse::<f64>().ok());
    let found = number("tps = ").zip(number("number of transactions actually processed: ")).filter(|_| output.status.success());
    let (tps, transactions) = found.ok_or_else(|| failed(String::from_utf8_lossy(&output.stderr).into_owned()))?;
    let cpu = before.zip(settled(cluster).await).map(|(before, after)| after.saturating_sub(before));
    Ok(Run { tps, cpu_us: cpu.map(|cpu| cpu.as_secs_f64() * 1e6 / transactions) })
}

/// What the server's processes that have ended used: it is known a moment after their clients are gone.
async fn settled(cluster: &Cluster) -> Option<Duration> {
    let pid = cluster.pid()?;
    let mut used = None;
    loop {
        let before = used.replace(cpu_of_ended_children(pid)?);
        if before.is_some() && before == used {
            return used;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
