//! Connections as libpq makes them, against real servers: who is let in, where to, and what is said otherwise.

mod support;

use anyhow::{Context, Result, bail, ensure};
use pgvigil::cluster::{Cluster, Options};
use pgvigil::connection::{ChannelError, ConnectError, Failure, LoginFailure, Target};
use pgvigil::replication::{self, Replication};
use support::{Database, PATIENCE, a_major, cluster, cluster_with, on_every_major, options, wait_for};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;

const PASSWORD: &str = "s3cr3t p'w\\d";

/// Each role logs in by the method that its name says.
async fn methods(major: u32) -> Result<Cluster> {
    let hba = "local all all trust\n\
               host all postgres 127.0.0.1/32 trust\n\
               host all nobody_here 127.0.0.1/32 trust\n\
               host all plain,outside 127.0.0.1/32 trust\n\
               host all by_scram 127.0.0.1/32 scram-sha-256\n\
               host all by_md5 127.0.0.1/32 md5\n\
               host all by_cleartext 127.0.0.1/32 password\n\
               host all by_certificate 127.0.0.1/32 reject\n";
    let cluster = cluster_with(major, Options { hba: Some(hba.to_owned()), ..options() }).await?;
    let sql = Database::connect(&cluster.url("postgres")).await?;
    let quoted = PASSWORD.replace('\'', "''");
    sql.run(&format!(
        "SET password_encryption = 'scram-sha-256';
         CREATE ROLE by_scram LOGIN REPLICATION PASSWORD '{quoted}';
         CREATE ROLE by_cleartext LOGIN REPLICATION PASSWORD '{quoted}';
         SET password_encryption = 'md5';
         CREATE ROLE by_md5 LOGIN REPLICATION PASSWORD '{quoted}';
         CREATE ROLE by_certificate LOGIN REPLICATION;
         CREATE ROLE outside LOGIN REPLICATION;
         CREATE ROLE plain LOGIN;"
    ))
    .await?;
    sql.run("CREATE DATABASE closed").await?;
    sql.run("REVOKE CONNECT ON DATABASE closed FROM PUBLIC").await?;
    Ok(cluster)
}

/// A target from name=value pairs, with no environment at all.
fn target(pairs: &str) -> Result<Target> {
    Ok(Target::resolve(Some(pairs), |_| None)?)
}

fn to(cluster: &Cluster, pairs: &str) -> Result<Target> {
    target(&format!("host=127.0.0.1 port={} dbname=postgres {pairs}", cluster.port()))
}

fn password() -> String {
    format!("password='{}'", PASSWORD.replace('\\', "\\\\").replace('\'', "\\'"))
}

/// Opens a session of either kind, and says who it is.
async fn both(target: &Target) -> Result<String> {
    let sql = target.sql("test").await?;
    Replication::connect(target, "test").await?.identify().await?;
    Ok(sql.query_one("SELECT current_user::text", &[]).await?.get(0))
}

/// Why neither kind of session can be opened; the reason must be the same.
async fn refusal(target: &Target) -> Result<ConnectError> {
    let Err(sql) = target.sql("test").await else { bail!("let in") };
    let Err(replication::Error::Connect(replication)) = Replication::connect(target, "test").await else { bail!("let in") };
    ensure!(sql.to_string() == replication.to_string(), "{sql} but {replication}");
    Ok(sql)
}

fn says(error: &ConnectError, transient: bool, what: &str) -> Result<()> {
    let advice = error.advice();
    ensure!(advice.to_string().contains(what), "{what:?} is not in: {advice}");
    ensure!(error.is_transient() == transient, "transient is {}: {error}", !transient);
    let told = format!("{error} {error:?} {advice}");
    ensure!(!told.contains("s3cr3t"), "the password is told: {told}");
    Ok(())
}

on_every_major!(every_password_method);

async fn every_password_method(major: u32) -> Result<()> {
    let cluster = methods(major).await?;
    for role in ["by_scram", "by_md5", "by_cleartext"] {
        let known = to(&cluster, &format!("user={role} {}", password()))?;
        assert_eq!(both(&known).await.context(role)?, role);
        let wrong = refusal(&to(&cluster, &format!("user={role} password=s3cr3t-but-wrong"))?).await?;
        says(&wrong, false, &format!("refused the password of role \"{role}\""))?;
        let missing = refusal(&to(&cluster, &format!("user={role}"))?).await?;
        assert!(matches!(missing.attempts[0].failure, Failure::Login(LoginFailure::PasswordMissing)));
        says(&missing, false, "Put it into PGPASSWORD")?;
        // Without TLS there is nothing to bind a login to.
        let unbound = refusal(&to(&cluster, &format!("user={role} channel_binding=require {}", password()))?).await?;
        says(&unbound, false, "not bound to its TLS session")?;
    }
    Ok(())
}

