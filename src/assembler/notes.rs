//! Messages that are to be known before their transaction is read, copied aside as they come.
//!
//! Anyone can send any number of them, so few are kept, and none that is large. The rest is still in the log; for the first of it stands a
//! note that says nothing, whatever is rolled back.

use crate::lsn::Xid;

/// Notes of one prefix that are kept for a transaction.
const MOST: usize = 32;
/// Bytes of a message that is noted.
const LARGEST: usize = 64 << 10;
/// Bytes that are kept for a transaction.
const BYTES: usize = 512 << 10;

/// A message that was noted.
#[derive(Debug)]
pub struct Note {
    /// Its place in the transaction, as [`position`](super::Transaction::position) counts: how many messages came before it, but for
    /// changes that the server sent first though they were made after it.
    pub at: u64,
    /// One of those that the assembler was told to note.
    pub prefix: &'static [u8],
    /// What it says. Nothing, if it stands for what was left out.
    pub content: Box<[u8]>,
    subxid: Xid,
}

/// The notes of one unfinished transaction, in order.
#[derive(Debug, Default)]
pub(super) struct Notes {
    kept: Vec<Note>,
}

impl Notes {
    /// Keeps a message; without its content if that is not here.
    pub(super) fn take(&mut self, at: u64, subxid: Xid, prefix: &'static [u8], content: Option<&[u8]>) {
        let bytes: usize = self.kept.iter().map(|note| note.content.len()).sum();
        let alike = self.kept.iter().filter(|note| note.prefix == prefix && !note.content.is_empty()).count();
        let fits = |content: &&[u8]| content.len() <= LARGEST && alike < MOST && bytes + content.len() <= BYTES;
        match content.filter(fits) {
            Some(content) => self.kept.push(Note { at, prefix, content: content.into(), subxid }),
            None if !self.has_all(prefix) => {}
            None => self.kept.push(Note { at, prefix, content: Box::default(), subxid: Xid(0) }),
        }
    }

    /// Whether no message of this prefix was left out.
    pub(super) fn has_all(&self, prefix: &[u8]) -> bool {
        !self.kept.iter().any(|note| note.prefix == prefix && note.content.is_empty())
    }

    pub(super) fn roll_back(&mut self, subxid: Xid) {
        self.kept.retain(|note| note.subxid != subxid);
    }

    pub(super) fn as_slice(&self) -> &[Note] {
        &self.kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_are_kept_of_each_prefix_and_none_that_is_large() {
        let mut notes = Notes::default();
        for at in 0..1000 {
            notes.take(at, Xid(1), b"a", Some(b"one of many"));
        }
        notes.take(1000, Xid(2), b"b", Some(&[0; LARGEST + 1]));
        notes.take(1001, Xid(2), b"b", Some(b"after all of them"));
        notes.take(1001, Xid(2), b"d", None);
        assert_eq!([&b"a"[..], b"b", b"c", b"d"].map(|prefix| notes.has_all(prefix)), [false, false, true, false]);
        let said = |notes: &Notes| {
            notes.as_slice().iter().filter(|note| !note.content.is_empty()).map(|note| note.at).collect::<Vec<_>>()
        };
        assert_eq!(said(&notes).len(), MOST + 1);
        assert_eq!(said(&notes).last(), Some(&1001));
        // What is rolled back makes room.
        notes.roll_back(Xid(1));
        notes.take(1002, Xid(3), b"a", Some(b"another"));
        assert_eq!(said(&notes), [1001, 1002]);
        assert!(!notes.has_all(b"a"), "what was left out was not rolled back with them");
        for at in 0..1000 {
            notes.take(at, Xid(4), b"c", Some(&[0; LARGEST]));
        }
        assert!(notes.as_slice().iter().map(|note| note.content.len()).sum::<usize>() <= BYTES);
    }
}
