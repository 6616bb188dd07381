//! What real servers of every supported version sent (`scripts/capture`) decodes, means what was done, and encodes to the same bytes.
//!
//! The snapshots hold the messages as text, one file a scenario, with the versions that agree put together. What differs from run to
//! run (log positions, times, oids, transaction ids) is left out of them, and compared within the capture instead.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};
use pgvigil::lsn::{Oid, Xid};
use pgvigil::pgoutput::{
    Begin, Commit, Context, Message, Old, Peek, Prepare, Relation, Text, Tuple, Value, decode, encode, peek,
};

#[test]
fn captures_of_real_servers() -> Result<()> {
    // File name → what it says → the versions that say so.
    let mut scenarios: BTreeMap<String, BTreeMap<String, Vec<u32>>> = BTreeMap::new();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/captures");
    for major in 14..=18 {
        for entry in folder.join(major.to_string()).read_dir()? {
            let path = entry?.path();
            let name = path.file_stem().context("no name")?.to_string_lossy().into_owned();
            let text = std::fs::read_to_string(&path)?;
            let story = read_capture(&text).with_context(|| path.display().to_string())?;
            scenarios.entry(name).or_default().entry(story).or_default().push(major);
        }
    }
    ensure!(scenarios.len() == 8, "captures are missing: {:?}", scenarios.keys());
    for (name, stories) in scenarios {
        let mut stories: Vec<_> = stories.into_iter().map(|(story, majors)| (majors, story)).collect();
        stories.sort();
        let stories: Vec<_> = stories.iter().map(|(majors, story)| format!("# PostgreSQL {majors:?}\n{story}")).collect();
        insta::assert_snapshot!(name, stories.join("\n"));
    }
    Ok(())
}

/// Decodes every line and says what it means.
fn read_capture(text: &str) -> Result<String> {
    let lines = text.lines().filter(|line| !line.starts_with('#')).map(from_hex).collect::<Result<Vec<_>>>()?;
    ensure!(!lines.is_empty(), "empty");
    let mut reader = Reader::default();
    for (number, bytes) in lines.iter().enumerate() {
        reader.read(bytes).with_context(|| format!("message {}", number + 1))?;
    }
    Ok(reader.story)
}

fn from_hex(line: &str) -> Result<Vec<u8>> {
    let digits = line.as_bytes().chunks(2);
    digits.map(|pair| Ok(u8::from_str_radix(std::str::from_utf8(pair)?, 16)?)).collect()
}

/// Follows a capture as an assembler would, as far as one message can be checked against those before it.
#[derive(Default)]
struct Reader<'a> {
    relations: HashMap<Oid, Relation<'a>>,
    open: Open<'a>,
    /// The top-level transaction that sub-transactions are numbered from.
    top: u32,
    story: String,
}

#[derive(Default)]
enum Open<'a> {
    #[default]
    Nothing,
    Transaction(Begin),
    Prepared(Prepare<'a>),
    Block,
}

impl<'a> Reader<'a> {
    fn read(&mut self, bytes: &'a [u8]) -> Result<()> {
        let context = if matches!(self.open, Open::Block) { Context::InStream } else { Context::Plain };
        let message = decode(bytes, context)?;
        ensure!(encode(&message) == bytes, "encodes to other bytes: {message:?}");
        let Peek { tag, xid } = peek(bytes, context)?;
        ensure!(tag == message.tag() && xid.is_some() == (context == Context::InStream && tag.carries_xid()), "{message:?}");

        let indent = if matches!(self.open, Open::Nothing) { "" } else { "  " };
        let line = self.tell(message)?;
        let subxid = xid.map(|xid| self.subxid(xid)).unwrap_or_default();
        writeln!(self.story, "{indent}{tag:?}{subxid}{line}")?;
        Ok(())
    }

