//! How long to wait before trying again.

use std::time::Duration;

use rand::Rng;

/// Pauses that double from 100 ms up to 10 s, each shortened at random by up to half.
///
/// The random part keeps many readers that lost the same server from coming back all at once.
#[derive(Clone, Debug, Default)]
pub struct Backoff {
    failures: u32,
}

const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(10);

impl Backoff {
    /// The pause after one more failure.
    pub fn next_pause(&mut self) -> Duration {
        let longest = self.longest();
        self.failures = self.failures.saturating_add(1);
        rand::rng().random_range(longest / 2..=longest)
    }

    fn longest(&self) -> Duration {
        FIRST.saturating_mul(2u32.saturating_pow(self.failures)).min(LONGEST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest() {
        let longest = |failures| Backoff { failures }.longest().as_millis();
        assert_eq!([0, 1, 2, 3, 6, 7, 40, u32::MAX].map(longest), [100, 200, 400, 800, 6_400, 10_000, 10_000, 10_000]);
    }

    #[test]
    fn every_pause_lies_within_its_half_and_they_differ() {
        let mut pauses = Vec::new();
        for failures in (0..20).cycle().take(200) {
            let mut backoff = Backoff { failures };
            let longest = backoff.longest();
            let pause = backoff.next_pause();
            assert!(pause >= longest / 2 && pause <= longest, "{pause:?} of {longest:?}");
            assert_eq!(backoff.failures, failures + 1);
            pauses.push(pause);
        }
        pauses.sort();
        pauses.dedup();
        assert!(pauses.len() > 100, "the pauses are not random");
    }
}
