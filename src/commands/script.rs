//! SQL that is shown to a person before it is run, and is the same in both cases.

use std::fmt;
use std::time::Duration;

use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, IsolationLevel, Transaction};

/// What every transaction begins with. Whoever may create functions could have made one that is taken for the server's own, so only the
/// server's own are to be found. And a lock that is not had soon is not waited for: nothing of the application is to queue up behind it.
const PREAMBLE: &str = "SET LOCAL search_path = '';\nSET LOCAL lock_timeout = '2s';";

/// How often a script is tried whose locks are not had.
const TRIES: u32 = 5;
/// Time for those who queued up behind it.
const BETWEEN_TRIES: Duration = Duration::from_secs(1);

/// Begins a transaction that only looks, and always sees the same.
pub(super) async fn look(client: &mut Client) -> Result<Transaction<'_>, tokio_postgres::Error> {
    let transaction = client.build_transaction().isolation_level(IsolationLevel::RepeatableRead).read_only(true).start().await?;
    transaction.batch_execute(PREAMBLE).await?;
    Ok(transaction)
}

/// SQL in parts, and remarks around and between them. Its text is one transaction, or remarks alone.
#[derive(Debug, Default)]
pub(super) struct Script {
    parts: Vec<Part>,
}

#[derive(Debug)]
enum Part {
    Remark(String),
    Sql(String),
}

/// A part of a script was refused; nothing of the script was done.
#[derive(Debug, thiserror::Error)]
#[error("the server refused\n\n{part}\n\n{source}{}", if self.is_in_the_way() { IN_THE_WAY } else { "" })]
pub struct ScriptError {
    part: String,
    source: ServerSays,
}

/// What a person can do about a lock that was not had.
const IN_THE_WAY: &str = "\n\nSomeone is using one of these tables for longer than is waited for, since everyone else would have to wait \
    behind. Run it again when there is less going on, or when long transactions have ended: SELECT * FROM pg_stat_activity ORDER BY xact_start";

/// A server's error, for a person.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.as_db_error().map_or_else(|| .0.to_string(), |error| error.message().to_owned()))]
struct ServerSays(#[from] tokio_postgres::Error);

impl ScriptError {
    fn at(part: &str) -> impl FnOnce(tokio_postgres::Error) -> Self {
        move |error| ScriptError { part: part.to_owned(), source: ServerSays(error) }
    }

    /// Whether it would do at a better moment: a lock was not had in time.
    fn is_in_the_way(&self) -> bool {
        self.source.0.code() == Some(&SqlState::LOCK_NOT_AVAILABLE)
    }
}

impl Part {
    fn sql(&self) -> Option<&str> {
        match self {
            Part::Sql(sql) => Some(sql),
            Part::Remark(_) => None,
        }
    }
}

impl Script {
    /// Says something to the person who reads it.
    pub(super) fn remark(&mut self, text: impl Into<String>) {
        self.parts.push(Part::Remark(text.into()));
    }

    /// Adds statements: a template with its places filled.
    pub(super) fn sql(&mut self, template: &str, values: &[(&str, &str)]) {
        self.parts.push(Part::Sql(fill(template, values)));
    }

    /// Adds all of another script.
    pub(super) fn append(&mut self, other: Script) {
        self.parts.extend(other.parts);
    }

    /// The remarks alone.
    pub(super) fn remarks(self) -> Script {
        Script { parts: self.parts.into_iter().filter(|part| part.sql().is_none()).collect() }
    }

    /// The statements alone.
    pub(super) fn statements(&self) -> String {
        self.parts.iter().filter_map(Part::sql).map(str::trim_end).collect::<Vec<_>>().join("\n")
    }

    /// Whether there is nothing to run.
    pub(super) fn is_empty(&self) -> bool {
        !self.parts.iter().any(|part| part.sql().is_some())
    }

    /// Runs it, all or nothing. Where a lock is in the way, it lets go of all, waits for a moment, and tries again a few times.
    pub(super) async fn run(&self, client: &mut Client) -> Result<(), ScriptError> {
        for _ in 1..TRIES {
            match self.try_to_run(client).await {
                Err(error) if error.is_in_the_way() => tokio::time::sleep(BETWEEN_TRIES).await,
                outcome => return outcome,
            }
        }
        self.try_to_run(client).await
    }

    async fn try_to_run(&self, client: &mut Client) -> Result<(), ScriptError> {
        let transaction = client.transaction().await.map_err(ScriptError::at("BEGIN"))?;
        let sql = self.parts.iter().filter_map(Part::sql);
        for part in std::iter::once(PREAMBLE).chain(sql) {
            transaction.batch_execute(part).await.map_err(ScriptError::at(part))?;
        }
        transaction.commit().await.map_err(ScriptError::at("COMMIT"))
    }
}

impl fmt::Display for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let first = self.parts.iter().position(|part| part.sql().is_some());
        let last = self.parts.iter().rposition(|part| part.sql().is_some());
        for (place, part) in self.parts.iter().enumerate() {
            if Some(place) == first {
                writeln!(f, "BEGIN;\n{PREAMBLE}\n")?;
            }
            match part {
                Part::Remark(text) => writeln!(f, "{}", comment(text))?,
                Part::Sql(sql) => writeln!(f, "{}\n", sql.trim_end())?,
            }
            if Some(place) == last {
                writeln!(f, "COMMIT;\n")?;
            }
        }
        Ok(())
    }
}

