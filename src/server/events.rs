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
use crate::event::time::rfc3339;
use crate::event::{Gap, GapReason};
use crate::history::{self, Beginning, Bound, History, Query, Read, Reader, TransactionLookup};
use crate::lsn::TransactionId;

/// Events on a page, if nothing is said.
const PAGE: usize = 100;

/// What to do about a history that is too short.
const REACH_BACK: &str = "To reach further back, give pgvigil more memory with --history-memory, or a folder with --data-dir, and room and time there with --keep and --keep-for.";

/// What a page of events says besides these.
#[derive(Serialize)]
struct Rest {
    next: Option<String>,
    begins: Option<Begins>,
    unread: Option<String>,
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
        let query = query(limit.unwrap_or(usize::MAX));
        let asked = query.clone();
        let missing = look(&app, move |history| missing(history, &asked)).await??;
        let lines = Lines::begin(&app, query, missing);
        let body = Body::from_stream(stream::unfold(lines, Lines::next));
        return Ok(([(header::CONTENT_TYPE, "application/x-ndjson"), (header::CACHE_CONTROL, "no-store")], body).into_response());
    }
    let query = query(limit.unwrap_or(PAGE).min(app.limits.page_events));
    let (page, begins) = look(&app, move |history| {
        let begins = missing(history, &query)?;
        Ok((history.query(&query), begins))
    })
    .await??;
    let next = page.next.map(|id| id.to_string());
    // Only who has come to the end of what is kept has to know that it is one.
    let begins = begins.filter(|_| next.is_none()).map(Begins::from);
    // What a table that is gone has left behind is told all the same.
    let no_such_table = tables::missing(&filter, &app.sources.counts.borrow());
    let rest = Rest { next, begins, unread: page.unread.map(|error| error.to_string()), no_such_table };
    let rest = serde_json::to_string(&rest).unwrap_or_default().replacen('{', ",", 1);
    Ok(list("{", page.events, rest))
}

/// Where what is kept begins, for who asked for what was before.
#[derive(Serialize)]
struct Begins {
    /// The first event.
    id: Option<String>,
    time: Option<String>,
    /// What came before was recorded, and is no longer kept.
    cut: bool,
}

impl From<Beginning> for Begins {
    fn from(Beginning { id, time, lost }: Beginning) -> Self {
        Begins { id: id.map(|id| id.to_string()), time: time.map(rfc3339), cut: lost.is_some() }
    }
}

/// Where what is kept begins, if more than that is asked for; an error if it begins behind all that is asked for.
fn missing(history: &History, query: &Query) -> Result<Option<Beginning>, Problem> {
    let beginning = history.beginning();
    // Where nothing is kept, it begins behind what no longer is.
    let first = beginning.id.as_ref().or(beginning.lost.as_ref());
    let begins_behind = |bound: Bound| match bound {
        Bound::Time(time) => beginning.time.is_some_and(|begins| begins >= time),
        // Where pgvigil began to watch, only what was cut is known to have been before the first event.
        Bound::Lsn(lsn) => beginning.lost.is_some() && first.is_some_and(|first| first.place.commit_lsn >= lsn),
    };
    let ends_before = query.before.as_ref().zip(first).is_some_and(|(before, first)| before <= first);
    if query.until.is_some_and(begins_behind) || beginning.lost.is_some() && ends_before {
        let begins = beginning.time.map_or_else(String::new, |time| format!(" It begins {}.", rfc3339(time)));
        let detail = format!("What happened then is not in the history.{begins} {REACH_BACK}");
        return Err(Kind::NoLongerKept.because(detail));
    }
    let is_more = query.since.is_none_or(begins_behind);
    Ok(is_more.then_some(beginning))
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
            Err(Kind::NoLongerKept.because(REACH_BACK))
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
    /// To be said first: what was before is no longer kept.
    gap: Option<Gap>,
}

impl Lines {
    fn begin(app: &App, query: Query, missing: Option<Beginning>) -> Self {
        let history = &app.sources.history;
        let (reader, end) = (history.read_for(query.clone()), history.position());
        let gap = missing.and_then(|missing| missing.lost).map(|to| Gap { from: None, to, reason: GapReason::Evicted });
        let (filter, most) = (Arc::clone(&query.filter), app.limits.batch_bytes);
        Self { reader, end, left: query.limit, filter, query, most, gap }
    }

    async fn next(mut self) -> Option<(Result<Bytes, Infallible>, Self)> {
        if let Some(gap) = self.gap.take() {
            return Some((Ok([&gap.json()[..], b"\n"].concat().into()), self));
        }
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
