//! What the encoder writes, to the byte: the shapes are promised.

use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::fixture::{self, INT4, JSONB, TEXT, encoded, head, relation, row, text, users};
use super::*;
use crate::encoding::Encoding;
use crate::lsn::{EventId, Lsn, Oid, Place};
use crate::pgoutput::{self, Content, Old, ReplicaIdentity, Text, Timestamp, Value};

fn json(line: &str) -> Json {
    serde_json::from_str(line).unwrap()
}

/// One change of `relation`, as JSON.
fn change(relation: &Relation, operation: Operation, old: Option<&Old<'_>>, new: Option<&pgoutput::Tuple<'_>>) -> Json {
    let lines = encoded(Encoding::Utf8, |encoder, block| encoder.change(block, relation, operation, old, new, None));
    json(&lines[0])
}

#[test]
fn every_shape_is_the_promised_one() {
    insta::assert_snapshot!(fixture::lines(&fixture::every_shape()).join("\n"));
}

#[test]
fn heads_say_what_the_json_says() {
    let block = fixture::every_shape();
    for (nth, head) in block.heads().iter().enumerate() {
        let event = json(std::str::from_utf8(&block.json(head)).unwrap());
        assert_eq!(event["id"], json!(block.id(head).to_string()));
        assert_eq!(head.place, Place { commit_lsn: Lsn(0x1A2_B3C8), ordinal: nth as u64 + 1 });
        assert_eq!(event["tx"]["ordinal"], json!(head.place.ordinal));
        assert_eq!(event["tx"]["xid"], json!(head.xid.unwrap().0));
        assert_eq!(head.operation.is_some(), event["type"] == "change");
        assert_eq!(head.table.is_some(), event["type"] == "change" || event["type"] == "ddl");
    }
}

#[test]
fn ordinals_begin_anew_with_each_transaction() {
    let users = users(ReplicaIdentity::Default);
    let row = row(&[text("1"), Value::Null, Value::Null]);
    let lines = encoded(Encoding::Utf8, |encoder, block| {
        encoder.change(block, &users, Operation::Insert, None, Some(&row.as_tuple()), None);
        encoder.commit(block, &[]);
        encoder.begin(&TransactionHead { commit_lsn: Lsn(0x10), ..head() });
        encoder.commit(block, &[]);
    });
    let ids: Vec<_> = lines.iter().map(|line| json(line)["id"].clone()).collect();
    assert_eq!(ids, ["k3.0-1A2B3C8.1", "k3.0-1A2B3C8.2", "k3.0-10.1"]);
    assert_eq!((&json(&lines[1])["tx"]["changes"], &json(&lines[2])["tx"]["changes"]), (&json!(1), &json!(0)));
}