#[tokio::test]
async fn definite_refusals_are_told_apart() -> Result<()> {
    let cluster = methods(a_major()).await?;
    for (pairs, what) in [
        ("user=postgres dbname=nothing", "There is no database \"nothing\""),
        ("user=nobody_here", "The role \"nobody_here\" does not exist"),
        ("user=by_certificate", "pg_hba.conf does not let role \"by_certificate\" in"),
        ("user=not_in_hba", "pg_hba.conf does not let role \"not_in_hba\" in"),
        ("user=outside dbname=closed", "GRANT CONNECT ON DATABASE \"closed\" TO \"outside\""),
    ] {
        says(&refusal(&to(&cluster, pairs)?).await.context(pairs)?, false, what)?;
    }
    let Err(replication::Error::Connect(error)) = Replication::connect(&to(&cluster, "user=plain")?, "test").await else {
        bail!("a role without REPLICATION was let in")
    };
    says(&error, false, "ALTER ROLE \"plain\" REPLICATION")
}

#[tokio::test]
async fn what_is_used_up_is_named() -> Result<()> {
    let few = options().set("max_wal_senders", "1").set("max_connections", "8").set("superuser_reserved_connections", "0");
    let cluster = cluster_with(a_major(), few).await?;
    let target = target(&cluster.url("postgres"))?;
    let only = Replication::connect(&target, "test").await?;
    let Err(replication::Error::Connect(error)) = Replication::connect(&target, "test").await else { bail!("a second sender") };
    says(&error, false, "max_wal_senders")?;
    drop(only);
    let mut sessions = Vec::new();
    let error = loop {
        match target.sql("test").await {
            Ok(session) => sessions.push(session),
            Err(error) => break error,
        }
        ensure!(sessions.len() <= 8, "more sessions than max_connections");
    };
    says(&error, true, "max_connections")
}

#[tokio::test]
async fn a_server_that_shuts_down_is_tried_again() -> Result<()> {
    let mut cluster = cluster(a_major()).await?;
    let target = target(&cluster.url("postgres"))?;
    let open = target.sql("test").await?;
    // A smart shutdown waits for this session, and lets nobody else in.
    let pid = cluster.pid().context("no postmaster")?.try_into()?;
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGTERM)?;
    let error = wait_for("the refusal", PATIENCE, async || Ok(target.sql("test").await.err())).await?;
    says(&error, true, "shutting down")?;
    drop(open);
    cluster.stop(pgvigil::cluster::Mode::Fast).await?;
    says(&refusal(&target).await?, true, "Nothing listens at 127.0.0.1")
}

#[tokio::test]
async fn hosts_are_tried_in_turn() -> Result<()> {
    let cluster = cluster(a_major()).await?;
    let (port, folder) = (cluster.port(), cluster.socket_dir().display());
    let dead = TcpListener::bind("127.0.0.1:0").await?.local_addr()?.port();
    for (pairs, peer) in [
        (format!("host=127.0.0.1,127.0.0.1 port={dead},{port}"), "127.0.0.1"),
        (format!("host=/nowhere,{folder} port={port}"), &*folder.to_string()),
        (format!("host=no.such.host.invalid,localhost port={port}"), "localhost"),
        (format!("host=no.such.host.invalid hostaddr=127.0.0.1 port={port}"), "no.such.host.invalid"),
        (
            format!("host={folder},127.0.0.1 port={port} target_session_attrs=read-write load_balance_hosts=disable"),
            &*folder.to_string(),
        ),
        (format!("host=127.0.0.1 port={port} target_session_attrs=prefer-standby"), "127.0.0.1"),
    ] {
        let target = target(&format!("user=postgres dbname=postgres {pairs}"))?;
        both(&target).await.with_context(|| pairs.clone())?;
        assert_eq!(Replication::connect(&target, "test").await?.peer(), (peer.to_owned(), port), "{pairs}");
    }

    let none = target(&format!("user=postgres host=127.0.0.1,no.such.host.invalid,/nowhere port={dead}"))?;
    let error = refusal(&none).await?;
    assert_eq!(error.attempts.len(), 3, "{error}");
    says(&error, true, "Nothing listens at /nowhere")?;
    let standby = target(&format!("user=postgres host=127.0.0.1 port={port} target_session_attrs=standby"))?;
    says(&refusal(&standby).await?, true, "asks for (standby)")?;
    // The login that one host refuses is not tried at the next.
    let refused = target(&format!("user=postgres dbname=nothing host=127.0.0.1,127.0.0.1 port={port}"))?;
    assert_eq!(refusal(&refused).await?.attempts.len(), 1);
    Ok(())
}

