//! The circumstances under which rows are changed.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::scene::{Scene, url_of};
use crate::support::{self, Database, Pgvigil, a_major, set_up};

support::on_every_major!(whoever_deletes_is_told, whoever_else_goes_on_is_told, tables_to_come_are_seen_to);

async fn whoever_deletes_is_told(major: u32) -> Result<()> {
    let mut scene = Scene::set(major, "").await?;
    // Not even the right to write messages is needed, nor is any on the schema.
    scene
        .database
        .run(
            "DO $$ DECLARE f regprocedure; BEGIN FOR f IN SELECT oid FROM pg_proc WHERE proname = 'pg_logical_emit_message' \
             LOOP EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', f); END LOOP; END $$",
        )
        .await?;
    ensure!(!scene.ann.value::<bool>("SELECT has_schema_privilege('pgvigil', 'USAGE')").await?);

    let told = scene.is_told("DELETE FROM item WHERE id = 1", "DELETE FROM item WHERE id = 1").await?;
    let pid: i32 = scene.ann.value("SELECT pg_backend_pid()").await?;
    let expected = json!({"session_user": "ann", "current_user": "ann", "application_name": "the shop", "client_addr": "127.0.0.1",
                          "pid": pid, "query": "DELETE FROM item WHERE id = 1", "source": "trigger"});
    ensure!(Scene::commit(&told)?["tx"]["actor"] == expected, "{told:#?}");
    ensure!(Scene::changes(&told, "delete")?.len() == 2, "the cascade, into another's table: {told:#?}");

    // What came before in the transaction is by the same connection, by whichever statement.
    scene.ann.run("BEGIN").await?;
    scene.ann.run("INSERT INTO item VALUES (1001)").await?;
    scene.ann.run("DELETE FROM item WHERE id = 1001").await?;
    scene.ann.run("UPDATE item SET note = 'new' WHERE id = 2").await?;
    scene.is_told("COMMIT", "DELETE FROM item WHERE id = 1001").await?;

    for level in ["REPEATABLE READ", "SERIALIZABLE"] {
        scene.ann.run(&format!("BEGIN ISOLATION LEVEL {level}")).await?;
        scene.ann.run("DELETE FROM item WHERE id IN (SELECT min(id) FROM item)").await?;
        scene.is_told("COMMIT", "DELETE FROM item WHERE id IN (SELECT min(id) FROM item)").await?;
    }

    // A message goes with its savepoint, and so does the note that it was sent.
    for statement in
        ["BEGIN", "DELETE FROM item WHERE id = 10", "SAVEPOINT a", "DELETE FROM item WHERE id = 11", "ROLLBACK TO a", "COMMIT"]
    {
        scene.ann.run(statement).await?;
    }
    Scene::is_by(&scene.told().await?, "ann", "DELETE FROM item WHERE id = 10")?;
    for statement in ["BEGIN", "SAVEPOINT a", "DELETE FROM item WHERE id = 11", "ROLLBACK TO a", "DELETE FROM item WHERE id = 12"]
    {
        scene.ann.run(statement).await?;
    }
    scene.is_told("COMMIT", "DELETE FROM item WHERE id = 12").await?;
    let caught = "DO $$ BEGIN BEGIN DELETE FROM item WHERE id = 13; RAISE 'no'; EXCEPTION WHEN OTHERS THEN NULL; END; \
                  DELETE FROM item WHERE id = 14; END $$";
    let told = scene.is_told(caught, caught).await?;
    ensure!(Scene::changes(&told, "delete")?.len() == 2, "{told:#?}");

    // What is told last in one sub-transaction and done first in the next has one position, and the server may send the latter first.
    for statement in ["BEGIN", "DELETE FROM item WHERE id = 40", "SAVEPOINT a", "DELETE FROM item WHERE false", "RELEASE a"] {
        scene.ann.run(statement).await?;
    }
    let told = scene.by_ann("DELETE FROM item WHERE id = 41; COMMIT").await?;
    let by: Vec<_> = Scene::changes(&told, "delete")?.iter().map(|delete| &delete["tx"]["actor"]["query"]).collect();
    let expected = ["DELETE FROM item WHERE id = 40", "DELETE FROM item WHERE id = 41; COMMIT"];
    ensure!(by.len() == 4 && expected.iter().all(|query| by.iter().filter(|by| **by == query).count() == 2), "{told:#?}");

    for statement in ["BEGIN", "DELETE FROM item WHERE id = 15", "PREPARE TRANSACTION 'one'"] {
        scene.ann.run(statement).await?;
    }
    scene.is_told("COMMIT PREPARED 'one'", "DELETE FROM item WHERE id = 15").await?;

    for statement in ["SET ROLE clerk", "DELETE FROM item WHERE id = 16", "RESET ROLE"] {
        scene.ann.run(statement).await?;
    }
    let told = scene.told().await?;
    Scene::is_by(&told, "ann", "DELETE FROM item WHERE id = 16")?;
    ensure!(Scene::commit(&told)?["tx"]["actor"]["current_user"] == "clerk", "{told:#?}");

    scene.is_told("DELETE FROM tree WHERE id = 1", "DELETE FROM tree WHERE id = 1").await?;
    scene.is_told("DELETE FROM branch WHERE id = 2", "DELETE FROM branch WHERE id = 2").await?;
    scene.is_told("DELETE FROM leaf WHERE id = 3", "DELETE FROM leaf WHERE id = 3").await?;
    scene.is_told("TRUNCATE leaf", "TRUNCATE leaf").await?;
    // What an UPDATE takes to another partition is deleted from the one where it was.
    scene
        .database
        .run("CREATE TABLE sprout PARTITION OF tree FOR VALUES FROM (100) TO (110); INSERT INTO leaf VALUES (6); GRANT ALL ON sprout TO ann")
        .await?;
    scene.told().await?;
    let moves = "UPDATE tree SET id = 106 WHERE id = 6";
    for statement in ["BEGIN", moves, "DELETE FROM item WHERE id = 19", "COMMIT"] {
        scene.ann.run(statement).await?;
    }
    let told = scene.told().await?;
    let by = |table| Scene::changes(&told, "delete").ok()?.into_iter().find(|delete| delete["table"] == table).cloned();
    let [leaf, item] = ["leaf", "item"].map(|table| by(table).unwrap_or_default()["tx"]["actor"]["query"].clone());
    ensure!(leaf == moves && item == "DELETE FROM item WHERE id = 19", "{leaf} {item}");

    // Nothing was changed: nothing is told.
    ensure!(scene.by_ann("DELETE FROM item WHERE id = -1").await?.is_empty());
    scene.ann.run("BEGIN READ ONLY; SELECT count(*) FROM item; COMMIT").await?;

    let replica = "SET session_replication_role = replica";
    scene.database.run(replica).await?;
    scene.database.run("DELETE FROM part WHERE id = 20").await?;
    let told = scene.told().await?;
    scene.database.run("RESET session_replication_role").await?;
    Scene::is_by(&told, "postgres", "DELETE FROM part WHERE id = 20")?;

    // A text of some megabytes, a session that has settings of these names, and one that hides what is called as in ours.
    let long = format!("DELETE /*{}*/ FROM item WHERE id = 21", "x".repeat(8 << 20));
    let told = scene.by_ann(&long).await?;
    ensure!(Scene::commit(&told)?["tx"]["actor"]["query"] == long[..500], "{told:#?}");
    ensure!(Scene::changes(&told, "delete")?[0]["tx"]["actor"]["query"] == format!("{}…", &long[..160]), "{told:#?}");
    for statement in
        ["SET pgvigil.told = 'anything at all'; SET pgvigil.told_as = ''", "CREATE SCHEMA IF NOT EXISTS of_ann AUTHORIZATION ann"]
    {
        let who = if statement.starts_with("CREATE") { &scene.database } else { &scene.ann };
        who.run(statement).await?;
    }
    scene
        .ann
        .run(
            "SET search_path = of_ann, pg_catalog, public; SET standard_conforming_strings = off; SET plan_cache_mode = force_generic_plan; \
             CREATE FUNCTION split_part(text, text, int) RETURNS text LANGUAGE plpgsql AS $$ BEGIN RAISE 'hidden'; END $$",
        )
        .await?;
    scene.told().await?;
    scene.is_told("DELETE FROM item WHERE id = 22", "DELETE FROM item WHERE id = 22").await?;

    // The table that the statement names has no key and is left out, but not the one that inherits from it.
    let heirs = "CREATE TABLE elder (id int); CREATE TABLE heir (PRIMARY KEY (id)) INHERITS (elder); INSERT INTO heir VALUES (1); \
                 GRANT ALL ON elder, heir TO ann";
    scene.database.run(heirs).await?;
    set_up(&mut scene.database, "--apply --leave-out").await.1?;
    scene.told().await?;
    scene.is_told("DELETE FROM elder", "DELETE FROM elder").await?;
    Ok(())
}

