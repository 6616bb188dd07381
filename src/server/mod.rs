//! REST, WebSocket, SSE and the viewer's files, over HTTP/1.1.
//!
//! Floor 7: reads what the pipeline publishes and the history keeps; changes nothing.
//!
//! ```text
//! accept ─ admission ─ socket ─ hyper ─ guard ─ routes ─┬─ assets · status · tables · rows · events · undo · alerts · metrics
//!          (how many)  (stalls)         (who)           └─ stream ─ subscription ─┬─ websocket
//!                                                                                 └─ sse
//! ```
//!
//! Invariants: nothing here can hold the pipeline back, since every reader only has a cursor; a client costs bounded memory, however it
//! behaves; a client's error ends that client and no other; a row's value is never logged and never kept by a cache.

mod admission;
mod alerts;
mod assets;
mod batch;
mod events;
mod guard;
mod listen;
mod metrics;
mod parameters;
mod past;
mod problem;
mod routes;
mod rows;
mod running;
mod socket;
mod sse;
mod status;
mod subscription;
mod tables;
mod undo;
mod websocket;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::{Semaphore, watch};
use tokio_util::task::TaskTracker;

pub use guard::{Origin, ParseOriginError};
pub use listen::{Bound, bind};

use crate::alerts::Bulletin;
use crate::connection::Target;
use crate::history::History;
use crate::pipeline::{Counts, Running, Status};

/// What is served.
#[derive(Clone, Debug)]
pub struct Sources {
    /// The events.
    pub history: History,
    /// The state of the watch.
    pub status: watch::Receiver<Arc<Status>>,
    /// The counts. Each is published while the block that it belongs behind is the newest of the history.
    pub counts: watch::Receiver<Arc<Counts>>,
    /// Large transactions that are not committed yet.
    pub running: watch::Receiver<Arc<Running>>,
    /// The alerts.
    pub alerts: watch::Receiver<Arc<Bulletin>>,
    /// Where the rows of a table are read; `None` serves none.
    pub database: Option<Target>,
}

/// How it is served.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where to listen.
    pub listen: SocketAddr,
    /// Pages of these origins may read from here, and their host names are taken for ours.
    pub allow_origins: Vec<Origin>,
    /// How often each client is sent a `status` frame.
    pub heartbeat: Duration,
    /// What one client, or all of them, may use.
    pub limits: Limits,
}

/// What one client, or all of them, may use.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Connections at a time.
    pub connections: usize,
    /// Connections at a time from one address.
    pub connections_per_address: usize,
    /// A request's head must have come within this time.
    pub head_time: Duration,
    /// Bytes of a request's head.
    pub head_bytes: usize,
    /// Bytes of a message from a WebSocket client.
    pub message_bytes: usize,
    /// Bytes of JSON that are taken from the history at a time for one client. One event may be larger than that.
    pub batch_bytes: usize,
    /// Bytes that the kernel keeps for a client that does not read.
    pub send_buffer: usize,
    /// A client that takes no byte of what is waiting for it for this time is closed.
    pub stall_time: Duration,
    /// How often a WebSocket client is pinged; one that has not answered by the next ping is closed.
    pub ping_every: Duration,
    /// How long clients may take to leave when the server ends.
    pub farewell: Duration,
    /// Pages of rows that are read at the same time, and as many looks through the history.
    pub heavy_requests: usize,
    /// Events on one page.
    pub page_events: usize,
    /// Rows on one page.
    pub page_rows: u32,
    /// The database may work on one page for this time.
    pub page_time: Duration,
}

impl Config {
    /// The usual: a beat a second, no foreign origin.
    pub fn new(listen: SocketAddr) -> Self {
        Self { listen, allow_origins: Vec::new(), heartbeat: Duration::from_secs(1), limits: Limits::default() }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 8192,
            connections_per_address: 2048,
            head_time: Duration::from_secs(10),
            head_bytes: 16 << 10,
            message_bytes: 8 << 10,
            batch_bytes: 16 << 10,
            send_buffer: 128 << 10,
            stall_time: Duration::from_secs(15),
            ping_every: Duration::from_secs(20),
            farewell: Duration::from_secs(3),
            heavy_requests: 4,
            page_events: 1000,
            page_rows: 500,
            page_time: Duration::from_secs(5),
        }
    }
}

/// The address cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {source}; choose another with --listen, or stop what listens there")]
pub struct ListenError {
    /// What was asked for.
    pub address: SocketAddr,
    /// What the system says.
    pub source: std::io::Error,
}

/// What every request may look at.
#[derive(Debug)]
struct App {
    sources: Sources,
    limits: Limits,
    /// The latest `status` frame. The channel closes when the server ends, and every client's stream with it.
    beat: watch::Receiver<Bytes>,
    clients: admission::Clients,
    admission: Arc<admission::Admission>,
    /// Leave to have the database read a page of rows.
    reading: Semaphore,
    /// Leave to look through the history.
    searching: Semaphore,
    /// Everything that must have ended before the server has.
    tasks: TaskTracker,
    started: Instant,
}
