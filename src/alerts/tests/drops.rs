//! What makes an alert, and what it says.

use serde_json::{Value, json};

use super::*;

const ZERO: &str = "[[rule]]\nkind = \"count_zero\"\n";
const DROP: &str = "[[rule]]\nkind = \"count_drop\"\n";

const PROTECTED: &str = "[[rule]]\nkind = \"protected_table\"\ntables = [\"User\"]\n";

/// What a commit says of so many users deleted, so many left.
fn removed(rows: u64, left: i64) -> Value {
    json!({"oid": 1, "schema": "public", "name": "User", "inserts": 0, "deletes": rows, "truncates": 0, "count": left})
}

fn document(scene: &mut Scene) -> Value {
    let (alert, bulletin) = (scene.alert(), scene.bulletin());
    serde_json::from_slice(&alert.json(&bulletin.links)).unwrap()
}

#[test]
fn the_users_are_gone() {
    let mut scene = Scene::live("", &[user(22)]);
    assert!(scene.fires().is_empty());
    scene.delete(22, 0);
    let told = document(&mut scene);
    assert_eq!(told["text"], "User fell from 22 to 0: 22 rows deleted in one transaction by alice (psql)");
    assert_eq!(
        (&told["type"], &told["rule"], &told["severity"], &told["state"]),
        (&json!("alert"), &json!("count_zero"), &json!("critical"), &json!("firing"))
    );
    assert_eq!((&told["schema"], &told["table"], &told["oid"]), (&json!("public"), &json!("User"), &json!(1)));
    assert_eq!((&told["from"], &told["to"], &told["deleted"], &told["times"]), (&json!(22), &json!(0), &json!(22), &json!(1)));
    assert_eq!((&told["tx"]["id"], &told["actor"]["session_user"]), (&json!("1-0-1"), &json!("alice")));
    assert_eq!(told["link"], "http://127.0.0.1:7777/?tx=1-0-1");
    assert_eq!(
        told["undo"],
        json!({"link": "http://127.0.0.1:7777/api/v1/transactions/1-0-1/undo", "restores": true, "reason": null})
    );
    assert_eq!(told["since"], "2026-11-20T12:00:00.000000Z");
}

#[test]
fn the_statement_goes_to_no_one_outside() {
    let mut scene = Scene::live("", &[user(22)]);
    scene.delete(22, 0);
    let (alert, bulletin) = (scene.alert(), scene.bulletin());
    let outside = alert.json_for_others(&bulletin.links);
    assert!(!String::from_utf8_lossy(&outside).contains("secret"));
    assert!(String::from_utf8_lossy(&alert.json(&bulletin.links)).contains("secret"), "the page may show it");
    assert!(!alert.text.contains("secret"));
}

#[test]
fn rows_that_go_one_by_one_are_gone_too() {
    let mut scene = Scene::live(ZERO, &[user(22)]);
    for left in (0..22).rev() {
        scene.pass(2);
        scene.delete(1, left);
    }
    let alert = scene.alert();
    assert_eq!(
        alert.text,
        "User fell from 22 to 0 within 42 s: 1 row deleted in one transaction by alice (psql), and more in 21 others"
    );
    assert_eq!((alert.from, alert.to, scene.raised()), (Some(22), Some(0), 1));
}

#[test]
fn what_one_transaction_did_is_told_before_what_others_did_earlier() {
    let mut scene = Scene::live(ZERO, &[user(41)]);
    scene.delete(2, 39);
    scene.pass(5);
    scene.delete(39, 0);
    assert_eq!(scene.alert().text, "User fell from 39 to 0: 39 rows deleted in one transaction by alice (psql)");
}

#[test]
fn a_table_that_never_had_much_is_not_missed() {
    let mut scene = Scene::live(ZERO, &[user(9)]);
    scene.delete(9, 0);
    assert!(scene.fires().is_empty());
}

