//! The private PostgreSQL server: it starts, it serves, and nothing of it is left, whatever ends its owner.

mod support;

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, Uid, getpgid, getpgrp};
use pgvigil::cluster::{Cluster, Error, Mode, Options};
use support::{Database, PATIENCE, a_major, binaries, cluster, cluster_with, on_every_major, options, signal, wait_for};

on_every_major!(it_serves_and_keeps_its_data_over_restarts);

async fn it_serves_and_keeps_its_data_over_restarts(major: u32) -> Result<()> {
    let mut cluster = cluster(major).await?;
    let port = cluster.port();
    let database = Database::create(&cluster, "an odd/name").await?;
    ensure!(database.value::<String>("SHOW server_version").await?.starts_with(&major.to_string()));
    ensure!(database.value::<String>("SHOW wal_level").await? == "logical");
    ensure!(database.value::<String>("SHOW server_encoding").await? == "UTF8");
    database.run("CREATE TABLE kept (n int); INSERT INTO kept SELECT generate_series(1, 7)").await?;

    for mode in [Mode::Fast, Mode::Immediate] {
        cluster.restart(mode).await?;
        ensure!(cluster.port() == port);
        let database = Database::connect(&cluster.socket_url("an odd/name")).await?;
        ensure!(database.count("kept").await? == 7, "after a stop that is {mode:?}");
    }

    signal(cluster.pid().context("a running server")?, Signal::SIGKILL)?;
    cluster.restart(Mode::Fast).await?;
    let database = Database::connect(&cluster.url("an odd/name")).await?;
    ensure!(database.count("kept").await? == 7, "after the postmaster was killed");

    cluster.stop(Mode::Fast).await?;
    ensure!(cluster.pid().is_none());
    ensure!(Database::connect(&cluster.url("postgres")).await.is_err(), "a server that is stopped answers");
    Ok(())
}

#[tokio::test]
async fn dropping_it_leaves_nothing() -> Result<()> {
    let traces = Traces::of(&cluster(a_major()).await?)?;
    traces.assert_gone()
}

#[tokio::test]
async fn a_panic_leaves_nothing() -> Result<()> {
    let cluster = cluster(a_major()).await?;
    let traces = Traces::of(&cluster)?;
    let panicked = tokio::spawn(async move {
        let _owned = cluster;
        panic!("on purpose");
    });
    ensure!(panicked.await.is_err_and(|error| error.is_panic()));
    traces.assert_gone()
}

#[tokio::test]
async fn a_frozen_server_is_removed_too() -> Result<()> {
    let cluster = cluster(a_major()).await?;
    let traces = Traces::of(&cluster)?;
    signal(traces.server, Signal::SIGSTOP)?;
    drop(cluster);
    traces.assert_gone()
}

#[tokio::test]
async fn giving_up_during_the_start_leaves_nothing() -> Result<()> {
    let parent = tempfile::Builder::new().prefix("pgvigil-test-").tempdir()?;
    open_to_all(parent.path())?;
    let slow = Options { parent: Some(parent.path().to_owned()), ..Options::default() };
    let started = tokio::time::timeout(Duration::from_millis(150), Cluster::start(&binaries(a_major())?, slow)).await;
    ensure!(started.is_err(), "initdb took less than the time that it was given");
    ensure!(fs::read_dir(parent.path())?.next().is_none());
    ensure!(working_in(parent.path()).is_empty());
    Ok(())
}

#[tokio::test]
async fn killing_its_owner_at_any_moment_leaves_nothing() -> Result<()> {
    for after in [5, 60, 200, 500].map(Duration::from_millis) {
        let parent = tempfile::Builder::new().prefix("pgvigil-test-").tempdir()?;
        open_to_all(parent.path())?;
        let mut owner = spawn_owner(parent.path())?;
        // Not a wait for a condition: this is the moment at which it is killed.
        tokio::time::sleep(after).await;
        owner.kill()?;
        owner.wait()?;
        wait_until_empty(parent.path()).await?;
    }
    Ok(())
}

#[tokio::test]
async fn killing_the_owner_of_a_running_server_leaves_nothing() -> Result<()> {
    let parent = tempfile::Builder::new().prefix("pgvigil-test-").tempdir()?;
    open_to_all(parent.path())?;
    let mut owner = spawn_owner(parent.path())?;
    let stdout = BufReader::new(owner.stdout.take().context("its standard output")?);
    let lines = stdout.lines().map_while(Result::ok);
    let server: u32 = lines.filter_map(|line| line.strip_prefix("server ")?.parse().ok()).next().context("its server")?;
    ensure!(is_alive(server));
    owner.kill()?;
    owner.wait()?;
    wait_until_empty(parent.path()).await?;
    wait_for("the server to vanish", PATIENCE, async || Ok((!is_alive(server)).then_some(()))).await
}

