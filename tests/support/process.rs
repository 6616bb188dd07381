//! The real `pgvigil` binary as a child process.

use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::wait::{PATIENCE, wait_for};
use super::{EventSource, WebSocket};

/// Sends a signal to any process: `SIGKILL`, or `SIGSTOP` and `SIGCONT` to freeze it for a while.
pub(crate) fn signal(pid: u32, signal: Signal) -> Result<()> {
    kill(Pid::from_raw(pid.try_into()?), signal).with_context(|| format!("send {signal} to {pid}"))
}

/// A running `pgvigil`, killed when dropped.
pub(crate) struct Pgvigil {
    child: Child,
    stdout: Captured,
    stderr: Captured,
    origin: String,
    http: reqwest::Client,
}

type Captured = Arc<Mutex<String>>;

impl Pgvigil {
    /// Starts `pgvigil serve` on a free loopback port and waits until it says that it is ready.
    pub(crate) async fn serve(database_url: &str, arguments: &[&str]) -> Result<Self> {
        Self::serve_with(database_url, arguments, &[]).await
    }

    /// The same, with more in its environment.
    pub(crate) async fn serve_with(database_url: &str, arguments: &[&str], environment: &[(&str, &str)]) -> Result<Self> {
        let mut all = vec!["serve", "--listen", "127.0.0.1:0"];
        all.extend(arguments);
        let mut pgvigil = Self::spawn_with(database_url, &all, environment)?;
        pgvigil.origin = pgvigil.ready().await?;
        Ok(pgvigil)
    }

    /// Starts any command of pgvigil and waits for nothing. The connection string goes by the environment, as a secret should.
    pub(crate) fn spawn(database_url: &str, arguments: &[&str]) -> Result<Self> {
        Self::spawn_with(database_url, arguments, &[])
    }