#[test]
fn a_truncate_says_so_and_is_undone_where_its_rows_are_known() {
    for (event, restores) in [
        (json!({"op": "truncate", "old_complete": false, "rows_lost": 22}), false),
        (json!({"op": "truncate", "old_complete": false, "rows_lost": 22, "old_rows": null}), false),
        (json!({"op": "truncate", "old_complete": false, "rows_lost": 22, "old_rows": [{"id": 1}]}), true),
    ] {
        let mut scene = Scene::live(ZERO, &[user(22)]);
        scene.take(1, &event);
        scene.truncate();
        let told = document(&mut scene);
        assert_eq!(told["text"], "User fell from 22 to 0: 22 rows truncated by alice (psql)");
        assert_eq!(told["deleted"], 22);
        assert_eq!(told["undo"]["restores"], restores, "{event}");
        assert_eq!(told["undo"]["reason"].is_null(), restores, "{told}");
    }
}

#[test]
fn whether_undo_restores_is_what_the_events_hold() {
    let whole = json!({"op": "delete", "old_complete": true});
    let keys = json!({"op": "delete", "old_complete": false});
    let cut = json!({"op": "delete", "old_complete": false, "cut": {"old": {"photo": 5_000_000}, "new": {}}});
    for (events, reason) in [
        (vec![(22, &whole)], None),
        (vec![(22, &keys)], Some("only the keys of deleted rows; REPLICA IDENTITY FULL")),
        (vec![(19, &whole), (3, &keys)], Some("only the keys of 3 of the 22 deleted rows")),
        (vec![(21, &whole), (1, &cut)], Some("longer than --max-value")),
        // The beginning of a transaction went before it could be read.
        (
            vec![(21, &whole)],
            Some(
                "no longer holds all of the transaction; how far it reaches is set by --history-memory or, with --data-dir, by --keep and --keep-for",
            ),
        ),
    ] {
        let mut scene = Scene::live(ZERO, &[user(22)]);
        for (times, event) in events {
            scene.take(times, event);
        }
        scene.commit(&[removed(22, 0)]);
        let undo = &document(&mut scene)["undo"];
        assert_eq!(undo["restores"], reason.is_none(), "{undo}");
        assert!(reason.is_none_or(|reason| undo["reason"].as_str().is_some_and(|said| said.contains(reason))), "{undo}");
    }
}

#[test]
fn rows_do_not_come_back_without_others_that_are_not_held() {
    let change = |oid: u32, name: &str, deletes: u64, truncates: u64| {
        json!({"oid": oid, "schema": "public", "name": name,
        "inserts": 0, "deletes": deletes, "truncates": truncates, "count": 0})
    };
    for (lost, restores) in [(5, json!(null)), (0, json!(true))] {
        let mut scene = Scene::live(PROTECTED, &[user(22), table(2, "Team", 5)]);
        scene.take(22, &json!({"op": "delete", "old_complete": true}));
        let truncate = json!({"oid": 2, "op": "truncate", "old_complete": false, "rows_lost": lost});
        scene.engine.took(&serde_json::from_value(truncate).unwrap());
        scene.commit(&[change(1, "User", 22, 0), change(2, "Team", 0, 1)]);
        let undo = &document(&mut scene)["undo"];
        assert_eq!((&undo["restores"], undo["reason"].is_null()), (&restores, restores == json!(true)), "{undo}");
    }
}

#[test]
fn where_rules_have_a_say_nobody_knows_what_undo_restores() {
    let ruled = |count| TableCount { has_rules: true, ..user(count) };
    let mut scene = Scene::live(PROTECTED, &[ruled(22)]);
    scene.delete(2, 20);
    let undo = document(&mut scene)["undo"].clone();
    assert_eq!(undo["restores"], json!(null));
    assert!(undo["reason"].as_str().is_some_and(|reason| reason.contains("CREATE RULE")), "{undo}");
    // What is not held does not come back, whatever the rules.
    scene.commit(&[removed(20, 0)]);
    assert_eq!(document(&mut scene)["undo"]["restores"], false);
}

#[test]
fn rows_that_a_truncate_took_are_rows_that_one_transaction_took() {
    let refilled =
        json!({"oid": 1, "schema": "public", "name": "User", "inserts": 3000, "deletes": 0, "truncates": 1, "count": 3000});
    for (lost, fires) in [(json!(3000), true), (json!(1000), false), (json!(null), false)] {
        let mut scene = Scene::live("", &[user(3000)]);
        scene.take(1, &json!({"op": "truncate", "old_complete": false, "rows_lost": lost}));
        scene.commit(std::slice::from_ref(&refilled));
        assert_eq!(scene.fires().contains(&"mass_delete".to_owned()), fires, "{lost}");
    }
}

