//! What the coverage promises is what the SQL then does: what others did since to rows that are referenced, or to rows that reference, is
//! known before anything runs.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::support::{a_major, cluster};
use crate::undone::{Scene, same};

/// Three floors: `c` references `b`, and `b` references `a`.
const FLOORS: &str = "
    CREATE TABLE a (id int PRIMARY KEY, code text UNIQUE, v text);
    CREATE TABLE b (id int PRIMARY KEY, a int REFERENCES a ON DELETE CASCADE, v text);
    CREATE TABLE c (id int PRIMARY KEY, b int REFERENCES b ON DELETE CASCADE, code text REFERENCES a (code));
    ALTER TABLE a REPLICA IDENTITY FULL;
    ALTER TABLE b REPLICA IDENTITY FULL;
    ALTER TABLE c REPLICA IDENTITY FULL;
    CREATE PUBLICATION pgvigil FOR ALL TABLES;
    INSERT INTO a SELECT n, 'code ' || n FROM generate_series(1, 5) n;
    INSERT INTO b SELECT n, n FROM generate_series(1, 3) n;
    INSERT INTO c SELECT n, n FROM generate_series(1, 3) n;
    INSERT INTO c VALUES (4, NULL, 'code 4')";

/// What is promised of an incident after what was done since, by table: how many rows, and why not the others. It is what is done.
async fn promised(scene: &mut Scene, incident: &str, since: &str) -> Result<Value> {
    let before = scene.contents(None).await?;
    let tx = scene.transaction(incident).await?;
    scene.database.run(since).await?;
    scene.told_all().await?;
    let answer = scene.undo(&tx).await?;
    let coverage = &answer["coverage"];
    let done = scene.run(answer["sql"].as_str().context("sql")?).await?;
    let restored: i64 = done.iter().map(|done| done.done).sum();
    ensure!(coverage["restorable"] == restored, "{incident}; {since}: {coverage} {done:?}");
    if coverage["complete"] == true {
        ensure!(done.iter().all(|done| done.in_conflict == 0), "{incident}; {since}: {coverage} {done:?}");
    }
    if since.is_empty() {
        same(&scene.contents(None).await?, &before)?;
    }
    let tables = coverage["tables"].as_array().context("tables")?.iter().map(|table| {
        let missing = table["missing"].as_array().into_iter().flatten().map(|missing| missing["reason"].clone());
        (table["name"].as_str().unwrap_or_default().to_owned(), json!([table["restorable"], missing.collect::<Vec<_>>()]))
    });
    Ok(Value::Object(tables.collect()))
}

