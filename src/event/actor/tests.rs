//! What is made of the messages, those that nobody should have written among them.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::told::{ANNOTATION, NAME};
use super::*;

const XID: Xid = Xid(771);

fn told(query: &str) -> String {
    json!({"xid": "4294968067", "operations": "delete,truncate", "pid": 4711, "session_user": "ann", "current_user": "app",
           "application_name": "psql", "client_addr": "192.0.2.7", "query": query})
    .to_string()
}

fn read(messages: &[(u64, &str, &str)]) -> Attribution {
    let messages = messages.iter().map(|(at, prefix, content)| (*at..=*at, prefix.as_bytes(), Some(content.as_bytes())));
    Attribution::read(XID, messages, &Encoding::Utf8)
}

/// What a change at this place carries.
fn at(attribution: &Attribution, position: u64, operation: impl Into<Option<Operation>>) -> Value {
    match attribution.stretch(attribution.stretch_at(position)) {
        None => Value::Null,
        Some(stretch) => {
            let json = std::str::from_utf8(stretch.json(operation.into())).unwrap();
            serde_json::from_str(json.strip_prefix(",\"actor\":").unwrap()).unwrap()
        }
    }
}

fn whole(attribution: &Attribution) -> Value {
    json!(attribution.actor(None))
}

#[test]
fn a_trigger_tells_of_what_came_before_it_and_the_last_one_of_the_rest() {
    let attribution = read(&[(2, "pgvigil.actor", &told("first")), (5, "pgvigil.actor", &told("second"))]);
    let queries: Vec<_> = (0..8).map(|place| at(&attribution, place, Operation::Delete)["query"].clone()).collect();
    assert_eq!(queries, ["first", "first", "first", "second", "second", "second", "second", "second"]);
    let expected = json!({"session_user": "ann", "current_user": "app", "application_name": "psql", "client_addr": "192.0.2.7",
                          "pid": 4711, "query": "first", "source": "trigger"});
    assert_eq!(whole(&attribution), expected);
    // No trigger fires for an insert, so which statement made it was not told.
    assert_eq!(at(&attribution, 0, Operation::Insert), {
        let mut without = expected.clone();
        without["query"] = Value::Null;
        without
    });
}