#[test]
fn what_was_of_another_transaction_is_not_held_of_this_one() {
    let mut scene = Scene::live(ZERO, &[user(44)]);
    scene.delete(22, 22);
    scene.commit(&[removed(22, 0)]);
    assert_eq!(document(&mut scene)["undo"]["restores"], false);
}

#[test]
fn what_the_history_does_not_keep_any_more_is_not_undone_any_more() {
    let mut scene = Scene::live(&format!("{ZERO}{PROTECTED}"), &[user(22)]);
    scene.delete(22, 0);
    scene.count(&[user(22)], false);
    assert_eq!((scene.resolved(), scene.firing().len()), (1, 1));
    scene.engine.forget(|transaction| transaction.id == "1-0-1");
    let before = scene.bulletin();
    assert!(before.alerts.iter().all(|alert| alert.undo.as_ref().unwrap().restores == Some(true)));

    scene.engine.forget(|_| false);
    let after = scene.bulletin();
    let news: Vec<_> = after.since(before.revision).collect();
    assert_eq!(news.len(), 2, "the one that is over is told of as well");
    for alert in news {
        let told: Value = serde_json::from_slice(&alert.json(&after.links)).unwrap();
        assert_eq!((&told["undo"]["restores"], &told["times"]), (&json!(false), &json!(1)));
        assert!(told["undo"]["reason"].as_str().unwrap().contains("no longer holds"));
    }
    // It is told once, and is not a new alert.
    scene.engine.forget(|_| false);
    assert_eq!((scene.bulletin().revision, scene.engine.take_news().count()), (after.revision, 3));
}

#[test]
fn of_many_who_took_rows_the_greatest_is_named() {
    let mut scene = Scene::live(DROP, &[user(1000)]);
    scene.delete(5, 995);
    scene.pass(3);
    scene.commit_by("mallory", &[removed(90, 905)]);
    scene.pass(3);
    scene.delete(10, 895);
    let alert = scene.alert();
    let said =
        "User fell from 1,000 to 895 within 6 s: 90 rows deleted in one transaction by mallory (psql), and more in 2 others";
    assert_eq!((alert.text.as_str(), alert.deleted, alert.others), (said, Some(90), 2));
    assert_eq!(alert.actor().unwrap().text("session_user"), Some("mallory"));
    assert_eq!(document(&mut scene)["other_transactions"], 2);
    // Long after, it is still part of the fall that goes on.
    for left in (595..895).rev() {
        scene.pass(2);
        scene.delete(1, left);
    }
    scene.commit_by("eve", &[removed(91, 504)]);
    assert_eq!((scene.alert().deleted, scene.alert().others), (Some(91), 303));
}

#[test]
fn who_took_rows_before_others_came_has_no_part_in_a_fall() {
    let mut scene = Scene::live(DROP, &[user(1000)]);
    scene.commit_by("mallory", &[removed(95, 905)]);
    scene.pass(3);
    scene.count(&[user(1000)], false);
    scene.pass(3);
    scene.delete(60, 940);
    scene.pass(3);
    scene.delete(60, 880);
    let alert = scene.alert();
    assert_eq!((alert.deleted, alert.others), (Some(60), 1), "{}", alert.text);
}

#[test]
fn a_fall_is_more_than_so_many_percent_within_a_time() {
    let mut scene = Scene::live(DROP, &[user(1000)]);
    scene.delete(100, 900);
    assert!(scene.fires().is_empty(), "it is exactly ten percent");
    scene.delete(1, 899);
    assert_eq!(
        scene.alert().text,
        "User fell from 1,000 to 899: 100 rows deleted in one transaction by alice (psql), and more in another"
    );

    let mut slow = Scene::live(DROP, &[user(1000)]);
    for left in (700..1000).rev() {
        slow.pass(1);
        slow.delete(1, left);
    }
    assert!(slow.fires().is_empty(), "one a second is not ten percent a minute");
}

