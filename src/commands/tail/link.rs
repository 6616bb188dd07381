//! One connection to a running pgvigil, over WebSocket.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde::Deserialize;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_tungstenite::tungstenite::http::{Response, StatusCode, Uri};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{self, Bytes, Message, Utf8Bytes};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async_with_config};

/// A server that has not answered after this long is not there.
const CONNECT: Duration = Duration::from_secs(10);
/// After so much silence the server is asked for a sign of life, and after as much again it is taken for dead.
const SILENCE: Duration = Duration::from_secs(15);

/// The address of a running pgvigil: `http://host:port`, with a path if it is served below one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    secure: bool,
    /// Host, port and path.
    rest: String,
}

/// An address that `tail` cannot use. It is not shown: it may hold a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseServerError {
    /// Not such a URL.
    #[error("expected a URL such as http://127.0.0.1:7777")]
    NotAUrl,
    /// With a name or a password in it.
    #[error("a user name or a password in the URL is not understood")]
    Credentials,
    /// With parameters.
    #[error("the URL takes no parameters; what to show is said by --table, --op, --where, --kinds and --from")]
    Parameters,
}

impl FromStr for Server {
    type Err = ParseServerError;

    fn from_str(text: &str) -> Result<Self, ParseServerError> {
        let uri: Uri = text.parse().map_err(|_| ParseServerError::NotAUrl)?;
        let secure = match uri.scheme_str() {
            Some("http" | "ws") => false,
            Some("https" | "wss") => true,
            _ => return Err(ParseServerError::NotAUrl),
        };
        let authority = uri.authority().ok_or(ParseServerError::NotAUrl)?;
        if authority.as_str().contains('@') {
            return Err(ParseServerError::Credentials);
        }
        if uri.query().is_some() {
            return Err(ParseServerError::Parameters);
        }
        Ok(Self { secure, rest: format!("{authority}{}", uri.path().trim_end_matches('/')) })
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.secure { "https" } else { "http" };
        write!(f, "{scheme}://{}", self.rest)
    }
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// Nobody there.
    #[error("no pgvigil answers at {server}: {reason}. Start one with `pgvigil serve`, or say with --url where it is")]
    Unreachable {
        /// Who does not answer.
        server: Server,
        /// What happened instead.
        reason: String,
    },
    /// pgvigil does not want to.
    #[error("{server} refused: {detail}")]
    Refused {
        /// Who refused.
        server: Server,
        /// HTTP status.
        status: StatusCode,
        /// What is wrong, and what to do.
        detail: String,
    },
    /// Something else is there.
    #[error("what answers at {server} is not pgvigil, or not one that can be followed: HTTP status {status}. Is --url right?")]
    NotPgvigil {
        /// Where.
        server: Server,
        /// HTTP status.
        status: StatusCode,
    },
}

impl LinkError {
    /// Whether another attempt may succeed.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. } => true,
            Self::Refused { status, .. } | Self::NotPgvigil { status, .. } => status.is_server_error(),
        }
    }
}

/// How a connection ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum Lost {
    /// The server said so.
    #[error("the server closed the connection ({0})")]
    Closed(String),
    /// It broke.
    #[error("the connection is lost ({0})")]
    Broken(tungstenite::Error),
    /// Nothing came, not even an answer to a ping.
    #[error("the server does not answer any more")]
    Silent,
}

/// A connection, open until it is dropped.
pub(super) struct Link {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    /// Something came, last.
    heard: Instant,
}

impl Link {
    /// Connects and asks for what `query` says.
    pub(super) async fn open(server: &Server, query: &str) -> Result<Self, LinkError> {
        let scheme = if server.secure { "wss" } else { "ws" };
        let url = format!("{scheme}://{}/api/v1/ws?{query}", server.rest);
        // A row may be large, and this server is trusted with it.
        let config = WebSocketConfig::default().max_message_size(None).max_frame_size(None);
        let unreachable = |reason: String| LinkError::Unreachable { server: server.clone(), reason };
        match timeout(CONNECT, connect_async_with_config(url, Some(config), true)).await {
            Ok(Ok((socket, _))) => Ok(Self { socket, heard: Instant::now() }),
            Ok(Err(tungstenite::Error::Http(response))) => Err(refusal(server, &response)),
            Ok(Err(error)) => Err(unreachable(error.to_string())),
            Err(_) => Err(unreachable(format!("nothing came within {} s", CONNECT.as_secs()))),
        }
    }

