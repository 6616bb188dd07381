//! Finds what is there, cuts off what a crash left, and begins to write once it is known which database that is about.

use std::fmt;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock};

use super::error::JournalError;
use super::hole::Hole;
use super::index::{Segment, Segments};
use super::minutes::Minutes;
use super::read::Archive;
use super::record::{FORMAT, Index, Start, State, TableState, Watched};
use super::texts::Gathering;
use super::write::{Current, Journal, LEVEL, Options, write};
use super::{lock, segment, tail};
use crate::lsn::{Epoch, EventId, Lsn};

/// What was wrong with the newest file of a journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cut {
    /// A crash left something behind the last commit, of which nothing was acknowledged. It was cut off.
    Tail {
        /// The file.
        path: PathBuf,
        /// Where the last commit ends.
        at: u64,
        /// Bytes behind it.
        bytes: u64,
    },
    /// It does not hold what was written. It is left as it is, and the journal goes on in the next file, from the last commit before that.
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where it makes no sense any more.
        at: u64,
        /// What is wrong there.
        reason: &'static str,
    },
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cut::Tail { path, at, bytes } => write!(
                f,
                "the journal was not closed: {bytes} bytes behind its last commit, of which nothing was acknowledged, were cut off ({}, byte {at})",
                path.display()
            ),
            Cut::Damaged { path, at, reason } => write!(
                f,
                "the journal is damaged, {} at byte {at}: {reason}. What was recorded behind that cannot be read here, and is told as a gap; the file \
                 is left as it is. pgvigil history verify looks at all of it",
                path.display()
            ),
        }
    }
}

/// A journal that this process has, and that nothing is written to yet.
pub struct Opened {
    dir: PathBuf,
    lock: File,
    options: Options,
    segments: Arc<RwLock<Segments>>,
    /// The file that was written last, if there is one.
    file: Option<Last>,
    watched: Option<Watched>,
    state: State,
    last: Option<EventId>,
}

/// The file that was written last.
struct Last {
    path: PathBuf,
    number: u64,
    format: u32,
    /// Nothing more is written to it: it is complete, or damaged.
    is_over: bool,
    /// Of its blocks, if it is gone on with.
    texts: Gathering,
}

impl Opened {
    /// Opens the journal in `dir`, which is made if need be, and takes it for this process. What a crash left is cut off.
    ///
    /// # Errors
    /// Another process has it, it is of a later format, its newest file has no beginning, or the disk does not do what it should.
    pub fn open(dir: &Path, options: Options) -> Result<(Self, Option<Cut>), JournalError> {
        let lock = lock::take(dir)?;
        let mut numbers = segment::numbers(dir)?;
        let (mut segments, mut cut, mut found) = (Segments::default(), None, None);
        while let Some(number) = numbers.pop() {
            let path = segment::path(dir, number);
            let contents = segment::scan(&path, |_| Ok(()))?;
            let fault = tail::fault(&path, &contents, true)?;
            let damaged = fault.filter(|(.., is_tail)| !is_tail).map(|(offset, reason, _)| (offset, reason));
            let Some(start) = contents.start.clone() else {
                if let Some((offset, reason)) = damaged {
                    return Err(JournalError::Damaged { path, offset, reason });
                }
                // It was being made.
                fs::remove_file(&path).map_err(JournalError::io("remove", &path))?;
                continue;
            };
            let mut end = contents.length;
            if damaged.is_none() && !contents.complete && contents.committed < contents.length {
                end = contents.committed;
                let file = fs::OpenOptions::new().write(true).open(&path).map_err(JournalError::io("open", &path))?;
                file.set_len(end).and_then(|()| file.sync_all()).map_err(JournalError::io("cut", &path))?;
            }
            // What is read here may be in the memory of the system only.
            File::open(&path).and_then(|file| file.sync_all()).map_err(JournalError::io("sync", &path))?;
            cut = fault.map(|(at, reason, is_tail)| {
                let (path, bytes) = (path.clone(), contents.length - contents.committed);
                if is_tail { Cut::Tail { path, at: contents.committed, bytes } } else { Cut::Damaged { path, at, reason } }
            });
            // Behind what is damaged nothing is written.
            let is_over = contents.complete || damaged.is_some();
            found = Some((path, number, end, is_over, start, contents));
            break;
        }
        for number in numbers {
            if let Some((segment, index)) = earlier(dir, number)? {
                segments.push(segment, index, Minutes::default());
            }
        }
        let (dir, mut opened) = (dir.to_owned(), None);
        if let Some((path, number, bytes, is_over, start, contents)) = found {
            let format = contents.format;
            let segment = Segment::new(&dir, (number, format, bytes), &start, &contents.index.blocks);
            let goes_on = !is_over && format == FORMAT;
            let texts = if goes_on { gathered(&path, &contents.index) } else { Gathering::default() };
            segments.push(segment, contents.index, contents.minutes);
            segments.gathered(texts.texts());
            let last = Last { path, number, format, is_over, texts };
            opened = Some((last, start.watched, contents.state, contents.last));
        }
        let next = segments.all.iter().skip(1);
        for (one, next) in segments.all.iter().zip(next) {
            if let Some(hole) = Hole::between(&[one], &[next]) {
                let (one, next) = (one.path.display(), next.path.display());
                tracing::warn!("between {one} and {next} something is missing: {}", hole.error());
            }
        }
        let segments = Arc::new(RwLock::new(segments));
        let (file, watched, state, last) = match opened {
            Some((file, watched, state, last)) => (Some(file), Some(watched), state, last),
            None => (None, None, State::default(), None),
        };
        Ok((Self { dir, lock, options, segments, file, watched, state, last }, cut))
    }