#[test]
fn a_table_that_was_quiet_for_long_has_its_count_until_it_falls() {
    let mut scene = Scene::live(DROP, &[user(1000)]);
    scene.pass(7200);
    scene.delete(500, 500);
    assert_eq!(scene.fires(), ["count_drop"]);
}

#[test]
fn rows_of_the_last_moments_count_though_no_count_was_published() {
    // 900 rows came in transactions that only inserted, of which the engine is not told.
    let mut scene = Scene::live(DROP, &[user(100)]);
    scene.delete(500, 500);
    assert_eq!(scene.alert().from, Some(1000));
}

#[test]
fn an_empty_table_has_not_also_fallen() {
    let mut scene = Scene::live(&format!("{DROP}{ZERO}"), &[user(1000)]);
    scene.delete(1000, 0);
    assert_eq!(scene.fires(), ["count_zero"]);
    // Whichever rule comes first in the file.
    let mut scene = Scene::live(&format!("{ZERO}{DROP}"), &[user(1000)]);
    scene.delete(1000, 0);
    assert_eq!(scene.fires(), ["count_zero"]);
}

#[test]
fn a_table_is_below_its_least() {
    let text = "[[rule]]\nkind = \"count_floor\"\nmin = 20\ntables = [\"public.User\"]\n";
    let mut scene = Scene::live(text, &[user(22), table(2, "Game", 3)]);
    assert!(scene.fires().is_empty());
    scene.delete(3, 19);
    let alert = scene.alert();
    assert_eq!(alert.text, "User has 19 rows, fewer than 20; the last were deleted by alice (psql)");
    assert_eq!((alert.from, alert.to), (Some(22), Some(19)));

    let mut from_the_start = Scene::live(text, &[user(7)]);
    assert_eq!(from_the_start.alert().text, "User has 7 rows, fewer than 20");
}

#[test]
fn one_transaction_deletes_much() {
    let mut scene = Scene::live("[[rule]]\nkind = \"mass_delete\"\nrows = 100\n", &[user(100_000)]);
    scene.delete(100, 99_900);
    assert!(scene.fires().is_empty(), "so many are good");
    scene.delete(48_000, 51_900);
    assert_eq!(scene.alert().text, "48,000 rows of User deleted in one transaction by alice (psql)");
}

#[test]
fn a_table_that_is_not_to_be_touched() {
    let mut scene = Scene::live("[[rule]]\nkind = \"protected_table\"\ntables = [\"User\"]\n", &[user(22), table(2, "Game", 5)]);
    scene
        .commit(&[json!({"oid": 2, "schema": "public", "name": "Game", "inserts": 0, "deletes": 3, "truncates": 0, "count": 2})]);
    assert!(scene.fires().is_empty());
    // It needs no count for that.
    scene.delete(1, None);
    assert_eq!(scene.alert().text, "1 row of User deleted in one transaction by alice (psql)");
    scene.truncate();
    assert_eq!((scene.alert().text.as_str(), scene.alert().times), ("User was truncated by alice (psql)", 2));
    assert_eq!(document(&mut scene)["deleted"], json!(null));
}

#[test]
fn a_truncate_that_finds_nothing_is_none() {
    let mut scene = Scene::live("[[rule]]\nkind = \"protected_table\"\ntables = [\"User\"]\n", &[user(22)]);
    let truncate = |rows: u64| json!({"op": "truncate", "old_complete": false, "rows_lost": rows});
    scene.take(1, &truncate(0));
    scene.truncate();
    assert!(scene.fires().is_empty(), "it took nothing");
    scene.take(1, &truncate(22));
    scene.truncate();
    assert_eq!(scene.alert().text, "User was truncated with its 22 rows by alice (psql)");
    // The alert is still about the one that took the rows, and these are not held.
    scene.take(1, &truncate(0));
    scene.truncate();
    assert_eq!(scene.alert().times, 1);
    let told = document(&mut scene);
    assert_eq!((&told["deleted"], &told["undo"]["restores"]), (&json!(22), &json!(false)));
}

