//! `pgvigil history list`: what a journal is about, from when to when, and what is missing.

use std::io::{self, Write};
use std::path::Path;

use bytesize::ByteSize;
use serde::Serialize;

use super::{Database, Failure, line, named, plural, unreadable, written};
use crate::event::received::Event;
use crate::event::time::{rfc3339, rfc3339_unix};
use crate::event::{Block, Gap, Kind};
use crate::history::journal::{Fault, Found, FoundFile, Glimpse, JournalError, Passage};
use crate::lsn::EventId;
use crate::pgoutput::Timestamp;

/// Lists the journal in `dir`.
pub(super) fn run(dir: &Path, json: bool, out: &mut dyn Write) -> Result<(), Failure> {
    let found = Found::open(dir).map_err(unreadable)?;
    let overview = Overview::of(&found).map_err(unreadable)?;
    let outcome = if json { overview.json(out) } else { overview.table(&found, out) };
    written(outcome.and_then(|()| out.flush()), "standard output")
}

/// What is told of a journal.
#[derive(Serialize)]
struct Overview {
    database: Database,
    events: u64,
    bytes: u64,
    /// When the first and the last transactions were committed.
    from: Option<String>,
    to: Option<String>,
    first: Option<String>,
    last: Option<String>,
    /// The last event that is no longer kept, if any is not.
    cut: Option<String>,
    /// Everything that was committed before this is recorded, and when that was written.
    position: String,
    written_at: String,
    epochs: Vec<Stretch>,
    gaps: Vec<Missing>,
    files: Vec<File>,
    damage: Vec<String>,
}

/// An epoch.
#[derive(Serialize)]
struct Stretch {
    epoch: String,
    events: u64,
    from: Option<String>,
    to: Option<String>,
    first: String,
    last: String,
    #[serde(skip)]
    times: Option<(Timestamp, Timestamp)>,
}

/// A gap.
#[derive(Serialize)]
struct Missing {
    from: Option<String>,
    to: String,
    reason: String,
}

#[derive(Serialize)]
struct File {
    name: String,
    bytes: u64,
    events: u64,
    from: Option<String>,
    to: Option<String>,
    last: Option<String>,
    complete: bool,
}

impl Overview {
    fn of(found: &Found) -> Result<Self, JournalError> {
        let (mut epochs, mut gaps) = (Vec::new(), Vec::new());
        let look = |glimpse: &Glimpse<'_>| {
            Stretch::add(&mut epochs, glimpse);
            glimpse.holds(Kind::Gap)
        };
        let note = |passage| {
            match passage {
                Passage::Block(block) => gaps.extend(told(&block)),
                Passage::Lost(gap) => gaps.push(Missing::of(&gap)),
            }
            true
        };
        found.archive.read_through(look, note)?;
        epochs.iter_mut().for_each(|stretch| (stretch.from, stretch.to) = both(stretch.times));
        let times = epochs.iter().filter_map(|stretch| stretch.times);
        let times = times.reduce(|(from, to), (earliest, latest)| (from.min(earliest), to.max(latest)));
        let (bytes, events) = found.archive.size();
        let (from, to) = both(times);
        let text = |id: Option<EventId>| id.map(|id| id.to_string());
        Ok(Self {
            database: (&found.watched).into(),
            events,
            bytes,
            from,
            to,
            first: epochs.first().map(|stretch| stretch.first.clone()),
            last: epochs.last().map(|stretch| stretch.last.clone()),
            cut: text(found.archive.floor()),
            position: found.position.to_string(),
            written_at: rfc3339_unix(found.written_at),
            epochs,
            gaps,
            files: found.files.iter().map(File::of).collect(),
            damage: found.faults.iter().filter(|fault| !fault.is_tail).map(Fault::to_string).collect(),
        })
    }

    fn json(&self, out: &mut dyn Write) -> io::Result<()> {
        serde_json::to_writer(&mut *out, self)?;
        writeln!(out)
    }

    fn table(&self, found: &Found, out: &mut dyn Write) -> io::Result<()> {
        line(out, "database", named(&found.watched))?;
        let files = plural(self.files.len() as u64, "file");
        line(out, "events", format_args!("{} in {files}, {}", self.events, ByteSize::b(self.bytes)))?;
        let span = match (&self.from, &self.to) {
            (Some(from), Some(to)) => format!("from {} to {}", short(from), short(to)),
            _ => "nothing was committed yet".to_owned(),
        };
        line(out, "time", span)?;
        let recorded = short(&self.written_at);
        line(out, "position", format_args!("{}: all that was committed before is here (written {recorded})", self.position))?;
        match &self.cut {
            Some(cut) => line(out, "cut", format_args!("what happened up to {cut} is no longer kept"))?,
            None => line(out, "cut", "nothing: it is kept from the beginning")?,
        }
        for damage in &self.damage {
            line(out, "DAMAGED", format_args!("{damage}; see pgvigil history verify"))?;
        }
        writeln!(out, "\n{:16} {:>10}  {:20}  {:20}  last event", "epoch", "events", "from", "to")?;
        let mut gaps = self.gaps.iter().peekable();
        for stretch in &self.epochs {
            // What is missing before it, and then within it.
            let before = |gap: &&Missing| gap.ends_in(&stretch.epoch) && !gap.begins_in(&stretch.epoch);
            while let Some(gap) = gaps.next_if(before) {
                gap.print(out)?;
            }
            let Stretch { epoch, events, from, to, last, .. } = stretch;
            writeln!(out, "{epoch:16} {events:>10}  {:20}  {:20}  {last}", or_none(from.as_deref()), or_none(to.as_deref()))?;
            while let Some(gap) = gaps.next_if(|gap| gap.ends_in(epoch)) {
                gap.print(out)?;
            }
        }
        gaps.try_for_each(|gap| gap.print(out))?;
        writeln!(out, "\n{:28} {:>10} {:>10}  {:20}  to", "file", "size", "events", "from")?;
        for File { name, bytes, events, from, to, .. } in &self.files {
            let (size, from, to) = (ByteSize::b(*bytes).to_string(), or_none(from.as_deref()), or_none(to.as_deref()));
            writeln!(out, "{name:28} {size:>10} {events:>10}  {from:20}  {to}")?;
        }
        Ok(())
    }
}

