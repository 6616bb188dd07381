//! `pgvigil alerts`: reads the rules as `serve` does, and sends one alert of no rule to every webhook.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use clap::{Args, Subcommand};
use jiff::tz::TimeZone;

use super::Failure;
use crate::alerts::{Alert, Rules};
use crate::webhook::{self, Address};

/// What `alerts` is told.
#[derive(Args, Clone, Debug)]
pub struct AlertsArgs {
    #[command(subcommand)]
    command: AlertsCommand,
}

#[derive(Clone, Debug, Subcommand)]
enum AlertsCommand {
    /// Say whether a file of rules is good, and what it comes to; without a file, print the rules that hold then
    Check {
        /// The file
        #[arg(env = "PGVIGIL_ALERTS", value_name = "FILE")]
        file: Option<PathBuf>,
    },
    /// Send one alert to every webhook, and say what came of it
    Test {
        /// The file that names the webhooks
        #[arg(long, env = "PGVIGIL_ALERTS", value_name = "FILE")]
        alerts: PathBuf,
    },
}

/// Reads a file of rules.
///
/// # Errors
/// What is wrong with it, where, and what is accepted.
pub fn read(file: &Path) -> Result<Rules, Failure> {
    let path = file.display();
    let text = std::fs::read_to_string(file).map_err(|error| Failure::other(format!("cannot read {path}: {error}")))?;
    let zone = |name: &str| TimeZone::get(name).ok();
    Rules::parse(&text, zone).map_err(|error| Failure::other(format!("{path}: {error}")))
}

/// Runs it. What a person is to see goes to `out`.
pub async fn run(args: AlertsArgs, out: &mut impl Write) -> Result<(), Failure> {
    match args.command {
        AlertsCommand::Check { file: None } => write!(out, "{}", Rules::usual_text()).map_err(Failure::other),
        AlertsCommand::Check { file: Some(file) } => check(&read(&file)?, out),
        AlertsCommand::Test { alerts } => test(&read(&alerts)?, out).await,
    }
}

fn check(rules: &Rules, out: &mut impl Write) -> Result<(), Failure> {
    for rule in &rules.rules {
        let (name, kind) = (rule.name.as_str(), rule.condition.kind().as_str());
        let kind = if name == kind { String::new() } else { format!(" ({kind})") };
        writeln!(out, "rule     {:9} {name}{kind}", rule.severity.as_str()).map_err(Failure::other)?;
    }
    let mut problem = None;
    for webhook in &rules.webhooks {
        // As `serve` would find it: an address may stand in a file or in the environment.
        let host = match Address::of(webhook) {
            Ok(address) => address.host().to_owned(),
            Err(error) => {
                problem.get_or_insert(error);
                "?".to_owned()
            }
        };
        writeln!(out, "webhook  {:9} {} (to {host})", webhook.severity.as_str(), webhook.name).map_err(Failure::other)?;
    }
    problem.map_or(Ok(()), |problem| Err(Failure::other(problem)))
}

async fn test(rules: &Rules, out: &mut impl Write) -> Result<(), Failure> {
    if rules.webhooks.is_empty() {
        return Err(Failure::other("the file names no webhook; add a [[webhook]] with a name and a url"));
    }
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let alert = Alert::test(format!("test-{}", since.as_millis()), i64::try_from(since.as_micros()).unwrap_or(i64::MAX));
    let mut failed = 0;
    for webhook in &rules.webhooks {
        let outcome = match webhook::send_once(webhook, &alert).await {
            Ok(Ok(())) => "taken".to_owned(),
            Ok(Err(error)) => format!("FAILED: {error}"),
            Err(error) => format!("FAILED: {error}"),
        };
        failed += usize::from(outcome != "taken");
        writeln!(out, "{}: {outcome}", webhook.name).map_err(Failure::other)?;
    }
    match failed {
        0 => Ok(()),
        failed => Err(Failure::other(format!("{failed} of {} webhooks did not take it", rules.webhooks.len()))),
    }
}
