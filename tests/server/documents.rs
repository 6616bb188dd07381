//! REST: every document, and every problem.

use anyhow::{Context, Result};
use pgvigil::event::GapReason;
use pgvigil::pipeline::{CountState, State, Table};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

use crate::fixture::{Setup, live, table, user};
use crate::support::wait_for;

#[tokio::test]
async fn status_tells_what_is_known_and_null_for_the_rest() -> Result<()> {
    let mut server = Setup::default().start().await?;
    let unknown = server.json("/api/v1/status").await?;
    assert_eq!(unknown["state"], "connecting");
    for field in ["database", "epoch", "lsn", "server_lsn", "lag_bytes", "last_proof_age_ms", "slot", "reason"] {
        assert_eq!(unknown[field], Value::Null, "{field}");
    }

    server.begin_epoch(0x1A2_B000, None);
    server.note(|status| status.server_lsn.0 += 0x3F0);
    let status = server.json("/api/v1/status").await?;
    let expected = json!({
        "state": "live", "since": "2026-11-22T14:02:11.204113Z", "epoch": "1", "lsn": "0/1A2B000", "server_lsn": "0/1A2B3F0",
        "lag_bytes": 0x3F0, "publication": "pgvigil", "clients": 0,
        "slot": {"name": "pgvigil_1f", "temporary": true, "retained_bytes": 0, "budget_bytes": null},
        "database": {"name": "app", "oid": 16384, "system_identifier": "7000000000000000001", "host": "db.example.org", "port": 5432,
            "server_version": "15.18"},
    });
    for (field, value) in expected.as_object().context("an object")? {
        assert_eq!(status[field], *value, "{field}");
    }
    assert!(status["last_proof_age_ms"].as_u64().is_some_and(|age| age < 5000));
    Ok(())
}

#[tokio::test]
async fn an_old_proof_is_never_live_whoever_stopped_saying_so() -> Result<()> {
    let server = live().await?;
    for (age, state) in [(0, "live"), (6, "lagging"), (16, "stale")] {
        server.note(|status| status.last_proof = Instant::now().checked_sub(Duration::from_secs(age)));
        assert_eq!(server.json("/api/v1/status").await?["state"], state);
        assert_eq!(server.json("/api/v1/tables").await?["state"], state);
    }
    server.note(|status| status.last_proof = None);
    assert_eq!(server.json("/api/v1/status").await?["state"], "stale");
    Ok(())
}

#[tokio::test]
async fn ready_means_live_and_nothing_else() -> Result<()> {
    let server = live().await?;
    assert_eq!(server.get("/readyz").await?.status(), 200);
    for state in [State::Connecting, State::Lagging, State::Stale, State::Disconnected, State::Resyncing, State::WrongDatabase] {
        server.note(|status| (status.state, status.reason) = (state, Some("The server was stopped.".to_owned())));
        let (code, document) = server.problem("/readyz").await?;
        assert_eq!(code, 503);
        let name = serde_json::to_value(state)?;
        let detail = format!("The state is {}. The server was stopped.", name.as_str().context("a name")?);
        assert_eq!(document["detail"], detail);
        // The process is well all the same.
        assert_eq!(server.get("/healthz").await?.status(), 200);
    }
    Ok(())
}

#[tokio::test]
async fn tables_come_with_what_they_are_true_at() -> Result<()> {
    let server = live().await?;
    let uncovered = Table { count_state: CountState::Uncovered, reason: Some("a row filter".into()), ..table(7, "Log", None) };
    server.count(0x1A2_B3F0, [user(23), uncovered]);
    let tables = server.json("/api/v1/tables").await?;
    assert_eq!(tables["as_of"]["lsn"], "0/1A2B3F0");
    assert_eq!(tables["as_of"]["time"], "2026-11-22T14:02:11.204113Z");
    assert!(tables["as_of"]["age_ms"].as_u64().is_some_and(|age| age < 5000));
    assert_eq!((&tables["state"], &tables["total_rows"]), (&json!("live"), &Value::Null));
    let [user, log] = [&tables["tables"][0], &tables["tables"][1]];
    assert_eq!((&user["count"], &user["count_state"], &user["key"]), (&json!(23), &json!("exact"), &json!(["id"])));
    assert_eq!((&log["count"], &log["count_state"], &log["reason"]), (&Value::Null, &json!("uncovered"), &json!("a row filter")));
    Ok(())
}

