//! Undo where somebody was faster.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::support::{DDL_MESSAGES, Database, PATIENCE, a_major, cluster, majors, wait_for};
use crate::undone::{Done, Scene, same};

const SHOP: &str = r#"
    CREATE TABLE "User" (id int PRIMARY KEY, email text UNIQUE, name text);
    CREATE TABLE "Order" (id int PRIMARY KEY, "user" int REFERENCES "User" ON DELETE CASCADE ON UPDATE CASCADE, total numeric);
    ALTER TABLE "User" REPLICA IDENTITY FULL;
    ALTER TABLE "Order" REPLICA IDENTITY FULL;
    CREATE TABLE by_key (id int PRIMARY KEY, v text);
    CREATE TABLE strict_by_key (id int PRIMARY KEY, v text NOT NULL);
    CREATE PUBLICATION pgvigil FOR ALL TABLES;
    INSERT INTO "User" SELECT i, 'user' || i, 'name ' || i FROM generate_series(1, 5) i;
    INSERT INTO "Order" SELECT i, 1 + i % 5, i + 0.50 FROM generate_series(1, 10) i;
    INSERT INTO by_key SELECT i, 'v' || i FROM generate_series(1, 5) i;
    INSERT INTO strict_by_key SELECT i, 'v' || i FROM generate_series(1, 5) i;
"#;

pub(crate) async fn shop() -> Result<(pgvigil::cluster::Cluster, Scene)> {
    let cluster = cluster(a_major()).await?;
    let scene = Scene::set(&cluster, "shop", &format!("{DDL_MESSAGES} {SHOP}")).await?;
    Ok((cluster, scene))
}

/// Undoes a transaction; gives (rows, done, already, in conflict) by table (its name without quotes), and the coverage.
pub(crate) async fn undo(scene: &mut Scene, tx: &str) -> Result<(Value, Value)> {
    let answer = scene.undo(tx).await?;
    run(scene, &answer).await
}

/// The same, also where not all of a row can be brought back.
pub(crate) async fn undo_partly(scene: &mut Scene, tx: &str) -> Result<(Value, Value)> {
    let answer = scene.pgvigil.json(&format!("/api/v1/transactions/{tx}/undo?partial=true")).await?;
    run(scene, &answer).await
}

