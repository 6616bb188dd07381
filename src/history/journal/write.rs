//! The end that writes.
//!
//! Blocks go to the file as they come, so that a transaction of any size needs no memory here. They count only once a commit stands behind
//! them and the disk has taken both. What could not be written (no room) is kept and written the next time.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock, RwLockWriteGuard};
use std::time::Duration;

use rustc_hash::{FxHashMap, FxHashSet};
use serde::Serialize;

use super::error::JournalError;
use super::frame::{self, Kind};
use super::index::{Segment, Segments};
use super::minutes::Minutes;
use super::read::Archive;
use super::record::{Commit, FORMAT, Index, Start, State, Summary, TableState, Watched};
use super::segment;
use super::texts::Gathering;
use crate::event::Block;
use crate::event::time::from_unix_micros;
use crate::lsn::{Epoch, EventId, Lsn, Oid};
use crate::pgoutput::Timestamp;

/// Blocks wait for each other up to so many bytes before they go to the file.
const GATHERED: usize = 1 << 20;
/// Of zstd. Higher ones cost more than the disk space that they gain is worth.
pub(super) const LEVEL: i32 = 1;
/// What is to go after some time is in files of about this part of it.
const PART_OF_TIME: u32 = 16;
/// A journal is tended no more often than this, and no less.
const TENDED: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// Where the stream stands behind whole transactions, and what is known of the tables there.
#[derive(Clone, Debug)]
pub struct Mark {
    /// Everything committed before this was appended.
    pub position: Lsn,
    /// In which epoch.
    pub epoch: Epoch,
    /// Of the server's log.
    pub timeline: u32,
    /// By our clock, microseconds since 1970.
    pub time: i64,
    /// What tells of DDL in the stream; where nothing does, counts wait for a look at the catalog, and commits tell none.
    pub told_by: Option<i64>,
    /// Tables of which something is new since the commit before.
    pub tables: Vec<TableState>,
    /// Tables that are gone.
    pub gone: Vec<Oid>,
    /// There are no other tables than these.
    pub whole: bool,
}

/// How much is kept.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Bytes on disk, about: oldest files go first, the one that is written always stays.
    pub keep: u64,
    /// What was committed longer ago goes, about: a file goes when all that is in it does.
    pub keep_for: Option<Duration>,
    /// A file is complete when it has so many bytes.
    pub segment: u64,
    /// Or so many commits: who asks for counts of the past reads all that came before in the file.
    pub commits: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { keep: 10 << 30, keep_for: None, segment: 64 << 20, commits: 1 << 16 }
    }
}

/// A journal that is written. One process has it.
pub struct Journal {
    pub(super) dir: PathBuf,
    pub(super) watched: Watched,
    pub(super) options: Options,
    /// Where the stream stands, and the tables there, by oid: at the last commit.
    pub(super) state: State,
    pub(super) tables: FxHashMap<Oid, TableState>,
    pub(super) last: Option<EventId>,
    pub(super) current: Current,
    pub(super) segments: Arc<RwLock<Segments>>,
    pub(super) compressor: zstd::bulk::Compressor<'static>,
    pub(super) _lock: File,
}

/// The file that is written.
pub(super) struct Current {
    number: u64,
    path: PathBuf,
    file: File,
    /// Bytes that count.
    committed: u64,
    /// Bytes in the file.
    written: u64,
    /// What is not in the file yet.
    pending: Vec<u8>,
    /// It cannot be told any more what the file holds.
    broken: bool,
    /// Blocks that no commit stands behind.
    blocks: Vec<(u64, u32, Summary)>,
    /// Of all blocks.
    texts: Gathering,
}

impl Journal {
    /// For those who read.
    pub fn archive(&self) -> Archive {
        Archive::new(Arc::clone(&self.segments))
    }

    /// How often to [tend](Journal::tend) it where no commit comes; never, if nothing goes but for want of room.
    pub fn tended_every(&self) -> Option<Duration> {
        self.options.keep_for.map(|keep_for| (keep_for / PART_OF_TIME).clamp(TENDED.0, TENDED.1))
    }

