//! Query strings and `subscribe` messages, read once and strictly: a name that nobody reads is refused, so a misspelt filter never looks
//! like one that lets everything pass.

use axum::extract::Query;
use axum::http::{HeaderValue, Uri};
use serde_json::Value;

use super::problem::{Kind, Problem};
use super::subscription::Terms;
use crate::event::filter::{Filter, PARAMETERS};
use crate::history::{Bound, ParseBoundError, Start};
use crate::lsn::{EventId, TransactionId, Xid};
use crate::pgoutput::Timestamp;

/// Names and values, decoded, in order.
type Pairs = Vec<(String, String)>;

/// What is asked of the history. See [`history::Query`](crate::history::Query).
#[derive(Debug)]
pub(super) struct Events {
    pub(super) filter: Filter,
    pub(super) since: Option<Bound>,
    pub(super) until: Option<Bound>,
    pub(super) xid: Option<Xid>,
    pub(super) before: Option<EventId>,
    pub(super) limit: Option<usize>,
}

/// Counts over time of a table, as they are asked for.
#[derive(Debug)]
pub(super) struct Course {
    /// One point instead.
    pub(super) at: Option<Bound>,
    pub(super) since: Option<Timestamp>,
    pub(super) until: Option<Timestamp>,
    pub(super) step: Step,
}

/// How far points are apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Step {
    #[default]
    Minute,
    Hour,
}

impl Step {
    /// Minutes.
    pub(super) fn minutes(self) -> i64 {
        match self {
            Step::Minute => 1,
            Step::Hour => 60,
        }
    }

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Step::Minute => "minute",
            Step::Hour => "hour",
        }
    }
}

/// Which rows of a table are asked for.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) limit: u32,
    /// The key of the row before, column by column, as text.
    pub(super) after: Option<Vec<String>>,
}

/// Of a path that takes none.
pub(super) fn none(uri: &Uri) -> Result<(), Problem> {
    match pairs(uri)?.first() {
        Some((name, _)) => Err(invalid(name, "there are no parameters here")),
        None => Ok(()),
    }
}

/// The parameters of `/api/v1/tables`: another place in the stream than the present one.
pub(super) fn at(uri: &Uri) -> Result<Option<Bound>, Problem> {
    let pairs = pairs(uri)?;
    known(&pairs, &["at"])?;
    one(&pairs, "at", bound)
}

/// The parameters of `/api/v1/tables/{schema}/{name}/history`.
pub(super) fn course(uri: &Uri) -> Result<Course, Problem> {
    let pairs = pairs(uri)?;
    known(&pairs, &["at", "since", "until", "step"])?;
    let time = |text: &str| match bound(text)? {
        Bound::Time(time) => Ok(time),
        Bound::Lsn(_) => Err("give a time such as 2026-11-22T14:02:11Z; a position is asked for with at".to_owned()),
    };
    let step = |text: &str| match text {
        "minute" => Ok(Step::Minute),
        "hour" => Ok(Step::Hour),
        _ => Err("give minute or hour".to_owned()),
    };
    let course = Course {
        at: one(&pairs, "at", bound)?,
        since: one(&pairs, "since", time)?,
        until: one(&pairs, "until", time)?,
        step: one(&pairs, "step", step)?.unwrap_or_default(),
    };
    match pairs.iter().find(|(name, _)| name != "at") {
        Some((name, _)) if course.at.is_some() => Err(invalid(name, "at asks for one point: there is nothing else to be said")),
        _ => Ok(course),
    }
}

/// The parameters of `/api/v1/stream` and `/api/v1/ws`.
pub(super) fn stream(uri: &Uri) -> Result<Terms, Problem> {
    terms(&pairs(uri)?)
}

/// The same, going on after the event that `Last-Event-ID` names.
pub(super) fn resume(terms: Terms, last_event_id: Option<&HeaderValue>) -> Result<Terms, Problem> {
    let Some(value) = last_event_id else { return Ok(terms) };
    let from = start(value.to_str().unwrap_or_default()).map_err(|problem| invalid("Last-Event-ID", problem))?;
    Ok(Terms { from: Some(from), ..terms })
}

