//! What receivers are sent, good ones and bad.

use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use rustls::ServerConfig;
use serde_json::json;
use tokio_rustls::TlsAcceptor;

use crate::receiver::{Manner, Receiver};
use crate::scene::{Scene, app};
use crate::support::a_major;

const TAKE: Manner = Manner::Answer(200, "");
const DELETE: &str = r#"DELETE FROM "User""#;
const RULE: &str = "[[rule]]\nkind = \"count_zero\"\n";

fn webhook(name: &str, url: &str, options: &str) -> String {
    format!("[[webhook]]\nname = \"{name}\"\nurl = \"{url}\"\n{options}\n")
}

#[tokio::test]
async fn a_message_is_signed_and_tells_all() -> Result<()> {
    let receiver = Receiver::start(TAKE).await?;
    let mut secret = tempfile::NamedTempFile::new()?;
    writeln!(secret, "whsec_{}", BASE64.encode("very secret"))?;
    let secret = format!("secret_file = {:?}", secret.path());
    let scene = Scene::new(a_major(), &(RULE.to_owned() + &webhook("ops", &receiver.url("/in?a=b"), &secret)), "").await?;
    scene.database.run(DELETE).await?;

    let message = receiver.has_received(1).await?.remove(0);
    let told = message.json()?;
    assert_eq!((&told["rule"], &told["from"], &told["to"]), (&json!("count_zero"), &json!(22), &json!(0)));
    assert_eq!(told["database"]["name"], "app");
    assert_eq!(message.header("host"), Some(format!("127.0.0.1:{}", receiver.port).as_str()));
    assert_eq!(message.header("content-type"), Some("application/json"));
    let header = |name| message.header(name).with_context(|| format!("{name} in {message:?}"));
    let signed = format!("{}.{}.{}", header("webhook-id")?, header("webhook-timestamp")?, message.body);
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, b"very secret");
    let signature = header("webhook-signature")?.strip_prefix("v1,").context("version 1")?;
    ring::hmac::verify(&key, signed.as_bytes(), &BASE64.decode(signature)?).ok().context("another signature")?;

    scene.database.run(r#"INSERT INTO "User" SELECT id, 'back' FROM generate_series(1, 22) id"#).await?;
    let resolved = receiver.has_received(2).await?.remove(1);
    assert_eq!(resolved.json()?["state"], "resolved");
    assert_ne!(resolved.header("webhook-id"), message.header("webhook-id"));
    let health = scene.webhook("ops", "two were taken", |webhook| webhook["delivered"] == 2).await?;
    assert_eq!(
        (&health["failing"], &health["last_failure"], &health["host"]),
        (&json!(false), &json!(null), &json!("127.0.0.1"))
    );
    Ok(())
}

#[tokio::test]
async fn slack_takes_its_own_shape_and_no_secret_is_told() -> Result<()> {
    let receiver = Receiver::start(Manner::Answer(404, "")).await?;
    let rules = format!(
        "{RULE}[[webhook]]\nname = \"slack\"\nurl_env = \"SLACK_URL\"\nformat = \"slack\"\nsecret_env = \"SLACK_SECRET\"\n"
    );
    let (cluster, database) = app(a_major(), "").await?;
    let (address, watched) = (receiver.url("/services/T0/B0/tokentoken"), cluster.url("app"));
    let environment = [("SLACK_URL", address.as_str()), ("SLACK_SECRET", "signsign"), ("PGVIGIL_LOG", "trace")];
    let scene = Scene::of(cluster, database, &watched, &rules, &[], &environment).await?;
    scene.database.run(DELETE).await?;

    let message = receiver.has_received(1).await?.remove(0);
    let told = message.json()?;
    let text = told["text"].as_str().context("a text")?;
    assert!(text.starts_with("*critical* · app · count_zero: User fell from 22 to 0: 22 rows deleted"), "{text}");
    assert!(text.contains("/?tx=") && text.contains(" · cannot all be undone: the log holds only the keys"), "{text}");
    let health = scene.webhook("slack", "it was refused", |webhook| webhook["failed"] == 1).await?;
    assert_eq!((&health["failing"], &health["last_failure"]["given_up"]), (&json!(true), &json!(true)));
    assert_eq!(health["last_failure"]["error"], "refused with 404; is the address the right one?");
    let told = scene.pgvigil.json("/api/v1/alerts").await?.to_string() + &scene.pgvigil.stderr() + &scene.pgvigil.stdout();
    for secret in ["tokentoken", "signsign", "confidential"] {
        ensure!(!told.contains(secret), "{secret} was told");
    }
    Ok(())
}