#[test]
fn an_annotation_tells_of_what_comes_after_it_and_the_first_one_of_all_before() {
    let attribution = read(&[(2, "_bemi", r#"{"user": 1}"#), (4, "pgvigil.annotation", r#"{"user": 2}"#)]);
    let users: Vec<_> = (0..7).map(|place| at(&attribution, place, Operation::Delete)["annotation"]["user"].clone()).collect();
    assert_eq!(users, [1, 1, 1, 1, 1, 2, 2]);
    assert_eq!(whole(&attribution)["source"], "annotation");
    let cleared =
        read(&[(1, "sequin:transaction_annotations.set", r#"{"a": 1}"#), (3, "sequin:transaction_annotations.clear", "")]);
    assert_eq!(at(&cleared, 3, Operation::Insert)["annotation"], json!({"a": 1}));
    assert_eq!(at(&cleared, 4, Operation::Insert), Value::Null);
}

#[test]
fn a_trigger_says_who_and_an_annotation_what_else() {
    let attribution = read(&[(0, "_bemi", r#"{"user": "paul", "session_user": "root"}"#), (3, "pgvigil.actor", &told("x"))]);
    let actor = whole(&attribution);
    assert_eq!((&actor["source"], &actor["session_user"]), (&json!("trigger"), &json!("ann")));
    assert_eq!(actor["annotation"], json!({"user": "paul", "session_user": "root"}));
    let names: Vec<_> = attribution.names().unwrap().iter().collect();
    assert_eq!(names, ["192.0.2.7", "ann", "app", "paul", "psql", "root"]);
}

#[test]
fn ddl_tells_who_too() {
    let ddl =
        json!({"event": "dropped", "sql": "drop table t", "actor": {"xid": "771", "session_user": "ann", "current_user": "ann"}});
    let attribution = read(&[(3, "pgvigil.ddl", &ddl.to_string())]);
    assert_eq!(whole(&attribution)["query"], "drop table t");
    assert_eq!(at(&attribution, 0, Operation::Delete)["query"], Value::Null);
}

#[test]
fn what_is_not_as_it_should_be_is_nobody() {
    let long = "x".repeat(NAME + 1);
    let with = |field: &str, value: Value| {
        let mut told: Value = serde_json::from_str(&told("x")).unwrap();
        told[field] = value;
        told.to_string()
    };
    for content in [
        String::new(),
        "null".into(),
        "{}".into(),
        "{\"xid\": \"771\"".into(),
        with("xid", json!("772")),
        with("xid", json!(771)),
        with("xid", json!("-771")),
        with("session_user", json!(null)),
        with("session_user", json!(["ann"])),
        with("session_user", json!(long)),
        with("application_name", json!(long)),
        with("client_addr", json!("<script>")),
        with("pid", json!(-1)),
        "[".repeat(100_000),
        format!("{{\"a\":{}", "[".repeat(60_000)),
    ] {
        assert!(read(&[(0, "pgvigil.actor", &content)]).actor(None).is_none(), "{content:.80}");
    }
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(120), "]".repeat(120));
    for content in ["", "null", "[]", "7", "{\"a\":1e400}", "{\"a\":\"\\ud800\"}", "{} {}", &deep] {
        assert!(read(&[(0, "_bemi", content)]).actor(None).is_none(), "{content}");
    }
    assert!(read(&[(0, "_bemi", &json!({"a": "x".repeat(ANNOTATION)}).to_string())]).actor(None).is_none());
}

#[test]
fn what_every_change_carries_is_short() {
    let annotation = json!({"a": "x".repeat(ANNOTATION - 100)}).to_string();
    let attribution = read(&[(0, "_bemi", &annotation), (9, "pgvigil.actor", &told(&"ž\u{1}".repeat(5_000)))]);
    assert_eq!(whole(&attribution)["query"].as_str().map(|query| query.chars().count()), Some(10_000));
    let stretch = attribution.stretch(0).unwrap();
    assert!(stretch.json(Some(Operation::Delete)).len() < 1500 && whole(&attribution)["annotation"].is_object());
    assert_eq!(at(&attribution, 0, Operation::Delete)["query"], format!("{}…", "ž\u{1}".repeat(QUERY_OF_A_CHANGE / 2)));
}

#[test]
fn of_what_was_left_out_nobody_is_known() {
    let (first, last) = (told("first"), told("last"));
    let messages = [
        (2..=2, TRIGGER, Some(first.as_bytes())),
        (4..=6, TRIGGER, None),
        (9..=9, TRIGGER, Some(last.as_bytes())),
        (1..=1, ANNOTATIONS[0], Some(&br#"{"n": 1}"#[..])),
        (3..=5, ANNOTATIONS[0], None),
        (8..=8, ANNOTATIONS[0], Some(br#"{"n": 2}"#)),
    ];
    let attribution = Attribution::read(XID, messages.into_iter(), &Encoding::Utf8);
    let said: Vec<_> = (0..11)
        .map(|place| at(&attribution, place, Operation::Delete))
        .map(|actor| (actor["query"].as_str().map(str::to_owned), actor["annotation"]["n"].as_u64()))
        .collect();
    let said: Vec<_> = said.iter().map(|(query, n)| (query.as_deref(), *n)).collect();
    let (first, last, nobody) = (Some("first"), Some("last"), None);
    // A trigger tells of what is before it, an annotation of what is behind it.
    let expected = [
        (first, Some(1)),
        (first, Some(1)),
        (first, Some(1)),
        (nobody, Some(1)),
        (nobody, None),
        (nobody, None),
        (nobody, None),
        (last, None),
        (last, None),
        (last, Some(2)),
        (last, Some(2)),
    ];
    assert_eq!(said, expected);
}

#[test]
fn what_is_said_again_holds_in_between() {
    let (ann, again) = (told("x"), told("x"));
    let ddl = json!({"actor": {"xid": "771", "session_user": "bob", "current_user": "bob"}}).to_string();
    let messages = [
        (2..=6, TRIGGER, Some(ann.as_bytes())),
        (4..=4, DdlMessage::PREFIX, Some(ddl.as_bytes())),
        (9..=9, TRIGGER, Some(again.as_bytes())),
    ];
    let attribution = Attribution::read(XID, messages.into_iter(), &Encoding::Utf8);
    let users: Vec<_> = (1..9).map(|place| at(&attribution, place, None)["session_user"].clone()).collect();
    assert_eq!(users, ["ann", "ann", "ann", "bob", "ann", "ann", "ann", "ann"]);
    // Of what fires no trigger only that is known which all have.
    let insert = at(&attribution, 1, Operation::Insert);
    assert_eq!((&insert["session_user"], &insert["source"]), (&Value::Null, &json!("trigger")));
    assert_eq!(at(&attribution, 1, Operation::Delete)["session_user"], "ann");
}

#[test]
fn who_goes_on_does_so_up_to_where_the_next_message_says() {
    let by = |user: &str, until: Value| {
        let mut told: Value = serde_json::from_str(&told(user)).unwrap();
        (told["current_user"], told["until"]) = (json!(user), until);
        told.to_string()
    };
    let (one, two, three) = (by("one", Value::Null), by("two", json!("0/7")), by("three", json!("0/9")));
    let nobody = json!({"xid": "771", "until": "0/C"}).to_string();
    fn trigger(at: u64, content: &str) -> (u64, &str, &str) {
        (at, "pgvigil.actor", content)
    }
    let attribution = read(&[trigger(2, &one), trigger(8, &two), trigger(9, &three), trigger(13, &nobody)]);
    let users = |attribution: &Attribution| {
        let users: Vec<_> = (0..15).map(|place| at(attribution, place, Operation::Delete)["current_user"].clone()).collect();
        users
            .iter()
            .map(|user| user.as_str().map_or_else(String::new, |user| user.get(..2).unwrap().to_owned()))
            .collect::<Vec<_>>()
    };
    // Whoever had not gone on ended with the message.
    assert_eq!(users(&attribution), ["on", "on", "on", "on", "on", "on", "on", "tw", "tw", "th", "th", "th", "", "", ""]);

    // What a session has made of it is nothing that a position could be, or none that could be so.
    for until in [json!("junk"), json!("FFFFFFFF/FFFFFFFF"), json!("0/0"), Value::Null] {
        let attribution = read(&[trigger(2, &one), trigger(8, &by("two", until))]);
        assert_eq!(users(&attribution)[..9], ["on", "on", "on", "tw", "tw", "tw", "tw", "tw", "tw"]);
    }
}

#[test]
fn the_last_message_may_say_that_nobody_is_told_of_any_more() {
    let attribution = read(&[(2, "pgvigil.actor", &told("x")), (5, "pgvigil.actor", r#"{"xid": "771"}"#)]);
    assert_eq!(at(&attribution, 2, Operation::Delete)["query"], "x");
    assert_eq!([3, 5, 6].map(|place| at(&attribution, place, Operation::Delete)), [Value::Null, Value::Null, Value::Null]);
}

#[test]
fn what_says_nothing_is_known_for_it() {
    let says = |prefix: &[u8], content: &str| is_said(XID, prefix, content.as_bytes(), &Encoding::Utf8);
    let ddl = r#"{"event": "publication", "command": "ALTER PUBLICATION", "sql": null, "publication": "p"}"#;
    assert!(says(TRIGGER, &told("x")) && says(ANNOTATIONS[2], "{}") && says(CLEAR, "") && says(DdlMessage::PREFIX, ddl));
    assert!(PREFIXES.iter().all(|prefix| *prefix == CLEAR || !says(prefix, "junk")));
    assert!(!says(TRIGGER, &told("x").replace("4294968067", "4294968068")));
}

#[test]
fn bytes_that_mean_nothing_are_replaced() {
    let content = told("delete \u{FFFF}").replace('\u{FFFF}', "\u{1}\u{1}");
    let content: Vec<u8> = content.into_bytes().into_iter().map(|byte| if byte == 1 { 0xFF } else { byte }).collect();
    let attribution = Attribution::read(XID, [(0..=0, TRIGGER, Some(&*content))].into_iter(), &Encoding::SqlAscii);
    assert_eq!(attribution.actor(None).map(|actor| actor.session_user.as_deref()), Some(Some("ann")));
}

proptest! {
    #[test]
    fn any_messages_are_read(messages in prop::collection::vec((0..PREFIXES.len(), ".{0,40}"), 0..6)) {
        let messages = (0..).zip(&messages).map(|(at, (prefix, content))| (at..=at, PREFIXES[*prefix], Some(content.as_bytes())));
        let attribution = Attribution::read(XID, messages, &Encoding::Utf8);
        prop_assert!(attribution.actor(None).is_none_or(|actor| actor.source == Source::Annotation));
    }
}
