//! `GET /api/v1/events` and `GET /api/v1/transactions/{tx}`: what the history keeps, sent from where it is kept.

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;
use serde::Serialize;

use super::parameters::{self, Events};
use super::problem::{Kind, Problem};
use super::{App, tables};
use crate::event::filter::Filter;
use crate::history::{self, Query, Read, Reader, Start, TransactionLookup};
use crate::lsn::TransactionId;

/// Events on a page, if nothing is said.
const PAGE: usize = 100;

/// What a page of events says besides these.
#[derive(Serialize)]
struct Rest {
    next: Option<String>,
    /// Tables that were asked for and are not there now: misspelt, or gone since.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    no_such_table: Vec<String>,
}

/// `GET /api/v1/events`
pub(super) async fn events(State(app): State<Arc<App>>, request: Request) -> Result<Response, Problem> {
    let Events { filter, since, until, xid, before, limit } = parameters::events(request.uri())?;
    let filter = app.sources.history.intern(filter);
    let query = |limit| Query { since, until, xid, before, ..Query::new(Arc::clone(&filter), limit) };
    if wants_lines(request.headers()) {
        let lines = Lines::begin(&app, query(limit.unwrap_or(usize::MAX)));
        let body = Body::from_stream(stream::unfold(lines, Lines::next));
        return Ok(([(header::CONTENT_TYPE, "application/x-ndjson"), (header::CACHE_CONTROL, "no-store")], body).into_response());
    }
    let query = query(limit.unwrap_or(PAGE).min(app.limits.page_events));
    let page = look(&app, move |history| history.query(&query)).await?;
    // What a table that is gone has left behind is told all the same.
    let no_such_table = tables::missing(&filter, &app.sources.counts.borrow());
    let rest = Rest { next: page.next.map(|id| id.to_string()), no_such_table };
    let rest = serde_json::to_string(&rest).unwrap_or_default().replacen('{', ",", 1);
    Ok(list("{", page.events, rest))
}

/// `GET /api/v1/transactions/{tx}`
pub(super) async fn transaction(State(app): State<Arc<App>>, Path(tx): Path<String>) -> Result<Response, Problem> {
    let id: TransactionId = tx.parse().map_err(|error| Kind::InvalidParameter.because(format!("{error}.")))?;
    let head = |rest: &str| format!(r#"{{"id":"{id}",{rest}"#);
    let asked = id.clone();
    match look(&app, move |history| history.transaction(&asked)).await? {
        TransactionLookup::Whole(events) => Ok(list(&head(r#""complete":true,"first_ordinal":1,"#), events, "}".to_owned())),
        TransactionLookup::PartlyKept { events, first_ordinal } => {
            let head = head(&format!(r#""complete":false,"first_ordinal":{first_ordinal},"#));
            Ok(list(&head, events, "}".to_owned()))
        }
        TransactionLookup::Arriving => Err(Kind::NotYetThere.because("Ask again in a moment.")),
        TransactionLookup::NoLongerKept => {
            Err(Kind::NoLongerKept.because("To reach further back, give pgvigil more memory with --history-memory, or a folder with --data-dir."))
        }
        TransactionLookup::Unknown => {
            Err(Kind::NotFound.because("There is no such transaction in the history: it changed no watched table, or is of an earlier run of pgvigil whose history was not recorded."))
        }
    }
}

/// Looks through the history on a thread that may take its time; a few at once.
pub(super) async fn look<T: Send + 'static>(
    app: &App,
    ask: impl FnOnce(&history::History) -> T + Send + 'static,
) -> Result<T, Problem> {
    let _turn = app.searching.acquire().await;
    let history = app.sources.history.clone();
    let answer = tokio::task::spawn_blocking(move || ask(&history)).await;
    answer.map_err(|_| Kind::Failed.because("The history could not be read. Ask again; if it stays so, please report it."))
}

/// `{head}"events":[…]{tail}`, the events in the memory where they are kept.
fn list(head: &str, events: Vec<Bytes>, tail: String) -> Response {
    let mut chunks = Vec::with_capacity(2 * events.len() + 2);
    let mut before = Bytes::from(format!(r#"{head}"events":["#));
    for event in events {
        chunks.extend([before, event]);
        before = Bytes::from_static(b",");
    }
    if chunks.is_empty() {
        chunks.push(before);
    }
    chunks.push(Bytes::from(format!("]{tail}")));
    let body = Body::from_stream(stream::iter(chunks.into_iter().map(Ok::<_, Infallible>)));
    ([(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")], body).into_response()
}

fn wants_lines(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    accepted.flat_map(|list| list.split(',')).any(|kind| kind.split(';').next().map(str::trim) == Some("application/x-ndjson"))
}

/// The history up to now, oldest first, an event a line. What goes while it is read is told as a gap, a line like any other.
struct Lines {
    reader: Reader,
    query: Query,
    filter: Arc<Filter>,
    /// Where the history ended when this began.
    end: u64,
    left: usize,
    most: usize,
}

impl Lines {
    fn begin(app: &App, query: Query) -> Self {
        let history = &app.sources.history;
        let (reader, end) = (history.read_from(Start::Oldest), history.position());
        Self { reader, end, left: query.limit, filter: Arc::clone(&query.filter), query, most: app.limits.batch_bytes }
    }

    async fn next(mut self) -> Option<(Result<Bytes, Infallible>, Self)> {
        loop {
            if self.left == 0 || self.reader.position() >= self.end {
                return None;
            }
            let lines = match self.reader.read_until(self.end, &self.filter, self.most) {
                Read::Events(batch) => self.lines(&batch),
                Read::Gap(gap) => [&gap.json()[..], b"\n"].concat(),
                Read::Nothing => Vec::new(),
            };
            if !lines.is_empty() {
                return Some((Ok(lines.into()), self));
            }
            if self.reader.is_ahead_of_disk() {
                self.reader.ready().await;
            } else {
                // Whoever looks through much without finding anything lets others run.
                tokio::task::yield_now().await;
            }
        }
    }

    fn lines(&mut self, batch: &history::Batch) -> Vec<u8> {
        let mut lines = Vec::with_capacity(batch.bytes() + batch.len());
        for event in batch.iter().filter(|event| self.query.asks_for(event.head())) {
            // Epochs of one process sort in the order in which they began.
            if self.left == 0 || self.query.before.as_ref().is_some_and(|before| event.id() >= *before) {
                self.left = 0;
                break;
            }
            self.left -= 1;
            lines.extend_from_slice(event.bytes());
            lines.push(b'\n');
        }
        lines
    }
}