    /// For those who read.
    pub fn archive(&self) -> Archive {
        Archive::new(Arc::clone(&self.segments))
    }

    /// The epoch that was written last, if any was, how far, and on which timeline of the server.
    pub fn left(&self) -> Option<(&Epoch, Lsn, u32)> {
        self.state.epoch.as_ref().map(|epoch| (epoch, self.state.position, self.state.timeline))
    }

    /// What tells of DDL where it was left, and all tables there.
    pub fn tables(&self) -> (Option<i64>, &[TableState]) {
        (self.state.told_by, &self.state.tables)
    }

    /// The database that it is about, if it is about any yet.
    pub fn watched(&self) -> Option<&Watched> {
        self.watched.as_ref()
    }

    /// Whether what happens in this database belongs in here.
    ///
    /// # Errors
    /// It holds the history of another one.
    pub fn admit(&self, actual: &Watched) -> Result<(), JournalError> {
        match &self.watched {
            Some(recorded) if !recorded.is(actual) => {
                let (recorded, actual) = (Box::new(recorded.clone()), Box::new(actual.clone()));
                Err(JournalError::OtherDatabase { dir: self.dir.clone(), recorded, actual })
            }
            _ => Ok(()),
        }
    }

    /// Begins to write what happens in this database.
    ///
    /// # Errors
    /// It holds the history of another one, or the disk does not do what it should.
    pub fn begin(self, watched: &Watched) -> Result<Journal, JournalError> {
        self.admit(watched)?;
        let Self { dir, lock, options, segments, file, mut state, last, .. } = self;
        let (current, is_over) = match file {
            Some(Last { path, number, format, is_over, texts }) => {
                let bytes = fs::metadata(&path).map_err(JournalError::io("look at", &path))?.len();
                let mut current = Current::resume(number, path, bytes, texts)?;
                if !is_over && format < FORMAT {
                    // What is written in this format goes to a file of its own.
                    let (index, minutes) = write(&segments).current();
                    current.conclude(format, &index, &minutes)?;
                }
                (current, is_over || format < FORMAT)
            }
            None => {
                let start = Start { watched: watched.clone(), before: None, state: State::default() };
                let current = Current::begin(&dir, 1, &start)?;
                current.enter(&dir, &mut write(&segments), &start);
                (current, false)
            }
        };
        let compressor = zstd::bulk::Compressor::new(LEVEL).map_err(JournalError::io("compress for", &dir))?;
        let tables = std::mem::take(&mut state.tables).into_iter().map(|table| (table.oid, table)).collect();
        let watched = watched.clone();
        let mut journal = Journal { dir, watched, options, state, tables, last, current, segments, compressor, _lock: lock };
        if is_over {
            journal.begin_segment()?;
        }
        Ok(journal)
    }
}

/// A file that others follow; nothing, if it cannot be read at all. Whatever is wrong with it, it is left as it is.
fn earlier(dir: &Path, number: u64) -> Result<Option<(Segment, Index)>, JournalError> {
    let path = segment::path(dir, number);
    let found = segment::glance(&path).and_then(|found| {
        if found.is_some() {
            return Ok(found);
        }
        let contents = segment::scan(&path, |_| Ok(()))?;
        if let Some((offset, reason, _)) = tail::fault(&path, &contents, false)? {
            let damaged = JournalError::Damaged { path: path.clone(), offset, reason };
            tracing::warn!("{damaged}. It is left as it is; pgvigil history verify looks at all of it");
        }
        Ok(contents.start.map(|start| (start, contents.index, contents.format, contents.length)))
    });
    let found = match found {
        // What comes before one of ours was one of ours.
        Err(error @ (JournalError::Foreign { .. } | JournalError::Newer { .. })) => {
            tracing::warn!("{error}. Nothing of it is read, and it is left as it is");
            None
        }
        found => found?,
    };
    Ok(found.map(|(start, index, format, bytes)| {
        let segment = Segment::new(dir, (number, format, bytes), &start, &index.blocks);
        (segment, index)
    }))
}

/// The texts of a file that is gone on with, which stand nowhere yet: its blocks are read.
fn gathered(path: &Path, index: &Index) -> Gathering {
    let mut texts = Gathering::default();
    for (place, length, _) in &index.blocks {
        // One that cannot be read says so to whoever needs it.
        texts.add(*length, segment::block(path, FORMAT, *place, *length).ok().as_ref());
    }
    texts
}
