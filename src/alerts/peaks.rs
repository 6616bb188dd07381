//! The highest count within a time before now, in bounded memory.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// A time is divided into so many parts, of each of which the highest count is kept.
const PARTS: u32 = 32;

/// Counts that no later count has reached, oldest and highest first.
#[derive(Clone, Debug, Default)]
pub(super) struct Peaks(VecDeque<Peak>);

#[derive(Clone, Copy, Debug)]
struct Peak {
    rows: i64,
    /// When the count was last so high.
    until: Instant,
}

impl Peaks {
    /// The table has `rows` from `now` on; what was longer ago than `within` is forgotten.
    pub(super) fn note(&mut self, rows: i64, now: Instant, within: Duration) {
        while self.0.back().is_some_and(|peak| peak.rows <= rows) {
            self.0.pop_back();
        }
        // Two of the same part are one: the higher.
        let before = self.0.len().checked_sub(2).and_then(|index| self.0.get(index));
        let crowded = before.is_some_and(|before| now.saturating_duration_since(before.until) < within / PARTS);
        if crowded {
            self.0.pop_back();
        }
        self.0.push_back(Peak { rows, until: now });
        while self.0.len() > 1 && self.0.front().is_some_and(|peak| now.saturating_duration_since(peak.until) > within) {
            self.0.pop_front();
        }
    }

    /// What was told last still held at `now`.
    pub(super) fn hold(&mut self, now: Instant) {
        if let Some(last) = self.0.back_mut() {
            last.until = now;
        }
    }

    /// The highest, and how long ago it was.
    pub(super) fn highest(&self, now: Instant) -> Option<(i64, Duration)> {
        self.0.front().map(|peak| (peak.rows, now.saturating_duration_since(peak.until)))
    }

    /// What was before does not matter any more.
    pub(super) fn forget(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const WITHIN: Duration = Duration::from_secs(60);

    proptest! {
        #[test]
        fn the_highest_is_that_of_the_time_before(counts in prop::collection::vec((0u64..30_000, 0i64..100), 1..300)) {
            let (mut peaks, mut now) = (Peaks::default(), Instant::now());
            let mut told: Vec<(Instant, i64)> = Vec::new();
            for (pause, rows) in counts {
                now += Duration::from_millis(pause);
                peaks.hold(now);
                peaks.note(rows, now, WITHIN);
                told.push((now, rows));
                // Each count held until the next.
                let held = told.iter().zip(told.iter().skip(1).map(|(at, _)| *at).chain([now]));
                let highest = |within| held.clone().filter(|(_, until)| now - *until <= within).map(|((_, rows), _)| *rows).max().unwrap();
                let (found, _) = peaks.highest(now).unwrap();
                // What lies between the parts may be given to the older neighbour, so it is known for less long.
                prop_assert!(found <= highest(WITHIN));
                prop_assert!(found >= highest(WITHIN - 2 * WITHIN / PARTS), "{found} of {told:?}");
                prop_assert!(peaks.0.len() <= PARTS as usize + 3, "{} are kept", peaks.0.len());
            }
        }
    }
}