#[tokio::test]
async fn whoever_does_not_answer_as_a_server_is_found_out() -> Result<()> {
    let silent = TcpListener::bind("127.0.0.1:0").await?;
    let port = silent.local_addr()?.port();
    let error = refusal(&target(&format!("user=u host=127.0.0.1 port={port} connect_timeout=1"))?).await?;
    assert!(matches!(error.attempts[0].failure, Failure::Timeout(_)));
    says(&error, true, "did not answer within 1 seconds")?;

    let other = TcpListener::bind("127.0.0.1:0").await?;
    let port = other.local_addr()?.port();
    let answering = tokio::spawn(async move {
        while let Ok((mut client, _)) = other.accept().await {
            client.write_all(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n").await.ok();
        }
    });
    for mode in ["disable", "prefer"] {
        let error = refusal(&target(&format!("user=u host=127.0.0.1 port={port} sslmode={mode}"))?).await?;
        assert!(matches!(
            error.attempts[0].failure,
            Failure::Channel(ChannelError::Malformed(_) | ChannelError::Unexpected { .. })
        ));
        says(&error, false, "does not speak PostgreSQL's protocol")?;
    }
    answering.abort();
    Ok(())
}

#[tokio::test]
async fn the_environment_fills_what_the_string_leaves_out() -> Result<()> {
    let cluster = methods(a_major()).await?;
    let home = tempfile::tempdir()?;
    let passfile = home.path().join(".pgpass");
    let escaped = PASSWORD.replace('\\', r"\\");
    std::fs::write(&passfile, format!("127.0.0.1:{}:*:by_scram:{escaped}\n", cluster.port()))?;
    let mode = |mode| std::fs::set_permissions(&passfile, std::os::unix::fs::PermissionsExt::from_mode(mode));
    mode(0o600)?;
    let port = cluster.port().to_string();
    let env = |name: &str| match name {
        "HOME" => Some(home.path().display().to_string()),
        "PGHOST" => Some("127.0.0.1".to_owned()),
        "PGPORT" => Some(port.clone()),
        "PGUSER" => Some("by_scram".to_owned()),
        "PGDATABASE" => Some("postgres".to_owned()),
        "PGAPPNAME" => Some("chosen".to_owned()),
        "PGOPTIONS" => Some("-c geqo_seed=0.5".to_owned()),
        _ => None,
    };
    for url in [None, Some("postgresql://"), Some("host=127.0.0.1"), Some("postgresql://by_scram@127.0.0.1/postgres")] {
        let target = Target::resolve(url, env)?;
        assert_eq!(both(&target).await?, "by_scram");
        let row = target
            .sql("ours")
            .await?
            .query_one("SELECT current_setting('application_name'), current_setting('geqo_seed')", &[])
            .await?;
        assert_eq!((row.get(0), row.get(1)), ("chosen", "0.5"));
        assert_eq!(target.to_string(), format!("postgres on 127.0.0.1:{port}"));
    }
    // The string wins.
    assert_eq!(both(&Target::resolve(Some("user=postgres"), env)?).await?, "postgres");
    // A password file that others can read counts for nothing.
    mode(0o644)?;
    says(&refusal(&Target::resolve(None, env)?).await?, false, "none was given")
}

#[tokio::test]
async fn a_session_ends_with_its_client_and_the_password_stays_hidden() -> Result<()> {
    let cluster = methods(a_major()).await?;
    let watching = Database::connect(&cluster.url("postgres")).await?;
    let target = to(&cluster, &format!("user=by_scram {}", password()))?;
    assert!(!format!("{target:?} {target}").contains("s3cr3t"));
    let sessions = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'short-lived'";
    let client = target.sql("short-lived").await?;
    assert_eq!(watching.value::<i64>(sessions).await?, 1);
    drop(client);
    wait_for("the end of the session", PATIENCE, async || Ok((watching.value::<i64>(sessions).await? == 0).then_some(()))).await
}
