//! Every shape of the stream in every form.

use super::*;
use crate::event::fixture;

const HELLO: &str =
    r#"{"type":"hello","protocol":1,"epoch":"k3","database":{"name":"my app","oid":16384},"lsn":"0/0","oldest":null}"#;
const GAP: &str = r#"{"type":"gap","from":"k3.0-10.2","to":"k3.0-20.1","reason":"evicted"}"#;
const ERROR: &str = r#"{"type":"error","code":"bad_filter","message":"no such operator"}"#;
const LONE_MESSAGE: &str = r#"{"type":"message","id":"k3.0-ABC.1","tx":null,"prefix":"","content":"hi"}"#;
const COUNTS: &str = r#"{"type":"counts","as_of":{},"tables":[]}"#;

/// What one connection's objects become.
fn formatted(format: Format, colour: bool) -> String {
    let mut formatter = Formatter::new(format, colour);
    let transaction = fixture::lines(&fixture::every_shape());
    let objects = [HELLO, COUNTS].into_iter().chain(transaction.iter().map(String::as_str)).chain([LONE_MESSAGE, GAP, ERROR]);
    let lines = objects.filter_map(|json| match formatter.format(json).unwrap() {
        Output::Lines(lines) => Some(lines),
        Output::Notice(notice) => Some(format!("(notice) {notice}")),
        Output::Nothing => None,
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn pretty() {
    insta::assert_snapshot!(formatted(Format::Pretty, false));
}

#[test]
fn pretty_in_colour() {
    insta::assert_snapshot!(formatted(Format::Pretty, true).replace('\u{1b}', "␛"));
}

#[test]
fn debezium() {
    insta::assert_snapshot!(formatted(Format::Debezium, false));
}

#[test]
fn wal2json() {
    insta::assert_snapshot!(formatted(Format::Wal2json, false));
}

#[test]
fn cloudevents() {
    insta::assert_snapshot!(formatted(Format::Cloudevents, false));
}

#[test]
fn who_asks_for_a_table_that_is_not_there_is_told() {
    let hello = r#"{"type":"hello","protocol":1,"database":null,"no_such_table":["public.Usr","shop.x"]}"#;
    for format in Format::ALL.into_iter().filter(|format| *format != Format::Json) {
        let told = Formatter::new(format, false).format(hello).unwrap();
        assert_eq!(told, Output::Notice("there is no table public.Usr, shop.x (now)".to_owned()));
        assert_eq!(Formatter::new(format, false).format(HELLO).unwrap(), Output::Nothing);
    }
}

#[test]
fn what_was_cut_is_named_in_every_form() {
    let update = r#"{"type":"change","id":"k3.0-10.1","op":"update","schema":"public","table":"t","oid":1,
        "tx":{"id":"k3-0-10","xid":7,"lsn":"0/10","time":"2026-11-22T14:02:11.204113Z","ordinal":1},
        "key":{"id":7},"old":{"id":7},"new":{"id":7,"body":"short"},"old_complete":false,"unchanged":["image"],"count":1,
        "cut":{"old":{"body":900000000,"image":5000000},"new":{"image":5000000,"notes":7000000}}}"#;
    let message = r#"{"type":"message","id":"k3.0-ABC.1","tx":null,"prefix":"app","content":null,"cut":{"content":9000000}}"#;
    let lines = |format| {
        [update, message].map(|json| match Formatter::new(format, false).format(json).unwrap() {
            Output::Lines(lines) => lines.lines().last().unwrap().to_owned(),
            other => panic!("{other:?}"),
        })
    };
    let [update, message] = lines(Format::Pretty);
    let cut = "  body (900000000 bytes, too long to be kept) → short  image (5000000 bytes, too long to be kept)  \
               notes=(7000000 bytes, too long to be kept)  · 1 rows";
    assert!(update.ends_with(&format!("t id=7{cut}")), "{update}");
    assert!(message.ends_with("app  (9000000 bytes, too long to be kept)"), "{message}");

    let [update, message] = lines(Format::Debezium).map(|line| serde_json::from_str::<serde_json::Value>(&line).unwrap());
    assert_eq!(update["before"]["body"], "__debezium_unavailable_value");
    assert_eq!((&update["after"]["body"], &update["after"]["notes"]), (&"short".into(), &update["before"]["body"]));
    assert_eq!(message["message"]["content"], serde_json::Value::Null);

    let [update, message] = lines(Format::Wal2json).map(|line| serde_json::from_str::<serde_json::Value>(&line).unwrap());
    assert_eq!((&update["cut"]["new"]["notes"], &message["cut"]["content"]), (&7_000_000.into(), &9_000_000.into()));
    assert_eq!(message.get("content"), None);
}

#[test]
fn json_is_the_stream_itself() {
    let mut formatter = Formatter::new(Format::Json, false);
    assert_eq!(formatter.format(GAP).unwrap(), Output::Lines(GAP.to_owned()));
}

#[test]
fn every_line_of_a_machine_format_is_json() {
    for format in [Format::Debezium, Format::Wal2json, Format::Cloudevents] {
        for line in formatted(format, false).lines().filter(|line| !line.starts_with("(notice)")) {
            assert!(serde_json::from_str::<serde_json::Value>(line).is_ok(), "{line}");
        }
    }
}

#[test]
fn a_terminal_is_given_nothing_to_obey() {
    let hostile = r#"{"type":"message","id":"k3.0-ABC.1","tx":null,"prefix":"\u001b[2J","content":"\u009b31m\u0007"}"#;
    let Output::Lines(line) = Formatter::new(Format::Pretty, false).format(hostile).unwrap() else { panic!("no line") };
    assert!(!line.contains(char::is_control), "{line:?}");
}

#[test]
fn a_commit_says_who_and_by_which_statement() {
    let line = |actor: &str| {
        let commit = format!(
            r#"{{"type":"commit","id":"k3.0-10.2","tx":{{"id":"k3-0-10","xid":771,"lsn":"0/10","time":"2026-11-22T14:02:11.204113Z",
               "ordinal":2,"changes":1,"actor":{actor}}},"tables":[]}}"#
        );
        let Output::Lines(line) = Formatter::new(Format::Pretty, false).format(&commit).unwrap() else { panic!("no line") };
        line.split_once("1 change").unwrap().1.to_owned()
    };
    let told = r#"{"session_user":"an\"n","application_name":"psql","query":"delete\n  from \u001b t","source":"trigger"}"#;
    assert_eq!(line(told), r#" by an"n (psql): delete from \u{1b} t"#);
    assert_eq!(line(r#"{"session_user":null,"source":"annotation","annotation":{"user":"paul"}}"#), r#" by {"user":"paul"}"#);
    assert_eq!(line("null"), "");
}

#[test]
fn formats_are_known_by_name() {
    for format in Format::ALL {
        assert_eq!(format.as_str().parse(), Ok(format));
    }
    assert!("xml".parse::<Format>().unwrap_err().to_string().contains("debezium"));
}
