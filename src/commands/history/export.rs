//! `pgvigil history export`: what happened, oldest first, as NDJSON or CSV. Block by block, whatever there is of it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use clap::Args;

use super::sink::{Form, Sink};
use super::{DAMAGED, Failure, notice, plural, unreadable, written};
use crate::commands::tail::usual_kinds;
use crate::event::GapReason;
use crate::event::filter::{Filter, StreamKind};
use crate::event::time::{from_unix_micros, rfc3339};
use crate::history::journal::{Found, Passage};
use crate::history::{Bound, Query};
use crate::lsn::Xid;

/// Bytes that are written at once.
const BUFFER: usize = 256 << 10;
/// All that a journal holds.
const RECORDED: &str = "change,commit,ddl,message";
/// All that CSV tells.
const IN_CSV: &str = "change";

/// What `history export` is told.
#[derive(Args, Clone, Debug)]
pub(super) struct ExportArgs {
    /// How to print: ndjson is every event as the stream tells it, a JSON object a line; csv has a line for each change, with id, time, xid,
    /// op, schema, table, key, old, new and actor, objects as JSON text
    #[arg(long, value_enum, default_value_t = Form::Ndjson, value_name = "FORMAT")]
    format: Form,

    /// Write it to this file, which is for its owner only, in place of standard output
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,

    /// Only these tables: schema.name, or name for schema public; "quoted" where a name has a dot or a comma. Repeatable
    #[arg(long, value_name = "TABLES")]
    table: Vec<String>,

    /// Only these operations: insert, update, delete, truncate. Repeatable
    #[arg(long, value_name = "OPERATIONS")]
    op: Vec<String>,

    /// Only rows like this: column.operator.value, such as status.eq.paid; eq neq lt lte gt gte in like ilike is, and not. before any.
    /// Repeatable; all must hold
    #[arg(long = "where", value_name = "CONDITION")]
    conditions: Vec<String>,

    /// Only what these did: a role, an application, an address. Repeatable
    #[arg(long, value_name = "NAMES")]
    actor: Vec<String>,

    /// Only the row with this in its key: column=value, such as id=7. Repeatable; all must hold
    #[arg(long, value_name = "COLUMN=VALUE")]
    key: Vec<String>,

    /// Only what has this text in one of its values, letter case aside: a row, a statement, a message. Repeatable; all must be found
    #[arg(long, value_name = "TEXT")]
    text: Vec<String>,

    /// Only these kinds: change, commit, ddl, message. If nothing is said, change, commit and, unless --op or --where is given, ddl; in
    /// csv only change. Repeatable
    #[arg(long, value_name = "KINDS")]
    kinds: Vec<String>,

    /// Only from here on: a time such as 2026-11-22T14:02:11Z, how long ago such as 10m, or a position such as 0/1A2B3F0
    #[arg(long, value_name = "BOUND", value_parser = bound)]
    since: Option<Bound>,

    /// Only up to here, exclusive
    #[arg(long, value_name = "BOUND", value_parser = bound)]
    until: Option<Bound>,

    /// Only the transaction with this id
    #[arg(long, value_name = "XID", value_parser = xid)]
    xid: Option<Xid>,
}

/// A time, how long ago, or a position.
fn bound(text: &str) -> Result<Bound, String> {
    let expected = "give a time such as 2026-11-22T14:02:11Z, how long ago such as 10m, or a position such as 0/1A2B3F0";
    match humantime::parse_duration(text) {
        Ok(ago) => {
            let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            let then = i64::try_from(now.saturating_sub(ago).as_micros()).unwrap_or(i64::MAX);
            Ok(Bound::Time(from_unix_micros(then)))
        }
        Err(_) => text.parse().map_err(|_| expected.to_owned()),
    }
}

fn xid(text: &str) -> Result<Xid, &'static str> {
    text.parse().map(Xid).map_err(|_| "give a transaction id such as 771")
}

/// Exports from the journal in `dir`.
pub(super) fn run(dir: &Path, args: &ExportArgs) -> Result<(), Failure> {
    let query = args.query()?;
    let found = Found::open(dir).map_err(unreadable)?;
    let told = match &args.output {
        None => export(&found, &query, args.format, io::stdout().lock(), "standard output")?,
        Some(path) => {
            let name = path.display().to_string();
            let file = open(path, dir)?;
            let told = export(&found, &query, args.format, &file, &name)?;
            written(file.sync_all().or_else(has_nothing_to_sync), &name)?;
            notice(format_args!("{} written to {name}", plural(told.events, "event")));
            told
        }
    };
    told.conclude(&found, &query)
}

impl ExportArgs {
    fn query(&self) -> Result<Query, Failure> {
        let (usual, possible, of) = match self.format {
            Form::Ndjson => (usual_kinds(&self.op, &self.conditions), RECORDED, "a journal holds"),
            Form::Csv => (IN_CSV, IN_CSV, "csv tells"),
        };
        let kinds = if self.kinds.is_empty() { usual.to_owned() } else { self.kinds.join(",") };
        let rows = [("where", &self.conditions), ("key", &self.key), ("text", &self.text)];
        let named = [("table", &self.table), ("op", &self.op), ("actor", &self.actor)].into_iter().chain(rows);
        let named = named.flat_map(|(name, values)| values.iter().map(move |value| (name, value.as_str())));
        let filter = Filter::parse(named.chain([("kinds", kinds.as_str())])).map_err(Failure::other)?;
        let is_possible = |kind: &StreamKind| possible.split(',').any(|possible| possible == kind.as_str());
        let mut asked = StreamKind::EACH.into_iter().filter(|kind| filter.wants(*kind));
        if let Some(kind) = asked.find(|kind| !is_possible(kind)) {
            let (kind, possible) = (kind.as_str(), possible.replace(',', ", "));
            return Err(Failure::other(format_args!("--kinds {kind}: {of} {possible} only")));
        }
        let ExportArgs { since, until, xid, .. } = *self;
        Ok(Query { since, until, xid, ..Query::new(Arc::new(filter), usize::MAX) })
    }
}