    /// The same, with more in its environment.
    pub(crate) fn spawn_with(database_url: &str, arguments: &[&str], environment: &[(&str, &str)]) -> Result<Self> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pgvigil"));
        for (name, _) in std::env::vars_os() {
            let of_ours = |prefix: &[u8]| name.as_encoded_bytes().starts_with(prefix);
            if of_ours(b"PG") {
                command.env_remove(&name);
            }
        }
        command.args(arguments).env("DATABASE_URL", database_url).envs(environment.iter().copied()).kill_on_drop(true);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().context("start pgvigil")?;
        let stdout = capture(child.stdout.take().context("its standard output")?);
        let stderr = capture(child.stderr.take().context("its standard error")?);
        // No proxy of the environment stands between a test and its own server.
        let http = reqwest::Client::builder().no_proxy().timeout(PATIENCE).build()?;
        Ok(Pgvigil { child, stdout, stderr, origin: String::new(), http })
    }

    /// Waits for the ready line and returns the origin that it names; [`serve`](Self::serve) has done so.
    pub(crate) async fn ready(&mut self) -> Result<String> {
        let found = wait_for("the line that says pgvigil is ready", PATIENCE, async || {
            if self.child.try_wait()?.is_some() {
                return Ok(Some(None));
            }
            Ok(origin_of_ready_line(&self.stdout()).map(Some))
        });
        match found.await {
            Ok(Some(origin)) => Ok(origin),
            Ok(None) => bail!("pgvigil ended before it was ready:\n{}{}", self.stdout(), self.stderr()),
            Err(error) => Err(error.context(format!("pgvigil said:\n{}{}", self.stdout(), self.stderr()))),
        }
    }

    /// `http://127.0.0.1:PORT`.
    pub(crate) fn origin(&self) -> &str {
        &self.origin
    }

    /// `127.0.0.1:PORT`.
    pub(crate) fn address(&self) -> &str {
        self.origin.trim_start_matches("http://")
    }

    pub(crate) fn pid(&self) -> Result<u32> {
        self.child.id().context("pgvigil has ended")
    }

    /// What it has printed to standard output so far.
    pub(crate) fn stdout(&self) -> String {
        self.stdout.lock().unwrap().clone()
    }

    /// What it has logged so far.
    pub(crate) fn stderr(&self) -> String {
        self.stderr.lock().unwrap().clone()
    }

    /// The response to `GET path`.
    pub(crate) async fn get(&self, path: &str) -> Result<reqwest::Response> {
        self.http.get(format!("{}{path}", self.origin)).send().await.with_context(|| format!("GET {path}"))
    }

    /// The JSON body of `GET path`, which has to succeed.
    pub(crate) async fn json(&self, path: &str) -> Result<Value> {
        let response = self.get(path).await?;
        let (status, text) = (response.status(), response.text().await?);
        ensure!(status.is_success(), "GET {path}: {status}: {text}");
        serde_json::from_str(&text).with_context(|| format!("GET {path}: {text}"))
    }

    /// What `/api/v1/tables` says of one table, named as `schema.name` without quotes.
    pub(crate) async fn table(&self, name: &str) -> Result<Value> {
        let answer = self.json("/api/v1/tables").await?;
        let of_this_name = |table: &&Value| {
            let text = |key: &str| table[key].as_str().unwrap_or_default();
            format!("{}.{}", text("schema"), text("name")) == name
        };
        let tables = answer["tables"].as_array().context("tables")?;
        tables.iter().find(of_this_name).cloned().with_context(|| format!("there is no {name} in {answer}"))
    }

    /// Waits until the table is shown with this exact count.
    pub(crate) async fn wait_for_count(&self, name: &str, count: i64) -> Result<()> {
        let what = format!("{name} to have {count} rows");
        wait_for(&what, PATIENCE, async || {
            let table = self.table(name).await?;
            ensure!(table["count"] == count, "{table}");
            ensure!(table["count_state"] == "exact", "a count that is not exact is shown: {table}");
            Ok(Some(()))
        })
        .await
    }

    /// Waits until `/api/v1/status` shows this state.
    pub(crate) async fn wait_for_state(&self, state: &str) -> Result<Value> {
        wait_for(&format!("state {state}"), PATIENCE, async || {
            let status = self.json("/api/v1/status").await?;
            ensure!(status["state"] == state, "{status}");
            Ok(Some(status))
        })
        .await
    }

    /// Opens the stream over WebSocket, with the parameters of its URL such as `kinds=change&from=oldest`.
    pub(crate) async fn websocket(&self, query: &str) -> Result<WebSocket> {
        WebSocket::connect(&format!("ws://{}/api/v1/ws?{query}", self.address())).await
    }

    /// Opens the stream over SSE.
    pub(crate) async fn event_source(&self, query: &str) -> Result<EventSource> {
        EventSource::connect(&format!("{}/api/v1/stream?{query}", self.origin), None).await
    }

    /// A connection on which this is said, and then what the test makes of it. Little is taken before it is read.
    pub(crate) async fn raw(&self, said: &[u8]) -> Result<TcpStream> {
        let socket = TcpSocket::new_v4()?;
        socket.set_recv_buffer_size(4096)?;
        let mut stream = timeout(PATIENCE, socket.connect(self.address().parse()?)).await??;
        stream.write_all(said).await?;
        Ok(stream)
    }

    pub(crate) fn signal(&self, which: Signal) -> Result<()> {
        signal(self.pid()?, which)
    }

    /// Its files may be so large from here on: beyond that the disk is full.
    pub(crate) async fn allow_files(&self, bytes: Option<u64>) -> Result<()> {
        let limit = bytes.map_or_else(|| "unlimited".to_owned(), |bytes| bytes.to_string());
        let arguments = ["--pid".to_owned(), self.pid()?.to_string(), format!("--fsize={limit}:unlimited")];
        let status = Command::new("prlimit").args(arguments).status().await?;
        ensure!(status.success(), "prlimit: {status}");
        Ok(())
    }

    /// Ends it as a person does, with `SIGTERM`, and waits for that.
    pub(crate) async fn stop(&mut self) -> Result<ExitStatus> {
        self.signal(Signal::SIGTERM)?;
        self.wait(PATIENCE).await
    }

    /// Ends it as the worst does, with `SIGKILL`.
    pub(crate) async fn kill(&mut self) -> Result<()> {
        self.child.kill().await.context("kill pgvigil")
    }

    /// Waits for it to end by itself.
    pub(crate) async fn wait(&mut self, within: Duration) -> Result<ExitStatus> {
        match timeout(within, self.child.wait()).await {
            Ok(status) => Ok(status?),
            Err(_) => bail!("pgvigil did not end within {within:?}; it said:\n{}", self.stderr()),
        }
    }
}

/// From `pgvigil: watching <db> on <host>:<port> at http://127.0.0.1:7777`.
fn origin_of_ready_line(stdout: &str) -> Option<String> {
    // A line without its end may still be growing.
    let complete = stdout.rsplit_once('\n')?.0;
    let line = complete.lines().find(|line| line.starts_with("pgvigil: watching "))?;
    Some(line.rsplit_once(" at ")?.1.trim_end_matches('/').to_owned())
}

fn capture(mut from: impl AsyncRead + Unpin + Send + 'static) -> Captured {
    let captured = Captured::default();
    let kept = captured.clone();
    tokio::spawn(async move {
        let mut buffer = vec![0; 8192];
        // The pipe ends with the process.
        while let Ok(length @ 1..) = from.read(&mut buffer).await {
            kept.lock().unwrap().push_str(&String::from_utf8_lossy(&buffer[..length]));
        }
    });
    captured
}
