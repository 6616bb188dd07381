//! Messages that are to be known before their transaction is read, copied aside as they come.
//!
//! Anyone can send any number of them, so few are kept: of each prefix the first ones and the last one, and none that is large. For those
//! in between stands a note that says nothing, whatever is rolled back; all are still in the log.

use rustc_hash::FxHashSet;

use crate::lsn::Xid;

/// Notes of one prefix that are kept for a transaction.
const MOST: usize = 64;
/// Bytes of a message that is noted.
const LARGEST: usize = 64 << 10;
/// Bytes of all notes of one prefix but the last that are kept for a transaction.
const BYTES: usize = 256 << 10;

/// A message that was noted, or several of one prefix that say the same, with none of that prefix between them.
#[derive(Debug)]
pub struct Note {
    /// The place of the first in the log, as [`next`](super::Transaction::next) tells it.
    pub at: u64,
    /// The place of the last.
    pub until: u64,
    /// One of those that the assembler was told to note.
    pub prefix: &'static [u8],
    /// What it says. Nothing, if it stands for what was left out.
    pub content: Option<Box<[u8]>>,
    subxid: Xid,
}

/// The notes of one unfinished transaction, in order. Most have none.
#[derive(Debug, Default)]
pub(super) struct Notes(Option<Box<Taken>>);

#[derive(Debug, Default)]
struct Taken {
    kept: Vec<Note>,
    /// Prefixes of messages of which a content is not kept.
    lacking: FxHashSet<&'static [u8]>,
}

impl Notes {
    /// Keeps a message, if its content is here and not large, and `means_something`.
    pub(super) fn take(&mut self, at: u64, subxid: Xid, prefix: &'static [u8], content: Option<&[u8]>, means_something: bool) {
        let taken = self.0.get_or_insert_default();
        let Some(content) = content.filter(|content| content.len() <= LARGEST) else {
            taken.lacking.insert(prefix);
            return;
        };
        let last = taken.kept.iter_mut().rfind(|note| note.prefix == prefix);
        if let Some(last) = last.filter(|last| last.content.as_deref() == Some(content) && last.subxid == subxid) {
            last.until = at;
        } else if means_something {
            taken.make_room(prefix, content.len());
            taken.kept.push(Note { at, until: at, prefix, content: Some(content.into()), subxid });
        }
    }

    /// Whether no message of this prefix was left out that may mean something.
    pub(super) fn has_all(&self, prefix: &[u8]) -> bool {
        self.0.as_ref().is_none_or(|taken| !taken.lacking.contains(prefix))
    }

    pub(super) fn roll_back(&mut self, subxid: Xid) {
        if let Some(taken) = &mut self.0 {
            taken.kept.retain(|note| note.content.is_none() || note.subxid != subxid);
        }
    }

    pub(super) fn as_slice(&self) -> &[Note] {
        self.0.as_ref().map_or(&[], |taken| &taken.kept)
    }
}

impl Taken {
    /// Leaves out the last note of a prefix, if it has as many as are kept. Once one was left out, only one more is kept behind it.
    fn make_room(&mut self, prefix: &'static [u8], length: usize) {
        let alike = self.kept.iter().filter(|note| note.prefix == prefix);
        let (number, bytes) = alike.fold((0, length), |(number, bytes), note| (number + 1, bytes + note.length()));
        let left_out = self.kept.iter().position(|note| note.prefix == prefix && note.content.is_none());
        let last = self.kept.iter().rposition(|note| note.prefix == prefix && note.content.is_some());
        match (left_out, last) {
            (Some(left_out), Some(last)) if left_out < last => {
                let until = self.kept.remove(last).until;
                if let Some(note) = self.kept.get_mut(left_out) {
                    note.until = until;
                }
            }
            (None, Some(last)) if number >= MOST || bytes > BYTES => {
                if let Some(note) = self.kept.get_mut(last) {
                    (note.content, note.subxid) = (None, Xid(0));
                }
                self.lacking.insert(prefix);
            }
            _ => {}
        }
    }
}

impl Note {
    fn length(&self) -> usize {
        self.content.as_deref().map_or(0, <[u8]>::len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes a message that says so much.
    fn take(notes: &mut Notes, at: u64, subxid: u32, prefix: &'static [u8], content: &[u8]) {
        notes.take(at, Xid(subxid), prefix, Some(content), content != b"junk");
    }

    /// The places of those of a prefix, and whether each says something.
    fn places(notes: &Notes, prefix: &[u8]) -> Vec<(u64, u64, bool)> {
        let alike = notes.as_slice().iter().filter(|note| note.prefix == prefix);
        alike.map(|note| (note.at, note.until, note.content.is_some())).collect()
    }

    #[test]
    fn of_many_the_first_and_the_last_are_kept() {
        let mut notes = Notes::default();
        for at in 0..1000 {
            take(&mut notes, at, 1, b"a", at.to_string().as_bytes());
        }
        take(&mut notes, 1000, 2, b"b", b"after all of them");
        let last = places(&notes, b"a").split_off(MOST - 2);
        assert_eq!(last, [(62, 62, true), (63, 998, false), (999, 999, true)]);
        assert_eq!(places(&notes, b"b"), [(1000, 1000, true)]);
        assert_eq!([&b"a"[..], b"b"].map(|prefix| notes.has_all(prefix)), [false, true]);
        // What was left out was not rolled back with the rest, and nobody knows what it said.
        notes.roll_back(Xid(1));
        for at in 1001..1100 {
            take(&mut notes, at, 3, b"a", at.to_string().as_bytes());
        }
        assert_eq!(places(&notes, b"a"), [(63, 1098, false), (1099, 1099, true)]);
    }

    #[test]
    fn what_means_nothing_takes_no_place() {
        let mut notes = Notes::default();
        for at in 0..1000 {
            take(&mut notes, at, 1, b"a", b"junk");
        }
        assert!(places(&notes, b"a").is_empty() && notes.has_all(b"a"));
        // What is large, or is not here, may have meant something.
        take(&mut notes, 1000, 1, b"b", &[0; LARGEST + 1]);
        notes.take(1001, Xid(1), b"c", None, true);
        assert_eq!([&b"b"[..], b"c"].map(|prefix| notes.has_all(prefix)), [false, false]);
        assert!(notes.as_slice().is_empty());
    }

    #[test]
    fn what_says_the_same_again_takes_no_place() {
        let mut notes = Notes::default();
        for at in 0..1000 {
            take(&mut notes, at, 1, b"a", b"the same");
            take(&mut notes, at, 1, b"b", if at % 2 == 0 { b"one" } else { b"two" });
        }
        assert_eq!(places(&notes, b"a"), [(0, 999, true)]);
        assert_eq!(places(&notes, b"b").len(), MOST + 1);
        // In another sub-transaction it may be rolled back by itself.
        take(&mut notes, 1000, 2, b"a", b"the same");
        assert_eq!(places(&notes, b"a"), [(0, 999, true), (1000, 1000, true)]);
    }

    #[test]
    fn memory_is_bounded_by_size_too() {
        let mut notes = Notes::default();
        for at in 0..1000 {
            let content = vec![u8::try_from(at % 251).unwrap(); LARGEST];
            take(&mut notes, at, 4, b"c", &content);
        }
        assert!(notes.as_slice().iter().map(Note::length).sum::<usize>() <= BYTES + LARGEST);
        assert_eq!(places(&notes, b"c").last(), Some(&(999, 999, true)));
    }
}