    fn tell(&mut self, message: Message<'a>) -> Result<String> {
        Ok(match message {
            Message::Begin(begin) => {
                self.open = Open::Transaction(begin);
                String::new()
            }
            Message::Commit(commit) => {
                let Open::Transaction(begin) = std::mem::take(&mut self.open) else { bail!("nothing to commit") };
                ensure!((begin.final_lsn, begin.time) == (commit.commit_lsn, commit.time), "{begin:?} {commit:?}");
                check_commit(commit)?;
                String::new()
            }
            Message::Origin(origin) => format!(" {} {}", text(origin.name), origin.lsn),
            Message::Logical(logical) => {
                ensure!(logical.lsn.0 > 0, "no position");
                let kind = if logical.transactional { "transactional" } else { "at once" };
                format!(" {kind} {:?} {:?}", text(logical.prefix), text(Text(logical.content.whole().context("cut")?)))
            }
            Message::Relation(relation) => {
                self.relations.insert(relation.oid, relation);
                let columns = relation.columns.iter().map(|column| {
                    let key = if column.key { "key " } else { "" };
                    format!("{key}{} {}", text(column.name), column.typmod)
                });
                let columns: Vec<_> = columns.collect();
                ensure!(columns.len() == relation.columns.len(), "columns lost");
                format!(" {} {:?} ({})", self.table(relation.oid)?, relation.identity, columns.join(", "))
            }
            Message::Type(r#type) => format!(" {:?}.{:?}", text(r#type.schema), text(r#type.name)),
            Message::Insert(insert) => self.row(insert.oid, None, Some(insert.new))?,
            Message::Update(update) => self.row(update.oid, update.old, Some(update.new))?,
            Message::Delete(delete) => self.row(delete.oid, Some(delete.old), None)?,
            Message::Truncate(truncate) => {
                let cascade = if truncate.cascade { " cascade" } else { "" };
                let restart = if truncate.restart_identity { " restart identity" } else { "" };
                let tables = truncate.oids.iter().map(|oid| self.table(oid)).collect::<Result<Vec<_>>>()?;
                format!("{cascade}{restart} {}", tables.join(", "))
            }
            Message::StreamStart(start) => {
                self.open = Open::Block;
                self.top = start.xid.0;
                if start.first { " first".to_owned() } else { String::new() }
            }
            Message::StreamStop => {
                self.open = Open::Nothing;
                String::new()
            }
            Message::StreamCommit(stream) => {
                check_commit(stream.commit)?;
                String::new()
            }
            Message::StreamAbort(abort) => {
                self.top = abort.xid.0;
                let at = if abort.at.is_some_and(|(lsn, time)| lsn.0 > 0 && time.0 > 0) { " at" } else { "" };
                format!("{}{at}", self.subxid(abort.subxid))
            }
            Message::BeginPrepare(prepare) => {
                self.open = Open::Prepared(prepare);
                format!(" {:?}", text(prepare.gid))
            }
            Message::Prepare(prepare) => {
                let Open::Prepared(begin) = std::mem::take(&mut self.open) else { bail!("nothing to prepare") };
                ensure!(begin == prepare, "{begin:?} {prepare:?}");
                String::new()
            }
            Message::StreamPrepare(prepare) => format!(" {:?}", text(prepare.gid)),
            Message::CommitPrepared(prepared) => {
                check_commit(prepared.commit)?;
                format!(" {:?}", text(prepared.gid))
            }
            Message::RollbackPrepared(prepared) => {
                ensure!(prepared.rollback_end_lsn > prepared.prepare_end_lsn, "{prepared:?}");
                ensure!(prepared.rollback_time >= prepared.prepare_time, "{prepared:?}");
                format!(" {:?}", text(prepared.gid))
            }
        })
    }

    fn row(&self, oid: Oid, old: Option<Old<'a>>, new: Option<Tuple<'a>>) -> Result<String> {
        let columns = self.relations.get(&oid).context("a row without a relation")?.columns.len();
        let mut line = format!(" {}", self.table(oid)?);
        let (key, full) = match old {
            Some(Old::Key(tuple)) => (Some(tuple), None),
            Some(Old::Full(tuple)) => (None, Some(tuple)),
            None => (None, None),
        };
        for (part, tuple) in [("key", key), ("old", full), ("new", new)] {
            let Some(tuple) = tuple else { continue };
            let values: Vec<_> = tuple.iter().map(value).collect();
            ensure!(tuple.len() == columns && values.len() == columns, "{columns} columns, {} values", values.len());
            write!(line, " {part} ({})", values.join(", "))?;
        }
        Ok(line)
    }

    fn table(&self, oid: Oid) -> Result<String> {
        let relation = self.relations.get(&oid).context("a table without a relation")?;
        Ok(format!("{}.{}", text(relation.schema), text(relation.name)))
    }

    fn subxid(&self, xid: Xid) -> String {
        format!(" +{}", xid.0 - self.top)
    }
}

fn check_commit(commit: Commit) -> Result<()> {
    ensure!(commit.end_lsn > commit.commit_lsn && commit.time.0 > 0, "{commit:?}");
    Ok(())
}

fn text(Text(bytes): Text<'_>) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn value(value: Value<'_>) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Unchanged => "unchanged".to_owned(),
        Value::Cut(length) => format!("{length} bytes, cut"),
        Value::Text(bytes) if bytes.len() > 100 => format!("{} bytes", bytes.len()),
        Value::Binary(bytes) if bytes.len() > 100 => format!("{} binary bytes", bytes.len()),
        Value::Text(bytes) => format!("{:?}", text(Text(bytes))),
        Value::Binary(bytes) => bytes.iter().fold("0x".to_owned(), |hex, byte| hex + &format!("{byte:02x}")),
    }
}
