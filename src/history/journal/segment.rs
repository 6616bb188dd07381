//! The files: their names, their beginning and their end, and what is found in one.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustc_hash::FxHashMap;

use super::error::JournalError;
use super::frame::{self, Front, Kind};
use super::minutes::Minutes;
use super::record::{Commit, FORMAT, Index, Record, Start, State, Summary, TableState};
use super::texts;
use crate::event::{Block, Gram};
use crate::lsn::{EventId, Oid};

/// How a file begins; its format follows, u32.
pub(super) const MAGIC: &[u8; 8] = b"PGVIGIL\n";
/// How a file ends that is complete; before it stand the places of the frames at its end, u64 each.
pub(super) const END: &[u8; 8] = b"COMPLETE";
pub(super) const HEADER: usize = MAGIC.len() + 4;
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

/// The frames at its end, in order.
pub(super) fn ending(format: u32) -> &'static [Kind] {
    match format {
        1 => &[Kind::Index],
        2 => &[Kind::Counts, Kind::Index],
        _ => &[Kind::Texts, Kind::Counts, Kind::Index],
    }
}

/// How it ends, behind those frames.
pub(super) fn trailer(places: &[u64]) -> Vec<u8> {
    places.iter().flat_map(|place| place.to_le_bytes()).chain(*END).collect()
}