/// Who deleted which parts, in the order in which they were.
fn who_deleted(told: &[Value]) -> Result<Vec<(Value, Value)>> {
    let parts = Scene::changes(told, "delete")?.into_iter().filter(|change| change["table"] == "part");
    Ok(parts.map(|change| (change["key"]["id"].clone(), change["tx"]["actor"]["current_user"].clone())).collect())
}

/// Within one transaction, also by one and the same text.
async fn whoever_else_goes_on_is_told(major: u32) -> Result<()> {
    let mut scene = Scene::set(major, "").await?;
    scene.database.run("ALTER ROLE clerk LOGIN").await?;
    let in_one_message = "BEGIN; SET LOCAL ROLE clerk; DELETE FROM part WHERE id = 1; SET LOCAL ROLE ann; \
                          DELETE FROM part WHERE id = 2; RESET ROLE; DELETE FROM part WHERE id = 3; COMMIT";
    let told = scene.is_told(in_one_message, in_one_message).await?;
    let expected = [(json!(1), json!("clerk")), (json!(2), json!("ann")), (json!(3), json!("ann"))];
    ensure!(who_deleted(&told)? == expected, "{told:#?}");

    let in_a_block = "DO $$ BEGIN SET LOCAL ROLE clerk; DELETE FROM part WHERE id = 4; RESET ROLE; DELETE FROM part WHERE id = 5; \
                      DELETE FROM part WHERE id = 6; END $$";
    let told = scene.is_told(in_a_block, in_a_block).await?;
    let expected = [(4, "clerk"), (5, "ann"), (6, "ann")].map(|(id, who)| (json!(id), json!(who)));
    ensure!(who_deleted(&told)? == expected, "{told:#?}");
    ensure!(told.iter().filter(|event| event["type"] == "message").count() == 2, "once for each: {told:#?}");

    // What foreign keys take along is no other statement.
    let with_parts =
        "BEGIN; SET LOCAL ROLE clerk; DELETE FROM item WHERE id = 50; RESET ROLE; DELETE FROM item WHERE id = 51; COMMIT";
    let told = scene.is_told(with_parts, with_parts).await?;
    ensure!(who_deleted(&told)? == [(json!(50), json!("clerk")), (json!(51), json!("ann"))], "{told:#?}");

    // What is done again by the same is not told again, but up to where it went is told by whoever comes next: also where another alters
    // something in between, and where part of it is taken back.
    let again = "BEGIN; SET LOCAL ROLE clerk; DELETE FROM part WHERE id = 7; DELETE FROM part WHERE id = 8; RESET ROLE; \
                 ALTER TABLE part ADD COLUMN IF NOT EXISTS note text; SET LOCAL ROLE clerk; DELETE FROM part WHERE id = 9; \
                 SAVEPOINT here; DELETE FROM part WHERE id = 10; ROLLBACK TO here; RESET ROLE; DELETE FROM part WHERE id = 10; \
                 DELETE FROM part WHERE id = 11; SET LOCAL ROLE clerk; DELETE FROM part WHERE id = 12; COMMIT";
    scene.database.run("ALTER TABLE part OWNER TO ann").await?;
    scene.told().await?;
    let told = scene.by_ann(again).await?;
    let expected = [(7, "clerk"), (8, "clerk"), (9, "clerk"), (10, "ann"), (11, "ann"), (12, "clerk")];
    ensure!(who_deleted(&told)? == expected.map(|(id, who)| (json!(id), json!(who))), "{told:#?}");
    let altered = told.iter().find(|event| event["type"] == "ddl").context("the ALTER TABLE is told")?;
    ensure!(altered["tx"]["actor"]["current_user"] == "ann", "{altered:#}");

    // So is what one and the same text did, before another.
    let same = "DELETE FROM part WHERE id = (SELECT max(id) FROM part)";
    let other = "DELETE FROM part WHERE id = (SELECT max(id) FROM part WHERE id > 0)";
    for statement in ["BEGIN", same, same, same, other, same, "COMMIT"] {
        scene.ann.run(statement).await?;
    }
    let told = scene.told().await?;
    let deleted = Scene::changes(&told, "delete")?.into_iter().filter(|change| change["table"] == "part");
    let queries: Vec<_> = deleted.map(|change| change["tx"]["actor"]["query"].as_str().unwrap_or_default()).collect();
    ensure!(queries == [same, same, same, other, same], "{queries:?}");

    // The very same statement, as another who logged in, or by another name.
    let delete = "DELETE FROM part WHERE id = (SELECT min(id) FROM part)";
    for statement in ["BEGIN", "SET SESSION AUTHORIZATION ann", delete, "SET SESSION AUTHORIZATION clerk", delete] {
        scene.database.run(statement).await?;
    }
    scene.database.run("SET LOCAL application_name = 'another'").await?;
    scene.database.run(delete).await?;
    scene.database.run("RESET SESSION AUTHORIZATION; COMMIT").await?;
    let told = scene.told().await?;
    let actors = Scene::changes(&told, "delete")?.into_iter().filter(|change| change["table"] == "part");
    let names: Vec<_> =
        actors.map(|change| &change["tx"]["actor"]).map(|by| (&by["session_user"], &by["application_name"])).collect();
    ensure!(names.len() == 3 && names[0].0 == "ann" && names[1].0 == "clerk" && names[1] != names[2], "{names:?}");
    ensure!(names[2] == (&json!("clerk"), &json!("another")), "{names:?}");

    // Statements are told no more after so many, but who is.
    scene.ann.run("BEGIN").await?;
    for id in 20..40 {
        scene.ann.run(&format!("DELETE FROM part WHERE id = {id}")).await?;
    }
    scene.ann.run("SET LOCAL ROLE clerk").await?;
    scene.ann.run("DELETE FROM part WHERE id = 40").await?;
    scene.ann.run("DELETE FROM part WHERE id = 41").await?;
    let told = scene.by_ann("COMMIT").await?;
    let by = |id| json!(if id < 40 { "ann" } else { "clerk" });
    let expected: Vec<_> = (20..42).map(|id| (json!(id), by(id))).collect();
    ensure!(who_deleted(&told)? == expected, "{told:#?}");
    ensure!(told.iter().filter(|event| event["type"] == "message").count() == 17, "{told:#?}");

    // Nor that for ever, but then nobody is told, rather than somebody else.
    let turns = "DO $$ BEGIN FOR i IN 1000..1099 LOOP EXECUTE format('SET LOCAL ROLE %I', CASE i % 2 WHEN 0 THEN 'clerk' ELSE 'ann' END); \
                 DELETE FROM part WHERE id = i; END LOOP; END $$";
    scene.ann.run("INSERT INTO part SELECT generate_series(1000, 1099)").await?;
    scene.told().await?;
    let told = scene.by_ann(turns).await?;
    ensure!(told.iter().filter(|event| event["type"] == "message").count() == 64, "{told:#?}");
    for (id, who) in who_deleted(&told)? {
        let id = id.as_i64().unwrap_or_default();
        let expected = if id < 1063 { json!(if id % 2 == 0 { "clerk" } else { "ann" }) } else { Value::Null };
        ensure!(who == expected, "{id}: {who}");
    }
    Ok(())
}

