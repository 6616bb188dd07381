//! Who may ask: the `Host` and `Origin` of every request, before anything looks at the rest of it.
//!
//! A page on the internet can make a browser send requests to 127.0.0.1. Two checks keep it from reading our answers, on HTTP and
//! WebSocket alike: the `Host` must be a name of ours (against DNS rebinding), and the `Origin`, when there is one, must be our own or
//! an allowed one (against cross-site WebSocket hijacking, which no browser prevents by itself).

use std::collections::HashSet;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::admission::Peer;
use super::problem::{Kind, Problem};

/// The longest path with query that is served.
const MAX_URI: usize = 4096;
/// The largest body that is let pass unread: nothing here takes one.
const MAX_BODY: u64 = 8192;
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Where a page comes from, as browsers write it: `https://watch.example.org`, without a path, without the scheme's own port.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Origin {
    secure: bool,
    host: String,
    port: u16,
}

/// A text that is not an origin.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an origin such as https://watch.example.org or http://10.0.0.7:7777")]
pub struct ParseOriginError(pub String);

impl Origin {
    fn new(secure: bool, authority: &Authority) -> Self {
        let port = authority.port_u16().unwrap_or(if secure { 443 } else { 80 });
        Self { secure, host: authority.host().to_ascii_lowercase(), port }
    }
}

impl FromStr for Origin {
    type Err = ParseOriginError;

    fn from_str(text: &str) -> Result<Self, ParseOriginError> {
        let parse = || {
            let (scheme, rest) = text.split_once("://")?;
            let secure = match scheme.to_ascii_lowercase().as_str() {
                "http" => false,
                "https" => true,
                _ => return None,
            };
            Some(Self::new(secure, &authority(rest.as_bytes())?))
        };
        parse().ok_or_else(|| ParseOriginError(text.to_owned()))
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { secure, host, port } = self;
        match (secure, port) {
            (true, 443) => write!(f, "https://{host}"),
            (false, 80) => write!(f, "http://{host}"),
            (true, port) => write!(f, "https://{host}:{port}"),
            (false, port) => write!(f, "http://{host}:{port}"),
        }
    }
}

/// `host[:port]` and nothing else: no user, no path, no broken port.
fn authority(text: &[u8]) -> Option<Authority> {
    let authority = Authority::try_from(text).ok()?;
    let port = authority.as_str().strip_prefix(authority.host())?;
    let whole = port.is_empty() || authority.port_u16().is_some();
    (whole && !authority.host().is_empty()).then_some(authority)
}

/// What a request may say of itself.
#[derive(Debug)]
pub(super) struct Guard {
    hosts: HashSet<String>,
    origins: HashSet<Origin>,
}

impl Guard {
    pub(super) fn new(origins: &[Origin]) -> Self {
        let named = origins.iter().map(|origin| origin.host.clone());
        Self { hosts: named.chain(["localhost".to_owned()]).collect(), origins: origins.iter().cloned().collect() }
    }

    /// The allowed foreign origin that asks, if it is one.
    fn check(&self, local: IpAddr, uri: &Uri, headers: &HeaderMap) -> Result<Option<Origin>, Problem> {
        if uri.path_and_query().is_some_and(|path| path.as_str().len() > MAX_URI) {
            return Err(Kind::UriTooLong.because(format!("Keep path and query under {MAX_URI} bytes; ask in several requests.")));
        }
        let host = self.host(local, uri, headers)?;
        let length = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
        if length.is_some_and(|length| length > MAX_BODY) {
            return Err(Kind::BodyTooLarge.because("No request here takes a body; put the parameters into the query."));
        }
        self.origin(&host, headers)
    }

    fn host(&self, local: IpAddr, uri: &Uri, headers: &HeaderMap) -> Result<Authority, Problem> {
        let refused = |shown: &str| {
            let detail = format!(
                "The request names the host {shown:?}. Use localhost or the address that pgvigil listens on, or start it with \
                 --allow-origin http://NAME[:PORT] for the name that people type."
            );
            Kind::HostRefused.because(detail)
        };
        let mut values = headers.get_all(header::HOST).iter();
        let (Some(value), None) = (values.next(), values.next()) else { return Err(refused("")) };
        let shown = String::from_utf8_lossy(value.as_bytes());
        let host = authority(value.as_bytes()).filter(|host| self.is_ours(host.host(), local)).ok_or_else(|| refused(&shown))?;
        // `GET http://elsewhere/ HTTP/1.1`: the target must be ours as well.
        match uri.authority() {
            Some(target) if !self.is_ours(target.host(), local) => Err(refused(target.as_str())),
            _ => Ok(host),
        }
    }

    /// An address cannot be rebound, so any loopback address and the one that was connected to are ours; a name must be known.
    fn is_ours(&self, host: &str, local: IpAddr) -> bool {
        let host = host.to_ascii_lowercase();
        let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        self.hosts.contains(&host) || address.is_ok_and(|ip| ip.is_loopback() || ip.to_canonical() == local.to_canonical())
    }

    fn origin(&self, host: &Authority, headers: &HeaderMap) -> Result<Option<Origin>, Problem> {
        let mut values = headers.get_all(header::ORIGIN).iter();
        let Some(value) = values.next() else { return Ok(None) };
        let origin = value.to_str().ok().filter(|_| values.next().is_none()).and_then(|text| text.parse::<Origin>().ok());
        match origin {
            Some(origin) if origin == Origin::new(false, host) => Ok(None),
            Some(origin) if self.origins.contains(&origin) => Ok(Some(origin)),
            _ => {
                let shown = String::from_utf8_lossy(value.as_bytes());
                let detail =
                    format!("A page of {shown:?} asks. If that page is yours, start pgvigil with --allow-origin {shown}.");
                Err(Kind::OriginRefused.because(detail))
            }
        }
    }
}

