//! An alert, and all of them at one moment.

use std::borrow::Cow;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::condition::Kind;
use super::fact::{Actor, Transaction};
use super::webhook::Health;
use crate::event::time::rfc3339_unix;

/// How much an alert matters, least first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum Severity {
    #[default]
    Info,
    Warning,
    Critical,
}

impl Severity {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

/// Whether an alert still holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum State {
    Firing,
    Resolved,
}

/// The table that an alert is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// Identity; `None` for a table that is not there.
    pub oid: Option<u32>,
    /// Schema.
    pub schema: String,
    /// Name, not quoted.
    pub name: String,
}

/// Whether what was lost can be brought back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Undo {
    /// Whether the history holds all of the rows; `None` when that is not known.
    pub restores: Option<bool>,
    /// Why not, or why that is not known.
    pub reason: Option<Cow<'static, str>>,
}

impl Undo {
    /// The same where something makes that doubtful.
    pub(super) fn doubted(self, why: Option<&'static str>) -> Self {
        match why {
            Some(why) if self.restores == Some(true) => Undo { restores: None, reason: Some(why.into()) },
            _ => self,
        }
    }
}

/// One rule broken, for one table or for the watch itself: from when it fired until it was resolved.
#[derive(Clone, Debug)]
pub struct Alert {
    /// Its identity, also for those who were told before.
    pub id: String,
    /// Goes up with every change of any alert.
    pub revision: u64,
    /// The rule.
    pub rule: String,
    /// The rule's kind.
    pub kind: Kind,
    /// How much it matters.
    pub severity: Severity,
    /// Whether it still holds.
    pub state: State,
    /// For a person: one sentence. No row's value stands in it.
    pub text: String,
    /// The table, if it is about one.
    pub subject: Option<Subject>,
    /// Rows before.
    pub from: Option<i64>,
    /// Rows after, when it last happened.
    pub to: Option<i64>,
    /// Rows that the transaction deleted or truncated, if that is known.
    pub deleted: Option<u64>,
    /// The transaction that it was: of those that made a table fall the greatest, else the last.
    pub transaction: Option<Arc<Transaction>>,
    /// How many others made the table fall.
    pub others: u64,
    /// Whether what was lost can be brought back.
    pub undo: Option<Undo>,
    /// Rules that are blind because of this.
    pub blind: Vec<String>,
    /// When it fired (Unix time, microseconds).
    pub since: i64,
    /// When it last happened.
    pub last: i64,
    /// When it was resolved.
    pub resolved_at: Option<i64>,
    /// How often it happened.
    pub times: u64,
    pub(super) json: OnceLock<Bytes>,
}

/// Where the pages are that an alert leads to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Links {
    /// Scheme, host and port, without a slash at the end.
    pub origin: String,
}

#[derive(Serialize)]
struct Document<'a> {
    r#type: &'static str,
    id: &'a str,
    rule: &'a str,
    kind: Kind,
    severity: Severity,
    state: State,
    text: &'a str,
    schema: Option<&'a str>,
    table: Option<&'a str>,
    oid: Option<u32>,
    from: Option<i64>,
    to: Option<i64>,
    deleted: Option<u64>,
    tx: Option<&'a Transaction>,
    other_transactions: u64,
    actor: Option<Actor>,
    since: String,
    last: String,
    resolved_at: Option<String>,
    times: u64,
    link: Option<String>,
    undo: Option<UndoDocument<'a>>,
    cannot_evaluate: &'a [String],
}

#[derive(Serialize)]
struct UndoDocument<'a> {
    link: String,
    restores: Option<bool>,
    reason: Option<&'a str>,
}

impl Alert {
    /// An alert of no rule, to try a webhook with.
    pub fn test(id: String, unix: i64) -> Self {
        Self {
            id,
            revision: 1,
            rule: "test".to_owned(),
            kind: Kind::Test,
            severity: Severity::Info,
            state: State::Firing,
            text: "This is a test: nothing has happened".to_owned(),
            subject: None,
            from: None,
            to: None,
            deleted: None,
            transaction: None,
            others: 0,
            undo: None,
            blind: Vec::new(),
            since: unix,
            last: unix,
            resolved_at: None,
            times: 1,
            json: OnceLock::new(),
        }
    }

    /// The `alert` event of the stream, made when first asked for.
    pub fn json(&self, links: &Links) -> Bytes {
        self.json.get_or_init(|| self.document(links, Clone::clone)).clone()
    }

    /// The same for those outside: the text of the statement, which may hold values of rows, is left out.
    pub fn json_for_others(&self, links: &Links) -> Bytes {
        self.document(links, Actor::without_query)
    }

    /// Who it was, if that is known.
    pub fn actor(&self) -> Option<&Actor> {
        self.transaction.as_ref()?.actor.as_ref()
    }

    /// The page of the transaction.
    pub fn link(&self, links: &Links) -> Option<String> {
        let transaction = self.transaction.as_ref()?;
        Some(format!("{}/?tx={}", links.origin, transaction.id))
    }

    fn document(&self, links: &Links, actor: impl Fn(&Actor) -> Actor) -> Bytes {
        let subject = self.subject.as_ref();
        let undo = self.undo.as_ref().zip(self.transaction.as_deref());
        let document = Document {
            r#type: "alert",
            id: &self.id,
            rule: &self.rule,
            kind: self.kind,
            severity: self.severity,
            state: self.state,
            text: &self.text,
            schema: subject.map(|subject| subject.schema.as_str()),
            table: subject.map(|subject| subject.name.as_str()),
            oid: subject.and_then(|subject| subject.oid),
            from: self.from,
            to: self.to,
            deleted: self.deleted,
            tx: self.transaction.as_deref(),
            other_transactions: self.others,
            actor: self.actor().map(actor),
            since: rfc3339_unix(self.since),
            last: rfc3339_unix(self.last),
            resolved_at: self.resolved_at.map(rfc3339_unix),
            times: self.times,
            undo: undo.map(|(undo, transaction)| UndoDocument {
                link: format!("{}/api/v1/transactions/{}/undo", links.origin, transaction.id),
                restores: undo.restores,
                reason: undo.reason.as_deref(),
            }),
            link: self.link(links),
            cannot_evaluate: &self.blind,
        };
        serde_json::to_vec(&document).unwrap_or_default().into()
    }
}

/// All alerts that are kept, at one moment; immutable.
#[derive(Clone, Debug, Default)]
pub struct Bulletin {
    /// The highest of the alerts ever.
    pub revision: u64,
    /// By revision, lowest first.
    pub alerts: Arc<[Arc<Alert>]>,
    /// Whether count rules can be evaluated now.
    pub evaluating: bool,
    /// How the webhooks do.
    pub webhooks: Vec<Health>,
    /// Where the pages are.
    pub links: Arc<Links>,
    /// How often each rule has fired, by the rule's name.
    pub fired: Vec<(String, Severity, u64)>,
}

impl Bulletin {
    /// Those that hold.
    pub fn firing(&self) -> impl Iterator<Item = &Arc<Alert>> {
        self.alerts.iter().filter(|alert| alert.state == State::Firing)
    }

    /// Those that changed after `revision`, in the order in which they did.
    pub fn since(&self, revision: u64) -> impl Iterator<Item = &Arc<Alert>> {
        let from = self.alerts.partition_point(|alert| alert.revision <= revision);
        self.alerts.iter().skip(from)
    }
}