/// The same in a database of its own for each.
async fn all(name: &str, schema: &str, cases: &[(&str, &str, Value)]) -> Result<()> {
    let cluster = cluster(a_major()).await?;
    for (nth, (incident, since, expected)) in cases.iter().enumerate() {
        let mut scene = Scene::set(&cluster, &format!("{name}_{nth}"), schema).await?;
        let told = promised(&mut scene, incident, since).await?;
        ensure!(told == *expected, "{incident}; {since}: {told}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_referenced_and_went_later_is_said_before() -> Result<()> {
    let gone = ["reference_changed_later"];
    let orphaned = json!({"b": [0, gone], "c": [0, gone]});
    let back = json!({"b": [1, []], "c": [1, []]});
    let delete = "DELETE FROM b WHERE id = 1";
    all(
        "gone",
        FLOORS,
        &[
            // It went, or got another key; and what referenced the row that is an orphan now is one, too.
            (delete, "DELETE FROM a WHERE id = 1", orphaned.clone()),
            (delete, "UPDATE a SET id = 9 WHERE id = 1", orphaned.clone()),
            (
                delete,
                "UPDATE a SET v = 'x' WHERE id = 1; UPDATE a SET id = 9 WHERE id = 1; DELETE FROM a WHERE id = 9",
                orphaned.clone(),
            ),
            (delete, "TRUNCATE a CASCADE; INSERT INTO a VALUES (2)", orphaned),
            // It is there again, or another one is.
            (delete, "DELETE FROM a WHERE id = 1; INSERT INTO a VALUES (1, 'again')", back.clone()),
            (delete, "TRUNCATE a CASCADE; INSERT INTO a VALUES (1, 'again')", back.clone()),
            (delete, "UPDATE a SET v = 'x'; DELETE FROM a WHERE id = 2", back),
            ("DELETE FROM c WHERE id = 4", "DELETE FROM a WHERE id = 4", json!({"c": [0, gone]})),
            (
                "DELETE FROM c WHERE id = 4",
                "DELETE FROM a WHERE id = 4; INSERT INTO a VALUES (9, 'code 4')",
                json!({"c": [1, []]}),
            ),
            // Others of the same table are undone with it.
            (
                "DELETE FROM b WHERE id = 1; UPDATE a SET v = 'x' WHERE id = 2",
                "DELETE FROM a WHERE id = 1",
                json!({"a": [1, []], "b": [0, gone], "c": [0, gone]}),
            ),
            // A reference that was changed.
            ("UPDATE b SET a = 5 WHERE id = 1", "DELETE FROM a WHERE id = 1", json!({"b": [0, gone]})),
            (
                "UPDATE b SET v = 'x' WHERE id = 1",
                "UPDATE b SET a = 2 WHERE id = 1; DELETE FROM a WHERE id = 1",
                json!({"b": [1, []]}),
            ),
        ],
    )
    .await
}

/// The log tells the primary key of a row that goes, and no more.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_referenced_may_have_gone_without_being_told() -> Result<()> {
    let cluster = cluster(a_major()).await?;
    let mut scene = Scene::set(&cluster, "by_key", &format!("{FLOORS}; ALTER TABLE a REPLICA IDENTITY DEFAULT")).await?;
    let told = promised(&mut scene, "DELETE FROM b WHERE id = 1", "UPDATE a SET id = 9 WHERE id = 1").await?;
    ensure!(told == json!({"b": [0, ["reference_changed_later"]], "c": [0, ["reference_changed_later"]]}), "{told}");
    let tx = scene.transaction("DELETE FROM c WHERE id = 4").await?;
    for (since, in_doubt) in [("UPDATE a SET v = 'x'", false), ("DELETE FROM a WHERE id = 4", true)] {
        scene.database.run(since).await?;
        scene.told_all().await?;
        let coverage = scene.undo(&tx).await?["coverage"].clone();
        let warning = coverage["warnings"][0].as_str().unwrap_or_default();
        ensure!(
            coverage["complete"] != in_doubt && warning.contains("Rows of public.a went later") == in_doubt,
            "{since}: {coverage}"
        );
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_referenced_by_a_row_that_stays_is_said_before() -> Result<()> {
    let held = ["still_referenced"];
    let insert = "INSERT INTO a VALUES (7)";
    all(
        "held",
        FLOORS,
        &[
            (insert, "INSERT INTO b VALUES (7, 7)", json!({"a": [0, held]})),
            (insert, "UPDATE b SET a = 7 WHERE id = 2", json!({"a": [0, held]})),
            (insert, "INSERT INTO b VALUES (7, 7); DELETE FROM b WHERE id = 7", json!({"a": [1, []]})),
            (insert, "INSERT INTO b VALUES (7, 7); UPDATE b SET a = 3 WHERE id = 7", json!({"a": [1, []]})),
            (insert, "INSERT INTO b VALUES (7, 3); TRUNCATE b CASCADE", json!({"a": [1, []]})),
            ("UPDATE a SET id = 7 WHERE id = 5", "INSERT INTO b VALUES (7, 7)", json!({"a": [0, held]})),
            ("UPDATE a SET v = 'x' WHERE id = 5", "INSERT INTO b VALUES (7, 5)", json!({"a": [1, []]})),
            // What references it came with it, and was changed later, or is needed itself.
            (
                "INSERT INTO a VALUES (7), (8); INSERT INTO b VALUES (7, 7), (8, 8)",
                "UPDATE b SET v = 'x' WHERE id = 7",
                json!({"a": [1, held], "b": [1, ["changed_later"]]}),
            ),
            (
                "INSERT INTO a VALUES (7), (8); INSERT INTO b VALUES (7, 7), (8, 8)",
                "INSERT INTO c VALUES (7, 7)",
                json!({"a": [1, held], "b": [1, held]}),
            ),
        ],
    )
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_must_be_unique_and_was_given_to_another_is_said_before() -> Result<()> {
    let taken = ["unique_taken"];
    let (delete, free) = ("DELETE FROM a WHERE id > 4", "UPDATE a SET code = 'other' WHERE id = 5");
    all(
        "taken",
        FLOORS,
        &[
            (delete, "INSERT INTO a VALUES (9, 'code 5')", json!({"a": [0, taken]})),
            (delete, "INSERT INTO a VALUES (9, 'code 5'); UPDATE a SET code = NULL WHERE id = 9", json!({"a": [1, []]})),
            (delete, "UPDATE a SET code = 'CODE 5' WHERE id = 3", json!({"a": [1, []]})),
            (free, "UPDATE a SET code = 'code 5' WHERE id = 3", json!({"a": [0, taken]})),
            // And what references the one that stays away.
            (
                "INSERT INTO b VALUES (5, 5); DELETE FROM a WHERE id = 3",
                "INSERT INTO a VALUES (9, 'code 3')",
                json!({"a": [0, taken], "b": [1, ["reference_changed_later"]], "c": [0, ["reference_changed_later"]]}),
            ),
        ],
    )
    .await?;
    let late = "CREATE TABLE q (id int PRIMARY KEY, place int UNIQUE DEFERRABLE); ALTER TABLE q REPLICA IDENTITY FULL;
                CREATE PUBLICATION pgvigil FOR ALL TABLES; INSERT INTO q VALUES (1, 1), (2, 2), (3, 3)";
    let last = ("UPDATE q SET place = place + 10 WHERE id > 1", "UPDATE q SET place = 2 WHERE id = 1", json!({"q": [1, taken]}));
    all("late", late, &[("DELETE FROM q WHERE id = 2", "UPDATE q SET place = 2 WHERE id = 1", json!({"q": [0, taken]})), last])
        .await
}

/// What was done to a table that nobody asked for stays.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_referenced_from_a_table_that_is_not_asked_for_is_said_before() -> Result<()> {
    let cluster = cluster(a_major()).await?;
    let mut scene = Scene::set(&cluster, "asked", FLOORS).await?;
    let tx = scene.transaction("INSERT INTO a VALUES (7), (8); INSERT INTO b VALUES (7, 7), (8, 8), (9, NULL)").await?;
    scene.database.run("DELETE FROM b WHERE id = 8").await?;
    scene.told_all().await?;
    let answer = scene.pgvigil.json(&format!("/api/v1/transactions/{tx}/undo?table=a")).await?;
    let tables = answer["coverage"]["tables"].as_array().context("tables")?;
    ensure!(tables.len() == 1 && tables[0]["restorable"] == 1, "{answer}");
    ensure!(tables[0]["missing"][0]["reason"] == "still_referenced", "{answer}");
    let done = scene.run(answer["sql"].as_str().context("sql")?).await?;
    ensure!(done.iter().map(|done| done.done).sum::<i64>() == 1, "{done:?}");
    Ok(())
}

/// What depends on each other is one statement, which is done whole or not at all: not with what others changed.
#[tokio::test(flavor = "multi_thread")]
async fn what_others_changed_keeps_nothing_that_it_depended_on() -> Result<()> {
    let schema = "
        CREATE TABLE a (id int PRIMARY KEY, v text);
        CREATE TABLE b (id int PRIMARY KEY, a int REFERENCES a DEFERRABLE INITIALLY DEFERRED, v text);
        ALTER TABLE a REPLICA IDENTITY FULL;
        ALTER TABLE b REPLICA IDENTITY FULL;
        CREATE PUBLICATION pgvigil FOR ALL TABLES;
        INSERT INTO a VALUES (1), (2);
        INSERT INTO b VALUES (1, 1), (2, 2)";
    let renumber = "UPDATE a SET id = id + 10; UPDATE b SET a = a + 10";
    all(
        "circle",
        schema,
        &[
            (renumber, "", json!({"a": [2, []], "b": [2, []]})),
            (renumber, "DELETE FROM b WHERE id = 1", json!({"a": [2, []], "b": [1, ["changed_later"]]})),
            (
                renumber,
                "UPDATE b SET a = 12 WHERE id = 1",
                json!({"a": [1, ["still_referenced"]], "b": [0, ["changed_later", "reference_changed_later"]]}),
            ),
        ],
    )
    .await
}

/// Numbers that are equal, and not written alike.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_was_written_in_another_way_is_set_back() -> Result<()> {
    let schema = "
        CREATE TABLE a (id numeric PRIMARY KEY, v text);
        CREATE TABLE b (id int PRIMARY KEY, a numeric REFERENCES a);
        ALTER TABLE a REPLICA IDENTITY FULL;
        ALTER TABLE b REPLICA IDENTITY FULL;
        CREATE PUBLICATION pgvigil FOR ALL TABLES;
        INSERT INTO a VALUES (1.0), (2.0);
        INSERT INTO b VALUES (1, 1.0), (2, 2.000)";
    let rewrite = "UPDATE a SET id = 1.00 WHERE id = 1";
    all(
        "alike",
        schema,
        &[
            (rewrite, "", json!({"a": [1, []]})),
            (rewrite, "INSERT INTO b VALUES (3, 1)", json!({"a": [1, []]})),
            ("DELETE FROM b WHERE id = 2", "DELETE FROM a WHERE id = 2", json!({"b": [0, ["reference_changed_later"]]})),
            ("DELETE FROM b WHERE id = 2", "UPDATE a SET id = 2.00 WHERE id = 2", json!({"b": [1, []]})),
        ],
    )
    .await
}

/// Partial and expression indexes: only the database could say in which order their values were passed on.
#[tokio::test(flavor = "multi_thread")]
async fn that_rows_may_have_passed_on_what_an_index_makes_of_them_is_said_before() -> Result<()> {
    let schema = "
        CREATE TABLE t (id int PRIMARY KEY, team int, lead bool, mail text, v text, gone bool NOT NULL DEFAULT false);
        CREATE UNIQUE INDEX ON t (team) WHERE lead;
        CREATE UNIQUE INDEX ON t (lower(mail)) WHERE NOT gone;
        ALTER TABLE t REPLICA IDENTITY FULL;
        CREATE PUBLICATION pgvigil FOR ALL TABLES;
        INSERT INTO t SELECT n, n % 2, n > 2, 'Mail ' || n FROM generate_series(1, 4) n";
    let cluster = cluster(a_major()).await?;
    let mut scene = Scene::set(&cluster, "passed_on", schema).await?;
    let before = scene.contents(None).await?;
    for (incident, is_certain) in [
        ("UPDATE t SET lead = false WHERE id = 3; UPDATE t SET lead = true WHERE id = 1", false),
        ("UPDATE t SET mail = 'other' WHERE id = 1; UPDATE t SET mail = 'MAIL 1' WHERE id = 2", false),
        ("UPDATE t SET gone = true WHERE id = 1; UPDATE t SET mail = 'MAIL 1' WHERE id = 2", false),
        // Of these it is known that none had what another one has.
        ("UPDATE t SET lead = false", true),
        ("UPDATE t SET gone = true", true),
        ("UPDATE t SET mail = 'other' WHERE id = 1", true),
        ("UPDATE t SET v = 'x'", true),
        ("DELETE FROM t", true),
        ("DELETE FROM t; INSERT INTO t VALUES (9, 1, true, 'mail 1')", true),
    ] {
        let tx = scene.transaction(incident).await?;
        let answer = scene.undo(&tx).await?;
        let coverage = &answer["coverage"];
        let warning = coverage["warnings"][0].as_str().unwrap_or_default();
        ensure!(
            coverage["complete"] == is_certain && warning.contains("public.t: rows may have passed") != is_certain,
            "{incident}: {coverage}"
        );
        if is_certain {
            scene.run(answer["sql"].as_str().context("sql")?).await?;
        } else {
            scene
                .database
                .run("TRUNCATE t; INSERT INTO t SELECT n, n % 2, n > 2, 'Mail ' || n FROM generate_series(1, 4) n")
                .await?;
        }
        same(&scene.contents(None).await?, &before).context(incident)?;
    }
    Ok(())
}
