//! The changes of one unfinished transaction, as raw messages in the order in which they came.
//!
//! Memory first; what does not fit goes to a file ([`Log::spill`]) and is read back once, at the commit. Bytes are kept in segments, each
//! of whole entries, so that nothing is ever copied to grow and the file is read a segment at a time.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};

use rustc_hash::FxHashSet;

use super::notes::{Note, Notes};
use super::tally::Tally;
use crate::lsn::Xid;

/// A segment is closed when it would grow past this. A larger message gets a segment of its own.
pub(super) const SEGMENT: usize = 256 << 10;
/// In front of every message: its length and its sub-transaction, both `u32`, and its place.
const HEADER: usize = 16;

/// Messages of one transaction, in order.
#[derive(Debug, Default)]
pub(super) struct Log {
    segments: Vec<Vec<u8>>,
    file: Option<File>,
    /// Segments in the file.
    in_file: usize,
    memory: usize,
    rolled_back: FxHashSet<Xid>,
    /// The records of the last two changes: where each starts, and the sub-transaction, unless that was rolled back.
    changes: [(u64, Option<Xid>); 2],
    pub(super) notes: Notes,
    pub(super) tally: Tally,
}

impl Log {
    /// Adds a message. `subxid` is the sub-transaction it may yet be rolled back with; `None` if it stays whatever happens.
    pub(super) fn push(&mut self, place: u64, subxid: Option<Xid>, message: &[u8]) {
        let needed = HEADER + message.len();
        let full = self.segments.last().is_none_or(|last| !last.is_empty() && last.len() + needed > SEGMENT);
        if full {
            self.segments.push(Vec::new());
        }
        if let Some(segment) = self.segments.last_mut() {
            let before = segment.capacity();
            segment.extend_from_slice(&u32::try_from(message.len()).unwrap_or(u32::MAX).to_le_bytes());
            segment.extend_from_slice(&subxid.unwrap_or_default().0.to_le_bytes());
            segment.extend_from_slice(&place.to_le_bytes());
            segment.extend_from_slice(message);
            self.memory += segment.capacity() - before;
        }
    }

    /// The next message to be pushed is a change.
    pub(super) fn changes_at(&mut self, place: u64, subxid: Option<Xid>) {
        let [_, last] = self.changes;
        if last != (place, subxid) {
            self.changes = [last, (place, subxid)];
        }
    }

    /// The sub-transaction of the last change before `place`, unless that was rolled back. One that directly follows may be here already.
    pub(super) fn written_before(&self, place: u64) -> Option<Xid> {
        self.changes.iter().rfind(|(at, _)| *at <= place)?.1
    }

    /// Everything that `subxid` wrote is as if it had never been written.
    pub(super) fn roll_back(&mut self, subxid: Xid) {
        self.rolled_back.insert(subxid);
        self.changes.iter_mut().filter(|(_, by)| *by == Some(subxid)).for_each(|(_, by)| *by = None);
        self.notes.roll_back(subxid);
        self.tally.roll_back(subxid);
    }

    /// Bytes held in memory.
    pub(super) fn memory(&self) -> usize {
        self.memory
    }

    /// Moves what is in memory to the end of the file that `create` makes on the first call.
    pub(super) fn spill(&mut self, create: impl FnOnce() -> io::Result<File>) -> io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(create()?),
        };
        for segment in &self.segments {
            file.write_all(&(segment.len() as u64).to_le_bytes())?;
            file.write_all(segment)?;
            self.in_file += 1;
        }
        self.segments = Vec::new();
        self.memory = 0;
        Ok(())
    }

    /// Empties it for another transaction, keeping one segment's memory.
    pub(super) fn recycle(mut self) -> Self {
        self.segments.truncate(1);
        let kept = self.segments.first_mut().filter(|segment| segment.capacity() <= SEGMENT);
        let segments = kept.map(std::mem::take).map(|mut segment| {
            segment.clear();
            segment
        });
        let memory = segments.as_ref().map_or(0, Vec::capacity);
        Log { segments: segments.into_iter().collect(), memory, ..Log::default() }
    }

    /// Turns to reading.
    pub(super) fn into_reader(mut self) -> io::Result<Reader> {
        if let Some(file) = &mut self.file {
            file.seek(SeekFrom::Start(0))?;
        }
        Ok(Reader { log: self, from_file: Vec::new(), in_file: true, segment: 0, end: 0, length: 0, subxid: Xid(0), place: 0 })
    }
}

