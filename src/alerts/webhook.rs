//! Where alerts are sent to: what a file says of it, and how it went. Sending is done above.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::alert::Severity;

/// A webhook, as a file describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Webhook {
    /// What it is called.
    pub name: String,
    /// Its address. With some services whoever knows it may write there, so it may be a secret.
    pub url: Source,
    /// What is sent.
    pub format: Format,
    /// What messages are signed with, if they are.
    pub secret: Option<Source>,
    /// An answer must have come within this time.
    pub timeout: Duration,
    /// Alerts that matter less are not sent.
    pub severity: Severity,
    /// Only alerts of these rules are sent, if any is named.
    pub rules: Option<Vec<String>>,
    /// Whether it is told that an alert is resolved.
    pub resolved: bool,
    /// An alert that goes on is told again after this time at the earliest, and only if it happened again.
    pub repeat_after: Duration,
}

/// The database that is watched, as those outside are told of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Place {
    /// Its name.
    pub name: String,
    /// Where it was connected to.
    pub host: String,
    /// Its port.
    pub port: u16,
}

/// Where a text stands that may be a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// Right here; not for secrets.
    Text(String),
    /// In a file, whose last line end does not count.
    File(PathBuf),
    /// In the environment.
    Environment(String),
}

/// What is sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// The alert, as the stream has it.
    #[default]
    Json,
    /// A message as Slack takes it, and those who do as Slack does.
    Slack,
}

/// How a webhook does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Health {
    /// Its name.
    pub name: String,
    /// Host of its address; the rest of that may be a secret.
    pub host: String,
    /// What is sent.
    pub format: Format,
    /// Messages that were taken.
    pub delivered: u64,
    /// Messages that were given up.
    pub failed: u64,
    /// Messages that had to make room for newer ones.
    pub dropped: u64,
    /// Messages that wait to be sent.
    pub waiting: usize,
    /// When a message was last taken, RFC 3339.
    pub last_success: Option<String>,
    /// What went wrong last, if anything did. It stays until something else does.
    pub last_failure: Option<LastFailure>,
    /// Whether the last try failed.
    pub failing: bool,
}

/// A try that failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LastFailure {
    /// When, RFC 3339.
    pub time: String,
    /// What happened.
    pub error: String,
    /// Tries of this message, so far.
    pub tries: u32,
    /// Whether no further one is made.
    pub given_up: bool,
}