#[test]
fn who_did_it_stands_in_the_transaction_of_each_event() {
    let users = users(ReplicaIdentity::Default);
    let row = row(&[text("1"), Value::Null, Value::Null]);
    let told = |user: &str| {
        json!({"xid": "771", "operations": "delete", "session_user": user, "current_user": user, "query": format!("q of {user}")})
            .to_string()
    };
    let (ann, bob) = (told("ann"), told("bob"));
    let messages = [(1..=1, &b"pgvigil.actor"[..], Some(ann.as_bytes())), (3..=3, b"pgvigil.actor", Some(bob.as_bytes()))];
    let block = fixture::block(Encoding::Utf8, |encoder, block| {
        encoder.attribute(Attribution::read(head().xid, messages.into_iter(), &Encoding::Utf8));
        for position in [0, 2, 4] {
            encoder.reach(position);
            encoder.change(block, &users, Operation::Insert, None, Some(&row.as_tuple()), None);
            encoder.change(block, &users, Operation::Delete, Some(&Old::Key(row.as_tuple())), None, None);
        }
        encoder.commit(block, &[]);
        encoder.begin(&TransactionHead { commit_lsn: Lsn(0x10), ..head() });
        encoder.change(block, &users, Operation::Insert, None, Some(&row.as_tuple()), None);
    });
    let lines: Vec<Json> = fixture::lines(&block).iter().map(|line| json(line)).collect();
    let seen: Vec<_> = lines.iter().map(|line| (&line["tx"]["actor"]["session_user"], &line["tx"]["actor"]["query"])).collect();
    let (ann, bob, of_ann, of_bob, none) = (json!("ann"), json!("bob"), json!("q of ann"), json!("q of bob"), Json::Null);
    let expected = [(&none, &none), (&ann, &of_ann), (&none, &none), (&bob, &of_bob), (&none, &none), (&bob, &of_bob)];
    assert_eq!(seen[..6], expected);
    assert_eq!((seen[6], seen[7]), ((&ann, &of_ann), (&none, &none)));
    assert!(lines[7]["tx"].as_object().is_some_and(|tx| !tx.contains_key("actor")), "of nobody nothing is said");
    let names: Vec<Vec<&str>> = block
        .heads()
        .iter()
        .filter_map(|head| Some(block.actors()[usize::from(head.actor?.get()) - 1].iter().collect()))
        .collect();
    assert_eq!(names, [vec!["ann"], vec!["ann"], vec!["bob"], vec!["bob"], vec!["bob"], vec!["bob"], vec!["ann", "bob"]]);
}

#[test]
fn the_key_is_of_the_new_row_and_of_the_old_one_when_there_is_no_other() {
    let users = users(ReplicaIdentity::Default);
    let (old, new) = (row(&[text("7"), Value::Null, Value::Null]), row(&[text("8"), text("a"), Value::Null]));
    let old = Old::Key(old.as_tuple());
    let update = change(&users, Operation::Update, Some(&old), Some(&new.as_tuple()));
    assert_eq!((&update["key"], &update["old"]), (&json!({"id": 8}), &json!({"id": 7})));
    assert_eq!(change(&users, Operation::Delete, Some(&old), None)["key"], json!({"id": 7}));
}

#[test]
fn identity_full_has_the_key_it_is_told() {
    let mut users = users(ReplicaIdentity::Full);
    let ann = row(&[text("7"), text("ann"), Value::Null]);
    let delete = |users: &Relation| change(users, Operation::Delete, Some(&Old::Full(ann.as_tuple())), None);
    assert_eq!(delete(&users)["key"], json!(null));
    users.set_primary_key(&["email", "id"]);
    assert_eq!(delete(&users)["key"], json!({"email": "ann", "id": 7}));
    users.set_primary_key(&["id", "not published"]);
    assert_eq!(delete(&users)["key"], json!(null));
}

#[test]
fn an_old_key_is_the_whole_row_when_every_column_is_in_it() {
    let pairs = relation(ReplicaIdentity::Default, &[(true, "a", INT4), (true, "b", INT4)], &Encoding::Utf8);
    let old = row(&[text("1"), text("2")]);
    let delete = change(&pairs, Operation::Delete, Some(&Old::Key(old.as_tuple())), None);
    assert_eq!((&delete["old"], &delete["old_complete"]), (&json!({"a": 1, "b": 2}), &json!(true)));
}

#[test]
fn a_large_value_that_was_not_sent_is_listed_and_filled_from_the_old_row() {
    let (old, new) = (row(&[text("7"), text("a"), text("[1]")]), row(&[text("7"), text("b"), Value::Unchanged]));
    let filled =
        change(&users(ReplicaIdentity::Full), Operation::Update, Some(&Old::Full(old.as_tuple())), Some(&new.as_tuple()));
    assert_eq!(filled["new"], json!({"id": 7, "email": "b", "profile": [1]}));
    assert_eq!((&filled["unchanged"], &filled["old_complete"]), (&json!(["profile"]), &json!(true)));
    let missing = change(&users(ReplicaIdentity::Default), Operation::Update, None, Some(&new.as_tuple()));
    assert_eq!(missing["new"], json!({"id": 7, "email": "b"}));
    assert_eq!((&missing["unchanged"], &missing["old_complete"]), (&json!(["profile"]), &json!(false)));
}