/// A client's `{"type":"subscribe", …}`: the same names; a value is a text, or a list of texts.
pub(super) fn subscribe(text: &str) -> Result<Terms, Problem> {
    let expected = "Send an object such as {\"type\":\"subscribe\",\"table\":[\"public.User\"],\"op\":\"delete\"}.";
    let refused = || Kind::InvalidParameter.because(expected);
    let Ok(Value::Object(mut message)) = serde_json::from_str(text) else { return Err(refused()) };
    if message.remove("type").is_none_or(|kind| kind != "subscribe") {
        return Err(refused());
    }
    let mut pairs = Pairs::new();
    for (name, value) in message {
        let values = if let Value::Array(values) = value { values } else { vec![value] };
        for value in values {
            let Value::String(value) = value else { return Err(invalid(&name, "give a text, or a list of texts")) };
            pairs.push((name.clone(), value));
        }
    }
    terms(&pairs)
}

/// The parameters of `/api/v1/events`.
pub(super) fn events(uri: &Uri) -> Result<Events, Problem> {
    let pairs = pairs(uri)?;
    let filter = filter(&pairs, &["since", "until", "xid", "before", "limit"])?;
    Ok(Events {
        filter,
        since: one(&pairs, "since", bound)?,
        until: one(&pairs, "until", bound)?,
        xid: one(&pairs, "xid", |text| text.parse().map(Xid).map_err(|_| "give a transaction id such as 771".to_owned()))?,
        before: one(&pairs, "before", event_id)?,
        limit: one(&pairs, "limit", positive)?,
    })
}

/// The parameters of `/api/v1/tables/{schema}/{name}/rows`.
pub(super) fn page(uri: &Uri, most: u32) -> Result<Page, Problem> {
    let pairs = pairs(uri)?;
    known(&pairs, &["limit", "after"])?;
    let key =
        |text: &str| serde_json::from_str(text).map_err(|_| "give the value of `next` as it stood in the page before".to_owned());
    Ok(Page { limit: one(&pairs, "limit", positive)?.unwrap_or(100).min(most), after: one(&pairs, "after", key)? })
}

/// What is asked to be undone.
#[derive(Debug)]
pub(super) struct Undo {
    /// Says which tables.
    pub(super) filter: Filter,
    pub(super) tx: Option<TransactionId>,
    pub(super) since: Option<Bound>,
    pub(super) until: Option<Bound>,
    /// Columns and their values.
    pub(super) rows: Vec<(String, String)>,
    pub(super) partial: bool,
    /// Without the SQL.
    pub(super) coverage_only: bool,
}

/// The parameters of `/api/v1/undo`, and of `/api/v1/transactions/{tx}/undo`, where `tx` is in the path.
pub(super) fn undo(uri: &Uri, tx: Option<&str>) -> Result<Undo, Problem> {
    let mut pairs = pairs(uri)?;
    let range: &[&str] = if tx.is_some() { &[] } else { &["tx", "since", "until"] };
    known(&pairs, &[&["table", "key", "partial", "coverage"], range].concat())?;
    let row = |text: &str| {
        let named = text.split_once('=').filter(|(column, _)| !column.is_empty());
        named.map(|(column, value)| (column.to_owned(), value.to_owned()))
    };
    let rows = pairs.iter().filter(|(name, _)| name == "key").map(|(_, value)| row(value)).collect::<Option<Vec<_>>>();
    let rows = rows.ok_or_else(|| invalid("key", "give a column and its value, such as id=7"))?;
    let partial = one(&pairs, "partial", |text| text.parse::<bool>().map_err(|_| "give true or false".to_owned()))?;
    let only = |text: &str| (text == "only").then_some(()).ok_or_else(|| "give only, to leave out the SQL".to_owned());
    let coverage_only = one(&pairs, "coverage", only)?.is_some();
    let asked = match tx {
        Some(tx) => Some(transaction(tx).map_err(|problem| invalid("transaction", problem))?),
        None => one(&pairs, "tx", transaction)?,
    };
    let (since, until) = (one(&pairs, "since", bound)?, one(&pairs, "until", bound)?);
    if asked.is_some() && (since.is_some() || until.is_some()) {
        return Err(invalid("tx", "a transaction has no since and no until"));
    }
    if asked.is_none() && since.is_none() {
        return Err(invalid("since", "say what is to be undone: give tx, or since and perhaps until"));
    }
    let is_inverted = match (since, until) {
        (Some(Bound::Time(since)), Some(Bound::Time(until))) => until <= since,
        (Some(Bound::Lsn(since)), Some(Bound::Lsn(until))) => until <= since,
        _ => false,
    };
    if is_inverted {
        return Err(invalid("until", "this is not behind since"));
    }
    pairs.retain(|(name, _)| name == "table");
    pairs.push(("kinds".to_owned(), "change".to_owned()));
    let filter = filter(&pairs, &[])?;
    Ok(Undo { filter, tx: asked, since, until, rows, partial: partial.unwrap_or_default(), coverage_only })
}