    /// The epoch that was written last, if any was.
    pub fn epoch(&self) -> Option<&Epoch> {
        self.state.epoch.as_ref()
    }

    /// Everything that was committed before this is on disk.
    pub fn position(&self) -> Lsn {
        self.state.position
    }

    /// The last event on disk.
    pub fn last(&self) -> Option<&EventId> {
        self.last.as_ref()
    }

    /// What has not gone to the file yet.
    #[cfg(test)]
    pub(super) fn pending(&self) -> Vec<u8> {
        self.current.pending.clone()
    }

    /// What was last known of each table, at [`Journal::position`].
    pub fn tables(&self) -> impl Iterator<Item = &TableState> {
        self.tables.values()
    }

    /// Takes a block. It is on disk only after the next [`Journal::commit`].
    ///
    /// # Errors
    /// It could not be written. It is kept, and written with what comes next: it is not to be appended again.
    pub fn append(&mut self, block: &Block) -> Result<(), JournalError> {
        let current = &mut self.current;
        let bytes = encoded_into(Vec::with_capacity(block.size()), block, &current.path)?;
        let Some(summary) = Summary::of(block, bytes.len()) else { return Ok(()) };
        let packed = self.compressor.compress(&bytes).map_err(JournalError::io("compress for", &current.path))?;
        let front = encoded(&summary, &current.path)?;
        let place = frame::append(&mut current.pending, Kind::Block, &[&front, &packed]);
        let length = u32::try_from(front.len() + packed.len()).unwrap_or(u32::MAX);
        current.blocks.push((current.written + place as u64, length, summary));
        current.texts.add(length, Some(block));
        if current.pending.len() >= GATHERED { current.flush() } else { Ok(()) }
    }

    /// Writes what was taken before and could not be written. It is not durable by that.
    ///
    /// # Errors
    /// It still cannot be.
    pub fn flush(&mut self) -> Result<(), JournalError> {
        self.current.flush()
    }

    /// Makes everything that was appended durable: whole transactions, up to where the stream stands.
    ///
    /// # Errors
    /// It could not be written, and nothing was acknowledged. All of it is kept, for the next time.
    pub fn commit(&mut self, mark: Mark) -> Result<(), JournalError> {
        let Mark { position, epoch, timeline, time, told_by, tables, mut gone, whole } = mark;
        if whole {
            let these: FxHashSet<Oid> = tables.iter().map(|table| table.oid).collect();
            gone.extend(self.tables.keys().filter(|oid| !these.contains(oid)));
        }
        let commit = Commit { state: State { epoch: Some(epoch), position, timeline, time, told_by, tables }, gone };
        let Self { current, segments, .. } = self;
        let mut frame = Vec::new();
        let place = frame::append(&mut frame, Kind::Commit, &[&encoded(&commit, &current.path)?]);
        let place = current.seal(&frame)? + place as u64;
        let blocks = std::mem::take(&mut current.blocks);
        self.last = blocks.last().map(|(_, _, summary)| summary.id(summary.last)).or(self.last.take());
        {
            let mut segments = write(segments);
            segments.grow(blocks, (place, &self.state, &commit), current.committed);
            segments.gathered(current.texts.texts());
        }
        let Commit { state, gone } = commit;
        self.state = State { tables: Vec::new(), ..state };
        self.tables.extend(state.tables.into_iter().map(|table| (table.oid, table)));
        gone.iter().for_each(|oid| drop(self.tables.remove(oid)));
        self.tend(time)
    }

    /// Completes the file if it is to be, and removes those that are no longer kept: with each commit, and now and then where none comes, since
    /// what is kept for a time goes by itself. `now` in microseconds since 1970.
    ///
    /// # Errors
    /// The disk does not do what it should. For want of room nothing is completed, and that is no error.
    pub fn tend(&mut self, now: i64) -> Result<(), JournalError> {
        // What no commit stands behind yet belongs into the same file as that.
        if self.current.blocks.is_empty() && self.is_enough(now) {
            self.complete()?;
        }
        self.drop_old(now)
    }