#[test]
fn a_key_that_was_not_sent_comes_from_the_old_row() {
    let pages = relation(ReplicaIdentity::Default, &[(true, "path", TEXT), (false, "n", INT4)], &Encoding::Utf8);
    let (old, new) = (row(&[text("long"), Value::Null]), row(&[Value::Unchanged, text("1")]));
    let update = change(&pages, Operation::Update, Some(&Old::Key(old.as_tuple())), Some(&new.as_tuple()));
    assert_eq!(update["key"], json!({"path": "long"}));
}

#[test]
fn a_value_that_was_cut_is_not_shown_but_how_long_it_is() {
    let users = users(ReplicaIdentity::Full);
    let old = row(&[text("7"), Value::Cut(900 << 20), Value::Cut(2 << 20)]);
    let new = row(&[text("7"), text("short"), Value::Unchanged]);
    let update = change(&users, Operation::Update, Some(&Old::Full(old.as_tuple())), Some(&new.as_tuple()));
    let cut = json!({"old": {"email": 900 << 20, "profile": 2 << 20}, "new": {"profile": 2 << 20}});
    assert_eq!((&update["old"], &update["new"]), (&json!({"id": 7}), &json!({"id": 7, "email": "short"})));
    assert_eq!((&update["cut"], &update["unchanged"], &update["old_complete"]), (&cut, &json!(["profile"]), &json!(false)));
    let insert = change(&users, Operation::Insert, None, Some(&old.as_tuple()));
    assert_eq!((&insert["new"], &insert["cut"]["old"]), (&json!({"id": 7}), &json!({})));
    // The old value does not stand in for a new one in the key.
    let named = relation(ReplicaIdentity::Default, &[(true, "id", INT4), (true, "name", TEXT)], &Encoding::Utf8);
    let (before, after) = (row(&[text("7"), text("ann")]), row(&[text("7"), Value::Cut(5000)]));
    let renamed = change(&named, Operation::Update, Some(&Old::Key(before.as_tuple())), Some(&after.as_tuple()));
    assert_eq!((&renamed["key"], &renamed["old"]), (&json!({"id": 7}), &json!({"id": 7, "name": "ann"})));
    assert_eq!(change(&users, Operation::Insert, None, Some(&new.as_tuple())).get("cut"), None);
}

#[test]
fn of_a_message_that_was_cut_the_beginning_of_its_prefix_is_left() {
    let cut = |prefix| Content::Cut { prefix, content: 7 << 20 };
    let lines = encoded(Encoding::Utf8, |encoder, block| {
        encoder.message(block, b"app", cut(3));
        encoder.lone_message(block, Lsn(0xABC), Timestamp(0), b"app", cut(9));
    });
    let [first, second] = [&lines[0], &lines[1]].map(|line| serde_json::from_str::<Json>(line).unwrap());
    assert_eq!((&first["content"], &first["cut"]), (&Json::Null, &json!({"content": 7 << 20})));
    assert_eq!((&second["content"], &second["cut"]), (&Json::Null, &json!({"prefix": 9, "content": 7 << 20})));
    assert!(lines.iter().all(|line| received::Event::read(line).is_ok()));
}

#[test]
fn bytes_that_mean_nothing_are_replaced_and_their_columns_named_once() {
    let users = users(ReplicaIdentity::Full);
    let bad = row(&[text("7"), Value::Text(b"a\xFFb"), Value::Null]);
    let event = change(&users, Operation::Update, Some(&Old::Full(bad.as_tuple())), Some(&bad.as_tuple()));
    assert_eq!((&event["new"]["email"], &event["invalid"]), (&json!("a\u{FFFD}b"), &json!(["email"])));
}

