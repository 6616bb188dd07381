//! One line a event, for a person at a terminal.
//!
//! ```text
//! 14:02:11.204 ~ UPD   Order id=9  status paid → void  · 18204 rows
//! 14:02:11.204 − DEL   User id=7  email=ann@example.org  · 21 rows
//! 14:02:11.204 ═ 0/1A2B3C8 xid 771, 2 changes: Order ~1, User −1 by ann (psql): DELETE FROM "User"
//! ```
//!
//! What a row holds was written by strangers: control characters, which a terminal obeys, are shown as escapes.

use std::fmt::Write;

use serde_json::value::RawValue;

use crate::event::block::Operation;
use crate::event::received::{Actor, Change, Commit, Cut, Event, Row, Totals, Tx};

/// Characters of a value that are shown.
const VALUE_WIDTH: usize = 60;

/// Select Graphic Rendition of ECMA-48: what a terminal takes for a colour.
#[derive(Clone, Copy)]
enum Style {
    Dim,
    Bold,
    Green,
    Yellow,
    Red,
    Magenta,
}

impl Style {
    fn code(self) -> u8 {
        match self {
            Self::Bold => 1,
            Self::Dim => 2,
            Self::Red => 31,
            Self::Green => 32,
            Self::Yellow => 33,
            Self::Magenta => 35,
        }
    }
}

struct Line {
    text: String,
    colour: bool,
}

impl Line {
    fn styled(&mut self, style: Style, text: &str) -> &mut Self {
        if self.colour {
            // Writing to a String cannot fail.
            let _ = write!(self.text, "\u{1b}[{}m{text}\u{1b}[0m", style.code());
            self
        } else {
            self.plain(text)
        }
    }

    fn plain(&mut self, text: &str) -> &mut Self {
        self.text.push_str(text);
        self
    }
}

pub(super) fn line(event: &Event<'_>, colour: bool) -> Option<String> {
    let mut line = Line { text: String::new(), colour };
    match event {
        Event::Change(change) => of_change(&mut line, change),
        Event::Commit(commit) => of_commit(&mut line, commit),
        Event::Ddl(ddl) => {
            let object = ddl.object.as_deref().unwrap_or_default();
            time(&mut line, Some(&ddl.tx)).styled(Style::Magenta, "◆ DDL   ").plain(&shown(&ddl.command)).plain(" ");
            line.styled(Style::Bold, &shown(object));
        }
        Event::Message(message) => {
            time(&mut line, message.tx.as_ref()).styled(Style::Dim, "✉ MSG   ").styled(Style::Bold, &shown(&message.prefix));
            match (&message.content, &message.cut) {
                (Some(content), _) => line.plain("  ").plain(&clipped(&shown(content))),
                (None, Some(cut)) => line.plain("  ").styled(Style::Dim, &cut_text(cut.content)),
                (None, None) => &mut line,
            };
        }
        Event::Gap(gap) => {
            let from = gap.from.unwrap_or("the beginning");
            let text = format!("▨ GAP: what came after {from}, up to {}, is not known ({})", gap.to, gap.reason);
            line.styled(Style::Red, &shown(&text));
        }
        Event::Error(error) => {
            line.styled(Style::Red, &shown(&format!("error: {} ({})", error.message, error.code)));
        }
        Event::Hello(_) | Event::Other => return None,
    }
    Some(line.text)
}

fn of_change(line: &mut Line, change: &Change<'_>) {
    let (style, word) = match change.op {
        Operation::Insert => (Style::Green, "+ INS   "),
        Operation::Update => (Style::Yellow, "~ UPD   "),
        Operation::Delete => (Style::Red, "− DEL   "),
        Operation::Truncate => (Style::Magenta, "∅ TRUNC "),
    };
    time(line, Some(&change.tx)).styled(style, word).styled(Style::Bold, &table_name(&change.schema, &change.table));
    for (name, value) in change.key.iter().flat_map(Row::iter) {
        line.plain(" ").styled(Style::Dim, &format!("{}=", shown(name))).plain(&value_text(value));
    }
    match (&change.old, &change.new) {
        (Some(old), Some(new)) => differences(line, change, old, new),
        (Some(row), None) | (None, Some(row)) => rest(line, change, row),
        (None, None) => {}
    }
    cut(line, change);
    if let Some(lost) = change.rows_lost {
        line.plain(&format!("  {lost} rows lost"));
    }
    match change.count {
        Some(count) => line.styled(Style::Dim, &format!("  · {count} rows")),
        None => line.styled(Style::Dim, "  · — rows"),
    };
}

/// The columns that are not the key's.
fn rest(line: &mut Line, change: &Change<'_>, row: &Row<'_>) {
    for (name, value) in row.iter().filter(|(name, _)| !in_key(change, name)) {
        line.plain("  ").styled(Style::Dim, &format!("{}=", shown(name))).plain(&value_text(value));
    }
}

