//! The numbers that mean something: log positions, transaction ids, object ids, and the identity of an event.
//!
//! Floor 0: everything else may import this, and this imports nothing.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// A position in the write-ahead log: a byte offset, printed as PostgreSQL prints `pg_lsn` (`16/B374D848`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Lsn(pub u64);

impl Lsn {
    /// The invalid position `0/0`, which PostgreSQL uses for "not known".
    pub const ZERO: Lsn = Lsn(0);

    /// Bytes from `earlier` to `self`, or 0 when `earlier` is ahead.
    pub fn bytes_since(self, earlier: Lsn) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:X}/{:X}", self.0 >> 32, self.0 & 0xFFFF_FFFF)
    }
}

/// A text that is not an LSN, a transaction id or an event id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not {expected}")]
pub struct ParseIdError {
    /// What was given.
    pub text: String,
    /// The form that was expected, for a person.
    pub expected: &'static str,
}

fn parse_halves(text: &str, separator: char) -> Option<Lsn> {
    let (high, low) = text.split_once(separator)?;
    let half = |digits: &str| {
        let plain = !digits.is_empty() && digits.len() <= 8 && digits.bytes().all(|b| b.is_ascii_hexdigit());
        plain.then(|| u64::from_str_radix(digits, 16).ok()).flatten()
    };
    Some(Lsn(half(high)? << 32 | half(low)?))
}

impl FromStr for Lsn {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        parse_halves(text, '/').ok_or_else(|| ParseIdError { text: text.to_owned(), expected: "an LSN such as 16/B374D848" })
    }
}

/// A transaction id as the stream carries it: 32 bits, without the epoch that `pg_snapshot` adds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Xid(pub u32);

impl fmt::Display for Xid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// An object id: of a table, a type, a database.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Oid(pub u32);

impl fmt::Display for Oid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Names one unbroken stretch of the stream: a new one begins whenever continuity is lost.
///
/// Lower-case letters and digits, at most 16, so that it stands unescaped in JSON, in a URL and in an event id.
/// Epochs of one process sort in the order in which they began.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Epoch(Arc<str>);

impl Epoch {
    /// The epoch that begins at `millis` milliseconds of Unix time.
    pub fn at_millis(millis: u64) -> Self {
        const DIGITS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
        let (mut left, mut text) = (millis, Vec::with_capacity(9));
        loop {
            text.extend(DIGITS.get((left % 36) as usize));
            left /= 36;
            if left == 0 {
                break;
            }
        }
        text.reverse();
        Epoch(String::from_utf8_lossy(&text).into())
    }

    /// The text itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<Epoch> for String {
    fn from(epoch: Epoch) -> String {
        epoch.as_str().to_owned()
    }
}

impl TryFrom<String> for Epoch {
    type Error = ParseIdError;

    fn try_from(text: String) -> Result<Self, ParseIdError> {
        text.parse()
    }
}

impl FromStr for Epoch {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        let plain = |b: u8| b.is_ascii_digit() || b.is_ascii_lowercase();
        if (1..=16).contains(&text.len()) && text.bytes().all(plain) {
            Ok(Epoch(text.into()))
        } else {
            Err(ParseIdError { text: text.to_owned(), expected: "an epoch: up to 16 lower-case letters and digits" })
        }
    }
}

/// The identity of an event: the same after a replay, so it is the resume cursor and the deduplication key.
///
/// Printed `{epoch}.{commit_lsn with - for /}.{ordinal}`, as in `k3.0-1A2B3C8.4`. Ordinals count from 1 within a transaction.
/// An LSN alone is no identity: all changes of a transaction share it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct EventId {
    /// The unbroken stretch it belongs to.
    pub epoch: Epoch,
    /// Its place within the epoch.
    pub place: Place,
}

