//! The listener: accepts within limits, gives each connection to hyper, and ends them all when told to.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::Service;

use super::admission::{Admission, Clients, Peer};
use super::guard::Guard;
use super::problem::Kind;
use super::socket::Socket;
use super::{App, Config, Limits, ListenError, Sources, routes, status};

/// How long to wait when the system has no descriptor for one more connection.
const BREATH: Duration = Duration::from_millis(100);

/// A server that holds its port, and does not serve yet.
#[derive(Debug)]
pub struct Bound {
    config: Config,
    listener: TcpListener,
    address: SocketAddr,
}

/// Takes the port.
///
/// # Errors
/// When the address cannot be listened on.
pub async fn bind(config: Config) -> Result<Bound, ListenError> {
    let failed = |source| ListenError { address: config.listen, source };
    let listener = TcpListener::bind(config.listen).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok(Bound { config, listener, address })
}

impl Bound {
    /// Where it listens; tells the port when 0 was asked for.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Serves until cancelled, then says good-bye to every client. Never fails: what goes wrong, goes wrong for one client.
    pub async fn serve(self, sources: Sources, cancel: CancellationToken) {
        let Self { config, listener, address } = self;
        let started = Instant::now();
        let first = status::frame(&sources.status.borrow(), 0, started);
        let (beats, beat) = watch::channel(first);
        let admission = Admission::new(config.limits.connections, config.limits.connections_per_address);
        let [reading, searching] = [(); 2].map(|()| Semaphore::new(config.limits.heavy_requests));
        let (clients, tasks) = (Clients::default(), TaskTracker::new());
        let app = Arc::new(App { sources, limits: config.limits, beat, clients, admission, reading, searching, tasks, started });
        let router = routes::router(Arc::clone(&app), Guard::new(&config.allow_origins));
        app.tasks.spawn(status::beat(Arc::clone(&app), config.heartbeat, beats, cancel.clone()));
        tracing::info!(%address, "listening");

        while let Some(accepted) = cancel.run_until_cancelled(listener.accept()).await {
            match accepted {
                Ok((stream, from)) => admit(&app, &router, stream, from, &cancel),
                Err(error) if of_the_connection(&error) => {}
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    sleep(BREATH).await;
                }
            }
        }
        drop(listener);
        app.tasks.close();
        if timeout(app.limits.farewell, app.tasks.wait()).await.is_err() {
            tracing::warn!(left = app.tasks.len(), "clients did not leave in time");
        }
    }
}

/// The client gave up before it was accepted: nothing is wrong with us.
fn of_the_connection(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::ConnectionRefused | ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset)
}

fn admit(app: &Arc<App>, router: &Router, stream: TcpStream, from: SocketAddr, cancel: &CancellationToken) {
    let (Ok(local), Some(place)) = (stream.local_addr(), app.admission.admit(from.ip())) else {
        // A new connection's buffer is empty, so this is taken at once or not at all.
        let _ = stream.try_write(&refusal());
        return;
    };
    // Frames are written whole, so nothing is gained by gathering them in the kernel. Left alone, its buffer grows to megabytes for a
    // client that does not read.
    let _ = stream.set_nodelay(true);
    let _ = SockRef::from(&stream).set_send_buffer_size(app.limits.send_buffer);
    let peer = Peer { local, _place: Arc::new(place) };
    let socket = Socket::new(stream, app.limits.stall_time);
    app.tasks.spawn(converse(socket, peer, router.clone(), app.limits.clone(), cancel.clone()));
}

/// Serves one connection, request by request, until it closes or becomes a WebSocket.
async fn converse(socket: Socket, peer: Peer, router: Router, limits: Limits, cancel: CancellationToken) {
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(peer.clone());
        router.clone().call(request.map(Body::new))
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(limits.head_time).max_buf_size(limits.head_bytes.max(8 << 10));
    let mut connection = pin!(http.serve_connection(TokioIo::new(socket), service).with_upgrades());
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = cancel.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "connection ended");
    }
}

/// What is said to a connection over the limit.
fn refusal() -> Vec<u8> {
    let body = Kind::TooManyConnections.because("Close one, or ask again later.").to_json();
    let head = format!(
        "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/problem+json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    [head.into_bytes(), body].concat()
}
