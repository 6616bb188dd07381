//! `pgvigil history` tells what the stream told, with and without a running server, and what became of it on the disk.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::SystemTime;

use pgvigil::event::{BlockBuilder, Kind, NewEvent, Operation, TableName};
use pgvigil::history::journal::{Mark, Opened, Options, Watched, verify};
use pgvigil::lsn::{Lsn, Oid, Place, Xid};
use pgvigil::pgoutput::Timestamp;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

use super::*;

/// What a command said, and how it ended.
struct Said {
    status: ExitStatus,
    out: String,
    err: String,
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pgvigil"));
    command.arg("history").args(arguments).env_remove("PGVIGIL_DATA_DIR").stdin(Stdio::null()).kill_on_drop(true);
    command
}

/// `pgvigil history`, to its end.
async fn history(arguments: &[&str], dir: &Path) -> Result<Said> {
    let dir = dir.to_str().context("a path")?;
    let output = timeout(PATIENCE, command(&[&["--data-dir", dir], arguments].concat()).output()).await??;
    let [out, err] = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    Ok(Said { status: output.status, out, err })
}

impl Said {
    /// It succeeded.
    fn good(self) -> Result<Self> {
        ensure!(self.status.success(), "{}: {}{}", self.status, self.out, self.err);
        Ok(self)
    }

    fn events(&self) -> Result<Vec<Value>> {
        self.out.lines().map(|line| serde_json::from_str(line).with_context(|| line.to_owned())).collect()
    }
}

/// Every file with its contents, and when it was changed.
fn contents(dir: &Path) -> Result<BTreeMap<PathBuf, (Vec<u8>, SystemTime)>> {
    let read = |path: PathBuf| Ok((path.clone(), (fs::read(&path)?, fs::metadata(&path)?.modified()?)));
    fs::read_dir(dir)?.map(|entry| read(entry?.path())).collect()
}

/// Waits until so many events are on disk.
async fn recorded(dir: &Path, events: usize) -> Result<()> {
    let is_there = async || Ok((verify(dir)?.events >= u64::try_from(events)?).then_some(()));
    wait_for("the journal", PATIENCE, is_there).await
}

