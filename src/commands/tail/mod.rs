//! `pgvigil tail`: follows the stream of a running `pgvigil serve` in the terminal.
//!
//! ```text
//!              connected                      lost, or the server ends
//!  connecting ───────────▶ following ◀──────────────────────────────▶ waiting a little
//!      │ refused, or nobody there             connected again, after the last event that was printed
//!      ▼
//!     ends
//! ```
//!
//! What is printed goes to standard output; what is said *about* it (a lost connection, a gap that the format has no word for) goes to
//! standard error. After a break it goes on behind the last event it was given; what the server no longer has, it says as a gap.

mod link;
mod printer;

use std::fmt::Display;
use std::io::{IsTerminal, Write};
use std::time::Duration;

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::event::format::{Format, Formatter, Output};
use link::{Link, Lost};
use printer::Printer;

pub use link::{LinkError, ParseServerError, Server};

/// The first pause before it connects again; each one that follows is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// The longest.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// How long what was received may take to be printed when it is told to end.
const FAREWELL: Duration = Duration::from_millis(300);

/// What `tail` is told.
#[derive(Args, Clone, Debug)]
pub struct TailArgs {
    /// The running pgvigil
    #[arg(long, env = "PGVIGIL_URL", default_value = "http://127.0.0.1:7777", value_name = "URL")]
    pub url: Server,

    /// Only these tables: schema.name, or name for schema public; "quoted" where a name has a dot or a comma. Repeatable
    #[arg(long, env = "PGVIGIL_TABLE", value_name = "TABLES")]
    pub table: Vec<String>,

    /// Only these operations: insert, update, delete, truncate. Repeatable
    #[arg(long, env = "PGVIGIL_OP", value_name = "OPERATIONS")]
    pub op: Vec<String>,

    /// Only rows like this: column.operator.value, such as status.eq.paid; eq neq lt lte gt gte in like ilike is, and not. before any.
    /// Repeatable; all must hold
    #[arg(long = "where", env = "PGVIGIL_WHERE", value_name = "CONDITION")]
    pub conditions: Vec<String>,

    /// Only what these did: a role, an application, an address. Repeatable
    #[arg(long, env = "PGVIGIL_ACTOR", value_name = "NAMES")]
    pub actor: Vec<String>,

    /// Only the row with this in its key: column=value, such as id=7. Repeatable; all must hold
    #[arg(long, env = "PGVIGIL_KEY", value_name = "COLUMN=VALUE")]
    pub key: Vec<String>,

    /// Only what has this text in one of its values, letter case aside: a row, a statement, a message. Repeatable; all must be found
    #[arg(long, env = "PGVIGIL_TEXT", value_name = "TEXT")]
    pub text: Vec<String>,

    /// Only these kinds: change, commit, counts, status, alert, ddl, message, running. If nothing is said, change, commit and, unless
    /// --op or --where is given, ddl. Repeatable
    #[arg(long, env = "PGVIGIL_KINDS", value_name = "KINDS")]
    pub kinds: Vec<String>,

    /// Where to begin: live, oldest, or behind the event with this id
    #[arg(long, env = "PGVIGIL_FROM", default_value = "live", value_name = "PLACE")]
    pub from: String,

    /// How to print; pretty to a terminal and json elsewhere, if nothing is said
    #[arg(long, env = "PGVIGIL_FORMAT", value_parser = format(), value_name = "FORMAT")]
    pub format: Option<Format>,
}

fn format() -> impl TypedValueParser<Value = Format> {
    PossibleValuesParser::new(Format::ALL.map(Format::as_str)).try_map(|name| name.parse::<Format>())
}

/// Why `tail` ends of itself.
#[derive(Debug, thiserror::Error)]
pub enum TailError {
    /// It never came to the first event.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// What it was sent is no event.
    #[error("{server} sent something that is not of the promised shape: {source}. Are pgvigil here and there of one version?")]
    Shape {
        /// Who sent it.
        server: Server,
        /// Where it is wrong. It names a position and a field, no value.
        source: serde_json::Error,
    },
    /// Standard output cannot be written to, and it was not merely closed.
    #[error("standard output cannot be written: {0}")]
    Output(#[source] std::io::Error),
}

/// Prints what comes until cancelled, or until nobody reads the output any more.
pub async fn run(args: TailArgs, cancel: CancellationToken) -> Result<(), TailError> {
    let terminal = std::io::stdout().is_terminal();
    let colour = terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let format = args.format.unwrap_or(if terminal { Format::Pretty } else { Format::Json });
    let printer = Printer::start(std::io::stdout());
    let mut tail = Tail { args, formatter: Formatter::new(format, colour), printer, last: None };
    tokio::select! {
        ended = tail.follow() => return ended,
        () = printer::unread(std::io::stdout()) => return Ok(()),
        () = cancel.cancelled() => {}
    }
    // What was received is printed; but somebody who does not read need not be waited for.
    match timeout(FAREWELL, tail.printer.finish()).await {
        Ok(finished) => finished,
        Err(_) => Ok(()),
    }
}

struct Tail {
    args: TailArgs,
    formatter: Formatter,
    printer: Printer,
    /// The last event that was printed, or where the stream said it begins: it goes on behind this after a break.
    last: Option<String>,
}

impl Tail {
    /// Until the output is closed.
    async fn follow(&mut self) -> Result<(), TailError> {
        let mut link = Link::open(&self.args.url, &self.query()).await?;
        loop {
            let Some(lost) = self.pass_on(&mut link).await? else { return Ok(()) };
            drop(link);
            notice(format_args!("{}: {lost}; connecting again", self.args.url));
            link = self.open_again().await?;
            notice(format_args!("{}: connected again", self.args.url));
        }
    }

