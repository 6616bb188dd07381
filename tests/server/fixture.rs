//! A server whose sources are in the test's hand.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use pgvigil::alerts::Bulletin;
use pgvigil::connection::Target;
use pgvigil::event::{BlockBuilder, GapReason, Kind, NewEvent, Operation, TableName, Touched};
use pgvigil::history::{self, History, Writer};
use pgvigil::lsn::{Epoch, EventId, Lsn, Oid, Place, TransactionId, Xid};
use pgvigil::pgoutput::Timestamp;
use pgvigil::pipeline::{CountState, Counts, Database, Passed, Slot, State, Status, Table, TableKind};
use pgvigil::server::{self, Config, Sources};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::support::{EventSource, PATIENCE, WebSocket};

/// Memory of the history, if a test does not say otherwise.
const HISTORY: usize = 1 << 20;

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) history: History,
    pub(crate) status: watch::Sender<Arc<Status>>,
    pub(crate) counts: watch::Sender<Arc<Counts>>,
    pub(crate) alerts: watch::Sender<Arc<Bulletin>>,
    pub(crate) cancel: CancellationToken,
    pub(crate) serving: JoinHandle<()>,
    writer: Writer,
    block: BlockBuilder,
    epochs: u64,
    _stop: DropGuard,
}

/// How to start one.
pub(crate) struct Setup {
    pub(crate) config: Config,
    pub(crate) history: usize,
    pub(crate) database: Option<Target>,
}

impl Default for Setup {
    fn default() -> Self {
        let mut config = Config::new(([127, 0, 0, 1], 0).into());
        config.heartbeat = Duration::from_millis(100);
        Self { config, history: HISTORY, database: None }
    }
}

impl Setup {
    pub(crate) fn configure(mut self, change: impl FnOnce(&mut Config)) -> Self {
        change(&mut self.config);
        self
    }

    /// A server that waits for its first epoch.
    pub(crate) async fn start(self) -> Result<Server> {
        let (writer, history) = history::ring(self.history);
        let (status, statuses) = watch::channel(Arc::new(connecting()));
        let (counts, counted) = watch::channel(Arc::new(no_counts()));
        let (alerts, alerted) = watch::channel(Arc::default());
        let cancel = CancellationToken::new();
        let bound = server::bind(self.config).await?;
        let address = bound.local_addr();
        // Nothing runs.
        let (_, running) = watch::channel(Arc::default());
        let sources = Sources {
            history: history.clone(),
            status: statuses,
            counts: counted,
            running,
            alerts: alerted,
            database: self.database,
        };
        let serving = tokio::spawn(bound.serve(sources, cancel.clone()));
        let block = BlockBuilder::new(Epoch::at_millis(1));
        let _stop = cancel.clone().drop_guard();
        Ok(Server { address, history, status, counts, alerts, cancel, serving, writer, block, epochs: 0, _stop })
    }

    /// A server that is live, at position 0/64, with `"User"` counted: 22 rows.
    pub(crate) async fn live(self) -> Result<Server> {
        let mut server = self.start().await?;
        server.begin_epoch(100, None);
        server.count(100, [user(22)]);
        Ok(server)
    }
}

/// A live server with the usual configuration.
pub(crate) async fn live() -> Result<Server> {
    Setup::default().live().await
}