/// Refuses what may not ask, and tells the browser what a page of ours may do.
pub(super) async fn guard(State(guard): State<Arc<Guard>>, request: Request, next: Next) -> Response {
    let local = request.extensions().get::<Peer>().map(|peer| peer.local);
    let unknown = SocketAddr::from(([127, 0, 0, 1], 0));
    let (mut response, origin) = match guard.check(local.unwrap_or(unknown).ip(), request.uri(), request.headers()) {
        Ok(origin) => (next.run(request).await, origin),
        Err(problem) => (problem.into_response(), None),
    };
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(CONTENT_SECURITY_POLICY));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert("cross-origin-resource-policy", HeaderValue::from_static("same-origin"));
    headers.insert("cross-origin-opener-policy", HeaderValue::from_static("same-origin"));
    headers.insert(header::VARY, HeaderValue::from_static("Origin"));
    if let Some(value) = origin.and_then(|origin| HeaderValue::try_from(origin.to_string()).ok()) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, value);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LOCAL: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 7));

    fn ask(host: Option<&str>, origin: Option<&str>) -> Result<Option<Origin>, Kind> {
        let guard = Guard::new(&["https://watch.example.org".parse().unwrap()]);
        let mut headers = HeaderMap::new();
        headers.extend(host.map(|text| (header::HOST, text.parse::<HeaderValue>().unwrap())));
        headers.extend(origin.map(|text| (header::ORIGIN, text.parse::<HeaderValue>().unwrap())));
        guard.check(LOCAL, &Uri::from_static("/"), &headers).map_err(|problem| problem.kind)
    }

    #[test]
    fn hosts_are_ours_by_address_or_by_name() {
        let ours = [
            "localhost",
            "LOCALHOST:7777",
            "127.0.0.1:7777",
            "[::1]:7777",
            "10.0.0.7",
            "watch.example.org",
            "watch.example.org:8080",
        ];
        for host in ours {
            assert_eq!(ask(Some(host), None), Ok(None), "{host}");
        }
        let foreign = [
            "evil.example",
            "localhost.evil.example",
            "10.0.0.8",
            "user@localhost",
            "localhost:",
            "localhost:x",
            "",
            "127.0.0.1.nip.example",
        ];
        for host in foreign {
            assert_eq!(ask(Some(host), None), Err(Kind::HostRefused), "{host}");
        }
        assert_eq!(ask(None, None), Err(Kind::HostRefused));
    }

    #[test]
    fn origins_are_the_same_or_allowed() {
        assert_eq!(ask(Some("localhost:7777"), Some("http://localhost:7777")), Ok(None));
        assert_eq!(ask(Some("localhost"), Some("http://localhost:80")), Ok(None));
        let allowed = "https://watch.example.org".parse().unwrap();
        assert_eq!(ask(Some("localhost:7777"), Some("https://watch.example.org")), Ok(Some(allowed)));
        let foreign = [
            "http://localhost",
            "https://localhost:7777",
            "http://127.0.0.1:7777",
            "http://watch.example.org",
            "https://watch.example.org:444",
            "https://evil.example",
            "null",
            "file://",
            "",
        ];
        for origin in foreign {
            assert_eq!(ask(Some("localhost:7777"), Some(origin)), Err(Kind::OriginRefused), "{origin}");
        }
    }

    #[test]
    fn two_hosts_or_two_origins_are_refused() {
        let guard = Guard::new(&[]);
        let mut headers = HeaderMap::new();
        headers.append(header::HOST, HeaderValue::from_static("localhost"));
        headers.append(header::ORIGIN, HeaderValue::from_static("http://localhost"));
        let check = |headers: &HeaderMap| guard.check(LOCAL, &Uri::from_static("/"), headers).map_err(|problem| problem.kind);
        assert_eq!(check(&headers), Ok(None));
        headers.append(header::ORIGIN, HeaderValue::from_static("http://localhost"));
        assert_eq!(check(&headers), Err(Kind::OriginRefused));
        headers.append(header::HOST, HeaderValue::from_static("localhost"));
        assert_eq!(check(&headers), Err(Kind::HostRefused));
    }

    #[test]
    fn an_absolute_target_must_be_ours_too() {
        let guard = Guard::new(&[]);
        let headers = HeaderMap::from_iter([(header::HOST, HeaderValue::from_static("localhost"))]);
        let check = |uri| guard.check(LOCAL, &Uri::from_static(uri), &headers).map_err(|problem| problem.kind);
        assert_eq!(check("http://localhost/"), Ok(None));
        assert_eq!(check("http://evil.example/"), Err(Kind::HostRefused));
    }

    proptest! {
        #[test]
        fn origins_print_and_parse(secure: bool, host in "[a-z]{1,8}(\\.[a-z]{1,4})?", port in 1u16..) {
            let origin = Origin { secure, host, port };
            prop_assert_eq!(origin.to_string().parse(), Ok(origin));
        }

        #[test]
        fn any_text_is_an_origin_or_refused(text: String) {
            let _ = text.parse::<Origin>();
        }
    }
}
