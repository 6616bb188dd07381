//! Undo promises what it does, and runs nothing but what it says: whatever else is in the database, in its settings, or was done beside.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::support::{Database, a_major, cluster, on_every_major};
use crate::undone::{Done, Scene, same};

on_every_major!(what_somebody_put_into_the_search_path_is_not_run);

/// Operators that are nearer to the types of columns than the server's own.
const TRAPS: &str = "
    CREATE TYPE mood AS ENUM ('sad', 'happy');
    CREATE FUNCTION trap(varchar, varchar) RETURNS bool LANGUAGE plpgsql AS $$BEGIN RAISE 'trapped'; END$$;
    CREATE FUNCTION trap(mood, mood) RETURNS bool LANGUAGE plpgsql AS $$BEGIN RAISE 'trapped'; END$$;
    CREATE OPERATOR = (leftarg = varchar, rightarg = varchar, procedure = trap);
    CREATE OPERATOR <> (leftarg = varchar, rightarg = varchar, procedure = trap);
    CREATE OPERATOR = (leftarg = mood, rightarg = mood, procedure = trap);
    CREATE TABLE acct (k varchar(20) PRIMARY KEY, m mood UNIQUE, v text);
    CREATE TABLE note (id int PRIMARY KEY, acct varchar(20) REFERENCES acct);
    ALTER TABLE acct REPLICA IDENTITY FULL;
    ALTER TABLE note REPLICA IDENTITY FULL;
    INSERT INTO acct VALUES ('a', 'sad', '1'), ('b', 'happy', '2');
    INSERT INTO note VALUES (1, 'a'), (2, 'b');
    CREATE PUBLICATION pgvigil FOR ALL TABLES";