impl Server {
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) async fn websocket(&self, query: &str) -> Result<WebSocket> {
        WebSocket::connect(&format!("ws://{}/api/v1/ws{query}", self.address)).await
    }

    pub(crate) async fn event_source(&self, query: &str, last_event_id: Option<&str>) -> Result<EventSource> {
        EventSource::connect(&self.url(&format!("/api/v1/stream{query}")), last_event_id).await
    }

    pub(crate) async fn get(&self, path: &str) -> Result<reqwest::Response> {
        let client = reqwest::Client::builder().no_proxy().build()?;
        Ok(timeout(PATIENCE, client.get(self.url(path)).send()).await??)
    }

    pub(crate) async fn json(&self, path: &str) -> Result<Value> {
        let response = self.get(path).await?;
        let status = response.status();
        let text = response.text().await?;
        anyhow::ensure!(status.is_success(), "{path}: {status} {text}");
        serde_json::from_str(&text).with_context(|| format!("{path}: {text}"))
    }

    /// The status and the body of an answer that is a problem document, checked to be one.
    pub(crate) async fn problem(&self, path: &str) -> Result<(u16, Value)> {
        let response = self.get(path).await?;
        let status = response.status().as_u16();
        let kind = response.headers().get("content-type").context("a content type")?.to_str()?.to_owned();
        assert_eq!(kind, "application/problem+json", "{path}");
        let document: Value = serde_json::from_str(&response.text().await?)?;
        assert_eq!(document["status"], status);
        assert!(document["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{document}");
        Ok((status, document))
    }

    /// Sends exactly these bytes, and gives what comes back until the server closes.
    pub(crate) async fn raw(&self, request: &str) -> Result<String> {
        let mut socket = TcpStream::connect(self.address).await?;
        socket.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        timeout(PATIENCE, socket.read_to_end(&mut answer)).await.context("the server did not close")??;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    }

    pub(crate) fn epoch(&self) -> Epoch {
        Epoch::at_millis(self.epochs)
    }

    /// A new epoch begins, and the status says so.
    pub(crate) fn begin_epoch(&mut self, start: u64, reason: Option<GapReason>) {
        self.epochs += 1;
        let epoch = self.epoch();
        self.writer.begin_epoch(epoch.clone(), Lsn(start), reason);
        self.block = BlockBuilder::new(epoch.clone());
        self.status.send_replace(Arc::new(Status { epoch: Some(epoch), ..live_status(Lsn(start)) }));
    }

    /// A transaction that deleted users with these ids, in a block of its own. It ends 9 bytes behind its commit.
    pub(crate) fn delete(&mut self, commit_lsn: u64, ids: &[i64]) {
        self.delete_with(commit_lsn, ids, "");
    }

    /// The same, with old rows as large as `note` makes them.
    pub(crate) fn delete_with(&mut self, commit_lsn: u64, ids: &[i64], note: &str) {
        let (epoch, xid) = (self.epoch(), Xid(7));
        let time = Timestamp(i64::try_from(commit_lsn).expect("small") * 1_000_000);
        let table = self.block.table(&Arc::new(TableName { oid: Oid(16402), schema: "public".into(), name: "User".into() }));
        let tx = TransactionId { epoch: epoch.clone(), commit_lsn: Lsn(commit_lsn) }.to_string();
        let at = |ordinal| Place { commit_lsn: Lsn(commit_lsn), ordinal };
        let event = |kind, ordinal, operation: Option<Operation>| NewEvent {
            kind,
            place: at(ordinal),
            table: operation.map(|_| table),
            operation,
            actor: None,
            xid: Some(xid),
            time,
        };
        for (ordinal, id) in (1..).zip(ids) {
            let name = EventId { epoch: epoch.clone(), place: at(ordinal) }.to_string();
            let json = json!({"type": "change", "id": name, "op": "delete", "schema": "public", "table": "User", "oid": 16402,
                "tx": {"id": tx, "xid": 7}, "key": {"id": id}, "old": {"id": id, "note": note}, "new": null});
            self.block
                .push(event(Kind::Change, ordinal, Some(Operation::Delete)), |out| out.extend(json.to_string().into_bytes()));
        }
        let touched = Touched { table, operations: [Operation::Delete].into_iter().collect(), count: None };
        let json = json!({"type": "commit", "tx": {"id": tx, "xid": 7, "changes": ids.len()}});
        let ordinal = ids.len() as u64 + 1;
        self.block.push_commit(event(Kind::Commit, ordinal, None), [touched], |out| out.extend(json.to_string().into_bytes()));
        self.block.reached(Lsn(commit_lsn + 9));
        self.writer.append(self.block.finish());
    }

    /// Publishes counts that are true at `lsn`, behind all that was appended.
    pub(crate) fn count(&self, lsn: u64, tables: impl IntoIterator<Item = Table>) {
        self.count_after(self.history.position(), lsn, tables);
    }

    /// The same, behind that block.
    pub(crate) fn count_after(&self, after_block: u64, lsn: u64, tables: impl IntoIterator<Item = Table>) {
        let tables: Vec<_> = tables.into_iter().map(Arc::new).collect();
        let before = Arc::clone(&self.counts.borrow());
        let unchanged = |table: &&Arc<Table>| !before.tables.contains(table);
        let gone = |table: &&Arc<Table>| !tables.iter().any(|other| other.oid == table.oid);
        let counts = Counts {
            version: before.version + 1,
            after_block,
            lsn: Lsn(lsn),
            changed: tables.iter().filter(unchanged).cloned().collect(),
            removed: before.tables.iter().filter(gone).map(|table| table.oid).collect(),
            total_rows: tables.iter().map(|table| table.count).sum(),
            tables: tables.into(),
            passed: Passed { transactions: 3, inserts: 1, updates: 2, deletes: 22, truncates: 4 },
            ..no_counts()
        };
        self.counts.send_replace(Arc::new(counts));
    }

    /// Publishes another status.
    pub(crate) fn note(&self, change: impl FnOnce(&mut Status)) {
        let mut status = Status::clone(&self.status.borrow());
        change(&mut status);
        self.status.send_replace(Arc::new(status));
    }
}