#[test]
fn the_text_is_given_beside_a_json_that_does_not_tell_it() {
    let (by_key, whole) = (users(ReplicaIdentity::Default), users(ReplicaIdentity::Full));
    let (null, document) = (row(&[text("7"), Value::Null, text("null")]), row(&[text("7"), Value::Null, text("[1]")]));
    let update = |old: &pgoutput::encode::TupleBuf, new: &pgoutput::encode::TupleBuf| {
        change(&whole, Operation::Update, Some(&Old::Full(old.as_tuple())), Some(&new.as_tuple()))
    };
    assert_eq!(update(&null, &document)["exact"], json!({"old": {"profile": "null"}, "new": {"profile": "[1]"}}));
    assert_eq!(update(&document, &document).get("exact"), None);
    let unsent = row(&[text("7"), text("a"), Value::Unchanged]);
    assert_eq!(update(&null, &unsent)["exact"], json!({"old": {"profile": "null"}, "new": {"profile": "null"}}));
    let insert = change(&by_key, Operation::Insert, None, Some(&null.as_tuple()));
    assert_eq!(insert["exact"], json!({"old": {}, "new": {"profile": "null"}}));
}

#[test]
fn a_truncate_tells_the_rows_that_it_took_where_they_are_known() {
    let truncated = |rows: Option<&[pgoutput::Row]>| {
        let events = encoded(Encoding::Utf8, |encoder, block| {
            encoder.truncate(block, &users(ReplicaIdentity::Default), rows.map(|rows| rows.len() as i64), rows, Some(0));
        });
        serde_json::from_str::<serde_json::Value>(&events[0]).unwrap()
    };
    assert_eq!(truncated(None).get("old_rows"), None);
    assert_eq!(truncated(Some(&[]))["old_rows"], json!([]));

    let plain = row(&[text("7"), text("a"), Value::Null]);
    let event = truncated(Some(&[plain.clone().into()]));
    assert_eq!(event["old_rows"], json!([{"id": 7, "email": "a", "profile": null}]));
    assert_eq!((event.get("exact"), event.get("invalid"), &event["rows_lost"]), (None, None, &json!(1)));

    let odd = row(&[text("8"), Value::Text(b"\xFF"), text("null")]);
    let event = truncated(Some(&[plain.into(), odd.into()]));
    assert_eq!(event["old_rows"][1], json!({"id": 8, "email": "\u{FFFD}", "profile": null}));
    assert_eq!(event["exact"], json!({"old": {}, "new": {}, "old_rows": [{}, {"profile": "null"}]}));
    assert_eq!(event["invalid"], json!(["email"]));
}

#[test]
fn names_are_converted_and_escaped() {
    let columns: pgoutput::encode::ColumnsBuf =
        [pgoutput::Column { key: true, name: Text(b"caf\xE9 \"x\""), type_oid: Oid(INT4), typmod: -1 }].into_iter().collect();
    let message = pgoutput::Relation {
        xid: None,
        oid: Oid(1),
        schema: Text(b""),
        name: Text(b"a\\b"),
        identity: ReplicaIdentity::Index,
        columns: columns.as_columns(),
    };
    let event = change(&Relation::new(&message, &Encoding::Latin1), Operation::Insert, None, Some(&row(&[text("1")]).as_tuple()));
    assert_eq!((&event["schema"], &event["table"]), (&json!("pg_catalog"), &json!("a\\b")));
    assert_eq!(event["new"], json!({"café \"x\"": 1}));
}

#[test]
fn a_domain_is_written_as_its_base_type() {
    let mut domains = Domains::default();
    let learn = |schema, name| pgoutput::Type { xid: None, oid: Oid(70_000), schema: Text(schema), name: Text(name) };
    let ages = || relation(ReplicaIdentity::Default, &[(true, "age", 70_000)], &Encoding::Utf8);
    let written = |relation: &Relation| {
        change(relation, Operation::Insert, None, Some(&row(&[text("7")]).as_tuple()))["new"]["age"].clone()
    };
    domains.learn(&learn(b"", b"int4"));
    assert_eq!(written(&ages().with_domains(&domains)), json!(7));
    // The oid was used again, for an enum that happens to be called so.
    domains.learn(&learn(b"public", b"int4"));
    assert_eq!(written(&ages().with_domains(&domains)), json!("7"));
}

