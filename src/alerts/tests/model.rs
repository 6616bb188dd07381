//! Whatever happens, in whatever order: what must hold all the time.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::alerts::MOST_OF_A_RULE;

#[derive(Clone, Debug)]
enum Happens {
    Delete { oid: u32, rows: u64, left: Option<i64> },
    Count { oid: u32, rows: Option<i64> },
    Gone(u32),
    Epoch,
    Pass { seconds: u8, live: bool },
    Missed,
}

fn happens() -> impl Strategy<Value = Happens> {
    let oid = 1u32..40;
    prop_oneof![
        4 => (oid.clone(), 0u64..2_000, prop::option::weighted(0.9, 0i64..2_000))
            .prop_map(|(oid, rows, left)| Happens::Delete { oid, rows, left }),
        4 => (oid.clone(), prop::option::weighted(0.9, 0i64..2_000)).prop_map(|(oid, rows)| Happens::Count { oid, rows }),
        1 => oid.prop_map(Happens::Gone),
        1 => Just(Happens::Epoch),
        3 => (1u8..100, any::<bool>()).prop_map(|(seconds, live)| Happens::Pass { seconds, live }),
        1 => Just(Happens::Missed),
    ]
}

const TEXT: &str = "defaults = true\n[[rule]]\nkind = \"count_floor\"\nmin = 50\n";

proptest! {
    #[test]
    fn alerts_are_few_consistent_and_told_in_order(story in prop::collection::vec(happens(), 1..100)) {
        let (mut scene, mut epoch, mut live) = (Scene::live(TEXT, &[]), 1, true);
        let mut seen: BTreeMap<String, Arc<Alert>> = BTreeMap::new();
        let mut told = 0;
        for step in story {
            let was_firing = scene.firing();
            match &step {
                Happens::Delete { oid, rows, left } => scene.commit(&[json!({
                    "oid": oid, "schema": "public", "name": "t", "inserts": 0, "deletes": rows, "truncates": 0, "count": left
                })]),
                // The watchman tells counts only while the watch is live.
                Happens::Count { oid, rows } if live => scene.count(&[table(*oid, "t", *rows)], false),
                Happens::Gone(oid) if live => scene.gone(*oid),
                Happens::Count { .. } | Happens::Gone(_) => {}
                Happens::Epoch => {
                    epoch += 1;
                    scene.epoch(epoch);
                }
                Happens::Pass { seconds, live: is_live } => {
                    live = *is_live;
                    scene.pass_as(if live { "live" } else { "disconnected" }, u64::from(*seconds));
                }
                Happens::Missed => scene.engine.missed(scene.now),
            }
            let bulletin = scene.bulletin();
            // One a rule and table.
            let mut subjects: Vec<_> = bulletin.firing().filter_map(|alert| Some((&alert.rule, alert.subject.as_ref()?.oid))).collect();
            let number = subjects.len();
            subjects.sort();
            subjects.dedup();
            prop_assert_eq!(subjects.len(), number);
            prop_assert!(bulletin.firing().count() <= bulletin.fired.len() * (MOST_OF_A_RULE + 1));
            // Whoever follows the changes knows all that fires.
            for alert in bulletin.since(told) {
                seen.insert(alert.id.clone(), Arc::clone(alert));
            }
            told = bulletin.revision;
            let known = seen.values().filter(|alert| alert.state == State::Firing).map(|alert| &alert.id);
            let mut fire: Vec<_> = bulletin.firing().map(|alert| &alert.id).collect();
            fire.sort();
            prop_assert_eq!(known.collect::<Vec<_>>(), fire);
            // A number from before an interruption resolves nothing.
            if !live && matches!(step, Happens::Pass { .. }) {
                for alert in was_firing.iter().filter(|alert| alert.kind.is_of_counts() && alert.subject.is_some()) {
                    prop_assert!(bulletin.firing().any(|firing| firing.id == alert.id), "{} is resolved", alert.text);
                }
            }
        }
    }
}
