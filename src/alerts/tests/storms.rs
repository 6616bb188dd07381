//! Very much at once.

use serde_json::json;

use super::*;
use crate::alerts::MOST_OF_A_RULE;

#[test]
fn thousands_of_deletes_are_one_alert() {
    let mut scene = Scene::live("[[rule]]\nkind = \"protected_table\"\ntables = [\"User\"]\n", &[user(10_000)]);
    for left in (5_000..10_000).rev() {
        scene.delete(1, left);
    }
    assert_eq!((scene.alert().times, scene.raised()), (5_000, 1));
    assert_eq!(scene.engine.take_news().count(), 1, "one line of log");
}

#[test]
fn thousands_of_tables_are_a_bounded_number_of_alerts() {
    let tables: Vec<_> = (1..=5_000).map(|oid| table(oid, "t", 100)).collect();
    let mut scene = Scene::live("", &tables);
    let truncated =
        |oid| json!({"oid": oid, "schema": "public", "name": "t", "inserts": 0, "deletes": 0, "truncates": 1, "count": 0});
    scene.commit(&(1..=5_000).map(truncated).collect::<Vec<_>>());
    let firing = scene.firing();
    assert_eq!(firing.len(), MOST_OF_A_RULE + 1);
    let others = firing.iter().find(|alert| alert.subject.is_none()).unwrap();
    assert_eq!(others.times, 5_000 - MOST_OF_A_RULE as u64);
    assert!(others.text.starts_with("More tables than have an alert of their own; the latest: t fell"), "{}", others.text);
    scene.pass(601);
    assert_eq!(scene.firing().len(), MOST_OF_A_RULE);
}

#[test]
fn counts_of_many_tables_that_stay_unknown_are_a_bounded_number_of_alerts() {
    let tables: Vec<_> = (1..=1_000).map(|oid| table(oid, "t", 100)).collect();
    let mut scene = Scene::live("", &tables);
    scene.count(&(1..=1_000).map(|oid| table(oid, "t", None)).collect::<Vec<_>>(), false);
    scene.pass(200);
    assert_eq!(scene.firing().len(), MOST_OF_A_RULE + 1);
    let revision = scene.bulletin().revision;
    scene.pass(700);
    assert_eq!(scene.bulletin().revision, revision, "nothing is told again and again");
}

#[test]
fn what_is_over_is_forgotten_the_oldest_first() {
    let mut scene = Scene::live("[[rule]]\nkind = \"count_floor\"\nmin = 10\n", &[user(22)]);
    for _ in 0..500 {
        scene.delete(20, 2);
        scene.count(&[user(22)], false);
    }
    let bulletin = scene.bulletin();
    assert_eq!(bulletin.alerts.len(), 200);
    assert_eq!(scene.raised(), 500);
    assert!(bulletin.alerts.is_sorted_by_key(|alert| alert.revision));
    assert!(bulletin.alerts[0].id.ends_with("-301"), "{}", bulletin.alerts[0].id);
}
