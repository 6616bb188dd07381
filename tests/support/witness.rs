//! Someone who listens to the stream from its beginning, keeps all that is told of every table, and holds it against itself.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use pgvigil::lsn::Lsn;

use super::audit::Audit;
use super::chronicle::{Chronicle, Effect};
use super::postgres::Database;
use super::process::Pgvigil;
use super::stream::WebSocket;
use super::wait::PATIENCE;

/// The prefix of the messages by which tests find their place in the stream.
const MARK: &str = "test mark";

/// Listens for as long as it lives.
pub(crate) struct Witness {
    heard: Arc<Mutex<Heard>>,
    mark: watch::Receiver<u64>,
    listening: JoinHandle<()>,
}

/// All that was heard.
#[derive(Debug, Default)]
struct Heard {
    tables: BTreeMap<u32, Chronicle>,
    /// Partitioned tables have no rows of their own: what was last told of them.
    partitioned: BTreeMap<u32, Option<i64>>,
    /// What the transaction that is being told has done so far.
    doing: BTreeMap<u32, Doing>,
    changes: u64,
    mark: u64,
    /// Changes come without counts; these follow.
    late: bool,
    /// What was wrong first.
    fault: Option<String>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Doing {
    effect: Effect,
    inserts: u64,
    updates: u64,
    deletes: u64,
    truncates: u64,
}

/// One object of the stream, as far as it matters here.
#[derive(Deserialize)]
struct Frame<'a> {
    #[serde(borrow)]
    r#type: Cow<'a, str>,
    op: Option<&'a str>,
    oid: Option<u32>,
    count: Option<i64>,
    rows_lost: Option<i64>,
    tx: Option<Tx<'a>>,
    as_of: Option<AsOf<'a>>,
    #[serde(default)]
    whole: bool,
    #[serde(default)]
    late: bool,
    #[serde(default)]
    tables: Vec<TableFrame<'a>>,
    #[serde(default)]
    gone: Vec<u32>,
    #[serde(borrow)]
    object: Option<Cow<'a, str>>,
    #[serde(borrow)]
    prefix: Option<Cow<'a, str>>,
    #[serde(borrow)]
    content: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct Tx<'a> {
    xid: u32,
    lsn: &'a str,
    changes: Option<u64>,
}

#[derive(Deserialize)]
struct AsOf<'a> {
    lsn: &'a str,
}

#[derive(Deserialize)]
struct TableFrame<'a> {
    oid: u32,
    #[serde(borrow)]
    schema: Cow<'a, str>,
    #[serde(borrow)]
    name: Cow<'a, str>,
    kind: Option<&'a str>,
    count: Option<i64>,
    verified_at: Option<&'a str>,
    #[serde(default)]
    inserts: u64,
    #[serde(default)]
    updates: u64,
    #[serde(default)]
    deletes: u64,
    #[serde(default)]
    truncates: u64,
}

impl Witness {
    /// Listens to all that `pgvigil` tells from now on.
    pub(crate) async fn listen(pgvigil: &Pgvigil) -> Result<Self> {
        let mut socket = pgvigil.websocket("kinds=change,commit,counts,status,ddl,message").await?;
        let heard = Arc::new(Mutex::new(Heard::default()));
        let (sender, mark) = watch::channel(0);
        let hearing = Arc::clone(&heard);
        let listening = tokio::spawn(async move {
            let Err(error) = hear(&mut socket, &hearing, &sender).await else { return };
            let mut heard = hearing.lock().unwrap();
            heard.fault.get_or_insert_with(|| format!("{error:#}"));
        });
        Ok(Witness { heard, mark, listening })
    }

    /// An error if anything that was heard is wrong by itself.
    pub(crate) fn verdict(&self) -> Result<()> {
        match &self.heard.lock().unwrap().fault {
            Some(fault) => bail!("what pgvigil told is wrong: {fault}"),
            None => Ok(()),
        }
    }

    /// Waits until everything was heard that was committed before mark `number` was made.
    pub(crate) async fn has_heard(&self, number: u64) -> Result<()> {
        let mut mark = self.mark.clone();
        let heard = tokio::time::timeout(PATIENCE, mark.wait_for(|mark| *mark >= number)).await;
        self.verdict()?;
        heard
            .with_context(|| format!("mark {number} did not come within {PATIENCE:?}, the last was {}", *self.mark.borrow()))??;
        Ok(())
    }

    /// Holds what was told against what someone counted. Gives how many numbers were told for it: none, if the count was not known then.
    pub(crate) fn check(&self, audit: &Audit) -> Result<usize> {
        let heard = self.heard.lock().unwrap();
        heard.tables.get(&audit.oid).map_or(Ok(0), |chronicle| chronicle.check(audit))
    }

    /// The rows of a table by all that was told so far; `None` when that is not known.
    pub(crate) fn rows(&self, oid: u32) -> Option<i64> {
        let heard = self.heard.lock().unwrap();
        heard.partitioned.get(&oid).copied().unwrap_or_else(|| heard.tables.get(&oid)?.rows())
    }

