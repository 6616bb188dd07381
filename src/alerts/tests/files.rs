//! Files that are taken, and those that are refused.

use super::*;
use crate::alerts::{Format, Kind, Severity, Source};

fn refused(text: &str) -> String {
    Rules::parse(text, |_| None).unwrap_err().to_string()
}

#[test]
fn without_a_file_there_are_rules() {
    let usual = Rules::usual().unwrap();
    let kinds: Vec<_> = usual.rules.iter().map(|rule| rule.condition.kind().as_str()).collect();
    assert_eq!(
        kinds,
        [
            "count_zero",
            "count_drop",
            "mass_delete",
            "table_dropped",
            "changed_unwatched",
            "recount_differs",
            "not_live",
            "cannot_evaluate",
            "wal_held"
        ]
    );
    // What the file spells out is what holds when it does not.
    for rule in &usual.rules {
        let kind = rule.condition.kind();
        let bare = rules(&format!("defaults = false\n[[rule]]\nkind = \"{kind}\"\n"));
        assert_eq!((&bare.rules[0].condition, bare.rules[0].severity), (&rule.condition, rule.severity));
    }
}

#[test]
fn a_name_that_means_nothing_is_refused_with_its_line_and_what_is_accepted() {
    for (text, expected) in [
        ("[[rule]]\nkind = \"count_zer\"\n", vec!["line 2", "count_zer", "`count_zero`", "`wal_held`"]),
        ("[[rules]]\n", vec!["line 1", "`rules`", "`rule`", "`webhook`"]),
        ("[[rule]]\nkind = \"count_zero\"\nthreshold = 3\n", vec!["line 3", "`threshold`", "`from_rows`"]),
        (
            "\n[[rule]]\nkind = \"count_zero\"\nmin = 3\n",
            vec!["line 2", "min means nothing to a count_zero rule", "from_rows, within"],
        ),
        ("[[rule]]\nkind = \"count_floor\"\n", vec!["give min", "min = 20"]),
        (
            "[[rule]]\nkind = \"count_floor\"\nmin = -5\n",
            vec!["line 1: rule \"count_floor\": min: \"-5\" is not accepted; give a number of rows from 1 on"],
        ),
        ("[[rule]]\nkind = \"count_floor\"\nmin = 0\n", vec!["min: \"0\"", "from 1 on"]),
        ("[[rule]]\nkind = \"count_floor\"\nmin = \"20\"\n", vec!["line 3", "a whole number without quotes, such as 20"]),
        ("[[rule]]\nkind = \"mass_delete\"\nrows = 1.5\n", vec!["line 3", "a whole number without quotes"]),
        ("[[rule]]\nkind = \"mass_delete\"\nrows = -1\n", vec!["rows: \"-1\"", "from 0 on"]),
        ("[[rule]]\nkind = \"count_drop\"\npercent = 300\n", vec!["percent: \"300\"", "1 to 99"]),
        ("[[rule]]\nkind = \"protected_table\"\n", vec!["give tables"]),
        ("[[rule]]\nkind = \"test\"\n", vec!["test"]),
        ("[[rule]]\nkind = \"count_drop\"\npercent = 100\n", vec!["percent", "\"100\"", "1 to 99"]),
        ("[[rule]]\nkind = \"count_drop\"\nwithin = \"soon\"\n", vec!["within", "soon", "15s"]),
        ("[[rule]]\nkind = \"count_drop\"\nwithin = \"0s\"\n", vec!["within", "from 1s on"]),
        ("[[rule]]\nkind = \"not_live\"\nfor = 15\n", vec!["line 3", "a time in quotes", "\"15s\""]),
        ("[[rule]]\nkind = \"count_zero\"\ntables = \"User\"\n", vec!["line 3", "a list", "[\"public.User\""]),
        ("quiet_hours = \"22:00-07:00\"\n", vec!["line 1", "a list of texts"]),
        ("[[rule]]\nkind = \"wal_held\"\nbytes = \"lots\"\n", vec!["bytes", "lots", "512MiB"]),
        ("[[rule]]\nkind = \"count_zero\"\ntables = [\"a.b.c\"]\n", vec!["a.b.c", "schema.name"]),
        ("[[rule]]\nkind = \"count_zero\"\nquiet_hours = [\"nights\"]\n", vec!["quiet_hours", "nights", "22:00-07:00"]),
        ("quiet_hours = [\"25:00-07:00\"]\n[[rule]]\nkind = \"count_zero\"\n", vec!["quiet_hours", "25:00-07:00", "22:00-07:00"]),
        ("[[rule]]\nkind = \"wal_held\"\nbytes = \"0\"\n", vec!["bytes", "\"0\"", "512MiB"]),
        ("[[rule]]\nkind = \"count_zero\"\n[[rule]]\nkind = \"count_zero\"\n", vec!["line 3", "another of this name"]),
        ("timezone = \"Mars/Olympus\"\n", vec!["Mars/Olympus", "Europe/Berlin"]),
        ("[[webhook]]\nname = \"a\"\n", vec!["line 1", "url, url_file and url_env"]),
        ("[[webhook]]\nname = \"a\"\nurl = \"http://x\"\nurl_env = \"X\"\n", vec!["give one of"]),
        ("[[webhook]]\nname = \"a\"\nurl = \"http://x\"\nformat = \"teams\"\n", vec!["teams", "`json`", "`slack`"]),
        ("[[webhook]]\nname = \"a\"\nurl = \"http://x\"\nrules = [\"b\"]\n", vec!["no rule \"b\"", "count_zero, count_drop"]),
    ] {
        let said = refused(text);
        for expected in expected {
            assert!(said.contains(expected), "{expected} is not in: {said}");
        }
    }
}

