//! From events as the history keeps them to SQL, without a server. That the SQL does what it says is shown by the tests against real ones.

use super::schema::{Action, Column, ForeignKey, Key, Schema, Table};
use super::*;
use crate::event::received::Event;
use crate::lsn::Oid;

const USER: Oid = Oid(1);
const ORDER: Oid = Oid(2);

/// `id` is the key; `parent` references `User`.
fn table(oid: Oid, name: &str, columns: &[&str]) -> Table {
    let columns = columns.iter().zip(1..).map(|(name, number)| column(name, number));
    let key = Key { columns: vec![0], operators: vec!["=".to_owned()], identifies: true, is_deferrable: false };
    Table {
        oid,
        schema: "public".to_owned(),
        name: name.to_owned(),
        columns: columns.collect(),
        keys: vec![key],
        ..Table::default()
    }
}

fn column(name: &str, number: i16) -> Column {
    Column { name: name.to_owned(), number, type_name: "integer".to_owned(), may_be_left_out: true, ..Column::default() }
}

fn shop() -> Schema {
    let mut schema = Schema::default();
    schema.tables.insert(USER, table(USER, "User", &["id", "n"]));
    schema.tables.insert(ORDER, table(ORDER, "Order", &["id", "parent"]));
    schema.foreign_keys.push(ForeignKey {
        name: "order_parent".to_owned(),
        table: ORDER,
        columns: vec![1],
        references: USER,
        referenced: vec![0],
        operators: vec!["=".to_owned()],
        is_temporal: false,
        on_delete: Action::Cascade,
        on_update: Action::Refuse,
    });
    schema
}

/// An event of a table with these rows.
fn event(ordinal: usize, op: &str, table: Oid, old: &str, new: &str) -> String {
    let (name, key) = (if table == USER { "User" } else { "Order" }, if new == "null" { old } else { new });
    format!(
        r#"{{"type":"change","id":"k3.0-1.{ordinal}","op":"{op}","schema":"public","table":"{name}","oid":{},"tx":{{"id":"k3-0-1","xid":1,"lsn":"0/1","time":"","ordinal":{ordinal}}},"key":{key},"old":{old},"new":{new},"old_complete":true,"unchanged":[],"count":null}}"#,
        table.0
    )
}

fn undone(events: &[String], schema: &Schema, options: &Options) -> Undo {
    undone_after(events, &[], schema, options)
}

/// The same, when something came later.
fn undone_after(events: &[String], later: &[String], schema: &Schema, options: &Options) -> Undo {
    let (undone, later) = (changes(events), changes(later));
    let subject = Subject { title: "a test".to_owned(), ..Subject::default() };
    undo(Changes { undone: &undone, beside: &[], later: &later }, schema, options, subject)
}

fn changes(events: &[String]) -> Vec<Change<'_>> {
    let read = |event| match Event::read(event) {
        Ok(Event::Change(change)) => *change,
        other => panic!("{other:?}"),
    };
    events.iter().map(|event| read(event.as_str())).collect()
}

/// What is done, in its order: the first words of each statement that changes something, and its rows.
fn acts(sql: &str) -> Vec<String> {
    let verbs = ["DELETE FROM ", "UPDATE \"", "INSERT INTO \""];
    let lines = sql.lines().map(str::trim).filter(|line| verbs.iter().any(|verb| line.starts_with(verb)));
    lines.map(|line| line.split_once(" AS ").or(line.split_once(" (")).map_or(line, |(start, _)| start).to_owned()).collect()
}

