//! `pgvigil history verify`: whether a journal is what was written.

use std::io::{self, Write};
use std::path::Path;

use bytesize::ByteSize;
use serde::Serialize;

use super::{DAMAGED, Database, Failure, line, named, plural, unreadable, written};
use crate::history::journal::{Fault, Report, verify};
use crate::lsn::EventId;

/// What follows where a fault is a tail.
const TAIL: &str =
    "what a crash leaves, or what is being written just now; nothing of it was acknowledged, and `pgvigil serve` cuts it off";

/// What damage means, and what to do.
const ADVICE: &str = "what was recorded there cannot be read any more; what stands elsewhere can.
Keep a copy of the folder before `pgvigil serve` opens it again: it cuts off what is damaged at the end of the newest file.
Put back a file of the same name from a backup, if there is one and this then finds it sound. If there is none, `pgvigil history export`
writes out all that can be read, and `serve --data-dir` can begin anew in another folder.";

/// Verifies the journal in `dir`.
pub(super) fn run(dir: &Path, json: bool, out: &mut dyn Write) -> Result<(), Failure> {
    let report = verify(dir).map_err(unreadable)?;
    let outcome = if json { told(&report, out) } else { table(&report, out) };
    written(outcome.and_then(|()| out.flush()), "standard output")?;
    match report.faults.iter().filter(|fault| !fault.is_tail).count() as u64 {
        0 => Ok(()),
        damaged => {
            let places = plural(damaged, "place");
            Err(Failure::with_code(DAMAGED, format_args!("the journal is damaged in {places}: {ADVICE}")))
        }
    }
}

fn table(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    if let Some(watched) = &report.watched {
        line(out, "database", named(watched))?;
    }
    let (files, bytes) = (plural(report.files as u64, "file"), ByteSize::b(report.bytes));
    line(out, "events", format_args!("{} in {files}, {bytes}, up to position {}", report.events, report.position))?;
    for fault in &report.faults {
        if fault.is_tail {
            line(out, "tail", format_args!("{fault}: {TAIL}"))?;
        } else {
            line(out, "DAMAGED", fault)?;
        }
    }
    if report.is_sound() {
        line(
            out,
            "sound",
            "every checksum, every block and their order; nothing is missing between the first event and the last",
        )?;
    }
    Ok(())
}

fn told(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    #[derive(Serialize)]
    struct Told<'a> {
        sound: bool,
        database: Option<Database>,
        files: usize,
        bytes: u64,
        events: u64,
        cut: Option<String>,
        last: Option<String>,
        position: String,
        faults: Vec<Place<'a>>,
    }
    #[derive(Serialize)]
    struct Place<'a> {
        file: String,
        byte: u64,
        reason: &'a str,
        tail: bool,
    }
    let place = |fault: &Fault| Place {
        file: fault.path.display().to_string(),
        byte: fault.offset,
        reason: fault.reason,
        tail: fault.is_tail,
    };
    let told = Told {
        sound: report.is_sound(),
        database: report.watched.as_ref().map(Database::from),
        files: report.files,
        bytes: report.bytes,
        events: report.events,
        cut: report.before.as_ref().map(EventId::to_string),
        last: report.last.as_ref().map(EventId::to_string),
        position: report.position.to_string(),
        faults: report.faults.iter().map(place).collect(),
    };
    serde_json::to_writer(&mut *out, &told)?;
    writeln!(out)
}
