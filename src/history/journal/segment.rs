//! The files: their names, their beginning and their end, and what is found in one.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustc_hash::FxHashMap;
use serde::de::DeserializeOwned;

use super::error::JournalError;
use super::frame::{self, Front, Kind};
use super::record::{Commit, FORMAT, Index, Start, State, Summary, TableState};
use crate::event::Block;
use crate::lsn::{EventId, Oid};

/// How a file begins; its format follows, u32.
pub(super) const MAGIC: &[u8; 8] = b"PGVIGIL\n";
/// How a file ends that is complete; before it stands the place of its index, u64.
pub(super) const END: &[u8; 8] = b"COMPLETE";
pub(super) const HEADER: usize = MAGIC.len() + 4;
const TRAILER: usize = 8 + END.len();
const SUFFIX: &str = "journal";

/// The file of this number.
pub(super) fn path(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number:020}.{SUFFIX}"))
}

/// The numbers of the files that are there, in order.
pub(super) fn numbers(dir: &Path) -> Result<Vec<u64>, JournalError> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir(dir).map_err(JournalError::io("list", dir))? {
        let path = entry.map_err(JournalError::io("list", dir))?.path();
        if path.extension().is_some_and(|extension| extension == SUFFIX) {
            numbers.extend(path.file_stem().and_then(|stem| stem.to_str()?.parse::<u64>().ok()));
        }
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// A new file, to be appended to.
pub(super) fn create(path: &Path) -> Result<File, JournalError> {
    OpenOptions::new().create_new(true).append(true).mode(0o600).open(path).map_err(JournalError::io("make", path))
}

/// How it begins.
pub(super) fn header() -> Vec<u8> {
    [&MAGIC[..], &FORMAT.to_le_bytes()].concat()
}

/// How it ends, with its index at `at`.
pub(super) fn trailer(at: u64) -> Vec<u8> {
    [&at.to_le_bytes()[..], END].concat()
}

/// All that is found in a file.
#[derive(Debug)]
pub(super) struct Contents {
    /// Nothing if not even that is whole.
    pub(super) start: Option<Start>,
    /// Of what is committed.
    pub(super) index: Index,
    /// Where the stream stands at the last commit.
    pub(super) state: State,
    /// The last event that is committed.
    pub(super) last: Option<EventId>,
    /// Bytes up to the last commit.
    pub(super) committed: u64,
    /// Bytes in all.
    pub(super) length: u64,
    /// It ends as a complete file ends.
    pub(super) complete: bool,
    /// What is wrong first, and where.
    pub(super) fault: Option<(u64, &'static str)>,
}

/// Reads a file from its beginning to its end, or to where it makes no sense any more. Blocks are shown to `inspect`, which may object.
pub(super) fn scan(
    path: &Path,
    inspect: impl FnMut(&Summary, &[u8]) -> Result<(), &'static str>,
) -> Result<Contents, JournalError> {
    let file = File::open(path).map_err(JournalError::io("open", path))?;
    let length = file.metadata().map_err(JournalError::io("look at", path))?.len();
    let mut reader = BufReader::with_capacity(1 << 20, file);
    let mut scanner = Scanner::new(length, inspect);
    if let Some(header) = scanner.header(&mut reader).map_err(JournalError::io("read", path))? {
        check_header(path, header)?;
        let mut payload = Vec::new();
        while scanner.goes_on() {
            scanner.frame(&mut reader, &mut payload).map_err(JournalError::io("read", path))?;
        }
    }
    Ok(scanner.end())
}

/// On its way through a file.
struct Scanner<I> {
    found: Contents,
    at: u64,
    tables: FxHashMap<Oid, TableState>,
    /// Blocks behind the last commit.
    blocks: Vec<(u64, u32, Summary)>,
    last: Option<EventId>,
    inspect: I,
}

impl<I: FnMut(&Summary, &[u8]) -> Result<(), &'static str>> Scanner<I> {
    fn new(length: u64, inspect: I) -> Self {
        let (index, state) = (Index::default(), State::default());
        let found = Contents { start: None, index, state, last: None, committed: 0, length, complete: false, fault: None };
        Self { found, at: HEADER as u64, tables: FxHashMap::default(), blocks: Vec::new(), last: None, inspect }
    }

    fn header(&mut self, reader: &mut impl Read) -> io::Result<Option<[u8; HEADER]>> {
        let mut header = [0; HEADER];
        if self.found.length < HEADER as u64 {
            self.found.fault = Some((0, "it ends within its first bytes"));
            return Ok(None);
        }
        reader.read_exact(&mut header)?;
        Ok(Some(header))
    }

    fn goes_on(&self) -> bool {
        self.at < self.found.length && self.found.fault.is_none() && !self.found.complete
    }

    /// Reads one frame, and behind the index the end of the file.
    fn frame(&mut self, reader: &mut impl Read, payload: &mut Vec<u8>) -> io::Result<()> {
        let taken = match next(reader, self.found.length - self.at, payload)? {
            Ok(front) => front.check(payload).and_then(|()| self.take(front.kind, payload)),
            Err(reason) => Err(reason),
        };
        let end = self.at + (frame::FRONT + payload.len()) as u64;
        match taken {
            Ok(()) if self.found.complete => {
                let mut rest = Vec::new();
                reader.read_to_end(&mut rest)?;
                if rest != trailer(self.at) {
                    self.found.complete = false;
                    self.found.fault = Some((end, "it does not end as a complete file ends"));
                }
            }
            Ok(()) => self.at = end,
            Err(reason) => self.found.fault = Some((self.at, reason)),
        }
        Ok(())
    }

    fn take(&mut self, kind: Kind, payload: &[u8]) -> Result<(), &'static str> {
        let place = self.at + frame::FRONT as u64;
        if (kind == Kind::Start) != self.found.start.is_none() {
            return Err("a file has one start, at its beginning");
        }
        let found = &mut self.found;
        match kind {
            Kind::Start => {
                let start: Start = decode(payload)?;
                self.tables = start.state.tables.iter().map(|table| (table.oid, table.clone())).collect();
                found.state = State { tables: Vec::new(), ..start.state.clone() };
                self.last.clone_from(&start.before);
                found.start = Some(start);
            }
            Kind::Block => {
                let (summary, block) = split(payload)?;
                (self.inspect)(&summary, block)?;
                let (first, last) = (summary.id(summary.first), summary.id(summary.last));
                if self.last.as_ref().is_some_and(|last| *last >= first) || first > last {
                    return Err("events are out of order");
                }
                self.last = Some(last);
                self.blocks.push((place, length_of(payload), summary));
                return Ok(());
            }
            Kind::Commit => {
                if self.blocks.last().is_some_and(|(_, _, summary)| summary.open) {
                    return Err("it is committed within a transaction");
                }
                let Commit { state, gone } = decode(payload)?;
                self.tables.extend(state.tables.iter().map(|table| (table.oid, table.clone())));
                gone.iter().for_each(|oid| drop(self.tables.remove(oid)));
                found.index.blocks.append(&mut self.blocks);
                found.index.commits.push((place, state.position, state.time));
                found.state = State { tables: Vec::new(), ..state };
            }
            Kind::Index => {
                let index: Index = decode(payload)?;
                if index != found.index || !self.blocks.is_empty() {
                    return Err("its index is not that of its blocks");
                }
                found.complete = true;
                return Ok(());
            }
        }
        found.last.clone_from(&self.last);
        found.committed = place + payload.len() as u64;
        Ok(())
    }

    fn end(mut self) -> Contents {
        self.found.state.tables = self.tables.into_values().collect();
        self.found.state.tables.sort_unstable_by_key(|table| table.oid);
        self.found
    }
}

