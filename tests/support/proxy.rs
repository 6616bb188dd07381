//! A TCP proxy that breaks connections in the ways in which networks do, and in others.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use futures_util::future::try_join;
use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{broadcast, watch};
use tokio::task::JoinHandle;

/// What happens to the bytes of one direction, on all connections, those that are open and those that will be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flow {
    /// They are passed on.
    Pass,
    /// They are neither read nor passed on, and nobody is told: a cable was pulled. They come when the flow passes again.
    Silence,
    /// They come slowly.
    Trickle { bytes: usize, every: Duration },
    /// So many are passed on, on each connection, then it is reset.
    CutAfter(usize),
    /// The receiver sees the end of the stream, while the other direction goes on.
    HalfClose,
}

/// Which way the bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    ToServer,
    ToClient,
}

/// What becomes of the connections that are open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Reset,
    Stranded,
}

/// A proxy in front of one server. Its connections are reset when it is dropped.
pub(crate) struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

struct Shared {
    upstream: AtomicU16,
    to_server: watch::Sender<Flow>,
    to_client: watch::Sender<Flow>,
    fates: broadcast::Sender<Fate>,
    accepted: AtomicU64,
}

impl Proxy {
    /// A proxy on a free loopback port that passes everything on to `127.0.0.1:upstream`.
    pub(crate) async fn start(upstream: u16) -> Result<Self> {
        let (to_server, to_client) = (watch::Sender::new(Flow::Pass), watch::Sender::new(Flow::Pass));
        let (upstream, fates) = (AtomicU16::new(upstream), broadcast::Sender::new(4));
        let shared = Arc::new(Shared { upstream, to_server, to_client, fates, accepted: AtomicU64::new(0) });
        let mut proxy = Proxy { address: ([127, 0, 0, 1], 0).into(), shared, accepting: None };
        proxy.accept().await?;
        Ok(proxy)
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    /// The URL of a test's server, but through this proxy.
    pub(crate) fn url(&self, direct: &str) -> String {
        direct.replace(&self.shared.upstream().to_string(), &self.address.to_string())
    }

    /// New connections go to another server from now on; those that are open stay where they are.
    pub(crate) fn point_at(&self, upstream: u16) {
        self.shared.upstream.store(upstream, Ordering::SeqCst);
    }

    /// Lets the bytes of one direction flow in another way, from now on.
    pub(crate) fn set(&self, direction: Direction, flow: Flow) {
        match direction {
            Direction::ToServer => self.shared.to_server.send_replace(flow),
            Direction::ToClient => self.shared.to_client.send_replace(flow),
        };
    }

    /// Nothing comes through in either direction, and nobody is told.
    pub(crate) fn silence(&self) {
        self.set(Direction::ToServer, Flow::Silence);
        self.set(Direction::ToClient, Flow::Silence);
    }

    /// All is well again for connections that are still open, and for new ones.
    pub(crate) fn heal(&self) {
        self.set(Direction::ToServer, Flow::Pass);
        self.set(Direction::ToClient, Flow::Pass);
    }

    /// Resets every open connection, on both sides (RST). New ones are accepted.
    pub(crate) fn reset(&self) {
        // Nobody listens when nothing is connected.
        self.shared.fates.send(Fate::Reset).ok();
    }

    /// Nothing comes through any open connection ever again, and nobody is told: a firewall has forgotten them. New ones are fine.
    pub(crate) fn strand(&self) {
        self.shared.fates.send(Fate::Stranded).ok();
    }

    /// How many connections there have been.
    pub(crate) fn accepted(&self) -> u64 {
        self.shared.accepted.load(Ordering::SeqCst)
    }

    /// From now on connections are refused, as by a server that is down; those that are open stay.
    pub(crate) async fn refuse(&mut self) {
        if let Some(accepting) = self.accepting.take() {
            accepting.abort();
            accepting.await.ok();
        }
    }

    /// Connections are accepted again, on the same port.
    pub(crate) async fn accept(&mut self) -> Result<()> {
        self.refuse().await;
        let listener = TcpListener::bind(self.address).await.context("listen as a proxy")?;
        self.address = listener.local_addr()?;
        let shared = Arc::downgrade(&self.shared);
        self.accepting = Some(tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let Some(shared) = shared.upgrade() else { return };
                shared.accepted.fetch_add(1, Ordering::SeqCst);
                let connection = Connection {
                    to_server: shared.to_server.subscribe(),
                    to_client: shared.to_client.subscribe(),
                    fates: shared.fates.subscribe(),
                };
                tokio::spawn(connection.run(client, shared.upstream()));
            }
        }));
        Ok(())
    }
}

impl Shared {
    fn upstream(&self) -> SocketAddr {
        ([127, 0, 0, 1], self.upstream.load(Ordering::SeqCst)).into()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if let Some(accepting) = &self.accepting {
            accepting.abort();
        }
    }
}

struct Connection {
    to_server: watch::Receiver<Flow>,
    to_client: watch::Receiver<Flow>,
    /// Ends with the proxy, which resets the connection too.
    fates: broadcast::Receiver<Fate>,
}

impl Connection {
    async fn run(mut self, mut client: TcpStream, upstream: SocketAddr) {
        let Ok(mut server) = TcpStream::connect(upstream).await else { return abort(&client) };
        client.set_nodelay(true).and_then(|()| server.set_nodelay(true)).ok();
        let ended_well = {
            let (from_client, to_client) = client.split();
            let (from_server, to_server) = server.split();
            let pumps = try_join(pump(from_client, to_server, self.to_server), pump(from_server, to_client, self.to_client));
            tokio::select! {
                ended = pumps => ended.is_ok(),
                fate = self.fates.recv() => {
                    let stranded = fate == Ok(Fate::Stranded);
                    while stranded && self.fates.recv().await == Ok(Fate::Stranded) {}
                    false
                }
            }
        };
        if !ended_well {
            abort(&client);
            abort(&server);
        }
    }
}

/// Makes the kernel answer with RST in place of FIN when the socket is closed.
fn abort(socket: &TcpStream) {
    SockRef::from(socket).set_linger(Some(Duration::ZERO)).ok();
}

/// Passes bytes on as the flow says; an error means that the whole connection is to be reset.
async fn pump(mut from: ReadHalf<'_>, mut to: WriteHalf<'_>, mut flow: watch::Receiver<Flow>) -> io::Result<()> {
    let mut buffer = vec![0; 16 * 1024];
    let mut passed = 0;
    loop {
        let now = *flow.borrow_and_update();
        let limit = match now {
            Flow::Pass => buffer.len(),
            Flow::Trickle { bytes, .. } => bytes,
            Flow::CutAfter(total) => total.saturating_sub(passed),
            Flow::Silence => 0,
            Flow::HalfClose => {
                to.shutdown().await?;
                0
            }
        };
        if limit == 0 {
            if let Flow::CutAfter(_) = now {
                return Err(io::ErrorKind::ConnectionReset.into());
            }
            changed(&mut flow).await;
            passed = 0;
            continue;
        }
        let limit = limit.min(buffer.len());
        tokio::select! {
            read = from.read(&mut buffer[..limit]) => {
                let length = read?;
                if length == 0 {
                    return to.shutdown().await;
                }
                to.write_all(&buffer[..length]).await?;
                passed += length;
                if let Flow::Trickle { every, .. } = now {
                    tokio::time::sleep(every).await;
                }
            }
            () = changed(&mut flow) => passed = 0,
        }
    }
}

/// Returns at the next change, and never when no further change can come.
async fn changed(flow: &mut watch::Receiver<Flow>) {
    if flow.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}