/// `public."User"` with so many rows.
pub(crate) fn user(count: impl Into<Option<i64>>) -> Table {
    table(16402, "User", count)
}

pub(crate) fn table(oid: u32, name: &str, count: impl Into<Option<i64>>) -> Table {
    let count = count.into();
    Table {
        oid,
        schema: "public".to_owned(),
        name: name.to_owned(),
        kind: TableKind::Table,
        parent: None,
        count,
        count_state: if count.is_some() { CountState::Exact } else { CountState::Counting },
        reason: None,
        progress: None,
        inserts: 0,
        updates: 0,
        deletes: 0,
        truncates: 0,
        last_change: None,
        verified_at: None,
        found_wrong: 0,
        has_rules: false,
        replica_identity: "default",
        key: vec!["id".to_owned()],
        row_cache: None,
    }
}

pub(crate) fn watched() -> Database {
    Database {
        name: "app".to_owned(),
        oid: 16384,
        system_identifier: "7000000000000000001".to_owned(),
        host: "db.example.org".to_owned(),
        port: 5432,
        server_version: "15.18".to_owned(),
    }
}

fn connecting() -> Status {
    Status {
        state: State::Connecting,
        reason: None,
        since: 1_795_356_131_204_113,
        database: None,
        epoch: None,
        lsn: Lsn::ZERO,
        server_lsn: Lsn::ZERO,
        last_proof: None,
        slot: None,
        row_cache: None,
        publication: "pgvigil".to_owned(),
    }
}

fn live_status(lsn: Lsn) -> Status {
    let slot = Slot { name: "pgvigil_1f".to_owned(), temporary: true, retained_bytes: 0, budget_bytes: None };
    Status {
        state: State::Live,
        database: Some(Arc::new(watched())),
        lsn,
        server_lsn: lsn,
        last_proof: Some(Instant::now()),
        slot: Some(slot),
        ..connecting()
    }
}

fn no_counts() -> Counts {
    Counts {
        version: 0,
        after_block: 0,
        lsn: Lsn::ZERO,
        time: Instant::now(),
        unix_time: 1_795_356_131_204_113,
        tables: Arc::default(),
        changed: Vec::new(),
        removed: Vec::new(),
        passed: Passed::default(),
        total_rows: None,
        told_late: false,
        whole_json: OnceLock::new(),
        changed_json: OnceLock::new(),
    }
}