async fn tables_to_come_are_seen_to(major: u32) -> Result<()> {
    let mut scene = Scene::set(major, "").await?;
    let owner = Database::connect(&url_of(&scene.cluster, "app", "postgres")).await?;
    owner
        .run(
            "CREATE TABLE made PARTITION OF tree FOR VALUES FROM (10) TO (20); \
             CREATE TABLE attached (id int PRIMARY KEY); ALTER TABLE tree ATTACH PARTITION attached FOR VALUES FROM (20) TO (30); \
             CREATE TABLE bough (id int PRIMARY KEY) PARTITION BY RANGE (id); \
             CREATE TABLE twig PARTITION OF bough DEFAULT; \
             ALTER TABLE tree ATTACH PARTITION bough FOR VALUES FROM (30) TO (40); \
             CREATE TABLE unwatched (id int PRIMARY KEY); \
             INSERT INTO tree SELECT generate_series(10, 39)",
        )
        .await?;
    scene.told().await?;
    for (table, id) in [("made", 10), ("attached", 20), ("bough", 30), ("twig", 31), ("tree", 11)] {
        let delete = format!("DELETE FROM {table} WHERE id = {id}");
        scene.is_told(&delete, &delete).await?;
    }
    ensure!(scene.database.value::<i64>("SELECT count(*) FROM pg_trigger WHERE tgrelid = 'unwatched'::regclass").await? == 0);
    ensure!(
        scene
            .database
            .value::<i64>("SELECT count(*) FROM pg_trigger WHERE tgname = 'pgvigil_actor' AND tgenabled <> 'A'")
            .await?
            == 0
    );
    // Who made or dropped a table is told too.
    owner.run("SET application_name = 'psql'; DROP TABLE unwatched").await?;
    let told = scene.told().await?;
    let actor = &Scene::commit(&told)?["tx"]["actor"];
    ensure!(actor["session_user"] == "postgres" && actor["application_name"] == "psql", "{told:#?}");
    ensure!(told.iter().any(|event| event["type"] == "ddl" && event["tx"]["actor"]["session_user"] == "postgres"), "{told:#?}");
    Ok(())
}

