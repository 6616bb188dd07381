//! Runs the SQL: first as a dry run, and for good only if that shows the same once more.

use std::collections::BTreeMap;
use std::io::{self, BufRead, IsTerminal, Write};

use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, SimpleQueryMessage, SimpleQueryRow};

use super::ask::{Answer, Watched};
use super::{PARTLY, missing};
use crate::catalog;
use crate::commands::Failure;
use crate::connection::Target;
use crate::undo::{COMMIT, Coverage, WOULD_LOSE, table_name, where_needed};

/// The exit code of a database that is not the one that is watched.
const WRONG_DATABASE: u8 = 3;

/// What was done to a table, as the SQL itself counts it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Effect {
    rows: i64,
    done: i64,
    already: i64,
    altered: i64,
    in_conflict: i64,
}

/// By table and action.
type Effects = BTreeMap<(String, String), Effect>;

pub(super) async fn apply(
    answer: &Answer,
    watched: &Watched,
    target: Target,
    agreed: bool,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let unwritable = |error| Failure::other(format_args!("standard output cannot be written: {error}"));
    let coverage = &answer.undone.coverage;
    write!(out, "{coverage}").map_err(unwritable)?;
    let Some(sql) = answer.undone.sql.strip_suffix(COMMIT) else {
        writeln!(out, "There is nothing to do.").map_err(unwritable)?;
        return all_of_it(coverage);
    };
    let client = target.sql("pgvigil undo").await.map_err(|error| Failure::advised(1, &error.advice()))?;
    is_watched(&client, watched).await?;

    let dry = run(&client, sql).await?;
    end(&client, "ROLLBACK").await?;
    writeln!(out, "\nA dry run, rolled back, did this:\n\n{}", table(&dry)).map_err(unwritable)?;
    let done = if dry.values().all(|effect| effect.done + effect.altered == 0) {
        writeln!(out, "Nothing is left to be changed.").map_err(unwritable)?;
        dry
    } else {
        if !agreed && !agrees(out)? {
            return Err(Failure::other("nothing was changed"));
        }
        let done = run(&client, sql).await?;
        if done != dry {
            end(&client, "ROLLBACK").await?;
            let shown = table(&done);
            return Err(Failure::other(format_args!("nothing was changed: since the dry run it would have become\n\n{shown}")));
        }
        end(&client, "COMMIT").await?;
        writeln!(out, "Done.").map_err(unwritable)?;
        done
    };
    as_recorded(&done)?;
    all_of_it(coverage)
}

/// Whether all rows that it was about are as they were recorded.
fn as_recorded(effects: &Effects) -> Result<(), Failure> {
    let sum = |of: fn(&Effect) -> i64| effects.values().map(of).sum::<i64>();
    let other = "rows of which triggers or types made something else than what was recorded";
    let left = "rows that were left alone, since they, what they reference or what must be unique was changed since, or a trigger kept them as they are";
    let said: Vec<_> = [(other, sum(|effect| effect.altered)), (left, sum(|effect| effect.in_conflict))]
        .into_iter()
        .filter(|(_, rows)| *rows > 0)
        .map(|(what, rows)| format!("{what}: {rows}"))
        .collect();
    if said.is_empty() { Ok(()) } else { Err(Failure::with_code(PARTLY, said.join("; "))) }
}

/// The coverage was shown before.
fn all_of_it(coverage: &Coverage) -> Result<(), Failure> {
    missing(coverage).map_or(Ok(()), |verdict| Err(Failure::with_code(PARTLY, format_args!("{verdict}: see above"))))
}

async fn is_watched(client: &Client, watched: &Watched) -> Result<(), Failure> {
    let here = catalog::identity(client).await.map_err(|error| Failure::other(said(&error)))?;
    let same = here.name == watched.name && here.oid.0 == watched.oid && here.system_identifier == watched.system_identifier;
    if same {
        return Ok(());
    }
    let text = format!(
        "nothing was changed: --database-url leads to database {:?} (oid {}, system {}), but the changes are of {:?} (oid {}, system {})",
        here.name, here.oid.0, here.system_identifier, watched.name, watched.oid, watched.system_identifier
    );
    Err(Failure::with_code(WRONG_DATABASE, text))
}

/// Runs all but the COMMIT.
async fn run(client: &Client, sql: &str) -> Result<Effects, Failure> {
    let messages = match client.simple_query(sql).await {
        Ok(messages) => messages,
        Err(error) => {
            // Whether or not that can be said, the transaction is lost.
            drop(client.batch_execute("ROLLBACK").await);
            return Err(Failure::other(format_args!("nothing was changed: the database refused: {}", refused(&error))));
        }
    };
    let mut effects = Effects::new();
    for message in &messages {
        let SimpleQueryMessage::Row(row) = message else { continue };
        let Some((of, added)) = effect(row) else {
            // The transaction is lost with the connection.
            let advice = "use the pgvigil that is of the same version as the one that serves";
            return Err(Failure::other(format_args!("nothing was changed: the SQL does not say what it did; {advice}")));
        };
        let effect: &mut Effect = effects.entry(of).or_default();
        effect.rows += added.rows;
        effect.done += added.done;
        effect.already += added.already;
        effect.altered += added.altered;
        effect.in_conflict += added.in_conflict;
    }
    Ok(effects)
}