#[tokio::test]
async fn metrics_show_what_is_known_only() -> Result<()> {
    let mut server = Setup::default().start().await?;
    let has = |text: &str, line: &str| text.lines().any(|other| other == line);
    let text = server.get("/metrics").await?.text().await?;
    assert!(has(&text, "pgvigil_state{state=\"connecting\"} 1") && has(&text, "pgvigil_state{state=\"live\"} 0"), "{text}");
    assert!(!text.contains("\npgvigil_lag_bytes") && !text.contains("\npgvigil_last_proof_age_seconds"), "{text}");

    server.begin_epoch(100, None);
    server.delete(200, &[1, 2]);
    server.count(209, [user(22), table(7, "Odd \"name\"", 5), table(8, "Counting", None)]);
    let text = server.get("/metrics").await?.text().await?;
    for line in [
        "pgvigil_state{state=\"live\"} 1",
        "pgvigil_lag_bytes 0",
        "pgvigil_transactions_total 3",
        "pgvigil_changes_total{operation=\"delete\"} 22",
        "pgvigil_tables{count_state=\"exact\"} 2",
        "pgvigil_tables{count_state=\"counting\"} 1",
        "pgvigil_table_rows{schema=\"public\",table=\"User\"} 22",
        "pgvigil_table_rows{schema=\"public\",table=\"Odd \\\"name\\\"\"} 5",
        "pgvigil_table_rows_omitted 0",
        "pgvigil_history_events 3",
    ] {
        assert!(has(&text, line), "{line} is not in\n{text}");
    }
    assert!(!text.contains("Counting"));
    // However many tables there are, the number of series is bounded, and what is left out is said.
    server.count(210, (1..=1500).map(|oid| table(oid, &format!("t{oid}"), 1)));
    let text = server.get("/metrics").await?.text().await?;
    assert_eq!(text.matches("pgvigil_table_rows{").count(), 1000);
    assert!(has(&text, "pgvigil_table_rows_omitted 500"));
    Ok(())
}

#[tokio::test]
async fn events_are_paged_from_the_newest() -> Result<()> {
    let mut server = live().await?;
    for lsn in [200, 300, 400] {
        server.delete(lsn, &[1, 2]);
    }
    let ids = |page: &Value| -> Vec<String> {
        let events = page["events"].as_array().into_iter().flatten();
        events.map(|event| event["id"].as_str().unwrap_or("commit").to_owned()).collect()
    };
    let page = server.json("/api/v1/events?kinds=change&limit=4").await?;
    assert_eq!(ids(&page), ["1.0-190.2", "1.0-190.1", "1.0-12C.2", "1.0-12C.1"]);
    let next = page["next"].as_str().context("there is more")?;
    let rest = server.json(&format!("/api/v1/events?kinds=change&limit=4&before={next}")).await?;
    assert_eq!((ids(&rest), &rest["next"]), (vec!["1.0-C8.2".to_owned(), "1.0-C8.1".to_owned()], &Value::Null));

    let only = async |query: &str| Ok::<_, anyhow::Error>(ids(&server.json(&format!("/api/v1/events?{query}")).await?));
    assert_eq!(only("where=id.eq.1&kinds=change&since=0/12C&until=0/190").await?, ["1.0-12C.1"]);
    assert_eq!(only("table=public.Game").await?, Vec::<String>::new());
    assert_eq!(only("xid=8").await?, Vec::<String>::new());
    assert_eq!(only("since=2000-01-01T00:05:30Z&kinds=commit").await?, ["commit"]);
    Ok(())
}