/// Each change has the statement that it was made by, as long as they can be told.
#[tokio::test(flavor = "multi_thread")]
async fn many_statements_are_told_apart() -> Result<()> {
    let mut scene = Scene::set(a_major(), "").await?;
    for count in [3, 40] {
        scene.ann.run("BEGIN").await?;
        let from = if count == 3 { 1 } else { 10 };
        for id in from..from + count {
            scene.ann.run(&format!("DELETE FROM item WHERE id = {id}")).await?;
        }
        let told = scene.by_ann("COMMIT").await?;
        let messages = told.iter().filter(|event| event["type"] == "message").count();
        ensure!(messages == usize::try_from(count.min(16))?, "{messages} messages");
        for (nth, change) in Scene::changes(&told, "delete")?.into_iter().filter(|change| change["table"] == "item").enumerate() {
            let expected =
                if nth < 15 { json!(format!("DELETE FROM item WHERE id = {}", change["key"]["id"])) } else { json!(null) };
            ensure!(change["tx"]["actor"]["query"] == expected, "{nth}: {change}");
        }
    }
    // The same statement, prepared once, is told once.
    scene.ann.run("BEGIN").await?;
    let delete = scene.ann.client().prepare("DELETE FROM item WHERE id = $1").await?;
    for id in 60..80 {
        scene.ann.client().execute(&delete, &[&id]).await?;
    }
    let told = scene.is_told("COMMIT", "DELETE FROM item WHERE id = $1").await?;
    ensure!(told.iter().filter(|event| event["type"] == "message").count() == 1, "{told:#?}");
    Ok(())
}