/// Not a test but the process that the tests above kill.
#[tokio::test]
#[ignore = "the tests that kill an owner run it"]
async fn owner() -> Result<()> {
    let Some(parent) = std::env::var_os("OWNER_PARENT").map(PathBuf::from) else { return Ok(()) };
    let cluster = Cluster::start(&binaries(a_major())?, Options { parent: Some(parent), ..Options::default() }).await?;
    println!("\nserver {}", cluster.pid().context("a running server")?);
    std::future::pending().await
}

#[tokio::test]
async fn a_signal_to_our_process_group_does_not_reach_it() -> Result<()> {
    let cluster = cluster(a_major()).await?;
    let server = Pid::from_raw(cluster.pid().context("a running server")?.try_into()?);
    ensure!(getpgid(Some(server))? != getpgrp());
    Ok(())
}

#[tokio::test]
async fn the_server_does_not_run_as_root() -> Result<()> {
    let cluster = cluster(a_major()).await?;
    let owner = Uid::from_raw(fs::metadata(cluster.data_dir())?.uid());
    ensure!(!owner.is_root());
    ensure!(Uid::effective().is_root() || owner == Uid::effective());
    Ok(())
}

#[tokio::test]
async fn over_tcp_it_asks_for_its_password() -> Result<()> {
    let cluster = cluster_with(a_major(), Options { password: Some("it's 50% @ /".to_owned()), ..options() }).await?;
    Database::connect(&cluster.url("postgres")).await?;
    Database::connect(&cluster.socket_url("postgres")).await?;
    let without = format!("postgresql://postgres:wrong@127.0.0.1:{}/postgres", cluster.port());
    ensure!(Database::connect(&without).await.is_err(), "a wrong password was taken");
    Ok(())
}

#[tokio::test]
async fn settings_are_the_callers_and_can_be_changed_while_it_runs() -> Result<()> {
    let cluster = cluster_with(a_major(), options().set("max_wal_senders", "3").set("work_mem", "5MB")).await?;
    let database = Database::connect(&cluster.url("postgres")).await?;
    ensure!(database.value::<String>("SHOW max_wal_senders").await? == "3");
    database.run("ALTER SYSTEM SET work_mem = '7MB'").await?;
    cluster.reload();
    let changed = async || Ok((database.value::<String>("SHOW work_mem").await? == "7MB").then_some(()));
    wait_for("the new setting", PATIENCE, changed).await
}

#[tokio::test]
async fn a_server_that_cannot_start_says_why_and_leaves_nothing() -> Result<()> {
    let parent = tempfile::Builder::new().prefix("pgvigil-test-").tempdir()?;
    open_to_all(parent.path())?;
    let options = Options { parent: Some(parent.path().to_owned()), ..options() }.set("no_such_setting", "1");
    let error = cluster_with(a_major(), options).await.err().context("it started")?;
    let Some(Error::Start { log, .. }) = error.downcast_ref() else { panic!("another error: {error:#}") };
    ensure!(log.contains("no_such_setting"), "{log}");
    ensure!(fs::read_dir(parent.path())?.next().is_none());
    Ok(())
}

/// What would be left of a cluster if it were not cleaned up.
struct Traces {
    server: u32,
    folder: PathBuf,
}

impl Traces {
    fn of(cluster: &Cluster) -> Result<Self> {
        Ok(Traces { server: cluster.pid().context("a running server")?, folder: cluster.socket_dir().to_owned() })
    }

    fn assert_gone(&self) -> Result<()> {
        ensure!(!is_alive(self.server), "the server still runs");
        ensure!(!self.folder.exists(), "its folder is still there");
        Ok(())
    }
}

fn is_alive(pid: u32) -> bool {
    kill(Pid::from_raw(pid.try_into().unwrap()), None) != Err(Errno::ESRCH)
}

/// Runs this test binary again, as a process with a cluster in a folder below `parent`.
fn spawn_owner(parent: &Path) -> Result<std::process::Child> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["owner", "--exact", "--ignored", "--nocapture"]).env("OWNER_PARENT", parent);
    Ok(command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?)
}

async fn wait_until_empty(folder: &Path) -> Result<()> {
    let empty = async || Ok(fs::read_dir(folder)?.next().is_none().then_some(()));
    wait_for("its folder to vanish", PATIENCE, empty).await?;
    ensure!(working_in(folder).is_empty(), "its folder vanished before these processes: {:?}", working_in(folder));
    Ok(())
}

/// The processes whose working directory lies in the folder, also when it is no more. Only Linux tells.
fn working_in(folder: &Path) -> Vec<PathBuf> {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten().map(|entry| entry.path());
    processes.filter(|process| fs::read_link(process.join("cwd")).is_ok_and(|cwd| cwd.starts_with(folder))).collect()
}

/// The server's account has to pass through, when we are root and it is not.
fn open_to_all(folder: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    Ok(fs::set_permissions(folder, fs::Permissions::from_mode(0o755))?)
}