/// A transaction's id, or that of one of its events.
fn transaction(text: &str) -> Result<TransactionId, String> {
    let text = short(text)?;
    match text.parse::<EventId>() {
        Ok(EventId { epoch, place }) => Ok(TransactionId { epoch, commit_lsn: place.commit_lsn }),
        Err(_) => text.parse().map_err(|error: crate::lsn::ParseIdError| error.to_string()),
    }
}

fn terms(pairs: &Pairs) -> Result<Terms, Problem> {
    Ok(Terms { filter: filter(pairs, &["from"])?, from: one(pairs, "from", start)? })
}

fn pairs(uri: &Uri) -> Result<Pairs, Problem> {
    let Query(pairs) =
        Query::try_from_uri(uri).map_err(|_| Kind::InvalidParameter.because("The query is not UTF-8, percent-encoded."))?;
    Ok(pairs)
}

/// The filter, when beside its parameters there are none but `others`.
fn filter(pairs: &Pairs, others: &[&str]) -> Result<Filter, Problem> {
    known(pairs, &[&PARAMETERS, others].concat())?;
    let pairs = pairs.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    Filter::parse(pairs).map_err(|error| Kind::InvalidParameter.because(format!("{error}.")))
}

fn known(pairs: &Pairs, names: &[&str]) -> Result<(), Problem> {
    match pairs.iter().find(|(name, _)| !names.contains(&name.as_str())) {
        Some((name, _)) => Err(invalid(name, format!("there is no such parameter; accepted: {}", names.join(", ")))),
        None => Ok(()),
    }
}

/// The value of a parameter that may be given once.
fn one<T>(pairs: &Pairs, name: &str, parse: impl Fn(&str) -> Result<T, String>) -> Result<Option<T>, Problem> {
    let mut values = pairs.iter().filter(|(given, _)| given == name);
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some((_, value)), None) => parse(value).map(Some).map_err(|problem| invalid(name, &problem)),
        (Some(_), Some(_)) => Err(invalid(name, "give it once")),
    }
}

fn invalid(name: &str, problem: impl AsRef<str>) -> Problem {
    let shown: String = name.chars().take(40).collect();
    Kind::InvalidParameter.because(format!("{shown}: {}.", problem.as_ref()))
}

fn start(text: &str) -> Result<Start, String> {
    match text {
        "live" => Ok(Start::Live),
        "oldest" => Ok(Start::Oldest),
        id => event_id(id).map(Start::After).map_err(|problem| format!("give live, oldest, or an event id: {problem}")),
    }
}

fn event_id(text: &str) -> Result<EventId, String> {
    short(text)?.parse().map_err(|error: crate::lsn::ParseIdError| error.to_string())
}

/// A position, or a time.
fn bound(text: &str) -> Result<Bound, String> {
    short(text)?.parse().map_err(|error: ParseBoundError| error.to_string())
}

fn positive<T: std::str::FromStr + PartialOrd + From<u8>>(text: &str) -> Result<T, String> {
    text.parse().ok().filter(|number| *number >= T::from(1)).ok_or_else(|| "give a number from 1".to_owned())
}