/// What a row of the report says, all of it.
fn effect(row: &SimpleQueryRow) -> Option<((String, String), Effect)> {
    let text = |column| row.try_get(column).ok().flatten();
    let number = |column| text(column)?.parse().ok();
    let effect = Effect {
        rows: number("rows")?,
        done: number("done")?,
        already: number("already_so")?,
        altered: number("not_as_recorded")?,
        in_conflict: number("in_conflict")?,
    };
    Some(((text("table")?.to_owned(), text("action")?.to_owned()), effect))
}

async fn end(client: &Client, how: &str) -> Result<(), Failure> {
    let ended = client.batch_execute(how).await;
    ended.map_err(|error| Failure::other(format_args!("the {how} failed: {}", said(&error))))
}

/// What the server refused, where, and what can be done about it.
fn refused(error: &tokio_postgres::Error) -> String {
    let said = said(error);
    let Some(server) = error.as_db_error() else { return said };
    if server.code().code() == WOULD_LOSE {
        return format!("{}. {}", server.message(), server.hint().unwrap_or_default());
    }
    let quoted = |name: Option<&str>| name.map(where_needed);
    let table = server.schema().zip(server.table()).map(|(schema, table)| table_name(schema, table));
    let places = [
        ("table", table),
        ("column", quoted(server.column())),
        ("type", server.schema().zip(server.datatype()).map(|(schema, name)| table_name(schema, name))),
        ("constraint", quoted(server.constraint())),
    ];
    let places: Vec<_> = places.into_iter().filter_map(|(what, name)| Some(format!("{what} {}", name?))).collect();
    let places = if places.is_empty() { String::new() } else { format!(" [{}]", places.join(", ")) };
    let advice = match server.code().code().get(..2) {
        Some("22" | "23") => {
            "What was recorded is not good for the table as it is now. Alter that back while you undo, or leave out the table or the row: \
             --table and --key say which are meant."
        }
        Some("42") if *server.code() == SqlState::INSUFFICIENT_PRIVILEGE => {
            "Give a role that may change these tables and make temporary ones, with --database-url."
        }
        Some("55") if *server.code() == SqlState::LOCK_NOT_AVAILABLE => {
            "Somebody holds a lock on these tables. Try again when they are done."
        }
        Some("40" | "08" | "53" | "57") => return said,
        _ => "A trigger or a function of the application may have refused it. What it says is to be put right first.",
    };
    format!("{said}{places}. {advice}")
}

/// The server's message. Its detail may show values of a row, so it is left to the server's own log.
fn said(error: &tokio_postgres::Error) -> String {
    if error.code() == Some(&SqlState::T_R_SERIALIZATION_FAILURE) {
        return "somebody is changing the same rows at this moment; run it again (40001)".to_owned();
    }
    error.as_db_error().map_or_else(|| error.to_string(), |error| format!("{} ({})", error.message(), error.code().code()))
}

fn table(effects: &Effects) -> String {
    let wide = effects.keys().map(|(table, _)| table.chars().count()).max().unwrap_or_default().max("table".len());
    let mut shown = format!(
        "{:wide$}  {:8}  {:>9}  {:>9}  {:>10}  {:>15}  {:>11}\n",
        "table", "action", "rows", "done", "already so", "not as recorded", "in conflict"
    );
    for ((table, action), Effect { rows, done, already, altered, in_conflict }) in effects {
        shown += &format!("{table:wide$}  {action:8}  {rows:>9}  {done:>9}  {already:>10}  {altered:>15}  {in_conflict:>11}\n");
    }
    shown
}

/// Asks whoever is at the terminal.
fn agrees(out: &mut dyn Write) -> Result<bool, Failure> {
    let stdin = io::stdin();
    if !stdin.is_terminal() {
        return Err(Failure::other("nothing was changed: nobody is at the terminal to agree; --yes runs it without asking"));
    }
    let asked = write!(out, "Do it for good? [y/N] ").and_then(|()| out.flush());
    let mut line = String::new();
    let read = asked.and_then(|()| stdin.lock().read_line(&mut line));
    read.map_err(|error| Failure::other(format_args!("nothing was changed: the terminal cannot be read: {error}")))?;
    Ok(matches!(line.trim().to_lowercase().as_str(), "y" | "yes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_effect_is_a_table() {
        let effect = Effect { rows: 23, done: 20, already: 1, altered: 1, in_conflict: 1 };
        let effects = Effects::from([(("public.User".to_owned(), "insert".to_owned()), effect)]);
        assert_eq!(
            table(&effects),
            "table        action         rows       done  already so  not as recorded  in conflict\n\
             public.User  insert           23         20           1                1            1\n"
        );
    }
}
