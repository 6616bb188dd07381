//! Undo of a part, and where not all is known: what is asked for, what cannot be had, and how that is said.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::conflicts::{shop, undo, undo_partly};
use crate::support::{DDL_MESSAGES, Database, PATIENCE, Pgvigil, a_major, cluster, wait_for};
use crate::undone::{Scene, same};

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_is_an_error_that_says_what_is() -> Result<()> {
    let (_cluster, scene) = shop().await?;
    scene.database.run("CREATE UNLOGGED TABLE aside (id int)").await?;
    wait_for("the table to be listed", PATIENCE, async || {
        let tables = scene.pgvigil.json("/api/v1/tables").await?;
        Ok(tables.to_string().contains("aside").then_some(()))
    })
    .await?;
    let from = scene.position().await?;
    let tx = scene.transaction(r#"DELETE FROM "User" WHERE id = 1"#).await?;
    let until = scene.position().await?;
    scene.transaction("DELETE FROM by_key").await?;
    for (query, status, said) in [
        (format!("tx={tx}&table=user"), 404, r#"There is no table public.user. Is it public."User"?"#),
        (
            format!("tx={tx}&table=sales.bill"),
            404,
            r#"There are public."Order", public."User", public.aside, public.by_key, public.strict_by_key."#,
        ),
        (format!("since={from}&until={until}&table=by_key"), 404, "No change of public.by_key is known (from "),
        (
            format!("since={from}&until={until}&table=by_key"),
            404,
            r#"What was changed: public."Order", public."User". The history reaches back to 20"#,
        ),
        (
            format!("tx={tx}&key=idd=1"),
            400,
            r#"key: there is no column idd. public."User" has id, email, name; public."Order" has id, user, total."#,
        ),
        (format!("tx={tx}&table=User&key=id=one"), 400, r#"key: id cannot be "one": invalid input syntax for type integer"#),
        (format!("tx={tx}&table=User&key=id=7"), 404, r#"Nothing is found in the one change of public."User" (transaction "#),
        (format!("since={}", scene.position().await?), 404, "No change is known (from "),
        (format!("since={from}&table=User&key=id=7"), 404, "to now, rows with id=7). The history reaches back to 20"),
        ("since=2999-01-01T00:00:00Z".to_owned(), 400, "since: 2999-01-01T00:00:00.000000Z has not come yet."),
        (format!("since={until}&until={from}"), 400, "until: this is not behind since."),
        (format!("since={from}&table=aside"), 404, "public.aside is not watched: unlogged: its changes are not in the log"),
    ] {
        let answer = scene.pgvigil.get(&format!("/api/v1/undo?{query}")).await?;
        let (found, text) = (answer.status(), answer.text().await?);
        let problem: Value = serde_json::from_str(&text)?;
        ensure!(
            found == status && problem["detail"].as_str().is_some_and(|detail| detail.contains(said)),
            "{query}: {found} {text}"
        );
    }
    // However a value is written, its type reads it.
    let answer = scene.pgvigil.json(&format!("/api/v1/undo?tx={tx}&key=total=%205.50")).await?;
    ensure!(answer["coverage"]["rows"] == 1 && answer["coverage"]["tables"][0]["name"] == "Order", "{answer}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn its_coverage_alone_leaves_out_the_sql() -> Result<()> {
    let (_cluster, scene) = shop().await?;
    let tx = scene.transaction(r#"DELETE FROM "User""#).await?;
    let whole = scene.undo(&tx).await?;
    let only = scene.pgvigil.json(&format!("/api/v1/transactions/{tx}/undo?coverage=only")).await?;
    ensure!(
        only["coverage"] == whole["coverage"] && only["cascades"] == whole["cascades"] && only.get("sql").is_none(),
        "{only}"
    );
    ensure!(whole["sql"].is_string(), "{whole}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_known_by_their_key_only_come_back_on_request() -> Result<()> {
    let (_cluster, mut scene) = shop().await?;
    let tx = scene
        .transaction(
            "DELETE FROM by_key WHERE id < 3; DELETE FROM strict_by_key WHERE id = 1; UPDATE by_key SET v = 'X' WHERE id = 4",
        )
        .await?;
    let (effects, coverage) = undo(&mut scene, &tx).await?;
    ensure!(effects == json!({}) && coverage["restorable"] == 0 && coverage["rows"] == 4, "{effects} {coverage}");
    let missing = &coverage["tables"][0]["missing"][0];
    ensure!(missing["reason"] == "old_row_incomplete" && missing["rows"] == 3 && missing["columns"] == json!(["v"]), "{missing}");

    let answer = scene.pgvigil.json(&format!("/api/v1/transactions/{tx}/undo?partial=true")).await?;
    // A column that must have a value stands in the way all the same.
    ensure!(answer["coverage"]["restorable"] == 2 && answer["coverage"]["complete"] == false, "{answer}");
    scene.run(answer["sql"].as_str().context("sql")?).await?;
    let rows: String = scene.database.value("SELECT string_agg(b::text, ' ' ORDER BY id) FROM by_key b").await?;
    ensure!(rows == "(1,) (2,) (3,v3) (4,X) (5,v5)", "{rows}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_truncate_took_is_said() -> Result<()> {
    let (_cluster, mut scene) = shop().await?;
    scene.pgvigil.wait_for_count("public.Order", 10).await?;
    // What was touched before in the same transaction is known all the same.
    let tx = scene
        .transaction(r#"UPDATE "Order" SET total = 0 WHERE id <= 2; INSERT INTO "Order" VALUES (11, 1, 1); TRUNCATE "Order""#)
        .await?;
    let (effects, coverage) = undo(&mut scene, &tx).await?;
    ensure!(effects == json!({"public.Order": [2, 2, 0, 0]}), "{effects}");
    ensure!(coverage["tables"][0]["truncated"] == 8, "{coverage}");
    let missing = &coverage["tables"][0]["missing"];
    ensure!(missing[0]["reason"] == "truncated" && missing[0]["rows"] == 8 && coverage["complete"] == false, "{coverage}");
    ensure!(coverage["rows"] == 10 && coverage["restorable"] == 2, "{coverage}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_and_columns_that_changed_since_are_followed_or_said() -> Result<()> {
    let (_cluster, mut scene) = shop().await?;
    let tx =
        scene.transaction(r#"DELETE FROM "Order" WHERE id < 4; DELETE FROM "User" WHERE id = 1; DELETE FROM by_key"#).await?;
    scene
        .database
        .run(
            r#"CREATE SCHEMA sales; ALTER TABLE "Order" SET SCHEMA sales; ALTER TABLE sales."Order" RENAME TO "Bill";
                ALTER TABLE sales."Bill" ADD paid bool NOT NULL DEFAULT false; ALTER TABLE "User" DROP name; DROP TABLE by_key"#,
        )
        .await?;
    let reasons = |coverage: &Value| -> Vec<Vec<Value>> {
        let of =
            |table: &Value| table["missing"].as_array().into_iter().flatten().map(|missing| missing["reason"].clone()).collect();
        coverage["tables"].as_array().into_iter().flatten().map(of).collect()
    };
    // The user would come without his name, and so does not come; and neither do his orders.
    let (effects, coverage) = undo(&mut scene, &tx).await?;
    ensure!(effects == json!({"sales.Bill": [3, 3, 0, 0]}) && coverage["restorable"] == 3, "{effects} {coverage}");
    ensure!(
        reasons(&coverage) == [vec!["column_not_told", "reference_stays_away"], vec!["column_gone"], vec!["table_gone"]],
        "{coverage}"
    );
    scene.told_all().await?;
    let (effects, coverage) = undo_partly(&mut scene, &tx).await?;
    ensure!(effects == json!({"public.User": [1, 1, 0, 0], "sales.Bill": [5, 2, 3, 0]}), "{effects}");
    ensure!(reasons(&coverage) == [["column_not_told"], ["column_gone"], ["table_gone"]], "{coverage}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_column_that_was_renamed_since_is_followed() -> Result<()> {
    let (_cluster, mut scene) = shop().await?;
    scene.database.run(r#"ALTER TABLE "User" ADD a int DEFAULT 7, ADD last int DEFAULT 8"#).await?;
    let tx = scene.transaction(r#"DELETE FROM "User" WHERE id = 1; UPDATE "User" SET name = 'X' WHERE id = 2"#).await?;
    scene
        .database
        .run(
            r#"ALTER TABLE "User" RENAME name TO "Full name"; ALTER TABLE "User" DROP last; ALTER TABLE "User" ADD b int DEFAULT 9"#,
        )
        .await?;
    let (effects, coverage) = undo_partly(&mut scene, &tx).await?;
    ensure!(effects["public.User"] == json!([2, 2, 0, 0]), "{effects}");
    let told = &coverage["tables"][0];
    ensure!(told["renamed"] == json!({"name": "Full name"}) && told["missing"][0]["columns"] == json!(["last"]), "{coverage}");
    let rows: String = scene.database.value(r#"SELECT string_agg(u::text, ' ' ORDER BY id) FROM "User" u WHERE id < 3"#).await?;
    ensure!(rows == "(1,user1,\"name 1\",7,9) (2,user2,\"name 2\",7,9)", "{rows}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn columns_that_were_renamed_and_dropped_side_by_side_are_told_apart() -> Result<()> {
    let (_cluster, mut scene) = shop().await?;
    scene.database.run("CREATE TABLE many (id int PRIMARY KEY, a int, b int, c int, z int); ALTER TABLE many REPLICA IDENTITY FULL; INSERT INTO many VALUES (1, 2, 3, 4, 5), (2, 2, 3, 4, 5)").await?;
    let tx = scene.transaction("DELETE FROM many WHERE id = 1").await?;
    // One takes the name of another, and what was between them is no more.
    let altered =
        "ALTER TABLE many DROP b; ALTER TABLE many RENAME a TO x; ALTER TABLE many RENAME c TO a; ALTER TABLE many RENAME z TO c;
                   ALTER TABLE many ADD b int DEFAULT 9";
    scene.database.run(altered).await?;
    let (_, coverage) = undo(&mut scene, &tx).await?;
    // x is what a was. Of the rest it can only be said that it is no more: what is called so now is something else.
    let missing = &coverage["tables"][0]["missing"][0];
    ensure!(coverage["restorable"] == 0 && missing["columns"] == json!(["b", "c", "z"]), "{coverage}");
    scene.told_all().await?;
    let (effects, _) = undo_partly(&mut scene, &tx).await?;
    ensure!(effects == json!({"public.many": [1, 1, 0, 0]}), "{effects}");
    let row: String = scene.database.value("SELECT row_to_json(m)::text FROM many m WHERE id = 1").await?;
    ensure!(row == r#"{"id":1,"x":2,"a":null,"c":null,"b":9}"#, "{row}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_transaction_that_is_kept_in_part_its_changes_are_counted_and_nothing_else() -> Result<()> {
    let cluster = cluster(a_major()).await?;
    let database = Database::create(&cluster, "large").await?;
    let schema = "CREATE TABLE large (id int PRIMARY KEY, v text); ALTER TABLE large REPLICA IDENTITY FULL;
                  CREATE PUBLICATION pgvigil FOR ALL TABLES; INSERT INTO large SELECT i, repeat('x', 500) FROM generate_series(1, 5000) i";
    database.run(&format!("{DDL_MESSAGES} {schema}")).await?;
    let url = cluster.url("large");
    let pgvigil = Pgvigil::serve(&url, &["--history-memory", "1MiB"]).await?;
    pgvigil.wait_for_state("live").await?;
    let scene = Scene { database, pgvigil, url };
    let tx = scene
        .transaction("ALTER TABLE large ADD a int; ALTER TABLE large DROP a; CREATE TABLE aside (); DELETE FROM large")
        .await?;
    let coverage = scene.undo(&tx).await?["coverage"].clone();
    let (rows, lost) = (coverage["rows"].as_u64().context("rows")?, coverage["lost"].as_u64().context("lost")?);
    ensure!(rows > 0 && lost > 0 && rows + lost == 5000 && coverage["complete"] == false, "{coverage}");
    ensure!(coverage["warnings"][0] == format!("{lost} changes of what is to be undone are not kept any more."), "{coverage}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_range_a_table_and_a_row_are_undone_alone() -> Result<()> {
    let (_cluster, mut scene) = shop().await?;
    let before = scene.contents(None).await?;
    let position: String = scene.database.value("SELECT pg_current_wal_insert_lsn()::text").await?;
    scene
        .transaction(r#"UPDATE "User" SET id = id + 100, name = 'X' WHERE id = 4; INSERT INTO "User" VALUES (6, 'user6', 'six')"#)
        .await?;
    scene.transaction(r#"UPDATE "User" SET email = 'moved' WHERE id = 104; DELETE FROM "Order""#).await?;
    let tx = scene.transaction(r#"DELETE FROM "User" WHERE id = 6; UPDATE "User" SET name = 'Y' WHERE id = 104"#).await?;
    let one = scene.pgvigil.json(&format!("/api/v1/undo?since={position}&table=User&key=id=4")).await?;
    ensure!(
        one["coverage"]["rows"] == 1 && one["coverage"]["tables"].as_array().is_some_and(|tables| tables.len() == 1),
        "{one}"
    );
    scene.run(one["sql"].as_str().context("sql")?).await?;
    let row: String = scene.database.value(r#"SELECT u::text FROM "User" u WHERE id = 4"#).await?;
    ensure!(row == "(4,user4,\"name 4\")", "{row}");

    let all = scene
        .pgvigil
        .get(&format!("/api/v1/undo?since={position}&until={}", tx.split_once('-').context("tx")?.1.replace('-', "/")))
        .await?;
    ensure!(all.status().is_success(), "{}", all.text().await?);
    let rest = scene.pgvigil.json(&format!("/api/v1/undo?since={position}")).await?;
    // What came and went within the range was never there; and what was undone came to nothing.
    scene.run(rest["sql"].as_str().context("sql")?).await?;
    same(&scene.contents(None).await?, &before)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_went_by_a_cascade_is_told_under_its_parent() -> Result<()> {
    let (_cluster, scene) = shop().await?;
    let tx = scene.transaction(r#"DELETE FROM "Order" WHERE id = 5; DELETE FROM "User" WHERE id IN (1, 2)"#).await?;
    let answer = scene.undo(&tx).await?;
    let cascades = answer["cascades"].as_array().context("cascades")?;
    let events = scene.pgvigil.json(&format!("/api/v1/transactions/{tx}")).await?;
    let user = |id: &Value| {
        events["events"].as_array().into_iter().flatten().find(|event| event["id"] == *id).map(|event| event["key"]["id"].clone())
    };
    let told: Vec<_> =
        cascades.iter().map(|cascade| (user(&cascade["parent"]), cascade["rows"].as_array().map(Vec::len))).collect();
    // The order that was deleted before belongs to nobody's cascade.
    ensure!(told == [(Some(json!(1)), Some(1)), (Some(json!(2)), Some(2))], "{told:?} {cascades:?}");
    ensure!(cascades[0]["foreign_key"] == "Order_user_fkey" && cascades[0]["table"] == "Order", "{cascades:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn triggers_that_fire_are_named() -> Result<()> {
    let (_cluster, scene) = shop().await?;
    scene
        .database
        .run(r#"CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN new; END';
                CREATE TRIGGER "on change" BEFORE INSERT OR UPDATE ON "User" FOR EACH ROW EXECUTE FUNCTION touch();
                CREATE TRIGGER off AFTER INSERT ON "User" FOR EACH ROW EXECUTE FUNCTION touch(); ALTER TABLE "User" DISABLE TRIGGER off"#)
        .await?;
    let tx = scene.transaction(r#"DELETE FROM "User" WHERE id = 1"#).await?;
    let answer = scene.undo(&tx).await?;
    ensure!(answer["coverage"]["tables"][0]["triggers"] == json!(["on change"]), "{answer}");
    ensure!(
        answer["sql"].as_str().is_some_and(|sql| sql.contains("-- ") && sql.contains(r#"its triggers fire: "on change""#)),
        "{answer}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_for_sql_gets_sql_and_who_asks_wrongly_is_told() -> Result<()> {
    let (_cluster, scene) = shop().await?;
    let tx = scene.transaction(r#"DELETE FROM "User" WHERE id = 1"#).await?;
    let url = format!("{}/api/v1/transactions/{tx}/undo", scene.pgvigil.origin());
    let client = reqwest::Client::builder().no_proxy().build()?;
    let answer = client.get(&url).header("accept", "application/sql").send().await?;
    let kind = answer.headers()["content-type"].to_str()?.to_owned();
    let (kept, text) = (answer.headers()["cache-control"].to_str()?.to_owned(), answer.text().await?);
    ensure!(kind.starts_with("application/sql") && kept == "no-store", "{kind} {kept}");
    ensure!(Some(text.as_str()) == scene.undo(&tx).await?["sql"].as_str(), "{text}");
    for (path, status) in [
        ("/api/v1/transactions/k3-0-1/undo", 404),
        ("/api/v1/transactions/x/undo", 400),
        ("/api/v1/undo", 400),
        ("/api/v1/undo?until=0/1", 400),
    ] {
        let answer = scene.pgvigil.get(path).await?;
        ensure!(answer.status() == status, "{path}: {}", answer.status());
    }
    Ok(())
}