/// The next frame, its payload not checked; an error within says why there is none. `left` bytes of the file are left.
fn next(reader: &mut impl Read, left: u64, payload: &mut Vec<u8>) -> io::Result<Result<Front, &'static str>> {
    payload.clear();
    let mut front = [0; frame::FRONT];
    if left < frame::FRONT as u64 {
        return Ok(Err("it ends within a frame"));
    }
    reader.read_exact(&mut front)?;
    let front = match Front::read(front) {
        Ok(front) if front.length as u64 > left - frame::FRONT as u64 => return Ok(Err("it ends within a frame")),
        Ok(front) => front,
        Err(reason) => return Ok(Err(reason)),
    };
    payload.resize(front.length, 0);
    reader.read_exact(payload)?;
    Ok(Ok(front))
}

fn check_header(path: &Path, header: [u8; HEADER]) -> Result<(), JournalError> {
    let (magic, format) = header.split_at(MAGIC.len());
    if magic != MAGIC {
        return Err(JournalError::Foreign { path: path.to_owned() });
    }
    let version = format.try_into().map_or(0, u32::from_le_bytes);
    if version > FORMAT {
        return Err(JournalError::Newer { path: path.to_owned(), version, known: FORMAT });
    }
    Ok(())
}

/// The start and the index of a complete file, without reading what is between; `None` if it is not complete, or not sound: then it is to
/// be scanned.
pub(super) fn glance(path: &Path) -> Result<Option<(Start, Index, u64)>, JournalError> {
    let file = File::open(path).map_err(JournalError::io("open", path))?;
    let length = file.metadata().map_err(JournalError::io("look at", path))?.len();
    let least = (HEADER + TRAILER) as u64;
    if length < least {
        return Ok(None);
    }
    let read = || -> io::Result<_> {
        let (mut header, mut trailer) = ([0; HEADER], [0; TRAILER]);
        file.read_exact_at(&mut header, 0)?;
        file.read_exact_at(&mut trailer, length - TRAILER as u64)?;
        Ok((header, trailer))
    };
    let (header, trailer) = read().map_err(JournalError::io("read", path))?;
    check_header(path, header)?;
    let Some((place, end)) = trailer.split_first_chunk::<8>() else { return Ok(None) };
    if end != END {
        return Ok(None);
    }
    let at = u64::from_le_bytes(*place);
    if at > length {
        return Ok(None);
    }
    let frame = |at: u64, kind: Kind| -> io::Result<Option<Vec<u8>>> {
        let mut from = &file;
        from.seek(SeekFrom::Start(at))?;
        let mut payload = Vec::new();
        let front = next(&mut from, length.saturating_sub(at), &mut payload)?;
        Ok(front.is_ok_and(|front| front.kind == kind && front.check(&payload).is_ok()).then_some(payload))
    };
    let both = || Ok(frame(HEADER as u64, Kind::Start)?.zip(frame(at, Kind::Index)?));
    let Some((start, index)) = both().map_err(JournalError::io("read", path))? else { return Ok(None) };
    Ok(decode(&start).ok().zip(decode(&index).ok()).map(|(start, index)| (start, index, length)))
}

