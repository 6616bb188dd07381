//! `pgvigil undo`: the SQL that brings back what was changed, made by a running `pgvigil serve`; printed, or run here.
//!
//! ```text
//!  ask serve ─▶ print                                                       exit 0; 7 if not all can be brought back
//!      └ --apply ─▶ same database? ─▶ dry run, rolled back ─▶ shown ─▶ yes ─▶ run ─▶ as the dry run? ─▶ COMMIT
//! ```
//!
//! What is printed for a program goes to standard output, what is said about it to standard error.

mod apply;
mod ask;

use std::io::Write;
use std::time::{Duration, SystemTime};

use clap::builder::NonEmptyStringValueParser;
use clap::{ArgGroup, Args};

use super::Failure;
use super::connection::ConnectionArgs;
use super::tail::Server;
use crate::event::time::rfc3339_unix;
use crate::lsn::Lsn;
use crate::undo::Coverage;
use ask::Answer;

/// The exit code when not all can be brought back, or was.
const PARTLY: u8 = 7;

/// What `undo` is told.
#[derive(Args, Clone, Debug)]
#[command(group(ArgGroup::new("what").args(["tx", "since"]).required(true)))]
pub struct UndoArgs {
    /// The running pgvigil
    #[arg(long, env = "PGVIGIL_URL", default_value = "http://127.0.0.1:7777", value_name = "URL")]
    pub url: Server,

    /// The transaction, by its id such as k3-0-1A2B3C8 or that of one of its events, such as k3.0-1A2B3C8.4
    #[arg(long, value_name = "ID", conflicts_with = "until", value_parser = NonEmptyStringValueParser::new())]
    pub tx: Option<String>,

    /// Everything from here on: a time such as 2026-11-22T14:02:11Z, how long ago such as 10m, or a position such as 0/1A2B3F0
    #[arg(long, value_name = "BOUND", value_parser = bound, allow_hyphen_values = true)]
    pub since: Option<String>,

    /// Up to here, exclusive; till now if nothing is said
    #[arg(long, value_name = "BOUND", value_parser = bound, allow_hyphen_values = true)]
    pub until: Option<String>,

    /// Only these tables: schema.name, or name for schema public; "quoted" where a name has a dot or a comma. Repeatable
    #[arg(long, value_name = "TABLES")]
    pub table: Vec<String>,

    /// Only rows that had this value: column=value, such as id=7. Repeatable; all must hold
    #[arg(long, value_name = "COLUMN=VALUE")]
    pub key: Vec<String>,

    /// Bring rows back also where not all of their columns are known
    #[arg(long)]
    pub partial: bool,

    /// Print the SQL, what it covers and what went by cascades as JSON
    #[arg(long, conflicts_with = "apply")]
    pub json: bool,

    /// Run it, as a role that may change these tables, after a dry run has shown what it does and you have agreed
    #[arg(long)]
    pub apply: bool,

    /// Do not ask
    #[arg(long, requires = "apply")]
    pub yes: bool,

    #[command(flatten)]
    connection: ConnectionArgs,
}

/// Asks, prints, and runs it if told to.
pub async fn run(args: UndoArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let answer = Answer::get(&args.url, &args.query()).await.map_err(Failure::other)?;
    let unwritable = |error| Failure::other(format_args!("standard output cannot be written: {error}"));
    if args.apply {
        let database = answer.database(&args.url).await.map_err(Failure::other)?;
        let target = args.connection.target()?;
        return apply::apply(&answer, &database, target, args.yes, out).await;
    }
    let text = if args.json { &answer.json } else { &answer.undone.sql };
    writeln!(out, "{}", text.trim_end()).map_err(unwritable)?;
    let coverage = &answer.undone.coverage;
    let told = |verdict| Failure::with_code(PARTLY, format_args!("{verdict}.\n{}", coverage.to_string().trim_end()));
    missing(coverage).map_or(Ok(()), |verdict| Err(told(verdict)))
}

/// That something is missing, or may be; what it is the coverage says.
fn missing(coverage: &Coverage) -> Option<&'static str> {
    let is_known = coverage.lost == Some(0) && coverage.tables.iter().all(|table| table.missing.is_empty());
    let verdict = match is_known {
        true => "whether this is all, and can all be brought back, is not certain",
        false => "not all of it can be brought back",
    };
    (!coverage.complete).then_some(verdict)
}

/// A time, how long ago, or a position; the server reads it.
fn bound(text: &str) -> Result<String, String> {
    if ago(text).is_some_and(|ago| ago > since_1970()) {
        return Err("that is before 1970, and no history reaches back to it".to_owned());
    }
    let known = ago(text).is_some() || text.parse::<Lsn>().is_ok() || text.parse::<jiff::Timestamp>().is_ok();
    let expected = "give a time such as 2026-11-22T14:02:11Z, how long ago such as 10m, or a position such as 0/1A2B3F0";
    if known { Ok(text.to_owned()) } else { Err(expected.to_owned()) }
}

/// `10m`, and what that means to many, `-10m`.
fn ago(text: &str) -> Option<Duration> {
    humantime::parse_duration(text.strip_prefix('-').unwrap_or(text)).ok()
}

fn since_1970() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}

impl UndoArgs {
    fn query(&self) -> String {
        let now = since_1970();
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(self.tx.iter().map(|tx| ("tx", tx)));
        for (name, bound) in [("since", &self.since), ("until", &self.until)] {
            query.extend_pairs(bound.iter().map(|bound| match ago(bound) {
                Some(ago) => (name, rfc3339_unix(i64::try_from(now.saturating_sub(ago).as_micros()).unwrap_or(i64::MAX))),
                None => (name, bound.clone()),
            }));
        }
        query.extend_pairs(self.table.iter().map(|table| ("table", table)));
        query.extend_pairs(self.key.iter().map(|key| ("key", key)));
        if self.partial {
            query.append_pair("partial", "true");
        }
        query.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Command {
        #[command(flatten)]
        undo: UndoArgs,
    }

    fn parse(arguments: &[&str]) -> Result<UndoArgs, clap::Error> {
        Command::try_parse_from([&["undo"], arguments].concat()).map(|command| command.undo)
    }

    #[test]
    fn the_query_says_what_the_flags_say() {
        let args = parse(&["--tx", "k3-0-1", "--table", "public.User", "--key", "name=a&b", "--partial"]).unwrap();
        assert_eq!(args.query(), "tx=k3-0-1&table=public.User&key=name%3Da%26b&partial=true");
        let args = parse(&["--since", "0/1A2B3F0", "--until", "2026-11-22T14:02:11Z"]).unwrap();
        assert_eq!(args.query(), "since=0%2F1A2B3F0&until=2026-11-22T14%3A02%3A11Z");
        let ago = parse(&["--since", "10m"]).unwrap().query();
        assert!(ago.starts_with("since=20") && ago.ends_with('Z'), "{ago}");
        let until = |bound: &str| parse(&["--since", "0/1", "--until", bound]).unwrap().query();
        assert_eq!(until("-5m").get(..30), until("5m").get(..30));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for arguments in [
            &[][..],
            &["--until", "0/1"],
            &["--tx", "a", "--since", "0/1"],
            &["--tx", "a", "--yes"],
            &["--tx", ""],
            &["--since", "noon"],
            &["--since", "99y"],
            &["--since", "0/1", "--until", "-99y"],
            &["--since", "--apply"],
        ] {
            assert!(parse(arguments).is_err(), "{arguments:?}");
        }
        let said = parse(&[]).unwrap_err().to_string();
        assert!(said.contains("--tx") && said.contains("--since"), "{said}");
    }
}
