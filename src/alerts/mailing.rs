//! Which webhook is told of which alert, and when.
//!
//! An alert is told when it is raised, when it is resolved, and in between when it happened again and some time has passed. What is
//! withheld in quiet hours is told when they end, as it is by then; so nothing is lost by them.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::alert::{Alert, Bulletin, State};
use super::fact::Moment;
use super::rules::{Rule, Rules};
use super::webhook::Webhook;

/// What each webhook was told.
#[derive(Debug)]
pub struct Mailing {
    rules: Vec<Arc<Rule>>,
    webhooks: Vec<(Webhook, FxHashMap<String, Told>)>,
}

/// What a webhook was told of an alert.
#[derive(Clone, Copy, Debug)]
struct Told {
    /// When it had happened so often.
    times: u64,
    at: Moment,
    state: State,
}

impl Mailing {
    /// Nobody was told of anything.
    pub fn new(rules: &Rules) -> Self {
        let webhooks = rules.webhooks.iter().map(|webhook| (webhook.clone(), FxHashMap::default()));
        Self { rules: rules.rules.clone(), webhooks: webhooks.collect() }
    }

    /// What is to be sent now: to which of the webhooks, and of which alert. Oldest first.
    pub fn due(&mut self, bulletin: &Bulletin, now: Moment) -> Vec<(usize, Arc<Alert>)> {
        let mut due = Vec::new();
        for (index, (webhook, told)) in self.webhooks.iter_mut().enumerate() {
            for alert in bulletin.alerts.iter() {
                if webhook.is_for(alert) && webhook.is_due(alert, told.get(&alert.id), now) && !is_quiet(&self.rules, alert, now)
                {
                    told.insert(alert.id.clone(), Told { times: alert.times, at: now, state: alert.state });
                    due.push((index, Arc::clone(alert)));
                }
            }
            // Alerts that are no longer kept are not asked about again.
            if told.len() > 2 * bulletin.alerts.len() + 16 {
                told.retain(|id, _| bulletin.alerts.iter().any(|alert| alert.id == *id));
            }
        }
        due
    }
}

impl Webhook {
    fn is_for(&self, alert: &Alert) -> bool {
        let of_rule = self.rules.as_ref().is_none_or(|rules| rules.contains(&alert.rule));
        of_rule && alert.severity >= self.severity
    }

    fn is_due(&self, alert: &Alert, told: Option<&Told>, now: Moment) -> bool {
        match (told, alert.state) {
            (None, State::Firing) => true,
            // It was withheld all the while. Who is not told of ends is told that it was there.
            (None, State::Resolved) => true,
            (Some(told), State::Firing) => alert.times > told.times && now.since(told.at) >= self.repeat_after,
            (Some(told), State::Resolved) => told.state == State::Firing && self.resolved,
        }
    }
}

fn is_quiet(rules: &[Arc<Rule>], alert: &Alert, now: Moment) -> bool {
    rules.iter().any(|rule| rule.name == alert.rule && rule.quiet.cover(now.unix))
}
