//! Messages that are to be known before their transaction is read, copied aside as they come.
//!
//! Anyone can send any number of them, so few are kept, and none that is large. The rest is still in the log.

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
    /// Its place in the transaction, as [`position`](super::Transaction::position) counts: how many messages came before it.
    pub at: u64,
    /// One of those that the assembler was told to note.
    pub prefix: &'static [u8],
    /// What it says.
    pub content: Box<[u8]>,
    subxid: Xid,
}

/// The notes of one unfinished transaction, in order.
#[derive(Debug, Default)]
pub(super) struct Notes {
    kept: Vec<Note>,
}

impl Notes {
    pub(super) fn take(&mut self, at: u64, subxid: Xid, prefix: &'static [u8], content: &[u8]) {
        let bytes: usize = self.kept.iter().map(|note| note.content.len()).sum();
        let alike = self.kept.iter().filter(|note| note.prefix == prefix).count();
        if content.len() <= LARGEST && alike < MOST && bytes + content.len() <= BYTES {
            self.kept.push(Note { at, prefix, content: content.into(), subxid });
        }
    }

    pub(super) fn roll_back(&mut self, subxid: Xid) {
        self.kept.retain(|note| note.subxid != subxid);
    }

    pub(super) fn as_slice(&self) -> &[Note] {
        &self.kept
    }
}