#[tokio::test]
async fn events_stream_as_lines_from_the_oldest() -> Result<()> {
    let mut server = live().await?;
    for lsn in [200, 300, 400] {
        server.delete(lsn, &[1, 2]);
    }
    let lines = async |query: &str| {
        let url = server.url(&format!("/api/v1/events?{query}"));
        let request = reqwest::Client::builder().no_proxy().build()?.get(url).header("accept", "application/x-ndjson");
        let response = request.send().await?;
        assert_eq!(response.headers()["content-type"], "application/x-ndjson");
        assert_eq!(response.headers()["cache-control"], "no-store");
        let text = response.text().await?;
        assert!(text.is_empty() || text.ends_with('\n'));
        let ids = text.lines().map(|line| Ok(serde_json::from_str::<Value>(line)?["id"].as_str().unwrap_or("commit").to_owned()));
        ids.collect::<Result<Vec<String>>>()
    };
    let first = ["1.0-C8.1", "1.0-C8.2", "commit"];
    assert_eq!(lines("").await?[..3], first);
    assert_eq!(lines("").await?.len(), 9);
    assert_eq!(lines("limit=3").await?, first);
    assert_eq!(lines("before=1.0-12C.1").await?, first);
    assert_eq!(lines("kinds=change&since=0/190").await?, ["1.0-190.1", "1.0-190.2"]);
    assert!(lines("op=insert").await?.is_empty());
    Ok(())
}

/// A misspelt name never looks like a table to which nothing happened; and what a table that is gone left behind can be asked for.
#[tokio::test]
async fn who_asks_for_a_table_that_is_not_there_is_told() -> Result<()> {
    let mut server = live().await?;
    server.delete(200, &[1]);
    let page = async |query: &str| server.json(&format!("/api/v1/events?{query}")).await;
    let misspelt = page("table=public.user,User,shop.x").await?;
    assert_eq!(misspelt["no_such_table"], json!(["public.user", "shop.x"]));
    assert_eq!(misspelt["events"].as_array().map(Vec::len), Some(2));
    for query in ["", "table=User", "table=public.User&op=insert"] {
        assert!(page(query).await?.get("no_such_table").is_none(), "{query}");
    }
    Ok(())
}

#[tokio::test]
async fn a_transaction_is_whole_or_said_not_to_be() -> Result<()> {
    let mut server = Setup { history: 64 << 10, ..Setup::default() }.live().await?;
    server.delete(200, &[1, 2]);
    let found = server.json("/api/v1/transactions/1-0-C8").await?;
    assert_eq!((&found["id"], &found["complete"]), (&json!("1-0-C8"), &json!(true)));
    let kinds = found["events"].as_array().into_iter().flatten().map(|event| event["type"].as_str()).collect::<Vec<_>>();
    assert_eq!(kinds, [Some("change"), Some("change"), Some("commit")]);

    let status = async |path: &str| Ok::<_, anyhow::Error>(server.problem(path).await?.0);
    assert_eq!(status("/api/v1/transactions/1-0-C9").await?, 404);
    assert_eq!(status("/api/v1/transactions/nonsense").await?, 400);

    let note = "x".repeat(10_000);
    for lsn in (300..).step_by(100).take(10) {
        server.delete_with(lsn, &[1], &note);
    }
    let (code, document) = server.problem("/api/v1/transactions/1-0-C8").await?;
    assert_eq!((code, &document["type"]), (410, &json!("urn:pgvigil:problem:no-longer-kept")));
    Ok(())
}