/// `text` as an SQL comment, whatever it holds: a name may contain the end of a line.
fn comment(text: &str) -> String {
    let lines = text.split(['\n', '\r']).map(|line| format!("-- {line}").trim_end().to_owned() + "\n");
    lines.collect()
}

/// Puts values in the places of a template, each written `{name}`, in one pass: what is put in is not looked at again.
pub(super) fn fill(template: &str, values: &[(&str, &str)]) -> String {
    let (mut filled, mut rest) = (String::with_capacity(template.len()), template);
    while let Some((before, place)) = rest.split_once('{') {
        filled.push_str(before);
        let value = values.iter().find_map(|(name, value)| Some((value, place.strip_prefix(name)?.strip_prefix('}')?)));
        rest = if let Some((value, after)) = value {
            filled.push_str(value);
            after
        } else {
            filled.push('{');
            place
        };
    }
    filled + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_not_taken_for_a_place() {
        assert_eq!(fill("{a} {b} {a} {c} {", &[("a", "{b}"), ("b", "{a}")]), "{b} {a} {b} {c} {");
    }

    /// A comment is sent with its statement, and the server converts it to the encoding of the database.
    #[test]
    fn what_is_sent_fits_every_encoding() {
        let mut folders = vec![std::path::PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/sql"))];
        let mut files = 0;
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|extension| extension == "sql") {
                    assert!(std::fs::read(&path).unwrap().is_ascii(), "{}", path.display());
                    files += 1;
                }
            }
        }
        assert!(files > 30, "{files} files");
    }

    #[test]
    fn a_remark_stays_a_comment() {
        let mut script = Script::default();
        script.remark("a table called x\n; DROP TABLE y; --\r; DROP TABLE z");
        assert_eq!(script.to_string(), "-- a table called x\n-- ; DROP TABLE y; --\n-- ; DROP TABLE z\n\n");
        assert!(script.is_empty());
    }

    #[test]
    fn the_text_is_one_transaction() {
        let mut script = Script::default();
        script.remark("First.");
        script.sql("-- The one.\nSELECT {n};\n", &[("n", "1")]);
        script.remark("Last.");
        let expected = format!("-- First.\n\nBEGIN;\n{PREAMBLE}\n\n-- The one.\nSELECT 1;\n\nCOMMIT;\n\n-- Last.\n\n");
        assert_eq!(script.to_string(), expected);
    }
}
