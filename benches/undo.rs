//! Time of a large undo: from events as the history keeps them to SQL, from memory.
//!
//! `cargo bench --bench undo`

use divan::Bencher;
use divan::counter::ItemsCount;
use pgvigil::event::received::{Change, Event};
use pgvigil::lsn::Oid;
use pgvigil::undo::schema::{Action, Column, ForeignKey, Key, Schema, Table};
use pgvigil::undo::{Changes, Options, Subject, cascades, undo};

fn main() {
    divan::main();
}

const USER: Oid = Oid(1);
const ORDER: Oid = Oid(2);

/// A table with these columns, the first of them its key.
fn table(oid: Oid, name: &str, columns: &[&str]) -> Table {
    let column = |name: &&str| Column { name: (*name).to_owned(), type_name: "text".to_owned(), ..Column::default() };
    let key = Key { columns: vec![0], operators: vec!["=".to_owned()], identifies: true, is_deferrable: false };
    let (schema, name) = ("public".to_owned(), name.to_owned());
    Table { oid, schema, name, columns: columns.iter().map(column).collect(), keys: vec![key], ..Table::default() }
}

fn shop() -> Schema {
    let mut schema = Schema::default();
    schema.tables.insert(USER, table(USER, "User", &["id", "name", "boss"]));
    schema.tables.insert(ORDER, table(ORDER, "Order", &["id", "user", "total", "note"]));
    let reference = |name: &str, table, column| ForeignKey {
        name: name.to_owned(),
        table,
        columns: vec![column],
        references: USER,
        referenced: vec![0],
        operators: vec!["=".to_owned()],
        on_delete: Action::Cascade,
        ..ForeignKey::default()
    };
    schema.foreign_keys.extend([reference("order_user", ORDER, 1), reference("user_boss", USER, 2)]);
    schema
}

/// `DELETE FROM "User"`, with nine orders each; bosses in a tree.
fn events(rows: usize) -> Vec<String> {
    let event = |ordinal: usize, oid: Oid, table: &str, old: &str| {
        format!(
            r#"{{"type":"change","id":"k3.0-1.{ordinal}","op":"delete","schema":"public","table":"{table}","oid":{},"tx":{{"id":"k3-0-1","xid":771,"lsn":"0/1","time":"2026-11-22T14:02:11.204113Z","ordinal":{ordinal},"actor":{{"session_user":"alice","application_name":"psql","query":"DELETE FROM \"User\""}}}},"key":{{"id":{ordinal}}},"old":{old},"new":null,"old_complete":true,"unchanged":[],"count":7}}"#,
            oid.0
        )
    };
    let of = |row: usize| match row % 10 {
        0 => event(row + 1, USER, "User", &format!(r#"{{"id":{row},"name":"user {row}","boss":{}}}"#, row / 100 * 10)),
        _ => event(
            row + 1,
            ORDER,
            "Order",
            &format!(r#"{{"id":{row},"user":{},"total":12.50,"note":"it's a note of order {row}"}}"#, row / 10 * 10),
        ),
    };
    (0..rows).map(of).collect()
}

fn read(events: &[String]) -> Vec<Change<'_>> {
    let change = |event| match Event::read(event) {
        Ok(Event::Change(change)) => Some(*change),
        _ => None,
    };
    events.iter().filter_map(|event| change(event.as_str())).collect()
}

#[divan::bench(args = [20_000, 200_000], sample_count = 5)]
fn events_are_read(bencher: Bencher<'_, '_>, rows: usize) {
    let events = events(rows);
    bencher.counter(ItemsCount::new(rows)).bench_local(|| read(&events).len());
}

#[divan::bench(args = [20_000, 200_000], sample_count = 5)]
fn sql_is_made(bencher: Bencher<'_, '_>, rows: usize) {
    let (events, schema, options) = (events(rows), shop(), Options::default());
    let undone = read(&events);
    let changes = Changes { undone: &undone, beside: &[], later: &[] };
    bencher.counter(ItemsCount::new(rows)).bench_local(|| undo(changes, &schema, &options, Subject::default()).sql.len());
}

#[divan::bench(args = [20_000, 200_000], sample_count = 5)]
fn cascades_are_found(bencher: Bencher<'_, '_>, rows: usize) {
    let (events, schema) = (events(rows), shop());
    let undone = read(&events);
    bencher.counter(ItemsCount::new(rows)).bench_local(|| cascades(&undone, &schema).len());
}
