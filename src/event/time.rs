//! Points in time as all of pgvigil prints them: RFC 3339, in UTC, with microseconds.

use crate::pgoutput::Timestamp;

/// Unix time of 2000-01-01 00:00:00 UTC, where PostgreSQL's clock begins, in microseconds.
const POSTGRES_EPOCH: i64 = 946_684_800_000_000;

/// As in `2026-11-22T14:02:11.204113Z`. What lies outside of the years -9999 to 9999 is given as their bound.
pub fn rfc3339(time: Timestamp) -> String {
    rfc3339_unix(unix_micros(time))
}

/// The same, of Unix time in microseconds.
pub fn rfc3339_unix(micros: i64) -> String {
    let bound = if micros < 0 { jiff::Timestamp::MIN } else { jiff::Timestamp::MAX };
    format!("{:.6}", jiff::Timestamp::from_microsecond(micros).unwrap_or(bound))
}

/// Unix time in microseconds.
pub fn unix_micros(time: Timestamp) -> i64 {
    time.0.saturating_add(POSTGRES_EPOCH)
}

/// The moment of a Unix time in microseconds.
pub fn from_unix_micros(micros: i64) -> Timestamp {
    Timestamp(micros.saturating_sub(POSTGRES_EPOCH))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn times_are_rfc_3339_with_microseconds() {
        assert_eq!(rfc3339(Timestamp(0)), "2000-01-01T00:00:00.000000Z");
        assert_eq!(rfc3339(Timestamp(848_671_331_204_113)), "2026-11-22T14:02:11.204113Z");
        assert_eq!(rfc3339(Timestamp(-1)), "1999-12-31T23:59:59.999999Z");
    }

    proptest! {
        #[test]
        fn any_time_is_printed(time: i64) {
            prop_assert!(rfc3339(Timestamp(time)).ends_with('Z'));
        }

        #[test]
        fn times_are_read_back(micros in -2_000_000_000_000_000i64..4_000_000_000_000_000) {
            let read: jiff::Timestamp = rfc3339_unix(micros).parse().unwrap();
            prop_assert_eq!(read.as_microsecond(), micros);
        }
    }
}