    /// The next object.
    pub(super) async fn next(&mut self) -> Result<Utf8Bytes, Lost> {
        let mut asked = false;
        loop {
            let until = self.heard + if asked { 2 * SILENCE } else { SILENCE };
            let Ok(message) = timeout_at(until, self.socket.next()).await else {
                if asked {
                    return Err(Lost::Silent);
                }
                asked = true;
                self.socket.send(Message::Ping(Bytes::new())).await.map_err(Lost::Broken)?;
                continue;
            };
            (asked, self.heard) = (false, Instant::now());
            match message {
                Some(Ok(Message::Text(text))) => return Ok(text),
                Some(Ok(Message::Close(frame))) => {
                    let reason = frame.map_or_else(|| "without a reason".to_owned(), |frame| frame.reason.to_string());
                    return Err(Lost::Closed(reason));
                }
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(Lost::Broken(error)),
                None => return Err(Lost::Closed("without a word".to_owned())),
            }
        }
    }
}

/// Reads the problem document that says why, if it is one.
fn refusal(server: &Server, response: &Response<Option<Vec<u8>>>) -> LinkError {
    #[derive(Deserialize)]
    struct Problem {
        detail: String,
    }
    let (server, status) = (server.clone(), response.status());
    let problem = response.body().as_ref().and_then(|body| serde_json::from_slice(body).ok());
    match problem {
        Some(Problem { detail }) => LinkError::Refused { server, status, detail },
        None => LinkError::NotPgvigil { server, status },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_shown_as_they_are_written() {
        for (text, shown) in [
            ("http://127.0.0.1:7777", "http://127.0.0.1:7777"),
            ("http://127.0.0.1:7777/", "http://127.0.0.1:7777"),
            ("ws://[::1]:7777", "http://[::1]:7777"),
            ("https://vigil.example.org/db/", "https://vigil.example.org/db"),
        ] {
            assert_eq!(text.parse::<Server>().unwrap().to_string(), shown);
        }
        assert_eq!("127.0.0.1:7777".parse::<Server>(), Err(ParseServerError::NotAUrl));
        assert_eq!("ftp://host".parse::<Server>(), Err(ParseServerError::NotAUrl));
        assert_eq!("http://host/?op=delete".parse::<Server>(), Err(ParseServerError::Parameters));
        let error = "http://ann:secret@host".parse::<Server>().unwrap_err();
        assert!(error == ParseServerError::Credentials && !error.to_string().contains("secret"));
    }

    #[tokio::test]
    async fn where_nobody_listens_it_says_what_to_do() {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let server: Server = format!("http://{}", taken.local_addr().unwrap()).parse().unwrap();
        drop(taken);
        let Err(error) = Link::open(&server, "from=live").await else { panic!("somebody is there") };
        assert!(error.is_transient());
        let text = error.to_string();
        assert!(text.starts_with(&format!("no pgvigil answers at {server}")) && text.contains("--url"), "{text}");
    }

    #[tokio::test]
    async fn where_no_tls_is_spoken_it_says_so() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server: Server = format!("https://{}", listener.local_addr().unwrap()).parse().unwrap();
        let closing = tokio::spawn(async move { listener.accept().await.map(drop) });
        assert!(matches!(Link::open(&server, "from=live").await, Err(LinkError::Unreachable { .. })));
        closing.await.unwrap().unwrap();
    }

    #[test]
    fn what_was_refused_is_told_in_the_words_of_the_server() {
        let server: Server = "http://host".parse().unwrap();
        let answer = |status, body: &str| refusal(&server, &Response::builder().status(status).body(Some(body.into())).unwrap());
        let refused = answer(400, r#"{"title":"x","detail":"op: \"drop\" is no operation."}"#);
        assert_eq!(refused.to_string(), "http://host refused: op: \"drop\" is no operation.");
        assert!(!refused.is_transient());
        assert!(answer(503, r#"{"detail":"Too many."}"#).is_transient());
        assert!(matches!(answer(404, "<html>"), LinkError::NotPgvigil { .. }));
    }
}
