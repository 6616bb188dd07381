//! The rules in force.

use std::sync::Arc;

use jiff::tz::TimeZone;

use super::alert::Severity;
use super::condition::{Condition, Kind};
use super::file::{self, RulesError};
use super::quiet::QuietHours;
use super::selection::Selection;
use super::webhook::Webhook;

/// The rules when there is no file, as a file.
const USUAL: &str = include_str!("default.toml");

/// What is watched for, and who is told.
#[derive(Clone, Debug)]
pub struct Rules {
    /// In the order of the file.
    pub rules: Vec<Arc<Rule>>,
    /// Who is told.
    pub webhooks: Vec<Webhook>,
}

/// One rule.
#[derive(Clone, Debug)]
pub struct Rule {
    /// What it is called: its kind, if the file does not name it.
    pub name: String,
    /// How much it matters.
    pub severity: Severity,
    /// Which tables and actors it is about.
    pub selection: Selection,
    /// When webhooks are not told of it.
    pub quiet: QuietHours,
    /// What it looks for.
    pub condition: Condition,
}

impl Rules {
    /// Reads a file. `zone` knows time zones by name.
    ///
    /// # Errors
    /// What is wrong with it, where, and what is accepted.
    pub fn parse(text: &str, zone: impl Fn(&str) -> Option<TimeZone>) -> Result<Self, RulesError> {
        let own = file::read(text, &zone)?;
        let mut rules = own.rules;
        let usual = file::read(USUAL, &zone)?.rules;
        if own.with_defaults.unwrap_or(rules.is_empty()) {
            let unnamed = |rule: &Rule| !rules.iter().any(|own| own.name == rule.name);
            let added: Vec<Rule> = usual.into_iter().filter(unnamed).collect();
            rules.extend(added);
        } else if rules.iter().any(|rule| rule.condition.kind().is_of_counts()) {
            // That a rule is blind is itself an alert, so there is always one that says so.
            for kind in [Kind::NotLive, Kind::CannotEvaluate] {
                if !rules.iter().any(|rule| rule.condition.kind() == kind) {
                    rules.extend(usual.iter().find(|rule| rule.condition.kind() == kind).cloned());
                }
            }
        }
        file::check_webhooks(&rules, &own.webhooks)?;
        Ok(Self { rules: rules.into_iter().map(Arc::new).collect(), webhooks: own.webhooks })
    }

    /// The rules when there is no file.
    ///
    /// # Errors
    /// None that could be met: a test reads them.
    pub fn usual() -> Result<Self, RulesError> {
        Self::parse("", |_| None)
    }

    /// The same, as a file.
    pub fn usual_text() -> &'static str {
        USUAL
    }
}
