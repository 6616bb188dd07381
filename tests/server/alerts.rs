//! Alerts, as the server tells of them: who is sent which, and when.

use std::sync::Arc;

use anyhow::Result;
use pgvigil::alerts::{Alert, Bulletin, Format, Health, LastFailure, Severity, State, Subject};
use serde_json::{Value, json};

use crate::fixture::{Server, Setup, live};
use crate::support::WebSocket;

/// An alert about a table, as it was changed last.
fn alert(id: &str, revision: u64, state: State, table: &str) -> Alert {
    let mut alert = Alert::test(id.to_owned(), 1_795_356_131_204_113);
    alert.revision = revision;
    alert.state = state;
    alert.subject = Some(Subject { oid: Some(16402), schema: "public".to_owned(), name: table.to_owned() });
    alert
}

fn publish(server: &Server, alerts: Vec<Alert>) {
    let webhook = Health {
        name: "ops".to_owned(),
        host: "hooks.example.org".to_owned(),
        format: Format::Json,
        delivered: 3,
        failed: 1,
        dropped: 0,
        waiting: 2,
        last_success: None,
        last_failure: Some(LastFailure { time: "t".to_owned(), error: "no answer".to_owned(), tries: 4, given_up: false }),
        failing: true,
    };
    server.alerts.send_replace(Arc::new(Bulletin {
        revision: alerts.iter().map(|alert| alert.revision).max().unwrap_or(0),
        alerts: alerts.into_iter().map(Arc::new).collect(),
        evaluating: true,
        webhooks: vec![webhook],
        fired: vec![("test".to_owned(), Severity::Info, 7)],
        ..Bulletin::default()
    }));
}

async fn next(socket: &mut WebSocket) -> Result<(String, String)> {
    let alert = socket.next_of("alert").await?;
    let text = |name: &str| alert[name].as_str().unwrap_or_default().to_owned();
    Ok((text("id"), text("state")))
}

fn is(id: &str, state: &str) -> (String, String) {
    (id.to_owned(), state.to_owned())
}

#[tokio::test]
async fn those_that_fire_are_told_at_once_and_then_what_changes() -> Result<()> {
    let server = live().await?;
    publish(&server, vec![alert("a", 1, State::Resolved, "User"), alert("b", 2, State::Firing, "User")]);
    let mut socket = server.websocket("?kinds=alert").await?;
    assert_eq!(socket.next().await?.map(|object| object["type"].clone()), Some(json!("hello")));
    assert_eq!(next(&mut socket).await?, is("b", "firing"));
    publish(&server, vec![alert("c", 3, State::Firing, "User"), alert("b", 4, State::Resolved, "User")]);
    assert_eq!(next(&mut socket).await?, is("c", "firing"));
    assert_eq!(next(&mut socket).await?, is("b", "resolved"));
    // What has not changed is not told again.
    publish(&server, vec![alert("c", 3, State::Firing, "User"), alert("d", 5, State::Firing, "User")]);
    assert_eq!(next(&mut socket).await?, is("d", "firing"));
    // Under new terms, all that fires is.
    socket.send(&json!({"type": "subscribe", "kinds": "alert"})).await?;
    assert_eq!(next(&mut socket).await?, is("c", "firing"));
    Ok(())
}

#[tokio::test]
async fn a_client_is_told_of_the_tables_that_it_asks_for_and_of_the_watch() -> Result<()> {
    let server = live().await?;
    let mut of_the_watch = alert("c", 3, State::Firing, "");
    of_the_watch.subject = None;
    publish(&server, vec![alert("a", 1, State::Firing, "User"), alert("b", 2, State::Firing, "Game"), of_the_watch]);
    let mut socket = server.websocket("?kinds=alert&table=public.Game").await?;
    assert_eq!(next(&mut socket).await?, is("b", "firing"));
    assert_eq!(next(&mut socket).await?, is("c", "firing"));

    let mut without = server.websocket("?kinds=counts,status").await?;
    let told = without.until("a second status", |object| object["type"] == "status").await?;
    assert!(told.iter().all(|object| object["type"] != "alert"), "{told:?}");
    Ok(())
}

#[tokio::test]
async fn that_nothing_is_watched_yet_is_told_before_anything_is() -> Result<()> {
    let server = Setup::default().start().await?;
    let mut socket = server.websocket("").await?;
    publish(&server, vec![alert("a", 1, State::Firing, "User")]);
    assert_eq!(next(&mut socket).await?, is("a", "firing"));
    Ok(())
}

#[tokio::test]
async fn the_document_has_all_of_it() -> Result<()> {
    let server = live().await?;
    publish(
        &server,
        vec![
            alert("a", 1, State::Resolved, "User"),
            alert("b", 2, State::Firing, "User"),
            alert("c", 3, State::Resolved, "User"),
        ],
    );
    let told = server.json("/api/v1/alerts").await?;
    let ids =
        |list: &str| -> Vec<Value> { told[list].as_array().into_iter().flatten().map(|alert| alert["id"].clone()).collect() };
    assert_eq!((ids("active"), ids("recent")), (vec![json!("b")], vec![json!("c"), json!("a")]));
    assert_eq!(told["evaluating"], true);
    assert_eq!(told["rules"], json!([{"name": "test", "severity": "info", "fired": 7}]));
    assert_eq!(told["webhooks"][0]["last_failure"]["error"], "no answer");
    assert_eq!(server.problem("/api/v1/alerts?since=1").await?.0, 400);

    let metrics = server.get("/metrics").await?.text().await?;
    for line in [
        r#"pgvigil_alerts{rule="test",severity="info"} 1"#,
        r#"pgvigil_alerts_fired_total{rule="test",severity="info"} 7"#,
        r#"pgvigil_webhook_messages_total{webhook="ops",outcome="failed"} 1"#,
        r#"pgvigil_webhook_waiting{webhook="ops"} 2"#,
    ] {
        assert!(metrics.lines().any(|shown| shown == line), "{line} is not in {metrics}");
    }
    Ok(())
}