/// A transaction larger than memory, streamed while it runs, in parts of which a savepoint was rolled back.
#[tokio::test(flavor = "multi_thread")]
async fn a_streamed_transaction_is_told_like_any_other() -> Result<()> {
    let mut scene = Scene::set(a_major(), "").await?;
    scene.ann.run("INSERT INTO item SELECT i, repeat('x', 100) FROM generate_series(1000, 9000) i").await?;
    scene.told().await?;
    for statement in [
        "BEGIN",
        "SAVEPOINT a",
        "DELETE FROM item WHERE id BETWEEN 1000 AND 4000",
        "ROLLBACK TO a",
        "DELETE FROM item WHERE id BETWEEN 1000 AND 5000",
        "SAVEPOINT b",
        "DELETE FROM item WHERE id BETWEEN 5001 AND 8000",
        "ROLLBACK TO b",
    ] {
        scene.ann.run(statement).await?;
    }
    let told = scene.is_told("COMMIT", "DELETE FROM item WHERE id BETWEEN 1000 AND 5000").await?;
    ensure!(Scene::changes(&told, "delete")?.len() == 4001);
    Ok(())
}

/// Who is looked for is found: in the history and in the stream.
#[tokio::test(flavor = "multi_thread")]
async fn an_actor_is_found_by_its_names() -> Result<()> {
    let mut scene = Scene::set(a_major(), "").await?;
    scene.by_ann("DELETE FROM item WHERE id = 1").await?;
    scene.database.run("DELETE FROM item WHERE id = 2").await?;
    scene.told().await?;
    for (asked, ids) in [
        ("actor=ann", vec![1]),
        ("actor=the%20shop", vec![1]),
        ("actor=postgres", vec![2]),
        ("actor=nobody", vec![]),
        ("actor=nobody,ann&actor=postgres", vec![2, 1]),
    ] {
        let page = scene.pgvigil.json(&format!("/api/v1/events?table=item&kinds=change&op=delete&{asked}")).await?;
        let found: Vec<_> = page["events"].as_array().into_iter().flatten().map(|event| event["key"]["id"].clone()).collect();
        ensure!(json!(found) == json!(ids), "{asked}: {page:#}");
    }
    let mut socket = scene.pgvigil.websocket("kinds=change,commit&actor=ann&from=oldest").await?;
    let first = socket.until("a change", |event| event["type"] == "change").await?;
    ensure!(first.last().is_some_and(|event| event["key"]["id"] == 1), "{first:#?}");
    let commit = socket.next_of("commit").await?;
    ensure!(commit["tx"]["actor"]["session_user"] == "ann", "{commit}");
    Ok(())
}