/// Reads a [`Log`] from its beginning, once: [`Reader::advance`], then [`Reader::message`].
#[derive(Debug)]
pub(super) struct Reader {
    log: Log,
    /// The segment last read from the file.
    from_file: Vec<u8>,
    in_file: bool,
    segment: usize,
    /// Where the current message ends in its segment, and how long it is.
    end: usize,
    length: usize,
    subxid: Xid,
    place: u64,
}

impl Reader {
    pub(super) fn into_log(self) -> Log {
        self.log
    }

    pub(super) fn has_all_notes(&self, prefix: &[u8]) -> bool {
        self.log.notes.has_all(prefix)
    }

    pub(super) fn notes(&self) -> &[Note] {
        self.log.notes.as_slice()
    }

    /// The place of the current message.
    pub(super) fn place(&self) -> u64 {
        self.place
    }

    /// Whether [`Reader::advance`] goes to the file.
    pub(super) fn reads_file_next(&self) -> bool {
        self.in_file && self.log.in_file > 0 && self.end >= self.from_file.len()
    }

    /// The current message's bytes.
    pub(super) fn message(&self) -> &[u8] {
        self.current().get(self.end - self.length..self.end).unwrap_or_default()
    }

    /// Whether the sub-transaction that wrote the current message was rolled back.
    pub(super) fn is_rolled_back(&self) -> bool {
        !self.log.rolled_back.is_empty() && self.log.rolled_back.contains(&self.subxid)
    }

    /// Goes on to the next message; false at the end.
    pub(super) fn advance(&mut self) -> io::Result<bool> {
        while self.end >= self.current().len() {
            if !self.next_segment()? {
                return Ok(false);
            }
        }
        let rest = self.current().get(self.end..).unwrap_or_default();
        let header = rest.split_first_chunk::<4>().and_then(|(length, rest)| {
            let (subxid, rest) = rest.split_first_chunk::<4>()?;
            Some((
                u32::from_le_bytes(*length) as usize,
                u32::from_le_bytes(*subxid),
                u64::from_le_bytes(*rest.first_chunk::<8>()?),
            ))
        });
        let (length, subxid, place) = header.ok_or(io::ErrorKind::UnexpectedEof)?;
        if rest.len() < HEADER + length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.end += HEADER + length;
        (self.length, self.subxid, self.place) = (length, Xid(subxid), place);
        Ok(true)
    }

    fn current(&self) -> &[u8] {
        if self.in_file { &self.from_file } else { self.log.segments.get(self.segment).map_or(&[], Vec::as_slice) }
    }

    /// Goes on to the next segment: those of the file first, then those in memory; false behind the last one.
    fn next_segment(&mut self) -> io::Result<bool> {
        self.end = 0;
        if !self.in_file {
            self.segment += 1;
        } else if self.read_segment()? {
            return Ok(true);
        } else {
            (self.in_file, self.from_file) = (false, Vec::new());
        }
        Ok(self.segment < self.log.segments.len())
    }

    /// Reads the file's next segment; false when it has none.
    fn read_segment(&mut self) -> io::Result<bool> {
        let Some(file) = self.log.file.as_mut().filter(|_| self.log.in_file > 0) else { return Ok(false) };
        let mut length = [0; 8];
        file.read_exact(&mut length)?;
        self.from_file.resize(usize::try_from(u64::from_le_bytes(length)).map_err(io::Error::other)?, 0);
        file.read_exact(&mut self.from_file)?;
        self.log.in_file -= 1;
        Ok(true)
    }
}