impl Stretch {
    /// Notes a block, which is behind those that were noted before.
    fn add(epochs: &mut Vec<Self>, glimpse: &Glimpse<'_>) {
        let (epoch, last) = (glimpse.epoch().as_str(), glimpse.last().to_string());
        if epochs.last().is_none_or(|stretch| stretch.epoch != epoch) {
            let (epoch, first) = (epoch.to_owned(), glimpse.first().to_string());
            epochs.push(Self { epoch, events: 0, from: None, to: None, first, last: String::new(), times: None });
        }
        let Some(stretch) = epochs.last_mut() else { return };
        stretch.events += u64::from(glimpse.events());
        stretch.last = last;
        // A gap alone has no time of its own.
        if !(glimpse.holds(Kind::Gap) && glimpse.events() == 1) {
            let (from, to) = glimpse.times();
            let wider = |times: (Timestamp, Timestamp)| (times.0.min(from), times.1.max(to));
            stretch.times = Some(stretch.times.map_or((from, to), wider));
        }
    }
}

impl Missing {
    fn of(Gap { from, to, reason }: &Gap) -> Self {
        Self { from: from.as_ref().map(EventId::to_string), to: to.to_string(), reason: reason.to_string() }
    }

    fn ends_in(&self, epoch: &str) -> bool {
        self.to.split('.').next() == Some(epoch)
    }

    fn begins_in(&self, epoch: &str) -> bool {
        self.from.as_ref().is_some_and(|from| from.split('.').next() == Some(epoch))
    }

    fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        let why = match self.reason.as_str() {
            "restart" => "pgvigil did not run",
            "slot_lost" => "the replication slot was lost",
            "slot_invalidated" => "the server let go of the slot",
            "slot_moved" => "somebody else read from the slot",
            "server_rewound" => "the server has another past: restored from a backup, or a standby that had not everything",
            "wal_budget" => "the slot made the server keep too much",
            "skipped" => "something that could not be read was left out",
            "damaged" => "the journal is damaged",
            "evicted" => "no longer kept",
            other => other,
        };
        let from = self.from.as_deref().unwrap_or("the beginning");
        writeln!(out, "  gap ({why}): what came after {from}, up to {}, is not known", self.to)
    }
}

/// The gaps in a block.
fn told(block: &Block) -> Vec<Missing> {
    let gaps = block.heads().iter().filter(|head| head.kind == Kind::Gap);
    let read = |json| match Event::read(std::str::from_utf8(json).ok()?).ok()? {
        Event::Gap(gap) => {
            Some(Missing { from: gap.from.map(str::to_owned), to: gap.to.to_owned(), reason: gap.reason.to_owned() })
        }
        _ => None,
    };
    gaps.filter_map(|head| read(block.bytes(head))).collect()
}

impl File {
    fn of(file: &FoundFile) -> Self {
        let name = file.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let (from, to) = both(file.times);
        let FoundFile { bytes, events, complete, .. } = *file;
        Self { name, bytes, events, from, to, last: file.last.as_ref().map(EventId::to_string), complete }
    }
}

fn both(times: Option<(Timestamp, Timestamp)>) -> (Option<String>, Option<String>) {
    times.map(|(from, to)| (rfc3339(from), rfc3339(to))).unzip()
}

/// A time without its fraction.
fn short(time: &str) -> String {
    time.split_once('.').map_or_else(|| time.to_owned(), |(seconds, _)| format!("{seconds}Z"))
}

fn or_none(time: Option<&str>) -> String {
    time.map_or_else(|| "—".to_owned(), short)
}
