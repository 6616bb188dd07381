//! Which webhook is told of what, and when.

use super::*;
use crate::alerts::Mailing;

/// A scene with a webhook that has these options, a rule of counts, and one of transactions.
struct Mailed {
    scene: Scene,
    mailing: Mailing,
}

impl Mailed {
    fn new(options: &str) -> Self {
        let text = format!(
            "quiet_hours = [\"22:00-07:00\"]\n\
             [[rule]]\nkind = \"count_zero\"\n\
             [[rule]]\nkind = \"mass_delete\"\nrows = 1\nseverity = \"warning\"\nresolve_after = \"20m\"\n\
             [[webhook]]\nname = \"ops\"\nurl = \"http://127.0.0.1:1\"\n{options}\n"
        );
        Mailed { scene: Scene::live(&text, &[user(1000)]), mailing: Mailing::new(&rules(&text)) }
    }

    /// The rules of which the webhook is told now, and whether they fire.
    fn due(&mut self) -> Vec<(String, State)> {
        let now = self.scene.now;
        let due = self.mailing.due(&self.scene.engine.bulletin(), now);
        due.into_iter().map(|(_, alert)| (alert.rule.clone(), alert.state)).collect()
    }

    fn told(rule: &str, state: State) -> (String, State) {
        (rule.to_owned(), state)
    }
}

#[test]
fn it_is_told_once_again_after_a_while_and_at_the_end() {
    let mut mailed = Mailed::new("");
    mailed.scene.delete(5, 995);
    assert_eq!(mailed.due(), [Mailed::told("mass_delete", State::Firing)]);
    for left in (0..100).rev() {
        mailed.scene.delete(5, 490 + 5 * left);
        assert!(mailed.due().is_empty(), "no storm");
    }
    mailed.scene.pass(300);
    assert_eq!(mailed.due(), [Mailed::told("mass_delete", State::Firing)]);
    mailed.scene.pass(300);
    assert!(mailed.due().is_empty(), "nothing more has happened");
    mailed.scene.pass(601);
    assert_eq!(mailed.due(), [Mailed::told("mass_delete", State::Resolved)]);
    assert!(mailed.due().is_empty());
}

#[test]
fn it_is_told_only_of_what_it_asks_for() {
    for (options, expected) in [
        ("severity = \"critical\"", vec![Mailed::told("count_zero", State::Firing)]),
        ("rules = [\"mass_delete\"]", vec![Mailed::told("mass_delete", State::Firing)]),
    ] {
        let mut mailed = Mailed::new(options);
        mailed.scene.delete(1000, 0);
        assert_eq!(mailed.due(), expected, "{options}");
    }
    let mut mailed = Mailed::new("resolved = false");
    mailed.scene.delete(5, 995);
    assert_eq!(mailed.due().len(), 1);
    mailed.scene.pass(1200);
    assert!(mailed.due().is_empty());
}

#[test]
fn quiet_hours_withhold_what_is_not_critical_and_lose_nothing() {
    let mut mailed = Mailed::new("");
    // Half past ten in the evening.
    mailed.scene.now = mailed.scene.now.after(Duration::from_secs(10 * 3600 + 1800));
    mailed.scene.delete(500, 500);
    assert!(mailed.due().is_empty());
    mailed.scene.delete(500, 0);
    assert_eq!(mailed.due(), [Mailed::told("count_zero", State::Firing)], "what is critical wakes people");
    mailed.scene.pass(1300);
    assert!(mailed.due().is_empty());
    // Seven in the morning: it is over by then, and is told all the same.
    mailed.scene.now = mailed.scene.now.after(Duration::from_secs(8 * 3600 + 600));
    assert_eq!(mailed.due(), [Mailed::told("mass_delete", State::Resolved)]);
}