#[test]
fn a_table_without_columns_has_rows_too() {
    let empty = relation(ReplicaIdentity::Default, &[], &Encoding::Utf8);
    let event = change(&empty, Operation::Insert, None, Some(&row(&[]).as_tuple()));
    assert_eq!((&event["new"], &event["key"]), (&json!({}), &json!(null)));
}

#[test]
fn a_message_outside_of_any_transaction_has_an_id_and_no_tx() {
    let lines = encoded(Encoding::Utf8, |encoder, block| {
        encoder.lone_message(block, Lsn(0xABC), Timestamp(0), b"app", Content::Whole("žluť".as_bytes()));
    });
    assert_eq!(lines, [r#"{"type":"message","id":"k3.0-ABC.0","tx":null,"prefix":"app","content":"žluť"}"#]);
}

#[test]
fn a_gap_says_from_where_to_where_and_why() {
    let id = |ordinal| EventId { epoch: head().epoch, place: Place { commit_lsn: Lsn(0x10), ordinal } };
    let gap = Gap { from: Some(id(2)), to: id(9), reason: GapReason::SlotLost };
    assert_eq!(gap.json(), r#"{"type":"gap","from":"k3.0-10.2","to":"k3.0-10.9","reason":"slot_lost"}"#);
    let from_nothing = Gap { from: None, to: id(9), reason: GapReason::Evicted };
    assert_eq!(from_nothing.json(), r#"{"type":"gap","from":null,"to":"k3.0-10.9","reason":"evicted"}"#);
}

fn value() -> impl Strategy<Value = Option<Vec<u8>>> {
    prop::option::weighted(0.9, prop::collection::vec(any::<u8>(), 0..30))
}

proptest! {
    /// Whatever a row holds, its event is JSON on one line, with every column in its place.
    #[test]
    fn any_row_becomes_json(values in prop::collection::vec(value(), 3), unsent in 0usize..5, cut in 0usize..5, names in prop::array::uniform3("[^\0]{1,8}")) {
        // No table has two columns of one name.
        prop_assume!(names[0] != names[1] && names[0] != names[2] && names[1] != names[2]);
        let types = [INT4, TEXT, JSONB];
        let columns: Vec<_> = names.iter().zip(types).map(|(name, oid)| (true, name.as_str(), oid)).collect();
        let relation = relation(ReplicaIdentity::Default, &columns, &Encoding::Utf8);
        let values: Vec<_> = values.iter().enumerate().map(|(index, value)| match value {
            _ if index == unsent => Value::Unchanged,
            _ if index == cut => Value::Cut(7),
            Some(bytes) => Value::Text(bytes),
            None => Value::Null,
        }).collect();
        let row = row(&values);
        let lines = encoded(Encoding::Utf8, |encoder, block| {
            let old = Old::Key(row.as_tuple());
            encoder.change(block, &relation, Operation::Update, Some(&old), Some(&row.as_tuple()), Some(-1));
        });
        prop_assert!(!lines[0].contains(['\n', '\r']));
        let event = serde_json::from_str::<Json>(&lines[0]);
        prop_assert!(event.is_ok(), "{}", lines[0]);
        let event = event.unwrap();
        for (index, (name, value)) in names.iter().zip(&values).enumerate() {
            prop_assert_eq!(event["new"].get(name).is_some(), index != unsent && index != cut);
            if *value == Value::Null {
                prop_assert!(event["new"][name].is_null());
            }
        }
        prop_assert!(received::Event::read(&lines[0]).is_ok());
    }
}
