//! What `setup` puts on tables, on which of them, and at whose expense.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::scene::{Scene, server, url_of};
use crate::support::{Database, PATIENCE, a_major, clean_up, set_up, wait_for};

/// The tables with the trigger, and what it fires for.
async fn attributed(database: &Database) -> Result<Vec<String>> {
    let rows = database
        .rows(
            "SELECT tgrelid::regclass::text, pg_get_triggerdef(oid) FROM pg_trigger WHERE tgname = 'pgvigil_actor' ORDER BY 1",
            &[],
        )
        .await?;
    let said = |row: &tokio_postgres::Row| {
        let (table, definition): (&str, &str) = (row.get(0), row.get(1));
        let events = definition.split(" ON ").next().and_then(|text| text.split(" AFTER ").nth(1)).unwrap_or_default();
        format!("{table}: {events}")
    };
    Ok(rows.iter().map(said).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_asked_for_is_what_there_is() -> Result<()> {
    let mut scene = Scene::set(a_major(), "--attribute insert,update,delete,truncate --attribute-query 10").await?;
    let told = scene.by_ann("INSERT INTO item VALUES (700)").await?;
    ensure!(Scene::changes(&told, "insert")?[0]["tx"]["actor"]["query"] == "INSERT INT", "{told:#?}");
    let database = &mut scene.database;
    let all = attributed(database).await?;
    ensure!(all.len() == 6 && all.contains(&"branch: INSERT OR DELETE OR UPDATE OR TRUNCATE".to_owned()), "{all:?}");

    // Run again, it stays as it was set up, until something else is said.
    let (text, outcome) = set_up(database, "--apply").await;
    outcome?;
    ensure!(text.contains("-- Nothing is missing."), "{text}");
    // What an earlier version made is made anew, with what was asked for then.
    let earlier = "DO $x$ BEGIN EXECUTE replace(pg_get_functiondef('pgvigil.tell_actor'::regproc), '>= 64', '>= 16'); END $x$";
    database.run(earlier).await?;
    let (text, outcome) = set_up(database, "--apply").await;
    outcome?;
    ensure!(text.contains("operations CONSTANT text := 'insert,update,delete,truncate'") && text.contains(">= 64"), "{text}");
    set_up(database, "--apply --attribute-query off").await.1?;
    ensure!(attributed(database).await? == all);
    let told = scene.by_ann("UPDATE item SET note = 'secret' WHERE id = 700").await?;
    ensure!(Scene::changes(&told, "update")?[0]["tx"]["actor"]["query"].is_null(), "{told:#?}");
    ensure!(Scene::commit(&told)?["tx"]["actor"]["session_user"] == "ann", "{told:#?}");
    ensure!(!told.iter().any(|event| event["type"] == "message" && event["content"].to_string().contains("secret")), "{told:#?}");

    let database = &mut scene.database;
    set_up(database, "--apply --attribute delete --tables item,leaf").await.1?;
    ensure!(
        attributed(database).await? == ["branch: DELETE OR UPDATE", "item: DELETE", "leaf: DELETE", "tree: DELETE OR UPDATE"]
    );
    database.run("CREATE TABLE made PARTITION OF tree FOR VALUES FROM (50) TO (60)").await?;
    ensure!(attributed(database).await?.contains(&"made: DELETE".to_owned()));
    database.run("ALTER TABLE item ENABLE TRIGGER pgvigil_actor").await?;
    let (text, outcome) = set_up(database, "--apply --tables item,leaf").await;
    outcome?;
    ensure!(text.contains("CREATE OR REPLACE TRIGGER pgvigil_actor AFTER DELETE ON \"public\".\"item\""), "{text}");

    set_up(database, "--apply --attribute none").await.1?;
    ensure!(attributed(database).await?.is_empty());
    ensure!(database.value::<i64>("SELECT count(*) FROM pg_event_trigger WHERE evtname = 'pgvigil_new'").await? == 0);
    let (text, outcome) = set_up(database, "--apply").await;
    outcome?;
    ensure!(text.contains("-- Nothing is missing.") && attributed(database).await?.is_empty(), "{text}");
    set_up(database, "--apply --attribute truncate").await.1?;
    ensure!(attributed(database).await?.contains(&"item: TRUNCATE".to_owned()));
    clean_up(database, "--apply").await?;
    ensure!(attributed(database).await?.is_empty());

    for arguments in ["--apply --attribute none", "--apply"] {
        set_up(database, arguments).await.1?;
        ensure!(attributed(database).await?.is_empty(), "what was not wanted at first is not wanted later: {arguments}");
    }
    Ok(())
}

/// With every table published, every table to come is attributed.
#[tokio::test(flavor = "multi_thread")]
async fn with_all_tables_those_to_come_are_all_seen_to() -> Result<()> {
    let mut scene = Scene::set(a_major(), "--all-tables").await?;
    let database = &scene.database;
    database
        .run(
            "CREATE TABLE plain (id int PRIMARY KEY); CREATE TABLE \"a name; -- \"\"x\"\"\" AS SELECT 1 id; SELECT 1 id INTO selected; \
             CREATE SCHEMA s CREATE TABLE inner_one (id int PRIMARY KEY); CREATE TEMPORARY TABLE passing (id int); \
             CREATE UNLOGGED TABLE unlogged (id int); CREATE VIEW view AS SELECT 1",
        )
        .await?;
    let all = attributed(database).await?;
    for table in ["plain", "\"a name; -- \"\"x\"\"\"", "selected", "s.inner_one"] {
        ensure!(all.contains(&format!("{table}: DELETE OR TRUNCATE")), "{table}: {all:?}");
    }
    ensure!(all.len() == 6 + 4, "{all:?}");
    database.run("ALTER TABLE unlogged ADD PRIMARY KEY (id), SET LOGGED").await?;
    ensure!(attributed(database).await?.contains(&"unlogged: DELETE OR TRUNCATE".to_owned()));
    // A table that was just made can be filled in every way.
    database.run("BEGIN; CREATE TABLE frozen (id int PRIMARY KEY); COPY frozen FROM PROGRAM 'echo 1' (FREEZE); COMMIT").await?;
    scene.told().await?;
    let delete = "DELETE FROM plain; TRUNCATE frozen";
    scene.database.run("GRANT ALL ON ALL TABLES IN SCHEMA public TO ann").await?;
    scene.told().await?;
    scene.is_told(delete, delete).await?;
    Ok(())
}

/// Nobody waits for setup for long, and it does nothing when it cannot do all.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_in_the_way_goes_first() -> Result<()> {
    let cluster = server(a_major()).await?;
    let mut database = Database::create(&cluster, "app").await?;
    database.run("CREATE TABLE item (id int PRIMARY KEY); CREATE TABLE busy (id int PRIMARY KEY)").await?;
    let writer = Database::connect(&cluster.url("app")).await?;
    writer.run("BEGIN; INSERT INTO busy VALUES (1)").await?;
    let other = Database::connect(&cluster.url("app")).await?;

    let (mut longest, mut id) = (Duration::ZERO, 0);
    let (text, outcome) = {
        let install = set_up(&mut database, "--apply");
        tokio::pin!(install);
        loop {
            let write = async {
                let started = Instant::now();
                id += 1;
                other.run(&format!("INSERT INTO busy VALUES (1 + {id}); INSERT INTO item VALUES ({id})")).await?;
                longest = longest.max(started.elapsed());
                anyhow::Ok(())
            };
            tokio::select! {
                ended = &mut install => break ended,
                written = write => written?,
            }
        }
    };
    let error = outcome.err().context("it should not have been possible")?.to_string();
    ensure!(error.contains("Someone is using one of these tables"), "{error}");
    ensure!(longest < Duration::from_secs(2) && id > 5, "{longest:?}, {id} writes");
    ensure!(!text.contains("-- Done."), "{text}");
    ensure!(database.value::<i64>("SELECT count(*) FROM pg_publication").await? == 0, "all or nothing");

    // Once it is out of the way, the same does.
    let leave = async {
        wait_for("setup to wait", PATIENCE, async || {
            let waits = "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)";
            Ok(other.value::<bool>(waits).await?.then_some(()))
        })
        .await?;
        writer.run("COMMIT").await
    };
    writer.run("ROLLBACK; BEGIN; INSERT INTO busy VALUES (-1)").await?;
    let ((_, outcome), left) = tokio::join!(set_up(&mut database, "--apply"), leave);
    left?;
    outcome?;
    ensure!(attributed(&database).await?.len() == 2);
    Ok(())
}

/// Without a superuser: the tables that there are, and a word about those to come. No right is gained by any of it.
#[tokio::test(flavor = "multi_thread")]
async fn an_owner_attributes_its_own_tables() -> Result<()> {
    let cluster = server(a_major()).await?;
    let mut database = Database::create(&cluster, "app").await?;
    database
        .run(
            "CREATE ROLE owner LOGIN; GRANT CREATE ON DATABASE app TO owner; CREATE ROLE ann LOGIN; \
             CREATE TABLE owned (id int PRIMARY KEY); ALTER TABLE owned OWNER TO owner; CREATE TABLE other (id int PRIMARY KEY); \
             GRANT ALL ON owned, other TO ann; INSERT INTO owned VALUES (1), (2), (3)",
        )
        .await?;
    let mut owner = Database::connect(&url_of(&cluster, "app", "owner")).await?;
    let (text, outcome) = set_up(&mut owner, "--apply").await;
    outcome.context(text.clone())?;
    ensure!(text.contains("is not told of tables and partitions that are made from now on"), "{text}");
    ensure!(attributed(&database).await? == ["owned: DELETE OR TRUNCATE"]);
    let (again, outcome) = set_up(&mut owner, "--apply").await;
    outcome?;
    ensure!(again.contains("-- Nothing is missing."), "{again}");

    let ann = Database::connect(&url_of(&cluster, "app", "ann")).await?;
    ann.run("DELETE FROM owned WHERE id = 1").await?;
    // Not even when the owner may not write messages any more.
    database
        .run(
            "DO $$ DECLARE f regprocedure; BEGIN FOR f IN SELECT oid FROM pg_proc WHERE proname = 'pg_logical_emit_message' \
             LOOP EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', f); END LOOP; END $$",
        )
        .await?;
    ann.run("DELETE FROM owned WHERE id = 2").await?;
    ensure!(ann.run("CREATE TRIGGER mine AFTER DELETE ON owned EXECUTE FUNCTION pgvigil.tell_actor()").await.is_err());

    // A superuser finds the schema in the hands of another, and puts nothing there.
    let (_, outcome) = set_up(&mut database, "--apply").await;
    ensure!(outcome.is_err_and(|error| error.to_string().contains("schema pgvigil belongs to role \"owner\"")));
    clean_up(&mut owner, "--apply").await?;
    ensure!(attributed(&database).await?.is_empty());

    // What a superuser has put there is used as it is, where that is allowed.
    set_up(&mut database, "--apply --tables other").await.1?;
    let (text, outcome) = set_up(&mut owner, "--apply --publication mine --tables owned").await;
    outcome.context(text.clone())?;
    ensure!(text.contains("Who changes rows is not told of every table"), "{text}");
    ann.run("DELETE FROM owned WHERE id = 3").await
}