    /// Prints what comes until the connection is lost, or (`None`) until the output is closed.
    async fn pass_on(&mut self, link: &mut Link) -> Result<Option<Lost>, TailError> {
        loop {
            let json = match link.next().await {
                Ok(json) => json,
                Err(lost) => return Ok(Some(lost)),
            };
            let shape = |source| TailError::Shape { server: self.args.url.clone(), source };
            match self.formatter.format(&json).map_err(shape)? {
                Output::Lines(lines) => {
                    if !self.printer.print(lines).await? {
                        return Ok(None);
                    }
                }
                Output::Notice(text) => notice(text),
                Output::Nothing => {}
            }
            self.last = place(&json).or(self.last.take());
        }
    }

    /// Tries until it succeeds, or until trying makes no sense any more.
    async fn open_again(&self) -> Result<Link, LinkError> {
        let mut pause = FIRST_PAUSE;
        loop {
            // Not all at once, when the server that many followed comes back.
            sleep(pause.mul_f64(rand::random_range(0.5..1.0))).await;
            match Link::open(&self.args.url, &self.query()).await {
                Err(error) if error.is_transient() => pause = LONGEST_PAUSE.min(2 * pause),
                opened => return opened,
            }
        }
    }

    fn query(&self) -> String {
        let TailArgs { table, op, conditions, actor, key, text, kinds, from, .. } = &self.args;
        let from = self.last.as_ref().unwrap_or(from);
        let mut query = form_urlencoded::Serializer::new(String::new());
        let named = [("table", table), ("op", op), ("where", conditions), ("actor", actor), ("key", key), ("text", text)];
        for (name, values) in named.into_iter().chain([("kinds", kinds)]) {
            query.extend_pairs(values.iter().map(|value| (name, value)));
        }
        if kinds.is_empty() {
            query.append_pair("kinds", usual_kinds(op, conditions));
        }
        query.append_pair("from", from).finish()
    }
}

/// The kinds that are printed if nothing is said. Who asks for certain operations or rows has not asked for DDL.
pub(super) fn usual_kinds(op: &[String], conditions: &[String]) -> &'static str {
    if op.is_empty() && conditions.is_empty() { "change,commit,ddl" } else { "change,commit" }
}

/// Where the stream stands after this object, if it says so.
fn place(json: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Marks<'a> {
        r#type: &'a str,
        id: Option<&'a str>,
        #[serde(borrow)]
        from: Option<&'a RawValue>,
        #[serde(borrow)]
        to: Option<&'a RawValue>,
    }
    let marks: Marks<'_> = serde_json::from_str(json).ok()?;
    let id = match marks.r#type {
        "change" | "commit" | "ddl" | "message" => marks.id,
        "hello" => marks.from.and_then(|from| serde_json::from_str(from.get()).ok()),
        "gap" => marks.to.and_then(|to| serde_json::from_str(to.get()).ok()),
        _ => None,
    };
    id.map(str::to_owned)
}

/// Says something about the stream, beside it. Where nobody can hear it, that is no reason to end.
fn notice(text: impl Display) {
    drop(writeln!(std::io::stderr(), "pgvigil: {text}"));
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        tail: TailArgs,
    }

    fn tail(arguments: &[&str]) -> Tail {
        let args = Command::try_parse_from([&["tail"], arguments].concat()).unwrap().tail;
        Tail { args, formatter: Formatter::new(Format::Json, false), printer: Printer::start(std::io::sink()), last: None }
    }

    #[tokio::test]
    async fn the_query_says_what_the_flags_say_and_where_it_was() {
        let mut tail = tail(&["--table", "public.User", "--table", "\"a.b\"", "--where", "name.eq.A&B", "--kinds", "change"]);
        assert_eq!(tail.query(), "table=public.User&table=%22a.b%22&where=name.eq.A%26B&kinds=change&from=live");
        for (flags, kinds) in [
            (&[][..], "kinds=change%2Ccommit%2Cddl&"),
            (&["--op", "delete"], "kinds=change%2Ccommit&"),
            (&["--key", "id=7", "--text", "a&b", "--kinds", "ddl"], "key=id%3D7&text=a%26b&kinds=ddl&"),
            (&["--actor", "ann", "--kinds", "ddl", "--op", "delete"], "actor=ann&kinds=ddl&"),
        ] {
            let query = self::tail(flags).query();
            assert!(query.contains(kinds) && query.matches("kinds").count() == 1, "{query}");
        }
        tail.last = Some("k3.0-1.4".into());
        assert!(tail.query().ends_with("&from=k3.0-1.4"));
    }

    #[test]
    fn every_object_that_has_a_place_is_one_to_go_on_from() {
        for (json, expected) in [
            (r#"{"type":"hello","protocol":1,"from":"k3.0-1.0","oldest":null}"#, Some("k3.0-1.0")),
            (r#"{"type":"hello","protocol":1,"from":null}"#, None),
            (r#"{"type":"change","id":"k3.0-1.4","op":"insert","old":{"id":9,"from":[1]}}"#, Some("k3.0-1.4")),
            (r#"{"type":"commit","id":"k3.0-1.5","tx":{"id":"k3-0-1"}}"#, Some("k3.0-1.5")),
            (r#"{"type":"gap","from":"k3.0-1.5","to":"k4.0-9.0","reason":"restart"}"#, Some("k4.0-9.0")),
            (r#"{"type":"alert","id":"a1","from":22,"to":0}"#, None),
            (r#"{"type":"status","state":"live"}"#, None),
        ] {
            assert_eq!(place(json).as_deref(), expected, "{json}");
        }
    }
}
