//! Waiting for a condition, in place of sleeping for a time.

use std::time::Duration;

use anyhow::{Result, bail};
use tokio::time::{Instant, sleep, timeout_at};

/// Long enough for anything that should happen soon, on a busy machine too.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Asks again and again until `condition` gives a value. An error of it means "not yet", and is told when the time is over.
pub(crate) async fn wait_for<T, F>(what: &str, within: Duration, mut condition: F) -> Result<T>
where
    F: AsyncFnMut() -> Result<Option<T>>,
{
    let deadline = Instant::now() + within;
    let mut last = String::from("it never said why");
    loop {
        match timeout_at(deadline, condition()).await {
            Ok(Ok(Some(value))) => return Ok(value),
            Ok(Ok(None)) => "the condition did not hold".clone_into(&mut last),
            Ok(Err(error)) => last = format!("{error:#}"),
            Err(_) => last.push_str(", and then the question itself took too long"),
        }
        if Instant::now() >= deadline {
            bail!("waited {within:?} for {what}: {last}");
        }
        sleep(Duration::from_millis(20)).await;
    }
}