#[test]
fn rules_of_counts_are_never_blind_unnoticed() {
    let own = rules("[[rule]]\nkind = \"count_floor\"\nmin = 20\n");
    let kinds: Vec<_> = own.rules.iter().map(|rule| rule.condition.kind()).collect();
    assert_eq!(kinds, [Kind::CountFloor, Kind::NotLive, Kind::CannotEvaluate]);
    let own = rules("[[rule]]\nkind = \"mass_delete\"\n");
    assert_eq!(own.rules.len(), 1);
}

#[test]
fn defaults_may_be_asked_for_beside_own_rules() {
    let own = rules(
        "defaults = true\n[[rule]]\nkind = \"count_drop\"\npercent = 20\n[[rule]]\nname = \"plans\"\nkind = \"count_floor\"\nmin = 3\n",
    );
    let names: Vec<_> = own.rules.iter().map(|rule| rule.name.as_str()).collect();
    assert_eq!(names[..3], ["count_drop", "plans", "count_zero"]);
    assert_eq!(names.iter().filter(|name| **name == "count_drop").count(), 1);
}

#[test]
fn the_examples_of_the_documents_are_good() {
    let example = rules(include_str!("../../../docs/alerts.toml"));
    let names: Vec<_> = example.rules.iter().take(3).map(|rule| rule.name.as_str()).collect();
    assert_eq!((names, example.webhooks.len()), (vec!["count_drop", "plans", "nobody touches the ledger"], 2));
    let readme = include_str!("../../../README.md");
    let (_, block) = readme.split_once("```toml\n").unwrap();
    assert_eq!(rules(block.split_once("```").unwrap().0).rules.len(), 10);
}

#[test]
fn a_webhook_is_as_its_file_says() {
    let read = rules(
        "[[webhook]]\nname = \"ops\"\nurl_env = \"OPS_URL\"\nformat = \"slack\"\nsecret_file = \"/run/secrets/ops\"\nseverity = \"critical\"\ntimeout = \"3s\"\n",
    );
    let webhook = &read.webhooks[0];
    assert_eq!((&webhook.url, webhook.format), (&Source::Environment("OPS_URL".to_owned()), Format::Slack));
    assert_eq!(webhook.secret, Some(Source::File("/run/secrets/ops".into())));
    assert_eq!((webhook.severity, webhook.timeout, webhook.resolved), (Severity::Critical, Duration::from_secs(3), true));
    assert_eq!(read.rules.len(), 9, "a file without a rule keeps the usual ones");
}
