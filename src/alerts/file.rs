//! The file of rules: TOML, read strictly. A name that means nothing is refused, with its line and with what is accepted.

use std::ops::RangeInclusive;
use std::time::Duration;

use bytesize::ByteSize;
use jiff::SignedDuration;
use jiff::tz::TimeZone;
use serde::Deserialize;
use toml::Spanned;

use super::alert::Severity;
use super::condition::{Condition, Kind};
use super::quiet::QuietHours;
use super::rules::Rule;
use super::selection::{Names, Selection};
use super::webhook::{Format, Source, Webhook};
use crate::event::filter::FilterError;

/// A file of rules that cannot be taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RulesError {
    /// It is not TOML, or a name or a value in it is not one of those that are accepted.
    #[error("{0}")]
    Toml(#[from] toml::de::Error),
    /// An entry of it makes no sense.
    #[error("line {line}: {what} {name:?}: {problem}")]
    Entry {
        /// Where the entry begins.
        line: usize,
        /// `rule` or `webhook`.
        what: &'static str,
        /// Its name, or its kind.
        name: String,
        /// What is wrong with it, and what is accepted.
        problem: Problem,
    },
    /// What holds for all rules makes no sense.
    #[error("{0}")]
    OfAll(Problem),
    /// A time zone that nobody knows here.
    #[error("timezone: {name:?} is not known here; give a name such as \"Europe/Berlin\", or leave it out for UTC")]
    TimeZone {
        /// What stands there.
        name: String,
    },
    /// A webhook is told of a rule that there is none of.
    #[error("webhook {webhook:?}: rules: there is no rule {rule:?}; accepted: {accepted}")]
    NoSuchRule {
        /// Which webhook.
        webhook: String,
        /// What stands there.
        rule: String,
        /// The names of the rules.
        accepted: String,
    },
}