/// What an UPDATE changed, as far as the old values are known; the others as they are now.
fn differences(line: &mut Line, change: &Change<'_>, old: &Row<'_>, new: &Row<'_>) {
    for (name, value) in new.iter() {
        match old.get(name) {
            Some(before) if before.get() == value.get() => {}
            Some(before) => {
                line.plain("  ").styled(Style::Dim, &shown(name)).plain(" ").plain(&value_text(before));
                line.styled(Style::Dim, " → ").plain(&value_text(value));
            }
            None if in_key(change, name) || change.cut.old.contains_key(name) => {}
            None => {
                line.plain("  ").styled(Style::Dim, &format!("{}=", shown(name))).plain(&value_text(value));
            }
        }
    }
}

/// The columns whose values are too long to be kept.
fn cut(line: &mut Line, change: &Change<'_>) {
    let Cut { old, new } = &change.cut;
    let text = |length: &u64| cut_text(*length);
    for (name, length) in old {
        let after = new.get(name).map(text).or_else(|| Some(value_text(change.new.as_ref()?.get(name)?)));
        line.plain("  ").styled(Style::Dim, &shown(name)).plain(" ").styled(Style::Dim, &text(length));
        if let Some(after) = after.filter(|_| !change.unchanged.contains(name)) {
            line.styled(Style::Dim, " → ").plain(&after);
        }
    }
    for (name, length) in new.iter().filter(|(name, _)| !old.contains_key(*name)) {
        line.plain("  ").styled(Style::Dim, &format!("{}=", shown(name))).styled(Style::Dim, &text(length));
    }
}

fn cut_text(length: u64) -> String {
    format!("({length} bytes, too long to be kept)")
}

fn in_key(change: &Change<'_>, column: &str) -> bool {
    change.key.as_ref().is_some_and(|key| key.get(column).is_some())
}

fn of_commit(line: &mut Line, commit: &Commit<'_>) {
    let changes = commit.tx.changes.unwrap_or_default();
    let plural = if changes == 1 { "" } else { "s" };
    let head = format!("═ {} xid {}, {changes} change{plural}", commit.tx.lsn, commit.tx.xid);
    let tables: Vec<_> = commit.tables.iter().map(totals).collect();
    time(line, Some(&commit.tx)).styled(Style::Dim, &head);
    if !tables.is_empty() {
        line.styled(Style::Dim, ": ").styled(Style::Dim, &tables.join(", "));
    }
    if let Some(actor) = &commit.tx.actor {
        line.styled(Style::Dim, " by ").plain(&who(actor));
    }
}

/// `ann (psql): DELETE FROM …`
fn who(actor: &Actor<'_>) -> String {
    let mut text = match (&actor.session_user, actor.annotation) {
        (Some(user), _) => shown(user),
        (None, annotation) => clipped(&shown(annotation.map_or("?", RawValue::get))),
    };
    if let Some(application) = actor.application_name.as_ref().filter(|name| !name.is_empty()) {
        let _ = write!(text, " ({})", shown(application));
    }
    if let Some(query) = &actor.query {
        let _ = write!(text, ": {}", clipped(&query.split_whitespace().map(shown).collect::<Vec<_>>().join(" ")));
    }
    text
}

fn totals(totals: &Totals<'_>) -> String {
    let mut text = table_name(&totals.schema, &totals.name);
    let numbers = [('+', totals.inserts), ('~', totals.updates), ('−', totals.deletes), ('∅', totals.truncates)];
    for (sign, number) in numbers.into_iter().filter(|(_, number)| *number > 0) {
        let _ = write!(text, " {sign}{number}");
    }
    text
}

/// The time of day in UTC with milliseconds.
fn time<'l>(line: &'l mut Line, tx: Option<&Tx<'_>>) -> &'l mut Line {
    let of_day = tx.and_then(|tx| tx.time.split_once('T')?.1.get(..12)).unwrap_or("            ");
    line.styled(Style::Dim, of_day).plain(" ")
}

fn table_name(schema: &str, table: &str) -> String {
    if schema == "public" { shown(table) } else { shown(&format!("{schema}.{table}")) }
}

/// A string without its quotes where it can be read so; anything else as its JSON.
fn value_text(value: &RawValue) -> String {
    let json = value.get();
    let bare = json.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    let readable = |text: &&str| !text.is_empty() && !text.contains(['\\', ' ']) && *text != "null";
    clipped(&shown(bare.filter(readable).unwrap_or(json)))
}

fn clipped(text: &str) -> String {
    match text.char_indices().nth(VALUE_WIDTH) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or(text)),
        None => text.to_owned(),
    }
}

/// Safe for a terminal.
fn shown(text: &str) -> String {
    if !text.contains(char::is_control) {
        return text.to_owned();
    }
    text.chars().map(|c| if c.is_control() { c.escape_unicode().to_string() } else { c.to_string() }).collect()
}