/// The place of an event within its epoch: the commit that it belongs to, then its ordinal there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Place {
    /// Where the commit record of its transaction stands.
    pub commit_lsn: Lsn,
    /// Counts from 1 within the transaction; 0 of what stands before any, such as a message outside of all.
    pub ordinal: u64,
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Place { commit_lsn: Lsn(lsn), ordinal } = self.place;
        write!(f, "{}.{:X}-{:X}.{}", self.epoch, lsn >> 32, lsn & 0xFFFF_FFFF, ordinal)
    }
}

impl FromStr for EventId {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        let parse = || {
            let mut parts = text.split('.');
            let epoch = parts.next()?.parse().ok()?;
            let commit_lsn = parse_halves(parts.next()?, '-')?;
            let digits = parts.next().filter(|d| d.bytes().all(|b| b.is_ascii_digit()))?;
            let ordinal = digits.parse().ok()?;
            parts.next().is_none().then_some(EventId { epoch, place: Place { commit_lsn, ordinal } })
        };
        parse().ok_or_else(|| ParseIdError { text: text.to_owned(), expected: "an event id such as k3.0-1A2B3C8.4" })
    }
}

/// The identity of a transaction, printed `{epoch}-{commit_lsn with - for /}`, as in `k3-0-1A2B3C8`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TransactionId {
    /// The unbroken stretch it belongs to.
    pub epoch: Epoch,
    /// Where its commit record stands.
    pub commit_lsn: Lsn,
}

impl fmt::Display for TransactionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Lsn(lsn) = self.commit_lsn;
        write!(f, "{}-{:X}-{:X}", self.epoch, lsn >> 32, lsn & 0xFFFF_FFFF)
    }
}

impl FromStr for TransactionId {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        let parse = || {
            let (epoch, lsn) = text.split_once('-')?;
            Some(TransactionId { epoch: epoch.parse().ok()?, commit_lsn: parse_halves(lsn, '-')? })
        };
        parse().ok_or_else(|| ParseIdError { text: text.to_owned(), expected: "a transaction id such as k3-0-1A2B3C8" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn lsns_print_and_parse(n: u64) {
            prop_assert_eq!(Lsn(n).to_string().parse(), Ok(Lsn(n)));
        }

        #[test]
        fn ids_print_and_parse(millis: u64, lsn: u64, ordinal: u64) {
            let (epoch, commit_lsn) = (Epoch::at_millis(millis), Lsn(lsn));
            let event = EventId { epoch: epoch.clone(), place: Place { commit_lsn, ordinal } };
            prop_assert_eq!(event.to_string().parse(), Ok(event));
            let transaction = TransactionId { epoch, commit_lsn };
            prop_assert_eq!(transaction.to_string().parse(), Ok(transaction));
        }

        #[test]
        fn any_text_is_parsed_or_refused(text: String) {
            let _ = (text.parse::<Lsn>(), text.parse::<EventId>(), text.parse::<TransactionId>(), text.parse::<Epoch>());
        }
    }

    #[test]
    fn the_printed_forms_are_the_promised_ones() {
        let id = EventId { epoch: "k3".parse().unwrap(), place: Place { commit_lsn: Lsn(0x1A2_B3C8), ordinal: 4 } };
        assert_eq!(id.to_string(), "k3.0-1A2B3C8.4");
        assert_eq!(Lsn(0x16_B374_D848).to_string(), "16/B374D848");
        let tx = TransactionId { epoch: "k3".parse().unwrap(), commit_lsn: Lsn(0x1A2_B3C8) };
        assert_eq!(tx.to_string(), "k3-0-1A2B3C8");
    }

    #[test]
    fn malformed_ids_are_refused() {
        for text in ["", "1", "1/", "/1", "1/2/3", "+1/2", "123456789/0", "g/0"] {
            assert!(text.parse::<Lsn>().is_err(), "{text}");
        }
        for text in ["", "k3", "k3.0-1", "k3.0-1.", "k3.0-1.-4", "k3.0-1.4.5", "K3.0-1.4", "k3.0/1.4"] {
            assert!(text.parse::<EventId>().is_err(), "{text}");
        }
    }
}