#[tokio::test]
async fn what_fails_is_tried_again_with_the_same_id() -> Result<()> {
    let receiver = Receiver::start(Manner::Answer(500, "")).await?;
    let scene = Scene::new(a_major(), &(RULE.to_owned() + &webhook("ops", &receiver.url("/"), "")), "").await?;
    scene.database.run(DELETE).await?;
    receiver.has_received(3).await?;
    scene
        .webhook("ops", "it fails", |webhook| webhook["failing"] == true && webhook["last_failure"]["given_up"] == false)
        .await?;
    receiver.behave(TAKE);
    scene.webhook("ops", "it was taken", |webhook| webhook["delivered"] == 1 && webhook["failing"] == false).await?;
    let received = receiver.received();
    let ids: Vec<_> = received.iter().map(|message| message.header("webhook-id")).collect();
    ensure!(ids.iter().all(|id| *id == ids[0] && id.is_some()), "{ids:?}");
    let metrics = scene.pgvigil.get("/metrics").await?.text().await?;
    assert!(metrics.contains(r#"pgvigil_webhook_messages_total{webhook="ops",outcome="delivered"} 1"#), "{metrics}");
    Ok(())
}

#[tokio::test]
async fn who_asks_for_time_gets_it() -> Result<()> {
    let receiver = Receiver::start(Manner::Answer(429, "retry-after: 2\r\n")).await?;
    let scene = Scene::new(a_major(), &(RULE.to_owned() + &webhook("ops", &receiver.url("/"), "")), "").await?;
    scene.database.run(DELETE).await?;
    receiver.has_received(1).await?;
    let asked = Instant::now();
    receiver.has_received(2).await?;
    ensure!(asked.elapsed() >= Duration::from_millis(1900), "{:?}", asked.elapsed());
    Ok(())
}

#[tokio::test]
async fn one_that_hangs_or_is_gone_delays_no_other() -> Result<()> {
    let good = Receiver::start(TAKE).await?;
    let hanging = Receiver::start(Manner::Hang).await?;
    let trickling = Receiver::start(Manner::Trickle).await?;
    let rules = RULE.to_owned()
        + &webhook("hangs", &hanging.url("/"), "timeout = \"1s\"")
        + &webhook("trickles", &trickling.url("/"), "timeout = \"1s\"")
        // A port of ours that nothing listens on: 1 is reserved.
        + &webhook("gone", "http://127.0.0.1:1/", "")
        + &webhook("good", &good.url("/"), "");
    let mut scene = Scene::new(a_major(), &rules, "").await?;
    scene.database.run(DELETE).await?;
    good.has_received(1).await?;
    for name in ["hangs", "trickles"] {
        let health = scene.webhook(name, "no answer came", |webhook| webhook["failing"] == true).await?;
        assert_eq!(health["last_failure"]["error"], "no answer within 1s");
    }
    let health = scene.webhook("gone", "nobody is there", |webhook| webhook["failing"] == true).await?;
    let error = health["last_failure"]["error"].as_str().context("an error")?;
    assert!(error.starts_with("cannot connect to 127.0.0.1: "), "{error}");
    // Nor does it hold up the end.
    let stopping = Instant::now();
    scene.pgvigil.stop().await?;
    ensure!(stopping.elapsed() < Duration::from_secs(8), "{:?}", stopping.elapsed());
    // What could not be delivered is said.
    let logged = scene.pgvigil.stderr();
    for name in ["hangs", "trickles", "gone"] {
        ensure!(logged.lines().any(|line| line.contains("are lost") && line.contains(name)), "{name}: {logged}");
    }
    ensure!(!logged.lines().any(|line| line.contains("are lost") && line.contains("good")), "{logged}");
    Ok(())
}

#[tokio::test]
async fn what_waits_at_the_end_is_tried_once_more() -> Result<()> {
    // The pause that is asked for is longer than anybody waits who ends a process.
    let receiver = Receiver::start(Manner::Answer(503, "retry-after: 60\r\n")).await?;
    let mut scene = Scene::new(a_major(), &(RULE.to_owned() + &webhook("ops", &receiver.url("/secret"), "")), "").await?;
    scene.database.run(DELETE).await?;
    receiver.has_received(1).await?;
    scene.webhook("ops", "it waits", |webhook| webhook["failing"] == true).await?;
    receiver.behave(TAKE);
    scene.pgvigil.stop().await?;
    let received = receiver.received();
    ensure!(received.len() == 2 && received[1].json()?["rule"] == "count_zero", "{received:?}");
    let logged = scene.pgvigil.stderr();
    ensure!(!logged.contains("are lost") && !logged.contains("/secret"), "{logged}");
    Ok(())
}

#[tokio::test]
async fn nobody_is_followed_elsewhere() -> Result<()> {
    let elsewhere = Receiver::start(TAKE).await?;
    let receiver = Receiver::start(Manner::Redirect(elsewhere.url("/"))).await?;
    let scene = Scene::new(a_major(), &(RULE.to_owned() + &webhook("ops", &receiver.url("/"), "")), "").await?;
    scene.database.run(DELETE).await?;
    let health = scene.webhook("ops", "it is given up", |webhook| webhook["failed"] == 1).await?;
    let error = health["last_failure"]["error"].as_str().context("an error")?;
    assert!(error.starts_with("the answer is 302, a redirection"), "{error}");
    assert_eq!((receiver.received().len(), elsewhere.received().len()), (1, 0));
    Ok(())
}

#[tokio::test]
async fn a_receiver_behind_tls_is_one_that_the_system_trusts() -> Result<()> {
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
    let certificate = certified.cert.der().clone();
    let key = rustls::pki_types::PrivateKeyDer::Pkcs8(certified.signing_key.serialize_der().into());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let config = config.with_no_client_auth().with_single_cert(vec![certificate], key)?;
    let receiver = Receiver::start_with(TAKE, Some(TlsAcceptor::from(Arc::new(config)))).await?;
    let mut trusted = tempfile::NamedTempFile::new()?;
    trusted.write_all(certified.cert.pem().as_bytes())?;
    let trusted = trusted.path().to_str().context("a path")?.to_owned();

    let plain = Receiver::start(TAKE).await?;
    let rules = RULE.to_owned()
        + &webhook("named", &format!("https://localhost:{}/", receiver.port), "")
        + &webhook("misnamed", &format!("https://127.0.0.1:{}/", receiver.port), "")
        + &webhook("plain", &plain.url("/").replace("http:", "https:"), "");
    let (cluster, database) = app(a_major(), "").await?;
    let watched = cluster.url("app");
    let scene = Scene::of(cluster, database, &watched, &rules, &[], &[("SSL_CERT_FILE", &trusted)]).await?;
    scene.database.run(DELETE).await?;
    scene.webhook("named", "it was taken", |webhook| webhook["delivered"] == 1).await?;
    let health = scene.webhook("misnamed", "it is not trusted", |webhook| webhook["failing"] == true).await?;
    let error = health["last_failure"]["error"].as_str().context("an error")?;
    assert!(error.starts_with("no TLS with 127.0.0.1: invalid peer certificate"), "{error}");
    let health = scene.webhook("plain", "it speaks no TLS", |webhook| webhook["failing"] == true).await?;
    let error = health["last_failure"]["error"].as_str().context("an error")?;
    assert!(error.ends_with("; is it http:// there?"), "{error}");
    assert_eq!(receiver.received().len(), 1);
    Ok(())
}
