//! Undo of tables whose columns, types and constraints were altered since: what is promised comes, and of what cannot come it is said why.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::command::undo as command;
use crate::support::{DDL_MESSAGES, cluster, on_every_major};
use crate::undone::Scene;

on_every_major!(
    what_is_not_good_any_more_is_said_before,
    generated_columns_are_no_places_for_others,
    what_was_generated_and_not_told_is_missed
);

/// Types and functions that cases alter or call.
const TYPES: &str = "
    CREATE TYPE mood AS ENUM ('sad', 'so so', 'happy');
    CREATE DOMAIN humour AS mood;
    CREATE TYPE note AS (said text, felt mood);
    CREATE TYPE moods AS RANGE (subtype = mood);
    CREATE DOMAIN age AS int;
    CREATE DOMAIN named AS text;
    CREATE TYPE pair AS (a int, b text);
    CREATE FUNCTION is_fine(text) RETURNS bool LANGUAGE plpgsql AS $$BEGIN INSERT INTO seen VALUES ($1); RETURN $1 <> 'bad'; END$$;
    CREATE TABLE seen (v text);
";

/// An incident, what was altered since, and what is said of it.
struct Case {
    /// What each row of `t (id int PRIMARY KEY, …)` has beside its id, 1 to 3.
    columns: &'static str,
    rows: &'static str,
    incident: &'static str,
    altered: &'static str,
    /// Restorable: whole, and with `partial=true`.
    restorable: [u64; 2],
    /// The first reason, and its columns.
    missing: Option<(&'static str, &'static [&'static str])>,
    /// What is there in the end, with `partial=true`; by id.
    left: &'static str,
}

const GONE: &str = "DELETE FROM t";

const CASES: &[Case] = &[
    Case {
        // Nothing is lost of a column that came since, but nothing tells that it did; and somebody may have filled it in a row that goes.
        columns: "v int",
        rows: "(1, 1), (2, 2), (3, 3)",
        incident: "DELETE FROM t WHERE id = 1; UPDATE t SET v = 9 WHERE id = 2; INSERT INTO t VALUES (4, 4)",
        altered: "ALTER TABLE t ADD w int DEFAULT 4, ADD x int",
        restorable: [2, 3],
        missing: Some(("column_not_told", &["w", "x"])),
        left: "(1,1,4,) (2,2,4,) (3,3,4,)",
    },
    Case {
        columns: "v int",
        rows: "(1, 1), (2, 2), (3, 3)",
        incident: GONE,
        altered: "ALTER TABLE t ADD w int NOT NULL",
        restorable: [0, 0],
        missing: Some(("column_not_told", &["w"])),
        left: "",
    },
    Case {
        columns: "v mood",
        rows: "(1, 'sad'), (2, 'happy'), (3, NULL)",
        incident: GONE,
        altered: "ALTER TYPE mood RENAME VALUE 'happy' TO 'joyful'",
        restorable: [2, 3],
        missing: Some(("value_not_taken", &["v"])),
        left: "(1,sad) (2,) (3,)",
    },
    Case {
        columns: "v mood, w text",
        rows: "(1, 'sad', 'a'), (2, 'joyful', 'b'), (3, 'sad', 'c')",
        incident: "UPDATE t SET v = 'so so', w = 'x' WHERE id < 3; UPDATE t SET v = 'joyful', w = 'x' WHERE id = 3",
        altered: "ALTER TYPE mood RENAME VALUE 'joyful' TO 'happy'",
        restorable: [1, 3],
        missing: Some(("value_not_taken", &["v"])),
        left: "(1,sad,a) (2,\"so so\",b) (3,happy,c)",
    },
    Case {
        // It cannot be seen whether somebody changed it.
        columns: "v mood",
        rows: "(1, 'sad'), (2, 'sad'), (3, 'sad')",
        incident: "INSERT INTO t VALUES (4, 'happy'), (5, 'sad')",
        altered: "ALTER TYPE mood RENAME VALUE 'happy' TO 'joyful'",
        restorable: [1, 1],
        missing: Some(("value_not_taken", &["v"])),
        left: "(1,sad) (2,sad) (3,sad) (4,joyful)",
    },
    Case {
        columns: "v mood[], w humour, x note, y moods",
        rows: "(1, '{sad}', 'sad', '(a,sad)', '[sad,joyful)'), (2, '{joyful}', 'joyful', '(b,joyful)', 'empty'), (3, '{}', 'sad', '(c,)', 'empty')",
        incident: GONE,
        altered: "ALTER TYPE mood RENAME VALUE 'joyful' TO 'happy'",
        restorable: [1, 3],
        missing: Some(("value_not_taken", &["v", "w", "x"])),
        left: r#"(1,{sad},sad,"(a,sad)",) (2,,,,empty) (3,{},sad,"(c,)",empty)"#,
    },
    Case {
        columns: "v varchar(50), w numeric(9,1), x text, y text",
        rows: "(1, 'short', 1.5, '7', 'long text'), (2, 'longer than 5', 20000, 'seven', ''), (3, NULL, NULL, NULL, NULL)",
        incident: GONE,
        altered: "ALTER TABLE t ALTER v TYPE varchar(5), ALTER w TYPE numeric(5,1), ALTER x TYPE int USING x::int, ALTER y TYPE varchar(20)",
        restorable: [2, 3],
        missing: Some(("value_not_taken", &["v", "w", "x"])),
        left: "(1,short,1.5,7,\"long text\") (2,,,,\"\") (3,,,,)",
    },
    Case {
        columns: "v numeric(6,3), w timestamp, x char(5), y text",
        rows: "(1, 1.5, '2026-01-01', 'a', '7'), (2, 1.125, '2026-01-01 00:00:00.5', 'b', '07'), (3, NULL, NULL, NULL, NULL)",
        incident: "DELETE FROM t WHERE id > 1; UPDATE t SET w = NULL WHERE id = 1",
        altered: "ALTER TABLE t ALTER v TYPE numeric(7,1), ALTER w TYPE timestamp(0), ALTER x TYPE char(9), ALTER y TYPE int USING y::int",
        restorable: [2, 3],
        missing: Some(("value_rewritten", &["v", "w", "x", "y"])),
        left: "(1,1.5,\"2026-01-01 00:00:00\",\"a        \",7) (2,1.1,\"2026-01-01 00:00:01\",\"b        \",7) (3,,,,)",
    },
    Case {
        columns: "v int, w int",
        rows: "(1, 1, 1), (2, NULL, 1), (3, 1, NULL)",
        incident: GONE,
        altered: "ALTER TABLE t ALTER v SET NOT NULL, ALTER w SET DEFAULT 9, ALTER w SET NOT NULL",
        restorable: [1, 2],
        missing: Some(("null_not_taken", &["v"])),
        left: "(1,1,1) (3,1,9)",
    },
    Case {
        columns: "v int, w text",
        rows: "(1, 1, 'a'), (2, -1, 'b'), (3, NULL, NULL)",
        incident: "UPDATE t SET w = 'x' WHERE id = 1; DELETE FROM t WHERE id > 1",
        altered: "ALTER TABLE t ADD CONSTRAINT \"not below\" CHECK (v >= 0 AND length(w) < 9)",
        restorable: [2, 2],
        missing: Some(("check_not_fulfilled", &["v", "w"])),
        left: "(1,1,a) (3,,)",
    },
    Case {
        columns: "v age",
        rows: "(1, 1), (2, -1), (3, NULL)",
        incident: GONE,
        altered: "ALTER DOMAIN age ADD CHECK (VALUE >= 0)",
        restorable: [2, 3],
        missing: Some(("value_not_taken", &["v"])),
        left: "(1,1) (2,) (3,)",
    },
    Case {
        columns: "v age",
        rows: "(1, 1), (2, NULL), (3, 3)",
        incident: GONE,
        altered: "ALTER DOMAIN age SET NOT NULL",
        restorable: [2, 2],
        missing: Some(("null_not_taken", &["v"])),
        left: "(1,1) (3,3)",
    },
    Case {
        columns: "v pair",
        rows: "(1, '(1,a)'), (2, NULL), (3, '(3,c)')",
        incident: GONE,
        altered: "ALTER TYPE pair ADD ATTRIBUTE c int",
        restorable: [1, 3],
        missing: Some(("value_not_taken", &["v"])),
        left: "(1,) (2,) (3,)",
    },
    Case {
        columns: "v json, w jsonb",
        rows: r#"(1, '{"a":  1}', '"x"'), (2, 'null', '[1]'), (3, '"text"', '7')"#,
        incident: GONE,
        altered: "ALTER TABLE t RENAME v TO u; ALTER TABLE t ALTER u TYPE jsonb USING u::jsonb",
        restorable: [2, 3],
        missing: Some(("value_rewritten", &["u"])),
        left: r#"(1,"{""a"": 1}","""x""") (2,null,[1]) (3,"""text""",7)"#,
    },
    Case {
        // It may have been a document, or a text that became one: then it would be another.
        columns: "v text, w json",
        rows: r#"(1, '{"a": 1}', '[1,  "b"]'), (2, '7', '{"b":  2}'), (3, NULL, '3')"#,
        incident: GONE,
        altered: "ALTER TABLE t ALTER v TYPE jsonb USING v::jsonb, ALTER w TYPE text",
        restorable: [1, 3],
        missing: Some(("value_not_taken", &["v"])),
        left: r#"(1,,"[1,  ""b""]") (2,,"{""b"":  2}") (3,,3)"#,
    },
    Case {
        columns: "v int, w text, x named",
        rows: "(1, 1, 'a', 'x'), (2, 2, 'b', 'y'), (3, 3, 'c', 'z')",
        incident: GONE,
        altered: "ALTER TABLE t RENAME v TO u; ALTER TABLE t ALTER u TYPE bigint, ALTER w TYPE varchar(9), ADD CHECK (u > 0)",
        restorable: [3, 3],
        missing: None,
        left: "(1,1,a,x) (2,2,b,y) (3,3,c,z)",
    },
];

async fn what_is_not_good_any_more_is_said_before(major: u32) -> Result<()> {
    let cluster = cluster(major).await?;
    let mut scene = Scene::set(&cluster, "altered", &format!("{TYPES} CREATE PUBLICATION pgvigil FOR ALL TABLES")).await?;
    for case in CASES {
        told_before(&mut scene, case).await.with_context(|| format!("after {}", case.altered))?;
    }
    it_is_not_asked_of_the_application(&mut scene).await
}

async fn told_before(scene: &mut Scene, case: &Case) -> Result<()> {
    let Case { columns, rows, incident, altered, restorable, missing, left } = case;
    let schema = format!(
        "CREATE TABLE t (id int PRIMARY KEY, {columns}); ALTER TABLE t REPLICA IDENTITY FULL; INSERT INTO t VALUES {rows}"
    );
    scene.database.run(&schema).await?;
    let tx = scene.transaction(incident).await?;
    scene.database.run(altered).await?;
    let mut reached = [0, 0];
    for (partial, reached) in [false, true].into_iter().zip(&mut reached) {
        let answer = scene.pgvigil.json(&format!("/api/v1/transactions/{tx}/undo?partial={partial}")).await?;
        let coverage = &answer["coverage"];
        ensure!(coverage["complete"] == missing.is_none() && coverage["warnings"] == json!([]), "{coverage}");
        let told = &coverage["tables"][0]["missing"][0];
        match missing {
            Some((reason, columns)) => ensure!(told["reason"] == *reason && told["columns"] == json!(columns), "{coverage}"),
            None => ensure!(told.is_null(), "{coverage}"),
        }
        *reached = coverage["restorable"].as_u64().context("restorable")?;
        scene.database.run("BEGIN").await?;
        let sql = answer["sql"]
            .as_str()
            .context("sql")?
            .replace("BEGIN ISOLATION LEVEL REPEATABLE READ READ WRITE;", "")
            .replace("\nCOMMIT;", "");
        let done = scene.run(&sql).await?;
        ensure!(done.iter().map(|done| done.done + done.altered).sum::<i64>().cast_unsigned() == *reached, "{done:?}");
        let now: Option<String> = scene.database.value("SELECT string_agg(t::text, ' ' ORDER BY id) FROM t").await?;
        scene.database.run("ROLLBACK").await?;
        ensure!(!partial || now.as_deref().unwrap_or_default() == *left, "{now:?}");
    }
    ensure!(reached == *restorable, "{reached:?}");
    scene.database.run("DROP TABLE t").await
}

/// What an ordinary user wrote is run by whoever applies it, and by nobody else; it is said that it is not known, and so is what was refused.
async fn it_is_not_asked_of_the_application(scene: &mut Scene) -> Result<()> {
    scene.database.run("CREATE TABLE t (id int PRIMARY KEY, v named); ALTER TABLE t REPLICA IDENTITY FULL; INSERT INTO t VALUES (1, 'good'), (2, 'bad')").await?;
    let tx = scene.transaction("DELETE FROM t").await?;
    scene
        .database
        .run("ALTER DOMAIN named ADD CHECK (is_fine(VALUE)); ALTER TABLE t ADD CONSTRAINT fine CHECK (is_fine(v)), ADD CHECK (v <> 'x')")
        .await?;
    let coverage = scene.pgvigil.json(&format!("/api/v1/undo?tx={tx}&key=v=bad")).await?["coverage"].clone();
    let warnings = coverage["warnings"].as_array().context("warnings")?;
    ensure!(coverage["complete"] == false && warnings.len() == 3 && coverage["rows"] == 1, "{coverage}");
    ensure!(scene.database.count("seen").await? == 0, "a function of the application ran");
    let (code, shown, said) = command(scene, &scene.url, &["--tx", &tx, "--apply", "--yes"]).await?;
    ensure!(
        code == 1 && shown.contains("functions of the application") && said.contains("nothing was changed"),
        "{code} {shown} {said}"
    );
    ensure!(said.contains("type public.named") && said.contains("--key say which"), "{said}");
    ensure!(scene.database.count("t").await? == 0);
    // As it says: the row that is fine comes alone.
    let (code, shown, said) = command(scene, &scene.url, &["--tx", &tx, "--apply", "--yes", "--key", "id=1"]).await?;
    ensure!(code == 7 && shown.ends_with("Done.\n") && said.contains("not certain"), "{code} {shown} {said}");
    ensure!(scene.database.count("t").await? == 1);
    scene.database.run("DROP TABLE t").await
}

/// A row with generated columns, deleted.
struct Generated {
    /// Behind the id.
    columns: &'static str,
    values: &'static str,
    altered: &'static str,
    /// What it is in the end.
    row: &'static str,
    /// Columns that came since.
    came: &'static [&'static str],
}

const GENERATED: &[Generated] = &[
    Generated {
        columns: "a text, up text GENERATED ALWAYS AS (upper(a)) STORED, ts date",
        values: "'x', DEFAULT, '2026-01-01'",
        altered: "ALTER TABLE t RENAME a TO b",
        row: "(1,x,X,2026-01-01)",
        came: &[],
    },
    Generated {
        columns: "up int GENERATED ALWAYS AS (id * 2) STORED, a text, c text",
        values: "DEFAULT, 'x', 'y'",
        altered: "ALTER TABLE t RENAME a TO b; ALTER TABLE t RENAME c TO a",
        row: "(1,2,x,y)",
        came: &[],
    },
    Generated {
        columns: "a text, c int, up int GENERATED ALWAYS AS (id * 2) STORED",
        values: "'x', 3, DEFAULT",
        altered: "ALTER TABLE t RENAME a TO b; ALTER TABLE t RENAME c TO d",
        row: "(1,x,3,2)",
        came: &[],
    },
    Generated {
        columns: "a text, up int GENERATED ALWAYS AS (id * 2) STORED, c text",
        values: "'x', DEFAULT, 'y'",
        altered: "ALTER TABLE t RENAME up TO twice; ALTER TABLE t ADD d int DEFAULT 4",
        row: "(1,x,2,y,4)",
        came: &["d"],
    },
    Generated {
        columns: "a text, up int GENERATED ALWAYS AS (id * 2) STORED, c text",
        values: "'x', DEFAULT, 'y'",
        altered: "ALTER TABLE t RENAME a TO c2; ALTER TABLE t DROP up; ALTER TABLE t ADD d int",
        row: "(1,x,y,)",
        came: &["d"],
    },
    Generated {
        columns: "a text, up int GENERATED ALWAYS AS (id * 2) STORED, c text, d text",
        values: "'x', DEFAULT, 'y', 'z'",
        altered: "ALTER TABLE t RENAME a TO b; ALTER TABLE t ADD e int GENERATED ALWAYS AS (id) STORED; ALTER TABLE t ADD f int",
        row: "(1,x,2,y,z,1,)",
        came: &["f"],
    },
];

async fn generated_columns_are_no_places_for_others(major: u32) -> Result<()> {
    let cluster = cluster(major).await?;
    // Or DELETE would fail.
    let options = if major >= 18 { "WITH (publish_generated_columns = stored)" } else { "" };
    for (name, told) in [("told", DDL_MESSAGES), ("untold", "")] {
        let mut scene =
            Scene::set(&cluster, name, &format!("{told}; CREATE PUBLICATION pgvigil FOR ALL TABLES {options}")).await?;
        for Generated { columns, values, altered, row, came } in GENERATED {
            let case = async {
                scene.database.run(&format!("CREATE TABLE t (id int PRIMARY KEY, {columns}); ALTER TABLE t REPLICA IDENTITY FULL; INSERT INTO t VALUES (1, {values})")).await?;
                let tx = scene.transaction("DELETE FROM t").await?;
                scene.database.run(altered).await?;
                scene.told_all().await?;
                let answer = scene.pgvigil.json(&format!("/api/v1/transactions/{tx}/undo?partial=true")).await?;
                let coverage = &answer["coverage"];
                // Where it was published and is no more, it is missed.
                let gone: &[&str] = if major >= 18 && altered.contains("DROP up") { &["up"] } else { &[] };
                let missing = coverage["tables"][0]["missing"].as_array().context("missing")?;
                let missing: Vec<_> = missing.iter().flat_map(|missing| missing["columns"].as_array()).flatten().collect();
                ensure!(coverage["restorable"] == 1 && missing == [gone, *came].concat(), "{coverage}");
                scene.run(answer["sql"].as_str().context("sql")?).await?;
                let found: String = scene.database.value("SELECT t::text FROM t").await?;
                ensure!(found == *row, "{found}");
                scene.database.run("DROP TABLE t").await
            };
            case.await.with_context(|| format!("{name}: {columns}; {altered}"))?;
        }
    }
    Ok(())
}

async fn what_was_generated_and_not_told_is_missed(major: u32) -> Result<()> {
    let cluster = cluster(major).await?;
    let options = if major >= 18 { "WITH (publish_generated_columns = stored)" } else { "" };
    for (name, told) in [("dropped_told", DDL_MESSAGES), ("dropped_untold", "")] {
        let mut scene =
            Scene::set(&cluster, name, &format!("{told}; CREATE PUBLICATION pgvigil FOR ALL TABLES {options}")).await?;
        scene.database.run("CREATE TABLE t (id int PRIMARY KEY, a text, up text GENERATED ALWAYS AS (upper(a)) STORED); ALTER TABLE t REPLICA IDENTITY FULL; INSERT INTO t VALUES (1, 'x'), (2, 'y'), (3, 'z')").await?;
        let tx = scene.transaction("DELETE FROM t WHERE id = 1; UPDATE t SET a = 'other' WHERE id = 2").await?;
        scene.database.run("ALTER TABLE t ALTER up DROP EXPRESSION").await?;
        scene.told_all().await?;
        let answer = scene.undo(&tx).await?;
        let coverage = &answer["coverage"];
        let missing = &coverage["tables"][0]["missing"];
        let (expected, found) = match major {
            18.. => (json!([]), "(1,x,X) (2,y,Y) (3,z,Z)"),
            _ => (json!([["column_not_told", 2, ["up"], true]]), "(1,x,) (2,y,OTHER) (3,z,Z)"),
        };
        let of = |missing: &Value| ["reason", "rows", "columns", "partial"].map(|name| missing[name].clone());
        let told: Vec<_> = missing.as_array().context("missing")?.iter().map(of).collect();
        ensure!(coverage["restorable"] == 2 && json!(told) == expected, "{name}: {coverage}");
        ensure!(coverage["complete"] == (major >= 18), "{name}: {coverage}");
        scene.run(answer["sql"].as_str().context("sql")?).await?;
        let now: String = scene.database.value("SELECT string_agg(t::text, ' ' ORDER BY id) FROM t").await?;
        ensure!(now == found, "{name}: {now}");
    }
    Ok(())
}
