//! Reads a journal from end to end, and says whether it is what was written: every checksum, every block, their order, and that nothing is
//! missing between them. It changes nothing, and needs no server.

use std::fmt;
use std::path::{Path, PathBuf};

use super::error::JournalError;
use super::record::Watched;
use super::segment::Part;
use super::texts::Gathering;
use super::{look, segment, tail};
use crate::lsn::{EventId, Lsn};

/// What was found.
#[derive(Debug, Default)]
pub struct Report {
    /// The database that it is about.
    pub watched: Option<Watched>,
    /// Files.
    pub files: usize,
    /// Bytes.
    pub bytes: u64,
    /// Events in them.
    pub events: u64,
    /// The event before the first, if something was there and is no longer kept.
    pub before: Option<EventId>,
    /// The last event.
    pub last: Option<EventId>,
    /// Where the stream stands behind it.
    pub position: Lsn,
    /// What is wrong, in the order of the files.
    pub faults: Vec<Fault>,
}

/// What is wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The file.
    pub path: PathBuf,
    /// Where, in bytes from its beginning.
    pub offset: u64,
    /// What.
    pub reason: &'static str,
    /// It is behind the last commit of the last file: what a crash leaves, of which nothing was acknowledged.
    pub is_tail: bool,
}

impl Report {
    /// Whether it is what was written, a tail aside.
    pub fn is_sound(&self) -> bool {
        self.faults.iter().all(|fault| fault.is_tail)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}: {}", self.path.display(), self.offset, self.reason)
    }
}

/// Verifies the journal in `dir`. It may be written meanwhile: then what is being written may look like a tail.
///
/// # Errors
/// There is none, or a file cannot be read, is of a later format, or none of ours.
pub fn verify(dir: &Path) -> Result<Report, JournalError> {
    let numbers = look::numbers(dir)?;
    let mut report = Report::default();
    let mut before = None;
    for number in &numbers {
        let path = segment::path(dir, *number);
        let mut gathering = Gathering::default();
        let inspect = |part: Part<'_>| match part {
            Part::Block(summary, block, length) => {
                segment::unpack(summary, block).map(|block| gathering.add(length, Some(&block)))
            }
            Part::Texts(texts) if texts == gathering.texts().payload() => Ok(()),
            Part::Texts(_) => Err("its texts are not those of its blocks"),
        };
        let found = match segment::scan(&path, inspect) {
            Err(error) if error.is_gone() => {
                // It was the oldest, and is no longer kept; nor is what was before it.
                (report, before) = (Report::default(), None);
                continue;
            }
            found => found?,
        };
        let is_newest = numbers.last() == Some(number);
        let mut wrong = |offset, reason, is_tail| report.faults.push(Fault { path: path.clone(), offset, reason, is_tail });
        if let Some((offset, reason, is_tail)) = tail::fault(&path, &found, is_newest)? {
            wrong(offset, reason, is_tail);
        }
        if let Some(start) = found.start {
            if before
                .as_ref()
                .is_some_and(|before: &(u64, Option<EventId>)| (before.0 + 1, &before.1) != (*number, &start.before))
            {
                wrong(0, "what comes before it is missing", false);
            }
            if report.watched.as_ref().is_some_and(|watched| !watched.is(&start.watched)) {
                wrong(0, "it is about another database than the files before", false);
            }
            if before.is_none() {
                report.before = start.before;
            }
            report.watched.get_or_insert(start.watched);
        }
        report.files += 1;
        report.bytes += found.length;
        report.events += found.index.blocks.iter().map(|(_, _, block)| u64::from(block.events)).sum::<u64>();
        report.position = report.position.max(found.state.position);
        report.last = found.last.clone().or(report.last);
        before = Some((*number, found.last));
    }
    Ok(report)
}
