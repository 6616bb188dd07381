//! What is sent: the alert as JSON, or as Slack takes it; and its signature.
//!
//! The signature is that of Standard Webhooks (<https://www.standardwebhooks.com>): HMAC-SHA256 over `id.timestamp.body`, so that a
//! message can neither be made up nor, beyond the minutes that a receiver allows, be sent again.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use serde_json::{Value, json};

use crate::alerts::{Alert, Format, Links, Place, State, Undo};

/// The body of a message about `alert`, in this database if that is known.
pub(super) fn body(format: Format, alert: &Alert, links: &Links, place: Option<&Place>) -> Bytes {
    match format {
        Format::Json => as_json(alert, links, place),
        Format::Slack => json!({ "text": as_slack(alert, links, place) }).to_string().into(),
    }
}

/// The `alert` event of the stream, and which database it is about.
fn as_json(alert: &Alert, links: &Links, place: Option<&Place>) -> Bytes {
    let json = alert.json_for_others(links);
    let Ok(Value::Object(mut document)) = serde_json::from_slice(&json) else { return json };
    document.insert("database".to_owned(), json!(place));
    Value::Object(document).to_string().into()
}

fn as_slack(alert: &Alert, links: &Links, place: Option<&Place>) -> String {
    let head = match alert.state {
        State::Firing => format!("*{}*", alert.severity.as_str()),
        State::Resolved => "*resolved*".to_owned(),
    };
    let place = place.map_or_else(String::new, |place| format!(" · {}", escaped(&place.name)));
    let times = if alert.times > 1 { format!(" ({} times)", alert.times) } else { String::new() };
    let rule = escaped(&alert.rule);
    let mut text = format!("{head}{place} · {rule}: {}{times}", escaped(&alert.text));
    if let Some(link) = alert.link(links) {
        let undo = alert.undo.as_ref().filter(|_| alert.state == State::Firing).map_or_else(String::new, as_words);
        text.push_str(&format!("\n<{link}|the transaction>{}", escaped(&undo)));
    }
    text
}

fn as_words(Undo { restores, reason }: &Undo) -> String {
    let why = reason.as_ref().map_or_else(String::new, |reason| format!(": {reason}"));
    match restores {
        Some(true) => " · can be undone".to_owned(),
        Some(false) => format!(" · cannot all be undone{why}"),
        None => String::new(),
    }
}

/// What Slack would take for markup: <https://api.slack.com/reference/surfaces/formatting#escaping>.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// The `webhook-signature` of a body.
pub(super) fn signature(key: &ring::hmac::Key, id: &str, timestamp: i64, body: &[u8]) -> String {
    let mut context = ring::hmac::Context::with_key(key);
    context.update(format!("{id}.{timestamp}.").as_bytes());
    context.update(body);
    format!("v1,{}", BASE64.encode(context.sign()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_that_of_standard_webhooks() {
        // The example of their documentation.
        let key = BASE64.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &key);
        let signed = signature(&key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#);
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn nothing_in_a_text_is_markup() {
        let mut alert = Alert::test("a".to_owned(), 0);
        alert.text = "<!channel> & <http://evil.example|fine>".to_owned();
        let text = as_slack(&alert, &Links::default(), None);
        assert_eq!(text, "*info* · test: &lt;!channel&gt; &amp; &lt;http://evil.example|fine&gt;");
    }
}