    /// Whether the file is to be completed `now`, in microseconds since 1970. One that holds too much of what is to go at another time stays too long.
    fn is_enough(&self, now: i64) -> bool {
        let segments = self.segments.read().unwrap_or_else(PoisonError::into_inner);
        let began = segments.all.back().and_then(|last| last.first.as_ref()).map(|(_, time)| *time);
        let is_long = |keep_for: Duration| began.is_some_and(|began| began < before(now, keep_for / PART_OF_TIME));
        self.current.committed >= self.options.segment
            || segments.commits() >= self.options.commits
            || self.options.keep_for.is_some_and(is_long)
    }

    /// Goes on in the next file, and completes this one. Where there is no room for that, it is left for the next commit.
    fn complete(&mut self) -> Result<(), JournalError> {
        let next = match self.next() {
            Err(error) if error.is_full() => return Ok(()),
            next => next?,
        };
        let (index, minutes) = self.segments.read().unwrap_or_else(PoisonError::into_inner).current();
        if let Err(error) = self.current.conclude(FORMAT, &index, &minutes) {
            drop(fs::remove_file(&next.0.path));
            return if error.is_full() { Ok(()) } else { Err(error) };
        }
        self.go_on_in(next);
        Ok(())
    }

    /// Goes on in the next file.
    pub(super) fn begin_segment(&mut self) -> Result<(), JournalError> {
        let next = self.next()?;
        self.go_on_in(next);
        Ok(())
    }

    fn next(&self) -> Result<(Current, Start), JournalError> {
        let mut tables: Vec<_> = self.tables.values().cloned().collect();
        tables.sort_unstable_by_key(|table| table.oid);
        let state = State { tables, ..self.state.clone() };
        let start = Start { watched: self.watched.clone(), before: self.last.clone(), state };
        Ok((Current::begin(&self.dir, self.current.number + 1, &start)?, start))
    }

    fn go_on_in(&mut self, (next, start): (Current, Start)) {
        next.enter(&self.dir, &mut write(&self.segments), &start);
        self.current = next;
    }

    /// Removes the oldest files, as many as there are too many. `now` in microseconds since 1970.
    fn drop_old(&mut self, now: i64) -> Result<(), JournalError> {
        let keep_since = self.options.keep_for.map(|time| before(now, time));
        let is_old = |segment: &Segment| {
            // One without events holds nothing but where the stream stood.
            let ended = segment.times.map_or_else(|| from_unix_micros(segment.begins.1), |(_, last)| last);
            keep_since.is_some_and(|since| ended < since)
        };
        loop {
            let oldest = {
                let mut segments = write(&self.segments);
                let bytes: u64 = segments.all.iter().map(|segment| segment.bytes).sum();
                let goes = |segment: &&Arc<Segment>| bytes > self.options.keep || is_old(segment);
                if segments.all.len() < 2 || segments.all.front().filter(goes).is_none() {
                    return Ok(());
                }
                segments.all.pop_front()
            };
            if let Some(oldest) = oldest {
                match fs::remove_file(&oldest.path) {
                    // Somebody was quicker.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    removed => removed.map_err(JournalError::io("remove", &oldest.path))?,
                }
            }
        }
    }
}

impl Current {
    /// Goes on with a file that has these bytes and texts.
    pub(super) fn resume(number: u64, path: PathBuf, bytes: u64, texts: Gathering) -> Result<Self, JournalError> {
        let file = fs::OpenOptions::new().append(true).open(&path).map_err(JournalError::io("open", &path))?;
        let (pending, blocks, broken) = (Vec::new(), Vec::new(), false);
        Ok(Self { number, path, file, committed: bytes, written: bytes, pending, broken, blocks, texts })
    }

    /// Tells those who read of it: a file that has nothing but its start.
    pub(super) fn enter(&self, dir: &Path, segments: &mut Segments, start: &Start) {
        let segment = Segment::new(dir, (self.number, FORMAT, self.committed), start, &[]);
        segments.push(segment, Index::default(), Minutes::from(&start.state.tables));
    }

