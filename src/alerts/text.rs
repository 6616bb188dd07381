//! What a person is told: one sentence, without any row's value.

use std::fmt;
use std::time::Duration;

use bytesize::ByteSize;

use super::engine::{Cause, Takers};
use super::fact::{Actor, Slot};

/// A table as people call it.
#[derive(Clone, Copy)]
pub(super) struct Called<'a>(pub(super) &'a str, pub(super) &'a str);

impl fmt::Display for Called<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(schema, name) = self;
        if *schema == "public" { f.write_str(name) } else { write!(f, "{schema}.{name}") }
    }
}

/// A number of rows: `1 row`, `22 rows`, `48,000 rows`.
fn rows(number: u64) -> String {
    format!("{} {}", grouped(number), if number == 1 { "row" } else { "rows" })
}

fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn count(number: i64) -> String {
    let sign = if number < 0 { "-" } else { "" };
    format!("{sign}{}", grouped(number.unsigned_abs()))
}

/// `40 s`, `5 min`, `1 h 30 min`.
fn time(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7200 => format!("{} min", seconds / 60),
        seconds if seconds % 3600 < 60 => format!("{} h", seconds / 3600),
        seconds => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
    }
}

/// ` by alice (psql)`, or nothing.
fn by(actor: Option<&Actor>) -> String {
    let user = actor.and_then(|actor| actor.text("session_user").or_else(|| actor.text("current_user")));
    match (user, actor.and_then(|actor| actor.text("application_name"))) {
        (Some(user), Some(application)) => format!(" by {user} ({application})"),
        (Some(name), None) | (None, Some(name)) => format!(" by {name}"),
        (None, None) => String::new(),
    }
}

/// `22 rows deleted in one transaction by alice (psql), and more in 3 others`.
fn takers(Takers { greatest, others }: &Takers) -> String {
    let by = by(greatest.transaction.actor.as_ref());
    let what = match (greatest.truncates, greatest.rows()) {
        (0, _) => format!("{} deleted in one transaction{by}", rows(greatest.deletes)),
        (_, Some(taken)) => format!("{} truncated{by}", rows(taken)),
        (_, None) => format!("truncated{by}"),
    };
    match others {
        0 => what,
        1 => format!("{what}, and more in another"),
        _ => format!("{what}, and more in {} others", grouped(*others)),
    }
}

/// A table has fallen from the highest count of the time `ago`.
pub(super) fn fell(table: Called<'_>, from: i64, to: i64, ago: Duration, why: Option<&Takers>) -> String {
    let within = if ago < Duration::from_secs(1) { String::new() } else { format!(" within {}", time(ago)) };
    let fell = format!("{table} fell from {} to {}{within}", count(from), count(to));
    match why {
        Some(why) => format!("{fell}: {}", takers(why)),
        None => fell,
    }
}

pub(super) fn below(table: Called<'_>, now: i64, least: i64, why: Option<&Cause>) -> String {
    let by = why.map(|why| by(why.transaction.actor.as_ref())).filter(|by| !by.is_empty());
    let by = by.map_or_else(String::new, |by| format!("; the last were deleted{by}"));
    format!("{table} has {}, fewer than {}{by}", rows(now.unsigned_abs()), count(least))
}

pub(super) fn deleted(table: Called<'_>, why: &Cause) -> String {
    let by = by(why.transaction.actor.as_ref());
    match why.truncates {
        0 => format!("{} of {table} deleted in one transaction{by}", rows(why.deletes)),
        _ => match why.rows() {
            Some(taken) => format!("{table} was truncated with its {}{by}", rows(taken)),
            None => format!("{table} was truncated{by}"),
        },
    }
}

pub(super) fn dropped(table: Called<'_>, had: Option<i64>) -> String {
    match had {
        Some(had) => format!("{table} was dropped, with the {} that it had when it was last counted", rows(had.unsigned_abs())),
        None => format!("{table} was dropped; how many rows it had is not known"),
    }
}

pub(super) fn changed_unwatched(table: Called<'_>, from: i64, to: i64, ago: Duration, watched: bool) -> String {
    let how = if watched { "its count was not known in between" } else { "it changed while nobody watched" };
    format!("{table} has {} where it had {} {} ago: {how}", rows(to.unsigned_abs()), count(from), time(ago))
}

pub(super) fn found_wrong(table: Called<'_>) -> String {
    format!("The count of {table} was found to have been wrong: what was shown before was not so; it is counted again")
}

pub(super) fn not_live(state: &str, reason: Option<&str>, lasting: Duration, blind: &[String]) -> String {
    let state = state.replace('_', " ");
    let rules = if blind.is_empty() { String::new() } else { format!("; it cannot evaluate {}", blind.join(", ")) };
    let why = reason.map_or_else(String::new, |reason| format!(". {reason}"));
    format!("The watch has not been live for {}: {state}{rules}{why}", time(lasting))
}

pub(super) fn cannot_evaluate(table: Called<'_>, reason: Option<&str>, lasting: Duration, blind: &[String]) -> String {
    let why = reason.map_or_else(String::new, |reason| format!(" ({reason})"));
    format!("The count of {table} has not been known for {}{why}: cannot evaluate {}", time(lasting), blind.join(", "))
}

pub(super) fn missing(table: Called<'_>, blind: &[String]) -> String {
    format!("There is no table {table}: cannot evaluate {}", blind.join(", "))
}

pub(super) fn missed() -> &'static str {
    "So much was committed at once that some of it could not be looked at: rules about single transactions may have missed one"
}

pub(super) fn wal_held(slot: &Slot<'_>, limit: u64) -> String {
    let size = |bytes| ByteSize::b(bytes).display().iec();
    let of_what = slot.budget.map_or_else(String::new, |budget| format!(", of a budget of {}", size(budget)));
    format!("PostgreSQL holds more than {} of log for the slot {}{of_what}", size(limit), slot.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_times_are_for_people() {
        assert_eq!(
            [0, 1, 22, 999, 1_000, 48_000, 1_234_567].map(rows),
            ["0 rows", "1 row", "22 rows", "999 rows", "1,000 rows", "48,000 rows", "1,234,567 rows"]
        );
        let times = [5, 119, 120, 7199, 7200, 9000].map(|seconds| time(Duration::from_secs(seconds)));
        assert_eq!(times, ["5 s", "119 s", "2 min", "119 min", "2 h", "2 h 30 min"]);
    }
}