/// Nothing that is read here is long: what is, need not be repeated in an answer.
fn short(text: &str) -> Result<&str, String> {
    if text.len() <= 64 { Ok(text) } else { Err("this is too long".to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lsn::Lsn;
    use proptest::prelude::*;

    fn uri(query: &str) -> Uri {
        format!("/x?{query}").parse().unwrap()
    }

    #[test]
    fn a_stream_begins_where_it_is_told() {
        let from = |query| stream(&uri(query)).map(|terms| terms.from);
        assert_eq!(from(""), Ok(None));
        assert_eq!(from("from=live"), Ok(Some(Start::Live)));
        assert_eq!(from("from=oldest"), Ok(Some(Start::Oldest)));
        assert_eq!(from("from=k3.0-1A2B3C8.4"), Ok(Some(Start::After("k3.0-1A2B3C8.4".parse().unwrap()))));
        for query in ["from=", "from=yesterday", "from=live&from=live", "form=live", "%ff=1", "table=", "limit=5"] {
            assert!(from(query).is_err(), "{query}");
        }
    }

    #[test]
    fn a_problem_names_the_parameter_and_what_is_accepted() {
        let problem = stream(&uri("tabel=public.User")).unwrap_err();
        assert_eq!(
            problem.detail,
            "tabel: there is no such parameter; accepted: table, op, kinds, where, actor, key, text, from."
        );
    }

    #[test]
    fn bounds_are_times_or_positions() {
        let since = |query| events(&uri(query)).map(|events| events.since);
        assert_eq!(since("since=0/1A2B3F0"), Ok(Some(Bound::Lsn(Lsn(0x1A2_B3F0)))));
        assert_eq!(since("since=2000-01-01T00:00:01Z"), Ok(Some(Bound::Time(Timestamp(1_000_000)))));
        assert_eq!(since("since=1999-12-31T23:59:59Z"), Ok(Some(Bound::Time(Timestamp(-1_000_000)))));
        assert!(since("since=noon").is_err());
    }

    #[test]
    fn what_is_undone_is_one_transaction_or_a_range() {
        let undo = |query: &str| super::undo(&uri(query), None);
        let by_event = undo("tx=k3.0-1A2B3C8.4&table=public.User&key=id=7&key=name=a%3Db").unwrap();
        assert_eq!(by_event.tx.unwrap().to_string(), "k3-0-1A2B3C8");
        assert_eq!(by_event.rows, [("id".to_owned(), "7".to_owned()), ("name".to_owned(), "a=b".to_owned())]);
        assert!(by_event.filter.passes_table("public", "User") && !by_event.filter.passes_table("public", "Game"));
        assert!(undo("since=0/1").is_ok() && undo("since=2026-11-22T14:02:11Z&until=0/2&partial=true").unwrap().partial);
        for query in [
            "",
            "until=0/2",
            "tx=k3",
            "since=0/1&coverage=no",
            "tx=k3-0-1&since=0/1",
            "since=0/1&key=7",
            "since=0/1&partial=yes",
            "since=0/1&op=delete",
            "since=0/2&until=0/1",
            "since=0/2&until=0/2",
            "since=2026-11-22T14:02:11Z&until=2026-11-22T14:02:10Z",
        ] {
            assert!(undo(query).is_err(), "{query}");
        }
        assert!(super::undo(&uri("table=User"), Some("k3-0-1A2B3C8")).is_ok());
        assert!(super::undo(&uri("since=0/1"), Some("k3-0-1A2B3C8")).is_err());
    }

    #[test]
    fn limits_are_capped_and_never_zero() {
        let limit = |query| page(&uri(query), 500).map(|page| page.limit);
        assert_eq!((limit(""), limit("limit=7"), limit("limit=501")), (Ok(100), Ok(7), Ok(500)));
        for query in ["limit=0", "limit=-1", "limit=x", "limit=1&limit=2", "offset=3"] {
            assert!(limit(query).is_err(), "{query}");
        }
    }

    #[test]
    fn a_subscription_takes_texts_and_lists_of_texts() {
        let ok = |text| subscribe(text).is_ok();
        assert!(ok(r#"{"type":"subscribe"}"#));
        assert!(ok(r#"{"type":"subscribe","table":["public.User","public.Game"],"op":"delete","from":"oldest"}"#));
        for text in
            ["", "[]", "{}", r#"{"type":"hello"}"#, r#"{"type":"subscribe","op":7}"#, r#"{"type":"subscribe","op":[["delete"]]}"#]
        {
            assert!(!ok(text), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_query_is_read_or_refused(query in "[ -~]{0,80}") {
            if let Ok(uri) = format!("/x?{query}").parse::<Uri>() {
                let _ = (stream(&uri), events(&uri), page(&uri, 500));
            }
        }

        #[test]
        fn any_parameter_is_read_or_refused(name in "table|op|where|kinds|from|since|until|xid|before|limit|after", value: String) {
            let pairs = vec![(name, value)];
            let _ = (terms(&pairs), one(&pairs, "since", bound), one(&pairs, "before", event_id), one::<u32>(&pairs, "limit", positive));
        }

        #[test]
        fn any_message_is_read_or_refused(text: String) {
            let _ = subscribe(&text);
        }
    }
}
