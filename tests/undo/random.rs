//! Random transactions over every kind of constraint and type, others meanwhile, and back.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::acts::{ACTS, kinds};
use crate::support::{cluster, on_every_major};
use crate::undone::{Contents, Scene, same};

on_every_major!(heavy_what_a_random_transaction_did_is_undone);

/// Rows that are destroyed and brought back.
const OURS: u32 = 0;
/// Rows that others change meanwhile.
const THEIRS: u32 = 1;
/// Tables whose first column is a key that is never given away.
const KEYED: &[&str] = &["\"Mixed Case\".\"User\"", "post", "team", "player", "leaf_note", "kinds", "remark"];
/// Tables in which no row waits for another to leave its place, so that one reversal does all that can be done.
const NEVER_IN_THE_WAY: &[&str] = &["kinds", "keyless", "tree", "leaf_note"];

async fn heavy_what_a_random_transaction_did_is_undone(major: u32) -> Result<()> {
    let seed = std::env::var("PGVIGIL_UNDO_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(rand::random);
    let rounds = std::env::var("PGVIGIL_UNDO_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(25);
    let mut rng = StdRng::seed_from_u64(seed);
    let cluster = cluster(major).await?;
    let mut schema = include_str!("schema.sql").to_owned();
    if major >= 18 {
        // Or DELETE would fail on a table with REPLICA IDENTITY FULL and a generated column.
        schema = schema.replace("FOR ALL TABLES", "FOR ALL TABLES WITH (publish_generated_columns = stored)");
    }
    let mut scene = Scene::set(&cluster, "undone", &schema).await?;
    for mark in [OURS, THEIRS, OURS, OURS, OURS] {
        scene.database.run(&kinds(&mut rng, mark)).await?;
    }
    let mut rows = 0;
    for round in 0..rounds {
        rows += play(&mut scene, &mut rng).await.with_context(|| format!("PGVIGIL_UNDO_SEED={seed}, round {round}"))?;
    }
    ensure!(rows > rounds * 10, "only {rows} rows were undone in {rounds} rounds");
    for round in 0..rounds {
        contend(&mut scene, &mut rng).await.with_context(|| format!("PGVIGIL_UNDO_SEED={seed}, contended round {round}"))?;
    }
    Ok(())
}

/// Others go on with the very rows of an incident, which is undone then: what they did stays, and nothing is undone twice.
async fn contend(scene: &mut Scene, rng: &mut StdRng) -> Result<()> {
    let before = scene.contents(Some(OURS)).await?;
    let (done, tx) = random_transaction(scene, rng, OURS).await?;
    let after = scene.contents(Some(OURS)).await?;
    let mut later = Vec::new();
    for _ in 0..rng.random_range(1..3) {
        later.extend(random_transaction(scene, rng, OURS).await?.0);
    }
    let now = scene.contents(Some(OURS)).await?;
    let told = async {
        let answer = scene.undo(&tx).await?;
        let results = scene.run(answer["sql"].as_str().context("sql")?).await?;
        let back: i64 = results.iter().map(|result| result.done + result.altered + result.already).sum();
        let promised = &answer["coverage"]["restorable"];
        ensure!(
            promised.as_i64().is_some_and(|promised| promised <= back),
            "{promised} were promised: {}, {results:#?}",
            answer["coverage"]
        );
        let undone = scene.contents(Some(OURS)).await?;
        for table in KEYED {
            let keys = |contents: &Contents| -> BTreeSet<String> {
                let key = |row: &String| row.split([',', ')']).next().map(str::to_owned);
                contents.get(*table).into_iter().flatten().filter_map(key).collect()
            };
            let [before, after, now, undone] = [&before, &after, &now, &undone].map(keys);
            let gone_later: Vec<_> = after.difference(&now).filter(|key| undone.contains(*key)).collect();
            ensure!(gone_later.is_empty(), "{table}: {gone_later:?} went later, and came back; {results:?}");
            let came_later: Vec<_> =
                now.difference(&after).filter(|key| !before.contains(*key) && !undone.contains(*key)).collect();
            ensure!(came_later.is_empty(), "{table}: {came_later:?} came later, and went; {results:?}");
        }
        scene.told_all().await?;
        scene.run(scene.undo(&tx).await?["sql"].as_str().context("sql")?).await?;
        let (mut again, mut once) = (scene.contents(Some(OURS)).await?, undone);
        for contents in [&mut again, &mut once] {
            contents.retain(|table, _| NEVER_IN_THE_WAY.contains(&table.as_str()));
        }
        same(&again, &once).context("it was undone twice")
    };
    told.await.with_context(|| format!("after\n{}\nand later\n{}", done.join(";\n"), later.join(";\n")))
}

async fn play(scene: &mut Scene, rng: &mut StdRng) -> Result<i64> {
    let before = scene.contents(Some(OURS)).await?;
    let from = scene.position().await?;
    let (mut done, tx) = random_transaction(scene, rng, OURS).await?;
    // One transaction by its id, or several by where they are.
    let further = rng.random_range(0..4);
    for _ in 0..further {
        done.extend(random_transaction(scene, rng, OURS).await?.0);
    }
    let range = if further == 0 { format!("tx={tx}") } else { format!("since={from}&until={}", scene.position().await?) };
    let (by_others, _) = random_transaction(scene, rng, THEIRS).await?;
    let theirs = scene.contents(Some(THEIRS)).await?;
    let told = async {
        let answer = scene.pgvigil.json(&format!("/api/v1/undo?{range}")).await?;
        let sql = answer["sql"].as_str().context("sql")?;
        ensure!(answer["coverage"]["complete"] == true, "{}", answer["coverage"]);
        let results = scene.run(sql).await?;
        ensure!(results.iter().all(|result| result.in_conflict == 0), "{results:#?}\n{sql}");
        same(&scene.contents(Some(OURS)).await?, &before).with_context(|| sql.to_owned())?;
        same(&scene.contents(Some(THEIRS)).await?, &theirs).context("theirs")?;
        Ok(results.iter().map(|result| result.rows).sum())
    };
    told.await.with_context(|| format!("after\n{}\nand by others\n{}", done.join(";\n"), by_others.join(";\n")))
}

/// What was done, and the transaction.
async fn random_transaction(scene: &Scene, rng: &mut StdRng, mark: u32) -> Result<(Vec<String>, String)> {
    let database = &scene.database;
    let mut done = Vec::new();
    // So that there is always something to be told.
    database.run(&format!("BEGIN; UPDATE beat SET n = n + 1 WHERE mark = {mark}")).await?;
    for _ in 0..rng.random_range(1..9) {
        let act = ACTS[rng.random_range(0..ACTS.len())](rng, mark);
        database.run("SAVEPOINT act").await?;
        // Whether a constraint refuses it is for the constraint to say.
        if database.run(&format!("{act}\n; SET CONSTRAINTS ALL IMMEDIATE; SET CONSTRAINTS ALL DEFERRED")).await.is_ok() {
            done.push(act);
        } else {
            database.run("ROLLBACK TO act").await?;
        }
    }
    let xid: String = database.value("SELECT pg_current_xact_id()::text").await?;
    database.run("COMMIT").await?;
    Ok((done, scene.told(&xid).await?))
}