#[test]
fn a_rule_may_be_about_somebody_or_about_all_others() {
    let of = |option: &str| format!("[[rule]]\nkind = \"mass_delete\"\nrows = 1\n{option}\n");
    let delete = [json!({"oid": 1, "schema": "public", "name": "User", "inserts": 0, "deletes": 5, "truncates": 0, "count": 95})];
    for (option, by, fires) in [
        ("actors = [\"alice\"]", "alice", true),
        ("actors = [\"alice\"]", "bob", false),
        ("actors = [\"psql\"]", "bob", true),
        ("except_actors = [\"bob\"]", "bob", false),
        ("except_actors = [\"bob\"]", "alice", true),
    ] {
        let mut scene = Scene::live(&of(option), &[user(100)]);
        scene.commit_by(by, &delete);
        assert_eq!(!scene.fires().is_empty(), fires, "{option} {by}");
    }
}

#[test]
fn a_table_is_dropped() {
    let mut scene = Scene::live("", &[user(22), table(2, "Empty", 0)]);
    let tx = json!({"id": "1-0-9", "xid": 9, "lsn": "0/9", "time": "t"});
    scene.engine.told_of_drop("public.User", serde_json::from_value(tx).unwrap());
    assert!(scene.fires().is_empty(), "anyone can say so");
    scene.gone(1);
    scene.gone(2);
    let alert = scene.alert();
    assert_eq!(alert.text, "User was dropped, with the 22 rows that it had when it was last counted");
    assert_eq!(alert.transaction.as_ref().unwrap().id, "1-0-9");
    assert_eq!((alert.from, alert.undo.as_ref().unwrap().restores), (Some(22), Some(false)));
}

#[test]
fn partitions_are_judged_by_what_they_are_parts_of() {
    let part = |oid, name, count| TableCount { relation: Relation::Partition, parent: Some(1), ..table(oid, name, count) };
    let log = |count| table(1, "Log", count);
    let text = "[[rule]]\nkind = \"count_zero\"\n[[rule]]\nkind = \"mass_delete\"\nrows = 15\n";
    let mut scene = Scene::live(text, &[log(40), part(2, "log_1", 20), part(3, "log_2", 20)]);
    let change = |oid: u32, deletes: u64, inserts: u64, count: i64| json!({"oid": oid, "schema": "public", "name": format!("log_{}", oid - 1), "inserts": inserts, "deletes": deletes, "truncates": 0, "count": count});
    // Rows that move between partitions are not deleted.
    scene.commit(&[change(2, 20, 0, 0), change(3, 0, 20, 40)]);
    scene.count(&[log(40), part(2, "log_1", 0), part(3, "log_2", 40)], false);
    assert!(scene.fires().is_empty());
    scene.commit(&[change(3, 40, 0, 0)]);
    assert_eq!(scene.fires(), ["mass_delete"]);
    scene.count(&[log(0), part(3, "log_2", 0)], false);
    let told = scene.firing();
    let texts: Vec<_> = told.iter().map(|alert| alert.text.as_str()).collect();
    assert_eq!(
        texts,
        [
            "Log fell from 40 to 0: 40 rows deleted in one transaction by alice (psql)",
            "40 rows of Log deleted in one transaction by alice (psql)"
        ]
    );
}

#[test]
fn a_count_was_wrong() {
    let mut scene = Scene::live("", &[user(22)]);
    scene.count(&[TableCount { found_wrong: 1, ..user(None) }], false);
    assert_eq!(scene.fires(), ["recount_differs"]);
    scene.count(&[TableCount { found_wrong: 1, ..user(20) }], false);
    assert_eq!(scene.alert().times, 1);
}

#[test]
fn log_is_held() {
    let mut scene = Scene::live("", &[user(22)]);
    scene.hold(500, Some(1000));
    assert!(scene.fires().is_empty());
    scene.hold(501, Some(1000));
    assert_eq!(scene.alert().text, "PostgreSQL holds more than 500 B of log for the slot pgvigil_1, of a budget of 1000 B");
    scene.hold(460, Some(1000));
    assert_eq!(scene.fires(), ["wal_held"], "by a margin");
    scene.hold(450, Some(1000));
    assert!(scene.fires().is_empty());
    scene.hold(1 << 30, None);
    assert!(scene.fires().is_empty());
    scene.hold((1 << 30) + 1, None);
    assert_eq!(scene.alert().text, "PostgreSQL holds more than 1.0 GiB of log for the slot pgvigil_1");
}