/// In a database that says nothing about its bytes a text may be cut within a letter; in one of another encoding it is converted.
#[tokio::test(flavor = "multi_thread")]
async fn a_statement_in_any_encoding_is_told() -> Result<()> {
    let scene = Scene::set(a_major(), "").await?;
    for (encoding, query) in [("SQL_ASCII", "DELETE /* \u{FFFD}"), ("LATIN1", "DELETE /* é")] {
        let maintenance = Database::connect(&scene.cluster.url("postgres")).await?;
        maintenance.run(&format!("CREATE DATABASE \"{encoding}\" ENCODING '{encoding}' TEMPLATE template0 LOCALE 'C'")).await?;
        let mut other = Database::connect(&scene.cluster.url(encoding)).await?;
        other.run("CREATE TABLE item (id int PRIMARY KEY); INSERT INTO item VALUES (1), (2); GRANT ALL ON item TO ann").await?;
        set_up(&mut other, "--apply --attribute-query 11").await.1?;
        let pgvigil = Pgvigil::serve(&scene.cluster.url(encoding), &[]).await?;
        pgvigil.wait_for_count("public.item", 2).await?;
        let ann = Database::connect(&url_of(&scene.cluster, encoding, "ann")).await?;
        let mut socket = pgvigil.websocket("kinds=commit").await?;
        ann.run("DELETE /* é */ FROM item WHERE id = 1").await?;
        let commit = socket.next_of("commit").await?;
        let actor = &commit["tx"]["actor"];
        ensure!(actor["session_user"] == "ann" && actor["query"] == query, "{encoding}: {commit}");
    }
    Ok(())
}