    /// Completes the file, as files of its format are.
    pub(super) fn conclude(&mut self, format: u32, index: &Index, counts: &Minutes) -> Result<(), JournalError> {
        let (mut end, mut places) = (Vec::new(), Vec::new());
        for kind in segment::ending(format) {
            let payload = match kind {
                Kind::Texts => self.texts.texts().payload(),
                Kind::Counts => encoded(counts, &self.path)?,
                _ if format == 1 => encoded(&index.in_first_format(), &self.path)?,
                _ => encoded(index, &self.path)?,
            };
            places.push(self.written + end.len() as u64);
            frame::append(&mut end, *kind, &[&payload]);
        }
        end.extend_from_slice(&segment::trailer(&places));
        self.seal(&end).map(drop)
    }

    /// Makes a file and its beginning durable.
    pub(super) fn begin(dir: &Path, number: u64, start: &Start) -> Result<Self, JournalError> {
        let path = segment::path(dir, number);
        let mut bytes = segment::header();
        frame::append(&mut bytes, Kind::Start, &[&encoded(start, &path)?]);
        let mut file = segment::create(&path)?;
        // Its name has to be on disk as well.
        let made = file.write_all(&bytes).and_then(|()| file.sync_all()).and_then(|()| File::open(dir)?.sync_all());
        if let Err(source) = made {
            // The next attempt makes it anew.
            drop(fs::remove_file(&path));
            return Err(JournalError::Io { action: "write to", path, source });
        }
        let committed = bytes.len() as u64;
        let (pending, blocks, texts, broken) = (Vec::new(), Vec::new(), Gathering::default(), false);
        Ok(Self { number, path, file, committed, written: committed, pending, broken, blocks, texts })
    }

    /// Writes what is pending, or leaves the file as it was.
    fn flush(&mut self) -> Result<(), JournalError> {
        let pending = std::mem::take(&mut self.pending);
        let written = self.write(&pending);
        // Kept for the next time, or for its memory.
        self.pending = pending;
        written?;
        self.pending.clear();
        Ok(())
    }

    /// Writes what is pending, and behind it `frame`, to the disk; gives the place of the frame.
    fn seal(&mut self, frame: &[u8]) -> Result<u64, JournalError> {
        self.flush()?;
        let place = self.written;
        self.write(frame)?;
        if let Err(source) = self.file.sync_data() {
            // What the system could not bring to the disk it may have dropped: only what is there already can be relied on.
            self.broken = true;
            drop(self.file.set_len(self.committed));
            return Err(JournalError::Io { action: "write to", path: self.path.clone(), source });
        }
        let is_there = |there: fs::Metadata| Ok(there.ino() == self.file.metadata()?.ino());
        if !fs::metadata(&self.path).and_then(is_there).unwrap_or(false) {
            self.broken = true;
            let source =
                io::Error::new(io::ErrorKind::NotFound, "the file was removed, or replaced by another, while it was written");
            return Err(JournalError::Io { action: "write to", path: self.path.clone(), source });
        }
        self.committed = self.written;
        Ok(place)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), JournalError> {
        let failed = |source| JournalError::Io { action: "write to", path: self.path.clone(), source };
        if self.broken {
            return Err(failed(io::Error::other("an earlier write was lost; the journal has to be opened anew")));
        }
        if let Err(source) = self.file.write_all(bytes) {
            // Some of it may be there. If that cannot be taken back, it is cut off when the journal is opened.
            self.broken = self.file.set_len(self.written).is_err();
            return Err(failed(source));
        }
        self.written += bytes.len() as u64;
        Ok(())
    }
}

/// So long before `now`, in microseconds since 1970.
fn before(now: i64, time: Duration) -> Timestamp {
    from_unix_micros(now.saturating_sub(i64::try_from(time.as_micros()).unwrap_or(i64::MAX)))
}

fn encoded(value: &impl Serialize, path: &Path) -> Result<Vec<u8>, JournalError> {
    encoded_into(Vec::new(), value, path)
}

fn encoded_into(bytes: Vec<u8>, value: &impl Serialize, path: &Path) -> Result<Vec<u8>, JournalError> {
    postcard::to_extend(value, bytes).map_err(|error| JournalError::io("encode for", path)(io::Error::other(error)))
}

/// What those who read look at.
pub(super) fn write(segments: &RwLock<Segments>) -> RwLockWriteGuard<'_, Segments> {
    segments.write().unwrap_or_else(PoisonError::into_inner)
}
