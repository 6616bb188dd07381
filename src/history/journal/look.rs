//! Opens a journal to look at it: nothing is locked, nothing is cut off, and another process may be writing it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock};

use super::error::JournalError;
use super::index::{Segment, Segments};
use super::minutes::Minutes;
use super::read::Archive;
use super::record::{Index, Start, Watched};
use super::verify::Fault;
use super::{segment, tail};
use crate::lsn::{EventId, Lsn};
use crate::pgoutput::Timestamp;

/// A journal as it was found.
#[derive(Debug)]
pub struct Found {
    /// The database that it is about.
    pub watched: Watched,
    /// Its files, oldest first.
    pub files: Vec<FoundFile>,
    /// Everything committed before this is in it.
    pub position: Lsn,
    /// When that was written, by the clock of who wrote it, in microseconds since 1970.
    pub written_at: i64,
    /// What was noticed to be wrong. The blocks were not read: see [`verify`](super::verify()).
    pub faults: Vec<Fault>,
    /// What is in it.
    pub archive: Archive,
}

/// A file of it.
#[derive(Clone, Debug)]
pub struct FoundFile {
    /// Where it is.
    pub path: PathBuf,
    /// Its size.
    pub bytes: u64,
    /// Events in it.
    pub events: u64,
    /// The last of them, or the last before it if it has none.
    pub last: Option<EventId>,
    /// When its first and its last transactions were committed, if it has any.
    pub times: Option<(Timestamp, Timestamp)>,
    /// Nothing more is written to it.
    pub complete: bool,
}

/// What is known of a file without reading what is in its blocks, if it has a beginning, and what is wrong with it.
struct Glance {
    known: Option<(Start, Index, Minutes)>,
    format: u32,
    bytes: u64,
    complete: bool,
    /// Where, why, and whether that is but the tail.
    fault: Option<(u64, &'static str, bool)>,
}

impl Found {
    /// Looks at the journal in `dir`.
    ///
    /// # Errors
    /// There is none, it is of a later format, or cannot be read at all. Of one that is damaged in places, what is not is found.
    pub fn open(dir: &Path) -> Result<Self, JournalError> {
        let numbers = numbers(dir)?;
        let newest = numbers.last().copied();
        let (mut segments, mut files, mut faults) = (Segments::default(), Vec::new(), Vec::new());
        let (mut watched, mut stands) = (None, (Lsn::ZERO, 0));
        for number in numbers {
            let path = segment::path(dir, number);
            let glance = match Glance::at(&path, Some(number) == newest) {
                Err(error) if error.is_gone() => {
                    // It was the oldest, and is no longer kept; nor is what was before it.
                    (segments, files, faults) = (Segments::default(), Vec::new(), Vec::new());
                    continue;
                }
                glance => glance?,
            };
            if let Some((offset, reason, is_tail)) = glance.fault {
                faults.push(Fault { path: path.clone(), offset, reason, is_tail });
            }
            let Some((start, index, minutes)) = glance.known else { continue };
            let state = (start.state.position, start.state.time);
            stands = index.commits.last().map_or(state, |(_, position, time)| (*position, *time));
            let segment = Segment::new(dir, (number, glance.format, glance.bytes), &start, &index.blocks);
            let Segment { bytes, events, last, times, .. } = segment.clone();
            files.push(FoundFile { path, bytes, events, last, times, complete: glance.complete });
            segments.push(segment, index, minutes);
            watched = Some(start.watched);
        }
        let Some(watched) = watched else {
            // A file without its beginning is one that is being made, unless more of it should be there.
            return Err(match faults.into_iter().find(|fault| !fault.is_tail) {
                Some(Fault { path, offset, reason, .. }) => JournalError::Damaged { path, offset, reason },
                None => JournalError::Nothing { dir: dir.to_owned() },
            });
        };
        let (position, written_at) = stands;
        Ok(Self { watched, files, position, written_at, faults, archive: Archive::new(Arc::new(RwLock::new(segments))) })
    }
}

/// The numbers of the files of a journal that is there to be looked at, and so was recorded before.
pub(super) fn numbers(dir: &Path) -> Result<Vec<u64>, JournalError> {
    match segment::numbers(dir) {
        Ok(numbers) if numbers.is_empty() => Err(JournalError::Nothing { dir: dir.to_owned() }),
        Err(JournalError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            Err(JournalError::NoFolder { dir: dir.to_owned() })
        }
        numbers => numbers,
    }
}

impl Glance {
    fn at(path: &Path, is_newest: bool) -> Result<Self, JournalError> {
        if let Some((start, index, format, bytes)) = segment::glance(path)? {
            // Those of a complete file are read from it.
            let known = Some((start, index, Minutes::default()));
            return Ok(Self { known, format, bytes, complete: true, fault: None });
        }
        let found = segment::scan(path, |_| Ok(()))?;
        let fault = tail::fault(path, &found, is_newest)?;
        let known = found.start.map(|start| (start, found.index, found.minutes));
        Ok(Self { known, format: found.format, bytes: found.length, complete: found.complete, fault })
    }
}