async fn what_somebody_put_into_the_search_path_is_not_run(major: u32) -> Result<()> {
    let cluster = cluster(major).await?;
    let mut scene = Scene::set(&cluster, "traps", TRAPS).await?;
    ensure!(scene.database.run("SELECT FROM acct WHERE k = 'a'::varchar").await.is_err(), "the trap works");
    let before = scene.contents(None).await?;
    for incident in ["DELETE FROM note; DELETE FROM acct", "UPDATE acct SET v = 'x'", "INSERT INTO acct VALUES ('c', NULL, '3')"]
    {
        let tx = scene.transaction(incident).await?;
        scene.database.run("ALTER TABLE acct ADD CONSTRAINT late CHECK (m <> 'sad' OR v <> '9')").await?;
        let answer = scene.undo(&tx).await?;
        ensure!(answer["coverage"]["complete"] == true, "{incident}: {answer}");
        scene.run(answer["sql"].as_str().context("sql")?).await.context(incident)?;
        same(&scene.contents(None).await?, &before)?;
        scene.database.run("ALTER TABLE acct DROP CONSTRAINT late").await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_of_the_database_do_not_change_what_is_compared_or_read() -> Result<()> {
    let cluster = cluster(a_major()).await?;
    let schema = "ALTER DATABASE settings SET extra_float_digits = -12; ALTER DATABASE settings SET array_nulls = off;
                  ALTER DATABASE settings SET datestyle = 'SQL, DMY'; ALTER DATABASE settings SET intervalstyle = sql_standard;
                  CREATE TABLE t (id int PRIMARY KEY, f float8, a text[], d date, i interval, x xml);
                  ALTER TABLE t REPLICA IDENTITY FULL; CREATE PUBLICATION pgvigil FOR ALL TABLES;
                  INSERT INTO t VALUES (1, 0.1, '{a}', '2026-02-03', '-1 day 02:03', '<a/>'), (2, 0.2, ARRAY['b', NULL], '2026-03-02', '1 mon', 'text')";
    let mut scene = Scene::set(&cluster, "settings", schema).await?;
    scene.database = Database::connect(&scene.url).await?;
    let tx = scene.transaction("UPDATE t SET f = 0.3 WHERE id = 1; DELETE FROM t WHERE id = 2").await?;
    // Written in few digits, it is the same.
    scene.transaction("UPDATE t SET f = 0.1::float8 + 0.2::float8 WHERE id = 1").await?;
    let answer = scene.undo(&tx).await?;
    let done = scene.run(answer["sql"].as_str().context("sql")?).await?;
    ensure!(answer["coverage"]["restorable"] == 1 && sum(&done, |done| done.done) == 1, "{answer} {done:?}");
    ensure!(scene.database.value::<bool>("SELECT f > 0.3 FROM t WHERE id = 1").await?);
    ensure!(scene.database.value::<bool>("SELECT a[2] IS NULL FROM t WHERE id = 2").await?);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn circles_of_any_size_come_back() -> Result<()> {
    let cluster = cluster(a_major()).await?;
    let schema = "CREATE TABLE link (id int PRIMARY KEY, prv int REFERENCES link, nxt int REFERENCES link);
                  CREATE TABLE pos (id int PRIMARY KEY, p int UNIQUE DEFERRABLE);
                  ALTER TABLE link REPLICA IDENTITY FULL; ALTER TABLE pos REPLICA IDENTITY FULL;
                  CREATE PUBLICATION pgvigil FOR ALL TABLES;
                  INSERT INTO link SELECT n, CASE WHEN n > 1 THEN n - 1 END, CASE WHEN n < 1200 THEN n + 1 END FROM generate_series(1, 1200) n;
                  INSERT INTO pos SELECT n, n FROM generate_series(1, 1200) n";
    let mut scene = Scene::set(&cluster, "circles", schema).await?;
    let before = scene.contents(None).await?;
    for incident in ["DELETE FROM link", "UPDATE pos SET p = 1201 - p"] {
        let tx = scene.transaction(incident).await?;
        let answer = scene.undo(&tx).await?;
        ensure!(answer["coverage"]["complete"] == true, "{incident}: {}", answer["coverage"]);
        scene
            .run(answer["sql"].as_str().context("sql")?)
            .await
            .map_err(|error| error.root_cause().to_string())
            .map_err(anyhow::Error::msg)?;
        same(&scene.contents(None).await?, &before)?;
    }
    Ok(())
}

/// What a publication leaves out may have been changed by anybody.
#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_came_stays_where_not_all_of_it_is_told() -> Result<()> {
    let cluster = cluster(a_major().max(15)).await?;
    let schema =
        "CREATE TABLE t (id int PRIMARY KEY, shown text, hidden text); CREATE PUBLICATION pgvigil FOR TABLE t (id, shown)";
    let mut scene = Scene::set(&cluster, "hidden", schema).await?;
    let tx = scene.transaction("INSERT INTO t VALUES (1, 'a', 'b')").await?;
    scene.database.run("UPDATE t SET hidden = 'c'").await?;
    scene.told_all().await?;
    for (query, restorable) in [("", 0), ("?partial=true", 1)] {
        let answer = scene.pgvigil.json(&format!("/api/v1/transactions/{tx}/undo{query}")).await?;
        let missing = &answer["coverage"]["tables"][0]["missing"][0];
        ensure!(missing["reason"] == "column_not_told" && missing["columns"] == json!(["hidden"]), "{answer}");
        ensure!(answer["coverage"]["restorable"] == restorable, "{answer}");
        scene.run(answer["sql"].as_str().context("sql")?).await?;
        ensure!(scene.database.count("t").await? == 1 - restorable);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_without_the_rows_that_they_reference_are_said_before() -> Result<()> {
    let cluster = cluster(a_major()).await?;
    let schema = "CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE b (id int PRIMARY KEY, a int REFERENCES a ON DELETE CASCADE);
                  CREATE TABLE p (id int PRIMARY KEY) PARTITION BY RANGE (id); CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (9);
                  CREATE TABLE c (id int PRIMARY KEY, p int REFERENCES p ON DELETE CASCADE);
                  ALTER TABLE a REPLICA IDENTITY FULL; ALTER TABLE b REPLICA IDENTITY FULL; ALTER TABLE p1 REPLICA IDENTITY FULL; ALTER TABLE c REPLICA IDENTITY FULL;
                  CREATE PUBLICATION pgvigil FOR ALL TABLES;
                  INSERT INTO a VALUES (1), (2); INSERT INTO b VALUES (1, 1), (2, 2), (3, NULL); INSERT INTO p VALUES (1); INSERT INTO c VALUES (1, 1)";
    let mut scene = Scene::set(&cluster, "parents", schema).await?;
    let before = scene.contents(None).await?;
    let restorable = async |scene: &Scene, tx: &str, table: &str| -> Result<Value> {
        let answer = scene.pgvigil.json(&format!("/api/v1/transactions/{tx}/undo?table={table}")).await?;
        let missing = &answer["coverage"]["tables"][0]["missing"][0]["reason"];
        Ok(json!([answer["coverage"]["restorable"], missing, answer["coverage"]["tables"].as_array().map(Vec::len)]))
    };
    // One after the other, as long as the one that is referenced comes first.
    let tx = scene.transaction("DELETE FROM a; DELETE FROM p; DELETE FROM b WHERE id = 3").await?;
    ensure!(restorable(&scene, &tx, "b").await? == json!([1, "reference_stays_away", 1]));
    ensure!(restorable(&scene, &tx, "c").await? == json!([0, "reference_stays_away", 1]));
    for table in ["a", "b", "p", "c"] {
        let answer = scene.pgvigil.json(&format!("/api/v1/transactions/{tx}/undo?table={table}")).await?;
        ensure!(answer["coverage"]["complete"] == true, "{table}: {answer}");
        scene.run(answer["sql"].as_str().context("sql")?).await?;
        scene.told_all().await?;
    }
    same(&scene.contents(None).await?, &before)?;
    // Of what TRUNCATE took nothing comes back, and neither does what references it.
    let tx = scene.transaction("DELETE FROM b; TRUNCATE a CASCADE").await?;
    for query in ["", "?table=b"] {
        let coverage = scene.pgvigil.json(&format!("/api/v1/transactions/{tx}/undo{query}")).await?["coverage"].clone();
        ensure!(coverage["restorable"] == 1 && coverage.to_string().contains("reference_stays_away"), "{coverage}");
    }
    Ok(())
}

/// Triggers of the application change rows once these are back: at the end of the statement, of a later one, or of the transaction.
#[tokio::test(flavor = "multi_thread")]
async fn what_triggers_make_of_rows_that_are_back_is_counted() -> Result<()> {
    let cluster = cluster(a_major()).await?;
    let schema = "CREATE TABLE post (id int PRIMARY KEY, n int NOT NULL, part int) PARTITION BY RANGE (id);
                  CREATE TABLE post0 (part int, id int PRIMARY KEY, n int NOT NULL);
                  ALTER TABLE post ATTACH PARTITION post0 FOR VALUES FROM (0) TO (5);
                  CREATE TABLE post5 PARTITION OF post FOR VALUES FROM (5) TO (9);
                  CREATE TABLE comment (id int PRIMARY KEY, post int REFERENCES post ON DELETE CASCADE);
                  CREATE TABLE touched (id int PRIMARY KEY, v text, at timestamptz);
                  CREATE TABLE same (id int PRIMARY KEY, v text);
                  CREATE FUNCTION count_comments() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN
                      UPDATE post SET n = n + CASE TG_OP WHEN 'INSERT' THEN 1 ELSE -1 END WHERE id = coalesce(NEW.post, OLD.post); RETURN NULL;
                  END$$;
                  CREATE TRIGGER count_comments AFTER INSERT OR DELETE ON comment FOR EACH ROW EXECUTE FUNCTION count_comments();
                  CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN
                      UPDATE touched SET at = now() WHERE id = NEW.id AND at IS DISTINCT FROM now(); RETURN NULL;
                  END$$;
                  CREATE CONSTRAINT TRIGGER touch AFTER INSERT OR UPDATE OF v ON touched DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION touch();
                  CREATE FUNCTION write_again() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN
                      IF pg_trigger_depth() = 1 THEN UPDATE same SET v = v WHERE id = NEW.id; END IF; RETURN NULL;
                  END$$;
                  CREATE TRIGGER write_again AFTER INSERT OR UPDATE ON same FOR EACH ROW EXECUTE FUNCTION write_again();
                  ALTER TABLE post0 REPLICA IDENTITY FULL; ALTER TABLE post5 REPLICA IDENTITY FULL; ALTER TABLE comment REPLICA IDENTITY FULL;
                  ALTER TABLE touched REPLICA IDENTITY FULL; ALTER TABLE same REPLICA IDENTITY FULL; CREATE PUBLICATION pgvigil FOR ALL TABLES;
                  INSERT INTO post VALUES (1, 0, 1), (2, 0, 1), (6, 0, 2); INSERT INTO comment VALUES (1, 1), (2, 1), (3, 6);
                  INSERT INTO touched VALUES (1, 'a'), (2, 'b'), (3, 'c'); INSERT INTO same VALUES (1, 'a'), (2, 'b')";
    let mut scene = Scene::set(&cluster, "set_off", schema).await?;
    let tx = scene
        .transaction("DELETE FROM post; DELETE FROM touched WHERE id = 1; UPDATE touched SET v = 'x' WHERE id = 2; UPDATE same SET v = 'x' WHERE id = 1; DELETE FROM same WHERE id = 2")
        .await?;
    let answer = scene.undo(&tx).await?;
    let done = scene.run(answer["sql"].as_str().context("sql")?).await?;
    let of = |table: &str, action: &str| {
        let of: Vec<_> = done.iter().filter(|done| done.table == table && done.action == action).cloned().collect();
        [sum(&of, |done| done.done), sum(&of, |done| done.altered), sum(&of, |done| done.in_conflict)]
    };
    // Two posts have got another number of comments; what was touched has another time, also where it is set back.
    ensure!(of("public.post", "insert") == [1, 2, 0] && of("public.comment", "insert") == [3, 0, 0], "{done:?}");
    ensure!(of("public.touched", "insert") == [0, 1, 0] && of("public.touched", "set back")[1] == 1, "{done:?}");
    // What was written once more, and is the same, is as recorded.
    ensure!(of("public.same", "insert") == [1, 0, 0] && of("public.same", "set back") == [1, 0, 0], "{done:?}");
    Ok(())
}

/// A `CHECK` that rows of before need not fulfil.
#[tokio::test(flavor = "multi_thread")]
async fn a_check_that_was_never_validated_is_held_against_rows() -> Result<()> {
    let cluster = cluster(a_major()).await?;
    let schema =
        "CREATE TABLE t (id int PRIMARY KEY, v int); INSERT INTO t VALUES (1, -1), (2, 2); ALTER TABLE t REPLICA IDENTITY FULL;
                  ALTER TABLE t ADD CHECK (v > 0) NOT VALID; CREATE PUBLICATION pgvigil FOR ALL TABLES";
    let mut scene = Scene::set(&cluster, "legacy", schema).await?;
    let tx = scene.transaction("DELETE FROM t").await?;
    let answer = scene.undo(&tx).await?;
    let missing = &answer["coverage"]["tables"][0]["missing"][0];
    ensure!(answer["coverage"]["restorable"] == 1 && missing["reason"] == "check_not_fulfilled", "{answer}");
    let done = scene.run(answer["sql"].as_str().context("sql")?).await?;
    ensure!(sum(&done, |done| done.done) == 1, "{done:?}");
    Ok(())
}

fn sum(done: &[Done], of: impl Fn(&Done) -> i64) -> i64 {
    done.iter().map(of).sum()
}