fn recorded_kinds(events: &[Value]) -> Vec<Value> {
    let is_recorded =
        |event: &&Value| ["change", "commit", "ddl", "message", "gap"].contains(&event["type"].as_str().unwrap_or_default());
    events.iter().filter(is_recorded).cloned().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_told_is_listed_and_exported() -> Result<()> {
    let cluster = cluster(a_major()).await?;
    let database = Database::create(&cluster, "app").await?;
    database.run(SCHEMA).await?;
    database.run(DDL_MESSAGES).await?;
    let (url, dir) = (cluster.url("app"), TempDir::new()?);
    let mut pgvigil = serve(&url, dir.path(), &[]).await?;
    let mut socket = pgvigil.websocket("kinds=change").await?;
    database.run("INSERT INTO item VALUES (1, 'one'), (2, 'a \"quoted\", text')").await?;
    database.run("UPDATE item SET name = NULL WHERE id = 1; DELETE FROM item WHERE id = 2").await?;
    database.run("SELECT pg_logical_emit_message(true, 'test', 'said')").await?;
    database.run("CREATE TABLE other (id int PRIMARY KEY)").await?;
    database.run("INSERT INTO other VALUES (1); TRUNCATE other; INSERT INTO item VALUES (3, 'three')").await?;
    up_to(&mut socket, 3).await?;
    ensure!(pgvigil.stop().await?.success());
    let mut pgvigil = serve(&url, dir.path(), &[]).await?;
    let mut socket = pgvigil.websocket("kinds=change,commit,ddl,message&from=oldest").await?;
    database.run("INSERT INTO item VALUES (4, 'four')").await?;
    let until = |event: &Value| event["type"] == "commit" && event["tables"][0]["inserts"] == 1 && event["tx"]["changes"] == 1;
    let mut told = up_to(&mut socket, 4).await?;
    told.extend(timeout(PATIENCE, socket.until("its commit", until)).await??);
    let told = recorded_kinds(&told);
    for kind in ["change", "commit", "ddl", "message", "gap"] {
        ensure!(!of_kind(&told, kind).is_empty(), "no {kind}: {told:?}");
    }
    recorded(dir.path(), told.len()).await?;

    // Beside the server, and without it.
    let everything = ["export", "--kinds", "change,commit,ddl,message"];
    let beside = history(&everything, dir.path()).await?.good()?;
    ensure!(beside.events()? == told, "{}", beside.out);
    ensure!(pgvigil.stop().await?.success());
    let before = contents(dir.path())?;
    let alone = history(&everything, dir.path()).await?.good()?;
    ensure!((&alone.out, &*alone.err) == (&beside.out, ""), "{}{}", alone.out, alone.err);

    // Filters ask for what they ask for in the stream.
    let changes = of_kind(&told, "change");
    let export = async |arguments: &[&str]| history(&[&["export"], arguments].concat(), dir.path()).await?.good();
    let deletes = export(&["--op", "delete", "--kinds", "change"]).await?.events()?;
    ensure!(of_kind(&deletes, "change").len() == 1 && of_kind(&deletes, "change")[0]["old"]["id"] == 2, "{deletes:?}");
    let of_other = export(&["--table", "other", "--kinds", "change"]).await?.events()?;
    ensure!(of_kind(&of_other, "change").len() == 2, "{of_other:?}");
    let last = changes.last().context("a change")?;
    let (lsn, xid) = (last["tx"]["lsn"].as_str().context("lsn")?, last["tx"]["xid"].to_string());
    let since = export(&["--since", lsn]).await?.events()?;
    ensure!(of_kind(&since, "change").len() == 1 && of_kind(&since, "commit").len() == 1, "{since:?}");
    ensure!(export(&["--xid", &xid]).await?.events()?.len() == 2);
    let time = last["tx"]["time"].as_str().context("time")?;
    ensure!(of_kind(&export(&["--until", time]).await?.events()?, "change").len() + 1 == changes.len());
    let nothing = export(&["--where", "id.eq.77", "--kinds", "change", "--since", "0/FFFFFFFF"]).await?;
    ensure!(nothing.out.is_empty() && nothing.err.contains("nothing like that is in the journal"), "{}", nothing.err);

    // A table for other programs, in a file.
    let path = TempDir::new()?;
    let file = path.path().join("changes.csv");
    let csv = export(&["--format", "csv", "--output", file.to_str().context("a path")?]).await?;
    ensure!(csv.out.is_empty() && csv.err.contains("events written to"), "{}", csv.err);
    let rows: Vec<csv::StringRecord> = csv::Reader::from_path(&file)?.into_records().collect::<Result<_, _>>()?;
    ensure!(rows.len() == changes.len(), "{rows:?}");
    for (row, change) in rows.iter().zip(&changes) {
        for (column, name) in [(0, "id"), (3, "op"), (4, "schema"), (5, "table")] {
            ensure!(change[name] == row[column], "{row:?}");
        }
        for (column, name) in [(6, "key"), (7, "old"), (8, "new")] {
            let value = if row[column].is_empty() { Value::Null } else { serde_json::from_str(&row[column])? };
            ensure!(change[name] == value, "{row:?}");
        }
    }

    // What it is about, and what is missing.
    let list: Value = serde_json::from_str(&history(&["list", "--json"], dir.path()).await?.good()?.out)?;
    ensure!(list["database"]["name"] == "app" && list["events"] == told.len() && list["cut"] == Value::Null, "{list}");
    ensure!(list["epochs"].as_array().is_some_and(|epochs| epochs.len() == 2), "{list}");
    let gap = of_kind(&told, "gap")[0];
    ensure!(list["gaps"].as_array().is_some_and(|gaps| gaps.len() == 1), "{list}");
    ensure!(["from", "to", "reason"].iter().all(|field| list["gaps"][0][field] == gap[field]), "{list}");
    ensure!(list["from"] == changes[0]["tx"]["time"] && list["to"] == last["tx"]["time"], "{list}");
    ensure!((&list["first"], &list["last"]) == (&told[0]["id"], &told[told.len() - 1]["id"]), "{list}");
    let table = history(&["list"], dir.path()).await?.good()?.out;
    ensure!(table.contains("\"app\" (oid") && table.contains("gap (pgvigil did not run)"), "{table}");
    let verified = history(&["verify"], dir.path()).await?.good()?.out;
    ensure!(verified.contains("sound") && verified.contains(&format!("{} in 1 file", told.len())), "{verified}");
    ensure!(contents(dir.path())? == before, "something was changed in the folder");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_is_found_and_the_rest_is_exported() -> Result<()> {
    let cluster = cluster(a_major()).await?;
    let database = Database::create(&cluster, "app").await?;
    database.run(SCHEMA).await?;
    let (url, dir) = (cluster.url("app"), TempDir::new()?);
    let mut pgvigil = serve(&url, dir.path(), &[]).await?;
    // Each is acknowledged before the next.
    for id in 1..=4 {
        database.run(&format!("INSERT INTO item VALUES ({id}, 'x')")).await?;
        recorded(dir.path(), 2 * id).await?;
    }
    ensure!(pgvigil.stop().await?.success());
    let file = fs::read_dir(dir.path())?.map(|entry| Ok(entry?.path())).find(|path: &Result<PathBuf>| {
        path.as_ref().is_ok_and(|path| path.extension().is_some_and(|extension| extension == "journal"))
    });
    let file = file.context("a file")??;
    let sound = fs::read(&file)?;

    // What a crash leaves.
    fs::write(&file, [&sound[..], b"something"].concat())?;
    let torn = history(&["verify"], dir.path()).await?.good()?;
    ensure!(torn.out.contains("tail") && torn.out.contains("what a crash leaves"), "{}", torn.out);
    ensure!(of_kind(&history(&["export"], dir.path()).await?.good()?.events()?, "change").len() == 4);
    ensure!(fs::read(&file)?.len() == sound.len() + 9, "it was cut off");

    // In the second transaction something is not what was written.
    let mut damaged = sound.clone();
    let second = sound.len() / 2;
    damaged[second] ^= 1;
    fs::write(&file, &damaged)?;
    let found = history(&["verify"], dir.path()).await?;
    ensure!(found.status.code() == Some(1) && found.out.contains("DAMAGED"), "{}{}", found.out, found.err);
    ensure!(found.err.contains("the journal is damaged in 1 place") && found.err.contains("Keep a copy"), "{}", found.err);
    let json: Value = serde_json::from_str(&history(&["verify", "--json"], dir.path()).await?.out)?;
    ensure!(json["sound"] == false && json["faults"][0]["tail"] == false, "{json}");
    let rest = history(&["export"], dir.path()).await?;
    let ids = inserted(&rest.events()?);
    ensure!(rest.status.code() == Some(1) && ids.len() < 4 && [1, 2, 3].starts_with(&ids), "{ids:?}{}", rest.err);
    ensure!(rest.err.contains("from there on cannot be read") && rest.err.contains("all that can be read"), "{}", rest.err);
    let list = history(&["list"], dir.path()).await?.good()?.out;
    ensure!(list.contains("DAMAGED"), "{list}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_has_seen_enough_is_no_error() -> Result<()> {
    let cluster = cluster(a_major()).await?;
    let database = Database::create(&cluster, "app").await?;
    database.run(SCHEMA).await?;
    let (url, dir) = (cluster.url("app"), TempDir::new()?);
    let mut pgvigil = serve(&url, dir.path(), &[]).await?;
    database.run("INSERT INTO item SELECT i, repeat('x', 100) FROM generate_series(1, 5000) i").await?;
    recorded(dir.path(), 5001).await?;
    let path = dir.path().to_str().context("a path")?;
    let mut export = command(&["export", "--data-dir", path]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let mut lines = BufReader::new(export.stdout.take().context("its output")?).lines();
    let first: Value = serde_json::from_str(&lines.next_line().await?.context("a line")?)?;
    ensure!(first["new"]["id"] == 1, "{first}");
    drop(lines);
    let ended = timeout(PATIENCE, export.wait_with_output()).await??;
    ensure!(ended.status.success() && ended.stderr.is_empty(), "{}", String::from_utf8_lossy(&ended.stderr));
    ensure!(pgvigil.stop().await?.success());
    Ok(())
}

#[tokio::test]
async fn what_is_no_journal_is_told() -> Result<()> {
    let dir = TempDir::new()?;
    let said = async |dir: &Path, text: &str| {
        for arguments in [["list"], ["verify"], ["export"]] {
            let said = history(&arguments, dir).await?;
            ensure!(said.status.code() == Some(1) && said.out.is_empty(), "{}: {}", said.status, said.out);
            ensure!(said.err.contains(text) && said.err.lines().count() == 1, "{}", said.err);
        }
        anyhow::Ok(())
    };
    said(&dir.path().join("none"), "there is no folder").await?;
    said(dir.path(), "there is no journal in").await?;
    ensure!(contents(dir.path())?.is_empty(), "something was made");
    let file = dir.path().join("00000000000000000001.journal");
    fs::write(&file, [&b"PGVIGIL\n"[..], &9_u32.to_le_bytes()].concat())?;
    said(dir.path(), "has format 9, and this pgvigil knows formats up to 3").await?;
    fs::write(&file, "something else entirely")?;
    said(dir.path(), "is no journal of pgvigil").await?;
    said(&file, "Not a directory").await?;
    let nowhere = timeout(PATIENCE, command(&["list"]).output()).await??;
    ensure!(nowhere.status.code() == Some(2) && String::from_utf8_lossy(&nowhere.stderr).contains("--data-dir"));
    let within = dir.path().join("x.csv");
    let recorded = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/journal/format-1");
    for entry in fs::read_dir(recorded)? {
        let path = entry?.path();
        fs::copy(&path, dir.path().join(path.file_name().context("a name")?))?;
    }
    let refused = history(&["export", "--output", within.to_str().context("a path")?], dir.path()).await?;
    ensure!(
        refused.status.code() == Some(1) && refused.err.contains("name a file elsewhere") && !within.exists(),
        "{}",
        refused.err
    );
    Ok(())
}

/// A journal of small files, of which only the newest are kept: transaction n inserts row n.
pub(crate) fn write_journal(dir: &Path, watched: &Watched, transactions: u32) -> Result<()> {
    let options = Options { keep: 6_000, segment: 1_000, ..Options::default() };
    let mut journal = Opened::open(dir, options)?.0.begin(watched)?;
    let table = Arc::new(TableName { oid: Oid(16385), schema: "public".into(), name: "item".into() });
    let epoch: pgvigil::lsn::Epoch = "k3".parse()?;
    for id in 1..=transactions {
        let lsn = Lsn(u64::from(id) * 100);
        let mut builder = BlockBuilder::new(epoch.clone());
        let (table, place, time) = (Some(builder.table(&table)), Place { commit_lsn: lsn, ordinal: 1 }, Timestamp(i64::from(id)));
        let (kind, operation, xid) = (Kind::Change, Some(Operation::Insert), Some(Xid(id)));
        let event = NewEvent { kind, place, table, operation, actor: None, xid, time };
        let json = format!(r#"{{"type":"change","op":"insert","new":{{"id":{id}}}}}"#);
        builder.push(event, |out| out.extend_from_slice(json.as_bytes()));
        builder.reached(lsn);
        journal.append(&builder.finish())?;
        let (position, epoch, time) = (lsn, epoch.clone(), i64::from(id));
        let (tables, gone) = (Vec::new(), Vec::new());
        journal.commit(Mark { position, epoch, timeline: 1, time, told_by: Some(1), tables, gone, whole: false })?;
    }
    Ok(())
}

#[tokio::test]
async fn what_is_no_longer_there_is_told() -> Result<()> {
    let dir = TempDir::new()?;
    let watched = Watched { system_identifier: "7300000000000000001".into(), database: Oid(16384), name: "app".into() };
    write_journal(dir.path(), &watched, 60)?;
    let all = history(&["export"], dir.path()).await?.good()?;
    let ids = inserted(&all.events()?);
    let first = *ids.first().context("an event")?;
    ensure!(first > 1 && ids == (first..=60).collect::<Vec<_>>(), "{ids:?}");
    let told = format!("what happened up to k3.0-{:X}.1 is no longer kept", (first - 1) * 100);
    ensure!(all.err.contains(&told), "{}", all.err);
    let list: Value = serde_json::from_str(&history(&["list", "--json"], dir.path()).await?.good()?.out)?;
    ensure!(list["cut"] == format!("k3.0-{:X}.1", (first - 1) * 100) && list["gaps"] == Value::Array(Vec::new()), "{list}");
    // Who asks for less is told nothing of it.
    let late = history(&["export", "--since", &Lsn(5_900).to_string()], dir.path()).await?.good()?;
    ensure!(inserted(&late.events()?) == [59, 60] && late.err.is_empty(), "{}", late.err);

    // In the midst of it, that is damage.
    let files = list["files"].as_array().context("files")?;
    let name = files[1]["name"].as_str().context("a name")?;
    fs::remove_file(dir.path().join(name))?;
    let rest = history(&["export"], dir.path()).await?;
    let events = rest.events()?;
    ensure!(rest.status.code() == Some(1) && rest.err.contains("all that can be read"), "{}", rest.err);
    let gap = events.iter().position(|event| event["type"] == "gap").context("a gap")?;
    ensure!((&events[gap]["from"], &events[gap]["to"]) == (&files[0]["last"], &files[1]["last"]), "{}", events[gap]);
    let (before, after) = (inserted(&events[..gap]), inserted(&events[gap..]));
    let missing = usize::try_from(files[1]["events"].as_u64().context("events")?)?;
    ensure!(before.len() + missing + after.len() == ids.len() && missing > 0, "{before:?} {after:?}");
    ensure!(ids.starts_with(&before) && ids.ends_with(&after), "{before:?} {after:?}");
    let table = history(&["list"], dir.path()).await?.good()?.out;
    ensure!(table.contains("gap (the journal is damaged)"), "{table}");
    let verified = history(&["verify"], dir.path()).await?;
    ensure!(verified.status.code() == Some(1) && verified.out.contains("what comes before it is missing"), "{}", verified.out);
    Ok(())
}
