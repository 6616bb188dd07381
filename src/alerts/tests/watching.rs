//! While numbers are not known.

use super::*;

#[test]
fn a_watch_that_is_not_live_is_itself_an_alert_and_names_who_is_blind() {
    let mut scene = Scene::live("", &[user(22)]);
    scene.pass(10);
    scene.pass_as("disconnected", 14);
    assert!(scene.fires().is_empty());
    assert!(!scene.bulletin().evaluating);
    scene.pass_as("disconnected", 2);
    let alert = scene.alert();
    assert_eq!(alert.rule, "not_live");
    assert_eq!(alert.blind, ["count_zero", "count_drop"]);
    assert_eq!(alert.text, "The watch has not been live for 15 s: disconnected; it cannot evaluate count_zero, count_drop");
    scene.pass_as("resyncing", 1);
    assert!(scene.alert().text.contains("resyncing"));
    assert_eq!((scene.alert().times, scene.raised()), (1, 1));
    scene.pass(4);
    assert_eq!(scene.fires(), ["not_live"], "it has to stay live");
    scene.pass(2);
    assert!(scene.fires().is_empty());
}

#[test]
fn a_watch_that_comes_and_goes_is_not_live() {
    let mut scene = Scene::live("", &[user(22)]);
    for _ in 0..5 {
        scene.pass(2);
        scene.pass_as("lagging", 3);
    }
    assert_eq!((scene.fires(), scene.raised()), (vec!["not_live".to_owned()], 1));
}

#[test]
fn nothing_is_resolved_while_it_is_not_live() {
    let mut scene = Scene::live("[[rule]]\nkind = \"count_zero\"\nresolve_after = \"1m\"\n", &[user(22)]);
    scene.pass(10);
    scene.delete(22, 0);
    scene.pass_as("disconnected", 300);
    assert_eq!(scene.fires(), ["count_zero", "not_live"]);
}

#[test]
fn a_new_epoch_is_no_fall() {
    let mut scene = Scene::live("", &[user(1000)]);
    scene.pass(10);
    scene.pass_as("disconnected", 5);
    scene.epoch(2);
    scene.watch("live");
    scene.count(&[user(None)], true);
    scene.pass(5);
    scene.count(&[user(995)], false);
    assert!(scene.fires().is_empty());
    // Nor is the count from before what the next fall is measured by.
    scene.delete(1, 994);
    scene.delete(94, 900);
    assert!(scene.fires().is_empty());
    scene.delete(20, 880);
    assert_eq!(scene.alert().from, Some(995));
}

#[test]
fn far_fewer_rows_after_a_gap_changed_while_nobody_watched() {
    for told_by_commit in [false, true] {
        let mut scene = Scene::live("", &[user(1000)]);
        scene.pass(10);
        scene.epoch(2);
        scene.pass_as("resyncing", 10);
        scene.watch("live");
        if told_by_commit {
            // The count after a transaction may come before the published one.
            scene.delete(1, 300);
        } else {
            scene.count(&[user(301)], true);
        }
        let alert = scene.alert();
        assert_eq!(alert.rule, "changed_unwatched");
        assert_eq!(alert.text, "User has 301 rows where it had 1,000 10 s ago: it changed while nobody watched");
        assert_eq!((alert.from, alert.to, &alert.transaction), (Some(1000), Some(301), &None));
        scene.pass(3601);
        assert!(scene.fires().is_empty());
    }
}

#[test]
fn a_count_that_is_held_back_for_a_moment_hides_no_fall() {
    let mut scene = Scene::live("", &[user(1000)]);
    scene.count(&[user(None)], false);
    scene.delete(200, None);
    scene.pass(1);
    scene.count(&[user(800)], false);
    let alert = scene.alert();
    assert_eq!((alert.rule.as_str(), alert.from, alert.to), ("count_drop", Some(1000), Some(800)));
    assert_eq!(alert.transaction.as_ref().unwrap().id, "1-0-1");
}

#[test]
fn a_table_that_was_dropped_while_nobody_watched_is_missed() {
    let mut scene = Scene::live("", &[user(22), table(2, "Game", 5)]);
    scene.epoch(2);
    scene.count(&[table(2, "Game", None)], true);
    assert_eq!(scene.alert().rule, "table_dropped");
}

#[test]
fn a_count_that_stays_unknown_is_told_with_its_reason() {
    let mut scene = Scene::live("", &[user(22), table(2, "Never", None)]);
    scene.count(&[TableCount { reason: Some("it has a row filter"), ..user(None) }], false);
    scene.pass(119);
    assert!(scene.fires().is_empty());
    scene.pass(1);
    let alert = scene.alert();
    assert_eq!(
        alert.text,
        "The count of User has not been known for 2 min (it has a row filter): cannot evaluate count_zero, count_drop"
    );
    scene.count(&[user(22)], false);
    scene.pass(1);
    assert!(scene.fires().is_empty());
}

#[test]
fn a_table_that_a_rule_names_has_to_be_there() {
    let text = "[[rule]]\nkind = \"count_floor\"\nmin = 20\ntables = [\"User\", \"Users\"]\n";
    let mut scene = Scene::live(text, &[user(22)]);
    scene.pass(121);
    let alert = scene.alert();
    assert_eq!(alert.text, "There is no table Users: cannot evaluate count_floor");
    assert_eq!(alert.subject.as_ref().map(|table| (table.oid, table.name.as_str())), Some((None, "Users")));
    // Renamed, it is there; and the other is not.
    scene.count(&[table(1, "Users", 22)], false);
    scene.pass(121);
    assert_eq!(scene.alert().text, "There is no table User: cannot evaluate count_floor");
}

#[test]
fn what_could_not_be_looked_at_is_told() {
    let mut scene = Scene::live("", &[user(22)]);
    scene.engine.missed(scene.now);
    scene.engine.missed(scene.now);
    let alert = scene.alert();
    assert_eq!((alert.rule.as_str(), alert.times, &alert.blind[..]), ("cannot_evaluate", 2, &["mass_delete".to_owned()][..]));
    scene.pass(600);
    assert!(scene.fires().is_empty());
}

#[test]
fn at_the_start_nothing_is_known_and_nothing_is_wrong() {
    let mut scene = Scene::new("");
    scene.pass_as("connecting", 10);
    scene.epoch(1);
    scene.watch("live");
    scene.count(&[user(None)], true);
    scene.pass(20);
    scene.count(&[user(3)], false);
    scene.pass(200);
    assert!(scene.fires().is_empty());
    assert_eq!(scene.raised(), 0);
}