#[tokio::test]
async fn problems_say_what_to_do() -> Result<()> {
    let server = live().await?;
    for (path, status, code) in [
        ("/nothing", 404, "not-found"),
        ("/api/v1/nothing", 404, "not-found"),
        ("/../etc/passwd", 404, "not-found"),
        ("/api/v1/events?tabel=x", 400, "invalid-parameter"),
        ("/api/v1/events?limit=0", 400, "invalid-parameter"),
        ("/api/v1/events?actor=%22ann", 400, "invalid-parameter"),
        ("/api/v1/stream?from=yesterday", 400, "invalid-parameter"),
        ("/api/v1/ws?where=id.is", 400, "invalid-parameter"),
        ("/api/v1/ws", 426, "upgrade-required"),
        ("/api/v1/tables/public/User/rows?limit=x", 400, "invalid-parameter"),
        ("/api/v1/tables/public/Game/rows", 404, "not-found"),
        ("/api/v1/tables/public/User/rows", 503, "database-unavailable"),
    ] {
        let (found, document) = server.problem(path).await?;
        assert_eq!((found, &document["type"]), (status, &json!(format!("urn:pgvigil:problem:{code}"))), "{path}");
    }
    let long = format!("/api/v1/events?table={}", "x".repeat(5000));
    assert_eq!(server.problem(&long).await?.0, 414);
    Ok(())
}

#[tokio::test]
async fn nothing_but_get_and_head_is_served() -> Result<()> {
    let server = live().await?;
    let client = reqwest::Client::builder().no_proxy().build()?;
    for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
        for path in ["/", "/api/v1/tables", "/api/v1/ws", "/healthz"] {
            let response = client.request(method.parse()?, server.url(path)).send().await?;
            assert_eq!(response.status(), 405, "{method} {path}");
            assert_eq!(response.headers()["allow"], "GET, HEAD");
            assert_eq!(response.headers()["content-type"], "application/problem+json");
        }
    }
    let full = client.get(server.url("/api/v1/tables")).send().await?;
    let head = client.head(server.url("/api/v1/tables")).send().await?;
    assert_eq!((head.status(), &head.headers()["content-type"]), (full.status(), &full.headers()["content-type"]));
    assert!(head.bytes().await?.is_empty());
    let too_large = client.get(server.url("/healthz")).body("x".repeat(9000)).send().await?;
    assert_eq!(too_large.status(), 413);
    Ok(())
}

#[tokio::test]
async fn the_viewer_is_served_with_tags_and_a_strict_policy() -> Result<()> {
    let server = live().await?;
    let page = server.get("/").await?;
    assert_eq!(page.status(), 200);
    let headers = page.headers().clone();
    assert_eq!(headers["content-type"], "text/html; charset=utf-8");
    assert!(headers["content-security-policy"].to_str()?.starts_with("default-src 'none'; script-src 'self';"));
    assert!(headers["content-security-policy"].to_str()?.ends_with("frame-ancestors 'none'"));
    assert_eq!((&headers["x-content-type-options"], &headers["referrer-policy"]), (&"nosniff".parse()?, &"no-referrer".parse()?));
    let client = reqwest::Client::builder().no_proxy().build()?;
    let again = client.get(server.url("/")).header("if-none-match", &headers["etag"]).send().await?;
    assert_eq!(again.status(), 304);
    for script in ["/app.js", "/store/store.js"] {
        assert_eq!(server.get(script).await?.headers()["content-type"], "text/javascript; charset=utf-8", "{script}");
    }
    for path in ["/nothing", "/api/v1/status", "/api/v1/tables"] {
        let response = server.get(path).await?;
        assert_eq!(response.headers()["x-content-type-options"], "nosniff", "{path}");
        assert_eq!(response.headers()["cache-control"], "no-store", "{path}");
    }
    Ok(())
}

#[tokio::test]
async fn clients_are_counted_while_they_are_there() -> Result<()> {
    let mut server = live().await?;
    let mut websocket = server.websocket("").await?;
    websocket.next_of("hello").await?;
    let mut source = server.event_source("", None).await?;
    source.until("hello", |object| object["type"] == "hello").await?;
    assert_eq!(server.json("/api/v1/status").await?["clients"], 2);
    drop((websocket, source));
    wait_for("clients to be gone", Duration::from_secs(10), async || {
        Ok((server.json("/api/v1/status").await?["clients"] == 0).then_some(()))
    })
    .await?;
    server.begin_epoch(500, Some(GapReason::SlotLost));
    assert_eq!(server.json("/api/v1/status").await?["epoch"], "2");
    Ok(())
}