async fn run(scene: &mut Scene, answer: &Value) -> Result<(Value, Value)> {
    let mut effects: BTreeMap<String, [i64; 4]> = BTreeMap::new();
    for done in scene.run(answer["sql"].as_str().context("sql")?).await? {
        let counts = [done.rows, done.done, done.already, done.in_conflict];
        let sums = effects.entry(done.table.replace('"', "")).or_default();
        sums.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
    }
    let effects = json!(effects);
    Ok((effects, answer["coverage"].clone()))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_changed_since_is_left_alone_and_counted() -> Result<()> {
    let (_cluster, mut scene) = shop().await?;
    let tx = scene.transaction(r#"UPDATE "User" SET name = 'X'; UPDATE "Order" SET total = 0 WHERE id = 1"#).await?;
    scene
        .database
        .run(r#"UPDATE "User" SET name = 'since' WHERE id = 2; UPDATE "User" SET email = 'other' WHERE id = 3"#)
        .await?;
    scene.database.run(r#"UPDATE "User" SET name = 'name 4' WHERE id = 4; DELETE FROM "User" WHERE id = 5"#).await?;
    let (effects, coverage) = undo(&mut scene, &tx).await?;
    // Another column is no conflict, and neither is what somebody set back already.
    ensure!(effects == json!({"public.User": [5, 2, 1, 2], "public.Order": [1, 1, 0, 0]}), "{effects}");
    // What the SQL finds was to be expected: 2 and 5 are as somebody wants them, 4 is as it was.
    ensure!(coverage["rows"] == 6 && coverage["restorable"] == 3 && coverage["already"] == 1, "{coverage}");
    let missing = &coverage["tables"][0]["missing"][0];
    ensure!(missing["reason"] == "changed_later" && missing["rows"] == 2 && missing["by"][0].is_string(), "{coverage}");
    let names: String = scene.database.value(r#"SELECT string_agg(name, ',' ORDER BY id) FROM "User""#).await?;
    ensure!(names == "name 1,since,name 3,name 4", "{names}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_came_is_deleted_only_if_nothing_needs_it() -> Result<()> {
    let (_cluster, mut scene) = shop().await?;
    let tx = scene.transaction(r#"INSERT INTO "User" SELECT i, 'user' || i, 'new' FROM generate_series(11, 14) i"#).await?;
    scene.database.run(r#"INSERT INTO "Order" VALUES (11, 11, 1); UPDATE "User" SET name = 'since' WHERE id = 12; DELETE FROM "User" WHERE id = 13"#).await?;
    let (effects, _) = undo(&mut scene, &tx).await?;
    ensure!(effects == json!({"public.User": [4, 1, 1, 2]}), "{effects}");
    let left: i64 = scene.database.value(r#"SELECT count(*) FROM "User" WHERE id IN (11, 12)"#).await?;
    // It would have gone by a cascade.
    let order: i64 = scene.database.value(r#"SELECT count(*) FROM "Order" WHERE id = 11"#).await?;
    ensure!((left, order) == (2, 1), "{left} users and {order} orders are left");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_went_does_not_come_where_its_place_is_taken() -> Result<()> {
    let (_cluster, mut scene) = shop().await?;
    let tx = scene.transaction(r#"DELETE FROM "User""#).await?;
    scene
        .database
        .run(r#"INSERT INTO "User" VALUES (1, 'another', 'another'), (92, 'user2', 'has the address'), (3, 'user3', 'name 3')"#)
        .await?;
    let (effects, _) = undo(&mut scene, &tx).await?;
    // 1 and 2 cannot come, 3 is there; the orders of 1 and 2 have nobody to belong to: the other 1 is not theirs.
    ensure!(effects == json!({"public.User": [5, 2, 1, 2], "public.Order": [10, 6, 0, 4]}), "{effects}");
    let again = undo(&mut scene, &tx).await?.0;
    ensure!(again == json!({"public.User": [5, 0, 3, 2], "public.Order": [10, 0, 6, 4]}), "{again}");
    // Once they belong to it by somebody's will, they are.
    let alone = scene.pgvigil.json(&format!("/api/v1/transactions/{tx}/undo?table=Order&key=user=1")).await?;
    scene.run(alone["sql"].as_str().context("sql")?).await?;
    let orders: i64 = scene.database.value(r#"SELECT count(*) FROM "Order" WHERE "user" = 1"#).await?;
    ensure!(orders == 2, "{orders} orders of the other 1");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_comes_under_another_parent_whatever_way_it_references_one() -> Result<()> {
    let cluster = cluster(a_major()).await?;
    let schema = "
        CREATE TABLE node (id int PRIMARY KEY, up int REFERENCES node ON DELETE CASCADE, v text);
        CREATE TABLE team (id int PRIMARY KEY, captain int NOT NULL, v text);
        CREATE TABLE player (id int PRIMARY KEY, team int NOT NULL REFERENCES team ON DELETE CASCADE);
        ALTER TABLE team ADD FOREIGN KEY (captain) REFERENCES player ON DELETE CASCADE;
        ALTER TABLE node REPLICA IDENTITY FULL; ALTER TABLE team REPLICA IDENTITY FULL; ALTER TABLE player REPLICA IDENTITY FULL;
        CREATE PUBLICATION pgvigil FOR ALL TABLES;
        INSERT INTO node SELECT i, nullif(i / 2, 0), 'v' FROM generate_series(1, 15) i;
        WITH t AS (INSERT INTO team SELECT i, i * 10, 'v' FROM generate_series(1, 2) i)
            INSERT INTO player SELECT i * 10 + n, i FROM generate_series(1, 2) i, generate_series(0, 2) n";
    let mut scene = Scene::set(&cluster, "parents", schema).await?;
    let tx = scene.transaction("DELETE FROM node WHERE id = 1; DELETE FROM team").await?;
    scene.database.run("INSERT INTO node VALUES (2, NULL, 'another')").await?;
    scene.database.run("WITH t AS (INSERT INTO team VALUES (1, 99, 'another')) INSERT INTO player VALUES (99, 1)").await?;
    scene.told_all().await?;
    let (effects, coverage) = undo(&mut scene, &tx).await?;
    // Of the tree half is below 2; of the teams, 1 is another's.
    ensure!(
        effects["public.node"] == json!([15, 8, 0, 7]) && coverage["tables"].to_string().contains("reference_changed_later"),
        "{effects} {coverage}"
    );
    let nodes: String = scene.database.value("SELECT string_agg(id::text, ' ' ORDER BY id) FROM node").await?;
    ensure!(nodes == "1 2 3 6 7 12 13 14 15", "{nodes}");
    let players: String = scene.database.value("SELECT string_agg(id || ' in ' || team, ', ' ORDER BY id) FROM player").await?;
    ensure!(players == "20 in 2, 21 in 2, 22 in 2, 99 in 1", "{players}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_came_back_and_went_again_on_purpose_stays_away() -> Result<()> {
    let (_cluster, mut scene) = shop().await?;
    let tx = scene.transaction(r#"DELETE FROM "User" WHERE id < 3; UPDATE "Order" SET total = 0 WHERE id = 3"#).await?;
    let again = r#"INSERT INTO "User" VALUES (1, 'user1', 'name 1'); DELETE FROM "User" WHERE id = 1;
                   UPDATE "Order" SET total = 1 WHERE id = 3"#;
    scene.transaction(again).await?;
    let last = scene.transaction(r#"UPDATE "Order" SET total = 0 WHERE id = 3"#).await?;
    let (_, coverage) = undo(&mut scene, &tx).await?;
    ensure!(coverage["complete"] == false, "{coverage}");
    let by: Vec<_> = coverage["tables"].as_array().into_iter().flatten().map(|table| table["missing"].to_string()).collect();
    ensure!(by.iter().any(|missing| missing.contains(&last)), "{coverage}");
    let left: String = scene.database.value(r#"SELECT string_agg(id::text, ' ' ORDER BY id) FROM "User""#).await?;
    let total: String = scene.database.value(r#"SELECT total::text FROM "Order" WHERE id = 3"#).await?;
    ensure!((left.as_str(), total.as_str()) == ("2 3 4 5", "0"), "{left}; {total}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_without_a_key_come_back_once() -> Result<()> {
    let cluster = cluster(a_major()).await?;
    let schema =
        "CREATE TABLE log (n int, doc json); ALTER TABLE log REPLICA IDENTITY FULL; CREATE PUBLICATION pgvigil FOR ALL TABLES;
                  INSERT INTO log SELECT i % 3, '{}' FROM generate_series(1, 12) i";
    let mut scene = Scene::set(&cluster, "keyless", schema).await?;
    let before = scene.contents(None).await?;
    let tx = scene.transaction("DELETE FROM log WHERE ctid IN (SELECT ctid FROM log WHERE n < 2 LIMIT 5)").await?;
    let answer = scene.undo(&tx).await?;
    let sql = answer["sql"].as_str().context("sql")?;
    scene.run(sql).await?;
    same(&scene.contents(None).await?, &before)?;
    // The same text once more, and one made anew when the history has what the first one did.
    let again = scene.run(sql).await?;
    ensure!(again.iter().all(|done| (done.done, done.already, done.in_conflict) == (0, 5, 0)), "{again:?}");
    let lsn = scene.position().await?;
    scene.transaction("INSERT INTO log VALUES (7, '{}')").await?;
    let anew = scene.undo(&tx).await?;
    ensure!(anew["coverage"]["already"] == 5 && anew["coverage"]["complete"] == true, "{lsn} {anew}");
    scene.run(anew["sql"].as_str().context("sql")?).await?;
    scene.database.run("DELETE FROM log WHERE n = 7").await?;
    same(&scene.contents(None).await?, &before)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_that_an_expression_makes_unique_is_taken_meanwhile() -> Result<()> {
    let cluster = cluster(a_major()).await?;
    let schema = "CREATE TABLE member (id int PRIMARY KEY, email text); CREATE UNIQUE INDEX ON member (lower(email));
                  ALTER TABLE member REPLICA IDENTITY FULL; CREATE PUBLICATION pgvigil FOR ALL TABLES;
                  INSERT INTO member VALUES (1, 'a'), (2, 'b'), (3, 'c')";
    let mut scene = Scene::set(&cluster, "expression", schema).await?;
    let tx = scene.transaction("UPDATE member SET email = id || '@x' WHERE id < 3").await?;
    scene.database.run("UPDATE member SET email = 'A' WHERE id = 3").await?;
    let after = scene.contents(None).await?;
    let answer = scene.undo(&tx).await?;
    ensure!(
        answer["coverage"]["notes"].to_string().contains("public.member has a deferrable, partial or expression"),
        "{answer}"
    );
    ensure!(scene.run(answer["sql"].as_str().context("sql")?).await.is_err(), "it did something");
    same(&scene.contents(None).await?, &after)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_belongs_to_a_period_comes_after_it() -> Result<()> {
    let Some(major) = majors().into_iter().find(|major| *major >= 18) else { return Ok(()) };
    let cluster = cluster(major).await?;
    let schema = "CREATE EXTENSION btree_gist;
        CREATE TABLE aa_visit (room int, during daterange, guest int PRIMARY KEY);
        CREATE TABLE room (id int, during daterange, PRIMARY KEY (id, during WITHOUT OVERLAPS));
        ALTER TABLE aa_visit ADD FOREIGN KEY (room, PERIOD during) REFERENCES room (id, PERIOD during);
        ALTER TABLE room REPLICA IDENTITY FULL; ALTER TABLE aa_visit REPLICA IDENTITY FULL;
        CREATE PUBLICATION pgvigil FOR ALL TABLES;
        INSERT INTO room VALUES (1, '[2026-01-01,2026-06-01)'), (1, '[2026-06-01,2027-01-01)'), (2, '[2026-01-01,2027-01-01)');
        INSERT INTO aa_visit VALUES (1, '[2026-05-01,2026-07-01)', 1), (2, '[2026-02-01,2026-02-09)', 2)";
    let mut scene = Scene::set(&cluster, "periods", schema).await?;
    let before = scene.contents(None).await?;
    let tx = scene.transaction("DELETE FROM aa_visit; DELETE FROM room").await?;
    let (effects, _) = undo(&mut scene, &tx).await?;
    ensure!(effects == json!({"public.room": [3, 3, 0, 0], "public.aa_visit": [2, 2, 0, 0]}), "{effects}");
    same(&scene.contents(None).await?, &before)?;
    let tx = scene.transaction("INSERT INTO room VALUES (3, '[2026-01-01,2027-01-01)'); INSERT INTO aa_visit VALUES (3, '[2026-02-01,2026-02-09)', 3)").await?;
    undo(&mut scene, &tx).await?;
    same(&scene.contents(None).await?, &before)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_set_back_already_is_not_touched_again() -> Result<()> {
    let (_cluster, mut scene) = shop().await?;
    let tx = scene.transaction(r#"UPDATE "User" SET name = 'X'; UPDATE "User" SET id = id + 100 WHERE id > 3"#).await?;
    let sql = scene.undo(&tx).await?["sql"].as_str().context("sql")?.to_owned();
    let sums = |done: Vec<Done>| {
        done.iter().fold([0; 3], |sums, done| [sums[0] + done.done, sums[1] + done.already, sums[2] + done.in_conflict])
    };
    // The orders followed.
    ensure!(sums(scene.run(&sql).await?) == [5, 4, 0]);
    let untouched = r#"SELECT string_agg(ctid::text || xmin::text, ' ' ORDER BY id) FROM "User""#;
    let before: String = scene.database.value(untouched).await?;
    let again = scene.run(&sql).await?;
    ensure!(sums(again.clone()) == [0, 9, 0], "{again:?}");
    ensure!(scene.database.value::<String>(untouched).await? == before, "rows were written again");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_somebody_adds_meanwhile_is_not_taken_along() -> Result<()> {
    let (cluster, scene) = shop().await?;
    let tx = scene.transaction(r#"INSERT INTO "User" VALUES (6, 'user6', 'name 6')"#).await?;
    let sql = scene.undo(&tx).await?["sql"].as_str().context("sql")?.to_owned();
    let (adding, undoing) = (Database::connect(&cluster.url("shop")).await?, Database::connect(&cluster.url("shop")).await?);
    adding.run(r#"BEGIN; INSERT INTO "Order" VALUES (60, 6, 1)"#).await?;
    let undone = tokio::spawn(async move { undoing.run(&sql).await });
    wait_for("the undo to wait", PATIENCE, async || {
        let waits = "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)";
        Ok(scene.database.value::<bool>(waits).await?.then_some(()))
    })
    .await?;
    adding.run("COMMIT").await?;
    let refused = format!("{:#}", undone.await?.err().context("the row was taken along")?);
    ensure!(refused.contains("could not serialize"), "{refused}");
    ensure!(scene.database.count(r#""Order" WHERE id = 60"#).await? == 1);
    Ok(())
}
