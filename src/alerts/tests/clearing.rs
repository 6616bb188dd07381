//! When an alert is resolved.

use super::*;

const FLOOR: &str = "[[rule]]\nkind = \"count_floor\"\nmin = 100\n";

#[test]
fn a_count_that_trembles_around_its_limit_makes_one_alert() {
    let mut scene = Scene::live(FLOOR, &[user(105)]);
    for _ in 0..50 {
        scene.delete(6, 99);
        scene.pass(5);
        scene.count(&[user(105)], false);
        scene.pass(5);
    }
    assert_eq!((scene.raised(), scene.resolved(), scene.alert().times), (1, 0, 50));
}

#[test]
fn it_is_resolved_by_a_margin_at_once_and_without_one_after_a_time() {
    let mut scene = Scene::live(FLOOR, &[user(105)]);
    scene.delete(6, 99);
    scene.count(&[user(110)], false);
    assert!(scene.fires().is_empty(), "a tenth above");

    scene.delete(11, 99);
    scene.count(&[user(109)], false);
    scene.pass(59);
    assert_eq!(scene.fires(), ["count_floor"]);
    scene.pass(2);
    assert!(scene.fires().is_empty());
    assert_eq!(scene.resolved(), 2);
}

#[test]
fn a_table_that_is_filled_again_is_well() {
    let mut scene = Scene::live("", &[user(22)]);
    scene.delete(22, 0);
    scene.count(&[user(1)], false);
    assert_eq!(scene.fires(), ["count_zero"], "one row is no margin");
    scene.count(&[user(10)], false);
    scene.pass(120);
    assert_eq!(scene.fires(), ["count_zero"], "nor are those who came meanwhile");
    scene.count(&[user(22)], false);
    assert!(scene.fires().is_empty());
    let resolved = scene.bulletin().alerts.last().cloned().unwrap();
    assert_eq!((resolved.state, resolved.resolved_at), (State::Resolved, Some(NOON + 120_000_000)));
}

#[test]
fn what_is_so_for_long_is_usual_and_no_fall_any_more() {
    let mut scene = Scene::live("[[rule]]\nkind = \"count_drop\"\nresolve_after = \"10m\"\nwithin = \"1h\"\n", &[user(1000)]);
    scene.delete(500, 500);
    scene.pass(599);
    assert_eq!(scene.fires(), ["count_drop"]);
    scene.pass(1);
    assert!(scene.fires().is_empty());
    // The thousand of before is within the hour, but is not what is usual any more.
    scene.delete(1, 499);
    scene.delete(40, 459);
    assert!(scene.fires().is_empty());
    scene.delete(30, 429);
    assert_eq!(scene.alert().from, Some(500));
}

#[test]
fn a_fall_that_is_over_is_not_told_again() {
    // As by the usual rules, and emptied: what is filled again to a half has not fallen from the whole.
    let mut scene = Scene::live("", &[user(900)]);
    scene.delete(900, 0);
    scene.count(&[user(450)], false);
    assert!(scene.fires().is_empty());
    scene.delete(1, 449);
    assert_eq!((scene.fires(), scene.raised()), (vec![], 1));
    // But from what it has now it can fall.
    scene.delete(200, 249);
    assert_eq!((scene.fires(), scene.alert().from), (vec!["count_drop".to_owned()], Some(449)));

    let mut scene = Scene::live("[[rule]]\nkind = \"count_drop\"\nwithin = \"1h\"\n", &[user(1000)]);
    scene.delete(200, 800);
    scene.count(&[user(960)], false);
    scene.delete(70, 890);
    assert!(scene.fires().is_empty());
    scene.delete(30, 860);
    assert_eq!((scene.alert().from, scene.raised()), (Some(960), 2));
}

#[test]
fn what_a_transaction_did_is_over_when_nothing_more_happens() {
    let mut scene = Scene::live("[[rule]]\nkind = \"mass_delete\"\nrows = 1\nresolve_after = \"5m\"\n", &[user(1000)]);
    scene.delete(10, 990);
    scene.pass(299);
    scene.delete(10, 980);
    scene.pass(299);
    assert_eq!((scene.alert().times, scene.raised()), (2, 1));
    scene.pass(1);
    assert!(scene.fires().is_empty());
}

#[test]
fn a_deeper_fall_says_so() {
    let mut scene = Scene::live("[[rule]]\nkind = \"count_drop\"\n", &[user(1000)]);
    scene.delete(200, 800);
    let first = scene.alert();
    scene.delete(300, 500);
    let second = scene.alert();
    assert_eq!((second.from, second.to, second.times), (Some(1000), Some(500), 2));
    assert!(second.id == first.id && second.revision > first.revision);
}

#[test]
fn the_fall_of_a_table_that_is_gone_is_over() {
    let mut scene = Scene::live("[[rule]]\nkind = \"count_zero\"\n", &[user(22)]);
    scene.delete(22, 0);
    scene.gone(1);
    assert!(scene.fires().is_empty());
}