/// What is rolled back may have been sent already, and the server does not say of a message that it was.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_taken_back_of_a_large_transaction_was_by_nobody() -> Result<()> {
    let mut scene = Scene::set(a_major(), "").await?;
    scene
        .database
        .run("ALTER TABLE part OWNER TO ann; CREATE TABLE kept (id int PRIMARY KEY); ALTER TABLE kept OWNER TO ann")
        .await?;
    scene.told().await?;
    let delete = "DELETE FROM part WHERE id = (SELECT min(id) FROM part)";
    let many = "INSERT INTO item SELECT generate_series(10000, 12000)";
    for statement in ["BEGIN", delete, "SAVEPOINT a", "SET LOCAL ROLE clerk", "DELETE FROM item WHERE id = 90", "RESET ROLE"] {
        scene.ann.run(statement).await?;
    }
    for statement in
        [many, "SAVEPOINT b", "DROP TABLE kept", many.replace('1', "2").as_str(), "ROLLBACK TO a", delete, many, "COMMIT"]
    {
        scene.ann.run(statement).await?;
    }
    let told = scene.told().await?;
    let deleted = Scene::changes(&told, "delete")?;
    let by: Vec<_> = deleted.iter().map(|delete| &delete["tx"]["actor"]).collect();
    ensure!(by.len() == 2 && by.iter().all(|by| by["current_user"] == "ann" && by["query"] == delete), "{by:?}");
    let others: Vec<_> = told.iter().filter(|event| event["type"] != "change").collect();
    let messages = others.iter().filter(|event| event["type"] == "message").count();
    ensure!(messages == 1 && !others.iter().any(|event| event["type"] == "ddl"), "{others:#?}");
    ensure!(Scene::changes(&told, "insert")?.len() == 2001);
    Ok(())
}

/// Of the catalogs, which somebody may want to VACUUM FULL while the transaction goes on.
#[tokio::test(flavor = "multi_thread")]
async fn no_lock_is_kept() -> Result<()> {
    let cluster = crate::scene::server(a_major()).await?;
    let mut database = Database::create(&cluster, "app").await?;
    let locked = "SELECT coalesce(string_agg(DISTINCT relation::regclass::text, ', '), '') FROM pg_locks \
                   WHERE pid = pg_backend_pid() AND locktype = 'relation' AND relation < 16384 AND relation <> 'pg_locks'::regclass";
    let mut seen = Vec::new();
    for arguments in ["", "--apply --all-tables"] {
        if !arguments.is_empty() {
            set_up(&mut database, arguments).await.1?;
        }
        let statements =
            ["CREATE TABLE item (id int PRIMARY KEY)", "ALTER TABLE item ADD note text", "DELETE FROM item", "DROP TABLE item"];
        database.run("BEGIN").await?;
        for statement in statements {
            database.run(statement).await?;
            seen.push(database.value::<String>(locked).await?);
        }
        database.run("COMMIT").await?;
    }
    let (without, with) = seen.split_at(4);
    ensure!(with == without, "{without:?} {with:?}");
    Ok(())
}