/// Reads the block whose frame's payload stands at `place`.
pub(super) fn block(path: &Path, place: u64, length: u32) -> Result<Block, JournalError> {
    let file = File::open(path).map_err(JournalError::io("open", path))?;
    let mut bytes = vec![0; frame::FRONT + length as usize];
    let at = place.saturating_sub(frame::FRONT as u64);
    file.read_exact_at(&mut bytes, at).map_err(JournalError::io("read", path))?;
    let decoded = || {
        let (front, payload) = bytes.split_first_chunk().ok_or("it ends within a frame")?;
        let front = Front::read(*front)?;
        front.check(payload)?;
        let (summary, block) = split(payload)?;
        unpack(&summary, block)
    };
    decoded().map_err(|reason| JournalError::Damaged { path: path.to_owned(), offset: at, reason })
}

/// What a frame of a block holds.
fn split(payload: &[u8]) -> Result<(Summary, &[u8]), &'static str> {
    postcard::take_from_bytes(payload).map_err(|_| "what is said of a block cannot be read")
}

/// The events of a block, from what was compressed.
pub(super) fn unpack(summary: &Summary, compressed: &[u8]) -> Result<Block, &'static str> {
    let size = usize::try_from(summary.size).unwrap_or(usize::MAX).min(frame::LONGEST);
    let bytes = zstd::bulk::decompress(compressed, size).map_err(|_| "a block cannot be decompressed")?;
    let block: Block = decode(&bytes)?;
    let first = block.heads().first().map(|head| block.id(head));
    let last = block.heads().last().map(|head| block.id(head));
    let is_it = first == Some(summary.id(summary.first)) && last == Some(summary.id(summary.last));
    if block.is_sound() && is_it { Ok(block) } else { Err("a block does not hold what is said of it") }
}

fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, &'static str> {
    match postcard::take_from_bytes(bytes) {
        Ok((value, [])) => Ok(value),
        Ok(_) => Err("there is more in a frame than belongs there"),
        Err(_) => Err("a frame does not hold what it says"),
    }
}

fn length_of(payload: &[u8]) -> u32 {
    u32::try_from(payload.len()).unwrap_or(u32::MAX)
}