/// What is wrong with an entry.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// An option of another kind.
    #[error("{option} means nothing to a {kind} rule; accepted: kind, name, severity, quiet_hours, {accepted}")]
    NotOfItsKind {
        /// Which.
        option: &'static str,
        /// Which kind.
        kind: Kind,
        /// The options of the kind.
        accepted: String,
    },
    /// An option that this kind cannot do without.
    #[error("give {option}, such as {example}")]
    Missing {
        /// Which.
        option: &'static str,
        /// How it is written.
        example: &'static str,
    },
    /// A value of the wrong form, or out of range.
    #[error("{option}: {given:?} is not accepted; give {expected}")]
    Value {
        /// Of which option.
        option: &'static str,
        /// What stands there.
        given: String,
        /// What may.
        expected: &'static str,
    },
    /// A table that is none.
    #[error("{0}")]
    Table(#[from] FilterError),
    /// Two of the same name.
    #[error("there is another of this name; give one of them another with name = \"…\"")]
    Twice,
    /// Both or neither of what excludes each other.
    #[error("give one of {0}")]
    OneOf(&'static str),
}

/// The file, as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    timezone: Option<String>,
    #[serde(default)]
    quiet_hours: List,
    defaults: Option<bool>,
    #[serde(default)]
    rule: Vec<Spanned<RawRule>>,
    #[serde(default)]
    webhook: Vec<Spanned<RawWebhook>>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRule {
    kind: Kind,
    name: Option<String>,
    severity: Option<Severity>,
    quiet_hours: Option<List>,
    tables: Option<List>,
    except_tables: Option<List>,
    partitions: Option<bool>,
    actors: Option<List>,
    except_actors: Option<List>,
    from_rows: Option<Number>,
    min: Option<Number>,
    rows: Option<Number>,
    percent: Option<Number>,
    bytes: Option<String>,
    within: Option<Time>,
    r#for: Option<Time>,
    resolve_after: Option<Time>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawWebhook {
    name: String,
    url: Option<String>,
    url_file: Option<String>,
    url_env: Option<String>,
    #[serde(default)]
    format: Format,
    secret_file: Option<String>,
    secret_env: Option<String>,
    timeout: Option<Time>,
    #[serde(default)]
    severity: Severity,
    rules: Option<List>,
    #[serde(default = "yes")]
    resolved: bool,
    repeat_after: Option<Time>,
}

/// Several names.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged, expecting = "expected a list of texts, such as [\"public.User\", \"Order\"]")]
enum List {
    Of(Vec<String>),
}

/// How many, whatever is accepted.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(untagged, expecting = "expected a whole number without quotes, such as 20")]
enum Number {
    Of(i64),
}

/// How long.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged, expecting = "expected a time in quotes, such as \"15s\", \"10m\" or \"1h\"")]
enum Time {
    Of(String),
}

impl Default for List {
    fn default() -> Self {
        Self::Of(Vec::new())
    }
}

impl std::ops::Deref for List {
    type Target = [String];

    fn deref(&self) -> &[String] {
        let Self::Of(list) = self;
        list
    }
}

impl From<List> for Vec<String> {
    fn from(List::Of(list): List) -> Self {
        list
    }
}

fn yes() -> bool {
    true
}

/// What a file says.
pub(super) struct Read {
    pub(super) rules: Vec<Rule>,
    pub(super) webhooks: Vec<Webhook>,
    pub(super) with_defaults: Option<bool>,
}

pub(super) fn read(text: &str, zone: &impl Fn(&str) -> Option<TimeZone>) -> Result<Read, RulesError> {
    let file: File = toml::from_str(text)?;
    let zone = match file.timezone {
        None => TimeZone::UTC,
        Some(name) => zone(&name).ok_or(RulesError::TimeZone { name })?,
    };
    // Also where no rule has them: nobody would notice before the first night.
    quiet_spans(&file.quiet_hours, &zone).map_err(RulesError::OfAll)?;
    let line = |start: usize| text.bytes().take(start).filter(|byte| *byte == b'\n').count() + 1;
    let mut rules: Vec<Rule> = Vec::new();
    for raw in file.rule {
        let start = raw.span().start;
        let raw = raw.into_inner();
        let name = raw.name.clone().unwrap_or_else(|| raw.kind.as_str().to_owned());
        let known = rules.iter().any(|rule| rule.name == name);
        let rule = if known { Err(Problem::Twice) } else { raw.rule(name.clone(), &file.quiet_hours, &zone) };
        rules.push(rule.map_err(|problem| RulesError::Entry { line: line(start), what: "rule", name, problem })?);
    }
    let mut webhooks: Vec<Webhook> = Vec::new();
    for raw in file.webhook {
        let start = raw.span().start;
        let raw = raw.into_inner();
        let name = raw.name.clone();
        let known = webhooks.iter().any(|webhook| webhook.name == name);
        let webhook = if known { Err(Problem::Twice) } else { raw.webhook() };
        webhooks.push(webhook.map_err(|problem| RulesError::Entry { line: line(start), what: "webhook", name, problem })?);
    }
    Ok(Read { rules, webhooks, with_defaults: file.defaults })
}

/// Whether the rules that webhooks name are there.
pub(super) fn check_webhooks(rules: &[Rule], webhooks: &[Webhook]) -> Result<(), RulesError> {
    for webhook in webhooks {
        for name in webhook.rules.iter().flatten() {
            if !rules.iter().any(|rule| rule.name == *name) {
                let accepted = rules.iter().map(|rule| rule.name.as_str()).collect::<Vec<_>>().join(", ");
                return Err(RulesError::NoSuchRule { webhook: webhook.name.clone(), rule: name.clone(), accepted });
            }
        }
    }
    Ok(())
}

impl RawRule {
    fn rule(self, name: String, quiet_hours: &[String], zone: &TimeZone) -> Result<Rule, Problem> {
        let kind = self.kind;
        if let Some(option) = self.given().find(|option| !kind.options().contains(option)) {
            return Err(Problem::NotOfItsKind { option, kind, accepted: kind.options().join(", ") });
        }
        let condition = self.condition()?;
        let severity = self.severity.unwrap_or(kind.usual_severity());
        // What is critical wakes people, unless its own rule says that it does not.
        let of_all = if severity == Severity::Critical { &[][..] } else { quiet_hours };
        let quiet = quiet_spans(self.quiet_hours.as_deref().unwrap_or(of_all), zone)?;
        let selection = Selection::new(Names {
            tables: self.tables.unwrap_or_default().into(),
            except_tables: self.except_tables.unwrap_or_default().into(),
            partitions: self.partitions.unwrap_or_default(),
            actors: self.actors.unwrap_or_default().into(),
            except_actors: self.except_actors.unwrap_or_default().into(),
        })?;
        Ok(Rule { name, severity, selection, quiet, condition })
    }

    /// The options that it has, beside those that every rule may have.
    fn given(&self) -> impl Iterator<Item = &'static str> {
        [
            ("tables", self.tables.is_some()),
            ("except_tables", self.except_tables.is_some()),
            ("partitions", self.partitions.is_some()),
            ("actors", self.actors.is_some()),
            ("except_actors", self.except_actors.is_some()),
            ("from_rows", self.from_rows.is_some()),
            ("min", self.min.is_some()),
            ("rows", self.rows.is_some()),
            ("percent", self.percent.is_some()),
            ("bytes", self.bytes.is_some()),
            ("within", self.within.is_some()),
            ("for", self.r#for.is_some()),
            ("resolve_after", self.resolve_after.is_some()),
        ]
        .into_iter()
        .filter_map(|(option, given)| given.then_some(option))
    }

    fn condition(&self) -> Result<Condition, Problem> {
        let from_rows = |usual| number("from_rows", self.from_rows, usual, ROWS);
        let percent = |usual| number("percent", self.percent, usual, PERCENT);
        let within = |usual| duration("within", self.within.as_ref(), usual);
        let lasting = |usual| duration("for", self.r#for.as_ref(), usual);
        let resolve_after = |usual| duration("resolve_after", self.resolve_after.as_ref(), usual);
        Ok(match self.kind {
            Kind::CountZero => {
                let (within, resolve_after) = (within(HOUR)?, resolve_after(HOUR)?);
                Condition::CountZero { from_rows: from_rows(10)?.max(1), within, resolve_after }
            }
            Kind::CountDrop => {
                let (within, resolve_after) = (within(MINUTE)?, resolve_after(HOUR)?);
                Condition::CountDrop { percent: percent(10)?, within, from_rows: from_rows(100)?, resolve_after }
            }
            Kind::CountFloor => {
                let given = self.min.ok_or(Problem::Missing { option: "min", example: "min = 20" })?;
                Condition::CountFloor { min: number("min", Some(given), 1, FLOOR)? }
            }
            Kind::MassDelete => {
                Condition::MassDelete { rows: number("rows", self.rows, 1000, ROWS)?, resolve_after: resolve_after(10 * MINUTE)? }
            }
            Kind::ProtectedTable if self.tables.as_deref().is_none_or(<[_]>::is_empty) => {
                return Err(Problem::Missing { option: "tables", example: "tables = [\"public.Plan\"]" });
            }
            Kind::ProtectedTable => Condition::ProtectedTable { resolve_after: resolve_after(10 * MINUTE)? },
            Kind::TableDropped => Condition::TableDropped { from_rows: from_rows(1)?, resolve_after: resolve_after(HOUR)? },
            Kind::ChangedUnwatched => {
                let resolve_after = resolve_after(HOUR)?;
                Condition::ChangedUnwatched { percent: percent(50)?, from_rows: from_rows(10)?, resolve_after }
            }
            Kind::RecountDiffers => Condition::RecountDiffers { resolve_after: resolve_after(HOUR)? },
            Kind::NotLive => Condition::NotLive { lasting: lasting(Duration::from_secs(15))? },
            Kind::CannotEvaluate => Condition::CannotEvaluate { lasting: lasting(2 * MINUTE)? },
            // A file cannot name the kind `test`.
            Kind::WalHeld | Kind::Test => {
                Condition::WalHeld { percent: percent(50)?, bytes: size(self.bytes.as_deref(), ByteSize::gib(1))? }
            }
        })
    }
}

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

impl RawWebhook {
    fn webhook(self) -> Result<Webhook, Problem> {
        let url = match (self.url, self.url_file, self.url_env) {
            (Some(url), None, None) => Source::Text(url),
            (None, Some(path), None) => Source::File(path.into()),
            (None, None, Some(name)) => Source::Environment(name),
            _ => return Err(Problem::OneOf("url, url_file and url_env")),
        };
        let secret = match (self.secret_file, self.secret_env) {
            (None, None) => None,
            (Some(path), None) => Some(Source::File(path.into())),
            (None, Some(name)) => Some(Source::Environment(name)),
            _ => return Err(Problem::OneOf("secret_file and secret_env")),
        };
        Ok(Webhook {
            name: self.name,
            url,
            format: self.format,
            secret,
            timeout: duration("timeout", self.timeout.as_ref(), Duration::from_secs(10))?,
            severity: self.severity,
            rules: self.rules.map(Vec::from),
            resolved: self.resolved,
            repeat_after: duration("repeat_after", self.repeat_after.as_ref(), 5 * MINUTE)?,
        })
    }
}

fn quiet_spans(given: &[String], zone: &TimeZone) -> Result<QuietHours, Problem> {
    QuietHours::parse(given.iter().map(String::as_str), zone.clone()).map_err(|given| Problem::Value {
        option: "quiet_hours",
        given: given.to_owned(),
        expected: "spans such as \"22:00-07:00\" or \"sat,sun 00:00-24:00\"",
    })
}

fn duration(option: &'static str, given: Option<&Time>, usual: Duration) -> Result<Duration, Problem> {
    let Some(Time::Of(text)) = given else { return Ok(usual) };
    let time = text.parse::<SignedDuration>().ok().and_then(|time| Duration::try_from(time).ok());
    // A day more or less makes no difference to a month; a time beyond what clocks can tell does.
    let time = time.filter(|time| (Duration::from_secs(1)..=1000 * 24 * HOUR).contains(time));
    time.ok_or_else(|| Problem::Value { option, given: text.clone(), expected: "a time from 1s on, such as 15s, 10m or 1h" })
}

/// Numbers that are accepted, and how that is said.
type Accepted = (RangeInclusive<i64>, &'static str);

/// More rows than any table can have, with which one can still calculate.
const MANY: i64 = 1 << 53;
const ROWS: Accepted = (0..=MANY, "a number of rows from 0 on");
const FLOOR: Accepted = (1..=MANY, "a number of rows from 1 on");
const PERCENT: Accepted = (1..=99, "a number from 1 to 99");

fn number<T: TryFrom<i64>>(option: &'static str, given: Option<Number>, usual: T, accepted: Accepted) -> Result<T, Problem> {
    let Some(Number::Of(given)) = given else { return Ok(usual) };
    let (range, expected) = accepted;
    let fitting = Some(given).filter(|given| range.contains(given)).and_then(|given| T::try_from(given).ok());
    fitting.ok_or_else(|| Problem::Value { option, given: given.to_string(), expected })
}

fn size(given: Option<&str>, usual: ByteSize) -> Result<u64, Problem> {
    let Some(text) = given else { return Ok(usual.as_u64()) };
    let refused = || Problem::Value { option: "bytes", given: text.to_owned(), expected: "a size such as 512MiB or 1GiB" };
    text.parse::<ByteSize>().ok().map(|size| size.as_u64()).filter(|bytes| *bytes > 0).ok_or_else(refused)
}