/// All that is found in a file.
#[derive(Debug)]
pub(super) struct Contents {
    /// Its format.
    pub(super) format: u32,
    /// Nothing if not even that is whole.
    pub(super) start: Option<Start>,
    /// Of what is committed.
    pub(super) index: Index,
    /// Of what is committed.
    pub(super) minutes: Minutes,
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

/// What is shown of a file on the way through it.
pub(super) enum Part<'a> {
    /// A block, compressed, and how many bytes it has in the file.
    Block(&'a Summary, &'a [u8], u32),
    /// The texts of all blocks before.
    Texts(&'a [u8]),
}

/// Reads a file from its beginning to its end, or to where it makes no sense any more. Parts are shown to `inspect`, which may object.
pub(super) fn scan(path: &Path, inspect: impl FnMut(Part<'_>) -> Result<(), &'static str>) -> Result<Contents, JournalError> {
    let file = File::open(path).map_err(JournalError::io("open", path))?;
    let length = file.metadata().map_err(JournalError::io("look at", path))?.len();
    let mut reader = BufReader::with_capacity(1 << 20, file);
    let mut scanner = Scanner::new(length, inspect);
    if let Some(header) = scanner.header(&mut reader).map_err(JournalError::io("read", path))? {
        scanner.found.format = format(path, header)?;
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
    /// Where the frames at its end stand, as far as they were found.
    places: Vec<u64>,
    inspect: I,
}

impl<I: FnMut(Part<'_>) -> Result<(), &'static str>> Scanner<I> {
    fn new(length: u64, inspect: I) -> Self {
        let found = Contents {
            format: FORMAT,
            start: None,
            index: Index::default(),
            minutes: Minutes::default(),
            state: State::default(),
            last: None,
            committed: 0,
            length,
            complete: false,
            fault: None,
        };
        let at = HEADER as u64;
        Self { found, at, tables: FxHashMap::default(), blocks: Vec::new(), last: None, places: Vec::new(), inspect }
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
                if rest != trailer(&self.places) {
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
        let format = found.format;
        if !self.places.is_empty() || matches!(kind, Kind::Texts | Kind::Counts | Kind::Index) {
            if ending(format).get(self.places.len()) != Some(&kind) || !self.blocks.is_empty() {
                return Err("it does not end as a complete file ends");
            }
            self.places.push(self.at);
        }
        match kind {
            Kind::Start => {
                let start = Start::read(format, payload)?;
                found.minutes = Minutes::from(&start.state.tables);
                self.tables = start.state.tables.iter().map(|table| (table.oid, table.clone())).collect();
                found.state = State { tables: Vec::new(), ..start.state.clone() };
                self.last.clone_from(&start.before);
                found.start = Some(start);
            }
            Kind::Block => {
                let (summary, block) = Summary::take(format, payload)?;
                (self.inspect)(Part::Block(&summary, block, length_of(payload)))?;
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
                let Commit { state, gone } = Commit::read(format, payload)?;
                let blocks = self.blocks.iter().map(|(_, _, summary)| summary);
                found.minutes.committed(&found.state, blocks, &state, &gone);
                self.tables.extend(state.tables.iter().map(|table| (table.oid, table.clone())));
                gone.iter().for_each(|oid| drop(self.tables.remove(oid)));
                found.index.blocks.append(&mut self.blocks);
                found.index.commits.push((place, state.position, state.time));
                found.state = State { tables: Vec::new(), ..state };
            }
            Kind::Texts => return (self.inspect)(Part::Texts(payload)),
            Kind::Counts => {
                let is_that = Minutes::read(format, payload)? == found.minutes;
                return if is_that { Ok(()) } else { Err("its counts are not those that were told") };
            }
            Kind::Index => {
                let index = Index::read(format, payload)?;
                if index != found.index {
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

/// Of the file that begins like this.
fn format(path: &Path, header: [u8; HEADER]) -> Result<u32, JournalError> {
    let (magic, format) = header.split_at(MAGIC.len());
    if magic != MAGIC {
        return Err(JournalError::Foreign { path: path.to_owned() });
    }
    let version = format.try_into().map_or(0, u32::from_le_bytes);
    if version > FORMAT {
        return Err(JournalError::Newer { path: path.to_owned(), version, known: FORMAT });
    }
    Ok(version)
}

/// A file that is open to be looked at here and there.
pub(super) struct Pages {
    path: PathBuf,
    file: File,
    pub(super) length: u64,
    pub(super) format: u32,
}

impl Pages {
    pub(super) fn open(path: &Path) -> Result<Option<Self>, JournalError> {
        let file = File::open(path).map_err(JournalError::io("open", path))?;
        let length = file.metadata().map_err(JournalError::io("look at", path))?.len();
        if length < HEADER as u64 {
            return Ok(None);
        }
        let mut header = [0; HEADER];
        file.read_exact_at(&mut header, 0).map_err(JournalError::io("read", path))?;
        Ok(Some(Self { path: path.to_owned(), file, length, format: format(path, header)? }))
    }

    /// The start of the file.
    pub(super) fn start(&self) -> Result<Option<Start>, JournalError> {
        self.record(HEADER as u64, Kind::Start)
    }

    /// The commit whose frame's payload stands at `place`.
    pub(super) fn commit(&self, place: u64) -> Result<Option<Commit>, JournalError> {
        self.record(place.saturating_sub(frame::FRONT as u64), Kind::Commit)
    }

    /// The index, if the file is complete.
    pub(super) fn index(&self) -> Result<Option<Index>, JournalError> {
        self.at_end(Kind::Index)
    }

    /// The counts, if the file is complete and has them.
    pub(super) fn minutes(&self) -> Result<Option<Minutes>, JournalError> {
        self.at_end(Kind::Counts)
    }

    /// The groups of blocks that may hold all of these, if the file is complete and has texts.
    pub(super) fn texts(&self, grams: &BTreeSet<Gram>) -> Result<Option<Vec<u8>>, JournalError> {
        let Some(at) = self.place(Kind::Texts)? else { return Ok(None) };
        let read = |into: &mut [u8], place: u64| self.file.read_exact_at(into, place);
        let damaged = |reason| JournalError::Damaged { path: self.path.clone(), offset: at, reason };
        let mut front = [0; frame::FRONT];
        read(&mut front, at).map_err(JournalError::io("read", &self.path))?;
        let front = Front::read(front).ok().filter(|front| front.kind == Kind::Texts);
        let bytes = front.ok_or_else(|| damaged("its texts cannot be found"))?.length;
        let first = at + frame::FRONT as u64;
        let groups = texts::groups_with(grams, bytes, |page, place| read(page, first + place as u64));
        groups.map_err(JournalError::io("read", &self.path))?.map(Some).map_err(damaged)
    }

    /// What the frame of this kind holds at the end of a complete file.
    fn at_end<T: Record>(&self, kind: Kind) -> Result<Option<T>, JournalError> {
        self.place(kind)?.map_or(Ok(None), |at| self.record(at, kind))
    }

    /// Where the frame of this kind stands at the end of a complete file.
    fn place(&self, kind: Kind) -> Result<Option<u64>, JournalError> {
        let ending = ending(self.format);
        let mut trailer = trailer(&vec![0; ending.len()]);
        if self.length < (HEADER + trailer.len()) as u64 {
            return Ok(None);
        }
        let at = self.length - trailer.len() as u64;
        self.file.read_exact_at(&mut trailer, at).map_err(JournalError::io("read", &self.path))?;
        let Some(places) = trailer.strip_suffix(END) else { return Ok(None) };
        let (places, _) = places.as_chunks::<8>();
        let nth = ending.iter().position(|of| *of == kind);
        Ok(nth.and_then(|nth| places.get(nth)).map(|place| u64::from_le_bytes(*place)))
    }

    /// What the frame at `at` holds, if one of this kind stands there, and is sound.
    fn record<T: Record>(&self, at: u64, kind: Kind) -> Result<Option<T>, JournalError> {
        if at >= self.length {
            return Ok(None);
        }
        let read = || -> io::Result<_> {
            let mut from = &self.file;
            from.seek(SeekFrom::Start(at))?;
            let mut payload = Vec::new();
            let front = next(&mut from, self.length - at, &mut payload)?;
            Ok(front.is_ok_and(|front| front.kind == kind && front.check(&payload).is_ok()).then_some(payload))
        };
        let payload = read().map_err(JournalError::io("read", &self.path))?;
        Ok(payload.and_then(|payload| T::read(self.format, &payload).ok()))
    }
}

/// The start and the index of a complete file, its format and length, without reading what is between; `None` if it is not complete, or not
/// sound: then it is to be scanned.
pub(super) fn glance(path: &Path) -> Result<Option<(Start, Index, u32, u64)>, JournalError> {
    let Some(pages) = Pages::open(path)? else { return Ok(None) };
    let both = pages.start()?.zip(pages.index()?);
    Ok(both.map(|(start, index)| (start, index, pages.format, pages.length)))
}

/// Reads the block whose frame's payload stands at `place`.
pub(super) fn block(path: &Path, format: u32, place: u64, length: u32) -> Result<Block, JournalError> {
    let file = File::open(path).map_err(JournalError::io("open", path))?;
    let mut bytes = vec![0; frame::FRONT + length as usize];
    let at = place.saturating_sub(frame::FRONT as u64);
    let damaged = |reason| JournalError::Damaged { path: path.to_owned(), offset: at, reason };
    match file.read_exact_at(&mut bytes, at) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Err(damaged("it ends within a frame")),
        read => read.map_err(JournalError::io("read", path))?,
    }
    let decoded = || {
        let (front, payload) = bytes.split_first_chunk().ok_or("it ends within a frame")?;
        let front = Front::read(*front)?;
        front.check(payload)?;
        let (summary, block) = Summary::take(format, payload)?;
        unpack(&summary, block)
    };
    decoded().map_err(damaged)
}

/// The events of a block, from what was compressed.
pub(super) fn unpack(summary: &Summary, compressed: &[u8]) -> Result<Block, &'static str> {
    let size = usize::try_from(summary.size).unwrap_or(usize::MAX).min(frame::LONGEST);
    let bytes = zstd::bulk::decompress(compressed, size).map_err(|_| "a block cannot be decompressed")?;
    let Ok((block, [])) = postcard::take_from_bytes::<Block>(&bytes) else { return Err("a block does not hold what it says") };
    let first = block.heads().first().map(|head| block.id(head));
    let last = block.heads().last().map(|head| block.id(head));
    let is_it = first == Some(summary.id(summary.first)) && last == Some(summary.id(summary.last));
    if block.is_sound() && is_it { Ok(block) } else { Err("a block does not hold what is said of it") }
}

fn length_of(payload: &[u8]) -> u32 {
    u32::try_from(payload.len()).unwrap_or(u32::MAX)
}
