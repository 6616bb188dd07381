//! One beat for all that is done again and again, so that the process wakes once for all of it, and sleeps in between.

use std::sync::OnceLock;

use tokio::time::{Duration, Instant, Interval, MissedTickBehavior, interval_at};

/// Ticks now, and then whenever a whole number of periods has gone by since the first beat of the process; what was missed is left out.
///
/// # Panics
/// If the period is zero, or outside of a runtime.
pub(crate) fn every(period: Duration) -> Interval {
    static FIRST: OnceLock<Instant> = OnceLock::new();
    let now = Instant::now();
    let since = now.saturating_duration_since(*FIRST.get_or_init(|| now)).as_nanos();
    let behind = u64::try_from(since.checked_rem(period.as_nanos()).unwrap_or_default()).unwrap_or_default();
    let mut interval = interval_at(now - Duration::from_nanos(behind), period);
    interval.set_missed_tick_behavior(MissedTickBehavior::Skip);
    interval
}
