//! Messages that applications write themselves, to help or to mislead.

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use crate::scene::Scene;
use crate::support::a_major;

fn emit(prefix: &str, content: &str) -> String {
    format!("SELECT pg_logical_emit_message(true, '{prefix}', '{}')", content.replace('\'', "''"))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_says_more_of_itself() -> Result<()> {
    let mut scene = Scene::set(a_major(), "").await?;
    for prefix in ["pgvigil.annotation", "sequin:transaction_annotations.set", "_bemi"] {
        let annotation = json!({"user": "paul", "tags": [1, {"a": null}]});
        let sql = format!("BEGIN; {}; INSERT INTO item VALUES (500); COMMIT", emit(prefix, &annotation.to_string()));
        let told = scene.by_ann(&sql).await?;
        let actor = &Scene::commit(&told)?["tx"]["actor"];
        ensure!(
            actor["source"] == "annotation" && actor["annotation"] == annotation && actor["session_user"].is_null(),
            "{actor}"
        );
        ensure!(Scene::changes(&told, "insert")?[0]["tx"]["actor"]["annotation"] == annotation, "{told:#?}");

        let sql = format!("BEGIN; {}; DELETE FROM item WHERE id = 500; COMMIT", emit(prefix, &annotation.to_string()));
        let told = scene.by_ann(&sql).await?;
        let actor = &Scene::commit(&told)?["tx"]["actor"];
        ensure!(actor["source"] == "trigger" && actor["session_user"] == "ann" && actor["annotation"] == annotation, "{actor}");
        let found = scene.pgvigil.json("/api/v1/events?actor=paul&kinds=change&op=delete&limit=1").await?;
        ensure!(found["events"][0]["key"]["id"] == 500, "{found:#}");
    }
    Ok(())
}

/// Whatever is written, and however often: it is a message, and nothing else changes.
#[tokio::test(flavor = "multi_thread")]
async fn a_forged_message_changes_nothing_but_its_own_text() -> Result<()> {
    let mut scene = Scene::set(a_major(), "").await?;
    let forged = |xid: &str| {
        json!({"xid": xid, "operations": "delete,insert", "pid": 1, "session_user": "postgres", "current_user": "postgres",
               "application_name": "psql", "client_addr": null, "query": "VACUUM"})
        .to_string()
    };
    let mut contents: Vec<(&str, String)> = vec![("pgvigil.actor", forged("1"))];
    for prefix in ["pgvigil.actor", "pgvigil.ddl", "_bemi"] {
        for content in ["", "null", "{", "[]", "{\"xid\": 7}", "{\"actor\": {\"xid\": 7}, \"sql\": []}"] {
            contents.push((prefix, content.to_owned()));
        }
        contents.push((prefix, "[".repeat(200_000)));
        contents.push((prefix, format!("{{\"a\": {}{}}}", "[".repeat(20_000), "]".repeat(20_000))));
        contents.push((prefix, json!({"a": "x".repeat(100_000)}).to_string()));
    }
    for (id, (prefix, content)) in (1..).zip(&contents) {
        scene.ann.run("BEGIN").await?;
        scene.ann.run(&emit(prefix, content)).await?;
        let delete = format!("DELETE FROM item WHERE id = {id}");
        scene.ann.run(&delete).await?;
        scene.ann.run(&emit(prefix, content)).await?;
        let told = scene.is_told("COMMIT", &delete).await?;
        let messages = told.iter().filter(|event| event["type"] == "message" && event["content"] == **content).count();
        ensure!(messages == 2, "{messages} messages of {prefix} {content:.60}");
        // An object is what an application may say of itself.
        let said = &Scene::commit(&told)?["tx"]["actor"]["annotation"];
        let meant = *prefix == "_bemi" && serde_json::from_str::<Value>(content).is_ok_and(|object| object == *said);
        ensure!(said.is_null() || meant, "{said}");
    }

    // Bytes that are no text.
    let bytes = "SELECT pg_logical_emit_message(true, 'pgvigil.actor', '\\xff00fe'::bytea)";
    scene
        .is_told(
            &format!("BEGIN; {bytes}; DELETE FROM item WHERE id = 60; COMMIT"),
            &format!("BEGIN; {bytes}; DELETE FROM item WHERE id = 60; COMMIT"),
        )
        .await?;

    // So many that they are not all looked at; and who lies about itself is not hindered, but what it says is of its own transaction.
    scene.ann.run("BEGIN").await?;
    scene
        .ann
        .run("SELECT pg_logical_emit_message(true, '_bemi', '{\"n\":' || n || '}') FROM generate_series(1, 10000) n")
        .await?;
    scene.ann.run("DELETE FROM item WHERE id = 61").await?;
    let told = scene.is_told("COMMIT", "DELETE FROM item WHERE id = 61").await?;
    ensure!(Scene::commit(&told)?["tx"]["actor"]["annotation"]["n"].is_number());

    // What no one can read does not stand in the way of what is so.
    for (prefix, content) in [
        ("pgvigil.actor", "junk"),
        ("pgvigil.actor", &forged("1")),
        ("pgvigil.actor", &"x".repeat(100_000)),
        ("pgvigil.ddl", "junk"),
        ("_bemi", "junk"),
    ] {
        scene.ann.run("BEGIN").await?;
        scene.ann.run(&format!("{} FROM generate_series(1, 100)", emit(prefix, content))).await?;
        scene.ann.run("DELETE FROM item WHERE id = 63").await?;
        let told = scene.is_told("COMMIT", "DELETE FROM item WHERE id = 63").await?;
        ensure!(Scene::commit(&told)?["tx"]["actor"]["annotation"].is_null(), "{prefix} {content:.20}");
        scene.ann.run("INSERT INTO item VALUES (63)").await?;
        scene.told().await?;
    }

    // Of many that hold, what comes behind the last is by that; what was in between is not said to be by another.
    scene.ann.run("BEGIN").await?;
    for n in 1000..1100 {
        scene.ann.run(&emit("_bemi", &json!({"n": n}).to_string())).await?;
        scene.ann.run(&format!("INSERT INTO item VALUES ({n})")).await?;
    }
    let told = scene.by_ann("DELETE FROM item WHERE id >= 1000; COMMIT").await?;
    let said: Vec<_> = Scene::changes(&told, "insert")?.iter().map(|insert| &insert["tx"]["actor"]["annotation"]["n"]).collect();
    let is_so = |(n, said): (u64, &&Value)| **said == json!(n) || (**said).is_null();
    ensure!(said.len() == 100 && (1000..).zip(&said).all(is_so), "{said:?}");
    ensure!(said.iter().filter(|said| !said.is_null()).count() == 64 && *said[99] == 1099, "{said:?}");

    scene.ann.run("BEGIN").await?;
    let lie = format!(
        "SELECT pg_logical_emit_message(true, 'pgvigil.actor', replace('{}', '\"0\"', '\"' || pg_current_xact_id() || '\"'))",
        forged("0")
    );
    scene.ann.run(&lie).await?;
    scene.ann.run("INSERT INTO item VALUES (800)").await?;
    let told = scene.by_ann("COMMIT").await?;
    let actor = &Scene::commit(&told)?["tx"]["actor"];
    ensure!(actor["session_user"] == "postgres" && actor["source"] == "trigger", "{actor}");

    // But where it did what is told of, that is told.
    scene.ann.run("BEGIN").await?;
    scene.ann.run(&lie).await?;
    scene.ann.run("DELETE FROM item WHERE id = 62").await?;
    let told = scene.is_told("COMMIT", "DELETE FROM item WHERE id = 62").await?;
    let actor = &Scene::commit(&told)?["tx"]["actor"];
    ensure!(actor["session_user"] == "ann" && actor["source"] == "trigger", "{actor}");

    // Outside of any transaction there is nobody to speak of.
    scene.ann.run(&format!("SELECT pg_logical_emit_message(false, 'pgvigil.actor', '{}')", forged("1"))).await?;
    let told = scene.told().await?;
    ensure!(told.iter().all(|event| event["type"] == "message" && event["tx"] == Value::Null), "{told:#?}");
    scene.pgvigil.wait_for_count("public.item", 100 - i64::try_from(contents.len())? - 3 + 1).await
}