    /// How many changes were heard.
    pub(crate) fn changes(&self) -> u64 {
        self.heard.lock().unwrap().changes
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

/// Makes a mark in the stream, behind everything committed so far. Gives its number.
pub(crate) async fn mark(database: &Database) -> Result<u64> {
    static LAST: AtomicU64 = AtomicU64::new(0);
    let number = LAST.fetch_add(1, Ordering::Relaxed) + 1;
    database.run(&format!("SELECT pg_logical_emit_message(true, '{MARK}', '{number}')")).await?;
    Ok(number)
}

async fn hear(socket: &mut WebSocket, heard: &Mutex<Heard>, mark: &watch::Sender<u64>) -> Result<()> {
    loop {
        let text = socket.next_text().await?.context("the server closed the stream")?;
        let frame: Frame<'_> = serde_json::from_str(&text).with_context(|| text.clone())?;
        let reached = {
            let mut heard = heard.lock().unwrap();
            heard.take(frame).with_context(|| format!("at {text:.2000}"))?;
            heard.mark
        };
        mark.send_if_modified(|mark| std::mem::replace(mark, reached) != reached);
    }
}

impl Heard {
    fn take(&mut self, frame: Frame<'_>) -> Result<()> {
        match &*frame.r#type {
            "change" => self.change(&frame),
            "commit" => self.commit(&frame),
            "counts" => self.counts(&frame),
            "ddl" => {
                let lsn = frame.tx.as_ref().context("tx")?.lsn.parse::<Lsn>()?.0;
                // What it does to the table, or to all if it is about none, is for the next number to tell.
                let object = frame.object.context("object")?;
                let is_a_table = self.tables.values().any(|table| table.name == object);
                self.tables.values_mut().filter(|table| !is_a_table || table.name == object).for_each(|table| table.altered(lsn));
                Ok(())
            }
            "status" => {
                self.tables.values_mut().for_each(Chronicle::beat);
                Ok(())
            }
            "message" if frame.prefix.as_deref() == Some(MARK) => {
                self.mark = self.mark.max(frame.content.context("content")?.parse()?);
                Ok(())
            }
            "gap" | "error" => bail!("it was not to be"),
            _ => Ok(()),
        }
    }

    fn change(&mut self, frame: &Frame<'_>) -> Result<()> {
        self.changes += 1;
        let oid = frame.oid.context("oid")?;
        let doing = self.doing.entry(oid).or_default();
        let before = self.tables.get(&oid).and_then(Chronicle::rows).map(|rows| doing.effect.on(rows));
        let effect = match frame.op.context("op")? {
            "insert" => (doing.inserts += 1, Effect::row(1)).1,
            "update" => (doing.updates += 1, Effect::row(0)).1,
            "delete" => (doing.deletes += 1, Effect::row(-1)).1,
            "truncate" => (doing.truncates += 1, Effect::EMPTIED).1,
            other => bail!("what is {other}?"),
        };
        doing.effect = doing.effect.then(effect);
        if let (Some(told), Some(before)) = (frame.count, before) {
            ensure!(told == effect.on(before), "there were {before} rows before it, and {told} after it");
            let lost = frame.rows_lost.unwrap_or(before);
            ensure!(lost == before, "{lost} rows are said to be lost of {before}");
        }
        Ok(())
    }

    fn commit(&mut self, frame: &Frame<'_>) -> Result<()> {
        let tx = frame.tx.as_ref().context("tx")?;
        let lsn = tx.lsn.parse::<Lsn>()?.0;
        let done = std::mem::take(&mut self.doing);
        let sum: u64 = done.values().map(|doing| doing.inserts + doing.updates + doing.deletes + doing.truncates).sum();
        ensure!(tx.changes == Some(sum), "{sum} changes came");
        ensure!(frame.tables.len() == done.len(), "{} tables were changed", done.len());
        for table in &frame.tables {
            let doing = done.get(&table.oid).with_context(|| format!("no change of {} came", table.name))?;
            let totals = [table.inserts, table.updates, table.deletes, table.truncates];
            ensure!(totals == [doing.inserts, doing.updates, doing.deletes, doing.truncates], "of {} came {doing:?}", table.name);
            let chronicle = self.tables.entry(table.oid).or_default();
            chronicle.name = format!("{}.{}", table.schema, table.name);
            chronicle.did(tx.xid, lsn, doing.effect)?;
            match table.count {
                Some(rows) => chronicle.told(rows, lsn)?,
                None if self.late => {}
                None => chronicle.doubt(lsn),
            }
        }
        Ok(())
    }

    fn counts(&mut self, frame: &Frame<'_>) -> Result<()> {
        let as_of = frame.as_of.as_ref().context("as_of")?.lsn.parse::<Lsn>()?.0;
        self.late = frame.late;
        for table in &frame.tables {
            if table.kind == Some("partitioned_table") {
                self.partitioned.insert(table.oid, table.count);
                continue;
            }
            let chronicle = self.tables.entry(table.oid).or_default();
            chronicle.name = format!("{}.{}", table.schema, table.name);
            // Who was too slow for all that was said is told all at once, and by this that a table was counted again meanwhile.
            if chronicle.verified(table.verified_at) && frame.whole {
                if frame.late { chronicle.doubt_late(as_of) } else { chronicle.doubt(as_of) }
            }
            match table.count {
                Some(rows) if frame.late => chronicle.told_late(Some(rows), as_of)?,
                Some(rows) => chronicle.told(rows, as_of)?,
                None if frame.late => chronicle.doubt_late(as_of),
                None => chronicle.doubt(as_of),
            }
        }
        for oid in &frame.gone {
            self.partitioned.remove(oid);
            let chronicle = self.tables.entry(*oid).or_default();
            if frame.late { chronicle.doubt_late(as_of) } else { chronicle.doubt(as_of) }
        }
        // Of all that is not named it is said that nothing is new.
        let named: BTreeSet<u32> = frame.tables.iter().map(|table| table.oid).chain(frame.gone.iter().copied()).collect();
        for (_, chronicle) in self.tables.iter_mut().filter(|(oid, _)| frame.late && !named.contains(oid)) {
            chronicle.told_late(None, as_of)?;
        }
        Ok(())
    }
}