/// The file, which is made if need be. What stood in it is gone.
fn open(path: &Path, journal: &Path) -> Result<File, Failure> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let same = |path: &Path| fs::canonicalize(path).ok();
    if same(folder).is_some_and(|folder| same(journal) == Some(folder)) {
        let text = format!("{} is in the folder of the journal itself: name a file elsewhere", path.display());
        return Err(Failure::other(text));
    }
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path);
    file.map_err(|error| Failure::other(format_args!("{} cannot be written: {error}", path.display())))
}

/// A pipe or a device has nothing to sync.
fn has_nothing_to_sync(error: io::Error) -> io::Result<()> {
    if error.kind() == ErrorKind::InvalidInput { Ok(()) } else { Err(error) }
}

/// How an export went.
#[derive(Debug, Default)]
struct Told {
    events: u64,
    /// Stretches that are damaged, or went while it was read.
    damaged: u64,
    gone: u64,
}

fn export(found: &Found, query: &Query, form: Form, out: impl Write, to: &str) -> Result<Told, Failure> {
    let mut told = Told::default();
    let mut outcome = Ok(());
    let mut sink = match Sink::new(form, BufWriter::with_capacity(BUFFER, out)) {
        Ok(sink) => sink,
        Err(error) => return written(Err(error), to).map(|()| told),
    };
    let through = found.archive.read_through(
        |glimpse| query.may_be_in(glimpse),
        |passage| {
            outcome = match passage {
                Passage::Block(block) => {
                    let asked = query.found_in(&block);
                    let heads = block.heads().iter().enumerate().filter(|(index, _)| asked(index));
                    heads.map(|(_, head)| head).try_for_each(|head| {
                        told.events += 1;
                        sink.event(head.kind, block.bytes(head))
                    })
                }
                Passage::Lost(gap) => {
                    let is_gone = gap.reason == GapReason::Evicted;
                    *(if is_gone { &mut told.gone } else { &mut told.damaged }) += 1;
                    sink.gap(&gap)
                }
            };
            outcome.is_ok()
        },
    );
    let finished = outcome.and_then(|()| sink.finish());
    written(finished, to)?;
    through.map_err(unreadable)?;
    Ok(told)
}

impl Told {
    /// Says what was not told, and what may have been expected.
    fn conclude(self, found: &Found, query: &Query) -> Result<(), Failure> {
        if let Some((cut, begins)) = found.archive.floor().zip(found.archive.begins()) {
            let is_kept = match query.since {
                Some(Bound::Time(time)) => time >= begins,
                Some(Bound::Lsn(lsn)) => lsn > cut.place.commit_lsn,
                None => false,
            };
            if !is_kept {
                notice(format_args!("what happened up to {cut} is no longer kept; the journal begins at {}", rfc3339(begins)));
            }
        }
        if self.gone > 0 {
            notice("some of it was removed while this was read, since it is no longer kept; a gap says where");
        }
        // What follows in the newest file, or came before the first that can be read, is not known: no gap can tell of it.
        let damage: Vec<_> = found.faults.iter().filter(|fault| !fault.is_tail).collect();
        damage.iter().for_each(|fault| notice(format_args!("what was recorded from there on cannot be read: {fault}")));
        if self.damaged > 0 || !damage.is_empty() {
            let text = "the journal is damaged: this is all that can be read; `pgvigil history verify` says where and what to do";
            return Err(Failure::with_code(DAMAGED, text));
        }
        if self.events == 0 {
            notice("nothing like that is in the journal; `pgvigil history list` says from when to when it reaches");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Command {
        #[command(flatten)]
        export: ExportArgs,
    }

    fn query(arguments: &[&str]) -> Result<Query, String> {
        let command = Command::try_parse_from([&["export"], arguments].concat()).map_err(|error| error.to_string())?;
        command.export.query().map_err(|failure| failure.to_string())
    }

    #[test]
    fn the_query_asks_for_what_the_flags_say() {
        let asked = query(&["--table", "Order", "--op", "delete", "--xid", "771", "--since", "0/1F", "--actor", "ann"]).unwrap();
        assert_eq!((asked.xid, asked.since), (Some(Xid(771)), Some(Bound::Lsn(crate::lsn::Lsn(0x1F)))));
        assert!(asked.filter.passes_table("public", "Order") && !asked.filter.passes_table("public", "User"));
        assert!(!asked.filter.wants(StreamKind::Ddl), "who asks for deletes has not asked for it");
        let all = query(&["--table", "Order"]).unwrap().filter;
        assert!(all.wants(StreamKind::Ddl) && !all.wants(StreamKind::Message));
        assert!(!query(&["--format", "csv"]).unwrap().filter.wants(StreamKind::Commit));
        let Some(Bound::Time(ago)) = query(&["--since", "10m"]).unwrap().since else { panic!("a time") };
        let Some(Bound::Time(now)) = query(&["--since", "0s"]).unwrap().since else { panic!("a time") };
        assert!((600_000_000..700_000_000).contains(&(now.0 - ago.0)));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for arguments in [
            &["--since", "noon"][..],
            &["--xid", "k3"],
            &["--op", "drop"],
            &["--where", "id"],
            &["--kinds", "status"],
            &["--kinds", "commit", "--format", "csv"],
            &["--format", "parquet"],
        ] {
            assert!(query(arguments).is_err(), "{arguments:?}");
        }
    }
}