#[test]
fn the_text_is_this() {
    let events = [
        event(1, "delete", USER, r#"{"id":1,"n":5}"#, "null"),
        event(2, "delete", ORDER, r#"{"id":7,"parent":1}"#, "null"),
        event(3, "update", USER, r#"{"id":2,"n":5}"#, r#"{"id":2,"n":null}"#),
    ];
    insta::assert_snapshot!(undone(&events, &shop(), &Options::default()).sql);
}

#[test]
fn parents_come_first_and_go_last() {
    let events = [
        event(1, "insert", USER, "null", r#"{"id":1,"n":1}"#),
        event(2, "insert", ORDER, "null", r#"{"id":1,"parent":1}"#),
        event(3, "delete", ORDER, r#"{"id":2,"parent":2}"#, "null"),
        event(4, "delete", USER, r#"{"id":2,"n":2}"#, "null"),
    ];
    let sql = undone(&events, &shop(), &Options::default()).sql;
    let expected = [
        r#"DELETE FROM "public"."Order""#,
        r#"DELETE FROM "public"."User""#,
        r#"INSERT INTO "public"."User""#,
        r#"INSERT INTO "public"."Order""#,
    ];
    assert_eq!(acts(&sql), expected);
}

#[test]
fn what_came_to_nothing_is_not_undone() {
    let events = [
        event(1, "insert", USER, "null", r#"{"id":1,"n":1}"#),
        event(2, "update", USER, r#"{"id":1,"n":1}"#, r#"{"id":9,"n":1}"#),
        event(3, "delete", USER, r#"{"id":9,"n":1}"#, "null"),
        event(4, "delete", USER, r#"{"id":2,"n":2}"#, "null"),
        event(5, "insert", USER, "null", r#"{"id":2,"n":2}"#),
        event(6, "update", USER, r#"{"id":3,"n":3}"#, r#"{"id":3,"n":4}"#),
        event(7, "update", USER, r#"{"id":3,"n":4}"#, r#"{"id":3,"n":3}"#),
    ];
    let Undo { sql, coverage } = undone(&events, &shop(), &Options::default());
    assert!(acts(&sql).is_empty() && !sql.contains("BEGIN") && coverage.complete && coverage.rows == 0, "{sql}");
}

#[test]
fn a_row_is_followed_through_its_keys() {
    let events = [
        event(1, "update", USER, r#"{"id":1,"n":1}"#, r#"{"id":2,"n":1}"#),
        event(2, "insert", USER, "null", r#"{"id":1,"n":7}"#),
        event(3, "update", USER, r#"{"id":2,"n":1}"#, r#"{"id":3,"n":4}"#),
    ];
    let wanted = Options { rows: vec![Wanted { column: "id".to_owned(), values: vec!["3".to_owned()] }], ..Options::default() };
    let Undo { sql, coverage } = undone(&events, &shop(), &wanted);
    assert!(
        sql.contains(
            "(CAST('3' AS integer), CAST('1' AS integer), CAST('1' AS integer), CAST('3' AS integer), CAST('4' AS integer))"
        ),
        "{sql}"
    );
    // Nobody asked for the new 1, which stays in its place.
    assert_eq!(told(&coverage), ([1, 0, 0], vec![(Reason::UniqueTaken, Some(1))]));
    // The new 1 goes before the old one takes its place.
    let sql = undone(&events, &shop(), &Options::default()).sql;
    assert_eq!(acts(&sql), [r#"DELETE FROM "public"."User""#, r#"UPDATE "public"."User""#]);
}

/// Of the first table: rows, restorable, as before already; then each reason with its rows.
fn told(coverage: &Coverage) -> ([u64; 3], Vec<(Reason, Option<u64>)>) {
    let table = &coverage.tables[0];
    let missing = table.missing.iter().map(|missing| (missing.reason, missing.rows));
    ([table.rows(), table.restorable, table.already], missing.collect())
}

#[test]
fn what_somebody_did_later_on_purpose_wins() {
    let row = |id: u32, n: &str| format!(r#"{{"id":{id},"n":{n}}}"#);
    let events: Vec<_> = (1..=5).map(|id| event(id, "delete", USER, &row(u32::try_from(id).unwrap(), "5"), "null")).collect();
    let later = [
        // Came and went again; came as it was; came as another; its number was taken by one that moved, which then went.
        event(11, "insert", USER, "null", &row(1, "5")),
        event(12, "delete", USER, &row(1, "5"), "null"),
        event(13, "insert", USER, "null", &row(2, "5")),
        event(14, "insert", USER, "null", &row(3, "6")),
        event(15, "update", USER, &row(70, "7"), &row(4, "7")),
        event(16, "delete", USER, &row(4, "7"), "null"),
    ];
    let Undo { sql, coverage } = undone_after(&events, &later, &shop(), &Options::default());
    assert_eq!(told(&coverage), ([5, 1, 1], vec![(Reason::ChangedLater, Some(3))]));
    assert_eq!(coverage.tables[0].missing[0].by, ["k3-0-1"]);
    // Those of which the SQL sees for itself how they are stay in it.
    assert!(sql.contains("2 rows that went") && sql.contains("('3', '5')") && !sql.contains("CAST('1' AS"), "{sql}");
    assert!(sql.contains("1 of 5 rows can be brought back; 1 is as it was already."), "{sql}");
}

#[test]
fn what_looks_untouched_and_was_not_is_left_alone() {
    let row = |n: &str| format!(r#"{{"id":1,"n":{n}}}"#);
    let update = |ordinal, from: &str, to: &str| event(ordinal, "update", USER, &row(from), &row(to));
    let of = |incident: String, later: &[String]| {
        let Undo { sql, coverage } = undone_after(&[incident], later, &shop(), &Options::default());
        (acts(&sql).len(), told(&coverage))
    };
    let changed = vec![(Reason::ChangedLater, Some(1))];
    assert_eq!(of(update(1, "1", "2"), &[update(2, "2", "3"), update(3, "3", "2")]), (0, ([1, 0, 0], changed.clone())));
    assert_eq!(of(update(1, "1", "2"), &[update(2, "2", "3")]), (1, ([1, 0, 0], changed.clone())));
    assert_eq!(of(update(1, "1", "2"), &[update(2, "2", "1")]), (1, ([1, 0, 1], vec![])));
    let (came, went) = (event(1, "insert", USER, "null", &row("1")), event(2, "delete", USER, &row("1"), "null"));
    let again = event(3, "insert", USER, "null", &row("1"));
    assert_eq!(of(came.clone(), std::slice::from_ref(&went)), (1, ([1, 0, 1], vec![])));
    assert_eq!(of(came, &[went, again]), (0, ([1, 0, 0], changed)));
}

#[test]
fn equal_rows_without_a_key_are_set_back_once() {
    let mut schema = shop();
    schema.foreign_keys.clear();
    schema.tables.get_mut(&USER).unwrap().keys.clear();
    let row = |n: u32| format!(r#"{{"id":1,"n":{n}}}"#);
    let update = |ordinal, from, to| event(ordinal, "update", USER, &row(from), &row(to));
    let (events, later) = ([update(1, 2, 3), update(2, 1, 2)], [update(4, 3, 2), update(5, 2, 1)]);
    // Of the two that are 2 by now, the one that was 1 became 1 again.
    let Undo { sql, coverage } = undone_after(&events, &later, &schema, &Options::default());
    assert_eq!((told(&coverage), acts(&sql).len()), (([2, 0, 2], vec![]), 0), "{sql}");
}

#[test]
fn a_row_does_not_come_without_the_one_that_it_references() {
    let events = [
        event(1, "delete", ORDER, r#"{"id":7,"parent":1}"#, "null"),
        event(2, "delete", ORDER, r#"{"id":8,"parent":2}"#, "null"),
        event(3, "delete", USER, r#"{"id":1,"n":5}"#, "null"),
        event(4, "delete", USER, r#"{"id":2,"n":5}"#, "null"),
    ];
    let later = [event(9, "insert", USER, "null", r#"{"id":1,"n":6}"#)];
    let Undo { sql, coverage } = undone_after(&events, &later, &shop(), &Options::default());
    assert_eq!(told(&coverage), ([2, 1, 0], vec![(Reason::ReferenceChangedLater, Some(1))]));
    // It is the same 1 that came back, whatever became of it then.
    let later = [
        event(9, "insert", USER, "null", r#"{"id":1,"n":5}"#),
        event(10, "update", USER, r#"{"id":1,"n":5}"#, r#"{"id":1,"n":6}"#),
    ];
    let told_anew = undone_after(&events, &later, &shop(), &Options::default());
    assert_eq!((told(&told_anew.coverage), told_anew.sql.contains("-- \"public\".\"User\": 1 row")), (([2, 2, 0], vec![]), true));
    assert!(sql.contains("NOT EXISTS (SELECT FROM pg_temp.pgvigil_absent_1 a WHERE a.key1 = r.old2)"), "{sql}");
}

#[test]
fn what_a_truncate_took_comes_back_where_it_is_known() {
    let truncate = |more: &str| event(2, "truncate", USER, "null", "null").replace(r#""count":null"#, more);
    let events = |more: &str| [event(1, "update", USER, r#"{"id":1,"n":1}"#, r#"{"id":1,"n":2}"#), truncate(more)];
    let rows = r#""count":0,"rows_lost":2,"old_rows":[{"id":1,"n":2},{"id":2,"n":null}]"#;
    let Undo { sql, coverage } = undone(&events(rows), &shop(), &Options::default());
    assert!(coverage.complete && coverage.restorable == 2, "{coverage}");
    assert!(sql.contains("(CAST('1' AS integer), CAST('1' AS integer))") && sql.contains("('2', NULL)"), "{sql}");

    let coverage = undone(&events(r#""count":0,"rows_lost":2"#), &shop(), &Options::default()).coverage;
    assert_eq!(told(&coverage), ([2, 1, 0], vec![(Reason::Truncated, Some(1))]));
    let shown = coverage.to_string();
    assert!(shown.contains(r#"public."User": 1 of 2 (1 deleted, 1 gone by TRUNCATE)"#), "{shown}");
    let shown = undone(&events(r#""count":null"#), &shop(), &Options::default()).coverage.to_string();
    assert!(
        shown.starts_with("1 of an unknown number of rows") && shown.contains("an unknown number of rows not: TRUNCATE"),
        "{shown}"
    );
}

#[test]
fn keys_that_were_exchanged_cannot_be_taken_back_one_by_one() {
    let events = [
        event(1, "update", USER, r#"{"id":1,"n":1}"#, r#"{"id":9,"n":1}"#),
        event(2, "update", USER, r#"{"id":2,"n":2}"#, r#"{"id":1,"n":2}"#),
        event(3, "update", USER, r#"{"id":9,"n":1}"#, r#"{"id":2,"n":1}"#),
        event(4, "update", USER, r#"{"id":5,"n":5}"#, r#"{"id":6,"n":5}"#),
    ];
    let mut schema = shop();
    let Undo { sql, coverage } = undone(&events, &schema, &Options::default());
    assert_eq!((coverage.rows, coverage.restorable, coverage.complete), (3, 1, false));
    assert_eq!(coverage.tables[0].missing[0].reason, Reason::UniqueInACircle);
    assert_eq!(acts(&sql).len(), 1);
    // What is judged at the end of the statement may go in a circle.
    for key in &mut schema.tables.get_mut(&USER).unwrap().keys {
        key.is_deferrable = true;
    }
    schema.foreign_keys.clear();
    assert!(undone(&events, &schema, &Options::default()).coverage.complete);
}

#[test]
fn a_value_that_was_cut_is_missed_unless_it_is_what_it_was() {
    let cut = |event: String, of: &str| event.replace(r#""unchanged":[]"#, of);
    let missing = |event: String| {
        let coverage = undone(&[event], &shop(), &Options::default()).coverage;
        coverage.tables[0].missing.first().map(|missing| (missing.reason, missing.columns.clone()))
    };
    let of_n = Some((Reason::ValueCut, vec!["n".to_owned()]));
    let delete = event(1, "delete", USER, r#"{"id":1}"#, "null");
    assert_eq!(missing(cut(delete, r#""unchanged":[],"cut":{"old":{"n":9},"new":{}}"#)), of_n);
    // Two values may be as long as each other, and not be the same.
    let update = || event(1, "update", USER, r#"{"id":1}"#, r#"{"id":2}"#);
    assert_eq!(missing(cut(update(), r#""unchanged":[],"cut":{"old":{"n":9},"new":{"n":9}}"#)), of_n);
    assert_eq!(missing(cut(update(), r#""unchanged":["n"],"cut":{"old":{"n":9},"new":{"n":9}}"#)), None);
}

#[test]
fn a_row_that_came_with_what_is_not_kept_stays_and_is_known_to_have_been_changed() {
    let cut = |event: String, of: &str| event.replace(r#""unchanged":[]"#, of);
    let insert = [cut(event(1, "insert", USER, "null", r#"{"id":1}"#), r#""unchanged":[],"cut":{"old":{},"new":{"n":9}}"#)];
    let update = |ordinal, of| cut(event(ordinal, "update", USER, r#"{"id":1}"#, r#"{"id":1}"#), of);
    let sent = update(2, r#""unchanged":[],"cut":{"old":{"n":9},"new":{"n":9}}"#);
    let unsent = update(2, r#""unchanged":["n"],"cut":{"old":{"n":9},"new":{"n":9}}"#);
    let of = |later: &[String], partial| {
        told(&undone_after(&insert, later, &shop(), &Options { partial, ..Options::default() }).coverage)
    };
    assert_eq!(of(&[], false), ([1, 0, 0], vec![(Reason::ValueCut, Some(1))]));
    assert_eq!(of(std::slice::from_ref(&unsent), true), ([1, 1, 0], vec![(Reason::ValueCut, Some(1))]));
    assert_eq!(of(&[sent], true), ([1, 0, 0], vec![(Reason::ChangedLater, Some(1))]));
}

#[test]
fn a_name_with_a_line_end_stays_a_comment() {
    let mut schema = shop();
    schema.tables.get_mut(&USER).unwrap().name = "x\n; DROP TABLE y; --".to_owned();
    let sql = undone(&[event(1, "delete", USER, r#"{"id":1,"n":5}"#, "null")], &schema, &Options::default()).sql;
    let outside = sql.lines().filter(|line| line.starts_with("; DROP")).count();
    // Twice within quotes: as the name, and as a text.
    assert_eq!(outside, sql.matches("\"x\n; DROP TABLE y; --\"").count() + sql.matches(".x\n; DROP TABLE y; --'").count());
}

#[test]
fn many_rows_are_several_statements() {
    let events: Vec<_> =
        (0..2500).map(|id| event(id + 1, "delete", USER, &format!(r#"{{"id":{id},"n":{id}}}"#), "null")).collect();
    assert_eq!(acts(&undone(&events, &shop(), &Options::default()).sql).len(), 3);
}

#[test]
fn rows_that_followed_are_told_under_the_row_that_took_them() {
    let events = [
        event(1, "delete", ORDER, r#"{"id":1,"parent":1}"#, "null"),
        event(2, "delete", USER, r#"{"id":1,"n":1}"#, "null"),
        event(3, "delete", ORDER, r#"{"id":2,"parent":1}"#, "null"),
        event(4, "delete", ORDER, r#"{"id":3,"parent":2}"#, "null"),
        event(5, "delete", ORDER, r#"{"id":4}"#, "null"),
    ];
    let (schema, changes) = (shop(), changes(&events));
    let told: Vec<_> = cascades(&changes, &schema).into_iter().map(|cascade| (cascade.parent, cascade.rows)).collect();
    assert_eq!(told, [(Some("k3.0-1.2"), vec!["k3.0-1.3"]), (None, vec!["k3.0-1.5"])]);
}

#[test]
fn only_what_went_takes_rows_along_and_only_those_that_referenced_it() {
    let events = [
        event(1, "update", USER, r#"{"id":1,"n":1}"#, r#"{"id":1,"n":2}"#),
        event(2, "delete", ORDER, r#"{"id":1,"parent":1}"#, "null"),
        event(3, "delete", USER, r#"{"id":2.0,"n":1}"#, "null"),
        event(4, "delete", ORDER, r#"{"id":2,"parent":null}"#, "null"),
        event(5, "delete", ORDER, r#"{"id":3,"parent":2.00}"#, "null"),
    ];
    let (schema, changes) = (shop(), changes(&events));
    let told: Vec<_> = cascades(&changes, &schema).into_iter().map(|cascade| (cascade.parent, cascade.rows)).collect();
    assert_eq!(told, [(Some("k3.0-1.3"), vec!["k3.0-1.5"])]);
}

#[test]
fn who_references_a_row_that_stays_away_does_not_come() {
    let of = |event: String| event.replace(r#""old_complete":true"#, r#""old_complete":false"#);
    let events = [
        of(event(1, "delete", USER, r#"{"id":1}"#, "null")),
        event(2, "delete", ORDER, r#"{"id":7,"parent":1}"#, "null"),
        event(3, "update", ORDER, r#"{"id":8,"parent":1}"#, r#"{"id":8,"parent":2}"#),
        event(4, "delete", ORDER, r#"{"id":9,"parent":2}"#, "null"),
    ];
    let of_order = |undone: &Undo| {
        let table = &undone.coverage.tables[1];
        (table.restorable, table.missing.iter().map(|missing| (missing.reason, missing.rows)).collect::<Vec<_>>())
    };
    let undone_so = |partial| undone(&events, &shop(), &Options { partial, ..Options::default() });
    assert_eq!(of_order(&undone_so(false)), (1, vec![(Reason::ReferenceStaysAway, Some(2))]));
    // With what is known of it, it can be referenced.
    assert_eq!(of_order(&undone_so(true)), (3, vec![]));
    // Nor does a row whose parent was not asked for.
    let wanted = Options {
        rows: vec![Wanted { column: "parent".to_owned(), values: vec!["1".to_owned()] }],
        partial: true,
        ..Options::default()
    };
    let undone = undone(&events, &shop(), &wanted);
    assert_eq!(told(&undone.coverage), ([2, 0, 0], vec![(Reason::ReferenceStaysAway, Some(2))]));
    assert!(acts(&undone.sql).is_empty(), "{}", undone.sql);
}

#[test]
fn who_references_a_row_of_a_circle_stays_as_it_is() {
    let events = [
        event(1, "update", USER, r#"{"id":1,"n":1}"#, r#"{"id":9,"n":1}"#),
        event(2, "update", USER, r#"{"id":2,"n":2}"#, r#"{"id":1,"n":2}"#),
        event(3, "update", USER, r#"{"id":9,"n":1}"#, r#"{"id":2,"n":1}"#),
        event(4, "update", ORDER, r#"{"id":7,"parent":1}"#, r#"{"id":7,"parent":2}"#),
    ];
    let Undo { sql, coverage } = undone(&events, &shop(), &Options::default());
    let reasons: Vec<_> = coverage.tables.iter().map(|table| table.missing[0].reason).collect();
    assert_eq!((reasons, acts(&sql).len()), (vec![Reason::UniqueInACircle, Reason::ReferenceStaysAway], 0), "{sql}");
}

#[test]
fn a_column_that_is_no_more_is_missed() {
    let events = [
        event(1, "delete", USER, r#"{"id":1,"n":5,"x":7}"#, "null"),
        event(2, "delete", USER, r#"{"id":2,"n":5,"x":null}"#, "null"),
        event(3, "update", USER, r#"{"id":3,"n":5,"x":7}"#, r#"{"id":3,"n":6,"x":7}"#),
        event(4, "update", USER, r#"{"id":4,"n":5,"x":7}"#, r#"{"id":4,"n":6,"x":8}"#),
        event(5, "update", USER, r#"{"id":5,"n":5,"x":7}"#, r#"{"id":5,"n":5,"x":8}"#),
    ];
    let mut schema = shop();
    schema.tables.get_mut(&USER).unwrap().dropped.push(3);
    let of = |partial| {
        let Undo { sql, coverage } = undone(&events, &schema, &Options { partial, ..Options::default() });
        assert!(coverage.tables[0].missing.iter().all(|missing| missing.columns == ["x"]), "{coverage}");
        (told(&coverage), acts(&sql).len())
    };
    // Where there was nothing in it, and where it was not changed, nothing is lost.
    assert_eq!(of(false), (([5, 2, 0], vec![(Reason::ColumnGone, Some(3))]), 2));
    assert_eq!(of(true), (([5, 4, 0], vec![(Reason::ColumnGone, Some(1)), (Reason::ColumnGone, Some(2))]), 2));
}

#[test]
fn columns_that_exchanged_their_names_keep_their_values() {
    let mut schema = shop();
    let table = schema.tables.get_mut(&USER).unwrap();
    table.columns = ["id", "x", "n"].iter().zip(1..).map(|(name, number)| column(name, number)).collect();
    let deleted = [event(1, "delete", USER, r#"{"id":1,"n":5,"x":7}"#, "null")];
    let Undo { sql, coverage } = undone(&deleted, &schema, &Options::default());
    assert!(coverage.complete && sql.contains(r#"("id", "x", "n") OVERRIDING"#), "{sql}");
    assert!(sql.contains("(CAST('1' AS integer), CAST('5' AS integer), CAST('7' AS integer))"), "{sql}");
}

#[test]
fn equal_rows_that_others_changed_and_changed_back_are_not_undone_twice() {
    let mut schema = shop();
    schema.foreign_keys.clear();
    schema.tables.get_mut(&USER).unwrap().keys.clear();
    let row = |n: u32| format!(r#"{{"id":1,"n":{n}}}"#);
    let update = |ordinal, from, to| event(ordinal, "update", USER, &row(from), &row(to));
    let events: Vec<_> = (1..=100).map(|nth| update(nth, 1, 2)).collect();
    // Somebody goes on with one of them, and returns it; that one is his.
    let mut later = vec![update(101, 2, 3), update(102, 3, 2)];
    let once = undone_after(&events, &later, &schema, &Options::default());
    assert_eq!(told(&once.coverage), ([100, 99, 0], vec![(Reason::ChangedLater, Some(1))]));
    later.extend((0..99).map(|nth| update(200 + nth, 2, 1)));
    let twice = undone_after(&events, &later, &schema, &Options::default());
    assert_eq!((told(&twice.coverage), acts(&twice.sql).len()), (([100, 0, 99], vec![(Reason::ChangedLater, Some(1))]), 0));
}

#[test]
fn of_what_came_later_only_what_has_to_do_with_the_rows_matters() {
    let undone = [
        event(1, "update", USER, r#"{"id":1,"n":1}"#, r#"{"id":2,"n":1}"#),
        event(2, "delete", USER, r#"{"id":5,"n":1}"#, "null"),
    ];
    let later = [
        event(11, "update", USER, r#"{"id":2,"n":1}"#, r#"{"id":3,"n":1}"#),
        event(12, "delete", USER, r#"{"id":3,"n":1}"#, "null"),
        event(13, "insert", USER, "null", r#"{"id":5,"n":7}"#),
        event(14, "insert", USER, "null", r#"{"id":4,"n":1}"#),
        event(15, "insert", ORDER, "null", r#"{"id":2,"parent":1}"#),
        event(16, "truncate", USER, "null", "null"),
        // References what is to go.
        event(17, "insert", ORDER, "null", r#"{"id":3,"parent":2}"#),
        event(18, "delete", ORDER, r#"{"id":3,"parent":null}"#, "null"),
    ];
    let (schema, undone, later) = (shop(), changes(&undone), changes(&later));
    let mut sieve = Sieve::new(&undone, &[], &schema);
    let kept: Vec<u64> = later.iter().filter(|change| sieve.keeps(change)).map(|change| change.tx.ordinal).collect();
    assert_eq!(kept, [11, 12, 13, 16, 17, 18]);
}

#[test]
fn changes_that_are_lost_are_counted_as_such() {
    let coverage = |lost| {
        let warnings = vec!["Not all of it is kept.".to_owned()];
        let subject = Subject { warnings, lost, ..Subject::default() };
        let events = [event(1, "delete", USER, r#"{"id":1,"n":5}"#, "null")];
        let changes = changes(&events);
        super::coverage(Changes { undone: &changes, beside: &[], later: &[] }, &shop(), &Options::default(), subject)
    };
    let some = coverage(Some(7));
    assert!(!some.complete && some.rows == 1 && some.to_string().starts_with("1 of up to 8 rows can be brought back."), "{some}");
    let any = coverage(None);
    assert!(!any.complete && any.to_string().starts_with("1 of an unknown number of rows"), "{any}");
}
